//! A stack, shared between the tasks that use its sockets and the driver that moves its frames.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use sockeye_stack::tcp::State;
use sockeye_stack::{Event, Instant, InterfaceConfig, InterfaceId, Readiness, SocketId, Stack};

use crate::names::Names;
use crate::net::Net;
#[cfg(target_os = "linux")]
use crate::socket::{
    local::Space,
    pollable::Pollable,
    stack::level,
    wait::{Pace, Waiter},
};

/// What a host's time is: the machine's, or set by hand, or running with tokio's clock (which may be paused, and then is
/// virtual too), or somebody's who lets threads wait by it.
#[derive(Debug, Default)]
pub struct Clock {
    /// When a clock of the machine's started.
    real: Option<std::time::Instant>,
    #[cfg(target_os = "linux")]
    waiter: Option<Arc<dyn Waiter>>,
    base: AtomicU64,
    running: Mutex<Option<tokio::time::Instant>>,
}

impl Clock {
    /// A clock that stands at zero until it is [set](Clock::set) or [started](Clock::start).
    pub fn new() -> Clock {
        Clock::default()
    }
    /// The machine's monotonic clock, from zero now on. It cannot be set or stopped.
    pub fn real() -> Clock {
        Clock {
            real: Some(std::time::Instant::now()),
            ..Clock::default()
        }
    }
    /// A time that somebody else keeps and moves, and by which threads may wait: sockets block there.
    #[cfg(target_os = "linux")]
    pub fn with_waiter(waiter: Arc<dyn Waiter>) -> Clock {
        Clock {
            waiter: Some(waiter),
            ..Clock::default()
        }
    }
    /// Whether it is the machine's.
    pub fn is_real(&self) -> bool {
        self.real.is_some()
    }
    /// How a thread waits by it; `None` where it cannot.
    #[cfg(target_os = "linux")]
    fn pace(&self) -> Option<Pace> {
        match &self.waiter {
            Some(waiter) => Some(Pace::Waiter(waiter.clone())),
            None => self.is_real().then_some(Pace::Machine),
        }
    }
    /// The time.
    pub fn now(&self) -> Instant {
        if let Some(since) = self.real {
            return Instant::from_nanos(since.elapsed().as_nanos() as u64);
        }
        #[cfg(target_os = "linux")]
        if let Some(waiter) = &self.waiter {
            return waiter.now();
        }
        let base = self.base.load(Ordering::Relaxed);
        let running = *self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let run = running.map_or(0, |since| since.elapsed().as_nanos() as u64);
        Instant::from_nanos(base + run)
    }
    /// Sets a clock that stands. One that runs ignores it.
    pub fn set(&self, now: Instant) {
        if self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
        {
            self.base.store(now.as_nanos(), Ordering::Relaxed);
        }
    }
    /// Lets it run with tokio's clock, from where it stands.
    pub fn start(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get_or_insert_with(tokio::time::Instant::now);
    }
    /// Lets it stand where it is.
    pub fn stop(&self) {
        let now = self.now();
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.set(now);
    }
}

/// A stack and the wakers of the tasks that wait for its sockets. Cheap to clone.
///
/// Two sides use it. *Applications*, through [`Net`] and the socket types, call the stack and then kick the driver; they
/// never transmit. The *driver*, one per host, is whoever gave the kick function. After a kick, a received frame or a
/// deadline it
///
/// 1. takes [`Host::lock`] and hands in frames and time (`handle_frame`, `handle_timeout`),
/// 2. drains `poll_transmit`,
/// 3. collects the wakers of those whom the events concern with [`HostGuard::dispatch`], and says with
///    [`HostGuard::all_left`] when what it drained before has left its devices,
/// 4. asks `next_timeout`, drops the guard, and only then wakes.
#[derive(Clone)]
pub struct Host(Arc<Shared>);

struct Shared {
    name: String,
    clock: Arc<Clock>,
    names: Names,
    #[cfg(target_os = "linux")]
    local: Space,
    /// How threads wait for its sockets, if they can.
    #[cfg(target_os = "linux")]
    pace: Option<Pace>,
    kick: Box<dyn Fn() + Send + Sync>,
    inner: Mutex<Inner>,
}

struct Inner {
    stack: Stack,
    /// Only looked up, never iterated: its order is not deterministic.
    waiters: HashMap<SocketId, Waiters>,
    /// Addresses by interface.
    interfaces: Vec<Vec<IpAddr>>,
    /// Who waits for closed connections to finish.
    finishing: Vec<Waker>,
    leaving: Leaving,
    /// Who looks at a stream without taking anything, and waits for more.
    #[cfg(target_os = "linux")]
    looking: Vec<Looking>,
}

/// Who waits for frames to leave. Each takes a number, and the driver says which it has come to.
#[derive(Default)]
struct Leaving {
    last: u64,
    done: u64,
    waiting: Vec<Waker>,
}

/// A connection becomes readable once, and again after it was read empty. Who leaves in it what is there hears nothing of
/// more, so it is asked for that.
#[cfg(target_os = "linux")]
struct Looking {
    socket: SocketId,
    /// Octets that were there.
    seen: usize,
    waker: Waker,
}

#[cfg(target_os = "linux")]
impl Looking {
    /// A connection that is gone counts: the next look tells what became of it.
    fn has_more(&self, stack: &mut Stack, now: Instant) -> bool {
        stack
            .tcp(now, self.socket)
            .map_or(true, |socket| socket.readable() > self.seen)
    }
}

impl Inner {
    /// Whether no connection that an application has closed still has something to send, or to be acknowledged.
    fn is_finished(&self) -> bool {
        self.stack.snapshot().sockets.iter().all(|row| {
            row.id.is_some()
                || !matches!(
                    row.state,
                    Some(
                        State::Established
                            | State::CloseWait
                            | State::FinWait1
                            | State::Closing
                            | State::LastAck
                    )
                )
        })
    }
}

/// The tasks that wait for one socket. A task stands in a list once, so a list is no longer than there are tasks.
#[derive(Default)]
struct Waiters {
    read: Vec<Waker>,
    write: Vec<Waker>,
    /// A descriptor that is kept in step with the socket.
    #[cfg(target_os = "linux")]
    watch: Option<Arc<Pollable>>,
}

/// What a task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// Data, a datagram, a connection to accept, the end.
    Read,
    /// Room, the end of the handshake, the end.
    Write,
}

impl Host {
    /// A host around `stack`. `kick` tells its driver that an application has called; it is called without the lock.
    pub fn new(
        name: &str,
        stack: Stack,
        clock: Arc<Clock>,
        names: Names,
        kick: impl Fn() + Send + Sync + 'static,
    ) -> Host {
        #[cfg(target_os = "linux")]
        let pace = clock.pace();
        Host(Arc::new(Shared {
            name: name.into(),
            clock,
            names,
            #[cfg(target_os = "linux")]
            local: Space::new(pace.clone().unwrap_or_default()),
            #[cfg(target_os = "linux")]
            pace,
            kick: Box::new(kick),
            inner: Mutex::new(Inner {
                stack,
                waiters: HashMap::new(),
                interfaces: Vec::new(),
                finishing: Vec::new(),
                leaving: Leaving::default(),
                #[cfg(target_os = "linux")]
                looking: Vec::new(),
            }),
        }))
    }
    /// Its name, for people.
    pub fn name(&self) -> &str {
        &self.0.name
    }
    /// The table in which its programs look up names.
    pub fn names(&self) -> &Names {
        &self.0.names
    }
    /// The handle that programs take.
    pub fn net(&self) -> Net {
        Net::stack(self)
    }
    /// The time here.
    pub fn now(&self) -> Instant {
        self.0.clock.now()
    }
    /// Adds an interface to the stack.
    pub fn add_interface(&self, config: InterfaceConfig) -> InterfaceId {
        let mut inner = self.inner();
        let addresses = config.addresses.iter().map(|cidr| cidr.address).collect();
        let id = inner.stack.add_interface(self.now(), config);
        inner.interfaces.push(addresses);
        id
    }
    /// The interface that has `address`.
    pub fn interface_of(&self, address: IpAddr) -> Option<InterfaceId> {
        if address.is_loopback() {
            return Some(InterfaceId::LOOPBACK);
        }
        let inner = self.inner();
        let place = inner.interfaces.iter().position(|own| own.contains(&address))?;
        Some(InterfaceId(place as u16))
    }
    /// Whether there is such an interface.
    pub(crate) fn has_interface(&self, id: InterfaceId) -> bool {
        id == InterfaceId::LOOPBACK || usize::from(id.0) < self.inner().interfaces.len()
    }
    /// Whether an interface, loopback aside, has an address of this family.
    pub(crate) fn has_family(&self, v6: bool) -> bool {
        let inner = self.inner();
        let mut addresses = inner.interfaces.iter().flatten();
        addresses.any(|address| !address.is_loopback() && address.is_ipv6() == v6)
    }
    /// Whether its time is the machine's.
    pub fn is_real_time(&self) -> bool {
        self.0.clock.is_real()
    }
    /// How threads wait for its sockets; `None` where they cannot.
    #[cfg(target_os = "linux")]
    pub(crate) fn pace(&self) -> Option<&Pace> {
        self.0.pace.as_ref()
    }
    /// A handle that does not keep it alive, for a driver that ends with the last application.
    pub fn downgrade(&self) -> WeakHost {
        WeakHost(Arc::downgrade(&self.0))
    }
    /// Waits until what was written to closed connections has been acknowledged, with their FINs, and the last frames have
    /// left. `ticket` is kept from one call to the next.
    pub(crate) fn poll_finished(&self, ticket: &mut Option<u64>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner();
        if !inner.is_finished() {
            if !inner.finishing.iter().any(|w| w.will_wake(cx.waker())) {
                inner.finishing.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        drop(inner);
        self.poll_left(ticket, cx)
    }
    /// Aborts every connection: see [`Stack::abort_all`].
    pub(crate) fn abort_all(&self) -> usize {
        self.call(|stack, now| stack.abort_all(now))
    }
    /// Waits until what the stack owes by now has left its devices. `ticket` is kept from one call to the next.
    pub(crate) fn poll_left(&self, ticket: &mut Option<u64>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner();
        let leaving = &mut inner.leaving;
        let number = *ticket.get_or_insert_with(|| {
            leaving.last += 1;
            leaving.last
        });
        if leaving.done >= number {
            return Poll::Ready(());
        }
        if !leaving.waiting.iter().any(|w| w.will_wake(cx.waker())) {
            leaving.waiting.push(cx.waker().clone());
        }
        drop(inner);
        (self.0.kick)();
        Poll::Pending
    }
    /// The stack, for its driver (and for tests). The driver is not kicked. Take the time under the lock: it must never
    /// be earlier than that of a call before.
    pub fn lock(&self) -> HostGuard<'_> {
        let inner = self.inner();
        let now = self.now();
        HostGuard(inner, now)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock is a fault of the core; what it left behind is still consistent enough to be read.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// A call of an application: what it owes goes out after a kick.
    pub(crate) fn call<R>(&self, f: impl FnOnce(&mut Stack, Instant) -> R) -> R {
        let mut inner = self.inner();
        let result = f(&mut inner.stack, self.now());
        drop(inner);
        (self.0.kick)();
        result
    }
    /// A look by an application that changes nothing.
    pub(crate) fn look<R>(&self, f: impl FnOnce(&mut Stack, Instant) -> R) -> R {
        let mut inner = self.inner();
        f(&mut inner.stack, self.now())
    }
    /// A call that may have to wait: `f` runs under the lock, and the task is registered under the same lock if it
    /// returns `Pending`, so that no event between the two is missed.
    pub(crate) fn poll<R>(
        &self,
        id: SocketId,
        side: Side,
        cx: &mut Context<'_>,
        f: impl FnOnce(&mut Stack, Instant) -> Poll<R>,
    ) -> Poll<R> {
        let mut inner = self.inner();
        let result = f(&mut inner.stack, self.now());
        if result.is_pending() {
            let waiters = inner.waiters.entry(id).or_default();
            let list = match side {
                Side::Read => &mut waiters.read,
                Side::Write => &mut waiters.write,
            };
            if !list.iter().any(|w| w.will_wake(cx.waker())) {
                list.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        drop(inner);
        (self.0.kick)();
        result
    }
    /// A look by an application that wants to hear of the next change, whichever side it is on.
    #[cfg(target_os = "linux")]
    pub(crate) fn watched<R>(
        &self,
        id: SocketId,
        waker: Option<&Waker>,
        f: impl FnOnce(&mut Stack, Instant) -> R,
    ) -> R {
        let mut inner = self.inner();
        let result = f(&mut inner.stack, self.now());
        if let Some(waker) = waker {
            let Waiters { read, write, .. } = inner.waiters.entry(id).or_default();
            for list in [read, write] {
                if !list.iter().any(|w| w.will_wake(waker)) {
                    list.push(waker.clone());
                }
            }
        }
        result
    }
    /// Wakes as soon as a connection holds more than the `seen` octets that were just looked at. Called under no lock, in
    /// addition to waiting for its events: if more came in between, the waker is woken at once.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_for_more(&self, id: SocketId, seen: usize, waker: &Waker) {
        let mut inner = self.inner();
        let now = self.now();
        inner.looking.retain(|look| !look.waker.will_wake(waker));
        let look = Looking {
            socket: id,
            seen,
            waker: waker.clone(),
        };
        if look.has_more(&mut inner.stack, now) {
            drop(inner);
            return look.waker.wake();
        }
        inner.looking.push(look);
    }
    /// Keeps a descriptor in step with a socket.
    #[cfg(target_os = "linux")]
    pub(crate) fn watch(&self, id: SocketId, pollable: Arc<Pollable>) {
        self.inner().waiters.entry(id).or_default().watch = Some(pollable);
    }
    /// Wakes whoever waits for a socket: something changed that the stack does not know of.
    #[cfg(target_os = "linux")]
    pub(crate) fn wake(&self, id: SocketId) {
        let mut wakers = Vec::new();
        if let Some(waiters) = self.inner().waiters.get_mut(&id) {
            wakers.append(&mut waiters.read);
            wakers.append(&mut waiters.write);
        }
        wakers.into_iter().for_each(Waker::wake);
    }
    /// The first address of an interface of one family.
    #[cfg(target_os = "linux")]
    pub(crate) fn address_of(&self, interface: InterfaceId, v6: bool) -> Option<IpAddr> {
        let inner = self.inner();
        let addresses = inner.interfaces.get(usize::from(interface.0))?;
        addresses.iter().copied().find(|ip| ip.is_ipv6() == v6)
    }
    /// Its name space of AF_UNIX.
    #[cfg(target_os = "linux")]
    pub(crate) fn local(&self) -> &Space {
        &self.0.local
    }
    /// Tells the driver of a call that did something and waits now for more.
    #[cfg(target_os = "linux")]
    pub(crate) fn kick(&self) {
        (self.0.kick)();
    }
    /// The last call for a socket: `f` closes it, and whoever waits for it is forgotten.
    pub(crate) fn close(&self, id: SocketId, f: impl FnOnce(&mut Stack, Instant)) {
        let mut inner = self.inner();
        f(&mut inner.stack, self.now());
        let waiters = inner.waiters.remove(&id);
        drop(inner);
        drop(waiters); // a waker's destructor may run a task's: not under the lock
        (self.0.kick)();
    }
}

impl Drop for Shared {
    /// The driver looks up, and finds nobody left to work for.
    fn drop(&mut self) {
        (self.kick)();
    }
}

/// A [`Host`] that may be gone.
#[derive(Clone)]
pub struct WeakHost(Weak<Shared>);

impl WeakHost {
    /// The host, if some application still has it.
    pub fn upgrade(&self) -> Option<Host> {
        self.0.upgrade().map(Host)
    }
}
impl fmt::Debug for WeakHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakHost")
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({})", self.0.name)
    }
}

/// A host's stack, locked.
pub struct HostGuard<'a>(MutexGuard<'a, Inner>, Instant);

impl HostGuard<'_> {
    /// Takes all events of the stack and adds to `wakers` those of the tasks that they concern. Wake them after the
    /// guard is dropped.
    pub fn dispatch(&mut self, wakers: &mut Vec<Waker>) {
        while let Some(event) = self.0.stack.poll_event() {
            self.notify(event, wakers);
        }
        #[cfg(target_os = "linux")]
        if !self.0.looking.is_empty() {
            let now = self.1;
            let Inner { stack, looking, .. } = &mut *self.0;
            let more = looking.extract_if(.., |look| look.has_more(stack, now));
            wakers.extend(more.map(|look| look.waker));
        }
        if !self.0.finishing.is_empty() && self.0.is_finished() {
            wakers.append(&mut self.0.finishing);
        }
    }
    /// Whether somebody waits for [`HostGuard::all_left`].
    pub fn is_leaving(&self) -> bool {
        !self.0.leaving.waiting.is_empty()
    }
    /// The stack has nothing more to send, and all frames that were taken from it before have left their devices: adds to
    /// `wakers` those of who waits for that.
    pub fn all_left(&mut self, wakers: &mut Vec<Waker>) {
        let leaving = &mut self.0.leaving;
        leaving.done = leaving.last;
        wakers.append(&mut leaving.waiting);
    }
    /// As [`HostGuard::dispatch`], for one event that the driver has taken itself.
    pub fn notify(&mut self, event: Event, wakers: &mut Vec<Waker>) {
        const ENDS: Readiness = Readiness::CLOSED.union(Readiness::SOFT_ERROR);
        const READ: Readiness = ENDS
            .union(Readiness::READABLE)
            .union(Readiness::ACCEPT)
            .union(Readiness::PEER_CLOSED)
            .union(Readiness::URGENT);
        const WRITE: Readiness = ENDS.union(Readiness::WRITABLE).union(Readiness::CONNECTED);
        #[cfg(target_os = "linux")]
        let now = self.1;
        let Inner { stack, waiters, .. } = &mut *self.0;
        let Some(waiters) = waiters.get_mut(&event.socket) else {
            return;
        };
        #[cfg(target_os = "linux")]
        if let Some(watch) = &waiters.watch {
            watch.set(level(stack, now, event.socket));
        }
        if event.ready.intersects(READ) {
            wakers.append(&mut waiters.read);
        }
        if event.ready.intersects(WRITE) {
            wakers.append(&mut waiters.write);
        }
    }
}
impl Deref for HostGuard<'_> {
    type Target = Stack;
    fn deref(&self) -> &Stack {
        &self.0.stack
    }
}
impl DerefMut for HostGuard<'_> {
    fn deref_mut(&mut self) -> &mut Stack {
        &mut self.0.stack
    }
}
impl fmt::Debug for HostGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostGuard")
    }
}
