//! Systems that send one datagram at a time.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Received;

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
pub(super) fn set_report_errors(_: &UdpSocket, _: bool) -> io::Result<()> {
    Ok(())
}
pub(super) fn set_receive_destination(_: &UdpSocket, _: bool) -> io::Result<()> {
    Ok(())
}
pub(super) fn try_recv_msg(socket: &UdpSocket, buf: &mut [u8]) -> io::Result<Received> {
    let (len, from) = socket.recv_from(buf)?;
    Ok(Received { len, from, to: None })
}
pub(super) fn try_send(
    socket: &UdpSocket,
    octets: &[u8],
    segment: Option<u16>,
    to: SocketAddr,
    _from: Option<IpAddr>,
) -> io::Result<()> {
    match segment {
        None => socket.send_to(octets, to).map(|_| ()),
        Some(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}
