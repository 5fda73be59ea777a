//! Datagrams: a line each. Sent to one address, received from anybody, or both.
//!
//! UDP promises nothing: a datagram may be lost, doubled or overtaken, and nobody says so. What is told of a
//! lost one is that no answer came.

mod exchange;
mod open;

pub use exchange::{Ending, Event, Manner, Settings, exchange};
pub use open::{Options, open};

/// The most that a datagram carries over IPv4 in octets: 65,535 less the headers of IP and UDP (20 and 8).
pub const LARGEST_V4: usize = 65_507;

/// The most that a datagram carries over IPv6 in octets: 65,535 less UDP's header (8), as the payload length of
/// IPv6 does not count its own header.
pub const LARGEST_V6: usize = 65_527;

/// The most that a datagram to `address` carries, in octets.
pub fn largest(address: &std::net::SocketAddr) -> usize {
    match address {
        std::net::SocketAddr::V4(_) => LARGEST_V4,
        std::net::SocketAddr::V6(_) => LARGEST_V6,
    }
}
