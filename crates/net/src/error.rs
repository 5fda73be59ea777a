//! The core's typed errors as programs on Linux see them: errno numbers, and through them texts and error kinds.

use std::io;

use sockeye_stack::{
    AcceptError, BindError, ConnectError, ConnectionError, ListenError, RecvError, SendError, StaleSocket,
    UdpError,
};

/// Linux's errno values (asm-generic/errno-base.h, asm-generic/errno.h).
pub mod errno {
    /// Operation not permitted.
    pub const EPERM: i32 = 1;
    /// No such file or directory.
    pub const ENOENT: i32 = 2;
    /// Bad file descriptor.
    pub const EBADF: i32 = 9;
    /// Resource temporarily unavailable; the same as EWOULDBLOCK.
    pub const EAGAIN: i32 = 11;
    /// Permission denied.
    pub const EACCES: i32 = 13;
    /// Invalid argument.
    pub const EINVAL: i32 = 22;
    /// Broken pipe.
    pub const EPIPE: i32 = 32;
    /// Destination address required.
    pub const EDESTADDRREQ: i32 = 89;
    /// Message too long.
    pub const EMSGSIZE: i32 = 90;
    /// Protocol not available: an option that does not exist.
    pub const ENOPROTOOPT: i32 = 92;
    /// Protocol wrong type for socket.
    pub const EPROTOTYPE: i32 = 91;
    /// Operation not supported.
    pub const EOPNOTSUPP: i32 = 95;
    /// Address family not supported by protocol.
    pub const EAFNOSUPPORT: i32 = 97;
    /// Address already in use.
    pub const EADDRINUSE: i32 = 98;
    /// Cannot assign requested address.
    pub const EADDRNOTAVAIL: i32 = 99;
    /// Network is down.
    pub const ENETDOWN: i32 = 100;
    /// Network is unreachable.
    pub const ENETUNREACH: i32 = 101;
    /// Software caused connection abort.
    pub const ECONNABORTED: i32 = 103;
    /// Connection reset by peer.
    pub const ECONNRESET: i32 = 104;
    /// Transport endpoint is already connected.
    pub const EISCONN: i32 = 106;
    /// Transport endpoint is not connected.
    pub const ENOTCONN: i32 = 107;
    /// Connection timed out.
    pub const ETIMEDOUT: i32 = 110;
    /// Connection refused.
    pub const ECONNREFUSED: i32 = 111;
    /// No route to host.
    pub const EHOSTUNREACH: i32 = 113;
    /// Operation already in progress.
    pub const EALREADY: i32 = 114;
    /// Operation now in progress.
    pub const EINPROGRESS: i32 = 115;
}

use errno::*;

/// An error of the core that has an errno value.
pub trait Errno {
    /// Its number on Linux.
    fn errno(&self) -> i32;
}

/// The `io::Error` that a program on Linux would see.
pub fn io_error(error: impl Errno) -> io::Error {
    from_errno(error.errno())
}

/// On Linux the number itself, so that `raw_os_error`, kind and text agree with the system's.
#[cfg(target_os = "linux")]
pub(crate) fn from_errno(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// Elsewhere numbers differ: the kind stays.
#[cfg(not(target_os = "linux"))]
pub(crate) fn from_errno(errno: i32) -> io::Error {
    use io::ErrorKind as Kind;
    io::Error::from(match errno {
        EAGAIN => Kind::WouldBlock,
        EACCES => Kind::PermissionDenied,
        EINVAL => Kind::InvalidInput,
        EPIPE => Kind::BrokenPipe,
        EADDRINUSE => Kind::AddrInUse,
        EADDRNOTAVAIL => Kind::AddrNotAvailable,
        ENETDOWN => Kind::NetworkDown,
        ENETUNREACH => Kind::NetworkUnreachable,
        ECONNABORTED => Kind::ConnectionAborted,
        ECONNRESET => Kind::ConnectionReset,
        ENOTCONN => Kind::NotConnected,
        ETIMEDOUT => Kind::TimedOut,
        ECONNREFUSED => Kind::ConnectionRefused,
        EHOSTUNREACH => Kind::HostUnreachable,
        _ => Kind::Other,
    })
}

impl Errno for StaleSocket {
    fn errno(&self) -> i32 {
        EBADF
    }
}
impl Errno for BindError {
    fn errno(&self) -> i32 {
        match self {
            BindError::Stale => EBADF,
            BindError::AlreadyBound => EINVAL,
            BindError::InUse(_) | BindError::NoFreePort => EADDRINUSE,
            BindError::NotLocal(_) => EADDRNOTAVAIL,
            // A mapped address on a socket for IPv6 alone.
            BindError::Family(std::net::SocketAddr::V6(a)) if a.ip().to_ipv4_mapped().is_some() => EINVAL,
            BindError::Family(_) => EAFNOSUPPORT,
        }
    }
}
impl Errno for ListenError {
    fn errno(&self) -> i32 {
        match self {
            ListenError::Stale => EBADF,
            ListenError::NotFresh => EINVAL,
            ListenError::Bind(e) => e.errno(),
        }
    }
}
impl Errno for AcceptError {
    fn errno(&self) -> i32 {
        match self {
            // Linux's accept on a socket that does not listen.
            AcceptError::Stale => EINVAL,
            AcceptError::NetworkDown => ENETDOWN,
        }
    }
}
impl Errno for ConnectError {
    fn errno(&self) -> i32 {
        match self {
            ConnectError::Stale => EBADF,
            ConnectError::NotFresh => EISCONN,
            // Linux: ENETUNREACH for multicast, EACCES for broadcast (unless SO_BROADCAST is set, which TCP ignores).
            ConnectError::InvalidRemote(remote) => match remote.ip() {
                std::net::IpAddr::V4(ip) if ip.is_broadcast() => EACCES,
                ip if ip.is_multicast() => ENETUNREACH,
                _ => ECONNREFUSED,
            },
            ConnectError::NoRoute(_) => ENETUNREACH,
            ConnectError::NetworkDown => ENETDOWN,
            // Linux has EADDRNOTAVAIL where connect finds no free port.
            ConnectError::Bind(BindError::NoFreePort) => EADDRNOTAVAIL,
            ConnectError::Bind(e) => e.errno(),
        }
    }
}
impl Errno for ConnectionError {
    fn errno(&self) -> i32 {
        match self {
            ConnectionError::Refused | ConnectionError::PortUnreachable => ECONNREFUSED,
            ConnectionError::Reset => ECONNRESET,
            ConnectionError::ResetAfterEnd => EPIPE,
            ConnectionError::TimedOut => ETIMEDOUT,
            ConnectionError::Aborted => ECONNABORTED,
            ConnectionError::Unreachable => EHOSTUNREACH,
            ConnectionError::NetworkDown => ENETDOWN,
        }
    }
}
impl Errno for SendError {
    fn errno(&self) -> i32 {
        match self {
            SendError::Stale => EBADF,
            SendError::WouldBlock => EAGAIN,
            // Linux's send on a socket that never connected: EPIPE for TCP.
            SendError::NotConnected | SendError::BrokenPipe => EPIPE,
            SendError::Connection(e) => e.errno(),
        }
    }
}
impl Errno for RecvError {
    fn errno(&self) -> i32 {
        match self {
            RecvError::Stale => EBADF,
            RecvError::WouldBlock => EAGAIN,
            RecvError::NotConnected => ENOTCONN,
            RecvError::NoUrgentData => EINVAL,
            RecvError::Connection(e) => e.errno(),
        }
    }
}
impl Errno for UdpError {
    fn errno(&self) -> i32 {
        match self {
            UdpError::Stale => EBADF,
            UdpError::WouldBlock => EAGAIN,
            UdpError::MessageTooLong { .. } => EMSGSIZE,
            UdpError::BroadcastNotPermitted => EACCES,
            UdpError::NoDestination => EDESTADDRREQ,
            UdpError::InvalidRemote(_) => EINVAL,
            UdpError::NoRoute(_) => ENETUNREACH,
            UdpError::NetworkDown => ENETDOWN,
            UdpError::Bind(e) => e.errno(),
            UdpError::Icmp(e) => e.errno(),
            UdpError::Group(group) if !group.is_multicast() => EINVAL,
            UdpError::Group(_) => EADDRNOTAVAIL,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    /// Programs test kinds; people read texts. Both come from the number.
    #[test]
    fn kinds_and_texts_are_those_of_linux() {
        let cases: [(i32, ErrorKind, &str); 9] = [
            (
                ConnectionError::Refused.errno(),
                ErrorKind::ConnectionRefused,
                "Connection refused",
            ),
            (
                ConnectionError::Reset.errno(),
                ErrorKind::ConnectionReset,
                "Connection reset by peer",
            ),
            (
                ConnectionError::TimedOut.errno(),
                ErrorKind::TimedOut,
                "Connection timed out",
            ),
            (
                SendError::BrokenPipe.errno(),
                ErrorKind::BrokenPipe,
                "Broken pipe",
            ),
            (
                SendError::WouldBlock.errno(),
                ErrorKind::WouldBlock,
                "Resource temporarily unavailable",
            ),
            (
                BindError::NoFreePort.errno(),
                ErrorKind::AddrInUse,
                "Address already in use",
            ),
            (
                BindError::NotLocal("10.9.9.9".parse().unwrap()).errno(),
                ErrorKind::AddrNotAvailable,
                "Cannot assign requested address",
            ),
            (
                UdpError::BroadcastNotPermitted.errno(),
                ErrorKind::PermissionDenied,
                "Permission denied",
            ),
            (
                ConnectError::NoRoute("10.9.9.9".parse().unwrap()).errno(),
                ErrorKind::NetworkUnreachable,
                "Network is unreachable",
            ),
        ];
        for (errno, kind, text) in cases {
            let error = from_errno(errno);
            assert_eq!(error.kind(), kind);
            assert_eq!(error.raw_os_error(), Some(errno));
            assert!(error.to_string().starts_with(text), "{error}");
        }
        let long = io_error(UdpError::MessageTooLong {
            len: 70_000,
            limit: 65_507,
        });
        assert!(long.to_string().starts_with("Message too long"));
    }

    /// The numbers themselves, asked of the kernel.
    #[test]
    fn the_kernel_gives_the_same_numbers() {
        let refused = std::net::TcpStream::connect("127.0.0.1:1").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(ConnectionError::Refused.errno()));
        let foreign = std::net::UdpSocket::bind("192.0.2.1:0").unwrap_err();
        let ours = BindError::NotLocal("192.0.2.1".parse().unwrap());
        assert_eq!(foreign.raw_os_error(), Some(ours.errno()));
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let broadcast = udp.send_to(b"x", "255.255.255.255:9").unwrap_err();
        assert_eq!(
            broadcast.raw_os_error(),
            Some(UdpError::BroadcastNotPermitted.errno())
        );
        let long = udp.send_to(&[0; 65_508], "127.0.0.1:9").unwrap_err();
        assert_eq!(
            long.raw_os_error(),
            Some(
                UdpError::MessageTooLong {
                    len: 65_508,
                    limit: 65_507
                }
                .errno()
            )
        );
        let nowhere = udp.send(b"x").unwrap_err();
        assert_eq!(nowhere.raw_os_error(), Some(UdpError::NoDestination.errno()));
    }
}
