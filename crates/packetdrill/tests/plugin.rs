//! The shared object itself: loaded by a program in C that drives all of its interface, as packetdrill would.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The shared object that was built with this test: it stands beside it.
fn plugin() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let plugin = test.parent().unwrap().join("libsockeye_packetdrill.so");
    assert!(plugin.exists(), "{} was not built", plugin.display());
    plugin
}

/// Whether a tool is there; says so if not.
fn there(tool: &str) -> bool {
    let there = Command::new(tool)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: there is no {tool} here");
    }
    there
}

#[test]
fn a_program_in_c_drives_the_whole_interface() {
    if !there("cc") {
        return;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/driver.c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("driver-{}", std::process::id()));
    let built = Command::new("cc")
        .args([
            "-std=gnu11",
            "-O1",
            "-g",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pthread",
            "-o",
        ])
        .args([&program, &source])
        .arg("-ldl")
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let run = Command::new(&program).arg(plugin()).output().unwrap();
    std::fs::remove_file(&program).unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    println!("{out}{err}");
    assert!(run.status.success(), "{:?}", run.status);
    assert!(out.ends_with("all is as it should be\n"));
    assert!(
        err.contains("unknown flag \"colour=red\"; there are ip="),
        "{err}"
    );
}

#[test]
fn it_exports_three_symbols() {
    if !there("nm") {
        return;
    }
    let output = Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(plugin())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut symbols: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next_back())
        .collect();
    symbols.sort_unstable();
    assert_eq!(
        symbols,
        [
            "packetdrill_interface_init",
            "sockeye_plugin_getsockopt",
            "sockeye_plugin_sockets"
        ]
    );
}
