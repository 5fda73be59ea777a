//! Nobody listens; nobody is there.

use sockeye_stack::ConnectionError;
use sockeye_stack::tcp::{Flags, State};

use super::Scenario;
use super::log::{gaps, list};
use super::stage::{Stage, pair};
use crate::secs;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "refused",
    about: "no listener answers with a reset at once; no host answers with silence, for minutes",
    play,
};

fn play(stage: &mut Stage<'_>) {
    nobody_listens(stage);
    nobody_is_there(stage);
}

fn nobody_listens(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("Nobody listens on port 80", pair);
    let (client, server) = (pair.client, pair.server);
    scene.listen(server, "10.0.0.2:8000", 5);
    let id = scene.connect(client, "10.0.0.2:80");
    scene.run_for(secs(1));
    let error = scene.error(client, id);
    scene.equal(
        "the client's error is \"connection refused\" (ECONNREFUSED)",
        error,
        Some(ConnectionError::Refused),
    );
    let (syn, answers) = (scene.log.sent(client)[0], scene.log.sent(server));
    let right = answers.len() == 1
        && answers[0].is(Flags::RST | Flags::ACK)
        && answers[0].segment.seq.0 == 0
        && answers[0].segment.ack == syn.segment.seq + 1;
    let seen = list(
        answers
            .iter()
            .map(|s| format!("{} seq={}", s.segment.flags, s.segment.seq.0)),
    );
    scene.check(
        "the answer is RST,ACK with seq=0, ack=x+1 (RFC 9293 section 3.10.7.1)",
        right,
        seen,
    );
    let walk = scene.log.walk(client);
    scene.check(
        "the client passes SYN-SENT and is CLOSED again",
        walk == "CLOSED → SYN-SENT → CLOSED",
        walk,
    );
    let elsewhere = scene.connect(client, "10.0.0.2:8000");
    scene.run_for(secs(1));
    let state = scene.state(client, elsewhere);
    scene.correct(
        "W-04",
        "TCP's default port is 80",
        "TCP has no default port; 80 is registered for HTTP, and any port serves that somebody listens on",
        state == State::Established && error.is_some(),
        "port 80 refused, port 8000 connected",
    );
}

fn nobody_is_there(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("Nobody is there at all", pair);
    let client = pair.client;
    scene.world.edit(pair.link).down();
    let id = scene.connect(client, "10.0.0.2:80");
    let began = scene.now();
    let mut error = None;
    scene.until("the client gives up", secs(3600), |scene| {
        error = error.or(scene.error(client, id));
        error.is_some()
    });
    let waited = scene.now() - began;
    scene.equal(
        "the error is another one: \"timed out\" (ETIMEDOUT)",
        error,
        Some(ConnectionError::TimedOut),
    );
    let syns: Vec<_> = scene
        .log
        .sent(client)
        .iter()
        .filter(|s| s.is(Flags::SYN))
        .map(|s| s.at)
        .collect();
    let spans = gaps(&syns);
    let doubling = spans
        .windows(2)
        .all(|pair| pair[1] == (pair[0] + pair[0]).min(secs(60)));
    scene.check(
        "each SYN waits twice as long as the one before, up to 60 s",
        doubling && spans.len() >= 3,
        list(&spans),
    );
    scene.check(
        "it tries for at least three minutes (MUST-23)",
        waited >= secs(180),
        waited,
    );
}
