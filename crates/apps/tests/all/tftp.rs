//! TFTP from end to end, on the operating system's sockets, and packet by packet against a raw socket.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sockeye_apps::tftp::client::{
    self, Content, Done, Error, Options as ClientOptions, Target, Url, get, put,
};
use sockeye_apps::tftp::metrics::{Drop as Dropped, Metrics};
use sockeye_apps::tftp::packet::{self, ErrorCode, Kind, Mode, Packet};
use sockeye_apps::tftp::record::{Outcome, Record};
use sockeye_apps::tftp::root::Uploads;
use sockeye_apps::tftp::server::{Options, Server};
use sockeye_apps::tftp::transfer::Rollover;
use sockeye_net::{Net, UdpSocket};
use sockeye_stack::time::Duration;
use tokio::sync::mpsc;

struct TempDir(PathBuf);
impl TempDir {
    fn new() -> TempDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "sockeye-tftp-e2e-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("root")).unwrap();
        TempDir(path)
    }
    fn root(&self) -> PathBuf {
        self.0.join("root")
    }
}
impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server, its directory and what it logs.
struct Served {
    dir: TempDir,
    at: SocketAddr,
    metrics: Arc<Metrics>,
    log: mpsc::UnboundedReceiver<Record>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}
impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(change: impl FnOnce(&mut Options)) -> Served {
    let dir = TempDir::new();
    let mut options = Options::new(dir.root());
    options.listen = "127.0.0.1:0".into();
    options.uploads = Uploads::Create;
    change(&mut options);
    let (sender, log) = mpsc::unbounded_channel();
    let log_to = Arc::new(move |record: &Record| drop(sender.send(record.clone())));
    let server = Server::bind(&Net::os(), options, log_to).await.unwrap();
    let at = server.local_addr();
    let metrics = server.metrics();
    let task = tokio::spawn(server.run(std::future::pending()));
    Served {
        dir,
        at,
        metrics,
        log,
        task,
    }
}
impl Served {
    fn url(&self, name: &str) -> Url {
        format!("tftp://{}/{name}", self.at).parse().unwrap()
    }
    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.dir.root().join(name), content).unwrap();
    }
    async fn get(&self, name: &str, options: &ClientOptions) -> Result<Done, Error> {
        get(&Net::os(), &self.url(name), &Target::Memory, options, &mut |_| {}).await
    }
    async fn put(&self, name: &str, content: &[u8], options: &ClientOptions) -> Result<Done, Error> {
        let content = Content::Memory(content.to_vec());
        put(&Net::os(), &content, &self.url(name), options, &mut |_| {}).await
    }
    fn files(&self) -> Vec<String> {
        names(&self.dir.root())
    }
    async fn record(&mut self) -> Record {
        self.log.recv().await.unwrap()
    }
}
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
fn pattern(len: usize) -> Vec<u8> {
    let words = (0u32..).flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes());
    words.take(len).collect()
}
fn options(blksize: impl Into<Option<u16>>, windowsize: impl Into<Option<u16>>) -> ClientOptions {
    ClientOptions {
        blksize: blksize.into(),
        windowsize: windowsize.into(),
        dally: Some(Duration::ZERO),
        ..ClientOptions::default()
    }
}
fn plain() -> ClientOptions {
    ClientOptions {
        tsize: false,
        ..options(None, None)
    }
}

const SIZES: [usize; 9] = [0, 1, 511, 512, 513, 1023, 1024, 5_000, 300_000];

async fn every_size(served: Served) {
    for size in SIZES {
        let content = pattern(size);
        let name = size.to_string();
        served.write(&name, &content);
        for asked in [
            plain(),
            options(8, 64),
            options(1428, 16),
            options(8192, 16),
            options(65_464, 4),
        ] {
            let done = served.get(&name, &asked).await.unwrap();
            assert!(done.content == content, "{size} {asked:?}");
            assert_eq!(done.octets, size as u64);
            let up = format!("up-{name}");
            served.put(&up, &content, &asked).await.unwrap();
            // The file is there before the last ACK says so.
            assert!(
                fs::read(served.dir.root().join(&up)).unwrap() == content,
                "{size} {asked:?}"
            );
            fs::remove_file(served.dir.root().join(&up)).unwrap();
        }
    }
    assert_eq!(served.files().len(), SIZES.len());
}

/// Proves: 1350-1, 1350-2.
#[tokio::test]
async fn every_size_with_ports_of_their_own() {
    every_size(serve(|_| {}).await).await;
}
#[tokio::test]
async fn every_size_on_a_single_port() {
    every_size(serve(|o| o.single_port = true).await).await;
}
#[tokio::test]
async fn every_size_with_three_threads() {
    every_size(serve(|o| o.threads = 3).await).await;
}
#[tokio::test]
async fn every_size_over_ipv6() {
    every_size(serve(|o| o.listen = "[::1]:0".into()).await).await;
}
#[tokio::test]
async fn every_size_in_a_port_range() {
    every_size(serve(|o| o.ports = Some((42_000, 42_999))).await).await;
}
#[tokio::test]
async fn both_families_on_one_socket() {
    for single_port in [false, true] {
        let served = serve(|o| {
            o.listen = "[::]:0".into();
            o.single_port = single_port;
        })
        .await;
        served.write("f", &pattern(5000));
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            let url = format!("tftp://{host}:{}/f", served.at.port()).parse().unwrap();
            let done = get(&Net::os(), &url, &Target::Memory, &options(512, 4), &mut |_| {})
                .await
                .unwrap();
            assert!(done.content == pattern(5000), "{host}");
        }
    }
}

/// Proves: 1350-9.
#[tokio::test]
async fn more_than_65535_blocks() {
    for rollover in [Rollover::ToZero, Rollover::ToOne] {
        let served = serve(|o| o.rollover = rollover).await;
        let content = pattern(8 * 66_000 + 3);
        served.write("large", &content);
        for window in [1, 32] {
            let mut asked = options(8, window);
            if window > 1 {
                asked.rollover = Some(rollover);
            }
            assert!(served.get("large", &asked).await.unwrap().content == content);
        }
        // Whatever the client does when it writes, in lockstep the server follows.
        for clients in [Rollover::ToZero, Rollover::ToOne] {
            let asked = ClientOptions {
                rollover: Some(clients),
                ..options(8, None)
            };
            served.put("up", &content, &asked).await.unwrap();
            assert!(fs::read(served.dir.root().join("up")).unwrap() == content);
            fs::remove_file(served.dir.root().join("up")).unwrap();
        }
    }
    let served = serve(|o| o.rollover = Rollover::None).await;
    served.write("large", &pattern(8 * 66_000));
    assert!(matches!(
        served.get("large", &options(8, None)).await,
        Err(Error::Server(..))
    ));
    served.write("just", &pattern(8 * 65_535 - 1));
    assert!(served.get("just", &options(8, 32)).await.is_ok());
}

/// Proves: 1350-10.
#[tokio::test]
async fn netascii_both_ways() {
    let served = serve(|_| {}).await;
    let text = "line\nCR \r and CR LF \r\nend".repeat(500);
    served.write("text", text.as_bytes());
    for window in [1, 7] {
        let mut url = served.url("text");
        url.mode = Mode::Netascii;
        let asked = options(100, window);
        let done = get(&Net::os(), &url, &Target::Memory, &asked, &mut |_| {})
            .await
            .unwrap();
        assert!(done.content == text.as_bytes());
        // The size of text on the wire is not known before it is sent.
        assert_eq!(done.options.tsize, None);
        url.name = format!("up{window}").into_bytes();
        let content = Content::Memory(text.clone().into_bytes());
        put(&Net::os(), &content, &url, &asked, &mut |_| {})
            .await
            .unwrap();
        assert!(fs::read(served.dir.root().join(format!("up{window}"))).unwrap() == text.as_bytes());
    }
}

/// Proves: 1350-7.
#[tokio::test]
async fn errors_are_told_apart_and_leave_nothing() {
    let served = serve(|o| o.max_upload = 1000).await;
    served.write("there", b"x");
    fs::create_dir(served.dir.root().join("sub")).unwrap();
    fs::write(served.dir.0.join("secret"), "secret").unwrap();
    symlink("../secret", served.dir.root().join("leak")).unwrap();
    symlink("..", served.dir.root().join("up")).unwrap();
    let before = served.files();
    let asked = options(512, 4);

    assert!(matches!(
        served.get("nothing", &asked).await,
        Err(Error::NotFound(_))
    ));
    for name in ["../secret", "leak", "up/secret", "sub", "sub/../../secret"] {
        let result = served.get(name, &asked).await;
        assert!(matches!(result, Err(Error::Access(_))), "{name}: {result:?}");
    }
    assert!(matches!(
        served.put("there", b"y", &asked).await,
        Err(Error::Access(_))
    ));
    assert!(matches!(
        served.put("up/new", b"y", &asked).await,
        Err(Error::Access(_))
    ));
    assert!(matches!(
        served.put("large", &pattern(1001), &asked).await,
        Err(Error::ServerDiskFull(_))
    ));
    let unsaid = ClientOptions {
        tsize: false,
        ..asked.clone()
    };
    assert!(matches!(
        served.put("large", &pattern(1001), &unsaid).await,
        Err(Error::ServerDiskFull(_))
    ));
    assert_eq!(served.files(), before);
    assert!(!served.dir.0.join("new").exists());

    // The client's side: nothing is left of a get that failed, and an older file stays.
    let target = served.dir.0.join("target");
    fs::write(&target, "older").unwrap();
    let got = get(
        &Net::os(),
        &served.url("nothing"),
        &Target::File(target.clone()),
        &asked,
        &mut |_| {},
    )
    .await;
    assert!(matches!(got, Err(Error::NotFound(_))));
    let small = ClientOptions {
        max_size: 0,
        ..asked.clone()
    };
    let got = get(
        &Net::os(),
        &served.url("there"),
        &Target::File(target.clone()),
        &small,
        &mut |_| {},
    )
    .await;
    assert!(matches!(got, Err(Error::DiskFull)));
    assert_eq!(fs::read(&target).unwrap(), b"older");
    assert_eq!(names(&served.dir.0), ["root", "secret", "target"]);
    let nowhere = Target::File(served.dir.0.join("no/such/dir"));
    let got = get(&Net::os(), &served.url("there"), &nowhere, &asked, &mut |_| {}).await;
    assert!(matches!(got, Err(Error::File(_))));
    let codes = [
        Error::NotFound(String::new()),
        Error::Refused,
        Error::TimedOut,
        Error::DiskFull,
    ];
    assert_eq!(codes.map(|e| e.exit_code()), [8, 4, 5, 10]);
}

#[tokio::test]
async fn uploads_are_off_unless_allowed() {
    let served = serve(|o| o.uploads = Uploads::Off).await;
    assert!(matches!(
        served.put("f", b"x", &plain()).await,
        Err(Error::Access(_))
    ));
    let served = serve(|o| o.uploads = Uploads::Overwrite).await;
    served.write("f", b"older");
    served.put("f", b"newer", &plain()).await.unwrap();
    assert_eq!(fs::read(served.dir.root().join("f")).unwrap(), b"newer");
}

#[tokio::test]
async fn nobody_there_and_nobody_answering() {
    let net = Net::os();
    let silent = UdpSocket::bind(&net, "127.0.0.1:0").await.unwrap();
    let url: Url = format!("tftp://{}/f", silent.local_addr().unwrap())
        .parse()
        .unwrap();
    let mut asked = plain();
    asked.timing.give_up = Duration::from_millis(400);
    let got = get(&net, &url, &Target::Memory, &asked, &mut |_| {}).await;
    assert!(matches!(got, Err(Error::TimedOut)), "{got:?}");
    drop(silent);
    let got = get(&net, &url, &Target::Memory, &plain(), &mut |_| {}).await;
    assert!(matches!(got, Err(Error::Refused)), "{got:?}");
    let url: Url = "tftp://no-such-host.invalid/f".parse().unwrap();
    let got = get(&net, &url, &Target::Memory, &plain(), &mut |_| {}).await;
    let Err(error @ Error::Unresolved { .. }) = got else {
        panic!("{got:?}");
    };
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
}

/// A raw client.
struct Raw {
    socket: UdpSocket,
    server: SocketAddr,
    buf: Vec<u8>,
}
impl Raw {
    async fn new(served: &Served) -> Raw {
        let socket = UdpSocket::bind(&Net::os(), "127.0.0.1:0").await.unwrap();
        Raw {
            socket,
            server: served.at,
            buf: vec![0; 70_000],
        }
    }
    async fn send(&self, bytes: &[u8], to: SocketAddr) {
        self.socket.send_to(bytes, to).await.unwrap();
    }
    async fn request(&self, kind: Kind, name: &str, options: packet::Options) {
        let bytes = packet::request(kind, name.as_bytes(), Mode::Octet, &options);
        self.send(&bytes, self.server).await;
    }
    async fn recv(&mut self) -> (Packet<'_>, SocketAddr) {
        let (n, from) = self.socket.recv_from(&mut self.buf).await.unwrap();
        (Packet::parse(&self.buf[..n]).unwrap(), from)
    }
    /// The number of the next DATA, and who sent it.
    async fn data(&mut self) -> (u16, usize, SocketAddr) {
        match self.recv().await {
            (Packet::Data { block, data }, from) => (block, data.len(), from),
            other => panic!("{other:?}"),
        }
    }
    async fn error(&mut self) -> ErrorCode {
        match self.recv().await {
            (Packet::Error { code, .. }, _) => code,
            other => panic!("{other:?}"),
        }
    }
    /// The options of the next OACK, and who sent it.
    async fn option_ack(&mut self) -> (String, SocketAddr) {
        match self.recv().await {
            (Packet::OptionAck(list), from) => (packet::Options::read(list).unwrap().to_string(), from),
            other => panic!("{other:?}"),
        }
    }
}

/// A server whose timers do not get in the way.
async fn unhurried() -> Served {
    serve(|o| {
        o.timing.initial = Duration::from_secs(60);
        o.timing.floor = Duration::from_secs(60);
        o.timing.ceiling = Duration::from_secs(60);
        o.timing.give_up = Duration::from_secs(60);
    })
    .await
}

/// Proves: 1350-2, 1350-3, 1350-4, 1350-5.
#[tokio::test]
async fn the_rfc_s_own_example_packet_by_packet() {
    let mut served = unhurried().await;
    served.write("f", &pattern(1024));
    let mut client = Raw::new(&served).await;
    let mut stranger = Raw::new(&served).await;
    client.request(Kind::Read, "f", packet::Options::default()).await;
    let (block, len, tid) = client.data().await;
    // W-46, W-51: opcode, number, data, from a port of its own.
    assert_eq!((block, len), (1, 512));
    assert_ne!(tid, served.at);
    // W-51: a stranger gets error 5 and disturbs nothing.
    stranger.send(&packet::ack(1), tid).await;
    assert_eq!(stranger.error().await, ErrorCode::UNKNOWN_TID);
    stranger.send(&packet::ack(1), served.at).await;
    assert_eq!(stranger.error().await, ErrorCode::UNKNOWN_TID);
    // Hostile packets on the transfer's port are dropped.
    for junk in [
        &b""[..],
        b"\0",
        b"\0\x04\0",
        b"\0\x09abc",
        b"\0\x03\0\x01data",
        b"\0\x04\xff\xff",
    ] {
        client.send(junk, tid).await;
    }
    // RFC 1123 section 4.2.3.1: an ACK that comes three times is answered once.
    for _ in 0..3 {
        client.send(&packet::ack(1), tid).await;
    }
    assert_eq!(client.data().await, (2, 512, tid));
    client.send(&packet::ack(2), tid).await;
    // W-49: two whole blocks end with one of nothing.
    assert_eq!(client.data().await, (3, 0, tid));
    client.send(&packet::ack(3), tid).await;
    let record = served.record().await;
    assert_eq!(
        (record.octets, record.blocks, record.outcome.clone()),
        (1024, 3, Outcome::Done)
    );
    assert_eq!((record.retransmissions, record.duplicates), (0, 2));
    assert_eq!(served.metrics.drops(Dropped::Malformed), 4);
    assert_eq!(served.metrics.drops(Dropped::Unexpected), 2);
    assert_eq!(served.metrics.drops(Dropped::Stray), 2);
    assert_eq!(
        (served.metrics.transfers("done"), served.metrics.active()),
        (1, 0)
    );
}

/// Proves: 2347-1, 2347-2, 2347-3, 2348-1, 2349-1, 2349-2, 7440-1.
#[tokio::test]
async fn options_at_their_limits() {
    let served = unhurried().await;
    served.write("f", &pattern(100_000));
    let all = |blksize, windowsize| packet::Options {
        blksize: Some(blksize),
        timeout: Some(255),
        tsize: Some(0),
        windowsize: Some(windowsize),
    };
    // blksize x windowsize fits the client's default receive buffer.
    for (asked, granted) in [
        (all(8, 1), "blksize=8 timeout=255 tsize=100000 windowsize=1"),
        (
            all(8192, 16),
            "blksize=8192 timeout=255 tsize=100000 windowsize=12",
        ),
        (
            all(65_464, 65_535),
            "blksize=65464 timeout=255 tsize=100000 windowsize=3",
        ),
        (
            all(1428, 64),
            "blksize=1428 timeout=255 tsize=100000 windowsize=64",
        ),
    ] {
        let mut client = Raw::new(&served).await;
        client.request(Kind::Read, "f", asked).await;
        let (options, tid) = client.option_ack().await;
        assert_eq!(options, granted);
        client.send(&packet::error(ErrorCode::OPTION, "no"), tid).await;
    }
    for bad in [
        "blksize\x007",
        "blksize\x00x",
        "timeout\x000",
        "windowsize\x000",
        "tsize\0-1",
        "blksize\x00512\0BLKSIZE\x00512",
    ] {
        let mut client = Raw::new(&served).await;
        client
            .send(format!("\0\x01f\0octet\0{bad}\0").as_bytes(), served.at)
            .await;
        assert_eq!(client.error().await, ErrorCode::OPTION, "{bad}");
    }
    let mut client = Raw::new(&served).await;
    client
        .send(b"\0\x01f\0oCtEt\0MULTICAST\0\0blksize\x0099999\0", served.at)
        .await;
    assert_eq!(client.option_ack().await.0, "blksize=65464");
    client.send(b"\0\x01f\0mail\0", served.at).await;
    assert_eq!(client.error().await, ErrorCode::ILLEGAL);
}

/// The server has read on by the time that it hears of the gap.
#[tokio::test]
async fn a_gap_in_a_window_is_filled_and_counted_once() {
    let mut served = serve(|_| {}).await;
    let content = pattern(20_000);
    served.write("f", &content);
    let mut client = Raw::new(&served).await;
    let asked = packet::Options {
        windowsize: Some(8),
        ..packet::Options::default()
    };
    client.request(Kind::Read, "f", asked).await;
    let (_, tid) = client.option_ack().await;
    client.send(&packet::ack(0), tid).await;
    let (mut got, mut next, mut lost) = (Vec::new(), 1, vec![3, 4, 12, 13, 14, 15, 16, 39]);
    while next <= 40 {
        let (Packet::Data { block, data }, _) = client.recv().await else {
            panic!("no DATA");
        };
        if let Some(place) = lost.iter().position(|&l| l == block) {
            lost.remove(place);
        } else if block == next {
            got.extend_from_slice(data);
            next += 1;
        }
        let ack = packet::ack(next - 1);
        client.send(&ack, tid).await;
    }
    assert!(got == content);
    let record = served.record().await;
    assert_eq!((record.outcome, record.octets), (Outcome::Done, 20_000));
    assert!(record.retransmissions >= 4, "{}", record.retransmissions);
}

#[tokio::test]
async fn the_same_request_again_is_one_transfer_and_another_takes_its_place() {
    let mut served = unhurried().await;
    served.write("a", &pattern(2000));
    served.write("b", &pattern(10));
    let mut client = Raw::new(&served).await;
    for _ in 0..3 {
        client.request(Kind::Read, "a", packet::Options::default()).await;
    }
    let (block, _, tid) = client.data().await;
    assert_eq!(block, 1);
    // U-Boot and boot ROMs use one port for all: another request supersedes.
    client.request(Kind::Read, "b", packet::Options::default()).await;
    let (block, len, second) = client.data().await;
    assert_eq!((block, len), (1, 10));
    assert_ne!(tid, second);
    assert_eq!(served.record().await.outcome, Outcome::Superseded);
    client.send(&packet::ack(1), second).await;
    assert_eq!(served.record().await.outcome, Outcome::Done);
    assert_eq!(served.metrics.drops(Dropped::DuplicateRequest), 2);
}

/// On Linux a long transfer gets a thread of its own once the client has answered. That changes nothing for anybody.
#[tokio::test]
async fn a_long_transfer_minds_strangers_other_requests_and_the_end() {
    let mut served = unhurried().await;
    served.write("long", &pattern(512 * 300));
    let mut client = Raw::new(&served).await;
    let mut tids = Vec::new();
    for _ in 0..2 {
        client
            .request(Kind::Read, "long", packet::Options::default())
            .await;
        let mut tid = served.at;
        for expected in 1..=20 {
            let (block, len, from) = client.data().await;
            assert_eq!((block, len), (expected, 512));
            client.send(&packet::ack(expected), from).await;
            tid = from;
        }
        assert_eq!(client.data().await.0, 21);
        let mut stranger = Raw::new(&served).await;
        stranger.send(&packet::ack(21), tid).await;
        assert_eq!(stranger.error().await, ErrorCode::UNKNOWN_TID);
        tids.push(tid);
    }
    // The second took the first one's place, which says nothing more.
    assert_ne!(tids[0], tids[1]);
    assert_eq!(served.record().await.outcome, Outcome::Superseded);
    client.send(&packet::ack(21), tids[1]).await;
    assert_eq!(client.data().await, (22, 512, tids[1]));
    served.task.abort();
    assert_eq!(served.record().await.outcome, Outcome::Stopped);
}

#[tokio::test]
async fn each_packet_twice_for_boot_loaders_that_want_it() {
    let served = serve(|o| o.duplicates = 1).await;
    served.write("f", &pattern(600));
    let mut client = Raw::new(&served).await;
    client.request(Kind::Read, "f", packet::Options::default()).await;
    let first = client.data().await;
    assert_eq!(client.data().await, first);
    assert!(served.get("f", &plain()).await.unwrap().content == pattern(600));
}

#[tokio::test]
async fn aborted_uploads_leave_nothing() {
    let mut served = unhurried().await;
    // The client says so.
    let mut client = Raw::new(&served).await;
    client
        .request(Kind::Write, "up", packet::Options::default())
        .await;
    let (packet, tid) = client.recv().await;
    assert_eq!(packet, Packet::Ack { block: 0 });
    let block = [&packet::data_header(1)[..], &[0; 512]].concat();
    client.send(&block, tid).await;
    assert_eq!(client.recv().await.0, Packet::Ack { block: 1 });
    assert!(!served.files().contains(&"up".into()));
    client
        .send(&packet::error(ErrorCode::UNDEFINED, "changed my mind"), tid)
        .await;
    let record = served.record().await;
    assert!(matches!(record.outcome, Outcome::PeerError(..)), "{record}");
    assert_eq!(served.files(), [""; 0]);
    // The client's task is dropped in the middle: it tells the server.
    let content = Content::Memory(pattern(1 << 20));
    let (url, asked) = (served.url("up"), options(512, None));
    let (sender, mut begun) = mpsc::unbounded_channel();
    let upload = tokio::spawn(async move {
        let mut progress = |p: client::Progress| {
            let _ = sender.send(p);
        };
        put(&Net::os(), &content, &url, &asked, &mut progress).await
    });
    begun.recv().await.unwrap();
    upload.abort();
    assert!(upload.await.unwrap_err().is_cancelled());
    assert!(matches!(served.record().await.outcome, Outcome::PeerError(..)));
    assert_eq!(served.files(), [""; 0]);
    // The server is stopped.
    let mut client = Raw::new(&served).await;
    client
        .request(Kind::Write, "up", packet::Options::default())
        .await;
    client.recv().await;
    served.task.abort();
    assert_eq!(served.record().await.outcome, Outcome::Stopped);
    assert_eq!(served.files(), [""; 0]);
}

/// A server that stops lets an upload end, and does not wait for what only follows in case an ACK was lost.
#[tokio::test]
async fn a_server_that_stops_lets_transfers_end() {
    let dir = TempDir::new();
    let mut options = Options::new(dir.root());
    options.listen = "127.0.0.1:0".into();
    options.uploads = Uploads::Create;
    let (sender, mut log) = mpsc::unbounded_channel();
    let log_to = Arc::new(move |record: &Record| drop(sender.send(record.clone())));
    let server = Server::bind(&Net::os(), options, log_to).await.unwrap();
    let at = server.local_addr();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    let client = UdpSocket::bind(&Net::os(), "127.0.0.1:0").await.unwrap();
    let asked = packet::Options {
        timeout: Some(255),
        ..packet::Options::default()
    };
    let mut buf = [0; 600];
    let request = packet::request(Kind::Write, b"up", Mode::Octet, &asked);
    client.send_to(&request, at).await.unwrap();
    let (_, tid) = client.recv_from(&mut buf).await.unwrap();
    stop.send(()).unwrap();
    // No new ones: this one is dropped.
    client
        .send_to(
            &packet::request(Kind::Read, b"up", Mode::Octet, &packet::Options::default()),
            at,
        )
        .await
        .unwrap();
    let data = [&packet::data_header(1)[..], b"whole"].concat();
    client.send_to(&data, tid).await.unwrap();
    let (n, _) = client.recv_from(&mut buf).await.unwrap();
    assert_eq!(Packet::parse(&buf[..n]), Ok(Packet::Ack { block: 1 }));
    running.await.unwrap().unwrap();
    let record = log.recv().await.unwrap();
    assert_eq!((record.octets, record.outcome), (5, Outcome::Done));
    assert!(log.recv().await.is_none(), "logged once");
    assert_eq!(fs::read(dir.root().join("up")).unwrap(), b"whole");
}

/// Proves: 1350-6.
#[tokio::test]
async fn silent_clients_are_given_up() {
    let mut served = serve(|o| o.timing.give_up = Duration::from_millis(300)).await;
    served.write("f", &pattern(10));
    let client = Raw::new(&served).await;
    client.request(Kind::Read, "f", packet::Options::default()).await;
    client.request(Kind::Write, "g", packet::Options::default()).await;
    let outcomes = [served.record().await.outcome, served.record().await.outcome];
    assert!(outcomes.contains(&Outcome::TimedOut), "{outcomes:?}");
    assert_eq!(served.files(), ["f"]);
}

#[tokio::test]
async fn three_hundred_unanswered_requests_and_one_that_works() {
    let served = serve(|o| o.max_transfers = 301).await;
    served.write("f", &pattern(3000));
    let mut silent = Vec::new();
    for _ in 0..300 {
        let client = Raw::new(&served).await;
        client.request(Kind::Read, "f", packet::Options::default()).await;
        silent.push(client);
    }
    for client in &mut silent {
        assert_eq!(client.data().await.0, 1);
    }
    assert_eq!(served.metrics.active(), 300);
    assert!(served.get("f", &options(512, 4)).await.is_ok());
}

#[tokio::test]
async fn limits_on_transfers_hold() {
    let served = serve(|o| {
        o.max_transfers_per_client = Some(1);
        o.rate = Some(4_000_000);
        o.rate_per_client = Some(2_000_000);
    })
    .await;
    served.write("f", &pattern(100_000));
    let mut first = Raw::new(&served).await;
    first.request(Kind::Read, "f", packet::Options::default()).await;
    let (_, _, tid) = first.data().await;
    let mut asked = plain();
    asked.timing.give_up = Duration::from_millis(100);
    assert!(matches!(served.get("f", &asked).await, Err(Error::TimedOut)));
    assert!(served.metrics.drops(Dropped::Busy) > 0);
    first.send(&packet::error(ErrorCode::UNDEFINED, ""), tid).await;
    assert!(served.get("f", &options(1428, 16)).await.unwrap().content == pattern(100_000));
}

#[tokio::test]
async fn any_bytes_on_the_listening_port() {
    let served = serve(|o| o.single_port = true).await;
    served.write("f", &pattern(3000));
    let client = Raw::new(&served).await;
    let mut seed = 1u64;
    for len in 0..600 {
        let junk: Vec<u8> = (0..len % 60)
            .map(|n| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if n == 0 { 0 } else { (seed >> 60) as u8 }
            })
            .collect();
        client.send(&junk, served.at).await;
    }
    assert!(served.get("f", &options(512, 4)).await.unwrap().content == pattern(3000));
    assert!(served.metrics.drops(Dropped::Malformed) > 0);
    assert!(
        served
            .metrics
            .render()
            .contains("sockeye_tftp_dropped_total{reason=\"malformed\"}")
    );
}

/// A server of ours that breaks the protocol, one way at a time.
#[tokio::test]
async fn a_client_s_side_of_bad_servers() {
    let net = Net::os();
    let server = UdpSocket::bind(&net, "127.0.0.1:0").await.unwrap();
    let url: Url = format!("tftp://{}/f", server.local_addr().unwrap())
        .parse()
        .unwrap();
    let ask = || {
        let (net, url) = (net.clone(), url.clone());
        tokio::spawn(async move { get(&net, &url, &Target::Memory, &options(1428, 4), &mut |_| {}).await })
    };
    let mut buf = [0; 2000];
    // An OACK with more than was asked for: error 8.
    for oack in [
        "blksize\x001429\0",
        "windowsize\x005\0",
        "timeout\x001\0",
        "blksize\x007\0",
    ] {
        let asking = ask();
        let (_, client) = server.recv_from(&mut buf).await.unwrap();
        server
            .send_to(format!("\0\x06{oack}").as_bytes(), client)
            .await
            .unwrap();
        let (n, _) = server.recv_from(&mut buf).await.unwrap();
        let told = Packet::parse(&buf[..n]).unwrap();
        assert!(
            matches!(
                told,
                Packet::Error {
                    code: ErrorCode::OPTION,
                    ..
                }
            ),
            "{told:?}"
        );
        assert!(matches!(asking.await.unwrap(), Err(Error::Protocol(_))));
    }
    // Junk and a stranger are survived; the stranger is told.
    let asking = ask();
    let (_, client) = server.recv_from(&mut buf).await.unwrap();
    for junk in [&b""[..], b"\0\x09", b"\0\x03\0\x02late", b"\0\x04\0\0"] {
        server.send_to(junk, client).await.unwrap();
    }
    server.send_to(b"\0\x06blksize\x008\0", client).await.unwrap();
    let (n, _) = server.recv_from(&mut buf).await.unwrap();
    assert_eq!(Packet::parse(&buf[..n]), Ok(Packet::Ack { block: 0 }));
    let stranger = UdpSocket::bind(&net, "127.0.0.1:0").await.unwrap();
    stranger.send_to(b"\0\x03\0\x01wrong", client).await.unwrap();
    let (n, _) = stranger.recv_from(&mut buf).await.unwrap();
    assert!(matches!(
        Packet::parse(&buf[..n]),
        Ok(Packet::Error {
            code: ErrorCode::UNKNOWN_TID,
            ..
        })
    ));
    server.send_to(b"\0\x03\0\x01right", client).await.unwrap();
    let (n, _) = server.recv_from(&mut buf).await.unwrap();
    assert_eq!(Packet::parse(&buf[..n]), Ok(Packet::Ack { block: 1 }));
    assert_eq!(asking.await.unwrap().unwrap().content, b"right");
}
