//! Whole transfers between two stacks.

use crate::pair::{A, B, Pair};
use sockeye_stack::tcp::State;
use sockeye_stack::{Config, Duration, Profile};

#[test]
fn handshake_data_and_release() {
    let mut p = Pair::new(Config::new(Profile::Rfc));
    let (client, server) = p.connected();
    assert_eq!(p.ladder(0), ["A SYN", "B SYN,ACK", "A ACK"]);
    assert_eq!(
        (p.state(A, client), p.state(B, server)),
        (State::Established, State::Established)
    );
    p.send(A, client, b"python");
    p.run_for(Duration::from_millis(20));
    assert_eq!(p.recv_all(B, server), b"python");
    p.send(B, server, b"PYTHON");
    p.run_for(Duration::from_secs(1));
    assert_eq!(p.recv_all(A, client), b"PYTHON");
    assert_eq!(p.ladder(3), ["A PSH,ACK 6", "B PSH,ACK 6", "A ACK"]);
    let now = p.now;
    p.stacks[A].tcp(now, client).unwrap().close();
    p.run_for(Duration::from_secs(1));
    assert_eq!(p.state(B, server), State::CloseWait);
    p.stacks[B].tcp(p.now, server).unwrap().close();
    p.run_for(Duration::from_secs(1));
    assert_eq!(p.ladder(6), ["A FIN,ACK", "B ACK", "B FIN,ACK", "A ACK"]);
    assert_eq!(p.stacks[A].snapshot().sockets.len(), 1);
    p.run_out();
    assert_eq!(p.stacks[A].snapshot().sockets.len(), 0);
}

#[test]
fn bulk_transfer_with_loss() {
    let mut p = Pair::new(Config::new(Profile::Rfc));
    let (client, server) = p.connected();
    let mut n = 0u32;
    p.drop_if = Box::new(move |s, _| {
        n = n.wrapping_mul(1664525).wrapping_add(1013904223);
        s.segment.payload_len > 0 && n >> 24 < 13
    });
    let data: Vec<u8> = (0..1_000_000u32).map(|i| ((i * 7) >> 3) as u8).collect();
    let mut sent = 0;
    let mut got = Vec::new();
    let mut steps = 0;
    while got.len() < data.len() {
        let now = p.now;
        if sent < data.len() {
            if let Ok(n) = p.stacks[A].tcp(now, client).unwrap().send(&data[sent..]) {
                sent += n;
            }
        }
        assert!(
            p.step(now + Duration::from_secs(100)),
            "progress at {now} after {}",
            got.len()
        );
        got.extend(p.recv_all(B, server));
        steps += 1;
        assert!(steps < 100_000);
    }
    assert!(got == data);
    println!("{} segments, {} s", p.seen.len(), p.now);
}
