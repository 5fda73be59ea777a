//! What a server counts, as Prometheus reads it (text exposition format 0.0.4).

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::packet::Kind;
use super::record::{Outcome, Record};

const OUTCOMES: [&str; 7] = [
    "done",
    "refused",
    "peer_error",
    "timed_out",
    "superseded",
    "stopped",
    "network",
];

/// Why a datagram was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drop {
    /// It is no TFTP packet.
    Malformed,
    /// It came from another port than the transfer's peer, or belongs to no transfer.
    Stray,
    /// A packet that makes no sense where the transfer is.
    Unexpected,
    /// A request that is being answered already.
    DuplicateRequest,
    /// A request above a limit on transfers, or beyond the system's means. The client will ask again.
    Busy,
    /// More datagrams for one transfer than its queue takes (single port only).
    QueueFull,
}
const DROPS: [&str; 6] = [
    "malformed",
    "stray",
    "unexpected",
    "duplicate_request",
    "busy",
    "queue_full",
];

/// Counters; all only grow, but for `active`.
#[derive(Debug, Default)]
pub struct Metrics {
    transfers: [[AtomicU64; OUTCOMES.len()]; 2],
    octets: [AtomicU64; 2],
    blocks: [AtomicU64; 2],
    retransmissions: [AtomicU64; 2],
    timeouts: [AtomicU64; 2],
    milliseconds: [AtomicU64; 2],
    drops: [AtomicU64; DROPS.len()],
    errors: [AtomicU64; 9],
    pub(super) active: AtomicU64,
}

fn side(kind: Kind) -> usize {
    match kind {
        Kind::Read => 0,
        Kind::Write => 1,
    }
}

impl Metrics {
    pub(super) fn dropped(&self, why: Drop) {
        self.drops[why as usize].fetch_add(1, Relaxed);
    }
    /// How many datagrams were dropped for this reason.
    pub fn drops(&self, why: Drop) -> u64 {
        self.drops[why as usize].load(Relaxed)
    }
    /// Transfers that are running.
    pub fn active(&self) -> u64 {
        self.active.load(Relaxed)
    }
    /// Transfers that ended so (the word of [`Outcome::word`]), both directions.
    pub fn transfers(&self, outcome: &str) -> u64 {
        let Some(place) = OUTCOMES.iter().position(|&o| o == outcome) else {
            return 0;
        };
        self.transfers.iter().map(|side| side[place].load(Relaxed)).sum()
    }
    pub(super) fn ended(&self, record: &Record) {
        let side = side(record.direction);
        let word = record.outcome.word();
        if let Some(place) = OUTCOMES.iter().position(|&o| o == word) {
            self.transfers[side][place].fetch_add(1, Relaxed);
        }
        self.octets[side].fetch_add(record.octets, Relaxed);
        self.blocks[side].fetch_add(record.blocks, Relaxed);
        self.retransmissions[side].fetch_add(record.retransmissions, Relaxed);
        self.timeouts[side].fetch_add(record.timeouts, Relaxed);
        self.milliseconds[side].fetch_add(record.milliseconds, Relaxed);
        if let Outcome::Refused(code, _) = &record.outcome {
            self.errors[usize::from(code.0).min(8)].fetch_add(1, Relaxed);
        }
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }
    fn write(&self, out: &mut String) -> std::fmt::Result {
        fn head(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
            writeln!(
                out,
                "# HELP sockeye_tftp_{name} {help}\n# TYPE sockeye_tftp_{name} {kind}"
            )
        }
        const SIDES: [&str; 2] = ["read", "write"];
        head(out, "transfers_total", "counter", "Transfers that have ended.")?;
        for (side, outcomes) in SIDES.iter().zip(&self.transfers) {
            for (outcome, n) in OUTCOMES.iter().zip(outcomes) {
                let labels = format_args!("direction=\"{side}\",outcome=\"{outcome}\"");
                writeln!(
                    out,
                    "sockeye_tftp_transfers_total{{{labels}}} {}",
                    n.load(Relaxed)
                )?;
            }
        }
        for (name, help, values) in [
            ("octets_total", "Octets of files, each once.", &self.octets),
            ("blocks_total", "Blocks, each once.", &self.blocks),
            (
                "retransmissions_total",
                "Blocks or ACKs sent again.",
                &self.retransmissions,
            ),
            (
                "timeouts_total",
                "Times that a transfer's timer ran out.",
                &self.timeouts,
            ),
        ] {
            head(out, name, "counter", help)?;
            for (side, n) in SIDES.iter().zip(values) {
                writeln!(
                    out,
                    "sockeye_tftp_{name}{{direction=\"{side}\"}} {}",
                    n.load(Relaxed)
                )?;
            }
        }
        head(
            out,
            "transfer_seconds_total",
            "counter",
            "Time that ended transfers took.",
        )?;
        for (side, n) in SIDES.iter().zip(&self.milliseconds) {
            let n = n.load(Relaxed);
            let seconds = format_args!("{}.{:03}", n / 1000, n % 1000);
            writeln!(
                out,
                "sockeye_tftp_transfer_seconds_total{{direction=\"{side}\"}} {seconds}"
            )?;
        }
        head(out, "dropped_total", "counter", "Datagrams that were dropped.")?;
        for (reason, n) in DROPS.iter().zip(&self.drops) {
            writeln!(
                out,
                "sockeye_tftp_dropped_total{{reason=\"{reason}\"}} {}",
                n.load(Relaxed)
            )?;
        }
        head(
            out,
            "errors_sent_total",
            "counter",
            "Transfers that we ended, by the code in the ERROR packet.",
        )?;
        for (code, n) in self.errors.iter().enumerate() {
            writeln!(
                out,
                "sockeye_tftp_errors_sent_total{{code=\"{code}\"}} {}",
                n.load(Relaxed)
            )?;
        }
        head(out, "active_transfers", "gauge", "Transfers that are running.")?;
        writeln!(out, "sockeye_tftp_active_transfers {}", self.active())
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::{ErrorCode, Mode};
    use super::*;

    #[test]
    fn prometheus_text() {
        let metrics = Metrics::default();
        let mut record = Record::new("10.0.0.5:3000".parse().unwrap(), Kind::Read, b"f", Mode::Octet);
        record.octets = 700;
        record.milliseconds = 1500;
        record.outcome = Outcome::Refused(ErrorCode::ACCESS, String::new());
        metrics.ended(&record);
        metrics.dropped(Drop::QueueFull);
        let text = metrics.render();
        for line in [
            "sockeye_tftp_transfers_total{direction=\"read\",outcome=\"refused\"} 1",
            "sockeye_tftp_octets_total{direction=\"read\"} 700",
            "sockeye_tftp_transfer_seconds_total{direction=\"read\"} 1.500",
            "sockeye_tftp_dropped_total{reason=\"queue_full\"} 1",
            "sockeye_tftp_errors_sent_total{code=\"2\"} 1",
            "sockeye_tftp_active_transfers 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        assert!(
            text.lines()
                .all(|l| l.starts_with("# ") || l.split(' ').count() == 2)
        );
    }
}
