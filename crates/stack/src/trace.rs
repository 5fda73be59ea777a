//! What the core tells of itself: typed events with causes.
//!
//! One stream, many readers: ladder diagram, pcapng, metrics and pages are made of [`TraceEvent`]s and nothing else.
//! Counters always run; events cost one branch when tracing is off.

use alloc::collections::VecDeque;
use bitflags::bitflags;
use bytes::Bytes;
use core::fmt;
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

/// Why something was sent. No frame leaves without one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// SYN of an active open.
    Open,
    /// SYN,ACK in answer to a SYN.
    OpenReply,
    /// SYN,ACK that carries a SYN cookie, since the SYN queue is full (RFC 4987).
    OpenCookie,
    /// The ACK that completes our side of the handshake.
    OpenComplete,
    /// New data that the windows and Nagle's rule let go.
    Data,
    /// Our FIN: the application has no more to send.
    Fin,
    /// An acknowledgment without data.
    Ack(AckCause),
    /// Data, SYN or FIN sent again.
    Retransmit(RetransmitCause),
    /// A zero-window probe, the n-th in a row (RFC 9293 section 3.8.6.1).
    WindowProbe(u8),
    /// A keepalive probe, the n-th in a row (RFC 9293 section 3.8.4).
    Keepalive(u8),
    /// A reset.
    Reset(ResetCause),
    /// A challenge ACK (RFC 5961).
    Challenge(ChallengeCause),
    /// A UDP datagram, or a fragment of one.
    Datagram,
    /// ARP or NDP: looking for a link address.
    NeighborRequest,
    /// ARP or NDP: telling ours.
    NeighborReply,
    /// Duplicate address detection (RFC 4862 section 5.4).
    DuplicateAddressDetection,
    /// Router solicitation (RFC 4861 section 6.3.7).
    RouterSolicitation,
    /// Multicast membership report (IGMPv3, MLDv2).
    Membership,
    /// ICMP echo reply.
    EchoReply,
    /// ICMP echo request.
    EchoRequest,
    /// ICMP error about something received.
    IcmpError,
    /// Passed on for somebody else (routers, switches and NATs of the lab).
    Forwarded,
    /// Handed in raw by the application.
    Raw,
}

/// Why an acknowledgment was sent now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AckCause {
    /// Two full-sized segments' worth of data is unacknowledged (SHLD-19).
    EverySecondSegment,
    /// The delayed-ACK timer went off (MUST-40).
    DelayTimer,
    /// Quick acknowledgment at the start of a connection or after idle.
    Quick,
    /// A segment came out of order: the duplicate ACK tells where the gap is (RFC 5681 section 4.2).
    OutOfOrder,
    /// A segment filled a gap (RFC 5681 section 4.2).
    GapFilled,
    /// The peer repeated octets that we had; with SACK, the first block says which (RFC 2883).
    Duplicate,
    /// The peer's FIN came.
    Fin,
    /// The receive window opened enough to be worth telling (RFC 9293 section 3.8.6.2.2).
    WindowUpdate,
    /// The peer probed our closed window or an idle connection.
    ProbeReply,
    /// The segment was not acceptable; the ACK says where we are (RFC 9293 section 3.10.7.4).
    NotAcceptable,
    /// It acknowledged what we have not sent.
    AckOfUnsent,
    /// Failed the timestamp check (PAWS, RFC 7323 section 5).
    Paws,
    /// A router marked a segment: the peer learns it at once (RFC 3168 section 6.1.3).
    CongestionMark,
    /// The peer has reduced its congestion window, and may have little in flight (RFC 3168 section 6.1.3).
    WindowReduced,
    /// A repeated FIN reached TIME-WAIT.
    TimeWait,
    /// The application asked for it.
    Application,
}

/// Why something was sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RetransmitCause {
    /// The retransmission timer went off, for the n-th time in a row, after this RTO (RFC 6298).
    Timeout {
        /// How often in a row.
        count: u8,
        /// The RTO that passed.
        rto: Duration,
    },
    /// Three duplicate ACKs, or the SACK rule that stands for them (RFC 5681 section 3.2, RFC 6675 section 5).
    Fast,
    /// In recovery, the next segment that the scoreboard holds for lost (RFC 6675 NextSeg rules 1 and 3).
    Scoreboard,
    /// In recovery, a partial ACK points at the next hole (RFC 6582 section 3.2).
    PartialAck,
    /// The rescue retransmission at the end of recovery (RFC 6675 NextSeg rule 4).
    Rescue,
    /// After a timeout, data known to be missing goes again in slow start.
    AfterTimeout,
    /// The peer repeated its SYN, so our SYN,ACK was lost.
    PeerRepeatedSyn,
    /// Path MTU became smaller; what did not fit goes again in smaller pieces (RFC 1191, RFC 8201).
    PathMtu,
}

/// Why a reset was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ResetCause {
    /// Nobody listens there, or the connection is gone (RFC 9293 section 3.10.7.1).
    NoConnection,
    /// A segment in LISTEN, SYN-SENT or SYN-RECEIVED acknowledged what was never sent.
    BadAck,
    /// The application aborted the connection.
    Abort,
    /// Closed with data unread, or data came after close (SHLD-3).
    UnreadData,
    /// Closed with linger time zero.
    Linger,
    /// Unacknowledged for longer than the user timeout or R2.
    Timeout,
    /// The listener closed before the connection was accepted.
    ListenerClosed,
    /// Keepalive probes had no answer.
    Keepalive,
}

/// What a challenge ACK answers (RFC 5961).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ChallengeCause {
    /// A RST inside the window but not exactly at RCV.NXT (section 3.2).
    ResetInWindow,
    /// A SYN on a synchronised connection (section 4.2).
    Syn,
    /// An ACK outside the acceptable range (section 5.2).
    AckOutOfRange,
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

/// Why data in the send queue did not leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum Held {
    /// The congestion window is full.
    CongestionWindow,
    /// The peer's receive window is full or closed.
    PeerWindow,
    /// Nagle's rule: a small segment waits for the ACK of what is in flight.
    Nagle,
    /// The application corked the socket.
    Cork,
    /// Sender silly-window avoidance: too small a part of the peer's window is open.
    SillyWindow,
    /// Paced.
    Pacing,
    /// The link address of the next hop is not known yet.
    Neighbor,
    /// The handshake is not complete.
    Handshake,
}

/// Why something received was dropped. Each reason has a counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum DropReason {
    /// Shorter than its headers say.
    Truncated,
    /// A header field that cannot be.
    Malformed,
    /// IPv4 header checksum.
    IpChecksum,
    /// TCP, UDP or ICMP checksum.
    TransportChecksum,
    /// A protocol nobody speaks here.
    UnknownProtocol,
    /// Not addressed to us.
    NotForUs,
    /// A source address that no sender can have (multicast, broadcast, unspecified, ours).
    BadSource,
    /// Somebody else says that our address is theirs (RFC 5227, RFC 4862 section 5.4); it is never believed.
    AddressConflict,
    /// Nobody listens on that port.
    NoSocket,
    /// No route back to the sender.
    NoRoute,
    /// A source route that we refuse.
    SourceRoute,
    /// Hop limit not 255 where NDP requires it.
    HopLimit,
    /// Fragments that overlap, disagree, or make a datagram too long (RFC 5722).
    BadFragment,
    /// Fragment store full.
    FragmentsFull,
    /// Fragments that did not all come in time.
    FragmentTimeout,
    /// The socket's receive queue is full.
    ReceiveQueueFull,
    /// An output queue is full.
    TransmitQueueFull,
    /// A neighbour did not answer.
    NeighborUnreachable,
    /// SYN queue full and cookies off.
    SynQueueFull,
    /// Accept queue full.
    AcceptQueueFull,
    /// A SYN to a broadcast or multicast address, or from one (MUST-57, MUST-63).
    SynToMany,
    /// An ACK that carries no valid cookie.
    BadCookie,
    /// RFC 9293's acceptability test.
    OutOfWindow,
    /// PAWS (RFC 7323 section 5).
    Paws,
    /// A reset that does not stand exactly at RCV.NXT.
    ResetNotExact,
    /// An ACK of what was not sent, or too old (RFC 5961 section 5).
    AckOutOfRange,
    /// A SYN on a synchronised connection.
    SynInWindow,
    /// A segment without ACK on a synchronised connection.
    NoAck,
    /// Octets that we had already.
    Duplicate,
    /// Beyond our window: cut off.
    BeyondWindow,
    /// The reassembly queue is full.
    ReassemblyFull,
    /// Came after our side had closed.
    AfterClose,
    /// An ICMP error that matches no connection or does not lie in flight (RFC 5927).
    IcmpMismatch,
    /// Source quench, which is to be ignored (MUST-55).
    SourceQuench,
    /// A limit on how often something is answered.
    RateLimited,
    /// The interface is down, or unknown.
    NoInterface,
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = DropReason::NoInterface as usize + 1;
}

/// Drops by reason since the stack was made.
#[derive(Clone, Debug)]
pub struct DropCounters([u64; DropReason::COUNT]);

impl DropCounters {
    /// How often something was dropped for this reason.
    pub fn count(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }
    /// All drops together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
    #[inline]
    pub(crate) fn add(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }
}
impl Default for DropCounters {
    fn default() -> Self {
        DropCounters([0; DropReason::COUNT])
    }
}

/// The recorder: a bounded queue of events. When it is full the oldest go, and are counted.
#[derive(Debug, Default)]
pub struct Trace {
    mask: TraceMask,
    events: VecDeque<TraceEvent>,
    lost: u64,
    drops: DropCounters,
}

/// Events kept between two drains. Drivers drain after each batch, so this is only reached by one that never does.
const TRACE_CAPACITY: usize = 1 << 16;

impl Trace {
    /// Chooses what is recorded.
    pub fn set_mask(&mut self, mask: TraceMask) {
        self.mask = mask;
    }
    /// Whether events of this kind are recorded.
    #[inline]
    pub fn wants(&self, kind: TraceMask) -> bool {
        self.mask.intersects(kind)
    }
    /// Records an event if its kind is wanted; `make` runs only then.
    #[inline(always)]
    pub(crate) fn record(
        &mut self,
        kind: TraceMask,
        at: Instant,
        socket: Option<SocketId>,
        make: impl FnOnce() -> TraceKind,
    ) {
        if self.wants(kind) {
            self.made(at, socket, make);
        }
    }
    /// Apart from the test whether anybody listens, which is all that most steps pay for.
    #[cold]
    #[inline(never)]
    fn made(&mut self, at: Instant, socket: Option<SocketId>, make: impl FnOnce() -> TraceKind) {
        self.push(TraceEvent {
            at,
            socket,
            kind: make(),
        });
    }
    /// Counts a drop and records it.
    pub(crate) fn dropped(
        &mut self,
        at: Instant,
        socket: Option<SocketId>,
        tuple: Option<Tuple>,
        reason: DropReason,
    ) {
        self.drops.add(reason);
        self.record(TraceMask::DROPS, at, socket, || TraceKind::Dropped {
            tuple,
            reason,
        });
    }
    fn push(&mut self, event: TraceEvent) {
        if self.events.len() >= TRACE_CAPACITY {
            self.events.pop_front();
            self.lost += 1;
        }
        self.events.push_back(event);
    }
    /// Takes the recorded events, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = TraceEvent> + '_ {
        self.events.drain(..)
    }
    /// How many events were lost because nobody drained.
    pub fn lost(&self) -> u64 {
        self.lost
    }
    /// Drops by reason.
    pub fn drops(&self) -> &DropCounters {
        &self.drops
    }
}

/// A few words for a diagram: `retransmission: RTO 220 ms`.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Open => f.write_str("open"),
            Cause::OpenReply => f.write_str("answers SYN"),
            Cause::OpenCookie => f.write_str("answers SYN with a cookie: SYN queue full"),
            Cause::OpenComplete => f.write_str("completes handshake"),
            Cause::Data => f.write_str("data"),
            Cause::Fin => f.write_str("close: no more data"),
            Cause::Ack(why) => write!(f, "ACK: {why}"),
            Cause::Retransmit(why) => write!(f, "retransmission: {why}"),
            Cause::WindowProbe(n) => write!(f, "zero-window probe {n}"),
            Cause::Keepalive(n) => write!(f, "keepalive probe {n}"),
            Cause::Reset(why) => write!(f, "reset: {why}"),
            Cause::Challenge(why) => write!(f, "challenge ACK: {why}"),
            Cause::Datagram => f.write_str("datagram"),
            Cause::NeighborRequest => f.write_str("who has the next hop's address?"),
            Cause::NeighborReply => f.write_str("tells its link address"),
            Cause::DuplicateAddressDetection => f.write_str("is this address free?"),
            Cause::RouterSolicitation => f.write_str("looks for a router"),
            Cause::Membership => f.write_str("multicast membership"),
            Cause::EchoReply => f.write_str("answers ping"),
            Cause::EchoRequest => f.write_str("ping"),
            Cause::IcmpError => f.write_str("reports an error"),
            Cause::Forwarded => f.write_str("forwarded"),
            Cause::Raw => f.write_str("raw"),
        }
    }
}
impl fmt::Display for AckCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AckCause::EverySecondSegment => "every second segment",
            AckCause::DelayTimer => "delayed-ACK timer",
            AckCause::Quick => "at once",
            AckCause::OutOfOrder => "out of order",
            AckCause::GapFilled => "gap filled",
            AckCause::Duplicate => "had these octets already",
            AckCause::Fin => "FIN received",
            AckCause::WindowUpdate => "window update",
            AckCause::ProbeReply => "answers a probe",
            AckCause::NotAcceptable => "outside the window",
            AckCause::AckOfUnsent => "acknowledged what was not sent",
            AckCause::Paws => "old timestamp",
            AckCause::CongestionMark => "congestion mark received",
            AckCause::WindowReduced => "peer reduced its window",
            AckCause::TimeWait => "FIN repeated in TIME-WAIT",
            AckCause::Application => "asked by the application",
        })
    }
}
impl fmt::Display for RetransmitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RetransmitCause::Timeout { count: 1, rto } => write!(f, "RTO {rto}"),
            RetransmitCause::Timeout { count, rto } => write!(f, "RTO {rto}, timeout {count} in a row"),
            RetransmitCause::Fast => f.write_str("three duplicate ACKs"),
            RetransmitCause::Scoreboard => f.write_str("SACK shows it lost"),
            RetransmitCause::PartialAck => f.write_str("partial ACK in recovery"),
            RetransmitCause::Rescue => f.write_str("rescue at the end of recovery"),
            RetransmitCause::AfterTimeout => f.write_str("missing since the timeout"),
            RetransmitCause::PeerRepeatedSyn => f.write_str("peer repeated its SYN"),
            RetransmitCause::PathMtu => f.write_str("path MTU became smaller"),
        }
    }
}
impl fmt::Display for ResetCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResetCause::NoConnection => "no connection here",
            ResetCause::BadAck => "acknowledges what was not sent",
            ResetCause::Abort => "aborted by the application",
            ResetCause::UnreadData => "closed with data unread",
            ResetCause::Linger => "closed with linger 0",
            ResetCause::Timeout => "gave up waiting for an ACK",
            ResetCause::ListenerClosed => "listener closed",
            ResetCause::Keepalive => "no answer to keepalives",
        })
    }
}
impl fmt::Display for ChallengeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChallengeCause::ResetInWindow => "RST not exactly at RCV.NXT",
            ChallengeCause::Syn => "SYN on a synchronised connection",
            ChallengeCause::AckOutOfRange => "ACK out of range",
        })
    }
}
impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Held::CongestionWindow => "congestion window full",
            Held::PeerWindow => "peer's window full",
            Held::Nagle => "Nagle: waits for an ACK",
            Held::Cork => "corked",
            Held::SillyWindow => "window too little open",
            Held::Pacing => "paced",
            Held::Neighbor => "link address unknown",
            Held::Handshake => "handshake not complete",
        })
    }
}

/// A sequence number shown relative to the first of its direction, as diagrams do.
pub fn relative(seq: SeqNumber, initial: SeqNumber) -> u32 {
    seq.since(initial)
}
