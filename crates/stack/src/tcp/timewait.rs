//! TIME-WAIT in a compact entry (RFC 9293 sections 3.3.2 and 3.10.7.4, RFC 6191): long enough to acknowledge the peer's FIN
//! again and to let old segments die, short in memory.

use super::conn::{AckOwed, Fact, Phase};
use super::dispatch::state_moved;
use super::table::{Slot, Tcp, release_buffers};
use super::{Flags, Options, Segment, SeqNumber, State, Timestamps};
use crate::arena::Arena;
use crate::demux::{Entry, FourTuple, Kind, TableHash};
use crate::iface::Env;
use crate::stack::{Events, Readiness, SocketId};
use crate::time::Instant;
use crate::trace::{AckCause, Cause, ChallengeCause, Transition};

/// What is left of a connection in TIME-WAIT.
#[derive(Debug)]
pub(crate) struct TimeWait {
    pub(crate) tuple: FourTuple,
    pub(crate) snd_nxt: SeqNumber,
    pub(crate) rcv_nxt: SeqNumber,
    pub(crate) rcv_wnd: u32,
    pub(crate) window: u16,
    /// Whether the connection's socket allowed its port to be bound again (SO_REUSEADDR).
    pub(crate) reuse: bool,
    /// TS.Recent and our offset, if timestamps were agreed.
    pub(crate) timestamps: Option<(u32, u32)>,
    /// The block that the application still holds, to be told of the end.
    pub(crate) block: Option<SocketId>,
    /// An ACK is to be sent, and why: one answers all that came since (MUST-58).
    pub(crate) owed: AckOwed,
    pub(crate) queued: bool,
    /// When the 2 MSL are over.
    pub(crate) until: Instant,
    /// Who leaves just before, and just after: see [`Leaving`].
    before: u32,
    after: u32,
    /// Where the table has it.
    pub(crate) hash: TableHash,
}

/// Who leaves TIME-WAIT next. Since all wait equally long, they leave in the order in which they came, and a list through the
/// entries does what would take a place in the timing wheel for each.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// When the first leaves, or never.
    at: Instant,
    first: u32,
    last: u32,
}

/// The place of none.
const NOBODY: u32 = u32::MAX;

impl Default for Leaving {
    fn default() -> Self {
        Leaving {
            at: Instant::NEVER,
            first: NOBODY,
            last: NOBODY,
        }
    }
}

impl Leaving {
    /// The entry in this place, which stands in no list yet, leaves after all others.
    pub(crate) fn push(&mut self, entries: &mut Arena<TimeWait>, place: u32) {
        let Some(entry) = entries.at_mut(place) else {
            return;
        };
        (entry.before, entry.after) = (self.last, NOBODY);
        let until = entry.until;
        match entries.at_mut(self.last) {
            Some(last) => {
                debug_assert!(last.until <= until);
                last.after = place;
            }
            None => (self.first, self.at) = (place, until),
        }
        self.last = place;
    }
    /// An entry between these two is gone, or moves.
    fn close_up(&mut self, entries: &mut Arena<TimeWait>, (before, after): (u32, u32)) {
        let mut at = Instant::NEVER;
        match entries.at_mut(after) {
            Some(next) => {
                next.before = before;
                at = next.until;
            }
            None => self.last = before,
        }
        match entries.at_mut(before) {
            Some(previous) => previous.after = after,
            None => (self.first, self.at) = (after, at),
        }
    }
    /// When the first leaves, or never.
    #[inline]
    pub(crate) fn next(&self) -> Instant {
        self.at
    }
    /// The place of the entry that leaves first, whenever that is.
    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NOBODY).then_some(self.first)
    }
}

impl Tcp {
    /// The connection enters TIME-WAIT: a compact entry takes over (MUST-13).
    #[inline(never)]
    pub(crate) fn enter_time_wait(&mut self, env: &mut Env<'_>, events: &mut Events, slot: u32) {
        if self.tables.time_wait.len() as u32 >= env.config.time_wait_max.max(1) {
            self.make_room_in_time_wait(env);
        }
        let Some(Slot::Open(tcb)) = self.tables.sockets.at_mut(slot) else {
            return;
        };
        let tcb = &mut **tcb;
        release_buffers(tcb, &mut self.pool);
        self.wheel.cancel(&mut tcb.wheel);
        tcb.phase = Phase::TimeWait;
        tcb.pending |= Readiness::CLOSED | Readiness::READABLE | Readiness::WRITABLE;
        // The FIN that brought us here is acknowledged by the entry, unless it was before (CLOSING).
        let ack_owed = tcb.ack_owed != AckOwed::No;
        let (id, ends, hash) = (tcb.id, tcb.tuple.ends(), tcb.hash);
        let orphan = tcb.facts.contains(Fact::ORPHAN);
        let (place, _) = self.tables.time_wait.insert_with(|_, _| TimeWait {
            owed: if ack_owed {
                AckOwed::Now(AckCause::Fin)
            } else {
                AckOwed::No
            },
            queued: ack_owed,
            tuple: tcb.tuple,
            snd_nxt: tcb.snd_nxt,
            rcv_nxt: tcb.rcv_nxt,
            rcv_wnd: tcb.rcv_wnd(),
            window: super::recv::window::field(tcb),
            reuse: tcb.switches.reuse,
            timestamps: tcb
                .facts
                .contains(Fact::TIMESTAMPS)
                .then_some((tcb.ts_recent, tcb.ts_offset)),
            block: (!orphan).then_some(id),
            until: env.now + env.config.msl * 2,
            before: NOBODY,
            after: NOBODY,
            hash,
        });
        self.leaving.push(&mut self.tables.time_wait, place);
        let waiting = Entry::new(Kind::TimeWait, place);
        self.hand_over(ends, hash, Entry::new(Kind::Connection, slot), waiting);
        if ack_owed {
            self.ready.push_back(waiting);
        }
        if orphan {
            self.remove_socket(slot);
        } else {
            self.announce(events, id);
        }
    }

    /// Those who would leave first go at once.
    #[cold]
    #[inline(never)]
    fn make_room_in_time_wait(&mut self, env: &mut Env<'_>) {
        while self.tables.time_wait.len() as u32 >= env.config.time_wait_max.max(1) {
            let Some(place) = self.leaving.first() else { break };
            self.end_time_wait(env, place, Transition::TimeWaitOver);
        }
    }

    /// The 2 MSL of an entry begin anew.
    pub(super) fn restart_time_wait(&mut self, env: &Env<'_>, place: u32) {
        if let Some(entry) = self.tables.time_wait.at_mut(place) {
            entry.until = env.now + env.config.msl * 2;
            let between = (entry.before, entry.after);
            self.leaving.close_up(&mut self.tables.time_wait, between);
            self.leaving.push(&mut self.tables.time_wait, place);
        }
    }

    /// 2 MSL have passed, a new connection takes over, or a reset came.
    pub(crate) fn end_time_wait(&mut self, env: &mut Env<'_>, place: u32, why: Transition) {
        let Some(entry) = self.tables.time_wait.at(place) else {
            return;
        };
        let (ends, hash, reuse, block) = (entry.tuple.ends(), entry.hash, entry.reuse, entry.block);
        let between = (entry.before, entry.after);
        state_moved(env, block, &entry.tuple, State::TimeWait, State::Closed, why);
        self.tables.time_wait.discard_at(place);
        self.leaving.close_up(&mut self.tables.time_wait, between);
        self.leave_for_good(ends, hash, Entry::new(Kind::TimeWait, place), reuse);
        if let Some(id) = block {
            self.end_block(id);
        }
    }

    /// The application learns of the end when it looks.
    #[cold]
    #[inline(never)]
    fn end_block(&mut self, id: SocketId) {
        if let Some(Slot::Open(tcb)) = self.tables.sockets.get_mut(id.slot, id.generation) {
            tcb.phase = Phase::Ended;
        }
    }
}

/// What a segment did to the entry.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Nothing.
    Ignored,
    /// It is acknowledged; `restart` says whether the 2 MSL begin anew (a repeated FIN).
    Acknowledge {
        /// Restart the timer.
        restart: bool,
        /// What the acknowledgment answers.
        cause: Cause,
    },
    /// A new connection may take the addresses over; its ISS has to come after this number (MAY-2).
    Reuse(SeqNumber),
    /// A valid reset ends it.
    Reset,
}

impl TimeWait {
    /// A segment arrives.
    pub(crate) fn segment_arrives(&mut self, seg: &Segment) -> Step {
        let answer = |cause| Step::Acknowledge {
            restart: false,
            cause,
        };
        if seg.has(Flags::SYN) && !seg.has(Flags::RST) {
            let alone = !seg.flags.intersects(Flags::ACK | Flags::FIN);
            return if alone && self.is_new_connection(seg) {
                Step::Reuse(self.snd_nxt)
            } else {
                answer(Cause::Challenge(ChallengeCause::Syn))
            };
        }
        if let (Some((recent, _)), Some(ts)) = (self.timestamps, seg.options.timestamps)
            && (ts.value.wrapping_sub(recent) as i32) < 0
            && !seg.has(Flags::RST)
        {
            return answer(Cause::Ack(AckCause::Paws));
        }
        let in_window = seg.seq == self.rcv_nxt || seg.seq.within(self.rcv_nxt, self.rcv_wnd);
        if seg.has(Flags::RST) {
            // RFC 1337 lets resets pass by; one exactly at RCV.NXT can only come from the peer itself (U-4, U-5).
            return match (seg.seq == self.rcv_nxt, in_window) {
                (true, _) => Step::Reset,
                (false, true) => answer(Cause::Challenge(ChallengeCause::ResetInWindow)),
                (false, false) => Step::Ignored,
            };
        }
        if in_window && !seg.has(Flags::ACK) {
            return Step::Ignored;
        }
        if seg.is_empty() && seg.seq == self.rcv_nxt {
            return Step::Ignored; // a bare ACK, as expected
        }
        if seg.has(Flags::FIN) && seg.end() == self.rcv_nxt {
            return Step::Acknowledge {
                restart: true,
                cause: Cause::Ack(AckCause::TimeWait),
            };
        }
        answer(Cause::Ack(AckCause::NotAcceptable))
    }

    /// RFC 6191 section 2: a SYN with a later timestamp, or, without timestamps, with a sequence number beyond all that the
    /// old connection received.
    fn is_new_connection(&self, seg: &Segment) -> bool {
        match (self.timestamps, seg.options.timestamps) {
            (Some((recent, _)), Some(ts)) => {
                let ahead = ts.value.wrapping_sub(recent) as i32;
                ahead > 0 || ahead == 0 && seg.seq.after(self.rcv_nxt)
            }
            // The peer stopped using timestamps, or never did: only the sequence number speaks.
            (_, None) => seg.seq.after(self.rcv_nxt),
            (None, Some(_)) => true,
        }
    }

    /// The acknowledgment that says where we are.
    pub(crate) fn ack(&self, now: Instant) -> Segment {
        Segment {
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: Flags::ACK,
            window: self.window,
            options: Options {
                timestamps: self.timestamps.map(|(echo, offset)| Timestamps {
                    value: (now.as_millis() as u32).wrapping_add(offset),
                    echo,
                }),
                ..Options::default()
            },
            ..Segment::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn entry(until: Instant) -> TimeWait {
        TimeWait {
            tuple: FourTuple::v4(1, 2),
            snd_nxt: SeqNumber(0),
            rcv_nxt: SeqNumber(0),
            rcv_wnd: 0,
            window: 0,
            reuse: false,
            timestamps: None,
            block: None,
            owed: AckOwed::No,
            queued: false,
            until,
            before: NOBODY,
            after: NOBODY,
            hash: TableHash::NONE,
        }
    }

    proptest! {
        #[test]
        fn leave_in_the_order_in_which_they_came(steps in prop::collection::vec((0u8..3, 0usize..8), 0..200)) {
            let (mut leaving, mut entries) = (Leaving::default(), Arena::new());
            let mut model: Vec<(u32, Instant)> = Vec::new();
            for (now, (step, which)) in (1..).map(Instant::from_secs).zip(steps) {
                if step == 0 || model.is_empty() {
                    let (place, _) = entries.insert(entry(now));
                    leaving.push(&mut entries, place);
                    model.push((place, now));
                    continue;
                }
                let (place, _) = model.remove(which % model.len());
                let waiting = entries.at_mut(place).unwrap();
                let between = (waiting.before, waiting.after);
                if step == 1 {
                    entries.discard_at(place);
                    leaving.close_up(&mut entries, between);
                } else {
                    waiting.until = now;
                    leaving.close_up(&mut entries, between);
                    leaving.push(&mut entries, place);
                    model.push((place, now));
                }
                let first = model.first().copied();
                prop_assert_eq!(leaving.first(), first.map(|(place, _)| place));
                prop_assert_eq!(leaving.next(), first.map_or(Instant::NEVER, |(_, at)| at));
            }
        }
    }
}
