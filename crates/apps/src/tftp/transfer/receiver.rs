//! The end that gets the file.

use sockeye_stack::time::{Duration, Instant};

use super::numbers::Place;
use super::{Counts, Rollover, TimeoutOutcome, Timer, Timing};

/// What a receiver sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// The handshake: a client's request, a server's OACK.
    Handshake,
    /// ACK with this number.
    Ack(u16),
}

/// What is to be done with a DATA packet.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DataOutcome {
    /// The next block: keep its octets.
    Next,
    /// The next block and the last: keep its octets, finish the file, then drain `poll_transmit`. If the file cannot be
    /// finished, send an ERROR instead: the ACK has not gone out.
    Last,
    /// It is there already: drop it.
    Duplicate,
    /// A block before it is missing: drop it.
    Ahead,
    /// No block that there can be, or longer than the block size: drop it.
    Illegal,
}

/// Receives blocks in windows (RFC 7440; a window of 1 is RFC 1350's lockstep).
#[derive(Debug)]
pub struct Receiver {
    /// `None` until the numbers roll over and tell: to 0 or to 1.
    numbers: Option<Rollover>,
    window: u64,
    blksize: usize,
    /// The next block that is expected.
    next: u64,
    /// The newest block that our last reply acknowledged.
    acked: u64,
    /// Whether the reply to block 0 is the handshake, rather than ACK 0.
    handshake: bool,
    /// A reply is owed.
    owed: bool,
    replied: Option<Instant>,
    /// The highest block ahead of a gap since the gap was told. One that is not higher belongs to another sending.
    gap: Option<u64>,
    complete: bool,
    dally: Option<Duration>,
    timer: Timer,
    /// When the reply went out, if once: the next block is a measurement (Karn).
    sample: Option<Instant>,
    deadline: Option<Instant>,
    progress: Instant,
    counts: Counts,
}

impl Receiver {
    /// A receiver that begins by sending the handshake, or else ACK 0. `numbers` may be `None` for whatever the sender
    /// does: in lockstep that is seen from block 65,536 on; in a window, where 1 may also mean that 0 was lost, 0 is expected.
    /// `dally` is how long to wait after the last ACK, in case it is lost; `None` is twice the timer.
    pub fn new(
        now: Instant,
        timing: Timing,
        numbers: Option<Rollover>,
        handshake: bool,
        dally: Option<Duration>,
    ) -> Receiver {
        Receiver {
            numbers,
            window: 1,
            blksize: super::super::packet::BLKSIZE_DEFAULT.into(),
            next: 1,
            acked: 0,
            handshake,
            owed: true,
            replied: None,
            gap: None,
            complete: false,
            dally,
            timer: Timer::new(timing),
            sample: None,
            deadline: None,
            progress: now,
            counts: Counts::default(),
        }
    }
    /// What the options came to.
    pub fn configure(&mut self, blksize: u16, window: u16, timing: Timing) {
        self.blksize = blksize.into();
        self.window = window.max(1).into();
        self.timer.set_timing(timing);
    }
    /// A client's request was answered with an OACK: it owes ACK 0 (RFC 2347).
    pub fn handle_option_ack(&mut self, now: Instant) {
        if self.next > 1 {
            return; // a late duplicate
        }
        if let Some(at) = self.sample.take() {
            self.timer.on_sample(now.since(at));
        }
        let fresh = self.replied.is_some_and(|at| self.timer.is_fresh(at, now));
        self.owed |= self.handshake || !fresh;
        self.handshake = false;
        self.progress = now;
    }
    /// Whether DATA or an OACK has come.
    pub fn is_under_way(&self) -> bool {
        self.next > 1 || !self.handshake
    }
    /// Whether all blocks are there.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
    /// What it has counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn place(&mut self, wire: u16) -> Place {
        if self.numbers.is_none() && self.next == 65_536 {
            match wire {
                0 => self.numbers = Some(Rollover::ToZero),
                1 if self.window == 1 => self.numbers = Some(Rollover::ToOne),
                _ => {}
            }
        }
        let numbers = self.numbers.unwrap_or_default();
        if numbers == Rollover::None && (wire == 0 || self.next > 65_535) {
            return Place::Nowhere;
        }
        numbers.near(self.next, wire)
    }

    /// DATA came from the peer, with this number and so many octets.
    pub fn handle_data(&mut self, now: Instant, wire: u16, octets: usize) -> DataOutcome {
        let block = match self.place(wire) {
            _ if octets > self.blksize => return DataOutcome::Illegal,
            Place::Nowhere | Place::Behind(0) => return DataOutcome::Illegal,
            Place::Behind(block) => {
                self.duplicate(now, block);
                return DataOutcome::Duplicate;
            }
            Place::Ahead(_) if self.complete => return DataOutcome::Illegal,
            Place::Ahead(block) if block > self.next => {
                // Ahead of the window is what no honest sender sends.
                if block >= self.next + self.window {
                    return DataOutcome::Illegal;
                }
                self.handshake = false;
                if self.gap.is_none_or(|highest| block <= highest) {
                    self.owed = true;
                }
                self.gap = Some(block);
                return DataOutcome::Ahead;
            }
            Place::Ahead(block) => block,
        };
        if let Some(at) = self.sample.take() {
            self.timer.on_sample(now.since(at));
        }
        self.next = block + 1;
        self.handshake = false;
        self.gap = None;
        self.progress = now;
        self.counts.blocks += 1;
        self.complete = octets < self.blksize;
        self.owed = self.complete || self.next - 1 - self.acked >= self.window;
        self.deadline = (!self.owed).then(|| now + self.wait());
        if self.complete {
            DataOutcome::Last
        } else {
            DataOutcome::Next
        }
    }
    /// The sender repeats itself. If it repeats the newest block, it may wait for an ACK that was lost; unless the block
    /// or its ACK is of just now: then the network doubled it, or an Apprentice on the other side.
    fn duplicate(&mut self, now: Instant, block: u64) {
        self.counts.duplicates += 1;
        let just_now = |at| self.timer.is_fresh(at, now);
        if block == self.next - 1 && !just_now(self.progress) && !self.replied.is_some_and(just_now) {
            self.owed = true;
        }
    }

    /// Whether a reply is owed: to all that has come, since in lockstep and at the end of a window the sender waits for it.
    pub fn owes_reply(&self) -> bool {
        self.owed
    }
    /// The reply to send, if one is owed.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Reply> {
        if !std::mem::take(&mut self.owed) {
            return None;
        }
        let newest = self.next - 1;
        let again = self.replied.is_some() && self.acked == newest;
        let first = self.replied.is_none() || self.acked != newest;
        self.sample = if first { Some(now) } else { None };
        self.counts.retransmissions += u64::from(again);
        self.acked = newest;
        self.replied = Some(now);
        self.deadline = Some(
            now + match (self.complete, self.dally) {
                (false, _) => self.wait(),
                (true, Some(dally)) => dally,
                (true, None) => self.timer.rto() * 2,
            },
        );
        if self.handshake {
            return Some(Reply::Handshake);
        }
        Some(Reply::Ack(self.numbers.unwrap_or_default().wire(newest)))
    }

    /// A receiver waits longer than a sender: it is for the sender to repeat, and a reply in the middle of a window makes
    /// some senders start it again.
    fn wait(&self) -> Duration {
        if self.next == 1 {
            return self.timer.rto();
        }
        let timing = self.timer.timing();
        self.timer
            .rto()
            .max(timing.floor * 2)
            .saturating_mul(2)
            .min(timing.ceiling)
    }
    /// When [`Receiver::handle_timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        if self.complete {
            return self.deadline;
        }
        self.deadline
            .map(|at| at.min(self.progress + self.timer.timing().give_up))
    }
    /// The time is `now`. After [`TimeoutOutcome::GaveUp`] and [`TimeoutOutcome::Finished`] it is over.
    pub fn handle_timeout(&mut self, now: Instant) -> TimeoutOutcome {
        if self.deadline().is_none_or(|at| now < at) {
            return TimeoutOutcome::Early;
        }
        if self.complete {
            return TimeoutOutcome::Finished;
        }
        if now.since(self.progress) >= self.timer.timing().give_up {
            return TimeoutOutcome::GaveUp;
        }
        self.counts.timeouts += 1;
        self.timer.back_off();
        self.sample = None;
        self.owed = true;
        TimeoutOutcome::Resend
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Instant = Instant::from_millis;
    const DALLY: Duration = Duration::from_millis(100);

    fn receiver(window: u16) -> Receiver {
        let mut r = Receiver::new(AT(0), Timing::default(), None, false, Some(DALLY));
        r.configure(512, window, Timing::default());
        assert_eq!(r.poll_transmit(AT(0)), Some(Reply::Ack(0)));
        r
    }

    /// Proves: 1350-2, 1350-8.
    #[test]
    fn lockstep() {
        let mut r = receiver(1);
        assert_eq!(r.handle_data(AT(10), 1, 512), DataOutcome::Next);
        assert_eq!(r.poll_transmit(AT(10)), Some(Reply::Ack(1)));
        // The same again at once: an Apprentice. Later: the ACK was lost.
        assert_eq!(r.handle_data(AT(10), 1, 512), DataOutcome::Duplicate);
        assert_eq!(r.poll_transmit(AT(10)), None);
        assert_eq!(r.handle_data(AT(30), 1, 512), DataOutcome::Duplicate);
        assert_eq!(r.poll_transmit(AT(30)), Some(Reply::Ack(1)));
        assert_eq!(r.handle_data(AT(31), 3, 512), DataOutcome::Illegal);
        assert_eq!(r.handle_data(AT(31), 2, 513), DataOutcome::Illegal);
        assert_eq!(r.handle_data(AT(31), 0, 512), DataOutcome::Illegal);
        // A multiple of the block size ends with a block of nothing.
        assert_eq!(r.handle_data(AT(40), 2, 0), DataOutcome::Last);
        assert_eq!(r.poll_transmit(AT(40)), Some(Reply::Ack(2)));
        // It dallies: the last ACK may be lost.
        assert_eq!(r.handle_data(AT(80), 2, 0), DataOutcome::Duplicate);
        assert_eq!(r.poll_transmit(AT(80)), Some(Reply::Ack(2)));
        assert_eq!(r.handle_data(AT(90), 3, 0), DataOutcome::Illegal);
        assert_eq!(r.handle_timeout(AT(179)), TimeoutOutcome::Early);
        assert_eq!(r.handle_timeout(AT(180)), TimeoutOutcome::Finished);
        assert_eq!(r.counts().retransmissions, 2);
    }

    /// Proves: 7440-2, 7440-3.
    #[test]
    fn a_gap_is_told_once_for_each_sending() {
        let mut r = receiver(8);
        assert_eq!(r.handle_data(AT(10), 1, 512), DataOutcome::Next);
        assert_eq!(r.poll_transmit(AT(10)), None);
        for (block, reply) in [(3, Some(Reply::Ack(1))), (4, None), (5, None)] {
            assert_eq!(r.handle_data(AT(10), block, 512), DataOutcome::Ahead);
            assert_eq!(r.poll_transmit(AT(10)), reply);
        }
        // Sent again from 2, which is lost again.
        for (block, reply) in [(3, Some(Reply::Ack(1))), (4, None)] {
            assert_eq!(r.handle_data(AT(20), block, 512), DataOutcome::Ahead);
            assert_eq!(r.poll_transmit(AT(20)), reply);
        }
        for block in 2..=8 {
            assert_eq!(r.handle_data(AT(30), block, 512), DataOutcome::Next);
            assert_eq!(r.poll_transmit(AT(30)), None);
        }
        assert_eq!(r.handle_data(AT(30), 9, 512), DataOutcome::Next);
        assert_eq!(r.poll_transmit(AT(30)), Some(Reply::Ack(9)));
    }

    /// Proves: 2347-4.
    #[test]
    fn a_client_s_request_becomes_ack_0() {
        let mut r = Receiver::new(AT(0), Timing::default(), None, true, Some(DALLY));
        assert_eq!(r.poll_transmit(AT(0)), Some(Reply::Handshake));
        assert_eq!(r.handle_timeout(AT(300)), TimeoutOutcome::Resend);
        assert_eq!(r.poll_transmit(AT(300)), Some(Reply::Handshake));
        r.handle_option_ack(AT(301));
        r.configure(1024, 4, Timing::default());
        assert_eq!(r.poll_transmit(AT(301)), Some(Reply::Ack(0)));
        assert_eq!(r.handle_data(AT(302), 1, 1023), DataOutcome::Last);
        assert_eq!(r.poll_transmit(AT(302)), Some(Reply::Ack(1)));
        r.handle_option_ack(AT(303));
        assert_eq!(r.poll_transmit(AT(303)), None);
    }

    #[test]
    fn numbers_roll_over_as_the_sender_does() {
        for (after, rollover) in [(0, Some(Rollover::ToZero)), (1, Some(Rollover::ToOne))] {
            let mut r = receiver(1);
            for block in 1..=65_535u16 {
                assert_eq!(r.handle_data(AT(1), block, 512), DataOutcome::Next);
                assert_eq!(r.poll_transmit(AT(1)), Some(Reply::Ack(block)));
            }
            assert_eq!(r.handle_data(AT(1), after, 512), DataOutcome::Next);
            assert_eq!(r.poll_transmit(AT(1)), Some(Reply::Ack(after)));
            assert_eq!(r.numbers, rollover);
        }
        // In a window 1 may mean that 0 was lost: guessing would spoil the file.
        let mut r = receiver(4);
        for block in 1..=65_535u16 {
            assert_eq!(r.handle_data(AT(1), block, 512), DataOutcome::Next);
            let _ = r.poll_transmit(AT(1));
        }
        assert_eq!(r.handle_data(AT(1), 1, 512), DataOutcome::Ahead);
        assert_eq!(r.handle_data(AT(1), 0, 512), DataOutcome::Next);
    }
}
