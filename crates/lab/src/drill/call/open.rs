//! Calls that make, name, connect and end sockets.

use std::net::{IpAddr, Shutdown, SocketAddr};

use sockeye_net::socket::{Family, Kind, Socket};

use super::{Attempt, EBADF, EINVAL, Held, Progress, argument};
use crate::drill::conn::Conn;
use crate::drill::eval::{self, Addr};
use crate::drill::fault::Fault;
use crate::drill::syntax::{Call, Expr, Node};
use crate::drill::world::World;

const EAFNOSUPPORT: i32 = 97;
const EPROTONOSUPPORT: i32 = 93;
const EINPROGRESS: i32 = 115;
const EALREADY: i32 = 114;
const NONBLOCK: i64 = 0o4000;
const CLOEXEC: i64 = 0o2_000_000;

impl World {
    pub(super) fn socket(&mut self, call: &Call) -> Result<Attempt, Fault> {
        let family = match eval::int_or_any(argument(call, 0)?)? {
            None if self.mapped || !self.v4 => Family::Inet6,
            None | Some(2) => Family::Inet,
            Some(10) => Family::Inet6,
            Some(_) => return Ok(Attempt::errno(EAFNOSUPPORT)),
        };
        let kind = eval::int(argument(call, 1)?)?;
        let nonblocking = kind & NONBLOCK != 0;
        let protocol = eval::int_or_any(argument(call, 2)?)?.unwrap_or(0);
        let kind = match (kind & !(NONBLOCK | CLOEXEC), protocol) {
            (1, 0 | 6) => Kind::Stream,
            (2, 0 | 17) => Kind::Datagram,
            (1 | 2, _) => return Ok(Attempt::errno(EPROTONOSUPPORT)),
            _ => {
                let message = "only SOCK_STREAM and SOCK_DGRAM can be made";
                return Err(Fault::unsupported(
                    argument(call, 1)?.span,
                    message,
                    "not supported",
                ));
            }
        };
        match Socket::new(&self.engine.net(), family, kind) {
            Ok(socket) => self.hold(
                call,
                Held {
                    socket,
                    nonblocking,
                    conn: None,
                },
            ),
            Err(error) => Ok(Attempt::error(&error, false)),
        }
    }
    /// Gives a new socket the number that the script expects.
    fn hold(&mut self, call: &Call, held: Held) -> Result<Attempt, Fault> {
        let next = self.next_fd();
        let fd = match &call.result.node {
            Node::Any => next,
            _ => eval::int(&call.result)?,
        };
        if fd < 0 {
            return Ok(Attempt::value(next));
        }
        if self.fds.contains_key(&fd) || self.epolls.contains_key(&fd) {
            let message = format!("the script holds a descriptor {fd} already");
            return Err(Fault::script(call.result.span, message, "close it first"));
        }
        self.fds.insert(fd, held);
        Ok(Attempt::value(fd))
    }

    /// A number that no descriptor has.
    pub(super) fn next_fd(&self) -> i64 {
        let last = self.fds.keys().chain(self.epolls.keys()).max();
        last.map_or(3, |last| last + 1)
    }

    /// Our address for a socket of some family.
    fn own(&self, family: Family) -> IpAddr {
        match (family, self.place.local) {
            (Family::Inet6, IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
            (_, ip) => ip,
        }
    }
    fn peers(&self, family: Family) -> IpAddr {
        match (family, self.remote) {
            (Family::Inet6, IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
            (_, ip) => ip,
        }
    }

    pub(super) fn bind(&mut self, call: &Call) -> Result<Attempt, Fault> {
        let Some(held) = self.held(call)? else {
            return Ok(Attempt::errno(EBADF));
        };
        let address = match eval::address(argument(call, 1)?)? {
            Addr::Any => SocketAddr::new(self.own(held.socket.family()), self.bind_port),
            Addr::Given(address) => address,
            Addr::Unspecified => return Ok(Attempt::errno(EAFNOSUPPORT)),
        };
        let result = held.socket.bind(address);
        if result.is_ok() && held.socket.kind() == Kind::Datagram {
            self.listens(&held.socket);
        }
        Ok(Attempt::of(result.map(|()| 0), false))
    }
    pub(super) fn listen(&mut self, call: &Call) -> Result<Attempt, Fault> {
        let Some(held) = self.held(call)? else {
            return Ok(Attempt::errno(EBADF));
        };
        let backlog = eval::int(argument(call, 1)?)?;
        // Linux takes a negative backlog for the largest.
        let result = held.socket.listen(u32::try_from(backlog).unwrap_or(u32::MAX));
        if result.is_ok() {
            self.listens(&held.socket);
        }
        Ok(Attempt::of(result.map(|()| 0), false))
    }
    /// What comes in next goes to this socket.
    fn listens(&mut self, socket: &Socket) {
        let local = socket.getsockname().ok().and_then(|address| address.as_inet());
        self.listener = local.map(|local| match local.ip().to_canonical() {
            ip if ip.is_unspecified() => SocketAddr::new(self.place.local, local.port()),
            ip => SocketAddr::new(ip, local.port()),
        });
        self.current = None;
    }

    pub(super) fn accept(&mut self, call: &Call) -> Result<Attempt, Fault> {
        let Some(held) = self.held(call)? else {
            return Ok(Attempt::errno(EBADF));
        };
        let nonblocking = match call.arguments.get(3) {
            Some(flags) => eval::int(flags)? & NONBLOCK != 0,
            None => false,
        };
        let (socket, peer) = match held.socket.accept() {
            Ok(accepted) => accepted,
            Err(error) => return Ok(Attempt::error(&error, !held.nonblocking)),
        };
        let local = socket.getsockname().ok().and_then(|address| address.as_inet());
        let conn = match (local, peer.as_inet()) {
            (Some(local), Some(peer)) => self.conn_between(canonical(local), canonical(peer)),
            _ => None,
        };
        let accepted = Held {
            socket,
            nonblocking,
            conn,
        };
        self.hold(call, accepted)
    }

    pub(super) fn connect(&mut self, call: &Call, progress: &mut Progress) -> Result<Attempt, Fault> {
        let Some(held) = self.held(call)? else {
            return Ok(Attempt::errno(EBADF));
        };
        let socket = &held.socket;
        let address = match eval::address(argument(call, 1)?)? {
            Addr::Unspecified => return Ok(Attempt::of(socket.disconnect().map(|()| 0), false)),
            Addr::Any => SocketAddr::new(self.peers(socket.family()), self.connect_port),
            Addr::Given(address) => address,
        };
        let result = socket.connect(address);
        if !progress.begun && held.conn.is_none() {
            self.connected(argument(call, 0)?, socket, address)?;
        }
        match result {
            Ok(()) => Ok(Attempt::value(0)),
            Err(error) => {
                let waits = matches!(error.raw_os_error(), Some(EINPROGRESS | EALREADY));
                // A second call of the script, on a socket that blocks, waits for the outcome too.
                if waits && !held.nonblocking {
                    return Ok(Attempt::Blocked);
                }
                Ok(Attempt::error(&error, false))
            }
        }
    }
    /// A connection of ours begins: what leaves next is its.
    fn connected(&mut self, fd: &Expr, socket: &Socket, remote: SocketAddr) -> Result<(), Fault> {
        let Some(local) = socket.getsockname().ok().and_then(|address| address.as_inet()) else {
            return Ok(());
        };
        if local.port() == 0 {
            return Ok(()); // it did not begin
        }
        let fd = eval::int(fd)?;
        let conn = self.add_conn(Conn::new(canonical(local), canonical(remote)));
        if let Some(held) = self.fds.get_mut(&fd) {
            held.conn = Some(conn);
        }
        Ok(())
    }

    pub(super) fn close(&mut self, call: &Call) -> Result<Attempt, Fault> {
        let fd = eval::int(argument(call, 0)?)?;
        if self.epolls.remove(&fd).is_some() {
            return Ok(Attempt::value(0));
        }
        Ok(match self.fds.remove(&fd) {
            Some(held) => {
                held.socket.close();
                Attempt::value(0)
            }
            None => Attempt::errno(EBADF),
        })
    }
    pub(super) fn shutdown(&mut self, call: &Call) -> Result<Attempt, Fault> {
        let Some(held) = self.held(call)? else {
            return Ok(Attempt::errno(EBADF));
        };
        let how = match eval::int(argument(call, 1)?)? {
            0 => Shutdown::Read,
            1 => Shutdown::Write,
            2 => Shutdown::Both,
            _ => return Ok(Attempt::errno(EINVAL)),
        };
        Ok(Attempt::of(held.socket.shutdown(how).map(|()| 0), false))
    }
}

/// As it is on the wire: a mapped address is the IPv4 address that it wraps.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
