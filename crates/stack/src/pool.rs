//! A pool of buffers for octets that have to be copied: what applications write, and small segments.
//!
//! Buffers leave the pool as [`BytesMut`], are shared as [`Bytes`], and come back when the last share is given back. A
//! buffer that is still shared then (a device holds the frame) is let go; its memory is freed by its last holder.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Buf, Bytes, BytesMut};

use crate::tcp::recv::queue::ReceiveQueue;
use crate::tcp::send::buffer::SendBuffer;

/// Octets of a small buffer: one segment or a few short messages.
pub(crate) const SMALL: usize = 2 * 1024;
/// Octets of a large buffer: one super-segment.
pub(crate) const LARGE: usize = 64 * 1024;
/// Most small buffers kept: 128 KiB.
const KEEP_SMALL: usize = 64;
/// Most large buffers kept: 4 MiB.
const KEEP_LARGE: usize = 64;

/// Buffers of one size.
#[derive(Debug, Default)]
struct Class {
    free: Vec<BytesMut>,
    /// Handles of buffers whose octets were lent out in full: free again once nobody shares them any more.
    lent: VecDeque<BytesMut>,
}

impl Class {
    fn take(&mut self, size: usize) -> BytesMut {
        if let Some(free) = self.free.pop() {
            return free;
        }
        // `try_reclaim` gets the whole of an unshared buffer back, and never allocates.
        if let Some(mut oldest) = self.lent.pop_front() {
            if oldest.try_reclaim(size) {
                return oldest;
            }
            self.lent.push_back(oldest);
        }
        BytesMut::with_capacity(size)
    }
}

/// Free buffers of two sizes. Bounded: a buffer that comes back when its class is full is freed.
///
/// In steady state neither [`Pool::take`] nor [`Pool::give`] allocates (proved with a counting allocator in
/// `tests/allocations.rs`).
#[derive(Debug, Default)]
pub(crate) struct Pool {
    small: Class,
    large: Class,
    /// Empty queues with their small buffers, ready for the next connection that has something to hold.
    #[expect(
        clippy::vec_box,
        reason = "a connection takes the box as it is; unboxed, each take would allocate"
    )]
    senders: Vec<Box<SendBuffer>>,
    #[expect(clippy::vec_box, reason = "as above")]
    receivers: Vec<Box<ReceiveQueue>>,
}

#[cold]
fn new<T: Default>() -> Box<T> {
    Box::default()
}

/// Most empty queues kept, of each kind.
const KEEP_QUEUES: usize = 64;

impl Pool {
    /// An empty send buffer.
    #[inline]
    pub(crate) fn take_sender(&mut self) -> Box<SendBuffer> {
        let Some(taken) = self.senders.pop() else {
            return new();
        };
        taken
    }
    /// Takes a send buffer back that has become empty.
    #[inline(always)]
    pub(crate) fn give_sender(&mut self, mut sender: Box<SendBuffer>) {
        debug_assert!(sender.is_empty());
        if self.senders.len() < KEEP_QUEUES {
            sender.refresh(self);
            self.senders.push(sender);
        }
    }
    /// An empty receive queue.
    #[inline]
    pub(crate) fn take_receiver(&mut self) -> Box<ReceiveQueue> {
        let Some(taken) = self.receivers.pop() else {
            return new();
        };
        taken
    }
    /// Takes a receive queue back that has become empty.
    #[inline(always)]
    pub(crate) fn give_receiver(&mut self, mut receiver: Box<ReceiveQueue>) {
        debug_assert!(receiver.is_empty());
        if self.receivers.len() < KEEP_QUEUES {
            receiver.refresh(self);
            self.receivers.push(receiver);
        }
    }
    /// Makes an emptied buffer ready for new octets: a small one keeps its memory, another goes back.
    #[inline(always)]
    pub(crate) fn refresh(&mut self, buffer: &mut BytesMut) {
        buffer.clear();
        let capacity = buffer.capacity();
        if !(SMALL / 2..=SMALL).contains(&capacity) {
            self.renew(buffer);
        }
    }
    #[cold]
    fn renew(&mut self, buffer: &mut BytesMut) {
        if buffer.capacity() == 0 {
            return;
        }
        // A view that has walked to its end moves back over its whole allocation, without allocating, unless a part of it
        // is still shared.
        let size = if buffer.capacity() > SMALL { LARGE } else { SMALL };
        let whole = buffer.try_reclaim(size);
        if whole && buffer.capacity() <= SMALL {
            return;
        }
        let buffer = core::mem::take(buffer);
        if whole {
            self.give_mut(buffer);
        } else {
            self.lend(buffer, size);
        }
    }

    /// An empty buffer with room for at least [`SMALL`] octets, or [`LARGE`] where `hint` octets would not fit.
    pub(crate) fn take(&mut self, hint: usize) -> BytesMut {
        if hint <= SMALL {
            self.small.take(SMALL)
        } else {
            self.large.take(LARGE)
        }
    }
    /// Takes the handle of a buffer all of whose octets have been split off and are shared: it is used again once they are
    /// given up, by whoever holds them last. Beyond the bound the oldest is let go.
    pub(crate) fn lend(&mut self, handle: BytesMut, size: usize) {
        let (class, keep) = if size <= SMALL {
            (&mut self.small, KEEP_SMALL)
        } else {
            (&mut self.large, KEEP_LARGE)
        };
        if class.lent.len() >= keep {
            class.lent.pop_front();
        }
        class.lent.push_back(handle);
    }
    /// The octets in a buffer that comes back when nobody shares it any more.
    pub(crate) fn copy(&mut self, octets: &[u8]) -> Bytes {
        let mut buffer = self.take(octets.len());
        buffer.extend_from_slice(octets);
        let copy = buffer.split().freeze();
        self.lend(buffer, octets.len());
        copy
    }
    /// Takes a share of a buffer back. Kept if it is the last share and the buffer has the size of a class.
    #[inline]
    pub(crate) fn give(&mut self, bytes: Bytes) {
        if let Ok(buffer) = bytes.try_into_mut() {
            self.give_mut(buffer);
        }
    }
    /// As [`Pool::give`], for a share that can be written to.
    pub(crate) fn give_mut(&mut self, mut buffer: BytesMut) {
        buffer.clear();
        // `try_reclaim` never allocates: it moves an empty, unshared view back over its whole allocation. Buffers
        // much larger than their class came from elsewhere and would hold memory for nothing.
        let (class, keep, size) = match () {
            () if !buffer.try_reclaim(SMALL) => return,
            () if !buffer.try_reclaim(2 * SMALL) => (&mut self.small, KEEP_SMALL, SMALL),
            () if !buffer.try_reclaim(LARGE) => return,
            () if !buffer.try_reclaim(2 * LARGE) => (&mut self.large, KEEP_LARGE, LARGE),
            () => return,
        };
        if class.free.len() < keep && buffer.capacity() >= size {
            class.free.push(buffer);
        }
    }
    /// Octets of free buffers held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.small.free.len() * SMALL + self.large.free.len() * LARGE
    }
}

/// Drops the first octets of a buffer. One that becomes empty begins anew where it began, which costs less than to move its
/// beginning.
#[inline]
pub(crate) fn drop_front(buffer: &mut BytesMut, n: usize) {
    if n == buffer.len() {
        buffer.clear();
    } else {
        move_front(buffer, n);
    }
}

#[inline(never)]
fn move_front(buffer: &mut BytesMut, n: usize) {
    buffer.advance(n);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_whole_when_its_last_share_does() {
        let mut pool = Pool::default();
        let mut buffer = pool.take(100);
        assert_eq!(buffer.capacity(), SMALL);
        let at = buffer.as_ptr();
        buffer.extend_from_slice(&[1; 700]);
        let mut shares: Vec<_> = (0..7).map(|_| buffer.split_to(100).freeze()).collect();
        let last = shares.remove(6);
        shares.into_iter().for_each(|share| pool.give(share));
        assert_eq!(pool.held(), 0, "still shared");
        pool.give_mut(buffer);
        assert_eq!(pool.held(), 0, "still shared");
        pool.give(last);
        assert_eq!(pool.held(), SMALL);
        let again = pool.take(1);
        assert_eq!((again.as_ptr(), again.capacity(), again.len()), (at, SMALL, 0));
    }

    #[test]
    fn sizes_that_are_no_class_are_let_go() {
        let mut pool = Pool::default();
        pool.give(Bytes::from_static(b"static"));
        for size in [1, SMALL - 1, 3 * SMALL, LARGE - 1, 3 * LARGE] {
            pool.give_mut(BytesMut::with_capacity(size));
        }
        assert_eq!(pool.held(), 0);
        pool.give(Bytes::from(Vec::with_capacity(LARGE)));
        assert_eq!(pool.held(), LARGE);
        assert_eq!(pool.take(SMALL + 1).capacity(), LARGE);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut pool = Pool::default();
        let buffers: Vec<_> = (0..KEEP_SMALL + 9).map(|_| pool.take(1)).collect();
        buffers.into_iter().for_each(|buffer| pool.give_mut(buffer));
        assert_eq!(pool.held(), KEEP_SMALL * SMALL);
    }
}
