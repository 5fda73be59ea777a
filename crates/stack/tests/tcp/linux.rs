//! `Profile::Linux` on the wire. Each figure was seen on Linux 6.18 by the same segments over a TUN device
//! (`docs/linux.md` tells where the two differ).

use sockeye_stack::tcp::{Flags, State, TcpOptions};
use sockeye_stack::trace::{AckCause, Cause, DropReason};
use sockeye_stack::{Config, ConnectionError, Profile};

use crate::peer::{Peer, Setup, ack, data, fin, octets, pattern, rst, secs, seg};

fn linux() -> Setup {
    Setup {
        config: Config::new(Profile::Linux),
        ..Setup::default()
    }
}
/// What a peer's SYN may offer: SACK, timestamps, window scale.
fn offers(sack: bool, timestamps: bool, window_scale: bool) -> Setup {
    Setup {
        sack,
        timestamps: timestamps.then_some(1000),
        window_scale: window_scale.then_some(7),
        mss: Some(1460),
        ..linux()
    }
}
/// The kinds of options, in order.
fn kinds(mut options: &[u8]) -> Vec<&'static str> {
    let mut out = Vec::new();
    while let Some(&kind) = options.first() {
        let (name, len) = match kind {
            1 => ("nop", 1),
            2 => ("mss", 4),
            3 => ("wscale", 3),
            4 => ("sackOK", 2),
            5 => ("sack", usize::from(options[1])),
            8 => ("TS", 10),
            other => panic!("option {other}"),
        };
        out.push(name);
        options = &options[len..];
    }
    out
}

/// `S win 64240 <mss 1460,sackOK,TS,nop,wscale 7>`: whole segments in half of tcp_rmem, and a scale for 6 MiB.
#[test]
fn the_syn() {
    let mut p = Peer::new(linux());
    p.connect();
    let syn = p.expect("SYN 0");
    assert_eq!(kinds(&syn.raw_options), ["mss", "sackOK", "TS", "nop", "wscale"]);
    assert_eq!(syn.segment.window, 64_240);
    assert_eq!(
        (syn.segment.options.mss, syn.segment.options.window_scale),
        (Some(1460), Some(7))
    );
    assert_eq!((syn.hop_limit, syn.dont_fragment), (64, true));
    // The ACK of the handshake tells the same window, in units of 128, rounded up.
    p.send(
        Peer::new(offers(true, true, true))
            .syn()
            .with(Flags::ACK)
            .acking(1),
    );
    let done = p.expect("ACK 1 ack 1");
    assert_eq!(
        (kinds(&done.raw_options), done.segment.window),
        (vec!["nop", "nop", "TS"], 502)
    );
    // Without timestamps.
    let mut setup = linux();
    setup.config.timestamps = false;
    let mut p = Peer::new(setup);
    p.connect();
    let syn = p.expect("SYN 0");
    assert_eq!(
        kinds(&syn.raw_options),
        ["mss", "nop", "nop", "sackOK", "nop", "wscale"]
    );
}

/// The SYN,ACK offers what was offered; with timestamps the window is whole segments of 1448: 65160.
#[test]
fn the_syn_ack() {
    for (setup, expected, window) in [
        (
            offers(true, true, true),
            vec!["mss", "sackOK", "TS", "nop", "wscale"],
            65_160,
        ),
        (
            offers(true, false, true),
            vec!["mss", "nop", "nop", "sackOK", "nop", "wscale"],
            64_240,
        ),
        (offers(false, false, false), vec!["mss"], 64_240),
        (
            offers(false, true, false),
            vec!["mss", "nop", "nop", "TS"],
            65_160,
        ),
    ] {
        let mut p = Peer::new(setup);
        p.listen();
        p.send(p.syn());
        let answer = p.expect("SYN,ACK 0 ack 1");
        assert_eq!(
            (kinds(&answer.raw_options), answer.segment.window),
            (expected, window)
        );
    }
    let mut p = Peer::new(Setup {
        v6: true,
        ..offers(true, true, true)
    });
    p.listen();
    p.send(p.syn());
    assert_eq!(p.take().segment.window, 64_260, "45 segments of 1428");
}

/// SO_RCVBUF decides the window, in whole segments, and its scale.
#[test]
fn a_fixed_buffer() {
    for (buffer, window, scale) in [(8192, 7300, 0), (1000, 1000, 0), (1 << 20, 65_535, 5)] {
        let mut setup = offers(false, false, true);
        setup.options.receive_buffer = Some(buffer);
        let mut p = Peer::new(setup);
        p.connect();
        let syn = p.take();
        assert_eq!(
            (syn.segment.window, syn.segment.options.window_scale),
            (window, Some(scale)),
            "{buffer}"
        );
    }
}

/// SYNs after 1, 1, 1, 1, 1, 2, 4 ... 32 s, and the end after 64 more: tcp_syn_linear_timeouts 4, tcp_syn_retries 6.
#[test]
fn syn_retries() {
    let mut p = Peer::new(linux());
    p.connect();
    p.expect("SYN 0");
    p.mark();
    for at in [1, 2, 3, 4, 5, 7, 11, 19, 35, 67] {
        p.expect_at(at * 1000, "SYN 0");
    }
    p.at(130_999).quiet();
    assert_eq!(p.sock().take_error(), None);
    p.at(131_000);
    assert_eq!(p.sock().take_error(), Some(ConnectionError::TimedOut));
    p.quiet();
}

/// SYN,ACKs after 1, 2, 4, 8, 16 s: tcp_synack_retries 5.
#[test]
fn syn_ack_retries() {
    let mut p = Peer::new(linux());
    p.listen();
    p.send(p.syn());
    p.expect("SYN,ACK 0 ack 1");
    p.mark();
    for at in [1, 3, 7, 15, 31] {
        p.expect_at(at * 1000, "SYN,ACK 0 ack 1");
    }
    p.at(62_999).assert_state(State::SynReceived);
    p.at(63_000).assert_state(State::Listen);
    p.quiet();
}

/// Ten segments, whatever their size.
#[test]
fn the_initial_window() {
    for (mss, mtu) in [(1000, 1500), (8960, 9000)] {
        let mut p = Peer::established(Setup {
            mss: Some(mss),
            mtu,
            window_scale: Some(7),
            ..linux()
        });
        assert_eq!(p.info().cwnd, 10 * u32::from(mss));
    }
}

/// RTO is 200 ms at least, doubled each time up to 120 s.
#[test]
fn the_retransmission_timeout() {
    let mut p = Peer::established(linux());
    p.write(b"x");
    p.expect("PSH,ACK 1+1 ack 1");
    p.mark();
    let mut at = 200;
    for n in 0..5 {
        p.expect_at(at, "PSH,ACK 1+1 ack 1");
        at += 200 << (n + 1);
    }
    p.ignore();
}

/// The first 16 segments are acknowledged at once, and then what is more than one segment, or after 40 ms.
#[test]
fn quick_acks_then_delayed() {
    let mut p = Peer::established(linux());
    for n in 0..16 {
        p.send(octets(1 + n * 1000, 1, 1000));
        assert_eq!(p.take().cause, Cause::Ack(AckCause::Quick), "segment {n}");
    }
    p.mark();
    p.send(octets(16_001, 1, 1000));
    p.at(39).quiet();
    p.expect_at(40, "ACK 1 ack 17001");
    // A full segment and one octet are more than one segment.
    p.send(octets(17_001, 1, 1000));
    p.quiet();
    p.send(octets(18_001, 1, 1));
    assert_eq!(p.take().cause, Cause::Ack(AckCause::EverySecondSegment));
}

/// An answer within 40 ms makes the connection interactive: the ACK waits for the next answer, until none comes.
#[test]
fn pingpong_mode() {
    let mut p = Peer::established(linux());
    p.send(data(1, 1, b"request"));
    p.expect("ACK 1 ack 8");
    p.write(b"answer");
    p.expect("PSH,ACK 1+6 ack 8");
    p.mark();
    p.send(data(8, 7, b"request"));
    p.quiet();
    p.write(b"answer");
    p.expect("PSH,ACK 7+6 ack 15");
    // No answer: the timer, and at once from then on.
    p.mark();
    p.send(data(15, 13, b"request"));
    p.expect_at(40, "ACK 13 ack 22");
    p.send(data(22, 13, b"request"));
    p.expect("ACK 13 ack 29");
}

/// One challenge ACK in half a second for each connection (tcp_invalid_ratelimit), and no limit for all together.
#[test]
fn challenge_acks() {
    let mut p = Peer::established(linux());
    for _ in 0..5 {
        p.send(rst(3000));
    }
    p.expect("ACK 1 ack 1");
    for _ in 0..5 {
        p.send(seg(Flags::SYN, 3000, 0));
    }
    p.quiet();
    assert_eq!(p.drops(DropReason::RateLimited), 9);
    p.wait(sockeye_stack::Duration::from_millis(500));
    for _ in 0..3 {
        p.send(seg(Flags::SYN, 3000, 0));
    }
    p.expect("ACK 1 ack 1");
    // Old text is answered each time, old segments without any once.
    p.wait(sockeye_stack::Duration::from_millis(500));
    for _ in 0..5 {
        p.send(octets(-1000, 1, 10));
        p.expect("ACK 1 ack 1");
    }
    for _ in 0..5 {
        p.send(ack(-11, 1));
    }
    p.expect("ACK 1 ack 1");
    p.quiet();
}

/// Backlog n admits n + 1; then SYNs are dropped.
#[test]
fn the_backlog() {
    let mut p = Peer::new(linux());
    p.listen_with(1);
    for port in [1001, 1002] {
        p.remote.set_port(port);
        p.handshake();
    }
    p.remote.set_port(1003);
    p.send(p.syn());
    p.quiet();
}

/// TIME-WAIT lasts 60 s from the last FIN; FIN-WAIT-2 of a closed socket lasts 60 s.
#[test]
fn time_wait_and_fin_wait_2() {
    let mut p = Peer::established(linux());
    p.close();
    p.expect("FIN,ACK 1 ack 1");
    p.send(fin(1, 2));
    p.expect("ACK 2 ack 2");
    p.mark();
    p.at(58_000);
    p.send(fin(1, 2));
    p.expect("ACK 2 ack 2");
    p.at(117_999).assert_state(State::TimeWait);
    p.at(118_000).assert_state(State::Listen);
    let mut p = Peer::established(linux());
    p.close();
    p.expect("FIN,ACK 1 ack 1");
    p.send(ack(1, 2));
    p.mark();
    p.at(59_999).assert_state(State::FinWait2);
    p.at(60_000);
    p.send(ack(1, 2));
    p.expect("RST 2");
}

/// A closed socket with text unread resets, and so does text that comes after the close.
#[test]
fn orphans() {
    let mut p = Peer::established(linux());
    p.send(data(1, 1, b"unread"));
    p.take();
    p.close();
    p.expect("RST,ACK 1 ack 7");
    let mut p = Peer::established(linux());
    p.close();
    p.expect("FIN,ACK 1 ack 1");
    p.send(data(1, 2, b"late"));
    assert!(p.take().segment.flags.contains(Flags::RST));
    p.assert_state(State::Listen);
}

/// PSH on the last segment of what was written. A small one waits only for another small one (Minshall's form of Nagle's
/// rule).
#[test]
fn psh_ends_a_write() {
    let mut p = Peer::established(linux());
    p.write(&pattern(0, 2500));
    p.expect("ACK 1+1000 ack 1");
    p.expect("ACK 1001+1000 ack 1");
    p.expect("PSH,ACK 2001+500 ack 1");
    p.write(b"next");
    p.quiet();
    p.send(ack(1, 2501));
    p.expect("PSH,ACK 2501+4 ack 1");
    p.ignore();
}

/// Segments without timestamps are taken where they were agreed.
#[test]
fn missing_timestamps_are_forgiven() {
    let mut p = Peer::established(offers(true, true, true));
    let mut bare = data(1, 1, b"x");
    bare.no_timestamps = true;
    p.send(bare);
    assert_eq!(p.take().ack, 2);
}

/// A keepalive after two hours, every 75 s, nine of them: the system's settings.
#[test]
fn keepalive() {
    let config = Config::new(Profile::Linux);
    assert_eq!(
        (
            config.keepalive_idle,
            config.keepalive_interval,
            config.keepalive_count
        ),
        (secs(7200), secs(75), 9)
    );
    assert_eq!((config.ephemeral_first, config.ephemeral_last), (32_768, 60_999));
    assert!(TcpOptions::default().keepalive.is_none());
}
