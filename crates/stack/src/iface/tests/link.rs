//! Ethernet: ARP, neighbour discovery, duplicate addresses, autoconfiguration.

use std::vec;

use super::*;
use crate::iface::IcmpError;
use crate::wire::{arp, ethernet, icmpv6, ipv6, ndp};

fn arp_of(frame: &[u8]) -> (ethernet::Header, arp::Packet) {
    (ethernet::parse(frame).unwrap(), arp::parse(&frame[14..]).unwrap())
}

/// Wraps a message of NDP in IPv6 and Ethernet.
fn ndp_frame(source: &str, destination: &str, message: &ndp::Message<'_>, hop_limit: u8) -> Vec<u8> {
    let (IpAddr::V6(s), IpAddr::V6(d)) = (ip(source), ip(destination)) else {
        panic!()
    };
    let mut body = vec![0; ndp::emit_len(message)];
    ndp::emit(message, &mut body);
    wrap_icmpv6(s, d, body, hop_limit)
}
fn wrap_icmpv6(s: core::net::Ipv6Addr, d: core::net::Ipv6Addr, mut body: Vec<u8>, hop_limit: u8) -> Vec<u8> {
    icmpv6::fill_checksum(s, d, &mut body);
    let mut out = vec![0; 54];
    let to = if d.is_multicast() {
        ethernet::multicast_v6(d)
    } else {
        MAC
    };
    let link = ethernet::Header {
        destination: to,
        source: PEER_MAC,
        ethertype: ethernet::IPV6,
        vlan: None,
    };
    ethernet::emit(&link, &mut out);
    let header = ipv6::Header {
        hop_limit,
        ..ipv6::Header::new(s, d, 58, body.len())
    };
    ipv6::emit(&header, &mut out[14..]);
    out.extend(body);
    out
}
/// The NDP message in a frame, with source and destination.
fn ndp_of(frame: &[u8]) -> (ipv6::Header, ndp::Message<'_>) {
    let h = ipv6::parse(&frame[14..], frame.len() - 14).unwrap();
    assert!(icmpv6::verify(h.source, h.destination, &frame[54..]));
    (
        h,
        ndp::parse(&frame[54..], h.source, h.destination, h.hop_limit).unwrap(),
    )
}

/// Proves: 4861-3.
#[test]
fn a_frame_waits_for_its_neighbour_and_then_leaves() {
    for to in ["192.0.2.9", "2001:db8::9"] {
        let (mut a, mut b) = (ethernet_host(), neighbor_host());
        a.send_udp(to, 3000);
        let question = a.expect(Cause::NeighborRequest);
        a.quiet();
        assert_eq!(b.receive(question).map(|_| ()), None);
        let [_, got] = exchange(&mut a, &mut b);
        assert!(
            matches!(&got[..], [Inbound::Udp(p)] if p.frame.len() == p.at + 3008),
            "{got:?}"
        );
        // Both know each other now: nothing is asked.
        a.send_udp(to, 10);
        assert_eq!(
            a.expect(Cause::Datagram)[..12],
            [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1]
        );
        b.send_udp(
            if to.contains(':') {
                "2001:db8::1"
            } else {
                "192.0.2.1"
            },
            10,
        );
        b.expect(Cause::Datagram);
        assert_eq!(a.total_drops() + b.total_drops(), 0);
    }
}

/// Proves: 4861-2.
#[test]
fn requests_are_asked_three_times_then_given_up() {
    for to in ["192.0.2.7", "2001:db8::7"] {
        let mut h = ethernet_host();
        h.send_udp(to, 10);
        h.pass(Duration::from_millis(2500));
        let asked = h.all_sent();
        assert_eq!(asked.len(), 3);
        assert!(
            asked
                .iter()
                .all(|a| a.1 == Cause::NeighborRequest && a.0 == asked[0].0)
        );
        h.pass(Duration::from_secs(1));
        h.quiet();
        assert_eq!(h.drops(DropReason::NeighborUnreachable), 1);
        let notice = h.layer.poll_notice().unwrap();
        assert_eq!(notice.error, IcmpError::HostUnreachable);
        assert_eq!(
            (notice.local.port(), notice.remote),
            (1000, (ip(to), 2000).into())
        );
        h.pass(Duration::from_secs(240));
        assert!(h.layer.next_timeout().is_none());
    }
}

/// Proves: 826-1, 826-3.
#[test]
fn arp_answers_for_us_only_and_learns_from_those_who_ask() {
    let mut h = ethernet_host();
    let ask = |sender: [u8; 4], target: [u8; 4], to| {
        let mut frame = vec![0; 42];
        let link = ethernet::Header {
            destination: to,
            source: PEER_MAC,
            ethertype: ethernet::ARP,
            vlan: None,
        };
        ethernet::emit(&link, &mut frame);
        let packet = arp::Packet {
            operation: arp::Operation::Request,
            sender_link: PEER_MAC,
            sender: sender.into(),
            target_link: [0; 6],
            target: target.into(),
        };
        arp::emit(&packet, &mut frame[14..]);
        frame
    };
    let all = ethernet::BROADCAST;
    h.receive(ask([192, 0, 2, 9], [192, 0, 2, 8], all));
    h.quiet();
    // Not asked for us: no entry either (gratuitous ARP only updates).
    h.receive(ask([192, 0, 2, 9], [192, 0, 2, 9], all));
    h.send_udp("192.0.2.9", 1);
    h.expect(Cause::NeighborRequest);
    h.receive(ask([192, 0, 2, 9], [192, 0, 2, 1], all));
    let (first, cause) = h.all_sent().swap_remove(0);
    assert_eq!(cause, Cause::Datagram, "what waited leaves first");
    assert_eq!(first[..6], PEER_MAC);
    // A probe (RFC 5227) is answered, and teaches nothing.
    h.receive(ask([0; 4], [192, 0, 2, 1], all));
    let reply = h.expect(Cause::NeighborReply);
    let (link, packet) = arp_of(&reply);
    assert_eq!((link.destination, packet.sender_link), (PEER_MAC, MAC));
    // Somebody claims our address: counted, never believed, and contradicted once in ten seconds (RFC 5227 section 2.4).
    for n in 1..=3 {
        h.receive(ask([192, 0, 2, 1], [192, 0, 2, 9], all));
        assert_eq!(h.drops(DropReason::AddressConflict), n);
    }
    let (link, packet) = arp_of(&h.expect(Cause::NeighborReply));
    assert_eq!((link.destination, packet.sender_link), (all, MAC));
    assert_eq!(
        (packet.sender, packet.target),
        ([192, 0, 2, 1].into(), [192, 0, 2, 1].into())
    );
    h.quiet();
    h.pass(Duration::from_secs(11));
    h.all_sent();
    h.receive(ask([192, 0, 2, 1], [192, 0, 2, 9], all));
    h.expect(Cause::NeighborReply);
    assert!(h.route("192.0.2.1").unwrap().loopback, "it is still ours");
}

/// RFC 4862 section 5.4: an advertisement of our own address by another is counted, and changes nothing.
#[test]
fn an_advertised_address_of_ours_stays_ours() {
    let mut a = ethernet_host();
    let told = ndp::Message::NeighborAdvertisement {
        target: "2001:db8::1".parse().unwrap(),
        router: false,
        solicited: false,
        override_known: true,
        target_link: Some(PEER_MAC),
    };
    a.receive(ndp_frame("fe80::9", "2001:db8::1", &told, 255));
    assert_eq!(a.drops(DropReason::AddressConflict), 1);
    assert!(a.route("2001:db8::1").unwrap().loopback);
    a.quiet();
}

/// RFC 1122 section 3.3.1.4, MUST-20: on a transport's word the next hop is asked at once, and left if it is silent.
#[test]
fn a_doubted_router_is_asked_at_once() {
    let config = ethernet_config(MAC, [192, 0, 2, 1], "2001:db8::1")
        .gateway([192, 0, 2, 9])
        .gateway([192, 0, 2, 8]);
    let (mut a, mut b) = (Host::new(config), neighbor_host());
    a.all_sent();
    a.send_udp("8.8.8.8", 1);
    exchange(&mut a, &mut b);
    let route = a.route("8.8.8.8").unwrap();
    assert_eq!(route.next_hop, ip("192.0.2.9"));
    a.quiet();
    let now = a.now;
    a.layer.doubt(now, route.into());
    a.pass(Duration::ZERO);
    let question = a.expect(Cause::NeighborRequest);
    assert_eq!(question[..6], PEER_MAC, "the router itself is asked");
    a.pass(Duration::from_secs(4));
    assert_eq!(a.route("8.8.8.8").unwrap().next_hop, ip("192.0.2.8"));
}

/// Proves: 4861-4.
#[test]
fn stale_neighbours_are_asked_themselves_unless_the_layer_above_confirms() {
    for to in ["192.0.2.9", "2001:db8::9"] {
        let (mut a, mut b) = (ethernet_host(), neighbor_host());
        a.send_udp(to, 1);
        exchange(&mut a, &mut b);
        a.pass(Duration::from_secs(60));
        a.send_udp(to, 1);
        a.expect(Cause::Datagram);
        let route = a.route(to).unwrap();
        let now = a.now;
        a.layer.confirm_reachable(now, route);
        a.pass(Duration::from_secs(60));
        a.quiet();
        a.send_udp(to, 1);
        a.expect(Cause::Datagram);
        a.pass(Duration::from_millis(5100));
        let question = a.expect(Cause::NeighborRequest);
        assert_eq!(question[..6], PEER_MAC, "to the neighbour itself");
        b.receive(question);
        exchange(&mut a, &mut b);
        a.pass(Duration::from_secs(20));
        a.quiet();
        assert_eq!(a.total_drops(), 0);
    }
}

/// Proves: 1122-3.3.1.2.
#[test]
fn a_second_router_serves_while_the_first_is_silent() {
    let config = ethernet_config(MAC, [192, 0, 2, 1], "2001:db8::1")
        .gateway([192, 0, 2, 8])
        .gateway([192, 0, 2, 9]);
    let mut h = Host::new(config);
    h.all_sent();
    let before = h.route("8.8.8.8").unwrap();
    assert_eq!(before.next_hop, ip("192.0.2.8"));
    let generation = h.layer.generation();
    h.send_udp("8.8.8.8", 1);
    h.pass(Duration::from_secs(4));
    assert_ne!(h.layer.generation(), generation);
    assert_eq!(h.route("8.8.8.8").unwrap().next_hop, ip("192.0.2.9"));
}

#[test]
fn frames_for_others_are_not_ours() {
    let mut h = ethernet_host();
    let mut b = neighbor_host();
    let route = b.route("192.0.2.1").unwrap();
    b.with(|l, env| {
        l.learn(
            env,
            ETH,
            route.next_hop,
            crate::iface::neighbor::Told {
                link: Some(MAC),
                solicited: true,
                replaces: true,
                creates: true,
                router: None,
            },
        );
    });
    b.send_udp("192.0.2.1", 5);
    let frame = b.expect(Cause::Datagram);
    assert!(h.receive(frame.clone()).is_some());
    let mut other = frame.clone();
    other[5] = 77;
    assert!(h.receive(other).is_none());
    assert_eq!(h.drops(DropReason::NotForUs), 1);
    // A unicast packet in a broadcast frame is for many: no transport answers it.
    let mut many = frame.clone();
    many[..6].fill(0xff);
    assert!(matches!(h.receive(many), Some(Inbound::Udp(p)) if p.to_many));
    // A priority tag is fine, a VLAN is not.
    let mut tagged = frame.clone();
    tagged.splice(12..12, [0x81, 0, 0xa0, 0]);
    assert!(h.receive(tagged.clone()).is_some());
    tagged[15] = 5;
    assert!(h.receive(tagged).is_none());
}

/// Proves: 4861-1.
#[test]
fn ndp_wants_hop_limit_255() {
    let mut h = ethernet_host();
    let question = ndp::Message::NeighborSolicitation {
        target: "2001:db8::1".parse().unwrap(),
        source_link: Some(PEER_MAC),
    };
    h.receive(ndp_frame("2001:db8::9", "ff02::1:ff00:1", &question, 254));
    assert_eq!(h.drops(DropReason::HopLimit), 1);
    h.receive(ndp_frame("2001:db8::9", "ff02::1:ff00:1", &question, 255));
    let reply = h.expect(Cause::NeighborReply);
    let (header, message) = ndp_of(&reply);
    assert_eq!(IpAddr::from(header.destination), ip("2001:db8::9"));
    assert!(matches!(
        message,
        ndp::Message::NeighborAdvertisement {
            solicited: true,
            override_known: true,
            router: false,
            target_link: Some(MAC),
            ..
        }
    ));
    // Defence of our address: somebody checks whether it is free.
    let probe = ndp::Message::NeighborSolicitation {
        target: "2001:db8::1".parse().unwrap(),
        source_link: None,
    };
    h.receive(ndp_frame("::", "ff02::1:ff00:1", &probe, 255));
    let reply = h.expect(Cause::NeighborReply);
    let (header, message) = ndp_of(&reply);
    assert_eq!(IpAddr::from(header.destination), ip("ff02::1"));
    assert!(matches!(
        message,
        ndp::Message::NeighborAdvertisement { solicited: false, .. }
    ));
}

fn checking() -> InterfaceConfig {
    let mut config = InterfaceConfig::ethernet("eth0", MAC, 1500).address(ip("2001:db8::1"), 64);
    config.duplicate_address_detection = true;
    config
}

/// RFC 4862 section 5.4.
///
/// Proves: 4862-1.
#[test]
fn an_address_is_used_after_the_check_for_duplicates() {
    let mut h = Host::new(checking());
    let sent = h.all_sent();
    assert_eq!(
        sent.iter().map(|s| s.1).collect::<Vec<_>>(),
        [Cause::Membership, Cause::DuplicateAddressDetection]
    );
    let (header, _) = ndp_of(&sent[1].0);
    assert!(header.source.is_unspecified());
    assert!(h.route("2001:db8::9").is_none());
    h.pass(Duration::from_secs(1));
    assert_eq!(h.route("2001:db8::9").unwrap().source, ip("2001:db8::1"));

    let mut h = Host::new(checking());
    let taken = ndp::Message::NeighborAdvertisement {
        target: "2001:db8::1".parse().unwrap(),
        router: false,
        solicited: false,
        override_known: true,
        target_link: Some(PEER_MAC),
    };
    h.receive(ndp_frame("2001:db8::1", "ff02::1", &taken, 255));
    h.pass(Duration::from_secs(10));
    assert!(!h.layer.is_local(ip("2001:db8::1")));
}

fn advertisement(lifetime: u16, valid: u32, preferred: u32) -> Vec<u8> {
    let a = ndp::RouterAdvertisement {
        hop_limit: 17,
        router_lifetime: lifetime,
        source_link: Some(PEER_MAC),
        mtu: Some(1400),
        ..ndp::RouterAdvertisement::default()
    };
    let p = ndp::PrefixInformation {
        prefix: "2001:db8:5::".parse().unwrap(),
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_lifetime: valid,
        preferred_lifetime: preferred,
    };
    let mut body = vec![0; ndp::router_advertisement_len(&a, 1)];
    ndp::emit_router_advertisement(&a, &[p], &mut body);
    wrap_icmpv6("fe80::9".parse().unwrap(), "ff02::1".parse().unwrap(), body, 255)
}

/// Proves: 4861-5, 4862-2.
#[test]
fn an_interface_configures_itself() {
    let mut config = InterfaceConfig::ethernet("eth0", MAC, 1500);
    config.autoconfigure = true;
    config.duplicate_address_detection = true;
    let mut h = Host::new(config);
    h.pass(Duration::from_secs(30));
    let sent = h.all_sent();
    let solicitations = sent.iter().filter(|s| s.1 == Cause::RouterSolicitation);
    let sources: Vec<_> = solicitations.map(|s| ndp_of(&s.0).0.source).collect();
    assert_eq!(sources.len(), 3);
    assert!(
        crate::iface::address::is_link_local(sources[0]),
        "checked before it asks"
    );

    h.receive(advertisement(1800, 7200, 3600));
    h.pass(Duration::from_secs(2));
    let route = h.route("2600::1").unwrap();
    assert_eq!(
        (route.next_hop, route.mtu, route.hop_limit),
        (ip("fe80::9"), 1400, 17)
    );
    let ours = route.source;
    let IpAddr::V6(a) = ours else { panic!() };
    assert_eq!(a.segments()[..4], [0x2001, 0xdb8, 5, 0]);
    assert_eq!(
        h.route("2001:db8:5::77").unwrap().next_hop,
        ip("2001:db8:5::77"),
        "on the link"
    );
    h.all_sent();
    h.send_udp("2600::1", 5);
    h.expect(Cause::Datagram); // The router told its link address.

    h.pass(Duration::from_secs(600));
    // A short lifetime cannot take the address away (RFC 4862 section 5.5.3 (e)).
    h.receive(advertisement(1800, 10, 10));
    h.pass(Duration::from_secs(1000));
    assert!(h.layer.is_local(ours));
    // The router's own time, and then the prefix's, runs out.
    h.pass(Duration::from_secs(1000));
    assert!(h.route("2600::1").is_none());
    h.pass(Duration::from_secs(4700));
    assert!(!h.layer.is_local(ours));
    assert!(h.route("2001:db8:5::77").is_none());

    // Lifetime 0: no router any more.
    h.receive(advertisement(1800, 7200, 7200));
    h.pass(Duration::from_secs(2));
    assert!(h.route("2600::1").is_some());
    h.receive(advertisement(0, 7200, 7200));
    assert!(h.route("2600::1").is_none());
}

#[test]
fn who_does_not_configure_itself_ignores_routers() {
    let mut h = ethernet_host();
    h.receive(advertisement(1800, 7200, 3600));
    assert_eq!(h.route("2600::1").unwrap().next_hop, ip("2001:db8::ff"));
    assert_eq!(h.layer.addresses_of(ETH).count(), 2);
}

#[test]
fn floods_of_routers_and_prefixes_are_bounded() {
    let mut config = InterfaceConfig::ethernet("eth0", MAC, 1500);
    config.autoconfigure = true;
    let mut h = Host::new(config);
    for n in 0..200u8 {
        let mut frame = advertisement(1800, 7200, 3600);
        frame.truncate(54 + 16); // without options
        frame[54 + 2] = 0;
        frame[18..20].copy_from_slice(&[0, 16 + 32]);
        frame[14 + 8 + 15] = n;
        let mut body = frame.split_off(54);
        body[2..4].fill(0);
        let mut prefix = [0; 32];
        prefix[..4].copy_from_slice(&[3, 4, 64, 0xc0]);
        prefix[4..12].copy_from_slice(&[0, 0, 9, 9, 0, 0, 9, 9]);
        prefix[16..20].copy_from_slice(&[0x20, 1, 0xd, n]);
        body.extend(prefix);
        let source = core::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(n));
        h.receive(wrap_icmpv6(source, "ff02::1".parse().unwrap(), body, 255));
    }
    assert_eq!(h.layer.addresses_of(ETH).count(), 16);
}

/// Proves: 1122-3.2.2b.
#[test]
fn errors_quote_the_packet_from_its_ip_header_on() {
    for (to, v4) in [("192.0.2.1", true), ("2001:db8::1", false)] {
        for len in [20, 3000] {
            let (mut a, mut b) = (ethernet_host(), neighbor_host());
            b.send_udp(to, len);
            let [got, _] = exchange(&mut a, &mut b);
            let Some(Inbound::Udp(p)) = got.into_iter().next() else {
                panic!()
            };
            a.with(|l, env| l.icmp_error(env, &p, IcmpError::PortUnreachable));
            let frame = a.expect(Cause::IcmpError);
            assert_eq!(frame[..6], PEER_MAC);
            let (at, max) = if v4 {
                (14 + 20 + 8, 14 + 576)
            } else {
                (14 + 40 + 8, 14 + 1280)
            };
            assert_eq!(frame.len(), max.min(at + p.at - p.network + 8 + len));
            // Lengths are those of the whole datagram, put together from fragments or not.
            let quoted = if v4 {
                crate::wire::ipv4::parse_embedded(&frame[at..]).unwrap().total_len
            } else {
                crate::wire::ipv6::parse_embedded(&frame[at..])
                    .unwrap()
                    .total_len()
            };
            assert_eq!(quoted, p.at - p.network + 8 + len);
            let parsed = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
            match parsed.transport.unwrap() {
                etherparse::TransportSlice::Icmpv4(m) => {
                    assert!(crate::wire::checksum::sum(m.slice()).verify());
                }
                etherparse::TransportSlice::Icmpv6(m) => {
                    let Some(etherparse::NetSlice::Ipv6(ip)) = parsed.net else {
                        panic!()
                    };
                    assert!(m.is_checksum_valid(ip.header().source(), ip.header().destination()));
                }
                other => panic!("{other:?}"),
            }
            // And its sender takes it for what it is.
            let Some(Inbound::Error(n)) = b.receive(frame.clone()) else {
                panic!()
            };
            assert_eq!(
                (n.error, n.remote),
                (IcmpError::PortUnreachable, (ip(to), 2000).into())
            );
        }
    }
}
