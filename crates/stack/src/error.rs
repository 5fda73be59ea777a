//! Errors that the application sees. Each names what failed; faces turn them into errno values and error kinds.

use core::net::{IpAddr, SocketAddr};
use thiserror::Error;

/// The socket id is stale or of another kind: its socket has been removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the socket no longer exists")]
pub struct StaleSocket;

/// Binding failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BindError {
    /// The socket is gone.
    #[error("the socket no longer exists")]
    Stale,
    /// It is bound, listening or connected already.
    #[error("the socket is bound already")]
    AlreadyBound,
    /// Another socket has the address and port (EADDRINUSE).
    #[error("address {0} is in use")]
    InUse(SocketAddr),
    /// No interface has the address (EADDRNOTAVAIL).
    #[error("address {0} does not belong to this host")]
    NotLocal(IpAddr),
    /// All ports of the dynamic range are taken (EADDRINUSE).
    #[error("no free port is left in the dynamic range")]
    NoFreePort,
    /// An IPv4 address on an IPv6 socket, or the other way round (EAFNOSUPPORT); a mapped one where the socket takes no
    /// IPv4 (EINVAL).
    #[error("address {0} is of another family than the socket")]
    Family(SocketAddr),
}

/// Listening failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ListenError {
    /// The socket is gone.
    #[error("the socket no longer exists")]
    Stale,
    /// It is connected or connecting (EINVAL).
    #[error("the socket is connected")]
    NotFresh,
    /// Binding it failed.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// Opening a connection, or the attempt, failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ConnectError {
    /// The socket is gone.
    #[error("the socket no longer exists")]
    Stale,
    /// It is listening, connecting or connected already (EISCONN, EALREADY).
    #[error("the socket is connected or connecting already")]
    NotFresh,
    /// A remote address that no connection can have: broadcast, multicast (MUST-46), or port 0. The unspecified address
    /// means this host.
    #[error("cannot connect to {0}")]
    InvalidRemote(SocketAddr),
    /// No route leads there (ENETUNREACH).
    #[error("no route to {0}")]
    NoRoute(IpAddr),
    /// The interface that leads there, or the host's last one, has failed (ENETDOWN).
    #[error("the network is down")]
    NetworkDown,
    /// Binding a local address failed.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// Taking a connection off a listener's queue failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum AcceptError {
    /// The socket is gone, or is no listener.
    #[error("the socket is no listener, or no longer exists")]
    Stale,
    /// The host's last interface has failed: nobody will come any more (ENETDOWN).
    #[error("the network is down")]
    NetworkDown,
}

/// Why a connection failed or ended abnormally.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ConnectionError {
    /// The peer refused the connection: RST in answer to our SYN (ECONNREFUSED).
    #[error("connection refused")]
    Refused,
    /// The peer reset the connection (ECONNRESET).
    #[error("connection reset by peer")]
    Reset,
    /// The peer reset the connection after it had closed its side, and we had not closed ours (EPIPE, as on Linux). Who reads
    /// is at the end of the stream, as before.
    #[error("connection reset by peer after it had closed its side")]
    ResetAfterEnd,
    /// No answer within R2, the user timeout, the SYN retries or the keepalive probes (ETIMEDOUT).
    #[error("connection timed out")]
    TimedOut,
    /// We aborted it (ECONNABORTED).
    #[error("connection aborted")]
    Aborted,
    /// ICMP: network or host unreachable (ENETUNREACH, EHOSTUNREACH).
    #[error("host unreachable")]
    Unreachable,
    /// ICMP: port or protocol unreachable (ECONNREFUSED).
    #[error("port unreachable")]
    PortUnreachable,
    /// The interface that it ran over, or the host's last one, has failed (ENETDOWN). Told by every call from then on.
    #[error("the network is down")]
    NetworkDown,
}

/// Sending on a TCP socket failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SendError {
    /// The socket is gone.
    #[error("the socket no longer exists")]
    Stale,
    /// The send buffer is full (EAGAIN); an event tells when there is room.
    #[error("the send buffer is full")]
    WouldBlock,
    /// The handshake is not complete, or the socket never connected (ENOTCONN).
    #[error("the socket is not connected")]
    NotConnected,
    /// Our side is closed, or the connection ended (EPIPE).
    #[error("broken pipe")]
    BrokenPipe,
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// Receiving on a TCP socket failed. End of stream is no error: it is zero octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RecvError {
    /// The socket is gone.
    #[error("the socket no longer exists")]
    Stale,
    /// Nothing is there yet (EAGAIN).
    #[error("no data is available")]
    WouldBlock,
    /// The socket never connected (ENOTCONN).
    #[error("the socket is not connected")]
    NotConnected,
    /// No urgent data is there (EINVAL).
    #[error("no urgent data")]
    NoUrgentData,
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// A UDP operation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum UdpError {
    /// The socket is gone.
    #[error("the socket no longer exists")]
    Stale,
    /// The queue is full, or empty (EAGAIN).
    #[error("would block")]
    WouldBlock,
    /// More than 65,507 octets on IPv4 or 65,527 on IPv6, or more than an unfragmentable path takes (EMSGSIZE).
    #[error("a datagram of {len} bytes is too long: the limit is {limit}")]
    MessageTooLong {
        /// What was to be sent.
        len: usize,
        /// What could be.
        limit: usize,
    },
    /// The destination is a broadcast address and the socket has no permission (EACCES).
    #[error("broadcast needs permission: set the broadcast option first")]
    BroadcastNotPermitted,
    /// No destination given and none connected (EDESTADDRREQ).
    #[error("no destination: the socket is not connected")]
    NoDestination,
    /// Port 0, or an unspecified destination (EINVAL).
    #[error("cannot send to {0}")]
    InvalidRemote(SocketAddr),
    /// No route leads there (ENETUNREACH).
    #[error("no route to {0}")]
    NoRoute(IpAddr),
    /// The interface that leads there, or the host's last one, has failed (ENETDOWN). Told by every call from then on; what
    /// came before can be received first.
    #[error("the network is down")]
    NetworkDown,
    /// Binding a local address failed.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// An ICMP error came for something sent before (ECONNREFUSED, EHOSTUNREACH).
    #[error(transparent)]
    Icmp(#[from] ConnectionError),
    /// Joining or leaving a group that is none, or on an unknown interface (EINVAL, EADDRNOTAVAIL).
    #[error("{0} is no multicast group that can be joined or left here")]
    Group(IpAddr),
}
