//! What the operating system says of a thread: whether it runs, sleeps, and on what.

use std::fs;
use std::time::{Duration, Instant};

/// A thread's number in the operating system.
pub(super) type Tid = i32;

/// The calling thread's.
pub(super) fn current() -> Tid {
    thread_local!(static TID: Tid = rustix::thread::gettid().as_raw_nonzero().get());
    TID.with(|tid| *tid)
}

/// What a thread was seen doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sight {
    /// It runs, or waits for a processor.
    Runs,
    /// It sleeps on a lock, a condition or a join: it waits for another thread.
    WaitsForThread,
    /// It sleeps on something else: time, a file, a child.
    Sleeps,
    /// There is no such thread any more.
    Gone,
}

/// Looks at a thread of this process.
pub(super) fn look(tid: Tid) -> Sight {
    let own = |file: &str| fs::read_to_string(format!("/proc/self/task/{tid}/{file}"));
    let Ok(stat) = own("stat") else {
        // Where there is no /proc at all, nobody is known to be gone.
        return match fs::metadata("/proc/self/task") {
            Ok(_) => Sight::Gone,
            Err(_) => Sight::Runs,
        };
    };
    // The state is the first field behind the name, which stands in parentheses and may hold any.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    if state != Some('S') {
        return Sight::Runs;
    }
    // The call it sleeps in; not every system tells.
    let call = own("syscall").unwrap_or_default();
    let number = call.split(' ').next().and_then(|first| first.parse::<i64>().ok());
    match number {
        Some(libc::SYS_futex) => Sight::WaitsForThread,
        _ => Sight::Sleeps,
    }
}

/// How long a thread must be seen waiting for others, without a pause, to be taken for idle. Locks and conditions are
/// held for less; a program's own patience (packetdrill's: a second) is longer.
const IDLE_ON_THREAD: Duration = Duration::from_millis(20);
/// As [`IDLE_ON_THREAD`], for one that sleeps on something else: it may only be giving others a moment.
const IDLE_ASLEEP: Duration = Duration::from_millis(300);
/// One that is busy with something of its own for so long is taken for idle too: it does not need us.
const IDLE_AWAY: Duration = Duration::from_secs(3);

/// Watches one thread that is not in a call, over a while in which it makes none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    /// Calls that it had made when the watch began.
    calls: u64,
    /// When it began.
    began: Instant,
    last: Sight,
    /// Since when it has been seen asleep, and since when waiting for a thread.
    asleep: Option<Instant>,
    waiting: Option<Instant>,
}

impl Watch {
    /// Of a thread that has made so many calls.
    pub(super) fn new(calls: u64) -> Watch {
        Watch {
            calls,
            began: Instant::now(),
            last: Sight::Runs,
            asleep: None,
            waiting: None,
        }
    }
    /// Takes down what was seen, when it had made so many calls.
    pub(super) fn see(&mut self, calls: u64, sight: Sight) {
        if calls != self.calls {
            *self = Watch::new(calls);
        }
        let now = Instant::now();
        let since = |was: Option<Instant>, is: bool| is.then(|| was.unwrap_or(now));
        self.asleep = since(
            self.asleep,
            matches!(sight, Sight::Sleeps | Sight::WaitsForThread),
        );
        self.waiting = since(self.waiting, sight == Sight::WaitsForThread);
        self.last = sight;
    }
    pub(super) fn is_gone(&self) -> bool {
        self.last == Sight::Gone
    }
    /// Whether the thread, which has made so many calls by now, does nothing.
    pub(super) fn is_idle(&self, calls: u64) -> bool {
        let lasts =
            |since: Option<Instant>, long: Duration| since.is_some_and(|since| since.elapsed() >= long);
        calls == self.calls
            && (self.is_gone()
                || lasts(self.waiting, IDLE_ON_THREAD)
                || lasts(self.asleep, IDLE_ASLEEP)
                || self.began.elapsed() >= IDLE_AWAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Condvar, Mutex, mpsc};
    use std::thread;

    #[test]
    fn a_thread_is_seen_waiting_and_gone() {
        assert_eq!(look(current()), Sight::Runs);
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let (tell, told) = mpsc::channel();
        let waiter = thread::spawn({
            let gate = gate.clone();
            move || {
                tell.send(current()).unwrap();
                let mut open = gate.0.lock().unwrap();
                while !*open {
                    open = gate.1.wait(open).unwrap();
                }
            }
        });
        let tid = told.recv().unwrap();
        let mut watch = Watch::new(0);
        while !watch.is_idle(0) {
            watch.see(0, look(tid));
            thread::yield_now();
        }
        // A call of its begins the watch anew.
        assert!(!watch.is_idle(1));
        watch.see(1, look(tid));
        assert!(!watch.is_idle(1));
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        waiter.join().unwrap();
        while look(tid) != Sight::Gone {
            thread::yield_now();
        }
        watch.see(1, Sight::Gone);
        assert!(watch.is_gone() && watch.is_idle(1));
    }
}
