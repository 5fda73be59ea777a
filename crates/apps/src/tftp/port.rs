//! A transfer's line to its peer: a socket of its own, or a share of the server's.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sockeye_net::{Batch, BatchSocket};
use sockeye_stack::time::Instant;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::packet::{self, ErrorCode};
#[cfg(target_os = "linux")]
use super::watch::Watch;

/// The time since a point, which the machines take. Follows tokio's clock, so it stands still where that is paused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(tokio::time::Instant);
impl Clock {
    pub(super) fn new() -> Clock {
        Clock(tokio::time::Instant::now())
    }
    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(self.0.elapsed().as_nanos() as u64)
    }
    fn at(&self, time: Instant) -> tokio::time::Instant {
        self.0 + std::time::Duration::from_nanos(time.as_nanos())
    }
}

/// Where datagrams come from.
#[derive(Debug)]
pub(super) enum Line {
    /// A socket of its own: its port is the transfer's TID.
    Own(BatchSocket),
    /// The same, in an event loop for such sockets.
    #[cfg(target_os = "linux")]
    Lane(Arc<BatchSocket>),
    /// The same, on a thread of its own: waiting blocks it, for about so long at a time.
    #[cfg(target_os = "linux")]
    Seat {
        socket: Arc<BatchSocket>,
        within: Duration,
        watch: Watch,
    },
    /// The server's: the peer's datagrams come by the inbox, and others never.
    Shared {
        socket: Arc<BatchSocket>,
        inbox: mpsc::Receiver<Box<[u8]>>,
        /// The address that was asked, from which answers go.
        from: Option<IpAddr>,
    },
}

/// What ended a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Woken {
    /// A datagram of so many octets is in the buffer.
    Datagram(usize, SocketAddr),
    /// The deadline, or a little before: ask the machine.
    Time,
}

/// The line and who is at its other end.
#[derive(Debug)]
pub(super) struct Port {
    line: Line,
    peer: SocketAddr,
    batch: Batch,
    copies: u8,
    /// Whether a datagram may be there already. Then the socket is asked before it is waited for.
    look: bool,
}

impl Line {
    fn socket(&self) -> &BatchSocket {
        match self {
            Line::Own(socket) => socket,
            #[cfg(target_os = "linux")]
            Line::Lane(socket) | Line::Seat { socket, .. } => socket,
            Line::Shared { socket, .. } => socket,
        }
    }
    /// The address to send from, where the socket does not tell.
    fn from(&self) -> Option<IpAddr> {
        match self {
            Line::Shared { from, .. } => *from,
            _ => None,
        }
    }
}

/// The longest that a thread waits for one datagram, so that it sees when it is to end.
#[cfg(target_os = "linux")]
const PATIENCE: Duration = Duration::from_millis(50);

impl Port {
    pub(super) fn new(line: Line, peer: SocketAddr, duplicates: u8) -> Port {
        Port {
            line,
            peer,
            batch: Batch::default(),
            copies: duplicates.min(3) + 1,
            look: true,
        }
    }
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }
    /// The peer, once its answer has told its TID.
    pub(super) fn set_peer(&mut self, peer: SocketAddr) {
        self.peer = peer;
    }
    pub(super) fn socket(&self) -> &BatchSocket {
        self.line.socket()
    }
    /// A word of each line of memory that sending and receiving need.
    #[cfg(target_os = "linux")]
    pub(super) fn look_over(&self) -> u64 {
        u64::from(self.peer.port()) ^ u64::from(self.copies) ^ u64::from(self.socket().is_for_lane())
    }
    /// What a lane has to watch for it.
    #[cfg(target_os = "linux")]
    pub(super) fn watched(&self) -> Option<Arc<BatchSocket>> {
        match &self.line {
            Line::Lane(socket) => Some(Arc::clone(socket)),
            _ => None,
        }
    }
    #[cfg(not(target_os = "linux"))]
    pub(super) fn watched(&self) -> Option<Arc<BatchSocket>> {
        None
    }
    /// Whether [`Port::sit`] does anything.
    #[cfg(target_os = "linux")]
    pub(super) fn can_sit(&self) -> bool {
        matches!(self.line, Line::Lane(_))
    }
    #[cfg(not(target_os = "linux"))]
    pub(super) fn can_sit(&self) -> bool {
        false
    }
    #[cfg(not(target_os = "linux"))]
    pub(super) fn sit(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }
    /// Takes it from its lane to a thread of its own: from now on sending and waiting block. Answers that come fast are
    /// looked for `watching` long before it sleeps.
    ///
    /// # Errors
    /// Those of the operating system.
    #[cfg(target_os = "linux")]
    pub(super) fn sit(&mut self, watching: Duration) -> io::Result<()> {
        if let Line::Lane(socket) = &self.line {
            socket.set_blocking(PATIENCE)?;
            self.line = Line::Seat {
                socket: Arc::clone(socket),
                within: PATIENCE,
                watch: Watch::new(watching),
            };
        }
        Ok(())
    }

    /// Sends the datagrams that `octets` consists of to the peer, `length` octets each and the last one what is left, without
    /// waiting. How many octets went: fewer than all when the socket is full. What the network refuses counts as sent and
    /// lost: the timer sees to it.
    ///
    /// # Errors
    /// A datagram is too long for the socket.
    pub(super) fn try_send(&mut self, octets: &[u8], length: usize) -> io::Result<usize> {
        let went = self.try_send_once(octets, length)?;
        for _ in 1..self.copies {
            // What finds no room is a copy less.
            self.try_send_once(&octets[..went], length)?;
        }
        Ok(went)
    }
    fn try_send_once(&mut self, octets: &[u8], length: usize) -> io::Result<usize> {
        let from = self.line.from();
        let socket = self.line.socket();
        let mut went = 0;
        while went < octets.len() {
            let rest = &octets[went..];
            went += match self.batch.try_send(socket, rest, length, self.peer, from) {
                Ok(went) => went,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_too_long(&error) => return Err(error),
                Err(_) => length.min(rest.len()),
            };
        }
        Ok(went)
    }
    /// As [`Port::try_send`], but it waits while the socket is full.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn send(&mut self, octets: &[u8], length: usize) -> io::Result<()> {
        let mut rest = octets;
        loop {
            rest = &rest[self.try_send(rest, length)?..];
            if rest.is_empty() {
                return Ok(());
            }
            let (first, later) = rest.split_at(length.min(rest.len()));
            let _ = self.socket().send_to(first, self.peer, self.line.from()).await;
            rest = later;
        }
    }
    /// Sends one datagram to the peer.
    pub(super) async fn send_one(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.send(datagram, datagram.len()).await
    }
    /// Tells a stranger that its packet belongs to no transfer (RFC 1350 section 4). The transfer goes on.
    pub(super) fn refuse(&self, stranger: SocketAddr) {
        // If the socket is full just now, the stranger will ask again.
        let _ = self.socket().try_send_to(
            &packet::error(ErrorCode::UNKNOWN_TID, "unknown transfer ID"),
            stranger,
        );
    }

    /// What came last was all that was awaited: the next datagram will be the answer to what is sent now. A stray one that
    /// is there already is only found with it, or at the deadline.
    pub(super) fn expect_an_answer(&mut self) {
        self.look = false;
    }

    /// In a lane: what came, without waiting for it.
    ///
    /// # Errors
    /// Those of the operating system.
    #[cfg(target_os = "linux")]
    pub(super) fn recv_now(&self, buf: &mut [u8]) -> io::Result<Woken> {
        let came = self.socket().recv_within(buf)?;
        Ok(came.map_or(Woken::Time, |(n, from)| Woken::Datagram(n, from)))
    }
    /// In a lane: asks for another turn at this time at the latest.
    #[cfg(target_os = "linux")]
    pub(super) fn wake_at(&self, clock: &Clock, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            sockeye_net::lane::wake_at(clock.at(deadline).into_std());
        }
    }
    /// In a lane, whether more may have come with what came last.
    #[cfg(target_os = "linux")]
    pub(super) fn may_have_more(&mut self) -> bool {
        std::mem::replace(&mut self.look, true)
    }
    async fn recv(&mut self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match &mut self.line {
            Line::Own(socket) => socket.recv_one_from(buf).await,
            Line::Shared { inbox, .. } => match inbox.recv().await {
                Some(datagram) => {
                    let n = datagram.len().min(buf.len());
                    buf[..n].copy_from_slice(&datagram[..n]);
                    Ok((n, self.peer))
                }
                None => std::future::pending().await, // the server stops, and the task with it
            },
            #[cfg(target_os = "linux")]
            Line::Lane(_) | Line::Seat { .. } => Err(io::ErrorKind::Unsupported.into()),
        }
    }
    /// Waits for a datagram, at most until `deadline`. The sleeper is set only when it must be earlier: one that wakes too
    /// early costs less than setting it for each block.
    pub(super) async fn wait(
        &mut self,
        buf: &mut [u8],
        clock: &Clock,
        mut sleeper: Pin<&mut Sleep>,
        deadline: Option<Instant>,
    ) -> io::Result<Woken> {
        #[cfg(target_os = "linux")]
        if let Line::Lane(_) | Line::Seat { .. } = &self.line {
            return self.wait_by_itself(buf, clock, deadline).await;
        }
        if self.look {
            if let Some((n, from)) = self.look(buf)? {
                return Ok(Woken::Datagram(n, from));
            }
            self.look = false;
        }
        if let Some(deadline) = deadline {
            let deadline = clock.at(deadline);
            if sleeper.is_elapsed() || deadline < sleeper.deadline() {
                sleeper.as_mut().reset(deadline);
            }
        }
        let woken = tokio::select! {
            biased;
            received = self.recv(buf) => received.map(|(n, from)| Woken::Datagram(n, from))?,
            () = sleeper, if deadline.is_some() => match self.look(buf)? {
                Some((n, from)) => Woken::Datagram(n, from),
                None => Woken::Time,
            },
        };
        self.look = true;
        Ok(woken)
    }
    /// The wait without a runtime.
    #[cfg(target_os = "linux")]
    async fn wait_by_itself(
        &mut self,
        buf: &mut [u8],
        clock: &Clock,
        deadline: Option<Instant>,
    ) -> io::Result<Woken> {
        let look = std::mem::replace(&mut self.look, true);
        let came = match &mut self.line {
            Line::Lane(socket) => {
                let deadline = deadline.map(|at| clock.at(at).into_std());
                socket.recv_until(buf, look, deadline).await?
            }
            Line::Seat {
                socket,
                within,
                watch,
            } => {
                if let Some(most) = watch.now() {
                    let came = socket.recv_watching(buf, most)?;
                    watch.came(came.is_some());
                    if let Some((n, from)) = came {
                        return Ok(Woken::Datagram(n, from));
                    }
                }
                if let Some(deadline) = deadline {
                    let left = deadline.since(clock.now()).as_nanos();
                    sit_until(socket, within, Duration::from_nanos(left))?;
                }
                socket.recv_within(buf)?
            }
            Line::Own(_) | Line::Shared { .. } => None,
        };
        Ok(came.map_or(Woken::Time, |(n, from)| Woken::Datagram(n, from)))
    }
    /// What is there already.
    fn look(&self, buf: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        let Line::Own(socket) = &self.line else {
            return Ok(None); // an inbox is waited for as it is
        };
        match socket.try_recv_from(buf) {
            Ok(came) => Ok(Some(came)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Sets how long a wait takes, if what is set is too long for this time or far too short. Waking a little late or too early
/// costs less than setting it for each block.
#[cfg(target_os = "linux")]
fn sit_until(socket: &BatchSocket, within: &mut Duration, left: Duration) -> io::Result<()> {
    let left = left.min(PATIENCE);
    if left + Duration::from_millis(2) < *within || left > *within * 4 {
        *within = left.max(Duration::from_millis(1));
        socket.set_blocking(*within)?;
    }
    Ok(())
}

/// Message too long (EMSGSIZE).
fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(sockeye_net::error::errno::EMSGSIZE)
}
