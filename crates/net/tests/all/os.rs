//! The same program on tokio's sockets and on ours, on the operating system: signatures and errors agree.

use std::io::ErrorKind;

use sockeye_net::{Net, TcpListener, TcpSocket, TcpStream, UdpSocket, lookup_host};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One program, written against whichever `$net` is: an upper-casing server and its client.
macro_rules! upper_casing {
    ($listen:expr, $connect:expr) => {{
        let listener = $listen;
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (stream, peer) = listener.accept().await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), peer);
            let (mut read, mut write) = stream.into_split();
            let mut buf = [0; 1024];
            loop {
                match read.read(&mut buf).await.unwrap() {
                    0 => break,
                    n => write.write_all(&buf[..n].to_ascii_uppercase()).await.unwrap(),
                }
            }
            read.reunite(write).unwrap().shutdown().await.unwrap();
        });
        let mut stream = $connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        assert!(stream.nodelay().unwrap());
        stream.set_ttl(33).unwrap();
        assert_eq!(stream.ttl().unwrap(), 33);
        assert!(stream.take_error().unwrap().is_none());
        let (mut read, mut write) = stream.split();
        write.write_all(b"hello, ").await.unwrap();
        write.write_all(b"world").await.unwrap();
        write.writable().await.unwrap();
        write.shutdown().await.unwrap();
        read.readable().await.unwrap();
        let mut start = [0; 2];
        assert_eq!(read.peek(&mut start).await.unwrap(), 2);
        assert_eq!(&start, b"HE");
        let mut text = String::new();
        read.read_to_string(&mut text).await.unwrap();
        server.await.unwrap();
        text
    }};
}

#[tokio::test]
async fn one_program_on_both() {
    let theirs = upper_casing!(
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
        tokio::net::TcpStream::connect
    );
    let net = Net::os();
    let ours = upper_casing!(TcpListener::bind(&net, "127.0.0.1:0").await.unwrap(), |address| {
        TcpStream::connect(&net, address)
    });
    assert_eq!(theirs, "HELLO, WORLD");
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn datagrams_keep_their_boundaries() {
    let net = Net::os();
    let a = UdpSocket::bind(&net, "127.0.0.1:0").await.unwrap();
    let b = UdpSocket::bind(&net, ("localhost", 0)).await.unwrap();
    a.connect(b.local_addr().unwrap()).await.unwrap();
    a.send(b"one").await.unwrap();
    a.send(b"").await.unwrap();
    a.send(b"three").await.unwrap();
    let mut buf = [0; 16];
    assert_eq!(b.peek_from(&mut buf).await.unwrap(), (3, a.local_addr().unwrap()));
    for expected in ["one", "", "three"] {
        let (n, from) = b.recv_from(&mut buf).await.unwrap();
        assert_eq!((&buf[..n], from), (expected.as_bytes(), a.local_addr().unwrap()));
    }
    assert_eq!(
        b.try_recv_from(&mut buf).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    b.send_to(b"back", a.local_addr().unwrap()).await.unwrap();
    assert_eq!(a.recv(&mut buf).await.unwrap(), 4);
    assert!(!a.broadcast().unwrap());
    a.set_broadcast(true).unwrap();
    assert!(a.broadcast().unwrap());
}

#[tokio::test]
async fn errors_are_the_system_s() {
    let net = Net::os();
    let refused = TcpStream::connect(&net, "127.0.0.1:1").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let listener = TcpListener::bind(&net, "127.0.0.1:0").await.unwrap();
    let twice = TcpListener::bind(&net, listener.local_addr().unwrap())
        .await
        .unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::AddrInUse);
    let unknown = TcpStream::connect(&net, "no-such-host.invalid:1")
        .await
        .unwrap_err();
    assert!(
        unknown.to_string().contains("failed to lookup address"),
        "{unknown}"
    );
    assert_eq!(lookup_host(&net, "127.0.0.1:80").await.unwrap().count(), 1);
    let socket = TcpSocket::new_v4(&net).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(5).unwrap();
    TcpStream::connect(&net, listener.local_addr().unwrap())
        .await
        .unwrap();
}
