//! One to many.

use sockeye_stack::UdpError;
use sockeye_stack::udp::UdpOptions;

use super::Scenario;
use super::log::list;
use super::stage::{Scene, Stage};
use crate::world::{NodeId, World};
use crate::{ms, secs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "broadcast",
    about: "one datagram to all hosts of a network, or to those who joined a group; permission is asked first",
    play,
};

fn play(stage: &mut Stage<'_>) {
    let (mut scene, [speaker, a, b, c]) = stage.scene("Four hosts on a switch", build);
    let listeners = [a, b, c].map(|host| (host, scene.udp(host, "0.0.0.0:5000", UdpOptions::default())));
    scene.run_for(secs(2));

    let plain = scene.udp(speaker, "0.0.0.0:0", UdpOptions::default());
    let refused = [
        scene.send_to(speaker, plain, b"x", "10.0.0.255:5000"),
        scene.send_to(speaker, plain, b"x", "255.255.255.255:5000"),
    ];
    let none = [
        Err(UdpError::BroadcastNotPermitted),
        Err(UdpError::BroadcastNotPermitted),
    ];
    scene.equal(
        "without SO_BROADCAST a broadcast is refused (EACCES)",
        refused,
        none,
    );

    let loud = scene.udp(
        speaker,
        "0.0.0.0:0",
        UdpOptions {
            broadcast: true,
            ..UdpOptions::default()
        },
    );
    for (to, what) in [
        ("10.0.0.255:5000", "the network's broadcast address"),
        ("255.255.255.255:5000", "255.255.255.255"),
    ] {
        scene.note(speaker, &format!("to {what}"));
        let before = scene.log.frames(speaker).len();
        let sent = scene.send_to(speaker, loud, b"to all", to);
        scene.run_for(ms(100));
        let frames = scene.log.frames(speaker).len() - before;
        let came = counts(&mut scene, &listeners);
        let right = sent.is_ok() && came == [1, 1, 1] && frames == 1;
        scene.check(
            &format!("one frame to {what} reaches all three"),
            right,
            format!("{frames} frame, received {came:?}"),
        );
    }

    scene.note(speaker, "two hosts join the group 239.1.2.3");
    for (host, id) in &listeners[..2] {
        scene.join(*host, *id, "239.1.2.3");
    }
    scene.run_for(secs(5));
    let sent = scene.send_to(speaker, plain, b"to members", "239.1.2.3:5000");
    scene.run_for(ms(100));
    let came = counts(&mut scene, &listeners);
    scene.check(
        "multicast reaches the members and nobody else, and needs no permission",
        sent.is_ok() && came == [1, 1, 0],
        format!("{came:?}"),
    );

    scene.note(speaker, "and many to one: all three answer the speaker");
    let hub = scene.udp(speaker, "0.0.0.0:6000", UdpOptions::default());
    for (n, (host, id)) in listeners.iter().enumerate() {
        let _ = scene.send_to(*host, *id, format!("answer {n}").as_bytes(), "10.0.0.1:6000");
    }
    scene.run_for(secs(2));
    let mut from: Vec<String> = scene
        .datagrams(speaker, hub)
        .iter()
        .map(|d| d.source.to_string())
        .collect();
    from.sort();
    let right = from == ["10.0.0.2:5000", "10.0.0.3:5000", "10.0.0.4:5000"];
    scene.check(
        "one socket receives from many, and knows each",
        right,
        list(&from),
    );
}

fn build(world: &mut World) -> [NodeId; 4] {
    let hosts = ["speaker", "a", "b", "c"];
    let mut n = 0;
    let ids = hosts.map(|name| {
        n += 1;
        world.host(name).ip(&format!("10.0.0.{n}/24")).id()
    });
    let switch = world.switch("switch");
    for id in ids {
        world.link(id, switch).delay(ms(1));
    }
    ids
}

/// How many datagrams each has received since the last look.
fn counts(scene: &mut Scene<'_>, listeners: &[(NodeId, sockeye_stack::SocketId); 3]) -> [usize; 3] {
    listeners.map(|(host, id)| scene.datagrams(host, id).len())
}
