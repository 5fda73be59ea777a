//! The layer's own output queue.

use alloc::collections::VecDeque;

use super::Full;
use crate::frame::{Frame, TxMeta};

/// Frames held.
const FRAMES_MAX: usize = 1024;
/// Octets held.
const OCTETS_MAX: usize = 4 << 20;

/// Frames that wait for `poll_transmit`, in order. When it is full, new ones are refused: what was promised first
/// leaves first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    frames: VecDeque<(Frame, TxMeta)>,
    octets: usize,
}

impl Queue {
    /// Whether nothing is queued.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
    /// Whether `frames` more with `octets` in all would fit.
    pub(super) fn has_room(&self, frames: usize, octets: usize) -> bool {
        self.frames.len() + frames <= FRAMES_MAX && self.octets + octets <= OCTETS_MAX
    }
    pub(super) fn push(&mut self, frame: Frame, meta: TxMeta) -> Result<(), Full> {
        if !self.has_room(1, frame.len()) {
            return Err(Full);
        }
        self.octets += frame.len();
        self.frames.push_back((frame, meta));
        Ok(())
    }
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Frame, TxMeta)> {
        let (frame, meta) = self.frames.pop_front()?;
        self.octets -= frame.len();
        Some((frame, meta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InterfaceId;
    use crate::trace::Cause;
    use std::vec;

    #[test]
    fn refuses_beyond_its_bounds() {
        let mut q = Queue::default();
        let meta = TxMeta {
            interface: InterfaceId(0),
            gso_size: 0,
            checksum: None,
            cause: Cause::Datagram,
        };
        let big = || Frame::from(vec![0; OCTETS_MAX / 2]);
        assert!(q.push(big(), meta).is_ok() && q.push(big(), meta).is_ok());
        assert_eq!(q.push(Frame::from(vec![0]), meta), Err(Full));
        q.pop().unwrap();
        for _ in 1..FRAMES_MAX {
            assert!(q.push(Frame::from(vec![0]), meta).is_ok());
        }
        assert_eq!(q.push(Frame::from(vec![0]), meta), Err(Full));
    }
}
