//! From text to [`Script`].

mod call;
mod packet;

use std::sync::Arc;

use super::code;
use super::fault::{Fault, Span};
use super::lex::{Placed, Token, lex};
use super::syntax::{Action, Event, HeadOption, Notes, Script, When};

/// Reads a script.
///
/// # Errors
/// The first thing that is not understood, with its place.
pub(super) fn parse(name: &str, text: &str) -> Result<Script, Fault> {
    let lexed = lex(text)?;
    let mut parser = Parser {
        text,
        tokens: &lexed.tokens,
        at: 0,
        depth: 0,
    };
    let options = parser.options()?;
    let mut events = Vec::new();
    // A shell line before the first event and one behind the last stand without a time.
    while parser.peek().is_some() {
        events.push(parser.event(events.is_empty())?);
    }
    check_times(&events)?;
    Ok(Script {
        name: name.into(),
        text: Arc::from(text),
        notes: notes(&lexed.comments),
        options,
        events,
    })
}

struct Parser<'t> {
    text: &'t str,
    tokens: &'t [Placed],
    at: usize,
    depth: u32,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t Token> {
        self.ahead(0)
    }
    fn ahead(&self, n: usize) -> Option<&'t Token> {
        self.tokens.get(self.at + n).map(|placed| &placed.token)
    }
    /// The place of the next token, or of the end.
    fn span(&self) -> Span {
        let end = self.text.len();
        self.tokens
            .get(self.at)
            .map_or(Span::new(end, end), |placed| placed.span)
    }
    /// The place of the last token taken.
    fn behind(&self) -> Span {
        self.at
            .checked_sub(1)
            .and_then(|at| self.tokens.get(at))
            .map_or(Span::default(), |placed| placed.span)
    }
    fn is(&self, mark: char) -> bool {
        self.peek() == Some(&Token::Mark(mark))
    }
    fn take(&mut self, mark: char) -> bool {
        let is = self.is(mark);
        self.at += usize::from(is);
        is
    }
    fn want(&mut self, mark: char) -> Result<(), Fault> {
        if self.take(mark) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("`{mark}`")))
        }
    }
    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(w)) if w == word)
    }
    fn take_word(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        self.at += usize::from(is);
        is
    }
    fn unexpected(&self, wanted: &str) -> Fault {
        let span = self.span();
        let label = match self.text.get(span.range()) {
            Some("") | None => "the script ends here".to_string(),
            Some(text) => format!("this is `{}`", text.lines().next().unwrap_or_default()),
        };
        Fault::script(span, format!("expected {wanted}"), label)
    }
    /// A whole number within bounds.
    fn number(&mut self, what: &str, most: i64) -> Result<i64, Fault> {
        let span = self.span();
        let Some(Token::Int(n)) = self.peek() else {
            return Err(self.unexpected(what));
        };
        self.at += 1;
        if !(0..=most).contains(n) {
            let message = format!("{what} is out of range");
            return Err(Fault::script(span, message, format!("not within 0 to {most}")));
        }
        Ok(*n)
    }
    fn u16(&mut self, what: &str) -> Result<u16, Fault> {
        Ok(self.number(what, u16::MAX.into())? as u16)
    }
    fn u32(&mut self, what: &str) -> Result<u32, Fault> {
        Ok(self.number(what, u32::MAX.into())? as u32)
    }

    fn options(&mut self) -> Result<Vec<HeadOption>, Fault> {
        let mut options = Vec::new();
        while let Some(Token::Option(name)) = self.peek() {
            let start = self.span();
            self.at += 1;
            let mut value = String::new();
            if self.take('=') {
                // The value is what stands there until the next space.
                let from = self.span().start;
                let rest = &self.text[from..];
                let len = rest.find(char::is_whitespace).unwrap_or(rest.len());
                value = rest[..len].trim_matches('"').to_string();
                while self
                    .tokens
                    .get(self.at)
                    .is_some_and(|t| t.span.start < from + len)
                {
                    self.at += 1;
                }
                if value.is_empty() {
                    return Err(self.unexpected("the option's value"));
                }
            }
            options.push(HeadOption {
                name: name.clone(),
                value,
                span: start.to(self.behind()),
            });
        }
        Ok(options)
    }

    fn event(&mut self, first: bool) -> Result<Event, Fault> {
        let start = self.span();
        if let Some(Token::Shell(line)) = self.peek()
            && (first || self.at + 1 == self.tokens.len())
        {
            self.at += 1;
            return Ok(Event {
                when: When::After(0),
                action: Action::Shell(line.clone()),
                span: start,
            });
        }
        let when = self.when()?;
        let timed = start.to(self.behind());
        let action = self.action()?;
        let outbound = matches!(&action, Action::Packet(packet) if !packet.inbound);
        if !outbound && matches!(when, When::Any | When::Between(..) | When::AfterBetween(..)) {
            let message = "only a packet that is expected can come at any time or within a range";
            return Err(Fault::script(timed, message, "give one time here"));
        }
        Ok(Event {
            when,
            action,
            span: start.to(self.behind()),
        })
    }
    fn when(&mut self) -> Result<When, Fault> {
        let start = self.span();
        let backwards = |parser: &Self| {
            let span = start.to(parser.behind());
            Fault::script(
                span,
                "this range of times runs backwards",
                "its end is before its start",
            )
        };
        if self.take('*') {
            return Ok(When::Any);
        }
        let relative = self.take('+');
        let from = self.time()?;
        if !self.take('~') {
            return Ok(if relative {
                When::After(from)
            } else {
                When::At(from)
            });
        }
        if relative {
            self.want('+')?;
        }
        let to = self.time()?;
        if to < from {
            return Err(backwards(self));
        }
        Ok(if relative {
            When::AfterBetween(from, to)
        } else {
            When::Between(from, to)
        })
    }
    /// A time in microseconds.
    fn time(&mut self) -> Result<i64, Fault> {
        // A century: what is longer cannot be meant, and sums of them do not overflow.
        const LONGEST: i64 = 100 * 366 * 86_400 * 1_000_000;
        let span = self.span();
        let micros = match self.peek() {
            Some(Token::Float(micros, _)) => Some(*micros),
            Some(Token::Int(seconds)) => seconds.checked_mul(1_000_000),
            _ => return Err(self.unexpected("a time")),
        };
        self.at += 1;
        match micros {
            Some(micros) if micros < 0 => Err(Fault::script(span, "a time cannot be negative", "here")),
            Some(micros) if micros <= LONGEST => Ok(micros),
            _ => Err(Fault::script(span, "this time is too long", "seconds are meant")),
        }
    }
    fn action(&mut self) -> Result<Action, Fault> {
        let span = self.span();
        match self.peek() {
            Some(Token::Mark('<' | '>')) => Ok(Action::Packet(self.packet()?)),
            Some(Token::Shell(line)) => {
                self.at += 1;
                Ok(Action::Shell(line.clone()))
            }
            Some(Token::Code(text)) => {
                self.at += 1;
                Ok(Action::Code(code::parse(text, span.start + 2)?))
            }
            Some(Token::Ellipsis | Token::Word(_)) => Ok(Action::Call(self.call()?)),
            _ => Err(self.unexpected("a packet, a system call, a shell line or code")),
        }
    }
}

/// Absolute times do not run backwards.
fn check_times(events: &[Event]) -> Result<(), Fault> {
    let mut latest = 0;
    for event in events {
        if let When::At(at) | When::Between(at, _) = event.when {
            if at < latest {
                let message = "time runs backwards here";
                return Err(Fault::script(
                    event.span,
                    message,
                    "this is before an event above it",
                ));
            }
            latest = at;
        }
    }
    Ok(())
}

/// What the comments say of the script.
fn notes(comments: &[(String, Span)]) -> Notes {
    let mut notes = Notes::default();
    let lines = comments.iter().flat_map(|(text, _)| text.lines());
    let mut described = false;
    for line in lines {
        let line = line.trim().trim_start_matches('*').trim();
        let list = |rest: &str| {
            rest.split(',')
                .map(|item| item.trim().to_string())
                .collect::<Vec<_>>()
        };
        if let Some(rest) = line.strip_prefix("Shows:") {
            notes.shows.extend(list(rest));
        } else if let Some(rest) = line.strip_prefix("Cell:") {
            notes.cells.push(rest.trim().to_string());
        } else if let Some(rest) = line.strip_prefix("Only:") {
            notes.only.extend(list(rest));
        } else if !described && !line.is_empty() {
            notes.about = line.to_string();
            described = true;
        }
    }
    notes
}
