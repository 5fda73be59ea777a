//! Waiting: a thread sleeps until a waker wakes it or its time is up.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};
use std::task::{Wake, Waker};
use std::time::Duration;

use sockeye_stack::Instant;

use crate::sleep::Parker;

/// How threads wait on a host whose time is not the machine's: whoever moves that time puts them to sleep and wakes
/// them. See [`Clock::with_waiter`](crate::Clock::with_waiter).
pub trait Waiter: Send + Sync + fmt::Debug {
    /// The time. It never goes back.
    fn now(&self) -> Instant;
    /// What ends the calling thread's wait. Called before the thread looks whether it has to wait at all, so that a wake
    /// between the look and the wait counts.
    fn waker(&self) -> Waker;
    /// Puts the calling thread to sleep until its waker is woken, or has been since it last waited, or until `until` has
    /// come: then `false`. It may return for no reason, too.
    ///
    /// # Errors
    /// Nobody moves the time any more: the call that waits fails with this error.
    fn wait(&self, until: Option<Instant>) -> io::Result<bool>;
}

/// By which time calls wait.
#[derive(Clone, Debug, Default)]
pub(crate) enum Pace {
    /// The machine's.
    #[default]
    Machine,
    /// One that somebody else moves.
    Waiter(Arc<dyn Waiter>),
}

/// Where the machine's time is counted from, for deadlines.
static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

impl Pace {
    /// The time; only differences mean something.
    pub(crate) fn now(&self) -> Instant {
        match self {
            Pace::Machine => Instant::from_nanos(START.elapsed().as_nanos() as u64),
            Pace::Waiter(waiter) => waiter.now(),
        }
    }
    /// A deadline; `None` if it is beyond what can be counted, which is for ever.
    pub(crate) fn after(&self, nanos: u64) -> Option<Instant> {
        self.now().as_nanos().checked_add(nanos).map(Instant::from_nanos)
    }
}

/// How long a call may wait, and what it says when it may not wait longer. Times are those of its [`Pace`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// Not at all: would block (EAGAIN).
    No,
    /// Until it is done.
    Forever,
    /// Until then; the program set a timeout and is told of it: timed out.
    Until(Instant),
    /// Until then; the option of the socket (SO_RCVTIMEO, SO_SNDTIMEO) ends it as if it did not block: EAGAIN.
    OptionUntil(Instant),
}

impl Wait {
    pub(crate) fn deadline(self) -> Option<Instant> {
        match self {
            Wait::No | Wait::Forever => None,
            Wait::Until(at) | Wait::OptionUntil(at) => Some(at),
        }
    }
    pub(crate) fn may_wait(self) -> bool {
        !matches!(self, Wait::No)
    }
    /// What a call says whose time is up.
    pub(crate) fn expired(self) -> io::Error {
        match self {
            Wait::Until(_) => io::Error::new(io::ErrorKind::TimedOut, "timed out"),
            _ => crate::error::from_errno(crate::error::errno::EAGAIN),
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.unpark();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.unpark();
    }
}

thread_local! {
    /// One a thread, with its waker: registering it twice is seen, so that lists of waiters stay short.
    static PARKER: RefCell<Option<(Arc<Parker>, Waker)>> = const { RefCell::new(None) };
}

/// Tries until `step` does not say "would block", sleeping in between. `step` registers the waker if it has to wait.
pub(crate) fn block<R>(
    pace: &Pace,
    wait: Wait,
    mut step: impl FnMut(Option<&Waker>) -> io::Result<R>,
) -> io::Result<R> {
    if !wait.may_wait() {
        return step(None);
    }
    if let Pace::Waiter(waiter) = pace {
        let waker = waiter.waker();
        return repeat(wait, || step(Some(&waker)), |until| waiter.wait(until));
    }
    let (parker, waker) = PARKER.with_borrow_mut(|slot| {
        slot.get_or_insert_with(|| {
            let parker = Arc::new(Parker::new());
            (parker.clone(), Waker::from(parker))
        })
        .clone()
    });
    let left = |until: Instant| Duration::from_nanos(until.since(pace.now()).as_nanos());
    repeat(
        wait,
        || step(Some(&waker)),
        |until| Ok(parker.park(|| until.map(left))),
    )
}

fn repeat<R>(
    wait: Wait,
    mut step: impl FnMut() -> io::Result<R>,
    mut sleep: impl FnMut(Option<Instant>) -> io::Result<bool>,
) -> io::Result<R> {
    loop {
        match step() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !sleep(wait.deadline())? {
                    return Err(wait.expired());
                }
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_waker_ends_the_sleep_and_a_deadline_too() {
        let mut tries = 0;
        let result = block(&Pace::Machine, Wait::Forever, |waker| {
            tries += 1;
            if tries == 1 {
                let waker = waker.unwrap().clone();
                std::thread::spawn(move || waker.wake());
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(tries)
        });
        assert_eq!(result.unwrap(), 2);
        let never = |_: Option<&Waker>| -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) };
        let soon = Pace::Machine.after(1_000_000).unwrap();
        let error = block(&Pace::Machine, Wait::Until(soon), never).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (io::ErrorKind::TimedOut, "timed out".into())
        );
        let error = block(&Pace::Machine, Wait::OptionUntil(soon), never).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(
            block(&Pace::Machine, Wait::No, never).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }
}
