//! Listeners.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use sockeye_stack::tcp::TcpOptions;

use super::TcpStream;
use super::conn::Conn;
use crate::names::{ToSocketAddrs, resolve};
use crate::net::{Net, Place};
use crate::options;

/// Waiting connections of a listener that nobody gave a backlog: as tokio has it.
const BACKLOG: u32 = 1024;

/// Listens for connections. Dropping it closes it; connections that nobody accepted are reset.
pub struct TcpListener(Inner);

enum Inner {
    Os(tokio::net::TcpListener),
    Stack(Conn),
}

impl TcpListener {
    /// Listens at `addr`, with address reuse set, as tokio's does. Port 0 chooses one: see
    /// [`TcpListener::local_addr`].
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, or that the name is unknown.
    pub async fn bind(net: &Net, addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        let addresses = resolve(net, addr).await?;
        match &net.0 {
            Place::Os => Ok(TcpListener(Inner::Os(
                tokio::net::TcpListener::bind(&addresses[..]).await?,
            ))),
            Place::Stack(host) => super::first(&addresses, |local| {
                let options = TcpOptions {
                    reuse_address: true,
                    ..TcpOptions::default()
                };
                let conn = Conn::new(host, options);
                conn.bind(local)?;
                conn.listen(BACKLOG)?;
                Ok(TcpListener(Inner::Stack(conn)))
            }),
        }
    }
    pub(super) fn from_os(listener: tokio::net::TcpListener) -> TcpListener {
        TcpListener(Inner::Os(listener))
    }
    pub(super) fn from_stack(conn: Conn) -> TcpListener {
        TcpListener(Inner::Stack(conn))
    }
    /// Waits for a connection and takes it off the accept queue.
    ///
    /// # Errors
    /// Those of the operating system; none on a stack.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.0 {
            Inner::Os(os) => os
                .accept()
                .await
                .map(|(stream, peer)| (TcpStream::from_os(stream), peer)),
            Inner::Stack(_) => poll_fn(|cx| self.poll_accept(cx)).await,
        }
    }
    /// As [`TcpListener::accept`], for hand-written futures.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        Poll::Ready(Ok(match &self.0 {
            Inner::Os(os) => {
                let (stream, peer) = ready!(os.poll_accept(cx))?;
                (TcpStream::from_os(stream), peer)
            }
            Inner::Stack(conn) => {
                let (conn, peer) = ready!(conn.poll_accept(cx))?;
                (TcpStream::from_stack(conn), peer)
            }
        }))
    }
    /// The address it listens at.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Os(os) => os.local_addr(),
            Inner::Stack(conn) => conn.local_addr(),
        }
    }
    /// The TTL of what it sends, inherited by its connections.
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
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Os(os) => os.fmt(f),
            Inner::Stack(conn) => write!(f, "TcpListener({} {:?})", conn.host.name(), conn.id),
        }
    }
}
