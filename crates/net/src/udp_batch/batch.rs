//! Several datagrams in one call.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::BatchSocket;

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
const MOST_SEGMENTS: usize = 64;

impl Batch {
    /// Sends the datagrams that `octets` consists of, `length` octets each and the last one what is left, to `to`, from
    /// the local address `from` if that is given. Returns how many octets went, in whole datagrams, at least one.
    ///
    /// # Errors
    /// `WouldBlock` if none could be sent now; otherwise as [`UdpSocket::send_to`](crate::UdpSocket::send_to).
    pub fn try_send(
        &mut self,
        socket: &BatchSocket,
        octets: &[u8],
        length: usize,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> io::Result<usize> {
        let length = length.max(1);
        if octets.len() <= length {
            return socket.try_send_one(octets, to, from);
        }
        let most = (MOST_OCTETS / length).clamp(1, MOST_SEGMENTS) * length;
        if self.segmentation && most > length {
            let run = &octets[..most.min(octets.len())];
            match socket.try_send_segments(run, length, to, from) {
                Ok(()) => return Ok(run.len()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // The path's MTU is smaller than a segment, or no segmentation at all.
                Err(_) => self.segmentation = false,
            }
        }
        let mut sent = 0;
        for datagram in octets.chunks(length) {
            match socket.try_send_one(datagram, to, from) {
                Ok(octets) => sent += octets,
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}
