//! One client writes.

use std::pin::pin;

use sockeye_stack::time::Instant;

use super::super::metrics::Drop;
use super::super::packet::{self, HEADER, Packet};
use super::super::port::{Port, Woken};
use super::super::rate::Allowance;
use super::super::record::Outcome;
use super::super::root::Refused;
use super::super::sink::Sink;
use super::super::transfer::{DataOutcome, Receiver, Reply, TimeoutOutcome};
use super::ticket::Ticket;

/// What an upload is made of.
pub(super) struct Upload {
    pub(super) ticket: Ticket,
    pub(super) port: Port,
    /// Taken when the file is whole.
    pub(super) sink: Option<Sink>,
    pub(super) receiver: Receiver,
    pub(super) allowance: Allowance,
    /// The OACK, or ACK 0.
    pub(super) handshake: Vec<u8>,
    pub(super) blksize: u16,
}

impl Upload {
    /// Runs it to its end.
    pub(super) async fn run(mut self) {
        let outcome = match self.transfer().await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Network(error.to_string()),
        };
        self.ticket.record.count(self.receiver.counts());
        self.ticket.record.outcome = outcome;
    }

    async fn transfer(&mut self) -> std::io::Result<Outcome> {
        let clock = self.ticket.shared.clock;
        let mut sleeper = pin!(tokio::time::sleep(std::time::Duration::ZERO));
        // One octet more than the longest block, so that a longer one is seen.
        let mut buf = vec![0; HEADER + usize::from(self.blksize) + 1];
        loop {
            let now = clock.now();
            let deadline = match self.allowance.now(now) {
                Ok(_) => {
                    if let Some(reply) = self.receiver.poll_transmit(now) {
                        match reply {
                            Reply::Handshake => self.port.send_one(&self.handshake).await?,
                            Reply::Ack(block) => self.port.send_one(&packet::ack(block)).await?,
                        }
                        if self.receiver.is_complete() {
                            // What follows is only in case that the ACK was lost.
                            self.ticket.record.count(self.receiver.counts());
                            self.ticket.record.outcome = Outcome::Done;
                            self.ticket.close();
                        }
                    }
                    self.receiver.deadline()
                }
                // The ACK waits: that is how a receiver slows its sender.
                Err(wait) => Some(now + wait),
            };
            let woken = self
                .port
                .wait(&mut buf, &clock, sleeper.as_mut(), deadline)
                .await?;
            if self.ticket.is_superseded() {
                return Ok(Outcome::Stopped);
            }
            match woken {
                Woken::Datagram(n, from) if from == self.port.peer() => {
                    if let Some(outcome) = self.handle(clock.now(), &buf[..n]).await? {
                        return Ok(outcome);
                    }
                }
                Woken::Datagram(_, stranger) => {
                    self.ticket.shared.metrics.dropped(Drop::Stray);
                    self.port.refuse(stranger);
                }
                Woken::Time => match self.receiver.handle_timeout(clock.now()) {
                    TimeoutOutcome::GaveUp => return Ok(Outcome::TimedOut),
                    TimeoutOutcome::Finished => return Ok(Outcome::Done),
                    TimeoutOutcome::Early | TimeoutOutcome::Resend => {}
                },
            }
        }
    }

    /// A datagram of the peer; the outcome, if it ends the transfer.
    async fn handle(&mut self, now: Instant, datagram: &[u8]) -> std::io::Result<Option<Outcome>> {
        let why = match Packet::parse(datagram) {
            Ok(Packet::Data { block, data }) => match self.receiver.handle_data(now, block, data.len()) {
                outcome @ (DataOutcome::Next | DataOutcome::Last) => {
                    self.ticket.set_under_way();
                    if self.receiver.owes_reply() {
                        self.port.expect_an_answer();
                    }
                    self.allowance.spend(data.len() as u64);
                    self.ticket.record.octets += data.len() as u64;
                    return match self.keep(data, outcome == DataOutcome::Last).await {
                        Ok(()) => Ok(None),
                        Err(refused) => self.refuse(&refused).await.map(Some),
                    };
                }
                DataOutcome::Duplicate | DataOutcome::Ahead => return Ok(None),
                DataOutcome::Illegal => Drop::Unexpected,
            },
            Ok(Packet::Error { code, message }) if !self.receiver.is_complete() => {
                let text = String::from_utf8_lossy(message).into_owned();
                return Ok(Some(Outcome::PeerError(code, text)));
            }
            Ok(_) => Drop::Unexpected,
            Err(_) => Drop::Malformed,
        };
        self.ticket.shared.metrics.dropped(why);
        Ok(None)
    }
    /// Keeps a block; after the last one the file has its name, before the last ACK says so.
    async fn keep(&mut self, data: &[u8], last: bool) -> Result<(), Refused> {
        if let Some(sink) = &mut self.sink {
            sink.push(data).await?;
        }
        match self.sink.take_if(|_| last) {
            Some(sink) => sink.finish().await.map(|_| ()),
            None => Ok(()),
        }
    }
    async fn refuse(&mut self, refused: &Refused) -> std::io::Result<Outcome> {
        let (code, text) = (refused.code(), refused.to_string());
        self.sink = None;
        self.port.send_one(&packet::error(code, &text)).await?;
        Ok(Outcome::Refused(code, text))
    }
}
