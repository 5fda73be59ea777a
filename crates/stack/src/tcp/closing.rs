//! CLOSE, ABORT and half-close (RFC 9293 sections 3.10.4 and 3.10.5).

use super::State;
use super::conn::{Fact, FinIn, FinOut, Phase, Tcb};
use super::dispatch::Around;
use super::ingress::Fate;
use super::scope::{kick, moved, state_before};
use super::table::{Slot, Tcp};
use crate::demux::{Entry, Kind};
use crate::error::ConnectionError;
use crate::iface::Env;
use crate::pool::Pool;
use crate::stack::SocketId;
use crate::trace::{Cause, ResetCause, Transition};

impl Tcp {
    /// CLOSE (RFC 9293 section 3.10.4): the id is released at once; what is queued is still sent.
    pub(crate) fn close(&mut self, cx: &mut Around<'_, '_>, id: SocketId) {
        match self.tables.sockets.get(id.slot, id.generation) {
            Some(Slot::Open(_)) => self.close_connection(cx, id.slot),
            Some(_) => self.close_unconnected(cx, id),
            None => {}
        }
    }

    #[cold]
    #[inline(never)]
    fn close_unconnected(&mut self, cx: &mut Around<'_, '_>, id: SocketId) {
        let Some(slot) = self.tables.sockets.get_mut(id.slot, id.generation) else {
            return;
        };
        match slot {
            Slot::Fresh(fresh) => {
                if let Some(local) = fresh.local {
                    self.bindings.unbind(id, local);
                }
                self.remove_socket(id.slot);
            }
            Slot::Listener(_) => self.close_listener(cx, id),
            Slot::SynSent(opening)
                if opening.peer.is_some() && opening.options.linger.is_none_or(|l| !l.is_zero()) =>
            {
                // SYN-RECEIVED: "queue for processing after entering ESTABLISHED state".
                opening.closing = true;
            }
            Slot::SynSent(_) => self.abandon(cx, id),
            Slot::Open(_) => {}
        }
    }

    /// Gives an active open up, whose socket goes too.
    fn abandon(&mut self, cx: &mut Around<'_, '_>, id: SocketId) {
        self.abort_open(cx, id);
        self.remove_socket(id.slot);
    }

    /// Ends an active open: "delete the TCB", and in SYN-RECEIVED tell the peer by a reset (RFC 9293 section 3.10.5).
    pub(super) fn abort_open(&mut self, cx: &mut Around<'_, '_>, id: SocketId) {
        let Some(Slot::SynSent(opening)) = self.tables.sockets.get_mut(id.slot, id.generation) else {
            return;
        };
        let reset = opening.peer.is_some().then(|| {
            let mut segment = opening.segment(cx.env.config, cx.env.now);
            segment.seq += 1;
            segment.flags = super::Flags::RST | super::Flags::ACK;
            segment.options = Default::default();
            super::burst::Reply {
                tuple: opening.tuple,
                segment,
                cause: Cause::Reset(ResetCause::Abort),
            }
        });
        self.fail_open(
            cx.env,
            cx.events,
            id.slot,
            ConnectionError::Aborted,
            Transition::Close,
        );
        if let Some(reset) = reset {
            self.reply(reset);
        }
    }

    #[inline(always)]
    fn close_connection(&mut self, cx: &mut Around<'_, '_>, slot: u32) {
        let Some(Slot::Open(tcb)) = self.tables.sockets.at_mut(slot) else {
            return;
        };
        let tcb = &mut **tcb; // the box is looked into once
        if tcb.phase != Phase::Live || tcb.extra.is_some() || tcb.readable() > 0 {
            return self.close_otherwise(cx, slot);
        }
        leave_alone(tcb, &mut self.pool);
        close_side(tcb, cx.env);
        kick(tcb, &mut self.ready);
    }

    /// As [`Tcp::close_connection`], where something is unread, or options or an end before this one have a say.
    #[inline(never)]
    fn close_otherwise(&mut self, cx: &mut Around<'_, '_>, slot: u32) {
        let Some(Slot::Open(tcb)) = self.tables.sockets.at_mut(slot) else {
            return;
        };
        if tcb.phase != Phase::Live {
            let id = tcb.id;
            self.forget_block(id);
            return;
        }
        let linger = tcb.extra.as_ref().and_then(|e| e.options.linger);
        let unread = tcb.readable() > 0;
        leave_alone(tcb, &mut self.pool);
        if unread || linger.is_some_and(|l| l.is_zero()) {
            // SHLD-3: unread data is lost, so the peer is told by a reset. Linger 0 asks for one.
            let cause = if unread {
                ResetCause::UnreadData
            } else {
                ResetCause::Linger
            };
            let fate = ending(tcb, None, cause);
            return self.settle(cx, slot, fate);
        }
        if let Some(limit) = linger {
            tcb.set_end(cx.env.now + limit);
        }
        close_side(tcb, cx.env);
        kick(tcb, &mut self.ready);
    }

    /// Removes the block of an ended connection; a TIME-WAIT entry goes on without it.
    fn forget_block(&mut self, id: SocketId) {
        let Some(Slot::Open(tcb)) = self.tables.sockets.get_mut(id.slot, id.generation) else {
            return;
        };
        let (tuple, in_time_wait) = (tcb.tuple, tcb.phase == Phase::TimeWait);
        discard_unread(tcb, &mut self.pool);
        if in_time_wait
            && let Some(entry) = self.find(&tuple)
            && entry.kind() == Kind::TimeWait
            && let Some(waiting) = self.tables.time_wait.at_mut(entry.slot())
        {
            waiting.block = None;
        }
        self.remove_socket(id.slot);
    }

    /// A listener closes: what it has not handed out is reset.
    fn close_listener(&mut self, cx: &mut Around<'_, '_>, id: SocketId) {
        let Some(listener) = self.listener(id) else { return };
        let (local, waiting) = (listener.local, core::mem::take(&mut listener.accept));
        let mut half_open = listener.half_open;
        self.bindings.unbind(id, local);
        for connection in waiting {
            if let Some((tcb, _)) = self.open(cx.env, cx.events, connection.slot) {
                tcb.facts.insert(Fact::ORPHAN);
                if tcb.phase == Phase::Live {
                    let fate = Fate::Resets(None, ResetCause::ListenerClosed, Transition::Abort);
                    self.settle(cx, connection.slot, fate);
                } else {
                    self.forget_block(connection);
                }
            }
        }
        let places: alloc::vec::Vec<u32> = if half_open == 0 {
            Default::default()
        } else {
            self.tables
                .half_open
                .iter()
                .filter(|(_, _, h)| h.listener == id)
                .map(|(place, _, _)| place)
                .collect()
        };
        for place in places {
            self.reset_half_open(place, ResetCause::ListenerClosed);
            half_open -= 1;
        }
        debug_assert_eq!(half_open, 0, "each half-open entry names its listener");
        self.remove_socket(id.slot);
    }

    /// Removes a half-open entry and tells its peer.
    pub(super) fn reset_half_open(&mut self, place: u32, cause: ResetCause) {
        let Some(half) = self.drop_half_open(place) else {
            return;
        };
        let segment = super::Segment {
            seq: half.iss + 1,
            ack: half.rcv_nxt(),
            flags: super::Flags::RST | super::Flags::ACK,
            ..Default::default()
        };
        self.reply(super::burst::Reply {
            tuple: half.tuple,
            segment,
            cause: Cause::Reset(cause),
        });
    }

    /// ABORT (RFC 9293 section 3.10.5): a reset, and everything queued is gone. The id is released.
    pub(crate) fn abort(&mut self, cx: &mut Around<'_, '_>, id: SocketId) {
        match self.tables.sockets.get_mut(id.slot, id.generation) {
            Some(Slot::Open(tcb)) if tcb.phase == Phase::Live => {
                tcb.facts.insert(Fact::ORPHAN);
                let fate = ending(tcb, Some(ConnectionError::Aborted), ResetCause::Abort);
                self.settle(cx, id.slot, fate);
            }
            Some(Slot::SynSent(_)) => self.abandon(cx, id),
            Some(Slot::Open(tcb)) if tcb.phase == Phase::TimeWait => {
                // "TIME-WAIT STATE: respond with "ok" and delete the TCB, enter CLOSED state, and return."
                let tuple = tcb.tuple;
                self.forget_block(id);
                if let Some(entry) = self.find(&tuple)
                    && entry.kind() == Kind::TimeWait
                {
                    self.end_time_wait(cx.env, entry.slot(), Transition::Abort);
                }
            }
            Some(_) => self.close(cx, id),
            None => {}
        }
    }

    /// Shuts our side down: a FIN follows what is queued.
    pub(crate) fn shutdown_send(&mut self, cx: &mut Around<'_, '_>, slot: u32) {
        let Some((tcb, mut scope)) = self.open(cx.env, cx.events, slot) else {
            return;
        };
        if tcb.phase == Phase::Live && tcb.fin_out == FinOut::No {
            let from = tcb.state();
            tcb.fin_out = FinOut::Queued;
            scope.moved(tcb, from, Transition::Close);
            self.kick(Entry::new(Kind::Connection, slot));
        }
    }
}

/// The application has left the connection: it finishes by itself, and what is unread goes.
#[inline(always)]
fn leave_alone(tcb: &mut Tcb, pool: &mut Pool) {
    if tcb.receive.is_some() {
        discard_unread(tcb, pool);
    }
    tcb.facts.insert(Fact::ORPHAN);
    tcb.facts.remove(Fact::UNACCEPTED);
}

#[cold]
#[inline(never)]
fn discard_unread(tcb: &mut Tcb, pool: &mut Pool) {
    if let Some(mut queue) = tcb.receive.take() {
        let all = queue.len();
        queue.discard(pool, all);
    }
}

/// A FIN follows what is queued, unless our side is closed already; then FIN-WAIT-2 does not last for ever.
#[inline(always)]
fn close_side(tcb: &mut Tcb, env: &mut Env<'_>) {
    if tcb.fin_out == FinOut::No {
        let from = state_before(tcb, env.trace);
        tcb.fin_out = FinOut::Queued;
        moved(tcb, env.now, env.trace, from, Transition::Close);
    } else if tcb.fin_out == FinOut::Acked && tcb.fin_in == FinIn::No {
        tcb.set_end(env.now + env.config.fin_wait_2);
    }
}

/// RFC 9293 section 3.10.5: a reset ends the connection, but in CLOSING and LAST-ACK both sides have closed, and the block
/// is deleted without one. Text that we took and nobody read is worth one in any state (SHLD-3).
pub(super) fn ending(tcb: &Tcb, error: Option<ConnectionError>, cause: ResetCause) -> Fate {
    match tcb.state() {
        State::Closing | State::LastAck if cause != ResetCause::UnreadData => {
            Fate::Ends(error, Transition::Abort)
        }
        _ => Fate::Resets(error, cause, Transition::Abort),
    }
}
