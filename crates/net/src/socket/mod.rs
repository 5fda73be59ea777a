//! The BSD socket set, for programs written as the tutorials have them: blocking calls, timeouts, options, flags, on the
//! operating system or on a stack.
//!
//! Functions have their BSD names. A [`Socket`] is a handle: clones name the same socket, which is closed with the last
//! of them. All calls take `&self`, so threads can share one.
//!
//! ```
//! use sockeye_net::Net;
//! use sockeye_net::socket::{Family, Flags, Kind, Shutdown, Socket};
//! # fn main() -> std::io::Result<()> {
//! let net = Net::os();
//! let server = Socket::new(&net, Family::Inet, Kind::Stream)?;
//! server.bind(("127.0.0.1", 0))?;
//! server.listen(5)?;
//! let client = Socket::new(&net, Family::Inet, Kind::Stream)?;
//! client.connect(server.getsockname()?)?;
//! client.sendall(b"hello", Flags::empty())?;
//! let (conversation, _address) = server.accept()?;
//! conversation.sendall(&conversation.recv(1024, Flags::empty())?.to_ascii_uppercase(), Flags::empty())?;
//! assert_eq!(client.recv(1024, Flags::empty())?, b"HELLO");
//! client.shutdown(Shutdown::Write)?;
//! assert_eq!(conversation.recv(1024, Flags::empty())?, b""); // the end of the stream
//! # Ok(()) }
//! ```
//!
//! # Waiting
//! A socket blocks unless told otherwise ([`Socket::setblocking`], [`Socket::settimeout`]). On a stack whose time is
//! virtual (a lab's) a thread cannot wait: there sockets never block, and asking for it is an error; unless whoever moves
//! the time lets threads wait by it ([`Waiter`]).
//!
//! # Where the back ends differ
//! `tests/conformance` runs the same programs on both; what differs, and why:
//!
//! - A stack has no privileges: ports below 1024 can be bound by everybody.
//! - SO_SNDBUF and SO_RCVBUF are told as they were set; Linux doubles them for its bookkeeping.
//! - Closing with SO_LINGER set to a time does not wait on a stack: it finishes in the background.
//! - `shutdown` of a listener is an error on a stack (not connected); Linux stops listening.
//! - A name of AF_UNIX on a stack is gone with its socket; a path of the operating system stays until removed.
//! - TCP urgent data, keepalive and timers have the stack's figures: see `sockeye_stack::Config`.

mod address;
mod file;
pub(crate) mod local;
mod local_entry;
pub(crate) mod local_io;
mod lookup;
pub(crate) mod message;
mod option;
mod os;
mod os_option;
pub(crate) mod pollable;
mod ready;
pub(crate) mod stack;
mod stack_option;
mod transfer;
pub(crate) mod wait;

use std::fmt;
use std::io::{self, BufReader, BufWriter};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use address::{Address, ToAddress, UnixAddress};
pub use file::{FileReader, FileWriter, SocketReader, SocketWriter};
pub use lookup::{getaddrinfo, gethostbyname, gethostname};
pub use message::{Ancillary, Flags, Message};
pub use option::{Info, Interface, SockOpt, Value};
pub use ready::Ready;
pub use std::net::Shutdown;

use crate::error::errno;
use crate::net::{Net, Place};
use local::LocalSocket;
use os::OsSocket;
use stack::StackSocket;
use wait::{Pace, Wait};

pub use wait::Waiter;

/// The family of a socket's addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Family {
    /// AF_UNIX: programs of one host.
    Unix,
    /// AF_INET: IPv4.
    Inet,
    /// AF_INET6: IPv6, and IPv4 as mapped addresses unless [`SockOpt::V6Only`] is set.
    Inet6,
}

/// What a socket carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// SOCK_STREAM: octets in order, without boundaries. TCP.
    Stream,
    /// SOCK_DGRAM: messages with boundaries. UDP.
    Datagram,
}

impl Family {
    /// Linux's number.
    pub fn number(self) -> i32 {
        match self {
            Family::Unix => 1,
            Family::Inet => 2,
            Family::Inet6 => 10,
        }
    }
}
impl Kind {
    /// Linux's number.
    pub fn number(self) -> i32 {
        match self {
            Kind::Stream => 1,
            Kind::Datagram => 2,
        }
    }
}

/// A socket.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

struct Inner {
    net: Net,
    family: Family,
    kind: Kind,
    back: Back,
    /// The timeout of all calls in nanoseconds; [`FOREVER`] for none, 0 for not blocking.
    timeout: AtomicU64,
    /// SO_RCVTIMEO and SO_SNDTIMEO where the back end is ours.
    receive_timeout: AtomicU64,
    send_timeout: AtomicU64,
}

enum Back {
    Os(OsSocket),
    Stack(StackSocket),
    Local(LocalSocket),
}

const FOREVER: u64 = u64::MAX;

/// Which of the two option timeouts a call heeds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Receive,
    Send,
}

impl Socket {
    /// A new socket: `socket(family, kind)`.
    ///
    /// # Errors
    /// Those of the operating system; none on a stack.
    pub fn new(net: &Net, family: Family, kind: Kind) -> io::Result<Socket> {
        let back = match &net.0 {
            Place::Os => Back::Os(OsSocket::new(family, kind)?),
            Place::Stack(host) if family == Family::Unix => Back::Local(LocalSocket::new(host.local(), kind)),
            Place::Stack(host) => Back::Stack(StackSocket::new(host, family, kind)),
        };
        Ok(Socket::around(net, family, kind, back))
    }
    /// Two AF_UNIX sockets joined to each other: `socketpair`.
    ///
    /// # Errors
    /// Those of the operating system; none on a stack.
    pub fn pair(net: &Net, kind: Kind) -> io::Result<(Socket, Socket)> {
        let (a, b) = match &net.0 {
            Place::Os => {
                let (a, b) = OsSocket::pair(kind)?;
                (Back::Os(a), Back::Os(b))
            }
            Place::Stack(host) => {
                let (a, b) = LocalSocket::pair(host.local(), kind);
                (Back::Local(a), Back::Local(b))
            }
        };
        let around = |back| Socket::around(net, Family::Unix, kind, back);
        Ok((around(a), around(b)))
    }
    fn around(net: &Net, family: Family, kind: Kind, back: Back) -> Socket {
        let timeout = if net.pace().is_some() { FOREVER } else { 0 };
        Socket(Arc::new(Inner {
            net: net.clone(),
            family,
            kind,
            back,
            timeout: AtomicU64::new(timeout),
            receive_timeout: AtomicU64::new(FOREVER),
            send_timeout: AtomicU64::new(FOREVER),
        }))
    }
    /// Its family.
    pub fn family(&self) -> Family {
        self.0.family
    }
    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }
    /// Where it lives.
    pub fn net(&self) -> &Net {
        &self.0.net
    }
    fn address(&self, address: impl ToAddress) -> io::Result<Address> {
        address.to_address(&self.0.net, self.0.family)
    }
    /// How long a call with `flags` may wait.
    fn wait(&self, way: Way, flags: Flags) -> Wait {
        if flags.contains(Flags::DONTWAIT) {
            return Wait::No;
        }
        let after = |nanos| self.0.net.pace().unwrap_or(&Pace::Machine).after(nanos);
        match self.0.timeout.load(Ordering::Relaxed) {
            0 => Wait::No,
            FOREVER => {
                let option = match way {
                    Way::Receive => &self.0.receive_timeout,
                    Way::Send => &self.0.send_timeout,
                };
                match option.load(Ordering::Relaxed) {
                    FOREVER => Wait::Forever,
                    nanos => after(nanos).map_or(Wait::Forever, Wait::OptionUntil),
                }
            }
            nanos => after(nanos).map_or(Wait::Forever, Wait::Until),
        }
    }

    /// Gives it an address of this host; port 0 chooses one.
    ///
    /// # Errors
    /// `AddrInUse`; `AddrNotAvailable` for an address that is not this host's; `InvalidInput` if it has one, or for a
    /// port above 65,535; `PermissionDenied` for a port that needs privilege.
    pub fn bind(&self, address: impl ToAddress) -> io::Result<()> {
        let address = self.address(address)?;
        match &self.0.back {
            Back::Os(s) => s.bind(&address),
            Back::Stack(s) => s.bind(&address),
            Back::Local(s) => s.bind(&address),
        }
    }
    /// Listens. `backlog` bounds the finished connections that wait to be accepted; one more is admitted.
    ///
    /// # Errors
    /// `AddrInUse`; operation not supported for datagrams; `InvalidInput` if it is connected.
    pub fn listen(&self, backlog: u32) -> io::Result<()> {
        match &self.0.back {
            Back::Os(s) => s.listen(backlog),
            Back::Stack(s) => s.listen(backlog),
            Back::Local(s) => s.listen(backlog),
        }
    }
    /// Takes the connection that has waited longest, and says from where it comes.
    ///
    /// # Errors
    /// `InvalidInput` if it does not listen; `TimedOut`; `WouldBlock`.
    pub fn accept(&self) -> io::Result<(Socket, Address)> {
        let wait = self.wait(Way::Receive, Flags::empty());
        let (back, peer) = match &self.0.back {
            Back::Os(s) => s.accept(wait).map(|(s, peer)| (Back::Os(s), peer))?,
            Back::Stack(s) => s.accept(wait).map(|(s, peer)| (Back::Stack(s), peer))?,
            Back::Local(s) => s.accept(wait).map(|(s, peer)| (Back::Local(s), peer))?,
        };
        Ok((
            Socket::around(&self.0.net, self.0.family, self.0.kind, back),
            peer,
        ))
    }
    /// Connects: for a stream the handshake, for datagrams the choice of a peer.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `NetworkUnreachable`, `HostUnreachable`; operation in progress (EINPROGRESS) if
    /// it does not block, and then already in progress (EALREADY) until it has ended; already connected (EISCONN).
    pub fn connect(&self, address: impl ToAddress) -> io::Result<()> {
        let address = self.address(address)?;
        let wait = self.wait(Way::Send, Flags::empty());
        match &self.0.back {
            Back::Os(s) => s.connect(&address, wait),
            Back::Stack(s) => s.connect(&address, wait),
            Back::Local(s) => s.connect(&address, wait),
        }
    }
    /// As [`Socket::connect`], but tells the outcome as an errno value: 0 is success, 111 refused, 11 that the timeout
    /// of the socket has passed.
    ///
    /// # Errors
    /// Only those that are none of connecting: a name that is unknown, a port above 65,535.
    pub fn connect_ex(&self, address: impl ToAddress) -> io::Result<i32> {
        let address = self.address(address)?;
        match self.connect(address) {
            Ok(()) => Ok(0),
            Err(error) => match error.raw_os_error() {
                Some(number) => Ok(number),
                None if error.kind() == io::ErrorKind::TimedOut => Ok(errno::EAGAIN),
                None => Err(error),
            },
        }
    }
    /// Forgets the peer of a datagram socket: `connect` with AF_UNSPEC.
    ///
    /// # Errors
    /// Operation not supported for streams.
    pub fn disconnect(&self) -> io::Result<()> {
        match &self.0.back {
            Back::Os(s) => s.disconnect(),
            Back::Stack(s) => s.disconnect(),
            Back::Local(s) => s.disconnect(),
        }
    }

    /// Shuts one direction or both. On a stream the peer sees the end of it after what was sent; reading may go on
    /// (half-close).
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match &self.0.back {
            Back::Os(s) => s.shutdown(how),
            Back::Stack(s) => s.shutdown(how),
            Back::Local(s) => s.shutdown(how),
        }
    }
    /// Closes this handle; the socket, if it is the last. What was sent still goes out, unless data was left unread:
    /// then the peer is reset.
    pub fn close(self) {}
    /// The local address; unspecified before it has one.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn getsockname(&self) -> io::Result<Address> {
        match &self.0.back {
            Back::Os(s) => s.local_addr(),
            Back::Stack(s) => s.local_addr(),
            Back::Local(s) => s.name().map(Address::from),
        }
    }
    /// The peer's address.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn getpeername(&self) -> io::Result<Address> {
        match &self.0.back {
            Back::Os(s) => s.peer_addr(),
            Back::Stack(s) => s.peer_addr(),
            Back::Local(s) => s.peer_name().map(Address::from),
        }
    }

    /// Sets an option.
    ///
    /// # Errors
    /// Protocol not available (ENOPROTOOPT) for one that this kind of socket does not have; `InvalidInput` for a value
    /// out of range.
    pub fn setsockopt(&self, option: SockOpt, value: impl Into<Value>) -> io::Result<()> {
        let value = value.into();
        if let SockOpt::ReceiveTimeout | SockOpt::SendTimeout = option
            && !matches!(self.0.back, Back::Os(_))
        {
            let nanos = match value.time()? {
                None | Some(Duration::ZERO) => FOREVER,
                Some(time) => nanos(time),
            };
            self.option_timeout(option).store(nanos, Ordering::Relaxed);
            return Ok(());
        }
        match &self.0.back {
            Back::Os(s) => s.set_option(option, &value),
            Back::Stack(s) => s.set_option(option, &value),
            Back::Local(s) => s.set_option(option, &value),
        }
    }
    /// Reads an option.
    ///
    /// # Errors
    /// Protocol not available for one that this kind of socket does not have.
    pub fn getsockopt(&self, option: SockOpt) -> io::Result<Value> {
        match &self.0.back {
            Back::Os(s) => s.option(option),
            _ if matches!(option, SockOpt::ReceiveTimeout | SockOpt::SendTimeout) => {
                let nanos = self.option_timeout(option).load(Ordering::Relaxed);
                Ok(Value::Time(
                    (nanos != FOREVER).then(|| Duration::from_nanos(nanos)),
                ))
            }
            Back::Stack(s) => s.option(option),
            Back::Local(s) => s.option(option),
        }
    }
    fn option_timeout(&self, option: SockOpt) -> &AtomicU64 {
        if option == SockOpt::ReceiveTimeout {
            &self.0.receive_timeout
        } else {
            &self.0.send_timeout
        }
    }

    /// How long calls may wait: `None` for ever, zero not at all. A call that waits longer says `TimedOut`.
    ///
    /// # Errors
    /// `Unsupported` for anything but zero where time is virtual.
    pub fn settimeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout != Some(Duration::ZERO) && self.0.net.pace().is_none() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a thread cannot wait for virtual time: use the async sockets, or do not block",
            ));
        }
        if let Back::Os(s) = &self.0.back {
            s.socket.set_nonblocking(timeout.is_some())?;
        }
        let nanos = timeout.map_or(FOREVER, nanos);
        self.0.timeout.store(nanos, Ordering::Relaxed);
        Ok(())
    }
    /// The timeout, or `None`.
    pub fn gettimeout(&self) -> Option<Duration> {
        match self.0.timeout.load(Ordering::Relaxed) {
            FOREVER => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
    /// `true`: calls wait for ever; `false`: they do not wait.
    ///
    /// # Errors
    /// As [`Socket::settimeout`].
    pub fn setblocking(&self, blocking: bool) -> io::Result<()> {
        self.settimeout(if blocking { None } else { Some(Duration::ZERO) })
    }
    /// Whether calls may wait.
    pub fn getblocking(&self) -> bool {
        self.gettimeout() != Some(Duration::ZERO)
    }

    /// A descriptor that polls: readable and writable when the socket is. On the operating system it is the socket's
    /// own. On a stack it stands for it: poll, select and epoll (level-triggered) work, reading and writing do not go
    /// through it, and it lives as long as the socket.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn fileno(&self) -> io::Result<RawFd> {
        Ok(self.descriptor()?.as_raw_fd())
    }
    /// As [`Socket::fileno`], borrowed, so that it cannot outlive the socket.
    ///
    /// # Errors
    /// As there.
    pub fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        match &self.0.back {
            Back::Os(s) => Ok(s.socket.as_fd()),
            Back::Stack(s) => s.descriptor(),
            Back::Local(s) => s.descriptor(),
        }
    }
    /// A buffered reader and a buffered writer on it: `makefile("rwb")`. They keep the socket open. They are for sockets
    /// that block: an error in the middle of a line loses the line.
    pub fn makefile(&self) -> (FileReader, FileWriter) {
        (
            BufReader::new(SocketReader(self.clone())),
            BufWriter::new(SocketWriter(self.clone())),
        )
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos())
        .unwrap_or(FOREVER - 1)
        .min(FOREVER - 1)
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({:?} {:?} {:?}", self.0.net, self.0.family, self.0.kind)?;
        if let Ok(local) = self.getsockname() {
            write!(f, " {local}")?;
        }
        if let Ok(peer) = self.getpeername() {
            write!(f, " -> {peer}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::from_errno;
    use crate::names::Names;
    use crate::shared::{Clock, Host};
    use sockeye_stack::{Config, Stack};

    /// A thread that waited for virtual time would wait for ever.
    #[test]
    fn where_time_is_virtual_sockets_do_not_block() {
        let stack = Stack::new(Config::default(), [7; 32]);
        let host = Host::new("lab", stack, Arc::new(Clock::new()), Names::new(), || {});
        let socket = Socket::new(&host.net(), Family::Inet, Kind::Datagram).unwrap();
        assert!(!socket.getblocking());
        assert_eq!(
            socket.recv(1, Flags::empty()).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        for timeout in [None, Some(Duration::from_secs(1))] {
            assert_eq!(
                socket.settimeout(timeout).unwrap_err().kind(),
                io::ErrorKind::Unsupported
            );
        }
        socket.setblocking(false).unwrap();
    }

    /// Time passes only while somebody waits for it.
    #[derive(Debug, Default)]
    struct Patience(AtomicU64);
    impl Waiter for Patience {
        fn now(&self) -> sockeye_stack::Instant {
            sockeye_stack::Instant::from_nanos(self.0.load(Ordering::Relaxed))
        }
        fn waker(&self) -> std::task::Waker {
            std::task::Waker::noop().clone()
        }
        fn wait(&self, until: Option<sockeye_stack::Instant>) -> io::Result<bool> {
            let until = until.ok_or_else(|| from_errno(errno::EBADF))?;
            self.0.store(until.as_nanos(), Ordering::Relaxed);
            Ok(false)
        }
    }

    #[test]
    fn threads_wait_by_a_time_that_somebody_moves() {
        let patience = Arc::new(Patience::default());
        let clock = Clock::with_waiter(patience.clone());
        let stack = Stack::new(Config::default(), [7; 32]);
        let host = Host::new("moved", stack, Arc::new(clock), Names::new(), || {});
        let socket = Socket::new(&host.net(), Family::Inet, Kind::Datagram).unwrap();
        assert!(socket.getblocking() && !host.is_real_time());
        let hour = Duration::from_secs(3600);
        socket.setsockopt(SockOpt::ReceiveTimeout, Some(hour)).unwrap();
        let error = socket.recv(1, Flags::empty()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(host.now().as_millis(), 3_600_000);
        socket.settimeout(Some(hour)).unwrap();
        let error = socket.recv(1, Flags::empty()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(patience.now().as_millis(), 7_200_000);
        // Nobody moves the time any more.
        socket.settimeout(None).unwrap();
        socket.setsockopt(SockOpt::ReceiveTimeout, None).unwrap();
        let error = socket.recv(1, Flags::empty()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno::EBADF));
        assert_eq!(socket.ready(None).unwrap(), Ready::OUT);
        socket.bind((std::net::Ipv4Addr::LOCALHOST, 9)).unwrap();
        socket.sendto(b"x", Flags::empty(), "127.0.0.1:9").unwrap();
        // Its driver has not moved the datagram yet.
        assert_eq!(socket.ready(None).unwrap(), Ready::OUT);
        assert!(
            host.lock()
                .poll_transmit(host.now(), &mut Default::default())
                .is_none()
        );
        assert_eq!(socket.ready(None).unwrap(), Ready::IN | Ready::OUT);
    }
}
