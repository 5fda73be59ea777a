//! A TUN device of Linux: IP packets from and to the kernel, through a file descriptor.
//!
//! ```text
//!   curl, ncat, Python            kernel's side                our side
//!        │                     10.77.0.1/24 on NAME          10.77.0.2
//!        └── kernel's TCP/IP ────────┤ NAME ├──── /dev/net/tun ──── Stack
//! ```
//!
//! The prefix is shared: the kernel has one address of it (`host`), by which it knows that the others lie behind the device,
//! and the stack has another (`addr`). The device is not persistent: with the descriptor, so with the program, go the device, its
//! addresses and its routes.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::str::FromStr;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use sockeye_stack::iface::Cidr;
use sockeye_stack::{Frame, InterfaceConfig, Medium, Profile, RxMeta, TxFrame, TxMeta};
use thiserror::Error;

use super::Device;
use super::netlink::Netlink;

/// Where the kernel gives out TUN devices.
const CLONE_DEVICE: &str = "/dev/net/tun";
/// MTU where none is told: that of Ethernet.
const MTU: u32 = 1500;
/// The largest IP packet, and so the largest MTU.
const PACKET_MAX: usize = 65_535;
/// Bytes of an interface's name, the zero at its end included (IFNAMSIZ).
const NAME_SIZE: usize = 16;

// linux/if_tun.h
const IFF_TUN: u16 = 0x0001;
const IFF_NO_PI: u16 = 0x1000;
/// Fail if there is a device of this name.
const IFF_TUN_EXCL: u16 = 0x8000;

/// What is wanted of a TUN device, as told on a command line:
/// `NAME,addr=10.77.0.2/24[,host=10.77.0.1][,addr6=fd77::2/64][,host6=fd77::1][,mtu=1500][,profile=rfc|linux]`.
///
/// `addr` is the stack's, `host` the kernel's in the same prefix: the first address of it that is not the stack's unless
/// told. All that is not in the prefix goes to the kernel too, which forwards it if it is set up to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TunConfig {
    /// Name of the network interface, 1 to 15 bytes.
    pub name: String,
    /// Address pairs: at most one of IPv4 and one of IPv6.
    pub links: Vec<TunLink>,
    /// MTU in octets: 576 to 65,535; with IPv6 at least 1,280.
    pub mtu: u32,
    /// The stack's figures and habits.
    pub profile: Profile,
}

/// The two addresses of a prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TunLink {
    /// The stack's address.
    pub ours: IpAddr,
    /// The kernel's address.
    pub host: IpAddr,
    /// Bits of the prefix that both lie in.
    pub prefix: u8,
}

/// A TUN device could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TunError {
    /// The text does not describe one.
    #[error(
        "{0}; expected NAME,addr=ADDRESS/PREFIX[,host=ADDRESS][,addr6=...][,host6=...][,mtu=N][,profile=rfc|linux]"
    )]
    Syntax(String),
    /// There is no `/dev/net/tun`.
    #[error(
        "{CLONE_DEVICE} is missing: load the module (modprobe tun), or pass the device into the container"
    )]
    NoTun(#[source] io::Error),
    /// The program may not make network devices.
    #[error("making a TUN device needs root or CAP_NET_ADMIN, and access to {CLONE_DEVICE}")]
    NotPermitted(#[source] io::Error),
    /// There is a device of that name.
    #[error("a network device named {0} is there already: choose another name")]
    NameTaken(String),
    /// The kernel refused an address of ours.
    #[error("cannot give {address} to device {name}")]
    Address {
        /// The device.
        name: String,
        /// The address.
        address: IpAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else failed.
    #[error("cannot {what}")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl FromStr for TunConfig {
    type Err = TunError;
    fn from_str(text: &str) -> Result<TunConfig, TunError> {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default();
        check_name(name)?;
        let mut config = TunConfig {
            name: name.into(),
            links: Vec::new(),
            mtu: MTU,
            profile: Profile::Rfc,
        };
        let (mut own, mut hosts) = (Vec::new(), Vec::new());
        for part in parts {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| syntax("a setting without a value", part))?;
            match key {
                "addr" | "addr6" => own.push(parse_cidr(value, key == "addr6")?),
                "host" | "host6" => hosts.push(parse_ip(value, key == "host6")?),
                "mtu" => config.mtu = value.parse().map_err(|_| syntax("not an MTU", value))?,
                "profile" => {
                    config.profile = match value {
                        "rfc" => Profile::Rfc,
                        "linux" => Profile::Linux,
                        _ => return Err(syntax("no such profile", value)),
                    }
                }
                "gateway" => return Err(syntax("no gateway is needed, all goes to the kernel", value)),
                _ => return Err(syntax("unknown setting", key)),
            }
        }
        let is_alone = |host: &&IpAddr| {
            !own.iter()
                .any(|own: &Cidr| own.address.is_ipv4() == host.is_ipv4())
        };
        if let Some(host) = hosts.iter().find(is_alone) {
            return Err(syntax("a host's address without addr of its family", host));
        }
        for ours in own {
            let of_family = |host: &&IpAddr| host.is_ipv4() == ours.address.is_ipv4();
            let host = match hosts.iter().find(of_family) {
                Some(&host) => host,
                None => default_host(ours).ok_or_else(|| syntax("no address left for the kernel", text))?,
            };
            config.links.push(TunLink {
                ours: ours.address,
                host,
                prefix: ours.prefix,
            });
        }
        config.check()?;
        Ok(config)
    }
}

impl TunConfig {
    fn check(&self) -> Result<(), TunError> {
        check_name(&self.name)?;
        if self.links.is_empty() {
            return Err(syntax("an address is needed", &self.name));
        }
        let v6 = self.links.iter().filter(|link| link.ours.is_ipv6()).count();
        if v6 > 1 || self.links.len() - v6 > 1 {
            return Err(syntax("more than one address of a family", &self.name));
        }
        let least = if v6 > 0 { 1280 } else { 576 };
        if self.mtu < least || self.mtu > PACKET_MAX as u32 {
            return Err(syntax("an MTU out of range", self.mtu));
        }
        for link in &self.links {
            if network(link.ours, link.prefix) != network(link.host, link.prefix) {
                return Err(syntax("addr and host lie in different networks", link.host));
            }
            if link.ours == link.host {
                return Err(syntax("addr and host are the same", link.host));
            }
        }
        Ok(())
    }
    /// The stack's interface on such a device.
    pub fn interface(&self) -> InterfaceConfig {
        self.links
            .iter()
            .fold(InterfaceConfig::ip(&self.name, self.mtu), |config, link| {
                config.address(link.ours, link.prefix).gateway(link.host)
            })
    }
}

fn syntax(what: &str, at: impl fmt::Display) -> TunError {
    TunError::Syntax(format!("{what}: {at}"))
}

/// As the kernel's `dev_valid_name`, and no `%`, which it would take for a pattern.
fn check_name(name: &str) -> Result<(), TunError> {
    let strange = |c: char| c == '/' || c == ':' || c == '%' || c.is_whitespace() || c.is_control();
    if name.is_empty() || name.len() >= NAME_SIZE || name == "." || name == ".." || name.contains(strange) {
        return Err(syntax("no name for a network device (1 to 15 letters)", name));
    }
    Ok(())
}

fn parse_ip(text: &str, v6: bool) -> Result<IpAddr, TunError> {
    let ip = if v6 {
        text.parse::<Ipv6Addr>().map(IpAddr::V6)
    } else {
        text.parse::<Ipv4Addr>().map(IpAddr::V4)
    };
    let ip = ip.map_err(|_| {
        syntax(
            if v6 {
                "not an IPv6 address"
            } else {
                "not an IPv4 address"
            },
            text,
        )
    })?;
    if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() {
        return Err(syntax("no address for a host", text));
    }
    Ok(ip)
}

fn parse_cidr(text: &str, v6: bool) -> Result<Cidr, TunError> {
    let (address, prefix) = text
        .split_once('/')
        .ok_or_else(|| syntax("an address without /PREFIX", text))?;
    let address = parse_ip(address, v6)?;
    // Two addresses have to fit.
    let most = if v6 { 127 } else { 31 };
    match prefix.parse() {
        Ok(prefix) if (1..=most).contains(&prefix) => Ok(Cidr { address, prefix }),
        _ => Err(syntax("a prefix out of range", text)),
    }
}

/// An address as a number, for either family, with the bits of the family.
fn number(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (v4.to_bits().into(), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}
/// The network part of an address.
fn network(address: IpAddr, prefix: u8) -> (u128, u32) {
    let (value, bits) = number(address);
    (value >> (bits - u32::from(prefix)), bits)
}
/// The first address of the prefix that is not ours and names a host.
fn default_host(ours: Cidr) -> Option<IpAddr> {
    let (own, bits) = number(ours.address);
    let host = bits - u32::from(ours.prefix);
    let first = own >> host << host;
    let last = first | ((1u128 << host) - 1);
    // Where there are only two addresses both name hosts (RFC 3021, RFC 6164); else the first does not.
    let start = if host == 1 { first } else { first + 1 };
    let found = (start..=last).find(|&address| address != own)?;
    Some(match bits {
        32 => Ipv4Addr::from_bits(found as u32).into(),
        _ => Ipv6Addr::from_bits(found).into(),
    })
}

/// A TUN device, open. Dropping it removes it.
pub struct Tun {
    file: OwnedFd,
    mtu: u32,
    buffer: Box<[u8]>,
}

impl Tun {
    /// Makes the device, gives the kernel's side its addresses and switches it on.
    ///
    /// # Errors
    /// See [`TunError`]. Nothing is left behind.
    pub fn open(config: &TunConfig) -> Result<Tun, TunError> {
        config.check()?;
        let file = open_clone_device()?;
        attach(&file, &config.name)?;
        let set_up = |source| TunError::Io {
            what: "set up the TUN device",
            source,
        };
        let netlink = Netlink::of(&config.name).map_err(set_up)?;
        netlink.bring_up(config.mtu).map_err(set_up)?;
        for link in &config.links {
            netlink
                .add_address(link.host, link.prefix)
                .map_err(|source| TunError::Address {
                    name: config.name.clone(),
                    address: link.host,
                    source,
                })?;
        }
        Ok(Tun {
            file,
            mtu: config.mtu,
            buffer: vec![0; PACKET_MAX].into(),
        })
    }
}

fn open_clone_device() -> Result<OwnedFd, TunError> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(CLONE_DEVICE, flags, Mode::empty()).map_err(|errno| {
        let error = io::Error::from(errno);
        match error.kind() {
            io::ErrorKind::PermissionDenied => TunError::NotPermitted(error),
            // ENODEV and ENXIO: the node is there and the module is not.
            _ if matches!(
                errno,
                rustix::io::Errno::NOENT | rustix::io::Errno::NODEV | rustix::io::Errno::NXIO
            ) =>
            {
                TunError::NoTun(error)
            }
            _ => TunError::Io {
                what: "open /dev/net/tun",
                source: error,
            },
        }
    })
}

/// Makes the descriptor a device called `name`.
fn attach(file: &OwnedFd, name: &str) -> Result<(), TunError> {
    set_interface(file, name).map_err(|errno| {
        let error = io::Error::from(errno);
        match errno {
            // EINVAL: a device that is no TUN device has the name (it was checked to be one).
            rustix::io::Errno::BUSY | rustix::io::Errno::EXIST | rustix::io::Errno::INVAL => {
                TunError::NameTaken(name.into())
            }
            rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => TunError::NotPermitted(error),
            _ => TunError::Io {
                what: "make a TUN device",
                source: error,
            },
        }
    })
}

/// `struct ifreq` of linux/if.h, as far as TUNSETIFF reads and writes it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_SIZE],
    flags: u16,
    rest: [u8; 22],
}

/// TUNSETIFF.
#[allow(unsafe_code)]
fn set_interface(file: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    use rustix::ioctl::{Setter, ioctl, opcode};
    const TUNSETIFF: rustix::ioctl::Opcode = opcode::write::<i32>(b'T', 202);
    let mut request = InterfaceRequest {
        name: [0; NAME_SIZE],
        flags: IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL,
        rest: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: TUNSETIFF takes a pointer to a `struct ifreq`, of which this is the layout, at its full size of 40 bytes;
    // it writes the name back into the copy that the call owns, and keeps no pointer.
    unsafe { ioctl(file, Setter::<TUNSETIFF, InterfaceRequest>::new(request)) }
}

impl Device for Tun {
    fn receive(&mut self, into: &mut Vec<(Frame, RxMeta)>, limit: usize) -> io::Result<()> {
        for _ in 0..limit {
            match rustix::io::read(&self.file, &mut self.buffer[..]) {
                Ok(0) => break,
                // A copy of its own size: a frame that waits to be read holds no more memory than its bytes.
                Ok(n) => into.push((
                    Bytes::copy_from_slice(&self.buffer[..n]).into(),
                    RxMeta::default(),
                )),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                // The interface is down: nothing comes until somebody switches it on.
                Err(rustix::io::Errno::IO) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
    fn send(&mut self, frame: &mut TxFrame, _: &TxMeta) -> io::Result<()> {
        const SLICES: usize = 16;
        let parts = frame.body.parts();
        if parts.len() < SLICES {
            let mut slices = [io::IoSlice::new(&[]); SLICES];
            slices[0] = io::IoSlice::new(frame.head.as_slice());
            for (slice, part) in slices[1..].iter_mut().zip(parts) {
                *slice = io::IoSlice::new(part);
            }
            rustix::io::writev(&self.file, &slices[..=parts.len()])?;
        } else {
            rustix::io::write(&self.file, &frame.to_vec())?;
        }
        Ok(())
    }
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
    fn medium(&self) -> Medium {
        Medium::Ip
    }
    fn mtu(&self) -> u32 {
        self.mtu
    }
}

impl fmt::Debug for Tun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tun")
            .field("mtu", &self.mtu)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> TunConfig {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn the_host_is_the_first_other_address_unless_told() {
        for (text, ours, host) in [
            ("t,addr=10.77.0.2/24", "10.77.0.2", "10.77.0.1"),
            ("t,addr=10.77.0.1/24", "10.77.0.1", "10.77.0.2"),
            ("t,addr=10.77.0.4/31", "10.77.0.4", "10.77.0.5"),
            ("t,addr=10.77.0.5/31", "10.77.0.5", "10.77.0.4"),
            ("t,addr=10.77.0.2/24,host=10.77.0.9", "10.77.0.2", "10.77.0.9"),
            ("t,host6=fd77::9,addr6=fd77::2/64", "fd77::2", "fd77::9"),
            ("t,addr6=fd77::2/64", "fd77::2", "fd77::1"),
            ("t,addr6=fd77::1/64", "fd77::1", "fd77::2"),
        ] {
            let link = parse(text).links[0];
            assert_eq!(
                (link.ours.to_string(), link.host.to_string()),
                (ours.into(), host.into())
            );
        }
        let both = parse("sockeye0,addr=10.77.0.2/24,addr6=fd77::2/64,mtu=9000,profile=linux");
        assert_eq!(
            (both.links.len(), both.mtu, both.profile),
            (2, 9000, Profile::Linux)
        );
        let interface = both.interface();
        assert_eq!((interface.addresses.len(), interface.routes.len()), (2, 2));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("", "name"),
            ("a-name-of-16-byte,addr=10.0.0.1/8", "name"),
            ("tun%d,addr=10.0.0.1/8", "name"),
            ("t", "an address is needed"),
            ("t,addr=10.0.0.1", "without /PREFIX"),
            ("t,addr=10.0.0.1/32", "prefix out of range"),
            ("t,addr=10.0.0.1/0", "prefix out of range"),
            ("t,addr=fd77::1/64", "not an IPv4 address"),
            ("t,addr6=10.0.0.1/8", "not an IPv6 address"),
            ("t,addr=127.0.0.1/8", "no address for a host"),
            ("t,addr=10.0.0.1/8,addr=10.0.0.2/8", "more than one"),
            ("t,addr=10.0.0.1/24,host=10.0.1.1", "different networks"),
            ("t,addr=10.0.0.1/24,host=10.0.0.1", "the same"),
            ("t,addr=10.0.0.1/24,host6=fd77::1", "without addr"),
            ("t,addr=10.0.0.1/24,mtu=100", "MTU"),
            ("t,addr6=fd77::1/64,mtu=1000", "MTU"),
            ("t,addr=10.0.0.1/24,mtu=70000", "MTU"),
            ("t,addr=10.0.0.1/24,speed=9", "unknown setting: speed"),
            ("t,addr=10.0.0.1/24,gateway=10.0.0.2", "no gateway is needed"),
            ("t,addr", "without a value"),
        ] {
            let error = text.parse::<TunConfig>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
