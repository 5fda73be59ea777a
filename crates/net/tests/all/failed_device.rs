//! A device fails under its stack: whoever waits hears of it, and so does everybody who calls later.
#![cfg(target_os = "linux")]

use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sockeye_net::device::{Device, Wire, wire};
use sockeye_net::driver::Driver;
use sockeye_net::error::errno::ENETDOWN;
use sockeye_net::socket::{Family, Flags, Kind, SockOpt, Socket, Value};
use sockeye_net::{Net, TcpListener, TcpStream, UdpSocket};
use sockeye_stack::{Capabilities, Config, Frame, InterfaceConfig, Medium, RxMeta, TxFrame, TxMeta};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Long enough that only a fault makes a test wait for it.
const LONG: Duration = Duration::from_secs(30);

/// A device that can be broken. Its driver finds out when the next frame comes.
#[derive(Debug)]
struct Breakable {
    wire: Wire,
    broken: Arc<AtomicBool>,
}

impl Device for Breakable {
    fn receive(&mut self, into: &mut Vec<(Frame, RxMeta)>, limit: usize) -> io::Result<()> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(io::Error::other("broken")),
            false => self.wire.receive(into, limit),
        }
    }
    fn send(&mut self, frame: &mut TxFrame, meta: &TxMeta) -> io::Result<()> {
        self.wire.send(frame, meta)
    }
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.wire.descriptor()
    }
    fn medium(&self) -> Medium {
        self.wire.medium()
    }
    fn mtu(&self) -> u32 {
        self.wire.mtu()
    }
    fn capabilities(&self) -> Capabilities {
        self.wire.capabilities()
    }
}

fn interface(net: u8, host: u8) -> InterfaceConfig {
    InterfaceConfig::ip("wire", 0).address([10, 0, net, host], 24)
}

/// A stack on devices that can be broken, each with its peer's stack.
struct Patient {
    net: Net,
    peers: Vec<Net>,
    broken: Vec<Arc<AtomicBool>>,
}

impl Patient {
    fn with_devices(count: u8) -> Patient {
        let mut driver = Driver::new("patient", Config::default());
        let (mut peers, mut broken) = (Vec::new(), Vec::new());
        for n in 0..count {
            let (ours, theirs) = wire(1500).unwrap();
            let device = Breakable {
                wire: ours,
                broken: Arc::default(),
            };
            broken.push(device.broken.clone());
            driver = driver.device(device, interface(n, 1));
            let peer = Driver::new("peer", Config::default()).device(theirs, interface(n, 2));
            peers.push(peer.start().unwrap());
        }
        Patient {
            net: driver.start().unwrap(),
            peers,
            broken,
        }
    }
    async fn break_device(&self, n: usize) {
        self.broken[n].store(true, Ordering::SeqCst);
        let poke = UdpSocket::bind(&self.peers[n], "0.0.0.0:0").await.unwrap();
        poke.send_to(b"x", format!("10.0.{n}.1:9")).await.unwrap();
    }
}

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

/// The error of something that must not wait for ever.
async fn fails<T>(doing: impl Future<Output = io::Result<T>>) -> io::ErrorKind {
    let result = tokio::time::timeout(LONG, doing).await.expect("still waits");
    kind(result).expect("it cannot go well")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_told() {
    let patient = Patient::with_devices(1);
    let listener = TcpListener::bind(&patient.net, "10.0.0.1:80").await.unwrap();
    let _there = TcpListener::bind(&patient.peers[0], "10.0.0.2:80").await.unwrap();
    let mut reader = TcpStream::connect(&patient.net, "10.0.0.2:80").await.unwrap();
    let mut writer = TcpStream::connect(&patient.net, "10.0.0.2:80").await.unwrap();
    let idle = TcpStream::connect(&patient.net, "10.0.0.2:80").await.unwrap();
    let udp = UdpSocket::bind(&patient.net, "10.0.0.1:53").await.unwrap();
    let net = patient.net.clone();

    let down = io::ErrorKind::NetworkDown;
    let accepts =
        tokio::spawn(async move { (fails(listener.accept()).await, fails(listener.accept()).await) });
    let reads = tokio::spawn(async move { (fails(reader.read_u8()).await, fails(reader.read_u8()).await) });
    let writes = tokio::spawn(async move {
        let all = vec![0; 1 << 24];
        (
            fails(writer.write_all(&all)).await,
            fails(writer.write_u8(0)).await,
        )
    });
    // Nobody has this address, so the handshake goes on for long.
    let connects = tokio::spawn({
        let net = net.clone();
        async move { (fails(TcpStream::connect(&net, "10.0.0.9:80")).await, down) }
    });
    let receives = tokio::spawn(async move {
        let first = fails(udp.recv_from(&mut [0; 9])).await;
        assert_eq!(fails(udp.send_to(b"x", "10.0.0.2:53")).await, down);
        udp.readable().await.unwrap();
        (first, fails(udp.recv_from(&mut [0; 9])).await)
    });
    let readable = tokio::spawn(async move {
        idle.readable().await.unwrap();
        let told = idle.take_error().unwrap().map(|error| error.kind());
        assert_eq!(kind(idle.try_write(b"x")), Some(down));
        (told.unwrap(), kind(idle.try_read(&mut [0; 9])).unwrap())
    });
    patient.break_device(0).await;
    for task in [accepts, reads, writes, connects, receives, readable] {
        assert_eq!(task.await.unwrap(), (down, down));
    }
    // Who comes later.
    assert_eq!(fails(TcpStream::connect(&net, "10.0.0.2:80")).await, down);
    let late = UdpSocket::bind(&net, "0.0.0.0:0").await.unwrap();
    assert_eq!(fails(late.recv_from(&mut [0; 9])).await, down);
    let late = TcpListener::bind(&net, "0.0.0.0:0").await.unwrap();
    assert_eq!(fails(late.accept()).await, down);
    // Nothing is left that could still be acknowledged.
    net.finished().await;
}

/// Threads, and descriptors in somebody's poll.
#[tokio::test(flavor = "multi_thread")]
async fn threads_and_descriptors_are_told() {
    let patient = Patient::with_devices(1);
    let there = TcpListener::bind(&patient.peers[0], "10.0.0.2:80").await.unwrap();
    let (net, flags) = (patient.net.clone(), Flags::empty());
    let new = |kind| Socket::new(&net, Family::Inet, kind).unwrap();
    let (stream, polled, datagrams, listener) = (
        new(Kind::Stream),
        new(Kind::Stream),
        new(Kind::Datagram),
        new(Kind::Stream),
    );
    for stream in [&stream, &polled] {
        stream.connect(there.local_addr().unwrap()).unwrap();
    }
    datagrams.bind(("10.0.0.1", 53)).unwrap();
    listener.bind(("10.0.0.1", 80)).unwrap();
    listener.listen(5).unwrap();
    let waits: Vec<thread::JoinHandle<()>> = vec![
        thread::spawn(move || {
            for _ in 0..2 {
                let error = stream.recv(9, flags).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(ENETDOWN));
            }
            assert!(matches!(
                stream.getsockopt(SockOpt::Error),
                Ok(Value::Int(ENETDOWN))
            ));
        }),
        thread::spawn(move || {
            for socket in [&polled, &datagrams, &listener] {
                let mut fds = [PollFd::from_borrowed_fd(
                    socket.descriptor().unwrap(),
                    PollFlags::IN,
                )];
                let limit = Timespec {
                    tv_sec: LONG.as_secs() as i64,
                    tv_nsec: 0,
                };
                poll(&mut fds, Some(&limit)).unwrap();
                assert!(fds[0].revents().contains(PollFlags::IN));
            }
            for error in [
                polled.send(b"x", flags).unwrap_err(),
                datagrams.recv(9, flags).unwrap_err(),
                listener.accept().unwrap_err(),
            ] {
                assert_eq!(error.raw_os_error(), Some(ENETDOWN));
            }
        }),
    ];
    patient.break_device(0).await;
    tokio::task::spawn_blocking(|| waits.into_iter().for_each(|wait| wait.join().unwrap()))
        .await
        .unwrap();
}

/// With two devices, one that fails ends what ran over it, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_device_goes_on() {
    let patient = Patient::with_devices(2);
    let listener = TcpListener::bind(&patient.net, "0.0.0.0:80").await.unwrap();
    let udp = UdpSocket::bind(&patient.net, "0.0.0.0:53").await.unwrap();
    let mut clients = Vec::new();
    let mut served = Vec::new();
    for (n, peer) in patient.peers.iter().enumerate() {
        clients.push(TcpStream::connect(peer, format!("10.0.{n}.1:80")).await.unwrap());
        served.push(listener.accept().await.unwrap().0);
    }
    patient.break_device(0).await;
    let down = io::ErrorKind::NetworkDown;
    assert_eq!(fails(served[0].read_u8()).await, down);
    assert_eq!(fails(TcpStream::connect(&patient.net, "10.0.0.2:80")).await, down);
    assert_eq!(fails(udp.send_to(b"x", "10.0.0.2:53")).await, down);

    clients[1].write_u8(7).await.unwrap();
    assert_eq!(served[1].read_u8().await.unwrap(), 7);
    let speaker = UdpSocket::bind(&patient.peers[1], "0.0.0.0:0").await.unwrap();
    speaker.send_to(b"hello", "10.0.1.1:53").await.unwrap();
    let (n, from) = udp.recv_from(&mut [0; 9]).await.unwrap();
    assert_eq!((n, udp.send_to(b"back", from).await.unwrap()), (5, 4));
    TcpStream::connect(&patient.peers[1], "10.0.1.1:80")
        .await
        .unwrap();
    listener.accept().await.unwrap();
    patient.break_device(1).await;
    assert_eq!(fails(served[1].read_u8()).await, down);
    assert_eq!(fails(listener.accept()).await, down);
}
