//! Waiting: a thread sleeps until a waker wakes it or its time is up.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

/// How long a call may wait, and what it says when it may not wait longer.
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

/// What a thread sleeps on. Its own, not the thread's park token, which belongs to the program.
#[derive(Default)]
struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}

impl Parker {
    /// Sleeps until woken; false if the time is up before.
    fn park(&self, deadline: Option<Instant>) -> bool {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken {
            woken = match deadline {
                None => self.changed.wait(woken).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    let result = self.changed.wait_timeout(woken, left);
                    result.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *woken = false;
        true
    }
}

thread_local! {
    /// One a thread, with its waker: registering it twice is seen, so that lists of waiters stay short.
    static PARKER: RefCell<Option<(Arc<Parker>, Waker)>> = const { RefCell::new(None) };
}

/// Tries until `step` does not say "would block", sleeping in between. `step` registers the waker if it has to wait.
pub(crate) fn block<R>(wait: Wait, mut step: impl FnMut(Option<&Waker>) -> io::Result<R>) -> io::Result<R> {
    if !wait.may_wait() {
        return step(None);
    }
    let (parker, waker) = PARKER.with_borrow_mut(|slot| {
        slot.get_or_insert_with(|| {
            let parker = Arc::new(Parker::default());
            (parker.clone(), Waker::from(parker))
        })
        .clone()
    });
    loop {
        match step(Some(&waker)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !parker.park(wait.deadline()) {
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
    use std::time::Duration;

    #[test]
    fn a_waker_ends_the_sleep_and_a_deadline_too() {
        let mut tries = 0;
        let result = block(Wait::Forever, |waker| {
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
        let soon = Instant::now() + Duration::from_millis(1);
        let error = block(Wait::Until(soon), never).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (io::ErrorKind::TimedOut, "timed out".into())
        );
        let error = block(Wait::OptionUntil(soon), never).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(
            block(Wait::No, never).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }
}
