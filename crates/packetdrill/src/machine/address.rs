//! Addresses as C has them: `sockaddr_in` and `sockaddr_in6`, octet by octet.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6};

use sockeye_net::socket::Address;

const V4_LEN: usize = 16;
/// Without the scope, which old programs do not have.
const V6_LEAST: usize = 24;
const V6_LEN: usize = 28;

/// What a program gives as an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
    /// AF_UNSPEC: none.
    None,
    Inet(SocketAddr),
}

impl Name {
    /// # Errors
    /// EINVAL if it is too short, EAFNOSUPPORT if it is of another family.
    pub(super) fn read(name: &[u8]) -> io::Result<Name> {
        let error = |number| io::Error::from_raw_os_error(number);
        let family = name.first_chunk().ok_or_else(|| error(libc::EINVAL))?;
        let port = || {
            let octets = name.get(2..4).and_then(<[u8]>::first_chunk);
            octets.map_or(0, |octets| u16::from_be_bytes(*octets))
        };
        match i32::from(u16::from_ne_bytes(*family)) {
            libc::AF_UNSPEC => Ok(Name::None),
            libc::AF_INET if name.len() >= V4_LEN => {
                let octets: [u8; 4] = *name[4..].first_chunk().ok_or_else(|| error(libc::EINVAL))?;
                Ok(Name::Inet((Ipv4Addr::from(octets), port()).into()))
            }
            libc::AF_INET6 if name.len() >= V6_LEAST => {
                let octets: [u8; 16] = *name[8..].first_chunk().ok_or_else(|| error(libc::EINVAL))?;
                let scope = name.get(24..).and_then(<[u8]>::first_chunk);
                let scope = scope.map_or(0, |octets| u32::from_ne_bytes(*octets));
                Ok(Name::Inet(
                    SocketAddrV6::new(octets.into(), port(), 0, scope).into(),
                ))
            }
            libc::AF_INET | libc::AF_INET6 => Err(error(libc::EINVAL)),
            _ => Err(error(libc::EAFNOSUPPORT)),
        }
    }
    /// The address that it must be.
    pub(super) fn inet(self) -> io::Result<SocketAddr> {
        match self {
            Name::Inet(address) => Ok(address),
            Name::None => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        }
    }
}

/// An address as C has it; nothing for none.
pub(super) fn write(address: Option<&Address>) -> Vec<u8> {
    let mut name = Vec::new();
    match address.and_then(Address::as_inet) {
        None => {}
        Some(SocketAddr::V4(v4)) => {
            name.extend((libc::AF_INET as u16).to_ne_bytes());
            name.extend(v4.port().to_be_bytes());
            name.extend(v4.ip().octets());
            name.resize(V4_LEN, 0);
        }
        Some(SocketAddr::V6(v6)) => {
            name.extend((libc::AF_INET6 as u16).to_ne_bytes());
            name.extend(v6.port().to_be_bytes());
            name.extend([0; 4]);
            name.extend(v6.ip().octets());
            name.extend(v6.scope_id().to_ne_bytes());
            name.resize(V6_LEN, 0);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for text in [
            "192.0.2.1:8080",
            "[fd3d::1]:1",
            "0.0.0.0:0",
            "[::ffff:10.0.0.1]:65535",
        ] {
            let address: SocketAddr = text.parse().unwrap();
            let name = write(Some(&address.into()));
            assert_eq!(Name::read(&name).unwrap(), Name::Inet(address));
        }
        assert!(write(None).is_empty());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let number = |name: &[u8]| Name::read(name).unwrap_err().raw_os_error();
        assert_eq!(number(&[]), Some(libc::EINVAL));
        assert_eq!(number(&[2]), Some(libc::EINVAL));
        assert_eq!(number(&[2, 0, 0, 80, 1, 2, 3, 4]), Some(libc::EINVAL));
        assert_eq!(number(&[1, 0, b'/']), Some(libc::EAFNOSUPPORT));
        assert_eq!(Name::read(&[0, 0]).unwrap(), Name::None);
        assert_eq!(
            Name::None.inet().unwrap_err().raw_os_error(),
            Some(libc::EAFNOSUPPORT)
        );
    }
}
