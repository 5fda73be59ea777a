//! `sockeye chat`: one to one, or several in rooms.

mod args;
mod show;

use std::io;
use std::time::Instant;

use sockeye_apps::chat::{
    self, Ending, Event, First, Input, Place, RoomSettings, Rooms, Server, Settings, Stream, converse,
};
use sockeye_apps::udp;
use sockeye_net::{Net, UdpSocket};

pub use args::{ChatCommand, ConnectArgs, ListenArgs, TalkArgs, Turns};
use show::Teller;

use crate::console::{self, Prompt, failure, note, say_json};
use crate::exit::{Code, Failure};
use crate::{Outcome, t, words};

/// A pipe goes on after the peer's end until it says nothing for this time.
const QUIET: std::time::Duration = std::time::Duration::from_millis(300);

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

fn listening(at: &Place, as_json: bool) {
    match as_json {
        true => say_json(&serde_json::json!({"event": "listening", "address": at.to_string()})),
        false => note(&t!("chat-listening", at = at.to_string())),
    }
}

/// The person's lines, with those of former times unless they are not wanted.
fn person(args: &TalkArgs) -> (Prompt, Input) {
    let history = match args.no_history {
        true => None,
        false => console::history_file("chat_history"),
    };
    console::person(Event::Ask.text(words::current(), First::Client), history)
}

/// What one to one and rooms have in common before they listen: the address in words, what fails in words.
macro_rules! bind {
    ($server:ident, $args:expr, $net:expr, $settings:expr) => {{
        #[cfg(target_os = "linux")]
        let bound = match $args.talk.local_name($net)? {
            Some(name) => {
                let bound = $server::bind_local($net, name, $settings).await;
                bound.map_err(|error| local_failure(&t!("console-cannot-listen", address = name.to_string()), &error))?
            }
            None => bind!(@ $server, $args, $net, $settings),
        };
        #[cfg(not(target_os = "linux"))]
        let bound = bind!(@ $server, $args, $net, $settings);
        bound
    }};
    (@ $server:ident, $args:expr, $net:expr, $settings:expr) => {{
        let doing = t!("console-cannot-listen", address = $args.address());
        let addresses = $args.addresses($net, &doing).await?;
        let bound = $server::bind($net, addresses, $settings).await;
        bound.map_err(|error| failure(&doing, &error))?
    }};
}

async fn listen(args: &ListenArgs, net: &Net) -> Outcome {
    let mut stop = console::stop_on_interrupt();
    let server = bind!(Server, args, net, args.talk.settings());
    let cannot = t!("console-cannot-accept");
    listening(
        &server.place().map_err(|error| failure(&cannot, &error))?,
        args.talk.json,
    );
    let (prompt, mut input) = person(&args.talk);
    let mut teller = Teller::new(&args.talk, First::Server, prompt);
    let ending = server
        .run(&mut input, &mut stop, |event| teller.tell(&event))
        .await
        .map_err(|error| failure(&cannot, &error))?;
    Ok(code(ending))
}

async fn keep_open(args: &ListenArgs, net: &Net) -> Outcome {
    let mut stop = console::stop_on_interrupt();
    let settings = RoomSettings {
        charset: args.talk.encoding.into(),
        ..RoomSettings::default()
    };
    let rooms = bind!(Rooms, args, net, settings);
    let cannot = t!("console-cannot-accept");
    listening(
        &rooms.place().map_err(|error| failure(&cannot, &error))?,
        args.talk.json,
    );
    let (prompt, mut input) = person(&args.talk);
    let teller = Teller::new(&args.talk, First::Server, prompt);
    prompt.ask();
    rooms
        .run(&mut input, &mut stop, |event| teller.tell_room(&event))
        .await
        .map_err(|error| failure(&cannot, &error))?;
    Ok(match stop.is_stopped() {
        true => Code::Interrupted,
        false => Code::Well,
    })
}

pub(crate) async fn connect(args: &ConnectArgs, net: &Net) -> Outcome {
    let mut stop = console::stop_on_interrupt();
    let since = Instant::now();
    let (stream, address) = tokio::select! {
        connected = reach(args, net) => connected?,
        () = stop.stopped() => return Ok(Code::Interrupted),
    };
    let doing = t!("console-talking", address = address);
    let told = |error| failure(&doing, &error);
    let (from, to) = (stream.local().map_err(told)?, stream.peer().map_err(told)?);
    let (prompt, mut input) = person(&args.talk);
    let mut teller = Teller::new(&args.talk, First::Client, prompt);
    teller.tell_ends(&from, &to, since);
    let settings = Settings {
        after_end: (!prompt.is_shown()).then_some(QUIET),
        silence: args.timeout.map(std::time::Duration::from),
        empty_ends: args.empty_ends,
        ..args.talk.settings()
    };
    let ending = converse(stream, First::Client, &settings, &mut input, &mut stop, |event| {
        teller.tell(&event);
    });
    Ok(code(ending.await.map_err(told)?))
}

/// The connection that was asked for, and whose address it is in words.
async fn reach(args: &ConnectArgs, net: &Net) -> Result<(Stream, String), Failure> {
    #[cfg(target_os = "linux")]
    if let Some(name) = args.talk.local_name(net)? {
        let stream = console::within(args.timeout, chat::connect_local(net, name)).await;
        let doing = t!("console-cannot-connect", address = name.to_string());
        return match stream {
            Ok(stream) => Ok((stream, name.to_string())),
            Err(error) => Err(local_failure(&doing, &error)),
        };
    }
    let address = args.address();
    let doing = t!("console-cannot-connect", address = address);
    let (to, from) = args.addresses(net, &doing).await?;
    let stream = console::within(args.timeout, chat::connect_from(net, &to, from)).await;
    Ok((stream.map_err(|error| failure(&doing, &error))?.into(), address))
}

async fn listen_udp(args: &ListenArgs, net: &Net) -> Outcome {
    let settings = args.talk.datagrams(First::Server)?;
    let doing = t!("udp-cannot-receive", address = args.address());
    let socket = UdpSocket::bind(net, args.addresses(net, &doing).await?).await;
    let socket = socket.map_err(|error| failure(&doing, &error))?;
    let at = socket.local_addr().map_err(|error| failure(&doing, &error))?;
    listening(&at.into(), args.talk.json);
    let person = || person(&args.talk);
    crate::udp::hold(&socket, None, &settings, person, args.talk.json, &doing).await
}

pub(crate) async fn connect_udp(args: &ConnectArgs, net: &Net) -> Outcome {
    let mut settings = udp::Settings {
        goodbye: !args.no_goodbye,
        ..args.talk.datagrams(First::Client)?
    };
    if let Some(timeout) = args.timeout {
        settings.linger = timeout.into();
    }
    let doing = t!("console-talking", address = args.address());
    let told = |error| failure(&doing, &error);
    let (to, bind) = args.addresses(net, &doing).await?;
    let to = to.first().copied();
    let options = udp::Options {
        bind,
        ..udp::Options::default()
    };
    let socket = udp::open(net, to, &options).await.map_err(told)?;
    if let Some(to) = to {
        // Only this peer is heard, and that nobody listens there is told.
        socket.connect(to).await.map_err(told)?;
    }
    let person = || person(&args.talk);
    crate::udp::hold(&socket, to, &settings, person, args.talk.json, &doing).await
}

/// What went wrong with a name of AF_UNIX.
#[cfg(target_os = "linux")]
fn local_failure(doing: &str, error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let (code, advice) = match error.kind() {
        Kind::NotFound | Kind::ConnectionRefused => (Code::Refused, t!("advice-unix-nobody")),
        Kind::AddrInUse => (Code::Network, t!("advice-unix-in-use")),
        Kind::AlreadyExists => (Code::Network, t!("advice-unix-file")),
        Kind::PermissionDenied => (Code::Network, t!("advice-unix-not-permitted")),
        Kind::WouldBlock => (Code::Network, t!("advice-unix-full")),
        _ => return failure(doing, error),
    };
    let error = words::current().error(error);
    Failure::new(
        code,
        t!("failure-told", doing = doing, error = error, advice = advice),
    )
}
