//! Restarting a server that closed first.

use sockeye_stack::tcp::{State, TcpOptions};
use sockeye_stack::trace::Transition;
use sockeye_stack::{BindError, SocketId};

use super::Scenario;
use super::stage::{Pair, Scene, Stage, address, pair};
use crate::{ms, secs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "time-wait",
    about: "a server that closed first: restarting with and without SO_REUSEADDR, and clients that come again",
    play,
};

const SERVER: &str = "10.0.0.2:8898";

fn play(stage: &mut Stage<'_>) {
    restart(stage, false, false);
    restart(stage, false, true);
    restart(stage, true, true);
    same_port(stage);
}

/// A connection that the server closed first; its listener is gone too. Returns the client's socket, closed.
fn closed_by_server(scene: &mut Scene<'_>, pair: Pair, reuse_address: bool) -> SocketId {
    let options = TcpOptions {
        reuse_address,
        ..TcpOptions::default()
    };
    let listener = scene.listen_with(pair.server, SERVER, 5, options);
    let (c, s) = scene.open(pair.client, pair.server, listener, SERVER);
    scene.run_for(secs(1));
    scene.close(pair.server, s);
    scene.run_for(ms(100));
    scene.close(pair.client, c);
    scene.run_for(ms(100));
    scene.close(pair.server, listener);
    scene.run_for(secs(1));
    c
}

fn restart(stage: &mut Stage<'_>, before: bool, now: bool) {
    let title = match (before, now) {
        (false, false) => "A restart without SO_REUSEADDR",
        (false, true) => "A restart with SO_REUSEADDR that the first start did not have",
        _ => "A restart with SO_REUSEADDR, as the first start had it",
    };
    let (mut scene, pair) = stage.scene(title, pair);
    let (client, server) = (pair.client, pair.server);
    closed_by_server(&mut scene, pair, before);
    let waiting = (
        scene.count(client, State::TimeWait),
        scene.count(server, State::TimeWait),
    );
    scene.equal(
        "TIME-WAIT is at the server, since it closed first",
        waiting,
        (0, 1),
    );
    let id = scene.socket(
        server,
        TcpOptions {
            reuse_address: now,
            ..TcpOptions::default()
        },
    );
    let bound = scene.bind(server, id, SERVER);
    if !(before && now) {
        let in_use = Err(BindError::InUse(address(SERVER)));
        scene.equal(
            "bind fails with \"address already in use\" (EADDRINUSE)",
            bound,
            in_use,
        );
        scene.run_for(secs(300));
        let later = scene.bind(server, id, SERVER);
        scene.equal("when TIME-WAIT is over bind succeeds", later, Ok(()));
        return;
    }
    scene.equal("bind succeeds over TIME-WAIT", bound, Ok(()));
    let address = SERVER;
    let listening = {
        let mut stack = scene.world.stack(server);
        stack.tcp_listen(id, 5)
    };
    scene.equal("and so does listen", listening, Ok(()));
    scene.correct(
        "W-24",
        "SO_REUSEADDR is mainly for the Mac",
        "every system has it, and the first start must have set it as well as the restart",
        bound.is_ok() && before,
        "both had set it; the two scenes before show the other cases",
    );
    let c = scene.connect(client, address);
    scene.run_for(secs(1));
    let (state, waiting) = (scene.state(client, c), scene.count(server, State::TimeWait));
    scene.correct(
        "W-21",
        "a client that comes again soon meets the server's TIME_WAIT",
        "it has another port, so it is another connection; what TIME-WAIT stops is the server's own restart",
        state == State::Established && waiting == 1,
        format!("the client is {state}, with {waiting} connection still in TIME-WAIT"),
    );
}

/// RFC 6191: the same four numbers again, and a SYN that cannot be an old one.
fn same_port(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("The client comes again from the very same port (RFC 6191)", pair);
    let (client, server) = (pair.client, pair.server);
    let listener = scene.listen(server, SERVER, 5);
    let mut ends = Vec::new();
    for _ in 0..2 {
        let id = scene.socket(
            client,
            TcpOptions {
                reuse_address: true,
                ..TcpOptions::default()
            },
        );
        let bound = scene.bind(client, id, "10.0.0.1:5000");
        scene.equal("the client binds port 5000", bound, Ok(()));
        scene.connect_socket(client, id, SERVER);
        scene.run_for(secs(1));
        let state = scene.state(client, id);
        ends.push(state);
        if let Some(s) = scene.accept(server, listener) {
            scene.close(server, s);
            scene.run_for(ms(100));
        }
        scene.close(client, id);
        scene.run_for(secs(1));
    }
    scene.equal("both connections came about", ends, vec![State::Established; 2]);
    let reused = scene
        .log
        .changes(server)
        .iter()
        .filter(|(.., why)| *why == Transition::Reused)
        .count();
    scene.equal(
        "the second SYN took over the entry in TIME-WAIT: its timestamp is newer",
        reused,
        1,
    );
}
