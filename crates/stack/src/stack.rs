//! The face of the core.

use bitflags::bitflags;
use core::fmt;
use core::net::SocketAddr;

use crate::config::Config;
use crate::error::{BindError, ConnectError, ListenError, StaleSocket};
use crate::frame::{Frame, RxMeta, TxFrame, TxMeta};
use crate::iface::InterfaceConfig;
use crate::snapshot::Snapshot;
use crate::tcp::{TcpOptions, TcpSocket};
use crate::time::Instant;
use crate::trace::{Timer, Trace};
use crate::udp::{UdpOptions, UdpSocket};

/// A socket: slot and generation. An id that outlived its socket is an error, never another socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}
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
        /// All that was sent is acknowledged.
        const DRAINED = 0x100;
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

/// (being built)
#[derive(Debug)]
pub struct Stack {
    config: Config,
    trace: Trace,
}

#[allow(unused_variables, missing_docs)]
impl Stack {
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Stack {
            config,
            trace: Trace::default(),
        }
    }
    pub fn add_interface(&mut self, now: Instant, config: InterfaceConfig) -> InterfaceId {
        todo!()
    }
    pub fn config(&self) -> &Config {
        &self.config
    }
    pub fn handle_frame(&mut self, now: Instant, on: InterfaceId, frame: Frame, meta: RxMeta) {
        todo!()
    }
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!()
    }
    pub fn poll_transmit(&mut self, now: Instant, out: &mut TxFrame) -> Option<TxMeta> {
        todo!()
    }
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }
    pub fn next_timeout(&self) -> Option<(Instant, Why)> {
        todo!()
    }
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }
    pub fn tcp_socket(&mut self, options: TcpOptions) -> SocketId {
        todo!()
    }
    pub fn tcp_bind(&mut self, id: SocketId, local: SocketAddr) -> Result<(), BindError> {
        todo!()
    }
    pub fn tcp_listen(&mut self, id: SocketId, backlog: u32) -> Result<(), ListenError> {
        todo!()
    }
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        id: SocketId,
        remote: SocketAddr,
    ) -> Result<(), ConnectError> {
        todo!()
    }
    pub fn tcp_accept(
        &mut self,
        now: Instant,
        id: SocketId,
    ) -> Result<Option<(SocketId, SocketAddr)>, StaleSocket> {
        todo!()
    }
    pub fn tcp(&mut self, now: Instant, id: SocketId) -> Result<TcpSocket<'_>, StaleSocket> {
        todo!()
    }
    pub fn udp_socket(&mut self, options: UdpOptions) -> SocketId {
        todo!()
    }
    pub fn udp_bind(&mut self, id: SocketId, local: SocketAddr) -> Result<(), BindError> {
        todo!()
    }
    pub fn udp(&mut self, now: Instant, id: SocketId) -> Result<UdpSocket<'_>, StaleSocket> {
        todo!()
    }
}
