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
        notes: notes(&lexed.comments)?,
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
fn notes(comments: &[(String, Span)]) -> Result<Notes, Fault> {
    /// What `Only:` may name.
    const MODES: [&str; 5] = ["rfc", "linux", "ipv4", "ipv6", "mapped"];
    let mut notes = Notes::default();
    let lines = comments
        .iter()
        .flat_map(|(text, span)| text.lines().map(move |line| (line, *span)));
    let mut described = false;
    for (line, span) in lines {
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
            if let Some(other) = notes.only.iter().find(|word| !MODES.contains(&word.as_str())) {
                let message = format!("`{other}` is none of the modes that a script can be written for");
                return Err(Fault::script(span, message, "in this comment").help(MODES.join(", ")));
            }
        } else if !described && !line.is_empty() {
            notes.about = line.to_string();
            described = true;
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::fault::{Kind, line_of};
    use crate::drill::syntax::{Body, Node, TcpOption};

    fn one(text: &str) -> Event {
        let script = parse("test", text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        assert_eq!(script.events.len(), 1, "{text}");
        script.events[0].clone()
    }

    #[test]
    fn times() {
        for (text, when) in [
            ("0 close(1) = 0", When::At(0)),
            ("1.5 close(1) = 0", When::At(1_500_000)),
            ("+.25 close(1) = 0", When::After(250_000)),
            ("* > . 1:1(0)", When::Any),
            ("1~2 > . 1:1(0)", When::Between(1_000_000, 2_000_000)),
            ("+0~+.2 > . 1:1(0)", When::AfterBetween(0, 200_000)),
        ] {
            assert_eq!(one(text).when, when, "{text}");
        }
        let Action::Call(call) = one("+0...0.2 read(4, ..., 10) = 5").action else {
            panic!("a call")
        };
        assert_eq!(call.until, Some(200_000));
    }

    #[test]
    fn segments() {
        let text = "0 < [ce, ttl 3] 40000 > 80 SEWP. 1:11(10) ack 2 win 3 urg 4 <mss 5,nop,TS val 6 ecr 7,raw fe03ff>";
        let Action::Packet(packet) = one(text).action else {
            panic!("a packet")
        };
        assert_eq!(packet.ports, Some((40_000, 80)));
        assert_eq!(packet.ip.to_string(), "[ce, ttl 3] ");
        let Body::Tcp(tcp) = packet.body else {
            panic!("a segment")
        };
        assert_eq!(
            tcp.to_string(),
            "SPEW. 1:11(10) ack 2 win 3 urg 4 <mss 5,nop,TS val 6 ecr 7,raw fe03ff>"
        );
        let Action::Packet(packet) = one("0 > - 4294967295:1(2) <...>").action else {
            panic!("a packet")
        };
        let Body::Tcp(tcp) = packet.body else {
            panic!("a segment")
        };
        assert_eq!((tcp.flags, tcp.options), (0, None));
        let Action::Packet(packet) = one("0 < [src ff02::1, dst fd00::2] . 1:1(0) <sack 1:2 3:4>").action
        else {
            panic!("a packet")
        };
        assert_eq!(packet.ip.destination, Some("fd00::2".parse().unwrap()));
        let Body::Tcp(tcp) = packet.body else {
            panic!("a segment")
        };
        assert_eq!(tcp.options, Some(vec![TcpOption::Sack(vec![(1, 2), (3, 4)])]));
    }

    /// The result of a call is followed by the time of the next event: `+` and `*` are not its operators.
    #[test]
    fn results_end_before_the_next_time() {
        let text = "0 close(1) = 0\n+0 close(2) = -1 EBADF (Bad file descriptor)\n* > . 1:1(0)\n+1 fcntl(3, F_GETFL) = 0x2 \
                    (flags O_RDWR)\n.5 close(4) = 0";
        let script = parse("test", text);
        assert_eq!(script.unwrap().events.len(), 5);
    }

    #[test]
    fn expressions() {
        let text = "0 f(A|B|1 + 2*3, {a = 1, b(2) = [..., \"x\" \"y\"], {..., 5}}, \"open\"..., htons(80), -1) = ...";
        let text = text.replace("b(2)", "msg_iov(2)");
        let Action::Call(call) = one(&text).action else {
            panic!("a call")
        };
        assert_eq!(call.arguments.len(), 5);
        let Node::Struct(fields) = &call.arguments[1].node else {
            panic!("a structure")
        };
        assert_eq!(fields[1].name, "msg_iov");
        assert_eq!(call.arguments[2].node, Node::Text(b"open".to_vec(), true));
        assert_eq!(call.result.node, Node::Any);
    }

    #[test]
    fn heads_and_comments() {
        let text = "// What it shows.\n// Shows: MUST-1, U-2\n// Cell: LISTEN x RST\n// Only: linux, ipv4\n--mtu=1400 \
                    --ip_version=ipv4\n`sysctl -q a=1`\n0 close(1) = 0\n`true`";
        let script = parse("test", text).unwrap();
        assert_eq!(script.notes.about, "What it shows.");
        assert_eq!(script.notes.shows, ["MUST-1", "U-2"]);
        assert_eq!(script.notes.cells, ["LISTEN x RST"]);
        assert_eq!(script.notes.only, ["linux", "ipv4"]);
        let options: Vec<_> = script
            .options
            .iter()
            .map(|o| (o.name.as_str(), o.value.as_str()))
            .collect();
        assert_eq!(options, [("mtu", "1400"), ("ip_version", "ipv4")]);
        assert_eq!(script.events.len(), 3);
        assert_eq!(parse("empty", "").unwrap().events.len(), 0);
    }

    #[test]
    fn faults_point_at_their_place() {
        for (text, kind, line, column) in [
            ("0 close(1 = 0", Kind::Script, 1, 11),
            ("0 close(1) = 0\n+1 < S 0:0(0) win x", Kind::Script, 2, 19),
            ("0 < S 0:5(6)", Kind::Script, 1, 7),
            ("0 > gre: . 1:1(0)", Kind::Unsupported, 1, 5),
            ("2 close(1) = 0\n1 close(2) = 0", Kind::Script, 2, 1),
            ("1~0 > . 1:1(0)", Kind::Script, 1, 1),
            ("0 %{ assert }%", Kind::Script, 1, 13),
            ("99999999999999 close(1) = 0", Kind::Script, 1, 1),
            ("// Only: lunix\n0 close(1) = 0", Kind::Script, 1, 1),
        ] {
            let fault = parse("test", text).unwrap_err();
            assert_eq!(fault.kind, kind, "{text}: {fault}");
            assert_eq!(line_of(text, fault.span.start), (line, column), "{text}: {fault}");
        }
        let deep = format!("0 f({}1{}) = 0", "(".repeat(500), ")".repeat(500));
        assert!(parse("test", &deep).is_err());
        let long = format!("0 f(1{}) = 0", "+1".repeat(500));
        assert!(parse("test", &long).is_err());
    }
}
