//! Options.

use std::time::Duration;

use sockeye_net::socket::SockOpt::*;
use sockeye_net::socket::{Family, Kind, SockOpt, Socket, Value};
use sockeye_stack::tcp::State;

use super::{NONE, World, errno};

/// Sets an option and reads it back.
#[track_caller]
fn keeps(socket: &Socket, option: SockOpt, value: impl Into<Value>) {
    let value = value.into();
    socket
        .setsockopt(option, value.clone())
        .unwrap_or_else(|error| panic!("set {option:?}: {error}"));
    assert_eq!(socket.getsockopt(option).unwrap(), value, "{option:?}");
}

pub(crate) fn every_option_of_tcp(world: &World) {
    for family in [Family::Inet, Family::Inet6] {
        let socket = Socket::new(&world.server, family, Kind::Stream).unwrap();
        for option in [
            ReuseAddr, ReusePort, KeepAlive, OobInline, NoDelay, Cork, Broadcast,
        ] {
            if option != Broadcast {
                assert_eq!(
                    socket.getsockopt(option).unwrap(),
                    Value::Int(0),
                    "{option:?} by default"
                );
                keeps(&socket, option, true);
                keeps(&socket, option, false);
            } else {
                socket.setsockopt(option, true).unwrap();
            }
        }
        keeps(&socket, KeepIdle, 60);
        keeps(&socket, KeepInterval, 5);
        keeps(&socket, KeepCount, 3);
        keeps(&socket, Linger, None);
        keeps(&socket, Linger, Some(Duration::from_secs(3)));
        keeps(&socket, UserTimeout, 20_000);
        keeps(&socket, Congestion, "reno");
        keeps(&socket, Ttl, 44);
        keeps(&socket, Tos, 0x20);
        for size in [SendBuffer, ReceiveBuffer] {
            socket.setsockopt(size, 50_000).unwrap();
            // Linux doubles it for its own needs.
            let wanted = if world.os { 100_000 } else { 50_000 };
            assert_eq!(socket.getsockopt(size).unwrap(), Value::Int(wanted));
        }
        socket.setsockopt(MaxSegment, 1000).unwrap();
        socket.setsockopt(QuickAck, true).unwrap();
        if family == Family::Inet6 {
            keeps(&socket, V6Only, true);
            keeps(&socket, V6Only, false);
            keeps(&socket, HopLimit, 55);
            keeps(&socket, TrafficClass, 0x40);
        }
        assert_eq!(socket.getsockopt(Type).unwrap(), Value::Int(1));
        assert_eq!(socket.getsockopt(Protocol).unwrap(), Value::Int(6));
        assert_eq!(socket.getsockopt(Domain).unwrap(), Value::Int(family.number()));
        assert_eq!(socket.getsockopt(Error).unwrap(), Value::Int(0));
        assert_eq!(socket.getsockopt(AcceptConn).unwrap(), Value::Int(0));
        socket.listen(1).unwrap();
        assert_eq!(socket.getsockopt(AcceptConn).unwrap(), Value::Int(1));
        for (option, value) in [
            (KeepIdle, 0),
            (KeepCount, 0),
            (KeepCount, 128),
            (Ttl, 0),
            (Ttl, 256),
            (MaxSegment, 1),
        ] {
            assert_eq!(errno(socket.setsockopt(option, value)), 22, "{option:?} {value}");
        }
        assert_eq!(errno(socket.setsockopt(Congestion, "no-such-thing")), 2);
        if family == Family::Inet6 {
            assert_eq!(errno(socket.setsockopt(V6Only, true)), 22, "after binding");
        }
    }
}

pub(crate) fn every_option_of_udp(world: &World) {
    for family in [Family::Inet, Family::Inet6] {
        let socket = Socket::new(&world.server, family, Kind::Datagram).unwrap();
        for option in [
            ReuseAddr,
            ReusePort,
            Broadcast,
            RecvPacketInfo,
            RecvHopLimit,
            RecvTrafficClass,
        ] {
            assert_eq!(
                socket.getsockopt(option).unwrap(),
                Value::Int(0),
                "{option:?} by default"
            );
            keeps(&socket, option, true);
            keeps(&socket, option, false);
        }
        keeps(&socket, Ttl, 44);
        keeps(&socket, Tos, 0x20);
        if family == Family::Inet {
            assert_eq!(socket.getsockopt(MulticastLoop).unwrap(), Value::Int(1));
            keeps(&socket, MulticastLoop, false);
            keeps(&socket, MulticastTtl, 7);
        } else {
            keeps(&socket, HopLimit, 55);
            keeps(&socket, TrafficClass, 0x40);
            keeps(&socket, MulticastHops, 7);
            keeps(&socket, MulticastLoop6, false);
            keeps(&socket, V6Only, true);
        }
        assert_eq!(socket.getsockopt(Type).unwrap(), Value::Int(2));
        assert_eq!(socket.getsockopt(Protocol).unwrap(), Value::Int(17));
        assert_eq!(errno(socket.setsockopt(Ttl, 0)), 22);
    }
}

pub(crate) fn what_does_not_exist(world: &World) {
    let socket = world.socket(Kind::Stream);
    for option in [Type, Error, AcceptConn] {
        assert_eq!(errno(socket.setsockopt(option, 1)), 92, "{option:?}");
    }
    assert_eq!(errno(socket.getsockopt(JoinGroup)), 92);
    assert_eq!(errno(socket.setsockopt(V6Only, 1)), 92);
}

/// MUST-24, MUST-25: off by default, and only its own switch turns it on.
pub(crate) fn keepalive_numbers_do_not_switch_it_on(world: &World) {
    let (server, _client) = world.connection();
    server.setsockopt(KeepIdle, 10).unwrap();
    assert_eq!(server.getsockopt(KeepAlive).unwrap(), Value::Int(0));
    keeps(&server, KeepAlive, true);
    assert_eq!(server.getsockopt(KeepIdle).unwrap(), Value::Int(10));
    // W-22: 2 h, 75 s, 9 probes.
    assert_eq!(server.getsockopt(KeepInterval).unwrap(), Value::Int(75));
    assert_eq!(server.getsockopt(KeepCount).unwrap(), Value::Int(9));
    let fresh = world.socket(Kind::Stream);
    assert_eq!(fresh.getsockopt(KeepIdle).unwrap(), Value::Int(7200));
}

pub(crate) fn information_of_a_connection(world: &World) {
    let state = |socket: &Socket| match socket.getsockopt(Info).unwrap() {
        Value::Info(info) => (info.state, info.snd_mss),
        other => panic!("{other:?}"),
    };
    let (listener, _) = world.listener(Family::Inet, 1);
    assert_eq!(state(&listener).0, State::Listen);
    assert_eq!(state(&world.socket(Kind::Stream)).0, State::Closed);
    let (server, client) = world.connection();
    let (established, mss) = state(&client);
    assert_eq!(established, State::Established);
    assert!(mss >= 536, "{mss}");
    client.close();
    assert_eq!(server.recv(1, NONE).unwrap(), b"");
    assert_eq!(state(&server).0, State::CloseWait);
}

pub(crate) fn listeners_hand_down_options(world: &World) {
    let (listener, address) = world.bound(Family::Inet, Kind::Stream);
    listener.setsockopt(NoDelay, true).unwrap();
    listener.setsockopt(KeepAlive, true).unwrap();
    listener.setsockopt(KeepIdle, 33).unwrap();
    listener.listen(1).unwrap();
    // Timeouts of the program are not handed down.
    listener.settimeout(Some(super::LONG)).unwrap();
    let client = world.socket(Kind::Stream);
    client.connect(&address).unwrap();
    let (server, _) = listener.accept().unwrap();
    assert_eq!(server.getsockopt(NoDelay).unwrap(), Value::Int(1));
    assert_eq!(server.getsockopt(KeepAlive).unwrap(), Value::Int(1));
    assert_eq!(server.getsockopt(KeepIdle).unwrap(), Value::Int(33));
    assert_eq!(server.gettimeout(), None);
}

/// A program that has C's numbers finds the options by them.
pub(crate) fn numbers_name_options(world: &World) {
    let socket = Socket::new(&world.server, Family::Inet6, Kind::Stream).unwrap();
    let by_number = |level, name| {
        socket
            .getsockopt(SockOpt::from_numbers(level, name).unwrap())
            .unwrap()
    };
    assert_eq!(by_number(1, 3), Value::Int(1)); // SOL_SOCKET, SO_TYPE
    assert_eq!(by_number(6, 1), Value::Int(0)); // IPPROTO_TCP, TCP_NODELAY
    assert_eq!(by_number(41, 26), Value::Int(0)); // IPPROTO_IPV6, IPV6_V6ONLY
}
