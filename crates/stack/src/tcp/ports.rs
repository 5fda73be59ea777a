//! Ports for outgoing connections: double hashing (RFC 6056 section 3.3.4, algorithm 4).

use alloc::boxed::Box;
use core::hash::Hasher;
use core::ops::RangeInclusive;
use siphasher::sip::SipHasher24;

use crate::demux::FourTuple;
use crate::rng::Rng;

/// Counters; more would separate destinations better, at two octets each.
const TABLE_LEN: usize = 1024;

/// Chooses local ports that an outsider cannot predict, while ports to one destination come one after another, so that
/// a port is not used again soon.
#[derive(Debug)]
pub(crate) struct PortChooser {
    /// F and G of the RFC: one function, told apart by a first octet.
    function: SipHasher24,
    table: Box<[u16; TABLE_LEN]>,
}

impl PortChooser {
    /// With a key of its own; `rng` sets where the counters begin.
    pub(crate) fn new(key: [u8; 16], rng: &mut Rng) -> Self {
        let mut table = Box::new([0; TABLE_LEN]);
        table
            .iter_mut()
            .for_each(|counter| *counter = rng.next_u32() as u16);
        PortChooser {
            function: SipHasher24::new_with_key(&key),
            table,
        }
    }
    /// A port of `range` for which `is_free` says yes, or `None` if there is none; each port is asked about at most
    /// once. The tuple's local port is not looked at.
    pub(crate) fn choose(
        &mut self,
        tuple: &FourTuple,
        range: RangeInclusive<u16>,
        mut is_free: impl FnMut(u16) -> bool,
    ) -> Option<u16> {
        let ports = u64::from(range.end().checked_sub(*range.start())?) + 1;
        let tuple = FourTuple {
            local_port: 0,
            ..*tuple
        };
        let offset = self.hash(0, &tuple);
        let counter = &mut self.table[(self.hash(1, &tuple) % TABLE_LEN as u64) as usize];
        let offset = offset % ports;
        for _ in 0..ports {
            let step = (offset + u64::from(*counter)) % ports;
            *counter = ((u64::from(*counter) + 1) % ports) as u16;
            let port = range.start() + step as u16;
            if is_free(port) {
                return Some(port);
            }
        }
        None
    }

    fn hash(&self, function: u8, tuple: &FourTuple) -> u64 {
        let mut hasher = self.function;
        hasher.write_u8(function);
        hasher.write(tuple.to_bytes().as_slice());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::net::Ipv4Addr;
    use std::collections::BTreeSet;

    fn chooser() -> PortChooser {
        PortChooser::new([1; 16], &mut Rng::new([1; 32]))
    }
    fn to(host: u8) -> FourTuple {
        FourTuple {
            local: Ipv4Addr::new(10, 0, 0, 1).into(),
            local_port: 0,
            remote: Ipv4Addr::new(10, 0, 0, host).into(),
            remote_port: 80,
        }
    }

    #[test]
    fn every_port_is_used_before_one_comes_again() {
        let mut chooser = chooser();
        let range = 50_000..=50_099;
        let ports: Vec<_> = (0..100)
            .map(|_| chooser.choose(&to(2), range.clone(), |_| true).unwrap())
            .collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 100);
        assert!(ports.iter().all(|port| range.contains(port)));
    }

    #[test]
    fn the_last_free_port_is_found_and_none_is_asked_twice() {
        let mut chooser = chooser();
        for range in [49_152..=65_535, 0..=65_535, 7..=7] {
            let wanted = *range.end();
            assert_eq!(
                chooser.choose(&to(2), range.clone(), |port| port == wanted),
                Some(wanted)
            );
            let mut asked = BTreeSet::new();
            assert_eq!(
                chooser.choose(&to(2), range.clone(), |port| !asked.insert(port)),
                None
            );
            assert_eq!(asked.len(), range.count());
        }
        #[allow(clippy::reversed_empty_ranges)]
        let nothing = 9..=8;
        assert_eq!(chooser.choose(&to(2), nothing, |_| true), None);
    }

    #[test]
    fn destinations_and_keys_begin_elsewhere() {
        let mut chooser = chooser();
        let first: BTreeSet<_> = (2..50)
            .map(|host| chooser.choose(&to(host), 49_152..=65_535, |_| true))
            .collect();
        assert!(first.len() > 40, "{first:?}");
        let mut other = PortChooser::new([2; 16], &mut Rng::new([1; 32]));
        assert!(!first.contains(&other.choose(&to(2), 49_152..=65_535, |_| true)));
    }
}
