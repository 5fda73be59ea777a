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
