//! Our addresses: what is local, what is a broadcast address, and which address speaks for us (RFC 6724).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::Cidr;
use super::address::{bits, scope};
use crate::InterfaceId;
use crate::time::Instant;

/// What an address may be used for (RFC 4862 section 5.5.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AddressState {
    /// Being checked for duplicates: neither sent from nor received on, but defended.
    Tentative,
    /// In full use.
    Preferred,
    /// Still ours, but not for new communication.
    Deprecated,
}

/// One of our addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    pub(super) cidr: Cidr,
    pub(super) interface: InterfaceId,
    pub(super) state: AddressState,
    /// Made from a router's prefix, with lifetimes.
    pub(super) autoconfigured: bool,
    /// When it becomes deprecated.
    pub(super) preferred_until: Instant,
    /// When it goes.
    pub(super) valid_until: Instant,
    /// When the check for duplicates is over.
    pub(super) checked_at: Instant,
    /// Which of the addresses that could be made of the prefix this is (RFC 7217's DAD_Counter).
    pub(super) attempt: u8,
}

impl Local {
    pub(super) fn configured(cidr: Cidr, interface: InterfaceId) -> Self {
        Local {
            cidr,
            interface,
            state: AddressState::Preferred,
            autoconfigured: false,
            preferred_until: Instant::NEVER,
            valid_until: Instant::NEVER,
            checked_at: Instant::NEVER,
            attempt: 0,
        }
    }
    /// When something about it changes.
    pub(super) fn next_timeout(&self) -> Instant {
        match self.state {
            AddressState::Tentative => self.checked_at.min(self.valid_until),
            AddressState::Preferred => self.preferred_until.min(self.valid_until),
            AddressState::Deprecated => self.valid_until,
        }
    }
}

/// All our addresses, sorted, so that asking whether one is ours is a binary search.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    locals: Vec<Local>,
    /// Directed broadcast addresses of our IPv4 prefixes, sorted.
    broadcasts: Vec<(Ipv4Addr, InterfaceId)>,
}

impl Addresses {
    /// Adds an address unless the interface has it already.
    pub(super) fn insert(&mut self, local: Local) {
        let key = (local.cidr.address, local.interface);
        if let Err(at) = self
            .locals
            .binary_search_by_key(&key, |l| (l.cidr.address, l.interface))
        {
            self.locals.insert(at, local);
        }
        self.index_broadcasts();
    }
    /// Removes an address from an interface.
    pub(super) fn remove(&mut self, address: IpAddr, on: InterfaceId) -> Option<Local> {
        let key = (address, on);
        let at = self
            .locals
            .binary_search_by_key(&key, |l| (l.cidr.address, l.interface))
            .ok()?;
        let gone = self.locals.remove(at);
        self.index_broadcasts();
        Some(gone)
    }
    fn index_broadcasts(&mut self) {
        self.broadcasts.clear();
        let all = self
            .locals
            .iter()
            .filter_map(|l| Some((l.cidr.broadcast()?, l.interface)));
        self.broadcasts.extend(all);
        self.broadcasts.sort_unstable();
    }
    /// The addresses of one interface, in order.
    pub(super) fn on(&self, interface: InterfaceId) -> impl Iterator<Item = &Local> {
        self.locals.iter().filter(move |l| l.interface == interface)
    }
    /// The entries of an address (a link-local one may stand on several interfaces).
    fn of(&self, address: IpAddr) -> impl Iterator<Item = &Local> {
        let from = self.locals.partition_point(|l| l.cidr.address < address);
        self.locals[from..]
            .iter()
            .take_while(move |l| l.cidr.address == address)
    }
    /// The address as it stands on an interface, tentative or not.
    pub(super) fn find(&self, address: IpAddr, on: InterfaceId) -> Option<&Local> {
        self.of(address).find(|l| l.interface == on)
    }
    /// The same, to change.
    pub(super) fn find_mut(&mut self, address: IpAddr, on: InterfaceId) -> Option<&mut Local> {
        let key = (address, on);
        let at = self
            .locals
            .binary_search_by_key(&key, |l| (l.cidr.address, l.interface))
            .ok()?;
        Some(&mut self.locals[at])
    }
    /// Whether the address is ours and in use.
    #[inline]
    pub(super) fn is_local(&self, address: IpAddr) -> bool {
        if let IpAddr::V4(a) = address
            && a.is_loopback()
        {
            return true;
        }
        self.of(address).any(|l| l.state != AddressState::Tentative)
    }
    /// An interface on which the address is in use.
    pub(super) fn interface_of(&self, address: IpAddr) -> Option<InterfaceId> {
        self.of(address)
            .find(|l| l.state != AddressState::Tentative)
            .map(|l| l.interface)
    }
    /// Whether it is the limited broadcast address or that of one of our prefixes.
    #[inline]
    pub(super) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address.is_broadcast() || {
            let at = self.broadcasts.partition_point(|b| b.0 < address);
            self.broadcasts.get(at).is_some_and(|b| b.0 == address)
        }
    }
    /// The interface whose prefix has this broadcast address.
    pub(super) fn broadcast_on(&self, address: Ipv4Addr) -> Option<InterfaceId> {
        let at = self.broadcasts.partition_point(|b| b.0 < address);
        self.broadcasts.get(at).filter(|b| b.0 == address).map(|b| b.1)
    }

    /// The address that speaks for us to `destination` out of `interface` (RFC 6724 section 5, rules 1, 2, 3, 5, 6 and
    /// 8; the rest needs home addresses and temporary addresses). Addresses of other interfaces are considered where
    /// this one has none that reaches as far.
    pub(super) fn source_for(&self, destination: IpAddr, interface: InterfaceId) -> Option<IpAddr> {
        let mut best: Option<&Local> = None;
        for candidate in &self.locals {
            let a = candidate.cidr.address;
            let usable = candidate.state != AddressState::Tentative
                && a.is_ipv4() == destination.is_ipv4()
                && (candidate.interface == interface
                    || (scope(a) > 2 && candidate.interface != InterfaceId::LOOPBACK));
            if usable && best.is_none_or(|b| preferred(candidate, b, destination, interface)) {
                best = Some(candidate);
            }
        }
        best.map(|l| l.cidr.address)
    }
}

/// Whether `a` is the better source than `b` (RFC 6724 section 5).
fn preferred(a: &Local, b: &Local, destination: IpAddr, interface: InterfaceId) -> bool {
    let (sa, sb) = (a.cidr.address, b.cidr.address);
    // Rule 1: the same address.
    if sb == destination || sa == destination {
        return sa == destination;
    }
    // Rule 2: appropriate scope: the smallest that reaches the destination, else the largest.
    let (ra, rb, rd) = (scope(sa), scope(sb), scope(destination));
    if ra != rb {
        return if ra < rb { ra >= rd } else { rb < rd };
    }
    // Rule 3: not deprecated.
    let old = |l: &Local| l.state == AddressState::Deprecated;
    if old(a) != old(b) {
        return old(b);
    }
    // Rule 5: of the outgoing interface.
    if (a.interface == interface) != (b.interface == interface) {
        return a.interface == interface;
    }
    // Rule 6: matching label.
    let fits = |s: IpAddr| label(s) == label(destination);
    if fits(sa) != fits(sb) {
        return fits(sa);
    }
    // Rule 8: longest matching prefix, as far as our prefix goes.
    let common = |l: &Local| {
        let same = (bits(l.cidr.address) ^ bits(destination)).leading_zeros();
        same.min(u32::from(l.cidr.prefix))
    };
    common(a) > common(b)
}

/// The label of RFC 6724 section 2.1's default policy table.
fn label(address: IpAddr) -> u8 {
    let IpAddr::V6(a) = address else { return 4 };
    match a.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => 0,
        [0, 0, 0, 0, 0, 0xffff, ..] => 4,
        [0x2002, ..] => 2,
        [0x2001, 0, ..] => 5,
        [0xfc00..=0xfdff, ..] => 13,
        [0xfec0..=0xfeff, ..] => 11,
        [0x3ffe, ..] => 12,
        [0, 0, 0, 0, 0, 0, ..] => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH: InterfaceId = InterfaceId(0);
    const OTHER: InterfaceId = InterfaceId(1);

    fn addresses(list: &[(&str, u8, InterfaceId)]) -> Addresses {
        let mut all = Addresses::default();
        for &(a, prefix, on) in list {
            let address = a.parse().unwrap();
            all.insert(Local::configured(Cidr { address, prefix }, on));
        }
        all
    }

    #[test]
    fn source_selection_follows_rfc_6724() {
        let mut a = addresses(&[
            ("fe80::1", 64, ETH),
            ("2001:db8:1::1", 64, ETH),
            ("2001:db8:2::1", 64, ETH),
            ("fd00:1::1", 64, ETH),
            ("2001:db8:9::1", 64, OTHER),
            ("::1", 128, InterfaceId::LOOPBACK),
        ]);
        let ask = |a: &Addresses, d: &str| a.source_for(d.parse().unwrap(), ETH).unwrap();
        let is = |s: &str| s.parse::<IpAddr>().unwrap();
        assert_eq!(ask(&a, "2001:db8:2::1"), is("2001:db8:2::1")); // rule 1
        assert_eq!(ask(&a, "fe80::99"), is("fe80::1")); // rule 2
        assert_eq!(ask(&a, "ff02::1"), is("fe80::1")); // rule 2
        assert_eq!(ask(&a, "ff0e::1"), is("2001:db8:1::1")); // rule 2
        assert_eq!(ask(&a, "2001:db8:9::5"), is("2001:db8:1::1")); // rule 5 before rule 8
        assert_eq!(ask(&a, "fd00:2::5"), is("fd00:1::1")); // rule 6
        assert_eq!(ask(&a, "2001:db8:2::5"), is("2001:db8:2::1")); // rule 8
        a.find_mut(is("2001:db8:2::1"), ETH).unwrap().state = AddressState::Deprecated;
        assert_eq!(ask(&a, "2001:db8:2::5"), is("2001:db8:1::1")); // rule 3
        a.find_mut(is("2001:db8:1::1"), ETH).unwrap().state = AddressState::Tentative;
        assert!(!a.is_local(is("2001:db8:1::1")));
        assert!(a.is_local(is("127.9.9.9")));
    }

    #[test]
    fn broadcast_addresses_follow_the_prefixes() {
        let mut a = addresses(&[("192.0.2.1", 24, ETH), ("10.0.0.1", 31, OTHER)]);
        assert!(a.is_broadcast(Ipv4Addr::BROADCAST));
        assert!(a.is_broadcast("192.0.2.255".parse().unwrap()));
        assert!(!a.is_broadcast("10.0.0.1".parse().unwrap()));
        assert_eq!(a.broadcast_on("192.0.2.255".parse().unwrap()), Some(ETH));
        a.remove("192.0.2.1".parse().unwrap(), ETH);
        assert!(!a.is_broadcast("192.0.2.255".parse().unwrap()));
    }
}
