//! What goes wrong with a script, and where in its text.

use std::fmt;
use std::ops::Range;

/// A place in a script: octets from its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// The first octet.
    pub start: usize,
    /// The octet after the last.
    pub end: usize,
}

impl Span {
    /// From one place to another.
    pub fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }
    /// From the beginning of this to the end of `other`.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span::new(self.start, other.end.max(self.start))
    }
    /// As a range of octets.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// What kind of trouble it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The text is no script: it cannot be read, or makes no sense.
    Script,
    /// It asks for something that is not there.
    Unsupported,
    /// What happened is not what the script expects.
    NotHeld,
}

/// Why a script did not pass, with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What kind of trouble.
    pub kind: Kind,
    /// Where.
    pub span: Span,
    /// What, in one sentence.
    pub message: String,
    /// A few words for the place itself.
    pub label: String,
    /// Expected and come, line by line, where the two can be set against each other.
    pub differences: Vec<Difference>,
    /// What to do, or what else is known.
    pub help: Option<String>,
}

/// One thing that is not as expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// What is compared: `seq`, `win`, `result`.
    pub what: String,
    /// What the script says.
    pub expected: String,
    /// What came.
    pub came: String,
}

impl Difference {
    pub(super) fn new(what: &str, expected: impl fmt::Display, came: impl fmt::Display) -> Difference {
        Difference {
            what: what.into(),
            expected: expected.to_string(),
            came: came.to_string(),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, came {}", self.what, self.expected, self.came)
    }
}

impl Fault {
    fn new(kind: Kind, span: Span, message: impl Into<String>, label: impl Into<String>) -> Fault {
        Fault {
            kind,
            span,
            message: message.into(),
            label: label.into(),
            differences: Vec::new(),
            help: None,
        }
    }
    pub(super) fn script(span: Span, message: impl Into<String>, label: impl Into<String>) -> Fault {
        Fault::new(Kind::Script, span, message, label)
    }
    pub(super) fn unsupported(span: Span, message: impl Into<String>, label: impl Into<String>) -> Fault {
        Fault::new(Kind::Unsupported, span, message, label)
    }
    pub(super) fn not_held(span: Span, message: impl Into<String>, label: impl Into<String>) -> Fault {
        Fault::new(Kind::NotHeld, span, message, label)
    }
    pub(super) fn with(mut self, differences: Vec<Difference>) -> Fault {
        self.differences = differences;
        self
    }
    pub(super) fn help(mut self, help: impl Into<String>) -> Fault {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Fault {}

/// Line (from 1) and column (from 1, in octets) of a place in a text.
pub fn line_of(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.iter().filter(|&&octet| octet == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&octet| octet != b'\n').count() + 1;
    (line, column)
}
