//! Joining and leaving multicast groups, and telling routers: IGMP (RFC 3376, RFC 2236) and MLD (RFC 3810, RFC 2710).

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::{ALL_NODES, ALL_SYSTEMS, scope};
use super::control::To;
use super::groups::{Change, Old, Report};
use super::layer::IpLayer;
use super::receive::{Facts, Received, Rx};
use super::{Env, NotAGroup};
use crate::InterfaceId;
use crate::frame::Frame;
use crate::trace::{Cause, DropReason};
use crate::wire::{RecordKind, igmp, mld};

/// Records a report carries at most: 60 of MLD's 20 octets fit every IPv6 link.
const RECORDS_MAX: usize = 60;

/// Whether a group is never told: every host is a member, or it does not leave the host (RFC 3376 section 5, RFC 3810
/// section 6).
fn silent(group: IpAddr) -> bool {
    group == IpAddr::V4(ALL_SYSTEMS)
        || group == IpAddr::V6(ALL_NODES)
        || (group.is_ipv6() && scope(group) <= 1)
}

impl IpLayer {
    /// Listens to a group on an interface; each join needs a leave.
    ///
    /// # Errors
    /// [`NotAGroup`] for an address that is none, an unknown interface, or one with too many groups.
    pub(crate) fn join(
        &mut self,
        env: &mut Env<'_>,
        group: IpAddr,
        on: InterfaceId,
    ) -> Result<(), NotAGroup> {
        if !group.is_multicast() {
            return Err(NotAGroup);
        }
        match self.join_group(env, on, group) {
            Change::Refused => Err(NotAGroup),
            Change::None | Change::Tell => Ok(()),
        }
    }

    /// Undoes a join.
    ///
    /// # Errors
    /// [`NotAGroup`] if there was none.
    pub(crate) fn leave(
        &mut self,
        env: &mut Env<'_>,
        group: IpAddr,
        on: InterfaceId,
    ) -> Result<(), NotAGroup> {
        match self.leave_group(env, on, group) {
            Change::Refused => Err(NotAGroup),
            Change::None | Change::Tell => Ok(()),
        }
    }

    /// Whether we listen to a group on an interface (`None`: on any). Copies of what we send ourselves come by the
    /// loopback interface, which stands for any.
    pub(crate) fn is_member(&self, group: IpAddr, on: Option<InterfaceId>) -> bool {
        if group == IpAddr::V4(ALL_SYSTEMS) || group == IpAddr::V6(ALL_NODES) {
            return true;
        }
        match on.filter(|&i| i != InterfaceId::LOOPBACK) {
            Some(id) => self.interface(id).is_some_and(|i| i.groups.contains(group)),
            None => {
                let all = self.interfaces.iter().chain([&self.loopback]);
                all.into_iter().any(|i| i.groups.contains(group))
            }
        }
    }

    pub(super) fn join_group(&mut self, env: &mut Env<'_>, on: InterfaceId, group: IpAddr) -> Change {
        let quiet = silent(group) || on == InterfaceId::LOOPBACK;
        let Some(i) = self.interface_mut(on) else {
            return Change::Refused;
        };
        let change = i.groups.join(group, quiet);
        self.tell(env, on, group, change)
    }

    pub(super) fn leave_group(&mut self, env: &mut Env<'_>, on: InterfaceId, group: IpAddr) -> Change {
        let quiet = silent(group) || on == InterfaceId::LOOPBACK;
        let Some(i) = self.interface_mut(on) else {
            return Change::Refused;
        };
        let change = i.groups.leave(group, quiet);
        self.tell(env, on, group, change)
    }

    fn tell(&mut self, env: &mut Env<'_>, on: InterfaceId, group: IpAddr, change: Change) -> Change {
        if change == Change::Tell
            && let Some(i) = self.interface_mut(on)
            && let Some(report) = i.groups.tell(env.now, env.rng, group)
        {
            self.report(env, on, &[(group, report)]);
            self.reschedule(on);
        }
        change
    }

    /// Sends the reports that are due on an interface.
    pub(super) fn groups_due(&mut self, env: &mut Env<'_>, on: InterfaceId) {
        for v4 in [true, false] {
            let Some(i) = self.interface_mut(on) else { return };
            let reports = i.groups.due(env.now, env.rng, v4);
            for chunk in reports.chunks(RECORDS_MAX) {
                self.report(env, on, chunk);
            }
        }
    }

    /// Sends reports of one family, in the version that the link's querier understands.
    fn report(&mut self, env: &mut Env<'_>, on: InterfaceId, reports: &[(IpAddr, Report)]) {
        let Some(i) = self.interface(on) else { return };
        let old = |version| i.groups.has_old(env.now, version);
        match reports.first() {
            Some((IpAddr::V4(_), _)) if old(Old::Igmp1) => {
                self.report_old_v4(env, on, reports, igmp::Version::V1)
            }
            Some((IpAddr::V4(_), _)) if old(Old::Igmp2) => {
                self.report_old_v4(env, on, reports, igmp::Version::V2)
            }
            Some((IpAddr::V6(_), _)) if old(Old::Mld1) => self.report_old_v6(env, on, reports),
            Some((IpAddr::V4(_), _)) => {
                let records: Vec<_> = reports.iter().filter_map(record_v4).collect();
                let mut message = vec![0; igmp::report_len(&records)];
                igmp::emit_report(&records, &mut message);
                self.send_igmp(env, on, igmp::REPORT_ADDRESS, &message);
            }
            Some((IpAddr::V6(_), _)) => {
                let records: Vec<_> = reports.iter().filter_map(record_v6).collect();
                let mut message = vec![0; mld::report_len(&records)];
                mld::emit_report(&records, &mut message);
                self.send_mld(env, on, mld::REPORT_ADDRESS, &mut message);
            }
            None => {}
        }
    }

    fn report_old_v4(
        &mut self,
        env: &mut Env<'_>,
        on: InterfaceId,
        reports: &[(IpAddr, Report)],
        version: igmp::Version,
    ) {
        for &(group, report) in reports {
            let IpAddr::V4(group) = group else { continue };
            let mut message = [0; igmp::V2_LEN];
            match report {
                Report::Left if version == igmp::Version::V1 => {} // It times out there (RFC 1112).
                Report::Left => {
                    igmp::emit_leave(group, &mut message);
                    self.send_igmp(env, on, igmp::ALL_ROUTERS, &message);
                }
                Report::Joined | Report::Current => {
                    igmp::emit_report_for(version, group, &mut message);
                    self.send_igmp(env, on, group, &message);
                }
            }
        }
    }

    fn report_old_v6(&mut self, env: &mut Env<'_>, on: InterfaceId, reports: &[(IpAddr, Report)]) {
        for &(group, report) in reports {
            let IpAddr::V6(group) = group else { continue };
            let mut message = [0; mld::V1_LEN];
            let to = if report == Report::Left {
                mld::emit_done(group, &mut message);
                mld::ALL_ROUTERS
            } else {
                mld::emit_report_v1(group, &mut message);
                group
            };
            self.send_mld(env, on, to, &mut message);
        }
    }

    fn send_mld(&mut self, env: &mut Env<'_>, on: InterfaceId, destination: Ipv6Addr, message: &mut [u8]) {
        let to = To {
            // RFC 3810 section 5.2.13: link-local, or nothing while there is none.
            source: self.link_local(on).unwrap_or(Ipv6Addr::UNSPECIFIED),
            destination,
            link: None,
        };
        self.send_control_v6(env, on, to, message, true, Cause::Membership);
    }

    /// Takes a membership message of IPv4: queries are answered after a random time.
    pub(super) fn receive_igmp(
        &mut self,
        env: &mut Env<'_>,
        rx: Rx,
        frame: &mut Frame,
        facts: Facts,
    ) -> Received<'static> {
        frame.pull_up(frame.len());
        let message = igmp::parse(frame.front().get(facts.at..).unwrap_or_default())?;
        let Some(i) = self.interface_mut(rx.on) else {
            return Err(DropReason::NoInterface);
        };
        match message {
            igmp::Message::Query(q) => {
                match q.version {
                    igmp::Version::V1 => i.groups.old_querier(env.now, Old::Igmp1),
                    igmp::Version::V2 => i.groups.old_querier(env.now, Old::Igmp2),
                    igmp::Version::V3 => {}
                }
                let old = i.groups.has_old(env.now, Old::Igmp1) || i.groups.has_old(env.now, Old::Igmp2);
                i.groups
                    .queried(env.now, env.rng, q.group.into(), q.max_response, !old);
                self.reschedule(rx.on);
            }
            igmp::Message::ReportV1 { group } | igmp::Message::ReportV2 { group } => {
                i.groups.answered_by_other(group.into());
                self.reschedule(rx.on);
            }
            igmp::Message::LeaveV2 { .. } | igmp::Message::ReportV3 { .. } => {}
        }
        Ok(None)
    }

    /// The same for IPv6.
    pub(super) fn receive_mld(
        &mut self,
        env: &mut Env<'_>,
        rx: Rx,
        frame: &mut Frame,
        facts: Facts,
    ) -> Received<'static> {
        let IpAddr::V6(source) = facts.source else {
            return Err(DropReason::Malformed);
        };
        if !facts.router_alert {
            return Err(DropReason::Malformed); // RFC 3810 section 5.1: a router may not have looked at it
        }
        frame.pull_up(frame.len());
        let message = frame.front().get(facts.at..).unwrap_or_default();
        let message = mld::parse(message, source, facts.hop_limit)?;
        let Some(i) = self.interface_mut(rx.on) else {
            return Err(DropReason::NoInterface);
        };
        match message {
            mld::Message::Query(q) => {
                if q.version == mld::Version::V1 {
                    i.groups.old_querier(env.now, Old::Mld1);
                }
                let old = i.groups.has_old(env.now, Old::Mld1);
                i.groups
                    .queried(env.now, env.rng, q.group.into(), q.max_response, !old);
                self.reschedule(rx.on);
            }
            mld::Message::ReportV1 { group } => {
                i.groups.answered_by_other(group.into());
                self.reschedule(rx.on);
            }
            mld::Message::DoneV1 { .. } | mld::Message::ReportV2 { .. } => {}
        }
        Ok(None)
    }
}

fn kind(report: Report) -> RecordKind {
    match report {
        Report::Joined => RecordKind::ToExclude,
        Report::Left => RecordKind::ToInclude,
        Report::Current => RecordKind::IsExclude,
    }
}

fn record_v4(&(group, report): &(IpAddr, Report)) -> Option<igmp::Record<'static>> {
    const NONE: &[Ipv4Addr] = &[];
    let IpAddr::V4(group) = group else { return None };
    Some(igmp::Record {
        kind: kind(report),
        group,
        sources: NONE,
    })
}

fn record_v6(&(group, report): &(IpAddr, Report)) -> Option<mld::Record<'static>> {
    const NONE: &[Ipv6Addr] = &[];
    let IpAddr::V6(group) = group else { return None };
    Some(mld::Record {
        kind: kind(report),
        group,
        sources: NONE,
    })
}
