//! The world: nodes, links between them, and what is to come.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use sockeye_net::{Clock, Host, HostGuard, Names, Net};
use sockeye_stack::trace::{Cause, TraceMask};
use sockeye_stack::{Config, Event, Frame, Instant, InterfaceConfig, Medium, Stack, TxFrame};
use sockeye_view::{Cast, HostIndex, HostInfo, InterfaceInfo, Record};

use crate::build::{HostBuilder, LinkEdit, RouterBuilder};
use crate::digest::Digest;
use crate::events::Events;
use crate::link::{Direction, Lane, Link, LinkStats};
use crate::rng::Rng;
use crate::router::Router;
use crate::switch::Switch;

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
    pub(crate) armed: Instant,
    /// Whether it is in the list of hosts to look after.
    pub(crate) touched: Arc<AtomicBool>,
    pub(crate) events: VecDeque<Event>,
}

/// The hosts whose applications have called since they were last looked after; shared with the hosts' kicks.
#[derive(Default)]
pub(crate) struct Kicks {
    hosts: Mutex<Vec<u16>>,
    /// Told at each kick, while programs run.
    pub(crate) notify: tokio::sync::Notify,
}

impl Kicks {
    /// An application has called.
    fn kick(&self, node: u16, touched: &AtomicBool) {
        if self.touch(node, touched) {
            self.notify.notify_one();
        }
    }
    /// Puts a host into the list. `true` if it was not there yet.
    pub(crate) fn touch(&self, node: u16, touched: &AtomicBool) -> bool {
        let new = !touched.swap(true, Ordering::Relaxed);
        if new {
            self.lock().push(node);
        }
        new
    }
    /// The list.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<u16>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) type Subscriber = Box<dyn FnMut(&Record) + Send>;

/// A virtual network. See the crate's documentation.
pub struct World {
    pub(crate) rng: Rng,
    pub(crate) now: Instant,
    pub(crate) clock: Arc<Clock>,
    pub(crate) names: Names,
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: Vec<Link>,
    pub(crate) coming: Events,
    pub(crate) kicks: Arc<Kicks>,
    pub(crate) mask: TraceMask,
    pub(crate) subscribers: Vec<Subscriber>,
    pub(crate) digest: Option<Digest>,
    pub(crate) keep_events: bool,
    pub(crate) late_deadlines: u64,
    pub(crate) next_frame: u64,
    /// Reused between calls.
    pub(crate) transmit: TxFrame,
    pub(crate) scratch: Vec<(u16, Frame, Cause)>,
    pub(crate) wakers: Vec<Waker>,
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
        let ends = [
            (a.0, self.add_port(a, ethernet)),
            (b.0, self.add_port(b, ethernet)),
        ];
        for (end, direction) in ends.into_iter().zip([Direction::Forward, Direction::Backward]) {
            self.nodes[usize::from(end.0)].ports[usize::from(end.1)].link = Some((id, direction));
        }
        let dice = |lane: u64| self.rng.fork(1 << 32 | u64::from(id.0) << 1 | lane);
        let lanes = [Lane::new(dice(0)), Lane::new(dice(1))];
        self.links.push(Link {
            ends,
            lanes,
            ethernet,
        });
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
    pub(crate) fn add_host(
        &mut self,
        name: &str,
        config: Config,
        interfaces: Vec<InterfaceConfig>,
    ) -> NodeId {
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
            Kind::Host(host) => host
                .waiting
                .front()
                .is_some_and(|i| matches!(i.medium, Medium::Ethernet { .. })),
        }
    }
    /// The next port of a node, made ready for a link.
    fn add_port(&mut self, id: NodeId, ethernet: bool) -> u16 {
        let node = &mut self.nodes[usize::from(id.0)];
        let place = node.ports.len() as u16;
        let medium = match ethernet {
            // Locally administered, one a port.
            true => Medium::Ethernet {
                address: [
                    2,
                    0,
                    (id.0 >> 8) as u8,
                    id.0 as u8,
                    (place >> 8) as u8,
                    place as u8,
                ],
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
                self.kicks.touch(id.0, &host.touched);
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
        Cast {
            hosts: hosts.collect(),
        }
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
        self.kicks.touch(node.0, &host.touched);
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
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field(
                "nodes",
                &self.nodes.iter().map(|node| &node.name).collect::<Vec<_>>(),
            )
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}
