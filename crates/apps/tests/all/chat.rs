//! Chat, on the operating system's sockets and in the lab, with and without loss: the same tests.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sockeye_apps::chat::{
    Ending, Event, First, Input, LocalName, Messages, RoomEvent, RoomSettings, Rooms, Server, Settings,
    connect, connect_local, converse,
};
use sockeye_apps::line::{Charset, Stop, Stopper};
use sockeye_apps::udp::{self, Manner};
use sockeye_lab::{World, mbit, ms, run};
use sockeye_net::{Net, TcpListener, TcpStream, UdpSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The nets of server and client, and where the server shall listen.
#[derive(Clone)]
struct Place {
    server: Net,
    client: Net,
    bind: &'static str,
    host: Option<&'static str>,
}

impl Place {
    fn to(&self, bound: SocketAddr) -> SocketAddr {
        match self.host {
            None => bound,
            Some(host) => SocketAddr::new(host.parse().unwrap(), bound.port()),
        }
    }
}

/// Runs a test in all places: loopback, and the lab with 0 % and 5 % of loss.
fn everywhere<F: Future<Output = ()> + Send + 'static>(test: impl Fn(Place) -> F + Clone + Send + 'static) {
    on_the_system(test.clone());
    for loss in [0.0, 0.05] {
        in_lab(loss, test.clone());
    }
}

fn on_the_system<F: Future<Output = ()>>(test: impl Fn(Place) -> F) {
    let os = Place {
        server: Net::os(),
        client: Net::os(),
        bind: "127.0.0.1:0",
        host: None,
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test(os));
}

fn in_lab<F: Future<Output = ()> + Send + 'static>(
    loss: f64,
    test: impl Fn(Place) -> F + Clone + Send + 'static,
) {
    let mut world = World::new(11);
    let client = world.host("client").ip("10.0.0.1/24").id();
    let server = world.host("server").ip("10.0.0.2/24").id();
    world.link(client, server).delay(ms(10)).rate(mbit(10)).loss(loss);
    run(world, move |lab| async move {
        test(Place {
            server: lab.net("server"),
            client: lab.net("client"),
            bind: "0.0.0.0:9001",
            host: Some("10.0.0.2"),
        })
        .await;
    });
}

type Told = Arc<Mutex<Vec<String>>>;

fn short(event: &Event) -> Option<String> {
    Some(match event {
        Event::Connected(_) => "connected".into(),
        Event::Ask => return None,
        Event::Message(_, text) if text.len() > 100 => format!("< {}", text.len()),
        Event::Message(_, text) => format!("< {text}"),
        Event::Sent(_, text) if text.len() > 100 => format!("> {}", text.len()),
        Event::Sent(_, text) => format!("> {text}"),
        Event::Empty => "empty".into(),
        Event::CannotEncode(error) => error.to_string(),
        Event::PeerEnded(_) => "peer ended".into(),
        Event::Closed(_, ending) => format!("{ending:?}"),
        Event::Broken(_, error) => format!("{:?}", error.kind()),
    })
}

fn into(told: &Told) -> impl FnMut(Event) + Send + 'static {
    let told = told.clone();
    move |event| told.lock().unwrap().extend(short(&event))
}

fn lines(all: &[&str]) -> (mpsc::Sender<String>, Input) {
    let (to, input) = mpsc::channel(64);
    for line in all {
        to.try_send(line.to_string()).unwrap();
    }
    (to, input)
}

struct Listening {
    address: SocketAddr,
    told: Told,
    task: JoinHandle<std::io::Result<Ending>>,
    input: mpsc::Sender<String>,
}

impl Listening {
    async fn heard(&self, what: &str) {
        while !self.told.lock().unwrap().iter().any(|told| told == what) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn listen(place: &Place, settings: Settings, says: &[&str]) -> Listening {
    let server = Server::bind(&place.server, place.bind, settings).await.unwrap();
    let address = place.to(server.place().unwrap().inet().unwrap());
    let (keep, mut input) = lines(says);
    let told = Told::default();
    let tell = into(&told);
    let task = tokio::spawn(async move { server.run(&mut input, &mut Stop::never(), tell).await });
    Listening {
        address,
        told,
        task,
        input: keep,
    }
}

/// A client that says these lines and no more, but whose input does not end.
async fn client(
    place: &Place,
    to: SocketAddr,
    settings: Settings,
    says: &[&str],
) -> (std::io::Result<Ending>, Vec<String>) {
    let (_keep, mut input) = lines(says);
    let told = Told::default();
    let stream = connect(&place.client, to).await.unwrap();
    let result = converse(
        stream,
        First::Client,
        &settings,
        &mut input,
        &mut Stop::never(),
        into(&told),
    )
    .await;
    let told = told.lock().unwrap().clone();
    (result, told)
}

#[test]
fn in_turns() {
    everywhere(|place| async move {
        let settings = Settings {
            turns: Some(First::Server),
            ..Settings::default()
        };
        let says = ["", "你好", "how are you", "again", "Q", "next"];
        let listening = listen(&place, settings, &says).await;
        // The client ends the first conversation, the server the second.
        let (ending, told) = client(&place, listening.address, settings, &["hello", "  ", "q"]).await;
        assert_eq!(ending.unwrap(), Ending::Quit);
        let expected = [
            "connected",
            "< 你好",
            "> hello",
            "< how are you",
            "empty",
            "> q",
            "Quit",
        ];
        assert_eq!(told, expected);
        let (ending, told) = client(&place, listening.address, settings, &["fine", "unsaid"]).await;
        assert_eq!(ending.unwrap(), Ending::PeerQuit);
        assert_eq!(told, ["connected", "< again", "> fine", "< Q", "PeerQuit"]);
        let (ending, told) = client(&place, listening.address, settings, &["exit"]).await;
        assert_eq!((ending.unwrap(), told.len()), (Ending::Quit, 4));
        // Our goodbye was read before the server's own event of it was told.
        let told = listening.told.lock().unwrap().clone();
        let expected = [
            "connected",
            "empty",
            "> 你好",
            "< hello",
            "> how are you",
            "< q",
            "PeerQuit",
            "connected",
            "> again",
            "< fine",
            "> Q",
            "Quit",
            "connected",
            "> next",
            "< exit",
        ];
        assert_eq!(told[..expected.len()], expected);
    });
}

/// Whatever way one leaves, the server goes on: in the middle of a turn, by close, by reset.
#[test]
fn the_server_goes_on() {
    everywhere(|place| async move {
        let listening = listen(&place, Settings::default(), &[]).await;
        let closes = TcpStream::connect(&place.client, listening.address)
            .await
            .unwrap();
        drop(closes);
        let mut resets = TcpStream::connect(&place.client, listening.address)
            .await
            .unwrap();
        resets.write_all(b"rude\n").await.unwrap();
        listening.heard("< rude").await;
        resets.set_zero_linger().unwrap();
        drop(resets);
        let (ending, told) = client(&place, listening.address, Settings::default(), &["Q"]).await;
        assert_eq!(ending.unwrap(), Ending::Quit);
        assert_eq!(told, ["connected", "> Q", "Quit"]);
        drop(listening.input); // one who sees that nobody is there to speak closes
        let (ending, _) = client(&place, listening.address, Settings::default(), &[]).await;
        assert_eq!(ending.unwrap(), Ending::PeerClosed);
        assert_eq!(listening.task.await.unwrap().unwrap(), Ending::EndOfInput);
        let told = listening.told.lock().unwrap().clone();
        let expected = ["connected", "PeerClosed", "connected", "< rude"];
        assert_eq!(told[..4], expected);
        // A reset that is lost is not told again: then it is the next segment that finds nobody.
        assert!(
            ["ConnectionReset", "PeerClosed"].contains(&told[4].as_str()),
            "{told:?}"
        );
        assert_eq!(
            told[5..],
            ["connected", "< Q", "PeerQuit", "connected", "EndOfInput"]
        );
    });
}

/// Both send far more than all buffers hold, at the same time: nobody blocks.
#[test]
fn both_at_once() {
    everywhere(|place| async move {
        let settings = Settings {
            limit: 16 << 20,
            ..Settings::default()
        };
        let long = "长".repeat(400_000);
        // The first line says that newlines end messages: then no pause does, however long a loss makes it.
        let listening = listen(&place, settings, &["hi", &long]).await;
        let (_keep, mut input) = lines(&["hi", &long]);
        let mut stop = Stop::never();
        let told = Told::default();
        let (stopper, stopped) = Stopper::new();
        stop.clone_from(&stopped);
        let mut tell = into(&told);
        let mut whole = 0;
        let stream = connect(&place.client, listening.address).await.unwrap();
        let ending = converse(stream, First::Client, &settings, &mut input, &mut stop, |event| {
            whole += usize::from(matches!(&event, Event::Message(_, text) if text.len() == 1_200_000));
            if whole == 1 && matches!(event, Event::Message(..)) {
                stopper.stop();
            }
            tell(event);
        })
        .await;
        assert_eq!((ending.unwrap(), whole), (Ending::Stopped, 1));
    });
}

/// The end of our input is our FIN; what the peer still says is heard to its end.
#[test]
fn half_close() {
    everywhere(|place| async move {
        let listening = listen(&place, Settings::default(), &[]).await;
        let mut stream = TcpStream::connect(&place.client, listening.address)
            .await
            .unwrap();
        stream.write_all("last wor".as_bytes()).await.unwrap();
        stream.write_all("ds: 你".as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
        assert_eq!(listening.told.lock().unwrap()[1], "< last words: 你");

        // The other way round: the server's input ends, the client goes on to the end of its own.
        drop(listening.input);
        let settings = Settings {
            after_end: Some(Duration::from_secs(60)),
            ..Settings::default()
        };
        let (to, mut input) = lines(&[]);
        let told = Told::default();
        let mut tell = into(&told);
        let stream = connect(&place.client, listening.address).await.unwrap();
        let mut to = Some(to);
        let ending = converse(
            stream,
            First::Client,
            &settings,
            &mut input,
            &mut Stop::never(),
            |event| {
                if matches!(event, Event::PeerEnded(_))
                    && let Some(to) = to.take()
                {
                    to.try_send("I go on".into()).unwrap();
                }
                tell(event);
            },
        )
        .await;
        assert_eq!(ending.unwrap(), Ending::EndOfInput);
        assert_eq!(listening.task.await.unwrap().unwrap(), Ending::EndOfInput);
        assert!(listening.told.lock().unwrap().contains(&"< I go on".to_string()));
    });
}

/// A peer that has ended its side does not keep a pipe that says nothing; nor does one that says nothing itself keep us
/// when our input has ended, if we do not want to wait for it.
#[test]
fn silence_ends() {
    everywhere(|place| async move {
        let listening = listen(&place, Settings::default(), &[]).await;
        drop(listening.input);
        let settings = Settings {
            after_end: Some(Duration::from_millis(100)),
            ..Settings::default()
        };
        let (ending, told) = client(&place, listening.address, settings, &["still", "heard"]).await;
        assert_eq!(ending.unwrap(), Ending::PeerClosed);
        assert!(told.contains(&"> heard".to_string()), "{told:?}");
        let told = listening.told.lock().unwrap().clone();
        assert!(told.contains(&"< heard".to_string()), "{told:?}");
        assert_eq!(listening.task.await.unwrap().unwrap(), Ending::EndOfInput);

        let listening = listen(&place, Settings::default(), &[]).await;
        let settings = Settings {
            silence: Some(Duration::from_millis(100)),
            ..Settings::default()
        };
        let (keep, mut input) = lines(&["last"]);
        drop(keep);
        let stream = connect(&place.client, listening.address).await.unwrap();
        let mut stop = Stop::never();
        let ending = converse(stream, First::Client, &settings, &mut input, &mut stop, |_| {}).await;
        assert_eq!(ending.unwrap(), Ending::EndOfInput);
    });
}

/// What a peer said before it went is told, however it went. (On the operating system: RFC 9293 has a reset flush what
/// was not read, section 3.10.7.4, and our stack does.)
#[test]
fn last_words() {
    on_the_system(|place| async move {
        let listener = TcpListener::bind(&place.server, place.bind).await.unwrap();
        let address = place.to(listener.local_addr().unwrap());
        let (keep, mut input) = lines(&["never read"]);
        let told = Told::default();
        let tell = into(&told);
        let client = async {
            let stream = connect(&place.client, address).await.unwrap();
            let (settings, mut stop) = (Settings::default(), Stop::never());
            converse(stream, First::Client, &settings, &mut input, &mut stop, tell).await
        };
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.readable().await.unwrap();
            stream.write_all(b"goodbye then\n").await.unwrap();
            stream.shutdown().await.unwrap();
            // With what the client says unread, this is a reset.
            drop(stream);
            keep.send("nor this".into()).await.unwrap();
        };
        let (ending, ()) = tokio::join!(client, server);
        let told = told.lock().unwrap().clone();
        assert!(
            told.contains(&"< goodbye then".to_string()),
            "{ending:?} {told:?}"
        );
    });
}

/// The same conversation through a name of AF_UNIX, of the machine and of a host in the lab.
#[test]
fn through_a_local_name() {
    let test = |net: Net| async move {
        let directory = directory();
        let path = directory.join("talk.sock");
        let hidden = format!("@{}", path.display());
        for text in [path.to_str().unwrap(), &hidden] {
            let name: LocalName = text.parse().unwrap();
            let server = Server::bind_local(&net, &name, Settings::default())
                .await
                .unwrap();
            assert_eq!(server.place().unwrap().to_string(), text);
            let taken = Server::bind_local(&net, &name, Settings::default())
                .await
                .unwrap_err();
            assert_eq!(taken.kind(), ErrorKind::AddrInUse);
            let (keep, mut input) = lines(&["你好"]);
            let (told, mut stop) = (Told::default(), Stop::never());
            let tell = into(&told);
            let serve = server.run(&mut input, &mut stop, tell);
            let talk = async {
                let (_keep, mut input) = lines(&["hello", "Q"]);
                let stream = connect_local(&net, &name).await.unwrap();
                let (settings, mut stop) = (Settings::default(), Stop::never());
                let ending = converse(stream, First::Client, &settings, &mut input, &mut stop, |_| {}).await;
                drop(keep);
                let mut probe = connect_local(&net, &name).await;
                if let Ok(sockeye_apps::chat::Stream::Local(stream)) = &mut probe {
                    stream.shutdown().await.unwrap();
                }
                ending
            };
            let (served, talked) = tokio::join!(serve, talk);
            assert_eq!(talked.unwrap(), Ending::Quit);
            assert_eq!(served.unwrap(), Ending::EndOfInput);
            let told = told.lock().unwrap().clone();
            assert_eq!(told[0], "connected");
            assert!(told.contains(&"< hello".to_string()) && told.contains(&"> 你好".to_string()));
            assert!(!path.exists(), "the file goes with the server");
            let nobody = connect_local(&net, &name).await.unwrap_err();
            assert!([ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&nobody.kind()));
        }
        std::fs::remove_dir(&directory).unwrap();
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test(Net::os()));
    let mut world = World::new(5);
    world.host("alone").ip("10.0.0.1/24").id();
    run(world, move |lab| async move { test(lab.net("alone")).await });
}

/// What stands at the path already: a dead socket is replaced, a live one and a file are not; what was put there
/// meanwhile is not removed.
#[tokio::test]
async fn files_of_sockets() {
    let net = Net::os();
    let directory = directory();
    let path = directory.join("talk.sock");
    let name: LocalName = path.to_str().unwrap().parse().unwrap();
    let bind = || Server::bind_local(&net, &name, Settings::default());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = bind().await.unwrap();
    assert_eq!(bind().await.unwrap_err().kind(), ErrorKind::AddrInUse);
    connect_local(&net, &name).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    drop(server);
    assert!(path.exists(), "it is another's");
    assert_eq!(bind().await.unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(other);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "precious").unwrap();
    assert_eq!(bind().await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(bind().await.unwrap_err().kind(), ErrorKind::NotFound);
}

fn directory() -> std::path::PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("sockeye-chat-{}-{n}", std::process::id()));
    std::fs::create_dir(&path).unwrap();
    path
}

/// A program of the tutorials: no newlines, GBK, characters cut in two.
#[test]
fn with_a_program_of_the_tutorials() {
    everywhere(|place| async move {
        let settings = Settings {
            charset: Charset::Gbk,
            turns: Some(First::Client),
            bare: true,
            ..Settings::default()
        };
        let listening = listen(&place, settings, &["🦀", "收到啦我反馈"]).await;
        let mut stream = TcpStream::connect(&place.client, listening.address)
            .await
            .unwrap();
        let hello = Charset::Gbk.encode("你好").unwrap();
        stream.write_all(&hello[..3]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.write_all(&hello[3..]).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(Charset::Gbk.decode(&answer), "收到啦我反馈");
        let told = listening.told.lock().unwrap().clone();
        let sent = "> 收到啦我反馈";
        // Cut and delayed by a loss, it may be two messages: no newline says otherwise.
        assert!(told[1].starts_with("< 你"), "{told:?}");
        assert!(told.iter().any(|line| line == "GBK has no '🦀'") && told.iter().any(|line| line == sent));
    });
}

#[test]
fn stopped_in_good_order() {
    everywhere(|place| async move {
        let listening = listen(&place, Settings::default(), &[]).await;
        let (stopper, mut stop) = Stopper::new();
        let (_keep, mut input) = lines(&["hi"]);
        let stream = connect(&place.client, listening.address).await.unwrap();
        let settings = Settings::default();
        let ending = converse(stream, First::Client, &settings, &mut input, &mut stop, |event| {
            if let Event::Sent(..) = event {
                stopper.stop();
            }
        })
        .await;
        assert_eq!(ending.unwrap(), Ending::Stopped);
        // Our end was read before the peer's was told.
        let told = listening.told.lock().unwrap().clone();
        assert_eq!(told[..2], ["connected", "< hi"]);
    });
}

struct Guest {
    messages: Messages<sockeye_net::tcp::OwnedReadHalf>,
    write: sockeye_net::tcp::OwnedWriteHalf,
}

impl Guest {
    async fn come(place: &Place, to: SocketAddr) -> Guest {
        let stream = TcpStream::connect(&place.client, to).await.unwrap();
        let (read, write) = stream.into_split();
        let messages = Messages::new(read, Charset::Utf8, Duration::from_secs(1), 4096);
        let mut guest = Guest { messages, write };
        guest.hears("* you are guest").await;
        guest
    }
    async fn says(&mut self, line: &str) {
        self.write
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }
    /// The next line begins like this.
    async fn hears(&mut self, beginning: &str) {
        let line = self.messages.next().await.unwrap().unwrap_or_default();
        assert!(line.starts_with(beginning), "{line:?} is not {beginning:?}");
    }
}

#[test]
fn rooms_and_names() {
    everywhere(|place| async move {
        let settings = RoomSettings {
            clients: 2,
            ..RoomSettings::default()
        };
        let rooms = Rooms::bind(&place.server, place.bind, settings).await.unwrap();
        let address = place.to(rooms.place().unwrap().inet().unwrap());
        let (host, mut input) = lines(&[]);
        let told = Told::default();
        let into = told.clone();
        let task = tokio::spawn(async move {
            let tell = |event| {
                into.lock().unwrap().push(match event {
                    RoomEvent::Joined(_, name) => format!("{name} joined"),
                    RoomEvent::Line(line) => line,
                    RoomEvent::Left(_, name) => format!("{name} left"),
                    RoomEvent::Broken(_, name, _) => format!("{name} broke off"),
                    RoomEvent::LetGo(_, name) => format!("{name} let go"),
                });
            };
            rooms.run(&mut input, &mut Stop::never(), tell).await
        });
        let mut ann = Guest::come(&place, address).await;
        ann.says("/nick ann").await;
        ann.hears("* guest1 is now ann").await;
        let mut bob = Guest::come(&place, address).await;
        ann.hears("* guest2 joined hall").await;
        bob.says("/nick ann").await;
        bob.hears("* ann is taken").await;
        bob.says("/nick bob").await;
        bob.hears("* guest2 is now bob").await;
        ann.hears("* guest2 is now bob").await;
        // A third finds no place, and the others do not notice.
        let stream = TcpStream::connect(&place.client, address).await.unwrap();
        let mut third = Messages::new(stream, Charset::Utf8, Duration::from_secs(1), 4096);
        assert!(third.next().await.unwrap().unwrap().starts_with("* no place"));
        assert_eq!(third.next().await.unwrap(), None);
        bob.says("你好\u{1b}[2J").await;
        ann.hears("bob: 你好\\u{1b}[2J").await;
        bob.says("").await;
        bob.hears("* an empty message").await;
        ann.says("/join garden").await;
        ann.hears("* ann joined garden").await;
        bob.hears("* ann left for garden").await;
        bob.says("nobody here but the host").await;
        ann.says("/who").await;
        ann.hears("* garden: ann").await;
        ann.hears("* hall: host, bob").await;
        host.send("welcome".into()).await.unwrap();
        bob.hears("host: welcome").await;
        bob.says("/quit").await;
        bob.hears("* goodbye").await;
        assert_eq!(bob.messages.next().await.unwrap(), None);
        drop(bob);
        ann.says("/join hall").await;
        ann.hears("* ann joined hall").await;
        host.send("/quit".into()).await.unwrap();
        ann.hears("* the server closes").await;
        assert_eq!(ann.messages.next().await.unwrap(), None);
        drop(ann);
        task.await.unwrap().unwrap();
        let told = told.lock().unwrap().clone();
        for line in [
            "guest1 joined",
            "bob: nobody here but the host",
            "bob left",
            "no place let go",
        ] {
            assert!(told.iter().any(|told| told == line), "{line}: {told:?}");
        }
    });
}

/// Datagrams in turns; an empty one is sent, too large a one is not, the largest arrives, and a lost one gives
/// the turn back.
#[test]
fn datagrams() {
    everywhere(|place| async move {
        let socket = UdpSocket::bind(&place.server, place.bind).await.unwrap();
        let address = place.to(socket.local_addr().unwrap());
        let manner = |side| Manner::Chat {
            side,
            turns: Some(First::Client),
        };
        let answers = ["one", "two", "three", "four", "five", "six"].map(str::to_string);
        let (_keep, mut input) = mpsc::channel(8);
        let told = Arc::new(Mutex::new(Vec::new()));
        let into = told.clone();
        let server = tokio::spawn(async move {
            let mut answers = answers.into_iter();
            let settings = udp::Settings::new(manner(First::Server));
            let tell = |event| {
                if let udp::Event::Received(_, text, octets) = &event {
                    into.lock()
                        .unwrap()
                        .push((text.chars().take(5).collect::<String>(), *octets));
                    let _ = _keep.try_send(answers.next().unwrap_or_default());
                }
            };
            udp::exchange(&socket, None, &settings, &mut input, &mut Stop::never(), tell).await
        });
        let socket = UdpSocket::bind(&place.client, "0.0.0.0:0").await.unwrap();
        let too_large = "y".repeat(udp::LARGEST_V4 + 1);
        let (_keep, mut input) = lines(&["hi", "", &too_large, "again", "Q", "Q", "Q"]);
        let (mut heard, mut refused, mut lost) = (Vec::new(), None, 0);
        let settings = udp::Settings::new(manner(First::Client));
        let tell = |event| match event {
            udp::Event::Received(_, text, _) => heard.push(text),
            udp::Event::TooLong(n, limit) => refused = Some((n, limit)),
            udp::Event::NoAnswer(_) => lost += 1,
            _ => {}
        };
        let ending = udp::exchange(
            &socket,
            Some(address),
            &settings,
            &mut input,
            &mut Stop::never(),
            tell,
        )
        .await;
        assert_eq!(ending.unwrap(), udp::Ending::Quit);
        assert_eq!(refused, Some((65_508, 65_507)));
        if lost == 0 {
            assert_eq!(heard, ["one", "two", "three"]);
            let told = told.lock().unwrap().clone();
            let expected = [("hi", 2), ("", 0), ("again", 5)].map(|(text, n)| (text.to_string(), n));
            assert_eq!(told[..3], expected);
        }
        server.abort();
    });
}

/// The largest datagram there is, over a network that loses none.
#[test]
fn the_largest_datagram() {
    let test = |place: Place| async move {
        let socket = UdpSocket::bind(&place.server, place.bind).await.unwrap();
        let address = place.to(socket.local_addr().unwrap());
        let from = UdpSocket::bind(&place.client, "0.0.0.0:0").await.unwrap();
        let largest = "x".repeat(udp::LARGEST_V4);
        let (keep, mut input) = lines(&["", &largest, "exit", "unsent"]);
        let mut stop = Stop::never();
        let settings = udp::Settings::new(Manner::Send);
        let to = Some(address);
        let ending = udp::exchange(&from, to, &settings, &mut input, &mut stop, |_| {}).await;
        assert_eq!(ending.unwrap(), udp::Ending::Quit);
        drop(keep);
        let (stopper, mut stop) = Stopper::new();
        let mut octets = Vec::new();
        let settings = udp::Settings::new(Manner::Receive);
        let ending = udp::exchange(&socket, None, &settings, &mut input, &mut stop, |event| {
            if let udp::Event::Received(_, _, n) = event {
                octets.push(n);
                if n > 0 {
                    stopper.stop();
                }
            }
        })
        .await;
        assert_eq!(ending.unwrap(), udp::Ending::Stopped);
        assert_eq!(octets, [0, 65_507]);
    };
    on_the_system(test);
    in_lab(0.0, test);
}
