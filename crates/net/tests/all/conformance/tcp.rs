//! Streams.

use std::io::{BufRead, Read, Write};
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use sockeye_net::socket::{
    Family, Flags, Kind, Shutdown, SockOpt, Socket, getaddrinfo, gethostbyname, gethostname,
};

use super::{LONG, NONE, SHORT, World, bytes, errno};

/// Sections 9.1 to 9.15 of what the tutorials teach.
pub(crate) fn a_conversation_over_both_families(world: &World) {
    for family in [Family::Inet, Family::Inet6] {
        let (listener, address) = world.listener(family, 5);
        let client = Socket::new(&world.client, family, Kind::Stream).unwrap();
        client.connect(&address).unwrap();
        assert_eq!(client.getpeername().unwrap(), address);
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.getsockname().unwrap());
        assert_eq!(server.getpeername().unwrap(), peer);
        assert_eq!(server.getsockname().unwrap(), address);
        client.sendall(b"hello", NONE).unwrap();
        let heard = server.recv(1024, NONE).unwrap();
        server.sendall(&heard.to_ascii_uppercase(), NONE).unwrap();
        assert_eq!(client.recv(1024, NONE).unwrap(), b"HELLO");
        // A stream has no boundaries: two sends may come as one.
        client.send(b"wor", NONE).unwrap();
        client.send(b"ld", NONE).unwrap();
        assert_eq!(server.recv(5, Flags::WAITALL).unwrap(), b"world");
    }
}

/// Section 8.23, W-40: nothing is lost; what does not fit stays with the caller.
pub(crate) fn a_send_takes_what_fits_and_sendall_everything(world: &World) {
    let (server, client) = world.connection();
    let data = bytes(64 << 20);
    client.setblocking(false).unwrap();
    let mut taken = client.send(&data, NONE).unwrap();
    assert!(taken > 0 && taken < data.len(), "{taken}");
    let full = loop {
        match client.send(&data[taken..], NONE) {
            Ok(n) => taken += n,
            Err(error) => break error,
        }
    };
    assert_eq!(full.raw_os_error(), Some(11));
    assert!(taken < data.len());
    client.setblocking(true).unwrap();
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        (&server).read_to_end(&mut all).unwrap();
        all
    });
    client.sendall(&data[taken..], NONE).unwrap();
    client.close();
    assert!(reader.join().unwrap() == data);
}

/// Sections 10.1 to 10.4, W-20, W-43: `listen(5)` admits six, before anybody accepts.
pub(crate) fn data_before_accept_is_kept_and_clients_are_served_in_order(world: &World) {
    let (listener, address) = world.listener(Family::Inet, 5);
    let clients: Vec<Socket> = (0..6u8)
        .map(|n| {
            let client = world.socket(Kind::Stream);
            client.connect(&address).unwrap();
            client.sendall(&[n; 100], NONE).unwrap();
            client
        })
        .collect();
    for (n, client) in clients.iter().enumerate() {
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.getsockname().unwrap());
        assert_eq!(server.recv(100, Flags::WAITALL).unwrap(), [n as u8; 100]);
    }
    listener.setblocking(false).unwrap();
    assert_eq!(errno(listener.accept()), 11);
}

/// W-24, D-09: a port in TIME-WAIT can be bound only if the one before and the one after both allow it.
pub(crate) fn reuse_of_an_address_in_time_wait(world: &World) {
    for before in [false, true] {
        for after in [false, true] {
            let listener = Socket::new(&world.server, Family::Inet, Kind::Stream).unwrap();
            listener.setsockopt(SockOpt::ReuseAddr, before).unwrap();
            listener.bind((world.v4, 0)).unwrap();
            listener.listen(1).unwrap();
            let address = listener.getsockname().unwrap();
            let client = world.socket(Kind::Stream);
            client.connect(&address).unwrap();
            let (server, _) = listener.accept().unwrap();
            // Who closes first is the one who waits.
            server.close();
            assert_eq!(client.recv(1, NONE).unwrap(), b"");
            client.close();
            listener.close();
            let again = Socket::new(&world.server, Family::Inet, Kind::Stream).unwrap();
            again.setsockopt(SockOpt::ReuseAddr, after).unwrap();
            let result = again.bind(&address);
            if before && after {
                result.unwrap();
                again.listen(1).unwrap();
            } else {
                assert_eq!(errno(result), 98, "before {before}, after {after}");
            }
        }
    }
}

/// W-65: on a stream nothing is sent, so the peer waits on.
pub(crate) fn an_empty_send_is_nothing_on_a_stream(world: &World) {
    let (server, client) = world.connection();
    assert_eq!(client.send(b"", NONE).unwrap(), 0);
    client.sendall(b"", NONE).unwrap();
    client.sendall(b"x", NONE).unwrap();
    assert_eq!(server.recv(9, NONE).unwrap(), b"x");
    server.setblocking(false).unwrap();
    assert_eq!(errno(server.recv(9, NONE)), 11);
}

/// W-23.
pub(crate) fn end_of_stream_is_no_error_and_stays(world: &World) {
    let (server, client) = world.connection();
    client.sendall(b"bye", NONE).unwrap();
    client.close();
    assert_eq!(server.recv(9, Flags::WAITALL).unwrap(), b"bye");
    for _ in 0..3 {
        assert_eq!(server.recv(9, NONE).unwrap(), b"");
        assert_eq!(server.recv(9, Flags::PEEK).unwrap(), b"");
    }
}

pub(crate) fn a_reset_is_an_error(world: &World) {
    let (server, client) = world.connection();
    client.setsockopt(SockOpt::Linger, Some(Duration::ZERO)).unwrap();
    client.close();
    assert_eq!(errno(server.recv(9, NONE)), 104);
    // The error is told once; then the stream is at its end, and sending breaks.
    assert_eq!(server.recv(9, NONE).unwrap(), b"");
    assert_eq!(errno(server.send(b"x", NONE)), 32);
    assert_eq!(errno(server.getpeername()), 107);
}

/// W-20: close with unread data sends RST.
pub(crate) fn closing_with_unread_data_resets(world: &World) {
    let (server, client) = world.connection();
    client.sendall(b"never read", NONE).unwrap();
    server.recv(1, Flags::PEEK).unwrap();
    server.close();
    assert_eq!(errno(client.recv(9, NONE)), 104);
}

pub(crate) fn half_close(world: &World) {
    let (server, client) = world.connection();
    client.sendall(b"question", NONE).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(errno(client.send(b"more", NONE)), 32);
    assert_eq!(server.recv(99, Flags::WAITALL).unwrap(), b"question");
    assert_eq!(server.recv(99, NONE).unwrap(), b"");
    server.sendall(b"answer", NONE).unwrap();
    assert_eq!(client.recv(6, Flags::WAITALL).unwrap(), b"answer");
    server.close();
    assert_eq!(client.recv(6, NONE).unwrap(), b"");
    let (server, _client) = world.connection();
    server.shutdown(Shutdown::Read).unwrap();
    assert_eq!(server.recv(6, NONE).unwrap(), b"");
}

/// Both ends have said that they are done before either has heard it from the other.
pub(crate) fn both_close_at_once(world: &World) {
    let (server, client) = world.connection();
    server.sendall(b"from the server", NONE).unwrap();
    client.sendall(b"from the client", NONE).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| server.shutdown(Shutdown::Write).unwrap());
        scope.spawn(|| client.shutdown(Shutdown::Write).unwrap());
    });
    for (end, text) in [(&server, b"from the client"), (&client, b"from the server")] {
        assert_eq!(end.recv(99, Flags::WAITALL).unwrap(), text);
        assert_eq!(end.recv(99, NONE).unwrap(), b"");
        assert_eq!(errno(end.send(b"more", NONE)), 32);
    }
}

/// Nobody reads until the sender can send no more: the window is closed, and opens with the first reading.
pub(crate) fn a_closed_window_opens_again(world: &World) {
    let (listener, address) = world.listener(Family::Inet, 5);
    // Before the handshake, since the window's scale is told there.
    listener.setsockopt(SockOpt::ReceiveBuffer, 8192).unwrap();
    let client = world.socket(Kind::Stream);
    client.connect(&address).unwrap();
    let (server, _) = listener.accept().unwrap();
    let data = bytes(64 << 20);
    let mut sent = 0;
    client.settimeout(Some(SHORT)).unwrap();
    while let Ok(n) = client.send(&data[sent..], NONE) {
        sent += n;
    }
    assert!(sent < data.len());
    client.settimeout(Some(LONG)).unwrap();
    server.settimeout(Some(LONG)).unwrap();
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        (&server).read_to_end(&mut all).unwrap();
        all
    });
    let rest = sent + 1_000_000;
    client.sendall(&data[sent..rest], NONE).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let all = reader.join().unwrap();
    assert_eq!(all.len(), rest);
    assert!(all == data[..rest]);
}

/// With SO_LINGER, what was sent before `close` arrives, whoever waits for it.
pub(crate) fn lingering_loses_nothing(world: &World) {
    let (server, client) = world.connection();
    client.setsockopt(SockOpt::Linger, Some(LONG)).unwrap();
    let data = bytes(2_000_000);
    let expected = data.clone();
    let writer = thread::spawn(move || {
        client.sendall(&data, NONE).unwrap();
        client.close();
    });
    let mut all = Vec::new();
    (&server).read_to_end(&mut all).unwrap();
    writer.join().unwrap();
    assert!(all == expected);
}

/// Ten thousand writes of a few octets each, with Nagle's algorithm and without: all of them, in order.
pub(crate) fn many_small_writes(world: &World) {
    for nodelay in [false, true] {
        let (server, client) = world.connection();
        client.setsockopt(SockOpt::NoDelay, nodelay).unwrap();
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            (&server).read_to_end(&mut all).unwrap();
            all
        });
        let mut sent = Vec::new();
        for n in 0..10_000u32 {
            let line = format!("{n},");
            client.sendall(line.as_bytes(), NONE).unwrap();
            sent.extend_from_slice(line.as_bytes());
        }
        client.close();
        assert!(reader.join().unwrap() == sent, "TCP_NODELAY {nodelay}");
    }
}

/// W-63: the first send after the peer closed goes out and draws a reset; a later one fails.
pub(crate) fn sending_to_one_who_has_closed(world: &World) {
    let (server, client) = world.connection();
    server.close();
    assert_eq!(client.recv(1, NONE).unwrap(), b"");
    assert_eq!(client.send(b"x", NONE).unwrap(), 1);
    let code = loop {
        match client.send(b"y", NONE) {
            Ok(_) => thread::yield_now(),
            Err(error) => break error.raw_os_error(),
        }
    };
    assert_eq!(code, Some(32));
}

pub(crate) fn peeking_and_waiting_for_all(world: &World) {
    let (server, client) = world.connection();
    client.sendall(b"abcdef", NONE).unwrap();
    assert_eq!(server.recv(6, Flags::PEEK | Flags::WAITALL).unwrap(), b"abcdef");
    assert_eq!(server.recv(2, Flags::PEEK).unwrap(), b"ab");
    assert_eq!(server.recv(6, NONE).unwrap(), b"abcdef");
    assert_eq!(errno(server.recv(6, Flags::DONTWAIT)), 11);
    let writer = thread::spawn(move || {
        for part in [b"12", b"34", b"56"] {
            client.sendall(part, NONE).unwrap();
        }
        client
    });
    assert_eq!(server.recv(6, Flags::WAITALL).unwrap(), b"123456");
    let client = writer.join().unwrap();
    // Who looks at what stays there is woken by what is added. Mostly it waits already when the rest comes.
    server.settimeout(None).unwrap();
    server
        .setsockopt(SockOpt::ReceiveTimeout, Some(super::LONG))
        .unwrap();
    for _ in 0..20 {
        client.sendall(b"a", NONE).unwrap();
        assert_eq!(server.recv(1, Flags::PEEK).unwrap(), b"a");
        thread::scope(|scope| {
            let (looks, look) = std::sync::mpsc::channel();
            let server = &server;
            let looking = scope.spawn(move || {
                looks.send(()).unwrap();
                server.recv(3, Flags::PEEK | Flags::WAITALL).unwrap()
            });
            look.recv().unwrap();
            for part in [b"b", b"c"] {
                (0..100).for_each(|_| thread::yield_now());
                client.sendall(part, NONE).unwrap();
            }
            assert_eq!(looking.join().unwrap(), b"abc");
        });
        assert_eq!(server.recv(9, NONE).unwrap(), b"abc");
    }
    // The end comes before everything did.
    client.close();
    assert_eq!(server.recv(6, Flags::WAITALL).unwrap(), b"");
}

pub(crate) fn truncating_a_stream_drops_octets(world: &World) {
    let (server, client) = world.connection();
    client.sendall(b"abcdef", NONE).unwrap();
    server.recv(6, Flags::PEEK | Flags::WAITALL).unwrap();
    let mut buf = [b'.'; 4];
    assert_eq!(server.recv_into(&mut buf, Flags::TRUNC).unwrap(), 4);
    assert_eq!(&buf, b"....");
    assert_eq!(server.recv(9, NONE).unwrap(), b"ef");
}

pub(crate) fn urgent_data(world: &World) {
    let (server, client) = world.connection();
    client.sendall(b"ab", NONE).unwrap();
    assert_eq!(client.send(b"!", Flags::OOB).unwrap(), 1);
    client.sendall(b"cd", NONE).unwrap();
    // Reading stops at the mark.
    assert_eq!(server.recv(2, Flags::WAITALL).unwrap(), b"ab");
    let urgent = loop {
        match server.recv(9, Flags::OOB) {
            Ok(urgent) => break urgent,
            // Announced and not come, or not even announced.
            Err(error) if matches!(error.raw_os_error(), Some(11 | 22)) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(urgent, b"!");
    assert_eq!(errno(server.recv(9, Flags::OOB)), 22);
    assert_eq!(server.recv(2, Flags::WAITALL).unwrap(), b"cd");
    // Or it stays where it is.
    server.setsockopt(SockOpt::OobInline, true).unwrap();
    client.send(b"?", Flags::OOB).unwrap();
    assert_eq!(server.recv(9, NONE).unwrap(), b"?");
}

/// AF_INET6 takes IPv4 as mapped addresses, unless it is told not to.
pub(crate) fn the_wildcard_of_ipv6_takes_ipv4_too(world: &World) {
    let listener = Socket::new(&world.server, Family::Inet6, Kind::Stream).unwrap();
    listener.setsockopt(SockOpt::V6Only, false).unwrap();
    listener.bind(("", 0)).unwrap();
    listener.listen(5).unwrap();
    let port = listener.getsockname().unwrap().port();
    assert!(
        listener
            .getsockname()
            .unwrap()
            .as_inet()
            .unwrap()
            .ip()
            .is_unspecified()
    );
    let client = world.socket(Kind::Stream);
    client.connect((world.v4, port)).unwrap();
    let (server, peer) = listener.accept().unwrap();
    let IpAddr::V6(ip) = peer.as_inet().unwrap().ip() else {
        panic!("{peer}")
    };
    let own = client.getsockname().unwrap().as_inet().unwrap();
    assert_eq!(IpAddr::from(ip.to_ipv4_mapped().unwrap()), own.ip());
    assert_eq!(server.getpeername().unwrap(), peer);
    // And back: an IPv6 socket connects to a mapped address.
    let (v4, address) = world.listener(Family::Inet, 5);
    let client = Socket::new(&world.client, Family::Inet6, Kind::Stream).unwrap();
    client
        .connect((world.v4.to_ipv6_mapped(), address.port()))
        .unwrap();
    let (_, peer) = v4.accept().unwrap();
    assert!(peer.as_inet().unwrap().is_ipv4());
    drop((listener, server));

    let only = Socket::new(&world.server, Family::Inet6, Kind::Stream).unwrap();
    only.setsockopt(SockOpt::V6Only, true).unwrap();
    only.bind(("", 0)).unwrap();
    only.listen(5).unwrap();
    let port = only.getsockname().unwrap().port();
    let client = world.socket(Kind::Stream);
    assert_eq!(client.connect_ex((world.v4, port)).unwrap(), 111);
    // It leaves the port to IPv4.
    let beside = Socket::new(&world.server, Family::Inet, Kind::Stream).unwrap();
    beside.bind(("", u32::from(port))).unwrap();
    beside.listen(5).unwrap();
    let client = Socket::new(&world.client, Family::Inet6, Kind::Stream).unwrap();
    client.connect((world.v6, port)).unwrap();
    only.accept().unwrap();
}

pub(crate) fn makefile_reads_lines(world: &World) {
    let (server, client) = world.connection();
    let (_, mut out) = client.makefile();
    write!(out, "first\nsecond\nno newline").unwrap();
    out.flush().unwrap();
    drop(out);
    client.close();
    let (input, _) = server.makefile();
    let lines: Vec<String> = input.lines().map(Result::unwrap).collect();
    assert_eq!(lines, ["first", "second", "no newline"]);
}

/// A clone is the same socket; one thread reads while another writes.
pub(crate) fn threads_share_a_socket(world: &World) {
    let (server, client) = world.connection();
    server.settimeout(Some(LONG)).unwrap();
    client.settimeout(Some(LONG)).unwrap();
    let data = bytes(3_000_000);
    let echo = thread::spawn(move || {
        let mut buf = vec![0; 100_000];
        loop {
            match server.recv_into(&mut buf, NONE).unwrap() {
                0 => break,
                n => server.sendall(&buf[..n], NONE).unwrap(),
            }
        }
    });
    let writer = client.clone();
    let sent = data.clone();
    let sender = thread::spawn(move || {
        writer.sendall(&sent, NONE).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    (&client).read_to_end(&mut back).unwrap();
    assert!(back == data);
    sender.join().unwrap();
    echo.join().unwrap();
}

pub(crate) fn names_of_hosts(world: &World) {
    assert!(!gethostname(&world.server).is_empty());
    assert_eq!(
        gethostbyname(&world.server, "localhost").unwrap(),
        std::net::Ipv4Addr::LOCALHOST
    );
    assert_eq!(
        gethostbyname(&world.server, "10.9.8.7").unwrap(),
        std::net::Ipv4Addr::new(10, 9, 8, 7)
    );
    let error = getaddrinfo(&world.server, "no-such-host.invalid", 80).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("failed to lookup address information"),
        "{error}"
    );
    let listener = Socket::new(&world.server, Family::Inet, Kind::Stream).unwrap();
    listener.bind(("localhost", 0)).unwrap();
    assert!(
        listener
            .getsockname()
            .unwrap()
            .as_inet()
            .unwrap()
            .ip()
            .is_loopback()
    );
}

/// What was written before closing arrives, though the program ends at once.
pub(crate) fn a_program_ends_when_all_is_sent(world: &World) {
    let (server, client) = world.connection();
    let data = bytes(1_000_000);
    let sent = data.clone();
    let writer = thread::spawn(move || client.sendall(&sent, NONE).unwrap());
    let mut all = Vec::new();
    (&server).read_to_end(&mut all).unwrap();
    writer.join().unwrap();
    assert!(world.client.finish_within(LONG));
    assert!(all == data);
}
