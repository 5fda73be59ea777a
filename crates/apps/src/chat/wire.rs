//! What a conversation goes over: TCP, or AF_UNIX between programs of one machine.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use sockeye_net::tcp::TcpSocket;
use sockeye_net::{Net, TcpListener, TcpStream, ToSocketAddrs, lookup_host};

#[cfg(target_os = "linux")]
use super::local::{LocalListener, LocalName};

/// Where somebody is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    /// At an address and a port.
    Inet(SocketAddr),
    /// At a name of AF_UNIX: a path, or `@` and an abstract name. Who has connected has mostly none.
    Local(String),
}

impl Place {
    /// The address and the port, if it has them.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Place::Inet(address) => Some(*address),
            Place::Local(_) => None,
        }
    }
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Place {
        Place::Inet(address)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Inet(address) => address.fmt(f),
            Place::Local(name) if name.is_empty() => f.write_str("a program of this machine"),
            Place::Local(name) => f.write_str(name),
        }
    }
}

/// A connection of either kind.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over AF_UNIX.
    #[cfg(target_os = "linux")]
    Local(sockeye_net::UnixStream),
}

impl Stream {
    /// Who is at the other end.
    ///
    /// # Errors
    /// Those of the operating system, for a connection that has ended say.
    pub fn peer(&self) -> io::Result<Place> {
        match self {
            Stream::Tcp(tcp) => tcp.peer_addr().map(Place::Inet),
            #[cfg(target_os = "linux")]
            Stream::Local(local) => Ok(place(&local.peer_addr()?)),
        }
    }
    /// Where we are.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local(&self) -> io::Result<Place> {
        match self {
            Stream::Tcp(tcp) => tcp.local_addr().map(Place::Inet),
            #[cfg(target_os = "linux")]
            Stream::Local(local) => Ok(place(&local.local_addr()?)),
        }
    }
    /// A message goes as it is said: Nagle's rule would only make it wait.
    pub(super) fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(tcp) => tcp.set_nodelay(true),
            #[cfg(target_os = "linux")]
            Stream::Local(_) => Ok(()),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Stream {
        Stream::Tcp(stream)
    }
}
#[cfg(target_os = "linux")]
impl From<sockeye_net::UnixStream> for Stream {
    fn from(stream: sockeye_net::UnixStream) -> Stream {
        Stream::Local(stream)
    }
}

#[cfg(target_os = "linux")]
fn place(address: &sockeye_net::unix::SocketAddr) -> Place {
    Place::Local(match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => path.display().to_string(),
        (_, Some(name)) => format!("@{}", name.escape_ascii()),
        _ => String::new(),
    })
}

/// Runs an expression with the two halves of a stream of either kind.
macro_rules! with_halves {
    ($stream:expr, |$read:ident, $write:ident| $then:expr) => {
        match $stream {
            $crate::chat::wire::Stream::Tcp(stream) => {
                let ($read, $write) = stream.into_split();
                $then
            }
            #[cfg(target_os = "linux")]
            $crate::chat::wire::Stream::Local(stream) => {
                let ($read, $write) = stream.into_split();
                $then
            }
        }
    };
}
pub(super) use with_halves;

/// One who listens, in either way.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(target_os = "linux")]
    Local(LocalListener),
}

impl Listener {
    /// At the first address that can be bound, with address reuse set. A client that is gone without a word is noticed
    /// by keepalive: its connection would otherwise stay for ever, and with it, where one is served after the other, all
    /// who wait.
    pub(super) async fn tcp(net: &Net, address: impl ToSocketAddrs, backlog: u32) -> io::Result<Listener> {
        let attempt = |address: SocketAddr| {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4(net)?,
                SocketAddr::V6(_) => TcpSocket::new_v6(net)?,
            };
            socket.set_reuseaddr(true)?;
            socket.set_keepalive(true)?;
            socket.bind(address)?;
            socket.listen(backlog)
        };
        let mut last = io::Error::from(io::ErrorKind::InvalidInput);
        for address in lookup_host(net, address).await? {
            match attempt(address) {
                Ok(listener) => return Ok(Listener::Tcp(listener)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
    #[cfg(target_os = "linux")]
    pub(super) async fn local(net: &Net, name: &LocalName) -> io::Result<Listener> {
        LocalListener::bind(net, name).await.map(Listener::Local)
    }
    /// Where it listens.
    pub(super) fn place(&self) -> io::Result<Place> {
        match self {
            Listener::Tcp(tcp) => tcp.local_addr().map(Place::Inet),
            #[cfg(target_os = "linux")]
            Listener::Local(local) => Ok(place(&local.listener().local_addr()?)),
        }
    }
    /// The next connection; clients that were gone before their turn came are passed over.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Place)> {
        loop {
            let accepted = match self {
                Listener::Tcp(tcp) => tcp
                    .accept()
                    .await
                    .map(|(stream, peer)| (stream.into(), peer.into())),
                #[cfg(target_os = "linux")]
                Listener::Local(local) => {
                    let accepted = local.listener().accept().await;
                    accepted.map(|(stream, peer)| (stream.into(), place(&peer)))
                }
            };
            match accepted {
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                result => return result,
            }
        }
    }
}
