//! What the code of a script computes.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use super::code::{Node, Statement, Term, What};
use super::fault::{Difference, Fault};

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Nothing,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Int(n) => n.fmt(f),
            Value::Float(x) => x.fmt(f),
            Value::Bool(true) => f.write_str("True"),
            Value::Bool(false) => f.write_str("False"),
            Value::Text(text) => f.write_str(text),
            Value::Nothing => f.write_str("None"),
        }
    }
}

impl Value {
    fn truth(&self) -> bool {
        match self {
            Value::Int(n) => *n != 0,
            Value::Float(x) => *x != 0.0,
            Value::Bool(b) => *b,
            Value::Text(text) => !text.is_empty(),
            Value::Nothing => false,
        }
    }
    fn int(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            Value::Bool(b) => Some((*b).into()),
            _ => None,
        }
    }
    fn float(&self) -> Option<f64> {
        match self {
            Value::Float(x) => Some(*x),
            other => other.int().map(|n| n as f64),
        }
    }
}

/// Where names are looked up: TCP_INFO and the like.
pub(super) trait Names {
    /// The value of a name; `None` if there is no such name.
    ///
    /// # Errors
    /// If it is one, but cannot be told now.
    fn name(&self, name: &str) -> Result<Option<Value>, String>;
}

/// What code leaves behind for the next piece of it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    variables: BTreeMap<String, Value>,
    /// What was printed.
    pub(super) printed: Vec<String>,
}

/// Runs statements.
///
/// # Errors
/// An assertion that does not hold; a name that is unknown; an operation that has no result.
pub(super) fn run(statements: &[Statement], memory: &mut Memory, names: &dyn Names) -> Result<(), Fault> {
    for statement in statements {
        let scope = Scope { memory, names };
        match &statement.what {
            What::Assert(condition, message) => {
                if scope.value(condition)?.truth() {
                    continue;
                }
                let said = match message {
                    Some(message) => format!("the assertion does not hold: {}", scope.value(message)?),
                    None => "the assertion does not hold".into(),
                };
                let differences = scope.sides(condition);
                return Err(Fault::not_held(statement.span, said, "false").with(differences));
            }
            What::Assign(name, term) => {
                let value = scope.value(term)?;
                memory.variables.insert(name.clone(), value);
            }
            What::Print(terms) => {
                let values: Result<Vec<_>, _> = terms.iter().map(|term| scope.value(term)).collect();
                let words: Vec<_> = values?.iter().map(ToString::to_string).collect();
                memory.printed.push(words.join(" "));
            }
            What::Evaluate(term) => {
                scope.value(term)?;
            }
        }
    }
    Ok(())
}

struct Scope<'a> {
    memory: &'a Memory,
    names: &'a dyn Names,
}

impl Scope<'_> {
    /// The names in a condition with what they stand for: what an assertion that fails is asked for first.
    fn sides(&self, condition: &Term) -> Vec<Difference> {
        let mut names = Vec::new();
        collect(condition, &mut names);
        names
            .into_iter()
            .filter_map(|term| {
                let Node::Name(name) = &term.node else { return None };
                let value = self.value(term).ok()?;
                // Constants speak for themselves.
                (!name.starts_with(|c: char| c.is_ascii_uppercase()))
                    .then(|| Difference::new(name, "the condition to hold", value))
            })
            .collect()
    }
    fn value(&self, term: &Term) -> Result<Value, Fault> {
        let bad = |what: &str| Err(Fault::script(term.span, what.to_string(), "here"));
        Ok(match &term.node {
            Node::Int(n) => Value::Int(*n),
            Node::Float(x) => Value::Float(*x),
            Node::Text(text) => Value::Text(text.clone()),
            Node::Bool(b) => Value::Bool(*b),
            Node::Nothing => Value::Nothing,
            Node::Name(name) => return self.lookup(name, term),
            Node::Not(inner) => Value::Bool(!self.value(inner)?.truth()),
            Node::Minus(inner) => match self.value(inner)? {
                Value::Float(x) => Value::Float(-x),
                other => match other.int().and_then(i64::checked_neg) {
                    Some(n) => Value::Int(n),
                    None => return bad("this has no negative"),
                },
            },
            Node::Invert(inner) => match self.value(inner)?.int() {
                Some(n) => Value::Int(!n),
                None => return bad("~ wants a whole number"),
            },
            Node::And(a, b) => match self.value(a)? {
                a if a.truth() => self.value(b)?,
                a => a,
            },
            Node::Or(a, b) => match self.value(a)? {
                a if a.truth() => a,
                _ => self.value(b)?,
            },
            Node::Choice(condition, yes, no) => {
                if self.value(condition)?.truth() {
                    self.value(yes)?
                } else {
                    self.value(no)?
                }
            }
            Node::Compare(first, rest) => {
                let mut left = self.value(first)?;
                for (operator, right) in rest {
                    let right = self.value(right)?;
                    let Some(holds) = compare(operator, &left, &right) else {
                        return bad("these two cannot be compared");
                    };
                    if !holds {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
            Node::Arithmetic(operator, a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                match arithmetic(operator, &a, &b) {
                    Some(value) => value,
                    None => return bad("this has no result"),
                }
            }
            Node::Apply(name, arguments) => {
                let values: Result<Vec<_>, _> = arguments.iter().map(|term| self.value(term)).collect();
                match apply(name, &values?) {
                    Some(value) => value,
                    None => return bad("there is no such function, or not for these values"),
                }
            }
        })
    }
    fn lookup(&self, name: &str, term: &Term) -> Result<Value, Fault> {
        if let Some(value) = self.memory.variables.get(name) {
            return Ok(value.clone());
        }
        match self.names.name(name) {
            Ok(Some(value)) => Ok(value),
            Ok(None) if name.starts_with("tcpi_") => {
                let message = format!("{name} is not told by this stack");
                Err(Fault::unsupported(term.span, message, "not known"))
            }
            Ok(None) => Err(Fault::script(
                term.span,
                format!("there is no {name}"),
                "unknown name",
            )),
            Err(why) => Err(Fault::not_held(term.span, why, "cannot be told")),
        }
    }
}

fn collect<'t>(term: &'t Term, into: &mut Vec<&'t Term>) {
    match &term.node {
        Node::Name(name) => {
            let known = into
                .iter()
                .any(|t| matches!(&t.node, Node::Name(other) if other == name));
            if !known {
                into.push(term);
            }
        }
        Node::Not(a) | Node::Minus(a) | Node::Invert(a) => collect(a, into),
        Node::And(a, b) | Node::Or(a, b) | Node::Arithmetic(_, a, b) => {
            collect(a, into);
            collect(b, into);
        }
        Node::Choice(a, b, c) => {
            collect(a, into);
            collect(b, into);
            collect(c, into);
        }
        Node::Compare(first, rest) => {
            collect(first, into);
            rest.iter().for_each(|(_, term)| collect(term, into));
        }
        Node::Apply(_, terms) => terms.iter().for_each(|term| collect(term, into)),
        Node::Int(_) | Node::Float(_) | Node::Text(_) | Node::Bool(_) | Node::Nothing => {}
    }
}

fn compare(operator: &str, a: &Value, b: &Value) -> Option<bool> {
    let order = match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Nothing, Value::Nothing) => Some(Ordering::Equal),
        _ => match (a.int(), b.int()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => match (a.float(), b.float()) {
                (Some(a), Some(b)) => a.partial_cmp(&b),
                _ => None,
            },
        },
    };
    match operator {
        "==" => Some(order == Some(Ordering::Equal)),
        "!=" => Some(order != Some(Ordering::Equal)),
        "<" => Some(order? == Ordering::Less),
        "<=" => Some(order? != Ordering::Greater),
        ">" => Some(order? == Ordering::Greater),
        _ => Some(order? != Ordering::Less),
    }
}

fn arithmetic(operator: &str, a: &Value, b: &Value) -> Option<Value> {
    if let (Value::Text(a), Value::Text(b)) = (a, b) {
        return (operator == "+").then(|| Value::Text(format!("{a}{b}")));
    }
    if let (Some(a), Some(b)) = (a.int(), b.int())
        && operator != "/"
    {
        let shift = || u32::try_from(b).ok();
        return Some(Value::Int(match operator {
            "+" => a.checked_add(b)?,
            "-" => a.checked_sub(b)?,
            "*" => a.checked_mul(b)?,
            // Python rounds towards minus infinity.
            "//" => a
                .checked_div_euclid(b)
                .map(|q| if b < 0 && a.rem_euclid(b) != 0 { q - 1 } else { q })?,
            "%" => {
                let rest = a.checked_rem(b)?;
                if rest != 0 && (rest < 0) != (b < 0) {
                    rest + b
                } else {
                    rest
                }
            }
            "|" => a | b,
            "^" => a ^ b,
            "&" => a & b,
            "<<" => a.checked_shl(shift()?)?,
            ">>" => a.checked_shr(shift()?)?,
            _ => return None,
        }));
    }
    let (a, b) = (a.float()?, b.float()?);
    let value = match operator {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "//" => (a / b).floor(),
        "%" => a - b * (a / b).floor(),
        _ => return None,
    };
    value.is_finite().then_some(Value::Float(value))
}

fn apply(name: &str, values: &[Value]) -> Option<Value> {
    let chosen = |wanted: &str| {
        let mut best = values.first()?.clone();
        for value in &values[1..] {
            if compare(wanted, value, &best)? {
                best = value.clone();
            }
        }
        Some(best)
    };
    match (name, values) {
        ("abs", [Value::Float(x)]) => Some(Value::Float(x.abs())),
        ("abs", [value]) => value.int()?.checked_abs().map(Value::Int),
        ("min", [_, ..]) => chosen("<"),
        ("max", [_, ..]) => chosen(">"),
        ("int", [Value::Float(x)]) => Some(Value::Int(*x as i64)),
        ("int", [value]) => value.int().map(Value::Int),
        ("float", [value]) => value.float().map(Value::Float),
        ("round", [value]) => Some(Value::Int(value.float()?.round_ties_even() as i64)),
        ("str", [value]) => Some(Value::Text(value.to_string())),
        ("bool", [value]) => Some(Value::Bool(value.truth())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::code;
    use crate::drill::fault::Kind;

    struct Some3;
    impl Names for Some3 {
        fn name(&self, name: &str) -> Result<Option<Value>, String> {
            Ok(match name {
                "tcpi_snd_cwnd" => Some(Value::Int(10)),
                "TCP_CLOSE" => Some(Value::Int(7)),
                _ => None,
            })
        }
    }

    fn run_text(text: &str) -> Result<Vec<String>, Fault> {
        let mut memory = Memory::default();
        run(&code::parse(text, 0)?, &mut memory, &Some3)?;
        Ok(memory.printed)
    }

    #[test]
    fn operators_have_the_precedence_of_python() {
        for holds in [
            "assert 1 + 2 * 3 == 7 and not 0",
            "assert 1 < 2 <= 2 != 3",
            "assert not 1 == 2",
            "assert 7 // 2 == 3; assert -7 // 2 == -4; assert -7 % 3 == 2; assert 7 % -3 == -2",
            "assert 7 / 2 == 3.5",
            "assert (1 | 2) == 3 and 1 << 4 == 16 and ~0 == -1",
            "assert (5 if 0 else 6) == 6",
            "assert min(3, 1, 2) == 1 and max(1.5, 1) == 1.5 and abs(-3) == 3",
            "assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd",
            "x = 4\ny = x * 2 # twice\nassert y == 8",
            "assert (1 ==\n 1)",
            "assert 'a' + \"b\" == 'ab'",
            "assert 7 // -2 == -4",
            "",
        ] {
            run_text(holds).unwrap_or_else(|fault| panic!("{holds}: {fault}"));
        }
        assert_eq!(
            run_text("print('cwnd', tcpi_snd_cwnd); print 1, 2.5").unwrap(),
            ["cwnd 10", "1 2.5"]
        );
    }

    #[test]
    fn what_does_not_hold_says_what_the_names_are() {
        let fault = run_text("assert tcpi_snd_cwnd == 11, 'grown'").unwrap_err();
        assert_eq!(fault.kind, Kind::NotHeld);
        assert!(fault.message.contains("grown"), "{fault}");
        assert_eq!(fault.differences[0].came, "10");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, kind) in [
            ("assert nobody", Kind::Script),
            ("assert tcpi_moon", Kind::Unsupported),
            ("import os", Kind::Unsupported),
            ("assert 1 +", Kind::Script),
            ("assert (1", Kind::Script),
            ("1 / 0", Kind::Script),
            ("1 << 99", Kind::Script),
            ("9223372036854775807 + 1", Kind::Script),
            ("x = = 1", Kind::Script),
            ("assert 1 2", Kind::Script),
            ("99999999999999999999", Kind::Script),
            ("?", Kind::Script),
        ] {
            assert_eq!(run_text(text).unwrap_err().kind, kind, "{text}");
        }
        let deep = format!("{}1{}", "(".repeat(1000), ")".repeat(1000));
        assert!(run_text(&deep).is_err());
    }
}
