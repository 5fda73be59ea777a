//! Sleeping and being woken, so that no wake is slept through. `tests/loom.rs` looks at every order in which threads can
//! run here; for that, what stands below comes from the crate's `sync`, which the model replaces by its own.

use std::time::Duration;

use super::sync::{AtomicBool, Condvar, Mutex, Ordering, PoisonError};

/// Two flags, between who sleeps on something that is costly to ring and who has work for it.
///
/// Each side writes one flag and then reads the other in the same step as it writes it, or after: at least one of them
/// sees the other's.
#[derive(Debug)]
pub(crate) struct Doze {
    /// There is something to do.
    due: AtomicBool,
    /// The sleeper sleeps, or is about to.
    sleeping: AtomicBool,
}

impl Doze {
    pub(crate) fn new() -> Doze {
        Doze {
            due: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
        }
    }
    /// There is work, which the sleeper can see by now. Whether it must be rung for.
    #[must_use]
    pub(crate) fn kick(&self) -> bool {
        self.due.store(true, Ordering::SeqCst);
        self.sleeping.swap(false, Ordering::SeqCst)
    }
    /// The sleeper has looked, and found nothing more to do. Whether it may sleep until rung for.
    #[must_use]
    pub(crate) fn may_sleep(&self) -> bool {
        // Not a store: reading what a kick wrote here is what shows us the kick's other flag.
        self.sleeping.swap(true, Ordering::SeqCst);
        !self.due.load(Ordering::SeqCst)
    }
    /// The sleeper is awake, and will look.
    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::SeqCst);
        self.due.store(false, Ordering::SeqCst);
    }
}

/// What a thread sleeps on. Its own, not the thread's park token, which belongs to the program.
#[derive(Debug)]
pub(crate) struct Parker {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    pub(crate) fn new() -> Parker {
        Parker {
            woken: Mutex::new(false),
            changed: Condvar::new(),
        }
    }
    /// Ends the sleep, or the next one.
    pub(crate) fn unpark(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
    /// Sleeps until woken; false if no time is left before. `left` says how much is; `None` is no end.
    pub(crate) fn park(&self, left: impl Fn() -> Option<Duration>) -> bool {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken {
            woken = match left() {
                None => self.changed.wait(woken).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return false,
                Some(left) => {
                    let result = self.changed.wait_timeout(woken, left);
                    result.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *woken = false;
        true
    }
}
