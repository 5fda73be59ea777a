//! All UDP sockets: binding, receiving, sending.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use smallvec::SmallVec;

use super::ports::{Bound, Pair, Ports};
use super::queue::ReceiveQueue;
use super::{Datagram, UdpOptions, UdpSocket};
use crate::InterfaceId;
use crate::arena::Arena;
use crate::error::{BindError, ConnectionError, StaleSocket};
use crate::frame::{ChecksumOffload, Frame, Payload, TxMeta};
use crate::iface::{Cast, Env, IcmpError, IcmpNotice, IpFields, IpLayer, Link, Packet, Route, sum_from};
use crate::snapshot::{Protocol, SocketRow};
use crate::stack::{Events, Readiness, SocketId, UDP_SLOT};
use crate::trace::{Cause, DropReason, Tuple};
use crate::wire::{checksum, protocol, udp};

/// What the datagrams that a socket sent and that have not left count at most; beyond it sending would block.
pub(super) const SEND_MAX: usize = 208 * 1024;
/// What one counts beside its octets.
const SEND_COST: usize = 128;

/// A socket. Addresses here are never IPv4-mapped; `v6` says how they are shown.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) options: UdpOptions,
    /// An IPv6 socket: it shows IPv4 addresses as IPv4-mapped ones.
    pub(super) v6: bool,
    pub(super) local: Option<SocketAddr>,
    /// The address to go back to when it is disconnected.
    pub(super) bound: IpAddr,
    pub(super) remote: Option<SocketAddr>,
    /// The way to the peer of a connected socket, and the generation it is from.
    pub(super) route: Option<(u32, Route)>,
    pub(super) received: ReceiveQueue,
    /// What its datagrams in the sending queue count.
    pub(super) sending: usize,
    /// The application was told that the queue is full.
    pub(super) blocked: bool,
    pub(super) pending: Readiness,
    pub(super) error: Option<ConnectionError>,
    pub(super) groups: Vec<(IpAddr, InterfaceId)>,
}

impl Socket {
    pub(super) fn pair(&self) -> Option<Pair> {
        Some(Pair {
            local: self.local?,
            remote: self.remote?,
        })
    }
    /// An address as this socket's application sees it.
    pub(super) fn shown(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V4(a) if self.v6 => SocketAddr::new(a.ip().to_ipv6_mapped().into(), a.port()),
            other => other,
        }
    }
    fn is_member(&self, group: IpAddr, on: InterfaceId) -> bool {
        let here = |i: InterfaceId| i == on || on == InterfaceId::LOOPBACK;
        self.groups.iter().any(|g| g.0 == group && here(g.1))
    }
}

/// A datagram that waits to leave.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Slot and generation of the socket that sent it; it may be gone by now.
    pub(super) socket: (u32, u32),
    pub(super) route: Route,
    pub(super) generation: u32,
    pub(super) on: Option<InterfaceId>,
    pub(super) from: u16,
    pub(super) to: SocketAddr,
    pub(super) payload: Bytes,
    pub(super) hop_limit: u8,
    pub(super) traffic_class: u8,
    /// Members on this host get a copy.
    pub(super) looped: bool,
}

impl Outgoing {
    pub(super) fn cost(len: usize) -> usize {
        SEND_COST + len
    }
}

/// What became of a datagram that was to leave.
enum Left {
    /// It is in the caller's frame.
    Frame(TxMeta),
    /// The IP layer has it, or it was dropped.
    Gone,
    /// The IP layer has no room.
    Later,
}

/// All UDP sockets of a stack.
#[derive(Debug)]
pub(crate) struct Udp {
    pub(super) sockets: Arena<Socket>,
    pub(super) ports: Ports,
    /// In the order of sending. Bounded by each socket's share.
    pub(super) outgoing: VecDeque<Outgoing>,
}

impl Udp {
    /// No sockets. `key` is the secret of the hash tables.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Udp {
            sockets: Arena::new(),
            ports: Ports::new(key),
            outgoing: VecDeque::new(),
        }
    }

    /// A new socket, unbound.
    pub(crate) fn socket(&mut self, options: UdpOptions) -> SocketId {
        let (slot, generation) = self.sockets.insert(Socket {
            options,
            v6: false,
            local: None,
            bound: Ipv4Addr::UNSPECIFIED.into(),
            remote: None,
            route: None,
            received: ReceiveQueue::default(),
            sending: 0,
            blocked: false,
            pending: Readiness::empty(),
            error: None,
            groups: Vec::new(),
        });
        SocketId {
            slot: slot | UDP_SLOT,
            generation,
        }
    }

    pub(super) fn get(&self, id: SocketId) -> Option<&Socket> {
        self.sockets.get(id.slot & !UDP_SLOT, id.generation)
    }
    pub(super) fn get_mut(&mut self, id: SocketId) -> Option<&mut Socket> {
        self.sockets.get_mut(id.slot & !UDP_SLOT, id.generation)
    }

    /// Binds a socket; port 0 chooses one of the dynamic range at random (RFC 6056 section 3.3.1).
    pub(crate) fn bind(
        &mut self,
        env: &mut Env<'_>,
        ip: &mut IpLayer,
        id: SocketId,
        local: SocketAddr,
    ) -> Result<(), BindError> {
        let socket = self.get(id).ok_or(BindError::Stale)?;
        if socket.local.is_some() {
            return Err(BindError::AlreadyBound);
        }
        let address = local.ip().to_canonical();
        if local.is_ipv6() && address.is_ipv4() && socket.options.ipv6_only {
            return Err(BindError::Family(local));
        }
        // Groups and broadcast addresses may be bound to, to hear only what is sent there.
        let hears = address.is_unspecified() || address.is_multicast() || ip.is_broadcast(address);
        if !hears && !ip.is_local(address) {
            return Err(BindError::NotLocal(local.ip()));
        }
        let bound = Bound {
            owner: id.slot & !UDP_SLOT,
            address,
            ipv6_only: socket.options.ipv6_only,
            reuse_address: socket.options.reuse_address,
            reuse_port: socket.options.reuse_port,
        };
        let port = match local.port() {
            0 => self.free_port(env, &bound).ok_or(BindError::NoFreePort)?,
            port if self.ports.is_taken(port, &bound) => return Err(BindError::InUse(local)),
            port => port,
        };
        self.ports.bind(port, bound);
        if let Some(socket) = self.get_mut(id) {
            socket.v6 = local.is_ipv6();
            socket.bound = address;
            socket.local = Some(SocketAddr::new(address, port));
        }
        Ok(())
    }

    /// A port that nobody has: not even those who would share it, since a port that is chosen for one is for one.
    fn free_port(&self, env: &mut Env<'_>, bound: &Bound) -> Option<u16> {
        let (first, last) = (env.config.ephemeral_first.max(1), env.config.ephemeral_last);
        let count = u32::from(last.checked_sub(first)?) + 1;
        let start = env.rng.below(count);
        let alone = Bound {
            reuse_address: false,
            reuse_port: false,
            ..*bound
        };
        (0..count)
            .map(|n| first + ((start + n) % count) as u16)
            .find(|&port| !self.ports.is_taken(port, &alone))
    }

    /// The face of one socket.
    pub(crate) fn borrow<'a>(
        &'a mut self,
        env: Env<'a>,
        ip: &'a mut IpLayer,
        _events: &'a mut Events,
        id: SocketId,
    ) -> Result<UdpSocket<'a>, StaleSocket> {
        if !id.is_udp() || self.get(id).is_none() {
            return Err(StaleSocket);
        }
        Ok(UdpSocket::new(env, ip, self, id))
    }

    /// What has changed for a socket since this was asked last.
    pub(crate) fn take_pending(&mut self, id: SocketId) -> Readiness {
        self.get_mut(id)
            .map(|s| core::mem::take(&mut s.pending))
            .unwrap_or_default()
    }

    /// Rows of the socket table.
    pub(crate) fn rows(&self, rows: &mut Vec<SocketRow>) {
        rows.extend(self.sockets.iter().map(|(slot, generation, s)| SocketRow {
            id: Some(SocketId {
                slot: slot | UDP_SLOT,
                generation,
            }),
            protocol: Protocol::Udp,
            state: None,
            local: s.local.map(|a| s.shown(a)),
            remote: s.remote.map(|a| s.shown(a)),
            receive_queue: s.received.octets(),
            send_queue: s.sending,
        }));
    }

    /// Tells the application, once until it has looked.
    fn announce(&mut self, events: &mut Events, slot: u32, what: Readiness) {
        let Some(generation) = self.sockets.generation(slot) else {
            return;
        };
        let Some(socket) = self.sockets.at_mut(slot) else {
            return;
        };
        let queued = socket.pending.contains(Readiness::QUEUED);
        socket.pending.insert(what | Readiness::QUEUED);
        if !queued {
            events.push(SocketId {
                slot: slot | UDP_SLOT,
                generation,
            });
        }
    }

    /// Takes a datagram from the IP layer.
    pub(crate) fn handle_packet(
        &mut self,
        env: &mut Env<'_>,
        ip: &mut IpLayer,
        events: &mut Events,
        mut packet: Packet<'_>,
    ) {
        let header = match check(&mut packet) {
            Ok(header) => header,
            Err(reason) => return env.dropped(reason),
        };
        let pair = Pair {
            local: SocketAddr::new(packet.destination, header.destination_port),
            remote: SocketAddr::new(packet.source, header.source_port),
        };
        let many = packet.destination.is_multicast() || ip.is_broadcast(packet.destination);
        let mut owners: SmallVec<[u32; 4]> = SmallVec::new();
        if many {
            let open = self.ports.open(pair.local.port()).iter();
            owners.extend(open.filter(|b| b.takes(packet.destination)).map(|b| b.owner));
            owners.retain(|&mut owner| self.hears_many(owner, &packet));
        } else {
            owners.extend(self.ports.lookup(&pair));
        }
        let Some((last, others)) = owners.split_last() else {
            let tuple = Tuple {
                local: pair.local,
                remote: pair.remote,
            };
            env.trace
                .dropped(env.now, None, Some(tuple), DropReason::NoSocket);
            if !packet.to_many {
                ip.icmp_error(env, &packet, IcmpError::PortUnreachable);
            }
            return;
        };
        let datagram = Datagram {
            payload: packet.frame.take_payload(packet.at + udp::HEADER_LEN),
            source: pair.remote,
            destination: pair.local,
            interface: packet.interface,
            hop_limit: packet.hop_limit,
            traffic_class: packet.traffic_class,
        };
        for &owner in others {
            self.deliver(env, events, owner, datagram.clone());
        }
        self.deliver(env, events, *last, datagram);
    }

    /// Whether a socket whose place fits gets what is for many: everybody hears broadcasts and the groups of all hosts,
    /// members hear their groups.
    fn hears_many(&self, owner: u32, packet: &Packet<'_>) -> bool {
        let to = packet.destination;
        let all = [
            IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)),
            IpAddr::V6(crate::wire::mld::ALL_NODES),
        ];
        !to.is_multicast()
            || all.contains(&to)
            || self
                .sockets
                .at(owner)
                .is_some_and(|s| s.is_member(to, packet.interface))
    }

    fn deliver(&mut self, env: &mut Env<'_>, events: &mut Events, owner: u32, mut datagram: Datagram) {
        let Some(socket) = self.sockets.at_mut(owner) else {
            return;
        };
        let max = socket
            .options
            .receive_buffer
            .unwrap_or(env.config.udp_receive_buffer) as usize;
        let tuple = Tuple {
            local: datagram.destination,
            remote: datagram.source,
        };
        datagram.source = socket.shown(datagram.source);
        datagram.destination = socket.shown(datagram.destination);
        if socket.received.push(datagram, max).is_err() {
            env.trace
                .dropped(env.now, None, Some(tuple), DropReason::ReceiveQueueFull);
            return;
        }
        self.announce(events, owner, Readiness::READABLE);
    }

    /// Takes an ICMP error. A connected socket hears of it (RFC 1122 section 4.1.3.3), or else those that may have sent what it
    /// is about and want to hear; a narrower path counts for everybody who may have.
    pub(crate) fn handle_icmp(
        &mut self,
        env: &mut Env<'_>,
        ip: &mut IpLayer,
        events: &mut Events,
        notice: &IcmpNotice,
    ) {
        let pair = Pair {
            local: notice.local,
            remote: notice.remote,
        };
        let senders: SmallVec<[u32; 4]> = match self.ports.connected(&pair) {
            Some(owner) => SmallVec::from_iter([owner]),
            None => {
                let open = self.ports.open(pair.local.port()).iter();
                open.filter(|b| b.takes(pair.local.ip()))
                    .map(|b| b.owner)
                    .collect()
            }
        };
        if notice.protocol != protocol::UDP || senders.is_empty() {
            return env.dropped(DropReason::IcmpMismatch);
        }
        let error = match notice.error {
            IcmpError::PacketTooBig { mtu } => {
                return ip.packet_too_big(env, notice.remote.ip(), mtu);
            }
            IcmpError::PortUnreachable | IcmpError::ProtocolUnreachable => ConnectionError::PortUnreachable,
            IcmpError::NetUnreachable
            | IcmpError::HostUnreachable
            | IcmpError::SourceRouteFailed
            | IcmpError::Prohibited => ConnectionError::Unreachable,
            IcmpError::TimeExceeded | IcmpError::ParameterProblem => return,
        };
        for owner in senders {
            if let Some(socket) = self.sockets.at_mut(owner)
                && (socket.remote == Some(pair.remote) || socket.options.report_errors)
            {
                socket.error = Some(error);
                self.announce(events, owner, Readiness::SOFT_ERROR);
            }
        }
    }

    /// Tells everybody that nothing will come any more.
    pub(crate) fn network_down(&mut self, events: &mut Events) {
        let all: Vec<u32> = self.sockets.iter().map(|(slot, ..)| slot).collect();
        for slot in all {
            self.announce(events, slot, Readiness::SOFT_ERROR);
        }
    }

    /// Whether nothing waits to be sent.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Writes the next datagram into `out`. Asks the IP layer too, which may hold fragments and questions for what was
    /// handed to it.
    pub(crate) fn poll_transmit(
        &mut self,
        env: &mut Env<'_>,
        ip: &mut IpLayer,
        events: &mut Events,
        out: &mut Frame,
    ) -> Option<TxMeta> {
        while let Some(mut datagram) = self.outgoing.pop_front() {
            match send(env, ip, &mut datagram, out) {
                Left::Later => {
                    self.outgoing.push_front(datagram);
                    break;
                }
                Left::Frame(meta) => {
                    self.has_left(events, &datagram);
                    return Some(meta);
                }
                Left::Gone => {
                    self.has_left(events, &datagram);
                    if let Some(meta) = ip.poll_transmit(env, out) {
                        return Some(meta);
                    }
                }
            }
        }
        ip.poll_transmit(env, out)
    }

    /// Gives a socket its share of the queue back.
    fn has_left(&mut self, events: &mut Events, datagram: &Outgoing) {
        let (slot, generation) = datagram.socket;
        let Some(socket) = self.sockets.get_mut(slot, generation) else {
            return;
        };
        socket.sending -= Outgoing::cost(datagram.payload.len());
        if socket.blocked && socket.sending <= SEND_MAX / 2 {
            socket.blocked = false;
            self.announce(events, slot, Readiness::WRITABLE);
        }
    }
}

/// Checks the header and the checksum, and cuts off what is no part of the datagram.
fn check(packet: &mut Packet<'_>) -> Result<udp::Header, DropReason> {
    let len = packet.frame.len() - packet.at;
    let header = udp::parse(packet.frame.front().get(packet.at..).unwrap_or_default(), len)?;
    packet.frame.truncate(packet.at + header.length);
    if packet.checksum_verified {
        return Ok(header);
    }
    if header.checksum == 0 {
        // None was made: allowed on IPv4 (RFC 768), not on IPv6 (RFC 8200 section 8.1).
        return if packet.source.is_ipv4() {
            Ok(header)
        } else {
            Err(DropReason::TransportChecksum)
        };
    }
    let pseudo = checksum::pseudo(
        packet.source,
        packet.destination,
        protocol::UDP,
        header.length as u32,
    );
    if pseudo.join(sum_from(packet.frame, packet.at)).verify() {
        Ok(header)
    } else {
        Err(DropReason::TransportChecksum)
    }
}

/// Sends one datagram on its way.
fn send(env: &mut Env<'_>, ip: &mut IpLayer, d: &mut Outgoing, out: &mut Frame) -> Left {
    let mut route = d.route;
    if d.generation != ip.generation() {
        match ip.route(d.to.ip(), Some(route.source), d.on) {
            Some(fresh) => route = fresh,
            None => {
                env.dropped(DropReason::NoRoute);
                return Left::Gone;
            }
        }
    }
    let fields = IpFields {
        source: route.source,
        destination: d.to.ip(),
        protocol: protocol::UDP,
        hop_limit: d.hop_limit,
        traffic_class: d.traffic_class,
        // Small ones need not be fragmented here; a router on a narrower path may (RFC 1122 section 3.3.3).
        dont_fragment: false,
    };
    let payload = Payload::from(d.payload.clone());
    if d.looped && route.cast != Cast::Unicast && !route.loopback {
        let back = ip.looped(&route);
        let header = header(&back, d, &payload, Sum::Whole);
        let copy = ip.send_datagram(env, &back, &fields, &header, payload.clone(), Cause::Datagram);
        if copy.is_err() {
            return Left::Later;
        }
        d.looped = false;
    }
    if d.hop_limit == 0 && route.cast == Cast::Multicast {
        return Left::Gone; // It was for this host only.
    }
    let total = udp::HEADER_LEN + payload.len();
    let ip_len = if d.to.is_ipv4() { 20 } else { 40 };
    if ip_len + total > route.mtu as usize {
        let header = header(&route, d, &payload, Sum::Whole);
        return match ip.send_datagram(env, &route, &fields, &header, payload, Cause::Datagram) {
            Ok(()) => Left::Gone,
            Err(_) => Left::Later,
        };
    }
    out.clear();
    let link = ip.prepare(env, &route, &fields, total, out);
    let start = out.head.len() as u16;
    let offload = route.capabilities.tx_checksum && !route.capabilities.no_checksums;
    let header = header(
        &route,
        d,
        &payload,
        if offload { Sum::Pseudo } else { Sum::Whole },
    );
    out.head.extend(udp::HEADER_LEN).copy_from_slice(&header);
    out.body = payload;
    let meta = TxMeta {
        interface: route.interface,
        gso_size: 0,
        checksum: offload.then_some(ChecksumOffload {
            start,
            offset: udp::CHECKSUM_OFFSET as u16,
        }),
        cause: Cause::Datagram,
    };
    match link {
        Link::Ready => Left::Frame(meta),
        Link::Unresolved => {
            ip.park_meta(env, &route, core::mem::take(out), meta);
            Left::Gone
        }
    }
}

/// What stands in the checksum field.
#[derive(Clone, Copy)]
enum Sum {
    Whole,
    /// The device does the rest.
    Pseudo,
}

fn header(route: &Route, d: &Outgoing, payload: &Payload, sum: Sum) -> [u8; udp::HEADER_LEN] {
    let length = udp::HEADER_LEN + payload.len();
    let mut bytes = [0; udp::HEADER_LEN];
    let header = udp::Header {
        source_port: d.from,
        destination_port: d.to.port(),
        length,
        checksum: 0,
    };
    udp::emit(&header, &mut bytes);
    if !route.capabilities.no_checksums {
        let pseudo = checksum::pseudo(route.source, d.to.ip(), protocol::UDP, length as u32);
        let value = match sum {
            Sum::Whole => pseudo.add(&bytes).add_payload(payload).finish_udp(),
            Sum::Pseudo => pseudo.partial(),
        };
        bytes[udp::CHECKSUM_OFFSET..].copy_from_slice(&value.to_be_bytes());
    }
    bytes
}

/// The wildcard of the family of `like`.
pub(super) fn wildcard(like: SocketAddr) -> SocketAddr {
    let any: IpAddr = match like {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(any, 0)
}
