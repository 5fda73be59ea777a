//! Pipes, which are the operating system's, and splicing between them and sockets, which goes through the stack.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use rustix::pipe::{PipeFlags, pipe_with};
use sockeye_net::socket::{Flags, Socket};

use super::table::{Entry, PipeEnd, What};
use super::time::Call;
use super::{Machine, error};

/// Octets moved at once.
const CHUNK: usize = 64 * 1024;

impl Machine {
    /// `pipe`: the end to read, and the end to write.
    ///
    /// # Errors
    /// EMFILE, ENFILE.
    pub fn pipe(&self) -> io::Result<(RawFd, RawFd)> {
        let _call = self.time.enter()?;
        let (read, write): (OwnedFd, OwnedFd) = pipe_with(PipeFlags::empty())?;
        let read = self.table.add(read, What::Pipe(PipeEnd::Read))?;
        let write = self.table.add(write, What::Pipe(PipeEnd::Write))?;
        Ok((read, write))
    }
    /// `splice` between a socket and a pipe of this machine, without offsets. As on Linux it moves what there is, at most
    /// `len`, and waits for the first octet unless `SPLICE_F_NONBLOCK` or the socket says otherwise.
    ///
    /// # Errors
    /// EBADF; EINVAL unless one is a socket and the other the right end of a pipe; EAGAIN; those of the socket.
    pub fn splice(&self, from: RawFd, to: RawFd, len: usize, flags: u32) -> io::Result<usize> {
        let call = self.time.enter()?;
        let (from, to) = (self.table.get(from)?, self.table.get(to)?);
        let wait = flags & libc::SPLICE_F_NONBLOCK == 0;
        let len = len.min(CHUNK);
        if len == 0 {
            return Ok(0);
        }
        match (&from.what, &to.what) {
            (What::Socket(open), What::Pipe(PipeEnd::Write)) => {
                self.drain(&call, &open.socket, &to, len, wait)
            }
            (What::Pipe(PipeEnd::Read), What::Socket(open)) => {
                self.fill(&call, &from, &open.socket, len, wait)
            }
            _ => Err(error(libc::EINVAL)),
        }
    }
    /// From a socket into a pipe: looked at first, and taken as far as the pipe took it.
    fn drain(
        &self,
        call: &Call<'_>,
        socket: &Socket,
        pipe: &Entry,
        len: usize,
        wait: bool,
    ) -> io::Result<usize> {
        let mut buf = vec![0; len];
        let flags = if wait { Flags::empty() } else { Flags::DONTWAIT };
        let there = socket.recv_into(&mut buf, Flags::PEEK | flags)?;
        if there == 0 {
            return Ok(0); // the end of the stream
        }
        let file = pipe.file()?;
        // Writing a little never waits where there is room, and a full pipe is waited for beside the machine's time.
        let room = rustix::pipe::fcntl_getpipe_size(file)?.saturating_sub(self.held(pipe)?);
        let most = if room > 0 {
            there.min(room)
        } else if wait {
            there.min(1)
        } else {
            return Err(error(libc::EAGAIN));
        };
        let moved = call.outside(|| rustix::io::write(file, &buf[..most]))?;
        socket.recv_into(&mut buf[..moved], Flags::DONTWAIT)?;
        self.time.rouse();
        Ok(moved)
    }
    /// From a pipe into a socket: as much as the socket takes without waiting, but at least something.
    fn fill(
        &self,
        call: &Call<'_>,
        pipe: &Entry,
        socket: &Socket,
        len: usize,
        wait: bool,
    ) -> io::Result<usize> {
        let wait = wait && socket.getblocking();
        let room = if wait { len } else { self.room(socket)? };
        if room == 0 {
            return Err(error(libc::EAGAIN));
        }
        if !wait && self.held(pipe)? == 0 && !self.is_ended(pipe) {
            return Err(error(libc::EAGAIN));
        }
        let mut buf = vec![0; len.min(room)];
        let file = pipe.file()?;
        let n = call.outside(|| rustix::io::read(file, &mut buf))?;
        self.time.rouse();
        // What was taken from the pipe must not be lost: a socket that may wait takes all, any other had the room.
        let mut sent = 0;
        while sent < n {
            sent += socket.send(&buf[sent..n], Flags::empty())?;
        }
        Ok(n)
    }
    /// Octets in a pipe.
    fn held(&self, pipe: &Entry) -> io::Result<usize> {
        Ok(rustix::io::ioctl_fionread(pipe.file()?)?
            .try_into()
            .unwrap_or(usize::MAX))
    }
    /// Whether nobody can write into a pipe any more.
    fn is_ended(&self, pipe: &Entry) -> bool {
        super::poll::ready(pipe, None).contains(super::Events::HUP)
    }
    /// Octets that a socket takes at once.
    fn room(&self, socket: &Socket) -> io::Result<usize> {
        let id = socket.stack_id().ok_or_else(|| error(libc::EINVAL))?;
        let mut stack = self.host.lock();
        let tcp = stack.tcp(self.host.now(), id).map_err(|_| error(libc::EINVAL))?;
        Ok(tcp.writable())
    }
}
