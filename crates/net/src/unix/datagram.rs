//! Datagrams.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::{SocketAddr, address, parse_path};
use crate::net::{Net, Place};
use crate::socket::local::LocalSocket;
use crate::socket::local_io::Outgoing;
use crate::socket::message::Message;
use crate::socket::{Kind, Shutdown, UnixAddress};

/// A socket for datagrams. They keep their boundaries and their order, and none is lost: who sends to a full one waits.
/// On the operating system a bound path stays, and has to be removed before it can be bound again.
pub struct UnixDatagram(Inner);

enum Inner {
    Os(tokio::net::UnixDatagram),
    Local(LocalSocket),
}

impl UnixDatagram {
    /// A socket with the name `path`.
    ///
    /// # Errors
    /// `AddrInUse` if the name is taken, by a file say; `InvalidInput` for one that is too long (107 octets); on the
    /// operating system `NotFound` and `PermissionDenied` of its directory.
    ///
    /// # Panics
    /// On the operating system, outside a tokio runtime with I/O enabled.
    pub fn bind(net: &Net, path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram(match &net.0 {
            Place::Os => Inner::Os(tokio::net::UnixDatagram::bind(path)?),
            Place::Stack(host) => {
                let socket = LocalSocket::new(host.local(), Kind::Datagram);
                socket.bind(&parse_path(path.as_ref())?.into())?;
                Inner::Local(socket)
            }
        }))
    }
    /// A socket without a name: it can send, and nobody can answer.
    ///
    /// # Errors
    /// Those of the operating system; none on a stack.
    pub fn unbound(net: &Net) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram(match &net.0 {
            Place::Os => Inner::Os(tokio::net::UnixDatagram::unbound()?),
            Place::Stack(host) => Inner::Local(LocalSocket::new(host.local(), Kind::Datagram)),
        }))
    }
    /// Two sockets, joined to each other.
    ///
    /// # Errors
    /// Those of the operating system; none on a stack.
    pub fn pair(net: &Net) -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (a, b) = match &net.0 {
            Place::Os => {
                let (a, b) = tokio::net::UnixDatagram::pair()?;
                (Inner::Os(a), Inner::Os(b))
            }
            Place::Stack(host) => {
                let (a, b) = LocalSocket::pair(host.local(), Kind::Datagram);
                (Inner::Local(a), Inner::Local(b))
            }
        };
        Ok((UnixDatagram(a), UnixDatagram(b)))
    }
    /// Sends to `path` from now on, where nothing else is said.
    ///
    /// # Errors
    /// `NotFound` if there is no such path, `ConnectionRefused` if nobody has it.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.connect(path),
            Inner::Local(local) => local.try_connect(&parse_path(path.as_ref())?, None),
        }
    }
    /// Our name.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Os(os) => os.local_addr(),
            Inner::Local(local) => address(&local.name()?),
        }
    }
    /// The name of whom it is connected to.
    ///
    /// # Errors
    /// `NotConnected` if to nobody.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Os(os) => os.peer_addr(),
            Inner::Local(local) => address(&local.peer_name()?),
        }
    }
    /// The error that waits at it, once: none on a stack, where sending and receiving tell it.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.0 {
            Inner::Os(os) => os.take_error(),
            Inner::Local(_) => Ok(None),
        }
    }
    /// Ends one direction or both.
    ///
    /// # Errors
    /// `NotConnected` if it is not.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.shutdown(how),
            Inner::Local(local) => local.shutdown(how),
        }
    }
    /// Waits until receiving would not wait.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_recv_ready(cx)).await
    }
    /// As [`UnixDatagram::readable`], for hand-written futures.
    pub fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Os(os) => os.poll_recv_ready(cx),
            Inner::Local(local) => super::ready(local.try_readable(Some(cx.waker()))),
        }
    }
    /// Waits until sending to whom it is connected to would not wait.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn writable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_send_ready(cx)).await
    }
    /// As [`UnixDatagram::writable`], for hand-written futures.
    pub fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Os(os) => os.poll_send_ready(cx),
            Inner::Local(local) => super::ready(local.try_writable(Some(cx.waker()))),
        }
    }
    /// Sends a datagram to whom it is connected to, and waits while there is no room.
    ///
    /// # Errors
    /// `NotConnected` if to nobody, `ConnectionRefused` if it is gone, EMSGSIZE for more than a socket holds.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.send(buf).await,
            Inner::Local(_) => poll_fn(|cx| self.poll_send(cx, buf)).await,
        }
    }
    /// As [`UnixDatagram::send`], for hand-written futures.
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &self.0 {
            Inner::Os(os) => os.poll_send(cx, buf),
            Inner::Local(local) => {
                super::ready(local.try_send(&mut Outgoing::once(buf, None), Some(cx.waker())))
            }
        }
    }
    /// As [`UnixDatagram::send`], without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.try_send(buf),
            Inner::Local(local) => local.try_send(&mut Outgoing::once(buf, None), None),
        }
    }
    /// Sends a datagram to `target`, and waits while there is no room.
    ///
    /// # Errors
    /// `NotFound` if there is no such path, `ConnectionRefused` if nobody has it.
    pub async fn send_to(&self, buf: &[u8], target: impl AsRef<Path>) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.send_to(buf, target).await,
            Inner::Local(_) => poll_fn(|cx| self.poll_send_to(cx, buf, target.as_ref())).await,
        }
    }
    /// As [`UnixDatagram::send_to`], for hand-written futures.
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: impl AsRef<Path>,
    ) -> Poll<io::Result<usize>> {
        match &self.0 {
            Inner::Os(os) => os.poll_send_to(cx, buf, target),
            Inner::Local(local) => {
                let to = parse_path(target.as_ref())?;
                super::ready(local.try_send(&mut Outgoing::once(buf, Some(&to)), Some(cx.waker())))
            }
        }
    }
    /// As [`UnixDatagram::send_to`], without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room.
    pub fn try_send_to(&self, buf: &[u8], target: impl AsRef<Path>) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.try_send_to(buf, target),
            Inner::Local(local) => {
                let to = parse_path(target.as_ref())?;
                local.try_send(&mut Outgoing::once(buf, Some(&to)), None)
            }
        }
    }
    /// Waits for a datagram: its length. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// Those of the operating system; none on a stack.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv_from(buf).await.map(|(n, _)| n)
    }
    /// As [`UnixDatagram::recv`], for hand-written futures.
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Os(os) => os.poll_recv(cx, buf),
            Inner::Local(_) => self.poll_recv_from(cx, buf).map_ok(|_| ()),
        }
    }
    /// As [`UnixDatagram::recv`], without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_recv_from(buf).map(|(n, _)| n)
    }
    /// Waits for a datagram: its length and its sender, which may have no name. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// Those of the operating system; none on a stack.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Inner::Os(os) => os.recv_from(buf).await,
            Inner::Local(_) => {
                let mut into = ReadBuf::new(buf);
                let from = poll_fn(|cx| self.poll_recv_from(cx, &mut into)).await?;
                Ok((into.filled().len(), from))
            }
        }
    }
    /// As [`UnixDatagram::recv_from`], for hand-written futures.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        match &self.0 {
            Inner::Os(os) => os.poll_recv_from(cx, buf),
            Inner::Local(local) => {
                let attempt = super::receive(local, buf.initialize_unfilled(), Some(cx.waker()));
                let message = ready!(super::ready(attempt))?;
                buf.advance(message.len);
                Poll::Ready(sender(&message))
            }
        }
    }
    /// As [`UnixDatagram::recv_from`], without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &self.0 {
            Inner::Os(os) => os.try_recv_from(buf),
            Inner::Local(local) => {
                let message = super::receive(local, buf, None)?;
                Ok((message.len, sender(&message)?))
            }
        }
    }
}

/// Who sent a datagram.
fn sender(message: &Message) -> io::Result<SocketAddr> {
    let name = message.address.as_ref().and_then(|address| address.as_unix());
    address(name.unwrap_or(&UnixAddress::Unnamed))
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Os(os) => os.fmt(f),
            Inner::Local(local) => write!(f, "UnixDatagram({:?})", local.name()),
        }
    }
}
