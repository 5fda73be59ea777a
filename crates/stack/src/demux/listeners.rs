//! Who holds which local address and port: bound sockets, listeners among them, and how many connections.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use hashbrown::HashTable;
use smallvec::SmallVec;

/// A socket that is bound to a local address and port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Binding {
    /// The socket's slot.
    pub(crate) owner: u32,
    /// The local address; unspecified (`0.0.0.0`, `::`) for any.
    pub(crate) address: IpAddr,
    /// The local port.
    pub(crate) port: u16,
    /// An IPv6 wildcard takes no IPv4 (IPV6_V6ONLY).
    pub(crate) ipv6_only: bool,
    /// SO_REUSEADDR.
    pub(crate) reuse_address: bool,
    /// SO_REUSEPORT.
    pub(crate) reuse_port: bool,
    /// Found by [`Listeners::lookup`]: a TCP socket that listens, or any UDP socket.
    pub(crate) listening: bool,
}

/// The local addresses in use on all ports, for one protocol.
///
/// A port's bindings are a short list in the order of owners; connections are only counted, by local address. Nothing
/// iterates over connections.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    ports: HashTable<Port>,
    connections: HashTable<Count>,
}

#[derive(Debug)]
struct Port {
    port: u16,
    bindings: SmallVec<[Binding; 1]>,
}

/// How many connections have this local address and port; an unspecified address counts all of its family.
#[derive(Debug)]
struct Count {
    address: IpAddr,
    port: u16,
    connections: u32,
}

impl Listeners {
    /// Nothing bound.
    pub(crate) const fn new() -> Self {
        Listeners {
            ports: HashTable::new(),
            connections: HashTable::new(),
        }
    }
    /// Whether binding a new socket as `new` says would conflict with what holds the port (`owner` and `listening` do not
    /// matter):
    ///
    /// - the same address: unless both have SO_REUSEPORT;
    /// - addresses that overlap because one is a wildcard: unless the new socket has SO_REUSEADDR or SO_REUSEPORT;
    /// - connections with an overlapping local address, TIME-WAIT included: unless the new socket has either.
    ///
    /// These are BSD's rules, which let a server start again while its old connections linger.
    pub(crate) fn port_in_use(&self, new: &Binding) -> bool {
        let reuses = new.reuse_address || new.reuse_port;
        let bound = self.bindings(new.port).iter().any(|old| {
            if old.address == new.address {
                !(old.reuse_port && new.reuse_port)
            } else {
                overlap(old, new) && !reuses
            }
        });
        if bound || reuses {
            return bound;
        }
        let count = |address| self.count(address, new.port);
        let dual_stack = new.address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !new.ipv6_only;
        count(new.address) > 0 || (dual_stack && count(Ipv4Addr::UNSPECIFIED.into()) > 0)
    }
    /// Adds a binding. The caller has asked [`Listeners::port_in_use`].
    pub(crate) fn bind(&mut self, binding: Binding) {
        let port = binding.port;
        let entry = self
            .ports
            .entry(hash_port(port), |p| p.port == port, |p| hash_port(p.port));
        let mut entry = entry.or_insert_with(|| Port {
            port,
            bindings: SmallVec::new(),
        });
        let bindings = &mut entry.get_mut().bindings;
        let at = bindings.partition_point(|b| b.owner < binding.owner);
        bindings.insert(at, binding);
    }
    /// Removes the binding of `owner` on `port`.
    pub(crate) fn unbind(&mut self, port: u16, owner: u32) -> Option<Binding> {
        let mut entry = self.ports.find_entry(hash_port(port), |p| p.port == port).ok()?;
        let bindings = &mut entry.get_mut().bindings;
        let at = bindings.iter().position(|b| b.owner == owner)?;
        let binding = bindings.remove(at);
        if bindings.is_empty() {
            entry.remove();
        }
        Some(binding)
    }
    /// The binding of `owner` on `port`, to change whether it listens.
    pub(crate) fn binding_mut(&mut self, port: u16, owner: u32) -> Option<&mut Binding> {
        let port = self.ports.find_mut(hash_port(port), |p| p.port == port)?;
        port.bindings.iter_mut().find(|b| b.owner == owner)
    }
    /// The bindings on `port`, in the order of owners.
    pub(crate) fn bindings(&self, port: u16) -> &[Binding] {
        let found = self.ports.find(hash_port(port), |p| p.port == port);
        found.map_or(&[], |p| &p.bindings[..])
    }
    /// Who listens for packets to `address` and `port`: on exactly this address, else on any of its family, else (for
    /// IPv4) on any of both families. Of several that share the place, `hash` chooses.
    pub(crate) fn lookup(&self, address: IpAddr, port: u16, hash: u64) -> Option<u32> {
        let bindings = self.bindings(port);
        let any_v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let any = match address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => any_v6,
        };
        choose(bindings, hash, |b| b.address == address)
            .or_else(|| choose(bindings, hash, |b| b.address == any))
            .or_else(|| {
                choose(bindings, hash, |b| {
                    address.is_ipv4() && b.address == any_v6 && !b.ipv6_only
                })
            })
    }
    /// A connection with this local address and port exists from now on (half-open ones need not be counted: their
    /// listener holds the port).
    pub(crate) fn connection_opened(&mut self, address: IpAddr, port: u16) {
        for address in [address, unspecified(address)] {
            let entry = self.connections.entry(
                hash_local(address, port),
                |c| c.address == address && c.port == port,
                |c| hash_local(c.address, c.port),
            );
            let mut entry = entry.or_insert(Count {
                address,
                port,
                connections: 0,
            });
            entry.get_mut().connections += 1;
        }
    }
    /// A connection counted by [`Listeners::connection_opened`] is gone, TIME-WAIT included.
    pub(crate) fn connection_closed(&mut self, address: IpAddr, port: u16) {
        for address in [address, unspecified(address)] {
            let same = |c: &Count| c.address == address && c.port == port;
            let Ok(mut entry) = self.connections.find_entry(hash_local(address, port), same) else {
                debug_assert!(false, "closed a connection that was not counted");
                continue;
            };
            entry.get_mut().connections -= 1;
            if entry.get().connections == 0 {
                entry.remove();
            }
        }
    }

    fn count(&self, address: IpAddr, port: u16) -> u32 {
        let same = |c: &Count| c.address == address && c.port == port;
        self.connections
            .find(hash_local(address, port), same)
            .map_or(0, |c| c.connections)
    }
}

/// Of the listening bindings that fit, the one that `hash` falls on.
fn choose(bindings: &[Binding], hash: u64, fits: impl Fn(&Binding) -> bool) -> Option<u32> {
    let fits = |b: &&Binding| b.listening && fits(b);
    let count = bindings.iter().filter(fits).count();
    let index = (u128::from(hash) * count as u128 >> 64) as usize;
    bindings.iter().filter(fits).nth(index).map(|b| b.owner)
}

/// Whether a packet could be for both.
fn overlap(a: &Binding, b: &Binding) -> bool {
    let covers = |wide: &Binding, narrow: &Binding| match (wide.address, narrow.address) {
        _ if !wide.address.is_unspecified() => wide.address == narrow.address,
        (IpAddr::V6(_), IpAddr::V4(_)) => !wide.ipv6_only,
        (wide, narrow) => wide.is_ipv4() == narrow.is_ipv4(),
    };
    covers(a, b) || covers(b, a)
}

fn unspecified(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Ports and local addresses are ours to choose, not a peer's, so their hashes need no key.
fn hash_port(port: u16) -> u64 {
    u64::from(port).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
fn hash_local(address: IpAddr, port: u16) -> u64 {
    let bits = u128::from_be_bytes(super::sixteen(address));
    let folded = (bits >> 64) as u64 ^ bits as u64 ^ u64::from(address.is_ipv4());
    (folded.rotate_left(17) ^ u64::from(port))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(32)
}
