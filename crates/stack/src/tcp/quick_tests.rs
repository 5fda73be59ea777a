//! The short ways ([`super::predict`], [`super::quick`]) and the general one do the same: whatever happens to two hosts, each
//! frame, event, deadline, trace and answer is equal with and without them.

use core::net::{Ipv4Addr, SocketAddr};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::TcpOptions;
use crate::config::{Config, CongestionControl, Ecn, Profile};
use crate::frame::{Frame, RxMeta, TxMeta};
use crate::iface::{Capabilities, InterfaceConfig};
use crate::stack::{InterfaceId, SocketId, Stack};
use crate::time::{Duration, Instant};
use crate::trace::TraceMask;
use crate::wire::checksum;

const CONNECTIONS: usize = 3;

/// What is chosen for both hosts.
#[derive(Clone, Copy, Debug)]
struct Setting {
    profile: Profile,
    congestion: CongestionControl,
    sack: bool,
    timestamps: bool,
    scaling: bool,
    ecn: bool,
    checksums: bool,
    mtu: u32,
    buffer: Option<u32>,
    nodelay: bool,
    /// Everything is traced.
    traced: bool,
}

/// What happens to the hosts. The first number is the host, the second the connection.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send(usize, usize, usize),
    Receive(usize, usize, usize),
    Pass(u64),
    /// So many frames reach the host, if so many are on the link.
    Deliver(usize, usize),
    Lose(usize),
    Repeat(usize),
    /// The first frame on the link goes to its end.
    Delay(usize),
    /// A router marks the first frame: congestion experienced.
    Mark(usize),
    /// An octet of the first frame changes.
    Damage(usize, usize, u8),
    Options(usize, usize, u8),
    Urgent(usize, usize),
    Shutdown(usize, usize),
    Close(usize, usize),
    /// The first host opens another connection in the place of this one, which goes on by itself.
    Connect(usize),
    /// The second host takes a connection that was opened, in the place of this one.
    Accept(usize),
    /// All that is on the links arrives, both ways, and everything is read.
    Settle,
}

/// Which ways segments take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ways {
    /// The general one alone.
    General,
    /// The short ones too.
    Short,
    /// The short ones too, with frames in contiguous buffers of the driver's.
    Pieces,
}

struct World {
    setting: Setting,
    ways: Ways,
    now: Instant,
    hosts: [Stack; 2],
    interfaces: [InterfaceId; 2],
    /// Frames on their way to each host.
    links: [Vec<Frame>; 2],
    sockets: [[SocketId; CONNECTIONS]; 2],
    listener: SocketId,
    log: Vec<String>,
}

fn server() -> SocketAddr {
    SocketAddr::new(address(1).into(), 80)
}

fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 1 + host as u8)
}

impl World {
    fn new(setting: Setting, ways: Ways) -> World {
        let now = Instant::from_secs(100);
        let mut interfaces = [InterfaceId(0); 2];
        let hosts = [0, 1].map(|host| {
            let mut config = Config::new(setting.profile);
            config.congestion_control = setting.congestion;
            config.sack = setting.sack;
            config.timestamps = setting.timestamps;
            config.window_scaling = setting.scaling;
            if setting.ecn {
                config.ecn = Ecn::Always;
            }
            let mut stack = Stack::new(config, [host as u8; 32]);
            stack.tcp.general_only = ways == Ways::General;
            let mut link = InterfaceConfig::ip("link", setting.mtu).address(address(host), 24);
            link.capabilities = Capabilities {
                no_checksums: !setting.checksums,
                ..Capabilities::default()
            };
            interfaces[host] = stack.add_interface(now, link);
            if setting.traced {
                stack.trace_mut().set_mask(TraceMask::all());
            }
            stack
        });
        let nobody = SocketId {
            slot: 0,
            generation: u32::MAX,
        };
        let mut world = World {
            setting,
            ways,
            now,
            hosts,
            interfaces,
            links: Default::default(),
            sockets: [[nobody; CONNECTIONS]; 2],
            listener: nobody,
            log: Vec::new(),
        };
        world.open();
        world
    }
    fn options(&self) -> TcpOptions {
        TcpOptions {
            send_buffer: self.setting.buffer,
            receive_buffer: self.setting.buffer,
            nodelay: self.setting.nodelay,
            ..TcpOptions::default()
        }
    }
    fn open(&mut self) {
        let options = self.options();
        self.listener = self.hosts[1].tcp_socket(options);
        self.hosts[1].tcp_bind(self.listener, server()).unwrap();
        self.hosts[1].tcp_listen(self.listener, 10).unwrap();
        for n in 0..CONNECTIONS {
            self.connect(n);
            self.settle();
            self.accept(n);
        }
    }
    fn connect(&mut self, n: usize) {
        let options = self.options();
        let client = self.hosts[0].tcp_socket(options);
        self.hosts[0].tcp_connect(self.now, client, server()).unwrap();
        self.sockets[0][n] = client;
    }
    fn accept(&mut self, n: usize) {
        let accepted = self.hosts[1].tcp_accept(self.now, self.listener).unwrap();
        self.log.push(format!("{accepted:?}"));
        if let Some((accepted, _)) = accepted {
            self.sockets[1][n] = accepted;
        }
    }
    /// Drains what both hosts have to send and to tell.
    fn drain(&mut self) {
        for host in [0, 1] {
            let stack = &mut self.hosts[host];
            if stack.next_timeout().is_some_and(|(at, _)| at <= self.now) {
                stack.handle_timeout(self.now);
            }
            while let Some((meta, frame)) = next_frame(stack, self.now, self.ways) {
                self.log
                    .push(format!("{host} sends {meta:?} {:02x?}", frame.to_vec()));
                self.links[1 - host].push(frame);
            }
            while let Some(event) = stack.poll_event() {
                self.log.push(format!("{host} tells {event:?}"));
            }
            self.log.push(format!("{host} waits {:?}", stack.next_timeout()));
            let traced: Vec<_> = stack.trace_mut().drain().collect();
            self.log
                .extend(traced.iter().map(|event| format!("{host} {event:?}")));
        }
    }
    fn deliver(&mut self, host: usize, count: usize) {
        let count = count.min(self.links[host].len());
        for mut frame in self.links[host].drain(..count) {
            let (stack, on, meta) = (&mut self.hosts[host], self.interfaces[host], RxMeta::default());
            if self.ways == Ways::Pieces {
                stack.handle_octets(self.now, on, &frame.to_vec(), meta);
            } else {
                stack.handle_frame_in(self.now, on, &mut frame, meta);
                assert!(frame.is_empty(), "a frame comes back empty");
            }
        }
    }
    fn settle(&mut self) {
        for _ in 0..200 {
            self.drain();
            if self.links.iter().all(Vec::is_empty) {
                return;
            }
            self.deliver(0, usize::MAX);
            self.deliver(1, usize::MAX);
        }
    }
    fn step(&mut self, step: Step) {
        let (now, sockets) = (self.now, self.sockets);
        let mut octets = [0; 4096];
        let answer = match step {
            Step::Send(host, n, len) => {
                octets
                    .iter_mut()
                    .enumerate()
                    .for_each(|(i, octet)| *octet = i as u8);
                let socket = self.hosts[host].tcp(now, sockets[host][n]);
                socket.map(|mut socket| format!("{:?}", socket.send(&octets[..len])))
            }
            Step::Receive(host, n, len) => {
                let socket = self.hosts[host].tcp(now, sockets[host][n]);
                socket.map(|mut socket| {
                    format!("{:?} {:02x?}", socket.recv(&mut octets[..len]), &octets[..len])
                })
            }
            Step::Urgent(host, n) => {
                let socket = self.hosts[host].tcp(now, sockets[host][n]);
                socket.map(|mut socket| format!("{:?}", socket.send_urgent(b"!")))
            }
            Step::Options(host, n, bits) => {
                let socket = self.hosts[host].tcp(now, sockets[host][n]);
                socket.map(|mut socket| {
                    let mut options = socket.options();
                    (options.nodelay, options.cork) = (bits & 1 != 0, bits & 2 != 0);
                    (options.quick_ack, options.traffic_class) = (bits & 4 != 0, bits & 0xf0);
                    options.hop_limit = (bits & 8 != 0).then_some(bits);
                    socket.set_options(options);
                    String::new()
                })
            }
            Step::Shutdown(host, n) => {
                let socket = self.hosts[host].tcp(now, sockets[host][n]);
                socket.map(|mut socket| format!("{:?}", socket.shutdown_send()))
            }
            Step::Close(host, n) => {
                let socket = self.hosts[host].tcp(now, sockets[host][n]);
                socket.map(|socket| {
                    socket.close();
                    String::new()
                })
            }
            Step::Connect(n) => {
                self.connect(n);
                Ok(String::new())
            }
            Step::Accept(n) => {
                self.accept(n);
                Ok(String::new())
            }
            Step::Pass(micros) => {
                self.now += Duration::from_micros(micros);
                Ok(String::new())
            }
            Step::Settle => {
                self.settle();
                (0..2 * CONNECTIONS).for_each(|i| self.step(Step::Receive(i % 2, i / 2, 4096)));
                self.settle();
                Ok(String::new())
            }
            _ => {
                self.on_link(step);
                Ok(String::new())
            }
        };
        self.log.push(format!("{step:?} {answer:?}"));
        self.drain();
    }
    fn on_link(&mut self, step: Step) {
        match step {
            Step::Deliver(host, count) => self.deliver(host, count),
            Step::Lose(host) if !self.links[host].is_empty() => {
                self.links[host].remove(0);
            }
            Step::Repeat(host) => {
                let first = self.links[host].first().cloned();
                self.links[host].extend(first);
            }
            Step::Delay(host) if !self.links[host].is_empty() => self.links[host].rotate_left(1),
            Step::Mark(host) => {
                if let Some(frame) = self.links[host].first_mut() {
                    let mut whole = frame.to_vec();
                    whole[1] |= 3;
                    whole[10..12].fill(0);
                    let sum = checksum::sum(&whole[..20]).finish();
                    whole[10..12].copy_from_slice(&sum.to_be_bytes());
                    *frame = Frame::from(whole);
                }
            }
            Step::Damage(host, at, change) => {
                if let Some(frame) = self.links[host].first_mut() {
                    let mut whole = frame.to_vec();
                    let at = at % whole.len();
                    whole[at] ^= change;
                    *frame = Frame::from(whole);
                }
            }
            _ => {}
        }
    }
    /// What both hosts count at the end, and how often each short way was taken.
    fn end(mut self) -> (Vec<String>, [u32; 2]) {
        self.step(Step::Settle);
        for host in [0, 1] {
            for socket in self.sockets[host] {
                let info = self.hosts[host]
                    .tcp(self.now, socket)
                    .map(|s| format!("{:?}", s.info()));
                self.log.push(format!("{info:?}"));
            }
            self.log.push(format!("{:?}", self.hosts[host].drops()));
        }
        let [a, b] = [0, 1].map(|host| self.hosts[host].tcp.short_ways);
        (self.log, [a[0] + b[0], a[1] + b[1]])
    }
}

fn next_frame(stack: &mut Stack, now: Instant, ways: Ways) -> Option<(TxMeta, Frame)> {
    if ways == Ways::Pieces {
        let mut slot = [0xee; 2000];
        let (meta, len) = stack.poll_transmit_into(now, &mut slot)?;
        return Some((meta, Frame::from(slot[..len].to_vec())));
    }
    let mut frame = Frame::new();
    let meta = stack.poll_transmit(now, &mut frame)?;
    Some((meta, frame))
}

fn run(setting: Setting, steps: &[Step], ways: Ways) -> (Vec<String>, [u32; 2]) {
    let mut world = World::new(setting, ways);
    steps.iter().for_each(|&step| world.step(step));
    world.end()
}

fn settings() -> impl Strategy<Value = Setting> {
    let buffers = prop_oneof![Just(None), Just(Some(600)), Just(Some(20_000))];
    let choices = (
        any::<[bool; 8]>(),
        any::<bool>(),
        buffers,
        prop_oneof![Just(1500), Just(120), Just(100)],
    );
    choices.prop_map(
        |([linux, newreno, sack, untimed, unscaled, ecn, checksums, traced], nodelay, buffer, mtu)| Setting {
            profile: if linux { Profile::Linux } else { Profile::Rfc },
            congestion: if newreno {
                CongestionControl::NewReno
            } else {
                CongestionControl::Cubic
            },
            sack,
            // Most short ways are for connections with timestamps.
            timestamps: !untimed || buffer.is_none(),
            scaling: !unscaled,
            ecn,
            checksums,
            mtu,
            buffer,
            nodelay,
            traced,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (host, n) = (0usize..2, 0..CONNECTIONS);
    let size = prop_oneof![8 => 1usize..100, 1 => 1usize..3000];
    let step = prop_oneof![
        8 => (host.clone(), n.clone(), size).prop_map(|(h, n, len)| Step::Send(h, n, len)),
        6 => (host.clone(), n.clone(), 1usize..200).prop_map(|(h, n, len)| Step::Receive(h, n, len)),
        12 => (host.clone(), 1usize..4).prop_map(|(h, count)| Step::Deliver(h, count)),
        3 => prop_oneof![4 => 0u64..50_000, 4 => 0u64..3_000_000, 1 => 0u64..300_000_000].prop_map(Step::Pass),
        2 => Just(Step::Settle),
        1 => host.clone().prop_map(Step::Lose),
        1 => host.clone().prop_map(Step::Repeat),
        1 => host.clone().prop_map(Step::Delay),
        1 => host.clone().prop_map(Step::Mark),
        1 => (host.clone(), 0usize..120, 1u8..).prop_map(|(h, at, change)| Step::Damage(h, at, change)),
        1 => (host.clone(), n.clone(), any::<u8>()).prop_map(|(h, n, bits)| Step::Options(h, n, bits)),
        1 => (host.clone(), n.clone()).prop_map(|(h, n)| Step::Urgent(h, n)),
        1 => (host.clone(), n.clone()).prop_map(|(h, n)| Step::Shutdown(h, n)),
        2 => (host, n.clone()).prop_map(|(h, n)| Step::Close(h, n)),
        2 => n.clone().prop_map(Step::Connect),
        2 => n.prop_map(Step::Accept),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn short_ways_change_nothing(setting in settings(), steps in steps()) {
        let (general, taken) = run(setting, &steps, Ways::General);
        prop_assert_eq!(taken, [0, 0]);
        for ways in [Ways::Short, Ways::Pieces] {
            let (short, _) = run(setting, &steps, ways);
            let differs = short.iter().zip(&general).position(|(a, b)| a != b);
            if let Some(at) = differs {
                prop_assert_eq!(&short[at.saturating_sub(3)..=at], &general[at.saturating_sub(3)..=at]);
            }
            prop_assert_eq!(short.len(), general.len());
        }
    }
}

/// A connection is opened and closed by the short ways only: one frame of each kind, none of them an answer to data.
#[test]
fn a_connection_takes_the_short_ways() {
    let setting = Setting {
        profile: Profile::Rfc,
        congestion: CongestionControl::Cubic,
        sack: true,
        timestamps: true,
        scaling: true,
        ecn: false,
        checksums: true,
        mtu: 1500,
        buffer: None,
        nodelay: false,
        traced: false,
    };
    let steps = [
        Step::Connect(0),
        Step::Settle,
        Step::Accept(0),
        Step::Close(0, 0),
        Step::Deliver(1, 1),
        Step::Close(1, 0),
    ];
    let [before, after] = [&[][..], &steps].map(|steps| run(setting, steps, Ways::Pieces).1[1]);
    assert_eq!(
        after - before,
        6,
        "SYN, SYN,ACK, ACK, FIN, FIN,ACK and the last ACK"
    );
}

/// Requests and responses take the short ways only.
#[test]
fn the_short_ways_are_taken() {
    let setting = Setting {
        profile: Profile::Rfc,
        congestion: CongestionControl::Cubic,
        sack: true,
        timestamps: true,
        scaling: true,
        ecn: false,
        checksums: true,
        mtu: 1500,
        buffer: None,
        nodelay: false,
        traced: false,
    };
    let mut steps = Vec::new();
    for round in 0..100 {
        for host in [0, 1] {
            let n = round % CONNECTIONS; // they take turns
            steps.extend([
                Step::Send(host, n, 50),
                Step::Deliver(1 - host, 9),
                Step::Receive(1 - host, n, 50),
            ]);
        }
    }
    let ([predicted, quick], frames) = (run(setting, &steps, Ways::Short).1, 200);
    assert!(predicted >= frames - CONNECTIONS as u32, "{predicted}");
    assert!(quick >= frames, "{quick}");
}
