//! Packet scripts: all of `scripts/`, in every mode that they are written for.

use std::path::{Path, PathBuf};

use sockeye_lab::drill::{Family, Mode, Script, Setup, line_of, run};
use sockeye_stack::Profile;

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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
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
    }
    assert!(
        failed.is_empty(),
        "{} of {runs}:\n{}",
        failed.len(),
        failed.join("\n")
    );
    println!("{runs} runs");
}
