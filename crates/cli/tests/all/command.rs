//! The command itself: its streams and exit codes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use clap::CommandFactory;
use sockeye_cli::args::Args;
use sockeye_lab::scenarios;

fn sockeye(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sockeye"))
        .args(arguments)
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that has nothing to ask may be gone before it could read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}
fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn lines_from_a_pipe() {
    let run = || {
        sockeye(
            &["lab", "upper", "--loss", "20%", "--seed", "7"],
            "python\n你好 abc\n",
        )
    };
    let output = run();
    assert_eq!(output.status.code(), Some(0));
    let page = text(&output.stdout);
    assert!(page.lines().any(|line| line == "PYTHON") && page.lines().any(|line| line == "你好 ABC"));
    assert!(!page.contains('\u{1b}') && output.stderr.is_empty());
    assert_eq!(run().stdout, output.stdout);
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    let output = sockeye(&["lab", "upper", "--loss", "lots"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("sockeye: invalid value 'lots' for '--loss <SHARE>'"));
    let output = sockeye(&["lab", "run", "handshak"], "");
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(
        told.starts_with("sockeye: ") && told.contains("'handshake'"),
        "{told}"
    );
    let output = sockeye(&["lab", "upper", "--pcap", "/no/such/place"], "x\n");
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).starts_with("sockeye: cannot write /no/such/place: "));
    let output = sockeye(&["lab", "upper", "--loss", "100%", "--quiet"], "x\n");
    assert_eq!(output.status.code(), Some(5));
}

#[test]
fn help_has_examples_and_codes() {
    let output = sockeye(&["lab", "upper", "--help"], "");
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("Examples:"));
    assert!(text(&sockeye(&["--help"], "").stdout).contains("Exit codes:"));
    Args::command().debug_assert();
}

#[test]
fn scenarios_are_listed_and_run() {
    let list = text(&sockeye(&["lab", "list"], "").stdout);
    assert_eq!(list.lines().count(), scenarios::ALL.len());
    let output = sockeye(&["lab", "run", "teardown"], "");
    let page = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{page}");
    for part in [
        "FIN-WAIT-2 → TIME-WAIT",
        "✓",
        "W-17 a tutorial says: ",
        "right is: ",
        "claims held",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let quiet = sockeye(&["lab", "run", "all", "--quiet", "--ascii"], "");
    let page = text(&quiet.stdout);
    assert_eq!(quiet.status.code(), Some(0), "{page}");
    assert!(page.ends_with("claims held\n") && page.is_ascii(), "{page}");
}
