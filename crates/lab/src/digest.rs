//! One number for everything that happened: two runs that agree in it agree to the byte.

use std::fmt::{self, Write};

use sockeye_view::Record;

/// FNV-1a over the debug text of records.
#[derive(Clone, Debug)]
pub struct Digest(u64);

impl Digest {
    /// Of nothing yet.
    pub fn new() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }
    /// Adds a record.
    pub fn record(&mut self, record: &Record) {
        // Writing into a number cannot fail.
        let _ = write!(self, "{record:?}");
    }
    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    /// The number.
    pub fn value(&self) -> u64 {
        self.0
    }
}
impl Default for Digest {
    fn default() -> Self {
        Digest::new()
    }
}
impl Write for Digest {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.bytes(s.as_bytes());
        Ok(())
    }
}
