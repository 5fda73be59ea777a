//! What Linux has for several datagrams at once.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use super::Received;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use rustix::net::{RecvFlags, SendFlags};

pub(super) fn set_report_errors(socket: &UdpSocket, on: bool) -> io::Result<()> {
    if socket.local_addr()?.is_ipv6() {
        setsockopt(socket, sockopt::Ipv6RecvErr, &on)?;
    }
    // A dual-stack socket has both.
    match setsockopt(socket, sockopt::Ipv4RecvErr, &on) {
        Err(_) if socket.local_addr()?.is_ipv6() => Ok(()),
        result => Ok(result?),
    }
}
pub(super) fn set_receive_destination(socket: &UdpSocket, on: bool) -> io::Result<()> {
    if socket.local_addr()?.is_ipv6() {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &on)?;
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &on)?;
    }
    Ok(())
}
pub(super) fn try_recv_msg(socket: &UdpSocket, buf: &mut [u8]) -> io::Result<Received> {
    {
        let mut room = nix::cmsg_space!(libc::in6_pktinfo);
        let mut parts = [IoSliceMut::new(buf)];
        let message =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut room), MsgFlags::empty())?;
        let from = message.address.as_ref().and_then(address);
        let mut to = None;
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    to = Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()));
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    to = Some(IpAddr::from(info.ipi6_addr.s6_addr));
                }
                _ => {}
            }
        }
        Ok(Received {
            len: message.bytes,
            from: from.ok_or_else(nobody)?,
            to,
        })
    }
}
/// Receives, by the system's call itself: the C library's is a place where threads can be cancelled, which costs something
/// each time. `at_once` does not wait on a socket that blocks either.
pub(super) fn recv(socket: &UdpSocket, buf: &mut [u8], at_once: bool) -> io::Result<(usize, SocketAddr)> {
    let flags = match at_once {
        true => RecvFlags::DONTWAIT,
        false => RecvFlags::empty(),
    };
    let (len, _, from) = rustix::net::recvfrom(socket, buf, flags)?;
    let from = from.and_then(|from| SocketAddr::try_from(from).ok());
    Ok((len, from.ok_or_else(nobody)?))
}
/// Sends one datagram, in the same way.
pub(super) fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
    Ok(rustix::net::sendto(socket, datagram, SendFlags::empty(), &to)?)
}
fn nobody() -> io::Error {
    io::Error::other("a datagram without a sender")
}
fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddr::V4((*v4).into())),
        (_, Some(v6)) => Some(SocketAddr::V6((*v6).into())),
        _ => None,
    }
}
/// One call, and one datagram, or as many as there are when it is cut into segments of this length.
pub(super) fn try_send(
    socket: &UdpSocket,
    octets: &[u8],
    segment: Option<u16>,
    to: SocketAddr,
    from: Option<IpAddr>,
) -> io::Result<()> {
    let v4;
    let v6;
    let mut controls = Vec::new(); // an empty one allocates nothing
    match from {
        Some(IpAddr::V4(ip)) => {
            v4 = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(ip.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            controls.push(ControlMessage::Ipv4PacketInfo(&v4));
        }
        Some(IpAddr::V6(ip)) => {
            v6 = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: ip.octets() },
                ipi6_ifindex: 0,
            };
            controls.push(ControlMessage::Ipv6PacketInfo(&v6));
        }
        None => {}
    }
    if let Some(segment) = &segment {
        controls.push(ControlMessage::UdpGsoSegments(segment));
    }
    let to = SockaddrStorage::from(to);
    sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(octets)],
        &controls,
        MsgFlags::empty(),
        Some(&to),
    )?;
    Ok(())
}
