//! Tests with a network of their own: a test runs itself again in a network namespace. That needs root; where it cannot
//! be, the test is skipped and says so.

use std::path::Path;
use std::process::Command;

/// Runs the test of this name (with its modules, as the test program lists it) again in a network namespace of its own
/// with loopback and TUN; whether we are that run. The caller returns if not: the test is done, or skipped.
///
/// # Panics
/// If the run in the namespace fails, or there is no such test.
#[track_caller]
pub fn in_namespace(test: &str) -> bool {
    if !again(test, "SOCKEYE_IN_NAMESPACE", &["unshare", "--net"]) {
        return false;
    }
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.is_ok_and(|status| status.success()), "ip link set lo up");
    true
}

/// As [`in_namespace`], by any command that runs the one behind it: `["setpriv", "--reuid=65534"]`. `key` is the variable of
/// the environment that tells the second run from the first.
///
/// # Panics
/// If the second run fails, or there is no such test.
#[track_caller]
pub fn again(test: &str, key: &str, wrapper: &[&str]) -> bool {
    if std::env::var_os(key).is_some() {
        return true;
    }
    let wrapped = || {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]);
        command
    };
    let can = wrapped().args(["ip", "link"]).output();
    if !can.is_ok_and(|output| output.status.success()) || !Path::new("/dev/net/tun").exists() {
        println!(
            "skipped: {wrapper:?} does not work here, or there is no ip or no /dev/net/tun (root is needed)"
        );
        return false;
    }
    let program = std::env::current_exe().expect("a test knows its program");
    let output = wrapped()
        .arg(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(key, "1")
        .output()
        .expect("it ran a moment ago");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{test}: in the second run"
    );
    false
}

/// Whether there is a network device of this name.
///
/// # Panics
/// Where there is no `/proc`.
pub fn device_is_there(device: &str) -> bool {
    let table = std::fs::read_to_string("/proc/net/dev").expect("Linux tells its devices");
    table
        .lines()
        .any(|line| line.trim_start().starts_with(&format!("{device}:")))
}
