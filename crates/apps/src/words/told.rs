//! Errors of ours, which can be told in each language.

use std::fmt;
use std::io;

use super::{Language, Placeable, Words, of};

/// What is inside an [`io::Error`] of ours: a text's key with its values. It displays itself in English.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    key: &'static str,
    values: Vec<(&'static str, String)>,
}

impl Told {
    /// In the language of these words.
    pub fn text(&self, words: &Words) -> String {
        let values: Vec<_> = self
            .values
            .iter()
            .map(|(name, value)| (*name, value.value()))
            .collect();
        words.text(self.key, &values)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(of(Language::English)))
    }
}
impl std::error::Error for Told {}

/// An error that is told in the reader's language by [`Words::error`].
pub fn told(
    kind: io::ErrorKind,
    key: &'static str,
    values: &[(&'static str, &dyn fmt::Display)],
) -> io::Error {
    let values = values
        .iter()
        .map(|(name, value)| (*name, value.to_string()))
        .collect();
    io::Error::new(kind, Told { key, values })
}
