//! Routers, NATs and switches, tried with packets made by hand.

use std::net::{IpAddr, Ipv4Addr};

use sockeye_lab::packet::{checksums_stand, echo_request, ip_packet, protocol, tcp_packet, udp_packet};
use sockeye_lab::{Direction, Filter, NatConfig, NodeId, Packet, World, mbit, ms, secs};
use sockeye_stack::Instant;
use sockeye_stack::tcp::Flags;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
/// What came to a port, as bytes; every packet must have sound checksums.
fn got(world: &mut World, node: NodeId) -> Vec<Vec<u8>> {
    let frames: Vec<Vec<u8>> = world
        .received(node)
        .into_iter()
        .map(|(.., frame)| frame.to_vec())
        .collect();
    assert!(frames.iter().all(|bytes| checksums_stand(bytes)), "{frames:?}");
    frames
}
fn look(bytes: &[u8]) -> Packet {
    Packet::of_ip(bytes, bytes.len()).unwrap()
}

/// a (10.0.1.1) - router - b (10.0.2.1), both without stacks.
fn routed() -> (World, NodeId, NodeId, sockeye_lab::LinkId) {
    let mut world = World::new(1);
    let (a, b) = (world.raw("a"), world.raw("b"));
    let router = world.router("r").port("10.0.1.254/24").ip("fd00:1::ff/64");
    let router = router.port("10.0.2.254/24").ip("fd00:2::ff/64").id();
    world.link(a, router).delay(ms(1));
    let link = world.link(router, b).delay(ms(2)).id();
    (world, a, b, link)
}

#[test]
fn a_router_forwards_and_counts_down() {
    let (mut world, a, b, _) = routed();
    world.inject(
        a,
        0,
        udp_packet((ip("10.0.1.1"), 5), (ip("10.0.2.1"), 7), b"hello"),
    );
    world.inject(
        a,
        0,
        udp_packet((ip("fd00:1::1"), 5), (ip("fd00:2::1"), 7), b"hello"),
    );
    world.run_for(secs(1));
    let frames = world.received(b);
    assert_eq!(frames.len(), 2);
    assert!(frames.iter().all(|(at, ..)| *at == Instant::from_millis(3)));
    for (.., frame) in frames {
        let bytes = frame.to_vec();
        assert!(checksums_stand(&bytes));
        let packet = look(&bytes);
        assert_eq!(
            (packet.hop_limit, packet.payload_len, packet.destination_port),
            (63, 5, 7)
        );
    }
}

#[test]
fn a_router_answers_pings_and_tells_of_expired_packets() {
    let (mut world, a, b, _) = routed();
    for (own, far, near) in [
        ("10.0.1.1", "10.0.2.1", "10.0.1.254"),
        ("fd00:1::1", "fd00:2::1", "fd00:1::ff"),
    ] {
        let (reply, exceeded) = if own.contains('.') { (0, 11) } else { (129, 3) };
        world.inject(a, 0, echo_request(ip(own), ip(near), 9, 1, b"ping"));
        world.run_for(secs(1));
        let answer = got(&mut world, a);
        assert_eq!(
            (look(&answer[0]).icmp, look(&answer[0]).source),
            ((reply, 0), ip(near))
        );
        assert!(answer[0].ends_with(b"ping"));

        let dying = ip_packet(ip(own), ip(far), protocol::UDP, 1, &[0, 5, 0, 7, 0, 8, 0, 0]);
        world.inject(a, 0, dying.clone());
        world.run_for(secs(1));
        let error = got(&mut world, a);
        assert_eq!(
            (look(&error[0]).icmp, look(&error[0]).source),
            ((exceeded, 0), ip(near))
        );
        assert!(error[0].ends_with(&dying), "the packet is quoted as it came");
        assert!(got(&mut world, b).is_empty());
    }
}

#[test]
fn a_router_says_what_is_too_big() {
    let (mut world, a, b, link) = routed();
    world.edit(link).mtu(1280);
    for (own, far, kind) in [
        ("10.0.1.1", "10.0.2.1", (3, 4)),
        ("fd00:1::1", "fd00:2::1", (2, 0)),
    ] {
        let mut big = udp_packet((ip(own), 5), (ip(far), 7), &[1; 1400]);
        if own.contains('.') {
            big = dont_fragment(big);
        }
        world.inject(a, 0, big);
        world.run_for(secs(1));
        let error = got(&mut world, a);
        assert_eq!(look(&error[0]).icmp, kind);
        let start = if own.contains('.') { 20 } else { 40 };
        assert_eq!(error[0][start + 4..start + 8], 1280u32.to_be_bytes());
        assert!(got(&mut world, b).is_empty());
    }
}
fn dont_fragment(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[6] |= 0x40;
    bytes[10..12].fill(0);
    let check = sockeye_lab::packet::checksum(&bytes[..20]);
    bytes[10..12].copy_from_slice(&check.to_be_bytes());
    bytes
}

#[test]
fn a_router_fragments_where_it_may() {
    let (mut world, a, b, link) = routed();
    world.edit(link).mtu(576);
    let payload: Vec<u8> = (0..1400).map(|i| i as u8).collect();
    let whole = udp_packet((ip("10.0.1.1"), 5), (ip("10.0.2.1"), 7), &payload);
    world.inject(a, 0, whole.clone());
    world.run_for(secs(1));
    let fragments = got(&mut world, b);
    assert_eq!(fragments.len(), 3);
    let mut data = Vec::new();
    for (n, fragment) in fragments.iter().enumerate() {
        assert!(fragment.len() <= 576);
        let field = u16::from_be_bytes([fragment[6], fragment[7]]);
        assert_eq!(usize::from(field & 0x1fff) * 8, data.len());
        assert_eq!(field & 0x2000 != 0, n < 2);
        data.extend_from_slice(&fragment[20..]);
    }
    assert_eq!(data, whole[20..]);
}

#[test]
fn a_router_drops_what_it_must() {
    let (mut world, a, b, _) = routed();
    let good = udp_packet((ip("10.0.1.1"), 5), (ip("10.0.2.1"), 7), b"hello");
    let mut bad = good.clone();
    bad[11] ^= 1; // the header's checksum
    world.inject(a, 0, bad);
    world.inject(a, 0, good[..27].to_vec()); // shorter than it says
    world.inject(
        a,
        0,
        udp_packet((ip("10.0.1.1"), 5), (ip("10.0.2.255"), 7), b"broadcast"),
    );
    world.inject(
        a,
        0,
        udp_packet((ip("10.0.1.1"), 5), (ip("224.0.0.1"), 7), b"group"),
    );
    world.inject(
        a,
        0,
        udp_packet((ip("127.0.0.1"), 5), (ip("10.0.2.1"), 7), b"loopback"),
    );
    for len in 0..64 {
        world.inject(a, 0, vec![0x45; len]);
        world.inject(a, 0, vec![0x60; len]);
    }
    world.run_for(secs(1));
    assert!(got(&mut world, b).is_empty() && got(&mut world, a).is_empty());
    // No route: the sender is told.
    world.inject(
        a,
        0,
        udp_packet((ip("10.0.1.1"), 5), (ip("192.0.2.1"), 7), b"lost"),
    );
    world.run_for(secs(1));
    assert_eq!(look(&got(&mut world, a)[0]).icmp, (3, 0));
}

/// Addresses of the raw node on an Ethernet link, and the router's answers there.
#[test]
fn a_router_finds_and_is_found_on_ethernet() {
    let mut world = World::new(1);
    let (a, b) = (world.raw("a"), world.raw("b"));
    let router = world
        .router("r")
        .port("10.0.1.254/24")
        .ip("fd00:1::ff/64")
        .ethernet();
    let router = router.port("10.0.2.254/24").ip("fd00:2::ff/64").id();
    world.link(a, router);
    world.link(router, b);
    let mac = [2, 0, 0, 0, 0, 0xaa];
    let ethernet = |to: [u8; 6], kind: u16, body: &[u8]| [&to[..], &mac, &kind.to_be_bytes(), body].concat();
    let arp = |operation: u8, target_mac: &[u8]| {
        [
            &[0, 1, 8, 0, 6, 4, 0, operation][..],
            &mac,
            &[10, 0, 1, 1],
            target_mac,
            &[10, 0, 1, 254],
        ]
        .concat()
    };
    let exchange = |frame: Option<Vec<u8>>, world: &mut World| {
        if let Some(frame) = frame {
            world.inject(a, 0, frame);
        }
        world.run_for(ms(1));
        world
            .received(a)
            .into_iter()
            .map(|(.., f)| f.to_vec())
            .collect::<Vec<_>>()
    };
    // A packet to an unknown neighbour waits while the router asks; b's packet comes first.
    world.inject(
        b,
        0,
        udp_packet((ip("10.0.2.1"), 7), (ip("10.0.1.1"), 5), b"waits"),
    );
    world.inject(
        b,
        0,
        udp_packet((ip("fd00:2::1"), 7), (ip("fd00:1::1"), 5), b"waits"),
    );
    let asked = exchange(None, &mut world);
    assert_eq!(asked.len(), 2);
    assert_eq!((&asked[0][..6], &asked[0][12..14]), (&[0xff; 6][..], &[8, 6][..]));
    assert_eq!(asked[0][38..42], [10, 0, 1, 1]);
    assert_eq!(asked[1][..6], [0x33, 0x33, 0xff, 0, 0, 1]);
    assert!(checksums_stand(&asked[1][14..]) && look(&asked[1][14..]).icmp == (135, 0));
    let router_mac: [u8; 6] = asked[0][6..12].try_into().unwrap();
    let came = exchange(
        Some(ethernet(router_mac, 0x0806, &arp(2, &router_mac))),
        &mut world,
    );
    assert_eq!(came[0][..6], mac);
    assert!(came[0].ends_with(b"waits") && checksums_stand(&came[0][14..]));
    // A neighbour advertisement does the same for IPv6.
    let advertisement = [
        &[136, 0, 0, 0, 0x60, 0, 0, 0][..],
        &v6("fd00:1::1"),
        &[2, 1],
        &mac,
    ]
    .concat();
    let advertisement = ip_packet(
        ip("fd00:1::1"),
        ip("fd00:1::ff"),
        protocol::ICMPV6,
        255,
        &advertisement,
    );
    let came = exchange(Some(ethernet(router_mac, 0x86dd, &advertisement)), &mut world);
    assert!(came[0].ends_with(b"waits"));
    // The router answers who asks for it, by ARP and by NDP, and forwards what is padded.
    let answer = exchange(Some(ethernet([0xff; 6], 0x0806, &arp(1, &[0; 6]))), &mut world);
    assert_eq!(
        (answer[0][6..12].to_vec(), answer[0][21]),
        (router_mac.to_vec(), 2)
    );
    let question = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &v6("fd00:1::ff"), &[1, 1], &mac].concat();
    let question = ip_packet(
        ip("fd00:1::1"),
        ip("ff02::1:ff00:ff"),
        protocol::ICMPV6,
        255,
        &question,
    );
    let answer = exchange(
        Some(ethernet([0x33, 0x33, 0xff, 0, 0, 0xff], 0x86dd, &question)),
        &mut world,
    );
    assert_eq!(look(&answer[0][14..]).icmp, (136, 0));
    assert!(checksums_stand(&answer[0][14..]) && answer[0].ends_with(&router_mac));
    let mut padded = udp_packet((ip("10.0.1.1"), 5), (ip("10.0.2.1"), 7), b"");
    padded.extend([0; 18]);
    exchange(Some(ethernet(router_mac, 0x0800, &padded)), &mut world);
    assert_eq!(got(&mut world, b)[0].len(), 28);
}
fn v6(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}

/// home (192.168.1.2) - NAT (203.0.113.5) - server (203.0.113.9).
fn nat(config: NatConfig) -> (World, NodeId, NodeId) {
    let mut world = World::new(1);
    let (home, server) = (world.raw("home"), world.raw("server"));
    let nat = world
        .router("nat")
        .port("192.168.1.1/24")
        .port("203.0.113.5/24")
        .nat(config)
        .id();
    world.link(home, nat);
    world.link(nat, server);
    (world, home, server)
}
const SERVER: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), 80);
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5));
const HOME: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(192, 168, 1, 2)), 4000);
const OTHER: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::new(192, 168, 1, 3)), 4000);

/// Sends a packet and says what came to the other side.
fn pass(world: &mut World, from: NodeId, to: NodeId, packet: Vec<u8>) -> Option<Packet> {
    world.inject(from, 0, packet);
    world.run_for(ms(1));
    let all = got(world, to);
    assert!(all.len() <= 1);
    all.first().map(|bytes| look(bytes))
}

#[test]
fn a_nat_shares_one_address() {
    let (mut world, home, server) = nat(NatConfig::default());
    let one = pass(&mut world, home, server, udp_packet(HOME, SERVER, b"one")).unwrap();
    assert_eq!(
        (one.source, one.source_port),
        (PUBLIC, 4000),
        "the port stays where it is free"
    );
    let two = pass(&mut world, home, server, udp_packet(OTHER, SERVER, b"two")).unwrap();
    assert_eq!(two.source, PUBLIC);
    assert_ne!(two.source_port, one.source_port);
    // The answers find their ways.
    for (mapped, inside) in [(one, HOME), (two, OTHER)] {
        let answer = udp_packet(SERVER, (PUBLIC, mapped.source_port), b"answer");
        let answer = pass(&mut world, server, home, answer).unwrap();
        assert_eq!((answer.destination, answer.destination_port), inside);
    }
    // TCP has ports of its own.
    let syn = pass(
        &mut world,
        home,
        server,
        tcp_packet(HOME, SERVER, 1, 0, Flags::SYN, b""),
    )
    .unwrap();
    assert_eq!((syn.source, syn.source_port), (PUBLIC, 4000));
    // Pings are told apart by their identifier.
    let ping = pass(
        &mut world,
        home,
        server,
        echo_request(HOME.0, SERVER.0, 77, 1, b"x"),
    )
    .unwrap();
    assert_eq!(ping.source, PUBLIC);
}

#[test]
fn a_nat_lets_in_only_who_was_asked() {
    let stranger = (ip("203.0.113.77"), 80);
    for (filter, passes) in [(Filter::AddressAndPort, false), (Filter::Open, true)] {
        let (mut world, home, server) = nat(NatConfig::default().filter(filter));
        assert!(
            pass(
                &mut world,
                server,
                home,
                udp_packet(SERVER, (PUBLIC, 4000), b"early")
            )
            .is_none()
        );
        pass(&mut world, home, server, udp_packet(HOME, SERVER, b"out")).unwrap();
        let came = pass(
            &mut world,
            server,
            home,
            udp_packet(stranger, (PUBLIC, 4000), b"in"),
        );
        assert_eq!(came.is_some(), passes);
    }
}

#[test]
fn a_mapping_ends_when_it_is_idle() {
    let (mut world, home, server) = nat(NatConfig::default());
    pass(&mut world, home, server, udp_packet(HOME, SERVER, b"out")).unwrap();
    world.run_for(secs(299));
    assert!(
        pass(
            &mut world,
            server,
            home,
            udp_packet(SERVER, (PUBLIC, 4000), b"in")
        )
        .is_some()
    );
    world.run_for(secs(301));
    assert!(
        pass(
            &mut world,
            server,
            home,
            udp_packet(SERVER, (PUBLIC, 4000), b"late")
        )
        .is_none()
    );
    // An open TCP connection may be silent for two hours (RFC 5382 REQ-5), a closed one not.
    let ack = |flags| tcp_packet(HOME, SERVER, 1, 1, flags, b"");
    let back = |flags| tcp_packet(SERVER, (PUBLIC, 4000), 1, 1, flags, b"");
    pass(&mut world, home, server, ack(Flags::SYN)).unwrap();
    pass(&mut world, server, home, back(Flags::SYN | Flags::ACK)).unwrap();
    world.run_for(secs(7200));
    assert!(pass(&mut world, server, home, back(Flags::ACK)).is_some());
    pass(&mut world, home, server, ack(Flags::FIN | Flags::ACK)).unwrap();
    world.run_for(secs(241));
    assert!(pass(&mut world, server, home, back(Flags::ACK)).is_none());
}

#[test]
fn a_port_can_lead_inside() {
    let config = NatConfig::default().forward_tcp(8080, "192.168.1.2:80".parse().unwrap());
    let (mut world, home, server) = nat(config);
    let syn = tcp_packet(SERVER, (PUBLIC, 8080), 1, 0, Flags::SYN, b"");
    let syn = pass(&mut world, server, home, syn).unwrap();
    assert_eq!((syn.destination, syn.destination_port), (HOME.0, 80));
    let answer = tcp_packet((HOME.0, 80), SERVER, 1, 2, Flags::SYN | Flags::ACK, b"");
    let answer = pass(&mut world, home, server, answer).unwrap();
    assert_eq!((answer.source, answer.source_port), (PUBLIC, 8080));
}

#[test]
fn icmp_errors_pass_a_nat_both_ways() {
    let (mut world, home, server) = nat(NatConfig::default());
    world.inject(home, 0, udp_packet(OTHER, SERVER, b"takes the port"));
    world.inject(home, 0, udp_packet(HOME, SERVER, b"question"));
    world.run_for(ms(1));
    let out = got(&mut world, server).pop().unwrap();
    // The server says: port unreachable.
    let error = |from: IpAddr, to: IpAddr, quoted: &[u8]| {
        ip_packet(
            from,
            to,
            protocol::ICMP,
            64,
            &[&[3, 3, 0, 0, 0, 0, 0, 0], quoted].concat(),
        )
    };
    world.inject(server, 0, error(SERVER.0, PUBLIC, &out));
    world.run_for(ms(1));
    let came = got(&mut world, home).pop().unwrap();
    assert_eq!((look(&came).icmp, look(&came).destination), ((3, 3), HOME.0));
    let quoted = &came[28..];
    assert!(checksums_stand(quoted), "what is quoted is turned back whole");
    assert_eq!((look(quoted).source, look(quoted).source_port), HOME);
    // And from inside about an answer.
    let mapped = look(&out).source_port;
    world.inject(server, 0, udp_packet(SERVER, (PUBLIC, mapped), b"answer"));
    world.run_for(ms(1));
    let answer = got(&mut world, home).pop().unwrap();
    world.inject(home, 0, error(HOME.0, SERVER.0, &answer));
    world.run_for(ms(1));
    let came = got(&mut world, server).pop().unwrap();
    assert_eq!(look(&came).source, PUBLIC);
    assert_eq!(
        (look(&came[28..]).destination, look(&came[28..]).destination_port),
        (PUBLIC, mapped)
    );
    assert!(checksums_stand(&came[28..]));
}

#[test]
fn faults_strike_exactly_whom_they_are_meant_for() {
    let mut world = World::new(1);
    let (a, b) = (world.raw("a"), world.raw("b"));
    let link = world.link(a, b).forward().drop_nth(3, Packet::is_data).id();
    let from = (ip("10.0.0.1"), 1);
    let to = (ip("10.0.0.2"), 2);
    let seqs = |world: &mut World| {
        for n in 0..5 {
            world.inject(a, 0, tcp_packet(from, to, n, 0, Flags::ACK, b""));
            world.inject(a, 0, tcp_packet(from, to, 100 + n, 0, Flags::ACK, b"data"));
        }
        world.run_for(ms(1));
        got(world, b)
            .iter()
            .map(|bytes| look(bytes).seq.0)
            .collect::<Vec<u32>>()
    };
    assert_eq!(seqs(&mut world), [0, 100, 1, 101, 2, 3, 103, 4, 104]);
    assert_eq!(seqs(&mut world).len(), 10, "once");
    world.edit(link).drop_when(|packet| packet.seq.0 % 2 == 1);
    assert_eq!(seqs(&mut world), [0, 100, 2, 102, 4, 104]);
    world.edit(link).heal().down();
    assert_eq!(seqs(&mut world), [] as [u32; 0]);
    world.edit(link).up().mtu(40);
    assert_eq!(seqs(&mut world), [0, 1, 2, 3, 4]);
    assert_eq!(world.link_stats(link, Direction::Forward).sent, 50);
}

#[test]
fn what_is_spoilt_is_told_and_repeatable() {
    let run = |seed| {
        let mut world = World::new(seed);
        world.keep_digest();
        let records = world.collect();
        let (a, b) = (world.raw("a"), world.raw("b"));
        let link = world
            .link(a, b)
            .delay(ms(5))
            .rate(mbit(1))
            .loss(0.1)
            .duplicate(0.1)
            .corrupt(0.1);
        link.reorder(0.1, ms(20));
        for n in 0..200u8 {
            world.inject(
                a,
                0,
                udp_packet((ip("10.0.0.1"), 1), (ip("10.0.0.2"), 2), &[n; 100]),
            );
            world.run_for(ms(1));
        }
        world.run_for(secs(5));
        let spoilt = world
            .received(b)
            .iter()
            .filter(|(.., f)| !checksums_stand(&f.to_vec()))
            .count();
        let records = records.lock().unwrap().len();
        (world.digest(), spoilt > 5, records, world.in_flight())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
    let (_, spoilt, records, in_flight) = run(1);
    assert!(spoilt && records > 400 && in_flight == 0);
}
