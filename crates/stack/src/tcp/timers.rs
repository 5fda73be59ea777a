//! The timers of a synchronised connection. Each is tested and scheduled in one call ([`Clock::expired`]).

use super::conn::{AckOwed, Fact, FinIn, FinOut, Phase, ProbeOwed, Recovery, Tcb};
use super::ingress::Fate;
use super::scope::Scope;
use crate::error::ConnectionError;
use crate::stack::Readiness;
use crate::time::{Clock, Duration, Instant};
use crate::trace::{AckCause, CongestionChange, Held, ResetCause, Timer, TraceKind, TraceMask, Transition};

/// What a look at the timers found.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// Nothing has gone off; wake the connection then (or never).
    Quiet(Instant),
    /// Something has, and left something owed.
    Fired,
    /// The connection ends.
    Over(Fate),
}

/// Looks at all timers. Called when nothing is left to send, so that what an expired timer leaves owed goes out next.
pub(crate) fn look(tcb: &mut Tcb, cx: &mut Scope<'_>) -> Look {
    let mut clock = Clock::new(cx.now);
    if clock.expired(tcb.end_at()) {
        return Look::Over(end(tcb, cx));
    }
    if clock.expired(give_up_at(tcb, cx)) {
        fired(tcb, cx, Timer::UserTimeout);
        return Look::Over(Fate::Ends(Some(gave_up(tcb)), Transition::Timeout));
    }
    if tcb.ack_owed == AckOwed::Delayed && clock.expired(tcb.ack_at) {
        fired(tcb, cx, Timer::DelayedAck);
        tcb.facts.remove(Fact::INTERACTIVE); // no answer came for it to ride on
        tcb.ack_owed = AckOwed::Now(AckCause::DelayTimer);
        return Look::Fired;
    }
    choose_persist(tcb, cx);
    if clock.expired(tcb.rexmt_at) {
        return if tcb.facts.contains(Fact::PROBING) {
            persist(tcb, cx)
        } else {
            retransmit(tcb, cx)
        };
    }
    keepalive(tcb, cx, &mut clock)
}

fn fired(tcb: &Tcb, cx: &mut Scope<'_>, timer: Timer) {
    cx.trace.record(TraceMask::TIMERS, cx.now, Some(tcb.id), || {
        TraceKind::TimerFired { timer }
    });
}

/// FIN-WAIT-2 or linger is over.
fn end(tcb: &mut Tcb, cx: &mut Scope<'_>) -> Fate {
    if tcb.fin_out == FinOut::Acked {
        fired(tcb, cx, Timer::FinWait2);
        return Fate::Ends(None, Transition::FinWait2Timeout);
    }
    fired(tcb, cx, Timer::Linger);
    Fate::Resets(
        Some(ConnectionError::Aborted),
        ResetCause::Linger,
        Transition::Abort,
    )
}

/// When the connection is given up: R2 or the user timeout after progress stopped (MUST-20, MUST-21, RFC 5482). A closed
/// window is no reason as long as its probes are answered (MUST-37): then the time counts from the last answer.
fn give_up_at(tcb: &Tcb, cx: &Scope<'_>) -> Instant {
    if tcb.stalled_since.is_never() {
        return Instant::NEVER;
    }
    let since = if tcb.facts.contains(Fact::PROBING) {
        tcb.stalled_since.max(tcb.last_heard)
    } else {
        tcb.stalled_since
    };
    let limit = tcb
        .extra
        .as_ref()
        .and_then(|e| e.options.user_timeout)
        .unwrap_or(cx.config.r2);
    since + limit
}

fn gave_up(tcb: &Tcb) -> ConnectionError {
    // A soft error explains better why nobody answered (RFC 9293 section 3.9.2.2).
    tcb.soft_error.unwrap_or(ConnectionError::TimedOut)
}

/// Decides whether the one timer of the sending side watches over data in flight or over a closed window. With data to
/// send, none in flight and a window too small, only a probe can find out that it opened (MUST-35, MUST-36).
fn choose_persist(tcb: &mut Tcb, cx: &mut Scope<'_>) {
    if tcb.facts.contains(Fact::PROBING) {
        return;
    }
    let pending = tcb.send_len() > 0 || matches!(tcb.fin_out, FinOut::Queued | FinOut::Sent);
    let closed = tcb.snd_wnd == 0 && pending;
    let silly = tcb.outstanding() == 0 && matches!(tcb.held, Some(Held::SillyWindow | Held::PeerWindow));
    if !closed && !silly {
        return;
    }
    if tcb.outstanding() == 0 || tcb.snd_wnd == 0 {
        tcb.facts.insert(Fact::PROBING);
        tcb.probes = 0;
        tcb.facts.remove(Fact::TIMED);
        let wait = if tcb.snd_wnd == 0 {
            tcb.rto(cx.config)
        } else {
            OVERRIDE
        };
        tcb.rexmt_at = cx.now + wait; // SHLD-29: first probe after one RTO
        if tcb.stalled_since.is_never() {
            tcb.stalled_since = cx.now;
        }
        let at = tcb.rexmt_at;
        let timer = Timer::Persist;
        cx.trace
            .record(TraceMask::TIMERS, cx.now, Some(tcb.id), || TraceKind::TimerSet {
                timer,
                at,
            });
    }
}

/// How long a small part of the window is left unused (RFC 9293 section 3.8.6.2.1: 0.1 to 1 s).
const OVERRIDE: Duration = Duration::from_millis(200);

/// The persist timer: probe, and wait twice as long for the next (SHLD-30).
fn persist(tcb: &mut Tcb, cx: &mut Scope<'_>) -> Look {
    fired(tcb, cx, Timer::Persist);
    tcb.probes = tcb.probes.saturating_add(1);
    tcb.probe_owed = ProbeOwed::Window;
    if tcb.snd_wnd > 0 {
        tcb.facts.remove(Fact::PROBING); // the override: data goes, and the retransmission timer watches it
        tcb.rexmt_at = Instant::NEVER;
    } else {
        let wait = tcb
            .rto(cx.config)
            .saturating_mul(1 << u32::from(tcb.probes.min(16)));
        tcb.rexmt_at = cx.now + wait.min(cx.config.rto_max);
    }
    Look::Fired
}

/// The retransmission timer (RFC 6298 section 5.4 to 5.7, RFC 5681 section 3.1): the first segment goes again, everything
/// not SACKed after it in slow start, and the next wait is twice as long (MUST-19).
fn retransmit(tcb: &mut Tcb, cx: &mut Scope<'_>) -> Look {
    tcb.rexmt_at = Instant::NEVER;
    if tcb.outstanding() == 0 {
        return Look::Fired;
    }
    fired(tcb, cx, Timer::Retransmit);
    let first = tcb.rtt.timeouts() == 0;
    let flight = tcb.flight();
    tcb.congestion
        .on_timeout(cx.now, flight, u32::from(tcb.snd_mss), first);
    super::ecn::window_reduced(tcb);
    if !first {
        // The peer may have dropped what it had SACKed (RFC 2018 section 8): after a second timeout nothing is sure.
        tcb.scoreboard = None;
    }
    let recover = match tcb.recovery {
        Recovery::Loss { recover, .. } => recover.later(tcb.snd_nxt),
        _ => tcb.snd_nxt,
    };
    tcb.recovery = Recovery::Loss {
        recover,
        next: tcb.snd_una,
    };
    tcb.dup_acks = 0;
    tcb.facts.remove(Fact::TIMED);
    tcb.probe_owed = ProbeOwed::Timeout;
    tcb.rtt.on_timeout();
    cx.congestion(tcb, Some(CongestionChange::Timeout));
    // SHLD-9, SHLD-10, MUST-20 (a): at R1 the application is told, and IP asks whether the next hop is there.
    if tcb.rtt.timeouts() >= cx.config.r1 && !tcb.facts.contains(Fact::R1_TOLD) {
        tcb.facts.insert(Fact::R1_TOLD);
        tcb.pending |= Readiness::SOFT_ERROR;
        tcb.facts.insert(Fact::DOUBTED);
    }
    Look::Fired
}

/// The shortest times of keepalive, as on Linux: with none, a probe and its answer would chase each other without end.
const LEAST_KEEPALIVE: Duration = Duration::from_secs(1);

/// Keepalive (MUST-24..29): only on request, only when nothing is outstanding and nothing was heard for the idle time.
fn keepalive(tcb: &mut Tcb, cx: &mut Scope<'_>, clock: &mut Clock) -> Look {
    let extra = tcb
        .extra
        .as_ref()
        .and_then(|e| e.options.keepalive.map(|k| (k, e.probed_at)));
    let Some((settings, probed_at)) = extra else {
        return Look::Quiet(clock.next());
    };
    if tcb.outstanding() > 0 || tcb.send_len() > 0 || tcb.phase != Phase::Live {
        return Look::Quiet(clock.next());
    }
    let quiet_since = if tcb.probes == 0 {
        tcb.last_heard + settings.idle.max(LEAST_KEEPALIVE)
    } else {
        probed_at + settings.interval.max(LEAST_KEEPALIVE)
    };
    if !clock.expired(quiet_since) {
        return Look::Quiet(clock.next());
    }
    fired(tcb, cx, Timer::Keepalive);
    if tcb.probes >= settings.count {
        // MUST-29: it took all of them to be sure.
        return Look::Over(Fate::Resets(
            Some(gave_up(tcb)),
            ResetCause::Keepalive,
            Transition::Timeout,
        ));
    }
    tcb.probes += 1;
    if let Some(extra) = &mut tcb.extra {
        extra.probed_at = cx.now;
    }
    tcb.probe_owed = ProbeOwed::Keepalive;
    Look::Fired
}

/// Which timer a connection waits for, for `Stack::next_timeout`.
#[inline(always)]
pub(crate) fn next_is(tcb: &Tcb, at: Instant) -> Timer {
    if at == tcb.end_at() {
        return if tcb.fin_out == FinOut::Acked {
            Timer::FinWait2
        } else {
            Timer::Linger
        };
    }
    if tcb.ack_owed == AckOwed::Delayed && at == tcb.ack_at {
        return Timer::DelayedAck;
    }
    if at == tcb.rexmt_at {
        return if tcb.facts.contains(Fact::PROBING) {
            Timer::Persist
        } else {
            Timer::Retransmit
        };
    }
    if tcb.outstanding() == 0 && tcb.fin_in == FinIn::No {
        Timer::Keepalive
    } else {
        Timer::UserTimeout
    }
}
