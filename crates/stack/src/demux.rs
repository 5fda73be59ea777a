//! Demultiplexing: from the addresses of a packet to the socket, in constant time.
//!
//! [`Demux`] finds connections by their 4-tuple, [`Listeners`] finds who listens where no connection is, and knows
//! which local addresses can be bound.

mod listeners;

pub(crate) use listeners::{Binding, Listeners};

use core::net::IpAddr;
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

/// The addresses of a connection, seen from here. Both addresses are of one family; IPv4-mapped ones are IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(crate) struct FourTuple {
    /// Our address.
    pub(crate) local: IpAddr,
    /// Our port.
    pub(crate) local_port: u16,
    /// The peer's address.
    pub(crate) remote: IpAddr,
    /// The peer's port.
    pub(crate) remote_port: u16,
}

/// A 4-tuple as octets, for keyed hashes: 12 for IPv4, 36 for IPv6.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TupleBytes {
    bytes: [u8; 36],
    len: u8,
}

impl TupleBytes {
    /// The octets.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl FourTuple {
    /// The tuple as octets. Different tuples give different octets.
    #[inline]
    pub(crate) fn to_bytes(self) -> TupleBytes {
        let mut bytes = [0; 36];
        let len = match (self.local, self.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                bytes[4..8].copy_from_slice(&local.octets());
                bytes[8..12].copy_from_slice(&remote.octets());
                12
            }
            (local, remote) => {
                bytes[4..20].copy_from_slice(&sixteen(local));
                bytes[20..36].copy_from_slice(&sixteen(remote));
                36
            }
        };
        bytes[..2].copy_from_slice(&self.local_port.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.remote_port.to_be_bytes());
        TupleBytes { bytes, len }
    }
}

fn sixteen(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// What a 4-tuple leads to: a slot in the arena of its kind. Slots are below 2^30.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(crate) enum Target {
    /// A connection, from SYN-SENT or ESTABLISHED on.
    Connection(u32),
    /// A half-open connection (SYN-RECEIVED).
    HalfOpen(u32),
    /// A connection in TIME-WAIT.
    TimeWait(u32),
}

/// A target in 32 bits: the kind in the upper two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Packed(u32);

const SLOT_BITS: u32 = 30;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;

impl Target {
    #[inline]
    fn pack(self) -> Packed {
        let (kind, slot) = match self {
            Target::Connection(slot) => (0, slot),
            Target::HalfOpen(slot) => (1, slot),
            Target::TimeWait(slot) => (2, slot),
        };
        debug_assert!(slot <= SLOT_MASK);
        Packed(kind << SLOT_BITS | slot)
    }
}
impl Packed {
    #[inline]
    fn unpack(self) -> Target {
        let slot = self.0 & SLOT_MASK;
        match self.0 >> SLOT_BITS {
            0 => Target::Connection(slot),
            1 => Target::HalfOpen(slot),
            _ => Target::TimeWait(slot),
        }
    }
}

/// Connections by 4-tuple: 4 octets and a hash tag each.
///
/// The tuple itself stands only in what the target owns; callers say how to get at it. The hash is SipHash-1-3 with a
/// key from the seed, so peers cannot choose tuples that collide. Nothing here is ever iterated.
#[derive(Debug)]
pub(crate) struct Demux {
    table: HashTable<Packed>,
    hasher: SipHasher13,
}

impl Demux {
    /// An empty table with its key.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Demux {
            table: HashTable::new(),
            hasher: SipHasher13::new_with_key(&key),
        }
    }
    /// How many targets there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
    /// The keyed hash of a tuple; also spreads connections over listeners that share a port.
    #[inline]
    pub(crate) fn hash(&self, tuple: &FourTuple) -> u64 {
        self.hasher.hash(tuple.to_bytes().as_slice())
    }
    /// The target of `tuple`; `eq` says whether a candidate has this tuple.
    #[inline]
    pub(crate) fn find(&self, tuple: &FourTuple, eq: impl Fn(Target) -> bool) -> Option<Target> {
        let found = self.table.find(self.hash(tuple), |packed| eq(packed.unpack()))?;
        Some(found.unpack())
    }
    /// Adds a target for a tuple that has none. `tuple_of` gives the tuple of any target already here, for when the table
    /// grows.
    pub(crate) fn insert(
        &mut self,
        tuple: &FourTuple,
        target: Target,
        tuple_of: impl Fn(Target) -> FourTuple,
    ) {
        let hasher = self.hasher;
        self.table
            .insert_unique(self.hash(tuple), target.pack(), |packed| {
                hasher.hash(tuple_of(packed.unpack()).to_bytes().as_slice())
            });
    }
    /// Puts `new` in the place of `old`: the tuple goes from half-open to connection, or on to TIME-WAIT. Says whether
    /// `old` was there.
    pub(crate) fn replace(&mut self, tuple: &FourTuple, old: Target, new: Target) -> bool {
        let hash = self.hash(tuple);
        match self.table.find_mut(hash, |packed| *packed == old.pack()) {
            Some(place) => {
                *place = new.pack();
                true
            }
            None => false,
        }
    }
    /// Removes `target`, which has `tuple`. Says whether it was there.
    pub(crate) fn remove(&mut self, tuple: &FourTuple, target: Target) -> bool {
        let hash = self.hash(tuple);
        match self.table.find_entry(hash, |packed| *packed == target.pack()) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn tuple(n: u32) -> FourTuple {
        let v6 = n % 2 == 1;
        let address = |last: u32| -> IpAddr {
            if v6 {
                core::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last as u16).into()
            } else {
                core::net::Ipv4Addr::new(10, 0, 0, last as u8).into()
            }
        };
        FourTuple {
            local: address(n / 2 % 3),
            local_port: (n / 6 % 3) as u16,
            remote: address(n / 18 % 3),
            remote_port: (n / 54) as u16,
        }
    }

    #[test]
    fn octets_tell_tuples_apart() {
        let all: std::collections::BTreeSet<Vec<u8>> = (0..1000)
            .map(|n| tuple(n).to_bytes().as_slice().to_vec())
            .collect();
        assert_eq!(all.len(), 1000);
        assert_eq!((tuple(0).to_bytes().len, tuple(1).to_bytes().len), (12, 36));
    }

    #[test]
    fn targets_pack() {
        for target in [
            Target::Connection(0),
            Target::HalfOpen(SLOT_MASK),
            Target::TimeWait(77),
        ] {
            assert_eq!(target.pack().unpack(), target);
        }
        assert_eq!(size_of::<Packed>(), 4);
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(ops in prop::collection::vec((0u8..4, 0u32..200), 0..300)) {
            let mut demux = Demux::new([7; 16]);
            let mut model: BTreeMap<u32, Target> = BTreeMap::new();
            // Targets keep their tuple's number as slot, so that it can be found from them.
            let number = |target: Target| match target {
                Target::Connection(n) | Target::HalfOpen(n) | Target::TimeWait(n) => n,
            };
            for (op, n) in ops {
                let key = tuple(n);
                let found = demux.find(&key, |t| tuple(number(t)) == key);
                prop_assert_eq!(found, model.get(&n).copied());
                match (op, found) {
                    (0 | 1, None) => {
                        demux.insert(&key, Target::HalfOpen(n), |t| tuple(number(t)));
                        model.insert(n, Target::HalfOpen(n));
                    }
                    (0 | 1, Some(old)) => {
                        prop_assert!(demux.replace(&key, old, Target::TimeWait(n)));
                        model.insert(n, Target::TimeWait(n));
                    }
                    (_, Some(old)) => {
                        prop_assert!(demux.remove(&key, old));
                        prop_assert!(!demux.remove(&key, old));
                        model.remove(&n);
                    }
                    (_, None) => prop_assert!(!demux.replace(&key, Target::Connection(n), Target::TimeWait(n))),
                }
                prop_assert_eq!(demux.len(), model.len());
            }
        }
    }
}
