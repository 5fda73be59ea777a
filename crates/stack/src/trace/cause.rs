//! Why a segment leaves, and why data does not.

use core::fmt;

use crate::time::Duration;

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
