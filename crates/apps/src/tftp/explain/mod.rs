//! Puts TFTP packets into words, and points at what is wrong with them.
//!
//! A widespread tutorial builds its packets in a format of its own: DATA without an opcode, ACKs of two octets, ERROR as two
//! numbers, block 0 as the end. Each such fault is named, with the rule that it breaks.

mod input;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;

pub use input::{BadInput, Datagram, datagrams};

use super::packet::{BLKSIZE_DEFAULT, HEADER, Kind, Malformed, Mode, OptionList, Options, Packet, Request};
use super::record::clean;
use crate::words::{self, Language};

/// A fault, and what is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// W-46: a block number and data, without the opcode.
    DataWithoutOpcode(u16),
    /// W-47: a block number by itself.
    AckWithoutOpcode(u16),
    /// W-48: an error as two numbers.
    ErrorAsTwoNumbers(u16),
    /// W-49: block 0 as the end.
    BlockZero,
    /// W-49: the last DATA is full.
    NoShortBlock,
    /// W-50: data or ACKs go on after the last block.
    AfterTheEnd,
    /// W-51: the server answers from the port of requests.
    AnswerFromRequestPort,
    /// W-51: the client acknowledges to the port of requests.
    AckToRequestPort,
    /// W-53: each copy of an ACK was answered: the Sorcerer's Apprentice.
    Doubled(u16),
    /// W-55: a name with `..`.
    LeadsOutside,
    /// W-56: a mode that there is not.
    Mode,
    /// A known option with an impossible value.
    Option(&'static str),
    /// More data than the block size.
    TooLong(usize),
    /// Anything else that is no packet.
    Malformed(Malformed),
}
impl Fault {
    /// The row of the table of errors in the source documents, where it has one.
    pub fn row(&self) -> Option<&'static str> {
        match self {
            Fault::DataWithoutOpcode(_) => Some("W-46"),
            Fault::AckWithoutOpcode(_) => Some("W-47"),
            Fault::ErrorAsTwoNumbers(_) => Some("W-48"),
            Fault::BlockZero | Fault::NoShortBlock => Some("W-49"),
            Fault::AfterTheEnd => Some("W-50"),
            Fault::AnswerFromRequestPort | Fault::AckToRequestPort => Some("W-51"),
            Fault::Doubled(_) => Some("W-53"),
            Fault::LeadsOutside => Some("W-55"),
            Fault::Mode => Some("W-56"),
            Fault::Option(_) | Fault::TooLong(_) | Fault::Malformed(_) => None,
        }
    }
}
/// In English.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(words::of(Language::English)))
    }
}

/// A datagram in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    /// Sender and receiver, if known.
    pub way: Option<(SocketAddr, SocketAddr)>,
    /// What it is, in a line.
    pub title: String,
    /// Its fields: where they lie and what they say.
    pub fields: Vec<(Range<usize>, String)>,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    payload: Vec<u8>,
}

/// What is known of a client's transfer.
#[derive(Default)]
struct Conversation {
    client: Option<SocketAddr>,
    request_port: u16,
    kind: Option<Kind>,
    blksize: usize,
    /// The last DATA: its number, whether it was full, where it was explained.
    last: Option<(u16, bool, usize)>,
    ended: bool,
    acks: HashMap<u16, u8>,
    copies: HashMap<u16, u8>,
}

/// Explains datagrams in the order in which they came. From a capture, those that belong to no TFTP request are left out.
pub fn explain(datagrams: &[Datagram]) -> Vec<Explained> {
    let mut conversations: HashMap<Option<SocketAddr>, Conversation> = HashMap::new();
    let mut explained = Vec::new();
    for datagram in datagrams {
        let parsed = Packet::parse(&datagram.payload);
        // Who the client is: whoever sends a request, or talks to port 69.
        let client = datagram.way.map(|(from, to)| {
            let is_request = matches!(parsed, Ok(Packet::Request(r)) if Mode::parse(r.mode).is_some());
            let known = |a: SocketAddr| conversations.contains_key(&Some(a));
            match () {
                () if known(to) && !is_request => Some(to),
                () if known(from) || is_request || to.port() == super::client::PORT => Some(from),
                () => None,
            }
        });
        let key = match client {
            None => None, // no capture: all is one conversation
            Some(None) => continue,
            Some(Some(client)) => Some(client),
        };
        let conversation = conversations.entry(key).or_default();
        if conversation.blksize == 0 {
            conversation.blksize = BLKSIZE_DEFAULT.into();
            conversation.client = key;
        }
        let mut one = Explained {
            way: datagram.way,
            title: String::new(),
            fields: Vec::new(),
            faults: Vec::new(),
            payload: datagram.payload.clone(),
        };
        match parsed {
            Ok(packet) if !conversation.is_disguised(&packet, datagram) => {
                conversation.packet(&packet, datagram, &mut one, explained.len());
            }
            Ok(_) => conversation.broken(Malformed::Name, datagram, &mut one),
            Err(why) => conversation.broken(why, datagram, &mut one),
        }
        explained.push(one);
    }
    for conversation in conversations.values() {
        if let Some((_, true, place)) = conversation.last
            && !conversation.ended
            && let Some(one) = explained.get_mut(place)
        {
            one.faults.push(Fault::NoShortBlock);
        }
    }
    explained
}

impl Conversation {
    fn is_from_client(&self, datagram: &Datagram) -> Option<bool> {
        let (from, _) = datagram.way?;
        Some(Some(from) == self.client)
    }
    /// A block without an opcode may look like another packet: no server sends a request.
    fn is_disguised(&self, packet: &Packet<'_>, datagram: &Datagram) -> bool {
        let request = match packet {
            Packet::Request(request) => request,
            _ => return false,
        };
        match self.is_from_client(datagram) {
            Some(from_client) => !from_client,
            None => self.kind.is_some() && Mode::parse(request.mode).is_none(),
        }
    }

    fn packet(&mut self, packet: &Packet<'_>, datagram: &Datagram, one: &mut Explained, place: usize) {
        let octets = datagram.payload.len();
        let names = ["RRQ", "WRQ", "DATA", "ACK", "ERROR", "OACK"];
        let opcode = usize::from(datagram.payload[1]);
        one.fields
            .push((0..2, format!("opcode {opcode}: {}", names[opcode - 1])));
        match packet {
            Packet::Request(request) => self.request(request, datagram, one),
            Packet::Data { block, data } => {
                one.title = format!("DATA, block {block}, {} octets", data.len());
                one.fields.push((2..HEADER, format!("block {block}")));
                if octets > HEADER {
                    one.fields
                        .push((HEADER..octets, format!("{} octets of the file", data.len())));
                }
                self.data(*block, data.len(), one, place);
                self.ports(datagram, one);
            }
            Packet::Ack { block } => {
                one.title = format!("ACK of block {block}");
                one.fields
                    .push((2..4, format!("block {block}: all up to it have come")));
                let acks = self.acks.entry(*block).or_default();
                *acks = acks.saturating_add(1);
                self.ports(datagram, one);
            }
            Packet::Error { code, message } => {
                let text = clean(&String::from_utf8_lossy(message));
                one.title = format!("ERROR {code}: {text}");
                one.fields.push((2..4, format!("code {code}")));
                one.fields.push((4..octets, format!("message \"{text}\"")));
                self.ended = true;
            }
            Packet::OptionAck(list) => {
                one.title = "OACK: these options hold".into();
                self.options(*list, 2, one);
                self.ports(datagram, one);
            }
        }
    }
    fn request(&mut self, request: &Request<'_>, datagram: &Datagram, one: &mut Explained) {
        *self = Conversation {
            client: self.client,
            request_port: datagram.way.map_or(0, |(_, to)| to.port()),
            kind: Some(request.kind),
            blksize: BLKSIZE_DEFAULT.into(),
            ..Conversation::default()
        };
        let name = clean(&String::from_utf8_lossy(request.name));
        let mode = clean(&String::from_utf8_lossy(request.mode));
        one.title = match request.kind {
            Kind::Read => format!("RRQ: the client wants \"{name}\""),
            Kind::Write => format!("WRQ: the client offers \"{name}\""),
        };
        let mode_at = 2 + request.name.len() + 1;
        let options_at = mode_at + request.mode.len() + 1;
        one.fields.push((2..mode_at, format!("file \"{name}\" and NUL")));
        one.fields
            .push((mode_at..options_at, format!("mode {mode} and NUL")));
        if request.name.split(|&b| b == b'/').any(|part| part == b"..") {
            one.faults.push(Fault::LeadsOutside);
        }
        if Mode::parse(request.mode).is_none() {
            one.faults.push(Fault::Mode);
        }
        self.options(request.options, options_at, one);
        // Only an OACK makes it hold.
        self.blksize = BLKSIZE_DEFAULT.into();
    }
    fn options(&mut self, list: OptionList<'_>, mut at: usize, one: &mut Explained) {
        for (name, value) in list.iter() {
            let end = at + name.len() + value.len() + 2;
            let words = [name, value].map(|w| clean(&String::from_utf8_lossy(w)));
            one.fields
                .push((at..end, format!("option {} = {}", words[0], words[1])));
            at = end;
        }
        match Options::read(list) {
            Ok(options) => self.blksize = options.blksize.map_or(self.blksize, usize::from),
            Err(bad) => one.faults.push(Fault::Option(bad.0)),
        }
    }
    fn data(&mut self, block: u16, octets: usize, one: &mut Explained, place: usize) {
        if octets > self.blksize {
            one.faults.push(Fault::TooLong(self.blksize));
        }
        let rolled_over = self.last.is_some_and(|(last, ..)| last > 60_000);
        if block == 0 && !rolled_over {
            one.faults.push(Fault::BlockZero);
            return;
        }
        if block < 2 && rolled_over {
            one.fields
                .push((2..HEADER, format!("the number has rolled over to {block}")));
        }
        let repeated = self.last.is_some_and(|(last, ..)| last == block);
        if self.ended && !repeated {
            one.faults.push(Fault::AfterTheEnd);
        }
        // Two copies of this block after two copies of the ACK before it.
        let copies = self.copies.entry(block).or_default();
        *copies = copies.saturating_add(1);
        if *copies == 2 && self.acks.get(&block.wrapping_sub(1)).is_some_and(|&n| n >= 2) {
            one.faults.push(Fault::Doubled(block));
        }
        if octets < self.blksize {
            self.ended = true;
            one.title.push_str(", the last");
        }
        if !repeated {
            self.acks.retain(|&acked, _| acked == block.wrapping_sub(1));
            self.copies.retain(|&sent, _| sent == block);
        }
        self.last = Some((block, octets >= self.blksize, place));
    }
    /// Where transfers belong: to ports of their own.
    fn ports(&self, datagram: &Datagram, one: &mut Explained) {
        let (Some((from, to)), Some(from_client)) = (datagram.way, self.is_from_client(datagram)) else {
            return;
        };
        let port = if self.request_port == 0 {
            super::client::PORT
        } else {
            self.request_port
        };
        if from_client && to.port() == port {
            one.faults.push(Fault::AckToRequestPort);
        } else if !from_client && from.port() == port {
            one.faults.push(Fault::AnswerFromRequestPort);
        }
    }
    /// Bytes that are no packet: perhaps the tutorial's.
    fn broken(&mut self, why: Malformed, datagram: &Datagram, one: &mut Explained) {
        let payload = &datagram.payload;
        let number = |at: usize| match payload.get(at..at + 2) {
            Some(&[a, b]) => u16::from_be_bytes([a, b]),
            _ => 0,
        };
        one.title = "no TFTP packet".into();
        let fault = match payload.len() {
            2 if number(0) == 0 => Fault::BlockZero,
            2 => Fault::AckWithoutOpcode(number(0)),
            4 if matches!(number(0), 1 | 2 | 7 | 8) && number(2) == 0 => Fault::ErrorAsTwoNumbers(number(0)),
            3..=514 => match why {
                Malformed::Opcode(block) => Fault::DataWithoutOpcode(block),
                // Blocks 1, 2 and 6 begin as a request or OACK does.
                Malformed::Name
                | Malformed::ModeNotEnded
                | Malformed::OptionNotEnded
                | Malformed::OptionWithoutName
                    if self.kind.is_some() =>
                {
                    Fault::DataWithoutOpcode(number(0))
                }
                other => Fault::Malformed(other),
            },
            _ => Fault::Malformed(why),
        };
        if payload.len() >= 2 {
            let name = match fault {
                Fault::Malformed(_) => "opcode",
                _ => "where the opcode should be",
            };
            one.fields.push((0..2, format!("{}: {name}", number(0))));
        }
        if payload.len() > 2 {
            one.fields
                .push((2..payload.len(), format!("{} octets", payload.len() - 2)));
        }
        one.faults.push(fault);
        self.ports(datagram, one);
    }
}

impl Explained {
    /// What it is, and its fields.
    pub(super) fn fields_text(&self) -> String {
        let way = self.way.map(|(from, to)| format!("{from} > {to}  "));
        let mut lines = format!("{}{}\n", way.unwrap_or_default(), self.title);
        for (range, text) in &self.fields {
            let octets = self.payload.get(range.clone()).unwrap_or_default();
            let mut hex: Vec<String> = octets.iter().take(8).map(|b| format!("{b:02x}")).collect();
            if octets.len() > 8 {
                hex.push("...".into());
            }
            lines.push_str(&format!("  {:5}  {:28} {text}\n", range.start, hex.join(" ")));
        }
        lines
    }
}

/// In English.
impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(words::of(Language::English)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::{self, ErrorCode};
    use super::*;
    use proptest::prelude::*;

    const CLIENT: &str = "10.0.0.1:3000";
    const SERVER: &str = "10.0.0.2:69";
    const TID: &str = "10.0.0.2:4000";

    fn on(from: &str, to: &str, payload: impl Into<Vec<u8>>) -> Datagram {
        Datagram {
            way: Some((from.parse().unwrap(), to.parse().unwrap())),
            payload: payload.into(),
        }
    }
    #[test]
    fn the_same_packet_a_thousand_times() {
        let mut datagrams = vec![on(CLIENT, SERVER, rrq())];
        for _ in 0..1000 {
            datagrams.push(on(CLIENT, TID, packet::ack(1)));
            datagrams.push(on(TID, CLIENT, packet::data_header(1)));
        }
        assert_eq!(explain(&datagrams).len(), 2001);
    }

    fn rrq() -> Vec<u8> {
        packet::request(Kind::Read, b"file.txt", Mode::Octet, &Options::default())
    }
    fn data(block: u16, octets: usize) -> Vec<u8> {
        [&packet::data_header(block)[..], &vec![b'x'; octets]].concat()
    }
    fn rows(datagrams: &[Datagram]) -> Vec<Vec<&'static str>> {
        let explained = explain(datagrams);
        explained
            .iter()
            .map(|e| e.faults.iter().filter_map(Fault::row).collect())
            .collect()
    }

    #[test]
    fn a_good_transfer_has_no_faults() {
        let datagrams = [
            on(CLIENT, SERVER, rrq()),
            on(TID, CLIENT, data(1, 512)),
            on(CLIENT, TID, packet::ack(1)),
            on(TID, CLIENT, data(2, 0)),
            on(CLIENT, TID, packet::ack(2)),
            on("10.0.0.9:53", "10.0.0.8:53", b"something else"),
        ];
        assert_eq!(rows(&datagrams), [[""; 0]; 5]);
        let text = explain(&datagrams)[0].to_string();
        assert_eq!(
            text,
            "10.0.0.1:3000 > 10.0.0.2:69  RRQ: the client wants \"file.txt\"\n\
             \x20     0  00 01                        opcode 1: RRQ\n\
             \x20     2  66 69 6c 65 2e 74 78 74 ...  file \"file.txt\" and NUL\n\
             \x20    11  6f 63 74 65 74 00            mode octet and NUL\n"
        );
    }

    /// The tutorial's own conversation: its server on port 69, its format, its end.
    #[test]
    fn the_tutorial_s_format_fault_by_fault() {
        let block = |n: u16| [&n.to_be_bytes()[..], &[b'x'; 512]].concat();
        let datagrams = [
            on(CLIENT, SERVER, rrq()),
            on(SERVER, CLIENT, block(1)),
            on(CLIENT, SERVER, 1u16.to_be_bytes()),
            on(SERVER, CLIENT, block(9)),
            on(CLIENT, SERVER, 9u16.to_be_bytes()),
            on(SERVER, CLIENT, 0u16.to_be_bytes()),
            on(SERVER, CLIENT, [0, 1, 0, 0]),
        ];
        assert_eq!(
            rows(&datagrams),
            [
                vec![],
                vec!["W-46", "W-51"],
                vec!["W-47", "W-51"],
                vec!["W-46", "W-51"],
                vec!["W-47", "W-51"],
                vec!["W-49", "W-51"],
                vec!["W-48", "W-51"],
            ]
        );
    }

    #[test]
    fn other_faults() {
        let bare = |payload: Vec<u8>| Datagram { way: None, payload };
        assert_eq!(rows(&[bare(vec![0, 1, 0, 0])]), [["W-48"]]);
        assert_eq!(rows(&[bare(vec![0, 7])]), [["W-47"]]);
        assert_eq!(rows(&[bare(data(0, 0))]), [["W-49"]]);
        assert_eq!(rows(&[bare(data(1, 512))]), [["W-49"]]);
        assert_eq!(
            rows(&[bare(data(1, 10)), bare(data(2, 10))]),
            [vec![], vec!["W-50"]]
        );
        let escape = packet::request(Kind::Read, b"../../etc/passwd", Mode::Octet, &Options::default());
        assert_eq!(rows(&[bare(escape)]), [["W-55"]]);
        assert_eq!(rows(&[bare(b"\0\x02f\0mail\0".to_vec())]), [["W-56"]]);
        let ack = || bare(packet::ack(1).to_vec());
        let twice = [
            bare(data(1, 512)),
            ack(),
            ack(),
            bare(data(2, 9)),
            bare(data(2, 9)),
        ];
        assert_eq!(rows(&twice)[4], ["W-53"]);
        let error = bare(packet::error(ErrorCode::NOT_FOUND, "no"));
        assert!(
            explain(&[error])[0]
                .to_string()
                .starts_with("ERROR 1 (file not found): no\n")
        );
        let long = [bare(b"\0\x06blksize\x0016\0".to_vec()), bare(data(1, 17))];
        assert_eq!(explain(&long)[1].faults[0], Fault::TooLong(16));
    }

    proptest! {
        #[test]
        fn any_datagrams_are_explained(packets in prop::collection::vec(
            (0u8..9, prop::collection::vec(any::<u8>(), 0..30), any::<bool>()), 0..8,
        )) {
            let datagrams: Vec<Datagram> = packets.into_iter().map(|(opcode, rest, known)| {
                let payload = [&[0, opcode][..], &rest].concat();
                if known { on(CLIENT, SERVER, payload) } else { Datagram { way: None, payload: rest } }
            }).collect();
            for one in explain(&datagrams) {
                let _ = one.to_string();
            }
        }
    }
}
