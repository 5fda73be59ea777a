//! The programs on a TUN device, against the kernel's. Needs root: each test runs itself again in a network namespace of
//! its own, and is skipped, saying so, where that cannot be.
#![cfg(target_os = "linux")]

use std::process::Command;

use sockeye_testing::namespace::{device_is_there, in_namespace};

use crate::support::{Program, is_installed, python, sockeye};

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
    if !in_namespace("tun::upper_serves_the_kernel_and_ends_politely") {
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
    if !in_namespace("tun::upper_connects_to_the_kernel") {
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

/// curl and ncat, where they are, speak with a server on the stack as with any other.
#[test]
fn the_kernel_s_programs_ask_upper() {
    if !in_namespace("tun::the_kernel_s_programs_ask_upper") {
        return;
    }
    let mut server = sockeye(&["--net", NET, "upper", "serve", "[::]:8000", "--json"]);
    server.line_with("listening");
    for side in &SIDES {
        let address = side.at(side.ours, 8000);
        if is_installed("curl") {
            let mut curl = Program::start(Command::new("curl").args([
                "--silent",
                "--no-buffer",
                "--max-time",
                "30",
                &format!("telnet://{address}"),
            ]));
            curl.say("from curl\n");
            assert_eq!(curl.line(), "FROM CURL");
            // It goes on until the server closes: ended here.
            drop(curl);
        }
        if is_installed("ncat") {
            let mut ncat = Program::start(Command::new("ncat").args([side.ours, "8000"]));
            ncat.say("from ncat\n");
            assert_eq!(ncat.line(), "FROM NCAT");
            assert!(ncat.end().success());
        }
    }
    server.signal("INT");
    assert_eq!(server.end().code(), Some(130), "{}", server.errors());
    assert!(!device_is_there("sock0"));
}

#[test]
fn chat_with_the_kernel_both_ways() {
    if !in_namespace("tun::chat_with_the_kernel_both_ways") {
        return;
    }
    for side in &SIDES {
        let address = side.at(side.ours, 9001);
        let mut server = sockeye(&["--net", NET, "chat", "listen", &address, "--json"]);
        server.line_with("listening");
        let mut client = python(&format!(
            "s = socket.create_connection(('{}', 9001), timeout=20)\n\
             s.sendall('你好\\n'.encode())\nprint(s.recv(100).decode().strip(), flush=True)\n\
             s.sendall(b'exit\\n')\nprint(s.recv(100))",
            side.ours
        ));
        server.line_with("\"text\":\"你好\"");
        server.say("hello\n");
        assert_eq!(client.line(), "hello");
        assert_eq!(client.line(), "b''");
        server.line_with("closed");
        server.signal("INT");
        assert_eq!(server.ended().code(), Some(130), "{}", server.errors());

        let mut server = side.python_server(
            "c.sendall(b'welcome\\n')\nprint(c.recv(100).decode().strip())\nc.sendall(b'Q\\n')\nprint(c.recv(9))",
        );
        let mut client = sockeye(&[
            "--net",
            NET,
            "chat",
            "connect",
            &side.at(side.kernel, 8000),
            "--json",
        ]);
        client.line_with("\"text\":\"welcome\"");
        client.say("hello\n");
        assert_eq!((server.line(), server.line()), (side.ours.into(), "hello".into()));
        // The peer's goodbye ends it on both sides.
        client.line_with("closed");
        assert_eq!(server.line(), "b''");
        assert_eq!(client.end().code(), Some(0), "{}", client.errors());
        assert!(!device_is_there("sock0"));
    }
}

#[test]
fn datagrams_with_the_kernel_both_ways() {
    if !in_namespace("tun::datagrams_with_the_kernel_both_ways") {
        return;
    }
    for side in &SIDES {
        let mut receiver = sockeye(&["--net", NET, "udp", "recv", &side.at(side.ours, 8080), "--json"]);
        receiver.line_with("listening");
        let mut sender = python(&format!(
            "s = socket.socket(socket.{}, socket.SOCK_DGRAM)\n\
             for text in ('one', '', '三', 'x' * 60000): s.sendto(text.encode(), ('{}', 8080))",
            side.family, side.ours
        ));
        assert!(sender.end().success());
        for octets in [3, 0, 3, 60_000] {
            let line = receiver.line();
            let told: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(told["octets"], octets, "{line}");
            let peer: std::net::SocketAddr = told["peer"].as_str().unwrap().parse().unwrap();
            assert_eq!(peer.ip().to_string(), side.kernel);
        }
        receiver.signal("TERM");
        assert_eq!(receiver.end().code(), Some(130), "{}", receiver.errors());

        let mut echo = python(&format!(
            "s = socket.socket(socket.{}, socket.SOCK_DGRAM); s.bind(('{}', 8080))\nprint('up', flush=True)\n\
             while True:\n    data, peer = s.recvfrom(70000)\n    s.sendto(data.upper(), peer)",
            side.family, side.any
        ));
        assert_eq!(echo.line(), "up");
        let mut chat = sockeye(&["--net", NET, "udp", "chat", &side.at(side.kernel, 8080)]);
        chat.say("python\n");
        assert_eq!(chat.line(), format!("{}: PYTHON", side.at(side.kernel, 8080)));
        chat.say("exit\n");
        assert_eq!(chat.end().code(), Some(0), "{}", chat.errors());
        assert!(!device_is_there("sock0"));
    }
}

#[test]
fn files_with_the_kernel_both_ways() {
    if !in_namespace("tun::files_with_the_kernel_both_ways") || !is_installed("curl") {
        return;
    }
    let place = std::env::temp_dir().join(format!("sockeye-tun-files-{}", std::process::id()));
    std::fs::create_dir_all(place.join("served")).unwrap();
    let content: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    std::fs::write(place.join("served/big"), &content).unwrap();
    let (served, copy) = (place.join("served"), place.join("copy"));
    let (served, copy) = (served.to_str().unwrap(), copy.to_str().unwrap());
    for side in &SIDES {
        // The kernel's curl asks ours.
        let listen = side.at(side.ours, 69);
        let mut server = sockeye(&["--net", NET, "tftp", "serve", served, "--listen", &listen]);
        server.error_with("listening");
        let mut curl = Program::start(Command::new("curl").args([
            "--silent",
            "--show-error",
            "--max-time",
            "60",
            &format!("tftp://{listen}/big"),
            "-o",
            copy,
        ]));
        assert!(curl.end().success(), "{}", curl.errors());
        assert!(std::fs::read(copy).unwrap() == content, "{listen}");
        std::fs::remove_file(copy).unwrap();
        server.signal("TERM");
        assert_eq!(server.end().code(), Some(0), "{}", server.errors());
        assert!(!device_is_there("sock0"));

        // Ours asks one on the kernel's sockets, where only the sockets differ: between stacks of two makers.
        let mut server = sockeye(&["tftp", "serve", served, "--listen", "[::]:6969", "--upload"]);
        server.error_with("listening");
        let at = side.at(side.kernel, 6969);
        let mut get = sockeye(&["--net", NET, "tftp", "get", &format!("tftp://{at}/big"), copy]);
        assert_eq!(get.end().code(), Some(0), "{}", get.errors());
        assert!(std::fs::read(copy).unwrap() == content, "{at}");
        let name = side.family;
        let mut put = sockeye(&["--net", NET, "tftp", "put", copy, &format!("tftp://{at}/{name}")]);
        assert_eq!(put.end().code(), Some(0), "{}", put.errors());
        assert!(
            std::fs::read(place.join("served").join(name)).unwrap() == content,
            "{at}"
        );
        let mut none = sockeye(&["--net", NET, "tftp", "get", &format!("tftp://{at}/none"), copy]);
        assert_eq!(none.end().code(), Some(8), "{}", none.errors());
        server.signal("TERM");
        server.end();
        assert!(!device_is_there("sock0"));
    }
    std::fs::remove_dir_all(&place).unwrap();
}

/// Refusals and silence over the device have the exit codes that they have elsewhere.
#[test]
fn failures_have_their_codes() {
    if !in_namespace("tun::failures_have_their_codes") {
        return;
    }
    for (words, code, part) in [
        ("upper connect 10.77.0.1:9", 4, "start the server first"),
        ("chat connect [fd77::1]:9", 4, "start the server first"),
        ("chat connect 10.77.0.9:9 --timeout 300ms", 5, "nobody is there"),
        (
            "tftp get tftp://10.77.0.1:9/x -",
            4,
            "nobody listens on that port",
        ),
        (
            "tftp get tftp://[fd77::1]:9/x -",
            4,
            "nobody listens on that port",
        ),
        ("upper connect nobody.invalid:9", 7, "check the name"),
        ("upper serve 10.77.0.9:8000", 7, "--net tun: has that of addr="),
    ] {
        let mut arguments = vec!["--net", NET];
        arguments.extend(words.split(' '));
        let mut program = sockeye(&arguments);
        assert_eq!(program.end().code(), Some(code), "{words}: {}", program.errors());
        assert!(program.errors().contains(part), "{words}: {}", program.errors());
        assert!(!device_is_there("sock0"));
    }
    // A second program of the same name of device, and one without the right to make any.
    let mut first = sockeye(&["--net", NET, "udp", "recv", "8000", "--json"]);
    first.line_with("listening");
    let mut second = sockeye(&["--net", NET, "udp", "recv", "8000"]);
    assert_eq!(second.end().code(), Some(7));
    assert!(
        second
            .errors()
            .contains("sock0 is there already: choose another name"),
        "{}",
        second.errors()
    );
    let mut nobody = Program::start(
        Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                env!("CARGO_BIN_EXE_sockeye"),
            ])
            .args(["--net", "tun:sock1,addr=10.78.0.2/24", "udp", "recv", "8000"])
            .env("LC_ALL", "C"),
    );
    assert_eq!(nobody.end().code(), Some(7));
    assert!(nobody.errors().contains("CAP_NET_ADMIN"), "{}", nobody.errors());
}

/// The device goes away under a program: it says so and ends, whatever it waits for.
#[test]
fn programs_end_with_their_device() {
    if !in_namespace("tun::programs_end_with_their_device") {
        return;
    }
    let mut kernel = python(
        "s = socket.create_server(('0.0.0.0', 8000))\nprint('up', flush=True)\n\
         kept = []\nwhile True: kept.append(s.accept())",
    );
    assert_eq!(kernel.line(), "up");
    let place = std::env::temp_dir();
    let place = place.to_str().unwrap();
    for (words, ready, said) in [
        (
            "upper serve 8000 --json",
            "listening",
            "cannot accept clients: Network is down",
        ),
        (
            "chat listen 9001 --json",
            "listening",
            "cannot accept clients: Network is down",
        ),
        (
            "chat listen 9001 --keep-open --json",
            "listening",
            "cannot accept clients: Network is down",
        ),
        (
            "chat connect 10.77.0.1:8000 --json",
            "connected",
            "Network is down",
        ),
        (
            "udp recv 8080 --json",
            "listening",
            "cannot receive at 0.0.0.0:8080: Network is down",
        ),
        (
            "--lang zh udp recv 8080 --json",
            "listening",
            "：网络已断开 (os error 100)；网络设备已经消失或损坏",
        ),
        ("tftp serve PLACE", "", "Network is down"),
        ("--lang zh tftp serve PLACE", "", "网络已断开"),
    ] {
        let mut arguments = vec!["--net", NET];
        arguments.extend(
            words
                .split(' ')
                .map(|word| if word == "PLACE" { place } else { word }),
        );
        let mut program = sockeye(&arguments);
        match ready {
            "" => program.error_with("[::]:69"),
            ready => program.line_with(ready),
        };
        let gone = Command::new("ip").args(["link", "delete", "sock0"]).status();
        assert!(gone.is_ok_and(|status| status.success()));
        assert_eq!(program.ended().code(), Some(7), "{words}: {}", program.errors());
        assert!(program.errors().contains(said), "{words}: {}", program.errors());
    }
}

/// The first Ctrl-C closes politely, and waits for a peer that acknowledges nothing; the second aborts, and tells it.
#[test]
fn the_second_interrupt_resets() {
    if !in_namespace("tun::the_second_interrupt_resets") {
        return;
    }
    for side in &SIDES {
        let address = side.at(side.ours, 9001);
        let mut server = sockeye(&["--net", NET, "chat", "listen", &address, "--json"]);
        server.line_with("listening");
        // It reads nothing before it is told to, so not all that is said to it can be delivered.
        let mut client = python(&format!(
            "s = socket.socket(socket.{})\ns.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)\n\
             s.connect(('{}', 9001))\nprint('up', flush=True)\ninput()\ns.settimeout(20)\n\
             try:\n    while s.recv(100000): pass\n    print('closed')\n\
             except ConnectionResetError: print('reset')",
            side.family, side.ours
        ));
        assert_eq!(client.line(), "up");
        server.line_with("connected");
        for _ in 0..20 {
            server.say(&format!("{}\n", "x".repeat(1000)));
            server.line_with("sent");
        }
        server.signal("INT");
        server.error_with("Ctrl-C again aborts");
        server.signal("INT");
        assert_eq!(server.ended().code(), Some(130), "{}", server.errors());
        // Nothing is said of what breaks for being aborted.
        assert_eq!(server.errors().lines().count(), 1, "{}", server.errors());
        assert!(!device_is_there("sock0"));
        client.say("now\n");
        assert_eq!(client.line(), "reset", "{}", side.family);
    }
}

/// A connection with data unread is reset when it is closed, and that is seen by the peer although the stack goes with the
/// program at once.
#[test]
fn the_last_reset_leaves() {
    if !in_namespace("tun::the_last_reset_leaves") {
        return;
    }
    for side in &SIDES {
        let address = side.at(side.ours, 8000);
        let mut server = sockeye(&["--net", NET, "upper", "serve", &address, "--json"]);
        server.line_with("listening");
        // The server waits for room for its answers, and reads no more.
        let mut client = python(&format!(
            "import select\ns = socket.create_connection(('{}', 8000), timeout=20)\ns.setblocking(False)\n\
             while select.select([], [s], [], 1)[1]: s.send(b'x' * 1000)\n\
             print('full', flush=True)\ninput()\ns.settimeout(20)\n\
             try:\n    while s.recv(100000): pass\n    print('closed')\n\
             except ConnectionResetError: print('reset')",
            side.ours
        ));
        assert_eq!(client.line(), "full");
        server.signal("TERM");
        assert_eq!(server.ended().code(), Some(130), "{}", server.errors());
        assert!(!device_is_there("sock0"));
        client.say("now\n");
        assert_eq!(client.line(), "reset", "{}", side.family);
    }
}

/// The table of a server whose client reads nothing: its listener, and a connection that says what it waits for.
#[test]
fn sockets_are_shown_while_a_program_runs() {
    if !in_namespace("tun::sockets_are_shown_while_a_program_runs") {
        return;
    }
    let place = SocketPlace::new();
    let none = place.sockets(&["--pid", "1"]);
    assert_eq!(none.status.code(), Some(12));
    assert!(String::from_utf8_lossy(&none.stderr).contains("--net tun:"));

    let mut server = place.start(&["--net", NET, "upper", "serve", "10.77.0.2:8000", "--json"]);
    server.line_with("listening");
    let mut client = python(
        "s = socket.create_connection(('10.77.0.2', 8000), timeout=20)\n\
         s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)\n\
         s.setblocking(False)\nimport select\n\
         while select.select([], [s], [], 3)[1]: s.send(b'x' * 1000)\n\
         print('full', flush=True)\ninput()",
    );
    assert_eq!(client.line(), "full");

    let pid = server.id().to_string();
    let shown = place.sockets(&["--json", "--pid", &pid]);
    assert_eq!(shown.status.code(), Some(0));
    let table: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(table["stack"], "sock0");
    let sockets = table["sockets"].as_array().unwrap();
    assert_eq!(
        (sockets.len(), &sockets[0]["state"], &sockets[0]["local"]),
        (2, &"LISTEN".into(), &"10.77.0.2:8000".into())
    );
    let connection = &sockets[1];
    assert_eq!(
        (&connection["protocol"], &connection["state"]),
        (&"tcp".into(), &"ESTABLISHED".into())
    );
    assert!(connection["peer"].as_str().unwrap().starts_with("10.77.0.1:"));
    assert!(connection["send_q"].as_u64().unwrap() > 0, "{connection}");
    assert!(connection["info"]["cwnd"].as_u64().unwrap() > 0 && connection["info"]["rto_ns"].is_u64());
    // The client reads nothing: its window is full, and nothing else stands in the way.
    assert_eq!(connection["info"]["quiet"]["name"], "peer_window", "{connection}");
    let text = place.sockets(&["-i", "-t", "--pid", &pid]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with(&format!("{pid} on sock0: sockeye ")), "{text}");
    assert!(
        text.contains("ESTABLISHED") && text.contains("peer's window full. "),
        "{text}"
    );
    assert!(
        text.contains("cwnd ") && text.contains("retransmitted "),
        "{text}"
    );

    // Only its owner can look; and with the program goes the socket.
    assert_eq!(place.mode(&pid), 0o600);
    server.signal("TERM");
    assert_eq!(server.end().code(), Some(130), "{}", server.errors());
    assert!(!place.is_there(&pid));
    assert_eq!(place.sockets(&["--pid", &pid]).status.code(), Some(12));
}

/// What a program leaves behind that is ended by force is swept by the next that looks.
#[test]
fn stale_control_sockets_are_swept() {
    if !in_namespace("tun::stale_control_sockets_are_swept") {
        return;
    }
    let place = SocketPlace::new();
    for signals in [vec!["KILL"], vec!["INT", "INT"]] {
        let mut server = place.start(&["--net", NET, "upper", "serve", "10.77.0.2:8000", "--json"]);
        server.line_with("listening");
        let pid = server.id().to_string();
        assert!(place.is_there(&pid));
        let is_forced = signals == ["KILL"];
        for signal in signals {
            server.signal(signal);
        }
        server.end();
        // The second Ctrl-C ends it at once, but not without tidying up.
        assert_eq!(place.is_there(&pid), is_forced);
        assert_eq!(place.sockets(&["--pid", &pid]).status.code(), Some(12));
        assert!(!place.is_there(&pid));
    }
}

/// A directory for control sockets that other tests do not see.
struct SocketPlace(std::path::PathBuf);

impl SocketPlace {
    fn new() -> SocketPlace {
        let path = std::env::temp_dir().join(format!("sockeye-tun-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        SocketPlace(path)
    }
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
        let environment = [("XDG_RUNTIME_DIR", self.0.as_os_str()), ("LC_ALL", "C".as_ref())];
        command
            .args(arguments)
            .envs(environment)
            .env_remove("SOCKEYE_NET");
        command
    }
    fn start(&self, arguments: &[&str]) -> Program {
        Program::start(&mut self.command(arguments))
    }
    fn sockets(&self, arguments: &[&str]) -> std::process::Output {
        self.command(&["sockets"]).args(arguments).output().unwrap()
    }
    fn path(&self, pid: &str) -> std::path::PathBuf {
        self.0.join("sockeye").join(format!("{pid}.sock"))
    }
    fn is_there(&self, pid: &str) -> bool {
        self.path(pid).exists()
    }
    fn mode(&self, pid: &str) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(self.path(pid)).unwrap().permissions().mode() & 0o777
    }
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // nothing of value is there
    }
}
