//! Who carries the transfers on.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
#[cfg(target_os = "linux")]
use std::task::Waker;

use sockeye_net::{BatchSocket, Net};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

use super::super::port::Line;
use super::Options;
use super::download::Download;
#[cfg(target_os = "linux")]
use super::in_lane::InLane;
use super::upload::Upload;
use super::workers::Workers;

/// As many threads as [`Options::threads`] says, however many transfers there are.
#[derive(Debug)]
pub(super) enum Crew {
    /// On the operating system, with a port for each transfer: event loops made for that.
    #[cfg(target_os = "linux")]
    Lanes(Vec<sockeye_net::lane::Lane>, AtomicUsize),
    /// On a stack and on a single port: tasks of tokio.
    Workers(Workers),
}

/// Whose turn it is.
pub(super) enum Turn<'a> {
    #[cfg(target_os = "linux")]
    Lane(&'a sockeye_net::lane::Lane),
    Worker(&'a Handle),
}

/// How a transfer is stopped.
pub(super) enum Stop {
    Task(AbortHandle),
    /// It is told, and stops when it is woken.
    #[cfg(target_os = "linux")]
    Lane(Waker),
}
impl Stop {
    pub(super) fn stop(&self) {
        match self {
            Stop::Task(task) => task.abort(),
            #[cfg(target_os = "linux")]
            Stop::Lane(waker) => waker.wake_by_ref(),
        }
    }
}

impl Crew {
    /// Starts the threads.
    ///
    /// # Errors
    /// There are none to be had.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(super) fn new(net: &Net, options: &Options) -> io::Result<Crew> {
        #[cfg(target_os = "linux")]
        if net.host().is_none() && !options.single_port {
            let lanes = (0..options.threads.max(1))
                .map(|_| sockeye_net::lane::Lane::start("transfers", Handle::current()))
                .collect::<io::Result<_>>()?;
            return Ok(Crew::Lanes(lanes, AtomicUsize::new(0)));
        }
        #[cfg(not(target_os = "linux"))]
        let _ = net;
        Ok(Crew::Workers(Workers::new(options.threads)?))
    }
    pub(super) fn next(&self) -> Turn<'_> {
        match self {
            #[cfg(target_os = "linux")]
            Crew::Lanes(lanes, next) => Turn::Lane(&lanes[next.fetch_add(1, Relaxed) % lanes.len()]),
            Crew::Workers(workers) => Turn::Worker(workers.next()),
        }
    }
}
impl Turn<'_> {
    /// A socket whose readiness is told to the thread that runs the transfer.
    pub(super) fn bind(&self, net: &Net, address: SocketAddr) -> io::Result<Line> {
        match self {
            #[cfg(target_os = "linux")]
            Turn::Lane(_) => Ok(Line::Lane(Arc::new(BatchSocket::bind_for_lane(net, address)?))),
            Turn::Worker(worker) => {
                let _there = worker.enter();
                Ok(Line::Own(BatchSocket::bind(net, address)?))
            }
        }
    }
    /// Runs a download.
    pub(super) fn download(&self, download: Download, tasks: &mut JoinSet<()>) -> Stop {
        #[cfg(target_os = "linux")]
        if let (Turn::Lane(lane), Some(socket)) = (self, download.port.watched()) {
            return Stop::Lane(lane.talk(socket, InLane::new(download)));
        }
        self.run(download.run(), tasks)
    }
    /// Runs an upload.
    pub(super) fn upload(&self, upload: Upload, tasks: &mut JoinSet<()>) -> Stop {
        #[cfg(target_os = "linux")]
        if let (Turn::Lane(lane), Some(socket)) = (self, upload.port.watched()) {
            return Stop::Lane(lane.spawn(socket, upload.run()));
        }
        self.run(upload.run(), tasks)
    }
    fn run(&self, transfer: impl Future<Output = ()> + Send + 'static, tasks: &mut JoinSet<()>) -> Stop {
        Stop::Task(match self {
            #[cfg(target_os = "linux")]
            Turn::Lane(_) => tasks.spawn(transfer),
            Turn::Worker(worker) => tasks.spawn_on(transfer, worker),
        })
    }
}
