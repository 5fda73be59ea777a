//! What the layers above and the IP layer hand each other.

use core::net::{IpAddr, SocketAddr};

use super::Capabilities;
use crate::InterfaceId;
use crate::config::Config;
use crate::frame::Frame;
use crate::rng::Rng;
use crate::time::Instant;
use crate::trace::{DropReason, Trace};

impl InterfaceId {
    /// The interface on which the host talks to itself. Frames for it come out of `poll_transmit` and are to be given
    /// to `receive` again.
    pub const LOOPBACK: InterfaceId = InterfaceId(u16::MAX);
}

/// What every input and output of the layers below the face gets handed.
pub(crate) struct Env<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    pub(crate) trace: &'a mut Trace,
    pub(crate) rng: &'a mut Rng,
}

impl Env<'_> {
    /// Counts and records a drop that belongs to no connection.
    #[cold]
    pub(crate) fn dropped(&mut self, reason: DropReason) {
        self.trace.dropped(self.now, None, None, reason);
    }
}

/// How many a destination reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cast {
    Unicast,
    Broadcast,
    Multicast,
}

/// What a link asks of whoever writes short packets over IPv4 for it in one go ([`crate::wire::plain`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PlainLink {
    /// It takes none as they are: packets get link headers, or its device completes the checksums.
    No,
    /// Packets with both checksums.
    Summed,
    /// Packets without.
    Unsummed,
}

impl PlainLink {
    /// Whether checksums are made; `None` if packets cannot be written at once.
    #[inline]
    pub(crate) fn checksums(self) -> Option<bool> {
        match self {
            PlainLink::No => None,
            PlainLink::Summed => Some(true),
            PlainLink::Unsummed => Some(false),
        }
    }
}

/// How to get somewhere. Small and `Copy`: connections keep theirs while `IpLayer::generation` stays the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Route {
    /// Our address to send from.
    pub(crate) source: IpAddr,
    /// The neighbour to hand packets to: a router or the destination itself.
    pub(crate) next_hop: IpAddr,
    /// Largest packet that the path takes, as far as is known.
    pub(crate) mtu: u32,
    pub(crate) capabilities: Capabilities,
    pub(crate) interface: InterfaceId,
    pub(crate) cast: Cast,
    /// The destination is this host: frames come back by `InterfaceId::LOOPBACK`.
    pub(crate) loopback: bool,
    /// The hop limit that a router told this link to use (RFC 4861 section 6.3.4); 0: the stack's.
    pub(crate) hop_limit: u8,
    pub(crate) plain: PlainLink,
}

impl Path {
    /// The hop limit that a router told the link to use, or the stack's.
    #[inline]
    pub(crate) fn hop_limit_or(&self, config: &Config) -> u8 {
        if self.hop_limit == 0 {
            config.hop_limit
        } else {
            self.hop_limit
        }
    }
}

impl Route {
    /// As [`Path::hop_limit_or`].
    #[inline]
    pub(crate) fn hop_limit_or(&self, config: &Config) -> u8 {
        Path::from(*self).hop_limit_or(config)
    }
    /// A route before there is one.
    pub(crate) const fn nowhere() -> Self {
        let nowhere = IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED);
        Route {
            source: nowhere,
            next_hop: nowhere,
            mtu: 0,
            capabilities: Capabilities {
                tx_checksum: false,
                no_checksums: false,
                gso_max: 0,
            },
            interface: InterfaceId::LOOPBACK,
            cast: Cast::Unicast,
            loopback: true,
            hop_limit: 0,
            plain: PlainLink::No,
        }
    }
}

/// What a connection keeps of its route: less than half the octets, since its own addresses and the interface know the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Path {
    pub(crate) next_hop: IpAddr,
    pub(crate) hop_limit: u8,
    pub(crate) interface: InterfaceId,
    pub(crate) mtu: u16,
    pub(crate) plain: PlainLink,
}

impl From<Route> for Path {
    fn from(route: Route) -> Self {
        let Route {
            next_hop,
            hop_limit,
            interface,
            mtu,
            plain,
            source: _,
            capabilities: _,
            cast: _,
            loopback: _,
        } = route;
        Path {
            next_hop,
            hop_limit,
            interface,
            mtu: mtu.min(u32::from(u16::MAX)) as u16,
            plain,
        }
    }
}

/// The fields of an IP header that the layer above decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IpFields {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    pub(crate) traffic_class: u8,
    pub(crate) dont_fragment: bool,
}

/// Whether a frame can leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Link {
    Ready,
    /// The next hop's link address is unknown: give the finished frame to `IpLayer::park`.
    Unresolved,
}

/// The layer's queue has no room for the whole datagram; nothing of it was queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// The address is no group, or the interface cannot listen to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NotAGroup;

/// What came for a layer above.
#[derive(Debug)]
pub(crate) enum Inbound<'f> {
    Tcp(Packet<'f>),
    Udp(Packet<'f>),
    Error(IcmpNotice),
}

/// A transport packet.
#[derive(Debug)]
pub(crate) struct Packet<'f> {
    /// Link padding is cut off; the transport header is contiguous in `frame.front()[at..]`.
    pub(crate) frame: &'f mut Frame,
    /// Where the transport header starts.
    pub(crate) at: usize,
    /// Where the IP header starts: ICMP errors quote from there.
    pub(crate) network: usize,
    pub(crate) interface: InterfaceId,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) hop_limit: u8,
    pub(crate) traffic_class: u8,
    /// Broadcast or multicast, by its link address or its IP address.
    pub(crate) to_many: bool,
    /// The transport checksum need not be verified.
    pub(crate) checksum_verified: bool,
}

/// An ICMP error about something that this host sent, or that somebody claims it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IcmpNotice {
    pub(crate) protocol: u8,
    /// The quoted source: ours.
    pub(crate) local: SocketAddr,
    /// The quoted destination.
    pub(crate) remote: SocketAddr,
    /// The quoted TCP sequence number: the connection checks that it is in flight (RFC 5927 section 4.1).
    pub(crate) sequence: Option<u32>,
    pub(crate) error: IcmpError,
}

/// What an ICMP error says, both families.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IcmpError {
    NetUnreachable,
    HostUnreachable,
    ProtocolUnreachable,
    PortUnreachable,
    /// The largest packet that would have passed; estimated where the router did not say (RFC 1191 section 5). It counts
    /// only once the transport has found the quoted packet to be its own and called `IpLayer::packet_too_big`.
    PacketTooBig {
        mtu: u32,
    },
    SourceRouteFailed,
    Prohibited,
    TimeExceeded,
    ParameterProblem,
}
