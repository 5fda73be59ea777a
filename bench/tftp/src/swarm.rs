//! Many clients at a time: each a thread with a socket, in lockstep, as boot loaders are. The same for all servers.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// How often a client repeats itself, and when it gives up.
const AGAIN: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

/// `clients` get the same file at once. How long until the last has it.
///
/// # Errors
/// One of them has not got `content`.
pub fn run(
    server: SocketAddr,
    name: &str,
    content: &[u8],
    blksize: u16,
    clients: usize,
) -> io::Result<Duration> {
    let sockets: Vec<UdpSocket> = (0..clients)
        .map(|_| UdpSocket::bind("127.0.0.1:0"))
        .collect::<io::Result<_>>()?;
    let began = Instant::now();
    thread::scope(|scope| {
        let running: Vec<_> = sockets
            .iter()
            .map(|socket| {
                thread::Builder::new()
                    .stack_size(256 * 1024)
                    .spawn_scoped(scope, move || get(socket, server, name, content, blksize))
            })
            .collect::<io::Result<_>>()?;
        for client in running {
            client
                .join()
                .map_err(|_| io::Error::other("a client panicked"))??;
        }
        Ok(began.elapsed())
    })
}

fn get(socket: &UdpSocket, server: SocketAddr, name: &str, content: &[u8], blksize: u16) -> io::Result<()> {
    socket.set_read_timeout(Some(AGAIN))?;
    let mut packet = format!("\0\x01{name}\0octet\0").into_bytes();
    if blksize != 512 {
        packet.extend_from_slice(format!("blksize\0{blksize}\0").as_bytes());
    }
    let (mut to, mut got, mut next) = (server, 0, 1u16);
    let mut buf = vec![0; usize::from(blksize) + 5];
    let until = Instant::now() + PATIENCE;
    socket.send_to(&packet, to)?;
    loop {
        let (n, from) = match socket.recv_from(&mut buf) {
            Ok(came) => came,
            Err(_) if Instant::now() < until => {
                socket.send_to(&packet, to)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        match buf[..n] {
            [0, 6, ..] if next == 1 => packet = vec![0, 4, 0, 0],
            [0, 3, a, b, ref data @ ..] if u16::from_be_bytes([a, b]) == next => {
                if content.get(got..got + data.len()) != Some(data) {
                    return Err(io::Error::other("the octets of another file"));
                }
                got += data.len();
                packet = vec![0, 4, a, b];
                next = next.wrapping_add(1);
                if data.len() < blksize.into() {
                    socket.send_to(&packet, from)?;
                    return if got == content.len() {
                        Ok(())
                    } else {
                        Err(io::Error::other("the file is too short"))
                    };
                }
            }
            [0, 5, ..] => return Err(io::Error::other(String::from_utf8_lossy(&buf[4..n]).into_owned())),
            _ => continue, // a duplicate
        }
        to = from;
        socket.send_to(&packet, to)?;
    }
}
