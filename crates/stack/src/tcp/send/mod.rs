//! Sending: what waits or is in flight, and what the peer says it has.

pub(crate) mod buffer;
pub(crate) mod scoreboard;

pub(crate) use buffer::SendBuffer;
