//! listen(5), ten clients, nobody accepts.

use sockeye_stack::SocketId;
use sockeye_stack::tcp::{Flags, State};

use super::Scenario;
use super::log::list;
use super::stage::{Pair, Scene, Stage, pair};
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
        let _ = scene.send(client, id, name(n).as_bytes());
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
        "the queue is full when it is *over* its limit, as on Linux: backlog+1 complete before any accept()",
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
    serve(&mut scene, pair, listener, &ids);
}

/// All clients in turn; `ids` are their sockets.
fn serve(scene: &mut Scene<'_>, pair: Pair, listener: SocketId, ids: &[SocketId]) {
    let (client, server) = (pair.client, pair.server);
    scene.note(
        server,
        "the server begins to accept, and serves one client at a time",
    );
    let (mut served, mut now_served): (Vec<String>, Option<SocketId>) = (Vec::new(), None);
    let mut late: Vec<usize> = (6..10).collect();
    scene.until("all ten are served", secs(120), |scene| {
        // The last four could not send before: their connections were not open.
        late.retain(|&n| {
            let open = scene.state(client, ids[n]) == State::Established;
            if open {
                let _ = scene.send(client, ids[n], name(n).as_bytes());
            }
            !open
        });
        now_served = now_served.or_else(|| scene.accept(server, listener));
        if let Some(id) = now_served
            && let Ok(text) = scene.recv(server, id)
        {
            served.push(String::from_utf8_lossy(&text).into_owned());
            scene.close(server, id);
            now_served = None;
        }
        served.len() == 10
    });
    let first: Vec<String> = (0..6).map(name).collect();
    let right = served.len() == 10 && served[..6] == first;
    scene.check(
        "first come, first served, with what they sent before accept()",
        right,
        list(served.iter().take(6)),
    );
    let repeated = scene
        .log
        .sent(client)
        .iter()
        .filter(|seg| seg.is(Flags::SYN) && seg.is_again())
        .count();
    let seen = format!("{repeated} SYNs were repeated");
    scene.check(
        "the other four had no room: their SYNs were dropped, and repeated until there was",
        repeated >= 4,
        seen,
    );
    let others = list(served.iter().skip(6));
    served.sort();
    scene.check(
        "all ten are served in the end",
        served == (0..10).map(name).collect::<Vec<_>>(),
        others,
    );
}

fn name(n: usize) -> String {
    format!("client {n}")
}
