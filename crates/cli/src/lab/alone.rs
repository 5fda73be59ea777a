//! `--net lab`: a program and its counterpart on a virtual network of their own, inside this process.
//!
//! ```text
//!   client 10.0.0.1, fd00::1 ────── one link ────── server 10.0.0.2, fd00::2
//!     the command's program                          what it asks for
//! ```

use std::net::{Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use sockeye_apps::chat::{self, First};
use sockeye_apps::line::{Stop, shown};
use sockeye_apps::tftp;
use sockeye_apps::udp::{self, Manner};
use sockeye_apps::upper;
use sockeye_lab::{Direction, Lab, World, ms, run};
use sockeye_net::{Net, UdpSocket};
use tokio::sync::mpsc;

use super::desk::Desk;
use crate::chat::ChatCommand;
use crate::console::{failure, finished, note, say, say_json};
use crate::exit::{Code, Failure};
use crate::tftp::{TftpArgs, TftpCommand};
use crate::udp::UdpCommand;
use crate::upper::UpperCommand;
use crate::{Outcome, t, values};

/// How long closing handshakes may take, on the network's clock.
const FINISH: Duration = Duration::from_secs(600);
/// What the server of a lab is called there, and its addresses.
const SERVER: [&str; 3] = ["server", "10.0.0.2", "fd00::2"];
/// The address that all of the server's are.
const ANY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

/// What the network of `--net lab` is like.
#[derive(Args, Clone, Debug, Default)]
pub struct LabArgs {
    /// Share of frames that the link loses, each way: 5% or 0.05.
    #[arg(long, value_name = "SHARE", value_parser = values::share, help_heading = HEADING)]
    pub loss: Option<f64>,
    /// How long a frame travels, one way: 10ms (that is the default), 250us, 1.5s.
    #[arg(long, value_name = "TIME", value_parser = values::duration, help_heading = HEADING)]
    pub delay: Option<sockeye_stack::Duration>,
    /// Bits a second: 10mbit, 64kbit. Without it a frame takes no time to leave.
    #[arg(long, value_name = "RATE", value_parser = values::rate, help_heading = HEADING)]
    pub rate: Option<u64>,
    /// All chance comes from this number (default: 1).
    #[arg(long, value_name = "NUMBER", help_heading = HEADING)]
    pub seed: Option<u64>,
}

/// Over these options in a program's help.
pub const HEADING: &str = "With --net lab";

impl LabArgs {
    /// Whether any was given.
    pub fn are_given(&self) -> bool {
        let LabArgs {
            loss,
            delay,
            rate,
            seed,
        } = self;
        loss.is_some() || delay.is_some() || rate.is_some() || seed.is_some()
    }
}

/// Where client and server have their sockets.
struct Nets {
    client: Net,
    server: Net,
}

/// Runs a program on the client, on the network's time. `program` starts the counterpart.
fn alone<T, F>(figures: &LabArgs, program: impl FnOnce(Nets) -> F) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut world = World::new(figures.seed.unwrap_or(1));
    let client = world.host("client").ip("10.0.0.1/24").ip("fd00::1/64").id();
    let server = world.host("server").ip("10.0.0.2/24").ip("fd00::2/64").id();
    let mut link = world
        .link(client, server)
        .delay(figures.delay.unwrap_or(ms(10)))
        .loss(figures.loss.unwrap_or(0.0));
    if let Some(rate) = figures.rate {
        link = link.rate(rate);
    }
    let link = link.id();
    let (result, world) = run(world, |lab: Lab| {
        let desk = Desk::new(lab.clone(), [client, server]);
        let nets = Nets {
            client: lab.net_of(client),
            server: lab.net_of(server),
        };
        let ours = nets.client.clone();
        let program = program(nets);
        desk.clone().at(async move {
            let result = program.await;
            // What is on its way still arrives, and connections close.
            desk.rest().await;
            let _ = tokio::time::timeout(FINISH, ours.finished()).await;
            result
        })
    });
    let lanes = [Direction::Forward, Direction::Backward].map(|way| world.link_stats(link, way));
    let (frames, lost) = (lanes[0].sent + lanes[1].sent, lanes[0].lost + lanes[1].lost);
    let time = world.now().since(sockeye_stack::Instant::ZERO);
    note(&t!("lab-was", frames = frames, lost = lost, time = time));
    result
}

/// The port of the lab's server in an address that a person wrote.
fn port_of(address: &str) -> Result<u16, Failure> {
    let parts = address.rsplit_once(':');
    let told = parts.and_then(|(host, port)| Some((host.trim_matches(['[', ']']), port.parse().ok()?)));
    let (host, port) = told.unwrap_or((address, 0));
    is_server(host).map(|()| port)
}

/// There is nobody else in a lab.
fn is_server(host: &str) -> Result<(), Failure> {
    match SERVER.contains(&host.to_ascii_lowercase().as_str()) {
        true => Ok(()),
        false => Err(Failure::new(Code::Usage, t!("lab-only-server", host = host))),
    }
}

/// A command that waits for others, of whom there are none.
fn nobody_comes() -> Failure {
    Failure::new(Code::Usage, t!("lab-nobody-comes"))
}

/// `sockeye upper` in a lab: its client, and the server with the usual settings.
///
/// # Errors
/// What went wrong on the network; or that it is not the client.
pub fn upper(command: &UpperCommand) -> Outcome {
    let UpperCommand::Connect(args) = command else {
        return Err(nobody_comes());
    };
    let (args, port) = (args.clone(), port_of(&args.address)?);
    let outcome = alone(&args.lab.clone(), move |nets| async move {
        let server = upper::Server::bind(&nets.server, (ANY, port), upper::Settings::default()).await;
        let server = server.map_err(cannot_listen)?;
        tokio::spawn(server.run(|_| {}));
        crate::upper::connect(&args, &nets.client).await
    });
    finished(outcome)
}

fn cannot_listen(error: std::io::Error) -> Failure {
    failure(&t!("console-cannot-listen", address = "server"), &error)
}

/// `sockeye chat` in a lab: one who connects, and a server that says everything back.
///
/// # Errors
/// What went wrong on the network; or that it is one who listens.
pub fn chat(command: &ChatCommand) -> Outcome {
    let ChatCommand::Connect(args) = command else {
        return Err(nobody_comes());
    };
    let (args, port) = (args.clone(), port_of(&args.address())?);
    let outcome = alone(&args.lab.clone(), move |nets| async move {
        if args.talk.udp {
            echo_datagrams(&nets.server, port).await?;
            return crate::chat::connect_udp(&args, &nets.client).await;
        }
        let settings = args.talk.settings();
        let server = chat::Server::bind(&nets.server, (ANY, port), settings).await;
        tokio::spawn(echo(server.map_err(cannot_listen)?, settings.turns));
        crate::chat::connect(&args, &nets.client).await
    });
    finished(outcome)
}

/// Says each message back; and something of its own, if its turn is first.
async fn echo(server: chat::Server, turns: Option<First>) {
    let (to, mut input) = mpsc::channel(1024);
    if turns == Some(First::Server) {
        let _ = to.try_send(t!("lab-greeting"));
    }
    let tell = move |event| match event {
        // A server that is told more than it can say back misses some; so does a person.
        chat::Event::Message(_, text) if !chat::is_quit(&text) => drop(to.try_send(text)),
        _ => {}
    };
    // What becomes of it, the client sees.
    let _ = server.run(&mut input, &mut Stop::never(), tell).await;
}

/// Sends each datagram back to where it came from.
async fn echo_datagrams(net: &Net, port: u16) -> Result<(), Failure> {
    let socket = UdpSocket::bind(net, (ANY, port)).await.map_err(cannot_listen)?;
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        // An error is one of a datagram before: the next may fare better.
        loop {
            if let Ok((n, from)) = socket.recv_from(&mut buffer).await {
                let _ = socket.send_to(&buffer[..n], from).await;
            }
        }
    });
    Ok(())
}

/// `sockeye udp` in a lab: `send` to one who shows what arrives, `chat` with one who sends everything back.
///
/// # Errors
/// What went wrong on the network; or that it only receives.
pub fn udp(command: &UdpCommand) -> Outcome {
    let (args, manner) = match command {
        UdpCommand::Send(args) => (args.clone(), Manner::Send),
        UdpCommand::Chat(args) => (args.clone(), Manner::Both),
        UdpCommand::Recv(_) => return Err(nobody_comes()),
    };
    let port = port_of(&args.address)?;
    let outcome = alone(&args.lab.clone(), move |nets| async move {
        match manner {
            Manner::Send => show_datagrams(&nets.server, port, args.common.json).await?,
            _ => echo_datagrams(&nets.server, port).await?,
        }
        crate::udp::send(&args, &nets.client, manner).await
    });
    finished(outcome)
}

/// Shows what arrives at the server.
async fn show_datagrams(net: &Net, port: u16, as_json: bool) -> Result<(), Failure> {
    let socket = UdpSocket::bind(net, (ANY, port)).await.map_err(cannot_listen)?;
    tokio::spawn(async move {
        let (_keep, mut input) = mpsc::channel(1);
        let settings = udp::Settings::new(Manner::Receive);
        let tell = |event| {
            let udp::Event::Received(from, text, octets) = event else {
                return;
            };
            // The socket takes both families, and has IPv4's addresses in the other's form.
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            match as_json {
                true => say_json(&json!({
                    "event": "arrived", "peer": from.to_string(), "octets": octets, "text": text,
                })),
                false => say(&t!("lab-arrived", from = from, text = shown(&text))),
            }
        };
        udp::exchange(&socket, None, &settings, &mut input, &mut Stop::never(), tell).await
    });
    Ok(())
}

/// `sockeye tftp get` and `put` in a lab: the server has a directory of this machine.
pub fn tftp(args: TftpArgs) -> ExitCode {
    match tftp_served(args) {
        Ok(code) => code,
        Err(failure) => crate::ended(Err(failure)),
    }
}

fn tftp_served(args: TftpArgs) -> Result<ExitCode, Failure> {
    let (url, directory, figures) = match &args.command {
        TftpCommand::Get(get) => (&get.url, &get.ask.serve, &get.ask.lab),
        TftpCommand::Put(put) => (&put.url, &put.ask.serve, &put.ask.lab),
        TftpCommand::Serve(_) | TftpCommand::Explain(_) => return Err(nobody_comes()),
    };
    is_server(&url.host)?;
    let Some(directory) = directory else {
        return Err(Failure::new(Code::Usage, t!("lab-no-directory")));
    };
    let options = tftp::server::Options {
        listen: format!("[::]:{}", url.port),
        uploads: tftp::root::Uploads::Create,
        ..tftp::server::Options::new(directory)
    };
    let figures = figures.clone();
    let started = alone(&figures, move |nets| async move {
        let server = tftp::server::Server::bind(&nets.server, options, Arc::new(|_| {})).await;
        let server = server.map_err(|error| Failure::new(Code::Input, error.to_string()))?;
        tokio::spawn(server.run(std::future::pending()));
        Ok(crate::tftp::command(&args, &nets.client).await)
    });
    Ok(crate::tftp::ended(started?))
}
