//! Connections.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, SocketAddr, WriteHalf, address, name, parse};
use crate::halves::{self, once_ready};
use crate::net::{Net, Place};
use crate::socket::local::LocalSocket;
use crate::socket::local_io::Outgoing;
use crate::socket::{Kind, Shutdown};

/// A connection. Dropping it closes it: the peer still reads what was written, then the end.
pub struct UnixStream(Inner);

enum Inner {
    Os(tokio::net::UnixStream),
    Local(LocalSocket),
}

impl UnixStream {
    /// Connects to who listens at `path`; one that begins with NUL is an abstract name.
    ///
    /// # Errors
    /// `NotFound` if there is no such path, `ConnectionRefused` if nobody listens there, `WouldBlock` if the
    /// listener's queue is full, `InvalidInput` for a path that is too long, and on the operating system
    /// `PermissionDenied`.
    pub async fn connect(net: &Net, path: impl AsRef<Path>) -> io::Result<UnixStream> {
        UnixStream::connect_addr(net, &parse(path.as_ref())?).await
    }
    /// As [`UnixStream::connect`], to an address.
    ///
    /// # Errors
    /// As [`UnixStream::connect`].
    pub async fn connect_addr(net: &Net, addr: &SocketAddr) -> io::Result<UnixStream> {
        match &net.0 {
            Place::Os => tokio::net::UnixStream::connect_addr(addr)
                .await
                .map(UnixStream::from_os),
            Place::Stack(host) => {
                let socket = LocalSocket::new(host.local(), Kind::Stream);
                socket.try_connect(&name(addr), None)?;
                Ok(UnixStream::from_local(socket))
            }
        }
    }
    /// Two ends, joined to each other.
    ///
    /// # Errors
    /// Those of the operating system; none on a stack.
    pub fn pair(net: &Net) -> io::Result<(UnixStream, UnixStream)> {
        Ok(match &net.0 {
            Place::Os => {
                let (a, b) = tokio::net::UnixStream::pair()?;
                (UnixStream::from_os(a), UnixStream::from_os(b))
            }
            Place::Stack(host) => {
                let (a, b) = LocalSocket::pair(host.local(), Kind::Stream);
                (UnixStream::from_local(a), UnixStream::from_local(b))
            }
        })
    }
    pub(super) fn from_os(stream: tokio::net::UnixStream) -> UnixStream {
        UnixStream(Inner::Os(stream))
    }
    pub(super) fn from_local(socket: LocalSocket) -> UnixStream {
        UnixStream(Inner::Local(socket))
    }
    /// Our name; mostly none, at the end that connected.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Os(os) => os.local_addr(),
            Inner::Local(local) => address(&local.name()?),
        }
    }
    /// The peer's name; mostly none, at the end that listened.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Os(os) => os.peer_addr(),
            Inner::Local(local) => address(&local.peer_name()?),
        }
    }
    /// The error that waits at it, once: none on a stack, where reading and writing tell it.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.0 {
            Inner::Os(os) => os.take_error(),
            Inner::Local(_) => Ok(None),
        }
    }
    /// Waits until a read would not wait.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_read_ready(cx)).await
    }
    /// As [`UnixStream::readable`], for hand-written futures.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Os(os) => os.poll_read_ready(cx),
            Inner::Local(local) => super::ready(local.try_readable(Some(cx.waker()))),
        }
    }
    /// Waits until a write would not wait.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn writable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write_ready(cx)).await
    }
    /// As [`UnixStream::writable`], for hand-written futures.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Inner::Os(os) => os.poll_write_ready(cx),
            Inner::Local(local) => super::ready(local.try_writable(Some(cx.waker()))),
        }
    }
    /// Reads what is there; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is, `ConnectionReset` if the peer went with data unread.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.try_read(buf),
            Inner::Local(local) => super::receive(local, buf, None).map(|message| message.len),
        }
    }
    /// Writes what fits.
    ///
    /// # Errors
    /// `WouldBlock` if nothing does, `BrokenPipe` if the peer is gone.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.try_write(buf),
            Inner::Local(local) => local.try_send(&mut Outgoing::once(buf, None), None),
        }
    }
    /// Two halves that borrow it.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (halves::ReadHalf(self), halves::WriteHalf(self))
    }
    /// Two halves that own it together. Dropping the write half ends our side.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        halves::into_split(self)
    }

    pub(super) fn poll_read_shared(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = match &self.0 {
            Inner::Os(os) => {
                let room = buf.initialize_unfilled();
                ready!(once_ready(|| os.poll_read_ready(cx), || os.try_read(room)))?
            }
            Inner::Local(local) => {
                let attempt = super::receive(local, buf.initialize_unfilled(), Some(cx.waker()));
                ready!(super::ready(attempt))?.len
            }
        };
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
    pub(super) fn poll_write_shared(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &self.0 {
            Inner::Os(os) => once_ready(|| os.poll_write_ready(cx), || os.try_write(data)),
            Inner::Local(local) => {
                super::ready(local.try_send(&mut Outgoing::once(data, None), Some(cx.waker())))
            }
        }
    }
    /// One buffer at a time, as tokio's trait does for who has no better way.
    pub(super) fn poll_write_vectored_shared(
        &self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write_shared(cx, first.map_or(&[], |slice| slice))
    }
    pub(super) fn shutdown_write_shared(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => socket2::SockRef::from(os).shutdown(Shutdown::Write),
            Inner::Local(local) => local.shutdown(Shutdown::Write),
        }
    }
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Os(os) => os.fmt(f),
            Inner::Local(local) => write!(f, "UnixStream({:?}, {:?})", local.name(), local.peer_name()),
        }
    }
}
