//! Octets in pieces to text in capitals.

use std::str;

/// Puts a stream of UTF-8 into capitals, piece by piece. A character cut in two by the end of a piece waits
/// for its rest, which is three octets at most. Octets that are no UTF-8 pass as they are.
#[derive(Clone, Debug, Default)]
pub struct Uppercase {
    /// The beginning of a character, from the end of the last piece.
    begun: Vec<u8>,
}

impl Uppercase {
    /// At the beginning of a stream.
    pub fn new() -> Uppercase {
        Uppercase::default()
    }
    /// Takes a piece of the stream and appends to `out` what has become certain of it, in capitals.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let joined;
        let mut rest = match self.begun.is_empty() {
            true => piece,
            false => {
                self.begun.extend_from_slice(piece);
                joined = std::mem::take(&mut self.begun);
                &joined[..]
            }
        };
        loop {
            let error = match str::from_utf8(rest) {
                Ok(text) => return capitals(text, out),
                Err(error) => error,
            };
            let (good, bad) = rest.split_at(error.valid_up_to());
            capitals(str::from_utf8(good).unwrap_or_default(), out);
            match error.error_len() {
                None => {
                    self.begun.extend_from_slice(bad);
                    return;
                }
                Some(len) => {
                    out.extend_from_slice(&bad[..len]);
                    rest = &bad[len..];
                }
            }
        }
    }
    /// The stream has ended: what was begun and never finished passes as it is.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.begun);
    }
}

fn capitals(text: &str, out: &mut Vec<u8>) {
    if text.is_ascii() {
        let start = out.len();
        out.extend_from_slice(text.as_bytes());
        out[start..].make_ascii_uppercase();
    } else {
        out.extend_from_slice(text.to_uppercase().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pieces(text: &[u8], cuts: &[usize]) -> Vec<u8> {
        let (mut upper, mut out, mut start) = (Uppercase::new(), Vec::new(), 0);
        for &cut in cuts.iter().chain([&text.len()]) {
            upper.push(&text[start..cut], &mut out);
            start = cut;
        }
        upper.finish(&mut out);
        out
    }

    /// Wherever the stream is cut, in two or in three, the answer is that of the whole.
    #[test]
    fn cuts_do_not_matter() {
        let text = "python 你好 abc ñandú ß 🦀\nend";
        let whole = text.to_uppercase().into_bytes();
        for first in 0..=text.len() {
            assert_eq!(in_pieces(text.as_bytes(), &[first]), whole);
            for second in first..=text.len() {
                assert_eq!(
                    in_pieces(text.as_bytes(), &[first, second]),
                    whole,
                    "{first} {second}"
                );
            }
        }
        let single: Vec<usize> = (0..text.len()).collect();
        assert_eq!(in_pieces(text.as_bytes(), &single), whole);
    }

    #[test]
    fn what_is_no_text_passes_unharmed() {
        let rubbish = [b'a', 0xff, b'b', 0xe4, 0xbd, b'c', 0xc0, 0x80, 0xf0, 0x9f];
        let expected = [b'A', 0xff, b'B', 0xe4, 0xbd, b'C', 0xc0, 0x80, 0xf0, 0x9f];
        for cut in 0..=rubbish.len() {
            assert_eq!(in_pieces(&rubbish, &[cut]), expected, "{cut}");
        }
    }

    #[test]
    fn never_more_than_a_character_waits() {
        let mut upper = Uppercase::new();
        let mut out = Vec::new();
        for &octet in "🦀".as_bytes().iter().cycle().take(1000) {
            upper.push(&[octet], &mut out);
            assert!(upper.begun.len() <= 3);
        }
    }
}
