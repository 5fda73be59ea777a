//! Text in columns: widths as a terminal counts them, and lines made of coloured pieces at fixed places.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that `text` takes on a terminal; a Chinese character takes two.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// `text` cut to at most `room` columns, with `…` where something was cut off.
pub(crate) fn fit(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_string();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let next = c.width().unwrap_or(0);
        if used + next + 1 > room {
            break;
        }
        used += next;
        out.push(c);
    }
    if room > 0 {
        out.push('…');
    }
    out
}

/// Words in lines of at most `room` columns.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

/// The words of a name in camel case: `OutOfWindow` reads `out of window`.
pub(crate) fn words(name: &str) -> String {
    separated(name, ' ')
}
/// The name as a label: `OutOfWindow` becomes `out_of_window`.
pub(crate) fn snake(name: &str) -> String {
    separated(name, '_')
}
fn separated(name: &str, separator: char) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push(separator);
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Left-aligned in `room` columns.
pub(crate) fn pad(text: &str, room: usize) -> String {
    let mut out = fit(text, room);
    let gap = room.saturating_sub(width(&out));
    out.extend(std::iter::repeat_n(' ', gap));
    out
}
/// Right-aligned in `room` columns.
pub(crate) fn pad_left(text: &str, room: usize) -> String {
    let text = fit(text, room);
    let mut out = " ".repeat(room.saturating_sub(width(&text)));
    out.push_str(&text);
    out
}

/// A line of pieces, each at its column.
#[derive(Default)]
pub(crate) struct Line {
    pieces: Vec<(usize, String, Style)>,
}

impl Line {
    /// Puts `text` at `column`, in any order; what overlaps is pushed to the right.
    pub(crate) fn put(&mut self, column: usize, text: impl Into<String>, style: Style) {
        let text = text.into();
        if !text.is_empty() {
            self.pieces.push((column, text, style));
        }
    }

    /// The line without trailing blanks, coloured if `color`.
    pub(crate) fn render(&self, color: bool) -> String {
        let mut out = String::new();
        let mut at = 0;
        let mut pieces: Vec<_> = self.pieces.iter().collect();
        pieces.sort_by_key(|piece| piece.0);
        for (column, text, style) in pieces {
            if at < *column {
                out.extend(std::iter::repeat_n(' ', column - at));
                at = *column;
            }
            let text = text.as_str();
            if color && *style != Style::new() {
                out.push_str(&format!("{style}{text}{style:#}"));
            } else {
                out.push_str(text);
            }
            at += width(text);
        }
        out.truncate(out.trim_end().len());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(width("浏览器"), 6);
        assert_eq!(fit("浏览器 client", 8), "浏览器 …");
        assert_eq!(pad("服务器", 8), "服务器  ");
        assert_eq!(pad_left("ab", 4), "  ab");
    }

    #[test]
    fn names_become_words() {
        assert_eq!(words("OutOfWindow"), "out of window");
        assert_eq!(snake("NoSocket"), "no_socket");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
    }
}
