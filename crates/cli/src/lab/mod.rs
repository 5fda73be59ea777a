//! Commands on virtual networks.

pub mod scenario;
pub mod upper;
