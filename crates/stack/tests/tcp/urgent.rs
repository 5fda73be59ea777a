//! Urgent data (RFC 9293 section 3.8.5, RFC 6093).

use sockeye_stack::config::UrgentPointer;
use sockeye_stack::{Readiness, RecvError};

use crate::peer::{Peer, Setup, ack, data, ms, octets, pattern};

fn reading(urgent_pointer: UrgentPointer) -> Setup {
    let mut setup = Setup::default();
    setup.config.urgent_pointer = urgent_pointer;
    setup
}

/// Proves: MUST-30, MUST-62.
#[test]
fn the_pointer_stands_behind_the_urgent_data() {
    let mut p = Peer::established(reading(UrgentPointer::Following));
    assert_eq!(p.sock().send_urgent(b"hurry!"), Ok(6));
    p.drain();
    p.expect("PSH,URG,ACK 1+6 ack 1 urg 6");
}

/// RFC 1122's reading, by option.
///
/// Proves: MUST-30.
#[test]
fn the_pointer_may_stand_at_the_last_urgent_octet() {
    let mut p = Peer::established(reading(UrgentPointer::Last));
    assert_eq!(p.sock().send_urgent(b"hurry!"), Ok(6));
    p.drain();
    p.expect("PSH,URG,ACK 1+6 ack 1 urg 5");
    p.send(data(1, 7, b"abcd").urgent(2));
    assert_eq!(p.sock().urgent_ahead(), Some(3));
    p.ignore();
}

/// Proves: MUST-31, MUST-62.
#[test]
fn urgent_data_may_have_any_length() {
    let mut p = Peer::established(Setup {
        window: 65_535,
        window_scale: Some(4),
        ..Setup::default()
    });
    let long = vec![7; 100_000];
    assert_eq!(p.sock().send_urgent(&long), Ok(long.len()));
    p.drain();
    let mut at = 1;
    while at < 100_001 {
        let sent = p.take();
        assert_eq!(sent.seq, at);
        assert!(
            sent.segment.flags.contains(sockeye_stack::tcp::Flags::URG),
            "{sent}"
        );
        // The field holds 65,535 at most: the pointer moves on as the end comes nearer, and is never ahead of it.
        let end = at + i64::from(sent.segment.urgent);
        at += sent.data.len() as i64;
        assert!(end >= at && end <= 100_001, "{sent}");
        assert!(at + 65_535 < 100_001 || end > 34_466, "{sent}");
        p.send(ack(1, at));
    }
}

/// Urgent mode of the sender ends with the data.
#[test]
fn the_pointer_goes_with_each_segment_before_the_end() {
    let mut p = Peer::established(Setup::default());
    assert_eq!(p.sock().send_urgent(&[1; 2500]), Ok(2500));
    p.drain();
    p.expect("URG,ACK 1+1000 ack 1 urg 2500");
    p.expect("URG,ACK 1001+1000 ack 1 urg 1500");
    p.expect("PSH,URG,ACK 2001+500 ack 1 urg 500");
    p.send(ack(1, 2501));
    p.write(b"calm");
    p.expect("PSH,ACK 2501+4 ack 1");
}

/// It is told even if the window is closed.
///
/// Proves: MUST-30.
#[test]
fn a_closed_window_does_not_hide_the_pointer() {
    let mut p = Peer::established(Setup {
        window: 1000,
        ..Setup::default()
    });
    p.write_n(1000);
    p.expect("PSH,ACK 1+1000 ack 1");
    p.send(ack(1, 1001).window(0));
    assert_eq!(p.sock().send_urgent(b"!"), Ok(1));
    p.drain();
    p.mark().at(1000);
    let probe = p.take();
    assert!(
        probe.segment.flags.contains(sockeye_stack::tcp::Flags::URG),
        "{probe}"
    );
}

/// Proves: MUST-32, MUST-33, U-1.
#[test]
fn the_application_is_told_when_the_pointer_appears_and_advances() {
    let mut p = Peer::established(Setup::default());
    p.send(ack(1, 1).urgent(30));
    assert_eq!(p.told(), Readiness::URGENT);
    assert_eq!(p.sock().urgent_ahead(), Some(30));
    p.send(ack(1, 1).urgent(30));
    assert_eq!(p.told(), Readiness::empty(), "nothing new");
    p.send(octets(1, 1, 10).urgent(20));
    assert_eq!(p.told(), Readiness::READABLE, "an older pointer is nothing new");
    p.send(octets(11, 1, 10).urgent(40));
    assert!(p.told().contains(Readiness::URGENT));
    p.read_n(5);
    assert_eq!(p.sock().urgent_ahead(), Some(45), "of which some has not come");
    p.ignore();
}

/// The mark as BSD's sockets have it: a read stops there, and the octet is read apart.
///
/// Proves: MUST-33.
#[test]
fn the_urgent_octet_is_read_out_of_band() {
    let mut p = Peer::established(Setup::default());
    p.send(data(1, 1, b"before!after").urgent(7));
    let mut buf = [0; 100];
    assert_eq!(p.sock().recv_urgent(), Ok(b'!'));
    assert_eq!(p.sock().recv_urgent(), Err(RecvError::NoUrgentData), "once");
    assert!(!p.sock().at_urgent_mark());
    assert_eq!(p.sock().recv(&mut buf), Ok(6));
    assert_eq!(&buf[..6], b"before");
    assert!(p.sock().at_urgent_mark());
    assert_eq!(p.sock().recv(&mut buf), Ok(5));
    assert_eq!(&buf[..5], b"after");
    assert!(!p.sock().at_urgent_mark());
    p.wait(ms(300));
    p.ignore();
}

/// Proves: MUST-30.
#[test]
fn urgent_data_may_stay_in_the_stream() {
    let mut setup = Setup::default();
    setup.options.urgent_inline = true;
    let mut p = Peer::established(setup);
    p.send(data(1, 1, b"before!after").urgent(7));
    assert_eq!(p.sock().recv_urgent(), Err(RecvError::NoUrgentData));
    let mut buf = [0; 100];
    assert_eq!(p.sock().recv(&mut buf), Ok(6));
    assert!(p.sock().at_urgent_mark());
    assert_eq!(p.sock().recv(&mut buf), Ok(6));
    assert_eq!(&buf[..6], b"!after");
    p.wait(ms(300));
    p.ignore();
}

/// An announced octet that has not come yet.
#[test]
fn an_urgent_octet_may_be_on_its_way() {
    let mut p = Peer::established(Setup::default());
    assert_eq!(p.sock().recv_urgent(), Err(RecvError::NoUrgentData));
    p.send(data(1, 1, b"abc").urgent(5));
    assert_eq!(p.sock().recv_urgent(), Err(RecvError::WouldBlock));
    p.send(data(4, 1, b"d!"));
    assert_eq!(p.sock().recv_urgent(), Ok(b'!'));
    p.ignore();
}

/// A pointer into what was read, and pointers of a segment that is not acceptable, do nothing.
#[test]
fn stale_pointers_are_ignored() {
    let mut p = Peer::established(Setup::default());
    p.send(octets(1, 1, 20));
    p.read_n(20);
    p.told();
    p.send(octets(1, 1, 10).urgent(5));
    p.send(octets(21, 1, 1).urgent(0));
    assert!(!p.told().contains(Readiness::URGENT));
    p.ignore();
}

/// A pointer that is cut at 65,535 points from each segment as far as it can, also where one run makes many segments.
///
/// Proves: MUST-31.
#[test]
fn a_cut_pointer_is_right_in_every_segment() {
    let mut setup = Setup {
        mss: Some(10_000),
        mtu: 20_000,
        window_scale: Some(5),
        ..Setup::default()
    };
    setup.config.initial_window = 50;
    let mut p = Peer::established(setup);
    p.set(|o| o.send_buffer = Some(1 << 20));
    p.take_all();
    let text = pattern(0, 100_000);
    let id = p.id.unwrap();
    let now = p.now;
    assert_eq!(p.stack.tcp(now, id).unwrap().send_urgent(&text), Ok(100_000));
    p.drain();
    let sent = p.take_all();
    assert!(sent.len() >= 4, "{}", sent.len());
    for s in &sent {
        let rest = 100_001 - s.seq;
        assert_eq!(i64::from(s.segment.urgent), rest.min(65_535), "at {}", s.seq);
    }
    p.ignore();
}
