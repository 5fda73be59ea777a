//! The choice of a local port for an outgoing connection: hard to guess, slow to repeat (RFC 6056).

use core::fmt;
use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::demux::{FourTuple, as_v6};

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
    /// The last IPv4 destination with its hash: many connections may go to one.
    recent: Option<Recent>,
}

/// Our IPv4 address and the peer's, its port, and the hash of these.
#[derive(Clone, Copy)]
struct Recent {
    addresses: u64,
    port: u16,
    hash: u64,
}

impl PortChooser {
    /// A chooser that is decided by `key`. The counters begin anywhere, as the RFC asks.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        let function = SipHasher24::new_with_key(&key);
        // One octet: shorter than any destination, so one key serves both.
        let counters = core::array::from_fn(|index| function.hash(&[index as u8]) as u32);
        PortChooser {
            function,
            counters,
            recent: None,
        }
    }

    /// Gives `tuple` a local port from `first` to `last` with which `is_free` accepts it; false if it accepts none. Each is tried
    /// at most once.
    #[inline]
    pub(crate) fn choose(
        &mut self,
        tuple: &mut FourTuple,
        first: u16,
        last: u16,
        mut is_free: impl FnMut(&FourTuple) -> bool,
    ) -> bool {
        let count = (u32::from(last) + 1).saturating_sub(u32::from(first));
        if count == 0 {
            return false;
        }
        // The two functions of the RFC, F and G, are different parts of one output.
        let hash = self.hash(tuple);
        let counter = &mut self.counters[(hash >> 56) as usize % COUNTERS];
        let mut place = (hash as u32).wrapping_add(*counter) % count;
        for _ in 0..count {
            *counter = counter.wrapping_add(1);
            *tuple = tuple.with_local_port(first + place as u16); // below first + count, which is last + 1
            if is_free(tuple) {
                return true;
            }
            place = if place + 1 == count { 0 } else { place + 1 };
        }
        false
    }

    #[inline]
    fn hash(&mut self, towards: &FourTuple) -> u64 {
        match &self.recent {
            Some(recent)
                if towards.pair_v4() == Some(recent.addresses) && towards.remote_port() == recent.port =>
            {
                recent.hash
            }
            _ => self.hash_anew(towards),
        }
    }
    #[inline(never)]
    fn hash_anew(&mut self, towards: &FourTuple) -> u64 {
        let port = towards.remote_port();
        let mut hasher = self.function;
        hasher.write(&as_v6(towards.local()));
        hasher.write(&as_v6(towards.remote()));
        hasher.write(&port.to_be_bytes());
        let hash = hasher.finish();
        self.recent = towards.pair_v4().map(|addresses| Recent {
            addresses,
            port,
            hash,
        });
        hash
    }
}

/// Without the key and the counters.
impl fmt::Debug for PortChooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortChooser").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    const FIRST: u16 = 49_152;
    const LAST: u16 = u16::MAX;

    fn towards(remote: &str, port: u16) -> FourTuple {
        let local = if remote.contains(':') {
            "fd00::1"
        } else {
            "10.0.0.1"
        };
        FourTuple::new(local.parse().unwrap(), 0, remote.parse().unwrap(), port)
    }

    fn remote(port: u16) -> FourTuple {
        towards("10.0.0.2", port)
    }

    impl PortChooser {
        fn port(
            &mut self,
            mut tuple: FourTuple,
            first: u16,
            last: u16,
            mut is_free: impl FnMut(u16) -> bool,
        ) -> Option<u16> {
            self.choose(&mut tuple, first, last, |tuple| is_free(tuple.local_port()))
                .then(|| tuple.local_port())
        }
    }

    /// RFC 6056 section 3.3.4: a port comes back only after all others of the range.
    ///
    /// Proves: 6056-1.
    #[test]
    fn one_destination_goes_through_the_range() {
        let mut chooser = PortChooser::new([1; 16]);
        let mut next = || chooser.port(remote(80), FIRST, LAST, |_| true).unwrap();
        let first = next();
        let mut seen = BTreeSet::from([first]);
        for _ in FIRST..LAST {
            assert!(seen.insert(next()));
        }
        assert_eq!(next(), first);
    }

    /// RFC 6056 section 3.1: destinations, local addresses and keys begin at places of their own.
    ///
    /// Proves: 6056-1.
    #[test]
    fn places_are_spread_and_keyed() {
        let start = |key, ip: &str, port| {
            PortChooser::new([key; 16])
                .port(towards(ip, port), FIRST, LAST, |_| true)
                .unwrap()
        };
        let starts = BTreeSet::from_iter((0..1000).map(|port| start(1, "10.0.0.2", port)));
        assert!(starts.len() > 950, "{}", starts.len());
        assert_ne!(start(1, "10.0.0.2", 80), start(2, "10.0.0.2", 80));
        assert_ne!(start(1, "10.0.0.2", 80), start(1, "10.0.0.3", 80));
        assert_ne!(start(1, "fd00::2", 80), start(1, "fd00::3", 80));
    }

    /// What one destination sees does not move on by connections to another, unless they share a counter.
    ///
    /// Proves: 6056-1.
    #[test]
    fn destinations_have_counters_of_their_own() {
        let mut chooser = PortChooser::new([1; 16]);
        let mut choose = |port| chooser.port(remote(port), FIRST, LAST, |_| true).unwrap();
        let before = choose(80);
        let moved = (1000..1100).map(&mut choose).collect::<Vec<_>>();
        assert_eq!(moved.len(), 100);
        assert!(choose(80).wrapping_sub(before) < 10);
    }

    proptest! {
        #[test]
        fn finds_a_free_port_and_tries_none_twice(
            key in any::<[u8; 16]>(), first: u16, count in 0u16..50, free in prop::collection::btree_set(0u16..50, 0..5)
        ) {
            let last = first.saturating_add(count);
            let free: BTreeSet<u16> = free.iter().map(|n| first.saturating_add(*n)).collect();
            let mut chooser = PortChooser::new(key);
            let mut tried = Vec::new();
            let chosen = chooser.port(remote(80), first, last, |port| {
                tried.push(port);
                free.contains(&port)
            });
            let distinct: BTreeSet<u16> = tried.iter().copied().collect();
            prop_assert_eq!(distinct.len(), tried.len());
            prop_assert!(tried.iter().all(|port| (first..=last).contains(port)));
            match chosen {
                Some(port) => prop_assert!(free.contains(&port)),
                None => {
                    prop_assert_eq!(tried.len(), usize::from(last - first) + 1);
                    prop_assert!(!free.iter().any(|port| (first..=last).contains(port)));
                }
            }
        }

        #[test]
        fn an_empty_range_has_no_port(first in 1u16.., key in any::<[u8; 16]>()) {
            prop_assert_eq!(PortChooser::new(key).port(remote(1), first, first - 1, |_| true), None);
        }
    }
}
