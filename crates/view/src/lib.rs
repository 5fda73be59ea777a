//! What the core's trace becomes: pictures, captures and numbers.
//!
//! One stream of [`Record`]s, many readers, each fed record by record:
//!
//! | reader | makes |
//! |-|-|
//! | [`Ladder`] | the ladder diagram: states, arrows, causes, as it happens |
//! | [`Capture`] | a pcapng file with the cause of every frame as its comment |
//! | [`JsonLines`] | one JSON object a record |
//! | [`Metrics`] | counters and gauges for Prometheus |
//!
//! Beside them [`sockets::table`] shows a snapshot as `ss` does, and [`explain`] says of every cause, drop and wait what it
//! means and which clause of which RFC asks for it.
#![forbid(unsafe_code)]

pub mod explain;
pub mod json;
pub mod ladder;
pub mod metrics;
pub mod packet;
pub mod pcapng;
pub mod record;
pub mod sockets;
mod text;

pub use explain::{Explain, Explanation};
pub use json::JsonLines;
pub use ladder::{Detail, Ladder, LadderStyle, Notation};
pub use metrics::Metrics;
pub use pcapng::{Capture, Perspective};
pub use record::{
    Backlog, Cast, HostIndex, HostInfo, InterfaceInfo, LinkChange, LinkLoss, Record, What, WireEvent,
};

#[cfg(test)]
mod scene;
