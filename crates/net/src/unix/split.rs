//! The two directions of a connection, apart.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{SocketAddr, UnixStream};

/// The reading half of [`UnixStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a>(pub(super) &'a UnixStream);
/// The writing half of [`UnixStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a>(pub(super) &'a UnixStream);
/// The reading half of [`UnixStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf(pub(super) Arc<UnixStream>);
/// The writing half of [`UnixStream::into_split`]. Dropping it ends our side, unless it is
/// [forgotten](Self::forget).
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<UnixStream>,
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
    pub fn reunite(self, other: OwnedWriteHalf) -> Result<UnixStream, ReuniteError> {
        if !Arc::ptr_eq(&self.0, &other.stream) {
            return Err(ReuniteError(self, other));
        }
        other.forget();
        Ok(Arc::into_inner(self.0)
            .expect("the two halves hold the only two references, and the other is gone"))
    }
}
impl OwnedWriteHalf {
    pub(super) fn new(stream: Arc<UnixStream>) -> Self {
        OwnedWriteHalf {
            stream,
            shutdown_on_drop: true,
        }
    }
    /// Makes one connection of the two halves again.
    ///
    /// # Errors
    /// If they belong to different connections.
    pub fn reunite(self, other: OwnedReadHalf) -> Result<UnixStream, ReuniteError> {
        other.reunite(self)
    }
    /// Drops it without ending our side.
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

impl AsRef<UnixStream> for ReadHalf<'_> {
    fn as_ref(&self) -> &UnixStream {
        self.0
    }
}
impl AsRef<UnixStream> for WriteHalf<'_> {
    fn as_ref(&self) -> &UnixStream {
        self.0
    }
}
impl AsRef<UnixStream> for OwnedReadHalf {
    fn as_ref(&self) -> &UnixStream {
        &self.0
    }
}
impl AsRef<UnixStream> for OwnedWriteHalf {
    fn as_ref(&self) -> &UnixStream {
        &self.stream
    }
}

/// The connection of a half, whichever it is.
fn stream(half: &impl AsRef<UnixStream>) -> &UnixStream {
    half.as_ref()
}

/// What both kinds of half have, each method the stream's.
macro_rules! half {
    ($half:ty) => {
        impl $half {
            /// Our name.
            ///
            /// # Errors
            /// As the stream's.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.as_ref().local_addr()
            }
            /// The peer's name.
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
            /// As [`UnixStream::readable`].
            ///
            /// # Errors
            /// As the stream's.
            pub async fn readable(&self) -> io::Result<()> {
                self.as_ref().readable().await
            }
            /// As [`UnixStream::try_read`].
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
            /// As [`UnixStream::writable`].
            ///
            /// # Errors
            /// As the stream's.
            pub async fn writable(&self) -> io::Result<()> {
                self.as_ref().writable().await
            }
            /// As [`UnixStream::try_write`].
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
