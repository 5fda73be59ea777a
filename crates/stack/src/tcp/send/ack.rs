//! What an acknowledgment does to the sending side (RFC 9293 section 3.10.7.4, fifth; RFC 5681; RFC 6582; RFC 6675).

use alloc::boxed::Box;
use core::hint::cold_path;

use crate::config::Config;
use crate::pool::Pool;
use crate::stack::Readiness;
use crate::tcp::conn::{Fact, FinIn, FinOut, ProbeOwed, Recovery, Tcb};
use crate::tcp::rtt::expected_samples;
use crate::tcp::scope::{self, Scope, trace_congestion};
use crate::tcp::{Flags, Segment, SeqNumber, Timestamps};
use crate::tcp::{ecn, urgent};
use crate::time::{Duration, Instant};
use crate::trace::{CongestionChange, Trace, TraceKind, TraceMask, Transition};
use crate::wire::plain::Arrived;

/// Three duplicate ACKs mean loss (RFC 5681 section 3.2).
pub(crate) const DUP_THRESH: u8 = 3;

/// Processes SEG.ACK, its SACK blocks and SEG.WND. The ACK lies in the acceptable range.
pub(crate) fn process(tcb: &mut Tcb, cx: &mut Scope<'_>, seg: &Segment) {
    let flight = tcb.flight();
    let news = take_sack(tcb, seg);
    let echo = ecn::is_echo(tcb, seg);
    let window_before = tcb.snd_wnd;
    let advanced = seg.ack.after(tcb.snd_una);
    let acked = if advanced { advance(tcb, cx, seg) } else { 0 };
    update_window(tcb, cx, seg);
    if advanced {
        after_advance(tcb, cx, seg, acked, flight, echo);
        if news == News::Sacked && tcb.recovery == Recovery::Open {
            // RFC 6675 section 2: blocks with news make a duplicate of any ACK, whether it moves SND.UNA or not.
            duplicate(tcb, cx, news);
        }
    } else if is_duplicate(tcb, seg, window_before) || news == News::Sacked {
        duplicate(tcb, cx, news);
    }
    if echo {
        ecn::echo_arrives(tcb, cx, flight);
    }
    tcb.check();
}

/// Whether an acknowledgment of something new, without SACK blocks, does no more than [`progress`].
#[inline(always)]
pub(crate) fn is_ordinary(tcb: &Tcb) -> bool {
    tcb.recovery == Recovery::Open
        && tcb.scoreboard.is_none()
        && tcb.urgent.is_none()
        && !tcb.facts.contains(Fact::PROBING)
}

/// As [`process`], where nothing is lost, urgent or probed for, and SEG.ACK acknowledges something new and echoes no
/// mark.
///
/// The acknowledgment of a FIN alone, here as there, is no round-trip sample and opens no congestion window: nothing follows
/// that either could serve.
#[inline(never)]
pub(crate) fn progress(
    tcb: &mut Tcb,
    now: Instant,
    config: &Config,
    trace: &mut Trace,
    pool: &mut Pool,
    seg: &Arrived,
) {
    let flight = tcb.outstanding();
    let acked = seg.ack.since(tcb.snd_una);
    let fin = acknowledges_fin(tcb, seg.ack);
    let octets = acked - u32::from(fin);
    if octets > 0 {
        measure(tcb, now, config, trace, seg.ack, Some(seg.timestamps));
    }
    if tcb.send.is_some() {
        release_octets(tcb, pool, octets);
    }
    tcb.snd_una = seg.ack;
    tcb.stats.bytes_acked += u64::from(octets);
    if fin {
        let brings_fin = brings_fin(tcb, seg.flags, seg.payload_len, seg.seq);
        fin_acknowledged(tcb, now, config, trace, brings_fin);
    }
    if tcb.facts.contains(Fact::WANTS_ROOM) && tcb.room() as u32 >= tcb.snd_buf_max / 3 {
        tcb.facts.remove(Fact::WANTS_ROOM);
        tcb.pending |= Readiness::WRITABLE;
    }
    // Nothing is probed for, so none that was closed opens.
    learn_window(tcb, now, trace, seg.seq, seg.ack, seg.window);
    tcb.dup_acks = 0;
    tcb.probes = 0;
    tcb.facts.remove(Fact::R1_TOLD);
    tcb.rtt.on_progress();
    tcb.first_again = 0;
    let change = if octets > 0 {
        let limited = tcb.facts.contains(Fact::APP_LIMITED);
        let mss = u32::from(tcb.snd_mss);
        tcb.congestion
            .on_ack(now, acked, tcb.srtt(), flight, mss, limited)
    } else {
        None
    };
    if tcb.outstanding() == 0 {
        tcb.stalled_since = Instant::NEVER;
        tcb.rexmt_at = Instant::NEVER;
    } else {
        cold_path(); // laid aside: it is long, and one segment at a time never has it
        tcb.stalled_since = now;
        tcb.rexmt_at = now + tcb.rto(config);
    }
    if let Some(why) = change {
        trace_congestion(tcb, now, trace, why);
    }
    tcb.check();
}

/// Whether SACK blocks told of octets that we did not know to have arrived.
#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    None,
    Sacked,
}

#[inline(always)]
fn take_sack(tcb: &mut Tcb, seg: &Segment) -> News {
    if seg.options.sack.is_empty() {
        return News::None;
    }
    take_blocks(tcb, seg)
}

#[inline(never)]
fn take_blocks(tcb: &mut Tcb, seg: &Segment) -> News {
    if !tcb.facts.contains(Fact::SACK) || tcb.outstanding() == 0 {
        return News::None;
    }
    if seg.ack.before(tcb.snd_una) {
        return News::None; // its blocks speak of what has been acknowledged since
    }
    let board = tcb.scoreboard.get_or_insert_with(Box::default);
    let update = board.update(seg.ack, &seg.options.sack, tcb.snd_nxt);
    if board.is_empty() && tcb.recovery == Recovery::Open {
        tcb.scoreboard = None;
    }
    if update.newly_sacked > 0 {
        News::Sacked
    } else {
        News::None
    }
}

/// SEG.ACK moves SND.UNA: the retained copies before it go, and what waited for them is told. Returns the octets of
/// sequence space that it acknowledged.
fn advance(tcb: &mut Tcb, cx: &mut Scope<'_>, seg: &Segment) -> u32 {
    let acked = seg.ack.since(tcb.snd_una);
    let fin = acknowledges_fin(tcb, seg.ack);
    let octets = acked - u32::from(fin);
    if octets > 0 {
        measure_any(tcb, cx, seg);
    }
    release_octets(tcb, cx.pool, octets);
    tcb.snd_una = seg.ack;
    tcb.stats.bytes_acked += u64::from(octets);
    if let Some(board) = &mut tcb.scoreboard {
        board.advance(tcb.snd_una);
        if board.is_empty() && tcb.recovery == Recovery::Open {
            tcb.scoreboard = None;
        }
    }
    urgent::acknowledged(tcb);
    if fin {
        let brings_fin = brings_fin(tcb, seg.flags, seg.payload_len, seg.seq);
        fin_acknowledged(tcb, cx.now, cx.config, cx.trace, brings_fin);
    }
    if tcb.facts.contains(Fact::WANTS_ROOM) && tcb.room() as u32 >= tcb.snd_buf_max / 3 {
        tcb.facts.remove(Fact::WANTS_ROOM);
        tcb.pending |= Readiness::WRITABLE;
    }
    acked
}

/// Drops what is acknowledged from the send buffer, and the buffer with its last octet.
#[inline(never)]
fn release_octets(tcb: &mut Tcb, pool: &mut Pool, octets: u32) {
    if let Some(buffer) = &mut tcb.send {
        buffer.ack(pool, octets);
        if buffer.is_empty()
            && let Some(empty) = tcb.send.take()
        {
            pool.give_sender(empty);
        }
    }
}

/// Whether SEG.ACK acknowledges our FIN, for the first time.
#[inline(always)]
fn acknowledges_fin(tcb: &Tcb, ack: SeqNumber) -> bool {
    tcb.fin_out == FinOut::Sent && ack == tcb.snd_nxt
}

/// Our FIN is acknowledged, by a segment that `brings_fin` or does not.
fn fin_acknowledged(tcb: &mut Tcb, now: Instant, config: &Config, trace: &mut Trace, brings_fin: bool) {
    let from = scope::state_before(tcb, trace);
    tcb.fin_out = FinOut::Acked;
    // A fully closed connection does not wait for ever for the peer's FIN; linger's purpose is fulfilled.
    let waits = tcb.facts.contains(Fact::ORPHAN) && tcb.fin_in == FinIn::No && !brings_fin;
    if waits {
        cold_path();
        tcb.set_end(now + config.fin_wait_2);
    } else if tcb.extra.is_some() {
        cold_path();
        tcb.set_end(Instant::NEVER);
    }
    scope::moved(tcb, now, trace, from, Transition::FinAcked);
}

/// Whether the segment is the peer's FIN, next in sequence and without text, which will be taken after its acknowledgment.
fn brings_fin(tcb: &Tcb, flags: Flags, payload_len: u32, seq: SeqNumber) -> bool {
    flags.contains(Flags::FIN)
        && payload_len == 0
        && seq == tcb.rcv_nxt
        && tcb.rcv_wnd() > 0
        && !tcb.facts.contains(Fact::FIN_AHEAD)
}

/// Takes a round-trip sample: from the segment being timed, or from the echoed timestamp, which is unambiguous even
/// after a retransmission (Karn's rule, RFC 6298 section 3, MUST-18).
#[inline(always)]
fn measure(
    tcb: &mut Tcb,
    now: Instant,
    config: &Config,
    trace: &mut Trace,
    ack: SeqNumber,
    timestamps: Option<Timestamps>,
) {
    let mut expected = 1;
    let sample = match tcb.timed() {
        Some((end, at)) if ack.at_or_after(end) => {
            tcb.facts.remove(Fact::TIMED);
            u64::from((now.as_micros() as u32).wrapping_sub(at))
        }
        Some(_) => return,
        None => match timestamps {
            Some(ts) if tcb.facts.contains(Fact::TIMESTAMPS) && ts.echo != 0 => {
                let ticks = tcb.ts_now(now).wrapping_sub(ts.echo);
                if ticks > i32::MAX as u32 {
                    return; // an echo of what we never sent
                }
                expected = expected_samples(tcb.outstanding(), u32::from(tcb.snd_mss));
                u64::from(ticks) * 1000
            }
            _ => return,
        },
    };
    tcb.rtt.on_sample_micros(now, sample, expected);
    if trace.wants(TraceMask::FLOW) {
        trace_sample(tcb, now, config, trace, Duration::from_micros(sample));
    }
}

#[inline(never)]
fn measure_any(tcb: &mut Tcb, cx: &mut Scope<'_>, seg: &Segment) {
    measure(tcb, cx.now, cx.config, cx.trace, seg.ack, seg.options.timestamps);
}

#[cold]
#[inline(never)]
fn trace_sample(tcb: &Tcb, now: Instant, config: &Config, trace: &mut Trace, sample: Duration) {
    trace.record(TraceMask::FLOW, now, Some(tcb.id), || TraceKind::Rtt {
        sample,
        srtt: tcb.srtt(),
        rttvar: tcb.rtt.rttvar().unwrap_or_default(),
        rto: tcb.rto(config),
    });
}

/// SND.UNA has moved: timers, recovery and the congestion window follow.
fn after_advance(tcb: &mut Tcb, cx: &mut Scope<'_>, seg: &Segment, acked: u32, flight: u32, echo: bool) {
    tcb.dup_acks = 0;
    tcb.probes = 0;
    tcb.facts.remove(Fact::R1_TOLD);
    if !tcb.facts.contains(Fact::PROBING) {
        tcb.rtt.on_progress();
    }
    if was_spurious(tcb, seg) {
        undo(tcb, cx);
    }
    let done = tcb.outstanding() == 0;
    tcb.stalled_since = if done { Instant::NEVER } else { cx.now };
    // RFC 6298 section 5.2 and 5.3.
    let restart = if done {
        Instant::NEVER
    } else {
        cx.now + tcb.rto(cx.config)
    };
    let change = if tcb.recovery == Recovery::Open {
        grow(tcb, cx, acked, flight, echo)
    } else {
        recover(tcb, cx, acked, flight, echo)
    };
    cx.congestion(tcb, change);
    if !tcb.facts.contains(Fact::PROBING) {
        tcb.rexmt_at = restart;
    }
}

/// What an acknowledgment of something new does while a loss is repaired.
#[inline(never)]
fn recover(tcb: &mut Tcb, cx: &Scope<'_>, acked: u32, flight: u32, echo: bool) -> Option<CongestionChange> {
    let mss = u32::from(tcb.snd_mss);
    match tcb.recovery {
        Recovery::Fast { recover, .. } if tcb.snd_una.at_or_after(recover) => {
            leave_recovery(tcb);
            tcb.congestion.on_exit_recovery(tcb.outstanding(), mss);
            Some(CongestionChange::ExitRecovery)
        }
        Recovery::Fast {
            recover,
            high_rxt,
            rescued,
        } => {
            tcb.recovery = Recovery::Fast {
                recover,
                high_rxt: high_rxt.later(tcb.snd_una),
                rescued,
            };
            partial_ack(tcb, acked, mss)
        }
        Recovery::Loss { recover, .. } if tcb.snd_una.at_or_after(recover) => {
            leave_recovery(tcb);
            grow(tcb, cx, acked, flight, echo)
        }
        Recovery::Loss { recover, next } => {
            tcb.recovery = Recovery::Loss {
                recover,
                next: next.later(tcb.snd_una),
            };
            grow(tcb, cx, acked, flight, echo)
        }
        Recovery::Open => grow(tcb, cx, acked, flight, echo),
    }
}

fn grow(tcb: &mut Tcb, cx: &Scope<'_>, acked: u32, flight: u32, echo: bool) -> Option<CongestionChange> {
    if echo || acked == 1 && tcb.fin_out == FinOut::Acked {
        return None; // a marked window does not grow (RFC 3168 section 6.1.2), and none for a FIN alone
    }
    let limited = tcb.facts.contains(Fact::APP_LIMITED);
    tcb.congestion
        .on_ack(cx.now, acked, tcb.srtt(), flight, u32::from(tcb.snd_mss), limited)
}

/// A partial ACK: with SACK the scoreboard knows what goes next; without, it is the next hole (RFC 6582 section 3.2).
fn partial_ack(tcb: &mut Tcb, acked: u32, mss: u32) -> Option<CongestionChange> {
    if tcb.facts.contains(Fact::SACK) {
        return None;
    }
    tcb.probe_owed = ProbeOwed::Partial;
    tcb.congestion.on_partial_ack(acked, mss);
    Some(CongestionChange::Recovery)
}

/// Eifel detection (RFC 3522): the first ACK after a retransmission that echoes a timestamp from before it answers the
/// original, which was therefore not lost but late.
fn was_spurious(tcb: &mut Tcb, seg: &Segment) -> bool {
    let first = core::mem::take(&mut tcb.first_again);
    let Some(ts) = seg.options.timestamps else {
        return false;
    };
    tcb.recovery != Recovery::Open
        && tcb.facts.contains(Fact::TIMESTAMPS)
        && first != 0
        && ts.echo != 0
        && (ts.echo.wrapping_sub(first) as i32) < 0
}

/// The response (RFC 4015): the reduction is taken back, and sending goes on where it was.
#[cold]
#[inline(never)]
fn undo(tcb: &mut Tcb, cx: &mut Scope<'_>) {
    if tcb.congestion.undo() {
        leave_recovery(tcb);
        tcb.probe_owed = ProbeOwed::No;
        cx.congestion(tcb, Some(CongestionChange::Undone));
    }
}

fn leave_recovery(tcb: &mut Tcb) {
    tcb.first_again = 0;
    tcb.recovery = Recovery::Open;
    tcb.facts.remove(Fact::PATH_SHRUNK);
    if tcb.scoreboard.as_ref().is_some_and(|b| b.is_empty()) {
        tcb.scoreboard = None;
    }
}

/// RFC 5681 section 2: acknowledges nothing new, carries nothing, changes no window, while data is outstanding.
fn is_duplicate(tcb: &Tcb, seg: &Segment, window_before: u32) -> bool {
    seg.ack == tcb.snd_una
        && tcb.outstanding() > 0
        && seg.is_empty()
        && tcb.snd_wnd == window_before
        && !tcb.facts.contains(Fact::PROBING)
}

/// A duplicate ACK, or one with news from SACK blocks: counts towards fast retransmit, or keeps recovery going.
fn duplicate(tcb: &mut Tcb, cx: &mut Scope<'_>, news: News) {
    let sack = tcb.facts.contains(Fact::SACK);
    let mss = u32::from(tcb.snd_mss);
    match tcb.recovery {
        Recovery::Fast { .. } if !sack => {
            tcb.congestion.on_recovery_dup_ack(mss);
            cx.congestion(tcb, Some(CongestionChange::Recovery));
        }
        Recovery::Fast { .. } | Recovery::Loss { .. } => {}
        Recovery::Open => {
            // RFC 6675 section 5: with SACK a duplicate counts only if it tells of new octets.
            if !sack || news == News::Sacked {
                tcb.dup_acks = tcb.dup_acks.saturating_add(1);
            }
            let lost = tcb
                .scoreboard
                .as_ref()
                .is_some_and(|b| b.is_lost(tcb.snd_una, mss));
            if tcb.dup_acks >= DUP_THRESH || lost {
                enter_recovery(tcb, cx, mss);
            }
        }
    }
}

/// RFC 6675 section 5 (4), RFC 6582 section 3.2 step 2: remember where it ends, halve the window, send the first hole.
fn enter_recovery(tcb: &mut Tcb, cx: &mut Scope<'_>, mss: u32) {
    tcb.recovery = Recovery::Fast {
        recover: tcb.snd_nxt,
        high_rxt: tcb.snd_una,
        rescued: false,
    };
    tcb.probe_owed = ProbeOwed::Fast;
    tcb.facts.remove(Fact::TIMED);
    // FlightSize: all that is not acknowledged, SACKed or not, without what limited transmit sent beyond the window (RFC
    // 5681 section 3.2 step 2, RFC 6675 section 5 step 4.2).
    let flight_size = tcb.outstanding().min(tcb.congestion.cwnd());
    // RFC 3168 section 6.1.2: where a mark has reduced the window since the lost octet was sent, the loss does not again.
    if !ecn::was_reduced_since(tcb, tcb.snd_una) {
        tcb.congestion.on_enter_recovery(cx.now, flight_size, mss);
        ecn::window_reduced(tcb);
    }
    if !tcb.facts.contains(Fact::SACK) {
        tcb.congestion.inflate(u32::from(DUP_THRESH) * mss);
    }
    cx.congestion(tcb, Some(CongestionChange::EnterRecovery));
}

/// RFC 9293 section 3.10.7.4: SND.WND is taken from a segment that is not older than the last that set it. A window may
/// shrink (MUST-34); what is in flight beyond it is then probed for, not timed out (SHLD-15..17).
fn update_window(tcb: &mut Tcb, cx: &mut Scope<'_>, seg: &Segment) {
    if learn_window(tcb, cx.now, cx.trace, seg.seq, seg.ack, seg.window) {
        window_opened(tcb, cx);
    }
}

/// As [`update_window`], but for what follows when a closed window has opened; says whether it has.
#[inline(always)]
pub(crate) fn learn_window(
    tcb: &mut Tcb,
    now: Instant,
    trace: &mut Trace,
    seq: SeqNumber,
    ack: SeqNumber,
    window: u16,
) -> bool {
    let newer = tcb.snd_wl1.before(seq) || tcb.snd_wl1 == seq && tcb.snd_wl2.at_or_before(ack);
    if !newer || ack.before(tcb.snd_una) {
        return false;
    }
    let window = u32::from(window) << tcb.snd_wscale; // REC-1: 32 bits (MUST-1: unsigned)
    tcb.snd_wl1 = seq;
    tcb.snd_wl2 = ack;
    if window == tcb.snd_wnd {
        return false;
    }
    tcb.snd_wnd = window;
    tcb.max_snd_wnd = tcb.max_snd_wnd.max(window);
    if trace.wants(TraceMask::FLOW) {
        trace_window(tcb, now, trace);
    }
    window > 0 && tcb.facts.contains(Fact::PROBING)
}

#[cold]
#[inline(never)]
fn trace_window(tcb: &Tcb, now: Instant, trace: &mut Trace) {
    let window = tcb.snd_wnd;
    trace.record(TraceMask::FLOW, now, Some(tcb.id), || TraceKind::SendWindow {
        window,
    });
}

/// A closed window opened: what was sent into it, as a probe or before it closed, was refused and goes again at once.
fn window_opened(tcb: &mut Tcb, cx: &mut Scope<'_>) {
    tcb.facts.remove(Fact::PROBING);
    tcb.probes = 0;
    tcb.rtt.on_progress();
    tcb.probe_owed = ProbeOwed::No;
    tcb.rexmt_at = Instant::NEVER;
    if tcb.outstanding() == 1 && tcb.recovery == Recovery::Open {
        // The octet of a probe, or a FIN: it goes again with what may follow it, as one segment.
        tcb.facts.remove(Fact::TIMED);
        tcb.probe_owed = ProbeOwed::Window;
        tcb.stalled_since = cx.now;
    } else if tcb.outstanding() > 0 {
        tcb.recovery = Recovery::Loss {
            recover: tcb.snd_nxt,
            next: tcb.snd_una,
        };
        tcb.facts.remove(Fact::TIMED);
        tcb.rexmt_at = cx.now + tcb.rto(cx.config);
        tcb.stalled_since = cx.now;
    }
}
