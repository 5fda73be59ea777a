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
    if fragment.more && (data == 0 || data % 8 != 0) {
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
