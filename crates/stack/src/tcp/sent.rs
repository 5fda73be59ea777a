//! The book-keeping of segments that leave: what they acknowledge and tell, when they are to come again.

use core::hint::cold_path;

use super::SeqNumber;
use super::conn::{AckOwed, Fact, FinIn, FinOut, ProbeOwed, Recovery, Tcb};
use super::egress::{Kind, Plan, sack_space};
use super::recv::window;
use super::scope::{Scope, trace_congestion};
use crate::config::{Config, Profile};
use crate::time::Instant;
use crate::trace::{Cause, CongestionChange, RetransmitCause, Timer, Trace, TraceKind, TraceMask};

/// Does the book-keeping of a segment that is about to leave.
#[inline(always)]
pub(crate) fn commit(tcb: &mut Tcb, cx: &mut Scope<'_>, plan: &Plan) {
    let end = plan.seq + plan.len + u32::from(plan.fin);
    if plan.fin && tcb.fin_out == FinOut::Queued {
        tcb.fin_out = FinOut::Sent;
    }
    match plan.kind {
        Kind::New => sent_new(tcb, cx, plan, end),
        Kind::Again => sent_again(tcb, cx, plan, end),
        Kind::Bare | Kind::Probe => {}
    }
    if plan.kind != Kind::Bare {
        tcb.probe_owed = ProbeOwed::No;
    }
    acknowledged_now(tcb, plan);
}

/// Any segment tells what we have received and take, so no acknowledgment is owed any more: the window field that tells it.
#[inline(always)]
fn told_all(tcb: &mut Tcb) -> u16 {
    tcb.last_ack_sent = tcb.rcv_nxt;
    let field = window::field(tcb);
    let told = tcb.rcv_nxt + (u32::from(field) << tcb.rcv_wscale);
    tcb.rcv_adv = tcb.rcv_adv.later(told);
    tcb.ack_owed = AckOwed::No;
    tcb.ack_at = Instant::NEVER;
    field
}

/// Moves the window's right edge as far as it may go, since a segment is about to tell it: the window field of that, which
/// leaves no acknowledgment owed.
#[inline(always)]
pub(crate) fn tell_window(tcb: &mut Tcb) -> u16 {
    move_edge(tcb);
    told_all(tcb)
}

/// What any segment does: nothing of the kind is owed any more, nor a report of duplicates that found room.
#[inline(always)]
fn acknowledged_now(tcb: &mut Tcb, plan: &Plan) {
    told_all(tcb);
    tcb.facts.remove(Fact::UPDATE_OWED);
    if plan.kind == Kind::Bare {
        tcb.dup_acks_owed = tcb.dup_acks_owed.saturating_sub(1);
    }
    if sack_space(tcb, plan) > 0 {
        tcb.dsack = None;
    }
}

#[inline(always)]
fn sent_new(tcb: &mut Tcb, cx: &mut Scope<'_>, plan: &Plan, end: SeqNumber) {
    if cx.config.profile == Profile::Linux && plan.len > 0 {
        let since = (cx.now.as_millis() as u32).wrapping_sub(tcb.last_text);
        let soon = u64::from(since) < cx.config.delayed_ack.as_millis();
        tcb.facts
            .set(Fact::INTERACTIVE, soon || tcb.facts.contains(Fact::INTERACTIVE));
    }
    if super::ecn::is_capable(tcb, plan) {
        tcb.facts.remove(Fact::CWR_OWED);
    }
    let idle = tcb.outstanding() == 0;
    tcb.last_sent = cx.now;
    if !tcb.facts.contains(Fact::TIMED) && tcb.recovery == Recovery::Open {
        tcb.facts.insert(Fact::TIMED);
        tcb.timing = (end, cx.now.as_micros() as u32);
    }
    let mss = u32::from(tcb.snd_mss);
    if plan.len > 0 && (plan.len < mss || !plan.len.is_multiple_of(mss)) {
        tcb.small_end = plan.seq + plan.len;
    }
    tcb.snd_nxt = tcb.snd_nxt.later(end);
    if idle {
        tcb.stalled_since = cx.now;
    }
    if idle || tcb.rexmt_at.is_never() {
        arm(tcb, cx);
    }
    let limited = tcb.unsent() == 0 && tcb.flight() < tcb.congestion.cwnd();
    tcb.facts.set(Fact::APP_LIMITED, limited);
    debug_assert!(plan.len == 0 || plan.seq.at_or_before(tcb.snd_nxt));
}

fn sent_again(tcb: &mut Tcb, cx: &mut Scope<'_>, plan: &Plan, end: SeqNumber) {
    tcb.retransmits = tcb.retransmits.wrapping_add(1);
    tcb.facts.remove(Fact::TIMED); // Karn's rule
    if tcb.first_again == 0
        && matches!(
            plan.cause,
            Cause::Retransmit(RetransmitCause::Timeout { .. } | RetransmitCause::Fast)
        )
    {
        tcb.first_again = tcb.ts_now(cx.now).max(1);
    }
    match &mut tcb.recovery {
        Recovery::Loss { next, .. } => *next = next.later(end),
        Recovery::Fast {
            high_rxt, rescued, ..
        } => match plan.cause {
            Cause::Retransmit(RetransmitCause::Rescue) => *rescued = true,
            _ => *high_rxt = high_rxt.later(end),
        },
        Recovery::Open => {}
    }
    // RFC 6675 section 5: the timer restarts with the first retransmission of recovery; RFC 6298 section 5.1 otherwise.
    if tcb.rexmt_at.is_never() || matches!(plan.cause, Cause::Retransmit(RetransmitCause::Fast)) {
        arm(tcb, cx);
    }
}

#[inline]
fn arm(tcb: &mut Tcb, cx: &mut Scope<'_>) {
    if tcb.facts.contains(Fact::PROBING) {
        return; // the persist timer runs instead
    }
    arm_for(tcb, cx.now, cx.config, cx.trace);
}

#[inline(always)]
fn arm_for(tcb: &mut Tcb, now: Instant, config: &Config, trace: &mut Trace) {
    tcb.rexmt_at = now + tcb.rto(config);
    if trace.wants(TraceMask::TIMERS) {
        trace_armed(tcb, now, trace);
    }
}

#[cold]
#[inline(never)]
fn trace_armed(tcb: &Tcb, now: Instant, trace: &mut Trace) {
    trace.record(TraceMask::TIMERS, now, Some(tcb.id), || TraceKind::TimerSet {
        timer: Timer::Retransmit,
        at: tcb.rexmt_at,
    });
}

/// As [`commit`], for what [`super::quick`] sends: new octets, all there are and less than a segment, or a FIN, or neither;
/// where nothing is lost, probed for, or to be told of what came out of order; and where the window is told already
/// ([`tell_window`]).
#[inline(never)]
pub(crate) fn commit_short(
    tcb: &mut Tcb,
    config: &Config,
    now: Instant,
    trace: &mut Trace,
    len: u32,
    fin: bool,
) {
    tcb.held = None;
    tcb.segments_out = tcb.segments_out.wrapping_add(1);
    let mut facts = tcb.facts.difference(Fact::QUEUED.union(Fact::UPDATE_OWED));
    if len == 0 && !fin {
        tcb.facts = facts;
        return;
    }
    // What is sent for the first time: see `sent_new`.
    if len > 0 {
        if config.profile == Profile::Linux {
            let since = (now.as_millis() as u32).wrapping_sub(tcb.last_text);
            if u64::from(since) < config.delayed_ack.as_millis() {
                facts.insert(Fact::INTERACTIVE);
            }
        }
        if facts.contains(Fact::ECT) {
            facts.remove(Fact::CWR_OWED);
        }
        tcb.small_end = tcb.snd_nxt + len;
    } else {
        tcb.fin_out = FinOut::Sent;
    }
    let end = tcb.snd_nxt + len + u32::from(fin);
    let idle = tcb.outstanding() == 0;
    tcb.last_sent = now;
    if !facts.contains(Fact::TIMED) {
        facts.insert(Fact::TIMED);
        tcb.timing = (end, now.as_micros() as u32);
    }
    tcb.snd_nxt = end;
    facts.set(Fact::APP_LIMITED, tcb.outstanding() < tcb.congestion.cwnd());
    tcb.facts = facts;
    if idle {
        tcb.stalled_since = now;
    }
    if idle || tcb.rexmt_at.is_never() {
        arm_for(tcb, now, config, trace);
    }
}

/// Moves the window's right edge as far as it may go, since a segment is about to tell it.
#[inline(always)]
pub(crate) fn move_edge(tcb: &mut Tcb) {
    if tcb.fin_in == FinIn::No {
        tcb.rcv_adv = window::right_edge(tcb);
    }
}

/// RFC 5681 section 4.1: after an idle time longer than the RTO the window starts again from the initial one.
#[inline(always)]
pub(crate) fn restart_after_idle(tcb: &mut Tcb, now: Instant, config: &Config, trace: &mut Trace) {
    if tcb.outstanding() > 0 || tcb.unsent() == 0 {
        return;
    }
    let pause = now.since(tcb.last_sent);
    // No RTO is shorter than the least one.
    if pause > config.rto_min.min(config.rto_max) {
        cold_path();
        return restart_after_pause(tcb, now, config, trace);
    }
    tcb.congestion.on_idle(now, u32::MAX);
}

#[inline(never)]
fn restart_after_pause(tcb: &mut Tcb, now: Instant, config: &Config, trace: &mut Trace) {
    let most = if now.since(tcb.last_sent) > tcb.rto(config) {
        config.first_window(u32::from(tcb.snd_mss), config.initial_window)
    } else {
        u32::MAX
    };
    let before = tcb.congestion.cwnd();
    tcb.congestion.on_idle(now, most);
    if tcb.congestion.cwnd() != before {
        trace_congestion(tcb, now, trace, CongestionChange::Idle);
    }
}
