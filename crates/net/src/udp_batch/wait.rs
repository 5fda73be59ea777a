//! How a tokio runtime waits for the operating system's socket.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(super) type Socket = AsyncFd<UdpSocket>;

/// A datagram, or an error that came for an earlier one.
pub(super) const READ: Interest = Interest::READABLE.add(Interest::ERROR);

// The call that takes its place is unsafe: who implements AsRawFd by himself could lie. std's socket does not.
#[expect(
    deprecated,
    reason = "sound for std's sockets; the successor is an unsafe function"
)]
pub(super) fn bind(addr: SocketAddr) -> io::Result<Socket> {
    let socket = UdpSocket::bind(addr)?;
    socket.set_nonblocking(true)?;
    AsyncFd::with_interest(socket, READ)
}
pub(super) async fn async_read<R>(
    socket: &Socket,
    mut read: impl FnMut(&UdpSocket) -> io::Result<R>,
) -> io::Result<R> {
    socket.async_io(READ, |socket| read(socket)).await
}
