//! Who holds which local TCP port: bound sockets, listeners, and counters of the connections that are left.
//!
//! The rules are those of Linux. A socket that binds, and again when it listens, collides with an earlier one on its
//! port if their addresses overlap, unless
//! - both have SO_REUSEADDR and the earlier one does not listen, or
//! - both have SO_REUSEPORT.
//!
//! Addresses overlap if they are equal or one is the wildcard of their family; `[::]` without IPV6_V6ONLY is the
//! wildcard of both families. Connections (TIME-WAIT too) hold their port against a bind unless their socket and the
//! new one have SO_REUSEADDR. They are counted by port, not by address: coarser than Linux, on a host with several
//! addresses only.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use crate::demux::FourTuple;
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

/// One port that somebody holds.
#[derive(Debug)]
struct Port {
    number: u16,
    /// Connections with this local port.
    connections: u32,
    /// Those of them whose socket had no SO_REUSEADDR.
    exclusive: u32,
    /// How many sockets at the front of `bound` listen.
    listening: u32,
    /// The listeners, then the others; each part in the order of its calls.
    bound: Vec<Bound>,
}

impl Port {
    fn new(number: u16) -> Self {
        Port {
            number,
            connections: 0,
            exclusive: 0,
            listening: 0,
            bound: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.bound.is_empty() && self.connections == 0
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

    /// Whether the connections that are left keep the port from this socket (W-24).
    ///
    /// A socket that joins a group with SO_REUSEPORT is not kept out by the group's connections.
    fn kept_by_connections(&self, new: &Bound) -> bool {
        let shared = new.flags.reuse_address && self.exclusive == 0;
        let joins = || {
            let mut others = self
                .bound
                .iter()
                .filter(|old| old.overlaps(new.address, new.flags.ipv6_only));
            new.flags.reuse_port && others.any(|old| old.flags.reuse_port)
        };
        self.connections > 0 && !shared && !joins()
    }
}

/// All ports that are held, by number.
///
/// The table is hashed with a constant: what is in it is chosen by applications, not by peers.
pub(crate) struct Bindings {
    ports: HashTable<Port>,
    /// Spreads connections over the listeners of a SO_REUSEPORT group.
    function: SipHasher13,
}

impl Bindings {
    /// No bindings. `key` decides which listener of a SO_REUSEPORT group a peer gets, so that the peer cannot.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Bindings {
            ports: HashTable::new(),
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
        let port = self.port_mut(local.port());
        if port.collides(&new) || port.kept_by_connections(&new) {
            return Err(InUse); // the port is held, so it was there before
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
        let listeners = self
            .ports
            .find(hash(tuple.local_port), |p| p.number == tuple.local_port)?
            .listeners();
        let best = listeners.iter().filter_map(|l| l.fit(tuple.local)).max()?;
        let mut group = listeners.iter().filter(|l| l.fit(tuple.local) == Some(best));
        let first = group.next()?;
        let more = group.clone().count() as u64;
        if more == 0 {
            return Some(first.id);
        }
        let draw = tuple.with_octets(|octets| self.function.hash(octets)) >> 32;
        let choice = (draw * (more + 1) >> 32) as usize; // below more + 1, without a division
        let chosen = if choice == 0 {
            first
        } else {
            group.nth(choice - 1)?
        };
        Some(chosen.id)
    }

    /// A connection with this local port has begun; `reuse` is its socket's SO_REUSEADDR.
    pub(crate) fn connection_made(&mut self, local_port: u16, reuse: bool) {
        let port = self.port_mut(local_port);
        port.connections += 1;
        port.exclusive += u32::from(!reuse);
    }

    /// A connection is over, its TIME-WAIT too; `reuse` as when it was made.
    pub(crate) fn connection_gone(&mut self, local_port: u16, reuse: bool) {
        let exclusive = u32::from(!reuse);
        match self.existing(local_port) {
            Some(port) if port.connections > 0 && port.exclusive >= exclusive => {
                port.connections -= 1;
                port.exclusive -= exclusive;
            }
            _ => debug_assert!(
                false,
                "no connection with port {local_port} and reuse = {reuse} was made"
            ),
        }
        self.remove_if_empty(local_port);
    }

    /// Whether an outgoing connection from `local` must not choose this port: a socket whose address overlaps listens
    /// there, or is bound there without SO_REUSEADDR.
    ///
    /// Listeners with SO_REUSEADDR count, since the connection would keep them from binding again.
    pub(crate) fn taken_exclusively(&self, local: IpAddr, port: u16) -> bool {
        let local = local.to_canonical();
        self.ports
            .find(hash(port), |p| p.number == port)
            .is_some_and(|p| {
                let mut bound = p.bound.iter().enumerate();
                bound.any(|(place, b)| {
                    (place < p.listening as usize || !b.flags.reuse_address) && b.overlaps(local, false)
                })
            })
    }

    /// Whether nobody holds this port, at any address: what a bind to port 0 looks for.
    pub(crate) fn is_unused(&self, port: u16) -> bool {
        self.ports.find(hash(port), |p| p.number == port).is_none()
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
            && found.get().is_empty()
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
