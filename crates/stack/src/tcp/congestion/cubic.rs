//! CUBIC (RFC 9438), in integers: octets and milliseconds.
//!
//! ```text
//!   cwnd                                             ╱    W_cubic(t) = C (t - K)^3 + W_max
//!        W_max ─ ─ ─ ─ ─ ─ ─ ─ ─ ______________ ─ ─ ╱─
//!                        __-----       K       -----
//!                    _--                             concave before K, convex after it
//!   beta W_max  ____/
//!               0 ───────────────────────────────▶ t since the congestion avoidance stage began
//! ```

use alloc::boxed::Box;

use super::Window;
use crate::time::{Duration, Instant};

/// Beta_cubic = 0.7 (RFC 9438 section 4.6), in tenths.
const BETA_TENTHS: u64 = 7;
/// (1 + beta_cubic) / 2 = 0.85 (section 4.7), in hundredths.
const FAST_CONVERGENCE_HUNDREDTHS: u64 = 85;
/// alpha_cubic = 3 (1 - beta) / (1 + beta) = 9 / 17 (section 4.3).
const ALPHA: (u64, u64) = (9, 17);
/// Fraction bits of W_est.
const FRACTION_BITS: u32 = 12;
/// The largest |t - K| that is told apart, in milliseconds: over two minutes, where the curve leaves `MAX_WINDOW`.
const MAX_SPAN: i64 = 1 << 17;

/// Grows along a cubic curve around the window of the last loss, and falls to 0.7 on loss.
#[derive(Clone, Debug)]
pub(crate) struct Cubic {
    pub(super) window: Window,
    /// The curve, from the first reduction on: most connections never lose anything.
    curve: Option<Box<Curve>>,
}

/// The variables of RFC 9438 section 4.1.2.
#[derive(Clone, Debug, Default)]
struct Curve {
    /// W_max: the window before the last reduction, in octets; 0 if there was none.
    w_max: u32,
    /// cwnd_prior: cwnd when ssthresh was last set.
    cwnd_prior: u32,
    /// W_est: what NewReno's window would be.
    w_est: u32,
    /// K in milliseconds.
    k: u32,
    /// When the present stage of congestion avoidance began, milliseconds; wraps after 49 days.
    epoch: u32,
    /// When the last ACK came, milliseconds.
    last_ack: u32,
    /// Fraction of W_est.
    w_est_fraction: u16,
    /// Whether a stage of congestion avoidance has begun.
    in_epoch: bool,
}

impl Cubic {
    pub(super) const fn new(window: Window) -> Self {
        Cubic { window, curve: None }
    }
    #[inline]
    pub(super) fn has_curve(&self) -> bool {
        self.curve.is_some()
    }
    pub(super) fn on_ack(&mut self, now: Instant, acked: u32, srtt: Duration, mss: u32) {
        let now = now.as_millis() as u32;
        if let Some(curve) = &mut self.curve {
            curve.last_ack = now;
        }
        if self.window.in_slow_start() {
            self.window.slow_start(acked, mss);
            return;
        }
        let srtt = u32::try_from(srtt.as_millis()).unwrap_or(u32::MAX);
        let curve = self.curve.get_or_insert_default();
        curve.last_ack = now;
        curve.avoid_congestion(&mut self.window, now, acked, srtt, mss);
    }
    pub(super) fn on_enter_recovery(&mut self, now: Instant, flight: u32, mss: u32) {
        let curve = self.curve.get_or_insert_default();
        curve.last_ack = now.as_millis() as u32;
        let cwnd = self.window.cwnd;
        // Section 4.7, fast convergence: a flow that shrinks leaves room to a new one.
        curve.w_max = if cwnd < curve.w_max {
            (u64::from(cwnd) * FAST_CONVERGENCE_HUNDREDTHS / 100) as u32
        } else {
            cwnd
        };
        curve.cwnd_prior = cwnd;
        curve.in_epoch = false;
        self.window.enter_recovery(reduced(flight, mss));
    }
    pub(super) fn on_timeout(&mut self, now: Instant, flight: u32, mss: u32, first: bool) {
        let curve = self.curve.get_or_insert_default();
        curve.last_ack = now.as_millis() as u32;
        if first {
            curve.cwnd_prior = self.window.cwnd;
        }
        // Section 4.8: the next stage begins with K = 0 and W_max = cwnd.
        curve.w_max = 0;
        curve.in_epoch = false;
        self.window.timeout(first.then(|| reduced(flight, mss)), mss);
    }
    /// Time went by in which cwnd was not used.
    #[inline]
    pub(super) fn on_idle(&mut self, now: Instant) {
        if let Some(curve) = &mut self.curve {
            curve.pass_over(now.as_millis() as u32);
        }
    }
    pub(super) fn undo(&mut self) -> bool {
        // Section 4.9: the window of before is the point of balance again; the curve begins anew from there.
        let undone = self.window.undo();
        if undone && let Some(curve) = &mut self.curve {
            curve.w_max = curve.w_max.max(curve.cwnd_prior);
            curve.in_epoch = false;
        }
        undone
    }
}

impl Curve {
    /// Moves the stage's beginning so that the time since the last ACK does not count.
    fn pass_over(&mut self, now: u32) {
        self.epoch = self.epoch.wrapping_add(now.wrapping_sub(self.last_ack));
        self.last_ack = now;
    }
    /// Lets cwnd grow for `acked` octets outside slow start.
    fn avoid_congestion(&mut self, window: &mut Window, now: u32, acked: u32, srtt: u32, mss: u32) {
        if !self.in_epoch {
            self.begin_epoch(window, now, mss);
        }
        let cwnd = window.cwnd;
        let acked = acked.min(cwnd);
        let t = now.wrapping_sub(self.epoch);
        self.grow_estimate(cwnd, acked, mss);
        // Section 4.3, the Reno-friendly region.
        if self.w_cubic(t, mss) < self.w_est {
            window.counted = 0;
            window.grow_to(self.w_est);
            return;
        }
        // Sections 4.4 and 4.5: (target - cwnd) / cwnd segments for each segment acknowledged.
        let target = self
            .w_cubic(t.saturating_add(srtt), mss)
            .clamp(cwnd, cwnd.saturating_add(cwnd / 2));
        let grown = u64::from(target - cwnd) * u64::from(acked) + u64::from(window.counted);
        window.counted = (grown % u64::from(cwnd.max(1))) as u32;
        window.grow_to(cwnd.saturating_add((grown / u64::from(cwnd.max(1))) as u32));
    }
    fn begin_epoch(&mut self, window: &mut Window, now: u32, mss: u32) {
        let cwnd = window.cwnd;
        self.in_epoch = true;
        self.epoch = now;
        self.w_est = cwnd;
        self.w_est_fraction = 0;
        window.counted = 0;
        if cwnd < self.w_max {
            // Section 4.2: K = cbrt((W_max - cwnd_epoch) / C), C = 0.4, in segments and seconds; here in milliseconds.
            let below = u64::from(self.w_max - cwnd);
            self.k = cube_root(below * 2_500_000_000 / u64::from(mss.max(1)));
        } else {
            self.k = 0;
            self.w_max = cwnd;
        }
    }
    /// W_cubic after `t` milliseconds of this stage, in octets (section 4.2).
    fn w_cubic(&self, t: u32, mss: u32) -> u32 {
        let span = (i64::from(t) - i64::from(self.k)).clamp(-MAX_SPAN, MAX_SPAN);
        // 0.4 mss (span / 1000)^3, ordered so that nothing overflows: span^3 takes 51 bits and a sign.
        let rise = span.pow(3) / 1_000 * 4 * i64::from(mss) / 10_000_000;
        (i64::from(self.w_max) + rise).clamp(0, i64::from(super::MAX_WINDOW)) as u32
    }
    /// W_est += alpha_cubic * segments_acked / cwnd (section 4.3), in octets.
    fn grow_estimate(&mut self, cwnd: u32, acked: u32, mss: u32) {
        let (above, below) = if self.w_est >= self.cwnd_prior {
            (1, 1)
        } else {
            ALPHA
        };
        let step = ((u64::from(acked) * u64::from(mss)) << FRACTION_BITS) / u64::from(cwnd.max(1));
        let sum = step * above / below + u64::from(self.w_est_fraction);
        self.w_est = self.w_est.saturating_add((sum >> FRACTION_BITS) as u32);
        self.w_est_fraction = (sum & ((1 << FRACTION_BITS) - 1)) as u16;
    }
}

/// ssthresh = max(flight * beta_cubic, 2 * SMSS) (section 4.6).
fn reduced(flight: u32, mss: u32) -> u32 {
    ((u64::from(flight) * BETA_TENTHS / 10) as u32).max(2 * mss)
}

/// The cube root, rounded down, bit by bit.
fn cube_root(mut x: u64) -> u32 {
    let mut root = 0u64;
    for shift in (0..=63).rev().step_by(3) {
        root <<= 1;
        let next = 3 * root * (root + 1) + 1;
        if x >> shift >= next {
            x -= next << shift;
            root += 1;
        }
    }
    root as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MSS: u32 = 1460;

    /// RFC 9438 section 4 in floating point: segments and seconds.
    #[derive(Debug)]
    struct Reference {
        cwnd: f64,
        w_max: f64,
        cwnd_prior: f64,
        w_est: f64,
        k: f64,
        epoch: Option<f64>,
    }
    impl Reference {
        fn w_cubic(&self, t: f64) -> f64 {
            0.4 * (t - self.k).powi(3) + self.w_max
        }
        fn on_ack(&mut self, now: f64, segments: f64, rtt: f64) {
            let epoch = *self.epoch.get_or_insert_with(|| {
                self.w_est = self.cwnd;
                if self.cwnd < self.w_max {
                    self.k = ((self.w_max - self.cwnd) / 0.4).cbrt();
                } else {
                    self.k = 0.0;
                    self.w_max = self.cwnd;
                }
                now
            });
            let t = now - epoch;
            let alpha = if self.w_est >= self.cwnd_prior {
                1.0
            } else {
                3.0 * 0.3 / 1.7
            };
            self.w_est += alpha * segments / self.cwnd;
            if self.w_cubic(t) < self.w_est {
                self.cwnd = self.cwnd.max(self.w_est);
            } else {
                let target = self.w_cubic(t + rtt).clamp(self.cwnd, 1.5 * self.cwnd);
                self.cwnd += (target - self.cwnd) / self.cwnd * segments;
            }
        }
        fn on_loss(&mut self) {
            self.w_max = if self.cwnd < self.w_max {
                self.cwnd * 0.85
            } else {
                self.cwnd
            };
            self.cwnd_prior = self.cwnd;
            self.cwnd *= 0.7;
            self.epoch = None;
        }
    }

    /// (K, W_max).
    fn curve(cubic: &Cubic) -> (u32, u32) {
        cubic
            .curve
            .as_ref()
            .map_or((0, 0), |curve| (curve.k, curve.w_max))
    }
    fn cubic(segments: u32) -> Cubic {
        let mut window = Window::new(segments * MSS);
        window.ssthresh = segments * MSS;
        Cubic::new(window)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// A bulk flow with losses at given times follows the reference within 1 % or two segments.
        ///
        /// Proves: 9438-4.2a, 9438-4.3, 9438-4.4.
        #[test]
        fn follows_the_rfc_in_floating_point(
            start in 10u32..3000,
            rtt_ms in 1u64..300,
            losses in prop::collection::vec(1u64..20_000, 1..5),
        ) {
            let mut real = cubic(start);
            let mut reference = Reference {
                cwnd: f64::from(start), w_max: 0.0, cwnd_prior: 0.0, w_est: 0.0, k: 0.0, epoch: None,
            };
            let mut now_us = 1_000_000;
            for until_loss in losses {
                let end = now_us + until_loss * 1000;
                while now_us < end {
                    // One ACK for two segments, evenly spaced over the round trip.
                    let acks = (reference.cwnd / 2.0).max(1.0);
                    now_us += ((rtt_ms * 1000) as f64 / acks).max(1.0) as u64;
                    let rtt = Duration::from_millis(rtt_ms);
                    real.on_ack(Instant::from_micros(now_us), 2 * MSS, rtt, MSS);
                    reference.on_ack((now_us / 1000) as f64 / 1e3, 2.0, rtt_ms as f64 / 1e3);
                    let got = f64::from(real.window.cwnd) / f64::from(MSS);
                    let off = (got - reference.cwnd).abs();
                    prop_assert!(off < 2.0 || off < reference.cwnd / 100.0, "{got} instead of {reference:?}");
                    if reference.cwnd > 20_000.0 {
                        break;
                    }
                }
                // On the plateau, rounding decides on which side of W_max a loss finds the window (fast convergence).
                if (reference.cwnd - reference.w_max).abs() < (reference.cwnd / 50.0).max(4.0) {
                    break;
                }
                let flight = real.window.cwnd;
                real.on_enter_recovery(Instant::from_micros(now_us), flight, MSS);
                reference.on_loss();
            }
        }

        #[test]
        fn cube_roots(x in any::<u64>(), shift in 0u32..64) {
            let x = x >> shift;
            let root = u128::from(cube_root(x));
            prop_assert!(root.pow(3) <= u128::from(x) && (root + 1).pow(3) > u128::from(x));
        }
    }

    /// RFC 9438 section 4.2, by hand: W_max of 100 segments, cwnd 70: K = cbrt(30 / 0.4) = 4.217 s.
    ///
    /// Proves: 9438-4.2a, 9438-4.6.
    #[test]
    fn the_curve_passes_its_points() {
        let mut cubic = cubic(100);
        cubic.on_enter_recovery(Instant::ZERO, 100 * MSS, MSS);
        let (window, curve) = (&mut cubic.window, cubic.curve.as_mut().unwrap());
        assert_eq!((window.cwnd, curve.w_max), (70 * MSS, 100 * MSS));
        curve.begin_epoch(window, 0, MSS);
        assert_eq!(curve.k, 4217);
        assert!(curve.w_cubic(0, MSS).abs_diff(70 * MSS) < MSS / 10);
        assert_eq!(curve.w_cubic(4217, MSS), 100 * MSS);
        assert_eq!(curve.w_cubic(4217 + 10_000, MSS), 500 * MSS);
    }

    /// Section 4.7: a second loss below the old W_max.
    ///
    /// Proves: 9438-4.7.
    #[test]
    fn fast_convergence() {
        let mut cubic = cubic(100);
        cubic.on_enter_recovery(Instant::ZERO, 100 * MSS, MSS);
        cubic.on_enter_recovery(Instant::ZERO, 70 * MSS, MSS);
        assert_eq!(
            (curve(&cubic).1, cubic.window.cwnd),
            (70 * MSS * 85 / 100, 49 * MSS)
        );
    }

    /// Section 4.8: after a timeout the curve begins flat where slow start ends.
    ///
    /// Proves: 9438-4.8, 9438-4.10.
    #[test]
    fn a_timeout_forgets_the_old_maximum() {
        let mut cubic = cubic(100);
        cubic.on_timeout(Instant::ZERO, 100 * MSS, MSS, true);
        while cubic.window.in_slow_start() {
            cubic.on_ack(Instant::from_secs(1), MSS, Duration::from_millis(10), MSS);
        }
        assert_eq!(cubic.window.cwnd, 70 * MSS);
        cubic.on_ack(Instant::from_secs(1), MSS, Duration::from_millis(10), MSS);
        assert_eq!(curve(&cubic), (0, 70 * MSS));
    }

    /// A pause, or time in which the application had nothing to send, is no time on the curve.
    ///
    /// Proves: 9438-4.2b, 9438-5.8.
    #[test]
    fn pauses_do_not_count() {
        let rtt = Duration::from_millis(100);
        let run = |pause: u64| {
            let mut cubic = cubic(100);
            cubic.on_enter_recovery(Instant::ZERO, 100 * MSS, MSS);
            for i in 0..500 {
                let late = if i >= 250 { pause } else { 0 };
                if i == 250 && pause > 0 {
                    cubic.on_idle(Instant::from_millis(249 * 10 + 3000));
                    cubic.on_idle(Instant::from_millis(249 * 10 + pause));
                }
                cubic.on_ack(Instant::from_millis(i * 10 + late), MSS, rtt, MSS);
            }
            cubic.window.cwnd
        };
        assert_eq!(run(0), run(60_000));
    }

    /// Section 4.9: a reduction that was for nothing.
    ///
    /// Proves: 9438-4.9.
    #[test]
    fn undo_goes_on_from_the_old_window() {
        let mut cubic = cubic(100);
        cubic.on_timeout(Instant::ZERO, 100 * MSS, MSS, true);
        assert!(cubic.undo());
        assert_eq!((cubic.window.cwnd, curve(&cubic).1), (100 * MSS, 100 * MSS));
        cubic.on_ack(Instant::from_secs(1), MSS, Duration::from_millis(10), MSS);
        assert!(cubic.window.cwnd >= 100 * MSS && curve(&cubic).0 == 0);
    }
}
