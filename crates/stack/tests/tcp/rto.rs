//! Retransmission timeouts (RFC 9293 sections 3.8.1 and 3.8.3, RFC 6298).

use sockeye_stack::tcp::State;
use sockeye_stack::trace::{Cause, RetransmitCause, TraceKind};
use sockeye_stack::{ConnectionError, Duration, Readiness};

use crate::peer::{Peer, Setup, ack, ms, secs};

/// A connection whose handshake took this round trip.
fn round_trip(setup: Setup, rtt: u64) -> Peer {
    let mut p = Peer::new(setup);
    p.listen();
    p.send(p.syn());
    p.take();
    p.wait_ms(rtt);
    p.send(ack(1, 1));
    p.accept();
    p.told();
    p
}

fn samples(p: &Peer) -> Vec<Duration> {
    let sample = |e: &sockeye_stack::trace::TraceEvent| match e.kind {
        TraceKind::Rtt { sample, .. } => Some(sample),
        _ => None,
    };
    p.trace.iter().filter_map(sample).collect()
}

/// RFC 6298 sections 2.2, 2.3 and 2.4: SRTT + 4 * RTTVAR, at least 1 s.
///
/// Proves: MUST-18, 6298-2.2, 6298-2.3, 6298-2.4.
#[test]
fn rto_follows_the_round_trip() {
    let mut p = round_trip(Setup::default(), 800);
    let info = p.info();
    assert_eq!((info.srtt, info.rttvar), (ms(800), ms(400)));
    assert_eq!(info.rto, ms(2400));
    p.write(b"x");
    p.expect("PSH,ACK 1+1 ack 1");
    p.wait_ms(1600);
    p.send(ack(1, 2));
    let info = p.info();
    // RTTVAR = 3/4 * 400 + 1/4 * 800; SRTT = 7/8 * 800 + 1/8 * 1600.
    assert_eq!((info.srtt, info.rttvar, info.rto), (ms(900), ms(500), ms(2900)));
    p.write(b"y");
    p.expect("PSH,ACK 2+1 ack 1");
    p.mark();
    p.expect_at(2900, "PSH,ACK 2+1 ack 1");
    let mut p = round_trip(Setup::default(), 10);
    assert_eq!(p.info().rto, secs(1));
}

/// RFC 6298 section 5.5: each timeout doubles; section 2.5: up to 60 s.
///
/// Proves: MUST-19, MUST-18, 6298-2.5, 6298-5.4, 6298-5.5.
#[test]
fn timeouts_back_off_exponentially() {
    let mut p = Peer::established(Setup::default());
    p.write(b"x");
    p.expect("PSH,ACK 1+1 ack 1");
    p.mark();
    let mut at = 0;
    for (n, wait) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        at += wait * 1000;
        let again = p.expect_at(at, "PSH,ACK 1+1 ack 1");
        let cause = RetransmitCause::Timeout {
            count: n as u8 + 1,
            rto: secs(wait),
        };
        assert_eq!(again.cause, Cause::Retransmit(cause));
    }
}

/// Karn's rule: no sample from what was sent twice.
///
/// Proves: MUST-18, 6298-3a.
#[test]
fn no_sample_from_a_retransmitted_segment() {
    let mut p = round_trip(Setup::default(), 100);
    let before = p.info().srtt;
    p.write(b"x");
    p.expect("PSH,ACK 1+1 ack 1");
    p.mark();
    p.expect_at(1000, "PSH,ACK 1+1 ack 1");
    p.wait_ms(50);
    p.send(ack(1, 2));
    assert_eq!(p.info().srtt, before);
    assert!(samples(&p).is_empty());
    p.write(b"y");
    p.expect("PSH,ACK 2+1 ack 1");
    p.wait_ms(100);
    p.send(ack(1, 3));
    assert_eq!(samples(&p), [ms(100)]);
}

/// The second half of Karn's rule: without a sample, RTO stays as long as the timeouts made it.
///
/// Proves: MUST-18, 6298-3a, 6298-5.5.
#[test]
fn the_backoff_stays_until_a_sample() {
    let mut p = round_trip(Setup::default(), 100);
    p.write(b"x");
    p.expect("PSH,ACK 1+1 ack 1");
    p.mark();
    p.expect_at(1000, "PSH,ACK 1+1 ack 1");
    p.wait_ms(50);
    p.send(ack(1, 2));
    assert_eq!(
        (p.info().rto, p.info().backoff, p.info().timeouts),
        (secs(2), 1, 0)
    );
    p.write(b"y");
    p.expect("PSH,ACK 2+1 ack 1");
    p.mark();
    let again = p.expect_at(2000, "PSH,ACK 2+1 ack 1");
    // The first timeout of this segment, though not the first since the last sample.
    let cause = RetransmitCause::Timeout {
        count: 1,
        rto: secs(2),
    };
    assert_eq!(again.cause, Cause::Retransmit(cause));
    p.wait_ms(50);
    p.send(ack(1, 3));
    p.write(b"z");
    p.expect("PSH,ACK 3+1 ack 1");
    p.wait_ms(100);
    p.send(ack(1, 4));
    assert_eq!((p.info().rto, p.info().backoff), (secs(1), 0));
}

/// RFC 6298 section 5.3: an ACK of new data restarts the timer; section 5.2: when all is acknowledged it stops.
///
/// Proves: MUST-18, 6298-5.2, 6298-5.3.
#[test]
fn the_timer_restarts_with_progress_and_stops_when_all_is_acknowledged() {
    let mut p = Peer::established(Setup::default());
    p.write_n(3000);
    p.take_all();
    p.mark();
    p.at(900);
    p.send(ack(1, 1001));
    p.at(1800);
    p.quiet();
    p.send(ack(1, 2001));
    p.expect_at(2800, "PSH,ACK 2001+1000 ack 1");
    p.send(ack(1, 3001));
    p.wait(secs(100));
    p.quiet();
}

/// RFC 6298 section 5.1: data sent while the timer runs does not restart it.
///
/// Proves: 6298-5.1.
#[test]
fn new_data_does_not_put_the_timer_off() {
    let mut setup = Setup::default();
    setup.options.nodelay = true;
    let mut p = Peer::established(setup);
    p.mark();
    for n in 0..9 {
        p.at(n * 110);
        p.write(b"x");
        p.take();
    }
    let again = {
        p.at(1000);
        p.take()
    };
    assert_eq!(again.seq, 1);
    assert!(matches!(again.cause, Cause::Retransmit(_)));
    p.ignore();
}

/// R1 is told (at least 3 retransmissions), R2 ends the connection (at least 100 s).
///
/// Proves: MUST-20, SHLD-9, SHLD-10, SHLD-11, U-1.
#[test]
fn r1_is_told_and_r2_closes() {
    let mut p = Peer::established(Setup::default());
    p.write(b"x");
    p.take();
    p.mark();
    p.at(3001);
    assert!(p.told().is_empty(), "two retransmissions are no trouble yet");
    p.at(7001);
    assert_eq!(p.told(), Readiness::SOFT_ERROR);
    p.at(100_000);
    p.assert_state(State::Established);
    p.at(923_000);
    p.assert_state(State::Established);
    p.at(925_000);
    p.assert_state(State::Closed);
    assert!(p.told().contains(Readiness::CLOSED));
    assert_eq!(p.sock().take_error(), Some(ConnectionError::TimedOut));
    p.ignore();
}

/// Proves: MUST-21.
#[test]
fn the_application_sets_r2() {
    for limit in [3, 40, 2000] {
        let mut p = Peer::established(Setup::default());
        p.set(|o| o.user_timeout = Some(secs(limit)));
        p.write(b"x");
        p.mark();
        p.at(limit * 1000 - 1);
        p.assert_state(State::Established);
        p.at(limit * 1000 + 1);
        p.assert_state(State::Closed);
        assert_eq!(p.sock().take_error(), Some(ConnectionError::TimedOut));
        p.ignore();
    }
}

/// Any progress puts R2 off.
///
/// Proves: MUST-20.
#[test]
fn progress_restarts_r2() {
    let mut p = Peer::established(Setup::default());
    p.set(|o| o.user_timeout = Some(secs(10)));
    p.write_n(3000);
    for n in 1..3 {
        p.wait(secs(9));
        p.send(ack(1, 1 + n * 1000));
    }
    p.wait(secs(9));
    p.assert_state(State::Established);
    p.wait(secs(2));
    p.assert_state(State::Closed);
    p.ignore();
}

/// RFC 6298 section 5.7: after a SYN was lost, the RTO for data is 3 s; RFC 5681 section 3.1: and the window one segment.
///
/// Proves: MUST-18, MUST-19, 5681-3.1b, 6298-5.7.
#[test]
fn a_lost_syn_makes_the_start_careful() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.expect("SYN 0");
    p.mark();
    p.expect_at(1000, "SYN 0");
    p.send(p.syn().with(sockeye_stack::tcp::Flags::ACK).acking(1));
    p.expect("ACK 1 ack 1");
    assert_eq!(p.info().rto, secs(3));
    p.write_n(5000);
    p.expect("ACK 1+1000 ack 1");
    p.quiet();
    p.mark();
    p.expect_at(3000, "ACK 1+1000 ack 1");
}

/// An identical copy, or a coalesced one: either way the peer gets the octets that belong there.
#[test]
fn retransmissions_carry_the_same_octets() {
    let mut setup = Setup::default();
    setup.options.nodelay = true;
    let mut p = Peer::established(setup);
    for n in 0..5 {
        p.write(&[n, n, n]);
        p.take();
    }
    p.wait(secs(1));
    let again = p.take();
    let all: Vec<u8> = (0..5).flat_map(|n| [n, n, n]).collect();
    assert_eq!(again.data, all[..again.data.len()]);
    assert_eq!(again.seq, 1);
    p.ignore();
}
