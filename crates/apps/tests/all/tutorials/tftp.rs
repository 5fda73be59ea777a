//! TFTP: P-03, P-04.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sockeye_apps::tftp::client::{Options as ClientOptions, Progress, Target, get};
use sockeye_apps::tftp::server::{Options, Server};
use sockeye_net::{Net, UdpSocket};
use tokio::time::timeout;

use super::place::Place;

struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sockeye-tutorials-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }
}
impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn octets(n: usize) -> Vec<u8> {
    (0..n as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// RRQ as the tutorial's client makes it: 00 01, the name, 00, `octet`, 00.
fn rrq(name: &str) -> Vec<u8> {
    [b"\x00\x01", name.as_bytes(), b"\x00octet\x00"].concat()
}

/// A client of RFC 1350 made by hand: asks, acknowledges each block at the port that it came from, and repeats what it said
/// last when nothing comes.
struct Lockstep {
    socket: UdpSocket,
    server: SocketAddr,
    /// The server's port for this transfer.
    tid: Option<SocketAddr>,
    said: Vec<u8>,
    content: Vec<u8>,
    blocks: u16,
}

/// What a step brought.
#[derive(PartialEq, Eq, Debug)]
enum Step {
    More,
    End,
    Error(Vec<u8>),
}

impl Lockstep {
    async fn ask(net: &Net, server: SocketAddr, name: &str) -> Lockstep {
        let socket = UdpSocket::bind(net, "0.0.0.0:0").await.unwrap();
        let said = rrq(name);
        socket.send_to(&said, server).await.unwrap();
        Lockstep {
            socket,
            server,
            tid: None,
            said,
            content: Vec::new(),
            blocks: 0,
        }
    }
    async fn step(&mut self) -> Step {
        let mut buffer = [0; 1024];
        loop {
            let received = timeout(Duration::from_millis(500), self.socket.recv_from(&mut buffer)).await;
            let Ok(received) = received else {
                let to = self.tid.unwrap_or(self.server);
                self.socket.send_to(&self.said, to).await.unwrap();
                continue;
            };
            let (n, from) = received.unwrap();
            let packet = &buffer[..n];
            if packet[..2] == [0, 5] {
                return Step::Error(packet.to_vec());
            }
            assert_eq!(packet[..2], [0, 3], "DATA");
            // A request that was repeated may have begun a second transfer: this one goes on with the first.
            if *self.tid.get_or_insert(from) != from {
                continue;
            }
            let number = u16::from_be_bytes([packet[2], packet[3]]);
            if number != self.blocks + 1 {
                assert_eq!(number, self.blocks, "a block again, or the next");
                self.socket.send_to(&self.said, from).await.unwrap();
                continue;
            }
            self.blocks = number;
            self.content.extend(&packet[4..]);
            self.said = [&[0, 4], &packet[2..4]].concat();
            self.socket.send_to(&self.said, from).await.unwrap();
            assert!(n <= 516, "512 octets and four of header");
            return if n < 516 { Step::End } else { Step::More };
        }
    }
    async fn until_the_end(&mut self) -> Step {
        loop {
            match self.step().await {
                Step::More => {}
                end => return end,
            }
        }
    }
}

/// P-03: blocks of 512 from 1 on, each waiting for its ACK, from a port of the transfer's own; a file of a multiple of 512
/// ends with an empty block; what is missing is ERROR 1. Transfers do not disturb each other.
pub(crate) async fn server(place: Place) {
    let dir = Dir::new();
    for n in [1000, 1024] {
        std::fs::write(dir.0.join(n.to_string()), octets(n)).unwrap();
    }
    let mut options = Options::new(&dir.0);
    options.listen = place.anywhere(69).to_string();
    let server = Server::bind(&place.server, options, Arc::new(|_: &_| ()))
        .await
        .unwrap();
    let at = place.to(server.local_addr());
    let serving = tokio::spawn(server.run(std::future::pending()));
    let mut first = Lockstep::ask(&place.client, at, "1000").await;
    assert_eq!(first.step().await, Step::More);
    // In the middle of it, another client.
    let mut second = Lockstep::ask(&place.client, at, "1024").await;
    assert_eq!(second.until_the_end().await, Step::End);
    assert!(second.content == octets(1024) && second.blocks == 3);
    assert_eq!(first.until_the_end().await, Step::End);
    assert!(first.content == octets(1000) && first.blocks == 2);
    let tids = [first.tid.unwrap(), second.tid.unwrap()];
    assert!(
        tids[0] != tids[1]
            && tids
                .iter()
                .all(|tid| tid.ip() == at.ip() && tid.port() != at.port())
    );
    for name in ["nothing", "../nothing"] {
        let mut third = Lockstep::ask(&place.client, at, name).await;
        match third.step().await {
            Step::Error(packet) => {
                let code = packet[3];
                assert!(packet[2] == 0 && packet.last() == Some(&0), "{packet:?}");
                assert_eq!(code, if name == "nothing" { 1 } else { 2 }, "{name}");
            }
            step => panic!("{name}: {step:?}"),
        }
    }
    assert!(!serving.is_finished());
    serving.abort();
}

/// A server made by hand, for one file: answers from a new port, and repeats what is not acknowledged. The request that it
/// got.
async fn lockstep_server(socket: UdpSocket, net: Net, host: std::net::IpAddr, content: Vec<u8>) -> Vec<u8> {
    let mut request = [0; 1024];
    let (n, client) = socket.recv_from(&mut request).await.unwrap();
    let transfer = UdpSocket::bind(&net, (host, 0)).await.unwrap();
    let mut blocks: Vec<&[u8]> = content.chunks(512).collect();
    if content.len().is_multiple_of(512) {
        blocks.push(&[]);
    }
    let mut buffer = [0; 1024];
    for (number, block) in (1_u16..).zip(blocks) {
        let data = [&[0, 3], &number.to_be_bytes()[..], block].concat();
        for tries in 0.. {
            transfer.send_to(&data, client).await.unwrap();
            let answer = timeout(Duration::from_millis(500), transfer.recv_from(&mut buffer)).await;
            let Ok(answer) = answer else {
                // The last ACK may be lost when the client has what it needs, and is gone.
                if block.len() < 512 && tries > 20 {
                    break;
                }
                continue;
            };
            let (n, from) = answer.unwrap();
            assert_eq!(from, client, "from the port that asked");
            if buffer[..n] == [&[0, 4], &number.to_be_bytes()[..]].concat() {
                break;
            }
            assert_eq!(buffer[..2], [0, 4], "an ACK");
        }
    }
    request[..n].to_vec()
}

/// P-04: the request as the tutorial's; each block acknowledged at the port that it came from; it ends at the short block,
/// and the file is there when it is whole.
pub(crate) async fn client(place: Place) {
    let dir = Dir::new();
    for n in [700, 1024] {
        let socket = UdpSocket::bind(&place.server, place.at(69)).await.unwrap();
        let at = place.to(socket.local_addr().unwrap());
        let server = lockstep_server(socket, place.server.clone(), place.host, octets(n));
        let server = tokio::spawn(server);
        let options = ClientOptions {
            blksize: None,
            windowsize: None,
            tsize: false,
            ..ClientOptions::default()
        };
        let file = dir.0.join("copy");
        let target = Target::File(file.clone());
        let url = format!("tftp://{at}/a.txt").parse().unwrap();
        let mut blocks = 0;
        let count = &mut |so_far: Progress| {
            blocks += 1;
            assert!(
                so_far.octets == n as u64 || !file.exists(),
                "not before it is whole"
            );
        };
        let done = get(&place.client, &url, &target, &options, count).await.unwrap();
        assert_eq!((done.octets, blocks), (n as u64, n / 512 + 1));
        assert!(std::fs::read(&file).unwrap() == octets(n));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(server.await.unwrap(), rrq("a.txt"));
    }
}
