//! The programs on a TUN device, against the kernel's. Needs root: each test runs itself again in a network namespace of
//! its own, and is skipped, saying so, where that cannot be.
#![cfg(target_os = "linux")]

mod support;

use support::{Program, device_is_there, in_namespace, python, sockeye};

const NET: &str = "tun:sock0,addr=10.77.0.2/24,addr6=fd77::2/64";

/// A family, the stack's address and the kernel's, as they stand in Python and before a port.
struct Side {
    family: &'static str,
    any: &'static str,
    ours: &'static str,
    kernel: &'static str,
}
const SIDES: [Side; 2] = [
    Side {
        family: "AF_INET",
        any: "0.0.0.0",
        ours: "10.77.0.2",
        kernel: "10.77.0.1",
    },
    Side {
        family: "AF_INET6",
        any: "::",
        ours: "fd77::2",
        kernel: "fd77::1",
    },
];

impl Side {
    fn at(&self, address: &str, port: u16) -> String {
        match self.family {
            "AF_INET" => format!("{address}:{port}"),
            _ => format!("[{address}]:{port}"),
        }
    }
    /// A Python server that has one client `c`, with what it then does.
    fn python_server(&self, then: &str) -> Program {
        let mut server = python(&format!(
            "s = socket.create_server(('{}', 8000), family=socket.{})\nprint('up', flush=True)\n\
             c, peer = s.accept()\nprint(peer[0], flush=True)\n{then}",
            self.any, self.family
        ));
        assert_eq!(server.line(), "up");
        server
    }
}

#[test]
fn upper_serves_the_kernel_and_ends_politely() {
    if !in_namespace("upper_serves_the_kernel_and_ends_politely") {
        return;
    }
    for (side, signal) in SIDES.iter().zip(["INT", "TERM"]) {
        let address = side.at(side.ours, 8000);
        let mut server = sockeye(&["--net", NET, "upper", "serve", &address, "--json"]);
        server.line_with("listening");
        assert!(device_is_there("sock0"));
        let mut client = python(&format!(
            "s = socket.create_connection(('{}', 8000), timeout=20)\n\
             s.sendall('python, naïve'.encode())\n\
             print(s.recv(100).decode(), flush=True)\nprint(s.recv(100))",
            side.ours
        ));
        assert_eq!(client.line(), "PYTHON, NAÏVE");
        server.signal(signal);
        // The connection is closed in good order: the end of the stream, neither silence nor a reset.
        assert_eq!(client.line(), "b''");
        assert!(client.end().success());
        assert_eq!(server.end().code(), Some(130), "{}", server.errors());
        assert!(!device_is_there("sock0"));
    }
}

#[test]
fn upper_connects_to_the_kernel() {
    if !in_namespace("upper_connects_to_the_kernel") {
        return;
    }
    for side in &SIDES {
        let mut server = side.python_server("c.sendall(c.recv(100).upper())\nprint(c.recv(100))");
        let mut client = sockeye(&["upper", "connect", &side.at(side.kernel, 8000), "--net", NET]);
        client.say("python\n");
        assert_eq!(client.line(), "PYTHON");
        client.end_input();
        assert_eq!(server.line(), side.ours);
        assert_eq!(server.line(), "b''");
        assert!(server.end().success());
        assert_eq!(client.end().code(), Some(0), "{}", client.errors());
        assert!(!device_is_there("sock0"));
    }
}
