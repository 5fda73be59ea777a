//! Listeners: SYN queue, accept queue, cookies (RFC 9293 section 3.10.7.2, RFC 4987).

use sockeye_stack::config::SynCookies;
use sockeye_stack::tcp::{Flags, State};
use sockeye_stack::trace::{Cause, DropReason, ResetCause};
use sockeye_stack::{ConnectionError, Readiness};

use crate::peer::{Peer, Setup, ack, data, fin, ms, octets, rst, secs, seg};

fn queue(syn_queue: u32, syn_cookies: SynCookies) -> Setup {
    let mut setup = Setup::default();
    setup.config.syn_queue = syn_queue;
    setup.config.syn_cookies = syn_cookies;
    setup
}

/// SYN, and the stack's number from its answer.
fn open(p: &mut Peer, port: u16) -> i64 {
    p.remote.set_port(port);
    p.send(p.syn());
    p.take().seq
}
fn full_handshake(p: &mut Peer, port: u16) {
    open(p, port);
    p.send(ack(1, 1));
}

/// Backlog n admits n + 1 finished connections, as Linux does; while the queue is full, SYNs are dropped, and the last
/// ACK of a handshake is forgotten, so that the SYN,ACK is repeated until there is room.
#[test]
fn the_accept_queue_is_bounded() {
    let mut p = Peer::new(Setup::default());
    p.listen_with(1);
    open(&mut p, 1003);
    let waiting = p.iss;
    full_handshake(&mut p, 1001);
    full_handshake(&mut p, 1002);
    p.remote.set_port(1004);
    p.send(p.syn());
    p.quiet();
    assert_eq!(p.drops(DropReason::AcceptQueueFull), 1);
    // The third handshake, begun while there was room, cannot finish yet.
    p.remote.set_port(1003);
    p.iss = waiting;
    p.send(ack(1, 1));
    p.assert_state(State::SynReceived);
    assert_eq!(p.drops(DropReason::AcceptQueueFull), 2);
    p.accept();
    p.wait(secs(1));
    p.expect("SYN,ACK 0 ack 1");
    p.send(ack(1, 1));
    p.assert_state(State::Established);
}

/// In the order in which their handshakes finished.
#[test]
fn accept_takes_the_oldest() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    for port in [3, 1, 2] {
        full_handshake(&mut p, port);
    }
    let listener = p.listener.unwrap();
    for port in [3, 1, 2] {
        let (_, peer) = p.stack.tcp_accept(p.now, listener).unwrap().unwrap();
        assert_eq!(peer.port(), port);
    }
    assert_eq!(p.stack.tcp_accept(p.now, listener), Ok(None));
}

/// Data that came before accept() is there after it, and is told.
#[test]
fn data_before_accept_is_kept() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    p.handshake();
    p.send(data(1, 1, b"early"));
    p.told();
    p.accept();
    assert!(p.told().contains(Readiness::READABLE));
    assert_eq!(p.read_all(), b"early");
    p.at(200).expect("ACK 1 ack 6");
}

/// A connection that was reset before accept() is handed out with its error, or not at all.
#[test]
fn a_reset_before_accept() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    p.handshake();
    p.send(rst(1));
    let listener = p.listener.unwrap();
    if let Some((id, _)) = p.stack.tcp_accept(p.now, listener).unwrap() {
        p.id = Some(id);
        assert_eq!(p.sock().take_error(), Some(ConnectionError::Reset));
        p.close();
    }
    assert_eq!(p.stack.snapshot().sockets.len(), 1);
}

/// A full SYN queue without cookies drops further SYNs.
#[test]
fn a_full_syn_queue_drops() {
    let mut p = Peer::new(queue(3, SynCookies::Off));
    p.listen();
    for port in 1..=10 {
        p.remote.set_port(port);
        p.send(p.syn());
    }
    assert_eq!(p.take_all().len(), 3);
    assert_eq!(p.drops(DropReason::SynQueueFull), 7);
    p.ignore();
}

/// A full SYN queue with cookies answers and keeps nothing; the ACK makes the connection, its options where timestamps
/// carried them.
///
/// Proves: 4987-1.
#[test]
fn cookies_make_connections_without_memory() {
    for timestamps in [None, Some(777)] {
        let mut setup = queue(2, SynCookies::WhenFull);
        setup.timestamps = timestamps;
        setup.window_scale = Some(5);
        setup.sack = true;
        setup.mss = Some(1460);
        let mut p = Peer::new(setup);
        p.listen();
        for port in 1..=2 {
            open(&mut p, port);
        }
        let rows = p.stack.snapshot().sockets.len();
        p.remote.set_port(99);
        p.send(p.syn());
        let answer = p.expect("SYN,ACK 0 ack 1");
        assert_eq!(answer.cause, Cause::OpenCookie);
        assert_eq!(p.stack.snapshot().sockets.len(), rows, "nothing is kept");
        p.send(ack(1, 1));
        p.accept();
        assert_eq!(p.info().state, State::Established);
        let agreed = timestamps.is_some();
        assert_eq!(p.info().snd_wnd, if agreed { 65_535 << 5 } else { 65_535 });
        p.send(octets(11, 1, 5));
        assert_eq!(!p.take().sack.is_empty(), agreed);
        p.ignore();
    }
}

/// An ACK that carries no cookie of ours, or one that is too old, is refused.
///
/// Proves: 4987-1.
#[test]
fn false_and_stale_cookies_are_refused() {
    let mut p = Peer::new(queue(1, SynCookies::Always));
    p.listen();
    open(&mut p, 5);
    // Neighbours of the true one name other segment sizes; all else is none of ours.
    for wrong in [20, -20, 1000, 1 << 25, -(1 << 24)] {
        p.send(ack(1, wrong));
        assert!(p.take().segment.flags.contains(Flags::RST));
    }
    p.send(ack(2, 1));
    assert!(
        p.take().segment.flags.contains(Flags::RST),
        "another sequence number of the peer"
    );
    p.assert_state(State::Listen);
    assert_eq!(p.drops(DropReason::BadCookie), 6);
    p.wait(secs(600));
    p.send(ack(1, 1));
    assert!(p.take().segment.flags.contains(Flags::RST), "too old");
    // No cookie is about any more, so it is not even looked at as one.
    assert_eq!(
        (p.drops(DropReason::BadCookie), p.drops(DropReason::NoSocket)),
        (6, 1)
    );
    p.assert_state(State::Listen);
    assert_eq!(p.told(), Readiness::empty());
}

/// Cookies keep the MSS, rounded down to one of a few.
#[test]
fn cookies_keep_the_mss() {
    for mss in [536, 1220, 1300, 1440, 1460, 9000] {
        let mut p = Peer::new(Setup {
            mss: Some(mss),
            mtu: 9500,
            ..queue(1, SynCookies::Always)
        });
        p.listen();
        p.handshake();
        p.accept();
        let got = p.info().snd_mss;
        assert!(
            got <= u32::from(mss) && got >= 536.min(u32::from(mss)),
            "{mss} became {got}"
        );
    }
}

/// What a listener has not handed out is reset when it closes.
#[test]
fn closing_a_listener_resets_what_waits() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    full_handshake(&mut p, 1);
    open(&mut p, 2);
    let listener = p.listener.take().unwrap();
    p.stack.tcp(p.now, listener).unwrap().close();
    p.drain();
    let all = p.take_all();
    assert_eq!(all.len(), 2);
    assert!(
        all.iter()
            .all(|s| s.cause == Cause::Reset(ResetCause::ListenerClosed))
    );
    assert!(p.stack.snapshot().sockets.is_empty());
    p.send(p.syn());
    assert!(p.take().segment.flags.contains(Flags::RST));
}

/// RFC 9293 section 3.10.7.2: RST is ignored, ACK is reset, SYN is taken, the rest is dropped.
#[test]
fn the_order_of_checks_in_listen() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    p.send(rst(0).with(Flags::SYN | Flags::ACK));
    p.quiet();
    p.send(seg(Flags::SYN | Flags::ACK, 0, 5));
    p.expect("RST 5");
    p.send(seg(Flags::FIN, 0, 0));
    p.send(seg(Flags::URG | Flags::PSH, 0, 0));
    p.quiet();
    p.assert_state(State::Listen);
}

/// The FIN of a connection that nobody has accepted yet, which then is, and closes.
#[test]
fn a_connection_may_end_before_accept() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    p.handshake();
    p.send(data(1, 1, b"bye").with(Flags::FIN));
    p.expect("ACK 1 ack 5");
    p.accept();
    assert_eq!(p.read_all(), b"bye");
    p.close();
    p.expect("FIN,ACK 1 ack 5");
    p.send(ack(5, 2));
    assert_eq!(p.stack.snapshot().sockets.len(), 1);
}

/// Each repeated SYN brings the SYN,ACK again, with the same number.
#[test]
fn a_repeated_syn_brings_the_same_answer() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    open(&mut p, 7);
    let iss = p.iss;
    p.wait(ms(300));
    open(&mut p, 7);
    assert_eq!(p.iss, iss);
    p.send(fin(1, 1));
    p.expect("ACK 1 ack 2");
    p.assert_state(State::CloseWait);
}
