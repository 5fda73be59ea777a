//! Bytes of the fuzzer, read as choices. What has run out reads as zero, so that every input is a program and a prefix of
//! an input is a prefix of its program.

use sockeye_stack::Duration;

/// A reader of choices.
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// Reads from the front.
    pub fn new(bytes: &'a [u8]) -> Self {
        Input { rest: bytes }
    }
    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
    /// One octet.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        first
    }
    /// One bit of an octet.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }
    /// Two octets, the higher first.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }
    /// Four octets, the highest first.
    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) << 16 | u32::from(self.u16())
    }
    /// A number below `n`, which is at most 256.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }
    /// One of a few.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
    /// Up to `n` octets, as they stand.
    pub fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(n.min(self.rest.len()));
        self.rest = rest;
        taken
    }
    /// A span of time, from nothing to for ever.
    pub fn any_duration(&mut self) -> Duration {
        match self.below(9) {
            0 => Duration::ZERO,
            1 => Duration::from_nanos(1),
            2 => Duration::from_millis(1),
            3 => Duration::from_secs(1),
            4 => Duration::from_secs(60),
            5 => Duration::from_secs(7200),
            6 => Duration::from_micros(u64::from(self.u16())),
            7 => Duration::from_millis(u64::from(self.u16())),
            _ => Duration::MAX,
        }
    }
    /// A step of time: mostly short, at times hours.
    pub fn step(&mut self) -> Duration {
        match self.below(10) {
            0 => Duration::from_nanos(1),
            1..=3 => Duration::from_millis(1 + u64::from(self.byte())),
            4..=6 => Duration::from_millis(u64::from(self.u16())),
            7 => Duration::from_secs(u64::from(self.byte())),
            8 => Duration::from_secs(60 * u64::from(self.byte())),
            _ => Duration::from_micros(u64::from(self.u16())),
        }
    }
}
