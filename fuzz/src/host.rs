//! A stack under observation: everything that comes out of it is checked, at every moment.

use crate::check::{self, Content, Seen};
use crate::input::Input;
use crate::memory;
use sockeye_stack::config::{CongestionControl, SynCookies};
use sockeye_stack::snapshot::Protocol;
use sockeye_stack::tcp::State;
use sockeye_stack::trace::TraceMask;
use sockeye_stack::{
    Capabilities, Config, Duration, Event, Frame, Instant, InterfaceConfig, InterfaceId, Medium, Profile, RxMeta,
    Stack,
};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

/// The only interface.
pub const IF: InterfaceId = InterfaceId(0);
/// Frames that may leave at one instant without anything new coming in: the largest windows in the smallest segments.
const BURST: usize = 20_000;
/// Rounds of handling timeouts at one instant before it counts as a busy loop.
const ROUNDS: usize = 8;
/// Octets that a host and its fuzzer may hold.
const MEMORY: usize = 96 << 20;

/// A link address of host `n`.
pub fn link(n: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, n]
}
/// The IPv4 address of host `n`.
pub fn v4(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}
/// The IPv6 address of host `n`.
pub fn v6(n: u8) -> IpAddr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(n)).into()
}

/// How a host is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    pub config: Config,
    pub ethernet: bool,
    pub mtu: u32,
    pub autoconfigure: bool,
    pub detect_duplicates: bool,
    pub capabilities: Capabilities,
    pub trace: TraceMask,
}

impl Setup {
    /// Reads a set-up: both profiles, both media, odd MTUs, options off, small tables.
    pub fn read(u: &mut Input<'_>) -> Setup {
        let first = u.byte();
        let bit = |n: u8| first >> n & 1 == 1;
        let mut config = Config::new(if bit(0) { Profile::Linux } else { Profile::Rfc });
        let ethernet = bit(1);
        let second = u.byte();
        let off = |n: u8| second >> n & 1 == 1;
        config.timestamps = !off(0);
        config.sack = !off(1);
        config.window_scaling = !off(2);
        if off(3) {
            config.congestion_control = CongestionControl::NewReno;
        }
        if off(4) {
            config.syn_queue = 2;
            config.time_wait_max = 3;
        }
        config.syn_cookies = match second >> 5 & 3 {
            0 | 1 => SynCookies::WhenFull,
            2 => SynCookies::Always,
            _ => SynCookies::Off,
        };
        if off(7) {
            config.receive_buffer = 4096;
            config.receive_buffer_max = 16384;
            config.send_buffer = 8192;
        } else {
            config.receive_buffer_max = 1 << 20;
            config.send_buffer = 256 * 1024;
        }
        Setup {
            config,
            ethernet,
            mtu: match first >> 4 & 3 {
                0 => 1500,
                1 => 1280,
                2 => 9000,
                _ => 65_535,
            },
            autoconfigure: bit(2),
            detect_duplicates: bit(3),
            capabilities: Capabilities {
                tx_checksum: bit(6),
                no_checksums: false,
                gso_max: 0,
            },
            trace: if bit(7) { TraceMask::all() } else { TraceMask::empty() },
        }
    }
}

/// A stack and what it has sent.
pub struct Host {
    pub stack: Stack,
    pub now: Instant,
    pub medium: Medium,
    pub mtu: usize,
    /// What left and nobody has looked at.
    pub sent: Vec<Seen>,
    /// What was announced and nobody has looked at.
    pub events: Vec<Event>,
    /// Sockets whose options ask that they wait for ever.
    pub endless: bool,
    /// All frames that ever left.
    pub frames_out: usize,
    name: u8,
    /// Tells everything that happens: set EXPLAIN to see how an input fails.
    explains: bool,
    base: usize,
}

impl Host {
    /// Host `n` of the net.
    pub fn new(setup: &Setup, n: u8) -> Host {
        let base = memory::live();
        memory::restart();
        let now = Instant::from_secs(1);
        let mut stack = Stack::new(setup.config.clone(), [n; 32]);
        let medium = if setup.ethernet {
            Medium::Ethernet { address: link(n) }
        } else {
            Medium::Ip
        };
        let mut interface = InterfaceConfig {
            medium,
            autoconfigure: setup.autoconfigure,
            duplicate_address_detection: setup.detect_duplicates,
            capabilities: setup.capabilities,
            ..InterfaceConfig::ip("if0", setup.mtu)
        };
        interface = interface.address(v4(n), 24).address(v6(n), 64);
        if n & 1 == 1 {
            interface = interface.gateway(v4(254)).gateway(v6(254));
        }
        assert_eq!(stack.add_interface(now, interface), IF);
        let explains = std::env::var_os("EXPLAIN").is_some();
        let explained = TraceMask::all() - TraceMask::FRAMES;
        stack.trace_mut().set_mask(if explains { explained } else { setup.trace });
        Host {
            stack,
            now,
            medium,
            mtu: setup.mtu as usize,
            sent: Vec::new(),
            events: Vec::new(),
            endless: false,
            frames_out: 0,
            name: n,
            explains,
            base,
        }
    }

    /// Hands a frame in.
    pub fn receive(&mut self, frame: Vec<u8>) {
        self.stack
            .handle_frame(self.now, IF, Frame::from(frame), RxMeta::default());
    }

    /// Drains, and handles timers that have come, until there is nothing to do at this instant.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS {
            self.drain();
            match self.stack.next_timeout() {
                Some((at, why)) => {
                    assert!(at >= self.now, "deadline {at} in the past of {}: {why:?}", self.now);
                    if at > self.now {
                        return;
                    }
                    self.stack.handle_timeout(self.now);
                }
                None => return,
            }
        }
        self.drain();
        let next = self.stack.next_timeout();
        assert!(
            next.is_none_or(|(at, _)| at > self.now),
            "no progress at {}: {next:?}",
            self.now
        );
    }

    fn drain(&mut self) {
        let mut frame = Frame::new();
        let mut count = 0;
        while let Some(meta) = self.stack.poll_transmit(self.now, &mut frame) {
            assert_eq!(meta.interface, IF);
            let seen = check::frame(self.medium, self.mtu, frame.to_vec(), &meta);
            self.sent.push(seen);
            count += 1;
            assert!(count < BURST, "{count} frames at one instant: {:?}", meta.cause);
        }
        self.frames_out += count;
        let mut events = 0;
        while let Some(event) = self.stack.poll_event() {
            assert!(!event.ready.is_empty());
            if self.events.len() < 1000 {
                self.events.push(event);
            }
            events += 1;
            assert!(events < 10_000, "events without end");
        }
        let mut recorded = 0;
        for event in self.stack.trace_mut().drain() {
            recorded += 1;
            if self.explains {
                eprintln!("{} {} {:?} {:?}", self.name, event.at, event.socket, event.kind);
            }
        }
        assert!(recorded <= 1 << 16, "{recorded} events recorded");
        let held = memory::peak().saturating_sub(self.base);
        assert!(held < MEMORY, "{held} octets held");
    }

    /// Lets time pass up to the next deadline, at the latest `until`. Says whether there was one.
    pub fn step(&mut self, until: Instant) -> bool {
        self.settle();
        match self.stack.next_timeout() {
            Some((at, _)) if at <= until => {
                self.now = at;
                self.stack.handle_timeout(at);
                self.settle();
                true
            }
            _ => {
                self.now = until;
                false
            }
        }
    }

    /// Looks at the socket table.
    pub fn check_snapshot(&self) {
        let rows = self.stack.snapshot().sockets;
        let mut ids = BTreeSet::new();
        let mut connections = BTreeSet::new();
        for row in &rows {
            assert_eq!(row.state.is_none(), row.protocol == Protocol::Udp, "{row:?}");
            if let Some(id) = row.id {
                assert!(ids.insert(id), "{id:?} twice");
            }
            if let (Protocol::Tcp, Some(local), Some(remote)) = (row.protocol, row.local, row.remote) {
                // What has ended may wait for its program to look beside a new connection.
                let ended = row.state == Some(State::Closed);
                assert!(ended || connections.insert((local, remote)), "two connections {local} {remote}");
                assert!(local.port() != 0 && remote.port() != 0, "{row:?}");
                assert!(row.receive_queue <= 4 << 20 && row.send_queue <= 64 << 20, "{row:?}");
            }
        }
    }

    /// After everything was closed and time has passed: nothing is left, and nothing happens any more.
    pub fn check_quiet(&mut self) {
        if self.endless {
            return;
        }
        let rows = self.stack.snapshot().sockets;
        assert!(rows.is_empty(), "left over: {rows:?}, next {:?}", self.stack.next_timeout());
        self.sent.clear();
        let until = self.now + Duration::from_secs(600);
        let mut steps = 0;
        while self.step(until) {
            steps += 1;
            assert!(steps < 2000, "wakes up without end: {:?}", self.stack.next_timeout());
        }
        for seen in &self.sent {
            let transport = matches!(seen.content, Content::Tcp { .. } | Content::Udp { .. });
            assert!(!transport, "sends after the end: {:?}", seen.content);
        }
        self.sent.clear();
        let held = memory::live().saturating_sub(self.base);
        assert!(held < 8 << 20, "{held} octets kept by a quiet stack");
    }
}
