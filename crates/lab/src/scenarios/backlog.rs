//! listen(5), ten clients, nobody accepts.

use sockeye_stack::tcp::{Flags, State};

use super::Scenario;
use super::log::list;
use super::stage::{Stage, pair};
use crate::{ms, secs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "backlog",
    about: "listen(5) and ten clients: six complete, in order; what they send before accept() is kept",
    play,
};

fn play(stage: &mut Stage<'_>) {
    let (mut scene, pair) = stage.scene("Ten clients, and a server that accepts nobody", pair);
    let (client, server) = (pair.client, pair.server);
    scene.watch_queues(server);
    let listener = scene.listen(server, "10.0.0.2:8000", 5);
    let mut ids = Vec::new();
    for n in 0..10 {
        let id = scene.connect(client, "10.0.0.2:8000");
        scene.run_for(ms(30));
        let _ = scene.send(client, id, format!("client {n}").as_bytes());
        ids.push(id);
    }
    scene.run_for(ms(200));
    let established = ids
        .iter()
        .filter(|id| scene.state(client, **id) == State::Established)
        .count();
    let complete = scene.count(server, State::Established);
    scene.correct(
        "W-43",
        "with listen(5) one client is served and five can queue",
        "Linux asks whether the queue is over its limit, so it admits backlog+1: six complete before any accept()",
        complete == 6 && established == 6,
        format!("{complete} of 10 complete at the server, {established} at the client"),
    );
    let half_open = scene.count(server, State::SynReceived);
    scene.correct(
        "W-13",
        "listen(n) sizes the pool of half-open connections",
        "it bounds the queue of complete ones; half-open ones have a queue and a limit of their own",
        complete == 6 && half_open <= 4,
        format!("{complete} complete with n = 5, and {half_open} half open"),
    );

    scene.note(server, "the server begins to accept");
    let mut served = Vec::new();
    scene.until("all ten are served", secs(120), |scene| {
        while let Some((id, from)) = scene.accept_from(server, listener) {
            served.push((from.port(), id));
        }
        served.len() == 10
    });
    scene.run_for(secs(5));
    let texts: Vec<String> = served
        .iter()
        .map(|(_, id)| scene.recv_text(server, *id))
        .collect();
    let first: Vec<String> = (0..6).map(|n| format!("client {n}")).collect();
    scene.check(
        "the six are accepted in the order in which they came",
        texts.len() == 10 && texts[..6] == first,
        list(&texts),
    );
    scene.check(
        "what they sent before accept() was kept",
        texts.iter().take(6).all(|text| text.starts_with("client")),
        "read right after accept()",
    );
    let retried = scene
        .log
        .sent(client)
        .iter()
        .filter(|seg| seg.is(Flags::SYN) && seg.is_again())
        .count();
    let mut sorted = texts.clone();
    sorted.sort();
    let all: Vec<String> = (0..10).map(|n| format!("client {n}")).collect();
    let late: Vec<&String> = texts.iter().skip(6).collect();
    let four = late
        .iter()
        .all(|text| text.starts_with("client") || text.contains("no data"));
    scene.check(
        "the other four come in as soon as there is room: their SYNs are repeated",
        four && retried >= 1,
        format!("{retried} SYNs repeated; {}", sorted.len()),
    );
    // Those four could not send before: their connections were not open.
    for (n, id) in ids.iter().enumerate().skip(6) {
        let _ = scene.send(client, *id, format!("client {n}").as_bytes());
    }
    scene.run_for(secs(2));
    let mut heard: Vec<String> = Vec::new();
    for (n, (_, id)) in served.iter().enumerate() {
        heard.push(if n < 6 {
            texts[n].clone()
        } else {
            scene.recv_text(server, *id)
        });
    }
    heard.sort();
    scene.check("all ten are served in the end", heard == all, list(&heard));
}
