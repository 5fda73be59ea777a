//! The send buffer: a rope of all octets from SND.UNA on, sent or not.
//!
//! ```text
//!   SND.UNA                                                    SND.UNA + len
//!      ▼                                                             ▼
//!      ┌──────────┬──────────────────────┬───────┬───────────────────┐─ ─ ─ ─ ┐
//!      │ part     │ part                 │ part  │ tail, not shared  │  room
//!      └──────────┴──────────────────────┴───────┴───────────────────┘─ ─ ─ ─ ┘
//!         shared slices, never copied again        applications write here
//! ```

use core::hint::cold_path;

use bytes::{Bytes, BytesMut};

use crate::frame::Payload;
use crate::pool::{LARGE, Pool, SMALL, drop_front};
use crate::rope::Rope;
use crate::short;

/// Octets to send, from the oldest unacknowledged one on.
///
/// Written data is copied once, into the tail. When octets of the tail are first sent, what is written of it becomes a
/// shared part. Sending and sending again hand out slices of parts. An empty buffer holds no memory. How much it may
/// hold is the owner's rule; the limit here is 2^32 - 1 octets.
#[derive(Debug, Default)]
pub(crate) struct SendBuffer {
    parts: Rope,
    /// Octets written and not yet shared, with room behind them.
    tail: BytesMut,
    len: u32,
    /// Where new data was last sliced.
    front: Cursor,
    /// Where data before that was last sliced: retransmissions go on there.
    back: Cursor,
}

/// A part and how many octets lie between SND.UNA and its first.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    part: u32,
    start: u32,
}

impl SendBuffer {
    /// Octets held.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }
    /// Whether there is none; then no memory is held either.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Appends a copy of `data`.
    #[inline]
    pub(crate) fn append(&mut self, pool: &mut Pool, data: &[u8]) {
        if data.len() <= self.tail.capacity() - self.tail.len() {
            self.grow(data.len());
            return short::append(&mut self.tail, data);
        }
        cold_path(); // out of the way of short messages: what comes here takes its time
        self.append_on(pool, data);
    }
    /// As [`SendBuffer::append`], where the tail does not hold all of it.
    #[inline(never)]
    fn append_on(&mut self, pool: &mut Pool, mut data: &[u8]) {
        self.grow(data.len());
        while !data.is_empty() {
            if self.tail.len() == self.tail.capacity() {
                self.share_tail();
                // One large buffer for a long write or a long queue, else small ones: a short message should not
                // pin 64 KiB until it is acknowledged.
                let large = data.len() >= LARGE / 4 || self.len as usize >= LARGE / 2;
                self.tail = pool.take(if large { LARGE } else { SMALL });
            }
            let n = data.len().min(self.tail.capacity() - self.tail.len());
            self.tail.extend_from_slice(&data[..n]);
            data = &data[n..];
        }
    }
    /// Appends shared octets without copying.
    pub(crate) fn append_bytes(&mut self, bytes: Bytes) {
        self.grow(bytes.len());
        self.share_tail();
        self.parts.push(bytes);
    }
    /// Appends to `out` the `len` octets that begin `offset` after SND.UNA (as many as there are), sharing the buffers.
    /// Constant time where the last call ended.
    ///
    /// It stops early, between two parts, when `out` has as many as fit without an allocation and at least `enough` octets.
    pub(crate) fn slice(&mut self, offset: u32, len: u32, enough: u32, out: &mut Payload) {
        let end = offset.saturating_add(len).min(self.len);
        if offset >= end {
            return;
        }
        if end > self.len - self.tail.len() as u32 {
            self.share_tail();
        }
        let ahead = offset >= self.front.start;
        let mut cursor = match () {
            () if ahead => self.front,
            () if offset >= self.back.start => self.back,
            () => Cursor::default(),
        };
        while let Some(part) = self.parts.get(cursor.part as usize) {
            let part_end = cursor.start + part.len() as u32;
            let from = offset.max(cursor.start);
            let to = end.min(part_end);
            if from < to {
                out.push(part.slice((from - cursor.start) as usize..(to - cursor.start) as usize));
            }
            if end <= part_end {
                break;
            }
            if out.is_full() && out.len() as u32 >= enough {
                break;
            }
            cursor.part += 1;
            cursor.start = part_end;
        }
        *if ahead { &mut self.front } else { &mut self.back } = cursor;
    }
    /// Copies `out.len()` octets that begin `offset` after SND.UNA, if all of them lie in the tail, where nobody shares them
    /// yet: short messages are never shared at all.
    #[inline]
    #[must_use]
    pub(crate) fn copy_from_tail(&self, offset: u32, out: &mut [u8]) -> bool {
        let before = self.len - self.tail.len() as u32;
        let Some(from) = offset.checked_sub(before) else {
            return false;
        };
        match self.tail.get(from as usize..from as usize + out.len()) {
            Some(octets) => {
                short::copy(octets, out);
                true
            }
            None => false,
        }
    }
    /// Makes an emptied buffer ready for its next owner; its memory stays with it.
    #[inline(always)]
    pub(crate) fn refresh(&mut self, pool: &mut Pool) {
        self.parts.refresh();
        pool.refresh(&mut self.tail);
    }
    /// Drops `n` octets from the front (all, if there are fewer): they are acknowledged. Buffers go back to the pool.
    #[inline]
    pub(crate) fn ack(&mut self, pool: &mut Pool, n: u32) {
        let n = n.min(self.len);
        if self.parts.is_empty() {
            drop_front(&mut self.tail, n as usize);
            self.len -= n;
            return;
        }
        self.ack_parts(pool, n);
    }
    #[inline(never)]
    fn ack_parts(&mut self, pool: &mut Pool, n: u32) {
        let shared = n.min(self.len - self.tail.len() as u32);
        let gone = self.parts.advance(shared as usize, |part| pool.give(part)) as u32;
        for cursor in [&mut self.front, &mut self.back] {
            *cursor = match cursor.part.checked_sub(gone) {
                None | Some(0) => Cursor::default(),
                Some(part) => Cursor {
                    part,
                    start: cursor.start - shared,
                },
            };
        }
        drop_front(&mut self.tail, (n - shared) as usize);
        self.len -= n;
    }

    fn grow(&mut self, n: usize) {
        let n = u32::try_from(n).ok().and_then(|n| self.len.checked_add(n));
        self.len = n.expect("the owner keeps the send buffer under 4 GiB");
    }
    /// Makes what is written of the tail a part.
    fn share_tail(&mut self) {
        if !self.tail.is_empty() {
            // `split` leaves the buffer's bookkeeping in place for when it comes back to the pool; `freeze` alone
            // would allocate it anew each time.
            self.parts.push(self.tail.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn sequential_slices_walk_no_parts() {
        let mut pool = Pool::default();
        let mut buffer = SendBuffer::default();
        for i in 0..100u8 {
            buffer.append_bytes(Bytes::from(std::vec![i; 10]));
        }
        for i in 0..100 {
            let mut out = Payload::new();
            buffer.slice(i * 10, 10, u32::MAX, &mut out);
            assert_eq!(out.to_vec(), [i as u8; 10]);
            assert_eq!(buffer.front.part, i);
        }
        // A retransmission does not lose the place for new data.
        buffer.slice(50, 20, u32::MAX, &mut Payload::new());
        assert_eq!((buffer.back.part, buffer.front.part), (6, 99));
        buffer.ack(&mut pool, 65);
        assert_eq!(
            (buffer.back.part, buffer.front.part, buffer.front.start),
            (0, 93, 925)
        );
    }

    #[test]
    fn small_writes_share_a_buffer_and_one_part() {
        let mut pool = Pool::default();
        let mut buffer = SendBuffer::default();
        (0..50).for_each(|_| buffer.append(&mut pool, b"abc"));
        let mut out = Payload::new();
        buffer.slice(0, 150, u32::MAX, &mut out);
        assert_eq!((out.len(), out.parts().len()), (150, 1));
        drop(out);
        buffer.ack(&mut pool, 150);
        assert!(buffer.is_empty());
        buffer.refresh(&mut pool);
        assert!(
            buffer.tail.is_empty() && buffer.tail.capacity() >= SMALL / 2,
            "it keeps its small buffer"
        );
    }

    #[derive(Clone, Debug)]
    enum Op {
        Write(usize),
        Share(usize),
        Slice(u32, u32),
        Ack(u32),
    }
    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0usize..100_000, 0u32..12).prop_map(|(n, shift)| Op::Write(n >> shift)),
            (0usize..5000).prop_map(Op::Share),
            (any::<u32>(), 0u32..70_000).prop_map(|(at, n)| Op::Slice(at, n)),
            (any::<u32>(), 0u32..70_000).prop_map(|(at, n)| Op::Slice(at, n)),
            (any::<u32>()).prop_map(Op::Ack),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_vector(ops in prop::collection::vec(op(), 0..60)) {
            let mut pool = Pool::default();
            let mut buffer = SendBuffer::default();
            let mut model: Vec<u8> = Vec::new();
            let mut octets = (0u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
            for op in ops {
                match op {
                    Op::Write(n) => {
                        let data: Vec<u8> = octets.by_ref().take(n).collect();
                        buffer.append(&mut pool, &data);
                        model.extend(data);
                    }
                    Op::Share(n) => {
                        let data: Vec<u8> = octets.by_ref().take(n).collect();
                        buffer.append_bytes(Bytes::from(data.clone()));
                        model.extend(data);
                    }
                    Op::Slice(at, n) => {
                        let at = at % (model.len() as u32 + 2);
                        let mut out = Payload::new();
                        buffer.slice(at, n, u32::MAX, &mut out);
                        let from = (at as usize).min(model.len());
                        let to = (from + n as usize).min(model.len());
                        prop_assert_eq!(out.to_vec(), &model[from..to]);
                    }
                    Op::Ack(n) => {
                        let n = n % (model.len() as u32 + 1);
                        buffer.ack(&mut pool, n);
                        model.drain(..n as usize);
                    }
                }
                prop_assert_eq!(buffer.len() as usize, model.len());
            }
            buffer.ack(&mut pool, buffer.len());
            buffer.refresh(&mut pool);
            prop_assert!(buffer.is_empty() && buffer.parts.is_empty());
            prop_assert!(buffer.tail.capacity() <= SMALL, "it keeps a small buffer at most");
        }
    }
}
