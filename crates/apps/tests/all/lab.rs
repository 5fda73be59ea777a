//! The upper-casing programs on virtual networks, unchanged.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye_apps::upper::{Client, Ending, Event, Server, Settings, talk};
use sockeye_lab::{Lab, World, mbit, ms, run};
use sockeye_net::TcpStream;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::time::sleep;

fn world(seed: u64, loss: f64) -> World {
    let mut world = World::new(seed);
    let client = world.host("client").ip("10.0.0.1/24").id();
    let server = world.host("server").ip("10.0.0.2/24").id();
    world.link(client, server).delay(ms(10)).rate(mbit(10)).loss(loss);
    world
}

/// A server, and what it tells in short.
async fn serve(lab: &Lab, settings: Settings) -> Arc<Mutex<Vec<String>>> {
    let server = Server::bind(&lab.net("server"), "0.0.0.0:8000", settings)
        .await
        .unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let into = events.clone();
    tokio::spawn(server.run(move |event| {
        into.lock().unwrap().push(match event {
            Event::Accepted(_) => "accepted".into(),
            Event::Received(_, bytes) => String::from_utf8_lossy(&bytes).trim_end().into(),
            Event::Closed(_) => "closed".into(),
            Event::Broken(_, error) => format!("{:?}", error.kind()),
        });
    }));
    events
}

#[test]
fn as_the_readme_has_it() {
    let (answer, world) = run(world(7, 0.05), |lab| async move {
        let server = Server::bind(&lab.net("server"), "0.0.0.0:8000", Settings::default()).await?;
        tokio::spawn(server.run(|_| {}));
        Client::connect(&lab.net("client"), "server:8000")
            .await?
            .ask("python")
            .await
    });
    assert_eq!(answer.unwrap(), "PYTHON");
    assert!(world.now().as_secs_f64() > 0.04);
}

#[test]
fn long_lines_over_a_bad_link() {
    let line = "大ab".repeat(20_000);
    let expected = line.to_uppercase();
    let (answers, _) = run(world(3, 0.03), move |lab| async move {
        serve(&lab, Settings::default()).await;
        let mut client = Client::connect(&lab.net("client"), "server:8000").await.unwrap();
        let answers = [client.ask(&line).await.unwrap(), client.ask("end").await.unwrap()];
        client.close().await.unwrap();
        answers
    });
    assert!(answers[0] == expected && answers[1] == "END");
}

/// One after the other, each to its end: a close in good order, a reset, and a client that waits for its turn.
#[test]
fn clients_in_turn() {
    let (events, _) = run(world(1, 0.0), |lab| async move {
        let events = serve(&lab, Settings::default()).await;
        let net = lab.net("client");
        let mut first = Client::connect(&net, "server:8000").await.unwrap();
        assert_eq!(first.ask("first").await.unwrap(), "FIRST");
        let waiting = tokio::spawn({
            let net = net.clone();
            async move {
                let client = Client::connect(&net, "server:8000").await.unwrap();
                let mut output = Vec::new();
                let ending = talk(client, BufReader::new(&b"second\nq\n"[..]), &mut output)
                    .await
                    .unwrap();
                (output, ending)
            }
        });
        sleep(Duration::from_secs(5)).await;
        first.close().await.unwrap();
        assert_eq!(waiting.await.unwrap(), (b"SECOND\n".to_vec(), Ending::Quit));
        let mut rude = TcpStream::connect(&net, "server:8000").await.unwrap();
        rude.write_all(b"rude").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        rude.set_zero_linger().unwrap();
        drop(rude);
        let mut last = Client::connect(&net, "server:8000").await.unwrap();
        assert_eq!(last.ask("last").await.unwrap(), "LAST");
        events.lock().unwrap().clone()
    });
    let expected = [
        "accepted",
        "first",
        "closed",
        "accepted",
        "second",
        "closed",
        "accepted",
        "rude",
        "ConnectionReset",
        "accepted",
        "last",
    ];
    assert_eq!(events, expected);
}

#[test]
fn errors_of_the_network() {
    run(world(1, 0.0), |lab| async move {
        let net = lab.net("client");
        let refused = Client::connect(&net, "server:8000").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        serve(&lab, Settings::default()).await;
        let mut client = Client::connect(&net, "server:8000").await.unwrap();
        assert_eq!(client.ask("here").await.unwrap(), "HERE");
        lab.with(|world| {
            let link = world
                .find("client")
                .and_then(|client| world.link_at(client, 0))
                .unwrap();
            world.edit(link).down();
        });
        assert_eq!(client.ask("gone").await.unwrap_err().kind(), ErrorKind::TimedOut);
    });
}
