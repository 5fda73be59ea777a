//! Segments near the windows of one established connection.
#![cfg_attr(feature = "libfuzzer", no_main)]

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sockeye_fuzz::segments::run(data));

#[cfg(not(feature = "libfuzzer"))]
#[path = "../plain.rs"]
mod plain;

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    plain::run("tcp_segments", sockeye_fuzz::segments::run);
}
