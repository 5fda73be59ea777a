//! ARP for IPv4 over Ethernet (RFC 826, RFC 5227).

use core::net::Ipv4Addr;

use super::ethernet::Address;
use super::{ParseError, front, room, u16_at};

/// Octets of a packet.
pub const PACKET_LEN: usize = 28;

/// What a packet is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Who has the target's address?
    Request = 1,
    /// The sender has it.
    Reply = 2,
}

/// An ARP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Question or answer.
    pub operation: Operation,
    /// The sender's link address.
    pub sender_link: Address,
    /// The sender's IPv4 address; unspecified in a probe (RFC 5227 section 1.1).
    pub sender: Ipv4Addr,
    /// The target's link address; of no meaning in a request.
    pub target_link: Address,
    /// The target's IPv4 address.
    pub target: Ipv4Addr,
}

/// Reads a packet. Octets behind it are link padding.
///
/// # Errors
/// [`ParseError::Truncated`]; [`ParseError::Unsupported`] for other hardware, protocols and operations;
/// [`ParseError::Malformed`] for wrong address lengths and a sender's link address that is a group's.
pub fn parse(bytes: &[u8]) -> Result<Packet, ParseError> {
    let b: &[u8; PACKET_LEN] = front(bytes)?;
    if u16_at(b, 0) != 1 || u16_at(b, 2) != super::ethernet::IPV4 {
        return Err(ParseError::Unsupported);
    }
    if b[4] != 6 || b[5] != 4 || super::ethernet::is_multicast([b[8], b[9], b[10], b[11], b[12], b[13]]) {
        return Err(ParseError::Malformed);
    }
    let operation = match u16_at(b, 6) {
        1 => Operation::Request,
        2 => Operation::Reply,
        _ => return Err(ParseError::Unsupported),
    };
    Ok(Packet {
        operation,
        sender_link: [b[8], b[9], b[10], b[11], b[12], b[13]],
        sender: Ipv4Addr::new(b[14], b[15], b[16], b[17]),
        target_link: [b[18], b[19], b[20], b[21], b[22], b[23]],
        target: Ipv4Addr::new(b[24], b[25], b[26], b[27]),
    })
}

/// Writes a packet: [`PACKET_LEN`] octets.
///
/// # Panics
/// If `out` is shorter.
pub fn emit(packet: &Packet, out: &mut [u8]) -> usize {
    let b: &mut [u8; PACKET_LEN] = room(out);
    b[0..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
    b[6..8].copy_from_slice(&(packet.operation as u16).to_be_bytes());
    b[8..14].copy_from_slice(&packet.sender_link);
    b[14..18].copy_from_slice(&packet.sender.octets());
    b[18..24].copy_from_slice(&packet.target_link);
    b[24..28].copy_from_slice(&packet.target.octets());
    PACKET_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves: 826-2.
    #[test]
    fn what_is_refused() {
        let packet = Packet {
            operation: Operation::Reply,
            sender_link: [2, 0, 0, 0, 0, 1],
            sender: Ipv4Addr::new(10, 0, 0, 1),
            target_link: [2, 0, 0, 0, 0, 2],
            target: Ipv4Addr::new(10, 0, 0, 2),
        };
        let mut out = [0; 46];
        assert_eq!(emit(&packet, &mut out), PACKET_LEN);
        assert_eq!(parse(&out), Ok(packet));
        assert_eq!(parse(&out[..27]), Err(ParseError::Truncated));
        for (at, value, error) in [
            (1, 6, ParseError::Unsupported),
            (3, 6, ParseError::Unsupported),
            (7, 3, ParseError::Unsupported),
            (4, 8, ParseError::Malformed),
            (5, 16, ParseError::Malformed),
            (8, 1, ParseError::Malformed),
        ] {
            let mut bad = out;
            bad[at] = value;
            assert_eq!(parse(&bad), Err(error), "octet {at}");
        }
    }
}
