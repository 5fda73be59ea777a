//! Seeds. `SOCKEYE_SEEDS=5000` runs more of them, `SOCKEYE_SEED=17` runs one.

use sockeye_lab::sim::{Plan, simulate};
use sockeye_lab::{Queue, mbit, ms, secs};
use sockeye_stack::config::CongestionControl;

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
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

fn run(plan: &Plan) -> sockeye_lab::sim::Outcome {
    let _seed = Seed(plan.seed);
    simulate(plan).unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn a_quiet_transfer() {
    for v6 in [false, true] {
        for routed in [false, true] {
            let outcome = run(&Plan {
                v6,
                routed,
                ..Plan::quiet(1)
            });
            // A few round trips of slow start, and an hour less than the quiet after it.
            assert!(outcome.finished.as_millis() < 1000, "{outcome:?}");
        }
    }
}

#[test]
fn nothing_to_send_is_a_transfer_too() {
    run(&Plan {
        bytes: [0, 0],
        ..Plan::quiet(2)
    });
    run(&Plan {
        bytes: [1, 0],
        ..Plan::quiet(3)
    });
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..4 {
        let plan = Plan {
            digest: true,
            ..Plan::from_seed(seed)
        };
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

/// The dice of the plans do reach what they are there for.
#[test]
fn seeds_meet_every_impairment() {
    let mut sum = sockeye_lab::LinkStats::default();
    let mut largest = 0;
    for seed in 0..100 {
        for lane in run(&Plan::from_seed(seed)).link {
            sum.sent += lane.sent;
            sum.lost += lane.lost;
            sum.queue_full += lane.queue_full;
            sum.duplicated += lane.duplicated;
            sum.corrupted += lane.corrupted;
            sum.reordered += lane.reordered;
            sum.marked += lane.marked;
            largest = largest.max(lane.bytes);
        }
    }
    eprintln!("{sum:?}, at most {largest} octets on a lane");
    for count in [
        sum.lost,
        sum.queue_full,
        sum.duplicated,
        sum.corrupted,
        sum.reordered,
        sum.marked,
    ] {
        assert!(count > 50, "{sum:?}");
    }
}

/// RFC 3168: a link that marks early keeps its queue short, and nothing is lost or sent twice; without ECN the same
/// flow fills the queue until it overflows.
///
/// Proves: SHLD-8.
#[test]
fn marks_keep_a_flow_from_losing_anything() {
    for (v6, congestion_control) in [
        (false, CongestionControl::Cubic),
        (true, CongestionControl::Cubic),
        (false, CongestionControl::NewReno),
    ] {
        let mut plan = Plan {
            v6,
            congestion_control,
            bytes: [3_000_000, 0],
            heals_after: secs(600),
            ecn: true,
            ..Plan::quiet(5)
        };
        plan.figures[0].rate = Some(mbit(10));
        plan.figures[0].queue = Queue::Packets(60);
        plan.figures[0].mark_wait = Some(ms(10));
        let [marked, _] = run(&plan).link;
        assert!(marked.marked > 0 && marked.lost == 0, "{marked:?}");
        plan.ecn = false;
        let [unmarked, _] = run(&plan).link;
        assert!(unmarked.marked == 0 && unmarked.queue_full > 0, "{unmarked:?}");
        assert!(marked.sent < unmarked.sent, "nothing was sent twice");
    }
}

/// Without checksums corruption reaches the stream, and the oracle sees it.
#[test]
fn what_is_not_checked_is_noticed() {
    let mut plan = Plan {
        unchecked: true,
        ..Plan::quiet(1)
    };
    plan.figures[0].corrupt = 0.2;
    plan.heals_after = sockeye_lab::secs(60);
    let failure = simulate(&plan).unwrap_err();
    assert!(failure.what.contains("not what was sent"), "{failure}");
    plan.unchecked = false;
    run(&plan);
}
