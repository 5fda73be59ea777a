//! The end that has the file.

use std::collections::VecDeque;

use sockeye_stack::time::Instant;

use super::{Counts, Rollover, TimeoutOutcome, Timer, Timing};

/// Blocks to send now, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Burst {
    /// The first. Block 0 is the handshake: send the OACK or request instead of DATA.
    pub first: u64,
    /// How many: at least one.
    pub count: u32,
    /// How many of them, from the first on, were sent before.
    pub again: u32,
}

/// What an ACK did.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AckOutcome {
    /// It acknowledged blocks that were not acknowledged before.
    Advanced,
    /// It acknowledged the last block: the transfer is complete.
    Finished,
    /// It said nothing new. It may be the receiver's word that a block is missing.
    Duplicate,
    /// Its number belongs to no block in flight.
    Stray,
}

/// When the blocks from `first` on were sent, up to the next flight.
#[derive(Clone, Copy, Debug)]
struct Flight {
    first: u64,
    at: Instant,
}

/// Sends blocks in windows (RFC 7440; a window of 1 is RFC 1350's lockstep).
///
/// Two rules keep the Sorcerer's Apprentice out (RFC 1123 section 4.2.3.1). In lockstep an ACK that is not new sends nothing.
/// In a window it may be the receiver's word that the next block is missing; then blocks are sent again from the gap, but
/// only if that block's last sending is old enough for the receiver to know of it, so each sending is answered at most once.
#[derive(Debug)]
pub struct Sender {
    numbers: Rollover,
    window: u64,
    /// The oldest block that is not acknowledged.
    base: u64,
    /// The next block to send.
    next: u64,
    /// The next block that was never sent.
    high: u64,
    /// The last block, once it is known.
    last: Option<u64>,
    /// From the oldest to the newest, at most one for each block in flight.
    flights: VecDeque<Flight>,
    timer: Timer,
    /// A block that was sent once, and when: its ACK is a measurement (Karn).
    sample: Option<(u64, Instant)>,
    deadline: Option<Instant>,
    /// When the peer last got us further.
    progress: Instant,
    counts: Counts,
}

impl Sender {
    /// A sender that starts with block 0, the handshake, or with block 1.
    pub fn new(now: Instant, timing: Timing, numbers: Rollover, window: u16, handshake: bool) -> Sender {
        let first = if handshake { 0 } else { 1 };
        Sender {
            numbers,
            window: window.max(1).into(),
            base: first,
            next: first,
            high: first,
            last: None,
            flights: VecDeque::new(),
            timer: Timer::new(timing),
            sample: None,
            deadline: None,
            progress: now,
            counts: Counts::default(),
        }
    }
    /// A word of each line of memory that an answer needs.
    #[cfg(target_os = "linux")]
    pub(in super::super) fn look_over(&self) -> u64 {
        let Sender { timer, counts, .. } = self;
        self.base
            ^ self.progress.as_nanos()
            ^ self.window
            ^ counts.blocks
            ^ timer.rto().as_nanos()
            ^ self.deadline.map_or(0, Instant::as_nanos)
            ^ self.sample.map_or(0, |(block, _)| block)
    }
    /// What the options came to, once the peer's OACK is there. No DATA has been sent by then.
    pub fn configure(&mut self, window: u16, timing: Timing) {
        self.window = window.max(1).into();
        self.timer.set_timing(timing);
    }
    /// Tells which block is the last.
    pub fn set_last(&mut self, block: u64) {
        self.last = Some(block);
    }
    /// The oldest block that may have to be sent again. Earlier ones are not needed any more.
    pub fn base(&self) -> u64 {
        self.base
    }
    /// Whether the handshake is over: block 0 is acknowledged, or there is none.
    pub fn is_under_way(&self) -> bool {
        self.base > 0
    }
    /// What it has counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }
    /// Its timer, for reports.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }
    /// Whether all that may be sent is in flight, so that there is nothing to send before something comes.
    pub fn is_waiting(&self) -> bool {
        self.next >= self.end()
    }
    /// What an ACK of all that is in flight would let go: the first block and how many, at most `max`.
    pub fn following(&self, max: u32) -> (u64, u32) {
        let end = self.last.map_or(u64::MAX, |last| last + 1);
        let left = end.saturating_sub(self.next);
        (self.next, left.min(self.window).min(max.into()) as u32)
    }
    /// The number of a block on the wire.
    pub fn wire(&self, block: u64) -> u16 {
        self.numbers.wire(block)
    }

    /// One after the last block that may be sent now.
    fn end(&self) -> u64 {
        let end = if self.base == 0 {
            1
        } else {
            self.base + self.window
        };
        self.last.map_or(end, |last| end.min(last + 1))
    }
    /// The next blocks to send, at most `max`. Call it until it returns `None`; less is fine when the socket is full.
    pub fn poll_transmit(&mut self, now: Instant, max: u32) -> Option<Burst> {
        let end = self.end();
        if self.next >= end || max == 0 {
            return None;
        }
        let first = self.next;
        let count = (end - first).min(max.into());
        let again = self.high.saturating_sub(first).min(count);
        if self.sample.is_some_and(|(block, _)| first <= block) {
            self.sample = None;
        }
        if again < count {
            // A later burst of the same window takes the place of an earlier one: its last block is what is answered.
            self.sample = Some((first + count - 1, now));
        }
        match self.flights.back() {
            Some(flight) if flight.at == now => {}
            _ if self.window == 1 => {} // nothing is sent beyond a gap
            _ => self.flights.push_back(Flight { first, at: now }),
        }
        self.next += count;
        self.high = self.high.max(self.next);
        self.counts.retransmissions += again;
        if first > 0 {
            self.counts.blocks += count - again;
        }
        // While blocks wait for the socket or the rate limit there is nothing to time.
        self.deadline = (self.next >= end).then(|| now + self.timer.rto());
        Some(Burst {
            first,
            count: count as u32,
            again: again as u32,
        })
    }

    /// When the blocks around `block` were last sent.
    fn sent_at(&self, block: u64) -> Option<Instant> {
        let flight = self.flights.iter().rev().find(|f| f.first <= block);
        flight.map(|f| f.at)
    }
    /// Sends again from `block` on.
    fn go_back(&mut self, block: u64) {
        self.next = block;
        while self.flights.back().is_some_and(|f| f.first >= block) {
            self.flights.pop_back();
        }
        self.deadline = None;
    }

    /// An ACK came from the peer.
    pub fn handle_ack(&mut self, now: Instant, wire: u16) -> AckOutcome {
        let low = self.base.saturating_sub(1);
        let Some(block) = self.high.checked_sub(1) else {
            return AckOutcome::Stray; // nothing was sent yet
        };
        let Some(block) = self.numbers.within(low, block, wire) else {
            return AckOutcome::Stray;
        };
        if block < self.base {
            self.counts.duplicates += 1;
            self.mind_the_gap(now);
            return AckOutcome::Duplicate;
        }
        if let Some((sampled, at)) = self.sample
            && block >= sampled
        {
            self.timer.on_sample(now.since(at));
            self.sample = None;
        }
        self.base = block + 1;
        self.next = self.next.max(self.base);
        self.progress = now;
        while self.flights.get(1).is_some_and(|f| f.first <= self.base) {
            self.flights.pop_front();
        }
        if self.last == Some(block) {
            self.deadline = None;
            return AckOutcome::Finished;
        }
        self.mind_the_gap(now);
        if self.deadline.is_some() {
            self.deadline = (self.next >= self.end()).then(|| now + self.timer.rto());
        }
        AckOutcome::Advanced
    }

    /// The receiver has said that it waits for `base`. If blocks after it are in flight and its own sending is not
    /// just now, it was lost: send again from there.
    fn mind_the_gap(&mut self, now: Instant) {
        let others_in_flight = self.window > 1 && self.base > 0 && self.high > self.base + 1;
        if !others_in_flight || self.next <= self.base {
            return;
        }
        if self
            .sent_at(self.base)
            .is_some_and(|at| !self.timer.is_fresh(at, now))
        {
            self.go_back(self.base);
        }
    }

    /// When [`Sender::handle_timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
            .map(|at| at.min(self.progress + self.timer.timing().give_up))
    }
    /// The time is `now`. After [`TimeoutOutcome::GaveUp`] the transfer is over.
    pub fn handle_timeout(&mut self, now: Instant) -> TimeoutOutcome {
        if self.deadline().is_none_or(|at| now < at) {
            return TimeoutOutcome::Early;
        }
        if now.since(self.progress) >= self.timer.timing().give_up {
            return TimeoutOutcome::GaveUp;
        }
        self.counts.timeouts += 1;
        self.timer.back_off();
        self.go_back(self.base);
        TimeoutOutcome::Resend
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye_stack::time::Duration;

    const AT: fn(u64) -> Instant = Instant::from_millis;

    fn sender(window: u16, last: u64) -> Sender {
        let mut sender = Sender::new(AT(0), Timing::default(), Rollover::ToZero, window, false);
        sender.set_last(last);
        sender
    }
    fn burst(first: u64, count: u32, again: u32) -> Option<Burst> {
        Some(Burst { first, count, again })
    }

    /// Proves: 1350-3, 1350-5.
    #[test]
    fn lockstep_never_doubles() {
        let mut s = sender(1, 3);
        assert_eq!(s.poll_transmit(AT(0), 99), burst(1, 1, 0));
        assert_eq!(s.poll_transmit(AT(0), 99), None);
        assert_eq!(s.handle_ack(AT(10), 1), AckOutcome::Advanced);
        assert_eq!(s.poll_transmit(AT(10), 99), burst(2, 1, 0));
        // RFC 1123 section 4.2.3.1: the same ACK again sends nothing, however often and late.
        for at in [10, 11, 25] {
            assert_eq!(s.handle_ack(AT(at), 1), AckOutcome::Duplicate);
            assert_eq!(s.poll_transmit(AT(at), 99), None);
        }
        assert_eq!(s.handle_ack(AT(20), 7), AckOutcome::Stray);
        // SRTT 10 ms, RTTVAR 5 ms.
        assert_eq!(s.deadline(), Some(AT(40)));
        assert_eq!(s.handle_timeout(AT(39)), TimeoutOutcome::Early);
        assert_eq!(s.handle_timeout(AT(40)), TimeoutOutcome::Resend);
        assert_eq!(s.poll_transmit(AT(40), 99), burst(2, 1, 1));
        assert_eq!(s.handle_ack(AT(50), 2), AckOutcome::Advanced);
        assert_eq!(s.poll_transmit(AT(50), 99), burst(3, 1, 0));
        assert_eq!(s.handle_ack(AT(60), 3), AckOutcome::Finished);
        assert_eq!(s.deadline(), None);
    }

    #[test]
    fn what_follows_ends_with_the_file() {
        let mut s = sender(4, 10);
        assert_eq!(s.following(9), (1, 4));
        assert_eq!(s.poll_transmit(AT(0), 99), burst(1, 4, 0));
        assert_eq!((s.following(3), s.following(9)), ((5, 3), (5, 4)));
        assert_eq!(s.handle_ack(AT(1), 4), AckOutcome::Advanced);
        assert_eq!(s.poll_transmit(AT(1), 99), burst(5, 4, 0));
        assert_eq!(s.following(9), (9, 2));
        assert_eq!(s.handle_ack(AT(2), 8), AckOutcome::Advanced);
        assert_eq!(s.poll_transmit(AT(2), 99), burst(9, 2, 0));
        assert_eq!(s.following(9), (11, 0));
    }

    /// Proves: 7440-3.
    #[test]
    fn a_window_is_sent_again_from_the_gap() {
        let mut s = sender(4, 100);
        assert_eq!(s.poll_transmit(AT(0), 99), burst(1, 4, 0));
        assert_eq!(s.handle_ack(AT(10), 4), AckOutcome::Advanced);
        assert_eq!(s.poll_transmit(AT(10), 99), burst(5, 4, 0));
        // Block 6 is lost: the receiver says 5, once for each block after it.
        assert_eq!(s.handle_ack(AT(20), 5), AckOutcome::Advanced);
        assert_eq!(s.poll_transmit(AT(20), 99), burst(6, 4, 3));
        for _ in 0..2 {
            assert_eq!(s.handle_ack(AT(20), 5), AckOutcome::Duplicate);
            assert_eq!(s.poll_transmit(AT(20), 99), None);
        }
        // A round trip later the same word means that 6 was lost again.
        assert_eq!(s.handle_ack(AT(30), 5), AckOutcome::Duplicate);
        assert_eq!(s.poll_transmit(AT(30), 99), burst(6, 4, 4));
        assert_eq!(s.handle_ack(AT(40), 9), AckOutcome::Advanced);
        assert_eq!(s.counts().retransmissions, 7);
    }

    /// Proves: 1350-6.
    #[test]
    fn silence_ends_it() {
        let mut s = sender(1, 3);
        let mut now = AT(0);
        let mut sent = 0;
        loop {
            while s.poll_transmit(now, 99).is_some() {
                sent += 1;
            }
            now = s.deadline().unwrap();
            if s.handle_timeout(now) == TimeoutOutcome::GaveUp {
                break;
            }
        }
        assert_eq!(now, AT(10_000));
        // 0, .3, .9, 2.1 (then every 2 s: 4.1, 6.1, 8.1)
        assert_eq!(sent, 7);
    }

    /// Proves: 2347-4.
    #[test]
    fn the_handshake_is_block_0_and_alone() {
        let mut s = Sender::new(AT(0), Timing::default(), Rollover::ToOne, 8, true);
        assert_eq!(s.handle_ack(AT(0), 0), AckOutcome::Stray);
        assert_eq!(s.poll_transmit(AT(0), 99), burst(0, 1, 0));
        assert_eq!(s.poll_transmit(AT(0), 99), None);
        assert_eq!(s.handle_ack(AT(1), 1), AckOutcome::Stray);
        assert_eq!(s.handle_ack(AT(1), 0), AckOutcome::Advanced);
        assert_eq!(s.timer().srtt(), Some(Duration::from_millis(1)));
        assert_eq!(s.poll_transmit(AT(1), 3), burst(1, 3, 0));
        // Blocks wait for the socket: nothing is timed.
        assert_eq!(s.deadline(), None);
        assert_eq!(s.poll_transmit(AT(2), 99), burst(4, 5, 0));
        assert!(s.deadline().is_some());
    }
}
