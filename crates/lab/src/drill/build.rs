//! Octets of the packets that a script hands in.

use std::net::{IpAddr, SocketAddr};

use sockeye_stack::tcp::Flags;
use sockeye_stack::wire::{checksum, icmpv6, ipv4, ipv6, protocol};

use super::conn::{self, Conn};
use super::icmp;
use super::syntax::{Ecn, IpPart, Quoted, Tcp, TcpOption};

const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

/// Puts an IP header before what a transport protocol made.
pub(super) fn packet(from: IpAddr, to: IpAddr, proto: u8, ip: &IpPart, transport: &[u8]) -> Vec<u8> {
    let (from, to) = (ip.source.unwrap_or(from), ip.destination.unwrap_or(to));
    let ecn = match ip.ecn {
        Some(Ecn::Bits(bits)) => bits,
        _ => 0,
    };
    let traffic_class = ip.tos.unwrap_or(0) | ecn;
    let hop_limit = ip.ttl.unwrap_or(64);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let options = ip.options.len().next_multiple_of(4).min(40);
            let header = ipv4::Header {
                hop_limit,
                traffic_class,
                ..ipv4::Header::new(from, to, proto, ipv4::HEADER_LEN + options + transport.len())
            };
            let mut packet = vec![0; ipv4::HEADER_LEN];
            ipv4::emit(&header, &mut packet);
            if options > 0 {
                packet.extend_from_slice(&ip.options);
                packet.resize(ipv4::HEADER_LEN + options, 0);
                packet[0] = 0x40 | (packet.len() / 4) as u8;
                packet[10..12].fill(0);
                let sum = checksum::sum(&packet).finish();
                packet[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            packet.extend_from_slice(transport);
            packet
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = ipv6::Header {
                hop_limit,
                traffic_class,
                flow_label: ip.flow_label.unwrap_or(0),
                ..ipv6::Header::new(from, to, proto, transport.len())
            };
            let mut packet = vec![0; ipv6::HEADER_LEN];
            ipv6::emit(&header, &mut packet);
            packet.extend_from_slice(transport);
            packet
        }
        // Source and destination of two families: nothing that could be sent.
        _ => Vec::new(),
    }
}

/// Completes a transport checksum at `at`.
fn fill_checksum(from: IpAddr, to: IpAddr, proto: u8, ip: &IpPart, at: usize, transport: &mut [u8]) {
    let (from, to) = (ip.source.unwrap_or(from), ip.destination.unwrap_or(to));
    if from.is_ipv4() != to.is_ipv4() {
        return;
    }
    let pseudo = checksum::pseudo(from, to, proto, transport.len() as u32);
    let sum = pseudo.add(transport);
    let sum = if proto == protocol::UDP {
        sum.finish_udp()
    } else {
        sum.finish()
    };
    let sum = if ip.bad_checksum { sum ^ 0x5555 } else { sum };
    transport[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The peer's segment.
pub(super) fn tcp(conn: &Conn, ip: &IpPart, tcp: &Tcp) -> Vec<u8> {
    let options = option_octets(conn, tcp.options.as_deref().unwrap_or_default());
    let header = TCP_HEADER + options.len();
    let mut segment = vec![0; TCP_HEADER];
    segment[0..2].copy_from_slice(&conn.remote.port().to_be_bytes());
    segment[2..4].copy_from_slice(&conn.local.port().to_be_bytes());
    segment[4..8].copy_from_slice(&conn.peer_to_wire(tcp.start).to_be_bytes());
    let ack = match tcp.ack {
        Some(ack) => conn.ours_to_wire(ack),
        None => 0,
    };
    segment[8..12].copy_from_slice(&ack.to_be_bytes());
    segment[12] = ((header / 4) as u8) << 4;
    segment[13] = tcp.flags;
    segment[14..16].copy_from_slice(&tcp.window.unwrap_or(0).to_be_bytes());
    segment[18..20].copy_from_slice(&tcp.urgent.unwrap_or(0).to_be_bytes());
    segment.extend_from_slice(&options);
    // A SYN's text begins one number later.
    let syn = u32::from(Flags::from_bits_retain(tcp.flags).contains(Flags::SYN));
    let first = conn.peer_octet(tcp.start.wrapping_add(syn));
    segment.extend(conn::octets(first.into(), tcp.len.into()));
    let (from, to) = (conn.remote.ip(), conn.local.ip());
    fill_checksum(from, to, protocol::TCP, ip, 16, &mut segment);
    packet(from, to, protocol::TCP, ip, &segment)
}

fn option_octets(conn: &Conn, options: &[TcpOption]) -> Vec<u8> {
    let mut out = Vec::new();
    for option in options {
        match option {
            TcpOption::End => out.push(0),
            TcpOption::Nop => out.push(1),
            TcpOption::Mss(mss) => {
                out.extend([2, 4]);
                out.extend(mss.to_be_bytes());
            }
            TcpOption::WindowScale(shift) => out.extend([3, 3, *shift]),
            TcpOption::SackPermitted => out.extend([4, 2]),
            TcpOption::Sack(blocks) => {
                out.extend([5, option.len() as u8]);
                for (start, end) in blocks {
                    out.extend(conn.ours_to_wire(*start).to_be_bytes());
                    out.extend(conn.ours_to_wire(*end).to_be_bytes());
                }
            }
            TcpOption::Timestamps { value, echo } => {
                out.extend([8, 10]);
                out.extend(value.to_be_bytes());
                out.extend(conn.timestamp_to_wire(*echo).to_be_bytes());
            }
            TcpOption::Raw(octets) => out.extend(octets),
        }
    }
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// The peer's datagram.
pub(super) fn udp(conn: &Conn, ip: &IpPart, len: u16) -> Vec<u8> {
    let total = UDP_HEADER + usize::from(len);
    let mut datagram = vec![0; UDP_HEADER];
    datagram[0..2].copy_from_slice(&conn.remote.port().to_be_bytes());
    datagram[2..4].copy_from_slice(&conn.local.port().to_be_bytes());
    datagram[4..6].copy_from_slice(&(total.min(65_535) as u16).to_be_bytes());
    datagram.extend(conn::octets(0, len.into()));
    let (from, to) = (conn.remote.ip(), conn.local.ip());
    fill_checksum(from, to, protocol::UDP, ip, 6, &mut datagram);
    packet(from, to, protocol::UDP, ip, &datagram)
}

/// An ICMP error, or another message, from the peer's address; an error quotes what we sent.
pub(super) fn icmp(conn: &Conn, ip: &IpPart, names: icmp::Numbers, quoted: Quoted) -> Vec<u8> {
    let icmp::Numbers { kind, code, rest } = names;
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest.to_be_bytes());
    if icmp::quotes(conn.remote.is_ipv4(), kind) {
        message.extend(quote(conn, quoted));
    }
    let (from, to) = (conn.remote.ip(), conn.local.ip());
    match (ip.source.unwrap_or(from), ip.destination.unwrap_or(to)) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            icmpv6::fill_checksum(source, destination, &mut message);
            packet(from, to, protocol::ICMPV6, ip, &message)
        }
        _ => {
            let sum = checksum::sum(&message).finish();
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            packet(from, to, protocol::ICMPV4, ip, &message)
        }
    }
}

/// Headers of a packet of ours, as a router quotes them.
fn quote(conn: &Conn, quoted: Quoted) -> Vec<u8> {
    let (from, to): (SocketAddr, SocketAddr) = (conn.local, conn.remote);
    let (proto, mut transport, len) = match quoted {
        Quoted::Udp { len } => {
            let mut header = vec![0; UDP_HEADER];
            header[4..6].copy_from_slice(&len.saturating_add(UDP_HEADER as u16).to_be_bytes());
            (protocol::UDP, header, len)
        }
        Quoted::Tcp { start, len } => (protocol::TCP, quoted_tcp(conn.ours_to_wire(start)), len),
        Quoted::Unsaid => (protocol::TCP, quoted_tcp(conn.ours_to_wire(0)), 0),
    };
    transport[0..2].copy_from_slice(&from.port().to_be_bytes());
    transport[2..4].copy_from_slice(&to.port().to_be_bytes());
    let mut packet = packet(from.ip(), to.ip(), proto, &IpPart::default(), &transport);
    // The length in the header counts what is not quoted.
    match from {
        SocketAddr::V4(_) => {
            let total = (packet.len() + usize::from(len)).min(65_535);
            ipv4::amend(&mut packet, total, 0, true);
        }
        SocketAddr::V6(_) => ipv6::amend(&mut packet, transport.len() + usize::from(len)),
    }
    packet
}

fn quoted_tcp(sequence: u32) -> Vec<u8> {
    let mut header = vec![0; TCP_HEADER];
    header[4..8].copy_from_slice(&sequence.to_be_bytes());
    header[12] = 5 << 4;
    header[13] = Flags::ACK.bits();
    header
}
