//! poll and epoll: what sockets are ready for.

use super::{Attempt, EBADF, EINVAL, Progress, Reply, argument};
use crate::drill::constant;
use crate::drill::eval;
use crate::drill::fault::{Difference, Fault};
use crate::drill::syntax::{Call, Expr, Node};
use crate::drill::world::World;

const POLLNVAL: i64 = 0x20;
/// What is told though nobody asks for it: POLLERR, POLLHUP.
const UNASKED: i64 = 0x18;
const EEXIST: i32 = 17;
const ENOENT: i32 = 2;
/// EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE.
const SPECIAL: i64 = 1 << 31 | 1 << 30 | 1 << 28;
const CLOEXEC: i64 = 0o2_000_000;

/// A descriptor that an epoll watches.
#[derive(Clone, Copy, Debug)]
pub(in crate::drill) struct Watched {
    fd: i64,
    events: i64,
}

impl World {
    /// What a descriptor is ready for; `None` if there is none.
    fn ready(&self, fd: i64) -> Option<i64> {
        let held = self.fds.get(&fd)?;
        let ready = held.socket.ready(None).ok()?;
        // Linux tells the same twice: POLLRDNORM with POLLIN, POLLWRNORM with POLLOUT.
        let bits = i64::from(ready.bits());
        Some(bits | (bits & 0x1) << 6 | (bits & 0x4) << 6)
    }
    /// When a call with a timeout in milliseconds gives up; whether it does so now.
    fn patience(&self, call: &Call, at: usize, progress: &mut Progress) -> Result<bool, Fault> {
        let millis = eval::int(argument(call, at)?)?;
        if !progress.begun && millis > 0 {
            progress.deadline = Some(self.engine.now() + millis.min(1 << 40) * 1000);
        }
        let over = progress
            .deadline
            .is_some_and(|deadline| self.engine.now() >= deadline);
        Ok(millis == 0 || over)
    }

    pub(super) fn poll(&mut self, call: &Call, progress: &mut Progress) -> Result<Attempt, Fault> {
        let polled = eval::list(argument(call, 0)?)?;
        let over = self.patience(call, 2, progress)?;
        let mut differences = Vec::new();
        let mut count = 0;
        for one in polled {
            let fields = eval::fields(one)?;
            let fd = eval::int(eval::needed(fields, "fd", one.span)?)?;
            let events = eval::int(eval::needed(fields, "events", one.span)?)?;
            let came = match self.ready(fd) {
                Some(ready) => ready & (events | UNASKED),
                None if fd < 0 => 0,
                None => POLLNVAL,
            };
            count += i64::from(came != 0);
            let expected = match eval::field(fields, "revents") {
                Some(expected) => eval::int_or_any(expected)?,
                None => None,
            };
            if let Some(expected) = expected
                && expected != came
            {
                let words = constant::poll_words;
                let what = format!("revents of {fd}");
                differences.push(Difference::new(&what, words(expected), words(came)));
            }
        }
        if count == 0 && !over {
            return Ok(Attempt::Blocked);
        }
        Ok(Attempt::Done(Reply {
            value: count,
            errno: None,
            differences,
        }))
    }

    pub(super) fn epoll_create(&mut self, call: &Call) -> Result<Attempt, Fault> {
        let number = eval::int(argument(call, 0)?)?;
        let valid = match call.name.as_str() {
            "epoll_create" => number > 0,
            _ => number & !CLOEXEC == 0,
        };
        if !valid {
            return Ok(Attempt::errno(EINVAL));
        }
        let next = self.next_fd();
        let fd = match call.result.node {
            Node::Any => next,
            _ => eval::int(&call.result)?,
        };
        if fd < 0 {
            return Ok(Attempt::value(next));
        }
        self.epolls.insert(fd, Vec::new());
        Ok(Attempt::value(fd))
    }
    pub(super) fn epoll_ctl(&mut self, call: &Call) -> Result<Attempt, Fault> {
        let epoll = eval::int(argument(call, 0)?)?;
        let operation = eval::int(argument(call, 1)?)?;
        let fd = eval::int(argument(call, 2)?)?;
        let events = match call.arguments.get(3) {
            Some(event) if operation != 2 => event_of(event)?.0,
            _ => 0,
        };
        if let Some(event) = call.arguments.get(3)
            && events & SPECIAL != 0
        {
            let message = "edge-triggered, one-shot and exclusive watching is not supported";
            return Err(Fault::unsupported(event.span, message, "not supported"));
        }
        let known = self.fds.contains_key(&fd);
        let Some(watched) = self.epolls.get_mut(&epoll).filter(|_| known) else {
            return Ok(Attempt::errno(EBADF));
        };
        let place = watched.iter().position(|w| w.fd == fd);
        Ok(match (operation, place) {
            (1, None) => {
                watched.push(Watched { fd, events });
                Attempt::value(0)
            }
            (1, Some(_)) => Attempt::errno(EEXIST),
            (2, Some(place)) => {
                watched.remove(place);
                Attempt::value(0)
            }
            (3, Some(place)) => {
                watched[place].events = events;
                Attempt::value(0)
            }
            (2 | 3, None) => Attempt::errno(ENOENT),
            _ => Attempt::errno(EINVAL),
        })
    }
    pub(super) fn epoll_wait(&mut self, call: &Call, progress: &mut Progress) -> Result<Attempt, Fault> {
        let epoll = eval::int(argument(call, 0)?)?;
        let said = argument(call, 1)?;
        let most = eval::len(argument(call, 2)?)?;
        let over = self.patience(call, 3, progress)?;
        let Some(watched) = self.epolls.get(&epoll) else {
            return Ok(Attempt::errno(EBADF));
        };
        let came: Vec<Watched> = watched
            .iter()
            .filter_map(|watched| {
                let events = self.ready(watched.fd)? & (watched.events | UNASKED);
                let fd = watched.fd;
                (events != 0).then_some(Watched { fd, events })
            })
            .take(most)
            .collect();
        if came.is_empty() && !over {
            return Ok(Attempt::Blocked);
        }
        let expected: Vec<&Expr> = match &said.node {
            Node::Any => Vec::new(),
            Node::List(items) => items.iter().collect(),
            _ => vec![said],
        };
        let mut differences = Vec::new();
        for (expected, came) in expected.into_iter().zip(&came) {
            let (events, fd) = event_of(expected)?;
            let words = |events: i64, fd: Option<i64>| match fd {
                Some(fd) => format!("{} of {fd}", constant::poll_words(events)),
                None => constant::poll_words(events),
            };
            if events != came.events || fd.is_some_and(|fd| fd != came.fd) {
                let shown = words(came.events, fd.map(|_| came.fd));
                differences.push(Difference::new("event", words(events, fd), shown));
            }
        }
        Ok(Attempt::Done(Reply {
            value: came.len() as i64,
            errno: None,
            differences,
        }))
    }
}

/// `{events=EPOLLIN, fd=4}`: the events, and the descriptor if it is told.
fn event_of(expr: &Expr) -> Result<(i64, Option<i64>), Fault> {
    let fields = eval::fields(eval::one(expr))?;
    let events = eval::int(eval::needed(fields, "events", expr.span)?)?;
    let fd = match eval::field(fields, "fd") {
        Some(fd) => eval::int_or_any(fd)?,
        None => None,
    };
    Ok((events, fd))
}
