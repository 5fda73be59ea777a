//! What fuzzing found (`fuzz/`), each as a short story, so that it stays mended on any toolchain.

#[allow(dead_code, unreachable_pub)]
#[path = "../tcp/pair.rs"]
mod pair;

use pair::{A, B, Pair, addr};
use sockeye_stack::config::SynCookies;
use sockeye_stack::tcp::{Keepalive, State, TcpOptions};
use sockeye_stack::wire::{arp, ethernet, ipv4};
use sockeye_stack::{
    Capabilities, Config, Duration, Frame, Instant, InterfaceConfig, InterfaceId, Profile, RxMeta, Stack,
};
use std::net::Ipv4Addr;

const IF: InterfaceId = InterfaceId(0);
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn arp_reply() -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN + arp::PACKET_LEN];
    let header = ethernet::Header {
        destination: OURS,
        source: THEIRS,
        ethertype: ethernet::ARP,
        vlan: None,
    };
    let reply = arp::Packet {
        operation: arp::Operation::Reply,
        sender_link: THEIRS,
        sender: Ipv4Addr::new(10, 0, 0, 2),
        target_link: OURS,
        target: Ipv4Addr::new(10, 0, 0, 1),
    };
    let at = ethernet::emit(&header, &mut frame);
    arp::emit(&reply, &mut frame[at..]);
    frame
}

/// A segment that waits for its neighbour's link address still tells the device to complete its checksum (MUST-2).
#[test]
fn a_parked_segment_keeps_its_checksum_to_complete() {
    let now = Instant::from_secs(1);
    let mut stack = Stack::new(Config::default(), [1; 32]);
    let interface = InterfaceConfig {
        capabilities: Capabilities {
            tx_checksum: true,
            ..Capabilities::default()
        },
        ..InterfaceConfig::ethernet("eth0", OURS, 1500).address([10, 0, 0, 1], 24)
    };
    stack.add_interface(now, interface);
    let id = stack.tcp_socket(TcpOptions::default());
    stack.tcp_connect(now, id, addr(B, 80)).unwrap();
    let mut frame = Frame::new();
    let mut drain = |stack: &mut Stack| {
        let mut metas = Vec::new();
        while let Some(meta) = stack.poll_transmit(now, &mut frame) {
            let ethertype = ethernet::parse(&frame.to_vec()).unwrap().ethertype;
            metas.push((ethertype, meta.checksum));
        }
        metas
    };
    let asked = drain(&mut stack);
    assert!(
        asked.iter().all(|(ethertype, _)| *ethertype != ethernet::IPV4),
        "the SYN waits"
    );
    stack.handle_frame(now, IF, Frame::from(arp_reply()), RxMeta::default());
    let sent = drain(&mut stack);
    let syn = sent.iter().find(|(ethertype, _)| *ethertype == ethernet::IPV4);
    let (_, checksum) = syn.expect("the SYN leaves");
    assert_eq!(checksum.map(|c| (c.start, c.offset)), Some((14 + 20, 16)));
}

/// No datagram leaves with a time to live of zero (RFC 1122 section 3.2.1.7), whatever an application asks for.
#[test]
fn a_hop_limit_of_zero_is_the_stacks() {
    let now = Instant::from_secs(1);
    let mut stack = Stack::new(Config::default(), [1; 32]);
    stack.add_interface(now, InterfaceConfig::ip("ip0", 1500).address([10, 0, 0, 1], 24));
    let id = stack.tcp_socket(TcpOptions {
        hop_limit: Some(0),
        ..TcpOptions::default()
    });
    stack.tcp_connect(now, id, addr(B, 80)).unwrap();
    let id = stack.udp_socket(sockeye_stack::udp::UdpOptions {
        hop_limit: Some(0),
        ..Default::default()
    });
    stack.udp(now, id).unwrap().send_to(b"x", addr(B, 7)).unwrap();
    let mut frame = Frame::new();
    let mut count = 0;
    while stack.poll_transmit(now, &mut frame).is_some() {
        let packet = frame.to_vec();
        let header = ipv4::parse(&packet, packet.len(), sockeye_stack::wire::Check::Verify).unwrap();
        assert_eq!(header.hop_limit, 64);
        count += 1;
    }
    assert_eq!(count, 2);
}

/// A connection made from a SYN cookie has the options that were agreed (RFC 4987 section 3.6): both sides mean the same
/// by a window, on every tuple.
#[test]
fn a_cookie_keeps_the_window_scale() {
    let cookies = Config {
        syn_cookies: SynCookies::Always,
        ..Config::new(Profile::Rfc)
    };
    let mut p = Pair::with(Config::new(Profile::Rfc), cookies, 1500);
    let listener = p.listen(B, 80, TcpOptions::default(), 16);
    for _ in 0..8 {
        let client = p.connect(A, 80, TcpOptions::default());
        p.run_for(Duration::from_millis(50));
        let now = p.now;
        let (server, _) = p.stacks[B]
            .tcp_accept(now, listener)
            .unwrap()
            .expect("established");
        p.send(A, client, b"to");
        p.send(B, server, b"fro");
        p.run_for(Duration::from_secs(1));
        let of = |p: &mut Pair, host: usize, id| p.stacks[host].tcp(p.now, id).unwrap().info().unwrap();
        let (c, s) = (of(&mut p, A, client), of(&mut p, B, server));
        let unit = 1 << 7;
        assert!(
            c.snd_wnd.abs_diff(s.rcv_wnd) < unit,
            "{} and {}",
            c.snd_wnd,
            s.rcv_wnd
        );
        assert!(
            s.snd_wnd.abs_diff(c.rcv_wnd) < unit,
            "{} and {}",
            s.snd_wnd,
            c.rcv_wnd
        );
    }
}

/// What was switched off was not in our SYN,ACK, and an ACK with a cookie cannot agree it afterwards.
#[test]
fn a_cookie_brings_no_option_that_is_off() {
    let cookies = Config {
        syn_cookies: SynCookies::Always,
        window_scaling: false,
        ..Config::new(Profile::Rfc)
    };
    let mut p = Pair::with(Config::new(Profile::Rfc), cookies, 1500);
    let (client, server) = p.connected();
    p.send(A, client, b"to");
    p.send(B, server, b"fro");
    p.run_for(Duration::from_secs(1));
    let now = p.now;
    let c = p.stacks[A].tcp(now, client).unwrap().info().unwrap();
    let s = p.stacks[B].tcp(now, server).unwrap().info().unwrap();
    assert_eq!(c.snd_wnd, s.rcv_wnd);
    assert_eq!(s.snd_wnd, c.rcv_wnd);
}

/// A congestion window from the time of small segments lets one larger segment go: with nothing in flight no timer would
/// ever come for it (RFC 5681 section 3.1: the loss window is one segment).
#[test]
fn segments_that_grow_beyond_the_congestion_window_still_leave() {
    let mut p = Pair::new(Config::new(Profile::Rfc));
    let small = TcpOptions {
        max_segment: Some(64),
        ..TcpOptions::default()
    };
    let (client, server) = p.connected_with(small, TcpOptions::default());
    let now = p.now;
    p.stacks[A]
        .tcp(now, client)
        .unwrap()
        .set_options(TcpOptions::default());
    p.send(A, client, &[7; 5000]);
    p.run_for(Duration::from_secs(10));
    assert_eq!(p.recv_all(B, server), [7; 5000]);
}

/// A user timeout of hours allows more SYNs than an octet counts (MUST-21).
#[test]
fn an_opening_may_last_for_hours() {
    let mut p = Pair::new(Config::new(Profile::Rfc));
    p.drop_if = Box::new(|_, _| true);
    let hours = Duration::from_secs(8 * 3600);
    let patient = TcpOptions {
        user_timeout: Some(hours),
        ..TcpOptions::default()
    };
    let client = p.connect(A, 80, patient);
    p.run_for(hours - Duration::from_secs(60));
    assert_eq!(p.state(A, client), State::SynSent);
    assert!(p.seen.len() > 256);
    p.run_for(Duration::from_secs(120));
    assert_eq!(p.state(A, client), State::Closed);
}

/// An urgent mark that was passed over unread is no mark any longer.
#[test]
fn a_mark_behind_the_reader_is_forgotten() {
    let mut p = Pair::new(Config::new(Profile::Rfc));
    let (client, server) = p.connected();
    let now = p.now;
    p.stacks[A].tcp(now, client).unwrap().send_urgent(b"now").unwrap();
    p.run_for(Duration::from_millis(50));
    let now = p.now;
    let mut s = p.stacks[B].tcp(now, server).unwrap();
    assert_eq!(s.urgent_ahead(), Some(3));
    s.shutdown_recv();
    assert_eq!(s.urgent_ahead(), None);
    assert!(!s.at_urgent_mark());
}

/// A receive buffer without room, or smaller than a unit of the window scale, would close the window for good; a larger
/// one afterwards is told to the peer.
#[test]
fn a_tiny_receive_buffer_does_not_stop_the_connection() {
    let with_buffer = |octets| TcpOptions {
        receive_buffer: octets,
        ..TcpOptions::default()
    };
    let mut p = Pair::new(Config::new(Profile::Rfc));
    let (client, server) = p.connected_with(TcpOptions::default(), with_buffer(Some(0)));
    p.send(A, client, b"ab");
    let mut got = Vec::new();
    for _ in 0..10 {
        p.run_for(Duration::from_secs(1));
        got.extend(p.recv_all(B, server));
    }
    assert_eq!(got, b"ab");

    let (client, server) = {
        p = Pair::new(Config::new(Profile::Rfc));
        p.connected()
    };
    let now = p.now;
    p.stacks[B]
        .tcp(now, server)
        .unwrap()
        .set_options(with_buffer(Some(1)));
    let data = vec![7; 300_000];
    assert_eq!(p.send(A, client, &data), data.len());
    let mut got = Vec::new();
    for _ in 0..2000 {
        p.run_for(Duration::from_millis(20));
        got.extend(p.recv_all(B, server));
    }
    let slowly = got.len();
    assert!(slowly > 80_000, "beyond the first window: {slowly}");
    let now = p.now;
    p.stacks[B]
        .tcp(now, server)
        .unwrap()
        .set_options(with_buffer(None));
    for _ in 0..100 {
        p.run_for(Duration::from_millis(100));
        got.extend(p.recv_all(B, server));
    }
    assert_eq!(got.len(), data.len());
}

/// Keepalive without any wait would have a probe and its answer chase each other: over loopback, without an end.
#[test]
fn keepalive_takes_its_time() {
    let now = Instant::from_secs(1);
    let mut stack = Stack::new(Config::default(), [1; 32]);
    let local = std::net::SocketAddr::from(([127, 0, 0, 1], 80));
    let listener = stack.tcp_socket(TcpOptions::default());
    stack.tcp_bind(listener, local).unwrap();
    stack.tcp_listen(listener, 1).unwrap();
    let id = stack.tcp_socket(TcpOptions {
        keepalive: Some(Keepalive {
            idle: Duration::ZERO,
            interval: Duration::ZERO,
            count: 3,
        }),
        ..TcpOptions::default()
    });
    stack.tcp_connect(now, id, local).unwrap();
    let mut frame = Frame::new();
    assert!(stack.poll_transmit(now, &mut frame).is_none());
    assert_eq!(stack.tcp(now, id).unwrap().state(), State::Established);
    let (at, _) = stack.next_timeout().expect("a probe is due");
    assert!(at >= now + Duration::from_secs(1));
}
