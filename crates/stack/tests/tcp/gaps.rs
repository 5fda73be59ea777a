//! Rules that no other file is about.

use std::net::{IpAddr, Ipv4Addr};

use sockeye_stack::tcp::{Flags, Segment, SeqNumber, State, TcpOptions};
use sockeye_stack::trace::TraceKind;
use sockeye_stack::wire::{self, checksum, ethernet, icmpv6, ipv6, ndp};
use sockeye_stack::{Config, Frame, Instant, InterfaceConfig, Readiness, RxMeta, Stack};

use crate::peer::{IF, Peer, Setup, ack, ip_packet, ms, octets};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// A router's word on its link, as a frame.
fn advertisement(mtu: Option<u32>) -> Vec<u8> {
    let told = ndp::RouterAdvertisement {
        router_lifetime: 1800,
        source_link: Some(ROUTER),
        mtu,
        ..ndp::RouterAdvertisement::default()
    };
    let (from, to) = ("fe80::9".parse().unwrap(), "ff02::1".parse().unwrap());
    let mut body = vec![0; ndp::router_advertisement_len(&told, 0)];
    ndp::emit_router_advertisement(&told, &[], &mut body);
    icmpv6::fill_checksum(from, to, &mut body);
    let mut header = ipv6::Header::new(from, to, wire::protocol::ICMPV6, body.len());
    header.hop_limit = 255;
    let mut frame = vec![0; 14 + ipv6::HEADER_LEN];
    frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    frame[6..12].copy_from_slice(&ROUTER);
    frame[12..14].copy_from_slice(&0x86dd_u16.to_be_bytes());
    assert_eq!(ethernet::HEADER_LEN, 14);
    ipv6::emit(&header, &mut frame[14..]);
    frame.extend(body);
    frame
}

/// The SYN that opens a connection to another network, on a link whose router has spoken.
fn syn_behind(mtu: Option<u32>) -> Segment {
    let now = Instant::from_secs(1);
    let mut stack = Stack::new(Config::default(), [1; 32]);
    let ours: IpAddr = "2001:db8::1".parse().unwrap();
    let mut link = InterfaceConfig::ethernet("eth0", MAC, 1500).address(ours, 64);
    link.autoconfigure = true;
    stack.add_interface(now, link);
    stack.handle_frame(now, IF, Frame::from(advertisement(mtu)), RxMeta::default());
    let id = stack.tcp_socket(TcpOptions::default());
    stack
        .tcp_connect(now, id, "[2600::1]:80".parse().unwrap())
        .unwrap();
    let mut frame = Frame::new();
    while stack.poll_transmit(now, &mut frame).is_some() {
        let bytes = std::mem::take(&mut frame).to_vec();
        if bytes[12..14] == [0x86, 0xdd] && bytes[20] == wire::protocol::TCP {
            let tcp = &bytes[54..];
            return wire::tcp::parse(tcp, tcp.len()).unwrap().segment;
        }
    }
    panic!("no SYN");
}

/// The MSS that is offered comes from what the link takes, not from what the device could.
///
/// Proves: SHLD-6.
#[test]
fn the_mss_follows_the_smallest_mtu_of_the_link() {
    assert_eq!(syn_behind(None).options.mss, Some(1440));
    assert_eq!(syn_behind(Some(1400)).options.mss, Some(1340));
    assert_eq!(
        syn_behind(Some(9000)).options.mss,
        Some(1440),
        "more than the device takes"
    );
}

/// A SYN that waits for its neighbour's address has it asked for in the same turn: the driver polls until there is nothing, and
/// then sleeps.
#[test]
fn a_neighbour_is_asked_for_at_once() {
    let now = Instant::from_secs(1);
    let asks = |to: &str, flat: bool| {
        let mut stack = Stack::new(Config::default(), [1; 32]);
        let link = InterfaceConfig::ethernet("eth0", MAC, 1500)
            .address(Ipv4Addr::new(10, 0, 0, 1), 24)
            .address("2001:db8::1".parse::<IpAddr>().unwrap(), 64);
        stack.add_interface(now, link);
        let mut frame = Frame::new();
        while stack.poll_transmit(now, &mut frame).is_some() {} // its memberships
        let id = stack.tcp_socket(TcpOptions::default());
        stack.tcp_connect(now, id, to.parse().unwrap()).unwrap();
        if flat {
            let mut slot = [0; 1514];
            let (_, len) = stack.poll_transmit_into(now, &mut slot).expect("a question");
            return slot[..len].to_vec();
        }
        stack.poll_transmit(now, &mut frame).expect("a question");
        frame.to_vec()
    };
    for flat in [false, true] {
        assert_eq!(asks("10.0.0.2:80", flat)[12..14], [8, 6], "ARP");
        let solicitation = asks("[2001:db8::2]:80", flat);
        assert_eq!(
            (solicitation[20], solicitation[54]),
            (wire::protocol::ICMPV6, 135)
        );
    }
}

/// RFC 6298 section 3: at least one sample a round trip; without timestamps one segment at a time is measured.
///
/// Proves: 6298-3b.
#[test]
fn every_round_trip_is_measured() {
    let mut p = Peer::established(Setup::default());
    let measured = |p: &Peer| {
        p.trace
            .iter()
            .filter(|e| matches!(e.kind, TraceKind::Rtt { .. }))
            .count()
    };
    for n in 0..5 {
        p.write_n(3000);
        p.take_all();
        p.wait_ms(100);
        p.send(ack(1, 3001 + n * 3000));
        assert_eq!(measured(&p), n as usize + 1);
    }
    assert!(p.info().srtt > ms(0) && p.info().srtt <= ms(100));
}

/// An ARP answer to us, or a TCP segment from 8.8.8.8 by way of a router, as a frame.
fn frame_from(router: [u8; 6], ethertype: u16, packet: &[u8]) -> Frame {
    let mut frame = [&MAC[..], &router[..], &ethertype.to_be_bytes(), packet].concat();
    frame.resize(frame.len().max(60), 0);
    Frame::from(frame)
}

/// At R1 IP is told: the router through which nothing is heard is asked, and left when it is silent.
///
/// Proves: MUST-20.
#[test]
fn a_silent_router_is_left_by_its_connections() {
    let routers: [(Ipv4Addr, [u8; 6]); 2] =
        [([192, 0, 2, 8].into(), ROUTER), ([192, 0, 2, 9].into(), [2; 6])];
    let (us, peer): (Ipv4Addr, Ipv4Addr) = ([192, 0, 2, 1].into(), [8, 8, 8, 8].into());
    let mut now = Instant::from_secs(1);
    let mut stack = Stack::new(Config::default(), [1; 32]);
    let link = InterfaceConfig::ethernet("eth0", MAC, 1500).address(us, 24);
    let link = link.gateway(routers[0].0).gateway(routers[1].0);
    stack.add_interface(now, link);
    let id = stack.tcp_socket(TcpOptions::default());
    stack.tcp_connect(now, id, (peer, 80).into()).unwrap();
    let (mut went, mut left_at) = (Vec::new(), Instant::NEVER);
    let mut written = false;
    // The first router answers until the connection stands, and then never again; the second always.
    while now < Instant::from_secs(150) {
        let mut frame = Frame::new();
        while stack.poll_transmit(now, &mut frame).is_some() {
            let bytes = std::mem::take(&mut frame).to_vec();
            if bytes[12..14] == [8, 6] {
                let asked = wire::arp::parse(&bytes[14..]).unwrap();
                let known = routers
                    .iter()
                    .find(|r| r.0 == asked.target && (r.1 != ROUTER || !written));
                let Some(&(sender, sender_link)) = known else {
                    continue;
                };
                let answer = wire::arp::Packet {
                    operation: wire::arp::Operation::Reply,
                    sender_link,
                    sender,
                    target_link: MAC,
                    target: us,
                };
                let mut out = vec![0; wire::arp::PACKET_LEN];
                wire::arp::emit(&answer, &mut out);
                stack.handle_frame(now, IF, frame_from(sender_link, 0x806, &out), RxMeta::default());
            } else if bytes[23] == wire::protocol::TCP {
                let segment = wire::tcp::parse(&bytes[34..], bytes.len() - 34).unwrap().segment;
                if segment.flags.contains(Flags::SYN) {
                    let answer = Segment {
                        seq: SeqNumber(1),
                        ack: segment.seq + 1,
                        flags: Flags::SYN | Flags::ACK,
                        window: 60_000,
                        ..Segment::default()
                    };
                    let mut tcp = vec![0; wire::tcp::header_len(&answer)];
                    let port = u16::from_be_bytes([bytes[34], bytes[35]]);
                    wire::tcp::emit(&answer, 80, port, &mut tcp);
                    let (from, to) = (peer.into(), us.into());
                    let pseudo = checksum::pseudo(from, to, wire::protocol::TCP, tcp.len() as u32);
                    let sum = pseudo.add(&tcp).finish();
                    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
                    let packet = ip_packet(from, to, wire::protocol::TCP, &tcp);
                    stack.handle_frame(now, IF, frame_from(ROUTER, 0x800, &packet), RxMeta::default());
                } else if segment.payload_len > 0 {
                    went.push(<[u8; 6]>::try_from(&bytes[..6]).unwrap());
                    if went.last() != Some(&ROUTER) && left_at.is_never() {
                        left_at = now;
                    }
                }
            }
        }
        if !written && stack.tcp(now, id).unwrap().state() == State::Established {
            written = true;
            stack.tcp(now, id).unwrap().send(b"anybody there?").unwrap();
            continue;
        }
        let Some((at, _)) = stack.next_timeout() else {
            break;
        };
        now = if now < at { at } else { now };
        stack.handle_timeout(now);
    }
    assert_eq!(went.first(), Some(&ROUTER));
    assert_eq!(went.last(), Some(&[2; 6]), "{went:?}");
    // R1 is reached after 1 + 2 + 4 s, and the router has 3 s to answer: sooner than it would have been asked otherwise.
    assert!(left_at < Instant::from_secs(20), "{left_at}");
}

/// With our window closed, ACKs and urgent pointers of probes count (MUST-66), but only of probes whose ACK can be the peer's.
///
/// Proves: U-9, MAY-12.
#[test]
fn the_ack_range_is_checked_when_our_window_is_closed() {
    let mut setup = Setup {
        window: 5000,
        ..Setup::default()
    };
    setup.options.receive_buffer = Some(2000);
    let mut p = Peer::established(setup);
    p.send(octets(1, 1, 1000));
    p.send(octets(1001, 1, 1000));
    assert_eq!(p.take().segment.window, 0);
    p.told();
    for (number, counts) in [(-5000, false), (2, false), (1 - 5000, true)] {
        p.send(octets(2001, number, 1).urgent(60));
        p.expect("ACK 1 ack 2001");
        assert_eq!(p.told().contains(Readiness::URGENT), counts, "ACK {number}");
    }
}

/// A super-segment's partial checksum has the whole length in its pseudo-header: whoever splits it puts each segment's in
/// its place (virtio, Linux).
///
/// Proves: MUST-2.
#[test]
fn a_super_segment_leaves_its_checksum_to_the_device() {
    let (us, peer): (IpAddr, IpAddr) = (
        Ipv4Addr::new(10, 0, 0, 1).into(),
        Ipv4Addr::new(10, 0, 0, 2).into(),
    );
    let now = Instant::from_secs(1);
    let mut stack = Stack::new(Config::default(), [1; 32]);
    let mut link = InterfaceConfig::ip("tun0", 1500).address(us, 24);
    link.capabilities.tx_checksum = true;
    link.capabilities.gso_max = 65_535;
    stack.add_interface(now, link);
    let id = stack.tcp_socket(TcpOptions::default());
    stack.tcp_connect(now, id, (peer, 80).into()).unwrap();
    let mut frame = Frame::new();
    assert!(stack.poll_transmit(now, &mut frame).is_some());
    let syn = frame.to_vec();
    let number = wire::tcp::parse(&syn[20..], syn.len() - 20).unwrap().segment.seq;
    let answer = Segment {
        seq: SeqNumber(1),
        ack: number + 1,
        flags: Flags::SYN | Flags::ACK,
        window: 60_000,
        ..Segment::default()
    };
    let mut tcp = vec![0; wire::tcp::header_len(&answer)];
    wire::tcp::emit(&answer, 80, u16::from_be_bytes([syn[20], syn[21]]), &mut tcp);
    let sum = checksum::pseudo(peer, us, wire::protocol::TCP, tcp.len() as u32)
        .add(&tcp)
        .finish();
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let packet = ip_packet(peer, us, wire::protocol::TCP, &tcp);
    stack.handle_frame(now, IF, Frame::from(packet), RxMeta::default());
    stack.tcp(now, id).unwrap().send(&[7; 5000]).unwrap();
    let meta = loop {
        let meta = stack.poll_transmit(now, &mut frame).expect("data leaves");
        if meta.gso_size > 0 {
            break meta;
        }
    };
    let offload = meta.checksum.expect("the device completes it");
    let bytes = frame.to_vec();
    let at = usize::from(offload.start + offload.offset);
    let length = (bytes.len() - usize::from(offload.start)) as u32;
    assert!(length > 1500);
    let expected = checksum::pseudo(us, peer, wire::protocol::TCP, length).partial();
    assert_eq!(bytes[at..at + 2], expected.to_be_bytes());
}
