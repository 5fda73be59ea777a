//! When acknowledgments are sent (RFC 9293 sections 3.8.6.3 and 3.10.7.4, RFC 5681 section 4.2).

use sockeye_stack::trace::{AckCause, Cause};

use crate::peer::{Peer, Setup, ack, data, ms, octets};

/// Proves: MUST-40, SHLD-18, 5681-4.2a.
#[test]
fn a_single_segment_is_acknowledged_within_half_a_second() {
    let mut p = Peer::established(Setup::default());
    p.mark();
    p.send(octets(1, 1, 100));
    p.quiet();
    let late = p.expect_at(200, "ACK 1 ack 101");
    assert_eq!(late.cause, Cause::Ack(AckCause::DelayTimer));
    // More small segments do not put it off.
    p.mark();
    for n in 0..10 {
        p.send(octets(101 + n * 10, 1, 10));
        p.at(n as u64 * 15);
    }
    p.expect_at(200, "ACK 1 ack 201");
}

/// Proves: SHLD-19, MUST-58, 5681-4.2a.
#[test]
fn every_second_full_segment_is_acknowledged_at_once() {
    let mut p = Peer::established(Setup::default());
    for n in 0..10 {
        p.send(octets(1 + n * 1000, 1, 1000));
        if n % 2 == 1 {
            let at_once = p.take();
            assert_eq!(at_once.ack, 1001 + n * 1000);
            assert_eq!(at_once.cause, Cause::Ack(AckCause::EverySecondSegment));
        }
        p.quiet();
    }
}

/// Smaller segments of this peer are full ones too: it never sends more than its own MSS lets it.
///
/// Proves: SHLD-19.
#[test]
fn every_second_segment_of_a_small_mss() {
    let mut p = Peer::established(Setup {
        mss: Some(200),
        ..Setup::default()
    });
    for n in 0..12 {
        p.send(octets(1 + n * 200, 1, 200));
    }
    let acks = p.take_all();
    assert!(
        !acks.is_empty(),
        "2,400 octets are more than two segments of any size"
    );
    p.wait(ms(500));
    p.ignore();
}

/// All segments that have come are processed before one ACK leaves for them.
///
/// Proves: MUST-58, MUST-59.
#[test]
fn a_batch_gets_one_ack() {
    let mut p = Peer::established(Setup::default());
    for n in 0..8 {
        p.queue(octets(1 + n * 1000, 1, 1000));
    }
    p.drain();
    p.expect("ACK 1 ack 8001");
    p.quiet();
}

/// Proves: MUST-58.
#[test]
fn acks_go_along_with_data() {
    let mut p = Peer::established(Setup::default());
    p.send(data(1, 1, b"question"));
    p.quiet();
    p.write(b"answer");
    p.expect("PSH,ACK 1+6 ack 9");
    p.send(ack(9, 7));
    p.wait(ms(600));
    p.quiet();
}

/// Proves: SHLD-31, MAY-13, 5681-4.2b.
#[test]
fn out_of_order_text_is_held_and_acknowledged_at_once() {
    let mut p = Peer::established(Setup::default());
    for seq in [1001, 2001, 4001] {
        p.send(octets(seq, 1, 1000));
        assert_eq!(p.expect("ACK 1 ack 1").cause, Cause::Ack(AckCause::OutOfOrder));
    }
    p.send(octets(1, 1, 1000));
    assert_eq!(p.expect("ACK 1 ack 3001").cause, Cause::Ack(AckCause::GapFilled));
    p.send(octets(3001, 1, 1000));
    p.expect("ACK 1 ack 5001");
    assert_eq!(p.read_all(), crate::peer::pattern(1, 5000));
}

/// What overlaps is taken once, in the version that came first or in the later one, and never shifted.
#[test]
fn overlaps_and_duplicates_are_cut() {
    let mut p = Peer::established(Setup::default());
    p.send(octets(11, 1, 10));
    p.send(octets(16, 1, 20));
    p.send(octets(5, 1, 9));
    p.send(octets(1, 1, 40));
    p.send(octets(1, 1, 10));
    p.send(octets(30, 1, 21));
    assert_eq!(p.read_all(), crate::peer::pattern(1, 50));
    p.wait(ms(300));
    assert_eq!(p.take_all().last().unwrap().ack, 51);
}

/// Text beyond the window is cut off, the part inside is taken.
#[test]
fn text_beyond_the_window_is_cut() {
    let mut setup = Setup::default();
    setup.options.receive_buffer = Some(1500);
    let mut p = Peer::established(setup);
    p.send(octets(1, 1, 1000));
    p.send(octets(1001, 1, 1000));
    assert_eq!(p.read_all(), crate::peer::pattern(1, 1500));
    p.wait(ms(500));
    let acks = p.take_all();
    assert!(acks.iter().any(|a| a.ack == 1501), "{acks:?}");
}

/// TCP_QUICKACK.
#[test]
fn quick_ack_is_the_applications_choice() {
    let mut setup = Setup::default();
    setup.options.quick_ack = true;
    let mut p = Peer::established(setup);
    for n in 0..5 {
        p.send(octets(1 + n * 10, 1, 10));
        assert_eq!(p.take().ack, 11 + n * 10);
    }
}

/// Linux's profile: 40 ms, and the first segments at once.
#[test]
fn the_linux_profile_acknowledges_sooner() {
    let setup = Setup {
        config: sockeye_stack::Config::new(sockeye_stack::Profile::Linux),
        ..Setup::default()
    };
    let mut p = Peer::established(setup);
    for n in 0..40 {
        p.send(octets(1 + n * 10, 1, 10));
    }
    let first = p.take_all().len();
    assert!((1..40).contains(&first), "{first} quick acknowledgments");
    p.mark().at(40);
    assert_eq!(p.take().ack, 401);
}

/// One duplicate ACK for each segment that comes out of order, though they come in one batch: a peer without SACK counts
/// them to three.
///
/// Proves: 5681-4.2b.
#[test]
fn a_batch_out_of_order_gets_an_ack_each() {
    for sack in [false, true] {
        let mut p = Peer::established(Setup {
            sack,
            ..Setup::default()
        });
        for n in 1..=3 {
            p.queue(octets(1 + n * 100, 1, 100));
        }
        p.drain();
        let sent = p.take_all();
        assert_eq!(sent.len(), 3);
        assert!(
            sent.iter()
                .all(|s| s.ack == 1 && s.data.is_empty() && s.sack.is_empty() != sack)
        );
        // Data goes as well, but does not count as one.
        p.queue(octets(501, 1, 100));
        p.queue(octets(601, 1, 100));
        p.write(b"x");
        let sent = p.take_all();
        assert_eq!(sent[0].data.len(), 1);
        assert_eq!(
            sent[1..]
                .iter()
                .filter(|s| s.data.is_empty() && s.ack == 1)
                .count(),
            2
        );
        // The gap is filled in the same batch: nothing to count any more.
        p.queue(octets(701, 2, 100));
        p.queue(octets(1, 2, 100));
        p.drain();
        assert_eq!(p.take_all().iter().map(|s| s.ack).collect::<Vec<_>>(), [401]);
    }
}
