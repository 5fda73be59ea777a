//! A TCP socket, borrowed from its stack for one or more calls.

use bytes::Bytes;
use core::net::SocketAddr;

use super::conn::{Fact, FinIn, Phase, Tcb};
use super::recv::queue::ReceiveQueue;
use super::recv::{tune, window};
use super::send::buffer::SendBuffer;
use super::table::{Slot, Tcp};
use super::{State, TcpInfo, TcpOptions, urgent};
use crate::demux::{Entry, Kind};
use crate::error::{ConnectionError, RecvError, SendError};
use crate::frame::Payload;
use crate::pool::Pool;
use crate::stack::{Readiness, SocketId, Stack};
use crate::time::Instant;
use crate::trace::Tuple;

/// A TCP socket, borrowed from its stack for one or more calls. Nothing here blocks: what cannot be done now says so, and
/// an event tells when to try again.
#[derive(Debug)]
pub struct TcpSocket<'a> {
    stack: &'a mut Stack,
    now: Instant,
    id: SocketId,
}

impl<'a> TcpSocket<'a> {
    pub(crate) fn new(stack: &'a mut Stack, now: Instant, id: SocketId) -> Self {
        TcpSocket { stack, now, id }
    }

    fn slot(&self) -> Option<&Slot> {
        self.stack
            .tcp
            .tables
            .sockets
            .get(self.id.slot, self.id.generation)
    }
    fn block(&self) -> Option<&Tcb> {
        match self.slot()? {
            Slot::Open(tcb) => Some(tcb),
            _ => None,
        }
    }
    fn block_mut(&mut self) -> Option<(&mut Tcb, &mut Pool)> {
        let tcp = &mut self.stack.tcp;
        match tcp.tables.sockets.get_mut(self.id.slot, self.id.generation)? {
            Slot::Open(tcb) => Some((tcb, &mut tcp.pool)),
            _ => None,
        }
    }
    fn kick(&mut self) {
        self.stack.tcp.kick(Entry::new(Kind::Connection, self.id.slot));
    }

    /// The RFC's name for where the connection stands.
    pub fn state(&self) -> State {
        match self.slot() {
            Some(Slot::Listener(_)) => State::Listen,
            Some(Slot::SynSent(opening)) => opening.state(),
            Some(Slot::Open(tcb)) => tcb.state(),
            Some(Slot::Fresh(_)) | None => State::Closed,
        }
    }
    /// Our address, where bound.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self.slot()? {
            Slot::Fresh(fresh) => fresh.local,
            Slot::Listener(listener) => Some(listener.local),
            Slot::SynSent(opening) => Some(Tuple::from(opening.tuple).local),
            Slot::Open(tcb) => Some(Tuple::from(tcb.tuple).local),
        }
    }
    /// The peer's address, where connected or connecting.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self.slot()? {
            Slot::Fresh(_) | Slot::Listener(_) => None,
            Slot::SynSent(opening) => Some(Tuple::from(opening.tuple).remote),
            Slot::Open(tcb) => Some(Tuple::from(tcb.tuple).remote),
        }
    }

    /// Lets `append` put up to `len` octets into the send buffer, as many as fit, and returns how many; or why nothing can
    /// be sent.
    #[inline]
    fn queue(
        &mut self,
        len: usize,
        append: impl FnOnce(&mut SendBuffer, &mut Pool, usize),
    ) -> Result<usize, SendError> {
        let Tcp {
            tables, pool, ready, ..
        } = &mut self.stack.tcp;
        let slot = tables.sockets.get_mut(self.id.slot, self.id.generation);
        let Some(Slot::Open(tcb)) = slot else {
            return Err(not_open(slot).into());
        };
        let tcb = &mut **tcb;
        if !tcb.can_send() {
            return Err(sends_no_more(tcb));
        }
        let room = tcb.room();
        let n = len.min(room);
        if room == 0 {
            tcb.facts.insert(Fact::WANTS_ROOM);
            return Err(SendError::WouldBlock);
        }
        if n > 0 {
            let buffer = tcb.send.get_or_insert_with(|| pool.take_sender());
            append(buffer, pool, n);
            tcb.facts.set(Fact::WANTS_ROOM, n < len);
            if !tcb.facts.contains(Fact::QUEUED) {
                tcb.facts.insert(Fact::QUEUED);
                ready.push_back(Entry::new(Kind::Connection, self.id.slot));
            }
        }
        Ok(n)
    }
    /// Queues data for sending (SEND, RFC 9293 section 3.9.1.2); returns how many octets were taken, which may be fewer
    /// than given when the send buffer fills. Everything taken is pushed: it waits for nothing but windows and Nagle
    /// (MUST-60).
    ///
    /// # Errors
    /// [`SendError::WouldBlock`] when the buffer is full or the handshake is under way (WRITABLE tells when not),
    /// [`SendError::BrokenPipe`] after our side was closed, or the error that ended the connection, once.
    pub fn send(&mut self, data: &[u8]) -> Result<usize, SendError> {
        self.queue(data.len(), |buffer, pool, n| buffer.append(pool, &data[..n]))
    }
    /// As [`TcpSocket::send`], without a copy: the octets are shared until they are acknowledged.
    ///
    /// # Errors
    /// As [`TcpSocket::send`].
    pub fn send_bytes(&mut self, mut data: Bytes) -> Result<usize, SendError> {
        self.queue(data.len(), |buffer, _, n| {
            data.truncate(n);
            buffer.append_bytes(data);
        })
    }
    /// Queues data and marks its end as urgent (MUST-30, MUST-31).
    ///
    /// # Errors
    /// As [`TcpSocket::send`].
    pub fn send_urgent(&mut self, data: &[u8]) -> Result<usize, SendError> {
        let n = self.send(data)?;
        if n == data.len()
            && n > 0
            && let Some((tcb, _)) = self.block_mut()
        {
            urgent::mark_queued(tcb);
        }
        Ok(n)
    }

    /// Lets `take` have the receive queue and the number of octets that a read may go to, and returns what it made of them
    /// if there is something to read; `None` means the end of the stream. An emptied queue goes, the buffer may grow, and
    /// the peer is told of the room if it is worth a segment.
    #[inline]
    fn read<T>(
        &mut self,
        take: impl FnOnce(&mut ReceiveQueue, &mut Pool, usize) -> T,
    ) -> Result<Option<T>, RecvError> {
        let Tcp {
            tables, pool, ready, ..
        } = &mut self.stack.tcp;
        let slot = tables.sockets.get_mut(self.id.slot, self.id.generation);
        let Some(Slot::Open(tcb)) = slot else {
            return Err(not_open(slot).into());
        };
        let tcb = &mut **tcb;
        let most = urgent::clear_to_read(tcb, pool);
        let closed = tcb.facts.contains(Fact::NO_READ);
        let Some(queue) = tcb.receive.as_mut().filter(|q| !q.is_empty() && !closed) else {
            // Whatever came after the end is for who sends, or asks for it.
            if tcb.fin_in != FinIn::No {
                return Ok(None);
            }
            return nothing_to_read(tcb).map(|()| None);
        };
        let had = queue.len();
        let taken = take(queue, pool, most.min(had as usize));
        let n = had - queue.len();
        if n > 0 {
            if queue.is_empty()
                && let Some(empty) = tcb.receive.take()
            {
                pool.give_receiver(empty);
            }
            tune::on_read(tcb, self.now, n);
            if tcb.phase == Phase::Live && tcb.fin_in == FinIn::No && window::update_due(tcb) {
                tcb.facts.insert(Fact::UPDATE_OWED);
                if !tcb.facts.contains(Fact::QUEUED) {
                    tcb.facts.insert(Fact::QUEUED);
                    ready.push_back(Entry::new(Kind::Connection, self.id.slot));
                }
            }
        }
        Ok(Some(taken))
    }
    /// Reads into `out` (RECEIVE, RFC 9293 section 3.9.1.3); zero octets mean that the peer has closed its side, for ever.
    /// A read stops at an urgent mark.
    ///
    /// # Errors
    /// [`RecvError::WouldBlock`] when nothing has come yet (READABLE tells when), or the error that ended the connection,
    /// once, after everything that came before it was read. After the peer's FIN there is no error any more, but the end.
    pub fn recv(&mut self, out: &mut [u8]) -> Result<usize, RecvError> {
        let n = self.read(|queue, pool, most| {
            let end = out.len().min(most);
            queue.read(pool, &mut out[..end])
        })?;
        Ok(n.unwrap_or(0))
    }
    /// As [`TcpSocket::recv`], leaving the octets where they are.
    ///
    /// # Errors
    /// As [`TcpSocket::recv`].
    pub fn peek(&mut self, out: &mut [u8]) -> Result<usize, RecvError> {
        let n = self.read(|queue, _, most| {
            let end = out.len().min(most);
            queue.peek(&mut out[..end])
        })?;
        Ok(n.unwrap_or(0))
    }
    /// Takes up to `max` octets without a copy; an empty payload means the end of the stream.
    ///
    /// # Errors
    /// As [`TcpSocket::recv`].
    pub fn recv_bytes(&mut self, max: usize) -> Result<Payload, RecvError> {
        let taken = self.read(|queue, _, most| queue.take(most.min(max)))?;
        Ok(taken.unwrap_or_default())
    }
    /// The urgent octet, out of band (MSG_OOB), once.
    ///
    /// # Errors
    /// [`RecvError::NoUrgentData`] if none was announced, it was taken, or it stays in the stream;
    /// [`RecvError::WouldBlock`] if it was announced and has not come.
    pub fn recv_urgent(&mut self) -> Result<u8, RecvError> {
        let Some((tcb, _)) = self.block_mut() else {
            return Err(RecvError::NotConnected);
        };
        let announced = !tcb.switches.urgent_inline
            && tcb
                .urgent
                .as_ref()
                .is_some_and(|u| u.rcv_up.is_some() && !u.taken);
        match urgent::take(tcb) {
            Some(octet) => Ok(octet),
            None if announced => Err(RecvError::WouldBlock),
            None => Err(RecvError::NoUrgentData),
        }
    }
    /// Whether reading has come to the urgent mark (SIOCATMARK).
    pub fn at_urgent_mark(&self) -> bool {
        self.block()
            .is_some_and(|tcb| urgent::before_mark(tcb) == Some(0))
    }
    /// How many octets of urgent data lie ahead, at least (MUST-33); `None` outside urgent mode.
    pub fn urgent_ahead(&self) -> Option<u32> {
        self.block().and_then(urgent::before_mark).map(|n| n + 1)
    }
    /// Finished connections that wait on a listener to be accepted.
    pub fn acceptable(&self) -> usize {
        match self.slot() {
            Some(Slot::Listener(listener)) => listener.accept.len(),
            _ => 0,
        }
    }
    /// Octets that can be read.
    pub fn readable(&self) -> usize {
        self.block().map_or(0, Tcb::readable)
    }
    /// Whether the end of the stream has been received: after what is readable, reads return zero octets.
    pub fn peer_closed(&self) -> bool {
        self.block().is_some_and(|tcb| tcb.fin_in != FinIn::No)
    }
    /// Whether reading ends after what is readable: the peer has closed, the connection has ended, or we read no more.
    pub fn at_end(&self) -> bool {
        self.block().is_some_and(|tcb| {
            tcb.fin_in != FinIn::No || tcb.phase != Phase::Live || tcb.facts.contains(Fact::NO_READ)
        })
    }
    /// Octets that the send buffer takes now.
    pub fn writable(&self) -> usize {
        self.block().filter(|tcb| tcb.can_send()).map_or(0, Tcb::room)
    }
    /// Octets sent or queued and not acknowledged.
    pub fn unacked(&self) -> usize {
        self.block().map_or(0, |tcb| tcb.send_len() as usize)
    }
    /// Closes our side: a FIN follows what is queued, and reading goes on (half-close).
    ///
    /// # Errors
    /// [`SendError::NotConnected`] without a connection.
    pub fn shutdown_send(&mut self) -> Result<(), SendError> {
        if self.block().is_none() {
            return Err(SendError::NotConnected);
        }
        let (slot, now) = (self.id.slot, self.now);
        self.stack.with_tcp(now, |tcp, cx| tcp.shutdown_send(cx, slot));
        Ok(())
    }
    /// Reads no more: what is there and what comes is dropped, and acknowledged. Nothing is told to the peer.
    pub fn shutdown_recv(&mut self) {
        if let Some((tcb, pool)) = self.block_mut() {
            tcb.facts.insert(Fact::NO_READ);
            if let Some(mut queue) = tcb.receive.take() {
                let all = queue.len();
                queue.discard(pool, all);
            }
            tcb.pending |= Readiness::READABLE;
        }
        self.kick();
    }
    /// CLOSE (RFC 9293 section 3.9.1.4): releases the id at once; the connection sends what is queued and finishes by
    /// itself. With data unread, or linger zero, it is reset (SHLD-3).
    pub fn close(self) {
        let TcpSocket { stack, now, id } = self;
        stack.with_tcp(now, |tcp, cx| tcp.close(cx, id));
    }
    /// ABORT (RFC 9293 section 3.9.1.5): a reset to the peer, and the id is released.
    pub fn abort(self) {
        let TcpSocket { stack, now, id } = self;
        stack.with_tcp(now, |tcp, cx| tcp.abort(cx, id));
    }
    /// The error that ended the connection or the attempt, or else a soft error (SO_ERROR); each is told once.
    pub fn take_error(&mut self) -> Option<ConnectionError> {
        match self
            .stack
            .tcp
            .tables
            .sockets
            .get_mut(self.id.slot, self.id.generation)?
        {
            Slot::Fresh(fresh) => told(&mut fresh.error),
            Slot::Listener(_) => None,
            Slot::SynSent(opening) => opening.soft_error.take(),
            Slot::Open(tcb) => told(&mut tcb.error).or_else(|| tcb.soft_error.take()),
        }
    }
    /// Whether the error that ended the connection or the attempt has not been told yet.
    pub fn has_error(&self) -> bool {
        match self.slot() {
            Some(Slot::Fresh(fresh)) => fresh.error.is_some(),
            Some(Slot::Open(tcb)) => tcb.error.is_some(),
            None | Some(Slot::Listener(_) | Slot::SynSent(_)) => false,
        }
    }
    /// The options as they are now.
    pub fn options(&self) -> TcpOptions {
        match self.slot() {
            Some(Slot::Fresh(fresh)) => fresh.options,
            Some(Slot::Listener(listener)) => listener.options,
            Some(Slot::SynSent(opening)) => opening.options,
            Some(Slot::Open(tcb)) => tcb.options(),
            None => TcpOptions::default(),
        }
    }
    /// Changes options; on a connection they act from the next segment on. What a SYN has already told the peer (window
    /// scale) stays.
    pub fn set_options(&mut self, options: TcpOptions) {
        let config = self.stack.config.clone();
        match self
            .stack
            .tcp
            .tables
            .sockets
            .get_mut(self.id.slot, self.id.generation)
        {
            Some(Slot::Fresh(fresh)) => fresh.options = options,
            Some(Slot::Listener(listener)) => listener.options = options,
            Some(Slot::SynSent(opening)) => {
                // The port is counted with the flag that it was taken with.
                let reuse_address = opening.options.reuse_address;
                opening.options = TcpOptions {
                    reuse_address,
                    ..options
                };
                if let Some(limit) = opening.options.user_timeout {
                    opening.retry_at = opening.retry_at.min(opening.started + limit).max(self.now);
                }
            }
            Some(Slot::Open(tcb)) => {
                tcb.set_options(&options, &config);
                if tcb.phase == Phase::Live && tcb.fin_in == FinIn::No && window::update_due(tcb) {
                    tcb.facts.insert(Fact::UPDATE_OWED); // a larger buffer is news for the peer
                }
            }
            None => {}
        }
        self.kick();
    }
    /// What is known of the connection (TCP_INFO). `None` before it was established.
    pub fn info(&self) -> Option<TcpInfo> {
        self.block().map(|tcb| tcb.info(&self.stack.config))
    }
}

/// Takes the error that ended a connection, or the attempt: each is told once, but for one that lasts.
fn told(error: &mut Option<ConnectionError>) -> Option<ConnectionError> {
    match *error {
        Some(ConnectionError::NetworkDown) => *error,
        _ => error.take(),
    }
}

/// Why a connection takes nothing to send any more.
#[cold]
#[inline(never)]
fn sends_no_more(tcb: &mut Tcb) -> SendError {
    told(&mut tcb.error).map_or(SendError::BrokenPipe, SendError::from)
}

/// What a socket without a connection says of sending and reading.
#[cold]
fn not_open(slot: Option<&mut Slot>) -> Refusal {
    match slot {
        None => Refusal::Stale,
        Some(Slot::Fresh(fresh)) => told(&mut fresh.error).map_or(Refusal::NotConnected, Refusal::Connection),
        Some(Slot::Listener(_)) => Refusal::NotConnected,
        Some(Slot::SynSent(_) | Slot::Open(_)) => Refusal::Opening,
    }
}

/// Why a socket without a connection neither sends nor reads.
enum Refusal {
    Stale,
    NotConnected,
    Opening,
    Connection(ConnectionError),
}

impl From<Refusal> for SendError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Stale => SendError::Stale,
            Refusal::NotConnected => SendError::NotConnected,
            Refusal::Opening => SendError::WouldBlock,
            Refusal::Connection(error) => error.into(),
        }
    }
}

impl From<Refusal> for RecvError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Stale => RecvError::Stale,
            Refusal::NotConnected => RecvError::NotConnected,
            Refusal::Opening => RecvError::WouldBlock,
            Refusal::Connection(error) => error.into(),
        }
    }
}

/// A connection with nothing to read whose peer has sent no FIN: its stream has ended all the same, or it says why, once.
#[cold]
fn nothing_to_read(tcb: &mut Tcb) -> Result<(), RecvError> {
    if let Some(error) = told(&mut tcb.error) {
        return Err(error.into());
    }
    if tcb.phase != Phase::Live || tcb.facts.contains(Fact::NO_READ) {
        Ok(())
    } else {
        Err(RecvError::WouldBlock)
    }
}
