//! Links: two ends, a lane each way, and the faults that a scenario asks for.

use std::fmt;

use sockeye_stack::{Frame, Instant, Medium};
use sockeye_view::LinkLoss;

use crate::impair::{Channel, Fate, Impairments};
use crate::packet::{Packet, is_ecn_capable, link_header};
use crate::rng::Rng;

/// A lane of a link: from the first node given to `link` to the second, or back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the first to the second.
    Forward,
    /// From the second to the first.
    Backward,
}

/// What one lane has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkStats {
    /// Frames that entered.
    pub sent: u64,
    /// Their octets.
    pub bytes: u64,
    /// Frames lost, for whatever reason.
    pub lost: u64,
    /// Of these, lost because the queue was full.
    pub queue_full: u64,
    /// Frames that arrive twice.
    pub duplicated: u64,
    /// Frames with a bit turned over.
    pub corrupted: u64,
    /// Frames held back.
    pub reordered: u64,
    /// Frames marked with CE.
    pub marked: u64,
}

type Chooser = Box<dyn FnMut(&Packet) -> bool + Send>;

/// A fault that the scenario asked for.
struct Fault {
    chosen: Chooser,
    lose: Lose,
}

enum Lose {
    /// Every chosen frame.
    Every,
    /// The one that comes after so many chosen ones, and no more.
    After(u64),
}

impl Fault {
    /// Whether this frame is to be lost.
    fn strikes(&mut self, packet: &Packet) -> bool {
        if !(self.chosen)(packet) {
            return false;
        }
        match &mut self.lose {
            Lose::Every | Lose::After(0) => true,
            Lose::After(n) => {
                *n -= 1;
                false
            }
        }
    }
}

/// One direction.
pub(crate) struct Lane {
    pub(crate) figures: Impairments,
    pub(crate) channel: Channel,
    pub(crate) stats: LinkStats,
    faults: Vec<Fault>,
}

impl Lane {
    pub(crate) fn new(rng: Rng) -> Lane {
        Lane {
            figures: Impairments::default(),
            channel: Channel::new(rng),
            stats: LinkStats::default(),
            faults: Vec::new(),
        }
    }
    /// Loses the `nth` of those that `chosen` chooses, counted from now and from 1; every one without `nth`.
    pub(crate) fn lose(&mut self, nth: Option<u64>, chosen: Chooser) {
        let lose = nth.map_or(Lose::Every, |nth| Lose::After(nth.saturating_sub(1)));
        self.faults.push(Fault { chosen, lose });
    }
    pub(crate) fn clear_faults(&mut self) {
        self.faults.clear();
    }
    /// A frame enters: when it arrives, or why it does not.
    pub(crate) fn send(&mut self, now: Instant, frame: &Frame, medium: Medium) -> Result<Fate, LinkLoss> {
        self.stats.sent += 1;
        self.stats.bytes += frame.len() as u64;
        let lost = self.lost_by_rule(frame, medium);
        let fate = match lost {
            Some(why) => Err(why),
            None => match self
                .channel
                .send(now, frame.len(), is_ecn_capable(frame, medium), &self.figures)
            {
                Fate::QueueFull => Err(LinkLoss::QueueFull),
                Fate::Lost => Err(LinkLoss::Random),
                fate => Ok(fate),
            },
        };
        match fate {
            Ok(Fate::Arrives {
                again,
                corrupted,
                reordered,
                marked,
                ..
            }) => {
                self.stats.duplicated += u64::from(again.is_some());
                self.stats.corrupted += u64::from(corrupted);
                self.stats.reordered += u64::from(reordered);
                self.stats.marked += u64::from(marked);
            }
            _ => self.stats.lost += 1,
        }
        self.stats.queue_full += u64::from(fate == Err(LinkLoss::QueueFull));
        fate
    }
    /// What needs no dice.
    fn lost_by_rule(&mut self, frame: &Frame, medium: Medium) -> Option<LinkLoss> {
        if self.figures.down {
            return Some(LinkLoss::Down);
        }
        if self.is_chosen(frame, medium) {
            return Some(LinkLoss::Chosen);
        }
        let len = frame.len() - link_header(medium).min(frame.len());
        (len > self.figures.mtu as usize).then_some(LinkLoss::TooBig)
    }
    fn is_chosen(&mut self, frame: &Frame, medium: Medium) -> bool {
        if self.faults.is_empty() {
            return false;
        }
        let Some(packet) = Packet::parse(frame, medium) else {
            return false;
        };
        let mut lost = false;
        self.faults.retain_mut(|fault| {
            let strikes = fault.strikes(&packet);
            lost |= strikes;
            !strikes || matches!(fault.lose, Lose::Every)
        });
        lost
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("figures", &self.figures)
            .field("stats", &self.stats)
            .finish()
    }
}

/// Two ends and two lanes.
#[derive(Debug)]
pub(crate) struct Link {
    /// Node and port of each end.
    pub(crate) ends: [(u16, u16); 2],
    /// Forward and backward.
    pub(crate) lanes: [Lane; 2],
    /// Whether frames carry a link header.
    pub(crate) ethernet: bool,
}

impl Link {
    pub(crate) fn medium(&self) -> Medium {
        match self.ethernet {
            true => Medium::Ethernet { address: [0; 6] },
            false => Medium::Ip,
        }
    }
}
