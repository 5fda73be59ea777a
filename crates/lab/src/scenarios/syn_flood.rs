//! SYNs from nobody.

use sockeye_stack::Config;
use sockeye_stack::config::SynCookies;
use sockeye_stack::tcp::{Flags, State};
use sockeye_stack::trace::{Cause, DropReason};

use super::Scenario;
use super::peer::Peer;
use super::stage::{Scene, Stage};
use crate::world::{NodeId, World};
use crate::{ms, secs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "syn-flood",
    about: "SYNs from nobody fill the queue of half-open connections; without cookies others are shut out",
    play,
};

/// Half-open connections that the server keeps: few, so that the diagram stays short.
const QUEUE: u32 = 8;
/// SYNs of the attacker.
const FLOOD: u16 = 20;

fn play(stage: &mut Stage<'_>) {
    without_cookies(stage);
    with_cookies(stage);
}

#[derive(Clone, Copy)]
struct Place {
    client: NodeId,
    server: NodeId,
    attacker: NodeId,
}

fn build(world: &mut World, syn_cookies: SynCookies) -> Place {
    let config = Config {
        syn_queue: QUEUE,
        syn_cookies,
        ..Config::default()
    };
    let client = world.host("client").ip("10.0.0.1/24").id();
    let server = world
        .host("server")
        .config(config)
        .ip("10.0.0.2/24")
        .interface()
        .ip("192.0.2.1/24")
        .id();
    let attacker = world.raw("attacker");
    world.link(client, server).delay(ms(10));
    world.link(server, attacker).delay(ms(10));
    Place {
        client,
        server,
        attacker,
    }
}

/// SYNs from addresses where nobody answers.
fn flood(scene: &mut Scene<'_>, place: Place) {
    scene.note(place.attacker, "SYNs with invented sources, each from another");
    for n in 0..FLOOD {
        let source = format!("192.0.2.{}:{}", 10 + n, 2000 + n);
        let mut nobody = Peer::new(place.attacker, &source, "192.0.2.1:8000", u32::from(n) * 1000);
        nobody.send(scene, Flags::SYN, b"");
        scene.run_for(ms(1));
    }
    scene.run_for(ms(50));
}

fn without_cookies(stage: &mut Stage<'_>) {
    let (mut scene, place) = stage.scene("Without SYN cookies", |world| build(world, SynCookies::Off));
    scene.listen(place.server, "0.0.0.0:8000", 128);
    flood(&mut scene, place);
    let half_open = scene.count(place.server, State::SynReceived);
    scene.equal(
        "the queue of half-open connections is full",
        half_open,
        QUEUE as usize,
    );
    let dropped = scene.log.drops(place.server, DropReason::SynQueueFull);
    scene.equal(
        "further SYNs are dropped",
        dropped,
        usize::from(FLOOD) - QUEUE as usize,
    );
    scene.note(place.client, "now an honest client comes");
    let id = scene.connect(place.client, "10.0.0.2:8000");
    scene.run_for(secs(20));
    let state = scene.state(place.client, id);
    scene.equal(
        "twenty seconds later the honest client still waits",
        state,
        State::SynSent,
    );
    let freed = scene.until("the half-open entries are given up", secs(600), |scene| {
        scene.state(place.client, id) == State::Established
    });
    let repeats = scene
        .log
        .sent(place.server)
        .iter()
        .filter(|seg| seg.is_again())
        .count();
    scene.check(
        "it gets in when SYN,ACKs without an answer were repeated often enough",
        freed && repeats > 0,
        scene.now(),
    );
}

fn with_cookies(stage: &mut Stage<'_>) {
    let (mut scene, place) = stage.scene("With SYN cookies (RFC 4987)", |world| {
        build(world, SynCookies::WhenFull)
    });
    let listener = scene.listen(place.server, "0.0.0.0:8000", 128);
    flood(&mut scene, place);
    let cookies = scene
        .log
        .sent(place.server)
        .iter()
        .filter(|seg| seg.cause == Some(Cause::OpenCookie))
        .count();
    scene.equal(
        "beyond the queue SYN,ACKs carry cookies, and nothing is kept",
        cookies,
        usize::from(FLOOD) - QUEUE as usize,
    );
    scene.note(place.client, "now an honest client comes");
    let began = scene.now();
    let id = scene.connect(place.client, "10.0.0.2:8000");
    let mut accepted = None;
    let came = scene.until("the honest client gets in", secs(60), |scene| {
        accepted = accepted.or_else(|| scene.accept(place.server, listener));
        accepted.is_some()
    });
    let took = scene.now() - began;
    let half_open = scene.count(place.server, State::SynReceived);
    let full = half_open == QUEUE as usize;
    scene.check(
        "it gets in after one and a half round trips, with the queue still full",
        came && full && took < ms(50),
        format!("{took}, {half_open} half open"),
    );
    if let Some(s) = accepted {
        let _ = scene.send(place.client, id, b"python");
        scene.run_for(secs(1));
        let text = scene.recv_text(place.server, s);
        scene.equal("and is served", text.as_str(), "python");
    }
    scene.correct(
        "W-13",
        "half-open connections stand in a pool whose size is listen(n)",
        "they have a limit of their own; n bounds the complete ones; beyond the limit cookies take over",
        full && cookies > 0,
        format!("listen(128), {half_open} half open, {cookies} cookies"),
    );
    let mut forger = Peer::new(place.attacker, "192.0.2.99:4000", "192.0.2.1:8000", 1);
    forger.ack = 0x1234_5678;
    forger.send(&mut scene, Flags::ACK, b"let me in");
    scene.run_for(ms(100));
    let dropped = scene.log.drops(place.server, DropReason::BadCookie);
    let in_queue = scene.accept(place.server, listener);
    scene.check(
        "an ACK with a guessed cookie opens nothing",
        in_queue.is_none(),
        format!("{dropped} dropped as a bad cookie"),
    );
}
