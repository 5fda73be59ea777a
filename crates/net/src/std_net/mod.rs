//! Sockets with the methods, signatures and errors of `std::net`, for threads. Only constructors take a `&Net` more.
//!
//! ```
//! use sockeye_net::Net;
//! use sockeye_net::std_net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! # fn main() -> std::io::Result<()> {
//! let net = Net::os();
//! let listener = TcpListener::bind(&net, "127.0.0.1:0")?;
//! let mut client = TcpStream::connect(&net, listener.local_addr()?)?;
//! client.write_all(b"hello")?;
//! let (mut server, _peer) = listener.accept()?;
//! let mut buf = [0; 5];
//! server.read_exact(&mut buf)?;
//! assert_eq!(&buf, b"hello");
//! # Ok(()) }
//! ```

mod tcp;
mod udp;

pub use tcp::{Incoming, TcpListener, TcpStream};
pub use udp::UdpSocket;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::net::Net;
use crate::socket::{Address, Family, Kind, SockOpt, Socket, Value};

/// A socket of an address's family.
fn socket_for(net: &Net, address: SocketAddr, kind: Kind) -> io::Result<Socket> {
    let family = if address.is_ipv6() {
        Family::Inet6
    } else {
        Family::Inet
    };
    Socket::new(net, family, kind)
}

/// The first address for which `attempt` succeeds, or the last one's error.
fn first<T>(addresses: &[SocketAddr], mut attempt: impl FnMut(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses");
    for &address in addresses {
        match attempt(address) {
            Ok(value) => return Ok(value),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn inet(address: Address) -> io::Result<SocketAddr> {
    address.inet()
}

/// As std has it: a time of zero is an error.
fn checked(timeout: Option<Duration>) -> io::Result<Option<Duration>> {
    if timeout == Some(Duration::ZERO) {
        return Err(zero_timeout());
    }
    Ok(timeout)
}
fn zero_timeout() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout")
}

fn number(socket: &Socket, option: SockOpt) -> io::Result<u32> {
    Ok(socket.getsockopt(option)?.int()?.try_into().unwrap_or(0))
}
fn flag(socket: &Socket, option: SockOpt) -> io::Result<bool> {
    socket.getsockopt(option)?.on()
}
fn time(socket: &Socket, option: SockOpt) -> io::Result<Option<Duration>> {
    socket.getsockopt(option)?.time()
}
fn take_error(socket: &Socket) -> io::Result<Option<io::Error>> {
    Ok(match socket.getsockopt(SockOpt::Error)? {
        Value::Int(0) => None,
        value => Some(crate::error::from_errno(value.int()?)),
    })
}

/// The methods that all three have.
macro_rules! shared_methods {
    ($name:ident) => {
        impl $name {
            /// Our address.
            ///
            /// # Errors
            /// Those of the operating system.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                inet(self.0.getsockname()?)
            }
            /// Another handle to the same socket: options, timeouts and what has been read are shared.
            ///
            /// # Errors
            /// None.
            pub fn try_clone(&self) -> io::Result<$name> {
                Ok($name(self.0.clone()))
            }
            /// Sets the TTL: 1 to 255.
            ///
            /// # Errors
            /// `InvalidInput` for another.
            pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
                self.0.setsockopt(SockOpt::Ttl, ttl)
            }
            /// The TTL of what it sends.
            ///
            /// # Errors
            /// Those of the operating system.
            pub fn ttl(&self) -> io::Result<u32> {
                number(&self.0, SockOpt::Ttl)
            }
            /// What went wrong, once.
            ///
            /// # Errors
            /// Those of the operating system.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                take_error(&self.0)
            }
            /// Whether calls say `WouldBlock` rather than wait.
            ///
            /// # Errors
            /// `Unsupported` for waiting where time is virtual.
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.0.setblocking(!nonblocking)
            }
            /// The socket behind it, for what is not here.
            pub fn as_socket(&self) -> &Socket {
                &self.0
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }
    };
}
/// The methods of those that receive.
macro_rules! timeout_methods {
    ($name:ident) => {
        impl $name {
            /// Bounds how long reading waits; `WouldBlock` comes then.
            ///
            /// # Errors
            /// `InvalidInput` for zero.
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.0
                    .setsockopt(SockOpt::ReceiveTimeout, checked(timeout)?)
            }
            /// Bounds how long writing waits.
            ///
            /// # Errors
            /// `InvalidInput` for zero.
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.0.setsockopt(SockOpt::SendTimeout, checked(timeout)?)
            }
            /// How long reading waits.
            ///
            /// # Errors
            /// Those of the operating system.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                time(&self.0, SockOpt::ReceiveTimeout)
            }
            /// How long writing waits.
            ///
            /// # Errors
            /// Those of the operating system.
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                time(&self.0, SockOpt::SendTimeout)
            }
            /// The peer's address.
            ///
            /// # Errors
            /// `NotConnected`.
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                inet(self.0.getpeername()?)
            }
        }
    };
}
use {shared_methods, timeout_methods};
