//! What a frame on a link says, read for showing.
//!
//! Headers are read by the core's own `wire`, checksums and lengths are not judged: frames that were damaged on the way,
//! or sent wrong on purpose, are to be seen too. What cannot be read becomes a few words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sockeye_stack::Medium;
use sockeye_stack::tcp::{EcnField, Segment};
use sockeye_stack::wire::{ethernet, ipv4, ipv6, protocol, tcp, udp};

/// What a frame carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    /// A TCP segment.
    Tcp {
        /// Sender's address and port.
        source: SocketAddr,
        /// Receiver's address and port.
        destination: SocketAddr,
        /// Its header.
        segment: Segment,
    },
    /// A UDP datagram, or its first fragment.
    Udp {
        /// Sender's address and port.
        source: SocketAddr,
        /// Receiver's address and port.
        destination: SocketAddr,
        /// Octets of payload.
        len: u32,
    },
    /// Anything else, in a few words.
    Other {
        /// The network address of the sender, where there is one.
        source: Option<IpAddr>,
        /// The receiver's.
        destination: Option<IpAddr>,
        /// `ARP who has 10.0.0.2?`, `ICMP echo request`.
        words: String,
    },
}

impl Packet {
    /// Reads a frame as it stands on a link of this medium.
    pub fn read(bytes: &[u8], medium: Medium) -> Packet {
        let read = match medium {
            Medium::Ip => read_ip(bytes),
            Medium::Ethernet { .. } => read_ethernet(bytes),
        };
        read.unwrap_or_else(|| other(None, None, format!("unreadable frame, {} octets", bytes.len())))
    }

    /// The address it goes to.
    pub fn destination(&self) -> Option<IpAddr> {
        match self {
            Packet::Tcp { destination, .. } | Packet::Udp { destination, .. } => Some(destination.ip()),
            Packet::Other { destination, .. } => *destination,
        }
    }
}

fn other(source: Option<IpAddr>, destination: Option<IpAddr>, words: impl Into<String>) -> Packet {
    Packet::Other {
        source,
        destination,
        words: words.into(),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
fn v4_at(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    u32_at(bytes, at).map(Ipv4Addr::from)
}
fn v6_at(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(octets.into())
}

fn read_ethernet(bytes: &[u8]) -> Option<Packet> {
    let header = ethernet::parse(bytes).ok()?;
    let payload = bytes.get(header.len()..)?;
    match header.ethertype {
        0x0800 | 0x86dd => read_ip(payload),
        0x0806 => read_arp(payload),
        kind => Some(other(None, None, format!("Ethernet type {kind:#06x}"))),
    }
}

fn read_arp(bytes: &[u8]) -> Option<Packet> {
    let (sender, target) = (v4_at(bytes, 14)?, v4_at(bytes, 24)?);
    let words = match u16_at(bytes, 6)? {
        1 if sender == target => format!("ARP {sender} is mine"),
        1 => format!("ARP who has {target}?"),
        2 => {
            let octets: Vec<String> = bytes
                .get(8..14)?
                .iter()
                .map(|octet| format!("{octet:02x}"))
                .collect();
            format!("ARP {sender} is at {}", octets.join(":"))
        }
        n => format!("ARP operation {n}"),
    };
    Some(other(Some(sender.into()), Some(target.into()), words))
}

/// The addresses, the protocol, where its bytes begin and how many the IP header promises.
struct Network<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ecn: EcnField,
    /// What is there of the payload.
    payload: &'a [u8],
    /// Octets of payload that the header promises.
    promised: usize,
}

fn read_ip(bytes: &[u8]) -> Option<Packet> {
    match bytes.first()? >> 4 {
        4 => {
            // As a quoted header: a wrong checksum or length is for the receiver to judge.
            let header = ipv4::parse_embedded(bytes).ok()?;
            let (source, destination) = (header.source.into(), header.destination.into());
            if header.fragment_offset != 0 {
                let words = fragment_words(header.identification.into(), header.fragment_offset.into());
                return Some(other(Some(source), Some(destination), words));
            }
            read_transport(&Network {
                source,
                destination,
                protocol: header.protocol,
                ecn: EcnField::from_class(header.traffic_class),
                payload: bytes.get(header.header_len..)?,
                promised: header.total_len.saturating_sub(header.header_len),
            })
        }
        6 => read_ipv6(bytes),
        version => Some(other(None, None, format!("IP version {version}"))),
    }
}

fn read_ipv6(bytes: &[u8]) -> Option<Packet> {
    let header = ipv6::parse_embedded(bytes).ok()?;
    let (source, destination) = (header.source.into(), header.destination.into());
    let (mut protocol, mut promised) = (header.next_header, header.payload_len);
    let mut payload = bytes.get(ipv6::HEADER_LEN..)?;
    loop {
        let length = match protocol {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                (usize::from(*payload.get(1)?) + 1) * 8
            }
            protocol::FRAGMENT => {
                let offset = u16_at(payload, 2)? & 0xfff8;
                if offset != 0 {
                    let words = fragment_words(u32_at(payload, 4)?, u32::from(offset));
                    return Some(other(Some(source), Some(destination), words));
                }
                8
            }
            _ => break,
        };
        protocol = *payload.first()?;
        payload = payload.get(length..)?;
        promised = promised.saturating_sub(length);
    }
    read_transport(&Network {
        source,
        destination,
        protocol,
        ecn: EcnField::from_class(header.traffic_class),
        payload,
        promised,
    })
}

fn fragment_words(id: u32, offset: u32) -> String {
    format!("fragment of datagram {id:#x} from octet {offset}")
}

fn read_transport(ip: &Network<'_>) -> Option<Packet> {
    let words = match ip.protocol {
        protocol::TCP => match tcp::parse(ip.payload, ip.promised) {
            Ok(header) => {
                return Some(Packet::Tcp {
                    source: SocketAddr::new(ip.source, header.source_port),
                    destination: SocketAddr::new(ip.destination, header.destination_port),
                    segment: Segment {
                        ecn: ip.ecn,
                        ..header.segment
                    },
                });
            }
            Err(_) => "TCP with a header that cannot be".into(),
        },
        protocol::UDP => {
            // The first fragment of a long datagram promises more than is here.
            let header = udp::parse(ip.payload, usize::MAX).ok()?;
            return Some(Packet::Udp {
                source: SocketAddr::new(ip.source, header.source_port),
                destination: SocketAddr::new(ip.destination, header.destination_port),
                len: (header.length - udp::HEADER_LEN) as u32,
            });
        }
        protocol::ICMPV4 => icmpv4_words(ip.payload)?,
        protocol::ICMPV6 => icmpv6_words(ip.payload)?,
        protocol::IGMP => "IGMP membership report".into(),
        n => format!("IP protocol {n}"),
    };
    Some(other(Some(ip.source), Some(ip.destination), words))
}

fn icmpv4_words(bytes: &[u8]) -> Option<String> {
    let (kind, code) = (*bytes.first()?, *bytes.get(1)?);
    Some(match (kind, code) {
        (0, _) => "ICMP echo reply".into(),
        (8, _) => "ICMP echo request".into(),
        (3, 0) => "ICMP network unreachable".into(),
        (3, 1) => "ICMP host unreachable".into(),
        (3, 2) => "ICMP protocol unreachable".into(),
        (3, 3) => "ICMP port unreachable".into(),
        (3, 4) => format!("ICMP too big, MTU {}", u16_at(bytes, 6)?),
        (4, _) => "ICMP source quench".into(),
        (5, _) => "ICMP redirect".into(),
        (11, 0) => "ICMP TTL exceeded".into(),
        (11, 1) => "ICMP reassembly time exceeded".into(),
        (12, _) => "ICMP parameter problem".into(),
        _ => format!("ICMP type {kind} code {code}"),
    })
}

fn icmpv6_words(bytes: &[u8]) -> Option<String> {
    let (kind, code) = (*bytes.first()?, *bytes.get(1)?);
    Some(match (kind, code) {
        (1, 4) => "ICMPv6 port unreachable".into(),
        (1, _) => "ICMPv6 unreachable".into(),
        (2, _) => format!("ICMPv6 too big, MTU {}", u32_at(bytes, 4)?),
        (3, _) => "ICMPv6 time exceeded".into(),
        (4, _) => "ICMPv6 parameter problem".into(),
        (128, _) => "ICMPv6 echo request".into(),
        (129, _) => "ICMPv6 echo reply".into(),
        (133, _) => "NDP: routers?".into(),
        (134, _) => "NDP: I am a router".into(),
        (135, _) => format!("NDP who has {}?", v6_at(bytes, 8)?),
        (136, _) => format!("NDP {} is here", v6_at(bytes, 8)?),
        (143, _) => "MLD membership report".into(),
        _ => format!("ICMPv6 type {kind} code {code}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use sockeye_stack::tcp::{Flags, SeqNumber};

    #[test]
    fn reads_what_others_build() {
        let build = PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv6([1; 16], [2; 16], 64)
            .tcp(1000, 80, 7, 65_000)
            .syn()
            .options(&[
                etherparse::TcpOptionElement::MaximumSegmentSize(1440),
                etherparse::TcpOptionElement::Noop,
                etherparse::TcpOptionElement::WindowScale(7),
                etherparse::TcpOptionElement::SelectiveAcknowledgementPermitted,
            ])
            .expect("the options fit");
        let mut bytes = Vec::new();
        build.write(&mut bytes, b"hello").expect("writing to memory");
        let Packet::Tcp { source, segment, .. } = Packet::read(&bytes, Medium::Ethernet { address: [2; 6] })
        else {
            panic!("not TCP");
        };
        assert_eq!(source.port(), 1000);
        assert_eq!(
            (segment.seq, segment.payload_len, segment.window),
            (SeqNumber(7), 5, 65_000)
        );
        assert_eq!(segment.flags, Flags::SYN);
        assert_eq!(
            (segment.options.mss, segment.options.window_scale),
            (Some(1440), Some(7))
        );
        assert!(segment.options.sack_permitted);
        // Any beginning of it, and any single damage, is read or refused, never a panic.
        for n in 0..bytes.len() {
            let _ = Packet::read(&bytes[..n], Medium::Ip);
            let _ = Packet::read(&bytes[14..][..n.saturating_sub(14)], Medium::Ip);
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[n] ^= 1 << bit;
                let _ = Packet::read(&damaged, Medium::Ethernet { address: [2; 6] });
            }
        }
    }
}
