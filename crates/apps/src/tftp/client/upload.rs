//! A file is put.

use std::pin::pin;

use super::super::packet::{self, BLKSIZE_DEFAULT, ErrorCode, OptionList, Packet};
use super::super::source::Source;
use super::super::transfer::{AckOutcome, Burst, Rollover, Sender, TimeoutOutcome};
use super::session::{Heard, Session};
use super::{Done, Error, Options, Progress};

/// The most blocks of one burst: what one call can send.
const BURST: u32 = 64;

/// What an upload is made of.
pub(super) struct Upload<'a> {
    session: Session,
    source: Source,
    size: u64,
    rollover: Rollover,
    sender: Sender,
    progress: &'a mut (dyn FnMut(Progress) + Send),
    /// The options that hold.
    held: packet::Options,
}

impl<'a> Upload<'a> {
    pub(super) fn new(
        session: Session,
        source: Source,
        size: u64,
        options: &Options,
        progress: &'a mut (dyn FnMut(Progress) + Send),
    ) -> Upload<'a> {
        let rollover = options.rollover.unwrap_or_default();
        let now = session.clock.now();
        Upload {
            session,
            source,
            size,
            rollover,
            sender: Sender::new(now, options.timing, rollover, 1, true),
            progress,
            held: packet::Options::default(),
        }
    }

    pub(super) async fn run(mut self) -> Result<Done, Error> {
        let clock = self.session.clock;
        let mut sleeper = pin!(tokio::time::sleep(std::time::Duration::ZERO));
        let mut buf = [0; 516];
        loop {
            while let Some(burst) = self.sender.poll_transmit(clock.now(), BURST) {
                self.send(burst).await?;
            }
            if self.sender.base() > 1 {
                let (first, count) = self.sender.following(BURST);
                self.source.read_on(first, count);
            }
            let deadline = self.sender.deadline();
            let heard = self.session.wait(&mut buf, sleeper.as_mut(), deadline).await?;
            let outcome = match heard {
                Heard::Nothing => continue,
                Heard::Time => match self.sender.handle_timeout(clock.now()) {
                    TimeoutOutcome::GaveUp => return Err(Error::TimedOut),
                    _ => continue,
                },
                Heard::Datagram(n) => self.handle(&buf[..n]).await?,
            };
            if outcome == Some(AckOutcome::Finished) {
                self.session.end();
                return Ok(Done {
                    content: Vec::new(),
                    octets: self.size,
                    options: self.held,
                    counts: self.sender.counts(),
                });
            }
        }
    }

    /// Sends blocks, or the request.
    async fn send(&mut self, burst: Burst) -> Result<(), Error> {
        if burst.first == 0 {
            return self.session.send_request().await;
        }
        let base = self.sender.base();
        if let Err(error) = self.source.ready(base, burst.first, burst.count).await {
            self.session
                .abort(ErrorCode::UNDEFINED, "cannot read the file")
                .await;
            return Err(Error::File(error.to_string()));
        }
        if let Some(last) = self.source.last() {
            self.sender.set_last(last);
        }
        let length = self.source.length();
        let sender = &self.sender;
        let datagrams = self
            .source
            .datagrams(burst.first, burst.count, |block| sender.wire(block));
        self.session.send_all(datagrams, length).await
    }

    /// A datagram of the server; what it did, if it was an answer.
    async fn handle(&mut self, datagram: &[u8]) -> Result<Option<AckOutcome>, Error> {
        let wire = match Packet::parse(datagram) {
            Ok(Packet::OptionAck(list)) if !self.session.is_bound() => {
                self.handle_options(list).await?;
                0
            }
            Ok(Packet::Ack { block }) if self.session.is_bound() || block == 0 => {
                self.session.bind();
                block
            }
            Ok(Packet::Error { code, message }) => {
                self.session.end();
                return Err(Error::from_server(code, message));
            }
            _ => {
                self.session.forget();
                return Ok(None);
            }
        };
        if !self.sender.is_under_way() {
            self.begin().await?;
        }
        let outcome = self.sender.handle_ack(self.session.clock.now(), wire);
        if outcome == AckOutcome::Advanced {
            self.session.expect_an_answer();
        }
        let blksize = u64::from(self.held.blksize.unwrap_or(BLKSIZE_DEFAULT));
        (self.progress)(Progress {
            octets: (self.sender.base().saturating_sub(1) * blksize).min(self.size),
            total: Some(self.size),
        });
        Ok(Some(outcome))
    }
    /// The server's word on the options.
    async fn handle_options(&mut self, list: OptionList<'_>) -> Result<(), Error> {
        self.held = self.session.accept(list).await?;
        self.source
            .set_blksize(self.held.blksize.unwrap_or(BLKSIZE_DEFAULT));
        let window = self.held.windowsize.unwrap_or(1);
        self.sender.configure(window, self.session.timing(&self.held));
        Ok(())
    }
    /// The block size holds: how many blocks there will be, and whether the numbers suffice.
    async fn begin(&mut self) -> Result<(), Error> {
        let Some(last) = self.source.last() else {
            return Ok(());
        };
        if last > self.rollover.max_blocks() {
            self.session
                .abort(ErrorCode::DISK_FULL, "more than 65535 blocks")
                .await;
            let text = "more than 65535 blocks: use a larger block size";
            return Err(Error::File(text.into()));
        }
        self.sender.set_last(last);
        Ok(())
    }
}
