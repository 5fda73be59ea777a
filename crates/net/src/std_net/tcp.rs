//! TCP.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::{
    checked, first, flag, inet, number, shared_methods, socket_for, take_error, time, timeout_methods,
    zero_timeout,
};
use crate::names::{ToSocketAddrs, resolve_blocking};
use crate::net::Net;
use crate::socket::{Flags, Kind, Shutdown, SockOpt, Socket};

/// Waiting connections: as many as the place admits, as std has it on Linux.
const BACKLOG: u32 = 4096;

/// Listens for connections.
pub struct TcpListener(Socket);
shared_methods!(TcpListener);

impl TcpListener {
    /// Listens at `addr`, with address reuse set. Port 0 chooses one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, or that the name is unknown.
    pub fn bind(net: &Net, addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        first(&resolve_blocking(net, addr)?, |local| {
            let socket = socket_for(net, local, Kind::Stream)?;
            socket.setsockopt(SockOpt::ReuseAddr, true)?;
            socket.bind(local)?;
            socket.listen(BACKLOG)?;
            Ok(TcpListener(socket))
        })
    }
    /// Waits for a connection.
    ///
    /// # Errors
    /// `WouldBlock`, where it does not wait.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = self.0.accept()?;
        Ok((TcpStream(socket), inet(peer)?))
    }
    /// Its connections, one after the other, without end.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }
}

/// The connections of a listener.
#[derive(Debug)]
pub struct Incoming<'a>(&'a TcpListener);

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.0.accept().map(|(stream, _)| stream))
    }
}

/// A connection. Dropping the last handle closes it.
pub struct TcpStream(Socket);
shared_methods!(TcpStream);
timeout_methods!(TcpStream);

impl TcpStream {
    /// Opens a connection to the first address that answers.
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `NetworkUnreachable`, `HostUnreachable`, or that the name is unknown.
    pub fn connect(net: &Net, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        first(&resolve_blocking(net, addr)?, |remote| {
            let socket = socket_for(net, remote, Kind::Stream)?;
            socket.connect(remote)?;
            Ok(TcpStream(socket))
        })
    }
    /// As [`TcpStream::connect`], for at most so long.
    ///
    /// # Errors
    /// `TimedOut`; `InvalidInput` for zero.
    pub fn connect_timeout(net: &Net, addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(zero_timeout());
        }
        let socket = socket_for(net, *addr, Kind::Stream)?;
        socket.settimeout(Some(timeout))?;
        socket.connect(addr).map_err(|error| match error.raw_os_error() {
            None if error.kind() == io::ErrorKind::TimedOut => {
                io::Error::new(io::ErrorKind::TimedOut, "connection timed out")
            }
            _ => error,
        })?;
        socket.setblocking(true)?;
        Ok(TcpStream(socket))
    }
    /// Shuts one direction or both.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }
    /// Copies what is there without taking it.
    ///
    /// # Errors
    /// As for reading.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.recv_into(buf, Flags::PEEK)
    }
    /// Switches Nagle's rule off or on.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.setsockopt(SockOpt::NoDelay, nodelay)
    }
    /// Whether Nagle's rule is off.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn nodelay(&self) -> io::Result<bool> {
        flag(&self.0, SockOpt::NoDelay)
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.recv_into(buf, Flags::empty())
    }
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(self.0.recvmsg(bufs, Flags::empty())?.len)
    }
}
impl Write for &TcpStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.send(data, Flags::empty())
    }
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.sendmsg(slices, Vec::new(), Flags::empty(), None)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}
impl Write for TcpStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(slices)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
