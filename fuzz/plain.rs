//! A driver without coverage or sanitizers, for a bounded run on any toolchain: the corpus, then random mutations of it.
//!
//! `headers [RUNS] [SEED]`; the same seed makes the same inputs. An input that panics is shown in hexadecimal; to feed
//! it alone, set INPUT to it.

use std::panic;
use std::path::Path;

/// Longest input made.
const MAX_LEN: usize = 512;

/// Feeds `entry` with what is in `corpus/NAME` and mutations of it.
pub fn run(name: &str, entry: fn(&[u8])) {
    if let Ok(hex) = std::env::var("INPUT") {
        let octet = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        let input: Vec<u8> = (0..hex.len() / 2).map(|i| octet(2 * i)).collect();
        return try_one(entry, &input);
    }
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("a number"));
    let runs = arguments.next().unwrap_or(1_000_000);
    let mut random = Random(arguments.next().unwrap_or(1) | 1);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the corpus is there")
        .map(|f| f.expect("a file").path())
        .collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).expect("a readable file")).collect();
    assert!(!corpus.is_empty(), "an empty corpus");
    for input in &corpus {
        try_one(entry, input);
    }
    for _ in 0..runs {
        let mut input = corpus[random.below(corpus.len())].clone();
        random.mutate(&mut input, &corpus);
        try_one(entry, &input);
    }
    println!("{name}: {} inputs of the corpus and {runs} mutations", corpus.len());
}

fn try_one(entry: fn(&[u8]), input: &[u8]) {
    if let Err(cause) = panic::catch_unwind(|| entry(input)) {
        let hex: String = input.iter().map(|b| format!("{b:02x}")).collect();
        eprintln!("input: {hex}");
        panic::resume_unwind(cause);
    }
}

/// Xorshift: enough for mutations, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
    fn mutate(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        for _ in 0..=self.below(6) {
            let at = self.below(input.len() + 1);
            match self.below(8) {
                0 => input.truncate(at),
                1 => input.insert(at, self.next() as u8),
                2 => {
                    // The tail of another input.
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len() + 1);
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
                3 => input.extend((0..self.below(40)).map(|i| i as u8)),
                kind => {
                    let Some(byte) = input.get_mut(at) else { continue };
                    match kind {
                        4 => *byte ^= 1 << self.below(8),
                        5 => *byte = [0, 1, 2, 8, 60, 0x7f, 0x80, 0xff][self.below(8)],
                        6 => *byte = byte.wrapping_add(1),
                        _ => *byte = self.next() as u8,
                    }
                }
            }
        }
        input.truncate(MAX_LEN);
    }
}
