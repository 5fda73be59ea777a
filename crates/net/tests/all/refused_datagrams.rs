//! ICMP errors about datagrams of a socket without a peer: told to one that asked for them, on the operating system and on a
//! stack alike.
#![cfg(target_os = "linux")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sockeye_net::device::wire;
use sockeye_net::driver::Driver;
use sockeye_net::{BatchSocket, Net};
use sockeye_stack::{Config, InterfaceConfig};
use tokio::time::timeout;

/// Long enough that only a fault makes a test wait for it.
const LONG: Duration = Duration::from_secs(30);

/// Where a socket of `net` can be reached from itself.
fn place(socket: &BatchSocket, server: SocketAddr) -> SocketAddr {
    let mut place = socket.local_addr().unwrap();
    if place.ip().is_unspecified() {
        place.set_ip(server.ip());
    }
    place
}

/// Asks at `server`, where nobody listens, from a socket at `client`.
async fn asks(net: &Net, client: &str, server: &str) {
    let closed: SocketAddr = format!("{server}:9").parse().unwrap();
    let bind = || BatchSocket::bind(net, client.parse().unwrap()).unwrap();
    let (deaf, socket) = (bind(), bind());
    let mut buf = [0; 16];
    deaf.send_to(b"anybody?", closed, None).await.unwrap();

    let refused = |result: io::Result<usize>| {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    };
    socket.set_report_errors(true).unwrap();
    // Waiting in each of the ways there are.
    socket.send_to(b"anybody?", closed, None).await.unwrap();
    let came = timeout(LONG, socket.recv_msg(&mut buf)).await.unwrap();
    refused(came.map(|received| received.len));
    socket.send_to(b"anybody?", closed, None).await.unwrap();
    let came = timeout(LONG, socket.recv_from(&mut buf)).await.unwrap();
    refused(came.map(|(len, _)| len));
    socket.send_to(b"anybody?", closed, None).await.unwrap();
    let came = timeout(LONG, socket.recv_one_from(&mut buf)).await.unwrap();
    refused(came.map(|(len, _)| len));
    // Each is told once, and to nobody who has not asked: what comes next is a datagram.
    for socket in [socket, deaf] {
        let here = place(&socket, closed);
        socket.send_to(b"ourselves", here, None).await.unwrap();
        let received = timeout(LONG, socket.recv_msg(&mut buf)).await.unwrap();
        assert_eq!(received.unwrap().from, here);
    }
}

#[tokio::test]
async fn on_the_operating_system() {
    for (client, server) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "[::1]")] {
        asks(&Net::os(), client, server).await;
    }
}

#[tokio::test]
async fn on_a_stack() {
    let net = Driver::new("alone", Config::default()).start().unwrap();
    for (client, server) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("[::1]:0", "[::1]"),
        ("0.0.0.0:0", "127.0.0.1"),
    ] {
        asks(&net, client, server).await;
    }
}

#[tokio::test]
async fn between_two_stacks() {
    let (one, other) = wire(1500).unwrap();
    let start = |device, host: u8| {
        let interface = InterfaceConfig::ip("wire", 0)
            .address([10, 0, 0, host], 24)
            .address([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host)], 64);
        let driver = Driver::new("host", Config::default());
        driver.device(device, interface).start().unwrap()
    };
    let (client, _server) = (start(one, 1), start(other, 2));
    asks(&client, "10.0.0.1:0", "10.0.0.2").await;
    asks(&client, "[fd00::1]:0", "[fd00::2]").await;
}
