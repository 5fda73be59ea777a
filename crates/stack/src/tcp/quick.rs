//! One short segment, sent at once: what a connection in its usual state has to send most often.
//!
//! A message that fits into the head of a frame, an acknowledgment or a FIN alone, on a connection over IPv4 that is recovering
//! from nothing. [`plan`] knows it by the rules of [`super::egress`], where each of them can only have one
//! outcome; the book-keeping is that of every segment, and the headers are written in one go ([`crate::wire::plain`]). Anything
//! else is left to [`super::quick_bare`] and to the general path.

use super::conn::{AckOwed, Fact, FinOut, Phase, ProbeOwed, Recovery, Tcb};
use super::dispatch::Around;
use super::ecn;
use super::egress::{Kind as Sends, Plan};
use super::recv::window;
use super::scope::Scope;
use super::sent;
use super::table::Tcp;
use super::timers::Look;
use super::transmit::{hold, watch};
use super::{EcnField, Flags, Options, Segment, Timestamps};
use crate::frame::{INLINE_PAYLOAD, TxMeta};
use crate::iface::IpLayer;
use crate::stack::InterfaceId;
use crate::time::Instant;
use crate::trace::{AckCause, Cause, TraceKind, TraceMask, Tuple};
use crate::wire::plain::{self, Plain};

/// Room for the longest of them.
pub(super) const ROOM: usize = plain::LEN + INLINE_PAYLOAD;

impl Tcp {
    /// Writes what the connection that is next has to send, if it is such a segment: what it is and its length. Otherwise
    /// nothing has changed.
    #[inline]
    pub(super) fn quick(&mut self, cx: &mut Around<'_, '_>, out: &mut [u8; ROOM]) -> Option<(TxMeta, usize)> {
        #[cfg(test)]
        if self.general_only {
            return None;
        }
        let entry = *self.ready.front()?;
        if !entry.is_connection() {
            return self.quick_bare(cx, entry, out);
        }
        let slot = entry.slot();
        let Some((tcb, mut scope)) = self.open(cx.env, cx.events, slot) else {
            return self.quick_bare(cx, entry, out);
        };
        let (source, destination) = tcb.tuple.as_v4()?;
        // Where DF stays off, headers are others.
        let whole = tcb.path.mtu > scope.config.path_mtu_min;
        if !whole || tcb.route_generation != cx.ip.generation() {
            return None;
        }
        let checksums = plain_link(tcb.path.interface, cx.ip)?;
        sent::restart_after_idle(tcb, &mut scope);
        let plan = plan(tcb)?;
        let (headers, text) = out[..plain::LEN + plan.len as usize].split_first_chunk_mut()?;
        if plan.len > 0 && !copy_text(tcb, text) {
            return None;
        }

        // From here on it is sent.
        scope.ready.pop_front();
        tcb.facts.remove(Fact::QUEUED);
        sent::move_edge(tcb);
        let (marks, ecn) = ecn::outgoing(tcb, &plan);
        let end = match (plan.len > 0, plan.fin) {
            (true, _) => Flags::PSH,
            (false, true) => Flags::FIN,
            (false, false) => Flags::empty(),
        };
        let header = Plain {
            source,
            destination,
            source_port: tcb.tuple.local_port(),
            destination_port: tcb.tuple.remote_port(),
            traffic_class: ecn.in_class(tcb.switches.traffic_class),
            hop_limit: match (tcb.switches.hop_limit, tcb.path.hop_limit) {
                (0, 0) => scope.config.hop_limit,
                (0, told) => told,
                (chosen, _) => chosen,
            },
            identification: cx.ip.atomic_id(),
            seq: plan.seq,
            ack: tcb.rcv_nxt,
            // MUST-61: what is sent is all that is queued.
            flags: Flags::ACK.union(end).union(marks),
            window: window::field(tcb),
            timestamps: Timestamps {
                value: tcb.ts_now(scope.now),
                echo: tcb.ts_recent,
            },
        };
        header.emit(text, checksums, headers);
        let (id, tuple, interface) = (tcb.id, tcb.tuple, tcb.path.interface);
        sent::commit(tcb, &mut scope, &plan);
        tcb.segments_out = tcb.segments_out.wrapping_add(1);
        if tcb.held.is_some() {
            hold(tcb, &mut scope, None);
        }
        match next_deadline(tcb, &scope) {
            Some(at) => {
                if at < tcb.wakes_at {
                    tcb.wakes_at = at;
                    scope.wheel.schedule(&mut tcb.wheel, entry.raw(), at);
                }
                scope.announce(tcb);
            }
            None => {
                if let Look::Over(fate) = watch(tcb, &mut scope) {
                    self.settle(cx, slot, fate);
                }
            }
        }
        cx.env
            .trace
            .record(TraceMask::SEGMENTS, cx.env.now, Some(id), || {
                TraceKind::SegmentOut {
                    tuple: Tuple::from(tuple),
                    segment: segment_of(&header, plan.len),
                    cause: plan.cause,
                }
            });
        #[cfg(test)]
        {
            self.short_ways[1] += 1;
        }
        let meta = TxMeta {
            interface,
            gso_size: 0,
            checksum: None,
            cause: plan.cause,
        };
        Some((meta, plain::LEN + plan.len as usize))
    }
}

/// Whether packets leave this interface without link headers, and its device leaves checksums to us; if so, whether they are
/// made at all.
#[inline(always)]
pub(super) fn plain_link(interface: InterfaceId, ip: &IpLayer) -> Option<bool> {
    let capabilities = ip.plain_link(interface)?;
    match (capabilities.no_checksums, capabilities.tx_checksum) {
        (true, _) => Some(false),
        (false, false) => Some(true),
        (false, true) => None,
    }
}

/// When the connection is to be woken, if it waits for nothing but an answer to what is in flight: [`super::timers::look`] with
/// only those of its questions that can have an answer.
#[inline(always)]
fn next_deadline(tcb: &Tcb, scope: &Scope<'_>) -> Option<Instant> {
    let waits = !tcb.rexmt_at.is_never() && !tcb.stalled_since.is_never();
    let at = tcb.rexmt_at.min(tcb.stalled_since + scope.config.r2);
    let usual = tcb.extra.as_ref().is_none_or(|extra| {
        extra.end_at.is_never() && extra.options.user_timeout.is_none() && extra.options.keepalive.is_none()
    });
    (waits && usual && tcb.snd_wnd > 0 && at > scope.now).then_some(at)
}

/// The facts of which the short way wants timestamps alone.
const FACTS: Fact = Fact::TIMESTAMPS.union(Fact::PROBING).union(Fact::DOUBTED);

/// All that the connection has to send, if it is one short segment that nothing holds back.
#[inline(always)]
fn plan(tcb: &Tcb) -> Option<Plan> {
    let usual = tcb.phase == Phase::Live
        && tcb.recovery == Recovery::Open
        && matches!(tcb.fin_out, FinOut::No | FinOut::Queued)
        && tcb.probe_owed == ProbeOwed::No
        && tcb.dup_acks == 0
        && tcb.dup_acks_owed == 0
        && tcb.facts.intersection(FACTS) == Fact::TIMESTAMPS
        && tcb.reset_owed.is_none()
        && tcb.scoreboard.is_none()
        && tcb.reassembly.is_none()
        && tcb.dsack.is_none()
        && tcb.urgent.is_none();
    if !usual {
        return None;
    }
    let len = tcb.unsent();
    let fin = tcb.fin_out == FinOut::Queued;
    let (kind, cause) = if fin {
        // A FIN alone waits for nothing but the peer's window.
        if len > 0 || tcb.outstanding() >= tcb.snd_wnd {
            return None;
        }
        (Sends::New, Cause::Fin)
    } else if len > 0 {
        if !may_go(tcb, len) {
            return None;
        }
        (Sends::New, Cause::Data)
    } else {
        let cause = match tcb.ack_owed {
            AckOwed::Now(cause) => Cause::Ack(cause),
            AckOwed::Open => Cause::OpenComplete,
            AckOwed::No | AckOwed::Delayed if tcb.facts.contains(Fact::UPDATE_OWED) => {
                Cause::Ack(AckCause::WindowUpdate)
            }
            AckOwed::No | AckOwed::Delayed | AckOwed::Challenge(_) => return None,
        };
        (Sends::Bare, cause)
    };
    Some(Plan {
        seq: tcb.snd_nxt,
        len,
        fin,
        kind,
        cause,
    })
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

/// What the trace shows of it.
fn segment_of(header: &Plain, payload_len: u32) -> Segment {
    Segment {
        seq: header.seq,
        ack: header.ack,
        flags: header.flags,
        window: header.window,
        payload_len,
        options: Options {
            timestamps: Some(header.timestamps),
            ..Options::default()
        },
        ecn: EcnField::from_class(header.traffic_class),
        ..Segment::default()
    }
}
