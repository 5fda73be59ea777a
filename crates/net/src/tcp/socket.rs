//! A TCP socket before it listens or connects.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use sockeye_stack::tcp::TcpOptions;

use super::conn::Conn;
use super::{TcpListener, TcpStream};
use crate::net::{Net, Place};
use crate::options;

/// A TCP socket before it listens or connects: for those who choose options, backlog or the local port.
pub struct TcpSocket(Inner);

enum Inner {
    Os(tokio::net::TcpSocket),
    Stack { conn: Conn, v6: bool },
}

impl TcpSocket {
    /// A socket for IPv4.
    ///
    /// # Errors
    /// Those of the operating system; none on a stack.
    pub fn new_v4(net: &Net) -> io::Result<TcpSocket> {
        TcpSocket::new(net, false)
    }
    /// A socket for IPv6.
    ///
    /// # Errors
    /// Those of the operating system; none on a stack.
    pub fn new_v6(net: &Net) -> io::Result<TcpSocket> {
        TcpSocket::new(net, true)
    }
    fn new(net: &Net, v6: bool) -> io::Result<TcpSocket> {
        Ok(TcpSocket(match &net.0 {
            Place::Os if v6 => Inner::Os(tokio::net::TcpSocket::new_v6()?),
            Place::Os => Inner::Os(tokio::net::TcpSocket::new_v4()?),
            Place::Stack(host) => Inner::Stack {
                conn: Conn::new(host, TcpOptions::default()),
                v6,
            },
        }))
    }
    /// Binds to a local address; port 0 chooses one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, or an address of the other family.
    pub fn bind(&self, local: SocketAddr) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.bind(local),
            Inner::Stack { conn, v6 } => {
                same_family(local, *v6)?;
                conn.bind(local)
            }
        }
    }
    /// Listens. `backlog` bounds the connections that wait for `accept`.
    ///
    /// # Errors
    /// `AddrInUse`.
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        match self.0 {
            Inner::Os(os) => os.listen(backlog).map(TcpListener::from_os),
            Inner::Stack { conn, .. } => {
                conn.listen(backlog)?;
                Ok(TcpListener::from_stack(conn))
            }
        }
    }
    /// Opens a connection and waits until it is established.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `NetworkUnreachable`, `HostUnreachable`, `AddrNotAvailable`.
    pub async fn connect(self, remote: SocketAddr) -> io::Result<TcpStream> {
        match self.0 {
            Inner::Os(os) => os.connect(remote).await.map(TcpStream::from_os),
            Inner::Stack { conn, v6 } => {
                same_family(remote, v6)?;
                conn.connect(remote).await?;
                Ok(TcpStream::from_stack(conn))
            }
        }
    }
    /// Lets it bind over TIME-WAIT entries (SO_REUSEADDR).
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_reuseaddr(&self, on: bool) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_reuseaddr(on),
            Inner::Stack { .. } => self.set(|o| o.reuse_address = on),
        }
    }
    /// Shares the port with others that set it too (SO_REUSEPORT).
    ///
    /// # Errors
    /// Those of the operating system.
    #[cfg(unix)]
    pub fn set_reuseport(&self, on: bool) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_reuseport(on),
            Inner::Stack { .. } => self.set(|o| o.reuse_port = on),
        }
    }
    /// Probes an idle connection (SO_KEEPALIVE), at the stack's default times.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_keepalive(&self, on: bool) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_keepalive(on),
            Inner::Stack { conn, .. } => {
                let keepalive = conn.host.look(|stack, _| sockeye_stack::tcp::Keepalive {
                    idle: stack.config().keepalive_idle,
                    interval: stack.config().keepalive_interval,
                    count: stack.config().keepalive_count,
                });
                self.set(|o| o.keepalive = on.then_some(keepalive))
            }
        }
    }
    /// Switches Nagle's rule off.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_nodelay(on),
            Inner::Stack { .. } => self.set(|o| o.nodelay = on),
        }
    }
    /// Size of the send buffer in octets.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_send_buffer_size(&self, size: u32) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_send_buffer_size(size),
            Inner::Stack { .. } => self.set(|o| o.send_buffer = Some(size)),
        }
    }
    /// Size of the receive buffer in octets; it no longer grows by itself.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_recv_buffer_size(&self, size: u32) -> io::Result<()> {
        match &self.0 {
            Inner::Os(os) => os.set_recv_buffer_size(size),
            Inner::Stack { .. } => self.set(|o| o.receive_buffer = Some(size)),
        }
    }
    /// The local address, once bound.
    ///
    /// # Errors
    /// `InvalidInput` before.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Os(os) => os.local_addr(),
            Inner::Stack { conn, .. } => conn.local_addr(),
        }
    }
    /// Changes options of a socket on a stack.
    fn set(&self, change: impl FnOnce(&mut TcpOptions)) -> io::Result<()> {
        match &self.0 {
            Inner::Os(_) => Ok(()),
            Inner::Stack { conn, .. } => options::set_tcp(&conn.host, conn.id, change),
        }
    }
}

/// Linux's EAFNOSUPPORT for an address of the other family.
fn same_family(address: SocketAddr, v6: bool) -> io::Result<()> {
    if address.is_ipv6() == v6 {
        return Ok(());
    }
    Err(crate::error::from_errno(crate::error::errno::EAFNOSUPPORT))
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Os(os) => os.fmt(f),
            Inner::Stack { conn, .. } => write!(f, "TcpSocket({} {:?})", conn.host.name(), conn.id),
        }
    }
}
