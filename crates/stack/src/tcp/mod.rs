//! TCP: RFC 9293 and its companions.

mod all;
mod blank;
mod burst;
mod calls;
mod choices;
mod closing;
pub(crate) mod congestion;
pub(crate) mod conn;
pub(crate) mod cookie;
mod direct;
pub(crate) mod dispatch;
mod ecn;
mod egress;
mod handshake;
mod icmp;
mod info;
mod ingress;
pub(crate) mod isn;
mod listen;
mod open;
mod passive;
pub(crate) mod ports;
mod predict;
mod quick;
mod quick_bare;
#[cfg(test)]
mod quick_tests;
mod recent;
pub(crate) mod recv;
mod reset;
mod rows;
pub(crate) mod rtt;
mod scope;
mod segment;
pub(crate) mod send;
mod sent;
mod seq;
mod socket;
mod spares;
pub(crate) mod table;
mod timers;
mod timewait;
mod transmit;
mod urgent;

pub use choices::{Keepalive, TcpOptions};
pub use info::{Repair, TcpInfo};
pub use segment::{EcnField, Flags, Options, SackBlock, SackBlocks, Segment, Timestamps};
pub use seq::SeqNumber;
pub use socket::TcpSocket;

use core::fmt;

/// The states of a connection (RFC 9293 section 3.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum State {
    /// No connection.
    Closed,
    /// Waiting for a connection request from anyone.
    Listen,
    /// Sent a SYN, waiting for its match.
    SynSent,
    /// Received and sent a SYN, waiting for the acknowledgment of ours.
    SynReceived,
    /// Open: data flows both ways.
    Established,
    /// We closed; waiting for the acknowledgment of our FIN, or the peer's FIN.
    FinWait1,
    /// Our FIN is acknowledged; waiting for the peer's.
    FinWait2,
    /// The peer closed; waiting for our application to close.
    CloseWait,
    /// Both closed at once; waiting for the acknowledgment of our FIN.
    Closing,
    /// The peer closed first, then we; waiting for the acknowledgment of our FIN.
    LastAck,
    /// Waiting until no segment of this connection can be in the network any more.
    TimeWait,
}

/// As the RFC writes them: `SYN-SENT`, `FIN-WAIT-1`.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Closed => "CLOSED",
            State::Listen => "LISTEN",
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::CloseWait => "CLOSE-WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST-ACK",
            State::TimeWait => "TIME-WAIT",
        })
    }
}
