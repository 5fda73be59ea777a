//! Keepalives (RFC 9293 section 3.8.4).

use sockeye_stack::tcp::{Keepalive, State, TcpOptions};
use sockeye_stack::trace::{Cause, ResetCause};
use sockeye_stack::{Config, ConnectionError, Profile};

use crate::peer::{Peer, Setup, ack, data, ms, octets, secs};

fn with(idle: u64, interval: u64, count: u8) -> Setup {
    let mut setup = Setup::default();
    setup.options.keepalive = Some(Keepalive {
        idle: secs(idle),
        interval: secs(interval),
        count,
    });
    setup
}

/// Proves: MUST-25, MUST-28, MAY-5.
#[test]
fn off_by_default_and_two_hours_if_on() {
    assert_eq!(TcpOptions::default().keepalive, None);
    for profile in [Profile::Rfc, Profile::Linux] {
        assert!(Config::new(profile).keepalive_idle >= secs(7200));
    }
    let mut p = Peer::established(Setup::default());
    p.wait(secs(100_000));
    p.quiet();
    p.assert_state(State::Established);
}

/// Proves: MUST-24, MUST-27, SHLD-12, MUST-26.
#[test]
fn probes_go_out_after_the_idle_time_without_data() {
    let mut p = Peer::established(with(60, 10, 3));
    p.mark();
    let probe = p.expect_at(60_000, "ACK 0 ack 1");
    assert_eq!(probe.cause, Cause::Keepalive(1));
    assert!(probe.data.is_empty());
    p.send(ack(1, 1));
    // Answered at the very time: the idle time begins anew.
    p.expect_at(120_000, "ACK 0 ack 1");
    p.wait(ms(30));
    p.send(ack(1, 1));
    p.expect_at(180_030, "ACK 0 ack 1");
    p.send(ack(1, 1));
}

/// Proves: MUST-26.
#[test]
fn anything_that_comes_puts_the_probe_off() {
    let mut p = Peer::established(with(60, 10, 3));
    p.mark();
    p.at(50_000);
    p.send(octets(1, 1, 10));
    p.at(50_500).expect("ACK 1 ack 11");
    p.expect_at(110_000, "ACK 0 ack 11");
}

/// Proves: MUST-26.
#[test]
fn no_probe_while_data_is_outstanding() {
    let mut p = Peer::established(with(2, 1, 2));
    p.write(b"x");
    p.expect("PSH,ACK 1+1 ack 1");
    p.wait(secs(60));
    for sent in p.take_all() {
        assert!(matches!(sent.cause, Cause::Retransmit(_)), "{sent}");
    }
    p.assert_state(State::Established);
}

/// Proves: MUST-29.
#[test]
fn one_lost_probe_proves_nothing() {
    let mut p = Peer::established(with(60, 10, 3));
    p.mark();
    p.expect_at(60_000, "ACK 0 ack 1");
    p.expect_at(70_000, "ACK 0 ack 1");
    p.send(data(1, 1, b"alive"));
    p.at(70_500).expect("ACK 1 ack 6");
    p.assert_state(State::Established);
    // All of them unanswered do.
    p.expect_at(130_000, "ACK 0 ack 6");
    p.expect_at(140_000, "ACK 0 ack 6");
    p.expect_at(150_000, "ACK 0 ack 6");
    p.at(159_000);
    p.assert_state(State::Established);
    let reset = p.expect_at(160_000, "RST,ACK 1 ack 6");
    assert_eq!(reset.cause, Cause::Reset(ResetCause::Keepalive));
    p.assert_state(State::Closed);
    p.read_n(5);
    assert_eq!(p.sock().take_error(), Some(ConnectionError::TimedOut));
}

/// Proves: MUST-24, MUST-27.
#[test]
fn it_can_be_switched_during_the_connection() {
    let mut p = Peer::established(Setup::default());
    p.wait(secs(1000));
    p.set(|o| {
        o.keepalive = Some(Keepalive {
            idle: secs(30),
            interval: secs(10),
            count: 5,
        })
    });
    // It has been idle for longer than that: the first probe goes at once.
    assert_eq!(p.expect("ACK 0 ack 1").cause, Cause::Keepalive(1));
    p.send(ack(1, 1));
    p.wait(secs(29));
    p.quiet();
    p.wait(secs(1));
    p.expect("ACK 0 ack 1");
    p.send(ack(1, 1));
    p.set(|o| o.keepalive = None);
    p.wait(secs(10_000));
    p.quiet();
    p.assert_state(State::Established);
}

/// The peer's keepalives are answered, with or without an octet.
///
/// Proves: MAY-6.
#[test]
fn the_peers_probes_are_answered() {
    let mut p = Peer::established(Setup::default());
    p.send(octets(1, 1, 10));
    p.at(200).expect("ACK 1 ack 11");
    p.send(ack(10, 1));
    p.expect("ACK 1 ack 11");
    p.send(octets(10, 1, 1));
    p.expect("ACK 1 ack 11");
    assert_eq!(p.read_all().len(), 10);
}
