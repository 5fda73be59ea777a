//! Sets of descriptors that are waited for together: epoll.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use super::poll::{Events, ready};
use super::table::Entry;

/// What is done to a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// EPOLL_CTL_ADD.
    Add,
    /// EPOLL_CTL_MOD.
    Modify,
    /// EPOLL_CTL_DEL.
    Remove,
}

/// A descriptor's part in a set, or what came of it: `struct epoll_event`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Interest {
    /// EPOLLIN and the like, with EPOLLET and EPOLLONESHOT.
    pub events: u32,
    /// The program's own number.
    pub data: u64,
}

const ONE_SHOT: u32 = libc::EPOLLONESHOT as u32;
const EDGE: u32 = libc::EPOLLET as u32;
/// What is not an event but a way to tell it.
const WAYS: u32 = ONE_SHOT | EDGE | libc::EPOLLWAKEUP as u32 | libc::EPOLLEXCLUSIVE as u32;

/// A set.
#[derive(Debug, Default)]
pub(super) struct Epoll(Mutex<Members>);

#[derive(Debug, Default)]
struct Members {
    all: BTreeMap<RawFd, Member>,
    /// The descriptor that was told last: the next is told first, so that all have their turn.
    last: RawFd,
}

#[derive(Debug)]
struct Member {
    entry: Arc<Entry>,
    interest: Interest,
    /// Something has happened since it was last told.
    edge: Arc<Edge>,
    /// Octets that had come when it was last told: the stack tells of those alone that come when there were none.
    told: u64,
}

/// Wakes when anything changes at a descriptor that is told by its edges.
#[derive(Debug)]
struct Edge {
    seen: AtomicBool,
}
impl Wake for Edge {
    fn wake(self: Arc<Self>) {
        self.seen.store(true, Ordering::Relaxed);
    }
}

impl Epoll {
    fn lock(&self) -> MutexGuard<'_, Members> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn change(
        &self,
        change: Change,
        fd: RawFd,
        entry: Arc<Entry>,
        interest: Option<Interest>,
    ) -> io::Result<()> {
        let error = |number| Err(io::Error::from_raw_os_error(number));
        let mut members = self.lock();
        let there = members.all.contains_key(&fd);
        match (change, interest) {
            (Change::Add, _) if there => error(libc::EEXIST),
            (Change::Modify | Change::Remove, _) if !there => error(libc::ENOENT),
            (Change::Remove, _) => {
                members.all.remove(&fd);
                Ok(())
            }
            (_, None) => error(libc::EFAULT),
            (_, Some(interest)) => {
                let edge = Arc::new(Edge {
                    seen: AtomicBool::new(true),
                });
                let member = Member {
                    entry,
                    interest,
                    edge,
                    told: 0,
                };
                members.all.insert(fd, member);
                Ok(())
            }
        }
    }
    /// A descriptor was closed.
    pub(super) fn forget(&self, fd: RawFd) {
        self.lock().all.remove(&fd);
    }
    /// Whether a descriptor is told by its edges.
    pub(super) fn has_edges(&self) -> bool {
        self.lock()
            .all
            .values()
            .any(|member| member.interest.events & EDGE != 0)
    }
    /// Whether anything would be told; the waker hears of changes.
    pub(super) fn has_any(&self, waker: Option<&Waker>) -> bool {
        let members = self.lock();
        let mut any = false;
        for member in members.all.values() {
            any |= member.look(waker).is_some();
        }
        any
    }
    /// What there is to tell, at most so many; the waker hears of changes.
    pub(super) fn collect(&self, most: usize, waker: Option<&Waker>) -> Vec<Interest> {
        let mut members = self.lock();
        let last = members.last;
        let after = members.all.keys().copied().filter(|fd| *fd > last);
        let before = members.all.keys().copied().filter(|fd| *fd <= last);
        let order: Vec<RawFd> = after.chain(before).collect();
        let mut told = Vec::new();
        for fd in order {
            let Some(member) = members.all.get_mut(&fd) else {
                continue;
            };
            let Some(events) = member.look(waker) else {
                continue;
            };
            if told.len() == most {
                break;
            }
            member.told();
            told.push(Interest {
                events,
                data: member.interest.data,
            });
            members.last = fd;
        }
        told
    }
}

impl Member {
    /// What is to be told of it, if anything. Nothing is taken for told yet.
    fn look(&self, waker: Option<&Waker>) -> Option<u32> {
        let Interest { events, .. } = self.interest;
        if events & !WAYS == 0 {
            return None; // told once, and not asked again
        }
        let edge = events & EDGE != 0;
        let mut seen = true;
        if edge {
            // Taken before the look, so that what comes after it counts.
            seen = self.edge.seen.swap(false, Ordering::Relaxed);
            let listener = Waker::from(self.edge.clone());
            let _ = ready(&self.entry, Some(&listener));
            seen |= received(&self.entry) != self.told;
        }
        let now = ready(&self.entry, waker).epoll();
        let always = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
        let found = now & (events | always);
        if edge && seen {
            // Not told yet: `told` takes it back.
            self.edge.seen.store(true, Ordering::Relaxed);
        }
        (seen && found != 0).then_some(found)
    }
    fn told(&mut self) {
        self.edge.seen.store(false, Ordering::Relaxed);
        self.told = received(&self.entry);
        if self.interest.events & ONE_SHOT != 0 {
            self.interest.events &= WAYS;
        }
    }
}

/// Octets that have come over a connection.
fn received(entry: &Entry) -> u64 {
    let Ok(socket) = entry.socket() else { return 0 };
    let (Some(host), Some(id)) = (socket.net().host(), socket.stack_id()) else {
        return 0;
    };
    let mut stack = host.lock();
    let info = stack.tcp(host.now(), id).ok().and_then(|tcp| tcp.info());
    info.map_or(0, |info| info.bytes_received)
}

impl Events {
    /// As epoll has it: its bits are poll's.
    fn epoll(self) -> u32 {
        self.bits().into()
    }
}
