//! Reading and setting options of sockets that live on a stack.

use std::io;

use sockeye_stack::SocketId;
use sockeye_stack::tcp::TcpOptions;
use sockeye_stack::udp::UdpOptions;

use crate::error::io_error;
use crate::shared::Host;

/// A TCP socket's options.
pub(crate) fn tcp(host: &Host, id: SocketId) -> io::Result<TcpOptions> {
    host.look(|stack, now| Ok(stack.tcp(now, id).map_err(io_error)?.options()))
}

/// Changes a TCP socket's options.
pub(crate) fn set_tcp(host: &Host, id: SocketId, change: impl FnOnce(&mut TcpOptions)) -> io::Result<()> {
    host.call(|stack, now| {
        let mut socket = stack.tcp(now, id).map_err(io_error)?;
        let mut options = socket.options();
        change(&mut options);
        socket.set_options(options);
        Ok(())
    })
}

/// A UDP socket's options.
pub(crate) fn udp(host: &Host, id: SocketId) -> io::Result<UdpOptions> {
    host.look(|stack, now| Ok(stack.udp(now, id).map_err(io_error)?.options()))
}

/// Changes a UDP socket's options.
pub(crate) fn set_udp(host: &Host, id: SocketId, change: impl FnOnce(&mut UdpOptions)) -> io::Result<()> {
    host.call(|stack, now| {
        let mut socket = stack.udp(now, id).map_err(io_error)?;
        let mut options = socket.options();
        change(&mut options);
        socket.set_options(options);
        Ok(())
    })
}

/// The TTL that holds: the socket's, or the stack's.
pub(crate) fn hop_limit(host: &Host, own: Option<u8>) -> u32 {
    own.unwrap_or_else(|| host.look(|stack, _| stack.config().hop_limit))
        .into()
}

/// A TTL that can be set: 1 to 255 (EINVAL otherwise, as on Linux).
pub(crate) fn valid_hop_limit(ttl: u32) -> io::Result<u8> {
    match u8::try_from(ttl) {
        Ok(ttl) if ttl > 0 => Ok(ttl),
        _ => Err(crate::error::from_errno(crate::error::errno::EINVAL)),
    }
}
