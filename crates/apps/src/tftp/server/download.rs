//! One client reads.
//!
//! A download goes as far as it can without waiting ([`Download::proceed`]) and says what it waits for then. Who waits is
//! its driver's matter: a future for seats, stacks and single ports ([`Download::run`]), and one step of a lane, which
//! touches little memory, since hundreds take turns there ([`InLane`](super::in_lane::InLane)).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
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
use super::ticket::{Shared, Ticket};

/// The most blocks of one burst: what one call can send.
const BURST: u32 = 64;

/// So many blocks are worth the start of a thread.
const WORTH_A_SEAT: u64 = 64;

/// ACKs are short, and of an ERROR's text more than this helps nobody.
pub(super) const LONGEST_ANSWER: usize = 516;

/// Why a download stopped where it is.
pub(super) enum Hold {
    /// It waits for the client, or for this time.
    Answer(Option<Instant>),
    /// The next burst is not in memory yet.
    File(Burst),
    /// The socket is full.
    Room,
    /// It goes on here.
    Sit(Seat),
    /// It is over.
    Over(Outcome),
}

/// What a download is made of. What each block needs comes first and lies together; the rest is only looked at when it
/// begins and ends.
#[repr(C)]
pub(super) struct Download {
    pub(super) sender: Sender,
    pub(super) port: Port,
    allowance: Allowance,
    /// Octets of the file that were sent, each once.
    octets: u64,
    /// What is to be sent first: the file or the socket was not ready for it.
    going: Option<Burst>,
    shared: Arc<Shared>,
    /// [`Shared::superseded`], when it was last looked at.
    superseded: u64,
    blksize: u16,
    /// Whether it has a thread of its own.
    seated: bool,
    /// Whether the client has answered.
    answered: bool,
    source: Source,
    pub(super) ticket: Ticket,
    /// The OACK, if options were granted.
    handshake: Option<Vec<u8>>,
}

impl std::ops::Drop for Download {
    fn drop(&mut self) {
        self.ticket.record.count(self.sender.counts());
        self.ticket.record.octets = self.octets;
    }
}

impl Download {
    pub(super) fn new(
        ticket: Ticket,
        port: Port,
        source: Source,
        sender: Sender,
        allowance: Allowance,
        handshake: Option<Vec<u8>>,
        blksize: u16,
    ) -> Download {
        Download {
            sender,
            port,
            source,
            allowance,
            octets: 0,
            going: None,
            blksize,
            seated: false,
            answered: false,
            shared: Arc::clone(&ticket.shared),
            superseded: 0,
            ticket,
            handshake,
        }
    }
    /// Runs it to its end, as a task.
    pub(super) async fn run(mut self) {
        let outcome = self.transfer().await;
        self.end(outcome);
    }
    /// Gives it a thread of its own and runs it to its end there.
    pub(super) fn sit_down(mut self, seat: Seat) {
        let runtime = Handle::current();
        let watching = match seat.may_watch() {
            true => self.shared.options.watch,
            false => Duration::ZERO,
        };
        self.seated = true;
        seat.run(move || {
            self.source.set_patient();
            // It has nothing to wait for but its socket, by calls that block.
            let outcome = match self.port.sit(watching) {
                Ok(()) => runtime.block_on(self.transfer()),
                Err(error) => Outcome::Network(error.to_string()),
            };
            self.end(outcome);
        });
    }
    pub(super) fn clock(&self) -> Clock {
        self.shared.clock
    }
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.ticket.record.outcome = outcome;
    }

    async fn transfer(&mut self) -> Outcome {
        let mut sleeper = pin!(tokio::time::sleep(Duration::ZERO));
        let mut buf = [0; LONGEST_ANSWER];
        let clock = self.clock();
        loop {
            let deadline = match self.proceed(clock.now()) {
                Hold::Answer(deadline) => deadline,
                Hold::Over(outcome) => return outcome,
                Hold::Sit(_) => continue, // only lanes have something to leave
                hold @ (Hold::File(_) | Hold::Room) => match self.wait_for(hold).await {
                    None => continue,
                    Some(outcome) => return outcome,
                },
            };
            let woken = self.port.wait(&mut buf, &clock, sleeper.as_mut(), deadline);
            let woken = match woken.await {
                Ok(woken) => woken,
                Err(error) => return Outcome::Network(error.to_string()),
            };
            if let Some(outcome) = self.heard(clock.now(), woken, &buf) {
                return outcome;
            }
        }
    }
    /// Waits until the file or the socket is ready; the outcome, if that ends it.
    pub(super) async fn wait_for(&mut self, hold: Hold) -> Option<Outcome> {
        match hold {
            Hold::File(burst) => {
                let error = self.source.wait_for(burst.first, burst.count).await.err()?;
                let text = error.to_string();
                let told = packet::error(ErrorCode::UNDEFINED, &text);
                match self.port.send_one(&told).await {
                    Ok(()) => Some(Outcome::Refused(ErrorCode::UNDEFINED, text)),
                    Err(error) => Some(Outcome::Network(error.to_string())),
                }
            }
            Hold::Room => {
                let burst = self.going.take()?;
                let sender = &self.sender;
                let datagram = match burst.first {
                    0 => self.handshake.as_deref().unwrap_or_default(),
                    first => self.source.datagrams(first, 1, |block| sender.wire(block)),
                };
                let sent = self.port.send_one(datagram).await;
                let length = datagram.len();
                self.went(burst, length);
                sent.err().map(|error| Outcome::Network(error.to_string()))
            }
            Hold::Answer(_) | Hold::Sit(_) | Hold::Over(_) => None,
        }
    }

    /// A word of each line of memory that a turn needs. See [`Talk`](sockeye_net::lane::Talk).
    #[cfg(target_os = "linux")]
    pub(super) fn look_over(&self) -> u64 {
        self.sender.look_over()
            ^ self.port.look_over()
            ^ self.source.look_over()
            ^ self.octets
            ^ self.superseded
    }
    /// Sends what may be sent, as far as that needs no waiting.
    pub(super) fn proceed(&mut self, mut now: Instant) -> Hold {
        let clock = self.clock();
        let pause = loop {
            let burst = match self.going.take() {
                Some(burst) => burst,
                None => {
                    let most = match self.allowance.now(now) {
                        Ok(octets) => (octets / u64::from(self.blksize)).clamp(1, BURST.into()) as u32,
                        Err(wait) => break Some(now + wait),
                    };
                    match self.sender.poll_transmit(now, most) {
                        Some(burst) => burst,
                        None => break None,
                    }
                }
            };
            if let Some(hold) = self.send(burst) {
                return hold;
            }
            if self.sender.is_waiting() {
                break None;
            }
            now = clock.now();
        };
        if let Some(seat) = self.seat() {
            return Hold::Sit(seat);
        }
        if pause.is_none() {
            self.read_on();
        }
        Hold::Answer([pause, self.sender.deadline()].into_iter().flatten().min())
    }
    /// Sends blocks, or the handshake; what it waits for if not all went.
    fn send(&mut self, burst: Burst) -> Option<Hold> {
        let Burst { first, count, .. } = burst;
        let sender = &self.sender;
        let (datagrams, length) = if first == 0 {
            let handshake = self.handshake.as_deref().unwrap_or_default();
            (handshake, handshake.len())
        } else {
            if !self.source.is_ready(sender.base(), first, count) {
                self.going = Some(burst);
                return Some(Hold::File(burst));
            }
            let length = self.source.length();
            (
                self.source.datagrams(first, count, |block| sender.wire(block)),
                length,
            )
        };
        let all = datagrams.len();
        let went = match self.port.try_send(datagrams, length) {
            Ok(went) => went,
            Err(error) => return Some(Hold::Over(Outcome::Network(error.to_string()))),
        };
        self.went(burst, went);
        if went == all {
            self.going = None; // a text may end before its burst does
            return None;
        }
        Some(Hold::Room)
    }
    /// So many octets of a burst's datagrams were sent.
    fn went(&mut self, burst: Burst, went: usize) {
        let Burst { first, count, again } = burst;
        let length = self.source.length();
        let blocks = match first {
            0 => usize::from(went > 0),
            _ => went.div_ceil(length),
        };
        if first > 0 {
            let octets = |datagrams: usize| (datagrams - datagrams.div_ceil(length) * HEADER) as u64;
            self.octets += octets(went.saturating_sub(again as usize * length));
            self.allowance.spend(octets(went));
            // Of text the last block is not known before it is read.
            if let Some(last) = self.source.last() {
                self.sender.set_last(last);
            }
        }
        let blocks = (blocks as u32).min(count);
        self.going = (blocks < count).then(|| Burst {
            first: first + u64::from(blocks),
            count: count - blocks,
            again: again.saturating_sub(blocks),
        });
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
        if self.seated || !self.port.can_sit() || self.sender.base() <= 1 {
            return None;
        }
        let left = self.source.last()?.saturating_sub(self.sender.base());
        if left >= WORTH_A_SEAT && !self.allowance.is_limited() {
            self.shared.seats.take()
        } else {
            None
        }
    }

    /// What ended the wait; the outcome, if that ends the transfer.
    pub(super) fn heard(&mut self, now: Instant, woken: Woken, buf: &[u8]) -> Option<Outcome> {
        if self.is_stopped() {
            return Some(Outcome::Stopped);
        }
        match woken {
            Woken::Datagram(n, from) if from == self.port.peer() => return self.handle(now, &buf[..n]),
            Woken::Datagram(_, stranger) => {
                self.shared.metrics.dropped(Drop::Stray);
                self.port.refuse(stranger);
            }
            Woken::Time => match self.sender.handle_timeout(now) {
                TimeoutOutcome::GaveUp => return Some(Outcome::TimedOut),
                TimeoutOutcome::Early | TimeoutOutcome::Resend | TimeoutOutcome::Finished => {}
            },
        }
        None
    }
    /// Whether it is to end: the client has asked for something else, or the server leaves its seats.
    fn is_stopped(&mut self) -> bool {
        let superseded = self.shared.superseded.load(Acquire);
        if superseded != self.superseded {
            self.superseded = superseded;
            if self.ticket.is_superseded() {
                return true;
            }
        }
        self.seated && self.shared.seats.is_closed()
    }
    /// A datagram of the client.
    fn handle(&mut self, now: Instant, datagram: &[u8]) -> Option<Outcome> {
        let why = match Packet::parse(datagram) {
            Ok(Packet::Ack { block }) => match self.sender.handle_ack(now, block) {
                AckOutcome::Finished => return Some(Outcome::Done),
                AckOutcome::Advanced => {
                    if !std::mem::replace(&mut self.answered, true) {
                        self.ticket.set_under_way();
                    }
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
        self.shared.metrics.dropped(why);
        None
    }
}
