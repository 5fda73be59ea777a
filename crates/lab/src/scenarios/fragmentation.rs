//! What does not fit into one packet.

use sockeye_stack::UdpError;
use sockeye_stack::trace::{Cause, DropReason, RetransmitCause};
use sockeye_stack::udp::UdpOptions;

use super::Scenario;
use super::log::list;
use super::stage::{Stage, pair};
use crate::packet::Packet;
use crate::{ms, secs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "fragmentation",
    about: "IP cuts a large datagram in pieces, and one lost piece loses all; TCP finds the path's MTU instead",
    play,
};

fn play(stage: &mut Stage<'_>) {
    datagrams(stage);
    path_mtu(stage);
}

/// Offset in octets, and whether more follow, of each IPv4 fragment.
fn fragments(frames: &[(sockeye_stack::Instant, &[u8])]) -> Vec<(usize, bool)> {
    let fields = frames
        .iter()
        .filter(|(_, b)| b.len() >= 20 && b[0] >> 4 == 4)
        .map(|(_, b)| u16::from_be_bytes([b[6], b[7]]));
    fields
        .map(|field| (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0))
        .filter(|(at, more)| *at > 0 || *more)
        .collect()
}

fn datagrams(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("UDP: 4000 octets over an MTU of 1500", pair);
    let (client, server) = (pair.client, pair.server);
    let sender = scene.udp(client, "10.0.0.1:7890", UdpOptions::default());
    let receiver = scene.udp(server, "10.0.0.2:8080", UdpOptions::default());
    let bytes: Vec<u8> = (0..4000_u32).map(|n| (n % 251) as u8).collect();
    let sent = scene.send_to(client, sender, &bytes, "10.0.0.2:8080");
    scene.run_for(secs(1));
    let pieces = fragments(&scene.log.frames(client));
    scene.equal(
        "three fragments: at 0, 1480 and 2960",
        pieces.clone(),
        vec![(0, true), (1480, true), (2960, false)],
    );
    let came = scene.recv_from(server, receiver).map(|d| d.payload.to_vec());
    scene.correct(
        "W-29",
        "a datagram is never split",
        "UDP does not split it, but IP does where it must, and puts it together again",
        sent.is_ok() && came.as_deref() == Ok(&bytes),
        format!(
            "{} fragments, read as one datagram of {} octets",
            pieces.len(),
            came.map_or(0, |d| d.len())
        ),
    );
    scene.world.edit(pair.link).forward().drop_nth(2, Packet::is_udp);
    scene.note(client, "again, and the second fragment is lost");
    let _ = scene.send_to(client, sender, &bytes, "10.0.0.2:8080");
    scene.run_for(secs(120));
    let nothing = scene.recv_from(server, receiver).map(|d| d.payload.len());
    scene.equal(
        "one lost fragment loses the whole datagram",
        nothing,
        Err(UdpError::WouldBlock),
    );
    let dropped = scene.log.drops(server, DropReason::FragmentTimeout);
    scene.check(
        "the others are held for a minute and then dropped",
        dropped >= 1,
        format!("{dropped} timeouts"),
    );
}

fn path_mtu(stage: &mut Stage<'_>) {
    let (mut scene, (client, router, server)) = stage.scene("TCP: a narrow link behind a router", |world| {
        let client = world.host("client").ip("10.0.1.1/24").gateway("10.0.1.254").id();
        let router = world
            .router("router")
            .port("10.0.1.254/24")
            .port("10.0.2.254/24")
            .id();
        let server = world.host("server").ip("10.0.2.1/24").gateway("10.0.2.254").id();
        world.link(client, router).delay(ms(5));
        world.link(router, server).delay(ms(5)).mtu(600);
        (client, router, server)
    });
    let listener = scene.listen(server, "10.0.2.1:8000", 5);
    let (c, s) = scene.open(client, server, listener, "10.0.2.1:8000");
    scene.run_for(secs(1));
    let bytes: Vec<u8> = (0..20_000_u32).map(|n| (n % 253) as u8).collect();
    let _ = scene.send(client, c, &bytes);
    let mut received = Vec::new();
    let came = scene.until("all octets arrive", secs(60), |scene| {
        while let Ok(read) = scene.recv(server, s) {
            received.extend(read);
        }
        received.len() == bytes.len()
    });
    scene.check(
        "all octets arrive, in order, once",
        came && received == bytes,
        format!("{} octets", received.len()),
    );
    let too_big = scene
        .log
        .arrivals(client)
        .iter()
        .filter(|(_, b)| b.len() > 21 && b[9] == 1 && b[20] == 3 && b[21] == 4)
        .count();
    scene.check(
        "the router says what fits (ICMP: fragmentation needed)",
        too_big >= 1,
        format!("{too_big} messages"),
    );
    let again: Vec<_> = scene
        .log
        .sent(client)
        .iter()
        .filter(|seg| seg.cause == Some(Cause::Retransmit(RetransmitCause::PathMtu)))
        .map(|seg| seg.segment.payload_len)
        .collect();
    scene.check(
        "what did not fit goes again in smaller pieces (RFC 1191)",
        !again.is_empty(),
        list(again.iter().take(4)),
    );
    let mut cut = fragments(&scene.log.frames(client));
    cut.extend(fragments(&scene.log.frames(router)));
    scene.check(
        "TCP itself is never fragmented",
        cut.is_empty(),
        format!("{} fragments", cut.len()),
    );
    let largest = scene.log.arrivals(server).iter().map(|(_, b)| b.len()).max();
    scene.check(
        "packets behind the router have 600 octets at most",
        largest.is_some_and(|n| n <= 600),
        format!("{largest:?}"),
    );
}
