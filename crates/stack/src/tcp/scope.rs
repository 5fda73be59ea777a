//! What the steps of one connection get handed beside its block.

use crate::config::Config;
use crate::pool::Pool;
use crate::time::{Duration, Instant};
use crate::trace::{CongestionChange, DropReason, Trace, TraceKind, TraceMask, Transition, Tuple};

use super::State;
use super::conn::Tcb;

/// Time, settings, trace and buffers, borrowed for one step.
pub(crate) struct Scope<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    pub(crate) trace: &'a mut Trace,
    pub(crate) pool: &'a mut Pool,
    pub(crate) challenges: &'a mut Limiter,
}

impl Scope<'_> {
    /// Counts a drop and traces it.
    pub(crate) fn dropped(&mut self, tcb: &Tcb, reason: DropReason) {
        self.trace.dropped(self.now, Some(tcb.id), Some(tuple_of(tcb)), reason);
    }
    /// Traces a change of state, if there was one.
    pub(crate) fn moved(&mut self, tcb: &Tcb, from: State, why: Transition) {
        let to = tcb.state();
        if from != to {
            self.trace.record(TraceMask::STATES, self.now, Some(tcb.id), || TraceKind::State {
                tuple: tuple_of(tcb),
                from,
                to,
                why,
            });
        }
    }
    /// Traces a change of the congestion window, if there was one.
    pub(crate) fn congestion(&mut self, tcb: &Tcb, change: Option<CongestionChange>) {
        if let Some(why) = change {
            self.trace.record(TraceMask::FLOW, self.now, Some(tcb.id), || TraceKind::Congestion {
                cwnd: tcb.congestion.cwnd(),
                ssthresh: tcb.congestion.ssthresh(),
                flight: tcb.flight(),
                why,
            });
        }
    }
}

/// The addresses of a connection, as traces name them.
pub(crate) fn tuple_of(tcb: &Tcb) -> Tuple {
    tcb.tuple.into()
}

/// A token bucket: so many a second, as many at once.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: u32,
    tokens: u32,
    since: Instant,
}

impl Limiter {
    /// `rate` a second; 0 allows none.
    pub(crate) fn new(rate: u32) -> Self {
        Limiter { rate, tokens: rate, since: Instant::ZERO }
    }
    /// Whether one more is allowed now.
    #[must_use]
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if now.since(self.since) >= Duration::from_secs(1) {
            self.tokens = self.rate;
            self.since = now;
        }
        let allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        allowed
    }
}
