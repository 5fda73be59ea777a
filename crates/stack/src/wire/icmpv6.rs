//! ICMP for IPv6 (RFC 4443): echo and errors. Neighbour discovery is in [`super::ndp`], membership in [`super::mld`].
//!
//! The messages here have a header of [`HEADER_LEN`] octets; behind it stands an echo's data or the packet that an error
//! is about.

use core::net::Ipv6Addr;

use super::{ParseError, checksum, front, ipv6, ipv6_extension, protocol, room, u16_at, u32_at};

/// Octets of the header.
pub const HEADER_LEN: usize = 8;
/// Offset of the checksum.
pub const CHECKSUM_OFFSET: usize = 2;
/// Octets that an error's IPv6 packet has at most (RFC 4443 section 2.4 (c)).
pub const MAX_ERROR_LEN: usize = ipv6::MIN_MTU;

/// Unreachable code: no route.
pub const UNREACHABLE_NO_ROUTE: u8 = 0;
/// Unreachable code: forbidden by an administrator.
pub const UNREACHABLE_PROHIBITED: u8 = 1;
/// Unreachable code: the address does not answer.
pub const UNREACHABLE_ADDRESS: u8 = 3;
/// Unreachable code: nobody listens on the port.
pub const UNREACHABLE_PORT: u8 = 4;
/// Time exceeded code: no hops left.
pub const TIME_EXCEEDED_TRANSIT: u8 = 0;
/// Time exceeded code: fragments missing.
pub const TIME_EXCEEDED_REASSEMBLY: u8 = 1;
/// Parameter problem code: a header field that cannot be.
pub const PROBLEM_HEADER_FIELD: u8 = 0;
/// Parameter problem code: unrecognised next header.
pub const PROBLEM_NEXT_HEADER: u8 = 1;
/// Parameter problem code: unrecognised option.
pub const PROBLEM_OPTION: u8 = 2;

const UNREACHABLE: u8 = 1;
const PACKET_TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const PARAMETER_PROBLEM: u8 = 4;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

/// A message's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message {
    /// To be answered with the same data.
    EchoRequest {
        /// Tells one pinging program from another.
        identifier: u16,
        /// Tells one request from another.
        sequence: u16,
    },
    /// Answers an echo request.
    EchoReply {
        /// As in the request.
        identifier: u16,
        /// As in the request.
        sequence: u16,
    },
    /// The packet could not be delivered.
    Unreachable {
        /// Why: [`UNREACHABLE_PORT`] and its neighbours.
        code: u8,
    },
    /// The packet did not fit the next link.
    PacketTooBig {
        /// That link's MTU.
        mtu: u32,
    },
    /// The packet ran out of hops, or its fragments did not all come.
    TimeExceeded {
        /// Which.
        code: u8,
    },
    /// The packet's header makes no sense.
    ParameterProblem {
        /// [`PROBLEM_HEADER_FIELD`] and its neighbours.
        code: u8,
        /// Offset of the octet in question.
        pointer: u32,
    },
    /// Neighbour discovery (types 133 to 137): for [`super::ndp::parse`].
    NeighborDiscovery,
    /// Multicast membership (types 130 to 132 and 143): for [`super::mld::parse`].
    Membership,
    /// Anything else. Errors of unknown type go to the upper protocol, the rest is ignored (RFC 4443 section 2.4).
    Other {
        /// ICMPv6 type: an error if below 128.
        kind: u8,
        /// ICMPv6 code.
        code: u8,
    },
}

impl Message {
    /// Whether it is an error, to which no error must answer (RFC 4443 section 2.4 (e.1)).
    pub fn is_error(&self) -> bool {
        match *self {
            Message::Unreachable { .. }
            | Message::PacketTooBig { .. }
            | Message::TimeExceeded { .. }
            | Message::ParameterProblem { .. } => true,
            Message::Other { kind, .. } => kind < 128,
            _ => false,
        }
    }
}

/// Reads a message's header. The checksum, which covers a pseudo-header and all of the message, is the caller's to
/// verify ([`verify`]).
///
/// # Errors
/// [`ParseError::Truncated`].
pub fn parse(bytes: &[u8]) -> Result<Message, ParseError> {
    let b: &[u8; HEADER_LEN] = front(bytes)?;
    let (identifier, sequence) = (u16_at(b, 4), u16_at(b, 6));
    Ok(match (b[0], b[1]) {
        (ECHO_REQUEST, 0) => Message::EchoRequest { identifier, sequence },
        (ECHO_REPLY, 0) => Message::EchoReply { identifier, sequence },
        (UNREACHABLE, code) => Message::Unreachable { code },
        (PACKET_TOO_BIG, _) => Message::PacketTooBig { mtu: u32_at(b, 4) },
        (TIME_EXCEEDED, code) => Message::TimeExceeded { code },
        (PARAMETER_PROBLEM, code) => Message::ParameterProblem {
            code,
            pointer: u32_at(b, 4),
        },
        (133..=137, _) => Message::NeighborDiscovery,
        (130..=132 | 143, _) => Message::Membership,
        (kind, code) => Message::Other { kind, code },
    })
}

/// The packet that an error is about: its IPv6 header, the upper protocol behind its extension headers, and what is
/// quoted from there on (at least 8 octets). `message` is the whole ICMPv6 message.
///
/// # Errors
/// [`ParseError::Truncated`], [`ParseError::Malformed`], [`ParseError::BadFragment`] for a fragment that is not the
/// first (its ports are not in it), and what the walk over extension headers finds.
pub fn embedded(message: &[u8]) -> Result<(ipv6::Header, u8, &[u8]), ParseError> {
    let packet = message.get(HEADER_LEN..).ok_or(ParseError::Truncated)?;
    let header = ipv6::parse_embedded(packet)?;
    let upper = ipv6_extension::walk(&header, packet).map_err(|refused| refused.reason)?;
    if upper.fragment.is_some_and(|f| f.offset != 0) {
        return Err(ParseError::BadFragment);
    }
    match packet.get(upper.offset..) {
        Some(transport) if transport.len() >= 8 => Ok((header, upper.protocol, transport)),
        _ => Err(ParseError::Truncated),
    }
}

/// Writes a message's header with checksum zero: [`HEADER_LEN`] octets. [`Message::NeighborDiscovery`] and
/// [`Message::Membership`] stand for messages that are written elsewhere, and come out as type 255.
///
/// # Panics
/// If `out` is shorter.
pub fn emit(message: &Message, out: &mut [u8]) -> usize {
    let b: &mut [u8; HEADER_LEN] = room(out);
    let (kind, code, rest) = match *message {
        Message::EchoRequest { identifier, sequence } => {
            (ECHO_REQUEST, 0, u32::from(identifier) << 16 | u32::from(sequence))
        }
        Message::EchoReply { identifier, sequence } => {
            (ECHO_REPLY, 0, u32::from(identifier) << 16 | u32::from(sequence))
        }
        Message::Unreachable { code } => (UNREACHABLE, code, 0),
        Message::PacketTooBig { mtu } => (PACKET_TOO_BIG, 0, mtu),
        Message::TimeExceeded { code } => (TIME_EXCEEDED, code, 0),
        Message::ParameterProblem { code, pointer } => (PARAMETER_PROBLEM, code, pointer),
        Message::NeighborDiscovery | Message::Membership => (255, 0, 0),
        Message::Other { kind, code } => (kind, code, 0),
    };
    b[0] = kind;
    b[1] = code;
    b[2..4].fill(0);
    b[4..8].copy_from_slice(&rest.to_be_bytes());
    HEADER_LEN
}

/// Writes the checksum of a message that is all here, its checksum field zero.
///
/// # Panics
/// If `message` is shorter than 4 octets.
pub fn fill_checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &mut [u8]) {
    let sum = pseudo(source, destination, message.len()).add(message).finish();
    message[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Whether the checksum of a message that is all here is right.
#[must_use]
pub fn verify(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> bool {
    pseudo(source, destination, message.len()).add(message).verify()
}

/// The sum over the pseudo-header of a message of `len` octets.
pub fn pseudo(source: Ipv6Addr, destination: Ipv6Addr, len: usize) -> checksum::Sum {
    checksum::pseudo_v6(source, destination, protocol::ICMPV6, len as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4443 sections 2.1, 2.4 and 4.
    #[test]
    fn kinds_of_messages() {
        let read = |kind, code| parse(&[kind, code, 0, 0, 0, 1, 0, 2]).unwrap();
        let (identifier, sequence) = (1, 2);
        assert_eq!(read(128, 0), Message::EchoRequest { identifier, sequence });
        assert_eq!(read(129, 0), Message::EchoReply { identifier, sequence });
        assert_eq!(read(129, 1), Message::Other { kind: 129, code: 1 });
        assert_eq!(read(2, 9), Message::PacketTooBig { mtu: 0x1_0002 });
        assert_eq!(read(137, 0), Message::NeighborDiscovery);
        assert_eq!(read(143, 0), Message::Membership);
        assert!(
            [1, 2, 3, 4, 100, 127]
                .into_iter()
                .all(|kind| read(kind, 0).is_error())
        );
        assert!(
            ![128, 129, 130, 135, 143, 200]
                .into_iter()
                .any(|kind| read(kind, 0).is_error())
        );
        assert_eq!(parse(&[128; 7]), Err(ParseError::Truncated));
    }

    /// The packet that an error quotes, behind its extension headers, cut short as errors do.
    #[test]
    fn quoted_packet() {
        let (a, b) = (Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED);
        let mut message = [0; 8 + 40 + 8 + 8];
        emit(&Message::PacketTooBig { mtu: 1280 }, &mut message);
        ipv6::emit(
            &ipv6::Header::new(a, b, protocol::FRAGMENT, 1400),
            &mut message[8..],
        );
        ipv6_extension::emit_fragment(protocol::TCP, 0, true, 1, &mut message[48..]);
        message[56..].copy_from_slice(&[0, 1, 0, 2, 0, 0, 0, 3]);
        let (header, protocol, transport) = embedded(&message).unwrap();
        assert_eq!(
            (header.source, header.destination, protocol),
            (a, b, protocol::TCP)
        );
        assert_eq!(transport, &message[56..]);
        assert_eq!(embedded(&message[..63]), Err(ParseError::Truncated));
        ipv6_extension::emit_fragment(protocol::TCP, 8, false, 1, &mut message[48..]);
        assert_eq!(embedded(&message), Err(ParseError::BadFragment));
    }
}
