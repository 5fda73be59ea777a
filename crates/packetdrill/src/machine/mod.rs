//! A machine of its own: a stack, a device, a clock and descriptors, behind the calls of POSIX. All safe; the C face
//! turns pointers into slices and errors into errno.
//!
//! Calls are told apart by their thread. A call that has to wait does, asleep in the operating system, until another
//! thread brings what it waits for, or time does; see [`Machine::usleep`] and [`Machine::netdev_receive`] for what moves
//! time. Errors carry Linux's numbers ([`io::Error::raw_os_error`]).
//!
//! ```
//! use sockeye_packetdrill::{Settings, machine::Machine};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let machine = Machine::new(&"profile=linux".parse::<Settings>()?)?;
//! let fd = machine.socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
//! let mut name = (libc::AF_INET as u16).to_ne_bytes().to_vec(); // 192.0.2.1, port 8080
//! name.extend([0x1f, 0x90, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
//! assert_eq!(machine.connect(fd, &name).unwrap_err().raw_os_error(), Some(libc::EINPROGRESS));
//! let syn = machine.netdev_receive()?.ok_or("a SYN")?;
//! let again = machine.netdev_receive()?.ok_or("it goes again")?; // time moves on to the timer
//! assert_eq!(again.at.since(syn.at).as_secs(), 1);
//! # Ok(()) }
//! ```

mod address;
mod control;
mod epoll;
mod info;
mod option;
mod pipe;
mod poll;
mod table;
mod threads;
mod time;
mod transfer;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;

use sockeye_net::socket::{Family, Kind, Shutdown, Socket, Waiter};
use sockeye_net::{Clock, Host, Names};
use sockeye_stack::iface::{Cidr, RouteConfig};
use sockeye_stack::snapshot::{Protocol, SocketRow};
use sockeye_stack::{Duration, Instant, InterfaceConfig, Stack};

use crate::flags::{IpMode, Settings};
use address::Name;
use epoll::Epoll;
use table::{Open, Table, What};
use time::Time;
use wire::Wire;

pub use control::Ioctl;
pub use epoll::{Change, Interest};
pub use info::{SO_MEMINFO_LEN, TCP_CC_INFO_LEN, TCP_INFO_LEN};
pub use poll::{Events, PollRow};
pub use transfer::Received;
pub use wire::Packet;

/// What the machine's clock shows when it begins, in seconds since 1970: the first of January 2000.
const EPOCH: u64 = 946_684_800;
/// Smallest and largest packet that can be put in.
const PACKET: std::ops::RangeInclusive<usize> = 20..=65_535;

fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    host: Host,
    time: Arc<Time>,
    wire: Arc<Wire>,
    table: Table,
    /// Calls that wait for edges: they look again whenever a packet comes.
    edges: AtomicUsize,
}

impl Machine {
    /// Makes one.
    ///
    /// # Errors
    /// Those of opening the capture's file.
    pub fn new(settings: &Settings) -> io::Result<Machine> {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&settings.seed.to_le_bytes());
        let stack = Stack::new(settings.config.clone(), seed);
        let wire = Arc::new(Wire::default());
        let time = Time::new(wire.clone());
        let clock = Arc::new(Clock::with_waiter(time.clone()));
        let kicked = wire.clone();
        let host = Host::new("sockeye", stack, clock, Names::new(), move || kicked.pump());
        wire.attach(&host, interface(settings), settings.trace.as_deref())?;
        Ok(Machine {
            host,
            time,
            wire,
            table: Table::default(),
            edges: AtomicUsize::new(0),
        })
    }
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }
    /// Closes everything. Calls that wait fail with EBADF, and so do all that come after.
    pub fn close_all(&self) {
        self.time.close();
        self.table.clear();
    }

    /// `socket`: TCP and UDP over IPv4 and IPv6, with SOCK_NONBLOCK and SOCK_CLOEXEC.
    ///
    /// # Errors
    /// EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT; EMFILE.
    pub fn socket(&self, domain: i32, kind: i32, protocol: i32) -> io::Result<RawFd> {
        let _call = self.time.enter()?;
        let family = match domain {
            libc::AF_INET => Family::Inet,
            libc::AF_INET6 => Family::Inet6,
            _ => return Err(error(libc::EAFNOSUPPORT)),
        };
        let flags = kind & (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
        let (kind, own) = match kind & !flags {
            libc::SOCK_STREAM => (Kind::Stream, libc::IPPROTO_TCP),
            libc::SOCK_DGRAM => (Kind::Datagram, libc::IPPROTO_UDP),
            _ => return Err(error(libc::ESOCKTNOSUPPORT)),
        };
        if protocol != 0 && protocol != own {
            return Err(error(libc::EPROTONOSUPPORT));
        }
        let socket = Socket::new(&self.host.net(), family, kind)?;
        socket.setblocking(flags & libc::SOCK_NONBLOCK == 0)?;
        self.opened(socket, flags & libc::SOCK_CLOEXEC != 0)
    }
    fn opened(&self, socket: Socket, cloexec: bool) -> io::Result<RawFd> {
        let open = Open {
            socket,
            more: AtomicBool::new(false),
        };
        self.table.open(What::Socket(open), cloexec)
    }
    /// `bind`. `name` is a `sockaddr`.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK, EINVAL, EAFNOSUPPORT, EADDRINUSE, EADDRNOTAVAIL.
    pub fn bind(&self, fd: RawFd, name: &[u8]) -> io::Result<()> {
        let _call = self.time.enter()?;
        let entry = self.table.get(fd)?;
        entry.socket()?.bind(Name::read(name)?.inet()?)
    }
    /// `listen`. A negative backlog is a large one.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK, EOPNOTSUPP, EINVAL, EADDRINUSE.
    pub fn listen(&self, fd: RawFd, backlog: i32) -> io::Result<()> {
        let _call = self.time.enter()?;
        let entry = self.table.get(fd)?;
        entry.socket()?.listen(u32::try_from(backlog).unwrap_or(u32::MAX))
    }
    /// `accept`: the new descriptor, and the peer as a `sockaddr`. It may wait.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK, EOPNOTSUPP, EINVAL, EAGAIN, EMFILE.
    pub fn accept(&self, fd: RawFd) -> io::Result<(RawFd, Vec<u8>)> {
        let _call = self.time.enter()?;
        let entry = self.table.get(fd)?;
        let (socket, peer) = entry.socket()?.accept()?;
        Ok((self.opened(socket, false)?, address::write(Some(&peer))))
    }
    /// `connect`; with AF_UNSPEC it disconnects a datagram socket. It may wait.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK, EINVAL, EAFNOSUPPORT, EINPROGRESS, EALREADY, EISCONN, ECONNREFUSED, ETIMEDOUT, ENETUNREACH.
    pub fn connect(&self, fd: RawFd, name: &[u8]) -> io::Result<()> {
        let _call = self.time.enter()?;
        let entry = self.table.get(fd)?;
        match Name::read(name)? {
            Name::Inet(address) => entry.socket()?.connect(address),
            Name::None => entry.socket()?.disconnect(),
        }
    }
    /// `shutdown`.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK, EINVAL, ENOTCONN.
    pub fn shutdown(&self, fd: RawFd, how: i32) -> io::Result<()> {
        let _call = self.time.enter()?;
        let how = match how {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_WR => Shutdown::Write,
            libc::SHUT_RDWR => Shutdown::Both,
            _ => return Err(error(libc::EINVAL)),
        };
        let entry = self.table.get(fd)?;
        entry.socket()?.shutdown(how)
    }
    /// `close`. A call of another thread on the same socket keeps it until it ends, as on Linux.
    ///
    /// # Errors
    /// EBADF.
    pub fn close(&self, fd: RawFd) -> io::Result<()> {
        let _call = self.time.enter()?;
        self.table.get(fd)?;
        let entry = self.table.remove(fd)?;
        for other in self.table.entries() {
            if let What::Epoll(set) = &other.what {
                set.forget(fd);
            }
        }
        drop(entry);
        Ok(())
    }

    /// `getsockopt`: the value whole, as C has it.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK; ENOPROTOOPT for an option that there is not.
    pub fn getsockopt(&self, fd: RawFd, level: i32, name: i32) -> io::Result<Vec<u8>> {
        let _call = self.time.enter()?;
        let entry = self.table.get(fd)?;
        option::get(self, entry.socket()?, level, name)
    }
    /// `setsockopt`.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK, ENOPROTOOPT; EINVAL for a value that is too short or out of range.
    pub fn setsockopt(&self, fd: RawFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
        let _call = self.time.enter()?;
        let entry = self.table.get(fd)?;
        option::set(entry.socket()?, level, name, value)
    }

    /// `poll`: fills in what is there and returns how many rows have something. It waits for so many milliseconds;
    /// negative is for ever.
    ///
    /// # Errors
    /// EBADF once the machine is closed.
    pub fn poll(&self, rows: &mut [PollRow], timeout: i32) -> io::Result<usize> {
        let _call = self.time.enter()?;
        self.wait_until(timeout, |waker| {
            for row in &mut *rows {
                row.revents = match self.table.get(row.fd) {
                    _ if row.fd < 0 => Events::empty(),
                    Err(_) => Events::NVAL,
                    Ok(entry) => poll::ready(&entry, Some(waker)) & (row.events | Events::ERR | Events::HUP),
                };
            }
            let found = rows.iter().filter(|row| !row.revents.is_empty()).count();
            (found > 0).then_some(found)
        })
        .map(Option::unwrap_or_default)
    }
    /// Waits until `look` finds something, for at most so many milliseconds.
    fn wait_until<R>(
        &self,
        timeout: i32,
        mut look: impl FnMut(&Waker) -> Option<R>,
    ) -> io::Result<Option<R>> {
        let patience = u64::try_from(timeout).ok();
        let until = patience.map(|millis| self.time.now() + Duration::from_millis(millis));
        let waker = self.time.waker();
        loop {
            if let Some(found) = look(&waker) {
                return Ok(Some(found));
            }
            if timeout == 0 || !self.time.wait(until)? {
                return Ok(None);
            }
        }
    }
    /// `epoll_create`.
    ///
    /// # Errors
    /// EINVAL unless `size` is positive; EMFILE.
    pub fn epoll_create(&self, size: i32) -> io::Result<RawFd> {
        let _call = self.time.enter()?;
        if size <= 0 {
            return Err(error(libc::EINVAL));
        }
        self.table.open(What::Epoll(Epoll::default()), false)
    }
    /// `epoll_ctl`. Sets within sets are refused.
    ///
    /// # Errors
    /// EBADF, EEXIST, ENOENT, EFAULT; EINVAL if `set` is none, or `fd` is one.
    pub fn epoll_ctl(
        &self,
        set: RawFd,
        change: Change,
        fd: RawFd,
        interest: Option<Interest>,
    ) -> io::Result<()> {
        let _call = self.time.enter()?;
        let (entry, target) = (self.table.get(set)?, self.table.get(fd)?);
        match (&entry.what, &target.what) {
            (What::Epoll(_), What::Epoll(_)) => Err(error(libc::EINVAL)),
            (What::Epoll(epoll), _) => epoll.change(change, fd, target.clone(), interest),
            _ => Err(error(libc::EINVAL)),
        }
    }
    /// `epoll_wait`: at most `most` events; it waits as [`Machine::poll`].
    ///
    /// # Errors
    /// EBADF; EINVAL if `set` is none, or `most` is zero.
    pub fn epoll_wait(&self, set: RawFd, most: usize, timeout: i32) -> io::Result<Vec<Interest>> {
        let _call = self.time.enter()?;
        let entry = self.table.get(set)?;
        let What::Epoll(epoll) = &entry.what else {
            return Err(error(libc::EINVAL));
        };
        if most == 0 {
            return Err(error(libc::EINVAL));
        }
        let edges = usize::from(epoll.has_edges());
        self.edges.fetch_add(edges, Ordering::Relaxed);
        let told = self.wait_until(timeout, |waker| {
            let told = epoll.collect(most, Some(waker));
            (!told.is_empty()).then_some(told)
        });
        self.edges.fetch_sub(edges, Ordering::Relaxed);
        told.map(Option::unwrap_or_default)
    }

    /// Puts an IP packet into the stack.
    ///
    /// # Errors
    /// EINVAL if it is shorter than a header or longer than 65,535 octets.
    pub fn netdev_send(&self, packet: &[u8]) -> io::Result<()> {
        let _call = self.time.enter()?;
        if !PACKET.contains(&packet.len()) {
            return Err(error(libc::EINVAL));
        }
        self.wire.inject(packet);
        if self.edges.load(Ordering::Relaxed) > 0 {
            self.time.rouse();
        }
        Ok(())
    }
    /// The next packet out of the stack. Where there is none yet, time moves on from deadline to deadline until there is
    /// one; `None` when nothing is left that could bring one.
    ///
    /// # Errors
    /// EBADF once the machine is closed.
    pub fn netdev_receive(&self) -> io::Result<Option<Packet>> {
        let call = self.time.enter()?;
        Ok(call.sleep_until(|| self.wire.take()))
    }
    /// Lets so many microseconds pass, with all that happens in them.
    ///
    /// # Errors
    /// EBADF once the machine is closed.
    pub fn usleep(&self, micros: u32) -> io::Result<()> {
        let call = self.time.enter()?;
        call.sleep(Duration::from_micros(micros.into()));
        Ok(())
    }
    /// What time it is, in microseconds since 1970: later than ever before, since looking takes one.
    ///
    /// # Errors
    /// EBADF once the machine is closed.
    pub fn gettimeofday(&self) -> io::Result<u64> {
        let call = self.time.enter_asking()?;
        Ok(wall(call.ask()))
    }
    /// The socket table, a line a socket: protocol, local address, peer, state.
    pub fn sockets(&self) -> String {
        let snapshot = self.host.lock().snapshot();
        snapshot.sockets.iter().map(line).collect()
    }
}

/// A time of the machine's clock, in microseconds since 1970.
pub fn wall(at: Instant) -> u64 {
    EPOCH * 1_000_000 + at.as_micros()
}

fn interface(settings: &Settings) -> InterfaceConfig {
    let Settings {
        ip,
        local,
        remote,
        gateway,
        mtu,
        ..
    } = settings;
    let (IpMode::V4 | IpMode::V4Mapped | IpMode::V6) = ip;
    let mut interface = InterfaceConfig::ip("tun0", *mtu);
    interface.addresses.push(*local);
    interface.routes.push(RouteConfig {
        destination: Cidr { ..*remote },
        via: Some(*gateway),
    });
    interface
}

fn line(row: &SocketRow) -> String {
    let address = |address: Option<SocketAddr>| address.map_or_else(|| "*".into(), |a| a.to_string());
    let protocol = match row.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let state = row.state.map_or_else(|| "-".into(), |state| state.to_string());
    format!(
        "{protocol} {} {} {state}\n",
        address(row.local),
        address(row.remote)
    )
}
