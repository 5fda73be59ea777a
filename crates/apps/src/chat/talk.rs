//! One to one.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sockeye_net::tcp::TcpSocket;
use sockeye_net::{Net, TcpStream, ToSocketAddrs};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

#[cfg(target_os = "linux")]
use super::LocalName;
use super::wire::{Listener, with_halves};
use super::{Messages, Place, Stream, is_quit};
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
    /// When the peer has ended its side, we go on sending until our input ends as well or says nothing for this
    /// time: right for a pipe, whose lines are not to be lost. Without it only what has been typed is sent.
    pub after_end: Option<Duration>,
    /// At the end of our input, how long the peer may say nothing before we go. Without it we wait for its end.
    pub silence: Option<Duration>,
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
            after_end: None,
            silence: None,
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
    Connected(Place),
    /// It is the person's turn, or the line before could not be sent: ask for one.
    Ask,
    /// A message came. It is as the peer sent it: see [`shown`](crate::line::shown).
    Message(Place, String),
    /// A line was sent.
    Sent(Place, String),
    /// An empty line was not sent: there would be nothing to send over TCP, and both sides would wait.
    Empty,
    /// A line was not sent: its encoding lacks a character.
    CannotEncode(CannotEncode),
    /// The peer has ended its side; ours goes on.
    PeerEnded(Place),
    /// The conversation ended in good order.
    Closed(Place, Ending),
    /// The connection broke off.
    Broken(Place, io::Error),
}

/// Connects to one who listens, or who talks at the same place.
///
/// # Errors
/// `ConnectionRefused`, `TimedOut`, `NetworkUnreachable`, or that the name is unknown.
pub async fn connect(net: &Net, server: impl ToSocketAddrs) -> io::Result<TcpStream> {
    TcpStream::connect(net, server).await
}

/// As [`connect`], to the first of several addresses that answers, and from an address of ours of the same family. In
/// it, an unspecified address and port 0 are chosen.
///
/// # Errors
/// As [`connect`]; `AddrInUse` and `AddrNotAvailable` for our own; `InvalidInput` without an address.
pub async fn connect_from(net: &Net, to: &[SocketAddr], from: Option<SocketAddr>) -> io::Result<TcpStream> {
    let Some(from) = from else {
        return TcpStream::connect(net, to).await;
    };
    let mut last = io::Error::from(io::ErrorKind::InvalidInput);
    for &to in to {
        let socket = match from {
            SocketAddr::V4(_) => TcpSocket::new_v4(net)?,
            SocketAddr::V6(_) => TcpSocket::new_v6(net)?,
        };
        // A port that was used a moment ago is in TIME-WAIT with another peer.
        socket.set_reuseaddr(true)?;
        socket.bind(from)?;
        match socket.connect(to).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A conversation over a connection, from its beginning to its end. `side` says which side we are.
///
/// # Errors
/// What broke the connection off.
pub async fn converse(
    stream: impl Into<Stream>,
    side: First,
    settings: &Settings,
    input: &mut Input,
    stop: &mut Stop,
    mut tell: impl FnMut(Event),
) -> io::Result<Ending> {
    let stream = stream.into();
    stream.set_nodelay()?;
    let peer = stream.peer()?;
    tell(Event::Connected(peer.clone()));
    let ending = with_halves!(stream, |read, write| {
        let talk = Talk {
            settings,
            peer: peer.clone(),
            messages: Messages::new(read, settings.charset, settings.grace, settings.limit),
            write,
            unsent: Vec::new(),
            our_turn: settings.turns.is_none_or(|first| first == side),
            empty_ends: settings.empty_ends && side == First::Client,
            peer_ended: false,
            ending: None,
        };
        talk.run(input, stop, &mut tell).await?
    });
    tell(Event::Closed(peer, ending));
    Ok(ending)
}

struct Talk<'a, R, W> {
    settings: &'a Settings,
    peer: Place,
    messages: Messages<R>,
    write: W,
    /// Octets of our message that the socket has not taken yet: one message at most.
    unsent: Vec<u8>,
    our_turn: bool,
    empty_ends: bool,
    peer_ended: bool,
    /// Why we end once all is sent.
    ending: Option<Ending>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Talk<'_, R, W> {
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
            let (may_ask, quiet) = (self.unsent.is_empty() && self.our_turn, self.quiet());
            tokio::select! {
                biased;
                () = stop.stopped() => {
                    // What was said is still given to the network, unless the peer does not read.
                    let _ = timeout(self.settings.linger, self.write.write_all(&self.unsent)).await;
                    self.unsent.clear();
                    self.ending = Some(Ending::Stopped);
                }
                sent = self.write.write(&self.unsent), if !self.unsent.is_empty() => match sent {
                    Ok(n) => drop(self.unsent.drain(..n)),
                    Err(error) => return self.broken(error, tell).await,
                },
                message = self.messages.next(), if !self.peer_ended => match message? {
                    Some(text) => self.handle_message(text, tell),
                    None => self.handle_end(input, tell),
                },
                line = within(quiet, input.recv()), if may_ask => match line {
                    Ok(Some(line)) => self.handle_line(&line, tell),
                    Ok(None) => self.ending = Some(Ending::EndOfInput),
                    Err(_) => self.ending = Some(Ending::PeerClosed),
                },
            }
        }
    }
    /// How long our input may say nothing.
    fn quiet(&self) -> Option<Duration> {
        self.settings.after_end.filter(|_| self.peer_ended)
    }
    /// What we say reaches nobody any more. What came before is still told.
    async fn broken(mut self, error: io::Error, tell: &mut impl FnMut(Event)) -> io::Result<Ending> {
        while !self.peer_ended
            && let Ok(Ok(message)) = timeout(self.settings.linger, self.messages.next()).await
        {
            match message {
                Some(text) => tell(Event::Message(self.peer.clone(), text)),
                None => self.peer_ended = true,
            }
        }
        // One that had ended its side and is gone now has closed, as most do.
        match self.peer_ended {
            true => Ok(Ending::PeerClosed),
            false => Err(error),
        }
    }
    fn handle_message(&mut self, text: String, tell: &mut impl FnMut(Event)) {
        let quit = is_quit(&text);
        tell(Event::Message(self.peer.clone(), text));
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
        if self.settings.after_end.is_some() {
            self.our_turn = true;
            tell(Event::PeerEnded(self.peer.clone()));
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
        tell(Event::Sent(self.peer.clone(), line.into()));
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
        if let Err(error) = self.write.shutdown().await
            && !self.peer_ended
        {
            return Err(error);
        }
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
                message = within(self.settings.silence, self.messages.next()) => match message {
                    Ok(message) => message?,
                    Err(_) => return Ok(ending),
                },
            };
            match message {
                Some(text) => {
                    let quit = is_quit(&text);
                    tell(Event::Message(self.peer.clone(), text));
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

/// Within a time, if there is one.
async fn within<F: Future>(limit: Option<Duration>, operation: F) -> Result<F::Output, Elapsed> {
    match limit {
        Some(limit) => timeout(limit, operation).await,
        None => Ok(operation.await),
    }
}

/// One who listens, and talks to one after the other.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    settings: Settings,
}

impl Server {
    /// Listens at the first address of `address` that can be bound, with address reuse set, so that it can be
    /// started again at once.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, or that the name is unknown.
    pub async fn bind(net: &Net, address: impl ToSocketAddrs, settings: Settings) -> io::Result<Server> {
        let listener = Listener::tcp(net, address, settings.backlog).await?;
        Ok(Server { listener, settings })
    }
    /// Listens at a name of AF_UNIX. A socket that nobody listens at any more is replaced; the file is removed with
    /// the server.
    ///
    /// # Errors
    /// `AddrInUse` if somebody listens there, `AlreadyExists` if there is a file that is no socket, and those of its
    /// directory.
    #[cfg(target_os = "linux")]
    pub async fn bind_local(net: &Net, name: &LocalName, settings: Settings) -> io::Result<Server> {
        let listener = Listener::local(net, name).await?;
        Ok(Server { listener, settings })
    }
    /// Where it listens.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn place(&self) -> io::Result<Place> {
        self.listener.place()
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
            let (stream, peer) = tokio::select! {
                biased;
                () = stop.stopped() => return Ok(Ending::Stopped),
                accepted = self.listener.accept() => accepted?,
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
