//! Any text towards the reader of packet scripts.
#![cfg_attr(feature = "libfuzzer", no_main)]

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sockeye_fuzz::scripts::run(data));

#[cfg(not(feature = "libfuzzer"))]
#[path = "../plain.rs"]
mod plain;

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    plain::run("scripts", sockeye_fuzz::scripts::run);
}
