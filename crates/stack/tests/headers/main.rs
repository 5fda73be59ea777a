//! Headers against random bytes, mutated packets and etherparse.

mod agree;

use etherparse as ep;
use proptest::prelude::*;

/// Well-formed packets of all kinds as etherparse writes them, each behind the octet that chooses its parser.
fn packets() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut push = |kind: u8, bytes: &[u8]| all.push([&[kind], bytes].concat());
    let payload = [7u8; 32];
    let mut tcp = ep::TcpHeader::new(1000, 80, 0x1234_5678, 64240);
    let mut frame = |options: &[ep::TcpOptionElement], syn: bool| {
        tcp.syn = syn;
        tcp.ack = !syn;
        tcp.set_options(options).unwrap();
        let mut v4 = Vec::new();
        ep::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .tcp_header(tcp.clone())
            .write(&mut v4, &payload)
            .unwrap();
        let mut v6 = Vec::new();
        ep::PacketBuilder::ipv6([1; 16], [2; 16], 64)
            .tcp_header(tcp.clone())
            .write(&mut v6, &payload)
            .unwrap();
        push(0, &v4);
        push(2, &v4[14..]);
        push(3, &v6);
        push(10, &v6[40..]);
    };
    use ep::TcpOptionElement as O;
    let (mss, permitted) = (O::MaximumSegmentSize(1460), O::SelectiveAcknowledgementPermitted);
    let times = O::Timestamp(1, 2);
    frame(
        &[mss.clone(), permitted, times.clone(), O::Noop, O::WindowScale(7)],
        true,
    );
    frame(&[O::Noop, O::Noop, times.clone()], false);
    let blocks = O::SelectiveAcknowledgement((5, 9), [Some((20, 30)), Some((40, 50)), None]);
    frame(&[O::Noop, O::Noop, times, O::Noop, O::Noop, blocks], false);
    frame(&[], false);
    for raw in RAW {
        push(raw.0, &hex(raw.1));
    }
    all
}

/// What etherparse does not write: parser and octets.
const RAW: &[(u8, &str)] = &[
    (1, "0001080006040001 020000000001 0a000001 000000000000 0a000002"),
    (4, "0800000012340001 6162636465666768"),
    (
        4,
        "0304000000000578 45000030000040004006000 00a0000010a000002 03e8005012345678",
    ),
    (5, "8000000012340001 6162636465666768"),
    (6, "8500000000000000 0101020000000001"),
    (
        6,
        "8600000040c00708 0000000000000000 0101020000000001 0501000000000 5dc 030440c0 00015180 00003840 00000000 20010db8000000000000000000000000",
    ),
    (
        6,
        "8700000000000000 fe800000000000000000000000000002 0101020000000001",
    ),
    (
        6,
        "8800000060000000 fe800000000000000000000000000002 0201020000000001",
    ),
    (7, "1164000000000000 027d0000"),
    (7, "1164000000000000"),
    (7, "2200000000000002 04000000e00000fb 01000001ef000001 0a000009"),
    (7, "16000000e00000fb"),
    (8, "8200000027100000 00000000000000000000000000000000 027d0000"),
    (8, "8f00000000000001 04000000 ff0200000000000000000001ff000002"),
    (
        9,
        "0035003500280000 0707070707070707 0707070707070707 0707070707070707 0707070707070707",
    ),
    (
        3,
        "6000000000180001 fe800000000000000000000000000001 ff020000000000000000000000000016 3a00050200000100 8f00000000000001 0000000000000000",
    ),
    (
        3,
        "6000000000202c40 20010db8000000000000000000000001 20010db8000000000000000000000002 3c00000100000007 0600010400000000 0707070707070707 0707070707070707",
    ),
    (
        3,
        "6000000000202b40 20010db8000000000000000000000001 20010db8000000000000000000000002 3c00000000000000 06001e0400000000 0707070707070707 0707070707070707",
    ),
];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|d| d as u8)
        .collect();
    digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect()
}

#[test]
fn well_formed_packets() {
    for packet in packets() {
        agree::agree(&packet);
    }
}

/// Where a folder is named in `HEADERS_CORPUS`, it gets the packets as seeds for the fuzz target.
#[test]
fn seeds_for_the_fuzz_target() {
    let Some(folder) = std::env::var_os("HEADERS_CORPUS") else {
        return;
    };
    for (i, packet) in packets().iter().enumerate() {
        std::fs::write(
            std::path::Path::new(&folder).join(format!("packet-{i:02}")),
            packet,
        )
        .unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Bytes from a peer never panic, whichever parser sees them.
    #[test]
    fn random_bytes(data in prop::collection::vec(any::<u8>(), 0..160)) {
        agree::agree(&data);
        for kind in 0..=11u8 {
            agree::agree(&[&[kind], &data[..]].concat());
        }
    }

    #[test]
    fn mutated_packets(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        keep in any::<bool>(),
    ) {
        let all = packets();
        let mut packet = all[which.index(all.len())].clone();
        for (at, value) in changes {
            let at = 1 + at.index(packet.len() - 1);
            packet[at] = value;
        }
        if !keep {
            packet.truncate(1 + cut.index(packet.len()));
        }
        agree::agree(&packet);
    }

    /// Options in any order, at any alignment; unknown ones are skipped.
    ///
    /// Proves: MUST-5, MUST-64, MUST-6.
    #[test]
    fn options_in_any_order(
        order in Just(vec![0u8, 1, 2, 3, 4, 5]).prop_shuffle(),
        pads in prop::collection::vec(0usize..2, 6),
    ) {
        let mut options = Vec::new();
        for (kind, pad) in order.iter().zip(&pads) {
            options.extend(std::iter::repeat_n(1u8, *pad));
            match kind {
                0 => options.extend([2, 4, 5, 180]),
                1 => options.extend([3, 3, 7]),
                2 => options.extend([4, 2]),
                3 => options.extend([8, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
                4 => options.extend([254, 4, 9, 9]),
                _ => options.extend([28, 4, 0, 30]),
            }
        }
        options.resize(options.len().next_multiple_of(4), 0);
        prop_assume!(options.len() <= 40);
        let mut bytes = vec![0; 20];
        bytes[12] = (((20 + options.len()) / 4) as u8) << 4;
        bytes[13] = 2;
        bytes.extend(options);
        let header = sockeye_stack::wire::tcp::parse(&bytes, bytes.len()).unwrap();
        let options = header.segment.options;
        prop_assert_eq!((options.mss, options.window_scale, options.sack_permitted), (Some(1460), Some(7), true));
        prop_assert_eq!(options.timestamps.map(|t| (t.value, t.echo)), Some((1, 2)));
    }
}
