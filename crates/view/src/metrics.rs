//! Counters and gauges from the stream, in Prometheus' text format.
//!
//! | name | kind | labels |
//! |-|-|-|
//! | `sockeye_segments_sent_total` | counter | `host`, `cause` |
//! | `sockeye_segments_received_total` | counter | `host` |
//! | `sockeye_payload_sent_octets_total` | counter | `host` |
//! | `sockeye_payload_received_octets_total` | counter | `host` |
//! | `sockeye_retransmissions_total` | counter | `host`, `cause` |
//! | `sockeye_congestion_marks_received_total` | counter | `host` |
//! | `sockeye_congestion_echoes_received_total` | counter | `host` |
//! | `sockeye_drops_total` | counter | `host`, `reason` |
//! | `sockeye_timers_fired_total` | counter | `host`, `timer` |
//! | `sockeye_link_frames_total` | counter | `host`, `fate` |
//! | `sockeye_connections` | gauge | `host`, `state` |
//! | `sockeye_half_open`, `sockeye_accept_queue` | gauge | `host`, `listener` |
//! | `sockeye_rtt_seconds` | histogram | `host` |
//!
//! Causes are written as [`crate::explain::name`] does. All labels come from the core's own enums, the cast and the
//! listeners: a peer cannot make new ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sockeye_stack::Duration;
use sockeye_stack::tcp::{EcnField, Flags, State};
use sockeye_stack::trace::{Cause, TraceEvent, TraceKind};

use crate::explain::name;
use crate::record::{Cast, HostIndex, Record, What, WireEvent};
use crate::text::snake;

/// Upper bounds of the RTT histogram's buckets in microseconds, from one machine to the far side of a satellite.
const RTT_BUCKETS: [u64; 12] = [
    50, 200, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 3_000_000,
];

/// Names and help of the series, in the order in which they are written.
const SERIES: [(&str, &str, &str); 13] = [
    (
        "sockeye_segments_sent_total",
        "counter",
        "TCP segments sent, by why they were sent.",
    ),
    (
        "sockeye_segments_received_total",
        "counter",
        "TCP segments received in good form.",
    ),
    (
        "sockeye_payload_sent_octets_total",
        "counter",
        "Octets of TCP payload sent, retransmissions included.",
    ),
    (
        "sockeye_payload_received_octets_total",
        "counter",
        "Octets of TCP payload received, repeated ones included.",
    ),
    (
        "sockeye_retransmissions_total",
        "counter",
        "TCP segments sent again, by why.",
    ),
    (
        "sockeye_congestion_marks_received_total",
        "counter",
        "TCP segments received with CE: a router was congested (RFC 3168).",
    ),
    (
        "sockeye_congestion_echoes_received_total",
        "counter",
        "ACKs received that echo a mark on what was sent (ECE).",
    ),
    (
        "sockeye_drops_total",
        "counter",
        "What was received and dropped, by why.",
    ),
    ("sockeye_timers_fired_total", "counter", "Timers that went off."),
    (
        "sockeye_link_frames_total",
        "counter",
        "Frames on links, by what became of them; told at the sender or where they arrived.",
    ),
    (
        "sockeye_connections",
        "gauge",
        "Connections and listeners by state.",
    ),
    (
        "sockeye_half_open",
        "gauge",
        "Half-open connections of a listener.",
    ),
    (
        "sockeye_accept_queue",
        "gauge",
        "Connections of a listener that wait to be accepted.",
    ),
];

#[derive(Clone, Default, Debug)]
struct Histogram {
    buckets: [u64; RTT_BUCKETS.len()],
    count: u64,
    sum: Duration,
}

/// Counts records; [`Metrics::render`] writes the numbers.
#[derive(Clone, Default, Debug)]
pub struct Metrics {
    cast: Cast,
    /// By series and labels.
    values: BTreeMap<(&'static str, String), i64>,
    rtt: BTreeMap<HostIndex, Histogram>,
}

impl Metrics {
    /// Counts for these hosts, all zero.
    pub fn new(cast: Cast) -> Self {
        Metrics {
            cast,
            ..Metrics::default()
        }
    }

    /// Counts one record.
    pub fn handle_record(&mut self, record: &Record) {
        let host = record.host;
        match &record.what {
            What::Stack(event) => self.handle_event(host, event),
            What::Wire(event) => {
                let fate = match event {
                    WireEvent::Sent { .. } => "sent".into(),
                    WireEvent::Arrived { .. } => "arrived".into(),
                    WireEvent::Lost { why, .. } => format!("lost_{}", snake(&format!("{why:?}"))),
                    WireEvent::Changed { how, .. } => snake(&format!("{how:?}")),
                };
                self.add("sockeye_link_frames_total", host, "fate", &fate, 1);
            }
            What::Backlog(backlog) => {
                let listener = backlog.listener.to_string();
                self.set(
                    "sockeye_half_open",
                    host,
                    "listener",
                    &listener,
                    backlog.half_open.into(),
                );
                self.set(
                    "sockeye_accept_queue",
                    host,
                    "listener",
                    &listener,
                    backlog.accept.into(),
                );
            }
            What::Note(_) => {}
        }
    }

    fn handle_event(&mut self, host: HostIndex, event: &TraceEvent) {
        match &event.kind {
            TraceKind::SegmentOut { segment, cause, .. } => {
                self.add("sockeye_segments_sent_total", host, "cause", &name(cause), 1);
                self.add(
                    "sockeye_payload_sent_octets_total",
                    host,
                    "",
                    "",
                    segment.payload_len.into(),
                );
                if let Cause::Retransmit(why) = cause {
                    let why = format!("{why:?}");
                    let why = why.split(' ').next().unwrap_or_default();
                    self.add("sockeye_retransmissions_total", host, "cause", &snake(why), 1);
                }
            }
            TraceKind::SegmentIn { segment, .. } => {
                self.add("sockeye_segments_received_total", host, "", "", 1);
                self.add(
                    "sockeye_payload_received_octets_total",
                    host,
                    "",
                    "",
                    segment.payload_len.into(),
                );
                if segment.ecn == EcnField::Ce {
                    self.add("sockeye_congestion_marks_received_total", host, "", "", 1);
                }
                if segment.flags.contains(Flags::ECE) && !segment.flags.contains(Flags::SYN) {
                    self.add("sockeye_congestion_echoes_received_total", host, "", "", 1);
                }
            }
            TraceKind::State { from, to, .. } => {
                // A listener stays when a SYN makes a connection of it.
                if *from != State::Closed && !(*from == State::Listen && *to == State::SynReceived) {
                    self.add("sockeye_connections", host, "state", &from.to_string(), -1);
                }
                if *to != State::Closed {
                    self.add("sockeye_connections", host, "state", &to.to_string(), 1);
                }
            }
            TraceKind::TimerFired { timer } => {
                self.add(
                    "sockeye_timers_fired_total",
                    host,
                    "timer",
                    &snake(&format!("{timer:?}")),
                    1,
                );
            }
            TraceKind::Rtt { sample, .. } => {
                let histogram = self.rtt.entry(host).or_default();
                histogram.count += 1;
                histogram.sum += *sample;
                for (bound, count) in RTT_BUCKETS.iter().zip(&mut histogram.buckets) {
                    *count += u64::from(*sample <= Duration::from_micros(*bound));
                }
            }
            TraceKind::Dropped { reason, .. } => {
                self.add(
                    "sockeye_drops_total",
                    host,
                    "reason",
                    &snake(&format!("{reason:?}")),
                    1,
                );
            }
            _ => {}
        }
    }

    fn labels(&self, host: HostIndex, label: &str, value: &str) -> String {
        let host = escape(self.cast.name(host));
        if label.is_empty() {
            format!("host=\"{host}\"")
        } else {
            format!("host=\"{host}\",{label}=\"{}\"", escape(value))
        }
    }
    /// Adds; what would fall below zero (a connection older than the stream) stays at zero.
    fn add(&mut self, series: &'static str, host: HostIndex, label: &str, value: &str, n: i64) {
        let place = self
            .values
            .entry((series, self.labels(host, label, value)))
            .or_insert(0);
        *place = (*place + n).max(0);
    }
    fn set(&mut self, series: &'static str, host: HostIndex, label: &str, value: &str, n: i64) {
        self.values.insert((series, self.labels(host, label, value)), n);
    }

    /// All numbers in the text format that Prometheus reads, `text/plain; version=0.0.4`.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for (series, kind, help) in SERIES {
            let mut lines = self
                .values
                .iter()
                .filter(|((own, _), _)| *own == series)
                .peekable();
            if lines.peek().is_some() {
                let _ = writeln!(out, "# HELP {series} {help}\n# TYPE {series} {kind}");
            }
            for ((_, labels), value) in lines {
                let _ = writeln!(out, "{series}{{{labels}}} {value}");
            }
        }
        if !self.rtt.is_empty() {
            out.push_str("# HELP sockeye_rtt_seconds Measured round-trip times.\n# TYPE sockeye_rtt_seconds histogram\n");
        }
        for (host, histogram) in &self.rtt {
            let labels = self.labels(*host, "", "");
            for (bound, count) in RTT_BUCKETS.iter().zip(histogram.buckets) {
                let bound = Duration::from_micros(*bound).as_secs_f64();
                let _ = writeln!(
                    out,
                    "sockeye_rtt_seconds_bucket{{{labels},le=\"{bound}\"}} {count}"
                );
            }
            let (count, sum) = (histogram.count, histogram.sum.as_secs_f64());
            let _ = writeln!(out, "sockeye_rtt_seconds_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(out, "sockeye_rtt_seconds_sum{{{labels}}} {sum}");
            let _ = writeln!(out, "sockeye_rtt_seconds_count{{{labels}}} {count}");
        }
        out
    }
}

/// Label values escape backslash, quote and line feed.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene;

    #[test]
    fn counts_a_connection() {
        let mut metrics = Metrics::new(scene::cast());
        for record in scene::connection() {
            metrics.handle_record(&record);
        }
        insta::assert_snapshot!(metrics.render());
    }

    #[test]
    fn counts_marks_and_echoes() {
        let mut metrics = Metrics::new(scene::cast());
        let addr = "10.0.0.1:1".parse().unwrap();
        let mut arrive = |flags, ecn| {
            let kind = TraceKind::SegmentIn {
                tuple: sockeye_stack::trace::Tuple {
                    local: addr,
                    remote: addr,
                },
                segment: sockeye_stack::tcp::Segment {
                    flags,
                    ecn,
                    ..Default::default()
                },
            };
            let at = sockeye_stack::Instant::ZERO;
            metrics.handle_event(
                HostIndex(0),
                &TraceEvent {
                    at,
                    socket: None,
                    kind,
                },
            );
        };
        arrive(Flags::SYN | Flags::ECE | Flags::CWR, EcnField::NotEct);
        arrive(Flags::ACK, EcnField::Ce);
        arrive(Flags::ACK | Flags::ECE, EcnField::Ce);
        let text = metrics.render();
        for (name, n) in [("marks", 2), ("echoes", 1)] {
            let line = format!("sockeye_congestion_{name}_received_total{{");
            let line = text
                .lines()
                .find(|l| l.starts_with(&line))
                .expect("it is counted");
            assert!(line.ends_with(&format!(" {n}")), "{line}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
