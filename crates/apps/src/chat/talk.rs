//! One to one.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sockeye_net::tcp::{OwnedReadHalf, OwnedWriteHalf, TcpSocket};
use sockeye_net::{Net, TcpListener, TcpStream, ToSocketAddrs, lookup_host};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Messages, is_quit};
use crate::line::{CannotEncode, Charset, Stop};

/// The person's lines, without their newlines. When the sender is dropped, the input has ended.
pub type Input = mpsc::Receiver<String>;

/// Whose turn is first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum First {
    /// The one who listens.
    Server,
    /// The one who connected.
    Client,
}

/// How a conversation is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How text becomes octets.
    pub charset: Charset,
    /// In turns, a message each, beginning with this side; otherwise both say what they like when they like.
    pub turns: Option<First>,
    /// Send messages without a newline, to programs that take what one `recv` gives for one message.
    pub bare: bool,
    /// After this time without more octets, what a peer sent without a newline is a message.
    pub grace: Duration,
    /// How long to wait for the peer's end after our own.
    pub linger: Duration,
    /// The largest message in octets; a longer one comes in parts.
    pub limit: usize,
    /// Whether we go on sending when the peer has ended its side, until our input ends as well: right for a
    /// pipe, where nobody waits for us to notice.
    pub after_end: bool,
    /// Whether an empty line of a client's ends the conversation, instead of being refused.
    pub empty_ends: bool,
    /// Complete connections that may wait for a server: the argument of `listen`.
    pub backlog: u32,
}

impl Default for Settings {
    /// UTF-8, free for both, 300 ms of grace, 5 s of waiting for the peer's end, 64 KiB a message, a backlog
    /// of 5.
    fn default() -> Self {
        Settings {
            charset: Charset::Utf8,
            turns: None,
            bare: false,
            grace: Duration::from_millis(300),
            linger: Duration::from_secs(5),
            limit: 64 * 1024,
            after_end: false,
            empty_ends: false,
            backlog: 5,
        }
    }
}

/// How a conversation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// We said goodbye.
    Quit,
    /// The peer said goodbye.
    PeerQuit,
    /// The peer closed in good order without saying so.
    PeerClosed,
    /// Our input ended.
    EndOfInput,
    /// We were stopped.
    Stopped,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ending::Quit => "we said goodbye",
            Ending::PeerQuit => "the peer said goodbye",
            Ending::PeerClosed => "the peer closed",
            Ending::EndOfInput => "the input ended",
            Ending::Stopped => "stopped",
        })
    }
}

/// What a conversation tells.
#[derive(Debug)]
pub enum Event {
    /// A conversation begins.
    Connected(SocketAddr),
    /// It is the person's turn, or the line before could not be sent: ask for one.
    Ask,
    /// A message came. It is as the peer sent it: see [`shown`](crate::line::shown).
    Message(SocketAddr, String),
    /// A line was sent.
    Sent(SocketAddr, String),
    /// An empty line was not sent: there would be nothing to send over TCP, and both sides would wait.
    Empty,
    /// A line was not sent: its encoding lacks a character.
    CannotEncode(CannotEncode),
    /// The peer has ended its side; ours goes on.
    PeerEnded(SocketAddr),
    /// The conversation ended in good order.
    Closed(SocketAddr, Ending),
    /// The connection broke off.
    Broken(SocketAddr, io::Error),
}

/// Connects to one who listens, or who talks at the same place.
///
/// # Errors
/// `ConnectionRefused`, `TimedOut`, `NetworkUnreachable`, or that the name is unknown.
pub async fn connect(net: &Net, server: impl ToSocketAddrs) -> io::Result<TcpStream> {
    TcpStream::connect(net, server).await
}

/// A conversation over a connection, from its beginning to its end. `side` says which side we are.
///
/// # Errors
/// What broke the connection off.
pub async fn converse(
    stream: TcpStream,
    side: First,
    settings: &Settings,
    input: &mut Input,
    stop: &mut Stop,
    mut tell: impl FnMut(Event),
) -> io::Result<Ending> {
    // A message goes as it is said: Nagle's rule would only make it wait.
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?;
    tell(Event::Connected(peer));
    let (read, write) = stream.into_split();
    let talk = Talk {
        settings,
        peer,
        messages: Messages::new(read, settings.charset, settings.grace, settings.limit),
        write,
        unsent: Vec::new(),
        our_turn: settings.turns.is_none_or(|first| first == side),
        empty_ends: settings.empty_ends && side == First::Client,
        peer_ended: false,
        ending: None,
    };
    let ending = talk.run(input, stop, &mut tell).await?;
    tell(Event::Closed(peer, ending));
    Ok(ending)
}

struct Talk<'a> {
    settings: &'a Settings,
    peer: SocketAddr,
    messages: Messages<OwnedReadHalf>,
    write: OwnedWriteHalf,
    /// Octets of our message that the socket has not taken yet: one message at most.
    unsent: Vec<u8>,
    our_turn: bool,
    empty_ends: bool,
    peer_ended: bool,
    /// Why we end once all is sent.
    ending: Option<Ending>,
}

impl Talk<'_> {
    /// Reads while it writes, so that two who talk at once cannot block each other.
    async fn run(
        mut self,
        input: &mut Input,
        stop: &mut Stop,
        tell: &mut impl FnMut(Event),
    ) -> io::Result<Ending> {
        if self.our_turn {
            tell(Event::Ask);
        }
        loop {
            if self.unsent.is_empty()
                && let Some(ending) = self.ending
            {
                return self.close(ending, stop, tell).await;
            }
            let may_ask = self.unsent.is_empty() && self.our_turn;
            tokio::select! {
                biased;
                () = stop.stopped() => {
                    // What was said is still given to the network, unless the peer does not read.
                    let _ = timeout(self.settings.linger, self.write.write_all(&self.unsent)).await;
                    self.unsent.clear();
                    self.ending = Some(Ending::Stopped);
                }
                sent = self.write.write(&self.unsent), if !self.unsent.is_empty() => {
                    self.unsent.drain(..sent?);
                }
                message = self.messages.next(), if !self.peer_ended => match message? {
                    Some(text) => self.handle_message(text, tell),
                    None => self.handle_end(input, tell),
                },
                line = input.recv(), if may_ask => match line {
                    Some(line) => self.handle_line(&line, tell),
                    None => self.ending = Some(Ending::EndOfInput),
                },
            }
        }
    }
    fn handle_message(&mut self, text: String, tell: &mut impl FnMut(Event)) {
        let quit = is_quit(&text);
        tell(Event::Message(self.peer, text));
        if quit {
            self.ending = Some(Ending::PeerQuit);
        } else {
            self.our_turn = true;
            tell(Event::Ask);
        }
    }
    /// The peer's FIN. What the person has already typed is still sent.
    fn handle_end(&mut self, input: &mut Input, tell: &mut impl FnMut(Event)) {
        self.peer_ended = true;
        if self.settings.after_end {
            self.our_turn = true;
            tell(Event::PeerEnded(self.peer));
            return;
        }
        while self.settings.turns.is_none()
            && self.ending.is_none()
            && let Ok(line) = input.try_recv()
        {
            self.handle_line(&line, tell);
        }
        self.ending.get_or_insert(Ending::PeerClosed);
    }
    fn handle_line(&mut self, line: &str, tell: &mut impl FnMut(Event)) {
        let line = line.trim_end_matches(['\r', '\n']);
        if line.trim().is_empty() && self.empty_ends {
            self.ending = Some(Ending::EndOfInput);
            return;
        }
        if line.trim().is_empty() {
            tell(Event::Empty);
            return tell(Event::Ask);
        }
        match self.settings.charset.encode(line) {
            Ok(octets) => self.unsent.extend(octets),
            Err(error) => {
                tell(Event::CannotEncode(error));
                return tell(Event::Ask);
            }
        }
        if !self.settings.bare {
            self.unsent.push(b'\n');
        }
        tell(Event::Sent(self.peer, line.into()));
        if is_quit(line) {
            self.ending = Some(Ending::Quit);
        } else if self.settings.turns.is_some() && !self.peer_ended {
            self.our_turn = false;
        } else {
            tell(Event::Ask);
        }
    }
    /// Our FIN, then the peer's. What the peer still says is told, unless one of us has said goodbye.
    ///
    /// At the end of our input the peer may take its time: it has been told that nothing more comes, and its
    /// answer may be what the person waits for.
    async fn close(
        mut self,
        ending: Ending,
        stop: &mut Stop,
        tell: &mut impl FnMut(Event),
    ) -> io::Result<Ending> {
        self.write.shutdown().await?;
        if ending != Ending::EndOfInput {
            // The peer's end is good manners, not more: one that stays away or breaks off now ends nothing
            // that was not at its end.
            let _ = timeout(self.settings.linger, self.messages.drain()).await;
            return Ok(ending);
        }
        while !self.peer_ended {
            let message = tokio::select! {
                biased;
                () = stop.stopped() => return Ok(Ending::Stopped),
                message = self.messages.next() => message?,
            };
            match message {
                Some(text) => {
                    let quit = is_quit(&text);
                    tell(Event::Message(self.peer, text));
                    if quit {
                        let _ = timeout(self.settings.linger, self.messages.drain()).await;
                        return Ok(Ending::PeerQuit);
                    }
                }
                None => self.peer_ended = true,
            }
        }
        Ok(ending)
    }
}

/// One who listens, and talks to one after the other.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    settings: Settings,
}

impl Server {
    /// Listens at the first address of `address` that can be bound, with address reuse set, so that it can be
    /// started again at once.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, or that the name is unknown.
    pub async fn bind(net: &Net, address: impl ToSocketAddrs, settings: Settings) -> io::Result<Server> {
        let listener = listen(net, address, settings.backlog).await?;
        Ok(Server { listener, settings })
    }
    /// Where it listens.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
    /// Talks to one client after the other, whatever way the last one left: goodbye, close or reset. It ends
    /// when the input has ended and the conversation of that moment with it, or when it is stopped.
    ///
    /// # Errors
    /// Those of the operating system's `accept` that do not concern a single connection.
    pub async fn run(
        self,
        input: &mut Input,
        stop: &mut Stop,
        mut tell: impl FnMut(Event),
    ) -> io::Result<Ending> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.stopped() => return Ok(Ending::Stopped),
                accepted = self.listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                // The client was gone before its turn came.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            match converse(stream, First::Server, &self.settings, input, stop, &mut tell).await {
                Ok(ending @ (Ending::EndOfInput | Ending::Stopped)) => return Ok(ending),
                Ok(_) if input.is_closed() && input.is_empty() => return Ok(Ending::EndOfInput),
                Ok(_) => {}
                Err(error) => tell(Event::Broken(peer, error)),
            }
        }
    }
}

/// Listens at the first address that can be bound. A client that is gone without a word is noticed by keepalive: its
/// connection would otherwise stay for ever, and with it, where one is served after the other, all who wait.
pub(super) async fn listen(net: &Net, address: impl ToSocketAddrs, backlog: u32) -> io::Result<TcpListener> {
    let attempt = |address: SocketAddr| {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(net)?,
            SocketAddr::V6(_) => TcpSocket::new_v6(net)?,
        };
        socket.set_reuseaddr(true)?;
        socket.set_keepalive(true)?;
        socket.bind(address)?;
        socket.listen(backlog)
    };
    let mut last = io::Error::from(io::ErrorKind::InvalidInput);
    for address in lookup_host(net, address).await? {
        match attempt(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}
