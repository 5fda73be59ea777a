//! A stream has no boundaries; datagrams have nothing else.

use std::net::SocketAddr;

use sockeye_stack::UdpError;
use sockeye_stack::trace::DropReason;
use sockeye_stack::udp::UdpOptions;

use super::Scenario;
use super::stage::{Pair, Stage};
use crate::world::World;
use crate::{ms, secs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "stream-vs-datagram",
    about: "TCP is a stream without boundaries, both ways at once; UDP keeps each datagram whole, or loses it",
    play,
};

fn play(stage: &mut Stage<'_>) {
    stream(stage);
    datagrams(stage);
    addresses(stage);
    sizes(stage);
}

fn build(world: &mut World) -> Pair {
    let client = world.host("client").ip("10.0.0.1/24").ip("fd00::1/64").id();
    let server = world
        .host("server")
        .ip("10.0.0.2/24")
        .ip("10.0.0.77/24")
        .ip("fd00::2/64")
        .id();
    let link = world.link(client, server).delay(ms(10)).id();
    Pair { client, server, link }
}

fn stream(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("TCP: three sends, one read; one send, three reads", build);
    let (client, server) = (pair.client, pair.server);
    let listener = scene.listen(server, "10.0.0.2:8000", 5);
    let (c, s) = scene.open(client, server, listener, "10.0.0.2:8000");
    scene.run_for(secs(1));
    for part in ["one", "two", "three"] {
        let _ = scene.send(client, c, part.as_bytes());
        let _ = scene.send(server, s, part.to_uppercase().as_bytes());
    }
    scene.run_for(secs(1));
    let (there, here) = (scene.recv_text(server, s), scene.recv_text(client, c));
    scene.correct(
        "W-37",
        "messages stand in the receive buffer as a queue",
        "so do UDP's; TCP's buffer is a stream of octets without boundaries",
        there == "onetwothree",
        format!("three sends were read as {there:?}"),
    );
    scene.correct(
        "W-25",
        "one end must receive while the other sends",
        "that is a rule of those programs; the transport is full duplex",
        there == "onetwothree" && here == "ONETWOTHREE",
        format!("both sent before either read: {there:?} and {here:?}"),
    );
    let _ = scene.send(client, c, b"abcdefghi");
    scene.run_for(secs(1));
    let now = scene.now();
    let mut parts = Vec::new();
    for _ in 0..3 {
        let mut three = [0; 3];
        let read = scene
            .world
            .stack(server)
            .tcp(now, s)
            .map(|mut socket| socket.recv(&mut three));
        parts.push((read.is_ok_and(|n| n == Ok(3))).then(|| String::from_utf8_lossy(&three).into_owned()));
    }
    let expected = ["abc", "def", "ghi"].map(|part| Some(part.to_string()));
    scene.equal(
        "a read with a small buffer takes a part; nothing is lost",
        parts,
        expected.to_vec(),
    );
}

fn datagrams(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("UDP: one send, one read, no answer from anybody", build);
    let (client, server) = (pair.client, pair.server);
    let sender = scene.udp(client, "10.0.0.1:7890", UdpOptions::default());
    let receiver = scene.udp(server, "0.0.0.0:8080", UdpOptions::default());
    for text in ["one", "", "three"] {
        let sent = scene.send_to(client, sender, text.as_bytes(), "10.0.0.2:8080");
        scene.equal("the send succeeds", sent, Ok(()));
    }
    scene.run_for(secs(1));
    let came = scene.datagrams(server, receiver);
    let texts: Vec<String> = came
        .iter()
        .map(|d| String::from_utf8_lossy(&d.payload.to_vec()).into_owned())
        .collect();
    scene.equal(
        "three datagrams, each whole",
        texts.clone(),
        ["one", "", "three"].map(String::from).to_vec(),
    );
    scene.correct(
        "W-65",
        "sending nothing blocks, since no octets are sent",
        "for TCP; over UDP an empty datagram is sent and received",
        texts.get(1).is_some_and(String::is_empty),
        "the second of three was empty, and was read as such",
    );
    let frames = (scene.log.frames(client).len(), scene.log.frames(server).len());
    scene.equal(
        "no connection, no acknowledgment: three frames there, none back",
        frames,
        (3, 0),
    );
    let source = came.first().map(|d| d.source);
    scene.equal(
        "each says where it comes from",
        source,
        Some(super::stage::address("10.0.0.1:7890")),
    );
    let _ = scene.send_to(client, sender, b"python", "10.0.0.2:8080");
    scene.run_for(secs(1));
    let mut small = [0; 3];
    let copied = scene
        .recv_from(server, receiver)
        .map(|d| d.payload.copy_to(&mut small));
    let next = scene.recv_from(server, receiver).map(|d| d.payload.len());
    scene.correct(
        "W-29",
        "what the application hands over is never cut",
        "a buffer that is too small cuts a datagram, and the rest is gone",
        copied == Ok(3) && &small == b"pyt" && next == Err(UdpError::WouldBlock),
        format!(
            "a read of 3 gave {:?}; the next read: {next:?}",
            String::from_utf8_lossy(&small)
        ),
    );
    scene.world.edit(pair.link).forward().loss(1.0);
    let lost = scene.send_to(client, sender, b"lost", "10.0.0.2:8080");
    scene.run_for(secs(60));
    let nothing = scene.recv_from(server, receiver).map(|d| d.payload.len());
    scene.equal(
        "a lost datagram is told to nobody and is not repeated",
        (lost, nothing),
        (Ok(()), Err(UdpError::WouldBlock)),
    );
    scene.world.edit(pair.link).heal().forward().corrupt(1.0);
    for _ in 0..10 {
        let _ = scene.send_to(client, sender, b"spoilt on its way", "10.0.0.2:8080");
    }
    scene.run_for(secs(1));
    let delivered = scene.datagrams(server, receiver).len();
    let by_checksum = scene.log.drops(server, DropReason::TransportChecksum)
        + scene.log.drops(server, DropReason::IpChecksum);
    scene.correct(
        "W-27",
        "UDP guarantees nothing about the content",
        "it has a checksum (required over IPv6): what was spoilt on its way is dropped",
        delivered == 0 && by_checksum > 0,
        format!("10 were spoilt by one bit: {delivered} delivered, {by_checksum} dropped for their checksum"),
    );
}

fn addresses(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("UDP: to which address a socket is bound", build);
    let (client, server) = (pair.client, pair.server);
    let sender = scene.udp(client, "0.0.0.0:0", UdpOptions::default());
    let any = scene.udp(server, "0.0.0.0:69", UdpOptions::default());
    let inner = scene.udp(server, "127.0.0.1:8080", UdpOptions::default());
    for to in ["10.0.0.2:69", "10.0.0.77:69", "10.0.0.2:8080"] {
        let _ = scene.send_to(client, sender, to.as_bytes(), to);
        scene.run_for(ms(100));
    }
    let came = scene.datagrams(server, any);
    let to: Vec<String> = came.iter().map(|d| d.destination.to_string()).collect();
    scene.correct(
        "W-34",
        "'' or 0.0.0.0 means the local IP",
        "it is the wildcard: all addresses of the host",
        to == ["10.0.0.2:69", "10.0.0.77:69"],
        format!("one socket received what was sent to {}", to.join(" and ")),
    );
    let at_inner = scene.datagrams(server, inner).len();
    scene.correct(
        "W-62",
        "a receiver bound to 127.0.0.1 gets what is sent to the machine's address",
        "it gets what is sent to 127.0.0.1, which only the machine itself can",
        at_inner == 0,
        format!("{at_inner} datagrams came"),
    );
    scene.correct(
        "W-32",
        "ports 0 to 1023 cannot be used by one's own programs",
        "they can, with the system's permission; 0 asks the system to choose one",
        came.len() == 2,
        "a socket was bound to port 69 and received",
    );
    let chosen = came.first().map_or(0, |d| d.source.port());
    scene.correct(
        "W-33",
        "the dynamic ports are 1024 to 65535",
        "1024 to 49151 are registered, 49152 to 65535 dynamic (RFC 6335); Linux chooses from 32768 to 60999",
        chosen >= 49152,
        format!("a sender that bound to port 0 got {chosen}"),
    );
    let parsed = "10.0.0.2:88888".parse::<SocketAddr>();
    scene.correct(
        "W-35",
        "a server can listen on port 88888",
        "ports have 16 bits: 65535 is the last",
        parsed.is_err(),
        "no address with port 88888 can be written",
    );
}

fn sizes(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("UDP: how long a datagram can be", build);
    let (client, server) = (pair.client, pair.server);
    let mut seen = Vec::new();
    for (own, to, limit) in [
        ("10.0.0.1:7890", "10.0.0.2:8080", 65_507),
        ("[fd00::1]:7890", "[fd00::2]:8080", 65_527),
    ] {
        let sender = scene.udp(client, own, UdpOptions::default());
        let receiver = scene.udp(server, to, UdpOptions::default());
        let longest = scene.send_to(client, sender, &vec![b'x'; limit], to);
        let longer = scene.send_to(client, sender, &vec![b'x'; limit + 1], to);
        scene.run_for(secs(1));
        let came = scene.datagrams(server, receiver).first().map(|d| d.payload.len());
        let too_long = Err(UdpError::MessageTooLong {
            len: limit + 1,
            limit,
        });
        seen.push((
            came == Some(limit) && longest.is_ok() && longer == too_long,
            limit,
            came,
        ));
    }
    scene.correct(
        "W-28",
        "a datagram is limited to 64 KB",
        "to 65507 octets over IPv4 and 65527 over IPv6; one more is refused at once (EMSGSIZE)",
        seen.iter().all(|(right, ..)| *right),
        format!(
            "limits and what was received: {:?}",
            seen.iter()
                .map(|(_, limit, came)| (*limit, *came))
                .collect::<Vec<_>>()
        ),
    );
    scene.check(
        "neither was cut or split for the application",
        seen.len() == 2,
        "one read each",
    );
}
