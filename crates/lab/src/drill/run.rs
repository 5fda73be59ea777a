//! Runs a script: event by event, on virtual time.

use sockeye_stack::Config;
use sockeye_stack::trace::TraceEvent;

use super::build;
use super::call::{self, Attempt, Progress, Reply};
use super::check::{self, Ticks};
use super::engine::{Engine, Left};
use super::fault::{Difference, Fault, Span};
use super::icmp;
use super::setting::{self, Refused};
use super::setup::{Family, Head, Mode, Setup};
use super::syntax::{Action, Body, Call, Event, Packet, Script, When};
use super::value::{self, Memory};
use super::world::World;

/// The longest that an expected packet without a time is waited for: a day.
const PATIENCE: i64 = 86_400 * 1_000_000;

/// How one run of a script ended.
#[derive(Debug)]
pub struct Run {
    /// Whether all was as expected, and if not, the first thing that was not.
    pub result: Result<(), Fault>,
    /// What happened, event by event.
    pub story: Vec<Told>,
    /// Shell lines that were passed over ([`Setup::skip_shell`]).
    pub skipped: Vec<String>,
    /// The core's account of the frames, if asked for ([`Setup::traced`]).
    pub trace: Vec<TraceEvent>,
    /// The addresses that the host and the peer had.
    pub addresses: Option<(std::net::IpAddr, std::net::IpAddr)>,
}

/// One event of a run, in words.
#[derive(Clone, PartialEq, Debug)]
pub struct Told {
    /// Microseconds since the script began.
    pub at: i64,
    /// The line of the script.
    pub span: Span,
    /// What happened.
    pub what: String,
}

/// Runs a script in a mode.
pub fn run(script: &Script, mode: Mode, setup: &Setup) -> Run {
    let mut story = Vec::new();
    let mut skipped = Vec::new();
    let (runner, result) = match Runner::new(script, mode, setup, &mut skipped) {
        Ok(mut runner) => {
            let result = runner.events(&script.events);
            story.append(&mut runner.story);
            (Some(runner), result)
        }
        Err(fault) => (None, Err(fault)),
    };
    let addresses = runner
        .as_ref()
        .map(|runner| (runner.world.place.local, runner.world.remote));
    let trace = runner.map_or_else(Vec::new, |runner| runner.world.engine.into_trace());
    Run {
        result,
        story,
        skipped,
        trace,
        addresses,
    }
}

/// A call that waits.
struct Pending<'s> {
    call: &'s Call,
    span: Span,
    progress: Progress,
    /// When it is to return.
    until: Option<i64>,
}

struct Runner<'s> {
    world: World,
    head: Head,
    /// Shell lines before anything else happened are in the settings already.
    settled: usize,
    skip_shell: bool,
    pending: Option<Pending<'s>>,
    story: Vec<Told>,
}

impl<'s> Runner<'s> {
    fn new(
        script: &Script,
        mode: Mode,
        setup: &Setup,
        skipped: &mut Vec<String>,
    ) -> Result<Runner<'s>, Fault> {
        let head = Head::of(script, mode)?;
        let whole = Span::new(0, 0);
        let mut config = setting::configured(mode.profile, &setup.settings)
            .map_err(|what| Fault::unsupported(whole, format!("there is no setting {what}"), "here"))?;
        let mut settled = 0;
        for event in &script.events {
            let Action::Shell(line) = &event.action else { break };
            settled += 1;
            if let Err(fault) = shell(&mut config, line, event.span) {
                if !setup.skip_shell {
                    return Err(fault);
                }
                skipped.push(line.clone());
            }
        }
        let world = World {
            engine: Engine::new(config, head.place, setup.seed, setup.traced),
            place: head.place,
            remote: head.remote,
            v4: mode.family != Family::V6,
            mapped: mode.family == Family::Mapped,
            bind_port: head.bind_port,
            connect_port: head.connect_port,
            ticks: Ticks {
                usecs: head.tick_usecs,
                tolerance_usecs: head.tolerance_usecs,
            },
            fds: Default::default(),
            epolls: Default::default(),
            conns: Vec::new(),
            current: None,
            listener: None,
            memory: Memory::default(),
        };
        Ok(Runner {
            world,
            head,
            settled,
            skip_shell: setup.skip_shell,
            pending: None,
            story: Vec::new(),
        })
    }
    fn now(&self) -> i64 {
        self.world.engine.now()
    }
    fn tell(&mut self, at: i64, span: Span, what: String) {
        self.story.push(Told { at, span, what });
    }

    fn events(&mut self, events: &'s [Event]) -> Result<(), Fault> {
        let mut before: Option<(&Event, i64)> = None;
        // Packets were handed in that the stack has not answered yet: more come at the same moment.
        let mut gathering = false;
        for (n, event) in events.iter().enumerate() {
            let inbound = |event: &Event| matches!(&event.action, Action::Packet(p) if p.inbound);
            // Packets handed in one after another count from each other's times, everything else from what is now.
            let base = match before {
                Some((last, due)) if inbound(last) && inbound(event) => due,
                _ => self.now(),
            };
            let due = match event.when {
                When::At(at) | When::Between(at, _) => at,
                When::After(after) | When::AfterBetween(after, _) => base + after,
                When::Any => base,
            };
            let latest = match event.when {
                When::Between(_, to) => to,
                When::AfterBetween(_, to) => base + to,
                When::Any => base + PATIENCE,
                When::At(_) | When::After(_) => due,
            };
            let together = self.head.burst
                && inbound(event)
                && events
                    .get(n + 1)
                    .is_some_and(|next| inbound(next) && next.when == When::After(0));
            match &event.action {
                Action::Packet(packet) if !packet.inbound => self.expect(event, packet, due, latest)?,
                action => {
                    if !gathering {
                        self.advance(due, event.span)?;
                        self.late(event, due)?;
                    }
                    match action {
                        Action::Packet(packet) => self.hand_in(event, packet, together)?,
                        Action::Call(call) => self.call(event, call, base)?,
                        Action::Code(statements) => self.code(event, statements)?,
                        Action::Shell(line) if n >= self.settled => self.shell(event, line)?,
                        Action::Shell(_) => {}
                    }
                }
            }
            gathering = together;
            before = Some((event, due));
        }
        self.end(events)
    }
    /// An event whose time had passed when it came to it.
    fn late(&self, event: &Event, due: i64) -> Result<(), Fault> {
        let late = self.now() - due;
        if late <= self.tolerance(0) {
            return Ok(());
        }
        let message = format!("the time of this event has passed: it is {}", time(self.now()));
        Err(
            Fault::not_held(event.span, message, "too late").with(vec![Difference::new(
                "time",
                time(due),
                time(self.now()),
            )]),
        )
    }
    /// How far a time may be off that lies so far from the one before it.
    fn tolerance(&self, delta: i64) -> i64 {
        let share = delta.saturating_mul(self.head.tolerance_percent) / 100;
        self.head.tolerance_usecs.max(share)
    }

    /// Lets time pass.
    fn advance(&mut self, to: i64, span: Span) -> Result<(), Fault> {
        while let Some(due) = self.next_due()
            && due <= to
        {
            self.step(due, span)?;
        }
        self.step(to.max(self.now()), span)
    }
    /// When something happens by itself.
    fn next_due(&self) -> Option<i64> {
        let deadline = self
            .pending
            .as_ref()
            .and_then(|pending| pending.progress.deadline);
        let deadline = deadline.map(|at| at.max(self.now()));
        match (self.world.engine.due(), deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
    fn step(&mut self, to: i64, span: Span) -> Result<(), Fault> {
        self.world
            .engine
            .step(to)
            .map_err(|why| Fault::not_held(span, why, "here"))?;
        self.retry()
    }

    fn hand_in(&mut self, event: &Event, packet: &Packet, together: bool) -> Result<(), Fault> {
        let at = self.now();
        let world = &mut self.world;
        let index = world.conn_for_inbound(packet);
        let conn = &mut world.conns[index];
        let octets = match &packet.body {
            Body::Tcp(tcp) => {
                use sockeye_stack::tcp::Flags;
                let flags = Flags::from_bits_retain(tcp.flags);
                if flags.contains(Flags::SYN) {
                    conn.peer_opens(tcp.start);
                }
                if flags.contains(Flags::URG) {
                    conn.read = None; // an octet may leave the stream
                }
                build::tcp(conn, &packet.ip, tcp)
            }
            Body::Udp { len } => build::udp(conn, &packet.ip, *len),
            Body::Icmp(message) => {
                let numbers = icmp::numbers(
                    conn.remote.is_ipv4(),
                    &message.kind,
                    message.code.as_deref(),
                    message.mtu,
                )
                .map_err(|why| Fault::script(message.span, why, "here"))?;
                build::icmp(conn, &packet.ip, numbers, message.quoted)
            }
        };
        if octets.is_empty() {
            let message = "source and destination are of two families";
            return Err(Fault::script(event.span, message, "here"));
        }
        world.engine.hand_in(octets);
        self.tell(
            at,
            event.span,
            format!("< {}{}", packet.ip, body_words(&packet.body)),
        );
        if together {
            return Ok(());
        }
        self.world.engine.drain();
        self.retry()
    }

    fn expect(&mut self, event: &Event, packet: &Packet, due: i64, latest: i64) -> Result<(), Fault> {
        let tolerance = self.tolerance(latest - self.now());
        let expected = body_words(&packet.body);
        while self.world.engine.waiting().next().is_none() {
            let limit = latest.saturating_add(tolerance);
            match self.next_due() {
                Some(due) if due <= limit => self.step(due, event.span)?,
                _ => {
                    self.step(limit.min(self.now() + PATIENCE), event.span)?;
                    if self.world.engine.waiting().next().is_none() {
                        let span = event.span;
                        let message = format!("nothing was sent by {}", time(self.now()));
                        return Err(Fault::not_held(span, message, "expected here")
                            .with(vec![Difference::new("packet", expected, "nothing")]));
                    }
                }
            }
        }
        let Some(left) = self.world.engine.take() else {
            return Ok(());
        };
        let mut found = self.compare(packet, &left);
        let any = event.when == When::Any;
        if !any && (left.at < due - tolerance || left.at > latest + tolerance) {
            let wanted = if latest > due {
                format!("{} to {}", time(due), time(latest))
            } else {
                time(due)
            };
            found.push(Difference::new("time", wanted, time(left.at)));
        }
        let words = left
            .seen
            .words(self.world.current.and_then(|c| self.world.conns.get(c)));
        if found.is_empty() {
            self.tell(left.at, event.span, format!("> {words}    {}", left.cause));
            return Ok(());
        }
        let message = format!("the packet that was sent is another: {words}");
        let help = format!("the stack sent it at {} because: {}", time(left.at), left.cause);
        Err(Fault::not_held(event.span, message, "expected here")
            .with(found)
            .help(help))
    }
    fn compare(&mut self, packet: &Packet, left: &Left) -> Vec<Difference> {
        let world = &mut self.world;
        let index = match world.conn_for_outbound(packet) {
            Some(index) => index,
            None => {
                // Nothing was said of it before: it is what it is.
                let ends = left.seen.ends();
                let none = std::net::SocketAddr::new(world.place.local, 0);
                let (local, remote) = ends.unwrap_or((none, std::net::SocketAddr::new(world.remote, 0)));
                world.add_conn(super::conn::Conn::new(local, remote))
            }
        };
        let ticks = world.ticks;
        let conn = &mut world.conns[index];
        let mut found = Vec::new();
        if let Some((local, remote)) = left.seen.ends()
            && !conn.joins(local, remote)
        {
            let ends = |a, b| format!("{a} to {b}");
            found.push(Difference::new(
                "ends",
                ends(conn.local, conn.remote),
                ends(local, remote),
            ));
        }
        found.extend(check::packet(conn, packet, &left.seen, ticks));
        found
    }

    fn call(&mut self, event: &'s Event, call: &'s Call, base: i64) -> Result<(), Fault> {
        self.idle(event)?;
        let until = call.until.map(|until| match event.when {
            When::After(_) => base + until,
            _ => until,
        });
        let mut progress = Progress::default();
        match self.world.attempt(call, &mut progress)? {
            Attempt::Done(reply) => {
                self.returned(call, event.span, &reply, until)?;
                self.retry()
            }
            Attempt::Blocked => {
                if until.is_none() && progress.deadline.is_none() {
                    let message = format!("{} would wait here", call.name);
                    return Err(Fault::not_held(event.span, message, "waits")
                        .help("if it is to wait, say until when: `0.1...0.2 read(...)`"));
                }
                self.pending = Some(Pending {
                    call,
                    span: event.span,
                    progress,
                    until,
                });
                Ok(())
            }
        }
    }
    /// Waits until no call waits: scripts make one at a time.
    fn idle(&mut self, event: &Event) -> Result<(), Fault> {
        while let Some(pending) = &self.pending {
            let limit = pending.until.map_or(i64::MAX, |until| until + self.tolerance(0));
            match self.next_due() {
                Some(due) if due <= limit => self.step(due, event.span)?,
                _ => {
                    let (name, span) = (pending.call.name.clone(), pending.span);
                    let came = format!("still waits at {}", time(limit.min(self.now() + PATIENCE)));
                    let message = format!("{name} does not return");
                    let expected = pending.until.map_or("a return".into(), time);
                    return Err(Fault::not_held(span, message, "waits for ever")
                        .with(vec![Difference::new("time", expected, came)]));
                }
            }
        }
        Ok(())
    }
    /// Tries the call again that waits.
    fn retry(&mut self) -> Result<(), Fault> {
        let Some(mut pending) = self.pending.take() else {
            return Ok(());
        };
        match self.world.attempt(pending.call, &mut pending.progress)? {
            Attempt::Done(reply) => self.returned(pending.call, pending.span, &reply, pending.until),
            Attempt::Blocked => {
                let over = pending
                    .until
                    .is_some_and(|until| self.now() > until + self.tolerance(0));
                if over {
                    let message = format!("{} has not returned", pending.call.name);
                    let expected = pending.until.map_or(String::new(), time);
                    let came = format!("still waits at {}", time(self.now()));
                    return Err(Fault::not_held(pending.span, message, "still waits")
                        .with(vec![Difference::new("time", expected, came)]));
                }
                self.pending = Some(pending);
                Ok(())
            }
        }
    }
    fn returned(&mut self, call: &Call, span: Span, reply: &Reply, until: Option<i64>) -> Result<(), Fault> {
        let mut found = call::compare(call, reply)?;
        let now = self.now();
        if let Some(until) = until
            && (now - until).abs() > self.tolerance(0)
        {
            found.push(Difference::new("time of return", time(until), time(now)));
        }
        self.tell(now, span, format!("{}(...) = {}", call.name, reply.value));
        if found.is_empty() {
            return Ok(());
        }
        let message = format!("{} did not answer as expected", call.name);
        Err(Fault::not_held(span, message, "this call").with(found))
    }

    fn code(&mut self, event: &Event, statements: &[super::code::Statement]) -> Result<(), Fault> {
        let mut memory = std::mem::take(&mut self.world.memory);
        let result = value::run(statements, &mut memory, &self.world);
        for line in memory.printed.drain(..) {
            self.story.push(Told {
                at: self.world.engine.now(),
                span: event.span,
                what: format!("print: {line}"),
            });
        }
        self.world.memory = memory;
        result
    }
    fn shell(&mut self, event: &Event, line: &str) -> Result<(), Fault> {
        let mut nothing = Config::default();
        let nothing_to_do = shell(&mut nothing, line, event.span).is_ok() && line_does_nothing(line);
        if nothing_to_do || self.skip_shell {
            return Ok(());
        }
        shell(&mut nothing, line, event.span)?;
        let message = "settings can only be changed before anything else happens";
        Err(Fault::unsupported(event.span, message, "too late for this stack"))
    }

    /// After the last event: nothing more may have been sent, and no call may wait.
    fn end(&mut self, events: &'s [Event]) -> Result<(), Fault> {
        let Some(last) = events.last() else { return Ok(()) };
        self.idle(last)?;
        self.advance(self.now() + self.head.tolerance_usecs, last.span)?;
        let conn = self.world.current.and_then(|conn| self.world.conns.get(conn));
        let left: Vec<_> = self.world.engine.waiting().collect();
        let Some(first) = left.first() else { return Ok(()) };
        let message = match left.len() {
            1 => "a packet was sent that the script does not expect".to_string(),
            n => format!("{n} packets were sent that the script does not expect"),
        };
        let shown = |left: &&Left| {
            let words = left.seen.words(conn);
            let came = format!("{words} at {} ({})", time(left.at), left.cause);
            Difference::new("packet", "nothing", came)
        };
        let help = format!("the first was sent because: {}", first.cause);
        Err(Fault::not_held(last.span, message, "the last event")
            .with(left.iter().map(shown).collect())
            .help(help))
    }
}

fn line_does_nothing(line: &str) -> bool {
    !line.contains("sysctl") && !line.contains("echo")
}

fn shell(config: &mut Config, line: &str, span: Span) -> Result<(), Fault> {
    setting::shell(config, line).map_err(|refused| match refused {
        Refused::Shell(command) => Fault::unsupported(
            span,
            format!("shell commands are not run: {command}"),
            "not supported",
        )
        .help("lines that set known settings by sysctl are understood; --skip-shell passes over the others"),
        Refused::Unknown(name) => Fault::unsupported(
            span,
            format!("{name} is not a setting of this stack"),
            "not known",
        ),
        Refused::Value(name, value) => {
            let message = format!("{name} cannot be {value} here");
            Fault::unsupported(span, message, "this value")
        }
    })
}

fn body_words(body: &Body) -> String {
    match body {
        Body::Tcp(tcp) => tcp.to_string(),
        Body::Udp { len } => format!("udp ({len})"),
        Body::Icmp(message) => {
            let code = message
                .code
                .as_ref()
                .map_or(String::new(), |code| format!(" {code}"));
            let mtu = message.mtu.map_or(String::new(), |mtu| format!(" mtu {mtu}"));
            format!("icmp {}{code}{mtu}", message.kind)
        }
    }
}

/// Seconds, as scripts write them.
fn time(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let text = format!("{seconds}.{fraction:06}");
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}
