//! Who gets a seat, seen from inside.

use std::net::SocketAddr;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::super::testing::{TempDir, pattern};
use super::*;

/// A client in lockstep, packet by packet.
struct Client {
    socket: UdpSocket,
    peer: SocketAddr,
    /// The last block that came.
    block: u16,
}
impl Client {
    async fn ask(server: SocketAddr, name: &str) -> Client {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let request = packet::request(
            Kind::Read,
            name.as_bytes(),
            Mode::Octet,
            &packet::Options::default(),
        );
        socket.send_to(&request, server).await.unwrap();
        let (peer, block) = (server, 0);
        let mut client = Client { socket, peer, block };
        client.receive().await;
        client
    }
    async fn receive(&mut self) {
        let mut buf = [0; 600];
        let (n, from) = self.socket.recv_from(&mut buf).await.unwrap();
        let Ok(Packet::Data { block, .. }) = Packet::parse(&buf[..n]) else {
            panic!("{:?}", &buf[..n]);
        };
        assert_eq!(block, self.block + 1);
        (self.peer, self.block) = (from, block);
    }
    async fn acknowledge(&self) {
        let ack = packet::ack(self.block);
        self.socket.send_to(&ack, self.peer).await.unwrap();
    }
    /// Takes some blocks. When the last is there, the server has decided about the ones before.
    async fn take(&mut self, blocks: u16) {
        for _ in 0..blocks {
            self.acknowledge().await;
            self.receive().await;
        }
    }
}

/// A server with `threads` seats whose timers do not get in the way, and what it logs.
async fn serve(dir: &TempDir, threads: usize) -> (Server, mpsc::UnboundedReceiver<Record>) {
    std::fs::write(dir.path().join("short"), pattern(512 * 40)).unwrap();
    std::fs::write(dir.path().join("long"), pattern(512 * 400)).unwrap();
    let mut options = Options::new(dir.path());
    options.listen = "127.0.0.1:0".into();
    options.threads = threads;
    for time in [
        &mut options.timing.initial,
        &mut options.timing.floor,
        &mut options.timing.ceiling,
        &mut options.timing.give_up,
    ] {
        *time = Duration::from_secs(60);
    }
    let (sender, log) = mpsc::unbounded_channel();
    let log_to = Arc::new(move |record: &Record| drop(sender.send(record.clone())));
    let server = Server::bind(&Net::os(), options, log_to).await.unwrap();
    (server, log)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_crowd_gets_no_seats_before_there_are_enough() {
    let dir = TempDir::new();
    let (server, mut log) = serve(&dir, 2).await;
    let (at, seats) = (server.local_addr(), Arc::clone(&server.shared.seats));
    let _running = tokio::spawn(server.run(std::future::pending()));
    let mut short = Vec::new();
    for _ in 0..2 {
        // What is short is not worth one.
        let mut client = Client::ask(at, "short").await;
        client.take(3).await;
        short.push(client);
    }
    let mut long = Client::ask(at, "long").await;
    long.take(5).await;
    assert_eq!(seats.are_taken(), 0);
    let mut last = short.remove(0);
    last.take(40 + 1 - 4).await;
    last.acknowledge().await;
    assert_eq!(log.recv().await.unwrap().outcome, Outcome::Done);
    long.take(2).await;
    assert_eq!(seats.are_taken(), 1);
    // Who sits stays.
    let mut third = Client::ask(at, "long").await;
    third.take(5).await;
    long.take(5).await;
    assert_eq!(seats.are_taken(), 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn abandoned_requests_take_nobody_s_seat() {
    let dir = TempDir::new();
    let (server, _log) = serve(&dir, 1).await;
    let (at, seats) = (server.local_addr(), Arc::clone(&server.shared.seats));
    let _running = tokio::spawn(server.run(std::future::pending()));
    let mut abandoned = Vec::new();
    for _ in 0..20 {
        abandoned.push(Client::ask(at, "long").await);
    }
    let mut client = Client::ask(at, "long").await;
    client.take(2).await;
    assert_eq!(seats.are_taken(), 1);
}

/// What is not in the page cache is waited for, and the transfer goes on where it was.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_the_disk_has_to_give() {
    let dir = TempDir::new();
    let (server, _log) = serve(&dir, 1).await;
    let at = server.local_addr();
    let file = std::fs::File::open(dir.path().join("long")).unwrap();
    file.sync_all().unwrap();
    let forget = || rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    forget();
    let _running = tokio::spawn(server.run(std::future::pending()));
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::ask(at, "long").await);
    }
    // Block by block, so that the lane's turns are between.
    for block in 0..200 {
        if block % 20 == 0 {
            forget();
        }
        for client in &mut clients {
            client.take(1).await;
        }
    }
}
