//! Conversations with the server, line by line.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::Client;
use crate::chat::Input;
use crate::line::{Stop, shown};
use crate::text;
use crate::words::{Words, told};

/// How long the server may take to answer our goodbye.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a conversation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The person said [Q](is_quit).
    Quit,
    /// The input ended.
    EndOfInput,
    /// It was stopped.
    Stopped,
}

/// What a conversation tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// It is the person's turn: ask for a line.
    Ask,
    /// A line was not sent: there is nothing in it. Over a stream of octets nothing is no message, and both sides
    /// would wait for each other.
    Empty,
    /// A line is on its way.
    Sent,
    /// Its answer, as the server sent it.
    Answer(String),
}

impl Told {
    /// In words; a prompt, for [`Told::Ask`].
    pub fn text(&self, words: &Words) -> String {
        match self {
            Told::Ask => text!(words, "upper-prompt"),
            Told::Empty => text!(words, "upper-empty"),
            Told::Sent => text!(words, "upper-sent"),
            Told::Answer(answer) => shown(answer),
        }
    }
}

/// A conversation with a person: each line is asked and its answer told, until `Q`, `exit`, the end of the input, or
/// until it is stopped; then the connection is closed in good order.
///
/// # Errors
/// What ended the connection.
pub async fn converse(
    mut client: Client,
    input: &mut Input,
    stop: &mut Stop,
    mut tell: impl FnMut(Told),
) -> io::Result<Ending> {
    let ending = loop {
        tell(Told::Ask);
        let line = tokio::select! {
            line = input.recv() => line,
            () = stop.stopped() => break Ending::Stopped,
        };
        let Some(line) = line else {
            break Ending::EndOfInput;
        };
        if crate::chat::is_quit(&line) {
            break Ending::Quit;
        }
        let line = line.trim_end_matches(['\n', '\r']);
        if line.trim().is_empty() {
            tell(Told::Empty);
            continue;
        }
        tell(Told::Sent);
        let answer = tokio::select! {
            answer = client.ask(line) => answer?,
            () = stop.stopped() => break Ending::Stopped,
        };
        tell(Told::Answer(answer));
    };
    match timeout(PATIENCE, client.close()).await {
        // One who was stopped does not care how the server takes it.
        Ok(Err(error)) if ending != Ending::Stopped => Err(error),
        // Goodbye was said: a server that does not answer it changes nothing.
        _ => Ok(ending),
    }
}

/// Whether a line says goodbye: `Q`, in either case.
pub fn is_quit(line: &str) -> bool {
    line.trim().eq_ignore_ascii_case("q")
}

/// A conversation: each line of `input` is asked, each answer written to `output` as a line, until `Q` or the
/// end of the input; then the connection is closed in good order. Lines with nothing in them are not sent.
///
/// # Errors
/// `InvalidInput` for a line that is not UTF-8; what ended the connection, or what failed with input or
/// output.
pub async fn talk<R, W>(client: Client, mut input: R, mut output: W) -> io::Result<Ending>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut client = client;
    let mut line = Vec::new();
    let ending = loop {
        line.clear();
        if input.read_until(b'\n', &mut line).await? == 0 {
            break Ending::EndOfInput;
        }
        let text = std::str::from_utf8(&line)
            .map_err(|_| told(io::ErrorKind::InvalidInput, "upper-input-no-text", &[]))?;
        let text = text.trim_end_matches(['\n', '\r']);
        if is_quit(text) {
            break Ending::Quit;
        }
        if text.trim().is_empty() {
            continue;
        }
        let answer = client.ask(text).await?;
        output.write_all(answer.as_bytes()).await?;
        output.write_all(b"\n").await?;
        output.flush().await?;
    };
    client.close().await?;
    Ok(ending)
}
