//! What is measured.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::relay;
use crate::servers::{Places, Server};
use crate::swarm;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Client {
    /// curl, in lockstep, with this block size.
    Curl(u16),
    /// atftp with block size and window.
    Atftp(u16, u16),
    /// Our own client with block size and window.
    Sockeye(u16, u16),
    /// As many at once, in lockstep, with this block size.
    Swarm(usize, u16),
}

impl Client {
    /// The program that it needs and that is not there.
    pub fn missing(self) -> Option<&'static str> {
        let program = match self {
            Client::Curl(_) => "curl",
            Client::Atftp(..) => "atftp",
            Client::Sockeye(..) | Client::Swarm(..) => return None,
        };
        let mut command = Command::new(program);
        let there = command
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        there.is_err().then_some(program)
    }
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its heading.
    pub name: &'static str,
    /// The file's size in octets; it is its name as well.
    pub size: usize,
    /// Who asks.
    pub client: Client,
    /// Round trip in milliseconds and share lost each way, if a relay stands between.
    pub path: Option<(u64, f64)>,
    /// When it takes longer, it counts as failed.
    pub limit: u64,
    /// It takes minutes, and is only run when asked for.
    pub long: bool,
}

const MIB: usize = 1 << 20;
const fn case(name: &'static str, size: usize, client: Client) -> Case {
    Case {
        name,
        size,
        client,
        path: None,
        limit: 30,
        long: false,
    }
}
const fn lossy(name: &'static str, size: usize, client: Client, rtt: u64, loss: f64) -> Case {
    Case {
        path: Some((rtt, loss)),
        limit: 60,
        ..case(name, size, client)
    }
}
const fn long(name: &'static str, client: Client) -> Case {
    Case {
        limit: 150,
        long: true,
        ..case(name, 1024 * MIB, client)
    }
}

/// All columns.
pub const CASES: &[Case] = &[
    case("512 curl", 100 * MIB, Client::Curl(512)),
    case("1428 w1", 100 * MIB, Client::Sockeye(1428, 1)),
    case("1428 w16", 100 * MIB, Client::Sockeye(1428, 16)),
    case("1428 w64 atftp", 100 * MIB, Client::Atftp(1428, 64)),
    case("8192 curl", 100 * MIB, Client::Curl(8192)),
    case("65464 curl", 100 * MIB, Client::Curl(65_464)),
    case("8192 w16", 100 * MIB, Client::Sockeye(8192, 16)),
    case("8192 w16 atftp", 100 * MIB, Client::Atftp(8192, 16)),
    case("100 x 1 MiB 512", MIB, Client::Swarm(100, 512)),
    case("100 x 1 MiB 1428", MIB, Client::Swarm(100, 1428)),
    case("400 x 1 MiB 1428", MIB, Client::Swarm(400, 1428)),
    long("1 GiB 512", Client::Curl(512)),
    long("1 GiB 1428 w16", Client::Sockeye(1428, 16)),
    long("1 GiB 65464", Client::Curl(65_464)),
    lossy(
        "256K 512, 1 % loss, atftp",
        MIB / 4,
        Client::Atftp(512, 1),
        0,
        0.01,
    ),
    lossy("256K 512, 1 % loss", MIB / 4, Client::Sockeye(512, 1), 0, 0.01),
    lossy("256K 512, 20 ms", MIB / 4, Client::Sockeye(512, 1), 20, 0.0),
    lossy("256K 512 w16, 20 ms", MIB / 4, Client::Sockeye(512, 16), 20, 0.0),
    lossy("10M w16, 10 ms", 10 * MIB, Client::Sockeye(1428, 16), 10, 0.0),
    lossy(
        "10M w16, 10 ms, 1 %",
        10 * MIB,
        Client::Sockeye(1428, 16),
        10,
        0.01,
    ),
    lossy("10M w64, 10 ms", 10 * MIB, Client::Sockeye(1428, 64), 10, 0.0),
    lossy(
        "10M w64, 10 ms, 1 %",
        10 * MIB,
        Client::Sockeye(1428, 64),
        10,
        0.01,
    ),
    lossy(
        "10M w64, 10 ms, atftp",
        10 * MIB,
        Client::Atftp(1428, 64),
        10,
        0.0,
    ),
    lossy(
        "10M w64, 10 ms, 1 %, atftp",
        10 * MIB,
        Client::Atftp(1428, 64),
        10,
        0.01,
    ),
];

/// The octet at a place of a file: no block like another.
pub fn content(size: usize) -> Vec<u8> {
    let words =
        (0..size.div_ceil(8) as u64).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    words.take(size).collect()
}

/// Runs a case once against a server; `seed` chooses what is lost. The seconds it took, or why it failed.
pub fn run(case: &Case, server: &Server, places: &Places, got: &Path, seed: u64) -> Result<f64, String> {
    let said = |e: std::io::Error| e.to_string();
    let at = match case.path {
        None => server.at,
        Some((rtt, loss)) => {
            let path = relay::Path {
                delay: Duration::from_micros(rtt * 500),
                loss,
                seed,
            };
            relay::begin(server.at, path).map_err(said)?
        }
    };
    let name = case.size.to_string();
    let file = places.root.join(&name);
    if let Client::Swarm(clients, blksize) = case.client {
        let content = std::fs::read(file).map_err(said)?;
        return swarm::run(at, &name, &content, blksize, clients)
            .map(|t| t.as_secs_f64())
            .map_err(said);
    }
    let out = got.join("out");
    // Nothing, if it is not there.
    let _ = std::fs::remove_file(&out);
    let mut command = match case.client {
        Client::Atftp(blksize, window) => {
            let mut command = Command::new("atftp");
            command.args(["--option", &format!("blksize {blksize}")]);
            if window > 1 {
                command.args(["--option", &format!("windowsize {window}")]);
            }
            command.args(["-g", "-r", &name, "-l"]).arg(&out);
            command.args([at.ip().to_string(), at.port().to_string()]);
            command
        }
        Client::Sockeye(blksize, window) => {
            let mut command = Command::new(&places.sockeye);
            command
                .args(["tftp", "get", "-q", &format!("tftp://{at}/{name}")])
                .arg(&out);
            command.args([
                "--blksize",
                &blksize.to_string(),
                "--windowsize",
                &window.to_string(),
            ]);
            command.args(["--give-up", "30"]);
            command
        }
        Client::Curl(blksize) => {
            let mut command = Command::new("curl");
            command
                .args(["-s", "--tftp-blksize", &blksize.to_string(), "-o"])
                .arg(&out);
            command.arg(format!("tftp://{at}/{name}"));
            command
        }
        Client::Swarm(..) => return Err("not a command".into()),
    };
    let took = timed(&mut command, Duration::from_secs(case.limit))?;
    // Each time: a fast server of other octets is no server. The time of it is not counted.
    match std::fs::read(&out).map_err(said)? == std::fs::read(&file).map_err(said)? {
        true => Ok(took.as_secs_f64()),
        false => Err("wrong".into()),
    }
}

fn timed(command: &mut Command, limit: Duration) -> Result<Duration, String> {
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    loop {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            let took = began.elapsed();
            return if status.success() {
                Ok(took)
            } else {
                Err("fails".into())
            };
        }
        if began.elapsed() > limit {
            // It may have ended just now.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!(">{}", limit.as_secs()));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}
