//! Sockeye's TFTP server beside tftpd-hpa, atftpd and dnsmasq (and rs-tftpd and tftpy, where they are), in one run: each
//! case is put to one server after the other, round by round, so that the machine's moods fall on all of them.
//!
//! As root it makes a network of its own, in which port 69 is free. Prints tables of medians, ours against the best of the
//! others, for people or as Markdown, and writes every figure as JSON.

mod cases;
mod costs;
mod relay;
mod report;
mod servers;
mod swarm;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use cases::{CASES, Case};
use report::{Figure, Report, Row};
use servers::{Places, Server};

/// Seconds a round that our server's runs of a case are to take, repeated if need be.
const ENOUGH: f64 = 0.4;

const HELP: &str = "\
sockeye-bench-tftp [OPTIONS]
  --sockeye PATH   our command (../target/release/sockeye)
  --peers DIR      where the others are: usr/sbin/in.tftpd, usr/sbin/atftpd, bin/tftpd, py/tftpy (../target/peers)
  --rounds N       how often each case is run with each server (3); short ones up to eight times as often
  --only TEXT      only cases with TEXT in their heading; may be given again
  --servers A,B    only these servers, ours among them
  --long           also the cases of 1 GiB, of which some take a minute
  --quick          one round of the short cases with small files: to see that all works
  --json FILE      every figure
  --markdown       the tables once more at the end, as Markdown
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
    markdown: bool,
}

fn arguments() -> Result<Args, String> {
    let mut args = Args {
        sockeye: "../target/release/sockeye".into(),
        peers: "../target/peers".into(),
        rounds: 3,
        only: Vec::new(),
        servers: None,
        long: false,
        quick: false,
        json: None,
        markdown: false,
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
            "--markdown" => args.markdown = true,
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
    let cases = chosen(args);
    for size in cases.iter().map(|c| c.size).chain([costs::OCTETS]) {
        let file = served.0.join(size.to_string());
        if !file.exists() {
            std::fs::write(file, cases::content(size)).map_err(|e| e.to_string())?;
        }
    }
    let places = Places {
        sockeye: args.sockeye.clone(),
        peers: args.peers.clone(),
        root: served.0.clone(),
    };
    let mut servers = servers::start_all(&places).map_err(|e| format!("{}: {e}", args.sockeye.display()))?;
    if let Some(wanted) = &args.servers {
        servers.retain(|s| wanted.split(',').any(|w| w == s.name));
    }
    if servers.first().is_none_or(|s| s.name != "sockeye") {
        return Err("our own server is not among them".into());
    }
    let mut report = Report::new(&servers, machine());
    let rounds = if args.quick { 1 } else { args.rounds };
    report.head();
    for case in &cases {
        if let Some(missing) = case.client.missing() {
            eprintln!("without \"{}\": there is no {missing}", case.name);
            continue;
        }
        report.add(measure(case, &servers, &places, &got.0, rounds));
    }
    for server in &servers {
        let cost = costs::measure(server).map_err(|e| e.to_string())?;
        report.add_cost(server.name, cost);
    }
    if args.markdown {
        print!("{}", report.markdown());
    }
    if let Some(file) = &args.json {
        let all = report.json(rounds);
        std::fs::write(file, format!("{all:#}\n")).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(if report.we_failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The cases that are asked for.
fn chosen(args: &Args) -> Vec<Case> {
    let named = |c: &&Case| args.only.is_empty() || args.only.iter().any(|o| c.name.contains(o));
    let short = |c: &&Case| !c.long || (args.long && !args.quick);
    let cases = CASES.iter().filter(named).filter(short);
    let quick = |c: &Case| match args.quick {
        true => Case {
            size: c.size / 10,
            limit: 5,
            ..*c
        },
        false => *c,
    };
    cases.map(quick).collect()
}

/// Runs a case with one server after the other, round by round, another one first each time. What is short is run more
/// often, up to eight times, so that clocks and starts of processes do not decide; who failed twice is not asked again.
fn measure(case: &Case, servers: &[Server], places: &Places, got: &Path, rounds: usize) -> Row {
    let mut figures = vec![Figure::default(); servers.len()];
    let enough = |ours: &Figure| ours.seconds.iter().flatten().sum::<f64>() >= ENOUGH * rounds as f64;
    for round in 0..rounds * 8 {
        if round >= rounds && (rounds == 1 || enough(&figures[0])) {
            break;
        }
        for n in 0..servers.len() {
            let n = (n + round) % servers.len();
            let (server, figure) = (&servers[n], &mut figures[n]);
            if let Some(why) = figure.hopeless() {
                figure.seconds.push(Err(why));
                continue;
            }
            let before = costs::processor_time(server);
            let ran = cases::run(case, server, places, got, round as u64);
            if ran.is_ok() && !server.forks {
                figure.processor.push(costs::processor_time(server) - before);
            }
            figure.seconds.push(ran);
        }
    }
    Row { case: *case, figures }
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|l| l.strip_prefix("model name\t: "))
        .unwrap_or("unknown processor");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "{model}, {cores} cores, Linux {}, load {load} before",
        kernel.trim()
    )
}
