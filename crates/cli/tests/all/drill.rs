//! `sockeye drill`: what it says of scripts that hold and of those that do not, and its exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn drill(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sockeye"))
        .arg("drill")
        .args(arguments)
        .env_remove("NO_COLOR")
        .output()
        .unwrap()
}
fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// A folder of its own, gone with it.
struct Folder(PathBuf);
impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("sockeye-drill-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
    fn script(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const HANDSHAKE: &str = "\
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 bind(3, ..., ...) = 0
   +0 listen(3, 1) = 0
   +0 < S 0:0(0) win 65535 <mss 1000>
   +0 > S. 0:0(0) ack 1 <mss 1460>
  +.1 < . 1:1(0) ack 1 win 65535
   +0 accept(3, ..., ...) = 4
";

#[test]
fn all_of_our_scripts_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let output = drill(&[folder.to_str().unwrap()]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.contains(" 0 failed") && err.is_empty(), "{out}{err}");
}

#[test]
fn a_broken_expectation_is_shown_as_a_compiler_would() {
    let folder = Folder::new("broken");
    let broken = HANDSHAKE.replace("ack 1 <mss 1460>", "ack 2 win 1000 <mss 1400>");
    let path = folder.script("broken.pkt", &broken);
    let output = drill(&[&path]);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("broken.pkt:5:"), "the line: {err}");
    assert!(err.contains("> S. 0:0(0) ack 2 win 1000"), "its text: {err}");
    let lines: Vec<&str> = err.lines().map(str::trim).collect();
    for (what, expected, came) in [
        ("ack", "2", "1"),
        ("win", "1000", "65535"),
        ("options", "<mss 1400>", "<mss 1460>"),
    ] {
        let place = lines
            .iter()
            .position(|line| line.trim_start_matches("help:").trim() == what)
            .unwrap_or_else(|| panic!("{what}: {err}"));
        assert_eq!(lines[place + 1], format!("expected  {expected}"));
        assert_eq!(lines[place + 2], format!("came      {came}"));
    }
    assert!(err.contains("answers SYN"), "why it was sent: {err}");
    assert!(err.contains("and the same with linux mapped"), "{err}");
    assert!(text(&output.stdout).contains("0 passed, 6 failed"));
}

#[test]
fn what_is_not_expected_fails() {
    let folder = Folder::new("unexpected");
    for (name, more, says) in [
        (
            "after the last event",
            "+0 < F. 1:1(0) ack 1 win 1000",
            "does not expect",
        ),
        (
            "between",
            "+0 < F. 1:1(0) ack 1 win 1000\n+0 close(4) = 0\n+0 > F. 1:1(0) ack 2",
            "is another",
        ),
        ("nothing comes", "+.5 > . 1:1(0) ack 1", "nothing was sent"),
        (
            "too early",
            "+0 < F. 1:1(0) ack 1 win 1000\n+1 > . 1:1(0) ack 2",
            "is another",
        ),
        (
            "a result",
            "+0 write(4, ..., 10) = 11\n+0 > P. 1:11(10) ack 1",
            "did not answer",
        ),
        (
            "an errno",
            "+0 read(9, ..., 10) = -1 EAGAIN (Resource temporarily unavailable)",
            "did not answer",
        ),
        (
            "a text of an errno",
            "+0 read(9, ..., 10) = -1 EBADF (Bad day)",
            "did not answer",
        ),
        ("a call that waits", "+0 read(4, ..., 10) = 10", "would wait"),
        ("for ever", "+0...0.5 read(4, ..., 10) = 10", "does not return"),
        (
            "too long",
            "+0...0.1 read(4, ..., 5) = 5\n+.2 < P. 1:6(5) ack 1 win 1000",
            "has not returned",
        ),
        (
            "an assertion",
            "+0 %{ assert tcpi_state == TCP_CLOSE, 'open' }%",
            "does not hold",
        ),
        (
            "an option",
            "+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [1], [4]) = 0",
            "did not answer",
        ),
        (
            "octets",
            "+0 < P. 1:6(5) ack 1 win 1000\n+0 read(4, \"hello\", 5) = 5",
            "did not answer",
        ),
        (
            "a descriptor",
            "+0 poll([{fd=4, events=POLLOUT, revents=POLLIN}], 1, 0) = 1",
            "did not answer",
        ),
    ] {
        let path = folder.script("x.pkt", &format!("{HANDSHAKE}{more}\n"));
        let output = drill(&[&path, "--profile", "rfc", "--ip", "ipv4"]);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {err}");
        assert!(err.contains(says), "{name}: {err}");
    }
}

#[test]
fn errors_in_a_script_say_where() {
    let folder = Folder::new("errors");
    for (script, place, says) in [
        ("0 socket(..., SOCK_STREAM, IPPROTO_TCP) 3", ":1:", "expected `=`"),
        ("0 < S 0:1(0) win 10", ":1:", "do not agree"),
        ("0 < S 0:0(0) win 99999", ":1:", "out of range"),
        ("0 < X 0:0(0) win 10", ":1:", "no flag"),
        ("0 < S 0:0(0) win 10 <moon 5>", ":1:", "no option"),
        ("0 < S 0:0(0) win 10 <...>", ":1:", "needs its options"),
        ("\n\n1 close(3) = 0\n0 close(3) = 0", ":4:", "runs backwards"),
        ("* close(3) = 0", ":1:", "any time"),
        ("0 close(moon) = 0", ":1:", "moon"),
        ("0 %{ assert }%", ":1:", "expected a value"),
        ("0 %{ assert moon }%", ":1:", "moon"),
        ("0 write(3, \"abc", ":1:", "does not end"),
        ("--mtu=big\n0 close(3) = -1", ":1:", "--mtu wants"),
    ] {
        let path = folder.script("x.pkt", script);
        let output = drill(&[&path]);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(13), "{script}: {err}");
        assert!(
            err.contains(&format!("x.pkt{place}")) && err.contains(says),
            "{script}: {err}"
        );
    }
}

#[test]
fn what_is_not_supported_has_a_status_of_its_own() {
    let folder = Folder::new("unsupported");
    for (head, says) in [
        ("`sysctl -q net.ipv4.tcp_moon=1`\n", "tcp_moon is not a setting"),
        ("`sysctl -q net.ipv4.tcp_fastopen=3`\n", "cannot be 3"),
        ("`ip link set dev tun0 mtu 1400`\n", "shell commands are not run"),
        ("`./defaults.sh`\n", "shell commands are not run"),
        ("--wire_client=1\n", "--wire_client"),
    ] {
        let path = folder.script("x.pkt", &format!("{head}{HANDSHAKE}"));
        let output = drill(&[&path]);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(14), "{head}: {err}");
        assert!(err.contains(says), "{head}: {err}");
    }
    let late = folder.script(
        "late.pkt",
        &format!("{HANDSHAKE}+0 `sysctl -q net.ipv4.tcp_sack=0`\n"),
    );
    assert_eq!(drill(&[&late]).status.code(), Some(14));
    let called = folder.script("call.pkt", "0 sendfile(3, 4, ..., 10) = 10\n");
    assert_eq!(drill(&[&called]).status.code(), Some(14));
    let told = folder.script(
        "info.pkt",
        &format!("{HANDSHAKE}+0 %{{ assert tcpi_moon == 0 }}%\n"),
    );
    assert_eq!(drill(&[&told]).status.code(), Some(14));
    // Only who asks for it has shell lines passed over.
    let path = folder.script("x.pkt", &format!("`./defaults.sh`\n{HANDSHAKE}"));
    assert_eq!(drill(&[&path, "--skip-shell"]).status.code(), Some(0));
}

#[test]
fn settings_profiles_and_families() {
    let folder = Folder::new("settings");
    let sack = HANDSHAKE.replace("<mss 1000>", "<mss 1000,nop,nop,sackOK>");
    let path = folder.script("x.pkt", &sack);
    assert_eq!(drill(&[&path]).status.code(), Some(1));
    assert_eq!(
        drill(&[&path, "--set", "net.ipv4.tcp_sack=0"]).status.code(),
        Some(0)
    );
    assert_eq!(drill(&[&path, "--set", "net.moon=0"]).status.code(), Some(2));
    let only = folder.script("only.pkt", &format!("// One.\n// Only: linux, ipv6\n{HANDSHAKE}"));
    let output = drill(&[&only, "--verbose"]);
    assert!(text(&output.stdout).contains("1 scripts in 1 runs: 1 passed"));
    assert!(text(&output.stdout).contains("(linux ipv6)"));
    let output = drill(&[&only, "--profile", "rfc"]);
    assert!(text(&output.stdout).contains("1 not for these modes"));
    let option = folder.script("option.pkt", &format!("--ip_version=ipv4\n{HANDSHAKE}"));
    assert!(text(&drill(&[&option]).stdout).contains("in 2 runs: 2 passed"));
}

#[test]
fn stories_json_and_captures() {
    let folder = Folder::new("faces");
    let good = folder.script("good.pkt", HANDSHAKE);
    let bad = folder.script("bad.pkt", &HANDSHAKE.replace("ack 1 <mss", "ack 7 <mss"));
    let story = text(&drill(&[&good, "--verbose", "--ip", "ipv4", "--profile", "rfc"]).stdout);
    assert!(
        story.contains("> S. 0:0(0) ack 1 win 65535 <mss 1460>    answers SYN"),
        "{story}"
    );

    let output = drill(&[
        &folder.0.display().to_string(),
        "--json",
        "--ip",
        "ipv6",
        "--profile",
        "linux",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [first, second, all] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert_eq!(first["result"], "failed");
    assert_eq!(first["script"], bad.as_str());
    assert_eq!((&first["line"], &first["family"]), (&5.into(), &"ipv6".into()));
    assert_eq!(first["differences"][0]["came"], "1");
    assert_eq!(
        (&second["result"], &all["passed"], &all["failed"]),
        (&"passed".into(), &1.into(), &1.into())
    );

    let capture = folder.path("out.pcapng");
    drill(&[&good, "--pcap", &capture]);
    for name in ["out.pcapng", "out-2.pcapng", "out-6.pcapng"] {
        let octets = std::fs::read(folder.0.join(name)).unwrap();
        assert_eq!(octets[..4], [0x0a, 0x0d, 0x0d, 0x0a], "{name}");
        assert!(octets.len() > 300, "{name} has its frames: {}", octets.len());
    }
}

#[test]
fn wrong_command_lines_and_files() {
    assert_eq!(drill(&[]).status.code(), Some(2));
    assert_eq!(drill(&["x.pkt", "--profile", "moon"]).status.code(), Some(2));
    assert_eq!(drill(&["/nowhere/x.pkt"]).status.code(), Some(3));
    let empty = Folder::new("empty");
    let output = drill(&[&empty.0.display().to_string()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("there is no script"));
}

/// The page names every setting, so that nobody has to look into the code.
#[test]
fn the_page_lists_all_settings() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/drill.md");
    let page = std::fs::read_to_string(page).unwrap();
    for setting in sockeye_lab::drill::SETTINGS {
        let row = format!("| `{}` | {} |", setting.name, setting.about);
        assert!(page.contains(&row), "docs/drill.md does not have the row\n{row}");
    }
}
