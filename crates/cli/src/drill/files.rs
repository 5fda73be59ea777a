//! Scripts from the file system, captures to it.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use sockeye_lab::drill::Run;
use sockeye_stack::iface::Cidr;
use sockeye_view::{Capture, Cast, HostIndex, HostInfo, Perspective, Record, What};

use crate::exit::{Code, Failure};

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Code::Input,
        format!(
            "cannot read {}: {error}; give a script or a folder of scripts",
            path.display()
        ),
    )
}

/// The scripts that these paths name, folders searched, in the order of their names.
pub(super) fn scripts(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        let before = found.len();
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        search(path, &mut found)?;
        if found.len() == before {
            let text = format!("there is no script (*.pkt) in {}", path.display());
            return Err(Failure::new(Code::Input, text));
        }
    }
    Ok(found)
}

fn search(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error| unreadable(folder, &error);
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(failed)?.collect();
    let mut paths: Vec<_> = entries.map_err(failed)?.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        // A link to a folder may lead back here.
        if path.is_dir() && !path.is_symlink() {
            search(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "pkt") {
            found.push(path);
        }
    }
    Ok(())
}

/// A script's text.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

/// Captures of the runs: the first goes to the file itself.
pub(super) struct Captures {
    path: Option<PathBuf>,
    written: usize,
}

impl Captures {
    pub(super) fn new(path: Option<PathBuf>) -> Captures {
        Captures { path, written: 0 }
    }
    pub(super) fn write(&mut self, run: &Run) -> Result<(), Failure> {
        let (Some(path), Some((local, _))) = (&self.path, run.addresses) else {
            return Ok(());
        };
        self.written += 1;
        let path = match self.written {
            1 => path.clone(),
            n => {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                let name = match path.extension() {
                    Some(extension) => format!("{stem}-{n}.{}", extension.to_string_lossy()),
                    None => format!("{stem}-{n}"),
                };
                path.with_file_name(name)
            }
        };
        let write = || {
            let address = Cidr {
                address: local,
                prefix: if local.is_ipv4() { 16 } else { 64 },
            };
            let cast = Cast {
                hosts: vec![HostInfo::ip("host", &[address])],
            };
            let out = BufWriter::new(File::create(&path)?);
            let mut capture = Capture::new(out, &cast, Perspective::Stack(HostIndex(0)))?;
            for event in &run.trace {
                capture.handle_record(&Record {
                    at: event.at,
                    host: HostIndex(0),
                    what: What::Stack(event.clone()),
                })?;
            }
            capture.finish()?.into_inner()?.sync_all()
        };
        write().map_err(|error| Failure::file(&path, &error))
    }
}
