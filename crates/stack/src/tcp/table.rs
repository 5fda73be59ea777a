//! All TCP of a stack: the sockets, the half-open and TIME-WAIT entries, and the tables that find them.
//!
//! This file owns the collections and what keeps them together: making and removing entries, finding them by address,
//! waking them. What arriving segments do is in [`super::dispatch`], what leaves in [`super::transmit`].

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::SocketAddr;

use super::State;
use super::burst::{Burst, Reply};
use super::choices::TcpOptions;
use super::conn::{Fact, Phase, Tcb};
use super::cookie::Cookies;
use super::isn::TimestampOffsets;
use super::listen::{HalfOpen, Listener};
use super::open::SynSent;
use super::ports::PortChooser;
use super::recent::Recent;
use super::scope::Scope;
use super::spares::Spares;
use super::timewait::{Leaving, TimeWait};
use crate::arena::Arena;
use crate::bindings::Bindings;
use crate::demux::{Demux, Ends, Entry, FourTuple, Kind, TableHash};
use crate::error::ConnectionError;
use crate::iface::{Bucket, Env};
use crate::line::Line;
use crate::pool::Pool;
use crate::rng::Secrets;
use crate::stack::{Events, Readiness, SocketId};
use crate::time::Instant;
use crate::trace::{TraceKind, TraceMask, Transition, Tuple};
use crate::wheel::Wheel;

/// A TCP socket, by what it owns.
#[derive(Debug)]
pub(crate) enum Slot {
    /// Neither listening nor connecting.
    Fresh(Box<Fresh>),
    /// Waits for connections.
    Listener(Box<Listener>),
    /// An active open under way.
    SynSent(Box<SynSent>),
    /// A synchronised connection, or what is left of one that the application has not closed.
    Open(Box<Tcb>),
}

/// A socket before it listens or connects, or after its attempt to connect failed.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) options: TcpOptions,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) error: Option<ConnectionError>,
    pub(crate) pending: Readiness,
}

/// The entries that segments are looked up in.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) sockets: Arena<Slot>,
    pub(crate) half_open: Arena<HalfOpen>,
    pub(crate) time_wait: Arena<TimeWait>,
}

impl Tables {
    /// Finds the entry for these addresses.
    #[inline(never)]
    pub(super) fn find(&self, demux: &Demux, tuple: &FourTuple) -> Option<Entry> {
        demux.find(tuple, |entry| self.is_at(entry, tuple))
    }
    /// Whether the entry has these addresses: apart, since nearly nothing else comes to be asked.
    #[inline(never)]
    fn is_at(&self, entry: Entry, tuple: &FourTuple) -> bool {
        self.tuple(entry) == Some(tuple)
    }
    /// The addresses of an entry; `None` if it has none.
    pub(crate) fn tuple(&self, entry: Entry) -> Option<&FourTuple> {
        match entry.kind() {
            Kind::Connection => match self.sockets.at(entry.slot())? {
                Slot::Open(tcb) => Some(&tcb.tuple),
                Slot::SynSent(open) => Some(&open.tuple),
                Slot::Fresh(_) | Slot::Listener(_) => None,
            },
            Kind::HalfOpen => self.half_open.at(entry.slot()).map(|h| &h.tuple),
            Kind::TimeWait => self.time_wait.at(entry.slot()).map(|t| &t.tuple),
        }
    }
    /// The hash of an entry's addresses, which it must have.
    fn hash(&self, entry: Entry) -> TableHash {
        let hash = match entry.kind() {
            Kind::Connection => match self.sockets.at(entry.slot()) {
                Some(Slot::Open(tcb)) => Some(tcb.hash),
                Some(Slot::SynSent(open)) => Some(open.hash),
                Some(Slot::Fresh(_) | Slot::Listener(_)) | None => None,
            },
            Kind::HalfOpen => self.half_open.at(entry.slot()).map(|h| h.hash),
            Kind::TimeWait => self.time_wait.at(entry.slot()).map(|t| t.hash),
        };
        debug_assert!(hash.is_some(), "{entry:?} is in the table and has no addresses");
        hash.unwrap_or(TableHash::NONE)
    }
}

/// Resets and acknowledgments that belong to no block, waiting to leave. When full, further ones are dropped: a peer
/// that needs one will ask again.
pub(crate) const REPLIES_MAX: usize = 256;

/// All TCP of a stack.
///
/// The fields lie in this order: what nearly every step asks for first, where an instruction names it with one octet instead of
/// four, and what is long last.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Tcp {
    /// Entries with something to send or timers to look at, each at most once.
    pub(crate) ready: Line<Entry>,
    pub(crate) tables: Tables,
    pub(crate) sending: bool,
    pub(crate) replies: VecDeque<Reply>,
    pub(crate) wheel: Wheel,
    pub(crate) spares: Spares,
    pub(crate) demux: Demux,
    pub(crate) bindings: Bindings,
    pub(super) leaving: Leaving,
    pub(crate) offsets: TimestampOffsets,
    pub(crate) challenges: Bucket,
    pub(crate) resets: Bucket,
    pub(crate) pool: Pool,
    pub(super) recent: Recent,
    pub(crate) ports: PortChooser,
    pub(crate) cookies: Cookies,
    /// The run of segments on its way out, and whether any of it is left ([`Tcp::sending`]).
    pub(crate) burst: Burst,
    /// Leave out the shortest ways: what [`super::predict`] and [`super::quick`] take goes the general one.
    #[cfg(test)]
    pub(crate) general_only: bool,
    /// How often each of them was taken.
    #[cfg(test)]
    pub(crate) short_ways: [u32; 2],
}

impl Tcp {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Tcp {
            tables: Tables::default(),
            demux: Demux::new(Secrets::derive(seed, "tcp isn")),
            bindings: Bindings::new(Secrets::derive(seed, "tcp bindings")),
            leaving: Leaving::default(),
            recent: Recent::new(),
            wheel: Wheel::new(),
            ready: Line::new(),
            replies: VecDeque::new(),
            burst: Burst::default(),
            sending: false,
            pool: Pool::default(),
            spares: Spares::default(),
            offsets: TimestampOffsets::new(Secrets::derive(seed, "tcp isn")),
            cookies: Cookies::new(Secrets::derive(seed, "tcp cookies")),
            ports: PortChooser::new(Secrets::derive(seed, "tcp ports")),
            challenges: Bucket::new(),
            resets: Bucket::new(),
            #[cfg(test)]
            general_only: false,
            #[cfg(test)]
            short_ways: [0; 2],
        }
    }

    /// The block of an open connection and what its steps need.
    #[inline]
    pub(crate) fn open<'a>(
        &'a mut self,
        env: &'a mut Env<'_>,
        events: &'a mut Events,
        slot: u32,
    ) -> Option<(&'a mut Tcb, Scope<'a>)> {
        let Some(Slot::Open(tcb)) = self.tables.sockets.at_mut(slot) else {
            return None;
        };
        let scope = Scope {
            now: env.now,
            config: env.config,
            trace: env.trace,
            pool: &mut self.pool,
            wheel: &mut self.wheel,
            challenges: &mut self.challenges,
            ready: &mut self.ready,
            events,
            burst: &mut self.burst,
        };
        Some((tcb, scope))
    }

    /// Whether whoever is ready is next: no run of segments is under way, and nobody is to be answered first.
    #[inline]
    pub(crate) fn takes_turns(&self) -> bool {
        !self.sending & self.replies.is_empty()
    }

    /// Whether nothing waits to be sent or looked at.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.takes_turns() && self.ready.is_empty()
    }

    /// Finds the entry for these addresses.
    #[inline]
    pub(crate) fn find(&self, tuple: &FourTuple) -> Option<Entry> {
        self.tables.find(&self.demux, tuple)
    }

    /// As [`Tcp::find`], for an arriving segment: those that others have found of late are tried first.
    #[inline(never)]
    pub(crate) fn find_for_segment(&mut self, tuple: &FourTuple) -> Option<Entry> {
        if let Some(entry) = self.recent.find(tuple) {
            return Some(entry);
        }
        let entry = self.find(tuple)?;
        self.recent.put(tuple, entry);
        Some(entry)
    }

    /// Makes an entry found by its addresses, which have this hash. The next segment is probably for it.
    pub(crate) fn enter(&mut self, tuple: &FourTuple, hash: TableHash, entry: Entry) {
        self.recent.put(tuple, entry);
        let tables = &self.tables;
        self.demux.insert(hash, entry, |other| tables.hash(other));
    }

    /// Makes an entry found no more by its addresses, which have these ends and this hash.
    #[inline(always)]
    pub(crate) fn leave(&mut self, ends: Ends, hash: TableHash, entry: Entry) {
        self.recent.forget(ends, entry);
        self.demux.remove(hash, entry);
    }

    /// As [`Tcp::leave`], for a connection, which was counted with this `reuse`.
    #[inline(never)]
    pub(super) fn leave_for_good(&mut self, ends: Ends, hash: TableHash, entry: Entry, reuse: bool) {
        self.leave(ends, hash, entry);
        self.bindings.connection_gone(ends, reuse);
    }

    /// Another entry takes the addresses of one over, which have these ends and this hash.
    #[inline(never)]
    pub(crate) fn hand_over(&mut self, ends: Ends, hash: TableHash, from: Entry, to: Entry) {
        self.recent.hand_over(ends, from, to);
        self.demux.replace(hash, from, to);
    }

    /// A socket is gone.
    #[inline(never)]
    pub(super) fn remove_socket(&mut self, slot: u32) {
        if let Some(gone) = self.tables.sockets.remove_at(slot) {
            self.spares.keep(gone);
        }
    }

    /// Puts an entry on the transmit queue, once.
    pub(crate) fn kick(&mut self, entry: Entry) {
        let queued = match entry.kind() {
            Kind::Connection => match self.tables.sockets.at_mut(entry.slot()) {
                Some(Slot::Open(tcb)) => {
                    let queued = tcb.facts.contains(Fact::QUEUED);
                    tcb.facts.insert(Fact::QUEUED);
                    queued
                }
                Some(Slot::SynSent(open)) => core::mem::replace(&mut open.queued, true),
                Some(Slot::Fresh(_) | Slot::Listener(_)) | None => true,
            },
            Kind::HalfOpen => match self.tables.half_open.at_mut(entry.slot()) {
                Some(half) => core::mem::replace(&mut half.queued, true),
                None => true,
            },
            Kind::TimeWait => match self.tables.time_wait.at_mut(entry.slot()) {
                Some(waiting) => core::mem::replace(&mut waiting.queued, true),
                None => true,
            },
        };
        if !queued {
            self.ready.push_back(entry);
        }
    }

    /// Whether one more acknowledgment of what we do not accept may go out (RFC 5961 section 7).
    #[must_use]
    pub(crate) fn may_challenge(&mut self, env: &Env<'_>) -> bool {
        self.challenges
            .take(env.now, env.config.challenge_acks_per_second)
    }
    /// Whether one more reset without a connection may go out.
    #[must_use]
    pub(crate) fn may_reset(&mut self, env: &Env<'_>) -> bool {
        self.resets
            .take(env.now, env.config.unsolicited_replies_per_second)
    }

    /// Adds a reply that belongs to no block.
    pub(crate) fn reply(&mut self, reply: Reply) {
        if self.replies.len() < REPLIES_MAX {
            self.replies.push_back(reply);
        }
    }

    /// Tells the application what a socket's steps have gathered.
    #[inline(never)]
    pub(crate) fn announce(&mut self, events: &mut Events, id: SocketId) {
        if let Some(pending) = self.pending(id)
            && !pending.is_empty()
            && !pending.contains(Readiness::QUEUED)
        {
            pending.insert(Readiness::QUEUED);
            events.push(id);
        }
    }

    fn pending(&mut self, id: SocketId) -> Option<&mut Readiness> {
        // One after the other, the usual ones first: shorter than a table of jumps.
        let slot = self.tables.sockets.get_mut(id.slot, id.generation)?;
        if let Slot::Open(tcb) = slot {
            let told = !tcb.facts.intersects(Fact::ORPHAN | Fact::UNACCEPTED);
            return told.then_some(&mut tcb.pending);
        }
        if let Slot::Listener(listener) = slot {
            return Some(&mut listener.pending);
        }
        match slot {
            Slot::SynSent(open) => (!open.closing).then_some(&mut open.pending),
            Slot::Fresh(fresh) => Some(&mut fresh.pending),
            Slot::Listener(_) | Slot::Open(_) => None,
        }
    }

    /// Takes what an event in the queue stands for.
    pub(crate) fn take_pending(&mut self, id: SocketId) -> Readiness {
        self.pending(id).map(core::mem::take).unwrap_or_default()
    }

    /// Whether the application still holds this socket.
    #[inline(never)]
    pub(crate) fn is_held(&self, id: SocketId) -> bool {
        match self.tables.sockets.get(id.slot, id.generation) {
            Some(Slot::Open(tcb)) => !tcb.facts.contains(Fact::ORPHAN),
            Some(Slot::SynSent(opening)) => !opening.closing,
            Some(Slot::Fresh(_) | Slot::Listener(_)) => true,
            None => false,
        }
    }

    /// The listener that a socket id names.
    pub(crate) fn listener(&mut self, id: SocketId) -> Option<&mut Listener> {
        match self.tables.sockets.get_mut(id.slot, id.generation)? {
            Slot::Listener(listener) => Some(listener),
            _ => None,
        }
    }

    /// Ends a connection that is not to enter TIME-WAIT: its addresses are free again. What the application has not read
    /// stays with the block until it closes the socket.
    #[inline(never)]
    pub(crate) fn end(
        &mut self,
        env: &mut Env<'_>,
        events: &mut Events,
        slot: u32,
        error: Option<ConnectionError>,
        why: Transition,
    ) {
        let Some((tcb, mut scope)) = self.open(env, events, slot) else {
            return;
        };
        let from = scope.state_before(tcb);
        let (ends, hash, id) = (tcb.tuple.ends(), tcb.hash, tcb.id);
        tcb.phase = Phase::Ended;
        if error.is_some() {
            tcb.error = error;
        }
        tcb.pending |= Readiness::CLOSED | Readiness::READABLE | Readiness::WRITABLE;
        let orphan = tcb.facts.contains(Fact::ORPHAN);
        release_buffers(tcb, scope.pool);
        scope.moved(tcb, from, why);
        let reuse = tcb.switches.reuse;
        scope.wheel.cancel(&mut tcb.wheel);
        self.leave_for_good(ends, hash, Entry::new(Kind::Connection, slot), reuse);
        if orphan {
            self.remove_socket(slot);
        } else {
            self.announce(events, id);
        }
    }

    /// An opening connection failed: the socket is fresh again, with the error for the application.
    pub(crate) fn fail_open(
        &mut self,
        env: &mut Env<'_>,
        events: &mut Events,
        slot: u32,
        error: ConnectionError,
        why: Transition,
    ) {
        let Some(place) = self.tables.sockets.at_mut(slot) else {
            return;
        };
        let Slot::SynSent(open) = place else { return };
        let (id, tuple, from, closing) = (open.id, open.tuple, open.state(), open.closing);
        let hash = open.hash;
        self.wheel.cancel(&mut open.wheel);
        let fresh = Fresh {
            options: core::mem::take(&mut open.options),
            local: None,
            error: Some(error),
            pending: Readiness::CLOSED | Readiness::WRITABLE | Readiness::READABLE,
        };
        let reuse = fresh.options.reuse_address;
        let fresh = Slot::Fresh(self.spares.fresh(fresh));
        self.spares.keep(core::mem::replace(place, fresh));
        self.leave_for_good(tuple.ends(), hash, Entry::new(Kind::Connection, slot), reuse);
        env.trace
            .record(TraceMask::STATES, env.now, Some(id), || TraceKind::State {
                tuple: Tuple::from(tuple),
                from,
                to: State::Closed,
                why,
            });
        if closing {
            self.remove_socket(slot);
        } else {
            self.announce(events, id);
        }
    }

    /// Removes a half-open entry.
    #[inline(never)]
    pub(crate) fn drop_half_open(&mut self, place: u32) -> Option<HalfOpen> {
        let mut half = self.take_half_open(place)?;
        self.wheel.cancel(&mut half.wheel);
        self.leave(half.tuple.ends(), half.hash, Entry::new(Kind::HalfOpen, place));
        Some(half)
    }

    /// As [`Tcp::drop_half_open`], if nobody is to be told.
    #[cold]
    #[inline(never)]
    pub(super) fn forget_half_open(&mut self, place: u32) {
        drop(self.drop_half_open(place));
    }

    /// As [`Tcp::drop_half_open`], leaving its addresses and its place in the wheel to be handed over or left.
    pub(crate) fn take_half_open(&mut self, place: u32) -> Option<HalfOpen> {
        let half = self.tables.half_open.remove_at(place)?;
        if let Some(listener) = self.listener(half.listener) {
            listener.half_open -= 1;
        }
        Some(half)
    }

    /// Time has come for what the wheel holds.
    pub(crate) fn handle_timeout(&mut self, env: &mut Env<'_>) {
        while let Some(owner) = self.wheel.expire(env.now) {
            let entry = Entry::from_raw(owner);
            match entry.kind() {
                Kind::TimeWait => debug_assert!(false, "{entry:?} has a queue of its own"),
                Kind::Connection => {
                    match self.tables.sockets.at_mut(entry.slot()) {
                        Some(Slot::Open(tcb)) => tcb.wakes_at = Instant::NEVER,
                        Some(Slot::Fresh(_) | Slot::Listener(_) | Slot::SynSent(_)) | None => {}
                    }
                    self.kick(entry);
                }
                Kind::HalfOpen => self.kick(entry),
            }
        }
        while self.leaving.next() <= env.now
            && let Some(place) = self.leaving.first()
        {
            self.end_time_wait(env, place, Transition::TimeWaitOver);
        }
    }
}

/// Gives back what an ended connection no longer needs; what can still be read stays.
#[inline]
pub(super) fn release_buffers(tcb: &mut Tcb, pool: &mut Pool) {
    let any = tcb.send.is_some() | tcb.scoreboard.is_some() | tcb.reassembly.is_some() | tcb.dsack.is_some();
    if any {
        release_all_buffers(tcb, pool);
    }
}

#[inline(never)]
fn release_all_buffers(tcb: &mut Tcb, pool: &mut Pool) {
    if let Some(mut buffer) = tcb.send.take() {
        let all = buffer.len();
        buffer.ack(pool, all);
        pool.give_sender(buffer);
    }
    tcb.scoreboard = None;
    tcb.reassembly = None;
    tcb.dsack = None;
}
