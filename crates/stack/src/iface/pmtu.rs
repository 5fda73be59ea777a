//! What is known of path MTUs (RFC 1191, RFC 8201).
//!
//! An entry lowers the MTU towards one destination below its interface's. It ages after ten minutes, so that a path that
//! has become wider is found (RFC 1191 section 6.3, RFC 8201 section 4). At most [`ENTRIES_MAX`] are kept; when they are
//! full, the one that would age first goes, and costs at most a further packet-too-big message.

use alloc::collections::VecDeque;
use core::hash::Hasher;
use core::net::IpAddr;
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::address::bits;
use crate::time::{Duration, Instant};

/// Destinations remembered.
const ENTRIES_MAX: usize = 4096;
/// How long an entry is believed.
const AGE: Duration = Duration::from_secs(600);

/// Least MTU of an IPv4 path (RFC 791).
pub(super) const IPV4_MTU_MIN: u32 = 68;
/// Least MTU of an IPv6 link (RFC 8200 section 5).
pub(super) const IPV6_MTU_MIN: u32 = 1280;

/// RFC 1191 section 7.1: MTUs that are common in the internet, for routers that do not tell theirs.
const PLATEAUS: [u32; 10] = [32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];

/// The MTU to try when a router found a packet of `len` octets too big and did not say what would do (RFC 1191 section 5).
pub(super) fn plateau_below(len: u32) -> u32 {
    PLATEAUS.into_iter().find(|&p| p < len).unwrap_or(IPV4_MTU_MIN)
}

#[derive(Debug)]
struct Entry {
    destination: IpAddr,
    mtu: u32,
    until: Instant,
}

/// The cache.
#[derive(Debug)]
pub(super) struct PathMtus {
    key: [u8; 16],
    table: HashTable<Entry>,
    /// In the order in which they age; renewed entries leave a stale place behind, which is skipped.
    order: VecDeque<(Instant, IpAddr)>,
}

fn hash(secret: &[u8; 16], destination: IpAddr) -> u64 {
    let mut h = SipHasher13::new_with_key(secret);
    h.write_u128(bits(destination));
    h.finish()
}

impl PathMtus {
    pub(super) fn new(key: [u8; 16]) -> Self {
        PathMtus {
            key,
            table: HashTable::new(),
            order: VecDeque::new(),
        }
    }
    /// The path's MTU, if one is known to be lower than the interface's.
    #[inline]
    pub(super) fn lookup(&self, destination: IpAddr) -> Option<u32> {
        if self.table.is_empty() {
            return None;
        }
        let h = hash(&self.key, destination);
        self.table
            .find(h, |e| e.destination == destination)
            .map(|e| e.mtu)
    }
    /// A router said that this is the most the path takes; it is not believed below `least`, for IPv4. Never raises an
    /// entry; whether it changed anything.
    pub(super) fn reduce(&mut self, now: Instant, destination: IpAddr, mtu: u32, least: u32) -> bool {
        let floor = if destination.is_ipv4() {
            least.max(IPV4_MTU_MIN)
        } else {
            IPV6_MTU_MIN
        };
        let mtu = mtu.max(floor);
        let h = hash(&self.key, destination);
        let until = now + AGE;
        if let Some(e) = self.table.find_mut(h, |e| e.destination == destination) {
            if mtu >= e.mtu {
                return false;
            }
            (e.mtu, e.until) = (mtu, until);
        } else {
            while self.table.len() >= ENTRIES_MAX && self.drop_front() {}
            let entry = Entry {
                destination,
                mtu,
                until,
            };
            let secret = &self.key;
            self.table
                .insert_unique(h, entry, |e| hash(secret, e.destination));
        }
        self.order.push_back((until, destination));
        if self.order.len() > 2 * ENTRIES_MAX {
            let (table, secret) = (&self.table, &self.key);
            self.order.retain(|o| {
                table
                    .find(hash(secret, o.1), |e| (e.until, e.destination) == *o)
                    .is_some()
            });
        }
        true
    }
    /// Forgets the first in the order of age; false if there is none.
    fn drop_front(&mut self) -> bool {
        let Some((until, destination)) = self.order.pop_front() else {
            return false;
        };
        let same = |e: &Entry| e.destination == destination && e.until == until;
        if let Ok(entry) = self.table.find_entry(hash(&self.key, destination), same) {
            entry.remove();
        }
        true
    }
    /// Whether no time is waited for.
    #[inline]
    pub(super) fn is_timeless(&self) -> bool {
        self.order.is_empty()
    }
    /// When the first entry ages (or earlier).
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.order.front().map(|o| o.0)
    }
    /// Forgets what is too old; whether there was any.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let before = self.table.len();
        while self.order.front().is_some_and(|o| o.0 <= now) {
            self.drop_front();
        }
        self.table.len() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    /// Proves: 1191-3, 1191-4.
    #[test]
    fn falls_to_the_next_plateau_and_never_below_68() {
        assert_eq!(plateau_below(1500), 1492);
        assert_eq!(plateau_below(1492), 1006);
        assert_eq!(plateau_below(68), 68);
        assert_eq!(plateau_below(0), 68);
    }

    /// Proves: 1191-2, 1191-5, 8201-2, 8201-3.
    #[test]
    fn entries_only_fall_and_age() {
        let mut p = PathMtus::new([0; 16]);
        let (a, b) = (Ipv4Addr::new(192, 0, 2, 1).into(), "2001:db8::1".parse().unwrap());
        let at = Instant::from_secs;
        assert!(p.reduce(at(0), a, 1400, 552));
        assert!(!p.reduce(at(1), a, 1450, 552));
        assert!(p.reduce(at(100), a, 1200, 552));
        assert!(p.reduce(at(200), b, 600, 552));
        assert_eq!((p.lookup(a), p.lookup(b)), (Some(1200), Some(IPV6_MTU_MIN)));
        assert!(!p.expire(at(600))); // the place of the first report is stale
        assert!(p.expire(at(700)));
        assert_eq!((p.lookup(a), p.lookup(b)), (None, Some(1280)));
        assert!(p.expire(at(800)));
        assert_eq!(p.next_timeout(), None);
    }

    /// A router is not believed everything: tiny segments are an attack (RFC 1191 section 3 lets a host stop at 68).
    ///
    /// Proves: 1191-3.
    #[test]
    fn has_a_floor() {
        let host = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
        for (least, told, kept) in [
            (552, 68, 552),
            (552, 0, 552),
            (552, 553, 553),
            (0, 0, 68),
            (100, 90, 100),
        ] {
            let mut p = PathMtus::new([0; 16]);
            assert!(p.reduce(Instant::ZERO, host, told, least));
            assert_eq!(p.lookup(host), Some(kept));
        }
    }

    #[test]
    fn bounded_by_forgetting_the_oldest() {
        let mut p = PathMtus::new([0; 16]);
        let host = |n: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + n));
        for n in 0..ENTRIES_MAX as u32 + 10 {
            p.reduce(Instant::from_secs(u64::from(n) / 100), host(n), 1000, 552);
        }
        assert_eq!(p.table.len(), ENTRIES_MAX);
        assert_eq!((p.lookup(host(9)), p.lookup(host(10))), (None, Some(1000)));
    }
}
