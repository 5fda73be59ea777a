//! Frames of every kind, right ones, bent ones and noise, towards a stack with open sockets.

use crate::apps::{options, stream};
use crate::build;
use crate::host::{Setup, link, v6};
use crate::input::Input;
use crate::world::World;
use sockeye_stack::Medium;
use sockeye_stack::tcp::TcpOptions;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The entry.
pub fn run(data: &[u8]) {
    let mut u = Input::new(data);
    let setup = Setup::read(&mut u);
    let mut world = World::new(&setup);
    world.bent = true;
    world.advance(sockeye_stack::Duration::from_secs(3));
    for at in [false, true] {
        world.establish(at, TcpOptions::default());
    }
    world.polite = u.flag();
    for port in [7, 80] {
        let id = world.host.stack.udp_socket(Default::default());
        let _ = world.host.stack.udp_bind(id, SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
        world.apps.udp.push(id);
    }
    let mut steps = 0;
    while !u.is_empty() && steps < 200 {
        steps += 1;
        match u.below(16) {
            0..=8 => frame_op(&mut world, &mut u),
            9..=11 => world.flow_op(&mut u),
            12 => {
                let places = world.places;
                world.apps.tcp_call(&mut world.host, &places, &mut u);
            }
            13 => {
                let places = world.places;
                world.apps.udp_call(&mut world.host, &places, &mut u);
            }
            14 => world.resolves = u.flag(),
            _ => {
                let by = u.step();
                world.advance(by);
            }
        }
        if u.flag() {
            world.pump();
        }
    }
    world.end();
}

fn address(world: &World, u: &mut Input<'_>, v6_wanted: bool, ours: bool) -> IpAddr {
    let at = usize::from(v6_wanted);
    let usual = if ours { world.places.ours[at] } else { world.places.theirs[at] };
    let strange: IpAddr = match (u.below(12), v6_wanted) {
        (0, false) => Ipv4Addr::BROADCAST.into(),
        (1, false) => Ipv4Addr::new(10, 0, 0, 255).into(),
        (2, false) => Ipv4Addr::new(224, 0, 0, 1).into(),
        (3, false) => Ipv4Addr::UNSPECIFIED.into(),
        (4, false) => Ipv4Addr::LOCALHOST.into(),
        (0, true) => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
        (1, true) => Ipv6Addr::UNSPECIFIED.into(),
        (2, true) => Ipv6Addr::LOCALHOST.into(),
        (3, true) => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1).into(),
        (4, true) => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2).into(),
        (5, _) => world.places.ours[at],
        (6, _) => world.places.theirs[at],
        _ => return usual,
    };
    strange
}

/// A frame of some kind.
pub fn frame_op(world: &mut World, u: &mut Input<'_>) {
    let kind = u.below(14);
    let six = u.flag();
    let (to, from) = (address(world, u, six, true), address(world, u, six, false));
    let packet = match kind {
        0 => {
            let len = usize::from(u.byte());
            let raw = u.take(len).to_vec();
            world.bent = true;
            world.host.receive(raw);
            return;
        }
        1..=3 => {
            let Some(packet) = bent(world, u) else { return };
            packet
        }
        4 => {
            let port = u.pick(&[7, 80, 9, 0]);
            let len = u.pick(&[0, 1, 100, 1472, 9000]);
            build::udp(SocketAddr::new(from, 1000), SocketAddr::new(to, port), &stream(0, len))
        }
        5 | 6 => icmp_error(world, u, from, to),
        7 => {
            arp(world, u);
            return;
        }
        8 => neighbour(u, from, to),
        9 => {
            pieces(world, u);
            return;
        }
        10 => {
            let Some(packet) = world.material.last().cloned() else { return };
            let kind = u.pick(&[0, 60, 43, 44, 51, 59, 135]);
            let len = u.below(24);
            build::extended(&packet, kind, u.take(len))
        }
        11 => {
            let mut message = vec![if six { u.pick(&[130, 131, 132, 143]) } else { 0x11 }, 0, 0, 0];
            message.extend_from_slice(u.take(24));
            membership(from, to, message)
        }
        12 => {
            let len = usize::from(u.byte()) * 8;
            let mut message = vec![if six { 128 } else { 8 }, 0, 0, 0, 1, 2, 3, 4];
            message.extend(stream(0, len));
            build::icmp(from, to, 64, &message)
        }
        _ => {
            let mut message = u.take(64).to_vec();
            message.resize(message.len().max(8), 0);
            build::icmp(from, to, 255, &message)
        }
    };
    if u.below(8) == 0
        && let Medium::Ethernet { .. } = world.host.medium
    {
        let destination = u.pick(&[[0xff; 6], link(3), [0x33, 0x33, 0, 0, 0, 1], [1, 0, 0x5e, 0, 0, 1], link(1)]);
        let source = u.pick(&[link(2), [0xff; 6], link(1), [0; 6]]);
        let frame = build::ethernet(source, destination, build::ethertype(&packet), &packet);
        world.host.receive(frame);
    } else {
        world.give(packet);
    }
}

/// An older packet with some octets changed, its checksums made right again or not.
fn bent(world: &mut World, u: &mut Input<'_>) -> Option<Vec<u8>> {
    if world.material.is_empty() {
        return None;
    }
    let mut packet = world.material[u.below(world.material.len())].clone();
    // Our own packets, turned round, are packets for us.
    if u.flag() {
        reverse(&mut packet);
    }
    for _ in 0..u.below(5) {
        let range = packet.len().clamp(1, 120);
        let at = u.below(range);
        let Some(octet) = packet.get_mut(at) else { continue };
        match u.below(4) {
            0 => *octet ^= 1 << (u.byte() & 7),
            1 => *octet = u.byte(),
            2 => *octet = octet.wrapping_add(1),
            _ => *octet = u.pick(&[0, 0xff, 0x80, 0x7f]),
        }
    }
    match u.below(8) {
        0 => packet.truncate(usize::from(u.byte())),
        1 => packet.extend_from_slice(u.take(16)),
        _ => {}
    }
    if u.below(4) > 0 {
        build::repair(&mut packet);
    }
    world.bent = true;
    for flow in &mut world.flows {
        flow.spoilt = true;
    }
    Some(packet)
}

fn reverse(packet: &mut [u8]) {
    let ports = match packet.first().map(|b| b >> 4) {
        Some(4) if packet.len() >= 24 => {
            for i in 12..16 {
                packet.swap(i, i + 4);
            }
            usize::from(packet[0] & 15) * 4
        }
        Some(6) if packet.len() >= 44 => {
            for i in 8..24 {
                packet.swap(i, i + 16);
            }
            40
        }
        _ => return,
    };
    if packet.len() >= ports + 4 {
        packet.swap(ports, ports + 2);
        packet.swap(ports + 1, ports + 3);
    }
}

fn icmp_error(world: &World, u: &mut Input<'_>, from: IpAddr, to: IpAddr) -> Vec<u8> {
    let quoted = match world.material.len() {
        0 => Vec::new(),
        n => {
            let mut quoted = world.material[u.below(n)].clone();
            quoted.truncate(u.pick(&[0, 20, 28, 48, 60, 576, 1232]));
            quoted
        }
    };
    let (kind, code) = match from.is_ipv4() {
        true => (u.pick(&[3, 3, 3, 11, 12, 4, 5]), u.pick(&[0, 1, 2, 3, 4, 4, 5, 9, 13, 15])),
        false => (u.pick(&[1, 2, 2, 3, 4, 100, 127]), u.pick(&[0, 1, 2, 3, 4, 5])),
    };
    let mtu = u.pick(&[0, 1, 67, 68, 256, 552, 1279, 1280, 1400, 65_535]);
    let mut message = vec![kind, code, 0, 0, 0, 0];
    message.extend((mtu as u16).to_be_bytes());
    message.extend(quoted);
    build::icmp(from, to, 64, &message)
}

fn arp(world: &mut World, u: &mut Input<'_>) {
    let Medium::Ethernet { address } = world.host.medium else { return };
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, u.pick(&[1, 1, 2, 2, 3])];
    packet.extend(u.pick(&[link(2), link(3), link(1), [0xff; 6], [0; 6]]));
    let pick = |u: &mut Input<'_>| match u.below(6) {
        0 => [0; 4],
        1 => [10, 0, 0, 1],
        2 => [10, 0, 0, 254],
        3 => [10, 0, 0, u.byte()],
        _ => [10, 0, 0, 2],
    };
    packet.extend(pick(u));
    packet.extend(u.pick(&[link(1), [0; 6], [0xff; 6]]));
    packet.extend(pick(u));
    if u.below(8) == 0 {
        let at = u.below(packet.len());
        packet[at] = u.byte();
    }
    let destination = u.pick(&[address, [0xff; 6], link(9)]);
    let frame = build::ethernet(link(2), destination, 0x0806, &packet);
    world.host.receive(frame);
}

fn neighbour(u: &mut Input<'_>, from: IpAddr, to: IpAddr) -> Vec<u8> {
    let (from, to) = match (from, to) {
        (IpAddr::V6(_), IpAddr::V6(_)) => (from, to),
        _ => (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2).into(), v6(1)),
    };
    let kind = u.pick(&[133, 134, 134, 135, 136, 137]);
    let mut message = vec![kind, 0, 0, 0];
    match kind {
        134 => {
            message.extend([u.byte(), u.byte()]);
            message.extend(u.pick(&[0u16, 1, 1800, 9000, 65_535]).to_be_bytes());
            message.extend(u.pick(&[0u32, 1, 30_000, u32::MAX]).to_be_bytes());
            message.extend(u.pick(&[0u32, 1, 1000, u32::MAX]).to_be_bytes());
            for _ in 0..u.below(4) {
                match u.below(4) {
                    0 => {
                        let prefix = 0xfd00_u16.wrapping_add(u16::from(u.byte() & 15));
                        message.extend([3, 4, u.pick(&[64, 64, 0, 128, 48, 255]), u.pick(&[0xc0, 0x40, 0x80, 0])]);
                        message.extend(u.pick(&[0u32, 1, 7200, u32::MAX]).to_be_bytes());
                        message.extend(u.pick(&[0u32, 1, 3600, u32::MAX]).to_be_bytes());
                        message.extend([0; 4]);
                        message.extend(prefix.to_be_bytes());
                        message.extend([0; 14]);
                    }
                    1 => {
                        message.extend([5, 1, 0, 0]);
                        message.extend(u.pick(&[0u32, 68, 1279, 1280, 1400, 9000, u32::MAX]).to_be_bytes());
                    }
                    2 => {
                        message.extend([1, 1]);
                        message.extend(link(2));
                    }
                    _ => {
                        let len = u.below(24);
                        message.extend_from_slice(u.take(len));
                    }
                }
            }
        }
        135..=137 => {
            message[3..4].fill(0);
            message.extend([u.pick(&[0, 0x20, 0x40, 0x60, 0x80, 0xe0]), 0, 0, 0]);
            if let IpAddr::V6(target) = u.pick(&[v6(1), v6(2), v6(254), to, from]) {
                message.extend(target.octets());
            }
            if u.flag() {
                message.extend([if kind == 135 { 1 } else { 2 }, 1]);
                message.extend(u.pick(&[link(2), link(1), [0xff; 6]]));
            }
        }
        _ => message.extend([0; 4]),
    }
    build::icmp(from, to, u.pick(&[255, 255, 255, 64]), &message)
}

/// Fragments of a datagram or of an older packet: in order or not, all of them or not, overlapping or not.
fn pieces(world: &mut World, u: &mut Input<'_>) {
    let whole = match u.below(3) {
        0 => {
            let at = usize::from(u.flag());
            let (from, to) = (world.places.theirs[at], world.places.ours[at]);
            let len = usize::from(u.u16());
            build::udp(SocketAddr::new(from, 1000), SocketAddr::new(to, 7), &stream(0, len.min(65_000)))
        }
        _ => match world.material.len() {
            0 => return,
            n => world.material[u.below(n)].clone(),
        },
    };
    let identification = u16::from(u.byte() & 3);
    let mut all = build::fragments(&whole, usize::from(u.u16()), identification);
    if u.flag() {
        all.extend(build::fragments(&whole, usize::from(u.u16()), identification));
        world.bent = true;
    }
    for _ in 0..all.len() {
        let i = u.below(all.len());
        let piece = all[i].clone();
        world.give(piece);
        if u.below(4) > 0 && all.len() > 1 {
            all.swap_remove(i);
        }
    }
}

fn membership(from: IpAddr, to: IpAddr, mut message: Vec<u8>) -> Vec<u8> {
    if from.is_ipv6() {
        return build::icmp(from, to, 1, &message);
    }
    message.resize(message.len().max(8), 0);
    let value = !build::sum(&[&message]);
    message[2..4].copy_from_slice(&value.to_be_bytes());
    build::ip(from, to, 2, 1, &message)
}

/// Used by programs that only want odd options once.
pub fn odd_options(u: &mut Input<'_>) -> (TcpOptions, bool) {
    if u.flag() { options(u) } else { Default::default() }
}

