//! What the targets share: a stack under observation, a scripted peer, programs, packets, and a bad link.
//!
//! Every entry is a function of bytes. Bytes that have run out read as zero, so any input is a program.

pub mod apps;
pub mod build;
pub mod check;
pub mod flow;
pub mod frames;
pub mod host;
pub mod input;
pub mod memory;
pub mod pair;
pub mod scripts;
pub mod segments;
pub mod sequences;
pub mod tftp;
pub mod world;
