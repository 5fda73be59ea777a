//! Each record as one line of JSON, for other programs.
//!
//! Every line has `at_ns` (nanoseconds on the stream's clock), `host` (its name) and `event`, which says what else is there:
//!
//! | `event` | fields |
//! |-|-|
//! | `segment_sent` | `connection`, `segment`, `cause` |
//! | `segment_received` | `connection`, `segment` |
//! | `state_changed` | `connection`, `from`, `to`, `why` |
//! | `timer_set` | `timer`, `due_ns` |
//! | `timer_fired` | `timer` |
//! | `rtt_measured` | `sample_ns`, `srtt_ns`, `rttvar_ns`, `rto_ns` |
//! | `congestion_changed` | `cwnd`, `ssthresh` (null until the first loss), `flight`, `why` |
//! | `send_window` | `window` |
//! | `held` | `waiting`, `why` |
//! | `dropped` | `connection` (or null), `why` |
//! | `frame` | `interface`, `outgoing`, `len`, `cause` (or null), `hex` |
//! | `frame_sent` | `id`, `interface`, `link`, `len`, `cause`, `hex` |
//! | `frame_arrived` | `id`, `interface`, `from`, `sent_at_ns`, `len`, `hex` |
//! | `frame_lost`, `frame_changed` | `id`, `why` |
//! | `backlog` | `listener`, `half_open`, `accept`, `backlog` |
//! | `note` | `text` |
//!
//! `connection` is `{local, remote}`. `segment` has `seq`, `ack` (null without ACK), `flags` (a list), `window` as in
//! the header, `urgent` (null without URG), `len`, and those options that are there: `mss`, `window_scale`, `sack_permitted`,
//! `timestamps` as `[value, echo]`, `sack` as a list of `[start, end]`. Sequence numbers are absolute.
//! `cause` and `why` are `{name, words, sentence, clause}`: a stable name, a few words, and the explanation with
//! the RFC's clause or null; where nothing more is to be said, only the name. `socket`, where one is concerned, is its id
//! as the core writes it. `hex`, the frame's bytes, is there if asked for.

use std::io;

use bytes::Bytes;
use serde::Serialize;
use sockeye_stack::tcp::{Flags, Segment};
use sockeye_stack::trace::{Cause, TraceKind, Tuple};

use crate::explain::{Explain, name};
use crate::record::{Cast, Record, What, WireEvent};
use crate::text::{snake, words};

#[derive(Serialize)]
struct Entry<'a> {
    at_ns: u64,
    host: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<String>,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Body<'a> {
    SegmentSent {
        connection: Connection,
        segment: Header,
        cause: Why,
    },
    SegmentReceived {
        connection: Connection,
        segment: Header,
    },
    StateChanged {
        connection: Connection,
        from: String,
        to: String,
        why: Why,
    },
    TimerSet {
        timer: String,
        due_ns: u64,
    },
    TimerFired {
        timer: String,
    },
    RttMeasured {
        sample_ns: u64,
        srtt_ns: u64,
        rttvar_ns: u64,
        rto_ns: u64,
    },
    CongestionChanged {
        cwnd: u32,
        ssthresh: Option<u32>,
        flight: u32,
        why: Why,
    },
    SendWindow {
        window: u32,
    },
    Held {
        waiting: u32,
        why: Why,
    },
    Dropped {
        connection: Option<Connection>,
        why: Why,
    },
    Frame {
        interface: u16,
        outgoing: bool,
        len: usize,
        cause: Option<Why>,
        #[serde(flatten)]
        hex: Hex,
    },
    FrameSent {
        id: u64,
        interface: u16,
        link: u16,
        len: usize,
        cause: Why,
        #[serde(flatten)]
        hex: Hex,
    },
    FrameArrived {
        id: u64,
        interface: u16,
        from: &'a str,
        sent_at_ns: u64,
        len: usize,
        #[serde(flatten)]
        hex: Hex,
    },
    FrameLost {
        id: u64,
        why: Why,
    },
    FrameChanged {
        id: u64,
        why: Why,
    },
    Backlog {
        listener: String,
        half_open: u32,
        accept: u32,
        backlog: u32,
    },
    Note {
        text: &'a str,
    },
}

#[derive(Serialize)]
struct Hex {
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

#[derive(Serialize)]
struct Connection {
    local: String,
    remote: String,
}

impl From<&Tuple> for Connection {
    fn from(tuple: &Tuple) -> Self {
        Connection {
            local: tuple.local.to_string(),
            remote: tuple.remote.to_string(),
        }
    }
}

#[derive(Serialize)]
struct Header {
    seq: u32,
    ack: Option<u32>,
    flags: Vec<&'static str>,
    window: u16,
    urgent: Option<u16>,
    len: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    mss: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_scale: Option<u8>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sack_permitted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamps: Option<[u32; 2]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sack: Vec<[u32; 2]>,
}

impl From<&Segment> for Header {
    fn from(segment: &Segment) -> Self {
        let flag = |flag, name| segment.flags.contains(flag).then_some(name);
        let names = [
            flag(Flags::SYN, "syn"),
            flag(Flags::FIN, "fin"),
            flag(Flags::RST, "rst"),
            flag(Flags::PSH, "psh"),
            flag(Flags::URG, "urg"),
            flag(Flags::ECE, "ece"),
            flag(Flags::CWR, "cwr"),
            flag(Flags::ACK, "ack"),
        ];
        Header {
            seq: segment.seq.0,
            ack: segment.flags.contains(Flags::ACK).then_some(segment.ack.0),
            flags: names.into_iter().flatten().collect(),
            window: segment.window,
            urgent: segment.flags.contains(Flags::URG).then_some(segment.urgent),
            len: segment.payload_len,
            mss: segment.options.mss,
            window_scale: segment.options.window_scale,
            sack_permitted: segment.options.sack_permitted,
            timestamps: segment
                .options
                .timestamps
                .map(|stamps| [stamps.value, stamps.echo]),
            sack: segment
                .options
                .sack
                .as_slice()
                .iter()
                .map(|block| [block.start.0, block.end.0])
                .collect(),
        }
    }
}

#[derive(Serialize)]
struct Why {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentence: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clause: Option<&'static str>,
}

impl Why {
    fn named(variant: &impl std::fmt::Debug) -> Why {
        Why {
            name: snake(&format!("{variant:?}")),
            words: None,
            sentence: None,
            clause: None,
        }
    }
    fn explained(variant: &(impl std::fmt::Debug + Explain), few: Option<String>) -> Why {
        let debug = format!("{variant:?}");
        let explanation = variant.explain();
        Why {
            name: snake(&debug),
            words: Some(few.unwrap_or_else(|| words(&debug))),
            sentence: Some(explanation.sentence),
            clause: explanation.clause,
        }
    }
    fn cause(cause: &Cause) -> Why {
        let explanation = cause.explain();
        Why {
            name: name(cause),
            words: Some(cause.to_string()),
            sentence: Some(explanation.sentence),
            clause: explanation.clause,
        }
    }
}

/// Writes records into `out` as lines of JSON.
#[derive(Debug)]
pub struct JsonLines<W> {
    out: W,
    cast: Cast,
    with_bytes: bool,
}

impl<W: io::Write> JsonLines<W> {
    /// Lines with the names of `cast`; `with_bytes` adds the bytes of frames in hexadecimal.
    pub fn new(out: W, cast: Cast, with_bytes: bool) -> Self {
        JsonLines {
            out,
            cast,
            with_bytes,
        }
    }

    /// Writes one record as one line.
    pub fn handle_record(&mut self, record: &Record) -> io::Result<()> {
        let (socket, body) = match &record.what {
            What::Stack(event) => (
                event.socket.map(|socket| format!("{socket:?}")),
                self.stack_body(&event.kind),
            ),
            What::Wire(event) => (None, self.wire_body(event)),
            What::Backlog(backlog) => (
                None,
                Body::Backlog {
                    listener: backlog.listener.to_string(),
                    half_open: backlog.half_open,
                    accept: backlog.accept,
                    backlog: backlog.backlog,
                },
            ),
            What::Note(text) => (None, Body::Note { text }),
        };
        let entry = Entry {
            at_ns: record.at.as_nanos(),
            host: self.cast.name(record.host),
            socket,
            body,
        };
        let line = serde_json::to_string(&entry)?;
        writeln!(self.out, "{line}")
    }

    /// Gives the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn hex(&self, bytes: &Bytes) -> Hex {
        Hex {
            hex: self
                .with_bytes
                .then(|| bytes.iter().map(|octet| format!("{octet:02x}")).collect()),
        }
    }

    fn stack_body(&self, kind: &TraceKind) -> Body<'_> {
        match kind {
            TraceKind::SegmentOut {
                tuple,
                segment,
                cause,
            } => Body::SegmentSent {
                connection: tuple.into(),
                segment: segment.into(),
                cause: Why::cause(cause),
            },
            TraceKind::SegmentIn { tuple, segment } => Body::SegmentReceived {
                connection: tuple.into(),
                segment: segment.into(),
            },
            TraceKind::State { tuple, from, to, why } => Body::StateChanged {
                connection: tuple.into(),
                from: from.to_string(),
                to: to.to_string(),
                why: Why::named(why),
            },
            TraceKind::TimerSet { timer, at } => Body::TimerSet {
                timer: snake(&format!("{timer:?}")),
                due_ns: at.as_nanos(),
            },
            TraceKind::TimerFired { timer } => Body::TimerFired {
                timer: snake(&format!("{timer:?}")),
            },
            TraceKind::Rtt {
                sample,
                srtt,
                rttvar,
                rto,
            } => Body::RttMeasured {
                sample_ns: sample.as_nanos(),
                srtt_ns: srtt.as_nanos(),
                rttvar_ns: rttvar.as_nanos(),
                rto_ns: rto.as_nanos(),
            },
            TraceKind::Congestion {
                cwnd,
                ssthresh,
                flight,
                why,
            } => Body::CongestionChanged {
                cwnd: *cwnd,
                ssthresh: (*ssthresh != u32::MAX).then_some(*ssthresh),
                flight: *flight,
                why: Why::named(why),
            },
            TraceKind::SendWindow { window } => Body::SendWindow { window: *window },
            TraceKind::Held { waiting, why } => Body::Held {
                waiting: *waiting,
                why: Why::explained(why, Some(why.to_string())),
            },
            TraceKind::Dropped { tuple, reason } => Body::Dropped {
                connection: tuple.as_ref().map(Into::into),
                why: Why::explained(reason, None),
            },
            TraceKind::Frame {
                interface,
                outgoing,
                bytes,
                cause,
            } => Body::Frame {
                interface: interface.0,
                outgoing: *outgoing,
                len: bytes.len(),
                cause: cause.as_ref().map(Why::cause),
                hex: self.hex(bytes),
            },
        }
    }

    fn wire_body(&self, event: &WireEvent) -> Body<'_> {
        match event {
            WireEvent::Sent {
                id,
                bytes,
                cause,
                interface,
                link,
            } => Body::FrameSent {
                id: *id,
                interface: interface.0,
                link: *link,
                len: bytes.len(),
                cause: Why::cause(cause),
                hex: self.hex(bytes),
            },
            WireEvent::Arrived {
                id,
                bytes,
                sent_at,
                from,
                interface,
            } => Body::FrameArrived {
                id: *id,
                interface: interface.0,
                from: self.cast.name(*from),
                sent_at_ns: sent_at.as_nanos(),
                len: bytes.len(),
                hex: self.hex(bytes),
            },
            WireEvent::Lost { id, why } => Body::FrameLost {
                id: *id,
                why: Why::explained(why, None),
            },
            WireEvent::Changed { id, how } => Body::FrameChanged {
                id: *id,
                why: Why::explained(how, None),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene;

    #[test]
    fn every_line_is_an_object_with_its_event() {
        let mut json = JsonLines::new(Vec::new(), scene::cast(), true);
        for record in scene::connection() {
            json.handle_record(&record).expect("writing to memory");
        }
        let text = String::from_utf8(json.finish().expect("writing to memory")).expect("text");
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            for field in ["at_ns", "host", "event"] {
                assert!(value.get(field).is_some(), "{line}");
            }
        }
    }

    #[test]
    fn the_fields_are_stable() {
        let mut json = JsonLines::new(Vec::new(), scene::cast(), false);
        for record in scene::connection() {
            json.handle_record(&record).expect("writing to memory");
        }
        let text = String::from_utf8(json.finish().expect("writing to memory")).expect("text");
        let opening: Vec<&str> = text.lines().skip(9).take(16).collect();
        insta::assert_snapshot!(opening.join("\n"));
    }
}
