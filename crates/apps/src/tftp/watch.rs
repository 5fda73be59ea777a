//! When to look for an answer without sleeping.
//!
//! A transfer in lockstep waits for each block's ACK. On one machine, or with the next one on a fast network, the ACK comes
//! sooner than a thread that sleeps is woken: so who has a thread of its own looks a little while before it sleeps. What
//! comes later than that is not worth the processor's time; then it sleeps at once, and tries again ever more rarely.

use std::time::Duration;

/// The most waits between two tries.
const RAREST: u32 = 1 << 12;

/// How long to look, and how the last tries went.
#[derive(Debug)]
pub(super) struct Watch {
    most: Duration,
    /// Waits until the next try.
    asleep: u32,
    /// Waits to let pass after the next try that fails.
    penalty: u32,
}

impl Watch {
    /// Looks for at most so long; never, if it is zero.
    pub(super) fn new(most: Duration) -> Watch {
        Watch {
            most,
            asleep: 0,
            penalty: 1,
        }
    }
    /// How long to look this time, before sleeping.
    pub(super) fn now(&mut self) -> Option<Duration> {
        if self.most.is_zero() {
            return None;
        }
        if self.asleep > 0 {
            self.asleep -= 1;
            return None;
        }
        Some(self.most)
    }
    /// Whether something came while it looked.
    pub(super) fn came(&mut self, came: bool) {
        if came {
            self.penalty = 1;
        } else {
            self.asleep = self.penalty;
            self.penalty = (self.penalty * 2).min(RAREST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many waits were begun by looking, if nothing ever comes.
    fn looks(watch: &mut Watch, waits: u32) -> u32 {
        (0..waits)
            .filter(|_| {
                let looks = watch.now().is_some();
                if looks {
                    watch.came(false);
                }
                looks
            })
            .count() as u32
    }

    #[test]
    fn never_for_no_time() {
        assert_eq!(looks(&mut Watch::new(Duration::ZERO), 100), 0);
    }

    #[test]
    fn ever_more_rarely_for_nothing() {
        let mut watch = Watch::new(Duration::from_micros(50));
        // At 0, 2, 5, 10, 19, 36, 69: 1, 2, 4, ... waits between.
        assert_eq!(looks(&mut watch, 100), 7);
        assert_eq!(looks(&mut watch, 100_000), 29);
        watch.asleep = 0;
        assert!(watch.now().is_some());
        watch.came(true);
        assert_eq!(looks(&mut watch, 100), 7);
    }

    #[test]
    fn always_while_answers_come() {
        let mut watch = Watch::new(Duration::from_micros(50));
        for _ in 0..1000 {
            assert_eq!(watch.now(), Some(Duration::from_micros(50)));
            watch.came(true);
        }
    }
}
