//! Octets to messages.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::line::{Charset, Decoder};

/// Octets of one read.
const READ: usize = 4096;

/// Reads messages from a stream. What it holds is bounded: a message longer than the limit comes in parts.
#[derive(Debug)]
pub struct Messages<R> {
    from: R,
    decoder: Decoder,
    /// Text that is no whole message yet.
    text: String,
    /// Up to here there is no newline in it.
    searched: usize,
    limit: usize,
    grace: Duration,
    /// Whether the peer ends its messages with newlines.
    newlines: bool,
    ended: bool,
    buffer: Box<[u8]>,
}

impl<R: AsyncRead + Unpin> Messages<R> {
    /// From the beginning of `from`. `limit` is in octets of UTF-8.
    pub fn new(from: R, charset: Charset, grace: Duration, limit: usize) -> Messages<R> {
        Messages {
            from,
            decoder: Decoder::new(charset),
            text: String::new(),
            searched: 0,
            limit: limit.max(4),
            grace,
            newlines: false,
            ended: false,
            buffer: vec![0; READ].into(),
        }
    }
    /// The next message, without its newline; nothing at the end of the stream. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// What ended the connection otherwise. What came before is told first.
    pub async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(message) = self.whole() {
                return Ok(Some(message));
            }
            if self.ended {
                let rest = std::mem::take(&mut self.text);
                self.searched = 0;
                return Ok((!rest.is_empty()).then_some(rest));
            }
            let n = if self.text.is_empty() || self.newlines {
                self.from.read(&mut self.buffer).await?
            } else {
                match timeout(self.grace, self.from.read(&mut self.buffer)).await {
                    Ok(n) => n?,
                    Err(_) => {
                        self.searched = 0;
                        return Ok(Some(std::mem::take(&mut self.text)));
                    }
                }
            };
            self.ended = n == 0;
            self.decoder.push(&self.buffer[..n], self.ended, &mut self.text);
        }
    }
    /// A message that has its newline, or as much of it as the limit allows.
    fn whole(&mut self) -> Option<String> {
        let found = self.text[self.searched..].find('\n').map(|at| self.searched + at);
        let end = match found {
            Some(at) => at,
            None if self.text.len() > self.limit => self.limit,
            None => {
                self.searched = self.text.len();
                return None;
            }
        };
        let cut = self.text.floor_char_boundary(end.min(self.limit));
        let is_whole = found == Some(cut);
        let rest = self.text.split_off(if is_whole { cut + 1 } else { cut });
        let mut message = std::mem::replace(&mut self.text, rest);
        self.searched = 0;
        if is_whole {
            self.newlines = true;
            message.pop();
            if message.ends_with('\r') {
                message.pop();
            }
        }
        Some(message)
    }
    /// Reads what is left and lets it fall, to the end of the stream.
    ///
    /// # Errors
    /// What ended the connection otherwise.
    pub async fn drain(&mut self) -> io::Result<()> {
        while !self.ended {
            self.ended = self.from.read(&mut self.buffer).await? == 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn messages(octets: &'static [u8], limit: usize) -> Vec<String> {
        let mut from = Messages::new(octets, Charset::Utf8, Duration::from_millis(300), limit);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async move {
            let mut all = Vec::new();
            while let Some(message) = from.next().await.unwrap() {
                all.push(message);
            }
            all
        })
    }

    #[test]
    fn newlines_end_messages() {
        assert_eq!(messages(b"one\ntwo\r\n\nrest", 100), ["one", "two", "", "rest"]);
        assert_eq!(messages(b"", 100), [] as [&str; 0]);
    }

    #[test]
    fn long_ones_come_in_parts() {
        assert_eq!(messages("你好你\nok".as_bytes(), 7), ["你好", "你", "ok"]);
        let parts = messages(&[b'a'; 100_000], 1000);
        assert!(parts.len() == 100 && parts.iter().all(|part| part.len() == 1000));
    }

    /// A peer that sends no newlines is understood by its pauses, until it sends one.
    #[test]
    fn pauses_end_messages_of_those_who_send_no_newlines() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (mut peer, ours) = tokio::io::duplex(100);
            let mut from = Messages::new(ours, Charset::Utf8, Duration::from_millis(300), 100);
            peer.write_all(b"hi").await.unwrap();
            assert_eq!(from.next().await.unwrap().unwrap(), "hi");
            peer.write_all(b"a\nhalf").await.unwrap();
            assert_eq!(from.next().await.unwrap().unwrap(), "a");
            let late = timeout(Duration::from_secs(60), from.next()).await;
            assert!(late.is_err(), "it waits for its newline now");
            peer.write_all(b" more\n").await.unwrap();
            assert_eq!(from.next().await.unwrap().unwrap(), "half more");
        });
    }
}
