//! The retransmission timer: RFC 6298's estimator with a floor below a second.

use sockeye_stack::time::{Duration, Instant};

/// The bounds of a transfer's timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// The wait before the first measurement.
    pub initial: Duration,
    /// The shortest wait. It covers what the peer needs to write a block.
    pub floor: Duration,
    /// The longest wait, with backoff.
    pub ceiling: Duration,
    /// A peer that is silent for this long is gone.
    pub give_up: Duration,
}
impl Default for Timing {
    /// 300 ms, 20 ms, 2 s, 10 s. RFC 6298's second as the floor costs a second for each lost block: TFTP in lockstep
    /// has no duplicate ACKs that tell sooner.
    fn default() -> Timing {
        Timing {
            initial: Duration::from_millis(300),
            floor: Duration::from_millis(20),
            ceiling: Duration::from_secs(2),
            give_up: Duration::from_secs(10),
        }
    }
}
impl Timing {
    /// What the option `timeout` (RFC 2349) asks for: no longer wait than that between retransmissions, and patience
    /// for four of them.
    #[must_use]
    pub fn with_timeout(self, seconds: u8) -> Timing {
        let asked = Duration::from_secs(seconds.into());
        Timing {
            initial: self.initial.min(asked),
            floor: self.floor,
            ceiling: asked.max(self.floor),
            give_up: self.give_up.max(asked * 4),
        }
    }
}

/// Measures round trips and says how long to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timer {
    timing: Timing,
    /// SRTT (RFC 6298 section 2), once there is a measurement.
    srtt: Option<Duration>,
    /// RTTVAR.
    rttvar: Duration,
    min_rtt: Duration,
    /// How many times the wait has been doubled. Kept until the next measurement (RFC 6298 section 5.7), or a timer
    /// that is too short would never find out (Karn).
    doubled: u8,
}

impl Timer {
    /// A timer without measurements.
    pub fn new(timing: Timing) -> Timer {
        Timer {
            timing,
            srtt: None,
            rttvar: Duration::ZERO,
            min_rtt: Duration::ZERO,
            doubled: 0,
        }
    }
    /// Its bounds.
    pub fn timing(&self) -> Timing {
        self.timing
    }
    /// Other bounds, as the options ask for; what was measured stays.
    pub fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
    }
    /// A round trip of something that was sent once (Karn's rule is the caller's).
    pub fn on_sample(&mut self, rtt: Duration) {
        match self.srtt {
            None => {
                self.srtt = Some(rtt);
                self.rttvar = rtt / 2;
                self.min_rtt = rtt;
            }
            Some(srtt) => {
                let difference = if rtt > srtt { rtt - srtt } else { srtt - rtt };
                self.rttvar = (self.rttvar * 3 + difference) / 4;
                self.srtt = Some((srtt * 7 + rtt) / 8);
                self.min_rtt = self.min_rtt.min(rtt);
            }
        }
        self.doubled = 0;
    }
    /// Doubles the wait.
    pub fn back_off(&mut self) {
        self.doubled = self.doubled.saturating_add(1).min(32);
    }
    /// How long to wait: SRTT + 4 RTTVAR within the bounds, doubled as often as it ran out.
    pub fn rto(&self) -> Duration {
        let base = match self.srtt {
            None => self.timing.initial,
            Some(srtt) => srtt + self.rttvar * 4,
        };
        let base = base.max(self.timing.floor);
        (base * (1u64 << self.doubled)).min(self.timing.ceiling)
    }
    /// The smoothed round trip.
    pub fn srtt(&self) -> Option<Duration> {
        self.srtt
    }
    /// Whether what was sent at `sent` is too young for news about it at `now`: what came tells of an earlier sending.
    /// Three quarters of the shortest round trip, to allow for clocks and queues.
    pub fn is_fresh(&self, sent: Instant, now: Instant) -> bool {
        now.since(sent) < self.min_rtt * 3 / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn follows_the_round_trip() {
        let mut timer = Timer::new(Timing::default());
        assert_eq!(timer.rto(), MS(300));
        timer.back_off();
        assert_eq!(timer.rto(), MS(600));
        timer.on_sample(MS(100));
        assert_eq!(timer.rto(), MS(300)); // 100 + 4 * 50
        for _ in 0..50 {
            timer.on_sample(MS(100));
        }
        assert!(timer.rto() < MS(101));
        for _ in 0..50 {
            timer.on_sample(Duration::from_micros(40));
        }
        assert_eq!(timer.rto(), MS(20));
        for _ in 0..40 {
            timer.back_off();
        }
        assert_eq!(timer.rto(), Duration::from_secs(2));
    }

    /// Proves: 2349-1.
    #[test]
    fn the_option_bounds_the_wait() {
        let timing = Timing::default().with_timeout(1);
        assert_eq!((timing.ceiling, timing.give_up), (MS(1000), MS(10_000)));
        let timing = Timing::default().with_timeout(255);
        assert_eq!(timing.give_up, MS(1_020_000));
        assert_eq!(timing.initial, MS(300));
    }
}
