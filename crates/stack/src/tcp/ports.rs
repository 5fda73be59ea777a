//! The choice of a local port for an outgoing connection: hard to guess, slow to repeat (RFC 6056).

use core::fmt;
use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher24;

use crate::demux::as_v6;

/// How many counters there are. Destinations that share one see gaps in their ports, no more.
const COUNTERS: usize = 256;

/// Chooses ports by RFC 6056 Algorithm 4, "double-hash port selection": each destination has its own secret place in
/// the range and one of 256 counters that moves on from there.
///
/// So connections to one destination go through the range before a port repeats, and what one destination sees tells
/// it nothing of the ports towards another.
pub(crate) struct PortChooser {
    function: SipHasher24,
    counters: [u32; COUNTERS],
}

impl PortChooser {
    /// A chooser that is decided by `key`. The counters begin anywhere, as the RFC asks.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        let function = SipHasher24::new_with_key(&key);
        // One octet: shorter than any destination, so one key serves both.
        let counters = core::array::from_fn(|index| function.hash(&[index as u8]) as u32);
        PortChooser { function, counters }
    }

    /// A port from `first` to `last` that `is_free` accepts; `None` if it accepts none. Each is tried at most once.
    pub(crate) fn choose(
        &mut self,
        local: IpAddr,
        remote: SocketAddr,
        first: u16,
        last: u16,
        mut is_free: impl FnMut(u16) -> bool,
    ) -> Option<u16> {
        let count = u32::from(last).checked_sub(u32::from(first))? + 1;
        // The two functions of the RFC, F and G, are different parts of one output.
        let hash = self.hash(local, remote);
        let counter = &mut self.counters[(hash >> 56) as usize % COUNTERS];
        let start = (hash as u32).wrapping_add(*counter) % count;
        for step in 0..count {
            *counter = counter.wrapping_add(1);
            let port = first + ((start + step) % count) as u16; // below first + count, which is last + 1
            if is_free(port) {
                return Some(port);
            }
        }
        None
    }

    fn hash(&self, local: IpAddr, remote: SocketAddr) -> u64 {
        let mut hasher = self.function;
        hasher.write(&as_v6(local));
        hasher.write(&as_v6(remote.ip()));
        hasher.write(&remote.port().to_be_bytes());
        hasher.finish()
    }
}

/// Without the key and the counters.
impl fmt::Debug for PortChooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortChooser").finish_non_exhaustive()
    }
}
