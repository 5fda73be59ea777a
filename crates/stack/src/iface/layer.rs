//! The layer itself: interfaces, addresses and routes, and the questions that transports ask of them.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::is_link_local;
use super::addresses::{Addresses, Local};
use super::autoconf::Autoconf;
use super::groups::Groups;
use super::ident::Identifications;
use super::limit::Bucket;
use super::neighbor::Neighbors;
use super::pmtu::PathMtus;
use super::queue::Queue;
use super::reassembly::Reassembly;
use super::routes::{Origin, Routes, Target};
use super::{Capabilities, Cast, Cidr, Env, IcmpNotice, InterfaceConfig, Medium, Path, PlainLink, Route};
use crate::InterfaceId;
use crate::demux::FourTuple;
use crate::frame::{Frame, TxMeta};
use crate::time::{Duration, Instant};
use crate::trace::{DropReason, Timer};

/// MTU of the loopback interface: the largest packet there is.
const LOOPBACK_MTU: u32 = 65_535;

/// One interface.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) id: InterfaceId,
    pub(super) name: String,
    pub(super) medium: Medium,
    pub(super) mtu: u32,
    pub(super) capabilities: Capabilities,
    /// MTU for IPv6: a router may tell a smaller one (RFC 4861 section 6.3.4).
    pub(super) mtu_v6: u32,
    /// What a router told us to use; 0 if none did.
    pub(super) hop_limit: u8,
    /// How long a neighbour counts as reachable, before randomisation.
    pub(super) reachable: Duration,
    /// Between two solicitations.
    pub(super) retrans: Duration,
    pub(super) detect_duplicates: bool,
    pub(super) groups: Groups,
    pub(super) autoconf: Autoconf,
    /// Its device has failed: nothing comes or goes any more.
    failed: bool,
    /// In the set of timers, unless it is never.
    deadline: Instant,
}

impl Interface {
    fn new(id: InterfaceId, config: InterfaceConfig) -> Self {
        let mtu = config.mtu.clamp(super::pmtu::IPV4_MTU_MIN, 65_535);
        let ethernet = config.medium != Medium::Ip;
        Interface {
            id,
            name: config.name,
            medium: config.medium,
            mtu,
            capabilities: config.capabilities,
            mtu_v6: mtu,
            hop_limit: 0,
            reachable: super::neighbor::REACHABLE_TIME,
            retrans: super::neighbor::RETRANS_TIMER,
            detect_duplicates: config.duplicate_address_detection && ethernet,
            groups: Groups::new(),
            autoconf: Autoconf::new(config.autoconfigure && ethernet),
            failed: false,
            deadline: Instant::NEVER,
        }
    }

    /// Whether TCP writes its short packets from this address for this link itself.
    fn plain_for(&self, source: IpAddr) -> PlainLink {
        let Capabilities {
            no_checksums,
            tx_checksum,
            ..
        } = self.capabilities;
        match (self.medium, no_checksums, tx_checksum) {
            (Medium::Ip, true, _) if source.is_ipv4() => PlainLink::Unsummed,
            (Medium::Ip, false, false) if source.is_ipv4() => PlainLink::Summed,
            _ => PlainLink::No,
        }
    }
}

/// Everything between the transport protocols and the devices. See the module's documentation.
///
/// In this order: first what every segment asks for.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct IpLayer {
    pub(super) generation: u32,
    /// Source, destination and interface of the last IPv4 packet whose addresses were found good, for one of our own
    /// addresses: the next is probably alike (as in Van Jacobson's header prediction).
    pub(super) recent_v4: Option<KnownPair>,
    pub(super) ids: Identifications,
    /// The last answer of [`IpLayer::plain_path`].
    recent_path: Option<RecentPath>,
    pub(super) interfaces: Vec<Interface>,
    /// The last answers of [`IpLayer::route`], without a source given and with one.
    recent_routes: [RefCell<Option<RecentRoute>>; 2],
    pub(super) loopback: Interface,
    pub(super) addresses: Addresses,
    pub(super) routes: Routes,
    pub(super) paths: PathMtus,
    pub(super) reassembly: Reassembly,
    pub(super) queue: Queue,
    pub(super) errors: Bucket,
    pub(super) neighbors: Neighbors,
    pub(super) notices: VecDeque<IcmpNotice>,
    /// Deadlines of interfaces: addresses, routers, memberships.
    timers: BTreeSet<(Instant, InterfaceId)>,
    pub(super) key: [u8; 16],
    /// Before this an address is not defended again.
    pub(super) defends_at: Instant,
}

/// Addresses that a packet to us may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KnownPair {
    /// Source and destination.
    pub(super) addresses: u64,
    /// Where it came.
    pub(super) on: InterfaceId,
    /// What the device there leaves to us, if packets cross it without link headers.
    pub(super) capabilities: Option<Capabilities>,
}

/// A question for a route and its answer.
#[derive(Clone, Copy, Debug)]
struct RecentRoute {
    destination: IpAddr,
    source: Option<IpAddr>,
    generation: u32,
    /// No router lies between.
    on_link: bool,
    route: Route,
}

/// How packets between two addresses leave that are written in one go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainPath {
    pub(crate) interface: InterfaceId,
    pub(crate) mtu: u16,
    /// 0: the stack's.
    pub(crate) hop_limit: u8,
    pub(crate) checksums: bool,
}

impl PlainPath {
    /// The same of this path, if packets along it can be written in one go.
    #[inline]
    pub(crate) fn of(path: Path) -> Option<PlainPath> {
        let Path {
            interface,
            mtu,
            hop_limit,
            plain,
            next_hop: _,
        } = path;
        let checksums = plain.checksums()?;
        Some(PlainPath {
            interface,
            mtu,
            hop_limit,
            checksums,
        })
    }
}

/// Two IPv4 addresses and the path between them.
#[derive(Clone, Copy, Debug)]
struct RecentPath {
    addresses: u64,
    generation: u32,
    path: Path,
    plain: PlainPath,
}

impl IpLayer {
    /// A layer with the loopback interface. `key` is the secret of its hash tables and identifiers.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        let mut loopback = InterfaceConfig::ip("lo", LOOPBACK_MTU);
        loopback.capabilities.no_checksums = true;
        let mut layer = IpLayer {
            key,
            recent_v4: None,
            defends_at: Instant::ZERO,
            recent_path: None,
            recent_routes: Default::default(),
            interfaces: Vec::new(),
            loopback: Interface::new(InterfaceId::LOOPBACK, loopback),
            addresses: Addresses::default(),
            routes: Routes::default(),
            paths: PathMtus::new(key),
            reassembly: Reassembly::new(key),
            queue: Queue::default(),
            ids: Identifications::new(key),
            errors: Bucket::new(),
            neighbors: Neighbors::new(key),
            notices: VecDeque::new(),
            timers: BTreeSet::new(),
            generation: 0,
        };
        let ours: [(IpAddr, u8); 2] = [(Ipv4Addr::LOCALHOST.into(), 8), (Ipv6Addr::LOCALHOST.into(), 128)];
        for (address, prefix) in ours {
            let local = Local::configured(Cidr { address, prefix }, InterfaceId::LOOPBACK);
            layer.addresses.insert(local);
        }
        layer
    }

    /// Adds an interface with its addresses and routes. Its number is the count of those before it.
    pub(crate) fn add_interface(&mut self, env: &mut Env<'_>, config: InterfaceConfig) -> InterfaceId {
        let id = InterfaceId(self.interfaces.len() as u16);
        let (addresses, routes) = (config.addresses.clone(), config.routes.clone());
        let autoconfigure = config.autoconfigure && config.medium != Medium::Ip;
        self.interfaces.push(Interface::new(id, config));
        for cidr in addresses {
            self.add_address(env, Local::configured(cidr, id));
            self.routes.insert(cidr, target(id, None, Origin::Address));
        }
        for route in routes {
            self.routes
                .insert(route.destination, target(id, route.via, Origin::Configured));
        }
        if autoconfigure {
            self.start_autoconf(env, id);
        }
        self.changed();
        self.reschedule(id);
        id
    }

    /// The device of an interface has failed. With the last one the whole host is cut off, loopback too: whoever waits for
    /// anything is to hear of it.
    pub(crate) fn fail(&mut self, id: InterfaceId) {
        if let Some(interface) = self.interface_mut(id) {
            interface.failed = true;
        }
        if self.interfaces.iter().all(|interface| interface.failed) {
            self.loopback.failed = true;
        }
        self.changed();
    }
    /// Whether the device of an interface has failed.
    pub(crate) fn has_failed(&self, id: InterfaceId) -> bool {
        self.interface(id).is_some_and(|interface| interface.failed)
    }
    /// Whether the last interface has failed.
    pub(crate) fn is_down(&self) -> bool {
        self.loopback.failed
    }

    /// Cached routes may be stale from now on.
    pub(super) fn changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.recent_v4 = None;
    }

    /// The whole route of a connection's path: `source` is the connection's own address.
    #[inline]
    pub(crate) fn along(&self, path: &Path, source: IpAddr) -> Route {
        let Path {
            next_hop,
            hop_limit,
            interface,
            mtu,
            plain,
        } = *path;
        let loopback = interface == InterfaceId::LOOPBACK;
        let capabilities = self
            .interface(interface)
            .map(|i| i.capabilities)
            .unwrap_or_default();
        Route {
            source,
            next_hop,
            mtu: mtu.into(),
            capabilities,
            interface,
            cast: Cast::Unicast,
            loopback,
            hop_limit,
            plain,
        }
    }
    /// The MTU of an interface: what we can receive in one piece (RFC 9293 section 3.7.1, MMS_R). Where a router has told
    /// that the link takes less, it is that (SHLD-6).
    pub(crate) fn interface_mtu(&self, id: InterfaceId, ipv4: bool) -> u32 {
        let mtu = |i: &Interface| if ipv4 { i.mtu } else { i.mtu_v6 };
        self.interface(id).map_or(0, mtu)
    }

    /// Changes whenever a cached [`Route`] may be stale: routes, addresses, path MTUs.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// What the device of an interface does, if packets cross it without link headers.
    #[inline]
    pub(crate) fn plain_link(&self, id: InterfaceId) -> Option<&Capabilities> {
        let interface = self.interface(id)?;
        matches!(interface.medium, Medium::Ip).then_some(&interface.capabilities)
    }

    /// The interface of this id.
    #[inline]
    pub(super) fn interface(&self, id: InterfaceId) -> Option<&Interface> {
        if id == InterfaceId::LOOPBACK {
            return Some(&self.loopback);
        }
        self.interfaces.get(usize::from(id.0))
    }

    pub(super) fn interface_mut(&mut self, id: InterfaceId) -> Option<&mut Interface> {
        if id == InterfaceId::LOOPBACK {
            return Some(&mut self.loopback);
        }
        self.interfaces.get_mut(usize::from(id.0))
    }

    /// Computes an interface's next deadline anew, after something of it has changed.
    pub(super) fn reschedule(&mut self, id: InterfaceId) {
        let addresses = self
            .addresses
            .on(id)
            .fold(Instant::NEVER, |t, l| t.min(l.next_timeout()));
        let Some(i) = self.interface(id) else { return };
        let at = addresses
            .min(i.groups.next_timeout())
            .min(i.autoconf.next_timeout());
        let before = i.deadline;
        if !before.is_never() {
            self.timers.remove(&(before, id));
        }
        if !at.is_never() {
            self.timers.insert((at, id));
        }
        if let Some(i) = self.interface_mut(id) {
            i.deadline = at;
        }
    }

    #[cfg(test)]
    /// The addresses of an interface with their prefixes, those being checked for duplicates left out.
    pub(crate) fn addresses_of(&self, id: InterfaceId) -> impl Iterator<Item = Cidr> + '_ {
        let usable = |l: &&Local| l.state != super::addresses::AddressState::Tentative;
        self.addresses.on(id).filter(usable).map(|l| l.cidr)
    }

    /// The name of an interface, for people.
    pub(crate) fn interface_name(&self, id: InterfaceId) -> Option<&str> {
        self.interface(id).map(|i| i.name.as_str())
    }

    /// Whether the address is one of ours and in use; all of `127.0.0.0/8` is.
    #[inline]
    pub(crate) fn is_local(&self, address: IpAddr) -> bool {
        self.addresses.is_local(address)
    }

    /// Whether it is the limited broadcast address or the broadcast address of one of our prefixes.
    #[inline]
    pub(crate) fn is_broadcast(&self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(a) if self.addresses.is_broadcast(a))
    }

    /// The way to `destination`. `source` fixes our address, `on` the interface. `None` where there is no way: no route,
    /// an address that is not ours, families that differ.
    ///
    /// The last answers are kept as long as nothing has changed: a handshake asks for the same way several times.
    pub(crate) fn route(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
        on: Option<InterfaceId>,
    ) -> Option<Route> {
        if on.is_none()
            && let Some(kept) = &*self.recent_routes[usize::from(source.is_some())].borrow()
            && kept.generation == self.generation
            && kept.destination == destination
            && kept.source == source
            // A router may have stopped answering since.
            && (kept.on_link || !self.neighbors.has_failed(kept.route.next_hop, kept.route.interface))
        {
            return Some(kept.route);
        }
        self.route_anew(destination, source, on)
    }
    #[inline(never)]
    fn route_anew(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
        on: Option<InterfaceId>,
    ) -> Option<Route> {
        let route = self.find_route(destination, source, on)?;
        if on.is_none() {
            *self.recent_routes[usize::from(source.is_some())].borrow_mut() = Some(RecentRoute {
                destination,
                source,
                generation: self.generation,
                on_link: route.next_hop == destination,
                route,
            });
        }
        Some(route)
    }

    /// The way of these addresses' packets, if they can be written in one go. On such a link there are no neighbours that could
    /// stop answering: an answer stands as long as nothing has changed.
    #[inline(never)]
    pub(crate) fn plain_path(&mut self, tuple: &FourTuple) -> Option<PlainPath> {
        if let Some(known) = self.recent_for(tuple) {
            return Some(known.plain);
        }
        PlainPath::of(self.find_path(tuple)?)
    }
    /// The way of these addresses' packets, if they were asked for before.
    #[inline]
    pub(crate) fn known_path(&self, tuple: &FourTuple) -> Option<&Path> {
        self.recent_for(tuple).map(|known| &known.path)
    }
    #[inline]
    fn recent_for(&self, tuple: &FourTuple) -> Option<&RecentPath> {
        let addresses = tuple.pair_v4()?;
        let known = self.recent_path.as_ref()?;
        (known.addresses == addresses && known.generation == self.generation).then_some(known)
    }
    /// The way of these addresses' packets; `None` where there is none.
    #[inline(never)]
    pub(crate) fn find_path(&mut self, tuple: &FourTuple) -> Option<Path> {
        let path = self.route(tuple.remote(), Some(tuple.local()), None)?.into();
        if let Some(addresses) = tuple.pair_v4()
            && let Some(plain) = PlainPath::of(path)
        {
            self.recent_path = Some(RecentPath {
                addresses,
                generation: self.generation,
                path,
                plain,
            });
        }
        Some(path)
    }

    fn find_route(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
        on: Option<InterfaceId>,
    ) -> Option<Route> {
        if let Some(s) = source
            && (s.is_ipv4() != destination.is_ipv4() || !self.is_local(s))
        {
            return None;
        }
        // IPv4-mapped addresses are for the sockets' face, never for the wire (RFC 4291 section 2.5.5.2).
        let mapped = matches!(destination, IpAddr::V6(a) if a.to_ipv4_mapped().is_some());
        if destination.is_unspecified() || mapped {
            return None;
        }
        if destination.is_multicast() || self.is_broadcast(destination) {
            return self.route_to_many(destination, source, on);
        }
        if self.is_local(destination) {
            return Some(self.loopback_route(destination, source.unwrap_or(destination)));
        }
        // What is of this host only must not leave it (RFC 1122 section 3.2.1.3 (g), RFC 4291 section 2.5.3).
        if destination.is_loopback() || source.is_some_and(|s| s.is_loopback()) {
            return None;
        }
        let on = on.or_else(|| self.interface_of_link_local(source));
        let fits = |t: &Target| on.is_none_or(|i| i == t.interface);
        // A router that does not answer is the last choice (RFC 4861 section 6.3.6).
        let alive = |t: &Target| {
            t.via
                .is_none_or(|via| !self.neighbors.has_failed(via, t.interface))
        };
        let target = self
            .routes
            .lookup(destination, |t| fits(t) && alive(t))
            .or_else(|| self.routes.lookup(destination, fits))?;
        let interface = self.interface(target.interface)?;
        let source = source.or_else(|| self.addresses.source_for(destination, interface.id))?;
        let path = self.paths.lookup(destination).unwrap_or(u32::MAX);
        Some(Route {
            source,
            next_hop: target.via.unwrap_or(destination),
            mtu: if source.is_ipv4() {
                interface.mtu
            } else {
                interface.mtu_v6
            }
            .min(path),
            capabilities: interface.capabilities,
            interface: interface.id,
            cast: Cast::Unicast,
            loopback: false,
            hop_limit: interface.hop_limit,
            plain: interface.plain_for(source),
        })
    }

    /// A link-local source ties a packet to its interface.
    fn interface_of_link_local(&self, source: Option<IpAddr>) -> Option<InterfaceId> {
        match source {
            Some(s @ IpAddr::V6(a)) if is_link_local(a) => self.addresses.interface_of(s),
            _ => None,
        }
    }

    fn route_to_many(
        &self,
        destination: IpAddr,
        source: Option<IpAddr>,
        on: Option<InterfaceId>,
    ) -> Option<Route> {
        let directed = match destination {
            IpAddr::V4(a) => self.addresses.broadcast_on(a),
            IpAddr::V6(_) => None,
        };
        let id = directed
            .or(on)
            .or_else(|| source.and_then(|s| self.addresses.interface_of(s)))
            .or_else(|| self.routes.lookup(destination, |_| true).map(|t| t.interface))
            .or_else(|| self.first_with_address(destination.is_ipv4()))?;
        let interface = self.interface(id)?;
        let source = source.or_else(|| self.addresses.source_for(destination, id))?;
        let multicast = destination.is_multicast();
        Some(Route {
            source,
            next_hop: destination,
            mtu: if source.is_ipv4() {
                interface.mtu
            } else {
                interface.mtu_v6
            },
            capabilities: interface.capabilities,
            interface: id,
            cast: if multicast {
                Cast::Multicast
            } else {
                Cast::Broadcast
            },
            loopback: id == InterfaceId::LOOPBACK,
            hop_limit: 0,
            plain: PlainLink::No,
        })
    }

    fn first_with_address(&self, v4: bool) -> Option<InterfaceId> {
        let usable = |i: &&Interface| self.addresses.on(i.id).any(|l| l.cidr.address.is_ipv4() == v4);
        let first = self.interfaces.iter().find(usable);
        first.or(Some(&self.loopback)).map(|i| i.id)
    }

    fn loopback_route(&self, destination: IpAddr, source: IpAddr) -> Route {
        Route {
            source,
            next_hop: destination,
            mtu: self.loopback.mtu,
            capabilities: self.loopback.capabilities,
            interface: InterfaceId::LOOPBACK,
            cast: Cast::Unicast,
            loopback: true,
            hop_limit: 0,
            plain: self.loopback.plain_for(source),
        }
    }

    /// The same way, but back to ourselves: a copy of a multicast or broadcast packet for our own members.
    pub(crate) fn looped(&self, route: &Route) -> Route {
        Route {
            cast: route.cast,
            ..self.loopback_route(route.next_hop, route.source)
        }
    }

    /// A packet of ours was too big for the path to `destination`, which takes `mtu` octets. Call it only for a notice
    /// whose quoted packet the transport knows to be its own (RFC 5927 section 7, RFC 8201 section 4): a forged one
    /// would make the path narrow.
    pub(crate) fn packet_too_big(&mut self, env: &Env<'_>, destination: IpAddr, mtu: u32) {
        let least = env.config.path_mtu_min;
        if self.paths.reduce(env.now, destination, mtu, least) {
            self.changed();
        }
    }

    /// Whether the layer owes no frame.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes a frame that the layer owes into `out`. Frames whose interface is [`InterfaceId::LOOPBACK`] are for `receive`.
    pub(crate) fn poll_transmit(&mut self, env: &mut Env<'_>, out: &mut Frame) -> Option<TxMeta> {
        let _ = env;
        let (frame, meta) = self.queue.pop()?;
        *out = frame;
        Some(meta)
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, env: &mut Env<'_>) {
        while let Some(expired) = self.reassembly.expire(env.now) {
            env.dropped(DropReason::FragmentTimeout);
            self.reassembly_expired(env, expired);
        }
        if self.paths.expire(env.now) {
            self.changed();
        }
        self.neighbors_due(env);
        while let Some(&(at, id)) = self.timers.first()
            && at <= env.now
        {
            self.autoconf_due(env, id);
            self.groups_due(env, id);
            self.reschedule(id);
        }
    }

    /// Whether time brings the layer nothing: no neighbours, no fragments, no addresses that end, no notice to take.
    #[inline]
    pub(crate) fn is_timeless(&self) -> bool {
        // One comparison, not five.
        self.timers.is_empty()
            & self.notices.is_empty()
            & self.neighbors.is_timeless()
            & self.reassembly.is_timeless()
            & self.paths.is_timeless()
    }
    /// The next deadline of the layer.
    pub(crate) fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let reassembly = self.reassembly.next_timeout().map(|at| (at, Timer::Reassembly));
        let paths = self.paths.next_timeout().map(|at| (at, Timer::Interface));
        let neighbors = self.neighbors.next_timeout().map(|at| (at, Timer::Neighbor));
        let interfaces = self.timers.first().map(|t| (t.0, Timer::Interface));
        [reassembly, paths, neighbors, interfaces]
            .into_iter()
            .flatten()
            .min_by_key(|t| t.0)
    }
}

pub(super) fn target(interface: InterfaceId, via: Option<IpAddr>, origin: Origin) -> Target {
    Target {
        interface,
        via,
        origin,
    }
}
