//! Randomness and keys, all from the seed that the driver gives.
//!
//! Both are built on SipHash-2-4 used as a pseudo-random function: whoever sees outputs but not the seed cannot tell
//! them from noise nor compute others. It is no stream cipher; nothing here encrypts.

use core::hash::Hasher;
use siphasher::sip::SipHasher24;

/// Derives keys for separate purposes from one seed, so that no two parts of the stack share a key.
pub(crate) struct Secrets;

impl Secrets {
    /// The 16-octet key that `seed` gives for the purpose `label`. Equal labels give equal keys.
    ///
    /// Each half of the seed keys a SipHash-2-4 of its own, and their outputs are mixed: the result is as hard to
    /// predict as the better half. The domain octets keep the two apart even when both halves are equal.
    pub(crate) fn derive(seed: [u8; 32], label: &str) -> [u8; 16] {
        let [low, high] = halves(seed);
        let word = |domain: u8| prf(&low, domain, label) ^ prf(&high, domain + 1, label);
        let mut key = [0; 16];
        key[..8].copy_from_slice(&word(0).to_le_bytes());
        key[8..].copy_from_slice(&word(2).to_le_bytes());
        key
    }
}

/// A deterministic source of random numbers: SipHash-2-4 of a counter.
///
/// For what a peer should not guess but that needs no key of its own: jitter, identifications, drop choices.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    function: SipHasher24,
    counter: u64,
}

impl Rng {
    /// A source whose whole output is decided by `seed`.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Rng {
            function: SipHasher24::new_with_key(&Secrets::derive(seed, "rng")),
            counter: 0,
        }
    }
    /// The next 64 bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        self.function.hash(&self.counter.to_le_bytes())
    }
    /// The next 32 bits.
    pub(crate) fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }
    /// A number from 0 to `n - 1`, all equally likely; 0 for `n` of 0 or 1.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        // Lemire's method: the high half of the product, rejecting the few draws that would favour low results.
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            let low = product as u32;
            if low >= n || low >= n.wrapping_neg() % n.max(1) {
                return (product >> 32) as u32;
            }
        }
    }
}

fn halves(seed: [u8; 32]) -> [[u8; 16]; 2] {
    let mut out = [[0; 16]; 2];
    out[0].copy_from_slice(&seed[..16]);
    out[1].copy_from_slice(&seed[16..]);
    out
}

fn prf(key: &[u8; 16], domain: u8, label: &str) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(&[domain]);
    hasher.write(label.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn keys_differ_by_label_and_seed_and_repeat() {
        let mut keys = BTreeSet::new();
        for seed in [[0; 32], [1; 32], [2; 32]] {
            for label in ["isn", "cookie", "demux", "ports", ""] {
                let key = Secrets::derive(seed, label);
                assert_eq!(key, Secrets::derive(seed, label));
                assert_ne!(key, [0; 16], "equal halves must not cancel");
                assert!(keys.insert(key));
            }
        }
        let mut one_half = [0; 32];
        one_half[31] = 1;
        assert!(
            keys.insert(Secrets::derive(one_half, "isn")),
            "the second half counts"
        );
    }

    #[test]
    fn same_seed_same_numbers() {
        let draw = |seed| {
            let mut rng = Rng::new([seed; 32]);
            [
                rng.next_u64(),
                u64::from(rng.next_u32()),
                u64::from(rng.below(1000)),
            ]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn below_is_in_range_and_reaches_all() {
        let mut rng = Rng::new([9; 32]);
        assert_eq!((rng.below(0), rng.below(1)), (0, 0));
        let mut count = [0u32; 7];
        for _ in 0..7000 {
            count[rng.below(7) as usize] += 1;
        }
        assert!(count.iter().all(|&n| (800..1200).contains(&n)), "{count:?}");
        assert!((0..1000).all(|_| rng.below(u32::MAX) < u32::MAX));
    }
}
