//! What a server may be told, and what it grants to a request.

use std::path::PathBuf;
use std::time::Duration;

use super::super::packet::{self, BLKSIZE_DEFAULT, BLKSIZE_MAX, BLKSIZE_MIN, Kind, Mode};
use super::super::root::Uploads;
use super::super::transfer::{Rollover, Timing};

/// A server's options. All have defaults but the directory.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory that is served.
    pub root: PathBuf,
    /// Where to listen: `host:port`. `[::]:69`, both IPv6 and IPv4, by default.
    pub listen: String,
    /// Whether files may be written. Off by default.
    pub uploads: Uploads,
    /// The most octets of an uploaded file; 4 GiB by default. More is answered with ERROR 3.
    pub max_upload: u64,
    /// All transfers on the listening port, told apart by the client's address and port (for NAT and containers). The
    /// answers then come from the port that was asked, which RFC 1350 does not have but every known client takes.
    pub single_port: bool,
    /// The ports for transfers, from the first to the last. Any free one by default.
    pub ports: Option<(u16, u16)>,
    /// The most transfers at a time, 2,000 by default. Requests above are dropped: the client asks again.
    pub max_transfers: usize,
    /// The most transfers of one address at a time. No limit by default.
    pub max_transfers_per_client: Option<usize>,
    /// Octets a second for all together.
    pub rate: Option<u64>,
    /// Octets a second for each address.
    pub rate_per_client: Option<u64>,
    /// The largest block size that is granted, 65,464 by default. Behind a VPN less avoids fragments.
    pub max_blksize: u16,
    /// The largest window that is granted, 65,535 by default.
    pub max_window: u16,
    /// What a client's receive buffer takes (Linux's default, 212,992 octets, counts its own structures too): windows are
    /// kept so that a whole one fits.
    pub peer_buffer: usize,
    /// What we ask for as our receive buffer for uploads with a window; 4 MiB by default, and the system may give less.
    pub receive_buffer: usize,
    /// What follows block 65,535.
    pub rollover: Rollover,
    /// The bounds of the retransmission timer.
    pub timing: Timing,
    /// How many threads the transfers are spread over, each on one of them; 1 by default. On Linux's own sockets as many
    /// again serve one long transfer each while it lasts.
    pub threads: usize,
    /// How long a transfer that has a thread of its own looks for the client's answer before it sleeps; 50 us by default.
    /// Only if answers come that fast, and on half of the cores at most. Zero: never.
    pub watch: Duration,
    /// Further copies of each packet, 0 to 3, for boot loaders that lose what comes too early. 0 by default.
    pub duplicates: u8,
}
impl Options {
    /// The defaults for this directory.
    pub fn new(root: impl Into<PathBuf>) -> Options {
        Options {
            root: root.into(),
            listen: "[::]:69".into(),
            uploads: Uploads::Off,
            max_upload: 4 << 30,
            single_port: false,
            ports: None,
            max_transfers: 2000,
            max_transfers_per_client: None,
            rate: None,
            rate_per_client: None,
            max_blksize: BLKSIZE_MAX,
            max_window: u16::MAX,
            peer_buffer: 212_992,
            receive_buffer: 4 << 20,
            rollover: Rollover::ToZero,
            timing: Timing::default(),
            threads: 1,
            watch: Duration::from_micros(50),
            duplicates: 0,
        }
    }
}

/// The most blocks of a size that a receive buffer of `octets` (as Linux counts it) takes at once. Linux charges a datagram
/// with the memory it lies in: its headers and 320 octets rounded up to a power of two, and 256 more.
pub fn window_that_fits(octets: usize, blksize: u16) -> u16 {
    let datagram = usize::from(blksize) + packet::HEADER + 48 + 16;
    // Above 16 KiB it lies in whole pages.
    let memory = match datagram + 320 {
        whole if whole <= 16_384 => whole.next_power_of_two(),
        whole => whole.next_multiple_of(4096) + 1024,
    };
    let blocks = octets / (memory + 256);
    blocks.clamp(1, usize::from(u16::MAX)) as u16
}

/// What holds for a transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Granted {
    pub(super) blksize: u16,
    pub(super) window: u16,
    pub(super) timing: Timing,
    /// The options in the OACK; if there are none, there is no OACK.
    pub(super) answer: packet::Options,
}

/// Grants what was asked, within the limits. `size` is the file's for a read; `buffer` is the receive buffer
/// that a window must fit into: the peer's for a read, ours for a write.
pub(super) fn grant(
    asked: &packet::Options,
    kind: Kind,
    mode: Mode,
    size: u64,
    buffer: usize,
    limits: &Options,
) -> Granted {
    let mut answer = packet::Options::default();
    let cap = limits.max_blksize.clamp(BLKSIZE_MIN, BLKSIZE_MAX);
    answer.blksize = asked.blksize.map(|n| n.min(cap));
    let blksize = answer.blksize.unwrap_or(BLKSIZE_DEFAULT);
    let fits = window_that_fits(buffer, blksize).min(limits.max_window.max(1));
    // Numbers of blocks in flight must differ on the wire (RFC 7440 section 4).
    answer.windowsize = asked.windowsize.map(|n| n.min(fits).min(32_767));
    answer.timeout = asked.timeout;
    answer.tsize = match kind {
        // With netascii the size on the wire is not known before the file is read.
        Kind::Read if mode == Mode::Netascii => None,
        // curl takes a size of 0 for an error; without the option all clients get their empty file.
        Kind::Read => asked.tsize.map(|_| size).filter(|&size| size > 0),
        Kind::Write => asked.tsize,
    };
    let timing = match asked.timeout {
        Some(seconds) => limits.timing.with_timeout(seconds),
        None => limits.timing,
    };
    Granted {
        blksize,
        window: answer.windowsize.unwrap_or(1),
        timing,
        answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_fit_the_default_receive_buffer() {
        // What Linux was seen to take on loopback: 92 of 1,428, 12 of 8,192, 3 of 65,464.
        assert_eq!(window_that_fits(212_992, 512), 166);
        assert_eq!(window_that_fits(212_992, 1428), 92);
        assert_eq!(window_that_fits(212_992, 8192), 12);
        assert_eq!(window_that_fits(212_992, 65_464), 3);
        assert_eq!(window_that_fits(0, 8), 1);
    }

    /// Proves: 2348-2, 2349-2, 7440-1.
    #[test]
    fn what_is_granted() {
        let mut limits = Options::new(".");
        let asked = packet::Options {
            blksize: Some(8192),
            timeout: Some(3),
            tsize: Some(0),
            windowsize: Some(16),
        };
        let granted = grant(&asked, Kind::Read, Mode::Octet, 5000, limits.peer_buffer, &limits);
        assert_eq!(
            granted.answer.to_string(),
            "blksize=8192 timeout=3 tsize=5000 windowsize=12"
        );
        limits.max_blksize = 1428;
        limits.max_window = 4;
        let granted = grant(
            &asked,
            Kind::Read,
            Mode::Netascii,
            5000,
            limits.peer_buffer,
            &limits,
        );
        assert_eq!(granted.answer.to_string(), "blksize=1428 timeout=3 windowsize=4");
        let nothing = grant(
            &packet::Options::default(),
            Kind::Write,
            Mode::Octet,
            0,
            0,
            &limits,
        );
        assert!(nothing.answer.is_empty());
        assert_eq!((nothing.blksize, nothing.window), (512, 1));
    }
}
