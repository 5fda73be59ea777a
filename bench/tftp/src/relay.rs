//! A bad path between a client and a server: delay and loss, the same for the same seed.
//!
//! It follows TFTP's ports: requests come to one port of the relay, and each client is answered from another one, which
//! stands for the port that the server has chosen for the transfer.

use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// What the path does.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Each way.
    pub delay: Duration,
    /// The share of datagrams that are lost, each way.
    pub loss: f64,
    /// Which ones.
    pub seed: u64,
}

/// A datagram on its way.
struct Travelling {
    due: Instant,
    /// Keeps the order of those that are due at the same time.
    number: u64,
    from: Arc<UdpSocket>,
    to: SocketAddr,
    octets: Vec<u8>,
}
impl PartialEq for Travelling {
    fn eq(&self, other: &Travelling) -> bool {
        self.number == other.number
    }
}
impl Eq for Travelling {}
impl PartialOrd for Travelling {
    fn partial_cmp(&self, other: &Travelling) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Travelling {
    // The heap gives its greatest: that is the earliest.
    fn cmp(&self, other: &Travelling) -> std::cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

/// What came, and where.
enum Came {
    /// A client's packet to the port of requests.
    Request(SocketAddr, Vec<u8>),
    /// A client's packet to its transfer's port.
    FromClient(SocketAddr, Vec<u8>),
    /// A packet of the server, for this client.
    FromServer(SocketAddr, SocketAddr, Vec<u8>),
}

/// One client's transfer.
struct Session {
    to_server: Arc<UdpSocket>,
    to_client: Arc<UdpSocket>,
    /// The server's port for it, once it has answered.
    tid: Option<SocketAddr>,
}

/// Begins a relay to `server`; returns where clients are to send their requests. Its threads live as long as the process.
pub fn begin(server: SocketAddr, path: Path) -> io::Result<SocketAddr> {
    let requests = UdpSocket::bind("127.0.0.1:0")?;
    let at = requests.local_addr()?;
    let (sender, came) = mpsc::channel();
    let sender_of_requests = sender.clone();
    read(Arc::new(requests), move |from, octets| {
        let _ = sender_of_requests.send(Came::Request(from, octets));
    });
    thread::spawn(move || run(server, path, &sender, &came));
    Ok(at)
}

/// Hands on what comes to a socket, from a thread of its own.
fn read(socket: Arc<UdpSocket>, hand: impl Fn(SocketAddr, Vec<u8>) + Send + 'static) {
    thread::spawn(move || {
        let mut buf = vec![0; 65_536];
        loop {
            // An error tells of a port that has closed.
            if let Ok((n, from)) = socket.recv_from(&mut buf) {
                hand(from, buf[..n].to_vec());
            }
        }
    });
}

fn run(server: SocketAddr, path: Path, sender: &mpsc::Sender<Came>, came: &mpsc::Receiver<Came>) {
    let mut sessions: HashMap<SocketAddr, Session> = HashMap::new();
    let mut on_the_way: BinaryHeap<Travelling> = BinaryHeap::new();
    // One for each way, so that a way's losses do not depend on the other's packets.
    let mut dice = [Random(path.seed * 2 + 1), Random(path.seed * 2 + 2)];
    let mut number = 0;
    loop {
        while on_the_way.peek().is_some_and(|first| first.due <= Instant::now()) {
            if let Some(first) = on_the_way.pop() {
                // Who has gone gets nothing.
                let _ = first.from.send_to(&first.octets, first.to);
            }
        }
        let wait = on_the_way.peek().map_or(Duration::from_secs(3600), |t| {
            t.due.saturating_duration_since(Instant::now())
        });
        let (way, from, to, octets) = match came.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(Came::Request(client, octets)) => {
                let Ok(session) = session(&mut sessions, client, sender) else {
                    continue;
                };
                (0, &session.to_server, server, octets)
            }
            Ok(Came::FromClient(client, octets)) => match sessions.get(&client) {
                Some(Session {
                    to_server,
                    tid: Some(tid),
                    ..
                }) => (0, to_server, *tid, octets),
                _ => continue,
            },
            Ok(Came::FromServer(client, tid, octets)) => {
                let Some(session) = sessions.get_mut(&client) else {
                    continue;
                };
                session.tid.get_or_insert(tid);
                (1, &session.to_client, client, octets)
            }
        };
        number += 1;
        if dice[way].unit() >= path.loss {
            let due = Instant::now() + path.delay;
            on_the_way.push(Travelling {
                due,
                number,
                from: Arc::clone(from),
                to,
                octets,
            });
        }
    }
}

/// A client's session, begun by its first request.
fn session<'a>(
    sessions: &'a mut HashMap<SocketAddr, Session>,
    client: SocketAddr,
    sender: &mpsc::Sender<Came>,
) -> io::Result<&'a Session> {
    if !sessions.contains_key(&client) {
        let to_server = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
        let to_client = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
        let (server_side, client_side) = (sender.clone(), sender.clone());
        read(Arc::clone(&to_server), move |tid, octets| {
            let _ = server_side.send(Came::FromServer(client, tid, octets));
        });
        read(Arc::clone(&to_client), move |from, octets| {
            let _ = client_side.send(Came::FromClient(from, octets));
        });
        sessions.insert(
            client,
            Session {
                to_server,
                to_client,
                tid: None,
            },
        );
    }
    Ok(&sessions[&client])
}

/// SplitMix64.
struct Random(u64);
impl Random {
    /// From 0 up to 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
