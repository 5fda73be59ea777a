//! System calls and their C-like expressions.

use super::Parser;
use crate::drill::fault::{Fault, Span};
use crate::drill::lex::Token;
use crate::drill::syntax::{Call, Expr, Field, Node};

/// How deep expressions may nest, chains of operators included.
const DEPTH: u32 = 64;

impl Parser<'_> {
    pub(super) fn call(&mut self) -> Result<Call, Fault> {
        let start = self.span();
        let until = if self.peek() == Some(&Token::Ellipsis) {
            self.at += 1;
            Some(self.time()?)
        } else {
            None
        };
        let Some(Token::Word(name)) = self.peek() else {
            return Err(self.unexpected("the name of a system call"));
        };
        self.at += 1;
        self.want('(')?;
        let arguments = self.list(')')?;
        self.want('=')?;
        let result = self.result()?;
        let mut errno = None;
        if let Some(Token::Word(name)) = self.peek() {
            self.at += 1;
            let text = if self.is('(') { Some(self.note()?) } else { None };
            errno = Some((name.clone(), text));
        }
        if self.is('(') {
            self.note()?;
        }
        Ok(Call {
            name: name.clone(),
            arguments,
            until,
            result,
            errno,
            span: start.to(self.behind()),
        })
    }
    /// Words in parentheses.
    fn note(&mut self) -> Result<String, Fault> {
        self.want('(')?;
        let from = self.span();
        let mut inside = from;
        while !self.is(')') {
            if self.peek().is_none() {
                return Err(self.unexpected("`)`"));
            }
            inside = from.to(self.span());
            self.at += 1;
        }
        self.at += 1;
        Ok(self.text.get(inside.range()).unwrap_or_default().to_string())
    }
    /// Expressions up to the closing mark, which is taken.
    fn list(&mut self, close: char) -> Result<Vec<Expr>, Fault> {
        let mut items = Vec::new();
        if self.take(close) {
            return Ok(items);
        }
        loop {
            items.push(self.expression()?);
            if self.take(close) {
                return Ok(items);
            }
            self.want(',')?;
        }
    }

    /// What a call is to return. The time of the next event follows, so `+` and `*` are not its operators.
    fn result(&mut self) -> Result<Expr, Fault> {
        let from = self.span();
        let mut left = self.unary()?;
        while self.take('|') {
            let right = self.unary()?;
            left = self.expr(Node::Binary('|', left.into(), right.into()), from);
        }
        Ok(left)
    }
    fn expression(&mut self) -> Result<Expr, Fault> {
        self.deeper(|parser| parser.binary(0))
    }
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth >= DEPTH {
            return Err(Fault::script(self.span(), "this nests too deeply", "here"));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }
    fn binary(&mut self, level: usize) -> Result<Expr, Fault> {
        const LEVELS: [&[char]; 5] = [&['|'], &['^'], &['&'], &['+', '-'], &['*', '/', '%']];
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        let from = self.span();
        let mut left = self.binary(level + 1)?;
        let mut length = 0;
        while let Some(&operator) = operators.iter().find(|o| self.is(**o)) {
            length += 1;
            if length > DEPTH {
                return Err(Fault::script(self.span(), "this expression is too long", "here"));
            }
            self.at += 1;
            let right = self.binary(level + 1)?;
            left = self.expr(Node::Binary(operator, left.into(), right.into()), from);
        }
        Ok(left)
    }
    fn expr(&self, node: Node, from: Span) -> Expr {
        Expr {
            node,
            span: from.to(self.behind()),
        }
    }
    fn unary(&mut self) -> Result<Expr, Fault> {
        let from = self.span();
        for sign in ['-', '~'] {
            if self.take(sign) {
                let inner = self.deeper(Parser::unary)?;
                return Ok(self.expr(Node::Unary(sign, inner.into()), from));
            }
        }
        self.atom()
    }
    fn atom(&mut self) -> Result<Expr, Fault> {
        let from = self.span();
        let Some(token) = self.peek().cloned() else {
            return Err(self.unexpected("a value"));
        };
        self.at += 1;
        let node = match token {
            Token::Ellipsis => Node::Any,
            Token::Int(n) => Node::Int(n),
            Token::Text(text) => self.text_sequence(text),
            Token::Mark('(') => {
                let inner = self.expression()?;
                self.want(')')?;
                inner.node
            }
            Token::Mark('[') => Node::List(self.list(']')?),
            Token::Mark('{') => Node::Struct(self.fields()?),
            Token::Word(word) => match word.as_str() {
                "htons" | "ntohs" | "htonl" | "inet_addr" | "inet6_addr" if self.take('(') => {
                    Node::Apply(word, self.list(')')?)
                }
                _ if self.take('=') => Node::Assign(word, self.expression()?.into()),
                _ => Node::Word(word),
            },
            _ => {
                self.at -= 1;
                return Err(self.unexpected("a value"));
            }
        };
        Ok(self.expr(node, from))
    }
    fn text_sequence(&mut self, mut text: Vec<u8>) -> Node {
        while let Some(Token::Text(more)) = self.peek() {
            text.extend_from_slice(more);
            self.at += 1;
        }
        let open = self.peek() == Some(&Token::Ellipsis);
        self.at += usize::from(open);
        Node::Text(text, open)
    }
    /// The fields of a structure, up to the closing brace, which is taken.
    fn fields(&mut self) -> Result<Vec<Field>, Fault> {
        let mut fields = Vec::new();
        if self.take('}') {
            return Ok(fields);
        }
        loop {
            fields.push(self.field()?);
            if self.take('}') {
                return Ok(fields);
            }
            self.want(',')?;
        }
    }
    fn field(&mut self) -> Result<Field, Fault> {
        let name = match (self.peek(), self.ahead(1)) {
            (Some(Token::Word(name)), Some(Token::Mark('='))) => {
                self.at += 2;
                name.clone()
            }
            // `msg_iov(2) = [...]`
            (Some(Token::Word(name)), Some(Token::Mark('('))) if name.starts_with("msg_") => {
                self.at += 2;
                let argument = self.expression()?;
                self.want(')')?;
                self.want('=')?;
                return Ok(Field {
                    name: name.clone(),
                    argument: Some(argument),
                    value: self.expression()?,
                });
            }
            _ => String::new(),
        };
        Ok(Field {
            name,
            argument: None,
            value: self.expression()?,
        })
    }
}
