//! Options of sockets on a stack.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sockeye_stack::config::CongestionControl;
use sockeye_stack::tcp::{Keepalive, State, TcpInfo, TcpOptions};
use sockeye_stack::udp::UdpOptions;
use sockeye_stack::{Config, InterfaceId};

use super::option::{Info, Interface, SockOpt, Value};
use super::stack::{StackSocket, TELL_HOP_LIMIT, TELL_PACKET_INFO, TELL_TRAFFIC_CLASS};
use super::{Family, Kind};
use crate::error::{Errno, errno, from_errno, io_error};
use crate::options;

/// An interface's index, counted from 1; 0 for loopback, which has none of its own here.
pub(super) fn index_of(interface: InterfaceId) -> u32 {
    if interface == InterfaceId::LOOPBACK {
        0
    } else {
        u32::from(interface.0) + 1
    }
}

/// An option that the kind of socket does not have (ENOPROTOOPT).
fn unknown() -> io::Error {
    from_errno(errno::ENOPROTOOPT)
}
fn invalid() -> io::Error {
    from_errno(errno::EINVAL)
}
fn seconds(value: &Value) -> io::Result<sockeye_stack::Duration> {
    match value.int()? {
        // Linux's MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL.
        n @ 1..=32_767 => Ok(sockeye_stack::Duration::from_secs(n as u64)),
        _ => Err(invalid()),
    }
}

impl StackSocket {
    pub(super) fn set_option(&self, option: SockOpt, value: &Value) -> io::Result<()> {
        use SockOpt::*;
        let v6_level = option.numbers().0 == 41;
        if v6_level && self.family != Family::Inet6 {
            return Err(unknown());
        }
        match option {
            Type | Error | AcceptConn | Protocol | Domain | Info => Err(unknown()),
            RecvPacketInfo => self.set_tell(TELL_PACKET_INFO, value),
            RecvHopLimit => self.set_tell(TELL_HOP_LIMIT, value),
            RecvTrafficClass => self.set_tell(TELL_TRAFFIC_CLASS, value),
            JoinGroup | JoinGroup6 | LeaveGroup | LeaveGroup6 => self.set_group(option, value),
            V6Only if self.is_bound()? => Err(invalid()),
            _ => match self.kind {
                Kind::Stream => self.set_tcp(option, value),
                Kind::Datagram => self.set_udp(option, value),
            },
        }
    }
    fn is_bound(&self) -> io::Result<bool> {
        match self.kind {
            Kind::Stream => self.tcp(|socket| socket.local_addr().is_some()),
            Kind::Datagram => self.udp(|socket| socket.local_addr().is_some()),
        }
    }
    fn set_tell(&self, bit: u8, value: &Value) -> io::Result<()> {
        if value.on()? {
            self.tell.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.tell.fetch_and(!bit, Ordering::Relaxed);
        }
        Ok(())
    }
    /// The interface that a program names.
    fn interface(&self, named: Interface) -> io::Result<Option<InterfaceId>> {
        let nowhere = || from_errno(errno::EADDRNOTAVAIL);
        match named {
            Interface::Any | Interface::Index(0) => Ok(None),
            Interface::Address(ip) if ip.is_unspecified() => Ok(None),
            Interface::Address(ip) => self.host.interface_of(ip.into()).map(Some).ok_or_else(nowhere),
            Interface::Index(n) => {
                let place = u16::try_from(n - 1).map_err(|_| nowhere())?;
                Ok(Some(InterfaceId(place)))
            }
        }
    }
    fn set_group(&self, option: SockOpt, value: &Value) -> io::Result<()> {
        let (group, on) = value.group()?;
        let family = matches!(option, SockOpt::JoinGroup6 | SockOpt::LeaveGroup6);
        if group.is_ipv6() != family || self.is_tcp() {
            return Err(invalid());
        }
        let on = self.interface(on)?;
        let join = matches!(option, SockOpt::JoinGroup | SockOpt::JoinGroup6);
        let result = self.udp(|socket| {
            if join {
                socket.join(group, on)
            } else {
                socket.leave(group, on)
            }
        })?;
        result.map_err(|error| match error {
            // Linux: joining again is EADDRINUSE.
            _ if join && group.is_multicast() => from_errno(errno::EADDRINUSE),
            error => io_error(error),
        })
    }

    fn set_tcp(&self, option: SockOpt, value: &Value) -> io::Result<()> {
        use SockOpt::*;
        if let KeepAlive | KeepIdle | KeepInterval | KeepCount = option {
            return self.set_keepalive(option, value);
        }
        let mut change = tcp_change(option, value)?;
        options::set_tcp(&self.host, self.id, |o| change(o))
    }
    /// Keepalive's three numbers are kept while it is off: setting one does not switch it on (MUST-25).
    fn set_keepalive(&self, option: SockOpt, value: &Value) -> io::Result<()> {
        let mut numbers = self.keepalive()?;
        let mut on = options::tcp(&self.host, self.id)?.keepalive.is_some();
        match option {
            SockOpt::KeepIdle => numbers.idle = seconds(value)?,
            SockOpt::KeepInterval => numbers.interval = seconds(value)?,
            SockOpt::KeepCount => match value.int()? {
                n @ 1..=127 => numbers.count = n as u8,
                _ => return Err(invalid()),
            },
            _ => on = value.on()?,
        }
        *self.keepalive.lock().unwrap_or_else(PoisonError::into_inner) = Some(numbers);
        options::set_tcp(&self.host, self.id, |o| o.keepalive = on.then_some(numbers))
    }
    /// The numbers as they are: those set here, else the connection's (a listener's hands its own down), else the
    /// stack's.
    fn keepalive(&self) -> io::Result<Keepalive> {
        let set = *self.keepalive.lock().unwrap_or_else(PoisonError::into_inner);
        let own = match set {
            Some(numbers) => Some(numbers),
            None => options::tcp(&self.host, self.id)?.keepalive,
        };
        Ok(own.unwrap_or_else(|| self.host.look(|stack, _| keepalive_defaults(stack.config()))))
    }

    fn set_udp(&self, option: SockOpt, value: &Value) -> io::Result<()> {
        use SockOpt::*;
        let set =
            |change: &mut dyn FnMut(&mut UdpOptions)| options::set_udp(&self.host, self.id, |o| change(o));
        match option {
            ReuseAddr => {
                let on = value.on()?;
                set(&mut |o| o.reuse_address = on)
            }
            ReusePort => {
                let on = value.on()?;
                set(&mut |o| o.reuse_port = on)
            }
            Broadcast => {
                let on = value.on()?;
                set(&mut |o| o.broadcast = on)
            }
            V6Only => {
                let on = value.on()?;
                set(&mut |o| o.ipv6_only = on)
            }
            ReceiveBuffer => {
                let size = value.count()?;
                set(&mut |o| o.receive_buffer = Some(size))
            }
            Ttl | HopLimit => {
                let limit = hop_limit(value)?;
                set(&mut |o| o.hop_limit = limit)
            }
            Tos | TrafficClass => {
                let class = traffic_class(value)?;
                set(&mut |o| o.traffic_class = class)
            }
            MulticastTtl | MulticastHops => {
                let limit = match value.int()? {
                    -1 => 1,
                    n => u8::try_from(n).map_err(|_| invalid())?,
                };
                set(&mut |o| o.multicast_hop_limit = limit)
            }
            MulticastLoop | MulticastLoop6 => {
                let on = value.on()?;
                set(&mut |o| o.multicast_loop = on)
            }
            MulticastInterface | MulticastInterface6 => {
                let on = self.interface(value.interface()?)?;
                set(&mut |o| o.multicast_interface = on)
            }
            // They do nothing for datagrams, and are no error on Linux either.
            KeepAlive | OobInline | SendBuffer => value.int().map(|_| ()),
            Linger => value.time().map(|_| ()),
            _ => Err(unknown()),
        }
    }

    pub(super) fn option(&self, option: SockOpt) -> io::Result<Value> {
        use SockOpt::*;
        if option.numbers().0 == 41 && self.family != Family::Inet6 {
            return Err(unknown());
        }
        let tell = |bit| Value::from(self.tell.load(Ordering::Relaxed) & bit != 0);
        Ok(match option {
            Type => Value::Int(self.kind.number()),
            Domain => Value::Int(self.family.number()),
            Protocol => Value::Int(if self.is_tcp() { 6 } else { 17 }),
            AcceptConn => (self.is_tcp() && self.state() == State::Listen).into(),
            Error => Value::Int(self.take_error()?),
            RecvPacketInfo => tell(TELL_PACKET_INFO),
            RecvHopLimit => tell(TELL_HOP_LIMIT),
            RecvTrafficClass => tell(TELL_TRAFFIC_CLASS),
            Info if self.is_tcp() => {
                let info = self.tcp(|socket| socket.info())?;
                let state = self.state();
                Value::Info(Box::new(info.map_or_else(|| no_info(state), |info| known(&info))))
            }
            _ if self.is_tcp() => {
                let config = self.host.look(|stack, _| stack.config().clone());
                tcp_value(
                    option,
                    &options::tcp(&self.host, self.id)?,
                    self.keepalive()?,
                    &config,
                )?
            }
            _ => udp_value(self, option, &options::udp(&self.host, self.id)?)?,
        })
    }
    fn take_error(&self) -> io::Result<i32> {
        let error = match self.kind {
            Kind::Stream => self.tcp(|socket| socket.take_error())?,
            Kind::Datagram => self.udp(|socket| socket.take_error())?,
        };
        Ok(error.map_or(0, |error| error.errno()))
    }
}

fn hop_limit(value: &Value) -> io::Result<Option<u8>> {
    match value.int()? {
        -1 => Ok(None),
        n @ 1..=255 => Ok(Some(n as u8)),
        _ => Err(invalid()),
    }
}
fn traffic_class(value: &Value) -> io::Result<u8> {
    u8::try_from(value.int()?).map_err(|_| invalid())
}
fn keepalive_defaults(config: &Config) -> Keepalive {
    Keepalive {
        idle: config.keepalive_idle,
        interval: config.keepalive_interval,
        count: config.keepalive_count,
    }
}

type TcpChange = Box<dyn FnMut(&mut TcpOptions)>;

/// What setting an option does to a TCP socket's.
fn tcp_change(option: SockOpt, value: &Value) -> io::Result<TcpChange> {
    use SockOpt::*;
    let on = || value.on();
    Ok(match option {
        ReuseAddr => {
            let on = on()?;
            Box::new(move |o| o.reuse_address = on)
        }
        ReusePort => {
            let on = on()?;
            Box::new(move |o| o.reuse_port = on)
        }
        V6Only => {
            let on = on()?;
            Box::new(move |o| o.ipv6_only = on)
        }
        NoDelay => {
            let on = on()?;
            Box::new(move |o| o.nodelay = on)
        }
        Cork => {
            let on = on()?;
            Box::new(move |o| o.cork = on)
        }
        QuickAck => {
            let on = on()?;
            Box::new(move |o| o.quick_ack = on)
        }
        OobInline => {
            let on = on()?;
            Box::new(move |o| o.urgent_inline = on)
        }
        Linger => {
            let time = value.time()?.map(sockeye_stack::Duration::from);
            Box::new(move |o| o.linger = time)
        }
        UserTimeout => {
            let millis = value.count()?;
            let time = (millis > 0).then(|| sockeye_stack::Duration::from_millis(millis.into()));
            Box::new(move |o| o.user_timeout = time)
        }
        SendBuffer => {
            let size = value.count()?;
            Box::new(move |o| o.send_buffer = Some(size))
        }
        ReceiveBuffer => {
            let size = value.count()?;
            Box::new(move |o| o.receive_buffer = Some(size))
        }
        MaxSegment => {
            // Linux's bounds: TCP_MIN_MSS and MAX_TCP_WINDOW.
            let size = match value.int()? {
                0 => None,
                n @ 88..=32_767 => Some(n as u16),
                _ => return Err(invalid()),
            };
            Box::new(move |o| o.max_segment = size)
        }
        Congestion => {
            let control = match value.text()? {
                "cubic" => CongestionControl::Cubic,
                "reno" | "newreno" => CongestionControl::NewReno,
                _ => return Err(from_errno(errno::ENOENT)),
            };
            Box::new(move |o| o.congestion_control = Some(control))
        }
        Ttl | HopLimit => {
            let limit = hop_limit(value)?;
            Box::new(move |o| o.hop_limit = limit)
        }
        Tos | TrafficClass => {
            // The ECN bits of a stream are TCP's own.
            let class = traffic_class(value)? & !3;
            Box::new(move |o| o.traffic_class = class)
        }
        // It has no meaning for a stream, and is no error on Linux either.
        Broadcast => {
            on()?;
            Box::new(|_| {})
        }
        _ => return Err(unknown()),
    })
}

fn tcp_value(option: SockOpt, o: &TcpOptions, keepalive: Keepalive, config: &Config) -> io::Result<Value> {
    use SockOpt::*;
    Ok(match option {
        ReuseAddr => o.reuse_address.into(),
        ReusePort => o.reuse_port.into(),
        V6Only => o.ipv6_only.into(),
        NoDelay => o.nodelay.into(),
        Cork => o.cork.into(),
        QuickAck => o.quick_ack.into(),
        OobInline => o.urgent_inline.into(),
        KeepAlive => o.keepalive.is_some().into(),
        KeepIdle => (keepalive.idle.as_secs() as u32).into(),
        KeepInterval => (keepalive.interval.as_secs() as u32).into(),
        KeepCount => Value::Int(keepalive.count.into()),
        Linger => o.linger.map(Duration::from).into(),
        UserTimeout => (o.user_timeout.map_or(0, |t| t.as_millis()) as u32).into(),
        SendBuffer => o.send_buffer.unwrap_or(config.send_buffer).into(),
        ReceiveBuffer => o.receive_buffer.unwrap_or(config.receive_buffer).into(),
        MaxSegment => Value::Int(o.max_segment.unwrap_or(536).into()),
        Congestion => match o.congestion_control.unwrap_or(config.congestion_control) {
            CongestionControl::Cubic => "cubic".into(),
            CongestionControl::NewReno => "reno".into(),
        },
        Ttl | HopLimit => Value::Int(o.hop_limit.unwrap_or(config.hop_limit).into()),
        Tos | TrafficClass => Value::Int(o.traffic_class.into()),
        Broadcast => false.into(),
        _ => return Err(unknown()),
    })
}

fn udp_value(socket: &StackSocket, option: SockOpt, o: &UdpOptions) -> io::Result<Value> {
    use SockOpt::*;
    let config = socket.host.look(|stack, _| stack.config().clone());
    Ok(match option {
        ReuseAddr => o.reuse_address.into(),
        ReusePort => o.reuse_port.into(),
        V6Only => o.ipv6_only.into(),
        Broadcast => o.broadcast.into(),
        ReceiveBuffer => o.receive_buffer.unwrap_or(config.udp_receive_buffer).into(),
        SendBuffer => config.udp_receive_buffer.into(),
        Ttl | HopLimit => Value::Int(o.hop_limit.unwrap_or(config.hop_limit).into()),
        Tos | TrafficClass => Value::Int(o.traffic_class.into()),
        MulticastTtl | MulticastHops => Value::Int(o.multicast_hop_limit.into()),
        MulticastLoop | MulticastLoop6 => o.multicast_loop.into(),
        MulticastInterface => Value::Interface(match o.multicast_interface {
            Some(on) => match socket.host.address_of(on, false) {
                Some(IpAddr::V4(ip)) => Interface::Address(ip),
                _ => Interface::Address(Ipv4Addr::UNSPECIFIED),
            },
            None => Interface::Any,
        }),
        MulticastInterface6 => Value::Interface(match o.multicast_interface {
            Some(on) => Interface::Index(index_of(on)),
            None => Interface::Any,
        }),
        KeepAlive | OobInline => false.into(),
        Linger => Value::Time(None),
        _ => return Err(unknown()),
    })
}

fn known(info: &TcpInfo) -> Info {
    let segments = |octets: u32| octets.div_ceil(info.snd_mss.max(1));
    Info {
        state: info.state,
        rtt: info.srtt.into(),
        rttvar: info.rttvar.into(),
        rto: info.rto.into(),
        snd_mss: info.snd_mss,
        rcv_mss: info.rcv_mss,
        cwnd: segments(info.cwnd),
        unacked: segments(info.flight),
        retransmits: info.retransmits as u32,
    }
}
/// Before and after there is a connection.
fn no_info(state: State) -> Info {
    Info {
        state,
        rtt: Duration::ZERO,
        rttvar: Duration::ZERO,
        rto: Duration::ZERO,
        snd_mss: 536,
        rcv_mss: 0,
        cwnd: 0,
        unacked: 0,
        retransmits: 0,
    }
}
