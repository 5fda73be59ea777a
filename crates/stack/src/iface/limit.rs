//! A limit on how often something is done.

use crate::time::Instant;

/// A token bucket that holds one second's worth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Nanoseconds of credit.
    credit: u64,
    at: Instant,
}

const SECOND: u64 = 1_000_000_000;

impl Bucket {
    /// A full bucket.
    pub(crate) const fn new() -> Self {
        Bucket {
            credit: SECOND,
            at: Instant::ZERO,
        }
    }
    /// Takes one token, if there is one. With `per_second` 0 there never is.
    #[must_use]
    pub(crate) fn take(&mut self, now: Instant, per_second: u32) -> bool {
        if per_second == 0 {
            return false;
        }
        self.credit = self
            .credit
            .saturating_add(now.since(self.at).as_nanos())
            .min(SECOND);
        self.at = now;
        let cost = SECOND / u64::from(per_second);
        let enough = self.credit >= cost;
        if enough {
            self.credit -= cost;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut b = Bucket::new();
        let start = Instant::from_secs(100);
        assert_eq!((0..100).filter(|_| b.take(start, 10)).count(), 10);
        assert_eq!(
            (0..100)
                .filter(|_| b.take(Instant::from_millis(100_250), 10))
                .count(),
            2
        );
        assert!(!b.take(Instant::from_secs(200), 0));
    }
}
