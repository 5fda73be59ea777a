//! What the kernel knows of a connection (TCP_INFO). It stands here because it needs a call that no crate wraps.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;

/// Asks the kernel.
#[allow(unsafe_code)]
pub(crate) fn tcp_info(socket: impl AsFd) -> io::Result<libc::tcp_info> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` octets to where `info` points, which is as large; the descriptor is open
    // while it is borrowed.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a struct of integers, for which zero is a value: what the kernel did not write is zero.
    Ok(unsafe { info.assume_init() })
}
