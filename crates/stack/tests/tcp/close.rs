//! Closing (RFC 9293 sections 3.6, 3.9.1.4 and 3.10.4).

use sockeye_stack::tcp::State;
use sockeye_stack::trace::{Cause, ResetCause};
use sockeye_stack::{ConnectionError, Readiness, RecvError, SendError};

use crate::peer::{Peer, Setup, ack, data, fin, ms, octets, rst, secs};

/// Figure 12 of the RFC, as the side that closes first.
///
/// Proves: MUST-13.
#[test]
fn the_active_closer_waits_for_two_msl() {
    let mut p = Peer::established(Setup::default());
    p.close();
    p.expect("FIN,ACK 1 ack 1");
    p.assert_state(State::FinWait1);
    p.send(ack(1, 2));
    p.assert_state(State::FinWait2);
    p.send(fin(1, 2));
    p.expect("ACK 2 ack 2");
    p.assert_state(State::TimeWait);
    p.wait(secs(239));
    p.assert_state(State::TimeWait);
    p.wait(secs(2));
    assert_eq!(p.stack.snapshot().sockets.len(), 1, "the listener alone is left");
}

/// Figure 12, as the other side.
#[test]
fn the_passive_closer() {
    let mut p = Peer::established(Setup::default());
    p.send(fin(1, 1));
    p.expect("ACK 1 ack 2");
    p.assert_state(State::CloseWait);
    assert_eq!(p.told(), Readiness::READABLE | Readiness::PEER_CLOSED);
    assert_eq!(p.sock().recv(&mut [0; 10]), Ok(0));
    p.write(b"more");
    p.expect("PSH,ACK 1+4 ack 2");
    p.close();
    p.expect("FIN,ACK 5 ack 2");
    p.assert_state(State::LastAck);
    p.send(ack(2, 6));
    assert_eq!(p.stack.snapshot().sockets.len(), 1, "CLOSED without TIME-WAIT");
    p.quiet();
}

/// Figure 13 of the RFC.
#[test]
fn simultaneous_close() {
    let mut p = Peer::established(Setup::default());
    p.close();
    p.expect("FIN,ACK 1 ack 1");
    p.send(fin(1, 1));
    p.expect("ACK 2 ack 2");
    p.assert_state(State::Closing);
    p.send(ack(2, 2));
    p.assert_state(State::TimeWait);
    p.quiet();
    p.wait(secs(241));
    p.assert_state(State::Listen);
}

/// Proves: U-11.
#[test]
fn fin_wait_1_to_time_wait_at_once() {
    let mut p = Peer::established(Setup::default());
    p.close();
    p.expect("FIN,ACK 1 ack 1");
    p.send(fin(1, 2));
    p.expect("ACK 2 ack 2");
    p.assert_state(State::TimeWait);
}

/// A repeated FIN is acknowledged and restarts the 2 MSL.
///
/// Proves: MUST-13.
#[test]
fn a_repeated_fin_restarts_time_wait() {
    let mut p = Peer::established(Setup::default());
    p.close();
    p.expect("FIN,ACK 1 ack 1");
    p.send(fin(1, 2));
    p.expect("ACK 2 ack 2");
    p.wait(secs(200));
    p.send(fin(1, 2));
    p.expect("ACK 2 ack 2");
    p.wait(secs(239));
    p.assert_state(State::TimeWait);
    p.wait(secs(2));
    p.assert_state(State::Listen);
}

/// What was sent before CLOSE is sent, and the FIN goes behind it.
#[test]
fn close_sends_what_is_queued_first() {
    let mut p = Peer::established(Setup {
        window: 1500,
        ..Setup::default()
    });
    p.write_n(3000);
    p.expect("ACK 1+1000 ack 1");
    p.close();
    p.quiet();
    p.send(ack(1, 1001).window(1500));
    p.expect("ACK 1001+1000 ack 1");
    p.send(ack(1, 2001).window(1500));
    p.expect("FIN,PSH,ACK 2001+1000 ack 1");
    p.assert_state(State::FinWait1);
    p.send(ack(1, 3002));
    p.assert_state(State::FinWait2);
}

/// The other half goes on: RECEIVE works until the peer's FIN.
///
/// Proves: MAY-1.
#[test]
fn half_close_goes_on_receiving() {
    let mut p = Peer::established(Setup::default());
    p.shutdown();
    p.expect("FIN,ACK 1 ack 1");
    assert_eq!(p.sock().send(b"x"), Err(SendError::BrokenPipe));
    p.send(data(1, 1, b"one "));
    p.send(ack(5, 2));
    p.send(data(5, 2, b"two"));
    assert_eq!(p.read_all(), b"one two");
    p.at(200).expect("ACK 2 ack 8");
    p.wait(secs(3600));
    p.assert_state(State::FinWait2);
    p.send(fin(8, 2));
    p.expect("ACK 2 ack 9");
    p.assert_state(State::TimeWait);
    assert_eq!(p.sock().recv(&mut [0; 4]), Ok(0));
}

/// Proves: SHLD-3, MAY-1.
#[test]
fn close_with_unread_data_resets() {
    let mut p = Peer::established(Setup::default());
    p.send(data(1, 1, b"unread"));
    p.close();
    let reset = p.expect("RST,ACK 1 ack 7");
    assert_eq!(reset.cause, Cause::Reset(ResetCause::UnreadData));
    assert_eq!(p.stack.snapshot().sockets.len(), 1);
}

/// Proves: SHLD-3.
#[test]
fn data_after_close_is_answered_with_a_reset() {
    let mut p = Peer::established(Setup::default());
    p.close();
    p.expect("FIN,ACK 1 ack 1");
    p.send(ack(1, 2));
    p.send(data(1, 2, b"late"));
    let reset = p.expect("RST,ACK 2 ack 1");
    assert_eq!(reset.cause, Cause::Reset(ResetCause::UnreadData));
    p.assert_state(State::Listen);
}

/// Proves: MUST-12.
#[test]
fn the_application_can_tell_a_close_from_an_abort() {
    let mut p = Peer::established(Setup::default());
    p.send(data(1, 1, b"end").with(sockeye_stack::tcp::Flags::FIN));
    p.expect("ACK 1 ack 5");
    assert_eq!(p.read_all(), b"end");
    assert_eq!(p.sock().recv(&mut [0]), Ok(0), "closed normally");
    assert!(p.sock().peer_closed());
    assert_eq!(p.sock().take_error(), None);

    let mut p = Peer::established(Setup::default());
    p.send(data(1, 1, b"end"));
    p.send(rst(4));
    assert_eq!(p.read_all(), b"end");
    let mut p2 = Peer::established(Setup::default());
    p2.send(rst(1));
    assert_eq!(
        p2.sock().recv(&mut [0]),
        Err(RecvError::Connection(ConnectionError::Reset)),
        "aborted"
    );
    assert!(!p2.sock().peer_closed());
}

/// Figure 13 in text: ABORT sends a reset with SND.NXT and forgets the queues.
#[test]
fn abort_resets_and_forgets() {
    let mut p = Peer::established(Setup {
        window: 100,
        ..Setup::default()
    });
    p.write_n(300);
    p.ignore();
    p.abort();
    let reset = p.take();
    assert_eq!(reset.cause, Cause::Reset(ResetCause::Abort));
    p.send(ack(1, 101));
    assert_eq!(p.take().to_string(), "RST 101", "nobody is there any more");
    p.wait(secs(100));
}

/// With a probe of a closed window under way, a reset behind its octet would be beyond what the peer takes (MUST-66 asks it to
/// take one at RCV.NXT).
#[test]
fn an_abort_at_a_closed_window_is_within_it() {
    let mut p = Peer::established(Setup {
        window: 100,
        ..Setup::default()
    });
    p.write_n(300);
    p.ignore();
    p.send(ack(1, 101).window(0));
    p.wait(secs(1));
    assert_eq!(p.take().data.len(), 1, "a probe");
    p.abort();
    p.expect("RST,ACK 101 ack 1");
}

/// CLOSE with a linger time of zero is an ABORT.
#[test]
fn linger_zero_aborts() {
    let mut p = Peer::established(Setup::default());
    p.set(|o| o.linger = Some(ms(0)));
    p.close();
    assert_eq!(
        p.expect("RST,ACK 1 ack 1").cause,
        Cause::Reset(ResetCause::Linger)
    );
}

/// CLOSE with a linger time: what is not acknowledged by then is given up.
#[test]
fn linger_ends_in_a_reset() {
    let mut p = Peer::established(Setup::default());
    p.set(|o| o.linger = Some(secs(5)));
    p.write(b"never acknowledged");
    p.close();
    p.mark().at(4999);
    p.assert_state(State::FinWait1);
    p.at(5001);
    let all = p.take_all();
    assert_eq!(all.last().unwrap().cause, Cause::Reset(ResetCause::Linger));
    p.assert_state(State::Listen);
}

/// A FIN is repeated like data, and its ACK is part of the handshake of closing.
#[test]
fn a_lost_fin_is_sent_again() {
    let mut p = Peer::established(Setup::default());
    p.close();
    p.expect("FIN,ACK 1 ack 1");
    p.mark();
    p.expect_at(1000, "FIN,ACK 1 ack 1");
    p.expect_at(3000, "FIN,ACK 1 ack 1");
    p.send(ack(1, 2));
    p.assert_state(State::FinWait2);
}

/// A socket that is closed for good does not wait in FIN-WAIT-2 for ever.
#[test]
fn fin_wait_2_ends_after_a_full_close() {
    let mut p = Peer::established(Setup::default());
    p.close();
    p.expect("FIN,ACK 1 ack 1");
    p.send(ack(1, 2));
    p.wait(secs(599));
    p.assert_state(State::FinWait2);
    p.wait(secs(2));
    p.assert_state(State::Listen);
    p.quiet();
}

/// The FIN waits for text that is missing before it.
#[test]
fn a_fin_behind_a_gap_waits() {
    let mut p = Peer::established(Setup::default());
    p.send(octets(11, 1, 10).with(sockeye_stack::tcp::Flags::FIN));
    p.expect("ACK 1 ack 1");
    p.assert_state(State::Established);
    p.send(octets(1, 1, 10));
    p.expect("ACK 1 ack 22");
    p.assert_state(State::CloseWait);
    assert_eq!(p.read_all(), crate::peer::pattern(1, 20));
}

/// Both FINs in one batch: no ACK between them (MUST-58), and the states are right.
///
/// Proves: MUST-58, MUST-59.
#[test]
fn data_and_fin_in_one_batch_get_one_ack() {
    let mut p = Peer::established(Setup::default());
    p.queue(octets(1, 1, 1000));
    p.queue(octets(1001, 1, 1000));
    p.queue(fin(2001, 1));
    p.drain();
    p.expect("ACK 1 ack 2002");
    p.quiet();
}
