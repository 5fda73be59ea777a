//! Sender and receiver over a bad network, in virtual time, with thousands of seeds.

use std::collections::BTreeMap;

use sockeye_stack::time::{Duration, Instant};

use super::*;

/// A small generator (SplitMix64): the same seed gives the same run.
struct Rng(u64);
impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
}

#[derive(Clone, Copy, Debug)]
enum Wire {
    Handshake,
    Data(u16, usize, u64),
    Ack(u16),
}

#[derive(Clone, Copy, Debug)]
struct Case {
    window: u16,
    blocks: u64,
    loss: u64,
    duplication: u64,
    delay_us: u64,
    jitter_us: u64,
    numbers: Rollover,
    handshake: bool,
}

#[derive(Debug, Default)]
struct Outcome {
    sender_done: bool,
    received: u64,
    took: Duration,
    data_sent: u64,
    acks_sent: u64,
    timeouts: u64,
}

/// The network: packets by time of arrival and order of sending.
struct Link<'a> {
    rng: &'a mut Rng,
    case: Case,
    queue: BTreeMap<(Instant, u64), (bool, Wire)>,
    sent: u64,
}
impl Link<'_> {
    fn send(&mut self, now: Instant, to_receiver: bool, packet: Wire) {
        let copies = if self.rng.percent(self.case.loss) { 0 } else { 1 };
        let copies = copies + u64::from(self.rng.percent(self.case.duplication));
        for _ in 0..copies {
            let jitter = self.rng.below(self.case.jitter_us + 1);
            let at = now + Duration::from_micros(self.case.delay_us + jitter);
            self.sent += 1;
            self.queue.insert((at, self.sent), (to_receiver, packet));
        }
    }
}

fn run(seed: u64, case: Case) -> Outcome {
    let mut rng = Rng(seed);
    let start = Instant::from_secs(1);
    let timing = Timing {
        give_up: Duration::from_secs(60),
        ..Timing::default()
    };
    let blksize = 512usize;
    let mut sender = Sender::new(start, timing, case.numbers, case.window, case.handshake);
    sender.set_last(case.blocks);
    let dally = Duration::from_secs(60);
    let mut receiver = Receiver::new(start, timing, Some(case.numbers), true, Some(dally));
    receiver.configure(blksize as u16, case.window, timing);
    // The client's request has just arrived.
    assert_eq!(receiver.poll_transmit(start), Some(Reply::Handshake));
    let mut outcome = Outcome::default();
    let mut link = Link {
        rng: &mut rng,
        case,
        queue: BTreeMap::new(),
        sent: 0,
    };
    let (mut now, mut receiver_done) = (start, false);
    loop {
        while let Some(burst) = (!outcome.sender_done)
            .then(|| sender.poll_transmit(now, 7))
            .flatten()
        {
            for block in burst.first..burst.first + u64::from(burst.count) {
                assert!(block <= case.blocks && block >= sender.base());
                outcome.data_sent += 1;
                let len = if block == case.blocks { 100 } else { blksize };
                let packet = match block {
                    0 => Wire::Handshake,
                    _ => Wire::Data(sender.wire(block), len, block),
                };
                link.send(now, true, packet);
            }
        }
        while let Some(reply) = (!receiver_done).then(|| receiver.poll_transmit(now)).flatten() {
            outcome.acks_sent += 1;
            if let Reply::Ack(n) = reply {
                link.send(now, false, Wire::Ack(n));
            }
        }
        let arrival = link.queue.first_key_value().map(|(&(at, _), _)| at);
        let deadlines = [
            arrival,
            (!outcome.sender_done).then(|| sender.deadline()).flatten(),
            (!receiver_done).then(|| receiver.deadline()).flatten(),
        ];
        let Some(next) = deadlines.into_iter().flatten().min() else {
            break;
        };
        assert!(next >= now, "no deadline in the past");
        now = next;
        if arrival == Some(now) {
            let (_, (to_receiver, packet)) = link.queue.pop_first().unwrap();
            match packet {
                Wire::Handshake if to_receiver => receiver.handle_option_ack(now),
                Wire::Data(wire, len, block) if !receiver_done => {
                    match receiver.handle_data(now, wire, len) {
                        DataOutcome::Next | DataOutcome::Last => {
                            assert_eq!(block, outcome.received + 1, "in order, each once");
                            outcome.received = block;
                        }
                        _ => {}
                    }
                }
                Wire::Ack(wire) if !outcome.sender_done => {
                    if sender.handle_ack(now, wire) == AckOutcome::Finished {
                        outcome.sender_done = true;
                        outcome.took = now.since(start);
                    }
                }
                _ => {}
            }
            continue;
        }
        if !outcome.sender_done && sender.handle_timeout(now) == TimeoutOutcome::GaveUp {
            break;
        }
        if !receiver_done {
            receiver_done = matches!(
                receiver.handle_timeout(now),
                TimeoutOutcome::Finished | TimeoutOutcome::GaveUp
            );
        }
    }
    outcome.timeouts = sender.counts().timeouts;
    outcome
}

const CLEAN: Case = Case {
    window: 1,
    blocks: 200,
    loss: 0,
    duplication: 0,
    delay_us: 5_000,
    jitter_us: 0,
    numbers: Rollover::ToZero,
    handshake: true,
};

#[test]
fn a_clean_path_sends_each_block_once() {
    for window in [1, 2, 16, 64, 500] {
        for handshake in [false, true] {
            let case = Case {
                window,
                handshake,
                ..CLEAN
            };
            let outcome = run(1, case);
            assert!(outcome.sender_done);
            assert_eq!(outcome.received, case.blocks);
            assert_eq!(outcome.data_sent, case.blocks + u64::from(handshake));
            let windows = case.blocks.div_ceil(window.into());
            // The request, ACK 0, and one for each window.
            assert_eq!(outcome.acks_sent, windows + u64::from(handshake));
            assert_eq!(outcome.timeouts, 0);
        }
    }
}

#[test]
fn whatever_the_network_does_the_file_arrives() {
    for seed in 0..6_000 {
        let mut rng = Rng(seed ^ 0x5eed);
        let case = Case {
            window: [1, 1, 2, 3, 16, 64][rng.below(6) as usize],
            blocks: 1 + rng.below(150),
            loss: rng.below(25),
            duplication: rng.below(25),
            delay_us: [20, 1_000, 10_000, 100_000][rng.below(4) as usize],
            jitter_us: [0, 0, 200, 20_000][rng.below(4) as usize],
            numbers: [Rollover::ToZero, Rollover::ToOne][rng.below(2) as usize],
            handshake: rng.percent(50),
        };
        let outcome = run(seed, case);
        assert_eq!(outcome.received, case.blocks, "seed {seed}: {case:?} {outcome:?}");
        assert!(outcome.sender_done, "seed {seed}: {case:?} {outcome:?}");
    }
}

#[test]
fn duplicates_never_double() {
    // Every packet comes twice: DATA is still sent once, and ACKs once or twice.
    for window in [1, 4, 16] {
        for seed in 0..200 {
            let outcome = run(
                seed,
                Case {
                    window,
                    duplication: 100,
                    jitter_us: 0,
                    ..CLEAN
                },
            );
            assert!(outcome.sender_done);
            assert_eq!(outcome.data_sent, 201, "window {window} seed {seed}: {outcome:?}");
        }
    }
}

#[test]
fn rollover_under_loss() {
    for numbers in [Rollover::ToZero, Rollover::ToOne] {
        for window in [1, 16] {
            let case = Case {
                window,
                numbers,
                blocks: 140_000,
                loss: 1,
                duplication: 1,
                delay_us: 50,
                ..CLEAN
            };
            let outcome = run(7, case);
            assert!(
                outcome.sender_done && outcome.received == case.blocks,
                "{outcome:?}"
            );
        }
    }
}

/// One percent of loss each way costs less than the transfer itself: 10 MiB in blocks of 1,428 at 10 ms.
#[test]
fn loss_costs_less_than_twice() {
    for (window, times) in [(16, 2.0), (64, 3.0)] {
        let case = Case {
            window,
            blocks: 7_344,
            ..CLEAN
        };
        let clean = run(1, case).took.as_secs_f64();
        let mut worst = 0f64;
        for seed in 0..10 {
            let outcome = run(seed, Case { loss: 1, ..case });
            worst = worst.max(outcome.took.as_secs_f64());
        }
        assert!(
            worst <= times * clean,
            "window {window}: {clean:.2} s clean, {worst:.2} s with loss"
        );
    }
}
