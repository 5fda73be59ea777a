//! Several datagrams in one call.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::BatchSocket;

/// One datagram to send: a header and a body, so that they need not be copied together.
pub type Parts<'a> = (&'a [u8], &'a [u8]);

/// Sends several datagrams at once where the operating system can (Linux: UDP_SEGMENT), else one by one. Keep one for
/// each destination: it remembers that segmentation did not work there.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    segmentation: bool,
}
impl Default for Batch {
    fn default() -> Batch {
        Batch { segmentation: true }
    }
}

/// The most octets in one call: an IPv4 datagram's payload.
const MOST_OCTETS: usize = 65_507;
/// The most datagrams in one call (Linux: UDP_MAX_SEGMENTS before 6.9).
pub(super) const MOST_SEGMENTS: usize = 64;

impl Batch {
    /// Sends `datagrams`, of which all but the last must have the same length, to `to`, from the local address
    /// `from` if that is given. Returns how many were sent, at least one.
    ///
    /// # Errors
    /// `WouldBlock` if none could be sent now; otherwise as [`UdpSocket::send_to`](crate::UdpSocket::send_to).
    pub fn try_send(
        &mut self,
        socket: &BatchSocket,
        datagrams: &[Parts<'_>],
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> io::Result<usize> {
        let length = datagrams.first().map_or(0, |(a, b)| a.len() + b.len());
        let most = (MOST_OCTETS / length.max(1))
            .clamp(1, MOST_SEGMENTS)
            .min(datagrams.len());
        if self.segmentation && most > 1 {
            match socket.try_send_segments(&datagrams[..most], length, to, from) {
                Ok(()) => return Ok(most),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // The path's MTU is smaller than a segment, or no segmentation at all.
                Err(_) => self.segmentation = false,
            }
        }
        let mut sent = 0;
        for &parts in datagrams {
            match socket.try_send_parts(parts, to, from) {
                Ok(()) => sent += 1,
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}
