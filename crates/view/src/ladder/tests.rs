//! Whole diagrams, as snapshots.

use super::*;
use crate::record::HostInfo;
use crate::scene::{self, CLIENT, SERVER, Scene};
use crate::text::width;

fn drawn(cast: Cast, records: &[Record], style: LadderStyle) -> String {
    let mut ladder = Ladder::new(Vec::new(), cast, style);
    for record in records {
        ladder.handle_record(record).expect("writing to memory");
    }
    String::from_utf8(ladder.finish().expect("writing to memory")).expect("text")
}

#[test]
fn a_connection_from_syn_to_time_wait() {
    let text = drawn(scene::cast(), &scene::connection(), LadderStyle::default());
    assert!(text.lines().all(|line| width(line) <= 110), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn in_the_notation_of_textbooks() {
    let style = LadderStyle {
        notation: Notation::Classroom,
        detail: Detail::Brief,
        ..LadderStyle::default()
    };
    insta::assert_snapshot!(drawn(scene::cast(), &scene::connection(), style));
}

#[test]
fn in_full_with_ascii() {
    let style = LadderStyle {
        ascii: true,
        detail: Detail::Full,
        ..LadderStyle::default()
    };
    let mut cast = scene::cast();
    cast.hosts[0].name = "client".into();
    cast.hosts[1].name = "server".into();
    let records = scene::connection();
    let records: Vec<_> = records
        .into_iter()
        .filter(|record| !matches!(record.what, What::Note(_)))
        .collect();
    let text = drawn(cast, &records, style);
    assert!(text.is_ascii(), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn through_a_router_and_back_with_a_loss() {
    let mut cast = scene::cast();
    cast.hosts.insert(1, HostInfo::ip("路由器", &[]));
    let far = HostIndex(2);
    let mut s = Scene::default();
    let syn = scene::Seg {
        flags: "S",
        seq: 0,
        ack: 0,
        len: 0,
    };
    let reply = scene::Seg {
        flags: "SA",
        seq: 0,
        ack: 1,
        len: 0,
    };
    let first = s.sent(0, CLIENT, scene::frame(CLIENT, &syn), Cause::Open);
    s.arrived(5, HostIndex(1), first);
    let hop = s.sent(5, HostIndex(1), scene::frame(CLIENT, &syn), Cause::Forwarded);
    s.arrived(10, far, hop);
    let back = s.sent(10, far, scene::frame(SERVER, &reply), Cause::OpenReply);
    s.arrived(15, HostIndex(1), back);
    let hop = s.sent(15, HostIndex(1), scene::frame(SERVER, &reply), Cause::Forwarded);
    s.put(
        15,
        HostIndex(1),
        What::Wire(WireEvent::Lost {
            id: hop,
            why: LinkLoss::QueueFull,
        }),
    );
    insta::assert_snapshot!(drawn(cast, &s.records, LadderStyle::default()));
}

#[test]
fn other_protocols_copies_and_waiting_data() {
    use sockeye_stack::trace::TraceKind;
    let mut s = Scene::default();
    let mut udp = Vec::new();
    let build = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(5000, 69);
    build.write(&mut udp, b"hello").expect("writing to memory");
    let id = s.sent(0, CLIENT, udp.into(), Cause::Datagram);
    s.put(
        0,
        CLIENT,
        What::Wire(WireEvent::Changed {
            id,
            how: LinkChange::Duplicated,
        }),
    );
    s.arrived(10, SERVER, id);
    s.arrived(12, SERVER, id);
    let mut ping = Vec::new();
    let build = etherparse::PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64).icmpv4_echo_request(1, 1);
    build.write(&mut ping, &[]).expect("writing to memory");
    let id = s.sent(20, SERVER, ping.into(), Cause::EchoRequest);
    s.arrived(30, CLIENT, id);
    let closed = scene::Seg {
        flags: "PA",
        seq: 1,
        ack: 1,
        len: 100,
    };
    let bytes = scene::frame(CLIENT, &closed);
    let Packet::Tcp {
        source,
        destination,
        segment,
    } = Packet::read(&bytes, sockeye_stack::Medium::Ip)
    else {
        panic!("not TCP");
    };
    let tuple = Tuple {
        local: source,
        remote: destination,
    };
    let id = s.sent(40, CLIENT, bytes, Cause::Data);
    s.stack(
        40,
        CLIENT,
        TraceKind::SegmentOut {
            tuple,
            segment,
            cause: Cause::Data,
        },
    );
    s.stack(
        40,
        CLIENT,
        TraceKind::Held {
            waiting: 60,
            why: Held::Nagle,
        },
    );
    s.arrived(50, SERVER, id);
    let reset = scene::Seg {
        flags: "RA",
        seq: 1,
        ack: 101,
        len: 0,
    };
    let why = sockeye_stack::trace::ResetCause::NoConnection;
    let id = s.sent(50, SERVER, scene::frame(SERVER, &reset), Cause::Reset(why));
    s.arrived(60, CLIENT, id);
    s.sent(70, CLIENT, vec![0x45; 3].into(), Cause::Raw);
    insta::assert_snapshot!(drawn(scene::cast(), &s.records, LadderStyle::default()));
}

#[test]
fn colour_only_adds_escapes() {
    let plain = drawn(scene::cast(), &scene::connection(), LadderStyle::default());
    let style = LadderStyle {
        color: true,
        ..LadderStyle::default()
    };
    let colored = drawn(scene::cast(), &scene::connection(), style);
    let mut stripped = String::new();
    let mut rest = colored.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        stripped.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    stripped.push_str(rest);
    assert_eq!(plain, stripped);
}
