//! Programs on virtual networks, as they would be written for tokio.

use std::io::ErrorKind;
use std::time::Duration;

use sockeye_lab::{Filter, Lab, NatConfig, Packet, World, mbit, ms, run, secs};
use sockeye_net::{Net, TcpListener, TcpSocket, TcpStream, UdpSocket};
use sockeye_stack::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

/// client (10.0.0.1, fd00::1) - 10 ms, 10 Mbit/s - server (10.0.0.2, fd00::2).
fn pair(seed: u64) -> World {
    let mut world = World::new(seed);
    let client = world.host("client").ip("10.0.0.1/24").ip("fd00::1/64").id();
    let server = world.host("server").ip("10.0.0.2/24").ip("fd00::2/64").id();
    world.link(client, server).delay(ms(10)).rate(mbit(10));
    world
}

/// Serves one client after the other, as the tutorials' server does.
async fn upper_casing(net: Net, address: &str) -> std::io::Result<()> {
    let listener = TcpListener::bind(&net, address).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut buf = [0; 1024];
        loop {
            match stream.read(&mut buf).await? {
                0 => break,
                n => stream.write_all(&buf[..n].to_ascii_uppercase()).await?,
            }
        }
    }
}

async fn ask(net: &Net, server: &str, text: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(net, server).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[test]
fn an_upper_casing_server() {
    for server in ["10.0.0.2:80", "[fd00::2]:80", "server:80"] {
        let (answer, world) = run(pair(1), move |lab: Lab| async move {
            tokio::spawn(upper_casing(
                lab.net("server"),
                if server.contains('[') {
                    "[::]:80"
                } else {
                    "0.0.0.0:80"
                },
            ));
            sleep(Duration::from_millis(1)).await;
            ask(&lab.net("client"), server, "hello").await.unwrap()
        });
        assert_eq!(answer, "HELLO");
        // One round trip for the handshake, one for the question; the answer's end comes with it or just after.
        assert!(
            world.now() >= Instant::from_millis(41) && world.now() < Instant::from_millis(70),
            "{world:?}"
        );
    }
}

#[test]
fn the_same_program_gives_the_same_records() {
    let digest = |seed| {
        let mut world = pair(seed);
        world.keep_digest();
        let (answers, world) = run(world, |lab: Lab| async move {
            tokio::spawn(upper_casing(lab.net("server"), "0.0.0.0:80"));
            sleep(Duration::from_millis(1)).await;
            let clients = (0..5).map(|n| {
                let net = lab.net("client");
                tokio::spawn(async move {
                    sleep(Duration::from_micros(n * 700)).await;
                    ask(&net, "server:80", &"text ".repeat(n as usize * 1000))
                        .await
                        .unwrap()
                })
            });
            let mut answers = Vec::new();
            for client in clients.collect::<Vec<_>>() {
                answers.push(client.await.unwrap().len());
            }
            answers
        });
        assert_eq!(answers, [0, 5000, 10_000, 15_000, 20_000]);
        world.digest()
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}

#[test]
fn errors_that_programs_see() {
    let (_, world) = run(pair(1), |lab: Lab| async move {
        let (client, server) = (lab.net("client"), lab.net("server"));
        let kind = |e: std::io::Error| e.kind();
        assert_eq!(
            kind(ask(&client, "server:81", "x").await.unwrap_err()),
            ErrorKind::ConnectionRefused
        );
        let nowhere = TcpStream::connect(&client, "192.0.2.1:1").await.unwrap_err();
        assert_eq!(kind(nowhere), ErrorKind::NetworkUnreachable);
        let listener = TcpListener::bind(&server, "10.0.0.2:80").await.unwrap();
        let twice = TcpListener::bind(&server, "10.0.0.2:80").await.unwrap_err();
        assert_eq!(kind(twice), ErrorKind::AddrInUse);
        let foreign = TcpListener::bind(&server, "10.0.0.77:80").await.unwrap_err();
        assert_eq!(kind(foreign), ErrorKind::AddrNotAvailable);
        assert!(
            TcpStream::connect(&client, "nobody:80")
                .await
                .unwrap_err()
                .to_string()
                .contains("lookup")
        );

        // The peer resets: ECONNRESET for who reads, EPIPE for who writes on.
        let mut stream = TcpStream::connect(&client, "server:80").await.unwrap();
        let (accepted, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, stream.local_addr().unwrap());
        accepted.set_zero_linger().unwrap();
        drop(accepted);
        let mut buf = [0; 10];
        assert_eq!(
            kind(stream.read(&mut buf).await.unwrap_err()),
            ErrorKind::ConnectionReset
        );
        assert_eq!(kind(stream.write(b"x").await.unwrap_err()), ErrorKind::BrokenPipe);

        // Our own side is shut.
        let mut stream = TcpStream::connect(&client, "server:80").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(kind(stream.write(b"x").await.unwrap_err()), ErrorKind::BrokenPipe);
    });
    drop(world);
}

#[test]
fn a_cut_cable_times_a_connection_attempt_out() {
    let (took, _) = run(pair(1), |lab: Lab| async move {
        lab.with(|world| {
            let client = world.find("client").unwrap();
            let link = world.link_at(client, 0).unwrap();
            world.edit(link).down();
        });
        let start = lab.now();
        let error = TcpStream::connect(&lab.net("client"), "10.0.0.2:80")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        lab.now() - start
    });
    // MUST-23: a SYN is retried for at least 3 minutes.
    assert!(took >= secs(180), "{took}");
}

#[test]
fn datagrams() {
    run(pair(1), |lab: Lab| async move {
        let server = UdpSocket::bind(&lab.net("server"), "0.0.0.0:7").await.unwrap();
        let client = UdpSocket::bind(&lab.net("client"), "0.0.0.0:0").await.unwrap();
        client.send_to(b"one", "server:7").await.unwrap();
        client.send_to(b"", "server:7").await.unwrap();
        client.connect("server:7").await.unwrap();
        client.send(b"a longer one").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(server.peek(&mut buf).await.unwrap(), 3);
        let (n, from) = server.recv_from(&mut buf).await.unwrap();
        assert_eq!(
            (&buf[..n], from),
            (&b"one"[..], client.local_addr().unwrap_or(from))
        );
        assert_eq!(server.recv_from(&mut buf).await.unwrap().0, 0);
        assert_eq!(
            server.recv(&mut buf).await.unwrap(),
            8,
            "what does not fit is lost"
        );
        assert_eq!(
            server.try_recv(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        server.send_to(b"back", from).await.unwrap();
        assert_eq!(client.recv(&mut buf).await.unwrap(), 4);
        // 65,507 octets pass, in fragments; one more does not.
        let long = vec![7; 65_507];
        client.send(&long).await.unwrap();
        let mut room = vec![0; 70_000];
        assert_eq!(server.recv(&mut room).await.unwrap(), 65_507);
        let too_long = client.send(&[7; 65_508]).await.unwrap_err();
        assert!(too_long.to_string().starts_with("Message too long"));
        // Broadcast needs permission.
        let denied = client.send_to(b"x", "10.0.0.255:7").await.unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
        // Nobody is there: the next call tells.
        client.connect("server:9").await.unwrap();
        client.send(b"anybody?").await.unwrap();
        assert_eq!(
            client.recv(&mut buf).await.unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn waiting_tasks_are_woken_each_on_its_side() {
    run(pair(1), |lab: Lab| async move {
        let listener = TcpListener::bind(&lab.net("server"), "0.0.0.0:80").await.unwrap();
        let stream = TcpStream::connect(&lab.net("client"), "server:80").await.unwrap();
        let (served, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = served.into_split();
        // A writer that fills all buffers waits for room while a reader waits for data.
        let writer = tokio::spawn(async move {
            write.write_all(&vec![1; 8_000_000]).await.unwrap();
            write // dropped by who joins: FIN
        });
        let reader = tokio::spawn(async move {
            let mut buf = Vec::new();
            read.read_to_end(&mut buf).await.unwrap();
            buf.len()
        });
        let (mut their_read, mut their_write) = stream.into_split();
        sleep(Duration::from_secs(5)).await;
        their_write.write_all(&[2; 1000]).await.unwrap();
        drop(their_write);
        assert_eq!(reader.await.unwrap(), 1000);
        let all = tokio::spawn(async move {
            let mut buf = Vec::new();
            their_read.read_to_end(&mut buf).await.unwrap();
            buf.len()
        });
        drop(writer.await.unwrap());
        assert_eq!(all.await.unwrap(), 8_000_000);
    });
}

#[test]
fn a_lost_data_segment_is_sent_again() {
    let mut world = World::new(1);
    let client = world.host("client").ip("10.0.0.1/24").id();
    let server = world.host("server").ip("10.0.0.2/24").id();
    let link = world
        .link(client, server)
        .delay(ms(10))
        .forward()
        .drop_nth(3, Packet::is_data)
        .id();
    let (answer, world) = run(world, |lab: Lab| async move {
        tokio::spawn(upper_casing(lab.net("server"), "0.0.0.0:80"));
        sleep(Duration::from_millis(1)).await;
        ask(&lab.net("client"), "server:80", &"x".repeat(20_000))
            .await
            .unwrap()
    });
    assert_eq!(answer, "X".repeat(20_000));
    assert_eq!(world.link_stats(link, sockeye_lab::Direction::Forward).lost, 1);
}

/// Two hosts on a switch share one public address; two more beyond a router do not.
fn home_network(seed: u64) -> World {
    let mut world = World::new(seed);
    let laptop = world
        .host("laptop")
        .ip("192.168.1.2/24")
        .gateway("192.168.1.1")
        .id();
    let phone = world
        .host("phone")
        .ip("192.168.1.3/24")
        .gateway("192.168.1.1")
        .id();
    let switch = world.switch("switch");
    let config = NatConfig::default().filter(Filter::AddressAndPort);
    let nat = world
        .router("nat")
        .port("192.168.1.1/24")
        .port("203.0.113.5/24")
        .nat(config);
    let nat = nat.gateway("203.0.113.1").id();
    let isp = world
        .router("isp")
        .port("203.0.113.1/24")
        .port("198.51.100.1/24")
        .id();
    let server = world
        .host("server")
        .ip("198.51.100.2/24")
        .gateway("198.51.100.1")
        .id();
    for host in [laptop, phone, nat] {
        world.link(host, switch).delay(ms(1)).rate(mbit(100));
    }
    world.link(nat, isp).delay(ms(10)).rate(mbit(20));
    world.link(isp, server).delay(ms(5));
    world
}

#[test]
fn two_hosts_share_one_public_address() {
    run(home_network(1), |lab: Lab| async move {
        let listener = TcpListener::bind(&lab.net("server"), "0.0.0.0:80").await.unwrap();
        let mut streams = Vec::new();
        for host in ["laptop", "phone"] {
            let socket = TcpSocket::new_v4(&lab.net(host)).unwrap();
            socket.bind("0.0.0.0:5000".parse().unwrap()).unwrap();
            let stream = socket.connect("198.51.100.2:80".parse().unwrap()).await.unwrap();
            let (served, peer) = listener.accept().await.unwrap();
            assert_eq!(peer.ip().to_string(), "203.0.113.5");
            streams.push((stream, served, peer.port()));
        }
        assert_ne!(streams[0].2, streams[1].2);
        for (stream, served, _) in &mut streams {
            served.write_all(b"hello").await.unwrap();
            let mut buf = [0; 5];
            stream.read_exact(&mut buf).await.unwrap();
            assert_eq!(&buf, b"hello");
        }
        // From outside nobody gets in by himself.
        let inside = TcpListener::bind(&lab.net("laptop"), "0.0.0.0:80").await.unwrap();
        let server = lab.net("server");
        let uninvited = TcpStream::connect(&server, "203.0.113.5:80");
        assert!(
            tokio::time::timeout(Duration::from_secs(60), uninvited)
                .await
                .is_err()
        );
        drop(inside);
    });
}

/// A program that ends at once tells its peers before it goes.
#[test]
fn an_abort_reaches_the_peer() {
    run(pair(1), |lab: Lab| async move {
        let listener = TcpListener::bind(&lab.net("server"), "0.0.0.0:80").await.unwrap();
        let client = lab.net("client");
        let mut held = TcpStream::connect(&client, "server:80").await.unwrap();
        let (mut served, _) = listener.accept().await.unwrap();
        let aborted = tokio::spawn(async move { held.read_u8().await.unwrap_err().kind() });
        client.abort_all();
        client.left().await;
        assert_eq!(aborted.await.unwrap(), ErrorKind::ConnectionAborted);
        assert_eq!(
            served.read_u8().await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        client.finished().await;
    });
}
