//! Two stacks on a wire of their own: frames cross after a fixed delay, and a filter may drop them.

use std::collections::VecDeque;
use std::net::SocketAddr;

use sockeye_stack::tcp::{Flags, Segment, State, TcpOptions};
use sockeye_stack::trace::{Cause, TraceEvent, TraceKind, TraceMask};
use sockeye_stack::{
    Config, Duration, Event, Frame, Instant, InterfaceConfig, InterfaceId, RxMeta, SocketId, Stack,
};

/// What became of a segment on the wire.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    pub from: usize,
    pub segment: Segment,
    pub cause: Cause,
    pub dropped: bool,
}

type Filter = Box<dyn FnMut(&Seen, usize) -> bool>;

pub struct Pair {
    pub now: Instant,
    pub stacks: [Stack; 2],
    pub delay: Duration,
    wire: VecDeque<(Instant, usize, Frame)>,
    pub seen: Vec<Seen>,
    pub trace: Vec<(usize, TraceEvent)>,
    pub events: [VecDeque<Event>; 2],
    /// Says of each segment whether to drop it; gets how many passed before.
    pub drop_if: Filter,
}

pub const A: usize = 0;
pub const B: usize = 1;
pub const IF: InterfaceId = InterfaceId(0);

pub fn addr(host: usize, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host as u8 + 1], port))
}

impl Pair {
    pub fn new(config: Config) -> Self {
        Pair::with(config.clone(), config, 1500)
    }
    pub fn with(a: Config, b: Config, mtu: u32) -> Self {
        let now = Instant::from_secs(1);
        let make = |config, host: u8| {
            let mut stack = Stack::new(config, [host + 1; 32]);
            let interface = InterfaceConfig::ip("ip0", mtu).address([10, 0, 0, host + 1], 24);
            stack.add_interface(now, interface);
            stack.trace_mut().set_mask(TraceMask::EVENTS);
            stack
        };
        Pair {
            now,
            stacks: [make(a, 0), make(b, 1)],
            delay: Duration::from_millis(5),
            wire: VecDeque::new(),
            seen: Vec::new(),
            trace: Vec::new(),
            events: Default::default(),
            drop_if: Box::new(|_, _| false),
        }
    }

    /// Lets both stacks send what they owe.
    pub fn drain(&mut self) {
        for host in [A, B] {
            let mut frame = Frame::new();
            while let Some(meta) = self.stacks[host].poll_transmit(self.now, &mut frame) {
                let frame = std::mem::take(&mut frame);
                self.put(host, frame, meta.cause);
            }
            while let Some(event) = self.stacks[host].poll_event() {
                self.events[host].push_back(event);
            }
            let events: Vec<_> = self.stacks[host].trace_mut().drain().collect();
            self.trace.extend(events.into_iter().map(|e| (host, e)));
        }
    }

    fn put(&mut self, host: usize, frame: Frame, cause: Cause) {
        let bytes = frame.to_vec();
        let dropped = match parse(&bytes) {
            Some(segment) => {
                let mut seen = Seen {
                    at: self.now,
                    from: host,
                    segment,
                    cause,
                    dropped: false,
                };
                seen.dropped = (self.drop_if)(&seen, self.seen.len());
                let dropped = seen.dropped;
                self.seen.push(seen);
                dropped
            }
            None => false,
        };
        if !dropped {
            self.wire.push_back((self.now + self.delay, 1 - host, frame));
        }
    }

    /// Goes to the next thing that happens, at the latest `until`. Says whether anything did.
    pub fn step(&mut self, until: Instant) -> bool {
        self.drain();
        let timeouts = self
            .stacks
            .iter()
            .filter_map(|s| s.next_timeout())
            .map(|(at, _)| at);
        let arrivals = self.wire.iter().map(|(at, _, _)| *at);
        let Some(next) = timeouts.chain(arrivals).min() else {
            return false;
        };
        assert!(next >= self.now, "no deadline in the past");
        if next > until {
            self.now = until;
            return false;
        }
        self.now = next;
        while self.wire.front().is_some_and(|(at, _, _)| *at <= self.now) {
            if let Some((_, to, frame)) = self.wire.pop_front() {
                self.stacks[to].handle_frame(self.now, IF, frame, RxMeta::default());
            }
        }
        for stack in &mut self.stacks {
            stack.handle_timeout(self.now);
        }
        true
    }
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
    }
    /// Runs until nothing is left to happen.
    pub fn run_out(&mut self) {
        let mut turns = 0;
        while self.step(Instant::NEVER) {
            turns += 1;
            assert!(
                turns < 20_000,
                "it goes on for ever: {:?}",
                self.ladder(self.seen.len().saturating_sub(8))
            );
        }
    }

    pub fn listen(&mut self, host: usize, port: u16, options: TcpOptions, backlog: u32) -> SocketId {
        let stack = &mut self.stacks[host];
        let id = stack.tcp_socket(options);
        stack.tcp_bind(id, addr(host, port)).unwrap();
        stack.tcp_listen(id, backlog).unwrap();
        id
    }
    pub fn connect(&mut self, host: usize, port: u16, options: TcpOptions) -> SocketId {
        let now = self.now;
        let stack = &mut self.stacks[host];
        let id = stack.tcp_socket(options);
        stack.tcp_connect(now, id, addr(1 - host, port)).unwrap();
        id
    }
    /// A connection from A to B's port 80, both ends established.
    pub fn connected(&mut self) -> (SocketId, SocketId) {
        self.connected_with(TcpOptions::default(), TcpOptions::default())
    }
    pub fn connected_with(&mut self, a: TcpOptions, b: TcpOptions) -> (SocketId, SocketId) {
        let listener = self.listen(B, 80, b, 8);
        let client = self.connect(A, 80, a);
        self.run_for(Duration::from_millis(50));
        let now = self.now;
        let (server, _) = self.stacks[B]
            .tcp_accept(now, listener)
            .unwrap()
            .expect("handshake complete");
        (client, server)
    }
    pub fn state(&mut self, host: usize, id: SocketId) -> State {
        let now = self.now;
        self.stacks[host]
            .tcp(now, id)
            .map_or(State::Closed, |s| s.state())
    }
    pub fn send(&mut self, host: usize, id: SocketId, data: &[u8]) -> usize {
        let now = self.now;
        self.stacks[host].tcp(now, id).unwrap().send(data).unwrap()
    }
    /// Everything that can be read now.
    pub fn recv_all(&mut self, host: usize, id: SocketId) -> Vec<u8> {
        let now = self.now;
        let mut out = Vec::new();
        let mut buf = [0; 4096];
        while let Ok(n) = self.stacks[host].tcp(now, id).unwrap().recv(&mut buf) {
            if n == 0 {
                break;
            }
            out.extend_from_slice(&buf[..n]);
        }
        out
    }
    /// The flags and payload of what crossed the wire since the `from`th segment, as `A SYN`, `B PSH,ACK 5`.
    pub fn ladder(&self, from: usize) -> Vec<String> {
        self.seen[from..]
            .iter()
            .map(|s| {
                let host = if s.from == A { "A" } else { "B" };
                let len = if s.segment.payload_len > 0 {
                    format!(" {}", s.segment.payload_len)
                } else {
                    String::new()
                };
                let lost = if s.dropped { " lost" } else { "" };
                format!("{host} {}{len}{lost}", s.segment.flags)
            })
            .collect()
    }
}

fn parse(packet: &[u8]) -> Option<Segment> {
    let header_len = usize::from(packet[0] & 15) * 4;
    if packet[9] != 6 {
        return None;
    }
    let tcp = &packet[header_len..];
    Some(sockeye_stack::wire::tcp::parse(tcp, tcp.len()).ok()?.segment)
}
