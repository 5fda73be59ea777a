//! Where things stand on a row: lifelines, arrows between them, states beside the outer ones.

use anstyle::{AnsiColor, Style};
use sockeye_stack::Instant;

use crate::text::{Line, fit, pad_left, width};

/// Columns for the time.
const TIME: usize = 10;

/// Where the lifelines stand.
#[derive(Debug)]
pub(super) struct Layout {
    /// Columns for the state of the first host, at the left of its lifeline.
    left: usize,
    /// Columns for the state of the last, at the right.
    right: usize,
    /// The columns of the lifelines.
    bars: Vec<usize>,
}

/// What kind of arrow, for its colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Open,
    Close,
    Reset,
    Data,
    Ack,
    Again,
    Other,
}

impl Kind {
    pub(super) fn style(self) -> Style {
        let color = match self {
            Kind::Open => AnsiColor::Green,
            Kind::Close => AnsiColor::Magenta,
            Kind::Reset => AnsiColor::Red,
            Kind::Data => AnsiColor::Cyan,
            Kind::Ack => return Style::new(),
            Kind::Again => AnsiColor::Yellow,
            Kind::Other => AnsiColor::Blue,
        };
        color.on_default()
    }
}

pub(super) fn dim() -> Style {
    Style::new().dimmed()
}
pub(super) fn bold() -> Style {
    Style::new().bold()
}
fn lost_style() -> Style {
    AnsiColor::Red.on_default().bold()
}

/// An arrow to draw.
pub(super) struct Arrow<'a> {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) words: &'a str,
    /// Why, if it fits behind the words.
    pub(super) cause: &'a str,
    pub(super) kind: Kind,
    /// What is said of the loss, if it never arrived.
    pub(super) lost: Option<&'a str>,
}

impl Layout {
    /// For so many hosts in `total` columns, or more if the lanes would become too narrow to read.
    pub(super) fn new(hosts: usize, total: usize) -> Layout {
        let hosts = hosts.max(2);
        // Room for `ESTABLISHED → FIN-WAIT-1` and `SYN-RECEIVED → ESTABLISHED`; with more hosts only for the new state.
        let (left, right) = if hosts == 2 { (24, 26) } else { (14, 14) };
        let lanes = hosts - 1;
        let taken = TIME + 1 + left + 1 + hosts + 1 + right;
        let lane = (total.saturating_sub(taken) / lanes).max(28);
        let first = TIME + 1 + left + 1;
        Layout {
            left,
            right,
            bars: (0..hosts).map(|n| first + n * (lane + 1)).collect(),
        }
    }

    fn last(&self) -> usize {
        self.bars.len() - 1
    }
    /// Columns between two lifelines.
    pub(super) fn room(&self, a: usize, b: usize) -> usize {
        let (a, b) = (a.min(b).min(self.last()), a.max(b).min(self.last()));
        (self.bars[b] - self.bars[a]).saturating_sub(1)
    }
    /// Columns for the words of an arrow.
    pub(super) fn label_room(&self, a: usize, b: usize) -> usize {
        self.room(a, b).saturating_sub(7)
    }
    /// Columns for words below a row.
    pub(super) fn note_room(&self) -> usize {
        self.room(0, 1).saturating_sub(2)
    }
    /// Whether a state of this host has a column, and how wide.
    pub(super) fn state_room(&self, host: usize) -> Option<usize> {
        match host {
            0 => Some(self.left),
            n if n == self.last() => Some(self.right),
            _ => None,
        }
    }

    /// Names over their lifelines, and a title over the times.
    pub(super) fn header(&self, title: &str, texts: &[String], style: Style) -> Line {
        let mut line = Line::default();
        line.put(TIME - title.len(), title, dim());
        for (host, text) in texts.iter().enumerate().take(self.bars.len()) {
            let bar = self.bars[host];
            if host == 0 {
                let text = fit(text, self.left);
                line.put(bar - 1 - width(&text), text, style);
            } else if host == self.last() {
                line.put(bar + 2, text.clone(), style);
            } else {
                let text = fit(text, self.room(0, 1));
                line.put(bar.saturating_sub(width(&text) / 2), text, style);
            }
        }
        line
    }

    /// A line with its time and nothing else.
    pub(super) fn time(&self, at: Option<Instant>) -> Line {
        let mut line = Line::default();
        if let Some(at) = at {
            // Long times lose digits behind the point.
            let digits = at.to_string();
            let digits = digits.get(..TIME).unwrap_or(&digits);
            line.put(TIME - digits.len(), digits, dim());
        }
        line
    }

    /// The state of a host beside its lifeline.
    pub(super) fn state(&self, line: &mut Line, host: usize, text: &str, style: Style) {
        let bar = self.bars[host.min(self.last())];
        if host == 0 {
            let text = fit(text, self.left);
            line.put(bar - 1 - width(&text), text, style);
        } else {
            line.put(bar + 2, text, style);
        }
    }

    /// All lifelines but those that an arrow between `a` and `b` covers or touches.
    fn bars_except(&self, line: &mut Line, covered: Option<(usize, usize)>) {
        for (n, bar) in self.bars.iter().enumerate() {
            if covered.is_none_or(|(a, b)| n < a || n > b) {
                line.put(*bar, "│", dim());
            }
        }
    }

    /// Words beside the lifeline of a host, in the lane inside of it.
    pub(super) fn note(&self, line: &mut Line, host: usize, text: &str, style: Style) {
        self.bars_except(line, None);
        let host = host.min(self.last());
        let text = fit(text, self.note_room());
        if host > 0 && host == self.last() {
            line.put(self.bars[host - 1] + 2, pad_left(&text, self.note_room()), style);
        } else {
            line.put(self.bars[host] + 2, text, style);
        }
    }

    /// Words across the whole diagram.
    pub(super) fn banner(&self, line: &mut Line, text: &str) {
        line.put(TIME + 1, "▌", AnsiColor::Blue.on_default());
        line.put(TIME + 3, text, bold());
    }

    /// The arrow of a frame.
    pub(super) fn arrow(&self, line: &mut Line, arrow: &Arrow<'_>) {
        let (from, to) = (arrow.from.min(self.last()), arrow.to.min(self.last()));
        let (a, b) = (from.min(to), from.max(to));
        let rightwards = from < to;
        let style = arrow.kind.style();
        self.bars_except(line, Some((a, b)));
        line.put(self.bars[from], if rightwards { "├" } else { "┤" }, dim());
        line.put(self.bars[to], "│", dim());
        let start = self.bars[a] + 1;
        let room = self.room(a, b);
        let words = fit(arrow.words, self.label_room(a, b));
        let cause = if arrow.cause.is_empty() {
            String::new()
        } else {
            format!("· {} ", arrow.cause)
        };
        let taken = 3 + width(&words) + 1 + width(&cause);
        match arrow.lost {
            Some(lost) => {
                self.broken(line, arrow, &words, (start, room));
                if self.holds(to, lost) {
                    self.state(line, to, lost, lost_style());
                }
            }
            None if rightwards => {
                line.put(start, "── ", style);
                line.put(start + 3, words.clone(), style.bold());
                line.put(start + 4 + width(&words), cause, dim());
                line.put(start + taken, "─".repeat(room.saturating_sub(taken + 1)), style);
                line.put(start + room - 1, "▶", style);
            }
            None => {
                line.put(start, "◀── ", style);
                line.put(start + 4, words.clone(), style.bold());
                line.put(start + 5 + width(&words), cause, dim());
                line.put(
                    start + taken + 1,
                    "─".repeat(room.saturating_sub(taken + 1)),
                    style,
                );
            }
        }
    }

    /// Whether these words fit beside the lifeline of this host.
    pub(super) fn holds(&self, host: usize, words: &str) -> bool {
        self.state_room(host.min(self.last()))
            .is_some_and(|room| width(words) <= room)
    }

    /// An arrow that ends on its way: three quarters of it, or more if the words need it.
    fn broken(&self, line: &mut Line, arrow: &Arrow<'_>, words: &str, (start, room): (usize, usize)) {
        let style = arrow.kind.style();
        let taken = 3 + width(words) + 1;
        let reach = (room * 3 / 4).max(taken + 2).min(room);
        let shaft = "─".repeat(reach.saturating_sub(taken + 1));
        if arrow.from < arrow.to {
            line.put(start, "── ", style);
            line.put(start + 3, words, style.bold());
            line.put(start + taken, shaft, style);
            line.put(start + reach - 1, "✗", lost_style());
        } else {
            let cross = start + room - reach;
            line.put(cross, "✗", lost_style());
            line.put(cross + 1, shaft, style);
            line.put(start + room - taken + 1, words, style.bold());
            line.put(start + room - 2, "──", style);
        }
    }
}

/// For terminals and files that have only ASCII; each character stays as wide as it was.
pub(super) fn ascii(line: &str) -> String {
    line.chars()
        .map(|c| match c {
            '─' => '-',
            '│' | '├' | '┤' | '▌' | '·' => '|',
            '▶' => '>',
            '◀' => '<',
            '✗' => 'X',
            '…' => '~',
            other => other,
        })
        .collect()
}
