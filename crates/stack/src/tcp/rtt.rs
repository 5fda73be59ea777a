//! Round-trip times and the retransmission timeout (RFC 6298).

use core::hint::cold_path;

use crate::config::Config;
use crate::time::{Duration, Instant};

/// Weights of RFC 6298 section 2.3: alpha is 1/8.
const ALPHA_INVERSE: i64 = 8;
/// Beta is 1/4.
const BETA_INVERSE: i64 = 4;
/// G, the clock's granularity, in microseconds.
const GRANULARITY: u64 = 1;
/// RTO for data after a SYN had to be repeated (RFC 6298 section 5.7).
const AFTER_SYN_LOSS: Duration = Duration::from_secs(3);
/// How long a least RTT counts before a larger one replaces it.
const MIN_RTT_WINDOW_MS: u32 = 10_000;

/// The bounds of RTO, from the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RtoBounds {
    /// Before any sample.
    pub(crate) initial: Duration,
    /// RFC 6298 section 2.4: 1 s; Linux: 200 ms.
    pub(crate) min: Duration,
    /// RFC 6298 section 2.5: at least 60 s.
    pub(crate) max: Duration,
}

impl From<&Config> for RtoBounds {
    fn from(config: &Config) -> Self {
        RtoBounds {
            initial: config.rto_initial,
            min: config.rto_min,
            max: config.rto_max,
        }
    }
}

/// A retransmission timeout within the configured bounds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Rto(Duration);

impl Rto {
    /// `raw`, doubled `backoff` times, brought within bounds. The lower bound comes before the doubling, so that each
    /// timeout doubles what was waited (RFC 6298 section 5.5).
    fn new(raw: Duration, backoff: u8, bounds: &RtoBounds) -> Self {
        let doubled = raw.max(bounds.min).saturating_mul(1 << backoff.min(32));
        Rto(doubled.min(bounds.max))
    }
    /// The time itself.
    #[inline]
    pub(crate) fn duration(self) -> Duration {
        self.0
    }
}

impl From<Rto> for Duration {
    fn from(rto: Rto) -> Duration {
        rto.0
    }
}

/// Samples that one round trip brings when each ACK of new data gives one (RFC 7323 appendix G): ExpectedSamples =
/// ceiling(FlightSize / (SMSS * 2)).
pub(crate) fn expected_samples(flight: u32, mss: u32) -> u32 {
    flight.div_ceil(mss.max(1).saturating_mul(2)).max(1)
}

/// SRTT, RTTVAR, RTO and the least recent RTT of one connection.
///
/// Microseconds, with 16 more bits for the averages, so that the small weights of many samples a round trip do not
/// round to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RttEstimator {
    srtt: u32,
    rttvar: u32,
    min_rtt: u32,
    /// When `min_rtt` was seen, in milliseconds; wraps after 49 days.
    min_rtt_at: u32,
    srtt_fraction: u16,
    rttvar_fraction: u16,
    /// How often RTO is doubled.
    backoff: u8,
    /// Timeouts in a row.
    timeouts: u8,
    sampled: bool,
    syn_lost: bool,
}

impl RttEstimator {
    /// No sample yet (RFC 6298 section 2.1).
    pub(crate) const fn new() -> Self {
        RttEstimator {
            srtt: 0,
            rttvar: 0,
            min_rtt: 0,
            min_rtt_at: 0,
            srtt_fraction: 0,
            rttvar_fraction: 0,
            backoff: 0,
            timeouts: 0,
            sampled: false,
            syn_lost: false,
        }
    }
    /// As after one [sample](RttEstimator::on_sample_micros), the first.
    #[inline]
    pub(super) fn from_first(now: Instant, rtt: Duration) -> Self {
        let micros = micros_of(rtt);
        RttEstimator {
            srtt: micros,
            rttvar: micros / 2,
            min_rtt: micros,
            min_rtt_at: now.as_millis() as u32,
            srtt_fraction: 0,
            rttvar_fraction: (micros as u16) << 15, // the half that the division lost
            sampled: true,
            ..RttEstimator::new()
        }
    }
    /// As [`RttEstimator::on_sample_micros`], for any length.
    #[cfg(test)]
    pub(crate) fn on_sample(&mut self, now: Instant, rtt: Duration, expected: u32) {
        self.on_sample_micros(now, u64::from(micros_of(rtt)), expected);
    }
    /// Takes a measured round trip, in microseconds (RFC 6298 sections 2.2 and 2.3). The caller keeps Karn's rule: none from a segment
    /// sent twice, unless timestamps tell which was answered. Ends the backoff.
    ///
    /// `expected` is 1 for one sample a round trip, or [`expected_samples`] where every ACK gives one: then each counts
    /// for so much less (RFC 7323 appendix G).
    #[inline(always)]
    pub(crate) fn on_sample_micros(&mut self, now: Instant, rtt: u64, expected: u32) {
        let rtt = rtt.min(u64::from(u32::MAX)); // over an hour is no round trip
        let sample = (rtt << 16) as i64;
        let mut srtt = join(self.srtt, self.srtt_fraction);
        let mut rttvar = join(self.rttvar, self.rttvar_fraction);
        if self.sampled {
            let (variance, error) = ((srtt - sample).abs() - rttvar, sample - srtt);
            if expected <= 1 {
                rttvar += variance / BETA_INVERSE;
                srtt += error / ALPHA_INVERSE;
            } else {
                cold_path(); // laid aside, since a connection that sends little has one segment on its way
                let expected = i64::from(expected);
                rttvar += variance / (BETA_INVERSE * expected);
                srtt += error / (ALPHA_INVERSE * expected);
            }
        } else {
            srtt = sample;
            rttvar = sample / 2;
        }
        (self.srtt, self.srtt_fraction) = split(srtt);
        (self.rttvar, self.rttvar_fraction) = split(rttvar);
        let now = now.as_millis() as u32;
        let stale = now.wrapping_sub(self.min_rtt_at) > MIN_RTT_WINDOW_MS;
        if !self.sampled || stale || rtt as u32 <= self.min_rtt {
            self.min_rtt = rtt as u32;
            self.min_rtt_at = now;
        }
        self.sampled = true;
        self.syn_lost = false;
        self.backoff = 0;
        self.timeouts = 0;
    }
    /// The retransmission timeout: SRTT + max(G, 4 * RTTVAR), backed off, within bounds.
    pub(crate) fn rto(&self, bounds: &RtoBounds) -> Rto {
        let raw = if self.syn_lost {
            AFTER_SYN_LOSS
        } else if self.sampled {
            let variance =
                4 * u64::from(self.rttvar) + (u64::from(self.rttvar_fraction) * 4).div_ceil(1 << 16);
            let srtt = u64::from(self.srtt) + u64::from(self.srtt_fraction > 0);
            Duration::from_micros(srtt + variance.max(GRANULARITY))
        } else {
            bounds.initial
        };
        Rto::new(raw, self.backoff, bounds)
    }
    /// What the timer that has just gone off had waited: RTO before the last [`RttEstimator::on_timeout`].
    pub(crate) fn rto_waited(&self, bounds: &RtoBounds) -> Rto {
        RttEstimator {
            backoff: self.backoff.saturating_sub(1),
            ..*self
        }
        .rto(bounds)
    }
    /// The timer fired: the next RTO is twice as long (RFC 6298 section 5.5).
    pub(crate) fn on_timeout(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
        self.timeouts = self.timeouts.saturating_add(1);
    }
    /// How often RTO is doubled: once for each timeout since the last sample (Karn's rule, RFC 6298 section 5.7).
    #[inline]
    pub(crate) fn backoff(&self) -> u8 {
        self.backoff
    }
    /// How often the timer fired since something was acknowledged.
    #[inline]
    pub(crate) fn timeouts(&self) -> u8 {
        self.timeouts
    }
    /// Something was acknowledged. Where that gave no sample, RTO stays as long as it is.
    #[inline]
    pub(crate) fn on_progress(&mut self) {
        self.timeouts = 0;
    }
    /// The handshake is complete, and its SYN had to be repeated: RTO is at least 3 s until the first sample of data
    /// (RFC 6298 section 5.7). Call it after the handshake's own sample, if there is one.
    pub(crate) fn on_established_after_syn_loss(&mut self) {
        self.backoff = 0;
        self.timeouts = 0;
        self.syn_lost = true;
    }
    /// Smoothed round-trip time; `None` before the first sample.
    pub(crate) fn srtt(&self) -> Option<Duration> {
        self.sampled.then(|| Duration::from_micros(u64::from(self.srtt)))
    }
    /// Round-trip time variation; `None` before the first sample.
    pub(crate) fn rttvar(&self) -> Option<Duration> {
        self.sampled
            .then(|| Duration::from_micros(u64::from(self.rttvar)))
    }
    /// The least round trip of about the last 10 s; `None` before the first sample.
    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        self.sampled
            .then(|| Duration::from_micros(u64::from(self.min_rtt)))
    }
}

/// In microseconds, rounded up; over an hour is no round trip.
fn micros_of(rtt: Duration) -> u32 {
    u32::try_from(rtt.as_nanos().saturating_add(999) / 1_000).unwrap_or(u32::MAX)
}
fn join(whole: u32, fraction: u16) -> i64 {
    i64::from(whole) << 16 | i64::from(fraction)
}
fn split(value: i64) -> (u32, u16) {
    ((value >> 16) as u32, value as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC: RtoBounds = RtoBounds {
        initial: Duration::from_secs(1),
        min: Duration::from_secs(1),
        max: Duration::from_secs(60),
    };
    const NONE: RtoBounds = RtoBounds {
        min: Duration::ZERO,
        ..RFC
    };
    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn small() {
        assert!(size_of::<RttEstimator>() <= 24);
    }

    /// RFC 6298 sections 2.1 to 2.4, by hand.
    ///
    /// Proves: 6298-2.1, 6298-2.2, 6298-2.3, 6298-2.4, MUST-18.
    #[test]
    fn follows_the_rfc() {
        let mut rtt = RttEstimator::new();
        assert_eq!(rtt.rto(&RFC).duration(), ms(1000));
        rtt.on_sample(Instant::ZERO, ms(400), 1);
        assert_eq!((rtt.srtt(), rtt.rttvar()), (Some(ms(400)), Some(ms(200))));
        assert_eq!(rtt.rto(&RFC).duration(), ms(1200));
        rtt.on_sample(Instant::ZERO, ms(480), 1);
        assert_eq!((rtt.srtt(), rtt.rttvar()), (Some(ms(410)), Some(ms(170))));
        assert_eq!(rtt.rto(&RFC).duration(), ms(410 + 680));
        (0..100).for_each(|_| rtt.on_sample(Instant::ZERO, ms(100), 1));
        assert_eq!(
            rtt.rto(&RFC).duration(),
            ms(1000),
            "the lower bound of section 2.4"
        );
        let bare = rtt.rto(&NONE).duration();
        assert!(bare >= ms(100) && bare < ms(101), "{bare}");
    }

    /// Proves: 6298-2.2.
    #[test]
    fn a_round_trip_of_nothing_still_waits_a_granule() {
        let mut rtt = RttEstimator::new();
        rtt.on_sample(Instant::ZERO, Duration::ZERO, 1);
        assert_eq!(rtt.rto(&NONE).duration(), Duration::from_micros(GRANULARITY));
    }

    #[test]
    fn begins_as_with_any_first_sample() {
        for nanos in [0, 1, 1000, 1001, 12_345_678, 3_000_000_001, u64::MAX] {
            let (now, sample) = (Instant::from_secs(7), Duration::from_nanos(nanos));
            let mut taken = RttEstimator::new();
            taken.on_sample(now, sample, 1);
            let begun = RttEstimator::from_first(now, sample);
            assert_eq!(std::format!("{begun:?}"), std::format!("{taken:?}"), "{nanos} ns");
        }
    }

    /// RFC 6298 sections 5.5 and 5.7: exponential backoff, kept by Karn's rule until a sample.
    ///
    /// Proves: 6298-5.5, MUST-19, MUST-18.
    #[test]
    fn backs_off_until_a_sample() {
        let mut rtt = RttEstimator::new();
        rtt.on_sample(Instant::ZERO, ms(400), 1);
        let waits: std::vec::Vec<_> = (0..8)
            .map(|_| {
                rtt.on_timeout();
                rtt.rto(&RFC).duration().as_millis()
            })
            .collect();
        assert_eq!(waits, [2400, 4800, 9600, 19200, 38400, 60000, 60000, 60000]);
        (0..300).for_each(|_| rtt.on_timeout());
        assert_eq!(rtt.rto(&RFC).duration(), RFC.max);
        rtt.on_sample(Instant::ZERO, ms(400), 1);
        assert_eq!((rtt.backoff(), rtt.rto(&RFC).duration()), (0, ms(400 + 600)));
    }

    /// Proves: 6298-5.7.
    #[test]
    fn three_seconds_after_a_lost_syn() {
        let mut rtt = RttEstimator::new();
        rtt.on_timeout();
        rtt.on_established_after_syn_loss();
        assert_eq!(rtt.rto(&RFC).duration(), ms(3000));
        rtt.on_sample(Instant::ZERO, ms(400), 1);
        assert_eq!(rtt.rto(&RFC).duration(), ms(1200));
    }

    /// RFC 7323 appendix G: a round trip of many samples moves the averages about as far as one.
    #[test]
    fn many_samples_weigh_like_one() {
        for expected in [1u32, 10, 100, 1000] {
            let mut rtt = RttEstimator::new();
            rtt.on_sample(Instant::ZERO, Duration::from_micros(100), 1);
            for _ in 0..expected {
                rtt.on_sample(Instant::ZERO, Duration::from_micros(180), expected);
            }
            let srtt = rtt.srtt().unwrap().as_micros();
            assert!((108..=111).contains(&srtt), "{expected} samples: {srtt}");
        }
        assert_eq!(expected_samples(0, 1460), 1);
        assert_eq!(expected_samples(14600, 1460), 5);
        assert_eq!(expected_samples(14601, 1460), 6);
    }

    /// Proves: 6298-2.3.
    #[test]
    fn agrees_with_the_formula_in_floating_point() {
        let mut rtt = RttEstimator::new();
        let mut random = crate::rng::Rng::new([3; 32]);
        let (mut srtt, mut rttvar) = (0.0f64, 0.0f64);
        for i in 0..10_000 {
            let sample = 1_000 + random.below(1_000_000 >> (i / 1000));
            let expected = 1 + random.below(50);
            let r = f64::from(sample);
            if i == 0 {
                (srtt, rttvar) = (r, r / 2.0);
            } else {
                let n = f64::from(expected);
                rttvar += ((srtt - r).abs() - rttvar) / 4.0 / n;
                srtt += (r - srtt) / 8.0 / n;
            }
            rtt.on_sample(Instant::ZERO, Duration::from_micros(u64::from(sample)), expected);
            let rto = rtt.rto(&NONE).duration().as_micros() as f64;
            assert!((rto - (srtt + 4.0 * rttvar)).abs() < 3.0, "sample {i}");
        }
    }

    #[test]
    fn least_round_trip_ages() {
        let mut rtt = RttEstimator::new();
        let at = Instant::from_secs;
        rtt.on_sample(at(100), ms(20), 1);
        rtt.on_sample(at(105), ms(50), 1);
        assert_eq!(rtt.min_rtt(), Some(ms(20)));
        rtt.on_sample(at(111), ms(40), 1);
        assert_eq!(rtt.min_rtt(), Some(ms(40)));
        rtt.on_sample(at(112), ms(10), 1);
        assert_eq!(rtt.min_rtt(), Some(ms(10)));
    }
}
