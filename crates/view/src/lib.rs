//! What the core's trace becomes: pictures, captures and numbers.
#![forbid(unsafe_code)]

pub mod explain;
pub mod record;

pub use record::{
    Backlog, Cast, HostIndex, HostInfo, InterfaceInfo, LinkChange, LinkLoss, Record, What, WireEvent,
};
