//! Options, and what fcntl and ioctl do.

use std::time::Duration;

use sockeye_net::socket::{SockOpt, Value};

use super::{Attempt, EBADF, EINVAL, Reply, argument};
use crate::drill::eval;
use crate::drill::fault::{Difference, Fault};
use crate::drill::syntax::{Call, Expr, Node};
use crate::drill::world::World;

const ENOPROTOOPT: i32 = 92;
const F_GETFL: i64 = 3;
const F_SETFL: i64 = 4;
const NONBLOCK: i64 = 0o4000;
const RDWR: i64 = 2;

fn option(call: &Call) -> Result<Option<SockOpt>, Fault> {
    let (level, name) = (argument(call, 1)?, argument(call, 2)?);
    let numbers = (eval::int(level)?, eval::int(name)?);
    let (Ok(level), Ok(name)) = (i32::try_from(numbers.0), i32::try_from(numbers.1)) else {
        return Ok(None);
    };
    Ok(SockOpt::from_numbers(level, name))
}

fn is_time(option: SockOpt) -> bool {
    matches!(
        option,
        SockOpt::Linger | SockOpt::ReceiveTimeout | SockOpt::SendTimeout
    )
}

/// `[1]`, `"reno"`, `{onoff=1, linger=5}`, `{tv_sec=1, tv_usec=0}`.
fn value(option: SockOpt, expr: &Expr) -> Result<Value, Fault> {
    let expr = eval::one(expr);
    if let Node::Text(text, _) = &expr.node {
        let text = String::from_utf8_lossy(text);
        return Ok(Value::Text(text.trim_end_matches('\0').into()));
    }
    if is_time(option) {
        return Ok(Value::Time(time(expr)?));
    }
    let n = eval::int(expr)?;
    let n = i32::try_from(n).or_else(|_| u32::try_from(n).map(|n| n as i32));
    match n {
        Ok(n) => Ok(Value::Int(n)),
        Err(_) => Err(Fault::script(
            expr.span,
            "this value has more than 32 bits",
            "here",
        )),
    }
}

fn time(expr: &Expr) -> Result<Option<Duration>, Fault> {
    let fields = eval::fields(expr)?;
    let number = |name: &str| match eval::field(fields, name) {
        Some(value) => eval::int(value).map(|n| Some(n.max(0) as u64)),
        None => Ok(None),
    };
    if let Some(on) = number("onoff")? {
        let seconds = number("linger")?.unwrap_or(0);
        return Ok((on != 0).then(|| Duration::from_secs(seconds)));
    }
    let seconds = number("tv_sec")?;
    let micros = number("tv_usec")?;
    if seconds.is_none() && micros.is_none() {
        let message = "a time is {onoff=1, linger=5} or {tv_sec=1, tv_usec=0}";
        return Err(Fault::script(expr.span, message, "neither"));
    }
    let whole = Duration::from_secs(seconds.unwrap_or(0)) + Duration::from_micros(micros.unwrap_or(0));
    Ok((!whole.is_zero()).then_some(whole))
}

impl World {
    pub(super) fn set_option(&mut self, call: &Call) -> Result<Attempt, Fault> {
        let option = option(call)?;
        let given = argument(call, 3)?;
        let Some(held) = self.held(call)? else {
            return Ok(Attempt::errno(EBADF));
        };
        let Some(option) = option else {
            return Ok(Attempt::errno(ENOPROTOOPT));
        };
        let value = value(option, given)?;
        Ok(Attempt::of(
            held.socket.setsockopt(option, value).map(|()| 0),
            false,
        ))
    }
    pub(super) fn get_option(&mut self, call: &Call) -> Result<Attempt, Fault> {
        let option = option(call)?;
        let expected = argument(call, 3)?;
        let Some(held) = self.held(call)? else {
            return Ok(Attempt::errno(EBADF));
        };
        let Some(option) = option else {
            return Ok(Attempt::errno(ENOPROTOOPT));
        };
        let came = match held.socket.getsockopt(option) {
            Ok(came) => came,
            Err(error) => return Ok(Attempt::error(&error, false)),
        };
        let mut differences = Vec::new();
        if eval::one(expected).node != Node::Any {
            let expected = value(option, expected)?;
            if expected != came {
                differences.push(Difference::new("value", words(&expected), words(&came)));
            }
        }
        Ok(Attempt::Done(Reply {
            value: 0,
            errno: None,
            differences,
        }))
    }

    pub(super) fn fcntl(&mut self, call: &Call) -> Result<Attempt, Fault> {
        let fd = eval::int(argument(call, 0)?)?;
        let command = eval::int(argument(call, 1)?)?;
        let flags = match call.arguments.get(2) {
            Some(flags) => eval::int(flags)?,
            None => 0,
        };
        let Some(held) = self.fds.get_mut(&fd) else {
            return Ok(Attempt::errno(EBADF));
        };
        Ok(match command {
            F_GETFL => Attempt::value(RDWR | if held.nonblocking { NONBLOCK } else { 0 }),
            F_SETFL => {
                held.nonblocking = flags & NONBLOCK != 0;
                Attempt::value(0)
            }
            _ => {
                let message = "fcntl knows F_GETFL and F_SETFL here";
                return Err(Fault::unsupported(
                    argument(call, 1)?.span,
                    message,
                    "not supported",
                ));
            }
        })
    }
    pub(super) fn ioctl(&mut self, call: &Call) -> Result<Attempt, Fault> {
        let fd = eval::int(argument(call, 0)?)?;
        let request = argument(call, 1)?;
        let number = eval::int(request)?;
        let given = eval::one(argument(call, 2)?);
        let Some(held) = self.fds.get_mut(&fd) else {
            return Ok(Attempt::errno(EBADF));
        };
        if number == 0x5421 {
            held.nonblocking = eval::int(given)? != 0;
            return Ok(Attempt::value(0));
        }
        let socket = held.socket.clone();
        let Some(came) = self.queue(&socket, number) else {
            if !matches!(number, 0x541b | 0x5411 | 0x8905) {
                let message = "ioctl knows FIONBIO, SIOCINQ, SIOCOUTQ and SIOCATMARK here";
                return Err(Fault::unsupported(request.span, message, "not supported"));
            }
            return Ok(Attempt::errno(EINVAL));
        };
        let mut differences = Vec::new();
        if let Some(expected) = eval::int_or_any(given)?
            && expected != came
        {
            differences.push(Difference::new("value", expected, came));
        }
        Ok(Attempt::Done(Reply {
            value: 0,
            errno: None,
            differences,
        }))
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::Int(n) => n.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Time(None) => "no time".into(),
        Value::Time(Some(time)) => format!("{time:?}"),
        other => format!("{other:?}"),
    }
}
