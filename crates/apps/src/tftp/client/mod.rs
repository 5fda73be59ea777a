//! A TFTP client: [`get`] and [`put`].
//!
//! A file that is got is written beside its place and renamed when it is whole. Dropping the future aborts the transfer: the
//! server is told, and nothing stays behind.

mod error;
mod session;
mod url;

use std::fs::File;
use std::path::PathBuf;
use std::pin::pin;

use sockeye_net::{Net, lookup_host};
use sockeye_stack::time::Duration;

pub use error::Error;
pub use url::{BadUrl, PORT, Url};

use self::session::{Heard, Session};
use super::packet::{self, BLKSIZE_DEFAULT, ErrorCode, HEADER, Kind, Packet};
use super::root::Upload;
use super::server::window_that_fits;
use super::sink::Sink;
use super::source::Source;
use super::transfer::{
    AckOutcome, Counts, DataOutcome, Receiver, Reply, Rollover, Sender, TimeoutOutcome, Timing,
};

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
            Target::File(path) => Sink::file(Upload::at(path)?, url.mode, options.max_size),
            Target::Memory => Sink::memory(url.mode, options.max_size),
        };
        let session = Session::new(net, server, Kind::Read, url, options, None)?;
        result = download(session, sink, options, progress).await;
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
        result = upload(session, source, size, options, progress).await;
        if !matches!(result, Err(Error::Refused | Error::Network(_))) {
            break;
        }
    }
    result
}

async fn resolve(net: &Net, url: &Url) -> Result<Vec<std::net::SocketAddr>, Error> {
    let found = lookup_host(net, (&url.host[..], url.port)).await;
    Ok(found.map_err(Error::Unresolved)?.collect())
}

async fn download(
    mut session: Session,
    sink: Sink,
    options: &Options,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Done, Error> {
    let clock = session.clock;
    let mut sleeper = pin!(tokio::time::sleep(std::time::Duration::ZERO));
    let mut receiver = Receiver::new(clock.now(), options.timing, options.rollover, true, options.dally);
    // One octet more than the longest block, so that a longer one is seen; and room for any OACK.
    let longest = session
        .asked
        .blksize
        .unwrap_or(BLKSIZE_DEFAULT)
        .max(BLKSIZE_DEFAULT);
    let mut buf = vec![0; HEADER + usize::from(longest) + 1];
    let mut sink = Some(sink);
    let mut done = Done {
        content: Vec::new(),
        octets: 0,
        options: packet::Options::default(),
        counts: Counts::default(),
    };
    loop {
        let now = clock.now();
        match receiver.poll_transmit(now) {
            Some(Reply::Handshake) => session.send_request().await?,
            Some(Reply::Ack(block)) => session.send(&packet::ack(block)).await?,
            None => {}
        }
        let heard = session
            .wait(&mut buf, sleeper.as_mut(), receiver.deadline())
            .await;
        let now = clock.now();
        let datagram = match heard {
            // The file is there; that the server has gone meanwhile does not matter.
            Err(_) if receiver.is_complete() => break,
            Err(error) => return Err(error),
            Ok(Heard::Nothing) => continue,
            Ok(Heard::Time) => match receiver.handle_timeout(now) {
                TimeoutOutcome::GaveUp => return Err(Error::TimedOut),
                TimeoutOutcome::Finished => break,
                TimeoutOutcome::Early | TimeoutOutcome::Resend => continue,
            },
            Ok(Heard::Datagram(n)) => &buf[..n],
        };
        match Packet::parse(datagram) {
            Ok(Packet::OptionAck(list)) if !session.is_bound() || !done.options.is_empty() => {
                if done.options.is_empty() {
                    done.options = session.accept(list).await?;
                    let blksize = done.options.blksize.unwrap_or(BLKSIZE_DEFAULT);
                    receiver.configure(
                        blksize,
                        done.options.windowsize.unwrap_or(1),
                        session.timing(&done.options),
                    );
                    if done.options.tsize.is_some_and(|size| size > options.max_size) {
                        session.abort(ErrorCode::DISK_FULL, "file too large").await;
                        return Err(Error::DiskFull);
                    }
                }
                receiver.handle_option_ack(now);
            }
            Ok(Packet::Data { block, data }) => {
                // Before the first answer only block 1 can be one.
                if !session.is_bound() && block != 1 {
                    session.forget();
                    continue;
                }
                session.bind();
                let outcome = receiver.handle_data(now, block, data.len());
                if !matches!(outcome, DataOutcome::Next | DataOutcome::Last) {
                    continue;
                }
                if receiver.owes_reply() {
                    session.expect_an_answer();
                }
                let Some(file) = &mut sink else { continue };
                let mut kept = file.push(data).await;
                done.octets = file.octets();
                if outcome == DataOutcome::Last && kept.is_ok() {
                    kept = match sink.take() {
                        Some(file) => file.finish().await.map(|content| done.content = content),
                        None => Ok(()),
                    };
                }
                if let Err(refused) = kept {
                    session.abort(refused.code(), &refused.to_string()).await;
                    return Err(refused.into());
                }
                let total = done.options.tsize;
                progress(Progress {
                    octets: done.octets,
                    total,
                });
            }
            Ok(Packet::Error { code, message }) => {
                if receiver.is_complete() {
                    break;
                }
                session.end();
                return Err(Error::from_server(code, message));
            }
            _ => session.forget(),
        }
        if receiver.is_complete() {
            session.end();
        }
    }
    session.end();
    done.counts = receiver.counts();
    Ok(done)
}

async fn upload(
    mut session: Session,
    mut source: Source,
    size: u64,
    options: &Options,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Done, Error> {
    const BURST: u32 = 64;
    let clock = session.clock;
    let mut sleeper = pin!(tokio::time::sleep(std::time::Duration::ZERO));
    let rollover = options.rollover.unwrap_or_default();
    let mut sender = Sender::new(clock.now(), options.timing, rollover, 1, true);
    let mut buf = [0; 516];
    let mut held = packet::Options::default();
    loop {
        while let Some(burst) = sender.poll_transmit(clock.now(), BURST) {
            if burst.first == 0 {
                session.send_request().await?;
                continue;
            }
            let last = match source.ready(sender.base(), burst.first, burst.count).await {
                Ok(last) => last,
                Err(error) => {
                    session.abort(ErrorCode::UNDEFINED, "cannot read the file").await;
                    return Err(Error::File(error.to_string()));
                }
            };
            if let Some(last) = last {
                sender.set_last(last);
            }
            let end = burst.first + u64::from(burst.count);
            let end = last.map_or(end, |last| end.min(last + 1));
            session.send_blocks(&source, &sender, burst.first, end).await?;
        }
        let heard = session
            .wait(&mut buf, sleeper.as_mut(), sender.deadline())
            .await?;
        let now = clock.now();
        let datagram = match heard {
            Heard::Nothing => continue,
            Heard::Time => match sender.handle_timeout(now) {
                TimeoutOutcome::GaveUp => return Err(Error::TimedOut),
                _ => continue,
            },
            Heard::Datagram(n) => &buf[..n],
        };
        let wire = match Packet::parse(datagram) {
            Ok(Packet::OptionAck(list)) if !session.is_bound() => {
                held = session.accept(list).await?;
                source.set_blksize(held.blksize.unwrap_or(BLKSIZE_DEFAULT));
                sender.configure(held.windowsize.unwrap_or(1), session.timing(&held));
                0
            }
            Ok(Packet::Ack { block }) if session.is_bound() || block == 0 => {
                session.bind();
                block
            }
            Ok(Packet::Error { code, message }) => {
                session.end();
                return Err(Error::from_server(code, message));
            }
            _ => {
                session.forget();
                continue;
            }
        };
        if !sender.is_under_way()
            && let Some(last) = source.last()
        {
            if last > rollover.max_blocks() {
                session
                    .abort(ErrorCode::DISK_FULL, "more than 65535 blocks")
                    .await;
                return Err(Error::File(
                    "more than 65535 blocks: use a larger block size".into(),
                ));
            }
            sender.set_last(last);
        }
        let outcome = sender.handle_ack(now, wire);
        if outcome == AckOutcome::Advanced {
            session.expect_an_answer();
        }
        let blksize = u64::from(held.blksize.unwrap_or(BLKSIZE_DEFAULT));
        progress(Progress {
            octets: (sender.base().saturating_sub(1) * blksize).min(size),
            total: Some(size),
        });
        if outcome == AckOutcome::Finished {
            session.end();
            return Ok(Done {
                content: Vec::new(),
                octets: size,
                options: held,
                counts: sender.counts(),
            });
        }
    }
}
