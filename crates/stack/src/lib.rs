//! TCP and UDP over IPv4 and IPv6 as a sans-IO core.
//!
//! [`Stack`] is a state machine: frames, time and socket calls go in; frames to send, events and deadlines come out.
//! It does no I/O, reads no clock and starts no thread, which `no_std` proves, and the same inputs with the same seed
//! give the same outputs to the bit.
//!
//! Start with [`Stack`], whose documentation holds the contract: what to call, in which order, after what.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod config;
pub mod frame;
pub mod iface;
pub mod tcp;
pub mod time;
pub mod trace;
pub mod udp;
pub mod wire;

mod arena;
mod bindings;
mod demux;
mod error;
mod line;
mod pool;
mod port_counts;
mod rng;
mod rope;
mod short;
pub mod snapshot;
mod stack;
mod wheel;

pub use config::{Config, Profile};
pub use error::*;
pub use frame::{ChecksumOffload, Frame, Payload, RxMeta, TxFrame, TxMeta};
pub use iface::{Capabilities, InterfaceConfig, Medium};
pub use stack::{Event, InterfaceId, Readiness, SocketId, Stack, Why};
pub use time::{Duration, Instant};
