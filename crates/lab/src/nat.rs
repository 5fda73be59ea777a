//! Network address translation: many private addresses behind one public one (RFC 4787, RFC 5382, RFC 5508).
//!
//! A mapping belongs to an inside address and port, whatever the destination (endpoint-independent, RFC 4787 REQ-1).
//! It keeps the port number where that is free. Who may use it from outside is the [`Filter`]'s matter.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use sockeye_stack::tcp::Flags;
use sockeye_stack::{Duration, Frame, Instant};

use crate::packet::{IpHeader, adjust_checksum, checksum, headers_to_head, protocol, put_u16, u16_at, v4_at};

/// Who may send in through a mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Filter {
    /// Whoever the inside has sent to, address and port (RFC 4787 section 5).
    #[default]
    AddressAndPort,
    /// Anybody.
    Open,
}

/// How a NAT behaves.
#[derive(Clone, Debug)]
pub struct NatConfig {
    /// Who may send in.
    pub filter: Filter,
    /// How long an idle TCP connection keeps its mapping (RFC 5382 REQ-5: 2 h 4 min).
    pub tcp_established: Duration,
    /// As before, while it opens and closes (RFC 5382 REQ-5: 4 min).
    pub tcp_transitory: Duration,
    /// As before, for UDP (RFC 4787 REQ-5: 5 min).
    pub udp: Duration,
    /// As before, for pings (RFC 5508 REQ-2: 60 s).
    pub icmp: Duration,
    /// First port that it gives where the inside's own is taken.
    pub first_port: u16,
    /// Mappings; when all are taken, what needs a new one is lost.
    pub mappings: usize,
    /// Ports that lead inside without anybody having sent out: protocol number, outside port, inside address.
    pub forward: Vec<(u8, u16, SocketAddrV4)>,
}

impl Default for NatConfig {
    fn default() -> Self {
        NatConfig {
            filter: Filter::default(),
            tcp_established: Duration::from_secs(2 * 3600 + 240),
            tcp_transitory: Duration::from_secs(240),
            udp: Duration::from_secs(300),
            icmp: Duration::from_secs(60),
            first_port: 1024,
            mappings: 65_536,
            forward: Vec::new(),
        }
    }
}

impl NatConfig {
    /// Leads a TCP port inside (port forwarding).
    #[must_use]
    pub fn forward_tcp(mut self, port: u16, to: SocketAddrV4) -> Self {
        self.forward.push((protocol::TCP, port, to));
        self
    }
    /// Leads a UDP port inside.
    #[must_use]
    pub fn forward_udp(mut self, port: u16, to: SocketAddrV4) -> Self {
        self.forward.push((protocol::UDP, port, to));
        self
    }
    /// Chooses who may send in.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }
}

/// Peers that a mapping remembers for its filter; when it is full the one longest idle goes.
const PEERS: usize = 64;

/// Protocol, address, port (or identifier of a ping).
type Endpoint = (u8, Ipv4Addr, u16);

#[derive(Debug)]
struct Mapping {
    inside: Endpoint,
    expires: Instant,
    /// Whom the inside has sent to, and when.
    peers: BTreeMap<(Ipv4Addr, u16), Instant>,
    tcp: TcpPhase,
    /// Made by the configuration: it stays, and is open to all.
    fixed: bool,
}

/// What is seen of a mapping's TCP connections, enough to choose its timeout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TcpPhase {
    Opening,
    Answered,
    Closing,
}

/// What became of a packet from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Inbound {
    /// It goes inside now.
    Translated,
    /// No mapping takes it: it is for the router itself.
    Ours,
}

#[derive(Debug)]
pub(crate) struct Nat {
    config: NatConfig,
    /// By protocol and outside port.
    mappings: BTreeMap<(u8, u16), Mapping>,
    by_inside: BTreeMap<Endpoint, u16>,
    next_port: u16,
}

/// Which fields of a packet name its two ends: where each port stands in the packet, and the checksum.
struct Fields {
    protocol: u8,
    source: (Ipv4Addr, u16),
    destination: (Ipv4Addr, u16),
    source_at: usize,
    destination_at: usize,
    /// Offset of the transport checksum, and whether it covers the addresses (ICMP's does not).
    check_at: usize,
    covers_addresses: bool,
    flags: Flags,
}

impl Fields {
    /// Looks at a TCP or UDP packet or a ping; fragments that carry no ports cannot be translated.
    fn parse(bytes: &[u8]) -> Option<Fields> {
        let ip = IpHeader::parse(bytes)?;
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (ip.source, ip.destination) else {
            return None;
        };
        let at = ip.header_len;
        let transport = bytes.get(at..)?;
        if ip.fragment_offset != 0 || transport.len() < 8 {
            return None;
        }
        let (ports, check, covers_addresses) = match ip.protocol {
            protocol::TCP => ((0, 2), 16, true),
            protocol::UDP => ((0, 2), 6, true),
            // Both ends of a ping have the same identifier.
            protocol::ICMP if matches!(transport[0], 0 | 8) => ((4, 4), 2, false),
            _ => return None,
        };
        let flags = match ip.protocol {
            protocol::TCP => Flags::from_bits_truncate(*transport.get(13)?),
            _ => Flags::empty(),
        };
        Some(Fields {
            protocol: ip.protocol,
            source: (source, u16_at(transport, ports.0)),
            destination: (destination, u16_at(transport, ports.1)),
            source_at: at + ports.0,
            destination_at: at + ports.1,
            check_at: at + check,
            covers_addresses,
            flags,
        })
    }
    fn rewrite_source(&self, bytes: &mut [u8], to: (Ipv4Addr, u16)) {
        self.rewrite(bytes, 12, self.source_at, to);
    }
    fn rewrite_destination(&self, bytes: &mut [u8], to: (Ipv4Addr, u16)) {
        self.rewrite(bytes, 16, self.destination_at, to);
    }
    /// Writes an address and port, and adjusts both checksums. A quoted packet may end before its checksum.
    fn rewrite(&self, bytes: &mut [u8], address_at: usize, port_at: usize, (address, port): (Ipv4Addr, u16)) {
        let old_address = v4_at(bytes, address_at).octets();
        let old_port = u16_at(bytes, port_at).to_be_bytes();
        bytes[address_at..address_at + 4].copy_from_slice(&address.octets());
        put_u16(bytes, port_at, port);
        let header = adjust_checksum(u16_at(bytes, 10), &old_address, &address.octets());
        put_u16(bytes, 10, header);
        if bytes.len() < self.check_at + 2 {
            return;
        }
        let mut check = u16_at(bytes, self.check_at);
        if self.protocol == protocol::UDP && check == 0 {
            return; // the sender made none
        }
        check = adjust_checksum(check, &old_port, &port.to_be_bytes());
        if self.covers_addresses {
            check = adjust_checksum(check, &old_address, &address.octets());
        }
        if self.protocol == protocol::UDP && check == 0 {
            check = 0xffff;
        }
        put_u16(bytes, self.check_at, check);
    }
}

impl Nat {
    pub(crate) fn new(config: NatConfig) -> Nat {
        let mut nat = Nat {
            next_port: config.first_port,
            config,
            mappings: BTreeMap::new(),
            by_inside: BTreeMap::new(),
        };
        for (protocol, port, to) in nat.config.forward.clone() {
            nat.insert(port, (protocol, *to.ip(), to.port()), Instant::NEVER, true);
        }
        nat
    }
    /// A packet leaves: its source becomes `public`. `false`: it cannot be translated and is lost.
    pub(crate) fn outbound(&mut self, now: Instant, public: Ipv4Addr, packet: &mut Frame) -> bool {
        let Some(fields) = Fields::parse(packet.head.as_slice()) else {
            return self.outbound_error(public, packet);
        };
        let inside = (fields.protocol, fields.source.0, fields.source.1);
        let Some(port) = self.mapping_for(now, inside) else {
            return false;
        };
        let phase = phase_after(&fields, true);
        if let Some(mapping) = self.mappings.get_mut(&(fields.protocol, port)) {
            mapping.note(now, Some(fields.destination), phase, &self.config);
        }
        fields.rewrite_source(packet.head.as_mut_slice(), (public, port));
        true
    }
    /// A packet for the public address came: it goes inside if a mapping takes it.
    pub(crate) fn inbound(&mut self, now: Instant, packet: &mut Frame) -> Inbound {
        let Some(fields) = Fields::parse(packet.head.as_slice()) else {
            return self.inbound_error(now, packet);
        };
        let key = (fields.protocol, fields.destination.1);
        let filter = self.config.filter;
        let Some(mapping) = self
            .mappings
            .get_mut(&key)
            .filter(|mapping| mapping.expires > now)
        else {
            return Inbound::Ours;
        };
        // Pings are told apart by their identifier; the far end has no port.
        let peer = match fields.protocol {
            protocol::ICMP => (fields.source.0, fields.destination.1),
            _ => fields.source,
        };
        let known = mapping.peers.contains_key(&peer) || mapping.fixed || filter == Filter::Open;
        if !known || (fields.protocol == protocol::ICMP && packet.head.as_slice()[fields.check_at - 2] != 0) {
            return Inbound::Ours;
        }
        mapping.note(now, None, phase_after(&fields, false), &self.config);
        let (_, address, port) = mapping.inside;
        fields.rewrite_destination(packet.head.as_mut_slice(), (address, port));
        Inbound::Translated
    }
    /// An ICMP error from outside about a packet that went out: what it quotes is turned back, then the error itself
    /// (RFC 5508 section 4.2).
    fn inbound_error(&mut self, now: Instant, packet: &mut Frame) -> Inbound {
        let Some((mut bytes, start)) = icmp_error(packet) else {
            return Inbound::Ours;
        };
        let Some(quoted) = Fields::parse(&bytes[start..]) else {
            return Inbound::Ours;
        };
        let mapping = self.mappings.get(&(quoted.protocol, quoted.source.1));
        let Some(mapping) = mapping.filter(|mapping| mapping.expires > now) else {
            return Inbound::Ours;
        };
        let (_, address, port) = mapping.inside;
        quoted.rewrite_source(&mut bytes[start..], (address, port));
        bytes[16..20].copy_from_slice(&address.octets());
        *packet = checked_icmp(bytes, start);
        Inbound::Translated
    }
    /// An ICMP error from inside about a packet that came in. Other ICMP is not translated.
    fn outbound_error(&mut self, public: Ipv4Addr, packet: &mut Frame) -> bool {
        let Some((mut bytes, start)) = icmp_error(packet) else {
            return false;
        };
        let Some(quoted) = Fields::parse(&bytes[start..]) else {
            return false;
        };
        let inside = (quoted.protocol, quoted.destination.0, quoted.destination.1);
        let Some(&port) = self.by_inside.get(&inside) else {
            return false;
        };
        quoted.rewrite_destination(&mut bytes[start..], (public, port));
        bytes[12..16].copy_from_slice(&public.octets());
        *packet = checked_icmp(bytes, start);
        true
    }
    /// The outside port of an inside endpoint, given now if it has none.
    fn mapping_for(&mut self, now: Instant, inside: Endpoint) -> Option<u16> {
        if let Some(&port) = self.by_inside.get(&inside) {
            if self
                .mappings
                .get(&(inside.0, port))
                .is_some_and(|mapping| mapping.expires > now)
            {
                return Some(port);
            }
            self.remove(inside.0, port);
        }
        if self.mappings.len() >= self.config.mappings {
            self.expire(now);
            if self.mappings.len() >= self.config.mappings {
                return None;
            }
        }
        let port = self.free_port(now, inside)?;
        self.insert(port, inside, now, false);
        Some(port)
    }
    /// The inside's own port if nobody has it, else the next free one.
    fn free_port(&mut self, now: Instant, inside: Endpoint) -> Option<u16> {
        let (protocol, _, own) = inside;
        if self.is_free(now, protocol, own) {
            return Some(own);
        }
        let count = u32::from(u16::MAX - self.config.first_port) + 1;
        for _ in 0..count {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(self.config.first_port);
            if self.is_free(now, protocol, port) {
                return Some(port);
            }
        }
        None
    }
    fn is_free(&mut self, now: Instant, protocol: u8, port: u16) -> bool {
        match self.mappings.get(&(protocol, port)) {
            Some(mapping) if mapping.expires > now => false,
            Some(_) => {
                self.remove(protocol, port);
                true
            }
            None => port != 0 || protocol == protocol::ICMP,
        }
    }
    fn insert(&mut self, port: u16, inside: Endpoint, expires: Instant, fixed: bool) {
        let mapping = Mapping {
            inside,
            expires,
            peers: BTreeMap::new(),
            tcp: TcpPhase::Opening,
            fixed,
        };
        self.mappings.insert((inside.0, port), mapping);
        self.by_inside.insert(inside, port);
    }
    fn remove(&mut self, protocol: u8, port: u16) {
        if let Some(mapping) = self.mappings.remove(&(protocol, port)) {
            self.by_inside.remove(&mapping.inside);
        }
    }
    /// Takes away all mappings whose time is over: only when the table is full.
    fn expire(&mut self, now: Instant) {
        self.mappings.retain(|_, mapping| mapping.expires > now);
        let mappings = &self.mappings;
        self.by_inside
            .retain(|inside, port| mappings.contains_key(&(inside.0, *port)));
    }
}

/// What a segment says of its connection.
fn phase_after(fields: &Fields, outward: bool) -> Option<TcpPhase> {
    if fields.protocol != protocol::TCP {
        return None;
    }
    if fields.flags.intersects(Flags::FIN.union(Flags::RST)) {
        return Some(TcpPhase::Closing);
    }
    if fields.flags.contains(Flags::SYN) && outward {
        return Some(TcpPhase::Opening);
    }
    (!outward && fields.flags.contains(Flags::ACK)).then_some(TcpPhase::Answered)
}

impl Mapping {
    /// Something passed: the peer may answer, and the time starts anew.
    fn note(
        &mut self,
        now: Instant,
        peer: Option<(Ipv4Addr, u16)>,
        phase: Option<TcpPhase>,
        config: &NatConfig,
    ) {
        if let Some(peer) = peer {
            if self.peers.len() >= PEERS
                && !self.peers.contains_key(&peer)
                && let Some(oldest) = self
                    .peers
                    .iter()
                    .min_by_key(|(_, at)| **at)
                    .map(|(peer, _)| *peer)
            {
                self.peers.remove(&oldest);
            }
            self.peers.insert(peer, now);
        }
        match phase {
            // A closed mapping opens anew with a SYN only.
            Some(TcpPhase::Answered) if self.tcp == TcpPhase::Closing => {}
            Some(phase) => self.tcp = phase,
            None => {}
        }
        if self.fixed {
            return;
        }
        let keeps = match self.inside.0 {
            protocol::UDP => config.udp,
            protocol::ICMP => config.icmp,
            _ if self.tcp == TcpPhase::Answered => config.tcp_established,
            _ => config.tcp_transitory,
        };
        self.expires = now + keeps;
    }
}

/// The bytes of an ICMP error, and where the packet that it quotes begins.
fn icmp_error(packet: &Frame) -> Option<(Vec<u8>, usize)> {
    let bytes = packet.to_vec();
    let ip = IpHeader::parse(&bytes)?;
    let kind = bytes.get(ip.header_len)?;
    let error = ip.protocol == protocol::ICMP && matches!(kind, 3 | 4 | 11 | 12) && ip.fragment_offset == 0;
    let start = ip.header_len + 8;
    (error
        && bytes.len() >= start + 28
        && checksum(&bytes[ip.header_len..ip.total_len.min(bytes.len())]) == 0)
        .then_some((bytes, start))
}
/// An ICMP error with both its checksums made anew.
fn checked_icmp(mut bytes: Vec<u8>, quoted_at: usize) -> Frame {
    let icmp = quoted_at - 8;
    put_u16(&mut bytes, icmp + 2, 0);
    let check = checksum(&bytes[icmp..]);
    put_u16(&mut bytes, icmp + 2, check);
    put_u16(&mut bytes, 10, 0);
    let check = checksum(&bytes[..icmp]);
    put_u16(&mut bytes, 10, check);
    let mut frame = Frame::from(bytes);
    headers_to_head(&mut frame, 0);
    frame
}
