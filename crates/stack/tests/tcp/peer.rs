//! A scripted peer: one real stack against segments made by hand, written as a ladder diagram is read.
//!
//! ```text
//!   let mut p = Peer::established(Setup::default());
//!   p.send(data(1, 1, b"python"));          // the peer's segment: its sequence number, what it acknowledges
//!   p.at(200).expect("ACK 1 ack 7");        // what leaves the stack, 200 ms after the last mark
//!   p.quiet();                              // and nothing else
//! ```
//!
//! Sequence numbers are relative to each side's initial one, so the SYN is 0 and the first octet 1. What leaves is
//! written `FLAGS seq[+len] [ack n]`. Nothing passes unseen: [`Peer::expect`] takes segments in order, and a peer that
//! is dropped with segments nobody expected fails its test.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sockeye_stack::tcp::{
    EcnField, Flags, Options, SackBlock, SackBlocks, Segment, SeqNumber, State, TcpInfo, TcpOptions,
    TcpSocket, Timestamps,
};
use sockeye_stack::trace::{Cause, DropReason, TraceEvent, TraceMask};
use sockeye_stack::wire::{self, Check, checksum, ipv4, ipv6};
use sockeye_stack::{
    Config, Duration, Frame, Instant, InterfaceConfig, InterfaceId, Profile, Readiness, RxMeta, SocketId,
    Stack,
};

pub const IF: InterfaceId = InterfaceId(0);
/// The port of the stack's listener, or of the peer that the stack connects to.
pub const PORT: u16 = 80;
/// The peer's own port where the stack listens.
pub const PEER_PORT: u16 = 40_000;
/// The peer's initial sequence number: far enough from zero, and near enough to the wrap to cross it.
pub const PEER_ISS: u32 = 0xffff_ff00;

/// What the peer's SYN offers, and how the stack is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    pub config: Config,
    pub options: TcpOptions,
    pub mss: Option<u16>,
    pub window_scale: Option<u8>,
    pub sack: bool,
    /// The peer's clock at the start, where it offers timestamps.
    pub timestamps: Option<u32>,
    pub window: u16,
    pub mtu: u32,
    pub v6: bool,
}

impl Default for Setup {
    /// A peer without options but MSS 1000, which makes numbers easy to read, and NewReno, whose window can be
    /// worked out by hand.
    fn default() -> Self {
        let mut config = Config::new(Profile::Rfc);
        config.congestion_control = sockeye_stack::config::CongestionControl::NewReno;
        Setup {
            config,
            options: TcpOptions::default(),
            mss: Some(1000),
            window_scale: None,
            sack: false,
            timestamps: None,
            window: 65_535,
            mtu: 1500,
            v6: false,
        }
    }
}

/// A segment to hand to the stack, numbers relative.
#[derive(Clone, Debug, Default)]
pub struct Seg {
    pub flags: Flags,
    pub seq: i64,
    pub ack: i64,
    pub window: Option<u16>,
    pub urgent: u16,
    pub options: Options,
    /// Octets of options as they are, instead of `options`.
    pub raw_options: Option<Vec<u8>>,
    pub data: Vec<u8>,
    pub no_timestamps: bool,
    /// Added to the checksum.
    pub spoil: u16,
    /// The ECN field of the IP header.
    pub ecn: EcnField,
}

/// A segment with these flags.
pub fn seg(flags: Flags, seq: i64, ack: i64) -> Seg {
    Seg {
        flags,
        seq,
        ack,
        ..Seg::default()
    }
}
/// A bare ACK.
pub fn ack(seq: i64, ack: i64) -> Seg {
    seg(Flags::ACK, seq, ack)
}
/// Data, pushed.
pub fn data(seq: i64, ack: i64, data: &[u8]) -> Seg {
    Seg {
        data: data.to_vec(),
        ..seg(Flags::PSH | Flags::ACK, seq, ack)
    }
}
/// `n` octets of data.
pub fn octets(seq: i64, ack: i64, n: usize) -> Seg {
    data(seq, ack, &pattern(seq, n))
}
/// FIN,ACK.
pub fn fin(seq: i64, ack: i64) -> Seg {
    seg(Flags::FIN | Flags::ACK, seq, ack)
}
/// RST.
pub fn rst(seq: i64) -> Seg {
    seg(Flags::RST, seq, 0)
}
/// The octets that belong at a sequence number: each tells its place.
pub fn pattern(seq: i64, n: usize) -> Vec<u8> {
    (0..n as i64).map(|i| (((seq + i) * 31) >> 2) as u8).collect()
}

impl Seg {
    pub fn window(mut self, window: u16) -> Self {
        self.window = Some(window);
        self
    }
    pub fn urgent(mut self, pointer: u16) -> Self {
        self.flags |= Flags::URG;
        self.urgent = pointer;
        self
    }
    pub fn with(mut self, flags: Flags) -> Self {
        self.flags |= flags;
        self
    }
    pub fn ecn(mut self, ecn: EcnField) -> Self {
        self.ecn = ecn;
        self
    }
    /// Marked by a router.
    pub fn ce(self) -> Self {
        self.ecn(EcnField::Ce)
    }
    pub fn raw(mut self, options: &[u8]) -> Self {
        self.raw_options = Some(options.to_vec());
        self
    }
    pub fn mss(mut self, mss: u16) -> Self {
        self.options.mss = Some(mss);
        self
    }
    pub fn ts(mut self, value: u32, echo: u32) -> Self {
        self.options.timestamps = Some(Timestamps { value, echo });
        self
    }
    /// SACK blocks, relative to the stack's initial sequence number.
    pub fn sack(mut self, blocks: &[(u32, u32)]) -> Self {
        let block = |&(start, end)| SackBlock {
            start: SeqNumber(start),
            end: SeqNumber(end),
        };
        self.options.sack = SackBlocks::from_iter(blocks.iter().map(block));
        self
    }
}

/// A segment that left the stack, numbers relative.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Instant,
    pub segment: Segment,
    /// The port that it is sent to.
    pub to: u16,
    pub seq: i64,
    pub ack: i64,
    pub data: Vec<u8>,
    pub cause: Cause,
    pub hop_limit: u8,
    pub traffic_class: u8,
    /// IPv4: routers may not fragment it.
    pub dont_fragment: bool,
    /// The header's options as they stand there.
    pub raw_options: Vec<u8>,
    /// The options, SACK blocks relative to the peer's initial sequence number.
    pub sack: Vec<(i64, i64)>,
}

impl std::fmt::Display for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.segment.flags, self.seq)?;
        if !self.data.is_empty() {
            write!(f, "+{}", self.data.len())?;
        }
        if self.segment.flags.contains(Flags::ACK) {
            write!(f, " ack {}", self.ack)?;
        }
        if self.segment.flags.contains(Flags::URG) {
            write!(f, " urg {}", self.segment.urgent)?;
        }
        for (start, end) in &self.sack {
            write!(f, " sack {start}-{end}")?;
        }
        Ok(())
    }
}

pub struct Peer {
    pub stack: Stack,
    pub setup: Setup,
    pub now: Instant,
    /// Times in `at` count from here.
    pub mark: Instant,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// The stack's initial sequence number, once its SYN was seen.
    pub iss: SeqNumber,
    /// The peer's.
    pub irs: SeqNumber,
    /// The connection's socket.
    pub id: Option<SocketId>,
    pub listener: Option<SocketId>,
    /// The peer's TSval; goes with each segment once agreed.
    pub ts_value: Option<u32>,
    /// The stack's last TSval, which the peer echoes.
    pub ts_seen: u32,
    out: VecDeque<Sent>,
    pub told: Readiness,
    pub trace: Vec<TraceEvent>,
    /// ICMP and other packets that are not TCP.
    pub others: Vec<Vec<u8>>,
    window: u16,
    lenient: bool,
}

impl Drop for Peer {
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.lenient {
            let left: Vec<_> = self.out.iter().map(ToString::to_string).collect();
            assert!(left.is_empty(), "segments that nobody expected: {left:?}");
        }
    }
}

impl Peer {
    pub fn new(setup: Setup) -> Peer {
        let now = Instant::from_secs(1000);
        let (ours, theirs): (IpAddr, IpAddr) = if setup.v6 {
            let host = |n| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n).into();
            (host(1), host(2))
        } else {
            (
                Ipv4Addr::new(10, 0, 0, 1).into(),
                Ipv4Addr::new(10, 0, 0, 2).into(),
            )
        };
        let mut stack = Stack::new(setup.config.clone(), [7; 32]);
        let prefix = if setup.v6 { 64 } else { 24 };
        stack.add_interface(now, InterfaceConfig::ip("ip0", setup.mtu).address(ours, prefix));
        stack.trace_mut().set_mask(TraceMask::EVENTS);
        let mut peer = Peer {
            stack,
            now,
            mark: now,
            local: SocketAddr::new(ours, PORT),
            remote: SocketAddr::new(theirs, PEER_PORT),
            iss: SeqNumber(0),
            irs: SeqNumber(PEER_ISS),
            id: None,
            listener: None,
            ts_value: None,
            ts_seen: 0,
            out: VecDeque::new(),
            told: Readiness::empty(),
            trace: Vec::new(),
            others: Vec::new(),
            window: setup.window,
            lenient: false,
            setup,
        };
        peer.drain();
        peer.out.clear();
        peer.others.clear();
        peer
    }

    /// A passive connection, accepted, with the handshake done.
    pub fn established(setup: Setup) -> Peer {
        let mut p = Peer::new(setup);
        p.listen();
        p.handshake();
        p.accept();
        p.told = Readiness::empty();
        p
    }
    /// The same by active open.
    pub fn connected(setup: Setup) -> Peer {
        let mut p = Peer::new(setup);
        p.connect();
        p.take();
        p.send(p.syn().with(Flags::ACK).acking(1));
        p.expect("ACK 1 ack 1");
        p.told = Readiness::empty();
        p
    }

    pub fn listen(&mut self) {
        self.listen_with(8);
    }
    pub fn listen_with(&mut self, backlog: u32) {
        let id = self.stack.tcp_socket(self.setup.options);
        self.stack.tcp_bind(id, self.local).unwrap();
        self.stack.tcp_listen(id, backlog).unwrap();
        self.listener = Some(id);
    }
    /// Active open towards the peer's port 80. The SYN is left in the queue.
    pub fn connect(&mut self) {
        let id = self.stack.tcp_socket(self.setup.options);
        self.remote.set_port(PORT);
        self.stack.tcp_connect(self.now, id, self.remote).unwrap();
        self.id = Some(id);
        self.drain();
        self.local = self.stack.tcp(self.now, id).unwrap().local_addr().unwrap();
    }
    /// The peer's SYN, as the setup has it.
    pub fn syn(&self) -> Seg {
        let s = &self.setup;
        let mut syn = seg(Flags::SYN, 0, 0);
        syn.options = Options {
            mss: s.mss,
            window_scale: s.window_scale,
            sack_permitted: s.sack,
            timestamps: s.timestamps.map(|value| Timestamps { value, echo: 0 }),
            ..Options::default()
        };
        syn
    }
    /// SYN, SYN,ACK, ACK with the stack as listener.
    pub fn handshake(&mut self) {
        self.send(self.syn());
        let answer = self.take();
        assert!(answer.to_string().starts_with("SYN,ACK 0 ack 1"), "{answer}");
        self.send(ack(1, 1));
    }
    pub fn accept(&mut self) -> SocketId {
        let listener = self.listener.expect("listening");
        let (id, _) = self
            .stack
            .tcp_accept(self.now, listener)
            .unwrap()
            .expect("a connection to accept");
        self.id = Some(id);
        self.drain();
        id
    }

    // What the peer does.

    /// Hands a segment to the stack and collects what it sends in answer.
    pub fn send(&mut self, seg: Seg) {
        self.queue(seg);
        self.drain();
    }
    /// Hands a segment in without letting the stack answer yet (MUST-59).
    pub fn queue(&mut self, seg: Seg) {
        let packet = self.packet(&seg, self.remote, self.local);
        self.stack
            .handle_frame(self.now, IF, Frame::from(packet), RxMeta::default());
    }
    /// Hands a whole packet in.
    pub fn send_packet(&mut self, packet: Vec<u8>) {
        self.stack
            .handle_frame(self.now, IF, Frame::from(packet), RxMeta::default());
        self.drain();
    }
    /// The octets of a segment on its way from one address to another.
    pub fn packet(&self, s: &Seg, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
        let mut segment = Segment {
            seq: SeqNumber(self.irs.0.wrapping_add(s.seq as u32)),
            ack: SeqNumber(if s.flags.contains(Flags::ACK) {
                self.iss.0.wrapping_add(s.ack as u32)
            } else {
                0
            }),
            flags: s.flags,
            window: s.window.unwrap_or(self.window),
            urgent: s.urgent,
            payload_len: s.data.len() as u32,
            options: s.options,
            ecn: s.ecn,
        };
        let absolute = |b: &SackBlock| SackBlock {
            start: self.iss + b.start.0,
            end: self.iss + b.end.0,
        };
        segment.options.sack = s.options.sack.as_slice().iter().map(absolute).collect();
        if let Some(value) = self.ts_value
            && !s.no_timestamps
            && segment.options.timestamps.is_none()
            && !s.flags.contains(Flags::RST)
        {
            segment.options.timestamps = Some(Timestamps {
                value,
                echo: self.ts_seen,
            });
        }
        let mut tcp = vec![0; wire::tcp::header_len(&segment)];
        wire::tcp::emit(&segment, from.port(), to.port(), &mut tcp);
        if let Some(raw) = &s.raw_options {
            tcp.truncate(20);
            tcp.extend_from_slice(raw);
            assert_eq!(tcp.len() % 4, 0, "options are padded");
            tcp[12] = ((tcp.len() / 4) as u8) << 4;
        }
        tcp.extend_from_slice(&s.data);
        let pseudo = checksum::pseudo(from.ip(), to.ip(), wire::protocol::TCP, tcp.len() as u32);
        let sum = pseudo.add(&tcp).finish().wrapping_add(s.spoil);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        let mut packet = ip_packet(from.ip(), to.ip(), wire::protocol::TCP, &tcp);
        set_ecn(&mut packet, s.ecn);
        packet
    }

    // Time.

    /// Lets the stack send what it owes now.
    pub fn drain(&mut self) {
        let mut frame = Frame::new();
        while let Some(meta) = self.stack.poll_transmit(self.now, &mut frame) {
            let bytes = std::mem::take(&mut frame).to_vec();
            match self.read(&bytes, meta.cause) {
                Some(sent) => self.out.push_back(sent),
                None => self.others.push(bytes),
            }
        }
        while let Some(event) = self.stack.poll_event() {
            if Some(event.socket) == self.id || Some(event.socket) == self.listener {
                self.told |= event.ready;
            }
        }
        self.trace.extend(self.stack.trace_mut().drain());
        if let Some((at, why)) = self.stack.next_timeout() {
            assert!(at >= self.now, "{why:?} stands in the past: {at} at {}", self.now);
        }
    }

    fn read(&mut self, packet: &[u8], cause: Cause) -> Option<Sent> {
        let (at, protocol, hop_limit, traffic_class, dont_fragment) = if packet[0] >> 4 == 4 {
            let header = ipv4::parse(packet, packet.len(), Check::Verify).expect("we send good headers");
            (
                header.header_len,
                header.protocol,
                header.hop_limit,
                header.traffic_class,
                header.dont_fragment,
            )
        } else {
            let header = ipv6::parse(packet, packet.len()).expect("we send good headers");
            (
                ipv6::HEADER_LEN,
                header.next_header,
                header.hop_limit,
                header.traffic_class,
                true,
            )
        };
        if protocol != wire::protocol::TCP {
            return None;
        }
        let tcp = &packet[at..];
        let (ours, theirs) = (self.local.ip(), self.remote.ip());
        let pseudo = checksum::pseudo(ours, theirs, protocol, tcp.len() as u32);
        assert!(pseudo.add(tcp).verify(), "MUST-2: the checksum is right");
        let header = wire::tcp::parse(tcp, tcp.len()).expect("we send good segments");
        let mut segment = header.segment;
        segment.ecn = EcnField::from_class(traffic_class);
        if segment.flags.contains(Flags::SYN) {
            self.iss = segment.seq;
        }
        if let Some(ts) = segment.options.timestamps {
            self.ts_seen = ts.value;
            if segment.flags.contains(Flags::SYN | Flags::ACK) {
                self.ts_value = self.ts_value.or(self.setup.timestamps);
            }
        }
        let relative = |n: SeqNumber, to: SeqNumber| i64::from(n.since(to) as i32);
        let (iss, irs) = (self.iss, self.irs);
        let block = |b: &SackBlock| (relative(b.start, irs), relative(b.end, irs));
        Some(Sent {
            at: self.now,
            segment,
            to: header.destination_port,
            seq: relative(segment.seq, iss),
            ack: relative(segment.ack, irs),
            data: tcp[header.header_len..].to_vec(),
            cause,
            hop_limit,
            traffic_class,
            dont_fragment,
            raw_options: tcp[20..header.header_len].to_vec(),
            sack: segment.options.sack.as_slice().iter().map(block).collect(),
        })
    }

    /// Lets time pass, with all that happens in it.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        self.drain();
        let mut turns = 0;
        while let Some((at, why)) = self.stack.next_timeout() {
            if at > until {
                break;
            }
            turns += 1;
            assert!(turns < 100_000, "{why:?} goes off for ever at {}", self.now);
            self.advance(self.now.max_of(at));
            self.stack.handle_timeout(self.now);
            self.drain();
        }
        self.advance(until);
    }
    fn advance(&mut self, to: Instant) {
        if let Some(value) = &mut self.ts_value {
            *value = value.wrapping_add((to.as_millis() - self.now.as_millis()) as u32);
        }
        self.now = to;
    }
    pub fn wait_ms(&mut self, ms: u64) {
        self.wait(Duration::from_millis(ms));
    }
    /// Times in [`Peer::at`] count from now on.
    pub fn mark(&mut self) -> &mut Self {
        self.mark = self.now;
        self
    }
    /// Goes on to this many milliseconds after the mark.
    #[track_caller]
    pub fn at(&mut self, ms: u64) -> &mut Self {
        let at = self.mark + Duration::from_millis(ms);
        assert!(
            at >= self.now,
            "{ms} ms after the mark has passed: it is {}",
            self.now
        );
        self.wait(at - self.now);
        self
    }
    /// Goes on to the next deadline, where there is one.
    pub fn next_timeout(&mut self) -> Option<sockeye_stack::trace::Timer> {
        let (at, why) = self.stack.next_timeout()?;
        self.wait(at - self.now);
        Some(why.timer)
    }

    // What the stack does.

    /// The next segment that left, which must read so. Its time is when it left: now, unless `at` says otherwise.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> Sent {
        match self.out.pop_front() {
            Some(sent) => {
                assert_eq!(sent.to_string(), text, "then came {:?}", self.waiting());
                sent
            }
            None => panic!("expected {text:?}, but nothing was sent at {}", self.now),
        }
    }
    /// The next segment that left must read so, and have left this long after the mark.
    #[track_caller]
    pub fn expect_at(&mut self, ms: u64, text: &str) -> Sent {
        let at = self.mark + Duration::from_millis(ms);
        if at > self.now {
            self.at(ms);
        }
        let sent = self.expect(text);
        let late = sent.at.since(at).max(at.since(sent.at));
        let slack = Duration::from_millis(1);
        assert!(
            late <= slack,
            "{text:?} left {} after the mark, not {ms} ms",
            sent.at.since(self.mark)
        );
        sent
    }
    /// The next segment that left, whatever it is.
    #[track_caller]
    pub fn take(&mut self) -> Sent {
        self.out.pop_front().expect("something was sent")
    }
    /// Everything that left, in the order of sending.
    pub fn take_all(&mut self) -> Vec<Sent> {
        self.out.drain(..).collect()
    }
    /// What is waiting to be expected.
    pub fn waiting(&self) -> Vec<String> {
        self.out.iter().map(ToString::to_string).collect()
    }
    /// Nothing was sent.
    #[track_caller]
    pub fn quiet(&mut self) {
        self.drain();
        assert!(
            self.out.is_empty(),
            "nothing expected, but {:?} was sent",
            self.waiting()
        );
    }
    /// Forgets what was sent, now and at the end of the test.
    pub fn ignore(&mut self) {
        self.lenient = true;
        self.out.clear();
    }

    // What the application does and sees.

    pub fn sock(&mut self) -> TcpSocket<'_> {
        let id = self.id.expect("a connection");
        self.stack.tcp(self.now, id).expect("the socket is there")
    }
    /// SEND: all of it must fit.
    #[track_caller]
    pub fn write(&mut self, data: &[u8]) {
        assert_eq!(self.sock().send(data), Ok(data.len()));
        self.drain();
    }
    /// SEND of this many octets.
    #[track_caller]
    pub fn write_n(&mut self, n: usize) {
        self.write(&pattern(0, n));
    }
    /// RECEIVE: everything that is there.
    pub fn read_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buf = [0; 8192];
        while let Ok(n) = self.sock().recv(&mut buf) {
            if n == 0 {
                break;
            }
            all.extend_from_slice(&buf[..n]);
        }
        self.drain();
        all
    }
    /// Reads `n` octets.
    #[track_caller]
    pub fn read_n(&mut self, n: usize) {
        let mut buf = vec![0; n];
        assert_eq!(self.sock().recv(&mut buf), Ok(n));
        self.drain();
    }
    pub fn close(&mut self) {
        self.sock().close();
        self.drain();
    }
    pub fn shutdown(&mut self) {
        self.sock().shutdown_send().unwrap();
        self.drain();
    }
    pub fn abort(&mut self) {
        self.sock().abort();
        self.drain();
    }
    pub fn set(&mut self, change: impl FnOnce(&mut TcpOptions)) {
        let mut options = self.sock().options();
        change(&mut options);
        self.sock().set_options(options);
        self.drain();
    }
    pub fn info(&mut self) -> TcpInfo {
        self.sock().info().expect("established")
    }
    /// What the application was told since last asked.
    pub fn told(&mut self) -> Readiness {
        self.drain();
        std::mem::take(&mut self.told)
    }
    /// The state of what has the peer's address, whoever holds it; else LISTEN or CLOSED.
    pub fn state(&self) -> State {
        let rows = self.stack.snapshot().sockets;
        let connection = rows.iter().rev().find(|r| r.remote == Some(self.remote));
        let listening = rows.iter().find(|r| r.state == Some(State::Listen));
        connection
            .or(listening)
            .and_then(|r| r.state)
            .unwrap_or(State::Closed)
    }
    #[track_caller]
    pub fn assert_state(&self, state: State) {
        assert_eq!(self.state().to_string(), state.to_string());
    }
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.stack.drops().count(reason)
    }
}

impl Seg {
    pub fn acking(mut self, ack: i64) -> Self {
        self.ack = ack;
        self
    }
}

trait MaxOf {
    fn max_of(self, other: Self) -> Self;
}
impl MaxOf for Instant {
    fn max_of(self, other: Instant) -> Instant {
        if self < other { other } else { self }
    }
}

/// Sets the ECN field of an IP header, and its checksum anew.
fn set_ecn(packet: &mut [u8], ecn: EcnField) {
    if packet[0] >> 4 == 6 {
        packet[1] = ecn.in_class(packet[1] >> 4) << 4 | packet[1] & 0x0f;
    } else {
        packet[1] = ecn.in_class(packet[1]);
        packet[10..12].fill(0);
        let sum = checksum::sum(&packet[..ipv4::HEADER_LEN]).finish();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// An IP packet around a transport's octets.
pub fn ip_packet(from: IpAddr, to: IpAddr, protocol: u8, transport: &[u8]) -> Vec<u8> {
    let mut packet;
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet = vec![0; ipv4::HEADER_LEN];
            let header = ipv4::Header::new(from, to, protocol, ipv4::HEADER_LEN + transport.len());
            ipv4::emit(&header, &mut packet);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet = vec![0; ipv6::HEADER_LEN];
            ipv6::emit(
                &ipv6::Header::new(from, to, protocol, transport.len()),
                &mut packet,
            );
        }
        _ => panic!("one family"),
    }
    packet.extend_from_slice(transport);
    packet
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
