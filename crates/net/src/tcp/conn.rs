//! A TCP connection or listener on a stack: its id, held so that dropping it closes the socket.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use sockeye_stack::tcp::{State, TcpOptions, TcpSocket};
use sockeye_stack::{RecvError, SendError, SocketId};

use crate::error::{errno, from_errno, io_error};
use crate::shared::{Host, Side};

/// A TCP socket of a stack, owned.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) host: Host,
    pub(crate) id: SocketId,
}

impl Conn {
    /// A fresh socket: closed and unbound.
    pub(crate) fn new(host: &Host, options: TcpOptions) -> Conn {
        let id = host.look(|stack, _| stack.tcp_socket(options));
        Conn {
            host: host.clone(),
            id,
        }
    }
    pub(crate) fn bind(&self, local: SocketAddr) -> io::Result<()> {
        self.host
            .call(|stack, _| stack.tcp_bind(self.id, local).map_err(io_error))
    }
    pub(crate) fn listen(&self, backlog: u32) -> io::Result<()> {
        self.host
            .call(|stack, _| stack.tcp_listen(self.id, backlog).map_err(io_error))
    }
    /// Opens the connection and waits for the end of the handshake.
    pub(crate) async fn connect(&self, remote: SocketAddr) -> io::Result<()> {
        self.host
            .call(|stack, now| stack.tcp_connect(now, self.id, remote).map_err(io_error))?;
        poll_fn(|cx| {
            self.host.poll(self.id, Side::Write, cx, |stack, now| {
                let mut socket = stack.tcp(now, self.id).map_err(io_error)?;
                match socket.state() {
                    State::SynSent | State::SynReceived => Poll::Pending,
                    State::Closed => Poll::Ready(Err(match socket.take_error() {
                        Some(error) => io_error(error),
                        None => from_errno(errno::ECONNABORTED),
                    })),
                    _ => Poll::Ready(Ok(())),
                }
            })
        })
        .await
    }
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Conn, SocketAddr)>> {
        let accepted = self.host.poll(self.id, Side::Read, cx, |stack, now| {
            match stack.tcp_accept(now, self.id) {
                Ok(Some(accepted)) => Poll::Ready(Ok(accepted)),
                Ok(None) => Poll::Pending,
                Err(error) => Poll::Ready(Err(io_error(error))),
            }
        });
        let (id, peer) = ready!(accepted)?;
        let conn = Conn {
            host: self.host.clone(),
            id,
        };
        Poll::Ready(Ok((conn, peer)))
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_recv(cx, |socket| socket.recv(out))
    }
    pub(crate) fn poll_peek(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_recv(cx, |socket| socket.peek(out))
    }
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        recv: impl FnOnce(&mut TcpSocket<'_>) -> Result<usize, RecvError>,
    ) -> Poll<io::Result<usize>> {
        self.host.poll(self.id, Side::Read, cx, |stack, now| {
            let mut socket = stack.tcp(now, self.id).map_err(io_error)?;
            match recv(&mut socket) {
                Err(RecvError::WouldBlock) => Poll::Pending,
                result => Poll::Ready(result.map_err(io_error)),
            }
        })
    }
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.host.poll(self.id, Side::Write, cx, |stack, now| {
            let mut socket = stack.tcp(now, self.id).map_err(io_error)?;
            match socket.send(data) {
                Err(SendError::WouldBlock) => Poll::Pending,
                result => Poll::Ready(result.map_err(io_error)),
            }
        })
    }
    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.host.poll(self.id, Side::Write, cx, |stack, now| {
            let mut socket = stack.tcp(now, self.id).map_err(io_error)?;
            let mut sent = 0;
            for slice in slices.iter().filter(|slice| !slice.is_empty()) {
                match socket.send(slice) {
                    Ok(n) => {
                        sent += n;
                        if n < slice.len() {
                            break;
                        }
                    }
                    Err(_) if sent > 0 => break,
                    Err(SendError::WouldBlock) => return Poll::Pending,
                    Err(error) => return Poll::Ready(Err(io_error(error))),
                }
            }
            Poll::Ready(Ok(sent))
        })
    }
    /// Until reading would not wait: data, the end, or an error is there.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.host.poll(self.id, Side::Read, cx, |stack, now| {
            let socket = stack.tcp(now, self.id).map_err(io_error)?;
            let ended = socket.peer_closed() || socket.state() == State::Closed;
            if ended || socket.readable() > 0 {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        })
    }
    /// Until writing would not wait: there is room, or an error.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.host.poll(self.id, Side::Write, cx, |stack, now| {
            let mut socket = stack.tcp(now, self.id).map_err(io_error)?;
            let open = match socket.state() {
                State::SynSent | State::SynReceived | State::Established | State::CloseWait => true,
                State::Closed | State::Listen | State::FinWait1 | State::FinWait2 => false,
                State::Closing | State::LastAck | State::TimeWait => false,
            };
            // Asking for nothing when the buffer is full makes the stack tell when it no longer is.
            if !open || socket.writable() > 0 || !matches!(socket.send(&[]), Err(SendError::WouldBlock)) {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        })
    }
    pub(crate) fn try_read(&self, out: &mut [u8]) -> io::Result<usize> {
        self.host.call(|stack, now| {
            let mut socket = stack.tcp(now, self.id).map_err(io_error)?;
            socket.recv(out).map_err(io_error)
        })
    }
    pub(crate) fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.host.call(|stack, now| {
            let mut socket = stack.tcp(now, self.id).map_err(io_error)?;
            socket.send(data).map_err(io_error)
        })
    }
    /// FIN after what is queued.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.host.call(|stack, now| {
            match stack.tcp(now, self.id).map_err(io_error)?.shutdown_send() {
                // As Linux's shutdown(2): closing twice is no error, and what has no connection says so.
                Ok(()) | Err(SendError::BrokenPipe) => Ok(()),
                Err(SendError::NotConnected | SendError::Connection(_)) => Err(from_errno(errno::ENOTCONN)),
                Err(error) => Err(io_error(error)),
            }
        })
    }
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        let local = self
            .host
            .look(|stack, now| stack.tcp(now, self.id).map(|s| s.local_addr()));
        local.map_err(io_error)?.ok_or_else(|| from_errno(errno::EINVAL))
    }
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        let peer = self
            .host
            .look(|stack, now| stack.tcp(now, self.id).map(|s| s.peer_addr()));
        peer.map_err(io_error)?.ok_or_else(|| from_errno(errno::ENOTCONN))
    }
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        let error = self
            .host
            .look(|stack, now| stack.tcp(now, self.id).map(|mut s| s.take_error()));
        Ok(error.map_err(io_error)?.map(io_error))
    }
}

impl Drop for Conn {
    /// Closes: what is queued is still sent, then FIN, unless linger says otherwise.
    fn drop(&mut self) {
        self.host.close(self.id, |stack, now| {
            if let Ok(socket) = stack.tcp(now, self.id) {
                socket.close();
            }
        });
    }
}
