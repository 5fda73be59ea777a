//! `sockeye lab upper`, as the command calls it.

use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex};

use clap::Parser;
use sockeye_cli::args::{Args, Command, LabCommand, UpperArgs};
use sockeye_cli::exit::{Code, Failure};
use sockeye_cli::lab::upper::{Summary, upper};

/// Seeds of the long run. Each is a network of its own that loses every fifth frame.
const SEEDS: u64 = 1000;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn args(words: &str) -> UpperArgs {
    let all = ["sockeye", "lab", "upper", "--color", "never"]
        .into_iter()
        .chain(words.split_whitespace());
    match Args::try_parse_from(all).unwrap().command {
        Command::Lab {
            command: LabCommand::Upper(args),
        } => args,
        other => panic!("{other:?}"),
    }
}

fn run(words: &str, input: &str) -> (String, Result<Summary, Failure>) {
    let page = Page::default();
    let summary = upper(&args(words), None, Cursor::new(input.to_string()), page.clone());
    (page.text(), summary)
}

const TEXT: &str = "python\n你好 abc\n";

#[test]
fn answers_losses_and_reasons() {
    let (page, summary) = run("--loss 20% --seed 7", TEXT);
    let lines: Vec<&str> = page.lines().collect();
    assert!(lines.contains(&"PYTHON") && lines.contains(&"你好 ABC"), "{page}");
    assert!(page.contains("✗") && page.contains("lost on the link"), "{page}");
    assert!(page.contains("retransmission: RTO 1 s"), "{page}");
    let release = [
        "ESTABLISHED → FIN-WAIT-1",
        "FIN-WAIT-1 → FIN-WAIT-2",
        "FIN-WAIT-2 → TIME-WAIT",
        "LAST-ACK → CLOSED",
    ];
    for step in release
        .into_iter()
        .chain(["TIME-WAIT → CLOSED", "both ends CLOSED"])
    {
        assert!(page.contains(step), "{step} is missing: {page}");
    }
    let summary = summary.unwrap();
    assert!(
        summary.lost > 0 && summary.end.as_secs_f64() > 240.0,
        "{summary:?}"
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    let page = |seed: u64| run(&format!("--loss 20% --seed {seed}"), TEXT).0;
    assert_eq!(page(7), page(7));
    assert_ne!(page(7), page(8));
}

#[test]
fn every_seed_ends_with_the_right_text() {
    let args = args("--loss 20% --quiet");
    for seed in 0..SEEDS {
        let page = Page::default();
        let args = UpperArgs { seed, ..args.clone() };
        let result = upper(&args, None, Cursor::new(TEXT), page.clone());
        assert!(result.is_ok(), "seed {seed}: {result:?}");
        assert_eq!(page.text(), "PYTHON\n你好 ABC\n", "seed {seed}");
    }
}

#[test]
fn q_ends_it_and_empty_lines_are_not_sent() {
    for quit in ["Q\n", "q\n", "q\r\n", ""] {
        let (page, summary) = run(
            "--quiet",
            &format!("\n  \npython\n{quit}never\n")
                .replace("never\n", if quit.is_empty() { "" } else { "never\n" }),
        );
        assert!(summary.is_ok());
        assert_eq!(page, "PYTHON\n");
    }
}

#[test]
fn every_flag_has_its_effect() {
    for words in [
        "--ipv6",
        "--profile linux",
        "--rate 64kbit",
        "--delay 150ms",
        "--mtu 576",
        "--loss 0.1 --mtu 68",
    ] {
        let (page, summary) = run(&format!("{words} --quiet"), TEXT);
        assert!(summary.is_ok(), "{words}: {summary:?}");
        assert_eq!(page, "PYTHON\n你好 ABC\n", "{words}");
    }
    assert!(run("--ipv6", TEXT).0.contains("[fd00::2]:8000") || run("--ipv6", TEXT).0.contains("fd00::2"));
    let linux = run("--profile linux --quiet", TEXT).1.unwrap();
    assert!((60.0..62.0).contains(&linux.end.as_secs_f64()), "{linux:?}");
    assert!(run("--mtu 576", "x\n").0.contains("mss=536"));
    assert!(
        run("--notation classroom", TEXT)
            .0
            .contains("SYN=1, ACK=1, seq=y, ack=x+1")
    );
    assert!(
        run("--ascii", TEXT)
            .0
            .lines()
            .all(|line| line.is_ascii() || line.contains("你好"))
    );
    assert!(run("--color always", TEXT).0.contains('\u{1b}'));
    let slow = run("--delay 150ms --quiet", TEXT).1.unwrap();
    let fast = run("--quiet", TEXT).1.unwrap();
    assert!(slow.end > fast.end);
    let refused = run("--ipv6 --mtu 1000", TEXT).1.unwrap_err();
    assert_eq!(refused.code(), Code::Usage);
}

#[test]
fn a_network_that_loses_everything_is_told() {
    let (page, result) = run("--loss 100% --quiet", TEXT);
    let failure = result.unwrap_err();
    assert_eq!(failure.code(), Code::TimedOut);
    assert!(failure.text().unwrap().contains("cannot connect"), "{failure:?}");
    assert_eq!(page, "");
}

#[test]
fn captures_and_events_are_written() {
    let dir = std::env::temp_dir().join(format!("sockeye-test-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (pcap, events) = (dir.join("run.pcapng"), dir.join("run.jsonl"));
    let words = format!("--quiet --pcap {} --events {}", pcap.display(), events.display());
    let (page, result) = run(&words, TEXT);
    assert!(result.is_ok() && page == "PYTHON\n你好 ABC\n");
    assert_eq!(std::fs::read(&pcap).unwrap()[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    let lines = std::fs::read_to_string(&events).unwrap();
    assert!(lines.lines().count() > 20);
    for line in lines.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["at_ns"].is_u64() && value["event"].is_string(), "{line}");
    }
    let (_, result) = run(
        &format!("--pcap {}", dir.join("no/such/dir.pcapng").display()),
        TEXT,
    );
    assert_eq!(result.unwrap_err().code(), Code::Input);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Nobody reads the output any more: that is no failure to shout about.
#[test]
fn a_closed_output_ends_quietly() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let failure = upper(&args(""), None, Cursor::new(TEXT), Closed).unwrap_err();
    assert_eq!((failure.code(), failure.text()), (Code::NoReader, None));
}

#[test]
fn errors_of_the_streams_are_not_the_network_s() {
    let gbk = upper(
        &args("--quiet"),
        None,
        Cursor::new(b"\xc4\xe3\xba\xc3\n"),
        Page::default(),
    )
    .unwrap_err();
    assert_eq!(gbk.code(), Code::Input);
    assert!(gbk.text().unwrap().contains("UTF-8"), "{gbk:?}");
    /// Takes what is the diagram's, and then fails as a full disk does.
    struct Full;
    impl Write for Full {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            match buf {
                b"PYTHON" => Err(io::ErrorKind::StorageFull.into()),
                _ => Ok(buf.len()),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let full = upper(&args(""), None, Cursor::new(TEXT), Full).unwrap_err();
    assert_eq!(full.code(), Code::Input);
}

#[test]
fn wrong_values_say_what_is_accepted() {
    for (words, accepted) in [
        ("--loss 5x", "5% or a fraction like 0.05"),
        ("--loss 120%", "from 0 to 1"),
        ("--delay 10", "10ms, 250us or 1.5s"),
        ("--rate fast", "10mbit, 64kbit or 1gbit"),
        ("--mtu 20", "68..=65535"),
        ("--profile bsd", "rfc, linux"),
        ("--seed x", "--seed"),
    ] {
        let all = ["sockeye", "lab", "upper"]
            .into_iter()
            .chain(words.split_whitespace());
        let error = Args::try_parse_from(all).unwrap_err().to_string();
        assert!(error.contains(accepted), "{words}: {error}");
    }
}
