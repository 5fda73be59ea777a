//! The code between `%{` and `}%`: assertions about TCP_INFO, in a small part of Python.
//!
//! Statements are `assert CONDITION[, MESSAGE]`, `NAME = VALUE` and `print(VALUES)`, one a line or separated by `;`.
//! Expressions have Python's operators and precedence: `or and not`, chained comparisons, `| ^ & << >> + - * / // %`,
//! `A if C else B`, calls of `abs min max int float round`, numbers, texts, `True False None`.

use super::fault::{Fault, Span};

/// One statement, and its place.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Statement {
    pub(super) what: What,
    pub(super) span: Span,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum What {
    Assert(Term, Option<Term>),
    Assign(String, Term),
    Print(Vec<Term>),
    Evaluate(Term),
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Term {
    pub(super) node: Node,
    pub(super) span: Span,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Node {
    Int(i64),
    Float(f64),
    Text(String),
    Bool(bool),
    Nothing,
    Name(String),
    Not(Box<Term>),
    Minus(Box<Term>),
    Invert(Box<Term>),
    And(Box<Term>, Box<Term>),
    Or(Box<Term>, Box<Term>),
    /// `a < b <= c`
    Compare(Box<Term>, Vec<(&'static str, Term)>),
    Arithmetic(&'static str, Box<Term>, Box<Term>),
    /// `a if c else b`: c, a, b.
    Choice(Box<Term>, Box<Term>, Box<Term>),
    Apply(String, Vec<Term>),
}

/// Tokens of one piece of code, at most: chains of operators nest.
const LENGTH: usize = 2000;
/// How deep parentheses and operators may nest.
const DEPTH: u32 = 64;

/// Reads code that begins at `base` of the script.
///
/// # Errors
/// What is not understood, with its place.
pub(super) fn parse(text: &str, base: usize) -> Result<Vec<Statement>, Fault> {
    let tokens = lex(text, base)?;
    if tokens.len() > LENGTH {
        let span = Span::new(base, base + text.len());
        return Err(Fault::script(span, "this piece of code is too long", "divide it"));
    }
    let mut parser = Parser {
        tokens,
        at: 0,
        end: base + text.len(),
        depth: 0,
    };
    let mut statements = Vec::new();
    loop {
        while parser.take("\n") || parser.take(";") {}
        if parser.peek().is_none() {
            return Ok(statements);
        }
        statements.push(parser.statement()?);
        if parser.peek().is_some() && !parser.is("\n") && !parser.is(";") {
            return Err(parser.unexpected("the end of the statement"));
        }
    }
}

#[derive(Clone, PartialEq, Debug)]
enum Token {
    Int(i64),
    Float(f64),
    Text(String),
    Name(String),
    Mark(&'static str),
}

/// Longer ones first.
const MARKS: &[&str] = &[
    "**", "//", "==", "!=", "<=", ">=", "<<", ">>", "<", ">", "=", "+", "-", "*", "/", "%", "|", "^", "&",
    "~", "(", ")", ",", ";", ":", "[", "]", ".",
];

fn lex(text: &str, base: usize) -> Result<Vec<(Token, Span)>, Fault> {
    let mut tokens = Vec::new();
    let (mut at, mut open) = (0, 0);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let place = |len: usize| Span::new(base + at, base + at + len);
        let (token, len) = match first {
            '\n' if open == 0 => (Some(Token::Mark("\n")), 1),
            '\\' if rest.starts_with("\\\n") => (None, 2),
            c if c.is_whitespace() => (None, c.len_utf8()),
            '#' => (None, rest.find('\n').unwrap_or(rest.len())),
            '0'..='9' => {
                let unreadable = || Fault::script(place(1), "this number cannot be read", "here");
                let (token, len) = number(rest).ok_or_else(unreadable)?;
                (Some(token), len)
            }
            '"' | '\'' => {
                let Some(len) = rest[1..].find(first) else {
                    let message = "a text begins here and does not end";
                    return Err(Fault::script(place(1), message, "here"));
                };
                (Some(Token::Text(rest[1..1 + len].into())), len + 2)
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let len = rest
                    .bytes()
                    .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
                    .count();
                (Some(Token::Name(rest[..len].into())), len)
            }
            _ => {
                let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) else {
                    let message = "this is no part of an expression";
                    return Err(Fault::script(place(first.len_utf8()), message, "here"));
                };
                match *mark {
                    "(" | "[" => open += 1,
                    ")" | "]" => open -= 1,
                    _ => {}
                }
                (Some(Token::Mark(mark)), mark.len())
            }
        };
        tokens.extend(token.map(|token| (token, place(len))));
        at += len;
    }
    Ok(tokens)
}

fn number(text: &str) -> Option<(Token, usize)> {
    if let Some(hex) = text.strip_prefix("0x") {
        let len = hex.bytes().take_while(u8::is_ascii_hexdigit).count();
        return Some((Token::Int(i64::from_str_radix(&hex[..len], 16).ok()?), 2 + len));
    }
    let mut len = text.bytes().take_while(u8::is_ascii_digit).count();
    let mut float = false;
    if text[len..].starts_with('.') {
        float = true;
        len += 1 + text[len + 1..].bytes().take_while(u8::is_ascii_digit).count();
    }
    if text[len..].starts_with(['e', 'E']) {
        let sign = usize::from(text[len + 1..].starts_with(['+', '-']));
        let digits = text[len + 1 + sign..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        if digits > 0 {
            float = true;
            len += 1 + sign + digits;
        }
    }
    let token = if float {
        Token::Float(text[..len].parse().ok()?)
    } else {
        Token::Int(text[..len].parse().ok()?)
    };
    Some((token, len))
}

struct Parser {
    tokens: Vec<(Token, Span)>,
    at: usize,
    end: usize,
    depth: u32,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }
    fn span(&self) -> Span {
        self.tokens
            .get(self.at)
            .map_or(Span::new(self.end, self.end), |(_, span)| *span)
    }
    fn is(&self, mark: &str) -> bool {
        match self.peek() {
            Some(Token::Mark(m)) => *m == mark,
            Some(Token::Name(name)) => name == mark,
            _ => false,
        }
    }
    fn take(&mut self, mark: &str) -> bool {
        let is = self.is(mark);
        self.at += usize::from(is);
        is
    }
    fn unexpected(&self, wanted: &str) -> Fault {
        Fault::script(self.span(), format!("expected {wanted}"), "here")
    }
    fn want(&mut self, mark: &str) -> Result<(), Fault> {
        if self.take(mark) {
            Ok(())
        } else {
            Err(self.unexpected(mark))
        }
    }

    fn statement(&mut self) -> Result<Statement, Fault> {
        let start = self.span();
        let what = if self.take("assert") {
            let condition = self.term()?;
            let message = if self.take(",") { Some(self.term()?) } else { None };
            What::Assert(condition, message)
        } else if self.take("print") {
            What::Print(self.printed()?)
        } else if let (Some(Token::Name(name)), Some((Token::Mark("="), _))) =
            (self.peek().cloned(), self.tokens.get(self.at + 1))
        {
            self.at += 2;
            What::Assign(name, self.term()?)
        } else {
            for word in ["import", "if", "for", "while", "def", "from", "del", "return"] {
                if self.is(word) {
                    let message = format!("{word} is not among the statements that code may have");
                    return Err(Fault::unsupported(start, message, "here")
                        .help("assert CONDITION, NAME = VALUE and print(VALUES) are"));
                }
            }
            What::Evaluate(self.term()?)
        };
        let end = self.tokens[..self.at].last().map_or(start, |(_, span)| *span);
        Ok(Statement {
            what,
            span: start.to(end),
        })
    }
    fn printed(&mut self) -> Result<Vec<Term>, Fault> {
        let mut terms = Vec::new();
        let parenthesised = self.is("(");
        if parenthesised {
            self.at += 1;
            if self.take(")") {
                return Ok(terms);
            }
        }
        loop {
            terms.push(self.term()?);
            if !self.take(",") {
                break;
            }
        }
        if parenthesised {
            self.want(")")?;
        }
        Ok(terms)
    }

    fn node(&self, node: Node, from: Span) -> Term {
        let end = self.tokens[..self.at].last().map_or(from, |(_, span)| *span);
        Term {
            node,
            span: from.to(end),
        }
    }
    fn term(&mut self) -> Result<Term, Fault> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Fault::script(self.span(), "this nests too deeply", "here"));
        }
        let from = self.span();
        let mut term = self.or()?;
        if self.take("if") {
            let condition = self.or()?;
            self.want("else")?;
            let otherwise = self.term()?;
            let node = Node::Choice(condition.into(), term.into(), otherwise.into());
            term = self.node(node, from);
        }
        self.depth -= 1;
        Ok(term)
    }
    fn or(&mut self) -> Result<Term, Fault> {
        let from = self.span();
        let mut left = self.and()?;
        while self.take("or") {
            let right = self.and()?;
            left = self.node(Node::Or(left.into(), right.into()), from);
        }
        Ok(left)
    }
    fn and(&mut self) -> Result<Term, Fault> {
        let from = self.span();
        let mut left = self.not()?;
        while self.take("and") {
            let right = self.not()?;
            left = self.node(Node::And(left.into(), right.into()), from);
        }
        Ok(left)
    }
    fn not(&mut self) -> Result<Term, Fault> {
        let from = self.span();
        let mut times = 0;
        while self.take("not") {
            times += 1;
        }
        let mut term = self.comparison()?;
        for _ in 0..times {
            term = self.node(Node::Not(term.into()), from);
        }
        Ok(term)
    }
    fn comparison(&mut self) -> Result<Term, Fault> {
        let from = self.span();
        let left = self.binary(0)?;
        let mut rest = Vec::new();
        while let Some(&operator) = ["==", "!=", "<=", ">=", "<", ">"].iter().find(|o| self.is(o)) {
            self.at += 1;
            rest.push((operator, self.binary(0)?));
        }
        if rest.is_empty() {
            return Ok(left);
        }
        Ok(self.node(Node::Compare(left.into(), rest), from))
    }
    fn binary(&mut self, level: usize) -> Result<Term, Fault> {
        const LEVELS: [&[&str]; 6] = [
            &["|"],
            &["^"],
            &["&"],
            &["<<", ">>"],
            &["+", "-"],
            &["*", "//", "/", "%"],
        ];
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        let from = self.span();
        let mut left = self.binary(level + 1)?;
        while let Some(&operator) = operators.iter().find(|o| self.is(o)) {
            self.at += 1;
            let right = self.binary(level + 1)?;
            left = self.node(Node::Arithmetic(operator, left.into(), right.into()), from);
        }
        Ok(left)
    }
    fn unary(&mut self) -> Result<Term, Fault> {
        let from = self.span();
        let mut signs = Vec::new();
        while let Some(&sign) = ["-", "+", "~"].iter().find(|o| self.is(o)) {
            self.at += 1;
            signs.push(sign);
        }
        let mut term = self.atom()?;
        for sign in signs.into_iter().rev() {
            term = match sign {
                "-" => self.node(Node::Minus(term.into()), from),
                "~" => self.node(Node::Invert(term.into()), from),
                _ => term,
            };
        }
        Ok(term)
    }
    fn atom(&mut self) -> Result<Term, Fault> {
        let from = self.span();
        let Some(token) = self.peek().cloned() else {
            return Err(self.unexpected("a value"));
        };
        self.at += 1;
        let node = match token {
            Token::Int(n) => Node::Int(n),
            Token::Float(x) => Node::Float(x),
            Token::Text(text) => Node::Text(text),
            Token::Mark("(") => {
                let inner = self.term()?;
                self.want(")")?;
                inner.node
            }
            Token::Name(name) => match name.as_str() {
                "True" => Node::Bool(true),
                "False" => Node::Bool(false),
                "None" => Node::Nothing,
                "and" | "or" | "not" | "if" | "else" | "assert" => {
                    self.at -= 1;
                    return Err(self.unexpected("a value"));
                }
                _ if self.take("(") => Node::Apply(name, self.arguments()?),
                _ => Node::Name(name),
            },
            Token::Mark(_) => {
                self.at -= 1;
                return Err(self.unexpected("a value"));
            }
        };
        Ok(self.node(node, from))
    }
    fn arguments(&mut self) -> Result<Vec<Term>, Fault> {
        let mut arguments = Vec::new();
        while !self.take(")") {
            arguments.push(self.term()?);
            if !self.take(",") {
                self.want(")")?;
                break;
            }
        }
        Ok(arguments)
    }
}
