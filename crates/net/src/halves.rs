//! The two directions of a connection, apart: what [`tcp`](crate::tcp) and [`unix`](crate::unix) share. Those modules
//! have the halves of their streams under tokio's names.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The reading half of a stream that was split by reference.
#[derive(Debug)]
pub struct ReadHalf<'a, S>(pub(crate) &'a S);
/// The writing half of a stream that was split by reference.
#[derive(Debug)]
pub struct WriteHalf<'a, S>(pub(crate) &'a S);
/// The reading half of a stream, owning it together with the other.
#[derive(Debug)]
pub struct OwnedReadHalf<S>(Arc<S>);
/// The writing half of a stream, owning it together with the other. Dropping it ends our side (TCP: sends FIN), unless
/// it is [forgotten](Self::forget).
#[derive(Debug)]
pub struct OwnedWriteHalf<S: Split> {
    stream: Arc<S>,
    shutdown_on_drop: bool,
}

/// Halves of two different connections cannot be joined; they are given back.
#[derive(Debug)]
pub struct ReuniteError<S: Split>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>);
impl<S: Split> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tried to reunite halves that are not from the same socket")
    }
}
impl<S: Split> std::error::Error for ReuniteError<S> {}

pub(crate) mod sealed {
    use super::*;

    /// A stream that can be split: its methods, by a shared reference. What they do stands at the streams.
    pub trait Split: fmt::Debug + Sync {
        type Address;

        fn local_addr(&self) -> io::Result<Self::Address>;
        fn peer_addr(&self) -> io::Result<Self::Address>;
        fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;
        fn writable(&self) -> impl Future<Output = io::Result<()>> + Send;
        fn try_read(&self, buf: &mut [u8]) -> io::Result<usize>;
        fn try_write(&self, buf: &[u8]) -> io::Result<usize>;
        fn poll_read_shared(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;
        fn poll_write_shared(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;
        /// Whether the next writes several buffers at once.
        const VECTORED: bool;
        fn poll_write_vectored_shared(
            &self,
            cx: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>>;
        fn shutdown_write_shared(&self) -> io::Result<()>;
    }
}
use sealed::Split;

/// Both halves, which own the stream together.
pub(crate) fn into_split<S: Split>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Arc::new(stream);
    let write = OwnedWriteHalf {
        stream: stream.clone(),
        shutdown_on_drop: true,
    };
    (OwnedReadHalf(stream), write)
}

impl<S: Split> OwnedReadHalf<S> {
    /// Makes one connection of the two halves again.
    ///
    /// # Errors
    /// If they belong to different connections.
    pub fn reunite(self, other: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.0, &other.stream) {
            return Err(ReuniteError(self, other));
        }
        other.forget();
        Ok(Arc::into_inner(self.0)
            .expect("the two halves hold the only two references, and the other is gone"))
    }
}
impl<S: Split> OwnedWriteHalf<S> {
    /// Makes one connection of the two halves again.
    ///
    /// # Errors
    /// If they belong to different connections.
    pub fn reunite(self, other: OwnedReadHalf<S>) -> Result<S, ReuniteError<S>> {
        other.reunite(self)
    }
    /// Drops it without ending our side.
    pub fn forget(mut self) {
        self.shutdown_on_drop = false;
    }
}
impl<S: Split> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if self.shutdown_on_drop {
            let _ = self.stream.shutdown_write_shared(); // a connection that has ended has nobody to tell
        }
    }
}

impl<S> AsRef<S> for ReadHalf<'_, S> {
    fn as_ref(&self) -> &S {
        self.0
    }
}
impl<S> AsRef<S> for WriteHalf<'_, S> {
    fn as_ref(&self) -> &S {
        self.0
    }
}
impl<S> AsRef<S> for OwnedReadHalf<S> {
    fn as_ref(&self) -> &S {
        &self.0
    }
}
impl<S: Split> AsRef<S> for OwnedWriteHalf<S> {
    fn as_ref(&self) -> &S {
        &self.stream
    }
}

/// What both ways of splitting have, each method the stream's.
macro_rules! half {
    ($half:ty) => {
        impl<S: Split> $half {
            /// Our address.
            ///
            /// # Errors
            /// As the stream's.
            pub fn local_addr(&self) -> io::Result<S::Address> {
                self.as_ref().local_addr()
            }
            /// The peer's address.
            ///
            /// # Errors
            /// As the stream's.
            pub fn peer_addr(&self) -> io::Result<S::Address> {
                self.as_ref().peer_addr()
            }
        }
    };
}
macro_rules! read_half {
    ($half:ty) => {
        half!($half);
        impl<S: Split> $half {
            /// Waits until a read would not wait.
            ///
            /// # Errors
            /// As the stream's.
            pub async fn readable(&self) -> io::Result<()> {
                self.as_ref().readable().await
            }
            /// Reads what is there; 0 at the end of the stream.
            ///
            /// # Errors
            /// `WouldBlock` if nothing is, and as the stream's.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.as_ref().try_read(buf)
            }
        }
        impl<S: Split> AsyncRead for $half {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                (*self).as_ref().poll_read_shared(cx, buf)
            }
        }
    };
}
macro_rules! write_half {
    ($half:ty) => {
        half!($half);
        impl<S: Split> $half {
            /// Waits until a write would not wait.
            ///
            /// # Errors
            /// As the stream's.
            pub async fn writable(&self) -> io::Result<()> {
                self.as_ref().writable().await
            }
            /// Writes what fits.
            ///
            /// # Errors
            /// `WouldBlock` if nothing does, and as the stream's.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.as_ref().try_write(buf)
            }
        }
        impl<S: Split> AsyncWrite for $half {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                (*self).as_ref().poll_write_shared(cx, data)
            }
            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                (*self).as_ref().poll_write_vectored_shared(cx, slices)
            }
            fn is_write_vectored(&self) -> bool {
                S::VECTORED
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready((*self).as_ref().shutdown_write_shared())
            }
        }
    };
}
read_half!(ReadHalf<'_, S>);
read_half!(OwnedReadHalf<S>);
write_half!(WriteHalf<'_, S>);
write_half!(OwnedWriteHalf<S>);

/// Reads or writes on a socket of the operating system, as often as it turns out that it was not ready after all.
pub(crate) fn once_ready<R>(
    mut poll_ready: impl FnMut() -> Poll<io::Result<()>>,
    mut attempt: impl FnMut() -> io::Result<R>,
) -> Poll<io::Result<R>> {
    loop {
        ready!(poll_ready())?;
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
    }
}

/// Gives a stream tokio's traits, and makes it one that can be split, by what it has already.
macro_rules! can_be_split {
    ($stream:ty, $address:ty, vectored: $vectored:expr) => {
        impl $crate::halves::sealed::Split for $stream {
            type Address = $address;
            const VECTORED: bool = $vectored;

            fn local_addr(&self) -> io::Result<$address> {
                <$stream>::local_addr(self)
            }
            fn peer_addr(&self) -> io::Result<$address> {
                <$stream>::peer_addr(self)
            }
            fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
                <$stream>::readable(self)
            }
            fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
                <$stream>::writable(self)
            }
            fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                <$stream>::try_read(self, buf)
            }
            fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                <$stream>::try_write(self, buf)
            }
            fn poll_read_shared(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                <$stream>::poll_read_shared(self, cx, buf)
            }
            fn poll_write_shared(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
                <$stream>::poll_write_shared(self, cx, data)
            }
            fn poll_write_vectored_shared(
                &self,
                cx: &mut Context<'_>,
                slices: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                <$stream>::poll_write_vectored_shared(self, cx, slices)
            }
            fn shutdown_write_shared(&self) -> io::Result<()> {
                <$stream>::shutdown_write_shared(self)
            }
        }

        impl AsyncRead for $stream {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                self.poll_read_shared(cx, buf)
            }
        }
        impl AsyncWrite for $stream {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_shared(cx, data)
            }
            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_vectored_shared(cx, slices)
            }
            fn is_write_vectored(&self) -> bool {
                $vectored
            }
            /// Nothing to do: what was written goes by itself.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            /// Ends our side, after what was written. It does not wait for the peer.
            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.shutdown_write_shared())
            }
        }
    };
}
pub(crate) use can_be_split;
