//! Descriptors: real ones of the operating system, each of which stands for a socket, an epoll set or an end of a pipe.
//!
//! The host program may close any of them without asking us, and the number may then come again for something else. So a
//! descriptor is ours only as long as the file behind it is the one that we opened; each has a file of its own.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{MemfdFlags, fstat, memfd_create};
use sockeye_net::socket::Socket;

use super::epoll::Epoll;

/// What a descriptor stands for.
#[derive(Debug)]
pub(super) enum What {
    Socket(Open),
    Epoll(Epoll),
    /// An end of a pipe, which is the descriptor's own file.
    Pipe(PipeEnd),
}

/// Which end of a pipe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PipeEnd {
    Read,
    Write,
}

/// An open socket.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) socket: Socket,
    /// It is corked by MSG_MORE, not by its option.
    pub(super) more: AtomicBool,
}

/// A descriptor and what it stands for.
#[derive(Debug)]
pub(super) struct Entry {
    place: Place,
    pub(super) what: What,
}

impl Entry {
    pub(super) fn socket(&self) -> io::Result<&Socket> {
        Ok(&self.open()?.socket)
    }
    pub(super) fn open(&self) -> io::Result<&Open> {
        match &self.what {
            What::Socket(open) => Ok(open),
            _ => Err(io::Error::from_raw_os_error(libc::ENOTSOCK)),
        }
    }
    /// The descriptor itself.
    pub(super) fn file(&self) -> io::Result<BorrowedFd<'_>> {
        self.place.file()
    }
}

/// A file of ours. Dropping it closes it, unless its number has become somebody else's.
#[derive(Debug)]
struct Place {
    /// There until it is dropped.
    fd: Option<OwnedFd>,
    /// Device and inode: which file it is.
    identity: (u64, u64),
}

impl Place {
    fn new(fd: OwnedFd) -> io::Result<Place> {
        Ok(Place {
            identity: identity(fd.as_fd())?,
            fd: Some(fd),
        })
    }
    fn file(&self) -> io::Result<BorrowedFd<'_>> {
        self.fd.as_ref().map(OwnedFd::as_fd).ok_or_else(bad)
    }
    /// Whether the number still names our file.
    fn is_ours(&self) -> bool {
        self.file().and_then(identity).ok() == Some(self.identity)
    }
}
fn identity(fd: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let stat = fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_ours()
            && let Some(fd) = self.fd.take()
        {
            let _ = fd.into_raw_fd();
        }
    }
}

/// All descriptors of a machine.
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<BTreeMap<RawFd, Arc<Entry>>>);

impl Table {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<RawFd, Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// A new descriptor for a socket or an epoll set.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM: those of the operating system.
    pub(super) fn open(&self, what: What, cloexec: bool) -> io::Result<RawFd> {
        let flags = if cloexec {
            MemfdFlags::CLOEXEC
        } else {
            MemfdFlags::empty()
        };
        self.add(memfd_create(c"sockeye", flags)?, what)
    }
    /// Takes a file in, with what it stands for.
    pub(super) fn add(&self, file: OwnedFd, what: What) -> io::Result<RawFd> {
        let number = file.as_raw_fd();
        let place = Place::new(file)?;
        let before = self.lock().insert(number, Arc::new(Entry { place, what }));
        drop(before); // the host closed that one; closing a socket calls the stack: not under the lock
        Ok(number)
    }
    /// What `fd` stands for.
    ///
    /// # Errors
    /// EBADF if it is none of ours, or was closed behind our back.
    pub(super) fn get(&self, fd: RawFd) -> io::Result<Arc<Entry>> {
        let entry = self.lock().get(&fd).cloned().ok_or_else(bad)?;
        if entry.place.is_ours() {
            return Ok(entry);
        }
        self.remove(fd)?;
        Err(bad())
    }
    /// Takes `fd` out. The socket is closed, and the descriptor, when nobody uses it any more.
    pub(super) fn remove(&self, fd: RawFd) -> io::Result<Arc<Entry>> {
        self.lock().remove(&fd).ok_or_else(bad)
    }
    /// The entries, in the order of their numbers.
    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.lock().values().cloned().collect()
    }
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }
}

fn bad() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}
