//! The IPv6 header (RFC 8200 section 3).

use core::net::Ipv6Addr;

use super::{ParseError, front, room, u16_at, u32_at};

/// Octets of the header.
pub const HEADER_LEN: usize = 40;
/// Every link carries packets of this size (RFC 8200 section 5).
pub const MIN_MTU: usize = 1280;

/// An IPv6 header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// From whom.
    pub source: Ipv6Addr,
    /// To whom.
    pub destination: Ipv6Addr,
    /// What follows: a number of [`super::protocol`].
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label, 20 bits (RFC 6437).
    pub flow_label: u32,
    /// Octets behind this header, extension headers included. Emit writes at most 65,535; a super-segment may have more.
    pub payload_len: usize,
}

impl Header {
    /// A header for `payload_len` octets with the defaults of a host: hop limit 64.
    pub fn new(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload_len: usize) -> Header {
        Header {
            source,
            destination,
            next_header,
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            payload_len,
        }
    }
    /// Octets of the packet.
    #[inline]
    pub fn total_len(&self) -> usize {
        HEADER_LEN + self.payload_len
    }
}

/// Reads a header. `packet_len` is what was received from the header's first octet on; it may exceed
/// [`Header::total_len`] by link padding, which the caller cuts off.
///
/// # Errors
/// [`ParseError::Truncated`], [`ParseError::Malformed`] (version).
#[inline]
pub fn parse(bytes: &[u8], packet_len: usize) -> Result<Header, ParseError> {
    let header = parse_embedded(bytes)?;
    if header.total_len() > packet_len {
        return Err(ParseError::Truncated);
    }
    Ok(header)
}

/// Reads a header that is quoted in an ICMPv6 error: its payload length, which counts what was not quoted, is not
/// looked at.
///
/// # Errors
/// [`ParseError::Truncated`], [`ParseError::Malformed`] (version).
#[inline]
pub fn parse_embedded(bytes: &[u8]) -> Result<Header, ParseError> {
    let b: &[u8; HEADER_LEN] = front(bytes)?;
    let first = u32_at(b, 0);
    if first >> 28 != 6 {
        return Err(ParseError::Malformed);
    }
    Ok(Header {
        source: address(b, 8),
        destination: address(b, 24),
        next_header: b[6],
        hop_limit: b[7],
        traffic_class: (first >> 20) as u8,
        flow_label: first & 0xf_ffff,
        payload_len: usize::from(u16_at(b, 4)),
    })
}

/// Gives a header another payload length; everything else stays.
///
/// # Panics
/// If `header` is shorter than 40 octets.
#[inline]
pub fn amend(header: &mut [u8], payload_len: usize) {
    let b: &mut [u8; HEADER_LEN] = room(header);
    let len = u16::try_from(payload_len).unwrap_or(u16::MAX);
    b[4..6].copy_from_slice(&len.to_be_bytes());
}

/// Writes a header: [`HEADER_LEN`] octets.
///
/// # Panics
/// If `out` is shorter.
#[inline]
pub fn emit(header: &Header, out: &mut [u8]) -> usize {
    let b: &mut [u8; HEADER_LEN] = room(out);
    let first = 6 << 28 | u32::from(header.traffic_class) << 20 | header.flow_label & 0xf_ffff;
    let len = u16::try_from(header.payload_len).unwrap_or(u16::MAX);
    b[0..4].copy_from_slice(&first.to_be_bytes());
    b[4..6].copy_from_slice(&len.to_be_bytes());
    b[6] = header.next_header;
    b[7] = header.hop_limit;
    b[8..24].copy_from_slice(&header.source.octets());
    b[24..40].copy_from_slice(&header.destination.octets());
    HEADER_LEN
}

/// Takes one from the hop limit, as a router does. Returns whether any is left; otherwise nothing is changed.
///
/// # Panics
/// If `packet` is shorter than a header.
#[must_use]
pub fn decrement_hop_limit(packet: &mut [u8]) -> bool {
    let b: &mut [u8; HEADER_LEN] = room(packet);
    if b[7] <= 1 {
        return false;
    }
    b[7] -= 1;
    true
}

/// The address at `at`.
#[inline]
pub(crate) fn address<const N: usize>(b: &[u8; N], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&b[at..at + 16]);
    Ipv6Addr::from(octets)
}

/// The solicited-node multicast address of `address` (RFC 4291 section 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | a & 0xff, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_version() {
        let header = Header {
            traffic_class: 0xb9,
            flow_label: 0xfedcb,
            ..Header::new(Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED, 17, 8)
        };
        let mut out = [0xee; HEADER_LEN];
        assert_eq!(emit(&header, &mut out), HEADER_LEN);
        assert_eq!(out[..8], [0x6b, 0x9f, 0xed, 0xcb, 0, 8, 17, 64]);
        assert_eq!(parse(&out, 48), Ok(header));
        assert_eq!(parse(&out, 47), Err(ParseError::Truncated));
        assert_eq!(parse(&out[..39], 48), Err(ParseError::Truncated));
        out[0] = 0x4b;
        assert_eq!(parse(&out, 48), Err(ParseError::Malformed));
    }

    #[test]
    fn hop_limit_runs_out() {
        let mut out = [0; HEADER_LEN];
        out[7] = 2;
        assert!(decrement_hop_limit(&mut out));
        assert!(!decrement_hop_limit(&mut out));
        assert_eq!(out[7], 1);
    }

    /// RFC 4291 section 2.7.1's example.
    #[test]
    fn solicited_node_address() {
        let address = Ipv6Addr::new(0x4037, 0, 0, 0, 1, 0x800, 0x200e, 0x8c6c);
        let expected = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff0e, 0x8c6c);
        assert_eq!(solicited_node(address), expected);
    }
}
