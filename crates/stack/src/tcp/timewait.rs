//! TIME-WAIT in a compact entry (RFC 9293 sections 3.3.2 and 3.10.7.4, RFC 6191): long enough to acknowledge the peer's FIN
//! again and to let old segments die, short in memory.

use alloc::collections::VecDeque;

use super::conn::{AckOwed, Fact, Phase};
use super::dispatch::state_moved;
use super::scope;
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
    /// Where the table has it.
    pub(crate) hash: TableHash,
}

/// Whose turn it is to leave TIME-WAIT. Since all wait equally long, they leave in the order in which they came, and a queue
/// does what would take a place in the timing wheel for each.
///
/// An entry that has gone early stays until it is at the front; one whose 2 MSL began anew moves to its new place when
/// it is there.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// Apart from the others, since everybody asks for it.
    first: Turn,
    rest: VecDeque<Turn>,
}

/// A turn in the queue.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Never, for nobody's.
    at: Instant,
    place: u32,
    generation: u32,
}

impl Turn {
    const NOBODY: Turn = Turn {
        at: Instant::NEVER,
        place: 0,
        generation: 0,
    };
}

impl Default for Leaving {
    fn default() -> Self {
        Leaving {
            first: Turn::NOBODY,
            rest: VecDeque::new(),
        }
    }
}

impl Leaving {
    /// Adds an entry, which leaves after all others.
    pub(crate) fn push(&mut self, at: Instant, (place, generation): (u32, u32)) {
        let turn = Turn {
            at,
            place,
            generation,
        };
        if self.first.at.is_never() {
            self.first = turn;
            return;
        }
        debug_assert!(self.rest.back().unwrap_or(&self.first).at <= at);
        self.rest.push_back(turn);
    }
    /// When the first may leave, or never; what has gone or waits anew is not counted as long as [`Leaving::tidy`] follows each change.
    #[inline]
    pub(crate) fn next(&self) -> Instant {
        self.first.at
    }
    /// The place of the entry that leaves first, whenever that is.
    pub(crate) fn first(&self) -> Option<u32> {
        (!self.first.at.is_never()).then_some(self.first.place)
    }
    /// Makes the front of the queue an entry that is there and leaves when its turn says.
    #[inline]
    pub(crate) fn tidy(&mut self, entries: &Arena<TimeWait>) {
        while !self.first.at.is_never() {
            let turn = self.first;
            if let Some(entry) = entries.get(turn.place, turn.generation) {
                let at = entry.until;
                if at == turn.at {
                    return;
                }
                let behind = self.rest.partition_point(|other| other.at <= at);
                self.rest.insert(behind, Turn { at, ..turn });
            }
            self.first = self.rest.pop_front().unwrap_or(Turn::NOBODY);
        }
    }
}

impl Tcp {
    /// The connection enters TIME-WAIT: a compact entry takes over (MUST-13).
    #[inline(never)]
    pub(crate) fn enter_time_wait(&mut self, env: &mut Env<'_>, events: &mut Events, slot: u32) {
        while self.tables.time_wait.len() as u32 >= env.config.time_wait_max.max(1) {
            let Some(place) = self.leaving.first() else { break };
            self.end_time_wait(env, place, Transition::TimeWaitOver);
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
        let until = env.now + env.config.msl * 2;
        let (tuple, hash) = (tcb.tuple, tcb.hash);
        let orphan = tcb.facts.contains(Fact::ORPHAN);
        let (place, generation) = self.tables.time_wait.insert_with(|_, _| TimeWait {
            owed: if ack_owed {
                AckOwed::Now(AckCause::Fin)
            } else {
                AckOwed::No
            },
            queued: ack_owed,
            tuple,
            snd_nxt: tcb.snd_nxt,
            rcv_nxt: tcb.rcv_nxt,
            rcv_wnd: tcb.rcv_wnd(),
            window: super::recv::window::field(tcb),
            reuse: tcb.switches.reuse,
            timestamps: tcb
                .facts
                .contains(Fact::TIMESTAMPS)
                .then_some((tcb.ts_recent, tcb.ts_offset)),
            block: (!orphan).then_some(tcb.id),
            until,
            hash,
        });
        scope::announce(tcb, events);
        self.leaving.push(until, (place, generation));
        let waiting = Entry::new(Kind::TimeWait, place);
        self.hand_over(&tuple, hash, Entry::new(Kind::Connection, slot), waiting);
        if ack_owed {
            self.ready.push_back(waiting);
        }
        if orphan {
            self.remove_socket(slot);
        }
    }

    /// The 2 MSL of an entry begin anew.
    pub(super) fn restart_time_wait(&mut self, env: &Env<'_>, place: u32) {
        if let Some(entry) = self.tables.time_wait.at_mut(place) {
            entry.until = env.now + env.config.msl * 2;
            self.leaving.tidy(&self.tables.time_wait);
        }
    }

    /// 2 MSL have passed, a new connection takes over, or a reset came.
    pub(crate) fn end_time_wait(&mut self, env: &mut Env<'_>, place: u32, why: Transition) {
        let Some(entry) = self.tables.time_wait.at(place) else {
            return;
        };
        let (tuple, hash, reuse, block) = (entry.tuple, entry.hash, entry.reuse, entry.block);
        self.tables.time_wait.discard_at(place);
        self.leaving.tidy(&self.tables.time_wait);
        self.leave_for_good(&tuple, hash, Entry::new(Kind::TimeWait, place), reuse);
        if let Some(id) = block
            && let Some(Slot::Open(tcb)) = self.tables.sockets.get_mut(id.slot, id.generation)
        {
            tcb.phase = Phase::Ended;
        }
        state_moved(env, block, &tuple, State::TimeWait, State::Closed, why);
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
