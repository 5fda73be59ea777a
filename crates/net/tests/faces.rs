//! One program compiled against std, tokio and ours: what holds the signatures together.
#![cfg(target_os = "linux")]

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
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
