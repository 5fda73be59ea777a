//! What applications ask of TCP (RFC 9293 section 3.9.1 and 3.10.1 to 3.10.6).

use alloc::boxed::Box;
use core::hint::cold_path;
use core::net::{IpAddr, SocketAddr};

use super::State;
use super::choices::TcpOptions;
use super::conn::Fact;
use super::dispatch::{Around, mss_along, socket_addr, state_moved};
use super::isn::initial_sequence_number;
use super::listen::Listener;
use super::open;
use super::scope::announce;
use super::table::{Fresh, Slot, Tcp};
use crate::bindings::BindFlags;
use crate::demux::{Entry, FourTuple, Kind};
use crate::error::{AcceptError, BindError, ConnectError, ListenError};
use crate::iface::{Cast, Env, IpLayer, Route};
use crate::stack::{Readiness, SocketId};
use crate::time::Instant;
use crate::trace::{Cause, TraceMask, Transition};

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
        let mut salted = FourTuple::new(ip, 0, ip, env.rng.next_u32() as u16);
        let Tcp { ports, bindings, .. } = self;
        // A chosen port is one that nobody shares, whatever the flags.
        let strict = BindFlags {
            reuse_address: false,
            reuse_port: false,
            ..flags
        };
        let found = ports.choose(&mut salted, first, last, |tuple| {
            let local = socket_addr(ip, tuple.local_port());
            bindings.bind(id, local, strict).is_ok_and(|()| {
                bindings.unbind(id, local);
                true
            })
        });
        if !found {
            return Err(BindError::NoFreePort);
        }
        let local = socket_addr(ip, salted.local_port());
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
        let options = fresh.options;
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
        let (local, ipv6_only) = match self.tables.sockets.get_mut(id.slot, id.generation) {
            Some(Slot::Fresh(fresh)) => (&fresh.local, fresh.options.ipv6_only),
            Some(_) => return Err(ConnectError::NotFresh),
            None => return Err(ConnectError::Stale),
        };
        match *local {
            None => self.connect_from(cx, id, None, to, ipv6_only),
            Some(bound) => self.connect_bound(cx, id, bound, to, ipv6_only),
        }
    }

    /// Active OPEN from an address of the application's choice, which few ask for.
    #[cold]
    #[inline(never)]
    fn connect_bound(
        &mut self,
        cx: &mut Around<'_, '_>,
        id: SocketId,
        bound: SocketAddr,
        to: SocketAddr,
        ipv6_only: bool,
    ) -> Result<(), ConnectError> {
        self.connect_from(cx, id, Some(bound), to, ipv6_only)
    }

    #[inline(always)]
    fn connect_from(
        &mut self,
        cx: &mut Around<'_, '_>,
        id: SocketId,
        bound: Option<SocketAddr>,
        to: SocketAddr,
        ipv6_only: bool,
    ) -> Result<(), ConnectError> {
        let from = bound.map(|b| b.ip()).filter(|ip| !ip.is_unspecified());
        let (target, port) = match to {
            SocketAddr::V4(to) if !to.ip().is_unspecified() => (IpAddr::V4(*to.ip()), to.port()),
            _ => (whom(to.ip(), from), to.port()),
        };
        if ipv6_only && target.is_ipv4() {
            cold_path();
            return Err(ConnectError::NoRoute(to.ip())); // as Linux
        }
        // MUST-44: IP chooses the source address before the first SYN.
        let route = cx.ip.route(target, from, None);
        // MUST-46: nobody connects to many.
        let Some(route) = route
            .as_ref()
            .filter(|route| route.cast == Cast::Unicast && !cx.ip.has_failed(route.interface) && port != 0)
        else {
            return Err(why_not(cx.ip, from, to, target, route.as_ref()));
        };
        let local = from.unwrap_or(route.source);
        let local_port = bound.map_or(0, |bound| bound.port());
        let mut tuple = FourTuple::new(local, local_port, target, port);
        match bound {
            None if !self.choose_port(cx.env, &mut tuple) => {
                return Err(ConnectError::Bind(BindError::NoFreePort));
            }
            None => {}
            Some(_) if self.find(&tuple).is_some() => {
                let local = socket_addr(local, local_port);
                return Err(ConnectError::Bind(BindError::InUse(local)));
            }
            Some(bound) => self.bindings.unbind(id, bound),
        }
        self.send_syn(cx, id, &tuple, route);
        Ok(())
    }

    /// The socket becomes an active open, whose SYN is next to be sent.
    #[inline(always)]
    fn send_syn(&mut self, cx: &mut Around<'_, '_>, id: SocketId, tuple: &FourTuple, route: &Route) {
        let (now, config) = (cx.env.now, cx.env.config);
        let hash = self.demux.hash(tuple);
        let iss = initial_sequence_number(now, hash.sequence_place());
        let ts_offset = self.offsets.timestamp_offset(tuple);
        let Some(place) = self.tables.sockets.get_mut(id.slot, id.generation) else {
            return;
        };
        let Slot::Fresh(fresh) = place else { return };
        let mss = mss_along(cx.ip, route, &fresh.options);
        let reuse = fresh.options.reuse_address;
        let mut boxed = self.spares.opening();
        let opening = &mut *boxed; // filled where it lies
        opening.options = fresh.options;
        opening.tuple = *tuple;
        opening.rto = config.rto_initial;
        opening.sent_at = now;
        opening.started = now;
        opening.retry_at = Instant::NEVER;
        opening.id = id;
        opening.iss = iss;
        opening.ts_offset = ts_offset;
        opening.hash = hash.table();
        opening.wheel = Default::default();
        opening.told = open::Told::new(&fresh.options, config, mss);
        opening.mss = mss;
        opening.pending = Readiness::empty();
        opening.queued = true;
        opening.tries = 0;
        opening.ecn = super::ecn::setting(&fresh.options, config) == crate::config::Ecn::Always;
        opening.plain_syn = false;
        opening.closing = false;
        opening.soft_error = None;
        opening.ack_owed = super::conn::AckOwed::No;
        opening.owed = Some(Cause::Open);
        opening.path = (*route).into();
        opening.peer = None;
        match core::mem::replace(place, Slot::SynSent(boxed)) {
            Slot::Fresh(fresh) => self.spares.keep_fresh(fresh),
            other => self.spares.keep(other),
        }
        self.bindings.connection_made(tuple.ends(), reuse);
        let entry = Entry::new(Kind::Connection, id.slot);
        self.enter(tuple, hash.table(), entry);
        if cx.env.trace.wants(TraceMask::STATES) {
            trace_open(cx.env, id, tuple);
        }
        self.ready.push_back(entry);
    }

    /// Gives the tuple a local port from which the remote address is not connected yet (RFC 6056); false if there is none.
    fn choose_port(&mut self, env: &Env<'_>, tuple: &mut FourTuple) -> bool {
        let (first, last) = (env.config.ephemeral_first, env.config.ephemeral_last);
        let Tcp {
            ports,
            bindings,
            tables,
            demux,
            ..
        } = self;
        ports.choose(tuple, first, last, |tuple| {
            !bindings.taken_exclusively(tuple) && tables.find(demux, tuple).is_none()
        })
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
        let tcb = &mut **tcb; // the box is looked into once
        tcb.facts.remove(Fact::UNACCEPTED);
        tcb.pending |= Readiness::WRITABLE;
        let peer = socket_addr(tcb.tuple.remote(), tcb.tuple.remote_port());
        announce(tcb, cx.events);
        Ok(Some((next, peer)))
    }
}

#[cold]
#[inline(never)]
fn trace_open(env: &mut Env<'_>, id: SocketId, tuple: &FourTuple) {
    state_moved(
        env,
        Some(id),
        tuple,
        State::Closed,
        State::SynSent,
        Transition::Open,
    );
}

/// The address that is meant by one that stands for others: an IPv4-mapped one for the IPv4 address that it wraps, and none at
/// all, as on BSD and Linux, for this host, by its loopback address or by the one that the socket is bound to.
#[cold]
#[inline(never)]
fn whom(ip: IpAddr, from: Option<IpAddr>) -> IpAddr {
    let ip = ip.to_canonical();
    match from {
        _ if !ip.is_unspecified() => ip,
        Some(from) if from.is_ipv4() == ip.is_ipv4() => from,
        _ if ip.is_ipv4() => core::net::Ipv4Addr::LOCALHOST.into(),
        _ => core::net::Ipv6Addr::LOCALHOST.into(),
    }
}

/// Why nobody connects there, by this way; `from` is the address to which the socket is bound.
#[cold]
#[inline(never)]
fn why_not(
    ip: &IpLayer,
    from: Option<IpAddr>,
    to: SocketAddr,
    target: IpAddr,
    route: Option<&Route>,
) -> ConnectError {
    if to.port() == 0 || target.is_multicast() || ip.is_broadcast(target) {
        return ConnectError::InvalidRemote(to);
    }
    match route {
        Some(route) if route.cast != Cast::Unicast => ConnectError::InvalidRemote(to),
        Some(_) => ConnectError::NetworkDown,
        None if from.is_some_and(|ip| ip.is_ipv4() != target.is_ipv4()) => {
            ConnectError::Bind(BindError::Family(to))
        }
        None => ConnectError::NoRoute(target),
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
