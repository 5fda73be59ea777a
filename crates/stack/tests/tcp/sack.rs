//! Selective acknowledgments: sending them (RFC 2018, RFC 2883) and recovering by them (RFC 6675).

use sockeye_stack::trace::{Cause, RetransmitCause};

use crate::peer::{Peer, Sent, Setup, ack, octets, secs};

fn sack() -> Setup {
    Setup {
        sack: true,
        ..Setup::default()
    }
}

/// Segments 1, 1001, ... 9001 are out, and there is more.
fn sending() -> Peer {
    let mut p = Peer::established(sack());
    p.write_n(200_000);
    assert_eq!(p.take_all().len(), 10);
    p
}
fn starts(sent: &[Sent]) -> Vec<i64> {
    sent.iter().map(|s| s.seq).collect()
}

/// RFC 2018 section 4: the block of the segment that caused the ACK first, then the most recent others.
///
/// Proves: 2018-4a, 2018-4b, 2018-4c.
#[test]
fn blocks_are_sent_most_recent_first() {
    let mut p = Peer::established(sack());
    p.send(octets(11, 1, 10));
    p.expect("ACK 1 ack 1 sack 11-21");
    p.send(octets(31, 1, 10));
    p.expect("ACK 1 ack 1 sack 31-41 sack 11-21");
    p.send(octets(51, 1, 10));
    p.expect("ACK 1 ack 1 sack 51-61 sack 31-41 sack 11-21");
    p.send(octets(21, 1, 5));
    p.expect("ACK 1 ack 1 sack 11-26 sack 51-61 sack 31-41");
    p.send(octets(71, 1, 10));
    p.send(octets(91, 1, 10));
    p.take();
    p.expect("ACK 1 ack 1 sack 91-101 sack 71-81 sack 11-26 sack 51-61");
    p.send(octets(1, 1, 10));
    p.expect("ACK 1 ack 26 sack 91-101 sack 71-81 sack 51-61 sack 31-41");
}

/// With timestamps three blocks fit.
///
/// Proves: 2018-4b.
#[test]
fn three_blocks_fit_beside_timestamps() {
    let mut p = Peer::established(Setup {
        timestamps: Some(1000),
        ..sack()
    });
    for n in 1..=4 {
        p.send(octets(n * 20, 1, 10));
    }
    let acks = p.take_all();
    assert_eq!(acks.last().unwrap().sack, [(80, 90), (60, 70), (40, 50)]);
    assert!(acks.last().unwrap().raw_options.len() <= 40);
}

/// Without SACK permitted, none are sent, and the peer's are not believed.
///
/// Proves: 2018-3.
#[test]
fn no_blocks_unless_agreed() {
    let mut p = Peer::established(Setup::default());
    p.write_n(10_000);
    p.take_all();
    for n in 2..=5 {
        p.send(ack(1, 1).sack(&[(1001, n * 1000 + 1)]).window(60_000 + n as u16));
    }
    assert!(p.take_all().iter().all(|s| s.seq != 1));
    p.send(octets(11, 1, 10));
    p.expect("ACK 10001 ack 1");
}

/// RFC 2883 section 4: what came twice is the first block.
///
/// Proves: 2883-4a, 2883-4b.
#[test]
fn duplicates_are_reported() {
    let mut p = Peer::established(sack());
    p.send(octets(1, 1, 100));
    p.at(200).expect("ACK 1 ack 101");
    p.send(octets(51, 1, 50));
    p.expect("ACK 1 ack 101 sack 51-101");
    // Partly old: the old part. It is told with the next ACK.
    p.send(octets(91, 1, 20));
    p.wait(secs(1));
    assert_eq!(p.take().sack, [(91, 101)]);
    // Above a gap: first the duplicate, then the block that it lies in.
    p.send(octets(201, 1, 50));
    p.expect("ACK 1 ack 111 sack 201-251");
    p.send(octets(211, 1, 10));
    p.expect("ACK 1 ack 111 sack 211-221 sack 201-251");
    // Once only.
    p.send(octets(301, 1, 10));
    p.expect("ACK 1 ack 111 sack 301-311 sack 201-251");
}

/// RFC 6675 section 5: three SACKed segments above a hole; one retransmission, then as the pipe allows.
///
/// Proves: 6675-3.
#[test]
fn recovery_by_sack() {
    let mut p = sending();
    p.send(ack(1, 1).sack(&[(1001, 2001)]));
    p.send(ack(1, 1).sack(&[(1001, 3001)]));
    assert_eq!(starts(&p.take_all()), [10_001, 11_001], "limited transmit");
    p.send(ack(1, 1).sack(&[(1001, 4001)]));
    let again = p.expect("ACK 1+1000 ack 1");
    assert_eq!(again.cause, Cause::Retransmit(RetransmitCause::Fast));
    assert_eq!((p.info().cwnd, p.info().ssthresh), (5000, 5000));
    // Pipe: 12 sent, 3 SACKed, 1 lost and sent again: 9. It must fall below 5 for more.
    for n in 5..=8 {
        p.send(ack(1, 1).sack(&[(1001, n * 1000 + 1)]));
        p.quiet();
    }
    p.send(ack(1, 1).sack(&[(1001, 9001)]));
    p.expect("ACK 12001+1000 ack 1");
    p.send(ack(1, 1).sack(&[(1001, 10_001)]));
    p.expect("ACK 13001+1000 ack 1");
    p.send(ack(1, 12_001));
    assert_eq!(p.info().cwnd, 5000, "recovery ends");
    p.ignore();
}

/// Every hole is sent once, in order, without another reduction.
///
/// Proves: 2018-5, 6675-4.
#[test]
fn several_holes_are_repaired_in_one_recovery() {
    let mut p = sending();
    // 1, 3001 and 6001 are lost.
    p.send(ack(1, 1).sack(&[(1001, 2001)]));
    p.send(ack(1, 1).sack(&[(1001, 3001)]));
    p.send(ack(1, 1).sack(&[(4001, 5001), (1001, 3001)]));
    p.send(ack(1, 1).sack(&[(4001, 6001), (1001, 3001)]));
    p.send(ack(1, 1).sack(&[(7001, 8001), (4001, 6001), (1001, 3001)]));
    p.send(ack(1, 1).sack(&[(7001, 9001), (4001, 6001), (1001, 3001)]));
    p.send(ack(1, 1).sack(&[(7001, 10_001), (4001, 6001), (1001, 3001)]));
    p.send(ack(1, 1).sack(&[(7001, 11_001), (4001, 6001), (1001, 3001)]));
    p.send(ack(1, 1).sack(&[(7001, 12_001), (4001, 6001), (1001, 3001)]));
    let again: Vec<_> = p.take_all().into_iter().filter(|s| s.seq < 10_001).collect();
    assert_eq!(starts(&again), [1, 3001, 6001]);
    assert!(
        again[1..]
            .iter()
            .all(|s| s.cause == Cause::Retransmit(RetransmitCause::Scoreboard))
    );
    assert_eq!(p.info().ssthresh, 5000);
    p.send(ack(1, 3001).sack(&[(7001, 12_001), (4001, 6001)]));
    p.send(ack(1, 6001).sack(&[(7001, 12_001)]));
    assert!(p.take_all().iter().all(|s| s.seq > 10_000), "nothing goes twice");
    assert_eq!(p.info().ssthresh, 5000);
    p.ignore();
}

/// RFC 6675 section 4, NextSeg rule 4: the last segment, of which nothing can tell, is tried once.
///
/// Proves: 6675-5.
#[test]
fn the_rescue_retransmission() {
    let mut p = Peer::established(sack());
    p.write_n(10_000);
    assert_eq!(p.take_all().len(), 10);
    for n in 2..=9 {
        p.send(ack(1, 1).sack(&[(1001, n * 1000 + 1)]));
    }
    let sent = p.take_all();
    assert_eq!(starts(&sent), [1, 9001]);
    assert_eq!(sent[1].cause, Cause::Retransmit(RetransmitCause::Rescue));
    p.send(ack(1, 9001));
    p.quiet();
    p.send(ack(1, 10_001));
    assert_eq!(p.info().ssthresh, 5000);
}

/// What has gone again in this recovery is no rescue: there is nothing left to try, and the timer decides.
#[test]
fn a_rescue_repeats_no_retransmission() {
    for (blocks, lost) in [
        (&[(1001, 10_001)][..], &[1][..]),
        (&[(5001, 10_001), (1001, 4001)], &[1, 4001]),
    ] {
        let mut p = Peer::established(sack());
        p.write_n(10_000);
        assert_eq!(p.take_all().len(), 10);
        p.send(ack(1, 1).sack(blocks));
        assert_eq!(starts(&p.take_all()), lost);
        p.send(ack(1, 10_001));
        p.quiet();
        assert_eq!(p.info().retransmits, lost.len() as u64);
    }
}

/// After a timeout what is SACKed is not sent again, until a second timeout shows that it may be gone (RFC 2018 section 8).
///
/// Proves: 2018-8, 6675-6.
#[test]
fn a_timeout_keeps_the_scoreboard_once() {
    let mut p = Peer::established(sack());
    p.write_n(10_000);
    p.take_all();
    p.send(ack(1, 1).sack(&[(2001, 3001)]));
    p.mark();
    p.wait(secs(1));
    assert_eq!(starts(&p.take_all()), [1]);
    p.send(ack(1, 1001).sack(&[(2001, 3001)]));
    let sent = p.take_all();
    assert!(!starts(&sent).contains(&2001), "{:?}", starts(&sent));
    assert_eq!(sent[0].seq, 1001);
    // Twice the second timeout, which no sample has shortened again.
    p.wait(secs(2));
    p.take_all();
    p.wait(secs(4));
    p.take_all();
    // The peer has dropped it: it acknowledges up to there, and no further.
    p.send(ack(1, 2001));
    assert_eq!(starts(&p.take_all())[0], 2001, "reneged octets are sent again");
    p.ignore();
}

/// Blocks that no peer can mean are ignored.
#[test]
fn impossible_blocks_are_ignored() {
    let mut p = sending();
    for block in [
        (50_001, 60_001),
        (3001, 2001),
        (2001, 2001),
        (0x8000_0000, 0x8000_1000),
        (9001, 900_001),
    ] {
        p.send(ack(1, 1).sack(&[block]));
        p.send(ack(1, 1).sack(&[block]));
        p.send(ack(1, 1).sack(&[block]));
        assert_eq!(p.take_all().len(), 0, "{block:?}");
    }
    assert_eq!(p.info().ssthresh, u32::MAX);
}

/// Duplicates without news from SACK do not count (RFC 6675 section 2).
///
/// Proves: 6675-1.
#[test]
fn duplicates_without_sack_information_do_not_count() {
    let mut p = sending();
    for _ in 0..5 {
        p.send(ack(1, 1).sack(&[(1001, 2001)]));
    }
    assert!(p.take_all().iter().all(|s| s.seq != 1));
    p.ignore();
}

/// Blocks go with data, too, as many as it leaves room for.
///
/// Proves: 2018-4c.
#[test]
fn blocks_go_with_data() {
    let mut p = Peer::established(sack());
    p.set(|o| o.nodelay = true);
    p.queue(octets(11, 1, 10));
    p.write_n(100);
    p.expect("PSH,ACK 1+100 ack 1 sack 11-21");
    p.expect("ACK 101 ack 1 sack 11-21");
    p.send(octets(31, 1, 10));
    p.expect("ACK 101 ack 1 sack 31-41 sack 11-21");
    // 1000 octets of payload at most, 4 + 8 of them for one block.
    for (n, text) in [
        (980, "PSH,ACK 101+980 ack 1 sack 31-41 sack 11-21"),
        (988, "PSH,ACK 1081+988 ack 1 sack 31-41"),
        (989, "PSH,ACK 2069+989 ack 1"),
    ] {
        p.write_n(n);
        p.expect(text);
    }
    p.ignore();
}
