//! Anything may come, in any order, at any time, and the application may call whatever it likes: the stack keeps its
//! promises. `Tcb::check` runs after each step in debug builds.

use proptest::prelude::*;
use sockeye_stack::config::SynCookies;
use sockeye_stack::tcp::{Flags, Keepalive, State};
use sockeye_stack::{Profile, Readiness};

use crate::peer::{Peer, Seg, Setup, ms, pattern, secs, seg};

/// Where a sequence or acknowledgment number stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// So far from what is expected next.
    Next(i64),
    /// So far from the first number.
    First(i64),
    /// At the other side's right edge.
    Edge(i64),
}

#[derive(Clone, Debug)]
enum Op {
    Segment {
        flags: u8,
        seq: Place,
        ack: Place,
        len: usize,
        window: u16,
        urgent: u16,
        sack: Vec<(u32, u32)>,
        late: u32,
    },
    Batch(bool),
    Write(usize),
    WriteUrgent(usize),
    Read(usize),
    Peek,
    Accept,
    Shutdown,
    ShutdownRead,
    Close,
    Abort,
    Option(u8),
    Wait(u64),
    NextTimeout,
    Connect,
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        12 => Just(Place::Next(0)),
        4 => (-3i64..4).prop_map(Place::Next),
        4 => (-4000i64..4000).prop_map(Place::Next),
        2 => (-3i64..4).prop_map(Place::First),
        2 => (-3i64..4).prop_map(Place::Edge),
        1 => any::<i32>().prop_map(|n| Place::Next(i64::from(n))),
    ]
}
fn flags() -> impl Strategy<Value = u8> {
    prop_oneof![
        12 => Just(Flags::ACK.bits()),
        8 => Just((Flags::ACK | Flags::PSH).bits()),
        3 => Just((Flags::ACK | Flags::FIN).bits()),
        3 => Just(Flags::SYN.bits()),
        2 => Just((Flags::SYN | Flags::ACK).bits()),
        1 => Just(Flags::RST.bits()),
        1 => Just((Flags::ACK | Flags::URG).bits()),
        1 => any::<u8>(),
    ]
}
fn segment() -> impl Strategy<Value = Op> {
    let len = prop_oneof![6 => Just(0usize), 4 => 1usize..50, 4 => Just(1000usize), 2 => 51usize..1400];
    let window = prop_oneof![6 => Just(65_535u16), 2 => 0u16..3000, 2 => Just(0u16), 1 => any::<u16>()];
    let sack = prop_oneof![4 => Just(vec![]), 1 => prop::collection::vec((0u32..30_000, 1u32..3000), 1..4)];
    let late = prop_oneof![9 => Just(0u32), 1 => 1u32..100];
    (flags(), place(), place(), len, window, any::<u16>(), sack, late).prop_map(
        |(flags, seq, ack, len, window, urgent, sack, late)| Op::Segment {
            flags,
            seq,
            ack,
            len,
            window,
            urgent: urgent % 5000,
            sack,
            late,
        },
    )
}
fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        30 => segment(),
        3 => any::<bool>().prop_map(Op::Batch),
        8 => (1usize..5000).prop_map(Op::Write),
        1 => (1usize..3000).prop_map(Op::WriteUrgent),
        6 => (1usize..8000).prop_map(Op::Read),
        1 => Just(Op::Peek),
        3 => Just(Op::Accept),
        2 => Just(Op::Shutdown),
        1 => Just(Op::ShutdownRead),
        1 => Just(Op::Close),
        1 => Just(Op::Abort),
        2 => any::<u8>().prop_map(Op::Option),
        4 => (0u64..3000).prop_map(Op::Wait),
        1 => (0u64..400_000).prop_map(Op::Wait),
        6 => Just(Op::NextTimeout),
        1 => Just(Op::Connect),
    ]
}

#[derive(Clone, Debug)]
struct Start {
    active: bool,
    timestamps: bool,
    sack: bool,
    scale: Option<u8>,
    linux: bool,
    cookies: bool,
    buffer: Option<u32>,
}
fn start() -> impl Strategy<Value = Start> {
    let scale = prop_oneof![Just(None), (0u8..16).prop_map(Some)];
    let buffer = prop_oneof![3 => Just(None), 1 => (500u32..20_000).prop_map(Some)];
    (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        scale,
        any::<bool>(),
        any::<bool>(),
        buffer,
    )
        .prop_map(
            |(active, timestamps, sack, scale, linux, cookies, buffer)| Start {
                active,
                timestamps,
                sack,
                scale,
                linux,
                cookies,
                buffer,
            },
        )
}

/// A peer, and what must hold of the connection that it has.
struct World {
    p: Peer,
    /// What the application wrote into the connection, and read from it.
    written: i64,
    read: i64,
    /// RCV.NXT and the right edge as the stack told them last; SND.NXT as seen.
    rcv_nxt: i64,
    edge: i64,
    snd_nxt: i64,
    batch: bool,
    cookies: bool,
    /// What the stack's SYN said its windows are shifted by.
    shift: u32,
    /// The acknowledgment and the right edge that it told last.
    told: Option<(i64, i64)>,
    /// The application gave up its reading side, or the peer sent what does not belong to its stream.
    deaf: bool,
}

impl World {
    fn new(start: &Start) -> World {
        let mut setup = Setup {
            sack: start.sack,
            window_scale: start.scale,
            ..Setup::default()
        };
        if start.linux {
            setup.config = sockeye_stack::Config::new(Profile::Linux);
        }
        setup.timestamps = start.timestamps.then_some(5_000);
        setup.options.urgent_inline = true;
        setup.options.receive_buffer = start.buffer;
        if start.cookies {
            setup.config.syn_cookies = SynCookies::Always;
        }
        let mut p = Peer::new(setup);
        if start.active {
            p.connect();
        } else {
            p.listen();
        }
        let mut world = World {
            p,
            written: 0,
            read: 0,
            rcv_nxt: 1,
            edge: 0,
            snd_nxt: 1,
            batch: false,
            cookies: start.cookies,
            shift: 0,
            told: None,
            deaf: false,
        };
        world.look();
        world
    }

    /// The connection is another one: nothing is known of it.
    fn forget(&mut self) {
        (self.written, self.read, self.rcv_nxt, self.edge, self.snd_nxt) = (0, 0, 1, 0, 1);
        self.deaf = false;
        self.told = None;
    }

    /// What the stack has sent is in order.
    fn look(&mut self) {
        // Once a connection is over, what follows may belong to another one.
        let lives = self.held() && self.p.sock().state() != State::Closed;
        self.told = self.told.filter(|_| lives);
        self.p.drain();
        for sent in self.p.take_all() {
            let s = &sent.segment;
            if s.flags.contains(Flags::RST) {
                self.told = None;
                continue;
            }
            if s.flags.contains(Flags::SYN) {
                let agreed = s
                    .options
                    .window_scale
                    .filter(|_| self.p.setup.window_scale.is_some());
                self.shift = agreed.map_or(0, u32::from);
                self.told = None;
                continue;
            }
            // SHLD-14, and acknowledgments that never go back.
            let edge = sent.ack + (i64::from(s.window) << self.shift);
            if let Some((last_ack, last_edge)) = self.told.filter(|_| !self.cookies) {
                let unit = 1 << self.shift;
                assert!(sent.ack >= last_ack, "{sent} after {last_ack}");
                assert!(
                    edge + unit > last_edge,
                    "{sent} tells {edge} after {last_edge}, unit {unit}"
                );
            }
            self.told = lives.then_some((sent.ack, edge));
            // With cookies, an ACK of something else may open a connection whose first number lies a little further.
            if !sent.data.is_empty() && !self.cookies {
                assert_eq!(
                    sent.data,
                    pattern(sent.seq, sent.data.len()),
                    "{sent}: the stream is intact"
                );
                assert!(
                    sent.seq >= 1 && sent.seq + sent.data.len() as i64 <= self.written + 1,
                    "{sent}"
                );
            }
            self.snd_nxt = self.snd_nxt.max(sent.seq + i64::from(s.len()));
        }
    }

    fn held(&mut self) -> bool {
        let now = self.p.now;
        self.p.id.is_some_and(|id| self.p.stack.tcp(now, id).is_ok())
    }

    fn number(&self, place: Place, next: i64, edge: i64) -> i64 {
        match place {
            Place::Next(n) => next + n,
            Place::First(n) => n,
            Place::Edge(n) => edge + n,
        }
    }

    fn run(&mut self, op: &Op) {
        let info = if self.held() { self.p.sock().info() } else { None };
        if let Some(info) = info {
            self.rcv_nxt = 1 + info.bytes_received as i64;
            self.edge = self.rcv_nxt + i64::from(info.rcv_wnd);
        }
        match op {
            Op::Segment {
                flags,
                seq,
                ack,
                len,
                window,
                urgent,
                sack,
                late,
            } => {
                let flags = Flags::from_bits_retain(*flags);
                // A new connection must not mix its octets with the old one's: SYNs keep their number.
                let seq = if flags.contains(Flags::SYN) {
                    0
                } else {
                    self.number(*seq, self.rcv_nxt, self.edge)
                };
                let ack = self.number(*ack, self.snd_nxt, self.snd_nxt + 65_535);
                let mut segment = Seg {
                    data: pattern(seq, *len),
                    urgent: *urgent,
                    ..seg(flags, seq, ack)
                }
                .window(*window);
                if flags.contains(Flags::SYN) {
                    segment.data.clear();
                    segment.options = self.p.syn().options;
                } else {
                    segment = segment.sack(&sack.iter().map(|(at, n)| (*at, at + n)).collect::<Vec<_>>());
                }
                if let Some(value) = self.p.ts_value
                    && *late > 0
                    && !flags.contains(Flags::SYN)
                {
                    segment = segment.ts(value.wrapping_sub(*late), self.p.ts_seen);
                }
                self.p.queue(segment);
            }
            Op::Batch(on) => self.batch = *on,
            Op::Wait(n) => self.p.wait_ms(*n),
            Op::NextTimeout => {
                self.p.next_timeout();
            }
            Op::Accept if !self.held() => self.accept(),
            Op::Connect if !self.held() && self.p.listener.is_none() => {
                self.look();
                if self.p.state() == State::Closed {
                    self.forget();
                    self.p.connect();
                }
            }
            _ if self.held() => self.call(op),
            _ => {}
        }
        if !self.batch {
            self.look();
        }
    }

    fn accept(&mut self) {
        let Some(listener) = self.p.listener else { return };
        if let Some((id, _)) = self.p.stack.tcp_accept(self.p.now, listener).unwrap() {
            self.look();
            self.forget();
            self.p.id = Some(id);
        }
    }

    fn call(&mut self, op: &Op) {
        let written = self.written;
        match op {
            Op::Write(n) | Op::WriteUrgent(n) => {
                let data = pattern(1 + written, *n);
                let urgent = matches!(op, Op::WriteUrgent(_));
                let mut sock = self.p.sock();
                let took = if urgent {
                    sock.send_urgent(&data)
                } else {
                    sock.send(&data)
                };
                self.written += took.unwrap_or(0) as i64;
            }
            Op::Read(n) => {
                let mut buf = vec![0; *n];
                if let Ok(got) = self.p.sock().recv(&mut buf)
                    && !self.deaf
                {
                    assert_eq!(
                        buf[..got],
                        pattern(1 + self.read, got),
                        "the peer's stream is intact"
                    );
                    self.read += got as i64;
                }
            }
            Op::Peek => {
                let mut buf = [0; 100];
                let _ = self.p.sock().peek(&mut buf);
                let _ = self.p.sock().urgent_ahead();
            }
            Op::Shutdown => drop(self.p.sock().shutdown_send()),
            Op::ShutdownRead => {
                self.p.sock().shutdown_recv();
                self.deaf = true;
            }
            Op::Close => self.p.sock().close(),
            Op::Abort => self.p.sock().abort(),
            Op::Option(n) => {
                let mut options = self.p.sock().options();
                match n % 8 {
                    0 => options.nodelay = !options.nodelay,
                    1 => options.cork = !options.cork,
                    2 => {
                        options.keepalive = Some(Keepalive {
                            idle: secs(5),
                            interval: secs(1),
                            count: 3,
                        })
                    }
                    3 => options.user_timeout = Some(secs(7)),
                    4 => options.linger = Some(ms(u64::from(*n))),
                    5 => options.quick_ack = !options.quick_ack,
                    6 => options.max_segment = Some(100 + u16::from(*n)),
                    _ => options.send_buffer = Some(2000 + u32::from(*n)),
                }
                self.p.sock().set_options(options);
            }
            _ => {}
        }
    }

    /// All is closed and nobody answers: at the end nothing is left.
    fn finish(mut self) {
        self.batch = false;
        self.look();
        if self.held() {
            self.p.sock().close();
        }
        self.look();
        if let Some(listener) = self.p.listener.take() {
            self.p.stack.tcp(self.p.now, listener).unwrap().close();
        }
        // R2 counts from the last answer, FIN-WAIT-2 and TIME-WAIT follow one another at most.
        self.p.wait(secs(4000));
        self.look();
        assert!(
            self.p.stack.snapshot().sockets.is_empty(),
            "{:?}",
            self.p.stack.snapshot()
        );
        assert_eq!(self.p.stack.next_timeout(), None, "nothing waits for anything");
        assert!(self.p.told() & Readiness::QUEUED == Readiness::empty());
        self.p.ignore();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn anything_may_happen(start in start(), ops in prop::collection::vec(op(), 0..120)) {
        let mut world = World::new(&start);
        // Most runs get a connection to play with.
        if !start.active {
            world.run(&Op::Segment {
                flags: Flags::SYN.bits(), seq: Place::First(0), ack: Place::First(0), len: 0,
                window: 65_535, urgent: 0, sack: vec![], late: 0,
            });
        } else {
            world.run(&Op::Segment {
                flags: (Flags::SYN | Flags::ACK).bits(), seq: Place::First(0), ack: Place::First(1), len: 0,
                window: 65_535, urgent: 0, sack: vec![], late: 0,
            });
        }
        world.run(&Op::Segment {
            flags: Flags::ACK.bits(), seq: Place::First(1), ack: Place::First(1), len: 0,
            window: 65_535, urgent: 0, sack: vec![], late: 0,
        });
        world.run(&Op::Accept);
        for op in &ops {
            world.run(op);
        }
        world.finish();
    }
}
