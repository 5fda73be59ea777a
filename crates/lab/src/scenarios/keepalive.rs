//! An idle connection whose peer is gone.

use sockeye_stack::tcp::{Keepalive, State, TcpOptions};
use sockeye_stack::trace::Cause;
use sockeye_stack::{ConnectionError, Duration, Instant, SocketId};

use super::Scenario;
use super::log::{gaps, list};
use super::stage::{Pair, Scene, Stage, pair};
use crate::secs;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "keepalive",
    about: "two hours idle, then probes every 75 s: 9 or 10 without an answer end the connection",
    play,
};

/// What Linux, lwIP and others have; the RFC asks for at least two hours, off by default.
const USUAL: Keepalive = Keepalive {
    idle: secs(7200),
    interval: secs(75),
    count: 9,
};

fn play(stage: &mut Stage<'_>) {
    peer_is_gone(stage, "The peer is gone: the usual 9 probes", USUAL);
    peer_is_gone(
        stage,
        "The peer is gone: 10 probes, as a tutorial has it",
        Keepalive { count: 10, ..USUAL },
    );
    peer_is_there(stage);
    off(stage);
}

/// A connection whose server end has keepalive as given.
fn connection(scene: &mut Scene<'_>, pair: Pair, keepalive: Option<Keepalive>) -> (SocketId, SocketId) {
    let options = TcpOptions {
        keepalive,
        ..TcpOptions::default()
    };
    let listener = scene.listen_with(pair.server, "10.0.0.2:8000", 5, options);
    let ends = scene.open(pair.client, pair.server, listener, "10.0.0.2:8000");
    let _ = scene.send(pair.client, ends.0, b"hello");
    scene.run_for(secs(1));
    let _ = scene.recv(pair.server, ends.1);
    ends
}

fn probes(scene: &Scene<'_>, pair: Pair) -> Vec<Instant> {
    let sent = scene.log.sent(pair.server).into_iter();
    sent.filter(|seg| matches!(seg.cause, Some(Cause::Keepalive(_))))
        .map(|seg| seg.at)
        .collect()
}

/// When the server last heard of the client.
fn last_heard(scene: &Scene<'_>, pair: Pair) -> Instant {
    scene
        .log
        .received(pair.server)
        .last()
        .map_or(Instant::ZERO, |seg| seg.at)
}

fn peer_is_gone(stage: &mut Stage<'_>, title: &str, keepalive: Keepalive) {
    let (mut scene, pair) = stage.scene(title, pair);
    let (_, s) = connection(&mut scene, pair, Some(keepalive));
    scene.world.edit(pair.link).down();
    let heard = last_heard(&scene, pair);
    scene.note(pair.client, "the client's machine loses its power");
    let mut error = None;
    scene.until("the server notices", secs(20_000), |scene| {
        error = scene.error(pair.server, s).or(error);
        scene.state(pair.server, s) == State::Closed
    });
    let ended = scene.now();
    let times = probes(&scene, pair);
    let first = times.first().map_or(Duration::ZERO, |at| *at - heard);
    scene.equal(
        "the first probe goes after two hours of silence",
        first,
        secs(7200),
    );
    scene.equal(
        "so many probes are sent",
        times.len(),
        usize::from(keepalive.count),
    );
    let spans = gaps(&times);
    scene.check(
        "75 s apart",
        !spans.is_empty() && spans.iter().all(|span| *span == secs(75)),
        list(spans.iter().take(3)),
    );
    let took = ended - heard;
    let expected = secs(7200 + 75 * u64::from(keepalive.count));
    scene.equal("75 s after the last one the connection is over", took, expected);
    scene.equal(
        "the error is \"timed out\" (ETIMEDOUT)",
        error,
        Some(ConnectionError::TimedOut),
    );
    if keepalive.count == USUAL.count {
        scene.correct(
            "W-22",
            "ten probes are sent",
            "nine is the usual default; the number can be set, and no single silence proves anything (MUST-29)",
            times.len() == 9,
            format!("{} probes, over {took}", times.len()),
        );
    }
}

fn peer_is_there(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("The peer is only silent", pair);
    let (_, s) = connection(&mut scene, pair, Some(USUAL));
    scene.run_for(secs(7 * 3600));
    let times = probes(&scene, pair);
    let spans = gaps(&times);
    scene.check(
        "one probe every two hours: each answer starts the count again",
        times.len() == 3 && spans.iter().all(|span| *span >= secs(7200) && *span < secs(7201)),
        list(&spans),
    );
    let answered = scene
        .log
        .received(pair.server)
        .iter()
        .filter(|seg| times.iter().any(|at| seg.at > *at && seg.at < *at + secs(1)))
        .count();
    scene.equal("each is answered", answered, times.len());
    let state = scene.state(pair.server, s);
    scene.equal("the connection lives", state, State::Established);
}

fn off(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("Without keepalive, which is the default (MUST-25)", pair);
    let (_, s) = connection(&mut scene, pair, None);
    scene.world.edit(pair.link).down();
    let before = scene.log.sent(pair.server).len();
    scene.run_for(secs(365 * 86_400 / 2));
    let after = scene.log.sent(pair.server).len();
    let state = scene.state(pair.server, s);
    scene.equal(
        "half a year later the server still waits for a client that is long gone",
        state,
        State::Established,
    );
    scene.equal("and has not sent one segment", after - before, 0);
}
