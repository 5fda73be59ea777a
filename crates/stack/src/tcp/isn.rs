//! Where sequence numbers and timestamps begin: a clock plus a keyed function of the addresses (RFC 6528,
//! RFC 7323 section 5.4).

use core::fmt;
use core::net::IpAddr;

use siphasher::sip::SipHasher24;

use super::SeqNumber;
use crate::demux::{FourTuple, as_v6};
use crate::time::Instant;

/// Makes initial sequence numbers and timestamp offsets.
///
/// One key serves both: the functions differ in the length of what they hash (12 and 36 octets, 8 and 32 octets).
pub(crate) struct IsnGenerator {
    function: SipHasher24,
}

impl IsnGenerator {
    /// A generator with its own key, which never leaves it.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        IsnGenerator {
            function: SipHasher24::new_with_key(&key),
        }
    }

    /// The initial sequence number of a connection that opens now: `ISN = M + F(tuple, key)` (SHLD-1).
    ///
    /// M counts 4-microsecond ticks (MUST-8), so it goes round in about 4.8 hours; F is SipHash-2-4, which nobody can
    /// compute without the key (MUST-9).
    pub(crate) fn generate(&self, now: Instant, tuple: &FourTuple) -> SeqNumber {
        let ticks = (now.as_micros() / 4) as u32;
        let place = tuple.with_octets(|octets| self.function.hash(octets)) as u32;
        SeqNumber(ticks.wrapping_add(place))
    }

    /// What to add to the millisecond clock for the timestamps of a connection (RFC 7323 section 5.4).
    ///
    /// It depends on the addresses only: between two hosts timestamps go up from one connection to the next, whatever
    /// the ports, which is what taking over a TIME-WAIT needs (RFC 6191); other hosts learn nothing of our uptime.
    pub(crate) fn timestamp_offset(&self, tuple: &FourTuple) -> u32 {
        let hash = match (tuple.local, tuple.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                let mut octets = [0; 8];
                octets[..4].copy_from_slice(&local.octets());
                octets[4..].copy_from_slice(&remote.octets());
                self.function.hash(&octets)
            }
            (local, remote) => {
                let mut octets = [0; 32];
                octets[..16].copy_from_slice(&as_v6(local));
                octets[16..].copy_from_slice(&as_v6(remote));
                self.function.hash(&octets)
            }
        };
        hash as u32
    }
}

/// Without the key.
impl fmt::Debug for IsnGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IsnGenerator").finish_non_exhaustive()
    }
}
