//! The two ends of a transfer as state machines without I/O: time is a parameter, packets are numbers.
//!
//! ```text
//!            base            next        base + window
//!   ──────────┼───────────────┼────────────────┼──────────▶ blocks, counted from 1 and never rolled over
//!   acknowledged  in flight        may be sent
//! ```
//!
//! A driver hands in what came (`handle_ack`, `handle_data`, `handle_timeout`), then drains `poll_transmit`, then sleeps
//! until `deadline`. Nothing is answered from inside the input path. Block 0 is the handshake: the request or OACK of a
//! sender, the request, OACK or ACK 0 of a receiver.

mod numbers;
mod receiver;
mod sender;
#[cfg(test)]
mod sim;
mod timer;

pub use numbers::Rollover;
pub use receiver::{DataOutcome, Receiver, Reply};
pub use sender::{AckOutcome, Burst, Sender};
pub use timer::{Timer, Timing};

/// What happens at a deadline.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeoutOutcome {
    /// It was not yet time.
    Early,
    /// Something is to be sent again: drain `poll_transmit`.
    Resend,
    /// The peer has been silent for too long.
    GaveUp,
    /// A receiver that had everything has waited long enough for a lost last ACK.
    Finished,
}

/// What a machine has counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Blocks that were sent or accepted, each once.
    pub blocks: u64,
    /// Blocks or ACKs that were sent again.
    pub retransmissions: u64,
    /// Times that the timer ran out.
    pub timeouts: u64,
    /// Duplicates that came from the peer.
    pub duplicates: u64,
}
