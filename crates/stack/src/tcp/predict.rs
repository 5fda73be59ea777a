//! Header prediction (Van Jacobson, 1990; RFC 7323 appendix D): the segment that comes most goes straight to its connection.
//!
//! It follows what its connection has received, and brings text, acknowledges something or is the peer's FIN,
//! with no other option than timestamps and no other flag than ACK and PSH. A few comparisons tell it from everything else.
//! What it does to its connection is done by the same steps as for any segment ([`super::ingress`]); those that could only
//! find that there is nothing to do are left out. Whatever is not quite like this, or wrong in any way, is left untouched for the
//! general path, which also counts what it drops.

use core::hint::cold_path;

use super::conn::{Fact, FinIn, Phase, Tcb};
use super::ingress::{self, Fate};
use super::scope::{Scope, announce, kick};
use super::table::Slot;
use super::{Flags, recv, send};
use crate::InterfaceId;
use crate::frame::Text;
use crate::iface::Env;
use crate::stack::Stack;
use crate::time::Instant;
use crate::trace::{Trace, TraceKind, TraceMask, Tuple};
use crate::wire::plain::{self, Arrived};

// Of the whole stack, not of TCP alone, as what leaves the shortest way (`quick`).
impl Stack {
    /// Takes the text for the connection in this slot, which came as `whole` behind plain headers, if it is what was
    /// predicted, and says whether it was.
    #[inline(never)]
    pub(super) fn predicted(
        &mut self,
        now: Instant,
        on: InterfaceId,
        slot: u32,
        seg: &Arrived,
        whole: &mut Text<'_>,
    ) -> bool {
        let Stack {
            config,
            trace,
            ip,
            tcp,
            events,
            ..
        } = self;
        let Some(Slot::Open(tcb)) = tcp.tables.sockets.at_mut(slot) else {
            return false;
        };
        let tcb = &mut **tcb; // the box is looked into once
        if !expects(tcb, seg) {
            return false;
        }
        let una = tcb.snd_una;
        heard(tcb, now, trace, seg);
        if !send::ack::is_ordinary(tcb) {
            let mut scope = Scope {
                now,
                config,
                trace,
                pool: &mut tcp.pool,
                wheel: &mut tcp.wheel,
                challenges: &mut tcp.challenges,
                ready: &mut tcp.ready,
                events,
                burst: &mut tcp.burst,
            };
            acknowledges(tcb, &mut scope, seg);
        } else if seg.ack != una {
            send::ack::progress(tcb, now, config, trace, &mut tcp.pool, seg);
        } else {
            // Nothing new is acknowledged, and what brings text is no duplicate: only the window may be another.
            tcb.probes = 0;
            send::ack::learn_window(tcb, now, trace, seg.seq, seg.ack, seg.window);
        }
        whole.advance(plain::LEN);
        recv::text::follows(tcb, now, config, &mut tcp.pool, seg, whole.reborrow());
        // A link without addresses has no neighbours whose answers would count.
        if tcb.snd_una != una && tcb.path.interface != on {
            cold_path();
            ip.confirm_reachable(now, tcb.path);
        }
        kick(tcb, &mut tcp.ready);
        announce(tcb, events);
        #[cfg(test)]
        {
            tcp.short_ways[0] += 1;
        }
        true
    }

    /// As [`Stack::predicted`], for what brings no text: acknowledgments, and the peer's FIN, next in sequence.
    #[inline(never)]
    pub(super) fn predicted_bare(&mut self, now: Instant, on: InterfaceId, slot: u32, seg: &Arrived) -> bool {
        let Stack {
            config,
            rng,
            trace,
            ip,
            tcp,
            events,
            ..
        } = self;
        let Some(Slot::Open(tcb)) = tcp.tables.sockets.at_mut(slot) else {
            return false;
        };
        let tcb = &mut **tcb;
        if !expects_bare(tcb, seg) {
            return false;
        }
        #[cfg(test)]
        {
            tcp.short_ways[0] += 1;
        }
        let una = tcb.snd_una;
        heard(tcb, now, trace, seg);
        if seg.ack != una {
            send::ack::progress(tcb, now, config, trace, &mut tcp.pool, seg);
            if tcb.path.interface != on {
                cold_path();
                ip.confirm_reachable(now, tcb.path);
            }
        } else {
            tcb.probes = 0;
            send::ack::learn_window(tcb, now, trace, seg.seq, seg.ack, seg.window);
        }
        let fate = match ingress::over(tcb) {
            Some(fate) => fate,
            None if seg.flags.contains(Flags::FIN) => ingress::fin_arrives(tcb, now, trace),
            None => Fate::Lives,
        };
        if fate == Fate::Lives {
            kick(tcb, &mut tcp.ready);
            announce(tcb, events);
            return true;
        }
        let env = &mut Env {
            now,
            config,
            trace,
            rng,
        };
        match fate {
            Fate::TimeWait => tcp.enter_time_wait(env, events, slot),
            Fate::Ends(error, why) => tcp.end(env, events, slot, error, why),
            Fate::Lives | Fate::Resets(..) => debug_assert!(false, "{fate:?} comes of text"),
        }
        true
    }
}

/// What any segment of a connection with timestamps does, as [`ingress::take_timestamp`] and [`ingress::heard`] have it; the
/// probes are left to the caller.
#[inline(always)]
fn heard(tcb: &mut Tcb, now: Instant, trace: &mut Trace, seg: &Arrived) {
    if trace.wants(TraceMask::SEGMENTS) {
        trace_arrived(tcb, now, trace, seg);
    }
    tcb.segments_in = tcb.segments_in.wrapping_add(1);
    if seg.seq.at_or_before(tcb.last_ack_sent) {
        tcb.ts_recent = seg.timestamps.value;
        tcb.ts_recent_at = now.as_millis() as u32;
    }
    tcb.last_heard = now;
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
fn trace_arrived(tcb: &Tcb, now: Instant, trace: &mut Trace, seg: &Arrived) {
    trace.record(TraceMask::SEGMENTS, now, Some(tcb.id), || TraceKind::SegmentIn {
        tuple: Tuple::from(tcb.tuple),
        segment: seg.segment(),
    });
}

/// Whether the connection expects just this text, which comes on an ACK with perhaps PSH: next in sequence, within the window,
/// not older than the last, somebody will read it and it fills no gap, and no FIN has come or waits.
#[inline(always)]
fn expects(tcb: &Tcb, seg: &Arrived) -> bool {
    let never = Fact::FIN_AHEAD.union(Fact::ORPHAN);
    let in_flight = seg.ack.since(tcb.snd_una);
    seg.flags.difference(Flags::PSH) == Flags::ACK
        && tcb.phase == Phase::Live
        && tcb.fin_in == FinIn::No
        && tcb.facts.intersection(never.union(Fact::TIMESTAMPS)) == Fact::TIMESTAMPS
        && seg.timestamps.value.wrapping_sub(tcb.ts_recent) as i32 >= 0
        && seg.seq == tcb.rcv_nxt
        && seg.payload_len <= tcb.rcv_wnd()
        && in_flight <= tcb.outstanding()
        && tcb.reassembly.is_none()
}

/// Whether the connection expects just this segment: next in sequence, not older than the last, without text, and either the
/// peer's FIN or an acknowledgment of something in flight, where [`send::ack::progress`] says what that does.
#[inline(always)]
fn expects_bare(tcb: &Tcb, seg: &Arrived) -> bool {
    let in_flight = seg.ack.since(tcb.snd_una);
    let news = if seg.flags.contains(Flags::FIN) {
        tcb.fin_in == FinIn::No && tcb.rcv_wnd() > 0
    } else {
        in_flight > 0
    };
    seg.flags.difference(Flags::PSH.union(Flags::FIN)) == Flags::ACK
        && tcb.phase == Phase::Live
        && tcb.facts.intersection(Fact::FIN_AHEAD.union(Fact::TIMESTAMPS)) == Fact::TIMESTAMPS
        && seg.timestamps.value.wrapping_sub(tcb.ts_recent) as i32 >= 0
        && seg.seq == tcb.rcv_nxt
        && in_flight <= tcb.outstanding()
        && news
        && send::ack::is_ordinary(tcb)
}
