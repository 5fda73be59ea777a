//! Sockets on a stack: TCP and UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

use sockeye_stack::tcp::{Keepalive, State, TcpOptions, TcpSocket};
use sockeye_stack::udp::{Datagram, UdpOptions, UdpSocket};
use sockeye_stack::{ConnectError, Instant, SocketId, Stack};

use super::message::{Ancillary, Flags, Message};
use super::pollable::{Level, Pollable};
use super::wait::{Pace, Wait, block};
use super::{Address, Family, Kind, Shutdown};
use crate::error::{errno, from_errno, io_error};
use crate::shared::{Host, Side};

/// A socket of a stack, owned: dropping it closes it.
#[derive(Debug)]
pub(super) struct StackSocket {
    pub(super) host: Host,
    pub(super) id: SocketId,
    pub(super) family: Family,
    pub(super) kind: Kind,
    /// `connect` has begun, and nobody has been told how it ended.
    connecting: AtomicBool,
    /// Directions of a datagram socket that are shut: [`SHUT_READ`], [`SHUT_WRITE`].
    shut: AtomicU8,
    /// What `recvmsg` is to tell: [`super::stack_option`]'s bits.
    pub(super) tell: AtomicU8,
    /// Keepalive's numbers, once set.
    pub(super) keepalive: Mutex<Option<Keepalive>>,
    watch: OnceLock<Arc<Pollable>>,
}

const SHUT_READ: u8 = 1;
const SHUT_WRITE: u8 = 2;

/// `recvmsg` tells destination and interface.
pub(super) const TELL_PACKET_INFO: u8 = 1;
/// `recvmsg` tells the TTL.
pub(super) const TELL_HOP_LIMIT: u8 = 2;
/// `recvmsg` tells the traffic class.
pub(super) const TELL_TRAFFIC_CLASS: u8 = 4;

impl StackSocket {
    pub(super) fn new(host: &Host, family: Family, kind: Kind) -> StackSocket {
        let id = host.look(|stack, _| match kind {
            Kind::Stream => stack.tcp_socket(TcpOptions::default()),
            Kind::Datagram => stack.udp_socket(UdpOptions::default()),
        });
        StackSocket::from_id(host.clone(), id, family, kind)
    }
    fn from_id(host: Host, id: SocketId, family: Family, kind: Kind) -> StackSocket {
        StackSocket {
            host,
            id,
            family,
            kind,
            connecting: AtomicBool::new(false),
            shut: AtomicU8::new(0),
            tell: AtomicU8::new(0),
            keepalive: Mutex::new(None),
            watch: OnceLock::new(),
        }
    }
    pub(super) fn is_tcp(&self) -> bool {
        self.kind == Kind::Stream
    }

    /// How its calls wait. Where they cannot, they are not asked to.
    fn pace(&self) -> &Pace {
        self.host.pace().unwrap_or(&Pace::Machine)
    }
    /// Runs `op`; where it says "would block" and there is a waker, that is registered before anything can change.
    fn attempt<R>(
        &self,
        side: Side,
        waker: Option<&Waker>,
        op: impl FnOnce(&mut Stack, Instant) -> io::Result<R>,
    ) -> io::Result<R> {
        let result = match waker {
            None => self.host.call(op),
            Some(waker) => {
                let mut cx = Context::from_waker(waker);
                let polled = self
                    .host
                    .poll(self.id, side, &mut cx, |stack, now| match op(stack, now) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                        result => Poll::Ready(result),
                    });
                match polled {
                    Poll::Ready(result) => result,
                    Poll::Pending => Err(from_errno(errno::EAGAIN)),
                }
            }
        };
        self.refresh();
        result
    }
    pub(super) fn tcp<R>(&self, op: impl FnOnce(&mut TcpSocket<'_>) -> R) -> io::Result<R> {
        self.host
            .call(|stack, now| Ok(op(&mut stack.tcp(now, self.id).map_err(io_error)?)))
    }
    pub(super) fn udp<R>(&self, op: impl FnOnce(&mut UdpSocket<'_>) -> R) -> io::Result<R> {
        self.host
            .call(|stack, now| Ok(op(&mut stack.udp(now, self.id).map_err(io_error)?)))
    }
    pub(super) fn state(&self) -> State {
        self.host.look(|stack, now| {
            stack
                .tcp(now, self.id)
                .map_or(State::Closed, |socket| socket.state())
        })
    }
    fn v6_only(&self) -> bool {
        self.host.look(|stack, now| match self.kind {
            Kind::Stream => stack.tcp(now, self.id).is_ok_and(|s| s.options().ipv6_only),
            Kind::Datagram => stack.udp(now, self.id).is_ok_and(|s| s.options().ipv6_only),
        })
    }

    /// An address as this socket's family shows it.
    fn shown(&self, address: SocketAddr) -> Address {
        Address::Inet(match address {
            SocketAddr::V4(v4) if self.family == Family::Inet6 => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            other => other,
        })
    }
    fn wildcard(&self) -> SocketAddr {
        match self.family {
            Family::Inet6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
            _ => (Ipv4Addr::UNSPECIFIED, 0).into(),
        }
    }
    /// A remote address for this family, with Linux's refusals. The unspecified address means this host.
    fn remote(&self, address: &Address) -> io::Result<SocketAddr> {
        let address = address.inet()?;
        let mut ip = match (self.family, address.ip()) {
            (Family::Inet6, IpAddr::V4(_)) if self.is_tcp() => return Err(from_errno(errno::EINVAL)),
            (Family::Inet6, IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
            (Family::Inet, IpAddr::V6(_)) => return Err(from_errno(errno::EAFNOSUPPORT)),
            (_, ip) => ip,
        };
        if self.family == Family::Inet6 && ip.to_canonical().is_ipv4() && self.v6_only() {
            return Err(from_errno(errno::ENETUNREACH));
        }
        if ip.is_unspecified() {
            ip = match ip {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
        }
        Ok(SocketAddr::new(ip, address.port()))
    }

    pub(super) fn bind(&self, address: &Address) -> io::Result<()> {
        let local = address.inet()?;
        match (self.family, local) {
            (Family::Inet, SocketAddr::V6(_)) => return Err(from_errno(errno::EAFNOSUPPORT)),
            (Family::Inet6, SocketAddr::V4(_)) => return Err(from_errno(errno::EINVAL)),
            (Family::Inet6, SocketAddr::V6(v6)) if v6.ip().to_ipv4_mapped().is_some() && self.v6_only() => {
                return Err(from_errno(errno::EINVAL));
            }
            _ => {}
        }
        self.host.call(|stack, _| match self.kind {
            Kind::Stream => stack.tcp_bind(self.id, local).map_err(io_error),
            Kind::Datagram => stack.udp_bind(self.id, local).map_err(io_error),
        })
    }
    pub(super) fn listen(&self, backlog: u32) -> io::Result<()> {
        if !self.is_tcp() {
            return Err(from_errno(errno::EOPNOTSUPP));
        }
        self.host.call(|stack, now| {
            let socket = stack.tcp(now, self.id).map_err(io_error)?;
            if socket.local_addr().is_none() {
                stack.tcp_bind(self.id, self.wildcard()).map_err(io_error)?;
            }
            stack.tcp_listen(self.id, backlog).map_err(io_error)
        })?;
        self.refresh();
        Ok(())
    }
    pub(super) fn accept(&self, wait: Wait) -> io::Result<(StackSocket, Address)> {
        if !self.is_tcp() {
            return Err(from_errno(errno::EOPNOTSUPP));
        }
        let (id, peer) = block(self.pace(), wait, |waker| {
            self.attempt(Side::Read, waker, |stack, now| {
                match stack.tcp_accept(now, self.id) {
                    Ok(Some(accepted)) => Ok(accepted),
                    Ok(None) => Err(from_errno(errno::EAGAIN)),
                    Err(error) => Err(io_error(error)),
                }
            })
        })?;
        let socket = StackSocket::from_id(self.host.clone(), id, self.family, self.kind);
        let peer = socket.shown(peer);
        Ok((socket, peer))
    }
    pub(super) fn connect(&self, address: &Address, wait: Wait) -> io::Result<()> {
        let remote = self.remote(address)?;
        if !self.is_tcp() {
            return self.udp(|socket| socket.connect(remote))?.map_err(io_error);
        }
        if self.connecting.load(Ordering::Relaxed) {
            // Linux: the second call tells how the first ended.
            return match self.opened() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(from_errno(errno::EALREADY)),
                result => result,
            };
        }
        let begun = self
            .host
            .call(|stack, now| stack.tcp_connect(now, self.id, remote));
        match begun {
            Err(ConnectError::NotFresh) => return Err(from_errno(errno::EISCONN)),
            begun => begun.map_err(io_error)?,
        }
        self.connecting.store(true, Ordering::Relaxed);
        self.refresh();
        let result = block(self.pace(), wait, |waker| {
            self.attempt(Side::Write, waker, |stack, now| self.outcome(stack, now))
        });
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(from_errno(errno::EINPROGRESS)),
            result => result,
        }
    }
    /// How far opening has come.
    fn opened(&self) -> io::Result<()> {
        self.host.call(|stack, now| self.outcome(stack, now))
    }
    fn outcome(&self, stack: &mut Stack, now: Instant) -> io::Result<()> {
        let mut socket = stack.tcp(now, self.id).map_err(io_error)?;
        let result = match socket.state() {
            State::SynSent | State::SynReceived => return Err(from_errno(errno::EAGAIN)),
            State::Closed => Err(match socket.take_error() {
                Some(error) => io_error(error),
                None => from_errno(errno::ECONNABORTED),
            }),
            _ => Ok(()),
        };
        self.connecting.store(false, Ordering::Relaxed);
        result
    }
    pub(super) fn disconnect(&self) -> io::Result<()> {
        match self.kind {
            Kind::Datagram => self.udp(|socket| socket.disconnect()),
            Kind::Stream => Err(from_errno(errno::EOPNOTSUPP)),
        }
    }

    pub(super) fn receive(&self, buf: &mut [u8], flags: Flags, wait: Wait) -> io::Result<Message> {
        match self.kind {
            Kind::Datagram => self.receive_datagram(buf, flags, wait),
            Kind::Stream => {
                let len = if flags.contains(Flags::OOB) {
                    self.receive_urgent(buf)?
                } else {
                    self.receive_stream(buf, flags, wait)?
                };
                Ok(Message {
                    len,
                    flags: flags & Flags::OOB,
                    address: None,
                    ancillary: Vec::new(),
                })
            }
        }
    }
    fn receive_urgent(&self, buf: &mut [u8]) -> io::Result<usize> {
        let octet = self.tcp(|socket| socket.recv_urgent())?.map_err(io_error)?;
        if let Some(first) = buf.first_mut() {
            *first = octet;
        }
        Ok(buf.len().min(1))
    }
    fn receive_stream(&self, buf: &mut [u8], flags: Flags, wait: Wait) -> io::Result<usize> {
        let all = flags.contains(Flags::WAITALL) && matches!(wait, Wait::Forever | Wait::OptionUntil(_));
        let mut done = 0;
        let result = block(self.pace(), wait, |waker| {
            let before = done;
            let mut seen = 0;
            let result = self.attempt(Side::Read, waker, |stack, now| {
                let mut socket = stack.tcp(now, self.id).map_err(io_error)?;
                if socket.state() == State::Listen {
                    return Err(from_errno(errno::ENOTCONN));
                }
                if flags.contains(Flags::PEEK) {
                    let n = socket.peek(buf).map_err(io_error)?;
                    let ended = socket.peer_closed() || socket.state() == State::Closed;
                    if all && n < buf.len() && !ended {
                        seen = socket.readable();
                        return Err(from_errno(errno::EAGAIN));
                    }
                    done = n;
                    return Ok(());
                }
                while done < buf.len() || buf.is_empty() {
                    let room = &mut buf[done..];
                    let n = if flags.contains(Flags::TRUNC) {
                        socket.recv_bytes(room.len()).map(|dropped| dropped.len())
                    } else {
                        socket.recv(room)
                    };
                    match n.map_err(io_error) {
                        Ok(n) => {
                            done += n;
                            if n == 0 || !all {
                                break;
                            }
                        }
                        Err(error) if room.is_empty() && error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            });
            if seen > 0
                && let Some(waker) = waker
            {
                self.host.wait_for_more(self.id, seen, waker);
            }
            // What was read before waiting may owe the peer a window.
            if done > before && result.is_err() {
                self.host.kick();
            }
            result
        });
        match result {
            Err(error) if done == 0 => Err(error),
            // What was read before an error is not lost; the error comes with the next call, if it lasts.
            _ => Ok(done),
        }
    }
    fn receive_datagram(&self, buf: &mut [u8], flags: Flags, wait: Wait) -> io::Result<Message> {
        let peek = flags.contains(Flags::PEEK);
        block(self.pace(), wait, |waker| {
            self.attempt(Side::Read, waker, |stack, now| {
                let mut socket = stack.udp(now, self.id).map_err(io_error)?;
                if peek && let Some(error) = socket.take_error() {
                    return Err(io_error(error));
                }
                let taken = if peek {
                    socket.peek().cloned()
                } else {
                    socket.recv()
                };
                match taken.map_err(io_error) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.is_shut(SHUT_READ) => {
                        Ok(Message {
                            len: 0,
                            flags: Flags::empty(),
                            address: None,
                            ancillary: Vec::new(),
                        })
                    }
                    taken => Ok(self.message(&taken?, buf, flags)),
                }
            })
        })
    }
    fn message(&self, datagram: &Datagram, buf: &mut [u8], flags: Flags) -> Message {
        let copied = datagram.payload.copy_to(buf);
        let whole = datagram.payload.len();
        let tell = self.tell.load(Ordering::Relaxed);
        let mut ancillary = Vec::new();
        if tell & TELL_PACKET_INFO != 0 {
            let shown = self.shown(datagram.destination).as_inet();
            ancillary.push(Ancillary::PacketInfo {
                destination: shown.unwrap_or(datagram.destination).ip(),
                interface: super::stack_option::index_of(datagram.interface),
            });
        }
        if tell & TELL_HOP_LIMIT != 0 {
            ancillary.push(Ancillary::HopLimit(datagram.hop_limit));
        }
        if tell & TELL_TRAFFIC_CLASS != 0 {
            ancillary.push(Ancillary::TrafficClass(datagram.traffic_class));
        }
        Message {
            len: if flags.contains(Flags::TRUNC) {
                whole
            } else {
                copied
            },
            flags: if copied < whole {
                Flags::TRUNC
            } else {
                Flags::empty()
            },
            address: Some(self.shown(datagram.source)),
            ancillary,
        }
    }

    pub(super) fn send(
        &self,
        data: &[u8],
        flags: Flags,
        to: Option<&Address>,
        wait: Wait,
    ) -> io::Result<usize> {
        match self.kind {
            Kind::Stream => self.send_stream(data, flags, wait),
            Kind::Datagram => self.send_datagram(data, to, wait),
        }
    }
    fn send_stream(&self, data: &[u8], flags: Flags, wait: Wait) -> io::Result<usize> {
        // A call that blocks takes everything, as on Linux; any other what fits.
        let all = matches!(wait, Wait::Forever | Wait::OptionUntil(_));
        let mut done = 0;
        let result = block(self.pace(), wait, |waker| {
            let before = done;
            let result = self.attempt(Side::Write, waker, |stack, now| {
                let mut socket = stack.tcp(now, self.id).map_err(io_error)?;
                loop {
                    let rest = &data[done..];
                    let taken = if flags.contains(Flags::OOB) {
                        socket.send_urgent(rest)
                    } else {
                        socket.send(rest)
                    };
                    match taken.map_err(io_error) {
                        Err(error) if data.is_empty() && error.kind() == io::ErrorKind::WouldBlock => break,
                        taken => done += taken?,
                    }
                    if !all || done == data.len() {
                        break;
                    }
                }
                Ok(())
            });
            // What was taken before waiting is to go out.
            if done > before && result.is_err() {
                self.host.kick();
            }
            result
        });
        match result {
            Err(error) if done == 0 => Err(error),
            _ => Ok(done),
        }
    }
    fn send_datagram(&self, data: &[u8], to: Option<&Address>, wait: Wait) -> io::Result<usize> {
        if self.is_shut(SHUT_WRITE) {
            return Err(from_errno(errno::EPIPE));
        }
        let to = to.map(|to| self.remote(to)).transpose()?;
        block(self.pace(), wait, |waker| {
            self.attempt(Side::Write, waker, |stack, now| {
                let mut socket = stack.udp(now, self.id).map_err(io_error)?;
                match to {
                    Some(to) => socket.send_to(data, to),
                    None => socket.send(data),
                }
                .map_err(io_error)?;
                Ok(data.len())
            })
        })
    }

    /// Whether reading and writing are shut, on a datagram socket.
    pub(super) fn shut(&self) -> (bool, bool) {
        (self.is_shut(SHUT_READ), self.is_shut(SHUT_WRITE))
    }
    fn is_shut(&self, way: u8) -> bool {
        self.shut.load(Ordering::Relaxed) & way != 0
    }
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let (read, write) = (how != Shutdown::Write, how != Shutdown::Read);
        match self.kind {
            Kind::Stream => self.tcp(|socket| {
                if matches!(socket.state(), State::Closed | State::Listen | State::SynSent) {
                    return Err(from_errno(errno::ENOTCONN));
                }
                if read {
                    socket.shutdown_recv();
                }
                if write {
                    socket.shutdown_send().map_err(io_error)?;
                }
                Ok(())
            })??,
            Kind::Datagram => {
                if self.udp(|socket| socket.peer_addr())?.is_none() {
                    return Err(from_errno(errno::ENOTCONN));
                }
                let ways = if read { SHUT_READ } else { 0 } | if write { SHUT_WRITE } else { 0 };
                self.shut.fetch_or(ways, Ordering::Relaxed);
                self.host.wake(self.id);
            }
        }
        self.refresh();
        Ok(())
    }
    pub(super) fn local_addr(&self) -> io::Result<Address> {
        let local = match self.kind {
            Kind::Stream => self.tcp(|socket| socket.local_addr())?,
            Kind::Datagram => self.udp(|socket| socket.local_addr())?,
        };
        Ok(self.shown(local.unwrap_or_else(|| self.wildcard())))
    }
    pub(super) fn peer_addr(&self) -> io::Result<Address> {
        let peer = match self.kind {
            Kind::Stream => self.tcp(|socket| match socket.state() {
                State::Closed | State::SynSent => None,
                _ => socket.peer_addr(),
            })?,
            Kind::Datagram => self.udp(|socket| socket.peer_addr())?,
        };
        let peer = peer.ok_or_else(|| from_errno(errno::ENOTCONN))?;
        Ok(self.shown(peer))
    }
    /// The descriptor that polls, made when first asked for.
    pub(super) fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        if self.watch.get().is_none() {
            let made = Arc::new(Pollable::new()?);
            if self.watch.set(made.clone()).is_ok() {
                self.host.watch(self.id, made);
            }
            self.refresh();
        }
        let watch = self.watch.get().ok_or_else(|| from_errno(errno::EBADF))?;
        Ok(watch.descriptor())
    }
    /// Brings the descriptor in step, where there is one.
    fn refresh(&self) {
        if let Some(watch) = self.watch.get() {
            let shut = self.is_shut(SHUT_READ);
            self.host.look(|stack, now| {
                let mut level = level(stack, now, self.id);
                level.readable |= shut;
                watch.set(level);
            });
        }
    }
}

impl Drop for StackSocket {
    fn drop(&mut self) {
        self.host.close(self.id, |stack, now| match self.kind {
            Kind::Stream => {
                if let Ok(socket) = stack.tcp(now, self.id) {
                    socket.close();
                }
            }
            Kind::Datagram => {
                if let Ok(socket) = stack.udp(now, self.id) {
                    socket.close();
                }
            }
        });
    }
}

/// What a socket of a stack is ready for.
pub(crate) fn level(stack: &mut Stack, now: Instant, id: SocketId) -> Level {
    let down = stack.is_down();
    if let Ok(mut socket) = stack.tcp(now, id) {
        let (readable, writable) = match socket.state() {
            State::Listen => (socket.acceptable() > 0 || down, false),
            State::SynSent | State::SynReceived => (false, false),
            State::Closed => (true, true),
            State::Established | State::CloseWait => {
                // Asking for nothing says whether there is room, and if not, that we want to hear of it.
                let writable = socket.writable() > 0 || socket.send(&[]).is_ok();
                (socket.readable() > 0 || socket.peer_closed(), writable)
            }
            _ => (socket.readable() > 0 || socket.peer_closed(), true),
        };
        return Level { readable, writable };
    }
    match stack.udp(now, id) {
        Ok(socket) => Level {
            readable: socket.peek().is_ok() || socket.has_error() || down,
            writable: true,
        },
        Err(_) => Level {
            readable: true,
            writable: true,
        },
    }
}
