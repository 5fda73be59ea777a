//! A receiver that does not read.

use sockeye_stack::tcp::TcpOptions;
use sockeye_stack::trace::{AckCause, Cause};
use sockeye_stack::{Instant, SendError};

use super::Scenario;
use super::log::{gaps, list};
use super::stage::{Pair, Scene, Stage, pair};
use crate::secs;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "zero-window",
    about: "the receiver does not read: its window closes, the sender probes, and goes on where it stopped",
    play,
};

fn play(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("The server does not read for five minutes", pair);
    let (client, server) = (pair.client, pair.server);
    let options = TcpOptions {
        receive_buffer: Some(8192),
        ..TcpOptions::default()
    };
    let listener = scene.listen_with(server, "10.0.0.2:8000", 5, options);
    let id = scene.socket(
        client,
        TcpOptions {
            send_buffer: Some(16_384),
            ..TcpOptions::default()
        },
    );
    scene.connect_socket(client, id, "10.0.0.2:8000");
    let mut accepted = None;
    scene.until("the connection is accepted", secs(5), |scene| {
        accepted = accepted.or_else(|| scene.accept(server, listener));
        accepted.is_some()
    });
    let Some(s) = accepted else { return };
    scene.run_for(secs(1));
    let bytes: Vec<u8> = (0..60_000_u32).map(|n| (n / 7) as u8).collect();
    let first = scene.send(client, id, &bytes);
    let mut sent = first.unwrap_or(0);
    let then = scene.send(client, id, &bytes[sent..]);
    scene.note(
        client,
        "the program keeps what was not taken, and tries again later",
    );
    scene.run_for(secs(20));
    while let Ok(n) = scene.send(client, id, &bytes[sent..]) {
        sent += n;
    }
    let blocked = scene.send(client, id, &bytes[sent..]);
    scene.run_for(secs(300));

    let taken = first.unwrap_or(0);
    scene.correct(
        "W-40",
        "send loses what does not fit into the buffer",
        "it says how many octets it took; the rest stays with the caller, and a full buffer is told (EAGAIN)",
        taken > 0
            && taken < bytes.len()
            && then == Err(SendError::WouldBlock)
            && blocked == Err(SendError::WouldBlock),
        format!("took {taken} of {}, then {then:?}", bytes.len()),
    );
    closed(&mut scene, pair);

    scene.note(server, "the server reads");
    let mut received = Vec::new();
    let came = scene.until("all octets arrive", secs(120), |scene| {
        while let Ok(read) = scene.recv(server, s) {
            received.extend(read);
        }
        if let Ok(n) = scene.send(client, id, &bytes[sent..]) {
            sent += n;
        }
        received.len() == bytes.len()
    });
    let updates = scene.log.caused(server, Cause::Ack(AckCause::WindowUpdate)).len();
    scene.check("a window update lets the sender go on", updates >= 1, updates);
    scene.check(
        "all octets arrive, in order, once",
        came && received == bytes,
        format!("{} octets", received.len()),
    );
    scene.correct(
        "W-42",
        "one send should stay at about 8 KB",
        "the send buffer decides; a caller of any size only has to look at what was taken",
        taken > 8192 && came && received == bytes,
        format!("one call took {taken} octets into a buffer of 16384"),
    );
}

/// The window is closed, and the sender asks again and again whether it has opened.
fn closed(scene: &mut Scene<'_>, pair: Pair) {
    let received = scene.log.received(pair.client);
    let windows: Vec<u16> = received.iter().map(|seg| seg.segment.window).collect();
    let seen = list(windows.iter().rev().take(3));
    scene.check(
        "the server's window closes to 0",
        windows.last() == Some(&0),
        seen,
    );
    let sent = scene.log.sent(pair.client);
    let probes = sent
        .iter()
        .filter(|seg| matches!(seg.cause, Some(Cause::WindowProbe(_))));
    let times: Vec<Instant> = probes.map(|seg| seg.at).collect();
    let seen = format!("{} probes", times.len());
    scene.check(
        "the client probes the closed window (MUST-36)",
        times.len() >= 3,
        seen,
    );
    let spans = gaps(&times);
    let growing = spans.windows(2).all(|pair| pair[1] >= pair[0]) && spans.last() > spans.first();
    scene.check("further and further apart (SHLD-30)", growing, list(&spans));
    let answers = scene
        .log
        .caused(pair.server, Cause::Ack(AckCause::ProbeReply))
        .len();
    let claim = "each probe is answered; the connection may stay so for ever (MUST-37)";
    scene.check(claim, answers == times.len(), format!("{answers} answers"));
}
