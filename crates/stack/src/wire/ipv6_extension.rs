//! IPv6 extension headers (RFC 8200 section 4): a bounded walk to the upper protocol, and the few that we write.

use super::{ParseError, front, icmpv6, ipv6, protocol, room, u16_at, u32_at};

/// Headers that a packet may have between the IPv6 header and the upper protocol. RFC 8200 section 4.1 names four for a
/// packet to a host, one of which may come twice; who sends more costs us time only (RFC 8504 section 5.3).
pub const MAX_HEADERS: usize = 8;
/// Octets of a fragment header.
pub const FRAGMENT_LEN: usize = 8;
/// Octets of a hop-by-hop header with a router alert.
pub const ROUTER_ALERT_LEN: usize = 8;

/// Where a walk over extension headers ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Upper {
    /// The upper protocol (or whatever else we do not walk over); of a fragment that is not the whole datagram, what
    /// its fragmentable part starts with.
    pub protocol: u8,
    /// Offset of its first octet; of a fragment, of the fragment's data.
    pub offset: usize,
    /// Offset of the next-header field that named it: the pointer of a parameter problem "unrecognised next header",
    /// and what reassembly has to change.
    pub next_header_at: usize,
    /// The fragment header, if there is one.
    pub fragment: Option<Fragment>,
    /// The value of a router alert option (RFC 2711).
    pub router_alert: Option<u16>,
}

/// A fragment header (RFC 8200 section 4.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// Where its data stands in the fragmentable part, in octets: a multiple of 8.
    pub offset: u16,
    /// Another fragment follows.
    pub more: bool,
    /// Tells fragments of one datagram from those of another.
    pub identification: u32,
    /// Offset of the fragment header in the packet: the length of the unfragmentable part.
    pub header_at: usize,
    /// Offset of the next-header field that named the fragment header: where reassembly writes [`Upper::protocol`].
    pub named_at: usize,
}

impl Fragment {
    /// Whether it is a whole datagram all the same (RFC 6946).
    #[inline]
    pub fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// Why a packet is dropped on the walk, and what to tell its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// What to count.
    pub reason: ParseError,
    /// The ICMPv6 error that is due. It goes through the usual rules on when errors may be sent, but for
    /// [`Problem::to_multicast`].
    pub reply: Option<Problem>,
}

/// An ICMPv6 parameter problem that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Problem {
    /// One of [`icmpv6::PROBLEM_HEADER_FIELD`] and its neighbours.
    pub code: u8,
    /// Offset of the octet that is the problem.
    pub pointer: u32,
    /// Due even if the packet went to a multicast address (option action bits 10).
    pub to_multicast: bool,
}

impl From<ParseError> for Refused {
    fn from(reason: ParseError) -> Refused {
        Refused { reason, reply: None }
    }
}

fn problem(reason: ParseError, code: u8, pointer: usize) -> Refused {
    Refused {
        reason,
        reply: Some(Problem {
            code,
            pointer: pointer as u32,
            to_multicast: false,
        }),
    }
}

/// Walks the extension headers of a packet whose IPv6 header is `header`. `packet` starts with that header and holds
/// all extension headers contiguously (pull up the frame when they reach beyond its front).
///
/// The walk ends at the upper protocol, at "no next header", or behind a fragment header, unless the fragment is the
/// whole datagram. A reassembled datagram is walked again, from its start, with the fragment header cut out.
///
/// # Errors
/// [`Refused`]; nothing of the packet is to be processed. An error whose reply has `to_multicast` unset must not be
/// sent when the packet went to a multicast address.
#[inline]
pub fn walk(header: &ipv6::Header, packet: &[u8]) -> Result<Upper, Refused> {
    match header.next_header {
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::DESTINATION_OPTIONS => {
            walk_headers(header, packet)
        }
        other => Ok(Upper {
            protocol: other,
            offset: ipv6::HEADER_LEN,
            next_header_at: 6,
            fragment: None,
            router_alert: None,
        }),
    }
}

#[cold]
fn walk_headers(header: &ipv6::Header, packet: &[u8]) -> Result<Upper, Refused> {
    let packet = &packet[..packet.len().min(header.total_len())];
    let mut at = Upper {
        protocol: header.next_header,
        offset: ipv6::HEADER_LEN,
        next_header_at: 6,
        fragment: None,
        router_alert: None,
    };
    for _ in 0..=MAX_HEADERS {
        let len = match at.protocol {
            // Only right behind the IPv6 header; elsewhere it counts as unrecognised (RFC 8200 section 4).
            protocol::HOP_BY_HOP if at.offset == ipv6::HEADER_LEN => {
                let len = header_len(packet, at.offset)?;
                walk_options(packet, at.offset, len, &mut at.router_alert)?;
                len
            }
            protocol::DESTINATION_OPTIONS => {
                let len = header_len(packet, at.offset)?;
                walk_options(packet, at.offset, len, &mut None)?;
                len
            }
            protocol::ROUTING => walk_routing(packet, at.offset)?,
            protocol::FRAGMENT => {
                if at.fragment.is_some() {
                    return Err(ParseError::Malformed.into());
                }
                let fragment = parse_fragment(header, packet, &at)?;
                at.fragment = Some(fragment);
                FRAGMENT_LEN
            }
            protocol::HOP_BY_HOP => {
                let code = icmpv6::PROBLEM_NEXT_HEADER;
                return Err(problem(ParseError::Unsupported, code, at.next_header_at));
            }
            _ => return Ok(at),
        };
        at.protocol = packet[at.offset];
        at.next_header_at = at.offset;
        at.offset += len;
        if at.fragment.is_some_and(|f| !f.is_atomic()) {
            return Ok(at);
        }
    }
    Err(ParseError::Malformed.into())
}

/// The length of the options or routing header at `at`, all of which is there.
fn header_len(packet: &[u8], at: usize) -> Result<usize, ParseError> {
    let b: &[u8; 2] = front(packet.get(at..).unwrap_or_default())?;
    let len = (usize::from(b[1]) + 1) * 8;
    if len > packet.len() - at {
        return Err(ParseError::Truncated);
    }
    Ok(len)
}

/// Goes over the options of a header. The two high bits of an unknown one's type say what becomes of the packet
/// (RFC 8200 section 4.2).
fn walk_options(packet: &[u8], start: usize, len: usize, alert: &mut Option<u16>) -> Result<(), Refused> {
    let end = start + len;
    let mut at = start + 2;
    while at < end {
        let kind = packet[at];
        if kind == OPTION_PAD1 {
            at += 1;
            continue;
        }
        let data = match packet[at + 1..end].split_first() {
            Some((&n, rest)) if usize::from(n) <= rest.len() => &rest[..usize::from(n)],
            _ => return Err(ParseError::Malformed.into()),
        };
        match (kind, data) {
            (OPTION_PADN, _) => {}
            (OPTION_ROUTER_ALERT, &[a, b]) => *alert = Some(u16::from_be_bytes([a, b])),
            _ => match kind >> 6 {
                0b00 => {}
                0b01 => return Err(ParseError::Unsupported.into()),
                action => {
                    let mut refused = problem(ParseError::Unsupported, icmpv6::PROBLEM_OPTION, at);
                    if let Some(reply) = &mut refused.reply {
                        reply.to_multicast = action == 0b10;
                    }
                    return Err(refused);
                }
            },
        }
        at += 2 + data.len();
    }
    Ok(())
}

const OPTION_PAD1: u8 = 0;
const OPTION_PADN: u8 = 1;
const OPTION_ROUTER_ALERT: u8 = 5;

/// Passes over a routing header that has done its work. We know no routing type, so one with segments left is an error
/// (RFC 8200 section 4.4; type 0: RFC 5095 section 3).
fn walk_routing(packet: &[u8], at: usize) -> Result<usize, Refused> {
    let len = header_len(packet, at)?;
    if packet[at + 3] != 0 {
        let code = icmpv6::PROBLEM_HEADER_FIELD;
        return Err(problem(ParseError::SourceRoute, code, at + 2));
    }
    Ok(len)
}

/// Reads a fragment header and checks what RFC 8200 section 4.5 says of lengths.
fn parse_fragment(header: &ipv6::Header, packet: &[u8], at: &Upper) -> Result<Fragment, Refused> {
    let b: &[u8; FRAGMENT_LEN] = front(packet.get(at.offset..).unwrap_or_default())?;
    let word = u16_at(b, 2);
    let fragment = Fragment {
        offset: word & !7,
        more: word & 1 != 0,
        identification: u32_at(b, 4),
        header_at: at.offset,
        named_at: at.next_header_at,
    };
    let data = header.total_len() - at.offset - FRAGMENT_LEN;
    let code = icmpv6::PROBLEM_HEADER_FIELD;
    if fragment.more && (data == 0 || !data.is_multiple_of(8)) {
        // Points at the payload length of the IPv6 header.
        return Err(problem(ParseError::BadFragment, code, 4));
    }
    let unfragmentable = at.offset - ipv6::HEADER_LEN;
    if !fragment.is_atomic() && unfragmentable + usize::from(fragment.offset) + data > 65_535 {
        return Err(problem(ParseError::BadFragment, code, at.offset + 2));
    }
    Ok(fragment)
}

/// Writes a fragment header: [`FRAGMENT_LEN`] octets. Of `fragment`, the two positions are not looked at.
///
/// # Panics
/// If `out` is shorter.
pub fn emit_fragment(next_header: u8, offset: u16, more: bool, identification: u32, out: &mut [u8]) -> usize {
    let b: &mut [u8; FRAGMENT_LEN] = room(out);
    b[0] = next_header;
    b[1] = 0;
    b[2..4].copy_from_slice(&(offset & !7 | u16::from(more)).to_be_bytes());
    b[4..8].copy_from_slice(&identification.to_be_bytes());
    FRAGMENT_LEN
}

/// Writes a hop-by-hop header with a router alert for MLD (RFC 2711 value 0): [`ROUTER_ALERT_LEN`] octets.
///
/// # Panics
/// If `out` is shorter.
pub fn emit_router_alert(next_header: u8, out: &mut [u8]) -> usize {
    let b: &mut [u8; ROUTER_ALERT_LEN] = room(out);
    *b = [next_header, 0, OPTION_ROUTER_ALERT, 2, 0, 0, OPTION_PADN, 0];
    ROUTER_ALERT_LEN
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::net::Ipv6Addr;

    fn walked(next_header: u8, behind: &[u8]) -> Result<Upper, Refused> {
        let a = Ipv6Addr::LOCALHOST;
        let header = ipv6::Header::new(a, a, next_header, behind.len());
        let mut packet = Vec::from([0; ipv6::HEADER_LEN]);
        ipv6::emit(&header, &mut packet);
        packet.extend_from_slice(behind);
        walk(&header, &packet)
    }
    fn reply(next_header: u8, behind: &[u8]) -> Option<(u8, u32, bool)> {
        let refused = walked(next_header, behind).unwrap_err();
        refused.reply.map(|p| (p.code, p.pointer, p.to_multicast))
    }

    #[test]
    fn a_chain_ends_at_the_upper_protocol() {
        let mut behind = [0; 40];
        emit_router_alert(60, &mut behind);
        behind[8..16].copy_from_slice(&[43, 0, 1, 4, 0, 0, 0, 0]);
        behind[16..24].copy_from_slice(&[44, 0, 9, 0, 0, 0, 0, 0]);
        emit_fragment(17, 0, false, 7, &mut behind[24..]);
        let upper = walked(0, &behind).unwrap();
        assert_eq!((upper.protocol, upper.offset, upper.next_header_at), (17, 72, 64));
        assert_eq!(upper.router_alert, Some(0));
        let fragment = upper.fragment.unwrap();
        assert_eq!(
            (fragment.identification, fragment.header_at, fragment.named_at),
            (7, 64, 56)
        );
        assert!(fragment.is_atomic());
        let plain = walked(6, &[]).unwrap();
        assert_eq!((plain.protocol, plain.offset, plain.next_header_at), (6, 40, 6));
    }

    /// RFC 8200 section 4.2: the two high bits of an unknown option's type.
    ///
    /// Proves: 8200-1.
    #[test]
    fn option_action_bits() {
        let option = |kind| [59, 0, 1, 0, kind, 2, 0, 0];
        for header in [0, 60] {
            assert_eq!(walked(header, &option(0x1e)).unwrap().protocol, 59);
            assert_eq!(reply(header, &option(0x5e)), None);
            assert_eq!(reply(header, &option(0x9e)), Some((2, 44, true)));
            assert_eq!(reply(header, &option(0xde)), Some((2, 44, false)));
        }
        // A jumbo payload option is unknown here (RFC 2675).
        assert_eq!(reply(0, &[6, 0, 0xc2, 4, 0, 1, 0, 0]), Some((2, 42, false)));
    }

    #[test]
    fn options_that_do_not_fit() {
        assert_eq!(
            walked(60, &[6, 0, 1, 5, 0, 0, 0, 0]),
            Err(ParseError::Malformed.into())
        );
        assert_eq!(
            walked(60, &[6, 0, 0, 0, 0, 0, 0, 1]),
            Err(ParseError::Malformed.into())
        );
        assert_eq!(
            walked(60, &[6, 1, 1, 4, 0, 0, 0, 0]),
            Err(ParseError::Truncated.into())
        );
        assert_eq!(walked(60, &[]), Err(ParseError::Truncated.into()));
    }

    /// Proves: 8200-2.
    #[test]
    fn hop_by_hop_elsewhere_is_unrecognised() {
        let behind = [0, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(reply(60, &behind), Some((1, 40, false)));
        assert_eq!(reply(0, &behind), Some((1, 40, false)));
    }

    /// RFC 8200 section 4.4, RFC 5095.
    ///
    /// Proves: 8200-3.
    #[test]
    fn routing_headers() {
        let routing = |kind, left| [59, 0, kind, left, 0, 0, 0, 0];
        assert!(walked(43, &routing(0, 0)).is_ok());
        for kind in [0, 2, 3, 99] {
            assert_eq!(reply(43, &routing(kind, 1)), Some((0, 42, false)));
        }
    }

    /// RFC 8200 section 4.5.
    ///
    /// Proves: 8200-6.
    #[test]
    fn fragments() {
        let fragment = |offset, more, data: usize| {
            let mut behind = Vec::from([0; FRAGMENT_LEN]);
            emit_fragment(17, offset, more, 1, &mut behind);
            behind.resize(FRAGMENT_LEN + data, 0);
            behind
        };
        let upper = walked(44, &fragment(1232, true, 16)).unwrap();
        let found = upper.fragment.unwrap();
        assert_eq!(
            (upper.protocol, upper.offset, found.offset, found.more),
            (17, 48, 1232, true)
        );
        assert_eq!(reply(44, &fragment(0, true, 15)), Some((0, 4, false)));
        assert_eq!(reply(44, &fragment(0, true, 0)), Some((0, 4, false)));
        assert!(walked(44, &fragment(65_520, false, 15)).is_ok());
        assert_eq!(reply(44, &fragment(65_520, false, 16)), Some((0, 42, false)));
        assert_eq!(walked(44, &[17, 0, 0, 1]), Err(ParseError::Truncated.into()));
        let mut twice = fragment(0, false, 8);
        twice[0] = 44;
        assert_eq!(walked(44, &twice), Err(ParseError::Malformed.into()));
    }

    #[test]
    fn the_walk_is_bounded() {
        let options = [60, 0, 1, 4, 0, 0, 0, 0];
        let mut chain = options.repeat(MAX_HEADERS);
        chain[8 * MAX_HEADERS - 8] = 17;
        assert_eq!(walked(60, &chain).unwrap().protocol, 17);
        let mut chain = options.repeat(MAX_HEADERS + 1);
        chain[8 * MAX_HEADERS] = 17;
        assert_eq!(walked(60, &chain), Err(ParseError::Malformed.into()));
    }
}
