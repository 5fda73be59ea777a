//! Threads of their own for a few transfers.
//!
//! A transfer in lockstep spends its time in being woken. A thread that blocks in receiving is woken with one call less
//! than an event loop, which pays as long as there are about as many transfers as cores. Many are better off in a loop, so
//! in a crowd nobody sits down.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

/// What a transfer that is seated needs of its stack.
const STACK: usize = 256 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// How many there are, and how many are taken.
#[derive(Debug)]
pub(super) struct Seats {
    most: usize,
    /// How many of them may look for answers without sleeping.
    watching: usize,
    /// Those that are taken, and a copy to look at without waiting.
    taken: Mutex<usize>,
    hint: AtomicUsize,
    /// Transfers whose client has answered, wherever they run.
    under_way: AtomicUsize,
    left: Condvar,
    closed: AtomicBool,
}

/// A seat that is taken: a thread that waits for its work. Dropped, it is free again.
pub(super) struct Seat {
    jobs: mpsc::Sender<Job>,
    may_watch: bool,
}

/// Frees the seat when its thread ends, however it does.
struct Leaving(Arc<Seats>);
impl Drop for Leaving {
    fn drop(&mut self) {
        let mut taken = self.0.taken();
        *taken -= 1;
        self.0.hint.store(*taken, Relaxed);
        self.0.left.notify_all();
    }
}

impl Seats {
    pub(super) fn new(most: usize) -> Arc<Seats> {
        Arc::new(Seats {
            most,
            // Who looks without sleeping leaves as many cores to those who are to answer.
            watching: thread::available_parallelism().map_or(0, |cores| cores.get() / 2),
            taken: Mutex::new(0),
            hint: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            left: Condvar::new(),
            closed: AtomicBool::new(false),
        })
    }
    fn taken(&self) -> MutexGuard<'_, usize> {
        // A number is whole whatever happened.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// One more transfer is under way.
    pub(super) fn join(&self) {
        self.under_way.fetch_add(1, Relaxed);
    }
    /// One that was under way is over.
    pub(super) fn part(&self) {
        self.under_way.fetch_sub(1, Relaxed);
    }
    /// Takes a seat, if there are enough for all that are under way, one is free, and the system has a thread.
    pub(super) fn take(self: &Arc<Seats>) -> Option<Seat> {
        let crowded = self.under_way.load(Relaxed) > self.most;
        if crowded || self.hint.load(Relaxed) >= self.most || self.is_closed() {
            return None;
        }
        let may_watch = {
            let mut taken = self.taken();
            if *taken >= self.most {
                return None;
            }
            *taken += 1;
            self.hint.store(*taken, Relaxed);
            *taken <= self.watching
        };
        let leaving = Leaving(Arc::clone(self));
        let (sender, receiver) = mpsc::channel::<Job>();
        let thread = thread::Builder::new().name("transfer".into()).stack_size(STACK);
        let spawned = thread.spawn(move || {
            let _leaving = leaving;
            if let Ok(job) = receiver.recv() {
                job();
            }
        });
        spawned.ok().map(|_| Seat {
            jobs: sender,
            may_watch,
        })
    }
    /// How many are taken.
    #[cfg(test)]
    pub(super) fn are_taken(&self) -> usize {
        *self.taken()
    }
    /// Whether who sits is to end.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }
    /// Ends all who sit, and waits until they have gone.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
        let mut taken = self.taken();
        while *taken > 0 {
            taken = self.left.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
impl Seat {
    /// Whether it may look for answers without sleeping. So may those who took a seat while few others had one.
    pub(super) fn may_watch(&self) -> bool {
        self.may_watch
    }
    /// Gives the thread its work.
    pub(super) fn run(self, job: impl FnOnce() + Send + 'static) {
        // Its thread waits for nothing else.
        let _ = self.jobs.send(Box::new(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_stands() {
        let seats = Seats::new(2);
        for _ in 0..3 {
            seats.join();
        }
        assert!(seats.take().is_none());
        seats.part();
        assert!(seats.take().is_some());
    }

    #[test]
    fn seats_are_bounded_and_free_again() {
        let seats = Seats::new(2);
        let (first, second) = (seats.take().unwrap(), seats.take().unwrap());
        assert!(seats.take().is_none());
        drop(first); // its thread ends without work
        let (release, wait) = mpsc::channel::<()>();
        second.run(move || {
            let _ = wait.recv();
            panic!("a transfer's own fault");
        });
        drop(release);
        let mut taken = seats.taken();
        while *taken > 0 {
            taken = seats.left.wait(taken).unwrap();
        }
        drop(taken);
        assert!(seats.take().is_some());
        seats.close();
        assert!(seats.take().is_none());
    }
}
