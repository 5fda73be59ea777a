//! Every parser of headers against any bytes, compared with etherparse where both mean the same.
#![cfg_attr(feature = "libfuzzer", no_main)]

#[path = "../../crates/stack/tests/headers/agree.rs"]
mod agree;

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|data: &[u8]| agree::agree(data));

#[cfg(not(feature = "libfuzzer"))]
#[path = "../plain.rs"]
mod plain;

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    plain::run("headers", agree::agree);
}
