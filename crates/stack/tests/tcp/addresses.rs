//! Addresses, and what an application sets in the IP header (RFC 9293 sections 3.9.1 and 3.9.2).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sockeye_stack::tcp::{State, TcpOptions};
use sockeye_stack::trace::DropReason;
use sockeye_stack::{BindError, ConnectError, InterfaceConfig, ListenError};

use crate::peer::{PORT, Peer, Setup, ack, data};

fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    Ipv4Addr::new(a, b, c, d).into()
}

/// Proves: MUST-41.
#[test]
fn passive_open_touches_no_existing_record() {
    let mut p = Peer::established(Setup::default());
    let second = p.stack.tcp_socket(TcpOptions::default());
    assert_eq!(p.stack.tcp_bind(second, p.local), Err(BindError::InUse(p.local)));
    let id = p.id.unwrap();
    assert_eq!(p.stack.tcp_listen(id, 4), Err(ListenError::NotFresh));
    p.send(data(1, 1, b"still here"));
    assert_eq!(p.read_all(), b"still here");
    p.at(200).expect("ACK 1 ack 11");
}

/// Proves: MUST-42.
#[test]
fn listen_beside_connections_that_open_on_the_port() {
    let mut p = Peer::new(Setup::default());
    let reuse = TcpOptions {
        reuse_address: true,
        ..TcpOptions::default()
    };
    // An active open in SYN-SENT with local port 80.
    let active = p.stack.tcp_socket(reuse);
    p.stack.tcp_bind(active, p.local).unwrap();
    p.stack
        .tcp_connect(p.now, active, SocketAddr::new(p.remote.ip(), 7))
        .unwrap();
    p.drain();
    assert_eq!(p.take_all().len(), 1);
    assert_eq!(p.stack.tcp(p.now, active).unwrap().state(), State::SynSent);
    p.setup.options = reuse;
    p.listen();
    p.handshake();
    p.accept();
    p.assert_state(State::Established);
    p.ignore();
}

/// Proves: MUST-43.
#[test]
fn a_local_address_can_be_given() {
    let mut p = Peer::new(Setup::default());
    let other = v4(10, 0, 0, 77);
    let second = InterfaceConfig::ip("ip1", 1500).address(other, 32);
    p.stack.add_interface(p.now, second);
    let id = p.stack.tcp_socket(TcpOptions::default());
    p.stack.tcp_bind(id, SocketAddr::new(other, PORT)).unwrap();
    p.stack.tcp_listen(id, 4).unwrap();
    // The listener hears its own address only.
    p.send(p.syn());
    p.expect("RST,ACK 0 ack 1");
    p.local = SocketAddr::new(other, PORT);
    p.send(p.syn());
    p.expect("SYN,ACK 0 ack 1");
    let nowhere = SocketAddr::new(v4(10, 9, 9, 9), 1);
    let id = p.stack.tcp_socket(TcpOptions::default());
    assert_eq!(
        p.stack.tcp_bind(id, nowhere),
        Err(BindError::NotLocal(nowhere.ip()))
    );
}

/// Proves: MUST-44, MUST-45.
#[test]
fn the_source_address_is_chosen_before_the_first_syn_and_kept() {
    let mut p = Peer::new(Setup::default());
    let second = InterfaceConfig::ip("ip1", 1500).address(v4(192, 168, 5, 1), 24);
    p.stack.add_interface(p.now, second);
    p.connect();
    assert_eq!(p.local.ip(), v4(10, 0, 0, 1), "the address on the peer's network");
    p.expect("SYN 0");
    p.send(p.syn().with(sockeye_stack::tcp::Flags::ACK).acking(1));
    p.expect("ACK 1 ack 1");
    p.write(b"x");
    p.expect("PSH,ACK 1+1 ack 1"); // its checksum covers the same address
    assert_eq!(p.sock().local_addr(), Some(p.local));
}

/// Proves: MUST-46.
#[test]
fn open_to_impossible_addresses_is_refused() {
    let mut p = Peer::new(Setup::default());
    let wrong = [v4(255, 255, 255, 255), v4(10, 0, 0, 255), v4(224, 0, 0, 1)];
    for ip in wrong {
        let to = SocketAddr::new(ip, 80);
        let id = p.stack.tcp_socket(TcpOptions::default());
        assert_eq!(
            p.stack.tcp_connect(p.now, id, to),
            Err(ConnectError::InvalidRemote(to))
        );
    }
    let to = SocketAddr::new(p.remote.ip(), 0);
    let id = p.stack.tcp_socket(TcpOptions::default());
    assert_eq!(
        p.stack.tcp_connect(p.now, id, to),
        Err(ConnectError::InvalidRemote(to))
    );
    let to = "[ff02::1]:80".parse().unwrap();
    assert_eq!(
        p.stack.tcp_connect(p.now, id, to),
        Err(ConnectError::InvalidRemote(to))
    );
    p.drain();
    p.quiet();
}

/// The unspecified address is this host: loopback, or the address that the socket is bound to. As BSD and Linux.
#[test]
fn the_unspecified_address_is_this_host() {
    for (bound, to, peer) in [
        (None, "0.0.0.0:80", "127.0.0.1:80"),
        (Some("10.0.0.1:0"), "0.0.0.0:80", "10.0.0.1:80"),
        (None, "[::]:80", "[::1]:80"),
        (None, "[::ffff:0.0.0.0]:80", "127.0.0.1:80"),
    ] {
        let mut p = Peer::new(Setup::default());
        let listener = p.stack.tcp_socket(TcpOptions::default());
        p.stack.tcp_bind(listener, "[::]:80".parse().unwrap()).unwrap();
        p.stack.tcp_listen(listener, 4).unwrap();
        let id = p.stack.tcp_socket(TcpOptions::default());
        if let Some(bound) = bound {
            p.stack.tcp_bind(id, bound.parse().unwrap()).unwrap();
        }
        p.stack.tcp_connect(p.now, id, to.parse().unwrap()).unwrap();
        p.drain();
        let socket = p.stack.tcp(p.now, id).unwrap();
        assert_eq!(socket.peer_addr(), Some(peer.parse().unwrap()), "{to}");
        assert_eq!(socket.state().to_string(), "ESTABLISHED");
        p.quiet();
    }
}

/// A socket for IPv6 alone has no IPv4 addresses, in whatever dress: bind is EINVAL on Linux, connect ENETUNREACH.
#[test]
fn ipv6_only_sockets_have_no_mapped_addresses() {
    let mut p = Peer::new(Setup::default());
    let options = TcpOptions {
        ipv6_only: true,
        ..TcpOptions::default()
    };
    let id = p.stack.tcp_socket(options);
    let mapped: SocketAddr = "[::ffff:10.0.0.1]:80".parse().unwrap();
    assert_eq!(p.stack.tcp_bind(id, mapped), Err(BindError::Family(mapped)));
    let to: SocketAddr = "[::ffff:10.0.0.2]:80".parse().unwrap();
    assert_eq!(
        p.stack.tcp_connect(p.now, id, to),
        Err(ConnectError::NoRoute(to.ip()))
    );
    p.drain();
    p.quiet();
}

/// Proves: MUST-57.
#[test]
fn syns_to_many_are_dropped_silently() {
    let mut p = Peer::new(Setup::default());
    let id = p.stack.tcp_socket(TcpOptions::default());
    p.stack
        .tcp_bind(id, SocketAddr::new(v4(0, 0, 0, 0), PORT))
        .unwrap();
    p.stack.tcp_listen(id, 4).unwrap();
    for ip in [v4(10, 0, 0, 255), v4(255, 255, 255, 255), v4(224, 0, 0, 1)] {
        let packet = p.packet(&p.syn(), p.remote, SocketAddr::new(ip, PORT));
        p.send_packet(packet);
        p.quiet();
    }
    assert!(p.others.is_empty(), "no ICMP either");
    assert_eq!(p.stack.snapshot().sockets.len(), 1);
}

/// Proves: MUST-63.
#[test]
fn syns_from_impossible_sources_are_ignored() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    let wrong = [
        v4(0, 0, 0, 0),
        v4(255, 255, 255, 255),
        v4(10, 0, 0, 255),
        v4(224, 1, 2, 3),
        v4(127, 0, 0, 1),
        v4(10, 0, 0, 1),
    ];
    for ip in wrong {
        let packet = p.packet(&p.syn(), SocketAddr::new(ip, 40_000), p.local);
        p.send_packet(packet);
        p.quiet();
        assert!(p.others.is_empty(), "{ip}");
    }
    assert_eq!(p.stack.drops().total(), wrong.len() as u64);
    assert_eq!(p.drops(DropReason::NoSocket), 0);
}

/// Proves: MUST-48, MUST-49, SHLD-21, SHLD-22.
#[test]
fn traffic_class_and_ttl_are_the_applications() {
    for v6 in [false, true] {
        let options = TcpOptions {
            traffic_class: 0xb8,
            hop_limit: Some(7),
            ..TcpOptions::default()
        };
        let mut p = Peer::new(Setup {
            options,
            v6,
            ..Setup::default()
        });
        p.listen();
        p.send(p.syn());
        let sent = p.expect("SYN,ACK 0 ack 1");
        assert_eq!((sent.traffic_class, sent.hop_limit), (0xb8, 7));
        p.send(ack(1, 1));
        p.accept();
        p.write(b"x");
        let sent = p.expect("PSH,ACK 1+1 ack 1");
        assert_eq!(
            (sent.traffic_class, sent.hop_limit),
            (0xb8, 7),
            "options are inherited"
        );
        p.set(|o| {
            o.traffic_class = 0x28;
            o.hop_limit = Some(99);
        });
        p.write(b"y");
        p.send(ack(1, 2));
        let sent = p.take();
        assert_eq!(
            (sent.traffic_class, sent.hop_limit),
            (0x28, 99),
            "changed during the connection"
        );
        p.ignore();
    }
}

/// Proves: MUST-49.
#[test]
fn the_stacks_ttl_is_the_default() {
    let mut setup = Setup::default();
    setup.config.hop_limit = 33;
    let mut p = Peer::new(setup);
    p.connect();
    assert_eq!(p.take().hop_limit, 33);
}

/// IPv4 options that nobody knows are skipped.
///
/// Proves: MUST-50.
#[test]
fn unknown_ip_options_are_ignored() {
    let mut p = Peer::established(Setup::default());
    let plain = p.packet(&data(1, 1, b"opt"), p.remote, p.local);
    let mut packet = plain[..20].to_vec();
    packet.extend_from_slice(&[0x99, 4, 0, 0]);
    packet.extend_from_slice(&plain[20..]);
    packet[0] = 0x46;
    let total = packet.len() as u16;
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet[10..12].fill(0);
    let sum = sockeye_stack::wire::checksum::sum(&packet[..24]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    p.send_packet(packet);
    assert_eq!(p.read_all(), b"opt");
    p.at(200).expect("ACK 1 ack 4");
}

/// Proves: MUST-48.
#[test]
fn retransmissions_and_resets_have_the_same_addresses() {
    let mut p = Peer::established(Setup::default());
    p.write(b"x");
    p.expect("PSH,ACK 1+1 ack 1");
    p.mark().at(1000).expect("PSH,ACK 1+1 ack 1");
    p.abort();
    p.expect("RST,ACK 2 ack 1");
}
