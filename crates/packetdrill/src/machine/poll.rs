//! What descriptors are ready for, in poll's words.

use std::io;
use std::os::fd::RawFd;
use std::task::Waker;

use bitflags::bitflags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sockeye_net::socket::{Kind, Ready};

use super::table::{Entry, What};

bitflags! {
    /// The bits of poll(2), which epoll(7) shares.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Events: u16 {
        /// POLLIN.
        const IN = 0x001;
        /// POLLPRI.
        const PRI = 0x002;
        /// POLLOUT.
        const OUT = 0x004;
        /// POLLERR.
        const ERR = 0x008;
        /// POLLHUP.
        const HUP = 0x010;
        /// POLLNVAL: no such descriptor.
        const NVAL = 0x020;
        /// POLLRDNORM.
        const RDNORM = 0x040;
        /// POLLRDBAND.
        const RDBAND = 0x080;
        /// POLLWRNORM.
        const WRNORM = 0x100;
        /// POLLWRBAND.
        const WRBAND = 0x200;
        /// POLLRDHUP.
        const RDHUP = 0x2000;
        /// What else a program writes: never told.
        const _ = !0;
    }
}

/// A row of what is polled: `struct pollfd`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PollRow {
    /// The descriptor; negative ones are passed over.
    pub fd: RawFd,
    /// What is asked for.
    pub events: Events,
    /// What is there.
    pub revents: Events,
}

/// What an entry is ready for. The waker hears of the next change, except of pipes'.
pub(super) fn ready(entry: &Entry, waker: Option<&Waker>) -> Events {
    match &entry.what {
        What::Socket(open) => {
            let ready = open.socket.ready(waker).unwrap_or(Ready::ERR);
            let mut events = Events::from_bits_retain(ready.bits());
            if ready.contains(Ready::IN) {
                events |= Events::RDNORM;
            }
            if ready.contains(Ready::OUT) {
                events |= Events::WRNORM;
                // Linux: datagrams have no bands, and say so by this.
                events.set(Events::WRBAND, open.socket.kind() == Kind::Datagram);
            }
            events
        }
        What::Epoll(epoll) if epoll.has_any(waker) => Events::IN | Events::RDNORM,
        What::Epoll(_) => Events::empty(),
        What::Pipe(_) => system(entry).unwrap_or(Events::ERR),
    }
}

/// What the operating system says of a file.
fn system(entry: &Entry) -> io::Result<Events> {
    let asked = PollFlags::IN | PollFlags::OUT | PollFlags::RDNORM | PollFlags::WRNORM;
    let mut fds = [PollFd::from_borrowed_fd(entry.file()?, asked)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now))?;
    let told = [
        (PollFlags::IN, Events::IN),
        (PollFlags::RDNORM, Events::RDNORM),
        (PollFlags::OUT, Events::OUT),
        (PollFlags::WRNORM, Events::WRNORM),
        (PollFlags::ERR, Events::ERR),
        (PollFlags::HUP, Events::HUP),
    ];
    let seen = fds[0].revents();
    let there = told.iter().filter(|(flag, _)| seen.contains(*flag));
    Ok(there.map(|(_, event)| *event).collect())
}
