//! The C face: pointers become slices and numbers, errors become -1 and the calling thread's errno.
//!
//! Each function catches what panics below it and fails with EFAULT then: a fault of ours is no end of the program that
//! loaded us. What is written stands in the caller's memory by copies alone.
//!
//! # Variadic functions
//! In C, `fcntl` and `ioctl` end in `...`. They are defined here with one more argument of a machine word. That is what
//! they are to the machine: on x86-64 (System V) and aarch64 (AAPCS64) an integer or pointer passed through `...` comes in
//! the register that a named argument in its place would come in. Only its low 32 bits count where C passes an `int`, and
//! where C passes none the register holds something left over, so it is looked at for those commands alone that have one.
//! Other architectures are not built before somebody has looked.
#![allow(unsafe_code)]

mod files;
mod memory;
mod registry;
mod sockets;

use std::ffi::CStr;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use libc::{
    c_char, c_int, c_long, c_longlong, c_uint, c_ulong, c_void, epoll_event, iovec, loff_t, msghdr, nfds_t,
    pollfd, size_t, sockaddr, socklen_t, ssize_t, timeval,
};
use nix::errno::Errno;

use crate::flags::Settings;
use crate::machine::Machine;
use memory::{error, put_octets};

/// What a program is given back with: the number of its machine.
type Handle = *mut c_void;

/// The 33 pointers, as the header that programs include has them.
#[repr(C)]
#[derive(Clone, Copy)]
struct Interface {
    userdata: Handle,
    free: unsafe extern "C" fn(Handle),
    socket: unsafe extern "C" fn(Handle, c_int, c_int, c_int) -> c_int,
    bind: unsafe extern "C" fn(Handle, c_int, *const sockaddr, socklen_t) -> c_int,
    listen: unsafe extern "C" fn(Handle, c_int, c_int) -> c_int,
    accept: unsafe extern "C" fn(Handle, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    connect: unsafe extern "C" fn(Handle, c_int, *const sockaddr, socklen_t) -> c_int,
    read: unsafe extern "C" fn(Handle, c_int, *mut c_void, size_t) -> ssize_t,
    readv: unsafe extern "C" fn(Handle, c_int, *const iovec, c_int) -> ssize_t,
    recv: unsafe extern "C" fn(Handle, c_int, *mut c_void, size_t, c_int) -> ssize_t,
    recvfrom: unsafe extern "C" fn(
        Handle,
        c_int,
        *mut c_void,
        size_t,
        c_int,
        *mut sockaddr,
        *mut socklen_t,
    ) -> ssize_t,
    recvmsg: unsafe extern "C" fn(Handle, c_int, *mut msghdr, c_int) -> ssize_t,
    write: unsafe extern "C" fn(Handle, c_int, *const c_void, size_t) -> ssize_t,
    writev: unsafe extern "C" fn(Handle, c_int, *const iovec, c_int) -> ssize_t,
    send: unsafe extern "C" fn(Handle, c_int, *const c_void, size_t, c_int) -> ssize_t,
    sendto: unsafe extern "C" fn(
        Handle,
        c_int,
        *const c_void,
        size_t,
        c_int,
        *const sockaddr,
        socklen_t,
    ) -> ssize_t,
    sendmsg: unsafe extern "C" fn(Handle, c_int, *const msghdr, c_int) -> ssize_t,
    fcntl: unsafe extern "C" fn(Handle, c_int, c_int, c_long) -> c_int,
    ioctl: unsafe extern "C" fn(Handle, c_int, c_ulong, *mut c_int) -> c_int,
    close: unsafe extern "C" fn(Handle, c_int) -> c_int,
    shutdown: unsafe extern "C" fn(Handle, c_int, c_int) -> c_int,
    getsockopt: unsafe extern "C" fn(Handle, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    setsockopt: unsafe extern "C" fn(Handle, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    poll: unsafe extern "C" fn(Handle, *mut pollfd, nfds_t, c_int) -> c_int,
    netdev_send: unsafe extern "C" fn(Handle, *const c_void, size_t) -> c_int,
    netdev_receive: unsafe extern "C" fn(Handle, *mut c_void, *mut size_t, *mut c_longlong) -> c_int,
    usleep: unsafe extern "C" fn(Handle, c_uint) -> c_int,
    gettimeofday: unsafe extern "C" fn(Handle, *mut timeval, *mut [c_int; 2]) -> c_int,
    epoll_create: unsafe extern "C" fn(Handle, c_int) -> c_int,
    epoll_ctl: unsafe extern "C" fn(Handle, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    epoll_wait: unsafe extern "C" fn(Handle, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pipe: unsafe extern "C" fn(Handle, *mut c_int) -> c_int,
    splice: unsafe extern "C" fn(Handle, c_int, *mut loff_t, c_int, *mut loff_t, size_t, c_uint) -> ssize_t,
}

const _: () = assert!(size_of::<Interface>() == 33 * size_of::<usize>());

/// Runs `run`; what it cannot do becomes errno and `failed`. Where it can, errno stays as it was.
fn guarded<R>(failed: R, run: impl FnOnce() -> io::Result<R>) -> R {
    let before = Errno::last_raw();
    let number = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(result)) => {
            Errno::set_raw(before);
            return result;
        }
        Ok(Err(error)) => number(&error),
        Err(panic) => {
            // Dropping what it carries could panic once more.
            std::mem::forget(panic);
            libc::EFAULT
        }
    };
    Errno::set_raw(number);
    failed
}
/// Runs a call of a machine.
fn call<R>(handle: Handle, failed: R, run: impl FnOnce(&Machine) -> io::Result<R>) -> R {
    guarded(failed, || run(&*registry::find(handle)?))
}
/// Linux's number of an error.
fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(match error.kind() {
        io::ErrorKind::WouldBlock => libc::EAGAIN,
        io::ErrorKind::TimedOut => libc::ETIMEDOUT,
        io::ErrorKind::InvalidInput => libc::EINVAL,
        io::ErrorKind::Unsupported => libc::EOPNOTSUPP,
        _ => libc::EIO,
    })
}
/// A length that a call returns. It is bounded by [`memory::MOST`].
fn length(n: usize) -> ssize_t {
    ssize_t::try_from(n).unwrap_or(ssize_t::MAX)
}

/// Makes a machine as `flags` say, and fills in how it is called. Where they cannot be understood it says on stderr what
/// could, and all calls fail with EINVAL (`netdev_receive` has nothing, since programs repeat it when it fails).
///
/// # Safety
/// `flags` is NULL or a text that ends in NUL; `interface` is NULL, or valid for writing 33 pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, interface: *mut c_void) {
    guarded((), || {
        if interface.is_null() {
            return Err(error(libc::EFAULT));
        }
        let machine = if flags.is_null() {
            machine("")
        } else {
            // SAFETY: it ends in NUL, says the caller, and nobody changes it meanwhile.
            let text = unsafe { CStr::from_ptr(flags) };
            text.to_str()
                .map_err(|_| "the flags are not UTF-8".into())
                .and_then(machine)
        };
        let machine = machine.inspect_err(|error| {
            let _ = writeln!(io::stderr(), "sockeye: {error}");
        });
        let filled = filled(registry::add(machine.ok()));
        // SAFETY: valid for as many pointers, says the caller.
        unsafe { memory::put(interface.cast::<Interface>(), filled) }
    });
}

fn machine(flags: &str) -> Result<Machine, String> {
    let settings: Settings = flags
        .parse()
        .map_err(|error: crate::SettingsError| error.to_string())?;
    Machine::new(&settings).map_err(|error| {
        let file = settings.trace.as_deref().unwrap_or("".as_ref());
        format!("{}: {error}", file.display())
    })
}

fn filled(userdata: Handle) -> Interface {
    Interface {
        userdata,
        free,
        socket: sockets::socket,
        bind: sockets::bind,
        listen: sockets::listen,
        accept: sockets::accept,
        connect: sockets::connect,
        read: files::read,
        readv: files::readv,
        recv: sockets::recv,
        recvfrom: sockets::recvfrom,
        recvmsg: sockets::recvmsg,
        write: files::write,
        writev: files::writev,
        send: sockets::send,
        sendto: sockets::sendto,
        sendmsg: sockets::sendmsg,
        fcntl: files::fcntl,
        ioctl: files::ioctl,
        close: files::close,
        shutdown: sockets::shutdown,
        getsockopt: sockets::getsockopt,
        setsockopt: sockets::setsockopt,
        poll: files::poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create: files::epoll_create,
        epoll_ctl: files::epoll_ctl,
        epoll_wait: files::epoll_wait,
        pipe: files::pipe,
        splice: files::splice,
    }
}

/// Ends a machine. Calls of it that wait, in other threads, fail with EBADF.
unsafe extern "C" fn free(handle: Handle) {
    guarded((), || {
        if let Some(machine) = registry::remove(handle) {
            machine.close_all();
        }
        Ok(())
    });
}

unsafe extern "C" fn netdev_send(handle: Handle, packet: *const c_void, len: size_t) -> c_int {
    call(handle, -1, |machine| {
        // SAFETY: valid for so many octets, says the caller.
        machine.netdev_send(&unsafe { memory::octets(packet, len)? })?;
        Ok(0)
    })
}

/// It fails only where it is not told where to write: a caller repeats it for ever when it fails.
unsafe extern "C" fn netdev_receive(
    handle: Handle,
    to: *mut c_void,
    count: *mut size_t,
    time: *mut c_longlong,
) -> c_int {
    let mut told = 0;
    let result = guarded(-1, || {
        // SAFETY: valid for reading and writing, says the caller.
        let room = unsafe { memory::get(count)? };
        // SAFETY: as above.
        unsafe { memory::put(count, 0)? };
        if to.is_null() && room > 0 {
            return Err(error(libc::EFAULT)); // before a packet is taken
        }
        let Some(packet) = call(handle, None, Machine::netdev_receive) else {
            return Ok(0);
        };
        told = packet.bytes.len().min(room);
        // SAFETY: no more is written than the caller says there is room for.
        unsafe { put_octets(to, &packet.bytes[..told])? };
        if !time.is_null() {
            // SAFETY: valid for writing, says the caller.
            unsafe { memory::put(time, crate::machine::wall(packet.at) as c_longlong)? };
        }
        Ok(0)
    });
    if result == 0 && told > 0 {
        // SAFETY: as above. A pointer that was refused does not come here.
        let _ = unsafe { memory::put(count, told) };
    }
    result
}

unsafe extern "C" fn usleep(handle: Handle, micros: c_uint) -> c_int {
    call(handle, -1, |machine| machine.usleep(micros).map(|()| 0))
}

unsafe extern "C" fn gettimeofday(handle: Handle, to: *mut timeval, zone: *mut [c_int; 2]) -> c_int {
    call(handle, -1, |machine| {
        let micros = machine.gettimeofday()?;
        if !to.is_null() {
            let time = timeval {
                tv_sec: (micros / 1_000_000) as _,
                tv_usec: (micros % 1_000_000) as _,
            };
            // SAFETY: valid for writing, says the caller.
            unsafe { memory::put(to, time)? };
        }
        if !zone.is_null() {
            // SAFETY: valid for writing `struct timezone`, two numbers, says the caller. Ours is UTC.
            unsafe { memory::put(zone, [0; 2])? };
        }
        Ok(0)
    })
}

/// As getsockopt(2), for a descriptor of any machine: for programs that ask without the interface.
///
/// # Safety
/// As for getsockopt(2): `value` is valid for writing as many octets as `len` says, `len` for reading and writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sockeye_plugin_getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    guarded(-1, || {
        let mut found = Err(error(libc::EBADF));
        for machine in registry::all() {
            found = machine.getsockopt(fd, level, name);
            if !matches!(&found, Err(error) if error.raw_os_error() == Some(libc::EBADF)) {
                break;
            }
        }
        // SAFETY: as the caller says.
        unsafe { sockets::put_option(&found?, value, len) }
    })
}

/// The socket tables of all machines: a line a socket with protocol, local address, peer and state. The text is to be
/// freed with free(3); NULL if there is no memory for it.
#[unsafe(no_mangle)]
pub extern "C" fn sockeye_plugin_sockets() -> *mut c_char {
    guarded(std::ptr::null_mut(), || {
        let mut text: Vec<u8> = registry::all()
            .iter()
            .flat_map(|m| m.sockets().into_bytes())
            .collect();
        text.push(0);
        // SAFETY: any length can be asked for.
        let to = unsafe { libc::malloc(text.len()) };
        if to.is_null() {
            return Err(error(libc::ENOMEM));
        }
        // SAFETY: it was made as long.
        unsafe { put_octets(to, &text)? };
        Ok(to.cast())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fault of ours ends a call, not the program; and the machine goes on.
    #[test]
    fn what_panics_becomes_an_error() {
        let handle = registry::add(Some(machine("").unwrap()));
        Errno::set_raw(0);
        assert_eq!(call(handle, -1, |_| panic!("as it should")), -1);
        assert_eq!(Errno::last_raw(), libc::EFAULT);
        let panics_in_the_machine = |machine: &Machine| -> io::Result<c_int> {
            let _lock = machine.host().lock();
            panic!("as it should, with a lock held")
        };
        assert_eq!(call(handle, -1, panics_in_the_machine), -1);
        assert!(
            call(handle, -1, |machine| machine.socket(
                libc::AF_INET,
                libc::SOCK_STREAM,
                0
            )) >= 0
        );
        // SAFETY: it takes any handle.
        unsafe { free(handle) };
        assert_eq!(call(handle, -1, |machine| machine.listen(0, 0).map(|()| 0)), -1);
        assert_eq!(Errno::last_raw(), libc::EFAULT);
    }

    #[test]
    fn what_succeeds_leaves_errno_alone() {
        Errno::set_raw(42);
        assert_eq!(
            guarded(-1, || {
                Errno::set_raw(7);
                Ok(3)
            }),
            3
        );
        assert_eq!(Errno::last_raw(), 42);
        assert_eq!(number(&io::ErrorKind::WouldBlock.into()), libc::EAGAIN);
        assert_eq!(number(&io::ErrorKind::TimedOut.into()), libc::ETIMEDOUT);
    }
}
