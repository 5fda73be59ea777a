//! Datagrams out of what people have: a capture (pcap, pcapng), a hex dump, or a packet's octets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::words::{self, Language};

/// A datagram, and what is known about its way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Datagram {
    /// Sender and receiver, if it is from a capture.
    pub way: Option<(SocketAddr, SocketAddr)>,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Why a file could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadInput {
    /// Nothing in it.
    Empty,
    /// Text, but no hex dump: this line (from 1) has something else.
    NotHex(usize),
    /// A capture that ends or breaks in the middle.
    BrokenCapture,
    /// A capture of a kind of link that we do not read.
    Link(u32),
}
/// In English.
impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(words::of(Language::English)))
    }
}
impl std::error::Error for BadInput {}

/// Reads whatever it is.
///
/// # Errors
/// Why it cannot be read.
pub fn datagrams(file: &[u8]) -> Result<Vec<Datagram>, BadInput> {
    if file.is_empty() {
        return Err(BadInput::Empty);
    }
    match file.get(..4) {
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => return pcapng(file),
        Some([0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1]) => return pcap(file, u32::from_le_bytes),
        Some([0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d]) => return pcap(file, u32::from_be_bytes),
        _ => {}
    }
    match std::str::from_utf8(file) {
        Ok(text) if !text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace()) => hex_dump(text),
        _ => Ok(vec![Datagram {
            way: None,
            payload: file.to_vec(),
        }]),
    }
}

/// Hex digits, with or without blanks; lines may begin with an offset and end with letters, as xxd, hexdump -C
/// and tcpdump -X write them. An empty line, or an offset of 0, begins another packet; # begins a comment.
fn hex_dump(text: &str) -> Result<Vec<Datagram>, BadInput> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    let (mut fresh, mut offsets) = (true, false);
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim_end();
        if line.trim().is_empty() {
            fresh = true;
            continue;
        }
        let (offset, digits) = split_line(line.trim());
        // hexdump ends with an offset by itself: the length.
        let so_far = packets.last().filter(|_| offsets).map(Vec::len);
        if so_far.is_some() && line.len() >= 7 && usize::from_str_radix(line, 16).ok() == so_far {
            fresh = true;
            continue;
        }
        offsets = offset.is_some();
        let octets = hex(digits).ok_or(BadInput::NotHex(number + 1))?;
        if fresh || offset == Some(0) || packets.is_empty() {
            packets.push(Vec::new());
        }
        fresh = false;
        if let Some(packet) = packets.last_mut() {
            packet.extend(octets);
        }
    }
    if packets.is_empty() {
        return Err(BadInput::Empty);
    }
    let packets = packets.into_iter().map(|payload| Datagram { way: None, payload });
    Ok(packets.collect())
}
/// The offset, if there is one, and the part with the digits.
fn split_line(line: &str) -> (Option<usize>, &str) {
    if let Some((head, rest)) = line.split_once(':') {
        let head = head.strip_prefix("0x").unwrap_or(head);
        if let Ok(offset) = usize::from_str_radix(head, 16) {
            // Two blanks divide the digits from the letters.
            let rest = rest.trim_start();
            return (Some(offset), rest.split("  ").next().unwrap_or(rest));
        }
    }
    if let Some((head, rest)) = line.split_once("  ")
        && head.len() >= 4
        && let Ok(offset) = usize::from_str_radix(head, 16)
    {
        // hexdump -C: |letters| at the end.
        return (Some(offset), rest.split('|').next().unwrap_or(rest));
    }
    (None, line)
}
fn hex(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for word in text.split_ascii_whitespace() {
        let word = word
            .strip_prefix("0x")
            .or(word.strip_prefix("\\x"))
            .unwrap_or(word);
        let word = word.replace("\\x", "");
        if word.len() % 2 != 0 || !word.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for pair in word.as_bytes().chunks(2) {
            let pair = std::str::from_utf8(pair).ok()?;
            out.push(u8::from_str_radix(pair, 16).ok()?);
        }
    }
    Some(out)
}

/// pcap: a header of 24 octets, then records.
fn pcap(file: &[u8], number: fn([u8; 4]) -> u32) -> Result<Vec<Datagram>, BadInput> {
    let at = |place: usize| word(file, place).map(number);
    let link = at(20)? & 0xffff;
    let (mut place, mut found) = (24, Vec::new());
    while place < file.len() {
        let len = at(place + 8)? as usize;
        let end = place.checked_add(16 + len).ok_or(BadInput::BrokenCapture)?;
        let frame = file.get(place + 16..end).ok_or(BadInput::BrokenCapture)?;
        found.extend(udp(link, frame)?);
        place = end;
    }
    Ok(found)
}
fn word(file: &[u8], place: usize) -> Result<[u8; 4], BadInput> {
    let bytes = file.get(place..).and_then(|rest| rest.first_chunk::<4>());
    bytes.copied().ok_or(BadInput::BrokenCapture)
}
/// pcapng: blocks; sections may differ in byte order, interfaces in their link.
fn pcapng(file: &[u8]) -> Result<Vec<Datagram>, BadInput> {
    let (mut place, mut found, mut links) = (0, Vec::new(), Vec::new());
    let mut number: fn([u8; 4]) -> u32 = u32::from_le_bytes;
    while place < file.len() {
        let kind = word(file, place)?;
        if kind == [0x0a, 0x0d, 0x0d, 0x0a] {
            number = match word(file, place + 8)? {
                [0x4d, 0x3c, 0x2b, 0x1a] => u32::from_le_bytes,
                [0x1a, 0x2b, 0x3c, 0x4d] => u32::from_be_bytes,
                _ => return Err(BadInput::BrokenCapture),
            };
            links.clear();
        }
        let len = number(word(file, place + 4)?) as usize;
        let end = place
            .checked_add(len)
            .filter(|_| len >= 12)
            .ok_or(BadInput::BrokenCapture)?;
        let block = file.get(place..end).ok_or(BadInput::BrokenCapture)?;
        match number(kind) {
            1 => links.push(number(word(block, 8)?) & 0xffff),
            6 => {
                let interface = number(word(block, 8)?) as usize;
                let link = *links.get(interface).ok_or(BadInput::BrokenCapture)?;
                let len = number(word(block, 20)?) as usize;
                let frame = 28usize.checked_add(len).and_then(|end| block.get(28..end));
                found.extend(udp(link, frame.ok_or(BadInput::BrokenCapture)?)?);
            }
            _ => {}
        }
        place = end;
    }
    Ok(found)
}

/// The UDP datagram in a frame, if there is a whole one.
fn udp(link: u32, frame: &[u8]) -> Result<Option<Datagram>, BadInput> {
    let packet = match link {
        // Ethernet, perhaps with VLAN tags; Linux "cooked" 1 and 2; loopback of BSD; IP by itself.
        1 => {
            let mut start = 12;
            while matches!(frame.get(start..start + 2), Some([0x81, 0] | [0x88, 0xa8])) {
                start += 4;
            }
            frame.get(start + 2..)
        }
        113 => frame.get(16..),
        276 => frame.get(20..),
        0 | 108 => frame.get(4..),
        101 | 228 | 229 | 12 | 14 => Some(frame),
        other => return Err(BadInput::Link(other)),
    };
    Ok(packet.and_then(ip))
}
fn ip(packet: &[u8]) -> Option<Datagram> {
    let (from, to, protocol, body): (IpAddr, IpAddr, u8, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet[0] & 15) * 4;
            let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
            if u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff != 0 {
                return None; // a fragment
            }
            let from = Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?);
            let to = Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?);
            // Offloading leaves a total of 0.
            let end = if total == 0 {
                packet.len()
            } else {
                total.min(packet.len())
            };
            (from.into(), to.into(), packet[9], packet.get(header..end)?)
        }
        6 => {
            let from = Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?);
            let to = Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?);
            (from.into(), to.into(), packet[6], packet.get(40..)?)
        }
        _ => return None,
    };
    let [a, b, c, d, e, g, _, _] = *body.first_chunk::<8>().filter(|_| protocol == 17)?;
    let len = usize::from(u16::from_be_bytes([e, g])).min(body.len());
    Some(Datagram {
        way: Some((
            SocketAddr::new(from, u16::from_be_bytes([a, b])),
            SocketAddr::new(to, u16::from_be_bytes([c, d])),
        )),
        payload: body.get(8..len)?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payloads(file: &[u8]) -> Vec<Vec<u8>> {
        datagrams(file).unwrap().into_iter().map(|d| d.payload).collect()
    }

    #[test]
    fn hex_dumps_of_all_kinds() {
        let ack = vec![vec![0, 4, 0, 1]];
        for text in [
            "00040001",
            "00 04 00 01\n",
            "0x00 0x04 0x00 0x01",
            "\\x00\\x04\\x00\\x01",
            "# an ACK\n0004 0001",
            "00000000: 0004 0001                                ....",
            "00000000  00 04 00 01    |....|\n00000004",
            "0x0000:  0004 0001  ....",
        ] {
            assert_eq!(payloads(text.as_bytes()), ack, "{text}");
        }
        assert_eq!(payloads(b"0004\n0001\n\n0004 0002"), [[0, 4, 0, 1], [0, 4, 0, 2]]);
        assert_eq!(payloads(b"\0\x04\0\x01"), ack);
        assert_eq!(datagrams(b""), Err(BadInput::Empty));
        assert_eq!(datagrams(b"0004\nhello"), Err(BadInput::NotHex(2)));
    }

    fn frame(payload: &[u8]) -> Vec<u8> {
        let udp = [&[0x30, 0x39, 0, 69, 0, 8 + payload.len() as u8, 0, 0], payload].concat();
        let mut ip = vec![
            0x45,
            0,
            0,
            20 + udp.len() as u8,
            0,
            0,
            0,
            0,
            64,
            17,
            0,
            0,
            10,
            0,
            0,
            1,
            10,
            0,
            0,
            2,
        ];
        ip.extend(udp);
        [&[0; 12][..], &[8, 0], &ip].concat()
    }

    #[test]
    fn captures() {
        let frame = frame(b"\0\x04\0\x01");
        let len = (frame.len() as u32).to_le_bytes();
        let mut pcap = vec![
            0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0,
        ];
        pcap.extend([0; 8]);
        pcap.extend([len, len].concat());
        pcap.extend(&frame);
        let found = datagrams(&pcap).unwrap();
        assert_eq!(found[0].payload, b"\0\x04\0\x01");
        assert_eq!(
            found[0].way,
            Some(("10.0.0.1:12345".parse().unwrap(), "10.0.0.2:69".parse().unwrap()))
        );

        let block = |kind: u32, body: &[u8]| {
            let padded = [body, &vec![0; body.len().next_multiple_of(4) - body.len()]].concat();
            let len = (padded.len() as u32 + 12).to_le_bytes();
            [&kind.to_le_bytes()[..], &len, &padded, &len].concat()
        };
        let section = [&[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &[0xff; 8]].concat();
        let packet = [&[0; 12][..], &len, &len, &frame].concat();
        let pcapng = [
            block(0x0a0d_0d0a, &section),
            block(1, &[1, 0, 0, 0, 0, 0, 0, 0]),
            block(6, &packet),
        ]
        .concat();
        assert_eq!(datagrams(&pcapng).unwrap(), found);
        assert_eq!(
            datagrams(&pcapng[..pcapng.len() - 5]),
            Err(BadInput::BrokenCapture)
        );
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_panic(
            head in prop::sample::select(vec![
                &b""[..], b"\x0a\x0d\x0d\x0a", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"00 ", b"0x0000: ",
            ]),
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = datagrams(&[head, &body].concat());
        }
    }
}
