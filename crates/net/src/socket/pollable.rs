//! A descriptor that polls as a socket of a stack would.
//!
//! One end of a socket pair is given to the program; what it polls is kept in step with the socket:
//!
//! ```text
//!   socket can be read    ⇔  one byte waits in the pair   ⇔  POLLIN
//!   socket can be written ⇔  the pair is not filled       ⇔  POLLOUT
//! ```
//!
//! Nobody but this module may read or write the pair: the program polls the descriptor (poll, epoll, select), and calls
//! the socket's own functions for data.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

/// What a socket is ready for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Level {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// The pair.
#[derive(Debug)]
pub(crate) struct Pollable {
    /// What the program polls.
    theirs: UnixStream,
    ours: UnixStream,
    level: Mutex<Level>,
}

impl Pollable {
    /// One that is writable and not readable.
    pub(crate) fn new() -> io::Result<Pollable> {
        let (theirs, ours) = UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        ours.set_nonblocking(true)?;
        // Filling it is quick; the kernel rounds this up to its least.
        socket2::SockRef::from(&theirs).set_send_buffer_size(1)?;
        let level = Mutex::new(Level {
            readable: false,
            writable: true,
        });
        Ok(Pollable { theirs, ours, level })
    }
    /// Brings it in step. It costs a system call only where something changed.
    pub(crate) fn set(&self, wanted: Level) {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        // The pair is ours alone and does not block: errors can only say that it is full or empty.
        if wanted.readable != level.readable {
            let _ = if wanted.readable {
                (&self.ours).write(&[0])
            } else {
                (&self.theirs).read(&mut [0; 16])
            };
        }
        if wanted.writable != level.writable {
            let mut room = [0; 4096];
            if wanted.writable {
                while matches!((&self.ours).read(&mut room), Ok(1..)) {}
            } else {
                while matches!((&self.theirs).write(&room), Ok(1..)) {}
                while matches!((&self.theirs).write(&room[..1]), Ok(1..)) {}
            }
        }
        *level = wanted;
    }
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.theirs.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    #[test]
    fn it_polls_as_it_is_told() {
        let pollable = Pollable::new().unwrap();
        for (readable, writable) in [
            (false, true),
            (true, true),
            (true, false),
            (false, false),
            (false, true),
        ] {
            pollable.set(Level { readable, writable });
            let mut fds = [PollFd::from_borrowed_fd(
                pollable.descriptor(),
                PollFlags::IN | PollFlags::OUT,
            )];
            let now = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            poll(&mut fds, Some(&now)).unwrap();
            let seen = fds[0].revents();
            assert_eq!(seen.contains(PollFlags::IN), readable);
            assert_eq!(seen.contains(PollFlags::OUT), writable, "{readable} {writable}");
        }
    }
}
