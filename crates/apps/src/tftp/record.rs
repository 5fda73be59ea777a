//! What is known of a transfer when it is over: a line for a log, or JSON.

use std::fmt;
use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use super::packet::{ErrorCode, Kind, Mode, Options};
use super::transfer::Counts;

/// How a transfer ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The whole file went over.
    Done,
    /// We ended it and told the peer.
    Refused(ErrorCode, String),
    /// The peer ended it.
    PeerError(ErrorCode, String),
    /// The peer was silent for too long.
    TimedOut,
    /// The same client asked for something else from the same port.
    Superseded,
    /// The server was stopped.
    Stopped,
    /// The socket failed.
    Network(String),
}
impl Outcome {
    /// One word for it, for logs and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused(..) => "refused",
            Outcome::PeerError(..) => "peer_error",
            Outcome::TimedOut => "timed_out",
            Outcome::Superseded => "superseded",
            Outcome::Stopped => "stopped",
            Outcome::Network(_) => "network",
        }
    }
}
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("done"),
            Outcome::Refused(code, text) => write!(f, "refused: error {}: {}", code.0, clean(text)),
            Outcome::PeerError(code, text) => {
                write!(f, "ended by the peer: error {}: {}", code.0, clean(text))
            }
            Outcome::TimedOut => f.write_str("timed out"),
            Outcome::Superseded => f.write_str("superseded by another request"),
            Outcome::Stopped => f.write_str("stopped"),
            Outcome::Network(text) => write!(f, "network error: {text}"),
        }
    }
}
/// A peer's text without control characters: a log line stays one line.
pub(super) fn clean(text: &str) -> String {
    text.escape_debug().to_string()
}

/// One transfer. Its `Display` is a line, its `Serialize` an object; both hold the same.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Record {
    /// The client.
    pub peer: SocketAddr,
    /// `read` or `write`, as the client sees it.
    #[serde(serialize_with = "kind")]
    pub direction: Kind,
    /// The name in the request; undecodable octets are replaced.
    pub file: String,
    /// `octet` or `netascii`.
    #[serde(serialize_with = "mode")]
    pub mode: Mode,
    /// The options that held, as `name=value`.
    #[serde(serialize_with = "options")]
    pub options: Options,
    /// Octets of the file that went over, each once.
    pub octets: u64,
    /// Blocks, each once.
    pub blocks: u64,
    /// Blocks or ACKs that were sent again.
    pub retransmissions: u64,
    /// Times that our timer ran out.
    pub timeouts: u64,
    /// Duplicates from the peer.
    pub duplicates: u64,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// How it ended.
    #[serde(serialize_with = "outcome")]
    pub outcome: Outcome,
}

fn kind<S: Serializer>(kind: &Kind, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(kind_word(*kind))
}
pub(super) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Read => "read",
        Kind::Write => "write",
    }
}
fn mode<S: Serializer>(mode: &Mode, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(mode.name())
}
fn options<S: Serializer>(options: &Options, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(options)
}
fn outcome<S: Serializer>(outcome: &Outcome, s: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct End<'a> {
        end: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
        #[serde(skip_serializing_if = "str::is_empty")]
        text: &'a str,
    }
    let (code, text) = match outcome {
        Outcome::Refused(code, text) | Outcome::PeerError(code, text) => (Some(code.0), &text[..]),
        Outcome::Network(text) => (None, &text[..]),
        _ => (None, ""),
    };
    let end = outcome.word();
    End { end, code, text }.serialize(s)
}

impl Record {
    /// A record at the beginning of a transfer.
    pub fn new(peer: SocketAddr, direction: Kind, file: &[u8], mode: Mode) -> Record {
        Record {
            // An IPv4 client of a dual-stack socket is shown as what it is.
            peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
            direction,
            file: String::from_utf8_lossy(file).into_owned(),
            mode,
            options: Options::default(),
            octets: 0,
            blocks: 0,
            retransmissions: 0,
            timeouts: 0,
            duplicates: 0,
            milliseconds: 0,
            outcome: Outcome::Stopped,
        }
    }
    /// Takes over what a machine has counted.
    pub fn count(&mut self, counts: Counts) {
        self.blocks = counts.blocks;
        self.retransmissions = counts.retransmissions;
        self.timeouts = counts.timeouts;
        self.duplicates = counts.duplicates;
    }
    /// As a JSON object on one line.
    pub fn json(&self) -> String {
        // Strings and numbers only: it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = kind_word(self.direction);
        write!(
            f,
            "{} {direction} \"{}\" {}",
            self.peer,
            clean(&self.file),
            self.mode.name()
        )?;
        if !self.options.is_empty() {
            write!(f, " {}", self.options)?;
        }
        write!(f, ": {} octets, {} blocks", self.octets, self.blocks)?;
        if self.retransmissions > 0 {
            write!(f, ", {} sent again", self.retransmissions)?;
        }
        write!(
            f,
            ", {}.{:03} s, {}",
            self.milliseconds / 1000,
            self.milliseconds % 1000,
            self.outcome
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_an_object() {
        let mut record = Record::new(
            "10.0.0.5:3000".parse().unwrap(),
            Kind::Read,
            b"boot\n.img\xff",
            Mode::Octet,
        );
        record.options.blksize = Some(1428);
        record.octets = 1_000_000;
        record.blocks = 701;
        record.retransmissions = 2;
        record.milliseconds = 1234;
        record.outcome = Outcome::PeerError(ErrorCode::DISK_FULL, "no\rroom".into());
        assert_eq!(
            record.to_string(),
            "10.0.0.5:3000 read \"boot\\n.img\u{fffd}\" octet blksize=1428: 1000000 octets, 701 blocks, 2 sent again, \
             1.234 s, ended by the peer: error 3: no\\rroom"
        );
        let json: serde_json::Value = serde_json::from_str(&record.json()).unwrap();
        assert_eq!(json["outcome"]["end"], "peer_error");
        assert_eq!(json["outcome"]["code"], 3);
        assert_eq!(json["options"], "blksize=1428");
        assert_eq!(json["direction"], "read");
    }
}
