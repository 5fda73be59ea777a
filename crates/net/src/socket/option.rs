//! Options of sockets: one list for all back ends.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sockeye_stack::tcp::State;

use crate::error::{errno, from_errno};

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident = ($level:expr, $number:expr),)*) => {
        /// An option of a socket. [`SockOpt::numbers`] gives level and name as C programs write them on Linux.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum SockOpt {
            $($(#[$doc])* $name,)*
        }
        impl SockOpt {
            /// All of them.
            pub const ALL: &[SockOpt] = &[$(SockOpt::$name),*];
            /// Level and name on Linux (most architectures).
            pub fn numbers(self) -> (i32, i32) {
                match self {
                    $(SockOpt::$name => ($level, $number),)*
                }
            }
        }
    };
}

const SOL_IP: i32 = 0;
const SOL_SOCKET: i32 = 1;
const SOL_TCP: i32 = 6;
const SOL_IPV6: i32 = 41;

options! {
    /// SO_REUSEADDR: bind over TIME-WAIT; for UDP share the address.
    ReuseAddr = (SOL_SOCKET, 2),
    /// SO_TYPE, to read: 1 for a stream, 2 for datagrams.
    Type = (SOL_SOCKET, 3),
    /// SO_ERROR, to read: the errno value of what went wrong, once; 0 if nothing did.
    Error = (SOL_SOCKET, 4),
    /// SO_BROADCAST: may send to broadcast addresses.
    Broadcast = (SOL_SOCKET, 6),
    /// SO_SNDBUF in octets.
    SendBuffer = (SOL_SOCKET, 7),
    /// SO_RCVBUF in octets.
    ReceiveBuffer = (SOL_SOCKET, 8),
    /// SO_KEEPALIVE: probe idle connections.
    KeepAlive = (SOL_SOCKET, 9),
    /// SO_OOBINLINE: leave urgent data in the stream.
    OobInline = (SOL_SOCKET, 10),
    /// SO_LINGER: a [`Value::Time`]; zero resets on closing.
    Linger = (SOL_SOCKET, 13),
    /// SO_REUSEPORT: share the port with sockets that set it too.
    ReusePort = (SOL_SOCKET, 15),
    /// SO_RCVTIMEO: a [`Value::Time`]; a call that waits longer says EAGAIN.
    ReceiveTimeout = (SOL_SOCKET, 20),
    /// SO_SNDTIMEO: a [`Value::Time`].
    SendTimeout = (SOL_SOCKET, 21),
    /// SO_ACCEPTCONN, to read: whether it listens.
    AcceptConn = (SOL_SOCKET, 30),
    /// SO_PROTOCOL, to read: 6 for TCP, 17 for UDP, 0 for AF_UNIX.
    Protocol = (SOL_SOCKET, 38),
    /// SO_DOMAIN, to read: 1, 2 or 10 for AF_UNIX, AF_INET, AF_INET6.
    Domain = (SOL_SOCKET, 39),
    /// IP_TOS: DiffServ and ECN.
    Tos = (SOL_IP, 1),
    /// IP_TTL: 1 to 255.
    Ttl = (SOL_IP, 2),
    /// IP_PKTINFO or IPV6_RECVPKTINFO by the socket's family: `recvmsg` tells [`super::Ancillary::PacketInfo`].
    RecvPacketInfo = (SOL_IP, 8),
    /// IP_RECVTTL or IPV6_RECVHOPLIMIT: `recvmsg` tells [`super::Ancillary::HopLimit`].
    RecvHopLimit = (SOL_IP, 12),
    /// IP_RECVTOS or IPV6_RECVTCLASS: `recvmsg` tells [`super::Ancillary::TrafficClass`].
    RecvTrafficClass = (SOL_IP, 13),
    /// IP_MULTICAST_IF: a [`Value::Interface`].
    MulticastInterface = (SOL_IP, 32),
    /// IP_MULTICAST_TTL: 0 to 255, 1 by default.
    MulticastTtl = (SOL_IP, 33),
    /// IP_MULTICAST_LOOP: whether members on this host receive what it sends; on by default.
    MulticastLoop = (SOL_IP, 34),
    /// IP_ADD_MEMBERSHIP, to set: a [`Value::Group`].
    JoinGroup = (SOL_IP, 35),
    /// IP_DROP_MEMBERSHIP, to set: a [`Value::Group`].
    LeaveGroup = (SOL_IP, 36),
    /// IPV6_UNICAST_HOPS: 1 to 255.
    HopLimit = (SOL_IPV6, 16),
    /// IPV6_MULTICAST_IF: a [`Value::Interface`].
    MulticastInterface6 = (SOL_IPV6, 17),
    /// IPV6_MULTICAST_HOPS.
    MulticastHops = (SOL_IPV6, 18),
    /// IPV6_MULTICAST_LOOP.
    MulticastLoop6 = (SOL_IPV6, 19),
    /// IPV6_JOIN_GROUP, to set: a [`Value::Group`].
    JoinGroup6 = (SOL_IPV6, 20),
    /// IPV6_LEAVE_GROUP, to set: a [`Value::Group`].
    LeaveGroup6 = (SOL_IPV6, 21),
    /// IPV6_V6ONLY: an IPv6 socket takes no IPv4.
    V6Only = (SOL_IPV6, 26),
    /// IPV6_TCLASS.
    TrafficClass = (SOL_IPV6, 67),
    /// TCP_NODELAY: Nagle's rule off.
    NoDelay = (SOL_TCP, 1),
    /// TCP_MAXSEG in octets.
    MaxSegment = (SOL_TCP, 2),
    /// TCP_CORK: full segments only, until cleared.
    Cork = (SOL_TCP, 3),
    /// TCP_KEEPIDLE in seconds.
    KeepIdle = (SOL_TCP, 4),
    /// TCP_KEEPINTVL in seconds.
    KeepInterval = (SOL_TCP, 5),
    /// TCP_KEEPCNT.
    KeepCount = (SOL_TCP, 6),
    /// TCP_INFO, to read: a [`Value::Info`].
    Info = (SOL_TCP, 11),
    /// TCP_QUICKACK: acknowledge at once.
    QuickAck = (SOL_TCP, 12),
    /// TCP_CONGESTION: a [`Value::Text`], `cubic` or `reno`.
    Congestion = (SOL_TCP, 13),
    /// TCP_USER_TIMEOUT in milliseconds; 0: the default.
    UserTimeout = (SOL_TCP, 18),
}

impl SockOpt {
    /// The option that a C program names by these numbers, on a socket of either family.
    pub fn from_numbers(level: i32, name: i32) -> Option<SockOpt> {
        // One option of ours for two of theirs.
        let twin = match (level, name) {
            (SOL_IPV6, 49) => Some(SockOpt::RecvPacketInfo),
            (SOL_IPV6, 51) => Some(SockOpt::RecvHopLimit),
            (SOL_IPV6, 66) => Some(SockOpt::RecvTrafficClass),
            _ => None,
        };
        let all = SockOpt::ALL.iter().copied();
        twin.or_else(|| all.into_iter().find(|option| option.numbers() == (level, name)))
    }
}

/// An interface as a program names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Interface {
    /// The one that the routes lead to.
    #[default]
    Any,
    /// The one that has this address.
    Address(Ipv4Addr),
    /// By its index, counted from 1.
    Index(u32),
}

/// The value of an option.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Value {
    /// A number; 0 and 1 for off and on.
    Int(i32),
    /// A time that may be unset.
    Time(Option<Duration>),
    /// Text.
    Text(String),
    /// A multicast group and the interface it is joined on.
    Group(IpAddr, Interface),
    /// An interface.
    Interface(Interface),
    /// What is known of a connection.
    Info(Box<Info>),
}

/// What is known of a connection (TCP_INFO), on all back ends.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Info {
    /// The state.
    pub state: State,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Its variation.
    pub rttvar: Duration,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Largest segment sent, octets.
    pub snd_mss: u32,
    /// Largest segment received, octets.
    pub rcv_mss: u32,
    /// Congestion window in segments.
    pub cwnd: u32,
    /// Sent and not acknowledged, segments.
    pub unacked: u32,
    /// Segments sent again, in all.
    pub retransmits: u32,
}

impl Value {
    /// The number.
    ///
    /// # Errors
    /// `InvalidInput` if it is none.
    pub fn int(&self) -> io::Result<i32> {
        match self {
            Value::Int(n) => Ok(*n),
            _ => Err(from_errno(errno::EINVAL)),
        }
    }
    pub(crate) fn on(&self) -> io::Result<bool> {
        Ok(self.int()? != 0)
    }
    /// A number that is not negative.
    pub(crate) fn count(&self) -> io::Result<u32> {
        u32::try_from(self.int()?).map_err(|_| from_errno(errno::EINVAL))
    }
    pub(crate) fn time(&self) -> io::Result<Option<Duration>> {
        match self {
            Value::Time(time) => Ok(*time),
            _ => Err(from_errno(errno::EINVAL)),
        }
    }
    pub(crate) fn text(&self) -> io::Result<&str> {
        match self {
            Value::Text(text) => Ok(text),
            _ => Err(from_errno(errno::EINVAL)),
        }
    }
    pub(crate) fn group(&self) -> io::Result<(IpAddr, Interface)> {
        match self {
            Value::Group(group, interface) => Ok((*group, *interface)),
            _ => Err(from_errno(errno::EINVAL)),
        }
    }
    pub(crate) fn interface(&self) -> io::Result<Interface> {
        match self {
            Value::Interface(interface) => Ok(*interface),
            _ => Err(from_errno(errno::EINVAL)),
        }
    }
}

impl From<bool> for Value {
    fn from(on: bool) -> Value {
        Value::Int(on.into())
    }
}
impl From<i32> for Value {
    fn from(n: i32) -> Value {
        Value::Int(n)
    }
}
/// Values beyond 2,147,483,647 are cut to it, as no option takes them.
impl From<u32> for Value {
    fn from(n: u32) -> Value {
        Value::Int(n.try_into().unwrap_or(i32::MAX))
    }
}
impl From<Option<Duration>> for Value {
    fn from(time: Option<Duration>) -> Value {
        Value::Time(time)
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_one_option_each() {
        for &option in SockOpt::ALL {
            let (level, name) = option.numbers();
            assert_eq!(SockOpt::from_numbers(level, name), Some(option));
        }
        assert_eq!(SockOpt::from_numbers(SOL_SOCKET, 9999), None);
    }
}
