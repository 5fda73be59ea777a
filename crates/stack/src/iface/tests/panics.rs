//! Whatever comes, nothing panics, nothing grows without bound, and time goes on.

use proptest::prelude::*;
use std::vec;

use super::*;
use crate::wire::{ethernet, igmp, ndp};

/// Frames that reach deep: what hosts of every kind send.
fn samples() -> Vec<Vec<u8>> {
    let mut b = neighbor_host();
    for to in ["192.0.2.1", "2001:db8::1", "192.0.2.255", "ff02::1", "224.0.0.1"] {
        b.send_udp(to, 20);
        b.send_udp(to, 3000);
    }
    let mut a = ethernet_host();
    let mut all = Vec::new();
    for _ in 0..6 {
        let sent: Vec<_> = b.all_sent().into_iter().map(|f| f.0).collect();
        for f in sent {
            all.push(f.clone());
            let back = a.receive(f);
            if let Some(Inbound::Udp(p)) = back {
                a.with(|l, env| l.icmp_error(env, &p, crate::iface::IcmpError::PortUnreachable));
            }
        }
        for (f, _) in a.all_sent() {
            all.push(f.clone());
            b.receive(f);
        }
    }
    b.with(|l, env| l.join(env, ip("239.1.2.3"), ETH)).unwrap();
    b.with(|l, env| l.join(env, ip("ff05::1:2"), ETH)).unwrap();
    all.extend(b.all_sent().into_iter().map(|f| f.0));
    all.push(advertisement());
    all.push(query());
    all
}

fn advertisement() -> Vec<u8> {
    let a = ndp::RouterAdvertisement {
        router_lifetime: 100,
        source_link: Some(PEER_MAC),
        ..ndp::RouterAdvertisement::default()
    };
    let mut body = vec![0; ndp::router_advertisement_len(&a, 0)];
    ndp::emit_router_advertisement(&a, &[], &mut body);
    let (s, d) = ("fe80::9".parse().unwrap(), "ff02::1".parse().unwrap());
    crate::wire::icmpv6::fill_checksum(s, d, &mut body);
    let mut out = vec![0; 54];
    let header = crate::wire::ipv6::Header {
        hop_limit: 255,
        ..crate::wire::ipv6::Header::new(s, d, 58, body.len())
    };
    crate::wire::ipv6::emit(&header, &mut out[14..]);
    ethernet::emit(&link(ethernet::multicast_v6(d), ethernet::IPV6), &mut out);
    out.extend(body);
    out
}

fn query() -> Vec<u8> {
    let mut out = vec![0; 14 + 24 + 12];
    let header = crate::wire::ipv4::Header {
        router_alert: true,
        ..crate::wire::ipv4::Header::new([192, 0, 2, 9].into(), [224, 0, 0, 1].into(), 2, 36)
    };
    ethernet::emit(
        &link(ethernet::multicast_v4([224, 0, 0, 1].into()), ethernet::IPV4),
        &mut out,
    );
    crate::wire::ipv4::emit(&header, &mut out[14..]);
    igmp::emit_query([0; 4].into(), 10, 2, 10, &mut out[38..]);
    out
}

fn link(destination: ethernet::Address, ethertype: u16) -> ethernet::Header {
    ethernet::Header {
        destination,
        source: PEER_MAC,
        ethertype,
        vlan: None,
    }
}

/// A host that does not look at checksums, so that damaged frames get far, with everything on.
fn open_host(ethernet: bool) -> Host {
    let mut config = if ethernet {
        ethernet_config(MAC, [192, 0, 2, 1], "2001:db8::1")
    } else {
        InterfaceConfig::ip("tun0", 1500)
            .address([192, 0, 2, 1], 24)
            .address(ip("2001:db8::1"), 64)
    };
    config.capabilities.no_checksums = true;
    config.autoconfigure = true;
    config.duplicate_address_detection = true;
    let mut h = Host::new(config);
    h.config.reassembly_max = 20_000;
    h.pass(Duration::from_secs(3));
    h.with(|l, env| l.join(env, ip("239.1.2.3"), ETH)).unwrap();
    h
}

fn shapes(bytes: &[u8], cut: usize) -> [Frame; 2] {
    let cut = cut.min(bytes.len()).min(crate::frame::HEAD_CAPACITY);
    let mut split = Frame::new();
    split.head.extend(cut).copy_from_slice(&bytes[..cut]);
    split.body.push(bytes::Bytes::copy_from_slice(&bytes[cut..]));
    [Frame::from(bytes.to_vec()), split]
}

fn throw(h: &mut Host, bytes: &[u8], cut: usize) {
    for frame in shapes(bytes, cut) {
        if let Some(Inbound::Tcp(p) | Inbound::Udp(p)) = h.receive(frame) {
            assert!(p.at <= p.frame.len() && p.network <= p.at);
            h.with(|l, env| l.icmp_error(env, &p, crate::iface::IcmpError::PortUnreachable));
        }
    }
    for (frame, _) in h.all_sent() {
        assert!(frame.len() <= 1514);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn random_frames(
        ethernet: bool,
        frames in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..120), 0u16..4, 0usize..80), 1..20),
    ) {
        let mut h = open_host(ethernet);
        for (mut bytes, kind, cut) in frames {
            if ethernet && bytes.len() > 15 {
                let kind = [ethernet::ARP, ethernet::IPV4, ethernet::IPV6, 0x8100][usize::from(kind)];
                ethernet::emit(&link(MAC, kind), &mut bytes);
                bytes[14] = if kind == ethernet::IPV6 { 0x60 } else { 0x45 };
            }
            throw(&mut h, &bytes, cut);
        }
        h.pass(Duration::from_secs(100));
    }

    #[test]
    fn damaged_frames(
        ethernet: bool,
        picks in proptest::collection::vec(
            (any::<proptest::sample::Index>(), proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..5),
             any::<proptest::sample::Index>(), 0u64..3000, 0usize..80),
            1..40,
        ),
    ) {
        let all = samples();
        let mut h = open_host(ethernet);
        for (which, damage, len, ms, cut) in picks {
            let mut bytes = all[which.index(all.len())].clone();
            if !ethernet {
                bytes.drain(..14);
            }
            for (at, value) in damage {
                let reach = bytes.len().min(90);
                let at = at.index(reach);
                bytes[at] = value;
            }
            if len.index(4) == 0 {
                bytes.truncate(len.index(bytes.len()));
            }
            throw(&mut h, &bytes, cut);
            h.pass(Duration::from_millis(ms));
            h.all_sent();
        }
        h.pass(Duration::from_secs(100));
    }
}
