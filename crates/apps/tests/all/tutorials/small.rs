//! Small programs of their own (`examples/tutorial`): P-07, P-08, P-14, P-15, P-16.

use std::io::ErrorKind;
use std::time::Duration;

use sockeye_net::TcpStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::listen::listen;
use super::place::{Place, Printed};
use super::{create, deaf_client, exchange, gbk_server, reuse_server};

/// P-07: one message each way, both close; then nobody listens.
pub(crate) async fn single_exchange(place: Place) {
    let listener = listen(&place.server, place.at(8080), 5, false).unwrap();
    let at = listener.local_addr().unwrap();
    let (served, printed) = (Printed::default(), Printed::default());
    let into = served.clone();
    let server = tokio::spawn(exchange::server(listener, move |line| into.add(line)));
    exchange::client(&place.client, at, |line| printed.add(line))
        .await
        .unwrap();
    server.await.unwrap().unwrap();
    assert_eq!(printed.lines(), ["你好，欢迎来到服务端"]);
    let lines = served.lines();
    assert!(lines[0].starts_with(&format!("{at} ")), "{lines:?}");
    assert_eq!(lines[1..], ["你好，服务端"]);
    let refused = TcpStream::connect(&place.client, at).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// P-08: `hi`, and the server closes first: TIME-WAIT is its own. Started again at once it has its port, with
/// SO_REUSEADDR and not without.
pub(crate) async fn restarted_at_once(place: Place) {
    let mut at = place.at(8898);
    for text in ["one", "two"] {
        let listener = listen(&place.server, at, 128, true).unwrap();
        at = listener.local_addr().unwrap();
        let printed = Printed::default();
        let into = printed.clone();
        let server = tokio::spawn(reuse_server::server(listener, move |line| into.add(line)));
        let mut stream = TcpStream::connect(&place.client, at).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(
            (answer.as_slice(), printed.lines()),
            (&b"hi"[..], vec![text.to_string()])
        );
        server.await.unwrap().unwrap();
        stream.shutdown().await.unwrap();
        let taken = listen(&place.server, at, 128, false).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse, "without SO_REUSEADDR");
    }
}

/// P-14: sends GBK and never reads. The server answers once and closes: the next line still goes out, one after it fails,
/// and the program says so and ends.
pub(crate) async fn never_reads(place: Place) {
    let listener = listen(&place.server, place.anywhere(7891), 128, false).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (lines, mut input) = mpsc::channel(4);
    for line in [place.host.to_string(), port.to_string(), "你好".into()] {
        lines.try_send(line).unwrap();
    }
    let printed = Printed::default();
    let (asked, said) = (printed.clone(), printed.clone());
    let net = place.client.clone();
    let client = tokio::spawn(async move {
        let ask = |prompt: &str| asked.add(prompt);
        deaf_client::client(&net, &mut input, ask, |line| said.add(line)).await
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut octets = [0; 1024];
    let n = stream.read(&mut octets).await.unwrap();
    assert_eq!(octets[..n], [0xc4, 0xe3, 0xba, 0xc3], "你好 in GBK");
    stream.write_all(&[0; 12]).await.unwrap();
    drop((stream, listener));
    // Lines until one cannot be sent any more; each has time to be answered by a reset.
    let mut sent = 0;
    while !client.is_finished() {
        sent += usize::from(lines.try_send("还在吗".into()).is_ok());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ending = client.await.unwrap().unwrap();
    use deaf_client::Ending::ServerClosed;
    assert!(
        matches!(
            ending,
            ServerClosed(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
        ),
        "{ending:?}"
    );
    assert!(sent >= 2, "the first line after the close still goes out");
    let lines = printed.lines();
    let prompts = ["请输入服务器的ip:", "请输入服务器的port:", "请输入要发送的数据:"];
    assert_eq!(lines[..3], prompts);
    assert_eq!(lines.last().unwrap(), "服务端已经关闭连接");
}

/// P-15: prints `----1----` before and `----2----` with the address after a client came; answers twelve octets of GBK;
/// serves one client.
pub(crate) async fn gbk(place: Place) {
    let listener = listen(&place.server, place.anywhere(7891), 128, false).unwrap();
    let at = place.to(listener.local_addr().unwrap());
    let printed = Printed::default();
    let into = printed.clone();
    let server = tokio::spawn(gbk_server::server(listener, move |line| into.add(line)));
    printed.starting("----1----").await;
    assert_eq!(printed.lines(), ["----1----"]);
    let mut stream = TcpStream::connect(&place.client, at).await.unwrap();
    stream.write_all(&[0xc4, 0xe3, 0xba, 0xc3]).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let in_gbk = [
        0xca, 0xd5, 0xb5, 0xbd, 0xc0, 0xb2, 0xce, 0xd2, 0xb7, 0xb4, 0xc0, 0xa1,
    ];
    assert_eq!(answer, in_gbk, "{}", gbk_server::ANSWER);
    server.await.unwrap().unwrap();
    let lines = printed.lines();
    assert_eq!((lines[1].as_str(), lines[3].as_str()), ("----2----", "你好"));
    let port = stream.local_addr().unwrap().port();
    assert!(lines[2].ends_with(&format!(":{port}")), "{lines:?}");
    let refused = TcpStream::connect(&place.client, at).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "one client");
}

/// P-16: both can be created, and nothing of them stays.
pub(crate) async fn created_and_closed(place: Place) {
    for net in [&place.server, &place.client] {
        for _ in 0..3 {
            create::create(net).unwrap();
        }
        if let Some(host) = net.host() {
            let left = host.lock().snapshot().sockets;
            assert!(left.is_empty(), "{left:?}");
        }
    }
}
