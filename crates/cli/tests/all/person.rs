//! What a person at a shell meets: help, manual, completions, colours, mistakes, signals.

use std::net::TcpListener;
use std::process::{Command, Output};

use crate::support::{is_installed, sockeye};
use clap::CommandFactory;
use sockeye_cli::args::Args;

fn run(words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    let command = command.args(words.split_whitespace()).env("LC_ALL", "C");
    command
        .env_remove("SOCKEYE_NET")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}
fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Each command without subcommands, with its words.
fn leaves(command: &clap::Command, words: &str, all: &mut Vec<(String, clap::Command)>) {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let words = format!("{words} {}", sub.get_name());
        match sub.has_subcommands() {
            true => leaves(sub, &words, all),
            false => all.push((words, sub.clone())),
        }
    }
}

#[test]
fn every_help_tells_exit_codes() {
    let mut all = Vec::new();
    leaves(&Args::command(), "", &mut all);
    assert!(all.len() >= 15, "{}", all.len());
    for (words, _) in &all {
        let output = run(&format!("{words} --help"));
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(text.contains("Exit codes:"), "{words}: {text}");
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let directory = std::env::temp_dir().join(format!("sockeye-man-{}", std::process::id()));
    let output = run(&format!("man {}", directory.display()));
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let mut all = Vec::new();
    leaves(&Args::command(), "sockeye", &mut all);
    for (words, _) in all {
        let page = directory.join(format!("{}.1", words.replace(' ', "-")));
        let text = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{page:?}: {error}"));
        assert!(
            text.contains(".SH NAME") && text.contains("Exit codes"),
            "{page:?}"
        );
    }
    std::fs::remove_dir_all(&directory).unwrap();
    let first = String::from_utf8(run("man").stdout).unwrap();
    assert!(first.contains(".TH sockeye 1"), "{first}");
    assert_eq!(run("man /dev/null/no").status.code(), Some(3));
}

#[test]
fn shells_take_the_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&format!("completions {shell}"));
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains("upper") && text.contains("one-at-a-time"),
            "{shell}"
        );
        if matches!(shell, "bash" | "zsh" | "fish") && is_installed(shell) {
            let path = std::env::temp_dir().join(format!("sockeye-{shell}-{}", std::process::id()));
            std::fs::write(&path, text).unwrap();
            let checked = Command::new(shell).arg("-n").arg(&path).output().unwrap();
            std::fs::remove_file(&path).unwrap();
            assert!(checked.status.success(), "{shell}: {}", told(&checked));
        }
    }
    // What a person gets who presses Tab.
    if is_installed("bash") {
        let script = "source <(\"$0\" completions bash); COMP_WORDS=(sockeye up); COMP_CWORD=1; \
                      _sockeye sockeye up sockeye; echo \"${COMPREPLY[@]}\"";
        let asked = Command::new("bash")
            .args(["-c", script, env!("CARGO_BIN_EXE_sockeye")])
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&asked.stdout).trim(),
            "upper",
            "{}",
            told(&asked)
        );
    }
    assert_eq!(run("completions tcsh").status.code(), Some(2));
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    if !is_installed("script") {
        return;
    }
    let shown = |environment: &[(&str, &str)]| {
        let mut command = Command::new("script");
        command.args([
            "-qec",
            &format!("{} lab run handshake", env!("CARGO_BIN_EXE_sockeye")),
            "/dev/null",
        ]);
        command
            .env_remove("NO_COLOR")
            .env("TERM", "xterm")
            .envs(environment.iter().copied());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(shown(&[]).contains('\u{1b}'));
    let plain = shown(&[("NO_COLOR", "1")]);
    assert!(plain.contains("SYN") && !plain.contains('\u{1b}'), "{plain}");
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap().port();
    drop(free);
    let cases = [
        (
            "upper serve 127.0.0.1:88888".into(),
            2,
            "there is no port 88888: ports go from 0 to 65535",
        ),
        (
            "chat connect 127.0.0.1:-1".into(),
            2,
            "is no port: a number from 0 to 65535",
        ),
        (
            "chat listen ::1:80".into(),
            2,
            "an IPv6 address stands in brackets: [::1]",
        ),
        ("udp recv 127.0.0.1".into(), 2, "the port is missing: HOST:PORT"),
        ("udp send 999.1.1.1:9".into(), 7, "check the name"),
        ("tftp get tftp://127.0.0.1:99999/x".into(), 2, "port"),
        ("tftp get http://127.0.0.1/x".into(), 2, "tftp://"),
        (
            "upper connect nobody.invalid:80".into(),
            7,
            "check the name, the address and the network",
        ),
        (
            "tftp get tftp://nobody.invalid/x -".into(),
            7,
            "unknown server nobody.invalid",
        ),
        (
            format!("upper serve 127.0.0.1:{port}"),
            7,
            "another program has this port (ss -lntup shows which)",
        ),
        (
            format!("chat listen 127.0.0.1:{port}"),
            7,
            "end it or choose another port",
        ),
        (
            "upper serve 192.0.2.1:8000".into(),
            7,
            "ip address shows this machine's",
        ),
        (
            "udp send 255.255.255.255:9".into(),
            7,
            "broadcast addresses --broadcast",
        ),
        (
            format!("upper connect 127.0.0.1:{nobody}"),
            4,
            "start the server first",
        ),
        (
            format!("chat connect 127.0.0.1:{nobody}"),
            4,
            "start the server first",
        ),
        (
            "--net tun:sock0 upper serve 80".into(),
            2,
            "an address is needed: sock0; expected NAME,addr=",
        ),
        (
            "--net tun:sock0,addr=10.0.0.1/24,speed=9 upper serve 80".into(),
            2,
            "unknown setting: speed",
        ),
        (
            "--net bridge upper serve 80".into(),
            2,
            "accepted are os, lab and tun:NAME,addr=10.77.0.2/24",
        ),
        ("uper".into(), 2, "upper"),
    ];
    for (words, code, part) in cases {
        let output = match words.starts_with("udp send") {
            true => {
                let mut program = sockeye(&words.split_whitespace().collect::<Vec<_>>());
                program.say_if_there("x\n");
                let code = program.end().code();
                let text = program.errors().to_string();
                (code, text)
            }
            false => {
                let output = run(&words);
                (output.status.code(), told(&output))
            }
        };
        assert_eq!(output.0, Some(code), "{words}: {}", output.1);
        assert!(
            output.1.starts_with("sockeye: ") && output.1.contains(part),
            "{words}: {}",
            output.1
        );
    }
}

/// A port below 1024, for one who is not root. In a network namespace of its own the kernel's default holds.
#[test]
fn low_ports_need_permission() {
    let nobody = [
        "--net",
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let wrapped = |words: &[&str]| {
        Command::new("unshare")
            .args(nobody)
            .args(words)
            .env("LC_ALL", "C")
            .output()
    };
    if !wrapped(&["true"]).is_ok_and(|output| output.status.success()) {
        println!("skipped: unshare --net and setpriv do not work here (root is needed)");
        return;
    }
    let exe = env!("CARGO_BIN_EXE_sockeye");
    for words in [
        vec!["upper", "serve", "80"],
        vec!["tftp", "serve", "/", "--listen", "0.0.0.0:69"],
    ] {
        let output = wrapped(&[&[exe], words.as_slice()].concat()).unwrap();
        assert_eq!(output.status.code(), Some(7), "{words:?}: {}", told(&output));
        assert!(told(&output).contains("1024"), "{words:?}: {}", told(&output));
    }
}

/// A server that hangs up without reading what was sent: a reset.
#[test]
fn a_reset_has_a_code_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut client = sockeye(&["upper", "connect", &address]);
    client.say("python\n");
    let (stream, _) = listener.accept().unwrap();
    stream.peek(&mut [0; 9]).unwrap(); // it has come, and stays unread
    drop(stream);
    assert_eq!(client.end().code(), Some(6), "{}", client.errors());
    assert!(
        client.errors().contains("the peer broke off: connect again"),
        "{}",
        client.errors()
    );
}

/// The first Ctrl-C or SIGTERM closes, the second aborts; either way the exit code says so.
#[test]
fn signals_close_in_good_order() {
    use std::io::Read;
    for signal in ["INT", "TERM"] {
        let mut server = sockeye(&["upper", "serve", "127.0.0.1:0", "--json"]);
        let told: serde_json::Value = serde_json::from_str(&server.line_with("listening")).unwrap();
        let mut stream = std::net::TcpStream::connect(told["address"].as_str().unwrap()).unwrap();
        server.line_with("accepted");
        server.signal(signal);
        server.error_with("closing in good order");
        // The end of the stream, not a reset.
        assert_eq!(stream.read(&mut [0; 9]).unwrap(), 0, "{signal}");
        assert_eq!(server.end().code(), Some(130), "{signal}: {}", server.errors());
    }
    // A client that waits for an answer which does not come.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for signals in [["INT", "INT"], ["TERM", "INT"], ["INT", "TERM"]] {
        let mut client = sockeye(&["upper", "connect", &listener.local_addr().unwrap().to_string()]);
        client.say("python\n");
        let (stream, _) = listener.accept().unwrap();
        stream.peek(&mut [0; 9]).unwrap();
        client.signal(signals[0]);
        client.error_with("closing in good order; Ctrl-C again aborts");
        client.signal(signals[1]);
        // It would wait five seconds for the server's end otherwise; here the server still has its side open.
        assert_eq!(client.end().code(), Some(130), "{signals:?}: {}", client.errors());
        drop(stream);
    }
    // A download is stopped, and leaves nothing behind.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("tftp://{}/x", silent.local_addr().unwrap());
    let file = std::env::temp_dir().join(format!("sockeye-stopped-{}", std::process::id()));
    let mut get = sockeye(&["tftp", "get", &url, file.to_str().unwrap(), "--give-up", "60"]);
    silent.recv(&mut [0; 600]).unwrap();
    get.signal("TERM");
    assert_eq!(get.end().code(), Some(130), "{}", get.errors());
    assert!(!file.exists());
}
