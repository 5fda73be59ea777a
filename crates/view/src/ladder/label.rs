//! What stands on an arrow: flags, numbers, options.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sockeye_stack::tcp::{EcnField, Flags, Segment, SeqNumber};
use sockeye_stack::trace::{AckCause, Cause, relative};

use super::Notation;

/// What is remembered of each direction so that its numbers can be told from its beginning.
#[derive(Clone, Copy, Debug)]
struct Direction {
    initial: SeqNumber,
    /// The letter that stands for `initial` in the classroom notation.
    letter: char,
    shift: u8,
    window: Option<u32>,
}

/// Directions remembered; the first are forgotten beyond.
const DIRECTIONS: usize = 1 << 14;

/// The numbers that each direction began with.
#[derive(Default, Debug)]
pub(super) struct Numbers {
    directions: BTreeMap<(SocketAddr, SocketAddr), Direction>,
    /// Whether more than one connection was seen, so that rows must say which they mean.
    several: bool,
}

/// The words on an arrow: first what must be there, then what may go below for want of room.
#[derive(Clone, Default, Debug)]
pub(super) struct Label {
    pub(super) main: String,
    pub(super) extras: Vec<String>,
}

impl Numbers {
    /// Reads a segment that enters a link; call once for each.
    pub(super) fn label(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        segment: &Segment,
        cause: &Cause,
        notation: Notation,
    ) -> Label {
        let way = self.learn(source, destination, segment);
        let back = self.directions.get(&(destination, source)).copied();
        let seq = relative(segment.seq, way.initial);
        let ack = back.map_or(segment.ack.0, |back| relative(segment.ack, back.initial));
        let mut label = match notation {
            Notation::Relative => Label {
                main: relative_words(segment, seq, ack),
                extras: Vec::new(),
            },
            Notation::Classroom => Label {
                main: classroom_words(segment, way.letter, seq, back, ack),
                extras: Vec::new(),
            },
        };
        if self.several {
            let port = source.port().max(destination.port());
            label.main.insert_str(0, &format!(":{port} "));
        }
        if notation == Notation::Relative {
            self.extras(source, destination, segment, cause, &mut label.extras);
        }
        label
    }

    fn learn(&mut self, source: SocketAddr, destination: SocketAddr, segment: &Segment) -> Direction {
        let syn = segment.flags.contains(Flags::SYN);
        let known = self.directions.get(&(source, destination)).copied();
        if let Some(way) = known
            && !(syn && segment.seq != way.initial)
        {
            return way;
        }
        let back = self.directions.get(&(destination, source)).copied();
        self.several |= known.is_none() && back.is_none() && !self.directions.is_empty();
        let way = Direction {
            // Without a SYN, the first octet seen counts as the first of the stream.
            initial: if syn { segment.seq } else { segment.seq - 1 },
            letter: if back.map_or(syn && segment.flags.contains(Flags::ACK), |back| {
                back.letter == 'x'
            }) {
                'y'
            } else {
                'x'
            },
            shift: segment.options.window_scale.unwrap_or(0).min(14),
            window: None,
        };
        if self.directions.len() >= DIRECTIONS {
            self.directions.pop_first();
        }
        self.directions.insert((source, destination), way);
        if back.is_none() && segment.flags.contains(Flags::ACK) {
            let letter = if way.letter == 'x' { 'y' } else { 'x' };
            let other = Direction {
                initial: segment.ack - 1,
                letter,
                shift: 0,
                window: None,
            };
            self.directions.insert((destination, source), other);
        }
        way
    }

    /// Options, and the window when it is worth telling: on SYN, when it closes or opens, and on window updates.
    fn extras(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        segment: &Segment,
        cause: &Cause,
        extras: &mut Vec<String>,
    ) {
        let syn = segment.flags.contains(Flags::SYN);
        let scaled = self
            .directions
            .get(&(destination, source))
            .is_some_and(|back| back.shift > 0);
        let Some(way) = self.directions.get_mut(&(source, destination)) else {
            return;
        };
        let shift = if syn || !scaled { 0 } else { way.shift };
        let window = u32::from(segment.window) << shift;
        let before = way.window.replace(window);
        for block in segment.options.sack.as_slice() {
            let back = self.directions.get(&(destination, source));
            let from = |seq| back.map_or(0, |back| relative(seq, back.initial));
            extras.push(format!("sack={}:{}", from(block.start), from(block.end)));
        }
        if let Some(mss) = segment.options.mss {
            extras.push(format!("mss={mss}"));
        }
        if let Some(shift) = segment.options.window_scale {
            extras.push(format!("ws={shift}"));
        }
        let update = matches!(cause, Cause::Ack(AckCause::WindowUpdate));
        let turned = (window == 0) != (before == Some(0)) && !segment.flags.contains(Flags::RST);
        if syn || update || turned {
            extras.push(format!("win={window}"));
        }
        if segment.ecn == EcnField::Ce {
            extras.push("ce".into());
        }
        if segment.options.sack_permitted {
            extras.push("sack".into());
        }
        if syn && segment.options.timestamps.is_some() {
            extras.push("ts".into());
        }
        if segment.flags.contains(Flags::URG) {
            extras.push(format!("urg={}", segment.urgent));
        }
    }
}

/// `SYN seq=0`, `PSH,ACK 1:1461 ack=1 len=1460`, `ACK ack=1461`.
fn relative_words(segment: &Segment, seq: u32, ack: u32) -> String {
    let mut out = segment.flags.to_string();
    let numbered = segment.flags.intersects(Flags::SYN | Flags::FIN | Flags::RST);
    if segment.payload_len > 0 {
        out.push_str(&format!(" {seq}:{}", seq.wrapping_add(segment.payload_len)));
    } else if numbered {
        out.push_str(&format!(" seq={seq}"));
    }
    if segment.flags.contains(Flags::ACK) {
        out.push_str(&format!(" ack={ack}"));
    }
    if segment.payload_len > 0 {
        out.push_str(&format!(" len={}", segment.payload_len));
    }
    out
}

/// `SYN=1, ACK=1, seq=y, ack=x+1`, as textbooks write it.
fn classroom_words(segment: &Segment, letter: char, seq: u32, back: Option<Direction>, ack: u32) -> String {
    let mut parts = Vec::new();
    let shown = [
        (Flags::SYN, "SYN"),
        (Flags::FIN, "FIN"),
        (Flags::RST, "RST"),
        (Flags::URG, "URG"),
        (Flags::ACK, "ACK"),
    ];
    for (flag, name) in shown {
        if segment.flags.contains(flag) {
            parts.push(format!("{name}=1"));
        }
    }
    parts.push(format!("seq={}", letters(letter, seq)));
    if segment.flags.contains(Flags::ACK) {
        let other = if letter == 'x' { 'y' } else { 'x' };
        parts.push(format!(
            "ack={}",
            letters(back.map_or(other, |back| back.letter), ack)
        ));
    }
    if segment.payload_len > 0 {
        parts.push(format!("len={}", segment.payload_len));
    }
    parts.join(", ")
}

fn letters(letter: char, n: u32) -> String {
    if n == 0 {
        letter.to_string()
    } else {
        format!("{letter}+{n}")
    }
}
