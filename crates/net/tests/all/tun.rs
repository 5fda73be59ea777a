//! The kernel's programs talk with a stack over a TUN device, and the other way round. Needs root: the test runs itself
//! again in a network namespace of its own, and is skipped, saying so, where that cannot be.
#![cfg(target_os = "linux")]

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sockeye_net::device::{Tun, TunConfig, TunError};
use sockeye_net::{Net, TcpListener, TcpStream, UdpSocket};
use sockeye_testing::namespace::{again, device_is_there, in_namespace};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn config(text: &str) -> TunConfig {
    text.parse().unwrap()
}

/// A Python program of the kernel's world.
fn python(program: &str) -> Child {
    let text = format!("import socket\n{program}");
    Command::new("python3")
        .args(["-c", &text])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}
fn finish(mut child: Child) -> String {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
    text
}
async fn finished(child: Child) -> String {
    tokio::task::spawn_blocking(|| finish(child)).await.unwrap()
}

/// 10 MB in which every place looks different.
fn bulk() -> Vec<u8> {
    (0..10_000_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}
/// The same in Python.
const BULK: &str = "data = bytes((i * 2654435761 & 0xffffffff) >> 24 for i in range(10_000_000))\n";

/// Upper-cases what each client sends, until it closes its side.
fn serve_upper(listener: TcpListener) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                loop {
                    match stream.read(&mut buffer).await.unwrap() {
                        0 => break,
                        n => stream.write_all(&buffer[..n].to_ascii_uppercase()).await.unwrap(),
                    }
                }
                stream.shutdown().await.unwrap();
                // The kernel's client reads to the end before we go.
                let _ = stream.read(&mut buffer).await;
            });
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kernel_and_a_stack_over_tun() {
    if !in_namespace("tun::the_kernel_and_a_stack_over_tun") {
        return;
    }
    let net = Net::tun(&config("sock0,addr=10.77.0.2/24,addr6=fd77::2/64")).unwrap();
    assert!(device_is_there("sock0"));
    let listener = TcpListener::bind(&net, "[::]:7000").await.unwrap();
    let server = serve_upper(listener);

    // Python's socket module to us, over both families.
    for address in ["10.77.0.2", "fd77::2"] {
        let text = finished(python(&format!(
            r#"
s = socket.create_connection(("{address}", 7000), timeout=20)
s.sendall(b"hello, ")
s.sendall(b"world")
s.shutdown(socket.SHUT_WR)
print(s.makefile("rb").read())
"#
        )))
        .await;
        assert_eq!(text.trim(), "b'HELLO, WORLD'", "{address}");
    }
    // Ten megabytes there and back.
    for address in ["10.77.0.2", "fd77::2"] {
        let text = finished(python(&format!(
            r#"
import threading
{BULK}
s = socket.create_connection(("{address}", 7000), timeout=60)
def send():
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
t = threading.Thread(target=send); t.start()
back = s.makefile("rb").read()
t.join()
print(len(back), back == data.upper())
"#
        )))
        .await;
        assert_eq!(text.trim(), "10000000 True", "{address}");
    }
    server.abort();
    curl_talks_to_us(&net).await;
    we_talk_to_the_kernel(&net).await;
    datagrams(&net).await;
    refusals(&net).await;

    drop(net);
    // Tasks hold sockets of it until they are gone; then the driver closes the device.
    tokio::task::spawn_blocking(|| {
        while device_is_there("sock0") {
            std::thread::yield_now();
        }
    })
    .await
    .unwrap();
}

async fn curl_talks_to_us(net: &Net) {
    let listener = TcpListener::bind(net, "0.0.0.0:80").await.unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip().to_string(), "10.77.0.1");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nsockeye";
        stream.write_all(answer).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    let Ok(curl) = Command::new("curl")
        .args(["--silent", "--max-time", "20", "http://10.77.0.2/"])
        .stdout(Stdio::piped())
        .spawn()
    else {
        println!("curl is not installed: skipped");
        return server.abort();
    };
    assert_eq!(finished(curl).await, "sockeye");
    assert!(server.await.unwrap().starts_with("GET / HTTP/1.1\r\n"));
}

async fn we_talk_to_the_kernel(net: &Net) {
    for (family, address) in [("AF_INET", "10.77.0.1"), ("AF_INET6", "fd77::1")] {
        let mut child = python(&format!(
            r#"
s = socket.socket(socket.{family}); s.bind(("{address}", 0)); s.listen()
print(s.getsockname()[1], flush=True)
c, peer = s.accept()
data = c.makefile("rb").read()
c.sendall(data[::-1])
c.close()
print(peer[0], len(data))
"#
        ));
        let port = first_line(&mut child).parse().unwrap();
        let address: std::net::IpAddr = address.parse().unwrap();
        let stream = TcpStream::connect(net, (address, port)).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let mut sent = bulk();
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
        let mut back = Vec::new();
        read.read_to_end(&mut back).await.unwrap();
        sent.reverse();
        assert!(back == sent, "{address}: {} bytes came back", back.len());
        let said = finished(child).await;
        assert!(said.contains("10000000"), "{said}");
    }
}

fn first_line(child: &mut Child) -> String {
    let mut line = Vec::new();
    let out = child.stdout.as_mut().unwrap();
    let mut byte = [0];
    while out.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

async fn datagrams(net: &Net) {
    let socket = UdpSocket::bind(net, "[::]:6000").await.unwrap();
    let echo = tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        loop {
            let (n, from) = socket.recv_from(&mut buffer).await.unwrap();
            socket
                .send_to(&buffer[..n].to_ascii_uppercase(), from)
                .await
                .unwrap();
        }
    });
    for (family, address, long) in [("AF_INET", "10.77.0.2", 65_507), ("AF_INET6", "fd77::2", 65_527)] {
        let text = finished(python(&format!(
            r#"
s = socket.socket(socket.{family}, socket.SOCK_DGRAM); s.settimeout(20)
for message in (b"hello", b"", b"x" * {long}):
    s.sendto(message, ("{address}", 6000))
    back, _ = s.recvfrom(70000)
    print(back == message.upper())
"#
        )))
        .await;
        assert_eq!(text, "True\nTrue\nTrue\n", "{address}");
    }
    echo.abort();
}

/// The kernel's refusals reach us, and ours the kernel.
async fn refusals(net: &Net) {
    let error = TcpStream::connect(net, "10.77.0.1:9").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    let text = finished(python(
        "s = socket.socket(); s.settimeout(20); print(s.connect_ex(('10.77.0.2', 9)))\n\
         u = socket.socket(type=socket.SOCK_DGRAM); u.settimeout(20); u.connect(('10.77.0.2', 9)); u.send(b'x')\n\
         try: u.recv(9)\n\
         except ConnectionRefusedError: print('refused')\n",
    ))
    .await;
    assert_eq!(text, "111\nrefused\n");
    let socket = UdpSocket::bind(net, "10.77.0.2:0").await.unwrap();
    socket.connect("10.77.0.1:9").await.unwrap();
    socket.send(b"x").await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(20), socket.recv(&mut [0; 9])).await;
    assert_eq!(
        answer.unwrap().unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
}

/// As soon as the device is there, the kernel takes what is sent to its address: it makes the route to an IPv6 address
/// somewhat later than it acknowledges the address, and lost what came before.
#[test]
fn the_kernel_s_address_serves_at_once() {
    if !in_namespace("tun::the_kernel_s_address_serves_at_once") {
        return;
    }
    for n in 0..100 {
        let device = Tun::open(&config("sock4,addr6=fd77::2/64")).unwrap();
        let routes = std::fs::read_to_string("/proc/net/ipv6_route").unwrap();
        // The address, and the flag RTF_LOCAL.
        let is_ours = |line: &&str| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            columns[0] == "fd770000000000000000000000000001" && columns[8].starts_with('8')
        };
        assert!(routes.lines().any(|line| is_ours(&line)), "{n}: {routes}");
        drop(device);
    }
}

#[test]
fn a_taken_name_is_said() {
    if !in_namespace("tun::a_taken_name_is_said") {
        return;
    }
    let _net = Net::tun(&config("sock1,addr=10.78.0.2/24")).unwrap();
    for taken in ["sock1", "lo"] {
        let error = Net::tun(&config(&format!("{taken},addr=10.79.0.2/24"))).unwrap_err();
        assert!(
            matches!(&error, TunError::NameTaken(name) if name == taken),
            "{error:?}"
        );
        assert!(error.to_string().contains("choose another name"), "{error}");
    }
}

#[test]
fn without_root_it_is_said() {
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    if !again("tun::without_root_it_is_said", "SOCKEYE_AS_NOBODY", &nobody) {
        return;
    }
    let error = Net::tun(&config("sock2,addr=10.78.0.2/24")).unwrap_err();
    assert!(matches!(error, TunError::NotPermitted(_)), "{error:?}");
    assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
}

#[test]
fn without_the_device_it_is_said() {
    let hidden = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs none /dev/net && exec \"$@\"",
        "sh",
    ];
    if !again(
        "tun::without_the_device_it_is_said",
        "SOCKEYE_WITHOUT_TUN",
        &hidden,
    ) {
        return;
    }
    let error = Net::tun(&config("sock3,addr=10.78.0.2/24")).unwrap_err();
    assert!(matches!(error, TunError::NoTun(_)), "{error:?}");
    assert!(error.to_string().contains("modprobe tun"), "{error}");
}
