//! Connections.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use sockeye_stack::tcp::{TcpInfo, TcpOptions};
use tokio::io::ReadBuf;

use super::conn::Conn;
use super::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::error::io_error;
use crate::halves::{self, once_ready};
use crate::names::{ToSocketAddrs, resolve};
use crate::net::{Net, Place};
use crate::options;

/// A connection. Dropping it closes it: what was written is still sent, then FIN.
pub struct TcpStream(Inner);

enum Inner {
    Os(tokio::net::TcpStream),
    Stack(Conn),
}

impl TcpStream {
    /// Opens a connection to the first address that answers.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `NetworkUnreachable`, `HostUnreachable`, or that the name is unknown.
    pub async fn connect(net: &Net, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let addresses = resolve(net, addr).await?;
        match &net.0 {
            Place::Os => Ok(TcpStream::from_os(
                tokio::net::TcpStream::connect(&addresses[..]).await?,
            )),
            Place::Stack(host) => {
                let mut last = io::Error::from(io::ErrorKind::InvalidInput);
                for remote in addresses {
                    let conn = Conn::new(host, TcpOptions::default());
                    match conn.connect(remote).await {
                        Ok(()) => return Ok(TcpStream::from_stack(conn)),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }
    pub(super) fn from_os(stream: tokio::net::TcpStream) -> TcpStream {
        TcpStream(Inner::Os(stream))
    }
    pub(super) fn from_stack(conn: Conn) -> TcpStream {
        TcpStream(Inner::Stack(conn))
    }
    /// Our address.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Os(os) => os.local_addr(),
            Inner::Stack(conn) => conn.local_addr(),
        }
    }
    /// The peer's address.
    ///
    /// # Errors
    /// `NotConnected` after the connection has ended.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Os(os) => os.peer_addr(),
            Inner::Stack(conn) => conn.peer_addr(),
        }
    }
    /// The error that ended the connection, once.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.0 {
            Inner::Os(os) => os.take_error(),
            Inner::Stack(conn) => conn.take_error(),
        }
    }
    /// Waits until a read would not wait.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn readable(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.readable().await,
            Inner::Stack(conn) => poll_fn(|cx| conn.poll_readable(cx)).await,
        }
    }
    /// Waits until a write would not wait.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn writable(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.writable().await,
            Inner::Stack(conn) => poll_fn(|cx| conn.poll_writable(cx)).await,
        }
    }
    /// Reads what is there.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.try_read(buf),
            Inner::Stack(conn) => conn.try_read(buf),
        }
    }
    /// Writes what fits.
    ///
    /// # Errors
    /// `WouldBlock` if nothing does.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.try_write(buf),
            Inner::Stack(conn) => conn.try_write(buf),
        }
    }
    /// Waits for data and copies it without taking it; 0 at the end of the stream.
    ///
    /// # Errors
    /// As for reading.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Inner::Os(os) => os.peek(buf).await,
            Inner::Stack(conn) => poll_fn(|cx| conn.poll_peek(cx, buf)).await,
        }
    }
    /// As [`TcpStream::peek`], for hand-written futures.
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        match &self.0 {
            Inner::Os(os) => os.poll_peek(cx, buf),
            Inner::Stack(conn) => {
                let n = ready!(conn.poll_peek(cx, buf.initialize_unfilled()))?;
                buf.advance(n);
                Poll::Ready(Ok(n))
            }
        }
    }
    /// Whether Nagle's rule is off.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn nodelay(&self) -> io::Result<bool> {
        match &self.0 {
            Inner::Os(os) => os.nodelay(),
            Inner::Stack(conn) => Ok(options::tcp(&conn.host, conn.id)?.nodelay),
        }
    }
    /// Switches Nagle's rule off or on.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_nodelay(nodelay),
            Inner::Stack(conn) => options::set_tcp(&conn.host, conn.id, |o| o.nodelay = nodelay),
        }
    }
    /// How long closing may take (SO_LINGER).
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        match &self.0 {
            Inner::Os(os) => os.linger(),
            Inner::Stack(conn) => Ok(options::tcp(&conn.host, conn.id)?.linger.map(Duration::from)),
        }
    }
    /// Sets how long closing may take: `None` finishes in the background, zero resets the connection.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        match &self.0 {
            #[allow(deprecated)] // as tokio's: its drop may block, ours never does
            Inner::Os(os) => os.set_linger(linger),
            Inner::Stack(conn) => options::set_tcp(&conn.host, conn.id, |o| {
                o.linger = linger.map(sockeye_stack::Duration::from)
            }),
        }
    }
    /// Closing resets the connection, and what was not sent is lost.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_zero_linger(),
            Inner::Stack(_) => self.set_linger(Some(Duration::ZERO)),
        }
    }
    /// The TTL of what it sends.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn ttl(&self) -> io::Result<u32> {
        match &self.0 {
            Inner::Os(os) => os.ttl(),
            Inner::Stack(c) => Ok(options::hop_limit(
                &c.host,
                options::tcp(&c.host, c.id)?.hop_limit,
            )),
        }
    }
    /// Sets the TTL: 1 to 255.
    ///
    /// # Errors
    /// `InvalidInput` for another.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_ttl(ttl),
            Inner::Stack(conn) => {
                let ttl = options::valid_hop_limit(ttl)?;
                options::set_tcp(&conn.host, conn.id, |o| o.hop_limit = Some(ttl))
            }
        }
    }
    /// What the stack knows of the connection (TCP_INFO); `None` for a socket of the operating system, and
    /// after the connection has ended.
    ///
    /// # Errors
    /// None in practice.
    pub fn info(&self) -> io::Result<Option<TcpInfo>> {
        match &self.0 {
            Inner::Os(_) => Ok(None),
            Inner::Stack(conn) => {
                let info = conn
                    .host
                    .look(|stack, now| stack.tcp(now, conn.id).map(|socket| socket.info()));
                info.map_err(io_error)
            }
        }
    }
    /// Two halves that borrow it.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (halves::ReadHalf(self), halves::WriteHalf(self))
    }
    /// Two halves that own it together. Dropping the write half sends FIN.
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
            Inner::Stack(conn) => ready!(conn.poll_read(cx, buf.initialize_unfilled()))?,
        };
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
    pub(super) fn poll_write_shared(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored_shared(cx, &[io::IoSlice::new(data)])
    }
    pub(super) fn poll_write_vectored_shared(
        &self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &self.0 {
            Inner::Os(os) => once_ready(|| os.poll_write_ready(cx), || os.try_write_vectored(slices)),
            Inner::Stack(conn) => match slices {
                [one] => conn.poll_write(cx, one),
                _ => conn.poll_write_vectored(cx, slices),
            },
        }
    }
    pub(super) fn shutdown_write_shared(&self) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => socket2::SockRef::from(os).shutdown(std::net::Shutdown::Write),
            Inner::Stack(conn) => conn.shutdown_write(),
        }
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Os(os) => os.fmt(f),
            Inner::Stack(conn) => write!(f, "TcpStream({} {:?})", conn.host.name(), conn.id),
        }
    }
}
