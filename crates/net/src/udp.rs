//! UDP sockets with tokio's methods.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll, ready};

use sockeye_stack::udp::{UdpOptions, UdpSocket as StackUdp};
use sockeye_stack::{InterfaceId, SocketId, UdpError};
use tokio::io::ReadBuf;

use crate::error::{errno, from_errno, io_error};
use crate::names::{ToSocketAddrs, resolve};
use crate::net::{Net, Place};
use crate::options;
use crate::shared::{Host, Side};
use crate::udp_batch::Received;

/// A UDP socket. Datagrams keep their boundaries: one read takes one, and what does not fit into the buffer is lost.
pub struct UdpSocket(pub(crate) Inner);

pub(crate) enum Inner {
    Os(tokio::net::UdpSocket),
    Stack(Sock),
}

/// A UDP socket of a stack, owned: dropping it closes it.
#[derive(Debug)]
pub(crate) struct Sock {
    host: Host,
    id: SocketId,
}

impl Sock {
    fn poll<R>(
        &self,
        side: Side,
        cx: &mut Context<'_>,
        f: impl FnOnce(&mut StackUdp<'_>) -> Result<R, UdpError>,
    ) -> Poll<io::Result<R>> {
        self.host.poll(self.id, side, cx, |stack, now| {
            match f(&mut stack.udp(now, self.id).map_err(io_error)?) {
                Err(UdpError::WouldBlock) => Poll::Pending,
                result => Poll::Ready(result.map_err(io_error)),
            }
        })
    }
    pub(crate) fn call<R>(&self, f: impl FnOnce(&mut StackUdp<'_>) -> Result<R, UdpError>) -> io::Result<R> {
        self.host
            .call(|stack, now| f(&mut stack.udp(now, self.id).map_err(io_error)?).map_err(io_error))
    }
    fn options(&self) -> io::Result<UdpOptions> {
        options::udp(&self.host, self.id)
    }
    pub(crate) fn set(&self, change: impl FnOnce(&mut UdpOptions)) -> io::Result<()> {
        options::set_udp(&self.host, self.id, change)
    }
    /// Makes room for at least so many octets of received datagrams; how much there is.
    pub(crate) fn make_room(&self, octets: usize) -> io::Result<usize> {
        let default = self.host.look(|stack, _| stack.config().udp_receive_buffer);
        let held = self.options()?.receive_buffer.unwrap_or(default);
        let wanted = u32::try_from(octets).unwrap_or(u32::MAX);
        if held < wanted {
            self.set(|o| o.receive_buffer = Some(wanted))?;
        }
        Ok(held.max(wanted) as usize)
    }
}
impl Drop for Sock {
    fn drop(&mut self) {
        self.host.close(self.id, |stack, now| {
            if let Ok(socket) = stack.udp(now, self.id) {
                socket.close();
            }
        });
    }
}

/// One datagram into `buf`; its length as copied, and its sender.
fn take(socket: &mut StackUdp<'_>, buf: &mut [u8]) -> Result<(usize, SocketAddr), UdpError> {
    let datagram = socket.recv()?;
    Ok((datagram.payload.copy_to(buf), datagram.source))
}
/// As [`take`], with the address that it was sent to.
pub(crate) fn receive(socket: &mut StackUdp<'_>, buf: &mut [u8]) -> Result<Received, UdpError> {
    let datagram = socket.recv()?;
    Ok(Received {
        len: datagram.payload.copy_to(buf),
        from: datagram.source,
        to: Some(datagram.destination.ip()),
    })
}
/// As [`take`], leaving it in the queue.
fn look(socket: &mut StackUdp<'_>, buf: &mut [u8]) -> Result<(usize, SocketAddr), UdpError> {
    let datagram = socket.peek()?;
    Ok((datagram.payload.copy_to(buf), datagram.source))
}

impl UdpSocket {
    /// Binds to `addr`. Port 0 chooses one: see [`UdpSocket::local_addr`].
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, or that the name is unknown.
    pub async fn bind(net: &Net, addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        let addresses = resolve(net, addr).await?;
        match &net.0 {
            Place::Os => Ok(UdpSocket(Inner::Os(
                tokio::net::UdpSocket::bind(&addresses[..]).await?,
            ))),
            Place::Stack(host) => {
                let mut last = io::Error::from(io::ErrorKind::InvalidInput);
                for local in addresses {
                    match UdpSocket::bind_stack(host, local, UdpOptions::default()) {
                        Ok(socket) => return Ok(socket),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }
    pub(crate) fn bind_stack(host: &Host, local: SocketAddr, options: UdpOptions) -> io::Result<UdpSocket> {
        let id = host.look(|stack, _| stack.udp_socket(options));
        let sock = Sock {
            host: host.clone(),
            id,
        };
        host.call(|stack, _| stack.udp_bind(id, local))
            .map_err(io_error)?;
        Ok(UdpSocket(Inner::Stack(sock)))
    }
    /// Sets the peer: only its datagrams are received, and [`UdpSocket::send`] goes to it. Nothing is sent.
    ///
    /// # Errors
    /// `NetworkUnreachable`, or that the name is unknown.
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.connect(&resolve(&Net::os(), addr).await?[..]).await,
            Inner::Stack(sock) => {
                let mut last = Ok(());
                for remote in resolve(&sock.host.net(), addr).await? {
                    last = sock.call(|socket| socket.connect(remote));
                    if last.is_ok() {
                        break;
                    }
                }
                last
            }
        }
    }
    /// The local address.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Os(os) => os.local_addr(),
            Inner::Stack(sock) => {
                let local = sock
                    .host
                    .look(|stack, now| stack.udp(now, sock.id).map(|s| s.local_addr()));
                local.map_err(io_error)?.ok_or_else(|| from_errno(errno::EINVAL))
            }
        }
    }
    /// The peer's address, once connected.
    ///
    /// # Errors
    /// `NotConnected` before.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Os(os) => os.peer_addr(),
            Inner::Stack(sock) => {
                let peer = sock
                    .host
                    .look(|stack, now| stack.udp(now, sock.id).map(|s| s.peer_addr()));
                peer.map_err(io_error)?.ok_or_else(|| from_errno(errno::ENOTCONN))
            }
        }
    }
    /// An error that came for something sent before, once.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.0 {
            Inner::Os(os) => os.take_error(),
            Inner::Stack(sock) => {
                let error = sock
                    .host
                    .look(|stack, now| stack.udp(now, sock.id).map(|mut s| s.take_error()));
                Ok(error.map_err(io_error)?.map(io_error))
            }
        }
    }

    /// Sends a datagram to the peer.
    ///
    /// # Errors
    /// Destination address required (EDESTADDRREQ) if not connected; `ConnectionRefused` if an ICMP error came for an
    /// earlier one; message too long (EMSGSIZE).
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.send(buf).await,
            Inner::Stack(_) => poll_fn(|cx| self.poll_send(cx, buf)).await,
        }
    }
    /// As [`UdpSocket::send`], for hand-written futures.
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &self.0 {
            Inner::Os(os) => os.poll_send(cx, buf),
            Inner::Stack(sock) => sock.poll(Side::Write, cx, |socket| socket.send(buf).map(|()| buf.len())),
        }
    }
    /// As [`UdpSocket::send`], without waiting.
    ///
    /// # Errors
    /// `WouldBlock` as well.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.try_send(buf),
            Inner::Stack(sock) => sock.call(|socket| socket.send(buf).map(|()| buf.len())),
        }
    }
    /// Sends a datagram to `target`.
    ///
    /// # Errors
    /// Message too long (EMSGSIZE), `NetworkUnreachable`, `PermissionDenied` for broadcast without permission.
    pub async fn send_to(&self, buf: &[u8], target: impl ToSocketAddrs) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => {
                let to = resolve(&Net::os(), target).await?[0];
                os.send_to(buf, to).await
            }
            Inner::Stack(sock) => {
                let to = resolve(&sock.host.net(), target).await?[0];
                poll_fn(|cx| self.poll_send_to(cx, buf, to)).await
            }
        }
    }
    /// As [`UdpSocket::send_to`], for hand-written futures.
    pub fn poll_send_to(&self, cx: &mut Context<'_>, buf: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        match &self.0 {
            Inner::Os(os) => os.poll_send_to(cx, buf, to),
            Inner::Stack(sock) => sock.poll(Side::Write, cx, |socket| {
                socket.send_to(buf, to).map(|()| buf.len())
            }),
        }
    }
    /// As [`UdpSocket::send_to`], without waiting.
    ///
    /// # Errors
    /// `WouldBlock` as well.
    pub fn try_send_to(&self, buf: &[u8], to: SocketAddr) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.try_send_to(buf, to),
            Inner::Stack(sock) => sock.call(|socket| socket.send_to(buf, to).map(|()| buf.len())),
        }
    }
    /// Receives a datagram from the peer.
    ///
    /// # Errors
    /// `ConnectionRefused` if an ICMP error came.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.recv(buf).await,
            Inner::Stack(_) => Ok(self.recv_from(buf).await?.0),
        }
    }
    /// As [`UdpSocket::recv`], for hand-written futures.
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Os(os) => os.poll_recv(cx, buf),
            Inner::Stack(_) => self.poll_recv_from(cx, buf).map_ok(|_| ()),
        }
    }
    /// As [`UdpSocket::recv`], without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if none is there.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.try_recv(buf),
            Inner::Stack(sock) => Ok(sock.call(|socket| take(socket, buf))?.0),
        }
    }
    /// Receives a datagram and says who sent it.
    ///
    /// # Errors
    /// `ConnectionRefused` if an ICMP error came for a connected socket.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Inner::Os(os) => os.recv_from(buf).await,
            Inner::Stack(sock) => poll_fn(|cx| sock.poll(Side::Read, cx, |socket| take(socket, buf))).await,
        }
    }
    /// As [`UdpSocket::recv_from`], for hand-written futures.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        match &self.0 {
            Inner::Os(os) => os.poll_recv_from(cx, buf),
            Inner::Stack(sock) => {
                let room = buf.initialize_unfilled();
                let (n, from) = ready!(sock.poll(Side::Read, cx, |socket| take(socket, room)))?;
                buf.advance(n);
                Poll::Ready(Ok(from))
            }
        }
    }
    /// As [`UdpSocket::recv_from`], without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if none is there.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Inner::Os(os) => os.try_recv_from(buf),
            Inner::Stack(sock) => sock.call(|socket| take(socket, buf)),
        }
    }
    /// As [`UdpSocket::recv`], leaving the datagram in the queue.
    ///
    /// # Errors
    /// As there.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.peek(buf).await,
            Inner::Stack(_) => Ok(self.peek_from(buf).await?.0),
        }
    }
    /// As [`UdpSocket::recv_from`], leaving the datagram in the queue.
    ///
    /// # Errors
    /// As there.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Inner::Os(os) => os.peek_from(buf).await,
            Inner::Stack(sock) => poll_fn(|cx| sock.poll(Side::Read, cx, |socket| look(socket, buf))).await,
        }
    }
    /// Waits until a datagram or an error is there.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn readable(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.readable().await,
            Inner::Stack(sock) => {
                poll_fn(|cx| {
                    sock.poll(Side::Read, cx, |socket| match socket.peek() {
                        Err(UdpError::WouldBlock) if !socket.has_error() => Err(UdpError::WouldBlock),
                        _ => Ok(()),
                    })
                })
                .await
            }
        }
    }
    /// Waits until a datagram can be sent. On a stack that is always so: a full queue is told by the send itself.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn writable(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.writable().await,
            Inner::Stack(_) => Ok(()),
        }
    }

    /// Whether it may send to broadcast addresses.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn broadcast(&self) -> io::Result<bool> {
        match &self.0 {
            Inner::Os(os) => os.broadcast(),
            Inner::Stack(sock) => Ok(sock.options()?.broadcast),
        }
    }
    /// Permits sending to broadcast addresses.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_broadcast(on),
            Inner::Stack(sock) => sock.set(|o| o.broadcast = on),
        }
    }
    /// The TTL of what it sends to one receiver.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn ttl(&self) -> io::Result<u32> {
        match &self.0 {
            Inner::Os(os) => os.ttl(),
            Inner::Stack(sock) => Ok(options::hop_limit(&sock.host, sock.options()?.hop_limit)),
        }
    }
    /// Sets the TTL: 1 to 255.
    ///
    /// # Errors
    /// `InvalidInput` for another.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_ttl(ttl),
            Inner::Stack(sock) => {
                let ttl = options::valid_hop_limit(ttl)?;
                sock.set(|o| o.hop_limit = Some(ttl))
            }
        }
    }
    /// The TTL of multicast; 1 by default.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        match &self.0 {
            Inner::Os(os) => os.multicast_ttl_v4(),
            Inner::Stack(sock) => Ok(sock.options()?.multicast_hop_limit.into()),
        }
    }
    /// Sets the TTL of multicast: 0 to 255; 0 stays on this host.
    ///
    /// # Errors
    /// `InvalidInput` for another.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_multicast_ttl_v4(ttl),
            Inner::Stack(sock) => {
                let ttl = u8::try_from(ttl).map_err(|_| from_errno(errno::EINVAL))?;
                sock.set(|o| o.multicast_hop_limit = ttl)
            }
        }
    }
    /// Whether members on this host receive its multicast too.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        match &self.0 {
            Inner::Os(os) => os.multicast_loop_v4(),
            Inner::Stack(sock) => Ok(sock.options()?.multicast_loop),
        }
    }
    /// Sets whether members on this host receive its multicast too.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_multicast_loop_v4(on),
            Inner::Stack(sock) => sock.set(|o| o.multicast_loop = on),
        }
    }
    /// As [`UdpSocket::multicast_loop_v4`], for IPv6.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        match &self.0 {
            Inner::Os(os) => os.multicast_loop_v6(),
            Inner::Stack(_) => self.multicast_loop_v4(),
        }
    }
    /// As [`UdpSocket::set_multicast_loop_v4`], for IPv6.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_multicast_loop_v6(on),
            Inner::Stack(_) => self.set_multicast_loop_v4(on),
        }
    }
    /// Joins a group on the interface that has the address `interface`; on any, if that is unspecified.
    ///
    /// # Errors
    /// `InvalidInput` for an address that is no group; no such device or address for an unknown interface.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.join_multicast_v4(group, interface),
            Inner::Stack(sock) => {
                let on = sock.interface_v4(interface)?;
                sock.call(|socket| socket.join(group.into(), on))
            }
        }
    }
    /// Leaves a group.
    ///
    /// # Errors
    /// `AddrNotAvailable` if it was not joined.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.leave_multicast_v4(group, interface),
            Inner::Stack(sock) => {
                let on = sock.interface_v4(interface)?;
                sock.call(|socket| socket.leave(group.into(), on))
            }
        }
    }
    /// Joins a group on the interface with index `interface` (counted from 1); on any, if that is 0.
    ///
    /// # Errors
    /// `InvalidInput` for an address that is no group.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.join_multicast_v6(group, interface),
            Inner::Stack(sock) => {
                let on = interface_v6(interface)?;
                sock.call(|socket| socket.join(IpAddr::V6(*group), on))
            }
        }
    }
    /// Leaves a group.
    ///
    /// # Errors
    /// `AddrNotAvailable` if it was not joined.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.leave_multicast_v6(group, interface),
            Inner::Stack(sock) => {
                let on = interface_v6(interface)?;
                sock.call(|socket| socket.leave(IpAddr::V6(*group), on))
            }
        }
    }
}

impl Sock {
    /// Whether there is such an interface.
    pub(crate) fn knows(&self, interface: InterfaceId) -> bool {
        self.host.has_interface(interface)
    }
    /// The interface that a program names by its address; `None` for the unspecified one.
    pub(crate) fn interface_v4(&self, address: Ipv4Addr) -> io::Result<Option<InterfaceId>> {
        if address.is_unspecified() {
            return Ok(None);
        }
        let found = self.host.interface_of(address.into());
        found.map(Some).ok_or_else(|| from_errno(errno::EADDRNOTAVAIL))
    }
}

/// The interface that a program names by its index, counted from 1; `None` for 0.
pub(crate) fn interface_v6(index: u32) -> io::Result<Option<InterfaceId>> {
    let Some(place) = index.checked_sub(1) else {
        return Ok(None);
    };
    let place = u16::try_from(place).map_err(|_| from_errno(errno::EADDRNOTAVAIL))?;
    Ok(Some(InterfaceId(place)))
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Os(os) => os.fmt(f),
            Inner::Stack(sock) => write!(f, "UdpSocket({} {:?})", sock.host.name(), sock.id),
        }
    }
}
