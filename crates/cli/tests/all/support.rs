//! Programs under test, and the kernel's that they talk with.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long something may take that should be there at once: a guard against hanging, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a program is installed; a test that skips for the want of it says so.
pub(crate) fn is_installed(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output();
    let is = found.is_ok_and(|output| output.status.success());
    if !is {
        println!("skipped: {program} is not installed");
    }
    is
}

/// A Python program of the kernel's world.
pub(crate) fn python(program: &str) -> Program {
    Program::start(Command::new("python3").args(["-c", &format!("import socket\n{program}")]))
}

/// The command under test.
pub(crate) fn sockeye(arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    Program::start(
        command
            .args(arguments)
            .env("LC_ALL", "C")
            .env_remove("NO_COLOR")
            .env_remove("SOCKEYE_NET"),
    )
}

/// A program that runs, whose output comes line by line. One that is dropped is ended.
pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    out: Receiver<String>,
    err: Receiver<String>,
    /// What was taken from standard error.
    told: String,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Program {
        let started = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Program {
            input: child.stdin.take(),
            out: lines(child.stdout.take().unwrap()),
            err: lines(child.stderr.take().unwrap()),
            told: String::new(),
            child,
        }
    }
    /// The next line of standard output.
    pub(crate) fn line(&mut self) -> String {
        match self.out.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => panic!("no line on standard output: {error}; {}", self.errors()),
        }
    }
    /// Reads standard output up to a line that contains `text`.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }
    /// Reads standard error up to a line that contains `text`.
    pub(crate) fn error_with(&mut self, text: &str) -> String {
        loop {
            let line = match self.err.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(error) => panic!("no {text:?} on standard error: {error}; {}", self.told),
            };
            self.told.push_str(&line);
            self.told.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }
    /// All of standard error up to now; to its end, after the program's.
    pub(crate) fn errors(&mut self) -> &str {
        while let Ok(line) = self.err.recv_timeout(Duration::from_millis(100)) {
            self.told.push_str(&line);
            self.told.push('\n');
        }
        &self.told
    }
    /// Writes to standard input.
    pub(crate) fn say(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }
    /// As [`Program::say`], to one that may have ended already.
    pub(crate) fn say_if_there(&mut self, text: &str) {
        let _ = self.input.as_mut().unwrap().write_all(text.as_bytes());
    }
    /// Ends standard input.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }
    /// Sends a signal: INT, TERM.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()));
    }
    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
    /// Waits for its end. Standard input ends, too.
    pub(crate) fn end(&mut self) -> ExitStatus {
        self.input = None;
        self.child.wait().unwrap()
    }
    /// As [`Program::end`], for one that ends by itself: its input does not.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (to, lines) = channel();
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(from.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            let text = String::from_utf8_lossy(&line);
            if to.send(text.trim_end_matches(['\n', '\r']).into()).is_err() {
                return;
            }
            line.clear();
        }
    });
    lines
}
