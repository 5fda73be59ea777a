//! A TFTP client: [`get`] and [`put`].
//!
//! A file that is got is written beside its place and renamed when it is whole. Dropping the future aborts the transfer: the
//! server is told, and nothing stays behind.

mod download;
mod error;
mod session;
mod upload;
mod url;

use std::fs::File;
use std::path::PathBuf;

use sockeye_net::{Net, lookup_host};
use sockeye_stack::time::Duration;

pub use error::Error;
pub use url::{BadUrl, PORT, Url};

use self::download::Download;
use self::session::Session;
use self::upload::Upload;
use super::packet::{self, BLKSIZE_DEFAULT, Kind};
use super::root;
use super::server::window_that_fits;
use super::sink::Sink;
use super::source::Source;
use super::transfer::{Counts, Rollover, Timing};

/// How to ask. A server that does not know an option goes without it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The block size to ask for; 1,428 by default, which fits into one Ethernet frame. `None` does not ask: 512.
    pub blksize: Option<u16>,
    /// The window to ask for; 16 by default. It is made smaller if the receive buffer would not take it.
    pub windowsize: Option<u16>,
    /// The server's retransmission timeout to ask for, in seconds. Not asked by default.
    pub timeout: Option<u8>,
    /// Whether to ask for the size, or to tell it. On by default.
    pub tsize: bool,
    /// What follows block 65,535 of an upload; a download takes what the server does (in a window: 0).
    pub rollover: Option<Rollover>,
    /// The bounds of the retransmission timer. A server that is silent for `give_up`, 5 s by default, is gone.
    pub timing: Timing,
    /// How long to wait after the last ACK of a download in case it is lost. `None`: twice the retransmission timeout.
    pub dally: Option<Duration>,
    /// The most octets of a download.
    pub max_size: u64,
    /// What to ask for as the receive buffer; 1 MiB by default, and the system may give less.
    pub receive_buffer: usize,
}
impl Default for Options {
    fn default() -> Options {
        Options {
            blksize: Some(1428),
            windowsize: Some(16),
            timeout: None,
            tsize: true,
            rollover: None,
            timing: Timing {
                give_up: Duration::from_secs(5),
                ..Timing::default()
            },
            dally: None,
            max_size: u64::MAX,
            receive_buffer: 1 << 20,
        }
    }
}

/// Where a downloaded file goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// To this place, in the place of a file that is there.
    File(PathBuf),
    /// To [`Done::content`].
    Memory,
}

/// What is uploaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// The file at this place.
    File(PathBuf),
    /// These octets.
    Memory(Vec<u8>),
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Octets that are over.
    pub octets: u64,
    /// Octets in all, if that is known.
    pub total: Option<u64>,
}

/// A transfer that went well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Done {
    /// The octets of a download to [`Target::Memory`]; else empty.
    pub content: Vec<u8>,
    /// How many octets went over.
    pub octets: u64,
    /// The options that held.
    pub options: packet::Options,
    /// What was counted.
    pub counts: Counts,
}

/// Downloads a file. `progress` is called after each block.
///
/// # Errors
/// Why not; nothing of the file stays behind.
pub async fn get(
    net: &Net,
    url: &Url,
    target: &Target,
    options: &Options,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Done, Error> {
    let mut result = Err(Error::Refused);
    for server in resolve(net, url).await? {
        // First, so that nothing is asked for that cannot be kept.
        let sink = match target {
            Target::File(path) => Sink::file(root::Upload::at(path)?, url.mode, options.max_size),
            Target::Memory => Sink::memory(url.mode, options.max_size),
        };
        let session = Session::new(net, server, Kind::Read, url, options, None)?;
        result = Download::new(session, sink, options, progress).run().await;
        // A name may have several addresses, of which one has the server.
        if !matches!(result, Err(Error::Refused | Error::Network(_))) {
            break;
        }
    }
    result
}

/// Uploads a file. `progress` is called after each window.
///
/// # Errors
/// Why not.
pub async fn put(
    net: &Net,
    content: &Content,
    url: &Url,
    options: &Options,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Done, Error> {
    let mut result = Err(Error::Refused);
    for server in resolve(net, url).await? {
        let (source, size) = match content {
            Content::Memory(octets) => {
                let size = octets.len() as u64;
                (Source::memory(octets.clone(), url.mode, BLKSIZE_DEFAULT), size)
            }
            Content::File(path) => {
                let said = |e: std::io::Error| Error::File(format!("{}: {e}", path.display()));
                let file = File::open(path).map_err(said)?;
                let about = file.metadata().map_err(said)?;
                if !about.is_file() {
                    return Err(Error::File(format!("{}: not a regular file", path.display())));
                }
                (
                    Source::file(file, about.len(), url.mode, BLKSIZE_DEFAULT),
                    about.len(),
                )
            }
        };
        let session = Session::new(net, server, Kind::Write, url, options, Some(size))?;
        result = Upload::new(session, source, size, options, progress).run().await;
        if !matches!(result, Err(Error::Refused | Error::Network(_))) {
            break;
        }
    }
    result
}

async fn resolve(net: &Net, url: &Url) -> Result<Vec<std::net::SocketAddr>, Error> {
    let found = lookup_host(net, (&url.host[..], url.port)).await;
    let found = found.map_err(|error| Error::Unresolved {
        host: url.host.clone(),
        error,
    })?;
    Ok(found.collect())
}
