//! What is sent: octets with a prime period, so that a lost, doubled or displaced piece shows wherever it falls.

use bytes::Bytes;

/// The period.
const PERIOD: usize = 65_521;
/// The most that one look gives.
pub const CHUNK: usize = 64 * 1024;

/// An endless stream of octets that are known at every position.
#[derive(Clone, Debug)]
pub struct Pattern {
    octets: Bytes,
}

impl Pattern {
    /// The stream.
    pub fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut octets: Vec<u8> = (0..PERIOD)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        octets.extend_from_within(..);
        octets.extend_from_within(..CHUNK);
        Pattern {
            octets: Bytes::from(octets),
        }
    }
    /// [`CHUNK`] octets from a position on.
    pub fn at(&self, position: u64) -> &[u8] {
        let start = (position % PERIOD as u64) as usize;
        &self.octets[start..start + CHUNK]
    }
    /// The same, shared.
    pub fn shared(&self, position: u64) -> Bytes {
        let start = (position % PERIOD as u64) as usize;
        self.octets.slice(start..start + CHUNK)
    }
    /// Whether these are the octets at a position.
    ///
    /// # Panics
    /// If they are not: the stack is broken, and no figure of it is worth anything.
    pub fn check(&self, mut position: u64, mut octets: &[u8]) {
        while !octets.is_empty() {
            let n = octets.len().min(CHUNK);
            assert!(
                self.at(position)[..n] == octets[..n],
                "wrong octets between {position} and {}",
                position + n as u64
            );
            position += n as u64;
            octets = &octets[n..];
        }
    }
}
