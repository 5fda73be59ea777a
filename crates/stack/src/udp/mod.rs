//! UDP (RFC 768): datagrams with ports and a checksum, their boundaries kept.
//!
//! Sockets lie in an arena of their own. A received datagram goes to the socket that is connected to its sender, else to
//! the one that is bound most exactly; multicast and broadcast go to all that want them. What is sent waits in one
//! queue in the order of sending, each socket with a share of its own.

mod ports;
mod queue;
mod socket;
mod table;
#[cfg(test)]
mod tests;

pub use socket::UdpSocket;
pub(crate) use table::Udp;

use core::net::SocketAddr;

use crate::InterfaceId;
use crate::Payload;

/// Options of a UDP socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UdpOptions {
    /// An IPv6 wildcard takes no IPv4 datagrams (IPV6_V6ONLY).
    pub ipv6_only: bool,
    /// Share address and port with other sockets that set it too (SO_REUSEADDR).
    pub reuse_address: bool,
    /// Share the port, datagrams spread over the sockets (SO_REUSEPORT).
    pub reuse_port: bool,
    /// May send to broadcast addresses (SO_BROADCAST).
    pub broadcast: bool,
    /// TTL or hop limit; `None` and 0: the stack's.
    pub hop_limit: Option<u8>,
    /// TTL or hop limit of multicast (1 by default).
    pub multicast_hop_limit: u8,
    /// Multicast that we send is received by our own members too (on by default).
    pub multicast_loop: bool,
    /// Interface for multicast; `None`: by route.
    pub multicast_interface: Option<InterfaceId>,
    /// DiffServ and ECN field.
    pub traffic_class: u8,
    /// Octets of datagrams held; `None`: the stack's.
    pub receive_buffer: Option<u32>,
    /// Hear of ICMP errors without being connected, too (Linux: IP_RECVERR). One that is shared by several sockets is told to
    /// all of them that want it.
    pub report_errors: bool,
}

impl Default for UdpOptions {
    fn default() -> Self {
        UdpOptions {
            ipv6_only: false,
            reuse_address: false,
            reuse_port: false,
            broadcast: false,
            hop_limit: None,
            multicast_hop_limit: 1,
            multicast_loop: true,
            multicast_interface: None,
            traffic_class: 0,
            receive_buffer: None,
            report_errors: false,
        }
    }
}

/// A received datagram, whole: boundaries are kept.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Its content; may be empty.
    pub payload: Payload,
    /// Who sent it.
    pub source: SocketAddr,
    /// Where it was sent to: ours, a broadcast address or a group.
    pub destination: SocketAddr,
    /// The interface it came by.
    pub interface: InterfaceId,
    /// TTL or hop limit as it came.
    pub hop_limit: u8,
    /// DiffServ and ECN field as it came.
    pub traffic_class: u8,
}
