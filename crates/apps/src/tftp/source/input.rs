//! Where the octets of a file come from, and how they are read without waiting.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::sync::Arc;

/// How much the kernel is told to read ahead, each time that half of it is used up.
const AHEAD: u64 = 256 * 1024;

/// The most slices of one read.
const SLICES: usize = 64;

/// A file, or octets in memory.
#[derive(Debug)]
pub(super) struct Input {
    octets: Octets,
    /// How many there are, as far as is known.
    pub(super) size: u64,
    /// The kernel was told to read up to here.
    ahead: u64,
    /// It is read here: it lies in memory, so that reading never waits, or nobody minds.
    at_once: bool,
}

#[derive(Debug)]
enum Octets {
    File(Arc<File>),
    Memory(Vec<u8>),
}

/// What to read: `wanted` octets from the place `at`, to slices of `body` octets (the last is shorter), each behind `head`
/// octets that are left alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) at: u64,
    pub(super) wanted: usize,
    pub(super) head: usize,
    pub(super) body: usize,
}
impl Piece {
    /// The octets of the buffer that it takes, without a last slice of no octets.
    pub(super) fn room(&self) -> usize {
        self.wanted + self.wanted.div_ceil(self.body) * self.head
    }
    /// The slices of a buffer that are still to be filled when `done` octets are there.
    fn rest<'a>(&self, buf: &'a mut [u8], done: usize) -> impl Iterator<Item = IoSliceMut<'a>> {
        let (head, mut skip) = (self.head, done % self.body);
        let slices = buf[..self.room()].chunks_mut(head + self.body);
        slices.skip(done / self.body).map(move |slice| {
            let from = head + std::mem::take(&mut skip);
            IoSliceMut::new(&mut slice[from..])
        })
    }
}

impl Input {
    pub(super) fn file(file: File, size: u64) -> Input {
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential); // advice only
        Input {
            at_once: is_resident(&file),
            octets: Octets::File(Arc::new(file)),
            size,
            ahead: 0,
        }
    }
    pub(super) fn memory(octets: Vec<u8>) -> Input {
        Input {
            size: octets.len() as u64,
            octets: Octets::Memory(octets),
            ahead: 0,
            at_once: true,
        }
    }
    /// Waiting for a disk is no matter from now on.
    pub(super) fn set_patient(&mut self) {
        self.at_once = true;
    }

    /// Reads what needs no waiting; how much that is.
    ///
    /// # Errors
    /// Those of a file that is read at once.
    pub(super) fn read_now(&self, buf: &mut [u8], piece: Piece) -> io::Result<usize> {
        match &self.octets {
            Octets::File(file) if self.at_once => fill(file, buf, piece),
            // Any error comes again with the read that may wait.
            Octets::File(file) => Ok(read_rest(file, buf, piece, 0, Waiting::Refused).unwrap_or(0)),
            Octets::Memory(octets) => {
                let mut rest = octets.get(piece.at as usize..).unwrap_or_default();
                rest = &rest[..rest.len().min(piece.wanted)];
                for mut slice in piece.rest(buf, 0) {
                    let (now, later) = rest.split_at(rest.len().min(slice.len()));
                    slice[..now.len()].copy_from_slice(now);
                    rest = later;
                }
                Ok(piece.wanted.min(octets.len().saturating_sub(piece.at as usize)))
            }
        }
    }
    /// Reads, and waits for the disk; how much there is.
    ///
    /// # Errors
    /// Those of the file.
    pub(super) async fn read(&self, buf: &mut Vec<u8>, piece: Piece) -> io::Result<usize> {
        let Octets::File(file) = &self.octets else {
            return self.read_now(buf, piece);
        };
        if self.at_once {
            return self.read_now(buf, piece);
        }
        let (file, mut taken) = (Arc::clone(file), std::mem::take(buf));
        let read = move || (fill(&file, &mut taken, piece), taken);
        let (got, taken) = tokio::task::spawn_blocking(read)
            .await
            .map_err(io::Error::other)?;
        *buf = taken;
        got
    }

    /// Tells the kernel what comes next, from `at` on.
    #[cfg(target_os = "linux")]
    pub(super) fn read_ahead(&mut self, at: u64) {
        let Octets::File(file) = &self.octets else { return };
        if at >= self.size || at + AHEAD / 2 < self.ahead {
            return;
        }
        let from = self.ahead.max(at);
        self.ahead = at + AHEAD;
        if let Some(len) = std::num::NonZeroU64::new(self.ahead - from) {
            let _ = rustix::fs::fadvise(file, from, Some(len), rustix::fs::Advice::WillNeed); // advice only
        }
    }
    #[cfg(not(target_os = "linux"))]
    pub(super) fn read_ahead(&mut self, _: u64) {}
}

/// Whether a read may wait for the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waiting {
    Allowed,
    Refused,
}

/// Reads until all is there or the file ends.
fn fill(file: &File, buf: &mut [u8], piece: Piece) -> io::Result<usize> {
    let mut done = 0;
    while done < piece.wanted {
        match read_rest(file, buf, piece, done, Waiting::Allowed) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// One read of what is still missing when `done` octets are there.
#[cfg(target_os = "linux")]
fn read_rest(file: &File, buf: &mut [u8], piece: Piece, done: usize, waiting: Waiting) -> io::Result<usize> {
    use rustix::io::ReadWriteFlags;
    let mut slices: [IoSliceMut<'_>; SLICES] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
    let mut used = 0;
    for (place, slice) in slices.iter_mut().zip(piece.rest(buf, done)) {
        *place = slice;
        used += 1;
    }
    let flags = match waiting {
        Waiting::Allowed => ReadWriteFlags::empty(),
        Waiting::Refused => ReadWriteFlags::NOWAIT,
    };
    let at = piece.at + done as u64;
    Ok(rustix::io::preadv2(file, &mut slices[..used], at, flags)?)
}
#[cfg(not(target_os = "linux"))]
fn read_rest(file: &File, buf: &mut [u8], piece: Piece, done: usize, waiting: Waiting) -> io::Result<usize> {
    use std::os::unix::fs::FileExt;
    match (waiting, piece.rest(buf, done).next()) {
        (Waiting::Allowed, Some(mut slice)) => file.read_at(&mut slice, piece.at + done as u64),
        _ => Ok(0),
    }
}

/// Whether a file's file system is memory. Those do not know reads that need not wait.
#[cfg(target_os = "linux")]
fn is_resident(file: &File) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    rustix::fs::fstatfs(file).is_ok_and(|stat| [TMPFS, RAMFS].contains(&(stat.f_type as u64 & 0xffff_ffff)))
}
#[cfg(not(target_os = "linux"))]
fn is_resident(_: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{TempDir, pattern};
    use super::*;

    /// Wherever a read stopped, the rest comes to its place.
    #[test]
    fn a_read_goes_on_where_it_stopped() {
        let dir = TempDir::new();
        let (path, content) = (dir.path().join("file"), pattern(100));
        std::fs::write(&path, &content).unwrap();
        let file = File::open(&path).unwrap();
        let piece = Piece {
            at: 3,
            wanted: 50,
            head: 4,
            body: 20,
        };
        assert_eq!(piece.room(), 62);
        let expected = [
            &[0; 4][..],
            &content[3..23],
            &[0; 4],
            &content[23..43],
            &[0; 4],
            &content[43..53],
        ]
        .concat();
        for done in 0..50 {
            let mut buf = expected.clone();
            for missing in done..50 {
                buf[missing + (missing / 20 + 1) * 4] = 0xff;
            }
            let got = read_rest(&file, &mut buf, piece, done, Waiting::Allowed).unwrap();
            assert!(got > 0);
            if got == 50 - done {
                assert_eq!(buf, expected);
            }
        }
        for input in [Input::file(file, 100), Input::memory(content.clone())] {
            let mut buf = vec![0; 62];
            let mut patient = input;
            patient.set_patient();
            assert_eq!(patient.read_now(&mut buf, piece).unwrap(), 50);
            assert_eq!(buf, expected);
            let end = Piece { at: 90, ..piece };
            assert_eq!(patient.read_now(&mut buf, end).unwrap(), 10);
            assert_eq!(&buf[4..14], &content[90..]);
        }
    }

    #[test]
    fn more_slices_than_one_read_takes() {
        let dir = TempDir::new();
        let (path, content) = (dir.path().join("file"), pattern(1000));
        std::fs::write(&path, &content).unwrap();
        let piece = Piece {
            at: 0,
            wanted: 1000,
            head: 1,
            body: 8,
        };
        let mut buf = vec![0; piece.room()];
        assert_eq!(fill(&File::open(&path).unwrap(), &mut buf, piece).unwrap(), 1000);
        let bodies: Vec<u8> = buf.chunks(9).flat_map(|slice| slice[1..].to_vec()).collect();
        assert_eq!(bodies, content);
    }
}
