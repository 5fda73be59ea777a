//! Initial sequence numbers (RFC 6528).

use siphasher::sip::SipHasher24;

use super::seq::SeqNumber;
use crate::demux::FourTuple;
use crate::time::Instant;

/// Chooses initial sequence numbers: ISN = M + F(localip, localport, remoteip, remoteport, secretkey) (SHLD-1).
///
/// M is a clock of 4 microseconds (MUST-8), so that a connection that comes again goes on where the old one could not
/// have been; F is SipHash-2-4, which nobody without the key can compute (MUST-9).
#[derive(Clone, Debug)]
pub(crate) struct IsnGenerator {
    function: SipHasher24,
}

impl IsnGenerator {
    /// With a key of its own.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        IsnGenerator {
            function: SipHasher24::new_with_key(&key),
        }
    }
    /// The initial sequence number of a connection opened now.
    pub(crate) fn isn(&self, now: Instant, tuple: &FourTuple) -> SeqNumber {
        let clock = (now.as_nanos() / 4_000) as u32;
        let offset = self.function.hash(tuple.to_bytes().as_slice()) as u32;
        SeqNumber(clock.wrapping_add(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn tuple(port: u16) -> FourTuple {
        FourTuple {
            local: Ipv4Addr::new(10, 0, 0, 1).into(),
            local_port: port,
            remote: Ipv4Addr::new(10, 0, 0, 2).into(),
            remote_port: 80,
        }
    }

    /// MUST-8: one step in 4 microseconds, once around in 4.77 hours.
    #[test]
    fn the_clock_drives_it() {
        let isn = IsnGenerator::new([1; 16]);
        let start = isn.isn(Instant::ZERO, &tuple(1000));
        assert_eq!(isn.isn(Instant::from_nanos(3_999), &tuple(1000)), start);
        assert_eq!(isn.isn(Instant::from_micros(4), &tuple(1000)), start + 1);
        assert_eq!(isn.isn(Instant::from_secs(1), &tuple(1000)), start + 250_000);
        assert_eq!(isn.isn(Instant::from_nanos(4_000 << 32), &tuple(1000)), start);
    }

    /// MUST-9, SHLD-1: the offset depends on the tuple and the key.
    #[test]
    fn tuples_and_keys_differ() {
        let one = IsnGenerator::new([1; 16]);
        let other = IsnGenerator::new([2; 16]);
        let now = Instant::ZERO;
        assert_ne!(one.isn(now, &tuple(1000)), one.isn(now, &tuple(1001)));
        assert_ne!(one.isn(now, &tuple(1000)), other.isn(now, &tuple(1000)));
    }
}
