//! Multicast membership on the wire.

use std::vec;

use super::*;
use crate::wire::{RecordKind, ethernet, icmpv6, igmp, ipv4, ipv6, ipv6_extension, mld};

fn igmp_of(frame: &[u8]) -> (ipv4::Header, igmp::Message<'_>) {
    let h = ipv4::parse(&frame[14..], frame.len() - 14, crate::wire::Check::Verify).unwrap();
    assert!(h.router_alert && h.hop_limit == 1);
    assert_eq!(frame[..6], ethernet::multicast_v4(h.destination));
    (h, igmp::parse(&frame[14 + h.header_len..]).unwrap())
}
fn records_v4(frame: &[u8]) -> Vec<(RecordKind, core::net::Ipv4Addr)> {
    match igmp_of(frame).1 {
        igmp::Message::ReportV3 { count, records } => {
            igmp::records(count, records).map(|r| (r.0, r.1)).collect()
        }
        other => panic!("{other:?}"),
    }
}
fn records_v6(frame: &[u8]) -> Vec<(RecordKind, core::net::Ipv6Addr)> {
    let h = ipv6::parse(&frame[14..], frame.len() - 14).unwrap();
    let upper = ipv6_extension::walk(&h, &frame[14..]).unwrap();
    assert_eq!(upper.router_alert, Some(0));
    let message = &frame[14 + upper.offset..];
    assert!(icmpv6::verify(h.source, h.destination, message));
    match mld::parse(message, h.source, h.hop_limit).unwrap() {
        mld::Message::ReportV2 { count, records } => {
            mld::records(count, records).map(|r| (r.0, r.1)).collect()
        }
        other => panic!("{other:?}"),
    }
}
fn igmp_frame(to: [u8; 4], message: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 38];
    let link = ethernet::Header {
        destination: ethernet::multicast_v4(to.into()),
        source: PEER_MAC,
        ethertype: ethernet::IPV4,
        vlan: None,
    };
    ethernet::emit(&link, &mut out);
    let header = ipv4::Header {
        hop_limit: 1,
        router_alert: true,
        ..ipv4::Header::new([192, 0, 2, 9].into(), to.into(), 2, 24 + message.len())
    };
    ipv4::emit(&header, &mut out[14..]);
    out.extend(message);
    out
}
fn join(h: &mut Host, group: &str) {
    h.with(|l, env| l.join(env, ip(group), ETH)).unwrap();
}
fn leave(h: &mut Host, group: &str) {
    h.with(|l, env| l.leave(env, ip(group), ETH)).unwrap();
}

/// Proves: 3376-1, 3376-2, 3810-1, 3810-2.
#[test]
fn joins_and_leaves_are_told_twice() {
    let mut h = ethernet_host();
    let group = "239.1.2.3".parse().unwrap();
    join(&mut h, "239.1.2.3");
    join(&mut h, "239.1.2.3");
    h.pass(Duration::from_secs(2));
    let sent = h.all_sent();
    assert_eq!(sent.len(), 2);
    assert!(
        sent.iter()
            .all(|s| records_v4(&s.0) == [(RecordKind::ToExclude, group)])
    );
    assert!(h.layer.is_member(ip("239.1.2.3"), Some(ETH)));
    leave(&mut h, "239.1.2.3");
    h.quiet();
    leave(&mut h, "239.1.2.3");
    h.pass(Duration::from_secs(2));
    let sent = h.all_sent();
    assert_eq!(sent.len(), 2);
    assert!(
        sent.iter()
            .all(|s| records_v4(&s.0) == [(RecordKind::ToInclude, group)])
    );
    assert!(!h.layer.is_member(ip("239.1.2.3"), Some(ETH)));

    let group = "ff05::1:2".parse().unwrap();
    join(&mut h, "ff05::1:2");
    h.pass(Duration::from_secs(2));
    let sent = h.all_sent();
    assert_eq!(sent.len(), 2);
    assert!(
        sent.iter()
            .all(|s| records_v6(&s.0) == [(RecordKind::ToExclude, group)])
    );
    assert!(h.with(|l, env| l.join(env, ip("192.0.2.9"), ETH)).is_err());
    assert!(h.with(|l, env| l.leave(env, ip("239.9.9.9"), ETH)).is_err());
}

/// Proves: 3376-3.
#[test]
fn queries_are_answered_within_their_time() {
    let mut h = ethernet_host();
    join(&mut h, "239.1.2.3");
    join(&mut h, "239.1.2.4");
    h.pass(Duration::from_secs(2));
    h.all_sent();
    let mut query = [0; 12];
    igmp::emit_query([0; 4].into(), 100, 2, 125, &mut query);
    h.receive(igmp_frame([224, 0, 0, 1], &query));
    h.quiet();
    h.pass(Duration::from_secs(10));
    let sent = h.all_sent();
    assert_eq!(sent.len(), 1, "one report answers for all");
    let both = [[239, 1, 2, 3], [239, 1, 2, 4]].map(|g| (RecordKind::IsExclude, g.into()));
    assert_eq!(records_v4(&sent[0].0), both);
    // About one group.
    igmp::emit_query([239, 1, 2, 4].into(), 10, 2, 125, &mut query);
    h.receive(igmp_frame([239, 1, 2, 4], &query));
    h.pass(Duration::from_secs(1));
    assert_eq!(records_v4(&h.expect(Cause::Membership)), both[1..]);
}

/// RFC 2236: an old querier gets old reports, each group its own, unless somebody else answered.
///
/// Proves: 3376-4.
#[test]
fn old_queriers_get_old_reports() {
    let mut h = ethernet_host();
    join(&mut h, "239.1.2.3");
    join(&mut h, "239.1.2.4");
    h.pass(Duration::from_secs(2));
    h.all_sent();
    // Type 0x11, 10 s, general.
    h.receive(igmp_frame([224, 0, 0, 1], &[0x11, 100, 0xee, 0x9b, 0, 0, 0, 0]));
    let mut other = [0; 8];
    igmp::emit_report_for(igmp::Version::V2, [239, 1, 2, 4].into(), &mut other);
    h.receive(igmp_frame([239, 1, 2, 4], &other));
    h.pass(Duration::from_secs(10));
    let sent = h.all_sent();
    assert_eq!(sent.len(), 1);
    let (header, message) = igmp_of(&sent[0].0);
    let group = [239, 1, 2, 3].into();
    assert_eq!(
        (header.destination, message),
        (group, igmp::Message::ReportV2 { group })
    );
    leave(&mut h, "239.1.2.3");
    let frame = h.expect(Cause::Membership);
    assert_eq!(igmp_of(&frame).0.destination, igmp::ALL_ROUTERS);
    assert_eq!(h.total_drops(), 0);
}

/// Proves: 3376-5, 3810-5.
#[test]
fn groups_decide_what_comes_in() {
    let (mut a, mut b) = (ethernet_host(), neighbor_host());
    for group in ["239.1.2.3", "ff05::1:2"] {
        a.send_udp(group, 5);
        let frame = a.expect(Cause::Datagram);
        assert!(b.receive(frame.clone()).is_none());
        join(&mut b, group);
        assert!(matches!(b.receive(frame.clone()), Some(Inbound::Udp(p)) if p.to_many));
        // What we send ourselves comes back to members, by the loopback interface.
        join(&mut a, group);
        a.all_sent();
        let route = a.route(group).unwrap();
        let looped = a.layer.looped(&route);
        let fields = fields(&looped, ip(group), 17);
        a.with(|l, env| l.send_datagram(env, &looped, &fields, &[0; 8], Payload::new(), Cause::Datagram))
            .unwrap();
        let (frame, meta) = a.sent().unwrap();
        assert_eq!(meta.interface, InterfaceId::LOOPBACK);
        assert!(matches!(a.receive_on(InterfaceId::LOOPBACK, frame), Some(Inbound::Udp(p)) if p.to_many));
    }
}

/// RFC 3810 section 5.1: without a router alert, a query is no query.
///
/// Proves: 3810-3, 3810-4.
#[test]
fn mld_wants_a_router_alert() {
    for alert in [true, false] {
        let mut h = ethernet_host();
        let (s, d) = ("fe80::9".parse().unwrap(), mld::ALL_NODES);
        let mut message = [0; 28];
        mld::emit_query(core::net::Ipv6Addr::UNSPECIFIED, 1000, 2, 125, &mut message);
        icmpv6::fill_checksum(s, d, &mut message);
        let extra = if alert { 8 } else { 0 };
        let mut out = vec![0; 54 + extra];
        let link = ethernet::Header {
            destination: ethernet::multicast_v6(d),
            source: PEER_MAC,
            ethertype: ethernet::IPV6,
            vlan: None,
        };
        ethernet::emit(&link, &mut out);
        let header = ipv6::Header {
            hop_limit: 1,
            ..ipv6::Header::new(s, d, if alert { 0 } else { 58 }, extra + 28)
        };
        ipv6::emit(&header, &mut out[14..]);
        if alert {
            ipv6_extension::emit_router_alert(58, &mut out[54..]);
        }
        out.extend(message);
        h.receive(out);
        h.pass(Duration::from_secs(2));
        let sent = h.all_sent();
        assert_eq!(sent.len(), usize::from(alert));
        let group = "ff02::1:ff00:1".parse().unwrap();
        assert!(
            sent.iter()
                .all(|s| records_v6(&s.0) == [(RecordKind::IsExclude, group)])
        );
    }
}
