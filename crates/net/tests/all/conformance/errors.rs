//! Errors as programs on Linux see them (D-13).

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use sockeye_net::socket::{Family, Flags, Kind, Shutdown, SockOpt, Socket, UnixAddress, Value};
use sockeye_stack::tcp::State;

use super::{LONG, NONE, SHORT, World, errno};

/// A listener whose accept queue is full: further clients get no answer.
fn full(world: &World) -> (Socket, sockeye_net::socket::Address, Socket) {
    let (listener, address) = world.listener(Family::Inet, 0);
    let first = world.socket(Kind::Stream);
    first.connect(&address).unwrap();
    first.sendall(b"x", NONE).unwrap();
    (listener, address, first)
}

/// Section 9.6.
pub(crate) fn connect_ex_tells_codes(world: &World) {
    let (listener, address) = world.listener(Family::Inet, 5);
    let client = world.socket(Kind::Stream);
    assert_eq!(client.connect_ex(&address).unwrap(), 0);
    assert_eq!(client.connect_ex(&address).unwrap(), 106);
    assert_eq!(listener.connect_ex(&address).unwrap(), 106);
    drop((listener, client));
    let client = world.socket(Kind::Stream);
    assert_eq!(client.connect_ex(&address).unwrap(), 111);
    // And may be tried again.
    assert_eq!(client.connect_ex(&address).unwrap(), 111);
    let refused = client.connect(&address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(refused.to_string().starts_with("Connection refused"), "{refused}");
    assert_eq!(client.connect_ex(("224.0.0.1", 80)).unwrap(), 101);

    let (_listener, address, _first) = full(world);
    let client = world.socket(Kind::Stream);
    client.settimeout(Some(SHORT)).unwrap();
    assert_eq!(client.connect_ex(&address).unwrap(), 11);
    let client = world.socket(Kind::Stream);
    client.settimeout(Some(SHORT)).unwrap();
    assert_eq!(client.connect(&address).unwrap_err().kind(), ErrorKind::TimedOut);
}

pub(crate) fn connecting_without_blocking(world: &World) {
    let (listener, address, _first) = full(world);
    let client = world.socket(Kind::Stream);
    client.setblocking(false).unwrap();
    assert_eq!(client.connect_ex(&address).unwrap(), 115);
    assert_eq!(client.connect_ex(&address).unwrap(), 114);
    assert_eq!(errno(client.getpeername()), 107);
    assert_eq!(errno(client.recv(1, NONE)), 11);
    assert_eq!(errno(client.send(b"x", NONE)), 11);
    drop(listener);

    let (listener, address) = world.listener(Family::Inet, 5);
    let client = world.socket(Kind::Stream);
    client.setblocking(false).unwrap();
    assert!(matches!(client.connect_ex(&address).unwrap(), 0 | 115));
    // Its end is told by the descriptor, as select has it, and then by a second call or SO_ERROR.
    let (server, _) = listener.accept().unwrap();
    super::polling::wait_writable(&client);
    assert!(matches!(client.connect_ex(&address).unwrap(), 0 | 106));
    assert_eq!(client.connect_ex(&address).unwrap(), 106);
    client.send(b"x", NONE).unwrap();
    assert_eq!(server.recv(1, NONE).unwrap(), b"x");
}

/// Sections 9.18 to 9.20.
pub(crate) fn timeouts(world: &World) {
    let (server, _client) = world.connection();
    assert_eq!(server.gettimeout(), None);
    assert!(server.getblocking());
    server.settimeout(Some(SHORT)).unwrap();
    assert_eq!(server.gettimeout(), Some(SHORT));
    let late = server.recv(1, NONE).unwrap_err();
    assert_eq!(
        (late.kind(), late.to_string()),
        (ErrorKind::TimedOut, "timed out".into())
    );
    let (listener, _) = world.listener(Family::Inet, 5);
    listener.settimeout(Some(SHORT)).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::TimedOut);
    server.settimeout(Some(Duration::ZERO)).unwrap();
    assert!(!server.getblocking());
    assert_eq!(errno(server.recv(1, NONE)), 11);
    server.setblocking(true).unwrap();
    assert_eq!(server.gettimeout(), None);
    // The option of the socket makes it "would block" instead.
    server
        .setsockopt(SockOpt::ReceiveTimeout, Some(Duration::from_millis(40)))
        .unwrap();
    let set = server.getsockopt(SockOpt::ReceiveTimeout).unwrap();
    assert_eq!(set, Value::Time(Some(Duration::from_millis(40))));
    assert_eq!(errno(server.recv(1, NONE)), 11);
    server.setsockopt(SockOpt::SendTimeout, Some(SHORT)).unwrap();
    let data = vec![0; 64 << 20];
    let taken = server.send(&data, NONE).unwrap();
    assert!(taken < data.len());
    server.setsockopt(SockOpt::SendTimeout, None).unwrap();
    assert_eq!(
        server.getsockopt(SockOpt::SendTimeout).unwrap(),
        Value::Time(None)
    );
    server.settimeout(Some(SHORT)).unwrap();
    assert_eq!(
        server.sendall(&data, NONE).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    let (udp, _) = world.bound(Family::Inet, Kind::Datagram);
    udp.settimeout(Some(SHORT)).unwrap();
    assert_eq!(udp.recv(1, NONE).unwrap_err().kind(), ErrorKind::TimedOut);
}

pub(crate) fn binding_what_cannot_be_had(world: &World) {
    for kind in [Kind::Stream, Kind::Datagram] {
        let (first, address) = world.bound(Family::Inet, kind);
        if kind == Kind::Stream {
            first.listen(1).unwrap();
        }
        let second = Socket::new(&world.server, Family::Inet, kind).unwrap();
        let taken = second.bind(&address).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        assert!(taken.to_string().starts_with("Address already in use"), "{taken}");
        assert_eq!(errno(second.bind(("", u32::from(address.port())))), 98);
        assert_eq!(errno(second.bind(("192.0.2.1", 0))), 99);
        second.bind((world.v4, 0)).unwrap();
        assert_eq!(errno(second.bind((world.v4, 0))), 22);
        // A port of the other protocol is another port.
        let other = match kind {
            Kind::Stream => Kind::Datagram,
            Kind::Datagram => Kind::Stream,
        };
        let beside = Socket::new(&world.server, Family::Inet, other).unwrap();
        beside.bind(&address).unwrap();
    }
    // SO_REUSEADDR does not let two listen at one address, SO_REUSEPORT does if both set it.
    let (first, address) = world.bound(Family::Inet, Kind::Stream);
    first.setsockopt(SockOpt::ReuseAddr, true).unwrap();
    first.listen(1).unwrap();
    let second = Socket::new(&world.server, Family::Inet, Kind::Stream).unwrap();
    second.setsockopt(SockOpt::ReuseAddr, true).unwrap();
    assert_eq!(errno(second.bind(&address)), 98);
    let shared: Vec<Socket> = (0..2)
        .map(|_| {
            let socket = Socket::new(&world.server, Family::Inet, Kind::Stream).unwrap();
            socket.setsockopt(SockOpt::ReusePort, true).unwrap();
            socket
        })
        .collect();
    shared[0].bind((world.v4, 0)).unwrap();
    shared[0].listen(1).unwrap();
    shared[1].bind(shared[0].getsockname().unwrap()).unwrap();
    shared[1].listen(1).unwrap();
}

pub(crate) fn sockets_that_are_not_connected(world: &World) {
    let socket = world.socket(Kind::Stream);
    assert_eq!(errno(socket.recv(1, NONE)), 107);
    assert_eq!(errno(socket.send(b"x", NONE)), 32);
    assert_eq!(errno(socket.getpeername()), 107);
    assert_eq!(errno(socket.shutdown(Shutdown::Both)), 107);
    assert_eq!(errno(socket.accept()), 22);
    let unbound = socket.getsockname().unwrap().as_inet().unwrap();
    assert_eq!(unbound, (Ipv4Addr::UNSPECIFIED, 0).into());
    let (listener, _) = world.listener(Family::Inet, 1);
    assert_eq!(errno(listener.recv(1, NONE)), 107);
    assert_eq!(errno(listener.send(b"x", NONE)), 32);
    // Connected, it cannot listen.
    let (server, _client) = world.connection();
    assert_eq!(errno(server.listen(1)), 22);
    assert_eq!(errno(server.accept()), 22);
    assert_eq!(errno(server.bind((world.v4, 0))), 22);
    // Without a bind it gets a port.
    let socket = Socket::new(&world.server, Family::Inet, Kind::Stream).unwrap();
    socket.listen(1).unwrap();
    assert_ne!(socket.getsockname().unwrap().port(), 0);
}

pub(crate) fn calls_of_the_wrong_kind(world: &World) {
    let (udp, _) = world.bound(Family::Inet, Kind::Datagram);
    assert_eq!(errno(udp.listen(1)), 95);
    assert_eq!(errno(udp.accept()), 95);
    assert_eq!(errno(udp.setsockopt(SockOpt::NoDelay, true)), 92);
    assert_eq!(errno(world.socket(Kind::Stream).disconnect()), 95);
    let (server, _client) = world.connection();
    assert_eq!(errno(server.recv(1, Flags::OOB)), 22);
}

pub(crate) fn families_do_not_mix(world: &World) {
    for kind in [Kind::Stream, Kind::Datagram] {
        let v4 = Socket::new(&world.server, Family::Inet, kind).unwrap();
        assert_eq!(errno(v4.bind((world.v6, 0))), 97);
        assert_eq!(errno(v4.connect((world.v6, 9))), 97);
        let v6 = Socket::new(&world.server, Family::Inet6, kind).unwrap();
        assert_eq!(errno(v6.bind((world.v4, 0))), 22);
        v6.setsockopt(SockOpt::V6Only, true).unwrap();
        assert_eq!(errno(v6.connect((world.v4.to_ipv6_mapped(), 9))), 101);
        assert_eq!(errno(v6.bind((world.v4.to_ipv6_mapped(), 0))), 22);
        assert_eq!(
            errno(v4.bind(UnixAddress::Abstract(b"long enough for a check of length".into()))),
            97
        );
    }
}

/// W-35: port 88888 stands in a tutorial.
pub(crate) fn ports_out_of_range(world: &World) {
    let socket = world.socket(Kind::Stream);
    for result in [socket.bind(("", 88_888)), socket.connect(("127.0.0.1", 65_536))] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "port must be 0-65535");
    }
    assert_eq!(
        socket.connect("localhost:88888").unwrap_err().to_string(),
        "port must be 0-65535"
    );
    assert!(socket.connect_ex(("127.0.0.1", 65_536)).is_err());
}

pub(crate) fn the_error_of_a_socket_is_told_once(world: &World) {
    let (listener, address) = world.listener(Family::Inet, 5);
    drop(listener);
    let client = world.socket(Kind::Stream);
    client.setblocking(false).unwrap();
    match client.connect_ex(&address).unwrap() {
        115 => {
            super::polling::wait_writable(&client);
            assert_eq!(client.getsockopt(SockOpt::Error).unwrap(), Value::Int(111));
        }
        // The refusal came while the call was still on its way; then the call tells it.
        code => assert_eq!(code, 111),
    }
    assert_eq!(client.getsockopt(SockOpt::Error).unwrap(), Value::Int(0));
    let (server, client) = world.connection();
    server.settimeout(Some(LONG)).unwrap();
    client.setsockopt(SockOpt::Linger, Some(Duration::ZERO)).unwrap();
    client.close();
    super::polling::wait_readable(&server);
    assert_eq!(server.getsockopt(SockOpt::Error).unwrap(), Value::Int(104));
    assert_eq!(server.recv(1, NONE).unwrap(), b"");
}

/// A reset after the peer's FIN: who reads is at the end of the stream, and the error is a broken pipe, told once.
pub(crate) fn a_reset_after_the_end(world: &World) {
    for sends_first in [false, true] {
        let (server, client) = world.connection();
        server.settimeout(Some(LONG)).unwrap();
        client.settimeout(Some(LONG)).unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.recv(1, NONE).unwrap(), b"");
        client.sendall(b"unread", NONE).unwrap();
        super::polling::wait_readable(&server);
        server.close();
        let state = || match client.getsockopt(SockOpt::Info).unwrap() {
            Value::Info(info) => info.state,
            other => panic!("{other:?}"),
        };
        while state() != State::Closed {
            std::thread::yield_now();
        }
        assert_eq!(client.recv(1, NONE).unwrap(), b"");
        if sends_first {
            assert_eq!(errno(client.send(b"x", NONE)), 32);
        } else {
            assert_eq!(client.getsockopt(SockOpt::Error).unwrap(), Value::Int(32));
        }
        assert_eq!(client.getsockopt(SockOpt::Error).unwrap(), Value::Int(0));
        assert_eq!(client.recv(1, NONE).unwrap(), b"");
        assert_eq!(errno(client.send(b"x", NONE)), 32);
    }
}
