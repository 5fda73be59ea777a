//! Packets that leave the stack, read, and written as a script writes them.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use sockeye_stack::tcp::Flags;
use sockeye_stack::wire::{Check, checksum, icmpv6, ipv4, ipv6, protocol, udp};

use super::conn::Conn;
use super::icmp;
use super::syntax::{Quoted, Tcp, TcpOption};

/// A packet that left, as it stands on the wire.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ttl: u8,
    pub(super) traffic_class: u8,
    pub(super) flow_label: u32,
    pub(super) ip_options: Vec<u8>,
    pub(super) body: Body,
    /// A checksum that does not fit, or a header that cannot be read.
    pub(super) broken: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Tcp {
        source: u16,
        destination: u16,
        flags: u8,
        sequence: u32,
        ack: u32,
        window: u16,
        urgent: u16,
        options: Vec<TcpOption>,
        data: Vec<u8>,
    },
    Udp {
        source: u16,
        destination: u16,
        data: Vec<u8>,
    },
    Icmp {
        kind: u8,
        code: u8,
        rest: u32,
        quoted: Vec<u8>,
    },
    /// Nothing that a script could write.
    Other(u8),
}

impl Seen {
    /// Reads a packet.
    pub(super) fn read(packet: &[u8]) -> Option<Seen> {
        let (mut seen, proto, transport) = if packet.first()? >> 4 == 4 {
            let good = ipv4::parse(packet, packet.len(), Check::Verify);
            let header = ipv4::parse_embedded(packet).ok()?;
            let seen = Seen {
                source: header.source.into(),
                destination: header.destination.into(),
                ttl: header.hop_limit,
                traffic_class: header.traffic_class,
                flow_label: 0,
                ip_options: packet.get(20..header.header_len)?.to_vec(),
                body: Body::Other(header.protocol),
                broken: good.err().map(|error| format!("the IPv4 header: {error}")),
            };
            let transport = packet.get(header.header_len..header.total_len)?;
            // A fragment has no ports, unless it is the first; none can be expected.
            let proto = if header.is_fragment() {
                255
            } else {
                header.protocol
            };
            (seen, proto, transport)
        } else {
            let header = ipv6::parse_embedded(packet).ok()?;
            let seen = Seen {
                source: header.source.into(),
                destination: header.destination.into(),
                ttl: header.hop_limit,
                traffic_class: header.traffic_class,
                flow_label: header.flow_label,
                ip_options: Vec::new(),
                body: Body::Other(header.next_header),
                broken: None,
            };
            (
                seen,
                header.next_header,
                packet.get(ipv6::HEADER_LEN..header.total_len())?,
            )
        };
        seen.body = match proto {
            protocol::TCP => seen.tcp(transport)?,
            protocol::UDP => seen.udp(transport)?,
            protocol::ICMPV4 | protocol::ICMPV6 => seen.icmp(proto, transport)?,
            other => Body::Other(other),
        };
        Some(seen)
    }
    fn verify(&mut self, proto: u8, transport: &[u8]) {
        let pseudo = checksum::pseudo(self.source, self.destination, proto, transport.len() as u32);
        if !pseudo.add(transport).verify() {
            self.broken = Some("the transport checksum is wrong".into());
        }
    }
    fn tcp(&mut self, b: &[u8]) -> Option<Body> {
        self.verify(protocol::TCP, b);
        let u16_at = |at: usize| Some(u16::from_be_bytes([*b.get(at)?, *b.get(at + 1)?]));
        let u32_at = |at: usize| Some(u32::from(u16_at(at)?) << 16 | u32::from(u16_at(at + 2)?));
        let header = usize::from(b.get(12)? >> 4) * 4;
        let options = match options(b.get(20..header)?) {
            Some(options) => options,
            None => {
                self.broken = Some("the TCP options cannot be read".into());
                Vec::new()
            }
        };
        Some(Body::Tcp {
            source: u16_at(0)?,
            destination: u16_at(2)?,
            flags: *b.get(13)?,
            sequence: u32_at(4)?,
            ack: u32_at(8)?,
            window: u16_at(14)?,
            urgent: u16_at(18)?,
            options,
            data: b.get(header..)?.to_vec(),
        })
    }
    fn udp(&mut self, b: &[u8]) -> Option<Body> {
        let header = udp::parse(b, b.len()).ok()?;
        if self.source.is_ipv6() || header.checksum != 0 {
            self.verify(protocol::UDP, b);
        }
        Some(Body::Udp {
            source: header.source_port,
            destination: header.destination_port,
            data: b.get(8..)?.to_vec(),
        })
    }
    fn icmp(&mut self, proto: u8, b: &[u8]) -> Option<Body> {
        let good = match (self.source, self.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => icmpv6::verify(source, destination, b),
            _ => checksum::sum(b).verify(),
        };
        if !good {
            self.broken = Some("the ICMP checksum is wrong".into());
        }
        let (kind, code) = (*b.first()?, *b.get(1)?);
        // Neighbour discovery and group membership are the link's business.
        if proto == protocol::ICMPV6 && matches!(kind, 130..=137 | 143) {
            return Some(Body::Other(proto));
        }
        Some(Body::Icmp {
            kind,
            code,
            rest: u32::from_be_bytes(*b.get(4..)?.first_chunk()?),
            quoted: b.get(8..)?.to_vec(),
        })
    }

    /// Our end and the peer's.
    pub(super) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let (source, destination) = match &self.body {
            Body::Tcp {
                source, destination, ..
            }
            | Body::Udp {
                source, destination, ..
            } => (*source, *destination),
            Body::Icmp { .. } | Body::Other(_) => return None,
        };
        Some((
            SocketAddr::new(self.source, source),
            SocketAddr::new(self.destination, destination),
        ))
    }

    /// As a script would write it, with a connection's numbers.
    pub(super) fn words(&self, conn: Option<&Conn>) -> String {
        let ours = |wire: u32| conn.map_or(wire, |conn| conn.ours_to_script(wire));
        let peers = |wire: u32| conn.map_or(wire, |conn| conn.peer_to_script(wire));
        match &self.body {
            Body::Tcp {
                flags,
                sequence,
                ack,
                window,
                urgent,
                options,
                data,
                ..
            } => {
                let tcp = Tcp {
                    flags: *flags,
                    start: ours(*sequence),
                    len: data.len() as u16,
                    ack: (flags & Flags::ACK.bits() != 0).then(|| peers(*ack)),
                    window: Some(*window),
                    urgent: (flags & Flags::URG.bits() != 0).then_some(*urgent),
                    options: Some(options.iter().map(|option| relative(option, conn)).collect()),
                };
                tcp.to_string()
            }
            Body::Udp { data, .. } => format!("udp ({})", data.len()),
            Body::Icmp {
                kind,
                code,
                rest,
                quoted,
            } => {
                let mut words = icmp::words(self.source.is_ipv4(), *kind, *code, *rest);
                if icmp::quotes(self.source.is_ipv4(), *kind) {
                    let _ = write!(words, " [{} octets quoted]", quoted.len());
                }
                words
            }
            Body::Other(proto) => format!("a packet of protocol {proto}"),
        }
    }
}

/// SACK blocks that we send are the peer's numbers.
pub(super) fn relative(option: &TcpOption, conn: Option<&Conn>) -> TcpOption {
    match (option, conn) {
        (TcpOption::Sack(blocks), Some(conn)) => {
            let number = |n: &u32| conn.peer_to_script(*n);
            TcpOption::Sack(blocks.iter().map(|(s, e)| (number(s), number(e))).collect())
        }
        _ => option.clone(),
    }
}

/// Reads options; `None` if they are broken (MUST-68, MUST-69: what stands behind the end is zero).
fn options(mut rest: &[u8]) -> Option<Vec<TcpOption>> {
    let mut options = Vec::new();
    loop {
        match *rest {
            [] => return Some(options),
            [0, ref padding @ ..] => {
                options.push(TcpOption::End);
                if padding.iter().any(|octet| *octet != 0) {
                    return None;
                }
                options.extend(padding.iter().map(|_| TcpOption::End));
                return Some(options);
            }
            [1, ref behind @ ..] => {
                options.push(TcpOption::Nop);
                rest = behind;
            }
            [_, len, ..] => {
                let (option, behind) = rest.split_at_checked(len.into()).filter(|_| len >= 2)?;
                options.push(one_option(option));
                rest = behind;
            }
            [_] => return None,
        }
    }
}

fn one_option(option: &[u8]) -> TcpOption {
    match *option {
        [2, _, a, b] => TcpOption::Mss(u16::from_be_bytes([a, b])),
        [3, _, shift] => TcpOption::WindowScale(shift),
        [4, _] => TcpOption::SackPermitted,
        [5, _, ref blocks @ ..] if !blocks.is_empty() && blocks.len().is_multiple_of(8) => {
            let number = |b: &[u8]| b.iter().fold(0, |n, octet| n << 8 | u32::from(*octet));
            let block = |b: &[u8]| (number(&b[..4]), number(&b[4..]));
            TcpOption::Sack(blocks.chunks_exact(8).map(block).collect())
        }
        [8, _, a, b, c, d, e, f, g, h] => TcpOption::Timestamps {
            value: u32::from_be_bytes([a, b, c, d]),
            echo: u32::from_be_bytes([e, f, g, h]),
        },
        _ => TcpOption::Raw(option.to_vec()),
    }
}

/// The transport header that an ICMP error quotes, with the ends: our address, the peer's, and what is said of it.
pub(super) fn quoted(v4: bool, quoted: &[u8]) -> Option<(SocketAddr, SocketAddr, Quoted)> {
    let (from, to, proto, at, len): (IpAddr, IpAddr, u8, usize, usize) = if v4 {
        let header = ipv4::parse_embedded(quoted).ok()?;
        let len = header.total_len.checked_sub(header.header_len)?;
        (
            header.source.into(),
            header.destination.into(),
            header.protocol,
            header.header_len,
            len,
        )
    } else {
        let header = ipv6::parse_embedded(quoted).ok()?;
        (
            header.source.into(),
            header.destination.into(),
            header.next_header,
            ipv6::HEADER_LEN,
            header.payload_len,
        )
    };
    let b: &[u8; 8] = quoted.get(at..)?.first_chunk()?;
    let port = |at: usize| u16::from_be_bytes([b[at], b[at + 1]]);
    let what = match proto {
        protocol::UDP => Quoted::Udp {
            len: u16::try_from(len.checked_sub(8)?).ok()?,
        },
        protocol::TCP => Quoted::Tcp {
            start: u32::from_be_bytes([b[4], b[5], b[6], b[7]]),
            len: u16::try_from(len.checked_sub(20)?).ok()?,
        },
        _ => Quoted::Unsaid,
    };
    Some((SocketAddr::new(from, port(0)), SocketAddr::new(to, port(2)), what))
}
