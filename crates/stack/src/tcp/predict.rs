//! Header prediction (Van Jacobson, 1990; RFC 7323 appendix D): the segment that comes most goes straight to its connection.
//!
//! It is for the connection of the segment before, follows what that received, and brings text or acknowledges something,
//! with no other option than timestamps and no other flag than ACK and PSH. A few comparisons tell it from everything else.
//! What it does to its connection is done by the same steps as for any segment ([`super::ingress`]); those that could only
//! find that there is nothing to do are left out. Whatever is not quite like this, or wrong in any way, is left untouched for the
//! general path, which also counts what it drops.

use super::conn::{Fact, FinIn, Phase, Tcb};
use super::dispatch::Around;
use super::ingress::{self, Fate};
use super::scope::{Scope, announce, kick};
use super::table::{Slot, Tcp};
use super::{Flags, recv, send};
use crate::InterfaceId;
use crate::frame::Text;
use crate::iface::Env;
use crate::trace::{TraceKind, TraceMask, Tuple};
use crate::wire::plain::{self, Arrived};

impl Tcp {
    /// Takes the segment for the connection in this slot, which came as `whole` behind plain headers, if it is what was
    /// predicted, and says whether it was.
    #[inline(never)]
    pub(super) fn predicted(
        &mut self,
        cx: &mut Around<'_, '_>,
        on: InterfaceId,
        slot: u32,
        seg: &Arrived,
        whole: &mut Text<'_>,
    ) -> bool {
        let Some(Slot::Open(tcb)) = self.tables.sockets.at_mut(slot) else {
            return false;
        };
        let tcb = &mut **tcb; // the box is looked into once
        if !expects(tcb, seg) {
            return false;
        }
        let una = tcb.snd_una;
        heard(tcb, cx.env, seg);
        if !send::ack::is_ordinary(tcb) {
            let mut scope = Scope {
                now: cx.env.now,
                config: cx.env.config,
                trace: cx.env.trace,
                pool: &mut self.pool,
                wheel: &mut self.wheel,
                challenges: &mut self.challenges,
                ready: &mut self.ready,
                events: cx.events,
                burst: &mut self.burst,
            };
            acknowledges(tcb, &mut scope, seg);
        } else if seg.ack != una {
            send::ack::progress(tcb, cx.env, &mut self.pool, seg);
        } else {
            // Nothing new is acknowledged, and what brings text is no duplicate: only the window may be another.
            tcb.probes = 0;
            send::ack::learn_window(tcb, cx.env.now, cx.env.trace, seg.seq, seg.ack, seg.window);
        }
        if seg.payload_len > 0 {
            whole.advance(plain::LEN);
            recv::text::follows(tcb, cx.env, &mut self.pool, seg, whole.reborrow());
        }
        // A link without addresses has no neighbours whose answers would count.
        if tcb.snd_una != una && tcb.path.interface != on {
            cx.ip.confirm_reachable(cx.env.now, tcb.path);
        }
        kick(tcb, &mut self.ready);
        announce(tcb, cx.events);
        #[cfg(test)]
        {
            self.short_ways[0] += 1;
        }
        true
    }
    /// As [`Tcp::predicted`], for what ends a connection: the peer's FIN, next in sequence and without text, and acknowledgments
    /// after it.
    #[inline(never)]
    pub(super) fn predicted_end(
        &mut self,
        cx: &mut Around<'_, '_>,
        on: InterfaceId,
        slot: u32,
        seg: &Arrived,
    ) -> bool {
        let Some(Slot::Open(tcb)) = self.tables.sockets.at_mut(slot) else {
            return false;
        };
        let tcb = &mut **tcb;
        if !expects_end(tcb, seg) {
            return false;
        }
        let una = tcb.snd_una;
        heard(tcb, cx.env, seg);
        if seg.ack != una {
            send::ack::progress(tcb, cx.env, &mut self.pool, seg);
            if tcb.path.interface != on {
                cx.ip.confirm_reachable(cx.env.now, tcb.path);
            }
        } else {
            tcb.probes = 0;
            send::ack::learn_window(tcb, cx.env.now, cx.env.trace, seg.seq, seg.ack, seg.window);
        }
        let fate = match ingress::over(tcb) {
            Some(fate) => fate,
            None if seg.flags.contains(Flags::FIN) => ingress::fin_arrives(tcb, cx.env.now, cx.env.trace),
            None => Fate::Lives,
        };
        match fate {
            Fate::Lives => {
                kick(tcb, &mut self.ready);
                announce(tcb, cx.events);
            }
            Fate::TimeWait => self.enter_time_wait(cx.env, cx.events, slot),
            Fate::Ends(error, why) => self.end(cx.env, cx.events, slot, error, why),
            Fate::Resets(..) => self.settle(cx, slot, fate),
        }
        #[cfg(test)]
        {
            self.short_ways[0] += 1;
        }
        true
    }
}

/// What any segment of a connection with timestamps does, as [`ingress::take_timestamp`] and [`ingress::heard`] have it; the
/// probes are left to the caller.
#[inline(always)]
fn heard(tcb: &mut Tcb, env: &mut Env<'_>, seg: &Arrived) {
    if env.trace.wants(TraceMask::SEGMENTS) {
        trace_arrived(tcb, env, seg);
    }
    tcb.segments_in = tcb.segments_in.wrapping_add(1);
    if seg.seq.at_or_before(tcb.last_ack_sent) {
        tcb.ts_recent = seg.timestamps.value;
        tcb.ts_recent_at = env.now.as_millis() as u32;
    }
    tcb.last_heard = env.now;
}

/// The acknowledgment by the general steps.
#[inline(never)]
fn acknowledges(tcb: &mut Tcb, scope: &mut Scope<'_>, seg: &Arrived) {
    if !tcb.facts.contains(Fact::PROBING) {
        tcb.probes = 0;
    }
    send::ack::process(tcb, scope, &seg.segment());
}

#[cold]
#[inline(never)]
fn trace_arrived(tcb: &Tcb, env: &mut Env<'_>, seg: &Arrived) {
    env.trace.record(TraceMask::SEGMENTS, env.now, Some(tcb.id), || {
        TraceKind::SegmentIn {
            tuple: Tuple::from(tcb.tuple),
            segment: seg.segment(),
        }
    });
}

/// Whether the connection expects just this segment, which is an ACK with perhaps PSH: next in sequence, within the window, not
/// older than the last, with text that somebody will read and that fills no gap, or an acknowledgment of something in flight, and
/// no FIN come or waiting.
#[inline(always)]
fn expects(tcb: &Tcb, seg: &Arrived) -> bool {
    let text = seg.payload_len > 0;
    let never = if text {
        Fact::FIN_AHEAD.union(Fact::ORPHAN)
    } else {
        Fact::FIN_AHEAD
    };
    let in_flight = seg.ack.since(tcb.snd_una);
    seg.flags.difference(Flags::PSH) == Flags::ACK
        && tcb.phase == Phase::Live
        && tcb.fin_in == FinIn::No
        && tcb.facts.intersection(never.union(Fact::TIMESTAMPS)) == Fact::TIMESTAMPS
        && seg.timestamps.value.wrapping_sub(tcb.ts_recent) as i32 >= 0
        && seg.seq == tcb.rcv_nxt
        && seg.payload_len <= tcb.rcv_wnd()
        && in_flight <= tcb.outstanding()
        && (text && tcb.reassembly.is_none() || !text && in_flight > 0)
}

/// Whether the connection expects just this segment: next in sequence, not older than the last, without text, and either the
/// peer's FIN or an acknowledgment of something in flight, where [`send::ack::progress`] says what that does.
#[inline(always)]
fn expects_end(tcb: &Tcb, seg: &Arrived) -> bool {
    let in_flight = seg.ack.since(tcb.snd_una);
    let news = if seg.flags.contains(Flags::FIN) {
        tcb.fin_in == FinIn::No && tcb.rcv_wnd() > 0
    } else {
        in_flight > 0
    };
    seg.flags.difference(Flags::PSH.union(Flags::FIN)) == Flags::ACK
        && seg.payload_len == 0
        && tcb.phase == Phase::Live
        && tcb.facts.intersection(Fact::FIN_AHEAD.union(Fact::TIMESTAMPS)) == Fact::TIMESTAMPS
        && seg.timestamps.value.wrapping_sub(tcb.ts_recent) as i32 >= 0
        && seg.seq == tcb.rcv_nxt
        && in_flight <= tcb.outstanding()
        && news
        && send::ack::is_ordinary(tcb)
}
