//! A segment arrives on a synchronised connection (RFC 9293 section 3.10.7.4).
//!
//! The steps stand in the RFC's order. They record what is owed and change the block; nothing is sent from here.

use alloc::boxed::Box;

use super::conn::{AckOwed, Fact, FinIn, FinOut, Tcb};
use super::reset::{self, Verdict};
use super::scope::{self, Scope};
use super::{Flags, SackBlock, Segment, SeqNumber};
use super::{recv, send, urgent};
use crate::config::Profile;
use crate::error::ConnectionError;
use crate::frame::Text;
use crate::stack::Readiness;
use crate::time::Instant;
use crate::trace::{AckCause, ChallengeCause, DropReason, ResetCause, Trace, Transition};

/// What becomes of the connection after a step.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It goes on.
    Lives,
    /// Both FINs are acknowledged and ours was first: a TIME-WAIT entry takes over.
    TimeWait,
    /// It is over.
    Ends(Option<ConnectionError>, Transition),
    /// It is over, and a reset tells the peer.
    Resets(Option<ConnectionError>, ResetCause, Transition),
}

/// Takes one segment through the RFC's steps.
pub(crate) fn segment_arrives(
    tcb: &mut Tcb,
    cx: &mut Scope<'_>,
    seg: &Segment,
    payload: &mut Text<'_>,
) -> Fate {
    tcb.segments_in = tcb.segments_in.wrapping_add(1);

    // RFC 5961 section 4.2 puts the SYN before the sequence check: it is challenged whatever its number (U-7, U-8). A
    // RST is judged as a RST, whatever else it carries: nothing answers it but where the RFC says so.
    if seg.has(Flags::SYN) && !seg.has(Flags::RST) {
        return drop_with(
            tcb,
            cx,
            DropReason::SynInWindow,
            AckOwed::Challenge(ChallengeCause::Syn),
        );
    }
    // First, check the sequence number; before it, RFC 7323 section 5.3 R1 checks the timestamp.
    match timestamp_check(tcb, cx, seg) {
        TimestampCheck::Passes => {}
        TimestampCheck::Old => {
            let owed = answer_to(tcb, cx, seg, AckCause::Paws);
            return drop_with(tcb, cx, DropReason::Paws, owed);
        }
        TimestampCheck::Missing => return drop_with(tcb, cx, DropReason::Paws, AckOwed::No),
    }
    if !acceptable(tcb, seg) {
        return not_acceptable(tcb, cx, seg);
    }
    // Second, check the RST bit (U-4..U-6).
    if seg.has(Flags::RST) {
        return match reset::judge(tcb, seg.seq) {
            Verdict::Exact => Fate::Ends(Some(reset::error_for(tcb)), Transition::Reset),
            Verdict::Challenge => {
                let owed = AckOwed::Challenge(ChallengeCause::ResetInWindow);
                drop_with(tcb, cx, DropReason::ResetNotExact, owed)
            }
        };
    }
    // Third, security and fourth, SYN: nothing is left to do.
    // Fifth, check the ACK field.
    if !seg.has(Flags::ACK) {
        return drop_with(tcb, cx, DropReason::NoAck, AckOwed::No);
    }
    // RFC 5961 section 5.2 (MAY-12, U-9, U-10): SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT.
    if seg.ack.before(tcb.snd_una - tcb.max_snd_wnd) {
        let owed = AckOwed::Challenge(ChallengeCause::AckOutOfRange);
        return drop_with(tcb, cx, DropReason::AckOutOfRange, owed);
    }
    if seg.ack.after(tcb.snd_nxt) {
        let owed = answer_to(tcb, cx, seg, AckCause::AckOfUnsent);
        return drop_with(tcb, cx, DropReason::AckOutOfRange, owed);
    }
    take_timestamp(tcb, cx, seg);
    heard(tcb, cx);
    send::ack::process(tcb, cx, seg);
    if let Some(fate) = over(tcb) {
        return fate;
    }
    // Sixth, check the URG bit.
    if seg.has(Flags::URG)
        && tcb.fin_in == FinIn::No
        && urgent::incoming(tcb, cx.config.urgent_pointer, seg.seq, seg.urgent) == urgent::Announced::Yes
    {
        tcb.pending |= Readiness::URGENT;
    }
    // Seventh, process the segment text; eighth, check the FIN bit. A FIN alone, next in sequence, has nothing to wait for.
    let alone = seg.payload_len == 0 && seg.seq == tcb.rcv_nxt && tcb.fin_in == FinIn::No;
    if alone && seg.has(Flags::FIN) && !tcb.facts.contains(Fact::FIN_AHEAD) {
        return fin_arrives(tcb, cx.now, cx.trace);
    }
    if seg.payload_len > 0 || seg.has(Flags::FIN) {
        return text_and_fin(tcb, cx, seg, payload);
    }
    Fate::Lives
}

/// What becomes of the connection when both FINs are acknowledged.
#[inline]
pub(super) fn over(tcb: &Tcb) -> Option<Fate> {
    match (tcb.fin_out, tcb.fin_in) {
        (FinOut::Acked, FinIn::Received { before_ours: true }) => {
            Some(Fate::Ends(None, Transition::FinAcked))
        }
        (FinOut::Acked, FinIn::Received { before_ours: false }) => Some(Fate::TimeWait),
        _ => None,
    }
}

/// The peer is there: keepalive begins anew, even if the answer came at the very time of the probe (MUST-26, MUST-29).
pub(super) fn heard(tcb: &mut Tcb, cx: &Scope<'_>) {
    tcb.last_heard = cx.now;
    if !tcb.facts.contains(Fact::PROBING) {
        tcb.probes = 0;
    }
}

/// The segment is dropped, with a reason, and leaves an acknowledgment owed (or none).
#[cold]
#[inline(never)]
fn drop_with(tcb: &mut Tcb, cx: &mut Scope<'_>, reason: DropReason, owed: AckOwed) -> Fate {
    cx.dropped(tcb, reason);
    match owed {
        AckOwed::No => {}
        AckOwed::Challenge(_) if cx.config.profile == Profile::Linux && !quiet_over(tcb, cx) => {
            cx.dropped(tcb, DropReason::RateLimited);
        }
        AckOwed::Challenge(_) if !cx.may_challenge() => cx.dropped(tcb, DropReason::RateLimited),
        owed => tcb.ack_owed = owed,
    }
    Fate::Lives
}

/// RFC 9293 section 3.10.7.4, table 6: some octet of the segment lies in the window.
///
/// A RST is judged by its sequence number alone, so that text in it (SHLD-2) does not hide it from a closed window
/// (MUST-66, RFC 5961 section 3.2).
#[inline(always)]
fn acceptable(tcb: &Tcb, seg: &Segment) -> bool {
    let window = tcb.rcv_wnd();
    let len = if seg.has(Flags::RST) { 0 } else { seg.len() };
    if seg.seq == tcb.rcv_nxt {
        return len == 0 || window > 0; // by far the most
    }
    match (len, window) {
        (_, 0) => false,
        (0, w) => seg.seq.within(tcb.rcv_nxt, w),
        (len, w) => seg.seq.within(tcb.rcv_nxt, w) || (seg.seq + (len - 1)).within(tcb.rcv_nxt, w),
    }
}

/// "If an incoming segment is not acceptable, an acknowledgment should be sent in reply (unless the RST bit is set)."
/// With a closed window, valid ACKs and URGs still count (MUST-66), and a probe gets its answer.
#[cold]
#[inline(never)]
fn not_acceptable(tcb: &mut Tcb, cx: &mut Scope<'_>, seg: &Segment) -> Fate {
    if seg.has(Flags::RST) {
        cx.dropped(tcb, DropReason::OutOfWindow);
        return Fate::Lives;
    }
    let at_edge = seg.seq == tcb.rcv_nxt && tcb.rcv_wnd() == 0;
    let probe = at_edge || seg.seq + 1 == tcb.rcv_nxt && seg.len() <= 1 && !seg.has(Flags::FIN);
    let repeated = !seg.is_empty() && seg.end().at_or_before(tcb.rcv_nxt);
    let cause = match (probe, repeated) {
        (true, _) => AckCause::ProbeReply,
        (_, true) => AckCause::Duplicate,
        _ => AckCause::NotAcceptable,
    };
    if probe || repeated {
        heard(tcb, cx);
    }
    if at_edge && seg.has(Flags::ACK) && acceptable_ack(tcb, seg) {
        send::ack::process(tcb, cx, seg);
        if seg.has(Flags::URG)
            && urgent::incoming(tcb, cx.config.urgent_pointer, seg.seq, seg.urgent) == urgent::Announced::Yes
        {
            tcb.pending |= Readiness::URGENT;
        }
        if tcb.fin_out == FinOut::Acked && matches!(tcb.fin_in, FinIn::Received { before_ours: true }) {
            return Fate::Ends(None, Transition::FinAcked);
        }
    }
    if repeated && tcb.facts.contains(Fact::SACK) && seg.payload_len > 0 {
        // RFC 2883: tell which octets came twice.
        tcb.dsack = Some(Box::new(SackBlock {
            start: seg.seq,
            end: seg.seq + seg.payload_len,
        }));
    }
    let reason = if repeated {
        DropReason::Duplicate
    } else {
        DropReason::OutOfWindow
    };
    let owed = answer_to(tcb, cx, seg, cause);
    drop_with(tcb, cx, reason, owed)
}

/// How long a connection leaves bad segments without text unanswered after it has answered one, in milliseconds: two
/// ends that disagree would answer each other's answers without end (RFC 5961 section 7; Linux's tcp_invalid_ratelimit).
const INVALID_QUIET: u32 = 500;

/// The acknowledgment that answers a bad segment. One without text may itself be such an answer.
fn answer_to(tcb: &mut Tcb, cx: &mut Scope<'_>, seg: &Segment, cause: AckCause) -> AckOwed {
    if seg.is_empty() && !quiet_over(tcb, cx) {
        cx.dropped(tcb, DropReason::RateLimited);
        return AckOwed::No;
    }
    AckOwed::Now(cause)
}

/// Whether the connection may answer once more; if so, it is quiet for a while after.
fn quiet_over(tcb: &mut Tcb, cx: &Scope<'_>) -> bool {
    let now = cx.now.as_millis() as u32;
    let over = now.wrapping_sub(tcb.answered_at) >= INVALID_QUIET;
    if over {
        tcb.answered_at = now;
    }
    over
}

fn acceptable_ack(tcb: &Tcb, seg: &Segment) -> bool {
    !seg.ack.before(tcb.snd_una - tcb.max_snd_wnd) && !seg.ack.after(tcb.snd_nxt)
}

/// What a segment's timestamp says of its age.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TimestampCheck {
    Passes,
    Old,
    Missing,
}

/// RFC 7323 section 5.3 R1: a timestamp older than TS.Recent belongs to an old duplicate, unless ours is outdated
/// (the connection was idle for more than 24 days, section 5.5). A segment without timestamps on a connection that
/// agreed on them is silently dropped (section 3.2), except in the Linux profile, which takes it. RSTs always pass.
#[inline(always)]
fn timestamp_check(tcb: &Tcb, cx: &Scope<'_>, seg: &Segment) -> TimestampCheck {
    const OUTDATED: u32 = 24 * 24 * 3600 * 1000;
    if !tcb.facts.contains(Fact::TIMESTAMPS) || seg.has(Flags::RST) {
        return TimestampCheck::Passes;
    }
    let Some(ts) = seg.options.timestamps else {
        return match cx.config.profile {
            Profile::Rfc => TimestampCheck::Missing,
            Profile::Linux => TimestampCheck::Passes,
        };
    };
    let older = (ts.value.wrapping_sub(tcb.ts_recent) as i32) < 0;
    if !older {
        return TimestampCheck::Passes;
    }
    let fresh = (cx.now.as_millis() as u32).wrapping_sub(tcb.ts_recent_at) < OUTDATED;
    if fresh {
        TimestampCheck::Old
    } else {
        TimestampCheck::Passes
    }
}

/// RFC 7323 section 4.3 (2): TS.Recent follows segments that stand at or before the last acknowledgment sent.
pub(super) fn take_timestamp(tcb: &mut Tcb, cx: &Scope<'_>, seg: &Segment) {
    if let Some(ts) = seg.options.timestamps
        && tcb.facts.contains(Fact::TIMESTAMPS)
        && seg.seq.at_or_before(tcb.last_ack_sent)
    {
        tcb.ts_recent = ts.value;
        tcb.ts_recent_at = cx.now.as_millis() as u32;
    }
}

/// Seventh and eighth: the text goes to the receive queue in order, or waits behind a gap; then the FIN.
#[inline(never)]
fn text_and_fin(tcb: &mut Tcb, cx: &mut Scope<'_>, seg: &Segment, payload: &mut Text<'_>) -> Fate {
    if tcb.fin_in != FinIn::No {
        // CLOSE-WAIT, CLOSING, LAST-ACK: "This should not occur since a FIN has been received". What reaches here
        // lies beyond the FIN; nothing of it can be real.
        return drop_with(
            tcb,
            cx,
            DropReason::BeyondWindow,
            AckOwed::Now(AckCause::NotAcceptable),
        );
    }
    let new_text = (seg.seq + seg.payload_len).after(tcb.rcv_nxt) && seg.payload_len > 0;
    if new_text && tcb.facts.contains(Fact::ORPHAN) {
        // SHLD-3: data after close is lost, and the peer must learn it.
        cx.dropped(tcb, DropReason::AfterClose);
        return Fate::Resets(None, ResetCause::UnreadData, Transition::Abort);
    }
    recv::text::accept(tcb, cx, seg, payload.reborrow());
    let fin_at = match tcb.fin_ahead() {
        Some(at) => at,
        None => return Fate::Lives,
    };
    if fin_at == tcb.rcv_nxt {
        fin_arrives(tcb, cx.now, cx.trace)
    } else {
        Fate::Lives
    }
}

/// Eighth: the FIN is next in sequence. It is acknowledged at once, and the application learns that the stream ends.
pub(super) fn fin_arrives(tcb: &mut Tcb, now: Instant, trace: &mut Trace) -> Fate {
    let from = scope::state_before(tcb, trace);
    tcb.facts.remove(Fact::FIN_AHEAD);
    tcb.rcv_nxt += 1;
    tcb.fin_in = FinIn::Received {
        before_ours: tcb.fin_out == FinOut::No,
    };
    tcb.rcv_adv = tcb.rcv_adv.later(tcb.rcv_nxt);
    tcb.reassembly = None;
    tcb.ack_owed = AckOwed::Now(AckCause::Fin);
    tcb.pending |= Readiness::READABLE | Readiness::PEER_CLOSED;
    scope::moved(tcb, now, trace, from, Transition::Fin);
    // FIN-WAIT-2, or FIN-WAIT-1 when this very segment acknowledged our FIN (U-11).
    if tcb.fin_out == FinOut::Acked {
        Fate::TimeWait
    } else {
        Fate::Lives
    }
}

/// The peer's sequence number for its FIN, if the segment carries one that we can still use.
pub(crate) fn fin_of(seg: &Segment) -> Option<SeqNumber> {
    seg.has(Flags::FIN).then(|| seg.seq + seg.payload_len)
}
