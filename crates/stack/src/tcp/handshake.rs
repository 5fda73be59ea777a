//! Segments that reach a handshake: SYN-SENT, and SYN-RECEIVED of either kind of open (RFC 9293 sections 3.10.7.3 and
//! 3.10.7.4), up to the connection that comes of it.

use alloc::boxed::Box;

use super::burst::Reply;
use super::conn::{AckOwed, Fact, FinOut};
use super::dispatch::{Around, state_moved};
use super::listen;
use super::open::{self, Handshake, Opening, PeerOffer, Told};
use super::table::{Slot, Tcp};
use super::{Flags, Segment, SeqNumber, State};
use crate::demux::{Entry, FourTuple, Kind};
use crate::frame::{Frame, Text};
use crate::iface::Env;
use crate::stack::{Readiness, SocketId};
use crate::time::{Duration, Instant};
use crate::trace::{Cause, DropReason, Transition};
use crate::wheel::WheelEntry;

impl Tcp {
    #[inline(never)]
    pub(super) fn at_syn_sent(
        &mut self,
        cx: &mut Around<'_, '_>,
        slot: u32,
        seg: &Segment,
        text: &mut Text<'_>,
    ) {
        let Some(Slot::SynSent(opening)) = self.tables.sockets.at_mut(slot) else {
            return;
        };
        let (id, tuple, from) = (opening.id, opening.tuple, opening.state());
        match opening.segment_arrives(cx.env.config, seg) {
            Opening::Waits => self.kick(Entry::new(Kind::Connection, slot)),
            Opening::Answer(segment, cause) => {
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
                state_moved(
                    cx.env,
                    Some(id),
                    &tuple,
                    from,
                    State::SynReceived,
                    Transition::Syn,
                );
                self.kick(Entry::new(Kind::Connection, slot));
            }
            Opening::Failed(error) => self.fail_open(cx.env, cx.events, slot, error, Transition::Reset),
            Opening::Established => self.opened(cx, slot, seg, text, from),
        }
    }

    /// Our active open is answered: the block takes the place of the opening.
    fn opened(
        &mut self,
        cx: &mut Around<'_, '_>,
        slot: u32,
        seg: &Segment,
        text: &mut Text<'_>,
        from: State,
    ) {
        let Some(place) = self.tables.sockets.at_mut(slot) else {
            return;
        };
        let Slot::SynSent(opening) = place else { return };
        let Some(peer) = opening.peer else { return };
        let simultaneous = from == State::SynReceived;
        let scaled = !seg.has(Flags::SYN);
        let (now, config) = (cx.env.now, cx.env.config);
        let mut tcb = open::establish(
            Handshake {
                id: opening.id,
                tuple: opening.tuple,
                path: opening.path,
                route_generation: cx.ip.generation(),
                options: &opening.options,
                iss: opening.iss,
                peer,
                told: opening.told,
                window: seg.window,
                window_scaled: scaled,
                wl: (seg.seq, seg.ack),
                ts_offset: opening.ts_offset,
                round_trip: (opening.tries == 0).then(|| now.since(opening.sent_at)),
                syn_lost: opening.tries > 0 && !simultaneous,
            },
            config,
            now,
            &mut self.spares,
        );
        // Its place in the wheel stays the connection's: what that has to wait for will hardly come sooner. The deadline is the
        // wheel's own word, since it may just have gone off.
        tcb.wheel = core::mem::take(&mut opening.wheel);
        tcb.wakes_at = self.wheel.deadline(&tcb.wheel).unwrap_or(Instant::NEVER);
        let (id, tuple, closing) = (opening.id, opening.tuple, opening.closing);
        let kept = opening.text.take();
        // RFC 9293 section 3.10.7.3: the handshake's last ACK; queued data may go along with it (U-3).
        tcb.ack_owed = if simultaneous { AckOwed::No } else { AckOwed::Open };
        if !opening.queued {
            self.ready.push_back(Entry::new(Kind::Connection, slot));
        }
        tcb.facts.insert(Fact::QUEUED);
        tcb.pending = Readiness::CONNECTED | Readiness::WRITABLE;
        tcb.soft_error = opening.soft_error;
        open::take_timestamp(&mut tcb, seg);
        if closing {
            tcb.facts.insert(Fact::ORPHAN);
            tcb.fin_out = FinOut::Queued;
        }
        self.spares.keep(core::mem::replace(place, Slot::Open(tcb)));
        let why = if simultaneous {
            Transition::SynAcked
        } else {
            Transition::SynAck
        };
        state_moved(cx.env, Some(id), &tuple, from, State::Established, why);
        if closing {
            state_moved(
                cx.env,
                Some(id),
                &tuple,
                State::Established,
                State::FinWait1,
                Transition::Close,
            );
        }
        self.kept_text(cx, slot, peer.irs, seg, kept);
        if scaled || !text.is_empty() || seg.has(Flags::FIN) {
            self.rest_of(cx, slot, seg, text);
        }
        self.announce(cx.events, id);
    }

    /// The text that came with the peer's SYN, as if it came now: before that of the segment which completes the
    /// handshake, and with its acknowledgment.
    fn kept_text(
        &mut self,
        cx: &mut Around<'_, '_>,
        slot: u32,
        irs: SeqNumber,
        seg: &Segment,
        kept: Option<Box<[u8]>>,
    ) {
        let Some(kept) = kept else { return };
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
    fn rest_of(&mut self, cx: &mut Around<'_, '_>, slot: u32, seg: &Segment, text: &mut Text<'_>) {
        let mut rest = *seg;
        if rest.has(Flags::SYN) {
            rest.flags.remove(Flags::SYN);
            rest.seq += 1;
        }
        if rest.payload_len > 0 || rest.flags.intersects(Flags::FIN | Flags::URG) {
            self.at_connection(cx, slot, &rest, text);
        }
    }

    pub(super) fn at_half_open(
        &mut self,
        cx: &mut Around<'_, '_>,
        tuple: &FourTuple,
        place: u32,
        seg: &Segment,
        text: &mut Text<'_>,
    ) {
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
                self.drop_half_open(place);
                state_moved(
                    cx.env,
                    None,
                    tuple,
                    State::SynReceived,
                    State::Closed,
                    Transition::Reset,
                );
            }
            listen::Step::Complete => self.complete(cx, place, seg, text),
        }
    }

    /// The third segment of a handshake: the connection moves to the accept queue, if there is room.
    #[inline(never)]
    fn complete(&mut self, cx: &mut Around<'_, '_>, place: u32, seg: &Segment, text: &mut Text<'_>) {
        let Some(half) = self.tables.half_open.at(place) else {
            return;
        };
        let (listener, tuple) = (half.listener, half.tuple);
        let Some(entry) = self.listener(listener) else {
            self.drop_half_open(place);
            return;
        };
        if entry.accept_queue_full() {
            // As Linux: the ACK is forgotten, the entry stays, and the SYN,ACK will be repeated.
            return self.dropped(cx.env, &tuple, DropReason::AcceptQueueFull);
        }
        let Some(half) = self.tables.half_open.at_mut(place) else {
            return;
        };
        // Taken where it lies: the entry is not moved to be taken apart.
        let facts = Finished {
            tuple,
            iss: half.iss,
            peer: half.peer,
            told: half.told,
            text: half.text.take(),
            round_trip: half.round_trip(cx.env.now),
            syn_lost: half.tries > 0,
            half_open: Some(Entry::new(Kind::HalfOpen, place)),
            ts_offset: half.ts_offset,
            wheel: core::mem::take(&mut half.wheel),
        };
        self.tables.half_open.discard_at(place);
        if let Some(entry) = self.listener(listener) {
            entry.half_open -= 1;
        }
        self.admit(cx, listener, facts, seg, text);
    }

    /// Makes the block of a passive open and puts it on the accept queue.
    pub(super) fn admit(
        &mut self,
        cx: &mut Around<'_, '_>,
        listener_id: SocketId,
        mut done: Finished,
        seg: &Segment,
        text: &mut Text<'_>,
    ) {
        let (now, config) = (cx.env.now, cx.env.config);
        let tuple = done.tuple;
        let Some(route) = cx.ip.route(tuple.remote(), Some(tuple.local()), None) else {
            self.forget(done);
            return self.dropped(cx.env, &tuple, DropReason::NoRoute);
        };
        let (slot, generation) = self.tables.sockets.next_key();
        let id = SocketId { slot, generation };
        let Some(Slot::Listener(listener)) =
            self.tables.sockets.get(listener_id.slot, listener_id.generation)
        else {
            return self.forget(done);
        };
        let reuse = listener.options.reuse_address;
        let mut tcb = open::establish(
            Handshake {
                id,
                tuple,
                path: route.into(),
                route_generation: cx.ip.generation(),
                options: &listener.options,
                iss: done.iss,
                peer: done.peer,
                told: done.told,
                window: seg.window,
                window_scaled: true,
                wl: (seg.seq, seg.ack),
                ts_offset: done.ts_offset,
                round_trip: done.round_trip,
                syn_lost: done.syn_lost,
            },
            config,
            now,
            &mut self.spares,
        );
        tcb.facts.insert(Fact::UNACCEPTED | Fact::QUEUED);
        tcb.wheel = core::mem::take(&mut done.wheel);
        tcb.wakes_at = self.wheel.deadline(&tcb.wheel).unwrap_or(Instant::NEVER);
        self.wheel
            .hand_over(&tcb.wheel, Entry::new(Kind::Connection, slot).raw());
        open::take_timestamp(&mut tcb, seg);
        self.tables.sockets.insert(Slot::Open(tcb));
        self.ready.push_back(Entry::new(Kind::Connection, slot));
        let connection = Entry::new(Kind::Connection, slot);
        match done.half_open {
            Some(half_open) => self.hand_over(&tuple, half_open, connection),
            None => self.enter(&tuple, connection),
        }
        self.bindings
            .connection_made(tuple.local(), tuple.local_port(), reuse);
        if let Some(listener) = self.listener(listener_id) {
            listener.accept.push_back(id);
            listener.pending |= Readiness::ACCEPT;
        }
        state_moved(
            cx.env,
            Some(id),
            &tuple,
            State::SynReceived,
            State::Established,
            Transition::SynAcked,
        );
        self.announce(cx.events, listener_id);
        self.kept_text(cx, slot, done.peer.irs, seg, done.text);
        self.rest_of(cx, slot, seg, text);
    }

    /// Nothing comes of a handshake that was complete.
    fn forget(&mut self, mut done: Finished) {
        self.wheel.cancel(&mut done.wheel);
        if let Some(half_open) = done.half_open {
            self.leave(&done.tuple, half_open);
        }
    }
}

/// A passive handshake that is complete. It is made a connection or forgotten.
pub(super) struct Finished {
    pub(super) tuple: FourTuple,
    /// The entry that it comes from, already removed, whose addresses it takes over; none with a cookie.
    pub(super) half_open: Option<Entry>,
    pub(super) iss: SeqNumber,
    pub(super) peer: PeerOffer,
    pub(super) told: Told,
    /// Text that came with the SYN.
    pub(super) text: Option<Box<[u8]>>,
    pub(super) round_trip: Option<Duration>,
    pub(super) syn_lost: bool,
    pub(super) ts_offset: u32,
    /// The half-open entry's place in the wheel.
    pub(super) wheel: WheelEntry,
}
