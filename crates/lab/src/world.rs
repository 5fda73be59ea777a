//! The world: nodes, links between them, and what is to come.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use sockeye_net::{Clock, Host, HostGuard, Names, Net};
use sockeye_stack::trace::{Cause, TraceMask};
use sockeye_stack::{
    Config, Duration, Event, Frame, Instant, InterfaceConfig, InterfaceId, Medium, RxMeta, Stack, TxFrame,
};
use sockeye_view::{Cast, HostIndex, HostInfo, InterfaceInfo, LinkChange, LinkLoss, Record, What, WireEvent};

use crate::build::{HostBuilder, LinkEdit, RouterBuilder};
use crate::digest::Digest;
use crate::events::{Events, InFlight, What as Coming};
use crate::impair::Fate;
use crate::link::{Direction, Lane, Link, LinkStats};
use crate::packet::link_header;
use crate::rng::Rng;
use crate::router::Router;
use crate::switch::{Output, Switch};

/// A node of a world: host, switch, router, or a port without a stack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub(crate) u16);

impl NodeId {
    /// Its place in [`World::cast`], by which records name it.
    pub fn index(self) -> HostIndex {
        HostIndex(self.0)
    }
}

/// A link of a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub(crate) u16);

/// How often a host's deadline may still be due after it was handled, before this is taken for a fault of the core.
const LATE_LIMIT: u32 = 16;
/// Frames that a port without a stack keeps; then the oldest go.
const RAW_KEPT: usize = 1 << 16;
/// Events kept for tests; then the oldest go.
const EVENTS_KEPT: usize = 1 << 16;

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) ports: Vec<Port>,
}

pub(crate) struct Port {
    pub(crate) info: InterfaceInfo,
    /// The link at this port, and the lane that leads away.
    pub(crate) link: Option<(LinkId, Direction)>,
}

pub(crate) enum Kind {
    Host(Box<HostNode>),
    Raw(VecDeque<(Instant, u16, Frame)>),
    Switch(Switch),
    Router(Box<Router>),
}

pub(crate) struct HostNode {
    pub(crate) host: Host,
    /// Interfaces that are not linked yet.
    pub(crate) waiting: VecDeque<InterfaceConfig>,
    /// The earliest timer event in the queue.
    armed: Instant,
    /// Whether it is in the list of hosts to look after.
    touched: Arc<AtomicBool>,
    events: VecDeque<Event>,
}

/// The hosts whose applications have called since they were last looked after; shared with the hosts' kicks.
#[derive(Default)]
pub(crate) struct Kicks {
    hosts: Mutex<Vec<u16>>,
    /// Told at each kick, while programs run.
    pub(crate) notify: tokio::sync::Notify,
}

impl Kicks {
    fn kick(&self, node: u16, touched: &AtomicBool) {
        if !touched.swap(true, Ordering::Relaxed) {
            self.hosts.lock().unwrap_or_else(PoisonError::into_inner).push(node);
            self.notify.notify_one();
        }
    }
}

type Subscriber = Box<dyn FnMut(&Record) + Send>;

/// A virtual network. See the crate's documentation.
pub struct World {
    pub(crate) rng: Rng,
    now: Instant,
    pub(crate) clock: Arc<Clock>,
    pub(crate) names: Names,
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: Vec<Link>,
    coming: Events,
    pub(crate) kicks: Arc<Kicks>,
    mask: TraceMask,
    subscribers: Vec<Subscriber>,
    digest: Option<Digest>,
    keep_events: bool,
    late_deadlines: u64,
    next_frame: u64,
    /// Reused between calls.
    transmit: TxFrame,
    scratch: Vec<(u16, Frame, Cause)>,
    wakers: Vec<Waker>,
}

impl World {
    /// An empty world. All chance in it comes from `seed`.
    pub fn new(seed: u64) -> World {
        World {
            rng: Rng::new(seed),
            now: Instant::ZERO,
            clock: Arc::new(Clock::new()),
            names: Names::new(),
            nodes: Vec::new(),
            links: Vec::new(),
            coming: Events::default(),
            kicks: Arc::default(),
            mask: TraceMask::empty(),
            subscribers: Vec::new(),
            digest: None,
            keep_events: false,
            late_deadlines: 0,
            next_frame: 0,
            transmit: TxFrame::new(),
            scratch: Vec::new(),
            wakers: Vec::new(),
        }
    }

    // Building

    /// A host with a stack. Its interfaces are linked in the order in which they were described.
    pub fn host(&mut self, name: &str) -> HostBuilder<'_> {
        HostBuilder::new(self, name)
    }
    /// An IP router. Its ports are linked in the order in which they were described.
    pub fn router(&mut self, name: &str) -> RouterBuilder<'_> {
        RouterBuilder::new(self, name)
    }
    /// An Ethernet switch. Its ports come with their links.
    pub fn switch(&mut self, name: &str) -> NodeId {
        self.add_node(name, Kind::Switch(Switch::default()), Vec::new())
    }
    /// A node without a stack, for frames made by hand: see [`World::inject`] and [`World::received`]. Its ports come
    /// with their links; `ethernet` says whether frames carry a link header.
    pub fn raw(&mut self, name: &str) -> NodeId {
        self.add_node(name, Kind::Raw(VecDeque::new()), Vec::new())
    }
    /// Links the next free interface of each node. The link is perfect until figures are set.
    ///
    /// Frames carry Ethernet headers if either end is a switch or an Ethernet interface, bare IP packets otherwise.
    ///
    /// # Panics
    /// If a host or router has no interface left, or there are more than 65,535 links.
    pub fn link(&mut self, a: NodeId, b: NodeId) -> LinkEdit<'_> {
        let ethernet = self.is_ethernet(a) || self.is_ethernet(b);
        let id = LinkId(u16::try_from(self.links.len()).expect("a world has at most 65,535 links"));
        let ends = [(a.0, self.add_port(a, ethernet)), (b.0, self.add_port(b, ethernet))];
        for (end, direction) in ends.into_iter().zip([Direction::Forward, Direction::Backward]) {
            self.nodes[usize::from(end.0)].ports[usize::from(end.1)].link = Some((id, direction));
        }
        let dice = |lane: u64| self.rng.fork(1 << 32 | u64::from(id.0) << 1 | lane);
        let lanes = [Lane::new(dice(0)), Lane::new(dice(1))];
        self.links.push(Link { ends, lanes, ethernet });
        LinkEdit::new(self, id)
    }
    /// Changes a link.
    pub fn edit(&mut self, link: LinkId) -> LinkEdit<'_> {
        LinkEdit::new(self, link)
    }

    pub(crate) fn add_node(&mut self, name: &str, kind: Kind, ports: Vec<Port>) -> NodeId {
        let id = NodeId(u16::try_from(self.nodes.len()).expect("a world has at most 65,535 nodes"));
        self.nodes.push(Node {
            name: name.into(),
            kind,
            ports,
        });
        id
    }
    pub(crate) fn add_host(&mut self, name: &str, config: Config, interfaces: Vec<InterfaceConfig>) -> NodeId {
        let place = self.nodes.len() as u16;
        let mut stack = Stack::new(config, self.rng.fork(u64::from(place)).seed());
        stack.trace_mut().set_mask(self.mask);
        let touched = Arc::new(AtomicBool::new(false));
        let (kicks, flag) = (self.kicks.clone(), touched.clone());
        let kick = move || kicks.kick(place, &flag);
        let host = Host::new(name, stack, self.clock.clone(), self.names.clone(), kick);
        for cidr in interfaces.iter().flat_map(|interface| &interface.addresses) {
            self.names.insert(name, cidr.address);
        }
        let node = HostNode {
            host,
            waiting: interfaces.into(),
            armed: Instant::NEVER,
            touched,
            events: VecDeque::new(),
        };
        self.add_node(name, Kind::Host(Box::new(node)), Vec::new())
    }
    fn is_ethernet(&self, node: NodeId) -> bool {
        let node = &self.nodes[usize::from(node.0)];
        match &node.kind {
            Kind::Switch(_) => true,
            Kind::Raw(_) => false,
            Kind::Router(router) => router.next_port_is_ethernet(node.ports.len()),
            Kind::Host(host) => {
                host.waiting.front().is_some_and(|i| matches!(i.medium, Medium::Ethernet { .. }))
            }
        }
    }
    /// The next port of a node, made ready for a link.
    fn add_port(&mut self, id: NodeId, ethernet: bool) -> u16 {
        let node = &mut self.nodes[usize::from(id.0)];
        let place = node.ports.len() as u16;
        let medium = match ethernet {
            // Locally administered, one a port.
            true => Medium::Ethernet {
                address: [2, 0, (id.0 >> 8) as u8, id.0 as u8, (place >> 8) as u8, place as u8],
            },
            false => Medium::Ip,
        };
        let mut info = InterfaceInfo {
            name: format!("eth{place}"),
            medium,
            addresses: Vec::new(),
        };
        match &mut node.kind {
            Kind::Host(host) => {
                let config = host.waiting.pop_front();
                let mut config = config.unwrap_or_else(|| panic!("host {} has no interface left", node.name));
                if config.medium == Medium::Ip {
                    config.medium = medium;
                }
                config.name.clone_from(&info.name);
                info.medium = config.medium;
                info.addresses.clone_from(&config.addresses);
                host.host.add_interface(config);
                // Whatever the interface has to say (duplicate address detection, membership) goes out with the first step.
                self.kicks.kick(id.0, &host.touched);
            }
            Kind::Router(router) => info.addresses = router.link_port(place, medium, &node.name),
            Kind::Switch(_) | Kind::Raw(_) => {}
        }
        node.ports.push(Port { info, link: None });
        place
    }

    // Looking

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }
    /// The table in which all hosts look up names. Hosts stand in it by their own.
    pub fn names(&self) -> &Names {
        &self.names
    }
    /// Who takes part: a node's [index](NodeId::index) is its place in this list.
    pub fn cast(&self) -> Cast {
        let hosts = self.nodes.iter().map(|node| HostInfo {
            name: node.name.clone(),
            interfaces: node.ports.iter().map(|port| port.info.clone()).collect(),
        });
        Cast { hosts: hosts.collect() }
    }
    /// The node with this name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        let place = self.nodes.iter().position(|node| node.name == name)?;
        Some(NodeId(place as u16))
    }
    /// A host's handle.
    ///
    /// # Panics
    /// If the node is no host.
    pub fn host_handle(&self, node: NodeId) -> &Host {
        match &self.nodes[usize::from(node.0)].kind {
            Kind::Host(host) => &host.host,
            _ => panic!("{} is no host", self.nodes[usize::from(node.0)].name),
        }
    }
    /// Where the programs of a host have their sockets.
    ///
    /// # Panics
    /// If the node is no host.
    pub fn net(&self, node: NodeId) -> Net {
        self.host_handle(node).net()
    }
    /// A host's stack, for calls at the present time. What they owe goes out with the next step.
    ///
    /// # Panics
    /// If the node is no host.
    pub fn stack(&mut self, node: NodeId) -> HostGuard<'_> {
        let Kind::Host(host) = &self.nodes[usize::from(node.0)].kind else {
            panic!("{} is no host", self.nodes[usize::from(node.0)].name);
        };
        self.kicks.kick(node.0, &host.touched);
        host.host.lock()
    }
    /// The link at a port of a node.
    pub fn link_at(&self, node: NodeId, port: u16) -> Option<LinkId> {
        let port = self.nodes[usize::from(node.0)].ports.get(usize::from(port))?;
        port.link.map(|(link, _)| link)
    }
    /// What one lane of a link has done.
    pub fn link_stats(&self, link: LinkId, direction: Direction) -> LinkStats {
        self.links[usize::from(link.0)].lanes[direction as usize].stats
    }
    /// Frames on their way.
    pub fn in_flight(&self) -> usize {
        self.coming.in_flight()
    }
    /// How often a deadline of a stack was still due right after it was handled: 0 with a sound core.
    pub fn late_deadlines(&self) -> u64 {
        self.late_deadlines
    }

    // Recording

    /// Chooses what stacks tell: see [`World::subscribe`].
    pub fn trace(&mut self, mask: TraceMask) {
        self.mask = mask;
        for node in &self.nodes {
            if let Kind::Host(host) = &node.kind {
                host.host.lock().trace_mut().set_mask(mask);
            }
        }
    }
    /// Hands each record, in order, to `subscriber`. Unless [`World::trace`] has said otherwise, stacks tell all but
    /// whole frames.
    pub fn subscribe(&mut self, subscriber: impl FnMut(&Record) + Send + 'static) {
        self.subscribers.push(Box::new(subscriber));
        if self.mask.is_empty() {
            self.trace(TraceMask::EVENTS);
        }
    }
    /// Collects all records from now on.
    pub fn collect(&mut self) -> Arc<Mutex<Vec<Record>>> {
        let records = Arc::new(Mutex::new(Vec::new()));
        let into = records.clone();
        self.subscribe(move |record| into.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone()));
        records
    }
    /// Computes a digest of all records from now on: see [`World::digest`].
    pub fn keep_digest(&mut self) {
        self.digest = Some(Digest::new());
        if self.mask.is_empty() {
            self.trace(TraceMask::EVENTS);
        }
    }
    /// The digest of all records; 0 if none is kept. Two runs with the same are the same to the byte.
    pub fn digest(&self) -> u64 {
        self.digest.as_ref().map_or(0, Digest::value)
    }
    /// Puts a scenario's own words into the records.
    pub fn note(&mut self, node: NodeId, text: &str) {
        self.tell(node.index(), What::Note(text.into()));
    }
    fn is_told(&self) -> bool {
        !self.subscribers.is_empty() || self.digest.is_some()
    }
    fn tell(&mut self, host: HostIndex, what: What) {
        if !self.is_told() {
            return;
        }
        let at = match &what {
            What::Stack(event) => event.at,
            _ => self.now,
        };
        let record = Record { at, host, what };
        if let Some(digest) = &mut self.digest {
            digest.record(&record);
        }
        for subscriber in &mut self.subscribers {
            subscriber(&record);
        }
    }
    fn tell_wire(&mut self, host: HostIndex, event: WireEvent) {
        self.tell(host, What::Wire(event));
    }
    /// Keeps the events of stacks for [`World::take_events`], up to 65,536 a host.
    pub fn keep_events(&mut self) {
        self.keep_events = true;
    }
    /// Takes the events of a host's stack since the last call, if they are kept.
    pub fn take_events(&mut self, node: NodeId) -> Vec<Event> {
        match &mut self.nodes[usize::from(node.0)].kind {
            Kind::Host(host) => host.events.drain(..).collect(),
            _ => Vec::new(),
        }
    }

    // Frames by hand

    /// Sends a frame from a port of a node, as if its stack had. Numbers of ports are those of its links.
    pub fn inject(&mut self, node: NodeId, port: u16, frame: impl Into<Frame>) {
        self.send(node.0, port, frame.into(), Cause::Raw);
    }
    /// Takes the frames that came to a node without a stack: when, by which port, and what.
    pub fn received(&mut self, node: NodeId) -> Vec<(Instant, u16, Frame)> {
        match &mut self.nodes[usize::from(node.0)].kind {
            Kind::Raw(frames) => frames.drain(..).collect(),
            _ => Vec::new(),
        }
    }

    // Time

    /// When something happens next by itself.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.coming.next()
    }
    /// Goes to the next time at which something happens, and lets all happen that belongs there. `false`: nothing will
    /// ever happen by itself.
    pub fn step(&mut self) -> bool {
        self.settle();
        match self.coming.next() {
            Some(at) => {
                self.advance_to(at);
                true
            }
            None => false,
        }
    }
    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Duration) {
        self.advance_to(self.now + span);
    }
    /// Steps until `done`, at most for `limit`. Returns whether it is done; if not, the limit has passed or nothing will
    /// ever happen.
    #[must_use]
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut World) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            self.settle();
            match self.coming.next() {
                Some(at) if at <= end => {
                    self.advance_to(at);
                }
                _ => return false,
            }
        }
    }
    /// Goes to where the clock has run, under programs. Applications have called at that time, and stacks must not be
    /// taken back in time: so it becomes the present first, unless something was to happen before (then nobody called).
    pub(crate) fn catch_up(&mut self) -> usize {
        let end = self.clock.now();
        if self.coming.next().is_none_or(|at| at >= end) {
            self.set_now(end);
        }
        self.advance_to(end)
    }
    /// Lets everything happen up to `end`, and makes that the time. Returns how many tasks were woken.
    fn advance_to(&mut self, end: Instant) -> usize {
        let mut woken = self.settle();
        while let Some(at) = self.coming.next()
            && at <= end
        {
            self.set_now(at);
            while let Some(coming) = self.coming.pop(at) {
                match coming {
                    Coming::Arrival(flight) => self.arrive(flight),
                    Coming::Timer(node) => self.timer(node),
                }
            }
            woken += self.settle();
        }
        self.set_now(end);
        woken
    }
    fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.clock.set(self.now);
    }
    fn timer(&mut self, node: u16) {
        if let Kind::Host(host) = &mut self.nodes[usize::from(node)].kind {
            host.armed = Instant::NEVER;
            self.kicks.kick(node, &host.touched);
        }
    }
    /// Looks after the hosts that were touched until none is. Returns how many tasks were woken.
    fn settle(&mut self) -> usize {
        let mut woken = 0;
        loop {
            let mut touched = {
                let mut hosts = self.kicks.hosts.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut *hosts)
            };
            if touched.is_empty() {
                return woken;
            }
            for &node in &touched {
                woken += self.look_after(node);
            }
            touched.clear();
            // Hand the buffer back, unless waking has filled a new one.
            let mut hosts = self.kicks.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            if hosts.capacity() == 0 {
                *hosts = touched;
            }
        }
    }
    /// One host: its due timers, its frames, its events, its next deadline.
    fn look_after(&mut self, place: u16) -> usize {
        let now = self.now;
        let told = self.is_told();
        let Kind::Host(node) = &mut self.nodes[usize::from(place)].kind else {
            return 0;
        };
        node.touched.store(false, Ordering::Relaxed);
        let host = node.host.clone();
        let mut stack = host.lock();
        let mut late = 0;
        loop {
            while let Some(meta) = stack.poll_transmit(now, &mut self.transmit) {
                let frame = std::mem::take(&mut self.transmit);
                self.scratch.push((meta.interface.0, frame, meta.cause));
            }
            match stack.next_timeout() {
                Some((at, why)) if at <= now => {
                    assert!(late < LATE_LIMIT, "{}: deadline {at:?} of {why:?} stays due", host.name());
                    self.late_deadlines += u64::from(late > 0);
                    late += 1;
                    stack.handle_timeout(now);
                }
                Some((at, _)) => {
                    if at < node.armed {
                        node.armed = at;
                        self.coming.push_timer(at, place);
                    }
                    break;
                }
                None => break,
            }
        }
        while let Some(event) = stack.poll_event() {
            if self.keep_events {
                if node.events.len() == EVENTS_KEPT {
                    node.events.pop_front();
                }
                node.events.push_back(event);
            }
            stack.notify(event, &mut self.wakers);
        }
        let trace: Vec<_> = if told { stack.trace_mut().drain().collect() } else { Vec::new() };
        drop(stack);
        for event in trace {
            self.tell(HostIndex(place), What::Stack(event));
        }
        let mut frames = std::mem::take(&mut self.scratch);
        for (port, frame, cause) in frames.drain(..) {
            self.send(place, port, frame, cause);
        }
        self.scratch = frames;
        let woken = self.wakers.len();
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        woken
    }
    /// A frame enters the link at a port.
    fn send(&mut self, place: u16, port: u16, frame: Frame, cause: Cause) {
        let id = self.next_frame;
        self.next_frame += 1;
        let from = HostIndex(place);
        let interface = InterfaceId(port);
        let bytes = self.is_told().then(|| Bytes::from(frame.to_vec()));
        let link = self.nodes[usize::from(place)].ports.get(usize::from(port)).and_then(|port| port.link);
        if let Some(bytes) = bytes.clone() {
            let link = link.map_or(u16::MAX, |(link, _)| link.0);
            self.tell_wire(from, WireEvent::Sent { id, bytes, cause, interface, link });
        }
        let Some((link, direction)) = link else {
            self.tell_wire(from, WireEvent::Lost { id, why: LinkLoss::Down });
            return;
        };
        let link = &mut self.links[usize::from(link.0)];
        let medium = link.medium();
        let lane = &mut link.lanes[direction as usize];
        let (at, again, corrupted, reordered) = match lane.send(self.now, &frame, medium) {
            Ok(Fate::Arrives { at, again, corrupted, reordered }) => (at, again, corrupted, reordered),
            Ok(Fate::Lost | Fate::QueueFull) => return,
            Err(why) => return self.tell_wire(from, WireEvent::Lost { id, why }),
        };
        let (node, port) = link.ends[1 - direction as usize];
        let mut flight = InFlight {
            frame,
            id,
            sent_at: self.now,
            from,
            bytes,
            node,
            port,
        };
        if corrupted {
            turn_a_bit(&mut flight, link_header(medium), |n| lane.channel.below(n));
        }
        if let Some(again) = again {
            let double = InFlight {
                frame: flight.frame.clone(),
                bytes: flight.bytes.clone(),
                ..flight
            };
            self.coming.push_arrival(again, double);
        }
        self.coming.push_arrival(at, flight);
        for (happened, how) in [
            (again.is_some(), LinkChange::Duplicated),
            (corrupted, LinkChange::Corrupted),
            (reordered, LinkChange::Reordered),
        ] {
            if happened {
                self.tell_wire(from, WireEvent::Changed { id, how });
            }
        }
    }
    /// A frame comes out of a link.
    fn arrive(&mut self, flight: InFlight) {
        let InFlight { frame, id, sent_at, from, bytes, node: place, port } = flight;
        if let Some(bytes) = bytes {
            let interface = InterfaceId(port);
            self.tell_wire(HostIndex(place), WireEvent::Arrived { id, bytes, sent_at, from, interface });
        }
        let node = &mut self.nodes[usize::from(place)];
        match &mut node.kind {
            Kind::Host(host) => {
                host.host.lock().handle_frame(self.now, InterfaceId(port), frame, RxMeta::default());
                self.kicks.kick(place, &host.touched);
            }
            Kind::Raw(frames) => {
                if frames.len() == RAW_KEPT {
                    frames.pop_front();
                }
                frames.push_back((self.now, port, frame));
            }
            Kind::Switch(switch) => match switch.receive(port, &frame) {
                Output::Nowhere => {}
                Output::One(to) => self.send(place, to, frame, Cause::Forwarded),
                Output::Flood => {
                    for to in (0..node.ports.len() as u16).filter(|&to| to != port) {
                        self.send(place, to, frame.clone(), Cause::Forwarded);
                    }
                }
            },
            Kind::Router(router) => {
                let mut out = std::mem::take(&mut self.scratch);
                router.receive(self.now, port, frame, &mut out);
                for (to, frame, cause) in out.drain(..) {
                    self.send(place, to, frame, cause);
                }
                self.scratch = out;
            }
        }
    }
}

/// Turns one bit behind the link header over (the link's own check would have found one in it).
fn turn_a_bit(flight: &mut InFlight, header: usize, mut below: impl FnMut(u64) -> u64) {
    let mut bytes = flight.frame.to_vec();
    let bits = bytes.len().saturating_sub(header) * 8;
    if bits == 0 {
        return;
    }
    let bit = below(bits as u64) as usize;
    bytes[header + bit / 8] ^= 1 << (bit % 8);
    let bytes = Bytes::from(bytes);
    if flight.bytes.is_some() {
        flight.bytes = Some(bytes.clone());
    }
    flight.frame = Frame::from(bytes);
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("nodes", &self.nodes.iter().map(|node| &node.name).collect::<Vec<_>>())
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}
