//! What the core tells of itself: typed events with causes.
//!
//! One stream, many readers: ladder diagram, pcapng, metrics and pages are made of [`TraceEvent`]s and nothing else.
//! Counters always run; events cost one branch when tracing is off.

mod cause;
mod drops;
mod recorder;

pub use cause::{AckCause, Cause, ChallengeCause, Held, ResetCause, RetransmitCause};
pub use drops::{DropCounters, DropReason};
pub use recorder::Trace;

use bitflags::bitflags;
use bytes::Bytes;
use core::net::SocketAddr;

use crate::tcp::{Segment, SeqNumber, State};
use crate::time::{Duration, Instant};
use crate::{InterfaceId, SocketId};

bitflags! {
    /// Which events are recorded.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct TraceMask: u8 {
        /// TCP segments in and out, with cause.
        const SEGMENTS = 0x01;
        /// State changes.
        const STATES = 0x02;
        /// Timers set and fired.
        const TIMERS = 0x04;
        /// Congestion window, slow-start threshold, RTT and windows.
        const FLOW = 0x08;
        /// Drops with their reason.
        const DROPS = 0x10;
        /// Why data waits.
        const HELD = 0x20;
        /// Whole frames, with their bytes and cause (for captures).
        const FRAMES = 0x40;
        /// Everything but whole frames.
        const EVENTS = 0x3f;
    }
}

/// One thing that happened, and when.
#[derive(Clone, Debug)]
pub struct TraceEvent {
    /// When, by the driver's clock.
    pub at: Instant,
    /// The socket it concerns; `None` for half-open and TIME-WAIT entries, and for what belongs to no connection.
    pub socket: Option<SocketId>,
    /// What happened.
    pub kind: TraceKind,
}

/// The connection that an event belongs to, told by its addresses (it may have no socket).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Tuple {
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum TraceKind {
    /// A TCP segment left, or a super-segment that the device splits.
    SegmentOut {
        /// Whose.
        tuple: Tuple,
        /// Its header.
        segment: Segment,
        /// Why it left.
        cause: Cause,
    },
    /// A TCP segment came in and passed the checks on its form.
    SegmentIn {
        /// Whose.
        tuple: Tuple,
        /// Its header.
        segment: Segment,
    },
    /// A connection changed its state.
    State {
        /// Whose.
        tuple: Tuple,
        /// The state it left.
        from: State,
        /// The state it is in now.
        to: State,
        /// What moved it.
        why: Transition,
    },
    /// A timer was started or moved.
    TimerSet {
        /// Which.
        timer: Timer,
        /// When it goes off.
        at: Instant,
    },
    /// A timer went off.
    TimerFired {
        /// Which.
        timer: Timer,
    },
    /// A round-trip time was measured (RFC 6298).
    Rtt {
        /// The sample.
        sample: Duration,
        /// SRTT after it.
        srtt: Duration,
        /// RTTVAR after it.
        rttvar: Duration,
        /// RTO after it.
        rto: Duration,
    },
    /// The congestion window or the slow-start threshold changed (RFC 5681), with the data in flight at that moment.
    Congestion {
        /// cwnd in octets.
        cwnd: u32,
        /// ssthresh in octets; `u32::MAX` until the first loss.
        ssthresh: u32,
        /// Octets believed to be in the network.
        flight: u32,
        /// What changed it.
        why: CongestionChange,
    },
    /// The peer's offered window as we use it (SND.WND).
    SendWindow {
        /// Octets.
        window: u32,
    },
    /// Data waits in the send queue, and why.
    Held {
        /// Octets waiting.
        waiting: u32,
        /// What they wait for.
        why: Held,
    },
    /// Something received was dropped.
    Dropped {
        /// The connection by its addresses, where they could be read.
        tuple: Option<Tuple>,
        /// Why.
        reason: DropReason,
    },
    /// A whole frame passed an interface.
    Frame {
        /// Which interface.
        interface: InterfaceId,
        /// Whether it left.
        outgoing: bool,
        /// Its bytes, link header included.
        bytes: Bytes,
        /// Why, if it left.
        cause: Option<Cause>,
    },
}

/// What moved a connection from one state to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Transition {
    /// The application opened it.
    Open,
    /// A SYN came.
    Syn,
    /// A SYN,ACK came.
    SynAck,
    /// Our SYN was acknowledged.
    SynAcked,
    /// The application closed or shut down its side.
    Close,
    /// The peer's FIN came.
    Fin,
    /// Our FIN was acknowledged.
    FinAcked,
    /// The peer reset it.
    Reset,
    /// We aborted it.
    Abort,
    /// Gave up waiting for an acknowledgment (R2 or user timeout) or for answers to keepalives.
    Timeout,
    /// 2 MSL passed.
    TimeWaitOver,
    /// FIN-WAIT-2 lasted too long after a full close.
    FinWait2Timeout,
    /// A new SYN took over the TIME-WAIT entry (RFC 6191).
    Reused,
    /// An ICMP error ended it.
    Icmp,
    /// The interface that it ran over failed.
    NetworkDown,
}

/// A timer of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum Timer {
    /// Retransmission (RFC 6298).
    Retransmit,
    /// Zero-window probe.
    Persist,
    /// Delayed ACK.
    DelayedAck,
    /// Keepalive.
    Keepalive,
    /// User timeout or R2.
    UserTimeout,
    /// 2 MSL.
    TimeWait,
    /// FIN-WAIT-2 after a full close.
    FinWait2,
    /// SYN,ACK of a half-open connection.
    SynAck,
    /// Linger on close.
    Linger,
    /// Sender silly-window override (RFC 9293 section 3.8.6.2.1).
    Override,
    /// ARP or NDP.
    Neighbor,
    /// Reassembly of fragments.
    Reassembly,
    /// Address lifetimes, router solicitation, membership reports, path MTU ageing.
    Interface,
}

/// Why the congestion window or ssthresh changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CongestionChange {
    /// Set at the start (RFC 6928).
    Initial,
    /// Slow start.
    SlowStart,
    /// Congestion avoidance.
    Avoidance,
    /// Entered fast recovery.
    EnterRecovery,
    /// Left recovery: everything outstanding at its start is acknowledged.
    ExitRecovery,
    /// In recovery, inflated or deflated (RFC 6582).
    Recovery,
    /// Retransmission timeout.
    Timeout,
    /// The peer echoed a router's mark on our data (RFC 3168 section 6.1.2).
    Marked,
    /// Restart after idle (RFC 5681 section 4.1).
    Idle,
    /// A reduction taken back: what was taken for lost was only late (RFC 3522, RFC 4015).
    Undone,
}

/// A sequence number shown relative to the first of its direction, as diagrams do.
pub fn relative(seq: SeqNumber, initial: SeqNumber) -> u32 {
    seq.since(initial)
}
