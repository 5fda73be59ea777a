//! How the command ends: a number for scripts, a sentence for people.

use std::io;
use std::path::Path;
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::control;
use crate::place;
use crate::terminal;

use crate::{t, words};

/// The exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Code {
    /// All is well, and every claim held.
    Well = 0,
    /// A claim of a scenario did not hold.
    NotHeld = 1,
    /// The command line was wrong.
    Usage = 2,
    /// A file or a standard stream could not be read or written.
    Input = 3,
    /// The peer refused the connection.
    Refused = 4,
    /// No answer came in time.
    TimedOut = 5,
    /// The connection was reset, or ended before its answer was complete.
    Reset = 6,
    /// Any other error of the network.
    Network = 7,
    /// No running Sockeye has a socket table to show. (8 to 11 are TFTP's, see `sockeye tftp --help`.)
    NothingRuns = 12,
    /// A packet script has an error.
    Script = 13,
    /// A packet script asks for something that is not supported.
    Unsupported = 14,
    /// Interrupted by Ctrl-C (128 + SIGINT, as a shell would say).
    Interrupted = 130,
    /// Nobody reads our output any more (128 + SIGPIPE, as a shell would say).
    NoReader = 141,
}

/// The table of exit codes, for the help.
pub const TABLE: &str = "\
Exit codes:
  0  all is well, and every claim held
  1  a claim of a scenario did not hold
  2  the command line was wrong
  3  a file or a standard stream could not be read or written
  4  the peer refused the connection
  5  no answer came in time
  6  the connection was reset, or ended before its answer was complete
  7  another error of the network
  8 to 11  what a TFTP server said: see sockeye tftp --help
  12 no running Sockeye has a socket table to show
  13 a packet script has an error
  14 a packet script asks for something that is not supported
  130, 141  interrupted; nobody reads the output any more";

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

/// Somebody ends the program: what others have to say, and how they end, counts no more.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Whether the program is being ended [at once](at_once).
pub fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// To be called at the end of the program: does not return if somebody [ends it at once](at_once) just now, with a code of
/// its own.
pub fn leave_to_who_ends_it() {
    while is_ending() {
        thread::park();
    }
}

/// Ends the program at once, from whatever thread. Peers of a stack in it are told.
pub fn at_once(code: Code) -> ! {
    ENDING.store(true, Ordering::SeqCst);
    place::abandon();
    control::withdraw();
    terminal::abandon();
    process::exit(i32::from(code as u8))
}

/// Why the command could not do its work.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    text: String,
}

impl Failure {
    /// A failure with its sentence: what, where, what to do.
    pub fn new(code: Code, text: impl Into<String>) -> Failure {
        Failure {
            code,
            text: text.into(),
        }
    }
    /// A file could not be written.
    pub fn file(path: &Path, error: &io::Error) -> Failure {
        let error = words::current().error(error);
        let text = t!("failure-file", path = path.display(), error = error);
        Failure::new(Code::Input, text)
    }
    /// Standard output, or what stands for it, failed.
    pub fn output(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Code::NoReader, ""),
            _ => {
                let error = words::current().error(error);
                Failure::new(Code::Input, t!("failure-output", error = error))
            }
        }
    }
    /// Standard input, or what stands for it, failed.
    pub fn input(error: &io::Error) -> Failure {
        let error = words::current().error(error);
        Failure::new(Code::Input, t!("failure-input", error = error))
    }
    /// A connection failed.
    pub fn network(doing: &str, error: &io::Error) -> Failure {
        use io::ErrorKind as Kind;
        let (code, advice) = match error.kind() {
            Kind::ConnectionRefused => (Code::Refused, t!("advice-refused")),
            Kind::TimedOut => (Code::TimedOut, t!("advice-lab-loses")),
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => {
                (Code::Reset, t!("advice-reset"))
            }
            Kind::InvalidData => (Code::Network, t!("advice-lab-no-upper")),
            _ => (Code::Network, t!("advice-lab-diagram")),
        };
        let error = words::current().error(error);
        let text = t!("failure-told", doing = doing, error = error, advice = advice);
        Failure::new(code, text)
    }
    /// The exit code.
    pub fn code(&self) -> Code {
        self.code
    }
    /// The sentence, where there is somebody to read it.
    pub fn text(&self) -> Option<&str> {
        (self.code != Code::NoReader).then_some(self.text.as_str())
    }
}
