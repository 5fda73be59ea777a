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
    /// (4) The last octets in flight, once a recovery. HighRxt stays.
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
    /// Nothing SACKed.
    pub(crate) const fn new() -> Self {
        Scoreboard {
            ranges: Vec::new(),
            sacked: 0,
        }
    }
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
    /// Forgets everything: after a retransmission timeout the peer may have reneged (RFC 2018 section 8).
    pub(crate) fn clear(&mut self) {
        self.ranges = Vec::new();
        self.sacked = 0;
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
    /// Whether the octet at SND.UNA is lost: recovery begins (RFC 6675 section 5 step 2).
    pub(crate) fn dupthresh_reached(&self, una: SeqNumber, mss: u32) -> bool {
        self.is_lost(una, mss)
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
        self.last_hole(una, nxt).map(|(start, end)| NextSeg {
            start: start.later(end - mss.min(end.since(start))),
            len: end.since(start).min(mss),
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
    /// Octets from `una` up to `point` that are not SACKed.
    fn not_sacked_before(&self, una: SeqNumber, point: SeqNumber) -> u32 {
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
