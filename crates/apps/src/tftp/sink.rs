//! Where a file that is received goes: beside its place, and there when it is whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::netascii::Decoder;
use super::packet::Mode;
use super::root::{Refused, Upload};

/// How much is written at once, by a thread of the blocking pool.
const CHUNK: usize = 256 * 1024;

/// Takes blocks in order.
#[derive(Debug)]
pub(super) struct Sink {
    place: Place,
    decoder: Option<Decoder>,
    buffer: Vec<u8>,
    /// Octets taken, after decoding.
    taken: u64,
    limit: u64,
}

#[derive(Debug)]
enum Place {
    File { upload: Upload, written: u64 },
    Memory,
}

impl Sink {
    /// Writes to a file; more than `limit` octets are refused as if the disk were full.
    pub(super) fn file(upload: Upload, mode: Mode, limit: u64) -> Sink {
        Sink::new(Place::File { upload, written: 0 }, mode, limit)
    }
    /// Keeps them.
    pub(super) fn memory(mode: Mode, limit: u64) -> Sink {
        Sink::new(Place::Memory, mode, limit)
    }
    fn new(place: Place, mode: Mode, limit: u64) -> Sink {
        Sink {
            place,
            decoder: (mode == Mode::Netascii).then(Decoder::default),
            buffer: Vec::new(),
            taken: 0,
            limit,
        }
    }
    /// Octets taken so far.
    pub(super) fn octets(&self) -> u64 {
        self.taken
    }
    /// Takes a block.
    pub(super) async fn push(&mut self, data: &[u8]) -> Result<(), Refused> {
        let before = self.buffer.len();
        match &mut self.decoder {
            Some(decoder) => decoder.decode(data, &mut self.buffer),
            None => self.buffer.extend_from_slice(data),
        }
        self.taken += (self.buffer.len() - before) as u64;
        if self.taken > self.limit {
            return Err(Refused::DiskFull);
        }
        if self.buffer.len() >= CHUNK {
            self.write().await
        } else {
            Ok(())
        }
    }
    async fn write(&mut self) -> Result<(), Refused> {
        let Place::File { upload, written } = &mut self.place else {
            return Ok(());
        };
        let buffer = std::mem::take(&mut self.buffer);
        let (file, at) = (Arc::clone(upload.file()), *written);
        let write = move || (write_all(&file, &buffer, at), buffer);
        let (done, mut buffer) = tokio::task::spawn_blocking(write).await.map_err(broken)?;
        *written += buffer.len() as u64;
        buffer.clear();
        self.buffer = buffer;
        done.map_err(refused)
    }
    /// The end: gives the file its name, or returns what was kept. Dropped instead, nothing stays.
    pub(super) async fn finish(mut self) -> Result<Vec<u8>, Refused> {
        if let Some(decoder) = &mut self.decoder {
            decoder.finish(&mut self.buffer);
        }
        let Place::File { upload, written } = self.place else {
            return Ok(self.buffer);
        };
        let buffer = self.buffer;
        let finish = move || {
            write_all(upload.file(), &buffer, written).map_err(refused)?;
            upload.commit()
        };
        tokio::task::spawn_blocking(finish).await.map_err(broken)??;
        Ok(Vec::new())
    }
}

fn write_all(file: &File, buffer: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(buffer, at)
}
fn refused(error: io::Error) -> Refused {
    match rustix::io::Errno::from_io_error(&error) {
        Some(errno) => errno.into(),
        None => Refused::Io(error),
    }
}
fn broken(error: tokio::task::JoinError) -> Refused {
    Refused::Io(io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TempDir, pattern};
    use super::*;

    #[tokio::test]
    async fn files_and_memory() {
        let dir = TempDir::new();
        let path = dir.path().join("file");
        for len in [0, 1, 300_000, 1_000_000] {
            let content = pattern(len);
            let mut sinks = [
                Sink::file(Upload::at(&path).unwrap(), Mode::Octet, u64::MAX),
                Sink::memory(Mode::Octet, u64::MAX),
            ];
            for sink in &mut sinks {
                for block in content.chunks(1428) {
                    sink.push(block).await.unwrap();
                }
                assert_eq!(sink.octets(), len as u64);
            }
            let [file, memory] = sinks;
            file.finish().await.unwrap();
            assert!(std::fs::read(&path).unwrap() == content);
            assert!(memory.finish().await.unwrap() == content);
        }
        let mut sink = Sink::file(Upload::at(&dir.path().join("large")).unwrap(), Mode::Octet, 10);
        sink.push(&[0; 10]).await.unwrap();
        assert!(matches!(sink.push(&[0]).await, Err(Refused::DiskFull)));
        drop(sink);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_from_other_errors() {
        // /dev/full is a device that is always full.
        let full = File::options().write(true).open("/dev/full");
        if let Ok(file) = full {
            let error = write_all(&file, b"x", 0).unwrap_err();
            assert!(matches!(refused(error), Refused::DiskFull));
        }
    }
}
