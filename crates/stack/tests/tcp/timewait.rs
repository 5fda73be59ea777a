//! TIME-WAIT: how long, for whom, and when a new connection may take its place (RFC 9293 sections 3.6.1 and 3.10.7.4,
//! RFC 6191, RFC 1337).

use sockeye_stack::tcp::{Flags, State, TcpOptions};
use sockeye_stack::trace::{Cause, ChallengeCause};
use sockeye_stack::{BindError, Config, Profile};

use crate::peer::{Peer, Setup, ack, fin, octets, rst, secs, seg};

/// The stack has closed first; its SND.NXT is 2, its RCV.NXT 2.
fn waiting(setup: Setup) -> Peer {
    let mut p = Peer::established(setup);
    p.close();
    p.take();
    p.send(fin(1, 2));
    p.take();
    p.assert_state(State::TimeWait);
    p
}

/// Proves: MUST-13.
#[test]
fn it_lasts_two_msl() {
    for (profile, seconds) in [(Profile::Rfc, 240), (Profile::Linux, 60)] {
        let mut p = waiting(Setup {
            config: Config::new(profile),
            ..Setup::default()
        });
        p.wait(secs(seconds - 1));
        p.assert_state(State::TimeWait);
        p.wait(secs(2));
        p.assert_state(State::Listen);
    }
}

/// Proves: MAY-2.
#[test]
fn a_syn_with_a_larger_number_takes_over() {
    let mut p = waiting(Setup::default());
    let old = p.iss;
    p.send(seg(Flags::SYN, 1000, 0).mss(1000));
    p.expect("SYN,ACK 0 ack 1001");
    assert!(
        p.iss.since(old + 2) < 1 << 31,
        "our number is larger than any that was used before"
    );
    p.send(ack(1001, 1));
    p.assert_state(State::Established);
    p.accept();
}

/// Proves: MAY-2, U-7.
#[test]
fn a_syn_with_an_old_number_is_challenged() {
    let mut p = waiting(Setup::default());
    p.send(seg(Flags::SYN, -1000, 0));
    assert_eq!(
        p.expect("ACK 2 ack 2").cause,
        Cause::Challenge(ChallengeCause::Syn)
    );
    p.assert_state(State::TimeWait);
    p.send(seg(Flags::SYN, 0, 0));
    p.expect("ACK 2 ack 2");
}

/// RFC 6191: a later timestamp is enough, whatever the number; an earlier one is not, whatever the number.
///
/// Proves: SHLD-4.
#[test]
fn a_later_timestamp_takes_over() {
    let stamped = || Setup {
        timestamps: Some(5000),
        ..Setup::default()
    };
    let mut p = waiting(stamped());
    p.send(seg(Flags::SYN, -100_000, 0).ts(5100, 0));
    assert_eq!(p.take().segment.flags, Flags::SYN | Flags::ACK);
    p.assert_state(State::SynReceived);
    let mut p = waiting(stamped());
    p.send(seg(Flags::SYN, 100_000, 0).ts(4900, 0));
    p.expect("ACK 2 ack 2");
    p.assert_state(State::TimeWait);
    // The same timestamp: the number decides.
    p.send(seg(Flags::SYN, -100_000, 0).ts(5000, 0));
    p.expect("ACK 2 ack 2");
    p.send(seg(Flags::SYN, 100_000, 0).ts(5000, 0));
    assert_eq!(p.take().segment.flags, Flags::SYN | Flags::ACK);
}

/// Without a listener there is nobody to take over: the SYN is challenged as in any state.
///
/// Proves: U-7.
#[test]
fn no_listener_no_successor() {
    let mut p = waiting(Setup::default());
    let listener = p.listener.take().unwrap();
    p.stack.tcp(p.now, listener).unwrap().close();
    p.send(seg(Flags::SYN, 1000, 0));
    p.expect("ACK 2 ack 2");
    p.assert_state(State::TimeWait);
}

/// A SYN,ACK or SYN,FIN is no request for a connection.
#[test]
fn other_syns_do_not_end_it() {
    let mut p = waiting(Setup::default());
    for flags in [Flags::SYN | Flags::ACK, Flags::SYN | Flags::FIN] {
        p.send(seg(flags, 1000, 2));
        p.expect("ACK 2 ack 2");
        p.assert_state(State::TimeWait);
    }
}

/// RFC 1337: old segments do no harm; a reset exactly at RCV.NXT can only be the peer's.
///
/// Proves: U-4, U-5.
#[test]
fn resets_in_time_wait() {
    let mut p = waiting(Setup::default());
    p.send(rst(0));
    p.send(rst(-5000));
    p.quiet();
    p.send(rst(500));
    p.expect("ACK 2 ack 2");
    p.assert_state(State::TimeWait);
    p.send(rst(2));
    p.assert_state(State::Listen);
}

#[test]
fn old_text_is_acknowledged_and_dropped() {
    let mut p = waiting(Setup::default());
    p.send(octets(1, 2, 1));
    p.expect("ACK 2 ack 2");
    p.send(ack(2, 2));
    p.quiet();
}

/// The port is free for a listener with SO_REUSEADDR, not for one without.
#[test]
fn time_wait_holds_the_port() {
    let mut p = waiting(Setup::default());
    let listener = p.listener.take().unwrap();
    p.stack.tcp(p.now, listener).unwrap().close();
    let plain = p.stack.tcp_socket(TcpOptions::default());
    assert_eq!(p.stack.tcp_bind(plain, p.local), Err(BindError::InUse(p.local)));
    p.wait(secs(241));
    assert_eq!(p.stack.tcp_bind(plain, p.local), Ok(()));
}

/// The number of entries is bounded: the oldest goes.
#[test]
fn entries_are_bounded() {
    let mut setup = Setup::default();
    setup.config.time_wait_max = 3;
    let mut p = Peer::new(setup);
    p.listen();
    for port in 1..=5 {
        p.remote.set_port(port);
        p.handshake();
        p.accept();
        p.close();
        p.take();
        p.send(fin(1, 2));
        p.take();
    }
    let rows = p.stack.snapshot().sockets;
    let mut left: Vec<_> = rows.iter().filter_map(|r| r.remote).map(|r| r.port()).collect();
    left.sort_unstable();
    assert_eq!(left, [3, 4, 5]);
}
