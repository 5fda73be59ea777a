//! `sockeye tftp`: serve, get, put, explain.

use std::future::Future;
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use sockeye_apps::tftp::client::{self, Content, Done, Progress, Target, Url};
use sockeye_apps::tftp::explain;
use sockeye_apps::tftp::packet::Mode;
use sockeye_apps::tftp::record::Record;
use sockeye_apps::tftp::root::Uploads;
use sockeye_apps::tftp::scrape;
use sockeye_apps::tftp::server::{Options, Server};
use sockeye_apps::tftp::transfer::Rollover;
use sockeye_net::Net;
use sockeye_stack::time::Duration;
use tokio::time::Instant;

use crate::console::note;
use crate::lab::alone::{self, LabArgs};
use crate::place;
use crate::signals::{stop_on_interrupt, stop_saying};
use crate::{t, words};

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

/// How the command fails: an exit code of the table above, and a sentence.
pub(crate) struct Failure(u8, String);
impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Failure {
        Failure(error.exit_code(), error.text(words::current()))
    }
}
fn said(code: u8, what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Failure {
    move |error| {
        let error = words::current().error(&error);
        Failure(code, t!("tftp-failed", what = what.to_string(), error = error))
    }
}
const INTERRUPTED: u8 = 130;

/// Runs the command on sockets of `net`.
pub fn run(args: &TftpArgs, net: &Net) -> ExitCode {
    // One thread serves all transfers; a few more wait for disks.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build();
    let result = runtime
        .map_err(said(3, t!("tftp-cannot-start")))
        .and_then(|runtime| {
            let result = runtime.block_on(command(args, net));
            // Standard input may still be waited for: nobody needs it any more.
            runtime.shutdown_background();
            place::finish(net);
            result
        });
    ended(result)
}

/// Says what went wrong; the exit code.
pub(crate) fn ended(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, text)) => {
            if !text.is_empty() {
                eprintln!("sockeye: {text}");
            }
            ExitCode::from(code)
        }
    }
}

pub(crate) async fn command(args: &TftpArgs, net: &Net) -> Result<(), Failure> {
    match &args.command {
        TftpCommand::Serve(args) => serve(args, net).await,
        TftpCommand::Get(args) => until_interrupted(get(args, net)).await,
        TftpCommand::Put(args) => until_interrupted(put(args, net)).await,
        TftpCommand::Explain(args) => explain_file(args),
    }
}
/// Dropping a transfer tells the peer and removes what was half written.
async fn until_interrupted(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let mut stop = stop_on_interrupt();
    tokio::select! {
        result = work => result,
        () = stop.stopped() => Err(Failure(INTERRUPTED, t!("tftp-interrupted"))),
    }
}

async fn serve(args: &ServeArgs, net: &Net) -> Result<(), Failure> {
    let mut options = Options::new(&args.dir);
    options.listen = args.listen.clone();
    options.uploads = match args.upload {
        None => Uploads::Off,
        Some(UploadPolicy::Create) => Uploads::Create,
        Some(UploadPolicy::Overwrite) => Uploads::Overwrite,
    };
    options.max_upload = args.max_upload;
    options.single_port = args.single_port;
    options.ports = args.ports;
    options.max_transfers = args.max_transfers;
    options.max_transfers_per_client = args.max_transfers_per_client;
    options.rate = args.rate;
    options.rate_per_client = args.rate_per_client;
    options.max_blksize = args.max_blksize;
    options.max_window = args.max_windowsize;
    options.rollover = args.rollover;
    options.threads = match args.threads {
        Some(threads) => threads.into(),
        None => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
    };
    options.watch = std::time::Duration::from_micros(args.watch_us);
    options.timing.floor = Duration::from_millis(args.min_timeout_ms);
    options.timing.give_up = Duration::from_secs(args.give_up);
    options.duplicates = args.duplicates;
    let mut stop = stop_saying(t!("tftp-stopping"));
    more_descriptors();
    let json = args.json;
    let log = Arc::new(move |record: &Record| {
        let line = if json { record.json() } else { record.to_string() };
        // A log that nobody reads does not stop the server.
        let _ = writeln!(io::stdout(), "{line}");
    });
    let server = Server::bind(net, options, log).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => t!("tftp-hint-root"),
            io::ErrorKind::AddrInUse => t!("tftp-hint-in-use"),
            _ => String::new(),
        };
        let code = if error.kind() == io::ErrorKind::NotFound {
            3
        } else {
            7
        };
        Failure(
            code,
            t!(
                "tftp-cannot-serve",
                error = words::current().error(&error),
                hint = hint
            ),
        )
    })?;
    note(&t!(
        "tftp-listening",
        at = server.local_addr(),
        dir = args.dir.display()
    ));
    let metrics = server.metrics();
    let scrape = async {
        match &args.metrics {
            Some(address) => scrape::serve(net, address, metrics)
                .await
                .map_err(said(7, address)),
            None => std::future::pending().await,
        }
    };
    let serving = server.run(stop.stopped());
    tokio::select! {
        result = serving => result.map_err(said(7, &args.listen)),
        result = scrape => result,
    }
}

/// Each transfer has two descriptors: as many as the system allows.
fn more_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit); // else it stays as it is
}

fn asking(args: &AskArgs) -> client::Options {
    let mut options = client::Options {
        blksize: Some(args.blksize),
        windowsize: Some(args.windowsize),
        timeout: args.timeout,
        rollover: args.rollover,
        ..client::Options::default()
    };
    if args.no_options {
        options.blksize = None;
        options.windowsize = None;
        options.tsize = false;
    }
    options.timing.give_up = Duration::from_secs(args.give_up);
    options
}
fn with_mode(url: &Url, args: &AskArgs) -> Url {
    let mut url = url.clone();
    if args.netascii {
        url.mode = Mode::Netascii;
    }
    url
}

async fn get(args: &GetArgs, net: &Net) -> Result<(), Failure> {
    let url = with_mode(&args.url, &args.ask);
    let path = args.file.clone().unwrap_or_else(|| url.file_name().into());
    let to_stdout = path.as_os_str() == "-";
    let target = if to_stdout {
        Target::Memory
    } else {
        Target::File(path.clone())
    };
    let mut bar = Bar::new(!args.ask.quiet);
    let result = client::get(net, &url, &target, &asking(&args.ask), &mut |p| bar.show(p)).await;
    let seconds = bar.end();
    let done = result?;
    if to_stdout {
        io::stdout()
            .write_all(&done.content)
            .map_err(said(3, t!("tftp-stdout")))?;
    }
    report(&done, seconds, &args.ask, &path.display().to_string());
    Ok(())
}

async fn put(args: &PutArgs, net: &Net) -> Result<(), Failure> {
    let content = if args.file.as_os_str() == "-" {
        let mut octets = Vec::new();
        io::stdin()
            .read_to_end(&mut octets)
            .map_err(said(3, t!("tftp-stdin")))?;
        Content::Memory(octets)
    } else {
        Content::File(args.file.clone())
    };
    let url = with_mode(&args.url, &args.ask);
    let mut bar = Bar::new(!args.ask.quiet);
    let result = client::put(net, &content, &url, &asking(&args.ask), &mut |p| bar.show(p)).await;
    let seconds = bar.end();
    report(&result?, seconds, &args.ask, &args.file.display().to_string());
    Ok(())
}

/// What was done, on standard error, so that a file may go to standard output.
fn report(done: &Done, seconds: f64, args: &AskArgs, file: &str) {
    if args.json {
        let object = serde_json::json!({
            "file": file, "octets": done.octets, "blocks": done.counts.blocks, "seconds": seconds,
            "retransmissions": done.counts.retransmissions, "options": done.options.to_string(),
        });
        eprintln!("{object}");
    } else if !args.quiet {
        let rate = done.octets as f64 / 1e6 / seconds.max(1e-6);
        let (seconds, rate) = (format!("{seconds:.3}"), format!("{rate:.1}"));
        let text = t!(
            "tftp-done",
            file = file,
            octets = done.octets,
            seconds = seconds,
            rate = rate
        );
        eprintln!("{text}");
    }
}

/// A bar on a terminal, ten times a second.
struct Bar {
    began: Instant,
    shown: Option<Instant>,
    on: bool,
}
impl Bar {
    fn new(wanted: bool) -> Bar {
        Bar {
            // In a lab it is the network's time.
            began: Instant::now(),
            shown: None,
            on: wanted && io::stderr().is_terminal(),
        }
    }
    fn show(&mut self, progress: Progress) {
        let due = self.shown.is_none_or(|at| at.elapsed().as_millis() >= 100);
        if !self.on || !due {
            return;
        }
        self.shown = Some(Instant::now());
        let octets = progress.octets;
        let text = match progress.total.filter(|&t| t > 0) {
            Some(total) => {
                let share = (octets as f64 / total as f64).min(1.0);
                let full = (share * 40.0) as usize;
                format!(
                    "[{}{}] {:3.0} %",
                    "=".repeat(full),
                    " ".repeat(40 - full),
                    share * 100.0
                )
            }
            None => t!("tftp-octets", octets = octets),
        };
        let _ = write!(io::stderr(), "\r{text}");
    }
    /// Takes the bar away; how many seconds it took.
    fn end(&self) -> f64 {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r{:60}\r", "");
        }
        self.began.elapsed().as_secs_f64()
    }
}

fn explain_file(args: &ExplainArgs) -> Result<(), Failure> {
    let bytes = match &args.file {
        Some(path) => std::fs::read(path).map_err(said(3, path.display()))?,
        None => {
            let mut bytes = Vec::new();
            io::stdin()
                .read_to_end(&mut bytes)
                .map_err(said(3, t!("tftp-stdin")))?;
            bytes
        }
    };
    let datagrams = explain::datagrams(&bytes).map_err(|bad| Failure(3, bad.text(words::current())))?;
    let explained = explain::explain(&datagrams);
    if explained.is_empty() {
        return Err(Failure(3, t!("tftp-none")));
    }
    let mut out = io::stdout().lock();
    for one in explained {
        // Nobody reads any more: nothing to say.
        if write!(out, "{}", one.text(words::current())).is_err() {
            break;
        }
    }
    Ok(())
}
