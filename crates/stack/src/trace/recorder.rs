//! The recorder of events.

use alloc::collections::VecDeque;
use core::hint::cold_path;

use super::{DropCounters, DropReason, TraceEvent, TraceKind, TraceMask, Tuple};
use crate::SocketId;
use crate::time::Instant;

/// The recorder: a bounded queue of events. When it is full the oldest go, and are counted.
#[derive(Debug, Default)]
pub struct Trace {
    mask: TraceMask,
    events: VecDeque<TraceEvent>,
    lost: u64,
    drops: DropCounters,
}

/// Events kept between two drains. Drivers drain after each batch, so this is only reached by one that never does.
const TRACE_CAPACITY: usize = 1 << 16;

impl Trace {
    /// Chooses what is recorded.
    pub fn set_mask(&mut self, mask: TraceMask) {
        self.mask = mask;
    }
    /// Whether events of this kind are recorded.
    #[inline]
    pub fn wants(&self, kind: TraceMask) -> bool {
        let wanted = self.mask.intersects(kind);
        if wanted {
            cold_path(); // who traces has time
        }
        wanted
    }
    /// Records an event if its kind is wanted; `make` runs only then.
    #[inline(always)]
    pub(crate) fn record(
        &mut self,
        kind: TraceMask,
        at: Instant,
        socket: Option<SocketId>,
        make: impl FnOnce() -> TraceKind,
    ) {
        if self.wants(kind) {
            self.made(at, socket, make);
        }
    }
    /// Apart from the test whether anybody listens, which is all that most steps pay for.
    #[cold]
    #[inline(never)]
    fn made(&mut self, at: Instant, socket: Option<SocketId>, make: impl FnOnce() -> TraceKind) {
        self.push(TraceEvent {
            at,
            socket,
            kind: make(),
        });
    }
    /// Counts a drop and records it.
    pub(crate) fn dropped(
        &mut self,
        at: Instant,
        socket: Option<SocketId>,
        tuple: Option<Tuple>,
        reason: DropReason,
    ) {
        self.drops.add(reason);
        self.record(TraceMask::DROPS, at, socket, || TraceKind::Dropped {
            tuple,
            reason,
        });
    }
    fn push(&mut self, event: TraceEvent) {
        if self.events.len() >= TRACE_CAPACITY {
            self.events.pop_front();
            self.lost += 1;
        }
        self.events.push_back(event);
    }
    /// Takes the recorded events, oldest first.
    pub fn drain(&mut self) -> impl Iterator<Item = TraceEvent> + '_ {
        self.events.drain(..)
    }
    /// How many events were lost because nobody drained.
    pub fn lost(&self) -> u64 {
        self.lost
    }
    /// Drops by reason.
    pub fn drops(&self) -> &DropCounters {
        &self.drops
    }
}
