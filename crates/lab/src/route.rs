//! Routes: the longest prefix wins.

use std::net::IpAddr;

use sockeye_stack::iface::Cidr;

/// Whether `address` lies in the prefix.
pub(crate) fn contains(cidr: &Cidr, address: IpAddr) -> bool {
    match (cidr.address, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let differ = u32::from(a) ^ u32::from(b);
            differ.checked_shr(32 - u32::from(cidr.prefix)).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let differ = u128::from(a) ^ u128::from(b);
            differ.checked_shr(128 - u32::from(cidr.prefix)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// The broadcast address of an IPv4 prefix that has one.
pub(crate) fn is_broadcast(cidr: &Cidr, address: IpAddr) -> bool {
    match (cidr.address, address) {
        (IpAddr::V4(own), IpAddr::V4(address)) if cidr.prefix < 31 => {
            let host = u32::MAX.checked_shr(cidr.prefix.into()).unwrap_or(0);
            u32::from(address) == u32::from(own) | host
        }
        _ => false,
    }
}

/// Routes through other routers, longest prefix first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes(Vec<(Cidr, IpAddr)>);

impl Routes {
    pub(crate) fn add(&mut self, destination: Cidr, via: IpAddr) {
        let place = self
            .0
            .partition_point(|(other, _)| other.prefix >= destination.prefix);
        self.0.insert(place, (destination, via));
    }
    /// The router for `address`, and how long its prefix is.
    pub(crate) fn find(&self, address: IpAddr) -> Option<(u8, IpAddr)> {
        let (cidr, via) = self.0.iter().find(|(cidr, _)| contains(cidr, address))?;
        Some((cidr.prefix, *via))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::cidr;

    #[test]
    fn the_longest_prefix_wins() {
        let mut routes = Routes::default();
        for (to, via) in [
            ("0.0.0.0/0", "1.1.1.1"),
            ("10.0.0.0/8", "2.2.2.2"),
            ("10.1.0.0/16", "3.3.3.3"),
        ] {
            routes.add(cidr(to), via.parse().unwrap());
        }
        routes.add(cidr("::/0"), "fd00::1".parse().unwrap());
        let via = |to: &str| routes.find(to.parse().unwrap()).unwrap().1.to_string();
        assert_eq!(via("10.1.2.3"), "3.3.3.3");
        assert_eq!(via("10.2.2.3"), "2.2.2.2");
        assert_eq!(via("192.0.2.1"), "1.1.1.1");
        assert_eq!(via("2001:db8::1"), "fd00::1");
    }

    #[test]
    fn prefixes_of_every_length() {
        let all = "255.255.255.255".parse().unwrap();
        for prefix in 0..=32 {
            assert!(contains(&Cidr { address: all, prefix }, all));
        }
        assert!(!contains(&cidr("10.0.0.1/32"), "10.0.0.2".parse().unwrap()));
        assert!(contains(&cidr("10.0.0.1/31"), "10.0.0.0".parse().unwrap()));
        assert!(is_broadcast(&cidr("10.0.0.1/24"), "10.0.0.255".parse().unwrap()));
        assert!(!is_broadcast(&cidr("10.0.0.1/31"), "10.0.0.1".parse().unwrap()));
    }
}
