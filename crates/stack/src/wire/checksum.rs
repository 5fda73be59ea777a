//! The Internet checksum (RFC 1071), its incremental update (RFC 1624) and the pseudo-headers of TCP, UDP and ICMPv6.
//!
//! The one's complement sum does not care about byte order or grouping: words of any width may be added in the
//! machine's order, and folded at the end. So bytes are summed in wide words, in a shape that the compiler turns into
//! vector code, and swapped once.
//!
//! ```
//! use sockeye_stack::wire::checksum::{self, Sum};
//! let whole = checksum::sum(b"one piece of data");
//! let parts = Sum::ZERO.add(b"one").add(b" piece of").add(b" data");
//! assert_eq!(whole.finish(), parts.finish());
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::frame::Payload;

/// A running sum over bytes, given in parts of any length, even or odd.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    /// One's complement sum of 16-bit words in the machine's byte order, not folded; below 2^63 for any data that
    /// fits into memory, since each part adds less than 2^33.
    value: u64,
    /// An odd number of bytes came so far: the next byte is the second of its word.
    odd: bool,
}

impl Sum {
    /// The sum over nothing.
    pub const ZERO: Sum = Sum { value: 0, odd: false };

    /// The sum of words of the machine's order, added up; fewer than 2^31 of them.
    #[inline(always)]
    #[must_use]
    pub(crate) const fn of_words(value: u64) -> Sum {
        Sum { value, odd: false }
    }

    /// The sum of words of 64 bits in the machine's order, by [`add_long_word`].
    #[inline(always)]
    #[must_use]
    pub(crate) const fn of_long_words(sum: u64) -> Sum {
        Sum::of_words(wrap(sum))
    }

    /// Adds bytes behind those that came before.
    #[inline(always)]
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub fn add(self, bytes: &[u8]) -> Sum {
        let part = raw(bytes);
        let part = if self.odd { swap(part) } else { part };
        Sum {
            value: self.value + part,
            odd: self.odd ^ (bytes.len() % 2 == 1),
        }
    }

    /// Adds all slices of a payload.
    #[inline]
    #[must_use]
    pub fn add_payload(self, payload: &Payload) -> Sum {
        payload.parts().iter().fold(self, |sum, part| sum.add(part))
    }

    /// Adds another sum, whose bytes stand behind those that came before.
    #[inline]
    #[must_use]
    pub fn join(self, behind: Sum) -> Sum {
        let value = if self.odd {
            swap(behind.value)
        } else {
            behind.value
        };
        Sum {
            value: self.value + u64::from(fold(value)),
            odd: self.odd ^ behind.odd,
        }
    }

    /// Adds a 16-bit number as it would stand in the header. Only at an even position.
    #[inline]
    #[must_use]
    pub fn add_u16(self, n: u16) -> Sum {
        debug_assert!(!self.odd);
        Sum {
            value: self.value + u64::from(n.to_be()),
            ..self
        }
    }

    /// Adds a 32-bit number as it would stand in the header. Only at an even position.
    #[inline]
    #[must_use]
    pub fn add_u32(self, n: u32) -> Sum {
        debug_assert!(!self.odd);
        Sum {
            value: self.value + u64::from(n.to_be()),
            ..self
        }
    }

    /// The checksum: the complement of the sum, as the number to write in network order.
    #[inline]
    #[must_use]
    pub fn finish(self) -> u16 {
        !self.partial()
    }

    /// The checksum of a UDP datagram: zero is sent as all ones, since zero means that there is none (RFC 768).
    #[inline]
    #[must_use]
    pub fn finish_udp(self) -> u16 {
        match self.finish() {
            0 => 0xffff,
            n => n,
        }
    }

    /// The sum folded to 16 bits, not complemented: what stands in the field when a device completes the checksum.
    #[inline]
    #[must_use]
    pub fn partial(self) -> u16 {
        u16::from_be(fold(self.value))
    }

    /// Whether data that contains its checksum is intact.
    #[inline]
    #[must_use]
    pub fn verify(self) -> bool {
        is_intact(self.value)
    }
}

/// The sum over `bytes`.
#[inline]
#[must_use]
pub fn sum(bytes: &[u8]) -> Sum {
    Sum::ZERO.add(bytes)
}

/// The sum over the pseudo-header of IPv4 (RFC 9293 section 3.1). `len` counts the transport header and payload.
#[inline]
#[must_use]
pub fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: u32) -> Sum {
    Sum::ZERO
        .add_u32(u32::from_be_bytes(source.octets()))
        .add_u32(u32::from_be_bytes(destination.octets()))
        .add_u32(u32::from(protocol))
        .add_u32(len)
}

/// The sum over the pseudo-header of IPv6 (RFC 8200 section 8.1). `len` counts the transport header and payload.
#[inline]
#[must_use]
pub fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, len: u32) -> Sum {
    let words = |a: Ipv6Addr| {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = a.octets();
        u64::from(u32::from_ne_bytes([a, b, c, d]))
            + u64::from(u32::from_ne_bytes([e, f, g, h]))
            + u64::from(u32::from_ne_bytes([i, j, k, l]))
            + u64::from(u32::from_ne_bytes([m, n, o, p]))
    };
    let addresses = Sum {
        value: words(source) + words(destination),
        odd: false,
    };
    addresses.add_u32(u32::from(protocol)).add_u32(len)
}

/// The sum over the pseudo-header of either version. Addresses of different versions do not occur in one packet; the
/// result is then the sum over both, which matches nothing.
#[inline]
#[must_use]
pub fn pseudo(source: IpAddr, destination: IpAddr, protocol: u8, len: u32) -> Sum {
    match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => pseudo_v4(s, d, protocol, len),
        (IpAddr::V6(s), IpAddr::V6(d)) => pseudo_v6(s, d, protocol, len),
        (IpAddr::V4(s), IpAddr::V6(d)) => pseudo_v6(s.to_ipv6_mapped(), d, protocol, len),
        (IpAddr::V6(s), IpAddr::V4(d)) => pseudo_v6(s, d.to_ipv6_mapped(), protocol, len),
    }
}

/// The checksum after a 16-bit field at an even offset changed from `old` to `new` (RFC 1624 equation 3).
#[inline]
#[must_use]
pub fn adjust16(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = u32::from(!checksum) + u32::from(!old) + u32::from(new);
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// The checksum after a 32-bit field at an even offset changed from `old` to `new` (RFC 1624 equation 3).
#[inline]
#[must_use]
pub fn adjust32(checksum: u16, old: u32, new: u32) -> u16 {
    let once = adjust16(checksum, (old >> 16) as u16, (new >> 16) as u16);
    adjust16(once, old as u16, new as u16)
}

/// Adds to a sum of words of 64 bits in the machine's order; the carry goes round (RFC 1071 section 2 (2)).
#[inline(always)]
#[must_use]
pub(crate) const fn add_long_word(sum: u64, word: u64) -> u64 {
    let (sum, carry) = sum.overflowing_add(word);
    sum + carry as u64
}

/// Whether data that contains its checksum is intact, which [`add_long_word`] has added up.
#[inline(always)]
#[must_use]
pub(crate) fn is_intact(sum: u64) -> bool {
    fold(sum) == 0xffff
}

/// Folds a sum to 16 bits with end-around carry.
#[inline]
fn fold(n: u64) -> u16 {
    // A number added to itself with its halves exchanged: the carry out of the lower half goes round into the upper.
    let n = (n.wrapping_add(n.rotate_left(32)) >> 32) as u32;
    (n.wrapping_add(n.rotate_left(16)) >> 16) as u16
}

/// The sum as if each byte stood at the other place of its word (RFC 1071 section 2 (B)).
#[inline]
fn swap(n: u64) -> u64 {
    u64::from(fold(n).swap_bytes())
}

/// Shorter than this, setting up the vector loop costs more than it saves.
const SHORT: usize = 192;
/// Octets that one round of the loop takes: eight lanes of 32 bits.
const ROUND: usize = 32;
/// Rounds after which a lane of 32 bits could overflow: 2^16 words of at most 2^16 - 1.
const ROUNDS: usize = 1 << 16;

/// The sum of words in the machine's order, below 2^33; the last word is filled up with zeros.
#[inline]
fn raw(bytes: &[u8]) -> u64 {
    if bytes.len() < 8 {
        return raw_tiny(bytes);
    }
    raw_more(bytes)
}

#[inline(never)]
fn raw_more(bytes: &[u8]) -> u64 {
    if bytes.len() < SHORT {
        return wrap(raw_short(bytes));
    }
    raw_long(bytes)
}

#[inline]
const fn wrap(n: u64) -> u64 {
    (n & 0xffff_ffff) + (n >> 32)
}

/// Of fewer than 8 octets, without a loop or a call.
#[inline(always)]
fn raw_tiny(bytes: &[u8]) -> u64 {
    let (half, rest) = match bytes.split_first_chunk::<4>() {
        Some((half, rest)) => (u32::from_ne_bytes(*half), rest),
        None => (0, bytes),
    };
    let (word, rest) = match rest.split_first_chunk::<2>() {
        Some((word, rest)) => (u16::from_ne_bytes(*word), rest),
        None => (0, rest),
    };
    let last = rest.first().map_or(0, |&last| u16::from_ne_bytes([last, 0]));
    u64::from(half) + u64::from(word) + u64::from(last)
}

#[inline]
fn raw_short(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut total = 0_u64;
    for word in words {
        let (sum, carry) = total.overflowing_add(u64::from_ne_bytes(*word));
        total = sum + u64::from(carry);
    }
    match rest.is_empty() {
        true => wrap(total),
        false => wrap(total) + raw_tiny(rest),
    }
}

#[inline(never)]
fn raw_long(bytes: &[u8]) -> u64 {
    let (rounds, rest) = bytes.as_chunks::<ROUND>();
    let mut total = raw_short(rest);
    for block in rounds.chunks(ROUNDS) {
        let mut lanes = Lanes::default();
        for round in block {
            lanes.add(round);
        }
        total += lanes.total();
    }
    wrap(total)
}

/// Sums of the high halves of 32-bit words, and of the words modulo 2^32. The low halves' sum is the difference: one
/// operation a word less than to widen both halves, and all of it in lanes that SSE2 has.
#[derive(Default)]
struct Lanes {
    all: [u32; ROUND / 4],
    high: [u32; ROUND / 4],
}

impl Lanes {
    /// At most [`ROUNDS`] times.
    #[inline(always)]
    fn add(&mut self, round: &[u8; ROUND]) {
        let (words, _) = round.as_chunks::<4>();
        for ((all, high), word) in self.all.iter_mut().zip(&mut self.high).zip(words) {
            let word = u32::from_ne_bytes(*word);
            *all = all.wrapping_add(word);
            *high = high.wrapping_add(word >> 16);
        }
    }
    #[inline(always)]
    fn total(&self) -> u64 {
        let lanes = self.all.iter().zip(&self.high);
        lanes
            .map(|(&all, &high)| u64::from(high) + u64::from(all.wrapping_sub(high << 16)))
            .sum()
    }
}

/// Copies `from` to the front of `to`, and sums it on the way: a tenth to a quarter faster than both in turn.
///
/// # Panics
/// If `to` is shorter than `from`.
pub fn sum_and_copy(from: &[u8], to: &mut [u8]) -> Sum {
    let to = &mut to[..from.len()];
    let (rounds, rest) = from.as_chunks::<ROUND>();
    let (to_rounds, to_rest) = to.as_chunks_mut::<ROUND>();
    to_rest.copy_from_slice(rest);
    let mut total = raw_short(rest);
    for (block, to_block) in rounds.chunks(ROUNDS).zip(to_rounds.chunks_mut(ROUNDS)) {
        let mut lanes = Lanes::default();
        for (round, to_round) in block.iter().zip(to_block) {
            *to_round = *round;
            lanes.add(round);
        }
        total += lanes.total();
    }
    Sum {
        value: wrap(total),
        odd: from.len() % 2 == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use bytes::Bytes;
    use proptest::prelude::*;

    /// RFC 1071 section 4.1, word by word.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    /// RFC 1071 section 3: the bytes 00 01 f2 03 f4 f5 f6 f7 sum to ddf2.
    #[test]
    fn example_of_rfc_1071() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&data).partial(), 0xddf2);
        assert_eq!(sum(&data).finish(), 0x220d);
        assert_eq!(sum(&data[..3]).add(&data[3..]).partial(), 0xddf2);
    }

    /// RFC 1624 section 4: the case that RFC 1141 got wrong.
    #[test]
    fn example_of_rfc_1624() {
        assert_eq!(adjust16(0xdd2f, 0x5555, 0x3285), 0x0000);
        assert_eq!(adjust32(0xdd2f, 0x1234_5555, 0x1234_3285), 0x0000);
    }

    #[test]
    fn lanes_do_not_overflow() {
        for len in [ROUND * ROUNDS - 1, ROUND * ROUNDS, ROUND * ROUNDS * 2 + 33] {
            let ones = vec![0xff; len];
            assert_eq!(sum(&ones).finish(), naive(&ones));
            let mut copy = vec![0; len];
            assert_eq!(sum_and_copy(&ones, &mut copy).finish(), naive(&ones));
            assert!(copy == ones);
        }
    }

    /// Proves: 768-2.
    #[test]
    fn zero_is_sent_as_ones_in_udp() {
        assert_eq!(sum(&[0xff, 0xff]).finish(), 0);
        assert_eq!(sum(&[0xff, 0xff]).finish_udp(), 0xffff);
        assert_eq!(sum(&[0, 1]).finish_udp(), 0xfffe);
    }

    proptest! {
        /// Whatever the length, the parts and their alignment.
        ///
        /// Proves: MUST-2, MUST-3.
        #[test]
        fn agrees_with_the_naive_sum(data in prop::collection::vec(any::<u8>(), 0..700), cuts in prop::collection::vec(0usize..700, 0..5)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(data.len())).collect();
            cuts.extend([0, data.len()]);
            cuts.sort_unstable();
            let mut parts = Sum::ZERO;
            let mut joined = Sum::ZERO;
            let mut payload = Payload::new();
            let mut copy = vec![0; data.len()];
            for w in cuts.windows(2) {
                let part = &data[w[0]..w[1]];
                parts = parts.add(part);
                joined = joined.join(sum_and_copy(part, &mut copy[w[0]..]));
                payload.push(Bytes::copy_from_slice(part));
            }
            prop_assert_eq!(sum(&data).finish(), naive(&data));
            prop_assert_eq!(parts.finish(), naive(&data));
            prop_assert_eq!(joined.finish(), naive(&data));
            prop_assert_eq!(Sum::ZERO.add_payload(&payload).finish(), naive(&data));
            prop_assert_eq!(copy, data);
        }

        #[test]
        fn data_with_its_checksum_verifies(mut data in prop::collection::vec(any::<u8>(), 2..200), flip in any::<prop::sample::Index>()) {
            data[..2].fill(0);
            let sum = sum(&data).finish();
            data[..2].copy_from_slice(&sum.to_be_bytes());
            prop_assert!(super::sum(&data).verify());
            let at = flip.index(data.len());
            data[at] ^= 0x10;
            prop_assert!(!super::sum(&data).verify());
        }

        /// RFC 1624: as if computed anew.
        #[test]
        fn adjusted_as_if_computed_anew(mut data in prop::collection::vec(any::<u8>(), 8..64), at in 0usize..2, new in any::<u32>()) {
            let (before, at) = (naive(&data), at * 2);
            let old = u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
            data[at..at + 4].copy_from_slice(&new.to_be_bytes());
            // All zeros and all ones are the same number; only data that is all zeros sums to zero.
            prop_assume!(data.iter().any(|&b| b != 0));
            prop_assert_eq!(adjust32(before, old, new), naive(&data));
        }

        /// Proves: 768-1.
        #[test]
        fn pseudo_headers_as_they_are_drawn(s in any::<[u8; 16]>(), d in any::<[u8; 16]>(), protocol in any::<u8>(), len in any::<u32>()) {
            let mut v6 = Vec::new();
            v6.extend_from_slice(&s);
            v6.extend_from_slice(&d);
            v6.extend_from_slice(&len.to_be_bytes());
            v6.extend_from_slice(&[0, 0, 0, protocol]);
            prop_assert_eq!(pseudo(IpAddr::from(s), IpAddr::from(d), protocol, len).finish(), naive(&v6));
            let (s4, d4) = ([s[0], s[1], s[2], s[3]], [d[0], d[1], d[2], d[3]]);
            let mut v4 = Vec::new();
            v4.extend_from_slice(&s4);
            v4.extend_from_slice(&d4);
            v4.extend_from_slice(&[0, protocol]);
            v4.extend_from_slice(&(len as u16).to_be_bytes());
            let sum = pseudo(IpAddr::from(s4), IpAddr::from(d4), protocol, len & 0xffff);
            prop_assert_eq!(sum.finish(), naive(&v4));
        }
    }
}
