//! `sockeye udp`: datagrams, a line each.

use std::net::{IpAddr, SocketAddr};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sockeye_apps::chat::Input;
use sockeye_apps::udp::{self, Ending, Event, Manner, Settings, exchange};
use sockeye_net::{Net, UdpSocket, lookup_host};

use crate::console::{self, Encoding, Prompt, failure, note, say, say_json};
use crate::exit::Code;
use crate::lab::alone::LabArgs;
use crate::{Outcome, t, words};

/// What can be done with datagrams.
#[derive(Subcommand, Debug)]
pub enum UdpCommand {
    /// Send each line as a datagram. `exit` ends; an empty line is an empty datagram.
    #[command(after_help = SEND_HELP)]
    Send(SendArgs),
    /// Show each datagram with its sender, until Ctrl-C.
    #[command(after_help = RECV_HELP)]
    Recv(RecvArgs),
    /// Send lines to one address, and show what comes from anybody. `exit` ends.
    #[command(after_help = CHAT_HELP)]
    Chat(SendArgs),
}

const SEND_HELP: &str = "\
Examples:
  sockeye udp send 127.0.0.1:8080
  sockeye udp send 10.141.98.172:8080 --bind 0.0.0.0:7890
  sockeye udp send 255.255.255.255:9000 --broadcast
  echo hello | sockeye udp send 239.1.2.3:9000
  sockeye udp send server:9000 --net lab --loss 30%    in a lab, where some arrive

A datagram carries at most 65507 octets over IPv4, 65527 over IPv6. Whether one arrives, nobody says.
Exit codes: 0 ended in good order, 2 wrong command line, 3 some input could not be read, 7 an error of the
network, 130 interrupted.";

const RECV_HELP: &str = "\
Examples:
  sockeye udp recv 8080                                at all addresses of this machine
  sockeye udp recv 127.0.0.1:8080                      only what is sent to 127.0.0.1
  sockeye udp recv 9000 --join 239.1.2.3               what is sent to a multicast group

Exit codes: 2 wrong command line, 7 the address cannot be had, 130 interrupted.";

const CHAT_HELP: &str = "\
Examples:
  sockeye udp chat 127.0.0.1:8080 --bind 127.0.0.1:7890
  sockeye udp chat 239.1.2.3:9000 --bind 0.0.0.0:9000 --join 239.1.2.3

Exit codes: 0 ended in good order, 2 wrong command line, 3 some input could not be read, 7 an error of the
network, 130 interrupted.";

/// What `udp send` and `udp chat` take.
#[derive(Args, Clone, Debug)]
pub struct SendArgs {
    /// To whom: HOST:PORT, or PORT at this machine.
    #[arg(value_name = "ADDR", value_parser = console::peer_address)]
    pub address: String,
    /// Our own address: HOST:PORT, or PORT. Without it the operating system chooses.
    #[arg(long, value_name = "ADDR", value_parser = console::listen_address)]
    pub bind: Option<String>,
    /// May send to a broadcast address.
    #[arg(long)]
    pub broadcast: bool,
    /// How many routers a multicast over IPv4 may pass, plus one.
    #[arg(long, value_name = "HOPS", value_parser = clap::value_parser!(u32).range(0..=255))]
    pub multicast_ttl: Option<u32>,
    /// How it is held.
    #[command(flatten)]
    pub common: CommonArgs,
    /// What the network of a lab is like.
    #[command(flatten)]
    pub lab: LabArgs,
}

/// What `udp recv` takes.
#[derive(Args, Clone, Debug)]
pub struct RecvArgs {
    /// Where: HOST:PORT, or PORT at all addresses.
    #[arg(value_name = "ADDR", value_parser = console::listen_address)]
    pub address: String,
    /// How it is held.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// What all take.
#[derive(Args, Clone, Debug)]
pub struct CommonArgs {
    /// Receive what is sent to this multicast group. Can be given several times.
    #[arg(long, value_name = "GROUP")]
    pub join: Vec<IpAddr>,
    /// How text is encoded on the network.
    #[arg(long, value_enum, default_value_t = Encoding::Utf8)]
    pub encoding: Encoding,
    /// Tell each event as a line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs it on sockets of `net`.
///
/// # Errors
/// What went wrong on the network.
pub fn command(command: &UdpCommand, net: &Net) -> Outcome {
    match command {
        UdpCommand::Send(args) => console::run(net, send(args, net, Manner::Send)),
        UdpCommand::Chat(args) => console::run(net, send(args, net, Manner::Both)),
        UdpCommand::Recv(args) => console::run(net, recv(args, net)),
    }
}

pub(crate) async fn send(args: &SendArgs, net: &Net, manner: Manner) -> Outcome {
    let doing = t!("udp-cannot-send", address = args.address);
    let to = first(net, &args.address, &doing).await?;
    let bind = match &args.bind {
        None => None,
        Some(bind) => Some(first(net, bind, &t!("udp-cannot-use", address = bind)).await?),
    };
    let options = udp::Options {
        bind,
        broadcast: args.broadcast,
        join: args.common.join.clone(),
        multicast_ttl: args.multicast_ttl,
    };
    let cannot = match &args.bind {
        Some(bind) => t!("udp-cannot-use", address = bind),
        None => t!("udp-cannot-use-any"),
    };
    let socket = udp::open(net, Some(to), &options).await;
    let socket = socket.map_err(|error| failure(&cannot, &error))?;
    let settings = Settings {
        charset: args.common.encoding.into(),
        ..Settings::new(manner)
    };
    let person = || console::person(Event::Ask.text(words::current()), None);
    hold(&socket, Some(to), &settings, person, args.common.json, &doing).await
}

async fn recv(args: &RecvArgs, net: &Net) -> Outcome {
    let doing = t!("udp-cannot-receive", address = args.address);
    let options = udp::Options {
        bind: Some(first(net, &args.address, &doing).await?),
        join: args.common.join.clone(),
        ..udp::Options::default()
    };
    let told = |error| failure(&doing, &error);
    let socket = udp::open(net, None, &options).await.map_err(told)?;
    let at = socket.local_addr().map_err(told)?;
    match args.common.json {
        true => say_json(&json!({"event": "listening", "address": at.to_string()})),
        false => note(&t!("udp-receiving", at = at)),
    }
    let settings = Settings {
        charset: args.common.encoding.into(),
        ..Settings::new(Manner::Receive)
    };
    let (_keep, input) = console::no_lines();
    let nobody = || (Prompt::None, input);
    hold(&socket, None, &settings, nobody, args.common.json, &doing).await
}

async fn first(net: &Net, address: &str, doing: &str) -> Result<SocketAddr, crate::exit::Failure> {
    let found = lookup_host(net, address).await;
    let mut found = found.map_err(|error| failure(doing, &error))?;
    found
        .next()
        .ok_or_else(|| failure(doing, &std::io::ErrorKind::NotFound.into()))
}

/// Holds an exchange, and shows it. `person` opens the person's lines, once signals are heard.
pub(crate) async fn hold(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    settings: &Settings,
    person: impl FnOnce() -> (Prompt, Input),
    as_json: bool,
    doing: &str,
) -> Outcome {
    let mut stop = console::stop_on_interrupt();
    let (prompt, mut input) = person();
    let tell = |event: Event| show(&event, as_json, prompt);
    match exchange(socket, to, settings, &mut input, &mut stop, tell).await {
        Ok(Ending::Stopped) => Ok(Code::Interrupted),
        Ok(Ending::Quit | Ending::PeerQuit | Ending::EndOfInput) => Ok(Code::Well),
        Err(error) => Err(failure(doing, &error)),
    }
}

fn show(event: &Event, as_json: bool, prompt: Prompt) {
    if as_json {
        return match as_value(event) {
            Some(value) => say_json(&value),
            None => prompt.asked(),
        };
    }
    let Some(text) = event.text(words::current()) else {
        return;
    };
    match event {
        Event::Ask => prompt.ask_with(&text),
        Event::Received(..) => {
            prompt.leave();
            say(&text);
        }
        _ => {
            prompt.leave();
            note(&text);
        }
    }
}

fn as_value(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Ask => return None,
        Event::Received(from, text, octets) => {
            json!({"event": "received", "peer": from.to_string(), "octets": octets, "text": text})
        }
        Event::Sent(to, octets) => json!({"event": "sent", "peer": to.to_string(), "octets": octets}),
        Event::CannotEncode(error) => json!({"event": "refused", "reason": error.to_string()}),
        Event::TooLong(octets, limit) => {
            json!({"event": "refused", "reason": "too long", "octets": octets, "limit": limit})
        }
        Event::NobodyYet => json!({"event": "refused", "reason": "nobody to answer"}),
        Event::NoAnswer(to) => json!({"event": "no-answer", "peer": to.to_string()}),
        Event::PeerLeft(peer) => json!({"event": "peer-left", "peer": peer.to_string()}),
        Event::Left(peer) => json!({"event": "left", "peer": peer.to_string()}),
    })
}
