//! Words, numbers and marks of a script, each with its place.

use super::fault::{Fault, Span};

/// What a token is.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token {
    /// `socket`, `SOL_TCP`, `P`.
    Word(String),
    /// `10`, `-1`, `0x10`.
    Int(i64),
    /// `.1`, `0.25`, as microseconds, and as it is written.
    Float(i64, String),
    /// `"text"`, with its escapes resolved.
    Text(Vec<u8>),
    /// `` `shell` ``.
    Shell(String),
    /// `%{ code }%`, without the marks; the place is that of the code.
    Code(String),
    /// `--name`.
    Option(String),
    /// `...`.
    Ellipsis,
    /// Any other character.
    Mark(char),
}

/// A token and where it stands.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) span: Span,
}

/// The tokens of a script, and its comments' texts.
#[derive(Debug, Default)]
pub(super) struct Lexed {
    pub(super) tokens: Vec<Placed>,
    pub(super) comments: Vec<(String, Span)>,
}

/// Reads all tokens.
///
/// # Errors
/// An unfinished text, comment, shell line or code; a number too large.
pub(super) fn lex(text: &str) -> Result<Lexed, Fault> {
    let mut lexer = Lexer { text, at: 0 };
    let mut lexed = Lexed::default();
    while lexer.skip_space() {
        let start = lexer.at;
        if let Some(comment) = lexer.comment()? {
            lexed.comments.push((comment, Span::new(start, lexer.at)));
            continue;
        }
        let token = lexer.token()?;
        lexed.tokens.push(Placed {
            token,
            span: Span::new(start, lexer.at),
        });
    }
    Ok(lexed)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }
    /// Whether there is more.
    fn skip_space(&mut self) -> bool {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.at < self.text.len()
    }
    fn comment(&mut self) -> Result<Option<String>, Fault> {
        let rest = self.rest();
        if rest.starts_with("//") {
            let len = rest.find('\n').unwrap_or(rest.len());
            let comment = rest[..len].trim_start_matches('/').trim().to_string();
            self.at += len;
            return Ok(Some(comment));
        }
        if !rest.starts_with("/*") {
            return Ok(None);
        }
        self.enclosed("/*", "*/", "comment").map(Some)
    }
    /// What stands between two marks.
    fn enclosed(&mut self, open: &str, close: &str, what: &str) -> Result<String, Fault> {
        let start = self.at;
        let inside = &self.text[start + open.len()..];
        let Some(len) = inside.find(close) else {
            let span = Span::new(start, start + open.len());
            let message = format!("a {what} begins here and does not end");
            return Err(Fault::script(span, message, format!("without its {close}")));
        };
        let inside = inside[..len].to_string();
        self.at += open.len() + len + close.len();
        Ok(inside)
    }
    fn token(&mut self) -> Result<Token, Fault> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(Token::Mark(' '));
        };
        if rest.starts_with("%{") {
            return self.enclosed("%{", "}%", "piece of code").map(Token::Code);
        }
        if rest.starts_with("...") {
            self.at += 3;
            return Ok(Token::Ellipsis);
        }
        if let Some(name) = rest.strip_prefix("--") {
            let len = word_len(name);
            if len > 0 {
                let name = name[..len].to_string();
                self.at += 2 + len;
                return Ok(Token::Option(name));
            }
        }
        match first {
            '"' => self.quoted(),
            '`' => self.enclosed("`", "`", "shell line").map(Token::Shell),
            '0'..='9' | '.' | '-' => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => {
                let len = word_len(rest);
                let word = rest[..len].to_string();
                self.at += len;
                Ok(Token::Word(word))
            }
            _ => {
                self.at += first.len_utf8();
                Ok(Token::Mark(first))
            }
        }
    }
    /// A number, or the mark that it would begin with.
    fn number(&mut self) -> Result<Token, Fault> {
        let rest = self.rest();
        let sign = usize::from(rest.starts_with('-'));
        let digits = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
        let whole = digits(sign);
        if sign == 0 && rest.starts_with("0x") {
            let hex = rest[2..].bytes().take_while(u8::is_ascii_hexdigit).count();
            if hex > 0 {
                let value = i64::from_str_radix(&rest[2..2 + hex], 16).ok();
                return self.int(value, 2 + hex);
            }
        }
        let after = sign + whole;
        if rest[after..].starts_with('.') {
            let fraction = digits(after + 1);
            if fraction > 0 {
                let len = after + 1 + fraction;
                let text = rest[..len].to_string();
                let micros = micros(&text);
                let token = micros.map(|micros| Token::Float(micros, text));
                return self.numeral(token, len);
            }
        }
        if whole > 0 {
            let len = after;
            // Words such as 1st would be read as a number and a word, which nothing expects.
            return self.int(rest[..len].parse().ok(), len);
        }
        let mark = rest.chars().next().unwrap_or(' ');
        self.at += mark.len_utf8();
        Ok(Token::Mark(mark))
    }
    fn int(&mut self, value: Option<i64>, len: usize) -> Result<Token, Fault> {
        self.numeral(value.map(Token::Int), len)
    }
    fn numeral(&mut self, token: Option<Token>, len: usize) -> Result<Token, Fault> {
        let span = Span::new(self.at, self.at + len);
        self.at += len;
        token.ok_or_else(|| Fault::script(span, "this number is too large", "more than 64 bits"))
    }
    fn quoted(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        let mut out = Vec::new();
        let mut octets = self.text.as_bytes()[start + 1..].iter().copied();
        let mut len = 1;
        while let Some(octet) = octets.next() {
            len += 1;
            match octet {
                b'"' => {
                    self.at += len;
                    return Ok(Token::Text(out));
                }
                b'\\' => {
                    len += 1;
                    out.push(match octets.next() {
                        Some(b'n') => b'\n',
                        Some(b'r') => b'\r',
                        Some(b't') => b'\t',
                        Some(b'0') => 0,
                        Some(b'x') => {
                            len += 2;
                            hex_octet(octets.next(), octets.next()).ok_or_else(|| {
                                let span = Span::new(start, start + 1);
                                Fault::script(span, "\\x wants two hexadecimal digits", "in this text")
                            })?
                        }
                        Some(other) => other,
                        None => break,
                    });
                }
                other => out.push(other),
            }
        }
        let span = Span::new(start, start + 1);
        Err(Fault::script(
            span,
            "a text begins here and does not end",
            "without its \"",
        ))
    }
}

fn hex_octet(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |octet: Option<u8>| char::from(octet?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn word_len(text: &str) -> usize {
    text.bytes()
        .take_while(|octet| octet.is_ascii_alphanumeric() || *octet == b'_')
        .count()
}

/// Microseconds of a decimal number of seconds; what is finer is cut off.
fn micros(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text),
    };
    let (whole, fraction) = text.split_once('.')?;
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: i64 = format!("{:0<6}", &fraction[..fraction.len().min(6)])
        .parse()
        .ok()?;
    whole
        .checked_mul(1_000_000)?
        .checked_add(fraction)?
        .checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        lex(text).unwrap().tokens.into_iter().map(|t| t.token).collect()
    }

    #[test]
    fn times_and_ellipses_do_not_run_together() {
        let float = |micros, text: &str| Token::Float(micros, text.into());
        assert_eq!(
            tokens("0...0.2"),
            [Token::Int(0), Token::Ellipsis, float(200_000, "0.2")]
        );
        assert_eq!(
            tokens("+.1...1"),
            [
                Token::Mark('+'),
                float(100_000, ".1"),
                Token::Ellipsis,
                Token::Int(1)
            ]
        );
        assert_eq!(tokens(". 1:1(0)")[0], Token::Mark('.'));
        assert_eq!(
            tokens("-1 - -.5")[1..],
            [Token::Mark('-'), float(-500_000, "-.5")]
        );
        assert_eq!(tokens("0.0000019"), [float(1, "0.0000019")]);
    }

    #[test]
    fn comments_code_and_shell_lines() {
        let lexed = lex("// Shows: MUST-1\n/* a\nb */ `ls -l` %{ assert 1 }% // end").unwrap();
        let comments: Vec<&str> = lexed.comments.iter().map(|c| c.0.trim()).collect();
        assert_eq!(comments, ["Shows: MUST-1", "a\nb", "end"]);
        assert_eq!(lexed.tokens[0].token, Token::Shell("ls -l".into()));
        assert_eq!(lexed.tokens[1].token, Token::Code(" assert 1 ".into()));
        assert_eq!(tokens(r#""a\n\x41\"""#), [Token::Text(b"a\nA\"".to_vec())]);
        for unfinished in ["\"a", "`a", "/* a", "%{ a", "\"\\", "\"\\x4"] {
            assert!(lex(unfinished).is_err(), "{unfinished}");
        }
        assert!(lex("99999999999999999999").is_err());
    }
}
