//! What is lost is sent again.

use sockeye_stack::tcp::State;
use sockeye_stack::trace::{AckCause, Cause, DropReason, RetransmitCause};
use sockeye_stack::{ConnectionError, RecvError};
use sockeye_view::LinkLoss;

use super::Scenario;
use super::log::{gaps, list, or_nothing};
use super::stage::{Stage, pair};
use crate::packet::Packet;
use crate::{mbit, secs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "retransmit",
    about: "a timeout, a fast retransmission after three duplicate ACKs, a lost ACK, and giving up",
    play,
};

fn play(stage: &mut Stage<'_>) {
    timeout(stage);
    fast(stage);
    lost_ack(stage);
    giving_up(stage);
}

fn timeout(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("A single segment is lost: only the timer can tell", pair);
    let (client, server) = (pair.client, pair.server);
    let listener = scene.listen(server, "10.0.0.2:8000", 5);
    let (c, s) = scene.open(client, server, listener, "10.0.0.2:8000");
    scene.run_for(secs(1));
    let rto = scene.info(client, c).map(|info| info.rto);
    scene.world.edit(pair.link).forward().drop_nth(1, Packet::is_data);
    let _ = scene.send(client, c, b"python");
    scene.run_for(secs(10));
    let text = scene.recv_text(server, s);
    scene.equal("the text arrives", text.as_str(), "python");
    let data: Vec<_> = scene
        .log
        .sent(client)
        .into_iter()
        .filter(|seg| seg.is_data())
        .collect();
    let again = data.get(1).and_then(|seg| seg.cause);
    let right = matches!(
        again,
        Some(Cause::Retransmit(RetransmitCause::Timeout { count: 1, .. }))
    );
    scene.check(
        "it is sent twice, the second time because the RTO is over",
        right && data.len() == 2,
        or_nothing(again),
    );
    let waited = data.get(1).map(|seg| seg.at - data[0].at);
    scene.check(
        "after exactly the RTO",
        waited == rto && rto.is_some(),
        waited.unwrap_or_default(),
    );
    scene.check(
        "with the same sequence number",
        data.len() == 2 && data[0].segment.seq == data[1].segment.seq,
        "seq=x+1 both times",
    );
}

fn fast(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene(
        "One of ten segments is lost: the ACKs of the others tell",
        |world| {
            let pair = pair(world);
            world.edit(pair.link).rate(mbit(10)); // so that segments come one after the other
            pair
        },
    );
    let (client, server) = (pair.client, pair.server);
    let listener = scene.listen(server, "10.0.0.2:8000", 5);
    let (c, s) = scene.open(client, server, listener, "10.0.0.2:8000");
    scene.run_for(secs(1));
    let began = scene.now();
    scene.world.edit(pair.link).forward().drop_nth(2, Packet::is_data);
    let bytes: Vec<u8> = (0..14_480_u32).map(|n| n as u8).collect();
    let _ = scene.send(client, c, &bytes);
    let mut received = Vec::new();
    let came = scene.until("all octets arrive", secs(10), |scene| {
        received.extend(scene.recv(server, s).unwrap_or_default());
        received.len() == bytes.len()
    });
    let took = scene.now() - began;
    scene.check(
        "all arrive, in order, once",
        came && received == bytes,
        format!("{} octets", received.len()),
    );
    let sent = scene.log.sent(client);
    let again: Vec<_> = sent.iter().filter(|seg| seg.is_again()).collect();
    let first = again.first().is_some_and(|seg| {
        seg.cause == Some(Cause::Retransmit(RetransmitCause::Fast))
            && seg.segment.seq == scene.log.initial(client) + 1449
    });
    // With nothing new to send RFC 6675 lets the last segment go once more, to draw ACKs.
    let rescue = again
        .iter()
        .skip(1)
        .all(|seg| seg.cause == Some(Cause::Retransmit(RetransmitCause::Rescue)));
    let causes = list(again.iter().filter_map(|seg| seg.cause));
    scene.check(
        "the missing segment is sent again after three duplicate ACKs",
        first && rescue,
        causes,
    );
    let duplicates = scene
        .log
        .sent(server)
        .iter()
        .filter(|seg| seg.cause == Some(Cause::Ack(AckCause::OutOfOrder)))
        .count();
    scene.check(
        "each segment behind the gap draws an ACK of the gap",
        duplicates >= 3,
        duplicates,
    );
    scene.check(
        "in two round trips, without waiting for the RTO of 1 s",
        took < secs(1),
        took,
    );
    let first_ack = scene
        .log
        .received(client)
        .iter()
        .map(|seg| seg.at)
        .find(|at| *at > began);
    let in_flight = sent
        .iter()
        .filter(|seg| seg.is_data() && Some(seg.at) < first_ack)
        .count();
    scene.correct(
        "W-02",
        "TCP is slow since each send waits for its result",
        "a window of segments is on its way at once; waiting for each answer is what the chat programs do",
        in_flight == 10,
        format!("{in_flight} segments left before the first ACK came"),
    );
}

fn lost_ack(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("The ACK is lost: what comes twice is delivered once", pair);
    let (client, server) = (pair.client, pair.server);
    let listener = scene.listen(server, "10.0.0.2:8000", 5);
    let (c, s) = scene.open(client, server, listener, "10.0.0.2:8000");
    scene.run_for(secs(1));
    scene
        .world
        .edit(pair.link)
        .backward()
        .drop_nth(1, Packet::is_pure_ack);
    let _ = scene.send(client, c, b"once");
    scene.run_for(secs(10));
    let text = scene.recv_text(server, s);
    let more = scene.recv(server, s);
    scene.check(
        "the text is read once",
        text == "once" && more == Err(RecvError::WouldBlock),
        format!("{text:?}, then nothing"),
    );
    let came = scene
        .log
        .received(server)
        .iter()
        .filter(|seg| seg.is_data())
        .count();
    let dropped = scene.log.drops(server, DropReason::Duplicate);
    scene.equal(
        "its segment came twice; the second was dropped as a duplicate",
        (came, dropped),
        (2, 1),
    );
    let told = scene
        .log
        .sent(server)
        .iter()
        .any(|seg| seg.cause == Some(Cause::Ack(AckCause::Duplicate)));
    scene.check(
        "and acknowledged again, or the sender would never stop",
        told,
        "ACK, with the octets in SACK",
    );
    let lost = scene.log.lost(pair.server, LinkLoss::Chosen);
    scene.equal("one ACK was lost", lost, 1);
}

fn giving_up(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("The cable is cut for good", pair);
    let (client, server) = (pair.client, pair.server);
    let listener = scene.listen(server, "10.0.0.2:8000", 5);
    let (c, s) = scene.open(client, server, listener, "10.0.0.2:8000");
    scene.run_for(secs(1));
    scene.world.edit(pair.link).down();
    let began = scene.now();
    let _ = scene.send(client, c, b"anybody there?");
    let mut error = None;
    scene.until("the sender gives up", secs(7200), |scene| {
        // A soft error comes first: after R1 retransmissions (SHLD-10) the program may be told.
        error = scene.error(client, c).or(error);
        scene.state(client, c) == State::Closed
    });
    let waited = scene.now() - began;
    scene.equal(
        "the sender's error is \"timed out\" (ETIMEDOUT)",
        error,
        Some(ConnectionError::TimedOut),
    );
    scene.check("not before 100 s (SHLD-11)", waited >= secs(100), waited);
    let times: Vec<_> = scene
        .log
        .sent(client)
        .iter()
        .filter(|seg| seg.is_data())
        .map(|seg| seg.at)
        .collect();
    let spans = gaps(&times);
    let backoff = spans
        .windows(2)
        .all(|pair| pair[1] == (pair[0] + pair[0]).min(secs(60)));
    scene.check(
        "the RTO doubles each time, up to 60 s",
        backoff && spans.len() > 5,
        list(&spans),
    );
    let other = scene.state(server, s);
    scene.equal(
        "the receiver knows nothing of it: it waits on",
        other,
        State::Established,
    );
    scene.correct(
        "W-01",
        "a connection occupies the line between two computers",
        "no line is taken: a connection is state at its two ends, and lives on at one with the cable cut",
        other == State::Established && scene.world.in_flight() == 0,
        format!(
            "{} frames on the link; the server still ESTABLISHED",
            scene.world.in_flight()
        ),
    );
}
