//! One program compiled against std, tokio and ours: what holds the signatures together.
#![cfg(target_os = "linux")]

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sockeye_net::Net;
use sockeye_net::driver::Driver;
use sockeye_stack::Config;

/// Constructors of std and tokio, with the argument more that ours have.
mod originals {
    macro_rules! constructors {
        ($module:ident, $net:ident, $($await:tt)*) => {
            pub(crate) mod $module {
                use sockeye_net::Net;
                use std::io;
                pub(crate) use $net::net::{TcpListener as Listener, TcpStream as Stream, UdpSocket as Udp};
                pub(crate) struct TcpListener;
                pub(crate) struct TcpStream;
                pub(crate) struct UdpSocket;
                impl TcpListener {
                    pub(crate) $($await)* fn bind(_: &Net, at: std::net::SocketAddr) -> io::Result<Listener> {
                        constructors!(@ $module Listener::bind(at))
                    }
                }
                impl TcpStream {
                    pub(crate) $($await)* fn connect(_: &Net, to: std::net::SocketAddr) -> io::Result<Stream> {
                        constructors!(@ $module Stream::connect(to))
                    }
                }
                impl UdpSocket {
                    pub(crate) $($await)* fn bind(_: &Net, at: std::net::SocketAddr) -> io::Result<Udp> {
                        constructors!(@ $module Udp::bind(at))
                    }
                }
            }
        };
        (@ for_std $call:expr) => { $call };
        (@ for_tokio $call:expr) => { $call.await };
    }
    /// Tokio's AF_UNIX, in the same way.
    pub(crate) mod unix_of_tokio {
        use sockeye_net::Net;
        use std::io;
        use std::path::Path;
        use tokio::net::{UnixDatagram as Datagram, UnixListener as Listener, UnixStream as Stream};
        pub(crate) struct UnixListener;
        pub(crate) struct UnixStream;
        pub(crate) struct UnixDatagram;
        impl UnixListener {
            pub(crate) fn bind(_: &Net, path: impl AsRef<Path>) -> io::Result<Listener> {
                Listener::bind(path)
            }
        }
        impl UnixStream {
            pub(crate) async fn connect(_: &Net, path: impl AsRef<Path>) -> io::Result<Stream> {
                Stream::connect(path).await
            }
            pub(crate) fn pair(_: &Net) -> io::Result<(Stream, Stream)> {
                Stream::pair()
            }
        }
        impl UnixDatagram {
            pub(crate) fn bind(_: &Net, path: impl AsRef<Path>) -> io::Result<Datagram> {
                Datagram::bind(path)
            }
            pub(crate) fn unbound(_: &Net) -> io::Result<Datagram> {
                Datagram::unbound()
            }
            pub(crate) fn pair(_: &Net) -> io::Result<(Datagram, Datagram)> {
                Datagram::pair()
            }
        }
    }
    constructors!(for_std, std,);
    constructors!(for_tokio, tokio, async);
}

fn any() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// The program for threads.
macro_rules! with_threads {
    ($path:path, $net:expr) => {{
        use std::io::{BufRead, BufReader, IoSlice, Read, Write};
        use $path as face;
        let net: &Net = $net;
        let listener = face::TcpListener::bind(net, any()).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for stream in listener.incoming().take(1) {
                let stream = stream.unwrap();
                let mut out = stream.try_clone().unwrap();
                for line in BufReader::new(&stream).lines() {
                    writeln!(out, "{}", line.unwrap().to_uppercase()).unwrap();
                }
                out.shutdown(std::net::Shutdown::Both).unwrap();
            }
        });
        let mut stream = face::TcpStream::connect(net, address).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        stream.set_nodelay(true).unwrap();
        assert!(stream.nodelay().unwrap());
        stream.set_ttl(33).unwrap();
        assert_eq!(stream.ttl().unwrap(), 33);
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_write_timeout(None).unwrap();
        assert_eq!(stream.read_timeout().unwrap(), Some(Duration::from_secs(30)));
        assert_eq!(
            stream.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert!(stream.take_error().unwrap().is_none());
        stream.write_all(b"hello\n").unwrap();
        let n = stream
            .write_vectored(&[IoSlice::new(b"wor"), IoSlice::new(b"ld")])
            .unwrap();
        assert_eq!(n, 5);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut start = [0; 1];
        assert_eq!(stream.peek(&mut start).unwrap(), 1);
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        server.join().unwrap();
        assert_eq!((&start, text.as_str()), (b"H", "HELLO\nWORLD\n"));
        let gone = face::TcpStream::connect(net, address).unwrap_err();
        assert_eq!(
            (gone.kind(), gone.raw_os_error()),
            (ErrorKind::ConnectionRefused, Some(111))
        );

        let one = face::UdpSocket::bind(net, any()).unwrap();
        let other = face::UdpSocket::bind(net, any()).unwrap();
        one.connect(other.local_addr().unwrap()).unwrap();
        one.set_broadcast(true).unwrap();
        assert!(one.broadcast().unwrap());
        assert_eq!(one.multicast_ttl_v4().unwrap(), 1);
        assert!(one.multicast_loop_v4().unwrap());
        assert_eq!(one.send(b"ping").unwrap(), 4);
        let mut buf = [0; 9];
        assert_eq!(other.peek_from(&mut buf).unwrap(), (4, one.local_addr().unwrap()));
        let (n, from) = other.recv_from(&mut buf).unwrap();
        assert_eq!(other.send_to(&buf[..n], from).unwrap(), 4);
        assert_eq!(one.recv(&mut buf).unwrap(), 4);
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    }};
}

/// The program for tasks.
macro_rules! with_tasks {
    ($path:path, $net:expr) => {{
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        use $path as face;
        let net: &Net = $net;
        let listener = face::TcpListener::bind(net, any()).await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let server = async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut read, mut write) = stream.into_split();
            let mut text = Vec::new();
            read.read_to_end(&mut text).await.unwrap();
            write.write_all(&text.to_ascii_uppercase()).await.unwrap();
        };
        let client = async {
            let mut stream = face::TcpStream::connect(net, address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "HELLO");
        };
        tokio::join!(server, client);
        let gone = face::TcpStream::connect(net, address).await.unwrap_err();
        assert_eq!(
            (gone.kind(), gone.raw_os_error()),
            (ErrorKind::ConnectionRefused, Some(111))
        );

        let one = face::UdpSocket::bind(net, any()).await.unwrap();
        let other = face::UdpSocket::bind(net, any()).await.unwrap();
        one.connect(other.local_addr().unwrap()).await.unwrap();
        assert_eq!(one.send(b"ping").await.unwrap(), 4);
        let mut buf = [0; 9];
        let (n, from) = other.recv_from(&mut buf).await.unwrap();
        assert_eq!(other.send_to(&buf[..n], from).await.unwrap(), 4);
        assert_eq!(one.recv(&mut buf).await.unwrap(), 4);
        assert_eq!(
            other.try_recv(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    }};
}

/// The program for tasks on AF_UNIX, in a directory of its own.
macro_rules! with_unix {
    ($path:path, $net:expr) => {{
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        use $path as face;
        let net: &Net = $net;
        let directory = directory();
        let path = directory.join("stream");
        let hidden = format!("\0{}", directory.display());
        for name in [path.as_path(), hidden.as_ref()] {
            let nobody = face::UnixStream::connect(net, name).await.unwrap_err();
            let expected = match name == path {
                true => (ErrorKind::NotFound, Some(2)),
                false => (ErrorKind::ConnectionRefused, Some(111)),
            };
            assert_eq!((nobody.kind(), nobody.raw_os_error()), expected);
            let listener = face::UnixListener::bind(net, name).unwrap();
            let address = listener.local_addr().unwrap();
            assert_eq!(address.as_pathname(), (name == path).then_some(name));
            assert_eq!(address.as_abstract_name().is_some(), name != path);
            let twice = face::UnixListener::bind(net, name).unwrap_err();
            assert_eq!(
                (twice.kind(), twice.raw_os_error()),
                (ErrorKind::AddrInUse, Some(98))
            );
            let server = async {
                let (stream, peer) = listener.accept().await.unwrap();
                assert!(peer.is_unnamed());
                let (mut read, mut write) = stream.into_split();
                let mut text = Vec::new();
                read.read_to_end(&mut text).await.unwrap();
                write.write_all(&text.to_ascii_uppercase()).await.unwrap();
            };
            // More than all buffers hold: both wait for each other in turn.
            let long = vec![b'a'; 1 << 20];
            let client = async {
                let mut stream = face::UnixStream::connect(net, name).await.unwrap();
                assert_eq!(stream.peer_addr().unwrap().as_pathname(), address.as_pathname());
                assert!(stream.local_addr().unwrap().is_unnamed());
                let (mut read, mut write) = stream.split();
                write.writable().await.unwrap();
                write.write_all(&long).await.unwrap();
                write.shutdown().await.unwrap();
                read.readable().await.unwrap();
                let mut text = Vec::new();
                read.read_to_end(&mut text).await.unwrap();
                assert!(text == long.to_ascii_uppercase());
            };
            tokio::join!(server, client);
        }
        let (mut one, other) = face::UnixStream::pair(net).unwrap();
        let mut buf = [0; 9];
        assert_eq!(one.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        let full = loop {
            if let Err(error) = one.try_write(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let (read, write) = other.into_split();
        let other = read.reunite(write).unwrap();
        drop(other);
        let gone = one.write_all(b"x").await.unwrap_err();
        assert_eq!(
            (gone.kind(), gone.raw_os_error()),
            (ErrorKind::BrokenPipe, Some(32))
        );

        let (here, there) = (directory.join("here"), directory.join("there"));
        let one = face::UnixDatagram::bind(net, &here).unwrap();
        let other = face::UnixDatagram::bind(net, &there).unwrap();
        assert_eq!(one.send(b"x").await.unwrap_err().kind(), ErrorKind::NotConnected);
        let (absent, stream) = (one.connect(directory.join("absent")), one.connect(&path));
        assert_eq!(absent.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(stream.is_err());
        one.connect(&there).unwrap();
        assert_eq!(one.send(b"ping").await.unwrap(), 4);
        assert_eq!(one.send(b"").await.unwrap(), 0);
        other.readable().await.unwrap();
        let (n, from) = other.recv_from(&mut buf).await.unwrap();
        assert_eq!((n, from.as_pathname()), (4, Some(here.as_path())));
        assert_eq!(other.recv(&mut buf).await.unwrap(), 0);
        assert_eq!(
            other.try_recv(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert_eq!(other.send_to(b"pong", &here).await.unwrap(), 4);
        assert_eq!(one.recv(&mut buf).await.unwrap(), 4);
        let nobody = face::UnixDatagram::unbound(net).unwrap();
        nobody.send_to(b"who", &there).await.unwrap();
        assert!(other.recv_from(&mut buf).await.unwrap().1.is_unnamed());
        // A connected one hears its peer only.
        let refused = nobody.send_to(b"x", &here).await.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.raw_os_error()),
            (ErrorKind::PermissionDenied, Some(1))
        );
        // Who sends to a full one waits until it is read.
        let mut sent = 0;
        while one.try_send(b"x").is_ok() {
            sent += 1;
        }
        assert!(sent > 0);
        let read = async {
            for _ in 0..=sent {
                other.recv(&mut buf).await.unwrap();
            }
        };
        let (last, ()) = tokio::join!(one.send(b"last"), read);
        assert_eq!(last.unwrap(), 4);
        drop(other);
        let gone = one.send(b"x").await.unwrap_err();
        assert_eq!(
            (gone.kind(), gone.raw_os_error()),
            (ErrorKind::ConnectionRefused, Some(111))
        );
        let (a, b) = face::UnixDatagram::pair(net).unwrap();
        a.send(b"pair").await.unwrap();
        assert_eq!(b.recv(&mut [0; 9]).await.unwrap(), 4);
        let long = face::UnixListener::bind(net, "x".repeat(200)).unwrap_err();
        assert_eq!(long.kind(), ErrorKind::InvalidInput);
        std::fs::remove_dir_all(&directory).unwrap();
    }};
}

/// A new directory.
fn directory() -> std::path::PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("sockeye-faces-{}-{n}", std::process::id()));
    std::fs::create_dir(&path).unwrap();
    path
}

fn stack() -> Net {
    Driver::new("alone", Config::default()).start().unwrap()
}

#[test]
fn threads_on_std() {
    with_threads!(originals::for_std, &Net::os());
}
#[test]
fn threads_on_ours() {
    for net in [Net::os(), stack()] {
        with_threads!(sockeye_net::std_net, &net);
    }
}
#[tokio::test]
async fn tasks_on_tokio() {
    with_tasks!(originals::for_tokio, &Net::os());
}
#[tokio::test]
async fn tasks_on_ours() {
    for net in [Net::os(), stack()] {
        with_tasks!(sockeye_net, &net);
    }
}

#[tokio::test]
async fn unix_on_tokio() {
    with_unix!(originals::unix_of_tokio, &Net::os());
}
#[tokio::test]
async fn unix_on_ours() {
    for net in [Net::os(), stack()] {
        with_unix!(sockeye_net, &net);
    }
}

/// `connect_timeout` has std's errors.
#[test]
fn a_timeout_for_connecting() {
    let std_error = std::net::TcpStream::connect_timeout(&any(), Duration::ZERO).unwrap_err();
    for net in [Net::os(), stack()] {
        let ours =
            sockeye_net::std_net::TcpStream::connect_timeout(&net, &any(), Duration::ZERO).unwrap_err();
        assert_eq!(
            (ours.kind(), ours.to_string()),
            (std_error.kind(), std_error.to_string())
        );
        let listener = sockeye_net::std_net::TcpListener::bind(&net, any()).unwrap();
        let address = listener.local_addr().unwrap();
        sockeye_net::std_net::TcpStream::connect_timeout(&net, &address, Duration::from_secs(30)).unwrap();
    }
}
