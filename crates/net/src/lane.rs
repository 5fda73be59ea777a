//! A thread with an event loop of its own, for programs that hold many small conversations by datagrams.
//!
//! A runtime for all purposes takes about as long for a datagram as the system does for sending it. Here a conversation is
//! a future with one socket: the loop waits for all sockets at once and polls the futures of those that something came to.
//!
//! ```text
//!   epoll ──▶ socket 3, socket 7, … ──▶ poll 3, poll 7, … ──▶ alarms that are due ──▶ epoll
//! ```

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use tokio::runtime::Handle;

use crate::sleep::Doze;
use crate::udp_batch::BatchSocket;

thread_local! {
    /// When the conversation that is polled now wants to be polled again.
    static WAKE_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// In a conversation that is polled by a [`Lane`]: asks for it to be polled again at `time` at the latest. Elsewhere it does
/// nothing.
pub fn wake_at(time: Instant) {
    WAKE_AT.set(Some(time));
}

/// What is handed to the loop at once, at most.
const EVENTS: usize = 256;
/// The bell's place among the sockets' ones.
const BELL: u64 = u64::MAX;
/// A conversation that has no place yet.
const NOWHERE: usize = usize::MAX;

/// A conversation that is made for lanes.
pub trait Talk: Future<Output = ()> + Send {
    /// Looks at a word of each line of memory that a turn needs, and returns some mixture of them.
    ///
    /// Where hundreds take turns, each finds what it needs driven out of the processor's caches by the others. So a lane first
    /// lets all look whose turn has come: then the lines come back for all of them at the same time, instead of one after the
    /// other while the turn waits for each.
    fn look_over(&self) -> u64;
}

/// Any future, whose memory nobody knows.
impl<F: Future<Output = ()> + Send + ?Sized> Talk for Pin<Box<F>> {
    fn look_over(&self) -> u64 {
        0
    }
}

type Running = Pin<Box<dyn Talk>>;

/// A thread that conversations run on. Dropping it drops them, and returns when they are gone.
pub struct Lane {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What is shared with those who have work for the loop.
struct Shared {
    inbox: Mutex<Inbox>,
    doze: Doze,
    bell: OwnedFd,
}
#[derive(Default)]
struct Inbox {
    new: Vec<New>,
    /// Who was woken by something else than its socket.
    woken: Vec<usize>,
    stop: bool,
}
impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Each change is one call: a panic leaves it whole.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn tell(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.inbox());
        if self.doze.kick() {
            // It fails only when it has been rung 2^64 times.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }
}

/// Wakes a conversation, or by chance another one that has its place by now, which finds nothing to do.
struct Caller {
    shared: Arc<Shared>,
    place: AtomicUsize,
}
impl Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        // Before it has a place it is still to be polled for the first time.
        match self.place.load(Relaxed) {
            NOWHERE => {}
            place => self.shared.tell(|inbox| inbox.woken.push(place)),
        }
    }
}

/// A conversation on its way to the loop.
struct New {
    future: Running,
    socket: Arc<BatchSocket>,
    caller: Arc<Caller>,
}

/// What the loop looks at when something came: one line of memory. Hundreds take turns, so each turn finds it cold.
#[repr(align(64))]
struct Conversation {
    future: Running,
    waker: Waker,
    /// When it wants to be polled.
    deadline: Option<Instant>,
    /// The alarm that is set: not later than the deadline. One that is too early costs less than setting it each time.
    armed: Option<Instant>,
}

impl Lane {
    /// Starts a thread. What its conversations ask of tokio (blocking work, sleeping) `runtime` does.
    ///
    /// # Errors
    /// No more descriptors or threads.
    pub fn start(name: &str, runtime: Handle) -> io::Result<Lane> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // Each ring is an edge: the number in it is never read.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &bell, epoll::EventData::new_u64(BELL), flags)?;
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            doze: Doze::new(),
            bell,
        });
        let mut running = Loop {
            shared: Arc::clone(&shared),
            epoll,
            places: Vec::new(),
            sockets: Vec::new(),
            free: Vec::new(),
            alarms: BinaryHeap::new(),
        };
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let _context = runtime.enter();
            running.run();
        })?;
        Ok(Lane {
            shared,
            thread: Some(thread),
        })
    }
    /// Runs a conversation, which waits for `socket` by [`BatchSocket::recv_until`] and for nothing else without a
    /// waker. The socket must come from [`BatchSocket::bind_for_lane`]. The waker has it polled once more.
    pub fn spawn(
        &self,
        socket: Arc<BatchSocket>,
        conversation: impl Future<Output = ()> + Send + 'static,
    ) -> Waker {
        self.talk(socket, Box::pin(conversation))
    }
    /// As [`Lane::spawn`], for a conversation that is made for lanes: it receives what is there when it is polled
    /// ([`BatchSocket::recv_within`]), and says [when it wants to be polled at the latest](wake_at).
    pub fn talk(&self, socket: Arc<BatchSocket>, conversation: impl Talk + 'static) -> Waker {
        let caller = Arc::new(Caller {
            shared: Arc::clone(&self.shared),
            place: AtomicUsize::new(NOWHERE),
        });
        let waker = Waker::from(Arc::clone(&caller));
        let new = New {
            future: Box::pin(conversation),
            socket,
            caller,
        };
        self.shared.tell(|inbox| inbox.new.push(new));
        waker
    }
}
impl Drop for Lane {
    fn drop(&mut self) {
        self.shared.tell(|inbox| inbox.stop = true);
        if let Some(thread) = self.thread.take() {
            // Its panic was told already.
            let _ = thread.join();
        }
        // What came too late for the loop.
        let late = std::mem::take(&mut self.shared.inbox().new);
        drop(late);
    }
}
impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lane")
    }
}

struct Loop {
    shared: Arc<Shared>,
    epoll: OwnedFd,
    places: Vec<Option<Conversation>>,
    /// Their sockets, which are only looked at when one begins or ends.
    sockets: Vec<Option<Arc<BatchSocket>>>,
    free: Vec<usize>,
    alarms: BinaryHeap<Reverse<(Instant, usize)>>,
}

impl Loop {
    fn run(&mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let timeout = match self.shared.doze.may_sleep() {
                true => self.until_alarm(),
                false => Some(Timespec::default()),
            };
            // What is interrupted is done again.
            let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref());
            self.shared.doze.awake();
            self.look_over(&events);
            for event in events.drain(..) {
                if let Ok(place) = usize::try_from(event.data.u64()) {
                    self.poll(place); // the bell's is nobody's
                }
            }
            if self.take_inbox() {
                return;
            }
            self.ring_alarms();
        }
    }
    /// Lets those look over what they need whose turn has come.
    fn look_over(&self, events: &[epoll::Event]) {
        let places = events
            .iter()
            .filter_map(|event| usize::try_from(event.data.u64()).ok());
        let coming = places.filter_map(|place| self.places.get(place)?.as_ref());
        let seen = coming.fold(0, |seen, conversation| seen ^ conversation.future.look_over());
        std::hint::black_box(seen); // or it would not be looked for
    }
    /// How long the earliest alarm leaves.
    fn until_alarm(&self) -> Option<Timespec> {
        let &Reverse((at, _)) = self.alarms.peek()?;
        let left = at.saturating_duration_since(Instant::now());
        Some(Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        })
    }
    /// Begins what is new and polls who was woken; whether it is the end.
    fn take_inbox(&mut self) -> bool {
        let (new, woken) = {
            let mut inbox = self.shared.inbox();
            if inbox.stop {
                return true;
            }
            (std::mem::take(&mut inbox.new), std::mem::take(&mut inbox.woken))
        };
        for new in new {
            self.begin(new);
        }
        for place in woken {
            self.poll(place);
        }
        false
    }
    fn begin(&mut self, new: New) {
        let New {
            future,
            socket,
            caller,
        } = new;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.sockets.push(None);
            self.places.len() - 1
        });
        let data = epoll::EventData::new_u64(place as u64);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        let fd = socket.descriptor();
        if fd.is_none_or(|fd| epoll::add(&self.epoll, fd, data, flags).is_err()) {
            // No memory: it ends before it has begun.
            self.free.push(place);
            return;
        }
        caller.place.store(place, Relaxed);
        self.places[place] = Some(Conversation {
            future,
            waker: Waker::from(caller),
            deadline: None,
            armed: None,
        });
        self.sockets[place] = Some(socket);
        self.poll(place);
    }
    fn poll(&mut self, place: usize) {
        let Some(Some(conversation)) = self.places.get_mut(place) else {
            return; // it has ended meanwhile
        };
        WAKE_AT.set(None);
        let mut context = Context::from_waker(&conversation.waker);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            conversation.future.as_mut().poll(&mut context)
        }));
        if !matches!(polled, Ok(Poll::Pending)) {
            self.places[place] = None;
            if let Some(socket) = self.sockets[place].take()
                && let Some(fd) = socket.descriptor()
            {
                // The socket may live on elsewhere.
                let _ = epoll::delete(&self.epoll, fd);
            }
            self.free.push(place);
            return;
        }
        conversation.deadline = WAKE_AT.take();
        if let Some(at) = conversation.deadline
            && conversation.armed.is_none_or(|armed| at < armed)
        {
            conversation.armed = Some(at);
            self.alarms.push(Reverse((at, place)));
        }
    }
    fn ring_alarms(&mut self) {
        if self.alarms.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(&Reverse((at, place))) = self.alarms.peek()
            && at <= now
        {
            self.alarms.pop();
            let Some(Some(conversation)) = self.places.get_mut(place) else {
                continue;
            };
            // One that was overtaken by an earlier one, or belonged to who was here before.
            if conversation.armed != Some(at) {
                continue;
            }
            conversation.armed = None;
            match conversation.deadline {
                Some(deadline) if deadline > now => {
                    conversation.armed = Some(deadline);
                    self.alarms.push(Reverse((deadline, place)));
                }
                Some(_) => self.poll(place),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::Net;

    fn socket() -> Arc<BatchSocket> {
        Arc::new(BatchSocket::bind_for_lane(&Net::os(), "127.0.0.1:0".parse().unwrap()).unwrap())
    }

    /// Answers each datagram; "end" ends it.
    async fn echo(socket: Arc<BatchSocket>) {
        let mut buf = [0; 16];
        loop {
            if let Ok(Some((n, from))) = socket.recv_until(&mut buf, true, None).await {
                socket.try_send_to(&buf[..n], from).unwrap();
                match &buf[..n] {
                    b"end" => return,
                    b"panic" => panic!("a conversation's own fault"),
                    _ => {}
                }
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn conversations_are_answered_and_end() {
        let lane = Lane::start("lane", Handle::current()).unwrap();
        let sockets: Vec<_> = (0..50).map(|_| socket()).collect();
        for socket in &sockets {
            lane.spawn(Arc::clone(socket), echo(Arc::clone(socket)));
        }
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut buf = [0; 16];
        for words in [&b"one"[..], b"two", b"end"] {
            for socket in &sockets {
                client.send_to(words, socket.local_addr().unwrap()).unwrap();
            }
            for _ in &sockets {
                assert_eq!(client.recv(&mut buf).unwrap(), 3);
            }
        }
        drop(lane);
        for socket in sockets {
            assert_eq!(Arc::strong_count(&socket), 1);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn one_that_panics_harms_no_other() {
        let lane = Lane::start("lane", Handle::current()).unwrap();
        let sockets = [socket(), socket()];
        for socket in &sockets {
            lane.spawn(Arc::clone(socket), echo(Arc::clone(socket)));
        }
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        for (socket, words) in [(0, &b"panic"[..]), (1, b"still")] {
            client
                .send_to(words, sockets[socket].local_addr().unwrap())
                .unwrap();
            assert_eq!(client.recv(&mut [0; 16]).unwrap(), 5);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn alarms_ring_in_order_and_other_waits_are_woken() {
        let lane = Lane::start("lane", Handle::current()).unwrap();
        let (sender, came) = std::sync::mpsc::channel();
        let begin = Instant::now();
        for n in [3u32, 1, 2] {
            let (socket, sender) = (socket(), sender.clone());
            let conversation = async move {
                let at = begin + Duration::from_millis(10) * n;
                // A later alarm first: the earlier one takes its place.
                let later = at + Duration::from_secs(3600);
                let mut buf = [0; 1];
                let wait = socket.recv_until(&mut buf, false, Some(later));
                // Woken by something else, it returns.
                let (woken, ()) = tokio::join!(wait, tokio::time::sleep(Duration::from_millis(1)));
                assert_eq!(woken.unwrap(), None);
                let nothing = socket.recv_until(&mut buf, false, Some(at)).await.unwrap();
                assert_eq!(nothing, None);
                assert!(Instant::now() >= at);
                let n = tokio::task::spawn_blocking(move || n).await.unwrap();
                sender.send(n).unwrap();
            };
            lane.spawn(self::socket(), conversation);
        }
        for n in [1, 2, 3] {
            assert_eq!(came.recv_timeout(Duration::from_secs(30)), Ok(n));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_lane_that_ends_drops_what_it_has() {
        let lane = Lane::start("lane", Handle::current()).unwrap();
        let (sender, came) = std::sync::mpsc::channel::<()>();
        let waker = lane.spawn(socket(), async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        drop(lane);
        assert_eq!(came.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected));
        waker.wake(); // nobody is there any more
    }
}
