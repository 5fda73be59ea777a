//! Both ends open at once: one connection, no listener.

use sockeye_stack::tcp::{Flags, State, TcpOptions};

use super::Scenario;
use super::log::SYN_ACK;
use super::stage::{Stage, pair};
use crate::secs;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "simultaneous-open",
    about: "both ends open at once: SYNs cross, and one connection comes of it, without a listener",
    play,
};

fn play(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("Two SYNs cross", pair);
    let (a, b) = (pair.client, pair.server);
    let ids = [(a, "10.0.0.1:5000"), (b, "10.0.0.2:6000")].map(|(host, local)| {
        let id = scene.socket(host, TcpOptions::default());
        let bound = scene.bind(host, id, local);
        scene.equal(&format!("{local} can be bound"), bound, Ok(()));
        id
    });
    scene.connect_socket(a, ids[0], "10.0.0.2:6000");
    scene.connect_socket(b, ids[1], "10.0.0.1:5000");
    scene.run_for(secs(2));
    let states = [scene.state(a, ids[0]), scene.state(b, ids[1])];
    scene.equal("both are established", states, [State::Established; 2]);
    for (host, name) in [(a, "the left end"), (b, "the right end")] {
        let walk = scene.log.walk(host);
        let right = walk == "CLOSED → SYN-SENT → SYN-RECEIVED → ESTABLISHED";
        scene.check(&format!("{name} passes SYN-SENT and SYN-RECEIVED"), right, walk);
        let sent = scene.log.sent(host);
        let right =
            sent.iter().filter(|s| s.is(Flags::SYN)).count() == 1 && sent.iter().any(|s| s.is(SYN_ACK));
        let seen: Vec<String> = sent.iter().map(|s| s.segment.flags.to_string()).collect();
        scene.check(
            &format!("{name} sent SYN, then SYN,ACK (MUST-10)"),
            right,
            seen.join("; "),
        );
    }
    let connections = (
        scene.count(a, State::Established),
        scene.count(b, State::Established),
    );
    scene.equal("it is one connection, not two", connections, (1, 1));
    let _ = scene.send(a, ids[0], b"from the left");
    let _ = scene.send(b, ids[1], b"from the right");
    scene.run_for(secs(1));
    let texts = [scene.recv_text(a, ids[0]), scene.recv_text(b, ids[1])];
    let right = texts == ["from the right", "from the left"];
    scene.correct(
        "W-08",
        "synchronising means that one end sends while the other receives",
        "what is synchronised are the two initial sequence numbers; data flows both ways at once",
        right,
        format!("sent at the same moment and received: {texts:?}"),
    );
}
