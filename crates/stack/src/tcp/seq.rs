//! Sequence numbers: positions on a circle of 2^32 octets (RFC 9293 section 3.4).
//!
//! They have no order, so they do not implement `Ord`; `before` and `after` compare along the shorter way round, which
//! is right as long as the two lie less than 2^31 apart. A position ([`SeqNumber`]) and a length (`u32`) are
//! different types.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A position in the sequence space of one direction of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNumber(pub u32);

impl SeqNumber {
    /// Whether this comes before `other` (`this < other` in the RFC's modular arithmetic).
    #[inline]
    pub const fn before(self, other: SeqNumber) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }
    /// Whether this comes before `other` or is the same.
    #[inline]
    pub const fn at_or_before(self, other: SeqNumber) -> bool {
        (self.0.wrapping_sub(other.0) as i32) <= 0
    }
    /// Whether this comes after `other`.
    #[inline]
    pub const fn after(self, other: SeqNumber) -> bool {
        other.before(self)
    }
    /// Whether this comes after `other` or is the same.
    #[inline]
    pub const fn at_or_after(self, other: SeqNumber) -> bool {
        other.at_or_before(self)
    }
    /// Whether this lies in the `len` octets from `start` on.
    #[inline]
    pub const fn within(self, start: SeqNumber, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }
    /// How many octets lie between `earlier` and here.
    #[inline]
    pub const fn since(self, earlier: SeqNumber) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
    /// The later of two positions.
    #[inline]
    pub const fn later(self, other: SeqNumber) -> SeqNumber {
        if self.before(other) { other } else { self }
    }
    /// The earlier of two positions.
    #[inline]
    pub const fn earlier(self, other: SeqNumber) -> SeqNumber {
        if self.before(other) { self } else { other }
    }
}

impl Add<u32> for SeqNumber {
    type Output = SeqNumber;
    #[inline]
    fn add(self, n: u32) -> SeqNumber {
        SeqNumber(self.0.wrapping_add(n))
    }
}
impl AddAssign<u32> for SeqNumber {
    #[inline]
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}
impl Sub<u32> for SeqNumber {
    type Output = SeqNumber;
    #[inline]
    fn sub(self, n: u32) -> SeqNumber {
        SeqNumber(self.0.wrapping_sub(n))
    }
}
impl fmt::Debug for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
impl fmt::Display for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_across_the_wrap() {
        let low = SeqNumber(u32::MAX - 2);
        let high = low + 5;
        assert_eq!(high.0, 2);
        assert!(low.before(high) && high.after(low) && !high.before(low));
        assert!(low.at_or_before(low) && low.at_or_after(low));
        assert_eq!(high.since(low), 5);
        assert!(high.within(low, 6) && !high.within(low, 5) && !(low - 1).within(low, 6));
        assert_eq!(low.later(high), high);
        assert_eq!(low.earlier(high), low);
    }
}
