//! What sockets are ready for, in poll(2)'s words, and being told when that changes.

use std::io;
use std::task::Waker;

use bitflags::bitflags;
use sockeye_stack::tcp::{State, TcpSocket};
use sockeye_stack::udp::UdpSocket;
use sockeye_stack::{Instant, SocketId, Stack};

use super::stack::StackSocket;
use super::{Back, Kind, Socket};
use crate::error::{errno, from_errno, io_error};

bitflags! {
    /// What a socket is ready for. The values are those of poll(2) and epoll(7) on Linux.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Ready: u16 {
        /// Data, a datagram, a connection to accept, or the end of the stream (POLLIN).
        const IN = 0x001;
        /// Urgent data lies ahead (POLLPRI).
        const PRI = 0x002;
        /// There is room to send, or nothing can be sent any more (POLLOUT).
        const OUT = 0x004;
        /// An error waits to be told (POLLERR).
        const ERR = 0x008;
        /// Both directions have ended, or there is no connection (POLLHUP).
        const HUP = 0x010;
        /// The peer has closed its side (POLLRDHUP).
        const RDHUP = 0x2000;
    }
}

impl Socket {
    /// What it is ready for at this moment. `waker` is woken once, at the next change of anything that could alter the
    /// answer; it may be woken for no reason.
    ///
    /// # Errors
    /// `Unsupported` for sockets that do not live on a stack's TCP or UDP: their descriptors poll.
    pub fn ready(&self, waker: Option<&Waker>) -> io::Result<Ready> {
        match &self.0.back {
            Back::Stack(socket) => socket.ready(waker),
            Back::Os(_) | Back::Local(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
    /// Its id in the stack, for those who look at a [`Host`](crate::Host)'s stack themselves. `None` for sockets that
    /// live elsewhere.
    pub fn stack_id(&self) -> Option<SocketId> {
        match &self.0.back {
            Back::Stack(socket) => Some(socket.id),
            Back::Os(_) | Back::Local(_) => None,
        }
    }
}

impl StackSocket {
    fn ready(&self, waker: Option<&Waker>) -> io::Result<Ready> {
        let (no_read, no_write) = self.shut();
        self.host.watched(self.id, waker, |stack, now| match self.kind {
            Kind::Stream => tcp(stack, now, self.id),
            Kind::Datagram => {
                let socket = stack.udp(now, self.id).map_err(io_error)?;
                Ok(udp(&socket, no_read, no_write))
            }
        })
    }
}

/// As Linux's tcp_poll.
fn tcp(stack: &mut Stack, now: Instant, id: SocketId) -> io::Result<Ready> {
    let mut socket = stack.tcp(now, id).map_err(|_| from_errno(errno::EBADF))?;
    let mut ready = Ready::empty();
    ready.set(Ready::ERR, socket.has_error());
    let state = socket.state();
    match state {
        State::Listen => ready.set(Ready::IN, socket.acceptable() > 0),
        State::SynSent | State::SynReceived => {}
        State::Closed if socket.peer_addr().is_none() && !socket.has_error() => {
            ready |= Ready::OUT | Ready::HUP;
        }
        State::Closed => ready |= Ready::IN | Ready::OUT | Ready::HUP | Ready::RDHUP,
        _ => {
            let ended = socket.at_end();
            let no_more = !matches!(state, State::Established | State::CloseWait);
            ready.set(Ready::IN, ended || socket.readable() > 0);
            ready.set(Ready::RDHUP, ended);
            ready.set(Ready::HUP, ended && no_more);
            ready.set(Ready::OUT, no_more || has_room(&mut socket));
            ready.set(Ready::PRI, socket.urgent_ahead().is_some());
        }
    }
    Ok(ready)
}

/// Whether there is room; if not, we want to hear of it.
fn has_room(socket: &mut TcpSocket<'_>) -> bool {
    socket.writable() > 0 || (!socket.has_error() && socket.send(&[]).is_ok())
}

fn udp(socket: &UdpSocket<'_>, no_read: bool, no_write: bool) -> Ready {
    let mut ready = Ready::OUT;
    ready.set(Ready::IN, socket.peek().is_ok() || no_read);
    ready.set(Ready::RDHUP, no_read);
    ready.set(Ready::HUP, no_read && no_write);
    ready.set(Ready::ERR, socket.has_error());
    ready
}
