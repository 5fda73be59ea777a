//! One client reads.

use std::pin::pin;
use std::time::Duration;

use sockeye_stack::time::Instant;
use tokio::runtime::Handle;

use super::super::metrics::Drop;
use super::super::packet::{self, ErrorCode, HEADER, Packet};
use super::super::port::{Clock, Port, Woken};
use super::super::rate::Allowance;
use super::super::record::Outcome;
use super::super::source::Source;
use super::super::transfer::{AckOutcome, Burst, Sender, TimeoutOutcome};
use super::seats::Seat;
use super::ticket::Ticket;

/// The most blocks of one burst: what one call can send.
const BURST: u32 = 64;

/// So many blocks are worth the start of a thread.
const WORTH_A_SEAT: u64 = 64;

/// What there is to do with a transfer.
enum Step {
    /// It is over.
    Over(Outcome),
    /// It goes on here.
    Sit(Seat),
}

/// What came of sending.
enum Sent {
    /// All that may be sent now is sent.
    All,
    /// The rest may be sent then.
    Pause(Instant),
    Over(Outcome),
}

/// What a download is made of.
pub(super) struct Download {
    pub(super) ticket: Ticket,
    pub(super) port: Port,
    pub(super) source: Source,
    pub(super) sender: Sender,
    pub(super) allowance: Allowance,
    /// The OACK, if options were granted.
    pub(super) handshake: Option<Vec<u8>>,
    pub(super) blksize: u16,
    /// Whether it has a thread of its own.
    pub(super) seated: bool,
}

impl Download {
    /// Runs it to its end.
    pub(super) async fn run(mut self) {
        match self.transfer().await {
            Ok(Step::Over(outcome)) => self.end(outcome),
            Ok(Step::Sit(seat)) => {
                let runtime = Handle::current();
                // Seated it has nothing to wait for but its socket, by calls that block.
                let watching = match seat.may_watch() {
                    true => self.ticket.shared.options.watch,
                    false => Duration::ZERO,
                };
                seat.run(move || runtime.block_on(self.sit(watching)));
            }
            Err(error) => self.end(Outcome::Network(error.to_string())),
        }
    }
    /// Runs it to its end, on a thread of its own.
    async fn sit(mut self, watching: Duration) {
        self.seated = true;
        self.source.set_patient();
        let step = match self.port.sit(watching) {
            Ok(()) => self.transfer().await,
            Err(error) => Err(error),
        };
        match step {
            Ok(Step::Over(outcome)) => self.end(outcome),
            Ok(Step::Sit(_)) => {} // one seat is enough
            Err(error) => self.end(Outcome::Network(error.to_string())),
        }
    }
    fn end(&mut self, outcome: Outcome) {
        self.ticket.record.count(self.sender.counts());
        self.ticket.record.outcome = outcome;
    }

    async fn transfer(&mut self) -> std::io::Result<Step> {
        let clock = self.ticket.shared.clock;
        let mut sleeper = pin!(tokio::time::sleep(std::time::Duration::ZERO));
        // ACKs are short, and of an ERROR's text more than this helps nobody.
        let mut buf = [0; 516];
        if let Some(last) = self.source.last() {
            self.sender.set_last(last);
        }
        let mut now = clock.now();
        loop {
            let pause = match self.send_all(&clock, now).await? {
                Sent::All => None,
                Sent::Pause(until) => Some(until),
                Sent::Over(outcome) => return Ok(Step::Over(outcome)),
            };
            if let Some(seat) = self.seat() {
                return Ok(Step::Sit(seat));
            }
            if pause.is_none() {
                self.read_on();
            }
            let deadline = [pause, self.sender.deadline()].into_iter().flatten().min();
            let woken = self
                .port
                .wait(&mut buf, &clock, sleeper.as_mut(), deadline)
                .await?;
            if self.ticket.is_superseded() || (self.seated && self.ticket.shared.seats.is_closed()) {
                return Ok(Step::Over(Outcome::Stopped));
            }
            now = clock.now();
            match woken {
                Woken::Datagram(n, from) if from == self.port.peer() => {
                    if let Some(outcome) = self.handle(now, &buf[..n]) {
                        return Ok(Step::Over(outcome));
                    }
                }
                Woken::Datagram(_, stranger) => {
                    self.ticket.shared.metrics.dropped(Drop::Stray);
                    self.port.refuse(stranger);
                }
                Woken::Time => match self.sender.handle_timeout(now) {
                    TimeoutOutcome::GaveUp => return Ok(Step::Over(Outcome::TimedOut)),
                    TimeoutOutcome::Early | TimeoutOutcome::Resend | TimeoutOutcome::Finished => {}
                },
            }
        }
    }

    /// Reads what is likely to be sent next, while the client is busy with what it got. Not for a client that has not
    /// answered: it may never do so.
    fn read_on(&mut self) {
        let (first, count) = self.sender.following(BURST);
        if self.sender.base() > 1 && count > 0 {
            self.source.read_on(first, count);
        }
    }

    /// A seat, if it is worth one: the client answers, much is left, and no limit holds it up.
    fn seat(&self) -> Option<Seat> {
        let left = self.source.last()?.saturating_sub(self.sender.base());
        let worth = !self.seated && self.port.can_sit() && self.sender.base() > 1 && left >= WORTH_A_SEAT;
        if worth && !self.allowance.is_limited() {
            self.ticket.shared.seats.take()
        } else {
            None
        }
    }

    /// Sends what may be sent.
    async fn send_all(&mut self, clock: &Clock, mut now: Instant) -> std::io::Result<Sent> {
        loop {
            let most = match self.allowance.now(now) {
                Ok(octets) => (octets / u64::from(self.blksize)).clamp(1, BURST.into()) as u32,
                Err(wait) => return Ok(Sent::Pause(now + wait)),
            };
            let Some(burst) = self.sender.poll_transmit(now, most) else {
                return Ok(Sent::All);
            };
            if let Some(outcome) = self.send(burst).await? {
                return Ok(Sent::Over(outcome));
            }
            if self.sender.is_waiting() {
                return Ok(Sent::All);
            }
            now = clock.now();
        }
    }

    /// Sends blocks, or the handshake.
    async fn send(&mut self, burst: Burst) -> std::io::Result<Option<Outcome>> {
        if burst.first == 0 {
            if let Some(handshake) = &self.handshake {
                self.port.send_one(handshake).await?;
            }
            return Ok(None);
        }
        let Burst { first, count, again } = burst;
        if let Err(error) = self.source.ready(self.sender.base(), first, count).await {
            let text = error.to_string();
            self.port
                .send_one(&packet::error(ErrorCode::UNDEFINED, &text))
                .await?;
            return Ok(Some(Outcome::Refused(ErrorCode::UNDEFINED, text)));
        }
        if let Some(last) = self.source.last() {
            self.sender.set_last(last);
        }
        let length = self.source.length();
        let sender = &self.sender;
        let datagrams = self.source.datagrams(first, count, |block| sender.wire(block));
        let blocks = |datagrams: &[u8]| (datagrams.len() - datagrams.len().div_ceil(length) * HEADER) as u64;
        let new = datagrams.get(again as usize * length..).unwrap_or_default();
        self.ticket.record.octets += blocks(new);
        self.allowance.spend(blocks(datagrams));
        let sent = self.port.send(datagrams, length).await;
        Ok(sent.err().map(|error| Outcome::Network(error.to_string())))
    }

    /// A datagram of the peer; the outcome, if it ends the transfer.
    fn handle(&mut self, now: Instant, datagram: &[u8]) -> Option<Outcome> {
        let why = match Packet::parse(datagram) {
            Ok(Packet::Ack { block }) => match self.sender.handle_ack(now, block) {
                AckOutcome::Finished => return Some(Outcome::Done),
                AckOutcome::Advanced => {
                    self.ticket.set_under_way();
                    self.port.expect_an_answer();
                    return None;
                }
                AckOutcome::Duplicate => return None,
                AckOutcome::Stray => Drop::Unexpected,
            },
            Ok(Packet::Error { code, message }) => {
                let text = String::from_utf8_lossy(message).into_owned();
                return Some(Outcome::PeerError(code, text));
            }
            Ok(_) => Drop::Unexpected,
            Err(_) => Drop::Malformed,
        };
        self.ticket.shared.metrics.dropped(why);
        None
    }
}
