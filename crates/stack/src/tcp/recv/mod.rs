//! The receiving side: text in order and out of order, the window offered, and the buffer that grows with the path.

pub(crate) mod queue;
pub(crate) mod reassembly;
pub(crate) mod text;
pub(crate) mod tune;
pub(crate) mod window;
