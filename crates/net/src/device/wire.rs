//! Two devices joined by a wire in memory: stacks of one process that talk to each other in real time.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use sockeye_stack::{Capabilities, Frame, Medium, RxMeta, TxFrame, TxMeta};

use super::Device;

/// Frames that one direction holds. When it is full, a frame is lost, as at a switch.
const FRAMES: usize = 8192;

/// One end of a wire.
#[derive(Debug)]
pub struct Wire {
    mtu: u32,
    incoming: Arc<Lane>,
    outgoing: Arc<Lane>,
}

/// One direction. The descriptor is readable while there are frames.
#[derive(Debug)]
struct Lane {
    frames: Mutex<VecDeque<Frame>>,
    ready: OwnedFd,
}

impl Lane {
    fn new() -> io::Result<Arc<Lane>> {
        Ok(Arc::new(Lane {
            frames: Mutex::default(),
            ready: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        }))
    }
}

/// Two ends of a wire that carries IP packets of up to `mtu` octets. It holds 8,192 frames in each direction; what comes
/// when it is full is lost. Checksums are made and checked, so that a capture of it is whole.
///
/// # Errors
/// No descriptor is left.
pub fn wire(mtu: u32) -> io::Result<(Wire, Wire)> {
    let (a, b) = (Lane::new()?, Lane::new()?);
    let one = Wire {
        mtu,
        incoming: a.clone(),
        outgoing: b.clone(),
    };
    let other = Wire {
        mtu,
        incoming: b,
        outgoing: a,
    };
    Ok((one, other))
}

#[cfg(test)]
impl Wire {
    /// The lane that both ends hold, to see whether the other end is gone.
    pub(crate) fn outgoing_lane(&self) -> Arc<impl Sized + use<>> {
        self.outgoing.clone()
    }
}

impl Device for Wire {
    fn receive(&mut self, into: &mut Vec<(Frame, RxMeta)>, limit: usize) -> io::Result<()> {
        let mut frames = self
            .incoming
            .frames
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let n = frames.len().min(limit);
        into.extend(frames.drain(..n).map(|frame| (frame, RxMeta::default())));
        if frames.is_empty() {
            // Under the lock, so that it says what the queue says.
            let _ = rustix::io::read(&self.incoming.ready, &mut [0; 8]);
        }
        Ok(())
    }
    fn send(&mut self, frame: &mut TxFrame, _: &TxMeta) -> io::Result<()> {
        let mut frames = self
            .outgoing
            .frames
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if frames.len() >= FRAMES {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        frames.push_back(std::mem::take(frame));
        if frames.len() == 1 {
            rustix::io::write(&self.outgoing.ready, &1u64.to_ne_bytes())?;
        }
        Ok(())
    }
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.incoming.ready.as_fd()
    }
    fn medium(&self) -> Medium {
        Medium::Ip
    }
    fn mtu(&self) -> u32 {
        self.mtu
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
}
