//! IP identification: what tells the fragments of one datagram from those of another.

use alloc::boxed::Box;
use core::hash::Hasher;
use core::net::IpAddr;
use siphasher::sip::SipHasher13;

use super::address::bits;

/// Counters; destinations share them by hash.
const COUNTERS: usize = 1024;

/// Identification numbers. Where fragments may occur, counters hashed by destination and offset by a secret hash of
/// both addresses (RFC 7739 section 5.3): neighbours in the sequence cannot be told by who talks to other hosts.
/// Datagrams that are never fragmented (RFC 6864's atomic datagrams) need no identification; theirs just varies.
#[derive(Debug)]
pub(super) struct Identifications {
    key: [u8; 16],
    counters: Option<Box<[u32; COUNTERS]>>,
    atomic: u64,
}

impl Identifications {
    pub(super) fn new(key: [u8; 16]) -> Self {
        let mut h = SipHasher13::new_with_key(&key);
        h.write_u8(1);
        Identifications {
            key,
            counters: None,
            atomic: h.finish(),
        }
    }
    /// For a datagram that must not be fragmented: varies, and is never zero.
    #[inline]
    pub(super) fn atomic(&mut self) -> u16 {
        // Knuth's MMIX generator; only the high bits are shown, and nothing depends on their secrecy.
        self.atomic = self
            .atomic
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.atomic >> 48) as u16).max(1)
    }
    /// For a datagram whose fragments meet those of others between the same addresses.
    pub(super) fn next(&mut self, source: IpAddr, destination: IpAddr, protocol: u8) -> u32 {
        let mut h = SipHasher13::new_with_key(&self.key);
        h.write_u128(bits(source));
        h.write_u128(bits(destination));
        h.write_u8(protocol);
        let hash = h.finish();
        let counters = self.counters.get_or_insert_with(|| Box::new([0; COUNTERS]));
        let counter = &mut counters[hash as usize % COUNTERS];
        *counter = counter.wrapping_add(1);
        ((hash >> 32) as u32).wrapping_add(*counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successive_numbers_differ_and_destinations_do_not_share_a_sequence() {
        let mut ids = Identifications::new([3; 16]);
        let host = |n: u8| IpAddr::from([192, 0, 2, n]);
        let a: [u32; 3] = core::array::from_fn(|_| ids.next(host(1), host(2), 17));
        assert_eq!((a[1].wrapping_sub(a[0]), a[2].wrapping_sub(a[1])), (1, 1));
        let b = ids.next(host(1), host(3), 17);
        assert!(b.wrapping_sub(a[2]) > 16);
        assert!((0..100_000).all(|_| ids.atomic() != 0));
    }
}
