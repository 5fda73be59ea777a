//! `sockeye lab upper`: lines from a person to an upper-casing server, over a network of the person's choice.

use std::fmt;
use std::io::{self, BufRead, IsTerminal, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use sockeye_apps::upper::{Client, Server, Settings, Told, talk};
use sockeye_lab::{Direction, Lab, LinkId, NodeId, World, run, secs};
use sockeye_stack::tcp::State;
use sockeye_stack::{Instant, Profile};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};

use crate::args::UpperArgs;
use crate::exit::{Code, Failure};
use crate::output::{Files, Readers, Shared};
use crate::{Outcome, t, words};

const PORT: u16 = 8000;

/// Runs it on the standard streams.
///
/// # Errors
/// See [`upper`].
pub fn command(args: &UpperArgs) -> Outcome {
    let prompt = io::stdin()
        .is_terminal()
        .then(|| Told::Ask.text(words::current()));
    if prompt.is_some() {
        eprintln!("{}", t!("lab-upper-hello"));
    }
    upper(args, prompt, io::BufReader::new(io::stdin()), io::stdout())?;
    Ok(Code::Well)
}

/// What became of a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Frames that entered the link, both ways.
    pub sent: u64,
    /// Of these, lost.
    pub lost: u64,
    /// When the last socket was gone, TIME-WAIT included.
    pub end: Instant,
}

/// Client and server on one link; each line of `input` is asked, each answer written to `output`, with the
/// diagram around them unless it is to be quiet. Reads of `input` may block: the world stands still
/// meanwhile.
///
/// # Errors
/// The first thing that failed: the connection, a file, the output.
pub fn upper<R, W>(args: &UpperArgs, prompt: Option<String>, input: R, output: W) -> Result<Summary, Failure>
where
    R: BufRead + Send + Unpin + 'static,
    W: Write + Send + Unpin + 'static,
{
    if args.ipv6 && args.mtu < 1280 {
        let text = t!("lab-upper-mtu", mtu = args.mtu);
        return Err(Failure::new(Code::Usage, text));
    }
    let output = Shared::new(output);
    let mut net = build(args);
    let mut files = Files::new(&args.view)?;
    let readers = Readers::new(
        output.clone(),
        &net.world.cast(),
        args.view.style(),
        args.view.quiet,
        files.open_next()?,
    )?;
    let needed = readers.is_needed();
    let readers = Shared::new(Some(readers));
    if needed {
        let to = readers.clone();
        net.world.subscribe(move |record| {
            if let Some(readers) = &mut *to.lock() {
                readers.handle_record(record);
            }
        });
        let about = about(args);
        net.world.note(net.client, &about);
    }

    let (client, server, link) = (net.client, net.server, net.link);
    let (seen, out) = (readers.clone(), output.clone());
    let (result, mut world) = run(net.world, move |lab: Lab| async move {
        let told = needed.then(|| lab.clone());
        let input = Lines {
            input,
            rest: Vec::new(),
            prompt,
            told,
            client,
            server,
            readers: seen.clone(),
            out: out.clone(),
        };
        converse(&lab, client, server, input, Answers { readers: seen, out }).await
    });
    let over = world.run_until(secs(3600), |world| {
        is_quiet(world, client) && is_quiet(world, server)
    });
    let stats = [Direction::Forward, Direction::Backward].map(|way| world.link_stats(link, way));
    let summary = Summary {
        sent: stats[0].sent + stats[1].sent,
        lost: stats[0].lost + stats[1].lost,
        end: world.now(),
    };
    if needed && result.is_ok() && over {
        let text = format!(
            "both ends CLOSED; {} frames were sent, {} lost",
            summary.sent, summary.lost
        );
        world.note(client, &text);
    }
    let finished = match readers.lock().take() {
        Some(readers) => readers.finish(),
        None => Ok(()),
    };
    result?;
    finished?;
    Ok(summary)
}

struct Network {
    world: World,
    client: NodeId,
    server: NodeId,
    link: LinkId,
}

fn build(args: &UpperArgs) -> Network {
    let mut world = World::new(args.seed);
    let profile = Profile::from(args.profile);
    let [at_client, at_server] = match args.ipv6 {
        false => ["10.0.0.1/24", "10.0.0.2/24"],
        true => ["fd00::1/64", "fd00::2/64"],
    };
    let client = world
        .host("client")
        .profile(profile)
        .ip(at_client)
        .mtu(args.mtu)
        .id();
    let server = world
        .host("server")
        .profile(profile)
        .ip(at_server)
        .mtu(args.mtu)
        .id();
    let mut link = world
        .link(client, server)
        .delay(args.delay)
        .loss(args.loss)
        .mtu(args.mtu);
    if let Some(rate) = args.rate {
        link = link.rate(rate);
    }
    let link = link.id();
    Network {
        world,
        client,
        server,
        link,
    }
}

fn about(args: &UpperArgs) -> String {
    let mut text = format!("one link: {} each way", args.delay);
    if let Some(rate) = args.rate {
        text.push_str(&format!(", {rate} bit/s"));
    }
    text.push_str(&format!(
        ", {} % loss, MTU {}, seed {}",
        percent(args.loss),
        args.mtu,
        args.seed
    ));
    text
}

/// A share in per cent, without the noise of binary fractions.
fn percent(share: f64) -> f64 {
    (share * 1e6).round() / 1e4
}

async fn converse<R: BufRead + Send + Unpin, W: Write + Send + Unpin>(
    lab: &Lab,
    client: NodeId,
    server: NodeId,
    input: Lines<R, W>,
    answers: Answers<W>,
) -> Result<(), Failure> {
    let there = lab.net_of(server);
    let listening = Server::bind(&there, ("server", PORT), Settings::default()).await;
    let listening = listening.map_err(|error| Failure::network(&t!("lab-upper-cannot-listen"), &error))?;
    tokio::spawn(listening.run(|_| {}));
    let connected = Client::connect(&lab.net_of(client), ("server", PORT)).await;
    let connected = connected.map_err(|error| Failure::network(&t!("lab-upper-cannot-connect"), &error))?;
    let ended = talk(connected, BufReader::new(input), answers).await;
    ended.map(drop).map_err(
        |error| match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(Stream::Input(error)) => Failure::input(error),
            Some(Stream::Output(error)) => Failure::output(error),
            None if error.kind() == io::ErrorKind::InvalidInput => Failure::input(&error),
            None => Failure::network(&t!("lab-upper-failed"), &error),
        },
    )
}

/// An error of a standard stream, so that it is not taken for one of the network.
#[derive(Debug)]
enum Stream {
    Input(io::Error),
    Output(io::Error),
}
impl Stream {
    fn input(error: io::Error) -> io::Error {
        io::Error::other(Stream::Input(error))
    }
    fn output(error: io::Error) -> io::Error {
        io::Error::other(Stream::Output(error))
    }
}
impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stream::Input(error) | Stream::Output(error) => error.fmt(f),
        }
    }
}
impl std::error::Error for Stream {}

/// Whether no connection is left here, in whatever state.
fn is_quiet(world: &mut World, host: NodeId) -> bool {
    let snapshot = world.stack(host).snapshot();
    snapshot
        .sockets
        .iter()
        .all(|row| row.state == Some(State::Listen))
}

/// The client's end of the connection and the server's: window, round trip, octets in flight.
fn figures(world: &mut World, ends: [NodeId; 2]) -> String {
    let now = world.now();
    let ends = ends.map(|node| {
        let name = world.host_handle(node).name().to_string();
        let mut stack = world.stack(node);
        let rows = stack.snapshot().sockets;
        let open = rows
            .iter()
            .find(|row| row.state == Some(State::Established))
            .and_then(|row| row.id);
        let info = open.and_then(|id| stack.tcp(now, id).ok()?.info());
        match info {
            None => format!("{name}: no connection"),
            Some(info) => format!(
                "{name}: cwnd {}, RTT {}, RTO {}, in flight {}",
                info.cwnd, info.srtt, info.rto, info.flight
            ),
        }
    });
    ends.join(" | ")
}

/// The person's lines. A read blocks, and the world with it.
struct Lines<R, W: Write> {
    input: R,
    /// Of the last line, what did not fit.
    rest: Vec<u8>,
    prompt: Option<String>,
    /// Where notes go, if anybody reads them.
    told: Option<Lab>,
    client: NodeId,
    server: NodeId,
    readers: Shared<Option<Readers<Shared<W>>>>,
    out: Shared<W>,
}

impl<R: BufRead, W: Write> Lines<R, W> {
    fn read_line(&mut self) -> io::Result<()> {
        if let Some(lab) = &self.told {
            lab.with(|world| {
                let text = figures(world, [self.client, self.server]);
                world.note(self.client, &text);
            });
        }
        if let Some(readers) = &mut *self.readers.lock() {
            readers.flush();
        }
        if let Some(prompt) = &self.prompt {
            self.out.write_all(prompt.as_bytes()).map_err(Stream::output)?;
            self.out.flush().map_err(Stream::output)?;
        }
        self.input
            .read_until(b'\n', &mut self.rest)
            .map_err(Stream::input)?;
        if let Some(lab) = &self.told {
            let line = String::from_utf8_lossy(&self.rest);
            let line = line.trim_end_matches(['\n', '\r']);
            let text = match line {
                _ if self.rest.is_empty() => "end of input: the client closes".to_string(),
                line if sockeye_apps::upper::is_quit(line) => format!("{line}: the client closes"),
                line if line.trim().is_empty() => "an empty line: nothing to send".to_string(),
                line => format!("the client sends {line:?}"),
            };
            lab.with(|world| world.note(self.client, &text));
        }
        Ok(())
    }
}

impl<R: BufRead + Unpin, W: Write> AsyncRead for Lines<R, W> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            this.read_line()?;
        }
        let n = this.rest.len().min(buf.remaining());
        buf.put_slice(&this.rest[..n]);
        this.rest.drain(..n);
        Poll::Ready(Ok(()))
    }
}

/// The answers, between the rows of the diagram.
struct Answers<W: Write> {
    readers: Shared<Option<Readers<Shared<W>>>>,
    out: Shared<W>,
}

impl<W: Write + Unpin> AsyncWrite for Answers<W> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, text: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(readers) = &mut *this.readers.lock() {
            readers.flush();
        }
        Poll::Ready(this.out.write(text).map_err(Stream::output))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.get_mut().out.flush().map_err(Stream::output))
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
