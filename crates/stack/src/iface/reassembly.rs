//! Putting fragments together again (RFC 791 section 3.2, RFC 8200 section 4.5, RFC 5722).
//!
//! ```text
//!   datagram: quote = headers of the first fragment      pieces, sorted by offset, never overlapping
//!             ┌──────────────────────┐                   ┌────────┐        ┌──────────────┐
//!             │ IP header (and more) │                   │ 0..552 │  hole  │ 1104..1656   │ ...
//!             └──────────────────────┘                   └────────┘        └──────────────┘
//! ```
//!
//! Bounds: all datagrams together hold at most `reassembly_max` octets, bookkeeping counted; one datagram at most
//! 65,535 octets in [`PIECES_MAX`] pieces. When the store is full, the datagram that was begun first goes, since what
//! it lacks is least likely to come still. Pieces are copied to buffers of their size, so that a fragment of eight
//! octets does not hold a frame of 64 KiB.
//!
//! Pieces that overlap condemn their datagram, in both families: its pieces are dropped, and so is whatever of it
//! comes later (RFC 5722). An exact repetition of a piece is ignored, which RFC 8200 allows.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::Hasher;
use core::net::IpAddr;
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::address::bits;
use crate::InterfaceId;
use crate::frame::Payload;
use crate::time::{Duration, Instant};
use crate::trace::DropReason;

/// Pieces of one datagram: 65,515 octets in pieces of 48, as a link of the smallest MTU, 68, makes them.
const PIECES_MAX: usize = 1366;
/// What a datagram counts beside its octets.
const DATAGRAM_COST: usize = 256;
/// What a piece counts beside its octets.
const PIECE_COST: usize = 64;

/// Which datagram a fragment belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) id: u32,
    /// IPv4's protocol; 0 for IPv6, where it does not count.
    pub(super) protocol: u8,
    pub(super) interface: InterfaceId,
}

/// One fragment, checked for itself: it ends within 65,535 and only the last may have an odd length.
#[derive(Debug)]
pub(super) struct Fragment<'a> {
    pub(super) offset: usize,
    pub(super) more: bool,
    /// The headers as they came, fragment header included; kept of the first fragment.
    pub(super) quote: &'a [u8],
    /// How much of `quote` stands before the payload when the datagram is whole (IPv6: without fragment header).
    pub(super) keep: usize,
    /// Octet of the kept headers to overwrite when whole (IPv6: the next-header field that named the fragment header).
    pub(super) patch: Option<(usize, u8)>,
    /// The two ECN bits (RFC 3168).
    pub(super) ecn: u8,
    pub(super) payload: Payload,
}

/// What became of a fragment.
#[derive(Debug)]
#[must_use]
pub(super) enum Outcome {
    /// Kept; others are missing.
    Waiting,
    /// All are there: headers (lengths still those of the first fragment) and payload, how many octets are headers, and
    /// the ECN bits to write.
    Whole {
        packet: Vec<u8>,
        headers: usize,
        ecn: u8,
    },
    Dropped(DropReason),
}

/// A datagram that did not become whole in time.
#[derive(Debug)]
pub(super) struct Expired {
    pub(super) key: Key,
    /// The first fragment as it came, if it did: the ICMP error quotes it.
    pub(super) first: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Piece {
    start: usize,
    bytes: Box<[u8]>,
}

#[derive(Debug)]
struct Datagram {
    key: Key,
    pieces: Vec<Piece>,
    held: usize,
    /// Known once the last fragment is here.
    total: Option<usize>,
    quote: Box<[u8]>,
    keep: usize,
    patch: Option<(usize, u8)>,
    /// Bit n: a fragment with ECN value n came.
    ecn: u8,
    /// Overlapped: everything of it is dropped until its time is over.
    condemned: bool,
}

impl Datagram {
    fn cost(&self) -> usize {
        DATAGRAM_COST + self.quote.len() + self.held + self.pieces.len() * PIECE_COST
    }
}

/// The store of unfinished datagrams.
#[derive(Debug)]
pub(super) struct Reassembly {
    key: [u8; 16],
    slots: Vec<Option<Datagram>>,
    free: Vec<u32>,
    table: HashTable<u32>,
    /// Order of beginning, which is also the order of expiry; finished ones are skipped by their serial number.
    order: VecDeque<(Instant, u32, u64)>,
    serials: Vec<u64>,
    next_serial: u64,
    cost: usize,
}

fn hash(secret: &[u8; 16], key: &Key) -> u64 {
    let mut h = SipHasher13::new_with_key(secret);
    h.write_u128(bits(key.source));
    h.write_u128(bits(key.destination));
    h.write_u32(key.id);
    h.write_u32(u32::from(key.protocol) << 16 | u32::from(key.interface.0));
    h.finish()
}

impl Reassembly {
    pub(super) fn new(key: [u8; 16]) -> Self {
        Reassembly {
            key,
            slots: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            order: VecDeque::new(),
            serials: Vec::new(),
            next_serial: 0,
            cost: 0,
        }
    }

    /// Octets held, bookkeeping counted.
    #[cfg(test)]
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Whether no time is waited for.
    #[inline]
    pub(super) fn is_timeless(&self) -> bool {
        self.order.is_empty()
    }
    /// When the oldest datagram expires.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.order.front().map(|o| o.0)
    }

    /// Takes a fragment. `dropped` hears of datagrams that had to make room.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        timeout: Duration,
        max: usize,
        key: Key,
        fragment: Fragment<'_>,
        mut evicted: impl FnMut(),
    ) -> Outcome {
        let slot = self.find_or_begin(now, timeout, key);
        let Some(datagram) = self.slots[slot as usize].as_mut() else {
            return Outcome::Dropped(DropReason::FragmentsFull);
        };
        let before = datagram.cost();
        let taken = datagram.take(fragment);
        self.cost = self.cost - before + datagram.cost();
        match taken {
            Ok(Taken::Waiting) => {}
            Ok(Taken::Whole) => return self.finish(slot),
            Err(reason) => return Outcome::Dropped(reason),
        }
        while self.cost > max {
            match self.oldest() {
                Some(oldest) => {
                    self.remove(oldest);
                    if oldest == slot {
                        return Outcome::Dropped(DropReason::FragmentsFull);
                    }
                    evicted();
                }
                None => break,
            }
        }
        Outcome::Waiting
    }

    /// Takes one datagram whose time is over, if there is one. Call until `None`.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Expired> {
        let &(at, slot, _) = self.order.front()?;
        if at > now {
            return None;
        }
        let gone = self.remove(slot)?;
        let first = gone
            .pieces
            .first()
            .filter(|p| p.start == 0 && !gone.condemned)
            .map(|p| {
                let mut v = gone.quote.to_vec();
                v.extend_from_slice(&p.bytes);
                v
            });
        Some(Expired { key: gone.key, first })
    }

    fn find_or_begin(&mut self, now: Instant, timeout: Duration, key: Key) -> u32 {
        let h = hash(&self.key, &key);
        let slots = &self.slots;
        let same = |&s: &u32| slots[s as usize].as_ref().is_some_and(|d| d.key == key);
        if let Some(&slot) = self.table.find(h, same) {
            return slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.serials.push(0);
            self.slots.len() as u32 - 1
        });
        let datagram = Datagram {
            key,
            pieces: Vec::new(),
            held: 0,
            total: None,
            quote: Box::default(),
            keep: 0,
            patch: None,
            ecn: 0,
            condemned: false,
        };
        self.cost += datagram.cost();
        self.slots[slot as usize] = Some(datagram);
        self.next_serial += 1;
        self.serials[slot as usize] = self.next_serial;
        self.order.push_back((now + timeout, slot, self.next_serial));
        let (slots, secret) = (&self.slots, &self.key);
        self.table.insert_unique(h, slot, |&s| {
            slots[s as usize].as_ref().map_or(0, |d| hash(secret, &d.key))
        });
        slot
    }

    fn oldest(&self) -> Option<u32> {
        self.order.front().map(|o| o.1)
    }

    fn remove(&mut self, slot: u32) -> Option<Datagram> {
        let datagram = self.slots[slot as usize].take()?;
        self.cost -= datagram.cost();
        self.free.push(slot);
        self.serials[slot as usize] = 0;
        if let Ok(entry) = self
            .table
            .find_entry(hash(&self.key, &datagram.key), |&s| s == slot)
        {
            entry.remove();
        }
        // The front is always alive, so that the next deadline is real.
        while let Some(&(_, slot, serial)) = self.order.front() {
            if self.serials[slot as usize] == serial {
                break;
            }
            self.order.pop_front();
        }
        if self.order.len() > 64 && self.order.len() > 4 * self.table.len() {
            let serials = &self.serials;
            self.order
                .retain(|&(_, slot, serial)| serials[slot as usize] == serial);
        }
        Some(datagram)
    }

    fn finish(&mut self, slot: u32) -> Outcome {
        let Some(d) = self.remove(slot) else {
            return Outcome::Waiting;
        };
        // RFC 3168 section 5.3: congestion seen by any fragment counts for the whole; CE beside Not-ECT is impossible.
        let (not_ect, ce) = (d.ecn & 0b0001 != 0, d.ecn & 0b1000 != 0);
        if not_ect && ce {
            return Outcome::Dropped(DropReason::BadFragment);
        }
        let ecn = if ce { 3 } else { d.ecn.trailing_zeros() as u8 & 3 };
        let mut packet = Vec::with_capacity(d.keep + d.held);
        packet.extend_from_slice(&d.quote[..d.keep]);
        if let Some((at, value)) = d.patch
            && let Some(octet) = packet.get_mut(at)
        {
            *octet = value;
        }
        for piece in &d.pieces {
            packet.extend_from_slice(&piece.bytes);
        }
        Outcome::Whole {
            packet,
            headers: d.keep,
            ecn,
        }
    }
}

enum Taken {
    Waiting,
    Whole,
}

impl Datagram {
    /// Frees what it holds; what comes later is dropped too.
    fn condemn(&mut self) -> DropReason {
        self.condemned = true;
        self.pieces = Vec::new();
        self.quote = Box::default();
        self.held = 0;
        DropReason::BadFragment
    }

    fn take(&mut self, f: Fragment<'_>) -> Result<Taken, DropReason> {
        let (start, end) = (f.offset, f.offset + f.payload.len());
        if self.condemned || start == end {
            return Err(DropReason::BadFragment);
        }
        let at = self.pieces.partition_point(|p| p.start < start);
        if let Some(p) = self.pieces.get(at)
            && p.start == start
            && *p.bytes == *f.payload.to_bytes()
            && f.more == (self.total != Some(end))
        {
            return Err(DropReason::Duplicate);
        }
        let before_ends = at
            .checked_sub(1)
            .map_or(0, |i| self.pieces[i].start + self.pieces[i].bytes.len());
        let after_starts = self.pieces.get(at).map_or(usize::MAX, |p| p.start);
        let beyond_total = self.total.is_some_and(|t| end > t || !f.more);
        let before_known = !f.more && self.pieces.last().is_some_and(|p| p.start >= start);
        if before_ends > start || after_starts < end || beyond_total || before_known {
            return Err(self.condemn());
        }
        if self.pieces.len() >= PIECES_MAX {
            return Err(self.condemn());
        }
        if start == 0 {
            self.quote = f.quote.into();
            self.keep = f.keep.min(f.quote.len());
            self.patch = f.patch;
        }
        if !f.more {
            self.total = Some(end);
        }
        self.ecn |= 1 << (f.ecn & 3);
        self.held += end - start;
        let bytes = f.payload.to_vec().into_boxed_slice();
        self.pieces.insert(at, Piece { start, bytes });
        // Pieces never overlap, so the sum says whether there is a hole.
        Ok(if self.total == Some(self.held) {
            Taken::Whole
        } else {
            Taken::Waiting
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec;

    const MAX: usize = 1 << 20;
    const TIMEOUT: Duration = Duration::from_secs(60);

    fn key(id: u32) -> Key {
        Key {
            source: Ipv4Addr::new(192, 0, 2, 1).into(),
            destination: Ipv4Addr::new(192, 0, 2, 2).into(),
            id,
            protocol: 17,
            interface: InterfaceId(0),
        }
    }
    fn fragment(offset: usize, more: bool, bytes: &[u8]) -> Fragment<'static> {
        Fragment {
            offset,
            more,
            quote: &[0x45; 20],
            keep: 20,
            patch: None,
            ecn: 0,
            payload: Payload::from(bytes.to_vec()),
        }
    }
    fn put(store: &mut Reassembly, at: u64, id: u32, f: Fragment<'_>) -> Outcome {
        store.insert(Instant::from_secs(at), TIMEOUT, MAX, key(id), f, || {})
    }

    /// The naive model: a map from octet to value; any disagreement about an octet, or about the end, condemns.
    #[derive(Default)]
    struct Model {
        octets: BTreeMap<usize, u8>,
        pieces: Vec<(usize, Vec<u8>, bool)>,
        end: Option<usize>,
        condemned: bool,
    }
    impl Model {
        fn take(&mut self, offset: usize, more: bool, bytes: &[u8]) -> Option<Vec<u8>> {
            if self.condemned
                || self
                    .pieces
                    .iter()
                    .any(|p| (p.0, &p.1[..], p.2) == (offset, bytes, more))
            {
                return None;
            }
            let end = offset + bytes.len();
            let overlaps = (offset..end).any(|i| self.octets.contains_key(&i));
            let ends = if more { self.end } else { Some(end) };
            let beyond = ends.is_some_and(|e| end > e || self.octets.keys().any(|&k| k >= e));
            if overlaps || beyond || (!more && self.end.is_some()) {
                self.condemned = true;
                return None;
            }
            self.end = ends;
            self.octets.extend((offset..end).zip(bytes.iter().copied()));
            self.pieces.push((offset, bytes.to_vec(), more));
            (self.end == Some(self.octets.len())).then(|| self.octets.values().copied().collect())
        }
    }

    proptest! {
        /// Proves: 1122-3.3.2a.
        #[test]
        fn agrees_with_a_map_of_octets(
            len in 1usize..200,
            cuts in proptest::collection::vec((0usize..25, 1usize..8, any::<bool>(), 0u8..20), 1..40),
        ) {
            let whole: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let (mut store, mut model) = (Reassembly::new([7; 16]), Model::default());
            let pieces = (0..len.div_ceil(24)).map(|i| (3 * i, 3, false, 1));
            for (start, count, lies, value) in cuts.into_iter().chain(pieces) {
                let start = (start * 8).min((len - 1) / 8 * 8);
                let end = (start + count * 8).min(len);
                let mut bytes = whole[start..end].to_vec();
                if value == 0 {
                    bytes[0] ^= 0xff;
                }
                let more = (end != len) != (lies && value < 3);
                let want = model.take(start, more, &bytes);
                match store.insert(Instant::ZERO, TIMEOUT, MAX, key(1), fragment(start, more, &bytes), || {}) {
                    Outcome::Whole { packet, headers, .. } => {
                        prop_assert_eq!(Some(packet[headers..].to_vec()), want);
                        model = Model::default();
                    }
                    _ => prop_assert_eq!(None, want),
                }
            }
        }

        #[test]
        fn never_holds_more_than_its_bound(
            pieces in proptest::collection::vec((0u32..50, 0usize..100, any::<bool>(), 1usize..100), 1..300)
        ) {
            let mut store = Reassembly::new([1; 16]);
            for (i, (id, offset, more, len)) in pieces.into_iter().enumerate() {
                let f = fragment(offset * 8, more, &vec![0; len * 8]);
                let _ = store.insert(Instant::from_secs(i as u64), TIMEOUT, 4096, key(id), f, || {});
                prop_assert!(store.cost() <= 4096);
                prop_assert_eq!(store.table.len(), store.slots.iter().flatten().count());
                let cost: usize = store.slots.iter().flatten().map(Datagram::cost).sum();
                prop_assert_eq!(store.cost(), cost);
            }
            while store.expire(Instant::from_secs(100_000)).is_some() {}
            prop_assert_eq!(store.cost(), 0);
            prop_assert!(store.next_timeout().is_none());
        }
    }

    /// Proves: 8200-4.
    #[test]
    fn overlap_condemns_the_datagram_and_what_follows() {
        let mut store = Reassembly::new([0; 16]);
        assert!(matches!(
            put(&mut store, 0, 1, fragment(0, true, &[1; 16])),
            Outcome::Waiting
        ));
        assert!(matches!(
            put(&mut store, 0, 1, fragment(8, false, &[2; 16])),
            Outcome::Dropped(DropReason::BadFragment)
        ));
        assert!(matches!(
            put(&mut store, 0, 1, fragment(16, false, &[2; 8])),
            Outcome::Dropped(DropReason::BadFragment)
        ));
        // Its time over, it expires without anything to quote.
        assert!(store.expire(Instant::from_secs(60)).unwrap().first.is_none());
    }

    #[test]
    fn expiry_quotes_the_first_fragment_only_if_it_came() {
        let mut store = Reassembly::new([0; 16]);
        let _ = put(&mut store, 0, 1, fragment(0, true, &[1; 8]));
        let _ = put(&mut store, 1, 2, fragment(8, true, &[1; 8]));
        assert_eq!(store.next_timeout(), Some(Instant::from_secs(60)));
        assert!(store.expire(Instant::from_secs(59)).is_none());
        assert_eq!(
            store.expire(Instant::from_secs(60)).unwrap().first.unwrap().len(),
            28
        );
        assert!(store.expire(Instant::from_secs(60)).is_none());
        assert!(store.expire(Instant::from_secs(61)).unwrap().first.is_none());
        assert_eq!(store.next_timeout(), None);
    }

    /// Proves: 3168-17.
    #[test]
    fn congestion_marks_survive() {
        let mut store = Reassembly::new([0; 16]);
        let mark = |f: Fragment<'static>, ecn| Fragment { ecn, ..f };
        let _ = put(&mut store, 0, 1, mark(fragment(0, true, &[1; 8]), 2));
        let whole = put(&mut store, 0, 1, mark(fragment(8, false, &[1; 8]), 3));
        assert!(matches!(whole, Outcome::Whole { ecn: 3, .. }));
        let _ = put(&mut store, 0, 1, mark(fragment(0, true, &[1; 8]), 0));
        let whole = put(&mut store, 0, 1, mark(fragment(8, false, &[1; 8]), 3));
        assert!(matches!(whole, Outcome::Dropped(DropReason::BadFragment)));
    }
}
