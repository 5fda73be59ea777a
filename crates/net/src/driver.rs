//! The driver of a stack that lives in real time: a thread that moves frames between the stack and its devices.
//!
//! It serves all faces: what waits is woken, whether it is a thread in a blocking call or a task of any runtime. The
//! thread sleeps in poll(2) until a device has frames, an application has called, or the core's next deadline comes.
//! Applications append to queues and kick; they never transmit.

use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;
use std::thread;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::time::Timespec;
use sockeye_stack::{Config, Frame, Instant, InterfaceConfig, InterfaceId, RxMeta, Stack, TxFrame, TxMeta};

use crate::device::Device;
use crate::names::Names;
use crate::net::Net;
use crate::shared::{Clock, Host, WeakHost};
use crate::sleep::Doze;

/// Frames taken from a device under one lock, with one time stamp.
const RECEIVE_BATCH: usize = 64;
/// Frames taken from the stack under one lock. Together with [`RECEIVE_BATCH`] it bounds how long applications wait.
const TRANSMIT_BATCH: usize = 64;

/// Starts a stack with its devices; its sockets are had through the [`Net`] that this returns.
///
/// A device that fails takes the connections over it along: their calls end with "network is down" (`NetworkDown`,
/// ENETDOWN). When the last one has failed, those of every socket do, at once and ever after.
///
/// The thread ends, and the devices are closed, when the last handle is gone: `Net`, [`Host`] and every socket.
#[derive(Debug)]
pub struct Driver {
    name: String,
    config: Config,
    names: Names,
    ports: Vec<(Box<dyn AnyDevice>, InterfaceConfig)>,
}

/// A device that can be shown.
trait AnyDevice: Device + fmt::Debug {}
impl<D: Device + fmt::Debug> AnyDevice for D {}

impl Driver {
    /// For a host called `name`, with loopback and nothing else yet.
    pub fn new(name: &str, config: Config) -> Driver {
        Driver {
            name: name.into(),
            config,
            names: Names::new(),
            ports: Vec::new(),
        }
    }
    /// The table in which its programs look up names.
    #[must_use]
    pub fn names(mut self, names: Names) -> Driver {
        self.names = names;
        self
    }
    /// Adds a device. The interface's medium, MTU and capabilities become the device's.
    #[must_use]
    pub fn device(mut self, device: impl Device + fmt::Debug, interface: InterfaceConfig) -> Driver {
        let interface = InterfaceConfig {
            medium: device.medium(),
            mtu: device.mtu(),
            capabilities: device.capabilities(),
            ..interface
        };
        self.ports.push((Box::new(device), interface));
        self
    }
    /// Starts the thread. The stack's secrets come from the system's random numbers.
    ///
    /// # Errors
    /// No thread or descriptor is left, or the system has no random numbers.
    pub fn start(self) -> io::Result<Net> {
        let mut seed = [0; 32];
        let n = rustix::rand::getrandom(&mut seed[..], rustix::rand::GetRandomFlags::empty())?;
        if n < seed.len() {
            return Err(io::Error::other("the system has no random numbers"));
        }
        let kick = Arc::new(Kick::new()?);
        let (stack, clock, names) = (Stack::new(self.config, seed), Arc::new(Clock::real()), self.names);
        let kicked = kick.clone();
        let host = Host::new(&self.name, stack, clock, names, move || kicked.kick());
        let add = |(device, interface)| Port {
            id: host.add_interface(interface),
            device,
            received: Vec::with_capacity(RECEIVE_BATCH),
            gone: Gone::No,
        };
        let ports: Vec<Port> = self.ports.into_iter().map(add).collect();
        let mut runner = Runner::new(host.downgrade(), kick, ports);
        thread::Builder::new()
            .name(format!("sockeye-{}", self.name))
            .spawn(move || runner.run())?;
        Ok(host.net())
    }
}

/// Wakes the driver. A call while it works costs two writes to memory; only a call while it sleeps costs a system call.
#[derive(Debug)]
struct Kick {
    doze: Doze,
    event: OwnedFd,
}

impl Kick {
    fn new() -> io::Result<Kick> {
        Ok(Kick {
            doze: Doze::new(),
            event: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        })
    }
    fn kick(&self) {
        if self.doze.kick() {
            // It cannot fail but by overflow, and then the driver is awake.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }
    fn awake(&self) {
        self.doze.awake();
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
    }
}

/// A device and where it stands in the stack.
struct Port {
    device: Box<dyn AnyDevice>,
    id: InterfaceId,
    received: Vec<(Frame, RxMeta)>,
    gone: Gone,
}

/// Whether a device has failed: then it is asked no more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gone {
    No,
    /// Yes, and the stack has not heard of it.
    New,
    Told,
}

/// What to do after a round.
enum Next {
    /// There is more to do.
    Again,
    /// Sleep until this time, a frame or a kick.
    Sleep(Option<Instant>),
    /// Nobody is left.
    End,
}

struct Runner {
    host: WeakHost,
    kick: Arc<Kick>,
    ports: Vec<Port>,
    /// Frames taken from the stack, of which those in `unsent` have not been sent. No more are taken before.
    transmit: Vec<(TxFrame, Option<TxMeta>)>,
    unsent: Range<usize>,
    wakers: Vec<Waker>,
}

impl Runner {
    fn new(host: WeakHost, kick: Arc<Kick>, ports: Vec<Port>) -> Runner {
        Runner {
            host,
            kick,
            ports,
            transmit: (0..TRANSMIT_BATCH).map(|_| (TxFrame::new(), None)).collect(),
            unsent: 0..0,
            wakers: Vec::new(),
        }
    }
    fn run(&mut self) {
        let mut now = Instant::ZERO;
        loop {
            match self.round(&mut now) {
                Next::Again => {}
                Next::Sleep(until) => self.sleep(now, until),
                Next::End => return,
            }
        }
    }
    /// One pass: what has come in, what is to go out, whom to wake.
    fn round(&mut self, now: &mut Instant) -> Next {
        let received = self.receive();
        let Some(host) = self.host.upgrade() else {
            return Next::End;
        };
        let mut stack = host.lock();
        *now = host.now();
        for port in &mut self.ports {
            for (frame, meta) in port.received.drain(..) {
                stack.handle_frame(*now, port.id, frame, meta);
            }
            if port.gone == Gone::New {
                port.gone = Gone::Told;
                stack.interface_failed(*now, port.id);
            }
        }
        if stack.next_timeout().is_some_and(|(at, _)| at <= *now) {
            stack.handle_timeout(*now);
        }
        // What was taken before has been sent, and whoever waits for that hears of it if nothing has come since.
        if self.unsent.is_empty() {
            let mut taken = 0;
            for (frame, meta) in &mut self.transmit {
                *meta = stack.poll_transmit(*now, frame);
                if meta.is_none() {
                    break;
                }
                taken += 1;
            }
            self.unsent = 0..taken;
            if taken == 0 && stack.is_leaving() {
                stack.all_left(&mut self.wakers);
            }
        }
        let is_leaving = stack.is_leaving();
        stack.dispatch(&mut self.wakers);
        let until = stack.next_timeout().map(|(at, _)| at);
        drop(stack);
        drop(host);
        let full = self.unsent.end == TRANSMIT_BATCH;
        self.send();
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        let more = self.unsent.is_empty() && (full || is_leaving);
        if received || more || until.is_some_and(|at| at <= *now) {
            Next::Again
        } else {
            Next::Sleep(until)
        }
    }
    /// Takes a batch from each device; whether some came.
    fn receive(&mut self) -> bool {
        let mut some = false;
        for port in self.ports.iter_mut().filter(|port| port.gone == Gone::No) {
            if port.device.receive(&mut port.received, RECEIVE_BATCH).is_err() {
                port.gone = Gone::New;
            }
            some |= !port.received.is_empty();
        }
        some
    }
    /// Hands frames to their devices, until all are sent or one has no room.
    fn send(&mut self) {
        for (frame, meta) in &mut self.transmit[self.unsent.clone()] {
            let port = meta.and_then(|meta| self.ports.iter_mut().find(|port| port.id == meta.interface));
            if let (Some(meta), Some(port)) = (*meta, port)
                && port.gone == Gone::No
                && let Err(error) = port.device.send(frame, &meta)
                && error.kind() == io::ErrorKind::WouldBlock
            {
                return;
            }
            // It holds on to buffers no longer.
            frame.clear();
            self.unsent.start += 1;
        }
    }
    fn sleep(&mut self, now: Instant, until: Option<Instant>) {
        if self.kick.doze.may_sleep() {
            let timeout = until.map(|at| at.since(now).as_nanos()).map(|nanos| Timespec {
                tv_sec: (nanos / 1_000_000_000) as i64,
                tv_nsec: (nanos % 1_000_000_000) as _,
            });
            let wanted = if self.unsent.is_empty() {
                PollFlags::IN
            } else {
                PollFlags::IN | PollFlags::OUT
            };
            let mut fds = vec![PollFd::new(&self.kick.event, PollFlags::IN)];
            let live = self.ports.iter().filter(|port| port.gone == Gone::No);
            fds.extend(live.map(|port| PollFd::from_borrowed_fd(port.device.descriptor(), wanted)));
            // Interrupted by a signal is awake, too.
            let _ = poll(&mut fds, timeout.as_ref());
        }
        self.kick.awake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::wire;
    use crate::{TcpListener, TcpStream};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn pair() -> (Net, Net) {
        let (one, other) = wire(1500).unwrap();
        let start = |name: &str, device, address: [u8; 4]| {
            let interface = InterfaceConfig::ip("wire", 0).address(address, 24);
            let driver = Driver::new(name, Config::default());
            driver.device(device, interface).start().unwrap()
        };
        (
            start("one", one, [10, 0, 0, 1]),
            start("other", other, [10, 0, 0, 2]),
        )
    }

    #[tokio::test]
    async fn two_stacks_in_real_time() {
        let (one, other) = pair();
        let listener = TcpListener::bind(&one, "10.0.0.1:7").await.unwrap();
        let echo = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut read, mut write) = stream.into_split();
            tokio::io::copy(&mut read, &mut write).await.unwrap()
        });
        let stream = TcpStream::connect(&other, "10.0.0.1:7").await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let sent: Vec<u8> = (0..3_000_000u32).map(|i| (i >> 6) as u8).collect();
        let copy = sent.clone();
        let writer = tokio::spawn(async move {
            write.write_all(&copy).await.unwrap();
            write.shutdown().await.unwrap();
        });
        let mut back = Vec::new();
        read.read_to_end(&mut back).await.unwrap();
        writer.await.unwrap();
        assert_eq!(echo.await.unwrap(), 3_000_000);
        assert!(back == sent);
    }

    #[test]
    fn the_thread_ends_with_the_last_handle() {
        let (device, mut other_end) = wire(1500).unwrap();
        let interface = InterfaceConfig::ip("wire", 0).address([10, 0, 0, 1], 24);
        let net = Driver::new("short", Config::default())
            .device(device, interface)
            .start()
            .unwrap();
        let lane = other_end.outgoing_lane();
        drop(net);
        // The thread drops its device, which held the other half of the lane.
        while Arc::strong_count(&lane) > 2 {
            thread::yield_now();
        }
        assert!(other_end.receive(&mut Vec::new(), 1).is_ok());
    }
}
