//! The two directions of a connection, apart.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::TcpStream;

/// The reading half of [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a>(pub(super) &'a TcpStream);
/// The writing half of [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a>(pub(super) &'a TcpStream);
/// The reading half of [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf(pub(super) Arc<TcpStream>);
/// The writing half of [`TcpStream::into_split`]. Dropping it sends FIN, unless it is [forgotten](Self::forget).
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<TcpStream>,
    shutdown_on_drop: bool,
}

/// Halves of two different connections cannot be joined; they are given back.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);
impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tried to reunite halves that are not from the same socket")
    }
}
impl std::error::Error for ReuniteError {}

impl OwnedReadHalf {
    /// Makes one connection of the two halves again.
    ///
    /// # Errors
    /// If they belong to different connections.
    pub fn reunite(self, other: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Arc::ptr_eq(&self.0, &other.stream) {
            return Err(ReuniteError(self, other));
        }
        other.forget();
        Ok(Arc::into_inner(self.0)
            .expect("the two halves hold the only two references, and the other is gone"))
    }
}
impl OwnedWriteHalf {
    pub(super) fn new(stream: Arc<TcpStream>) -> Self {
        OwnedWriteHalf {
            stream,
            shutdown_on_drop: true,
        }
    }
    /// Makes one connection of the two halves again.
    ///
    /// # Errors
    /// If they belong to different connections.
    pub fn reunite(self, other: OwnedReadHalf) -> Result<TcpStream, ReuniteError> {
        other.reunite(self)
    }
    /// Drops it without sending FIN.
    pub fn forget(mut self) {
        self.shutdown_on_drop = false;
    }
}
impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.shutdown_on_drop {
            let _ = self.stream.shutdown_write_shared(); // a connection that has ended has nobody to tell
        }
    }
}

impl AsRef<TcpStream> for ReadHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.0
    }
}
impl AsRef<TcpStream> for WriteHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.0
    }
}
impl AsRef<TcpStream> for OwnedReadHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.0
    }
}
impl AsRef<TcpStream> for OwnedWriteHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

/// The connection of a half, whichever it is.
fn stream(half: &impl AsRef<TcpStream>) -> &TcpStream {
    half.as_ref()
}

/// What both kinds of half have, each method the stream's.
macro_rules! half {
    ($half:ty) => {
        impl $half {
            /// Our address.
            ///
            /// # Errors
            /// As the stream's.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.as_ref().local_addr()
            }
            /// The peer's address.
            ///
            /// # Errors
            /// As the stream's.
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.as_ref().peer_addr()
            }
        }
    };
}
macro_rules! read_half {
    ($half:ty) => {
        half!($half);
        impl $half {
            /// As [`TcpStream::peek`].
            ///
            /// # Errors
            /// As the stream's.
            pub async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.as_ref().peek(buf).await
            }
            /// As [`TcpStream::poll_peek`].
            pub fn poll_peek(
                &mut self,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<usize>> {
                self.as_ref().poll_peek(cx, buf)
            }
            /// As [`TcpStream::readable`].
            ///
            /// # Errors
            /// As the stream's.
            pub async fn readable(&self) -> io::Result<()> {
                self.as_ref().readable().await
            }
            /// As [`TcpStream::try_read`].
            ///
            /// # Errors
            /// As the stream's.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.as_ref().try_read(buf)
            }
        }
        impl AsyncRead for $half {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                stream(&*self).poll_read_shared(cx, buf)
            }
        }
    };
}
macro_rules! write_half {
    ($half:ty) => {
        half!($half);
        impl $half {
            /// As [`TcpStream::writable`].
            ///
            /// # Errors
            /// As the stream's.
            pub async fn writable(&self) -> io::Result<()> {
                self.as_ref().writable().await
            }
            /// As [`TcpStream::try_write`].
            ///
            /// # Errors
            /// As the stream's.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.as_ref().try_write(buf)
            }
        }
        impl AsyncWrite for $half {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                stream(&*self).poll_write_shared(cx, data)
            }
            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                stream(&*self).poll_write_vectored_shared(cx, slices)
            }
            fn is_write_vectored(&self) -> bool {
                true
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(stream(&*self).shutdown_write_shared())
            }
        }
    };
}
read_half!(ReadHalf<'_>);
read_half!(OwnedReadHalf);
write_half!(WriteHalf<'_>);
write_half!(OwnedWriteHalf);
