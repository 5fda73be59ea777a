//! Block numbers are 16 bits wide; ours are 64.

use std::fmt;
use std::str::FromStr;

/// What follows block 65,535. The RFCs do not say, so implementations differ.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Rollover {
    /// Block 0, as most do.
    #[default]
    ToZero,
    /// Block 1.
    ToOne,
    /// Nothing: a file has at most 65,535 blocks.
    None,
}

/// Where a number on the wire lies, seen from the block that is expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// This block: the expected one or one ahead of it.
    Ahead(u64),
    /// A block before the expected one.
    Behind(u64),
    /// No block that there can be.
    Nowhere,
}

impl Rollover {
    /// The most blocks that can be numbered.
    pub fn max_blocks(self) -> u64 {
        match self {
            Rollover::None => 65_535,
            _ => u64::MAX,
        }
    }
    /// The number on the wire.
    pub fn wire(self, block: u64) -> u16 {
        match self {
            Rollover::ToOne if block > 0 => ((block - 1) % 65_535 + 1) as u16,
            _ => block as u16,
        }
    }
    /// How far `wire` is after `from`, going round.
    fn distance(self, from: u16, wire: u16) -> Option<u64> {
        match self {
            Rollover::ToOne if wire == 0 => (from == 0).then_some(0),
            // From the handshake's 0 to 1 is one step, which the circle of 65,535 numbers does not have.
            Rollover::ToOne if from == 0 => Some(wire.into()),
            Rollover::ToOne => Some((u64::from(wire) + 65_535 - u64::from(from)) % 65_535),
            _ => Some(wire.wrapping_sub(from).into()),
        }
    }
    /// The block in `low..=high` with this number, if there is one.
    pub(super) fn within(self, low: u64, high: u64, wire: u16) -> Option<u64> {
        let block = low.checked_add(self.distance(self.wire(low), wire)?)?;
        (block <= high).then_some(block)
    }
    /// The block nearest to `expected` with this number.
    pub(super) fn near(self, expected: u64, wire: u16) -> Place {
        let Some(ahead) = self.distance(self.wire(expected), wire) else {
            return Place::Nowhere;
        };
        let circle = if self == Rollover::ToOne { 65_535 } else { 65_536 };
        if ahead < circle / 2 {
            return Place::Ahead(expected + ahead);
        }
        let block = expected.checked_sub(circle - ahead);
        block.map_or(Place::Nowhere, Place::Behind)
    }
}

impl fmt::Display for Rollover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rollover::ToZero => "0",
            Rollover::ToOne => "1",
            Rollover::None => "none",
        })
    }
}
impl FromStr for Rollover {
    type Err = &'static str;
    fn from_str(s: &str) -> Result<Rollover, &'static str> {
        match s {
            "0" => Ok(Rollover::ToZero),
            "1" => Ok(Rollover::ToOne),
            "none" => Ok(Rollover::None),
            _ => Err("block numbers roll over to 0, to 1, or not at all: none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn after_block_65535() {
        assert_eq!(Rollover::ToZero.wire(65_535), 65_535);
        assert_eq!(Rollover::ToZero.wire(65_536), 0);
        assert_eq!(Rollover::ToOne.wire(65_535), 65_535);
        assert_eq!(Rollover::ToOne.wire(65_536), 1);
        assert_eq!(Rollover::ToOne.wire(131_071), 1);
        assert_eq!(Rollover::ToOne.within(0, 5, 1), Some(1));
    }

    proptest! {
        #[test]
        fn numbers_come_back(block in 0u64..400_000, back in 0u64..30_000, one: bool) {
            let rollover = if one { Rollover::ToOne } else { Rollover::ToZero };
            let wire = rollover.wire(block);
            let low = block.saturating_sub(back);
            prop_assert_eq!(rollover.within(low, block, wire), Some(block));
            if block > 0 && low > 0 {
                prop_assert_eq!(rollover.near(low, wire), Place::Ahead(block));
                if low < block {
                    prop_assert_eq!(rollover.near(block, rollover.wire(low)), Place::Behind(low));
                }
            }
        }
    }
}
