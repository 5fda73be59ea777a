//! `sockeye upper`: the upper-casing server and its client.

use clap::{Args, Subcommand};
use serde_json::json;
use sockeye_apps::upper::{Client, Ending, Event, Server, Settings, Told, converse};
use sockeye_net::Net;
use sockeye_stack::Duration;

use crate::console::{self, Prompt, failure, note, remark, say, say_json};
use crate::exit::Code;
use crate::lab::alone::LabArgs;
use crate::{Outcome, t, values, words};

/// What can be done with capitals.
#[derive(Subcommand, Debug)]
pub enum UpperCommand {
    /// Serve: text comes in, capitals go back.
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Send lines, and show the answers.
    #[command(after_help = CONNECT_HELP)]
    Connect(ConnectArgs),
}

const SERVE_HELP: &str = "\
Examples:
  sockeye upper serve 127.0.0.1:8000
  sockeye upper serve 8000 --one-at-a-time     others wait in the accept queue

It serves until Ctrl-C. Exit codes: 2 wrong command line, 7 the address cannot be had, 130 interrupted.";

const CONNECT_HELP: &str = "\
Examples:
  sockeye upper connect 127.0.0.1:8000         type lines; Q or the end of input closes
  echo python | sockeye upper connect 8000
  sockeye upper connect server:8000 --net lab --loss 20%   in a lab, with a server of its own

Exit codes: 0 closed in good order, 2 wrong command line, 3 some input could not be read, 4 refused,
5 timed out, 6 reset, 7 another error of the network, 130 interrupted.";

/// What `upper serve` takes.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Where to listen: HOST:PORT, or PORT at all addresses.
    #[arg(value_name = "ADDR", value_parser = console::listen_address)]
    pub address: String,
    /// Serve one client after the other, in the order in which they came.
    #[arg(long)]
    pub one_at_a_time: bool,
    /// Tell each event as a line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// What `upper connect` takes.
#[derive(Args, Clone, Debug)]
pub struct ConnectArgs {
    /// The server: HOST:PORT, or PORT at this machine.
    #[arg(value_name = "ADDR", value_parser = console::peer_address)]
    pub address: String,
    /// Give up connecting after this time: 3s, 500ms. Without it the operating system decides.
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub timeout: Option<Duration>,
    /// What the network of a lab is like.
    #[command(flatten)]
    pub lab: LabArgs,
}

/// Runs it on sockets of `net`.
///
/// # Errors
/// What went wrong on the network.
pub fn command(command: &UpperCommand, net: &Net) -> Outcome {
    match command {
        UpperCommand::Serve(args) => console::run(net, serve(args, net)),
        UpperCommand::Connect(args) => console::run(net, connect(args, net)),
    }
}

async fn serve(args: &ServeArgs, net: &Net) -> Outcome {
    let settings = Settings {
        backlog: 128,
        clients: if args.one_at_a_time { 1 } else { 1024 },
        ..Settings::default()
    };
    let doing = t!("console-cannot-listen", address = args.address);
    let mut stop = console::stop_on_interrupt();
    let server = Server::bind(net, &args.address, settings).await;
    let server = server.map_err(|error| failure(&doing, &error))?;
    let at = server.local_addr().map_err(|error| failure(&doing, &error))?;
    let as_json = args.json;
    match as_json {
        true => say_json(&json!({"event": "listening", "address": at.to_string()})),
        false => note(&t!("upper-listening", at = at)),
    }
    let run = server.run(move |event| match as_json {
        true => say_json(&as_value(&event)),
        false => say(&event.text(words::current())),
    });
    tokio::select! {
        result = run => result.map_err(|error| failure(&t!("console-cannot-accept"), &error))?,
        () = stop.stopped() => {}
    }
    Ok(Code::Interrupted)
}

fn as_value(event: &Event) -> serde_json::Value {
    match event {
        Event::Accepted(peer) => json!({"event": "accepted", "peer": peer.to_string()}),
        Event::Received(peer, octets) => json!({
            "event": "received", "peer": peer.to_string(), "octets": octets.len(),
            "text": String::from_utf8_lossy(octets),
        }),
        Event::Closed(peer) => json!({"event": "closed", "peer": peer.to_string()}),
        Event::Broken(peer, error) => {
            json!({"event": "broken", "peer": peer.to_string(), "error": error.to_string()})
        }
    }
}

pub(crate) async fn connect(args: &ConnectArgs, net: &Net) -> Outcome {
    let mut stop = console::stop_on_interrupt();
    let connecting = console::within(args.timeout, Client::connect(net, &args.address));
    let client = tokio::select! {
        client = connecting => client,
        () = stop.stopped() => return Ok(Code::Interrupted),
    };
    let client =
        client.map_err(|error| failure(&t!("console-cannot-connect", address = args.address), &error))?;
    let doing = t!("console-talking", address = args.address);
    let ask = Told::Ask.text(words::current());
    let (prompt, mut input) = console::person(Some(ask), None);
    if prompt.is_shown() {
        note(&t!("upper-connected"));
    }
    let ending = converse(client, &mut input, &mut stop, |told| show(&told, prompt)).await;
    match ending.map_err(|error| failure(&doing, &error))? {
        Ending::Stopped => Ok(Code::Interrupted),
        Ending::Quit | Ending::EndOfInput => Ok(Code::Well),
    }
}

fn show(told: &Told, prompt: Prompt) {
    let text = told.text(words::current());
    match told {
        Told::Ask => prompt.ask_with(&text),
        Told::Sent if !prompt.is_shown() => {}
        Told::Sent | Told::Empty => remark(&text),
        Told::Answer(_) => say(&text),
    }
}
