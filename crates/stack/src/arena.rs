//! A generational arena: values in numbered slots, each reuse of a slot with a new generation.
//!
//! Slots lie in pages of [`PAGE`], so that growth moves no value and reserves at most one page ahead. The number of
//! slots never shrinks; a free slot costs what a full one does.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Slots a page, all of them made at once: so a place in a page needs no look at how many there are.
const PAGE: usize = 16;
/// Marks the end of the free list.
const NO_SLOT: u32 = u32::MAX;

/// Values by slot and generation. A stale pair finds nothing, never another value.
///
/// Free slots are reused last in, first out, so the same calls give the same slots. A slot's generation grows by one
/// each time it is freed and so repeats only after 2^32 reuses of that slot.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    pages: Vec<Box<[Slot<T>; PAGE]>>,
    first_free: u32,
    len: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Debug)]
enum Content<T> {
    Free { next: u32 },
    Full(T),
}

impl<T> Arena<T> {
    /// An arena without slots.
    pub(crate) const fn new() -> Self {
        Arena {
            pages: Vec::new(),
            first_free: NO_SLOT,
            len: 0,
        }
    }
    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }
    /// The slot and generation that the next value gets.
    pub(crate) fn next_key(&mut self) -> (u32, u32) {
        if self.first_free == NO_SLOT {
            self.add_page();
        }
        let slot = self.first_free;
        (
            slot,
            self.pages[slot as usize / PAGE][slot as usize % PAGE].generation,
        )
    }
    /// Puts `value` in a slot and returns (slot, generation). The owner bounds how many there are.
    pub(crate) fn insert(&mut self, value: T) -> (u32, u32) {
        self.insert_with(|_, _| value)
    }
    /// As [`Arena::insert`], for a value that holds its own slot and generation.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(u32, u32) -> T) -> (u32, u32) {
        if self.first_free == NO_SLOT {
            self.add_page();
        }
        let slot = self.first_free;
        let place = &mut self.pages[slot as usize / PAGE][slot as usize % PAGE];
        let Content::Free { next } = place.content else {
            unreachable!("slot {slot} is free");
        };
        // Known to be free, nothing is dropped here; the value is made where it stays.
        place.content = Content::Full(make(slot, place.generation));
        self.first_free = next;
        self.len += 1;
        (slot, place.generation)
    }
    /// Adds a page of free slots, to be filled in their order.
    #[cold]
    #[inline(never)]
    fn add_page(&mut self) {
        let first = (self.pages.len() * PAGE) as u32;
        debug_assert!(first < NO_SLOT - PAGE as u32);
        let free = |i: usize| Slot {
            generation: 0,
            content: Content::Free {
                next: if i + 1 == PAGE {
                    NO_SLOT
                } else {
                    first + i as u32 + 1
                },
            },
        };
        self.pages.push(Box::new(core::array::from_fn(free)));
        self.first_free = first;
    }
    /// The value of this slot and generation.
    #[inline]
    pub(crate) fn get(&self, slot: u32, generation: u32) -> Option<&T> {
        match self.slot(slot)? {
            s if s.generation != generation => None,
            Slot {
                content: Content::Full(value),
                ..
            } => Some(value),
            _ => None,
        }
    }
    /// The value of this slot and generation, to change.
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32, generation: u32) -> Option<&mut T> {
        match self.slot_mut(slot)? {
            s if s.generation != generation => None,
            Slot {
                content: Content::Full(value),
                ..
            } => Some(value),
            _ => None,
        }
    }
    /// The value in this slot, whatever its generation: for indices that the stack itself keeps.
    #[inline]
    pub(crate) fn at(&self, slot: u32) -> Option<&T> {
        match &self.slot(slot)?.content {
            Content::Full(value) => Some(value),
            Content::Free { .. } => None,
        }
    }
    /// As [`Arena::at`], to change.
    #[inline]
    pub(crate) fn at_mut(&mut self, slot: u32) -> Option<&mut T> {
        match &mut self.slot_mut(slot)?.content {
            Content::Full(value) => Some(value),
            Content::Free { .. } => None,
        }
    }
    /// The generation of the value in this slot.
    pub(crate) fn generation(&self, slot: u32) -> Option<u32> {
        let s = self.slot(slot)?;
        matches!(s.content, Content::Full(_)).then_some(s.generation)
    }
    /// Takes the value of this slot and generation out.
    pub(crate) fn remove(&mut self, slot: u32, generation: u32) -> Option<T> {
        self.get(slot, generation)?;
        self.remove_at(slot)
    }
    /// Takes the value in this slot out, whatever its generation.
    pub(crate) fn remove_at(&mut self, slot: u32) -> Option<T> {
        let next = self.first_free;
        let place = self.slot_mut(slot)?;
        if matches!(place.content, Content::Free { .. }) {
            return None;
        }
        place.generation = place.generation.wrapping_add(1);
        let old = core::mem::replace(&mut place.content, Content::Free { next });
        self.first_free = slot;
        self.len -= 1;
        match old {
            Content::Full(value) => Some(value),
            Content::Free { .. } => None,
        }
    }
    /// Drops the value in this slot where it lies; nothing happens if there is none.
    pub(crate) fn discard_at(&mut self, slot: u32) {
        let next = self.first_free;
        let Some(place) = self.slot_mut(slot) else { return };
        if matches!(place.content, Content::Free { .. }) {
            return;
        }
        place.generation = place.generation.wrapping_add(1);
        place.content = Content::Free { next };
        self.first_free = slot;
        self.len -= 1;
    }
    /// Slot, generation and value of all, in the order of slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u32, &T)> {
        let slots = self.pages.iter().flat_map(|page| page.iter());
        slots.enumerate().filter_map(|(i, slot)| match &slot.content {
            Content::Full(value) => Some((i as u32, slot.generation, value)),
            Content::Free { .. } => None,
        })
    }

    #[inline]
    fn slot(&self, slot: u32) -> Option<&Slot<T>> {
        Some(&self.pages.get(slot as usize / PAGE)?[slot as usize % PAGE])
    }
    #[inline]
    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot<T>> {
        Some(&mut self.pages.get_mut(slot as usize / PAGE)?[slot as usize % PAGE])
    }
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Arena::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn stale_ids_find_nothing() {
        let mut arena = Arena::new();
        let (slot, generation) = arena.insert('a');
        assert_eq!(arena.remove(slot, generation), Some('a'));
        assert_eq!(arena.remove(slot, generation), None);
        let again = arena.insert('b');
        assert_eq!(again, (slot, generation + 1));
        assert_eq!(arena.get(slot, generation), None);
        assert_eq!(arena.get_mut(slot, generation + 1), Some(&mut 'b'));
        assert_eq!(arena.get(99, 0), None);
        assert_eq!((arena.at(slot), arena.generation(slot)), (Some(&'b'), Some(1)));
    }

    #[test]
    fn a_free_slot_costs_its_generation_and_what_the_value_takes() {
        assert!(size_of::<Slot<[u64; 8]>>() <= 64 + 16);
        assert_eq!(size_of::<Slot<alloc::boxed::Box<u64>>>(), 24);
        assert_eq!(size_of::<Slot<u32>>(), 12);
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(ops in prop::collection::vec((0u8..4, 0u32..200), 0..400)) {
            let mut arena = Arena::new();
            let mut model: BTreeMap<u32, (u32, usize)> = BTreeMap::new();
            let mut seen = std::collections::BTreeSet::new();
            for (i, (op, slot)) in ops.into_iter().enumerate() {
                match op {
                    0 | 1 => {
                        let next = arena.next_key();
                        let id = arena.insert_with(|_, _| i);
                        prop_assert_eq!(id, next);
                        prop_assert!(seen.insert(id), "an id came twice");
                        prop_assert_eq!(model.insert(id.0, (id.1, i)), None);
                    }
                    2 if i % 2 == 0 => {
                        arena.discard_at(slot);
                        model.remove(&slot);
                    }
                    2 => prop_assert_eq!(arena.remove_at(slot), model.remove(&slot).map(|(_, v)| v)),
                    _ => {
                        let generation = arena.generation(slot).unwrap_or(7);
                        prop_assert_eq!(arena.get(slot, generation), model.get(&slot).map(|(_, v)| v));
                        prop_assert_eq!(arena.get(slot, generation.wrapping_add(1)), None);
                    }
                }
                prop_assert_eq!(arena.len(), model.len());
            }
            let all: Vec<_> = arena.iter().map(|(s, g, v)| (s, (g, *v))).collect();
            prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        }
    }
}
