//! The requirement table: `docs/conformance.md`, made from `docs/requirements.tsv`, the tests and the sources.
//!
//! A test names what it proves in a line of its documentation directly above `#[test]`: `/// Proves: MUST-13, SHLD-4.`
//! Code names what it does in a comment: `// MUST-10`, `U-4..U-6`. This test fails where an id has neither a test nor a
//! reason, where a test or a comment names an id that does not exist, and where the page in `docs/` is not what would be
//! made now. `SOCKEYE_BLESS=1 cargo test -p sockeye-stack --test conformance` writes the page anew.

mod page;
mod requirements;
mod scan;

use requirements::{Requirement, Stand};
use scan::Findings;

use std::path::{Path, PathBuf};

const PAGE: &str = "docs/conformance.md";
const DATA: &str = "docs/requirements.tsv";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What is wrong, one line each.
fn faults(requirements: &[Requirement], found: &Findings) -> Vec<String> {
    let mut faults = found.faults.clone();
    for r in requirements {
        let proved = found.tests.contains_key(&r.id);
        match &r.stand {
            Stand::Kept if !proved => faults.push(format!(
                "{}: no test proves it, and {DATA} gives no reason ({})",
                r.id, r.asks
            )),
            Stand::Open(_) if proved => {
                faults.push(format!("{}: a test proves it, so it is not open", r.id));
            }
            Stand::Kept if r.code.is_empty() && !found.code.contains_key(&r.id) => {
                faults.push(format!(
                    "{}: no code names it, and {DATA} does not say where it is",
                    r.id
                ));
            }
            _ => {}
        }
        for anchor in &r.code {
            if !found.has_item(anchor) {
                faults.push(format!(
                    "{}: {DATA} names {anchor}, which is not in the sources",
                    r.id
                ));
            }
        }
    }
    faults
}

#[test]
fn every_requirement_has_its_test_or_its_reason() {
    let root = root();
    let data = std::fs::read_to_string(root.join(DATA)).expect("the data file can be read");
    let requirements = requirements::parse(&data).expect("the data file is well formed");
    let found = scan::sources(&root, &requirements);
    let faults = faults(&requirements, &found);
    assert!(
        faults.is_empty(),
        "{} faults:\n  {}",
        faults.len(),
        faults.join("\n  ")
    );

    let page = page::write(&requirements, &found);
    let path = root.join(PAGE);
    if std::env::var_os("SOCKEYE_BLESS").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some(difference) = page::first_difference(&there, &page) {
        panic!("{PAGE} is not what would be made now; SOCKEYE_BLESS=1 writes it anew.\n{difference}");
    }
}

/// The numbers of RFC 9293 are all there, and nothing twice.
#[test]
fn the_data_file_is_complete() {
    let data = std::fs::read_to_string(root().join(DATA)).expect("the data file can be read");
    let requirements = requirements::parse(&data).expect("the data file is well formed");
    for (kind, count) in [("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1), ("U", 11)] {
        for n in 1..=count {
            let id = format!("{kind}-{n}");
            assert!(requirements.iter().any(|r| r.id == id), "{id} is missing");
        }
        let of_kind = requirements
            .iter()
            .filter(|r| r.document == "9293" && r.id.starts_with(&format!("{kind}-")));
        assert_eq!(of_kind.count(), count, "{kind}");
    }
}

/// What the check is worth: each thing that must not be is told.
#[test]
fn faults_are_found() {
    let data = "MUST-1\t3.1\tMUST\tone thing\t\t\t\n\
                MUST-2\t3.1\tMUST\tanother\t\t\t\n\
                SHLD-1\t3.2\tSHOULD\ta third\t\tdeviation\tthere is a reason\n";
    let requirements = requirements::parse(data).expect("well formed");
    let code = "// MUST-1, MUST-2\n";
    let check = |source: &str| {
        let mut found = Findings::new(&requirements);
        found.file("crates/x/src/a.rs", code);
        found.file("crates/x/tests/a.rs", source);
        faults(&requirements, &found).join("; ")
    };
    let good = "/// Proves: MUST-1, MUST-2.\n#[test]\nfn both() {}\n";
    assert_eq!(check(good), "");
    assert!(check(&good.replace(", MUST-2", "")).starts_with("MUST-2: no test proves it"));
    assert!(check(&good.replace("#[test]", "")).contains("MUST-1: no test"));
    assert!(check(&good.replace("#[test]", "#[test]\n#[ignore]")).contains("MUST-1: no test"));
    assert!(check(&good.replace("MUST-2", "MUST-2, MUST-99")).contains("MUST-99"));
    assert!(check(&format!("{good}// as MUST-70 asks\n")).contains("MUST-70"));
    assert!(requirements::parse("MUST-1\t3.1\tMUST\tx\t\tdeviation\t\n").is_err());
    assert!(requirements::parse("MUST-1\t3.1\tMUST\tx\t\t\t\nMUST-1\t3.1\tMUST\tx\t\t\t\n").is_err());
}
