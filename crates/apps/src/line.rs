//! What chat and datagrams share: text in an encoding, and the hand that stops a program.

use std::fmt;

use encoding_rs::{CoderResult, Encoding, GB18030, GBK, UTF_8};
use tokio::sync::watch;

use crate::text;
use crate::words::Words;

/// How text becomes octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Charset {
    /// UTF-8.
    #[default]
    Utf8,
    /// GBK. Characters that it does not have cannot be sent.
    Gbk,
    /// GB 18030: GBK, and all of Unicode.
    Gb18030,
}

impl Charset {
    fn encoding(self) -> &'static Encoding {
        match self {
            Charset::Utf8 => UTF_8,
            Charset::Gbk => GBK,
            Charset::Gb18030 => GB18030,
        }
    }
    /// The octets of a text.
    ///
    /// # Errors
    /// If the encoding lacks a character.
    pub fn encode(self, text: &str) -> Result<Vec<u8>, CannotEncode> {
        let (octets, _, unmappable) = self.encoding().encode(text);
        if !unmappable {
            return Ok(octets.into_owned());
        }
        let lacks = |c: &char| self.encoding().encode(c.encode_utf8(&mut [0; 4])).2;
        Err(CannotEncode {
            character: text.chars().find(lacks).unwrap_or_default(),
            charset: self,
        })
    }
    /// The text of octets that are whole: a datagram, say. What is no text becomes U+FFFD.
    pub fn decode(self, octets: &[u8]) -> String {
        self.encoding().decode_without_bom_handling(octets).0.into_owned()
    }
}

impl fmt::Display for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Charset::Utf8 => "UTF-8",
            Charset::Gbk => "GBK",
            Charset::Gb18030 => "GB 18030",
        })
    }
}

/// A text cannot be sent in this encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CannotEncode {
    /// The first character that it lacks.
    pub character: char,
    /// The encoding.
    pub charset: Charset,
}

impl CannotEncode {
    /// In words, with what to do.
    pub fn text(&self, words: &Words) -> String {
        let charset = self.charset.to_string();
        text!(
            words,
            "line-cannot-encode",
            charset = charset,
            character = self.character
        )
    }
}
impl fmt::Display for CannotEncode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no {:?}", self.charset, self.character)
    }
}
impl std::error::Error for CannotEncode {}

/// Octets in pieces to text. A character cut in two by the end of a piece waits for its rest, which is three
/// octets at most; octets that are no text become U+FFFD.
pub struct Decoder(encoding_rs::Decoder);

impl Decoder {
    /// At the beginning of a stream.
    pub fn new(charset: Charset) -> Decoder {
        Decoder(charset.encoding().new_decoder_without_bom_handling())
    }
    /// Appends to `text` what has become certain with this piece; with `last`, also what was begun and never
    /// finished.
    pub fn push(&mut self, mut piece: &[u8], last: bool, text: &mut String) {
        loop {
            // A few characters more than the decoder asks for, as it may hold the beginning of one.
            text.reserve(piece.len().saturating_mul(3).saturating_add(16));
            let (result, read, _) = self.0.decode_to_string(piece, text, last);
            piece = &piece[read..];
            if result == CoderResult::InputEmpty {
                return;
            }
        }
    }
}
impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoder({})", self.0.encoding().name())
    }
}

/// A peer's text, safe to show: characters that would steer a terminal or turn the direction of writing are
/// written as escapes (`\u{1b}`); tabs and letters of all scripts stay.
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(c),
            c if c.is_control() || turns_writing(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Whether a character turns the direction of writing (Unicode's Bidi_Control, marks excepted), or parts lines.
fn turns_writing(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// The hand that stops programs, in good order.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// What a program looks at to know that it shall stop.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stopper {
    /// A hand and its first eye.
    pub fn new() -> (Stopper, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Stop(receiver))
    }
    /// Stops all that look.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// One that never comes.
    pub fn never() -> Stop {
        Stopper::new().1
    }
    /// Whether it has come.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }
    /// Waits for it: for ever, if the hand is gone without having stopped anything.
    pub async fn stopped(&mut self) {
        if self.0.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_split_across_pieces_stay_whole() {
        for charset in [Charset::Utf8, Charset::Gbk, Charset::Gb18030] {
            let text = match charset {
                Charset::Gbk => "你好 abc 收到啦",
                _ => "你好 abc 收到啦 🦀 ñ",
            };
            let octets = charset.encode(text).unwrap();
            for first in 0..=octets.len() {
                for second in first..=octets.len() {
                    let (mut decoder, mut out) = (Decoder::new(charset), String::new());
                    decoder.push(&octets[..first], false, &mut out);
                    decoder.push(&octets[first..second], false, &mut out);
                    decoder.push(&octets[second..], true, &mut out);
                    assert_eq!(out, text);
                }
            }
            assert_eq!(charset.decode(&octets), text);
        }
    }

    #[test]
    fn what_is_no_text_is_marked() {
        let (mut decoder, mut out) = (Decoder::new(Charset::Utf8), String::new());
        decoder.push(b"a\xff\xe4\xbd", false, &mut out);
        decoder.push(b"", true, &mut out);
        assert_eq!(out, "a\u{fffd}\u{fffd}");
        let (mut decoder, mut out) = (Decoder::new(Charset::Utf8), String::new());
        decoder.push(&[0xff; 100_000], true, &mut out);
        assert_eq!(out.chars().count(), 100_000);
    }

    #[test]
    fn what_an_encoding_lacks_is_named() {
        let error = Charset::Gbk.encode("ok 🦀").unwrap_err();
        assert_eq!(error.to_string(), "GBK has no '🦀'");
        // The tutorial's answer is twelve octets.
        assert_eq!(Charset::Gbk.encode("收到啦我反馈").unwrap().len(), 12);
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            shown("a\x1b[2Jb\tc\r\u{202e}你"),
            "a\\u{1b}[2Jb\tc\\u{d}\\u{202e}你"
        );
    }
}
