//! The calls of any descriptor: reading, writing, waiting.

use libc::{
    c_int, c_long, c_uint, c_ulong, c_void, epoll_event, iovec, loff_t, nfds_t, pollfd, size_t, ssize_t,
};

use super::memory::{Buffers, error, get, get_all, octets, put, put_all, put_octets, room};
use super::{Handle, call, length};
use crate::machine::{Change, Events, Interest, Ioctl, PollRow};

/// The most rows of a call that waits.
const ROWS: usize = 1 << 16;

pub(super) unsafe extern "C" fn read(handle: Handle, fd: c_int, to: *mut c_void, len: size_t) -> ssize_t {
    call(handle, -1, |machine| {
        let mut buf = room(len)?;
        if to.is_null() && len > 0 {
            return Err(error(libc::EFAULT)); // before anything is taken
        }
        let n = machine.read(fd, &mut buf)?;
        // SAFETY: valid for `len` octets, says the caller; no more come.
        unsafe { put_octets(to, &buf[..n])? };
        Ok(length(n))
    })
}
pub(super) unsafe extern "C" fn readv(handle: Handle, fd: c_int, all: *const iovec, count: c_int) -> ssize_t {
    call(handle, -1, |machine| {
        // SAFETY: valid as they say, says the caller.
        let buffers = unsafe { Buffers::new(all, usize::try_from(count).map_err(|_| error(libc::EINVAL))?)? };
        let mut buf = room(buffers.len())?;
        let n = machine.read(fd, &mut buf)?;
        buffers.scatter(&buf[..n])?;
        Ok(length(n))
    })
}
pub(super) unsafe extern "C" fn write(
    handle: Handle,
    fd: c_int,
    from: *const c_void,
    len: size_t,
) -> ssize_t {
    call(handle, -1, |machine| {
        // SAFETY: valid for so many octets, says the caller.
        machine.write(fd, &unsafe { octets(from, len)? }).map(length)
    })
}
pub(super) unsafe extern "C" fn writev(
    handle: Handle,
    fd: c_int,
    all: *const iovec,
    count: c_int,
) -> ssize_t {
    call(handle, -1, |machine| {
        // SAFETY: valid as they say, says the caller.
        let buffers = unsafe { Buffers::new(all, usize::try_from(count).map_err(|_| error(libc::EINVAL))?)? };
        machine.write(fd, &buffers.gather()?).map(length)
    })
}
pub(super) unsafe extern "C" fn close(handle: Handle, fd: c_int) -> c_int {
    call(handle, -1, |machine| machine.close(fd).map(|()| 0))
}

/// The last argument is C's `...`: see the module above.
pub(super) unsafe extern "C" fn fcntl(handle: Handle, fd: c_int, command: c_int, argument: c_long) -> c_int {
    // An int was passed, if anything: what stands above it is left over.
    call(handle, -1, |machine| {
        machine.fcntl(fd, command, argument as c_int)
    })
}
/// The last argument is C's `...`: see the module above.
pub(super) unsafe extern "C" fn ioctl(
    handle: Handle,
    fd: c_int,
    request: c_ulong,
    argument: *mut c_int,
) -> c_int {
    call(handle, -1, |machine| {
        let request = Ioctl::from_number(request).ok_or_else(|| error(libc::ENOTTY))?;
        // SAFETY: all requests that are known have a pointer to an int, which is valid, says the caller.
        unsafe {
            let given = if request.is_given() { get(argument)? } else { 0 };
            let told = machine.ioctl(fd, request, given)?;
            if !request.is_given() {
                put(argument, told)?;
            }
        }
        Ok(0)
    })
}

pub(super) unsafe extern "C" fn poll(
    handle: Handle,
    all: *mut pollfd,
    count: nfds_t,
    timeout: c_int,
) -> c_int {
    call(handle, -1, |machine| {
        let count = usize::try_from(count)
            .ok()
            .filter(|n| *n <= ROWS)
            .ok_or_else(|| error(libc::EINVAL))?;
        // SAFETY: valid for so many, says the caller.
        let mut rows = unsafe { get_all(all, count)? };
        let row = |of: &pollfd| PollRow {
            fd: of.fd,
            events: Events::from_bits_retain(of.events as u16),
            revents: Events::empty(),
        };
        let mut polled: Vec<PollRow> = rows.iter().map(row).collect();
        let n = machine.poll(&mut polled, timeout)?;
        for (row, polled) in rows.iter_mut().zip(&polled) {
            row.revents = polled.revents.bits() as _;
        }
        // SAFETY: as above.
        unsafe { put_all(all, &rows)? };
        Ok(n as c_int)
    })
}
pub(super) unsafe extern "C" fn epoll_create(handle: Handle, size: c_int) -> c_int {
    call(handle, -1, |machine| machine.epoll_create(size))
}
pub(super) unsafe extern "C" fn epoll_ctl(
    handle: Handle,
    set: c_int,
    change: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    call(handle, -1, |machine| {
        let change = match change {
            libc::EPOLL_CTL_ADD => Change::Add,
            libc::EPOLL_CTL_MOD => Change::Modify,
            libc::EPOLL_CTL_DEL => Change::Remove,
            _ => return Err(error(libc::EINVAL)),
        };
        let wanted = change != Change::Remove && !event.is_null();
        // SAFETY: valid for reading, says the caller.
        let event = wanted.then(|| unsafe { get(event) }).transpose()?;
        let interest = event.map(|event| Interest {
            events: event.events,
            data: event.u64,
        });
        machine.epoll_ctl(set, change, fd, interest)?;
        Ok(0)
    })
}
pub(super) unsafe extern "C" fn epoll_wait(
    handle: Handle,
    set: c_int,
    to: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    call(handle, -1, |machine| {
        let most = usize::try_from(most).map_err(|_| error(libc::EINVAL))?.min(ROWS);
        if to.is_null() {
            return Err(error(libc::EFAULT)); // before anything is told
        }
        let told = machine.epoll_wait(set, most, timeout)?;
        let event = |interest: &Interest| epoll_event {
            events: interest.events,
            u64: interest.data,
        };
        let events: Vec<epoll_event> = told.iter().map(event).collect();
        // SAFETY: valid for `most` of them, says the caller; no more come.
        unsafe { put_all(to, &events)? };
        Ok(events.len() as c_int)
    })
}

pub(super) unsafe extern "C" fn pipe(handle: Handle, to: *mut c_int) -> c_int {
    call(handle, -1, |machine| {
        if to.is_null() {
            return Err(error(libc::EFAULT));
        }
        let (read, write) = machine.pipe()?;
        // SAFETY: valid for two of them, says the caller.
        unsafe { put_all(to, &[read, write])? };
        Ok(0)
    })
}
pub(super) unsafe extern "C" fn splice(
    handle: Handle,
    from: c_int,
    from_offset: *mut loff_t,
    to: c_int,
    to_offset: *mut loff_t,
    len: size_t,
    flags: c_uint,
) -> ssize_t {
    call(handle, -1, |machine| {
        for offset in [from_offset, to_offset] {
            // Neither a pipe nor a socket has offsets. Zero is taken for none: packetdrill has no other way to say so.
            // SAFETY: valid for reading, says the caller.
            if !offset.is_null() && unsafe { get(offset)? } != 0 {
                return Err(error(libc::ESPIPE));
            }
        }
        machine.splice(from, to, len, flags).map(length)
    })
}
