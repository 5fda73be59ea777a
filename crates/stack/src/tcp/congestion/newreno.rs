//! NewReno: RFC 5681 with appropriate byte counting (RFC 3465).

use super::Window;

/// Grows by one segment a round trip, and halves on loss.
#[derive(Clone, Debug)]
pub(crate) struct NewReno {
    pub(super) window: Window,
}

impl NewReno {
    pub(super) const fn new(window: Window) -> Self {
        NewReno { window }
    }
    pub(super) fn on_ack(&mut self, acked: u32, mss: u32) {
        let window = &mut self.window;
        if window.in_slow_start() {
            window.slow_start(acked, mss);
            return;
        }
        // RFC 3465 section 2.1: one segment for each window of octets acknowledged.
        window.counted = window.counted.saturating_add(acked);
        if window.counted >= window.cwnd {
            window.counted -= window.cwnd;
            window.grow_to(window.cwnd.saturating_add(mss));
        }
    }
    pub(super) fn on_enter_recovery(&mut self, flight: u32, mss: u32) {
        self.window.enter_recovery(half(flight, mss));
    }
    pub(super) fn on_timeout(&mut self, flight: u32, mss: u32, first: bool) {
        self.window.timeout(first.then(|| half(flight, mss)), mss);
    }
}

/// ssthresh = max(FlightSize / 2, 2 * SMSS) (RFC 5681 equation 4).
fn half(flight: u32, mss: u32) -> u32 {
    (flight / 2).max(2 * mss)
}
