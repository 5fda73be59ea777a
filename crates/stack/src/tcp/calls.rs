//! What applications ask of TCP (RFC 9293 section 3.9.1 and 3.10.1 to 3.10.6).

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

use super::State;
use super::choices::TcpOptions;
use super::conn::{Fact, FinIn, FinOut, Phase, Tcb};
use super::dispatch::{Around, mss_along, socket_addr, state_moved};
use super::ingress::Fate;
use super::isn::initial_sequence_number;
use super::listen::Listener;
use super::open::{self, SynSent};
use super::table::{Fresh, Slot, Tcp};

use crate::bindings::BindFlags;
use crate::demux::{Entry, FourTuple, Kind};
use crate::error::{AcceptError, BindError, ConnectError, ConnectionError, ListenError};
use crate::iface::{Env, IpLayer, Route};
use crate::stack::{Readiness, SocketId};
use crate::time::Instant;
use crate::trace::{Cause, ResetCause, Transition};

impl Tcp {
    /// A new socket, unbound.
    pub(crate) fn socket(&mut self, options: TcpOptions) -> SocketId {
        let fresh = Fresh {
            options,
            local: None,
            error: None,
            pending: Readiness::empty(),
        };
        let (slot, generation) = self.tables.sockets.insert(Slot::Fresh(self.spares.fresh(fresh)));
        SocketId { slot, generation }
    }

    fn fresh(&mut self, id: SocketId) -> Option<&mut Fresh> {
        match self.tables.sockets.get_mut(id.slot, id.generation)? {
            Slot::Fresh(fresh) => Some(fresh),
            _ => None,
        }
    }

    fn exists(&self, id: SocketId) -> bool {
        self.tables.sockets.get(id.slot, id.generation).is_some()
    }

    /// Binds a local address (MUST-43); port 0 chooses one from the dynamic range.
    pub(crate) fn bind(
        &mut self,
        env: &mut Env<'_>,
        ip: &IpLayer,
        id: SocketId,
        local: SocketAddr,
    ) -> Result<(), BindError> {
        if !self.exists(id) {
            return Err(BindError::Stale);
        }
        let fresh = self.fresh(id).ok_or(BindError::AlreadyBound)?;
        if fresh.local.is_some() {
            return Err(BindError::AlreadyBound);
        }
        let flags = flags_of(&fresh.options);
        let wanted = unmapped(local);
        if flags.ipv6_only && wanted.is_ipv4() != local.is_ipv4() {
            return Err(BindError::Family(local)); // as Linux: such a socket has no IPv4 addresses
        }
        if !wanted.ip().is_unspecified() && !ip.is_local(wanted.ip()) {
            return Err(BindError::NotLocal(wanted.ip()));
        }
        let chosen = match wanted.port() {
            0 => self.bind_any(env, id, wanted.ip(), flags)?,
            _ => {
                self.bindings
                    .bind(id, wanted, flags)
                    .map_err(|_| BindError::InUse(local))?;
                wanted
            }
        };
        if let Some(fresh) = self.fresh(id) {
            fresh.local = Some(chosen);
        }
        Ok(())
    }

    /// Binds to a free port of the dynamic range, in an order that nobody outside can predict (RFC 6056).
    fn bind_any(
        &mut self,
        env: &mut Env<'_>,
        id: SocketId,
        ip: IpAddr,
        flags: BindFlags,
    ) -> Result<SocketAddr, BindError> {
        let (first, last) = (env.config.ephemeral_first, env.config.ephemeral_last);
        let salt = socket_addr(ip, env.rng.next_u32() as u16);
        let Tcp { ports, bindings, .. } = self;
        // A chosen port is one that nobody shares, whatever the flags.
        let strict = BindFlags {
            reuse_address: false,
            reuse_port: false,
            ..flags
        };
        let port = ports
            .choose(ip, salt, first, last, |port| {
                bindings.bind(id, socket_addr(ip, port), strict).is_ok_and(|()| {
                    bindings.unbind(id, socket_addr(ip, port));
                    true
                })
            })
            .ok_or(BindError::NoFreePort)?;
        let local = socket_addr(ip, port);
        bindings
            .bind(id, local, flags)
            .map_err(|_| BindError::InUse(local))?;
        Ok(local)
    }

    /// Passive OPEN (MUST-41, MUST-42). A second call changes the backlog, as on Linux.
    pub(crate) fn listen(
        &mut self,
        env: &mut Env<'_>,
        ip: &IpLayer,
        id: SocketId,
        backlog: u32,
    ) -> Result<(), ListenError> {
        let backlog = backlog.min(env.config.backlog_max);
        if let Some(listener) = self.listener(id) {
            listener.backlog = backlog;
            return Ok(());
        }
        if !self.exists(id) {
            return Err(ListenError::Stale);
        }
        let unbound = self.fresh(id).ok_or(ListenError::NotFresh)?.local.is_none();
        if unbound {
            // As BSD: an unbound socket listens on a port of the stack's choice, on all addresses of both families.
            self.bind(
                env,
                ip,
                id,
                SocketAddr::new(core::net::Ipv6Addr::UNSPECIFIED.into(), 0),
            )?;
        }
        let Some(fresh) = self.fresh(id) else {
            return Err(ListenError::Stale);
        };
        let Some(local) = fresh.local else {
            return Err(ListenError::NotFresh);
        };
        let options = fresh.options.clone();
        self.bindings
            .listen(id, local)
            .map_err(|_| BindError::InUse(local))?;
        let listener = Listener {
            local,
            options,
            backlog,
            half_open: 0,
            accept: Default::default(),
            cookies_until: Instant::ZERO,
            pending: Readiness::empty(),
        };
        if let Some(place) = self.tables.sockets.get_mut(id.slot, id.generation) {
            *place = Slot::Listener(Box::new(listener));
        }
        Ok(())
    }

    /// Active OPEN (RFC 9293 section 3.9.1.1).
    pub(crate) fn connect(
        &mut self,
        cx: &mut Around<'_, '_>,
        id: SocketId,
        to: SocketAddr,
    ) -> Result<(), ConnectError> {
        if !self.exists(id) {
            return Err(ConnectError::Stale);
        }
        let mut remote = unmapped(to);
        let fresh = self.fresh(id).ok_or(ConnectError::NotFresh)?;
        let (bound, ipv6_only) = (fresh.local, fresh.options.ipv6_only);
        let from = bound.map(|b| b.ip()).filter(|ip| !ip.is_unspecified());
        if remote.ip().is_unspecified() {
            // As BSD and Linux: "this host", by its loopback address, or by the one that the socket is bound to.
            let here = match from {
                Some(ip) if ip.is_ipv4() == remote.is_ipv4() => ip,
                _ if remote.is_ipv4() => core::net::Ipv4Addr::LOCALHOST.into(),
                _ => core::net::Ipv6Addr::LOCALHOST.into(),
            };
            remote.set_ip(here);
        }
        let target = remote.ip();
        if ipv6_only && target.is_ipv4() {
            return Err(ConnectError::NoRoute(to.ip())); // as Linux
        }
        check_remote(cx.ip, from, to, remote)?;
        // MUST-44: IP chooses the source address before the first SYN.
        let route = cx
            .ip
            .route(target, from, None)
            .ok_or(ConnectError::NoRoute(target))?;
        if cx.ip.has_failed(route.interface) {
            return Err(ConnectError::NetworkDown);
        }
        let local = from.unwrap_or(route.source);
        let port = match bound {
            Some(bound) => bound.port(),
            None => self.choose_port(cx.env, local, remote)?,
        };
        let tuple = FourTuple::new(local, port, target, remote.port());
        if bound.is_some() && self.find(&tuple).is_some() {
            return Err(ConnectError::Bind(BindError::InUse(socket_addr(local, port))));
        }
        if let Some(bound) = bound {
            self.bindings.unbind(id, bound);
        }
        self.send_syn(cx, id, tuple, route);
        Ok(())
    }

    /// The socket becomes an active open, whose SYN is next to be sent.
    fn send_syn(&mut self, cx: &mut Around<'_, '_>, id: SocketId, tuple: FourTuple, route: Route) {
        let (now, config) = (cx.env.now, cx.env.config);
        let iss = initial_sequence_number(now, self.demux.sequence_place(&tuple));
        let ts_offset = self.offsets.timestamp_offset(&tuple);
        let Some(place) = self.tables.sockets.get_mut(id.slot, id.generation) else {
            return;
        };
        let Slot::Fresh(fresh) = place else { return };
        let mss = mss_along(cx.ip, &route, &fresh.options);
        let reuse = fresh.options.reuse_address;
        let opening = self.spares.opening(SynSent {
            id,
            tuple,
            path: route.into(),
            iss,
            mss,
            ts_offset,
            ecn: super::ecn::setting(&fresh.options, config) == crate::config::Ecn::Always,
            plain_syn: false,
            told: open::Told::new(&fresh.options, config, mss),
            ack_owed: super::conn::AckOwed::No,
            text: None,
            options: core::mem::take(&mut fresh.options),
            peer: None,
            peer_window: 0,
            owed: Some(Cause::Open),
            queued: true,
            tries: 0,
            rto: config.rto_initial,
            sent_at: now,
            started: now,
            retry_at: Instant::NEVER,
            wheel: Default::default(),
            pending: Readiness::empty(),
            soft_error: None,
            closing: false,
        });
        self.spares
            .keep(core::mem::replace(place, Slot::SynSent(opening)));
        self.bindings
            .connection_made(tuple.local(), tuple.local_port(), reuse);
        let entry = Entry::new(Kind::Connection, id.slot);
        self.enter(&tuple, entry);
        state_moved(
            cx.env,
            Some(id),
            &tuple,
            State::Closed,
            State::SynSent,
            Transition::Open,
        );
        self.ready.push_back(entry);
    }

    /// A port from which the remote address is not connected yet (RFC 6056).
    fn choose_port(&mut self, env: &Env<'_>, local: IpAddr, remote: SocketAddr) -> Result<u16, ConnectError> {
        let (first, last) = (env.config.ephemeral_first, env.config.ephemeral_last);
        let Tcp {
            ports,
            bindings,
            tables,
            demux,
            ..
        } = self;
        ports
            .choose(local, remote, first, last, |port| {
                let tuple = FourTuple::new(local, port, remote.ip(), remote.port());
                !bindings.taken_exclusively(local, port)
                    && demux
                        .find(&tuple, |entry| tables.tuple(entry) == Some(&tuple))
                        .is_none()
            })
            .ok_or(ConnectError::Bind(BindError::NoFreePort))
    }

    /// Takes the oldest finished connection off a listener's queue.
    pub(crate) fn accept(
        &mut self,
        cx: &mut Around<'_, '_>,
        id: SocketId,
    ) -> Result<Option<(SocketId, SocketAddr)>, AcceptError> {
        let listener = self.listener(id).ok_or(AcceptError::Stale)?;
        if cx.ip.is_down() {
            return Err(AcceptError::NetworkDown);
        }
        let Some(next) = listener.accept.pop_front() else {
            return Ok(None);
        };
        let Some(Slot::Open(tcb)) = self.tables.sockets.get_mut(next.slot, next.generation) else {
            return Ok(None);
        };
        tcb.facts.remove(Fact::UNACCEPTED);
        tcb.pending |= Readiness::WRITABLE;
        let peer = socket_addr(tcb.tuple.remote(), tcb.tuple.remote_port());
        self.announce(cx.events, next);
        Ok(Some((next, peer)))
    }

    /// CLOSE (RFC 9293 section 3.10.4): the id is released at once; what is queued is still sent.
    pub(crate) fn close(&mut self, cx: &mut Around<'_, '_>, id: SocketId) {
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
            Slot::Open(_) => self.close_connection(cx, id.slot),
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

    fn close_connection(&mut self, cx: &mut Around<'_, '_>, slot: u32) {
        let Some((tcb, mut scope)) = self.open(cx.env, cx.events, slot) else {
            return;
        };
        if tcb.phase != Phase::Live {
            let id = tcb.id;
            self.forget_block(id);
            return;
        }
        let linger = tcb.extra.as_ref().and_then(|e| e.options.linger);
        let unread = tcb.readable() > 0;
        if let Some(mut queue) = tcb.receive.take() {
            let all = queue.len();
            queue.discard(scope.pool, all);
        }
        tcb.facts.insert(Fact::ORPHAN);
        tcb.facts.remove(Fact::UNACCEPTED);
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
        let now = scope.now;
        if let Some(limit) = linger {
            tcb.set_end(now + limit);
        }
        if tcb.fin_out == FinOut::No {
            let from = tcb.state();
            tcb.fin_out = FinOut::Queued;
            scope.moved(tcb, from, Transition::Close);
        } else if tcb.fin_out == FinOut::Acked && tcb.fin_in == FinIn::No {
            tcb.set_end(now + scope.config.fin_wait_2);
        }
        scope.kick(tcb);
    }

    /// Removes the block of an ended connection; a TIME-WAIT entry goes on without it.
    fn forget_block(&mut self, id: SocketId) {
        let Some(Slot::Open(tcb)) = self.tables.sockets.get_mut(id.slot, id.generation) else {
            return;
        };
        let (tuple, in_time_wait) = (tcb.tuple, tcb.phase == Phase::TimeWait);
        if let Some(mut queue) = tcb.receive.take() {
            let all = queue.len();
            queue.discard(&mut self.pool, all);
        }
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

/// MUST-46: whether a connection to that address can be; `from` is the address to which the socket is bound.
fn check_remote(
    ip: &IpLayer,
    from: Option<IpAddr>,
    to: SocketAddr,
    remote: SocketAddr,
) -> Result<(), ConnectError> {
    let target = remote.ip();
    let nobody = target.is_multicast() || ip.is_broadcast(target);
    if remote.port() == 0 || nobody {
        return Err(ConnectError::InvalidRemote(to));
    }
    if from.is_some_and(|ip| ip.is_ipv4() != target.is_ipv4()) {
        return Err(ConnectError::Bind(BindError::Family(to)));
    }
    Ok(())
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

fn flags_of(options: &TcpOptions) -> BindFlags {
    BindFlags {
        reuse_address: options.reuse_address,
        reuse_port: options.reuse_port,
        ipv6_only: options.ipv6_only,
    }
}

/// `::ffff:a.b.c.d` is the IPv4 address that it wraps.
pub(crate) fn unmapped(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
