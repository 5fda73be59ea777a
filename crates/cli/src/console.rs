//! What the programs on real sockets share: the person's lines, Ctrl-C, addresses, and what goes wrong.

use std::io::{self, BufRead, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use serde_json::Value;
use sockeye_apps::chat::Input;
use sockeye_apps::line::{Charset, shown};
use sockeye_net::Net;
use tokio::sync::mpsc;

use crate::exit::{self, Code, Failure};
use crate::lab::desk;
use crate::place;
pub use crate::signals::stop_on_interrupt;
use crate::terminal;
use crate::{Outcome, t, words};

/// How text is encoded on the network.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Encoding {
    /// UTF-8.
    #[default]
    #[value(name = "utf-8", alias = "utf8")]
    Utf8,
    /// GBK, of Chinese systems of old.
    Gbk,
    /// GB 18030: GBK, and all other characters.
    Gb18030,
}

impl From<Encoding> for Charset {
    fn from(encoding: Encoding) -> Charset {
        match encoding {
            Encoding::Utf8 => Charset::Utf8,
            Encoding::Gbk => Charset::Gbk,
            Encoding::Gb18030 => Charset::Gb18030,
        }
    }
}

/// Runs a program to its end, and lets its connections on `net` close. What still blocks then, a read of the terminal say,
/// does not hold it up.
///
/// # Errors
/// The program's, or that the operating system has no place for a runtime.
pub fn run(net: &Net, program: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            let error = words::current().error(&error);
            Failure::new(Code::Network, t!("failure-start", error = error))
        })?;
    let outcome = runtime.block_on(program);
    runtime.shutdown_background();
    terminal::close();
    place::finish(net);
    finished(outcome)
}

/// What a program ends with, of which some of the input may have been unusable.
///
/// # Errors
/// The program's.
pub fn finished(outcome: Outcome) -> Outcome {
    match outcome {
        Ok(Code::Well) if BAD_INPUT.load(Ordering::Relaxed) => Ok(Code::Input),
        outcome => outcome,
    }
}

/// Whether some of the input could not be used; it has been said.
static BAD_INPUT: AtomicBool = AtomicBool::new(false);

/// The lines of standard input. They are read in a thread of their own, a few ahead.
pub fn lines() -> Input {
    if let Some(input) = desk::lines() {
        return input;
    }
    let (to, input) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut reader = Reader::new(io::stdin().lock());
        while let Some(line) = reader.next_line()
            && to.blocking_send(line).is_ok()
        {}
    });
    input
}

/// Lines of text from a stream.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Reader<R> {
    /// From the first line on.
    pub fn new(from: R) -> Reader<R> {
        Reader {
            from,
            line: Vec::new(),
            number: 0,
        }
    }
    /// The next line without its newline; none, when there are no more. It blocks. What is no text is told and left out.
    pub fn next_line(&mut self) -> Option<String> {
        loop {
            self.line.clear();
            self.number += 1;
            match self.from.read_until(b'\n', &mut self.line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    BAD_INPUT.store(true, Ordering::Relaxed);
                    let error = words::current().error(&error);
                    note(&t!("console-no-input", error = error));
                    return None;
                }
            }
            if let Ok(text) = str::from_utf8(&self.line) {
                return Some(text.trim_end_matches(['\n', '\r']).into());
            }
            BAD_INPUT.store(true, Ordering::Relaxed);
            note(&t!("console-not-utf8", number = self.number));
        }
    }
}

/// The person's lines: edited, where a person sits at a terminal, with those of former times from `history`; otherwise
/// [as they come](lines). Signals have to be [heard](stop_on_interrupt) before.
pub fn person(prompt: Option<String>, history: Option<PathBuf>) -> (Prompt, Input) {
    // In a lab time stands still while somebody types, and the lines are the lab's.
    if !desk::is_here() && terminal::can_edit() {
        let (to, input) = mpsc::channel(256);
        let prompt = prompt.unwrap_or_else(|| "> ".into());
        if terminal::open(prompt, history, move |line| to.blocking_send(line).is_ok()).is_ok() {
            return (Prompt::Editing, input);
        }
    }
    (Prompt::new(), lines())
}

/// Where lines of former times are kept: `sockeye/NAME` in XDG_STATE_HOME, or in ~/.local/state. None, if that cannot be
/// had.
pub fn history_file(name: &str) -> Option<PathBuf> {
    let absolute = |variable| {
        let path = std::env::var_os(variable).map(PathBuf::from)?;
        path.is_absolute().then_some(path)
    };
    let state =
        absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    let directory = state.join("sockeye");
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700); // what was said is nobody else's
    builder.recursive(true).create(&directory).ok()?;
    Some(directory.join(name))
}

/// No lines, for a program that only listens. The sender is to be kept: without it the input has ended.
pub fn no_lines() -> (mpsc::Sender<String>, Input) {
    mpsc::channel(1)
}

/// A line on standard output. If nobody reads it any more, or it cannot be written, the program ends here.
pub fn say(line: &str) {
    if terminal::print(line) {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        let failure = Failure::output(&error);
        if let Some(text) = failure.text() {
            note(text);
        }
        exit::at_once(failure.code());
    }
}

/// An event as a line of JSON.
pub fn say_json(event: &Value) {
    say(&event.to_string());
}

/// A line on standard error. Where nobody reads it, nothing is lost. Nothing is said of what breaks because the program is
/// being ended.
pub fn note(line: &str) {
    if exit::is_ending() {
        return;
    }
    if io::stderr().is_terminal() && terminal::print(&format!("sockeye: {line}")) {
        return;
    }
    let _ = writeln!(io::stderr(), "sockeye: {line}");
}

/// A line on standard error that belongs to a conversation, and is not about the command.
pub fn remark(line: &str) {
    if io::stderr().is_terminal() && terminal::print(line) {
        return;
    }
    let _ = writeln!(io::stderr(), "{line}"); // as above
}

/// What asks a person for a line, if there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prompt {
    /// Nobody is there to be asked.
    None,
    /// Somebody sits at a terminal, who is asked each time.
    Plain,
    /// A line is being edited at the bottom of a terminal, which asks by itself.
    Editing,
}

impl Prompt {
    /// A plain prompt, if a person sits at a terminal.
    pub fn new() -> Prompt {
        match io::stdin().is_terminal() && io::stderr().is_terminal() {
            true => Prompt::Plain,
            false => Prompt::None,
        }
    }
    /// Whether a person sits there.
    pub fn is_shown(self) -> bool {
        self != Prompt::None
    }
    /// Asks.
    pub fn ask(self) {
        self.ask_with("> ");
    }
    /// Asks in these words.
    pub fn ask_with(self, words: &str) {
        self.asked();
        if self == Prompt::Plain {
            let mut err = io::stderr();
            let _ = write!(err, "{words}").and_then(|()| err.flush()); // a prompt that cannot be shown is none
        }
    }
    /// Shows nothing, where events are told to a machine.
    pub fn asked(self) {
        desk::asked();
    }
    /// Leaves the line of the prompt before something else is shown.
    pub fn leave(self) {
        if self == Prompt::Plain {
            let _ = write!(io::stderr(), "\r\x1b[K"); // as above
        }
    }
}

impl Default for Prompt {
    fn default() -> Self {
        Prompt::new()
    }
}

/// Within a time, if there is one.
///
/// # Errors
/// `TimedOut`, or the operation's own.
pub async fn within<T>(
    limit: Option<sockeye_stack::Duration>,
    operation: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let Some(limit) = limit else {
        return operation.await;
    };
    match tokio::time::timeout(Duration::from_nanos(limit.as_nanos()), operation).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            t!("console-no-answer", limit = limit),
        )),
    }
}

/// An address to listen at: `HOST:PORT`, or `PORT` at all addresses of this machine.
///
/// # Errors
/// What is accepted.
pub fn listen_address(text: &str) -> Result<String, String> {
    address(text, "0.0.0.0")
}

/// An address to talk to: `HOST:PORT`, or `PORT` at this machine.
///
/// # Errors
/// What is accepted.
pub fn peer_address(text: &str) -> Result<String, String> {
    address(text, "127.0.0.1")
}

/// Whether it is an address to listen at or to talk to, which is left as it was written.
///
/// # Errors
/// What is accepted.
pub fn spelled(text: &str) -> Result<String, String> {
    address(text, "localhost").map(|_| text.into())
}

/// As [`listen_address`], with the host that is meant where none is written.
///
/// # Errors
/// What is accepted.
pub fn address(text: &str, host: &str) -> Result<String, String> {
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(text.into());
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port),
        None if text.bytes().all(|c| c.is_ascii_digit()) => ("", text),
        None => return Err(t!("address-no-port")),
    };
    if port.parse::<u16>().is_err() {
        return Err(
            match port.bytes().all(|c| c.is_ascii_digit()) && !port.is_empty() {
                true => t!("address-port-too-large", port = port),
                false => t!("address-port-no-number", port = shown(port)),
            },
        );
    }
    if name.contains(':') {
        return Err(t!("address-brackets"));
    }
    Ok(format!("{}:{port}", if name.is_empty() { host } else { name }))
}

/// What went wrong on the network: what, where, what to do.
pub fn failure(doing: &str, error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let (code, advice) = match error.kind() {
        Kind::ConnectionRefused => (Code::Refused, t!("advice-refused")),
        Kind::TimedOut => (Code::TimedOut, t!("advice-timed-out")),
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => {
            (Code::Reset, t!("advice-reset"))
        }
        Kind::AddrInUse => (Code::Network, t!("advice-in-use")),
        Kind::AddrNotAvailable => (Code::Network, t!("advice-no-such-address")),
        Kind::PermissionDenied => (Code::Network, t!("advice-not-permitted")),
        Kind::NetworkUnreachable | Kind::HostUnreachable => (Code::Network, t!("advice-no-way")),
        Kind::NetworkDown => (Code::Network, t!("advice-network-down")),
        Kind::InvalidInput => (Code::Usage, t!("advice-usage")),
        _ => (Code::Network, t!("advice-network")),
    };
    let error = words::current().error(error);
    Failure::new(
        code,
        t!("failure-told", doing = doing, error = error, advice = advice),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(listen_address("9001"), Ok("0.0.0.0:9001".into()));
        assert_eq!(peer_address(":9001"), Ok("127.0.0.1:9001".into()));
        assert_eq!(peer_address("[::1]:9001"), Ok("[::1]:9001".into()));
        assert_eq!(peer_address("name:1"), Ok("name:1".into()));
        assert!(
            peer_address("127.0.0.1:88888")
                .unwrap_err()
                .contains("no port 88888")
        );
        assert!(peer_address("name").unwrap_err().contains("HOST:PORT"));
        assert!(peer_address("::1:x").unwrap_err().contains("no port"));
        assert!(peer_address("fe80::1:80x:1").unwrap_err().contains("brackets"));
    }
}
