//! Addresses that an interface makes itself (RFC 4862, RFC 7217), the check that nobody else has them, and what routers
//! tell (RFC 4861 section 6.3).
//!
//! Bounds, since anybody on the link can send router advertisements: [`ROUTERS_MAX`] routers, [`PREFIXES_MAX`] prefixes and
//! [`ADDRESSES_MAX`] addresses an interface. When they are full, new ones are ignored (RFC 4861 section 6.3.4 asks for two routers).

use alloc::vec::Vec;
use core::hash::Hasher;
use core::net::{IpAddr, Ipv6Addr};
use siphasher::sip::SipHasher24;

use super::addresses::{AddressState, Local};
use super::control::To;
use super::layer::{IpLayer, target};
use super::pmtu::IPV6_MTU_MIN;
use super::routes::Origin;
use super::{Cidr, Env};
use crate::InterfaceId;
use crate::time::{Duration, Instant};
use crate::trace::Cause;
use crate::wire::{ipv6, ndp};

const ROUTERS_MAX: usize = 8;
const PREFIXES_MAX: usize = 32;
const ADDRESSES_MAX: usize = 16;
/// IDGEN_RETRIES (RFC 7217 section 5): addresses tried before giving up.
const ATTEMPTS_MAX: u8 = 3;
/// MAX_RTR_SOLICITATIONS and RTR_SOLICITATION_INTERVAL (RFC 4861 section 10).
const SOLICITATIONS_MAX: u8 = 3;
const SOLICITATION_INTERVAL: Duration = Duration::from_secs(4);
/// RFC 4862 section 5.5.3 (e): an advertisement cannot shorten the rest of a lifetime below this.
const TWO_HOURS: Duration = Duration::from_secs(7200);

/// A prefix that a router told to be on the link, or a default router: something with a lifetime.
#[derive(Clone, Copy, Debug)]
struct Lease<T> {
    what: T,
    until: Instant,
}

/// What an interface knows of routers.
#[derive(Debug)]
pub(super) struct Autoconf {
    enabled: bool,
    routers: Vec<Lease<Ipv6Addr>>,
    prefixes: Vec<Lease<Cidr>>,
    solicitations: u8,
    solicit_at: Instant,
}

impl Autoconf {
    pub(super) fn new(enabled: bool) -> Self {
        Autoconf {
            enabled,
            routers: Vec::new(),
            prefixes: Vec::new(),
            solicitations: 0,
            solicit_at: Instant::NEVER,
        }
    }
    pub(super) fn next_timeout(&self) -> Instant {
        let routers = self.routers.iter().map(|r| r.until);
        let prefixes = self.prefixes.iter().map(|p| p.until);
        routers.chain(prefixes).fold(self.solicit_at, Instant::min)
    }
}

fn lifetime(now: Instant, seconds: u32) -> Instant {
    match seconds {
        u32::MAX => Instant::NEVER,
        n => now + Duration::from_secs(u64::from(n)),
    }
}

fn default_route() -> Cidr {
    Cidr {
        address: Ipv6Addr::UNSPECIFIED.into(),
        prefix: 0,
    }
}

impl IpLayer {
    /// Gives a new interface its link-local address and starts looking for routers.
    pub(super) fn start_autoconf(&mut self, env: &mut Env<'_>, on: InterfaceId) {
        let prefix = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
        let never = (Instant::NEVER, Instant::NEVER);
        self.make_address(env, on, prefix, 0, never);
        let spread = u64::from(env.rng.below(1000));
        if let Some(i) = self.interface_mut(on) {
            // RFC 4861 section 6.3.7: not all hosts of a link at once; and the address is checked by then.
            i.autoconf.solicit_at = env.now + Duration::from_millis(1000 + spread);
        }
    }

    /// The interface's identifier in a prefix: stable, but telling nothing of the link address nor of other prefixes
    /// (RFC 7217 section 5).
    fn stable_address(&self, on: InterfaceId, prefix: Ipv6Addr, attempt: u8) -> Ipv6Addr {
        let mut h = SipHasher24::new_with_key(&self.key);
        h.write(b"stable-iid");
        h.write(&prefix.octets()[..8]);
        h.write(&self.link_address(on).unwrap_or_default());
        h.write_u8(attempt);
        let mut id = h.finish();
        // Reserved identifiers (RFC 5453): subnet-router anycast and subnet anycasts.
        if id == 0 || (0xfdff_ffff_ffff_ff80..=0xfdff_ffff_ffff_ffff).contains(&id) {
            id = id.wrapping_add(0x100);
        }
        Ipv6Addr::from_bits(prefix.to_bits() & !u128::from(u64::MAX) | u128::from(id))
    }

    fn make_address(
        &mut self,
        env: &mut Env<'_>,
        on: InterfaceId,
        prefix: Ipv6Addr,
        attempt: u8,
        (preferred, valid): (Instant, Instant),
    ) {
        let cidr = Cidr {
            address: self.stable_address(on, prefix, attempt).into(),
            prefix: 64,
        };
        let local = Local {
            autoconfigured: true,
            attempt,
            preferred_until: preferred,
            valid_until: valid,
            ..Local::configured(cidr, on)
        };
        self.add_address(env, local);
        if super::address::is_link_local(prefix) {
            self.routes.insert(cidr, target(on, None, Origin::Address));
        }
    }

    /// Adds an address: joins its solicited-node group and checks for duplicates, where the interface does that.
    pub(super) fn add_address(&mut self, env: &mut Env<'_>, mut local: Local) {
        let on = local.interface;
        let Some(interface) = self.interface(on) else {
            return;
        };
        let detect = interface.detect_duplicates;
        let IpAddr::V6(address) = local.cidr.address else {
            self.addresses.insert(local);
            self.changed();
            return;
        };
        if self.link_address(on).is_none() {
            self.addresses.insert(local);
            self.changed();
            return;
        }
        if detect {
            local.state = AddressState::Tentative;
            local.checked_at = env.now + super::neighbor::RETRANS_TIMER;
        }
        self.addresses.insert(local);
        self.changed();
        // Refused only where the application joined a thousand groups: neighbours then cannot find this address.
        let _ = self.join_group(env, on, ipv6::solicited_node(address).into());
        if detect {
            let to = To {
                source: Ipv6Addr::UNSPECIFIED,
                destination: ipv6::solicited_node(address),
                link: None,
            };
            let question = ndp::Message::NeighborSolicitation {
                target: address,
                source_link: None,
            };
            self.send_ndp(env, on, to, &question, Cause::DuplicateAddressDetection);
        }
        self.reschedule(on);
    }

    fn drop_address(&mut self, env: &mut Env<'_>, on: InterfaceId, address: IpAddr) {
        if self.addresses.remove(address, on).is_none() {
            return;
        }
        if let IpAddr::V6(a) = address {
            // Refused only where joining it was.
            let _ = self.leave_group(env, on, ipv6::solicited_node(a).into());
        }
        self.changed();
    }

    /// Somebody else has or wants an address that we check: it is not ours (RFC 4862 section 5.4.5). Where we made it, we
    /// make another (RFC 7217 section 6).
    pub(super) fn duplicate_found(&mut self, env: &mut Env<'_>, on: InterfaceId, address: Ipv6Addr) {
        let Some(&local) = self.addresses.find(address.into(), on) else {
            return;
        };
        self.drop_address(env, on, address.into());
        if local.autoconfigured && local.attempt + 1 < ATTEMPTS_MAX {
            let lifetimes = (local.preferred_until, local.valid_until);
            self.make_address(env, on, address, local.attempt + 1, lifetimes);
        }
        self.reschedule(on);
    }

    /// What a router tells (RFC 4861 section 6.3.4). Only interfaces that configure themselves listen.
    pub(super) fn router_advertised(
        &mut self,
        env: &mut Env<'_>,
        on: InterfaceId,
        router: Ipv6Addr,
        advertisement: &ndp::RouterAdvertisement,
        options: &[u8],
    ) {
        let Some(i) = self.interface_mut(on).filter(|i| i.autoconf.enabled) else {
            return;
        };
        if advertisement.hop_limit != 0 {
            i.hop_limit = advertisement.hop_limit;
        }
        if advertisement.reachable_time != 0 {
            let told = Duration::from_millis(u64::from(advertisement.reachable_time));
            i.reachable = told.min(Duration::from_secs(3600)); // RFC 4861 section 6.2.1
        }
        if advertisement.retrans_timer != 0 {
            let told = Duration::from_millis(u64::from(advertisement.retrans_timer));
            i.retrans = told.max(Duration::from_millis(10)).min(Duration::from_secs(60));
        }
        if let Some(mtu) = advertisement.mtu
            && (IPV6_MTU_MIN..=i.mtu).contains(&mtu)
        {
            i.mtu_v6 = mtu;
        }
        if advertisement.router_lifetime != 0 {
            i.autoconf.solicit_at = Instant::NEVER;
        }
        if advertisement.source_link.is_some() {
            let told = super::neighbor::Told {
                link: advertisement.source_link,
                solicited: false,
                replaces: true,
                creates: true,
                router: Some(true),
            };
            self.learn(env, on, router.into(), told);
        }
        self.keep_router(env.now, on, router, advertisement.router_lifetime);
        for prefix in ndp::prefixes(options) {
            self.prefix_advertised(env, on, &prefix);
        }
        self.changed();
        self.reschedule(on);
    }

    fn keep_router(&mut self, now: Instant, on: InterfaceId, router: Ipv6Addr, seconds: u16) {
        if seconds == 0 {
            self.forget_router(on, router);
            return;
        }
        let until = lifetime(now, u32::from(seconds));
        let Some(i) = self.interface_mut(on) else { return };
        let full = i.autoconf.routers.len() >= ROUTERS_MAX;
        match i.autoconf.routers.iter_mut().find(|r| r.what == router) {
            Some(known) => known.until = until,
            None if !full => {
                i.autoconf.routers.push(Lease { what: router, until });
            }
            None => return,
        }
        self.routes
            .insert(default_route(), target(on, Some(router.into()), Origin::Router));
    }

    pub(super) fn forget_router(&mut self, on: InterfaceId, router: Ipv6Addr) {
        let gone = target(on, Some(router.into()), Origin::Router);
        if let Some(i) = self.interface_mut(on) {
            i.autoconf.routers.retain(|r| r.what != router);
        }
        if self.routes.remove(default_route(), |t| *t == gone) {
            self.changed();
        }
    }

    fn prefix_advertised(&mut self, env: &mut Env<'_>, on: InterfaceId, p: &ndp::PrefixInformation) {
        let cidr = Cidr {
            address: p.prefix.into(),
            prefix: p.prefix_len,
        };
        if p.on_link {
            self.keep_prefix(env.now, on, cidr, p.valid_lifetime);
        }
        // RFC 4862 section 5.5.3: (a) to (d).
        if !p.autonomous || p.preferred_lifetime > p.valid_lifetime || p.prefix_len != 64 {
            return;
        }
        let valid = lifetime(env.now, p.valid_lifetime);
        let preferred = lifetime(env.now, p.preferred_lifetime);
        let ours = self
            .addresses
            .on(on)
            .find(|l| l.autoconfigured && cidr.contains(l.cidr.address));
        let Some(address) = ours.map(|l| l.cidr.address) else {
            let count = self.addresses.on(on).filter(|l| l.autoconfigured).count();
            if p.valid_lifetime != 0 && count < ADDRESSES_MAX {
                self.make_address(env, on, p.prefix, 0, (preferred, valid));
            }
            return;
        };
        if let Some(l) = self.addresses.find_mut(address, on) {
            l.preferred_until = preferred;
            // (e): what is left can be lengthened, but shortened to two hours at most.
            if valid > env.now + TWO_HOURS || valid > l.valid_until {
                l.valid_until = valid;
            } else if l.valid_until > env.now + TWO_HOURS {
                l.valid_until = env.now + TWO_HOURS;
            }
            if l.state == AddressState::Deprecated && preferred > env.now {
                l.state = AddressState::Preferred;
            }
        }
    }

    fn keep_prefix(&mut self, now: Instant, on: InterfaceId, cidr: Cidr, seconds: u32) {
        let until = lifetime(now, seconds);
        let route = target(on, None, Origin::Router);
        let Some(i) = self.interface_mut(on) else { return };
        let prefixes = &mut i.autoconf.prefixes;
        let full = prefixes.len() >= PREFIXES_MAX;
        let known = prefixes
            .iter_mut()
            .find(|k| k.what.prefix == cidr.prefix && k.what.contains(cidr.address));
        match known {
            Some(known) => known.until = until,
            None if seconds == 0 || full => return,
            None => prefixes.push(Lease { what: cidr, until }),
        }
        self.routes.insert(cidr, route);
    }

    /// Does what is due on an interface: addresses that are checked or old, routers, prefixes, solicitations.
    pub(super) fn autoconf_due(&mut self, env: &mut Env<'_>, on: InterfaceId) {
        let now = env.now;
        let due: Vec<Local> = self
            .addresses
            .on(on)
            .filter(|l| l.next_timeout() <= now)
            .copied()
            .collect();
        for local in due {
            let address = local.cidr.address;
            if local.valid_until <= now {
                self.drop_address(env, on, address);
                continue;
            }
            let Some(l) = self.addresses.find_mut(address, on) else {
                continue;
            };
            if l.state == AddressState::Tentative && l.checked_at <= now {
                l.state = AddressState::Preferred;
            }
            if l.state == AddressState::Preferred && l.preferred_until <= now {
                l.state = AddressState::Deprecated;
            }
            self.changed();
        }
        self.leases_due(now, on);
        self.solicit_routers(env, on);
    }

    fn leases_due(&mut self, now: Instant, on: InterfaceId) {
        let Some(i) = self.interface_mut(on) else { return };
        let routers: Vec<_> = i
            .autoconf
            .routers
            .iter()
            .filter(|r| r.until <= now)
            .map(|r| r.what)
            .collect();
        let prefixes: Vec<_> = i
            .autoconf
            .prefixes
            .iter()
            .filter(|p| p.until <= now)
            .map(|p| p.what)
            .collect();
        i.autoconf.prefixes.retain(|p| p.until > now);
        for router in routers {
            self.forget_router(on, router);
        }
        for prefix in prefixes {
            self.routes
                .remove(prefix, |t| *t == target(on, None, Origin::Router));
            self.changed();
        }
    }

    fn solicit_routers(&mut self, env: &mut Env<'_>, on: InterfaceId) {
        let Some(i) = self.interface_mut(on) else { return };
        if i.autoconf.solicit_at > env.now {
            return;
        }
        i.autoconf.solicitations += 1;
        let more = i.autoconf.solicitations < SOLICITATIONS_MAX;
        i.autoconf.solicit_at = if more {
            env.now + SOLICITATION_INTERVAL
        } else {
            Instant::NEVER
        };
        let source = self.link_local(on).unwrap_or(Ipv6Addr::UNSPECIFIED);
        let to = To {
            source,
            destination: super::address::ALL_ROUTERS,
            link: None,
        };
        let question = ndp::Message::RouterSolicitation {
            source_link: if source.is_unspecified() {
                None
            } else {
                self.link_address(on)
            },
        };
        self.send_ndp(env, on, to, &question, Cause::RouterSolicitation);
    }

    /// The interface's link-local address, once it is in use.
    pub(super) fn link_local(&self, on: InterfaceId) -> Option<Ipv6Addr> {
        self.addresses.on(on).find_map(|l| match l.cidr.address {
            IpAddr::V6(a) if super::address::is_link_local(a) && l.state != AddressState::Tentative => {
                Some(a)
            }
            _ => None,
        })
    }
}
