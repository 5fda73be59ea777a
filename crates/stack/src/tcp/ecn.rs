//! Explicit congestion notification (RFC 3168; RFC 8311 lifts what stood in the way of experiments, none of which is
//! here).
//!
//! ```text
//!   sender                router               receiver
//!     |-- data, ECT(0) ----->|-- data, CE ---------->|   congested: marked, not dropped
//!     |<------------- ACK, ECE ----------------------|   until CWR comes
//!     |-- data, CWR -------->|---------------------->|   cwnd is reduced, once a window
//! ```
//!
//! Retransmissions, window probes, acknowledgments and SYNs are never ECN-capable (sections 6.1.1, 6.1.4 to 6.1.6): a
//! lost one would go unnoticed, or could be forged.

use super::conn::{Fact, Recovery, Tcb};
use super::egress::{Kind, Plan};
use super::scope::Scope;
use super::{EcnField, Flags, Segment, SeqNumber};
use crate::config::{Config, Ecn};
use crate::trace::{AckCause, Cause, CongestionChange};

use super::choices::TcpOptions;

/// What a socket's options and the stack's settings make of it.
pub(crate) fn setting(options: &TcpOptions, config: &Config) -> Ecn {
    options.ecn.unwrap_or(config.ecn)
}

/// ECE and CWR: an ECN-setup SYN (section 6.1.1).
pub(crate) fn is_setup_syn(seg: &Segment) -> bool {
    seg.has(Flags::ECE) && seg.has(Flags::CWR)
}

/// Whether the answer to an ECN-setup SYN agrees: another one, or a SYN,ACK with ECE alone, since both bits are what a host sends
/// back that reflects the reserved bits of a SYN.
#[inline]
pub(crate) fn agrees(seg: &Segment) -> bool {
    seg.has(Flags::ECE) && seg.has(Flags::CWR) != seg.has(Flags::ACK)
}

/// Whether a segment goes ECN-capable: new data alone.
#[inline]
pub(crate) fn is_capable(tcb: &Tcb, plan: &Plan) -> bool {
    tcb.facts.contains(Fact::ECT)
        && plan.kind == Kind::New
        && plan.len > 0
        && plan.seq == tcb.snd_nxt
        && !matches!(plan.cause, Cause::WindowProbe(_))
}

/// The most new data that may go in one run: the CWR bit stands on its first segment alone.
#[inline]
pub(crate) fn run_limit(tcb: &Tcb, room: u32) -> u32 {
    if tcb.facts.contains(Fact::CWR_OWED) {
        room.min(u32::from(tcb.snd_mss))
    } else {
        room
    }
}

/// The flags and the ECN field of a segment that is about to leave.
#[inline(always)]
pub(crate) fn outgoing(tcb: &Tcb, plan: &Plan) -> (Flags, EcnField) {
    if tcb.facts.contains(Fact::ECN) {
        outgoing_where_agreed(tcb, plan)
    } else {
        (Flags::empty(), EcnField::NotEct)
    }
}

#[inline(never)]
fn outgoing_where_agreed(tcb: &Tcb, plan: &Plan) -> (Flags, EcnField) {
    let mut flags = Flags::empty();
    if tcb.facts.contains(Fact::ECE_OWED) {
        flags |= Flags::ECE;
    }
    if !is_capable(tcb, plan) {
        return (flags, EcnField::NotEct);
    }
    if tcb.facts.contains(Fact::CWR_OWED) {
        flags |= Flags::CWR;
    }
    (flags, EcnField::Ect0)
}

/// New text has come (section 6.1.3): a CE mark is echoed until the peer says CWR. Both are acknowledged at once, since the
/// peer's window may be as small as what it waits for.
#[inline]
pub(crate) fn text_arrives(tcb: &mut Tcb, flags: Flags, ecn: EcnField) {
    let news = ecn == EcnField::Ce || flags.contains(Flags::CWR);
    if news && tcb.facts.contains(Fact::ECN) {
        marked_text_arrives(tcb, flags, ecn);
    }
}

#[cold]
fn marked_text_arrives(tcb: &mut Tcb, flags: Flags, ecn: EcnField) {
    use super::conn::AckOwed;
    if flags.contains(Flags::CWR) {
        tcb.facts.remove(Fact::ECE_OWED);
        tcb.ack_owed = AckOwed::Now(AckCause::WindowReduced);
    }
    if ecn == EcnField::Ce {
        let marks = tcb.marks_mut();
        marks.ce_received = marks.ce_received.wrapping_add(1);
        if !tcb.facts.contains(Fact::ECE_OWED) {
            tcb.facts.insert(Fact::ECE_OWED);
            tcb.ack_owed = AckOwed::Now(AckCause::CongestionMark);
        }
    }
}

/// Whether an ACK echoes a mark (section 6.1.2). Such an ACK never grows the window.
#[inline]
pub(crate) fn is_echo(tcb: &mut Tcb, seg: &Segment) -> bool {
    let echo = seg.has(Flags::ECE) && tcb.facts.contains(Fact::ECT) && !seg.ack.before(tcb.snd_una);
    if echo {
        let marks = tcb.marks_mut();
        marks.ece_received = marks.ece_received.wrapping_add(1);
    }
    echo
}

/// The peer echoed a mark, with `flight` octets in flight before its ACK: the window is reduced as for a loss, but once a
/// window of data, and not where loss has reduced it already (sections 6.1.2 and 6.1.3).
#[cold]
pub(crate) fn echo_arrives(tcb: &mut Tcb, cx: &mut Scope<'_>, flight: u32) {
    // Until something sent after the reduction is acknowledged, ECE may still answer the same mark.
    let answered = tcb.marks().reduced_at.is_some_and(|at| !tcb.snd_una.after(at));
    if flight == 0 || answered || tcb.recovery != Recovery::Open {
        return;
    }
    let flight = flight.min(tcb.congestion.cwnd());
    tcb.congestion.on_mark(cx.now, flight, u32::from(tcb.snd_mss));
    window_reduced(tcb);
    cx.congestion(tcb, Some(CongestionChange::Marked));
}

/// The window was reduced, for whatever reason: "the TCP sender sets the CWR flag in the TCP header of the first new data
/// packet sent after the window reduction" (section 6.1.2).
pub(crate) fn window_reduced(tcb: &mut Tcb) {
    if tcb.facts.contains(Fact::ECT) {
        tcb.facts.insert(Fact::CWR_OWED);
        tcb.marks_mut().reduced_at = Some(tcb.snd_nxt);
    }
}

/// Whether the window was already reduced since the octet at `lost` was sent.
pub(crate) fn was_reduced_since(tcb: &Tcb, lost: SeqNumber) -> bool {
    tcb.marks().reduced_at.is_some_and(|at| lost.before(at))
}
