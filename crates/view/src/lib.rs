//! What the core's trace becomes: pictures, captures and numbers.
#![forbid(unsafe_code)]

pub mod explain;
pub mod ladder;
pub mod packet;
pub mod record;
mod text;

pub use record::{
    Backlog, Cast, HostIndex, HostInfo, InterfaceInfo, LinkChange, LinkLoss, Record, What, WireEvent,
};

#[cfg(test)]
mod scene;
