//! Datagrams that wait to be read.

use alloc::collections::VecDeque;
use bytes::Bytes;

use super::Datagram;
use crate::frame::Payload;

/// What a datagram counts beside its octets.
const DATAGRAM_COST: usize = 128;
/// Payloads up to this size are copied out of their frames: a frame of 64 KiB must not wait for one octet to be read.
const COPY_MAX: usize = 1024;

/// A bounded queue. When it is full, new datagrams are dropped: what came first is read first.
#[derive(Debug, Default)]
pub(super) struct ReceiveQueue {
    datagrams: VecDeque<Datagram>,
    cost: usize,
}

/// The queue is full; the datagram is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full;

impl ReceiveQueue {
    /// Appends a datagram while all together count at most `max`.
    pub(super) fn push(&mut self, mut datagram: Datagram, max: usize) -> Result<(), Full> {
        let cost = DATAGRAM_COST + datagram.payload.len();
        if self.cost + cost > max {
            return Err(Full);
        }
        if !datagram.payload.is_empty() && datagram.payload.len() <= COPY_MAX {
            datagram.payload = Payload::from(Bytes::from(datagram.payload.to_vec()));
        }
        self.cost += cost;
        self.datagrams.push_back(datagram);
        Ok(())
    }
    pub(super) fn pop(&mut self) -> Option<Datagram> {
        let datagram = self.datagrams.pop_front()?;
        self.cost -= DATAGRAM_COST + datagram.payload.len();
        Some(datagram)
    }
    pub(super) fn front(&self) -> Option<&Datagram> {
        self.datagrams.front()
    }
    /// Octets of payload that wait.
    pub(super) fn octets(&self) -> usize {
        self.cost - self.datagrams.len() * DATAGRAM_COST
    }
}
