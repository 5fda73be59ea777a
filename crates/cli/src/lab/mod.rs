//! Commands on virtual networks.

pub mod alone;
pub mod desk;
pub mod scenario;
pub mod upper;
