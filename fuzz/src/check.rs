//! What is asserted of every frame that a stack emits: it parses, its lengths agree and its checksums are right, by
//! arithmetic of its own.

use crate::build::{pseudo_header, sum};
use sockeye_stack::tcp::Segment;
use sockeye_stack::wire::{Check, arp, ethernet, ipv4, ipv6, ipv6_extension, ndp, tcp, udp};
use sockeye_stack::{ChecksumOffload, Medium, TxMeta};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What a frame carries.
#[derive(Clone, Debug)]
pub enum Content {
    /// An ARP packet.
    Arp(arp::Packet),
    /// A TCP segment.
    Tcp {
        source: SocketAddr,
        destination: SocketAddr,
        segment: Segment,
        payload: Vec<u8>,
    },
    /// A UDP datagram.
    Udp {
        source: SocketAddr,
        destination: SocketAddr,
        payload: Vec<u8>,
    },
    /// A neighbour solicitation: who asks, for whom.
    Solicitation { source: Ipv6Addr, target: Ipv6Addr },
    /// A fragment, or anything else.
    Other,
}

/// A frame that left, taken apart.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The IP packet, or the ARP packet.
    pub packet: Vec<u8>,
    /// The frame.
    pub frame: Vec<u8>,
    /// What it carries.
    pub content: Content,
}

/// Does the device's part of a checksum.
fn complete(frame: &mut [u8], offload: ChecksumOffload) {
    let start = usize::from(offload.start);
    let at = start + usize::from(offload.offset);
    let value = match !sum(&[&frame[start..]]) {
        0 => 0xffff,
        value => value,
    };
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Checks a frame and takes it apart.
///
/// # Panics
/// If anything about it is wrong.
pub fn frame(medium: Medium, mtu: usize, mut bytes: Vec<u8>, meta: &TxMeta) -> Seen {
    if let Some(offload) = meta.checksum {
        complete(&mut bytes, offload);
    }
    let mut at = 0;
    let mut ethertype = None;
    if let Medium::Ethernet { address } = medium {
        let header = ethernet::parse(&bytes).expect("an Ethernet header");
        assert_eq!(header.source, address, "frames carry our link address");
        at = header.len();
        ethertype = Some(header.ethertype);
    }
    let packet = bytes[at..].to_vec();
    assert!(
        packet.len() <= mtu || meta.gso_size > 0,
        "a packet of {} octets on a link of {mtu}: {:?}",
        packet.len(),
        meta.cause
    );
    let content = match ethertype {
        Some(ethernet::ARP) => Content::Arp(arp::parse(&packet).expect("an ARP packet")),
        Some(ethernet::IPV4) => v4(&packet),
        Some(ethernet::IPV6) => v6(&packet),
        Some(other) => panic!("ethertype {other:#x}"),
        None if packet[0] >> 4 == 4 => v4(&packet),
        None => v6(&packet),
    };
    Seen {
        packet,
        frame: bytes,
        content,
    }
}

fn v4(packet: &[u8]) -> Content {
    let header = ipv4::parse(packet, packet.len(), Check::Verify).expect("an IPv4 header");
    assert_eq!(sum(&[&packet[..header.header_len]]), 0xffff, "IPv4 header checksum");
    assert_eq!(header.total_len, packet.len(), "IPv4 total length");
    assert!(header.hop_limit > 0, "a packet that dies at once");
    assert!(!header.source.is_loopback() && !header.destination.is_loopback(), "loopback on the wire");
    if header.is_fragment() {
        assert!(!header.dont_fragment || header.fragment_offset == 0 && !header.more_fragments);
        return Content::Other;
    }
    let payload = &packet[header.header_len..];
    let (source, destination) = (header.source.into(), header.destination.into());
    match header.protocol {
        1 | 2 => {
            assert_eq!(sum(&[payload]), 0xffff, "ICMP or IGMP checksum");
            Content::Other
        }
        protocol => transport(source, destination, protocol, payload),
    }
}

fn v6(packet: &[u8]) -> Content {
    let header = ipv6::parse(packet, packet.len()).expect("an IPv6 header");
    assert_eq!(header.total_len(), packet.len(), "IPv6 payload length");
    assert!(header.hop_limit > 0, "a packet that dies at once");
    assert!(!header.source.is_multicast(), "a group as source");
    assert!(!header.source.is_loopback() && !header.destination.is_loopback(), "loopback on the wire");
    let upper = ipv6_extension::walk(&header, packet).expect("extension headers that can be walked");
    if upper.fragment.is_some() {
        return Content::Other;
    }
    let payload = &packet[upper.offset..];
    if upper.protocol != 58 {
        return transport(header.source.into(), header.destination.into(), upper.protocol, payload);
    }
    let pseudo = pseudo_header(header.source.into(), header.destination.into(), 58, payload.len());
    assert_eq!(sum(&[&pseudo, payload]), 0xffff, "ICMPv6 checksum");
    if (133..=137).contains(&payload[0]) {
        let message = ndp::parse(payload, header.source, header.destination, header.hop_limit);
        match message.expect("neighbour discovery that others accept") {
            ndp::Message::NeighborSolicitation { target, .. } => {
                return Content::Solicitation {
                    source: header.source,
                    target,
                };
            }
            _ => return Content::Other,
        }
    }
    Content::Other
}

fn transport(source: IpAddr, destination: IpAddr, protocol: u8, packet: &[u8]) -> Content {
    let pseudo = pseudo_header(source, destination, protocol, packet.len());
    match protocol {
        6 => {
            assert_eq!(sum(&[&pseudo, packet]), 0xffff, "TCP checksum");
            assert!(!destination.is_multicast(), "TCP to a group");
            assert!(!source.is_unspecified(), "TCP from nobody");
            let header = tcp::parse(packet, packet.len()).expect("a TCP header");
            assert!(header.source_port != 0 && header.destination_port != 0, "TCP port 0");
            Content::Tcp {
                source: SocketAddr::new(source, header.source_port),
                destination: SocketAddr::new(destination, header.destination_port),
                segment: header.segment,
                payload: packet[header.header_len..].to_vec(),
            }
        }
        17 => {
            let header = udp::parse(packet, packet.len()).expect("a UDP header");
            assert_ne!(header.checksum, 0, "UDP without checksum");
            assert_eq!(sum(&[&pseudo, packet]), 0xffff, "UDP checksum");
            assert_eq!(usize::from(header.length), packet.len(), "UDP length");
            Content::Udp {
                source: SocketAddr::new(source, header.source_port),
                destination: SocketAddr::new(destination, header.destination_port),
                payload: packet[8..].to_vec(),
            }
        }
        other => panic!("protocol {other}"),
    }
}
