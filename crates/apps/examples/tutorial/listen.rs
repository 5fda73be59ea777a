//! socket, bind, listen.

use std::io;
use std::net::SocketAddr;

use sockeye_net::tcp::TcpSocket;
use sockeye_net::{Net, TcpListener};

/// A listener at this address. `reuse` sets SO_REUSEADDR before `bind`: a server that closed its connections first, and
/// is started again, can then have its port although they are still in TIME-WAIT.
///
/// # Errors
/// `AddrInUse`, `AddrNotAvailable`.
pub(crate) fn listen(net: &Net, address: SocketAddr, backlog: u32, reuse: bool) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(net)?,
        SocketAddr::V6(_) => TcpSocket::new_v6(net)?,
    };
    socket.set_reuseaddr(reuse)?;
    socket.bind(address)?;
    socket.listen(backlog)
}
