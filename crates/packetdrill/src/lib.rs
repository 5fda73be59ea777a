//! Sockeye in place of the kernel: a plugin for packetdrill, and for any other program that drives a stack through the
//! same interface.
//!
//! Such a program loads the shared object, looks up `packetdrill_interface_init`, calls it once, and has then 33 pointers:
//! the socket calls of POSIX, a device to put packets in and take them out, and a clock. Time is virtual: it passes when
//! somebody sleeps or waits, and an hour takes as long as the packets in it.
//!
//! The C face is thin; what it stands on is the safe module [`machine`], which can be used (and is tested) from Rust.
#![cfg(target_os = "linux")]
#![deny(unsafe_code)] // the C face is the exception
#![cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    doc = "Built for x86-64 and aarch64 only: see the C face's variadic functions."
)]

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub mod face;
mod flags;
pub mod machine;

pub use flags::{IpMode, Settings, SettingsError};
