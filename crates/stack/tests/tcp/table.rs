//! Every state against every kind of segment, call and timeout (RFC 9293 section 3.10), as plain text tables.
//!
//! Each cell starts from a fresh stack. The tables are reviewed against the RFC's text; what deviates from its letter on
//! purpose is said in [`Start::notes`], which heads the table.

use std::fmt::Write as _;

use sockeye_stack::tcp::{Flags, Keepalive, State};
use sockeye_stack::{Readiness, RecvError, SendError};

use crate::peer::{Peer, Seg, Setup, ack, data, fin, ms, octets, rst, secs, seg};

/// A state to start from, and the numbers that segments are made with.
struct Start {
    name: &'static str,
    make: fn(Setup) -> Peer,
    una: i64,
    nxt: i64,
    rcv: i64,
    notes: &'static str,
}

/// In each synchronised state 20 octets have come and been read, and 100 octets (1 to 100) are in flight; where our FIN
/// is sent it has number 101, where the peer's came it had 21.
const STARTS: &[Start] = &[
    Start {
        name: "CLOSED",
        make: |setup| {
            let mut p = Peer::new(setup);
            p.id = Some(p.stack.tcp_socket(p.setup.options));
            p
        },
        una: 0,
        nxt: 0,
        rcv: 0,
        notes: "",
    },
    Start {
        name: "LISTEN",
        make: |setup| {
            let mut p = Peer::new(setup);
            p.listen();
            p.id = p.listener;
            p
        },
        una: 0,
        nxt: 0,
        rcv: 0,
        notes: "A SYN with FIN is dropped, as everywhere in practice. SEND and active OPEN on a listener are errors, as \
                BSD's sockets have it, where the RFC lets them turn it into an active open. A SYN's text is not taken: \
                it is not acknowledged, so the peer sends it again.",
    },
    Start {
        name: "SYN-SENT",
        make: |setup| {
            let mut p = Peer::new(setup);
            p.connect();
            p.take();
            p
        },
        una: 0,
        nxt: 1,
        rcv: 0,
        notes: "SEND does not queue before the handshake is complete: the application is told to wait.",
    },
    Start {
        name: "SYN-RECEIVED (passive)",
        make: |setup| {
            let mut p = Peer::new(setup);
            p.listen();
            p.send(p.syn());
            p.expect("SYN,ACK 0 ack 1");
            p
        },
        una: 0,
        nxt: 1,
        rcv: 1,
        notes: "No socket stands for it yet, so there are no calls. A repeated SYN brings our SYN,ACK again, which its \
                sender can use, rather than the ACK of section 3.10.7.4, which it could not.",
    },
    Start {
        name: "SYN-RECEIVED (active)",
        make: |setup| {
            let mut p = Peer::new(setup);
            p.connect();
            p.take();
            p.send(p.syn());
            p.expect("SYN,ACK 0 ack 1");
            p
        },
        una: 0,
        nxt: 1,
        rcv: 1,
        notes: "A repeated SYN brings our SYN,ACK again, as in the passive case.",
    },
    Start {
        name: "ESTABLISHED",
        make: established,
        una: 1,
        nxt: 101,
        rcv: 21,
        notes: "",
    },
    Start {
        name: "FIN-WAIT-1",
        make: |setup| {
            let mut p = established(setup);
            p.shutdown();
            p.expect("FIN,ACK 101 ack 21");
            p
        },
        una: 1,
        nxt: 102,
        rcv: 21,
        notes: "",
    },
    Start {
        name: "FIN-WAIT-1 (socket closed)",
        make: |setup| {
            let mut p = established(setup);
            p.close();
            p.expect("FIN,ACK 101 ack 21");
            p
        },
        una: 1,
        nxt: 102,
        rcv: 21,
        notes: "Nobody can read any more: new text is answered with a reset (SHLD-3).",
    },
    Start {
        name: "FIN-WAIT-2",
        make: |setup| {
            let mut p = established(setup);
            p.shutdown();
            p.expect("FIN,ACK 101 ack 21");
            p.send(ack(21, 102));
            p
        },
        una: 102,
        nxt: 102,
        rcv: 21,
        notes: "",
    },
    Start {
        name: "FIN-WAIT-2 (socket closed)",
        make: |setup| {
            let mut p = established(setup);
            p.close();
            p.expect("FIN,ACK 101 ack 21");
            p.send(ack(21, 102));
            p
        },
        una: 102,
        nxt: 102,
        rcv: 21,
        notes: "Nobody can read any more: new text is answered with a reset (SHLD-3).",
    },
    Start {
        name: "CLOSE-WAIT",
        make: |setup| {
            let mut p = established(setup);
            p.send(fin(21, 1));
            p.expect("ACK 101 ack 22");
            p
        },
        una: 1,
        nxt: 101,
        rcv: 22,
        notes: "Text behind the peer's FIN, which \"should not occur\", is answered with an ACK that says so.",
    },
    Start {
        name: "CLOSING",
        make: |setup| {
            let mut p = established(setup);
            p.shutdown();
            p.expect("FIN,ACK 101 ack 21");
            p.send(fin(21, 1));
            p.expect("ACK 102 ack 22");
            p
        },
        una: 1,
        nxt: 102,
        rcv: 22,
        notes: "A reset is told to an application that still holds the socket: what it sent may be lost.",
    },
    Start {
        name: "LAST-ACK",
        make: |setup| {
            let mut p = established(setup);
            p.send(fin(21, 1));
            p.expect("ACK 101 ack 22");
            p.shutdown();
            p.expect("FIN,ACK 101 ack 22");
            p
        },
        una: 1,
        nxt: 102,
        rcv: 22,
        notes: "A reset is told to an application that still holds the socket: what it sent may be lost.",
    },
    Start {
        name: "TIME-WAIT",
        make: |setup| {
            let mut p = with_listener(setup);
            p.shutdown();
            p.expect("FIN,ACK 101 ack 21");
            p.send(ack(21, 102));
            p.send(fin(21, 102));
            p.expect("ACK 102 ack 22");
            p.id = p.id.filter(|&id| p.stack.tcp(p.now, id).is_ok());
            p
        },
        una: 102,
        nxt: 102,
        rcv: 22,
        notes: "ABORT gives the socket back; what waits for old segments stays, since the peer's FIN may come again.",
    },
];

/// Without its listener, so that nothing but the connection has a state.
fn established(setup: Setup) -> Peer {
    let mut p = with_listener(setup);
    let listener = p.listener.take().expect("it listens");
    p.stack.tcp(p.now, listener).unwrap().close();
    p
}

fn with_listener(setup: Setup) -> Peer {
    let mut p = Peer::established(setup);
    p.send(octets(1, 1, 20));
    p.read_n(20);
    p.write_n(100);
    p.expect("PSH,ACK 1+100 ack 21");
    p
}

type Make = fn(&Start) -> Seg;

const SEGMENTS: &[(&str, Make)] = &[
    ("RST at RCV.NXT", |s| rst(s.rcv)),
    ("RST at RCV.NXT, with ACK", |s| {
        rst(s.rcv).with(Flags::ACK).acking(s.nxt)
    }),
    ("RST at RCV.NXT, with text (SHLD-2)", |s| Seg {
        data: vec![1; 10],
        ..rst(s.rcv)
    }),
    ("RST in window, not exact", |s| rst(s.rcv + 1000)),
    ("RST outside the window", |s| rst(s.rcv - 1000)),
    ("RST and SYN at RCV.NXT", |s| rst(s.rcv).with(Flags::SYN)),
    ("SYN repeated", |_| seg(Flags::SYN, 0, 0)),
    ("SYN new, in window", |s| seg(Flags::SYN, s.rcv + 1000, 0)),
    ("SYN new, outside the window", |s| {
        seg(Flags::SYN, s.rcv + 1_000_000, 0)
    }),
    ("SYN old, outside the window", |s| {
        seg(Flags::SYN, s.rcv - 1_000_000, 0)
    }),
    ("SYN with text", |s| Seg {
        data: vec![1; 10],
        ..seg(Flags::SYN, s.rcv + 1000, 0)
    }),
    ("SYN with FIN", |s| seg(Flags::SYN | Flags::FIN, s.rcv + 1000, 0)),
    ("SYN,ACK of all we sent", |s| {
        seg(Flags::SYN | Flags::ACK, 0, s.nxt)
    }),
    ("SYN,ACK of what we did not send", |s| {
        seg(Flags::SYN | Flags::ACK, 0, s.nxt + 1)
    }),
    ("SYN,ACK with text", |s| Seg {
        data: vec![1; 10],
        ..seg(Flags::SYN | Flags::ACK, 0, s.nxt)
    }),
    ("ACK duplicate", |s| ack(s.rcv, s.una)),
    ("ACK of all we sent", |s| ack(s.rcv, s.nxt)),
    ("ACK of a part", |s| ack(s.rcv, (s.una + 50).min(s.nxt))),
    ("ACK a little old", |s| ack(s.rcv, s.una - 1)),
    ("ACK too old (RFC 5961)", |s| ack(s.rcv, s.una - 65_536)),
    ("ACK of what we did not send", |s| ack(s.rcv, s.nxt + 1)),
    ("ACK with old sequence number", |s| ack(s.rcv - 1, s.nxt)),
    ("ACK beyond the window", |s| ack(s.rcv + 1_000_000, s.nxt)),
    ("no flags at all", |s| seg(Flags::empty(), s.rcv, 0)),
    ("text without ACK", |s| Seg {
        data: vec![1; 10],
        ..seg(Flags::PSH, s.rcv, 0)
    }),
    ("text in order", |s| octets(s.rcv, s.una, 10)),
    ("text in order, ACK of all", |s| octets(s.rcv, s.nxt, 10)),
    ("text out of order", |s| octets(s.rcv + 100, s.una, 10)),
    ("text old", |s| octets(s.rcv - 10, s.una, 10)),
    ("text partly old", |s| octets(s.rcv - 5, s.una, 10)),
    ("text beyond the window", |s| octets(s.rcv + 1_000_000, s.una, 10)),
    ("text, ACK of what we did not send", |s| {
        octets(s.rcv, s.nxt + 1, 10)
    }),
    ("FIN in order", |s| fin(s.rcv, s.una)),
    ("FIN in order, ACK of all", |s| fin(s.rcv, s.nxt)),
    ("FIN in order, with text", |s| {
        octets(s.rcv, s.una, 10).with(Flags::FIN)
    }),
    ("FIN out of order", |s| fin(s.rcv + 100, s.una)),
    ("FIN repeated", |s| fin(s.rcv - 1, s.nxt)),
    ("FIN without ACK", |s| seg(Flags::FIN, s.rcv, 0)),
    ("URG with text", |s| octets(s.rcv, s.una, 10).urgent(5)),
    ("URG without text", |s| ack(s.rcv, s.una).urgent(50)),
];

type Call = fn(&mut Peer) -> String;

const CALLS: &[(&str, Call)] = &[
    ("OPEN passive", |p| match p.id {
        Some(id) => show(p.stack.tcp_listen(id, 4).map_err(|e| e.to_string())),
        None => "-".into(),
    }),
    ("OPEN active", |p| {
        let (now, remote) = (p.now, p.remote);
        match p.id {
            Some(id) => show(p.stack.tcp_connect(now, id, remote).map_err(|e| e.to_string())),
            None => "-".into(),
        }
    }),
    ("SEND", |p| {
        show(p.sock().send(b"0123456789").map_err(|e| e.to_string()))
    }),
    ("SEND, urgent", |p| {
        show(p.sock().send_urgent(b"0123456789").map_err(|e| e.to_string()))
    }),
    ("RECEIVE", |p| {
        show(p.sock().recv(&mut [0; 100]).map_err(|e| e.to_string()))
    }),
    ("CLOSE", |p| {
        p.sock().close();
        "ok".into()
    }),
    ("CLOSE, linger 0", |p| {
        p.set(|o| o.linger = Some(ms(0)));
        p.sock().close();
        "ok".into()
    }),
    ("shutdown of sending", |p| {
        show(p.sock().shutdown_send().map_err(|e| e.to_string()))
    }),
    ("shutdown of receiving", |p| {
        p.sock().shutdown_recv();
        "ok".into()
    }),
    ("ABORT", |p| {
        p.sock().abort();
        "ok".into()
    }),
    ("STATUS", |p| {
        let sock = p.sock();
        let addr = |a: Option<std::net::SocketAddr>| if a.is_some() { "known" } else { "none" };
        format!(
            "{}, local {}, peer {}",
            sock.state(),
            addr(sock.local_addr()),
            addr(sock.peer_addr())
        )
    }),
];

fn show<T: std::fmt::Debug>(result: Result<T, String>) -> String {
    match result {
        Ok(value) => format!("{value:?}").replace("()", "ok"),
        Err(text) => format!("error: {text}"),
    }
}

fn told(p: &mut Peer) -> String {
    let bits = p.told();
    let mut words: Vec<String> = bits.iter_names().map(|(name, _)| name.to_lowercase()).collect();
    if let Some(id) = p.id
        && let Ok(mut sock) = p.stack.tcp(p.now, id)
    {
        if sock.readable() > 0 {
            words.push(format!("{} octets to read", sock.readable()));
        }
        if let Some(error) = sock.take_error() {
            words.push(format!("error: {error}"));
        }
    }
    if words.is_empty() {
        "-".into()
    } else {
        words.join(", ")
    }
}

/// What happens within half a second: at once, and by the delayed-ACK timer.
fn sent(p: &mut Peer) -> String {
    p.drain();
    let mark = p.now;
    p.wait_ms(500);
    let all = p.take_all();
    p.ignore();
    let show = |s: &crate::peer::Sent| match s.at.since(mark).as_millis() {
        0 => format!("{s} ({})", s.cause),
        after => format!("after {after} ms: {s} ({})", s.cause),
    };
    if all.is_empty() {
        "-".into()
    } else {
        all.iter().map(show).collect::<Vec<_>>().join("; ")
    }
}

fn row(out: &mut String, cells: [&str; 4]) {
    let line = format!(
        "{:36} | {:13} | {:62} | {}",
        cells[0], cells[1], cells[2], cells[3]
    );
    writeln!(out, "{}", line.trim_end()).unwrap();
}

fn state(p: &Peer) -> String {
    p.state().to_string()
}

fn segments(start: &Start) -> String {
    let mut out = String::new();
    row(&mut out, ["segment", "state", "sent", "told"]);
    for (name, make) in SEGMENTS {
        let mut p = (start.make)(Setup::default());
        p.told = Readiness::empty();
        p.queue(make(start));
        let sent = sent(&mut p);
        let (state, told) = (state(&p), told(&mut p));
        row(&mut out, [name, &state, &sent, &told]);
    }
    out
}

fn calls(start: &Start) -> String {
    let mut out = String::new();
    let p = (start.make)(Setup::default());
    let held = p.id.is_some_and(|id| {
        let mut p = p;
        p.stack.tcp(p.now, id).is_ok()
    });
    if !held {
        return out;
    }
    row(&mut out, ["call", "state", "sent", "answer; told"]);
    for (name, call) in CALLS {
        let mut p = (start.make)(Setup::default());
        p.told = Readiness::empty();
        let answer = call(&mut p);
        let sent = sent(&mut p);
        let (state, told) = (state(&p), told(&mut p));
        let told = if told == "-" {
            String::new()
        } else {
            format!("; {told}")
        };
        row(&mut out, [name, &state, &sent, &format!("{answer}{told}")]);
    }
    out
}

/// Runs until the state changes, at most `limit`; tells when, how, and what was sent until then.
fn runs(mut p: Peer, limit: u64) -> [String; 3] {
    p.told = Readiness::empty();
    let (before, start) = (p.state(), p.now);
    let mut changed = None;
    while changed.is_none() && p.now.since(start) < secs(limit) {
        let at = p
            .stack
            .next_timeout()
            .map(|(at, _)| at.since(p.now))
            .unwrap_or(secs(limit));
        p.wait(at.min(secs(limit)));
        if p.state() != before {
            changed = Some(p.now.since(start));
        }
    }
    let causes: Vec<_> = p.take_all();
    p.ignore();
    let first = causes
        .first()
        .map(|s| format!("first after {}: {s} ({})", s.at.since(start), s.cause));
    let sent = match (causes.len(), first) {
        (0, _) | (_, None) => "-".into(),
        (1, Some(first)) => first,
        (n, Some(first)) => format!("{n} segments, {first}"),
    };
    let state = match changed {
        Some(after) => format!("{} after {after}", p.state()),
        None => p.state().to_string(),
    };
    [state, sent, told(&mut p)]
}

fn timeouts(start: &Start) -> String {
    let mut out = String::new();
    row(&mut out, ["timeout", "state", "sent", "told"]);
    let mut add = |name: &str, p: Option<Peer>, limit: u64| {
        if let Some(p) = p {
            let [state, sent, told] = runs(p, limit);
            row(&mut out, [name, &state, &sent, &told]);
        }
    };
    add(
        "peer silent for 3 s (retransmission)",
        Some((start.make)(Setup::default())),
        3,
    );
    add(
        "peer silent for an hour (R2, 2 MSL)",
        Some((start.make)(Setup::default())),
        3600,
    );
    let mut setup = Setup::default();
    setup.options.user_timeout = Some(secs(30));
    add("user timeout of 30 s, peer silent", Some((start.make)(setup)), 40);
    let synchronised = !matches!(start.name, "CLOSED" | "LISTEN" | "SYN-SENT" | "TIME-WAIT")
        && !start.name.starts_with("SYN-RECEIVED");
    if synchronised {
        let mut p = (start.make)(Setup::default());
        p.send(ack(start.rcv, start.una).window(0));
        add("persist: window closed, silent 3 s", Some(p), 3);
        let mut p = (start.make)(Setup::default());
        p.send(ack(start.rcv, start.nxt));
        p.ignore();
        let mut setup = Setup::default();
        setup.options.keepalive = Some(Keepalive {
            idle: secs(10),
            interval: secs(5),
            count: 2,
        });
        let mut p = (start.make)(setup);
        p.send(ack(start.rcv, start.nxt));
        p.ignore();
        add("keepalive after ACK of all, silent", Some(p), 60);
    }
    out
}

/// Proves: U-2, U-4, U-5, U-6, U-7, U-8, U-9, U-10, U-11, MAY-12, MUST-10, MUST-11, SHLD-2, SHLD-31.
#[test]
fn state_by_event() {
    for start in STARTS {
        let mut text = format!(
            "{}   SND.UNA {}  SND.NXT {}  RCV.NXT {}\n",
            start.name, start.una, start.nxt, start.rcv
        );
        if !start.notes.is_empty() {
            writeln!(text, "{}", start.notes).unwrap();
        }
        text += "\n";
        for part in [segments(start), calls(start), timeouts(start)] {
            if !part.is_empty() {
                text += &part;
                text.push('\n');
            }
        }
        let name = start
            .name
            .to_lowercase()
            .replace(['(', ')'], "")
            .replace(' ', "-");
        insta::assert_snapshot!(name, text);
    }
}

/// Every name of a state is a row of the table.
#[test]
fn all_states_are_covered() {
    for start in STARTS {
        let p = (start.make)(Setup::default());
        let state = p.state();
        assert!(
            start.name.starts_with(&state.to_string()),
            "{} is {state}",
            start.name
        );
    }
    let all = [
        State::Closed,
        State::Listen,
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
    ];
    for state in all {
        assert!(
            STARTS
                .iter()
                .any(|s| s.name.split(" (").next() == Some(&state.to_string())),
            "{state}"
        );
    }
}

/// What errors name is what the application matches on.
#[test]
fn errors_of_calls_before_and_after_a_connection() {
    let mut p = (STARTS[0].make)(Setup::default());
    assert_eq!(p.sock().send(b"x"), Err(SendError::NotConnected));
    assert_eq!(p.sock().recv(&mut [0]), Err(RecvError::NotConnected));
    let mut p = Peer::established(Setup::default());
    p.send(data(1, 1, b"last").with(Flags::FIN));
    p.expect("ACK 1 ack 6");
    assert_eq!(p.read_all(), b"last");
    assert_eq!(p.sock().recv(&mut [0]), Ok(0));
    assert_eq!(p.sock().recv(&mut [0]), Ok(0), "the end stays the end");
}
