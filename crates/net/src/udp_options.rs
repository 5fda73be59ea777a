//! What tokio's UDP sockets have not, and socket2 has: options before the port is taken, and the interface that multicast
//! leaves by.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use sockeye_stack::udp::UdpOptions;

use crate::error::{errno, from_errno};
use crate::names::{ToSocketAddrs, resolve};
use crate::net::{Net, Place};
use crate::udp::{Inner, UdpSocket, interface_v6};

/// What is settled before a socket takes its port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UdpBind {
    /// Shares the port with others that set it too (SO_REUSEADDR): each gets what is sent to a group or by broadcast,
    /// the last to come what is sent to the address.
    pub reuse_address: bool,
    /// Shares the port with others that set it too (SO_REUSEPORT): datagrams are spread over them by their sender.
    pub reuse_port: bool,
}

impl UdpSocket {
    /// As [`UdpSocket::bind`], with options that have to be set before.
    ///
    /// # Errors
    /// `AddrInUse` unless all who have the port share it in the same way, `AddrNotAvailable`, or that the name is unknown.
    pub async fn bind_with(net: &Net, addr: impl ToSocketAddrs, options: UdpBind) -> io::Result<UdpSocket> {
        let mut last = io::Error::from(io::ErrorKind::InvalidInput);
        for local in resolve(net, addr).await? {
            let bound = match &net.0 {
                Place::Os => bind_os(local, options).map(|os| UdpSocket(Inner::Os(os))),
                Place::Stack(host) => UdpSocket::bind_stack(
                    host,
                    local,
                    UdpOptions {
                        reuse_address: options.reuse_address,
                        reuse_port: options.reuse_port,
                        ..UdpOptions::default()
                    },
                ),
            };
            match bound {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
    /// The interface that IPv4 multicast leaves by, by its address (IP_MULTICAST_IF); the unspecified one: as routes say.
    ///
    /// # Errors
    /// `AddrNotAvailable` if no interface has the address.
    pub fn set_multicast_if_v4(&self, interface: Ipv4Addr) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => socket2::SockRef::from(os).set_multicast_if_v4(&interface),
            Inner::Stack(sock) => {
                let on = sock.interface_v4(interface)?;
                sock.set(|o| o.multicast_interface = on)
            }
        }
    }
    /// The interface that IPv6 multicast leaves by, by its index, counted from 1 (IPV6_MULTICAST_IF); 0: as routes say.
    ///
    /// # Errors
    /// No such device on the operating system; `AddrNotAvailable` on a stack.
    pub fn set_multicast_if_v6(&self, interface: u32) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => socket2::SockRef::from(os).set_multicast_if_v6(interface),
            Inner::Stack(sock) => {
                let on = interface_v6(interface)?;
                if on.is_some_and(|on| !sock.knows(on)) {
                    return Err(from_errno(errno::EADDRNOTAVAIL));
                }
                sock.set(|o| o.multicast_interface = on)
            }
        }
    }
}

fn bind_os(local: SocketAddr, options: UdpBind) -> io::Result<tokio::net::UdpSocket> {
    let domain = socket2::Domain::for_address(local);
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
    socket.set_reuse_address(options.reuse_address)?;
    #[cfg(unix)]
    socket.set_reuse_port(options.reuse_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    tokio::net::UdpSocket::from_std(socket.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::driver::Driver;
    use std::io::ErrorKind;

    fn nets() -> [Net; 2] {
        let stack = Driver::new("alone", sockeye_stack::Config::default());
        [Net::os(), stack.start().unwrap()]
    }

    #[tokio::test]
    async fn a_port_is_shared_by_those_who_all_want_to() {
        const SHARED: [UdpBind; 2] = [
            UdpBind {
                reuse_address: true,
                reuse_port: false,
            },
            UdpBind {
                reuse_address: false,
                reuse_port: true,
            },
        ];
        for net in nets() {
            for options in SHARED {
                let first = UdpSocket::bind_with(&net, "127.0.0.1:0", options).await.unwrap();
                let at = first.local_addr().unwrap();
                let second = UdpSocket::bind_with(&net, at, options).await.unwrap();
                assert_eq!(second.local_addr().unwrap(), at);
                let third = UdpSocket::bind(&net, at).await.unwrap_err();
                assert_eq!(third.kind(), ErrorKind::AddrInUse, "{net:?}");
            }
            let alone = UdpSocket::bind_with(&net, "127.0.0.1:0", UdpBind::default()).await;
            let alone = alone.unwrap();
            let at = alone.local_addr().unwrap();
            let second = UdpSocket::bind_with(&net, at, SHARED[0]).await.unwrap_err();
            assert_eq!(second.kind(), ErrorKind::AddrInUse, "{net:?}");
        }
    }

    #[tokio::test]
    async fn multicast_leaves_by_an_interface_that_there_is() {
        for net in nets() {
            let v4 = UdpSocket::bind(&net, "0.0.0.0:0").await.unwrap();
            v4.set_multicast_if_v4(Ipv4Addr::LOCALHOST).unwrap();
            v4.set_multicast_if_v4(Ipv4Addr::UNSPECIFIED).unwrap();
            let foreign = v4.set_multicast_if_v4([192, 0, 2, 1].into()).unwrap_err();
            assert_eq!(foreign.kind(), ErrorKind::AddrNotAvailable, "{net:?}");
            let v6 = UdpSocket::bind(&net, "[::]:0").await.unwrap();
            v6.set_multicast_if_v6(0).unwrap();
            assert!(v6.set_multicast_if_v6(60_000).is_err(), "{net:?}");
        }
    }
}
