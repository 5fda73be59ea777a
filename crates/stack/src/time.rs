//! Time as the core sees it: numbers that the driver hands in.
//!
//! The core never reads a clock. Every input carries an [`Instant`], counted in nanoseconds from an epoch that the
//! driver chooses, and every deadline leaves the core as one.

use core::fmt;
use core::ops::{Add, AddAssign, Sub, SubAssign};

/// A span of time in nanoseconds. Half the size of [`core::time::Duration`], since a connection holds many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(u64);

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);
    /// The longest span, about 584 years.
    pub const MAX: Duration = Duration(u64::MAX);

    /// A span of `n` nanoseconds.
    pub const fn from_nanos(n: u64) -> Self {
        Duration(n)
    }
    /// A span of `n` microseconds.
    pub const fn from_micros(n: u64) -> Self {
        Duration(n * 1_000)
    }
    /// A span of `n` milliseconds.
    pub const fn from_millis(n: u64) -> Self {
        Duration(n * 1_000_000)
    }
    /// A span of `n` seconds.
    pub const fn from_secs(n: u64) -> Self {
        Duration(n * 1_000_000_000)
    }
    /// The span in whole nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
    /// The span in whole microseconds, rounded down.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }
    /// The span in whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }
    /// The span in whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }
    /// The span in seconds, for display.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    /// Whether this is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
    /// The sum, or [`Duration::MAX`].
    pub const fn saturating_add(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }
    /// The difference, or zero.
    pub const fn saturating_sub(self, other: Duration) -> Duration {
        Duration(self.0.saturating_sub(other.0))
    }
    /// `n` times as long, or [`Duration::MAX`].
    pub const fn saturating_mul(self, n: u64) -> Duration {
        Duration(self.0.saturating_mul(n))
    }
}

impl Add for Duration {
    type Output = Duration;
    fn add(self, other: Duration) -> Duration {
        self.saturating_add(other)
    }
}
impl AddAssign for Duration {
    fn add_assign(&mut self, other: Duration) {
        *self = *self + other;
    }
}
impl Sub for Duration {
    type Output = Duration;
    fn sub(self, other: Duration) -> Duration {
        self.saturating_sub(other)
    }
}
impl SubAssign for Duration {
    fn sub_assign(&mut self, other: Duration) {
        *self = *self - other;
    }
}
impl core::ops::Mul<u64> for Duration {
    type Output = Duration;
    fn mul(self, n: u64) -> Duration {
        self.saturating_mul(n)
    }
}
impl core::ops::Div<u64> for Duration {
    type Output = Duration;
    fn div(self, n: u64) -> Duration {
        Duration(self.0 / n)
    }
}
impl From<core::time::Duration> for Duration {
    fn from(d: core::time::Duration) -> Self {
        Duration(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }
}
impl From<Duration> for core::time::Duration {
    fn from(d: Duration) -> Self {
        core::time::Duration::from_nanos(d.0)
    }
}
impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&core::time::Duration::from(*self), f)
    }
}
/// Shown in the unit that reads best: `250 ms`, `1.5 s`, `40 us`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            n if n >= 1_000_000_000 => (1_000_000_000, "s"),
            n if n >= 1_000_000 => (1_000_000, "ms"),
            n if n >= 1_000 => (1_000, "us"),
            _ => (1, "ns"),
        };
        let whole = self.0 / unit;
        let tenth = self.0 % unit * 10 / unit;
        if tenth == 0 {
            write!(f, "{whole} {name}")
        } else {
            write!(f, "{whole}.{tenth} {name}")
        }
    }
}

/// A point in time: nanoseconds since the driver's epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The driver's epoch.
    pub const ZERO: Instant = Instant(0);
    /// The end of time; as a deadline it means never.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// The point `n` nanoseconds after the epoch.
    pub const fn from_nanos(n: u64) -> Self {
        Instant(n)
    }
    /// The point `n` microseconds after the epoch.
    pub const fn from_micros(n: u64) -> Self {
        Instant(n * 1_000)
    }
    /// The point `n` milliseconds after the epoch.
    pub const fn from_millis(n: u64) -> Self {
        Instant(n * 1_000_000)
    }
    /// The point `n` seconds after the epoch.
    pub const fn from_secs(n: u64) -> Self {
        Instant(n * 1_000_000_000)
    }
    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
    /// Whole microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }
    /// Whole milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }
    /// Seconds since the epoch, for display.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    /// Whether this is [`Instant::NEVER`].
    pub const fn is_never(self) -> bool {
        self.0 == u64::MAX
    }
    /// The time from `earlier` to here; zero if `earlier` is later.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(d.0))
    }
}
impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}
impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, d: Duration) -> Instant {
        Instant(self.0.saturating_sub(d.0))
    }
}
impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}
impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_never() {
            f.write_str("never")
        } else {
            fmt::Display::fmt(self, f)
        }
    }
}
/// Seconds with microseconds: `0.020301`.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}

/// One look at the timers of one connection: tests deadlines against `now` and keeps the earliest that has not come.
///
/// A check and its schedule are one call, so they cannot disagree: [`Clock::expired`] says whether a deadline has
/// passed, and if it has not, makes sure that the connection is woken for it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    now: Instant,
    next: Instant,
}

impl Clock {
    /// A look at `now`, with nothing scheduled yet.
    pub const fn new(now: Instant) -> Self {
        Clock {
            now,
            next: Instant::NEVER,
        }
    }
    /// The time of this look.
    pub const fn now(&self) -> Instant {
        self.now
    }
    /// Whether `deadline` has come; if not, it becomes a candidate for [`Clock::next`].
    #[must_use]
    pub fn expired(&mut self, deadline: Instant) -> bool {
        if deadline <= self.now {
            return true;
        }
        if deadline < self.next {
            self.next = deadline;
        }
        false
    }
    /// The earliest deadline that was asked about and has not come, or [`Instant::NEVER`].
    pub const fn next(&self) -> Instant {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::string::ToString;

    #[test]
    fn clock_schedules_what_has_not_expired() {
        let mut clock = Clock::new(Instant::from_secs(5));
        assert!(clock.expired(Instant::from_secs(5)));
        assert!(!clock.expired(Instant::from_secs(9)));
        assert!(!clock.expired(Instant::from_secs(7)));
        assert_eq!(clock.next(), Instant::from_secs(7));
    }

    #[test]
    fn shown_in_a_readable_unit() {
        assert_eq!(Duration::from_millis(1500).to_string(), "1.5 s");
        assert_eq!(Duration::from_millis(220).to_string(), "220 ms");
        assert_eq!(Instant::from_micros(20_301).to_string(), "0.020301");
    }
}
