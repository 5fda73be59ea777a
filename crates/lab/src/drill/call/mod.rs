//! System calls of a script, made on the stack's sockets.
//!
//! Time is virtual, so no call really waits: one that would is tried again after whatever happens next, until it is done
//! or the script's patience is over.

mod open;
mod option;
mod ready;
mod stream;

use std::collections::BTreeMap;
use std::io;

use sockeye_net::socket::{Flags, Socket};

use super::constant;
use super::eval;
use super::fault::{Difference, Fault, Span};
use super::syntax::{self, Expr, Node};
use super::world::World;

pub(super) use ready::Watched;

/// Something that a script holds by a number.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) socket: Socket,
    /// O_NONBLOCK.
    pub(super) nonblocking: bool,
    /// The connection that it is the end of, where the script's packets tell of it.
    pub(super) conn: Option<usize>,
}

/// The script's descriptors.
pub(super) type Descriptors = BTreeMap<i64, Held>;

/// How far a call has come that waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// It was tried before.
    pub(super) begun: bool,
    /// Octets that it has moved.
    pub(super) done: usize,
    /// When it gives up by itself, in the script's time.
    pub(super) deadline: Option<i64>,
}

/// What a call answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    pub(super) value: i64,
    pub(super) errno: Option<i32>,
    /// What it handed out, where that is not what the script expects.
    pub(super) differences: Vec<Difference>,
}

/// What came of trying.
#[derive(Debug)]
pub(super) enum Attempt {
    Blocked,
    Done(Reply),
}

impl Attempt {
    fn value(value: i64) -> Attempt {
        Attempt::Done(Reply {
            value,
            ..Reply::default()
        })
    }
    fn errno(errno: i32) -> Attempt {
        Attempt::Done(Reply {
            value: -1,
            errno: Some(errno),
            differences: Vec::new(),
        })
    }
    /// An error of the stack; where it is about waiting and the call may wait, it does.
    fn error(error: &io::Error, waits: bool) -> Attempt {
        let errno = error.raw_os_error().unwrap_or(EINVAL);
        if waits && error.kind() == io::ErrorKind::WouldBlock {
            return Attempt::Blocked;
        }
        Attempt::errno(errno)
    }
    fn of(result: io::Result<i64>, waits: bool) -> Attempt {
        match result {
            Ok(value) => Attempt::value(value),
            Err(error) => Attempt::error(&error, waits),
        }
    }
}

const EINVAL: i32 = 22;
const EBADF: i32 = 9;
const EAGAIN: i32 = 11;

impl World {
    /// Makes a call, or tries again.
    pub(super) fn attempt(&mut self, call: &syntax::Call, progress: &mut Progress) -> Result<Attempt, Fault> {
        let polls = matches!(call.name.as_str(), "poll" | "epoll_wait");
        if let Some(deadline) = progress.deadline
            && self.engine.now() >= deadline
            && !polls
        {
            return Ok(Attempt::errno(EAGAIN));
        }
        let attempt = match call.name.as_str() {
            "socket" => self.socket(call),
            "bind" => self.bind(call),
            "listen" => self.listen(call),
            "accept" | "accept4" => self.accept(call),
            "connect" => self.connect(call, progress),
            "read" | "recv" | "recvfrom" | "readv" | "recvmsg" => self.receive(call, progress),
            "write" | "send" | "sendto" | "writev" | "sendmsg" => self.send(call, progress),
            "close" => self.close(call),
            "shutdown" => self.shutdown(call),
            "setsockopt" => self.set_option(call),
            "getsockopt" => self.get_option(call),
            "fcntl" => self.fcntl(call),
            "ioctl" => self.ioctl(call),
            "poll" => self.poll(call, progress),
            "epoll_create" | "epoll_create1" => self.epoll_create(call),
            "epoll_ctl" => self.epoll_ctl(call),
            "epoll_wait" => self.epoll_wait(call, progress),
            name => {
                let message = format!("{name} is not among the calls that scripts can make");
                return Err(Fault::unsupported(call.span, message, "not supported"));
            }
        };
        progress.begun = true;
        // What the call has put in the stack's hands goes out.
        self.engine.drain();
        attempt
    }

    fn held(&self, call: &syntax::Call) -> Result<Option<Held>, Fault> {
        Ok(self.fds.get(&eval::int(argument(call, 0)?)?).cloned())
    }
}

/// An argument that must be there.
fn argument(call: &syntax::Call, at: usize) -> Result<&Expr, Fault> {
    call.arguments.get(at).ok_or_else(|| {
        let message = format!("{} takes more arguments", call.name);
        let label = format!("this gives it {}", call.arguments.len());
        Fault::script(call.span, message, label)
    })
}

/// Flags of a call, and whether all of them are known.
fn flags(call: &syntax::Call, expr: &Expr) -> Result<Flags, Fault> {
    const NOSIGNAL: u32 = 0x4000;
    const MORE: u32 = 0x8000;
    let bits = eval::int(expr)?;
    let bits = u32::try_from(bits)
        .map_err(|_| Fault::script(expr.span, "these flags are out of range", "32 bits"))?;
    let known = Flags::from_bits_truncate(bits);
    match bits & !known.bits() & !NOSIGNAL {
        0 => Ok(known),
        MORE => Err(unsupported_flag(call, expr.span, "MSG_MORE")),
        other => Err(unsupported_flag(call, expr.span, &format!("{other:#x}"))),
    }
}
fn unsupported_flag(call: &syntax::Call, span: Span, flag: &str) -> Fault {
    let message = format!("{} does not take the flag {flag} here", call.name);
    Fault::unsupported(span, message, "not supported")
}

/// Sets what a call answered against what the script says.
pub(super) fn compare(call: &syntax::Call, reply: &Reply) -> Result<Vec<Difference>, Fault> {
    let mut found = Vec::new();
    let expected = match &call.result.node {
        Node::Any => None,
        _ => Some(eval::int(&call.result)?),
    };
    let errno = match &call.errno {
        None => None,
        Some((name, _)) => match constant::errno(name) {
            Some(errno) => Some(errno),
            None => {
                let message = format!("{name} is no errno that is known here");
                return Err(Fault::script(call.span, message, "unknown name"));
            }
        },
    };
    let words = |value: i64, errno: Option<i32>| match errno {
        Some(errno) => format!("{value} {} ({})", constant::errno_name(errno), text_of(errno)),
        None => value.to_string(),
    };
    if let Some(expected) = expected {
        let same_errno = match (errno, reply.errno) {
            (Some(expected), came) => Some(expected) == came,
            // A script may leave out which error it is.
            (None, came) => came.is_none() || expected < 0,
        };
        if expected != reply.value || !same_errno {
            found.push(Difference::new(
                "result",
                words(expected, errno),
                words(reply.value, reply.errno),
            ));
        } else if let (Some((_, Some(text))), Some(errno)) = (&call.errno, reply.errno)
            && *text != text_of(errno)
        {
            found.push(Difference::new("text of the error", text, text_of(errno)));
        }
    }
    found.extend(reply.differences.iter().cloned());
    Ok(found)
}

/// The system's words for an errno.
fn text_of(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}
