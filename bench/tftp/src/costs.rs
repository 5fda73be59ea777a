//! What a server costs: memory, threads and processes while requests wait that nobody goes on with, and processor time.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use crate::servers::Server;

/// A process and all that came from it.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cost {
    /// Memory that is its own: resident, and not shared with others, in octets.
    pub memory: u64,
    /// Threads of all its processes.
    pub threads: u64,
    /// Processes.
    pub processes: u64,
}

/// How large the file is that is asked for; it is its name as well.
pub const OCTETS: usize = 5000;
/// How many ask.
pub const REQUESTS: usize = 300;

/// What unanswered requests cost.
#[derive(Clone, Copy, Debug)]
pub struct Unanswered {
    /// The server before.
    pub before: Cost,
    /// With them.
    pub after: Cost,
    /// How many got a first block.
    pub answered: usize,
}
impl Unanswered {
    /// Memory that they cost.
    pub fn megabytes(&self) -> f64 {
        (self.after.memory as f64 - self.before.memory as f64) / 1e6
    }
}

/// Sends requests, each from a socket of its own, reads the first answer to each and says nothing more. Afterwards the
/// server has forsaken transfers to look after.
///
/// # Errors
/// No sockets.
pub fn measure(server: &Server) -> io::Result<Unanswered> {
    let before = cost(server.pid());
    let mut sockets = Vec::new();
    for _ in 0..REQUESTS {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        socket.send_to(format!("\0\x01{OCTETS}\0octet\0").as_bytes(), server.at)?;
        sockets.push(socket);
    }
    let answered = sockets
        .iter()
        .filter(|s| s.recv_from(&mut [0; 600]).is_ok())
        .count();
    thread::sleep(Duration::from_millis(500));
    Ok(Unanswered {
        before,
        after: cost(server.pid()),
        answered,
    })
}

/// Processor time of a server in seconds: of all its processes, and of those that it has waited for.
pub fn processor_time(server: &Server) -> f64 {
    // utime, stime, and the two of children that are gone: fields 14 to 17, counted after the name in parentheses.
    // Hundredths of a second.
    let ticks = |pid: &u32| -> u64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        let ticks = fields.split(' ').skip(11).take(4);
        ticks.filter_map(|n| n.parse::<u64>().ok()).sum()
    };
    family(server.pid()).iter().map(ticks).sum::<u64>() as f64 / 100.0
}

/// A process and all that came from it.
fn family(pid: u32) -> Vec<u32> {
    let mut parents: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        if let Some(parent) = field(child, "status", "PPid:") {
            parents.entry(parent as u32).or_default().push(child);
        }
    }
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(&process) = all.get(at) {
        all.extend(parents.get(&process).into_iter().flatten());
        at += 1;
    }
    all
}
fn cost(pid: u32) -> Cost {
    let all = family(pid);
    let sum = |file: &str, name: &str| all.iter().filter_map(|&p| field(p, file, name)).sum::<u64>();
    Cost {
        memory: 1024 * (sum("smaps_rollup", "Private_Clean:") + sum("smaps_rollup", "Private_Dirty:")),
        threads: sum("status", "Threads:"),
        processes: all.len() as u64,
    }
}
/// A number out of a file of /proc.
fn field(pid: u32, file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
