//! A client that is gone without a word: its cable is cut, and neither FIN nor RST comes. Keepalive notices, after two
//! hours and the probes; then the next client is served.

use std::net::SocketAddr;
use std::time::Duration;

use sockeye_apps::line::Stop;
use sockeye_apps::{chat, upper};
use sockeye_lab::{Lab, World, mbit, ms};
use sockeye_net::TcpStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

const AT: &str = "10.0.0.2:8000";

fn world() -> World {
    let mut world = World::new(5);
    let switch = world.switch("switch");
    for (name, ip) in [
        ("server", "10.0.0.2/24"),
        ("gone", "10.0.0.3/24"),
        ("next", "10.0.0.4/24"),
    ] {
        let host = world.host(name).ip(ip).ethernet().id();
        world.link(host, switch).delay(ms(1)).rate(mbit(100));
    }
    world
}

/// The first client speaks, and its cable is cut; the second waits in the accept queue. When it is answered, in seconds.
async fn next_is_served(lab: &Lab, answer: &[u8]) -> f64 {
    let at: SocketAddr = AT.parse().unwrap();
    let mut gone = TcpStream::connect(&lab.net("gone"), at).await.unwrap();
    gone.write_all(b"here").await.unwrap();
    gone.read_exact(&mut vec![0; answer.len()]).await.unwrap();
    // Until its last ACK is there: a retransmission would notice sooner.
    tokio::time::sleep(Duration::from_secs(1)).await;
    lab.with(|world| {
        let link = world.find("gone").and_then(|host| world.link_at(host, 0));
        world.edit(link.unwrap()).down();
    });
    let mut next = TcpStream::connect(&lab.net("next"), at).await.unwrap();
    next.write_all(b"here").await.unwrap();
    let mut octets = vec![0; answer.len()];
    next.read_exact(&mut octets).await.unwrap();
    assert_eq!(octets, answer);
    lab.now().as_secs_f64()
}

/// Two hours of silence, nine probes 75 s apart, and 75 s for an answer to the last.
const NOTICED: std::ops::Range<f64> = 7200.0..7200.0 + 10.0 * 75.0 + 10.0;

#[test]
fn upper_casing_goes_on() {
    let (at, _) = sockeye_lab::run(world(), |lab| async move {
        let settings = upper::Settings::default();
        let server = upper::Server::bind(&lab.net("server"), AT, settings)
            .await
            .unwrap();
        tokio::spawn(server.run(|_| {}));
        next_is_served(&lab, b"HERE").await
    });
    assert!(NOTICED.contains(&at), "{at}");
}

#[test]
fn chat_goes_on() {
    let (at, _) = sockeye_lab::run(world(), |lab| async move {
        let settings = chat::Settings {
            bare: true,
            ..chat::Settings::default()
        };
        let server = chat::Server::bind(&lab.net("server"), AT, settings)
            .await
            .unwrap();
        let (keys, mut input) = mpsc::channel(4);
        tokio::spawn(async move {
            let tell = |event: chat::Event| {
                if let chat::Event::Message(..) = event {
                    keys.try_send("welcome".into()).unwrap();
                }
            };
            server.run(&mut input, &mut Stop::never(), tell).await
        });
        next_is_served(&lab, b"welcome").await
    });
    assert!(NOTICED.contains(&at), "{at}");
}
