//! Datagrams one way: P-12, P-13.

use std::net::SocketAddr;
use std::time::Duration;

use sockeye_apps::line::Stop;
use sockeye_apps::udp::{self, Ending, Event, Manner, Options, Settings};
use sockeye_lab::Direction;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::place::{Place, Running, chinese};

const LINES: [&str; 6] = ["你好", "one", "", "three", "四", "last"];

/// P-13: binds its address, prints each datagram's text, and never ends by itself.
async fn receive(place: &Place) -> Running<std::io::Result<Ending>> {
    let options = Options {
        bind: Some(place.at(8080)),
        ..Options::default()
    };
    let socket = udp::open(&place.server, None, &options).await.unwrap();
    let at = place.to(socket.local_addr().unwrap());
    Running::new(at, |printed, mut stop| async move {
        let (_keep, mut input) = mpsc::channel(1);
        let tell = |event: Event| printed.add(event.text(chinese()).unwrap());
        let settings = Settings::new(Manner::Receive);
        udp::exchange(&socket, None, &settings, &mut input, &mut stop, tell).await
    })
}

/// P-12: binds port 7890 at all addresses, asks for lines and sends each, until `exit`. How often it asked, and from what
/// port it sent.
async fn send(place: &Place, to: SocketAddr, lines: &[&str]) -> (usize, u16) {
    let options = Options {
        bind: Some(place.anywhere(7890)),
        ..Options::default()
    };
    let socket = udp::open(&place.client, Some(to), &options).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let (keys, mut input) = mpsc::channel(16);
    for line in lines.iter().chain(&["exit", "never sent"]) {
        keys.try_send(line.to_string()).unwrap();
    }
    let mut asked = 0;
    let tell = |event: Event| asked += usize::from(matches!(event, Event::Ask));
    let settings = Settings::new(Manner::Send);
    let ending = udp::exchange(&socket, Some(to), &settings, &mut input, &mut Stop::never(), tell).await;
    assert_eq!(ending.unwrap(), Ending::Quit);
    (asked, port)
}

/// The texts that arrived: all, or, where some are lost, when no more can come.
async fn arrived(place: &Place, receiver: &Running<std::io::Result<Ending>>, port: u16) -> Vec<String> {
    let all = async {
        while receiver.printed.lines().len() < LINES.len() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    // In the lab nothing travels for a second.
    let limit = if place.lossy { 1 } else { 60 };
    let came = timeout(Duration::from_secs(limit), all).await;
    assert!(place.lossy || came.is_ok(), "{:?}", receiver.printed);
    let lines = receiver.printed.lines();
    let text = |line: &String| {
        let (from, text) = line.split_once("]的消息: ").unwrap();
        assert!(
            from.starts_with("来自[") && from.ends_with(&format!(":{port}")),
            "{line}"
        );
        text.to_string()
    };
    lines.iter().map(text).collect()
}

/// What was sent arrives, in order on this one link; of what is lost, nobody tells.
async fn one_way(place: &Place) {
    let receiver = receive(place).await;
    let (asked, port) = send(place, receiver.at, &LINES).await;
    assert_eq!(asked, LINES.len() + 1);
    let texts = arrived(place, &receiver, port).await;
    let lost = place.lab.as_ref().map_or(0, |lab| {
        lab.with(|world| {
            let client = world.find("client").unwrap();
            let link = world.link_at(client, 0).unwrap();
            world.link_stats(link, Direction::Forward).lost
        })
    });
    assert_eq!(texts.len() + lost as usize, LINES.len(), "{texts:?}");
    let mut sent = LINES.iter();
    assert!(
        texts.iter().all(|text| sent.any(|line| line == text)),
        "{texts:?}"
    );
    assert!(receiver.is_running(), "it never ends by itself");
    assert_eq!(receiver.stop().await.unwrap(), Ending::Stopped);
}

/// P-12 sends, P-13 receives.
pub(crate) async fn sender(place: Place) {
    one_way(&place).await;
    if !place.lossy {
        // Another person's turn: the port is free again at once.
        one_way(&place).await;
    }
}

/// P-13: bound to one address, it gets nothing that is sent to another address of the same machine.
pub(crate) async fn receiver(place: Place) {
    let Some(other) = place.other else {
        return one_way(&place).await;
    };
    let receiver = receive(&place).await;
    send(
        &place,
        (other, receiver.at.port()).into(),
        &["to another address"],
    )
    .await;
    send(&place, receiver.at, &LINES).await;
    sleep(Duration::from_millis(if place.lab.is_some() { 1000 } else { 0 })).await;
    if !place.lossy {
        receiver.printed.starting("来自[").await;
        while receiver.printed.lines().len() < LINES.len() {
            sleep(Duration::from_millis(5)).await;
        }
    }
    let lines = receiver.printed.lines();
    assert!(!lines.iter().any(|line| line.contains("another")), "{lines:?}");
    assert_eq!(receiver.stop().await.unwrap(), Ending::Stopped);
}
