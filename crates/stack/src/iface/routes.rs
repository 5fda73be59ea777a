//! The routing table: longest prefix match.
//!
//! Prefixes are grouped by length, longest first; within a length they are sorted. A lookup makes one binary search
//! for each length that is in use, which is a handful on a host, and never walks the whole table.

use alloc::vec::Vec;
use core::net::IpAddr;
use smallvec::SmallVec;

use super::Cidr;
use super::address::{bits, mask};
use crate::InterfaceId;

/// Where a route came from; also its rank among routes to the same prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Origin {
    /// The prefix of one of our addresses.
    Address,
    /// The application's.
    Configured,
    /// A router told it (RFC 4861): default routes and on-link prefixes.
    Router,
}

/// Where packets for a prefix go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub(super) interface: InterfaceId,
    /// The router; `None` where the prefix is on the link.
    pub(super) via: Option<IpAddr>,
    pub(super) origin: Origin,
}

/// The routes of one prefix, best first.
type Targets = SmallVec<[Target; 1]>;

/// The prefixes of one length, sorted by their bits.
#[derive(Debug)]
struct Length {
    len: u8,
    prefixes: Vec<(u128, Targets)>,
}

/// The routes of one family.
#[derive(Debug, Default)]
struct Family {
    /// Longest first; none is empty.
    lengths: Vec<Length>,
}

impl Family {
    fn lookup(&self, address: u128, mut usable: impl FnMut(&Target) -> bool) -> Option<Target> {
        self.lengths.iter().find_map(|l| {
            let key = address & mask(l.len);
            let at = l.prefixes.binary_search_by_key(&key, |p| p.0).ok()?;
            l.prefixes[at].1.iter().find(|t| usable(t)).copied()
        })
    }

    fn insert(&mut self, key: u128, len: u8, target: Target) {
        let at = match self.lengths.binary_search_by(|l| len.cmp(&l.len)) {
            Ok(at) => at,
            Err(at) => {
                let prefixes = Vec::new();
                self.lengths.insert(at, Length { len, prefixes });
                at
            }
        };
        let prefixes = &mut self.lengths[at].prefixes;
        match prefixes.binary_search_by_key(&key, |p| p.0) {
            Ok(at) => {
                let targets = &mut prefixes[at].1;
                if !targets.contains(&target) {
                    let place = targets.partition_point(|t| t.origin <= target.origin);
                    targets.insert(place, target);
                }
            }
            Err(at) => prefixes.insert(at, (key, SmallVec::from_iter([target]))),
        }
    }

    fn remove(&mut self, key: u128, len: u8, gone: impl Fn(&Target) -> bool) -> bool {
        let Ok(l) = self.lengths.binary_search_by(|l| len.cmp(&l.len)) else {
            return false;
        };
        let prefixes = &mut self.lengths[l].prefixes;
        let Ok(at) = prefixes.binary_search_by_key(&key, |p| p.0) else {
            return false;
        };
        let targets = &mut prefixes[at].1;
        let before = targets.len();
        targets.retain(|t| !gone(t));
        let changed = targets.len() != before;
        if targets.is_empty() {
            prefixes.remove(at);
        }
        if prefixes.is_empty() {
            self.lengths.remove(l);
        }
        changed
    }
}

/// All routes of a stack.
#[derive(Debug, Default)]
pub(super) struct Routes {
    v4: Family,
    v6: Family,
}

impl Routes {
    fn family(&mut self, address: IpAddr) -> &mut Family {
        if address.is_ipv4() {
            &mut self.v4
        } else {
            &mut self.v6
        }
    }
    /// Adds a route; the same one twice counts once. Among routes to the same prefix, addresses' come before configured
    /// ones before routers', and earlier before later.
    pub(super) fn insert(&mut self, destination: Cidr, target: Target) {
        let len = destination.prefix.min(destination.width());
        let key = bits(destination.address) & mask(len);
        self.family(destination.address).insert(key, len, target);
    }
    /// Removes the routes to exactly this prefix for which `gone` holds; whether there were any.
    pub(super) fn remove(&mut self, destination: Cidr, gone: impl Fn(&Target) -> bool) -> bool {
        let len = destination.prefix.min(destination.width());
        let key = bits(destination.address) & mask(len);
        self.family(destination.address).remove(key, len, gone)
    }
    /// Whether any route leads through this router. Walks the table: for rare events only.
    pub(super) fn is_gateway(&self, address: IpAddr) -> bool {
        let family = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let mut targets = family.lengths.iter().flat_map(|l| &l.prefixes).flat_map(|p| &p.1);
        targets.any(|t| t.via == Some(address))
    }
    /// The best usable route: longest prefix first; `usable` is asked in order of preference.
    pub(super) fn lookup(&self, address: IpAddr, usable: impl FnMut(&Target) -> bool) -> Option<Target> {
        let family = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        family.lookup(bits(address), usable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use proptest::prelude::*;

    /// The naive model: a list, scanned.
    #[derive(Default)]
    struct Model(Vec<(Cidr, Target)>);
    impl Model {
        fn insert(&mut self, c: Cidr, t: Target) {
            let same = |(d, u): &(Cidr, Target)| *u == t && d.prefix == c.prefix && d.contains(c.address);
            if !self.0.iter().any(same) {
                self.0.push((c, t));
            }
        }
        fn remove(&mut self, c: Cidr, on: InterfaceId) {
            self.0
                .retain(|(d, t)| !(d.prefix == c.prefix && d.contains(c.address) && t.interface == on));
        }
        fn lookup(&self, a: IpAddr, on: Option<InterfaceId>) -> Option<Target> {
            let mut best: Option<(Cidr, Target)> = None;
            for &(c, t) in &self.0 {
                let better = |(b, u): (Cidr, Target)| (c.prefix, u.origin) > (b.prefix, t.origin);
                if c.contains(a) && on.is_none_or(|i| i == t.interface) && best.is_none_or(better) {
                    best = Some((c, t));
                }
            }
            best.map(|b| b.1)
        }
    }

    fn cidr() -> impl Strategy<Value = Cidr> {
        // Few distinct bits, so that prefixes nest and collide.
        (any::<bool>(), 0u32..8, 0u8..=32).prop_map(|(six, n, len)| {
            if six {
                let a = Ipv6Addr::from_bits(u128::from(n) << 125 | u128::from(n));
                Cidr {
                    address: a.into(),
                    prefix: len * 4,
                }
            } else {
                Cidr {
                    address: Ipv4Addr::from_bits(n << 29 | n).into(),
                    prefix: len,
                }
            }
        })
    }

    proptest! {
        #[test]
        fn agrees_with_a_scanned_list(
            ops in proptest::collection::vec((cidr(), 0u16..3, 0u8..4), 1..40),
            asks in proptest::collection::vec((cidr(), proptest::option::of(0u16..3)), 20),
        ) {
            let (mut routes, mut model) = (Routes::default(), Model::default());
            for (c, n, op) in ops {
                let interface = InterfaceId(n);
                let origin = [Origin::Address, Origin::Configured, Origin::Router][usize::from(op % 3)];
                if op == 3 {
                    routes.remove(c, |t| t.interface == interface);
                    model.remove(c, interface);
                } else {
                    let target = Target { interface, via: None, origin };
                    routes.insert(c, target);
                    model.insert(c, target);
                }
            }
            for (c, on) in asks {
                let on = on.map(InterfaceId);
                let got = routes.lookup(c.address, |t| on.is_none_or(|i| i == t.interface));
                prop_assert_eq!(got, model.lookup(c.address, on));
            }
        }
    }
}
