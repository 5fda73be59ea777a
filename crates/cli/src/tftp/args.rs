//! What `sockeye tftp` understands on its command line.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use sockeye_apps::tftp::client::Url;
use sockeye_apps::tftp::transfer::Rollover;

use crate::lab::alone::{self, LabArgs};
use crate::t;

/// `sockeye tftp`.
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct TftpArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TftpCommand,
}

impl TftpArgs {
    /// Whether it has to do with a network at all.
    pub fn needs_net(&self) -> bool {
        !matches!(self.command, TftpCommand::Explain(_))
    }
}

/// What can be done with TFTP.
#[derive(Subcommand, Debug)]
pub enum TftpCommand {
    /// Serve the files of a directory.
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Get a file from a server.
    #[command(after_help = GET_HELP)]
    Get(GetArgs),
    /// Put a file onto a server.
    #[command(after_help = PUT_HELP)]
    Put(PutArgs),
    /// Put packets into words and point at what is wrong: from a capture (pcap, pcapng), a hex dump, or a packet's octets.
    #[command(after_help = EXPLAIN_HELP)]
    Explain(ExplainArgs),
}

const EXIT_CODES: &str = "\
Exit codes:
  0  all is well
  2  the command line was wrong
  3  a file of ours could not be read or written
  4  refused: nobody listens on that port
  5  no answer came in time
  7  unknown name, or another error of the network
  8  the server has no such file
  9  the server refuses access, or the file exists there
  10 a disk is full, ours or the server's
  11 another error of the server, or a breach of the protocol
  130 interrupted";

const SERVE_HELP: &str = "\
Examples:
  sockeye tftp serve /srv/tftp                              port 69, read only
  sockeye tftp serve . --listen 127.0.0.1:6969              without root
  sockeye tftp serve . --upload create --max-upload 100M    new files may be written
  sockeye tftp serve . --single-port                        behind NAT, in containers
  sockeye tftp serve . --json --metrics 127.0.0.1:9169      for machines

The first Ctrl-C lets running transfers end, the second stops at once.

Exit codes: 0 stopped in good order, 2 wrong command line, 3 the directory cannot be read, 7 the address cannot
be had, or another error of the network, 130 stopped at once.";
const GET_HELP: &str = "\
Examples:
  sockeye tftp get tftp://192.0.2.1/pxelinux.0
  sockeye tftp get tftp://[::1]:6969/big.img copy.img --blksize 8192 --windowsize 8
  sockeye tftp get 'tftp://192.0.2.1/motd;mode=netascii' -      to standard output
  sockeye tftp get tftp://server/big.img copy.img --net lab --serve images --loss 5%

Nothing of a file that did not come whole is left behind.

Exit codes: 0 all is well, 2 wrong command line, 3 our file cannot be written, 4 refused, 5 no answer,
7 unknown name or another error of the network, 8 no such file, 9 no access or it exists, 10 a disk is full,
11 another error of the server, 130 interrupted.";
const PUT_HELP: &str = "\
Examples:
  sockeye tftp put config.txt tftp://192.0.2.1/switch-1.txt
  dmesg | sockeye tftp put - tftp://192.0.2.1/dmesg

Exit codes: 0 all is well, 2 wrong command line, 3 our file cannot be read, 4 refused, 5 no answer,
7 unknown name or another error of the network, 9 no access or it exists, 10 a disk is full,
11 another error of the server, 130 interrupted.";
const EXPLAIN_HELP: &str = "\
Examples:
  sockeye tftp explain boot.pcapng
  echo 0001 66696c65 00 6f63746574 00 | sockeye tftp explain

Exit codes: 0 explained, 2 wrong command line, 3 the input cannot be read, or has no TFTP in it.";

/// `sockeye tftp serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// The directory. No name leads out of it, not through `..` and not through a symlink.
    pub dir: PathBuf,
    /// Where to listen.
    #[arg(long, value_name = "HOST:PORT", default_value = "[::]:69")]
    pub listen: String,
    /// What clients may write: new files, or also in the place of existing ones.
    #[arg(long, value_enum, value_name = "WHAT", num_args = 0..=1, default_missing_value = "create")]
    pub upload: Option<UploadPolicy>,
    /// The most octets of an uploaded file.
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = size)]
    pub max_upload: u64,
    /// All transfers on the listening port.
    #[arg(long)]
    pub single_port: bool,
    /// The ports for transfers.
    #[arg(long, value_name = "LOW-HIGH", value_parser = port_range, conflicts_with = "single_port")]
    pub ports: Option<(u16, u16)>,
    /// The most transfers at a time; requests above are dropped, and the client asks again.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub max_transfers: usize,
    /// The most transfers of one address at a time.
    #[arg(long, value_name = "N")]
    pub max_transfers_per_client: Option<usize>,
    /// Octets a second for all together.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub rate: Option<u64>,
    /// Octets a second for each address.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub rate_per_client: Option<u64>,
    /// The largest block size that is granted: less than 65464 avoids fragments, on a VPN for instance.
    #[arg(long, value_name = "OCTETS", default_value_t = 65464, value_parser = clap::value_parser!(u16).range(8..=65464))]
    pub max_blksize: u16,
    /// The largest window that is granted.
    #[arg(long, value_name = "BLOCKS", default_value_t = 65535, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_windowsize: u16,
    /// How many threads the transfers are spread over; as many as there are cores, up to four, by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: Option<u8>,
    /// How long a long transfer looks for the client's answer before it sleeps, if answers come that fast. It keeps a core
    /// busy meanwhile, half of them at most. 0: never.
    #[arg(long, value_name = "US", default_value_t = 50, value_parser = clap::value_parser!(u64).range(..=10_000))]
    pub watch_us: u64,
    /// What follows block 65535: 0, 1 or none.
    #[arg(long, value_name = "BLOCK", default_value = "0")]
    pub rollover: Rollover,
    /// The shortest retransmission timer.
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub min_timeout_ms: u64,
    /// A client that is silent for so long is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub give_up: u64,
    /// Further copies of each packet, for boot loaders that lose the first.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=3))]
    pub duplicates: u8,
    /// Answer Prometheus on http://HOST:PORT/metrics.
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<String>,
    /// One JSON object for each transfer instead of a line.
    #[arg(long)]
    pub json: bool,
}

/// What clients may write.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum UploadPolicy {
    /// New files only.
    Create,
    /// Also in the place of existing files.
    Overwrite,
}

/// How to ask a server.
#[derive(Args, Debug)]
pub struct AskArgs {
    /// The block size to ask for.
    #[arg(long, value_name = "OCTETS", default_value_t = 1428, value_parser = clap::value_parser!(u16).range(8..=65464))]
    pub blksize: u16,
    /// How many blocks to ask for between ACKs. Made smaller if the receive buffer would not take them.
    #[arg(long, value_name = "BLOCKS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub windowsize: u16,
    /// Ask the server to repeat after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u8).range(1..))]
    pub timeout: Option<u8>,
    /// A plain request without options: blocks of 512, one at a time.
    #[arg(long, conflicts_with_all = ["blksize", "windowsize", "timeout"])]
    pub no_options: bool,
    /// A server that is silent for so long is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub give_up: u64,
    /// What follows block 65535: 0 or 1. A download in lockstep sees what the server does.
    #[arg(long, value_name = "BLOCK")]
    pub rollover: Option<Rollover>,
    /// Text: carry line ends as netascii.
    #[arg(long)]
    pub netascii: bool,
    /// Say what was done as a JSON object.
    #[arg(long)]
    pub json: bool,
    /// No progress bar.
    #[arg(long, short)]
    pub quiet: bool,
    /// The directory that the lab's server serves. New files may be written there.
    #[arg(long, value_name = "DIR", help_heading = alone::HEADING)]
    pub serve: Option<PathBuf>,
    /// What the network of a lab is like.
    #[command(flatten)]
    pub lab: LabArgs,
}

/// `sockeye tftp get`.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// `tftp://host[:port]/path[;mode=octet]`
    pub url: Url,
    /// Where to; the file's own name by default, - is standard output.
    pub file: Option<PathBuf>,
    /// How to ask.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// `sockeye tftp put`.
#[derive(Args, Debug)]
pub struct PutArgs {
    /// The file; - is standard input.
    pub file: PathBuf,
    /// `tftp://host[:port]/path[;mode=octet]`
    pub url: Url,
    /// How to ask.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// `sockeye tftp explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// A capture, a hex dump or a packet; standard input by default.
    pub file: Option<PathBuf>,
}

/// A number of octets: 1500, 64k, 100M, 4G (powers of 1024).
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err(t!("tftp-size")),
    };
    let number: u64 = digits.parse().map_err(|_| t!("tftp-size"))?;
    number
        .checked_mul(1 << shift)
        .filter(|&n| n > 0)
        .ok_or_else(|| t!("tftp-size-range"))
}
fn port_range(text: &str) -> Result<(u16, u16), String> {
    let pair = text
        .split_once('-')
        .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    pair.filter(|(low, high)| *low > 0 && low <= high)
        .ok_or_else(|| t!("tftp-ports"))
}
