//! What is measured: each workload once, for every stack.

use std::time::Duration;

use crate::pair::{Api, End, Pair, open, turn};
use crate::pattern::{CHUNK, Pattern};
use crate::{alloc, clock};

/// What came of one stretch of work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Processor time of the thread.
    pub nanos: u64,
    /// Data segments, exchanges or connections.
    pub units: u64,
    /// Octets that the application received, where that is what counts.
    pub octets: u64,
    /// Frames on the link, both ways.
    pub frames: u64,
    /// Calls of the allocator.
    pub allocations: u64,
}

/// How long to work: at least this long, or exactly this many units (for profilers).
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    Time(Duration),
    Units(u64),
}

/// A workload on one stack, kept between rounds so that every stretch is steady state.
pub trait Work {
    /// Works for a while.
    fn run(&mut self, limit: Limit) -> Sample;
    /// As [`Work::run`], checking every octet.
    fn verify(&mut self, limit: Limit) -> Sample;
}

/// Repeats `step` until the limit is reached. How many steps pass between two looks at the clock is found out: a look is a
/// system call, and a step lasts from 100 ns to 50 ms.
fn repeat(limit: Limit, mut step: impl FnMut(&mut Sample)) -> Sample {
    let mut sample = Sample::default();
    let allocations = alloc::calls();
    let start = clock::now();
    let mut looked = start;
    let mut steps = 1_u32;
    loop {
        match limit {
            Limit::Units(n) if sample.units >= n => break,
            Limit::Units(_) => step(&mut sample),
            Limit::Time(most) => {
                for _ in 0..steps {
                    step(&mut sample);
                }
                let now = clock::now();
                if now - start >= most.as_nanos() as u64 {
                    break;
                }
                if now - looked < 100_000 {
                    steps = steps.saturating_mul(2);
                }
                looked = now;
            }
        }
    }
    sample.nanos = clock::now() - start;
    sample.allocations = alloc::calls() - allocations;
    sample
}

/// One connection, the client sends as fast as it can.
pub struct Goodput<P: Pair> {
    pair: P,
    conn: (P::Conn, P::Conn),
    api: Api,
    pattern: Pattern,
    sent: u64,
    received: u64,
    into: Vec<u8>,
}

impl<P: Pair> Goodput<P> {
    pub fn new(mut pair: P, api: Api) -> Self {
        let conn = open(&mut pair, 0);
        Goodput {
            pair,
            conn,
            api,
            pattern: Pattern::new(),
            sent: 0,
            received: 0,
            into: vec![0; CHUNK],
        }
    }
    /// The client's application writes all that is taken, a batch crosses the link, the server's application reads all that
    /// has come, and the ACKs go back.
    #[inline]
    fn step(&mut self, sample: &mut Sample, verify: bool) {
        let (client, server) = self.conn;
        loop {
            let n = match self.api {
                Api::Copy => self.pair.send(End::Client, client, self.pattern.at(self.sent)),
                Api::Lend => self
                    .pair
                    .send_lent(End::Client, client, &self.pattern, self.sent, verify),
            };
            if n == 0 {
                break;
            }
            self.sent += n as u64;
        }
        let segments = turn(&mut self.pair, End::Client) as u64;
        let before = self.received;
        loop {
            let n = match self.api {
                Api::Copy => {
                    let n = self
                        .pair
                        .recv(End::Server, server, &mut self.into)
                        .expect("the stream goes on");
                    if verify {
                        self.pattern.check(self.received, &self.into[..n]);
                    }
                    n
                }
                Api::Lend => {
                    let check = verify.then_some((&self.pattern, self.received));
                    self.pair.recv_lent(End::Server, server, check)
                }
            };
            if n == 0 {
                break;
            }
            self.received += n as u64;
        }
        let acks = turn(&mut self.pair, End::Server) as u64;
        self.pair.advance(20);
        sample.units += segments;
        sample.frames += segments + acks;
        sample.octets += self.received - before;
    }
}

/// Turns without any progress after which a workload has come to a halt.
const STUCK: u32 = 100_000;

impl<P: Pair> Work for Goodput<P> {
    fn run(&mut self, limit: Limit) -> Sample {
        let mut idle = 0;
        repeat(limit, |sample| {
            let before = sample.octets;
            self.step(sample, false);
            idle = if sample.octets == before { idle + 1 } else { 0 };
            assert!(idle < STUCK, "nothing arrives any more");
        })
    }
    fn verify(&mut self, limit: Limit) -> Sample {
        repeat(limit, |sample| self.step(sample, true))
    }
}

/// One connection among idle ones: a request, a response, and again.
pub struct Exchange<P: Pair> {
    pair: P,
    conn: (P::Conn, P::Conn),
    data: Vec<u8>,
    into: Vec<u8>,
}

impl<P: Pair> Exchange<P> {
    pub fn new(mut pair: P, size: usize, idle: usize) -> Self {
        if idle > 0 {
            pair.add_idle(idle);
        }
        let conn = open(&mut pair, 0);
        Exchange {
            pair,
            conn,
            data: vec![0x5a; size],
            into: vec![0; size],
        }
    }
    #[inline]
    fn step(&mut self, sample: &mut Sample) {
        let frames = exchange(&mut self.pair, self.conn, &self.data, &mut self.into);
        self.pair.advance(1);
        sample.units += 1;
        sample.frames += frames;
    }
}

/// A request and its response; returns the number of frames.
#[inline]
fn exchange<P: Pair>(
    pair: &mut P,
    (client, server): (P::Conn, P::Conn),
    data: &[u8],
    into: &mut [u8],
) -> u64 {
    assert_eq!(pair.send(End::Client, client, data), data.len());
    let request = turn(pair, End::Client);
    assert_eq!(
        pair.recv(End::Server, server, into),
        Some(data.len()),
        "the request has come"
    );
    assert_eq!(pair.send(End::Server, server, data), data.len());
    let response = turn(pair, End::Server);
    assert_eq!(
        pair.recv(End::Client, client, into),
        Some(data.len()),
        "the response has come"
    );
    (request + response) as u64
}

impl<P: Pair> Work for Exchange<P> {
    fn run(&mut self, limit: Limit) -> Sample {
        repeat(limit, |sample| self.step(sample))
    }
    fn verify(&mut self, limit: Limit) -> Sample {
        let mut n = 0_u8;
        repeat(limit, |sample| {
            n = n.wrapping_add(1);
            self.data.fill(n);
            self.step(sample);
            assert!(
                self.into.iter().all(|&octet| octet == n),
                "the response is the request"
            );
        })
    }
}

/// Connections opened, used for one exchange and closed at both ends: `width` at a time, those of one step in the same turns.
pub struct Connections<P: Pair> {
    pair: P,
    data: Vec<u8>,
    into: Vec<u8>,
    width: usize,
    between: u64,
    clients: Vec<P::Conn>,
    servers: Vec<P::Conn>,
}

impl<P: Pair> Connections<P> {
    /// `between`: microseconds of virtual time for each connection, which decides how many stand in TIME-WAIT.
    pub fn new(pair: P, size: usize, width: usize, between: u64) -> Self {
        Connections {
            pair,
            data: vec![0x5a; size],
            into: vec![0; size],
            width,
            between,
            clients: Vec::with_capacity(width),
            servers: Vec::with_capacity(width),
        }
    }
    #[inline]
    fn step(&mut self, sample: &mut Sample) {
        let Connections {
            pair,
            data,
            into,
            clients,
            servers,
            ..
        } = self;
        clients.clear();
        servers.clear();
        for _ in 0..self.width {
            clients.push(pair.connect(0));
        }
        let mut frames = turn(pair, End::Client) + turn(pair, End::Server);
        if !data.is_empty() {
            ask(pair, clients, data);
        }
        frames += turn(pair, End::Client);
        for _ in 0..self.width {
            servers.push(pair.accept(0).expect("the connection has come"));
        }
        if !data.is_empty() {
            frames += answer(pair, clients, servers, data, into);
        }
        for &client in &*clients {
            pair.close(End::Client, client);
        }
        frames += turn(pair, End::Client);
        for &server in &*servers {
            assert_eq!(
                pair.recv(End::Server, server, &mut [0]),
                None,
                "the client has closed"
            );
            pair.close(End::Server, server);
        }
        frames += turn(pair, End::Server);
        frames += turn(pair, End::Client);
        for (&client, &server) in clients.iter().zip(&*servers) {
            pair.finish(client, server);
        }
        pair.advance(self.between * self.width as u64);
        sample.units += self.width as u64;
        sample.frames += frames as u64;
    }
}

/// Each client sends its request.
#[inline(never)]
fn ask<P: Pair>(pair: &mut P, clients: &[P::Conn], data: &[u8]) {
    for &client in clients {
        assert_eq!(pair.send(End::Client, client, data), data.len());
    }
}

/// Each server reads its request and answers with as much, which the client reads; returns the number of frames.
#[inline(never)]
fn answer<P: Pair>(
    pair: &mut P,
    clients: &[P::Conn],
    servers: &[P::Conn],
    data: &[u8],
    into: &mut [u8],
) -> usize {
    for &server in servers {
        assert_eq!(pair.recv(End::Server, server, into), Some(data.len()));
        assert_eq!(pair.send(End::Server, server, data), data.len());
    }
    let frames = turn(pair, End::Server);
    for &client in clients {
        assert_eq!(pair.recv(End::Client, client, into), Some(data.len()));
    }
    frames
}

impl<P: Pair> Work for Connections<P> {
    fn run(&mut self, limit: Limit) -> Sample {
        repeat(limit, |sample| self.step(sample))
    }
    fn verify(&mut self, limit: Limit) -> Sample {
        repeat(limit, |sample| {
            self.step(sample);
            assert_eq!(self.data, self.into, "the response is the request");
        })
    }
}

/// Octets held for each idle established endpoint, `n` connections standing.
pub fn octets_per_endpoint<P: Pair>(pair: &mut P, n: usize) -> f64 {
    let before = alloc::held();
    pair.add_idle(n);
    (alloc::held() as f64 - before as f64) / (2 * n) as f64
}
