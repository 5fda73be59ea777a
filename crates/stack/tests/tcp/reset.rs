//! Resets and blind attacks (RFC 9293 sections 3.5.2, 3.5.3 and 3.10.7.4; RFC 5961).

use sockeye_stack::tcp::{Flags, State};
use sockeye_stack::trace::{Cause, ChallengeCause, DropReason};
use sockeye_stack::{ConnectionError, Readiness};

use crate::peer::{Peer, Seg, Setup, ack, data, octets, rst, secs, seg};

/// Proves: U-4, MUST-12.
#[test]
fn a_reset_exactly_at_rcv_nxt_resets() {
    let mut p = Peer::established(Setup::default());
    p.send(octets(1, 1, 10));
    p.send(rst(11));
    assert!(p.told().contains(Readiness::CLOSED | Readiness::READABLE));
    p.assert_state(State::Closed);
    assert_eq!(p.sock().take_error(), Some(ConnectionError::Reset));
    p.wait(secs(10));
    p.quiet();
}

/// Proves: U-5, U-6.
#[test]
fn a_reset_elsewhere_in_the_window_is_challenged_and_dropped() {
    let mut p = Peer::established(Setup::default());
    p.send(rst(2));
    let challenge = p.expect("ACK 1 ack 1");
    assert_eq!(challenge.cause, Cause::Challenge(ChallengeCause::ResetInWindow));
    p.assert_state(State::Established);
    // A real peer repeats it with the number that the challenge told.
    p.send(rst(1));
    p.assert_state(State::Closed);
}

/// Proves: U-5.
#[test]
fn a_reset_outside_the_window_is_dropped_silently() {
    let mut p = Peer::established(Setup::default());
    p.send(rst(0));
    p.send(rst(-100_000));
    p.send(rst(10_000_000));
    p.quiet();
    p.assert_state(State::Established);
    assert_eq!(p.drops(DropReason::OutOfWindow), 3);
}

/// Proves: SHLD-2.
#[test]
fn a_reset_may_carry_text() {
    let mut p = Peer::established(Setup::default());
    p.send(Seg {
        data: b"because".to_vec(),
        ..rst(1)
    });
    p.assert_state(State::Closed);
}

/// Proves: MUST-66.
#[test]
fn resets_count_when_the_window_is_closed() {
    let mut setup = Setup::default();
    setup.options.receive_buffer = Some(2000);
    for text in [0, 5] {
        let mut p = Peer::established(setup.clone());
        p.send(octets(1, 1, 1000));
        p.send(octets(1001, 1, 1000));
        assert_eq!(p.take().segment.window, 0);
        p.send(Seg {
            data: vec![0; text],
            ..rst(2000)
        });
        p.assert_state(State::Established);
        p.send(Seg {
            data: vec![0; text],
            ..rst(2001)
        });
        p.assert_state(State::Closed);
        p.read_n(2000); // what came before can be read
        assert_eq!(p.sock().take_error(), Some(ConnectionError::Reset));
    }
}

/// Proves: U-7, U-8.
#[test]
fn a_syn_is_challenged_whatever_its_number() {
    let mut p = Peer::established(Setup::default());
    for (seq, flags) in [
        (0, Flags::SYN),
        (1, Flags::SYN),
        (500, Flags::SYN | Flags::ACK),
        (9_999_999, Flags::SYN),
    ] {
        p.send(Seg {
            data: b"text".to_vec(),
            ..seg(flags, seq, 1)
        });
        let challenge = p.expect("ACK 1 ack 1");
        assert_eq!(challenge.cause, Cause::Challenge(ChallengeCause::Syn));
    }
    assert_eq!(p.sock().readable(), 0, "and dropped");
    p.assert_state(State::Established);
}

/// Nothing answers a reset with a challenge because of a SYN bit beside it.
///
/// Proves: U-4.
#[test]
fn a_reset_with_a_syn_is_a_reset() {
    let mut p = Peer::established(Setup::default());
    p.send(rst(-5).with(Flags::SYN));
    p.quiet();
    p.send(rst(1).with(Flags::SYN));
    p.assert_state(State::Closed);
}

/// SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT.
///
/// Proves: U-9, U-10, MAY-12.
#[test]
fn the_ack_range_is_checked() {
    let mut p = Peer::established(Setup {
        window: 5000,
        ..Setup::default()
    });
    p.write_n(1000);
    p.expect("PSH,ACK 1+1000 ack 1");
    p.send(ack(1, 1001));
    // The oldest that passes, and the one before it; text shows which was taken.
    p.send(data(1, 1001 - 5000, b"old"));
    assert_eq!(p.read_all(), b"old");
    p.send(data(4, 1000 - 5000, b"too old"));
    let challenge = p.expect("ACK 1001 ack 4");
    assert_eq!(challenge.cause, Cause::Challenge(ChallengeCause::AckOutOfRange));
    p.send(data(4, 1002, b"not sent yet"));
    p.expect("ACK 1001 ack 4");
    assert_eq!(p.sock().readable(), 0);
    assert_eq!(p.drops(DropReason::AckOutOfRange), 2);
}

/// RFC 5961 section 7: challenge ACKs are limited for the whole stack, and other ACKs are not.
///
/// Proves: U-5, U-7.
#[test]
fn challenge_acks_are_limited() {
    let mut setup = Setup::default();
    setup.config.challenge_acks_per_second = 5;
    let mut p = Peer::established(setup);
    for n in 0..50 {
        p.send(if n % 2 == 0 {
            rst(100 + n)
        } else {
            seg(Flags::SYN, 100 + n, 0)
        });
    }
    assert_eq!(p.take_all().len(), 5);
    assert_eq!(p.drops(DropReason::RateLimited), 45);
    p.assert_state(State::Established);
    p.send(octets(100, 1, 10));
    p.expect("ACK 1 ack 1");
    p.wait(secs(1));
    for n in 0..50 {
        p.send(rst(100 + n));
    }
    assert_eq!(p.take_all().len(), 5);
}

/// Resets without a connection are limited too.
#[test]
fn resets_without_a_connection_are_limited() {
    let mut setup = Setup::default();
    setup.config.unsolicited_replies_per_second = 10;
    let mut p = Peer::new(setup);
    for _ in 0..100 {
        p.send(p.syn());
    }
    assert_eq!(p.take_all().len(), 10);
    p.wait(secs(1));
    p.send(p.syn());
    p.expect("RST,ACK 0 ack 1");
}

/// Unacceptable segments are acknowledged, unless they are resets (RFC 9293 section 3.10.7.4, first).
#[test]
fn unacceptable_segments_bring_an_ack() {
    let mut p = Peer::established(Setup::default());
    p.send(octets(1, 1, 10));
    p.at(200).expect("ACK 1 ack 11");
    for wrong in [
        octets(-20, 1, 10),
        octets(900_000, 1, 10),
        ack(-3, 1),
        ack(900_000, 1),
    ] {
        p.send(wrong);
        p.expect("ACK 1 ack 11");
    }
    assert_eq!(p.read_all().len(), 10);
}

/// A reset never answers a reset, and an ACK-less segment gets number 0 (RFC 9293 section 3.10.7.1).
#[test]
fn resets_of_a_closed_port_are_acceptable_to_their_sender() {
    let mut p = Peer::new(Setup::default());
    p.send(rst(5));
    p.send(rst(5).with(Flags::ACK).acking(3));
    p.quiet();
    p.send(ack(5, 77));
    p.expect("RST 77");
    p.send(Seg {
        data: vec![0; 3],
        ..seg(Flags::SYN | Flags::FIN, 5, 0)
    });
    p.expect("RST,ACK 0 ack 10");
}
