//! Explicit congestion notification (RFC 3168).

use sockeye_stack::config::{CongestionControl, Ecn, SynCookies};
use sockeye_stack::tcp::{EcnField, Flags, TcpOptions};
use sockeye_stack::trace::{AckCause, Cause, CongestionChange, RetransmitCause, TraceKind};

use crate::peer::{Peer, Seg, Sent, Setup, ack, octets, secs, seg};

const ASK: Flags = Flags::ECE.union(Flags::CWR);

/// A stack with this setting.
fn set(ecn: Ecn) -> Setup {
    let mut setup = Setup::default();
    setup.config.ecn = ecn;
    setup
}
/// A passive connection on which ECN is agreed.
fn agreed(setup: Setup) -> Peer {
    let mut p = Peer::new(setup);
    p.listen();
    p.send(p.syn().with(ASK));
    p.expect("SYN,ECE,ACK 0 ack 1");
    p.send(ack(1, 1));
    p.accept();
    p.told();
    p
}
/// Segments 1, 1001, ... 9001 are out, and there is more.
fn sending() -> Peer {
    let mut p = agreed(Setup::default());
    p.write_n(200_000);
    let sent = p.take_all();
    assert_eq!(sent.len(), 10);
    assert!(sent.iter().all(|s| s.segment.ecn == EcnField::Ect0));
    p
}
fn echo(at: i64) -> Seg {
    ack(1, at).with(Flags::ECE)
}
fn reduced(p: &Peer) -> usize {
    let marked =
        |k: &TraceKind| matches!(k, TraceKind::Congestion { why, .. } if *why == CongestionChange::Marked);
    p.trace.iter().filter(|e| marked(&e.kind)).count()
}
fn fields(sent: &[Sent]) -> Vec<(i64, EcnField)> {
    sent.iter().map(|s| (s.seq, s.segment.ecn)).collect()
}

/// A listener answers a SYN that asks, and no other; what it asks of nobody is `Accept`, the default.
///
/// Proves: SHLD-8, 3168-1, 3168-2.
#[test]
fn a_listener_agrees_when_asked() {
    for v6 in [false, true] {
        for ecn in [Ecn::Accept, Ecn::Always] {
            let mut p = agreed(Setup { v6, ..set(ecn) });
            assert!(p.info().ecn);
            p.write_n(10);
            assert_eq!(p.expect("PSH,ACK 1+10 ack 1").segment.ecn, EcnField::Ect0);
        }
    }
    // One bit alone asks for nothing.
    for flags in [Flags::ECE, Flags::CWR, Flags::empty()] {
        let mut p = Peer::new(Setup::default());
        p.listen();
        p.send(p.syn().with(flags));
        assert_eq!(p.expect("SYN,ACK 0 ack 1").segment.ecn, EcnField::NotEct);
        p.send(ack(1, 1));
        p.accept();
        assert!(!p.info().ecn);
        p.write_n(10);
        assert_eq!(p.expect("PSH,ACK 1+10 ack 1").segment.ecn, EcnField::NotEct);
    }
    let mut p = Peer::new(set(Ecn::Off));
    p.listen();
    p.send(p.syn().with(ASK));
    p.expect("SYN,ACK 0 ack 1");
}

/// An option of the socket goes before the stack's setting.
#[test]
fn the_sockets_option_decides() {
    for (stack, socket, answer) in [
        (Ecn::Always, Ecn::Off, "SYN,ACK 0 ack 1"),
        (Ecn::Off, Ecn::Accept, "SYN,ECE,ACK 0 ack 1"),
    ] {
        let mut p = Peer::new(Setup {
            options: TcpOptions {
                ecn: Some(socket),
                ..TcpOptions::default()
            },
            ..set(stack)
        });
        p.listen();
        p.send(p.syn().with(ASK));
        p.expect(answer);
    }
}

/// An active open asks when it is told to. A SYN,ACK with both bits is a reflection, not an answer.
///
/// Proves: 3168-2, 3168-3.
#[test]
fn an_active_open_asks() {
    for (answer, agreed) in [
        (Flags::ECE, true),
        (Flags::empty(), false),
        (ASK, false),
        (Flags::CWR, false),
    ] {
        let mut p = Peer::new(set(Ecn::Always));
        p.connect();
        let syn = p.expect("SYN,ECE,CWR 0");
        assert_eq!(syn.segment.ecn, EcnField::NotEct);
        p.send(p.syn().with(Flags::ACK | answer).acking(1));
        assert_eq!(p.expect("ACK 1 ack 1").segment.ecn, EcnField::NotEct);
        assert_eq!(p.info().ecn, agreed, "{answer}");
        p.write_n(10);
        let sent = p.expect("PSH,ACK 1+10 ack 1");
        assert_eq!(sent.segment.ecn == EcnField::Ect0, agreed);
    }
    let mut p = Peer::new(set(Ecn::Accept));
    p.connect();
    p.expect("SYN 0");
    // Nobody asked: the answer means nothing.
    p.send(p.syn().with(Flags::ACK | Flags::ECE).acking(1));
    p.expect("ACK 1 ack 1");
    assert!(!p.info().ecn);
}

/// A SYN that is repeated no longer asks. If the first is answered after all, marks are echoed, but nothing that we send
/// is ECN-capable.
///
/// Proves: 3168-4, 3168-5.
#[test]
fn a_repeated_syn_does_not_ask() {
    let mut p = Peer::new(set(Ecn::Always));
    p.connect();
    p.expect("SYN,ECE,CWR 0");
    p.wait(secs(1));
    p.expect("SYN 0");
    p.send(p.syn().with(Flags::ACK | Flags::ECE).acking(1));
    p.expect("ACK 1 ack 1");
    p.write_n(10);
    assert_eq!(p.expect("PSH,ACK 1+10 ack 1").segment.ecn, EcnField::NotEct);
    p.send(octets(1, 11, 10).ce());
    p.expect("ECE,ACK 11 ack 11");
}

/// Two SYNs that cross, both asking.
#[test]
fn simultaneous_open_agrees_if_both_ask() {
    for (theirs, answer, agreed) in [
        (ASK, "SYN,ECE,ACK 0 ack 1", true),
        (Flags::empty(), "SYN,ACK 0 ack 1", false),
    ] {
        let mut p = Peer::new(set(Ecn::Always));
        p.connect();
        p.take();
        p.send(p.syn().with(theirs));
        p.expect(answer);
        p.send(ack(1, 1));
        assert_eq!(p.info().ecn, agreed);
    }
}

/// A cookie remembers it, where there are timestamps to keep it in.
#[test]
fn cookies_keep_it() {
    for (timestamps, answer) in [(Some(5000), "SYN,ECE,ACK 0 ack 1"), (None, "SYN,ACK 0 ack 1")] {
        let mut setup = Setup {
            timestamps,
            ..Setup::default()
        };
        setup.config.syn_cookies = SynCookies::Always;
        let mut p = Peer::new(setup);
        p.listen();
        p.send(p.syn().with(ASK));
        p.expect(answer);
        p.send(ack(1, 1));
        p.accept();
        assert_eq!(p.info().ecn, timestamps.is_some());
    }
}

/// A mark is echoed on every ACK, at once on the first, until the peer says CWR; a mark on that very segment counts anew.
///
/// Proves: 3168-10, 3168-12.
#[test]
fn marks_are_echoed_until_cwr() {
    let mut p = agreed(Setup::default());
    p.send(octets(1, 1, 100).ecn(EcnField::Ect0));
    p.quiet();
    p.send(octets(101, 1, 100).ce());
    let now = p.expect("ECE,ACK 1 ack 201");
    assert_eq!(now.cause, Cause::Ack(AckCause::CongestionMark));
    assert_eq!(now.segment.ecn, EcnField::NotEct);
    p.mark();
    p.send(octets(201, 1, 100).ecn(EcnField::Ect0));
    p.at(200).expect("ECE,ACK 1 ack 301");
    // Data carries it too.
    p.write_n(10);
    p.expect("PSH,ECE,ACK 1+10 ack 301");
    p.send(octets(301, 11, 100).with(Flags::CWR).ecn(EcnField::Ect0));
    assert_eq!(
        p.expect("ACK 11 ack 401").cause,
        Cause::Ack(AckCause::WindowReduced)
    );
    p.send(octets(401, 11, 100).ce());
    p.expect("ECE,ACK 11 ack 501");
    p.send(octets(501, 11, 100).with(Flags::CWR).ce());
    p.expect("ECE,ACK 11 ack 601");
    assert_eq!(p.info().ce_received, 3);
}

/// One marked segment among those that an ACK covers is enough.
///
/// Proves: 3168-11.
#[test]
fn a_delayed_ack_echoes_any_of_its_marks() {
    let mut p = agreed(Setup::default());
    p.queue(octets(1, 1, 100).ecn(EcnField::Ect0));
    p.queue(octets(101, 1, 100).ce());
    p.queue(octets(201, 1, 100).ecn(EcnField::Ect0));
    p.drain();
    p.expect("ECE,ACK 1 ack 301");
}

/// Without agreement the field means nothing.
#[test]
fn marks_mean_nothing_where_not_agreed() {
    let mut p = Peer::established(Setup::default());
    p.send(octets(1, 1, 100).ce());
    p.wait(secs(1));
    p.expect("ACK 1 ack 101");
    p.write_n(100_000);
    p.send(ack(101, 1001).with(Flags::ECE));
    assert_eq!(
        (p.info().cwnd, p.info().ssthresh, p.info().ece_received),
        (11_000, u32::MAX, 0)
    );
    p.ignore();
}

/// What lies outside the window is not looked at: somebody else may have sent it.
///
/// Proves: 3168-14.
#[test]
fn marks_outside_the_window_are_ignored() {
    let mut p = agreed(Setup::default());
    p.send(octets(1, 1, 100));
    p.wait(secs(1));
    p.expect("ACK 1 ack 101");
    p.send(octets(1, 1, 100).ce());
    p.expect("ACK 1 ack 101");
    p.send(octets(900_001, 1, 100).ce());
    p.expect("ACK 1 ack 101");
    p.send(ack(101, 1).ce());
    p.quiet();
    assert_eq!(p.info().ce_received, 0);
}

/// An echo halves the window (CUBIC keeps 0.7), once for all that was out; CWR goes with the first new data.
///
/// Proves: SHLD-8, 3168-6, 3168-7, 3168-8, 3168-9.
#[test]
fn an_echo_reduces_the_window_once() {
    let mut p = sending();
    p.send(echo(1001));
    assert_eq!((p.info().cwnd, p.info().ssthresh), (5000, 5000));
    assert_eq!(reduced(&p), 1);
    // The echo goes on until the receiver sees CWR: it neither reduces nor grows the window.
    for at in 2..=5 {
        p.send(echo(at * 1000 + 1));
        p.quiet();
    }
    assert_eq!(p.info().cwnd, 5000);
    p.send(echo(6001));
    let first = p.expect("CWR,ACK 10001+1000 ack 1");
    assert_eq!(first.segment.ecn, EcnField::Ect0);
    p.send(echo(8001));
    assert_eq!(p.waiting(), ["ACK 11001+1000 ack 1", "ACK 12001+1000 ack 1"]);
    p.take_all();
    p.send(echo(10_001));
    p.take_all();
    assert_eq!((p.info().cwnd, reduced(&p)), (5000, 1));
    // A mark on what was sent after the reduction is another.
    p.send(echo(11_001));
    assert_eq!((p.info().cwnd, reduced(&p)), (2500, 2));
    assert_eq!(p.info().ece_received, 9);
    p.ignore();
}

/// CUBIC's factor.
///
/// Proves: 9438-4.6.
#[test]
fn cubic_keeps_seven_tenths() {
    let mut setup = Setup::default();
    setup.config.congestion_control = CongestionControl::Cubic;
    let mut p = agreed(setup);
    p.write_n(20_000);
    assert_eq!(p.take_all().len(), 10);
    p.send(echo(1001));
    assert_eq!((p.info().cwnd, p.info().ssthresh), (7000, 7000));
}

/// Retransmissions are not ECN-capable and do not say CWR; after any reduction the next new data does.
///
/// Proves: 3168-8, 3168-13.
#[test]
fn retransmissions_are_not_capable() {
    let mut p = sending();
    for _ in 0..3 {
        p.send(ack(1, 1));
    }
    let sent = p.take_all();
    let lost = sent.iter().find(|s| s.seq == 1).expect("fast retransmit");
    assert_eq!(
        (lost.segment.ecn, lost.segment.flags),
        (EcnField::NotEct, Flags::ACK)
    );
    p.send(ack(1, 12_001));
    let sent = p.take_all();
    assert_eq!(sent[0].segment.flags, Flags::ACK | Flags::CWR);
    assert!(
        sent[1..]
            .iter()
            .all(|s| s.segment.flags == Flags::ACK && s.segment.ecn == EcnField::Ect0)
    );
    // The same after a timeout.
    p.wait(secs(2));
    let sent = p.take_all();
    assert!(
        sent.iter().all(|s| s.segment.ecn == EcnField::NotEct),
        "{:?}",
        fields(&sent)
    );
    assert!(matches!(
        sent[0].cause,
        Cause::Retransmit(RetransmitCause::Timeout { .. })
    ));
    p.ignore();
}

/// In recovery the window is reduced already; and a loss among what was out at the mark does not reduce it again.
///
/// Proves: 3168-7.
#[test]
fn loss_and_mark_of_one_window_count_once() {
    let mut p = sending();
    for _ in 0..3 {
        p.send(echo(1));
    }
    p.take_all();
    assert_eq!(p.info().ssthresh, 5000, "the first echo");
    assert_eq!(reduced(&p), 1);
    for _ in 0..4 {
        p.send(echo(1));
    }
    assert_eq!(p.info().ssthresh, 5000);
    p.send(echo(10_001));
    assert_eq!(p.info().ssthresh, 5000);
    p.ignore();
}

/// Acknowledgments, probes and the FIN alone are not ECN-capable.
///
/// Proves: 3168-12, 3168-15.
#[test]
fn only_new_data_is_capable() {
    let mut p = agreed(Setup::default());
    p.send(ack(1, 1).window(0));
    p.write_n(100);
    p.mark();
    p.at(1000);
    let probe = p.expect("ACK 1+1 ack 1");
    assert_eq!(
        (probe.cause, probe.segment.ecn),
        (Cause::WindowProbe(1), EcnField::NotEct)
    );
    p.send(ack(1, 2).window(1000));
    assert_eq!(p.expect("PSH,ACK 2+99 ack 1").segment.ecn, EcnField::Ect0);
    p.send(ack(1, 101));
    p.shutdown();
    assert_eq!(p.expect("FIN,ACK 101 ack 1").segment.ecn, EcnField::NotEct);
    p.send(ack(1, 102));
    p.send(seg(Flags::SYN, 5, 0));
    assert_eq!(p.expect("ACK 102 ack 1").segment.ecn, EcnField::NotEct);
}

/// The application's DiffServ field stays beside it; its two low bits are not the application's.
///
/// Proves: SHLD-22.
#[test]
fn the_diffserv_field_stays() {
    let mut p = agreed(Setup {
        options: TcpOptions {
            traffic_class: 0xbb,
            ..TcpOptions::default()
        },
        ..Setup::default()
    });
    p.write_n(10);
    assert_eq!(p.expect("PSH,ACK 1+10 ack 1").traffic_class, 0xba);
    p.send(octets(1, 11, 1000));
    p.send(octets(1001, 11, 1000));
    assert_eq!(p.expect("ACK 11 ack 2001").traffic_class, 0xb8);
}
