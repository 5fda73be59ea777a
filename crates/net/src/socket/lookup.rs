//! Names of hosts and services.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use super::Family;
use crate::net::{Net, Place};

/// The name of the host that sockets live on.
pub fn gethostname(net: &Net) -> String {
    match &net.0 {
        Place::Os => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        Place::Stack(host) => host.name().into(),
    }
}

/// The first IPv4 address of a name.
///
/// # Errors
/// The name is unknown or has no IPv4 address.
pub fn gethostbyname(net: &Net, name: &str) -> io::Result<Ipv4Addr> {
    match first(net, name, Family::Inet)? {
        IpAddr::V4(ip) => Ok(ip),
        IpAddr::V6(_) => Err(unknown()),
    }
}

/// All addresses of a name, with `port`, best first.
///
/// # Errors
/// The name is unknown.
pub fn getaddrinfo(net: &Net, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found: Vec<SocketAddr> = match &net.0 {
        Place::Os => (name, port).to_socket_addrs()?.collect(),
        Place::Stack(host) => {
            let found = host.names().lookup(name).into_iter();
            found.map(|ip| SocketAddr::new(ip, port)).collect()
        }
    };
    if found.is_empty() {
        Err(unknown())
    } else {
        Ok(found)
    }
}

/// The first address of a name that a socket of `family` can use. An IPv6 socket takes IPv4 as a mapped address.
pub(super) fn first(net: &Net, name: &str, family: Family) -> io::Result<IpAddr> {
    let all = getaddrinfo(net, name, 0)?;
    let literal = name.parse::<IpAddr>().is_ok();
    let own = all
        .iter()
        .map(SocketAddr::ip)
        .find(|ip| ip.is_ipv6() == (family == Family::Inet6));
    match (own, all.first().map(SocketAddr::ip)) {
        (Some(ip), _) => Ok(ip),
        // A literal of the other family is for the call to refuse, as the system does.
        (None, Some(ip)) if literal => Ok(ip),
        (None, Some(IpAddr::V4(ip))) if family == Family::Inet6 => Ok(ip.to_ipv6_mapped().into()),
        _ => Err(unknown()),
    }
}

/// getaddrinfo's EAI_NONAME as std words it.
fn unknown() -> io::Error {
    io::Error::other("failed to lookup address information: Name or service not known")
}
