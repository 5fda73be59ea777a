//! A socket as a person asks for it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sockeye_net::{Net, UdpSocket};

use crate::words::told;

/// What a socket shall be able to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Our own address: any port of any address, if nothing is said.
    pub bind: Option<SocketAddr>,
    /// May send to a broadcast address.
    pub broadcast: bool,
    /// Groups whose datagrams we get.
    pub join: Vec<IpAddr>,
    /// How far multicast goes over IPv4, in routers; 1 stays on the network, and is what nobody set.
    pub multicast_ttl: Option<u32>,
}

/// Opens a socket for datagrams; `to` says for which family, where neither `bind` nor a group does.
///
/// # Errors
/// `AddrInUse`, `AddrNotAvailable`; `InvalidInput` for a group that is none or of the other family.
pub async fn open(net: &Net, to: Option<SocketAddr>, options: &Options) -> io::Result<UdpSocket> {
    let v6 = options.bind.map(|bind| bind.is_ipv6());
    let v6 = v6.or_else(|| to.map(|to| to.is_ipv6()));
    let v6 = v6
        .or_else(|| options.join.first().map(IpAddr::is_ipv6))
        .unwrap_or(false);
    if to.is_some_and(|to| to.is_ipv6() != v6) {
        return Err(told(ErrorKind::InvalidInput, "udp-two-families", &[]));
    }
    for group in &options.join {
        if !group.is_multicast() {
            let group = ("group", group as &dyn std::fmt::Display);
            return Err(told(ErrorKind::InvalidInput, "udp-no-group", &[group]));
        }
        if group.is_ipv6() != v6 {
            let group = ("group", group as &dyn std::fmt::Display);
            return Err(told(
                ErrorKind::InvalidInput,
                "udp-group-of-other-family",
                &[group],
            ));
        }
    }
    let any = match v6 {
        false => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        true => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(net, options.bind.unwrap_or(any)).await?;
    if options.broadcast {
        socket.set_broadcast(true)?;
    }
    if let (Some(ttl), false) = (options.multicast_ttl, v6) {
        socket.set_multicast_ttl_v4(ttl)?;
    }
    for group in &options.join {
        match group {
            IpAddr::V4(group) => socket.join_multicast_v4(*group, interface(options.bind))?,
            IpAddr::V6(group) => socket.join_multicast_v6(group, 0)?,
        }
    }
    Ok(socket)
}

/// The interface that has our address; any, if that is a group's or none.
fn interface(bind: Option<SocketAddr>) -> Ipv4Addr {
    match bind.map(|bind| bind.ip()) {
        Some(IpAddr::V4(ip)) if !ip.is_multicast() => ip,
        _ => Ipv4Addr::UNSPECIFIED,
    }
}
