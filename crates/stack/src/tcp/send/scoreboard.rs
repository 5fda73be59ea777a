//! The scoreboard: which octets in flight the peer says it has, and what follows from that (RFC 6675).
//!
//! ```text
//!   SND.UNA          HighRxt      lost before here                         SND.NXT
//!      ▼                ▼              ▼                                      ▼
//!      │   hole         │   ┌──────────┐ hole ┌────┐ hole ┌─────┐   hole      │
//!      │                    │  SACKed  │      │    │      │     │             │
//! ```
//!
//! Because three SACKed ranges above an octet make it lost, and so do two segments' worth of SACKed octets, an octet
//! that is not SACKed is lost exactly if it lies before one point, which the last three ranges decide.

use alloc::vec::Vec;

use crate::tcp::segment::{SackBlock, SackBlocks};
use crate::tcp::seq::SeqNumber;

/// DupThresh (RFC 6675 section 2).
pub(crate) const DUP_THRESH: u32 = 3;
/// Most ranges kept. A block that would make one more is ignored, which only means that its octets may be sent again.
const MAX_RANGES: usize = 1024;

/// What an ACK's SACK blocks brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Update {
    /// Octets that were not SACKed before.
    pub(crate) newly_sacked: u32,
    /// The peer got these twice (RFC 2883): the first block lies before SND.UNA, or within the second.
    pub(crate) dsack: Option<SackBlock>,
    /// Whether a newly SACKed octet lies before one that was SACKed earlier: the network reordered, or a hole was filled
    /// by a retransmission.
    pub(crate) below_high: bool,
}

/// Octets to send in recovery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NextSeg {
    /// The first octet.
    pub(crate) start: SeqNumber,
    /// How many; never 0, never more than a segment.
    pub(crate) len: u32,
    /// Why these.
    pub(crate) rule: Rule,
}

/// The rules of NextSeg() (RFC 6675 section 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// (1) The first octets that are lost and not sent again yet.
    Lost,
    /// (2) New data.
    New,
    /// (3) The first octets below a SACKed one that may be lost.
    MaybeLost,
    /// (4) The last octets in flight, once a recovery, if they have not gone again. HighRxt stays.
    Rescue,
}

/// SACKed octets between SND.UNA and SND.NXT; boxed by its owner, and dropped when [`Scoreboard::is_empty`] outside of
/// recovery.
///
/// `high_rxt` is always the sequence number *after* the highest octet sent again in this recovery (SND.UNA when there is
/// none).
#[derive(Debug, Default)]
pub(crate) struct Scoreboard {
    /// In sequence order; they neither overlap nor touch.
    ranges: Vec<SackBlock>,
    /// Octets in `ranges`.
    sacked: u32,
}

impl Scoreboard {
    /// Whether nothing is SACKed.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
    /// Octets SACKed above SND.UNA.
    #[inline]
    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }
    /// The sequence number after the highest SACKed octet.
    #[inline]
    pub(crate) fn high_sacked(&self) -> Option<SeqNumber> {
        self.ranges.last().map(|range| range.end)
    }
    /// Takes the blocks of an ACK (RFC 6675 section 4, Update()). `una` is SND.UNA after this ACK; an ACK older than that
    /// is not to be given, since its blocks would look like DSACK. Blocks that the peer cannot mean are ignored: empty,
    /// beyond `snd_nxt`, or before `una` other than as DSACK.
    pub(crate) fn update(&mut self, una: SeqNumber, blocks: &SackBlocks, snd_nxt: SeqNumber) -> Update {
        self.advance(una);
        let blocks = blocks.as_slice();
        let mut update = Update {
            dsack: dsack(una, blocks),
            ..Update::default()
        };
        let high = self.high_sacked();
        for block in &blocks[usize::from(update.dsack.is_some())..] {
            let start = block.start.later(una);
            let flight = snd_nxt.since(una);
            let fits = block.end.since(start) <= flight && block.end.since(una) <= flight;
            if fits && start.before(block.end) {
                let new = self.add(start, block.end);
                update.newly_sacked += new;
                update.below_high |= new > 0 && high.is_some_and(|high| start.before(high));
            }
        }
        update
    }
    /// SND.UNA moved: forgets what lies before it.
    pub(crate) fn advance(&mut self, una: SeqNumber) {
        let gone = self.ranges.partition_point(|range| range.end.at_or_before(una));
        for range in self.ranges.drain(..gone) {
            self.sacked -= range.end.since(range.start);
        }
        if let Some(first) = self.ranges.first_mut()
            && first.start.before(una)
        {
            self.sacked -= una.since(first.start);
            first.start = una;
        }
    }
    /// IsLost(): whether the octet at `seq`, which is not SACKed, is taken for lost: three SACKed ranges lie above it, or
    /// more than two segments' worth of SACKed octets.
    pub(crate) fn is_lost(&self, seq: SeqNumber, mss: u32) -> bool {
        self.lost_before(mss).is_some_and(|point| seq.before(point))
    }
    /// SetPipe(): octets believed to be in the network: those neither SACKed nor lost, and those sent again.
    pub(crate) fn pipe(&self, una: SeqNumber, nxt: SeqNumber, high_rxt: SeqNumber, mss: u32) -> u32 {
        let flight = nxt.since(una) - self.sacked;
        let sent_again = self.not_sacked_before(una, high_rxt.earlier(nxt));
        let lost = match self.lost_before(mss) {
            Some(point) => self.not_sacked_before(una, point),
            None => 0,
        };
        flight - lost + sent_again
    }
    /// NextSeg(): what to send next in recovery. `unsent` is how much new data there is that the peer's window lets go;
    /// `rescue` whether rule 4 may be used, which the owner allows once a recovery.
    pub(crate) fn next_seg(
        &self,
        una: SeqNumber,
        nxt: SeqNumber,
        high_rxt: SeqNumber,
        mss: u32,
        unsent: u32,
        rescue: bool,
    ) -> Option<NextSeg> {
        // The first octets not SACKed and not sent again, below a SACKed one: up to the next SACKed range.
        let from = high_rxt.later(una);
        let after = self.ranges.partition_point(|range| range.end.at_or_before(from));
        let hole = self.ranges.get(after).and_then(|range| {
            if from.before(range.start) {
                return Some((from, range.start));
            }
            let next = self.ranges.get(after + 1)?;
            Some((range.end, next.start))
        });
        let retransmit = |(start, end): (SeqNumber, SeqNumber), rule| NextSeg {
            start,
            len: end.since(start).min(mss),
            rule,
        };
        if let Some(hole) = hole
            && self.is_lost(hole.0, mss)
        {
            return Some(retransmit(hole, Rule::Lost));
        }
        if unsent > 0 {
            return Some(NextSeg {
                start: nxt,
                len: unsent.min(mss),
                rule: Rule::New,
            });
        }
        if let Some(hole) = hole {
            return Some(retransmit(hole, Rule::MaybeLost));
        }
        if !rescue {
            return None;
        }
        // What has gone again already is no rescue: the RFC does not say so, but it is there for a last segment of which no
        // SACK can tell, and would repeat what was sent a moment ago.
        let (start, end) = self.last_hole(una, nxt).filter(|(_, end)| end.after(from))?;
        let start = start.later(from);
        let len = end.since(start).min(mss);
        Some(NextSeg {
            start: end - len,
            len,
            rule: Rule::Rescue,
        })
    }

    /// Octets not SACKed are lost exactly if they lie before this point.
    fn lost_before(&self, mss: u32) -> Option<SeqNumber> {
        let mut above = 0;
        for (count, range) in (1..=DUP_THRESH).zip(self.ranges.iter().rev()) {
            above += range.end.since(range.start);
            if count == DUP_THRESH || above > (DUP_THRESH - 1) * mss {
                return Some(range.start);
            }
        }
        None
    }
    /// The first octet at or after `seq` that is not SACKed, and where the next SACKed range begins, if there is one: what
    /// goes again after a timeout.
    pub(crate) fn hole_from(&self, seq: SeqNumber) -> (SeqNumber, Option<SeqNumber>) {
        let after = self.ranges.partition_point(|range| range.end.at_or_before(seq));
        match self.ranges.get(after) {
            Some(range) if range.start.at_or_before(seq) => {
                (range.end, self.ranges.get(after + 1).map(|next| next.start))
            }
            Some(range) => (seq, Some(range.start)),
            None => (seq, None),
        }
    }
    /// Octets from `una` up to `point` that are not SACKed.
    pub(crate) fn not_sacked_before(&self, una: SeqNumber, point: SeqNumber) -> u32 {
        if point.at_or_before(una) {
            return 0;
        }
        let index = self.ranges.partition_point(|range| range.start.before(point));
        let sum = |ranges: &[SackBlock]| ranges.iter().map(|r| r.end.since(r.start)).sum::<u32>();
        // From whichever end is nearer: recovery asks near the ends.
        let mut sacked = if index <= self.ranges.len() / 2 {
            sum(&self.ranges[..index])
        } else {
            self.sacked - sum(&self.ranges[index..])
        };
        if let Some(last) = index.checked_sub(1).and_then(|i| self.ranges.get(i))
            && last.end.after(point)
        {
            sacked -= last.end.since(point);
        }
        point.since(una) - sacked
    }
    /// The highest octets in flight that are not SACKed.
    fn last_hole(&self, una: SeqNumber, nxt: SeqNumber) -> Option<(SeqNumber, SeqNumber)> {
        let mut end = nxt;
        for range in self.ranges.iter().rev() {
            if range.end.before(end) {
                return Some((range.end, end));
            }
            end = range.start;
        }
        una.before(end).then_some((una, end))
    }
    /// Adds a range that lies in flight; returns how many of its octets are new.
    fn add(&mut self, start: SeqNumber, end: SeqNumber) -> u32 {
        let from = self.ranges.partition_point(|range| range.end.before(start));
        let to = from + self.ranges[from..].partition_point(|range| range.start.at_or_before(end));
        if from == to {
            if self.ranges.len() >= MAX_RANGES {
                return 0;
            }
            self.ranges.insert(from, SackBlock { start, end });
            self.sacked += end.since(start);
            return end.since(start);
        }
        let had: u32 = self.ranges[from..to].iter().map(|r| r.end.since(r.start)).sum();
        let merged = SackBlock {
            start: start.earlier(self.ranges[from].start),
            end: end.later(self.ranges[to - 1].end),
        };
        self.ranges[from] = merged;
        self.ranges.drain(from + 1..to);
        let new = merged.end.since(merged.start) - had;
        self.sacked += new;
        new
    }
}

/// The first block, if it reports octets received twice (RFC 2883 section 4): it lies before the cumulative ACK, or
/// within the second block.
fn dsack(una: SeqNumber, blocks: &[SackBlock]) -> Option<SackBlock> {
    let first = *blocks.first()?;
    if !first.start.before(first.end) {
        return None;
    }
    let acknowledged = first.end.at_or_before(una);
    let within = blocks
        .get(1)
        .is_some_and(|second| first.start.at_or_after(second.start) && first.end.at_or_before(second.end));
    (acknowledged || within).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks(list: &[(u32, u32)]) -> SackBlocks {
        let mut blocks = SackBlocks::NONE;
        for &(start, end) in list {
            blocks.push(SackBlock {
                start: SeqNumber(start),
                end: SeqNumber(end),
            });
        }
        blocks
    }

    #[test]
    fn nonsense_is_ignored() {
        let mut board = Scoreboard::default();
        let (una, nxt) = (SeqNumber(1000), SeqNumber(2000));
        for block in [
            (1500, 1500),
            (1600, 1500),
            (1900, 2001),
            (3000, 3100),
            (900, 2001),
        ] {
            assert_eq!(
                board.update(una, &blocks(&[block]), nxt),
                Update::default(),
                "{block:?}"
            );
        }
        assert!(board.is_empty());
        assert_eq!(
            board.update(una, &blocks(&[(900, 1100)]), nxt).newly_sacked,
            100,
            "the rest of an old block"
        );
    }

    /// RFC 2883 sections 4.1 and 4.2.
    ///
    /// Proves: 2883-5.
    #[test]
    fn dsack_is_told_and_not_counted() {
        let mut board = Scoreboard::default();
        let (una, nxt) = (SeqNumber(1000), SeqNumber(2000));
        let update = board.update(una, &blocks(&[(500, 600), (1200, 1300)]), nxt);
        assert_eq!(
            (update.newly_sacked, update.dsack),
            (100, Some(blocks(&[(500, 600)]).as_slice()[0]))
        );
        let update = board.update(una, &blocks(&[(1210, 1220), (1200, 1300)]), nxt);
        assert_eq!((update.newly_sacked, update.dsack.is_some()), (0, true));
        let update = board.update(una, &blocks(&[(1400, 1500), (1200, 1300)]), nxt);
        assert_eq!(
            (update.newly_sacked, update.dsack, update.below_high),
            (100, None, false)
        );
        assert!(board.update(una, &blocks(&[(1100, 1110)]), nxt).below_high);
    }

    #[test]
    fn too_many_ranges_are_ignored() {
        let mut board = Scoreboard::default();
        let (una, nxt) = (SeqNumber(0), SeqNumber(100_000));
        for i in 0..2 * MAX_RANGES as u32 {
            let _ = board.update(una, &blocks(&[(10 + 2 * i, 11 + 2 * i)]), nxt);
        }
        assert_eq!(
            (board.ranges.len(), board.sacked()),
            (MAX_RANGES, MAX_RANGES as u32)
        );
        assert_eq!(
            board.update(una, &blocks(&[(1, 90_000)]), nxt).newly_sacked,
            89_999 - MAX_RANGES as u32
        );
    }

    /// One flag an octet, and RFC 6675 section 4 to the letter. Octets are numbered from SND.UNA.
    struct Naive {
        sacked: std::vec::Vec<bool>,
        mss: u32,
    }
    impl Naive {
        fn is_lost(&self, seq: u32) -> bool {
            let above = &self.sacked[seq as usize + 1..];
            let octets = above.iter().filter(|s| **s).count() as u32;
            let sequences = above
                .iter()
                .enumerate()
                .filter(|&(i, s)| *s && (i == 0 || !above[i - 1]))
                .count();
            sequences >= 3 || octets > 2 * self.mss
        }
        fn pipe(&self, high_rxt: u32) -> u32 {
            let mut pipe = 0;
            for s1 in 0..self.sacked.len() as u32 {
                if !self.sacked[s1 as usize] {
                    pipe += u32::from(!self.is_lost(s1));
                    pipe += u32::from(s1 < high_rxt);
                }
            }
            pipe
        }
        fn segment_from(&self, start: u32) -> u32 {
            let open = self.sacked[start as usize..].iter().take_while(|s| !**s);
            (open.count() as u32).min(self.mss)
        }
        fn next_seg(&self, high_rxt: u32, unsent: u32, rescue: bool) -> Option<(u32, u32, Rule)> {
            let highest = self.sacked.iter().rposition(|s| *s).unwrap_or(0) as u32;
            let open = |s: &u32| !self.sacked[*s as usize];
            let candidates = || (high_rxt..highest.max(high_rxt)).filter(open);
            if let Some(s2) = candidates().find(|&s| self.is_lost(s)) {
                return Some((s2, self.segment_from(s2), Rule::Lost));
            }
            let nxt = self.sacked.len() as u32;
            if unsent > 0 {
                return Some((nxt, unsent.min(self.mss), Rule::New));
            }
            if let Some(s3) = candidates().next() {
                return Some((s3, self.segment_from(s3), Rule::MaybeLost));
            }
            if !rescue {
                return None;
            }
            let last = (0..nxt).rev().find(open)?;
            // Ours: only what has not gone again.
            let start = (high_rxt..=last)
                .rev()
                .take_while(open)
                .take(self.mss as usize)
                .last()?;
            Some((start, last + 1 - start, Rule::Rescue))
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]
        /// Proves: 6675-2.
        #[test]
        fn agrees_with_the_rfc_to_the_letter(
            base in prop_oneof![Just(0u32), Just(u32::MAX - 40), any::<u32>()],
            flight in 1u32..90,
            mss in 1u32..12,
            acks in prop::collection::vec((0u32..8, prop::collection::vec((0u32..90, 1u32..12), 0..4)), 1..12),
            high in 0u32..90,
            unsent in 0u32..20,
            rescue in any::<bool>(),
        ) {
            let mut board = Scoreboard::default();
            let mut una = SeqNumber(base);
            let nxt = una + flight;
            let mut naive = Naive { sacked: std::vec![false; flight as usize], mss };
            for (acked, list) in acks {
                let acked = acked.min(nxt.since(una));
                una += acked;
                naive.sacked.drain(..acked as usize);
                let left = naive.sacked.len() as u32;
                let list: std::vec::Vec<_> =
                    list.into_iter().map(|(s, n)| (s, s + n)).filter(|&(_, end)| end <= left).collect();
                // What would be a DSACK is not new by definition.
                let dsack = list.len() > 1 && list[0].0 >= list[1].0 && list[0].1 <= list[1].1;
                let mut new = 0;
                for &(start, end) in &list[usize::from(dsack)..] {
                    for octet in &mut naive.sacked[start as usize..end as usize] {
                        new += u32::from(!core::mem::replace(octet, true));
                    }
                }
                let absolute: std::vec::Vec<_> =
                    list.iter().map(|&(s, e)| ((una + s).0, (una + e).0)).collect();
                let update = board.update(una, &blocks(&absolute), nxt);
                prop_assert_eq!((update.newly_sacked, update.dsack.is_some()), (new, dsack));

                let open = |s: &u32| !naive.sacked[*s as usize];
                for seq in (0..left).filter(open) {
                    prop_assert_eq!(board.is_lost(una + seq, mss), naive.is_lost(seq), "octet {}", seq);
                }
                let high = high.min(left);
                prop_assert_eq!(board.pipe(una, nxt, una + high, mss), naive.pipe(high));
                let next = board.next_seg(una, nxt, una + high, mss, unsent, rescue);
                let next = next.map(|n| (n.start.since(una), n.len, n.rule));
                prop_assert_eq!(next, naive.next_seg(high, unsent, rescue));
                prop_assert_eq!(board.sacked() as usize, naive.sacked.iter().filter(|s| **s).count());
                let highest = naive.sacked.iter().rposition(|s| *s).map(|i| una + i as u32 + 1);
                prop_assert_eq!(board.high_sacked(), highest);
            }
        }
    }
}
