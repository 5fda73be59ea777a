//! The requests to the kernel's routing socket (rtnetlink) that a device needs: an address, an MTU, up; and whether an
//! address serves.
//!
//! One message type serves IPv4 and IPv6, which the older ioctls do not.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

// linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h, linux/if_link.h, linux/if.h
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
/// The group that is told of IPv6 routes.
const RTMGRP_IPV6_ROUTE: u32 = 0x400;
const RTA_DST: u16 = 1;
/// A route to one of the host's own addresses.
const RTN_LOCAL: u8 = 2;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// No duplicate address detection.
const IFA_F_NODAD: u8 = 0x02;
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Length of a message's header.
const HEADER: usize = 16;
/// How long the kernel may take until an address serves: a few microseconds, on a machine with time to spare.
const SETTLE: Duration = Duration::from_secs(5);

/// A conversation with the kernel about one network interface.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    index: u32,
}

impl Netlink {
    /// About the interface called `name`.
    pub(super) fn of(name: &str) -> io::Result<Netlink> {
        let socket = routing_socket()?;
        let any =
            rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        let index = rustix::net::netdevice::name_to_index(&any, name)?;
        Ok(Netlink { socket, index })
    }
    /// Gives the interface an address, and waits until it serves; its prefix becomes a route.
    pub(super) fn add_address(&self, address: IpAddr, prefix: u8) -> io::Result<()> {
        let IpAddr::V6(v6) = address else {
            return self.request_address(address, prefix);
        };
        // An IPv6 address is acknowledged before packets to it are taken for the host's own: that comes with its route,
        // which a work queue of the kernel makes, and tells of.
        let told = routing_socket()?;
        rustix::net::bind(&told, &SocketAddrNetlink::new(0, RTMGRP_IPV6_ROUTE))?;
        self.request_address(address, prefix)?;
        let end = Instant::now() + SETTLE;
        while !self.is_local(v6)? {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break; // a kernel that is this slow is at least not kept waiting for
            }
            let left = Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: left.subsec_nanos().into(),
            };
            poll(&mut [PollFd::new(&told, PollFlags::IN)], Some(&left))?;
            // What it says does not matter, nor that there may have been more than its queue holds.
            let _ = rustix::net::recv(&told, &mut [0; 4096], RecvFlags::DONTWAIT);
        }
        Ok(())
    }
    /// Whether the kernel takes packets to this address for its own.
    fn is_local(&self, address: Ipv6Addr) -> io::Result<bool> {
        // struct rtmsg: family, length of the destination, and nothing else.
        let mut body = vec![AF_INET6, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        attribute(&mut body, RTA_DST, &address.octets());
        let answer = self.ask(RTM_GETROUTE, 0, &body)?;
        let is_route = answer.get(4..6) == Some(&RTM_NEWROUTE.to_ne_bytes()[..]);
        // Its type is the eighth octet. Anything else says that there is no way at all.
        Ok(is_route && answer.get(HEADER + 7) == Some(&RTN_LOCAL))
    }
    fn request_address(&self, address: IpAddr, prefix: u8) -> io::Result<()> {
        let (family, octets) = match address {
            IpAddr::V4(v4) => (AF_INET, v4.octets().to_vec()),
            IpAddr::V6(v6) => (AF_INET6, v6.octets().to_vec()),
        };
        // struct ifaddrmsg
        let mut body = vec![family, prefix, IFA_F_NODAD, 0];
        body.extend(self.index.to_ne_bytes());
        attribute(&mut body, IFA_LOCAL, &octets);
        attribute(&mut body, IFA_ADDRESS, &octets);
        self.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body)
    }
    /// Sets the MTU and switches the interface on.
    pub(super) fn bring_up(&self, mtu: u32) -> io::Result<()> {
        // struct ifinfomsg
        let mut body = vec![0; 4];
        body.extend(self.index.to_ne_bytes());
        body.extend(IFF_UP.to_ne_bytes());
        body.extend(IFF_UP.to_ne_bytes());
        attribute(&mut body, IFLA_MTU, &mtu.to_ne_bytes());
        self.request(RTM_NEWLINK, 0, &body)
    }
    /// Sends a request and waits for its acknowledgment.
    fn request(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        outcome(&self.ask(kind, flags | NLM_F_ACK, body)?)
    }
    /// Sends a request and waits for the answer.
    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        message.extend([0; 8]); // sequence number and port: one request at a time on a socket of our own
        message.extend(body);
        rustix::net::send(&self.socket, &message, SendFlags::empty())?;
        let mut answer = vec![0u8; 4096];
        let (n, _) = rustix::net::recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
        answer.truncate(n);
        Ok(answer)
    }
}

fn routing_socket() -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None, // NETLINK_ROUTE is zero
    )?;
    Ok(socket)
}

/// An attribute: length, type, value; values here are multiples of four octets, so nothing is padded.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend((4 + value.len() as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
}

/// What an acknowledgment says: zero, or an errno value negated.
fn outcome(answer: &[u8]) -> io::Result<()> {
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer makes no sense");
    let kind = answer.get(4..6).ok_or_else(strange)?;
    let error = answer.get(HEADER..HEADER + 4).ok_or_else(strange)?;
    if kind != NLMSG_ERROR.to_ne_bytes() {
        return Err(strange());
    }
    match i32::from_ne_bytes(error.try_into().map_err(|_| strange())?) {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_refuses_what_is_wrong() {
        let lo = Netlink::of("lo").unwrap();
        // A prefix longer than the address: EINVAL, or EPERM without root.
        let error = lo.add_address([10, 0, 0, 1].into(), 33).unwrap_err();
        assert!(matches!(error.raw_os_error(), Some(22 | 1)), "{error}");
        let error = Netlink::of("no-such-device").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(19), "{error}"); // ENODEV
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_an_error() {
        for answer in [&[][..], &[0; 15], &[0; 20]] {
            assert_eq!(outcome(answer).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
