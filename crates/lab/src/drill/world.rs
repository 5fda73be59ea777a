//! What a running script holds: the stack, its descriptors, and the connections that its packets speak of.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sockeye_net::socket::Socket;
use sockeye_stack::snapshot::SocketRow;
use sockeye_stack::tcp::State;

use super::call::{Descriptors, Watched};
use super::check::Ticks;
use super::conn::Conn;
use super::engine::{Engine, Place};
use super::syntax::Packet;
use super::value::Memory;

/// The peer's first port where it connects to us.
const FIRST_PEER_PORT: u16 = 40_000;

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) place: Place,
    /// The peer's address on the wire.
    pub(super) remote: IpAddr,
    /// The wire carries IPv4.
    pub(super) v4: bool,
    /// Sockets are of AF_INET6 though the wire carries IPv4.
    pub(super) mapped: bool,
    /// What `bind(fd, ..., ...)` and `connect(fd, ..., ...)` mean.
    pub(super) bind_port: u16,
    pub(super) connect_port: u16,
    pub(super) ticks: Ticks,
    pub(super) fds: Descriptors,
    pub(super) epolls: BTreeMap<i64, Vec<Watched>>,
    pub(super) conns: Vec<Conn>,
    /// The connection that packets without ports belong to.
    pub(super) current: Option<usize>,
    /// Where the socket listens that was last told to, or a bound datagram socket.
    pub(super) listener: Option<SocketAddr>,
    pub(super) memory: Memory,
}

impl World {
    pub(super) fn add_conn(&mut self, conn: Conn) -> usize {
        self.conns.push(conn);
        self.current = Some(self.conns.len() - 1);
        self.conns.len() - 1
    }
    pub(super) fn conn_between(&self, local: SocketAddr, remote: SocketAddr) -> Option<usize> {
        // The newest: an address pair may have been used before.
        self.conns.iter().rposition(|conn| conn.joins(local, remote))
    }
    /// The connection that a packet to hand in belongs to; a new one where there is none yet.
    pub(super) fn conn_for_inbound(&mut self, packet: &Packet) -> usize {
        let local = self
            .listener
            .unwrap_or(SocketAddr::new(self.place.local, self.bind_port));
        if let Some((source, destination)) = packet.ports {
            let ports = Some((source, destination));
            if let Some(known) = self.conns.iter().rposition(|conn| conn.ports == ports) {
                self.current = Some(known);
                return known;
            }
            // The current one, if it has no name yet and was opened by us.
            if let Some(current) = self.current
                && let conn = &mut self.conns[current]
                && conn.ports.is_none()
                && conn.remote.port() == source
            {
                conn.ports = ports;
                return current;
            }
            let mut conn = Conn::new(
                SocketAddr::new(local.ip(), destination),
                SocketAddr::new(self.remote, source),
            );
            conn.ports = ports;
            return self.add_conn(conn);
        }
        match self.current {
            Some(current) => current,
            None => {
                let port = FIRST_PEER_PORT + (self.conns.len() % 20_000) as u16;
                let remote = SocketAddr::new(self.remote, port);
                self.add_conn(Conn::new(local, remote))
            }
        }
    }
    /// The connection that the script expects a packet of.
    pub(super) fn conn_for_outbound(&mut self, packet: &Packet) -> Option<usize> {
        if let Some((source, destination)) = packet.ports {
            let ports = Some((destination, source));
            let known = self.conns.iter().rposition(|conn| conn.ports == ports);
            if known.is_some() {
                self.current = known;
                return known;
            }
            let current = self.current?;
            self.conns[current].ports = ports;
        }
        self.current
    }

    /// The row of the socket table for a connection.
    pub(super) fn row(&self, conn: usize) -> Option<SocketRow> {
        let conn = self.conns.get(conn)?;
        let wanted = (Some(conn.local), Some(conn.remote));
        let rows = self.engine.table().into_iter();
        // A connection may have taken the place of one whose socket is still held.
        rows.filter(|row| (row.local, row.remote) == wanted)
            .max_by_key(|row| row.state != Some(State::Closed))
    }
    /// What an ioctl tells of a socket's queues; `None` where it has none.
    pub(super) fn queue(&self, socket: &Socket, request: i64) -> Option<i64> {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        let local = canonical(socket.getsockname().ok()?.as_inet()?);
        let peer = socket.getpeername().ok().and_then(|peer| peer.as_inet());
        let remote = peer.map(canonical);
        let row = self
            .engine
            .table()
            .into_iter()
            .find(|row| row.local.map(canonical) == Some(local) && row.remote == remote)?;
        match request {
            0x541b => Some(row.receive_queue as i64),
            0x5411 => Some(row.send_queue as i64),
            _ => self.engine.at_mark(row.id?).map(i64::from),
        }
    }
}
