//! Addresses of sockets, and what programs write for them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::PathBuf;

use super::{Family, lookup};
use crate::error::{errno, from_errno};
use crate::net::Net;

/// The address of a socket.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    /// AF_INET or AF_INET6.
    Inet(SocketAddr),
    /// AF_UNIX.
    Unix(UnixAddress),
}

/// The name of an AF_UNIX socket. It is a name only: the data stays in memory.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum UnixAddress {
    /// It has none.
    #[default]
    Unnamed,
    /// In the file system.
    Path(PathBuf),
    /// In the abstract name space of Linux.
    Abstract(Vec<u8>),
}

impl Address {
    /// The Internet address, if it is one.
    pub fn as_inet(&self) -> Option<SocketAddr> {
        match self {
            Address::Inet(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }
    /// The AF_UNIX name, if it is one.
    pub fn as_unix(&self) -> Option<&UnixAddress> {
        match self {
            Address::Inet(_) => None,
            Address::Unix(address) => Some(address),
        }
    }
    /// The port; 0 where there is none.
    pub fn port(&self) -> u16 {
        self.as_inet().map_or(0, |address| address.port())
    }
    pub(crate) fn inet(&self) -> io::Result<SocketAddr> {
        self.as_inet().ok_or_else(|| from_errno(errno::EAFNOSUPPORT))
    }
    pub(crate) fn unix(&self) -> io::Result<&UnixAddress> {
        self.as_unix().ok_or_else(|| from_errno(errno::EINVAL))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Unix(UnixAddress::Unnamed) => f.write_str("(unnamed)"),
            Address::Unix(UnixAddress::Path(path)) => path.display().fmt(f),
            Address::Unix(UnixAddress::Abstract(name)) => write!(f, "@{}", name.escape_ascii()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Inet(address)
    }
}
impl From<UnixAddress> for Address {
    fn from(address: UnixAddress) -> Address {
        Address::Unix(address)
    }
}

/// What can be given as an address. Names are looked up where the sockets live; of their addresses the first of the
/// socket's family is taken.
pub trait ToAddress {
    /// The address, for a socket of `family` on `net`.
    ///
    /// # Errors
    /// `InvalidInput` for a port above 65,535 or text that is no address; another if the name is unknown.
    fn to_address(&self, net: &Net, family: Family) -> io::Result<Address>;
}

impl ToAddress for Address {
    fn to_address(&self, _: &Net, _: Family) -> io::Result<Address> {
        Ok(self.clone())
    }
}
impl ToAddress for UnixAddress {
    fn to_address(&self, _: &Net, _: Family) -> io::Result<Address> {
        Ok(self.clone().into())
    }
}
/// A path in the file system.
impl ToAddress for std::path::Path {
    fn to_address(&self, _: &Net, _: Family) -> io::Result<Address> {
        Ok(UnixAddress::Path(self.into()).into())
    }
}
impl ToAddress for PathBuf {
    fn to_address(&self, net: &Net, family: Family) -> io::Result<Address> {
        self.as_path().to_address(net, family)
    }
}
macro_rules! inet {
    ($($kind:ty),*) => {$(
        impl ToAddress for $kind {
            fn to_address(&self, _: &Net, _: Family) -> io::Result<Address> {
                Ok(Address::Inet((*self).into()))
            }
        }
    )*};
}
inet!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

/// Host and port as the tutorials write them: `("", 8080)` is every address of this host, `"<broadcast>"` everybody on
/// the link.
impl ToAddress for (&str, u32) {
    fn to_address(&self, net: &Net, family: Family) -> io::Result<Address> {
        let port = u16::try_from(self.1)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "port must be 0-65535"))?;
        let v6 = family == Family::Inet6;
        let ip = match self.0 {
            "" if v6 => Ipv6Addr::UNSPECIFIED.into(),
            "" => Ipv4Addr::UNSPECIFIED.into(),
            "<broadcast>" => Ipv4Addr::BROADCAST.into(),
            name => lookup::first(net, name, family)?,
        };
        Ok(Address::Inet(SocketAddr::new(ip, port)))
    }
}
/// `host:port`, or `[host]:port` for IPv6.
impl ToAddress for str {
    fn to_address(&self, net: &Net, family: Family) -> io::Result<Address> {
        if family == Family::Unix {
            return std::path::Path::new(self).to_address(net, family);
        }
        if let Ok(address) = self.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let invalid = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
        let (host, port) = self
            .rsplit_once(':')
            .ok_or_else(|| invalid("invalid socket address"))?;
        let port: u32 = port.parse().map_err(|_| invalid("invalid port value"))?;
        (host.trim_start_matches('[').trim_end_matches(']'), port).to_address(net, family)
    }
}
impl ToAddress for String {
    fn to_address(&self, net: &Net, family: Family) -> io::Result<Address> {
        self.as_str().to_address(net, family)
    }
}
impl<T: ToAddress + ?Sized> ToAddress for &T {
    fn to_address(&self, net: &Net, family: Family) -> io::Result<Address> {
        (**self).to_address(net, family)
    }
}
