//! Scenarios: what TCP, UDP and IP do, shown on a small network and checked while it is shown.
//!
//! Each scenario builds its networks, lets things happen, and makes claims about what was observed. Where a
//! well-known tutorial says otherwise, the claim is a correction: what the tutorial says, and what is right.
//!
//! ```
//! use sockeye_lab::scenarios;
//!
//! let handshake = scenarios::find("handshake").unwrap();
//! let checks = handshake.run(1, &mut ());
//! assert!(checks.iter().all(|check| check.held));
//! ```

mod abnormal_disconnect;
mod backlog;
mod broadcast;
mod fragmentation;
mod handshake;
mod keepalive;
mod log;
mod nat;
mod peer;
mod refused;
mod reorder;
mod retransmit;
mod simultaneous_close;
mod simultaneous_open;
mod stage;
mod stream_vs_datagram;
mod syn_flood;
mod teardown;
mod time_wait;
mod zero_window;

pub use stage::{Audience, Check, Correction, Scene, Stage};

/// A scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    play: fn(&mut Stage<'_>),
}

impl Scenario {
    /// A scenario of one's own.
    pub const fn new(name: &'static str, about: &'static str, play: fn(&mut Stage<'_>)) -> Scenario {
        Scenario { name, about, play }
    }
    /// Plays it before `audience`; all chance comes from `seed`. Returns what it claimed, in order.
    pub fn run(&self, seed: u64, audience: &mut dyn Audience) -> Vec<Check> {
        let mut stage = Stage::new(seed, audience);
        (self.play)(&mut stage);
        stage.finish()
    }
}

/// All scenarios, from the first thing that a connection does to what lies below it.
pub const ALL: &[Scenario] = &[
    handshake::SCENARIO,
    teardown::SCENARIO,
    simultaneous_open::SCENARIO,
    simultaneous_close::SCENARIO,
    refused::SCENARIO,
    abnormal_disconnect::SCENARIO,
    retransmit::SCENARIO,
    reorder::SCENARIO,
    zero_window::SCENARIO,
    keepalive::SCENARIO,
    backlog::SCENARIO,
    syn_flood::SCENARIO,
    time_wait::SCENARIO,
    stream_vs_datagram::SCENARIO,
    broadcast::SCENARIO,
    nat::SCENARIO,
    fragmentation::SCENARIO,
];

/// The scenario with this name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every claim of every scenario holds, with more than one seed.
    #[test]
    fn every_claim_holds() {
        let mut failed = Vec::new();
        for scenario in ALL {
            for seed in [1, 2, 77] {
                let checks = scenario.run(seed, &mut ());
                assert!(checks.len() >= 3, "{} claims too little", scenario.name);
                let wrong = checks.into_iter().filter(|check| !check.held);
                failed.extend(wrong.map(|check| (scenario.name, seed, check.claim, check.seen)));
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn names_are_found_and_are_unique() {
        for (n, scenario) in ALL.iter().enumerate() {
            assert_eq!(ALL.iter().position(|other| other.name == scenario.name), Some(n));
            assert!(find(scenario.name).is_some() && !scenario.about.is_empty());
        }
        assert!(find("nothing").is_none());
    }

    /// The rows of the list of corrections that are shown; each stands in one scenario at least.
    #[test]
    fn corrections_have_their_row_and_both_lines() {
        let mut rows = std::collections::BTreeSet::new();
        for scenario in ALL {
            for check in scenario.run(1, &mut ()) {
                if let Some(correction) = check.correction {
                    assert!(
                        correction.row.starts_with("W-") && correction.row.len() == 4,
                        "{correction:?}"
                    );
                    assert!(!correction.says.is_empty() && !check.claim.is_empty());
                    rows.insert(correction.row);
                }
            }
        }
        assert!(rows.len() >= 30, "{rows:?}");
    }
}
