//! Opening (RFC 9293 sections 3.4.1, 3.5, 3.8.3 and 3.10.7.3).

use sockeye_stack::tcp::{Flags, State};
use sockeye_stack::trace::{Cause, RetransmitCause};
use sockeye_stack::{ConnectionError, Readiness, SendError};

use crate::peer::{Peer, Setup, ack, data, fin, ms, rst, secs, seg};

/// Proves: MUST-8, MUST-9, SHLD-1.
#[test]
fn isns_follow_a_four_microsecond_clock_plus_a_function_of_the_addresses() {
    let isn = |wait: u64, port: u16| {
        let mut p = Peer::new(Setup::default());
        p.remote.set_port(port);
        p.listen();
        p.wait(ms(wait));
        p.send(p.syn());
        p.take().segment.seq
    };
    let first = isn(0, 40_000);
    assert_eq!(
        isn(40, 40_000).since(first),
        10_000,
        "40 ms are 10,000 ticks of 4 us"
    );
    assert_eq!(isn(4_000_000, 40_000).since(first), 1_000_000_000);
    let others: Vec<_> = (1..20).map(|n| isn(0, 40_000 + n).since(first)).collect();
    let near = others
        .iter()
        .filter(|d| **d < 1 << 20 || **d > u32::MAX - (1 << 20))
        .count();
    assert!(
        near < 2,
        "other addresses tell nothing of this one's numbers: {others:?}"
    );
}

/// Figure 6 of the RFC.
#[test]
fn the_basic_handshake() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    p.send(p.syn());
    p.assert_state(State::SynReceived);
    p.expect("SYN,ACK 0 ack 1");
    p.send(ack(1, 1));
    p.assert_state(State::Established);
    assert_eq!(p.told(), Readiness::ACCEPT);
    p.accept();
    p.quiet();
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.expect("SYN 0");
    p.assert_state(State::SynSent);
    p.send(p.syn().with(Flags::ACK).acking(1));
    p.expect("ACK 1 ack 1");
    p.assert_state(State::Established);
    assert_eq!(p.told(), Readiness::CONNECTED | Readiness::WRITABLE);
}

/// Figure 7 of the RFC.
///
/// Proves: MUST-10.
#[test]
fn simultaneous_open() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.expect("SYN 0");
    p.send(p.syn());
    p.assert_state(State::SynReceived);
    p.expect("SYN,ACK 0 ack 1");
    p.send(p.syn().with(Flags::ACK).acking(1));
    p.assert_state(State::Established);
    assert_eq!(p.told(), Readiness::CONNECTED | Readiness::WRITABLE);
    p.write(b"hello");
    p.expect("PSH,ACK 1+5 ack 1");
}

/// The other side's SYN,ACK is lost: its plain ACK completes the handshake too.
///
/// Proves: MUST-10.
#[test]
fn simultaneous_open_completed_by_an_ack() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.expect("SYN 0");
    p.send(p.syn());
    p.expect("SYN,ACK 0 ack 1");
    p.mark().at(1000).expect("SYN,ACK 0 ack 1");
    p.send(ack(1, 1));
    p.assert_state(State::Established);
}

/// A reset takes a passive open back to LISTEN, and tells an active one that it was refused.
///
/// Proves: MUST-11.
#[test]
fn syn_received_remembers_how_it_was_opened() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    p.send(p.syn());
    p.expect("SYN,ACK 0 ack 1");
    p.send(rst(1));
    p.assert_state(State::Listen);
    assert_eq!(p.told(), Readiness::empty());
    p.send(p.syn());
    p.expect("SYN,ACK 0 ack 1");
    p.send(ack(1, 1));
    p.accept();

    let mut p = Peer::new(Setup::default());
    p.connect();
    p.expect("SYN 0");
    p.send(p.syn());
    p.expect("SYN,ACK 0 ack 1");
    p.send(rst(1));
    p.assert_state(State::Closed);
    assert_eq!(p.sock().take_error(), Some(ConnectionError::Refused));
}

/// Proves: U-2, MUST-12.
#[test]
fn a_reset_of_our_syn_must_acknowledge_it() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.expect("SYN 0");
    p.send(rst(0));
    p.send(rst(0).with(Flags::ACK).acking(2));
    p.send(rst(0).with(Flags::ACK).acking(0));
    p.assert_state(State::SynSent);
    p.send(rst(0).with(Flags::ACK).acking(1));
    p.assert_state(State::Closed);
    assert!(p.told().contains(Readiness::CLOSED));
    assert_eq!(p.sock().take_error(), Some(ConnectionError::Refused));
    assert_eq!(p.sock().take_error(), None, "told once");
}

/// Figure 8 of the RFC: a duplicate of an old SYN comes first.
#[test]
fn recovery_from_an_old_duplicate_syn() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    p.send(seg(Flags::SYN, -500_000, 0));
    p.expect("SYN,ACK 0 ack -499999");
    p.send(rst(-499_999));
    p.assert_state(State::Listen);
    p.send(p.syn());
    p.expect("SYN,ACK 0 ack 1");
    p.send(ack(1, 1));
    p.assert_state(State::Established);
}

/// Figure 9 and 10 of the RFC: the other side of a half-open connection is told by a reset.
#[test]
fn half_open_connections_are_discovered() {
    let mut p = Peer::established(Setup::default());
    p.send(seg(Flags::SYN, 5000, 0));
    p.expect("ACK 1 ack 1");
    p.send(rst(1));
    assert_eq!(p.sock().take_error(), Some(ConnectionError::Reset));
    // The stack is the side that crashed.
    let mut p = Peer::new(Setup::default());
    p.send(data(1, 300, b"are you there?"));
    p.expect("RST 300");
    p.send(seg(Flags::PSH, 1, 0));
    p.expect("RST,ACK 0 ack 1");
}

/// Proves: U-3, SHLD-28.
#[test]
fn the_handshakes_ack_may_carry_data() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.expect("SYN 0");
    assert_eq!(
        p.sock().send(b"early"),
        Err(SendError::WouldBlock),
        "SEND waits for the handshake"
    );
    p.queue(p.syn().with(Flags::ACK).acking(1));
    assert_eq!(p.sock().send(b"hello"), Ok(5));
    p.drain();
    p.expect("PSH,ACK 1+5 ack 1");
    p.quiet();
}

/// Text and FIN may come with the SYN,ACK and with the ACK that completes the handshake.
#[test]
fn text_with_the_last_segments_of_the_handshake_is_taken() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.expect("SYN 0");
    let mut greeting = p.syn().with(Flags::ACK | Flags::PSH).acking(1);
    greeting.data = b"220 ready".to_vec();
    p.send(greeting);
    p.expect("ACK 1 ack 10");
    assert_eq!(p.read_all(), b"220 ready");
    let mut p = Peer::new(Setup::default());
    p.listen();
    p.send(p.syn());
    p.expect("SYN,ACK 0 ack 1");
    p.send(data(1, 1, b"GET /").with(Flags::FIN));
    p.expect("ACK 1 ack 7");
    p.accept();
    p.assert_state(State::CloseWait);
    assert!(p.told().contains(Readiness::READABLE | Readiness::PEER_CLOSED));
    assert_eq!(p.read_all(), b"GET /");
}

/// An RTO of 1 s that doubles, at most 60 s: 1, 2, 4, 8, 16, 32, 60, and the last wait: more than three minutes in all.
///
/// Proves: MUST-22, MUST-23, MUST-19, SHLD-9.
#[test]
fn syns_are_repeated_for_at_least_three_minutes() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.expect("SYN 0");
    p.mark();
    let mut at = 0;
    for (n, wait) in [1, 2, 4, 8, 16, 32, 60].into_iter().enumerate() {
        at += wait * 1000;
        let again = p.expect_at(at, "SYN 0");
        let Cause::Retransmit(RetransmitCause::Timeout { count, rto }) = again.cause else {
            panic!("{:?}", again.cause)
        };
        assert_eq!((count as usize, rto), (n + 1, secs(wait)));
        if n == 2 {
            assert_eq!(p.told(), Readiness::SOFT_ERROR, "R1 is told");
        }
    }
    p.at(179_999);
    p.assert_state(State::SynSent);
    p.wait(secs(60));
    p.assert_state(State::Closed);
    assert_eq!(p.sock().take_error(), Some(ConnectionError::TimedOut));
    p.quiet();
}

/// Proves: MUST-21, MUST-22.
#[test]
fn the_user_timeout_ends_an_open() {
    let mut setup = Setup::default();
    setup.options.user_timeout = Some(secs(5));
    let mut p = Peer::new(setup);
    p.connect();
    p.mark();
    p.at(4999);
    p.assert_state(State::SynSent);
    p.at(5001);
    p.assert_state(State::Closed);
    assert_eq!(p.sock().take_error(), Some(ConnectionError::TimedOut));
    p.ignore();
}

/// A SYN,ACK is repeated, and its half-open connection forgotten after some time.
///
/// Proves: MUST-22.
#[test]
fn syn_acks_are_repeated_and_given_up() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    p.send(p.syn());
    p.expect("SYN,ACK 0 ack 1");
    p.mark();
    for at in [1, 3, 7, 15, 31] {
        p.expect_at(at * 1000, "SYN,ACK 0 ack 1");
    }
    p.wait(secs(60));
    p.assert_state(State::Listen);
    p.quiet();
}

/// RFC 9293 section 3.10.4 and 3.10.5: an opening connection is closed without a word.
#[test]
fn close_in_syn_sent_deletes_the_connection() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.expect("SYN 0");
    p.close();
    p.quiet();
    assert!(p.stack.snapshot().sockets.is_empty());
    // What comes for it later finds nobody.
    p.send(p.syn().with(Flags::ACK).acking(1));
    p.expect("RST 1");
}

/// "SYN-RECEIVED: if no SENDs have been issued and there is no pending data to send, then form a FIN segment and send it,
/// and enter FIN-WAIT-1 state; otherwise, queue for processing after entering ESTABLISHED state."
#[test]
fn close_in_syn_received_is_carried_out_once_established() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.expect("SYN 0");
    p.send(p.syn());
    p.expect("SYN,ACK 0 ack 1");
    p.close();
    p.quiet();
    p.assert_state(State::SynReceived);
    p.send(ack(1, 1));
    p.expect("FIN,ACK 1 ack 1");
    p.assert_state(State::FinWait1);
    p.send(fin(1, 2));
    p.expect("ACK 2 ack 2");
    p.assert_state(State::TimeWait);
}

/// The same, and the peer never answers: nothing is left.
#[test]
fn close_in_syn_received_ends_with_the_retries() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.send(p.syn());
    p.close();
    p.ignore();
    p.wait(secs(600));
    assert!(p.stack.snapshot().sockets.is_empty());
    // And a reset ends it at once.
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.send(p.syn());
    p.close();
    p.send(rst(1));
    assert!(p.stack.snapshot().sockets.is_empty());
    p.ignore();
}

/// RFC 7323 section 2.2: an ACK in SYN-RECEIVED has no SYN bit, so its window is scaled; it tells what the SYN did.
#[test]
fn acks_in_syn_received_scale_their_window() {
    let setup = || Setup {
        window_scale: Some(3),
        ..Setup::default()
    };
    let mut p = Peer::new(setup());
    p.listen();
    p.send(p.syn());
    let syn_ack = p.expect("SYN,ACK 0 ack 1");
    let shift = syn_ack.segment.options.window_scale.unwrap();
    p.send(rst(100));
    let challenge = p.expect("ACK 1 ack 1");
    assert_eq!(challenge.segment.window, syn_ack.segment.window >> shift);
    let mut p = Peer::new(setup());
    p.connect();
    p.expect("SYN 0");
    p.send(p.syn());
    let syn_ack = p.expect("SYN,ACK 0 ack 1");
    p.send(rst(100));
    let challenge = p.expect("ACK 1 ack 1");
    assert_eq!(challenge.segment.window, syn_ack.segment.window >> shift);
}
