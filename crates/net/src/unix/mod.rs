//! AF_UNIX with tokio's methods: between programs of one machine, or of one host of a lab.
//!
//! On the operating system a name is a path in the file system, or begins with NUL and is abstract. On a stack names
//! live in a space of the host, and nothing appears in the file system; a name is gone with its socket, where a path of
//! the operating system stays until somebody removes it.

mod datagram;
mod listener;
mod split;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::UnixListener;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use stream::UnixStream;
/// The address of a socket: tokio's.
pub use tokio::net::unix::SocketAddr;

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as StdAddress;
use std::path::Path;
use std::task::{Poll, Waker};

use crate::socket::UnixAddress;
use crate::socket::local::LocalSocket;
use crate::socket::message::{Flags, Message};

/// What a path names, as tokio reads it: one that begins with NUL is abstract.
fn parse(path: &Path) -> io::Result<SocketAddr> {
    Ok(match path.as_os_str().as_bytes().strip_prefix(b"\0") {
        Some(name) => StdAddress::from_abstract_name(name)?,
        None => StdAddress::from_pathname(path)?,
    }
    .into())
}

/// What a path names, where abstract names have no place: tokio's methods of datagrams.
fn parse_path(path: &Path) -> io::Result<UnixAddress> {
    StdAddress::from_pathname(path).map(|address| name(&address.into()))
}

/// The name in a host's space.
fn name(address: &SocketAddr) -> UnixAddress {
    match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => UnixAddress::Path(path.into()),
        (_, Some(name)) => UnixAddress::Abstract(name.into()),
        _ => UnixAddress::Unnamed,
    }
}

/// An address of a host's space, as the operating system would write it.
fn address(name: &UnixAddress) -> io::Result<SocketAddr> {
    Ok(match name {
        UnixAddress::Unnamed => StdAddress::from_pathname("")?,
        UnixAddress::Path(path) => StdAddress::from_pathname(path)?,
        UnixAddress::Abstract(name) => StdAddress::from_abstract_name(name)?,
    }
    .into())
}

/// Attempts to receive what is there, or leaves the waker.
fn receive(local: &LocalSocket, into: &mut [u8], waker: Option<&Waker>) -> io::Result<Message> {
    let mut message = Message::nothing();
    local.try_receive(into, Flags::empty(), false, &mut message, waker)?;
    Ok(message)
}

/// An attempt that has left its waker where it has to wait.
fn ready<R>(attempt: io::Result<R>) -> Poll<io::Result<R>> {
    match attempt {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_there_and_back() {
        for path in ["/tmp/x", "\0abstract", "", "\0"] {
            let parsed = parse(Path::new(path)).unwrap();
            let there = name(&parsed);
            let back = address(&there).unwrap();
            assert_eq!(
                (back.as_pathname(), back.as_abstract_name(), back.is_unnamed()),
                (
                    parsed.as_pathname(),
                    parsed.as_abstract_name(),
                    parsed.is_unnamed()
                )
            );
        }
        assert!(parse(Path::new("")).unwrap().is_unnamed());
        let long = "x".repeat(200);
        for error in [
            parse(Path::new(&long)).unwrap_err(),
            parse_path(Path::new("\0x")).unwrap_err(),
        ] {
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
