//! Protocol numbers: IPv4's protocol field and IPv6's next header (IANA "Assigned Internet Protocol Numbers").

/// IPv6 hop-by-hop options; only right behind the IPv6 header.
pub const HOP_BY_HOP: u8 = 0;
/// ICMP for IPv4.
pub const ICMPV4: u8 = 1;
/// IGMP.
pub const IGMP: u8 = 2;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// IPv6 routing header.
pub const ROUTING: u8 = 43;
/// IPv6 fragment header.
pub const FRAGMENT: u8 = 44;
/// ICMP for IPv6.
pub const ICMPV6: u8 = 58;
/// IPv6: nothing follows.
pub const NO_NEXT_HEADER: u8 = 59;
/// IPv6 destination options.
pub const DESTINATION_OPTIONS: u8 = 60;
