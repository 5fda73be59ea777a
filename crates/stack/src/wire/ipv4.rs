//! The IPv4 header (RFC 791, RFC 1122 section 3.2.1, RFC 6864).

use core::net::Ipv4Addr;

use super::checksum::Sum;
use super::{Check, ParseError, checksum, front, room, u16_at};

/// Octets of a header without options.
pub const HEADER_LEN: usize = 20;
/// Octets of a header with options, at most.
pub const MAX_HEADER_LEN: usize = 60;
/// Octets of a header with the router alert option, as membership reports carry it.
pub const ROUTER_ALERT_LEN: usize = 24;
/// Offset of the header checksum.
pub const CHECKSUM_OFFSET: usize = 10;

/// An IPv4 header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// From whom.
    pub source: Ipv4Addr,
    /// To whom.
    pub destination: Ipv4Addr,
    /// What the payload is: a number of [`super::protocol`].
    pub protocol: u8,
    /// Time to live.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Tells fragments of one datagram from those of another; of no meaning in an atomic datagram (RFC 6864).
    pub identification: u16,
    /// Routers must not fragment it.
    pub dont_fragment: bool,
    /// Another fragment follows.
    pub more_fragments: bool,
    /// Where this fragment's payload stands in the datagram, in octets: a multiple of 8, up to 65,528.
    pub fragment_offset: u16,
    /// The router alert option is there (RFC 2113).
    pub router_alert: bool,
    /// Octets of the header, options included: 20 to 60. Emit computes its own, see [`Header::emit_len`].
    pub header_len: usize,
    /// Octets of the packet, header included. Emit writes at most 65,535; a super-segment may have more.
    pub total_len: usize,
}

impl Header {
    /// A header for `total_len` octets with the defaults of a host: hop limit 64, may not be fragmented.
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, total_len: usize) -> Header {
        Header {
            source,
            destination,
            protocol,
            hop_limit: 64,
            traffic_class: 0,
            identification: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            router_alert: false,
            header_len: HEADER_LEN,
            total_len,
        }
    }
    /// Whether this is a part of a datagram.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }
    /// Octets of payload.
    #[inline]
    pub fn payload_len(&self) -> usize {
        self.total_len - self.header_len
    }
    /// Octets that [`emit`] writes: 20, or 24 with the router alert option.
    #[inline]
    pub fn emit_len(&self) -> usize {
        if self.router_alert {
            ROUTER_ALERT_LEN
        } else {
            HEADER_LEN
        }
    }
}

/// Reads and checks a header. `packet_len` is what was received from the header's first octet on; it may exceed the
/// total length by link padding, which the caller cuts off.
///
/// # Errors
/// [`ParseError::Truncated`], [`ParseError::Malformed`] (version, lengths, options, a fragment that reaches beyond
/// 65,535 octets or whose length is no multiple of 8), [`ParseError::IpChecksum`], [`ParseError::SourceRoute`].
#[inline]
pub fn parse(bytes: &[u8], packet_len: usize, check: Check) -> Result<Header, ParseError> {
    let header = parse_embedded(bytes)?;
    if header.total_len < header.header_len {
        return Err(ParseError::Malformed);
    }
    if header.total_len > packet_len {
        return Err(ParseError::Truncated);
    }
    if check == Check::Verify && !checksum::sum(&bytes[..header.header_len]).verify() {
        return Err(ParseError::IpChecksum);
    }
    if header.is_fragment() {
        let len = header.payload_len();
        let ragged = header.more_fragments && (len == 0 || !len.is_multiple_of(8));
        if ragged || usize::from(header.fragment_offset) + len > 65_535 - HEADER_LEN {
            return Err(ParseError::BadFragment);
        }
    }
    if header.header_len == HEADER_LEN {
        return Ok(header);
    }
    let router_alert = check_options(&bytes[HEADER_LEN..header.header_len])?;
    Ok(Header {
        router_alert,
        ..header
    })
}

/// Reads a header that is quoted in an ICMP error: its checksum, its options and its total length, which counts what
/// was not quoted, are not looked at.
///
/// # Errors
/// [`ParseError::Truncated`], [`ParseError::Malformed`].
#[inline]
pub fn parse_embedded(bytes: &[u8]) -> Result<Header, ParseError> {
    let b: &[u8; HEADER_LEN] = front(bytes)?;
    let header_len = usize::from(b[0] & 0x0f) * 4;
    if b[0] >> 4 != 4 || header_len < HEADER_LEN {
        return Err(ParseError::Malformed);
    }
    if header_len > bytes.len() {
        return Err(ParseError::Truncated);
    }
    let fragment = u16_at(b, 6);
    Ok(Header {
        source: Ipv4Addr::new(b[12], b[13], b[14], b[15]),
        destination: Ipv4Addr::new(b[16], b[17], b[18], b[19]),
        protocol: b[9],
        hop_limit: b[8],
        traffic_class: b[1],
        identification: u16_at(b, 4),
        dont_fragment: fragment & 0x4000 != 0,
        more_fragments: fragment & 0x2000 != 0,
        fragment_offset: fragment << 3,
        router_alert: false,
        header_len,
        total_len: usize::from(u16_at(b, 2)),
    })
}

/// Gives a header of 20 octets another total length and identification, and the checksum that goes with them (or none).
/// Everything else stays.
///
/// # Panics
/// If `header` is shorter than 20 octets.
#[inline]
pub fn amend(header: &mut [u8], total_len: usize, identification: u16, checksum: bool) {
    let b: &mut [u8; HEADER_LEN] = room(header);
    let total = u16::try_from(total_len).unwrap_or(u16::MAX);
    let old = [u16_at(b, 2), u16_at(b, 4)];
    b[2..4].copy_from_slice(&total.to_be_bytes());
    b[4..6].copy_from_slice(&identification.to_be_bytes());
    if checksum {
        let sum = checksum::adjust16(u16_at(b, CHECKSUM_OFFSET), old[0], total);
        let sum = checksum::adjust16(sum, old[1], identification);
        b[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Writes a header with its checksum: [`Header::emit_len`] octets.
///
/// # Panics
/// If `out` is shorter.
#[inline]
pub fn emit(header: &Header, out: &mut [u8]) -> usize {
    let len = header.emit_len();
    let b: &mut [u8; HEADER_LEN] = room(out);
    let total = u16::try_from(header.total_len).unwrap_or(u16::MAX);
    let fragment = header.fragment_offset >> 3
        | u16::from(header.dont_fragment) << 14
        | u16::from(header.more_fragments) << 13;
    b[0] = 0x40 | (len / 4) as u8;
    b[1] = header.traffic_class;
    b[2..4].copy_from_slice(&total.to_be_bytes());
    b[4..6].copy_from_slice(&header.identification.to_be_bytes());
    b[6..8].copy_from_slice(&fragment.to_be_bytes());
    b[8] = header.hop_limit;
    b[9] = header.protocol;
    // Summed from the values: reading back what was just written in smaller pieces takes thrice as long.
    let mut sum = Sum::ZERO
        .add_u16(u16::from_be_bytes([b[0], header.traffic_class]))
        .add_u16(total)
        .add_u16(header.identification)
        .add_u16(fragment)
        .add_u16(u16::from_be_bytes([header.hop_limit, header.protocol]))
        .add_u32(header.source.to_bits())
        .add_u32(header.destination.to_bits());
    b[12..16].copy_from_slice(&header.source.octets());
    b[16..20].copy_from_slice(&header.destination.octets());
    if header.router_alert {
        let b: &mut [u8; ROUTER_ALERT_LEN] = room(out);
        let option = [OPTION_ROUTER_ALERT, 4, 0, 0];
        sum = sum.add_u32(u32::from_be_bytes(option));
        b[20..24].copy_from_slice(&option);
    }
    let b: &mut [u8; HEADER_LEN] = room(out);
    b[10..12].copy_from_slice(&sum.finish().to_be_bytes());
    len
}

/// Takes one from the hop limit and updates the checksum (RFC 1624), as a router does. Returns whether any is left;
/// otherwise nothing is changed.
///
/// # Panics
/// If `packet` is shorter than a header.
#[must_use]
pub fn decrement_hop_limit(packet: &mut [u8]) -> bool {
    let b: &mut [u8; HEADER_LEN] = room(packet);
    if b[8] <= 1 {
        return false;
    }
    let old = u16_at(b, 8);
    b[8] -= 1;
    let sum = checksum::adjust16(u16_at(b, CHECKSUM_OFFSET), old, u16_at(b, 8));
    b[10..12].copy_from_slice(&sum.to_be_bytes());
    true
}

const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_LOOSE_SOURCE_ROUTE: u8 = 131;
const OPTION_STRICT_SOURCE_ROUTE: u8 = 137;
const OPTION_ROUTER_ALERT: u8 = 148;

/// Options of an IPv4 header, in order, without padding. Ends after the first one whose length cannot be, which comes
/// out as an error.
#[derive(Clone, Debug)]
pub struct Options<'a>(&'a [u8]);

/// Walks the options of a header; `bytes` are those between octet 20 and [`Header::header_len`].
pub fn options(bytes: &[u8]) -> Options<'_> {
    Options(bytes)
}

impl<'a> Iterator for Options<'a> {
    /// Kind, and what follows the length octet.
    type Item = Result<(u8, &'a [u8]), ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match *self.0 {
                [] | [OPTION_END, ..] => return None,
                [OPTION_NOP, ref rest @ ..] => self.0 = rest,
                [kind, len, ..] if len >= 2 && usize::from(len) <= self.0.len() => {
                    let (option, rest) = self.0.split_at(usize::from(len));
                    self.0 = rest;
                    return Some(Ok((kind, &option[2..])));
                }
                _ => {
                    self.0 = &[];
                    return Some(Err(ParseError::Malformed));
                }
            }
        }
    }
}

/// Refuses source routes and options whose length cannot be; what is not understood is ignored (MUST-50). Returns
/// whether there is a router alert.
#[cold]
fn check_options(bytes: &[u8]) -> Result<bool, ParseError> {
    let mut alert = false;
    for option in options(bytes) {
        match option? {
            (OPTION_LOOSE_SOURCE_ROUTE | OPTION_STRICT_SOURCE_ROUTE, _) => {
                return Err(ParseError::SourceRoute);
            }
            (OPTION_ROUTER_ALERT, [0, 0]) => alert = true,
            _ => {}
        }
    }
    Ok(alert)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn packet(options: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let len = HEADER_LEN + options.len();
        let header = Header::new(
            Ipv4Addr::new(10, 0, 0, 1),
            Ipv4Addr::new(10, 0, 0, 2),
            6,
            len + 16,
        );
        let mut bytes = vec![0; len + 16];
        emit(&header, &mut bytes);
        bytes[0] = 0x40 | (len / 4) as u8;
        bytes[HEADER_LEN..len].copy_from_slice(options);
        change(&mut bytes);
        bytes[10..12].fill(0);
        let sum = checksum::sum(&bytes[..len]).finish();
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
    fn read(bytes: &[u8]) -> Result<Header, ParseError> {
        parse(bytes, bytes.len(), Check::Verify)
    }

    #[test]
    fn amended_headers_are_as_if_made_anew() {
        let mut header = Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 6, 1500);
        let mut amended = [0; HEADER_LEN];
        emit(&header, &mut amended);
        for (total, id) in [(1500, 7), (40, 0), (1499, 0xffff), (65_535, 1), (41, 0x8000)] {
            amend(&mut amended, total, id, true);
            (header.total_len, header.identification) = (total, id);
            let mut anew = [0; HEADER_LEN];
            emit(&header, &mut anew);
            assert_eq!(amended, anew);
        }
    }

    #[test]
    fn lengths_and_checksum() {
        let good = packet(&[], |_| ());
        assert_eq!(read(&good).unwrap().payload_len(), 16);
        // Link padding stands behind, and the payload may lie elsewhere.
        assert!(parse(&good[..20], 60, Check::Verify).is_ok());
        assert_eq!(parse(&good, 35, Check::Verify), Err(ParseError::Truncated));
        assert_eq!(read(&packet(&[], |b| b[3] = 19)), Err(ParseError::Malformed));
        assert_eq!(read(&packet(&[], |b| b[0] = 0x44)), Err(ParseError::Malformed));
        assert_eq!(read(&packet(&[], |b| b[0] = 0x65)), Err(ParseError::Malformed));
        let mut bad = good;
        bad[8] ^= 1;
        assert_eq!(read(&bad), Err(ParseError::IpChecksum));
        assert!(parse(&bad, bad.len(), Check::Trust).is_ok());
    }

    /// MUST-50: options that mean nothing to us are ignored; source routes are refused.
    #[test]
    fn options_are_walked() {
        assert!(read(&packet(&[148, 4, 0, 0], |_| ())).unwrap().router_alert);
        assert!(!read(&packet(&[7, 3, 4, 0], |_| ())).unwrap().router_alert);
        assert!(read(&packet(&[0, 131, 0, 0], |_| ())).is_ok());
        for kind in [131, 137] {
            let options = [1, kind, 3, 4];
            assert_eq!(read(&packet(&options, |_| ())), Err(ParseError::SourceRoute));
        }
        for options in [[7, 0, 0, 0], [7, 1, 0, 0], [7, 5, 0, 0], [1, 1, 1, 7]] {
            assert_eq!(read(&packet(&options, |_| ())), Err(ParseError::Malformed));
        }
    }

    #[test]
    fn fragments_that_cannot_be() {
        let fragment = |word: u16, len: u8| {
            read(&packet(&[], |b| {
                b[6..8].copy_from_slice(&word.to_be_bytes());
                b[3] = len;
            }))
        };
        assert_eq!(
            fragment(0x2001, 36).map(|h| (h.fragment_offset, h.more_fragments)),
            Ok((8, true))
        );
        assert_eq!(fragment(0x2000, 33), Err(ParseError::BadFragment));
        assert_eq!(fragment(0x2000, 20), Err(ParseError::BadFragment));
        // 65,515 octets of payload and a header are all that a datagram can have.
        assert!(fragment(8187, 36).is_ok());
        assert_eq!(fragment(8189, 36), Err(ParseError::BadFragment));
    }

    #[test]
    fn what_is_written() {
        let mut header = Header::new(Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST, 2, 70_000);
        header.router_alert = true;
        header.more_fragments = true;
        header.fragment_offset = 1480;
        let mut out = [0xee; 24];
        assert_eq!(emit(&header, &mut out), 24);
        assert_eq!(out[..4], [0x46, 0, 0xff, 0xff]);
        assert_eq!(out[6..8], [0x60, 185]);
        assert_eq!(out[20..], [148, 4, 0, 0]);
        assert!(checksum::sum(&out).verify());
    }

    #[test]
    fn hop_limit_runs_out() {
        let mut bytes = packet(&[], |b| b[8] = 2);
        assert!(decrement_hop_limit(&mut bytes));
        assert!(checksum::sum(&bytes[..HEADER_LEN]).verify());
        assert!(!decrement_hop_limit(&mut bytes));
        assert_eq!(bytes[8], 1);
    }
}
