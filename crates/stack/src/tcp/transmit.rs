//! What TCP sends next: replies first, then whoever is ready, in turn.

use super::burst::{Burst, Reply, Sent};
use super::conn::{Fact, Phase, Tcb};
use super::dispatch::{Around, reset_of};
use super::egress::{self, Decision};
use super::listen;
use super::scope::Scope;
use super::table::{Slot, Tcp};
use super::timers::{self, Look};
use super::{Flags, State};
use crate::demux::{Entry, Kind};
use crate::frame::{Frame, TxMeta};
use crate::iface::{IpLayer, Route};
use crate::stack::{Readiness, SocketId};
use crate::time::Instant;
use crate::trace::{Cause, Timer, TraceKind, TraceMask, Transition};

impl Tcp {
    /// The next frame to send. Entries take turns, a burst each.
    pub(crate) fn poll_transmit(&mut self, cx: &mut Around<'_, '_>, out: &mut Frame) -> Option<TxMeta> {
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
            Kind::TimeWait => None,
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
            refresh_route(tcb, cx.ip);
            egress::restart_after_idle(tcb, &mut scope);
            let route = cx.ip.along(&tcb.path, tcb.tuple.local);
            let held = match egress::decide(tcb, scope.config, room(&route, tcb.snd_mss)) {
                Decision::Send(plan) => {
                    fill_burst(tcb, &mut scope, route, plan);
                    if egress::may_have_more(tcb) {
                        scope.kick(tcb);
                    } else {
                        tcb.held = None;
                        let _: Watched = self.watch(cx, slot);
                    }
                    return Some(());
                }
                Decision::Reset(cause) => {
                    let reply = Reply {
                        tuple: tcb.tuple,
                        segment: reset_of(tcb),
                        cause: Cause::Reset(cause),
                    };
                    self.reply(reply);
                    self.end(cx.env, cx.events, slot, None, Transition::Abort);
                    return None;
                }
                Decision::Wait(held) => held,
            };
            if held != tcb.held {
                tcb.held = held;
                if let Some(why) = held {
                    let waiting = tcb.unsent();
                    let kind = || TraceKind::Held { waiting, why };
                    scope.trace.record(TraceMask::HELD, scope.now, Some(tcb.id), kind);
                }
            }
            if self.watch(cx, slot) == Watched::Quiet {
                return None;
            }
        }
    }

    /// Looks at the timers of a connection that has nothing to send, and makes sure that it is woken for the next.
    fn watch(&mut self, cx: &mut Around<'_, '_>, slot: u32) -> Watched {
        let Some((tcb, mut scope)) = self.open(cx.env, cx.events, slot) else {
            return Watched::Quiet;
        };
        tcb.check();
        match timers::look(tcb, &mut scope) {
            Look::Quiet(at) => {
                if at < tcb.wakes_at {
                    tcb.wakes_at = at;
                    let owner = Entry::new(Kind::Connection, slot).raw();
                    scope.wheel.schedule(&mut tcb.wheel, owner, at);
                } else if at.is_never() && tcb.wakes_at.is_never() {
                    // Idle for longer than its last timer: it holds no place in the wheel.
                    scope.wheel.cancel(&mut tcb.wheel);
                }
                scope.announce(tcb);
                Watched::Quiet
            }
            Look::Fired => {
                scope.kick(tcb);
                Watched::Fired
            }
            Look::Over(fate) => {
                self.settle(cx, slot, fate);
                Watched::Quiet
            }
        }
    }

    /// The SYN of an active open, again when its time has come.
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
        let sends = opening.owed.map(|cause| {
            opening.sent(now);
            let reply = Reply {
                tuple: opening.tuple,
                segment: opening.segment(config, now),
                cause,
            };
            let hop_limit = opening
                .options
                .hops()
                .unwrap_or_else(|| opening.route.hop_limit_or(config));
            self.burst.bare(
                Some(id),
                &reply,
                opening.route,
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
    fn serve_half_open(&mut self, cx: &mut Around<'_, '_>, place: u32) -> Option<()> {
        let (now, config) = (cx.env.now, cx.env.config);
        let half = self.tables.half_open.at_mut(place)?;
        half.queued = false;
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
        self.wheel.schedule(
            &mut half.wheel,
            Entry::new(Kind::HalfOpen, place).raw(),
            half.retry_at,
        );
        let ts_value = (now.as_millis() as u32).wrapping_add(self.isn.timestamp_offset(&tuple));
        let options = self.listener(listener)?.options.clone();
        let mss = self.mss_towards(cx.ip, &tuple, &options)?;
        let segment = listen::syn_ack(listen::Answer { iss, mss, ts_value }, &peer, &options, config);
        let route = cx.ip.route(tuple.remote, Some(tuple.local), None)?;
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

    fn load_reply(&mut self, cx: &mut Around<'_, '_>, reply: Reply) -> Option<()> {
        let route = cx.ip.route(reply.tuple.remote, Some(reply.tuple.local), None)?;
        self.burst
            .bare(None, &reply, route, route.hop_limit_or(cx.env.config), 0);
        Some(())
    }

    /// The earliest deadline and whose it is.
    pub(crate) fn next_timeout(&self) -> Option<(Instant, Option<SocketId>, Timer)> {
        let (at, owner) = self.wheel.next_with_owner()?;
        let entry = Entry::from_raw(owner);
        let (socket, timer) = match entry.kind() {
            Kind::TimeWait => (None, Timer::TimeWait),
            Kind::HalfOpen => (None, Timer::SynAck),
            Kind::Connection => match self.tables.sockets.at(entry.slot()) {
                Some(Slot::Open(tcb)) => (Some(tcb.id), timers::next_is(tcb, at)),
                Some(Slot::SynSent(opening)) => (Some(opening.id), Timer::Retransmit),
                Some(Slot::Fresh(_) | Slot::Listener(_)) | None => (None, Timer::Retransmit),
            },
        };
        Some((at, socket, timer))
    }
}

/// What a look at the timers left to do.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Watched {
    /// Nothing now.
    Quiet,
    /// Something has gone off and left something to send.
    Fired,
}

/// Addresses, routes or the path's MTU may have changed since the route was cached.
fn refresh_route(tcb: &mut Tcb, ip: &IpLayer) {
    if tcb.route_generation == ip.generation() {
        return;
    }
    tcb.route_generation = ip.generation();
    // MUST-45: the local address stays. Without a route the old one is kept: segments are lost, as on any broken path.
    if let Some(route) = ip.route(tcb.tuple.remote, Some(tcb.tuple.local), None) {
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

fn fill_burst(tcb: &mut Tcb, scope: &mut Scope<'_>, route: Route, mut plan: egress::Plan) {
    egress::move_edge(tcb);
    let Burst {
        socket,
        tuple,
        route: via,
        hop_limit,
        traffic_class,
        segment,
        payload,
        short,
        short_len,
        mss,
        cause,
        ..
    } = &mut *scope.burst;
    *segment = egress::header(tcb, scope.config, &plan, scope.now);
    *socket = Some(tcb.id);
    *tuple = tcb.tuple;
    *via = route;
    *traffic_class = tcb.switches.traffic_class;
    *mss = u32::from(tcb.snd_mss);
    *cause = plan.cause;
    *hop_limit = match tcb.switches.hop_limit {
        0 => route.hop_limit_or(scope.config),
        chosen => chosen,
    };
    if plan.len > 0
        && let Some(buffer) = &mut tcb.send
    {
        let offset = plan.seq.since(tcb.snd_una);
        let room = short.get_mut(..plan.len as usize).filter(|_| plan.len <= *mss);
        if room.is_some_and(|room| buffer.copy_from_tail(offset, room)) {
            *short_len = plan.len as u8;
        } else {
            buffer.slice(offset, plan.len, *mss, payload);
            if (payload.len() as u32) < plan.len {
                // The rest lies in further buffers and follows in the next run; this one keeps whole segments.
                plan.len = payload.len() as u32 / *mss * *mss;
                plan.fin = false;
                payload.truncate(plan.len as usize);
                segment.payload_len = plan.len;
                segment.flags.remove(Flags::PSH | Flags::FIN);
            }
        }
    }
    let plan = &plan;
    debug_assert_eq!(
        payload.len() as u32 + u32::from(*short_len),
        plan.len,
        "what is planned is in the send buffer"
    );
    egress::commit(tcb, scope, plan);
    let segments = plan.len.div_ceil(u32::from(tcb.snd_mss)).max(1);
    tcb.segments_out = tcb.segments_out.wrapping_add(segments);
}
