//! ICMP for both families: echo, errors about what came in, and errors about what we sent.

use bytes::Bytes;
use core::net::{IpAddr, SocketAddr};

use super::layer::IpLayer;
use super::pmtu::plateau_below;
use super::reassembly::Expired;
use super::receive::{Facts, Received, Rx};
use super::{Env, IcmpError, IcmpNotice, Inbound, IpFields, Packet};
use crate::InterfaceId;
use crate::frame::{Frame, Payload};
use crate::trace::{Cause, DropReason};
use crate::wire::checksum::{Sum, sum};
use crate::wire::{icmpv4, icmpv6, ipv4, ipv6, ipv6_extension, protocol};

/// The packet that an error is to be about.
pub(super) struct Offender<'a> {
    on: InterfaceId,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    to_many: bool,
    frame: &'a Frame,
    network: usize,
    at: usize,
}

impl<'a> Offender<'a> {
    pub(super) fn new(rx: Rx, facts: &Facts, frame: &'a Frame) -> Self {
        Offender {
            on: rx.on,
            source: facts.source,
            destination: facts.destination,
            protocol: facts.protocol,
            to_many: facts.ip_to_many || rx.link_to_many,
            frame,
            network: rx.network,
            at: facts.at,
        }
    }
}

impl Offender<'_> {
    /// Whether it is an ICMP error itself, or a redirect (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e.1)).
    fn is_icmp_error(&self) -> bool {
        let packet = self.frame.front().get(self.network..).unwrap_or_default();
        let upper = match self.source {
            IpAddr::V4(_) => Some((self.protocol, self.at - self.network)),
            IpAddr::V6(_) => upper_v6(packet),
        };
        let Some((protocol, at)) = upper else { return true };
        let kind = packet.get(at).copied();
        match protocol {
            protocol::ICMPV4 => !matches!(kind, Some(0 | 8 | 9 | 10 | 13..=18)),
            protocol::ICMPV6 => kind.is_none_or(|k| k < 128 || k == 137),
            _ => false,
        }
    }
}

/// The upper protocol of an IPv6 packet whose extension headers may be what is wrong with it, and where it starts. `None`
/// where it cannot be told: then nothing is answered.
fn upper_v6(packet: &[u8]) -> Option<(u8, usize)> {
    let (mut next, mut at) = (*packet.get(6)?, ipv6::HEADER_LEN);
    for _ in 0..=ipv6_extension::MAX_HEADERS {
        let len = match next {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                (usize::from(*packet.get(at + 1)?) + 1) * 8
            }
            protocol::FRAGMENT => ipv6_extension::FRAGMENT_LEN,
            _ => return Some((next, at)),
        };
        next = *packet.get(at)?;
        at += len;
    }
    None
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Complaint {
    Port,
    /// With the offset of the field that names it, from the IP header on.
    Protocol {
        pointer: u32,
    },
    Prohibited,
    ReassemblyTime,
    /// IPv6 only: IPv4 packets whose header makes no sense are dropped silently (RFC 1122 section 3.2.1).
    Parameter {
        code: u8,
        pointer: u32,
        to_multicast: bool,
    },
}

impl IpLayer {
    /// Tells the sender of `packet` what is wrong with it, within the limits on such answers.
    pub(crate) fn icmp_error(&mut self, env: &mut Env<'_>, packet: &Packet<'_>, error: IcmpError) {
        let complaint = match error {
            IcmpError::PortUnreachable => Complaint::Port,
            IcmpError::ProtocolUnreachable => Complaint::Protocol { pointer: 6 },
            IcmpError::Prohibited => Complaint::Prohibited,
            _ => return,
        };
        let offender = Offender {
            on: packet.interface,
            source: packet.source,
            destination: packet.destination,
            protocol: 0,
            to_many: packet.to_many,
            frame: packet.frame,
            network: packet.network,
            at: packet.at,
        };
        self.complain(env, offender, complaint);
    }

    /// Queues an ICMP error, unless RFC 1122 section 3.2.2 or RFC 4443 section 2.4 (e) forbids it.
    pub(super) fn complain(&mut self, env: &mut Env<'_>, about: Offender<'_>, complaint: Complaint) {
        let even_to_many = matches!(
            complaint,
            Complaint::Parameter {
                to_multicast: true,
                ..
            }
        );
        let v4 = about.source.is_ipv4();
        let nobody =
            about.source.is_unspecified() || about.source.is_multicast() || self.is_broadcast(about.source);
        if nobody || (about.to_many && !even_to_many) {
            return;
        }
        if about.is_icmp_error() {
            return;
        }
        if !self
            .errors
            .take(env.now, env.config.unsolicited_replies_per_second)
        {
            env.dropped(DropReason::RateLimited);
            return;
        }
        let max = if v4 {
            icmpv4::MAX_ERROR_LEN - ipv4::HEADER_LEN - icmpv4::HEADER_LEN
        } else {
            icmpv6::MAX_ERROR_LEN - ipv6::HEADER_LEN - icmpv6::HEADER_LEN
        };
        let mut quote = about.frame.to_vec();
        quote.drain(..about.network.min(quote.len()));
        quote.truncate(max);
        let mut header = [0; 8];
        if v4 {
            icmpv4::emit(&complaint.v4(), &mut header);
        } else {
            icmpv6::emit(&complaint.v6(), &mut header);
        }
        let source = Some(about.destination).filter(|&d| self.is_local(d));
        let quote = Payload::from(Bytes::from(quote));
        self.send_icmp(
            env,
            about.source,
            source,
            about.on,
            header,
            quote,
            Cause::IcmpError,
        );
    }

    /// Queues an ICMP message of either family; a full queue drops it.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn send_icmp(
        &mut self,
        env: &mut Env<'_>,
        destination: IpAddr,
        source: Option<IpAddr>,
        on: InterfaceId,
        mut header: [u8; 8],
        payload: Payload,
        cause: Cause,
    ) {
        let on_link = Some(on).filter(|&i| i != InterfaceId::LOOPBACK);
        // Back the way it came where a route says so, else any way.
        let route = self
            .route(destination, source, on_link)
            .or_else(|| self.route(destination, source, None));
        let Some(route) = route else {
            env.dropped(DropReason::NoRoute);
            return;
        };
        let v4 = destination.is_ipv4();
        if !route.capabilities.no_checksums {
            let pseudo = match (route.source, destination) {
                (IpAddr::V6(s), IpAddr::V6(d)) => icmpv6::pseudo(s, d, header.len() + payload.len()),
                _ => Sum::ZERO,
            };
            let sum = pseudo.add(&header).add_payload(&payload).finish();
            header[icmpv4::CHECKSUM_OFFSET..][..2].copy_from_slice(&sum.to_be_bytes());
        }
        let fields = IpFields {
            source: route.source,
            destination,
            protocol: if v4 { protocol::ICMPV4 } else { protocol::ICMPV6 },
            hop_limit: if route.hop_limit != 0 {
                route.hop_limit
            } else {
                env.config.hop_limit
            },
            traffic_class: 0,
            dont_fragment: false,
        };
        if self
            .send_datagram(env, &route, &fields, &header, payload, cause)
            .is_err()
        {
            env.dropped(DropReason::TransmitQueueFull);
        }
    }

    /// A datagram did not become whole: tells its sender, if the first fragment came (RFC 1122 section 3.3.2, RFC 8200
    /// section 4.5).
    pub(super) fn reassembly_expired(&mut self, env: &mut Env<'_>, expired: Expired) {
        let Some(first) = expired.first else { return };
        let (at, protocol) = match expired.key.source {
            IpAddr::V4(_) => match ipv4::parse_embedded(&first) {
                Ok(h) => (h.header_len, h.protocol),
                Err(_) => return,
            },
            IpAddr::V6(_) => {
                let walked = ipv6::parse_embedded(&first)
                    .map_err(DropReason::from)
                    .and_then(|h| {
                        let walked = crate::wire::ipv6_extension::walk(&h, &first);
                        walked.map_err(|r| DropReason::from(r.reason))
                    });
                match walked {
                    Ok(upper) => (upper.offset, upper.protocol),
                    Err(_) => return,
                }
            }
        };
        let frame = Frame::from(first);
        let to_many = !self.is_local(expired.key.destination);
        let offender = Offender {
            on: expired.key.interface,
            source: expired.key.source,
            destination: expired.key.destination,
            protocol,
            to_many,
            frame: &frame,
            network: 0,
            at,
        };
        self.complain(env, offender, Complaint::ReassemblyTime);
    }

    pub(super) fn icmp_v4(
        &mut self,
        env: &mut Env<'_>,
        rx: Rx,
        frame: &mut Frame,
        facts: Facts,
    ) -> Received<'static> {
        if !rx.verified && !sum_from(&frame, facts.at).verify() {
            return Err(DropReason::TransportChecksum);
        }
        frame.pull_up(facts.at + icmpv4::HEADER_LEN);
        let message = icmpv4::parse(frame.front().get(facts.at..).unwrap_or_default())?;
        match message {
            icmpv4::Message::EchoRequest { identifier, sequence } => {
                // RFC 1122 section 3.2.2.6: one to many may be discarded, and amplifies otherwise.
                if facts.ip_to_many || rx.link_to_many {
                    return Err(DropReason::NotForUs);
                }
                let mut header = [0; icmpv4::HEADER_LEN];
                let reply = icmpv4::Message::EchoReply { identifier, sequence };
                icmpv4::emit(&reply, &mut header);
                self.echo(env, rx, frame, facts, header);
                Ok(None)
            }
            icmpv4::Message::SourceQuench => Err(DropReason::SourceQuench), // MUST-55
            icmpv4::Message::Unreachable { .. }
            | icmpv4::Message::TimeExceeded { .. }
            | icmpv4::Message::ParameterProblem { .. } => {
                frame.pull_up(frame.len());
                let bytes = &frame.front()[facts.at..];
                let (quoted, transport) = icmpv4::embedded(bytes)?;
                if quoted.fragment_offset != 0 {
                    return Err(DropReason::IcmpMismatch);
                }
                let error = error_v4(message, &quoted)?;
                let ends = (quoted.source.into(), quoted.destination.into());
                self.notice(rx, quoted.protocol, ends, transport, error)
            }
            // Echo replies have no socket here; redirects are refused: a host's routes are its own.
            _ => Err(DropReason::UnknownProtocol),
        }
    }

    pub(super) fn icmp_v6(
        &mut self,
        env: &mut Env<'_>,
        rx: Rx,
        frame: &mut Frame,
        facts: Facts,
    ) -> Received<'static> {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (facts.source, facts.destination) else {
            return Err(DropReason::Malformed);
        };
        if !rx.verified {
            let pseudo = icmpv6::pseudo(source, destination, frame.len() - facts.at);
            if !pseudo.join(sum_from(&frame, facts.at)).verify() {
                return Err(DropReason::TransportChecksum);
            }
        }
        frame.pull_up(facts.at + icmpv6::HEADER_LEN);
        let message = icmpv6::parse(frame.front().get(facts.at..).unwrap_or_default())?;
        if source.is_unspecified()
            && !matches!(
                message,
                icmpv6::Message::NeighborDiscovery | icmpv6::Message::Membership
            )
        {
            return Err(DropReason::BadSource);
        }
        match message {
            icmpv6::Message::EchoRequest { identifier, sequence } => {
                let mut header = [0; icmpv6::HEADER_LEN];
                let reply = icmpv6::Message::EchoReply { identifier, sequence };
                icmpv6::emit(&reply, &mut header);
                self.echo(env, rx, frame, facts, header);
                Ok(None)
            }
            icmpv6::Message::Unreachable { .. }
            | icmpv6::Message::PacketTooBig { .. }
            | icmpv6::Message::TimeExceeded { .. }
            | icmpv6::Message::ParameterProblem { .. } => {
                frame.pull_up(frame.len());
                let bytes = &frame.front()[facts.at..];
                let (quoted, protocol, transport) = icmpv6::embedded(bytes)?;
                let error = error_v6(message)?;
                let ends = (quoted.source.into(), quoted.destination.into());
                self.notice(rx, protocol, ends, transport, error)
            }
            icmpv6::Message::NeighborDiscovery => self.receive_ndp(env, rx, frame, facts),
            icmpv6::Message::Membership => self.receive_mld(env, rx, frame, facts),
            _ => Err(DropReason::UnknownProtocol),
        }
    }

    /// Answers a ping with its own data, from the address that was asked.
    fn echo(&mut self, env: &mut Env<'_>, rx: Rx, frame: &mut Frame, facts: Facts, header: [u8; 8]) {
        let source = Some(facts.destination).filter(|_| !facts.ip_to_many);
        let payload = frame.take_payload(facts.at + icmpv4::HEADER_LEN);
        self.send_icmp(
            env,
            facts.source,
            source,
            rx.on,
            header,
            payload,
            Cause::EchoReply,
        );
    }

    /// An error about something that we sent, for the transport that sent it.
    fn notice(
        &self,
        rx: Rx,
        protocol: u8,
        (ours, theirs): (IpAddr, IpAddr),
        transport: &[u8],
        error: IcmpError,
    ) -> Received<'static> {
        if rx.link_to_many || !self.is_local(ours) {
            return Err(DropReason::IcmpMismatch);
        }
        let (ports, sequence) = match (protocol, transport) {
            (protocol::TCP, [a, b, c, d, s @ ..]) if s.len() >= 4 => (
                [[*a, *b], [*c, *d]],
                Some(u32::from_be_bytes([s[0], s[1], s[2], s[3]])),
            ),
            (protocol::UDP, [a, b, c, d, ..]) => ([[*a, *b], [*c, *d]], None),
            _ => return Err(DropReason::IcmpMismatch),
        };
        let [local, remote] = ports.map(u16::from_be_bytes);
        Ok(Some(Inbound::Error(IcmpNotice {
            protocol,
            local: SocketAddr::new(ours, local),
            remote: SocketAddr::new(theirs, remote),
            sequence,
            error,
        })))
    }
}

impl Complaint {
    fn v4(self) -> icmpv4::Message {
        let unreachable = |code| icmpv4::Message::Unreachable {
            code,
            next_hop_mtu: 0,
        };
        match self {
            Complaint::Port => unreachable(icmpv4::UNREACHABLE_PORT),
            Complaint::Protocol { .. } => unreachable(icmpv4::UNREACHABLE_PROTOCOL),
            Complaint::Prohibited => unreachable(icmpv4::UNREACHABLE_PROHIBITED),
            Complaint::ReassemblyTime => icmpv4::Message::TimeExceeded {
                code: icmpv4::TIME_EXCEEDED_REASSEMBLY,
            },
            Complaint::Parameter { pointer, .. } => icmpv4::Message::ParameterProblem {
                code: 0,
                pointer: pointer as u8,
            },
        }
    }

    /// RFC 4443; an unknown protocol is a parameter problem there (RFC 8200 section 4), pointing at the field that named it.
    fn v6(self) -> icmpv6::Message {
        match self {
            Complaint::Port => icmpv6::Message::Unreachable {
                code: icmpv6::UNREACHABLE_PORT,
            },
            Complaint::Protocol { pointer } => icmpv6::Message::ParameterProblem {
                code: icmpv6::PROBLEM_NEXT_HEADER,
                pointer,
            },
            Complaint::Prohibited => icmpv6::Message::Unreachable {
                code: icmpv6::UNREACHABLE_PROHIBITED,
            },
            Complaint::ReassemblyTime => icmpv6::Message::TimeExceeded {
                code: icmpv6::TIME_EXCEEDED_REASSEMBLY,
            },
            Complaint::Parameter { code, pointer, .. } => icmpv6::Message::ParameterProblem { code, pointer },
        }
    }
}

/// What an IPv4 error says (RFC 1122 section 3.2.2.1; RFC 1191).
fn error_v4(message: icmpv4::Message, quoted: &ipv4::Header) -> Result<IcmpError, DropReason> {
    Ok(match message {
        icmpv4::Message::TimeExceeded { .. } => IcmpError::TimeExceeded,
        icmpv4::Message::ParameterProblem { .. } => IcmpError::ParameterProblem,
        icmpv4::Message::Unreachable { code, next_hop_mtu } => match code {
            0 | 6 | 11 => IcmpError::NetUnreachable,
            1 | 7 | 8 | 12 => IcmpError::HostUnreachable,
            2 => IcmpError::ProtocolUnreachable,
            3 => IcmpError::PortUnreachable,
            icmpv4::UNREACHABLE_FRAGMENTATION_NEEDED => {
                let mtu = match next_hop_mtu {
                    0 => plateau_below(quoted.total_len as u32),
                    told => u32::from(told),
                };
                IcmpError::PacketTooBig { mtu }
            }
            5 => IcmpError::SourceRouteFailed,
            9 | 10 | 13..=15 => IcmpError::Prohibited,
            _ => return Err(DropReason::UnknownProtocol),
        },
        _ => return Err(DropReason::UnknownProtocol),
    })
}

/// What an IPv6 error says (RFC 4443 section 3).
fn error_v6(message: icmpv6::Message) -> Result<IcmpError, DropReason> {
    Ok(match message {
        icmpv6::Message::PacketTooBig { mtu } => IcmpError::PacketTooBig { mtu },
        icmpv6::Message::TimeExceeded { .. } => IcmpError::TimeExceeded,
        icmpv6::Message::ParameterProblem {
            code: icmpv6::PROBLEM_NEXT_HEADER,
            ..
        } => IcmpError::ProtocolUnreachable,
        icmpv6::Message::ParameterProblem { .. } => IcmpError::ParameterProblem,
        icmpv6::Message::Unreachable { code } => match code {
            0 => IcmpError::NetUnreachable,
            1 | 5 | 6 => IcmpError::Prohibited,
            4 => IcmpError::PortUnreachable,
            _ => IcmpError::HostUnreachable,
        },
        _ => return Err(DropReason::UnknownProtocol),
    })
}

/// The sum over a frame's bytes from `at` on.
pub(crate) fn sum_from(frame: &Frame, at: usize) -> Sum {
    let head = frame.head.as_slice();
    let mut total = sum(head.get(at..).unwrap_or_default());
    let mut skip = at.saturating_sub(head.len());
    for part in frame.body.parts() {
        total = total.add(part.get(skip..).unwrap_or_default());
        skip = skip.saturating_sub(part.len());
    }
    total
}
