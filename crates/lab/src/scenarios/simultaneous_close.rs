//! Both ends close at once: CLOSING.

use sockeye_stack::tcp::State;

use super::Scenario;
use super::stage::{Stage, pair};
use crate::secs;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "simultaneous-close",
    about: "both ends close at once: FINs cross, both pass CLOSING, and both wait in TIME-WAIT",
    play,
};

fn play(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("Two FINs cross", pair);
    let ends = [pair.client, pair.server];
    let listener = scene.listen(pair.server, "10.0.0.2:8000", 5);
    let (c, s) = scene.open(pair.client, pair.server, listener, "10.0.0.2:8000");
    scene.run_for(secs(1));
    scene.close(pair.client, c);
    scene.close(pair.server, s);
    scene.run_for(secs(1));
    let waiting = ends.map(|host| scene.count(host, State::TimeWait));
    scene.equal("both ends are in TIME-WAIT", waiting, [1, 1]);
    scene.run_for(secs(300));
    for (host, name) in ends.into_iter().zip(["the client", "the server"]) {
        let walk = scene.log.walk(host);
        let right = walk.ends_with("ESTABLISHED → FIN-WAIT-1 → CLOSING → TIME-WAIT → CLOSED");
        scene.check(
            &format!("{name} passes FIN-WAIT-1, CLOSING and TIME-WAIT"),
            right,
            walk,
        );
        let fins = scene
            .log
            .sent(host)
            .iter()
            .filter(|seg| seg.is(super::log::FIN_ACK))
            .count();
        scene.equal(&format!("{name} sent FIN once"), fins, 1);
    }
}
