//! What the steps of one connection get handed beside its block.

use crate::config::Config;
use crate::demux::{Entry, Kind};
use crate::iface::Bucket;
use crate::line::Line;
use crate::pool::Pool;
use crate::stack::{Events, Readiness};
use crate::time::Instant;
use crate::trace::{CongestionChange, DropReason, Trace, TraceKind, TraceMask, Transition, Tuple};

use crate::wheel::Wheel;

use super::State;
use super::burst::Burst;
use super::conn::{Fact, Tcb};

/// Time, settings, trace and buffers, borrowed for one step.
pub(crate) struct Scope<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    pub(crate) trace: &'a mut Trace,
    pub(crate) pool: &'a mut Pool,
    pub(crate) wheel: &'a mut Wheel,
    pub(crate) challenges: &'a mut Bucket,
    pub(crate) ready: &'a mut Line<Entry>,
    pub(crate) events: &'a mut Events,
    pub(crate) burst: &'a mut Burst,
}

impl Scope<'_> {
    /// Whether one more challenge ACK may go out (RFC 5961 section 7).
    #[must_use]
    pub(crate) fn may_challenge(&mut self) -> bool {
        self.challenges
            .take(self.now, self.config.challenge_acks_per_second)
    }
    /// Puts the connection on the transmit queue, once.
    #[inline]
    pub(crate) fn kick(&mut self, tcb: &mut Tcb) {
        kick(tcb, self.ready);
    }
    /// Tells the application what the connection's steps have gathered.
    #[inline]
    pub(crate) fn announce(&mut self, tcb: &mut Tcb) {
        announce(tcb, self.events);
    }
    /// Counts a drop and traces it.
    pub(crate) fn dropped(&mut self, tcb: &Tcb, reason: DropReason) {
        self.trace
            .dropped(self.now, Some(tcb.id), Some(tuple_of(tcb)), reason);
    }
    /// As [`state_before`].
    #[inline]
    pub(crate) fn state_before(&self, tcb: &Tcb) -> State {
        state_before(tcb, self.trace)
    }
    /// As [`moved`].
    #[inline]
    pub(crate) fn moved(&mut self, tcb: &Tcb, from: State, why: Transition) {
        moved(tcb, self.now, self.trace, from, why);
    }
    /// Traces a change of the congestion window, if there was one.
    pub(crate) fn congestion(&mut self, tcb: &Tcb, change: Option<CongestionChange>) {
        if let Some(why) = change {
            trace_congestion(tcb, self.now, self.trace, why);
        }
    }
}

/// The state for [`moved`] to compare with; anything, if nobody asks for it.
#[inline]
pub(crate) fn state_before(tcb: &Tcb, trace: &Trace) -> State {
    if trace.wants(TraceMask::STATES) {
        tcb.state()
    } else {
        State::Closed
    }
}

/// Traces a change of state, if there was one.
#[inline]
pub(crate) fn moved(tcb: &Tcb, now: Instant, trace: &mut Trace, from: State, why: Transition) {
    if trace.wants(TraceMask::STATES) {
        trace_move(tcb, now, trace, from, why);
    }
}

#[cold]
#[inline(never)]
fn trace_move(tcb: &Tcb, now: Instant, trace: &mut Trace, from: State, why: Transition) {
    let to = tcb.state();
    if from != to {
        trace.record(TraceMask::STATES, now, Some(tcb.id), || TraceKind::State {
            tuple: tuple_of(tcb),
            from,
            to,
            why,
        });
    }
}

/// Puts the connection on the transmit queue, once.
#[inline]
pub(crate) fn kick(tcb: &mut Tcb, ready: &mut Line<Entry>) {
    if !tcb.facts.contains(Fact::QUEUED) {
        tcb.facts.insert(Fact::QUEUED);
        ready.push_back(Entry::new(Kind::Connection, tcb.id.slot));
    }
}

/// Tells the application what the connection's steps have gathered.
#[inline]
pub(crate) fn announce(tcb: &mut Tcb, events: &mut Events) {
    if has_news(tcb) {
        tcb.pending.insert(Readiness::QUEUED);
        events.push(tcb.id);
    }
}

/// Whether there is something that the application is not told yet.
#[inline]
pub(crate) fn has_news(tcb: &Tcb) -> bool {
    let nobody = tcb.facts.intersects(Fact::ORPHAN | Fact::UNACCEPTED);
    !tcb.pending.is_empty() && !tcb.pending.contains(Readiness::QUEUED) && !nobody
}

/// Traces a change of the congestion window.
pub(crate) fn trace_congestion(tcb: &Tcb, now: Instant, trace: &mut Trace, why: CongestionChange) {
    trace.record(TraceMask::FLOW, now, Some(tcb.id), || TraceKind::Congestion {
        cwnd: tcb.congestion.cwnd(),
        ssthresh: tcb.congestion.ssthresh(),
        flight: tcb.flight(),
        why,
    });
}

/// The addresses of a connection, as traces name them.
pub(crate) fn tuple_of(tcb: &Tcb) -> Tuple {
    tcb.tuple.into()
}
