//! What a world tells: records for those who subscribe, a digest of them, and events for tests.

use std::sync::{Arc, Mutex, PoisonError};

use sockeye_stack::Event;
use sockeye_stack::trace::TraceMask;
use sockeye_view::{Backlog, HostIndex, Record, What, WireEvent};

use crate::digest::Digest;
use crate::world::{Kind, NodeId, World};

impl World {
    /// Chooses what stacks tell: see [`World::subscribe`].
    pub fn trace(&mut self, mask: TraceMask) {
        self.mask = mask;
        for node in &self.nodes {
            if let Kind::Host(host) = &node.kind {
                host.host.lock().trace_mut().set_mask(mask);
            }
        }
    }
    /// Hands each record, in order, to `subscriber`, which must not use the world itself. Unless [`World::trace`] has said otherwise, stacks tell all but
    /// whole frames.
    pub fn subscribe(&mut self, subscriber: impl FnMut(&Record) + Send + 'static) {
        self.subscribers.push(Box::new(subscriber));
        if self.mask.is_empty() {
            self.trace(TraceMask::EVENTS);
        }
    }
    /// Collects all records from now on.
    pub fn collect(&mut self) -> Arc<Mutex<Vec<Record>>> {
        let records = Arc::new(Mutex::new(Vec::new()));
        let into = records.clone();
        self.subscribe(move |record| {
            into.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(record.clone())
        });
        records
    }
    /// Computes a digest of all records from now on: see [`World::digest`].
    pub fn keep_digest(&mut self) {
        self.digest = Some(Digest::new());
        if self.mask.is_empty() {
            self.trace(TraceMask::EVENTS);
        }
    }
    /// The digest of all records; 0 if none is kept. Two runs with the same are the same to the byte.
    pub fn digest(&self) -> u64 {
        self.digest.as_ref().map_or(0, Digest::value)
    }
    /// Puts a scenario's own words into the records.
    pub fn note(&mut self, node: NodeId, text: &str) {
        self.tell(node.index(), What::Note(text.into()));
    }
    /// Puts how full the queues of a host's listeners are into the records.
    ///
    /// # Panics
    /// If the node is no host.
    pub fn tell_backlogs(&mut self, node: NodeId) {
        let snapshot = self.host_handle(node).lock().snapshot();
        for backlog in Backlog::of(&snapshot) {
            self.tell(node.index(), What::Backlog(backlog));
        }
    }
    pub(crate) fn is_told(&self) -> bool {
        !self.subscribers.is_empty() || self.digest.is_some()
    }
    pub(crate) fn tell(&mut self, host: HostIndex, what: What) {
        if !self.is_told() {
            return;
        }
        let at = match &what {
            What::Stack(event) => event.at,
            _ => self.now,
        };
        let record = Record { at, host, what };
        if let Some(digest) = &mut self.digest {
            digest.record(&record);
        }
        for subscriber in &mut self.subscribers {
            subscriber(&record);
        }
    }
    pub(crate) fn tell_wire(&mut self, host: HostIndex, event: WireEvent) {
        self.tell(host, What::Wire(event));
    }
    /// Keeps the events of stacks for [`World::take_events`], up to 65,536 a host.
    pub fn keep_events(&mut self) {
        self.keep_events = true;
    }
    /// Takes the events of a host's stack since the last call, if they are kept.
    pub fn take_events(&mut self, node: NodeId) -> Vec<Event> {
        match &mut self.nodes[usize::from(node.0)].kind {
            Kind::Host(host) => host.events.drain(..).collect(),
            _ => Vec::new(),
        }
    }
}
