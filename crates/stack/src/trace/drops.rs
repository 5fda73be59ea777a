//! Why something received was dropped, and how often.

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
