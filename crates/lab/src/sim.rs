//! Simulations with oracles: two hosts send random bytes both ways over a link that spoils what it can, then close.
//!
//! What must hold, whatever the link does:
//!
//! - each side receives exactly the bytes that the other sent, then the end of the stream;
//! - no connection fails (the link is spoilt for less than the time after which TCP may give up, RFC 9293 MUST-20);
//! - once the network heals the transfer finishes;
//! - no deadline is due right after it was handled;
//! - in the end nothing is left: no socket, no half-open or TIME-WAIT entry, no deadline, no frame.
//!
//! A [`Plan`] is drawn from a seed, so a failing seed is a test.

use std::fmt;

use sockeye_stack::config::{CongestionControl, Ecn};
use sockeye_stack::tcp::{State, TcpOptions};
use sockeye_stack::{Capabilities, Config, Duration, Instant, Profile, RecvError, SendError, SocketId};

use crate::build::HostBuilder;
use crate::impair::{Burst, Impairments, Queue};
use crate::link::{Direction, LinkStats};
use crate::rng::Rng;
use crate::world::{LinkId, NodeId, World};
use crate::{ms, secs};

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed, of the world too.
    pub seed: u64,
    /// IPv6 or IPv4.
    pub v6: bool,
    /// A router between the two, whose link to the server is the impaired one.
    pub routed: bool,
    /// Settings of both stacks.
    pub profile: Profile,
    /// Congestion control of both.
    pub congestion_control: CongestionControl,
    /// Octets from client to server, and back.
    pub bytes: [usize; 2],
    /// Octets handed over a call.
    pub chunk: usize,
    /// Nagle's rule off.
    pub nodelay: bool,
    /// Explicit congestion notification, asked for by the client.
    pub ecn: bool,
    /// Receive buffer of both; `None`: automatic.
    pub receive_buffer: Option<u32>,
    /// The server reads nothing before, so that its window closes.
    pub reads_from: Duration,
    /// The impaired link, towards the server and back.
    pub figures: [Impairments; 2],
    /// When the impairments end.
    pub heals_after: Duration,
    /// A smaller MTU behind the router from some time on.
    pub mtu_change: Option<(Duration, u32)>,
    /// Nobody checks checksums: corruption must then break an oracle, which shows that it would be noticed.
    pub unchecked: bool,
    /// Compute the digest of all records.
    pub digest: bool,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// When both sides had received everything and closed.
    pub finished: Instant,
    /// When the last trace of the connection was gone.
    pub gone: Instant,
    /// What the impaired link did, towards the server and back.
    pub link: [LinkStats; 2],
    /// The digest, if asked for.
    pub digest: u64,
}

/// Which oracle was broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The plan.
    pub plan: Box<Plan>,
    /// When.
    pub at: Instant,
    /// What was wrong.
    pub what: String,
}
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {} at {}: {}\n{:#?}",
            self.plan.seed, self.at, self.what, self.plan
        )
    }
}
impl std::error::Error for Failure {}

/// How long a healed network may take: R2 has not passed, timeouts have backed off to `rto_max` (2 min) at most, and the
/// slowest link carries the rest in minutes.
const PATIENCE: Duration = secs(1800);

impl Plan {
    /// A transfer without impairments: 100,000 octets each way over 10 ms.
    pub fn quiet(seed: u64) -> Plan {
        let figures = Impairments {
            delay: ms(10),
            ..Impairments::default()
        };
        Plan {
            seed,
            v6: false,
            routed: false,
            profile: Profile::Rfc,
            congestion_control: CongestionControl::Cubic,
            bytes: [100_000; 2],
            chunk: 8192,
            nodelay: false,
            ecn: false,
            receive_buffer: None,
            reads_from: Duration::ZERO,
            figures: [figures.clone(), figures],
            heals_after: Duration::ZERO,
            mtu_change: None,
            unchecked: false,
            digest: false,
        }
    }
    /// Draws a plan.
    pub fn from_seed(seed: u64) -> Plan {
        let rng = &mut Rng::new(seed).fork(0x706c_616e);
        let rate = pick(
            rng,
            &[
                None,
                Some(200_000),
                Some(1_000_000),
                Some(10_000_000),
                Some(100_000_000),
            ],
        );
        let delay = Duration::from_nanos(rng.below(100_000_000));
        let figures = [draw_figures(rng, rate, delay), draw_figures(rng, rate, delay)];
        let most = if rate == Some(200_000) { 60_000 } else { 800_000 };
        let v6 = rng.chance(0.5);
        let routed = rng.chance(0.5);
        let smaller = rng.range(if v6 { 1280 } else { 576 }, 1499) as u32;
        let plan = Plan {
            v6,
            routed,
            profile: pick(rng, &[Profile::Rfc, Profile::Linux]),
            congestion_control: pick(rng, &[CongestionControl::Cubic, CongestionControl::NewReno]),
            bytes: [draw_size(rng, most), draw_size(rng, most)],
            chunk: pick(rng, &[1, 100, 1460, 5000, 65_536]),
            nodelay: rng.chance(0.3),
            receive_buffer: rng.chance(0.4).then(|| rng.range(2048, 65_536) as u32),
            reads_from: if rng.chance(0.2) {
                ms(rng.range(100, 20_000))
            } else {
                Duration::ZERO
            },
            figures,
            // Less than the 31 s after which the last SYN,ACK is repeated: a half-open connection must not be given up.
            heals_after: ms(rng.range(0, 25_000)),
            mtu_change: (routed && rng.chance(0.4)).then(|| (ms(rng.range(0, 5000)), smaller)),
            ..Plan::quiet(seed)
        };
        plan.with_marks(rng)
    }
    fn with_marks(mut self, rng: &mut Rng) -> Plan {
        self.ecn = rng.chance(0.5);
        for figures in &mut self.figures {
            figures.mark = pick(rng, &[0.0, 0.0, 0.02, 0.2]);
            figures.mark_wait = pick(rng, &[None, Some(ms(20))]);
        }
        self
    }
}

fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.below(from.len() as u64) as usize].clone()
}
/// Up to `most` octets, or of any order of magnitude below.
fn draw_size(rng: &mut Rng, most: usize) -> usize {
    if rng.chance(0.5) {
        return rng.below(most as u64) as usize;
    }
    let magnitude = rng.below(most.ilog2().into()) as u32;
    (rng.below(2 << magnitude) as usize).min(most)
}
fn draw_figures(rng: &mut Rng, rate: Option<u64>, delay: Duration) -> Impairments {
    Impairments {
        rate,
        delay,
        jitter: pick(rng, &[Duration::ZERO, Duration::ZERO, ms(1), ms(30)]),
        loss: pick(rng, &[0.0, 0.0, 0.01, 0.05, 0.3]),
        burst: rng.chance(0.2).then_some(Burst {
            begin: 0.01,
            end: 0.2,
            loss: 0.9,
        }),
        duplicate: pick(rng, &[0.0, 0.0, 0.02, 0.3]),
        reorder: pick(rng, &[0.0, 0.0, 0.05, 0.4]),
        reorder_by: ms(rng.range(1, 50)),
        corrupt: pick(rng, &[0.0, 0.0, 0.01, 0.1]),
        queue: Queue::Packets(if rng.chance(0.5) {
            rng.range(3, 12)
        } else {
            rng.range(12, 300)
        } as usize),
        ..Impairments::default()
    }
}

/// The bytes of a stream from `at` on: what is sent is not kept anywhere.
fn stream_bytes(stream: u64, at: usize, out: &mut [u8]) {
    let (mut at, mut out) = (at, out);
    while !out.is_empty() {
        let word = Rng::new(stream ^ (at as u64 / 8) << 8).next_u64().to_le_bytes();
        let n = (8 - at % 8).min(out.len());
        let (now, later) = out.split_at_mut(n);
        now.copy_from_slice(&word[at % 8..at % 8 + n]);
        (at, out) = (at + n, later);
    }
}

/// Octets handled at once.
const BUFFER: usize = 8192;

/// One side's application.
struct Side {
    node: NodeId,
    name: &'static str,
    socket: Option<SocketId>,
    /// Which stream it sends, and how much.
    sends: (u64, usize),
    /// Which stream it receives, and how much.
    receives: (u64, usize),
    sent: usize,
    received: usize,
    chunk: usize,
    shut: bool,
    ended: bool,
    closed: bool,
    buffer: Vec<u8>,
}

impl Side {
    /// Sends, receives and closes as far as that goes now.
    fn act(&mut self, world: &mut World, reads: bool) -> Result<(), String> {
        let Some(id) = self.socket else {
            return Ok(());
        };
        if self.closed {
            return Ok(());
        }
        let now = world.now();
        let mut stack = world.stack(self.node);
        let mut socket = stack.tcp(now, id).map_err(|e| format!("{}: {e}", self.name))?;
        match socket.state() {
            State::SynSent | State::SynReceived => return Ok(()),
            // A connection may be over while what came last is unread; one that failed says so.
            State::Closed => {
                if let Some(error) = socket.take_error() {
                    return Err(format!("{}: {error}", self.name));
                }
            }
            _ => {}
        }
        self.send(&mut socket)?;
        if reads {
            self.receive(&mut socket)?;
        }
        if self.shut && self.ended {
            socket.close();
            self.closed = true;
        }
        Ok(())
    }
    fn send(&mut self, socket: &mut sockeye_stack::tcp::TcpSocket<'_>) -> Result<(), String> {
        while self.sent < self.sends.1 {
            let left = self.sends.1 - self.sent;
            let n = self.chunk.min(left).min(socket.writable().max(1)).min(BUFFER);
            let data = &mut self.buffer[..n];
            stream_bytes(self.sends.0, self.sent, data);
            match socket.send(data) {
                Ok(n) if n > 0 && n <= data.len() => self.sent += n,
                Ok(n) => return Err(format!("{}: send took {n} of {} octets", self.name, data.len())),
                Err(SendError::WouldBlock) => return Ok(()),
                Err(error) => return Err(format!("{}: send: {error}", self.name)),
            }
        }
        if !self.shut {
            socket
                .shutdown_send()
                .map_err(|error| format!("{}: shutdown: {error}", self.name))?;
            self.shut = true;
        }
        Ok(())
    }
    fn receive(&mut self, socket: &mut sockeye_stack::tcp::TcpSocket<'_>) -> Result<(), String> {
        let mut buf = [0; BUFFER];
        while !self.ended {
            let n = match socket.recv(&mut buf) {
                Ok(n) => n,
                Err(RecvError::WouldBlock) => return Ok(()),
                Err(error) => return Err(format!("{}: receive: {error}", self.name)),
            };
            if n == 0 {
                self.ended = true;
                if self.received != self.receives.1 {
                    let (got, all) = (self.received, self.receives.1);
                    return Err(format!(
                        "{}: the stream ended after {got} of {all} octets",
                        self.name
                    ));
                }
                return Ok(());
            }
            let expected = &mut self.buffer[..n];
            stream_bytes(self.receives.0, self.received, expected);
            if self.received + n > self.receives.1 || buf[..n] != *expected {
                let at = self.received;
                return Err(format!(
                    "{}: octets {at} to {} are not what was sent",
                    self.name,
                    at + n
                ));
            }
            self.received += n;
        }
        Ok(())
    }
}

/// A running simulation.
struct Run<'p> {
    plan: &'p Plan,
    world: World,
    link: LinkId,
    listener: SocketId,
    client: Side,
    server: Side,
}

/// Runs a plan.
///
/// # Errors
/// The oracle that was broken, with the plan that did it.
pub fn simulate(plan: &Plan) -> Result<Outcome, Failure> {
    let mut run = Run::start(plan).map_err(|what| failure(plan, Instant::ZERO, what))?;
    run.go().map_err(|what| failure(plan, run.world.now(), what))
}
fn failure(plan: &Plan, at: Instant, what: String) -> Failure {
    Failure {
        plan: Box::new(plan.clone()),
        at,
        what,
    }
}

impl<'p> Run<'p> {
    fn start(plan: &'p Plan) -> Result<Run<'p>, String> {
        let mut world = World::new(plan.seed);
        if plan.digest {
            world.keep_digest();
        }
        let (client, server, link) = network(&mut world, plan);
        let options = TcpOptions {
            nodelay: plan.nodelay,
            ecn: plan.ecn.then_some(Ecn::Always),
            receive_buffer: plan.receive_buffer,
            congestion_control: Some(plan.congestion_control),
            ..TcpOptions::default()
        };
        let address = if plan.v6 { "[fd00:2::2]:7" } else { "10.2.0.2:7" };
        let address = address.parse().map_err(|e| format!("{e}"))?;
        let mut stack = world.stack(server);
        let listener = stack.tcp_socket(options);
        stack
            .tcp_bind(listener, address)
            .map_err(|e| format!("bind: {e}"))?;
        stack
            .tcp_listen(listener, 8)
            .map_err(|e| format!("listen: {e}"))?;
        drop(stack);
        let now = world.now();
        let mut stack = world.stack(client);
        let id = stack.tcp_socket(options);
        stack
            .tcp_connect(now, id, address)
            .map_err(|e| format!("connect: {e}"))?;
        drop(stack);
        let side = |node, name, socket, sends: usize, receives: usize| Side {
            node,
            name,
            socket,
            sends: (plan.seed ^ sends as u64, plan.bytes[sends]),
            receives: (plan.seed ^ receives as u64, plan.bytes[receives]),
            sent: 0,
            received: 0,
            chunk: plan.chunk.max(1),
            shut: false,
            ended: false,
            closed: false,
            buffer: vec![0; BUFFER],
        };
        Ok(Run {
            plan,
            link,
            listener,
            client: side(client, "client", Some(id), 0, 1),
            server: side(server, "server", None, 1, 0),
            world,
        })
    }
    fn go(&mut self) -> Result<Outcome, String> {
        let reads_from = Instant::ZERO + self.plan.reads_from;
        let heals = Instant::ZERO + self.plan.heals_after;
        let change = self
            .plan
            .mtu_change
            .map(|(after, mtu)| (Instant::ZERO + after, mtu));
        let mut marks = vec![reads_from, heals];
        marks.extend(change.map(|(at, _)| at));
        marks.sort();
        let mut done = false;
        for mark in marks {
            done = done || self.until(mark)?;
            // The clock goes to the mark even if nothing happens until then.
            self.world.run_for(mark - self.world.now());
            if mark == heals {
                self.world.edit(self.link).heal();
            }
            if let Some((at, mtu)) = change
                && at == mark
            {
                self.world.edit(self.link).forward().mtu(mtu);
            }
        }
        let end = self.world.now() + PATIENCE;
        if !done && !self.until(end)? {
            return Err(format!(
                "no end in sight although the network is sound: {}",
                self.progress()
            ));
        }
        let finished = self.world.now();
        self.nothing_is_left()?;
        Ok(Outcome {
            finished,
            gone: self.world.now(),
            link: [Direction::Forward, Direction::Backward]
                .map(|lane| self.world.link_stats(self.link, lane)),
            digest: self.world.digest(),
        })
    }
    /// Lets both sides work until `end`. Returns whether they have finished.
    fn until(&mut self, end: Instant) -> Result<bool, String> {
        let reads_from = Instant::ZERO + self.plan.reads_from;
        let Run {
            world,
            client,
            server,
            listener,
            ..
        } = self;
        let mut wrong = None;
        let limit = end - world.now();
        let done = world.run_until(limit, |world| {
            let reads = world.now() >= reads_from;
            let acted = accept(world, server, *listener)
                .and_then(|()| client.act(world, true))
                .and_then(|()| server.act(world, reads));
            wrong = acted.err();
            wrong.is_some() || (client.closed && server.closed)
        });
        match wrong {
            Some(what) => Err(what),
            None => Ok(done),
        }
    }
    fn progress(&mut self) -> String {
        let sides = [&self.client, &self.server].map(|side| {
            format!(
                "{} sent {} of {}, received {} of {}, shut {}, ended {}",
                side.name, side.sent, side.sends.1, side.received, side.receives.1, side.shut, side.ended
            )
        });
        let rows = [self.client.node, self.server.node].map(|node| self.world.stack(node).snapshot().sockets);
        format!("{sides:#?}\n{rows:#?}")
    }
    /// The listener closes, and after TIME-WAIT nothing may be left.
    fn nothing_is_left(&mut self) -> Result<(), String> {
        let (client, server) = (self.client.node, self.server.node);
        let now = self.world.now();
        if let Ok(listener) = self.world.stack(server).tcp(now, self.listener) {
            listener.close();
        }
        let config = Config::new(self.plan.profile);
        let limit = config.msl * 2 + config.r2 + secs(60);
        let gone = self.world.run_until(limit, |world| {
            [client, server]
                .iter()
                .all(|&node| world.host_handle(node).lock().snapshot().sockets.is_empty())
        });
        if !gone {
            return Err(format!("something is left after {limit}: {}", self.progress()));
        }
        // Timers that nobody needs any more may still stand in a wheel; an hour is enough for all of them.
        self.world.run_for(secs(3600));
        for node in [client, server] {
            if let Some((at, why)) = self.world.stack(node).next_timeout() {
                return Err(format!("a deadline is left at {at}: {why:?}"));
            }
        }
        match (self.world.in_flight(), self.world.late_deadlines()) {
            (0, 0) => Ok(()),
            (frames, 0) => Err(format!("{frames} frames are still on their way")),
            (_, late) => Err(format!("{late} deadlines were still due after they were handled")),
        }
    }
}

/// Takes the connection off the accept queue once it is there.
fn accept(world: &mut World, server: &mut Side, listener: SocketId) -> Result<(), String> {
    if server.socket.is_some() {
        return Ok(());
    }
    let now = world.now();
    let accepted = world.stack(server.node).tcp_accept(now, listener);
    match accepted {
        Ok(accepted) => {
            server.socket = accepted.map(|(id, _)| id);
            Ok(())
        }
        Err(error) => Err(format!("accept: {error}")),
    }
}

/// Client and server, with a router between them or not. The link that is returned is the impaired one; forward is
/// towards the server.
fn network(world: &mut World, plan: &Plan) -> (NodeId, NodeId, LinkId) {
    fn host<'w>(world: &'w mut World, name: &str, plan: &Plan) -> HostBuilder<'w> {
        let capabilities = Capabilities {
            no_checksums: plan.unchecked,
            ..Capabilities::default()
        };
        world
            .host(name)
            .config(Config::new(plan.profile))
            .capabilities(capabilities)
    }
    let (client, server) = if plan.routed {
        let client = host(world, "client", plan)
            .ip("10.1.0.1/24")
            .gateway("10.1.0.254");
        let client = client.ip("fd00:1::1/64").gateway("fd00:1::ff").id();
        let server = host(world, "server", plan)
            .ip("10.2.0.2/24")
            .gateway("10.2.0.254");
        let server = server.ip("fd00:2::2/64").gateway("fd00:2::ff").id();
        (client, server)
    } else {
        let client = host(world, "client", plan)
            .ip("10.2.0.1/24")
            .ip("fd00:2::1/64")
            .id();
        let server = host(world, "server", plan)
            .ip("10.2.0.2/24")
            .ip("fd00:2::2/64")
            .id();
        (client, server)
    };
    let before = match plan.routed {
        true => {
            let router = world.router("router").port("10.1.0.254/24").ip("fd00:1::ff/64");
            let router = router.port("10.2.0.254/24").ip("fd00:2::ff/64").id();
            world.link(router, client).delay(ms(1));
            router
        }
        false => client,
    };
    let [there, back] = plan.figures.clone();
    let link = world
        .link(before, server)
        .forward()
        .figures(|f| *f = there.clone());
    let link = link.backward().figures(|f| *f = back.clone()).id();
    (client, server, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_repeatable_and_differ() {
        let text = |seed| format!("{:?}", Plan::from_seed(seed));
        assert_eq!(text(5), text(5));
        assert_ne!(text(5), text(6));
        let plans: Vec<Plan> = (0..200).map(Plan::from_seed).collect();
        assert!(plans.iter().any(|p| p.v6) && plans.iter().any(|p| !p.v6));
        assert!(plans.iter().any(|p| p.mtu_change.is_some()));
        assert!(plans.iter().any(|p| p.bytes[0] > 100_000) && plans.iter().any(|p| p.bytes[0] < 10));
    }

    #[test]
    fn streams_have_no_short_period() {
        let mut bytes = [0; 4096];
        stream_bytes(1, 0, &mut bytes);
        for period in 1..2048 {
            assert_ne!(bytes[..1024], bytes[period..period + 1024], "period {period}");
            let mut part = [0; 100];
            stream_bytes(1, period, &mut part);
            assert_eq!(part, bytes[period..period + 100]);
        }
    }
}
