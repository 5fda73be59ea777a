//! Sockeye's TFTP server beside tftpd-hpa, atftpd and dnsmasq (and rs-tftpd and tftpy, where they are), in one run: each
//! case is put to one server after the other, round by round, so that the machine's moods fall on all of them.
//!
//! As root it makes a network of its own, in which port 69 is free. Prints a table of medians, ours against the best of the
//! others, and writes every figure as JSON.

mod cases;
mod relay;
mod servers;
mod swarm;
mod unanswered;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

use cases::{CASES, Case};
use servers::{Places, Server};

const HELP: &str = "\
sockeye-bench-tftp [OPTIONS]
  --sockeye PATH   our command (../target/release/sockeye)
  --peers DIR      where in.tftpd, atftpd and tftpd are (../target/peers/usr/sbin)
  --rounds N       how often each case is run with each server (3)
  --only TEXT      only cases with TEXT in their heading; may be given again
  --servers A,B    only these servers, ours among them
  --long           also the cases of 1 GiB, of which some take a minute
  --quick          one round of the short cases with small files: to see that all works
  --json FILE      every figure
Exit code 1: our server failed.";

struct Args {
    sockeye: PathBuf,
    peers: PathBuf,
    rounds: usize,
    only: Vec<String>,
    servers: Option<String>,
    long: bool,
    quick: bool,
    json: Option<PathBuf>,
}

fn arguments() -> Result<Args, String> {
    let mut args = Args {
        sockeye: "../target/release/sockeye".into(),
        peers: "../target/peers/usr/sbin".into(),
        rounds: 3,
        only: Vec::new(),
        servers: None,
        long: false,
        quick: false,
        json: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match &word[..] {
            "--sockeye" => args.sockeye = value()?.into(),
            "--peers" => args.peers = value()?.into(),
            "--rounds" => args.rounds = value()?.parse().map_err(|_| "--rounds wants a number")?,
            "--only" => args.only.push(value()?),
            "--servers" => args.servers = Some(value()?),
            "--long" => args.long = true,
            "--quick" => args.quick = true,
            "--json" => args.json = Some(value()?.into()),
            _ => return Err(HELP.into()),
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    let done = arguments().and_then(|args| match in_a_network_of_its_own()? {
        Some(code) => Ok(code),
        None => compare(&args),
    });
    done.unwrap_or_else(|text| {
        eprintln!("{text}");
        ExitCode::from(2)
    })
}

/// Runs the program again in a network namespace, and says how that ended; `None`: this is it.
fn in_a_network_of_its_own() -> Result<Option<ExitCode>, String> {
    const INSIDE: &str = "SOCKEYE_BENCH_INSIDE";
    if std::env::var_os(INSIDE).is_none() {
        let mut command = Command::new("unshare");
        command
            .arg("--net")
            .arg(std::env::current_exe().map_err(|e| e.to_string())?);
        let status = command
            .args(std::env::args_os().skip(1))
            .env(INSIDE, "1")
            .status();
        let status = status.map_err(|e| format!("unshare: {e}"))?;
        return Ok(Some(ExitCode::from(status.code().unwrap_or(2) as u8)));
    }
    // tftpd-hpa finds no address of its own where there is none but loopback.
    for words in ["link set lo up", "address add 192.0.2.1/32 dev lo"] {
        let status = Command::new("ip").args(words.split(' ')).status();
        if !status.is_ok_and(|s| s.success()) {
            return Err(format!("ip {words}: this needs root and iproute2"));
        }
    }
    Ok(None)
}

/// A directory that goes away with the program.
struct Scratch(PathBuf);
impl Scratch {
    fn new(path: PathBuf) -> Result<Scratch, String> {
        std::fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Scratch(path))
    }
}
impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing more can be done.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn compare(args: &Args) -> Result<ExitCode, String> {
    let name = format!("sockeye-bench-tftp-{}", std::process::id());
    // What is served lies on a disk, as it would; what arrives lies in memory, so that no disk has to be waited for.
    let served = Scratch::new(std::env::temp_dir().join(&name))?;
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let got = Scratch::new(base.join(format!("{name}-got")))?;
    let root = served.0.clone();
    let cases: Vec<Case> = CASES
        .iter()
        .filter(|c| args.only.is_empty() || args.only.iter().any(|o| c.name.contains(o)))
        .filter(|c| !c.long || (args.long && !args.quick))
        .map(|c| match args.quick {
            true => Case {
                size: c.size / 10,
                limit: 5,
                ..*c
            },
            false => *c,
        })
        .collect();
    for size in cases.iter().map(|c| c.size).chain([5000]) {
        let file = root.join(size.to_string());
        if !file.exists() {
            std::fs::write(file, cases::content(size)).map_err(|e| e.to_string())?;
        }
    }
    let places = Places {
        sockeye: args.sockeye.clone(),
        peers: args.peers.clone(),
        root,
    };
    let mut servers = servers::start_all(&places).map_err(|e| format!("{}: {e}", args.sockeye.display()))?;
    if let Some(wanted) = &args.servers {
        servers.retain(|s| wanted.split(',').any(|w| w == s.name));
    }
    if servers.first().is_none_or(|s| s.name != "sockeye") {
        return Err("our own server is not among them".into());
    }
    describe(&servers);
    let rounds = if args.quick { 1 } else { args.rounds };
    let mut report = Vec::new();
    let mut failed = false;
    for case in &cases {
        let mut seconds = vec![Vec::new(); servers.len()];
        for round in 0..rounds {
            for (server, seconds) in servers.iter().zip(&mut seconds) {
                seconds.push(cases::run(case, server, &places, &got.0, round as u64));
            }
        }
        failed |= seconds[0].iter().any(Result::is_err);
        report.push(show(case, &servers, &seconds));
    }
    let unanswered = unanswered(&servers)?;
    if let Some(file) = &args.json {
        let versions: Vec<Value> = servers
            .iter()
            .map(|s| json!({ "name": s.name, "version": s.version }))
            .collect();
        let all = json!({ "machine": machine(), "servers": versions, "rounds": rounds, "cases": report,
            "unanswered": unanswered });
        std::fs::write(file, format!("{all:#}\n")).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|l| l.strip_prefix("model name\t: "))
        .unwrap_or("unknown processor");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

fn describe(servers: &[Server]) {
    println!("{}", machine());
    for server in servers {
        println!("{}: {}", server.name, server.version);
    }
    for client in ["curl", "atftp"] {
        println!("{}", servers::says(Command::new(client).arg("--version")));
    }
    print!("\nseconds, medians\n{:28}", "");
    for server in servers {
        print!("{:>11}", server.name);
    }
    println!("{:>22}", "ours / best of others");
}

/// The middle one; a failure counts as longer than any time.
fn median(runs: &[Result<f64, String>]) -> Result<f64, String> {
    let mut runs = runs.to_vec();
    runs.sort_by(|a, b| match (a, b) {
        (Ok(a), Ok(b)) => a.total_cmp(b),
        (a, b) => b.is_ok().cmp(&a.is_ok()),
    });
    runs.swap_remove(runs.len() / 2)
}

fn show(case: &Case, servers: &[Server], seconds: &[Vec<Result<f64, String>>]) -> Value {
    let medians: Vec<_> = seconds.iter().map(|runs| median(runs)).collect();
    print!("{:28}", case.name);
    for median in &medians {
        match median {
            Ok(seconds) => print!("{seconds:11.3}"),
            Err(why) => print!("{:>11}", why.chars().take(10).collect::<String>()),
        }
    }
    let best = medians[1..].iter().flatten().copied().min_by(f64::total_cmp);
    let ratio = match (&medians[0], best) {
        (Ok(ours), Some(best)) => Some(ours / best),
        _ => None,
    };
    println!("{:>22}", ratio.map_or("-".into(), |r| format!("{r:.2}")));
    let all: serde_json::Map<String, Value> = servers
        .iter()
        .zip(seconds)
        .map(|(server, runs)| {
            let runs = runs.iter().map(|run| match run {
                Ok(seconds) => json!(seconds),
                Err(why) => json!(why),
            });
            (server.name.to_owned(), runs.collect())
        })
        .collect();
    json!({ "case": case.name, "octets": case.size, "seconds": all, "ratio_to_best": ratio })
}

/// The last table: afterwards the servers have forsaken transfers to look after.
fn unanswered(servers: &[Server]) -> Result<Value, String> {
    const REQUESTS: usize = 300;
    println!("\n{REQUESTS} unanswered requests   memory, MB more      threads    processes     answered");
    let mut all = serde_json::Map::new();
    for server in servers {
        let (before, after, answered) =
            unanswered::measure(server, "5000", REQUESTS).map_err(|e| e.to_string())?;
        let more = (after.memory as f64 - before.memory as f64) / 1e6;
        println!(
            "{:24}{more:16.1}{:>13}{:>13}{answered:>13}",
            server.name, after.threads, after.processes
        );
        let value = json!({ "megabytes_more": more, "threads_before": before.threads, "threads": after.threads,
            "processes": after.processes, "answered": answered });
        all.insert(server.name.to_owned(), value);
    }
    Ok(all.into())
}
