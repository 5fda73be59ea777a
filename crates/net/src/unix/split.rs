//! The two directions of a connection, apart.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{SocketAddr, UnixStream};
use crate::halves::{self, can_be_split};

/// The reading half of [`UnixStream::split`].
pub type ReadHalf<'a> = halves::ReadHalf<'a, UnixStream>;
/// The writing half of [`UnixStream::split`].
pub type WriteHalf<'a> = halves::WriteHalf<'a, UnixStream>;
/// The reading half of [`UnixStream::into_split`].
pub type OwnedReadHalf = halves::OwnedReadHalf<UnixStream>;
/// The writing half of [`UnixStream::into_split`]. Dropping it ends our side, unless it is
/// [forgotten](halves::OwnedWriteHalf::forget).
pub type OwnedWriteHalf = halves::OwnedWriteHalf<UnixStream>;
/// Halves of two different connections cannot be joined; they are given back.
pub type ReuniteError = halves::ReuniteError<UnixStream>;

can_be_split!(UnixStream, SocketAddr, vectored: false);
