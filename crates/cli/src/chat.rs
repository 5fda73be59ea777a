//! `sockeye chat`: one to one, or several in rooms.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use sockeye_apps::chat::{
    self, Ending, Event, First, RoomEvent, RoomSettings, Rooms, Server, Settings, converse,
};
use sockeye_apps::line::shown;
use sockeye_apps::udp::{self, Manner};
use sockeye_net::{Net, UdpSocket, lookup_host};
use sockeye_stack::Duration;

use crate::Outcome;
use crate::console::{self, Encoding, Prompt, failure, note, say, say_json};
use crate::exit::{Code, Failure};
use crate::lab::alone::LabArgs;
use crate::values;

/// The two sides of a conversation.
#[derive(Subcommand, Debug)]
pub enum ChatCommand {
    /// Wait for others: one after the other, or all at once with --keep-open.
    #[command(after_help = LISTEN_HELP)]
    Listen(ListenArgs),
    /// Talk to one who listens.
    #[command(after_help = CONNECT_HELP)]
    Connect(ConnectArgs),
}

const LISTEN_HELP: &str = "\
Examples:
  sockeye chat listen 127.0.0.1:9001                    both may speak at any time
  sockeye chat listen 9001 --turns server               in turns, the server first
  sockeye chat listen 9001 --keep-open                  several at once: /nick, /join, /who, /quit
  sockeye chat listen 7891 --encoding gbk --bare        with a program that has one recv for a message
  sockeye chat listen 9001 --udp                        answers whoever spoke last

Q (either case) or exit is sent and ends a conversation on both sides; the next client's turn comes. The
server ends at Ctrl-C, or when its input has ended and the conversation of that moment with it.

Exit codes: 0 the input ended, 2 wrong command line, 3 some input could not be read, 7 the address cannot be
had or another error of the network, 130 interrupted.";

const CONNECT_HELP: &str = "\
Examples:
  sockeye chat connect 127.0.0.1:9001
  sockeye chat connect 9001 --turns server              the server speaks first
  echo hello | sockeye chat connect 9001                says it, and shows what comes until the peer closes
  sockeye chat connect 9001 --udp --turns client
  sockeye chat connect server:9001 --net lab            in a lab, with one who says everything back

Q (either case) or exit is sent and ends the conversation on both sides.

Exit codes: 0 ended in good order, 2 wrong command line, 3 some input could not be read, 4 refused,
5 timed out, 6 reset, 7 another error of the network, 130 interrupted.";

/// What `chat listen` takes.
#[derive(Args, Clone, Debug)]
pub struct ListenArgs {
    /// Where to listen: HOST:PORT, or PORT at all addresses.
    #[arg(value_name = "ADDR", value_parser = console::listen_address)]
    pub address: String,
    /// Several at once, with names and rooms.
    #[arg(long, conflicts_with_all = ["turns", "udp", "bare"])]
    pub keep_open: bool,
    /// How it is held.
    #[command(flatten)]
    pub talk: TalkArgs,
}

/// What `chat connect` takes.
#[derive(Args, Clone, Debug)]
pub struct ConnectArgs {
    /// Who listens: HOST:PORT, or PORT at this machine.
    #[arg(value_name = "ADDR", value_parser = console::peer_address)]
    pub address: String,
    /// Give up connecting after this time: 3s, 500ms. Without it the operating system decides.
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub timeout: Option<Duration>,
    /// An empty line ends the conversation, instead of being refused.
    #[arg(long, conflicts_with = "udp")]
    pub empty_ends: bool,
    /// Over UDP: our Q or exit ends it on this side only, and is not sent.
    #[arg(long, requires = "udp")]
    pub no_goodbye: bool,
    /// How it is held.
    #[command(flatten)]
    pub talk: TalkArgs,
    /// What the network of a lab is like.
    #[command(flatten)]
    pub lab: LabArgs,
}

/// What both sides take.
#[derive(Args, Clone, Debug)]
pub struct TalkArgs {
    /// In turns, one message each, beginning with this side. Both sides have to agree on it.
    #[arg(long, value_enum, value_name = "FIRST")]
    pub turns: Option<Turns>,
    /// How text is encoded on the network.
    #[arg(long, value_enum, default_value_t = Encoding::Utf8)]
    pub encoding: Encoding,
    /// Send messages without a newline, to programs that take what one recv gives for one message.
    #[arg(long)]
    pub bare: bool,
    /// Over UDP: each message a datagram, which may be lost. An empty line is sent, as an empty datagram.
    #[arg(long)]
    pub udp: bool,
    /// Tell each event as a line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Whose turn is first.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turns {
    /// The one who listens.
    Server,
    /// The one who connected.
    Client,
}

impl From<Turns> for First {
    fn from(turns: Turns) -> First {
        match turns {
            Turns::Server => First::Server,
            Turns::Client => First::Client,
        }
    }
}

impl TalkArgs {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            charset: self.encoding.into(),
            turns: self.turns.map(First::from),
            bare: self.bare,
            ..Settings::default()
        }
    }
    fn datagrams(&self, side: First) -> Result<udp::Settings, Failure> {
        if self.turns == Some(Turns::Server) {
            let text = "over UDP the server cannot speak first: it knows nobody before a datagram came; \
                        use --turns client";
            return Err(Failure::new(Code::Usage, text));
        }
        Ok(udp::Settings {
            charset: self.encoding.into(),
            ..udp::Settings::new(Manner::Chat {
                side,
                turns: self.turns.map(First::from),
            })
        })
    }
}

/// Runs it on sockets of `net`.
///
/// # Errors
/// What went wrong on the network.
pub fn command(command: &ChatCommand, net: &Net) -> Outcome {
    match command {
        ChatCommand::Listen(args) if args.keep_open => console::run(net, keep_open(args, net)),
        ChatCommand::Listen(args) if args.talk.udp => console::run(net, listen_udp(args, net)),
        ChatCommand::Listen(args) => console::run(net, listen(args, net)),
        ChatCommand::Connect(args) if args.talk.udp => console::run(net, connect_udp(args, net)),
        ChatCommand::Connect(args) => console::run(net, connect(args, net)),
    }
}

fn code(ending: Ending) -> Code {
    match ending {
        Ending::Stopped => Code::Interrupted,
        _ => Code::Well,
    }
}

fn listening(at: std::net::SocketAddr, as_json: bool) {
    match as_json {
        true => say_json(&json!({"event": "listening", "address": at.to_string()})),
        false => note(&format!("listening at {at}; Ctrl-C ends")),
    }
}

async fn listen(args: &ListenArgs, net: &Net) -> Outcome {
    let doing = format!("cannot listen at {}", args.address);
    let mut stop = console::stop_on_interrupt();
    let server = Server::bind(net, &args.address, args.talk.settings()).await;
    let server = server.map_err(|error| failure(&doing, &error))?;
    let at = server.local_addr().map_err(|error| failure(&doing, &error))?;
    listening(at, args.talk.json);
    let (prompt, mut input) = (Prompt::new(), console::lines());
    let ending = server
        .run(&mut input, &mut stop, |event| {
            show(&event, args.talk.json, prompt)
        })
        .await
        .map_err(|error| failure("cannot accept clients", &error))?;
    Ok(code(ending))
}

pub(crate) async fn connect(args: &ConnectArgs, net: &Net) -> Outcome {
    let mut stop = console::stop_on_interrupt();
    let connecting = console::within(args.timeout, chat::connect(net, &args.address));
    let stream = tokio::select! {
        stream = connecting => stream,
        () = stop.stopped() => return Ok(Code::Interrupted),
    };
    let stream = stream.map_err(|error| failure(&format!("cannot connect to {}", args.address), &error))?;
    let (prompt, mut input) = (Prompt::new(), console::lines());
    let settings = Settings {
        after_end: !prompt.is_shown(),
        empty_ends: args.empty_ends,
        ..args.talk.settings()
    };
    let tell = |event: Event| show(&event, args.talk.json, prompt);
    let ending = converse(stream, First::Client, &settings, &mut input, &mut stop, tell)
        .await
        .map_err(|error| failure(&format!("talking to {}", args.address), &error))?;
    Ok(code(ending))
}

fn show(event: &Event, as_json: bool, prompt: Prompt) {
    if as_json {
        return match as_value(event) {
            Some(value) => say_json(&value),
            None => prompt.asked(),
        };
    }
    if let Event::Ask = event {
        return prompt.ask();
    }
    if let Event::Sent(..) = event {
        return;
    }
    prompt.leave();
    match event {
        Event::Connected(peer) => note(&format!("{peer} is here; Q or exit ends")),
        Event::Message(_, text) => say(&shown(text)),
        Event::Empty => note("an empty message is not sent: type something"),
        Event::CannotEncode(error) => note(&format!("not sent: {error}; say it otherwise, or use gb18030")),
        Event::PeerEnded(peer) => note(&format!("{peer} has ended its side; we go on")),
        Event::Closed(peer, ending) => note(&format!("{peer}: closed, as {ending}")),
        Event::Broken(peer, error) => note(&format!("{peer} broke off: {error}; waiting for the next")),
        Event::Ask | Event::Sent(..) => {}
    }
}

fn as_value(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Ask => return None,
        Event::Connected(peer) => json!({"event": "connected", "peer": peer.to_string()}),
        Event::Message(peer, text) => json!({"event": "message", "peer": peer.to_string(), "text": text}),
        Event::Sent(peer, text) => json!({"event": "sent", "peer": peer.to_string(), "text": text}),
        Event::Empty => json!({"event": "refused", "reason": "empty"}),
        Event::CannotEncode(error) => json!({"event": "refused", "reason": error.to_string()}),
        Event::PeerEnded(peer) => json!({"event": "peer-ended", "peer": peer.to_string()}),
        Event::Closed(peer, ending) => {
            json!({"event": "closed", "peer": peer.to_string(), "reason": ending.to_string()})
        }
        Event::Broken(peer, error) => {
            json!({"event": "broken", "peer": peer.to_string(), "error": error.to_string()})
        }
    })
}

async fn keep_open(args: &ListenArgs, net: &Net) -> Outcome {
    let doing = format!("cannot listen at {}", args.address);
    let mut stop = console::stop_on_interrupt();
    let settings = RoomSettings {
        charset: args.talk.encoding.into(),
        ..RoomSettings::default()
    };
    let rooms = Rooms::bind(net, &args.address, settings).await;
    let rooms = rooms.map_err(|error| failure(&doing, &error))?;
    let at = rooms.local_addr().map_err(|error| failure(&doing, &error))?;
    let as_json = args.talk.json;
    listening(at, as_json);
    let mut input = console::lines();
    rooms
        .run(&mut input, &mut stop, |event| show_room(&event, as_json))
        .await
        .map_err(|error| failure("cannot accept clients", &error))?;
    Ok(match stop.is_stopped() {
        true => Code::Interrupted,
        false => Code::Well,
    })
}

fn show_room(event: &RoomEvent, as_json: bool) {
    let (what, peer, name, error) = match event {
        RoomEvent::Line(line) if as_json => return say_json(&json!({"event": "line", "text": line})),
        RoomEvent::Line(line) => return say(line),
        RoomEvent::Joined(peer, name) => ("joined", peer, name, None),
        RoomEvent::Left(peer, name) => ("left", peer, name, None),
        RoomEvent::Broken(peer, name, error) => ("broke off", peer, name, Some(error.to_string())),
        RoomEvent::LetGo(peer, name) => ("was let go", peer, name, None),
    };
    match (as_json, error) {
        (true, error) => {
            say_json(&json!({"event": what, "peer": peer.to_string(), "name": name, "error": error}));
        }
        (false, Some(error)) => note(&format!("{name} ({peer}) {what}: {error}")),
        (false, None) => note(&format!("{name} ({peer}) {what}")),
    }
}

async fn listen_udp(args: &ListenArgs, net: &Net) -> Outcome {
    let settings = args.talk.datagrams(First::Server)?;
    let doing = format!("cannot receive at {}", args.address);
    let socket = UdpSocket::bind(net, &args.address).await;
    let socket = socket.map_err(|error| failure(&doing, &error))?;
    let at = socket.local_addr().map_err(|error| failure(&doing, &error))?;
    listening(at, args.talk.json);
    crate::udp::hold(&socket, None, &settings, console::lines(), args.talk.json, &doing).await
}

pub(crate) async fn connect_udp(args: &ConnectArgs, net: &Net) -> Outcome {
    let settings = udp::Settings {
        goodbye: !args.no_goodbye,
        ..args.talk.datagrams(First::Client)?
    };
    let doing = format!("talking to {}", args.address);
    let told = |error| failure(&doing, &error);
    let to = lookup_host(net, &args.address).await.map_err(told)?.next();
    let socket = udp::open(net, to, &udp::Options::default()).await.map_err(told)?;
    if let Some(to) = to {
        // Only this peer is heard, and that nobody listens there is told.
        socket.connect(to).await.map_err(told)?;
    }
    crate::udp::hold(&socket, to, &settings, console::lines(), args.talk.json, &doing).await
}
