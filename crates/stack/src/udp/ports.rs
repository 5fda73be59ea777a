//! Who holds which port, and who gets a datagram.
//!
//! UDP has rules of its own here: several sockets can share a place and all get what is for many, and a socket that is
//! connected hears its peer only. So connected sockets lie in a table by 4-tuple, where a server may have any number of
//! them on one port, and the list of a port that is walked for a datagram has the others only.

use alloc::collections::BTreeMap;
use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

/// A socket's place. Addresses here are never IPv4-mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bound {
    /// The socket's slot.
    pub(super) owner: u32,
    /// Unspecified for any.
    pub(super) address: IpAddr,
    /// An IPv6 wildcard takes no IPv4 (IPV6_V6ONLY).
    pub(super) ipv6_only: bool,
    /// SO_REUSEADDR.
    pub(super) reuse_address: bool,
    /// SO_REUSEPORT.
    pub(super) reuse_port: bool,
}

impl Bound {
    /// How exactly it is bound to `address`; 0 if not at all.
    fn score(&self, address: IpAddr) -> u8 {
        match (self.address, address) {
            (own, to) if own == to => 3,
            (IpAddr::V6(own), IpAddr::V4(_)) if own.is_unspecified() && !self.ipv6_only => 1,
            (own, to) if own.is_unspecified() && own.is_ipv4() == to.is_ipv4() => 2,
            _ => 0,
        }
    }
    /// Whether it gets what is sent to `address`.
    pub(super) fn takes(&self, address: IpAddr) -> bool {
        self.score(address) > 0
    }
    fn overlaps(&self, other: &Bound) -> bool {
        self.address == other.address
            || (self.address.is_unspecified() && self.takes(other.address))
            || (other.address.is_unspecified() && other.takes(self.address))
    }
    /// Sharing needs the same permission on both sides, as on Linux.
    fn conflicts(&self, other: &Bound) -> bool {
        let shared = self.reuse_address && other.reuse_address || self.reuse_port && other.reuse_port;
        self.overlaps(other) && !shared
    }
}

#[derive(Debug)]
struct Port {
    port: u16,
    /// Not connected, in the order of binding.
    open: SmallVec<[Bound; 1]>,
    /// Connected, by owner.
    connected: BTreeMap<u32, Bound>,
}

/// A connected socket's addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pair {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
}

/// All ports.
#[derive(Debug)]
pub(super) struct Ports {
    key: [u8; 16],
    ports: HashTable<Port>,
    pairs: HashTable<(Pair, u32)>,
}

fn hash_port(key: &[u8; 16], port: u16) -> u64 {
    let mut h = SipHasher13::new_with_key(key);
    h.write_u16(port);
    h.finish()
}
fn hash_pair(key: &[u8; 16], pair: &Pair) -> u64 {
    let mut h = SipHasher13::new_with_key(key);
    for end in [pair.local, pair.remote] {
        match end.ip() {
            IpAddr::V4(a) => h.write_u32(a.to_bits()),
            IpAddr::V6(a) => h.write_u128(a.to_bits()),
        }
        h.write_u16(end.port());
    }
    h.finish()
}

impl Ports {
    pub(super) fn new(key: [u8; 16]) -> Self {
        Ports {
            key,
            ports: HashTable::new(),
            pairs: HashTable::new(),
        }
    }
    fn port(&self, port: u16) -> Option<&Port> {
        self.ports.find(hash_port(&self.key, port), |p| p.port == port)
    }
    fn port_mut(&mut self, port: u16) -> Option<&mut Port> {
        self.ports
            .find_mut(hash_port(&self.key, port), |p| p.port == port)
    }
    /// Whether somebody else's place on the port excludes this one. Walks the port: for binding only.
    pub(super) fn is_taken(&self, port: u16, new: &Bound) -> bool {
        self.port(port).is_some_and(|p| {
            let mut all = p.open.iter().chain(p.connected.values());
            all.any(|b| b.owner != new.owner && b.conflicts(new))
        })
    }
    /// Takes a place; the caller has asked [`Ports::is_taken`].
    pub(super) fn bind(&mut self, port: u16, bound: Bound) {
        let key = self.key;
        let entry = self.ports.entry(
            hash_port(&key, port),
            |p| p.port == port,
            |p| hash_port(&key, p.port),
        );
        let mut entry = entry.or_insert_with(|| Port {
            port,
            open: SmallVec::new(),
            connected: BTreeMap::new(),
        });
        entry.get_mut().open.push(bound);
    }
    /// Gives a place up; the socket is not connected any more.
    pub(super) fn unbind(&mut self, port: u16, owner: u32) {
        let hash = hash_port(&self.key, port);
        if let Ok(mut entry) = self.ports.find_entry(hash, |p| p.port == port) {
            let p = entry.get_mut();
            p.open.retain(|b| b.owner != owner);
            p.connected.remove(&owner);
            if p.open.is_empty() && p.connected.is_empty() {
                entry.remove();
            }
        }
    }
    /// A socket's place, to change its permissions.
    pub(super) fn bound_mut(&mut self, port: u16, owner: u32) -> Option<&mut Bound> {
        let p = self.port_mut(port)?;
        let open = p.open.iter_mut().find(|b| b.owner == owner);
        open.or_else(|| p.connected.get_mut(&owner))
    }
    /// From now on the socket hears `pair.remote` only.
    pub(super) fn connect(&mut self, owner: u32, pair: Pair) {
        if let Some(p) = self.port_mut(pair.local.port())
            && let Some(at) = p.open.iter().position(|b| b.owner == owner)
        {
            let mut bound = p.open.remove(at);
            bound.address = pair.local.ip();
            p.connected.insert(owner, bound);
        }
        let key = self.key;
        self.pairs
            .insert_unique(hash_pair(&key, &pair), (pair, owner), |(p, _)| hash_pair(&key, p));
    }
    /// From now on the socket, bound to `address`, hears everybody.
    pub(super) fn disconnect(&mut self, owner: u32, pair: Pair, address: IpAddr) {
        let hash = hash_pair(&self.key, &pair);
        if let Ok(entry) = self.pairs.find_entry(hash, |(_, o)| *o == owner) {
            entry.remove();
        }
        if let Some(p) = self.port_mut(pair.local.port())
            && let Some(mut bound) = p.connected.remove(&owner)
        {
            bound.address = address;
            p.open.push(bound);
        }
    }
    /// The socket connected with these addresses.
    pub(super) fn connected(&self, pair: &Pair) -> Option<u32> {
        if self.pairs.is_empty() {
            return None;
        }
        let found = self.pairs.find(hash_pair(&self.key, pair), |(p, _)| p == pair);
        found.map(|(_, owner)| *owner)
    }
    /// The sockets on a port that are not connected.
    pub(super) fn open(&self, port: u16) -> &[Bound] {
        self.port(port).map_or(&[], |p| &p.open)
    }
    /// Who gets a datagram that is for one: the connected socket, else the one bound most exactly. Of several that share
    /// a place, SO_REUSEPORT spreads senders over them; otherwise the one that came last has it.
    pub(super) fn lookup(&self, pair: &Pair) -> Option<u32> {
        if let Some(owner) = self.connected(pair) {
            return Some(owner);
        }
        let address = pair.local.ip();
        let open = self.open(pair.local.port());
        let best = open.iter().map(|b| b.score(address)).max().filter(|&s| s > 0)?;
        let mut fitting = open.iter().filter(|b| b.score(address) == best);
        let shared = fitting.clone().filter(|b| b.reuse_port).count();
        if shared > 1 {
            let at = hash_pair(&self.key, pair) as usize % shared;
            return fitting.filter(|b| b.reuse_port).nth(at).map(|b| b.owner);
        }
        fitting.next_back().map(|b| b.owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(owner: u32, address: &str) -> Bound {
        Bound {
            owner,
            address: address.parse().unwrap(),
            ipv6_only: false,
            reuse_address: false,
            reuse_port: false,
        }
    }
    fn pair(local: &str, remote: &str) -> Pair {
        Pair {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
        }
    }

    #[test]
    fn the_most_exact_place_wins() {
        let mut p = Ports::new([1; 16]);
        for b in [bound(1, "::"), bound(2, "0.0.0.0"), bound(3, "192.0.2.1")] {
            p.bind(9, b);
        }
        let from = "192.0.2.9:5";
        assert_eq!(p.lookup(&pair("192.0.2.1:9", from)), Some(3));
        assert_eq!(p.lookup(&pair("192.0.2.2:9", from)), Some(2));
        assert_eq!(p.lookup(&pair("[2001:db8::1]:9", "[::2]:5")), Some(1));
        assert_eq!(p.lookup(&pair("192.0.2.2:8", from)), None);
        p.unbind(9, 2);
        assert_eq!(p.lookup(&pair("192.0.2.2:9", from)), Some(1));
        p.bound_mut(9, 1).unwrap().ipv6_only = true;
        assert_eq!(p.lookup(&pair("192.0.2.2:9", from)), None);
        // Connected: its peer, and nobody else.
        let with = pair("192.0.2.1:9", "192.0.2.7:5");
        p.connect(3, with);
        assert_eq!(p.lookup(&with), Some(3));
        assert_eq!(p.lookup(&pair("192.0.2.1:9", from)), None);
        assert!(p.is_taken(9, &bound(5, "192.0.2.1")));
        let wide = pair("192.0.2.5:10", "192.0.2.7:5");
        p.bind(10, bound(8, "0.0.0.0"));
        assert!(p.is_taken(10, &bound(5, "192.0.2.1")));
        p.connect(8, wide);
        assert!(!p.is_taken(10, &bound(5, "192.0.2.1")));
        p.disconnect(8, wide, "0.0.0.0".parse().unwrap());
        assert!(p.is_taken(10, &bound(5, "192.0.2.1")));
        p.unbind(10, 8);
        p.disconnect(3, with, "192.0.2.1".parse().unwrap());
        assert_eq!(p.lookup(&pair("192.0.2.1:9", from)), Some(3));
        p.unbind(9, 3);
        p.unbind(9, 1);
        assert!(p.ports.is_empty() && p.pairs.is_empty());
    }

    #[test]
    fn places_are_shared_by_mutual_permission() {
        let mut p = Ports::new([1; 16]);
        p.bind(9, bound(1, "0.0.0.0"));
        assert!(p.is_taken(9, &bound(2, "192.0.2.1")));
        assert!(p.is_taken(9, &bound(2, "::")));
        assert!(!p.is_taken(9, &bound(2, "2001:db8::1")));
        assert!(!p.is_taken(
            9,
            &Bound {
                ipv6_only: true,
                ..bound(2, "::")
            }
        ));
        let share = Bound {
            reuse_port: true,
            ..bound(2, "0.0.0.0")
        };
        assert!(p.is_taken(9, &share));
        p.bound_mut(9, 1).unwrap().reuse_port = true;
        assert!(!p.is_taken(9, &share));
        p.bind(9, share);
        let mut hits = [0; 2];
        for n in 1..200 {
            let from = SocketAddr::new([192, 0, 2, n].into(), 5);
            let to = pair("192.0.2.1:9", "1.1.1.1:1");
            hits[p.lookup(&Pair { remote: from, ..to }).unwrap() as usize - 1] += 1;
        }
        assert!(hits.iter().all(|&n| n > 60), "{hits:?}");
    }
}
