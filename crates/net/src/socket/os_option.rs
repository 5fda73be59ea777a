//! Options of the operating system's sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use sockeye_stack::tcp::State;

use super::option::{Info, Interface, SockOpt, Value};
use super::os::OsSocket;
use super::{Family, Kind};
use crate::device::tcp_info;
use crate::error::{errno, from_errno};

fn invalid() -> io::Error {
    from_errno(errno::EINVAL)
}
fn size(value: &Value) -> io::Result<usize> {
    Ok(value.count()? as usize)
}
fn seconds(value: &Value) -> io::Result<Duration> {
    Ok(Duration::from_secs(value.count()?.into()))
}

impl OsSocket {
    pub(super) fn set_option(&self, option: SockOpt, value: &Value) -> io::Result<()> {
        use SockOpt::*;
        let s = &self.socket;
        let v6 = self.family == Family::Inet6;
        match option {
            Type | Error | AcceptConn | Protocol | Domain | Info => Err(from_errno(errno::ENOPROTOOPT)),
            ReuseAddr => s.set_reuse_address(value.on()?),
            ReusePort => s.set_reuse_port(value.on()?),
            Broadcast => s.set_broadcast(value.on()?),
            SendBuffer => s.set_send_buffer_size(size(value)?),
            ReceiveBuffer => s.set_recv_buffer_size(size(value)?),
            KeepAlive => s.set_keepalive(value.on()?),
            OobInline => s.set_out_of_band_inline(value.on()?),
            Linger => s.set_linger(value.time()?),
            ReceiveTimeout => s.set_read_timeout(value.time()?),
            SendTimeout => s.set_write_timeout(value.time()?),
            Tos => s.set_tos_v4(value.count()?),
            Ttl => Ok(setsockopt(s, sockopt::Ipv4Ttl, &value.int()?)?),
            HopLimit => Ok(setsockopt(s, sockopt::Ipv6Ttl, &value.int()?)?),
            TrafficClass => s.set_tclass_v6(value.count()?),
            RecvPacketInfo if v6 => Ok(setsockopt(s, sockopt::Ipv6RecvPacketInfo, &value.on()?)?),
            RecvPacketInfo => Ok(setsockopt(s, sockopt::Ipv4PacketInfo, &value.on()?)?),
            RecvHopLimit if v6 => Ok(setsockopt(s, sockopt::Ipv6RecvHopLimit, &value.on()?)?),
            RecvHopLimit => Ok(setsockopt(s, sockopt::Ipv4RecvTtl, &value.on()?)?),
            RecvTrafficClass if v6 => Ok(setsockopt(s, sockopt::Ipv6RecvTClass, &value.on()?)?),
            RecvTrafficClass => Ok(setsockopt(s, sockopt::IpRecvTos, &value.on()?)?),
            MulticastTtl => s.set_multicast_ttl_v4(value.count()?),
            MulticastHops => s.set_multicast_hops_v6(value.count()?),
            MulticastLoop => s.set_multicast_loop_v4(value.on()?),
            MulticastLoop6 => s.set_multicast_loop_v6(value.on()?),
            MulticastInterface => s.set_multicast_if_v4(&v4_interface(value.interface()?)?),
            MulticastInterface6 => s.set_multicast_if_v6(v6_interface(value.interface()?)?),
            JoinGroup | LeaveGroup | JoinGroup6 | LeaveGroup6 => self.set_group(option, value),
            V6Only => s.set_only_v6(value.on()?),
            NoDelay => s.set_tcp_nodelay(value.on()?),
            Cork => s.set_tcp_cork(value.on()?),
            QuickAck => s.set_tcp_quickack(value.on()?),
            MaxSegment => s.set_tcp_mss(value.count()?),
            Congestion => s.set_tcp_congestion(value.text()?.as_bytes()),
            UserTimeout => {
                let time = Duration::from_millis(value.count()?.into());
                s.set_tcp_user_timeout(Some(time).filter(|t| !t.is_zero()))
            }
            KeepIdle => Ok(rustix::net::sockopt::set_tcp_keepidle(s, seconds(value)?)?),
            KeepInterval => Ok(rustix::net::sockopt::set_tcp_keepintvl(s, seconds(value)?)?),
            KeepCount => Ok(rustix::net::sockopt::set_tcp_keepcnt(s, value.count()?)?),
        }
    }
    fn set_group(&self, option: SockOpt, value: &Value) -> io::Result<()> {
        let (group, on) = value.group()?;
        let s = &self.socket;
        match (option, group) {
            (SockOpt::JoinGroup, IpAddr::V4(group)) => s.join_multicast_v4(&group, &v4_interface(on)?),
            (SockOpt::LeaveGroup, IpAddr::V4(group)) => s.leave_multicast_v4(&group, &v4_interface(on)?),
            (SockOpt::JoinGroup6, IpAddr::V6(group)) => s.join_multicast_v6(&group, v6_interface(on)?),
            (SockOpt::LeaveGroup6, IpAddr::V6(group)) => s.leave_multicast_v6(&group, v6_interface(on)?),
            _ => Err(invalid()),
        }
    }

    pub(super) fn option(&self, option: SockOpt) -> io::Result<Value> {
        use SockOpt::*;
        let s = &self.socket;
        let v6 = self.family == Family::Inet6;
        Ok(match option {
            ReuseAddr => s.reuse_address()?.into(),
            Type => Value::Int(self.kind.number()),
            Domain => Value::Int(self.family.number()),
            Protocol => Value::Int(match (self.family, self.kind) {
                (Family::Unix, _) => 0,
                (_, Kind::Stream) => 6,
                (_, Kind::Datagram) => 17,
            }),
            Error => Value::Int(s.take_error()?.and_then(|e| e.raw_os_error()).unwrap_or(0)),
            Broadcast => s.broadcast()?.into(),
            SendBuffer => (s.send_buffer_size()? as u32).into(),
            ReceiveBuffer => (s.recv_buffer_size()? as u32).into(),
            KeepAlive => s.keepalive()?.into(),
            OobInline => s.out_of_band_inline()?.into(),
            Linger => s.linger()?.into(),
            ReusePort => s.reuse_port()?.into(),
            ReceiveTimeout => s.read_timeout()?.into(),
            SendTimeout => s.write_timeout()?.into(),
            AcceptConn => s.is_listener()?.into(),
            Tos => s.tos_v4()?.into(),
            Ttl => s.ttl_v4()?.into(),
            RecvPacketInfo if v6 => getsockopt(s, sockopt::Ipv6RecvPacketInfo)?.into(),
            RecvPacketInfo => getsockopt(s, sockopt::Ipv4PacketInfo)?.into(),
            RecvHopLimit if v6 => getsockopt(s, sockopt::Ipv6RecvHopLimit)?.into(),
            RecvHopLimit => getsockopt(s, sockopt::Ipv4RecvTtl)?.into(),
            RecvTrafficClass if v6 => getsockopt(s, sockopt::Ipv6RecvTClass)?.into(),
            RecvTrafficClass => getsockopt(s, sockopt::IpRecvTos)?.into(),
            MulticastInterface => Value::Interface(match s.multicast_if_v4()? {
                Ipv4Addr::UNSPECIFIED => Interface::Any,
                address => Interface::Address(address),
            }),
            MulticastTtl => s.multicast_ttl_v4()?.into(),
            MulticastLoop => s.multicast_loop_v4()?.into(),
            HopLimit => s.unicast_hops_v6()?.into(),
            MulticastInterface6 => Value::Interface(match s.multicast_if_v6()? {
                0 => Interface::Any,
                index => Interface::Index(index),
            }),
            MulticastHops => s.multicast_hops_v6()?.into(),
            MulticastLoop6 => s.multicast_loop_v6()?.into(),
            JoinGroup | LeaveGroup | JoinGroup6 | LeaveGroup6 => return Err(from_errno(errno::ENOPROTOOPT)),
            V6Only => s.only_v6()?.into(),
            TrafficClass => s.tclass_v6()?.into(),
            NoDelay => s.tcp_nodelay()?.into(),
            MaxSegment => s.tcp_mss()?.into(),
            Cork => s.tcp_cork()?.into(),
            KeepIdle => (s.tcp_keepalive_time()?.as_secs() as u32).into(),
            KeepInterval => (s.tcp_keepalive_interval()?.as_secs() as u32).into(),
            KeepCount => s.tcp_keepalive_retries()?.into(),
            QuickAck => s.tcp_quickack()?.into(),
            Congestion => {
                let name = s.tcp_congestion()?;
                let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
                Value::Text(String::from_utf8_lossy(&name[..end]).into_owned())
            }
            UserTimeout => (s.tcp_user_timeout()?.map_or(0, |t| t.as_millis()) as u32).into(),
            Info => Value::Info(Box::new(known(&tcp_info(s)?))),
        })
    }
}

fn v4_interface(on: Interface) -> io::Result<Ipv4Addr> {
    match on {
        Interface::Any | Interface::Index(0) => Ok(Ipv4Addr::UNSPECIFIED),
        Interface::Address(address) => Ok(address),
        // The system can, but not through the call that takes an address.
        Interface::Index(_) => Err(invalid()),
    }
}
fn v6_interface(on: Interface) -> io::Result<u32> {
    match on {
        Interface::Any => Ok(0),
        Interface::Index(index) => Ok(index),
        Interface::Address(_) => Err(invalid()),
    }
}

fn known(info: &nix::libc::tcp_info) -> Info {
    let micros = |n: u32| Duration::from_micros(n.into());
    Info {
        state: match info.tcpi_state {
            1 => State::Established,
            2 => State::SynSent,
            // 12 is Linux's name for the same, TCP_NEW_SYN_RECV.
            3 | 12 => State::SynReceived,
            4 => State::FinWait1,
            5 => State::FinWait2,
            6 => State::TimeWait,
            8 => State::CloseWait,
            9 => State::LastAck,
            10 => State::Listen,
            11 => State::Closing,
            _ => State::Closed,
        },
        rtt: micros(info.tcpi_rtt),
        rttvar: micros(info.tcpi_rttvar),
        rto: micros(info.tcpi_rto),
        snd_mss: info.tcpi_snd_mss,
        rcv_mss: info.tcpi_rcv_mss,
        cwnd: info.tcpi_snd_cwnd,
        unacked: info.tcpi_unacked,
        retransmits: info.tcpi_total_retrans,
    }
}
