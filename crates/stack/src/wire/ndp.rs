//! Neighbour discovery for IPv6 over Ethernet (RFC 4861, RFC 4862).

use core::net::Ipv6Addr;

use super::ethernet::Address;
use super::{ParseError, front, ipv6, room, u16_at, u32_at};

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

const SOURCE_LINK_ADDRESS: u8 = 1;
const TARGET_LINK_ADDRESS: u8 = 2;
const PREFIX_INFORMATION: u8 = 3;
const MTU: u8 = 5;

/// Octets that [`emit`] writes at most: a neighbour message with a link address.
pub const MAX_NEIGHBOR_LEN: usize = 32;

/// A message that passed RFC 4861's checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// A host looks for routers.
    RouterSolicitation {
        /// The sender's link address.
        source_link: Option<Address>,
    },
    /// A router tells of itself and its prefixes.
    RouterAdvertisement {
        /// What it says of itself.
        advertisement: RouterAdvertisement,
        /// Its options, for [`prefixes`].
        options: &'a [u8],
    },
    /// Who has the target address? Also: are you still there? Also: is it free?
    NeighborSolicitation {
        /// The address asked for.
        target: Ipv6Addr,
        /// The sender's link address; none while it has no address (duplicate address detection).
        source_link: Option<Address>,
    },
    /// Somebody tells its link address.
    NeighborAdvertisement {
        /// The address it is about.
        target: Ipv6Addr,
        /// The sender is a router.
        router: bool,
        /// It answers a solicitation.
        solicited: bool,
        /// It replaces a link address that was known.
        override_known: bool,
        /// The target's link address.
        target_link: Option<Address>,
    },
    /// To be ignored here.
    Redirect,
}

/// What a router advertisement says beside prefixes (RFC 4861 section 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RouterAdvertisement {
    /// Hop limit to use; 0 if not said.
    pub hop_limit: u8,
    /// Addresses are to be had by DHCPv6.
    pub managed: bool,
    /// Other things are to be had by DHCPv6.
    pub other: bool,
    /// Seconds for which it is a default router; 0 if it is none.
    pub router_lifetime: u16,
    /// Milliseconds for which a neighbour counts as reachable once confirmed; 0 if not said.
    pub reachable_time: u32,
    /// Milliseconds between neighbour solicitations; 0 if not said.
    pub retrans_timer: u32,
    /// The router's link address.
    pub source_link: Option<Address>,
    /// The link's MTU.
    pub mtu: Option<u32>,
}

/// A prefix that a router tells of (RFC 4861 section 4.6.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefixInformation {
    /// The prefix; its bits behind `prefix_len` are to be ignored.
    pub prefix: Ipv6Addr,
    /// Bits of the prefix, up to 128.
    pub prefix_len: u8,
    /// Addresses of the prefix are on this link.
    pub on_link: bool,
    /// Hosts may make themselves an address of it (SLAAC).
    pub autonomous: bool,
    /// Seconds for which it is valid; `u32::MAX` is forever.
    pub valid_lifetime: u32,
    /// Seconds for which addresses of it are preferred; `u32::MAX` is forever.
    pub preferred_lifetime: u32,
}

/// Reads and checks a message: `message` is the whole ICMPv6 message, its checksum verified; `source`, `destination` and
/// `hop_limit` are the IPv6 header's.
///
/// # Errors
/// [`ParseError::HopLimit`] unless it is 255; [`ParseError::Truncated`]; [`ParseError::BadSource`];
/// [`ParseError::Malformed`] for what else RFC 4861 sections 6.1 and 7.1 forbid; [`ParseError::Unsupported`] for other
/// types.
pub fn parse(
    message: &[u8],
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
) -> Result<Message<'_>, ParseError> {
    if hop_limit != 255 {
        return Err(ParseError::HopLimit);
    }
    let b: &[u8; 8] = front(message)?;
    if b[1] != 0 {
        return Err(ParseError::Malformed);
    }
    match b[0] {
        ROUTER_SOLICITATION => router_solicitation(message, source),
        ROUTER_ADVERTISEMENT => router_advertisement(message, source),
        NEIGHBOR_SOLICITATION => neighbor_solicitation(message, source, destination),
        NEIGHBOR_ADVERTISEMENT => neighbor_advertisement(message, destination),
        REDIRECT => Ok(Message::Redirect),
        _ => Err(ParseError::Unsupported),
    }
}

fn router_solicitation(message: &[u8], source: Ipv6Addr) -> Result<Message<'_>, ParseError> {
    let found = read_options(&message[8..])?;
    if source.is_unspecified() && found.source_link.is_some() {
        return Err(ParseError::Malformed);
    }
    Ok(Message::RouterSolicitation {
        source_link: found.source_link,
    })
}

fn router_advertisement(message: &[u8], source: Ipv6Addr) -> Result<Message<'_>, ParseError> {
    if !source.is_unicast_link_local() {
        return Err(ParseError::BadSource);
    }
    let b: &[u8; 16] = front(message)?;
    let options = &message[16..];
    let found = read_options(options)?;
    Ok(Message::RouterAdvertisement {
        advertisement: RouterAdvertisement {
            hop_limit: b[4],
            managed: b[5] & 0x80 != 0,
            other: b[5] & 0x40 != 0,
            router_lifetime: u16_at(b, 6),
            reachable_time: u32_at(b, 8),
            retrans_timer: u32_at(b, 12),
            source_link: found.source_link,
            mtu: found.mtu,
        },
        options,
    })
}

fn neighbor_solicitation(
    message: &[u8],
    source: Ipv6Addr,
    destination: Ipv6Addr,
) -> Result<Message<'_>, ParseError> {
    let b: &[u8; 24] = front(message)?;
    let target = ipv6::address(b, 8);
    let found = read_options(&message[24..])?;
    if target.is_multicast() {
        return Err(ParseError::Malformed);
    }
    if source.is_unspecified() && (destination != ipv6::solicited_node(target) || found.source_link.is_some())
    {
        return Err(ParseError::Malformed);
    }
    Ok(Message::NeighborSolicitation {
        target,
        source_link: found.source_link,
    })
}

fn neighbor_advertisement(message: &[u8], destination: Ipv6Addr) -> Result<Message<'_>, ParseError> {
    let b: &[u8; 24] = front(message)?;
    let target = ipv6::address(b, 8);
    let found = read_options(&message[24..])?;
    let solicited = b[4] & 0x40 != 0;
    if target.is_multicast() || destination.is_multicast() && solicited {
        return Err(ParseError::Malformed);
    }
    Ok(Message::NeighborAdvertisement {
        target,
        router: b[4] & 0x80 != 0,
        solicited,
        override_known: b[4] & 0x20 != 0,
        target_link: found.target_link,
    })
}

/// The options that stand once in a message.
#[derive(Default)]
struct Found {
    source_link: Option<Address>,
    target_link: Option<Address>,
    mtu: Option<u32>,
}

fn read_options(bytes: &[u8]) -> Result<Found, ParseError> {
    let mut found = Found::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let option = next_option(&mut rest)?;
        let Some(b) = option.first_chunk::<8>() else {
            continue;
        };
        let link = [b[2], b[3], b[4], b[5], b[6], b[7]];
        match (b[0], b[1]) {
            (SOURCE_LINK_ADDRESS, 1) => found.source_link = Some(link),
            (TARGET_LINK_ADDRESS, 1) => found.target_link = Some(link),
            (MTU, 1) => found.mtu = Some(u32_at(b, 4)),
            _ => {}
        }
    }
    Ok(found)
}

/// Cuts the next option off, its type and length octets included. One of length zero makes the whole message invalid
/// (RFC 4861 section 4.6).
fn next_option<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], ParseError> {
    let len = match **rest {
        [_, 0, ..] => return Err(ParseError::Malformed),
        [_, len, ..] => usize::from(len) * 8,
        _ => return Err(ParseError::Truncated),
    };
    let (option, behind) = rest.split_at_checked(len).ok_or(ParseError::Truncated)?;
    *rest = behind;
    Ok(option)
}

/// The prefixes in a router advertisement's options. Those with more than 128 bits, and link-local ones, which are to
/// be ignored (RFC 4861 section 6.3.4), are left out.
pub fn prefixes(options: &[u8]) -> impl Iterator<Item = PrefixInformation> + '_ {
    let mut rest = options;
    core::iter::from_fn(move || next_option(&mut rest).ok()).filter_map(|option| {
        let b: &[u8; 32] = option.try_into().ok()?;
        let information = PrefixInformation {
            prefix: ipv6::address(b, 16),
            prefix_len: b[2],
            on_link: b[3] & 0x80 != 0,
            autonomous: b[3] & 0x40 != 0,
            valid_lifetime: u32_at(b, 4),
            preferred_lifetime: u32_at(b, 8),
        };
        let wanted = b[0] == PREFIX_INFORMATION
            && information.prefix_len <= 128
            && !information.prefix.is_unicast_link_local();
        wanted.then_some(information)
    })
}

/// Writes a message with checksum zero (see [`super::icmpv6::fill_checksum`]); returns its length. A router advertisement
/// comes out without prefixes ([`emit_router_advertisement`] writes them), a redirect as its first 8 octets.
///
/// # Panics
/// If `out` is shorter than [`emit_len`].
pub fn emit(message: &Message<'_>, out: &mut [u8]) -> usize {
    match *message {
        Message::RouterSolicitation { source_link } => {
            let b: &mut [u8; 8] = room(out);
            *b = [ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
            8 + emit_link(SOURCE_LINK_ADDRESS, source_link, &mut out[8..])
        }
        Message::RouterAdvertisement { advertisement, .. } => {
            emit_router_advertisement(&advertisement, &[], out)
        }
        Message::NeighborSolicitation { target, source_link } => {
            emit_neighbor(NEIGHBOR_SOLICITATION, 0, target, out);
            24 + emit_link(SOURCE_LINK_ADDRESS, source_link, &mut out[24..])
        }
        Message::NeighborAdvertisement {
            target,
            router,
            solicited,
            override_known,
            target_link,
        } => {
            let flags = u8::from(router) << 7 | u8::from(solicited) << 6 | u8::from(override_known) << 5;
            emit_neighbor(NEIGHBOR_ADVERTISEMENT, flags, target, out);
            24 + emit_link(TARGET_LINK_ADDRESS, target_link, &mut out[24..])
        }
        Message::Redirect => {
            let b: &mut [u8; 8] = room(out);
            *b = [REDIRECT, 0, 0, 0, 0, 0, 0, 0];
            8
        }
    }
}

/// Octets that [`emit`] writes for this message.
pub fn emit_len(message: &Message<'_>) -> usize {
    let link = |l: Option<Address>| if l.is_some() { 8 } else { 0 };
    match *message {
        Message::RouterSolicitation { source_link } => 8 + link(source_link),
        Message::RouterAdvertisement { advertisement, .. } => router_advertisement_len(&advertisement, 0),
        Message::NeighborSolicitation { source_link, .. } => 24 + link(source_link),
        Message::NeighborAdvertisement { target_link, .. } => 24 + link(target_link),
        Message::Redirect => 8,
    }
}

/// Octets that [`emit_router_advertisement`] writes.
pub fn router_advertisement_len(advertisement: &RouterAdvertisement, prefixes: usize) -> usize {
    let link = if advertisement.source_link.is_some() { 8 } else { 0 };
    let mtu = if advertisement.mtu.is_some() { 8 } else { 0 };
    16 + link + mtu + 32 * prefixes
}

/// Writes a router advertisement with checksum zero; returns its length.
///
/// # Panics
/// If `out` is shorter than [`router_advertisement_len`].
pub fn emit_router_advertisement(
    advertisement: &RouterAdvertisement,
    prefixes: &[PrefixInformation],
    out: &mut [u8],
) -> usize {
    let b: &mut [u8; 16] = room(out);
    b[0..4].copy_from_slice(&[ROUTER_ADVERTISEMENT, 0, 0, 0]);
    b[4] = advertisement.hop_limit;
    b[5] = u8::from(advertisement.managed) << 7 | u8::from(advertisement.other) << 6;
    b[6..8].copy_from_slice(&advertisement.router_lifetime.to_be_bytes());
    b[8..12].copy_from_slice(&advertisement.reachable_time.to_be_bytes());
    b[12..16].copy_from_slice(&advertisement.retrans_timer.to_be_bytes());
    let mut at = 16;
    at += emit_link(SOURCE_LINK_ADDRESS, advertisement.source_link, &mut out[at..]);
    if let Some(mtu) = advertisement.mtu {
        let b: &mut [u8; 8] = room(&mut out[at..]);
        b[0..4].copy_from_slice(&[MTU, 1, 0, 0]);
        b[4..8].copy_from_slice(&mtu.to_be_bytes());
        at += 8;
    }
    for p in prefixes {
        let b: &mut [u8; 32] = room(&mut out[at..]);
        let flags = u8::from(p.on_link) << 7 | u8::from(p.autonomous) << 6;
        b[0..4].copy_from_slice(&[PREFIX_INFORMATION, 4, p.prefix_len, flags]);
        b[4..8].copy_from_slice(&p.valid_lifetime.to_be_bytes());
        b[8..12].copy_from_slice(&p.preferred_lifetime.to_be_bytes());
        b[12..16].fill(0);
        b[16..32].copy_from_slice(&p.prefix.octets());
        at += 32;
    }
    at
}

fn emit_neighbor(kind: u8, flags: u8, target: Ipv6Addr, out: &mut [u8]) {
    let b: &mut [u8; 24] = room(out);
    b[0..8].copy_from_slice(&[kind, 0, 0, 0, flags, 0, 0, 0]);
    b[8..24].copy_from_slice(&target.octets());
}

fn emit_link(kind: u8, link: Option<Address>, out: &mut [u8]) -> usize {
    let Some(link) = link else {
        return 0;
    };
    let b: &mut [u8; 8] = room(out);
    b[0..2].copy_from_slice(&[kind, 1]);
    b[2..8].copy_from_slice(&link);
    8
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const NONE: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
    const LINK: Option<Address> = Some([2, 0, 0, 0, 0, 1]);

    fn sent(message: Message<'_>, source: Ipv6Addr, to: Ipv6Addr) -> Result<(), ParseError> {
        let mut out = [0; 64];
        let len = emit(&message, &mut out);
        assert_eq!(len, emit_len(&message));
        parse(&out[..len], source, to, 255).map(|read| assert_eq!(read, message))
    }

    /// RFC 4861 sections 6.1.1 and 7.1.1: what a sender without an address may say.
    #[test]
    fn solicitations_without_a_source() {
        let routers = |source_link| Message::RouterSolicitation { source_link };
        assert_eq!(sent(routers(LINK), LOCAL, LOCAL), Ok(()));
        assert_eq!(sent(routers(None), NONE, LOCAL), Ok(()));
        assert_eq!(sent(routers(LINK), NONE, LOCAL), Err(ParseError::Malformed));
        let neighbor = |source_link| Message::NeighborSolicitation {
            target: GLOBAL,
            source_link,
        };
        assert_eq!(sent(neighbor(LINK), LOCAL, GLOBAL), Ok(()));
        assert_eq!(sent(neighbor(None), NONE, ipv6::solicited_node(GLOBAL)), Ok(()));
        assert_eq!(sent(neighbor(None), NONE, GLOBAL), Err(ParseError::Malformed));
        let (to, message) = (ipv6::solicited_node(GLOBAL), neighbor(LINK));
        assert_eq!(sent(message, NONE, to), Err(ParseError::Malformed));
    }

    /// RFC 4861 section 7.1.2.
    #[test]
    fn advertisements_of_neighbors() {
        let message = |target, solicited| Message::NeighborAdvertisement {
            target,
            router: true,
            solicited,
            override_known: true,
            target_link: LINK,
        };
        let all = super::super::mld::ALL_NODES;
        assert_eq!(sent(message(GLOBAL, true), LOCAL, GLOBAL), Ok(()));
        assert_eq!(sent(message(GLOBAL, false), LOCAL, all), Ok(()));
        assert_eq!(
            sent(message(GLOBAL, true), LOCAL, all),
            Err(ParseError::Malformed)
        );
        assert_eq!(
            sent(message(all, false), LOCAL, GLOBAL),
            Err(ParseError::Malformed)
        );
    }

    /// Proves: 4861-6.
    #[test]
    fn router_advertisement_with_its_options() {
        let advertisement = RouterAdvertisement {
            hop_limit: 64,
            managed: false,
            other: true,
            router_lifetime: 1800,
            reachable_time: 30_000,
            retrans_timer: 1000,
            source_link: LINK,
            mtu: Some(1400),
        };
        let prefix = |prefix, prefix_len| PrefixInformation {
            prefix,
            prefix_len,
            on_link: true,
            autonomous: true,
            valid_lifetime: 86_400,
            preferred_lifetime: 14_400,
        };
        let made = [prefix(GLOBAL, 64), prefix(LOCAL, 64), prefix(GLOBAL, 129)];
        let mut out = [0; 256];
        let len = emit_router_advertisement(&advertisement, &made, &mut out);
        assert_eq!(len, router_advertisement_len(&advertisement, 3));
        let read = parse(&out[..len], LOCAL, LOCAL, 255).unwrap();
        let Message::RouterAdvertisement {
            advertisement: again,
            options,
        } = read
        else {
            panic!("{read:?}")
        };
        assert_eq!(again, advertisement);
        // Link-local prefixes, and those that are too long, are ignored.
        assert!(prefixes(options).eq([made[0]]));
        assert_eq!(parse(&out[..len], GLOBAL, LOCAL, 255), Err(ParseError::BadSource));
        assert_eq!(parse(&out[..len], LOCAL, LOCAL, 254), Err(ParseError::HopLimit));
        assert_eq!(
            parse(&out[..len - 1], LOCAL, LOCAL, 255),
            Err(ParseError::Truncated)
        );
        out[17] = 0;
        assert_eq!(parse(&out[..len], LOCAL, LOCAL, 255), Err(ParseError::Malformed));
        out[1] = 1;
        assert_eq!(parse(&out[..len], LOCAL, LOCAL, 255), Err(ParseError::Malformed));
    }

    #[test]
    fn redirects_are_known_and_no_more() {
        assert_eq!(sent(Message::Redirect, LOCAL, GLOBAL), Ok(()));
    }
}
