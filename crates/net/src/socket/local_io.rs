//! Data through AF_UNIX on a stack: each call once for a thread that waits, and as one attempt for a task.

use std::io;
use std::os::fd::OwnedFd;
use std::task::Waker;

use super::local::LocalSocket;
use super::local_entry::BUFFER;
use super::message::{Ancillary, Flags, Message};
use super::wait::{Wait, block};
use super::{Address, Kind, UnixAddress};
use crate::error::{errno, from_errno};

/// What is sent, and how much of it has gone.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    data: &'a [u8],
    /// Descriptors, which go with the first octet.
    rights: Vec<OwnedFd>,
    to: Option<&'a UnixAddress>,
    /// On to the end, however often it has to wait.
    all: bool,
    done: usize,
}

impl<'a> Outgoing<'a> {
    /// As much of `data` as there is room for now; a datagram whole.
    pub(crate) fn once(data: &'a [u8], to: Option<&'a UnixAddress>) -> Outgoing<'a> {
        Outgoing {
            data,
            rights: Vec::new(),
            to,
            all: false,
            done: 0,
        }
    }
}

impl LocalSocket {
    pub(super) fn receive(&self, buf: &mut [u8], flags: Flags, wait: Wait) -> io::Result<Message> {
        let all = self.kind == Kind::Stream
            && flags.contains(Flags::WAITALL)
            && matches!(wait, Wait::Forever | Wait::OptionUntil(_));
        let mut message = Message::nothing();
        let result = block(self.pace(), wait, |waker| {
            self.try_receive(buf, flags, all, &mut message, waker)
        });
        match result {
            Err(error) if message.len == 0 => Err(error),
            _ => Ok(message),
        }
    }
    /// One attempt, which adds to `message`; `waker` waits for more.
    pub(crate) fn try_receive(
        &self,
        buf: &mut [u8],
        flags: Flags,
        all: bool,
        message: &mut Message,
        waker: Option<&Waker>,
    ) -> io::Result<()> {
        if flags.contains(Flags::OOB) {
            return Err(from_errno(errno::EOPNOTSUPP));
        }
        let stream = self.kind == Kind::Stream;
        self.attempt(waker, false, |sockets, id, woken| {
            let entry = sockets.entry(id)?;
            if stream && !entry.connected {
                return Err(from_errno(errno::EINVAL));
            }
            if entry.inbox.is_empty() && entry.reset {
                entry.reset = false;
                return Err(from_errno(errno::ECONNRESET));
            }
            let result = if stream {
                entry.read_stream(buf, flags, message, all)
            } else {
                entry.read_datagram(buf, flags, message)
            };
            if !flags.contains(Flags::PEEK) {
                // Whoever sends to us may go on.
                for sender in std::mem::take(&mut entry.blocked) {
                    sockets.touch(sender, woken);
                }
            }
            result
        })
    }
    /// Sends; descriptors go with the first octet.
    pub(super) fn send(
        &self,
        data: &[u8],
        mut ancillary: Vec<Ancillary>,
        to: Option<&Address>,
        wait: Wait,
    ) -> io::Result<usize> {
        let mut out = Outgoing::once(data, to.map(Address::unix).transpose()?);
        out.all = matches!(wait, Wait::Forever | Wait::OptionUntil(_));
        for item in &mut ancillary {
            match item {
                Ancillary::Rights(given) => out.rights.append(given),
                _ => return Err(from_errno(errno::EINVAL)),
            }
        }
        let result = block(self.pace(), wait, |waker| self.try_send(&mut out, waker));
        match result {
            Err(error) if out.done == 0 => Err(error),
            _ => Ok(out.done),
        }
    }
    /// One attempt: how much has gone in all. `waker` waits for room.
    pub(crate) fn try_send(&self, out: &mut Outgoing<'_>, waker: Option<&Waker>) -> io::Result<usize> {
        self.attempt(waker, true, |sockets, id, woken| {
            let entry = sockets.entry(id)?;
            let (kind, from) = (entry.kind, entry.name.clone());
            if entry.shut_write {
                return Err(from_errno(errno::EPIPE));
            }
            let target = match (kind, out.to) {
                (Kind::Datagram, Some(to)) => sockets.find(to, Kind::Datagram)?,
                (Kind::Stream, Some(_)) if !entry.connected => return Err(from_errno(errno::EOPNOTSUPP)),
                (_, _) if entry.connected => entry.peer.unwrap_or(0),
                (_, _) => return Err(from_errno(errno::ENOTCONN)),
            };
            let Some(receiver) = sockets.sockets.get_mut(&target) else {
                return Err(from_errno(match kind {
                    Kind::Stream => errno::EPIPE,
                    Kind::Datagram => errno::ECONNREFUSED,
                }));
            };
            if kind == Kind::Datagram && !receiver.hears(id) {
                return Err(from_errno(errno::EPERM));
            }
            if kind == Kind::Datagram && out.data.len() > BUFFER {
                return Err(from_errno(errno::EMSGSIZE));
            }
            if receiver.reads_no_more(kind) {
                return Err(from_errno(errno::EPIPE));
            }
            if kind == Kind::Stream && out.data.is_empty() {
                return Ok(0);
            }
            if receiver.has_room(out.data.len()) {
                out.done += receiver.take_in(&out.data[out.done..], from, std::mem::take(&mut out.rights));
                if out.done == out.data.len() || !out.all {
                    sockets.touch(target, woken);
                    return Ok(out.done);
                }
            }
            if !receiver.blocked.contains(&id) {
                receiver.blocked.push(id);
            }
            sockets.touch(target, woken);
            Err(from_errno(errno::EAGAIN))
        })
    }
    /// Whether reading would not wait; otherwise `waker` waits.
    pub(crate) fn try_readable(&self, waker: Option<&Waker>) -> io::Result<()> {
        self.attempt(waker, false, |sockets, id, _| {
            match sockets.entry(id)?.is_readable() {
                true => Ok(()),
                false => Err(from_errno(errno::EAGAIN)),
            }
        })
    }
    /// Whether writing would not wait; otherwise `waker` waits.
    pub(crate) fn try_writable(&self, waker: Option<&Waker>) -> io::Result<()> {
        self.attempt(waker, true, |sockets, id, _| {
            if sockets.is_writable(id) {
                return Ok(());
            }
            let peer = sockets.entry(id)?.peer;
            if let Some(peer) = peer.and_then(|peer| sockets.sockets.get_mut(&peer))
                && !peer.blocked.contains(&id)
            {
                peer.blocked.push(id);
            }
            Err(from_errno(errno::EAGAIN))
        })
    }
}
