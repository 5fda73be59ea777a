//! A network that loses what it likes for a while and then heals: everything arrives, intact, and both ends close.

use proptest::prelude::*;
use sockeye_stack::config::CongestionControl;
use sockeye_stack::tcp::TcpOptions;
use sockeye_stack::{Config, Duration, Profile};

use crate::pair::{A, B, Pair};

#[derive(Clone, Debug)]
struct Plan {
    linux: bool,
    sack: bool,
    timestamps: bool,
    scaling: bool,
    reno: bool,
    nodelay: bool,
    mtu: u32,
    receive_buffer: u32,
    send_buffer: u32,
    octets: usize,
    /// Octets that the reader takes at a time, and how often it looks.
    reads: usize,
    pause: u64,
    seed: u32,
    /// Lost of 256, while the trouble lasts.
    loss: u32,
    /// Milliseconds of trouble.
    trouble: u64,
    /// Both ends send.
    both: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    let switches = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    let sizes = (
        prop_oneof![Just(1500u32), 300u32..1500, Just(9000)],
        600u32..50_000,
        600u32..50_000,
        1usize..60_000,
        500usize..9000,
        prop_oneof![Just(0u64), 1u64..300],
    );
    let trouble = (any::<u32>(), 0u32..200, 0u64..30_000, any::<bool>());
    (switches, sizes, trouble).prop_map(|(s, z, t)| Plan {
        linux: s.0,
        sack: s.1,
        timestamps: s.2,
        scaling: s.3,
        reno: s.4,
        nodelay: s.5,
        mtu: z.0,
        receive_buffer: z.1,
        send_buffer: z.2,
        octets: z.3,
        reads: z.4,
        pause: z.5,
        seed: t.0,
        loss: t.1,
        trouble: t.2,
        both: t.3,
    })
}

fn octet(host: usize, i: usize) -> u8 {
    (i * 7 / 3 + host * 91) as u8
}

fn run(plan: &Plan) {
    let mut config = Config::new(if plan.linux { Profile::Linux } else { Profile::Rfc });
    config.sack = plan.sack;
    config.timestamps = plan.timestamps;
    config.window_scaling = plan.scaling;
    if plan.reno {
        config.congestion_control = CongestionControl::NewReno;
    }
    let options = TcpOptions {
        nodelay: plan.nodelay,
        receive_buffer: Some(plan.receive_buffer),
        send_buffer: Some(plan.send_buffer),
        ..TcpOptions::default()
    };
    let mut p = Pair::with(config.clone(), config, plan.mtu);
    let (client, server) = p.connected_with(options, options);
    let heals = p.now + Duration::from_millis(plan.trouble);
    let (mut n, loss) = (plan.seed, plan.loss);
    p.drop_if = Box::new(move |s, _| {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        s.at < heals && n >> 24 < loss
    });
    let ends = [(A, client), (B, server)];
    let total = [plan.octets, if plan.both { plan.octets } else { 0 }];
    let (mut sent, mut got, mut closed, mut ended) = ([0; 2], [0; 2], [false; 2], [false; 2]);
    let start = p.now;
    let mut reads_at = [start; 2];
    let mut buf = vec![0; plan.reads];
    let mut turns = 0;
    while ended != [true; 2] {
        let mut quiet = true;
        turns += 1;
        assert!(
            turns < 1_000_000,
            "it goes on for ever: {:?}",
            p.ladder(p.seen.len().saturating_sub(8))
        );
        for (host, id) in ends {
            let now = p.now;
            let mut sock = p.stacks[host].tcp(now, id).unwrap();
            if sent[host] < total[host] {
                let end = total[host].min(sent[host] + 5000);
                let data: Vec<u8> = (sent[host]..end).map(|i| octet(host, i)).collect();
                sent[host] += sock.send(&data).unwrap_or(0);
            } else if !closed[host] {
                sock.shutdown_send().unwrap();
                closed[host] = true;
            }
            if now >= reads_at[host] && !ended[host] {
                match sock.recv(&mut buf) {
                    Ok(0) => ended[host] = true,
                    Ok(n) => {
                        let from = got[host];
                        assert!(buf[..n].iter().zip(from..).all(|(b, i)| *b == octet(1 - host, i)));
                        got[host] += n;
                        reads_at[host] = now + Duration::from_millis(plan.pause);
                        quiet &= plan.pause > 0;
                    }
                    Err(_) => {}
                }
            }
        }
        assert!(
            p.now < start + Duration::from_secs(3600),
            "no end: sent {sent:?}, got {got:?}"
        );
        if quiet {
            let next = p.now + Duration::from_millis(plan.pause.max(50));
            if !p.step(next) {
                p.now = next; // the reader alone is slow
            }
        } else {
            p.drain();
        }
    }
    assert_eq!(got, [total[1], total[0]]);
    for (host, id) in ends {
        let now = p.now;
        assert_eq!(p.stacks[host].tcp(now, id).unwrap().take_error(), None);
        p.stacks[host].tcp(now, id).unwrap().close();
    }
    p.run_out();
    assert_eq!(p.stacks[A].snapshot().sockets.len(), 0);
    assert_eq!(p.stacks[B].snapshot().sockets.len(), 1, "the listener");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn everything_arrives_once_the_network_heals(plan in plan()) {
        run(&plan);
    }
}
