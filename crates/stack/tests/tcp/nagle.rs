//! Small segments (RFC 9293 section 3.7.4) and the push function (3.9.1.2).

use sockeye_stack::trace::{Held, TraceKind};

use crate::peer::{Peer, Setup, ack, ms, secs};

/// Proves: SHLD-7.
#[test]
fn a_small_segment_waits_for_the_ack_of_what_is_in_flight() {
    let mut p = Peer::established(Setup::default());
    p.write(b"a");
    p.expect("PSH,ACK 1+1 ack 1");
    for letter in [b"b", b"c", b"d"] {
        p.write(letter);
        p.quiet();
    }
    assert!(
        p.trace
            .iter()
            .any(|e| matches!(e.kind, TraceKind::Held { why: Held::Nagle, .. }))
    );
    // Who looks at the socket table sees the same.
    let info = p.info();
    assert_eq!((info.held, info.unsent, info.flight), (Some(Held::Nagle), 3, 1));
    p.send(ack(1, 2));
    p.expect("PSH,ACK 2+3 ack 1");
    let info = p.info();
    assert_eq!((info.held, info.unsent, info.flight), (None, 0, 3));
    p.close();
    p.expect("FIN,ACK 5 ack 1");
    let table = p.stack.socket_table();
    let connection = table.iter().find(|(row, _)| row.remote.is_some());
    let (row, info) = connection.expect("it closes");
    let closed = (row.id, info.as_ref().map(|info| info.unsent));
    assert_eq!(
        closed,
        (None, Some(0)),
        "a connection without an owner is told, too"
    );
}

/// A full segment does not wait.
///
/// Proves: SHLD-7, MAY-16.
#[test]
fn full_segments_do_not_wait() {
    let mut p = Peer::established(Setup::default());
    p.write(b"a");
    p.expect("PSH,ACK 1+1 ack 1");
    p.write_n(999);
    p.quiet();
    p.write(b"!");
    p.expect("PSH,ACK 2+1000 ack 1");
}

/// Proves: MUST-17.
#[test]
fn nagle_can_be_switched_off() {
    let mut setup = Setup::default();
    setup.options.nodelay = true;
    let mut p = Peer::established(setup);
    for n in 1..=4 {
        p.write(b"x");
        assert_eq!(p.take().to_string(), format!("PSH,ACK {n}+1 ack 1"));
    }
    // And while the connection is open: what waited goes at once.
    let mut p = Peer::established(Setup::default());
    p.write(b"a");
    p.expect("PSH,ACK 1+1 ack 1");
    p.write(b"b");
    p.quiet();
    p.set(|o| o.nodelay = true);
    p.expect("PSH,ACK 2+1 ack 1");
}

/// Proves: MUST-60, MUST-61, SHLD-27.
#[test]
fn the_last_buffered_segment_is_pushed_and_none_waits_for_ever() {
    let mut p = Peer::established(Setup::default());
    p.write_n(2500);
    p.expect("ACK 1+1000 ack 1");
    p.expect("ACK 1001+1000 ack 1");
    p.quiet();
    p.send(ack(1, 2001));
    p.expect("PSH,ACK 2001+500 ack 1");
    p.send(ack(1, 2501));
    // A multiple of the segment size: its last segment is pushed.
    p.write_n(2000);
    p.expect("ACK 2501+1000 ack 1");
    p.expect("PSH,ACK 3501+1000 ack 1");
}

/// TCP_CORK holds what does not fill a segment, until it is cleared.
#[test]
fn cork_holds_small_segments() {
    let mut setup = Setup::default();
    setup.options.cork = true;
    let mut p = Peer::established(setup);
    p.write_n(1500);
    p.expect("ACK 1+1000 ack 1");
    p.send(ack(1, 1001));
    p.wait(secs(5));
    p.quiet();
    p.set(|o| o.cork = false);
    p.expect("PSH,ACK 1001+500 ack 1");
}

/// A FIN takes what waits along.
#[test]
fn close_flushes_what_waits() {
    let mut p = Peer::established(Setup::default());
    p.write(b"a");
    p.expect("PSH,ACK 1+1 ack 1");
    p.write(b"b");
    p.quiet();
    p.close();
    p.expect("FIN,PSH,ACK 2+1 ack 1");
}

/// Nagle and delayed ACKs together: the write-write-read pattern waits for the delayed ACK, no longer.
#[test]
fn what_waits_goes_with_any_ack() {
    let mut p = Peer::established(Setup::default());
    p.write(b"head");
    p.expect("PSH,ACK 1+4 ack 1");
    p.write(b"body");
    p.wait(ms(100));
    p.quiet();
    p.send(crate::peer::data(1, 5, b"ok"));
    p.expect("PSH,ACK 5+4 ack 3");
}
