//! Segments that reach a handshake: SYN-SENT, and SYN-RECEIVED of either kind of open (RFC 9293 sections 3.10.7.3 and
//! 3.10.7.4), up to the connection that comes of it.

use alloc::boxed::Box;
use core::hint::cold_path;

use super::burst::Reply;
use super::conn::{AckOwed, Fact, FinOut, Tcb};
use super::dispatch::{Around, state_moved};
use super::listen;
use super::open::{self, Handshake, Opening};
use super::scope;
use super::table::{Slot, Tcp};
use super::{Flags, Segment, SeqNumber, State};
use crate::demux::{Entry, FourTuple, Kind};
use crate::frame::{Frame, Text};
use crate::iface::Env;
use crate::stack::{Readiness, SocketId};
use crate::time::Instant;
use crate::trace::{Cause, DropReason, Transition};

impl Tcp {
    #[inline(never)]
    pub(super) fn at_syn_sent(
        &mut self,
        cx: &mut Around<'_, '_>,
        slot: u32,
        seg: &Segment,
        text: &mut Text<'_>,
    ) {
        let Some(place) = self.tables.sockets.at_mut(slot) else {
            return;
        };
        let Slot::SynSent(opening) = place else { return };
        let opening = &mut **opening;
        let from = opening.state();
        let mut answer = opening.answer(cx.env.config, seg);
        if answer.is_none() {
            let step = opening.segment_arrives(cx.env.config, seg);
            if !matches!(step, Opening::Established) {
                return self.opening_goes_on(cx, slot, step, from, text);
            }
            answer = opening.peer;
        }
        let Some(peer) = &answer else { return };
        // Our active open is answered: the block takes the place of the opening.
        let irs = peer.irs;
        let simultaneous = from == State::SynReceived;
        let now = cx.env.now;
        let mut tcb = open::establish(
            &mut Handshake {
                id: opening.id,
                tuple: &opening.tuple,
                hash: opening.hash,
                path: &opening.path,
                route_generation: cx.ip.generation(),
                options: &opening.options,
                iss: opening.iss,
                peer,
                told: opening.told,
                last: seg,
                ts_offset: opening.ts_offset,
                timed_from: match opening.tries {
                    0 => opening.sent_at,
                    _ => Instant::NEVER,
                },
                syn_lost: opening.tries > 0 && !simultaneous,
                waits: &mut opening.wheel,
            },
            cx.env.config,
            now,
            &mut self.spares,
            &mut self.wheel,
        );
        if !opening.queued {
            self.ready.push_back(Entry::new(Kind::Connection, slot));
        }
        tcb.pending = Readiness::CONNECTED | Readiness::WRITABLE;
        tcb.soft_error = opening.soft_error;
        // RFC 9293 section 3.10.7.3: the handshake's last ACK; queued data may go along with it (U-3).
        let (ack_owed, why) = match simultaneous {
            true => (AckOwed::No, Transition::SynAcked),
            false => (AckOwed::Open, Transition::SynAck),
        };
        tcb.ack_owed = ack_owed;
        state_moved(cx.env, Some(tcb.id), &tcb.tuple, from, State::Established, why);
        if opening.closing {
            close_at_once(&mut tcb, cx.env);
        }
        let kept = opening.text.take();
        scope::announce(&mut tcb, cx.events);
        self.spares.keep(core::mem::replace(place, Slot::Open(tcb)));
        if let Some(kept) = kept {
            self.kept_text(cx, slot, irs, seg, kept);
        }
        self.rest_of(cx, slot, seg, text);
    }

    /// What a segment did to an active open that is not established yet.
    #[inline(never)]
    fn opening_goes_on(
        &mut self,
        cx: &mut Around<'_, '_>,
        slot: u32,
        step: Opening,
        from: State,
        text: &mut Text<'_>,
    ) {
        let Some(Slot::SynSent(opening)) = self.tables.sockets.at_mut(slot) else {
            return;
        };
        match step {
            Opening::Waits => self.kick(Entry::new(Kind::Connection, slot)),
            Opening::Answer(segment, cause) => {
                let tuple = opening.tuple;
                if self.may_reset(cx.env) {
                    self.reply(Reply {
                        tuple,
                        segment,
                        cause: Cause::Reset(cause),
                    });
                }
            }
            Opening::Acknowledge(cause) => {
                let owed = AckOwed::of(cause);
                let first = core::mem::replace(&mut opening.ack_owed, owed) == AckOwed::No;
                self.owe_ack(cx.env, first, Entry::new(Kind::Connection, slot));
            }
            Opening::Simultaneous => {
                opening.text = open::keep_text(text, opening.told.window);
                let (id, tuple) = (Some(opening.id), &opening.tuple);
                state_moved(cx.env, id, tuple, from, State::SynReceived, Transition::Syn);
                self.kick(Entry::new(Kind::Connection, slot));
            }
            Opening::Failed(error) => self.fail_open(cx.env, cx.events, slot, error, Transition::Reset),
            Opening::Established => debug_assert!(false, "an opening without a peer is established"),
        }
    }

    /// The text that came with the peer's SYN, as if it came now: before that of the segment which completes the
    /// handshake, and with its acknowledgment.
    #[cold]
    #[inline(never)]
    fn kept_text(
        &mut self,
        cx: &mut Around<'_, '_>,
        slot: u32,
        irs: SeqNumber,
        seg: &Segment,
        kept: Box<[u8]>,
    ) {
        let mut frame = Frame::from(kept.into_vec());
        let mut text = frame.text(0);
        let segment = Segment {
            seq: irs + 1,
            flags: Flags::ACK,
            payload_len: text.len() as u32,
            ecn: Default::default(),
            ..*seg
        };
        self.at_connection(cx, slot, &segment, &mut text);
    }

    /// One ACK that belongs to no block is owed, unless one was already. Its sort is limited (RFC 5961 section 7).
    pub(super) fn owe_ack(&mut self, env: &mut Env<'_>, first: bool, entry: Entry) {
        if first && !self.may_challenge(env) {
            match entry.kind() {
                Kind::HalfOpen => {
                    if let Some(half) = self.tables.half_open.at_mut(entry.slot()) {
                        half.ack_owed = AckOwed::No;
                    }
                }
                Kind::Connection => {
                    if let Some(Slot::SynSent(opening)) = self.tables.sockets.at_mut(entry.slot()) {
                        opening.ack_owed = AckOwed::No;
                    }
                }
                Kind::TimeWait => {
                    if let Some(waiting) = self.tables.time_wait.at_mut(entry.slot()) {
                        waiting.owed = AckOwed::No;
                    }
                }
            }
            return;
        }
        self.kick(entry);
    }

    /// What the segment that completed a handshake carries beside: "continue processing in ESTABLISHED".
    #[inline]
    pub(super) fn rest_of(&mut self, cx: &mut Around<'_, '_>, slot: u32, seg: &Segment, text: &mut Text<'_>) {
        if seg.payload_len > 0 || seg.flags.intersects(Flags::FIN | Flags::URG) {
            self.take_rest(cx, slot, seg, text);
        }
    }
    #[cold]
    #[inline(never)]
    fn take_rest(&mut self, cx: &mut Around<'_, '_>, slot: u32, seg: &Segment, text: &mut Text<'_>) {
        let mut rest = *seg;
        if rest.has(Flags::SYN) {
            rest.flags.remove(Flags::SYN);
            rest.seq += 1;
        }
        self.at_connection(cx, slot, &rest, text);
    }

    /// SYN-RECEIVED of a passive open. Returns the slot of the connection, if there is one now: it is still to take what the
    /// segment carries beside ([`Tcp::rest_of`]).
    #[inline(never)]
    pub(super) fn at_half_open(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        place: u32,
        seg: &Segment,
    ) -> Option<u32> {
        if !self.tables.half_open.at(place)?.is_completed_by(seg) {
            self.half_open_goes_on(cx, tuple, place, seg);
            return None;
        }
        self.complete(cx, tuple, place, seg)
    }

    /// What does not complete the handshake of a half-open entry.
    #[cold]
    #[inline(never)]
    fn half_open_goes_on(&mut self, cx: &mut Around<'_, '_>, tuple: &FourTuple, place: u32, seg: &Segment) {
        let Some(half) = self.tables.half_open.at_mut(place) else {
            return;
        };
        match half.segment_arrives(seg) {
            listen::Step::Waits => self.kick(Entry::new(Kind::HalfOpen, place)),
            listen::Step::Acknowledge(cause) => {
                let owed = AckOwed::of(cause);
                let first = core::mem::replace(&mut half.ack_owed, owed) == AckOwed::No;
                self.owe_ack(cx.env, first, Entry::new(Kind::HalfOpen, place));
            }
            listen::Step::Answer(segment, cause) => {
                if self.may_reset(cx.env) {
                    self.reply(Reply {
                        tuple: *tuple,
                        segment,
                        cause: Cause::Reset(cause),
                    });
                }
            }
            listen::Step::Gone => {
                self.forget_half_open(place);
                state_moved(
                    cx.env,
                    None,
                    tuple,
                    State::SynReceived,
                    State::Closed,
                    Transition::Reset,
                );
            }
        }
    }

    /// The third segment of a handshake: its block is made and put on the accept queue, if there is room. Returns its slot.
    #[inline(always)]
    fn complete(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        place: u32,
        seg: &Segment,
    ) -> Option<u32> {
        let (slot, generation) = self.tables.sockets.next_key();
        let id = SocketId { slot, generation };
        let half = self.tables.half_open.at_mut(place)?;
        let (hash, irs, listener_id) = (half.hash, half.peer.irs, half.listener);
        let listener = self
            .tables
            .sockets
            .get_mut(listener_id.slot, listener_id.generation);
        let Some(Slot::Listener(listener)) = listener else {
            self.forget_half_open(place);
            return None;
        };
        if listener.accept_queue_full() {
            // As Linux: the ACK is forgotten, the entry stays, and the SYN,ACK will be repeated.
            self.dropped(cx.env, tuple, DropReason::AcceptQueueFull);
            return None;
        }
        let route_generation = cx.ip.generation();
        let found;
        let path = match cx.ip.known_path(tuple) {
            Some(known) => known,
            None => {
                cold_path();
                found = cx.ip.find_path(tuple);
                let Some(path) = &found else {
                    self.forget_half_open(place);
                    self.dropped(cx.env, tuple, DropReason::NoRoute);
                    return None;
                };
                path
            }
        };
        let now = cx.env.now;
        let mut tcb = open::establish(
            &mut Handshake {
                id,
                tuple,
                hash,
                path,
                route_generation,
                options: &listener.options,
                iss: half.iss,
                peer: &half.peer,
                told: half.told,
                last: seg,
                ts_offset: half.ts_offset,
                timed_from: half.timed_from(),
                syn_lost: half.tries > 0,
                waits: &mut half.wheel,
            },
            cx.env.config,
            now,
            &mut self.spares,
            &mut self.wheel,
        );
        let connection = Entry::new(Kind::Connection, slot);
        tcb.facts.insert(Fact::UNACCEPTED);
        let (kept, reuse) = (half.text.take(), listener.options.reuse_address);
        listener.half_open -= 1;
        listener.accept.push_back(id);
        listener.pending |= Readiness::ACCEPT;
        if !listener.pending.contains(Readiness::QUEUED) {
            listener.pending |= Readiness::QUEUED;
            cx.events.push(listener_id);
        }
        self.tables.half_open.discard_at(place);
        self.tables.sockets.insert(Slot::Open(tcb));
        self.ready.push_back(connection);
        self.hand_over(tuple.ends(), hash, Entry::new(Kind::HalfOpen, place), connection);
        self.bindings.connection_made(tuple.ends(), reuse);
        let (from, to) = (State::SynReceived, State::Established);
        state_moved(cx.env, Some(id), tuple, from, to, Transition::SynAcked);
        if let Some(kept) = kept {
            self.kept_text(cx, slot, irs, seg, kept);
        }
        Some(slot)
    }
}

/// The application has closed the socket while it was opened.
#[cold]
#[inline(never)]
fn close_at_once(tcb: &mut Tcb, env: &mut Env<'_>) {
    tcb.facts.insert(Fact::ORPHAN);
    tcb.fin_out = FinOut::Queued;
    let (from, to) = (State::Established, State::FinWait1);
    state_moved(env, Some(tcb.id), &tcb.tuple, from, to, Transition::Close);
}
