//! The kernel as the other side: the same programs with one end on the kernel's sockets and the other on a stack, over
//! a TUN device. Needs root: a test runs itself again in a network namespace of its own, and is skipped, saying so, where
//! that cannot be.

use std::process::Command;

use sockeye_net::Net;

use super::{PROGRAMS, World};

/// Says to a run of this file that it has a network namespace to itself.
const INSIDE: &str = "SOCKEYE_OPPONENT_INSIDE";

/// Runs the test of this name again in a namespace; whether we are that run.
fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.arg("--net");
        command
    };
    let can = unshare().arg("true").output();
    if !can.is_ok_and(|output| output.status.success()) || !std::path::Path::new("/dev/net/tun").exists() {
        println!("skipped: `unshare --net` does not work here, or there is no /dev/net/tun (root is needed)");
        return false;
    }
    let output = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && text.contains("1 passed"),
        "inside the namespace"
    );
    false
}

fn run(world: &World) {
    for (name, program) in PROGRAMS {
        println!("{name}");
        program(world);
    }
}

fn stack() -> Net {
    Net::tun(&"sock0,addr=10.77.0.2/24,addr6=fd77::2/64".parse().unwrap()).unwrap()
}

#[test]
fn the_kernel_serves_a_stack() {
    if inside("conformance::opponent::the_kernel_serves_a_stack") {
        run(&World {
            server: Net::os(),
            client: stack(),
            v4: [10, 77, 0, 1].into(),
            v6: [0xfd77, 0, 0, 0, 0, 0, 0, 1].into(),
            os: true,
        });
    }
}

#[test]
fn a_stack_serves_the_kernel() {
    if inside("conformance::opponent::a_stack_serves_the_kernel") {
        run(&World {
            server: stack(),
            client: Net::os(),
            v4: [10, 77, 0, 2].into(),
            v6: [0xfd77, 0, 0, 0, 0, 0, 0, 2].into(),
            os: false,
        });
    }
}
