//! What kind of address it is, and arithmetic on prefixes.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Cidr;

/// What kind of address it is (IANA's special-purpose registries, RFC 6890).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum AddressClass {
    /// No address: `0.0.0.0` (and the rest of `0.0.0.0/8`), `::`.
    Unspecified,
    /// This host: `127.0.0.0/8`, `::1`.
    Loopback,
    /// This link only: `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// A private network: `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16` (RFC 1918), `fc00::/7` (RFC 4193).
    Private,
    /// Between a provider and its customers' routers: `100.64.0.0/10` (RFC 6598).
    Shared,
    /// Examples in documents: `192.0.2.0/24` and the like (RFC 5737), `2001:db8::/32` (RFC 3849), `3fff::/20`.
    Documentation,
    /// Measurements of devices: `198.18.0.0/15` (RFC 2544), `2001:2::/48` (RFC 5180).
    Benchmarking,
    /// A group of hosts: `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// All hosts of this link: `255.255.255.255`.
    Broadcast,
    /// Set aside: `240.0.0.0/4` (class E).
    Reserved,
    /// Anywhere on the internet.
    Public,
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            AddressClass::Unspecified => "unspecified",
            AddressClass::Loopback => "loopback",
            AddressClass::LinkLocal => "link-local",
            AddressClass::Private => "private",
            AddressClass::Shared => "shared",
            AddressClass::Documentation => "documentation",
            AddressClass::Benchmarking => "benchmarking",
            AddressClass::Multicast => "multicast",
            AddressClass::Broadcast => "broadcast",
            AddressClass::Reserved => "reserved",
            AddressClass::Public => "public",
        })
    }
}

/// What kind of address this is. An IPv4-mapped IPv6 address is of its IPv4 address's kind.
pub fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(a) => classify_v4(a),
        IpAddr::V6(a) => match a.to_ipv4_mapped() {
            Some(inner) => classify_v4(inner),
            None => classify_v6(a),
        },
    }
}

fn classify_v4(a: Ipv4Addr) -> AddressClass {
    match a.octets() {
        [255, 255, 255, 255] => AddressClass::Broadcast,
        [0, ..] => AddressClass::Unspecified,
        [127, ..] => AddressClass::Loopback,
        [169, 254, ..] => AddressClass::LinkLocal,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => AddressClass::Private,
        [100, 64..=127, ..] => AddressClass::Shared,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => AddressClass::Documentation,
        [198, 18 | 19, ..] => AddressClass::Benchmarking,
        [224..=239, ..] => AddressClass::Multicast,
        [240..=255, ..] => AddressClass::Reserved,
        _ => AddressClass::Public,
    }
}

fn classify_v6(a: Ipv6Addr) -> AddressClass {
    let s = a.segments();
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressClass::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        [0xff00..=0xffff, ..] => AddressClass::Multicast,
        [0xfe80..=0xfebf, ..] => AddressClass::LinkLocal,
        [0xfc00..=0xfdff, ..] => AddressClass::Private,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressClass::Documentation,
        [0x2001, 2, 0, ..] => AddressClass::Benchmarking,
        _ => AddressClass::Public,
    }
}

/// How far an address reaches, as RFC 4007 and RFC 6724 section 3.1 number it; larger reaches further.
pub(super) fn scope(address: IpAddr) -> u8 {
    match address {
        IpAddr::V6(a) if a.is_multicast() => a.octets()[1] & 0x0f,
        _ => match classify(address) {
            AddressClass::Loopback | AddressClass::LinkLocal | AddressClass::Broadcast => 2,
            _ => 14,
        },
    }
}

/// The address as 128 bits with its prefix in front; IPv4 takes the first 32.
#[inline]
pub(super) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()) << 96,
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// The mask of a prefix of `len` bits over [`bits`].
#[inline]
pub(super) fn mask(len: u8) -> u128 {
    match len {
        0 => 0,
        128.. => u128::MAX,
        _ => !(u128::MAX >> len),
    }
}

impl Cidr {
    /// Bits of an address of this family: 32 or 128.
    pub fn width(&self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }
    /// Whether `address` has this prefix (and is of this family).
    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && (bits(address) ^ bits(self.address)) & mask(self.prefix) == 0
    }
    /// The address that reaches every host of this IPv4 prefix; prefixes of 31 (RFC 3021) and 32 bits have none.
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(a) if (1..=30).contains(&self.prefix) => {
                Some(Ipv4Addr::from_bits(a.to_bits() | (u32::MAX >> self.prefix)))
            }
            _ => None,
        }
    }
}

/// As people write it: `10.0.0.1/24`.
impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// `ff02::1`: every node of the link.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// `ff02::2`: every router of the link.
pub(super) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// `224.0.0.1`: every host of the link; membership is never reported (RFC 3376 section 5).
pub(super) const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

#[inline]
pub(super) fn is_link_local(a: Ipv6Addr) -> bool {
    a.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> AddressClass {
        classify(text.parse().unwrap())
    }

    #[test]
    fn classes_of_well_known_addresses() {
        use AddressClass::*;
        for (text, want) in [
            ("0.0.0.0", Unspecified),
            ("10.141.98.172", Private),
            ("172.15.0.1", Public),
            ("172.31.255.255", Private),
            ("172.32.0.1", Public),
            ("192.168.1.1", Private),
            ("100.64.0.1", Shared),
            ("127.1.2.3", Loopback),
            ("169.254.9.9", LinkLocal),
            ("198.51.100.7", Documentation),
            ("198.18.0.1", Benchmarking),
            ("224.0.0.251", Multicast),
            ("240.0.0.1", Reserved),
            ("255.255.255.255", Broadcast),
            ("8.8.8.8", Public),
            ("::", Unspecified),
            ("::1", Loopback),
            ("::ffff:10.0.0.1", Private),
            ("fe80::1", LinkLocal),
            ("fd00::1", Private),
            ("2001:db8::1", Documentation),
            ("ff02::1", Multicast),
            ("2606:4700::1", Public),
        ] {
            assert_eq!(class(text), want, "{text}");
        }
    }

    #[test]
    fn prefixes_contain_and_broadcast() {
        let net = Cidr {
            address: "192.0.2.77".parse().unwrap(),
            prefix: 26,
        };
        assert!(net.contains("192.0.2.64".parse().unwrap()));
        assert!(!net.contains("192.0.2.128".parse().unwrap()));
        assert!(!net.contains("::".parse().unwrap()));
        assert_eq!(net.broadcast(), Some("192.0.2.127".parse().unwrap()));
        let pair = Cidr { prefix: 31, ..net };
        assert_eq!(pair.broadcast(), None);
        let all = Cidr { prefix: 0, ..net };
        assert!(all.contains("8.8.8.8".parse().unwrap()));
    }
}
