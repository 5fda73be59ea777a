//! Lines out, datagrams in.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sockeye_net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::largest;
use crate::chat::{First, Input, is_quit};
use crate::line::{CannotEncode, Charset, Stop, shown};
use crate::text;
use crate::words::Words;

/// How an exchange is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Lines are sent, nothing is received. `exit` ends it and is not sent.
    Send,
    /// Datagrams are received until it is stopped; nothing is sent.
    Receive,
    /// Both, as they come. `exit` ends it and is not sent.
    Both,
    /// A conversation with one at a time: `Q` or `exit` is sent and ends it on both sides. With `turns`, one
    /// message each, this side first or second.
    Chat {
        /// Which side we are. A server answers whoever spoke last, and goes on with the next one.
        side: First,
        /// Whose turn is first, if in turns.
        turns: Option<First>,
    },
}

/// The settings of an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How text becomes octets.
    pub charset: Charset,
    /// How it is held.
    pub manner: Manner,
    /// In turns, the turn comes back after this time without an answer: a datagram may have been lost.
    pub answer_within: Duration,
    /// In a conversation, whether a client's goodbye is sent to the server.
    pub goodbye: bool,
    /// After the end of the input, how long to wait for what may still come.
    pub linger: Duration,
}

impl Settings {
    /// UTF-8, 5 s for an answer, goodbyes told, 1 s for what comes after the input has ended.
    pub fn new(manner: Manner) -> Settings {
        Settings {
            charset: Charset::Utf8,
            manner,
            answer_within: Duration::from_secs(5),
            goodbye: true,
            linger: Duration::from_secs(1),
        }
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The person said so.
    Quit,
    /// The peer said goodbye.
    PeerQuit,
    /// The input ended.
    EndOfInput,
    /// It was stopped.
    Stopped,
}

/// What an exchange tells.
#[derive(Debug)]
pub enum Event {
    /// The person may say something.
    Ask,
    /// A datagram came: its sender, its text as sent (see [`shown`](crate::line::shown)), its octets.
    Received(SocketAddr, String, usize),
    /// A datagram was given to the network, with so many octets. Nobody knows whether it arrives.
    Sent(SocketAddr, usize),
    /// A line was not sent: its encoding lacks a character.
    CannotEncode(CannotEncode),
    /// A line was not sent: so many octets, of which so many fit into a datagram.
    TooLong(usize, usize),
    /// A line was not sent: nobody has spoken yet who could be answered.
    NobodyYet,
    /// No answer came in time. The turn is ours again.
    NoAnswer(SocketAddr),
    /// A peer said goodbye to a server, which goes on.
    PeerLeft(SocketAddr),
    /// We said goodbye to a peer, and go on as a server.
    Left(SocketAddr),
}

impl Event {
    /// In words; a prompt, for [`Event::Ask`]. Nothing where there is nothing to say.
    pub fn text(&self, words: &Words) -> Option<String> {
        Some(match self {
            Event::Ask => text!(words, "udp-prompt"),
            Event::Received(from, text, _) => {
                text!(words, "udp-received", peer = from, text = shown(text))
            }
            Event::Sent(..) => return None,
            Event::CannotEncode(error) => error.text(words),
            Event::TooLong(octets, limit) => {
                text!(words, "udp-too-long", octets = octets, limit = limit)
            }
            Event::NobodyYet => text!(words, "udp-nobody-yet"),
            Event::NoAnswer(to) => text!(words, "udp-no-answer", peer = to),
            Event::PeerLeft(peer) => text!(words, "udp-peer-left", peer = peer),
            Event::Left(peer) => text!(words, "udp-left", peer = peer),
        })
    }
}

/// Exchanges datagrams: lines to `to`, or to who spoke last if there is no such address.
///
/// # Errors
/// What sending and receiving failed with. `ConnectionRefused` is told by a connected socket only.
pub async fn exchange(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    settings: &Settings,
    input: &mut Input,
    stop: &mut Stop,
    mut tell: impl FnMut(Event),
) -> io::Result<Ending> {
    let (says, hears) = match settings.manner {
        Manner::Send => (true, false),
        Manner::Receive => (false, true),
        Manner::Both | Manner::Chat { .. } => (true, true),
    };
    let mut exchange = Exchange {
        socket,
        settings,
        to,
        our_turn: says,
        deadline: None,
    };
    if let Manner::Chat {
        side,
        turns: Some(first),
    } = settings.manner
    {
        // A server has nobody to speak to before somebody spoke.
        exchange.our_turn = side == first && to.is_some();
    }
    if exchange.our_turn {
        tell(Event::Ask);
    }
    // One octet more than any datagram has: none is cut.
    let mut buffer = vec![0; 65_536];
    let mut end = None;
    loop {
        let deadline = exchange.deadline;
        let ending = tokio::select! {
            biased;
            () = stop.stopped() => Some(Ending::Stopped),
            received = socket.recv_from(&mut buffer), if hears => {
                let (n, from) = received?;
                exchange.handle_datagram(&buffer[..n], from, &mut tell)
            }
            line = input.recv(), if exchange.our_turn && end.is_none() => match line {
                Some(line) => exchange.handle_line(&line, &mut tell).await?,
                None if hears => {
                    end = Some(Instant::now() + settings.linger);
                    None
                }
                None => Some(Ending::EndOfInput),
            },
            () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => Some(Ending::EndOfInput),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                exchange.handle_deadline(&mut tell);
                None
            }
        };
        if let Some(ending) = ending {
            return Ok(ending);
        }
    }
}

struct Exchange<'a> {
    socket: &'a UdpSocket,
    settings: &'a Settings,
    to: Option<SocketAddr>,
    our_turn: bool,
    /// When the turn comes back without an answer.
    deadline: Option<Instant>,
}

impl Exchange<'_> {
    fn handle_datagram(
        &mut self,
        octets: &[u8],
        from: SocketAddr,
        tell: &mut impl FnMut(Event),
    ) -> Option<Ending> {
        let text = self.settings.charset.decode(octets);
        let quit = is_quit(&text);
        tell(Event::Received(from, text, octets.len()));
        let Manner::Chat { side, .. } = self.settings.manner else {
            return None;
        };
        self.deadline = None;
        if quit && side == First::Client {
            return Some(Ending::PeerQuit);
        }
        if side == First::Server {
            self.to = (!quit).then_some(from);
        }
        if quit {
            tell(Event::PeerLeft(from));
            self.begin_again(tell);
        } else {
            self.our_turn = true;
            tell(Event::Ask);
        }
        None
    }
    /// A server waits for the next one to speak.
    fn begin_again(&mut self, tell: &mut impl FnMut(Event)) {
        self.to = None;
        if let Manner::Chat { turns: Some(_), .. } = self.settings.manner {
            // Nobody is there to whom a server could speak first.
            self.our_turn = false;
        } else {
            tell(Event::Ask);
        }
    }
    async fn handle_line(&mut self, line: &str, tell: &mut impl FnMut(Event)) -> io::Result<Option<Ending>> {
        let line = line.trim_end_matches(['\r', '\n']);
        let chat = matches!(self.settings.manner, Manner::Chat { .. });
        if !chat && line.trim() == "exit" {
            return Ok(Some(Ending::Quit));
        }
        let Some(to) = self.to else {
            tell(Event::NobodyYet);
            tell(Event::Ask);
            return Ok(None);
        };
        if let Manner::Chat {
            side: First::Client, ..
        } = self.settings.manner
            && is_quit(line)
            && !self.settings.goodbye
        {
            return Ok(Some(Ending::Quit));
        }
        // An empty line is sent: UDP has empty datagrams.
        let octets = match self.settings.charset.encode(line) {
            Ok(octets) => octets,
            Err(error) => {
                tell(Event::CannotEncode(error));
                tell(Event::Ask);
                return Ok(None);
            }
        };
        if octets.len() > largest(&to) {
            tell(Event::TooLong(octets.len(), largest(&to)));
            tell(Event::Ask);
            return Ok(None);
        }
        self.socket.send_to(&octets, to).await?;
        tell(Event::Sent(to, octets.len()));
        let Manner::Chat { side, turns } = self.settings.manner else {
            tell(Event::Ask);
            return Ok(None);
        };
        if is_quit(line) {
            if side == First::Client {
                return Ok(Some(Ending::Quit));
            }
            tell(Event::Left(to));
            self.begin_again(tell);
        } else if turns.is_some() {
            self.our_turn = false;
            self.deadline = Some(Instant::now() + self.settings.answer_within);
        } else {
            tell(Event::Ask);
        }
        Ok(None)
    }
    fn handle_deadline(&mut self, tell: &mut impl FnMut(Event)) {
        self.deadline = None;
        self.our_turn = true;
        if let Some(to) = self.to {
            tell(Event::NoAnswer(to));
        }
        tell(Event::Ask);
    }
}
