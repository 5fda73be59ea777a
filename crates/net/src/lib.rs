//! Sockets for programs: the same program on the operating system's sockets or on a Sockeye stack.
//!
//! [`Net`] says where sockets live. [`TcpListener`], [`TcpStream`], [`TcpSocket`] and [`UdpSocket`] have tokio's
//! methods, signatures and errors; only their constructors take a `&Net` more. On Linux there are `UnixListener`,
//! `UnixStream` and `UnixDatagram` too.
//!
//! ```no_run
//! # async fn upper() -> std::io::Result<()> {
//! use sockeye_net::{Net, TcpListener};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! let net = Net::os();
//! let listener = TcpListener::bind(&net, "127.0.0.1:8080").await?;
//! let (mut stream, _peer) = listener.accept().await?;
//! let mut buf = [0; 1024];
//! let n = stream.read(&mut buf).await?;
//! stream.write_all(&buf[..n].to_ascii_uppercase()).await?;
//! # Ok(()) }
//! ```
//!
//! The same sockets for threads: `std_net` has std's methods, `socket` the whole BSD set.
//!
//! A stack lives in a [`Host`], together with the wakers of the tasks that wait for its sockets. Whoever moves the
//! host's frames is its driver: see [`Host`] for what a driver does. [`Net::tun`] starts one on a TUN device.
#![deny(unsafe_code)] // two calls in `device` are the exception

#[cfg(target_os = "linux")]
pub mod device;
#[cfg(target_os = "linux")]
pub mod driver;
pub mod error;
pub mod halves;
#[cfg(target_os = "linux")]
pub mod lane;
mod names;
mod net;
mod options;
mod shared;
#[cfg(target_os = "linux")]
mod sleep;
#[cfg(target_os = "linux")]
pub mod socket;
#[cfg(target_os = "linux")]
pub mod std_net;
pub mod tcp;
pub mod tcp_info;
mod udp;
mod udp_batch;
mod udp_options;

/// What [`sleep`] stands on.
#[cfg(target_os = "linux")]
mod sync {
    pub(crate) use std::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use std::sync::{Condvar, Mutex, PoisonError};
}
#[cfg(target_os = "linux")]
pub mod unix;

pub use names::{Names, ToSocketAddrs, lookup_host};
pub use net::Net;
pub use shared::{Clock, Host, HostGuard, WeakHost};
pub use tcp::{TcpListener, TcpSocket, TcpStream};
pub use udp::UdpSocket;
pub use udp_batch::{Batch, BatchSocket, Received};
pub use udp_options::UdpBind;
#[cfg(target_os = "linux")]
pub use unix::{UnixDatagram, UnixListener, UnixStream};
