//! The upper-casing programs on the operating system's sockets.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use sockeye_apps::upper::{Client, Ending, Event, Server, Settings, is_quit, talk};
use sockeye_net::{Net, TcpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::task::JoinHandle;

struct Served {
    address: SocketAddr,
    events: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<std::io::Result<()>>,
}

async fn serve(settings: Settings) -> Served {
    let server = Server::bind(&Net::os(), "127.0.0.1:0", settings).await.unwrap();
    let address = server.local_addr().unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let into = events.clone();
    let task = tokio::spawn(server.run(move |event| {
        into.lock().unwrap().push(match event {
            Event::Accepted(_) => "accepted".into(),
            Event::Received(_, bytes) => format!("{} octets", bytes.len()),
            Event::Closed(_) => "closed".into(),
            Event::Broken(_, error) => format!("{:?}", error.kind()),
        });
    }));
    Served {
        address,
        events,
        task,
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

#[test]
fn lines_come_back_in_capitals() {
    run(async {
        let served = serve(Settings::default()).await;
        let mut client = Client::connect(&Net::os(), served.address).await.unwrap();
        assert_eq!(client.ask("python").await.unwrap(), "PYTHON");
        assert_eq!(client.ask("你好 abc").await.unwrap(), "你好 ABC");
        assert_eq!(client.ask("").await.unwrap(), "");
        assert_eq!(
            client.ask(&"ΐ".repeat(1000)).await.unwrap(),
            "\u{399}\u{308}\u{301}".repeat(1000)
        );
        assert_eq!(
            client.ask("two\nlines").await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        client.close().await.unwrap();
        // The next client's turn: the close in good order neither loops nor ends the server.
        let mut next = Client::connect(&Net::os(), served.address).await.unwrap();
        assert_eq!(next.ask("next").await.unwrap(), "NEXT");
        let events = served.events.lock().unwrap().clone();
        assert_eq!(events.iter().filter(|e| *e == "closed").count(), 1, "{events:?}");
    });
}

#[test]
fn a_reset_does_not_end_the_server() {
    run(async {
        let served = serve(Settings::default()).await;
        let mut rude = TcpStream::connect(&Net::os(), served.address).await.unwrap();
        rude.write_all(b"half a li").await.unwrap();
        let mut answer = [0; 9];
        rude.read_exact(&mut answer).await.unwrap();
        rude.set_zero_linger().unwrap();
        drop(rude);
        let mut next = Client::connect(&Net::os(), served.address).await.unwrap();
        assert_eq!(next.ask("still there?").await.unwrap(), "STILL THERE?");
        assert_eq!(served.events.lock().unwrap()[2], "ConnectionReset");
        assert!(!served.task.is_finished());
    });
}

#[test]
fn a_long_line_does_not_stop_both_sides() {
    run(async {
        let served = serve(Settings::default()).await;
        let mut client = Client::connect(&Net::os(), served.address).await.unwrap();
        let line = "字a".repeat(8 << 20);
        assert!(client.ask(&line).await.unwrap() == line.to_uppercase());
    });
}

#[test]
fn one_at_a_time_or_several() {
    run(async {
        let served = serve(Settings {
            clients: 2,
            ..Settings::default()
        })
        .await;
        let mut clients = Vec::new();
        for n in 0..3 {
            clients.push((n, Client::connect(&Net::os(), served.address).await.unwrap()));
        }
        // Two are served side by side; the third waits for a place.
        let (_, mut third) = clients.pop().unwrap();
        for (n, client) in &mut clients {
            assert_eq!(
                client.ask(&format!("client {n}")).await.unwrap(),
                format!("CLIENT {n}")
            );
        }
        let waiting = tokio::spawn(async move { third.ask("third").await });
        clients.pop().unwrap().1.close().await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), "THIRD");
    });
}

#[test]
fn a_conversation_ends_with_q_or_with_the_input() {
    run(async {
        for (input, expected, ending) in [
            (
                "python\n\n  \n你好 abc\nQ\nnever\n",
                "PYTHON\n你好 ABC\n",
                Ending::Quit,
            ),
            ("python\nq\n", "PYTHON\n", Ending::Quit),
            (
                "no newline at the end",
                "NO NEWLINE AT THE END\n",
                Ending::EndOfInput,
            ),
            ("crlf\r\n", "CRLF\n", Ending::EndOfInput),
            ("", "", Ending::EndOfInput),
        ] {
            let served = serve(Settings::default()).await;
            let client = Client::connect(&Net::os(), served.address).await.unwrap();
            let mut output = Vec::new();
            let ended = talk(client, BufReader::new(input.as_bytes()), &mut output)
                .await
                .unwrap();
            assert_eq!(
                (String::from_utf8(output).unwrap().as_str(), ended),
                (expected, ending)
            );
        }
        let served = serve(Settings::default()).await;
        let client = Client::connect(&Net::os(), served.address).await.unwrap();
        let gbk = talk(client, BufReader::new(&b"\xc4\xe3\xba\xc3\n"[..]), Vec::new()).await;
        assert_eq!(gbk.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(is_quit("Q") && is_quit(" q\r") && !is_quit("quit"));
    });
}

#[test]
fn errors_are_told() {
    run(async {
        let served = serve(Settings::default()).await;
        let taken = Server::bind(&Net::os(), served.address, Settings::default())
            .await
            .unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        let listener = sockeye_net::TcpListener::bind(&Net::os(), "127.0.0.1:0")
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = Client::connect(&Net::os(), address).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let wrong = tokio::spawn(async move {
            let mut buf = [0; 100];
            let n = server.read(&mut buf).await.unwrap();
            server.write_all(&[b'x'; 100]).await.unwrap();
            server.shutdown().await.unwrap();
            n
        });
        assert_eq!(
            client.ask("short").await.unwrap_err().kind(),
            ErrorKind::InvalidData
        );
        assert_eq!(wrong.await.unwrap(), 6);
        drop(listener);
        let refused = Client::connect(&Net::os(), address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}
