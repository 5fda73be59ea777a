//! The two directions of a connection, apart.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::TcpStream;
use crate::halves::{self, can_be_split};

/// The reading half of [`TcpStream::split`].
pub type ReadHalf<'a> = halves::ReadHalf<'a, TcpStream>;
/// The writing half of [`TcpStream::split`].
pub type WriteHalf<'a> = halves::WriteHalf<'a, TcpStream>;
/// The reading half of [`TcpStream::into_split`].
pub type OwnedReadHalf = halves::OwnedReadHalf<TcpStream>;
/// The writing half of [`TcpStream::into_split`]. Dropping it sends FIN, unless it is
/// [forgotten](halves::OwnedWriteHalf::forget).
pub type OwnedWriteHalf = halves::OwnedWriteHalf<TcpStream>;
/// Halves of two different connections cannot be joined; they are given back.
pub type ReuniteError = halves::ReuniteError<TcpStream>;

can_be_split!(TcpStream, SocketAddr, vectored: true);

macro_rules! peeks {
    ($half:ty) => {
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
        }
    };
}
peeks!(ReadHalf<'_>);
peeks!(OwnedReadHalf);
