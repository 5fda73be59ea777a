//! What requests cost that nobody goes on with: memory, threads and processes.

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

/// Sends so many requests, each from a socket of its own, reads the first answer to each and says nothing more. What the
/// server cost before and costs then.
///
/// # Errors
/// No sockets.
pub fn measure(server: &Server, name: &str, requests: usize) -> io::Result<(Cost, Cost, usize)> {
    let before = cost(server.pid());
    let mut sockets = Vec::new();
    for _ in 0..requests {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        socket.send_to(format!("\0\x01{name}\0octet\0").as_bytes(), server.at)?;
        sockets.push(socket);
    }
    let answered = sockets
        .iter()
        .filter(|s| s.recv_from(&mut [0; 600]).is_ok())
        .count();
    thread::sleep(Duration::from_millis(500));
    Ok((before, cost(server.pid()), answered))
}

fn cost(pid: u32) -> Cost {
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
