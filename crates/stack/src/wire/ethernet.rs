//! Ethernet II (RFC 894, RFC 2464), with one optional IEEE 802.1Q tag.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ParseError, front, room, u16_at};

/// A link address.
pub type Address = [u8; 6];

/// To everybody on the link.
pub const BROADCAST: Address = [0xff; 6];
/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of an 802.1Q tag.
const VLAN: u16 = 0x8100;
/// Octets of a header without tag.
pub const HEADER_LEN: usize = 14;
/// Octets of a header with a tag.
pub const TAGGED_LEN: usize = 18;

/// An Ethernet header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// To whom.
    pub destination: Address,
    /// From whom.
    pub source: Address,
    /// What the payload is, behind the tag if there is one. Below 0x0600 it is an IEEE 802.3 length, which nothing here
    /// speaks.
    pub ethertype: u16,
    /// The 802.1Q tag: priority and VLAN id.
    pub vlan: Option<u16>,
}

impl Header {
    /// Octets that the header takes.
    #[inline]
    pub fn len(&self) -> usize {
        if self.vlan.is_some() {
            TAGGED_LEN
        } else {
            HEADER_LEN
        }
    }
    /// Never: a header takes at least [`HEADER_LEN`] octets.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// Reads a header; the payload starts at [`Header::len`].
///
/// # Errors
/// [`ParseError::Truncated`].
#[inline]
pub fn parse(bytes: &[u8]) -> Result<Header, ParseError> {
    let b: &[u8; HEADER_LEN] = front(bytes)?;
    let mut header = Header {
        destination: [b[0], b[1], b[2], b[3], b[4], b[5]],
        source: [b[6], b[7], b[8], b[9], b[10], b[11]],
        ethertype: u16_at(b, 12),
        vlan: None,
    };
    if header.ethertype == VLAN {
        let b: &[u8; TAGGED_LEN] = front(bytes)?;
        header.vlan = Some(u16_at(b, 14));
        header.ethertype = u16_at(b, 16);
    }
    Ok(header)
}

/// Writes a header: [`Header::len`] octets.
///
/// # Panics
/// If `out` is shorter.
#[inline]
pub fn emit(header: &Header, out: &mut [u8]) -> usize {
    let b: &mut [u8; HEADER_LEN] = room(out);
    b[0..6].copy_from_slice(&header.destination);
    b[6..12].copy_from_slice(&header.source);
    match header.vlan {
        None => b[12..14].copy_from_slice(&header.ethertype.to_be_bytes()),
        Some(tag) => {
            let b: &mut [u8; TAGGED_LEN] = room(out);
            b[12..14].copy_from_slice(&VLAN.to_be_bytes());
            b[14..16].copy_from_slice(&tag.to_be_bytes());
            b[16..18].copy_from_slice(&header.ethertype.to_be_bytes());
        }
    }
    header.len()
}

/// Whether the address is a group's (broadcast included).
#[inline]
pub fn is_multicast(address: Address) -> bool {
    address[0] & 1 == 1
}

/// The group address that stands for an IPv4 multicast address (RFC 1112 section 6.4).
pub fn multicast_v4(group: Ipv4Addr) -> Address {
    let [_, b, c, d] = group.octets();
    [0x01, 0x00, 0x5e, b & 0x7f, c, d]
}

/// The group address that stands for an IPv6 multicast address (RFC 2464 section 7).
pub fn multicast_v6(group: Ipv6Addr) -> Address {
    let o = group.octets();
    [0x33, 0x33, o[12], o[13], o[14], o[15]]
}

/// The group address that stands for a multicast address.
pub fn multicast(group: IpAddr) -> Address {
    match group {
        IpAddr::V4(g) => multicast_v4(g),
        IpAddr::V6(g) => multicast_v6(g),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_on_the_link() {
        let v4 = Ipv4Addr::new(239, 129, 2, 3);
        assert_eq!(multicast(v4.into()), [1, 0, 0x5e, 1, 2, 3]);
        let v6 = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff12, 0x3456);
        assert_eq!(multicast(v6.into()), [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        assert!(
            is_multicast(BROADCAST) && is_multicast(multicast_v4(v4)) && !is_multicast([2, 0, 0, 0, 0, 1])
        );
    }

    #[test]
    fn a_tag_moves_the_payload() {
        let mut header = Header {
            destination: BROADCAST,
            source: [2, 0, 0, 0, 0, 1],
            ethertype: ARP,
            vlan: Some(0x2064),
        };
        let mut out = [0; TAGGED_LEN];
        assert_eq!(emit(&header, &mut out), TAGGED_LEN);
        assert_eq!(out[12..], [0x81, 0, 0x20, 0x64, 8, 6]);
        assert_eq!(parse(&out), Ok(header));
        assert_eq!(parse(&out[..17]), Err(ParseError::Truncated));
        header.vlan = None;
        assert_eq!(emit(&header, &mut out), HEADER_LEN);
        assert_eq!(parse(&out[..HEADER_LEN]), Ok(header));
    }
}
