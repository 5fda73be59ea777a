//! What a link does to frames: figures of one direction, and the dice.

use std::collections::VecDeque;

use sockeye_stack::{Duration, Instant};

use crate::rng::Rng;

/// The queue before a link. When it is full the frame that comes is lost (tail drop).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queue {
    /// Octets.
    Bytes(usize),
    /// Frames.
    Packets(usize),
}

/// Losses in bursts: a link that is good or bad, after Gilbert and Elliott. `loss` of [`Impairments`] holds while good.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Burst {
    /// Probability, at each frame, that a good link turns bad.
    pub begin: f64,
    /// Probability, at each frame, that a bad link turns good.
    pub end: f64,
    /// Probability of loss while bad.
    pub loss: f64,
}

/// The figures of one direction of a link. Probabilities are from 0 to 1.
#[derive(Clone, PartialEq, Debug)]
pub struct Impairments {
    /// Bits a second; `None` takes no time.
    pub rate: Option<u64>,
    /// Time from the last bit out to the last bit in.
    pub delay: Duration,
    /// Added to the delay, evenly from nothing to this. It keeps the order of frames.
    pub jitter: Duration,
    /// Probability of loss.
    pub loss: f64,
    /// Loss in bursts as well.
    pub burst: Option<Burst>,
    /// Probability that a frame arrives twice.
    pub duplicate: f64,
    /// Probability that a frame is held back by `reorder_by`, so that later ones overtake it.
    pub reorder: f64,
    /// How long such a frame is held back.
    pub reorder_by: Duration,
    /// Probability that one bit is turned over.
    pub corrupt: f64,
    /// Probability that the link shows congestion on a frame: one of an ECN-capable transport is marked with CE, any
    /// other is lost (RFC 3168 section 5).
    pub mark: f64,
    /// An ECN-capable frame that waits longer than this in the queue is marked with CE.
    pub mark_wait: Option<Duration>,
    /// Largest IP packet in octets; larger ones are lost.
    pub mtu: u32,
    /// The queue before the link; only a rate fills it.
    pub queue: Queue,
    /// Nothing passes.
    pub down: bool,
}

impl Default for Impairments {
    /// A perfect link: no time, no loss, any size; a queue of 1,000 frames, as Linux has (txqueuelen).
    fn default() -> Self {
        Impairments {
            rate: None,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            burst: None,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::from_millis(1),
            corrupt: 0.0,
            mark: 0.0,
            mark_wait: None,
            mtu: 65_535,
            queue: Queue::Packets(1000),
            down: false,
        }
    }
}

impl Impairments {
    /// Takes away what spoils frames (loss, marks, duplication, reordering, corruption, being down); keeps rate, delay, MTU
    /// and queue.
    pub fn heal(&mut self) {
        self.loss = 0.0;
        self.burst = None;
        self.duplicate = 0.0;
        self.reorder = 0.0;
        self.corrupt = 0.0;
        self.mark = 0.0;
        self.mark_wait = None;
        self.down = false;
    }
}

/// What becomes of a frame that the scenario let pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    QueueFull,
    Lost,
    Arrives {
        at: Instant,
        /// When its double arrives, if it has one.
        again: Option<Instant>,
        corrupted: bool,
        reordered: bool,
        marked: bool,
    },
}

/// One direction's state: its queue, its mood and its dice.
#[derive(Debug)]
pub(crate) struct Channel {
    rng: Rng,
    bad: bool,
    busy_until: Instant,
    /// When frames in the queue leave it, with their lengths; the first is being sent.
    queue: VecDeque<(Instant, usize)>,
    queued_bytes: usize,
    last_arrival: Instant,
}

impl Channel {
    pub(crate) fn new(rng: Rng) -> Channel {
        Channel {
            rng,
            bad: false,
            busy_until: Instant::ZERO,
            queue: VecDeque::new(),
            queued_bytes: 0,
            last_arrival: Instant::ZERO,
        }
    }
    /// A frame of `len` octets enters; `capable` says whether it may be marked.
    pub(crate) fn send(&mut self, now: Instant, len: usize, capable: bool, figures: &Impairments) -> Fate {
        let Some(out_at) = self.enqueue(now, len, figures) else {
            return Fate::QueueFull;
        };
        if self.loses(figures) {
            return Fate::Lost;
        }
        let congested = self.rng.chance(figures.mark);
        if congested && !capable {
            return Fate::Lost;
        }
        let waited = figures.mark_wait.is_some_and(|limit| out_at.since(now) > limit);
        let mut at = out_at + figures.delay;
        if !figures.jitter.is_zero() {
            at += Duration::from_nanos(self.rng.range(0, figures.jitter.as_nanos()));
        }
        at = at.max(self.last_arrival);
        let reordered = self.rng.chance(figures.reorder);
        if reordered {
            at += figures.reorder_by;
        } else {
            self.last_arrival = at;
        }
        Fate::Arrives {
            at,
            again: self.rng.chance(figures.duplicate).then_some(at),
            corrupted: self.rng.chance(figures.corrupt),
            reordered,
            marked: capable && (congested || waited),
        }
    }
    /// A number below `n`, for what else is left to chance.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.rng.below(n)
    }
    /// When the frame's last bit has left; `None` if the queue is full.
    fn enqueue(&mut self, now: Instant, len: usize, figures: &Impairments) -> Option<Instant> {
        let Some(rate) = figures.rate else {
            return Some(now);
        };
        while let Some(&(leaves, len)) = self.queue.front()
            && leaves <= now
        {
            self.queue.pop_front();
            self.queued_bytes -= len;
        }
        let full = match figures.queue {
            Queue::Bytes(limit) => self.queued_bytes + len > limit,
            Queue::Packets(limit) => self.queue.len() + 1 > limit,
        };
        // A frame that finds the link free is being sent, not queued: even a queue of nothing lets it pass.
        if full && !self.queue.is_empty() {
            return None;
        }
        let nanos = (len as u128 * 8 * 1_000_000_000).div_ceil(u128::from(rate.max(1)));
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.busy_until = self.busy_until.max(now) + takes;
        self.queue.push_back((self.busy_until, len));
        self.queued_bytes += len;
        Some(self.busy_until)
    }
    fn loses(&mut self, figures: &Impairments) -> bool {
        if let Some(burst) = figures.burst {
            let turns = if self.bad { burst.end } else { burst.begin };
            self.bad ^= self.rng.chance(turns);
            if self.bad {
                return self.rng.chance(burst.loss);
            }
        } else {
            self.bad = false;
        }
        self.rng.chance(figures.loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{mbit, ms};

    fn channel() -> Channel {
        Channel::new(Rng::new(42))
    }
    fn arrival(fate: Fate) -> Instant {
        match fate {
            Fate::Arrives { at, .. } => at,
            other => panic!("{other:?}"),
        }
    }
    /// How many of `n` frames meet `test`.
    fn count(figures: &Impairments, n: usize, test: impl Fn(Fate) -> bool) -> usize {
        let mut channel = channel();
        (0..n)
            .filter(|_| test(channel.send(Instant::ZERO, 1500, true, figures)))
            .count()
    }

    #[test]
    fn a_rate_and_a_delay_add_up() {
        let figures = Impairments {
            rate: Some(mbit(12)),
            delay: ms(10),
            ..Impairments::default()
        };
        let mut channel = channel();
        // 1,500 octets at 12 Mbit/s take 1 ms; the second waits for the first.
        assert_eq!(
            arrival(channel.send(Instant::ZERO, 1500, true, &figures)),
            Instant::from_millis(11)
        );
        assert_eq!(
            arrival(channel.send(Instant::ZERO, 1500, true, &figures)),
            Instant::from_millis(12)
        );
        assert_eq!(
            arrival(channel.send(Instant::from_millis(50), 1500, true, &figures)),
            Instant::from_millis(61)
        );
    }

    #[test]
    fn a_full_queue_loses_the_last_and_drains_with_time() {
        let mut figures = Impairments {
            rate: Some(mbit(12)),
            queue: Queue::Packets(3),
            ..Impairments::default()
        };
        let mut channel = channel();
        let burst = |channel: &mut Channel, figures: &Impairments, now| {
            (0..10)
                .filter(|_| channel.send(now, 1500, true, figures) != Fate::QueueFull)
                .count()
        };
        assert_eq!(burst(&mut channel, &figures, Instant::ZERO), 3);
        assert_eq!(burst(&mut channel, &figures, Instant::from_millis(2)), 2);
        figures.queue = Queue::Bytes(4500);
        assert_eq!(burst(&mut channel, &figures, Instant::from_millis(4)), 2);
        figures.queue = Queue::Bytes(0);
        assert_eq!(burst(&mut channel, &figures, Instant::from_millis(100)), 1);
    }

    #[test]
    fn probabilities_hold() {
        let n = 20_000;
        let near = |got: usize, p: f64| {
            let (expected, deviation) = (n as f64 * p, (n as f64 * p * (1.0 - p)).sqrt());
            assert!(
                (got as f64 - expected).abs() < 5.0 * deviation,
                "{got} of {n}, expected {expected}"
            );
        };
        let perfect = Impairments::default();
        assert_eq!(
            count(&perfect, n, |f| matches!(f, Fate::Arrives { again: None, .. })),
            n
        );
        for p in [0.01, 0.3] {
            let figures = Impairments {
                loss: p,
                ..perfect.clone()
            };
            near(count(&figures, n, |f| f == Fate::Lost), p);
            let figures = Impairments {
                duplicate: p,
                ..perfect.clone()
            };
            near(
                count(&figures, n, |f| matches!(f, Fate::Arrives { again: Some(_), .. })),
                p,
            );
            let figures = Impairments {
                corrupt: p,
                ..perfect.clone()
            };
            near(
                count(&figures, n, |f| {
                    matches!(f, Fate::Arrives { corrupted: true, .. })
                }),
                p,
            );
            let figures = Impairments {
                reorder: p,
                ..perfect.clone()
            };
            near(
                count(&figures, n, |f| {
                    matches!(f, Fate::Arrives { reordered: true, .. })
                }),
                p,
            );
        }
    }

    #[test]
    fn bursts_lose_in_runs() {
        let figures = Impairments {
            burst: Some(Burst {
                begin: 0.01,
                end: 0.25,
                loss: 1.0,
            }),
            ..Impairments::default()
        };
        let mut channel = channel();
        let lost: Vec<bool> = (0..100_000)
            .map(|_| channel.send(Instant::ZERO, 100, true, &figures) == Fate::Lost)
            .collect();
        let losses = lost.iter().filter(|&&l| l).count() as f64;
        let runs = lost.windows(2).filter(|w| !w[0] && w[1]).count() as f64;
        // Bad for begin / (begin + end) of the time, in runs of 1 / end.
        assert!((losses / 100_000.0 - 0.01 / 0.26).abs() < 0.005, "{losses}");
        assert!((losses / runs - 4.0).abs() < 0.5, "{}", losses / runs);
    }

    #[test]
    fn jitter_is_even_and_keeps_order() {
        let figures = Impairments {
            delay: ms(5),
            jitter: ms(10),
            ..Impairments::default()
        };
        let mut channel = channel();
        let mut last = Instant::ZERO;
        let mut sum = 0.0;
        for i in 0..10_000u64 {
            let now = Instant::from_millis(i * 20);
            let at = arrival(channel.send(now, 100, true, &figures));
            assert!(at >= last && at >= now + ms(5) && at <= now + ms(15));
            last = at;
            sum += (at - now).as_secs_f64();
        }
        assert!((sum / 10_000.0 - 0.010).abs() < 0.000_2, "{sum}");
    }

    #[test]
    fn what_is_held_back_is_overtaken() {
        let figures = Impairments {
            reorder: 0.5,
            reorder_by: ms(3),
            ..Impairments::default()
        };
        let mut channel = channel();
        let arrivals: Vec<Instant> = (0..100)
            .map(|i| arrival(channel.send(Instant::from_millis(i), 100, true, &figures)))
            .collect();
        assert!(arrivals.windows(2).any(|w| w[0] > w[1]));
    }

    /// RFC 3168 section 5: a mark in place of a loss.
    #[test]
    fn marks_stand_for_losses() {
        let figures = Impairments {
            mark: 0.25,
            ..Impairments::default()
        };
        let mut channel = channel();
        let (mut marked, mut lost) = (0, 0);
        for _ in 0..10_000 {
            match channel.send(Instant::ZERO, 100, true, &figures) {
                Fate::Arrives { marked: m, .. } => marked += u32::from(m),
                other => panic!("{other:?}"),
            }
            lost += u32::from(channel.send(Instant::ZERO, 100, false, &figures) == Fate::Lost);
        }
        assert!(
            marked.abs_diff(2500) < 200 && lost.abs_diff(2500) < 200,
            "{marked} {lost}"
        );
    }

    #[test]
    fn a_long_queue_marks() {
        let figures = Impairments {
            rate: Some(mbit(12)),
            mark_wait: Some(ms(3)),
            ..Impairments::default()
        };
        let mut channel = channel();
        let marks: Vec<bool> = (0..6)
            .map(|n| match channel.send(Instant::ZERO, 1500, n != 4, &figures) {
                Fate::Arrives { marked, .. } => marked,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(marks, [false, false, false, true, false, true]);
    }
}
