//! Rounds, calibration and statistics.
//!
//! Machines that are shared change their speed from minute to minute, some by a factor of two. So all cases run in turn, many
//! rounds of them; a loop of fixed work is timed before and after each; and ratios are taken within a round, between two
//! cases whose loops both ran at the usual speed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::cases::{Metric, Row};
use crate::clock;
use crate::work::{Limit, Sample, Work};

/// How far a calibration may lie from the usual one.
const TOLERANCE: f64 = 0.06;
/// Fewer clean pairs than this are no result.
pub const ENOUGH: usize = 3;

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub round: usize,
    pub row: usize,
    pub contender: usize,
    pub sample: Sample,
    pub before: u64,
    pub after: u64,
}

/// All measurements of a run.
#[derive(Debug)]
pub struct Run {
    pub measured: Vec<Measured>,
    pub rounds: usize,
    /// The usual time of the calibration loop.
    pub usual: u64,
}

/// A loop of fixed work, about 3 ms: half of it arithmetic that waits for itself, half copies within L2.
fn calibrate(from: &[u8], to: &mut [u8]) -> u64 {
    let start = clock::now();
    let mut x = 1_u64;
    for _ in 0..1_000_000 {
        x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    }
    black_box(x);
    for _ in 0..300 {
        to.copy_from_slice(black_box(from));
        black_box(&to);
    }
    clock::now() - start
}

/// Prepares every case and measures them in rounds until the time is up.
pub fn run(rows: &[Row], total: Duration, stretch: Duration, least_rounds: usize) -> Run {
    let start = Instant::now();
    let mut works: Vec<Vec<Box<dyn Work>>> = Vec::new();
    for row in rows {
        eprint!("\r\x1b[Kpreparing {}", row.name);
        works.push(
            row.contenders
                .iter()
                .map(|contender| {
                    let mut work = (contender.make)();
                    work.run(row.warm_up);
                    work
                })
                .collect(),
        );
    }
    let from = vec![1; 128 * 1024];
    let mut to = vec![0; 128 * 1024];
    let mut measured = Vec::new();
    let mut rounds = 0;
    let mut round_time = Duration::ZERO;
    while rounds < least_rounds || start.elapsed() + round_time < total {
        let round_start = Instant::now();
        eprint!("\r\x1b[Kround {}", rounds + 1);
        let mut before = calibrate(&from, &mut to);
        for i in 0..rows.len() {
            let row = (i + rounds) % rows.len();
            let count = rows[row].contenders.len();
            for j in 0..count {
                let contender = if rounds % 2 == 0 { j } else { count - 1 - j };
                let sample = works[row][contender].run(Limit::Time(stretch));
                let after = calibrate(&from, &mut to);
                measured.push(Measured {
                    round: rounds,
                    row,
                    contender,
                    sample,
                    before,
                    after,
                });
                before = after;
            }
        }
        rounds += 1;
        round_time = round_start.elapsed();
    }
    eprint!("\r\x1b[K");
    let mut loops: Vec<u64> = measured.iter().map(|m| m.after).collect();
    loops.sort_unstable();
    Run {
        measured,
        rounds,
        usual: loops[loops.len() / 2],
    }
}

impl Run {
    /// Whether the machine ran at its usual speed before and after.
    pub fn is_clean(&self, m: &Measured) -> bool {
        let near = |t: u64| (t as f64 / self.usual as f64 - 1.0).abs() < TOLERANCE;
        near(m.before) && near(m.after)
    }
    /// Clean measurements of one case.
    pub fn clean(&self, row: usize, contender: usize) -> impl Iterator<Item = &Measured> {
        self.all(row, contender).filter(|m| self.is_clean(m))
    }
    /// All measurements of one case.
    pub fn all(&self, row: usize, contender: usize) -> impl Iterator<Item = &Measured> {
        self.measured
            .iter()
            .filter(move |m| m.row == row && m.contender == contender)
    }
    /// How many times faster the first case is than the second, pair by pair within clean rounds.
    pub fn ratio(&self, fast: (usize, usize), slow: (usize, usize)) -> Option<Summary> {
        let ratios = self.clean(fast.0, fast.1).filter_map(|f| {
            let s = self.clean(slow.0, slow.1).find(|s| s.round == f.round)?;
            Some(cost(&s.sample) / cost(&f.sample))
        });
        Summary::of(ratios).filter(|summary| summary.count >= ENOUGH)
    }
}

/// Nanoseconds for each octet, where octets count, or each unit.
pub fn cost(sample: &Sample) -> f64 {
    let per = if sample.octets > 0 {
        sample.octets
    } else {
        sample.units
    };
    sample.nanos as f64 / per as f64
}

/// The figure that a row shows.
pub fn figure(metric: Metric, sample: &Sample) -> f64 {
    match metric {
        Metric::Goodput => 8.0 / cost(sample),
        Metric::Exchange => cost(sample),
        Metric::Connections => 1e9 / cost(sample),
    }
}

/// Median and quartiles.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    pub count: usize,
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Summary {
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Summary> {
        let mut v: Vec<f64> = values.collect();
        v.sort_by(f64::total_cmp);
        let at = |q: f64| {
            let position = q * (v.len() - 1) as f64;
            let (below, part) = (position as usize, position.fract());
            let above = v[(below + 1).min(v.len() - 1)];
            v[below] + (above - v[below]) * part
        };
        (!v.is_empty()).then(|| Summary {
            count: v.len(),
            median: at(0.5),
            low: at(0.25),
            high: at(0.75),
        })
    }
    /// Distance of the quartiles, in percent of the median.
    pub fn spread(&self) -> f64 {
        (self.high - self.low) / self.median * 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles() {
        let s = Summary::of([5.0, 1.0, 3.0, 2.0, 4.0].into_iter()).unwrap();
        assert_eq!((s.count, s.low, s.median, s.high), (5, 2.0, 3.0, 4.0));
        assert!(Summary::of(std::iter::empty()).is_none());
    }
}
