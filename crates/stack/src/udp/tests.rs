//! Two stacks and the frames between them.

use core::net::{IpAddr, SocketAddr};
use std::vec;
use std::vec::Vec;

use etherparse::{SlicedPacket, TransportSlice};

use crate::trace::DropReason;
use crate::udp::{UdpOptions, UdpSocket};
use crate::*;

const LINK: InterfaceId = InterfaceId(0);

/// A host and its clock.
struct Host {
    stack: Stack,
    now: Instant,
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Host {
    fn new(n: u8, change: impl FnOnce(&mut InterfaceConfig, &mut Config)) -> Self {
        let mut link = InterfaceConfig::ip("tun0", 1500)
            .address([192, 0, 2, n], 24)
            .address(ip(&std::format!("2001:db8::{n}")), 64);
        let mut config = Config::default();
        change(&mut link, &mut config);
        let mut stack = Stack::new(config, [n; 32]);
        let now = Instant::from_secs(100);
        stack.add_interface(now, link);
        Host { stack, now }
    }
    fn bound(&mut self, local: &str) -> SocketId {
        let id = self.stack.udp_socket(UdpOptions::default());
        self.stack.udp_bind(id, at(local)).unwrap();
        id
    }
    fn udp(&mut self, id: SocketId) -> UdpSocket<'_> {
        self.stack.udp(self.now, id).unwrap()
    }
    fn send(&mut self, id: SocketId, data: &[u8], to: &str) -> Result<(), UdpError> {
        self.udp(id).send_to(data, at(to))
    }
    fn read(&mut self, id: SocketId) -> Option<(Vec<u8>, SocketAddr)> {
        match self.udp(id).recv() {
            Ok(d) => Some((d.payload.to_vec(), d.source)),
            Err(UdpError::WouldBlock) => None,
            Err(e) => panic!("{e}"),
        }
    }
    fn take(&mut self) -> Vec<Vec<u8>> {
        let mut out = TxFrame::new();
        let mut all = Vec::new();
        while self.stack.poll_transmit(self.now, &mut out).is_some() {
            all.push(out.to_vec());
        }
        all
    }
    fn give(&mut self, frame: Vec<u8>) {
        self.stack
            .handle_frame(self.now, LINK, frame.into(), RxMeta::default());
    }
    fn events(&mut self) -> Vec<(SocketId, Readiness)> {
        core::iter::from_fn(|| self.stack.poll_event())
            .map(|e| (e.socket, e.ready))
            .collect()
    }
    fn set(&mut self, id: SocketId, change: impl FnOnce(&mut UdpOptions)) {
        let mut options = self.udp(id).options();
        change(&mut options);
        self.udp(id).set_options(options);
    }
}

fn plain(n: u8) -> Host {
    Host::new(n, |_, _| {})
}

fn exchange(a: &mut Host, b: &mut Host) {
    loop {
        let (from_a, from_b) = (a.take(), b.take());
        if from_a.is_empty() && from_b.is_empty() {
            return;
        }
        from_a.into_iter().for_each(|f| b.give(f));
        from_b.into_iter().for_each(|f| a.give(f));
    }
}

/// Proves: 768-5.
#[test]
fn datagrams_keep_their_boundaries_and_may_be_empty() {
    for (to, from) in [("192.0.2.2:9", "192.0.2.1"), ("[2001:db8::2]:9", "2001:db8::1")] {
        let (mut a, mut b) = (plain(1), plain(2));
        let server = b.bound(to);
        let client = a.stack.udp_socket(UdpOptions::default());
        for data in [&b"one"[..], b"", b"three"] {
            a.send(client, data, to).unwrap();
        }
        let local = a.udp(client).local_addr().unwrap();
        assert!(local.ip().is_unspecified() && local.port() >= 49152);
        exchange(&mut a, &mut b);
        assert_eq!(b.events(), [(server, Readiness::READABLE)]);
        let sender = SocketAddr::new(ip(from), local.port());
        for data in [&b"one"[..], b"", b"three"] {
            assert_eq!(b.udp(server).peek().unwrap().payload.to_vec(), data);
            assert_eq!(b.read(server), Some((data.to_vec(), sender)));
        }
        assert_eq!(b.read(server), None);
        b.udp(server).send_to(b"back", sender).unwrap();
        exchange(&mut a, &mut b);
        assert_eq!(a.read(client), Some((b"back".to_vec(), at(to))));
        assert_eq!(a.stack.drops().total() + b.stack.drops().total(), 0);
    }
}

/// Proves: 1122-3.3.3.
#[test]
fn the_largest_datagrams_pass_and_larger_ones_are_refused() {
    for (to, limit) in [("192.0.2.2:9", 65_507), ("[2001:db8::2]:9", 65_527)] {
        let (mut a, mut b) = (plain(1), plain(2));
        let server = b.bound(to);
        let client = a.stack.udp_socket(UdpOptions::default());
        let len = limit + 1;
        assert_eq!(
            a.send(client, &vec![0; len], to),
            Err(UdpError::MessageTooLong { len, limit })
        );
        let data: Vec<u8> = (0..limit).map(|i| (i / 7) as u8).collect();
        a.send(client, &data, to).unwrap();
        exchange(&mut a, &mut b);
        assert!(b.read(server).unwrap().0 == data);
    }
}

/// Proves: 768-1, 1122-4.1.3.4a, 1122-4.1.4.
#[test]
fn etherparse_agrees_with_what_is_sent() {
    for to in ["192.0.2.2:9", "[2001:db8::2]:9"] {
        for len in [0, 1, 8, 333] {
            let mut a = plain(1);
            let client = a.stack.udp_socket(UdpOptions::default());
            a.set(client, |o| (o.hop_limit, o.traffic_class) = (Some(7), 0x2e));
            a.send(client, &vec![3; len], to).unwrap();
            let frame = a.take().pop().unwrap();
            let packet = SlicedPacket::from_ip(&frame).unwrap();
            let Some(TransportSlice::Udp(udp)) = packet.transport else {
                panic!()
            };
            let header = udp.to_header();
            let sum = match packet.net.unwrap() {
                etherparse::NetSlice::Ipv4(p) => {
                    assert_eq!((p.header().ttl(), p.header().dcp().value() << 2), (7, 0x2c));
                    header.calc_checksum_ipv4_raw(
                        p.header().source(),
                        p.header().destination(),
                        udp.payload(),
                    )
                }
                etherparse::NetSlice::Ipv6(p) => {
                    assert_eq!((p.header().hop_limit(), p.header().traffic_class()), (7, 0x2e));
                    header.calc_checksum_ipv6_raw(
                        p.header().source(),
                        p.header().destination(),
                        udp.payload(),
                    )
                }
                etherparse::NetSlice::Arp(_) => panic!(),
            };
            assert_eq!(header.checksum, sum.unwrap());
            assert_eq!(udp.payload(), vec![3; len]);
        }
    }
}

/// Proves: 768-3, 1122-4.1.3.4b, 8200-7.
#[test]
fn damaged_datagrams_are_dropped() {
    let (mut a, mut b) = (plain(1), plain(2));
    let server = b.bound("[::]:9");
    let client = a.stack.udp_socket(UdpOptions::default());
    for (to, header) in [("192.0.2.2:9", 20), ("[2001:db8::2]:9", 40)] {
        let client = if header == 20 {
            client
        } else {
            a.stack.udp_socket(UdpOptions::default())
        };
        a.send(client, b"data", to).unwrap();
        let frame = a.take().pop().unwrap();
        let mut bad = frame.clone();
        *bad.last_mut().unwrap() ^= 0x40;
        b.give(bad);
        assert_eq!(b.read(server), None);
        // No checksum: right on IPv4 (RFC 768), wrong on IPv6 (RFC 8200 section 8.1).
        let mut none = frame.clone();
        none[header + 6..header + 8].fill(0);
        b.give(none);
        assert_eq!(b.read(server).is_some(), header == 20);
    }
    assert_eq!(b.stack.drops().count(DropReason::TransportChecksum), 3);
}

#[test]
fn an_ipv6_wildcard_hears_ipv4_unless_told_not_to() {
    let (mut a, mut b) = (plain(1), plain(2));
    let server = b.bound("[::]:9");
    let client = a.bound("192.0.2.1:7");
    a.send(client, b"x", "192.0.2.2:9").unwrap();
    exchange(&mut a, &mut b);
    let (_, from) = b.read(server).unwrap();
    assert_eq!(from, at("[::ffff:192.0.2.1]:7"));
    b.udp(server).send_to(b"y", from).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(a.read(client), Some((b"y".to_vec(), at("192.0.2.2:9"))));

    let only = b.stack.udp_socket(UdpOptions {
        ipv6_only: true,
        ..UdpOptions::default()
    });
    b.stack.udp_bind(only, at("[::]:10")).unwrap();
    a.send(client, b"x", "192.0.2.2:10").unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(b.read(only), None);
    let family = |to| Err(UdpError::Bind(BindError::Family(at(to))));
    assert_eq!(b.send(only, b"x", "192.0.2.1:7"), family("192.0.2.1:7"));
    assert_eq!(a.send(client, b"x", "[2001:db8::2]:9"), family("[2001:db8::2]:9"));
}

#[test]
fn binding_follows_the_rules() {
    let mut a = plain(1);
    let first = a.bound("0.0.0.0:9");
    let id = a.stack.udp_socket(UdpOptions::default());
    assert_eq!(
        a.stack.udp_bind(id, at("192.0.2.1:9")),
        Err(BindError::InUse(at("192.0.2.1:9")))
    );
    assert_eq!(
        a.stack.udp_bind(id, at("192.0.2.77:8")),
        Err(BindError::NotLocal(ip("192.0.2.77")))
    );
    assert_eq!(a.stack.udp_bind(id, at("192.0.2.1:8")), Ok(()));
    assert_eq!(
        a.stack.udp_bind(id, at("192.0.2.1:7")),
        Err(BindError::AlreadyBound)
    );
    a.udp(first).close();
    assert_eq!(a.stack.udp_bind(first, at("0.0.0.0:9")), Err(BindError::Stale));
    assert!(a.stack.udp(a.now, first).is_err());
    let again = a.bound("0.0.0.0:9");
    assert_ne!(again, first);
    let rows = a.stack.snapshot().sockets;
    assert_eq!(rows.iter().filter(|r| r.local.is_some()).count(), 2);
}

/// Proves: 6056-2.
#[test]
fn ports_are_chosen_from_the_range_until_it_is_full() {
    let mut a = Host::new(1, |_, c| (c.ephemeral_first, c.ephemeral_last) = (65_526, 65_535));
    let ports: std::collections::BTreeSet<u16> = (0..10)
        .map(|_| {
            let id = a.bound("0.0.0.0:0");
            a.udp(id).local_addr().unwrap().port()
        })
        .collect();
    assert_eq!(ports, (65_526..=65_535).collect());
    let id = a.stack.udp_socket(UdpOptions::default());
    assert_eq!(a.stack.udp_bind(id, at("0.0.0.0:0")), Err(BindError::NoFreePort));
}

/// Proves: 1122-3.2.2.1a, 1122-4.1.3.1, 1122-4.1.3.3.
#[test]
fn nobody_there_is_told_to_connected_senders() {
    for to in ["192.0.2.2:9", "[2001:db8::2]:9"] {
        let (mut a, mut b) = (plain(1), plain(2));
        let client = a.stack.udp_socket(UdpOptions::default());
        a.udp(client).connect(at(to)).unwrap();
        assert_eq!(a.udp(client).peer_addr(), Some(at(to)));
        assert!(!a.udp(client).local_addr().unwrap().ip().is_unspecified());
        a.udp(client).send(b"x").unwrap();
        exchange(&mut a, &mut b);
        assert_eq!(b.stack.drops().count(DropReason::NoSocket), 1);
        assert_eq!(a.events(), [(client, Readiness::SOFT_ERROR)]);
        assert_eq!(
            a.udp(client).send(b"x"),
            Err(UdpError::Icmp(ConnectionError::PortUnreachable))
        );
        assert_eq!(a.udp(client).send(b"x"), Ok(()), "told once");
        exchange(&mut a, &mut b);
        assert_eq!(a.udp(client).take_error(), Some(ConnectionError::PortUnreachable));
        // Not connected: not told.
        a.udp(client).disconnect();
        assert_eq!(a.udp(client).send(b"x"), Err(UdpError::NoDestination));
        a.send(client, b"x", to).unwrap();
        exchange(&mut a, &mut b);
        assert_eq!(a.udp(client).take_error(), None);
    }
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    let (mut a, mut b) = (plain(1), plain(2));
    let one = a.bound("192.0.2.1:1");
    let two = a.bound("192.0.2.1:2");
    let server = b.bound("192.0.2.2:9");
    b.udp(server).connect(at("192.0.2.1:1")).unwrap();
    a.send(one, b"one", "192.0.2.2:9").unwrap();
    a.send(two, b"two", "192.0.2.2:9").unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(b.read(server), Some((b"one".to_vec(), at("192.0.2.1:1"))));
    assert_eq!(b.read(server), None);
    b.udp(server).connect(at("192.0.2.1:2")).unwrap();
    a.send(two, b"two", "192.0.2.2:9").unwrap();
    exchange(&mut a, &mut b);
    assert!(b.read(server).is_some());
}

#[test]
fn remotes_that_cannot_be() {
    let mut a = plain(1);
    let id = a.stack.udp_socket(UdpOptions::default());
    for to in ["192.0.2.2:0", "0.0.0.0:9", "[::]:9"] {
        assert_eq!(a.send(id, b"", to), Err(UdpError::InvalidRemote(at(to))));
    }
    assert_eq!(
        a.send(id, b"", "8.8.8.8:9"),
        Err(UdpError::NoRoute(ip("8.8.8.8")))
    );
    assert_eq!(a.udp(id).recv().err(), Some(UdpError::WouldBlock));
}

/// Proves: 1122-3.3.6.
#[test]
fn broadcast_needs_permission_and_reaches_all() {
    let mut a = plain(1);
    let mut b = plain(2);
    let sender = a.bound("0.0.0.0:7");
    let here = a.bound("0.0.0.0:9");
    let share = |h: &mut Host| {
        let id = h.stack.udp_socket(UdpOptions {
            reuse_address: true,
            ..UdpOptions::default()
        });
        h.stack.udp_bind(id, at("0.0.0.0:9")).unwrap();
        id
    };
    let there = [share(&mut b), share(&mut b)];
    for to in ["192.0.2.255:9", "255.255.255.255:9"] {
        a.set(sender, |o| o.broadcast = false);
        assert_eq!(a.send(sender, b"all", to), Err(UdpError::BroadcastNotPermitted));
        a.set(sender, |o| o.broadcast = true);
        a.send(sender, b"all", to).unwrap();
        exchange(&mut a, &mut b);
        assert!(there.iter().all(|&id| b.read(id).is_some()));
        assert!(a.read(here).is_some(), "our own listeners too");
        // Nobody there: broadcasts are answered by silence.
        a.send(sender, b"all", &to.replace(":9", ":10")).unwrap();
        exchange(&mut a, &mut b);
    }
}

#[test]
fn multicast_reaches_members() {
    for (group, any) in [("239.1.2.3", "0.0.0.0:9"), ("ff05::1:2", "[::]:9")] {
        let (mut a, mut b) = (plain(1), plain(2));
        let share = |h: &mut Host| {
            let id = h.stack.udp_socket(UdpOptions {
                reuse_address: true,
                ..UdpOptions::default()
            });
            h.stack.udp_bind(id, at(any)).unwrap();
            id
        };
        let (member, stranger, local) = (share(&mut b), share(&mut b), share(&mut a));
        let to = std::format!("{}", SocketAddr::new(ip(group), 9));
        b.udp(member).join(ip(group), Some(LINK)).unwrap();
        assert_eq!(
            b.udp(member).join(ip(group), Some(LINK)),
            Err(UdpError::Group(ip(group)))
        );
        a.udp(local).join(ip(group), Some(LINK)).unwrap();
        exchange(&mut a, &mut b);
        let sender = a.stack.udp_socket(UdpOptions::default());
        a.set(sender, |o| o.multicast_interface = Some(LINK));
        a.send(sender, b"all", &to).unwrap();
        let frames = a.take();
        assert_eq!(frames.len(), 1);
        assert_eq!(
            frames[0][if group.contains(':') { 7 } else { 8 }],
            1,
            "one hop by default"
        );
        frames.into_iter().for_each(|f| b.give(f));
        assert!(b.read(member).is_some());
        assert!(b.read(stranger).is_none());
        assert!(a.read(local).is_some(), "looped");
        a.set(sender, |o| o.multicast_loop = false);
        a.send(sender, b"all", &to).unwrap();
        exchange(&mut a, &mut b);
        assert!(a.read(local).is_none() && b.read(member).is_some());
        // Leaving, or closing, ends it.
        b.udp(member).close();
        exchange(&mut a, &mut b);
        let before = b.stack.drops().count(DropReason::NotForUs);
        a.send(sender, b"all", &to).unwrap();
        exchange(&mut a, &mut b);
        assert_eq!(b.stack.drops().count(DropReason::NotForUs), before + 1);
        assert_eq!(a.udp(local).leave(ip(group), None), Ok(()));
        assert!(a.udp(local).leave(ip(group), Some(LINK)).is_err());
    }
}

#[test]
fn queues_are_bounded_and_say_so() {
    let (mut a, mut b) = (plain(1), plain(2));
    let server = b.bound("192.0.2.2:9");
    b.set(server, |o| o.receive_buffer = Some(4096));
    let client = a.bound("192.0.2.1:7");
    let mut sent = 0;
    while a.send(client, &[0; 1000], "192.0.2.2:9").is_ok() {
        sent += 1;
        assert!(sent < 1000);
    }
    assert_eq!(sent, 208 * 1024 / 1128);
    assert_eq!(
        a.send(client, &[0; 1000], "192.0.2.2:9"),
        Err(UdpError::WouldBlock)
    );
    assert!(a.events().is_empty());
    exchange(&mut a, &mut b);
    assert_eq!(a.events(), [(client, Readiness::WRITABLE)]);
    let read = core::iter::from_fn(|| b.read(server)).count();
    assert_eq!(read, 4096 / 1128);
    assert_eq!(
        b.stack.drops().count(DropReason::ReceiveQueueFull),
        (sent - read) as u64
    );
    // What was read makes room again.
    for _ in 0..read {
        a.send(client, &[0; 1000], "192.0.2.2:9").unwrap();
    }
    exchange(&mut a, &mut b);
    assert_eq!(core::iter::from_fn(|| b.read(server)).count(), read);
}

#[test]
fn what_was_sent_leaves_though_the_socket_is_closed() {
    let (mut a, mut b) = (plain(1), plain(2));
    let server = b.bound("192.0.2.2:9");
    let client = a.bound("192.0.2.1:7");
    a.send(client, b"last words", "192.0.2.2:9").unwrap();
    a.udp(client).close();
    exchange(&mut a, &mut b);
    assert!(b.read(server).is_some());
}

#[test]
fn talking_to_oneself() {
    let mut a = plain(1);
    for to in ["127.0.0.1:9", "[::1]:9", "192.0.2.1:9", "[2001:db8::1]:9"] {
        let server = a.bound(to);
        let client = a.stack.udp_socket(UdpOptions::default());
        a.udp(client).connect(at(to)).unwrap();
        a.udp(client).send(&vec![1; 20_000]).unwrap();
        assert!(a.take().is_empty(), "nothing leaves the host");
        let (data, from) = a.read(server).unwrap();
        assert_eq!((data.len(), Some(from)), (20_000, a.udp(client).local_addr()));
        a.udp(server).close();
        a.udp(client).send(b"x").unwrap();
        a.take();
        assert_eq!(a.udp(client).take_error(), Some(ConnectionError::PortUnreachable));
    }
}

/// Proves: 1122-3.3.3, 8201-1.
#[test]
fn a_narrower_path_is_believed_for_our_own_datagrams_only() {
    for (to, header) in [("192.0.2.2:9", 20), ("[2001:db8::2]:9", 40)] {
        let mut a = plain(1);
        let client = a.stack.udp_socket(UdpOptions::default());
        a.udp(client).connect(at(to)).unwrap();
        a.udp(client).send(&[0; 1400]).unwrap();
        let frame = a.take().pop().unwrap();
        let too_big = |ours: &[u8]| -> Vec<u8> {
            let mut message = if header == 20 {
                vec![3, 4, 0, 0, 0, 0, 5, 20]
            } else {
                vec![2, 0, 0, 0, 0, 0, 5, 20]
            };
            message.extend(&ours[..header + 8]);
            let mut out = Vec::new();
            let (router, us) = (
                &ours[if header == 20 { 16..20 } else { 24..40 }],
                &ours[if header == 20 { 12..16 } else { 8..24 }],
            );
            if header == 20 {
                let sum = wire::checksum::sum(&message).finish();
                message[2..4].copy_from_slice(&sum.to_be_bytes());
                let h = wire::ipv4::Header::new(
                    core::net::Ipv4Addr::from(<[u8; 4]>::try_from(router).unwrap()),
                    core::net::Ipv4Addr::from(<[u8; 4]>::try_from(us).unwrap()),
                    1,
                    20 + message.len(),
                );
                out.resize(20, 0);
                wire::ipv4::emit(&h, &mut out);
            } else {
                let s = core::net::Ipv6Addr::from(<[u8; 16]>::try_from(router).unwrap());
                let d = core::net::Ipv6Addr::from(<[u8; 16]>::try_from(us).unwrap());
                wire::icmpv6::fill_checksum(s, d, &mut message);
                out.resize(40, 0);
                wire::ipv6::emit(&wire::ipv6::Header::new(s, d, 58, message.len()), &mut out);
            }
            out.extend(message);
            out
        };
        let mut forged = frame.clone();
        forged[header] ^= 0xff; // another port of ours
        a.give(too_big(&forged));
        a.udp(client).send(&[0; 1400]).unwrap();
        assert_eq!(a.take().len(), 1);
        assert_eq!(a.stack.drops().count(DropReason::IcmpMismatch), 1);
        a.give(too_big(&frame));
        a.udp(client).send(&[0; 1400]).unwrap();
        let parts = a.take();
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|p| p.len() <= 1300));
    }
}

#[test]
fn devices_that_make_checksums_get_the_rest_of_the_work() {
    let mut a = Host::new(1, |link, _| link.capabilities.tx_checksum = true);
    let client = a.stack.udp_socket(UdpOptions::default());
    a.send(client, b"data", "192.0.2.2:9").unwrap();
    let mut out = TxFrame::new();
    let meta = a.stack.poll_transmit(a.now, &mut out).unwrap();
    let mut bytes = out.to_vec();
    let c = meta.checksum.unwrap();
    assert_eq!((c.start, c.offset), (20, 6));
    let sum = wire::checksum::sum(&bytes[usize::from(c.start)..]).finish_udp();
    bytes[26..28].copy_from_slice(&sum.to_be_bytes());
    let mut b = plain(2);
    let server = b.bound("192.0.2.2:9");
    b.give(bytes);
    assert!(b.read(server).is_some());
    // Fragments have theirs made here.
    a.send(client, &[1; 3000], "192.0.2.2:9").unwrap();
    a.take().into_iter().for_each(|f| b.give(f));
    assert_eq!(b.read(server).unwrap().0.len(), 3000);
}

#[test]
fn small_datagrams_do_not_hold_large_frames() {
    let (mut a, mut b) = (plain(1), plain(2));
    let server = b.bound("192.0.2.2:9");
    let client = a.bound("192.0.2.1:7");
    a.send(client, b"small", "192.0.2.2:9").unwrap();
    let mut buffer = a.take().pop().unwrap();
    let len = buffer.len();
    buffer.resize(65_536, 0);
    let whole = bytes::Bytes::from(buffer);
    b.stack
        .handle_frame(b.now, LINK, Frame::from(whole.slice(..len)), RxMeta::default());
    assert!(whole.is_unique(), "nobody else holds the frame's buffer");
    assert!(b.read(server).is_some());
}

#[test]
fn over_ethernet_with_checksums_left_to_the_device() {
    let host = |n: u8| {
        let mut h = Host {
            stack: Stack::new(Config::default(), [n; 32]),
            now: Instant::from_secs(1),
        };
        let mut link = InterfaceConfig::ethernet("eth0", [2, 0, 0, 0, 0, n], 1500)
            .address([192, 0, 2, n], 24)
            .address(ip(&std::format!("2001:db8::{n}")), 64);
        link.capabilities.tx_checksum = true;
        h.stack.add_interface(h.now, link);
        h
    };
    // A device that does its part.
    let carry = |from: &mut Host, to: &mut Host| {
        let mut out = TxFrame::new();
        let mut any = false;
        while let Some(meta) = from.stack.poll_transmit(from.now, &mut out) {
            any = true;
            let mut bytes = out.to_vec();
            if let Some(c) = meta.checksum {
                let (start, field) = (usize::from(c.start), usize::from(c.start + c.offset));
                let sum = wire::checksum::sum(&bytes[start..]).finish_udp();
                bytes[field..field + 2].copy_from_slice(&sum.to_be_bytes());
            }
            to.give(bytes);
        }
        any
    };
    let (mut a, mut b) = (host(1), host(2));
    for to in ["192.0.2.2:9", "[2001:db8::2]:9"] {
        let server = b.bound(to);
        let client = a.stack.udp_socket(UdpOptions::default());
        for len in [5, 1400, 4000] {
            a.send(client, &vec![6; len], to).unwrap();
        }
        while carry(&mut a, &mut b) | carry(&mut b, &mut a) {}
        let got: Vec<usize> = core::iter::from_fn(|| b.read(server))
            .map(|d| d.0.len())
            .collect();
        assert_eq!(got, [5, 1400, 4000]);
        b.udp(server).close();
    }
    assert_eq!(b.stack.drops().count(DropReason::TransportChecksum), 0);
}

/// Proves: 1122-4.1.3.5.
#[test]
fn the_destination_of_a_datagram_is_told() {
    let (mut a, mut b) = (plain(1), plain(2));
    let server = b.bound("[::]:9");
    let client = a.bound("192.0.2.1:7");
    a.set(client, |o| o.broadcast = true);
    for to in ["192.0.2.2:9", "192.0.2.255:9"] {
        a.send(client, b"where", to).unwrap();
        exchange(&mut a, &mut b);
        let got = b.udp(server).recv().unwrap();
        assert_eq!(got.destination.ip().to_canonical(), at(to).ip());
        assert_eq!((got.destination.port(), got.interface), (9, LINK));
        assert_eq!(
            got.source.ip().to_canonical(),
            ip("192.0.2.1"),
            "the one that was bound"
        );
    }
}
