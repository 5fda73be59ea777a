//! Virtual networks on virtual time: hosts, links, switches, routers and NATs, deterministic from one seed.
//!
//! ```
//! use sockeye_lab::{World, mbit, ms};
//!
//! let mut world = World::new(1);
//! let client = world.host("client").ip("10.0.0.1/24").id();
//! let server = world.host("server").ip("10.0.0.2/24").id();
//! world.link(client, server).delay(ms(10)).rate(mbit(10)).loss(0.05);
//! ```
//!
//! A [`World`] can be driven by hand ([`World::step`], [`World::run_for`], [`World::run_until`]), or under programs:
//! [`run`] runs tokio tasks on its sockets, in virtual time.
#![forbid(unsafe_code)]

mod build;
mod digest;
pub mod drill;
mod events;
pub mod impair;
mod link;
mod nat;
pub mod packet;
mod pass;
mod rng;
mod route;
mod router;
mod run;
pub mod scenarios;
pub mod sim;
mod switch;
mod tell;
mod world;

pub use build::{HostBuilder, LinkEdit, RouterBuilder};
pub use digest::Digest;
pub use impair::{Burst, Impairments, Queue};
pub use link::{Direction, LinkStats};
pub use nat::{Filter, NatConfig};
pub use packet::Packet;
pub use rng::Rng;
pub use run::{Lab, run};
pub use world::{LinkId, NodeId, World};

use sockeye_stack::Duration;

/// `n` milliseconds.
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
/// `n` microseconds.
pub const fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}
/// `n` seconds.
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
/// `n` kilobits a second, in bits a second.
pub const fn kbit(n: u64) -> u64 {
    n * 1_000
}
/// `n` megabits a second, in bits a second.
pub const fn mbit(n: u64) -> u64 {
    n * 1_000_000
}
/// `n` gigabits a second, in bits a second.
pub const fn gbit(n: u64) -> u64 {
    n * 1_000_000_000
}
