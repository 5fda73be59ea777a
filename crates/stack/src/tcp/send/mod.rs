//! The sending side: retained copies, what the peer has, and what an acknowledgment does to both.

pub(crate) mod ack;
pub(crate) mod buffer;
pub(crate) mod scoreboard;
