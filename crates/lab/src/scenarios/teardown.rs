//! Four segments release a connection, sometimes three.

use sockeye_stack::tcp::{Flags, State};
use sockeye_stack::{Instant, RecvError};

use super::Scenario;
use super::log::{FIN_ACK, Seg, or_nothing};
use super::peer::{Peer, take};
use super::stage::{Pair, Scene, Stage, pair};
use crate::{ms, secs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "teardown",
    about: "four segments release a connection, half closed between; TIME-WAIT lasts 2 MSL; sometimes three do",
    play,
};

fn play(stage: &mut Stage<'_>) {
    four_segments(stage);
    three_segments(stage);
}

fn four_segments(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("The client closes first; the server has more to say", pair);
    let (client, server) = (pair.client, pair.server);
    let listener = scene.listen(server, "10.0.0.2:8000", 5);
    let (c, s) = scene.open(client, server, listener, "10.0.0.2:8000");
    scene.run_for(secs(1));
    let before = (scene.log.sent(client).len(), scene.log.sent(server).len());
    let _ = scene.send(client, c, b"question");
    scene.run_for(secs(1));
    scene.note(client, "the client has no more to send");
    scene.shutdown(client, c);
    let at_once = scene.state(client, c);
    scene.run_for(ms(500));
    let half = (scene.state(client, c), scene.state(server, s));
    let question = scene.recv_text(server, s);
    let ends: Vec<String> = (0..3).map(|_| scene.recv_text(server, s)).collect();
    scene.note(
        server,
        "half closed: the server still sends, and the client still reads",
    );
    let _ = scene.send(server, s, b"the answer");
    scene.run_for(secs(1));
    let answer = scene.recv_text(client, c);
    scene.note(server, "now the server closes too");
    let closed_at = scene.now();
    scene.close(server, s);
    scene.run_for(secs(1));
    let after = (
        scene.state(client, c),
        scene.count(server, State::LastAck) + scene.count(server, State::TimeWait),
    );
    scene.run_for(secs(600));

    segments(&mut scene, pair, before);
    scene.equal(
        "half closed: FIN-WAIT-2 here, CLOSE-WAIT there",
        half,
        (State::FinWait2, State::CloseWait),
    );
    let other_way = "each direction closes by itself: data still came the other way";
    scene.equal(other_way, answer.as_str(), "the answer");
    scene.equal("the other end is done first", after, (State::TimeWait, 0));
    states(&mut scene, pair, half.1, closed_at);
    scene.correct(
        "W-20",
        "close() performs the release",
        "it begins the release and returns at once; the stack does the rest",
        at_once == State::FinWait1,
        format!("right after the call the state is {at_once}"),
    );
    scene.correct(
        "W-23",
        "after the peer closed, a Mac receives empty messages and then errors",
        "an empty read is the end of the stream, as often as one reads, and no error",
        ends.iter().all(String::is_empty) && question == "question",
        format!("read {question:?}, then {ends:?}"),
    );
}

/// The four segments: those that each end sent from number `before` on.
fn segments(scene: &mut Scene<'_>, pair: Pair, before: (usize, usize)) {
    let (x, y) = (scene.log.initial(pair.client), scene.log.initial(pair.server));
    let ours = scene.log.sent(pair.client).split_off(before.0);
    let theirs = scene.log.sent(pair.server).split_off(before.1);
    let fin = |segs: &[Seg]| segs.iter().find(|seg| seg.is(FIN_ACK)).map(|seg| seg.segment);
    // Eight octets went there and ten came back before the FINs.
    let (i, w) = (x + 1 + 8, y + 1 + 10);
    let fin_1 = fin(&ours);
    let seen = format!("seq=x+{:?}, after 8 octets", fin_1.map(|fin| fin.seq.since(x)));
    scene.check("1: FIN=1, seq=i", fin_1.is_some_and(|fin| fin.seq == i), seen);
    let ack_1 = theirs
        .iter()
        .find(|seg| seg.is(Flags::ACK) && seg.segment.ack == i + 1);
    scene.check(
        "2: ACK=1, ack=i+1",
        ack_1.is_some(),
        or_nothing(ack_1.and_then(|ack| ack.cause)),
    );
    let fin_2 = fin(&theirs);
    let right = fin_2.is_some_and(|fin| fin.seq == w && fin.ack == i + 1);
    let seen = format!("seq=y+{:?}, after 10 octets", fin_2.map(|fin| fin.seq.since(y)));
    scene.check("3: FIN=1, ACK=1, seq=w, ack=i+1", right, seen);
    let ack_2 = ours
        .last()
        .filter(|seg| seg.is(Flags::ACK))
        .map(|seg| seg.segment);
    let right = ack_2.is_some_and(|ack| ack.seq == i + 1 && ack.ack == w + 1);
    scene.check(
        "4: ACK=1, seq=i+1, ack=w+1",
        right,
        or_nothing(ack_2.map(|ack| ack.flags)),
    );
    let numbers = (
        fin_1.map(|fin| fin.seq.since(x)),
        ack_1.map(|ack| ack.segment.ack.since(x)),
    );
    scene.correct(
        "W-18",
        "the first release segment is SYN seq=x+2, answered by ACK=x+3",
        "it is FIN with seq=x+1+k after k octets, answered by ack=x+2+k",
        numbers == (Some(1 + 8), Some(2 + 8)),
        format!("k = 8: FIN seq=x+{:?}, ack=x+{:?}", numbers.0, numbers.1),
    );
}

/// The states that both ends passed; the server was in `between` when the client was half closed.
fn states(scene: &mut Scene<'_>, pair: Pair, between: State, closed_at: Instant) {
    let walk = scene.log.walk(pair.client);
    let right = walk.ends_with("ESTABLISHED → FIN-WAIT-1 → FIN-WAIT-2 → TIME-WAIT → CLOSED");
    scene.check(
        "the closer passes FIN-WAIT-1, FIN-WAIT-2 and TIME-WAIT",
        right,
        walk,
    );
    let walk = scene.log.walk(pair.server);
    let right = walk.ends_with("ESTABLISHED → CLOSE-WAIT → LAST-ACK → CLOSED");
    scene.check("the other end passes CLOSE-WAIT and LAST-ACK", right, &walk);
    let right = between == State::CloseWait;
    scene.correct(
        "W-15",
        "the receiver of FIN enters CLOSED_WAIT",
        "the state is CLOSE-WAIT",
        right,
        between,
    );
    let entered = scene
        .log
        .entered(pair.client, State::TimeWait)
        .unwrap_or_default();
    let waited = scene
        .log
        .entered(pair.client, State::Closed)
        .unwrap_or_default()
        .since(entered);
    let server_gone = scene.log.entered(pair.server, State::Closed);
    scene.correct(
        "W-16",
        "the server removes its TCB after 2 MSL",
        "the end that closed first waits: its last ACK may have to be repeated, and old segments must die",
        waited == secs(240) && server_gone.is_some_and(|at| at < entered + ms(11)),
        format!("the client waited {waited} (2 MSL of 2 min); the server did not wait"),
    );
    scene.correct(
        "W-19",
        "TIME_WAIT is where the server looks whether it has data left",
        "that is CLOSE-WAIT; TIME-WAIT comes after the last ACK, at the end that closed first",
        between == State::CloseWait && closed_at < entered,
        format!("the server sent its last data in {between}; the client entered TIME-WAIT at {entered}"),
    );
}

/// The answer to FIN carries FIN itself when the peer has nothing left to send.
fn three_segments(stage: &mut Stage<'_>) {
    let (mut scene, (client, hand)) = stage.scene("The peer has nothing left: FIN and ACK in one", |world| {
        let client = world.host("client").ip("10.0.0.1/24").id();
        let hand = world.raw("by hand");
        world.link(client, hand).delay(ms(10));
        (client, hand)
    });
    let id = scene.connect(client, "10.0.0.2:8000");
    scene.run_for(ms(15));
    let packets = take(&mut scene, hand);
    let from = format!("10.0.0.1:{}", packets.first().map_or(1, |p| p.source_port));
    let mut peer = Peer::new(hand, "10.0.0.2:8000", &from, 7000);
    peer.received(&packets);
    peer.send(&mut scene, Flags::SYN | Flags::ACK, b"");
    scene.run_for(ms(100));
    let opened = scene.state(client, id);
    scene.equal("the connection is open", opened, State::Established);
    scene.shutdown(client, id);
    scene.run_for(ms(15));
    let packets = take(&mut scene, hand);
    peer.received(&packets);
    peer.send(&mut scene, Flags::FIN | Flags::ACK, b"");
    scene.run_for(ms(100));
    let at_end: Result<Vec<u8>, RecvError> = scene.recv(client, id);
    scene.equal(
        "the client's program reads the end of the stream",
        at_end,
        Ok(Vec::new()),
    );
    let last = take(&mut scene, hand);
    let walk = scene.log.walk(client);
    let waiting = scene.log.entered(client, State::TimeWait);
    // The segment's ACK is taken before its FIN, so FIN-WAIT-2 may be passed, but no time in it.
    let straight = waiting.is_some()
        && scene
            .log
            .entered(client, State::FinWait2)
            .is_none_or(|at| Some(at) == waiting);
    scene.correct(
        "W-17",
        "four segments cannot become three",
        "they do where the peer has nothing left: FIN-WAIT-1, then TIME-WAIT (RFC 9293 section 3.3.2)",
        straight && last.iter().filter(|p| p.is_pure_ack()).count() == 1,
        format!("FIN; FIN,ACK; ACK. The client: {walk}"),
    );
    let gone = scene.until("TIME-WAIT passes", secs(300), |scene| {
        scene.state(client, id) == State::Closed
    });
    scene.check("here too TIME-WAIT passes", gone, scene.now());
}
