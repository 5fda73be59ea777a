//! Seeds. `SOCKEYE_SEEDS=5000` runs more of them, `SOCKEYE_SEED=17` runs one.

use sockeye_lab::sim::{Plan, simulate};

/// Names the seed even if the core panics.
struct Seed(u64);
impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failing seed: run again with SOCKEYE_SEED={}", self.0);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn run(plan: &Plan) -> sockeye_lab::sim::Outcome {
    let _seed = Seed(plan.seed);
    simulate(plan).unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn a_quiet_transfer() {
    for v6 in [false, true] {
        for routed in [false, true] {
            let outcome = run(&Plan { v6, routed, ..Plan::quiet(1) });
            // A few round trips of slow start, and an hour less than the quiet after it.
            assert!(outcome.finished.as_millis() < 1000, "{outcome:?}");
        }
    }
}

#[test]
fn nothing_to_send_is_a_transfer_too() {
    run(&Plan { bytes: [0, 0], ..Plan::quiet(2) });
    run(&Plan { bytes: [1, 0], ..Plan::quiet(3) });
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..4 {
        let plan = Plan { digest: true, ..Plan::from_seed(seed) };
        let (one, two) = (run(&plan), run(&plan));
        assert_eq!(one, two);
        assert_ne!(one.digest, 0);
    }
}

/// MUST-8 and all that follows from it: whatever the network does, the stream arrives whole or not at all.
#[test]
fn whatever_the_network_does() {
    if let Some(seed) = number("SOCKEYE_SEED") {
        run(&Plan::from_seed(seed));
        return;
    }
    for seed in 0..number("SOCKEYE_SEEDS").unwrap_or(100) {
        run(&Plan::from_seed(seed));
    }
}
