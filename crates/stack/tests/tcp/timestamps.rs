//! Timestamps: round trips and protection against old duplicates (RFC 7323).

use sockeye_stack::tcp::{Flags, State};
use sockeye_stack::trace::{AckCause, Cause, DropReason};

use crate::peer::{Peer, Seg, Setup, ack, data, fin, ms, octets, rst, secs};

fn stamped() -> Setup {
    Setup {
        timestamps: Some(10_000),
        ..Setup::default()
    }
}

/// Section 3.2: agreed on SYNs, then on every segment but resets; the echo is the peer's last.
#[test]
fn every_segment_carries_them_once_agreed() {
    let mut p = Peer::new(stamped());
    p.listen();
    p.send(p.syn());
    let syn_ack = p.take();
    assert_eq!(syn_ack.segment.options.timestamps.unwrap().echo, 10_000);
    p.ts_value = Some(10_007);
    p.send(ack(1, 1));
    p.accept();
    p.write(b"x");
    let sent = p.take();
    assert_eq!(sent.segment.options.timestamps.unwrap().echo, 10_007);
    p.send(fin(1, 2));
    assert!(p.take().segment.options.timestamps.is_some());
}

/// Section 4.1: our clock goes on by one a millisecond here.
#[test]
fn our_clock_ticks() {
    let mut p = Peer::established(stamped());
    p.write(b"a");
    let first = p.take().segment.options.timestamps.unwrap().value;
    p.wait_ms(500);
    p.send(ack(1, 2));
    p.write(b"b");
    let second = p.take().segment.options.timestamps.unwrap().value;
    assert_eq!(second.wrapping_sub(first), 500);
}

/// Section 5.3 R1: an older timestamp is an old duplicate: acknowledged and dropped.
#[test]
fn old_duplicates_are_dropped() {
    let mut p = Peer::established(stamped());
    p.send(octets(1, 1, 10));
    p.send(octets(11, 1, 10).ts(9_999, 0));
    assert_eq!(p.expect("ACK 1 ack 11").cause, Cause::Ack(AckCause::Paws));
    assert_eq!(p.sock().readable(), 10);
    assert_eq!(p.drops(DropReason::Paws), 1);
    p.send(octets(11, 1, 10).ts(10_000, 0));
    assert_eq!(p.sock().readable(), 20, "the same timestamp passes");
    p.wait_ms(300);
    p.ignore();
}

/// Across the wrap of the clock.
#[test]
fn timestamps_wrap() {
    let mut p = Peer::established(Setup {
        timestamps: Some(u32::MAX - 5),
        ..Setup::default()
    });
    p.ts_value = Some(10);
    p.send(octets(1, 1, 10));
    assert_eq!(p.sock().readable(), 10);
    p.send(octets(11, 1, 10).ts(u32::MAX, 0));
    assert_eq!(p.sock().readable(), 10);
    p.ignore();
}

/// Section 5.3: resets pass without the check, and may lack the option.
#[test]
fn resets_are_not_checked() {
    let mut p = Peer::established(stamped());
    p.send(rst(1).ts(1, 1));
    p.assert_state(State::Closed);
    let mut p = Peer::established(stamped());
    p.send(rst(1));
    p.assert_state(State::Closed);
}

/// Section 3.2: a segment without the option is dropped silently.
#[test]
fn segments_without_the_option_are_dropped() {
    let mut p = Peer::established(stamped());
    p.send(Seg {
        no_timestamps: true,
        ..data(1, 1, b"bare")
    });
    p.quiet();
    assert_eq!(p.sock().readable(), 0);
}

/// Section 5.5: a connection idle for more than 24 days takes any timestamp.
#[test]
fn outdated_timestamps_are_forgotten() {
    let mut p = Peer::established(stamped());
    p.wait(secs(25 * 24 * 3600));
    p.send(octets(1, 1, 10).ts(5_000, 0));
    assert_eq!(p.sock().readable(), 10);
    p.wait_ms(300);
    p.ignore();
}

/// Section 4.3 (2): TS.Recent comes from the segment that stands at the left edge of what was acknowledged, so a delayed
/// ACK echoes the first of the two segments, and one out of order is not echoed.
#[test]
fn the_echo_is_the_earliest_unacknowledged() {
    let mut p = Peer::established(stamped());
    p.ts_value = Some(10_100);
    p.send(octets(1, 1, 1000));
    p.ts_value = Some(10_105);
    p.send(octets(1001, 1, 1000));
    assert_eq!(p.take().segment.options.timestamps.unwrap().echo, 10_100);
    p.ts_value = Some(10_200);
    p.send(octets(3001, 1, 10));
    assert_eq!(
        p.take().segment.options.timestamps.unwrap().echo,
        10_100,
        "beyond a gap"
    );
    p.ts_value = Some(10_300);
    p.send(octets(2001, 1, 1000));
    assert_eq!(
        p.take().segment.options.timestamps.unwrap().echo,
        10_300,
        "the segment that fills it"
    );
}

/// Section 4.1 and RFC 6298 section 3: the echo measures the round trip even of a retransmission.
///
/// Proves: MUST-18.
#[test]
fn round_trips_are_measured_of_retransmissions_too() {
    let mut p = Peer::established(stamped());
    p.write(b"x");
    p.take();
    p.wait_ms(1000);
    p.take();
    p.wait_ms(80);
    p.send(ack(1, 2));
    assert_eq!(p.info().min_rtt, ms(0), "of the handshake");
    assert!(
        p.info().srtt > ms(5) && p.info().srtt <= ms(80),
        "{:?}",
        p.info().srtt
    );
}

/// An echo of what we never sent is no measure.
#[test]
fn impossible_echoes_are_ignored() {
    let mut p = Peer::established(stamped());
    p.write(b"x");
    p.take();
    p.wait_ms(1000);
    p.take();
    let before = p.info().srtt;
    let future = p.ts_seen.wrapping_add(50_000);
    p.send(ack(1, 2).ts(11_000, future));
    assert_eq!(p.info().srtt, before);
}

/// In SYN-RECEIVED and on a SYN,ACK of a peer that does not offer them, nothing is agreed.
#[test]
fn a_peer_without_timestamps() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    assert!(p.take().segment.options.timestamps.is_some());
    p.send(p.syn().with(Flags::ACK).acking(1));
    assert!(p.expect("ACK 1 ack 1").segment.options.timestamps.is_none());
    p.send(octets(1, 1, 10).ts(1, 1));
    assert_eq!(p.sock().readable(), 10);
    p.ignore();
}
