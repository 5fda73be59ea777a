//! TFTP in words. What goes to a log, what a packet's fields hold, and what is sent to a peer stay in English.

use std::fmt::Write as _;

use super::client::Error;
use super::explain::{BadInput, Explained, Fault};
use crate::text;
use crate::words::Words;

impl Error {
    /// In words.
    pub fn text(&self, words: &Words) -> String {
        match self {
            Error::NotFound(said) => text!(words, "tftp-error-not-found", said = said),
            Error::Access(said) => text!(words, "tftp-error-access", said = said),
            Error::ServerDiskFull(said) => text!(words, "tftp-error-server-full", said = said),
            Error::Server(code, said) => text!(words, "tftp-error-server", code = code.0, said = said),
            Error::Refused => text!(words, "tftp-error-refused"),
            Error::TimedOut => text!(words, "tftp-error-timed-out"),
            Error::Protocol(said) => text!(words, "tftp-error-protocol", said = said),
            Error::Unresolved { host, error } => {
                text!(words, "tftp-error-name", host = host, error = words.error(error))
            }
            Error::Network(error) => text!(words, "tftp-error-network", error = words.error(error)),
            Error::DiskFull => text!(words, "tftp-error-full"),
            Error::File(said) => said.clone(),
        }
    }
}

impl Fault {
    /// In words: what is wrong, and what is right.
    pub fn text(&self, words: &Words) -> String {
        match self {
            Fault::DataWithoutOpcode(block) => text!(words, "tftp-fault-data", block = block),
            Fault::AckWithoutOpcode(block) => text!(words, "tftp-fault-ack", block = block),
            Fault::ErrorAsTwoNumbers(code) => text!(words, "tftp-fault-error", code = code),
            Fault::BlockZero => text!(words, "tftp-fault-block-zero"),
            Fault::NoShortBlock => text!(words, "tftp-fault-no-short-block"),
            Fault::AfterTheEnd => text!(words, "tftp-fault-after-the-end"),
            Fault::AnswerFromRequestPort => text!(words, "tftp-fault-answer-port"),
            Fault::AckToRequestPort => text!(words, "tftp-fault-ack-port"),
            Fault::Doubled(block) => text!(words, "tftp-fault-doubled", block = block),
            Fault::LeadsOutside => text!(words, "tftp-fault-outside"),
            Fault::Mode => text!(words, "tftp-fault-mode"),
            Fault::Option(name) => text!(words, "tftp-fault-option", name = name),
            Fault::TooLong(most) => text!(words, "tftp-fault-too-long", most = most),
            Fault::Malformed(why) => text!(words, "tftp-fault-malformed", why = why.to_string()),
        }
    }
}

impl BadInput {
    /// In words.
    pub fn text(&self, words: &Words) -> String {
        match self {
            BadInput::Empty => text!(words, "tftp-input-empty"),
            BadInput::NotHex(line) => text!(words, "tftp-input-no-hex", line = line),
            BadInput::BrokenCapture => text!(words, "tftp-input-broken"),
            BadInput::Link(kind) => text!(words, "tftp-input-link", kind = kind),
        }
    }
}

impl Explained {
    /// Some lines: what it is, its fields, and what is wrong with it in words.
    pub fn text(&self, words: &Words) -> String {
        let mut text = self.fields_text();
        for fault in &self.faults {
            let what = fault.text(words);
            let line = match fault.row() {
                Some(row) => text!(words, "tftp-fault-row", what = what, row = row),
                None => text!(words, "tftp-fault", what = what),
            };
            let _ = writeln!(text, "  {line}"); // a string takes everything
        }
        text
    }
}
