//! Where sequence numbers and timestamps begin: a clock plus a keyed function of the addresses (RFC 6528,
//! RFC 7323 section 5.4).

use core::cell::Cell;
use core::fmt;

use siphasher::sip::SipHasher24;

use super::SeqNumber;
use crate::demux::{FourTuple, as_v6};
use crate::time::Instant;

/// The initial sequence number of a connection that opens now: `ISN = M + F(tuple, key)` (SHLD-1).
///
/// M counts 4-microsecond ticks (MUST-8), so it goes round in about 4.8 hours. `place` is F: half of the hash that also finds the
/// tuple in the table ([`TupleHash`](crate::demux::TupleHash)), SipHash-2-4, which nobody can
/// compute without the key (MUST-9).
#[inline]
pub(crate) fn initial_sequence_number(now: Instant, place: u32) -> SeqNumber {
    let ticks = (now.as_micros() / 4) as u32;
    SeqNumber(ticks.wrapping_add(place))
}

/// Makes timestamp offsets.
///
/// Its key may be that of the table, too: the functions differ in the length of what they hash (12 and 36 octets there, 8 and
/// 32 octets here).
pub(crate) struct TimestampOffsets {
    function: SipHasher24,
    /// The last pair of IPv4 addresses, ours first, and its timestamp offset: many connections may have the same.
    recent: Cell<Option<(u64, u32)>>,
}

impl TimestampOffsets {
    /// A generator with its own key, which never leaves it.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        TimestampOffsets {
            function: SipHasher24::new_with_key(&key),
            recent: Cell::new(None),
        }
    }

    /// What to add to the millisecond clock for the timestamps of a connection (RFC 7323 section 5.4).
    ///
    /// It depends on the addresses only: between two hosts timestamps go up from one connection to the next, whatever
    /// the ports, which is what taking over a TIME-WAIT needs (RFC 6191); other hosts learn nothing of our uptime.
    #[inline]
    pub(crate) fn timestamp_offset(&self, tuple: &FourTuple) -> u32 {
        match self.recent.get() {
            Some((pair, known)) if tuple.pair_v4() == Some(pair) => known,
            _ => self.offset_anew(tuple),
        }
    }
    #[cold]
    #[inline(never)]
    fn offset_anew(&self, tuple: &FourTuple) -> u32 {
        if let Some(pair) = tuple.pair_v4() {
            let offset = self.function.hash(&pair.to_be_bytes()) as u32;
            self.recent.set(Some((pair, offset)));
            return offset;
        }
        let mut octets = [0; 32];
        octets[..16].copy_from_slice(&as_v6(tuple.local()));
        octets[16..].copy_from_slice(&as_v6(tuple.remote()));
        self.function.hash(&octets) as u32
    }
}

/// Without the key.
impl fmt::Debug for TimestampOffsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimestampOffsets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demux::Demux;
    use crate::time::Duration;
    use std::format;

    fn tuple(local: &str, remote: &str, remote_port: u16) -> FourTuple {
        let [local, remote] = [local, remote].map(|ip| ip.parse().unwrap());
        FourTuple::new(local, 80, remote, remote_port)
    }

    fn isn(demux: &Demux, now: Instant, tuple: &FourTuple) -> SeqNumber {
        initial_sequence_number(now, demux.hash(tuple).sequence_place())
    }

    /// One tick each 4 microseconds, whatever the tuple, round the whole circle.
    ///
    /// Proves: 6528-1, MUST-8.
    #[test]
    fn must8_the_clock_ticks_every_4_microseconds() {
        let demux = Demux::new([5; 16]);
        let start = Instant::from_secs(1000);
        for tuple in [
            tuple("10.0.0.1", "10.0.0.2", 5000),
            tuple("fd00::1", "fd00::2", 5000),
        ] {
            let first = isn(&demux, start, &tuple);
            for (later, ticks) in [
                (3, 0),
                (4, 1),
                (1_000_000, 250_000),
                (4 << 32, 0),
                (4 * ((1 << 32) + 7), 7),
            ] {
                assert_eq!(
                    isn(&demux, start + Duration::from_micros(later), &tuple).since(first),
                    ticks
                );
            }
        }
    }

    /// The place on the circle depends on every part of the tuple and on the key.
    ///
    /// Proves: 6528-1, 6528-2, MUST-9, SHLD-1.
    #[test]
    fn must9_shld1_the_function_is_keyed_and_takes_the_whole_tuple() {
        let now = Instant::from_secs(1);
        let base = tuple("10.0.0.1", "10.0.0.2", 5000);
        let demux = Demux::new([5; 16]);
        let first = isn(&demux, now, &base);
        assert_eq!(isn(&demux, now, &base), first);
        assert_ne!(isn(&Demux::new([6; 16]), now, &base), first);
        for other in [
            FourTuple::new(base.local(), base.local_port(), base.remote(), 5001),
            FourTuple::new(base.local(), 81, base.remote(), base.remote_port()),
            tuple("10.0.0.1", "10.0.0.3", 5000),
            tuple("10.0.0.4", "10.0.0.2", 5000),
            tuple("::ffff:10.0.0.1", "::ffff:10.0.0.2", 5000),
        ] {
            assert_ne!(isn(&demux, now, &other), first, "{other:?}");
        }
        assert_eq!(
            format!("{demux:?}"),
            "Demux { len: 0, .. }",
            "the key is not shown"
        );
    }

    /// Proves: 7323-5.4.
    #[test]
    fn timestamps_are_offset_by_address_pair() {
        let offsets = TimestampOffsets::new([5; 16]);
        assert_eq!(
            format!("{offsets:?}"),
            "TimestampOffsets { .. }",
            "the key is not shown"
        );
        for [local, remote, other] in [
            ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
            ["fd00::1", "fd00::2", "fd00::3"],
        ] {
            let offset = offsets.timestamp_offset(&tuple(local, remote, 5000));
            assert_eq!(offsets.timestamp_offset(&tuple(local, remote, 5001)), offset);
            assert_ne!(offsets.timestamp_offset(&tuple(local, other, 5000)), offset);
            assert_ne!(offsets.timestamp_offset(&tuple(remote, local, 5000)), offset);
            assert_ne!(
                TimestampOffsets::new([6; 16]).timestamp_offset(&tuple(local, remote, 5000)),
                offset
            );
        }
    }
}
