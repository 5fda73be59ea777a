//! One socket of a host's AF_UNIX name space: what waits to be read from it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;

use super::message::{Ancillary, Flags, Message};
use super::pollable::Pollable;
use super::{Kind, UnixAddress};
use crate::error::{errno, from_errno};

/// Octets that wait to be read from one socket; a sender waits when there are as many. Linux's default buffer.
pub(super) const BUFFER: usize = 212_992;
/// Datagrams that wait at one socket (Linux: net.unix.max_dgram_qlen, 10, of which one more is admitted).
const DATAGRAMS: usize = 11;
/// Messages that wait in one stream. Small ones are joined, so that only descriptors make many.
const MESSAGES: usize = 4096;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: UnixAddress,
    /// The other end. It may be gone.
    pub(super) peer: Option<u64>,
    /// What it was called when we were connected.
    pub(super) peer_name: UnixAddress,
    pub(super) connected: bool,
    /// Connections that wait to be accepted, if it listens.
    pub(super) accepting: Option<(VecDeque<u64>, usize)>,
    pub(super) inbox: VecDeque<Packet>,
    pub(super) inbox_octets: usize,
    /// Nothing more comes: the peer has shut its side or is gone.
    pub(super) ended: bool,
    /// The peer went with data unread.
    pub(super) reset: bool,
    /// Nothing more is sent.
    pub(super) shut_write: bool,
    pub(super) readers: Vec<Waker>,
    pub(super) writers: Vec<Waker>,
    /// Sockets that found this one full.
    pub(super) blocked: Vec<u64>,
    pub(super) watch: Option<Arc<Pollable>>,
}

#[derive(Debug)]
pub(super) struct Packet {
    pub(super) octets: VecDeque<u8>,
    pub(super) from: UnixAddress,
    pub(super) rights: Vec<OwnedFd>,
}

impl Entry {
    pub(super) fn new(kind: Kind) -> Entry {
        Entry {
            kind,
            name: UnixAddress::Unnamed,
            peer: None,
            peer_name: UnixAddress::Unnamed,
            connected: false,
            accepting: None,
            inbox: VecDeque::new(),
            inbox_octets: 0,
            ended: false,
            reset: false,
            shut_write: false,
            readers: Vec::new(),
            writers: Vec::new(),
            blocked: Vec::new(),
            watch: None,
        }
    }
    /// Whether a message of `len` octets may come in.
    pub(super) fn has_room(&self, len: usize) -> bool {
        match self.kind {
            Kind::Stream => self.inbox_octets < BUFFER && self.inbox.len() < MESSAGES,
            Kind::Datagram => self.inbox.len() < DATAGRAMS && self.inbox_octets + len <= BUFFER,
        }
    }
    pub(super) fn is_readable(&self) -> bool {
        let waiting = self
            .accepting
            .as_ref()
            .is_some_and(|(queue, _)| !queue.is_empty());
        waiting || !self.inbox.is_empty() || self.ended || self.reset
    }
}

impl Entry {
    /// Whether it takes datagrams from `sender`: a connected one takes those of its peer only.
    pub(super) fn hears(&self, sender: u64) -> bool {
        !self.connected || self.peer == Some(sender)
    }
    /// Whether what is sent here can never be read.
    pub(super) fn reads_no_more(&self, kind: Kind) -> bool {
        // A stream whose reader has shut its side; `ended` alone may come from its peer's FIN, that is from us.
        kind == Kind::Datagram && self.ended
    }
    /// Puts octets into the inbox; how many.
    pub(super) fn take_in(&mut self, data: &[u8], from: UnixAddress, rights: Vec<OwnedFd>) -> usize {
        let n = match self.kind {
            Kind::Stream => data.len().min(BUFFER - self.inbox_octets),
            Kind::Datagram => data.len(),
        };
        self.inbox_octets += n;
        match self.inbox.back_mut() {
            Some(last) if self.kind == Kind::Stream && rights.is_empty() => last.octets.extend(&data[..n]),
            _ => self.inbox.push_back(Packet {
                octets: data[..n].iter().copied().collect(),
                from,
                rights,
            }),
        }
        n
    }
    pub(super) fn read_stream(
        &mut self,
        buf: &mut [u8],
        flags: Flags,
        message: &mut Message,
        all: bool,
    ) -> io::Result<()> {
        let peek = flags.contains(Flags::PEEK);
        let mut places = self.inbox.iter_mut();
        let start = if peek { 0 } else { message.len };
        let (mut done, mut gone) = (start, 0);
        while done < buf.len()
            && let Some(packet) = places.next()
        {
            if !packet.rights.is_empty() && !peek {
                if done > start {
                    break; // descriptors do not come with octets before them
                }
                message
                    .ancillary
                    .push(Ancillary::Rights(std::mem::take(&mut packet.rights)));
            }
            let n = packet.octets.len().min(buf.len() - done);
            for (to, from) in buf[done..done + n].iter_mut().zip(&packet.octets) {
                *to = *from;
            }
            done += n;
            if !peek {
                packet.octets.drain(..n);
                gone += usize::from(packet.octets.is_empty());
            }
        }
        self.inbox.drain(..gone);
        if !peek {
            self.inbox_octets -= done - start;
        }
        message.len = done;
        let waits = if all {
            done < buf.len()
        } else {
            done == 0 && !buf.is_empty()
        };
        if waits && !self.ended {
            if peek {
                message.len = 0;
            }
            return Err(from_errno(errno::EAGAIN));
        }
        Ok(())
    }
    pub(super) fn read_datagram(
        &mut self,
        buf: &mut [u8],
        flags: Flags,
        message: &mut Message,
    ) -> io::Result<()> {
        let Some(packet) = self.inbox.front_mut() else {
            return if self.ended {
                Ok(())
            } else {
                Err(from_errno(errno::EAGAIN))
            };
        };
        let whole = packet.octets.len();
        let n = whole.min(buf.len());
        for (to, from) in buf[..n].iter_mut().zip(&packet.octets) {
            *to = *from;
        }
        message.len = if flags.contains(Flags::TRUNC) { whole } else { n };
        message.flags.set(Flags::TRUNC, n < whole);
        if packet.from != UnixAddress::Unnamed {
            message.address = Some(packet.from.clone().into());
        }
        if !flags.contains(Flags::PEEK) {
            if !packet.rights.is_empty() {
                let rights = std::mem::take(&mut packet.rights);
                message.ancillary.push(Ancillary::Rights(rights));
            }
            self.inbox_octets -= whole;
            self.inbox.pop_front();
        }
        Ok(())
    }
}
