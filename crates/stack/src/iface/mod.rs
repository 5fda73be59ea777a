//! Interfaces: what lies between the transport protocols and a device.
//!
//! `IpLayer` takes frames in (`receive`), deals with everything that is not for a transport protocol, and writes the
//! headers below the transport's (`prepare`). What it owes of itself is queued and leaves by `poll_transmit`: nobody
//! answers from inside the input path.
//!
//! ```text
//!   frame ─▶ link ─▶ IP header ─▶ reassembly ─▶ ICMP, IGMP/MLD, NDP ──▶ queue ─▶ poll_transmit
//!             │                        └─▶ TCP, UDP: Inbound                ▲
//!             └─▶ ARP ──────────────────────────────────────────────────────┘
//! ```

mod address;
mod addresses;
mod arp;
mod autoconf;
mod contract;
mod control;
mod emit;
mod groups;
mod icmp;
mod ident;
mod layer;
mod limit;
mod membership;
mod ndp;
mod neighbor;
mod pmtu;
mod queue;
mod reassembly;
mod receive;
mod resolve;
mod routes;
#[cfg(test)]
mod tests;

pub use address::{AddressClass, classify};
pub(crate) use contract::{
    Cast, Env, Full, IcmpError, IcmpNotice, Inbound, IpFields, Link, NotAGroup, Packet, Path, PlainLink,
    Route,
};
pub(crate) use icmp::sum_from;
pub(crate) use layer::{IpLayer, PlainPath};
pub(crate) use limit::Bucket;

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

/// What kind of link an interface stands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Medium {
    /// Frames are IP packets; there are no link addresses (TUN, point-to-point).
    Ip,
    /// Frames are Ethernet; neighbours are found by ARP and NDP.
    Ethernet {
        /// Our link address.
        address: [u8; 6],
    },
}

/// What the device does for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// It completes transport checksums of what we send.
    pub tx_checksum: bool,
    /// The path delivers intact frames, so transport and IP checksums are neither made nor checked (in-memory links in
    /// benchmarks).
    pub no_checksums: bool,
    /// It splits super-segments (GSO) of up to this many octets, IP header included; 0 if it does not.
    pub gso_max: u32,
}

/// An address with the length of its prefix, as in `10.0.0.1/24`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Cidr {
    /// The address itself, host part included.
    pub address: IpAddr,
    /// Bits of the prefix.
    pub prefix: u8,
}

/// A route: packets for `destination` leave by this interface, through `via` where the destination is not on the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteConfig {
    /// Which addresses; `0.0.0.0/0` or `::/0` for the default route.
    pub destination: Cidr,
    /// The router; `None` for addresses on the link.
    pub via: Option<IpAddr>,
}

/// How an interface is set up.
#[derive(Clone, Debug)]
pub struct InterfaceConfig {
    /// For people: traces and tables.
    pub name: String,
    /// The link.
    pub medium: Medium,
    /// Largest IP packet in octets: 68 to 65,535 (IPv6 needs 1,280).
    pub mtu: u32,
    /// Our addresses. Each brings the route to its prefix.
    pub addresses: Vec<Cidr>,
    /// Further routes.
    pub routes: Vec<RouteConfig>,
    /// What the device does.
    pub capabilities: Capabilities,
    /// IPv6 on Ethernet: make a link-local address, look for routers, take prefixes from them (SLAAC, RFC 4862).
    pub autoconfigure: bool,
    /// Run duplicate address detection for our IPv6 addresses before using them (RFC 4862 section 5.4).
    pub duplicate_address_detection: bool,
}

impl InterfaceConfig {
    /// An IP-only interface with an MTU and no address yet.
    pub fn ip(name: &str, mtu: u32) -> Self {
        InterfaceConfig {
            name: name.into(),
            medium: Medium::Ip,
            mtu,
            addresses: Vec::new(),
            routes: Vec::new(),
            capabilities: Capabilities::default(),
            autoconfigure: false,
            duplicate_address_detection: false,
        }
    }
    /// An Ethernet interface with an MTU and no address yet.
    pub fn ethernet(name: &str, address: [u8; 6], mtu: u32) -> Self {
        InterfaceConfig {
            medium: Medium::Ethernet { address },
            ..InterfaceConfig::ip(name, mtu)
        }
    }
    /// Adds an address with its prefix.
    #[must_use]
    pub fn address(mut self, address: impl Into<IpAddr>, prefix: u8) -> Self {
        self.addresses.push(Cidr {
            address: address.into(),
            prefix,
        });
        self
    }
    /// Adds a default route through `router`.
    #[must_use]
    pub fn gateway(mut self, router: impl Into<IpAddr>) -> Self {
        let via: IpAddr = router.into();
        let any: IpAddr = match via {
            IpAddr::V4(_) => core::net::Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => core::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        self.routes.push(RouteConfig {
            destination: Cidr {
                address: any,
                prefix: 0,
            },
            via: Some(via),
        });
        self
    }
}
