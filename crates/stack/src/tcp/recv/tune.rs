//! Receive-buffer auto-tuning: the buffer follows what the application reads in a round trip ("dynamic right-sizing",
//! Fisk and Feng 2001), so that the window never limits a sender that the network and the application could bear.

use crate::tcp::conn::Tcb;
use crate::time::{Duration, Instant};

/// What was read since when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tune {
    /// Start of the measurement, in microseconds of our clock.
    since: u32,
    /// Octets read since.
    read: u32,
}

impl Tune {
    /// Before the first read.
    pub(crate) const NOTHING_READ: Tune = Tune { since: 0, read: 0 };
}

/// The application has read `n` octets. Once a round trip, the buffer grows to twice what was read in it, which lets the
/// sender's window double in slow start as well; it never shrinks.
#[inline]
pub(crate) fn on_read(tcb: &mut Tcb, now: Instant, n: u32) {
    if tcb.rcv_buf < tcb.rcv_buf_max {
        measure(tcb, now, n);
    }
}

#[inline(never)]
fn measure(tcb: &mut Tcb, now: Instant, n: u32) {
    let now_micros = now.as_micros() as u32;
    tcb.tune.read = tcb.tune.read.saturating_add(n);
    let round_trip = tcb.srtt().max(LEAST_ROUND).as_micros() as u32;
    if now_micros.wrapping_sub(tcb.tune.since) < round_trip {
        return;
    }
    let wanted = tcb
        .tune
        .read
        .saturating_mul(2)
        .saturating_add(16 * u32::from(tcb.rcv_mss));
    if wanted > tcb.rcv_buf {
        tcb.rcv_buf = wanted.min(tcb.rcv_buf_max);
    }
    tcb.tune = Tune {
        since: now_micros,
        read: 0,
    };
}

/// Measuring more often than this only measures the application's read size.
const LEAST_ROUND: Duration = Duration::from_micros(500);
