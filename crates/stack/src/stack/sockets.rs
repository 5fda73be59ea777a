//! Sockets: where they come from, and the way to each.

use core::net::SocketAddr;

use super::{SocketId, Stack};
use crate::error::{AcceptError, BindError, ConnectError, ListenError, StaleSocket};
use crate::iface::Env;
use crate::tcp::{TcpOptions, TcpSocket};
use crate::time::Instant;
use crate::udp::{UdpOptions, UdpSocket};

impl Stack {
    /// A new TCP socket: CLOSED, unbound.
    pub fn tcp_socket(&mut self, options: TcpOptions) -> SocketId {
        self.tcp.socket(options)
    }
    /// Binds a TCP socket to a local address; port 0 chooses a free one.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn tcp_bind(&mut self, id: SocketId, local: SocketAddr) -> Result<(), BindError> {
        let Stack {
            config,
            rng,
            trace,
            ip,
            tcp,
            ..
        } = self;
        tcp.bind(
            &mut Env {
                now: Instant::ZERO,
                config,
                trace,
                rng,
            },
            ip,
            id,
            local,
        )
    }
    /// Listens for connections; `backlog` bounds the finished ones that wait to be accepted (one more is admitted, as on
    /// Linux).
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn tcp_listen(&mut self, id: SocketId, backlog: u32) -> Result<(), ListenError> {
        let Stack {
            config,
            rng,
            trace,
            ip,
            tcp,
            ..
        } = self;
        tcp.listen(
            &mut Env {
                now: Instant::ZERO,
                config,
                trace,
                rng,
            },
            ip,
            id,
            backlog,
        )
    }
    /// Opens a connection. The handshake goes on by itself; an event with CONNECTED or CLOSED tells its outcome.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        id: SocketId,
        remote: SocketAddr,
    ) -> Result<(), ConnectError> {
        self.with_tcp(now, |tcp, cx| tcp.connect(cx, id, remote))
    }
    /// Takes the oldest finished connection off a listener's queue; `None` if there is none.
    ///
    /// # Errors
    /// [`AcceptError::Stale`] if `id` names no listener; [`AcceptError::NetworkDown`].
    pub fn tcp_accept(
        &mut self,
        now: Instant,
        id: SocketId,
    ) -> Result<Option<(SocketId, SocketAddr)>, AcceptError> {
        self.with_tcp(now, |tcp, cx| tcp.accept(cx, id))
    }
    /// ABORT (RFC 9293 section 3.10.5) for every connection, those included that their application has closed or not yet
    /// accepted: for the end of a program, with which its stack goes. Peers are told by resets, which leave by
    /// [`Stack::poll_transmit`]; calls on the sockets end with [`Aborted`](crate::ConnectionError::Aborted). Listeners go on,
    /// and entries in TIME-WAIT, whose peers have nothing to hear. Returns how many resets are to leave.
    pub fn abort_all(&mut self, now: Instant) -> usize {
        self.with_tcp(now, |tcp, cx| tcp.abort_all(cx))
    }
    /// Borrows a TCP socket for calls at `now`.
    ///
    /// # Errors
    /// [`StaleSocket`] if `id` names none.
    pub fn tcp(&mut self, now: Instant, id: SocketId) -> Result<TcpSocket<'_>, StaleSocket> {
        if self.tcp.is_held(id) {
            Ok(TcpSocket::new(self, now, id))
        } else {
            Err(StaleSocket)
        }
    }

    /// A new UDP socket, unbound.
    pub fn udp_socket(&mut self, options: UdpOptions) -> SocketId {
        self.udp.socket(options)
    }
    /// Binds a UDP socket to a local address; port 0 chooses a free one.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn udp_bind(&mut self, id: SocketId, local: SocketAddr) -> Result<(), BindError> {
        let Stack {
            config,
            rng,
            trace,
            ip,
            udp,
            ..
        } = self;
        udp.bind(
            &mut Env {
                now: Instant::ZERO,
                config,
                trace,
                rng,
            },
            ip,
            id,
            local,
        )
    }
    /// Borrows a UDP socket for calls at `now`.
    ///
    /// # Errors
    /// [`StaleSocket`] if `id` names none.
    pub fn udp(&mut self, now: Instant, id: SocketId) -> Result<UdpSocket<'_>, StaleSocket> {
        let Stack {
            config,
            rng,
            trace,
            ip,
            udp,
            events,
            ..
        } = self;
        udp.borrow(
            Env {
                now,
                config,
                trace,
                rng,
            },
            ip,
            events,
            id,
        )
    }
}
