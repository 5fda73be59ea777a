//! Sockets of the operating system.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType,
};

use super::message::{Ancillary, Flags, Message};
use super::wait::{Pace, Wait};
use super::{Address, Family, Kind, Shutdown, UnixAddress};
use crate::error::{errno, from_errno};

/// A socket of the operating system.
#[derive(Debug)]
pub(super) struct OsSocket {
    pub(super) socket: socket2::Socket,
    pub(super) family: Family,
    pub(super) kind: Kind,
}

fn family_of(family: Family) -> AddressFamily {
    match family {
        Family::Unix => AddressFamily::UNIX,
        Family::Inet => AddressFamily::INET,
        Family::Inet6 => AddressFamily::INET6,
    }
}
fn type_of(kind: Kind) -> SocketType {
    match kind {
        Kind::Stream => SocketType::STREAM,
        Kind::Datagram => SocketType::DGRAM,
    }
}

/// An address as the system takes it.
fn to_os(address: &Address) -> io::Result<SocketAddrAny> {
    Ok(match address {
        Address::Inet(address) => (*address).into(),
        Address::Unix(UnixAddress::Unnamed) => SocketAddrUnix::new_unnamed().into(),
        Address::Unix(UnixAddress::Path(path)) => SocketAddrUnix::new(path.as_path())?.into(),
        Address::Unix(UnixAddress::Abstract(name)) => SocketAddrUnix::new_abstract_name(name)?.into(),
    })
}
fn from_os(address: SocketAddrAny) -> io::Result<Address> {
    if address.address_family() == AddressFamily::UNIX {
        let unix = SocketAddrUnix::try_from(address)?;
        return Ok(Address::Unix(match (unix.path_bytes(), unix.abstract_name()) {
            (Some(path), _) => {
                let path = path.strip_suffix(&[0]).unwrap_or(path);
                UnixAddress::Path(std::ffi::OsStr::from_bytes(path).into())
            }
            // What the kernel tells of an unnamed socket may read as an empty abstract name.
            (None, Some(name)) if !name.is_empty() => UnixAddress::Abstract(name.into()),
            (None, _) => UnixAddress::Unnamed,
        }));
    }
    Ok(Address::Inet(SocketAddr::try_from(address)?))
}

impl OsSocket {
    pub(super) fn new(family: Family, kind: Kind) -> io::Result<OsSocket> {
        let fd = rustix::net::socket_with(family_of(family), type_of(kind), SocketFlags::CLOEXEC, None)?;
        Ok(OsSocket::from_fd(fd, family, kind))
    }
    pub(super) fn pair(kind: Kind) -> io::Result<(OsSocket, OsSocket)> {
        let (a, b) = rustix::net::socketpair(AddressFamily::UNIX, type_of(kind), SocketFlags::CLOEXEC, None)?;
        Ok((
            OsSocket::from_fd(a, Family::Unix, kind),
            OsSocket::from_fd(b, Family::Unix, kind),
        ))
    }
    fn from_fd(fd: OwnedFd, family: Family, kind: Kind) -> OsSocket {
        OsSocket {
            socket: fd.into(),
            family,
            kind,
        }
    }

    /// Runs a call of the system. The descriptor blocks exactly where the call may take as long as it wants; with a
    /// deadline the call is tried, and its descriptor polled in between.
    fn run<R>(
        &self,
        wait: Wait,
        events: PollFlags,
        mut call: impl FnMut() -> rustix::io::Result<R>,
    ) -> io::Result<R> {
        loop {
            match retry_on_intr(&mut call) {
                Err(Errno::AGAIN) if matches!(wait, Wait::Until(_)) => self.wait(wait, events)?,
                result => return Ok(result?),
            }
        }
    }
    /// Waits for the descriptor.
    fn wait(&self, wait: Wait, events: PollFlags) -> io::Result<()> {
        loop {
            let left = wait.deadline().map(|at| at.since(Pace::Machine.now()).as_nanos());
            let timeout = left.map(|left| Timespec {
                tv_sec: (left / 1_000_000_000) as i64,
                tv_nsec: (left % 1_000_000_000) as _,
            });
            match poll(&mut [PollFd::new(&self.socket, events)], timeout.as_ref()) {
                Ok(0) => return Err(wait.expired()),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn bind(&self, address: &Address) -> io::Result<()> {
        Ok(rustix::net::bind(&self.socket, &to_os(address)?)?)
    }
    pub(super) fn listen(&self, backlog: u32) -> io::Result<()> {
        let backlog = backlog.try_into().unwrap_or(i32::MAX);
        Ok(rustix::net::listen(&self.socket, backlog)?)
    }
    pub(super) fn accept(&self, wait: Wait) -> io::Result<(OsSocket, Address)> {
        let (fd, peer) = self.run(wait, PollFlags::IN, || {
            rustix::net::acceptfrom_with(&self.socket, SocketFlags::CLOEXEC)
        })?;
        let peer = match peer {
            Some(peer) => from_os(peer)?,
            None => UnixAddress::Unnamed.into(),
        };
        Ok((OsSocket::from_fd(fd, self.family, self.kind), peer))
    }
    pub(super) fn connect(&self, address: &Address, wait: Wait) -> io::Result<()> {
        match rustix::net::connect(&self.socket, &to_os(address)?) {
            // Interrupted, it goes on as if the socket did not block.
            Err(Errno::INTR) => self.wait(wait, PollFlags::OUT)?,
            Err(Errno::INPROGRESS | Errno::AGAIN) if matches!(wait, Wait::Until(_)) => {
                self.wait(wait, PollFlags::OUT)?;
            }
            result => return Ok(result?),
        }
        match self.socket.take_error()? {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
    pub(super) fn disconnect(&self) -> io::Result<()> {
        if self.kind == Kind::Stream {
            return Err(from_errno(errno::EOPNOTSUPP));
        }
        Ok(rustix::net::connect_unspec(&self.socket)?)
    }

    pub(super) fn receive(&self, buf: &mut [u8], flags: Flags, wait: Wait) -> io::Result<Message> {
        let room = buf.len();
        // Always asked to tell the whole length of a datagram, so that a cut one can be told.
        let datagram = self.kind == Kind::Datagram;
        let mut os = RecvFlags::from_bits_retain(flags.bits());
        os.set(RecvFlags::TRUNC, datagram || flags.contains(Flags::TRUNC));
        let (copied, whole, from) = self.run(wait, PollFlags::IN, || {
            let (copied, whole, from) = rustix::net::recvfrom(&self.socket, &mut *buf, os)?;
            Ok((copied, whole, from))
        })?;
        let told = if flags.contains(Flags::TRUNC) {
            whole
        } else {
            copied
        };
        let mut seen = Flags::empty();
        seen.set(Flags::TRUNC, datagram && whole > room);
        seen.set(Flags::OOB, flags.contains(Flags::OOB));
        let address = match from {
            Some(from) if datagram => Some(from_os(from)?).filter(|a| *a != UnixAddress::Unnamed.into()),
            _ => None,
        };
        Ok(Message {
            len: told,
            flags: seen,
            address,
            ancillary: Vec::new(),
        })
    }
    pub(super) fn receive_message(
        &self,
        bufs: &mut [IoSliceMut<'_>],
        flags: Flags,
        wait: Wait,
    ) -> io::Result<Message> {
        if self.family == Family::Unix {
            self.receive_rights(bufs, flags, wait)
        } else {
            self.receive_told(bufs, flags, wait)
        }
    }
    /// AF_UNIX: descriptors.
    fn receive_rights(&self, bufs: &mut [IoSliceMut<'_>], flags: Flags, wait: Wait) -> io::Result<Message> {
        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, recvmsg};
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let os = RecvFlags::from_bits_retain(flags.bits()) | RecvFlags::CMSG_CLOEXEC;
        let got = self.run(wait, PollFlags::IN, || {
            recvmsg(&self.socket, bufs, &mut control, os)
        })?;
        let mut rights = Vec::new();
        for item in control.drain() {
            if let RecvAncillaryMessage::ScmRights(given) = item {
                rights.extend(given);
            }
        }
        let address = match got.address {
            Some(from) if self.kind == Kind::Datagram => {
                Some(from_os(from)?).filter(|a| *a != UnixAddress::Unnamed.into())
            }
            _ => None,
        };
        Ok(Message {
            len: got.bytes,
            flags: Flags::from_bits_truncate(got.flags.bits()),
            address,
            ancillary: if rights.is_empty() {
                Vec::new()
            } else {
                vec![Ancillary::Rights(rights)]
            },
        })
    }
    /// AF_INET, AF_INET6: what the options ask for.
    fn receive_told(&self, bufs: &mut [IoSliceMut<'_>], flags: Flags, wait: Wait) -> io::Result<Message> {
        use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
        use std::os::fd::AsRawFd;
        let os = MsgFlags::from_bits_retain(flags.bits() as i32);
        let mut space = vec![0; 256];
        let fd = self.socket.as_raw_fd();
        let mut told = Vec::new();
        let (len, seen, address) = self.run(wait, PollFlags::IN, || {
            let got = recvmsg::<SockaddrStorage>(fd, bufs, Some(&mut space), os)
                .map_err(|error| Errno::from_raw_os_error(error as i32))?;
            let items = got.cmsgs().map_err(|_| Errno::NOBUFS)?;
            told.extend(items.filter_map(|item| match item {
                ControlMessageOwned::Ipv4PacketInfo(info) => Some(Ancillary::PacketInfo {
                    destination: std::net::Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into(),
                    interface: info.ipi_ifindex as u32,
                }),
                ControlMessageOwned::Ipv6PacketInfo(info) => Some(Ancillary::PacketInfo {
                    destination: std::net::Ipv6Addr::from(info.ipi6_addr.s6_addr).into(),
                    interface: info.ipi6_ifindex,
                }),
                ControlMessageOwned::Ipv4Ttl(n) | ControlMessageOwned::Ipv6HopLimit(n) => {
                    Some(Ancillary::HopLimit(n as u8))
                }
                ControlMessageOwned::Ipv4Tos(n) => Some(Ancillary::TrafficClass(n)),
                ControlMessageOwned::Ipv6TClass(n) => Some(Ancillary::TrafficClass(n as u8)),
                _ => None,
            }));
            Ok((got.bytes, got.flags, got.address))
        })?;
        let address = address.and_then(|from| {
            from.as_sockaddr_in()
                .map(|v4| SocketAddr::V4((*v4).into()))
                .or_else(|| from.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
        });
        Ok(Message {
            len,
            flags: Flags::from_bits_truncate(seen.bits() as u32),
            address: address.filter(|_| self.kind == Kind::Datagram).map(Address::Inet),
            ancillary: told,
        })
    }

    pub(super) fn send(
        &self,
        data: &[u8],
        flags: Flags,
        to: Option<&Address>,
        wait: Wait,
    ) -> io::Result<usize> {
        let os = SendFlags::from_bits_retain(flags.bits()) | SendFlags::NOSIGNAL;
        let to = to.map(to_os).transpose()?;
        self.run(wait, PollFlags::OUT, || match &to {
            Some(to) => rustix::net::sendto(&self.socket, data, os, to),
            None => rustix::net::send(&self.socket, data, os),
        })
    }
    pub(super) fn send_message(
        &self,
        bufs: &[IoSlice<'_>],
        ancillary: Vec<Ancillary>,
        flags: Flags,
        to: Option<&Address>,
        wait: Wait,
    ) -> io::Result<usize> {
        if self.family != Family::Unix {
            return self.send_told(bufs, &ancillary, flags, to, wait);
        }
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, sendmsg, sendmsg_addr};
        let mut rights: Vec<OwnedFd> = Vec::new();
        for item in ancillary {
            match item {
                Ancillary::Rights(given) => rights.extend(given),
                _ => return Err(from_errno(errno::EINVAL)),
            }
        }
        let borrowed: Vec<BorrowedFd<'_>> = rights.iter().map(AsFd::as_fd).collect();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
            return Err(from_errno(errno::EINVAL));
        }
        let os = SendFlags::from_bits_retain(flags.bits()) | SendFlags::NOSIGNAL;
        let to = to.map(to_os).transpose()?;
        self.run(wait, PollFlags::OUT, || match &to {
            Some(to) => sendmsg_addr(&self.socket, to, bufs, &mut control, os),
            None => sendmsg(&self.socket, bufs, &mut control, os),
        })
    }
    fn send_told(
        &self,
        bufs: &[IoSlice<'_>],
        ancillary: &[Ancillary],
        flags: Flags,
        to: Option<&Address>,
        wait: Wait,
    ) -> io::Result<usize> {
        use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
        use std::os::fd::AsRawFd;
        let v6 = self.family == Family::Inet6;
        let numbers: Vec<(bool, i32, u8)> = ancillary
            .iter()
            .map(|item| match item {
                Ancillary::HopLimit(n) => Ok((true, i32::from(*n), *n)),
                Ancillary::TrafficClass(n) => Ok((false, i32::from(*n), *n)),
                _ => Err(from_errno(errno::EINVAL)),
            })
            .collect::<io::Result<_>>()?;
        let control: Vec<ControlMessage<'_>> = numbers
            .iter()
            .map(|(hops, wide, narrow)| match (hops, v6) {
                (true, false) => ControlMessage::Ipv4Ttl(wide),
                (true, true) => ControlMessage::Ipv6HopLimit(wide),
                (false, false) => ControlMessage::Ipv4Tos(narrow),
                (false, true) => ControlMessage::Ipv6TClass(wide),
            })
            .collect();
        let to = to.map(Address::inet).transpose()?.map(SockaddrStorage::from);
        let os = MsgFlags::from_bits_retain(flags.bits() as i32) | MsgFlags::MSG_NOSIGNAL;
        let fd = self.socket.as_raw_fd();
        self.run(wait, PollFlags::OUT, || {
            sendmsg(fd, bufs, &control, os, to.as_ref())
                .map_err(|error| Errno::from_raw_os_error(error as i32))
        })
    }
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }
    pub(super) fn local_addr(&self) -> io::Result<Address> {
        from_os(rustix::net::getsockname(&self.socket)?)
    }
    pub(super) fn peer_addr(&self) -> io::Result<Address> {
        match rustix::net::getpeername(&self.socket)? {
            Some(peer) => from_os(peer),
            None => Ok(UnixAddress::Unnamed.into()),
        }
    }
}
