//! Three segments open a connection.

use sockeye_stack::SocketId;
use sockeye_stack::tcp::{Flags, State};
use sockeye_stack::trace::Cause;

use super::Scenario;
use super::log::{SYN_ACK, Seg};
use super::peer::{Peer, take};
use super::stage::{Pair, Scene, Stage, pair};
use crate::{ms, secs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "handshake",
    about: "three segments open a connection; data may go with the third, and even with the first",
    play,
};

fn play(stage: &mut Stage<'_>) {
    three_segments(stage);
    by_hand(stage);
}

fn three_segments(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("A client opens a connection", pair);
    let (client, server) = (pair.client, pair.server);
    let listener = scene.listen(server, "10.0.0.2:8000", 5);
    let id = scene.connect(client, "10.0.0.2:8000");
    scene.run_for(secs(1));

    let (ours, theirs) = (scene.log.sent(client), scene.log.sent(server));
    let (x, y) = (scene.log.initial(client), scene.log.initial(server));
    scene.equal(
        "three segments: two from the client, one from the server",
        (ours.len(), theirs.len()),
        (2, 1),
    );
    let [syn, ack] = [ours[0], ours[ours.len() - 1]];
    let answer = theirs[0];
    scene.check("1: SYN=1, ACK=0, seq=x", syn.is(Flags::SYN), syn.segment.flags);
    let right = answer.is(SYN_ACK) && answer.segment.ack == x + 1;
    scene.check(
        "2: SYN=1, ACK=1, seq=y, ack=x+1",
        right,
        format!("{} ack=x+{}", answer.segment.flags, answer.segment.ack.since(x)),
    );
    let right = ack.is(Flags::ACK) && ack.segment.seq == x + 1 && ack.segment.ack == y + 1;
    let seen = format!(
        "{} seq=x+{} ack=y+{}",
        ack.segment.flags,
        ack.segment.seq.since(x),
        ack.segment.ack.since(y)
    );
    scene.check("3: ACK=1, seq=x+1, ack=y+1", right, seen);
    let walk = scene.log.walk(client);
    scene.check(
        "the client passes SYN-SENT",
        walk == "CLOSED → SYN-SENT → ESTABLISHED",
        walk,
    );
    let walk = scene.log.walk(server);
    let right = walk.ends_with("SYN-RECEIVED → ESTABLISHED");
    scene.check("the server passes SYN-RECEIVED", right, &walk);
    let spelt = State::Established.to_string();
    scene.correct(
        "W-14",
        "the state is called ESTABLEISHED",
        "it is ESTABLISHED",
        spelt == "ESTABLISHED",
        spelt,
    );
    let (at_client, at_server) = (
        scene.log.entered(client, State::Established),
        scene.log.entered(server, State::Established),
    );
    let seen = format!(
        "the client after {:?}, the server after {:?}",
        at_client, at_server
    );
    scene.check(
        "the client is done after one round trip, the server half a trip later",
        at_client < at_server,
        seen,
    );
    words(&mut scene, pair, answer);
    let established = scene.count(server, State::Established);
    let accepted = scene.accept(server, listener);
    scene.correct(
        "W-20",
        "accept() performs the handshake",
        "the stack completes handshakes by itself; accept() takes a finished connection off a queue",
        established == 1 && accepted.is_some(),
        "ESTABLISHED at the server before accept() was called",
    );
    second(&mut scene, pair, id);
}

/// What the words and numbers of the handshake mean.
fn words(scene: &mut Scene<'_>, pair: Pair, answer: Seg) {
    let (x, y) = (scene.log.initial(pair.client), scene.log.initial(pair.server));
    scene.correct(
        "W-09",
        "the answer carries ACK=x+1",
        "ACK is one bit; the number beside it is called ack",
        answer.segment.flags.contains(Flags::ACK) && answer.segment.ack == x + 1,
        format!(
            "flag bits {:#04x}, ack={}",
            answer.segment.flags.bits(),
            answer.segment.ack.0
        ),
    );
    scene.correct(
        "W-11",
        "SYN tells the peer which number to start with in its answer",
        "SYN tells the number that its sender starts with; the peer chooses its own",
        x != y,
        format!("the client chose {}, the server {}", x.0, y.0),
    );
    let offset = scene.log.frames(pair.client)[0].1[20 + 12] >> 4;
    scene.correct(
        "W-03",
        "a TCP header has 20 octets",
        "20 is the least; options make it up to 60",
        offset > 5,
        format!(
            "the SYN's header has {} octets: its options are MSS, SACK, timestamps and window scale",
            offset * 4
        ),
    );
}

/// The same client connects once more.
fn second(scene: &mut Scene<'_>, pair: Pair, first: SocketId) {
    let (client, server) = (pair.client, pair.server);
    let again = scene.connect(client, "10.0.0.2:8000");
    scene.run_for(secs(1));
    let syns = scene.log.caused(client, Cause::Open);
    let answers = scene.log.caused(server, Cause::OpenReply);
    let numbers: Vec<u32> = syns.iter().map(|seg| seg.segment.seq.0).collect();
    let one_more = syns
        .iter()
        .zip(&answers)
        .all(|(syn, answer)| answer.segment.ack == syn.segment.seq + 1);
    scene.correct(
        "W-07",
        "a SYN consumes a random sequence number",
        "a SYN consumes exactly one; hard to guess is the first number: a clock and a keyed hash (RFC 6528)",
        numbers.len() == 2 && numbers[0] != numbers[1] && answers.len() == 2 && one_more,
        format!("the client's two connections began at {numbers:?}, each answered with one more"),
    );
    let both = [first, again].map(|id| scene.state(client, id));
    scene.equal(
        "both connections live side by side",
        both,
        [State::Established; 2],
    );
}

/// What a peer may send that ours would not.
fn by_hand(stage: &mut Stage<'_>) {
    let (mut scene, (hand, server)) = stage.scene("Segments made by hand", |world| {
        let hand = world.raw("by hand");
        let server = world.host("server").ip("10.0.0.2/24").id();
        world.link(hand, server).delay(ms(10));
        (hand, server)
    });
    let listener = scene.listen(server, "10.0.0.2:8000", 5);
    let mut peers =
        [5001, 5002].map(|port| Peer::new(hand, &format!("10.0.0.1:{port}"), "10.0.0.2:8000", 1000));
    scene.note(
        hand,
        "two clients begin with the same number; the first has data on its SYN, the second on its ACK",
    );
    peers[0].send(&mut scene, Flags::SYN, b"early");
    peers[1].send(&mut scene, Flags::SYN, b"");
    scene.run_for(ms(100));
    let packets = take(&mut scene, hand);
    for peer in &mut peers {
        peer.received(&packets);
    }
    let taken = packets
        .iter()
        .find(|p| p.destination_port == 5001)
        .map_or(0, |p| p.ack.0.wrapping_sub(1001));
    let before = scene.count(server, State::Established);
    // What the SYN,ACK did not acknowledge goes again.
    peers[0].seq = 1001 + taken;
    peers[0].send(&mut scene, Flags::ACK, &b"early"[taken as usize..]);
    peers[1].send(&mut scene, Flags::ACK, b"third");
    scene.run_for(secs(1));
    let mut texts = Vec::new();
    while let Some((id, from)) = scene.accept_from(server, listener) {
        texts.push((from.port(), scene.recv_text(server, id)));
    }
    texts.sort();
    let text = |port| {
        texts
            .iter()
            .find(|(own, _)| *own == port)
            .map(|(_, text)| text.clone())
            .unwrap_or_default()
    };
    scene.correct(
        "W-10",
        "the server tells clients apart by the sequence number of their SYN",
        "connections are told apart by the four of both addresses and both ports",
        texts.len() == 2,
        format!("two connections whose SYNs both had seq=1000: {texts:?}"),
    );
    scene.correct(
        "W-06",
        "a SYN carries no data",
        "it may: delivered when the connection is established, not before (RFC 9293 section 3.10.7.2)",
        before == 0 && text(5001) == "early",
        format!(
            "{taken} of its 5 octets were acknowledged at once; read when established: {:?}",
            text(5001)
        ),
    );
    scene.correct(
        "W-12",
        "data can only be sent after the third segment",
        "the third segment itself may carry data",
        text(5002) == "third",
        format!("the ACK of the handshake brought {:?}", text(5002)),
    );
}
