//! The stage on which scenarios are played: networks that are watched, calls in few words, and claims.

use std::fmt::{Debug, Display};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use sockeye_stack::tcp::{State, TcpInfo, TcpOptions};
use sockeye_stack::udp::{Datagram, UdpOptions};
use sockeye_stack::{
    BindError, ConnectionError, Duration, Instant, RecvError, SendError, SocketId, Stack, UdpError,
};
use sockeye_view::{Backlog, Cast, Record, What};

use super::log::Log;
use crate::world::{NodeId, World};

/// Who watches a scenario. `()` looks away.
pub trait Audience {
    /// A network is there, and what is played on it begins.
    fn scene(&mut self, title: &str, cast: &Cast);
    /// Something happened on it.
    fn record(&mut self, record: &Record);
    /// The scene is over; its claims follow.
    fn curtain(&mut self);
    /// A claim, and whether it held.
    fn check(&mut self, check: &Check);
}

impl Audience for () {
    fn scene(&mut self, _: &str, _: &Cast) {}
    fn record(&mut self, _: &Record) {}
    fn curtain(&mut self) {}
    fn check(&mut self, _: &Check) {}
}

/// A claim about what was observed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// What is claimed.
    pub claim: String,
    /// Whether it held.
    pub held: bool,
    /// What was observed.
    pub seen: String,
    /// The mistake that the claim puts right, where it is one.
    pub correction: Option<Correction>,
}

/// A mistake of a well-known tutorial.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Correction {
    /// Its row in the list of corrections: `W-17`.
    pub row: &'static str,
    /// What the tutorial says.
    pub says: &'static str,
}

/// Where a scenario is played.
pub struct Stage<'a> {
    seed: u64,
    audience: &'a mut dyn Audience,
    checks: Vec<Check>,
}

impl<'a> Stage<'a> {
    pub(super) fn new(seed: u64, audience: &'a mut dyn Audience) -> Stage<'a> {
        Stage {
            seed,
            audience,
            checks: Vec::new(),
        }
    }
    pub(super) fn finish(self) -> Vec<Check> {
        self.checks
    }
    /// A network, made by `build`, and the first word on it.
    pub fn scene<T>(&mut self, title: &str, build: impl FnOnce(&mut World) -> T) -> (Scene<'_>, T) {
        let mut world = World::new(self.seed);
        let made = build(&mut world);
        self.audience.scene(title, &world.cast());
        let inbox = world.collect();
        let told = self.checks.len();
        let scene = Scene {
            world,
            log: Log::default(),
            audience: &mut *self.audience,
            checks: &mut self.checks,
            told,
            inbox,
            watched: Vec::new(),
        };
        (scene, made)
    }
}

/// A network with somebody watching. Calls of applications take place at the present time; what they owe
/// leaves as soon as time passes, if only by [`Scene::settle`].
pub struct Scene<'s> {
    /// The network.
    pub world: World,
    /// What has happened on it.
    pub log: Log,
    audience: &'s mut dyn Audience,
    checks: &'s mut Vec<Check>,
    /// Claims told to the audience.
    told: usize,
    inbox: Arc<Mutex<Vec<Record>>>,
    /// Hosts whose listeners' queues are told, and what was told last.
    watched: Vec<(NodeId, Vec<Backlog>)>,
}

impl Scene<'_> {
    // Claims

    /// Claims something; `seen` is what was observed.
    pub fn check(&mut self, claim: &str, held: bool, seen: impl Display) {
        self.checks.push(Check {
            claim: claim.into(),
            held,
            seen: bare(&seen.to_string()),
            correction: None,
        });
    }
    /// Claims that what was observed is what is expected.
    pub fn equal<T: PartialEq + Debug>(&mut self, claim: &str, seen: T, expected: T) {
        let held = seen == expected;
        let seen = if held {
            format!("{seen:?}")
        } else {
            format!("{seen:?}, not {expected:?}")
        };
        self.check(claim, held, seen);
    }
    /// Claims what is right where a tutorial is wrong.
    pub fn correct(
        &mut self,
        row: &'static str,
        says: &'static str,
        right: &str,
        held: bool,
        seen: impl Display,
    ) {
        let correction = Some(Correction { row, says });
        self.checks.push(Check {
            claim: right.into(),
            held,
            seen: bare(&seen.to_string()),
            correction,
        });
    }

    // Time

    /// Lets what calls owe leave, at the present time.
    pub fn settle(&mut self) {
        self.run_for(Duration::ZERO);
    }
    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.world.now() + span;
        self.world.run_for(Duration::ZERO);
        self.tell();
        while self.world.next_deadline().is_some_and(|at| at <= end) {
            self.world.step();
            self.tell();
        }
        self.world.run_for(end - self.world.now());
        self.tell();
    }
    /// Lets time pass until `done`, at most for `limit`. In vain, that is a claim that did not hold.
    pub fn until(&mut self, what: &str, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.world.now() + limit;
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            if self.world.next_deadline().is_none_or(|at| at > end) {
                self.check(&format!("{what}, within {limit}"), false, "it never came");
                return false;
            }
            self.world.step();
            self.tell();
        }
    }
    /// The time.
    pub fn now(&self) -> Instant {
        self.world.now()
    }
    /// Puts words into the diagram.
    pub fn note(&mut self, host: NodeId, text: &str) {
        self.settle();
        self.world.note(host, text);
        self.tell();
    }
    /// Tells in the diagram how full the queues of this host's listeners are.
    pub fn watch_queues(&mut self, host: NodeId) {
        self.watched.push((host, Vec::new()));
    }
    /// Hands on what happened.
    fn tell(&mut self) {
        let new = std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner));
        for record in new {
            self.audience.record(&record);
            self.log.push(record);
        }
        for (host, last) in &mut self.watched {
            let queues = Backlog::of(&self.world.stack(*host).snapshot());
            for queue in &queues {
                if !last.contains(queue) {
                    let record = Record {
                        at: self.world.now(),
                        host: host.index(),
                        what: What::Backlog(*queue),
                    };
                    self.audience.record(&record);
                    self.log.push(record);
                }
            }
            *last = queues;
        }
    }

    // TCP

    fn call<R>(&mut self, host: NodeId, f: impl FnOnce(&mut Stack, Instant) -> R) -> R {
        let now = self.world.now();
        f(&mut self.world.stack(host), now)
    }
    /// Whether `result` is well; a call that fails unexpectedly is a claim that did not hold.
    fn well<T, E: Display>(&mut self, what: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.check(what, false, error);
                None
            }
        }
    }
    /// A listener.
    pub fn listen(&mut self, host: NodeId, local: &str, backlog: u32) -> SocketId {
        self.listen_with(host, local, backlog, TcpOptions::default())
    }
    /// A listener with options.
    pub fn listen_with(&mut self, host: NodeId, local: &str, backlog: u32, options: TcpOptions) -> SocketId {
        let id = self.call(host, |stack, _| stack.tcp_socket(options));
        let bound = self.bind(host, id, local);
        self.well(&format!("binding to {local} succeeds"), bound);
        let listening = self.call(host, |stack, _| stack.tcp_listen(id, backlog));
        self.well(&format!("listening at {local} succeeds"), listening);
        id
    }
    /// Binds a TCP socket.
    pub fn bind(&mut self, host: NodeId, id: SocketId, local: &str) -> Result<(), BindError> {
        self.call(host, |stack, _| stack.tcp_bind(id, address(local)))
    }
    /// A fresh TCP socket.
    pub fn socket(&mut self, host: NodeId, options: TcpOptions) -> SocketId {
        self.call(host, |stack, _| stack.tcp_socket(options))
    }
    /// Opens a connection; it is established when time has passed.
    pub fn connect(&mut self, host: NodeId, remote: &str) -> SocketId {
        let id = self.socket(host, TcpOptions::default());
        self.connect_socket(host, id, remote);
        id
    }
    /// Opens a connection from a socket that is there.
    pub fn connect_socket(&mut self, host: NodeId, id: SocketId, remote: &str) {
        let opened = self.call(host, |stack, now| stack.tcp_connect(now, id, address(remote)));
        self.well(&format!("opening a connection to {remote} succeeds"), opened);
        self.settle();
    }
    /// Takes a connection off the accept queue.
    pub fn accept(&mut self, host: NodeId, listener: SocketId) -> Option<SocketId> {
        self.accept_from(host, listener).map(|(id, _)| id)
    }
    /// As [`Scene::accept`], and who it comes from.
    pub fn accept_from(&mut self, host: NodeId, listener: SocketId) -> Option<(SocketId, SocketAddr)> {
        let accepted = self.call(host, |stack, now| stack.tcp_accept(now, listener));
        self.settle();
        accepted.ok().flatten()
    }
    /// A connection from `client` to `remote` at `server`, established and accepted.
    ///
    /// # Panics
    /// If the network does not let it come about: then there is nothing to play.
    pub fn open(
        &mut self,
        client: NodeId,
        server: NodeId,
        listener: SocketId,
        remote: &str,
    ) -> (SocketId, SocketId) {
        let id = self.connect(client, remote);
        let mut accepted = None;
        self.until("the connection is established", crate::secs(60), |scene| {
            accepted = accepted.or_else(|| scene.accept(server, listener));
            accepted.is_some() && scene.state(client, id) == State::Established
        });
        (id, accepted.expect("a listener that answers gives a connection"))
    }
    /// The state of a TCP socket; CLOSED for one that is gone.
    pub fn state(&mut self, host: NodeId, id: SocketId) -> State {
        self.call(host, |stack, now| {
            stack.tcp(now, id).map_or(State::Closed, |socket| socket.state())
        })
    }
    /// What is known of a connection.
    pub fn info(&mut self, host: NodeId, id: SocketId) -> Option<TcpInfo> {
        self.call(host, |stack, now| stack.tcp(now, id).ok()?.info())
    }
    /// Sends; returns how many octets were taken.
    pub fn send(&mut self, host: NodeId, id: SocketId, data: &[u8]) -> Result<usize, SendError> {
        let sent = self.call(host, |stack, now| match stack.tcp(now, id) {
            Ok(mut socket) => socket.send(data),
            Err(_) => Err(SendError::Stale),
        });
        self.settle();
        sent
    }
    /// One read with a buffer of 64 KiB; empty at the end of the stream.
    pub fn recv(&mut self, host: NodeId, id: SocketId) -> Result<Vec<u8>, RecvError> {
        let mut buffer = vec![0; 1 << 16];
        let received = self.call(host, |stack, now| match stack.tcp(now, id) {
            Ok(mut socket) => socket.recv(&mut buffer),
            Err(_) => Err(RecvError::Stale),
        });
        self.settle();
        received.map(|n| {
            buffer.truncate(n);
            buffer
        })
    }
    /// As text, what one read gives; the error in words.
    pub fn recv_text(&mut self, host: NodeId, id: SocketId) -> String {
        match self.recv(host, id) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("({error})"),
        }
    }
    /// Our FIN, after what is queued.
    pub fn shutdown(&mut self, host: NodeId, id: SocketId) {
        let done = self.call(host, |stack, now| match stack.tcp(now, id) {
            Ok(mut socket) => socket.shutdown_send(),
            Err(_) => Err(SendError::Stale),
        });
        self.well("shutting down succeeds", done);
        self.settle();
    }
    /// Closes a TCP socket.
    pub fn close(&mut self, host: NodeId, id: SocketId) {
        self.call(host, |stack, now| {
            if let Ok(socket) = stack.tcp(now, id) {
                socket.close();
            }
        });
        self.settle();
    }
    /// Resets a connection.
    pub fn abort(&mut self, host: NodeId, id: SocketId) {
        self.call(host, |stack, now| {
            if let Ok(socket) = stack.tcp(now, id) {
                socket.abort();
            }
        });
        self.settle();
    }
    /// The error that ended a connection.
    pub fn error(&mut self, host: NodeId, id: SocketId) -> Option<ConnectionError> {
        self.call(host, |stack, now| stack.tcp(now, id).ok()?.take_error())
    }
    /// Rows of a host's socket table in this state, sockets or not.
    pub fn count(&mut self, host: NodeId, state: State) -> usize {
        self.call(host, |stack, _| {
            stack
                .snapshot()
                .sockets
                .iter()
                .filter(|row| row.state == Some(state))
                .count()
        })
    }

    // UDP

    /// A UDP socket, bound.
    pub fn udp(&mut self, host: NodeId, local: &str, options: UdpOptions) -> SocketId {
        let id = self.call(host, |stack, _| stack.udp_socket(options));
        let bound = self.call(host, |stack, _| stack.udp_bind(id, address(local)));
        self.well(&format!("binding to {local} succeeds"), bound);
        id
    }
    /// Sends a datagram.
    pub fn send_to(&mut self, host: NodeId, id: SocketId, data: &[u8], to: &str) -> Result<(), UdpError> {
        let sent = self.call(host, |stack, now| match stack.udp(now, id) {
            Ok(mut socket) => socket.send_to(data, address(to)),
            Err(_) => Err(UdpError::Stale),
        });
        self.settle();
        sent
    }
    /// Takes a datagram.
    pub fn recv_from(&mut self, host: NodeId, id: SocketId) -> Result<Datagram, UdpError> {
        let received = self.call(host, |stack, now| match stack.udp(now, id) {
            Ok(mut socket) => socket.recv(),
            Err(_) => Err(UdpError::Stale),
        });
        self.settle();
        received
    }
    /// All datagrams that wait.
    pub fn datagrams(&mut self, host: NodeId, id: SocketId) -> Vec<Datagram> {
        std::iter::from_fn(|| self.recv_from(host, id).ok()).collect()
    }
    /// Joins a group.
    pub fn join(&mut self, host: NodeId, id: SocketId, group: &str) {
        let group = group.parse().expect("scenarios are written by hand");
        let joined = self.call(host, |stack, now| match stack.udp(now, id) {
            Ok(mut socket) => socket.join(group, None),
            Err(_) => Err(UdpError::Stale),
        });
        self.well("joining the group succeeds", joined);
        self.settle();
    }
}

/// The curtain falls: the audience sees the claims of the scene.
impl Drop for Scene<'_> {
    fn drop(&mut self) {
        self.tell();
        self.audience.curtain();
        for check in &self.checks[self.told..] {
            self.audience.check(check);
        }
    }
}

/// Text with values in it, without what only a programmer needs: `Some(Refused)` is `Refused`, `Ok(())` is
/// `done`.
fn bare(text: &str) -> String {
    let start = ["Some(", "Ok(", "Err("]
        .iter()
        .filter_map(|open| Some((text.find(open)?, open.len())))
        .min();
    let Some((start, len)) = start else {
        return if text == "()" {
            String::new()
        } else {
            text.replace("()", "done")
        };
    };
    let (before, inside) = (&text[..start], &text[start + len..]);
    let mut depth = 1;
    let end = inside.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    match end {
        Some(end) => bare(&format!("{before}{}{}", &inside[..end], &inside[end + 1..])),
        None => text.to_string(),
    }
}

/// An address and port.
///
/// # Panics
/// If it is none: scenarios are written by hand.
pub(super) fn address(text: &str) -> SocketAddr {
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} is no address with a port"))
}

/// client 10.0.0.1 and server 10.0.0.2 on one link of 10 ms.
pub(super) fn pair(world: &mut World) -> Pair {
    pair_with(world, sockeye_stack::Config::default())
}

/// As [`pair`], with settings for both stacks.
pub(super) fn pair_with(world: &mut World, config: sockeye_stack::Config) -> Pair {
    let client = world.host("client").config(config.clone()).ip("10.0.0.1/24").id();
    let server = world.host("server").config(config).ip("10.0.0.2/24").id();
    let link = world.link(client, server).delay(crate::ms(10)).id();
    Pair { client, server, link }
}

/// Two hosts and what lies between them.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    pub(super) client: NodeId,
    pub(super) server: NodeId,
    pub(super) link: crate::world::LinkId,
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn values_lose_their_wrappers() {
        for (text, expected) in [
            ("Ok(())", ""),
            ("Some(Refused)", "Refused"),
            (
                "Err(Connection(Reset)), then Some(3)",
                "Connection(Reset), then 3",
            ),
            ("(Ok(()), Err(WouldBlock))", "(done, WouldBlock)"),
            ("seq=x+Some(9), ack=x+Some(10)", "seq=x+9, ack=x+10"),
            ("broken Some(", "broken Some("),
        ] {
            assert_eq!(bare(text), expected);
        }
    }
}
