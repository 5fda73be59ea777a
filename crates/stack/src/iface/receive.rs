//! The way in: link header, IP header, extension headers, fragments, and then to whom it belongs.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::icmp::{Complaint, Offender};
use super::layer::{IpLayer, KnownPair};
use super::reassembly::{Fragment, Key, Outcome};
use super::{Env, Inbound, Medium, Packet};
use crate::InterfaceId;
use crate::frame::{Frame, RxMeta};
use crate::trace::DropReason;
use crate::wire::{Check, ethernet, ipv4, ipv6, ipv6_extension, protocol};

/// What is known of a packet on its way in.
#[derive(Clone, Copy)]
pub(super) struct Rx {
    pub(super) on: InterfaceId,
    /// Where the IP header starts in the frame.
    pub(super) network: usize,
    /// The frame was a broadcast or multicast of the link.
    pub(super) link_to_many: bool,
    /// Checksums are not looked at on this interface.
    pub(super) trusted: bool,
    /// The device verified the transport checksum.
    pub(super) verified: bool,
}

/// The facts of an IP header that both families share.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) hop_limit: u8,
    pub(super) traffic_class: u8,
    /// Where the payload starts in the frame.
    pub(super) at: usize,
    pub(super) protocol: u8,
    /// Offset of the field that names it, from the IP header on.
    pub(super) named_at: usize,
    /// The IP destination is a broadcast or multicast address.
    pub(super) ip_to_many: bool,
    /// The router alert option is there.
    pub(super) router_alert: bool,
}

/// Dealt with, or dropped for a reason.
pub(super) type Received<'f> = Result<Option<Inbound<'f>>, DropReason>;

/// Both addresses in one word, the source in its upper half.
#[inline]
fn pair_of(source: Ipv4Addr, destination: Ipv4Addr) -> u64 {
    u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits())
}

impl IpLayer {
    /// Takes a frame. Link header, IP header, reassembly, ICMP, ARP, NDP and membership queries are dealt with here; what
    /// is for a transport protocol comes back.
    pub(crate) fn receive<'f>(
        &mut self,
        env: &mut Env<'_>,
        on: InterfaceId,
        frame: &'f mut Frame,
        meta: RxMeta,
    ) -> Option<Inbound<'f>> {
        match self.receive_link(env, on, frame, meta) {
            Ok(inbound) => inbound,
            Err(reason) => {
                env.dropped(reason);
                None
            }
        }
    }

    /// For a packet between the addresses of the one before ([`pair_of`]), on a link without link addresses: whether checksums
    /// are not looked at there. `None` for any other packet.
    #[inline(always)]
    pub(crate) fn trusts_pair(&self, on: InterfaceId, addresses: u64) -> Option<bool> {
        let known = self.recent_v4.as_ref()?;
        let device = known.capabilities.as_ref()?;
        if known.addresses != addresses || known.on != on {
            return None;
        }
        Some(device.no_checksums)
    }

    fn receive_link<'f>(
        &mut self,
        env: &mut Env<'_>,
        on: InterfaceId,
        frame: &'f mut Frame,
        meta: RxMeta,
    ) -> Received<'f> {
        let interface = self.interface(on).ok_or(DropReason::NoInterface)?;
        let trusted = interface.capabilities.no_checksums;
        let mut rx = Rx {
            on,
            network: 0,
            link_to_many: false,
            trusted,
            verified: trusted || meta.checksum_verified,
        };
        let Medium::Ethernet { address } = interface.medium else {
            return match frame.front().first().map(|b| b >> 4) {
                Some(4) => self.receive_v4(env, rx, frame),
                Some(6) => self.receive_v6(env, rx, frame),
                Some(_) => Err(DropReason::Malformed),
                None => Err(DropReason::Truncated),
            };
        };
        frame.pull_up(ethernet::TAGGED_LEN);
        let link = ethernet::parse(frame.front())?;
        rx.link_to_many = ethernet::is_multicast(link.destination);
        if !rx.link_to_many && link.destination != address {
            return Err(DropReason::NotForUs);
        }
        if ethernet::is_multicast(link.source) || link.source == address {
            return Err(DropReason::BadSource);
        }
        // We are on no VLAN; priority tags (VLAN 0) are for everybody.
        if link.vlan.is_some_and(|tag| tag & 0x0fff != 0) {
            return Err(DropReason::NotForUs);
        }
        rx.network = link.len();
        match link.ethertype {
            ethernet::IPV4 => self.receive_v4(env, rx, frame),
            ethernet::IPV6 => self.receive_v6(env, rx, frame),
            ethernet::ARP => self.receive_arp(env, rx, frame).map(|()| None),
            _ => Err(DropReason::UnknownProtocol),
        }
    }

    fn receive_v4<'f>(&mut self, env: &mut Env<'_>, rx: Rx, frame: &'f mut Frame) -> Received<'f> {
        let at = rx.network;
        if frame.front().len() < at + ipv4::HEADER_LEN {
            frame.pull_up(at + ipv4::MAX_HEADER_LEN);
        }
        let first = *frame.front().get(at).ok_or(DropReason::Truncated)?;
        frame.pull_up(at + usize::from(first & 0x0f) * 4);
        let check = if rx.trusted { Check::Trust } else { Check::Verify };
        let header = ipv4::parse(&frame.front()[at..], frame.len() - at, check)?;
        frame.truncate(at + header.total_len);

        let addresses = pair_of(header.source, header.destination);
        let known = |pair: &KnownPair| pair.addresses == addresses && pair.on == rx.on;
        let ip_to_many = if self.recent_v4.as_ref().is_some_and(known) {
            false
        } else {
            self.check_source_v4(rx, &header)?;
            let to_many = self.accepts_v4(rx, header.destination)?;
            if !to_many {
                self.recent_v4 = Some(KnownPair {
                    addresses,
                    on: rx.on,
                    capabilities: self.plain_link(rx.on).copied(),
                });
            }
            to_many
        };
        let facts = Facts {
            source: header.source.into(),
            destination: header.destination.into(),
            hop_limit: header.hop_limit,
            traffic_class: header.traffic_class,
            at: at + header.header_len,
            protocol: header.protocol,
            named_at: 9,
            ip_to_many,
            router_alert: header.router_alert,
        };
        if header.is_fragment() {
            return self.fragment_v4(env, rx, frame, &header, facts);
        }
        self.deliver(env, rx, frame, facts)
    }

    /// RFC 1122 section 3.2.1.3: a source must be one host's address; and it cannot be ours, unless we talk to ourselves.
    fn check_source_v4(&self, rx: Rx, header: &ipv4::Header) -> Result<(), DropReason> {
        let source = header.source;
        // Queries of snooping switches come from nowhere (RFC 4541 section 2.1.1).
        let nowhere =
            source.octets()[0] == 0 && !(source.is_unspecified() && header.protocol == protocol::IGMP);
        if nowhere || source.octets()[0] >= 224 || self.addresses.is_broadcast(source) {
            return Err(DropReason::BadSource);
        }
        if rx.on != InterfaceId::LOOPBACK && self.is_local(source.into()) {
            return Err(DropReason::BadSource);
        }
        Ok(())
    }

    /// Whether a packet for this address is ours; if so, whether it is for many.
    fn accepts_v4(&self, rx: Rx, destination: Ipv4Addr) -> Result<bool, DropReason> {
        if self.is_local(destination.into()) {
            // 127.0.0.0/8 must not appear outside a host (RFC 1122 section 3.2.1.3 (g)).
            let stray = destination.is_loopback() && rx.on != InterfaceId::LOOPBACK;
            return if stray {
                Err(DropReason::NotForUs)
            } else {
                Ok(false)
            };
        }
        if self.addresses.is_broadcast(destination) || self.is_member(destination.into(), Some(rx.on)) {
            return Ok(true);
        }
        Err(DropReason::NotForUs)
    }

    fn fragment_v4<'f>(
        &mut self,
        env: &mut Env<'_>,
        rx: Rx,
        frame: &'f mut Frame,
        header: &ipv4::Header,
        mut facts: Facts,
    ) -> Received<'f> {
        let quote = frame.front()[rx.network..facts.at].to_vec();
        let key = Key {
            source: facts.source,
            destination: facts.destination,
            id: u32::from(header.identification),
            protocol: header.protocol,
            interface: rx.on,
        };
        let fragment = Fragment {
            offset: usize::from(header.fragment_offset),
            more: header.more_fragments,
            quote: &quote,
            keep: quote.len(),
            patch: None,
            ecn: header.traffic_class & 3,
            payload: frame.take_payload(facts.at),
        };
        let Some((mut packet, headers, ecn)) = self.reassemble(env, key, fragment)? else {
            return Ok(None);
        };
        let total = u16::try_from(packet.len()).map_err(|_| DropReason::BadFragment)?;
        // The header of the whole: its length and mark; no fragment any more. Nobody verifies its checksum again.
        packet[1] = packet[1] & !3 | ecn;
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet[6..8].fill(0);
        packet[10..12].fill(0);
        let sum = crate::wire::checksum::sum(&packet[..headers]).finish();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        facts.traffic_class = packet[1];
        facts.at = headers;
        let rx = Rx {
            network: 0,
            verified: rx.trusted,
            ..rx
        };
        *frame = Frame::from(packet);
        self.deliver(env, rx, frame, facts)
    }

    fn receive_v6<'f>(&mut self, env: &mut Env<'_>, rx: Rx, frame: &'f mut Frame) -> Received<'f> {
        let at = rx.network;
        frame.pull_up(at + ipv6::HEADER_LEN);
        let front = frame.front().get(at..).ok_or(DropReason::Truncated)?;
        let header = ipv6::parse(front, frame.len() - at)?;
        frame.truncate(at + header.total_len());

        let (source, destination) = (header.source, header.destination);
        // RFC 4291 section 2.7 and 2.5.2; only neighbour discovery and membership reports come from nowhere.
        let outside = rx.on != InterfaceId::LOOPBACK;
        if source.is_multicast()
            || source.to_ipv4_mapped().is_some()
            || (outside && (source.is_loopback() || self.is_local(source.into())))
        {
            return Err(DropReason::BadSource);
        }
        let ip_to_many = self.accepts_v6(rx, destination)?;
        self.extensions_v6(env, rx, frame, &header, ip_to_many)
    }

    fn accepts_v6(&self, rx: Rx, destination: Ipv6Addr) -> Result<bool, DropReason> {
        let outside = rx.on != InterfaceId::LOOPBACK;
        if destination.is_multicast() {
            let member = self.is_member(destination.into(), Some(rx.on));
            return if member {
                Ok(true)
            } else {
                Err(DropReason::NotForUs)
            };
        }
        if !self.is_local(destination.into()) || (outside && destination.is_loopback()) {
            return Err(DropReason::NotForUs);
        }
        // A link-local address is ours on its own link only.
        if outside
            && super::address::is_link_local(destination)
            && self.addresses.find(destination.into(), rx.on).is_none()
        {
            return Err(DropReason::NotForUs);
        }
        Ok(false)
    }

    /// Walks the extension headers and delivers what is behind them. Also the way of a reassembled datagram.
    fn extensions_v6<'f>(
        &mut self,
        env: &mut Env<'_>,
        rx: Rx,
        frame: &'f mut Frame,
        header: &ipv6::Header,
        ip_to_many: bool,
    ) -> Received<'f> {
        if is_extension(header.next_header) {
            frame.pull_up(frame.len());
        }
        let walked = ipv6_extension::walk(header, &frame.front()[rx.network..]);
        let mut facts = Facts {
            source: header.source.into(),
            destination: header.destination.into(),
            hop_limit: header.hop_limit,
            traffic_class: header.traffic_class,
            at: rx.network,
            protocol: header.next_header,
            named_at: 6,
            ip_to_many,
            router_alert: false,
        };
        let upper = match walked {
            Ok(upper) => upper,
            Err(refused) => {
                if let Some(problem) = refused.reply {
                    let offender = Offender::new(rx, &facts, frame);
                    let complaint = Complaint::Parameter {
                        code: problem.code,
                        pointer: problem.pointer,
                        to_multicast: problem.to_multicast,
                    };
                    self.complain(env, offender, complaint);
                }
                return Err(refused.reason.into());
            }
        };
        facts.at = rx.network + upper.offset;
        facts.protocol = upper.protocol;
        facts.named_at = upper.next_header_at;
        facts.router_alert = upper.router_alert.is_some();
        if header.source.is_unspecified() && upper.protocol != protocol::ICMPV6 {
            return Err(DropReason::BadSource);
        }
        match upper.fragment {
            Some(f) if !f.is_atomic() => self.fragment_v6(env, rx, frame, header, facts, (upper, f)),
            _ if upper.protocol == protocol::NO_NEXT_HEADER => Ok(None),
            _ => self.deliver(env, rx, frame, facts),
        }
    }

    fn fragment_v6<'f>(
        &mut self,
        env: &mut Env<'_>,
        rx: Rx,
        frame: &'f mut Frame,
        header: &ipv6::Header,
        facts: Facts,
        (upper, f): (ipv6_extension::Upper, ipv6_extension::Fragment),
    ) -> Received<'f> {
        let quote = frame.front()[rx.network..facts.at].to_vec();
        if f.offset == 0 && !has_whole_chain(upper.protocol, &frame.front()[facts.at..]) {
            // RFC 7112 section 5: the first fragment must hold all headers.
            let offender = Offender::new(rx, &facts, frame);
            let complaint = Complaint::Parameter {
                code: 3,
                pointer: 0,
                to_multicast: false,
            };
            self.complain(env, offender, complaint);
            return Err(DropReason::BadFragment);
        }
        let key = Key {
            source: facts.source,
            destination: facts.destination,
            id: f.identification,
            protocol: 0,
            interface: rx.on,
        };
        let fragment = Fragment {
            offset: usize::from(f.offset),
            more: f.more,
            quote: &quote,
            keep: f.header_at,
            patch: Some((f.named_at, upper.protocol)),
            ecn: header.traffic_class & 3,
            payload: frame.take_payload(facts.at),
        };
        let Some((mut packet, _, ecn)) = self.reassemble(env, key, fragment)? else {
            return Ok(None);
        };
        let len = packet.len().saturating_sub(ipv6::HEADER_LEN);
        let len = u16::try_from(len).map_err(|_| DropReason::BadFragment)?;
        packet[1] = packet[1] & !0x30 | ecn << 4;
        packet[4..6].copy_from_slice(&len.to_be_bytes());
        let whole = ipv6::parse(&packet, packet.len())?;
        let rx = Rx {
            network: 0,
            verified: rx.trusted,
            ..rx
        };
        // The unfragmentable part was walked with each fragment; what follows it is new. A second fragment header
        // would find the walk in a datagram that is none: it is refused there.
        let upper = ipv6_extension::walk(&whole, &packet).map_err(|r| DropReason::from(r.reason))?;
        if upper.fragment.is_some() {
            return Err(DropReason::BadFragment);
        }
        *frame = Frame::from(packet);
        self.extensions_v6(env, rx, frame, &whole, facts.ip_to_many)
    }

    /// Gives a fragment to the store; the whole datagram, where it was the last that lacked.
    #[allow(clippy::type_complexity)]
    fn reassemble(
        &mut self,
        env: &mut Env<'_>,
        key: Key,
        fragment: Fragment<'_>,
    ) -> Result<Option<(alloc::vec::Vec<u8>, usize, u8)>, DropReason> {
        let (now, timeout) = (env.now, env.config.reassembly_timeout);
        let max = env.config.reassembly_max as usize;
        let evicted = || env.trace.dropped(now, None, None, DropReason::FragmentsFull);
        match self.reassembly.insert(now, timeout, max, key, fragment, evicted) {
            Outcome::Waiting => Ok(None),
            Outcome::Whole { packet, headers, ecn } => Ok(Some((packet, headers, ecn))),
            Outcome::Dropped(reason) => Err(reason),
        }
    }

    /// Gives a whole datagram to its protocol.
    fn deliver<'f>(&mut self, env: &mut Env<'_>, rx: Rx, frame: &'f mut Frame, facts: Facts) -> Received<'f> {
        match facts.protocol {
            protocol::TCP => {
                pull_up_tcp(frame, facts.at);
                Ok(Some(Inbound::Tcp(packet(rx, frame, facts))))
            }
            protocol::UDP => {
                frame.pull_up(facts.at + crate::wire::udp::HEADER_LEN);
                Ok(Some(Inbound::Udp(packet(rx, frame, facts))))
            }
            protocol::ICMPV4 if facts.source.is_ipv4() => self.icmp_v4(env, rx, frame, facts),
            protocol::IGMP if facts.source.is_ipv4() => self.receive_igmp(env, rx, frame, facts),
            protocol::ICMPV6 if facts.source.is_ipv6() => self.icmp_v6(env, rx, frame, facts),
            _ => {
                let offender = Offender::new(rx, &facts, frame);
                let pointer = facts.named_at as u32;
                self.complain(env, offender, Complaint::Protocol { pointer });
                Err(DropReason::UnknownProtocol)
            }
        }
    }
}

fn packet(rx: Rx, frame: &mut Frame, facts: Facts) -> Packet<'_> {
    Packet {
        frame,
        at: facts.at,
        network: rx.network,
        interface: rx.on,
        source: facts.source,
        destination: facts.destination,
        hop_limit: facts.hop_limit,
        traffic_class: facts.traffic_class,
        to_many: facts.ip_to_many || rx.link_to_many,
        checksum_verified: rx.verified,
    }
}

/// Makes a TCP header with its options contiguous.
fn pull_up_tcp(frame: &mut Frame, at: usize) {
    frame.pull_up(at + 20);
    if let Some(&offset) = frame.front().get(at + 12) {
        frame.pull_up(at + usize::from(offset >> 4) * 4);
    }
}

fn is_extension(next_header: u8) -> bool {
    matches!(
        next_header,
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::DESTINATION_OPTIONS
    )
}

/// Whether the fragmentable part, which starts with this protocol, holds its upper header whole.
fn has_whole_chain(first: u8, mut bytes: &[u8]) -> bool {
    let mut next = first;
    while matches!(next, protocol::DESTINATION_OPTIONS | protocol::ROUTING) {
        let [named, len, ..] = *bytes else { return false };
        let Some(rest) = bytes.get((usize::from(len) + 1) * 8..) else {
            return false;
        };
        (next, bytes) = (named, rest);
    }
    let need = match next {
        protocol::TCP => 20,
        protocol::UDP | protocol::ICMPV6 => 8,
        _ => 0,
    };
    bytes.len() >= need
}
