//! Reading and writing.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::Ordering;

use sockeye_net::socket::{Ancillary, Flags, Message, SockOpt};

use super::address::{self, Name};
use super::table::{Open, What};
use super::{Machine, error};

/// What a call that receives brings beside the octets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Received {
    /// Octets received. With MSG_TRUNC, of the whole datagram.
    pub len: usize,
    /// Who sent it, as a `sockaddr`; nothing on a connection.
    pub name: Vec<u8>,
    /// MSG_TRUNC, MSG_OOB.
    pub flags: i32,
    /// What is told beside, each with level, type and content: `struct cmsghdr`.
    pub control: Vec<(i32, i32, Vec<u8>)>,
}

/// What this stack cannot do, and doing something else instead would be wrong.
const SEND_REFUSED: i32 = libc::MSG_FASTOPEN | libc::MSG_EOR | libc::MSG_ERRQUEUE;

impl Machine {
    /// `read`, of a socket or a pipe. It may wait.
    ///
    /// # Errors
    /// EBADF, EINVAL, and those of [`Machine::receive`].
    pub fn read(&self, fd: RawFd, buf: &mut [u8]) -> io::Result<usize> {
        let call = self.time.enter()?;
        let entry = self.table.get(fd)?;
        match &entry.what {
            What::Socket(open) => Ok(open.socket.recv_into(buf, Flags::empty())?),
            What::Pipe(_) => {
                let file = entry.file()?;
                let n = call.outside(|| rustix::io::read(file, buf))?;
                self.time.rouse(); // there may be room now for who writes
                Ok(n)
            }
            What::Epoll(_) => Err(error(libc::EINVAL)),
        }
    }
    /// `write`, to a socket or a pipe. It may wait. No signal is raised where the other end is gone.
    ///
    /// # Errors
    /// EBADF, EINVAL, and those of [`Machine::send`].
    pub fn write(&self, fd: RawFd, data: &[u8]) -> io::Result<usize> {
        let call = self.time.enter()?;
        let entry = self.table.get(fd)?;
        match &entry.what {
            What::Socket(open) => transmit(open, data, 0, None),
            What::Pipe(_) => {
                let file = entry.file()?;
                let n = call.outside(|| rustix::io::write(file, data))?;
                self.time.rouse();
                Ok(n)
            }
            What::Epoll(_) => Err(error(libc::EINVAL)),
        }
    }
    /// `recv`, `recvfrom` and `recvmsg`. It may wait. The queue of errors (MSG_ERRQUEUE) is always empty.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK, EAGAIN, ENOTCONN, ECONNRESET, ETIMEDOUT, ECONNREFUSED; EINVAL without urgent data.
    pub fn receive(&self, fd: RawFd, buf: &mut [u8], flags: i32) -> io::Result<Received> {
        let _call = self.time.enter()?;
        let entry = self.table.get(fd)?;
        let socket = entry.socket()?;
        if flags & libc::MSG_ERRQUEUE != 0 {
            return Err(error(libc::EAGAIN));
        }
        let flags = Flags::from_bits_truncate(flags as u32);
        let Message {
            len,
            flags,
            address,
            ancillary,
        } = socket.recvmsg(&mut [io::IoSliceMut::new(buf)], flags)?;
        let v6 = address
            .as_ref()
            .and_then(|a| a.as_inet())
            .is_some_and(|a| a.is_ipv6());
        Ok(Received {
            len,
            name: address::write(address.as_ref()),
            flags: flags.bits() as i32,
            control: ancillary.iter().filter_map(|item| control(item, v6)).collect(),
        })
    }
    /// `send`, `sendto` and `sendmsg`; `name` is a `sockaddr`, where there is one. It may wait. No signal is raised where
    /// the other end is gone.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK, EAGAIN, EPIPE, ECONNRESET, ETIMEDOUT, EMSGSIZE, EDESTADDRREQ, ENETUNREACH; EOPNOTSUPP for
    /// MSG_FASTOPEN and MSG_EOR.
    pub fn send(&self, fd: RawFd, data: &[u8], flags: i32, name: Option<&[u8]>) -> io::Result<usize> {
        let _call = self.time.enter()?;
        let entry = self.table.get(fd)?;
        let to = match name.map(Name::read).transpose()? {
            Some(Name::Inet(address)) => Some(address),
            // Linux: a datagram socket that is connected takes it for none.
            Some(Name::None) | None => None,
        };
        transmit(entry.open()?, data, flags, to)
    }
}

fn transmit(open: &Open, data: &[u8], flags: i32, to: Option<std::net::SocketAddr>) -> io::Result<usize> {
    if flags & SEND_REFUSED != 0 {
        return Err(error(libc::EOPNOTSUPP));
    }
    let Open { socket, more } = open;
    let waits_for_more = flags & libc::MSG_MORE != 0;
    // More is to come: corked for this call and until one without the flag, unless the program has corked it itself.
    if waits_for_more && !more.load(Ordering::Relaxed) && socket.getsockopt(SockOpt::Cork)?.int()? == 0 {
        socket.setsockopt(SockOpt::Cork, true)?;
        more.store(true, Ordering::Relaxed);
    }
    let flags = Flags::from_bits_truncate(flags as u32);
    let result = match to {
        Some(to) => socket.sendto(data, flags, to),
        None => socket.send(data, flags),
    };
    if !waits_for_more && more.swap(false, Ordering::Relaxed) {
        socket.setsockopt(SockOpt::Cork, false)?;
    }
    result
}

/// Ancillary data as C has it.
fn control(item: &Ancillary, v6: bool) -> Option<(i32, i32, Vec<u8>)> {
    let number = |n: u8| i32::from(n).to_ne_bytes().to_vec();
    Some(match item {
        Ancillary::HopLimit(n) if v6 => (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, number(*n)),
        Ancillary::HopLimit(n) => (libc::IPPROTO_IP, libc::IP_TTL, number(*n)),
        Ancillary::TrafficClass(n) if v6 => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, number(*n)),
        Ancillary::TrafficClass(n) => (libc::IPPROTO_IP, libc::IP_TOS, vec![*n]),
        Ancillary::PacketInfo {
            destination,
            interface,
        } => match destination {
            std::net::IpAddr::V6(ip) => {
                let mut content = ip.octets().to_vec();
                content.extend(interface.to_ne_bytes());
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, content)
            }
            std::net::IpAddr::V4(ip) => {
                let mut content = interface.to_ne_bytes().to_vec();
                content.extend(ip.octets()); // ipi_spec_dst: where an answer would come from
                content.extend(ip.octets());
                (libc::IPPROTO_IP, libc::IP_PKTINFO, content)
            }
        },
        _ => return None,
    })
}
