//! One short segment, sent at once: what a connection in its usual state has to send most often.
//!
//! A message that fits into the head of a frame, an acknowledgment or a FIN alone, on a connection over IPv4 that is recovering
//! from nothing. [`plan`] knows it by the rules of [`super::egress`], where each of them can only have one
//! outcome; the book-keeping is that of every segment, and the headers are written in one go ([`crate::wire::plain`]). Anything
//! else is left to [`super::quick_bare`] and to the general path.
//!
//! Three steps, each a function of its own: what they need at once fits the processor's registers, which it did not in one
//! (a tenth of the instructions of an exchange moved values to the stack and back). For the same reason nothing but the
//! block itself is handed on: what is rare opens it again.

use core::hint::cold_path;

use super::choices::Extra;
use super::conn::{AckOwed, Fact, FinOut, Phase, ProbeOwed, Recovery, Tcb};
use super::dispatch::Around;
use super::ecn;
use super::egress::{Kind as Sends, Plan};
use super::scope::has_news;
use super::sent;
use super::table::{Slot, Tcp};
use super::timers::Look;
use super::transmit::watch;
use super::{EcnField, Flags, Timestamps};
use crate::config::Config;
use crate::demux::{Entry, FourTuple, Kind};
use crate::frame::{Frame, INLINE_PAYLOAD, TxMeta};
use crate::iface::{IpLayer, PlainLink};
use crate::stack::{SocketId, Stack};
use crate::time::Instant;
use crate::trace::{AckCause, Cause, Trace, TraceKind, TraceMask, Tuple};
use crate::wire::plain::{self, Plain};

/// Room for the longest of them.
pub(super) const ROOM: usize = plain::LEN + INLINE_PAYLOAD;

/// What is sent: a message, a FIN, or an acknowledgment alone.
struct Short {
    len: u32,
    fin: bool,
    cause: Cause,
}

/// Of the whole stack, not of TCP alone: so what they need beside the block lies at fixed places from one address, and nobody
/// gathers it for each segment.
impl Stack {
    /// Writes what the entry that is next has to send, if it is such a segment: what it is and its length. Otherwise
    /// nothing has changed. Nothing else may wait to leave before.
    #[inline(always)]
    pub(crate) fn quick(
        &mut self,
        now: Instant,
        next: Entry,
        out: &mut [u8; ROOM],
    ) -> Option<(TxMeta, usize)> {
        #[cfg(test)]
        if self.tcp.general_only {
            return None;
        }
        // Told apart here, where it costs those nothing that need many registers.
        if next.is_connection() {
            self.quick_short(now, next, out)
        } else {
            self.quick_other(now, next, out)
        }
    }

    /// As [`Stack::quick`], of what is no connection.
    #[inline(never)]
    fn quick_other(&mut self, now: Instant, next: Entry, out: &mut [u8; ROOM]) -> Option<(TxMeta, usize)> {
        match next.kind() {
            Kind::HalfOpen => self.quick_syn_ack(now, next.slot(), out),
            _ => self.quick_last_ack(now, next.slot(), out),
        }
    }

    /// As [`Stack::quick`], as the head of a frame.
    #[inline]
    pub(crate) fn quick_frame(&mut self, now: Instant, next: Entry, out: &mut Frame) -> Option<TxMeta> {
        let room = out.head.extend(ROOM);
        let sent = room
            .first_chunk_mut()
            .and_then(|room| self.quick(now, next, room));
        out.head.truncate(sent.as_ref().map_or(0, |sent| sent.1));
        sent.map(|(meta, _)| meta)
    }

    /// As [`Stack::quick`], of a connection or of one that is to be.
    #[inline(never)]
    fn quick_short(&mut self, now: Instant, entry: Entry, out: &mut [u8; ROOM]) -> Option<(TxMeta, usize)> {
        let slot = entry.slot();
        let Stack {
            config,
            trace,
            ip,
            tcp,
            ..
        } = self;
        let Some(Slot::Open(tcb)) = tcp.tables.sockets.at_mut(slot) else {
            return self.quick_syn(now, slot, out);
        };
        let tcb = &mut **tcb; // the box is looked into once
        if !goes_plain(tcb, config, ip) {
            cold_path();
            return None;
        }
        let unsent = tcb.unsent();
        if unsent > 0 {
            sent::restart_after_idle(tcb, now, config, trace);
        }
        let short = plan(tcb, unsent)?;
        let len = plain::LEN + short.len as usize;
        let out = &mut out[..len];
        if short.len > 0 && !copy_text(tcb, &mut out[plain::LEN..]) {
            return None;
        }

        // From here on it is sent.
        tcp.ready.pop_front();
        let meta = TxMeta {
            interface: tcb.path.interface,
            gso_size: 0,
            checksum: None,
            cause: short.cause,
        };
        let traced = if trace.wants(TraceMask::SEGMENTS) {
            cold_path();
            Some((tcb.id, tcb.tuple))
        } else {
            None
        };
        write_headers(tcb, config, now, ip, out);
        sent::commit_short(tcb, config, now, trace, short.len, short.fin);
        match next_deadline(tcb, config, now) {
            Some(at) => {
                if at < tcb.wakes_at {
                    tcb.wakes_at = at;
                    tcp.wheel.schedule(&mut tcb.wheel, entry.raw(), at);
                }
                debug_assert!(!has_news(tcb), "told when it came");
            }
            None => {
                cold_path();
                self.with_tcp(now, |tcp, cx| tcp.watch(cx, slot));
            }
        }
        if let Some((id, tuple)) = traced {
            trace_sent(&mut self.trace, now, id, &tuple, out, short.cause);
        }
        #[cfg(test)]
        {
            self.tcp.short_ways[1] += 1;
        }
        Some((meta, len))
    }
}

impl Tcp {
    /// Looks at the timers of a connection that waits for more than an answer.
    #[inline(never)]
    fn watch(&mut self, cx: &mut Around<'_, '_>, slot: u32) {
        if let Some((tcb, mut scope)) = self.open(cx.env, cx.events, slot)
            && let Look::Over(fate) = watch(tcb, &mut scope)
        {
            self.settle(cx, slot, fate);
        }
    }
}

/// Whether the connection's segments leave as this module writes them.
#[inline(always)]
fn goes_plain(tcb: &Tcb, config: &Config, ip: &IpLayer) -> bool {
    // Where DF stays off, headers are others.
    u32::from(tcb.path.mtu) > config.path_mtu_min
        && tcb.path.plain != PlainLink::No
        && tcb.route_generation == ip.generation()
}

/// Writes the headers of the segment whose payload stands at the end of `out`, or that is a FIN, if one is queued; the peer knows
/// all that it could be told by then.
#[inline(never)]
fn write_headers(tcb: &mut Tcb, config: &Config, now: Instant, ip: &mut IpLayer, out: &mut [u8]) {
    let (Some((source, destination)), Some((headers, text))) =
        (tcb.tuple.as_v4(), out.split_first_chunk_mut())
    else {
        return;
    };
    let fin = tcb.fin_out == FinOut::Queued;
    let window = sent::tell_window(tcb);
    let (marks, ecn) = if tcb.facts.contains(Fact::ECN) {
        marks(tcb, text.len() as u32, fin)
    } else {
        (Flags::empty(), EcnField::NotEct)
    };
    // MUST-61: what is sent is all that is queued.
    let end = match (text.is_empty(), fin) {
        (false, _) => Flags::PSH,
        (true, true) => Flags::FIN,
        (true, false) => Flags::empty(),
    };
    let header = Plain {
        source,
        destination,
        source_port: tcb.tuple.local_port(),
        destination_port: tcb.tuple.remote_port(),
        traffic_class: ecn.in_class(tcb.switches.traffic_class),
        hop_limit: match (tcb.switches.hop_limit, tcb.path.hop_limit) {
            (0, 0) => config.hop_limit,
            (0, told) => told,
            (chosen, _) => chosen,
        },
        identification: ip.atomic_id(),
        seq: tcb.snd_nxt,
        ack: tcb.rcv_nxt,
        flags: Flags::ACK.union(end).union(marks),
        window,
        timestamps: Timestamps {
            value: tcb.ts_now(now),
            echo: tcb.ts_recent,
        },
    };
    header.emit(text, tcb.path.plain == PlainLink::Summed, headers);
}

/// What the segment carries of ECN, where that was agreed.
#[inline(never)]
fn marks(tcb: &Tcb, len: u32, fin: bool) -> (Flags, EcnField) {
    // The segment as the general steps have it.
    let plan = Plan {
        seq: tcb.snd_nxt,
        len,
        fin,
        kind: if len > 0 || fin { Sends::New } else { Sends::Bare },
        cause: Cause::Data,
    };
    ecn::outgoing(tcb, &plan)
}

/// When the connection is to be woken, if it waits for nothing but an answer to what is in flight: [`super::timers::look`] with
/// only those of its questions that can have an answer.
#[inline(always)]
fn next_deadline(tcb: &Tcb, config: &Config, now: Instant) -> Option<Instant> {
    if tcb.extra.as_ref().is_some_and(|extra| has_deadlines(extra)) {
        return None;
    }
    if tcb.rexmt_at.is_never() {
        // Or for nothing at all, and keeps its place in the wheel until that comes.
        let idle = tcb.stalled_since.is_never()
            && !tcb.wakes_at.is_never()
            && tcb.send.is_none()
            && tcb.fin_out == FinOut::No;
        return idle.then_some(Instant::NEVER);
    }
    let at = tcb.rexmt_at.min(tcb.stalled_since + config.r2);
    (!tcb.stalled_since.is_never() && tcb.snd_wnd > 0 && at > now).then_some(at)
}

#[cold]
#[inline(never)]
fn has_deadlines(extra: &Extra) -> bool {
    !extra.end_at.is_never() || extra.options.user_timeout.is_some() || extra.options.keepalive.is_some()
}

/// The facts of which the short way wants timestamps alone. Who reads no more is told so where news are looked for.
const FACTS: Fact = Fact::TIMESTAMPS
    .union(Fact::PROBING)
    .union(Fact::DOUBTED)
    .union(Fact::NO_READ);

/// All that the connection has to send, if it is one short segment that nothing holds back.
#[inline(always)]
fn plan(tcb: &Tcb, len: u32) -> Option<Short> {
    // Compared together, not one after the other: all of them hold nearly always.
    let nothing_owed = (tcb.phase == Phase::Live)
        & (tcb.recovery == Recovery::Open)
        & (tcb.probe_owed == ProbeOwed::No)
        & (tcb.dup_acks == 0)
        & (tcb.dup_acks_owed == 0)
        & tcb.reset_owed.is_none();
    let nothing_kept =
        tcb.scoreboard.is_none() & tcb.reassembly.is_none() & tcb.dsack.is_none() & tcb.urgent.is_none();
    let usual = nothing_owed
        && nothing_kept
        && tcb.facts.intersection(FACTS) == Fact::TIMESTAMPS
        && matches!(tcb.fin_out, FinOut::No | FinOut::Queued);
    if !usual {
        cold_path();
        return None;
    }
    let fin = tcb.fin_out == FinOut::Queued;
    let cause = if fin {
        // A FIN alone waits for nothing but the peer's window.
        if len > 0 || tcb.outstanding() >= tcb.snd_wnd {
            return None;
        }
        Cause::Fin
    } else if len > 0 {
        if !may_go(tcb, len) {
            return None;
        }
        Cause::Data
    } else {
        match tcb.ack_owed {
            AckOwed::Now(cause) => Cause::Ack(cause),
            AckOwed::Open => Cause::OpenComplete,
            AckOwed::No | AckOwed::Delayed if tcb.facts.contains(Fact::UPDATE_OWED) => {
                Cause::Ack(AckCause::WindowUpdate)
            }
            AckOwed::No | AckOwed::Delayed | AckOwed::Challenge(_) => return None,
        }
    };
    Some(Short { len, fin, cause })
}

/// Whether a message of so many octets is short, fits both windows, and does not wait for another (Nagle).
#[inline(always)]
fn may_go(tcb: &Tcb, len: u32) -> bool {
    let in_flight = tcb.outstanding();
    len <= INLINE_PAYLOAD as u32
        && len < u32::from(tcb.snd_mss)
        && in_flight + len <= tcb.snd_wnd
        && in_flight + len <= tcb.congestion.cwnd()
        && !tcb.switches.cork
        && (in_flight == 0 || tcb.switches.nodelay)
}

/// Copies what follows SND.NXT, if it lies where nobody shares it.
#[inline(always)]
fn copy_text(tcb: &Tcb, text: &mut [u8]) -> bool {
    tcb.send
        .as_ref()
        .is_some_and(|buffer| buffer.copy_from_tail(tcb.outstanding(), text))
}

/// Traces the segment that was written.
#[cold]
#[inline(never)]
fn trace_sent(
    trace: &mut Trace,
    now: Instant,
    id: SocketId,
    tuple: &FourTuple,
    written: &[u8],
    cause: Cause,
) {
    let Some((headers, text)) = written.split_first_chunk() else {
        return;
    };
    trace.record(TraceMask::SEGMENTS, now, Some(id), || TraceKind::SegmentOut {
        tuple: Tuple::from(*tuple),
        segment: plain::segment(headers, text.len() as u32),
        cause,
    });
}
