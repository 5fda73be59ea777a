//! The kernel as the other side: the same programs with one end on the kernel's sockets and the other on a stack, over
//! a TUN device. Needs root: a test runs itself again in a network namespace of its own, and is skipped, saying so, where
//! that cannot be.

use sockeye_net::Net;
use sockeye_testing::namespace::in_namespace;

use super::{PROGRAMS, World};

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
    if in_namespace("conformance::opponent::the_kernel_serves_a_stack") {
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
    if in_namespace("conformance::opponent::a_stack_serves_the_kernel") {
        run(&World {
            server: stack(),
            client: Net::os(),
            v4: [10, 77, 0, 2].into(),
            v6: [0xfd77, 0, 0, 0, 0, 0, 0, 2].into(),
            os: false,
        });
    }
}
