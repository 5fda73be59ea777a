//! Upper-casing: P-10, P-11.

use std::net::SocketAddr;

use sockeye_apps::line::Stop;
use sockeye_apps::upper::{Client, Ending, Server, Settings, converse};
use sockeye_net::socket::gethostname;
use sockeye_net::{TcpStream, ToSocketAddrs, lookup_host};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::place::{Place, Printed, Running, chinese};

/// back_log 5, buffer 1024, one client after the other: the defaults are the tutorial's.
async fn serve(place: &Place, bind: impl ToSocketAddrs) -> Running<()> {
    let server = Server::bind(&place.server, bind, Settings::default())
        .await
        .unwrap();
    let at = server.local_addr().unwrap();
    Running::new(at, |printed, mut stop| async move {
        let run = server.run(move |event| printed.add(event.text(chinese())));
        tokio::select! {
            ended = run => ended.unwrap(),
            () = stop.stopped() => {}
        }
    })
}

async fn client(place: &Place, to: SocketAddr, lines: &[&str]) -> (Ending, Vec<String>) {
    let client = Client::connect(&place.client, to).await.unwrap();
    let (keys, mut input) = mpsc::channel(16);
    for line in lines {
        keys.try_send(line.to_string()).unwrap();
    }
    let printed = Printed::default();
    let tell = |told: sockeye_apps::upper::Told| printed.add(told.text(chinese()));
    let ending = converse(client, &mut input, &mut Stop::never(), tell)
        .await
        .unwrap();
    (ending, printed.lines())
}

const PROMPT: &str = "请输入要发送的信息:";
const SENT: &str = "---------客户端已经发送消息------------";

/// P-10: `python` comes back as `PYTHON`, octet by octet as it was sent. An empty line is refused instead of blocking both
/// sides; an orderly close ends the conversation instead of looping, and the next client is served.
pub(crate) async fn one_client(place: Place) {
    let server = serve(&place, place.at(8000)).await;
    let (ending, printed) = client(&place, server.at, &["python", "", "你好 abc", "q"]).await;
    assert_eq!(ending, Ending::Quit);
    let expected = [
        PROMPT,
        SENT,
        "PYTHON",
        PROMPT,
        "不能发送空消息",
        PROMPT,
        SENT,
        "你好 ABC",
        PROMPT,
    ];
    assert_eq!(printed, expected);
    // As the tutorial's client: no newline, one recv of 1024.
    let mut stream = TcpStream::connect(&place.client, server.at).await.unwrap();
    stream.write_all(b"python").await.unwrap();
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"PYTHON");
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "an orderly close is answered by one: {rest:?}");
    let lines = server.printed.lines();
    let says = |text: &str| {
        let beginning = format!("客户端发来的信息是{text}（");
        lines.iter().filter(|line| line.starts_with(&beginning)).count()
    };
    assert_eq!(
        [says("python"), says("你好 abc"), says("")],
        [2, 1, 0],
        "{lines:?}"
    );
    assert!(server.is_running());
    server.stop().await;
}

/// P-11: at the host's own name; clients in turn, in the order in which they came; a reset leads to the next.
pub(crate) async fn clients_in_turn(place: Place) {
    let name = gethostname(&place.server);
    let named = lookup_host(&place.server, (name.as_str(), 1)).await;
    let named = named
        .ok()
        .and_then(|mut found| found.next())
        .map(|found| found.ip());
    // A name may be unknown, or lead to an address that others do not reach (127.0.1.1): then the address is taken.
    let reached = named.filter(|ip| *ip == place.host || (ip.is_loopback() && place.host.is_loopback()));
    let server = match reached {
        Some(_) => serve(&place, (name.as_str(), place.port(8080))).await,
        None => serve(&place, place.at(8080)).await,
    };
    assert!(
        place.lab.is_none() || reached.is_some(),
        "in the lab names are known"
    );
    let mut rude = TcpStream::connect(&place.client, server.at).await.unwrap();
    rude.write_all(b"rude").await.unwrap();
    rude.read_exact(&mut [0; 4]).await.unwrap();
    // Two who wait for their turn, and have spoken already.
    let mut waiting = Vec::new();
    for text in [b"second", b"third!"] {
        let mut stream = TcpStream::connect(&place.client, server.at).await.unwrap();
        stream.write_all(text).await.unwrap();
        waiting.push(stream);
    }
    rude.set_zero_linger().unwrap();
    drop(rude);
    for (stream, answer) in waiting.iter_mut().zip([b"SECOND", b"THIRD!"]) {
        let mut octets = [0; 6];
        stream.read_exact(&mut octets).await.unwrap();
        assert_eq!(&octets, answer);
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut octets).await.unwrap(), 0);
    }
    let (ending, printed) = client(&place, server.at, &["  ", "last", "exit"]).await;
    assert_eq!(ending, Ending::Quit);
    assert_eq!(printed[1..5], ["不能发送空消息", PROMPT, SENT, "LAST"]);
    let lines = server.printed.lines();
    let at = |text: &str| lines.iter().position(|line| line.contains(text));
    let order = ["是rude", "异常断开", "是second", "是third!", "是last"].map(at);
    assert!(
        order.iter().all(Option::is_some) && order.is_sorted(),
        "{lines:?}"
    );
    server.stop().await;
}
