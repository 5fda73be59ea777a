//! Receiving: what came out of order, and what waits for the application.

pub(crate) mod queue;
pub(crate) mod reassembly;

pub(crate) use queue::ReceiveQueue;
pub(crate) use reassembly::Reassembly;
