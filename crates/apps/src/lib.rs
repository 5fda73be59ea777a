//! Programs, written once: they take a [`Net`](sockeye_net::Net) and never ask where its sockets live. The
//! same function serves on the operating system, on a Sockeye stack, and in a virtual network.
#![forbid(unsafe_code)]

pub mod chat;
pub mod line;
pub mod tftp;
pub mod udp;
pub mod upper;
pub mod words;
