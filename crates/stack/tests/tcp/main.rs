//! TCP as the wire and applications see it: between two stacks, and against a scripted peer that can send anything.
//!
//! Tests name the requirements that they prove in a line of their documentation: `Proves: MUST-4, SHLD-3.`
#![allow(unreachable_pub)] // what the modules share is public among them

mod pair;
mod peer;

mod acks;
mod addresses;
mod all;
mod close;
mod congestion;
mod ecn;
mod gaps;
mod handshake;
mod heals;
mod icmp;
mod keepalive;
mod linux;
mod listener;
mod nagle;
mod options;
mod random;
mod reset;
mod rto;
mod sack;
mod table;
mod timestamps;
mod timewait;
mod transfer;
mod urgent;
mod window;
