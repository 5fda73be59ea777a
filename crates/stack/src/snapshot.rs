//! A picture of all sockets at one moment, for tables and tests.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::SocketId;
use crate::tcp::State;

/// Which protocol a row of the table speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One row of the socket table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketRow {
    /// The socket; `None` for half-open and TIME-WAIT entries and for connections that the application has closed.
    pub id: Option<SocketId>,
    /// Its protocol.
    pub protocol: Protocol,
    /// TCP's state; `None` for UDP.
    pub state: Option<State>,
    /// Our address, where bound.
    pub local: Option<SocketAddr>,
    /// The peer's, where connected.
    pub remote: Option<SocketAddr>,
    /// Octets received and not read; for a listener, connections waiting to be accepted.
    pub receive_queue: usize,
    /// Octets sent and not acknowledged, and octets waiting; for a listener, its backlog.
    pub send_queue: usize,
}

/// A picture of all sockets at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// Rows in the order of their slots: sockets, then half-open entries, then TIME-WAIT entries.
    pub sockets: Vec<SocketRow>,
}
