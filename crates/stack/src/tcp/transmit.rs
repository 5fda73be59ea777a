//! What TCP sends next: replies first, then whoever is ready, in turn.

use super::burst::{Burst, Reply, Sent};
use super::conn::{AckOwed, Fact, Phase, Tcb};
use super::dispatch::{Around, mss_along, reset_of};
use super::egress::{self, Decision};
use super::listen;
use super::scope::Scope;
use super::sent;
use super::table::{Slot, Tcp};
use super::timers::{self, Look};
use super::{Flags, State};
use crate::demux::{Entry, Kind};
use crate::frame::{Frame, TxMeta};
use crate::iface::{IpLayer, Route};
use crate::stack::{Readiness, SocketId, Why};
use crate::time::Instant;
use crate::trace::{Held, ResetCause, Timer, TraceKind, TraceMask, Transition};

impl Tcp {
    /// The next frame to send. Entries take turns, a burst each.
    #[inline]
    pub(crate) fn poll_transmit(&mut self, cx: &mut Around<'_, '_>, out: &mut Frame) -> Option<TxMeta> {
        if self.sending
            && let Some(meta) = self.burst.next_alike(cx.env, cx.ip, out)
        {
            self.sending = !self.burst.is_done();
            return Some(meta);
        }
        self.next_frame(cx, out)
    }

    /// The next frame of the run of segments under way, written into one piece of octets, if it can be.
    #[inline]
    pub(crate) fn next_of_burst(
        &mut self,
        cx: &mut Around<'_, '_>,
        out: &mut [u8],
    ) -> Option<(TxMeta, usize)> {
        let sent = self.burst.next_into(cx.env, cx.ip, out);
        self.sending = !self.burst.is_done();
        sent
    }

    #[inline(never)]
    fn next_frame(&mut self, cx: &mut Around<'_, '_>, out: &mut Frame) -> Option<TxMeta> {
        loop {
            if !self.sending && !self.load(cx)? {
                continue;
            }
            let sent = self.burst.next(cx.env, cx.ip, out);
            self.sending = !self.burst.is_done();
            if let Sent::Frame(meta) = sent {
                return Some(meta);
            }
        }
    }

    /// Fills the burst with what is next; says whether there was anything, and `None` when all is quiet.
    fn load(&mut self, cx: &mut Around<'_, '_>) -> Option<bool> {
        if let Some(reply) = self.replies.pop_front() {
            return Some(self.load_reply(cx, reply).is_some());
        }
        let entry = self.ready.pop_front()?;
        Some(self.serve(cx, entry).is_some())
    }

    fn serve(&mut self, cx: &mut Around<'_, '_>, entry: Entry) -> Option<()> {
        match entry.kind() {
            Kind::HalfOpen => self.serve_half_open(cx, entry.slot()),
            Kind::TimeWait => self.serve_time_wait(cx, entry.slot()),
            Kind::Connection => match self.tables.sockets.at(entry.slot())? {
                Slot::SynSent(_) => self.serve_opening(cx, entry.slot()),
                Slot::Open(_) => self.serve_connection(cx, entry.slot()),
                Slot::Fresh(_) | Slot::Listener(_) => None,
            },
        }
    }

    /// One burst of a connection, or, when nothing is to be sent, a look at its timers.
    fn serve_connection(&mut self, cx: &mut Around<'_, '_>, slot: u32) -> Option<()> {
        loop {
            let (tcb, mut scope) = self.open(cx.env, cx.events, slot)?;
            tcb.facts.remove(Fact::QUEUED);
            if tcb.phase != Phase::Live {
                return None;
            }
            if tcb.facts.contains(Fact::DOUBTED) {
                tcb.facts.remove(Fact::DOUBTED);
                cx.ip.doubt(scope.now, tcb.path);
            }
            find_way(tcb, scope.burst, cx.ip);
            sent::restart_after_idle(tcb, scope.now, scope.config, scope.trace);
            let (sent, held) = match egress::decide(tcb, scope.config, room(&scope.burst.route, tcb.snd_mss))
            {
                Decision::Send(plan) => {
                    fill_burst(tcb, &mut scope, plan);
                    if egress::may_have_more(tcb) {
                        scope.kick(tcb);
                        return Some(());
                    }
                    (Some(()), None)
                }
                Decision::Wait(held) => (None, held),
                Decision::Reset(cause) => {
                    self.reset(cx, slot, cause);
                    return None;
                }
            };
            if held != tcb.held {
                hold(tcb, &mut scope, held);
            }
            match watch(tcb, &mut scope) {
                Look::Quiet(_) => return sent,
                Look::Fired if sent.is_some() => return sent,
                Look::Fired => {}
                Look::Over(fate) => {
                    self.settle(cx, slot, fate);
                    return sent;
                }
            }
        }
    }

    /// The reset that a connection owes, and its end.
    #[cold]
    fn reset(&mut self, cx: &mut Around<'_, '_>, slot: u32, cause: ResetCause) {
        let Some(Slot::Open(tcb)) = self.tables.sockets.at(slot) else {
            return;
        };
        let reset = reset_of(tcb, cause);
        self.reply(reset);
        self.end(cx.env, cx.events, slot, None, Transition::Abort);
    }

    /// The SYN of an active open, again when its time has come.
    #[inline(never)]
    fn serve_opening(&mut self, cx: &mut Around<'_, '_>, slot: u32) -> Option<()> {
        let (now, config) = (cx.env.now, cx.env.config);
        let Some(Slot::SynSent(opening)) = self.tables.sockets.at_mut(slot) else {
            return None;
        };
        opening.queued = false;
        if opening.owed.is_none()
            && let Err(error) = opening.timer(now, config)
        {
            self.fail_open(cx.env, cx.events, slot, error, Transition::Timeout);
            return None;
        }
        let id = opening.id;
        // The SYN,ACK says all that an ACK does.
        let ack = core::mem::replace(&mut opening.ack_owed, AckOwed::No).cause();
        let ack = ack.filter(|_| opening.owed.is_none());
        let sends = opening.owed.or(ack).map(|cause| {
            let segment = if ack.is_some() {
                opening.acknowledgment(config, now)
            } else {
                opening.sent(now);
                opening.segment(config, now)
            };
            let reply = Reply {
                tuple: opening.tuple,
                segment,
                cause,
            };
            let hop_limit = opening
                .options
                .hops()
                .unwrap_or_else(|| opening.path.hop_limit_or(config));
            self.burst.bare(
                Some(id),
                &reply,
                cx.ip.along(&opening.path, opening.tuple.local()),
                hop_limit,
                opening.options.traffic_class,
            );
        });
        let at = opening.retry_at;
        self.wheel
            .schedule(&mut opening.wheel, Entry::new(Kind::Connection, slot).raw(), at);
        if opening.pending.contains(Readiness::SOFT_ERROR) {
            self.announce(cx.events, id);
        }
        sends
    }

    /// The SYN,ACK of a half-open connection, again when its time has come.
    #[inline(never)]
    fn serve_half_open(&mut self, cx: &mut Around<'_, '_>, place: u32) -> Option<()> {
        let (now, config) = (cx.env.now, cx.env.config);
        let half = self.tables.half_open.at_mut(place)?;
        half.queued = false;
        if let Some(cause) = core::mem::replace(&mut half.ack_owed, AckOwed::No).cause()
            && half.owed.is_none()
            && now < half.retry_at
        {
            let (tuple, segment, listener) = (half.tuple, half.acknowledgment(), half.listener);
            return self.serve_ack(
                cx,
                Some(listener),
                Reply {
                    tuple,
                    segment,
                    cause,
                },
            );
        }
        if half.owed.is_none() && half.timer(now, config).is_err() {
            let tuple = half.tuple;
            self.drop_half_open(place);
            let (from, to) = (State::SynReceived, State::Closed);
            super::dispatch::state_moved(cx.env, None, &tuple, from, to, Transition::Timeout);
            return None;
        }
        let Some(cause) = half.owed else {
            let at = half.retry_at;
            self.wheel
                .schedule(&mut half.wheel, Entry::new(Kind::HalfOpen, place).raw(), at);
            return None;
        };
        half.sent(now, config);
        let (tuple, iss, peer, listener) = (half.tuple, half.iss, half.peer, half.listener);
        let told = half.told;
        self.wheel.schedule(
            &mut half.wheel,
            Entry::new(Kind::HalfOpen, place).raw(),
            half.retry_at,
        );
        let ts_value = (now.as_millis() as u32).wrapping_add(half.ts_offset);
        let options = self.listener(listener)?.options;
        let route = cx.ip.route(tuple.remote(), Some(tuple.local()), None)?;
        let mss = mss_along(cx.ip, &route, &options);
        let answer = listen::Answer {
            iss,
            mss,
            ts_value,
            told,
        };
        let segment = listen::syn_ack(answer, &peer);
        let hop_limit = options.hops().unwrap_or_else(|| route.hop_limit_or(config));
        self.burst.bare(
            None,
            &Reply {
                tuple,
                segment,
                cause,
            },
            route,
            hop_limit,
            options.traffic_class,
        );
        Some(())
    }

    /// The one ACK that a TIME-WAIT entry owes for all that came since.
    #[inline(never)]
    fn serve_time_wait(&mut self, cx: &mut Around<'_, '_>, place: u32) -> Option<()> {
        let entry = self.tables.time_wait.at_mut(place)?;
        entry.queued = false;
        let cause = core::mem::replace(&mut entry.owed, AckOwed::No).cause()?;
        let (tuple, segment) = (entry.tuple, entry.ack(cx.env.now));
        self.serve_ack(
            cx,
            None,
            Reply {
                tuple,
                segment,
                cause,
            },
        )
    }

    fn serve_ack(&mut self, cx: &mut Around<'_, '_>, listener: Option<SocketId>, reply: Reply) -> Option<()> {
        let options = listener.and_then(|id| self.listener(id)).map(|l| l.options);
        let options = options.unwrap_or_default();
        let route = cx
            .ip
            .route(reply.tuple.remote(), Some(reply.tuple.local()), None)?;
        let hop_limit = options
            .hops()
            .unwrap_or_else(|| route.hop_limit_or(cx.env.config));
        self.burst
            .bare(None, &reply, route, hop_limit, options.traffic_class);
        Some(())
    }

    #[inline(never)]
    fn load_reply(&mut self, cx: &mut Around<'_, '_>, reply: Reply) -> Option<()> {
        let route = cx
            .ip
            .route(reply.tuple.remote(), Some(reply.tuple.local()), None)?;
        self.burst
            .bare(None, &reply, route, route.hop_limit_or(cx.env.config), 0);
        Some(())
    }

    /// The earliest deadline, or never.
    #[inline]
    pub(crate) fn next_timeout(&self) -> Instant {
        self.wheel.next().min(self.leaving.next())
    }

    /// What the deadline that is next is for.
    #[inline(always)]
    pub(crate) fn waits_for(&self, at: Instant) -> Why {
        if at < self.wheel.next() {
            return Why {
                socket: None,
                timer: Timer::TimeWait,
            };
        }
        let entry = Entry::from_raw(self.wheel.next_owner());
        let (socket, timer) = match entry.kind() {
            Kind::TimeWait => (None, Timer::TimeWait),
            Kind::HalfOpen => (None, Timer::SynAck),
            Kind::Connection => match self.tables.sockets.at(entry.slot()) {
                Some(Slot::Open(tcb)) => (Some(tcb.id), timers::next_is(tcb, at)),
                Some(Slot::SynSent(opening)) => (Some(opening.id), Timer::Retransmit),
                Some(Slot::Fresh(_) | Slot::Listener(_)) | None => (None, Timer::Retransmit),
            },
        };
        Why { socket, timer }
    }
}

/// Remembers why what is queued is held, or that it is not.
#[inline]
pub(super) fn hold(tcb: &mut Tcb, scope: &mut Scope<'_>, held: Option<Held>) {
    tcb.held = held;
    if let Some(why) = held {
        let waiting = tcb.unsent();
        let kind = || TraceKind::Held { waiting, why };
        scope.trace.record(TraceMask::HELD, scope.now, Some(tcb.id), kind);
    }
}

/// Looks at the timers of a connection that has nothing more to send, and makes sure that it is woken for the next.
#[inline]
pub(super) fn watch(tcb: &mut Tcb, scope: &mut Scope<'_>) -> Look {
    tcb.check();
    let look = timers::look(tcb, scope);
    match look {
        Look::Quiet(at) => {
            if at < tcb.wakes_at {
                tcb.wakes_at = at;
                let owner = Entry::new(Kind::Connection, tcb.id.slot).raw();
                scope.wheel.schedule(&mut tcb.wheel, owner, at);
            } else if at.is_never() && tcb.wakes_at.is_never() {
                // Idle for longer than its last timer: it holds no place in the wheel.
                scope.wheel.cancel(&mut tcb.wheel);
            }
            scope.announce(tcb);
        }
        Look::Fired => scope.kick(tcb),
        Look::Over(_) => {}
    }
    look
}

/// Makes addresses and route of the burst those of this connection, unless they are: the run before was probably its
/// own too.
#[inline]
fn find_way(tcb: &mut Tcb, burst: &mut Burst, ip: &IpLayer) {
    let generation = ip.generation();
    if tcb.route_generation == generation && burst.is_for(tcb.id, generation) {
        return;
    }
    refresh_route(tcb, ip);
    burst.turn_to(
        tcb.id,
        generation,
        tcb.tuple,
        ip.along(&tcb.path, tcb.tuple.local()),
    );
}

/// Addresses, routes or the path's MTU may have changed since the route was cached.
fn refresh_route(tcb: &mut Tcb, ip: &IpLayer) {
    if tcb.route_generation == ip.generation() {
        return;
    }
    tcb.route_generation = ip.generation();
    // MUST-45: the local address stays. Without a route the old one is kept: segments are lost, as on any broken path.
    if let Some(route) = ip.route(tcb.tuple.remote(), Some(tcb.tuple.local()), None) {
        tcb.path = route.into();
        tcb.set_mss();
    }
}

/// The most payload that one burst may carry: what the device takes, or 64 KiB split here; always whole segments.
fn room(route: &Route, mss: u16) -> u32 {
    let headers = 60 + 60;
    let most = match route.capabilities.gso_max {
        0 => u32::from(u16::MAX),
        max => max,
    };
    let mss = u32::from(mss);
    (most.saturating_sub(headers) / mss * mss).max(mss)
}

fn fill_burst(tcb: &mut Tcb, scope: &mut Scope<'_>, mut plan: egress::Plan) {
    sent::move_edge(tcb);
    let mss = u32::from(tcb.snd_mss);
    let burst = &mut *scope.burst;
    burst.segment = egress::header(tcb, scope.config, &plan, scope.now);
    burst.traffic_class = tcb.switches.traffic_class;
    burst.mss = mss;
    let mark = tcb.urgent.as_ref().and_then(|u| u.snd_up);
    burst.urgent = mark.map(|end| (end, scope.config.urgent_pointer));
    burst.cause = plan.cause;
    burst.hop_limit = match tcb.switches.hop_limit {
        0 => burst.route.hop_limit_or(scope.config),
        chosen => chosen,
    };
    if plan.len > 0
        && let Some(buffer) = &mut tcb.send
    {
        let offset = plan.seq.since(tcb.snd_una);
        let short = burst
            .short
            .get_mut(..plan.len as usize)
            .filter(|_| plan.len <= mss);
        if short.is_some_and(|short| buffer.copy_from_tail(offset, short)) {
            burst.short_len = plan.len as u8;
        } else {
            buffer.slice(offset, plan.len, mss, &mut burst.payload);
            if (burst.payload.len() as u32) < plan.len {
                // The rest lies in further buffers and follows in the next run; this one keeps whole segments.
                plan.len = burst.payload.len() as u32 / mss * mss;
                plan.fin = false;
                burst.payload.truncate(plan.len as usize);
                burst.segment.payload_len = plan.len;
                burst.segment.flags.remove(Flags::PSH | Flags::FIN);
            }
        }
    }
    debug_assert_eq!(
        burst.payload.len() as u32 + u32::from(burst.short_len),
        plan.len,
        "what is planned is in the send buffer"
    );
    sent::commit(tcb, scope, &plan);
    let segments = if plan.len <= mss {
        1
    } else {
        plan.len.div_ceil(mss)
    };
    tcb.segments_out = tcb.segments_out.wrapping_add(segments);
}
