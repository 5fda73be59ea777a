//! The face of the core.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bitflags::bitflags;
use bytes::Bytes;
use core::fmt;
use core::hint::cold_path;
use core::net::SocketAddr;

use crate::config::Config;
use crate::error::{AcceptError, BindError, ConnectError, ListenError, StaleSocket};
use crate::frame::{Frame, HEAD_CAPACITY, RxMeta, Text, TxFrame, TxMeta};
use crate::iface::{Env, Inbound, InterfaceConfig, IpLayer};
use crate::line::Line;
use crate::rng::{Rng, Secrets};
use crate::snapshot::{Snapshot, SocketRow};
use crate::tcp::dispatch::Around;
use crate::tcp::table::Tcp;
use crate::tcp::{TcpInfo, TcpOptions, TcpSocket};
use crate::time::Instant;
use crate::trace::{Cause, Timer, Trace, TraceKind, TraceMask};
use crate::udp::{Udp, UdpOptions, UdpSocket};
use crate::wire;

/// A socket: slot and generation. An id that outlived its socket is an error, never another socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}
impl SocketId {
    /// UDP sockets are told by the highest bit of their slot.
    pub(crate) fn is_udp(self) -> bool {
        self.slot & UDP_SLOT != 0
    }
}
/// The bit that marks the slots of UDP sockets.
pub(crate) const UDP_SLOT: u32 = 0x8000_0000;

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.slot & 0x7fff_ffff, self.generation)
    }
}

/// An interface of a stack, in the order in which they were added.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct InterfaceId(pub u16);

bitflags! {
    /// What changed for a socket. The application retries what it waited for.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct Readiness: u16 {
        /// Data, a datagram or the end of the stream can be read.
        const READABLE = 0x01;
        /// There is room to send.
        const WRITABLE = 0x02;
        /// A listener has a connection to accept.
        const ACCEPT = 0x04;
        /// The handshake is complete.
        const CONNECTED = 0x08;
        /// The peer has closed its side.
        const PEER_CLOSED = 0x10;
        /// The connection has ended, normally or not (MUST-12): the reason is in the socket's error.
        const CLOSED = 0x20;
        /// Urgent data has come or its pointer has moved (MUST-32).
        const URGENT = 0x40;
        /// A soft error came: ICMP, or R1 reached (MUST-47, SHLD-9).
        const SOFT_ERROR = 0x80;
        /// The socket stands in the event queue. Never seen in an [`Event`].
        #[doc(hidden)]
        const QUEUED = 0x8000;
    }
}

/// Something happened that an application may wait for. Between two drains a socket has at most one event; its bits
/// are gathered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The socket.
    pub socket: SocketId,
    /// What changed.
    pub ready: Readiness,
}

/// Whose deadline is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Why {
    /// The socket, where it is one's.
    pub socket: Option<SocketId>,
    /// The timer.
    pub timer: Timer,
}

/// Sockets with something to tell, each at most once.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queue: Line<SocketId>,
}

impl Events {
    /// The caller makes sure that a socket stands in the queue once ([`Readiness::QUEUED`]).
    #[inline]
    pub(crate) fn push(&mut self, id: SocketId) {
        self.queue.push_back(id);
    }
}

/// TCP and UDP over IPv4 and IPv6, driven from outside.
///
/// # Contract
/// 1. Hand in what happened: [`Stack::handle_frame`] for each received frame, [`Stack::handle_timeout`] when
///    [`Stack::next_timeout`] has come, and the application's socket calls. These record what is owed; they transmit
///    nothing and call nobody. Many may be handed in before step 2: the more, the fewer acknowledgments (MUST-58).
/// 2. Then drain, in this order: [`Stack::poll_transmit`] until `None`, [`Stack::poll_event`] until `None`, and look at
///    [`Stack::next_timeout`].
///
/// `now` must never be earlier than in a call before. The same inputs, times and seed give the same outputs.
#[repr(C)] // TCP's tables first: instructions that name them are the shortest then, and there are many
pub struct Stack {
    pub(crate) tcp: Tcp,
    pub(crate) events: Events,
    pub(crate) ip: IpLayer,
    pub(crate) trace: Trace,
    udp: Udp,
    pub(crate) rng: Rng,
    pub(crate) config: Config,
    /// An empty frame, for drivers that keep octets instead.
    spare: Option<Box<Frame>>,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("sockets", &self.snapshot().sockets.len())
            .finish_non_exhaustive()
    }
}

impl Stack {
    /// A stack without interfaces but loopback. All its secrets (sequence numbers, ports, cookies, hash keys) come from
    /// `seed`, which should be unpredictable wherever the network is not a simulation.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Stack {
            rng: Rng::new(seed),
            trace: Trace::default(),
            ip: IpLayer::new(Secrets::derive(seed, "ip")),
            tcp: Tcp::new(seed),
            udp: Udp::new(Secrets::derive(seed, "udp")),
            events: Events::default(),
            spare: None,
            config,
        }
    }

    /// Borrows what TCP's steps need beside TCP.
    #[inline]
    pub(crate) fn with_tcp<T>(
        &mut self,
        now: Instant,
        run: impl FnOnce(&mut Tcp, &mut Around<'_, '_>) -> T,
    ) -> T {
        let Stack {
            config,
            rng,
            trace,
            ip,
            tcp,
            events,
            ..
        } = self;
        let mut env = Env {
            now,
            config,
            trace,
            rng,
        };
        run(
            tcp,
            &mut Around {
                env: &mut env,
                ip,
                events,
            },
        )
    }

    /// Adds an interface.
    pub fn add_interface(&mut self, now: Instant, config: InterfaceConfig) -> InterfaceId {
        let Stack {
            config: settings,
            rng,
            trace,
            ip,
            ..
        } = self;
        ip.add_interface(
            &mut Env {
                now,
                config: settings,
                trace,
                rng,
            },
            config,
        )
    }
    /// The device of an interface has failed, for good. Connections over it end with
    /// [`NetworkDown`](crate::ConnectionError::NetworkDown), and nobody connects or sends that way any more. With the last
    /// interface the whole host is down: every call of every socket that would wait says so, now and later, those by way of
    /// loopback too.
    pub fn interface_failed(&mut self, now: Instant, interface: InterfaceId) {
        self.with_tcp(now, |tcp, cx| {
            cx.ip.fail(interface);
            tcp.network_down(cx);
        });
        if self.ip.is_down() {
            self.udp.network_down(&mut self.events);
        }
    }
    /// Whether all interfaces but loopback have [failed](Stack::interface_failed).
    pub fn is_down(&self) -> bool {
        self.ip.is_down()
    }
    /// The name that an interface was given; `None` if there is no such interface.
    pub fn interface_name(&self, interface: InterfaceId) -> Option<&str> {
        self.ip.interface_name(interface)
    }
    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A frame has come.
    pub fn handle_frame(&mut self, now: Instant, on: InterfaceId, mut frame: Frame, meta: RxMeta) {
        self.handle_frame_in(now, on, &mut frame, meta);
    }
    /// As [`Stack::handle_frame`], for a driver that keeps its frames: this one comes back empty, ready for the next.
    #[inline(never)]
    pub fn handle_frame_in(&mut self, now: Instant, on: InterfaceId, frame: &mut Frame, meta: RxMeta) {
        self.take_frame(now, on, frame, meta);
        frame.clear();
    }
    /// As [`Stack::handle_frame`], for a frame that stays in a buffer of the driver: what the stack keeps of it is copied. Costs
    /// less than sharing as long as frames are short, up to about 2 KiB.
    #[inline(never)]
    pub fn handle_octets(&mut self, now: Instant, on: InterfaceId, octets: &[u8], meta: RxMeta) {
        if !self.trace.wants(TraceMask::FRAMES) {
            let whole = Text::borrowed(octets);
            if self.direct(now, on, whole, meta) {
                return;
            }
        }
        self.handle_octets_in_frame(now, on, octets, meta);
    }
    #[inline(never)]
    fn handle_octets_in_frame(&mut self, now: Instant, on: InterfaceId, octets: &[u8], meta: RxMeta) {
        let mut frame = self.spare.take().unwrap_or_default();
        if octets.len() <= HEAD_CAPACITY {
            frame.head.extend(octets.len()).copy_from_slice(octets);
        } else {
            frame.body.push(self.tcp.pool.copy(octets));
        }
        self.handle_frame_in(now, on, &mut frame, meta);
        self.spare = Some(frame);
    }
    fn take_frame(&mut self, now: Instant, on: InterfaceId, frame: &mut Frame, meta: RxMeta) {
        if self.trace.wants(TraceMask::FRAMES) && on != InterfaceId::LOOPBACK {
            self.trace_frame(now, on, frame, None);
        }
        // Short frames mostly lie in their heads, and need no look at what is shared.
        let taken = match frame.body.is_empty() {
            true => self.direct(now, on, Text::borrowed(frame.head.as_slice()), meta),
            false => self.direct(now, on, frame.text(0), meta),
        };
        if !taken {
            self.take_other(now, on, frame, meta);
        }
    }
    /// Takes a frame by way of the IP layer.
    #[inline(never)]
    fn take_other(&mut self, now: Instant, on: InterfaceId, frame: &mut Frame, meta: RxMeta) {
        let Stack {
            config,
            rng,
            trace,
            ip,
            tcp,
            udp,
            events,
            ..
        } = self;
        let mut env = Env {
            now,
            config,
            trace,
            rng,
        };
        match ip.receive(&mut env, on, frame, meta) {
            None => {}
            Some(Inbound::Tcp(packet)) => tcp.handle_packet(
                &mut Around {
                    env: &mut env,
                    ip,
                    events,
                },
                packet,
            ),
            Some(Inbound::Udp(packet)) => udp.handle_packet(&mut env, ip, events, packet),
            Some(Inbound::Error(notice)) if notice.protocol == wire::protocol::TCP => {
                tcp.handle_icmp(
                    &mut Around {
                        env: &mut env,
                        ip,
                        events,
                    },
                    &notice,
                );
            }
            Some(Inbound::Error(notice)) => udp.handle_icmp(&mut env, ip, events, &notice),
        }
    }
    /// Time has come for something: call it when [`Stack::next_timeout`] has passed. Calling it early does nothing.
    #[inline(never)]
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.ip.is_timeless() {
            self.handle_ip_timeout(now);
        }
        self.with_tcp(now, |tcp, around| tcp.handle_timeout(around.env));
    }
    #[inline(never)]
    fn handle_ip_timeout(&mut self, now: Instant) {
        let Stack {
            config,
            rng,
            trace,
            ip,
            tcp,
            udp,
            events,
            ..
        } = self;
        let mut env = Env {
            now,
            config,
            trace,
            rng,
        };
        ip.handle_timeout(&mut env);
        while let Some(notice) = ip.poll_notice() {
            // A neighbour did not answer: to the transport it is as if a router had said so.
            if notice.protocol == wire::protocol::TCP {
                tcp.handle_icmp(
                    &mut Around {
                        env: &mut env,
                        ip,
                        events,
                    },
                    &notice,
                );
            } else {
                udp.handle_icmp(&mut env, ip, events, &notice);
            }
        }
    }

    /// Whether what is sent next is a connection's or nobody's, and nobody looks at frames.
    #[inline(always)]
    fn quick_is_next(&self) -> bool {
        // One comparison, not four.
        self.tcp.takes_turns() & self.ip.is_quiet() & !self.trace.wants(TraceMask::FRAMES)
    }

    /// Writes the next frame to send into `out`, replacing what was there, or says that there is none.
    #[inline]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut TxFrame) -> Option<TxMeta> {
        out.clear();
        let mut short = true;
        // Into the driver's loop, as of `poll_transmit_into`.
        if self.quick_is_next() {
            match self.tcp.ready.front() {
                None if self.udp.is_quiet() => return None,
                None => {}
                Some(entry) => {
                    if let Some(meta) = self.quick_frame(now, entry, out) {
                        if meta.interface == InterfaceId::LOOPBACK {
                            cold_path();
                            return self.next_frame_after_loopback(now, out);
                        }
                        return Some(meta);
                    }
                    short = false;
                }
            }
        }
        self.next_frame(now, out, short)
    }
    /// Hands this host what it has sent to itself; then the next frame.
    #[inline(never)]
    fn next_frame_after_loopback(&mut self, now: Instant, out: &mut TxFrame) -> Option<TxMeta> {
        self.handle_frame_in(now, InterfaceId::LOOPBACK, out, RxMeta::INTACT);
        self.next_frame(now, out, true)
    }
    /// The next frame, of whatever kind; `short`: the short way was not tried yet.
    #[inline(never)]
    fn next_frame(&mut self, now: Instant, out: &mut TxFrame, mut short: bool) -> Option<TxMeta> {
        while !self.is_quiet() {
            // A run of segments under way goes first: it is what most frames are. Else IP does, if it has anything.
            let (sending, ip_quiet) = (self.tcp.sending, self.ip.is_quiet());
            let sent = if sending || ip_quiet {
                let quick = match self.tcp.ready.front() {
                    Some(entry) if short && self.tcp.takes_turns() => self.quick_frame(now, entry, out),
                    _ => None,
                };
                short = true;
                match quick {
                    None => self.with_tcp(now, |tcp, around| tcp.poll_transmit(around, out)),
                    sent => sent,
                }
            } else {
                None
            };
            let meta = match sent {
                Some(meta) => meta,
                None => self.next_of_others(now, out, ip_quiet && !sending)?,
            };
            if meta.interface == InterfaceId::LOOPBACK {
                self.handle_frame_in(now, InterfaceId::LOOPBACK, out, RxMeta::INTACT);
                continue;
            }
            if self.trace.wants(TraceMask::FRAMES) {
                self.trace_frame(now, meta.interface, out, Some(meta.cause));
            }
            return Some(meta);
        }
        None
    }
    /// The next frame of IP, TCP or UDP, in this order; only of UDP, if the others have nothing.
    #[inline(never)]
    fn next_of_others(&mut self, now: Instant, out: &mut TxFrame, udp_alone: bool) -> Option<TxMeta> {
        let Stack {
            config,
            rng,
            trace,
            ip,
            tcp,
            udp,
            events,
            ..
        } = self;
        let mut env = Env {
            now,
            config,
            trace,
            rng,
        };
        if !udp_alone {
            if !ip.is_quiet()
                && let Some(meta) = ip.poll_transmit(&mut env, out)
            {
                return Some(meta);
            }
            let mut around = Around {
                env: &mut env,
                ip,
                events,
            };
            if let Some(meta) = tcp.poll_transmit(&mut around, out) {
                return Some(meta);
            }
        }
        udp.poll_transmit(&mut env, ip, events, out)
    }
    /// As [`Stack::poll_transmit`], written into one contiguous buffer, such as a slot of a device's ring, and returned with its
    /// length.
    ///
    /// # Panics
    /// If `out` has no room for the frame: it takes the link header and the MTU of the interface, or what
    /// [`gso_max`](crate::Capabilities::gso_max) says if that is more.
    #[inline]
    pub fn poll_transmit_into(&mut self, now: Instant, out: &mut [u8]) -> Option<(TxMeta, usize)> {
        // Into the driver's loop, since it is little as long as nothing is next or a short segment.
        if self.quick_is_next() {
            match self.tcp.ready.front() {
                None if self.udp.is_quiet() => return None,
                None => {}
                Some(entry) => {
                    if let Some(room) = out.first_chunk_mut()
                        && let Some(sent) = self.quick(now, entry, room)
                    {
                        if sent.0.interface == InterfaceId::LOOPBACK {
                            cold_path();
                            return self.next_after_loopback(now, sent.1, out);
                        }
                        return Some(sent);
                    }
                }
            }
        }
        self.next_of_any(now, out)
    }
    /// The next frame, of whatever kind.
    #[inline(never)]
    fn next_of_any(&mut self, now: Instant, out: &mut [u8]) -> Option<(TxMeta, usize)> {
        if self.tcp.sending && self.ip.is_quiet() && !self.trace.wants(TraceMask::FRAMES) {
            let sent = self.with_tcp(now, |tcp, around| tcp.next_of_burst(around, out));
            match sent {
                Some((meta, len)) if meta.interface == InterfaceId::LOOPBACK => {
                    return self.next_after_loopback(now, len, out);
                }
                Some(sent) => return Some(sent),
                None => {}
            }
        }
        self.poll_transmit_flat(now, out)
    }
    /// Hands this host what it has sent to itself; then the next frame.
    #[inline(never)]
    fn next_after_loopback(&mut self, now: Instant, len: usize, out: &mut [u8]) -> Option<(TxMeta, usize)> {
        self.handle_octets(now, InterfaceId::LOOPBACK, &out[..len], RxMeta::INTACT);
        self.poll_transmit_flat(now, out)
    }
    /// The next frame by way of one that is written piece by piece.
    #[inline(never)]
    fn poll_transmit_flat(&mut self, now: Instant, out: &mut [u8]) -> Option<(TxMeta, usize)> {
        let mut frame = self.spare.take().unwrap_or_default();
        let sent = self.poll_transmit(now, &mut frame).map(|meta| {
            let (head, body) = out[..frame.len()].split_at_mut(frame.head.len());
            head.copy_from_slice(frame.head.as_slice());
            frame.body.copy_to(body);
            (meta, frame.len())
        });
        frame.clear();
        self.spare = Some(frame);
        sent
    }
    /// Whether nobody has anything to send.
    #[inline]
    fn is_quiet(&self) -> bool {
        self.tcp.is_quiet() && self.ip.is_quiet() && self.udp.is_quiet()
    }
    fn trace_frame(&mut self, now: Instant, interface: InterfaceId, frame: &Frame, cause: Option<Cause>) {
        let bytes = Bytes::from(frame.to_vec());
        let outgoing = cause.is_some();
        self.trace
            .record(TraceMask::FRAMES, now, None, || TraceKind::Frame {
                interface,
                outgoing,
                bytes,
                cause,
            });
    }
    /// The next thing that an application may wait for.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        if self.events.queue.is_empty() {
            return None;
        }
        self.next_event()
    }
    #[inline(never)]
    fn next_event(&mut self) -> Option<Event> {
        while let Some(socket) = self.events.queue.pop_front() {
            let ready = match socket.is_udp() {
                true => self.udp.take_pending(socket),
                false => self.tcp.take_pending(socket),
            };
            let ready = ready.difference(Readiness::QUEUED);
            if !ready.is_empty() {
                return Some(Event { socket, ready });
            }
        }
        None
    }
    /// When [`Stack::handle_timeout`] has to be called, and for what. It may turn out that there is nothing to do by then.
    #[inline]
    pub fn next_timeout(&self) -> Option<(Instant, Why)> {
        let at = self.tcp.next_timeout();
        if !self.ip.is_timeless() {
            cold_path();
            return self.next_timeout_of_all();
        }
        (!at.is_never()).then(|| (at, self.tcp.waits_for(at)))
    }
    #[inline(never)]
    fn next_timeout_of_all(&self) -> Option<(Instant, Why)> {
        let at = self.tcp.next_timeout();
        match self.ip.next_timeout() {
            Some((first, timer)) if first < at => Some((first, Why { socket: None, timer })),
            _ => (!at.is_never()).then(|| (at, self.tcp.waits_for(at))),
        }
    }

    /// The recorder: what to record, and what was.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }
    /// Drops by reason, since the stack was made.
    pub fn drops(&self) -> &crate::trace::DropCounters {
        self.trace.drops()
    }
    /// All sockets, half-open and TIME-WAIT entries at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let mut sockets = self.tcp.rows();
        self.udp.rows(&mut sockets);
        Snapshot { sockets }
    }
    /// As [`Stack::snapshot`], with TCP_INFO of each connection, those included that the application has closed.
    pub fn socket_table(&self) -> Vec<(SocketRow, Option<TcpInfo>)> {
        let mut table = self.tcp.rows_with_info(&self.config);
        let mut datagrams = Vec::new();
        self.udp.rows(&mut datagrams);
        table.extend(datagrams.into_iter().map(|row| (row, None)));
        table
    }

    /// A new TCP socket: CLOSED, unbound.
    pub fn tcp_socket(&mut self, options: TcpOptions) -> SocketId {
        self.tcp.socket(options)
    }
    /// Binds a TCP socket to a local address; port 0 chooses a free one.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn tcp_bind(&mut self, id: SocketId, local: SocketAddr) -> Result<(), BindError> {
        let Stack {
            config,
            rng,
            trace,
            ip,
            tcp,
            ..
        } = self;
        tcp.bind(
            &mut Env {
                now: Instant::ZERO,
                config,
                trace,
                rng,
            },
            ip,
            id,
            local,
        )
    }
    /// Listens for connections; `backlog` bounds the finished ones that wait to be accepted (one more is admitted, as on
    /// Linux).
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn tcp_listen(&mut self, id: SocketId, backlog: u32) -> Result<(), ListenError> {
        let Stack {
            config,
            rng,
            trace,
            ip,
            tcp,
            ..
        } = self;
        tcp.listen(
            &mut Env {
                now: Instant::ZERO,
                config,
                trace,
                rng,
            },
            ip,
            id,
            backlog,
        )
    }
    /// Opens a connection. The handshake goes on by itself; an event with CONNECTED or CLOSED tells its outcome.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        id: SocketId,
        remote: SocketAddr,
    ) -> Result<(), ConnectError> {
        self.with_tcp(now, |tcp, cx| tcp.connect(cx, id, remote))
    }
    /// Takes the oldest finished connection off a listener's queue; `None` if there is none.
    ///
    /// # Errors
    /// [`AcceptError::Stale`] if `id` names no listener; [`AcceptError::NetworkDown`].
    pub fn tcp_accept(
        &mut self,
        now: Instant,
        id: SocketId,
    ) -> Result<Option<(SocketId, SocketAddr)>, AcceptError> {
        self.with_tcp(now, |tcp, cx| tcp.accept(cx, id))
    }
    /// ABORT (RFC 9293 section 3.10.5) for every connection, those included that their application has closed or not yet
    /// accepted: for the end of a program, with which its stack goes. Peers are told by resets, which leave by
    /// [`Stack::poll_transmit`]; calls on the sockets end with [`Aborted`](crate::ConnectionError::Aborted). Listeners go on,
    /// and entries in TIME-WAIT, whose peers have nothing to hear. Returns how many resets are to leave.
    pub fn abort_all(&mut self, now: Instant) -> usize {
        self.with_tcp(now, |tcp, cx| tcp.abort_all(cx))
    }
    /// Borrows a TCP socket for calls at `now`.
    ///
    /// # Errors
    /// [`StaleSocket`] if `id` names none.
    pub fn tcp(&mut self, now: Instant, id: SocketId) -> Result<TcpSocket<'_>, StaleSocket> {
        if self.tcp.is_held(id) {
            Ok(TcpSocket::new(self, now, id))
        } else {
            Err(StaleSocket)
        }
    }

    /// A new UDP socket, unbound.
    pub fn udp_socket(&mut self, options: UdpOptions) -> SocketId {
        self.udp.socket(options)
    }
    /// Binds a UDP socket to a local address; port 0 chooses a free one.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn udp_bind(&mut self, id: SocketId, local: SocketAddr) -> Result<(), BindError> {
        let Stack {
            config,
            rng,
            trace,
            ip,
            udp,
            ..
        } = self;
        udp.bind(
            &mut Env {
                now: Instant::ZERO,
                config,
                trace,
                rng,
            },
            ip,
            id,
            local,
        )
    }
    /// Borrows a UDP socket for calls at `now`.
    ///
    /// # Errors
    /// [`StaleSocket`] if `id` names none.
    pub fn udp(&mut self, now: Instant, id: SocketId) -> Result<UdpSocket<'_>, StaleSocket> {
        let Stack {
            config,
            rng,
            trace,
            ip,
            udp,
            events,
            ..
        } = self;
        udp.borrow(
            Env {
                now,
                config,
                trace,
                rng,
            },
            ip,
            events,
            id,
        )
    }
}
