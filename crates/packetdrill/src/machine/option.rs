//! Options as C has them: level, name and octets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use sockeye_net::socket::{Interface, Kind, SockOpt, Socket, Value};

use super::Machine;
use super::info::{self, TCP_CC_INFO_LEN};

/// Options that are octets of their own making, not a value of [`SockOpt`].
const TCP_CC_INFO: (i32, i32) = (libc::IPPROTO_TCP, 26);
const SO_MEMINFO: (i32, i32) = (libc::SOL_SOCKET, 55);
/// The name of a congestion control: TCP_CA_NAME_MAX.
const NAME_MAX: usize = 16;

fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}
/// The first four octets as a number.
fn int(value: &[u8]) -> io::Result<i32> {
    let octets = value.first_chunk().ok_or_else(|| error(libc::EINVAL))?;
    Ok(i32::from_ne_bytes(*octets))
}

/// The value of an option, whole.
pub(super) fn get(machine: &Machine, socket: &Socket, level: i32, name: i32) -> io::Result<Vec<u8>> {
    let host = machine.host();
    let id = socket.stack_id().ok_or_else(|| error(libc::ENOPROTOOPT))?;
    if (level, name) == SO_MEMINFO {
        let size = |option| {
            socket
                .getsockopt(option)
                .and_then(|value| value.int())
                .unwrap_or(0) as u32
        };
        let (receive, send) = (size(SockOpt::ReceiveBuffer), size(SockOpt::SendBuffer));
        let mut stack = host.lock();
        return Ok(info::memory(&mut stack, host.now(), id, receive, send).into());
    }
    if socket.kind() == Kind::Stream && (level, name) == TCP_CC_INFO {
        // Neither CUBIC nor NewReno has figures of its own to tell; those of Vegas, DCTCP and BBR are zero.
        return Ok(vec![0; TCP_CC_INFO_LEN]);
    }
    let option = SockOpt::from_numbers(level, name).ok_or_else(|| error(libc::ENOPROTOOPT))?;
    if option == SockOpt::Info {
        let mut stack = host.lock();
        let told = info::tcp_info(&mut stack, host.now(), id);
        return told.map(Vec::from).ok_or_else(|| error(libc::EOPNOTSUPP));
    }
    let value = socket.getsockopt(option)?;
    Ok(match (option, value) {
        (SockOpt::Linger, Value::Time(time)) => {
            let seconds = time.map_or(0, |time| time.as_secs().try_into().unwrap_or(i32::MAX));
            [i32::from(time.is_some()), seconds]
                .iter()
                .flat_map(|n| n.to_ne_bytes())
                .collect()
        }
        (_, Value::Time(time)) => {
            let time = time.unwrap_or_default();
            let parts = [time.as_secs() as i64, time.subsec_micros().into()];
            parts.iter().flat_map(|n| n.to_ne_bytes()).collect()
        }
        (_, Value::Text(text)) => {
            let mut octets = text.into_bytes();
            octets.resize(NAME_MAX, 0);
            octets
        }
        (_, Value::Interface(Interface::Address(ip))) => ip.octets().into(),
        (SockOpt::MulticastInterface, _) => Ipv4Addr::UNSPECIFIED.octets().into(),
        (_, Value::Interface(Interface::Index(index))) => index.to_ne_bytes().into(),
        (_, Value::Int(n)) => n.to_ne_bytes().into(),
        _ => 0i32.to_ne_bytes().into(),
    })
}

/// Sets an option.
pub(super) fn set(socket: &Socket, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let option = SockOpt::from_numbers(level, name).ok_or_else(|| error(libc::ENOPROTOOPT))?;
    let value: Value = match option {
        SockOpt::Linger => {
            let (on, seconds) = (int(value)?, int(value.get(4..).unwrap_or_default())?);
            let seconds = u64::try_from(seconds).unwrap_or(0);
            Value::Time((on != 0).then(|| Duration::from_secs(seconds)))
        }
        SockOpt::ReceiveTimeout | SockOpt::SendTimeout => Value::Time(timeval(value)?),
        SockOpt::Congestion => {
            let end = value.iter().position(|octet| *octet == 0).unwrap_or(value.len());
            let text = std::str::from_utf8(&value[..end.min(NAME_MAX)]).map_err(|_| error(libc::ENOENT))?;
            text.into()
        }
        SockOpt::JoinGroup | SockOpt::LeaveGroup => v4_group(value)?,
        SockOpt::JoinGroup6 | SockOpt::LeaveGroup6 => {
            let group: [u8; 16] = *value.first_chunk().ok_or_else(|| error(libc::EINVAL))?;
            let index = int(value.get(16..).unwrap_or_default())? as u32;
            Value::Group(IpAddr::from(Ipv6Addr::from(group)), Interface::Index(index))
        }
        SockOpt::MulticastInterface => Value::Interface(match value.len() {
            4..12 => Interface::Address(v4(value)?),
            _ => member(value)?,
        }),
        SockOpt::MulticastInterface6 => Value::Interface(Interface::Index(int(value)? as u32)),
        // Linux: options of IPv4 are taken from one octet, too.
        _ if level == libc::IPPROTO_IP && (1..4).contains(&value.len()) => Value::Int(value[0].into()),
        _ => Value::Int(int(value)?),
    };
    socket.setsockopt(option, value)
}

/// `struct timeval`; zero is for ever.
fn timeval(value: &[u8]) -> io::Result<Option<Duration>> {
    let word = |at: usize| {
        let octets = value.get(at..).and_then(<[u8]>::first_chunk);
        octets
            .map(|octets| i64::from_ne_bytes(*octets))
            .ok_or_else(|| error(libc::EINVAL))
    };
    let (seconds, micros) = (word(0)?, word(8)?);
    if !(0..1_000_000).contains(&micros) {
        return Err(error(libc::EDOM));
    }
    // Linux: a time before now is over at once.
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let time = Duration::from_secs(seconds) + Duration::from_micros(micros as u64);
    Ok((!time.is_zero()).then_some(time))
}
fn v4(value: &[u8]) -> io::Result<Ipv4Addr> {
    let octets: [u8; 4] = *value.first_chunk().ok_or_else(|| error(libc::EINVAL))?;
    Ok(octets.into())
}
/// Address and index of `struct ip_mreqn`: the index counts, where there is one.
fn member(value: &[u8]) -> io::Result<Interface> {
    let index = int(value.get(8..).unwrap_or_default())?;
    Ok(match index {
        0 => Interface::Address(v4(value.get(4..).unwrap_or_default())?),
        index => Interface::Index(index as u32),
    })
}
/// `struct ip_mreq` or `struct ip_mreqn`.
fn v4_group(value: &[u8]) -> io::Result<Value> {
    let group = IpAddr::from(v4(value)?);
    let on = match value.len() {
        8..12 => Interface::Address(v4(&value[4..])?),
        _ => member(value)?,
    };
    Ok(Value::Group(group, on))
}
