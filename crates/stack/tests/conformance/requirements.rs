//! The data file: one requirement a line.

/// A requirement of a standard.
#[derive(Debug)]
pub(crate) struct Requirement {
    pub(crate) id: String,
    /// The RFC, by its number.
    pub(crate) document: String,
    pub(crate) section: String,
    pub(crate) strength: String,
    /// What it asks, in our own words.
    pub(crate) asks: String,
    /// Where the code is, beside the comments that name the id: `stack/src/tcp/isn.rs:next`.
    pub(crate) code: Vec<String>,
    pub(crate) stand: Stand,
}

/// How the stack stands to a requirement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// Kept, as tests prove.
    Kept,
    /// Not kept, or not to the letter, for this reason.
    Deviation(String),
    /// Not built yet.
    Open(String),
}

/// Reads the data file: id, section, strength, what it asks, code, stand, reason; lines with `#` are comments.
pub(crate) fn parse(data: &str) -> Result<Vec<Requirement>, String> {
    let mut all: Vec<Requirement> = Vec::new();
    for (n, line) in data.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bad = |what: &str| format!("line {}: {what}: {line}", n + 1);
        let mut fields: Vec<&str> = line.split('\t').collect();
        if fields.len() >= 4 {
            fields.resize(fields.len().max(7), ""); // what is empty at the end may be left out
        }
        let [id, section, strength, asks, code, stand, reason] = fields[..] else {
            return Err(bad("not four to seven fields"));
        };
        let stand = match (stand, reason) {
            ("", "") => Stand::Kept,
            ("deviation", reason) if !reason.is_empty() => Stand::Deviation(reason.into()),
            ("open", reason) if !reason.is_empty() => Stand::Open(reason.into()),
            _ => return Err(bad("a stand and its reason go together")),
        };
        if !["MUST", "SHOULD", "MAY", "RECOMMENDED"].contains(&strength) {
            return Err(bad("unknown strength"));
        }
        if all.iter().any(|r| r.id == id) {
            return Err(bad("an id twice"));
        }
        all.push(Requirement {
            id: id.into(),
            document: document(id).ok_or_else(|| bad("not an id"))?.into(),
            section: section.into(),
            strength: strength.into(),
            asks: asks.into(),
            code: code.split_whitespace().map(Into::into).collect(),
            stand,
        });
    }
    Ok(all)
}

/// The RFC that an id belongs to: RFC 9293's own ids and our `U-n` have no number in them.
pub(crate) fn document(id: &str) -> Option<&str> {
    let (kind, number) = id.split_once('-')?;
    if number.is_empty() {
        return None;
    }
    match kind {
        "MUST" | "SHLD" | "MAY" | "REC" | "U" => number.bytes().all(|b| b.is_ascii_digit()).then_some("9293"),
        _ => kind.bytes().all(|b| b.is_ascii_digit()).then_some(kind),
    }
}

/// The ids that a word of a comment names: `MUST-10`, `U-4..U-6`, `MUST-54..56`. Empty where it is no id.
pub(crate) fn ids(word: &str) -> Vec<String> {
    let word = word.trim_end_matches('.');
    let Some((first, last)) = word.split_once("..") else {
        return document(word).map(|_| word.to_string()).into_iter().collect();
    };
    let Some((kind, from)) = first.split_once('-').filter(|_| document(first).is_some()) else {
        return Vec::new();
    };
    let last = last.rsplit('-').next().unwrap_or_default();
    match (from.parse::<u32>(), last.parse::<u32>()) {
        (Ok(from), Ok(last)) => (from..=last).map(|n| format!("{kind}-{n}")).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn words_that_are_ids() {
    let read = |word| ids(word).join(" ");
    assert_eq!(read("MUST-10"), "MUST-10");
    assert_eq!(read("6298-2.4."), "6298-2.4");
    assert_eq!(read("U-4..U-6"), "U-4 U-5 U-6");
    assert_eq!(read("MUST-54..56"), "MUST-54 MUST-55 MUST-56");
    for word in [
        "",
        "-",
        "MUST",
        "MUST-",
        "x-1",
        "..",
        "snd_una..snd_nxt",
        "MUST-a",
        "1-",
    ] {
        assert_eq!(read(word), "", "{word}");
    }
}
