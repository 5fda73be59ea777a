//! Frames of every kind towards a stack with open sockets.
#![cfg_attr(feature = "libfuzzer", no_main)]

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sockeye_fuzz::frames::run(data));

#[cfg(not(feature = "libfuzzer"))]
#[path = "../plain.rs"]
mod plain;

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    plain::run("frames", sockeye_fuzz::frames::run);
}
