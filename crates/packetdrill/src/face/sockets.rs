//! The calls of sockets.

use std::io;

use libc::{c_int, c_void, msghdr, size_t, sockaddr, socklen_t, ssize_t};

use super::memory::{Buffers, control, error, get, name, octets, put, put_name, put_octets, room};
use super::{Handle, call, length};
use crate::machine::Received;

/// More than any option has: the rest is not looked at.
const OPTION: usize = 4096;

pub(super) unsafe extern "C" fn socket(handle: Handle, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    call(handle, -1, |machine| machine.socket(domain, kind, protocol))
}
pub(super) unsafe extern "C" fn bind(
    handle: Handle,
    fd: c_int,
    to: *const sockaddr,
    len: socklen_t,
) -> c_int {
    call(handle, -1, |machine| {
        // SAFETY: valid for so many octets, says the caller.
        machine.bind(fd, &unsafe { name(to, len)? })?;
        Ok(0)
    })
}
pub(super) unsafe extern "C" fn listen(handle: Handle, fd: c_int, backlog: c_int) -> c_int {
    call(handle, -1, |machine| machine.listen(fd, backlog).map(|()| 0))
}
pub(super) unsafe extern "C" fn accept(
    handle: Handle,
    fd: c_int,
    to: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    call(handle, -1, |machine| {
        if !to.is_null() && len.is_null() {
            return Err(error(libc::EFAULT)); // before a connection is taken
        }
        let (new, peer) = machine.accept(fd)?;
        // SAFETY: valid as they say, says the caller.
        match unsafe { put_name(to, len, &peer) } {
            Ok(()) => Ok(new),
            Err(error) => {
                let _ = machine.close(new);
                Err(error)
            }
        }
    })
}
pub(super) unsafe extern "C" fn connect(
    handle: Handle,
    fd: c_int,
    to: *const sockaddr,
    len: socklen_t,
) -> c_int {
    call(handle, -1, |machine| {
        // SAFETY: valid for so many octets, says the caller.
        machine.connect(fd, &unsafe { name(to, len)? })?;
        Ok(0)
    })
}
pub(super) unsafe extern "C" fn shutdown(handle: Handle, fd: c_int, how: c_int) -> c_int {
    call(handle, -1, |machine| machine.shutdown(fd, how).map(|()| 0))
}

pub(super) unsafe extern "C" fn recv(
    handle: Handle,
    fd: c_int,
    to: *mut c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: as the caller says; NULL is allowed for the rest.
    unsafe {
        recvfrom(
            handle,
            fd,
            to,
            len,
            flags,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    }
}
pub(super) unsafe extern "C" fn recvfrom(
    handle: Handle,
    fd: c_int,
    to: *mut c_void,
    len: size_t,
    flags: c_int,
    from: *mut sockaddr,
    from_len: *mut socklen_t,
) -> ssize_t {
    call(handle, -1, |machine| {
        let mut buf = room(len)?;
        let drops = flags & libc::MSG_TRUNC != 0;
        // What cannot be told must not be taken.
        if (to.is_null() && len > 0 && !drops) || (!from.is_null() && from_len.is_null()) {
            return Err(error(libc::EFAULT));
        }
        let Received { len, name, .. } = machine.receive(fd, &mut buf, flags)?;
        // SAFETY: valid as they say, says the caller; no more is written than the buffer was said to hold.
        unsafe {
            if !to.is_null() {
                put_octets(to, &buf[..len.min(buf.len())])?;
            }
            put_name(from, from_len, &name)?;
        }
        Ok(length(len))
    })
}
pub(super) unsafe extern "C" fn recvmsg(
    handle: Handle,
    fd: c_int,
    message: *mut msghdr,
    flags: c_int,
) -> ssize_t {
    call(handle, -1, |machine| {
        // SAFETY: valid for reading and writing, says the caller, with all that it points to.
        let (mut told, buffers) = unsafe {
            let told = get(message)?;
            (
                told,
                Buffers::new(told.msg_iov, count(told.msg_iovlen)?).map_err(too_many)?,
            )
        };
        let mut buf = room(buffers.len())?;
        let Received {
            len,
            name,
            flags,
            control: items,
        } = machine.receive(fd, &mut buf, flags)?;
        buffers.scatter(&buf[..len.min(buf.len())])?;
        let (ancillary, cut) = control(&items, count(told.msg_controllen)?);
        // SAFETY: no more is written than the caller says there is room for.
        unsafe {
            put_name(told.msg_name.cast(), &raw mut told.msg_namelen, &name)?;
            put_octets(told.msg_control, &ancillary)?;
        }
        told.msg_controllen = ancillary.len() as _;
        told.msg_flags = flags | if cut { libc::MSG_CTRUNC } else { 0 };
        // SAFETY: as above.
        unsafe { put(message, told)? };
        Ok(length(len))
    })
}
/// A number whose type is not the same in every C library.
fn count(n: impl TryInto<usize>) -> io::Result<usize> {
    n.try_into().map_err(|_| error(libc::EINVAL))
}
/// Linux: the number of buffers is told apart from their size.
fn too_many(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EINVAL) => io::Error::from_raw_os_error(libc::EMSGSIZE),
        _ => error,
    }
}

pub(super) unsafe extern "C" fn send(
    handle: Handle,
    fd: c_int,
    from: *const c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: as the caller says; NULL is allowed for the rest.
    unsafe { sendto(handle, fd, from, len, flags, std::ptr::null(), 0) }
}
pub(super) unsafe extern "C" fn sendto(
    handle: Handle,
    fd: c_int,
    from: *const c_void,
    len: size_t,
    flags: c_int,
    to: *const sockaddr,
    to_len: socklen_t,
) -> ssize_t {
    call(handle, -1, |machine| {
        // SAFETY: valid as they say, says the caller.
        let (data, to) = unsafe {
            let to = (!to.is_null()).then(|| name(to, to_len)).transpose()?;
            (octets(from, len)?, to)
        };
        machine.send(fd, &data, flags, to.as_deref()).map(length)
    })
}
pub(super) unsafe extern "C" fn sendmsg(
    handle: Handle,
    fd: c_int,
    message: *const msghdr,
    flags: c_int,
) -> ssize_t {
    call(handle, -1, |machine| {
        // SAFETY: valid for reading, says the caller, with all that it points to.
        let (to, data) = unsafe {
            let message = get(message)?;
            if count(message.msg_controllen)? > 0 {
                return Err(error(libc::EINVAL)); // hop limit and the like are set by options
            }
            let buffers = Buffers::new(message.msg_iov, count(message.msg_iovlen)?).map_err(too_many)?;
            let named = !message.msg_name.is_null() && message.msg_namelen > 0;
            let to = named
                .then(|| name(message.msg_name.cast(), message.msg_namelen))
                .transpose()?;
            (to, buffers.gather()?)
        };
        machine.send(fd, &data, flags, to.as_deref()).map(length)
    })
}

pub(super) unsafe extern "C" fn getsockopt(
    handle: Handle,
    fd: c_int,
    level: c_int,
    name: c_int,
    to: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    call(handle, -1, |machine| {
        let value = machine.getsockopt(fd, level, name)?;
        // SAFETY: as the caller says.
        unsafe { put_option(&value, to, len) }
    })
}
/// Writes as much of a value as there is room for, and says how much.
///
/// # Safety
/// `to` is NULL, or valid for writing as many octets as `len` says; `len` is NULL, or valid for reading and writing.
pub(super) unsafe fn put_option(value: &[u8], to: *mut c_void, len: *mut socklen_t) -> io::Result<c_int> {
    // SAFETY: as the caller says; no more is written than `len` allows.
    unsafe {
        let room = get(len)?;
        if i32::try_from(room).is_err() {
            return Err(error(libc::EINVAL));
        }
        let told = &value[..value.len().min(room as usize)];
        put_octets(to, told)?;
        put(len, told.len() as socklen_t)?;
    }
    Ok(0)
}
pub(super) unsafe extern "C" fn setsockopt(
    handle: Handle,
    fd: c_int,
    level: c_int,
    name: c_int,
    from: *const c_void,
    len: socklen_t,
) -> c_int {
    call(handle, -1, |machine| {
        if i32::try_from(len).is_err() {
            return Err(error(libc::EINVAL));
        }
        // SAFETY: valid for so many octets, says the caller.
        let value = unsafe { octets(from, (len as usize).min(OPTION))? };
        machine.setsockopt(fd, level, name, &value)?;
        Ok(0)
    })
}
