//! One client reads.

use std::pin::pin;

use sockeye_stack::time::Instant;

use super::super::metrics::Drop;
use super::super::packet::{self, ErrorCode, HEADER, Packet};
use super::super::port::{Port, Woken};
use super::super::rate::Allowance;
use super::super::record::Outcome;
use super::super::source::Source;
use super::super::transfer::{AckOutcome, Burst, Sender, TimeoutOutcome};
use super::ticket::Ticket;

/// The most blocks of one burst: what one call can send.
const BURST: u32 = 64;

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
}

impl Download {
    /// Runs it to its end.
    pub(super) async fn run(mut self) {
        let outcome = match self.transfer().await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Network(error.to_string()),
        };
        self.ticket.record.count(self.sender.counts());
        self.ticket.record.outcome = outcome;
    }

    async fn transfer(&mut self) -> std::io::Result<Outcome> {
        let clock = self.ticket.shared.clock;
        let mut sleeper = pin!(tokio::time::sleep(std::time::Duration::ZERO));
        // ACKs are short, and of an ERROR's text more than this helps nobody.
        let mut buf = [0; 516];
        if let Some(last) = self.source.last() {
            self.sender.set_last(last);
        }
        loop {
            let mut deadline = None;
            loop {
                let now = clock.now();
                let most = match self.allowance.now(now) {
                    Ok(octets) => (octets / u64::from(self.blksize)).clamp(1, BURST.into()) as u32,
                    Err(wait) => {
                        deadline = Some(now + wait);
                        break;
                    }
                };
                let Some(burst) = self.sender.poll_transmit(now, most) else {
                    break;
                };
                if let Some(outcome) = self.send(burst).await? {
                    return Ok(outcome);
                }
            }
            let deadline = [deadline, self.sender.deadline()].into_iter().flatten().min();
            match self
                .port
                .wait(&mut buf, &clock, sleeper.as_mut(), deadline)
                .await?
            {
                Woken::Datagram(n, from) if from == self.port.peer() => {
                    if let Some(outcome) = self.handle(clock.now(), &buf[..n]).await {
                        return Ok(outcome);
                    }
                }
                Woken::Datagram(_, stranger) => {
                    self.ticket.shared.metrics.dropped(Drop::Stray);
                    self.port.refuse(stranger);
                }
                Woken::Time => match self.sender.handle_timeout(clock.now()) {
                    TimeoutOutcome::GaveUp => return Ok(Outcome::TimedOut),
                    TimeoutOutcome::Early | TimeoutOutcome::Resend | TimeoutOutcome::Finished => {}
                },
            }
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
        let count = match self
            .source
            .ready(self.sender.base(), burst.first, burst.count)
            .await
        {
            Ok(None) => burst.count,
            Ok(Some(last)) => {
                self.sender.set_last(last);
                burst.count.min((last + 1).saturating_sub(burst.first) as u32)
            }
            Err(error) => {
                let text = error.to_string();
                self.port
                    .send_one(&packet::error(ErrorCode::UNDEFINED, &text))
                    .await?;
                return Ok(Some(Outcome::Refused(ErrorCode::UNDEFINED, text)));
            }
        };
        if count == 1 {
            let head = packet::data_header(self.sender.wire(burst.first));
            let block = self.source.block(burst.first);
            if burst.again == 0 {
                self.ticket.record.octets += block.len() as u64;
            }
            self.allowance.spend(block.len() as u64);
            let sent = self.port.send(&[(&head, block)]).await;
            return Ok(sent.err().map(|error| Outcome::Network(error.to_string())));
        }
        let mut heads = [[0; HEADER]; BURST as usize];
        let mut parts = [(&[][..], &[][..]); BURST as usize];
        let mut octets = 0;
        let blocks = burst.first..burst.first + u64::from(count);
        for ((number, head), part) in blocks.zip(&mut heads).zip(&mut parts) {
            *head = packet::data_header(self.sender.wire(number));
            let block = self.source.block(number);
            *part = (&head[..], block);
            octets += block.len() as u64;
            if number >= burst.first + u64::from(burst.again) {
                self.ticket.record.octets += block.len() as u64;
            }
        }
        self.allowance.spend(octets);
        match self.port.send(&parts[..count as usize]).await {
            Ok(()) => Ok(None),
            Err(error) => Ok(Some(Outcome::Network(error.to_string()))),
        }
    }

    /// A datagram of the peer; the outcome, if it ends the transfer.
    async fn handle(&mut self, now: Instant, datagram: &[u8]) -> Option<Outcome> {
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
