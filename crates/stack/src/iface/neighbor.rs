//! The neighbour cache: link addresses of next hops, and whether they still answer (RFC 4861 section 7.3; ARP's entries
//! live by the same rules).
//!
//! ```text
//!              asked                answered               30 s             used             5 s
//!   (nothing) ───────▶ INCOMPLETE ───────────▶ REACHABLE ───────▶ STALE ───────▶ DELAY ───────────▶ PROBE
//!                          │ 3 s                   ▲      (seen when used)          │ confirmed        │ 3 s
//!                          ▼                       └────────────────────────────────┴──────────┐       ▼
//!                        FAILED ◀──────────────────────────────────────────────────────────────┼──── FAILED
//! ```
//!
//! Bounds: [`ENTRIES_MAX`] entries; when full, of [`CANDIDATES`] entries in turn the one unused for longest goes. Frames that
//! wait: [`WAITING_MAX`] and [`WAITING_OCTETS_MAX`] a neighbour, of which the oldest go for new ones (RFC 4861 section 7.2.2), and
//! [`WAITING_ALL_MAX`] in all, beyond which new ones are refused.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::hash::Hasher;
use core::net::IpAddr;
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::address::bits;
use crate::InterfaceId;
use crate::frame::{Frame, TxMeta};
use crate::time::{Duration, Instant};
use crate::wire::ethernet::Address;

const ENTRIES_MAX: usize = 4096;
const CANDIDATES: usize = 16;
const WAITING_MAX: usize = 64;
const WAITING_OCTETS_MAX: usize = 256 << 10;
const WAITING_ALL_MAX: usize = 2048;
/// MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT (RFC 4861 section 10).
const SOLICIT_MAX: u8 = 3;
/// DELAY_FIRST_PROBE_TIME (RFC 4861 section 10): the layer above may still confirm.
const DELAY: Duration = Duration::from_secs(5);
/// How long it is remembered that a neighbour did not answer: other routers are preferred meanwhile. Longer than any RTO
/// (RFC 6298 section 2.5; Linux: 120 s), so that a connection that asks that rarely finds the other router (MUST-20). What
/// is sent to the neighbour itself asks anew at once.
const FAILED: Duration = Duration::from_secs(180);
/// REACHABLE_TIME (RFC 4861 section 10).
pub(super) const REACHABLE_TIME: Duration = Duration::from_secs(30);
/// RETRANS_TIMER (RFC 4861 section 10).
pub(super) const RETRANS_TIMER: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Incomplete,
    Reachable,
    Stale,
    Delay,
    Probe,
    Failed,
}

/// A frame that waits for a link address.
pub(super) type Waiting = (Frame, TxMeta);

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    interface: InterfaceId,
    link: Address,
    state: State,
    router: bool,
    probes: u8,
    /// In the set of timers, unless it is never.
    deadline: Instant,
    reachable_until: Instant,
    retrans: Duration,
    used: Instant,
    waiting: VecDeque<Waiting>,
    waiting_octets: usize,
}

/// What a received message says of a neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) link: Option<Address>,
    /// It answers what we asked: the neighbour is reachable.
    pub(super) solicited: bool,
    /// It replaces a link address that was known.
    pub(super) replaces: bool,
    /// Make an entry if there is none: the message shows that we will need one.
    pub(super) creates: bool,
    /// It says whether it is a router.
    pub(super) router: Option<bool>,
}

/// Something to do for a neighbour whose time has come.
#[derive(Debug)]
pub(super) enum Due {
    /// Ask again: everybody, or the neighbour itself where its link address was known.
    Ask {
        address: IpAddr,
        interface: InterfaceId,
        link: Option<Address>,
    },
    /// It did not answer; these frames waited for it.
    Failed {
        address: IpAddr,
        frames: VecDeque<Waiting>,
    },
    /// Its failure is forgotten.
    Forgotten { address: IpAddr },
}

/// What became of a frame given to the cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(super) struct Parked {
    /// The neighbour is to be asked now.
    pub(super) ask: bool,
    /// Frames that had to go.
    pub(super) dropped: usize,
}

/// The cache of all interfaces.
#[derive(Debug)]
pub(super) struct Neighbors {
    key: [u8; 16],
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    table: HashTable<u32>,
    /// Direct-mapped shortcut past the hash: slots by some bits of the address, checked before use.
    recent: [u32; 64],
    timers: BTreeSet<(Instant, u32)>,
    hand: usize,
    waiting: usize,
}

fn hash(secret: &[u8; 16], address: IpAddr, on: InterfaceId) -> u64 {
    let mut h = SipHasher13::new_with_key(secret);
    h.write_u128(bits(address));
    h.write_u16(on.0);
    h.finish()
}

#[inline]
fn shortcut(address: IpAddr, on: InterfaceId) -> usize {
    let b = bits(address);
    let low = (b >> 96) as u32 ^ b as u32;
    (low ^ low >> 6 ^ u32::from(on.0)) as usize % 64
}

impl Neighbors {
    pub(super) fn new(key: [u8; 16]) -> Self {
        Neighbors {
            key,
            entries: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            recent: [u32::MAX; 64],
            timers: BTreeSet::new(),
            hand: 0,
            waiting: 0,
        }
    }

    #[inline]
    fn matches(&self, slot: u32, address: IpAddr, on: InterfaceId) -> bool {
        matches!(self.entries.get(slot as usize), Some(Some(e)) if e.address == address && e.interface == on)
    }
    fn find(&self, address: IpAddr, on: InterfaceId) -> Option<u32> {
        self.table
            .find(hash(&self.key, address, on), |&s| self.matches(s, address, on))
            .copied()
    }
    fn entry(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize)?.as_mut()
    }

    /// The link address of a next hop, if it is known. This is use: a stale entry begins to be checked.
    #[inline]
    pub(super) fn resolve(&mut self, now: Instant, address: IpAddr, on: InterfaceId) -> Option<Address> {
        let place = shortcut(address, on);
        let mut slot = self.recent[place];
        if !self.matches(slot, address, on) {
            slot = self.find(address, on)?;
            self.recent[place] = slot;
        }
        let e = self.entry(slot)?;
        e.used = now;
        match e.state {
            State::Reachable if now < e.reachable_until => Some(e.link),
            State::Delay | State::Probe => Some(e.link),
            State::Incomplete | State::Failed => None,
            State::Reachable | State::Stale => {
                e.state = State::Delay;
                let link = e.link;
                self.set_deadline(slot, now + DELAY);
                Some(link)
            }
        }
    }

    /// Whether the neighbour lately did not answer.
    pub(super) fn has_failed(&self, address: IpAddr, on: InterfaceId) -> bool {
        let slot = self.find(address, on);
        slot.and_then(|s| self.entries[s as usize].as_ref())
            .is_some_and(|e| e.state == State::Failed)
    }

    /// Keeps a frame until the neighbour is known.
    pub(super) fn park(
        &mut self,
        now: Instant,
        address: IpAddr,
        on: InterfaceId,
        retrans: Duration,
        frame: Frame,
        meta: TxMeta,
    ) -> Parked {
        if self.waiting >= WAITING_ALL_MAX {
            return Parked {
                ask: false,
                dropped: 1,
            };
        }
        let (slot, mut dropped) = match self.find(address, on) {
            Some(slot) => (slot, 0),
            None => self.insert(now, address, on),
        };
        let Some(e) = self.entry(slot) else {
            return Parked {
                ask: false,
                dropped: 1,
            };
        };
        let ask = matches!(e.state, State::Failed) || e.deadline.is_never() && e.state == State::Incomplete;
        e.waiting_octets += frame.len();
        e.waiting.push_back((frame, meta));
        let mut gone = 0;
        while e.waiting.len() > WAITING_MAX || (e.waiting_octets > WAITING_OCTETS_MAX && e.waiting.len() > 1)
        {
            if let Some((old, _)) = e.waiting.pop_front() {
                e.waiting_octets -= old.len();
                gone += 1;
            }
        }
        if ask {
            e.state = State::Incomplete;
            e.probes = 1;
            e.retrans = retrans;
            self.set_deadline(slot, now + retrans);
        }
        self.waiting += 1;
        self.waiting -= gone;
        dropped += gone;
        Parked { ask, dropped }
    }

    /// Takes what a message says of a neighbour (RFC 4861 sections 7.2.3 and 7.2.5). Returns the frames that can leave now,
    /// and the link address to put into them.
    pub(super) fn learn(
        &mut self,
        now: Instant,
        address: IpAddr,
        on: InterfaceId,
        reachable: Duration,
        told: Told,
    ) -> Option<(Address, VecDeque<Waiting>)> {
        let slot = match (self.find(address, on), told.link) {
            (Some(slot), _) => slot,
            (None, Some(_)) if told.creates => self.insert(now, address, on).0,
            _ => return None,
        };
        let e = self.entry(slot)?;
        if let Some(router) = told.router {
            e.router = router;
        }
        let unknown = matches!(e.state, State::Incomplete | State::Failed);
        let changed = told.link.is_some_and(|l| l != e.link);
        if unknown {
            e.link = told.link?;
        } else if changed && !told.replaces {
            // It disagrees and does not insist: no longer sure (RFC 4861 section 7.2.5, I).
            if e.state == State::Reachable {
                e.state = State::Stale;
                self.set_deadline(slot, Instant::NEVER);
            }
            return None;
        } else if let Some(link) = told.link {
            e.link = link;
        }
        if told.solicited {
            e.state = State::Reachable;
            e.reachable_until = now + reachable;
            self.set_deadline(slot, Instant::NEVER);
        } else if unknown || changed {
            e.state = State::Stale;
            self.set_deadline(slot, Instant::NEVER);
        }
        let e = self.entry(slot)?;
        let frames = core::mem::take(&mut e.waiting);
        let link = e.link;
        e.waiting_octets = 0;
        if e.state == State::Stale && !frames.is_empty() {
            e.state = State::Delay;
            self.set_deadline(slot, now + DELAY);
        }
        self.waiting -= frames.len();
        Some((link, frames))
    }

    /// The layer above knows that the neighbour delivers (RFC 4861 section 7.3.1).
    #[inline]
    pub(super) fn confirm(&mut self, now: Instant, address: IpAddr, on: InterfaceId, reachable: Duration) {
        let mut slot = self.recent[shortcut(address, on)];
        if !self.matches(slot, address, on) {
            match self.find(address, on) {
                Some(found) => slot = found,
                None => return,
            }
        }
        let Some(e) = self.entry(slot) else { return };
        if matches!(e.state, State::Incomplete | State::Failed) {
            return;
        }
        e.state = State::Reachable;
        e.reachable_until = now + reachable;
        if !e.deadline.is_never() {
            self.set_deadline(slot, Instant::NEVER);
        }
    }

    /// The layer above suspects that the neighbour does not deliver: it is asked at once.
    pub(super) fn doubt(&mut self, now: Instant, address: IpAddr, on: InterfaceId) {
        let Some(slot) = self.find(address, on) else {
            return;
        };
        let Some(e) = self.entry(slot) else { return };
        if matches!(e.state, State::Reachable | State::Stale | State::Delay) {
            e.state = State::Delay;
            self.set_deadline(slot, now);
        }
    }

    /// Whether no time is waited for.
    #[inline]
    pub(super) fn is_timeless(&self) -> bool {
        self.timers.is_empty()
    }
    /// The earliest deadline.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|t| t.0)
    }

    /// One thing whose time has come. Call until `None`.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let &(at, slot) = self.timers.first()?;
        if at > now {
            return None;
        }
        let e = self.entry(slot)?;
        let (address, interface) = (e.address, e.interface);
        if e.state == State::Failed {
            self.remove(slot);
            return Some(Due::Forgotten { address });
        }
        if e.state == State::Delay {
            e.state = State::Probe;
            e.probes = 0;
        }
        if e.probes < SOLICIT_MAX {
            e.probes += 1;
            let link = (e.state == State::Probe).then_some(e.link);
            let next = now + e.retrans;
            self.set_deadline(slot, next);
            return Some(Due::Ask {
                address,
                interface,
                link,
            });
        }
        e.state = State::Failed;
        e.waiting_octets = 0;
        let frames = core::mem::take(&mut e.waiting);
        self.waiting -= frames.len();
        self.set_deadline(slot, now + FAILED);
        Some(Due::Failed { address, frames })
    }

    fn set_deadline(&mut self, slot: u32, at: Instant) {
        let Some(Some(e)) = self.entries.get_mut(slot as usize) else {
            return;
        };
        if !e.deadline.is_never() {
            self.timers.remove(&(e.deadline, slot));
        }
        e.deadline = at;
        if !at.is_never() {
            self.timers.insert((at, slot));
        }
    }

    /// A new incomplete entry, and how many frames were lost to make room for it.
    fn insert(&mut self, now: Instant, address: IpAddr, on: InterfaceId) -> (u32, usize) {
        let lost = if self.table.len() >= ENTRIES_MAX {
            self.evict()
        } else {
            0
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() as u32 - 1
        });
        self.entries[slot as usize] = Some(Entry {
            address,
            interface: on,
            link: [0; 6],
            state: State::Incomplete,
            router: false,
            probes: 0,
            deadline: Instant::NEVER,
            reachable_until: Instant::ZERO,
            retrans: RETRANS_TIMER,
            used: now,
            waiting: VecDeque::new(),
            waiting_octets: 0,
        });
        let (entries, secret) = (&self.entries, &self.key);
        self.table.insert_unique(hash(secret, address, on), slot, |&s| {
            entries[s as usize]
                .as_ref()
                .map_or(0, |e| hash(secret, e.address, e.interface))
        });
        (slot, lost)
    }

    /// Makes room for one: of some entries in turn, that which was unused for longest goes. Returns lost frames.
    fn evict(&mut self) -> usize {
        let mut oldest: Option<(Instant, u32)> = None;
        for _ in 0..CANDIDATES {
            self.hand = (self.hand + 1) % self.entries.len().max(1);
            if let Some(Some(e)) = self.entries.get(self.hand)
                && oldest.is_none_or(|o| e.used < o.0)
            {
                oldest = Some((e.used, self.hand as u32));
            }
        }
        oldest.map_or(0, |(_, slot)| self.remove(slot))
    }

    fn remove(&mut self, slot: u32) -> usize {
        self.set_deadline(slot, Instant::NEVER);
        let Some(e) = self.entries.get_mut(slot as usize).and_then(Option::take) else {
            return 0;
        };
        if let Ok(found) = self
            .table
            .find_entry(hash(&self.key, e.address, e.interface), |&s| s == slot)
        {
            found.remove();
        }
        self.free.push(slot);
        self.waiting -= e.waiting.len();
        e.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Cause;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;
    use std::vec;

    const ETH: InterfaceId = InterfaceId(0);
    const MAC: Address = [2, 0, 0, 0, 0, 9];

    fn host(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }
    fn waiting() -> Waiting {
        let meta = TxMeta {
            interface: ETH,
            gso_size: 0,
            checksum: None,
            cause: Cause::Datagram,
        };
        (Frame::from(vec![0; 100]), meta)
    }
    fn told(link: Address, solicited: bool) -> Told {
        Told {
            link: Some(link),
            solicited,
            replaces: true,
            creates: false,
            router: None,
        }
    }
    fn park(n: &mut Neighbors, at: Instant, address: IpAddr) -> Parked {
        let (frame, meta) = waiting();
        n.park(at, address, ETH, RETRANS_TIMER, frame, meta)
    }
    fn check(n: &Neighbors) {
        let entries = || n.entries.iter().flatten();
        assert_eq!(n.waiting, entries().map(|e| e.waiting.len()).sum::<usize>());
        assert_eq!(n.table.len(), entries().count());
        assert_eq!(
            n.timers.len(),
            entries().filter(|e| !e.deadline.is_never()).count()
        );
        assert!(n.waiting <= WAITING_ALL_MAX && n.table.len() <= ENTRIES_MAX);
        assert!(entries().all(|e| e.waiting.is_empty() || e.state == State::Incomplete));
    }

    /// Proves: 4861-2.
    #[test]
    fn asked_three_times_then_failed_then_forgotten() {
        let mut n = Neighbors::new([0; 16]);
        let at = Instant::from_secs;
        assert_eq!(
            park(&mut n, at(0), host(1)),
            Parked {
                ask: true,
                dropped: 0
            }
        );
        assert_eq!(
            park(&mut n, at(0), host(1)),
            Parked {
                ask: false,
                dropped: 0
            }
        );
        for second in 1..=2 {
            assert_eq!(n.next_timeout(), Some(at(second)));
            assert!(matches!(n.due(at(second)), Some(Due::Ask { link: None, .. })));
        }
        assert!(matches!(n.due(at(3)), Some(Due::Failed { frames, .. }) if frames.len() == 2));
        assert!(n.has_failed(host(1), ETH));
        assert!(park(&mut n, at(4), host(1)).ask, "a new frame starts over");
        while n.next_timeout().is_some() {
            let t = n.next_timeout().unwrap();
            let _ = n.due(t);
            check(&n);
        }
        assert_eq!(n.table.len(), 0);
    }

    #[test]
    fn life_of_an_entry() {
        let mut n = Neighbors::new([0; 16]);
        let at = Instant::from_secs;
        let _ = park(&mut n, at(0), host(1));
        let (link, frames) = n
            .learn(at(0), host(1), ETH, REACHABLE_TIME, told(MAC, true))
            .unwrap();
        assert_eq!((link, frames.len(), n.next_timeout()), (MAC, 1, None));
        assert_eq!(n.resolve(at(29), host(1), ETH), Some(MAC));
        assert_eq!(n.next_timeout(), None);
        // Stale when used: five seconds for the layer above to confirm.
        assert_eq!(n.resolve(at(31), host(1), ETH), Some(MAC));
        assert_eq!(n.next_timeout(), Some(at(36)));
        n.confirm(at(33), host(1), ETH, REACHABLE_TIME);
        assert_eq!(n.next_timeout(), None);
        // Not confirmed: asked itself, three times.
        assert_eq!(n.resolve(at(70), host(1), ETH), Some(MAC));
        for second in 75..78 {
            assert!(matches!(
                n.due(at(second)),
                Some(Due::Ask { link: Some(MAC), .. })
            ));
            assert_eq!(
                n.resolve(at(second), host(1), ETH),
                Some(MAC),
                "still used meanwhile"
            );
        }
        assert!(matches!(n.due(at(78)), Some(Due::Failed { .. })));
        assert_eq!(n.resolve(at(78), host(1), ETH), None);
        check(&n);
    }

    #[test]
    fn who_does_not_insist_only_casts_doubt() {
        let mut n = Neighbors::new([0; 16]);
        let at = Instant::from_secs;
        let _ = park(&mut n, at(0), host(1));
        let _ = n.learn(at(0), host(1), ETH, REACHABLE_TIME, told(MAC, true));
        let other = Told {
            replaces: false,
            ..told([2; 6], false)
        };
        assert!(n.learn(at(1), host(1), ETH, REACHABLE_TIME, other).is_none());
        assert_eq!(n.resolve(at(1), host(1), ETH), Some(MAC));
        assert_eq!(n.next_timeout(), Some(at(6)));
        // Unsolicited messages make no entries (gratuitous ARP).
        assert!(
            n.learn(at(1), host(2), ETH, REACHABLE_TIME, told(MAC, false))
                .is_none()
        );
        assert_eq!(n.table.len(), 1);
    }

    /// Proves: 4861-3.
    #[test]
    fn bounded_in_entries_and_frames() {
        let mut n = Neighbors::new([0; 16]);
        let dropped: usize = (0..100)
            .map(|_| park(&mut n, Instant::ZERO, host(0)).dropped)
            .sum();
        assert_eq!(dropped, 100 - WAITING_MAX);
        let before = n.waiting;
        let dropped: usize = (1..10_000)
            .map(|i| park(&mut n, Instant::from_secs(i), host(i as u32)).dropped)
            .sum();
        assert_eq!(n.waiting, before + 9_999 - dropped);
        check(&n);
    }

    proptest! {
        #[test]
        fn stays_consistent(ops in proptest::collection::vec((0u8..6, 0u32..6, any::<bool>(), 0u64..4000), 1..200)) {
            let mut n = Neighbors::new([5; 16]);
            let mut now = Instant::ZERO;
            for (op, who, flag, ms) in ops {
                match op {
                    0 | 1 => if n.resolve(now, host(who), ETH).is_none() { let _ = park(&mut n, now, host(who)); },
                    2 => { let _ = n.learn(now, host(who), ETH, REACHABLE_TIME, told([who as u8; 6], flag)); }
                    3 => { let t = Told { creates: true, ..told(MAC, false) }; let _ = n.learn(now, host(who), ETH, REACHABLE_TIME, t); }
                    4 => n.confirm(now, host(who), ETH, REACHABLE_TIME),
                    _ => {
                        now += Duration::from_millis(ms);
                        while let Some(due) = n.due(now) {
                            if let Due::Ask { .. } = due { prop_assert!(n.next_timeout().is_some()); }
                        }
                        prop_assert!(n.next_timeout().is_none_or(|t| t > now));
                    }
                }
                check(&n);
            }
        }
    }
}
