//! Where sockets live.

use std::fmt;
#[cfg(target_os = "linux")]
use std::task::{Context, Poll, Waker};

use crate::shared::Host;
#[cfg(target_os = "linux")]
use crate::socket::wait::Pace;

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
    /// device and its addresses are gone when the last handle is: this one, its clones, and every socket. Names are looked
    /// up as the operating system does.
    ///
    /// # Errors
    /// See [`TunError`](crate::device::TunError).
    #[cfg(target_os = "linux")]
    pub fn tun(config: &crate::device::TunConfig) -> Result<Net, crate::device::TunError> {
        let device = crate::device::Tun::open(config)?;
        crate::driver::Driver::new(&config.name, sockeye_stack::Config::new(config.profile))
            .names(crate::Names::with_system())
            .device(device, config.interface())
            .start()
            .map_err(|source| crate::device::TunError::Io {
                what: "start the driver of the TUN device",
                source,
            })
    }
    /// Waits until closed connections have finished: what was written to them is acknowledged, and their FINs, and the last
    /// frames (resets, acknowledgments) have left. For the end of a program, since a stack in the process goes with it, as
    /// the operating system's does not. Bound it by a timeout: a peer that is gone keeps it waiting.
    pub async fn finished(&self) {
        if let Place::Stack(host) = &self.0 {
            let mut ticket = None;
            std::future::poll_fn(|cx| host.poll_finished(&mut ticket, cx)).await;
        }
    }
    /// As [`Net::finished`], for a thread and for at most so long; whether all did.
    #[cfg(target_os = "linux")]
    pub fn finish_within(&self, limit: std::time::Duration) -> bool {
        let Place::Stack(host) = &self.0 else { return true };
        let mut ticket = None;
        wait_within(host, limit, |cx| host.poll_finished(&mut ticket, cx))
    }
    /// Aborts every TCP connection of the stack (RFC 9293 section 3.10.5), those included that are closing: for the end of a
    /// program that cannot wait for [`Net::finished`]. Peers are told by resets, whose number is returned; see [`Net::left`]
    /// for when these are under way. Calls on the sockets end with `ConnectionAborted`. On the operating system it does
    /// nothing: the system ends what a program leaves behind.
    pub fn abort_all(&self) -> usize {
        match &self.0 {
            Place::Os => 0,
            Place::Stack(host) => host.abort_all(),
        }
    }
    /// Waits until all frames that the stack owes by now have left its devices.
    pub async fn left(&self) {
        if let Place::Stack(host) = &self.0 {
            let mut ticket = None;
            std::future::poll_fn(|cx| host.poll_left(&mut ticket, cx)).await;
        }
    }
    /// As [`Net::left`], for a thread and for at most so long; whether all did.
    #[cfg(target_os = "linux")]
    pub fn left_within(&self, limit: std::time::Duration) -> bool {
        let Place::Stack(host) = &self.0 else { return true };
        let mut ticket = None;
        wait_within(host, limit, |cx| host.poll_left(&mut ticket, cx))
    }
    /// How a thread waits for its sockets; `None` where it cannot.
    #[cfg(target_os = "linux")]
    pub(crate) fn pace(&self) -> Option<&Pace> {
        match &self.0 {
            Place::Os => Some(&Pace::Machine),
            Place::Stack(host) => host.pace(),
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

/// Waits on a thread until `poll` is ready, at most so long; whether it is.
#[cfg(target_os = "linux")]
fn wait_within(
    host: &Host,
    limit: std::time::Duration,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> bool {
    use crate::socket::wait::{Wait, block};
    let pace = host.pace().unwrap_or(&Pace::Machine);
    let Some(deadline) = u64::try_from(limit.as_nanos()).ok().and_then(|n| pace.after(n)) else {
        return false;
    };
    let done = block(pace, Wait::Until(deadline), |waker| {
        let waker = waker.cloned().unwrap_or_else(|| Waker::noop().clone());
        match poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => Ok(()),
            Poll::Pending => Err(std::io::ErrorKind::WouldBlock.into()),
        }
    });
    done.is_ok()
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Os => f.write_str("Net(os)"),
            Place::Stack(host) => write!(f, "Net({})", host.name()),
        }
    }
}
