//! What was observed, to be asked.

use sockeye_stack::tcp::{Flags, Segment, SeqNumber, State};
use sockeye_stack::trace::{Cause, DropReason, Timer, TraceKind, Transition, Tuple};
use sockeye_stack::{Duration, Instant};
use sockeye_view::{LinkLoss, Record, What, WireEvent};

use crate::world::NodeId;

/// All records of a scene.
#[derive(Default, Debug)]
pub struct Log(Vec<Record>);

/// A segment that a host sent or received.
#[derive(Clone, Copy, Debug)]
pub struct Seg {
    /// When.
    pub at: Instant,
    /// Whose, as this host sees it.
    pub tuple: Tuple,
    /// Its header.
    pub segment: Segment,
    /// Why it was sent; `None` for one that was received.
    pub cause: Option<Cause>,
}

impl Seg {
    /// Whether it carries exactly these control bits, PSH aside.
    pub fn is(&self, flags: Flags) -> bool {
        self.segment.flags - Flags::PSH == flags
    }
    /// Whether it carries octets.
    pub fn is_data(&self) -> bool {
        self.segment.payload_len > 0
    }
    /// Whether it was sent again.
    pub fn is_again(&self) -> bool {
        matches!(self.cause, Some(Cause::Retransmit(_)))
    }
}

/// SYN and ACK.
pub(super) const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);
/// FIN and ACK.
pub(super) const FIN_ACK: Flags = Flags::FIN.union(Flags::ACK);

impl Log {
    pub(super) fn push(&mut self, record: Record) {
        self.0.push(record);
    }
    fn of(&self, host: NodeId) -> impl Iterator<Item = (Instant, &TraceKind)> {
        self.0
            .iter()
            .filter(move |record| record.host == host.index())
            .filter_map(|record| match &record.what {
                What::Stack(event) => Some((event.at, &event.kind)),
                _ => None,
            })
    }
    /// The segments that a host sent.
    pub fn sent(&self, host: NodeId) -> Vec<Seg> {
        let sent = self.of(host).filter_map(|(at, kind)| match kind {
            TraceKind::SegmentOut {
                tuple,
                segment,
                cause,
            } => Some(Seg {
                at,
                tuple: *tuple,
                segment: *segment,
                cause: Some(*cause),
            }),
            _ => None,
        });
        sent.collect()
    }
    /// The segments that a host received.
    pub fn received(&self, host: NodeId) -> Vec<Seg> {
        let received = self.of(host).filter_map(|(at, kind)| match kind {
            TraceKind::SegmentIn { tuple, segment } => Some(Seg {
                at,
                tuple: *tuple,
                segment: *segment,
                cause: None,
            }),
            _ => None,
        });
        received.collect()
    }
    /// The segments that a host sent for this reason.
    pub fn caused(&self, host: NodeId, cause: Cause) -> Vec<Seg> {
        self.sent(host)
            .into_iter()
            .filter(|seg| seg.cause == Some(cause))
            .collect()
    }
    /// The changes of state at a host, of all its connections.
    pub fn changes(&self, host: NodeId) -> Vec<(Instant, State, State, Transition)> {
        let changes = self.of(host).filter_map(|(at, kind)| match kind {
            TraceKind::State { from, to, why, .. } => Some((at, *from, *to, *why)),
            _ => None,
        });
        changes.collect()
    }
    /// The states at a host, `CLOSED → SYN-SENT → ESTABLISHED`.
    pub fn walk(&self, host: NodeId) -> String {
        let mut out = String::new();
        let mut last = None;
        for (_, from, to, _) in self.changes(host) {
            if last != Some(from) {
                if last.is_some() {
                    out.push_str(", ");
                }
                out.push_str(&from.to_string());
            }
            out.push_str(&format!(" → {to}"));
            last = Some(to);
        }
        out
    }
    /// When a host first came into this state.
    pub fn entered(&self, host: NodeId, state: State) -> Option<Instant> {
        self.changes(host)
            .into_iter()
            .find(|(_, _, to, _)| *to == state)
            .map(|(at, ..)| at)
    }
    /// The initial sequence number of the first connection that a host opened or answered.
    pub fn initial(&self, host: NodeId) -> SeqNumber {
        let syn = self
            .sent(host)
            .into_iter()
            .find(|seg| seg.segment.flags.contains(Flags::SYN));
        syn.map_or(SeqNumber(0), |seg| seg.segment.seq)
    }
    /// Drops at a host for this reason.
    pub fn drops(&self, host: NodeId, why: DropReason) -> usize {
        self.of(host)
            .filter(|(_, kind)| matches!(kind, TraceKind::Dropped { reason, .. } if *reason == why))
            .count()
    }
    /// When this timer went off at a host.
    pub fn fired(&self, host: NodeId, which: Timer) -> Vec<Instant> {
        let fired = self
            .of(host)
            .filter(|(_, kind)| matches!(kind, TraceKind::TimerFired { timer } if *timer == which));
        fired.map(|(at, _)| at).collect()
    }
    /// Frames that a node put on a link, with their octets.
    pub fn frames(&self, node: NodeId) -> Vec<(Instant, &[u8])> {
        let frames = self.0.iter().filter(|record| record.host == node.index());
        let frames = frames.filter_map(|record| match &record.what {
            What::Wire(WireEvent::Sent { bytes, .. }) => Some((record.at, &bytes[..])),
            _ => None,
        });
        frames.collect()
    }
    /// Frames that reached a node, with their octets.
    pub fn arrivals(&self, node: NodeId) -> Vec<(Instant, &[u8])> {
        let frames = self.0.iter().filter(|record| record.host == node.index());
        let frames = frames.filter_map(|record| match &record.what {
            What::Wire(WireEvent::Arrived { bytes, .. }) => Some((record.at, &bytes[..])),
            _ => None,
        });
        frames.collect()
    }
    /// Frames of a node that links lost for this reason.
    pub fn lost(&self, node: NodeId, why: LinkLoss) -> usize {
        let lost = self.0.iter().filter(|record| record.host == node.index());
        lost.filter(
            |record| matches!(&record.what, What::Wire(WireEvent::Lost { why: own, .. }) if *own == why),
        )
        .count()
    }
}

/// The spans between moments.
pub(super) fn gaps(times: &[Instant]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Items as text with commas between them.
pub(super) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items
        .into_iter()
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// A value, or that there is none.
pub(super) fn or_nothing<T: ToString>(value: Option<T>) -> String {
    value.map_or("nothing".to_string(), |value| value.to_string())
}
