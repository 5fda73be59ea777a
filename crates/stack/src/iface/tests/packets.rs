//! IP packets over a link without link addresses.

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use std::vec;
use std::vec::Vec;

use super::*;
use crate::iface::IcmpError;
use crate::wire::{checksum, icmpv4, icmpv6};

const US: [u8; 4] = [192, 0, 2, 1];
const PEER: [u8; 4] = [192, 0, 2, 9];

fn v6(last: u8) -> [u8; 16] {
    let mut a = [0; 16];
    a[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
    a[15] = last;
    a
}

fn udp_v4(from: [u8; 4], to: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    PacketBuilder::ipv4(from, to, 30)
        .udp(7, 9)
        .write(&mut out, payload)
        .unwrap();
    out
}
fn udp_v6(from: [u8; 16], to: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    PacketBuilder::ipv6(from, to, 30)
        .udp(7, 9)
        .write(&mut out, payload)
        .unwrap();
    out
}
/// Corrects an IPv4 header's checksum after a change.
fn fix(mut packet: Vec<u8>) -> Vec<u8> {
    packet[10..12].fill(0);
    let len = usize::from(packet[0] & 15) * 4;
    let sum = checksum::sum(&packet[..len]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}
fn udp(inbound: Option<Inbound<'static>>) -> crate::iface::Packet<'static> {
    match inbound {
        Some(Inbound::Udp(p)) => p,
        other => panic!("expected a datagram, got {other:?}"),
    }
}

#[test]
fn transport_packets_come_out_without_padding() {
    let mut h = ip_host();
    let mut frame = udp_v4(PEER, US, b"hello");
    frame.extend([0; 13]);
    let p = udp(h.receive(frame));
    assert_eq!(
        (p.source, p.destination, p.hop_limit),
        (PEER.into(), US.into(), 30)
    );
    assert_eq!((p.at, p.frame.len()), (20, 33));
    let p = udp(h.receive(udp_v6(v6(9), v6(1), b"hello")));
    assert_eq!((p.at, p.frame.len(), p.to_many), (40, 53, false));
    assert_eq!(h.total_drops(), 0);
}

/// Proves: 1122-3.2.2.6a.
#[test]
fn ping_is_answered_with_the_same_data() {
    let mut h = ip_host();
    let mut ask = Vec::new();
    PacketBuilder::ipv4(PEER, US, 30)
        .icmpv4_echo_request(5, 6)
        .write(&mut ask, b"data!")
        .unwrap();
    assert!(h.receive(ask).is_none());
    let reply = h.expect(Cause::EchoReply);
    let parsed = SlicedPacket::from_ip(&reply).unwrap();
    let Some(TransportSlice::Icmpv4(icmp)) = parsed.transport else {
        panic!()
    };
    assert_eq!(icmp.payload(), b"data!");
    assert!(checksum::sum(icmp.slice()).verify());

    let mut ask = Vec::new();
    PacketBuilder::ipv6(v6(9), v6(1), 30)
        .icmpv6_echo_request(5, 6)
        .write(&mut ask, b"data!")
        .unwrap();
    h.receive(ask.clone());
    let reply = h.expect(Cause::EchoReply);
    let parsed = SlicedPacket::from_ip(&reply).unwrap();
    let Some(TransportSlice::Icmpv6(icmp)) = parsed.transport else {
        panic!()
    };
    assert!(icmp.is_checksum_valid(v6(1), v6(9)));
    // A damaged one is not.
    *ask.last_mut().unwrap() ^= 1;
    h.receive(ask);
    h.quiet();
    assert_eq!(h.drops(DropReason::TransportChecksum), 1);
}

/// Proves: 1122-3.3.2a.
#[test]
fn big_pings_come_in_fragments_and_go_in_fragments() {
    let mut h = ip_host();
    let mut peer = Host::new(
        InterfaceConfig::ip("tun0", 1280)
            .address(PEER, 24)
            .address(IpAddr::from(v6(9)), 64),
    );
    for (to, v4) in [("192.0.2.1", true), ("2001:db8::1", false)] {
        let route = peer.route(to).unwrap();
        let mut header = [8, 0, 0, 0, 0, 5, 0, 6];
        if !v4 {
            header[0] = 128;
        }
        let payload = Payload::from(vec![7; 4000]);
        peer.with(|l, env| {
            l.send_icmp(
                env,
                ip(to),
                Some(route.source),
                ETH,
                header,
                payload,
                Cause::EchoRequest,
            );
        });
        let mut parts = peer.all_sent();
        assert_eq!(parts.len(), 4);
        for (p, _) in &parts {
            let parsed = SlicedPacket::from_ip(p).unwrap();
            assert!(p.len() <= 1280 && parsed.is_ip_payload_fragmented());
        }
        parts.reverse();
        parts
            .iter()
            .for_each(|(p, _)| assert!(h.receive(p.clone()).is_none()));
        let reply = h.all_sent();
        assert_eq!(reply.len(), 3);
        for (p, cause) in reply {
            assert_eq!(cause, Cause::EchoReply);
            peer.receive(p);
        }
    }
    assert_eq!(
        peer.drops(DropReason::UnknownProtocol),
        2,
        "whole replies, for nobody"
    );
    assert_eq!(peer.total_drops() + h.total_drops(), 2);
}

#[test]
fn headers_of_prepared_packets_are_right() {
    let mut h = ip_host();
    for to in [
        "192.0.2.9",
        "8.8.8.8",
        "2001:db8::9",
        "2600::1",
        "127.0.0.1",
        "::1",
        "192.0.2.1",
    ] {
        let (mut frame, link) = h.prepare(to, 8);
        assert_eq!(link, Link::Ready);
        frame.head.extend(8).copy_from_slice(&[0, 7, 0, 9, 0, 8, 0, 0]);
        let bytes = frame.to_vec();
        let parsed = SlicedPacket::from_ip(&bytes).unwrap();
        match parsed.net.unwrap() {
            NetSlice::Ipv4(p) => {
                let header = p.header().to_header();
                assert_eq!(IpAddr::from(header.destination), ip(to));
                let loopback = to != "192.0.2.9" && to != "8.8.8.8";
                assert_eq!(header.header_checksum == header.calc_header_checksum(), !loopback);
            }
            NetSlice::Ipv6(p) => assert_eq!(IpAddr::from(p.header().destination()), ip(to)),
            NetSlice::Arp(_) => panic!(),
        }
    }
    assert_eq!(h.route("8.8.8.8").unwrap().next_hop, ip("192.0.2.254"));
    let own = h.route("192.0.2.1").unwrap();
    assert!(own.loopback && own.interface == InterfaceId::LOOPBACK);
    assert!(
        h.layer
            .route(ip("8.8.8.8"), Some(ip("127.0.0.1")), None)
            .is_none()
    );
    assert!(
        h.layer
            .route(ip("8.8.8.8"), Some(ip("192.0.2.7")), None)
            .is_none()
    );
    assert!(
        h.layer
            .route(ip("8.8.8.8"), Some(ip("2001:db8::1")), None)
            .is_none()
    );
    assert!(h.route("0.0.0.0").is_none());
}

#[test]
fn what_we_send_to_ourselves_comes_back() {
    let mut h = ip_host();
    for to in ["127.0.0.1", "127.9.9.9", "192.0.2.1", "::1", "2001:db8::1"] {
        h.send_udp(to, 5000);
        let (frame, meta) = h.sent().unwrap();
        assert_eq!(meta.interface, InterfaceId::LOOPBACK);
        let p = udp(h.receive_on(InterfaceId::LOOPBACK, frame));
        assert_eq!((p.destination, p.checksum_verified), (ip(to), true));
    }
}

/// Proves: 1122-3.2.1.3a, 1122-3.2.1.3b, 1122-4.1.3.6.
#[test]
fn impossible_sources_are_dropped() {
    let mut h = ip_host();
    for bad in [
        [0, 0, 0, 1],
        [127, 0, 0, 1],
        [224, 0, 0, 5],
        [255; 4],
        [240, 0, 0, 1],
        [192, 0, 2, 255],
        US,
    ] {
        assert!(h.receive(udp_v4(bad, US, b"")).is_none());
    }
    assert_eq!(h.drops(DropReason::BadSource), 7);
    let mapped = "::ffff:1.2.3.4".parse::<core::net::Ipv6Addr>().unwrap().octets();
    for bad in [[0; 16], v6(1), [0xff; 16], mapped] {
        assert!(h.receive(udp_v6(bad, v6(1), b"")).is_none());
    }
    assert_eq!(h.drops(DropReason::BadSource), 11);
    assert!(h.receive(udp_v4(PEER, [192, 0, 2, 7], b"")).is_none());
    assert!(h.receive(udp_v4(PEER, [127, 0, 0, 1], b"")).is_none());
    assert_eq!(h.drops(DropReason::NotForUs), 2);
    h.quiet();
}

/// Proves: 1122-3.3.6.
#[test]
fn broadcasts_are_for_many() {
    let mut h = ip_host();
    for to in [[255; 4], [192, 0, 2, 255], [224, 0, 0, 1]] {
        assert!(udp(h.receive(udp_v4(PEER, to, b""))).to_many);
    }
    let route = h.route("192.0.2.255").unwrap();
    assert_eq!(
        (route.cast, route.interface),
        (crate::iface::Cast::Broadcast, ETH)
    );
    let route = h.route("255.255.255.255").unwrap();
    assert_eq!(
        (route.cast, route.source),
        (crate::iface::Cast::Broadcast, US.into())
    );
}

/// Options that are not understood are ignored; source routes are refused.
///
/// Proves: 1122-3.2.1.8, MUST-50, MUST-51.
#[test]
fn options_are_ignored_but_source_routes_refused() {
    let mut h = ip_host();
    let plain = udp_v4(PEER, US, b"x");
    for (option, passes) in [
        ([7, 3, 4, 0], true),
        ([131, 3, 4, 0], false),
        ([137, 3, 4, 0], false),
    ] {
        let mut p = plain.clone();
        p.splice(20..20, option);
        p[0] = 0x46;
        p[3] += 4;
        assert_eq!(h.receive(fix(p)).is_some(), passes);
    }
    assert_eq!(h.drops(DropReason::SourceRoute), 2);
}

/// Proves: 1122-3.2.2a, 1122-3.2.2.1a.
#[test]
fn unknown_protocols_are_told_but_not_to_many_nor_about_errors() {
    let mut h = ip_host();
    let unknown = |to: [u8; 4]| {
        let mut p = udp_v4(PEER, to, b"12345678");
        p[9] = 200;
        fix(p)
    };
    h.receive(unknown(US));
    let error = h.expect(Cause::IcmpError);
    assert!(matches!(
        icmpv4::parse(&error[20..]).unwrap(),
        icmpv4::Message::Unreachable { code: 2, .. }
    ));
    assert_eq!(error[28..], unknown(US)[..]);
    h.receive(unknown([255; 4]));
    h.quiet();
    let mut p = udp_v6(v6(9), v6(1), b"12345678");
    p[6] = 200;
    h.receive(p);
    let error = h.expect(Cause::IcmpError);
    assert!(matches!(
        icmpv6::parse(&error[40..]).unwrap(),
        icmpv6::Message::ParameterProblem { code: 1, pointer: 6 }
    ));
    // The error itself, sent back, is not answered.
    let mut back = error.clone();
    back[8..24].copy_from_slice(&v6(9));
    back[24..40].copy_from_slice(&v6(1));
    h.receive(back);
    h.quiet();
}

#[test]
fn errors_are_limited() {
    let mut h = ip_host();
    h.config.unsolicited_replies_per_second = 10;
    for _ in 0..50 {
        let p = udp(h.receive(udp_v4(PEER, US, b"x")));
        h.with(|l, env| l.icmp_error(env, &p, IcmpError::PortUnreachable));
    }
    assert_eq!(h.all_sent().len(), 10);
    assert_eq!(h.drops(DropReason::RateLimited), 40);
}

fn quoted_v4(kind: u8, code: u8, rest: [u8; 4], inner: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest);
    message.extend(inner);
    let sum = checksum::sum(&message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut p = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0];
    p.extend([10, 9, 9, 9]);
    p.extend(US);
    p.extend(message);
    let len = p.len() as u16;
    p[2..4].copy_from_slice(&len.to_be_bytes());
    fix(p)
}

/// Errors reach the transport with what tells its connection; source quench does not.
///
/// Proves: 1122-3.2.2.1b, 1122-3.2.2.4, 1191-4, MUST-54, MUST-55.
#[test]
fn errors_about_our_packets_reach_the_transport() {
    let mut h = ip_host();
    let mut inner = Vec::new();
    let b = PacketBuilder::ipv4(US, PEER, 60).tcp(1234, 80, 0xdead_beef, 1000);
    b.write(&mut inner, b"").unwrap();
    inner.truncate(28);
    let mut ask = |kind, code, rest| match h.receive(quoted_v4(kind, code, rest, &inner)) {
        Some(Inbound::Error(n)) => Some(n),
        None => None,
        other => panic!("{other:?}"),
    };
    let n = ask(3, 1, [0; 4]).unwrap();
    assert_eq!(n.error, IcmpError::HostUnreachable);
    assert_eq!(
        (n.local, n.remote),
        ("192.0.2.1:1234".parse().unwrap(), "192.0.2.9:80".parse().unwrap())
    );
    assert_eq!((n.sequence, n.protocol), (Some(0xdead_beef), 6));
    let too_big = |mtu| Some(IcmpError::PacketTooBig { mtu });
    assert_eq!(ask(3, 4, [0, 0, 5, 0]).map(|n| n.error), too_big(1280));
    // RFC 1191 section 5: an old router; the quoted packet had 40 octets, so the least plateau is left.
    assert_eq!(ask(3, 4, [0; 4]).map(|n| n.error), too_big(68));
    assert_eq!(ask(11, 0, [0; 4]).map(|n| n.error), Some(IcmpError::TimeExceeded));
    assert_eq!(ask(4, 0, [0; 4]), None); // MUST-55
    assert_eq!(ask(5, 1, [1, 2, 3, 4]), None);
    assert_eq!(h.drops(DropReason::SourceQuench), 1);
    inner[12] = 9; // Not ours.
    assert!(h.receive(quoted_v4(3, 1, [0; 4], &inner)).is_none());
    assert_eq!(h.drops(DropReason::IcmpMismatch), 1);
}

/// Proves: 1191-1, 1191-5.
#[test]
fn path_mtus_change_routes_and_age() {
    let mut h = ip_host();
    let before = h.layer.generation();
    h.with(|l, env| l.packet_too_big(env, ip("8.8.8.8"), 1300));
    assert_ne!(h.layer.generation(), before);
    assert_eq!(
        (h.route("8.8.8.8").unwrap().mtu, h.route("8.8.4.4").unwrap().mtu),
        (1300, 1500)
    );
    h.pass(Duration::from_secs(601));
    assert_eq!(h.route("8.8.8.8").unwrap().mtu, 1500);
}

/// Proves: 1122-3.3.2b, 8200-5.
#[test]
fn missing_fragments_are_told_if_the_first_came() {
    for to in ["192.0.2.1", "2001:db8::1"] {
        for (first, told) in [(true, true), (false, false)] {
            let mut h = ip_host();
            let mut peer = Host::new(
                InterfaceConfig::ip("tun0", 1280)
                    .address(PEER, 24)
                    .address(IpAddr::from(v6(9)), 64),
            );
            peer.send_udp(to, 3000);
            let parts = peer.all_sent();
            let part = if first { &parts[0] } else { &parts[1] };
            h.receive(part.0.clone());
            h.pass(Duration::from_secs(59));
            h.quiet();
            h.pass(Duration::from_secs(2));
            assert_eq!(h.drops(DropReason::FragmentTimeout), 1);
            assert_eq!(h.sent().is_some(), told);
        }
    }
}

/// RFC 6946: a fragment header around a whole datagram does not touch the store.
#[test]
fn atomic_fragments_pass_by_the_store() {
    let mut h = ip_host();
    let mut p = udp_v6(v6(9), v6(1), b"hello");
    p.splice(40..40, [17, 0, 0, 0, 1, 2, 3, 4]);
    p[6] = 44;
    p[5] += 8;
    let p = udp(h.receive(p));
    assert_eq!((p.at, p.frame.len()), (48, 61));
    assert!(h.layer.next_timeout().is_none());
}

/// Proves: 8200-1.
#[test]
fn unknown_options_follow_their_action_bits() {
    for (kind, passes, tells) in [
        (0x1e, true, false),
        (0x5e, false, false),
        (0x9e, false, true),
        (0xde, false, true),
    ] {
        let mut h = ip_host();
        let mut p = udp_v6(v6(9), v6(1), b"hello");
        p.splice(40..40, [17, 0, kind, 0, 1, 2, 0, 0]);
        p[6] = 60;
        p[5] += 8;
        assert_eq!(h.receive(p).is_some(), passes, "{kind:#x}");
        assert_eq!(h.sent().is_some(), tells, "{kind:#x}");
    }
}

/// A device vouches for frames, so for fragments; nobody has seen the datagram's own checksum.
#[test]
fn a_reassembled_datagram_is_verified_though_its_frames_were() {
    for to in ["192.0.2.1", "2001:db8::1"] {
        let mut h = ip_host();
        let mut peer = Host::new(
            InterfaceConfig::ip("tun0", 1280)
                .address(PEER, 24)
                .address(IpAddr::from(v6(9)), 64),
        );
        peer.send_udp(to, 3000);
        peer.send_udp(to, 30);
        let seen = RxMeta {
            checksum_verified: true,
            gro_size: 0,
        };
        let mut got = Vec::new();
        for (part, _) in peer.all_sent() {
            let kept = std::boxed::Box::leak(std::boxed::Box::new(Frame::from(part)));
            got.extend(h.with(|l, env| l.receive(env, ETH, kept, seen)));
        }
        let verified: Vec<bool> = got.into_iter().map(|i| udp(Some(i)).checksum_verified).collect();
        assert_eq!(verified, [false, true]);
    }
}

/// RFC 4443 section 2.4 (e.1): not even where the options are wrong, or the rest does not come.
///
/// Proves: 1122-3.2.2a.
#[test]
fn errors_are_never_answered() {
    for (kind, answered) in [(1, false), (128, true)] {
        let mut h = ip_host();
        let mut p = udp_v6(v6(9), v6(1), b"hello, hello");
        // An unknown option that asks for an answer, in front of an ICMPv6 message.
        p.splice(40..40, [58, 0, 0x9e, 0, 1, 2, 0, 0]);
        p[6] = 60;
        p[5] += 8;
        p[48] = kind;
        h.receive(p);
        assert_eq!(h.sent().is_some(), answered);

        let mut p = udp_v6(v6(9), v6(1), b"hello, hello....");
        p.splice(40..40, [58, 0, 0, 1, 1, 2, 3, 4]);
        p[6] = 44;
        p[5] += 8;
        p[48] = kind;
        h.receive(p);
        h.pass(Duration::from_secs(61));
        assert_eq!(h.drops(DropReason::FragmentTimeout), 1);
        assert_eq!(h.sent().is_some(), answered);
    }
}
