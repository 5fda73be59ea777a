//! The server: text in, capitals out, one client after the other or several at once.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use sockeye_net::tcp::TcpSocket;
use sockeye_net::{Net, TcpListener, TcpStream, ToSocketAddrs, lookup_host};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Uppercase;
use crate::line::shown;
use crate::text;
use crate::words::{self, Language, Words};

/// How a server serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Complete connections that may wait: the argument of `listen`.
    pub backlog: u32,
    /// Clients served at once. The others wait in the accept queue, and are served in the order in which they
    /// came.
    pub clients: usize,
    /// Octets of one read.
    pub buffer: usize,
}

impl Default for Settings {
    /// As the classic program has it: a backlog of 5, one client at a time, reads of 1,024 octets.
    fn default() -> Self {
        Settings {
            backlog: 5,
            clients: 1,
            buffer: 1024,
        }
    }
}

/// What a server tells of itself.
#[derive(Debug)]
pub enum Event {
    /// A client's turn has come.
    Accepted(SocketAddr),
    /// Octets came from a client, as they were read. They may begin or end within a character or a line.
    Received(SocketAddr, Vec<u8>),
    /// The client closed in good order: end of stream.
    Closed(SocketAddr),
    /// The connection broke off. The server goes on with the next client.
    Broken(SocketAddr, io::Error),
}

impl Event {
    /// In words, with the text as it was read.
    pub fn text(&self, words: &Words) -> String {
        match self {
            Event::Accepted(peer) => text!(words, "upper-accepted", peer = peer),
            Event::Received(peer, bytes) => {
                let text = String::from_utf8_lossy(bytes);
                let text = shown(text.trim_end_matches(['\n', '\r']));
                text!(words, "upper-received", peer = peer, text = text)
            }
            Event::Closed(peer) => text!(words, "upper-closed", peer = peer),
            Event::Broken(peer, error) => {
                text!(words, "upper-broken", peer = peer, error = words.error(error))
            }
        }
    }
}

/// In English.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(words::of(Language::English)))
    }
}

/// An upper-casing server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    settings: Settings,
}

type Tell = Arc<Mutex<dyn FnMut(Event) + Send>>;

fn tell(to: &Tell, event: Event) {
    (to.lock().unwrap_or_else(PoisonError::into_inner))(event);
}

impl Server {
    /// Listens at the first address of `address` that can be bound, with address reuse set, so that it can be
    /// started again at once.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, or that the name is unknown.
    pub async fn bind(net: &Net, address: impl ToSocketAddrs, settings: Settings) -> io::Result<Server> {
        let mut last = io::Error::from(io::ErrorKind::InvalidInput);
        for address in lookup_host(net, address).await? {
            match listen(net, address, settings.backlog) {
                Ok(listener) => return Ok(Server { listener, settings }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
    /// Where it listens.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
    /// Serves until the listener itself fails. What becomes of one client is told and never ends the server:
    /// neither a close in good order, nor a reset.
    ///
    /// # Errors
    /// Those of the operating system's `accept` that do not concern a single connection.
    pub async fn run(self, on_event: impl FnMut(Event) + Send + 'static) -> io::Result<()> {
        let to: Tell = Arc::new(Mutex::new(on_event));
        let places = Arc::new(Semaphore::new(self.settings.clients.max(1)));
        let mut clients = JoinSet::new();
        loop {
            let place = places.clone().acquire_owned().await;
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                // The client was gone before its turn came.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            let (to, buffer) = (to.clone(), self.settings.buffer);
            clients.spawn(async move {
                let _place = place; // until this client is done
                tell(&to, Event::Accepted(peer));
                tell(
                    &to,
                    match serve(stream, peer, buffer, &to).await {
                        Ok(()) => Event::Closed(peer),
                        Err(error) => Event::Broken(peer, error),
                    },
                );
            });
            while clients.try_join_next().is_some() {}
        }
    }
}

fn listen(net: &Net, address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(net)?,
        SocketAddr::V6(_) => TcpSocket::new_v6(net)?,
    };
    socket.set_reuseaddr(true)?;
    // A client that is gone without a word would otherwise keep its place for ever.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// One client, until it closes. An empty read is the end of the stream and nothing else: who takes it for an
/// empty message and goes on reading never stops.
async fn serve(mut stream: TcpStream, peer: SocketAddr, buffer: usize, to: &Tell) -> io::Result<()> {
    let mut upper = Uppercase::new();
    let (mut octets, mut answer) = (vec![0; buffer.max(1)], Vec::new());
    loop {
        let n = stream.read(&mut octets).await?;
        answer.clear();
        match n {
            0 => upper.finish(&mut answer),
            n => {
                tell(to, Event::Received(peer, octets[..n].to_vec()));
                upper.push(&octets[..n], &mut answer);
            }
        }
        stream.write_all(&answer).await?;
        if n == 0 {
            return stream.shutdown().await;
        }
    }
}
