//! Windows (RFC 9293 section 3.8.6): closing, opening, shrinking, probing, and no silly ones.

use sockeye_stack::tcp::State;
use sockeye_stack::trace::{AckCause, Cause, Held, TraceKind};
use sockeye_stack::{ConnectionError, SendError};

use crate::peer::{Peer, Setup, ack, ms, octets, secs};

fn window(window: u16) -> Setup {
    Setup {
        window,
        ..Setup::default()
    }
}
fn receive_buffer(octets: u32) -> Setup {
    let mut setup = Setup::default();
    setup.options.receive_buffer = Some(octets);
    setup
}

/// Nothing leaves beyond SND.UNA + SND.WND.
#[test]
fn the_peers_window_is_kept() {
    let mut p = Peer::established(window(2500));
    p.write_n(5000);
    p.expect("ACK 1+1000 ack 1");
    p.expect("ACK 1001+1000 ack 1");
    p.quiet();
    p.send(ack(1, 1001).window(2000));
    p.expect("ACK 2001+1000 ack 1");
    p.quiet();
    assert!(p.trace.iter().any(|e| matches!(
        e.kind,
        TraceKind::Held {
            why: Held::PeerWindow | Held::SillyWindow,
            ..
        }
    )));
}

/// SEG.WND counts from segments that are not older than the last that was used (SND.WL1, SND.WL2).
#[test]
fn old_segments_do_not_change_the_window() {
    let mut p = Peer::established(window(5000));
    p.write_n(100);
    p.expect("PSH,ACK 1+100 ack 1");
    p.send(ack(1, 101).window(4000));
    assert_eq!(p.info().snd_wnd, 4000);
    p.send(ack(1, 1).window(9000));
    assert_eq!(p.info().snd_wnd, 4000, "an older ACK");
    p.send(octets(1, 101, 10).window(3000));
    p.send(ack(11, 101).window(2000));
    assert_eq!(p.info().snd_wnd, 2000);
    p.send(octets(1, 101, 20).window(7000));
    assert_eq!(p.info().snd_wnd, 2000, "an older sequence number");
    p.ignore();
}

/// Proves: MUST-34, SHLD-15.
#[test]
fn a_shrinking_window_makes_the_usable_window_negative() {
    let mut p = Peer::established(window(5000));
    p.write_n(8000);
    assert_eq!(p.take_all().len(), 5);
    // The right edge moves from 5001 back to 3001, with 5 segments out: no new data goes.
    p.send(ack(1, 2001).window(1000));
    p.quiet();
    p.assert_state(State::Established);
    // Not even when all up to the old edge is acknowledged bit by bit.
    p.send(ack(1, 4001).window(1000));
    p.quiet();
    p.send(ack(1, 5001).window(1000));
    p.expect("ACK 5001+1000 ack 1");
}

/// Proves: SHLD-16, SHLD-17.
#[test]
fn old_data_inside_a_shrunken_window_is_sent_again() {
    let mut p = Peer::established(window(5000));
    p.write_n(5000);
    assert_eq!(p.take_all().len(), 5);
    p.mark();
    p.send(ack(1, 1).window(2000));
    p.expect_at(1000, "ACK 1+1000 ack 1");
    p.send(ack(1, 1001).window(1000));
    p.wait(ms(20));
    for sent in p.take_all() {
        assert!(
            sent.seq + sent.data.len() as i64 <= 2001,
            "{sent} lies inside the window"
        );
    }
    p.send(ack(1, 2001).window(9000));
    p.wait(secs(3));
    assert!(
        p.take_all().iter().any(|s| s.seq == 2001),
        "and the rest once it opens"
    );
    p.ignore();
}

/// A window that shrank to nothing is probed, and the connection lives as long as probes are answered, with data beyond
/// the edge in flight.
///
/// Proves: MUST-35, SHLD-17.
#[test]
fn a_window_shrunk_to_zero_is_probed() {
    let mut p = Peer::established(window(3000));
    p.write_n(3000);
    assert_eq!(p.take_all().len(), 3);
    p.send(ack(1, 1).window(0));
    p.mark();
    let mut probes = 0;
    while p.now.since(p.mark) < secs(3000) {
        p.next_timeout();
        for sent in p.take_all() {
            assert!(sent.data.len() <= 1, "{sent} is a probe");
            assert!(matches!(sent.cause, Cause::WindowProbe(_)));
            probes += 1;
            p.send(ack(1, 1).window(0));
        }
    }
    assert!(probes > 40);
    p.assert_state(State::Established);
    p.send(ack(1, 1).window(3000));
    p.wait(ms(10));
    p.expect("ACK 1+1000 ack 1");
    p.ignore();
}

/// The first probe after one RTO, and each wait twice as long.
///
/// Proves: MUST-36, SHLD-29, SHLD-30.
#[test]
fn zero_windows_are_probed_with_growing_waits() {
    let mut p = Peer::established(window(1000));
    p.write_n(1000);
    p.expect("PSH,ACK 1+1000 ack 1");
    p.send(ack(1, 1001).window(0));
    p.write_n(2000);
    p.quiet();
    p.mark();
    let mut at = 0;
    for (n, wait) in [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]
        .into_iter()
        .enumerate()
    {
        at += wait;
        let probe = p.expect_at(at, "ACK 1001+1 ack 1");
        assert_eq!(probe.cause, Cause::WindowProbe(n as u8 + 1));
        p.send(ack(1, 1001).window(0));
        p.quiet();
    }
    // The ACK that opens it lets the data go at once.
    p.send(ack(1, 1001).window(5000));
    p.expect("ACK 1001+1000 ack 1"); // with the octet that was refused as a probe
    p.expect("PSH,ACK 2001+1000 ack 1");
}

/// The peer may take the probe's octet, window still closed: the next probe carries the next octet.
///
/// Proves: MUST-36.
#[test]
fn a_probe_that_is_taken_is_not_repeated() {
    let mut p = Peer::established(window(1000));
    p.write_n(1000);
    p.expect("PSH,ACK 1+1000 ack 1");
    p.send(ack(1, 1001).window(0));
    p.write_n(100);
    p.mark();
    p.expect_at(1000, "ACK 1001+1 ack 1");
    p.send(ack(1, 1002).window(0));
    p.wait(secs(10));
    let next = p.take();
    assert_eq!((next.seq, next.data.len()), (1002, 1));
    p.ignore();
}

/// Proves: MUST-37.
#[test]
fn a_closed_window_keeps_the_connection_while_probes_are_answered() {
    let mut p = Peer::established(window(1000));
    p.write_n(1000);
    p.expect("PSH,ACK 1+1000 ack 1");
    p.send(ack(1, 1001).window(0));
    p.write_n(10);
    p.mark();
    while p.now.since(p.mark) < secs(4 * 3600) {
        p.next_timeout();
        if !p.take_all().is_empty() {
            p.send(ack(1, 1001).window(0));
        }
    }
    p.assert_state(State::Established);
    // Unanswered, R2 ends it.
    p.mark();
    p.wait(secs(1000));
    p.assert_state(State::Closed);
    assert_eq!(p.sock().take_error(), Some(ConnectionError::TimedOut));
    p.ignore();
}

/// A FIN that the window does not let go is probed for as well.
///
/// Proves: MUST-36.
#[test]
fn a_fin_waits_for_the_window_and_probes() {
    let mut p = Peer::established(window(1000));
    p.write_n(1000);
    p.expect("PSH,ACK 1+1000 ack 1");
    p.send(ack(1, 1001).window(0));
    p.close();
    p.quiet();
    p.mark();
    p.expect_at(1000, "FIN,ACK 1001 ack 1");
    p.send(ack(1, 1002).window(0));
    p.assert_state(State::FinWait2);
}

/// RFC 9293 section 3.8.6.2.1: send if a full segment fits; if nothing is in flight and all of it fits; or if nothing is in
/// flight and half of the largest window fits.
///
/// Proves: MUST-38.
#[test]
fn the_sender_does_not_fill_silly_windows() {
    let mut p = Peer::established(window(4000));
    p.write_n(6000);
    assert_eq!(p.take_all().len(), 4);
    // A little room while data is in flight: nothing.
    p.send(ack(1, 1001).window(3300));
    p.quiet();
    p.send(ack(1, 4001).window(300));
    p.quiet();
    // Nothing in flight, 300 of 4000: held until the override timer (0.1 to 1 s).
    p.mark();
    p.at(99);
    p.quiet();
    p.at(1000);
    let small = p.take();
    assert_eq!((small.seq, small.data.len()), (4001, 300));
    p.quiet();
    // Half of the largest window is worth sending into, though less than a segment were it larger than that.
    let mut p = Peer::established(window(600));
    p.write_n(2000);
    p.expect("ACK 1+600 ack 1");
    p.send(ack(1, 601).window(300));
    p.expect("ACK 601+300 ack 1");
    p.send(ack(1, 901).window(299));
    p.quiet();
    p.ignore();
}

/// Proves: MUST-38, SHLD-28.
#[test]
fn data_is_sent_in_full_segments() {
    let mut p = Peer::established(Setup::default());
    for _ in 0..7 {
        assert_eq!(p.sock().send(&[5; 450]), Ok(450));
    }
    p.drain();
    p.expect("ACK 1+1000 ack 1");
    p.expect("ACK 1001+1000 ack 1");
    p.expect("ACK 2001+1000 ack 1");
    p.quiet(); // 150 octets wait by Nagle's rule
    p.send(ack(1, 3001));
    p.expect("PSH,ACK 3001+150 ack 1");
}

/// RFC 9293 section 3.8.6.2.2: the right edge moves by min(half the buffer, a full segment), or not at all.
///
/// Proves: MUST-39, SHLD-14.
#[test]
fn the_receiver_does_not_offer_silly_windows() {
    let mut p = Peer::established(receive_buffer(4000));
    let mut edge = 4001;
    let mut at = 1;
    for _ in 0..4 {
        p.send(octets(at, 1, 1000));
        at += 1000;
    }
    p.wait(ms(200));
    for sent in p.take_all() {
        assert_eq!(
            sent.ack + i64::from(sent.segment.window),
            edge,
            "{sent}: the edge stands still"
        );
    }
    assert_eq!(p.info().rcv_wnd, 0);
    for n in 0..9 {
        p.read_n(100);
        assert!(
            p.waiting().is_empty(),
            "{} octets are no window worth telling",
            n * 100
        );
    }
    p.read_n(100);
    let update = p.expect("ACK 1 ack 4001");
    assert_eq!(update.cause, Cause::Ack(AckCause::WindowUpdate));
    assert_eq!(update.segment.window, 1000);
    edge += 1000;
    p.read_n(3000);
    p.wait(ms(500));
    for sent in p.take_all() {
        let new = sent.ack + i64::from(sent.segment.window);
        assert!(new >= edge + 1000, "{sent} moves the edge by a segment at least");
        edge = new;
    }
}

/// With a buffer smaller than two segments, half of it is the step.
///
/// Proves: MUST-39.
#[test]
fn small_buffers_move_in_halves() {
    let mut p = Peer::established(receive_buffer(1200));
    p.send(octets(1, 1, 1000));
    p.send(octets(1001, 1, 200));
    p.wait(ms(300));
    p.take_all();
    p.read_n(599);
    p.quiet();
    p.read_n(1);
    assert_eq!(p.take().segment.window, 600);
}

/// A buffer that is made smaller later still has room for one unit of the scale that was agreed: less could never be told.
#[test]
fn a_smaller_buffer_has_room_for_a_unit_of_the_scale() {
    let mut setup = receive_buffer(4 << 20);
    setup.window_scale = Some(2);
    let mut p = Peer::established(setup);
    let (_, ours) = p.info().window_scale.unwrap();
    let unit = 1 << ours;
    assert_eq!(unit, 128);
    let mut options = p.sock().options();
    options.receive_buffer = Some(1);
    p.sock().set_options(options);
    // What was told stays; then the window is what one unit holds.
    let mut at = 1;
    while p.info().rcv_wnd > 0 {
        let n = p.info().rcv_wnd.min(1000) as usize;
        p.send(octets(at, 1, n));
        at += n as i64;
    }
    p.wait(ms(300));
    p.take_all();
    p.read_n(at as usize - 1);
    assert_eq!(p.take().segment.window, 1);
}

/// The right edge that is told never moves left, whatever comes and is read.
///
/// Proves: SHLD-14.
#[test]
fn the_right_edge_never_moves_left() {
    for scale in [None, Some(0), Some(7)] {
        let mut setup = receive_buffer(100_000);
        setup.window_scale = scale;
        let mut p = Peer::established(setup);
        let shift = if scale.is_some() { 1 } else { 0 };
        let mut edge = 0;
        let mut at = 1;
        for step in 0..200_i64 {
            let n = (step * 37 % 900 + 1) as usize;
            p.send(octets(at, 1, n));
            at += n as i64;
            if step % 7 == 0 {
                p.send(octets(at + 500, 1, 100));
            }
            if step % 11 == 0 {
                p.wait(ms(250));
                let n = p.sock().readable().clamp(1, 1234);
                p.read_n(n);
            }
            for sent in p.take_all() {
                let new = sent.ack + (i64::from(sent.segment.window) << shift);
                assert!(new >= edge, "{sent}: from {edge} to {new}, scale {scale:?}");
                edge = new;
            }
            if at + 2000 > edge {
                break;
            }
        }
        p.ignore();
    }
}

/// With the window closed, text is refused, while ACKs, urgent pointers and windows in the segment count.
///
/// Proves: MUST-66.
#[test]
fn acks_and_urgent_pointers_count_when_the_window_is_closed() {
    let mut p = Peer::established(receive_buffer(2000));
    p.send(octets(1, 1, 1000));
    p.send(octets(1001, 1, 1000));
    assert_eq!(p.take().segment.window, 0);
    p.write_n(100);
    p.expect("PSH,ACK 1+100 ack 2001");
    p.told();
    p.send(octets(2001, 101, 50).urgent(60).window(777));
    let answer = p.expect("ACK 101 ack 2001");
    assert_eq!(answer.segment.window, 0);
    assert_eq!(p.info().flight, 0);
    assert_eq!(p.info().snd_wnd, 777);
    assert!(p.told().contains(sockeye_stack::Readiness::URGENT));
    assert_eq!(p.sock().readable(), 2000);
}

/// The peer's probes are answered while our window is closed, and its octet is taken once there is room.
///
/// Proves: MAY-8.
#[test]
fn probes_of_our_closed_window_are_answered() {
    let mut p = Peer::established(receive_buffer(2000));
    p.send(octets(1, 1, 1000));
    p.send(octets(1001, 1, 1000));
    assert_eq!(p.take().segment.window, 0);
    for _ in 0..3 {
        p.wait(secs(5));
        p.send(octets(2001, 1, 1));
        assert_eq!(p.expect("ACK 1 ack 2001").cause, Cause::Ack(AckCause::ProbeReply));
    }
    assert_eq!(p.read_all().len(), 2000);
    assert_eq!(p.expect("ACK 1 ack 2001").segment.window, 2000);
    p.send(octets(2001, 1, 1));
    assert_eq!(p.sock().readable(), 1);
}

/// The send buffer is bounded; the application is told when there is room.
#[test]
fn the_send_buffer_is_bounded() {
    let mut setup = window(1000);
    setup.options.send_buffer = Some(3000);
    let mut p = Peer::established(setup);
    assert_eq!(p.sock().send(&[0; 5000]), Ok(3000));
    assert_eq!(p.sock().send(&[0; 1]), Err(SendError::WouldBlock));
    p.drain();
    p.expect("ACK 1+1000 ack 1");
    assert!(p.told().is_empty());
    p.send(ack(1, 1001));
    assert!(p.told().contains(sockeye_stack::Readiness::WRITABLE));
    assert_eq!(p.sock().send(&[0; 5000]), Ok(1000));
    p.ignore();
}
