//! Finds what a segment belongs to by its four-tuple: connections, half-open connections and TIME-WAIT entries.
//!
//! The table holds 4 octets an entry (5 with hashbrown's control octet); the addresses themselves stay with the
//! entries, which the caller compares. The hash is keyed, so a peer cannot choose addresses that collide.
//!
//! One hash of a tuple serves twice, since its halves tell nothing of each other: the upper one finds the tuple's place in this
//! table, and each entry keeps it; the lower one is the place of its sequence numbers ([`crate::tcp::isn`]), which the peer sees.

use core::cell::Cell;
use core::fmt;
use core::hash::Hasher;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hashbrown::HashTable;
use siphasher::sip::SipHasher24;

use crate::trace::Tuple;

/// Below this many places the table never shrinks.
const KEEP: usize = 1024;

/// The addresses and ports of a connection, ours first.
///
/// Kept as whole words, by which tuples are compared, copied and hashed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FourTuple {
    /// Our address and the peer's: of IPv4 the 32 bits of each in the first word, of IPv6 two words each.
    addresses: [u64; 4],
    /// [`IPV6`] or not, our port, the peer's.
    ports: u64,
}

/// Set in [`FourTuple::ports`]: the addresses are of IPv6.
const IPV6: u64 = 1 << 32;

impl FourTuple {
    /// Both addresses are of one family.
    #[inline(always)]
    pub(crate) fn new(local: IpAddr, local_port: u16, remote: IpAddr, remote_port: u16) -> Self {
        let ports = u32::from(local_port) << 16 | u32::from(remote_port);
        if let (IpAddr::V4(local), IpAddr::V4(remote)) = (local, remote) {
            let pair = u64::from(local.to_bits()) << 32 | u64::from(remote.to_bits());
            return FourTuple::v4(pair, ports);
        }
        FourTuple::v6(local, remote, ports)
    }
    #[inline(never)]
    fn v6(local: IpAddr, remote: IpAddr, ports: u32) -> Self {
        debug_assert!(local.is_ipv6() && remote.is_ipv6(), "{local} and {remote}");
        let words = |ip| {
            let bits = u128::from_be_bytes(as_v6(ip));
            [(bits >> 64) as u64, bits as u64]
        };
        let ([a, b], [c, d]) = (words(local), words(remote));
        FourTuple {
            addresses: [a, b, c, d],
            ports: IPV6 | u64::from(ports),
        }
    }
    /// The tuple of the IPv4 addresses `pair` and of these ports: ours in the upper halves.
    #[inline]
    pub(crate) const fn v4(pair: u64, ports: u32) -> Self {
        FourTuple {
            addresses: [pair, 0, 0, 0],
            ports: ports as u64,
        }
    }
    /// Whether this is the tuple that [`FourTuple::v4`] makes of these.
    #[inline(always)]
    pub(crate) const fn is_v4(&self, pair: u64, ports: u32) -> bool {
        self.ports == ports as u64 && self.addresses[0] == pair
    }
    /// The same with another local port.
    #[inline]
    pub(crate) const fn with_local_port(mut self, port: u16) -> Self {
        self.ports = self.ports & !0xffff_0000 | (port as u64) << 16;
        self
    }
    /// Whether the addresses are of IPv4.
    #[inline]
    pub(crate) const fn is_ipv4(&self) -> bool {
        self.ports & IPV6 == 0
    }
    /// Both addresses, ours first, if they are of IPv4.
    #[inline]
    pub(crate) const fn as_v4(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        match self.pair_v4() {
            Some(pair) => Some((
                Ipv4Addr::from_bits((pair >> 32) as u32),
                Ipv4Addr::from_bits(pair as u32),
            )),
            None => None,
        }
    }
    /// The 64 bits of both addresses, ours first, if they are of IPv4.
    #[inline]
    pub(crate) const fn pair_v4(&self) -> Option<u64> {
        match self.is_ipv4() {
            true => Some(self.addresses[0]),
            false => None,
        }
    }
    /// Our address.
    #[inline]
    pub(crate) const fn local(&self) -> IpAddr {
        let [a, b, ..] = self.addresses;
        match self.as_v4() {
            Some((local, _)) => IpAddr::V4(local),
            None => IpAddr::V6(Ipv6Addr::from_bits((a as u128) << 64 | b as u128)),
        }
    }
    /// The peer's address.
    #[inline]
    pub(crate) const fn remote(&self) -> IpAddr {
        let [.., c, d] = self.addresses;
        match self.as_v4() {
            Some((_, remote)) => IpAddr::V4(remote),
            None => IpAddr::V6(Ipv6Addr::from_bits((c as u128) << 64 | d as u128)),
        }
    }
    /// Our port.
    #[inline]
    pub(crate) const fn local_port(&self) -> u16 {
        (self.ports >> 16) as u16
    }
    /// The peer's port.
    #[inline]
    pub(crate) const fn remote_port(&self) -> u16 {
        self.ports as u16
    }
    /// Both ports, ours in the upper half.
    #[inline]
    pub(crate) const fn ports(&self) -> u32 {
        self.ports as u32
    }
    /// What finds all that is kept by port.
    #[inline]
    pub(crate) const fn ends(&self) -> Ends {
        Ends(self.ports)
    }

    /// Hands the octets that stand for this tuple to `f`: 12 for IPv4, 36 for IPv6. Different tuples have different octets.
    ///
    /// Both forms have a fixed length, so that a hash over them unrolls.
    #[inline]
    pub(crate) fn with_octets<R>(&self, f: impl Fn(&[u8]) -> R) -> R {
        let ports = self.ports();
        if let Some(pair) = self.pair_v4() {
            let mut octets = [0; 12];
            octets[..8].copy_from_slice(&pair.to_be_bytes());
            octets[8..].copy_from_slice(&ports.to_be_bytes());
            return f(&octets);
        }
        let mut octets = [0; 36];
        for (place, word) in octets.as_chunks_mut::<8>().0.iter_mut().zip(self.addresses) {
            *place = word.to_be_bytes();
        }
        octets[32..].copy_from_slice(&ports.to_be_bytes());
        f(&octets)
    }
}

/// The ports of a tuple and the family of its addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ends(u64);

impl Ends {
    /// Whether the addresses are of IPv4.
    #[inline]
    pub(crate) const fn is_ipv4(self) -> bool {
        self.0 & IPV6 == 0
    }
    /// Our port.
    #[inline]
    pub(crate) const fn local_port(self) -> u16 {
        (self.0 >> 16) as u16
    }
    /// Both ports, ours in the upper half.
    #[inline]
    pub(crate) const fn ports(self) -> u32 {
        self.0 as u32
    }
}

/// As people write it.
impl fmt::Debug for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tuple { local, remote } = Tuple::from(*self);
        write!(f, "{local} - {remote}")
    }
}

impl From<FourTuple> for Tuple {
    fn from(tuple: FourTuple) -> Tuple {
        Tuple {
            local: SocketAddr::new(tuple.local(), tuple.local_port()),
            remote: SocketAddr::new(tuple.remote(), tuple.remote_port()),
        }
    }
}

/// The 16 octets of an address; IPv4 in its mapped form.
pub(crate) fn as_v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Which collection an [`Entry`] is a slot of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A socket: connecting or connected.
    Connection,
    /// A passive open under way.
    HalfOpen,
    /// What is left of a closed connection.
    TimeWait,
}

/// A slot of one of the collections: the kind in the upper 2 bits, the slot in the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(u32);

impl Entry {
    const SLOT_BITS: u32 = 30;

    /// The entry for `slot`, which is below 2^30.
    #[inline]
    pub(crate) const fn new(kind: Kind, slot: u32) -> Entry {
        debug_assert!(slot >> Self::SLOT_BITS == 0);
        Entry((kind as u32) << Self::SLOT_BITS | slot)
    }
    /// Whether it is a socket's, as most are.
    #[inline]
    pub(crate) const fn is_connection(self) -> bool {
        self.0 >> Self::SLOT_BITS == Kind::Connection as u32
    }
    /// Which collection the slot is in.
    #[inline]
    pub(crate) const fn kind(self) -> Kind {
        match self.0 >> Self::SLOT_BITS {
            0 => Kind::Connection,
            1 => Kind::HalfOpen,
            _ => Kind::TimeWait,
        }
    }
    /// The slot in its collection.
    #[inline]
    pub(crate) const fn slot(self) -> u32 {
        self.0 & ((1 << Self::SLOT_BITS) - 1)
    }
    /// The entry as a number, for the wheel.
    #[inline]
    pub(crate) const fn raw(self) -> u32 {
        self.0
    }
    /// The entry that [`Entry::raw`] gave as a number.
    #[inline]
    pub(crate) const fn from_raw(raw: u32) -> Entry {
        Entry(raw)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({})", self.kind(), self.slot())
    }
}

/// The keyed hash of a tuple: SipHash-2-4. Its halves tell nothing of each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TupleHash(u64);

impl TupleHash {
    /// What the table needs of it.
    #[inline]
    pub(crate) const fn table(self) -> TableHash {
        TableHash((self.0 >> 32) as u32)
    }
    /// F of RFC 6528: where the sequence numbers of this tuple begin, apart from the clock.
    #[inline]
    pub(crate) const fn sequence_place(self) -> u32 {
        self.0 as u32
    }
}

/// What the table needs of the hash of a tuple. Whatever is in the table keeps its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TableHash(u32);

impl TableHash {
    /// That of no tuple.
    pub(crate) const NONE: TableHash = TableHash(0);

    /// The table takes its places from the lower bits and its tags from the highest.
    #[inline]
    fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

/// Entries by four-tuple. How many there are is bounded by the collections that they are slots of.
pub(crate) struct Demux {
    table: HashTable<u32>,
    key: [u8; 16],
    /// The last tuple of each family that was hashed: what opens a connection asks for the same one.
    recent_v4: Cell<(u64, u32, TupleHash)>,
    recent_v6: Cell<(FourTuple, TupleHash)>,
}

impl Demux {
    /// An empty table whose hash is keyed with `key`, which never leaves it.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        let nowhere = FourTuple::v6(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into(), 0);
        Demux {
            table: HashTable::new(),
            key,
            recent_v4: Cell::new((0, 0, hash_v4(&key, 0, 0))),
            recent_v6: Cell::new((nowhere, hash_v6(&key, &nowhere))),
        }
    }

    /// The hash of a tuple.
    #[inline(never)]
    pub(crate) fn hash(&self, tuple: &FourTuple) -> TupleHash {
        let Some(pair) = tuple.pair_v4() else {
            return self.hash_v6(tuple);
        };
        let (recent, ports, known) = self.recent_v4.get();
        if tuple.is_v4(recent, ports) {
            return known;
        }
        let hash = hash_v4(&self.key, pair, tuple.ports());
        self.recent_v4.set((pair, tuple.ports(), hash));
        hash
    }
    #[inline(never)]
    fn hash_v6(&self, tuple: &FourTuple) -> TupleHash {
        let (recent, known) = self.recent_v6.get();
        if recent == *tuple {
            return known;
        }
        let hash = hash_v6(&self.key, tuple);
        self.recent_v6.set((*tuple, hash));
        hash
    }

    /// The entry of this tuple; `eq` says whether a candidate has it.
    #[inline]
    pub(crate) fn find(&self, tuple: &FourTuple, eq: impl Fn(Entry) -> bool) -> Option<Entry> {
        self.table
            .find(self.hash(tuple).table().spread(), |&raw| eq(Entry(raw)))
            .map(|&raw| Entry(raw))
    }

    /// Adds an entry whose tuple has this hash and must not be in the table. `hash_of` is asked for the hashes of the entries
    /// that are in the table already when that grows or shrinks.
    pub(crate) fn insert(&mut self, hash: TableHash, entry: Entry, hash_of: impl Fn(Entry) -> TableHash) {
        let rehash = |&raw: &u32| hash_of(Entry(raw)).spread();
        let capacity = self.table.capacity();
        if capacity > KEEP && self.table.len() < capacity / 8 {
            shrink(&mut self.table, rehash);
        }
        self.table.insert_unique(hash.spread(), entry.0, rehash);
    }

    /// Removes an entry whose tuple has this hash; nothing happens if it is not there.
    pub(crate) fn remove(&mut self, hash: TableHash, entry: Entry) {
        if let Ok(found) = self.table.find_entry(hash.spread(), |&raw| raw == entry.0) {
            found.remove();
        }
        if self.table.is_empty() && self.table.capacity() > KEEP {
            self.table = HashTable::new();
        }
    }

    /// Puts `new` in the place of `old`, which has the same tuple, with this hash.
    pub(crate) fn replace(&mut self, hash: TableHash, old: Entry, new: Entry) {
        let found = self.table.find_mut(hash.spread(), |&raw| raw == old.0);
        debug_assert!(found.is_some(), "{old:?} is in the table");
        if let Some(raw) = found {
            *raw = new.0;
        }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

/// Gives back most of the room of a table in which few entries are left.
#[cold]
#[inline(never)]
fn shrink(table: &mut HashTable<u32>, rehash: impl Fn(&u32) -> u64) {
    table.shrink_to(table.capacity() / 4, rehash);
}

/// Without the key.
impl fmt::Debug for Demux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demux")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The hash of the octets that stand for the tuple of these IPv4 addresses and ports ([`FourTuple::with_octets`]).
#[inline(always)]
fn hash_v4(key: &[u8; 16], pair: u64, ports: u32) -> TupleHash {
    // Made anew, so that it is known to have taken nothing yet.
    let mut hasher = SipHasher24::new_with_key(key);
    // The same octets as two numbers: the hash need not put them together again.
    hasher.write_u64(pair.to_be());
    hasher.write_u32(ports.to_be());
    TupleHash(hasher.finish())
}

/// The hash of the octets that stand for the tuple, whose addresses are of IPv6.
fn hash_v6(key: &[u8; 16], tuple: &FourTuple) -> TupleHash {
    let hasher = SipHasher24::new_with_key(key);
    TupleHash(tuple.with_octets(|octets| hasher.hash(octets)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec::Vec;
    use std::{format, vec};

    fn tuple(local: &str, remote: &str) -> FourTuple {
        let (local, remote): (SocketAddr, SocketAddr) = (local.parse().unwrap(), remote.parse().unwrap());
        FourTuple::new(local.ip(), local.port(), remote.ip(), remote.port())
    }

    /// A distinct tuple for every number, of both families.
    fn nth(n: u32) -> FourTuple {
        let port = n as u16;
        match n % 2 {
            0 => tuple("10.0.0.1:80", &format!("10.1.{}.1:{port}", n >> 16)),
            _ => tuple("[fd00::1]:80", &format!("[fd00::{:x}]:{port}", n >> 16)),
        }
    }

    #[test]
    fn an_entry_keeps_kind_and_slot() {
        for kind in [Kind::Connection, Kind::HalfOpen, Kind::TimeWait] {
            for slot in [0, 1, (1 << 30) - 1] {
                let entry = Entry::new(kind, slot);
                assert_eq!((entry.kind(), entry.slot()), (kind, slot));
                assert_eq!(entry.is_connection(), kind == Kind::Connection);
                assert_eq!(Entry::from_raw(entry.raw()), entry);
            }
        }
        assert_eq!(size_of::<Entry>(), 4);
        assert_eq!(format!("{:?}", Entry::new(Kind::HalfOpen, 7)), "HalfOpen(7)");
    }

    #[test]
    fn every_part_of_a_tuple_counts() {
        let tuples = [
            tuple("10.0.0.1:80", "10.0.0.2:5000"),
            tuple("10.0.0.2:80", "10.0.0.1:5000"),
            tuple("10.0.0.1:5000", "10.0.0.2:80"),
            tuple("10.0.0.1:80", "10.0.0.3:5000"),
            tuple("10.0.0.1:80", "10.0.0.2:5001"),
            tuple("10.0.0.1:81", "10.0.0.2:5000"),
            tuple("[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.2]:5000"),
            tuple("[fd00::1]:80", "[fd00::2]:5000"),
            tuple("[fd00::2]:80", "[fd00::1]:5000"),
        ];
        let demux = Demux::new([1; 16]);
        for one in &tuples {
            let whole = one.with_octets(|octets| SipHasher24::new_with_key(&[1; 16]).hash(octets));
            assert_eq!(demux.hash(one), TupleHash(whole), "{one:?}");
        }
        for (i, one) in tuples.iter().enumerate() {
            for other in &tuples[..i] {
                assert_ne!(one.with_octets(<[u8]>::to_vec), other.with_octets(<[u8]>::to_vec));
                let (one, other) = (demux.hash(one), demux.hash(other));
                assert_ne!(one.table(), other.table());
                assert_ne!(one.sequence_place(), other.sequence_place());
            }
            assert_ne!(
                demux.hash(one).table(),
                Demux::new([2; 16]).hash(one).table(),
                "the key counts"
            );
        }
        assert_eq!(Tuple::from(tuples[0]).remote.to_string(), "10.0.0.2:5000");
        assert!(size_of::<FourTuple>() <= 40);
    }

    #[test]
    fn grows_and_gives_memory_back() {
        let mut demux = Demux::new([3; 16]);
        let hash = |n| Demux::new([3; 16]).hash(&nth(n)).table();
        let hash_of = |entry: Entry| hash(entry.slot());
        let find = |demux: &Demux, n| demux.find(&nth(n), |entry| nth(entry.slot()) == nth(n));
        let entry = |n| Entry::new(Kind::Connection, n);
        for n in 0..20_000 {
            demux.insert(hash(n), entry(n), hash_of);
        }
        for n in 100..20_000 {
            demux.remove(hash(n), entry(n));
        }
        assert!(demux.table.capacity() >= 20_000);
        demux.insert(hash(100), entry(100), hash_of);
        assert!(demux.table.capacity() < 20_000);
        for n in 0..200 {
            assert_eq!(find(&demux, n), (n <= 100).then_some(entry(n)));
        }
        for n in 0..=100 {
            demux.remove(hash(n), entry(n));
        }
        assert_eq!((demux.len(), demux.table.capacity()), (0, 0));
    }

    proptest! {
        /// Against a list that is searched from end to end.
        #[test]
        fn behaves_as_a_list(key in any::<[u8; 16]>(), steps in prop::collection::vec((0u32..64, 0u8..3), 1..300)) {
            let mut demux = Demux::new(key);
            let mut list: Vec<(FourTuple, Entry)> = vec![];
            let mut owners: Vec<FourTuple> = vec![]; // by slot
            for (n, what) in steps {
                let tuple = nth(n);
                let hash = demux.hash(&tuple).table();
                let known = list.iter().find(|(t, _)| *t == tuple).map(|&(_, entry)| entry);
                prop_assert_eq!(demux.find(&tuple, |e| owners[e.slot() as usize] == tuple), known);
                match (what, known) {
                    (0, Some(entry)) => {
                        demux.remove(hash, entry);
                        list.retain(|(t, _)| *t != tuple);
                        demux.remove(hash, entry); // again does nothing
                    }
                    (1.., None) => {
                        let kind = [Kind::Connection, Kind::HalfOpen, Kind::TimeWait][n as usize % 3];
                        let entry = Entry::new(kind, owners.len() as u32);
                        owners.push(tuple);
                        demux.insert(hash, entry, |e| Demux::new(key).hash(&owners[e.slot() as usize]).table());
                        list.push((tuple, entry));
                    }
                    _ => {}
                }
                prop_assert_eq!(demux.len(), list.len());
            }
        }
    }
}
