//! A file is got.

use std::pin::pin;

use super::super::packet::{self, BLKSIZE_DEFAULT, ErrorCode, HEADER, OptionList, Packet};
use super::super::sink::Sink;
use super::super::transfer::{Counts, DataOutcome, Receiver, Reply, TimeoutOutcome};
use super::session::{Heard, Session};
use super::{Done, Error, Options, Progress};

/// What a download is made of.
pub(super) struct Download<'a> {
    session: Session,
    /// Taken when the file is whole.
    sink: Option<Sink>,
    receiver: Receiver,
    options: &'a Options,
    progress: &'a mut (dyn FnMut(Progress) + Send),
    done: Done,
}

impl<'a> Download<'a> {
    pub(super) fn new(
        session: Session,
        sink: Sink,
        options: &'a Options,
        progress: &'a mut (dyn FnMut(Progress) + Send),
    ) -> Download<'a> {
        let now = session.clock.now();
        Download {
            session,
            sink: Some(sink),
            receiver: Receiver::new(now, options.timing, options.rollover, true, options.dally),
            options,
            progress,
            done: Done {
                content: Vec::new(),
                octets: 0,
                options: packet::Options::default(),
                counts: Counts::default(),
            },
        }
    }

    pub(super) async fn run(mut self) -> Result<Done, Error> {
        let clock = self.session.clock;
        let mut sleeper = pin!(tokio::time::sleep(std::time::Duration::ZERO));
        // One octet more than the longest block, so that a longer one is seen; and room for any OACK.
        let asked = self.session.asked.blksize.unwrap_or(BLKSIZE_DEFAULT);
        let mut buf = vec![0; HEADER + usize::from(asked.max(BLKSIZE_DEFAULT)) + 1];
        loop {
            match self.receiver.poll_transmit(clock.now()) {
                Some(Reply::Handshake) => self.session.send_request().await?,
                Some(Reply::Ack(block)) => self.session.send(&packet::ack(block)).await?,
                None => {}
            }
            let deadline = self.receiver.deadline();
            match self.session.wait(&mut buf, sleeper.as_mut(), deadline).await {
                // The file is there; that the server has gone meanwhile does not matter.
                Err(_) if self.receiver.is_complete() => break,
                Err(error) => return Err(error),
                Ok(Heard::Nothing) => {}
                Ok(Heard::Time) => match self.receiver.handle_timeout(clock.now()) {
                    TimeoutOutcome::GaveUp => return Err(Error::TimedOut),
                    TimeoutOutcome::Finished => break,
                    TimeoutOutcome::Early | TimeoutOutcome::Resend => {}
                },
                Ok(Heard::Datagram(n)) => {
                    self.handle(&buf[..n]).await?;
                    if self.receiver.is_complete() {
                        self.session.end();
                    }
                }
            }
        }
        self.session.end();
        self.done.counts = self.receiver.counts();
        Ok(self.done)
    }

    /// A datagram of the server.
    async fn handle(&mut self, datagram: &[u8]) -> Result<(), Error> {
        match Packet::parse(datagram) {
            Ok(Packet::OptionAck(list)) if !self.session.is_bound() || !self.done.options.is_empty() => {
                self.handle_options(list).await
            }
            // Before the first answer only block 1 can be one.
            Ok(Packet::Data { block, .. }) if !self.session.is_bound() && block != 1 => {
                self.session.forget();
                Ok(())
            }
            Ok(Packet::Data { block, data }) => self.handle_data(block, data).await,
            // The file is there.
            Ok(Packet::Error { .. }) if self.receiver.is_complete() => Ok(()),
            Ok(Packet::Error { code, message }) => {
                self.session.end();
                Err(Error::from_server(code, message))
            }
            _ => {
                self.session.forget();
                Ok(())
            }
        }
    }
    /// The server's word on the options; the same word again is a duplicate.
    async fn handle_options(&mut self, list: OptionList<'_>) -> Result<(), Error> {
        if self.done.options.is_empty() {
            let held = self.session.accept(list).await?;
            self.done.options = held;
            let blksize = held.blksize.unwrap_or(BLKSIZE_DEFAULT);
            let window = held.windowsize.unwrap_or(1);
            self.receiver
                .configure(blksize, window, self.session.timing(&held));
            if held.tsize.is_some_and(|size| size > self.options.max_size) {
                self.session.abort(ErrorCode::DISK_FULL, "file too large").await;
                return Err(Error::DiskFull);
            }
        }
        self.receiver.handle_option_ack(self.session.clock.now());
        Ok(())
    }
    async fn handle_data(&mut self, block: u16, data: &[u8]) -> Result<(), Error> {
        self.session.bind();
        let outcome = self
            .receiver
            .handle_data(self.session.clock.now(), block, data.len());
        if !matches!(outcome, DataOutcome::Next | DataOutcome::Last) {
            return Ok(());
        }
        if self.receiver.owes_reply() {
            self.session.expect_an_answer();
        }
        let Some(file) = &mut self.sink else {
            return Ok(());
        };
        let mut kept = file.push(data).await;
        self.done.octets = file.octets();
        if outcome == DataOutcome::Last && kept.is_ok() {
            kept = match self.sink.take() {
                Some(file) => file.finish().await.map(|content| self.done.content = content),
                None => Ok(()),
            };
        }
        if let Err(refused) = kept {
            self.session.abort(refused.code(), &refused.to_string()).await;
            return Err(refused.into());
        }
        (self.progress)(Progress {
            octets: self.done.octets,
            total: self.done.options.tsize,
        });
        Ok(())
    }
}
