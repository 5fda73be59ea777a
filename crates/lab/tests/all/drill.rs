//! Packet scripts: all of `scripts/` in every mode that they are written for, and whether they show all that they should.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sockeye_lab::drill::{Family, Mode, Script, Setup, line_of, run};
use sockeye_stack::Profile;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn search(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            search(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "pkt") {
            found.push(path);
        }
    }
}

fn scripts() -> Vec<Script> {
    let folder = root().join("scripts");
    let mut paths = Vec::new();
    search(&folder, &mut paths);
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.strip_prefix(&folder).unwrap().display().to_string();
        Script::parse(&name, &text)
            .unwrap_or_else(|fault| panic!("{name}:{}: {fault}", line_of(&text, fault.span.start).0))
    };
    paths.iter().map(read).collect()
}

#[test]
fn all_scripts_hold() {
    let (mut runs, mut failed) = (0, Vec::new());
    for script in scripts() {
        let before = runs;
        for profile in [Profile::Rfc, Profile::Linux] {
            for family in Family::ALL {
                let mode = Mode { profile, family };
                if !script.suits(mode) {
                    continue;
                }
                runs += 1;
                if let Err(fault) = run(&script, mode, &Setup::default()).result {
                    let (line, _) = line_of(&script.text, fault.span.start);
                    let differences: Vec<_> = fault.differences.iter().map(ToString::to_string).collect();
                    failed.push(format!(
                        "{}:{line} ({mode}): {fault}: {}",
                        script.name,
                        differences.join("; ")
                    ));
                }
            }
        }
        assert!(runs > before, "{} suits no mode", script.name);
        assert!(
            !script.notes.about.is_empty(),
            "{} does not say what it shows",
            script.name
        );
    }
    assert!(
        failed.is_empty(),
        "{} of {runs}:\n{}",
        failed.len(),
        failed.join("\n")
    );
    println!("{runs} runs");
}

/// Whatever the initial sequence numbers and ports are.
#[test]
fn scripts_hold_with_other_seeds() {
    let mode = Mode {
        profile: Profile::Rfc,
        family: Family::V4,
    };
    for script in scripts().iter().filter(|script| script.suits(mode)).step_by(7) {
        for seed in 2..6 {
            let setup = Setup {
                seed,
                ..Setup::default()
            };
            let result = run(script, mode, &setup).result;
            assert!(result.is_ok(), "{} with seed {seed}: {result:?}", script.name);
        }
    }
}

/// A run can be had again, to the word.
#[test]
fn the_same_script_gives_the_same_story() {
    for script in scripts().iter().step_by(31) {
        for family in Family::ALL {
            let mode = Mode {
                profile: Profile::Linux,
                family,
            };
            let story = || run(script, mode, &Setup::default()).story;
            assert_eq!(story(), story(), "{}", script.name);
        }
    }
}

/// Requirements of RFC 9293 that can be seen on the wire; those about calls and documents are proved elsewhere.
const ON_THE_WIRE: &[&str] = &[
    "MUST-1", "MUST-2", "MUST-3", "MUST-4", "MUST-5", "MUST-6", "MUST-7", "MUST-10", "MUST-11", "MUST-13",
    "MUST-14", "MUST-15", "MUST-16", "MUST-17", "MUST-18", "MUST-19", "MUST-20", "MUST-22", "MUST-23",
    "MUST-26", "MUST-29", "MUST-30", "MUST-31", "MUST-34", "MUST-35", "MUST-36", "MUST-37", "MUST-38",
    "MUST-39", "MUST-40", "MUST-45", "MUST-48", "MUST-49", "MUST-50", "MUST-52", "MUST-53", "MUST-54",
    "MUST-55", "MUST-56", "MUST-57", "MUST-58", "MUST-59", "MUST-60", "MUST-61", "MUST-62", "MUST-63",
    "MUST-64", "MUST-65", "MUST-66", "MUST-67", "MUST-68", "MUST-69", "U-2", "U-4", "U-5", "U-6", "U-7",
    "U-8", "U-9", "U-10", "U-11",
];

#[test]
fn every_requirement_on_the_wire_has_a_script() {
    let shown: BTreeSet<String> = scripts()
        .into_iter()
        .flat_map(|script| script.notes.shows)
        .collect();
    let missing: Vec<_> = ON_THE_WIRE.iter().filter(|id| !shown.contains(**id)).collect();
    assert!(missing.is_empty(), "no script shows {missing:?}");
    // And none shows what there is not.
    let known = std::fs::read_to_string(root().join("docs/requirements.tsv")).unwrap();
    let known: BTreeSet<&str> = known.lines().filter_map(|line| line.split('\t').next()).collect();
    let unknown: Vec<_> = shown.iter().filter(|id| !known.contains(id.as_str())).collect();
    assert!(unknown.is_empty(), "there is no {unknown:?}");
}

/// The cells of the table of states and events in which a segment comes or goes: all segments in every state, and the
/// calls and timeouts that send something. They are read from the table's snapshots.
fn cells() -> BTreeSet<String> {
    let folder = root().join("crates/stack/tests/tcp/snapshots");
    let mut cells = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("tcp__table__") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let table = text.splitn(3, "---\n").nth(2).expect("a snapshot has a head");
        let state = table.split("   SND.UNA").next().expect("a table names its state");
        let mut part = "";
        for line in table.lines() {
            let columns: Vec<&str> = line.split("| ").map(str::trim).collect();
            match columns[..] {
                [kind @ ("segment" | "call" | "timeout"), ..] => part = kind,
                [event, _, sent, ..] if part == "segment" || (!part.is_empty() && sent != "-") => {
                    cells.insert(format!("{state} x {event}"));
                }
                _ => {}
            }
        }
    }
    cells
}

#[test]
fn every_cell_with_a_segment_has_a_script() {
    let shown: BTreeSet<String> = scripts()
        .into_iter()
        .flat_map(|script| script.notes.cells)
        .collect();
    let cells = cells();
    assert!(cells.len() > 600, "{} cells", cells.len());
    let missing: Vec<_> = cells.difference(&shown).collect();
    assert!(missing.is_empty(), "no script for {missing:#?}");
    let unknown: Vec<_> = shown.difference(&cells).collect();
    assert!(unknown.is_empty(), "no cell for {unknown:#?}");
}

#[allow(unreachable_pub)]
#[path = "../../../../fuzz/src/scripts.rs"]
mod any_text;

/// Octets that mean something to the reader.
const MARKS: &[u8] = b"+-<>[](){}\"`%~*.|&,:=#/0aS\n\x00\xff";

/// Whatever stands in a file, reading it ends with a script or with an error that points into it. The fuzz target does the
/// same for longer.
#[test]
fn texts_that_are_spoilt_are_read_without_harm() {
    let texts: Vec<Vec<u8>> = scripts()
        .iter()
        .step_by(13)
        .map(|script| script.text.as_bytes().to_vec())
        .collect();
    let mut rng = sockeye_lab::Rng::new(7);
    let mut below = |n: usize| rng.below(n as u64) as usize;
    for round in 0..4000 {
        let mut text = texts[round % texts.len()].clone();
        for _ in 0..=below(5) {
            let at = below(text.len() + 1);
            match below(5) {
                0 => text.truncate(at),
                1 => text.insert(at, MARKS[below(MARKS.len())]),
                2 if at < text.len() => drop(text.remove(at)),
                3 if at < text.len() => text[at] = below(256) as u8,
                _ => {
                    let other = &texts[below(texts.len())];
                    let from = below(other.len() + 1);
                    text.truncate(at);
                    text.extend_from_slice(&other[from..]);
                }
            }
        }
        any_text::run(&text);
    }
}
