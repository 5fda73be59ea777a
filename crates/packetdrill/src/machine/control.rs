//! fcntl and ioctl.

use std::io;
use std::os::fd::RawFd;

use rustix::fs::OFlags;
use rustix::io::FdFlags;
use sockeye_net::socket::{Kind, Socket};
use sockeye_stack::tcp::State;

use super::table::{Entry, What};
use super::{Machine, error};

/// Requests of ioctl that are answered. All have an `int` as their argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ioctl {
    /// FIONBIO: it is given whether calls do not wait.
    NonBlocking,
    /// FIONREAD, SIOCINQ: it is told how much can be read.
    Readable,
    /// TIOCOUTQ, SIOCOUTQ: it is told how much is not acknowledged.
    Unacknowledged,
    /// SIOCOUTQNSD: it is told how much is not sent.
    Unsent,
    /// SIOCATMARK: it is told whether reading has come to the urgent mark.
    AtMark,
}

impl Ioctl {
    /// The request with Linux's number.
    pub fn from_number(number: u64) -> Option<Ioctl> {
        Some(match number {
            0x5421 => Ioctl::NonBlocking,
            0x541b => Ioctl::Readable,
            0x5411 => Ioctl::Unacknowledged,
            0x894b => Ioctl::Unsent,
            0x8905 => Ioctl::AtMark,
            _ => return None,
        })
    }
    /// Whether the argument is read, not written.
    pub fn is_given(self) -> bool {
        self == Ioctl::NonBlocking
    }
}

impl Machine {
    /// `fcntl`: F_GETFL, F_SETFL (O_NONBLOCK counts), F_GETFD, F_SETFD. `argument` is looked at by those that set.
    ///
    /// # Errors
    /// EBADF; EINVAL for other commands.
    pub fn fcntl(&self, fd: RawFd, command: i32, argument: i32) -> io::Result<i32> {
        let _call = self.time.enter()?;
        let entry = self.table.get(fd)?;
        match (command, &entry.what) {
            (libc::F_GETFD, _) => Ok(rustix::io::fcntl_getfd(entry.file()?)?.bits() as i32),
            (libc::F_SETFD, _) => {
                rustix::io::fcntl_setfd(entry.file()?, FdFlags::from_bits_truncate(argument as u32))?;
                Ok(0)
            }
            (libc::F_GETFL, What::Socket(open)) => Ok(if open.socket.getblocking() {
                libc::O_RDWR
            } else {
                libc::O_RDWR | libc::O_NONBLOCK
            }),
            (libc::F_SETFL, What::Socket(open)) => {
                open.socket.setblocking(argument & libc::O_NONBLOCK == 0)?;
                Ok(0)
            }
            (libc::F_GETFL, _) => Ok(rustix::fs::fcntl_getfl(entry.file()?)?.bits() as i32),
            (libc::F_SETFL, _) => {
                rustix::fs::fcntl_setfl(entry.file()?, OFlags::from_bits_truncate(argument as u32))?;
                Ok(0)
            }
            _ => Err(error(libc::EINVAL)),
        }
    }
    /// `ioctl`. `argument` is what was given, where it is given; the answer is what is told, where it is told.
    ///
    /// # Errors
    /// EBADF; ENOTTY for a descriptor that is no socket; EINVAL for a listener, or urgent data of UDP.
    pub fn ioctl(&self, fd: RawFd, request: Ioctl, argument: i32) -> io::Result<i32> {
        let _call = self.time.enter()?;
        let entry = self.table.get(fd)?;
        if let (Ioctl::Readable, What::Pipe(_)) = (request, &entry.what) {
            return Ok(rustix::io::ioctl_fionread(entry.file()?)?
                .try_into()
                .unwrap_or(i32::MAX));
        }
        let socket = socket_of(&entry)?;
        if request == Ioctl::NonBlocking {
            socket.setblocking(argument == 0)?;
            return Ok(0);
        }
        match socket.kind() {
            Kind::Stream => self.tcp_figure(socket, request),
            Kind::Datagram => self.udp_figure(socket, request),
        }
    }
    fn tcp_figure(&self, socket: &Socket, request: Ioctl) -> io::Result<i32> {
        let id = socket.stack_id().ok_or_else(|| error(libc::EBADF))?;
        let mut stack = self.host.lock();
        let tcp = stack.tcp(self.host.now(), id).map_err(|_| error(libc::EBADF))?;
        if tcp.state() == State::Listen {
            return Err(error(libc::EINVAL));
        }
        let count = match request {
            Ioctl::Readable => tcp.readable(),
            Ioctl::Unacknowledged => tcp.unacked(),
            Ioctl::Unsent => tcp.info().map_or(0, |info| info.unsent as usize),
            Ioctl::AtMark => usize::from(tcp.at_urgent_mark()),
            Ioctl::NonBlocking => 0,
        };
        Ok(count.try_into().unwrap_or(i32::MAX))
    }
    fn udp_figure(&self, socket: &Socket, request: Ioctl) -> io::Result<i32> {
        let id = socket.stack_id().ok_or_else(|| error(libc::EBADF))?;
        let mut stack = self.host.lock();
        let udp = stack.udp(self.host.now(), id).map_err(|_| error(libc::EBADF))?;
        match request {
            Ioctl::Readable => Ok(udp.peek().map_or(0, |first| first.payload.len() as i32)),
            // A datagram leaves as it is sent.
            Ioctl::Unacknowledged | Ioctl::Unsent => Ok(0),
            _ => Err(error(libc::EINVAL)),
        }
    }
}

fn socket_of(entry: &Entry) -> io::Result<&Socket> {
    entry.socket().map_err(|_| error(libc::ENOTTY))
}
