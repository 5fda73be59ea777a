//! Devices: where frames come from and go to.

mod netlink;
mod tcp_info;
mod tun;
mod wire;

use std::io;
use std::os::fd::BorrowedFd;

use sockeye_stack::{Capabilities, Frame, Medium, RxMeta, TxFrame, TxMeta};

pub(crate) use tcp_info::tcp_info;
pub use tun::{Tun, TunConfig, TunError, TunLink};
pub use wire::{Wire, wire};

/// A device with one queue. It never blocks; its [driver](crate::driver) waits for its descriptor.
pub trait Device: Send + 'static {
    /// Appends frames that have come, at most `limit`. None means that there are no more for now.
    ///
    /// # Errors
    /// The device is gone or broken for good: the driver asks it no more, and tells its stack that the
    /// [interface has failed](sockeye_stack::Stack::interface_failed).
    fn receive(&mut self, into: &mut Vec<(Frame, RxMeta)>, limit: usize) -> io::Result<()>;

    /// Sends a frame; it may take its content.
    ///
    /// # Errors
    /// `WouldBlock` when it is full: the frame is untouched, and is offered again when the descriptor is writable. With
    /// any other error the frame is lost, as frames are; whether the device goes on, [`Device::receive`] says.
    fn send(&mut self, frame: &mut TxFrame, meta: &TxMeta) -> io::Result<()>;

    /// What polls readable when frames have come, and writable when one can be sent.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Whether frames carry link headers.
    fn medium(&self) -> Medium;

    /// The largest IP packet in octets.
    fn mtu(&self) -> u32;

    /// What it does for the stack.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
}
