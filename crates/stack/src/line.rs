//! A queue that mostly holds nothing or one, as those do that a step fills and the next one drains.

use alloc::collections::VecDeque;
use core::hint::cold_path;

/// First in, first out. Who is first stands apart from the others, where a look finds it without their ring.
#[derive(Debug)]
pub(crate) struct Line<T> {
    first: Option<T>,
    rest: VecDeque<T>,
}

impl<T: Copy> Line<T> {
    /// A line in which nobody waits.
    pub(crate) const fn new() -> Self {
        Line {
            first: None,
            rest: VecDeque::new(),
        }
    }
    /// Whether nobody waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
    /// Who is next.
    #[inline]
    pub(crate) fn front(&self) -> Option<T> {
        self.first
    }
    /// Takes who is next.
    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let first = self.first;
        if self.rest.is_empty() {
            self.first = None;
        } else {
            cold_path();
            self.move_up();
        }
        first
    }
    #[inline(never)]
    fn move_up(&mut self) {
        self.first = self.rest.pop_front();
    }
    /// Adds one, who comes after all others.
    #[inline]
    pub(crate) fn push_back(&mut self, last: T) {
        match self.first {
            None => self.first = Some(last),
            Some(_) => {
                cold_path();
                self.line_up(last);
            }
        }
    }
    #[inline(never)]
    fn line_up(&mut self, last: T) {
        self.rest.push_back(last);
    }
}

impl<T: Copy> Default for Line<T> {
    fn default() -> Self {
        Line::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_as_a_queue(steps in prop::collection::vec(any::<Option<u8>>(), 0..100)) {
            let (mut line, mut queue) = (Line::new(), VecDeque::new());
            for step in steps {
                match step {
                    Some(value) => {
                        line.push_back(value);
                        queue.push_back(value);
                    }
                    None => prop_assert_eq!(line.pop_front(), queue.pop_front()),
                }
                prop_assert_eq!(line.front(), queue.front().copied());
                prop_assert_eq!(line.is_empty(), queue.is_empty());
            }
        }
    }
}
