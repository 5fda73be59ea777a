//! Which multicast groups an interface listens to, and when it has to tell routers (RFC 3376, RFC 3810).

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Groups of an interface; joins beyond them are refused.
const GROUPS_MAX: usize = 1024;
/// Robustness Variable (RFC 3376 section 8.1, RFC 3810 section 9.1): how often a change is told.
const ROBUSTNESS: u8 = 2;
/// Unsolicited Report Interval (RFC 3376 section 8.11, RFC 3810 section 9.11): the repetition follows within it.
const REPEAT_WITHIN: Duration = Duration::from_secs(1);
/// Older Version Querier Present Timeout: robustness times query interval plus response interval (RFC 3376 section 8.12).
const OLD_QUERIER: Duration = Duration::from_secs(2 * 125 + 10);

/// What is to be told of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Report {
    Joined,
    Left,
    /// Answer to a query.
    Current,
}

#[derive(Debug)]
struct Group {
    address: IpAddr,
    /// Sockets and addresses that want it; at zero it is only kept until its leave has been told often enough.
    members: u32,
    /// How often the last change is still to be told, and when next.
    changes: u8,
    change_at: Instant,
    /// When to answer a query.
    answer_at: Instant,
}

/// The memberships of one interface.
#[derive(Debug)]
pub(super) struct Groups {
    /// Sorted by address.
    list: Vec<Group>,
    /// Until when an old querier is believed to be there; IGMPv1, IGMPv2, MLDv1.
    old_until: [Instant; 3],
}

/// An old version of the query protocols.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Old {
    Igmp1 = 0,
    Igmp2 = 1,
    Mld1 = 2,
}

/// What became of a join or leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(super) enum Change {
    /// Others want or wanted it too.
    None,
    /// It is to be told.
    Tell,
    /// The interface has too many groups, or was no member.
    Refused,
}

impl Groups {
    pub(super) fn new() -> Self {
        Groups {
            list: Vec::new(),
            old_until: [Instant::ZERO; 3],
        }
    }
    fn find(&self, group: IpAddr) -> Result<usize, usize> {
        self.list.binary_search_by_key(&group, |g| g.address)
    }
    #[inline]
    pub(super) fn contains(&self, group: IpAddr) -> bool {
        self.find(group).is_ok_and(|at| self.list[at].members > 0)
    }
    /// One more wants it. `silent` groups are never told.
    pub(super) fn join(&mut self, group: IpAddr, silent: bool) -> Change {
        let at = match self.find(group) {
            Ok(at) => at,
            Err(_) if self.list.len() >= GROUPS_MAX => return Change::Refused,
            Err(at) => {
                self.list.insert(
                    at,
                    Group {
                        address: group,
                        members: 0,
                        changes: 0,
                        change_at: Instant::NEVER,
                        answer_at: Instant::NEVER,
                    },
                );
                at
            }
        };
        let g = &mut self.list[at];
        g.members = g.members.saturating_add(1);
        if g.members > 1 || silent {
            return Change::None;
        }
        g.changes = ROBUSTNESS;
        Change::Tell
    }
    /// One fewer wants it.
    pub(super) fn leave(&mut self, group: IpAddr, silent: bool) -> Change {
        let Some(at) = self.find(group).ok().filter(|&at| self.list[at].members > 0) else {
            return Change::Refused;
        };
        let g = &mut self.list[at];
        g.members -= 1;
        if g.members > 0 {
            return Change::None;
        }
        if silent {
            self.list.remove(at);
            return Change::None;
        }
        g.changes = ROBUSTNESS;
        g.answer_at = Instant::NEVER;
        Change::Tell
    }
    /// A change of this group is told now: what it is, and the time of its repetition is set.
    pub(super) fn tell(&mut self, now: Instant, rng: &mut Rng, group: IpAddr) -> Option<Report> {
        let at = self.find(group).ok()?;
        let g = &mut self.list[at];
        let report = if g.members > 0 {
            Report::Joined
        } else {
            Report::Left
        };
        g.changes = g.changes.saturating_sub(1);
        g.change_at = Instant::NEVER;
        if g.changes > 0 {
            g.change_at = now + within(rng, REPEAT_WITHIN);
        } else if g.members == 0 {
            self.list.remove(at);
        }
        Some(report)
    }
    /// A router asks for `group`, or for all of a family.
    pub(super) fn queried(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        group: IpAddr,
        max_response: Duration,
        together: bool,
    ) {
        let all = group.is_unspecified();
        // One delay for all where one report answers for all; one for each where each has its own.
        let mut delay = within(rng, max_response);
        for g in &mut self.list {
            let asked = if all {
                g.address.is_ipv4() == group.is_ipv4()
            } else {
                g.address == group
            };
            if asked && g.members > 0 {
                g.answer_at = g.answer_at.min(now + delay);
                if !together {
                    delay = within(rng, max_response);
                }
            }
        }
    }
    /// Somebody else answered for the group, which is enough for an old querier (RFC 2236 section 3).
    pub(super) fn answered_by_other(&mut self, group: IpAddr) {
        if let Ok(at) = self.find(group) {
            self.list[at].answer_at = Instant::NEVER;
        }
    }
    pub(super) fn old_querier(&mut self, now: Instant, version: Old) {
        self.old_until[version as usize] = now + OLD_QUERIER;
    }
    pub(super) fn has_old(&self, now: Instant, version: Old) -> bool {
        now < self.old_until[version as usize]
    }
    pub(super) fn next_timeout(&self) -> Instant {
        self.list
            .iter()
            .fold(Instant::NEVER, |t, g| t.min(g.change_at).min(g.answer_at))
    }
    /// The reports of a family that are due.
    pub(super) fn due(&mut self, now: Instant, rng: &mut Rng, v4: bool) -> Vec<(IpAddr, Report)> {
        let mut reports = Vec::new();
        let mut changes = Vec::new();
        for g in self.list.iter_mut().filter(|g| g.address.is_ipv4() == v4) {
            if g.change_at <= now {
                changes.push(g.address);
            }
            if g.answer_at <= now {
                g.answer_at = Instant::NEVER;
                reports.push((g.address, Report::Current));
            }
        }
        for group in changes {
            reports.extend(self.tell(now, rng, group).map(|r| (group, r)));
        }
        reports
    }
}

/// A random time of up to `span`, never zero.
fn within(rng: &mut Rng, span: Duration) -> Duration {
    let micros = u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
    Duration::from_micros(u64::from(rng.below(micros)) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves: 3376-2, 3810-2.
    #[test]
    fn changes_are_told_twice_and_leaves_forgotten() {
        let (mut g, mut rng) = (Groups::new(), Rng::new([1; 32]));
        let group: IpAddr = "239.1.2.3".parse().unwrap();
        let at = Instant::from_secs;
        assert_eq!(g.join(group, false), Change::Tell);
        assert_eq!(g.tell(at(0), &mut rng, group), Some(Report::Joined));
        assert_eq!(g.join(group, false), Change::None);
        assert!(g.next_timeout() <= at(1));
        assert_eq!(g.due(at(1), &mut rng, true), [(group, Report::Joined)]);
        assert!(g.next_timeout().is_never());
        assert_eq!(g.leave(group, false), Change::None);
        assert_eq!(g.leave(group, false), Change::Tell);
        assert!(!g.contains(group));
        assert_eq!(g.leave(group, false), Change::Refused);
        assert_eq!(g.tell(at(5), &mut rng, group), Some(Report::Left));
        assert_eq!(g.due(at(6), &mut rng, true), [(group, Report::Left)]);
        assert!(g.list.is_empty());
    }

    #[test]
    fn bounded() {
        let mut g = Groups::new();
        let group = |n: u32| IpAddr::from(core::net::Ipv4Addr::from_bits(0xe800_0000 + n));
        for n in 0..GROUPS_MAX as u32 {
            assert_eq!(g.join(group(n), true), Change::None);
        }
        assert_eq!(g.join(group(5000), false), Change::Refused);
    }
}
