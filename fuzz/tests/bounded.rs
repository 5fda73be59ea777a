//! Each target over its corpus and mutations of it, the same ones each time: enough of them to see that it works.
//! `SOCKEYE_FUZZ_RUNS=15000` makes so many of them.
#![cfg(not(feature = "libfuzzer"))]

use std::process::Command;

/// Mutations, where nobody says how many.
const RUNS: u64 = 300;

/// `weight`: how many inputs of this target take the time of one of the others'.
fn run(name: &str, program: &str, weight: u64) {
    let runs = match std::env::var("SOCKEYE_FUZZ_RUNS") {
        Ok(text) => text.parse().expect("SOCKEYE_FUZZ_RUNS is a number"),
        Err(_) => RUNS,
    };
    let output = Command::new(program)
        .args([&(runs * weight).to_string(), "1"])
        .env_remove("INPUT")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.starts_with(&format!("{name}: ")),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    print!("{said}");
}

#[test]
fn headers() {
    run("headers", env!("CARGO_BIN_EXE_headers"), 50);
}

#[test]
fn frames() {
    run("frames", env!("CARGO_BIN_EXE_frames"), 1);
}

#[test]
fn sequences() {
    run("sequences", env!("CARGO_BIN_EXE_sequences"), 1);
}

#[test]
fn scripts() {
    run("scripts", env!("CARGO_BIN_EXE_scripts"), 1);
}

#[test]
fn tcp_segments() {
    run("tcp_segments", env!("CARGO_BIN_EXE_tcp_segments"), 1);
}

#[test]
fn tftp_packets() {
    run("tftp_packets", env!("CARGO_BIN_EXE_tftp_packets"), 1);
}
