//! Where records go: the diagram, the capture, the lines of JSON.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::ValueEnum;
use sockeye_view::{Capture, Cast, JsonLines, Ladder, LadderStyle, Perspective, Record};

use crate::args::ViewArgs;
use crate::exit::Failure;

/// When to colour.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Color {
    /// A terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether standard output is to be coloured. <https://no-color.org>: set and not empty means no.
    pub fn wanted(self) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && io::stdout().is_terminal()
            }
        }
    }
}

/// An output that several have a hand on.
#[derive(Debug)]
pub struct Shared<W>(Arc<Mutex<W>>);

impl<W> Shared<W> {
    /// Around `inner`.
    pub fn new(inner: W) -> Shared<W> {
        Shared(Arc::new(Mutex::new(inner)))
    }
    /// For one who has it alone for a while.
    pub fn lock(&self) -> MutexGuard<'_, W> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
impl<W> Clone for Shared<W> {
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}
impl<W: Write> Write for Shared<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.lock().write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.lock().flush()
    }
}

/// The readers of one network's records. An error is kept for [`Readers::finish`]: those who tell records
/// cannot wait for one to be mended.
#[derive(Debug)]
pub struct Readers<W: Write> {
    ladder: Option<Ladder<W>>,
    capture: Option<(Capture<BufWriter<File>>, PathBuf)>,
    events: Option<(JsonLines<BufWriter<File>>, PathBuf)>,
    failed: Option<Failure>,
}

impl<W: Write> Readers<W> {
    /// As the arguments ask. `files` are the capture's and the events', opened by [`Files::open_next`].
    pub fn new(
        output: W,
        cast: &Cast,
        style: LadderStyle,
        quiet: bool,
        files: OpenFiles,
    ) -> Result<Self, Failure> {
        let capture = match files.pcap {
            None => None,
            Some((file, path)) => {
                let capture = Capture::new(BufWriter::new(file), cast, Perspective::Link);
                Some((capture.map_err(|error| Failure::file(&path, &error))?, path))
            }
        };
        Ok(Readers {
            ladder: (!quiet).then(|| Ladder::new(output, cast.clone(), style)),
            capture,
            events: files
                .events
                .map(|(file, path)| (JsonLines::new(BufWriter::new(file), cast.clone(), false), path)),
            failed: None,
        })
    }
    /// Whether anybody reads.
    pub fn is_needed(&self) -> bool {
        self.ladder.is_some() || self.capture.is_some() || self.events.is_some()
    }
    /// Takes one record.
    pub fn handle_record(&mut self, record: &Record) {
        if self.failed.is_some() {
            return;
        }
        if let Some(ladder) = &mut self.ladder
            && let Err(error) = ladder.handle_record(record)
        {
            self.failed = Some(Failure::output(&error));
        }
        if let Some((capture, path)) = &mut self.capture
            && let Err(error) = capture.handle_record(record)
        {
            self.failed = Some(Failure::file(path, &error));
        }
        if let Some((events, path)) = &mut self.events
            && let Err(error) = events.handle_record(record)
        {
            self.failed = Some(Failure::file(path, &error));
        }
    }
    /// Draws what waits for its moment to end.
    pub fn flush(&mut self) {
        if let Some(ladder) = &mut self.ladder
            && let Err(error) = ladder.flush()
        {
            self.failed.get_or_insert(Failure::output(&error));
        }
    }
    /// Draws and writes all that is left.
    ///
    /// # Errors
    /// The first that happened.
    pub fn finish(self) -> Result<(), Failure> {
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        if let Some(ladder) = self.ladder {
            ladder.finish().map_err(|error| Failure::output(&error))?;
        }
        if let Some((capture, path)) = self.capture {
            let mut file = capture.finish().map_err(|error| Failure::file(&path, &error))?;
            file.flush().map_err(|error| Failure::file(&path, &error))?;
        }
        if let Some((events, path)) = self.events {
            events.finish().map_err(|error| Failure::file(&path, &error))?;
        }
        Ok(())
    }
}

/// The files that a command was given: one capture a network, all events in one.
#[derive(Debug)]
pub struct Files {
    pcap: Option<PathBuf>,
    events: Option<(File, PathBuf)>,
    networks: u32,
}

/// The files of one network.
#[derive(Debug, Default)]
pub struct OpenFiles {
    pcap: Option<(File, PathBuf)>,
    events: Option<(File, PathBuf)>,
}

impl Files {
    /// As the arguments ask. The first capture is made by [`Files::open_next`].
    ///
    /// # Errors
    /// If the events' file cannot be made.
    pub fn new(view: &ViewArgs) -> Result<Files, Failure> {
        let events = view
            .events
            .as_ref()
            .map(|path| Ok((create(path)?, path.clone())))
            .transpose()?;
        Ok(Files {
            pcap: view.pcap.clone(),
            events,
            networks: 0,
        })
    }
    /// The files of the next network.
    ///
    /// # Errors
    /// If one cannot be made.
    pub fn open_next(&mut self) -> Result<OpenFiles, Failure> {
        self.networks += 1;
        let pcap = match &self.pcap {
            None => None,
            Some(path) => {
                let path = numbered(path, self.networks);
                Some((create(&path)?, path))
            }
        };
        let events = match &self.events {
            None => None,
            Some((file, path)) => {
                let file = file.try_clone().map_err(|error| Failure::file(path, &error))?;
                Some((file, path.clone()))
            }
        };
        Ok(OpenFiles { pcap, events })
    }
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| Failure::file(path, &error))
}

/// `run.pcapng`, `run-2.pcapng`, `run-3.pcapng` ...
fn numbered(path: &Path, n: u32) -> PathBuf {
    if n == 1 {
        return path.to_path_buf();
    }
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(format!("-{n}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_networks_have_numbers() {
        assert_eq!(
            numbered(Path::new("/tmp/run.pcapng"), 1),
            Path::new("/tmp/run.pcapng")
        );
        assert_eq!(
            numbered(Path::new("/tmp/run.pcapng"), 3),
            Path::new("/tmp/run-3.pcapng")
        );
        assert_eq!(numbered(Path::new("run"), 2), Path::new("run-2"));
    }
}
