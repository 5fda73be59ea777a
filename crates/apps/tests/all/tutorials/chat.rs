//! Conversations: P-01, P-02, P-05, P-06, P-09.

use std::net::SocketAddr;

use sockeye_apps::chat::{Ending, Event, First, Input, Server, Settings, connect, converse};
use sockeye_apps::line::Stop;
use sockeye_apps::udp::{self, Manner};
use sockeye_net::{TcpStream, UdpSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::place::{Place, Printed, Running, chinese};

/// In turns, a message a segment and without newlines, as the tutorials' programs have it.
fn turns(first: First) -> Settings {
    Settings {
        turns: Some(first),
        bare: true,
        ..Settings::default()
    }
}

/// What a person at a server types: upon a conversation's beginning (nothing), or upon a message.
type Person = fn(Option<&str>) -> Vec<&'static str>;

/// A server with its person, who answers what it shows.
async fn serve(
    place: &Place,
    bind: SocketAddr,
    settings: Settings,
    person: Person,
) -> Running<std::io::Result<Ending>> {
    let server = Server::bind(&place.server, bind, settings).await.unwrap();
    let at = place.to(server.place().unwrap().inet().unwrap());
    Running::new(at, |printed, mut stop| async move {
        let (keys, mut input) = mpsc::channel(8);
        let tell = |event: Event| {
            printed.lines_of(&event, First::Server);
            let says = match &event {
                Event::Connected(_) => person(None),
                Event::Message(_, text) => person(Some(text)),
                _ => Vec::new(),
            };
            for line in says {
                keys.try_send(line.to_string()).unwrap();
            }
        };
        server.run(&mut input, &mut stop, tell).await
    })
}

impl Printed {
    fn lines_of(&self, event: &Event, side: First) {
        if let Some(line) = event.text(chinese(), side) {
            self.add(line);
        }
    }
}

fn typed(lines: &[&str]) -> (mpsc::Sender<String>, Input) {
    let (keys, input) = mpsc::channel(16);
    for line in lines {
        keys.try_send(line.to_string()).unwrap();
    }
    (keys, input)
}

/// A client whose person types these lines, each when asked, and then waits.
async fn client(place: &Place, to: SocketAddr, settings: Settings, lines: &[&str]) -> (Ending, Vec<String>) {
    let stream = connect(&place.client, to).await.unwrap();
    let (_keys, mut input) = typed(lines);
    let printed = Printed::default();
    let tell = |event: Event| printed.lines_of(&event, First::Client);
    let side = First::Client;
    let ending = converse(stream, side, &settings, &mut input, &mut Stop::never(), tell).await;
    (ending.unwrap(), printed.lines())
}

/// The address of our end and the line that the server prints when we say this.
fn from_us(stream: &TcpStream, text: &str) -> String {
    let us = stream.local_addr().unwrap();
    format!("来自于客户端{us}的消息>>>:{text}")
}

/// Reads as many octets as the text has: they are the text's, and no more.
async fn reads(stream: &mut TcpStream, text: &str) {
    let mut octets = vec![0; text.len()];
    stream.read_exact(&mut octets).await.unwrap();
    assert_eq!(octets, text.as_bytes());
}

/// P-01: the client speaks first; octets without newlines both ways; an empty line closes the client, and the next one is
/// served.
pub(crate) async fn one_to_one(place: Place) {
    let settings = turns(First::Client);
    let person: Person = |said| said.map_or_else(Vec::new, |_| vec!["世界"]);
    let server = serve(&place, place.anywhere(8888), settings, person).await;
    // As the tutorial's client: connect, send, recv, close.
    let mut stream = TcpStream::connect(&place.client, server.at).await.unwrap();
    stream.write_all("你好".as_bytes()).await.unwrap();
    reads(&mut stream, "世界").await;
    server.printed.starting(&from_us(&stream, "你好")).await;
    drop(stream);
    // And ours, twice: the end of one is the beginning of the next.
    for _ in 0..2 {
        let settings = Settings {
            empty_ends: true,
            ..settings
        };
        let (ending, printed) = client(&place, server.at, settings, &["hello", "", "never said"]).await;
        assert_eq!(ending, Ending::EndOfInput);
        assert_eq!(printed[1..4], [">>>", "世界", ">>>"]);
    }
    assert!(
        !server
            .printed
            .lines()
            .iter()
            .any(|line| line.contains("never said"))
    );
    assert_eq!(server.stop().await.unwrap(), Ending::Stopped);
}

/// P-05: the server speaks first. Q in either case is sent and ends the conversation on both sides; so does the end of
/// the stream. The next client is served.
pub(crate) async fn with_q(place: Place) {
    let settings = turns(First::Server);
    let person: Person = |said| match said {
        None => vec!["欢迎"],
        Some("bye") => vec!["Q"],
        Some("q" | "Q") => vec![],
        Some(_) => vec!["再说"],
    };
    let server = serve(&place, place.at(9001), settings, person).await;
    // The client says q: it goes over the network as it is.
    let mut stream = TcpStream::connect(&place.client, server.at).await.unwrap();
    reads(&mut stream, "欢迎").await;
    stream.write_all(b"q").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "the server closes too: {rest:?}");
    server.printed.starting(&from_us(&stream, "q")).await;
    drop(stream);
    // The server says Q: the client receives it and ends.
    let (ending, printed) = client(&place, server.at, settings, &["谢谢", "bye"]).await;
    assert_eq!(ending, Ending::PeerQuit);
    assert_eq!(printed[1..6], ["欢迎", ">>>", "再说", ">>>", "Q"]);
    // One who closes without a word: the end of the stream, which the tutorial's server takes for a message for ever.
    let mut stream = TcpStream::connect(&place.client, server.at).await.unwrap();
    reads(&mut stream, "欢迎").await;
    drop(stream);
    let (ending, _) = client(&place, server.at, settings, &["Q"]).await;
    assert_eq!(ending, Ending::Quit);
    assert_eq!(server.stop().await.unwrap(), Ending::Stopped);
}

/// P-09: whatever way a client leaves, the next is served. Empty messages are refused on both sides.
pub(crate) async fn robust(place: Place) {
    let settings = turns(First::Client);
    // The person at the server presses Enter first: nothing is sent, and nobody waits for it.
    let person: Person = |said| said.map_or_else(Vec::new, |_| vec!["", "   ", "收到"]);
    let server = serve(&place, place.at(8081), settings, person).await;
    // A reset.
    let mut rude = TcpStream::connect(&place.client, server.at).await.unwrap();
    rude.write_all(b"rude").await.unwrap();
    reads(&mut rude, "收到").await;
    let rude_said = from_us(&rude, "rude");
    rude.set_zero_linger().unwrap();
    drop(rude);
    // An orderly close without a word: b'' on the other side.
    drop(TcpStream::connect(&place.client, server.at).await.unwrap());
    let (ending, printed) = client(&place, server.at, settings, &["", "  ", "你好", "Q"]).await;
    assert_eq!(ending, Ending::Quit);
    let expected = [
        ">>>",
        "不能发送空消息",
        ">>>",
        "不能发送空消息",
        ">>>",
        "收到",
        ">>>",
    ];
    assert_eq!(printed[1..8], expected);
    assert_eq!(server.printed.count(&rude_said), 1);
    assert_eq!(server.printed.count("不能发送空消息"), 4, "{:?}", server.printed);
    assert!(server.is_running());
    assert_eq!(server.stop().await.unwrap(), Ending::Stopped);
}

fn datagrams(side: First, goodbye: bool) -> udp::Settings {
    let turns = Some(First::Client);
    udp::Settings {
        goodbye,
        ..udp::Settings::new(Manner::Chat { side, turns })
    }
}

/// A UDP server whose person answers what it shows.
async fn serve_udp(
    place: &Place,
    port: u16,
    answer: fn(&str) -> &'static str,
) -> Running<std::io::Result<udp::Ending>> {
    let socket = UdpSocket::bind(&place.server, place.at(port)).await.unwrap();
    let at = place.to(socket.local_addr().unwrap());
    Running::new(at, move |printed, mut stop| async move {
        let (keys, mut input) = mpsc::channel(8);
        let settings = datagrams(First::Server, true);
        let tell = |event: udp::Event| {
            if let Some(line) = event.text(chinese()) {
                printed.add(line);
            }
            if let udp::Event::Received(_, text, _) = &event {
                let _ = keys.try_send(answer(text).to_string());
            }
        };
        udp::exchange(&socket, None, &settings, &mut input, &mut stop, tell).await
    })
}

/// A UDP client whose person says these lines one after the other, and says one again if no answer comes. Stopped after
/// the last answer, unless it ends before. What it printed and heard, and how often no answer came.
struct UdpTalk {
    ending: udp::Ending,
    printed: Vec<String>,
    us: SocketAddr,
    lost: usize,
}

async fn talk_udp(place: &Place, to: SocketAddr, lines: &[&str]) -> UdpTalk {
    let socket = UdpSocket::bind(&place.client, "0.0.0.0:0").await.unwrap();
    socket.connect(to).await.unwrap();
    let us = socket.local_addr().unwrap();
    let (keys, mut input) = mpsc::channel(8);
    let (stopper, mut stop) = sockeye_apps::line::Stopper::new();
    let (printed, mut lost, mut at) = (Printed::default(), 0, 0);
    let tell = |event: udp::Event| {
        if let Some(line) = event.text(chinese()) {
            printed.add(line);
        }
        match event {
            udp::Event::NoAnswer(_) => lost += 1,
            udp::Event::Received(..) => at += 1,
            udp::Event::Ask => match lines.get(at) {
                Some(line) => keys.try_send(line.to_string()).unwrap(),
                None => stopper.stop(),
            },
            _ => {}
        }
    };
    let settings = datagrams(First::Client, false);
    let ending = udp::exchange(&socket, Some(to), &settings, &mut input, &mut stop, tell).await;
    UdpTalk {
        ending: ending.unwrap(),
        printed: printed.lines(),
        us,
        lost,
    }
}

/// P-02: the client speaks first; each side prints where a message is from; replies go to the sender. A lost datagram
/// gives the turn back instead of blocking for ever.
pub(crate) async fn udp(place: Place) {
    let server = serve_udp(&place, 8888, |said| if said == "你好" { "世界" } else { "好的" }).await;
    let to = server.at;
    // Two clients, one after the other: the reply goes to the one who asked.
    for _ in 0..2 {
        let talk = talk_udp(&place, to, &["你好", "再见"]).await;
        assert_eq!(talk.ending, udp::Ending::Stopped);
        let heard: Vec<_> = talk
            .printed
            .iter()
            .filter(|line| line.starts_with("来自"))
            .collect();
        let expected = [
            format!("来自[{to}]的消息: 世界"),
            format!("来自[{to}]的消息: 好的"),
        ];
        if place.lossy {
            // A late answer may be heard twice; none is another's.
            assert!(heard.iter().all(|line| expected.contains(line)), "{heard:?}");
        } else {
            assert!(heard.into_iter().eq(&expected));
            assert_eq!(talk.printed[0], ">>>");
            assert_eq!(talk.lost, 0);
        }
        let port = talk.us.port();
        let lines = server.printed.lines();
        assert!(
            lines
                .iter()
                .any(|line| line.ends_with(&format!(":{port}]的消息: 你好"))),
            "{lines:?}"
        );
    }
    assert_eq!(server.stop().await.unwrap(), udp::Ending::Stopped);
}

/// P-06: the client speaks first; its Q ends it and is not sent. The server's Q ends the client too, and the server goes
/// on with the next.
pub(crate) async fn udp_with_q(place: Place) {
    let server = serve_udp(&place, 9001, |said| if said == "bye" { "Q" } else { "好的" }).await;
    let to = server.at;
    let talk = talk_udp(&place, to, &["你好", "q"]).await;
    assert_eq!(talk.ending, udp::Ending::Quit);
    let talk = talk_udp(&place, to, &["你好", "bye", "never said"]).await;
    assert_eq!(talk.ending, udp::Ending::PeerQuit);
    if !place.lossy {
        let expected = [
            ">>>".into(),
            format!("来自[{to}]的消息: 好的"),
            ">>>".into(),
            format!("来自[{to}]的消息: Q"),
        ];
        assert_eq!(talk.printed, expected);
    }
    let talk = talk_udp(&place, to, &["还在吗", "Q"]).await;
    assert_eq!(talk.ending, udp::Ending::Quit, "the server serves the next");
    let heard = server.printed.lines();
    let unsaid = ["消息: q", "消息: Q", "never said"];
    assert!(
        !heard
            .iter()
            .any(|line| unsaid.iter().any(|text| line.ends_with(text))),
        "{heard:?}"
    );
    assert_eq!(server.stop().await.unwrap(), udp::Ending::Stopped);
}
