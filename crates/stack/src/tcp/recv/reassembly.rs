//! Reassembly: octets that came out of order, until the ones before them come.
//!
//! ```text
//!   RCV.NXT                                          RCV.NXT + RCV.WND
//!      ▼                                                    ▼
//!      │        ┌──────────────┐      ┌─────┐               │
//!      │  hole  │ run of parts │ hole │ run │               │
//!      │        └──────────────┘      └─────┘               │
//! ```
//!
//! Runs neither overlap nor touch, so each run is a SACK block.

use alloc::collections::VecDeque;
use bytes::Bytes;

use super::queue::COPY_MAX;
use crate::frame::Payload;
use crate::rope::Rope;
use crate::tcp::segment::{SackBlock, SackBlocks};
use crate::tcp::seq::SeqNumber;

/// Most runs held. With a hole before each, a sender would have lost as many separate segments.
const MAX_RUNS: usize = 1024;
/// Most slices held: bounds what a peer that sends single octets can make us keep beside its window.
const MAX_PARTS: usize = 16 * 1024;

/// What [`Reassembly::insert`] did with a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Inserted {
    /// Octets that were not held before.
    pub(crate) new_octets: u32,
    /// The first octets of the segment that were held already, for a DSACK block (RFC 2883 section 4).
    pub(crate) duplicate: Option<SackBlock>,
}

/// The segment was refused: too many runs or slices are held. The peer will send it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReassemblyFull;

/// Octets received out of order; boxed by its owner, and dropped when [`Reassembly::is_empty`].
///
/// Bounds: the octets held are those of the receive window, since the owner cuts segments at its end before it
/// inserts them; runs and slices have bounds here, and a segment beyond them is refused. Where segments overlap, what
/// came first stays.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    runs: VecDeque<Run>,
    octets: u32,
    parts: u32,
    /// Counts insertions, to tell which run was touched last.
    clock: u32,
}

#[derive(Debug)]
struct Run {
    start: SeqNumber,
    end: SeqNumber,
    /// The clock when a segment last fell in this run.
    touched: u32,
    parts: Rope,
}

impl Reassembly {
    /// An empty store.
    pub(crate) fn new() -> Self {
        Reassembly::default()
    }
    /// Whether nothing is held.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
    /// Octets held.
    #[inline]
    #[cfg(test)]
    pub(crate) fn octets(&self) -> u32 {
        self.octets
    }
    /// Runs held: holes before the last octet received.
    #[inline]
    #[cfg(test)]
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }
    /// Stores the octets of a segment that begins at `seq`. The owner has cut it to the receive window.
    ///
    /// Constant time for a segment that continues the last run, else a binary search among the runs.
    pub(crate) fn insert(&mut self, seq: SeqNumber, payload: Payload) -> Result<Inserted, ReassemblyFull> {
        let end = seq + payload.len() as u32;
        let (from, to) = match self.runs.back() {
            Some(last) if seq == last.end => (self.runs.len() - 1, self.runs.len()),
            _ => (
                self.runs.partition_point(|run| run.end.before(seq)),
                self.runs.partition_point(|run| run.start.at_or_before(end)),
            ),
        };
        if payload.is_empty() {
            return Ok(Inserted {
                new_octets: 0,
                duplicate: None,
            });
        }
        // Every run that the segment spans splits it once more.
        let most_parts = self.parts as usize + payload.parts().len() + to.saturating_sub(from);
        if most_parts > MAX_PARTS || (from >= to && self.runs.len() >= MAX_RUNS) {
            return Err(ReassemblyFull);
        }
        self.clock = self.clock.wrapping_add(1);
        let payload = if payload.len() <= COPY_MAX {
            Payload::from(Bytes::from(payload.to_vec()))
        } else {
            payload
        };
        let before = self.octets;
        if from >= to {
            let mut run = Run {
                start: seq,
                end: seq,
                touched: self.clock,
                parts: Rope::new(),
            };
            self.extend(&mut run, &payload, seq, end);
            self.runs.insert(from, run);
            return Ok(Inserted {
                new_octets: self.octets - before,
                duplicate: None,
            });
        }
        let duplicate = self.runs.range(from..to).find_map(|run| {
            let (start, end) = (seq.later(run.start), end.earlier(run.end));
            start.before(end).then_some(SackBlock { start, end })
        });
        self.merge(from, to, seq, &payload);
        Ok(Inserted {
            new_octets: self.octets - before,
            duplicate,
        })
    }
    /// Makes one run of the runs `from..to`, all of which the segment at `seq` touches, and the segment itself.
    fn merge(&mut self, from: usize, to: usize, seq: SeqNumber, payload: &Payload) {
        let end = seq + payload.len() as u32;
        let touched = self.clock;
        let mut run = core::mem::replace(
            &mut self.runs[from],
            Run {
                start: seq,
                end: seq,
                touched,
                parts: Rope::new(),
            },
        );
        if seq.before(run.start) {
            let piece = payload.slice(0, run.start.since(seq) as usize);
            self.octets += piece.len() as u32;
            self.parts += piece.parts().len() as u32;
            for part in piece.parts().iter().rev() {
                run.parts.push_front(part.clone());
            }
            run.start = seq;
        }
        for i in from + 1..to {
            let next = core::mem::replace(
                &mut self.runs[i],
                Run {
                    start: end,
                    end,
                    touched,
                    parts: Rope::new(),
                },
            );
            self.extend(&mut run, payload, seq, next.start);
            run.parts.append(next.parts);
            run.end = next.end;
        }
        self.extend(&mut run, payload, seq, end);
        run.touched = touched;
        self.runs[from] = run;
        self.runs.drain(from + 1..to);
    }
    /// Appends to `run` the octets of `payload`, which begins at `seq`, from the run's end up to `to`.
    fn extend(&mut self, run: &mut Run, payload: &Payload, seq: SeqNumber, to: SeqNumber) {
        if !run.end.before(to) {
            return;
        }
        let piece = payload.slice(run.end.since(seq) as usize, to.since(seq) as usize);
        self.octets += piece.len() as u32;
        self.parts += piece.parts().len() as u32;
        for part in piece.parts() {
            run.parts.push(part.clone());
        }
        run.end = to;
    }
    /// Takes octets that stand at `rcv_nxt`, where there are any, dropping what lies before. Call until it gives
    /// nothing, moving `rcv_nxt` on: each call hands out two slices at most and so allocates nothing.
    pub(crate) fn take_contiguous(&mut self, rcv_nxt: SeqNumber) -> Option<Payload> {
        loop {
            let run = self.runs.front_mut()?;
            if run.start.after(rcv_nxt) {
                return None;
            }
            let old = rcv_nxt.earlier(run.end).since(run.start);
            let mut gone = run.parts.advance(old as usize, drop) as u32;
            let mut out = Payload::new();
            while out.parts().len() < 2
                && let Some(part) = run.parts.pop()
            {
                gone += 1;
                out.push(part);
            }
            let taken = old + out.len() as u32;
            run.start += taken;
            if run.start == run.end {
                self.runs.pop_front();
            }
            self.octets -= taken;
            self.parts -= gone;
            if !out.is_empty() {
                return Some(out);
            }
        }
    }
    /// The SACK option for an ACK sent now: `duplicate` first, where there is one (RFC 2883 section 4), then the run in
    /// which the last segment fell, then the others from the last touched on (RFC 2018 section 4).
    pub(crate) fn sack_blocks(&self, duplicate: Option<SackBlock>) -> SackBlocks {
        let mut latest: [Option<&Run>; 4] = [None; 4];
        // Ages, since the clock wraps.
        let age = |run: &Run| self.clock.wrapping_sub(run.touched);
        for run in &self.runs {
            if latest[3].is_some_and(|fourth| age(run) >= age(fourth)) {
                continue;
            }
            let mut candidate = Some(run);
            for place in &mut latest {
                if place.is_none_or(|other| candidate.is_some_and(|run| age(run) < age(other))) {
                    core::mem::swap(place, &mut candidate);
                }
                if candidate.is_none() {
                    break;
                }
            }
        }
        let mut blocks = SackBlocks::NONE;
        if let Some(block) = duplicate {
            blocks.push(block);
        }
        for run in latest.into_iter().flatten() {
            blocks.push(SackBlock {
                start: run.start,
                end: run.end,
            });
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn block(start: u32, end: u32) -> SackBlock {
        SackBlock {
            start: SeqNumber(start),
            end: SeqNumber(end),
        }
    }
    fn insert(store: &mut Reassembly, start: u32, end: u32) -> Inserted {
        let payload = Payload::from(std::vec![0; (end - start) as usize]);
        store.insert(SeqNumber(start), payload).unwrap()
    }

    /// RFC 2018 section 4: the first block holds the segment that caused the ACK, the others the most recent ones.
    ///
    /// Proves: 2018-4a.
    #[test]
    fn sack_blocks_latest_first() {
        let mut store = Reassembly::new();
        for start in [10, 30, 50, 70, 90] {
            insert(&mut store, start, start + 5);
        }
        let blocks = |store: &Reassembly| store.sack_blocks(None).as_slice().to_vec();
        assert_eq!(
            blocks(&store),
            [block(90, 95), block(70, 75), block(50, 55), block(30, 35)]
        );
        insert(&mut store, 15, 20);
        assert_eq!(
            blocks(&store),
            [block(10, 20), block(90, 95), block(70, 75), block(50, 55)]
        );
        insert(&mut store, 55, 70);
        assert_eq!(
            blocks(&store),
            [block(50, 75), block(10, 20), block(90, 95), block(30, 35)]
        );
        let with = store.sack_blocks(Some(block(1, 2)));
        assert_eq!(
            with.as_slice(),
            [block(1, 2), block(50, 75), block(10, 20), block(90, 95)]
        );
    }

    /// RFC 2883 section 4: the first duplicate octets of the segment, and then the run they lie in.
    ///
    /// Proves: 2883-4b.
    #[test]
    fn duplicates_are_told_for_dsack() {
        let mut store = Reassembly::new();
        insert(&mut store, 10, 20);
        insert(&mut store, 30, 40);
        let again = insert(&mut store, 15, 35);
        assert_eq!(
            again,
            Inserted {
                new_octets: 10,
                duplicate: Some(block(15, 20))
            }
        );
        assert_eq!(insert(&mut store, 12, 14).duplicate, Some(block(12, 14)));
        assert_eq!(store.runs(), 1);
    }

    #[test]
    fn too_many_runs_are_refused_and_the_rest_goes_on() {
        let mut store = Reassembly::new();
        for i in 0..MAX_RUNS as u32 {
            insert(&mut store, 10 + 2 * i, 11 + 2 * i);
        }
        let refused = store.insert(SeqNumber(9000), Payload::from(std::vec![0]));
        assert_eq!(refused, Err(ReassemblyFull));
        assert_eq!(insert(&mut store, 10, 9000).new_octets, 8990 - MAX_RUNS as u32);
        assert!(store.take_contiguous(SeqNumber(9000)).is_none());
        assert!(store.is_empty() && store.octets() == 0 && store.parts == 0);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u32, Vec<usize>),
        Take(u32),
    }
    const WINDOW: u32 = 3000;
    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => (0..WINDOW, prop::collection::vec(0usize..60, 0..3)).prop_map(|(at, n)| Op::Insert(at, n)),
            2 => (0..WINDOW, prop::collection::vec(400usize..700, 0..3)).prop_map(|(at, n)| Op::Insert(at, n)),
            1 => (0u32..300).prop_map(Op::Take),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn behaves_as_a_map_of_octets(
            base in prop_oneof![Just(0u32), Just(u32::MAX - 1500), any::<u32>()],
            ops in prop::collection::vec(op(), 0..120),
        ) {
            let mut store = Reassembly::new();
            let mut nxt = SeqNumber(base);
            // Octets by their distance from the first RCV.NXT.
            let mut model: BTreeMap<u32, u8> = BTreeMap::new();
            let mut octets = (0u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
            for op in ops {
                match op {
                    Op::Insert(at, sizes) => {
                        let mut payload = Payload::new();
                        for n in sizes {
                            payload.push(octets.by_ref().take(n).collect::<Vec<_>>().into());
                        }
                        payload.truncate((WINDOW - at) as usize);
                        let first = (nxt + at).since(SeqNumber(base));
                        let data = payload.to_vec();
                        let was: Vec<u32> = (first..first + data.len() as u32).filter(|i| model.contains_key(i)).collect();
                        for (i, octet) in data.iter().enumerate() {
                            model.entry(first + i as u32).or_insert(*octet);
                        }
                        let got = store.insert(nxt + at, payload).unwrap();
                        prop_assert_eq!(got.new_octets as usize, data.len() - was.len());
                        let duplicate = was.first().map(|&start| {
                            let len = was.iter().zip(start..).take_while(|(a, b)| **a == *b).count() as u32;
                            SackBlock { start: SeqNumber(base) + start, end: SeqNumber(base) + start + len }
                        });
                        prop_assert_eq!(got.duplicate, duplicate);
                        if !data.is_empty() {
                            let latest = store.sack_blocks(None).as_slice()[0];
                            prop_assert!((nxt + at).within(latest.start, latest.end.since(latest.start)));
                        }
                    }
                    Op::Take(skip) => {
                        nxt += skip;
                        let mut at = nxt.since(SeqNumber(base));
                        model = model.split_off(&at);
                        while let Some(payload) = store.take_contiguous(nxt) {
                            prop_assert!(!payload.is_empty() && payload.parts().len() <= 2);
                            for octet in payload.to_vec() {
                                prop_assert_eq!(model.remove(&at), Some(octet));
                                at += 1;
                            }
                            nxt += payload.len() as u32;
                        }
                        prop_assert!(!model.contains_key(&at));
                    }
                }
                prop_assert_eq!(store.octets() as usize, model.len());
                prop_assert_eq!(store.parts as usize, store.runs.iter().map(|r| r.parts.parts()).sum::<usize>());
                let mut blocks: Vec<(u32, u32)> = Vec::new();
                for &i in model.keys() {
                    match blocks.last_mut() {
                        Some((_, end)) if *end == i => *end += 1,
                        _ => blocks.push((i, i + 1)),
                    }
                }
                let runs: Vec<_> = store.runs.iter()
                    .map(|r| (r.start.since(SeqNumber(base)), r.end.since(SeqNumber(base)))).collect();
                prop_assert_eq!(runs, blocks);
                prop_assert_eq!(store.sack_blocks(None).as_slice().len(), store.runs().min(4));
            }
        }
    }
}
