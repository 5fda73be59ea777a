//! docs/programs.md names tests that exist: each program has one on each net.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../../docs/programs.md");
const TABLE: &str = include_str!("tutorials/mod.rs");
const VANISHED: &str = include_str!("tutorials/vanished.rs");
const NETS: [&str; 4] = ["os", "tun", "lab", "lab_with_loss"];

/// The rows of the table of tests: `p01`, and the function that is the program.
fn rows() -> Vec<(&'static str, &'static str)> {
    let (_, rows) = TABLE.split_once("on_all_nets! {\n").unwrap();
    let rows = rows.lines().take_while(|line| *line != "}");
    rows.filter_map(|line| line.trim().strip_suffix(';')?.split_once(": super::"))
        .collect()
}

#[test]
fn every_program_has_a_row_and_a_test_on_every_net() {
    let names: Vec<String> = (1..=16).map(|n| format!("p{n:02}")).collect();
    assert!(
        rows()
            .iter()
            .map(|(name, _)| *name)
            .eq(names.iter().map(String::as_str))
    );
    let programs: BTreeSet<&str> = rows().iter().map(|(_, program)| *program).collect();
    assert_eq!(programs.len(), 16, "no program stands for two");
    for net in NETS {
        assert!(TABLE.contains(&format!("            fn {net}() {{")), "{net}");
    }
    for (n, name) in (1..).zip(&names) {
        let row = PAGE
            .lines()
            .filter(|line| line.starts_with(&format!("| P-{n:02} ")));
        let row: Vec<&str> = row.collect();
        assert_eq!(row.len(), 1, "P-{n:02}");
        for net in NETS {
            assert!(row[0].contains(&format!("`{name}::{net}`")), "{name}::{net}");
        }
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let words = PAGE.split('`').skip(1).step_by(2);
    let named: Vec<&str> = words
        .filter(|word| word.contains("::") && !word.contains(' '))
        .collect();
    assert_eq!(named.len(), 64 + 2);
    for test in named {
        let (row, net) = test.split_once("::").unwrap();
        if row == "vanished" {
            assert!(VANISHED.contains(&format!("#[test]\nfn {net}() {{")), "{test}");
            continue;
        }
        assert!(
            rows().iter().any(|(name, _)| *name == row) && NETS.contains(&net),
            "{test}"
        );
    }
}
