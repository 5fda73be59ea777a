//! Listeners.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::task::{Context, Poll, ready};

use super::{SocketAddr, UnixStream, address, name, parse};
use crate::net::{Net, Place};
use crate::socket::Kind;
use crate::socket::local::LocalSocket;

/// Connections that wait, at most: as tokio has it.
const BACKLOG: u32 = 1024;

/// Listens for connections. Dropping it closes it; connections that nobody accepted are reset. On the operating system
/// the path stays, and has to be removed before it can be bound again.
pub struct UnixListener(Inner);

enum Inner {
    Os(tokio::net::UnixListener),
    Local(LocalSocket),
}

impl UnixListener {
    /// Listens at `path`; one that begins with NUL is an abstract name.
    ///
    /// # Errors
    /// `AddrInUse` if the name is taken, by a file say; `InvalidInput` for one that is too long (107 octets); on the
    /// operating system `NotFound` and `PermissionDenied` of its directory.
    ///
    /// # Panics
    /// On the operating system, outside a tokio runtime with I/O enabled.
    #[track_caller]
    pub fn bind(net: &Net, path: impl AsRef<Path>) -> io::Result<UnixListener> {
        UnixListener::bind_addr(net, &parse(path.as_ref())?)
    }
    /// As [`UnixListener::bind`], at an address.
    ///
    /// # Errors
    /// As [`UnixListener::bind`].
    ///
    /// # Panics
    /// As [`UnixListener::bind`].
    #[track_caller]
    pub fn bind_addr(net: &Net, addr: &SocketAddr) -> io::Result<UnixListener> {
        Ok(UnixListener(match &net.0 {
            Place::Os => Inner::Os(tokio::net::UnixListener::bind_addr(addr)?),
            Place::Stack(host) => {
                let socket = LocalSocket::new(host.local(), Kind::Stream);
                socket.bind(&name(addr).into())?;
                socket.listen(BACKLOG)?;
                Inner::Local(socket)
            }
        }))
    }
    /// Where it listens.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            Inner::Os(os) => os.local_addr(),
            Inner::Local(local) => address(&local.name()?),
        }
    }
    /// The error that waits at it, once: none on a stack.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match &self.0 {
            Inner::Os(os) => os.take_error(),
            Inner::Local(_) => Ok(None),
        }
    }
    /// Waits for a connection and takes it off the queue. Dropping the future loses none.
    ///
    /// # Errors
    /// Those of the operating system; none on a stack.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }
    /// As [`UnixListener::accept`], for hand-written futures.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        Poll::Ready(Ok(match &self.0 {
            Inner::Os(os) => {
                let (stream, peer) = ready!(os.poll_accept(cx))?;
                (UnixStream::from_os(stream), peer)
            }
            Inner::Local(local) => {
                let (stream, peer) = ready!(super::ready(local.try_accept(Some(cx.waker()))))?;
                (UnixStream::from_local(stream), address(&peer)?)
            }
        }))
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Os(os) => os.fmt(f),
            Inner::Local(local) => write!(f, "UnixListener({:?})", local.name()),
        }
    }
}
