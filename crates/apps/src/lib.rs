//! Programs, written once against `sockeye-net`.
#![forbid(unsafe_code)]

pub mod tftp;
