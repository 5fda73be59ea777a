//! `--net lab`: each client with its counterpart on a virtual network.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::support::{Program, sockeye};

/// Runs a command to its end with this input.
fn run(words: &str, input: &str) -> Output {
    use std::io::Write;
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    let command = command
        .args(words.split_whitespace())
        .envs([("LC_ALL", "C")])
        .env_remove("SOCKEYE_NET")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that has nothing to ask may be gone before it could read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}
fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn upper_asks_its_server_through_losses() {
    for words in [
        "upper connect server:8000 --net lab",
        "--net lab upper connect 10.0.0.2:8000 --loss 30% --seed 3",
        "--net lab upper connect [fd00::2]:8000 --delay 150ms --rate 64kbit",
        "--net lab upper connect SERVER:8000 --loss 0.3 --seed 4",
    ] {
        let output = run(words, "python\n\n你好 abc\nQ\nnever\n");
        assert_eq!(output.status.code(), Some(0), "{words}: {}", told(&output));
        assert_eq!(out(&output), "PYTHON\n你好 ABC\n", "{words}");
        // The same seed, the same run.
        let again = run(words, "python\n\n你好 abc\nQ\nnever\n");
        assert_eq!(
            (&again.stdout, told(&again)),
            (&output.stdout, told(&output)),
            "{words}"
        );
        let lossy = words.contains("loss");
        assert_eq!(
            told(&output).contains(", 0 of them lost,"),
            !lossy,
            "{}",
            told(&output)
        );
    }
    // The place can be told by the environment, and has no meaning for other commands then.
    let mut client = Program::start(
        Command::new(env!("CARGO_BIN_EXE_sockeye"))
            .args(["upper", "connect", "server:8000"])
            .env("SOCKEYE_NET", "lab"),
    );
    client.say("one\n");
    assert_eq!(client.line(), "ONE");
    client.say("two\n");
    assert_eq!(client.line(), "TWO");
    assert_eq!(client.end().code(), Some(0));
}

#[test]
fn chat_has_one_who_says_everything_back() {
    for flags in [
        "",
        "--turns client",
        "--bare",
        "--loss 20% --seed 2",
        "--encoding gbk",
        "--udp",
    ] {
        let words = format!("--net lab chat connect server:9001 --json {flags}");
        let output = run(&words, "hello\n你好\nexit\n");
        assert_eq!(output.status.code(), Some(0), "{words}: {}", told(&output));
        let events: Vec<serde_json::Value> = out(&output)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let heard = |what: &str| {
            let texts = events.iter().filter(|event| event["event"] == what);
            texts
                .filter_map(|event| event["text"].as_str())
                .collect::<Vec<_>>()
        };
        let said = if flags == "--udp" { "received" } else { "message" };
        assert_eq!(heard(said), ["hello", "你好"], "{words}: {}", out(&output));
    }
    let output = run("--net lab chat connect server:9001 --turns server", "one\ntwo\n");
    assert_eq!(out(&output), "hello\none\ntwo\n", "{}", told(&output));
}

#[test]
fn datagrams_arrive_or_are_lost() {
    let input: String = (1..=20).map(|n| format!("{n}\n")).collect();
    let numbers = |text: &str| -> Vec<u32> {
        let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
        lines.map(|(_, n)| n.parse().unwrap()).collect()
    };
    let all = run("--net lab udp send server:9000", &input);
    assert_eq!(numbers(&out(&all)), (1..=20).collect::<Vec<_>>());
    assert!(
        out(&all).contains("at the server, from 10.0.0.1:"),
        "{}",
        out(&all)
    );
    let some = run("--net lab udp send server:9000 --loss 40%", &input);
    let arrived = numbers(&out(&some));
    assert!(
        arrived.is_sorted() && !arrived.is_empty() && arrived.len() < 20,
        "{arrived:?}"
    );
    assert_eq!(some.status.code(), Some(0));
    let back = run("--net lab udp chat server:9000", &input);
    assert_eq!(numbers(&out(&back)), (1..=20).collect::<Vec<_>>());
}

#[test]
fn files_go_both_ways() {
    let directory = Directory::new();
    let content: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    std::fs::write(directory.path("served/big"), &content).unwrap();
    let serve = format!(
        "--net lab --loss 3% --serve {}",
        directory.path("served").display()
    );
    let copy = directory.path("copy");
    let get = run(
        &format!("tftp get tftp://server/big {} {serve}", copy.display()),
        "",
    );
    assert_eq!(get.status.code(), Some(0), "{}", told(&get));
    assert!(std::fs::read(&copy).unwrap() == content);
    let put = run(
        &format!("tftp put --json {} tftp://server/up {serve}", copy.display()),
        "",
    );
    assert_eq!(put.status.code(), Some(0), "{}", told(&put));
    // The window that was asked for: a stack's sockets have room for it.
    assert!(told(&put).contains("windowsize=16"), "{}", told(&put));
    assert!(std::fs::read(directory.path("served/up")).unwrap() == content);
    // Nothing is overwritten, and what is not there is said.
    let twice = run(
        &format!("tftp put {} tftp://server/up {serve}", copy.display()),
        "",
    );
    assert_eq!(twice.status.code(), Some(9), "{}", told(&twice));
    let none = run(&format!("tftp get tftp://server/none - {serve}"), "");
    assert_eq!(none.status.code(), Some(8), "{}", told(&none));
}

struct Directory(PathBuf);
impl Directory {
    fn new() -> Directory {
        let path = std::env::temp_dir().join(format!("sockeye-net-lab-{}", std::process::id()));
        std::fs::create_dir_all(path.join("served")).unwrap();
        Directory(path)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // nothing of value is there
    }
}

#[test]
fn what_cannot_be_is_said() {
    for (words, code, part) in [
        ("--net lab upper serve 8000", 2, "nobody else can reach a lab"),
        ("--net lab chat listen 8000", 2, "nobody else can reach a lab"),
        ("--net lab udp recv 8000", 2, "nobody else can reach a lab"),
        ("--net lab tftp serve .", 2, "nobody else can reach a lab"),
        (
            "--net lab upper connect 8000",
            2,
            "the other host is called server",
        ),
        (
            "--net lab chat connect example.com:80",
            2,
            "there is no example.com in the lab",
        ),
        ("--net lab tftp get tftp://server/x", 2, "--serve DIR"),
        (
            "--net lab tftp get tftp://other/x --serve .",
            2,
            "there is no other in the lab",
        ),
        (
            "--net lab tftp get tftp://server/x - --serve /no/such/place",
            3,
            "/no/such/place",
        ),
        ("upper connect 127.0.0.1:1 --loss 5%", 2, "add --net lab"),
        ("tftp get tftp://127.0.0.1/x --serve .", 2, "add --net lab"),
        (
            "--net lab upper connect server:8000 --loss lots",
            2,
            "5% or a fraction",
        ),
        ("--net lab lab list", 2, "leave it out here"),
        ("--net lab sockets", 2, "leave it out here"),
        (
            "--net lab upper connect server:8000 --loss 100%",
            5,
            "cannot connect to server:8000",
        ),
        (
            "--net lab tftp get tftp://server/x - --serve . --loss 100%",
            5,
            "",
        ),
    ] {
        let output = run(words, "x\n");
        assert_eq!(output.status.code(), Some(code), "{words}: {}", told(&output));
        assert!(told(&output).contains(part), "{words}: {}", told(&output));
    }
    // An environment that speaks of a lab does not stand in the way of other commands.
    let mut list = sockeye(&["lab", "list"]);
    assert_eq!(list.end().code(), Some(0));
}
