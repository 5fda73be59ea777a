//! The servers that are compared: how each is started, and what it says that it is.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that runs. Dropping it ends it.
pub struct Server {
    /// Its name in the tables.
    pub name: &'static str,
    /// What it says of itself.
    pub version: String,
    /// Where it takes requests.
    pub at: SocketAddr,
    /// Whether each transfer is a process, whose processor time is lost when it ends.
    pub forks: bool,
    child: Child,
}

impl Server {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}
impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where programs are looked for.
pub struct Places {
    /// Our command.
    pub sockeye: PathBuf,
    /// The directory that the peers are in: Debian's packages unpacked, `bin/tftpd` and `py/tftpy`.
    pub peers: PathBuf,
    /// What is served.
    pub root: PathBuf,
}

/// A server that could be started.
struct Candidate {
    name: &'static str,
    /// Empty: it is not there.
    version: String,
    at: SocketAddr,
    command: Command,
    /// How to come by it.
    from: &'static str,
}

/// Starts every server that is there; ours is the first. What is missing is named on standard error, with the way to
/// come by it.
pub fn start_all(places: &Places) -> io::Result<Vec<Server>> {
    let candidates = [sockeye, tftpd_hpa, atftpd, dnsmasq, rs_tftpd, tftpy];
    let mut servers = Vec::new();
    for candidate in candidates {
        let mut candidate = candidate(places);
        if candidate.version.is_empty() {
            eprintln!("without {}: {}", candidate.name, candidate.from);
            continue;
        }
        let child = candidate
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Server {
            name: candidate.name,
            version: candidate.version,
            at: candidate.at,
            forks: candidate.name == "tftpd-hpa",
            child,
        };
        if listens(server.at.port()) {
            servers.push(server);
        } else {
            eprintln!("without {}: it does not start", server.name);
        }
    }
    Ok(servers)
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
fn sockeye(places: &Places) -> Candidate {
    let at = at(16900);
    let mut command = Command::new(&places.sockeye);
    command.args(["tftp", "serve"]).arg(&places.root);
    command.args(["--listen", &at.to_string()]);
    Candidate {
        name: "sockeye",
        version: says(Command::new(&places.sockeye).arg("--version")),
        at,
        command,
        from: "cargo build --release, in the repository's root",
    }
}
fn tftpd_hpa(places: &Places) -> Candidate {
    let program = places.peers.join("usr/sbin/in.tftpd");
    let at = at(16901);
    let mut command = Command::new(&program);
    command.args(["--foreground", "--listen", "--address", &at.to_string()]);
    command.args(["--secure", "-u", "root"]).arg(&places.root);
    Candidate {
        name: "tftpd-hpa",
        version: says(Command::new(&program).arg("-V")),
        at,
        command,
        from: "apt-get download tftpd-hpa, dpkg-deb -x into target/peers",
    }
}
fn atftpd(places: &Places) -> Candidate {
    let program = places.peers.join("usr/sbin/atftpd");
    let mut command = Command::new(&program);
    command.args(["--daemon", "--no-fork", "--bind-address", "127.0.0.1"]);
    command.args(["--port", "16902", "--maxthread", "1000"]);
    command
        .args(["--user", "root", "--group", "root"])
        .arg(&places.root);
    Candidate {
        name: "atftpd",
        version: says(Command::new(&program).arg("--version")),
        at: at(16902),
        command,
        from: "apt-get download atftpd, dpkg-deb -x into target/peers",
    }
}
fn dnsmasq(places: &Places) -> Candidate {
    let mut command = Command::new("dnsmasq");
    command.args(["--no-daemon", "--conf-file=/dev/null", "--port", "0"]);
    command.args(["--enable-tftp", "--tftp-max=1000", "--user=root"]);
    command.args(["--listen-address", "127.0.0.1", "--bind-interfaces"]);
    command.arg(format!("--tftp-root={}", places.root.display()));
    Candidate {
        name: "dnsmasq",
        version: says(Command::new("dnsmasq").arg("--version")),
        // It knows no other port.
        at: at(69),
        command,
        from: "apt-get install dnsmasq-base",
    }
}
fn rs_tftpd(places: &Places) -> Candidate {
    let program = places.peers.join("bin/tftpd");
    let mut command = Command::new(&program);
    command.args(["-i", "127.0.0.1", "-p", "16904", "-r", "-d"]);
    command.arg(&places.root);
    // It does not tell; cargo writes down what it has installed.
    let list = std::fs::read_to_string(places.peers.join(".crates.toml")).unwrap_or_default();
    let entry = list.lines().find_map(|line| line.strip_prefix("\"tftpd "));
    let number = entry.and_then(|e| e.split(' ').next()).unwrap_or_default();
    let version = if program.exists() {
        format!("rs-tftpd {number}").trim().to_owned()
    } else {
        String::new()
    };
    Candidate {
        name: "rs-tftpd",
        version,
        at: at(16904),
        command,
        from: "cargo install --root target/peers tftpd",
    }
}
fn tftpy(places: &Places) -> Candidate {
    let python = |code: &str| {
        let mut command = Command::new("python3");
        command
            .args(["-c", code])
            .env("PYTHONPATH", places.peers.join("py"));
        command
    };
    let code = format!(
        "import tftpy; tftpy.TftpServer({:?}).listen('127.0.0.1', 16905)",
        places.root
    );
    Candidate {
        name: "tftpy",
        version: says(&mut python("import tftpy; print('tftpy', tftpy.__version__)")),
        at: at(16905),
        command: python(&code),
        from: "pip install --target target/peers/py tftpy",
    }
}

/// The first line that a program prints; nothing if there is no such program.
pub fn says(command: &mut Command) -> String {
    let Ok(output) = command.stdin(Stdio::null()).output() else {
        return String::new();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    // Python's own complaint that there is no such module.
    if output.status.code() == Some(1) && line.starts_with("Traceback") {
        return String::new();
    }
    line.split("  Copyright")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}
/// Waits until something is bound to a UDP port.
fn listens(port: u16) -> bool {
    let until = Instant::now() + Duration::from_secs(10);
    let wanted = format!(":{port:04X} ");
    while Instant::now() < until {
        let tables = ["/proc/net/udp", "/proc/net/udp6"];
        if tables
            .iter()
            .any(|t| std::fs::read_to_string(t).is_ok_and(|t| t.contains(&wanted)))
        {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}
