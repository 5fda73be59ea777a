//! docs/sockets.md names tests that exist, and has every row of what the tutorials teach of sockets.

const PAGE: &str = include_str!("../../../../docs/sockets.md");

/// Where the tests of a module of the page are.
fn source(module: &str) -> Option<&'static str> {
    Some(match module {
        "tcp" => concat!(
            include_str!("conformance/tcp.rs"),
            include_str!("conformance/mod.rs")
        ),
        "udp" => concat!(
            include_str!("conformance/udp.rs"),
            include_str!("conformance/mod.rs")
        ),
        "errors" => concat!(
            include_str!("conformance/errors.rs"),
            include_str!("conformance/mod.rs")
        ),
        "options" => concat!(
            include_str!("conformance/options.rs"),
            include_str!("conformance/mod.rs")
        ),
        "polling" => concat!(
            include_str!("conformance/polling.rs"),
            include_str!("conformance/mod.rs")
        ),
        "local" => concat!(
            include_str!("conformance/local.rs"),
            include_str!("conformance/mod.rs")
        ),
        "error" => include_str!("../../src/error.rs"),
        "option" => include_str!("../../src/socket/option.rs"),
        _ => return None,
    })
}

/// What stands in backquotes and is a path of lower-case names: `tcp::half_close`, `udp::*`.
fn named() -> Vec<&'static str> {
    let words = PAGE.split('`').skip(1).step_by(2);
    let is_path = |word: &&str| {
        let letters = |part: &str| {
            part == "*"
                || part
                    .bytes()
                    .all(|c| c.is_ascii_lowercase() || c == b'_' || c.is_ascii_digit())
        };
        word.contains("::") && word.split("::").all(letters)
    };
    words
        .filter(is_path)
        .filter(|path| !path.starts_with("u16::")) // the language's own
        .collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let named = named();
    assert!(named.len() > 60, "{}", named.len());
    for path in named {
        let parts: Vec<&str> = path.split("::").collect();
        let (module, test) = (parts[0], parts[parts.len() - 1]);
        let Some(source) = source(module) else {
            panic!("{path}: no such module of tests");
        };
        if test == "*" {
            continue;
        }
        assert!(
            source.contains(&format!("fn {test}(")),
            "{path}: no such function"
        );
        // One of the conformance suite has to be in its list, too: otherwise nobody runs it.
        let listed = source.split_once("on_all_back_ends! {").map(|(_, list)| list);
        assert!(
            listed.is_none_or(|list| list.split([' ', ';', '\n']).any(|name| name == test)),
            "{path} is not run"
        );
    }
}

#[test]
fn every_row_is_there() {
    let rows = |section: u32| {
        let mut found = Vec::new();
        for line in PAGE.lines().filter(|line| line.starts_with("| ")) {
            let first = line.split('|').nth(1).unwrap_or_default();
            let first = first.split('(').next().unwrap_or_default();
            let numbers: Vec<(u32, u32)> = first
                .split([',', ' '])
                .filter_map(|word| word.split_once('.'))
                .filter_map(|(s, n)| Some((s.parse().ok()?, n.parse().ok()?)))
                .collect();
            let of_section = numbers.iter().filter(|(s, _)| *s == section).map(|(_, n)| *n);
            let of_section: Vec<u32> = of_section.collect();
            match (first.contains(" to "), of_section.as_slice()) {
                (true, [first, last]) => found.extend(*first..=*last),
                (_, some) => found.extend(some),
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    };
    assert!(rows(8).into_iter().eq(1..=23), "section 8: {:?}", rows(8));
    assert!(rows(9).into_iter().eq(1..=29), "section 9: {:?}", rows(9));
}
