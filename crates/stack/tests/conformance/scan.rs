//! Reads tests and sources for the ids that they name.

use super::requirements::{Requirement, document, ids};

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Names of items by file: `reset.rs` has `classify`, ...
type Places = BTreeMap<String, BTreeSet<String>>;

/// What the sources say.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    known: BTreeSet<String>,
    /// By id, the tests that prove it.
    pub(crate) tests: BTreeMap<String, Places>,
    /// By id, the code that names it.
    pub(crate) code: BTreeMap<String, Places>,
    items: Places,
    pub(crate) faults: Vec<String>,
}

/// Reads all sources under `crates/`.
pub(crate) fn sources(root: &Path, requirements: &[Requirement]) -> Findings {
    let mut found = Findings::new(requirements);
    let mut folders = vec![root.join("crates")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("a folder of sources").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a source file");
        let name = path.strip_prefix(root).expect("it lies below the root");
        found.file(&name.to_string_lossy().replace('\\', "/"), &text);
    }
    found
}

impl Findings {
    pub(crate) fn new(requirements: &[Requirement]) -> Self {
        Findings {
            known: requirements.iter().map(|r| r.id.clone()).collect(),
            ..Findings::default()
        }
    }

    /// Whether the code has what the data file says: `stack/src/tcp/isn.rs:next`.
    pub(crate) fn has_item(&self, anchor: &str) -> bool {
        let (file, name) = anchor.split_once(':').unwrap_or((anchor, ""));
        let items = self.items.get(&format!("crates/{file}"));
        items.is_some_and(|items| name.is_empty() || items.contains(name))
    }

    /// Reads one file.
    pub(crate) fn file(&mut self, name: &str, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        // Tests stand last in a file of code, or in files and folders of their own.
        // The lab is a test bench: what it says of a rule is not where the rule is kept.
        let all_tests = ["/tests/", "/tests.rs", "crates/lab/"]
            .iter()
            .any(|part| name.contains(part));
        let tests_at = lines.iter().position(|l| l.starts_with("#[cfg(test)]"));
        let code = if all_tests {
            0
        } else {
            tests_at.unwrap_or(lines.len())
        };
        for (at, line) in lines.iter().enumerate() {
            if let Some(item) = item(line) {
                self.items.entry(name.into()).or_default().insert(item.into());
            }
            if let Some(list) = line.trim_start().strip_prefix("/// Proves:") {
                self.proof(name, &lines, at, list);
            } else if let Some((before, comment)) = line.split_once("//")
                && before.matches('"').count() % 2 == 0
            {
                self.comment(name, &lines, at, comment, at < code);
            }
        }
    }

    /// A line `Proves: ...` above a test, which may go on in the next.
    fn proof(&mut self, name: &str, lines: &[&str], at: usize, list: &str) {
        let mut list = list.trim().to_string();
        let mut next = at + 1;
        while list.ends_with(',') && next < lines.len() {
            let more = lines[next].trim_start().trim_start_matches('/');
            list = format!("{list} {}", more.trim());
            next += 1;
        }
        let place = format!("{name}:{}", at + 1);
        let Some(list) = list.strip_suffix('.') else {
            return self.faults.push(format!("{place}: the list has no full stop"));
        };
        let Some(test) = test_below(&lines[next..]) else {
            return self
                .faults
                .push(format!("{place}: \"Proves:\" stands above no test that runs"));
        };
        for id in list.split(',').map(str::trim) {
            if self.known.contains(id) {
                let places = self.tests.entry(id.into()).or_default();
                places.entry(name.into()).or_default().insert(test.into());
            } else {
                self.faults.push(format!("{place}: {id} is no requirement"));
            }
        }
    }

    /// A comment in code or tests. Ids of RFC 9293 that do not exist are faults in both.
    fn comment(&mut self, name: &str, lines: &[&str], at: usize, comment: &str, code: bool) {
        let part = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.');
        for id in comment.split(part).flat_map(ids) {
            if !self.known.contains(&id) {
                if document(&id) == Some("9293") {
                    self.faults
                        .push(format!("{name}:{}: {id} is no requirement", at + 1));
                }
            } else if code {
                let places = self.code.entry(id).or_default();
                places
                    .entry(name.into())
                    .or_default()
                    .insert(anchor(lines, at).into());
            }
        }
    }
}

/// The name of the test that begins here, behind attributes and what is left of its documentation.
fn test_below<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let mut test = false;
    for line in lines.iter().map(|l| l.trim_start()) {
        if line.starts_with("#[ignore") {
            return None;
        } else if line.starts_with("#[") {
            test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else if !line.starts_with("//") {
            return item(line).filter(|_| test);
        }
    }
    None
}

/// The item that a comment belongs to: below it for documentation, around it for others. Empty for a whole file.
fn anchor<'a>(lines: &[&'a str], at: usize) -> &'a str {
    let line = lines[at].trim_start();
    let depth = |l: &str| l.len() - l.trim_start().len();
    if line.starts_with("//!") {
        return "";
    }
    if line.starts_with("///") {
        let below = lines[at..].iter().map(|l| l.trim_start());
        let mut below = below.skip_while(|l| l.starts_with("//") || l.starts_with("#["));
        return below.next().and_then(item).unwrap_or_default();
    }
    let around = |l: &&&str| l.contains("fn ") && depth(l) < depth(lines[at]) && item(l).is_some();
    let function = lines[..at].iter().rev().find(around);
    function
        .and_then(|l| item(l))
        .unwrap_or_else(|| item(line).unwrap_or_default())
}

/// The name of the item that a line of code begins: a function, type, constant, variant or field.
fn item(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    if rest.starts_with("//") || rest.starts_with('#') {
        return None;
    }
    let words = [
        "pub(crate) ",
        "pub(super) ",
        "pub ",
        "const ",
        "fn ",
        "struct ",
        "enum ",
        "static ",
        "type ",
        "trait ",
        "mod ",
    ];
    while let Some(after) = words.iter().find_map(|w| rest.strip_prefix(w)) {
        rest = after;
    }
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    let keyword = [
        "let", "if", "for", "match", "while", "return", "impl", "use", "else",
    ]
    .contains(&&rest[..end]);
    (end > 0 && !keyword && !rest.starts_with(|c: char| c.is_ascii_digit())).then_some(&rest[..end])
}

#[test]
fn finds_tests_and_code() {
    let data = "MUST-1\t3\tMUST\tx\t\t\t\nMUST-2\t3\tMUST\tx\t\t\t\n768-1\t3\tMUST\tx\t\t\t\n";
    let requirements = super::requirements::parse(data).expect("well formed");
    let mut found = Findings::new(&requirements);
    let source = "/// As MUST-1 says.\npub(crate) const fn documented() {}\n\
                  fn outer() {\n    inner(); // MUST-2\n}\n\
                  #[cfg(test)]\nmod tests {\n    // MUST-2\n    /// Proves: MUST-1,\n    /// 768-1.\n    #[test]\n    fn t() {}\n}\n";
    found.file("crates/a/src/b.rs", source);
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    let places = |of: &BTreeMap<String, Places>, id: &str| format!("{:?}", of.get(id));
    assert_eq!(
        places(&found.tests, "MUST-1"),
        "Some({\"crates/a/src/b.rs\": {\"t\"}})"
    );
    assert_eq!(
        places(&found.tests, "768-1"),
        "Some({\"crates/a/src/b.rs\": {\"t\"}})"
    );
    assert_eq!(
        places(&found.code, "MUST-1"),
        "Some({\"crates/a/src/b.rs\": {\"documented\"}})"
    );
    assert_eq!(
        places(&found.code, "MUST-2"),
        "Some({\"crates/a/src/b.rs\": {\"outer\"}})"
    );
    assert!(found.has_item("a/src/b.rs:outer") && found.has_item("a/src/b.rs"));
    assert!(!found.has_item("a/src/b.rs:none") && !found.has_item("a/src/c.rs"));
}
