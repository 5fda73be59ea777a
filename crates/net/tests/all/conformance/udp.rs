//! Datagrams.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr};

use sockeye_net::socket::{Ancillary, Family, Flags, Interface, Kind, Shutdown, SockOpt, Socket, Value};

use super::{LONG, NONE, World, bytes, errno};

/// W-29, W-37: one read takes one datagram, and what does not fit is gone.
pub(crate) fn boundaries_and_truncation(world: &World) {
    let (server, address) = world.bound(Family::Inet, Kind::Datagram);
    let client = world.socket(Kind::Datagram);
    assert_eq!(client.sendto(b"abcdef", NONE, &address).unwrap(), 6);
    for text in [b"second", b"third.", b"fourth"] {
        client.sendto(text, NONE, &address).unwrap();
    }
    let (text, from) = server.recvfrom(3, NONE).unwrap();
    assert_eq!(text, b"abc");
    assert_eq!(from.unwrap().port(), client.getsockname().unwrap().port());
    // TRUNC tells the whole length.
    let mut buf = [0; 3];
    assert_eq!(server.recv_into(&mut buf, Flags::TRUNC).unwrap(), 6);
    assert_eq!(&buf, b"sec");
    let message = server.recvmsg(&mut [IoSliceMut::new(&mut buf)], NONE).unwrap();
    assert_eq!((message.len, message.flags), (3, Flags::TRUNC));
    assert_eq!(server.recv(99, NONE).unwrap(), b"fourth");
}

/// W-65.
pub(crate) fn an_empty_datagram_is_a_message(world: &World) {
    let (server, address) = world.bound(Family::Inet, Kind::Datagram);
    let client = world.socket(Kind::Datagram);
    client.connect(&address).unwrap();
    assert_eq!(client.send(b"", NONE).unwrap(), 0);
    client.send(b"x", NONE).unwrap();
    let (text, from) = server.recvfrom(9, NONE).unwrap();
    assert_eq!((text, from), (Vec::new(), Some(client.getsockname().unwrap())));
    assert_eq!(server.recv(9, NONE).unwrap(), b"x");
}

/// W-28.
pub(crate) fn the_largest_datagram(world: &World) {
    for (family, most) in [(Family::Inet, 65_507), (Family::Inet6, 65_527)] {
        let (server, address) = world.bound(family, Kind::Datagram);
        let client = Socket::new(&world.client, family, Kind::Datagram).unwrap();
        let data = bytes(most + 1);
        assert_eq!(errno(client.sendto(&data, NONE, &address)), 90);
        assert_eq!(client.sendto(&data[..most], NONE, &address).unwrap(), most);
        assert!(server.recv(70_000, NONE).unwrap() == data[..most]);
    }
}

/// D-13.
pub(crate) fn broadcast_needs_permission(world: &World) {
    let client = world.socket(Kind::Datagram);
    assert_eq!(errno(client.sendto(b"x", NONE, ("255.255.255.255", 9))), 13);
    assert_eq!(errno(client.sendto(b"x", NONE, ("<broadcast>", 9))), 13);
    client.setsockopt(SockOpt::Broadcast, true).unwrap();
    assert_eq!(client.getsockopt(SockOpt::Broadcast).unwrap(), Value::Int(1));
    // With permission it depends on there being a link to send it on.
    if let Err(error) = client.sendto(b"x", NONE, ("<broadcast>", 9)) {
        assert!(matches!(error.raw_os_error(), Some(101)), "{error}");
    }
}

pub(crate) fn without_a_destination(world: &World) {
    let client = world.socket(Kind::Datagram);
    assert_eq!(errno(client.send(b"x", NONE)), 89);
    assert_eq!(errno(client.getpeername()), 107);
    let (_server, address) = world.bound(Family::Inet, Kind::Datagram);
    client.connect(&address).unwrap();
    client.send(b"x", NONE).unwrap();
    client.disconnect().unwrap();
    assert_eq!(errno(client.send(b"x", NONE)), 89);
    assert_eq!(errno(client.sendto(b"x", NONE, (world.v4, 0))), 22);
}

pub(crate) fn a_connected_socket_hears_its_peer_only_and_refusals(world: &World) {
    let (server, address) = world.bound(Family::Inet, Kind::Datagram);
    let client = world.socket(Kind::Datagram);
    client.connect(&address).unwrap();
    client.send(b"question", NONE).unwrap();
    let (_, from) = server.recvfrom(99, NONE).unwrap();
    let from = from.unwrap();
    let (stranger, _) = world.bound(Family::Inet, Kind::Datagram);
    stranger.sendto(b"noise", NONE, &from).unwrap();
    server.sendto(b"answer", NONE, &from).unwrap();
    assert_eq!(client.recv(99, NONE).unwrap(), b"answer");
    // Nobody there: ICMP says so, and the next call tells, once.
    server.close();
    client.settimeout(Some(LONG)).unwrap();
    client.send(b"x", NONE).unwrap();
    assert_eq!(errno(client.recv(99, NONE)), 111);
    client.setblocking(false).unwrap();
    assert_eq!(errno(client.recv(99, NONE)), 11);
}

pub(crate) fn ancillary_data(world: &World) {
    for family in [Family::Inet, Family::Inet6] {
        let (server, address) = world.bound(family, Kind::Datagram);
        let client = Socket::new(&world.client, family, Kind::Datagram).unwrap();
        for option in [
            SockOpt::RecvPacketInfo,
            SockOpt::RecvHopLimit,
            SockOpt::RecvTrafficClass,
        ] {
            server.setsockopt(option, true).unwrap();
            assert_eq!(server.getsockopt(option).unwrap(), Value::Int(1));
        }
        let (ttl, tos) = match family {
            Family::Inet6 => (SockOpt::HopLimit, SockOpt::TrafficClass),
            _ => (SockOpt::Ttl, SockOpt::Tos),
        };
        client.setsockopt(ttl, 33).unwrap();
        client.setsockopt(tos, 0x20).unwrap();
        client.sendto(b"hello", NONE, &address).unwrap();
        let mut buf = [0; 9];
        let message = server.recvmsg(&mut [IoSliceMut::new(&mut buf)], NONE).unwrap();
        assert_eq!((message.len, message.flags), (5, NONE));
        let mut seen = 0;
        for item in &message.ancillary {
            seen += 1;
            match item {
                Ancillary::PacketInfo { destination, .. } => assert_eq!(*destination, world.ip(family)),
                Ancillary::HopLimit(n) => assert_eq!(*n, 33),
                Ancillary::TrafficClass(n) => assert_eq!(*n, 0x20),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, 3, "{:?}", message.ancillary);
    }
}

pub(crate) fn several_buffers_are_one_message(world: &World) {
    let (server, address) = world.bound(Family::Inet, Kind::Datagram);
    let client = world.socket(Kind::Datagram);
    let parts = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdef")];
    assert_eq!(
        client.sendmsg(&parts, Vec::new(), NONE, Some(&address)).unwrap(),
        6
    );
    let (mut one, mut other) = ([0; 4], [0; 4]);
    let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
    let message = server.recvmsg(&mut bufs, NONE).unwrap();
    assert_eq!((message.len, message.flags), (6, NONE));
    assert_eq!((&one, &other[..2]), (b"abcd", &b"ef"[..]));
    assert_eq!(
        message.address.unwrap().port(),
        client.getsockname().unwrap().port()
    );
}

pub(crate) fn multicast_reaches_members(world: &World) {
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let server = Socket::new(&world.server, Family::Inet, Kind::Datagram).unwrap();
    server.bind(("", 0)).unwrap();
    let port = server.getsockname().unwrap().port();
    let on = Interface::Address(world.v4);
    let membership = Value::Group(group.into(), on);
    server.setsockopt(SockOpt::JoinGroup, membership.clone()).unwrap();
    assert_eq!(
        errno(server.setsockopt(SockOpt::JoinGroup, membership.clone())),
        98
    );
    let sender = Socket::new(&world.server, Family::Inet, Kind::Datagram).unwrap();
    sender
        .setsockopt(SockOpt::MulticastInterface, Value::Interface(on))
        .unwrap();
    assert_eq!(sender.getsockopt(SockOpt::MulticastTtl).unwrap(), Value::Int(1));
    sender.sendto(b"all", NONE, (group, port)).unwrap();
    server.settimeout(Some(LONG)).unwrap();
    assert_eq!(server.recv(9, NONE).unwrap(), b"all");
    server
        .setsockopt(SockOpt::LeaveGroup, membership.clone())
        .unwrap();
    assert_eq!(errno(server.setsockopt(SockOpt::LeaveGroup, membership)), 99);
    let none = Value::Group(IpAddr::from([10, 0, 0, 1]), on);
    assert_eq!(errno(server.setsockopt(SockOpt::JoinGroup, none)), 22);
}

pub(crate) fn peeking_leaves_the_datagram(world: &World) {
    let (server, address) = world.bound(Family::Inet, Kind::Datagram);
    let client = world.socket(Kind::Datagram);
    client.sendto(b"abc", NONE, &address).unwrap();
    let (text, from) = server.recvfrom(9, Flags::PEEK).unwrap();
    assert_eq!(text, b"abc");
    assert_eq!(server.recvfrom(9, NONE).unwrap(), (text, from));
    assert_eq!(errno(server.recv(9, Flags::DONTWAIT)), 11);
}

pub(crate) fn shut_down(world: &World) {
    let (server, address) = world.bound(Family::Inet, Kind::Datagram);
    assert_eq!(errno(server.shutdown(Shutdown::Both)), 107);
    let client = world.socket(Kind::Datagram);
    client.connect(&address).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(errno(client.send(b"x", NONE)), 32);
    client.shutdown(Shutdown::Read).unwrap();
    assert_eq!(client.recv(9, NONE).unwrap(), b"");
}
