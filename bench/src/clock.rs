//! Time that counts.

use rustix::time::{ClockId, clock_gettime};

/// Processor time of this thread in nanoseconds: what others run on the machine meanwhile is not in it.
pub fn now() -> u64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
