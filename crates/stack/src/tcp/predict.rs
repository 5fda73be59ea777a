//! Header prediction (Van Jacobson, 1990; RFC 7323 appendix D): the segment that comes most goes straight to its connection.
//!
//! It is for the connection of the segment before, follows what that received, and brings text or acknowledges something,
//! with no other option than timestamps and no other flag than ACK and PSH. A few comparisons tell it from everything else.
//! What it does to its connection is done by the same steps as for any segment ([`super::ingress`]); those that could only
//! find that there is nothing to do are left out. Whatever is not quite like this, or wrong in any way, is left untouched for the
//! general path, which also counts what it drops.

use super::conn::{Fact, FinIn, Phase, Tcb};
use super::dispatch::Around;
use super::table::Tcp;
use super::{Flags, Segment, ingress, recv, send};
use crate::InterfaceId;
use crate::frame::Text;
use crate::trace::{TraceKind, TraceMask, Tuple};
use crate::wire::plain;

impl Tcp {
    /// Takes the segment for the connection in this slot, which came as `whole` behind plain headers, if it is what was
    /// predicted, and says whether it was.
    #[inline(always)]
    pub(super) fn predicted(
        &mut self,
        cx: &mut Around<'_, '_>,
        on: InterfaceId,
        slot: u32,
        seg: &Segment,
        whole: &mut Text<'_>,
    ) -> bool {
        if seg.flags.difference(Flags::PSH) != Flags::ACK {
            return false;
        }
        let Some((tcb, mut scope)) = self.open(cx.env, cx.events, slot) else {
            return false;
        };
        if !expects(tcb, seg) {
            return false;
        }
        scope
            .trace
            .record(TraceMask::SEGMENTS, scope.now, Some(tcb.id), || {
                TraceKind::SegmentIn {
                    tuple: Tuple::from(tcb.tuple),
                    segment: *seg,
                }
            });
        let una = tcb.snd_una;
        tcb.segments_in = tcb.segments_in.wrapping_add(1);
        ingress::take_timestamp(tcb, &scope, seg);
        ingress::heard(tcb, &scope);
        if seg.ack != tcb.snd_una && send::ack::is_ordinary(tcb) {
            send::ack::progress(tcb, &mut scope, seg);
        } else {
            send::ack::process(tcb, &mut scope, seg);
        }
        if seg.payload_len > 0 {
            let mut text = whole.reborrow();
            text.advance(plain::LEN);
            if tcb.reassembly.is_none() {
                recv::text::follows(tcb, &mut scope, seg, text);
            } else {
                recv::text::accept(tcb, &mut scope, seg, text);
            }
        }
        // A link without addresses has no neighbours whose answers would count.
        if tcb.snd_una != una && tcb.path.interface != on {
            cx.ip.confirm_reachable(scope.now, tcb.path);
        }
        scope.kick(tcb);
        scope.announce(tcb);
        #[cfg(test)]
        {
            self.short_ways[0] += 1;
        }
        true
    }
}

/// Whether the connection expects just this segment, which is an ACK with perhaps PSH: next in sequence, within the window, not older than the last, with text
/// that somebody will read or an acknowledgment of something in flight, and no FIN come or waiting.
#[inline(always)]
fn expects(tcb: &Tcb, seg: &Segment) -> bool {
    let text = seg.payload_len > 0;
    let never = if text {
        Fact::FIN_AHEAD.union(Fact::ORPHAN)
    } else {
        Fact::FIN_AHEAD
    };
    let in_flight = seg.ack.since(tcb.snd_una);
    tcb.phase == Phase::Live
        && tcb.fin_in == FinIn::No
        && tcb.facts.intersection(never.union(Fact::TIMESTAMPS)) == Fact::TIMESTAMPS
        && seg
            .options
            .timestamps
            .is_some_and(|ts| ts.value.wrapping_sub(tcb.ts_recent) as i32 >= 0)
        && seg.seq == tcb.rcv_nxt
        && seg.payload_len <= tcb.rcv_wnd()
        && in_flight <= tcb.outstanding()
        && (text || in_flight > 0)
}
