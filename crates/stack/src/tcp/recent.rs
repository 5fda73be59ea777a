//! Which entries segments have found of late: Van Jacobson's one-behind cache, for several peers whose segments take turns.

use core::fmt;

use crate::demux::{Ends, Entry, FourTuple, Kind};

/// How many are remembered: a power of two.
const PLACES: usize = 64;

/// Entries by address, each at the one place that its ports tell. Who finds one here need not compute the keyed hash. A peer
/// may choose ports that push each other out: then that is computed, as if nothing was remembered.
pub(super) struct Recent {
    places: [(FourTuple, Entry); PLACES],
}

impl Recent {
    /// Nothing is remembered.
    pub(super) const fn new() -> Recent {
        // No segment comes from nowhere, which is all that these addresses would be found by.
        let nobody = (FourTuple::v4(0, 0), Entry::new(Kind::Connection, 0));
        Recent {
            places: [nobody; PLACES],
        }
    }
    /// The entry of the tuple that [`FourTuple::v4`] makes of these.
    #[inline(always)]
    pub(super) fn find_v4(&self, pair: u64, ports: u32) -> Option<Entry> {
        let (tuple, entry) = &self.places[place(ports)];
        tuple.is_v4(pair, ports).then_some(*entry)
    }
    /// The entry of this tuple.
    #[inline]
    pub(super) fn find(&self, tuple: &FourTuple) -> Option<Entry> {
        let (known, entry) = &self.places[place(tuple.ports())];
        (known == tuple).then_some(*entry)
    }
    /// Remembers an entry.
    #[inline]
    pub(super) fn put(&mut self, tuple: &FourTuple, entry: Entry) {
        self.places[place(tuple.ports())] = (*tuple, entry);
    }
    /// Forgets an entry with these ends, which is gone.
    #[inline]
    pub(super) fn forget(&mut self, ends: Ends, entry: Entry) {
        let known = &mut self.places[place(ends.ports())];
        if known.1 == entry {
            known.0 = FourTuple::v4(0, 0);
        }
    }
    /// `to` has the tuple of `from`, with these ends, now.
    #[inline]
    pub(super) fn hand_over(&mut self, ends: Ends, from: Entry, to: Entry) {
        let known = &mut self.places[place(ends.ports())];
        if known.1 == from {
            known.1 = to;
        }
    }
}

/// Where a tuple with these ports is remembered. One of them is mostly a service's, and the other counts up.
#[inline(always)]
const fn place(ports: u32) -> usize {
    (ports ^ ports >> 16) as usize % PLACES
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn tuple(port: u16) -> FourTuple {
        FourTuple::v4(1 << 32 | 2, 80 << 16 | u32::from(port))
    }

    proptest! {
        /// What is found is always what the table has, whoever was pushed out.
        #[test]
        fn never_finds_what_is_not_there(steps in prop::collection::vec((0u16..200, 0u8..3), 1..200)) {
            let (mut recent, mut table) = (Recent::new(), BTreeMap::new());
            for (slot, (port, what)) in (0u32..).zip(steps) {
                let entry = Entry::new(Kind::Connection, slot);
                match (what, table.get(&port).copied()) {
                    (0, Some(known)) => {
                        recent.forget(tuple(port).ends(), known);
                        table.remove(&port);
                    }
                    (1, Some(known)) => {
                        recent.hand_over(tuple(port).ends(), known, entry);
                        table.insert(port, entry);
                    }
                    (_, Some(known)) => recent.put(&tuple(port), known),
                    (_, None) => {
                        recent.put(&tuple(port), entry);
                        table.insert(port, entry);
                    }
                }
                for port in 0..200 {
                    let tuple = tuple(port);
                    let found = recent.find(&tuple);
                    prop_assert!(found.is_none() || found == table.get(&port).copied());
                    prop_assert_eq!(found, recent.find_v4(1 << 32 | 2, tuple.ports()));
                }
            }
        }
    }
}
