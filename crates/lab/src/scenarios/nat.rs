//! Many private addresses behind one public one.

use sockeye_stack::tcp::{State, TcpOptions};
use sockeye_stack::udp::UdpOptions;

use super::Scenario;
use super::stage::{Scene, Stage, address};
use crate::nat::NatConfig;
use crate::world::{NodeId, World};
use crate::{ms, secs};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "nat",
    about: "two private hosts share one public address; the outside sees ports, and cannot begin",
    play,
};

struct Place {
    inside: [NodeId; 2],
    server: NodeId,
}

fn build(world: &mut World) -> Place {
    let inside = [1, 2].map(|n| {
        let host = world
            .host(&format!("inside {n}"))
            .ip(&format!("192.168.{n}.2/24"));
        host.gateway(&format!("192.168.{n}.1")).id()
    });
    let router = world
        .router("NAT")
        .port("192.168.1.1/24")
        .port("192.168.2.1/24")
        .port("203.0.113.1/24");
    let router = router
        .nat(NatConfig::default().forward_tcp(8080, "192.168.1.2:80".parse().expect("an address")))
        .id();
    let server = world.host("server").ip("203.0.113.9/24").id();
    for host in inside.into_iter().chain([server]) {
        world.link(host, router).delay(ms(5));
    }
    Place { inside, server }
}

fn play(stage: &mut Stage<'_>) {
    let (mut scene, place) = stage.scene("Two private networks behind one NAT", build);
    from_inside(&mut scene, &place);
    from_outside(&mut scene, &place);
    datagrams(&mut scene, &place);
}

/// Both hosts connect, from the same port.
fn from_inside(scene: &mut Scene<'_>, place: &Place) {
    let (inside, server) = (place.inside, place.server);
    let listener = scene.listen(server, "203.0.113.9:80", 5);
    let mut seen = Vec::new();
    let mut served = Vec::new();
    for (n, host) in inside.into_iter().enumerate() {
        let id = scene.socket(host, TcpOptions::default());
        let bound = scene.bind(host, id, &format!("192.168.{}.2:5000", n + 1));
        scene.equal("port 5000 is bound inside", bound, Ok(()));
        scene.connect_socket(host, id, "203.0.113.9:80");
        scene.run_for(ms(200));
        if let Some((s, from)) = scene.accept_from(server, listener) {
            seen.push(from);
            let _ = scene.send(server, s, format!("you are {from}").as_bytes());
            served.push((host, id, s));
        }
    }
    scene.run_for(ms(200));
    let one = seen.iter().all(|from| from.ip() == address("203.0.113.1:1").ip());
    scene.check(
        "the server sees one public address for both",
        seen.len() == 2 && one,
        format!("{seen:?}"),
    );
    let ports: Vec<u16> = seen.iter().map(|from| from.port()).collect();
    let right = ports.len() == 2 && ports[0] == 5000 && ports[1] != 5000;
    scene.check(
        "and two ports, though both have bound 5000 inside: the second gets another",
        right,
        format!("{ports:?}"),
    );
    let texts: Vec<String> = served
        .iter()
        .map(|(host, id, _)| scene.recv_text(*host, *id))
        .collect();
    let right = texts
        .iter()
        .zip(&seen)
        .all(|(text, from)| *text == format!("you are {from}"))
        && texts.len() == 2;
    scene.check(
        "the answers find their way back to the right host",
        right,
        format!("{texts:?}"),
    );
}

/// The server tries to connect to the inside.
fn from_outside(scene: &mut Scene<'_>, place: &Place) {
    let (inside, server) = (place.inside, place.server);
    scene.note(
        server,
        "the outside begins: a port that nobody inside has used towards this one",
    );
    let stranger = scene.connect(server, "203.0.113.1:5000");
    scene.run_for(secs(10));
    let state = scene.state(server, stranger);
    scene.check(
        "what the inside did not begin does not get in",
        state != State::Established,
        state,
    );
    let private = scene.socket(server, TcpOptions::default());
    let now = scene.now();
    let routed = scene
        .world
        .stack(server)
        .tcp_connect(now, private, address("192.168.1.2:80"));
    scene.check(
        "and a private address leads nowhere from outside",
        routed.is_err(),
        format!("{routed:?}"),
    );

    scene.note(server, "but port 8080 was led inside");
    let web = scene.listen(inside[0], "192.168.1.2:80", 5);
    let id = scene.connect(server, "203.0.113.1:8080");
    scene.run_for(ms(200));
    let state = scene.state(server, id);
    let from = scene.accept_from(inside[0], web).map(|(_, from)| from);
    scene.check(
        "port forwarding lets the outside begin",
        state == State::Established,
        format!("{from:?}"),
    );
}

/// A question and its answer.
fn datagrams(scene: &mut Scene<'_>, place: &Place) {
    let (inside, server) = (place.inside, place.server);
    let question = scene.udp(inside[1], "192.168.2.2:7000", UdpOptions::default());
    let answerer = scene.udp(server, "203.0.113.9:9999", UdpOptions::default());
    let _ = scene.send_to(inside[1], question, b"who am I?", "203.0.113.9:9999");
    scene.run_for(ms(100));
    let from = scene.recv_from(server, answerer).map(|d| d.source);
    if let Ok(from) = from {
        let _ = scene.send_to(server, answerer, from.to_string().as_bytes(), &from.to_string());
    }
    scene.run_for(ms(100));
    let answer = scene
        .recv_from(inside[1], question)
        .map(|d| String::from_utf8_lossy(&d.payload.to_vec()).into_owned());
    let right = answer.as_deref() == Ok("203.0.113.1:7000");
    scene.check(
        "UDP has no connection, and still the NAT remembers where answers go",
        right,
        format!("{answer:?}"),
    );
}
