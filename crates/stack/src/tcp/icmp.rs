//! What ICMP says of a connection (RFC 9293 section 3.9.2.2, RFC 5927), and paths that take smaller packets.

use super::SeqNumber;
use super::conn::{Fact, Recovery};
use super::dispatch::Around;
use super::table::{Slot, Tcp};
use crate::demux::{Entry, FourTuple, Kind};
use crate::error::ConnectionError;
use crate::iface::{IcmpError, IcmpNotice};
use crate::stack::Readiness;
use crate::trace::{DropReason, Transition};

impl Tcp {
    /// An ICMP error about a segment of ours (MUST-54..56, SHLD-25, SHLD-26, RFC 5927).
    pub(crate) fn handle_icmp(&mut self, cx: &mut Around<'_, '_>, notice: &IcmpNotice) {
        let tuple = FourTuple::new(
            notice.local.ip(),
            notice.local.port(),
            notice.remote.ip(),
            notice.remote.port(),
        );
        let Some(entry) = self.find(&tuple).filter(|e| e.kind() == Kind::Connection) else {
            return self.dropped(cx.env, &tuple, DropReason::IcmpMismatch);
        };
        let error = match notice.error {
            IcmpError::PortUnreachable | IcmpError::ProtocolUnreachable => ConnectionError::PortUnreachable,
            _ => ConnectionError::Unreachable,
        };
        let hard = matches!(error, ConnectionError::PortUnreachable);
        match self.tables.sockets.at_mut(entry.slot()) {
            Some(Slot::SynSent(opening)) => {
                if notice.sequence.is_some_and(|s| SeqNumber(s) != opening.iss) {
                    return self.dropped(cx.env, &tuple, DropReason::IcmpMismatch);
                }
                if let IcmpError::PacketTooBig { .. } = notice.error {
                    return;
                }
                if hard {
                    let refused = ConnectionError::Refused;
                    return self.fail_open(cx.env, cx.events, entry.slot(), refused, Transition::Icmp);
                }
                opening.soft_error = Some(error);
                opening.pending |= Readiness::SOFT_ERROR;
                let id = opening.id;
                self.announce(cx.events, id);
            }
            Some(Slot::Open(tcb)) => {
                // RFC 5927 section 4.1: the quoted octet must be in flight.
                let in_flight = notice.sequence.is_some_and(|s| {
                    SeqNumber(s).within(tcb.snd_una, tcb.outstanding()) && tcb.outstanding() > 0
                });
                if !in_flight {
                    return self.dropped(cx.env, &tuple, DropReason::IcmpMismatch);
                }
                let id = tcb.id;
                if let IcmpError::PacketTooBig { mtu } = notice.error {
                    cx.ip.packet_too_big(cx.env, tuple.remote(), mtu);
                    return self.shrink(cx, entry.slot());
                }
                // On a synchronised connection every ICMP error is soft (RFC 5461; SHLD-26 weighed against RFC 5927).
                tcb.soft_error = Some(error);
                tcb.pending |= Readiness::SOFT_ERROR;
                self.announce(cx.events, id);
            }
            Some(Slot::Fresh(_) | Slot::Listener(_)) | None => {}
        }
    }

    /// The path takes smaller packets than was thought: what did not fit goes again in smaller pieces at once, which is no
    /// sign of congestion (RFC 1191 section 6.3, RFC 8201 section 5.4).
    fn shrink(&mut self, cx: &mut Around<'_, '_>, slot: u32) {
        let Some((tcb, scope)) = self.open(cx.env, cx.events, slot) else {
            return;
        };
        let before = tcb.snd_mss;
        if let Some(route) = cx.ip.route(tcb.tuple.remote(), Some(tcb.tuple.local()), None) {
            tcb.path = route.into();
            tcb.route_generation = cx.ip.generation();
            tcb.set_mss();
        }
        if tcb.snd_mss < before {
            tcb.recovery = Recovery::Loss {
                recover: tcb.snd_nxt,
                next: tcb.snd_una,
            };
            tcb.facts.remove(Fact::TIMED);
            tcb.rexmt_at = scope.now + tcb.rto(scope.config);
            tcb.facts.insert(Fact::PATH_SHRUNK);
        }
        self.kick(Entry::new(Kind::Connection, slot));
    }
}
