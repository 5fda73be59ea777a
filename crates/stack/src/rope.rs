//! A queue of shared slices that allocates nothing while it holds one.

use alloc::collections::VecDeque;
use bytes::{Buf, Bytes};

/// Slices in order, appended at the back and taken from the front.
///
/// The first lies inline: a queue that is emptied as fast as it is filled never allocates. Once empty it keeps its list
/// for the next slices; [`Rope::refresh`] lets a long one go.
#[derive(Debug, Default)]
pub(crate) struct Rope {
    /// Empty only if there is no slice at all.
    first: Bytes,
    rest: VecDeque<Bytes>,
}

/// Places of the list that an emptied rope keeps: 8 KiB.
const KEEP: usize = 256;

impl Rope {
    /// No slices.
    pub(crate) const fn new() -> Self {
        Rope {
            first: Bytes::new(),
            rest: VecDeque::new(),
        }
    }
    /// How many slices there are.
    #[inline]
    #[cfg(test)]
    pub(crate) fn parts(&self) -> usize {
        usize::from(!self.first.is_empty()) + self.rest.len()
    }
    /// Whether there is none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
    /// The slice at `index`.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&Bytes> {
        match index {
            0 => (!self.first.is_empty()).then_some(&self.first),
            _ => self.rest.get(index - 1),
        }
    }
    /// All slices in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        (!self.first.is_empty())
            .then_some(&self.first)
            .into_iter()
            .chain(&self.rest)
    }
    /// Lets go of a list that has become long.
    #[inline]
    pub(crate) fn refresh(&mut self) {
        if self.rest.capacity() > KEEP {
            self.shorten();
        }
    }
    #[cold]
    fn shorten(&mut self) {
        self.rest = VecDeque::new();
    }
    /// Appends a slice; an empty one is let go.
    #[inline]
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if self.first.is_empty() {
            self.first = bytes;
        } else if !bytes.is_empty() {
            self.rest.push_back(bytes);
        }
    }
    /// Puts a slice before all others.
    pub(crate) fn push_front(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            let second = core::mem::replace(&mut self.first, bytes);
            if !second.is_empty() {
                self.rest.push_front(second);
            }
        }
    }
    /// Takes the first slice.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let next = self.rest.pop_front().unwrap_or_default();
        let first = core::mem::replace(&mut self.first, next);
        (!first.is_empty()).then_some(first)
    }
    /// Takes the last slice.
    pub(crate) fn pop_back(&mut self) -> Option<Bytes> {
        match self.rest.pop_back() {
            Some(last) => Some(last),
            None => self.pop(),
        }
    }
    /// Appends all slices of `other`, moving those of the shorter one.
    pub(crate) fn append(&mut self, mut other: Rope) {
        if self.rest.len() >= other.rest.len() {
            self.push(other.first);
            self.rest.append(&mut other.rest);
            return;
        }
        while let Some(last) = self.pop_back() {
            other.push_front(last);
        }
        *self = other;
    }
    /// Drops `n` octets from the front (all, if there are fewer) and returns how many slices that finished. Each of
    /// them goes to `done`.
    pub(crate) fn advance(&mut self, mut n: usize, mut done: impl FnMut(Bytes)) -> usize {
        let mut gone = 0;
        while n >= self.first.len() {
            n -= self.first.len();
            let Some(first) = self.pop() else { return gone };
            gone += 1;
            done(first);
        }
        self.first.advance(n);
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn flat(rope: &Rope) -> Vec<u8> {
        rope.iter().flatten().copied().collect()
    }
    fn rope(parts: &[Vec<u8>]) -> Rope {
        let mut rope = Rope::new();
        parts.iter().for_each(|part| rope.push(part.clone().into()));
        rope
    }

    #[test]
    fn one_slice_lies_inline_and_a_long_list_is_let_go() {
        let mut one = Rope::new();
        one.push(Bytes::from_static(b"a"));
        assert_eq!(one.rest.capacity(), 0, "one slice lies inline");
        for (slices, kept) in [(3, true), (KEEP + 2, false)] {
            let mut rope = rope(&std::vec![std::vec![1]; slices]);
            assert_eq!(rope.advance(slices, drop), slices);
            rope.refresh();
            assert_eq!((rope.parts(), rope.rest.capacity() > 0), (0, kept));
        }
        assert_eq!(size_of::<Rope>(), 64);
    }

    proptest! {
        #[test]
        fn behaves_as_a_list_of_octets(
            a in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..6),
            b in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..6),
            n in 0usize..40,
        ) {
            let mut left = rope(&a);
            left.append(rope(&b));
            let mut model: Vec<u8> = a.concat();
            model.extend(b.concat());
            prop_assert_eq!(flat(&left), &model[..]);
            let parts = left.parts();
            let gone = left.advance(n, drop);
            prop_assert_eq!(flat(&left), &model[n.min(model.len())..]);
            prop_assert_eq!(left.parts() + gone, parts);
            left.push_front(Bytes::from_static(b"xy"));
            prop_assert_eq!(&flat(&left)[..2], b"xy");
            for i in 0..left.parts() {
                prop_assert!(!left.get(i).unwrap().is_empty());
            }
            prop_assert!(left.get(left.parts()).is_none());
        }
    }
}
