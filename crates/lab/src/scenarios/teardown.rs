//! Four segments release a connection, sometimes three.

use sockeye_stack::tcp::{Flags, State};
use sockeye_stack::{Duration, RecvError};

use super::Scenario;
use super::log::{FIN_ACK, or_nothing};
use super::peer::{Peer, take};
use super::stage::{Stage, pair};
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

    let (x, y) = (scene.log.initial(client), scene.log.initial(server));
    let (ours, theirs) = (
        scene.log.sent(client)[before.0..].to_vec(),
        scene.log.sent(server)[before.1..].to_vec(),
    );
    let find = |segs: &[super::log::Seg], flags| segs.iter().find(|seg| seg.is(flags)).copied();
    let fin_1 = find(&ours, FIN_ACK);
    let fin_2 = find(&theirs, FIN_ACK);
    let i = x + 1 + 8;
    let right = fin_1.is_some_and(|fin| fin.segment.seq == i);
    scene.check(
        "1: FIN=1, seq=i",
        right,
        format!(
            "seq=x+{:?}, after 8 octets",
            fin_1.map(|f| f.segment.seq.since(x))
        ),
    );
    let ack_1 = theirs
        .iter()
        .find(|seg| seg.is(Flags::ACK) && seg.segment.ack == i + 1);
    scene.check(
        "2: ACK=1, ack=i+1",
        ack_1.is_some(),
        or_nothing(ack_1.and_then(|a| a.cause)),
    );
    let w = y + 1 + 10;
    let right = fin_2.is_some_and(|fin| fin.segment.seq == w && fin.segment.ack == i + 1);
    scene.check(
        "3: FIN=1, ACK=1, seq=w, ack=i+1",
        right,
        format!("seq=y+{:?}", fin_2.map(|f| f.segment.seq.since(y))),
    );
    let last = ours.last().copied();
    let right = last.is_some_and(|a| a.is(Flags::ACK) && a.segment.seq == i + 1 && a.segment.ack == w + 1);
    scene.check(
        "4: ACK=1, seq=i+1, ack=w+1",
        right,
        or_nothing(last.map(|a| a.segment.flags)),
    );
    scene.equal(
        "half closed: FIN-WAIT-2 here, CLOSE-WAIT there",
        half,
        (State::FinWait2, State::CloseWait),
    );
    scene.equal(
        "each direction closes by itself: data still came the other way",
        answer.as_str(),
        "the answer",
    );
    let walk = scene.log.walk(client);
    let right = walk.ends_with("ESTABLISHED → FIN-WAIT-1 → FIN-WAIT-2 → TIME-WAIT → CLOSED");
    scene.check(
        "the closer passes FIN-WAIT-1, FIN-WAIT-2 and TIME-WAIT",
        right,
        walk,
    );
    let walk = scene.log.walk(server);
    let right = walk.ends_with("ESTABLISHED → CLOSE-WAIT → LAST-ACK → CLOSED");
    scene.check("the other end passes CLOSE-WAIT and LAST-ACK", right, &walk);
    scene.correct(
        "W-15",
        "the receiver of FIN enters CLOSED_WAIT",
        "the state is CLOSE-WAIT",
        half.1 == State::CloseWait,
        half.1,
    );
    scene.equal("the other end is done first", after, (State::TimeWait, 0));
    let entered = scene.log.entered(client, State::TimeWait).unwrap_or_default();
    let gone = scene.log.entered(client, State::Closed).unwrap_or_default();
    let waited = gone.since(entered);
    scene.correct(
        "W-16",
        "the server removes its TCB after 2 MSL",
        "the active closer waits, whoever it is: its last ACK may have to be repeated, and old segments must die",
        waited == secs(240) && scene.log.entered(server, State::Closed).is_some_and(|at| at < entered + ms(11)),
        format!("the client waited {waited} (2 MSL of 2 min); the server was CLOSED half a round trip after its FIN"),
    );
    scene.correct(
        "W-18",
        "the first release segment is SYN seq=x+2, answered by ACK=x+3",
        "it is FIN with seq=x+1+k after k octets, answered by ack=x+2+k",
        fin_1.is_some_and(|fin| fin.segment.seq == x + 1 + 8)
            && ack_1.is_some_and(|ack| ack.segment.ack == x + 2 + 8),
        format!(
            "k = 8: FIN seq=x+{:?}, ack=x+{:?}",
            fin_1.map(|f| f.segment.seq.since(x)),
            ack_1.map(|a| a.segment.ack.since(x))
        ),
    );
    scene.correct(
        "W-19",
        "TIME_WAIT is where the server looks whether it has data left",
        "that is CLOSE-WAIT; TIME-WAIT comes after the last ACK, at the end that closed first",
        half.1 == State::CloseWait && closed_at < entered,
        format!(
            "the server sent its last data in {}; the client entered TIME-WAIT at {entered}",
            half.1
        ),
    );
    scene.correct(
        "W-20",
        "close() performs the release",
        "it begins the release and returns at once; the stack does the rest",
        at_once == State::FinWait1,
        format!("right after the call the state is {at_once}"),
    );
    let empty = ends.iter().all(String::is_empty) && question == "question";
    scene.correct(
        "W-23",
        "after the peer closed, a Mac receives empty messages and then errors",
        "an empty read is the end of the stream, as often as one reads, and no error",
        empty,
        format!("read {question:?}, then {ends:?}"),
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
        "they do where the peer has nothing left: FIN-WAIT-1 goes straight to TIME-WAIT (RFC 9293 section 3.3.2)",
        straight && last.iter().filter(|p| p.is_pure_ack()).count() == 1,
        format!("FIN; FIN,ACK; ACK. The client: {walk}"),
    );
    let gone = scene.until("TIME-WAIT passes", Duration::from_secs(300), |scene| {
        scene.state(client, id) == State::Closed
    });
    scene.check("here too TIME-WAIT passes", gone, scene.now());
}
