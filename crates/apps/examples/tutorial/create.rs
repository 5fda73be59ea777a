//! Creates a TCP socket and a UDP socket, and closes them.

use std::io;

use sockeye_net::Net;
use sockeye_net::socket::{Family, Kind, Socket};

/// socket(AF_INET, SOCK_STREAM), close; socket(AF_INET, SOCK_DGRAM), close.
///
/// # Errors
/// There are no descriptors left.
pub(crate) fn create(net: &Net) -> io::Result<()> {
    for kind in [Kind::Stream, Kind::Datagram] {
        let socket = Socket::new(net, Family::Inet, kind)?;
        socket.close();
    }
    Ok(())
}
