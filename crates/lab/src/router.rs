//! An IP router: forwards, counts down TTLs, fragments, and says what it could not deliver.
//!
//! It knows no more of IP than a router needs and shares no code with the core, so that it is a second opinion.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockeye_stack::iface::Cidr;
use sockeye_stack::trace::Cause;
use sockeye_stack::{Frame, Instant, Medium};

use crate::nat::{Inbound, Nat, NatConfig};
use crate::packet::{
    IpHeader, adjust_checksum, checksum, checksums_stand, ethertype, headers_to_head, ip_packet, protocol,
    put_u16, u16_at, v4_at, v6_at,
};
use crate::route::{Routes, contains, is_broadcast};

/// What a router sends: by which port, what, and why.
pub(crate) type Out = Vec<(u16, Frame, Cause)>;

/// Packets that wait for one neighbour's address; further ones are lost (RFC 1122 section 2.3.2.2 asks for one).
const WAITING: usize = 16;
/// Neighbours that a port remembers; when it is full, what needs a new one is lost.
const NEIGHBORS: usize = 4096;

/// One port.
#[derive(Clone, Debug)]
pub(crate) struct RouterPort {
    pub(crate) addresses: Vec<Cidr>,
    pub(crate) mtu: u32,
    /// The MTU of the link behind it.
    pub(crate) link_mtu: u32,
    /// Whether it was described as an Ethernet port.
    pub(crate) ethernet: bool,
    medium: Medium,
    neighbors: BTreeMap<IpAddr, Neighbor>,
}

#[derive(Clone, Debug)]
enum Neighbor {
    Known([u8; 6]),
    Asked(Vec<Frame>),
}

impl RouterPort {
    pub(crate) fn new(address: Cidr) -> RouterPort {
        RouterPort {
            addresses: vec![address],
            mtu: 1500,
            link_mtu: 65_535,
            ethernet: false,
            medium: Medium::Ip,
            neighbors: BTreeMap::new(),
        }
    }
    fn address(&self, v4: bool) -> Option<IpAddr> {
        self.addresses
            .iter()
            .map(|cidr| cidr.address)
            .find(|a| a.is_ipv4() == v4)
    }
    fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|cidr| cidr.address == address)
    }
    fn mac(&self) -> Option<[u8; 6]> {
        match self.medium {
            Medium::Ip => None,
            Medium::Ethernet { address } => Some(address),
        }
    }
}

/// A router, or a NAT.
#[derive(Debug, Default)]
pub(crate) struct Router {
    pub(crate) ports: Vec<RouterPort>,
    pub(crate) routes: Routes,
    nat: Option<(u16, Nat)>,
    /// Identification of packets that it makes or fragments.
    ident: u16,
}

impl Router {
    pub(crate) fn set_nat(&mut self, outside: u16, config: NatConfig) {
        self.nat = Some((outside, Nat::new(config)));
    }
    pub(crate) fn next_port_is_ethernet(&self, linked: usize) -> bool {
        self.ports.get(linked).is_some_and(|port| port.ethernet)
    }
    /// A port gets its link. Returns its addresses.
    pub(crate) fn link_port(&mut self, port: u16, medium: Medium, name: &str) -> Vec<Cidr> {
        let port = self.ports.get_mut(usize::from(port));
        let port = port.unwrap_or_else(|| panic!("router {name} has no port left: describe one more"));
        port.medium = medium;
        port.addresses.clone()
    }

    /// A frame came.
    pub(crate) fn receive(&mut self, now: Instant, port: u16, mut frame: Frame, out: &mut Out) {
        let mac = self.ports[usize::from(port)].mac();
        headers_to_head(&mut frame, if mac.is_some() { 14 } else { 0 });
        match mac {
            None => self.packet(now, port, frame, out),
            Some(mac) => {
                if let Some(packet) = self.take_ethernet(port, mac, frame, out) {
                    self.packet(now, port, packet, out);
                }
            }
        }
    }

    // IP

    /// An IP packet came.
    fn packet(&mut self, now: Instant, port: u16, mut packet: Frame, out: &mut Out) {
        let Some(mut ip) = IpHeader::parse(packet.head.as_slice()) else {
            return;
        };
        if ip.total_len > packet.len()
            || (ip.is_v4() && checksum(&packet.head.as_slice()[..ip.header_len]) != 0)
        {
            return;
        }
        packet.truncate(ip.total_len); // link padding goes
        if let Some((outside, nat)) = &mut self.nat
            && *outside == port
            && self.ports[usize::from(port)].has(ip.destination)
        {
            match nat.inbound(now, &mut packet) {
                Inbound::Translated => match IpHeader::parse(packet.head.as_slice()) {
                    Some(translated) => ip = translated,
                    None => return,
                },
                Inbound::Ours => {}
            }
        }
        if self.ports.iter().any(|port| port.has(ip.destination)) {
            return self.local(port, &ip, &packet, out);
        }
        self.forward(now, port, ip, packet, out);
    }
    /// A packet for somebody else.
    fn forward(&mut self, now: Instant, port: u16, mut ip: IpHeader, mut packet: Frame, out: &mut Out) {
        if !self.may_forward(&ip) {
            return;
        }
        if ip.hop_limit <= 1 {
            let kind = if ip.is_v4() { (11, 0) } else { (3, 0) };
            return self.error(port, &ip, &packet, kind, 0, out);
        }
        let Some((to, next_hop)) = self.find_route(ip.destination) else {
            let kind = if ip.is_v4() { (3, 0) } else { (1, 0) };
            return self.error(port, &ip, &packet, kind, 0, out);
        };
        let egress = &self.ports[usize::from(to)];
        let mtu = egress.mtu.min(egress.link_mtu) as usize;
        if packet.len() > mtu && ip.dont_fragment {
            let kind = if ip.is_v4() { (3, 4) } else { (2, 0) };
            return self.error(port, &ip, &packet, kind, mtu as u32, out);
        }
        count_down(packet.head.as_mut_slice(), ip.is_v4());
        if let Some((outside, nat)) = &mut self.nat
            && *outside == to
            && port != to
            && ip.is_v4()
        {
            let Some(IpAddr::V4(public)) = self.ports[usize::from(to)].address(true) else {
                return;
            };
            if !nat.outbound(now, public, &mut packet) {
                return;
            }
            match IpHeader::parse(packet.head.as_slice()) {
                Some(translated) => ip = translated,
                None => return,
            }
        }
        if packet.len() <= mtu {
            return self.transmit(to, next_hop, packet, Cause::Forwarded, out);
        }
        for fragment in fragments(&ip, &packet, mtu) {
            self.transmit(to, next_hop, fragment, Cause::Forwarded, out);
        }
    }
    /// Broadcasts, groups and addresses of one link stay on their link (RFC 1812 section 5.3).
    fn may_forward(&self, ip: &IpHeader) -> bool {
        let of_link = |address: IpAddr| match address {
            IpAddr::V4(a) => a.is_link_local() || a.is_loopback() || a.is_unspecified() || a.is_broadcast(),
            IpAddr::V6(a) => a.is_unicast_link_local() || a.is_loopback() || a.is_unspecified(),
        };
        let mut own = self.ports.iter().flat_map(|port| &port.addresses);
        !of_link(ip.source)
            && !of_link(ip.destination)
            && !ip.source.is_multicast()
            && !ip.destination.is_multicast()
            && !own.any(|cidr| is_broadcast(cidr, ip.destination))
    }
    /// The port and next hop for an address: own networks and routes, the longest prefix first.
    fn find_route(&self, destination: IpAddr) -> Option<(u16, IpAddr)> {
        let connected = |address: IpAddr| {
            let networks = self
                .ports
                .iter()
                .enumerate()
                .flat_map(|(place, port)| port.addresses.iter().map(move |cidr| (place as u16, cidr)));
            networks
                .filter(|(_, cidr)| contains(cidr, address))
                .max_by_key(|(_, cidr)| cidr.prefix)
        };
        let routed = self.routes.find(destination);
        match (connected(destination), routed) {
            (Some((port, cidr)), Some((prefix, _))) if cidr.prefix >= prefix => Some((port, destination)),
            (Some((port, _)), None) => Some((port, destination)),
            (_, Some((_, via))) => Some((connected(via)?.0, via)),
            (None, None) => None,
        }
    }
    /// A packet for the router itself: it answers pings, and nothing else.
    fn local(&mut self, port: u16, ip: &IpHeader, packet: &Frame, out: &mut Out) {
        let bytes = packet.to_vec();
        let message = &bytes[ip.header_len..];
        let (asks, answers) = if ip.is_v4() { (8, 0) } else { (128, 129) };
        let icmp = matches!(ip.protocol, protocol::ICMP | protocol::ICMPV6);
        let whole = ip.fragment_offset == 0 && !ip.more_fragments;
        if !icmp || !whole || message.len() < 8 || message[0] != asks || !checksums_stand(&bytes) {
            return;
        }
        let mut answer = message.to_vec();
        answer[0] = answers;
        let reply = ip_packet(ip.destination, ip.source, ip.protocol, 64, &answer);
        self.originate(port, reply, Cause::EchoReply, out);
    }
    /// An ICMP error about a packet, unless it is one about which nothing may be said (RFC 1812 section 4.3.2.7, RFC
    /// 4443 section 2.4).
    fn error(&mut self, port: u16, ip: &IpHeader, packet: &Frame, kind: (u8, u8), value: u32, out: &mut Out) {
        let bytes = packet.to_vec();
        let about_icmp_error = match ip.protocol {
            protocol::ICMP => bytes
                .get(ip.header_len)
                .is_none_or(|kind| !matches!(kind, 0 | 8 | 13..=18)),
            protocol::ICMPV6 => bytes.get(ip.header_len).is_none_or(|kind| *kind < 128),
            _ => false,
        };
        if about_icmp_error || ip.fragment_offset != 0 {
            return;
        }
        let Some(own) = self.ports[usize::from(port)].address(ip.is_v4()) else {
            return;
        };
        // As much as fits into 576 octets (RFC 1812 section 4.3.2.3), or 1,280 for IPv6 (RFC 4443 section 3.1).
        let quoted = bytes.len().min(if ip.is_v4() { 576 - 28 } else { 1280 - 48 });
        let mut message = vec![kind.0, kind.1, 0, 0];
        message.extend_from_slice(&value.to_be_bytes());
        message.extend_from_slice(&bytes[..quoted]);
        let protocol = if ip.is_v4() {
            protocol::ICMP
        } else {
            protocol::ICMPV6
        };
        let error = ip_packet(own, ip.source, protocol, 64, &message);
        self.originate(port, error, Cause::IcmpError, out);
    }
    /// A packet of the router's own; where there is no route it goes back by the port that it answers.
    fn originate(&mut self, port: u16, mut packet: Vec<u8>, cause: Cause, out: &mut Out) {
        let Some(ip) = IpHeader::parse(&packet) else {
            return;
        };
        if ip.is_v4() {
            self.ident = self.ident.wrapping_add(1);
            put_u16(&mut packet, 4, self.ident);
            put_u16(&mut packet, 10, 0);
            let check = checksum(&packet[..20]);
            put_u16(&mut packet, 10, check);
        }
        let (to, next_hop) = self.find_route(ip.destination).unwrap_or((port, ip.destination));
        let mut frame = Frame::from(packet);
        headers_to_head(&mut frame, 0);
        self.transmit(to, next_hop, frame, cause, out);
    }

    // Ethernet: ARP (RFC 826) and what NDP (RFC 4861) a router of a lab needs

    /// Sends an IP packet to a neighbour, or keeps it until the neighbour's address is known.
    fn transmit(&mut self, port: u16, next_hop: IpAddr, packet: Frame, cause: Cause, out: &mut Out) {
        let full = &mut self.ports[usize::from(port)];
        let Some(mac) = full.mac() else {
            out.push((port, packet, cause));
            return;
        };
        let room = full.neighbors.len() < NEIGHBORS;
        match full.neighbors.get_mut(&next_hop) {
            Some(Neighbor::Known(to)) => out.push((port, with_ethernet(*to, mac, packet), cause)),
            Some(Neighbor::Asked(waiting)) if waiting.len() < WAITING => {
                // Asked again with each packet: the question may have been lost.
                waiting.push(packet);
                self.ask(port, mac, next_hop, out);
            }
            Some(Neighbor::Asked(_)) => self.ask(port, mac, next_hop, out),
            None if room => {
                full.neighbors.insert(next_hop, Neighbor::Asked(vec![packet]));
                self.ask(port, mac, next_hop, out);
            }
            None => {}
        }
    }
    fn ask(&self, port: u16, mac: [u8; 6], whom: IpAddr, out: &mut Out) {
        let own = self.ports[usize::from(port)].address(whom.is_ipv4());
        let frame = match (own, whom) {
            (Some(IpAddr::V4(own)), IpAddr::V4(whom)) => {
                with_header([0xff; 6], mac, ethertype::ARP, &arp(1, mac, own, [0; 6], whom))
            }
            (Some(IpAddr::V6(own)), IpAddr::V6(whom)) => {
                let o = whom.octets();
                // Solicited-node group (RFC 4291 section 2.7.1).
                let group =
                    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, o[13], o[14], o[15]]);
                let packet = neighbor_message(135, own, group, whom, 1, mac);
                with_header(
                    [0x33, 0x33, 0xff, o[13], o[14], o[15]],
                    mac,
                    ethertype::IPV6,
                    &packet,
                )
            }
            _ => return,
        };
        out.push((port, frame, Cause::NeighborRequest));
    }
    /// Takes the link header off. `None` if the frame is not for us, or was about addresses and is dealt with.
    fn take_ethernet(&mut self, port: u16, mac: [u8; 6], mut frame: Frame, out: &mut Out) -> Option<Frame> {
        let head = frame.head.as_slice();
        if head.len() < 14 || !(head[..6] == mac || head[0] & 1 != 0) {
            return None;
        }
        let mut from = [0; 6];
        from.copy_from_slice(&head[6..12]);
        let kind = u16_at(head, 12);
        let body = frame.take_payload(14);
        let mut packet = Frame::from(body.to_bytes());
        headers_to_head(&mut packet, 0);
        match kind {
            ethertype::ARP => {
                self.arp(port, mac, packet.head.as_slice(), out);
                None
            }
            ethertype::IPV6 if self.neighbor_discovery(port, mac, &packet, out) => None,
            ethertype::IPV4 | ethertype::IPV6 => {
                // Who sends from this link can be reached there; an ARP exchange less.
                let source = IpHeader::parse(packet.head.as_slice())?.source;
                let full = &self.ports[usize::from(port)];
                if full.addresses.iter().any(|cidr| contains(cidr, source)) {
                    self.learn(port, source, from, out);
                }
                Some(packet)
            }
            _ => None,
        }
    }
    fn learn(&mut self, port: u16, who: IpAddr, at: [u8; 6], out: &mut Out) {
        let full = &mut self.ports[usize::from(port)];
        let Some(mac) = full.mac() else {
            return;
        };
        if full.neighbors.len() >= NEIGHBORS && !full.neighbors.contains_key(&who) {
            return;
        }
        if let Some(Neighbor::Asked(waiting)) = full.neighbors.insert(who, Neighbor::Known(at)) {
            out.extend(
                waiting
                    .into_iter()
                    .map(|packet| (port, with_ethernet(at, mac, packet), Cause::Forwarded)),
            );
        }
    }
    fn arp(&mut self, port: u16, mac: [u8; 6], message: &[u8], out: &mut Out) {
        const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
        if message.len() < 28 || message[..6] != ETHERNET_IPV4 {
            return;
        }
        let operation = u16_at(message, 6);
        let mut from = [0; 6];
        from.copy_from_slice(&message[8..14]);
        let (sender, target) = (v4_at(message, 14), v4_at(message, 24));
        let ours = self.ports[usize::from(port)].has(target.into());
        // An address probe (RFC 5227) has no sender to learn.
        if ours && !sender.is_unspecified() {
            self.learn(port, sender.into(), from, out);
        }
        if ours && operation == 1 {
            let answer = with_header(from, mac, ethertype::ARP, &arp(2, mac, target, from, sender));
            out.push((port, answer, Cause::NeighborReply));
        }
    }
    /// Answers and learns from neighbour solicitations and advertisements. Whether the packet was one.
    fn neighbor_discovery(&mut self, port: u16, mac: [u8; 6], packet: &Frame, out: &mut Out) -> bool {
        let bytes = packet.to_vec();
        let Some(ip) = IpHeader::parse(&bytes) else {
            return false;
        };
        let message = bytes.get(ip.header_len..).unwrap_or(&[]);
        if ip.protocol != protocol::ICMPV6 || message.len() < 24 || !matches!(message[0], 135 | 136) {
            return false;
        }
        if ip.hop_limit != 255 || !checksums_stand(&bytes) {
            return true;
        }
        let IpAddr::V6(source) = ip.source else {
            return false;
        };
        let target = v6_at(message, 8);
        let link_address = match message.get(24..32) {
            Some([1 | 2, 1, address @ ..]) => <[u8; 6]>::try_from(address).ok(),
            _ => None,
        };
        let who = if message[0] == 135 { source } else { target };
        if let Some(at) = link_address
            && !who.is_unspecified()
        {
            self.learn(port, who.into(), at, out);
        }
        if message[0] == 135 && self.ports[usize::from(port)].has(target.into()) && !source.is_unspecified() {
            let answer = neighbor_message(136, target, source, target, 2, mac);
            self.transmit(
                port,
                source.into(),
                Frame::from(answer),
                Cause::NeighborReply,
                out,
            );
        }
        true
    }
}

/// Takes one from the TTL, and from IPv4's checksum what belongs to it.
fn count_down(header: &mut [u8], v4: bool) {
    if !v4 {
        header[7] -= 1;
        return;
    }
    let old = [header[8], header[9]];
    header[8] -= 1;
    let check = adjust_checksum(u16_at(header, 10), &old, &[header[8], header[9]]);
    put_u16(header, 10, check);
}

/// An IPv4 packet in pieces of at most `mtu` octets (RFC 791 section 3.2). Options are copied into every piece.
fn fragments(ip: &IpHeader, packet: &Frame, mtu: usize) -> Vec<Frame> {
    let bytes = packet.to_vec();
    let (header, data) = bytes.split_at(ip.header_len);
    let room = mtu.saturating_sub(header.len()) / 8 * 8;
    if room == 0 {
        return Vec::new();
    }
    let pieces = data.chunks(room).enumerate().map(|(n, piece)| {
        let last = (n + 1) * room >= data.len();
        let mut fragment = header.to_vec();
        put_u16(&mut fragment, 2, (header.len() + piece.len()) as u16);
        let more = if last && !ip.more_fragments { 0 } else { 0x2000 };
        put_u16(
            &mut fragment,
            6,
            more | ((ip.fragment_offset + n * room) / 8) as u16,
        );
        put_u16(&mut fragment, 10, 0);
        let check = checksum(&fragment);
        put_u16(&mut fragment, 10, check);
        fragment.extend_from_slice(piece);
        let mut frame = Frame::from(fragment);
        headers_to_head(&mut frame, 0);
        frame
    });
    pieces.collect()
}

fn with_header(to: [u8; 6], from: [u8; 6], kind: u16, body: &[u8]) -> Frame {
    let mut bytes = Vec::with_capacity(14 + body.len());
    bytes.extend_from_slice(&to);
    bytes.extend_from_slice(&from);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(body);
    Frame::from(bytes)
}
/// An IP packet with a link header before its head.
fn with_ethernet(to: [u8; 6], from: [u8; 6], packet: Frame) -> Frame {
    let kind = match packet.front().first() {
        Some(first) if first >> 4 == 4 => ethertype::IPV4,
        _ => ethertype::IPV6,
    };
    with_header(to, from, kind, &packet.to_vec())
}
fn arp(operation: u16, from: [u8; 6], sender: Ipv4Addr, to: [u8; 6], target: Ipv4Addr) -> [u8; 28] {
    let mut b = [0; 28];
    b[..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
    put_u16(&mut b, 6, operation);
    b[8..14].copy_from_slice(&from);
    b[14..18].copy_from_slice(&sender.octets());
    b[18..24].copy_from_slice(&to);
    b[24..28].copy_from_slice(&target.octets());
    b
}
/// A neighbour solicitation (135) or advertisement (136), with a link-address option.
fn neighbor_message(
    kind: u8,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    target: Ipv6Addr,
    option: u8,
    mac: [u8; 6],
) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0];
    // Router, solicited, override.
    message.extend_from_slice(if kind == 136 { &[0xe0, 0, 0, 0] } else { &[0; 4] });
    message.extend_from_slice(&target.octets());
    message.extend_from_slice(&[option, 1]);
    message.extend_from_slice(&mac);
    ip_packet(source.into(), destination.into(), protocol::ICMPV6, 255, &message)
}
