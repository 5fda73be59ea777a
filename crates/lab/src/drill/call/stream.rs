//! Calls that read and write.

use std::net::SocketAddr;

use sockeye_net::socket::{Flags, Kind, SockOpt, Value};

use super::{Attempt, EBADF, Held, Progress, Reply, argument, flags};
use crate::drill::check;
use crate::drill::conn::{Conn, octets};
use crate::drill::eval::{self, Addr};
use crate::drill::fault::{Difference, Fault};
use crate::drill::syntax::{Call, Expr, Node};
use crate::drill::world::World;

/// What a call is given to fill or to send: buffers, in the order of the iovec.
struct Buffers<'c> {
    /// What the script says stands in each, and its length.
    parts: Vec<(&'c Expr, usize)>,
    flags: Flags,
    /// For sendto and sendmsg.
    to: Addr,
    /// `msg_flags` as expected, for recvmsg.
    expected_flags: Option<i64>,
}

impl Buffers<'_> {
    fn len(&self) -> usize {
        self.parts.iter().map(|(_, len)| len).sum()
    }
}

fn buffers(call: &Call) -> Result<Buffers<'_>, Fault> {
    let plain = |flags| -> Result<Buffers<'_>, Fault> {
        Ok(Buffers {
            parts: vec![(argument(call, 1)?, eval::len(argument(call, 2)?)?)],
            flags,
            to: Addr::Any,
            expected_flags: None,
        })
    };
    match call.name.as_str() {
        "read" | "write" => plain(Flags::empty()),
        "recv" | "send" | "recvfrom" => plain(flags(call, argument(call, 3)?)?),
        "sendto" => {
            let mut buffers = plain(flags(call, argument(call, 3)?)?)?;
            let to = argument(call, 4)?;
            buffers.to = match to.node {
                Node::Word(ref null) if null == "NULL" => Addr::Unspecified,
                Node::Int(0) => Addr::Unspecified,
                _ => eval::address(to)?,
            };
            Ok(buffers)
        }
        "readv" | "writev" => Ok(Buffers {
            parts: vectors(argument(call, 1)?)?,
            flags: Flags::empty(),
            to: Addr::Any,
            expected_flags: None,
        }),
        // recvmsg and sendmsg
        _ => {
            let message = argument(call, 1)?;
            let fields = eval::fields(message)?;
            let to = match eval::field(fields, "msg_name") {
                Some(name) => eval::address(name)?,
                None => Addr::Any,
            };
            if let Some(control) = eval::field(fields, "msg_control")
                && !matches!(&control.node, Node::List(items) if items.is_empty())
            {
                let text = "control messages are not supported";
                return Err(Fault::unsupported(control.span, text, "not supported"));
            }
            let expected_flags = match eval::field(fields, "msg_flags") {
                Some(flags) => eval::int_or_any(flags)?,
                None => None,
            };
            Ok(Buffers {
                parts: vectors(eval::needed(fields, "msg_iov", message.span)?)?,
                flags: flags(call, argument(call, 2)?)?,
                to,
                expected_flags,
            })
        }
    }
}

/// `[{..., 100}, {"abc", 3}]`
fn vectors(expr: &Expr) -> Result<Vec<(&Expr, usize)>, Fault> {
    let one = |item| {
        let fields = eval::fields(item)?;
        match fields {
            [base, len] => Ok((&base.value, eval::len(&len.value)?)),
            _ => Err(Fault::script(
                item.span,
                "an iovec is {..., LENGTH}",
                "not two values",
            )),
        }
    };
    eval::list(expr)?.iter().map(one).collect()
}

impl World {
    pub(super) fn receive(&mut self, call: &Call, progress: &mut Progress) -> Result<Attempt, Fault> {
        let buffers = buffers(call)?;
        let Some(held) = self.held(call)? else {
            return Ok(Attempt::errno(EBADF));
        };
        let waits = self.waits(&held, buffers.flags, SockOpt::ReceiveTimeout, progress);
        let mut data = vec![0; buffers.len()];
        let mut slices = [std::io::IoSliceMut::new(&mut data)];
        let message = match held.socket.recvmsg(&mut slices, buffers.flags) {
            Ok(message) => message,
            Err(error) => return Ok(Attempt::error(&error, waits)),
        };
        let n = message.len.min(data.len());
        let mut differences = Vec::new();
        if let Some(expected) = buffers.expected_flags
            && expected != i64::from(message.flags.bits())
        {
            let hex = |n: i64| format!("{n:#x}");
            let came = hex(message.flags.bits().into());
            differences.push(Difference::new("msg_flags", hex(expected), came));
        }
        self.compare_read(&held, &buffers, &data[..n], &mut differences);
        if let Some(expected) = call.arguments.get(4).filter(|_| call.name == "recvfrom")
            && let Addr::Given(expected) = address_or_null(expected)?
        {
            let came = message.address.and_then(|address| address.as_inet());
            if came != Some(expected) {
                let came = came.map_or("none".into(), |address: SocketAddr| address.to_string());
                differences.push(Difference::new("address", expected, came));
            }
        }
        Ok(Attempt::Done(Reply {
            value: message.len as i64,
            errno: None,
            differences,
        }))
    }
    /// What was read is what the script says, or what came in.
    fn compare_read(&mut self, held: &Held, buffers: &Buffers<'_>, data: &[u8], found: &mut Vec<Difference>) {
        let mut rest = data;
        let mut said = false;
        for (expected, len) in &buffers.parts {
            let (part, behind) = rest.split_at((*len).min(rest.len()));
            rest = behind;
            if let Node::Text(text, open) = &expected.node {
                said = true;
                let same = if *open {
                    part.starts_with(text)
                } else {
                    part == &text[..text.len().min(part.len())] && part.len() <= text.len()
                };
                if !same {
                    let shown = |octets: &[u8]| format!("\"{}\"", octets.escape_ascii());
                    found.push(Difference::new("octets", shown(text), shown(part)));
                }
            }
        }
        let Some(conn) = held.conn.and_then(|conn| self.conns.get_mut(conn)) else {
            return;
        };
        if held.socket.kind() != Kind::Stream || buffers.flags.contains(Flags::OOB) {
            return;
        }
        if buffers.flags.contains(Flags::PEEK) {
            let before = conn.read;
            found.extend(check::read(conn, data));
            conn.read = before;
        } else if said || buffers.flags.contains(Flags::TRUNC) {
            conn.read = conn.read.map(|read| read + data.len() as u64);
        } else {
            found.extend(check::read(conn, data));
        }
    }

    pub(super) fn send(&mut self, call: &Call, progress: &mut Progress) -> Result<Attempt, Fault> {
        let buffers = buffers(call)?;
        let Some(held) = self.held(call)? else {
            return Ok(Attempt::errno(EBADF));
        };
        let waits = self.waits(&held, buffers.flags, SockOpt::SendTimeout, progress);
        let stream = held.socket.kind() == Kind::Stream;
        let to = match (buffers.to, call.name.as_str()) {
            (Addr::Given(to), _) => Some(to),
            (Addr::Any, "sendto") if !stream => Some(SocketAddr::new(
                self.remote_for(held.socket.family()),
                self.connect_port,
            )),
            _ => None,
        };
        let written = held.conn.and_then(|conn| self.conns.get(conn)).map_or(0, |conn| {
            conn.written.len() - progress.done.min(conn.written.len())
        });
        let data = content(&buffers, if stream { written as u64 } else { 0 });
        let rest = &data[progress.done.min(data.len())..];
        let sent = match to {
            Some(to) if !stream => held.socket.sendto(rest, buffers.flags, to),
            _ => held.socket.send(rest, buffers.flags),
        };
        match sent {
            Ok(n) => {
                self.wrote(&held, &rest[..n.min(rest.len())], to, stream);
                progress.done += n;
                // A call that blocks takes everything.
                if stream && waits && progress.done < data.len() {
                    return Ok(Attempt::Blocked);
                }
                Ok(Attempt::value(progress.done as i64))
            }
            Err(error) => match Attempt::error(&error, waits) {
                Attempt::Blocked => Ok(Attempt::Blocked),
                _ if progress.done > 0 => Ok(Attempt::value(progress.done as i64)),
                attempt => Ok(attempt),
            },
        }
    }
    /// The script's account of what is to leave.
    fn wrote(&mut self, held: &Held, data: &[u8], to: Option<SocketAddr>, stream: bool) {
        if stream {
            if let Some(conn) = held.conn.and_then(|conn| self.conns.get_mut(conn)) {
                conn.written.extend_from_slice(data);
            }
            return;
        }
        let local = held
            .socket
            .getsockname()
            .ok()
            .and_then(|address| address.as_inet());
        let to = to.or_else(|| {
            held.socket
                .getpeername()
                .ok()
                .and_then(|address| address.as_inet())
        });
        let (Some(local), Some(to)) = (local, to) else {
            return;
        };
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        let ip = match local.ip().to_canonical() {
            ip if ip.is_unspecified() => self.place.local,
            ip => ip,
        };
        let local = SocketAddr::new(ip, local.port());
        let conn = match self.conn_between(local, to) {
            Some(conn) => conn,
            None => self.add_conn(Conn::new(local, to)),
        };
        self.current = Some(conn);
        self.conns[conn].datagrams.push_back(data.to_vec());
    }
    fn remote_for(&self, family: sockeye_net::socket::Family) -> std::net::IpAddr {
        match (family, self.remote) {
            (sockeye_net::socket::Family::Inet6, std::net::IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
            (_, ip) => ip,
        }
    }

    /// Whether a call on this socket waits; and if it does so for a time only, until when.
    fn waits(&self, held: &Held, flags: Flags, timeout: SockOpt, progress: &mut Progress) -> bool {
        if held.nonblocking || flags.contains(Flags::DONTWAIT) {
            return false;
        }
        if !progress.begun
            && let Ok(Value::Time(Some(time))) = held.socket.getsockopt(timeout)
        {
            progress.deadline = Some(self.engine.now() + time.as_micros().min(i64::MAX as u128 / 2) as i64);
        }
        true
    }
}

fn address_or_null(expr: &Expr) -> Result<Addr, Fault> {
    match &expr.node {
        Node::Int(0) => Ok(Addr::Any),
        Node::Word(word) if word == "NULL" => Ok(Addr::Any),
        _ => eval::address(expr),
    }
}

/// What is sent: the script's texts, and else octets that tell their place in the stream.
fn content(buffers: &Buffers<'_>, from: u64) -> Vec<u8> {
    let mut data = Vec::with_capacity(buffers.len());
    for (said, len) in &buffers.parts {
        match &said.node {
            Node::Text(text, _) => {
                data.extend(text.iter().copied().chain(std::iter::repeat(0)).take(*len));
            }
            _ => data.extend(octets(from + data.len() as u64, *len)),
        }
    }
    data
}
