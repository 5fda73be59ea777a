//! Segment text (RFC 9293 section 3.10.7.4, seventh): in order to the application, out of order behind the gap.

use alloc::boxed::Box;

use crate::config::{Config, Profile};

use super::reassembly::{Inserted, Reassembly, ReassemblyFull};
use crate::frame::{Payload, Text};
use crate::pool::Pool;
use crate::stack::Readiness;
use crate::tcp::conn::{AckOwed, Fact, Tcb};
use crate::tcp::ecn;
use crate::tcp::ingress::fin_of;
use crate::tcp::scope::Scope;
use crate::tcp::{SackBlock, Segment, SeqNumber};
use crate::time::Instant;
use crate::trace::{AckCause, DropReason};
use crate::wire::plain::Arrived;

/// Takes the text of an acceptable segment, cut to the window, and remembers its FIN.
pub(crate) fn accept(tcb: &mut Tcb, cx: &mut Scope<'_>, seg: &Segment, mut payload: Text<'_>) {
    let mut seq = seg.seq;
    let mut fin = fin_of(seg);
    note_size(tcb, seg.payload_len);
    if seq.before(tcb.rcv_nxt) {
        let old = tcb.rcv_nxt.since(seq).min(payload.len() as u32);
        report_duplicate(tcb, seq, seq + old);
        payload.advance(old as usize);
        seq += old;
    }
    let edge = tcb.rcv_adv;
    if (seq + payload.len() as u32).after(edge) {
        cx.dropped(tcb, DropReason::BeyondWindow);
        payload.truncate(if edge.after(seq) {
            edge.since(seq) as usize
        } else {
            0
        });
        fin = None; // it lies beyond the window too
    }
    if let Some(at) = fin
        && tcb.fin_ahead().is_none()
    {
        tcb.facts.insert(Fact::FIN_AHEAD);
        tcb.fin_ahead = at;
    }
    if payload.is_empty() {
        if tcb.fin_ahead() != Some(tcb.rcv_nxt) {
            let cause = if fin.is_some() {
                AckCause::OutOfOrder
            } else {
                AckCause::Duplicate
            };
            tcb.ack_owed = AckOwed::Now(cause);
        }
        return;
    }
    tcb.last_text = cx.now.as_millis() as u32;
    ecn::text_arrives(tcb, seg.flags, seg.ecn);
    if seq == tcb.rcv_nxt {
        in_order(tcb, cx, payload);
    } else {
        out_of_order(tcb, cx, seq, payload.into_payload());
    }
}

/// As [`accept`], for text that is next in sequence, lies in the window and fills no gap.
#[inline(always)]
pub(crate) fn follows(
    tcb: &mut Tcb,
    now: Instant,
    config: &Config,
    pool: &mut Pool,
    seg: &Arrived,
    text: Text<'_>,
) {
    note_size(tcb, seg.payload_len);
    tcb.last_text = now.as_millis() as u32;
    tcb.dup_acks_owed = 0; // the next ACK is none
    ecn::text_arrives(tcb, seg.flags, seg.ecn);
    if tcb.readable() == 0 {
        tcb.pending |= Readiness::READABLE;
    }
    deliver_text(tcb, pool, text);
    owe_ack(tcb, now, config, false);
}

/// The text is next in sequence. It may fill a gap, and then what waited behind the gap follows.
fn in_order(tcb: &mut Tcb, cx: &mut Scope<'_>, text: Text<'_>) {
    let had = tcb.readable();
    tcb.dup_acks_owed = 0; // the next ACK is none
    let filled = tcb.reassembly.is_some();
    match tcb.reassembly.take() {
        None => deliver_text(tcb, cx.pool, text),
        Some(mut store) => {
            match store.insert(tcb.rcv_nxt, text.into_payload()) {
                Ok(Inserted {
                    new_octets: _,
                    duplicate,
                }) => {
                    while let Some(payload) = store.take_contiguous(tcb.rcv_nxt) {
                        deliver(tcb, cx, payload);
                    }
                    if let Some(block) = duplicate {
                        report_duplicate(tcb, block.start, block.end);
                    }
                }
                Err(ReassemblyFull) => cx.dropped(tcb, DropReason::ReassemblyFull),
            }
            if !store.is_empty() {
                tcb.reassembly = Some(store);
            }
        }
    }
    if had == 0 {
        tcb.pending |= Readiness::READABLE;
    }
    owe_ack(tcb, cx.now, cx.config, filled);
}

fn deliver(tcb: &mut Tcb, cx: &mut Scope<'_>, payload: Payload) {
    let n = payload.len() as u32;
    tcb.rcv_nxt += n;
    tcb.stats.bytes_received += u64::from(n);
    if tcb.facts.contains(Fact::NO_READ) {
        return; // the application shut its reading side down: taken and forgotten
    }
    let queue = tcb.receive.get_or_insert_with(|| cx.pool.take_receiver());
    queue.push(cx.pool, payload, false);
}

/// As [`deliver`], for what came in order.
#[inline]
fn deliver_text(tcb: &mut Tcb, pool: &mut Pool, text: Text<'_>) {
    let n = text.len() as u32;
    tcb.rcv_nxt += n;
    tcb.stats.bytes_received += u64::from(n);
    if tcb.facts.contains(Fact::NO_READ) {
        return;
    }
    let queue = tcb.receive.get_or_insert_with(|| pool.take_receiver());
    queue.push_text(pool, text);
}

/// SHLD-18, SHLD-19, MUST-58: an ACK for every second full segment, else delayed (MUST-40); at once when a gap was
/// filled (RFC 5681 section 4.2).
#[inline]
fn owe_ack(tcb: &mut Tcb, now: Instant, config: &Config, filled: bool) {
    if !matches!(tcb.ack_owed, AckOwed::No | AckOwed::Delayed) {
        return;
    }
    let waiting = tcb.rcv_nxt.since(tcb.last_ack_sent);
    let enough = match config.profile {
        Profile::Rfc => 2 * u32::from(tcb.rcv_mss),
        Profile::Linux => u32::from(tcb.rcv_mss) + 1, // __tcp_ack_snd_check: more than one segment
    };
    tcb.ack_owed = if filled {
        AckOwed::Now(AckCause::GapFilled)
    } else if waiting >= enough {
        AckOwed::Now(AckCause::EverySecondSegment)
    } else if tcb.switches.quick_ack || tcb.quick_acks > 0 && !tcb.facts.contains(Fact::INTERACTIVE) {
        tcb.quick_acks = tcb.quick_acks.saturating_sub(1);
        AckOwed::Now(AckCause::Quick)
    } else {
        if tcb.ack_owed == AckOwed::No {
            tcb.ack_at = now + config.delayed_ack;
        }
        AckOwed::Delayed
    };
}

/// SHLD-31, MAY-13: the text is held behind the gap, and the ACK at once says where the gap is.
fn out_of_order(tcb: &mut Tcb, cx: &mut Scope<'_>, seq: SeqNumber, payload: Payload) {
    let store = tcb.reassembly.get_or_insert_with(|| Box::new(Reassembly::new()));
    match store.insert(seq, payload) {
        Ok(inserted) => {
            if let Some(block) = inserted.duplicate {
                report_duplicate(tcb, block.start, block.end);
            }
        }
        Err(ReassemblyFull) => cx.dropped(tcb, DropReason::ReassemblyFull),
    }
    tcb.ack_owed = AckOwed::Now(AckCause::OutOfOrder);
    tcb.dup_acks_owed = tcb.dup_acks_owed.saturating_add(1);
}

/// RFC 2883: the first SACK block of the next ACK says which octets came twice.
fn report_duplicate(tcb: &mut Tcb, start: SeqNumber, end: SeqNumber) {
    if tcb.facts.contains(Fact::SACK) && start.before(end) {
        tcb.dsack = Some(Box::new(SackBlock { start, end }));
    }
}

/// Learns the size of the peer's full segments, for "every second full-sized segment" (RFC 5681 section 4.2).
#[inline]
fn note_size(tcb: &mut Tcb, payload_len: u32) {
    // A device that joins segments (GRO) delivers more than one at once: no segment is longer than the link takes.
    let size = payload_len.min(u32::from(tcb.path.mtu) - 40) as u16;
    if size > tcb.rcv_mss {
        tcb.rcv_mss = size;
    }
}
