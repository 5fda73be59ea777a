//! The face of one UDP socket.

use bytes::Bytes;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::ports::Pair;
use super::table::{Outgoing, SEND_MAX, Socket, Udp, wildcard};
use super::{Datagram, UdpOptions};
use crate::InterfaceId;
use crate::error::{BindError, ConnectionError, UdpError};
use crate::iface::{Cast, Env, IpLayer, Route};
use crate::stack::{SocketId, UDP_SLOT};

/// Largest payload over IPv4: 65,535 octets less the headers of IPv4 (20) and UDP (8).
const MAX_V4: usize = 65_507;
/// Largest payload over IPv6, whose length field does not count its header: 65,535 less 8.
const MAX_V6: usize = 65_527;
/// Groups a socket can be member of.
const GROUPS_MAX: usize = 256;

/// A UDP socket, borrowed from its stack for some calls.
///
/// Sending puts the datagram into a queue, from which `Stack::poll_transmit` takes it; a full queue is
/// [`UdpError::WouldBlock`], and an event tells when there is room. An ICMP error that came for a connected socket is
/// returned by the next call that sends or receives, once.
pub struct UdpSocket<'a> {
    env: Env<'a>,
    ip: &'a mut IpLayer,
    udp: &'a mut Udp,
    id: SocketId,
}

impl fmt::Debug for UdpSocket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket")
            .field("id", &self.id)
            .field("socket", &self.udp.get(self.id))
            .finish()
    }
}

impl<'a> UdpSocket<'a> {
    pub(super) fn new(env: Env<'a>, ip: &'a mut IpLayer, udp: &'a mut Udp, id: SocketId) -> Self {
        UdpSocket { env, ip, udp, id }
    }
}

impl UdpSocket<'_> {
    fn socket(&mut self) -> Result<&mut Socket, UdpError> {
        self.udp.get_mut(self.id).ok_or(UdpError::Stale)
    }

    /// Sends a datagram to an address. An unbound socket gets a port of its own first.
    ///
    /// # Errors
    /// [`UdpError::MessageTooLong`] above 65,507 octets (IPv4) or 65,527 (IPv6); [`UdpError::InvalidRemote`];
    /// [`UdpError::BroadcastNotPermitted`]; [`UdpError::NoRoute`]; [`UdpError::NetworkDown`]; [`UdpError::Bind`] for an address of another family;
    /// [`UdpError::Icmp`] for an error that came before; [`UdpError::WouldBlock`] if the queue is full.
    pub fn send_to(&mut self, data: &[u8], to: SocketAddr) -> Result<(), UdpError> {
        self.take_pending_error()?;
        let target = self.check_remote(to)?;
        check_len(data.len(), target)?;
        self.bind_if_needed(to)?;
        let route = self.route(target)?;
        self.queue(data, target, route)
    }

    /// Sends a datagram to the peer of a connected socket.
    ///
    /// # Errors
    /// [`UdpError::NoDestination`] if it is not connected; else as [`UdpSocket::send_to`].
    pub fn send(&mut self, data: &[u8]) -> Result<(), UdpError> {
        self.take_pending_error()?;
        let generation = self.ip.generation();
        let socket = self.socket()?;
        let remote = socket.remote.ok_or(UdpError::NoDestination)?;
        let cached = socket.route.filter(|r| r.0 == generation);
        check_len(data.len(), remote)?;
        let route = match cached {
            Some((_, route)) => route,
            None => {
                let route = self.route(remote)?;
                self.socket()?.route = Some((generation, route));
                route
            }
        };
        self.queue(data, remote, route)
    }

    /// Takes the datagram that came first.
    ///
    /// # Errors
    /// [`UdpError::WouldBlock`] if there is none; [`UdpError::NetworkDown`] if none will come; [`UdpError::Icmp`] for an error
    /// that came.
    pub fn recv(&mut self) -> Result<Datagram, UdpError> {
        self.take_pending_error()?;
        let nothing = self.nothing_came();
        self.socket()?.received.pop().ok_or(nothing)
    }

    /// Looks at the datagram that came first.
    ///
    /// # Errors
    /// [`UdpError::WouldBlock`] if there is none; [`UdpError::NetworkDown`] if none will come.
    pub fn peek(&self) -> Result<&Datagram, UdpError> {
        let socket = self.udp.get(self.id).ok_or(UdpError::Stale)?;
        socket.received.front().ok_or(self.nothing_came())
    }
    /// What receiving says of an empty queue.
    fn nothing_came(&self) -> UdpError {
        if self.ip.is_down() {
            UdpError::NetworkDown
        } else {
            UdpError::WouldBlock
        }
    }

    /// Sets a peer: from now on the socket hears it only, sends to it without being told, and hears of ICMP errors. What
    /// came before stays. Connecting again changes the peer.
    ///
    /// # Errors
    /// [`UdpError::InvalidRemote`], [`UdpError::NoRoute`], [`UdpError::BroadcastNotPermitted`], [`UdpError::Bind`].
    pub fn connect(&mut self, to: SocketAddr) -> Result<(), UdpError> {
        let remote = self.check_remote(to)?;
        self.bind_if_needed(to)?;
        self.disconnect();
        let route = self.route(remote)?;
        self.check_broadcast(&route)?;
        let generation = self.ip.generation();
        let owner = self.id.slot & !UDP_SLOT;
        let socket = self.socket()?;
        let port = socket.local.map_or(0, |l| l.port());
        let local = SocketAddr::new(route.source, port);
        socket.local = Some(local);
        socket.remote = Some(remote);
        socket.route = Some((generation, route));
        self.udp.ports.connect(owner, Pair { local, remote });
        Ok(())
    }

    /// Forgets the peer. The port stays.
    pub fn disconnect(&mut self) {
        let owner = self.id.slot & !UDP_SLOT;
        let Ok(socket) = self.socket() else { return };
        let (pair, bound) = (socket.pair(), socket.bound);
        let Some(pair) = pair else { return };
        socket.remote = None;
        socket.route = None;
        socket.local = Some(SocketAddr::new(bound, pair.local.port()));
        self.udp.ports.disconnect(owner, pair, bound);
    }

    /// Listens to a multicast group on an interface; `None`: that of the options, else the one that routes to the group
    /// use.
    ///
    /// # Errors
    /// [`UdpError::Group`] for an address that is no group, one that the socket is member of already, or too many.
    pub fn join(&mut self, group: IpAddr, on: Option<InterfaceId>) -> Result<(), UdpError> {
        let refused = UdpError::Group(group);
        let group = group.to_canonical();
        let on = self.group_interface(group, on).ok_or(refused)?;
        let groups = &self.socket()?.groups;
        if groups.contains(&(group, on)) || groups.len() >= GROUPS_MAX {
            return Err(refused);
        }
        self.ip.join(&mut self.env, group, on).map_err(|_| refused)?;
        self.socket()?.groups.push((group, on));
        Ok(())
    }

    /// Undoes [`UdpSocket::join`].
    ///
    /// # Errors
    /// [`UdpError::Group`] if the socket is no member.
    pub fn leave(&mut self, group: IpAddr, on: Option<InterfaceId>) -> Result<(), UdpError> {
        let refused = UdpError::Group(group);
        let group = group.to_canonical();
        let on = self.group_interface(group, on).ok_or(refused)?;
        let groups = &mut self.socket()?.groups;
        let at = groups.iter().position(|g| *g == (group, on)).ok_or(refused)?;
        groups.remove(at);
        self.ip.leave(&mut self.env, group, on).map_err(|_| refused)
    }

    fn group_interface(&mut self, group: IpAddr, on: Option<InterfaceId>) -> Option<InterfaceId> {
        if !group.is_multicast() {
            return None;
        }
        let chosen = on.or(self.socket().ok()?.options.multicast_interface);
        chosen.or_else(|| self.ip.route(group, None, None).map(|r| r.interface))
    }

    /// The local address and port, once bound.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        let socket = self.udp.get(self.id)?;
        let local = socket.local?;
        // The IPv6 wildcard is shown as it is; only addresses of IPv4 are mapped.
        Some(socket.shown(local))
    }
    /// The peer, if connected.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        let socket = self.udp.get(self.id)?;
        Some(socket.shown(socket.remote?))
    }
    /// The options.
    pub fn options(&self) -> UdpOptions {
        self.udp
            .get(self.id)
            .map(|s| s.options.clone())
            .unwrap_or_default()
    }
    /// Sets the options. Permissions to share count for sockets that bind from now on.
    pub fn set_options(&mut self, options: UdpOptions) {
        let owner = self.id.slot & !UDP_SLOT;
        let Some(socket) = self.udp.sockets.get_mut(owner, self.id.generation) else {
            return;
        };
        if let Some(local) = socket.local
            && let Some(bound) = self.udp.ports.bound_mut(local.port(), owner)
        {
            bound.reuse_address = options.reuse_address;
            bound.reuse_port = options.reuse_port;
        }
        socket.options = options;
    }
    /// Takes the ICMP error that came last, if one did.
    pub fn take_error(&mut self) -> Option<ConnectionError> {
        self.udp.get_mut(self.id)?.error.take()
    }
    /// Whether an ICMP error came that was not taken.
    pub fn has_error(&self) -> bool {
        self.udp.get(self.id).is_some_and(|socket| socket.error.is_some())
    }
    /// Removes the socket. What it has sent still leaves.
    pub fn close(mut self) {
        self.disconnect();
        let slot = self.id.slot & !UDP_SLOT;
        let Some(socket) = self.udp.sockets.remove(slot, self.id.generation) else {
            return;
        };
        if let Some(local) = socket.local {
            self.udp.ports.unbind(local.port(), slot);
        }
        for (group, on) in socket.groups {
            // It was joined, so leaving it cannot fail.
            let _ = self.ip.leave(&mut self.env, group, on);
        }
    }

    fn take_pending_error(&mut self) -> Result<(), UdpError> {
        match self.socket()?.error.take() {
            Some(error) => Err(UdpError::Icmp(error)),
            None => Ok(()),
        }
    }

    /// The address to send to, not IPv4-mapped any more.
    fn check_remote(&mut self, to: SocketAddr) -> Result<SocketAddr, UdpError> {
        let target = SocketAddr::new(to.ip().to_canonical(), to.port());
        if to.port() == 0 || target.ip().is_unspecified() {
            return Err(UdpError::InvalidRemote(to));
        }
        let socket = self.socket()?;
        let fits = match (socket.local, target) {
            (Some(_), SocketAddr::V6(_)) => socket.v6,
            (Some(_), SocketAddr::V4(_)) if socket.v6 => !socket.options.ipv6_only,
            (None, SocketAddr::V4(_)) => to.is_ipv4() || !socket.options.ipv6_only,
            _ => true,
        };
        if fits {
            Ok(target)
        } else {
            Err(BindError::Family(to).into())
        }
    }

    fn bind_if_needed(&mut self, to: SocketAddr) -> Result<(), UdpError> {
        if self.socket()?.local.is_none() {
            self.udp.bind(&mut self.env, self.ip, self.id, wildcard(to))?;
        }
        Ok(())
    }

    fn route(&mut self, to: SocketAddr) -> Result<Route, UdpError> {
        let socket = self.udp.get(self.id).ok_or(UdpError::Stale)?;
        // A place that only hears (a group, a broadcast address) is none to send from.
        let own = socket.local.map(|l| l.ip()).filter(|&a| self.ip.is_local(a));
        let on = socket
            .options
            .multicast_interface
            .filter(|_| to.ip().is_multicast());
        let route = self
            .ip
            .route(to.ip(), own, on)
            .ok_or(UdpError::NoRoute(to.ip()))?;
        if self.ip.has_failed(route.interface) {
            return Err(UdpError::NetworkDown);
        }
        Ok(route)
    }

    fn check_broadcast(&mut self, route: &Route) -> Result<(), UdpError> {
        if route.cast == Cast::Broadcast && !self.socket()?.options.broadcast {
            return Err(UdpError::BroadcastNotPermitted);
        }
        Ok(())
    }

    fn queue(&mut self, data: &[u8], to: SocketAddr, route: Route) -> Result<(), UdpError> {
        self.check_broadcast(&route)?;
        let default_hops = match route.hop_limit {
            0 => self.env.config.hop_limit,
            told => told,
        };
        // A copy for ourselves, where somebody waits for it.
        let listened = match route.cast {
            Cast::Unicast => false,
            Cast::Broadcast => true,
            Cast::Multicast => self.ip.is_member(to.ip(), None),
        };
        let listened = listened && !self.udp.ports.open(to.port()).is_empty();
        let generation = self.ip.generation();
        let (slot, id_generation) = (self.id.slot & !UDP_SLOT, self.id.generation);
        let socket = self.socket()?;
        let cost = Outgoing::cost(data.len());
        if socket.sending + cost > SEND_MAX {
            socket.blocked = true;
            return Err(UdpError::WouldBlock);
        }
        socket.sending += cost;
        let options = &socket.options;
        let multicast = route.cast == Cast::Multicast;
        let outgoing = Outgoing {
            socket: (slot, id_generation),
            route,
            generation,
            on: options.multicast_interface.filter(|_| multicast),
            from: socket.local.map_or(0, |l| l.port()),
            to,
            payload: Bytes::copy_from_slice(data),
            hop_limit: if multicast {
                options.multicast_hop_limit
            } else {
                options.hop_limit.filter(|&hops| hops > 0).unwrap_or(default_hops)
            },
            traffic_class: options.traffic_class,
            looped: listened && (options.multicast_loop || !multicast),
        };
        self.udp.outgoing.push_back(outgoing);
        Ok(())
    }
}

fn check_len(len: usize, to: SocketAddr) -> Result<(), UdpError> {
    let limit = if to.is_ipv4() { MAX_V4 } else { MAX_V6 };
    if len > limit {
        return Err(UdpError::MessageTooLong { len, limit });
    }
    Ok(())
}
