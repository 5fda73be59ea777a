//! The window that we offer (RFC 9293 sections 3.8.6 and 3.8.6.2.2).

use crate::tcp::SeqNumber;
use crate::tcp::conn::Tcb;

/// Where the right edge may be put now. It never moves left (SHLD-14), and moves right only by a worthwhile step: a full
/// segment or half the buffer (receiver silly-window avoidance, MUST-39).
pub(crate) fn right_edge(tcb: &Tcb) -> SeqNumber {
    let in_order = tcb.rcv_buf.saturating_sub(tcb.readable() as u32);
    // Scaled windows are told in units: round down, so that what is told is what is meant.
    let offered = (in_order >> tcb.rcv_wscale << tcb.rcv_wscale).min(u32::from(u16::MAX) << tcb.rcv_wscale);
    let edge = tcb.rcv_nxt + offered;
    let step = u32::from(tcb.rcv_mss).min(tcb.rcv_buf / 2).max(1);
    let worthwhile = edge.after(tcb.rcv_adv) && edge.since(tcb.rcv_adv) >= step;
    if worthwhile {
        edge
    } else {
        tcb.rcv_adv.later(tcb.rcv_nxt)
    }
}

/// Whether reading has opened the window enough to tell the peer without waiting for its next segment: by two full
/// segments or half the buffer, and at once when it was closed or nearly so.
#[inline]
pub(crate) fn update_due(tcb: &Tcb) -> bool {
    // With more than half the buffer told and not used, no step to the right is worth it.
    let told = tcb.rcv_wnd();
    if told > tcb.rcv_buf - tcb.rcv_buf / 2 && told >= u32::from(tcb.rcv_mss) {
        return false;
    }
    update_is_due(tcb)
}

#[inline(never)]
fn update_is_due(tcb: &Tcb) -> bool {
    let edge = right_edge(tcb);
    if !edge.after(tcb.rcv_adv) {
        return false;
    }
    let gain = edge.since(tcb.rcv_adv);
    let nearly_closed = tcb.rcv_wnd() < u32::from(tcb.rcv_mss);
    gain >= tcb.rcv_buf / 2 || nearly_closed
}

/// The window field: the distance to the right edge, scaled, rounded up to a unit so that the edge does not seem to
/// move left between two segments.
pub(crate) fn field(tcb: &Tcb) -> u16 {
    let rest = (1u32 << tcb.rcv_wscale) - 1;
    (tcb.rcv_wnd().saturating_add(rest) >> tcb.rcv_wscale).min(u32::from(u16::MAX)) as u16
}
