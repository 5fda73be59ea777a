//! What is to come: a heap of times, with the frames on their way beside it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytes::Bytes;
use sockeye_stack::{Frame, Instant};
use sockeye_view::HostIndex;

/// A frame on its way.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) frame: Frame,
    /// Its name in the records.
    pub(crate) id: u64,
    pub(crate) sent_at: Instant,
    pub(crate) from: HostIndex,
    /// Its bytes, where records are wanted.
    pub(crate) bytes: Option<Bytes>,
    /// Where it arrives.
    pub(crate) node: u16,
    pub(crate) port: u16,
}

/// What happens at a time. Taken apart as soon as it is made, so its size costs nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(crate) enum What {
    /// A frame arrives.
    Arrival(InFlight),
    /// A host's deadline may have come.
    Timer(u16),
}

/// The heap holds small keys; frames lie still in slots. Events of one time come out in the order they went in.
#[derive(Debug, Default)]
pub(crate) struct Events {
    heap: BinaryHeap<Reverse<(Instant, u64, Key)>>,
    slots: Vec<Option<InFlight>>,
    free: Vec<u32>,
    order: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Key {
    Arrival(u32),
    Timer(u16),
}

impl Events {
    pub(crate) fn push_arrival(&mut self, at: Instant, flight: InFlight) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(flight);
                slot
            }
            None => {
                self.slots.push(Some(flight));
                (self.slots.len() - 1) as u32
            }
        };
        self.push(at, Key::Arrival(slot));
    }
    pub(crate) fn push_timer(&mut self, at: Instant, node: u16) {
        self.push(at, Key::Timer(node));
    }
    fn push(&mut self, at: Instant, key: Key) {
        self.order += 1;
        self.heap.push(Reverse((at, self.order, key)));
    }
    /// When something happens next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }
    /// Takes the next event, if its time has come at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<What> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, _, key)) = self.heap.pop()?;
        Some(match key {
            Key::Timer(node) => What::Timer(node),
            Key::Arrival(slot) => {
                self.free.push(slot);
                What::Arrival(
                    self.slots[slot as usize]
                        .take()
                        .expect("a key in the heap has its slot filled"),
                )
            }
        })
    }
    /// Frames on their way.
    pub(crate) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
