//! Two stacks joined by a link that loses, repeats, reorders and damages frames.

use crate::apps::{Apps, Places, octet};
use crate::frames::odd_options;
use crate::host::{Host, Setup, v4, v6};
use crate::input::Input;
use sockeye_stack::config::SynCookies;
use sockeye_stack::tcp::State;
use sockeye_stack::{Duration, Instant};
use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};

/// Frames on the way; more are lost.
const QUEUE: usize = 3000;

/// How bad the link is, each in 256ths.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    loss: u8,
    repeat: u8,
    reorder: u8,
    damage: u8,
}

struct Pair {
    hosts: [Host; 2],
    apps: [Apps; 2],
    places: [Places; 2],
    now: Instant,
    wire: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    count: u64,
    random: u64,
    faults: Faults,
    /// SYN cookies are in use: an ACK that comes late may make a connection anew, in the middle of an old stream.
    ghosts: bool,
}

/// The entry.
pub fn run(u: &mut Input<'_>) {
    let setup = Setup::read(u);
    let mut other = setup.clone();
    // The other side with other habits, on the same link.
    let bits = u.byte();
    other.config.timestamps ^= bits & 1 != 0;
    other.config.sack ^= bits & 2 != 0;
    other.config.window_scaling ^= bits & 4 != 0;
    let mut pair = Pair::new(&setup, &other, u.u16());
    pair.run_for(Duration::from_secs(3));
    if bits & 8 == 0 {
        pair.begin(u);
    }
    let mut steps = 0;
    while !u.is_empty() && steps < 300 {
        steps += 1;
        let host = u.below(2);
        let (apps, places) = (&mut pair.apps[host], pair.places[host]);
        match u.below(16) {
            0..=8 => apps.tcp_call(&mut pair.hosts[host], &places, u),
            9 => apps.udp_call(&mut pair.hosts[host], &places, u),
            10 => {
                pair.faults = Faults {
                    loss: u.pick(&[0, 0, 5, 30, 128, 255]),
                    repeat: u.pick(&[0, 0, 20, 128]),
                    reorder: u.pick(&[0, 0, 20, 128]),
                    damage: u.pick(&[0, 0, 20, 128]),
                };
            }
            11 => {
                // A bulk of data, as far as it goes.
                let n = apps.tcp.len();
                if n > 0 {
                    let i = u.below(n);
                    apps.send(&mut pair.hosts[host], i, 200_000, 2);
                }
            }
            12 => pair.read_all(),
            _ => {
                let by = u.step();
                pair.run_for(by);
            }
        }
        if u.flag() {
            pair.settle();
        }
    }
    pair.heal();
    pair.end();
}

impl Pair {
    fn new(a: &Setup, b: &Setup, seed: u16) -> Pair {
        let places = |ours: u8, theirs: u8| Places {
            ours: [v4(ours), v6(ours)],
            theirs: [v4(theirs), v6(theirs)],
        };
        let hosts = [Host::new(a, 1), Host::new(b, 2)];
        Pair {
            now: hosts[0].now,
            hosts,
            apps: Default::default(),
            places: [places(1, 2), places(2, 1)],
            wire: BTreeMap::new(),
            count: 0,
            random: u64::from(seed) << 1 | 1,
            faults: Faults::default(),
            ghosts: a.config.syn_cookies != SynCookies::Off && (a.config.syn_cookies == SynCookies::Always || a.config.syn_queue < 100),
        }
    }

    /// A listener and a connection to it.
    fn begin(&mut self, u: &mut Input<'_>) {
        let (o, endless) = odd_options(u);
        self.hosts[1].endless |= endless;
        let local = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 80);
        self.apps[1].listen(&mut self.hosts[1], o, local, 8);
        let (o, endless) = odd_options(u);
        self.hosts[0].endless |= endless;
        let to = SocketAddr::new(self.places[0].theirs[u.below(2)], 80);
        self.apps[0].connect(&mut self.hosts[0], o, to);
        self.run_for(Duration::from_millis(100));
        self.apps[1].accept(&mut self.hosts[1], 0);
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 24
    }
    fn chance(&mut self, of: u8) -> bool {
        of > 0 && self.random() as u8 <= of
    }

    /// Puts what the hosts have sent on the wire.
    fn settle(&mut self) {
        for i in [0, 1] {
            self.hosts[i].now = self.now;
            self.hosts[i].settle();
            for seen in std::mem::take(&mut self.hosts[i].sent) {
                if self.chance(self.faults.loss) || self.wire.len() >= QUEUE {
                    continue;
                }
                let mut frame = seen.frame;
                if self.chance(self.faults.damage) && !frame.is_empty() {
                    let bit = self.random() as usize % (frame.len() * 8);
                    frame[bit / 8] ^= 1 << (bit % 8);
                }
                let copies = 1 + usize::from(self.chance(self.faults.repeat));
                for _ in 0..copies {
                    let late = if self.chance(self.faults.reorder) { self.random() % 40_000 } else { 0 };
                    let at = self.now + Duration::from_micros(5000 + late);
                    self.count += 1;
                    self.wire.insert((at, self.count), (1 - i, frame.clone()));
                }
            }
        }
        self.check_streams();
    }

    /// What is read was sent, in order and not more of it.
    fn check_streams(&mut self) {
        for i in [0, 1] {
            let urgent = self.apps[0].urgent_sent || self.apps[1].urgent_sent;
            for socket in &mut self.apps[i].tcp {
                let data = std::mem::take(&mut socket.fresh);
                if urgent || self.ghosts {
                    continue;
                }
                let before = socket.received - data.len() as u64;
                let same = (before..).zip(&data).all(|(at, &b)| b == octet(at));
                assert!(same, "{} octets behind {before} are not what was sent", data.len());
            }
            let (ours, theirs) = if i == 0 { (0, 1) } else { (1, 0) };
            for socket in &self.apps[ours].tcp {
                let Some((local, remote)) = socket.tuple else { continue };
                if local.ip() == remote.ip() || urgent || self.ghosts {
                    continue;
                }
                let there = &self.apps[theirs];
                let most = there.most_sent.iter().find(|(t, _)| *t == (remote, local));
                let most = most.map_or(0, |(_, n)| *n);
                assert!(socket.received <= most, "{} octets read of {most}", socket.received);
                if socket.ended {
                    let said = |(t, n): &(_, u64)| *t == (remote, local) && *n == socket.received;
                    assert!(
                        there.closed.iter().any(said),
                        "the stream ends after {} octets, and nobody ended it",
                        socket.received
                    );
                }
            }
        }
    }

    /// Goes to the next thing that happens, at the latest `until`.
    fn step(&mut self, until: Instant) -> bool {
        self.settle();
        let deadlines = self.hosts.iter().filter_map(|h| h.stack.next_timeout()).map(|(at, _)| at);
        let arrivals = self.wire.keys().map(|(at, _)| *at);
        let next = deadlines.chain(arrivals.take(1)).min();
        let Some(next) = next.filter(|&at| at <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = next;
        for host in &mut self.hosts {
            host.now = next;
        }
        while let Some(first) = self.wire.first_entry() {
            if first.key().0 > next {
                break;
            }
            let (to, frame) = first.remove();
            self.hosts[to].receive(frame);
        }
        for host in &mut self.hosts {
            host.stack.handle_timeout(next);
        }
        true
    }
    fn run_for(&mut self, by: Duration) {
        let until = self.now + by;
        let mut steps = 0;
        while self.step(until) {
            steps += 1;
            if steps > 20_000 {
                // A driver may come late.
                self.now = until;
                for host in &mut self.hosts {
                    host.now = until;
                    host.stack.handle_timeout(until);
                }
                break;
            }
        }
        self.settle();
        for host in &self.hosts {
            host.check_snapshot();
        }
    }

    fn read_all(&mut self) {
        for (host, apps) in self.hosts.iter_mut().zip(&mut self.apps) {
            for i in 0..apps.tcp.len() {
                if apps.tcp[i].listener {
                    apps.accept(host, i);
                }
            }
            for i in 0..apps.tcp.len() {
                for _ in 0..1000 {
                    if apps.recv(host, i, 65_536, 2) == 0 {
                        break;
                    }
                }
            }
        }
    }

    /// The link gets well: what is in flight arrives, as long as both sides are there.
    fn heal(&mut self) {
        self.faults = Faults::default();
        for (host, apps) in self.hosts.iter_mut().zip(&self.apps) {
            for socket in &apps.tcp {
                if let Ok(mut s) = host.stack.tcp(host.now, socket.id) {
                    let mut o = s.options();
                    o.cork = false;
                    s.set_options(o);
                }
            }
        }
        for round in 0..5 {
            let before = self.delivered();
            for _ in 0..80 {
                self.run_for(Duration::from_secs(5));
                self.read_all();
                if self.stuck().is_none() {
                    return;
                }
            }
            if self.delivered() == before {
                break;
            }
            // Slow progress is progress: windows of one octet take their time.
            if round == 4 {
                return;
            }
        }
        if let Some((host, id)) = self.stuck() {
            let now = self.now;
            let s = self.hosts[host].stack.tcp(now, id);
            let tell = |s: &sockeye_stack::tcp::TcpSocket<'_>| {
                (s.state(), s.unacked(), s.readable(), s.options(), s.info(), s.peer_addr())
            };
            let here = s.map(|s| tell(&s));
            let tuple = self.apps[host].tcp.iter().find(|t| t.id == id).and_then(|t| t.tuple);
            let there = self.apps[1 - host].tcp.iter().find(|t| t.tuple.map(|(l, r)| (r, l)) == tuple);
            let there = there.map(|t| (t.spoilt, self.hosts[1 - host].stack.tcp(now, t.id).map(|s| tell(&s))));
            panic!("no progress after the link is well: host {host}, {here:?}, there {there:?}");
        }
    }
    /// All that programs have read.
    fn delivered(&self) -> u64 {
        self.apps.iter().flat_map(|a| &a.tcp).map(|s| s.received).sum()
    }
    /// A socket with data that could be delivered and is not.
    fn stuck(&mut self) -> Option<(usize, sockeye_stack::SocketId)> {
        let now = self.now;
        for i in [0, 1] {
            let ids: Vec<_> = self.apps[i].tcp.iter().map(|s| (s.id, s.tuple)).collect();
            for (id, tuple) in ids {
                let (local, remote) = tuple?;
                let s = self.hosts[i].stack.tcp(now, id).ok()?;
                let live = matches!(
                    s.state(),
                    State::Established | State::CloseWait | State::FinWait1 | State::Closing | State::LastAck
                );
                if !live || s.unacked() == 0 {
                    continue;
                }
                // The other side's program must hold its socket, and read.
                let there = self.apps[1 - i].tcp.iter().find(|t| t.tuple == Some((remote, local)));
                let Some(there) = there.map(|t| (t.id, t.spoilt)) else { continue };
                if there.1 {
                    continue;
                }
                return Some((i, id));
            }
        }
        None
    }

    fn end(&mut self) {
        for i in [0, 1] {
            self.hosts[i].now = self.now;
            self.apps[i].close_all(&mut self.hosts[i]);
        }
        let config = self.hosts[0].stack.config();
        let wait = config.r2 + config.msl + config.msl + config.fin_wait_2 + Duration::from_secs(1800);
        self.run_for(wait);
        if self.hosts.iter().any(|h| h.endless) {
            return;
        }
        for host in &mut self.hosts {
            host.now = self.now;
            host.check_quiet();
        }
    }
}
