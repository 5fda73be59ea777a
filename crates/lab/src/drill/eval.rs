//! What the C-like expressions of system calls stand for.

use std::net::{IpAddr, SocketAddr};

use super::constant;
use super::fault::{Fault, Span};
use super::syntax::{Expr, Field, Node};

/// A whole number.
pub(super) fn int(expr: &Expr) -> Result<i64, Fault> {
    let bad = |what: &str| Err(Fault::script(expr.span, what.to_string(), "here"));
    match &expr.node {
        Node::Int(n) => Ok(*n),
        Node::Word(name) => match constant::value(name).or_else(|| constant::errno(name).map(i64::from)) {
            Some(value) => Ok(value),
            None => {
                let message = format!("{name} is not a name that is known here");
                Err(Fault::script(expr.span, message, "unknown name"))
            }
        },
        Node::Unary(sign, inner) => {
            let n = int(inner)?;
            match sign {
                '~' => Ok(!n),
                _ => n
                    .checked_neg()
                    .map_or_else(|| bad("this number is too large"), Ok),
            }
        }
        Node::Binary(operator, a, b) => {
            let (a, b) = (int(a)?, int(b)?);
            let value = match operator {
                '|' => Some(a | b),
                '^' => Some(a ^ b),
                '&' => Some(a & b),
                '+' => a.checked_add(b),
                '-' => a.checked_sub(b),
                '*' => a.checked_mul(b),
                '/' => a.checked_div(b),
                _ => a.checked_rem(b),
            };
            value.map_or_else(|| bad("this has no result"), Ok)
        }
        Node::Apply(name, arguments) if name != "inet_addr" && name != "inet6_addr" => match &arguments[..] {
            // Numbers are written as people do everywhere: nothing has to be turned over.
            [one] => int(one),
            _ => bad("this takes one number"),
        },
        Node::Any => bad("`...` can stand for anything here, and a number is needed"),
        _ => bad("a number is needed here"),
    }
}

/// A number that may be left open.
pub(super) fn int_or_any(expr: &Expr) -> Result<Option<i64>, Fault> {
    match expr.node {
        Node::Any => Ok(None),
        _ => int(expr).map(Some),
    }
}

/// A length.
pub(super) fn len(expr: &Expr) -> Result<usize, Fault> {
    /// More than any buffer that a script can mean.
    const MOST: i64 = 1 << 30;
    match int(expr)? {
        n @ 0..=MOST => Ok(n as usize),
        _ => Err(Fault::script(
            expr.span,
            "this length is out of range",
            "0 to 2^30",
        )),
    }
}

/// The items of `[a, b]`.
pub(super) fn list(expr: &Expr) -> Result<&[Expr], Fault> {
    match &expr.node {
        Node::List(items) => Ok(items),
        _ => Err(Fault::script(
            expr.span,
            "a list in brackets is needed here",
            "here",
        )),
    }
}
/// The only item of `[a]`, or the expression itself.
pub(super) fn one(expr: &Expr) -> &Expr {
    match &expr.node {
        Node::List(items) if items.len() == 1 => &items[0],
        _ => expr,
    }
}

/// The fields of a structure.
pub(super) fn fields(expr: &Expr) -> Result<&[Field], Fault> {
    match &expr.node {
        Node::Struct(fields) => Ok(fields),
        _ => Err(Fault::script(
            expr.span,
            "a structure in braces is needed here",
            "here",
        )),
    }
}
/// A field by its name.
pub(super) fn field<'e>(fields: &'e [Field], name: &str) -> Option<&'e Expr> {
    fields
        .iter()
        .find(|field| field.name == name)
        .map(|field| &field.value)
}
/// A field that must be there.
pub(super) fn needed<'e>(fields: &'e [Field], name: &str, span: Span) -> Result<&'e Expr, Fault> {
    field(fields, name).ok_or_else(|| {
        let message = format!("this structure wants a field {name}");
        Fault::script(span, message, "not there")
    })
}

/// What an address argument says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Addr {
    /// `...`
    Any,
    /// `{sa_family = AF_UNSPEC, ...}`
    Unspecified,
    Given(SocketAddr),
}

/// An address: `...` or `{sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr("192.0.2.1")}`.
pub(super) fn address(expr: &Expr) -> Result<Addr, Fault> {
    if expr.node == Node::Any {
        return Ok(Addr::Any);
    }
    let fields = fields(expr)?;
    let first = |names: &[&str]| names.iter().find_map(|name| field(fields, name));
    let family = match first(&["sa_family", "sin_family", "sin6_family"]) {
        Some(family) => int(family)?,
        None => {
            return Err(Fault::script(
                expr.span,
                "an address wants sa_family",
                "not there",
            ));
        }
    };
    if family == 0 {
        return Ok(Addr::Unspecified);
    }
    let port = match first(&["sin_port", "sin6_port"]) {
        Some(port) => int(port)?,
        None => 0,
    };
    let Ok(port) = u16::try_from(port) else {
        return Err(Fault::script(
            expr.span,
            "this port is out of range",
            "0 to 65535",
        ));
    };
    let ip = match first(&["sin_addr", "sin6_addr"]) {
        Some(addr) => ip(addr)?,
        None => return Err(Fault::script(expr.span, "an address wants sin_addr", "not there")),
    };
    Ok(Addr::Given(SocketAddr::new(ip, port)))
}

fn ip(expr: &Expr) -> Result<IpAddr, Fault> {
    let bad = || {
        Fault::script(
            expr.span,
            "an IP address is needed here",
            "as inet_addr(\"192.0.2.1\")",
        )
    };
    match &expr.node {
        Node::Apply(_, arguments) => match &arguments[..] {
            [argument] => ip(argument),
            _ => Err(bad()),
        },
        Node::Text(text, _) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(bad),
        Node::Word(word) if word == "INADDR_ANY" => Ok(std::net::Ipv4Addr::UNSPECIFIED.into()),
        _ => Err(bad()),
    }
}
