//! Clients that go away without a word, or with a hard one.

use sockeye_stack::tcp::{Flags, State};
use sockeye_stack::{ConnectionError, RecvError, SendError};

use super::Scenario;
use super::stage::{Stage, pair};
use crate::secs;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "abnormal-disconnect",
    about: "clients that break off or send after the end, and a server that takes the end for a message",
    play,
};

fn play(stage: &mut Stage<'_>) {
    reset(stage);
    sending_after_the_end(stage);
    end_is_no_message(stage);
}

fn reset(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("The client breaks off; the next one is served", pair);
    let (client, server) = (pair.client, pair.server);
    let listener = scene.listen(server, "10.0.0.2:8000", 5);
    let (c, s) = scene.open(client, server, listener, "10.0.0.2:8000");
    let _ = scene.send(client, c, b"half a sent");
    scene.run_for(secs(1));
    scene.abort(client, c);
    scene.run_for(secs(1));
    let text = scene.recv(server, s);
    let error = match &text {
        Ok(_) => scene.recv(server, s),
        Err(error) => Err(*error),
    };
    let expected = RecvError::Connection(ConnectionError::Reset);
    scene.equal(
        "the server's read fails with \"connection reset\" (ECONNRESET)",
        error,
        Err(expected),
    );
    let resets = scene
        .log
        .sent(client)
        .iter()
        .filter(|s| s.segment.flags.contains(Flags::RST))
        .count();
    scene.equal(
        "one RST tells it; RST is not answered",
        (
            resets,
            scene
                .log
                .sent(client)
                .last()
                .map(|s| s.segment.flags.contains(Flags::RST)),
        ),
        (1, Some(true)),
    );
    let gone = (scene.state(client, c), scene.count(server, State::TimeWait));
    scene.equal("no TIME-WAIT on either side", gone, (State::Closed, 0));
    scene.close(server, s);
    let (next, at_server) = scene.open(client, server, listener, "10.0.0.2:8000");
    let _ = scene.send(client, next, b"next");
    scene.run_for(secs(1));
    let text = scene.recv_text(server, at_server);
    scene.equal(
        "one client's end does not end the server: the next is served",
        text.as_str(),
        "next",
    );
}

fn sending_after_the_end(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("The server answers once and closes; the client sends on", pair);
    let (client, server) = (pair.client, pair.server);
    let listener = scene.listen(server, "10.0.0.2:7891", 128);
    let (c, s) = scene.open(client, server, listener, "10.0.0.2:7891");
    let _ = scene.send(client, c, b"one");
    scene.run_for(secs(1));
    let _ = scene.recv(server, s);
    scene.close(server, s);
    scene.run_for(secs(1));
    let first = scene.send(client, c, b"two");
    scene.run_for(secs(1));
    let second = scene.send(client, c, b"three");
    let third = scene.send(client, c, b"four");
    let reset = scene
        .log
        .sent(server)
        .iter()
        .any(|s| s.segment.flags.contains(Flags::RST));
    let errors = [
        Err(SendError::BrokenPipe),
        Err(SendError::Connection(ConnectionError::ResetAfterEnd)),
    ];
    scene.correct(
        "W-63",
        "a client may send for ever to a server that answered once and closed",
        "the first send after that succeeds and draws a reset; the next one fails",
        first == Ok(3) && reset && errors.contains(&second),
        format!("{first:?}, then {second:?}"),
    );
    scene.correct(
        "W-66",
        "a chat server that goes on after its client died only prints empty lines",
        "what it sends draws a reset, and then its sends fail too: it has to look at both",
        errors.contains(&second) && errors.contains(&third),
        format!("{second:?}, {third:?}"),
    );
}

fn end_is_no_message(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene(
        "A server that takes the end of the stream for an empty message",
        pair,
    );
    let (client, server) = (pair.client, pair.server);
    let listener = scene.listen(server, "10.0.0.2:8080", 5);
    let (c, s) = scene.open(client, server, listener, "10.0.0.2:8080");
    let _ = scene.send(client, c, b"python");
    scene.close(client, c);
    scene.run_for(secs(1));
    let before = scene.now();
    let first = scene.recv_text(server, s);
    let (mut empty, mut failed) = (0, 0);
    for _ in 0..1000 {
        empty += usize::from(scene.recv(server, s) == Ok(Vec::new()));
        failed += usize::from(scene.send(server, s, b"") != Ok(0));
    }
    scene.equal("what came before the end is read first", first.as_str(), "python");
    scene.correct(
        "W-59",
        "\"except Exception: break\" survives every way in which a client goes",
        "a close in good order raises nothing: reads and writes of nothing succeed for ever; test for it",
        empty == 1000 && failed == 0 && scene.now() == before,
        format!("{empty} of 1000 reads were empty, {failed} of 1000 writes failed, and no time passed"),
    );
    scene.close(server, s);
    scene.run_for(secs(300));
    let left = (
        scene.count(client, State::TimeWait),
        scene.count(server, State::LastAck),
    );
    scene.equal("with the test the connection is released", left, (0, 0));
}
