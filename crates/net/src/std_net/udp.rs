//! UDP.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{
    checked, first, flag, inet, number, shared_methods, socket_for, take_error, time, timeout_methods,
};
use crate::error::{errno, from_errno};
use crate::names::{ToSocketAddrs, resolve_blocking};
use crate::net::Net;
use crate::socket::{Address, Flags, Interface, Kind, SockOpt, Socket, Value};

/// A UDP socket.
pub struct UdpSocket(Socket);
shared_methods!(UdpSocket);
timeout_methods!(UdpSocket);

impl UdpSocket {
    /// Binds to `addr`. Port 0 chooses one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, or that the name is unknown.
    pub fn bind(net: &Net, addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        first(&resolve_blocking(net, addr)?, |local| {
            let socket = socket_for(net, local, Kind::Datagram)?;
            socket.bind(local)?;
            Ok(UdpSocket(socket))
        })
    }
    /// Sets the peer: only its datagrams are received, and [`UdpSocket::send`] goes to it.
    ///
    /// # Errors
    /// `NetworkUnreachable`, or that the name is unknown.
    pub fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        first(&resolve_blocking(self.0.net(), addr)?, |remote| {
            self.0.connect(remote)
        })
    }
    /// Receives a datagram and says who sent it.
    ///
    /// # Errors
    /// `WouldBlock`; `ConnectionRefused` if an ICMP error came for a connected socket.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        from(self.0.recvfrom_into(buf, Flags::empty())?)
    }
    /// As [`UdpSocket::recv_from`], leaving it in the queue.
    ///
    /// # Errors
    /// As there.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        from(self.0.recvfrom_into(buf, Flags::PEEK)?)
    }
    /// Sends a datagram.
    ///
    /// # Errors
    /// Message too long (EMSGSIZE), `NetworkUnreachable`, `PermissionDenied` for broadcast without permission.
    pub fn send_to(&self, buf: &[u8], addr: impl ToSocketAddrs) -> io::Result<usize> {
        match resolve_blocking(self.0.net(), addr)?.first() {
            Some(to) => self.0.sendto(buf, Flags::empty(), to),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no addresses to send data to",
            )),
        }
    }
    /// Sends a datagram to the peer.
    ///
    /// # Errors
    /// Destination address required (EDESTADDRREQ); as [`UdpSocket::send_to`].
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.send(buf, Flags::empty())
    }
    /// Receives a datagram.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.recv_into(buf, Flags::empty())
    }
    /// As [`UdpSocket::recv`], leaving it in the queue.
    ///
    /// # Errors
    /// As there.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.recv_into(buf, Flags::PEEK)
    }
    /// Permits sending to broadcast addresses.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.0.setsockopt(SockOpt::Broadcast, on)
    }
    /// Whether it may send to broadcast addresses.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn broadcast(&self) -> io::Result<bool> {
        flag(&self.0, SockOpt::Broadcast)
    }
    /// Whether members on this host receive its multicast too.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.0.setsockopt(SockOpt::MulticastLoop, on)
    }
    /// See [`UdpSocket::set_multicast_loop_v4`].
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        flag(&self.0, SockOpt::MulticastLoop)
    }
    /// Sets the TTL of multicast: 0 to 255.
    ///
    /// # Errors
    /// `InvalidInput` for another.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.0.setsockopt(SockOpt::MulticastTtl, ttl)
    }
    /// The TTL of multicast; 1 by default.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        number(&self.0, SockOpt::MulticastTtl)
    }
    /// As [`UdpSocket::set_multicast_loop_v4`], for IPv6.
    ///
    /// # Errors
    /// Those of the operating system; protocol not available on an IPv4 socket.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.0.setsockopt(SockOpt::MulticastLoop6, on)
    }
    /// See [`UdpSocket::set_multicast_loop_v6`].
    ///
    /// # Errors
    /// As there.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        flag(&self.0, SockOpt::MulticastLoop6)
    }
    /// Joins a group on the interface with the address `interface`; on any, if that is unspecified.
    ///
    /// # Errors
    /// `InvalidInput` for an address that is no group; `AddrInUse` if it is joined.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.0.setsockopt(SockOpt::JoinGroup, v4(group, interface))
    }
    /// Leaves a group.
    ///
    /// # Errors
    /// `AddrNotAvailable` if it was not joined.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.0.setsockopt(SockOpt::LeaveGroup, v4(group, interface))
    }
    /// Joins a group on the interface with index `interface`; on any, if that is 0.
    ///
    /// # Errors
    /// As [`UdpSocket::join_multicast_v4`].
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.0.setsockopt(SockOpt::JoinGroup6, v6(group, interface))
    }
    /// Leaves a group.
    ///
    /// # Errors
    /// `AddrNotAvailable` if it was not joined.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.0.setsockopt(SockOpt::LeaveGroup6, v6(group, interface))
    }
}

fn v4(group: &Ipv4Addr, interface: &Ipv4Addr) -> Value {
    Value::Group((*group).into(), Interface::Address(*interface))
}
fn v6(group: &Ipv6Addr, interface: u32) -> Value {
    Value::Group((*group).into(), Interface::Index(interface))
}
fn from((n, from): (usize, Option<Address>)) -> io::Result<(usize, SocketAddr)> {
    // A socket that was shut down receives nothing, from nobody.
    let from = from.ok_or_else(|| from_errno(errno::ENOTCONN))?;
    Ok((n, inet(from)?))
}
