//! Who holds which local TCP port: bound sockets, listeners, and counters of the connections that are left.
//!
//! The rules are those of Linux. A socket that binds, and again when it listens, collides with an earlier one on its
//! port if their addresses overlap, unless
//! - both have SO_REUSEADDR and the earlier one does not listen, or
//! - both have SO_REUSEPORT.
//!
//! Addresses overlap if they are equal or one is the wildcard of their family; `[::]` without IPV6_V6ONLY is the
//! wildcard of both families. Connections (TIME-WAIT too) hold their port against a bind unless their socket and the
//! new one have SO_REUSEADDR. They are counted by port and family, not by address: coarser than Linux, on a host with
//! several addresses only.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use crate::demux::{Ends, FourTuple};
use crate::port_counts::{Connections, PortCounts};
use crate::stack::SocketId;

/// Below this many places the table never shrinks.
const KEEP: usize = 64;

/// What a socket allows others on its port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct BindFlags {
    /// SO_REUSEADDR.
    pub(crate) reuse_address: bool,
    /// SO_REUSEPORT.
    pub(crate) reuse_port: bool,
    /// IPV6_V6ONLY; without meaning for IPv4 addresses.
    pub(crate) ipv6_only: bool,
}

/// Another socket or its connections hold the port (EADDRINUSE).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InUse;

/// A socket that holds a port.
#[derive(Clone, Copy, Debug)]
struct Bound {
    id: SocketId,
    address: IpAddr,
    flags: BindFlags,
}

impl Bound {
    fn overlaps(&self, address: IpAddr, ipv6_only: bool) -> bool {
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
            (IpAddr::V6(a), IpAddr::V6(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
            (IpAddr::V6(a), IpAddr::V4(_)) => a.is_unspecified() && !self.flags.ipv6_only,
            (IpAddr::V4(_), IpAddr::V6(b)) => b.is_unspecified() && !ipv6_only,
        }
    }

    /// How well a listener fits a segment for `local`: an exact address before a wildcard of the family before a
    /// wildcard of both.
    fn fit(&self, local: IpAddr) -> Option<Fit> {
        match (self.address, local) {
            (bound, local) if bound == local => Some(Fit::Exact),
            (IpAddr::V4(bound), IpAddr::V4(_)) if bound.is_unspecified() => Some(Fit::Family),
            (IpAddr::V6(bound), IpAddr::V6(_)) if bound.is_unspecified() => Some(Fit::Family),
            (IpAddr::V6(bound), IpAddr::V4(_)) if bound.is_unspecified() && !self.flags.ipv6_only => {
                Some(Fit::Both)
            }
            _ => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Both,
    Family,
    Exact,
}

/// Where a family's connections are counted.
fn family(local: IpAddr) -> usize {
    usize::from(local.to_canonical().is_ipv6())
}

/// Where a connection is counted: its addresses are never IPv4-mapped ones.
fn family_of(ends: Ends) -> usize {
    usize::from(!ends.is_ipv4())
}

/// One port that sockets are bound to.
#[derive(Debug)]
struct Port {
    number: u16,
    /// How many sockets at the front of `bound` listen.
    listening: u32,
    /// The listeners, then the others; each part in the order of its calls.
    bound: Vec<Bound>,
}

impl Port {
    fn new(number: u16) -> Self {
        Port {
            number,
            listening: 0,
            bound: Vec::new(),
        }
    }

    fn listeners(&self) -> &[Bound] {
        &self.bound[..self.listening as usize]
    }

    /// Whether a socket that is bound here, or begins to listen, collides with another.
    fn collides(&self, new: &Bound) -> bool {
        self.bound.iter().enumerate().any(|(place, old)| {
            let listens = place < self.listening as usize;
            old.id != new.id
                && old.overlaps(new.address, new.flags.ipv6_only)
                && !(old.flags.reuse_port && new.flags.reuse_port)
                && !(old.flags.reuse_address && new.flags.reuse_address && !listens)
        })
    }

    /// [`Bindings::taken_exclusively`] of a port that is held.
    #[cold]
    #[inline(never)]
    fn keeps_out(&self, tuple: &FourTuple) -> bool {
        let local = tuple.local();
        let mut bound = self.bound.iter().enumerate();
        bound.any(|(place, b)| {
            (place < self.listening as usize || !b.flags.reuse_address) && b.overlaps(local, false)
        })
    }

    /// Whether `connections`, those that are left, keep the port from this socket (W-24).
    ///
    /// A socket that joins a group with SO_REUSEPORT is not kept out by the group's connections.
    fn kept_by(&self, connections: [Connections; 2], new: &Bound) -> bool {
        let both = new.address.is_ipv6() && new.address.is_unspecified() && !new.flags.ipv6_only;
        let own = family(new.address);
        let mut met = connections.iter().enumerate();
        let kept = met.any(|(family, c)| {
            let shared = new.flags.reuse_address && c.exclusive == 0;
            (both || family == own) && c.all > 0 && !shared
        });
        let joins = || {
            let mut others = self
                .bound
                .iter()
                .filter(|old| old.overlaps(new.address, new.flags.ipv6_only));
            new.flags.reuse_port && others.any(|old| old.flags.reuse_port)
        };
        kept && !joins()
    }
}

/// All ports that are held: by sockets, in a table by number, and by connections.
///
/// The table is hashed with a constant: what is in it is chosen by applications, not by peers.
pub(crate) struct Bindings {
    ports: HashTable<Port>,
    connections: PortCounts,
    /// Spreads connections over the listeners of a SO_REUSEPORT group.
    function: SipHasher13,
}

impl Bindings {
    /// No bindings. `key` decides which listener of a SO_REUSEPORT group a peer gets, so that the peer cannot.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Bindings {
            ports: HashTable::new(),
            connections: PortCounts::default(),
            function: SipHasher13::new_with_key(&key),
        }
    }

    /// Binds a socket, which holds no port yet, to an address and port other than 0.
    pub(crate) fn bind(&mut self, id: SocketId, local: SocketAddr, flags: BindFlags) -> Result<(), InUse> {
        let new = Bound {
            id,
            address: local.ip().to_canonical(),
            flags,
        };
        let connections = self.connections.of(local.port());
        let port = self.port_mut(local.port());
        if port.collides(&new) || port.kept_by(connections, &new) {
            self.remove_if_empty(local.port());
            return Err(InUse);
        }
        port.bound.push(new);
        Ok(())
    }

    /// The socket lets its port go. Nothing happens if it does not hold it.
    pub(crate) fn unbind(&mut self, id: SocketId, local: SocketAddr) {
        let Some(port) = self.existing(local.port()) else {
            return;
        };
        if let Some(place) = port.bound.iter().position(|b| b.id == id) {
            port.bound.remove(place);
            if place < port.listening as usize {
                port.listening -= 1;
            }
        }
        self.remove_if_empty(local.port());
    }

    /// A bound socket begins to listen. Connections on the port do not hinder it (MUST-42); another listener does unless
    /// both have SO_REUSEPORT, even if both have SO_REUSEADDR.
    pub(crate) fn listen(&mut self, id: SocketId, local: SocketAddr) -> Result<(), InUse> {
        let found = self.existing(local.port());
        let Some((port, place)) =
            found.and_then(|p| p.bound.iter().position(|b| b.id == id).map(|at| (p, at)))
        else {
            debug_assert!(false, "{id:?} listens and is not bound");
            return Ok(());
        };
        let first_idle = port.listening as usize;
        if place < first_idle {
            return Ok(());
        }
        if port.collides(&port.bound[place]) {
            return Err(InUse);
        }
        port.bound[first_idle..=place].rotate_right(1);
        port.listening += 1;
        Ok(())
    }

    /// The listener that a segment with these addresses is for: the one with exactly this local address, else with the
    /// wildcard of its family, else with `[::]` for both families. Of several with SO_REUSEPORT, the tuple's hash
    /// chooses one; it stays the same as long as the group does.
    pub(crate) fn listener_for(&self, tuple: &FourTuple) -> Option<SocketId> {
        let listeners = self.port(tuple.local_port())?.listeners();
        match listeners {
            [only] => only.fit(tuple.local()).map(|_| only.id),
            _ => self.one_of(listeners, tuple),
        }
    }
    #[cold]
    #[inline(never)]
    fn one_of(&self, listeners: &[Bound], tuple: &FourTuple) -> Option<SocketId> {
        let best = listeners.iter().filter_map(|l| l.fit(tuple.local())).max()?;
        let mut group = listeners.iter().filter(|l| l.fit(tuple.local()) == Some(best));
        let first = group.next()?;
        let more = group.clone().count() as u64;
        if more == 0 {
            return Some(first.id);
        }
        let draw = tuple.with_octets(|octets| self.function.hash(octets)) >> 32;
        let choice = ((draw * (more + 1)) >> 32) as usize; // below more + 1, without a division
        let chosen = if choice == 0 {
            first
        } else {
            group.nth(choice - 1)?
        };
        Some(chosen.id)
    }

    /// A connection with these ends has begun; `reuse` is its socket's SO_REUSEADDR.
    #[inline(never)]
    pub(crate) fn connection_made(&mut self, ends: Ends, reuse: bool) {
        self.connections.add(ends.local_port(), family_of(ends), !reuse);
    }

    /// A connection is over, its TIME-WAIT too; `reuse` as when it was made.
    #[inline]
    pub(crate) fn connection_gone(&mut self, ends: Ends, reuse: bool) {
        let counted = self
            .connections
            .remove(ends.local_port(), family_of(ends), !reuse);
        debug_assert!(counted, "{ends:?} with reuse = {reuse} was never made");
    }

    /// Whether an outgoing connection must not choose this local port: a socket whose address overlaps listens there, or is bound
    /// there without SO_REUSEADDR.
    ///
    /// Listeners with SO_REUSEADDR count, since the connection would keep them from binding again. The tuple has no IPv4-mapped
    /// address, as no connection's has.
    #[inline]
    pub(crate) fn taken_exclusively(&self, tuple: &FourTuple) -> bool {
        // A host of clients alone has none.
        !self.ports.is_empty() && self.port(tuple.local_port()).is_some_and(|p| p.keeps_out(tuple))
    }

    #[inline(never)]
    fn port(&self, number: u16) -> Option<&Port> {
        self.ports.find(hash(number), |p| p.number == number)
    }

    fn existing(&mut self, number: u16) -> Option<&mut Port> {
        self.ports.find_mut(hash(number), |p| p.number == number)
    }

    fn port_mut(&mut self, number: u16) -> &mut Port {
        let entry = self
            .ports
            .entry(hash(number), |p| p.number == number, |p| hash(p.number));
        entry.or_insert_with(|| Port::new(number)).into_mut()
    }

    fn remove_if_empty(&mut self, number: u16) {
        if let Ok(found) = self.ports.find_entry(hash(number), |p| p.number == number)
            && found.get().bound.is_empty()
        {
            found.remove();
            let capacity = self.ports.capacity();
            if capacity > KEEP && self.ports.len() < capacity / 8 {
                self.ports.shrink_to(capacity / 4, |p| hash(p.number));
            }
        }
    }
}

/// Without the key.
impl fmt::Debug for Bindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bindings")
            .field("ports", &self.ports.len())
            .finish_non_exhaustive()
    }
}

/// Fibonacci hashing: the product's high bits depend on all of the number, the table uses the low and the 7 highest.
fn hash(number: u16) -> u64 {
    u64::from(number)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    const NONE: BindFlags = BindFlags {
        reuse_address: false,
        reuse_port: false,
        ipv6_only: false,
    };
    const ADDRESS: BindFlags = BindFlags {
        reuse_address: true,
        ..NONE
    };
    const PORT: BindFlags = BindFlags {
        reuse_port: true,
        ..NONE
    };
    const V6_ONLY: BindFlags = BindFlags {
        ipv6_only: true,
        ..NONE
    };

    const V4: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 1));

    fn id(slot: u32) -> SocketId {
        SocketId { slot, generation: 0 }
    }

    impl Bindings {
        fn is_unused(&self, port: u16) -> bool {
            self.ports.find(hash(port), |p| p.number == port).is_none()
                && self.connections.of(port) == [Connections::default(); 2]
        }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// The addresses of a connection from here.
    fn from(local: IpAddr, port: u16) -> FourTuple {
        let local = local.to_canonical();
        FourTuple::new(local, port, local, 9)
    }
    fn to(local: &str, remote_port: u16) -> FourTuple {
        let local = at(local);
        let remote = if local.is_ipv4() {
            "198.51.100.7"
        } else {
            "2001:db8::7"
        };
        FourTuple::new(local.ip(), local.port(), remote.parse().unwrap(), remote_port)
    }

    #[test]
    fn wildcards_overlap_addresses_and_families() {
        let cases = [
            ("0.0.0.0:80", "10.0.0.1:80", NONE, true),
            ("10.0.0.2:80", "10.0.0.1:80", NONE, false),
            ("10.0.0.1:80", "10.0.0.1:81", NONE, false),
            ("[::]:80", "10.0.0.1:80", NONE, true),
            ("[::]:80", "0.0.0.0:80", NONE, true),
            ("[::]:80", "0.0.0.0:80", V6_ONLY, false),
            ("[::]:80", "[fd00::1]:80", V6_ONLY, true),
            ("[fd00::1]:80", "0.0.0.0:80", NONE, false),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80", NONE, true),
        ];
        for (one, other, flags, collides) in cases {
            for (first, second) in [(one, other), (other, one)] {
                let mut bindings = Bindings::new([0; 16]);
                bindings.bind(id(1), at(first), flags).unwrap();
                assert_eq!(
                    bindings.bind(id(2), at(second), flags).is_err(),
                    collides,
                    "{first} then {second}"
                );
            }
        }
    }

    #[test]
    fn reuse_address_shares_a_bind_but_not_a_listen() {
        let here = at("0.0.0.0:80");
        let mut bindings = Bindings::new([0; 16]);
        bindings.bind(id(1), here, ADDRESS).unwrap();
        bindings.bind(id(2), here, ADDRESS).unwrap();
        assert_eq!(bindings.bind(id(3), here, NONE), Err(InUse), "both have to agree");
        bindings.listen(id(2), here).unwrap();
        assert_eq!(bindings.listen(id(1), here), Err(InUse));
        assert_eq!(
            bindings.bind(id(3), here, ADDRESS),
            Err(InUse),
            "a listener shares with nobody"
        );
        bindings.listen(id(2), here).unwrap(); // again is no collision with itself
        bindings.unbind(id(2), here);
        bindings.listen(id(1), here).unwrap();
        assert_eq!(bindings.listener_for(&to("10.0.0.1:80", 9)), Some(id(1)));
    }

    /// W-24: over remaining connections a port can be bound only if the earlier socket and the new one allow it.
    #[test]
    fn w24_connections_keep_the_port_unless_both_reuse() {
        for (old, new, free) in [
            (false, NONE, false),
            (true, NONE, false),
            (false, ADDRESS, false),
            (true, ADDRESS, true),
        ] {
            let mut bindings = Bindings::new([0; 16]);
            bindings.connection_made(from(V4, 80).ends(), old);
            assert_eq!(
                bindings.bind(id(1), at("0.0.0.0:80"), new).is_ok(),
                free,
                "{old} {new:?}"
            );
            bindings.unbind(id(1), at("0.0.0.0:80"));
            bindings.connection_gone(from(V4, 80).ends(), old);
            assert!(bindings.is_unused(80));
            bindings.bind(id(1), at("0.0.0.0:80"), new).unwrap();
        }
        let mut bindings = Bindings::new([0; 16]);
        bindings.connection_made(from(V4, 80).ends(), true);
        bindings.connection_made(from(V4, 80).ends(), false);
        assert!(
            bindings.bind(id(1), at("0.0.0.0:80"), ADDRESS).is_err(),
            "one of two does not allow it"
        );
        bindings.connection_gone(from(V4, 80).ends(), false);
        assert!(bindings.bind(id(1), at("0.0.0.0:80"), ADDRESS).is_ok());
    }

    /// A connection of one family does not keep the other's wildcard from the port.
    #[test]
    fn connections_are_counted_by_family() {
        let v6: IpAddr = "fd00::1".parse().unwrap();
        for (connection, wanted, flags, free) in [
            (V4, "0.0.0.0:80", NONE, false),
            (V4, "[::]:80", NONE, false),
            (V4, "[::]:80", V6_ONLY, true),
            (V4, "[fd00::1]:80", NONE, true),
            (v6, "0.0.0.0:80", NONE, true),
            (v6, "[::]:80", V6_ONLY, false),
        ] {
            let mut bindings = Bindings::new([0; 16]);
            bindings.connection_made(from(connection, 80).ends(), false);
            let bound = bindings.bind(id(1), at(wanted), flags);
            assert_eq!(bound.is_ok(), free, "{wanted} over a connection of {connection}");
        }
    }

    /// Proves: MUST-42.
    #[test]
    fn must42_listens_on_a_port_with_connections() {
        let mut bindings = Bindings::new([0; 16]);
        bindings.bind(id(1), at("10.0.0.1:80"), NONE).unwrap();
        bindings.connection_made(from(V4, 80).ends(), false);
        bindings.listen(id(1), at("10.0.0.1:80")).unwrap();
        assert_eq!(bindings.listener_for(&to("10.0.0.1:80", 9)), Some(id(1)));
    }

    #[test]
    fn the_nearest_listener_is_found() {
        let mut bindings = Bindings::new([0; 16]);
        for (slot, local, flags) in [
            (2, "0.0.0.0:80", PORT),
            (3, "10.0.0.1:80", PORT),
            (1, "[::]:80", PORT),
            (4, "[::]:81", V6_ONLY),
        ] {
            bindings.bind(id(slot), at(local), flags).unwrap();
            bindings.listen(id(slot), at(local)).unwrap();
        }
        let found = |b: &Bindings, local| b.listener_for(&to(local, 9)).map(|s| s.slot);
        assert_eq!(found(&bindings, "10.0.0.1:80"), Some(3));
        assert_eq!(found(&bindings, "10.0.0.2:80"), Some(2));
        assert_eq!(found(&bindings, "[fd00::1]:80"), Some(1));
        assert_eq!(found(&bindings, "[fd00::1]:81"), Some(4));
        assert_eq!(found(&bindings, "10.0.0.1:81"), None, "only IPv6");
        assert_eq!(found(&bindings, "10.0.0.1:82"), None);
        bindings.unbind(id(3), at("10.0.0.1:80"));
        assert_eq!(found(&bindings, "10.0.0.1:80"), Some(2));
        bindings.unbind(id(2), at("0.0.0.0:80"));
        assert_eq!(found(&bindings, "10.0.0.1:80"), Some(1));
    }

    #[test]
    fn a_group_shares_its_connections() {
        let here = at("0.0.0.0:80");
        let mut bindings = Bindings::new([7; 16]);
        bindings.bind(id(9), here, PORT).unwrap(); // does not listen: gets nothing
        for slot in 0..4 {
            bindings.bind(id(slot), here, PORT).unwrap();
            bindings.listen(id(slot), here).unwrap();
            bindings.connection_made(from(V4, 80).ends(), false); // the group's own connections keep no member out
        }
        assert_eq!(bindings.bind(id(5), here, ADDRESS), Err(InUse));
        let mut count = [0; 4];
        for port in 0..4000 {
            let tuple = to("10.0.0.1:80", port);
            let chosen = bindings.listener_for(&tuple).unwrap();
            assert_eq!(bindings.listener_for(&tuple), Some(chosen));
            count[chosen.slot as usize] += 1;
        }
        assert!(count.iter().all(|&n| (850..1150).contains(&n)), "{count:?}");
        let other_key = Bindings::new([8; 16]);
        assert_ne!(bindings.function.hash(b"x"), other_key.function.hash(b"x"));
    }

    #[test]
    fn outgoing_connections_avoid_sockets_that_share_nothing() {
        let mut bindings = Bindings::new([0; 16]);
        bindings.bind(id(1), at("0.0.0.0:5000"), NONE).unwrap();
        bindings.bind(id(2), at("10.0.0.2:5001"), NONE).unwrap();
        bindings.bind(id(3), at("[::]:5002"), ADDRESS).unwrap();
        bindings.connection_made(from(V4, 5003).ends(), false);
        let taken =
            |b: &Bindings| [5000, 5001, 5002, 5003, 5004].map(|port| b.taken_exclusively(&from(V4, port)));
        assert_eq!(taken(&bindings), [true, false, false, false, false]);
        bindings.listen(id(3), at("[::]:5002")).unwrap();
        assert_eq!(taken(&bindings), [true, false, true, false, false]);
        let unused = [5000, 5001, 5002, 5003, 5004].map(|port| bindings.is_unused(port));
        assert_eq!(unused, [false, false, false, false, true]);
    }

    #[test]
    fn memory_is_given_back() {
        let mut bindings = Bindings::new([0; 16]);
        for port in 1..=u16::MAX {
            let local = SocketAddr::new(V4, port);
            bindings.bind(id(port.into()), local, NONE).unwrap();
        }
        assert_eq!(bindings.ports.len(), 65_535);
        for port in 1..=u16::MAX {
            bindings.unbind(id(port.into()), SocketAddr::new(V4, port));
        }
        assert_eq!(bindings.ports.len(), 0);
        assert!(bindings.ports.capacity() <= KEEP);
    }

    /// Two sockets overlap if there is an address that both receive for. These are all that matter.
    const ADDRESSES: [&str; 4] = ["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"];
    const BINDABLE: [&str; 5] = ["0.0.0.0", "::", "10.0.0.1", "fd00::1", "10.0.0.2"];

    #[derive(Clone, Debug)]
    struct Socket {
        id: SocketId,
        local: SocketAddr,
        flags: BindFlags,
        listens: bool,
    }

    impl Socket {
        fn receives_for(&self, address: IpAddr) -> bool {
            match self.local.ip() {
                exact if exact == address => true,
                IpAddr::V4(any) if any.is_unspecified() => address.is_ipv4(),
                IpAddr::V6(any) if any.is_unspecified() => address.is_ipv6() || !self.flags.ipv6_only,
                _ => false,
            }
        }
        fn meets_family_of(&self, address: usize) -> bool {
            let mut all = ADDRESSES.iter().map(|a| a.parse::<IpAddr>().unwrap());
            let family = all.clone().nth(address).unwrap().is_ipv4();
            all.any(|a| a.is_ipv4() == family && self.receives_for(a))
        }
        /// `inet_bind_conflict` of Linux for a port that the application names, line by line.
        fn conflicts(&self, old: &Socket) -> bool {
            let mut all = ADDRESSES.iter().map(|a| a.parse::<IpAddr>().unwrap());
            if self.id == old.id
                || self.local.port() != old.local.port()
                || !all.any(|a| self.receives_for(a) && old.receives_for(a))
            {
                return false;
            }
            if self.flags.reuse_address && old.flags.reuse_address && !old.listens {
                return false;
            }
            !(self.flags.reuse_port && old.flags.reuse_port)
        }
    }

    /// The rules as lists.
    #[derive(Default)]
    struct Model {
        sockets: Vec<Socket>,
        connections: Vec<(usize, u16, bool)>,
    }

    impl Model {
        fn bind(&mut self, new: Socket) -> bool {
            let mut left = self
                .connections
                .iter()
                .filter(|c| c.1 == new.local.port() && new.meets_family_of(c.0))
                .peekable();
            let some_left = left.peek().is_some();
            let all_reuse = left.all(|c| c.2);
            let mut all = ADDRESSES.iter().map(|a| a.parse::<IpAddr>().unwrap());
            let joins = all.any(|a| {
                let meets = |old: &Socket| old.local.port() == new.local.port() && old.receives_for(a);
                new.receives_for(a) && self.sockets.iter().any(|old| meets(old) && old.flags.reuse_port)
            });
            let kept =
                some_left && !(new.flags.reuse_address && all_reuse) && !(new.flags.reuse_port && joins);
            let free = !kept && !self.sockets.iter().any(|old| new.conflicts(old));
            if free {
                self.sockets.push(new);
            }
            free
        }
        fn listen(&mut self, id: SocketId) -> bool {
            let at = self.sockets.iter().position(|s| s.id == id).unwrap();
            let free = !self.sockets.iter().any(|old| self.sockets[at].conflicts(old));
            self.sockets[at].listens |= free;
            free
        }
        /// All listeners of the best kind.
        fn listeners(&self, address: IpAddr, port: u16) -> BTreeSet<SocketId> {
            let listeners = self
                .sockets
                .iter()
                .filter(|s| s.listens && s.local.port() == port && s.receives_for(address));
            let rank = |s: &Socket| match s.local.ip() {
                exact if exact == address => 0,
                any if any.is_ipv4() == address.is_ipv4() => 1,
                _ => 2,
            };
            let best = listeners.clone().map(rank).min();
            listeners
                .filter(|s| Some(rank(s)) == best)
                .map(|s| s.id)
                .collect()
        }
        fn taken(&self, address: IpAddr, port: u16) -> bool {
            self.sockets.iter().any(|s| {
                s.local.port() == port && s.receives_for(address) && (s.listens || !s.flags.reuse_address)
            })
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Bind(u32, SocketAddr, BindFlags),
        Listen(u32),
        Unbind(u32),
        Made(usize, u16, bool),
        Gone(usize, u16, bool),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let flags = (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(reuse_address, reuse_port, ipv6_only)| BindFlags {
                reuse_address,
                reuse_port,
                ipv6_only,
            },
        );
        let local = (0..BINDABLE.len(), 80u16..82)
            .prop_map(|(a, port)| SocketAddr::new(BINDABLE[a].parse().unwrap(), port));
        let step = prop_oneof![
            4 => (0u32..8, local, flags).prop_map(|(id, local, flags)| Step::Bind(id, local, flags)),
            4 => (0u32..8).prop_map(Step::Listen),
            2 => (0u32..8).prop_map(Step::Unbind),
            1 => (0usize..4, 80u16..82, any::<bool>()).prop_map(|(a, port, reuse)| Step::Made(a, port, reuse)),
            2 => (0usize..4, 80u16..82, any::<bool>()).prop_map(|(a, port, reuse)| Step::Gone(a, port, reuse)),
        ];
        proptest::collection::vec(step, 1..60)
    }

    fn compare(bindings: &Bindings, model: &Model) -> Result<(), TestCaseError> {
        for port in 80..82 {
            for address in ADDRESSES.map(|a| a.parse::<IpAddr>().unwrap()) {
                let best = model.listeners(address, port);
                for remote_port in 0..4 {
                    let tuple = FourTuple::new(address, port, address, remote_port);
                    let found = bindings.listener_for(&tuple);
                    prop_assert_eq!(found.is_none(), best.is_empty());
                    prop_assert!(
                        found.is_none_or(|f| best.contains(&f)),
                        "{:?} not of {:?}",
                        found,
                        best
                    );
                }
                prop_assert_eq!(
                    bindings.taken_exclusively(&FourTuple::new(address, port, address, 80)),
                    model.taken(address, port)
                );
            }
            let held = model.sockets.iter().any(|s| s.local.port() == port)
                || model.connections.iter().any(|c| c.1 == port);
            prop_assert_eq!(bindings.is_unused(port), !held);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn behaves_as_the_list_of_rules(steps in steps(), key in any::<[u8; 16]>()) {
            let (mut bindings, mut model) = (Bindings::new(key), Model::default());
            for step in steps {
                match step {
                    Step::Bind(slot, local, flags) if model.sockets.iter().all(|s| s.id.slot != slot) => {
                        let free = model.bind(Socket { id: id(slot), local, flags, listens: false });
                        prop_assert_eq!(bindings.bind(id(slot), local, flags).is_ok(), free);
                    }
                    Step::Listen(slot) => {
                        if let Some(socket) = model.sockets.iter().find(|s| s.id.slot == slot).cloned() {
                            let free = model.listen(socket.id);
                            prop_assert_eq!(bindings.listen(socket.id, socket.local).is_ok(), free);
                        }
                    }
                    Step::Unbind(slot) => {
                        if let Some(place) = model.sockets.iter().position(|s| s.id.slot == slot) {
                            let socket = model.sockets.remove(place);
                            bindings.unbind(socket.id, socket.local);
                        }
                    }
                    Step::Made(a, port, reuse) => {
                        model.connections.push((a, port, reuse));
                        bindings.connection_made(from(ADDRESSES[a].parse().unwrap(), port).ends(), reuse);
                    }
                    Step::Gone(a, port, reuse) => {
                        if let Some(place) = model.connections.iter().position(|&c| c == (a, port, reuse)) {
                            model.connections.remove(place);
                            bindings.connection_gone(from(ADDRESSES[a].parse().unwrap(), port).ends(), reuse);
                        }
                    }
                    Step::Bind(..) => {}
                }
                compare(&bindings, &model)?;
            }
        }
    }
}
