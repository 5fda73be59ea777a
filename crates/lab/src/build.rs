//! Describing hosts, routers and links.

use std::net::IpAddr;

use sockeye_stack::iface::{Cidr, RouteConfig};
use sockeye_stack::{Capabilities, Config, Duration, InterfaceConfig, Profile};

use crate::impair::{Burst, Impairments, Queue};
use crate::link::Direction;
use crate::nat::NatConfig;
use crate::packet::Packet;
use crate::router::{Router, RouterPort};
use crate::world::{Kind, LinkId, NodeId, World};

/// An address with its prefix, or without for a single one.
///
/// # Panics
/// If it is none: topologies are written by hand.
pub(crate) fn cidr(text: &str) -> Cidr {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let parsed = address.parse::<IpAddr>().ok().and_then(|address| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(longest), |prefix| prefix.parse().ok())?;
        (prefix <= longest).then_some(Cidr { address, prefix })
    });
    parsed.unwrap_or_else(|| panic!("{text:?} is no address with a prefix, like 10.0.0.1/24"))
}
fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no address"))
}

/// Describes a host; [`HostBuilder::id`] makes it.
#[must_use = "the host is made by `id`"]
#[derive(Debug)]
pub struct HostBuilder<'w> {
    world: &'w mut World,
    name: String,
    config: Config,
    interfaces: Vec<InterfaceConfig>,
}

impl<'w> HostBuilder<'w> {
    pub(crate) fn new(world: &'w mut World, name: &str) -> Self {
        HostBuilder {
            world,
            name: name.into(),
            config: Config::default(),
            interfaces: vec![InterfaceConfig::ip("", 1500)],
        }
    }
    /// The interface that is being described: the last one.
    fn last(&mut self) -> &mut InterfaceConfig {
        self.interfaces
            .last_mut()
            .expect("there is one from the start, and none is taken away")
    }
    /// Gives the interface an address: `10.0.0.1/24`, `fd00::1/64`.
    ///
    /// # Panics
    /// If it is none.
    pub fn ip(mut self, text: &str) -> Self {
        self.last().addresses.push(cidr(text));
        self
    }
    /// Sends what has no other route to this router.
    ///
    /// # Panics
    /// If it is no address.
    pub fn gateway(self, router: &str) -> Self {
        let default = if address(router).is_ipv4() {
            "0.0.0.0/0"
        } else {
            "::/0"
        };
        self.route(default, router)
    }
    /// Sends what goes to `destination` to this router.
    ///
    /// # Panics
    /// If either is no address.
    pub fn route(mut self, destination: &str, router: &str) -> Self {
        let route = RouteConfig {
            destination: cidr(destination),
            via: Some(address(router)),
        };
        self.last().routes.push(route);
        self
    }
    /// Largest IP packet of the interface; 1,500 if not set.
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.last().mtu = mtu;
        self
    }
    /// Makes it an Ethernet interface. One that is linked to a switch is so by itself.
    pub fn ethernet(mut self) -> Self {
        // Unlike any that the world gives: its third octet is odd only from node 256 on.
        let n = self.world.nodes.len() as u16;
        let port = self.interfaces.len() as u8;
        let address = [0x06, 0, (n >> 8) as u8, n as u8, 0, port];
        self.last().medium = sockeye_stack::Medium::Ethernet { address };
        self
    }
    /// What its device does for the stack.
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.last().capabilities = capabilities;
        self
    }
    /// Describes one more interface; what follows belongs to it.
    pub fn interface(mut self) -> Self {
        self.interfaces.push(InterfaceConfig::ip("", 1500));
        self
    }
    /// The stack's settings.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }
    /// The stack's settings, as this profile has them.
    pub fn profile(self, profile: Profile) -> Self {
        self.config(Config::new(profile))
    }
    /// Makes the host.
    pub fn id(self) -> NodeId {
        self.world.add_host(&self.name, self.config, self.interfaces)
    }
}

/// Describes a router; [`RouterBuilder::id`] makes it.
#[must_use = "the router is made by `id`"]
#[derive(Debug)]
pub struct RouterBuilder<'w> {
    world: &'w mut World,
    name: String,
    router: Router,
}

impl<'w> RouterBuilder<'w> {
    pub(crate) fn new(world: &'w mut World, name: &str) -> Self {
        RouterBuilder {
            world,
            name: name.into(),
            router: Router::default(),
        }
    }
    /// One more port, with an address; what follows belongs to it.
    ///
    /// # Panics
    /// If it is no address.
    pub fn port(mut self, text: &str) -> Self {
        self.router.ports.push(RouterPort::new(cidr(text)));
        self
    }
    fn last(&mut self) -> &mut RouterPort {
        self.router
            .ports
            .last_mut()
            .expect("describe a port first: .port(\"10.0.0.1/24\")")
    }
    /// One more address of the port.
    ///
    /// # Panics
    /// If it is none, or no port was described.
    pub fn ip(mut self, text: &str) -> Self {
        self.last().addresses.push(cidr(text));
        self
    }
    /// Largest IP packet of the port; 1,500 if not set. A link's smaller MTU is respected as well.
    ///
    /// # Panics
    /// If no port was described.
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.last().mtu = mtu;
        self
    }
    /// Makes it an Ethernet port. One that is linked to a switch is so by itself.
    ///
    /// # Panics
    /// If no port was described.
    pub fn ethernet(mut self) -> Self {
        self.last().ethernet = true;
        self
    }
    /// Sends what goes to `destination` to another router.
    ///
    /// # Panics
    /// If either is no address.
    pub fn route(mut self, destination: &str, via: &str) -> Self {
        self.router.routes.add(cidr(destination), address(via));
        self
    }
    /// Sends what has no other route to another router.
    ///
    /// # Panics
    /// If it is no address.
    pub fn gateway(self, via: &str) -> Self {
        let default = if address(via).is_ipv4() {
            "0.0.0.0/0"
        } else {
            "::/0"
        };
        self.route(default, via)
    }
    /// Makes the port that was described last the outside of a NAT: what leaves by it has the port's IPv4 address.
    ///
    /// # Panics
    /// If no port was described.
    pub fn nat(mut self, config: NatConfig) -> Self {
        let outside = self
            .router
            .ports
            .len()
            .checked_sub(1)
            .expect("describe a port first");
        self.router.set_nat(outside as u16, config);
        self
    }
    /// Makes the router. Its first address is found by its name.
    pub fn id(self) -> NodeId {
        for port in &self.router.ports {
            for own in &port.addresses {
                self.world.names.insert(&self.name, own.address);
            }
        }
        self.world
            .add_node(&self.name, Kind::Router(Box::new(self.router)), Vec::new())
    }
}

/// Changes a link. Figures hold for both directions, unless [`LinkEdit::forward`] or [`LinkEdit::backward`] was said
/// before. Changes hold at once, for frames that enter from now on.
#[derive(Debug)]
pub struct LinkEdit<'w> {
    world: &'w mut World,
    id: LinkId,
    lanes: &'static [Direction],
}

impl<'w> LinkEdit<'w> {
    pub(crate) fn new(world: &'w mut World, id: LinkId) -> Self {
        LinkEdit {
            world,
            id,
            lanes: &[Direction::Forward, Direction::Backward],
        }
    }
    /// The link's id.
    pub fn id(self) -> LinkId {
        self.id
    }
    /// What follows holds from the first node to the second only.
    pub fn forward(mut self) -> Self {
        self.lanes = &[Direction::Forward];
        self
    }
    /// What follows holds from the second node to the first only.
    pub fn backward(mut self) -> Self {
        self.lanes = &[Direction::Backward];
        self
    }
    /// What follows holds in both directions.
    pub fn both(mut self) -> Self {
        self.lanes = &[Direction::Forward, Direction::Backward];
        self
    }
    /// Changes any figures.
    pub fn figures(self, mut change: impl FnMut(&mut Impairments)) -> Self {
        let link = &mut self.world.links[usize::from(self.id.0)];
        for &lane in self.lanes {
            change(&mut link.lanes[lane as usize].figures);
        }
        self
    }
    /// Bits a second.
    pub fn rate(self, bits: u64) -> Self {
        self.figures(|f| f.rate = Some(bits))
    }
    /// One-way delay.
    pub fn delay(self, delay: impl Into<Duration>) -> Self {
        let delay = delay.into();
        self.figures(|f| f.delay = delay)
    }
    /// Up to this much more delay, evenly spread.
    pub fn jitter(self, jitter: impl Into<Duration>) -> Self {
        let jitter = jitter.into();
        self.figures(|f| f.jitter = jitter)
    }
    /// Probability of loss.
    pub fn loss(self, probability: f64) -> Self {
        self.figures(|f| f.loss = probability)
    }
    /// Loss in bursts.
    pub fn burst_loss(self, burst: Burst) -> Self {
        self.figures(|f| f.burst = Some(burst))
    }
    /// Probability that a frame arrives twice.
    pub fn duplicate(self, probability: f64) -> Self {
        self.figures(|f| f.duplicate = probability)
    }
    /// Probability that a frame is held back by `by`, so that later ones overtake it.
    pub fn reorder(self, probability: f64, by: impl Into<Duration>) -> Self {
        let by = by.into();
        self.figures(|f| (f.reorder, f.reorder_by) = (probability, by))
    }
    /// Probability that one bit is turned over.
    pub fn corrupt(self, probability: f64) -> Self {
        self.figures(|f| f.corrupt = probability)
    }
    /// Probability that a frame shows congestion: marked with CE if its transport is ECN-capable, else lost.
    pub fn mark(self, probability: f64) -> Self {
        self.figures(|f| f.mark = probability)
    }
    /// ECN-capable frames that wait longer than this in the queue are marked with CE.
    pub fn mark_wait(self, wait: impl Into<Duration>) -> Self {
        let wait = wait.into();
        self.figures(|f| f.mark_wait = Some(wait))
    }
    /// The queue before the link.
    pub fn queue(self, queue: Queue) -> Self {
        self.figures(|f| f.queue = queue)
    }
    /// Largest IP packet. A router before the link says so to senders; a host has to know by itself.
    pub fn mtu(self, mtu: u32) -> Self {
        let edit = self.figures(|f| f.mtu = mtu);
        let ends = edit.world.links[usize::from(edit.id.0)].ends;
        for &lane in edit.lanes {
            let (node, port) = ends[lane as usize];
            if let Kind::Router(router) = &mut edit.world.nodes[usize::from(node)].kind {
                router.ports[usize::from(port)].link_mtu = mtu;
            }
        }
        edit
    }
    /// Nothing passes until [`LinkEdit::up`].
    pub fn down(self) -> Self {
        self.figures(|f| f.down = true)
    }
    /// Frames pass again.
    pub fn up(self) -> Self {
        self.figures(|f| f.down = false)
    }
    /// Takes away loss, marks, duplication, reordering, corruption and programmed faults, and lets frames pass again.
    pub fn heal(self) -> Self {
        for &lane in self.lanes {
            self.world.links[usize::from(self.id.0)].lanes[lane as usize].clear_faults();
        }
        self.figures(Impairments::heal)
    }
    /// Loses exactly the `nth` packet that `chosen` chooses, counted from now and from 1:
    /// `drop_nth(3, Packet::is_data)` loses the third data segment. Each direction counts for itself.
    pub fn drop_nth(self, nth: u64, chosen: impl FnMut(&Packet) -> bool + Clone + Send + 'static) -> Self {
        for &lane in self.lanes {
            let lane = &mut self.world.links[usize::from(self.id.0)].lanes[lane as usize];
            lane.lose(Some(nth), Box::new(chosen.clone()));
        }
        self
    }
    /// Loses every packet that `chosen` chooses, until [`LinkEdit::heal`].
    pub fn drop_when(self, chosen: impl FnMut(&Packet) -> bool + Clone + Send + 'static) -> Self {
        for &lane in self.lanes {
            let lane = &mut self.world.links[usize::from(self.id.0)].lanes[lane as usize];
            lane.lose(None, Box::new(chosen.clone()));
        }
        self
    }
}
