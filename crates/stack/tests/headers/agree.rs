//! One oracle for two drivers, the property tests beside it and the fuzz target: every parser against any bytes, with
//! etherparse's opinion where both mean the same, and what parses is written and parsed again.

use core::net::{Ipv4Addr, Ipv6Addr};
use etherparse as ep;
use sockeye_stack::tcp::{Flags, Options, SackBlock, SeqNumber, Timestamps};
use sockeye_stack::wire::{self, Check, ParseError, checksum, protocol};

/// Shows `data` to the parser that the first octet chooses, or to all of them.
pub(crate) fn agree(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    const PARSERS: [fn(&[u8]); 11] = [
        ethernet, arp, ipv4, ipv6, icmpv4, icmpv6, ndp, igmp, mld, udp, tcp,
    ];
    match PARSERS.get(usize::from(choice)) {
        Some(parser) => parser(rest),
        None => PARSERS.iter().for_each(|parser| parser(data)),
    }
}

fn ethernet(data: &[u8]) {
    let Ok(ours) = wire::ethernet::parse(data) else {
        let tagged = ep::Ethernet2HeaderSlice::from_slice(data).is_ok_and(|h| h.ether_type().0 == 0x8100);
        assert!(data.len() < 14 || tagged && data.len() < 18);
        return;
    };
    let theirs = ep::Ethernet2HeaderSlice::from_slice(data).unwrap();
    assert_eq!(
        (ours.destination, ours.source),
        (theirs.destination(), theirs.source())
    );
    match ours.vlan {
        None => assert_eq!(ours.ethertype, theirs.ether_type().0),
        Some(tag) => {
            let vlan = ep::SingleVlanHeaderSlice::from_slice(&data[14..]).unwrap();
            assert_eq!(ours.ethertype, vlan.ether_type().0);
            assert_eq!(tag & 0xfff, vlan.vlan_identifier().value());
        }
    }
    let mut out = [0; 18];
    let len = wire::ethernet::emit(&ours, &mut out);
    assert_eq!((len, &out[..len]), (ours.len(), &data[..len]));
}

fn arp(data: &[u8]) {
    let theirs = ep::ArpPacketSlice::from_slice(data)
        .ok()
        .and_then(|p| p.to_packet().try_eth_ipv4().ok());
    let Ok(ours) = wire::arp::parse(data) else {
        assert!(theirs.is_none_or(|p| !matches!(p.operation.0, 1 | 2) || p.sender_mac[0] & 1 == 1));
        return;
    };
    let theirs = theirs.unwrap();
    assert_eq!(ours.operation as u16, theirs.operation.0);
    assert_eq!(
        (ours.sender_link, ours.sender.octets()),
        (theirs.sender_mac, theirs.sender_ipv4)
    );
    assert_eq!(
        (ours.target_link, ours.target.octets()),
        (theirs.target_mac, theirs.target_ipv4)
    );
    let mut out = [0; wire::arp::PACKET_LEN];
    let len = wire::arp::emit(&ours, &mut out);
    assert_eq!(out[..], data[..len]);
}

fn ipv4(data: &[u8]) {
    let theirs = ep::Ipv4HeaderSlice::from_slice(data);
    let embedded = wire::ipv4::parse_embedded(data);
    assert_eq!(embedded.is_ok(), theirs.is_ok());
    let (Ok(quoted), Ok(theirs)) = (embedded, theirs) else {
        assert!(wire::ipv4::parse(data, data.len(), Check::Trust).is_err());
        return;
    };
    assert_eq!(
        (quoted.source, quoted.destination),
        (theirs.source_addr(), theirs.destination_addr())
    );
    assert_eq!(
        (quoted.protocol, quoted.hop_limit),
        (theirs.protocol().0, theirs.ttl())
    );
    assert_eq!(
        quoted.traffic_class,
        theirs.dcp().value() << 2 | theirs.ecn().value()
    );
    assert_eq!(
        (quoted.identification, quoted.total_len),
        (theirs.identification(), usize::from(theirs.total_len()))
    );
    assert_eq!(
        (quoted.dont_fragment, quoted.more_fragments),
        (theirs.dont_fragment(), theirs.more_fragments())
    );
    assert_eq!(quoted.fragment_offset, theirs.fragments_offset().value() * 8);
    assert_eq!(quoted.header_len, theirs.slice().len());
    let valid = theirs.to_header().calc_header_checksum() == theirs.header_checksum();
    match wire::ipv4::parse(data, data.len(), Check::Verify) {
        Err(ParseError::IpChecksum) => assert!(!checksum::sum(theirs.slice()).verify()),
        // The reserved bit does not survive their header, and all ones is zero too.
        Ok(_) => assert!(valid || data[6] & 0x80 != 0 || theirs.header_checksum() == 0xffff),
        Err(_) => {}
    }
    for option in wire::ipv4::options(theirs.options()) {
        let _ = option;
    }
    let Ok(ours) = wire::ipv4::parse(data, data.len(), Check::Trust) else {
        return;
    };
    let mut out = [0; 60];
    let len = wire::ipv4::emit(&ours, &mut out);
    let mut again = wire::ipv4::parse_embedded(&out[..len]).unwrap();
    again.router_alert = ours.router_alert;
    assert_eq!(
        wire::ipv4::Header {
            header_len: ours.header_len,
            ..again
        },
        ours
    );
    assert!(checksum::sum(&out[..len]).verify());
    if wire::ipv4::decrement_hop_limit(&mut out) {
        assert!(checksum::sum(&out[..len]).verify());
    }
    assert!(ep::Ipv4HeaderSlice::from_slice(&out[..len]).is_ok());
}

fn ipv6(data: &[u8]) {
    let theirs = ep::Ipv6HeaderSlice::from_slice(data);
    let embedded = wire::ipv6::parse_embedded(data);
    assert_eq!(embedded.is_ok(), theirs.is_ok());
    let (Ok(quoted), Ok(theirs)) = (embedded, theirs) else {
        return;
    };
    assert_eq!(
        (quoted.source, quoted.destination),
        (theirs.source_addr(), theirs.destination_addr())
    );
    assert_eq!(
        (quoted.next_header, quoted.hop_limit),
        (theirs.next_header().0, theirs.hop_limit())
    );
    assert_eq!(
        (quoted.traffic_class, quoted.flow_label),
        (theirs.traffic_class(), theirs.flow_label().value())
    );
    assert_eq!(quoted.payload_len, usize::from(theirs.payload_length()));
    let mut out = [0; 40];
    wire::ipv6::emit(&quoted, &mut out);
    assert_eq!(out[..], data[..40]);
    let walk = wire::ipv6_extension::walk(&quoted, data);
    match wire::ipv6::parse(data, data.len()) {
        Ok(header) => extensions(&header, &data[..header.total_len()], walk),
        Err(e) => assert_eq!(e, ParseError::Truncated),
    }
}

fn extensions(
    header: &wire::ipv6::Header,
    packet: &[u8],
    walk: Result<wire::ipv6_extension::Upper, wire::ipv6_extension::Refused>,
) {
    let theirs = ep::Ipv6ExtensionsSlice::from_slice(ep::IpNumber(header.next_header), &packet[40..]);
    match walk {
        Ok(upper) => {
            assert!(upper.offset <= packet.len());
            assert_eq!(packet[upper.next_header_at], upper.protocol);
            assert!(
                upper
                    .fragment
                    .is_none_or(|f| packet[f.named_at] == protocol::FRAGMENT)
            );
            // They walk over authentication headers, and on into the data of fragments.
            if upper.fragment.is_none_or(|f| f.is_atomic()) && upper.protocol != 51 {
                let (_, number, rest) = theirs.unwrap();
                assert_eq!(
                    (upper.protocol, upper.offset),
                    (number.0, packet.len() - rest.len())
                );
            }
        }
        Err(refused) => {
            if let Some(reply) = refused.reply {
                assert!((reply.pointer as usize) < packet.len());
            }
            if refused.reason == ParseError::Truncated {
                assert!(theirs.is_err());
            }
        }
    }
}

fn icmpv4(data: &[u8]) {
    use wire::icmpv4::Message;
    let ours = wire::icmpv4::parse(data);
    assert_eq!(ours.is_ok(), data.len() >= 8);
    let Ok(ours) = ours else { return };
    let _ = wire::icmpv4::embedded(data);
    if let Ok(theirs) = ep::Icmpv4Slice::from_slice(data) {
        match (ours, theirs.icmp_type()) {
            (Message::EchoRequest { identifier, sequence }, ep::Icmpv4Type::EchoRequest(h))
            | (Message::EchoReply { identifier, sequence }, ep::Icmpv4Type::EchoReply(h)) => {
                assert_eq!((identifier, sequence), (h.id, h.seq));
            }
            (Message::Unreachable { code, next_hop_mtu }, ep::Icmpv4Type::DestinationUnreachable(h)) => {
                assert_eq!(code, h.code_u8());
                if let ep::icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu } = h {
                    assert_eq!(next_hop_mtu, mtu);
                }
            }
            (Message::TimeExceeded { code }, ep::Icmpv4Type::TimeExceeded(c)) => {
                assert_eq!(code, c.code_u8());
            }
            (_, ep::Icmpv4Type::EchoRequest(_) | ep::Icmpv4Type::EchoReply(_))
            | (_, ep::Icmpv4Type::DestinationUnreachable(_) | ep::Icmpv4Type::TimeExceeded(_)) => {
                panic!("{ours:?} where they see {:?}", theirs.icmp_type())
            }
            _ => {}
        }
    }
    let mut out = [0; 8];
    wire::icmpv4::emit(&ours, &mut out);
    assert_eq!(wire::icmpv4::parse(&out), Ok(ours));
    wire::icmpv4::fill_checksum(&mut out);
    assert!(checksum::sum(&out).verify());
}

fn icmpv6(data: &[u8]) {
    use wire::icmpv6::Message;
    let ours = wire::icmpv6::parse(data);
    let theirs = ep::Icmpv6Slice::from_slice(data);
    assert_eq!(ours.is_ok(), theirs.is_ok());
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else {
        return;
    };
    let _ = wire::icmpv6::embedded(data);
    let valid = wire::icmpv6::verify(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, data);
    // All ones is zero too, which their comparison does not know.
    let local = Ipv6Addr::LOCALHOST.octets();
    assert!(valid == theirs.is_checksum_valid(local, local) || theirs.checksum() == 0xffff);
    match (ours, theirs.icmp_type()) {
        (Message::EchoRequest { identifier, sequence }, ep::Icmpv6Type::EchoRequest(h))
        | (Message::EchoReply { identifier, sequence }, ep::Icmpv6Type::EchoReply(h)) => {
            assert_eq!((identifier, sequence), (h.id, h.seq));
        }
        (Message::PacketTooBig { mtu }, ep::Icmpv6Type::PacketTooBig { mtu: theirs }) => {
            assert_eq!(mtu, theirs);
        }
        (Message::ParameterProblem { code, pointer }, ep::Icmpv6Type::ParameterProblem(h)) => {
            assert_eq!((code, pointer), (h.code.code_u8(), h.pointer));
        }
        (Message::Unreachable { code }, ep::Icmpv6Type::DestinationUnreachable(c)) => {
            assert_eq!(code, c.code_u8());
        }
        (Message::TimeExceeded { code }, ep::Icmpv6Type::TimeExceeded(c)) => assert_eq!(code, c.code_u8()),
        // Codes that they do not know; and of a packet too big, we ignore the code (RFC 4443 section 3.2).
        (_, ep::Icmpv6Type::Unknown { .. }) => {}
        (Message::NeighborDiscovery | Message::Membership | Message::Other { .. }, _) => {
            assert!(theirs.type_u8() > 4 && !matches!((theirs.type_u8(), theirs.code_u8()), (128 | 129, 0)));
        }
        (ours, theirs) => panic!("{ours:?} where they see {theirs:?}"),
    }
    if !matches!(ours, Message::NeighborDiscovery | Message::Membership) {
        let mut out = [0; 8];
        wire::icmpv6::emit(&ours, &mut out);
        assert_eq!(wire::icmpv6::parse(&out), Ok(ours));
        wire::icmpv6::fill_checksum(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, &mut out);
        assert!(
            ep::Icmpv6Slice::from_slice(&out)
                .unwrap()
                .is_checksum_valid(local, local)
        );
    }
}

fn ndp(data: &[u8]) {
    use wire::ndp::Message;
    let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let to = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let _ = wire::ndp::parse(data, Ipv6Addr::UNSPECIFIED, to, 255);
    assert_eq!(wire::ndp::parse(data, source, to, 64), Err(ParseError::HopLimit));
    let Ok(ours) = wire::ndp::parse(data, source, to, 255) else {
        return;
    };
    let mut out = vec![0; wire::ndp::emit_len(&ours)];
    if let Message::RouterAdvertisement {
        advertisement,
        options,
    } = ours
    {
        let prefixes: Vec<_> = wire::ndp::prefixes(options).collect();
        out.resize(
            wire::ndp::router_advertisement_len(&advertisement, prefixes.len()),
            0,
        );
        let len = wire::ndp::emit_router_advertisement(&advertisement, &prefixes, &mut out);
        assert_eq!(len, out.len());
        match wire::ndp::parse(&out, source, to, 255) {
            Ok(Message::RouterAdvertisement {
                advertisement: again,
                options,
            }) => {
                assert_eq!(again, advertisement);
                assert!(wire::ndp::prefixes(options).eq(prefixes));
            }
            other => panic!("{other:?}"),
        }
    } else {
        assert_eq!(wire::ndp::emit(&ours, &mut out), out.len());
        assert_eq!(wire::ndp::parse(&out, source, to, 255), Ok(ours));
    }
}

fn igmp(data: &[u8]) {
    use wire::igmp::Message;
    let valid = ep::IgmpSlice::from_slice(data).map(|m| m.is_checksum_valid());
    let plain = wire::igmp::parse(data);
    if let Ok(valid) = valid {
        let ones = data[2..4] == [0xff, 0xff];
        assert!(ones || valid == (plain != Err(ParseError::TransportChecksum)));
    }
    // Random bytes seldom have a right checksum.
    let mut data = data.to_vec();
    if data.len() >= 8 {
        data[2..4].fill(0);
        let sum = checksum::sum(&data).finish();
        data[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    match wire::igmp::parse(&data) {
        Ok(Message::Query(query)) => {
            assert_eq!(
                wire::igmp::addresses(query.sources).count() * 4,
                query.sources.len()
            );
        }
        Ok(Message::ReportV3 { count, records }) => igmp_report(count, records),
        Ok(Message::ReportV2 { group }) => {
            let mut out = [0; 8];
            wire::igmp::emit_report_for(wire::igmp::Version::V2, group, &mut out);
            assert_eq!(wire::igmp::parse(&out), Ok(Message::ReportV2 { group }));
        }
        Ok(_) => {}
        Err(e) => assert_ne!(e, ParseError::TransportChecksum),
    }
}

fn igmp_report(count: u16, records: &[u8]) {
    use wire::igmp::{Message, Record};
    type Owned = (wire::RecordKind, Ipv4Addr, Vec<Ipv4Addr>);
    let collect = |count, records| -> Vec<Owned> {
        wire::igmp::records(count, records)
            .map(|(kind, group, sources)| (kind, group, wire::igmp::addresses(sources).collect()))
            .collect()
    };
    let owned = collect(count, records);
    let made: Vec<_> = owned
        .iter()
        .map(|(kind, group, sources)| Record {
            kind: *kind,
            group: *group,
            sources,
        })
        .collect();
    let mut out = vec![0; wire::igmp::report_len(&made)];
    assert_eq!(wire::igmp::emit_report(&made, &mut out), out.len());
    match wire::igmp::parse(&out) {
        Ok(Message::ReportV3 { count, records }) => assert_eq!(collect(count, records), owned),
        other => panic!("{other:?}"),
    }
    assert!(ep::IgmpSlice::from_slice(&out).unwrap().is_checksum_valid());
}

fn mld(data: &[u8]) {
    use wire::mld::{Message, Record};
    type Owned = (wire::RecordKind, Ipv6Addr, Vec<Ipv6Addr>);
    let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    assert_eq!(wire::mld::parse(data, source, 2), Err(ParseError::HopLimit));
    let collect = |count, records| -> Vec<Owned> {
        wire::mld::records(count, records)
            .map(|(kind, group, sources)| (kind, group, wire::mld::addresses(sources).collect()))
            .collect()
    };
    match wire::mld::parse(data, source, 1) {
        Ok(Message::Query(query)) => {
            assert_eq!(
                wire::mld::addresses(query.sources).count() * 16,
                query.sources.len()
            );
        }
        Ok(Message::ReportV2 { count, records }) => {
            let owned = collect(count, records);
            let made: Vec<_> = owned
                .iter()
                .map(|(kind, group, sources)| Record {
                    kind: *kind,
                    group: *group,
                    sources,
                })
                .collect();
            let mut out = vec![0; wire::mld::report_len(&made)];
            assert_eq!(wire::mld::emit_report(&made, &mut out), out.len());
            match wire::mld::parse(&out, source, 1) {
                Ok(Message::ReportV2 { count, records }) => assert_eq!(collect(count, records), owned),
                other => panic!("{other:?}"),
            }
        }
        Ok(Message::ReportV1 { group }) => {
            let mut out = [0; 24];
            wire::mld::emit_report_v1(group, &mut out);
            assert_eq!(wire::mld::parse(&out, source, 1), Ok(Message::ReportV1 { group }));
        }
        _ => {}
    }
}

fn udp(data: &[u8]) {
    let ours = wire::udp::parse(data, data.len());
    if data.len() >= 8 && data[4..6] == [0, 0] {
        // They take a length of zero for a jumbogram's.
        assert_eq!(ours, Err(ParseError::Malformed));
        return;
    }
    let theirs = ep::UdpSlice::from_slice(data);
    assert_eq!(ours.is_ok(), theirs.is_ok());
    if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
        assert_eq!(
            (ours.source_port, ours.destination_port),
            (theirs.source_port(), theirs.destination_port())
        );
        assert_eq!(
            (ours.length, ours.checksum),
            (usize::from(theirs.length()), theirs.checksum())
        );
        let mut out = [0; 8];
        wire::udp::emit(&ours, &mut out);
        assert_eq!(out[..6], data[..6]);
        let (s, d) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let theirs = theirs
            .to_header()
            .calc_checksum_ipv4_raw(s.octets(), d.octets(), &data[8..ours.length]);
        let sum = checksum::pseudo_v4(s, d, protocol::UDP, ours.length as u32);
        let sum = sum.add(&out).add(&data[8..ours.length]);
        assert_eq!(sum.finish_udp(), theirs.unwrap());
    }
}

fn tcp(data: &[u8]) {
    let ours = wire::tcp::parse(data, data.len());
    let Ok(theirs) = ep::TcpHeaderSlice::from_slice(data) else {
        assert!(ours.is_err());
        return;
    };
    let syn = theirs.syn();
    match (ours, their_options(&theirs, syn)) {
        (Ok(ours), Some(Ok(options))) => assert_eq!(ours.segment.options, options),
        (ours, Some(Err(()))) => assert_eq!(ours, Err(ParseError::Malformed)),
        (_, None) => {}
        (ours, theirs) => panic!("{ours:?} where they see {theirs:?}"),
    }
    let Ok(ours) = ours else { return };
    let segment = ours.segment;
    assert_eq!(
        (ours.source_port, ours.destination_port, ours.checksum),
        (theirs.source_port(), theirs.destination_port(), theirs.checksum())
    );
    assert_eq!(
        (segment.seq.0, segment.ack.0),
        (theirs.sequence_number(), theirs.acknowledgment_number())
    );
    assert_eq!(
        (segment.window, segment.urgent),
        (theirs.window_size(), theirs.urgent_pointer())
    );
    assert_eq!(ours.header_len, theirs.slice().len());
    assert_eq!(segment.payload_len as usize, data.len() - ours.header_len);
    assert_eq!(segment.flags, their_flags(&theirs));
    written_again(&ours);
}

/// Any segment that was read can be written, up to SACK blocks that do not fit any more, and both read it alike.
fn written_again(ours: &wire::tcp::Header) {
    let mut out = [0xee; 60];
    let len = wire::tcp::emit(&ours.segment, ours.source_port, ours.destination_port, &mut out);
    assert_eq!(len, wire::tcp::header_len(&ours.segment));
    assert!(len.is_multiple_of(4) && out[len..].iter().all(|&b| b == 0xee));
    let again = wire::tcp::parse(&out[..len], len + ours.segment.payload_len as usize).unwrap();
    let mut expected = ours.segment;
    let blocks = again.segment.options.sack.as_slice().len();
    expected.options.sack.truncate(blocks);
    assert_eq!(
        again.segment.options.sack.as_slice(),
        expected.options.sack.as_slice()
    );
    expected.options.sack = again.segment.options.sack;
    assert_eq!(again.segment, expected);
    let theirs = ep::TcpHeaderSlice::from_slice(&out[..len]).unwrap();
    let options = their_options(&theirs, theirs.syn());
    assert_eq!(options, Some(Ok(again.segment.options)));
}

fn their_flags(h: &ep::TcpHeaderSlice<'_>) -> Flags {
    let mut flags = Flags::empty();
    flags.set(Flags::FIN, h.fin());
    flags.set(Flags::SYN, h.syn());
    flags.set(Flags::RST, h.rst());
    flags.set(Flags::PSH, h.psh());
    flags.set(Flags::ACK, h.ack());
    flags.set(Flags::URG, h.urg());
    flags.set(Flags::ECE, h.ece());
    flags.set(Flags::CWR, h.cwr());
    flags
}

/// Options as they see them; `None` where they stop at an unknown one, which we skip.
fn their_options(header: &ep::TcpHeaderSlice<'_>, syn: bool) -> Option<Result<Options, ()>> {
    let mut options = Options::default();
    for element in header.options_iterator() {
        match element {
            Ok(ep::TcpOptionElement::Noop) => {}
            Ok(ep::TcpOptionElement::MaximumSegmentSize(n)) if syn => options.mss = Some(n),
            Ok(ep::TcpOptionElement::WindowScale(n)) if syn => options.window_scale = Some(n),
            Ok(ep::TcpOptionElement::SelectiveAcknowledgementPermitted) if syn => {
                options.sack_permitted = true
            }
            Ok(ep::TcpOptionElement::Timestamp(value, echo)) => {
                options.timestamps = Some(Timestamps { value, echo });
            }
            Ok(ep::TcpOptionElement::SelectiveAcknowledgement(first, more)) => {
                options.sack = Default::default();
                for (start, end) in core::iter::once(first).chain(more.into_iter().flatten()) {
                    options.sack.push(SackBlock {
                        start: SeqNumber(start),
                        end: SeqNumber(end),
                    });
                }
            }
            Ok(_) => {}
            Err(ep::TcpOptionReadError::UnknownId(_)) => return None,
            Err(_) => return Some(Err(())),
        }
    }
    Some(Ok(options))
}
