//! What the tests of several crates share.

pub mod namespace;
pub mod texts;
