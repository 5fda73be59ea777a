//! ICMP and TCP (RFC 9293 section 3.9.2.2, RFC 5927, RFC 1191, RFC 8201).

use sockeye_stack::tcp::State;
use sockeye_stack::trace::{Cause, DropReason, RetransmitCause};
use sockeye_stack::wire::{checksum, icmpv4, icmpv6, protocol};
use sockeye_stack::{ConnectionError, Readiness};

use crate::peer::{Peer, Setup, ack, ip_packet, octets, secs, seg};
use std::net::{IpAddr, Ipv4Addr};

/// A router's complaint about a segment that the stack sent with this sequence number.
fn complaint(p: &Peer, message: &icmpv4::Message, seq: i64) -> Vec<u8> {
    // What was sent, as the router quotes it: ports, number, and no more than 8 octets.
    let mut quoted = Vec::new();
    quoted.extend_from_slice(&p.local.port().to_be_bytes());
    quoted.extend_from_slice(&p.remote.port().to_be_bytes());
    quoted.extend_from_slice(&p.iss.0.wrapping_add(seq as u32).to_be_bytes());
    let inner = ip_packet(p.local.ip(), p.remote.ip(), protocol::TCP, &quoted);
    let mut icmp = vec![0; icmpv4::HEADER_LEN];
    icmpv4::emit(message, &mut icmp);
    icmp.extend_from_slice(&inner);
    let sum = checksum::sum(&icmp).finish();
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let router: IpAddr = Ipv4Addr::new(10, 0, 0, 99).into();
    ip_packet(router, p.local.ip(), protocol::ICMPV4, &icmp)
}
fn unreachable(code: u8) -> icmpv4::Message {
    icmpv4::Message::Unreachable {
        code,
        next_hop_mtu: 0,
    }
}
fn too_big(mtu: u16) -> icmpv4::Message {
    icmpv4::Message::Unreachable {
        code: icmpv4::UNREACHABLE_FRAGMENTATION_NEEDED,
        next_hop_mtu: mtu,
    }
}
fn complain(p: &mut Peer, message: icmpv4::Message, seq: i64) {
    let packet = complaint(p, &message, seq);
    p.send_packet(packet);
}
fn in_flight() -> Peer {
    let mut p = Peer::established(Setup::default());
    p.write_n(500);
    p.expect("PSH,ACK 1+500 ack 1");
    p
}

/// Unreachable 0, 1, 5, time exceeded and parameter problem are told and end nothing.
///
/// Proves: MUST-54, MUST-56, MUST-47, SHLD-25, U-1.
#[test]
fn soft_errors_are_told_and_abort_nothing() {
    let soft = [
        unreachable(0),
        unreachable(1),
        unreachable(5),
        icmpv4::Message::TimeExceeded { code: 0 },
        icmpv4::Message::TimeExceeded { code: 1 },
        icmpv4::Message::ParameterProblem { code: 0, pointer: 1 },
    ];
    for message in soft {
        let mut p = in_flight();
        complain(&mut p, message, 1);
        p.assert_state(State::Established);
        assert_eq!(p.told(), Readiness::SOFT_ERROR, "{message:?}");
        assert_eq!(p.sock().take_error(), Some(ConnectionError::Unreachable));
        assert_eq!(p.sock().take_error(), None, "told once");
        p.send(ack(1, 501));
        p.write(b"on");
        p.expect("PSH,ACK 501+2 ack 1");
    }
}

/// In SYN-SENT too.
///
/// Proves: MUST-56, SHLD-25.
#[test]
fn soft_errors_do_not_end_an_open() {
    for message in [
        unreachable(0),
        unreachable(1),
        icmpv4::Message::TimeExceeded { code: 0 },
    ] {
        let mut p = Peer::new(Setup::default());
        p.connect();
        p.expect("SYN 0");
        complain(&mut p, message, 0);
        p.assert_state(State::SynSent);
        assert!(p.told().contains(Readiness::SOFT_ERROR));
        p.mark().at(1000).expect("SYN 0");
        p.send(p.syn().with(sockeye_stack::tcp::Flags::ACK).acking(1));
        p.expect("ACK 1 ack 1");
    }
}

/// Protocol and port unreachable end an open; on a synchronised connection they are told only (RFC 5461, RFC 5927
/// section 5.2 weighed against SHLD-26).
///
/// Proves: SHLD-26.
#[test]
fn hard_errors_end_an_open() {
    for code in [2, 3] {
        let mut p = Peer::new(Setup::default());
        p.connect();
        p.expect("SYN 0");
        complain(&mut p, unreachable(code), 0);
        p.assert_state(State::Closed);
        assert_eq!(p.sock().take_error(), Some(ConnectionError::Refused));
        let mut p = in_flight();
        complain(&mut p, unreachable(code), 1);
        p.assert_state(State::Established);
        assert_eq!(p.sock().take_error(), Some(ConnectionError::PortUnreachable));
        p.ignore();
    }
}

/// The soft error explains the end, if it comes to one.
///
/// Proves: MUST-47.
#[test]
fn a_soft_error_explains_a_timeout() {
    let mut p = Peer::new(Setup::default());
    p.connect();
    complain(&mut p, unreachable(1), 0);
    p.wait(secs(400));
    p.assert_state(State::Closed);
    p.ignore();
    p.told();
}

/// Proves: MUST-55.
#[test]
fn source_quench_is_discarded() {
    let mut p = in_flight();
    let cwnd = p.info().cwnd;
    complain(&mut p, icmpv4::Message::SourceQuench, 1);
    assert_eq!(p.told(), Readiness::empty());
    assert_eq!(p.info().cwnd, cwnd);
    assert_eq!(p.drops(DropReason::SourceQuench), 1);
    assert!(p.others.is_empty());
    p.ignore();
}

/// RFC 5927 section 4.1: the quoted octet must be in flight.
///
/// Proves: MUST-54, 5927-1.
#[test]
fn errors_about_what_is_not_in_flight_are_ignored() {
    let mut p = in_flight();
    for seq in [0, -1, 501, 100_000, -70_000] {
        complain(&mut p, unreachable(1), seq);
        complain(&mut p, too_big(600), seq);
    }
    assert_eq!(p.told(), Readiness::empty());
    assert_eq!(p.info().snd_mss, 1000);
    assert_eq!(p.drops(DropReason::IcmpMismatch), 10);
    // Nor about a connection that is not there.
    p.remote.set_port(1);
    complain(&mut p, unreachable(1), 1);
    assert_eq!(p.drops(DropReason::IcmpMismatch), 11);
    p.ignore();
}

/// A smaller path: what did not fit goes again in smaller pieces at once, and the congestion window stays.
///
/// Proves: MUST-16, SHLD-26, 1191-1, 1191-6.
#[test]
fn path_mtu_discovery() {
    let mut p = Peer::established(Setup {
        mss: Some(1460),
        ..Setup::default()
    });
    p.write_n(2920);
    p.expect("ACK 1+1460 ack 1");
    p.expect("PSH,ACK 1461+1460 ack 1");
    let cwnd = p.info().cwnd;
    complain(&mut p, too_big(1040), 1);
    assert_eq!(p.info().snd_mss, 1000);
    let again = p.take_all();
    assert!(!again.is_empty());
    assert!(again.iter().all(|s| s.data.len() <= 1000), "{again:?}");
    assert!(
        again
            .iter()
            .all(|s| s.cause == Cause::Retransmit(RetransmitCause::PathMtu))
    );
    assert_eq!(again[0].seq, 1);
    assert!(p.info().cwnd >= cwnd, "it is no sign of congestion");
    assert_eq!(p.told(), Readiness::empty(), "nor an error to tell");
    p.send(ack(1, 2921));
    p.write_n(3000);
    assert!(p.take_all().iter().all(|s| s.data.len() <= 1000));
    p.ignore();
}

/// A tiny MTU is not believed, since tiny segments are an attack; if it is true, routers may fragment.
///
/// Proves: 1191-3.
#[test]
fn a_tiny_path_mtu_is_not_followed() {
    for (least, told, mss, whole) in [(552, 20, 512, false), (552, 600, 560, true), (68, 100, 60, true)] {
        let mut setup = Setup {
            mss: Some(1460),
            ..Setup::default()
        };
        setup.config.path_mtu_min = least;
        let mut p = Peer::established(setup);
        p.write_n(1460);
        assert!(p.take().dont_fragment);
        complain(&mut p, too_big(told), 1);
        assert_eq!(p.info().snd_mss, mss);
        let again = p.take_all();
        assert!(again.len() > 2 && again.iter().all(|s| s.dont_fragment == whole));
        p.ignore();
    }
}

/// A larger MTU than before is no news.
///
/// Proves: 1191-2.
#[test]
fn a_growing_path_mtu_is_ignored() {
    let mut p = Peer::established(Setup {
        mss: Some(1460),
        ..Setup::default()
    });
    p.write_n(100);
    p.take();
    complain(&mut p, too_big(9000), 1);
    p.quiet();
    assert_eq!(p.info().snd_mss, 1460);
}

/// IPv6: packet too big.
///
/// Proves: 8201-1.
#[test]
fn path_mtu_discovery_v6() {
    let mut p = Peer::established(Setup {
        mss: Some(1440),
        v6: true,
        ..Setup::default()
    });
    p.write_n(1440);
    p.expect("PSH,ACK 1+1440 ack 1");
    let mut quoted = Vec::new();
    quoted.extend_from_slice(&p.local.port().to_be_bytes());
    quoted.extend_from_slice(&p.remote.port().to_be_bytes());
    quoted.extend_from_slice(&(p.iss + 1).0.to_be_bytes());
    quoted.resize(40, 0);
    let inner = ip_packet(p.local.ip(), p.remote.ip(), protocol::TCP, &quoted);
    let mut icmp = vec![0; icmpv6::HEADER_LEN];
    icmpv6::emit(&icmpv6::Message::PacketTooBig { mtu: 1280 }, &mut icmp);
    icmp.extend_from_slice(&inner);
    let (IpAddr::V6(from), IpAddr::V6(to)) = (p.remote.ip(), p.local.ip()) else {
        unreachable!()
    };
    icmpv6::fill_checksum(from, to, &mut icmp);
    p.send_packet(ip_packet(p.remote.ip(), p.local.ip(), protocol::ICMPV6, &icmp));
    assert_eq!(p.info().snd_mss, 1220);
    p.expect("ACK 1+1220 ack 1");
    p.expect("PSH,ACK 1221+220 ack 1");
}

/// ICMP changes nothing in LISTEN, half-open entries and TIME-WAIT.
#[test]
fn errors_elsewhere_are_harmless() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    p.send(p.syn());
    p.expect("SYN,ACK 0 ack 1");
    for code in 0..=15 {
        complain(&mut p, unreachable(code), 0);
    }
    p.assert_state(State::SynReceived);
    p.send(ack(1, 1));
    p.accept();
    p.send(octets(1, 1, 10).with(sockeye_stack::tcp::Flags::FIN));
    p.take();
    p.send(seg(sockeye_stack::tcp::Flags::SYN, 5, 0));
    p.expect("ACK 1 ack 12");
}
