//! Packets as a well-behaved peer would write them, to be bent afterwards.

use sockeye_stack::tcp::Segment;
use sockeye_stack::wire::{self, ethernet, ipv4, ipv6};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The ones' complement sum over 16-bit words, the plain way, folded.
pub fn sum(parts: &[&[u8]]) -> u16 {
    let all: Vec<u8> = parts.concat();
    let mut total: u64 = 0;
    for word in all.chunks(2) {
        total += u64::from(word[0]) << 8 | word.get(1).map_or(0, |&b| u64::from(b));
    }
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// The pseudo-header of a transport checksum, as octets.
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for address in [source, destination] {
        match address {
            IpAddr::V4(a) => out.extend(a.octets()),
            IpAddr::V6(a) => out.extend(a.octets()),
        }
    }
    out.extend((len as u32).to_be_bytes());
    out.extend([0, 0, 0, protocol]);
    out
}

/// Writes the checksum of a transport packet at `offset`, which holds zero.
fn complete(source: IpAddr, destination: IpAddr, protocol: u8, packet: &mut [u8], offset: usize) {
    let pseudo = pseudo_header(source, destination, protocol, packet.len());
    let value = !sum(&[&pseudo, packet]);
    packet[offset..offset + 2].copy_from_slice(&value.to_be_bytes());
}

/// An IP packet around a transport packet. Mixed families give an IPv4 packet of unspecified addresses.
pub fn ip(source: IpAddr, destination: IpAddr, protocol: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut out;
    match (source, destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = ipv6::Header::new(source, destination, protocol, payload.len());
            header.hop_limit = hop_limit;
            out = vec![0; ipv6::HEADER_LEN];
            ipv6::emit(&header, &mut out);
        }
        (source, destination) => {
            let of = |a| match a {
                IpAddr::V4(a) => a,
                IpAddr::V6(_) => std::net::Ipv4Addr::UNSPECIFIED,
            };
            let len = ipv4::HEADER_LEN + payload.len();
            let mut header = ipv4::Header::new(of(source), of(destination), protocol, len);
            header.hop_limit = hop_limit;
            out = vec![0; ipv4::HEADER_LEN];
            ipv4::emit(&header, &mut out);
        }
    }
    out.extend_from_slice(payload);
    out
}

/// A TCP segment in an IP packet.
pub fn tcp(source: SocketAddr, destination: SocketAddr, segment: &Segment, data: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; wire::tcp::header_len(segment)];
    wire::tcp::emit(segment, source.port(), destination.port(), &mut packet);
    packet.extend_from_slice(data);
    complete(source.ip(), destination.ip(), 6, &mut packet, wire::tcp::CHECKSUM_OFFSET);
    ip(source.ip(), destination.ip(), 6, 64, &packet)
}

/// A datagram in an IP packet.
pub fn udp(source: SocketAddr, destination: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(source.port().to_be_bytes());
    packet.extend(destination.port().to_be_bytes());
    packet.extend(((8 + data.len()) as u16).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend_from_slice(data);
    complete(source.ip(), destination.ip(), 17, &mut packet, wire::udp::CHECKSUM_OFFSET);
    ip(source.ip(), destination.ip(), 17, 64, &packet)
}

/// An ICMP message, of the family of its addresses, its checksum made here.
pub fn icmp(source: IpAddr, destination: IpAddr, hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let mut packet = message.to_vec();
    if packet.len() < 8 {
        packet.resize(8, 0);
    }
    packet[2..4].fill(0);
    if source.is_ipv4() {
        let value = !sum(&[&packet]);
        packet[2..4].copy_from_slice(&value.to_be_bytes());
        return ip(source, destination, 1, hop_limit, &packet);
    }
    complete(source, destination, 58, &mut packet, 2);
    ip(source, destination, 58, hop_limit, &packet)
}

/// Puts an extension header between an IPv6 header and what follows.
pub fn extended(packet: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
    if packet.first().map(|b| b >> 4) != Some(6) || packet.len() < ipv6::HEADER_LEN {
        return packet.to_vec();
    }
    let mut header = vec![packet[6]];
    match kind {
        44 => header.push(0),
        _ => {
            let units = (content.len() + 2).div_ceil(8).max(1);
            header.push((units - 1) as u8);
        }
    }
    header.extend_from_slice(content);
    let units = header.len().div_ceil(8) * 8;
    // Padding: PadN where options stand, nothing elsewhere.
    match units - header.len() {
        0 => {}
        1 => header.push(0),
        n => {
            header.extend([1, (n - 2) as u8]);
            header.resize(units, 0);
        }
    }
    let mut out = packet[..ipv6::HEADER_LEN].to_vec();
    out[6] = kind;
    let len = (packet.len() - ipv6::HEADER_LEN + header.len()) as u16;
    out[4..6].copy_from_slice(&len.to_be_bytes());
    out.extend(header);
    out.extend_from_slice(&packet[ipv6::HEADER_LEN..]);
    out
}

/// Cuts a packet into two fragments at a multiple of eight octets.
pub fn fragments(packet: &[u8], at: usize, identification: u16) -> Vec<Vec<u8>> {
    let v6 = packet.first().map(|b| b >> 4) == Some(6);
    let head = if v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
    if packet.len() < head + 8 {
        return vec![packet.to_vec()];
    }
    let payload = &packet[head..];
    let cut = (at % payload.len()) & !7;
    let mut out = Vec::new();
    for (from, to, more) in [(0, cut, true), (cut, payload.len(), false)] {
        if from == to {
            continue;
        }
        let field = (from as u16) & !7;
        let mut piece = packet[..head].to_vec();
        if v6 {
            let mut rest = vec![0; 8];
            let id = u32::from(identification);
            wire::ipv6_extension::emit_fragment(packet[6], field, more, id, &mut rest);
            rest.extend_from_slice(&payload[from..to]);
            piece[6] = 44;
            piece[4..6].copy_from_slice(&(rest.len() as u16).to_be_bytes());
            piece.extend(rest);
        } else {
            let word = field / 8 | if more { 0x2000 } else { 0 };
            piece[2..4].copy_from_slice(&((head + to - from) as u16).to_be_bytes());
            piece[4..6].copy_from_slice(&identification.to_be_bytes());
            piece[6..8].copy_from_slice(&word.to_be_bytes());
            piece[10..12].fill(0);
            let value = !sum(&[&piece]);
            piece[10..12].copy_from_slice(&value.to_be_bytes());
            piece.extend_from_slice(&payload[from..to]);
        }
        out.push(piece);
    }
    out
}

/// Makes the checksums of a bent packet right again, as far as its headers can be found, so that it gets past them.
pub fn repair(packet: &mut [u8]) {
    let (head, protocol, source, destination): (usize, u8, IpAddr, IpAddr) = match packet.first().map(|b| b >> 4) {
        Some(4) if packet.len() >= 20 => {
            let head = usize::from(packet[0] & 15) * 4;
            if head < 20 || head > packet.len() {
                return;
            }
            packet[10..12].fill(0);
            let value = !sum(&[&packet[..head]]);
            packet[10..12].copy_from_slice(&value.to_be_bytes());
            let of = |at: usize| <[u8; 4]>::try_from(&packet[at..at + 4]).expect("four octets");
            (head, packet[9], of(12).into(), of(16).into())
        }
        Some(6) if packet.len() >= 40 => {
            let of = |at: usize| <[u8; 16]>::try_from(&packet[at..at + 16]).expect("sixteen octets");
            (40, packet[6], Ipv6Addr::from(of(8)).into(), Ipv6Addr::from(of(24)).into())
        }
        _ => return,
    };
    let transport = &mut packet[head..];
    let (offset, pseudo) = match protocol {
        6 => (16, true),
        17 => (6, true),
        1 | 2 => (2, false),
        58 => (2, true),
        _ => return,
    };
    if transport.len() < offset + 2 {
        return;
    }
    transport[offset..offset + 2].fill(0);
    if pseudo {
        complete(source, destination, protocol, transport, offset);
    } else {
        let value = !sum(&[transport]);
        transport[offset..offset + 2].copy_from_slice(&value.to_be_bytes());
    }
}

/// An Ethernet frame.
pub fn ethernet(source: [u8; 6], destination: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let header = ethernet::Header {
        destination,
        source,
        ethertype,
        vlan: None,
    };
    let mut out = vec![0; header.len()];
    ethernet::emit(&header, &mut out);
    out.extend_from_slice(payload);
    out
}

/// The ethertype of an IP packet.
pub fn ethertype(packet: &[u8]) -> u16 {
    if packet.first().map(|b| b >> 4) == Some(6) {
        ethernet::IPV6
    } else {
        ethernet::IPV4
    }
}
