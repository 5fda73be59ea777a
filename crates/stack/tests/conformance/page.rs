//! Writes the page.

use super::requirements::{Requirement, Stand};
use super::scan::Findings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const HEAD: &str = "\
# What the standards ask, and where it is proved

This page is generated: from `requirements.tsv` beside it, from the tests, which say what they prove in a line of their
documentation (`/// Proves: MUST-13, SHLD-4.`), and from the comments in the code. `cargo test -p sockeye-stack --test
conformance` fails if an id has neither a test nor a reason, if somebody names an id that does not exist, and if this page
is not up to date; with `SOCKEYE_BLESS=1` it writes the page.

Ids without a number in front are those of RFC 9293; `U-n` are its rules without an id, numbered by us. `6298-2.4` is a
rule of section 2.4 of RFC 6298, in a numbering of our own. What each rule asks is said in our own words. A *deviation* is
a rule that is not kept, or not to the letter, with its reason; a test beside it shows what happens instead. *Open* is what
is not built yet. A permission (MAY) that is not used counts as a deviation.

All of it is said of the `Rfc` profile. The `Linux` profile has Linux's figures instead, some of which the standards do not
allow: TIME-WAIT of 60 s (MUST-13), two minutes of SYNs (MUST-23), an RTO of 200 ms (6298-2.4), and segments without
timestamps taken (7323-3.2b).

What a segment does in each state stands in
[the table of states and events](../crates/stack/tests/tcp/table.rs), one snapshot a state.

";

/// The whole page.
pub(crate) fn write(requirements: &[Requirement], found: &Findings) -> String {
    let mut page = String::from(HEAD);
    let mut documents: Vec<&str> = Vec::new();
    for r in requirements {
        if !documents.contains(&r.document.as_str()) {
            documents.push(&r.document);
        }
    }
    summary(&mut page, requirements, &documents);
    open(&mut page, requirements);
    for document in documents {
        let _ = writeln!(page, "\n## {}\n", title(document));
        page.push_str("| id | section | asks | code | proof or reason |\n|-|-|-|-|-|\n");
        for r in requirements.iter().filter(|r| r.document == document) {
            row(&mut page, r, found);
        }
    }
    page
}

fn summary(page: &mut String, requirements: &[Requirement], documents: &[&str]) {
    page.push_str("| document | rules | proved | deviations | open |\n|-|-|-|-|-|\n");
    let mut line = |name: &str, of: &dyn Fn(&&Requirement) -> bool| {
        let all: Vec<_> = requirements.iter().filter(of).collect();
        let count = |stand: &dyn Fn(&Stand) -> bool| all.iter().filter(|r| stand(&r.stand)).count();
        let _ = writeln!(
            page,
            "| {name} | {} | {} | {} | {} |",
            all.len(),
            count(&|s| *s == Stand::Kept),
            count(&|s| matches!(s, Stand::Deviation(_))),
            count(&|s| matches!(s, Stand::Open(_)))
        );
    };
    for document in documents {
        line(title(document), &|r| r.document == *document);
    }
    line("together", &|_| true);
}

fn open(page: &mut String, requirements: &[Requirement]) {
    page.push_str("\n## Open\n\n");
    let start = page.len();
    for r in requirements {
        if let Stand::Open(reason) = &r.stand {
            let _ = writeln!(page, "- **{}**: {}. {reason}", r.id, r.asks);
        }
    }
    if page.len() == start {
        page.push_str("Nothing.\n");
    }
}

fn row(page: &mut String, r: &Requirement, found: &Findings) {
    let mut code = found.code.get(&r.id).cloned().unwrap_or_default();
    for anchor in &r.code {
        let (file, name) = anchor.split_once(':').unwrap_or((anchor, ""));
        code.entry(format!("crates/{file}"))
            .or_default()
            .insert(name.into());
    }
    let mut proof = found.tests.get(&r.id).map(places).unwrap_or_default();
    let said = match &r.stand {
        Stand::Kept => String::new(),
        Stand::Deviation(reason) => format!("*deviation*: {reason}"),
        Stand::Open(reason) => format!("**open**: {reason}"),
    };
    if !said.is_empty() {
        proof = if proof.is_empty() {
            said
        } else {
            format!("{said}<br>{proof}")
        };
    }
    let strength = if r.document == "9293" && !r.id.starts_with("U-") {
        ""
    } else {
        &format!(" {}", r.strength)
    };
    let cell = |text: &str| text.replace('|', "\\|");
    let _ = writeln!(
        page,
        "| {}{strength} | {} | {} | {} | {} |",
        r.id,
        r.section,
        cell(&r.asks),
        places(&code),
        cell(&proof)
    );
}

/// Files, as links, and what is meant in each.
fn places(places: &BTreeMap<String, BTreeSet<String>>) -> String {
    let file = |(path, names): (&String, &BTreeSet<String>)| {
        let short = path
            .trim_start_matches("crates/stack/")
            .trim_start_matches("crates/");
        let names: Vec<_> = names
            .iter()
            .filter(|n| !n.is_empty())
            .map(|n| format!("`{n}`"))
            .collect();
        format!("[{short}](../{path}) {}", names.join(", "))
            .trim_end()
            .to_string()
    };
    places.iter().map(file).collect::<Vec<_>>().join("<br>")
}

fn title(document: &str) -> &'static str {
    match document {
        "9293" => "RFC 9293: TCP",
        "768" => "RFC 768: UDP",
        "791" => "RFC 791: IPv4",
        "826" => "RFC 826: ARP",
        "1122" => "RFC 1122: hosts (IP and UDP)",
        "1337" => "RFC 1337: TIME-WAIT hazards",
        "1191" => "RFC 1191: path MTU discovery for IPv4",
        "1350" => "RFC 1350: TFTP",
        "2018" => "RFC 2018: SACK",
        "2347" => "RFC 2347: TFTP options",
        "2348" => "RFC 2348: TFTP block size",
        "2349" => "RFC 2349: TFTP timeout and size",
        "2883" => "RFC 2883: D-SACK",
        "3168" => "RFC 3168: explicit congestion notification",
        "3376" => "RFC 3376: IGMPv3",
        "3810" => "RFC 3810: MLDv2",
        "8985" => "RFC 8985: RACK and TLP",
        "9438" => "RFC 9438: CUBIC",
        "3042" => "RFC 3042: limited transmit",
        "4861" => "RFC 4861: neighbour discovery for IPv6",
        "4862" => "RFC 4862: address autoconfiguration for IPv6",
        "4987" => "RFC 4987: SYN floods",
        "5681" => "RFC 5681: congestion control",
        "5927" => "RFC 5927: ICMP attacks",
        "6056" => "RFC 6056: port numbers",
        "6191" => "RFC 6191: TIME-WAIT and timestamps",
        "6298" => "RFC 6298: the retransmission timer",
        "6528" => "RFC 6528: initial sequence numbers",
        "6582" => "RFC 6582: NewReno",
        "6675" => "RFC 6675: recovery by SACK",
        "6928" => "RFC 6928: the initial window",
        "7323" => "RFC 7323: window scale and timestamps",
        "7440" => "RFC 7440: TFTP windows",
        "8200" => "RFC 8200: IPv6",
        "8201" => "RFC 8201: path MTU discovery for IPv6",
        "5961" => "RFC 5961: blind attacks",
        _ => "Other documents",
    }
}

/// The first line in which two texts differ.
pub(crate) fn first_difference(there: &str, made: &str) -> Option<String> {
    if there == made {
        return None;
    }
    let (mut there, mut made) = (there.lines(), made.lines());
    for n in 1.. {
        let (old, new) = (there.next(), made.next());
        if old != new || old.is_none() {
            let (old, new) = (old.unwrap_or("nothing"), new.unwrap_or("nothing"));
            return Some(format!("line {n} is\n  {old}\nand would be\n  {new}"));
        }
    }
    None
}
