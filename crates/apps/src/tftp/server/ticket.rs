//! What the server knows of a running transfer, and what happens when it ends, in whatever way.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sockeye_stack::time::Instant;
use tokio::sync::{Notify, mpsc};

use super::super::metrics::{Drop, Metrics};
use super::super::port::Clock;
use super::super::rate::Limiter;
use super::super::record::{Outcome, Record};
use super::super::root::Root;
use super::super::source::Shelf;
use super::Options;
use super::crew::Stop;
use super::seats::Seats;

/// Takes each transfer's record when it is over.
pub type Log = Arc<dyn Fn(&Record) + Send + Sync>;

/// What all transfers of a server share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) root: Root,
    pub(super) clock: Clock,
    pub(super) limiter: Limiter,
    pub(super) metrics: Arc<Metrics>,
    pub(super) log: Log,
    pub(super) table: Mutex<Table>,
    pub(super) seats: Arc<Seats>,
    /// What is read for several transfers of a file.
    pub(super) shelf: Shelf,
    /// Told whenever a transfer is over.
    pub(super) over: Notify,
    /// How many transfers were superseded, so that each need not look at a flag of its own at every turn.
    pub(super) superseded: AtomicU64,
}
impl Shared {
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        // A panic elsewhere leaves the table whole: each change is one call.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running transfers by client. Only looked up; bounded by the limit on transfers.
#[derive(Default)]
pub(super) struct Table {
    entries: HashMap<SocketAddr, Entry>,
    per_client: HashMap<IpAddr, usize>,
    next: u64,
}
struct Entry {
    number: u64,
    /// The request as it came: the same again is a duplicate.
    request: Box<[u8]>,
    under_way: Arc<AtomicBool>,
    /// Single port only: where its datagrams go.
    inbox: Option<mpsc::Sender<Box<[u8]>>>,
    stop: Option<Stop>,
    superseded: Arc<AtomicBool>,
}

/// What a request is to a client's running transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// There is none, or it is superseded by this one.
    New,
    /// The same request again, before the transfer got under way: its answer will be repeated by the timer.
    Duplicate,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
    pub(super) fn of_client(&self, ip: IpAddr) -> usize {
        self.per_client.get(&ip).copied().unwrap_or(0)
    }
    /// Looks at a request of a client that may have a transfer already; `superseded` is [`Shared::superseded`].
    pub(super) fn standing(&mut self, peer: SocketAddr, request: &[u8], superseded: &AtomicU64) -> Standing {
        let Some(entry) = self.entries.get(&peer) else {
            return Standing::New;
        };
        if *entry.request == *request && !entry.under_way.load(Relaxed) {
            return Standing::Duplicate;
        }
        entry.superseded.store(true, Relaxed);
        superseded.fetch_add(1, Release);
        if let Some(stop) = &entry.stop {
            stop.stop();
        }
        Standing::New
    }
    /// Hands a datagram to a client's transfer.
    pub(super) fn deliver(&self, peer: SocketAddr, datagram: &[u8]) -> Result<(), Drop> {
        let inbox = self.entries.get(&peer).and_then(|e| e.inbox.as_ref());
        let inbox = inbox.ok_or(Drop::Stray)?;
        inbox.try_send(datagram.into()).map_err(|_| Drop::QueueFull)
    }
    /// Keeps the handle by which a transfer can be stopped.
    pub(super) fn set_stop(&mut self, peer: SocketAddr, number: u64, stop: Stop) {
        if let Some(entry) = self.entries.get_mut(&peer).filter(|e| e.number == number) {
            entry.stop = Some(stop);
        }
    }
}

/// A transfer's place in the table. Dropping it ends the transfer for the rest of the server. It is counted and logged then,
/// unless it was closed before.
pub(super) struct Ticket {
    pub(super) shared: Arc<Shared>,
    pub(super) record: Record,
    pub(super) number: u64,
    /// The client as the listening socket sees it.
    peer: SocketAddr,
    began: Instant,
    under_way: Arc<AtomicBool>,
    superseded: Arc<AtomicBool>,
    closed: bool,
}
impl Ticket {
    pub(super) fn new(
        shared: &Arc<Shared>,
        record: Record,
        peer: SocketAddr,
        request: &[u8],
        inbox: Option<mpsc::Sender<Box<[u8]>>>,
    ) -> Ticket {
        let mut table = shared.table();
        table.next += 1;
        let ticket = Ticket {
            shared: Arc::clone(shared),
            number: table.next,
            began: shared.clock.now(),
            under_way: Arc::default(),
            superseded: Arc::default(),
            closed: false,
            peer,
            record,
        };
        let entry = Entry {
            number: ticket.number,
            request: request.into(),
            under_way: Arc::clone(&ticket.under_way),
            inbox,
            stop: None,
            superseded: Arc::clone(&ticket.superseded),
        };
        table.entries.insert(peer, entry);
        *table.per_client.entry(peer.ip()).or_default() += 1;
        shared.metrics.active.fetch_add(1, Relaxed);
        ticket
    }
    /// The transfer is over, whatever may still come of it: it is counted and logged, once.
    pub(super) fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let shared = &self.shared;
        if self.under_way.load(Relaxed) {
            shared.seats.part();
        }
        self.record.milliseconds = shared.clock.now().since(self.began).as_millis();
        shared.metrics.active.fetch_sub(1, Relaxed);
        shared.metrics.ended(&self.record);
        (shared.log)(&self.record);
        shared.over.notify_one();
    }
    /// Whether another request of the client has taken its place.
    pub(super) fn is_superseded(&self) -> bool {
        self.superseded.load(Relaxed)
    }
    /// The client has answered: the same request again would be another one.
    pub(super) fn set_under_way(&self) {
        if !self.closed && !self.under_way.load(Relaxed) {
            self.under_way.store(true, Relaxed);
            self.shared.seats.join();
        }
    }
}
impl std::ops::Drop for Ticket {
    fn drop(&mut self) {
        let peer = self.peer;
        {
            let mut table = self.shared.table();
            if table.entries.get(&peer).is_some_and(|e| e.number == self.number) {
                table.entries.remove(&peer);
            }
            if let Some(n) = table.per_client.get_mut(&peer.ip()) {
                *n -= 1;
                if *n == 0 {
                    table.per_client.remove(&peer.ip());
                }
            }
        }
        if self.superseded.load(Relaxed) && self.record.outcome == Outcome::Stopped {
            self.record.outcome = Outcome::Superseded;
        }
        self.close();
    }
}
