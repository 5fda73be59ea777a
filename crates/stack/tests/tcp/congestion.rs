//! Congestion control and recovery without SACK (RFC 5681, RFC 6582, RFC 3042, RFC 3465, RFC 6928), with NewReno, whose
//! window can be worked out by hand. A segment is 1,000 octets.

use sockeye_stack::config::CongestionControl;
use sockeye_stack::trace::{Cause, RetransmitCause};

use crate::peer::{Peer, Sent, Setup, ack, ms, secs};

/// A connection with much to send, whose initial window is out: segments 1, 1001, ... 9001.
fn sending() -> Peer {
    let mut p = Peer::established(Setup::default());
    p.write_n(200_000);
    assert_eq!(p.take_all().len(), 10);
    p
}

fn starts(sent: &[Sent]) -> Vec<i64> {
    sent.iter().map(|s| s.seq).collect()
}

/// RFC 6928.
#[test]
fn the_initial_window_is_ten_segments() {
    let mut p = Peer::established(Setup::default());
    assert_eq!(p.info().cwnd, 10_000);
    p.write_n(20_000);
    assert_eq!(
        starts(&p.take_all()),
        (0..10).map(|n| 1 + n * 1000).collect::<Vec<_>>()
    );
    // For larger segments 14,600 octets, but two segments at least.
    let mut p = Peer::established(Setup {
        mss: Some(4000),
        mtu: 9000,
        ..Setup::default()
    });
    assert_eq!(p.info().cwnd, 14_600);
    let mut p = Peer::established(Setup {
        mss: Some(8900),
        mtu: 9000,
        ..Setup::default()
    });
    assert_eq!(p.info().cwnd, 17_800);
}

/// Each ACK adds what it acknowledges, at most two segments (RFC 3465).
///
/// Proves: MUST-19.
#[test]
fn slow_start() {
    let mut p = sending();
    p.send(ack(1, 1001));
    assert_eq!(starts(&p.take_all()), [10_001, 11_001]);
    p.send(ack(1, 3001));
    assert_eq!(p.info().cwnd, 13_000);
    assert_eq!(p.take_all().len(), 4);
    p.send(ack(1, 8001));
    assert_eq!(p.info().cwnd, 15_000, "five segments acknowledged count as two");
    assert_eq!(p.take_all().len(), 7);
    p.send(ack(1, 8101));
    assert_eq!(
        p.info().cwnd,
        15_100,
        "and a tenth of a segment as a tenth: dividing ACKs gains nothing"
    );
    p.ignore();
}

/// Above ssthresh the window grows by one segment for each window acknowledged.
///
/// Proves: MUST-19.
#[test]
fn congestion_avoidance() {
    let mut p = sending();
    p.mark();
    p.at(1000);
    p.take_all();
    // ssthresh is 5,000 now, the window one segment.
    assert_eq!((p.info().cwnd, p.info().ssthresh), (1000, 5000));
    p.send(ack(1, 10_001));
    p.take_all();
    let mut at = 10_001;
    while p.info().cwnd < 5000 {
        at += 1000;
        p.send(ack(1, at));
        p.take_all();
    }
    assert_eq!(p.info().cwnd, 5000);
    for _ in 0..4 {
        at += 1000;
        p.send(ack(1, at));
        p.take_all();
        assert_eq!(p.info().cwnd, 5000);
    }
    at += 1000;
    p.send(ack(1, at));
    assert_eq!(
        p.info().cwnd,
        6000,
        "five segments acknowledged: a window's worth"
    );
    p.ignore();
}

/// The window does not grow while the application does not fill it (RFC 7661, RFC 9293's "congestion window validation").
#[test]
fn an_unused_window_does_not_grow() {
    let mut p = Peer::established(Setup::default());
    for n in 0..100 {
        p.write_n(1000);
        p.take_all();
        p.send(ack(1, 1001 + n * 1000));
    }
    assert_eq!(p.info().cwnd, 10_000);
}

/// RFC 3042: the first two duplicate ACKs let one new segment go each.
#[test]
fn limited_transmit() {
    let mut p = sending();
    p.send(ack(1, 1));
    p.expect("ACK 10001+1000 ack 1");
    p.send(ack(1, 1));
    p.expect("ACK 11001+1000 ack 1");
    assert_eq!(p.info().cwnd, 10_000, "the window itself stays");
    p.ignore();
}

/// RFC 5681 section 3.2: the third retransmits at once; ssthresh is half of what was in flight, without what limited
/// transmit sent.
///
/// Proves: MUST-19.
#[test]
fn fast_retransmit_at_the_third_duplicate() {
    let mut p = sending();
    p.send(ack(1, 1));
    p.send(ack(1, 1));
    p.take_all();
    p.send(ack(1, 1));
    let again = p.expect("ACK 1+1000 ack 1");
    assert_eq!(again.cause, Cause::Retransmit(RetransmitCause::Fast));
    p.quiet();
    assert_eq!(p.info().ssthresh, 5000);
    assert_eq!(p.info().cwnd, 8000, "ssthresh and the three that have left");
    p.ignore();
}

/// What is no duplicate ACK: one with text, with another window, or while nothing is in flight.
#[test]
fn only_real_duplicates_count() {
    let mut p = sending();
    for n in 0..5 {
        p.send(ack(1, 1).window(60_000 + n));
    }
    assert_eq!(p.take_all().len(), 0, "window updates");
    for n in 0..5 {
        p.send(crate::peer::octets(1 + n * 10, 1, 10).window(60_004));
    }
    p.wait(ms(300));
    assert!(p.take_all().iter().all(|s| s.seq != 1), "text");
    let mut p = Peer::established(Setup::default());
    for _ in 0..5 {
        p.send(ack(1, 1));
    }
    p.write_n(1000);
    p.expect("PSH,ACK 1+1000 ack 1");
    p.quiet();
}

/// Each further duplicate inflates the window by a segment, and new data goes once it exceeds what is in flight.
#[test]
fn fast_recovery_inflates() {
    let mut p = sending();
    for _ in 0..3 {
        p.send(ack(1, 1));
    }
    assert_eq!(starts(&p.take_all()), [10_001, 11_001, 1]);
    for _ in 0..4 {
        p.send(ack(1, 1));
        p.quiet();
    }
    assert_eq!(p.info().cwnd, 12_000);
    for n in 0..4 {
        p.send(ack(1, 1));
        assert_eq!(starts(&p.take_all()), [12_001 + n * 1000]);
    }
    // The ACK of everything deflates it: min(ssthresh, max(flight, SMSS) + SMSS).
    p.send(ack(1, 12_001));
    assert_eq!(p.info().cwnd, 5000);
    p.ignore();
}

/// RFC 6582: a partial ACK retransmits the next hole and stays in recovery, without another reduction.
#[test]
fn newreno_partial_acks() {
    let mut p = sending();
    for _ in 0..3 {
        p.send(ack(1, 1));
    }
    p.take_all();
    for _ in 0..6 {
        p.send(ack(1, 1));
    }
    p.take_all();
    p.send(ack(1, 4001));
    let sent = p.take_all();
    assert_eq!(sent[0].seq, 4001);
    assert_eq!(sent[0].cause, Cause::Retransmit(RetransmitCause::PartialAck));
    assert_eq!(p.info().ssthresh, 5000, "one reduction for one window of data");
    p.send(ack(1, 7001));
    assert_eq!(p.take_all()[0].seq, 7001);
    assert_eq!(p.info().ssthresh, 5000);
    p.send(ack(1, 12_001));
    assert!(p.info().cwnd <= 5000, "{}", p.info().cwnd);
    p.ignore();
}

/// RFC 6582 section 3.2: duplicates for what was sent before recovery began do not begin another.
#[test]
fn no_second_reduction_for_the_same_window() {
    let mut p = sending();
    for _ in 0..3 {
        p.send(ack(1, 1));
    }
    p.take_all();
    p.send(ack(1, 12_001));
    let ssthresh = p.info().ssthresh;
    p.take_all();
    // After a timeout: the retransmissions of what the peer already has bring duplicates.
    p.wait(secs(1));
    p.take_all();
    let after = p.info().ssthresh;
    assert!(after <= ssthresh);
    for _ in 0..10 {
        p.send(ack(1, 12_001));
    }
    assert_eq!(p.info().ssthresh, after);
    assert!(
        p.take_all()
            .iter()
            .all(|s| s.cause != Cause::Retransmit(RetransmitCause::Fast))
    );
    p.ignore();
}

/// RFC 5681 section 3.1: after a timeout the window is one segment, and slow start sends what is missing.
///
/// Proves: MUST-19.
#[test]
fn slow_start_after_a_timeout() {
    let mut p = sending();
    p.mark();
    p.expect_at(1000, "ACK 1+1000 ack 1");
    p.quiet();
    assert_eq!((p.info().cwnd, p.info().ssthresh), (1000, 5000));
    p.send(ack(1, 1001));
    assert_eq!(starts(&p.take_all()), [1001, 2001]);
    p.send(ack(1, 3001));
    assert_eq!(
        starts(&p.take_all()),
        [3001, 4001, 5001],
        "L is one segment after a timeout (RFC 3465)"
    );
    p.ignore();
}

/// A second timeout for the same segment does not halve ssthresh again (RFC 5681 section 3.1).
///
/// Proves: MUST-19.
#[test]
fn repeated_timeouts_reduce_once() {
    let mut p = sending();
    p.mark();
    p.at(7100);
    assert_eq!((p.info().cwnd, p.info().ssthresh), (1000, 5000));
    assert_eq!(p.info().backoff, 3);
    p.ignore();
}

/// RFC 5681 section 4.1: idle for longer than the RTO, the window starts again from the initial one.
#[test]
fn an_idle_window_starts_again() {
    let mut p = sending();
    let mut at = 1;
    while at < 200_001 {
        at += 2000;
        p.send(ack(1, at));
        p.take_all();
    }
    assert!(p.info().cwnd > 50_000);
    p.wait_ms(900);
    p.write_n(1000);
    p.take_all();
    p.send(ack(1, at + 1000));
    assert!(p.info().cwnd > 50_000, "not yet");
    p.wait_ms(1100);
    p.write_n(100_000);
    assert_eq!(p.take_all().len(), 10);
}

/// Duplicate ACKs in one batch bring one retransmission.
#[test]
fn a_batch_of_duplicates() {
    let mut p = sending();
    for _ in 0..9 {
        p.queue(ack(1, 1));
    }
    p.drain();
    let sent = p.take_all();
    assert_eq!(sent.iter().filter(|s| s.seq == 1).count(), 1);
    p.ignore();
}

/// CUBIC keeps beta = 0.7 (RFC 9438 section 4.6), and both may be chosen for a socket.
///
/// Proves: MAY-18.
#[test]
fn cubic_reduces_to_seven_tenths() {
    let mut setup = Setup::default();
    setup.options.congestion_control = Some(CongestionControl::Cubic);
    let mut p = Peer::established(setup);
    p.write_n(200_000);
    p.take_all();
    for _ in 0..3 {
        p.send(ack(1, 1));
    }
    assert_eq!(p.info().ssthresh, 7000);
    p.ignore();
}

/// Segments may become larger while the window is one of the old ones: it must still let one go.
#[test]
fn a_growing_segment_size_does_not_stall() {
    let mut setup = Setup::default();
    setup.options.max_segment = Some(100);
    let mut p = Peer::established(setup);
    p.write_n(400);
    assert_eq!(p.take_all().len(), 4);
    p.wait(secs(1));
    p.expect("ACK 1+100 ack 1");
    assert_eq!(p.info().cwnd, 100);
    p.set(|o| o.max_segment = Some(900));
    p.send(ack(1, 401));
    p.take_all();
    p.write_n(5000);
    assert!(!p.take_all().is_empty());
    p.ignore();
}
