//! Looking into frames, and making and changing IP packets by hand: what links, routers and tests need of IP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockeye_stack::frame::HEAD_CAPACITY;
use sockeye_stack::tcp::{Flags, SeqNumber};
use sockeye_stack::{Frame, Medium};

/// Protocol numbers (IANA).
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
}

/// Ethertypes.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
}

/// A look into a frame, for those who choose which frames are lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Protocol number.
    pub protocol: u8,
    /// Whether it is a fragment; only the first carries the transport header.
    pub fragment: bool,
    /// Source port (TCP, UDP).
    pub source_port: u16,
    /// Destination port (TCP, UDP).
    pub destination_port: u16,
    /// SEG.SEQ (TCP).
    pub seq: SeqNumber,
    /// SEG.ACK (TCP).
    pub ack: SeqNumber,
    /// Control bits (TCP).
    pub flags: Flags,
    /// Type and code (ICMP).
    pub icmp: (u8, u8),
    /// Octets after the transport header; after the IP header where the protocol is another.
    pub payload_len: usize,
}

impl Packet {
    /// Looks into a frame. `None` for what is no IP packet, or too short to be one.
    pub fn parse(frame: &Frame, medium: Medium) -> Option<Packet> {
        let link = link_header(medium);
        Packet::of_ip(frame.front().get(link..)?, frame.len() - link)
    }
    /// Looks into an IP packet of which `front` are the first octets, and `len` the length.
    pub fn of_ip(front: &[u8], len: usize) -> Option<Packet> {
        let ip = IpHeader::parse(front)?;
        let transport = &front[ip.header_len.min(front.len())..];
        let payload = ip.total_len.min(len).saturating_sub(ip.header_len);
        let mut packet = Packet {
            source: ip.source,
            destination: ip.destination,
            hop_limit: ip.hop_limit,
            protocol: ip.protocol,
            fragment: ip.fragment_offset != 0 || ip.more_fragments,
            source_port: 0,
            destination_port: 0,
            seq: SeqNumber(0),
            ack: SeqNumber(0),
            flags: Flags::empty(),
            icmp: (0, 0),
            payload_len: payload,
        };
        if ip.fragment_offset != 0 {
            return Some(packet);
        }
        let header_len = match ip.protocol {
            protocol::TCP if transport.len() >= 20 => {
                packet.seq = SeqNumber(u32_at(transport, 4));
                packet.ack = SeqNumber(u32_at(transport, 8));
                packet.flags = Flags::from_bits_truncate(transport[13]);
                usize::from(transport[12] >> 4) * 4
            }
            protocol::UDP if transport.len() >= 8 => 8,
            protocol::ICMP | protocol::ICMPV6 if transport.len() >= 4 => {
                packet.icmp = (transport[0], transport[1]);
                0
            }
            _ => 0,
        };
        if matches!(ip.protocol, protocol::TCP | protocol::UDP) && header_len > 0 {
            packet.source_port = u16_at(transport, 0);
            packet.destination_port = u16_at(transport, 2);
        }
        packet.payload_len = payload.saturating_sub(header_len);
        Some(packet)
    }
    /// A TCP segment.
    pub fn is_tcp(&self) -> bool {
        self.protocol == protocol::TCP
    }
    /// A TCP segment with payload.
    pub fn is_data(&self) -> bool {
        self.is_tcp() && self.payload_len > 0
    }
    /// A SYN without ACK.
    pub fn is_syn(&self) -> bool {
        self.is_tcp() && self.flags.contains(Flags::SYN) && !self.flags.contains(Flags::ACK)
    }
    /// A SYN with ACK.
    pub fn is_syn_ack(&self) -> bool {
        self.is_tcp() && self.flags.contains(Flags::SYN.union(Flags::ACK))
    }
    /// A segment with FIN.
    pub fn is_fin(&self) -> bool {
        self.is_tcp() && self.flags.contains(Flags::FIN)
    }
    /// A reset.
    pub fn is_rst(&self) -> bool {
        self.is_tcp() && self.flags.contains(Flags::RST)
    }
    /// An acknowledgment and nothing else.
    pub fn is_pure_ack(&self) -> bool {
        const OTHER: Flags = Flags::SYN.union(Flags::FIN).union(Flags::RST);
        self.is_tcp()
            && self.flags.contains(Flags::ACK)
            && !self.flags.intersects(OTHER)
            && self.payload_len == 0
    }
    /// A UDP datagram.
    pub fn is_udp(&self) -> bool {
        self.protocol == protocol::UDP
    }
    /// ICMP or ICMPv6.
    pub fn is_icmp(&self) -> bool {
        matches!(self.protocol, protocol::ICMP | protocol::ICMPV6)
    }
}

/// The fields of an IPv4 or IPv6 header. IPv6 extension headers other than the fragment header are not looked into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IpHeader {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    /// Octets before the transport header.
    pub(crate) header_len: usize,
    /// Octets of the whole packet as the header says.
    pub(crate) total_len: usize,
    /// In octets.
    pub(crate) fragment_offset: usize,
    pub(crate) more_fragments: bool,
    pub(crate) dont_fragment: bool,
}

impl IpHeader {
    pub(crate) fn parse(front: &[u8]) -> Option<IpHeader> {
        match front.first()? >> 4 {
            4 => Self::parse_v4(front),
            6 => Self::parse_v6(front),
            _ => None,
        }
    }
    fn parse_v4(b: &[u8]) -> Option<IpHeader> {
        let header_len = usize::from(b[0] & 15) * 4;
        if header_len < 20 || b.len() < header_len {
            return None;
        }
        let fragment = u16_at(b, 6);
        let header = IpHeader {
            source: v4_at(b, 12).into(),
            destination: v4_at(b, 16).into(),
            protocol: b[9],
            hop_limit: b[8],
            header_len,
            total_len: u16_at(b, 2).into(),
            fragment_offset: usize::from(fragment & 0x1fff) * 8,
            more_fragments: fragment & 0x2000 != 0,
            dont_fragment: fragment & 0x4000 != 0,
        };
        (header.total_len >= header_len).then_some(header)
    }
    fn parse_v6(b: &[u8]) -> Option<IpHeader> {
        const FRAGMENT: u8 = 44;
        if b.len() < 40 {
            return None;
        }
        let mut header = IpHeader {
            source: v6_at(b, 8).into(),
            destination: v6_at(b, 24).into(),
            protocol: b[6],
            hop_limit: b[7],
            header_len: 40,
            total_len: 40 + usize::from(u16_at(b, 4)),
            fragment_offset: 0,
            more_fragments: false,
            dont_fragment: true,
        };
        if header.protocol == FRAGMENT && b.len() >= 48 {
            let fragment = u16_at(b, 42);
            header.protocol = b[40];
            header.header_len = 48;
            header.fragment_offset = usize::from(fragment & 0xfff8);
            header.more_fragments = fragment & 1 != 0;
        }
        Some(header)
    }
    pub(crate) fn is_v4(&self) -> bool {
        self.source.is_ipv4()
    }
}

pub(crate) fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([b[at], b[at + 1]])
}
pub(crate) fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}
pub(crate) fn put_u16(b: &mut [u8], at: usize, value: u16) {
    b[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
pub(crate) fn v4_at(b: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32_at(b, at))
}
pub(crate) fn v6_at(b: &[u8], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&b[at..at + 16]);
    Ipv6Addr::from(octets)
}

/// Octets of link header on a medium.
pub(crate) fn link_header(medium: Medium) -> usize {
    match medium {
        Medium::Ip => 0,
        Medium::Ethernet { .. } => 14,
    }
}

/// Makes sure that the head holds all of a frame's headers, so that they can be changed there: `link` octets of link
/// header, the IP header, and as much of the transport header as anybody here changes. The bytes behind stay shared.
pub(crate) fn headers_to_head(frame: &mut Frame, link: usize) {
    let mut start = [0; HEAD_CAPACITY];
    let head = frame.head.len();
    start[..head].copy_from_slice(frame.head.as_slice());
    let known = head + frame.body.copy_to(&mut start[head..]);
    let need = match start[..known].get(link..).and_then(IpHeader::parse) {
        Some(ip) if ip.protocol == protocol::TCP => link + ip.header_len + 20,
        Some(ip) => link + ip.header_len + 8,
        None => known,
    };
    let need = need.min(known);
    if need > head {
        frame.head.extend(need - head).copy_from_slice(&start[head..need]);
        frame.body.advance(need - head);
    }
}

/// One's complement sum of 16-bit words (RFC 1071), not folded yet.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes
        .chunks(2)
        .map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |&b| u32::from(b)));
    // 65,535 octets at most: 32,768 words of 16 bits fit into 32.
    words.sum()
}
fn fold(mut sum: u32) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
/// Whether a frame carries an IP packet of an ECN-capable transport: ECT(0), ECT(1) or CE (RFC 3168 section 5).
pub(crate) fn is_ecn_capable(frame: &Frame, medium: Medium) -> bool {
    match frame.front().get(link_header(medium)..) {
        Some([version, class, ..]) if version >> 4 == 4 => class & 3 != 0,
        Some([version, class, ..]) if version >> 4 == 6 => class & 0x30 != 0,
        _ => false,
    }
}

/// Marks an IP packet with CE, as a congested router does.
pub(crate) fn set_ce(packet: &mut [u8]) {
    match packet.first().map(|first| first >> 4) {
        Some(6) if packet.len() >= 2 => packet[1] |= 0x30,
        Some(4) if packet.len() >= 20 => {
            let before = [packet[0], packet[1]];
            let after = [before[0], before[1] | 3];
            let check = adjust_checksum(u16::from_be_bytes([packet[10], packet[11]]), &before, &after);
            packet[1] = after[1];
            packet[10..12].copy_from_slice(&check.to_be_bytes());
        }
        _ => {}
    }
}

/// The Internet checksum (RFC 1071).
pub fn checksum(bytes: &[u8]) -> u16 {
    !fold(sum(bytes))
}
/// The checksum of a transport segment with its pseudo-header.
pub fn transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let addresses = match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => sum(&s.octets()) + sum(&d.octets()),
        (IpAddr::V6(s), IpAddr::V6(d)) => sum(&s.octets()) + sum(&d.octets()),
        _ => 0,
    };
    let all = addresses + u32::from(protocol) + segment.len() as u32 + u32::from(fold(sum(segment)));
    !fold(all)
}
/// The checksum after `old` was replaced by `new` in what it covers (RFC 1624 equation 3). Both of even length.
pub fn adjust_checksum(check: u16, old: &[u8], new: &[u8]) -> u16 {
    let old = old.chunks_exact(2).map(|w| u32::from(!u16_at(w, 0))).sum::<u32>();
    !fold(u32::from(!check) + old + fold(sum(new)) as u32)
}

/// An IP packet around `segment`, whose checksum is filled in for TCP, UDP and ICMP.
///
/// # Panics
/// If the addresses are of different families.
pub fn ip_packet(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    hop_limit: u8,
    segment: &[u8],
) -> Vec<u8> {
    let mut packet = match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            let mut b = vec![0x45, 0, 0, 0, 0, 0, 0, 0, hop_limit, protocol, 0, 0];
            b.extend_from_slice(&s.octets());
            b.extend_from_slice(&d.octets());
            put_u16(&mut b, 2, (20 + segment.len()) as u16);
            let check = checksum(&b);
            put_u16(&mut b, 10, check);
            b
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            let mut b = vec![0x60, 0, 0, 0, 0, 0, protocol, hop_limit];
            put_u16(&mut b, 4, segment.len() as u16);
            b.extend_from_slice(&s.octets());
            b.extend_from_slice(&d.octets());
            b
        }
        _ => panic!("{source} and {destination} are of different families"),
    };
    let start = packet.len();
    packet.extend_from_slice(segment);
    let place = match protocol {
        protocol::TCP => 16,
        protocol::UDP => 6,
        protocol::ICMP | protocol::ICMPV6 => 2,
        _ => return packet,
    };
    put_u16(&mut packet, start + place, 0);
    let mut check = match protocol {
        protocol::ICMP => checksum(&packet[start..]),
        _ => transport_checksum(source, destination, protocol, &packet[start..]),
    };
    if protocol == protocol::UDP && check == 0 {
        check = 0xffff; // RFC 768: zero means that there is none
    }
    put_u16(&mut packet, start + place, check);
    packet
}
/// A UDP datagram in an IP packet.
pub fn udp_packet(source: (IpAddr, u16), destination: (IpAddr, u16), payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0; 8];
    put_u16(&mut segment, 0, source.1);
    put_u16(&mut segment, 2, destination.1);
    put_u16(&mut segment, 4, (8 + payload.len()) as u16);
    segment.extend_from_slice(payload);
    ip_packet(source.0, destination.0, protocol::UDP, 64, &segment)
}
/// A TCP segment without options in an IP packet.
pub fn tcp_packet(
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
    seq: u32,
    ack: u32,
    flags: Flags,
    payload: &[u8],
) -> Vec<u8> {
    let mut segment = vec![0; 20];
    put_u16(&mut segment, 0, source.1);
    put_u16(&mut segment, 2, destination.1);
    segment[4..8].copy_from_slice(&seq.to_be_bytes());
    segment[8..12].copy_from_slice(&ack.to_be_bytes());
    segment[12] = 5 << 4;
    segment[13] = flags.bits();
    put_u16(&mut segment, 14, 65_535);
    segment.extend_from_slice(payload);
    ip_packet(source.0, destination.0, protocol::TCP, 64, &segment)
}
/// A ping.
pub fn echo_request(source: IpAddr, destination: IpAddr, id: u16, seq: u16, payload: &[u8]) -> Vec<u8> {
    let (protocol, kind) = match source {
        IpAddr::V4(_) => (protocol::ICMP, 8),
        IpAddr::V6(_) => (protocol::ICMPV6, 128),
    };
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    put_u16(&mut message, 4, id);
    put_u16(&mut message, 6, seq);
    message.extend_from_slice(payload);
    ip_packet(source, destination, protocol, 64, &message)
}
/// Whether the checksums of an IP packet stand: IPv4's header, and the transport's unless it is a fragment.
pub fn checksums_stand(packet: &[u8]) -> bool {
    let Some(ip) = IpHeader::parse(packet) else {
        return false;
    };
    if ip.total_len > packet.len() || (ip.is_v4() && checksum(&packet[..ip.header_len]) != 0) {
        return false;
    }
    let segment = &packet[ip.header_len..ip.total_len];
    match ip.protocol {
        _ if ip.fragment_offset != 0 || ip.more_fragments => true,
        protocol::ICMP => checksum(segment) == 0,
        protocol::UDP if segment.len() >= 8 && u16_at(segment, 6) == 0 => ip.is_v4(),
        protocol::TCP | protocol::UDP | protocol::ICMPV6 => {
            transport_checksum(ip.source, ip.destination, ip.protocol, segment) == 0
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 5000);
    const B: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 80);

    #[test]
    fn what_is_made_is_what_is_seen() {
        let bytes = tcp_packet(A, B, 7, 9, Flags::PSH | Flags::ACK, b"hello");
        assert!(checksums_stand(&bytes));
        let packet = Packet::of_ip(&bytes, bytes.len()).unwrap();
        assert_eq!((packet.source, packet.source_port), A);
        assert_eq!((packet.destination, packet.destination_port), B);
        assert_eq!(
            (packet.seq, packet.ack, packet.payload_len),
            (SeqNumber(7), SeqNumber(9), 5)
        );
        assert!(packet.is_data() && !packet.is_syn() && !packet.is_pure_ack());
        let udp = udp_packet(A, B, b"odd");
        assert!(checksums_stand(&udp) && Packet::of_ip(&udp, udp.len()).unwrap().is_udp());
        let ping = echo_request("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap(), 1, 2, b"x");
        assert!(checksums_stand(&ping));
    }

    #[test]
    fn one_bit_is_enough_to_break_a_checksum() {
        let bytes = udp_packet(A, B, b"payload");
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!checksums_stand(&bad), "bit {bit}");
        }
    }

    #[test]
    fn adjusting_agrees_with_computing_anew() {
        let mut rng = crate::Rng::new(3);
        for _ in 0..1000 {
            let mut bytes = vec![0; 40];
            rng.fill(&mut bytes);
            let before = checksum(&bytes);
            let old: [u8; 4] = bytes[4..8].try_into().unwrap();
            let new = (rng.next_u64() as u32).to_be_bytes();
            bytes[4..8].copy_from_slice(&new);
            assert_eq!(adjust_checksum(before, &old, &new), checksum(&bytes));
        }
    }

    #[test]
    fn rubbish_is_looked_at_without_harm() {
        let mut rng = crate::Rng::new(9);
        for len in 0..120 {
            let mut bytes = vec![0; len];
            rng.fill(&mut bytes);
            for first in [0x45, 0x4f, 0x60, 0x00] {
                if let Some(b) = bytes.first_mut() {
                    *b = first;
                }
                let _ = Packet::of_ip(&bytes, len);
                let _ = checksums_stand(&bytes);
            }
        }
    }
}
