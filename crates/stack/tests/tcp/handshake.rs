//! Opening (RFC 9293 sections 3.4.1, 3.5, 3.8.3 and 3.10.7.3).

use sockeye_stack::tcp::{Flags, State, TcpOptions};
use sockeye_stack::trace::{Cause, RetransmitCause};
use sockeye_stack::{ConnectionError, Readiness, SendError};

use crate::peer::{Peer, Setup, ack, data, fin, ms, octets, pattern, rst, secs, seg};

/// Proves: MUST-8, MUST-9, SHLD-1, 6528-1.
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
/// Proves: MUST-22, MUST-23, MUST-19, SHLD-9, 6298-2.1.
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

/// Text on a SYN waits for ESTABLISHED; it is acknowledged then, and not before (RFC 9293 section 3.10.7.2: "text should
/// be queued for processing later"). It is bounded by a segment's worth and by the window told.
#[test]
fn text_on_a_syn_waits_for_established() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    let mut syn = p.syn();
    syn.data = pattern(1, 2000);
    p.send(syn);
    p.expect("SYN,ACK 0 ack 1");
    p.send(ack(1, 1));
    p.accept();
    assert_eq!(p.read_all(), pattern(1, 1460));
    p.wait(secs(1));
    p.expect("ACK 1 ack 1461");
    // The peer sends it again with the handshake's last segment: nothing comes twice.
    let mut p = Peer::new(Setup::default());
    p.listen();
    let mut syn = p.syn();
    syn.data = b"hello".to_vec();
    p.send(syn);
    p.take();
    p.send(data(1, 1, b"hello world"));
    p.accept();
    assert_eq!(p.read_all(), b"hello world");
    p.wait(secs(1));
    assert_eq!(p.take_all().last().unwrap().ack, 12);
    // A small buffer bounds it too.
    let mut setup = Setup::default();
    setup.options.receive_buffer = Some(3);
    let mut p = Peer::new(setup);
    p.listen();
    let mut syn = p.syn();
    syn.data = b"hello".to_vec();
    p.send(syn);
    p.take();
    p.send(ack(1, 1));
    p.accept();
    assert_eq!(p.read_all(), b"hel");
    p.ignore();
}

/// The same where both sides open at once.
#[test]
fn text_on_a_crossing_syn_waits_too() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    p.take();
    let mut syn = p.syn();
    syn.data = b"hello".to_vec();
    p.send(syn);
    p.expect("SYN,ACK 0 ack 1");
    p.send(ack(1, 1));
    assert_eq!(p.read_all(), b"hello");
    p.ignore();
}

/// The scale and the window that were told stay, whatever is set between SYN and ESTABLISHED.
///
/// Proves: 7323-2.2a.
#[test]
fn what_a_syn_told_stays() {
    for active in [false, true] {
        let mut p = Peer::new(Setup {
            window_scale: Some(3),
            ..Setup::default()
        });
        let told;
        if active {
            p.connect();
            told = p.take();
            p.set(|o| o.receive_buffer = Some(1 << 20));
            p.send(p.syn().with(Flags::ACK).acking(1));
        } else {
            p.listen();
            p.send(p.syn());
            told = p.take();
            let listener = p.listener.unwrap();
            let options = TcpOptions {
                receive_buffer: Some(1 << 20),
                ..TcpOptions::default()
            };
            p.stack.tcp(p.now, listener).unwrap().set_options(options);
            p.send(ack(1, 1));
            p.accept();
        }
        let scale = told.segment.options.window_scale.unwrap();
        p.take_all();
        p.send(octets(1, 1, 1000));
        p.send(octets(1001, 1, 1000));
        let window = u32::from(p.take().segment.window) << scale;
        assert!(
            ((1 << 20) - 3000..=1 << 20).contains(&window),
            "{window} by scale {scale}"
        );
    }
}

/// A user timeout that has passed already ends an open at once, and one that is nearer than the next SYN in time.
///
/// Proves: MUST-21.
#[test]
fn a_user_timeout_set_while_opening_acts() {
    for (limit, ends_at) in [(secs(2), 5000), (secs(6), 6000)] {
        let mut p = Peer::new(Setup::default());
        p.connect();
        p.mark();
        p.at(5000);
        p.take_all();
        p.set(|o| o.user_timeout = Some(limit));
        if ends_at > 5000 {
            p.at(ends_at - 1);
            assert_eq!(p.sock().take_error(), None);
        }
        p.at(ends_at);
        assert_eq!(p.sock().take_error(), Some(ConnectionError::TimedOut), "{limit}");
        p.quiet();
    }
}

/// What several segments ask of a half-open connection, or of one in TIME-WAIT, in one batch is answered once.
///
/// Proves: MUST-58.
#[test]
fn entries_without_a_block_answer_a_batch_once() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    p.send(p.syn());
    p.take();
    for n in 0..3 {
        p.queue(octets(900_000 + n, 1, 10));
    }
    p.drain();
    p.expect("ACK 1 ack 1");
    p.quiet();
    let mut p = Peer::established(Setup::default());
    p.close();
    p.expect("FIN,ACK 1 ack 1");
    p.send(fin(1, 2));
    p.expect("ACK 2 ack 2");
    for _ in 0..3 {
        p.queue(fin(1, 2));
    }
    p.queue(octets(5, 2, 10));
    p.drain();
    p.expect("ACK 2 ack 2");
    p.quiet();
}

/// The timer of a SYN, or of a SYN,ACK, goes off, and its answer comes before anything is sent again: the connection's own
/// timers run all the same.
#[test]
fn an_answer_comes_as_the_timer_goes_off() {
    for active in [true, false] {
        let mut p = Peer::new(Setup::default());
        if active {
            p.connect();
        } else {
            p.listen();
            p.send(p.syn());
        }
        p.take();
        let (at, _) = p.stack.next_timeout().expect("it waits for an answer");
        p.now = at;
        p.stack.handle_timeout(at);
        if active {
            p.send(p.syn().with(Flags::ACK).acking(1));
            p.expect("ACK 1 ack 1");
        } else {
            p.send(ack(1, 1));
            p.accept();
        }
        p.write(b"hello");
        p.expect("PSH,ACK 1+5 ack 1");
        p.mark();
        let rto = p.info().rto;
        p.expect_at(rto.as_millis(), "PSH,ACK 1+5 ack 1");
    }
}
