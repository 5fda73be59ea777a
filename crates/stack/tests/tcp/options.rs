//! The header and its options (RFC 9293 sections 3.1, 3.2 and 3.7.1).

use sockeye_stack::tcp::{Flags, State, TcpOptions};
use sockeye_stack::trace::DropReason;

use crate::peer::{Peer, Setup, ack, data, octets, seg};

const NOP: u8 = 1;

fn v6() -> Setup {
    Setup {
        v6: true,
        ..Setup::default()
    }
}

/// Proves: MUST-3.
#[test]
fn a_wrong_checksum_is_dropped() {
    for setup in [Setup::default(), v6()] {
        let mut p = Peer::established(setup);
        let mut bad = data(1, 1, b"spoilt");
        bad.spoil = 1;
        p.send(bad);
        p.quiet();
        assert_eq!(p.sock().readable(), 0);
        assert_eq!(p.drops(DropReason::TransportChecksum), 1);
    }
}

/// The peer verifies the checksum of each segment that it reads, here of one with an odd number of octets.
///
/// Proves: MUST-2.
#[test]
fn checksums_are_always_made() {
    for setup in [Setup::default(), v6()] {
        let mut p = Peer::established(setup);
        p.write(b"odd");
        p.expect("PSH,ACK 1+3 ack 1");
    }
}

/// Proves: MUST-4, MUST-5, MUST-64.
#[test]
fn options_are_taken_in_any_segment_at_any_alignment() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    // MSS behind one NOP, then EOL and rubbish that is not looked at.
    p.send(seg(Flags::SYN, 0, 0).raw(&[NOP, 2, 4, 0x02, 0x58, 0, 0xff, 0xff]));
    p.expect("SYN,ACK 0 ack 1");
    p.send(ack(1, 1).raw(&[NOP, NOP, NOP, NOP]));
    p.accept();
    p.send(data(1, 1, b"hi").raw(&[NOP, 0, 0, 0]));
    assert_eq!(p.read_all(), b"hi");
    p.at(200).expect("ACK 1 ack 3");
    p.write_n(1000);
    assert_eq!(p.info().snd_mss, 600, "the MSS was read at its odd place");
    p.expect("ACK 1+600 ack 3");
    p.send(ack(3, 601));
    p.expect("PSH,ACK 601+400 ack 3");
}

/// Proves: MUST-6, MUST-68.
#[test]
fn unknown_options_are_skipped_by_their_length() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    p.send(seg(Flags::SYN, 0, 0).raw(&[254, 6, 1, 2, 3, 4, 77, 2, 2, 4, 0x01, 0xf4, 253, 3, 9, 0]));
    p.expect("SYN,ACK 0 ack 1");
    p.send(ack(1, 1));
    p.accept();
    assert_eq!(
        p.info().snd_mss,
        500,
        "what stands behind unknown options is read"
    );
    p.send(data(1, 1, b"x").raw(&[99, 5, 1, 2, 3, NOP, 254, 2]));
    assert_eq!(p.read_all(), b"x");
    p.at(200).expect("ACK 1 ack 2");
}

/// Proves: MUST-7.
#[test]
fn illegal_option_lengths_are_survived() {
    let illegal: [&[u8]; 6] = [
        &[2, 0, 0, 0],
        &[2, 1, 0, 0],
        &[254, 0, 0, 0],
        &[NOP, NOP, NOP, 8],
        &[2, 200, 5, 180],
        &[8, 4, 0, 0],
    ];
    for options in illegal {
        let mut p = Peer::established(Setup::default());
        p.send(data(1, 1, b"bad").raw(options));
        p.quiet();
        assert_eq!(p.drops(DropReason::Malformed), 1, "{options:?}");
        p.send(data(1, 1, b"good"));
        assert_eq!(p.read_all(), b"good", "the connection goes on after {options:?}");
        p.at(200).expect("ACK 1 ack 5");
    }
}

/// A data offset below 5 or beyond the packet.
#[test]
fn impossible_header_lengths_are_dropped() {
    for offset in [0x00, 0x40, 0xf0] {
        let mut p = Peer::established(Setup::default());
        let mut packet = p.packet(&ack(1, 1), p.remote, p.local);
        packet[32] = offset;
        p.send_packet(packet);
        p.quiet();
        p.assert_state(State::Established);
        assert_eq!(p.stack.drops().total(), 1);
    }
}

/// Proves: MUST-14, MUST-65, MUST-67, SHLD-5, MAY-3.
#[test]
fn mss_is_offered_on_syns_only_and_fits_the_interface() {
    for (mtu, v6, mss) in [
        (1500, false, 1460),
        (1500, true, 1440),
        (9000, false, 8960),
        (576, false, 536),
    ] {
        let mut p = Peer::new(Setup {
            mtu,
            v6,
            ..Setup::default()
        });
        p.connect();
        let syn = p.take();
        assert_eq!(syn.segment.options.mss, Some(mss), "active, MTU {mtu}");
        let mut p = Peer::new(Setup {
            mtu,
            v6,
            ..Setup::default()
        });
        p.listen();
        p.send(p.syn());
        let syn_ack = p.take();
        assert_eq!(syn_ack.segment.options.mss, Some(mss), "passive, MTU {mtu}");
        p.send(ack(1, 1));
        p.accept();
        p.write(b"data");
        let data = p.take();
        assert!(!data.raw_options.contains(&2), "no MSS on {data}");
    }
}

/// Proves: MUST-65.
#[test]
fn mss_on_other_segments_is_ignored() {
    let mut p = Peer::established(Setup::default());
    p.send(ack(1, 1).mss(100));
    assert_eq!(p.info().snd_mss, 1000);
}

/// Proves: MUST-15.
#[test]
fn without_mss_option_the_default_is_assumed() {
    for (v6, default) in [(false, 536), (true, 1220)] {
        let mut p = Peer::established(Setup {
            mss: None,
            v6,
            ..Setup::default()
        });
        p.write_n(2000);
        assert_eq!(p.take().data.len(), default);
        p.ignore();
        let mut p = Peer::connected(Setup {
            mss: None,
            v6,
            ..Setup::default()
        });
        assert_eq!(p.info().snd_mss, default as u32);
    }
}

/// Eff.snd.MSS = min(SendMSS + 20, MMS_S) - TCPhdrsize - IPoptionsize.
///
/// Proves: MUST-16.
#[test]
fn effective_mss_is_the_smaller_of_both_less_options() {
    let cases = [
        (Some(1400), 1500, None, 1400),
        (Some(9000), 1500, None, 1460),
        (Some(1460), 1500, Some(5), 1448),
        (Some(1460), 1280, Some(5), 1228),
    ];
    for (mss, mtu, timestamps, effective) in cases {
        let mut p = Peer::established(Setup {
            mss,
            mtu,
            timestamps,
            ..Setup::default()
        });
        p.write_n(3000);
        let sent = p.take();
        assert_eq!(
            sent.data.len(),
            effective,
            "peer {mss:?}, MTU {mtu}, timestamps {timestamps:?}"
        );
        p.ignore();
    }
}

/// The application's limit (TCP_MAXSEG) is offered, and kept.
///
/// Proves: MUST-14, MUST-16.
#[test]
fn applications_can_lower_the_mss() {
    let options = TcpOptions {
        max_segment: Some(700),
        ..TcpOptions::default()
    };
    let mut p = Peer::new(Setup {
        options,
        ..Setup::default()
    });
    p.listen();
    p.send(p.syn());
    assert_eq!(p.take().segment.options.mss, Some(700));
    p.send(ack(1, 1));
    p.accept();
    p.write_n(1400);
    p.expect("ACK 1+700 ack 1");
    p.expect("PSH,ACK 701+700 ack 1");
}

/// A peer that offers next to nothing does not get segments of next to nothing.
#[test]
fn a_tiny_mss_is_not_followed_to_the_end() {
    for mss in [0, 1, 12] {
        let mut p = Peer::established(Setup {
            mss: Some(mss),
            timestamps: Some(1),
            ..Setup::default()
        });
        p.write_n(100);
        assert!(p.take().data.len() >= 32);
        p.ignore();
    }
}

/// All that we send: padded with what the RFC allows, lengths right, nothing but zero behind EOL.
///
/// Proves: MUST-68, MUST-69.
#[test]
fn options_that_we_send_are_well_formed() {
    let setup = Setup {
        window_scale: Some(7),
        sack: true,
        timestamps: Some(9),
        ..Setup::default()
    };
    let mut p = Peer::new(setup);
    p.listen();
    p.send(p.syn());
    let syn_ack = p.take();
    p.send(ack(1, 1));
    p.accept();
    p.write(b"data");
    let data = p.take();
    p.send(octets(100, 5, 10));
    let with_sack = p.take();
    for sent in [syn_ack, data, with_sack] {
        let mut rest = &sent.raw_options[..];
        assert_eq!(rest.len() % 4, 0);
        while let [kind, behind @ ..] = rest {
            match kind {
                0 => {
                    assert!(behind.iter().all(|b| *b == 0), "{sent}");
                    break;
                }
                1 => rest = behind,
                _ => {
                    let len = usize::from(behind[0]);
                    assert!(len >= 2 && len <= rest.len(), "{sent}: {rest:?}");
                    rest = &rest[len..];
                }
            }
        }
    }
}

/// What the peer does not offer is not used, and what the stack's settings switch off is not offered.
#[test]
fn options_are_used_only_if_both_offer_them() {
    let mut p = Peer::new(Setup::default());
    p.listen();
    p.send(p.syn());
    let o = p.take().segment.options;
    assert!(o.window_scale.is_none() && !o.sack_permitted && o.timestamps.is_none());
    let mut setup = Setup {
        window_scale: Some(3),
        sack: true,
        timestamps: Some(5),
        ..Setup::default()
    };
    setup.config.window_scaling = false;
    setup.config.sack = false;
    setup.config.timestamps = false;
    let mut p = Peer::new(setup);
    p.listen();
    p.send(p.syn());
    let o = p.take().segment.options;
    assert!(o.window_scale.is_none() && !o.sack_permitted && o.timestamps.is_none());
}

/// RFC 7323 section 2.2: the window of a SYN is not scaled, later ones are; section 2.3: 14 at most.
///
/// Proves: MUST-1, REC-1.
#[test]
fn windows_are_unsigned_and_scaled_to_thirty_bits() {
    let mut p = Peer::established(Setup {
        window_scale: Some(20),
        window: 0xffff,
        ..Setup::default()
    });
    assert_eq!(p.info().snd_wnd, 0xffff << 14, "a shift above 14 counts as 14");
    p.send(ack(1, 1).window(0x8000));
    assert_eq!(p.info().snd_wnd, 0x8000 << 14);
    let mut p = Peer::new(Setup {
        window_scale: Some(2),
        ..Setup::default()
    });
    p.connect();
    p.take();
    p.send(p.syn().with(Flags::ACK).acking(1).window(1000));
    p.expect("ACK 1 ack 1");
    assert_eq!(p.info().snd_wnd, 1000, "on a SYN,ACK it is as it stands");
    p.send(ack(1, 1).window(1000));
    assert_eq!(p.info().snd_wnd, 4000);
}
