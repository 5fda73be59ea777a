//! A running program offers its socket table, and others find it.
//!
//! The table is had from a Unix socket `PID.sock` in a directory of the user's own: whoever connects is given one JSON
//! document, a [`Table`], and the end of the stream. Nothing is read, nothing can be changed.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sockeye_net::{Net, WeakHost};
use sockeye_view::sockets::Socket;

use crate::console::note;
use crate::{t, words};

/// What a reader or a writer that is stuck is given.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most octets of a table that is read: some hundred thousand sockets.
const LONGEST: u64 = 256 << 20;

/// What a running program tells of itself.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Table {
    /// Its process.
    pub pid: u32,
    /// The name of its stack: the TUN device's.
    pub stack: String,
    /// What it was told to do.
    pub command: String,
    /// Its sockets.
    pub sockets: Vec<Socket>,
}

/// The socket's path, while there is one.
static OFFERED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// The offer; dropping it takes it back.
#[derive(Debug)]
pub struct Offer(());

impl Drop for Offer {
    fn drop(&mut self) {
        withdraw();
    }
}

/// Takes the socket away, if there is one: for those who end the process.
pub fn withdraw() {
    let path = OFFERED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(path) = path {
        let _ = fs::remove_file(path); // one that stays is found to be stale by the next that looks
    }
}

/// Offers the socket table of `net`, if it lives on a stack. Where that cannot be, the program does without, and says so.
pub fn offer(net: &Net) -> Option<Offer> {
    let host = net.host()?;
    let directory = directories().into_iter().find(|directory| is_made(directory));
    let Some(directory) = directory else {
        note(&t!("control-no-directory"));
        return None;
    };
    let path = directory.join(format!("{}.sock", process::id()));
    sweep(&directory);
    match listen(&path) {
        Ok(listener) => {
            *OFFERED.lock().unwrap_or_else(PoisonError::into_inner) = Some(path);
            let (host, stack) = (host.downgrade(), host.name().to_string());
            let thread = thread::Builder::new().name("control".into());
            let serving = thread.spawn(move || serve(&listener, &host, &stack));
            serving.is_ok().then_some(Offer(()))
        }
        Err(error) => {
            let error = words::current().error(&error);
            note(&t!("control-cannot-offer", path = path.display(), error = error));
            None
        }
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).is_err() {
        let _ = fs::remove_file(path); // of a process of long ago with our number
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn serve(listener: &UnixListener, host: &WeakHost, stack: &str) {
    let command: Vec<String> = std::env::args().skip(1).collect();
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let Some(host) = host.upgrade() else { return };
        let rows = host.lock().socket_table();
        drop(host);
        let table = Table {
            pid: process::id(),
            stack: stack.into(),
            command: command.join(" "),
            sockets: rows
                .iter()
                .map(|(row, info)| Socket::new(row, info.as_ref()))
                .collect(),
        };
        // A reader that goes away, or never reads, is its own loss.
        let _ = stream.set_write_timeout(Some(PATIENCE));
        if let Ok(text) = serde_json::to_vec(&table) {
            let _ = stream.write_all(&text);
        }
    }
}

/// Where control sockets may be, the best first. A shell has XDG_RUNTIME_DIR or has it not, so all are looked at.
fn directories() -> Vec<PathBuf> {
    let uid = rustix::process::geteuid();
    let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let mut all: Vec<PathBuf> = session.filter(|path| path.is_absolute()).into_iter().collect();
    all.push(format!("/run/user/{uid}", uid = uid.as_raw()).into());
    if uid.is_root() {
        all.push("/run".into());
    }
    all.iter_mut().for_each(|path| path.push("sockeye"));
    all.push(std::env::temp_dir().join(format!("sockeye-{}", uid.as_raw())));
    all.dedup();
    all
}

/// Makes a directory that nobody else can enter; whether it is there and ours.
fn is_made(directory: &Path) -> bool {
    let _ = fs::DirBuilder::new().mode(0o700).create(directory); // it may be there
    let Ok(found) = fs::symlink_metadata(directory) else {
        return false;
    };
    let is_ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    is_ours
        && (found.mode() & 0o077 == 0
            || fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).is_ok())
}

/// The control sockets in a directory with their processes.
fn sockets_in(directory: &Path) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .filter_map(|path| {
            Some((
                path.file_name()?.to_str()?.strip_suffix(".sock")?.parse().ok()?,
                path,
            ))
        })
        .collect()
}

/// Removes what programs left behind that were ended by force.
fn sweep(directory: &Path) {
    for (_, path) in sockets_in(directory) {
        connect(&path);
    }
}

/// Connects, if somebody is there; else the socket is stale, and removed.
fn connect(path: &Path) -> Option<UnixStream> {
    match UnixStream::connect(path) {
        Ok(stream) => Some(stream),
        Err(error) => {
            if error.kind() == io::ErrorKind::ConnectionRefused {
                let _ = fs::remove_file(path); // else the next does
            }
            None
        }
    }
}

/// The tables of all running programs of this user, by process.
pub fn tables() -> Vec<Table> {
    let mut found: Vec<(u32, PathBuf)> = directories().iter().flat_map(|at| sockets_in(at)).collect();
    found.sort();
    found.dedup();
    found
        .iter()
        .filter_map(|(_, path)| read(path).ok().flatten())
        .collect()
}

fn read(path: &Path) -> io::Result<Option<Table>> {
    let Some(stream) = connect(path) else {
        return Ok(None);
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = Vec::new();
    stream.take(LONGEST).read_to_end(&mut text)?;
    Ok(Some(serde_json::from_slice(&text)?))
}
