//! Segments overtake each other, and come twice.

use sockeye_stack::RecvError;
use sockeye_stack::tcp::TcpOptions;
use sockeye_stack::trace::{AckCause, Cause, DropReason};

use super::Scenario;
use super::stage::{Stage, pair};
use crate::{ms, secs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "reorder",
    about: "segments overtake each other and come twice; the program reads each octet once, in order",
    play,
};

fn play(stage: &mut Stage<'_>) {
    overtaking(stage);
    twice(stage);
}

fn overtaking(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("The first of three segments is held back", pair);
    let (client, server) = (pair.client, pair.server);
    let listener = scene.listen(server, "10.0.0.2:8000", 5);
    let (c, s) = scene.open(client, server, listener, "10.0.0.2:8000");
    scene.run_for(secs(1));
    let began = scene.log.sent(server).len();
    let options = TcpOptions {
        nodelay: true,
        ..TcpOptions::default()
    };
    let now = scene.now();
    if let Ok(mut socket) = scene.world.stack(client).tcp(now, c) {
        socket.set_options(options);
    }
    scene.world.edit(pair.link).forward().reorder(1.0, ms(20));
    let _ = scene.send(client, c, b"one ");
    scene.world.edit(pair.link).forward().reorder(0.0, ms(20));
    scene.run_for(ms(1));
    let _ = scene.send(client, c, b"two ");
    scene.run_for(ms(1));
    let _ = scene.send(client, c, b"three");
    scene.run_for(ms(15));
    let early = scene.recv(server, s);
    scene.equal(
        "while the first is missing nothing is delivered",
        early,
        Err(RecvError::WouldBlock),
    );
    scene.run_for(secs(1));
    let text = scene.recv_text(server, s);
    scene.equal("then all is read, in order", text.as_str(), "one two three");
    let x = scene.log.initial(client);
    let acks: Vec<_> = scene.log.sent(server).split_off(began);
    let waiting: Vec<_> = acks
        .iter()
        .filter(|a| a.cause == Some(Cause::Ack(AckCause::OutOfOrder)))
        .collect();
    let at_gap = !waiting.is_empty() && waiting.iter().all(|a| a.segment.ack == x + 1);
    scene.correct(
        "W-05",
        "ack is the number of the last octet of the segment at hand, plus one",
        "ack is the next octet expected in order: it stays at a gap, whatever comes behind it",
        at_gap,
        format!(
            "\"two \" ends at 8, \"three\" at 13; both were answered with ack={:?}",
            waiting.first().map(|a| a.segment.ack.since(x))
        ),
    );
    let sack = waiting
        .last()
        .and_then(|a| a.segment.options.sack.as_slice().first().copied());
    let right = sack.is_some_and(|block| block.start == x + 5 && block.end == x + 14);
    scene.check(
        "SACK says what came behind the gap: 5 to 14",
        right,
        format!("{:?}", sack.map(|b| (b.start.since(x), b.end.since(x)))),
    );
    let filled = acks.iter().any(|a| a.segment.ack == x + 14);
    scene.check(
        "when the gap is filled one ACK takes all three: ack=14",
        filled,
        filled,
    );
    let again = scene.log.sent(client).iter().filter(|seg| seg.is_again()).count();
    scene.equal(
        "nothing is sent again: two duplicate ACKs are less than three",
        again,
        0,
    );
}

fn twice(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("The link makes two of every frame", |world| {
        let pair = pair(world);
        world.edit(pair.link).duplicate(1.0);
        pair
    });
    let (client, server) = (pair.client, pair.server);
    let listener = scene.listen(server, "10.0.0.2:8000", 5);
    let (c, s) = scene.open(client, server, listener, "10.0.0.2:8000");
    scene.run_for(secs(1));
    for word in ["never ", "received ", "twice"] {
        let _ = scene.send(client, c, word.as_bytes());
        scene.run_for(secs(1));
    }
    let text = scene.recv_text(server, s);
    scene.equal("the text is read once", text.as_str(), "never received twice");
    let dropped = scene.log.drops(server, DropReason::Duplicate);
    scene.check("the copies are dropped as duplicates", dropped >= 3, dropped);
    let extra = scene.accept(server, listener);
    scene.check(
        "a doubled SYN makes one connection",
        extra.is_none(),
        "no second one in the accept queue",
    );
}
