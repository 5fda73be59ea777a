//! What a frame on a link says, read for showing.
//!
//! Nothing is checked here: frames that were damaged on the way, or sent wrong on purpose, are to be seen too. What
//! cannot be read becomes a few words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sockeye_stack::Medium;
use sockeye_stack::tcp::{Flags, Options, SackBlock, Segment, SeqNumber, Timestamps};

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
    let payload = bytes.get(14..)?;
    match u16_at(bytes, 12)? {
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
            let m = bytes.get(8..14)?;
            format!(
                "ARP {sender} is at {:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}",
                m[0], m[1], m[2], m[3], m[4], m[5]
            )
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
    /// What is there of the payload.
    payload: &'a [u8],
    /// Octets of payload that the header promises.
    promised: usize,
}

fn read_ip(bytes: &[u8]) -> Option<Packet> {
    match bytes.first()? >> 4 {
        4 => {
            let header = usize::from(bytes[0] & 0x0f) * 4;
            let source = v4_at(bytes, 12)?.into();
            let destination = v4_at(bytes, 16)?.into();
            let fragment = u16_at(bytes, 6)?;
            if fragment & 0x1fff != 0 {
                let words = fragment_words(u32::from(u16_at(bytes, 4)?), u32::from(fragment & 0x1fff) * 8);
                return Some(other(Some(source), Some(destination), words));
            }
            let promised = usize::from(u16_at(bytes, 2)?).saturating_sub(header);
            let payload = bytes.get(header..)?;
            read_transport(&Network {
                source,
                destination,
                protocol: bytes[9],
                payload,
                promised,
            })
        }
        6 => read_ipv6(bytes),
        version => Some(other(None, None, format!("IP version {version}"))),
    }
}

fn read_ipv6(bytes: &[u8]) -> Option<Packet> {
    let source = v6_at(bytes, 8)?.into();
    let destination = v6_at(bytes, 24)?.into();
    let mut promised = usize::from(u16_at(bytes, 4)?);
    let mut protocol = *bytes.get(6)?;
    let mut payload = bytes.get(40..)?;
    loop {
        let length = match protocol {
            0 | 43 | 60 => (usize::from(*payload.get(1)?) + 1) * 8,
            44 => {
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
        payload,
        promised,
    })
}

fn fragment_words(id: u32, offset: u32) -> String {
    format!("fragment of datagram {id:#x} from octet {offset}")
}

fn read_transport(ip: &Network<'_>) -> Option<Packet> {
    let ports = || {
        let source = SocketAddr::new(ip.source, u16_at(ip.payload, 0)?);
        Some((source, SocketAddr::new(ip.destination, u16_at(ip.payload, 2)?)))
    };
    match ip.protocol {
        6 => {
            let (source, destination) = ports()?;
            let segment = read_segment(ip.payload, ip.promised)?;
            Some(Packet::Tcp {
                source,
                destination,
                segment,
            })
        }
        17 => {
            let (source, destination) = ports()?;
            let len = u32::from(u16_at(ip.payload, 4)?.saturating_sub(8));
            Some(Packet::Udp {
                source,
                destination,
                len,
            })
        }
        1 => Some(other(
            Some(ip.source),
            Some(ip.destination),
            icmpv4_words(ip.payload)?,
        )),
        58 => Some(other(
            Some(ip.source),
            Some(ip.destination),
            icmpv6_words(ip.payload)?,
        )),
        2 => Some(other(
            Some(ip.source),
            Some(ip.destination),
            "IGMP membership report",
        )),
        n => Some(other(
            Some(ip.source),
            Some(ip.destination),
            format!("IP protocol {n}"),
        )),
    }
}

fn read_segment(bytes: &[u8], promised: usize) -> Option<Segment> {
    let header = usize::from(*bytes.get(12)? >> 4) * 4;
    Some(Segment {
        seq: SeqNumber(u32_at(bytes, 4)?),
        ack: SeqNumber(u32_at(bytes, 8)?),
        flags: Flags::from_bits_retain(*bytes.get(13)?),
        window: u16_at(bytes, 14)?,
        urgent: u16_at(bytes, 18)?,
        payload_len: u32::try_from(promised.saturating_sub(header)).ok()?,
        options: read_options(bytes.get(20..header).unwrap_or_default()),
    })
}

fn read_options(mut rest: &[u8]) -> Options {
    let mut options = Options::default();
    while let [kind, tail @ ..] = rest {
        match kind {
            0 => break,
            1 => {
                rest = tail;
                continue;
            }
            _ => {}
        }
        let length = usize::from(tail.first().copied().unwrap_or(0));
        let (Some(value), true) = (rest.get(2..length), length >= 2) else {
            break;
        };
        match (kind, value.len()) {
            (2, 2) => options.mss = u16_at(value, 0),
            (3, 1) => options.window_scale = Some(value[0]),
            (4, 0) => options.sack_permitted = true,
            (5, _) => {
                for block in value.chunks_exact(8) {
                    if let (Some(start), Some(end)) = (u32_at(block, 0), u32_at(block, 4)) {
                        options.sack.push(SackBlock {
                            start: SeqNumber(start),
                            end: SeqNumber(end),
                        });
                    }
                }
            }
            (8, 8) => {
                if let (Some(value), Some(echo)) = (u32_at(value, 0), u32_at(value, 4)) {
                    options.timestamps = Some(Timestamps { value, echo });
                }
            }
            _ => {}
        }
        rest = &rest[length..];
    }
    options
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
