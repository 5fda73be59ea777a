//! The machine's time, and the threads that live by it.
//!
//! Time moves only where a thread asks for it: it looks at the clock (a microsecond passes), sleeps, waits for a packet,
//! or blocks while nobody else does anything. What happens on the way happens in its order: the stack's timers run, and
//! a call whose time is up ends.
//!
//! Results must not depend on how the operating system schedules threads. So when a call that blocked can go on, time
//! stands still until its thread has asked what time it is (or has gone on to something else), and no other call begins
//! before it has ended:
//!
//! ```text
//!              enter                    wait                    woken, or its time is up
//!   Outside ───────────▶ Calling ───────────────▶ Waiting ───────────────────────────────▶ Woken
//!      ▲                   │  ▲ may move the clock: Moving                                    │
//!      └───────────────────┘  └────────────── would block again ◀─────────────────────────────┤
//!      ▲ the time is asked, another call begins, or the thread is seen asleep                 │
//!      └────────────────────────────────────── Due ◀──────────────────────────────────────────┘
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Wake, Waker};
use std::time::Duration as Real;

use sockeye_net::socket::Waiter;
use sockeye_stack::{Duration, Instant};

use super::threads::{Tid, Watch, current, look};
use super::wire::Wire;

type Watches = BTreeMap<Tid, Watch>;

/// How often a thread that waits for others looks at what they do, where nothing tells it.
const LOOK: Real = Real::from_millis(3);
/// How often a thread looks that has nothing to wait for but others' calls, at most.
const LOOK_SELDOM: Real = Real::from_millis(100);

/// The clock, and who waits by it.
pub(super) struct Time {
    now: AtomicU64,
    state: Mutex<State>,
    /// A thread has changed its phase.
    changed: Condvar,
    wire: Arc<Wire>,
    /// For the wakers.
    own: Weak<Time>,
}

#[derive(Debug, Default)]
struct State {
    threads: BTreeMap<Tid, Thread>,
    closed: bool,
}

#[derive(Debug)]
struct Thread {
    phase: Phase,
    /// Its waker was woken since it last waited.
    woken: bool,
    /// A wait of its present call has ended.
    waited: bool,
    /// Calls that it has made.
    calls: u64,
    bell: Arc<Condvar>,
    waker: Waker,
}

/// Where a thread stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// In none of our calls, or in one that waits for the operating system.
    Outside,
    /// In none of our calls. The last has waited, and the thread does not know yet what time it is.
    Due,
    /// In a call.
    Calling,
    /// In a call that moves the clock. `due`: it is the one that asks what time it is.
    Moving { due: bool },
    /// Asleep in a call, until it is woken or this time has come.
    Waiting { until: Option<Instant> },
    /// In a call that slept, and has something to go on with.
    Woken,
}

/// A call. It ends when this is dropped.
pub(super) struct Call<'t>(&'t Time);

/// What a waker wakes.
struct Sleeper {
    time: Weak<Time>,
    tid: Tid,
}

/// How a step of the clock ended.
enum Step {
    /// Something was due, and was done; the limit is still to come.
    Done(Option<Instant>),
    /// There was nothing to do before the limit, which has come.
    Limit,
    /// There was nothing to do, and no limit.
    Nothing,
}

impl Time {
    pub(super) fn new(wire: Arc<Wire>) -> Arc<Time> {
        Arc::new_cyclic(|own| Time {
            now: AtomicU64::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
            wire,
            own: own.clone(),
        })
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call of the calling thread, when none that was woken is under way.
    ///
    /// # Errors
    /// EBADF once the machine is closed.
    pub(super) fn enter(&self) -> io::Result<Call<'_>> {
        self.begin(Phase::Calling)
    }
    /// As [`Time::enter`], for the call that asks what time it is.
    pub(super) fn enter_asking(&self) -> io::Result<Call<'_>> {
        let due = self
            .lock()
            .threads
            .get(&current())
            .is_some_and(|own| own.phase == Phase::Due);
        self.begin(Phase::Moving { due })
    }
    fn begin(&self, phase: Phase) -> io::Result<Call<'_>> {
        let me = current();
        let mut state = self.lock();
        if state.closed {
            return Err(closed());
        }
        let own = self.thread(&mut state, me);
        (own.phase, own.woken, own.waited) = (phase, false, false);
        own.calls += 1;
        self.changed.notify_all();
        while state.others(me).any(|(_, other)| other.phase == Phase::Woken) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(Call(self))
    }
    fn thread<'s>(&self, state: &'s mut State, tid: Tid) -> &'s mut Thread {
        state.threads.entry(tid).or_insert_with(|| Thread {
            phase: Phase::Outside,
            woken: false,
            waited: false,
            calls: 0,
            bell: Arc::default(),
            waker: Waker::from(Arc::new(Sleeper {
                time: self.own.clone(),
                tid,
            })),
        })
    }
    fn set_phase(&self, state: &mut State, phase: Phase) {
        self.thread(state, current()).phase = phase;
        self.changed.notify_all();
    }
    /// Ends all waiting: calls that wait fail, new ones too. Returns when no other thread is in a call.
    pub(super) fn close(&self) {
        let me = current();
        let mut state = self.lock();
        state.closed = true;
        for thread in state.threads.values() {
            thread.bell.notify_all();
        }
        let inside = |state: &State| {
            let mut others = state.others(me);
            others.any(|(_, other)| !matches!(other.phase, Phase::Outside | Phase::Due))
        };
        // A thread that waits for the operating system counts as outside; any other leaves at once, unless it is gone.
        let began = std::time::Instant::now();
        while inside(&state) && began.elapsed() < Real::from_secs(1) {
            state = self.wait_real(state, LOOK);
        }
    }
    fn wait_real<'s>(&self, state: MutexGuard<'s, State>, most: Real) -> MutexGuard<'s, State> {
        let result = self.changed.wait_timeout(state, most);
        result.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The next thing that time brings: a timer of the stack, or the end of a call's patience.
    fn next(&self, state: &State) -> Option<Instant> {
        let patience = state.threads.values().filter_map(|thread| match thread.phase {
            Phase::Waiting { until } => until,
            _ => None,
        });
        let next = patience.chain(self.wire.next_timeout()).min();
        next.filter(|at| !at.is_never())
    }
    /// Sets the clock and ends the calls whose time is up. The stack's timers are the caller's, without the lock.
    fn set(&self, state: &mut State, to: Instant) {
        self.now.fetch_max(to.as_nanos(), Ordering::Relaxed);
        let now = self.now();
        for thread in state.threads.values_mut() {
            if let Phase::Waiting { until: Some(until) } = thread.phase
                && until <= now
            {
                thread.rouse();
            }
        }
    }
    /// Waits until no other thread is in the middle of something, or is due to ask what time it is.
    fn hold<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let me = current();
        let mut watches = Watches::new();
        let own_due = state.threads.get(&me).map(|own| own.phase) == Some(Phase::Moving { due: true });
        loop {
            let busy = |phase| match phase {
                Phase::Calling | Phase::Woken => true,
                Phase::Due | Phase::Moving { due: true } => !own_due,
                _ => false,
            };
            if !state.others(me).any(|(_, other)| busy(other.phase)) {
                return state;
            }
            state = self.wait_real(state, LOOK);
            if state.others(me).any(|(_, other)| other.phase == Phase::Due) {
                state = self.observe(state, &mut watches);
                // One that sleeps without having asked is not about to ask: it may wait for us.
                for (tid, thread) in &mut state.threads {
                    let idle = watches.get(tid).is_some_and(|watch| watch.is_idle(thread.calls));
                    if thread.phase == Phase::Due && *tid != me && idle {
                        thread.phase = Phase::Outside;
                    }
                }
            }
        }
    }
    fn step(&self, limit: impl FnOnce(Instant) -> Option<Instant>) -> Step {
        let mut state = self.hold(self.lock());
        let limit = limit(self.now());
        match (self.next(&state), limit) {
            (Some(at), limit) if limit.is_none_or(|limit| at <= limit) => {
                self.set(&mut state, at);
                drop(state);
                self.wire.pump();
                Step::Done(limit)
            }
            (_, Some(limit)) => {
                self.set(&mut state, limit);
                Step::Limit
            }
            (_, None) => Step::Nothing,
        }
    }
    /// Lets time pass for as long as `span`, which begins when time may move.
    fn pass(&self, span: Duration) {
        let mut step = self.step(|now| Some(now + span));
        while let Step::Done(limit) = step {
            step = self.step(|_| limit);
        }
    }
    /// Looks at what the threads do that are in none of our calls. Without the lock, lest one be seen waiting for it.
    fn observe<'s>(&'s self, state: MutexGuard<'s, State>, watches: &mut Watches) -> MutexGuard<'s, State> {
        let outside = state.others(current()).filter(|(_, other)| other.is_outside());
        let looked_at: Vec<(Tid, u64)> = outside.map(|(tid, other)| (*tid, other.calls)).collect();
        drop(state);
        for (tid, calls) in looked_at {
            watches
                .entry(tid)
                .or_insert_with(|| Watch::new(calls))
                .see(calls, look(tid));
        }
        self.lock()
    }
    /// Whether the calling thread, which waits, is the only one that can bring time on: all others wait too, or do nothing.
    fn may_move(&self, state: &mut State, watches: &Watches) -> bool {
        let me = current();
        let idle = |tid: &Tid, other: &Thread| match other.phase {
            Phase::Waiting { .. } => true,
            _ => other.is_outside() && watches.get(tid).is_some_and(|watch| watch.is_idle(other.calls)),
        };
        let may = state.others(me).all(|(tid, other)| idle(tid, other));
        let gone =
            |tid: &Tid, other: &Thread| other.is_outside() && watches.get(tid).is_some_and(Watch::is_gone);
        state.threads.retain(|tid, other| *tid == me || !gone(tid, other));
        may
    }
    /// Wakes every thread that waits: something changed that no socket tells of.
    pub(super) fn rouse(&self) {
        let mut state = self.lock();
        for thread in state.threads.values_mut() {
            thread.woken = true;
            thread.rouse();
        }
    }
}

impl State {
    fn others(&self, me: Tid) -> impl Iterator<Item = (&Tid, &Thread)> {
        self.threads.iter().filter(move |(tid, _)| **tid != me)
    }
}

impl Thread {
    /// Whether it is in none of our calls, as far as the operating system must be asked what it does.
    fn is_outside(&self) -> bool {
        matches!(self.phase, Phase::Outside | Phase::Due)
    }
    /// Ends its wait, if it waits.
    fn rouse(&mut self) {
        if let Phase::Waiting { .. } = self.phase {
            self.phase = Phase::Woken;
            self.bell.notify_all();
        }
    }
}

impl Call<'_> {
    /// Lets so much time pass, with all that happens in it.
    pub(super) fn sleep(&self, span: Duration) {
        let time = self.0;
        time.set_phase(&mut time.lock(), Phase::Moving { due: false });
        time.pass(span);
        time.set_phase(&mut time.lock(), Phase::Calling);
    }
    /// What time it is: at least a microsecond later than before.
    pub(super) fn ask(&self) -> Instant {
        let time = self.0;
        time.pass(Duration::from_micros(1));
        // Read in the same phase: nobody who waits for us to ask has moved it on.
        let now = time.now();
        time.set_phase(&mut time.lock(), Phase::Calling);
        now
    }
    /// Lets time pass until `ready` has an answer, or nothing is left that could bring one.
    pub(super) fn sleep_until<R>(&self, mut ready: impl FnMut() -> Option<R>) -> Option<R> {
        let time = self.0;
        time.set_phase(&mut time.lock(), Phase::Moving { due: false });
        let result = loop {
            if let Some(result) = ready() {
                break Some(result);
            }
            if let Step::Nothing = time.step(|_| None) {
                break ready();
            }
        };
        time.set_phase(&mut time.lock(), Phase::Calling);
        result
    }
    /// Runs something that waits for the operating system: others go on meanwhile.
    pub(super) fn outside<R>(&self, run: impl FnOnce() -> R) -> R {
        let time = self.0;
        time.set_phase(&mut time.lock(), Phase::Outside);
        let result = run();
        time.set_phase(&mut time.lock(), Phase::Calling);
        result
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        let own = self.0.thread(&mut state, current());
        own.phase = if own.waited { Phase::Due } else { Phase::Outside };
        self.0.changed.notify_all();
    }
}

impl Waiter for Time {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.now.load(Ordering::Relaxed))
    }
    fn waker(&self) -> Waker {
        self.thread(&mut self.lock(), current()).waker.clone()
    }
    fn wait(&self, until: Option<Instant>) -> io::Result<bool> {
        let me = current();
        let mut state = self.lock();
        let mut watches = Watches::new();
        let mut patience = LOOK;
        if !self.thread(&mut state, me).woken {
            self.set_phase(&mut state, Phase::Waiting { until });
        }
        loop {
            if state.closed {
                self.set_phase(&mut state, Phase::Calling);
                return Err(closed());
            }
            let own = self.thread(&mut state, me);
            let over = until.is_some_and(|until| until <= self.now());
            if own.woken || over || own.phase == Phase::Woken {
                let woken = own.woken || !over;
                (own.woken, own.waited) = (false, true);
                self.set_phase(&mut state, Phase::Woken);
                return Ok(woken);
            }
            let bell = own.bell.clone();
            let next = self.next(&state);
            if let Some(at) = next
                && self.may_move(&mut state, &watches)
            {
                self.set(&mut state, at);
                drop(state);
                self.wire.pump();
                state = self.lock();
                continue;
            }
            patience = if next.is_some() {
                LOOK
            } else {
                (patience * 2).min(LOOK_SELDOM)
            };
            let slept = bell.wait_timeout(state, patience);
            state = slept.unwrap_or_else(PoisonError::into_inner).0;
            if next.is_some() {
                state = self.observe(state, &mut watches);
            }
        }
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(time) = self.time.upgrade()
            && let Some(thread) = time.lock().threads.get_mut(&self.tid)
        {
            thread.woken = true;
            thread.rouse();
        }
    }
}

fn closed() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Time({})", self.now().as_secs_f64())
    }
}
