//! How time passes in a world: frames enter and leave links, hosts are looked after.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use sockeye_stack::trace::Cause;
use sockeye_stack::{Duration, Frame, Instant, InterfaceId, RxMeta};
use sockeye_view::{HostIndex, LinkChange, LinkLoss, What, WireEvent};

use crate::events::{InFlight, What as Coming};
use crate::impair::Fate;
use crate::packet::{link_header, set_ce};
use crate::switch::Output;
use crate::world::{Kind, NodeId, World};

/// How often a host's deadline may still be due after it was handled, before this is taken for a fault of the core.
const LATE_LIMIT: u32 = 16;
/// Frames that a port without a stack keeps; then the oldest go.
const RAW_KEPT: usize = 1 << 16;
/// Events kept for tests; then the oldest go.
const EVENTS_KEPT: usize = 1 << 16;

impl World {
    /// Sends a frame from a port of a node, as if its stack had. Numbers of ports are those of its links.
    pub fn inject(&mut self, node: NodeId, port: u16, frame: impl Into<Frame>) {
        self.send(node.0, port, frame.into(), Cause::Raw);
    }
    /// Takes the frames that came to a node without a stack: when, by which port, and what.
    pub fn received(&mut self, node: NodeId) -> Vec<(Instant, u16, Frame)> {
        match &mut self.nodes[usize::from(node.0)].kind {
            Kind::Raw(frames) => frames.drain(..).collect(),
            _ => Vec::new(),
        }
    }

    /// When something happens next by itself.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.coming.next()
    }
    /// Goes to the next time at which something happens, and lets all happen that belongs there. `false`: nothing will
    /// ever happen by itself.
    pub fn step(&mut self) -> bool {
        self.settle();
        match self.coming.next() {
            Some(at) => {
                self.advance_to(at);
                true
            }
            None => false,
        }
    }
    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Duration) {
        self.advance_to(self.now + span);
    }
    /// Steps until `done`, at most for `limit`. Returns whether it is done; if not, the limit has passed or nothing will
    /// ever happen.
    #[must_use]
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut World) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            self.settle();
            match self.coming.next() {
                Some(at) if at <= end => {
                    self.advance_to(at);
                }
                _ => return false,
            }
        }
    }
    /// Goes to where the clock has run, under programs. Applications have called at that time, and stacks must not be
    /// taken back in time: so it becomes the present first, unless something was to happen before (then nobody called).
    pub(crate) fn catch_up(&mut self) -> usize {
        let end = self.clock.now();
        if self.coming.next().is_none_or(|at| at >= end) {
            self.set_now(end);
        }
        self.advance_to(end)
    }
    /// Lets everything happen up to `end`, and makes that the time. Returns how many tasks were woken.
    fn advance_to(&mut self, end: Instant) -> usize {
        let mut woken = self.settle();
        while let Some(at) = self.coming.next()
            && at <= end
        {
            self.set_now(at);
            while let Some(coming) = self.coming.pop(at) {
                match coming {
                    Coming::Arrival(flight) => self.arrive(flight),
                    Coming::Timer(node) => self.timer(node),
                }
            }
            woken += self.settle();
        }
        self.set_now(end);
        woken
    }
    fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.clock.set(self.now);
    }
    fn timer(&mut self, node: u16) {
        if let Kind::Host(host) = &mut self.nodes[usize::from(node)].kind {
            host.armed = Instant::NEVER;
            self.kicks.touch(node, &host.touched);
        }
    }
    /// Looks after the hosts that were touched until none is. Returns how many tasks were woken.
    fn settle(&mut self) -> usize {
        let mut woken = 0;
        loop {
            let mut touched = std::mem::take(&mut *self.kicks.lock());
            if touched.is_empty() {
                return woken;
            }
            for &node in &touched {
                woken += self.look_after(node);
            }
            touched.clear();
            // Hand the buffer back, unless waking has filled a new one.
            let mut hosts = self.kicks.lock();
            if hosts.capacity() == 0 {
                *hosts = touched;
            }
        }
    }
    /// One host: its due timers, its frames, its events, its next deadline.
    fn look_after(&mut self, place: u16) -> usize {
        let now = self.now;
        let told = self.is_told();
        let Kind::Host(node) = &mut self.nodes[usize::from(place)].kind else {
            return 0;
        };
        node.touched.store(false, Ordering::Relaxed);
        let host = node.host.clone();
        let mut stack = host.lock();
        let mut late = 0;
        loop {
            while let Some(meta) = stack.poll_transmit(now, &mut self.transmit) {
                let frame = std::mem::take(&mut self.transmit);
                self.scratch.push((meta.interface.0, frame, meta.cause));
            }
            match stack.next_timeout() {
                Some((at, why)) if at <= now => {
                    assert!(
                        late < LATE_LIMIT,
                        "{}: deadline {at:?} of {why:?} stays due",
                        host.name()
                    );
                    self.late_deadlines += u64::from(late > 0);
                    late += 1;
                    stack.handle_timeout(now);
                }
                Some((at, _)) => {
                    if at < node.armed {
                        node.armed = at;
                        self.coming.push_timer(at, place);
                    }
                    break;
                }
                None => break,
            }
        }
        // They enter their links before anybody is woken.
        stack.all_left(&mut self.wakers);
        while let Some(event) = stack.poll_event() {
            if self.keep_events {
                if node.events.len() == EVENTS_KEPT {
                    node.events.pop_front();
                }
                node.events.push_back(event);
            }
            stack.notify(event, &mut self.wakers);
        }
        let trace: Vec<_> = if told {
            stack.trace_mut().drain().collect()
        } else {
            Vec::new()
        };
        drop(stack);
        for event in trace {
            self.tell(HostIndex(place), What::Stack(event));
        }
        let mut frames = std::mem::take(&mut self.scratch);
        for (port, frame, cause) in frames.drain(..) {
            self.send(place, port, frame, cause);
        }
        self.scratch = frames;
        let woken = self.wakers.len();
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        woken
    }
    /// A frame enters the link at a port.
    fn send(&mut self, place: u16, port: u16, frame: Frame, cause: Cause) {
        let id = self.next_frame;
        self.next_frame += 1;
        let from = HostIndex(place);
        let interface = InterfaceId(port);
        let bytes = self.is_told().then(|| Bytes::from(frame.to_vec()));
        let link = self.nodes[usize::from(place)]
            .ports
            .get(usize::from(port))
            .and_then(|port| port.link);
        if let Some(bytes) = bytes.clone() {
            let link = link.map_or(u16::MAX, |(link, _)| link.0);
            self.tell_wire(
                from,
                WireEvent::Sent {
                    id,
                    bytes,
                    cause,
                    interface,
                    link,
                },
            );
        }
        let Some((link, direction)) = link else {
            self.tell_wire(
                from,
                WireEvent::Lost {
                    id,
                    why: LinkLoss::Down,
                },
            );
            return;
        };
        let link = &mut self.links[usize::from(link.0)];
        let medium = link.medium();
        let lane = &mut link.lanes[direction as usize];
        let (at, again, corrupted, reordered, marked) = match lane.send(self.now, &frame, medium) {
            Ok(Fate::Arrives {
                at,
                again,
                corrupted,
                reordered,
                marked,
            }) => (at, again, corrupted, reordered, marked),
            Ok(Fate::Lost | Fate::QueueFull) => return,
            Err(why) => return self.tell_wire(from, WireEvent::Lost { id, why }),
        };
        let (node, port) = link.ends[1 - direction as usize];
        let mut flight = InFlight {
            frame,
            id,
            sent_at: self.now,
            from,
            bytes,
            node,
            port,
        };
        if marked {
            change(&mut flight, |bytes| set_ce(&mut bytes[link_header(medium)..]));
        }
        if corrupted {
            turn_a_bit(&mut flight, link_header(medium), |n| lane.channel.below(n));
        }
        if let Some(again) = again {
            let double = InFlight {
                frame: flight.frame.clone(),
                bytes: flight.bytes.clone(),
                ..flight
            };
            self.coming.push_arrival(again, double);
        }
        self.coming.push_arrival(at, flight);
        for (happened, how) in [
            (again.is_some(), LinkChange::Duplicated),
            (corrupted, LinkChange::Corrupted),
            (reordered, LinkChange::Reordered),
            (marked, LinkChange::Marked),
        ] {
            if happened {
                self.tell_wire(from, WireEvent::Changed { id, how });
            }
        }
    }
    /// A frame comes out of a link.
    fn arrive(&mut self, flight: InFlight) {
        let InFlight {
            frame,
            id,
            sent_at,
            from,
            bytes,
            node: place,
            port,
        } = flight;
        if let Some(bytes) = bytes {
            let interface = InterfaceId(port);
            self.tell_wire(
                HostIndex(place),
                WireEvent::Arrived {
                    id,
                    bytes,
                    sent_at,
                    from,
                    interface,
                },
            );
        }
        let node = &mut self.nodes[usize::from(place)];
        match &mut node.kind {
            Kind::Host(host) => {
                host.host
                    .lock()
                    .handle_frame(self.now, InterfaceId(port), frame, RxMeta::default());
                self.kicks.touch(place, &host.touched);
            }
            Kind::Raw(frames) => {
                if frames.len() == RAW_KEPT {
                    frames.pop_front();
                }
                frames.push_back((self.now, port, frame));
            }
            Kind::Switch(switch) => match switch.receive(port, &frame) {
                Output::Nowhere => {}
                Output::One(to) => self.send(place, to, frame, Cause::Forwarded),
                Output::Flood => {
                    for to in (0..node.ports.len() as u16).filter(|&to| to != port) {
                        self.send(place, to, frame.clone(), Cause::Forwarded);
                    }
                }
            },
            Kind::Router(router) => {
                let mut out = std::mem::take(&mut self.scratch);
                router.receive(self.now, port, frame, &mut out);
                for (to, frame, cause) in out.drain(..) {
                    self.send(place, to, frame, cause);
                }
                self.scratch = out;
            }
        }
    }
}

/// Turns one bit behind the link header over (the link's own check would have found one in it).
fn turn_a_bit(flight: &mut InFlight, header: usize, mut below: impl FnMut(u64) -> u64) {
    let bits = flight.frame.len().saturating_sub(header) * 8;
    if bits == 0 {
        return;
    }
    let bit = below(bits as u64) as usize;
    change(flight, |bytes| bytes[header + bit / 8] ^= 1 << (bit % 8));
}

/// Changes the octets of a frame on its way.
fn change(flight: &mut InFlight, change: impl FnOnce(&mut [u8])) {
    let mut bytes = flight.frame.to_vec();
    change(&mut bytes);
    let bytes = Bytes::from(bytes);
    if flight.bytes.is_some() {
        flight.bytes = Some(bytes.clone());
    }
    flight.frame = Frame::from(bytes);
}
