//! Congestion control: how much may be in flight.
//!
//! [`Congestion`] holds one connection's algorithm. It decides cwnd and ssthresh; whether a segment is lost, and which
//! octet to send next, is decided elsewhere.

mod cubic;
mod newreno;

use crate::config::CongestionControl;
use crate::time::{Duration, Instant};
use crate::trace::CongestionChange;
use cubic::Cubic;
use newreno::NewReno;

/// No window is larger than what a peer can offer: 65,535 scaled by 14 (RFC 7323 section 2.3), rounded up.
const MAX_WINDOW: u32 = 1 << 30;
/// L of RFC 3465 section 2.2: how many segments one ACK may add in slow start.
const ABC_LIMIT: u8 = 2;

/// The initial window of RFC 6928 section 2 for `segments` of 10: min(10 * MSS, max(2 * MSS, 14600)).
pub(crate) fn initial_window(mss: u32, segments: u8) -> u32 {
    let segments = u32::from(segments.max(1));
    (segments * mss).min((segments * 1460).max(2 * mss))
}

/// One connection's congestion control.
///
/// The owner tells what happens, in these calls; each changes cwnd and ssthresh at once:
///
/// - [`on_ack`](Congestion::on_ack) for each ACK of new data outside loss recovery;
/// - [`on_enter_recovery`](Congestion::on_enter_recovery) when loss is inferred (or ECN says so), once a window of data;
///   in recovery without SACK [`inflate`](Congestion::inflate),
///   [`on_recovery_dup_ack`](Congestion::on_recovery_dup_ack) and [`on_partial_ack`](Congestion::on_partial_ack); then
///   [`on_exit_recovery`](Congestion::on_exit_recovery);
/// - [`on_timeout`](Congestion::on_timeout) when the retransmission timer fires;
/// - [`on_idle`](Congestion::on_idle) before data is sent after a pause;
/// - [`undo`](Congestion::undo) when the last reduction proves to have been for nothing.
#[derive(Clone, Debug)]
pub(crate) enum Congestion {
    /// RFC 5681 and RFC 6582.
    NewReno(NewReno),
    /// RFC 9438.
    Cubic(Cubic),
}

/// What all algorithms have: RFC 5681's variables, in octets.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// cwnd.
    cwnd: u32,
    /// ssthresh; `u32::MAX` until the first loss (RFC 5681 section 3.1: arbitrarily high).
    ssthresh: u32,
    /// NewReno: bytes_acked of RFC 3465. CUBIC: the remainder of its last division.
    counted: u32,
    /// cwnd before the last reduction; 0 if there is nothing to undo.
    prior_cwnd: u32,
    /// ssthresh before the last reduction.
    prior_ssthresh: u32,
    /// L of RFC 3465; 0 for no limit.
    abc_limit: u8,
    /// In the slow start after a timeout, where L is 1 (RFC 3465 section 2.3).
    after_timeout: bool,
    /// cwnd was inflated in this recovery.
    inflated: bool,
}

impl Window {
    const fn new(cwnd: u32) -> Self {
        Window {
            cwnd,
            ssthresh: u32::MAX,
            counted: 0,
            prior_cwnd: 0,
            prior_ssthresh: 0,
            abc_limit: ABC_LIMIT,
            after_timeout: false,
            inflated: false,
        }
    }
    fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }
    /// Slow start with appropriate byte counting: cwnd += min(N, L * SMSS) (RFC 5681 section 3.1, RFC 3465 section
    /// 2.2), up to ssthresh.
    fn slow_start(&mut self, acked: u32, mss: u32) {
        let limit = match self.abc_limit {
            _ if self.after_timeout => mss,
            0 => acked,
            segments => mss.saturating_mul(u32::from(segments)),
        };
        self.grow_to(self.cwnd.saturating_add(acked.min(limit)).min(self.ssthresh));
        if !self.in_slow_start() {
            self.after_timeout = false;
            self.counted = 0;
        }
    }
    fn grow_to(&mut self, cwnd: u32) {
        self.cwnd = cwnd.min(MAX_WINDOW).max(self.cwnd);
    }
    fn remember(&mut self) {
        self.prior_cwnd = self.cwnd;
        self.prior_ssthresh = self.ssthresh;
    }
    fn enter_recovery(&mut self, ssthresh: u32) {
        self.remember();
        self.ssthresh = ssthresh;
        self.cwnd = ssthresh;
        self.counted = 0;
        self.inflated = false;
    }
    /// The loss window of one segment (RFC 5681 section 3.1).
    fn timeout(&mut self, ssthresh: Option<u32>, mss: u32) {
        if let Some(ssthresh) = ssthresh {
            self.remember();
            self.ssthresh = ssthresh;
        }
        self.cwnd = mss;
        self.counted = 0;
        self.after_timeout = true;
        self.inflated = false;
    }
    fn undo(&mut self) -> bool {
        let had = core::mem::take(&mut self.prior_cwnd);
        if had == 0 {
            return false;
        }
        self.cwnd = self.cwnd.max(had);
        self.ssthresh = self.ssthresh.max(self.prior_ssthresh);
        self.after_timeout = false;
        self.inflated = false;
        true
    }
}

impl Congestion {
    /// The configured algorithm, with its initial window in octets ([`initial_window`]).
    pub(crate) const fn new(algorithm: CongestionControl, cwnd: u32) -> Self {
        match algorithm {
            CongestionControl::NewReno => Congestion::NewReno(NewReno::new(Window::new(cwnd))),
            CongestionControl::Cubic => Congestion::Cubic(Cubic::new(Window::new(cwnd))),
        }
    }
    /// What a connection that is not yet one has.
    pub(crate) const BLANK: Congestion = Congestion::new(CongestionControl::Cubic, 0);

    /// Whether it holds memory of its own.
    #[inline]
    pub(crate) fn holds_memory(&self) -> bool {
        match self {
            Congestion::NewReno(_) => false,
            Congestion::Cubic(algorithm) => algorithm.has_curve(),
        }
    }
    fn window(&self) -> &Window {
        match self {
            Congestion::NewReno(algorithm) => &algorithm.window,
            Congestion::Cubic(algorithm) => &algorithm.window,
        }
    }
    fn window_mut(&mut self) -> &mut Window {
        match self {
            Congestion::NewReno(algorithm) => &mut algorithm.window,
            Congestion::Cubic(algorithm) => &mut algorithm.window,
        }
    }
    /// The congestion window in octets.
    #[inline]
    pub(crate) fn cwnd(&self) -> u32 {
        self.window().cwnd
    }
    /// The slow-start threshold in octets; `u32::MAX` until the first loss.
    #[inline]
    pub(crate) fn ssthresh(&self) -> u32 {
        self.window().ssthresh
    }
    /// Whether cwnd is below ssthresh.
    #[inline]
    pub(crate) fn in_slow_start(&self) -> bool {
        self.window().in_slow_start()
    }
    /// Sets cwnd: proportional rate reduction does so in recovery (RFC 6937), and a SYN that was lost makes the initial
    /// window one segment (RFC 5681 section 3.1).
    pub(crate) fn set_cwnd(&mut self, cwnd: u32) {
        self.window_mut().cwnd = cwnd.min(MAX_WINDOW);
    }
    /// Sets how many segments one ACK may add in slow start; 0 for no limit, which needs pacing (RFC 9406 section 4.2).
    #[cfg(test)]
    pub(crate) fn set_abc_limit(&mut self, segments: u8) {
        self.window_mut().abc_limit = segments;
    }
    /// An ACK of `acked` new octets came outside recovery. `flight` is what was in flight before it.
    ///
    /// cwnd grows only if it was used: not when the application had nothing to send (`app_limited`) nor when less than
    /// half of it was in flight (RFC 7661 section 4.3). Returns what grew it.
    #[inline]
    pub(crate) fn on_ack(
        &mut self,
        now: Instant,
        acked: u32,
        srtt: Duration,
        flight: u32,
        mss: u32,
        app_limited: bool,
    ) -> Option<CongestionChange> {
        let limited = app_limited || flight < self.cwnd() / 2;
        if limited {
            self.on_limited_ack(now);
            return None;
        }
        self.on_full_ack(now, acked, srtt, mss)
    }
    /// cwnd was not used up: it does not grow.
    #[inline]
    fn on_limited_ack(&mut self, now: Instant) {
        if let Congestion::Cubic(algorithm) = self {
            // Time in which cwnd is not used does not count (RFC 9438 section 4.2: no growth, and section 5.8).
            algorithm.on_idle(now);
        }
    }
    #[inline(never)]
    fn on_full_ack(
        &mut self,
        now: Instant,
        acked: u32,
        srtt: Duration,
        mss: u32,
    ) -> Option<CongestionChange> {
        let before = self.cwnd();
        let why = if self.in_slow_start() {
            CongestionChange::SlowStart
        } else {
            CongestionChange::Avoidance
        };
        match self {
            Congestion::NewReno(algorithm) => algorithm.on_ack(acked, mss),
            Congestion::Cubic(algorithm) => algorithm.on_ack(now, acked, srtt, mss),
        }
        (self.cwnd() != before).then_some(why)
    }
    /// Loss was inferred with `flight` octets in flight: ssthresh falls, and cwnd to it.
    pub(crate) fn on_enter_recovery(&mut self, now: Instant, flight: u32, mss: u32) {
        match self {
            Congestion::NewReno(algorithm) => algorithm.on_enter_recovery(flight, mss),
            Congestion::Cubic(algorithm) => algorithm.on_enter_recovery(now, flight, mss),
        }
    }
    /// A router marked what we sent (RFC 3168 section 6.1.2): as loss, but nothing will show that it was for nothing, and
    /// the window never grows by it. NewReno halves, CUBIC keeps 0.7 (RFC 9438 section 4.6).
    pub(crate) fn on_mark(&mut self, now: Instant, flight: u32, mss: u32) {
        let before = self.cwnd();
        self.on_enter_recovery(now, flight, mss);
        let window = self.window_mut();
        window.cwnd = window.cwnd.min(before);
        window.prior_cwnd = 0;
    }
    /// Without SACK, at the start of recovery: by the 3 segments that the duplicate ACKs say have left (RFC 5681
    /// section 3.2 step 3).
    pub(crate) fn inflate(&mut self, octets: u32) {
        let window = self.window_mut();
        window.cwnd = window.cwnd.saturating_add(octets).min(MAX_WINDOW);
        window.inflated = true;
    }
    /// Without SACK, for each further duplicate ACK: one more segment has left (RFC 5681 section 3.2 step 4).
    pub(crate) fn on_recovery_dup_ack(&mut self, mss: u32) {
        self.inflate(mss);
    }
    /// Without SACK, for an ACK of part of what was in flight: cwnd shrinks by what it acknowledged and grows by the
    /// segment that is sent again (RFC 6582 section 3.2 step 3).
    pub(crate) fn on_partial_ack(&mut self, acked: u32, mss: u32) {
        let window = self.window_mut();
        window.cwnd = window.cwnd.saturating_sub(acked);
        if acked >= mss {
            window.cwnd += mss;
        }
        window.cwnd = window.cwnd.max(mss);
        window.inflated = true;
    }
    /// All that was in flight when recovery began is acknowledged. An inflated cwnd becomes min(ssthresh,
    /// max(FlightSize, SMSS) + SMSS), which avoids a burst (RFC 6582 section 3.2 step 3); otherwise it is ssthresh.
    pub(crate) fn on_exit_recovery(&mut self, flight: u32, mss: u32) {
        let window = self.window_mut();
        window.cwnd = if core::mem::take(&mut window.inflated) {
            window.ssthresh.min(flight.max(mss).saturating_add(mss))
        } else {
            window.ssthresh
        };
    }
    /// The retransmission timer fired with `flight` octets in flight; `first`: for a segment that it had not fired for
    /// yet. Only then does ssthresh fall (RFC 5681 section 3.1).
    pub(crate) fn on_timeout(&mut self, now: Instant, flight: u32, mss: u32, first: bool) {
        match self {
            Congestion::NewReno(algorithm) => algorithm.on_timeout(flight, mss, first),
            Congestion::Cubic(algorithm) => algorithm.on_timeout(now, flight, mss, first),
        }
    }
    /// Nothing was in flight since the last ACK. `restart_window`: cwnd is no more than this if the pause exceeded RTO
    /// (RFC 5681 section 4.1: the initial window); `u32::MAX` after a shorter pause.
    pub(crate) fn on_idle(&mut self, now: Instant, restart_window: u32) {
        if let Congestion::Cubic(algorithm) = self {
            algorithm.on_idle(now);
        }
        let window = self.window_mut();
        window.cwnd = window.cwnd.min(restart_window);
    }
    /// The last reduction was for nothing (Eifel, F-RTO or DSACK say so): takes it back, once. Says whether there was
    /// one.
    pub(crate) fn undo(&mut self) -> bool {
        match self {
            Congestion::NewReno(algorithm) => algorithm.window.undo(),
            Congestion::Cubic(algorithm) => algorithm.undo(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;
    const RTT: Duration = Duration::from_millis(100);

    fn both() -> [Congestion; 2] {
        [CongestionControl::NewReno, CongestionControl::Cubic].map(|kind| Congestion::new(kind, 10 * MSS))
    }
    /// An ACK with the window full.
    fn ack(congestion: &mut Congestion, acked: u32) -> Option<CongestionChange> {
        let flight = congestion.cwnd();
        congestion.on_ack(Instant::ZERO, acked, RTT, flight, MSS, false)
    }

    fn acks(congestion: &mut Congestion, n: usize) {
        for _ in 0..n {
            ack(congestion, MSS);
        }
    }

    #[test]
    fn small() {
        assert!(size_of::<Congestion>() <= 40, "{}", size_of::<Congestion>());
    }

    /// RFC 6928 section 2, and RFC 5681 section 3.1 for fewer segments.
    ///
    /// Proves: 5681-3.1a, 6928-1.
    #[test]
    fn initial_windows() {
        assert_eq!(initial_window(1460, 10), 14_600);
        assert_eq!(initial_window(536, 10), 5_360);
        assert_eq!(initial_window(8960, 10), 17_920);
        assert_eq!(initial_window(1460, 1), 1_460);
        assert_eq!(initial_window(1460, 3), 4_380);
    }

    /// Slow start: RFC 3465 section 2.2 counts octets, up to two segments an ACK.
    ///
    /// Proves: 5681-3.1c, MUST-19.
    #[test]
    fn slow_start_counts_octets() {
        for mut congestion in both() {
            assert_eq!(ack(&mut congestion, 500), Some(CongestionChange::SlowStart));
            assert_eq!(congestion.cwnd(), 10_500);
            ack(&mut congestion, 2_000);
            assert_eq!(congestion.cwnd(), 12_500);
            ack(&mut congestion, 10_000);
            assert_eq!(congestion.cwnd(), 14_500);
            congestion.set_abc_limit(0);
            ack(&mut congestion, 10_000);
            assert_eq!(congestion.cwnd(), 24_500);
        }
    }

    /// RFC 7661 section 4.3: a window that is not used does not grow.
    #[test]
    fn an_unused_window_stays() {
        for mut congestion in both() {
            assert_eq!(
                congestion.on_ack(Instant::ZERO, 1000, RTT, 9_000, MSS, true),
                None
            );
            assert_eq!(
                congestion.on_ack(Instant::ZERO, 1000, RTT, 3_999, MSS, false),
                None
            );
            assert_eq!(congestion.cwnd(), 10_000);
            assert!(
                congestion
                    .on_ack(Instant::ZERO, 1000, RTT, 5_000, MSS, false)
                    .is_some()
            );
        }
    }

    /// RFC 6582 section 3.2, by hand: 20 segments in flight, the first and the fifth lost, no SACK.
    ///
    /// Proves: 6582-2, 6582-3.
    #[test]
    fn newreno_recovery_without_sack() {
        let mut congestion = Congestion::new(CongestionControl::NewReno, 20 * MSS);
        congestion.on_enter_recovery(Instant::ZERO, 20 * MSS, MSS);
        congestion.inflate(3 * MSS);
        assert_eq!((congestion.ssthresh(), congestion.cwnd()), (10_000, 13_000));
        (0..15).for_each(|_| congestion.on_recovery_dup_ack(MSS));
        assert_eq!(congestion.cwnd(), 28_000);
        congestion.on_partial_ack(4 * MSS, MSS);
        assert_eq!(congestion.cwnd(), 25_000);
        congestion.on_exit_recovery(4 * MSS, MSS);
        assert_eq!(congestion.cwnd(), 5_000, "min(ssthresh, FlightSize + SMSS)");
        assert!(congestion.in_slow_start());
    }

    /// RFC 5681 section 3.1: one segment a round trip in congestion avoidance.
    ///
    /// Proves: 5681-3.1d.
    #[test]
    fn newreno_grows_by_one_segment_a_window() {
        let mut congestion = Congestion::new(CongestionControl::NewReno, 20 * MSS);
        congestion.on_enter_recovery(Instant::ZERO, 20 * MSS, MSS);
        congestion.on_exit_recovery(10 * MSS, MSS);
        assert_eq!(congestion.cwnd(), 10_000, "with SACK nothing was inflated");
        let grown = (0..10).filter_map(|_| ack(&mut congestion, MSS)).count();
        assert_eq!((grown, congestion.cwnd()), (1, 11_000));
        acks(&mut congestion, 11);
        assert_eq!(congestion.cwnd(), 12_000);
    }

    /// RFC 5681 section 3.1: a timeout leaves one segment, and ssthresh falls once for one segment's timeouts.
    ///
    /// Proves: 5681-3.1e.
    #[test]
    fn timeouts_collapse_the_window() {
        for (mut congestion, ssthresh) in both().into_iter().zip([5_000, 7_000]) {
            congestion.on_timeout(Instant::ZERO, 10 * MSS, MSS, true);
            assert_eq!((congestion.cwnd(), congestion.ssthresh()), (MSS, ssthresh));
            congestion.on_timeout(Instant::ZERO, MSS, MSS, false);
            assert_eq!((congestion.cwnd(), congestion.ssthresh()), (MSS, ssthresh));
            // RFC 3465 section 2.3: after a timeout L is 1.
            ack(&mut congestion, 2 * MSS);
            assert_eq!(congestion.cwnd(), 2 * MSS);
            acks(&mut congestion, 20);
            assert!(congestion.cwnd() >= ssthresh && congestion.cwnd() < ssthresh + 3 * MSS);
            congestion.on_timeout(Instant::ZERO, 0, MSS, true);
            assert_eq!(congestion.ssthresh(), 2 * MSS, "never under two segments");
        }
    }

    /// RFC 5681 section 4.1.
    ///
    /// Proves: 5681-4.1.
    #[test]
    fn a_long_pause_brings_the_restart_window() {
        for mut congestion in both() {
            acks(&mut congestion, 50);
            congestion.on_idle(Instant::from_secs(1), u32::MAX);
            assert_eq!(congestion.cwnd(), 60_000);
            congestion.on_idle(Instant::from_secs(5), 10 * MSS);
            assert_eq!(congestion.cwnd(), 10_000);
        }
    }

    /// RFC 3168 section 6.1.2, RFC 9438 section 4.6.
    ///
    /// Proves: 3168-6, 9438-4.6.
    #[test]
    fn a_mark_reduces_as_loss_does() {
        for (mut congestion, left) in both().into_iter().zip([5_000, 7_000]) {
            congestion.on_mark(Instant::ZERO, 10 * MSS, MSS);
            assert_eq!((congestion.cwnd(), congestion.ssthresh()), (left, left));
            assert!(!congestion.undo(), "it is no guess");
            congestion.set_cwnd(MSS);
            congestion.on_mark(Instant::ZERO, MSS, MSS);
            assert_eq!((congestion.cwnd(), congestion.ssthresh()), (1_000, 2_000));
        }
    }

    #[test]
    fn a_reduction_is_undone_once() {
        for mut congestion in both() {
            assert!(!congestion.undo());
            congestion.on_timeout(Instant::ZERO, 10 * MSS, MSS, true);
            congestion.on_timeout(Instant::ZERO, MSS, MSS, false);
            assert!(congestion.undo());
            assert_eq!((congestion.cwnd(), congestion.ssthresh()), (10_000, u32::MAX));
            assert!(!congestion.undo());
            congestion.on_enter_recovery(Instant::ZERO, 10 * MSS, MSS);
            assert!(congestion.undo() && congestion.cwnd() == 10_000);
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        for kind in [CongestionControl::NewReno, CongestionControl::Cubic] {
            let mut congestion = Congestion::new(kind, MAX_WINDOW);
            let mut now = Instant::ZERO;
            for i in 0..200u32 {
                now += Duration::from_secs(u64::from(i) * 100_000);
                let _ = congestion.on_ack(now, u32::MAX, Duration::MAX, u32::MAX, 65_535, false);
                if i % 10 == 0 {
                    congestion.on_enter_recovery(now, u32::MAX, 65_535);
                }
                if i % 17 == 0 {
                    congestion.inflate(u32::MAX);
                    congestion.on_partial_ack(u32::MAX, 65_535);
                    congestion.on_exit_recovery(u32::MAX, 65_535);
                    congestion.on_idle(now, u32::MAX);
                }
                assert!(congestion.cwnd() > 0);
            }
        }
    }
}
