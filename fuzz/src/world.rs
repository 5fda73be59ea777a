//! One stack and a scripted peer that sees what it sends.

use crate::apps::{Apps, Places};
use crate::build;
use crate::check::{Content, Seen};
use crate::flow::Flow;
use crate::host::{Host, Setup, link, v4, v6};
use crate::input::Input;
use sockeye_stack::tcp::{Flags, TcpOptions};
use sockeye_stack::wire::{arp, ndp};
use sockeye_stack::{Duration, Medium};
use std::net::{IpAddr, SocketAddr};

/// Flows that the peer keeps.
const FLOWS: usize = 12;
/// Exchanges at one instant between the stack and a peer that answers at once.
const EXCHANGES: usize = 4000;
/// Octets that the peer takes at one instant before it stops answering.
const TAKEN: usize = 1 << 20;

/// The stack, its programs, and the peer.
pub struct World {
    pub host: Host,
    pub apps: Apps,
    pub flows: Vec<Flow>,
    pub places: Places,
    /// The peer answers ARP and neighbour solicitations.
    pub resolves: bool,
    /// The peer answers SYNs and acknowledges data at once.
    pub polite: bool,
    /// The window that it offers.
    pub window: u16,
    /// Frames were bent: what arrives may be anything.
    pub bent: bool,
    /// The last packets of the stack and to it, as material.
    pub material: Vec<Vec<u8>>,
}

impl World {
    /// Host 1 and its peer, host 2.
    pub fn new(setup: &Setup) -> World {
        World {
            host: Host::new(setup, 1),
            apps: Apps::default(),
            flows: Vec::new(),
            places: Places {
                ours: [v4(1), v6(1)],
                theirs: [v4(2), v6(2)],
            },
            resolves: true,
            polite: false,
            window: 65_535,
            bent: false,
            material: Vec::new(),
        }
    }

    /// Gives the stack an IP packet of the peer.
    pub fn give(&mut self, packet: Vec<u8>) {
        let frame = match self.host.medium {
            Medium::Ip => packet.clone(),
            Medium::Ethernet { address } => {
                build::ethernet(link(2), address, build::ethertype(&packet), &packet)
            }
        };
        self.host.receive(frame);
        self.keep(packet);
    }
    fn keep(&mut self, packet: Vec<u8>) {
        if self.material.len() >= 16 {
            self.material.remove(0);
        }
        self.material.push(packet);
    }

    /// Lets the stack send, and the peer look at it and answer, until both are still.
    pub fn pump(&mut self) {
        let mut taken = 0;
        for _ in 0..EXCHANGES {
            self.host.settle();
            let sent = std::mem::take(&mut self.host.sent);
            if sent.is_empty() {
                break;
            }
            for seen in sent {
                if let Content::Tcp { payload, .. } = &seen.content {
                    taken += payload.len();
                }
                self.observe(seen, taken < TAKEN);
            }
        }
        self.host.settle();
        self.check_streams();
        self.host.check_snapshot();
    }

    fn observe(&mut self, seen: Seen, may_answer: bool) {
        match &seen.content {
            Content::Arp(request) if self.resolves && request.operation == arp::Operation::Request => {
                // Not for probes: they ask whether somebody has the address.
                if !request.sender.is_unspecified() && IpAddr::from(request.target) != v4(1) {
                    let reply = arp::Packet {
                        operation: arp::Operation::Reply,
                        sender_link: link(2),
                        sender: request.target,
                        target_link: request.sender_link,
                        target: request.sender,
                    };
                    let mut packet = vec![0; arp::PACKET_LEN];
                    arp::emit(&reply, &mut packet);
                    let frame = build::ethernet(link(2), request.sender_link, 0x0806, &packet);
                    self.host.receive(frame);
                }
            }
            Content::Solicitation { source, target } if self.resolves && !source.is_unspecified() => {
                let message = ndp::Message::NeighborAdvertisement {
                    target: *target,
                    router: false,
                    solicited: true,
                    override_known: true,
                    target_link: Some(link(2)),
                };
                let mut packet = vec![0; ndp::MAX_NEIGHBOR_LEN];
                let len = ndp::emit(&message, &mut packet);
                let packet = build::icmp((*target).into(), (*source).into(), 255, &packet[..len]);
                self.give(packet);
            }
            Content::Tcp {
                source,
                destination,
                segment,
                payload,
            } => {
                let Some(i) = self.flow(*destination, *source) else { return };
                let flow = &mut self.flows[i];
                let before = flow.rcv_nxt;
                flow.observe(segment, payload);
                if !self.polite || !may_answer || segment.flags.contains(Flags::RST) {
                    return;
                }
                if flow.syn {
                    let packet = flow.open(true, self.window, false);
                    self.give(packet);
                } else if flow.rcv_nxt != before {
                    let packet = flow.answer(0, self.window);
                    self.give(packet);
                }
            }
            _ => {}
        }
        self.keep(seen.packet);
    }

    /// The flow between a peer's and a stack's address, made if need be.
    pub fn flow(&mut self, ours: SocketAddr, theirs: SocketAddr) -> Option<usize> {
        let found = self.flows.iter().position(|f| f.ours == ours && f.theirs == theirs);
        if found.is_some() || self.flows.len() >= FLOWS {
            return found;
        }
        let iss = 0xffff_f000_u32.wrapping_mul(1 + self.flows.len() as u32);
        self.flows.push(Flow::new(ours, theirs, iss));
        Some(self.flows.len() - 1)
    }

    /// What programs read is what the peer sent.
    fn check_streams(&mut self) {
        for socket in &mut self.apps.tcp {
            let data = std::mem::take(&mut socket.fresh);
            if self.bent || data.is_empty() {
                continue;
            }
            let Some((local, remote)) = socket.tuple else { continue };
            let Some(flow) = self.flows.iter().find(|f| f.ours == remote && f.theirs == local) else {
                continue;
            };
            let before = socket.received - data.len() as u64;
            assert!(
                flow.explains(before, &data),
                "{} octets behind {before} are not the peer's",
                data.len()
            );
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, by: Duration) {
        let until = self.host.now + by;
        let mut steps = 0;
        self.pump();
        while self.host.now < until && self.host.step(until) {
            self.pump();
            steps += 1;
            assert!(steps < 60_000, "wakes up all the time: {:?}", self.host.stack.next_timeout());
            if steps > 3000 {
                let passed = by.as_millis() - until.since(self.host.now).as_millis();
                assert!(passed > 1000, "{steps} deadlines in {passed} ms: {:?}", self.host.stack.next_timeout());
                // A driver may come late.
                self.host.now = until;
                self.host.stack.handle_timeout(until);
            }
        }
        self.pump();
    }

    /// A connection to the stack's listener on port 80, established, by the book.
    pub fn establish(&mut self, v6_wanted: bool, o: TcpOptions) -> Option<usize> {
        let at = usize::from(v6_wanted);
        let (ours, theirs) = (
            SocketAddr::new(self.places.theirs[at], 1000 + self.flows.len() as u16),
            SocketAddr::new(self.places.ours[at], 80),
        );
        if !self.apps.tcp.iter().any(|s| s.listener) {
            self.apps.listen(&mut self.host, o, theirs, 8);
        }
        let flow = self.flow(ours, theirs)?;
        let window = self.window;
        let syn = self.flows[flow].open(false, window, false);
        self.give(syn);
        self.pump();
        let ack = self.flows[flow].answer(0, window);
        self.give(ack);
        self.pump();
        let listener = self.apps.tcp.iter().position(|s| s.listener)?;
        self.apps.accept(&mut self.host, listener);
        Some(flow)
    }

    /// Closes everything and waits until nothing can be left.
    pub fn end(&mut self) {
        self.polite = false;
        self.apps.close_all(&mut self.host);
        self.pump();
        let config = self.host.stack.config();
        let wait = config.r2 + config.msl + config.msl + config.fin_wait_2 + Duration::from_secs(1800);
        self.advance(wait);
        self.host.check_quiet();
    }

    /// One segment of one flow, as the input says.
    pub fn flow_op(&mut self, u: &mut Input<'_>) {
        let what = u.byte();
        if self.flows.is_empty() || what >= 224 {
            let at = usize::from(what & 1);
            let ours = SocketAddr::new(self.places.theirs[at], 1000 + u16::from(what >> 1 & 3));
            let theirs = SocketAddr::new(self.places.ours[at], u.pick(&[80, 80, 80, 81, 7]));
            if let Some(i) = self.flow(ours, theirs) {
                let window = self.window;
                let packet = self.flows[i].open(false, window, what & 16 != 0);
                self.give(packet);
            }
            return;
        }
        let i = usize::from(what) % self.flows.len();
        let window = self.window;
        let packet = match u.below(4) {
            0 if self.flows[i].syn => self.flows[i].open(true, window, false),
            0 => self.flows[i].answer(0, window),
            1 => {
                let len = u.pick(&[1, 100, 1460, 536]);
                self.flows[i].answer(len, window)
            }
            _ => self.flows[i].segment(u),
        };
        self.give(packet);
    }
}

