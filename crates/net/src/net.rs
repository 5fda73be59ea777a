//! Where sockets live.

use std::fmt;

use crate::shared::Host;

/// Where sockets live: the operating system, or a Sockeye stack. Cheap to clone; programs take a `&Net` and never ask
/// which it is.
#[derive(Clone)]
pub struct Net(pub(crate) Place);

/// The places there are. An enum, so that each call is one branch.
#[derive(Clone)]
pub(crate) enum Place {
    Os,
    Stack(Host),
}

impl Net {
    /// Sockets of the operating system. They need a tokio runtime with I/O enabled.
    pub fn os() -> Net {
        Net(Place::Os)
    }
    /// Sockets of the stack that lives in `host`.
    pub fn stack(host: &Host) -> Net {
        Net(Place::Stack(host.clone()))
    }
    /// Sockets of a new stack on a TUN device of Linux, by which it talks with the kernel and what lies behind it. The
    /// device and its addresses are gone when the last handle is: this one, its clones, and every socket.
    ///
    /// # Errors
    /// See [`TunError`](crate::device::TunError).
    #[cfg(target_os = "linux")]
    pub fn tun(config: &crate::device::TunConfig) -> Result<Net, crate::device::TunError> {
        let device = crate::device::Tun::open(config)?;
        crate::driver::Driver::new(&config.name, sockeye_stack::Config::new(config.profile))
            .device(device, config.interface())
            .start()
            .map_err(|source| crate::device::TunError::Io {
                what: "start the driver of the TUN device",
                source,
            })
    }
    /// Whether a thread may wait for its sockets.
    #[cfg(target_os = "linux")]
    pub(crate) fn can_block(&self) -> bool {
        match &self.0 {
            Place::Os => true,
            Place::Stack(host) => host.is_real_time(),
        }
    }
    /// The host behind it, where sockets live on a stack.
    pub fn host(&self) -> Option<&Host> {
        match &self.0 {
            Place::Os => None,
            Place::Stack(host) => Some(host),
        }
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Os => f.write_str("Net(os)"),
            Place::Stack(host) => write!(f, "Net({})", host.name()),
        }
    }
}
