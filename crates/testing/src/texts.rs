//! What holds of the texts in all languages, checked for a crate's files and its code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fluent_syntax::ast::{Entry, Expression, InlineExpression, Pattern, PatternElement};

/// Each key of a file of texts, with the values that its text has places for.
pub type Texts = BTreeMap<String, BTreeSet<String>>;

/// Reads a file of texts. It has to be Fluent throughout, each key in it once, and each a message with a text.
pub fn parse(source: &str) -> Texts {
    let resource = fluent_syntax::parser::parse(source)
        .unwrap_or_else(|(_, errors)| panic!("the file is no Fluent: {errors:?}"));
    let mut texts = Texts::new();
    for entry in resource.body {
        match entry {
            Entry::Message(message) => {
                let key = message.id.name;
                let pattern = message.value.unwrap_or_else(|| panic!("{key} has no text"));
                assert!(
                    message.attributes.is_empty(),
                    "{key} has attributes, which nobody reads"
                );
                let mut places = BTreeSet::new();
                places_of(&pattern, &mut places);
                assert!(texts.insert(key.into(), places).is_none(), "{key} is there twice");
            }
            Entry::Comment(_) | Entry::GroupComment(_) | Entry::ResourceComment(_) => {}
            other => panic!("neither a message nor a comment: {other:?}"),
        }
    }
    texts
}

fn places_of(pattern: &Pattern<&str>, into: &mut BTreeSet<String>) {
    for element in &pattern.elements {
        let PatternElement::Placeable { expression } = element else {
            continue;
        };
        match expression {
            Expression::Inline(inline) => place_of(inline, into),
            Expression::Select { selector, variants } => {
                place_of(selector, into);
                for variant in variants {
                    places_of(&variant.value, into);
                }
            }
        }
    }
}
fn place_of(inline: &InlineExpression<&str>, into: &mut BTreeSet<String>) {
    match inline {
        InlineExpression::VariableReference { id } => drop(into.insert(id.name.into())),
        InlineExpression::StringLiteral { .. } => {}
        other => panic!("a text has only values and literals in it: {other:?}"),
    }
}

/// Both languages have the same keys, with places for the same values. `english_lacks` are values that the English text
/// does not mention, by key.
pub fn same(english: &Texts, chinese: &Texts, english_lacks: &[(&str, &str)]) {
    let keys = |texts: &Texts| texts.keys().cloned().collect::<BTreeSet<_>>();
    let (en, zh) = (keys(english), keys(chinese));
    let missing: Vec<_> = en.symmetric_difference(&zh).collect();
    assert!(missing.is_empty(), "not in both languages: {missing:?}");
    for (key, places) in english {
        let mut places = places.clone();
        let lacks = english_lacks.iter().filter(|(of, _)| of == key);
        places.extend(lacks.map(|(_, name)| name.to_string()));
        assert_eq!(places, chinese[key], "the values of {key}");
    }
}

/// Each key is used by the code below `directory`, and each use of a text there (`text!`, `t!`) names a key that exists,
/// with its values.
pub fn used(texts: &Texts, directory: &Path) {
    let mut code = String::new();
    read(directory, &mut code);
    for key in texts.keys() {
        assert!(code.contains(&format!("{key:?}")), "nobody says {key}");
    }
    for (key, names) in uses(&code) {
        let Some(places) = texts.get(&key) else {
            panic!("the code says {key:?}, and there is no such text");
        };
        assert_eq!(&names, places, "the values of {key} in the code");
    }
}

fn read(directory: &Path, into: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The keys and the names of values of all `text!(...)` and `t!(...)`, comments left out.
fn uses(code: &str) -> Vec<(String, BTreeSet<String>)> {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("t!(") {
        let before = code[..at].trim_end_matches(|c: char| c.is_ascii_lowercase());
        let name = &code[before.len()..at + 1];
        if name != "t" && name != "text" {
            continue;
        }
        let parts = arguments(&code[at + 3..]);
        let key = parts.iter().position(|part| part.starts_with('"'));
        let Some(key) = key else {
            continue; // the macro's own definition
        };
        let names = parts[key + 1..].iter().filter_map(|part| part.split_once('='));
        let names = names.map(|(name, _)| name.trim().to_string()).collect();
        found.push((parts[key].trim_matches('"').to_string(), names));
    }
    found
}

/// The arguments of a call, up to its closing parenthesis.
fn arguments(code: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth, mut quoted, mut escaped) =
        (Vec::new(), String::new(), 0, false, false);
    for c in code.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part).trim().to_string());
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part.trim().to_string());
    parts.retain(|part| !part.is_empty());
    parts
}

#[test]
fn the_check_sees_what_is_wrong() {
    let texts = |source: &str| parse(source);
    let fails = |check: Box<dyn Fn() + std::panic::UnwindSafe>| std::panic::catch_unwind(check).is_err();
    let one = "a = x { $p }\nb = { $n ->\n    [one] one { $q }\n   *[other] many\n}\n";
    assert_eq!(texts(one)["b"], ["n", "q"].map(String::from).into());
    assert!(fails(Box::new(|| drop(parse("a = x\na = y\n")))), "twice");
    assert!(fails(Box::new(|| drop(parse("a = { $\n")))), "no Fluent");
    assert!(
        fails(Box::new(|| same(&parse("a = x\n"), &parse("b = x\n"), &[]))),
        "another key"
    );
    assert!(
        fails(Box::new(|| same(
            &parse("a = { $p }\n"),
            &parse("a = { $q }\n"),
            &[]
        ))),
        "another value"
    );
    same(&parse("a = x\n"), &parse("a = { $q }\n"), &[("a", "q")]);
    let code = r#"text!(words, "a-b", peer = peer, text = shown(&x, "="));  t!("c"); assert!(x == "y"); format!("z")"#;
    let found = uses(code);
    assert_eq!(
        found[0],
        ("a-b".into(), ["peer", "text"].map(String::from).into())
    );
    assert_eq!(found[1], ("c".into(), BTreeSet::new()));
    assert_eq!(found.len(), 2);
}
