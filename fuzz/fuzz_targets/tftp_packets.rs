//! TFTP's packets, text encoding, addresses and decoder against any bytes.
#![cfg_attr(feature = "libfuzzer", no_main)]

use sockeye_fuzz::tftp::packets;

#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|data: &[u8]| packets(data));

#[cfg(not(feature = "libfuzzer"))]
#[path = "../plain.rs"]
mod plain;

#[cfg(not(feature = "libfuzzer"))]
fn main() {
    plain::run("tftp_packets", packets);
}
