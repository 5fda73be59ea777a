//! The servers that are compared: how each is started, and what it says that it is.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
    /// The directory with `in.tftpd` and `atftpd`, or `None` for the system's.
    pub peers: PathBuf,
    /// What is served.
    pub root: PathBuf,
}

/// Starts every server that is there; ours is the first. What is missing is named on standard error.
pub fn start_all(places: &Places) -> io::Result<Vec<Server>> {
    let root = places.root.display().to_string();
    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let mut servers = Vec::new();
    let mut start = |name, at: SocketAddr, version: String, command: &mut Command| {
        if version.is_empty() {
            eprintln!("missing: {name}");
            return Ok(());
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Server {
            name,
            version,
            at,
            child,
        };
        if listens(at.port()) {
            servers.push(server);
        } else {
            eprintln!("does not start: {name}");
        }
        io::Result::Ok(())
    };
    let ours = at(16900);
    let version = says(Command::new(&places.sockeye).arg("--version"));
    let mut command = Command::new(&places.sockeye);
    command.args(["tftp", "serve", &root, "--listen", &ours.to_string()]);
    start("sockeye", ours, version, &mut command)?;

    let hpa = places.peers.join("in.tftpd");
    let mut command = Command::new(&hpa);
    command.args([
        "--foreground",
        "--listen",
        "--address",
        "127.0.0.1:16901",
        "--secure",
        "-u",
        "root",
        &root,
    ]);
    start(
        "tftpd-hpa",
        at(16901),
        says(Command::new(&hpa).arg("-V")),
        &mut command,
    )?;

    let atftpd = places.peers.join("atftpd");
    let mut command = Command::new(&atftpd);
    command.args([
        "--daemon",
        "--no-fork",
        "--bind-address",
        "127.0.0.1",
        "--port",
        "16902",
    ]);
    command.args(["--maxthread", "1000", "--user", "root", "--group", "root", &root]);
    start(
        "atftpd",
        at(16902),
        says(Command::new(&atftpd).arg("--version")),
        &mut command,
    )?;

    let mut command = Command::new("dnsmasq");
    command.args([
        "--no-daemon",
        "--conf-file=/dev/null",
        "--port",
        "0",
        "--enable-tftp",
        "--tftp-max=1000",
    ]);
    command.args([
        "--user=root",
        "--listen-address",
        "127.0.0.1",
        "--bind-interfaces",
    ]);
    command.arg(format!("--tftp-root={root}"));
    // It knows no other port.
    start(
        "dnsmasq",
        at(69),
        says(Command::new("dnsmasq").arg("--version")),
        &mut command,
    )?;

    // Not Debian's: `cargo install tftpd --root DIR` and `pip install tftpy --target DIR/py`, beside the others.
    let rs = places.peers.join("tftpd");
    let version = if rs.exists() {
        format!("rs-tftpd {}", rs_version(&places.peers))
    } else {
        String::new()
    };
    let mut command = Command::new(&rs);
    command.args(["-i", "127.0.0.1", "-p", "16904", "-d", &root, "-r"]);
    start("rs-tftpd", at(16904), version, &mut command)?;

    let python = |code: &str| {
        let mut command = Command::new("python3");
        command
            .args(["-c", code])
            .env("PYTHONPATH", places.peers.join("py"));
        command
    };
    let version = says(&mut python("import tftpy; print('tftpy', tftpy.__version__)"));
    let code = format!("import tftpy; tftpy.TftpServer({root:?}).listen('127.0.0.1', 16905)");
    start("tftpy", at(16905), version, &mut python(&code))?;
    Ok(servers)
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
fn rs_version(peers: &Path) -> String {
    // cargo writes down what it has installed.
    let list = std::fs::read_to_string(peers.join("../.crates.toml")).unwrap_or_default();
    let entry = list.lines().find_map(|line| line.strip_prefix("\"tftpd "));
    entry
        .and_then(|e| e.split(' ').next())
        .unwrap_or("of unknown version")
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
