//! Section 9.21: the descriptor of a socket polls.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sockeye_net::socket::{Family, Flags, Kind, Shutdown, Socket};

use super::{NONE, World};

fn polls(socket: &Socket, events: PollFlags, seconds: i64) -> PollFlags {
    let mut fds = [PollFd::from_borrowed_fd(socket.descriptor().unwrap(), events)];
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&time)).unwrap();
    // Linux tells an error of a datagram socket apart; select and most loops take it as readable.
    let seen = fds[0].revents();
    let error = if seen.contains(PollFlags::ERR) {
        PollFlags::IN
    } else {
        PollFlags::empty()
    };
    (seen | error) & events
}
fn now(socket: &Socket) -> PollFlags {
    polls(socket, PollFlags::IN | PollFlags::OUT, 0)
}
#[track_caller]
pub(crate) fn wait_readable(socket: &Socket) {
    assert!(!polls(socket, PollFlags::IN, 30).is_empty());
}
#[track_caller]
pub(crate) fn wait_writable(socket: &Socket) {
    assert!(polls(socket, PollFlags::OUT, 30).contains(PollFlags::OUT));
}

pub(crate) fn a_listener_polls_readable(world: &World) {
    let (listener, address) = world.listener(Family::Inet, 5);
    assert_eq!(now(&listener), PollFlags::empty());
    let clients: Vec<Socket> = (0..2)
        .map(|_| {
            let client = world.socket(Kind::Stream);
            client.connect(&address).unwrap();
            client
        })
        .collect();
    for _ in &clients {
        wait_readable(&listener);
        listener.accept().unwrap();
    }
    assert_eq!(now(&listener), PollFlags::empty());
    assert!(listener.fileno().unwrap() > 2);
}

pub(crate) fn a_connection_polls(world: &World) {
    let (server, client) = world.connection();
    for socket in [&server, &client] {
        assert_eq!(now(socket), PollFlags::OUT);
        socket.setblocking(false).unwrap();
    }
    client.send(b"ab", NONE).unwrap();
    wait_readable(&server);
    server.recv(1, NONE).unwrap();
    wait_readable(&server);
    server.recv(1, Flags::PEEK).unwrap();
    wait_readable(&server);
    server.recv(1, NONE).unwrap();
    assert_eq!(now(&server), PollFlags::OUT);
    // Fill it, until it stays full; then make room.
    let data = vec![0; 4 << 20];
    while polls(&client, PollFlags::OUT, 0) == PollFlags::OUT {
        client.send(&data, NONE).unwrap();
    }
    let mut buf = vec![0; 1 << 20];
    while polls(&client, PollFlags::OUT, 0).is_empty() {
        wait_readable(&server);
        server.recv_into(&mut buf, NONE).unwrap();
    }
    // The end can be read.
    while server.recv_into(&mut buf, NONE).is_ok() {}
    client.shutdown(Shutdown::Write).unwrap();
    loop {
        wait_readable(&server);
        match server.recv_into(&mut buf, NONE) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => assert_eq!(error.raw_os_error(), Some(11)),
        }
    }
    wait_readable(&server);
}

pub(crate) fn datagrams_poll(world: &World) {
    let (server, address) = world.bound(Family::Inet, Kind::Datagram);
    assert_eq!(now(&server), PollFlags::OUT);
    let client = world.socket(Kind::Datagram);
    client.connect(&address).unwrap();
    client.send(b"one", NONE).unwrap();
    client.send(b"two", NONE).unwrap();
    for _ in 0..2 {
        wait_readable(&server);
        server.recv(9, NONE).unwrap();
    }
    assert_eq!(now(&server), PollFlags::OUT);
    // An error can be read.
    server.close();
    assert_eq!(now(&client), PollFlags::OUT);
    client.send(b"x", NONE).unwrap();
    wait_readable(&client);
    assert_eq!(super::errno(client.recv(9, NONE)), 111);
    assert_eq!(now(&client), PollFlags::OUT);
}

pub(crate) fn local_sockets_poll(world: &World) {
    let (a, b) = Socket::pair(&world.server, Kind::Stream).unwrap();
    for socket in [&a, &b] {
        assert_eq!(now(socket), PollFlags::OUT);
        socket.setblocking(false).unwrap();
    }
    a.send(b"x", NONE).unwrap();
    wait_readable(&b);
    b.recv(1, NONE).unwrap();
    assert_eq!(now(&b), PollFlags::OUT);
    let data = vec![0; 4096];
    while polls(&a, PollFlags::OUT, 0) == PollFlags::OUT {
        a.send(&data, NONE).unwrap();
    }
    while b.recv(4096, NONE).is_ok() {}
    wait_writable(&a);
    a.close();
    wait_readable(&b);
    assert_eq!(b.recv(1, NONE).unwrap(), b"");
}
