//! A hierarchical timing wheel: deadlines of all sockets, with the earliest known exactly.
//!
//! ```text
//!  level 7  │ │ │ … │     64 slots of 2^58 ns: the end of time
//!    …
//!  level 1  │ │ │ … │     64 slots of 2^22 ns (4.2 ms)
//!  level 0  │ │ │ … │     64 slots of 2^16 ns (65.5 us): one tick each
//! ```
//!
//! An entry lies on the level of the highest group of six bits in which its tick differs from the wheel's own tick.
//! When the wheel reaches a slot of a higher level, the slot's entries move down. So an entry moves at most seven
//! times, and a wait of hours costs a few steps. Entries keep their exact deadline and fire in the order of deadlines,
//! equal ones in the order in which they were scheduled.
//!
//! Cost: schedule and cancel take constant time. Each slot is a list that stays in order as long as deadlines come
//! about in order, which timers of equal length do; otherwise it is sorted once, when it becomes the earliest slot.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::time::Instant;

/// log2 of the finest tick in nanoseconds: 65.5 us.
const TICK_SHIFT: u32 = 16;
/// log2 of the slots of a level.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// 48 bits of ticks in groups of six.
const LEVELS: usize = 8;
/// Slots of all levels. They are numbered through: level times 64 plus the place on the level.
const ALL_SLOTS: usize = LEVELS * SLOTS;
/// No entry.
const NONE: u32 = u32::MAX;
/// `Entry::slot` of an entry that is not scheduled.
const IDLE: u16 = u16::MAX;
/// How far from the end of a list a new entry looks for its place before the list is left unsorted.
const SEARCH: u32 = 8;

/// The handle of one deadline, kept by its owner.
///
/// It stays valid when the deadline fires: scheduling it again costs no search. Before an owner goes, it calls
/// [`Wheel::cancel`]; a handle dropped without that leaves its 24 octets in the wheel for good.
#[derive(Debug)]
pub(crate) struct WheelEntry(u32);

impl WheelEntry {
    /// A handle without a deadline.
    pub(crate) const fn new() -> Self {
        WheelEntry(NONE)
    }
}

impl Default for WheelEntry {
    fn default() -> Self {
        WheelEntry::new()
    }
}

/// One deadline; 24 octets.
#[derive(Clone, Copy, Debug)]
struct Entry {
    deadline: u64,
    /// Neighbours in the slot's list. The first entry's `prev` is the last entry; the last one's `next` is [`NONE`].
    prev: u32,
    /// For a free entry: the next free one.
    next: u32,
    owner: u32,
    /// Or [`IDLE`].
    slot: u16,
}

/// The slots of a level, a bit each.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// Which hold entries.
    occupied: u64,
    /// Whose lists may be out of order.
    unsorted: u64,
}

/// Deadlines of many owners.
///
/// The driver asks [`Wheel::next`] when to come back, and then calls [`Wheel::expire`] until it gives nothing. An
/// owner whose deadline moves *later* need not tell the wheel: it looks at its own deadline when the old one fires, and
/// schedules again. So a retransmission timer that every ACK pushes back costs nothing here.
///
/// In this order: the long field last, so that those before it are near.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Wheel {
    /// The tick up to which slots have been emptied.
    tick: u64,
    /// The earliest deadline; `u64::MAX` where there is none.
    earliest: u64,
    /// Whose it is (of several at the same time, one).
    earliest_owner: u32,
    first_free: u32,
    entries: Vec<Entry>,
    /// The first entry of each slot, or [`NONE`].
    heads: Box<[u32; ALL_SLOTS]>,
    /// Which levels hold entries.
    occupied: u8,
    levels: [Level; LEVELS],
    /// Room for sorting, kept to allocate once.
    scratch: Vec<(u64, u32)>,
    /// How often an entry was put in a slot.
    #[cfg(test)]
    placed: u32,
}

impl Wheel {
    /// A wheel without deadlines.
    pub(crate) fn new() -> Self {
        Wheel {
            tick: 0,
            earliest: u64::MAX,
            earliest_owner: 0,
            occupied: 0,
            levels: [Level::default(); LEVELS],
            heads: Box::new([NONE; ALL_SLOTS]),
            entries: Vec::new(),
            first_free: NONE,
            scratch: Vec::new(),
            #[cfg(test)]
            placed: 0,
        }
    }
    /// How many deadlines are scheduled.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.iter().filter(|e| e.slot != IDLE).count()
    }
    /// Whether none is.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.occupied == 0
    }
    /// The earliest deadline, exactly, or never.
    #[inline]
    pub(crate) fn next(&self) -> Instant {
        Instant::from_nanos(self.earliest)
    }
    /// Whose the earliest deadline is, if there is one.
    pub(crate) fn next_owner(&self) -> u32 {
        self.earliest_owner
    }
    /// The deadline of `entry`, if it is scheduled.
    #[cfg(test)]
    pub(crate) fn deadline(&self, entry: &WheelEntry) -> Option<Instant> {
        let e = self.entries.get(entry.0 as usize)?;
        (e.slot != IDLE).then(|| Instant::from_nanos(e.deadline))
    }
    /// Sets the deadline of `entry` to `at`, whether or not it had one; `owner` is what [`Wheel::expire`] will return.
    /// [`Instant::NEVER`] takes the deadline away.
    pub(crate) fn schedule(&mut self, entry: &mut WheelEntry, owner: u32, at: Instant) {
        if at.is_never() {
            return self.cancel(entry);
        }
        let at = at.as_nanos();
        if entry.0 == NONE {
            entry.0 = self.allocate();
        } else if !self.make_free(entry.0, owner, at) {
            return;
        }
        self.place(entry.0, owner, at);
        if at < self.earliest {
            self.earliest = at;
            self.earliest_owner = owner;
        }
    }
    /// Gives the deadline of `entry` to another owner, and says when that is: never, if it has none.
    #[inline]
    pub(crate) fn hand_over(&mut self, entry: &WheelEntry, owner: u32) -> Instant {
        let Some(e) = self.entries.get_mut(entry.0 as usize) else {
            return Instant::NEVER;
        };
        if e.owner == self.earliest_owner && e.deadline == self.earliest {
            self.earliest_owner = owner;
        }
        e.owner = owner;
        if e.slot == IDLE {
            return Instant::NEVER;
        }
        Instant::from_nanos(e.deadline)
    }
    /// Takes the deadline of `entry` away and frees its place.
    pub(crate) fn cancel(&mut self, entry: &mut WheelEntry) {
        let index = core::mem::replace(&mut entry.0, NONE);
        if index == NONE {
            return;
        }
        let old = self.entries[index as usize];
        if old.slot != IDLE {
            self.unlink(index, old);
            if old.deadline == self.earliest {
                self.find_earliest();
            }
        }
        let e = &mut self.entries[index as usize];
        e.slot = IDLE;
        e.next = self.first_free;
        self.first_free = index;
    }
    /// Takes off the earliest deadline that is not after `now` and returns its owner. Call until it gives nothing;
    /// scheduling in between is fine, and what is due then comes too.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<u32> {
        let now = now.as_nanos();
        if self.earliest > now {
            // Nothing is due, and no slot begins before the earliest deadline's: the wheel may turn up to `now`.
            if self
                .first_slot()
                .is_none_or(|slot| self.start(slot) > now >> TICK_SHIFT)
            {
                self.tick = self.tick.max(now >> TICK_SHIFT);
            }
            return None;
        }
        self.take_earliest()
    }
    #[inline(never)]
    fn take_earliest(&mut self) -> Option<u32> {
        self.turn_to_earliest();
        let slot = self.first_slot()?;
        self.sort(slot);
        let index = self.heads[slot];
        let entry = self.entries[index as usize];
        debug_assert_eq!(entry.deadline, self.earliest);
        self.unlink(index, entry);
        self.entries[index as usize].slot = IDLE;
        self.find_earliest();
        Some(entry.owner)
    }

    /// Takes an entry off its slot, to be scheduled anew; false if it is scheduled like that already.
    #[inline(never)]
    fn make_free(&mut self, index: u32, owner: u32, at: u64) -> bool {
        let old = self.entries[index as usize];
        if old.slot == IDLE {
            return true;
        }
        if old.deadline == at && old.owner == owner {
            return false;
        }
        self.unlink(index, old);
        if old.deadline == self.earliest && at > old.deadline {
            self.find_earliest();
        }
        true
    }
    #[inline]
    fn allocate(&mut self) -> u32 {
        match self.entries.get(self.first_free as usize) {
            Some(free) => core::mem::replace(&mut self.first_free, free.next),
            None => self.add_entry(),
        }
    }
    #[cold]
    #[inline(never)]
    fn add_entry(&mut self) -> u32 {
        self.entries.push(Entry {
            deadline: 0,
            prev: NONE,
            next: NONE,
            owner: 0,
            slot: IDLE,
        });
        (self.entries.len() - 1) as u32
    }
    /// Turns the wheel to the tick of the earliest deadline, moving entries down from the slots on the way.
    fn turn_to_earliest(&mut self) {
        let target = self.earliest >> TICK_SHIFT;
        while let Some(slot) = self.first_slot() {
            if slot < SLOTS {
                self.tick = self.tick.max(target);
                return;
            }
            self.tick = self.start(slot);
            self.move_down(slot);
        }
    }
    /// Empties a slot whose time has begun into the levels below.
    fn move_down(&mut self, slot: usize) {
        self.sort(slot);
        let mut index = self.heads[slot];
        self.empty(slot);
        while index != NONE {
            let Entry {
                next,
                owner,
                deadline,
                ..
            } = self.entries[index as usize];
            self.place(index, owner, deadline);
            index = next;
        }
    }
    /// The earliest slot that holds entries. All entries of a level come before those of the next, and on its level no occupied
    /// slot lies before the wheel's own place.
    #[inline]
    fn first_slot(&self) -> Option<usize> {
        if self.occupied == 0 {
            return None;
        }
        let level = self.occupied.trailing_zeros() as usize % LEVELS;
        Some((level * SLOTS + self.levels[level].occupied.trailing_zeros() as usize) % ALL_SLOTS)
    }
    /// The first tick of a slot.
    fn start(&self, slot: usize) -> u64 {
        let shift = SLOT_BITS * (slot / SLOTS) as u32;
        let above = shift + SLOT_BITS;
        let block = if above >= 64 {
            0
        } else {
            self.tick >> above << above
        };
        block | ((slot % SLOTS) as u64) << shift
    }
    #[inline]
    fn find_earliest(&mut self) {
        (self.earliest, self.earliest_owner) = (u64::MAX, 0);
        if let Some(slot) = self.first_slot() {
            self.earliest_is_in(slot);
        }
    }
    #[inline(never)]
    fn earliest_is_in(&mut self, slot: usize) {
        self.sort(slot);
        let first = &self.entries[self.heads[slot] as usize];
        (self.earliest, self.earliest_owner) = (first.deadline, first.owner);
    }
    /// The slot that a deadline asks for. One in the past goes to the present slot.
    #[inline]
    fn slot_for(&self, deadline: u64) -> usize {
        let tick = (deadline >> TICK_SHIFT).max(self.tick);
        let level = (63 - ((tick ^ self.tick) | 1).leading_zeros()) / SLOT_BITS;
        let place = (tick >> (SLOT_BITS * level)) as usize % SLOTS;
        (level as usize * SLOTS + place) % ALL_SLOTS
    }
    /// Puts an entry in the slot that its deadline asks for.
    #[inline]
    fn place(&mut self, index: u32, owner: u32, deadline: u64) {
        #[cfg(test)]
        {
            self.placed += 1;
        }
        let slot = self.slot_for(deadline);
        let (mut prev, mut next) = (index, NONE);
        if self.heads[slot] == NONE {
            self.heads[slot] = index;
            self.occupied |= 1 << (slot / SLOTS);
            self.levels[slot / SLOTS].occupied |= 1 << (slot % SLOTS);
        } else {
            (prev, next) = self.line_up(index, slot, deadline);
        }
        self.entries[index as usize] = Entry {
            deadline,
            prev,
            next,
            owner,
            slot: slot as u16,
        };
    }
    /// Makes room for an entry among the others of its slot: what comes before it and after it.
    #[inline(never)]
    fn line_up(&mut self, index: u32, slot: usize, deadline: u64) -> (u32, u32) {
        let (level, bit) = (slot / SLOTS, 1 << (slot % SLOTS));
        let head = self.heads[slot];
        let last = self.entries[head as usize].prev;
        let mut after = last;
        if self.levels[level].unsorted & bit == 0 {
            let mut steps = 0;
            while self.entries[after as usize].deadline > deadline {
                if after == head {
                    self.heads[slot] = index;
                    self.entries[head as usize].prev = index;
                    return (last, head);
                }
                if steps == SEARCH {
                    self.levels[level].unsorted |= bit;
                    after = last;
                    break;
                }
                steps += 1;
                after = self.entries[after as usize].prev;
            }
        }
        let next = core::mem::replace(&mut self.entries[after as usize].next, index);
        let behind = if next == NONE { head } else { next };
        self.entries[behind as usize].prev = index;
        (after, next)
    }
    /// Takes an entry, whose content is `old`, out of its slot.
    #[inline]
    fn unlink(&mut self, index: u32, old: Entry) {
        let slot = usize::from(old.slot) % ALL_SLOTS;
        if old.prev == index {
            return self.empty(slot); // it was alone
        }
        self.close_up(index, old, slot);
    }
    #[inline(never)]
    fn close_up(&mut self, index: u32, old: Entry, slot: usize) {
        let head = self.heads[slot];
        if head == index {
            self.heads[slot] = old.next;
            self.entries[old.next as usize].prev = old.prev;
            return;
        }
        self.entries[old.prev as usize].next = old.next;
        let behind = if old.next == NONE { head } else { old.next };
        self.entries[behind as usize].prev = old.prev;
    }
    /// A slot holds nothing any more.
    #[inline]
    fn empty(&mut self, slot: usize) {
        self.heads[slot] = NONE;
        let (level, bit) = (slot / SLOTS, 1 << (slot % SLOTS));
        let slots = &mut self.levels[level];
        slots.unsorted &= !bit;
        slots.occupied &= !bit;
        if slots.occupied == 0 {
            self.occupied &= !(1 << level);
        }
    }
    /// Brings a slot's list in the order of deadlines, if it is not; equal ones stay in the order they came.
    #[inline]
    fn sort(&mut self, slot: usize) {
        if self.levels[slot / SLOTS].unsorted & 1 << (slot % SLOTS) != 0 {
            self.put_in_order(slot);
        }
    }
    #[cold]
    #[inline(never)]
    fn put_in_order(&mut self, slot: usize) {
        self.levels[slot / SLOTS].unsorted &= !(1 << (slot % SLOTS));
        let mut list = core::mem::take(&mut self.scratch);
        let mut index = self.heads[slot];
        while index != NONE {
            let e = &self.entries[index as usize];
            list.push((e.deadline, index));
            index = e.next;
        }
        // Stable, and fast on lists that are nearly in order.
        list.sort_by_key(|&(deadline, _)| deadline);
        let (Some(&(_, head)), Some(&(_, last))) = (list.first(), list.last()) else {
            return;
        };
        self.heads[slot] = head;
        let mut prev = last;
        for (i, &(_, index)) in list.iter().enumerate() {
            let e = &mut self.entries[index as usize];
            e.prev = prev;
            e.next = list.get(i + 1).map_or(NONE, |&(_, next)| next);
            prev = index;
        }
        list.clear();
        list.shrink_to(1024);
        self.scratch = list;
    }
}

impl Default for Wheel {
    fn default() -> Self {
        Wheel::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn at(n: u64) -> Instant {
        Instant::from_nanos(n)
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 24);
        assert_eq!(size_of::<WheelEntry>(), 4);
    }

    #[test]
    fn fires_by_deadline_then_by_order_of_scheduling() {
        let mut wheel = Wheel::new();
        let mut entries: Vec<_> = (0..5).map(|_| WheelEntry::new()).collect();
        for (owner, deadline) in [(0, 500), (1, 300), (2, 500), (3, 70_000), (4, 300)] {
            wheel.schedule(&mut entries[owner as usize], owner, at(deadline));
        }
        assert_eq!(wheel.next(), at(300));
        assert_eq!(wheel.expire(at(299)), None);
        let fired: Vec<_> = core::iter::from_fn(|| wheel.expire(at(500))).collect();
        assert_eq!(fired, [1, 4, 0, 2]);
        assert_eq!(wheel.next(), at(70_000));
        assert_eq!(wheel.deadline(&entries[3]), Some(at(70_000)));
        wheel.schedule(&mut entries[3], 3, Instant::NEVER);
        assert_eq!((wheel.next(), wheel.len()), (Instant::NEVER, 0));
    }

    #[test]
    fn a_later_deadline_of_the_same_tick_stays() {
        let mut wheel = Wheel::new();
        let (mut a, mut b) = (WheelEntry::new(), WheelEntry::new());
        wheel.schedule(&mut a, 1, at(100));
        wheel.schedule(&mut b, 2, at(200));
        assert_eq!(wheel.expire(at(150)), Some(1));
        assert_eq!(wheel.expire(at(150)), None);
        assert_eq!(wheel.next(), at(200));
        assert_eq!(wheel.expire(at(1 << 40)), Some(2));
    }

    #[test]
    fn hours_cost_a_few_steps() {
        let mut wheel = Wheel::new();
        let mut entry = WheelEntry::new();
        let mut now = Instant::ZERO;
        for hours in 1..=100 {
            now += crate::Duration::from_secs(3600 * hours) + crate::Duration::from_nanos(12_345);
            wheel.schedule(&mut entry, 7, now);
            assert_eq!(wheel.expire(now - crate::Duration::from_nanos(1)), None);
            assert_eq!(wheel.expire(now), Some(7));
        }
        assert!(wheel.placed <= 100 * LEVELS as u32, "{} steps", wheel.placed);
        wheel.schedule(&mut entry, 7, at(u64::MAX - 1));
        assert_eq!(wheel.expire(at(u64::MAX - 1)), Some(7));
    }

    /// A slot filled from the last deadline to the first is sorted once, not for each that goes.
    #[test]
    fn a_slot_out_of_order_fires_in_order() {
        let mut wheel = Wheel::new();
        let mut entries: Vec<_> = (0..1000).map(|_| WheelEntry::new()).collect();
        let deadline = |owner: u64| at(3_600_000_000_000 + owner / 2);
        for owner in (0..1000u64).rev() {
            wheel.schedule(&mut entries[owner as usize], owner as u32, deadline(owner));
        }
        assert!(wheel.levels.iter().any(|level| level.unsorted != 0));
        wheel.cancel(&mut entries[0]);
        wheel.cancel(&mut entries[1]);
        assert_eq!(wheel.next(), deadline(2));
        assert!(wheel.levels.iter().all(|level| level.unsorted == 0));
        let fired: Vec<_> = core::iter::from_fn(|| wheel.expire(deadline(1000))).collect();
        // Of two equal deadlines the odd owner's was scheduled first.
        assert_eq!(fired, (2..1000).map(|owner| owner ^ 1).collect::<Vec<_>>());
    }

    #[test]
    fn cancelled_places_are_used_again() {
        let mut wheel = Wheel::new();
        for round in 0..1000 {
            let mut entries: Vec<_> = (0..10).map(|_| WheelEntry::new()).collect();
            for (i, entry) in entries.iter_mut().enumerate() {
                wheel.schedule(entry, i as u32, at(round * 1_000_000 + i as u64));
            }
            while wheel.expire(at(round * 1_000_000 + 4)).is_some() {}
            entries.iter_mut().for_each(|entry| wheel.cancel(entry));
            assert!(wheel.is_empty());
        }
        assert_eq!(wheel.entries.len(), 10);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Schedule {
            who: usize,
            shift: u32,
            by: u64,
            past: bool,
        },
        Cancel(usize),
        Advance {
            shift: u32,
            by: u64,
            fire: usize,
        },
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            5 => (0..WHO, 0u32..56, 0u64..64, prop::bool::weighted(0.05))
                .prop_map(|(who, shift, by, past)| Op::Schedule { who, shift, by, past }),
            1 => (0..WHO).prop_map(Op::Cancel),
            2 => (0u32..50, 0u64..64, 0usize..40).prop_map(|(shift, by, fire)| Op::Advance { shift, by, fire }),
        ]
    }
    const WHO: usize = 24;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn behaves_as_a_sorted_map(ops in prop::collection::vec(op(), 0..300)) {
            let mut wheel = Wheel::new();
            let mut entries: Vec<_> = (0..WHO).map(|_| WheelEntry::new()).collect();
            let mut model: BTreeMap<(u64, usize), usize> = BTreeMap::new();
            let mut now = 0u64;
            for (order, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Schedule { who, shift, by, past } => {
                        let span = by << shift;
                        let deadline = if past { now.saturating_sub(span) } else { now.saturating_add(span) };
                        let old = model.iter().find(|(_, w)| **w == who).map(|(&k, _)| k);
                        if old.is_none_or(|(d, _)| d != deadline) {
                            old.map(|k| model.remove(&k));
                            if deadline != u64::MAX {
                                model.insert((deadline, order), who);
                            }
                        }
                        wheel.schedule(&mut entries[who], who as u32, at(deadline));
                    }
                    Op::Cancel(who) => {
                        model.retain(|_, w| *w != who);
                        wheel.cancel(&mut entries[who]);
                    }
                    Op::Advance { shift, by, fire } => {
                        now = now.saturating_add(by << shift).min(u64::MAX - 1);
                        for _ in 0..fire {
                            let expected = model.first_key_value().filter(|(k, _)| k.0 <= now).map(|(&k, &w)| (k, w));
                            expected.map(|(k, _)| model.remove(&k));
                            prop_assert_eq!(wheel.expire(at(now)), expected.map(|(_, w)| w as u32));
                        }
                    }
                }
                prop_assert_eq!(wheel.next(), model.first_key_value().map_or(Instant::NEVER, |(k, _)| at(k.0)));
                prop_assert_eq!(wheel.len(), model.len());
            }
            for ((deadline, _), who) in model {
                prop_assert_eq!(wheel.deadline(&entries[who]), Some(at(deadline)));
                prop_assert_eq!(wheel.expire(at(u64::MAX - 1)), Some(who as u32));
            }
            prop_assert!(wheel.is_empty());
        }
    }
}
