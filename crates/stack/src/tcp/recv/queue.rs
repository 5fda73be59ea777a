//! The receive queue: octets in order that wait for the application.
//!
//! ```text
//!   next to read                                            RCV.NXT
//!      ▼                                                       ▼
//!      ┌───────────────┬──────────────┬────────────────────────┐─ ─ ─ ┐
//!      │ part          │ part         │ tail: small segments   │ room
//!      └───────────────┴──────────────┴────────────────────────┘─ ─ ─ ┘
//!        slices of the frames they came in     copied together
//! ```

use bytes::BytesMut;

use crate::frame::{Payload, Text};
use crate::pool::{LARGE, Pool, drop_front};
use crate::rope::Rope;
use crate::short;

/// Payloads up to this many octets are copied out of the frame they came in, which would otherwise be held by them:
/// at most a quarter of what the frame of a full segment takes.
pub(crate) const COPY_MAX: usize = 512;

/// Octets received in order and not yet read. An empty queue holds no memory.
///
/// Its bound is the receive window, which its owner keeps.
#[derive(Debug, Default)]
pub(crate) struct ReceiveQueue {
    parts: Rope,
    /// Copied octets that follow the parts, with room behind them.
    tail: BytesMut,
    len: u32,
}

impl ReceiveQueue {
    /// Octets that wait.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }
    /// Whether there is none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Appends `payload`. It is copied if it is small, or if it `pins` a buffer much larger than itself.
    pub(crate) fn push(&mut self, pool: &mut Pool, payload: Payload, pins: bool) {
        self.len += payload.len() as u32;
        if payload.len() > COPY_MAX && !pins {
            self.share_tail();
            for part in payload.into_parts() {
                self.parts.push(part);
            }
            return;
        }
        for part in payload.parts() {
            self.copy(pool, part);
        }
    }
    /// Appends the text of a segment. It is copied if it is short, or if nobody shares it.
    #[inline]
    pub(crate) fn push_text(&mut self, pool: &mut Pool, text: Text<'_>) {
        if let Some(octets) = text.in_one_piece() {
            self.len += octets.len() as u32;
            return self.copy(pool, octets);
        }
        self.push_pieces(pool, text);
    }
    #[inline(never)]
    fn push_pieces(&mut self, pool: &mut Pool, mut text: Text<'_>) {
        if text.len() > COPY_MAX {
            if let Some(part) = text.take_only() {
                self.len += part.len() as u32;
                self.share_tail();
                return self.parts.push(part);
            }
            return self.push(pool, text.into_payload(), false);
        }
        self.len += text.len() as u32;
        for piece in text.pieces() {
            self.copy(pool, piece);
        }
    }
    #[inline]
    fn copy(&mut self, pool: &mut Pool, data: &[u8]) {
        if data.len() <= self.tail.capacity() - self.tail.len() {
            return short::append(&mut self.tail, data);
        }
        self.copy_on(pool, data);
    }
    /// As [`ReceiveQueue::copy`], where the tail does not hold all of it.
    #[inline(never)]
    fn copy_on(&mut self, pool: &mut Pool, mut data: &[u8]) {
        while !data.is_empty() {
            if self.tail.len() == self.tail.capacity() {
                self.lend_tail(pool);
                // As for what is sent: a long queue takes large buffers, a short message pins a small one.
                let large = self.len as usize >= LARGE / 8;
                self.tail = pool.take(if large { LARGE } else { data.len() });
            }
            let n = data.len().min(self.tail.capacity() - self.tail.len());
            self.tail.extend_from_slice(&data[..n]);
            data = &data[n..];
        }
    }
    /// Makes an emptied queue ready for its next owner; its buffer stays with it.
    #[inline(always)]
    pub(crate) fn refresh(&mut self, pool: &mut Pool) {
        self.parts.refresh();
        pool.refresh(&mut self.tail);
    }
    /// Moves octets into `out`, as many as fit; returns how many.
    #[inline]
    pub(crate) fn read(&mut self, pool: &mut Pool, out: &mut [u8]) -> usize {
        if self.parts.is_empty() {
            // The common case of short messages: all of them lie in the tail.
            let n = self.tail.len().min(out.len());
            short::copy(&self.tail[..n], &mut out[..n]);
            drop_front(&mut self.tail, n);
            self.len -= n as u32;
            return n;
        }
        self.read_parts(pool, out)
    }
    #[inline(never)]
    fn read_parts(&mut self, pool: &mut Pool, out: &mut [u8]) -> usize {
        let n = self.peek(out);
        self.discard(pool, n as u32);
        n
    }
    /// Copies the first octets into `out`, as many as fit, and leaves them; returns how many.
    pub(crate) fn peek(&self, out: &mut [u8]) -> usize {
        let mut at = 0;
        for part in self.parts.iter().map(|part| &part[..]).chain([&self.tail[..]]) {
            let n = part.len().min(out.len() - at);
            out[at..at + n].copy_from_slice(&part[..n]);
            at += n;
            if at == out.len() {
                break;
            }
        }
        at
    }
    /// Takes up to `max` octets off without copying; fewer, if more slices than a payload holds without an allocation
    /// would be needed.
    pub(crate) fn take(&mut self, max: usize) -> Payload {
        let mut out = Payload::new();
        let mut left = max.min(self.len as usize);
        let wanted = left;
        while left > 0 && !out.is_full() {
            match self.parts.pop() {
                Some(part) if part.len() <= left => {
                    left -= part.len();
                    out.push(part);
                }
                Some(mut part) => {
                    out.push(part.split_to(left));
                    self.parts.push_front(part);
                    left = 0;
                }
                None => {
                    out.push(self.tail.split_to(left).freeze());
                    left = 0;
                }
            }
        }
        self.len -= (wanted - left) as u32;
        out
    }
    /// The octet at a position, if it is there.
    pub(crate) fn octet_at(&self, mut at: usize) -> Option<u8> {
        for part in self.parts.iter().map(|part| &part[..]).chain([&self.tail[..]]) {
            match part.get(at) {
                Some(octet) => return Some(*octet),
                None => at -= part.len(),
            }
        }
        None
    }
    /// Drops the first `n` octets (all, if there are fewer), giving buffers back to the pool.
    pub(crate) fn discard(&mut self, pool: &mut Pool, n: u32) {
        let n = n.min(self.len);
        let from_parts = n.min(self.len - self.tail.len() as u32);
        self.parts.advance(from_parts as usize, |part| pool.give(part));
        drop_front(&mut self.tail, (n - from_parts) as usize);
        self.len -= n;
    }

    /// As [`ReceiveQueue::share_tail`], for a tail that is full: the pool has it back once nobody holds its octets.
    fn lend_tail(&mut self, pool: &mut Pool) {
        let len = self.tail.len();
        if len > 0 {
            self.share_tail();
            pool.lend(core::mem::take(&mut self.tail), len);
        }
    }
    /// Makes the tail's octets a part, so that others can follow.
    fn share_tail(&mut self) {
        if !self.tail.is_empty() {
            self.parts.push(self.tail.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::SMALL;
    use alloc::vec::Vec;
    use bytes::Bytes;
    use proptest::prelude::*;

    #[test]
    fn large_segments_move_and_small_ones_are_gathered() {
        let mut pool = Pool::default();
        let mut queue = ReceiveQueue::default();
        let frame = Bytes::from(std::vec![1; 1500]);
        queue.push(&mut pool, frame.slice(52..).into(), false);
        assert!(!frame.is_unique(), "the frame is shared");
        for _ in 0..20 {
            queue.push(&mut pool, frame.slice(..100).into(), false);
        }
        queue.push(&mut pool, frame.slice(..600).into(), true);
        assert_eq!(queue.parts.parts(), 2);
        let mut out = [0; 1448];
        assert_eq!(queue.read(&mut pool, &mut out), 1448);
        assert!(frame.is_unique(), "nothing else holds it");
        assert_eq!(queue.take(9999).len(), 2600);
        assert_eq!(queue.len(), 0);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push(Vec<usize>, bool),
        Read(usize),
        Take(usize),
        Peek(usize),
        Discard(u32),
    }
    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (prop::collection::vec(0usize..1000, 0..4), any::<bool>()).prop_map(|(n, p)| Op::Push(n, p)),
            3 => (0usize..10).prop_map(|n| Op::Push(std::vec![n], false)),
            1 => (0usize..3000).prop_map(Op::Read),
            1 => (0usize..3000).prop_map(Op::Take),
            1 => (0usize..3000).prop_map(Op::Peek),
            1 => (0u32..3000).prop_map(Op::Discard),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_vector(ops in prop::collection::vec(op(), 0..80)) {
            let mut pool = Pool::default();
            let mut queue = ReceiveQueue::default();
            let mut model: Vec<u8> = Vec::new();
            let mut octets = (0u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
            for op in ops {
                match op {
                    Op::Push(parts, pins) => {
                        let mut payload = Payload::new();
                        for n in parts {
                            payload.push(octets.by_ref().take(n).collect::<Vec<_>>().into());
                        }
                        model.extend(payload.to_vec());
                        queue.push(&mut pool, payload, pins);
                    }
                    Op::Read(n) => {
                        let mut out = std::vec![0; n];
                        let got = queue.read(&mut pool, &mut out);
                        prop_assert_eq!(got, n.min(model.len()));
                        prop_assert_eq!(&out[..got], &model.drain(..got).collect::<Vec<_>>()[..]);
                    }
                    Op::Take(n) => {
                        let n_expected = n.min(model.len());
                        let taken = queue.take(n);
                        prop_assert!(taken.len() == n_expected || taken.is_full());
                        prop_assert!(taken.to_vec() == model.drain(..taken.len()).collect::<Vec<_>>());
                    }
                    Op::Peek(n) => {
                        let mut out = std::vec![0; n];
                        let got = queue.peek(&mut out);
                        prop_assert_eq!(&out[..got], &model[..n.min(model.len())]);
                    }
                    Op::Discard(n) => {
                        queue.discard(&mut pool, n);
                        model.drain(..(n as usize).min(model.len()));
                    }
                }
                prop_assert_eq!(queue.len() as usize, model.len());
                prop_assert!(!queue.is_empty() || queue.parts.is_empty());
            }
            queue.discard(&mut pool, u32::MAX);
            queue.refresh(&mut pool);
            prop_assert!(queue.is_empty() && queue.tail.capacity() <= SMALL, "it keeps a small buffer at most");
        }
    }
}
