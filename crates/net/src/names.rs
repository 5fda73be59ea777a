//! Names: a table for hosts of a lab, the system's resolver for the operating system.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::{Arc, PoisonError, RwLock};

use crate::net::{Net, Place};
use crate::shared::Host;

/// A table of host names, shared by the hosts that use it. Names are not case-sensitive (RFC 4343).
#[derive(Clone, Default)]
pub struct Names {
    table: Arc<RwLock<BTreeMap<String, Vec<IpAddr>>>>,
    /// What the table lacks is asked of the operating system.
    system: bool,
}

impl Names {
    /// An empty table. `localhost` is known without an entry.
    pub fn new() -> Names {
        Names::default()
    }
    /// An empty table, behind which stands the operating system's resolver: for a host in the real world.
    pub fn with_system() -> Names {
        Names {
            system: true,
            ..Names::default()
        }
    }
    /// Adds an address to a name. Addresses are tried in the order in which they were added.
    pub fn insert(&self, name: &str, address: impl Into<IpAddr>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let addresses = table.entry(name.to_ascii_lowercase()).or_default();
        let address = address.into();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    /// The addresses of a name in the table; none if it is not there.
    pub fn lookup(&self, name: &str) -> Vec<IpAddr> {
        let name = name.to_ascii_lowercase();
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        match table.get(&name) {
            Some(addresses) => addresses.clone(),
            None if name == "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            None => Vec::new(),
        }
    }
}
impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.table.read().unwrap_or_else(PoisonError::into_inner).iter())
            .finish()
    }
}

/// What an address argument says before names are looked up.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum Target {
    Addresses(Vec<SocketAddr>),
    Name(String, u16),
}

/// What can be given as an address: as tokio's trait of this name, but names are looked up where the sockets live.
pub trait ToSocketAddrs {
    #[doc(hidden)]
    fn target(&self) -> io::Result<Target>;
}

/// Looks up a name, or takes an address as it is.
///
/// # Errors
/// `InvalidInput` for text that is no `host:port`; another error if the name is unknown.
pub async fn lookup_host(net: &Net, host: impl ToSocketAddrs) -> io::Result<std::vec::IntoIter<SocketAddr>> {
    resolve(net, host).await.map(Vec::into_iter)
}

/// The addresses of an argument; at least one.
pub(crate) async fn resolve(net: &Net, host: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    some(match (host.target()?, &net.0) {
        (Target::Addresses(addresses), _) => addresses,
        (Target::Name(name, port), Place::Os) => tokio::net::lookup_host((name, port)).await?.collect(),
        (Target::Name(name, port), Place::Stack(host)) => match of_host(host, &name, port) {
            Err(_) if host.names().system => {
                reachable(host, tokio::net::lookup_host((name, port)).await?.collect())
            }
            found => found?,
        },
    })
}

/// As [`resolve`]; the thread waits.
pub(crate) fn resolve_blocking(net: &Net, host: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    some(match (host.target()?, &net.0) {
        (Target::Addresses(addresses), _) => addresses,
        (Target::Name(name, port), Place::Os) => {
            std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), port))?.collect()
        }
        (Target::Name(name, port), Place::Stack(host)) => match of_host(host, &name, port) {
            Err(_) if host.names().system => {
                let found = std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), port))?;
                reachable(host, found.collect())
            }
            found => found?,
        },
    })
}

/// Of the addresses that the system knows, those of a family that the host has; all, if there are none.
fn reachable(host: &Host, found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let usable = |address: &SocketAddr| host.has_family(address.is_ipv6());
    match found.iter().any(usable) {
        true => found.into_iter().filter(usable).collect(),
        false => found,
    }
}

/// The addresses of a name in a host's table.
pub(crate) fn of_host(host: &Host, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = host.names().lookup(name);
    if found.is_empty() {
        // getaddrinfo's EAI_NONAME as std words it.
        return Err(io::Error::other(
            "failed to lookup address information: Name or service not known",
        ));
    }
    Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

fn some(addresses: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    if addresses.is_empty() {
        return Err(invalid("could not resolve to any address"));
    }
    Ok(addresses)
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn one(address: impl Into<SocketAddr>) -> io::Result<Target> {
    Ok(Target::Addresses(vec![address.into()]))
}

impl ToSocketAddrs for SocketAddr {
    fn target(&self) -> io::Result<Target> {
        one(*self)
    }
}
impl ToSocketAddrs for SocketAddrV4 {
    fn target(&self) -> io::Result<Target> {
        one(*self)
    }
}
impl ToSocketAddrs for SocketAddrV6 {
    fn target(&self) -> io::Result<Target> {
        one(*self)
    }
}
impl ToSocketAddrs for (IpAddr, u16) {
    fn target(&self) -> io::Result<Target> {
        one(*self)
    }
}
impl ToSocketAddrs for (Ipv4Addr, u16) {
    fn target(&self) -> io::Result<Target> {
        one(*self)
    }
}
impl ToSocketAddrs for (Ipv6Addr, u16) {
    fn target(&self) -> io::Result<Target> {
        one(*self)
    }
}
impl ToSocketAddrs for [SocketAddr] {
    fn target(&self) -> io::Result<Target> {
        Ok(Target::Addresses(self.to_vec()))
    }
}
impl ToSocketAddrs for Vec<SocketAddr> {
    fn target(&self) -> io::Result<Target> {
        Ok(Target::Addresses(self.clone()))
    }
}
impl ToSocketAddrs for (&str, u16) {
    fn target(&self) -> io::Result<Target> {
        match self.0.parse::<IpAddr>() {
            Ok(ip) => one((ip, self.1)),
            Err(_) => Ok(Target::Name(self.0.into(), self.1)),
        }
    }
}
impl ToSocketAddrs for (String, u16) {
    fn target(&self) -> io::Result<Target> {
        (self.0.as_str(), self.1).target()
    }
}
impl ToSocketAddrs for str {
    fn target(&self) -> io::Result<Target> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return one(address);
        }
        let (host, port) = self
            .rsplit_once(':')
            .ok_or_else(|| invalid("invalid socket address"))?;
        let port = port.parse().map_err(|_| invalid("invalid port value"))?;
        Ok(Target::Name(host.into(), port))
    }
}
impl ToSocketAddrs for String {
    fn target(&self) -> io::Result<Target> {
        self.as_str().target()
    }
}
impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn target(&self) -> io::Result<Target> {
        (**self).target()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_not_case_sensitive() {
        let names = Names::new();
        names.insert("Server", Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(names.lookup("sERVER"), [IpAddr::from([10, 0, 0, 2])]);
        assert_eq!(names.lookup("nobody"), [] as [IpAddr; 0]);
        assert_eq!(names.lookup("localhost").len(), 2);
    }

    /// A stack without IPv6 would only fail with the first address of many a name.
    #[test]
    fn of_the_system_s_addresses_those_that_can_be_reached() {
        use sockeye_stack::{Config, InterfaceConfig, Stack};
        let (stack, clock) = (Stack::new(Config::default(), [7; 32]), crate::Clock::real());
        let host = Host::new("host", stack, Arc::new(clock), Names::with_system(), || {});
        host.add_interface(InterfaceConfig::ip("tun", 1500).address([10, 0, 0, 1], 24));
        let v4: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let v6: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
        assert_eq!(reachable(&host, vec![v6, v4]), [v4]);
        assert_eq!(reachable(&host, vec![v6]), [v6]);
    }

    #[test]
    fn text_is_an_address_or_a_name_with_a_port() {
        assert!(matches!("[::1]:80".target(), Ok(Target::Addresses(a)) if a[0].port() == 80));
        assert!(matches!("server:80".target(), Ok(Target::Name(name, 80)) if name == "server"));
        assert!(matches!(("10.0.0.1", 7).target(), Ok(Target::Addresses(_))));
        assert_eq!("server".target().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        // Port 88888 stands in a well-known tutorial; there is none above 65,535.
        assert_eq!(
            "server:88888".target().unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
