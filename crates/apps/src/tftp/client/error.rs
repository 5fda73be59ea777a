//! What can go wrong, told apart, and the exit codes for it.

use std::fmt;
use std::io;

use super::super::packet::ErrorCode;
use super::super::record::clean;
use super::super::root::Refused;
use crate::words::{self, Language};

/// Why a file did not go over. Nothing of it is left behind.
#[derive(Debug)]
pub enum Error {
    /// The server has no such file (ERROR 1).
    NotFound(String),
    /// The server refuses access, or the file exists there already (ERROR 2, 6, 7).
    Access(String),
    /// The server's disk is full (ERROR 3).
    ServerDiskFull(String),
    /// The server ended it for another reason.
    Server(ErrorCode, String),
    /// Nobody listens on the server's port (ICMP port unreachable).
    Refused,
    /// The server did not answer, or no longer.
    TimedOut,
    /// The server does not keep to the protocol.
    Protocol(String),
    /// The server's name is unknown.
    Unresolved {
        /// The name.
        host: String,
        /// What the look-up said.
        error: io::Error,
    },
    /// The network cannot reach it, or our socket failed.
    Network(io::Error),
    /// Our disk is full, or the file is larger than allowed.
    DiskFull,
    /// Our file cannot be read or written.
    File(String),
}

impl Error {
    /// The exit code: 3 our file, 4 refused, 5 timed out, 7 network or unknown name, 8 not found, 9 access, 10 a full disk
    /// (ours or the server's), 11 another error of the server or a breach of the protocol. 2 is for a wrong command line.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::File(_) => 3,
            Error::Refused => 4,
            Error::TimedOut => 5,
            Error::Unresolved { .. } | Error::Network(_) => 7,
            Error::NotFound(_) => 8,
            Error::Access(_) => 9,
            Error::DiskFull | Error::ServerDiskFull(_) => 10,
            Error::Server(..) | Error::Protocol(_) => 11,
        }
    }
    /// What the server's ERROR says.
    pub(super) fn from_server(code: ErrorCode, message: &[u8]) -> Error {
        let text = clean(&String::from_utf8_lossy(message));
        match code {
            ErrorCode::NOT_FOUND => Error::NotFound(text),
            ErrorCode::ACCESS | ErrorCode::EXISTS | ErrorCode::NO_USER => Error::Access(text),
            ErrorCode::DISK_FULL => Error::ServerDiskFull(text),
            code => Error::Server(code, text),
        }
    }
}
impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        match refused {
            Refused::DiskFull => Error::DiskFull,
            other => Error::File(other.to_string()),
        }
    }
}
/// In English.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(words::of(Language::English)))
    }
}
impl std::error::Error for Error {}
