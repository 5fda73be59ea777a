//! ICMP for IPv4 (RFC 792, RFC 1122 section 3.2.2, RFC 1191).
//!
//! All messages here have a header of [`HEADER_LEN`] octets; behind it stands an echo's data or the packet that an error
//! is about.

use super::{ParseError, checksum, front, ipv4, room, u16_at};

/// Octets of the header.
pub const HEADER_LEN: usize = 8;
/// Offset of the checksum.
pub const CHECKSUM_OFFSET: usize = 2;
/// Octets that an error's IP packet has at most (RFC 1812 section 4.3.2.3).
pub const MAX_ERROR_LEN: usize = 576;

/// Unreachable code: no route.
pub const UNREACHABLE_NET: u8 = 0;
/// Unreachable code: the host does not answer.
pub const UNREACHABLE_HOST: u8 = 1;
/// Unreachable code: nobody speaks the protocol.
pub const UNREACHABLE_PROTOCOL: u8 = 2;
/// Unreachable code: nobody listens on the port.
pub const UNREACHABLE_PORT: u8 = 3;
/// Unreachable code: too big for the next link and must not be fragmented.
pub const UNREACHABLE_FRAGMENTATION_NEEDED: u8 = 4;
/// Unreachable code: the source route failed.
pub const UNREACHABLE_SOURCE_ROUTE: u8 = 5;
/// Unreachable code: forbidden by an administrator.
pub const UNREACHABLE_PROHIBITED: u8 = 13;
/// Time exceeded code: no hops left.
pub const TIME_EXCEEDED_TRANSIT: u8 = 0;
/// Time exceeded code: fragments missing.
pub const TIME_EXCEEDED_REASSEMBLY: u8 = 1;

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const SOURCE_QUENCH: u8 = 4;
const REDIRECT: u8 = 5;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

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
        /// The next link's MTU, with [`UNREACHABLE_FRAGMENTATION_NEEDED`]; 0 from old routers.
        next_hop_mtu: u16,
    },
    /// The packet ran out of hops, or its fragments did not all come.
    TimeExceeded {
        /// Which.
        code: u8,
    },
    /// The packet's header makes no sense.
    ParameterProblem {
        /// 0: the pointer tells where.
        code: u8,
        /// Offset of the octet in question.
        pointer: u8,
    },
    /// To be ignored (RFC 6633, MUST-55).
    SourceQuench,
    /// To be ignored here.
    Redirect,
    /// Anything else, to be ignored (RFC 1122 section 3.2.2).
    Other {
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
    },
}

impl Message {
    /// Whether it is an error, to which no error must answer (RFC 1122 section 3.2.2). Unknown types count as errors.
    pub fn is_error(&self) -> bool {
        match *self {
            Message::EchoRequest { .. } | Message::EchoReply { .. } => false,
            Message::Other { kind, .. } => !matches!(kind, 9 | 10 | 13..=18),
            _ => true,
        }
    }
}

/// Reads a message's header. The checksum, which covers all of the message, is the caller's to verify.
///
/// # Errors
/// [`ParseError::Truncated`].
pub fn parse(bytes: &[u8]) -> Result<Message, ParseError> {
    let b: &[u8; HEADER_LEN] = front(bytes)?;
    let (identifier, sequence) = (u16_at(b, 4), u16_at(b, 6));
    Ok(match (b[0], b[1]) {
        (ECHO_REQUEST, 0) => Message::EchoRequest { identifier, sequence },
        (ECHO_REPLY, 0) => Message::EchoReply { identifier, sequence },
        (UNREACHABLE, code) => Message::Unreachable {
            code,
            next_hop_mtu: if code == UNREACHABLE_FRAGMENTATION_NEEDED {
                sequence
            } else {
                0
            },
        },
        (TIME_EXCEEDED, code) => Message::TimeExceeded { code },
        (PARAMETER_PROBLEM, code) => Message::ParameterProblem { code, pointer: b[4] },
        (SOURCE_QUENCH, _) => Message::SourceQuench,
        (REDIRECT, _) => Message::Redirect,
        (kind, code) => Message::Other { kind, code },
    })
}

/// The packet that an error is about: its IP header, and what is quoted behind it (at least 8 octets). `message` is the
/// whole ICMP message.
///
/// # Errors
/// [`ParseError::Truncated`], [`ParseError::Malformed`], [`ParseError::BadFragment`] for a fragment that is not the first
/// (its ports are not in it).
pub fn embedded(message: &[u8]) -> Result<(ipv4::Header, &[u8]), ParseError> {
    let packet = message.get(HEADER_LEN..).ok_or(ParseError::Truncated)?;
    let header = ipv4::parse_embedded(packet)?;
    if header.fragment_offset != 0 {
        return Err(ParseError::BadFragment);
    }
    let transport = &packet[header.header_len..];
    if transport.len() < 8 {
        return Err(ParseError::Truncated);
    }
    Ok((header, transport))
}

/// Writes a message's header with checksum zero: [`HEADER_LEN`] octets.
///
/// # Panics
/// If `out` is shorter.
pub fn emit(message: &Message, out: &mut [u8]) -> usize {
    let b: &mut [u8; HEADER_LEN] = room(out);
    let [i0, i1, s0, s1] = match *message {
        Message::EchoRequest { identifier, sequence } | Message::EchoReply { identifier, sequence } => {
            (u32::from(identifier) << 16 | u32::from(sequence)).to_be_bytes()
        }
        Message::Unreachable { next_hop_mtu, .. } => u32::from(next_hop_mtu).to_be_bytes(),
        Message::ParameterProblem { pointer, .. } => [pointer, 0, 0, 0],
        _ => [0; 4],
    };
    let (kind, code) = match *message {
        Message::EchoRequest { .. } => (ECHO_REQUEST, 0),
        Message::EchoReply { .. } => (ECHO_REPLY, 0),
        Message::Unreachable { code, .. } => (UNREACHABLE, code),
        Message::TimeExceeded { code } => (TIME_EXCEEDED, code),
        Message::ParameterProblem { code, .. } => (PARAMETER_PROBLEM, code),
        Message::SourceQuench => (SOURCE_QUENCH, 0),
        Message::Redirect => (REDIRECT, 0),
        Message::Other { kind, code } => (kind, code),
    };
    *b = [kind, code, 0, 0, i0, i1, s0, s1];
    HEADER_LEN
}

/// Writes the checksum of a message that is all here, its checksum field zero.
///
/// # Panics
/// If `message` is shorter than a header.
pub fn fill_checksum(message: &mut [u8]) {
    let sum = checksum::sum(message).finish();
    message[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    /// The packet that an error quotes: 8 octets behind the IP header are enough (RFC 792).
    #[test]
    fn quoted_packet() {
        let mut message = [0; 8 + 20 + 8];
        let code = UNREACHABLE_FRAGMENTATION_NEEDED;
        let error = Message::Unreachable {
            code,
            next_hop_mtu: 1400,
        };
        emit(&error, &mut message);
        let mut header = ipv4::Header::new(Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST, 6, 1500);
        ipv4::emit(&header, &mut message[8..]);
        message[28..].copy_from_slice(&[0, 1, 0, 2, 0, 0, 0, 3]);
        assert_eq!(parse(&message), Ok(error));
        assert_eq!(embedded(&message), Ok((header, &message[28..])));
        assert_eq!(embedded(&message[..35]), Err(ParseError::Truncated));
        header.fragment_offset = 8;
        ipv4::emit(&header, &mut message[8..]);
        assert_eq!(embedded(&message), Err(ParseError::BadFragment));
    }

    /// RFC 1122 section 3.2.2: no error about an error, and what is unknown may be one.
    #[test]
    fn errors_are_told_from_questions() {
        let is_error = |kind| parse(&[kind, 0, 0, 0, 0, 0, 0, 0]).unwrap().is_error();
        assert!([3, 4, 5, 11, 12, 200].into_iter().all(is_error));
        assert!(![0, 8, 9, 10, 13, 18].into_iter().any(is_error));
    }
}
