//! Systems that send one datagram at a time.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::Received;

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
pub(super) fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
    socket.send_to(datagram, to)
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
