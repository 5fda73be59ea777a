//! AF_UNIX on a stack: streams and datagrams between programs of one host, through a name space of that host.
//!
//! A name is gone with its socket. (On the operating system a path stays in the file system until it is removed.)

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use super::local_entry::{BUFFER, Entry, Packet};
use super::option::{SockOpt, Value};
use super::pollable::{Level, Pollable};
use super::wait::{Pace, Wait, block};
use super::{Address, Kind, Shutdown, UnixAddress};
use crate::error::{errno, from_errno};

/// The AF_UNIX sockets of a host.
#[derive(Clone, Debug)]
pub(crate) struct Space(Arc<Mutex<Sockets>>, Pace);

#[derive(Default, Debug)]
pub(super) struct Sockets {
    next: u64,
    /// By name and, for abstract ones, by kind: streams and datagrams share only the file system.
    names: BTreeMap<(UnixAddress, bool), u64>,
    pub(super) sockets: BTreeMap<u64, Entry>,
}

/// Where a name stands in the table.
fn key(name: &UnixAddress, kind: Kind) -> (UnixAddress, bool) {
    let apart = matches!(name, UnixAddress::Abstract(_)) && kind == Kind::Stream;
    (name.clone(), apart)
}

/// Who is to be woken, after the lock is dropped.
pub(super) type Woken = Vec<Waker>;

impl Sockets {
    fn add(&mut self, entry: Entry) -> u64 {
        self.next += 1;
        self.sockets.insert(self.next, entry);
        self.next
    }
    pub(super) fn entry(&mut self, id: u64) -> io::Result<&mut Entry> {
        self.sockets.get_mut(&id).ok_or_else(|| from_errno(errno::EBADF))
    }
    /// Something changed at `id`: its waiters look again, and its descriptor is brought in step.
    pub(super) fn touch(&mut self, id: u64, woken: &mut Woken) {
        if let Some(entry) = self.sockets.get_mut(&id) {
            woken.append(&mut entry.readers);
            woken.append(&mut entry.writers);
        }
        self.sync(id);
    }
    /// Brings a descriptor in step.
    fn sync(&mut self, id: u64) {
        let writable = self.is_writable(id);
        let Some(entry) = self.sockets.get(&id) else {
            return;
        };
        let Some(watch) = &entry.watch else { return };
        watch.set(Level {
            readable: entry.is_readable(),
            writable,
        });
        // Whoever polls for room hears of it, whether or not it has tried to send.
        if !writable
            && let Some(peer) = entry.peer
            && let Some(peer) = self.sockets.get_mut(&peer)
            && !peer.blocked.contains(&id)
        {
            peer.blocked.push(id);
        }
    }
    pub(super) fn is_writable(&self, id: u64) -> bool {
        let Some(entry) = self.sockets.get(&id) else {
            return true;
        };
        match entry.peer.and_then(|peer| self.sockets.get(&peer)) {
            Some(peer) => entry.shut_write || peer.has_room(1),
            None => entry.accepting.is_none(),
        }
    }
    fn pair(&mut self, kind: Kind) -> (u64, u64) {
        let (a, b) = (self.add(Entry::new(kind)), self.add(Entry::new(kind)));
        for (one, other) in [(a, b), (b, a)] {
            if let Some(entry) = self.sockets.get_mut(&one) {
                entry.peer = Some(other);
                entry.connected = true;
            }
        }
        (a, b)
    }
    /// Who has the name, with the refusals of Linux.
    pub(super) fn find(&self, name: &UnixAddress, kind: Kind) -> io::Result<u64> {
        let missing = match name {
            UnixAddress::Unnamed => errno::EINVAL,
            UnixAddress::Path(_) => errno::ENOENT,
            UnixAddress::Abstract(_) => errno::ECONNREFUSED,
        };
        let id = *self
            .names
            .get(&key(name, kind))
            .ok_or_else(|| from_errno(missing))?;
        match self.sockets.get(&id) {
            Some(entry) if entry.kind == kind => Ok(id),
            Some(_) => Err(from_errno(errno::EPROTOTYPE)),
            None => Err(from_errno(errno::ECONNREFUSED)),
        }
    }
    /// Lets a socket go: its name, its peer's end of stream, and the connections that nobody accepted.
    fn remove(&mut self, id: u64, woken: &mut Woken) {
        let Some(entry) = self.sockets.remove(&id) else {
            return;
        };
        let place = key(&entry.name, entry.kind);
        if self.names.get(&place) == Some(&id) {
            self.names.remove(&place);
        }
        if let Some(peer) = entry.peer {
            if entry.kind == Kind::Stream
                && let Some(other) = self.sockets.get_mut(&peer)
            {
                other.ended = true;
                other.reset |= !entry.inbox.is_empty();
            }
            self.touch(peer, woken);
        }
        for sender in entry.blocked {
            self.touch(sender, woken);
        }
        woken.extend(entry.readers);
        woken.extend(entry.writers);
        for waiting in entry.accepting.map(|(queue, _)| queue).unwrap_or_default() {
            if let Some(never) = self.sockets.get_mut(&waiting) {
                // The client is reset, as by a socket that goes with data unread.
                never.inbox.push_back(Packet {
                    octets: VecDeque::new(),
                    from: UnixAddress::Unnamed,
                    rights: Vec::new(),
                });
            }
            self.remove(waiting, woken);
        }
    }
}

/// One socket of a name space, owned.
#[derive(Debug)]
pub(crate) struct LocalSocket {
    space: Space,
    id: u64,
    pub(super) kind: Kind,
    watch: OnceLock<Arc<Pollable>>,
}

impl LocalSocket {
    pub(crate) fn new(space: &Space, kind: Kind) -> LocalSocket {
        let id = space.lock().add(Entry::new(kind));
        LocalSocket::from_id(space, id, kind)
    }
    pub(crate) fn pair(space: &Space, kind: Kind) -> (LocalSocket, LocalSocket) {
        let (a, b) = space.lock().pair(kind);
        (
            LocalSocket::from_id(space, a, kind),
            LocalSocket::from_id(space, b, kind),
        )
    }
    fn from_id(space: &Space, id: u64, kind: Kind) -> LocalSocket {
        LocalSocket {
            space: space.clone(),
            id,
            kind,
            watch: OnceLock::new(),
        }
    }
    /// By which time its calls wait.
    pub(super) fn pace(&self) -> &Pace {
        &self.space.1
    }
    /// Runs `op` under the lock and wakes afterwards. Where it says "would block" and there is a waker, that waits in
    /// our list for reading or writing; who makes room or brings data touches us.
    pub(super) fn attempt<R>(
        &self,
        waker: Option<&Waker>,
        write: bool,
        op: impl FnOnce(&mut Sockets, u64, &mut Woken) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut woken = Vec::new();
        let mut sockets = self.space.lock();
        let result = op(&mut sockets, self.id, &mut woken);
        if let (Some(waker), Err(error)) = (waker, &result)
            && error.kind() == io::ErrorKind::WouldBlock
        {
            let entry = sockets.entry(self.id)?;
            let list = if write {
                &mut entry.writers
            } else {
                &mut entry.readers
            };
            if !list.iter().any(|w| w.will_wake(waker)) {
                list.push(waker.clone());
            }
        }
        sockets.sync(self.id);
        drop(sockets);
        woken.into_iter().for_each(Waker::wake);
        result
    }

    pub(crate) fn bind(&self, address: &Address) -> io::Result<()> {
        let name = address.unix()?.clone();
        self.attempt(None, false, |sockets, id, _| {
            if name == UnixAddress::Unnamed || sockets.entry(id)?.name != UnixAddress::Unnamed {
                return Err(from_errno(errno::EINVAL));
            }
            let place = key(&name, sockets.entry(id)?.kind);
            if sockets.names.contains_key(&place) {
                return Err(from_errno(errno::EADDRINUSE));
            }
            sockets.names.insert(place, id);
            sockets.entry(id)?.name = name;
            Ok(())
        })
    }
    pub(crate) fn listen(&self, backlog: u32) -> io::Result<()> {
        self.attempt(None, false, |sockets, id, _| {
            let entry = sockets.entry(id)?;
            if entry.kind != Kind::Stream {
                return Err(from_errno(errno::EOPNOTSUPP));
            }
            if entry.connected || entry.name == UnixAddress::Unnamed {
                return Err(from_errno(errno::EINVAL));
            }
            let queue = entry.accepting.take().map(|(queue, _)| queue).unwrap_or_default();
            entry.accepting = Some((queue, backlog as usize));
            Ok(())
        })
    }
    pub(super) fn accept(&self, wait: Wait) -> io::Result<(LocalSocket, Address)> {
        block(self.pace(), wait, |waker| {
            let (socket, peer) = self.try_accept(waker)?;
            Ok((socket, peer.into()))
        })
    }
    /// One attempt; `waker` waits for the next connection.
    pub(crate) fn try_accept(&self, waker: Option<&Waker>) -> io::Result<(LocalSocket, UnixAddress)> {
        self.attempt(waker, false, |sockets, id, woken| {
            let entry = sockets.entry(id)?;
            if entry.kind != Kind::Stream {
                return Err(from_errno(errno::EOPNOTSUPP));
            }
            let (queue, _) = entry
                .accepting
                .as_mut()
                .ok_or_else(|| from_errno(errno::EINVAL))?;
            let accepted = queue.pop_front().ok_or_else(|| from_errno(errno::EAGAIN))?;
            // Those who wait to connect.
            sockets.touch(id, woken);
            let peer = sockets.entry(accepted)?.peer_name.clone();
            let socket = LocalSocket::from_id(&self.space, accepted, Kind::Stream);
            Ok((socket, peer))
        })
    }
    pub(super) fn connect(&self, address: &Address, wait: Wait) -> io::Result<()> {
        let name = address.unix()?;
        block(self.pace(), wait, |waker| self.try_connect(name, waker))
    }
    /// One attempt; `waker` waits for room in the listener's queue.
    pub(crate) fn try_connect(&self, name: &UnixAddress, waker: Option<&Waker>) -> io::Result<()> {
        if self.kind == Kind::Datagram {
            return self.attempt(None, false, |sockets, id, _| {
                let target = sockets.find(name, Kind::Datagram)?;
                if !sockets.entry(target)?.hears(id) {
                    return Err(from_errno(errno::EPERM));
                }
                let entry = sockets.entry(id)?;
                (entry.peer, entry.connected) = (Some(target), true);
                entry.peer_name = name.clone();
                Ok(())
            });
        }
        self.attempt(None, true, |sockets, id, woken| {
            let own = sockets.entry(id)?;
            if own.connected {
                return Err(from_errno(errno::EISCONN));
            }
            if own.accepting.is_some() {
                return Err(from_errno(errno::EINVAL));
            }
            let own_name = own.name.clone();
            let target = sockets.find(name, Kind::Stream)?;
            let entry = sockets.entry(target)?;
            let Some((queue, backlog)) = &entry.accepting else {
                return Err(from_errno(errno::ECONNREFUSED));
            };
            if queue.len() > *backlog {
                if let Some(waker) = waker
                    && !entry.writers.iter().any(|w| w.will_wake(waker))
                {
                    entry.writers.push(waker.clone());
                }
                return Err(from_errno(errno::EAGAIN));
            }
            let listener_name = entry.name.clone();
            let accepted = sockets.add(Entry {
                name: listener_name.clone(),
                peer: Some(id),
                peer_name: own_name,
                connected: true,
                ..Entry::new(Kind::Stream)
            });
            let own = sockets.entry(id)?;
            own.peer = Some(accepted);
            own.peer_name = listener_name;
            own.connected = true;
            if let Some((queue, _)) = &mut sockets.entry(target)?.accepting {
                queue.push_back(accepted);
            }
            sockets.touch(target, woken);
            sockets.touch(id, woken);
            Ok(())
        })
    }
    pub(super) fn disconnect(&self) -> io::Result<()> {
        self.attempt(None, false, |sockets, id, _| {
            let entry = sockets.entry(id)?;
            if entry.kind == Kind::Stream {
                return Err(from_errno(errno::EOPNOTSUPP));
            }
            (entry.peer, entry.connected) = (None, false);
            Ok(())
        })
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.attempt(None, false, |sockets, id, woken| {
            let entry = sockets.entry(id)?;
            if !entry.connected {
                return Err(from_errno(errno::ENOTCONN));
            }
            let (stream, peer) = (entry.kind == Kind::Stream, entry.peer);
            if how != Shutdown::Write {
                entry.ended = true;
            }
            if how != Shutdown::Read {
                entry.shut_write = true;
                if stream
                    && let Some(peer) = peer
                    && let Some(other) = sockets.sockets.get_mut(&peer)
                {
                    other.ended = true;
                    sockets.touch(peer, woken);
                }
            }
            sockets.touch(id, woken);
            Ok(())
        })
    }
    pub(crate) fn name(&self) -> io::Result<UnixAddress> {
        Ok(self.space.lock().entry(self.id)?.name.clone())
    }
    pub(crate) fn peer_name(&self) -> io::Result<UnixAddress> {
        let mut sockets = self.space.lock();
        let entry = sockets.entry(self.id)?;
        if !entry.connected {
            return Err(from_errno(errno::ENOTCONN));
        }
        Ok(entry.peer_name.clone())
    }
    pub(super) fn set_option(&self, option: SockOpt, value: &Value) -> io::Result<()> {
        match option {
            // They are allowed and do nothing here.
            SockOpt::ReuseAddr | SockOpt::SendBuffer | SockOpt::ReceiveBuffer | SockOpt::KeepAlive => {
                value.int().map(|_| ())
            }
            _ => Err(from_errno(if option.numbers().0 == 1 {
                errno::ENOPROTOOPT
            } else {
                errno::EOPNOTSUPP
            })),
        }
    }
    pub(super) fn option(&self, option: SockOpt) -> io::Result<Value> {
        let mut sockets = self.space.lock();
        Ok(match option {
            SockOpt::Type => Value::Int(self.kind.number()),
            SockOpt::Domain => Value::Int(super::Family::Unix.number()),
            SockOpt::Protocol | SockOpt::Error => Value::Int(0),
            SockOpt::AcceptConn => sockets.entry(self.id)?.accepting.is_some().into(),
            SockOpt::SendBuffer | SockOpt::ReceiveBuffer => (BUFFER as u32).into(),
            SockOpt::ReuseAddr | SockOpt::KeepAlive => false.into(),
            _ if option.numbers().0 == 1 => return Err(from_errno(errno::ENOPROTOOPT)),
            _ => return Err(from_errno(errno::EOPNOTSUPP)),
        })
    }
    /// The descriptor that polls, made when first asked for.
    pub(super) fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        if self.watch.get().is_none() {
            let made = Arc::new(Pollable::new()?);
            if self.watch.set(made.clone()).is_ok() {
                self.attempt(None, false, |sockets, id, _| {
                    sockets.entry(id)?.watch = Some(made);
                    Ok(())
                })?;
            }
        }
        let watch = self.watch.get().ok_or_else(|| from_errno(errno::EBADF))?;
        Ok(watch.descriptor())
    }
}

impl Space {
    /// An empty one, whose threads wait by `pace`.
    pub(crate) fn new(pace: Pace) -> Space {
        Space(Arc::default(), pace)
    }
    fn lock(&self) -> MutexGuard<'_, Sockets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        let mut woken = Vec::new();
        let mut sockets = self.space.lock();
        sockets.remove(self.id, &mut woken);
        drop(sockets);
        woken.into_iter().for_each(Waker::wake);
    }
}
