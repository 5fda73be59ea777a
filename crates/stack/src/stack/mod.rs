//! The face of the core.

mod frames;
mod sockets;

use alloc::boxed::Box;
use alloc::vec::Vec;
use bitflags::bitflags;
use core::fmt;
use core::hint::cold_path;

use crate::config::Config;
use crate::frame::Frame;
use crate::iface::{Env, InterfaceConfig, IpLayer};
use crate::line::Line;
use crate::rng::{Rng, Secrets};
use crate::snapshot::{Snapshot, SocketRow};
use crate::tcp::TcpInfo;
use crate::tcp::dispatch::Around;
use crate::tcp::table::Tcp;
use crate::time::Instant;
use crate::trace::{Timer, Trace};
use crate::udp::Udp;
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
}
