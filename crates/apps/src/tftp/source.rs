//! Blocks of a file that is read.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::netascii::Encoder;
use super::packet::Mode;

/// How much is copied at once from the page cache, when a transfer is under way. Little, since hundreds of transfers may
/// hold as much each.
const CHUNK: usize = 16 * 1024;

/// How much the kernel is told to read ahead, each time that half of it is used up.
const AHEAD: u64 = 256 * 1024;

/// A file as blocks. What the page cache has is read at once; for the rest a thread of the blocking pool waits, and the
/// kernel is told what comes next (read-ahead).
#[derive(Debug)]
pub(super) struct Source {
    input: Input,
    blksize: usize,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Blocks are slices of the window.
    Octet,
    /// Blocks are kept from the oldest that may be needed again, since their borders are only known by encoding.
    Netascii {
        encoder: Encoder,
        /// Octets of the file that are encoded.
        encoded: u64,
        first: u64,
        blocks: VecDeque<Vec<u8>>,
        spare: Vec<Vec<u8>>,
    },
}

/// A file, or octets in memory.
#[derive(Debug)]
struct Input {
    file: Option<Arc<File>>,
    size: u64,
    /// The octets of the file from `start` on.
    window: Vec<u8>,
    start: u64,
    /// Octets of `window` that are filled.
    filled: usize,
    /// The kernel was told to read up to here.
    ahead: u64,
    /// It is read here: it lies in memory, so that reading never waits, or nobody minds.
    at_once: bool,
}

impl Source {
    /// The first `size` octets of a file, in blocks of `blksize`.
    pub(super) fn file(file: File, size: u64, mode: Mode, blksize: u16) -> Source {
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential); // advice only
        Source::new(Some(Arc::new(file)), size, Vec::new(), mode, blksize)
    }
    /// Octets in memory.
    pub(super) fn memory(octets: Vec<u8>, mode: Mode, blksize: u16) -> Source {
        Source::new(None, octets.len() as u64, octets, mode, blksize)
    }
    fn new(file: Option<Arc<File>>, size: u64, window: Vec<u8>, mode: Mode, blksize: u16) -> Source {
        let form = match mode {
            Mode::Octet => Form::Octet,
            Mode::Netascii => Form::Netascii {
                encoder: Encoder::default(),
                encoded: 0,
                first: 1,
                blocks: VecDeque::new(),
                spare: Vec::new(),
            },
        };
        let filled = window.len();
        let input = Input {
            at_once: file.as_ref().is_some_and(|file| is_resident(file)),
            file,
            size,
            window,
            start: 0,
            filled,
            ahead: 0,
        };
        Source {
            input,
            blksize: blksize.into(),
            form,
        }
    }
    /// Another block size, before the first block is asked for.
    pub(super) fn set_blksize(&mut self, blksize: u16) {
        self.blksize = blksize.into();
    }
    /// Waiting for a disk is no matter: from now on it is read here, and not by another thread.
    pub(super) fn set_patient(&mut self) {
        self.input.at_once = true;
    }
    /// The last block, if it is known before the file is read.
    pub(super) fn last(&self) -> Option<u64> {
        match self.form {
            Form::Octet => Some(self.input.size / self.blksize as u64 + 1),
            Form::Netascii { .. } => None,
        }
    }

    /// Makes the blocks `first .. first + count` ready; fewer, if the file ends before. Blocks before `base` are not
    /// needed any more. Returns the last block once it is known.
    pub(super) async fn ready(&mut self, base: u64, first: u64, count: u32) -> io::Result<Option<u64>> {
        let blksize = self.blksize as u64;
        match &mut self.form {
            Form::Octet => {
                let from = (first - 1) * blksize;
                let to = (from + u64::from(count) * blksize).min(self.input.size);
                self.input.load(from, to, first > 1).await?;
                Ok(Some(self.input.size / blksize + 1))
            }
            Form::Netascii {
                encoder,
                encoded,
                first: oldest,
                blocks,
                spare,
            } => {
                while *oldest < base && !blocks.is_empty() {
                    spare.extend(blocks.pop_front());
                    *oldest += 1;
                }
                let ended = |blocks: &VecDeque<Vec<u8>>| {
                    let short = blocks.back().is_some_and(|b| (b.len() as u64) < blksize);
                    short.then(|| *oldest + blocks.len() as u64 - 1)
                };
                while ended(blocks).is_none() && *oldest + (blocks.len() as u64) < first + u64::from(count) {
                    let mut block = spare.pop().unwrap_or_default();
                    block.clear();
                    while block.len() < self.blksize && (*encoded < self.input.size || encoder.is_pending()) {
                        let to = (*encoded + blksize).min(self.input.size);
                        self.input.load(*encoded, to, *encoded > 0).await?;
                        *encoded +=
                            encoder.encode(self.input.octets(*encoded, to), &mut block, self.blksize) as u64;
                    }
                    blocks.push_back(block);
                }
                Ok(ended(blocks))
            }
        }
    }
    /// Reads the blocks `first .. first + count` if that needs no waiting, so that they are ready when they are asked for. What
    /// fails is tried again then. Earlier blocks may have to be read once more.
    pub(super) fn read_on(&mut self, first: u64, count: u32) {
        let blksize = self.blksize as u64;
        let (from, to) = match &self.form {
            Form::Octet => ((first - 1) * blksize, u64::from(count) * blksize),
            Form::Netascii { encoded, .. } => (*encoded, blksize),
        };
        let to = (from + to).min(self.input.size);
        self.input.read_on(from, to);
    }
    /// A block that is ready.
    pub(super) fn block(&self, number: u64) -> &[u8] {
        match &self.form {
            Form::Octet => {
                let from = (number - 1) * self.blksize as u64;
                let to = (from + self.blksize as u64).min(self.input.size);
                self.input.octets(from, to)
            }
            Form::Netascii { first, blocks, .. } => {
                let place = number.checked_sub(*first).map(|n| n as usize);
                place.and_then(|n| blocks.get(n)).map_or(&[], |b| b)
            }
        }
    }
}

impl Input {
    /// Octets of the file that are loaded.
    fn octets(&self, from: u64, to: u64) -> &[u8] {
        let from = (from - self.start) as usize;
        let to = (to - self.start) as usize;
        &self.window[from..to]
    }
    fn has(&self, from: u64, to: u64) -> bool {
        from >= self.start && to <= self.start + self.filled as u64
    }
    /// Loads `from .. to`, and more, as far as that needs no waiting.
    fn read_on(&mut self, from: u64, to: u64) {
        let Some(file) = self.file.clone().filter(|_| !self.has(from, to)) else {
            return;
        };
        let wanted = self.make_room(from, to, true);
        // An error comes again when it matters.
        self.filled = match self.at_once {
            true => fill(&file, &mut self.window[..wanted], from).unwrap_or(0),
            false => read_cached(&file, &mut self.window[..wanted], from),
        };
        self.read_ahead(&file, from + self.filled as u64);
    }
    /// Room for what is read from `from` on: `from .. to`, and more if the transfer is under way. How much that is.
    fn make_room(&mut self, from: u64, to: u64, under_way: bool) -> usize {
        let needed = (to - from) as usize;
        let chunk = if under_way {
            CHUNK / needed.max(1) * needed
        } else {
            0
        };
        let wanted = (chunk.max(needed) as u64).min(self.size - from) as usize;
        if self.window.len() < wanted {
            self.window.resize(wanted, 0);
        }
        self.start = from;
        wanted
    }
    /// Loads `from .. to`, and more if the transfer is under way.
    async fn load(&mut self, from: u64, to: u64, under_way: bool) -> io::Result<()> {
        if self.has(from, to) {
            return Ok(());
        }
        let Some(file) = self.file.clone() else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let needed = (to - from) as usize;
        let wanted = self.make_room(from, to, under_way);
        self.filled = match self.at_once {
            true => fill(&file, &mut self.window[..wanted], from)?,
            false => read_cached(&file, &mut self.window[..wanted], from),
        };
        if self.filled < needed && !self.at_once {
            let mut window = std::mem::take(&mut self.window);
            let filled = self.filled;
            let reader = Arc::clone(&file);
            let read = move || {
                let done = fill(&reader, &mut window[filled..wanted], from + filled as u64);
                (done, window)
            };
            let (done, window) = tokio::task::spawn_blocking(read)
                .await
                .map_err(io::Error::other)?;
            self.window = window;
            self.filled = filled + done?;
        }
        if under_way {
            self.read_ahead(&file, from + self.filled as u64);
        }
        if self.filled < needed {
            // It was longer when the transfer began.
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter",
            ));
        }
        Ok(())
    }
}

impl Input {
    /// Tells the kernel what comes next, from `at` on.
    #[cfg(target_os = "linux")]
    fn read_ahead(&mut self, file: &File, at: u64) {
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
    fn read_ahead(&mut self, _: &File, _: u64) {}
}

/// Reads what needs no waiting; how much that is.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, buf: &mut [u8], at: u64) -> usize {
    use rustix::io::ReadWriteFlags;
    let mut parts = [io::IoSliceMut::new(buf)];
    // Any error comes again with the read that may wait.
    rustix::io::preadv2(file, &mut parts, at, ReadWriteFlags::NOWAIT).unwrap_or(0)
}
#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: &mut [u8], _: u64) -> usize {
    0
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

/// Reads until the buffer is full or the file ends.
fn fill(file: &File, buf: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(&mut buf[done..], at + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TempDir, pattern};
    use super::*;

    async fn all(mut source: Source, window: u32) -> Vec<u8> {
        let (mut octets, mut first) = (Vec::new(), 1);
        loop {
            let last = source.ready(first, first, window).await.unwrap();
            let end = last.map_or(first + u64::from(window), |l| {
                (l + 1).min(first + u64::from(window))
            });
            for block in first..end {
                octets.extend_from_slice(source.block(block));
            }
            first = end;
            if last.is_some_and(|l| first > l) {
                return octets;
            }
        }
    }

    #[tokio::test]
    async fn blocks_are_the_file() {
        let dir = TempDir::new();
        for len in [0, 1, 511, 512, 513, 1024, 300_000, 1_000_000] {
            let content = pattern(len);
            let path = dir.path().join(len.to_string());
            std::fs::write(&path, &content).unwrap();
            for (blksize, window) in [(8, 1), (512, 1), (512, 64), (65_464, 3)] {
                let file = File::open(&path).unwrap();
                let source = Source::file(file, len as u64, Mode::Octet, blksize);
                assert_eq!(source.last(), Some(len as u64 / u64::from(blksize) + 1));
                assert!(all(source, window).await == content);
                let file = File::open(&path).unwrap();
                let source = Source::file(file, len as u64, Mode::Netascii, blksize);
                let mut expected = Vec::new();
                Encoder::default().encode(&content, &mut expected, usize::MAX);
                assert!(all(source, window).await == expected);
            }
            assert!(all(Source::memory(content.clone(), Mode::Octet, 100), 7).await == content);
        }
    }

    /// Blocks of 100 octets, in windows of three, which do not divide a chunk.
    #[tokio::test]
    async fn reading_on_and_going_back_change_no_block() {
        let dir = TempDir::new();
        let path = dir.path().join("file");
        for (mode, len) in [
            (Mode::Octet, 40_000),
            (Mode::Octet, 600),
            (Mode::Netascii, 40_000),
        ] {
            let content = pattern(len);
            std::fs::write(&path, &content).unwrap();
            let mut wire = Vec::new();
            match mode {
                Mode::Octet => wire.clone_from(&content),
                Mode::Netascii => drop(Encoder::default().encode(&content, &mut wire, usize::MAX)),
            }
            let mut blocks: Vec<&[u8]> = wire.chunks(100).collect();
            if wire.len() % 100 == 0 {
                blocks.push(&[]);
            }
            let mut source = Source::file(File::open(&path).unwrap(), len as u64, mode, 100);
            let last = blocks.len() as u64;
            for first in (1..=last).step_by(3) {
                let end = (first + 3).min(last + 1);
                // The second time around it has read on already: the window was lost, and then a part of it.
                for again in [first, first, end - 1] {
                    let known = source.ready(first, again, 3).await.unwrap();
                    assert!(known.is_none_or(|known| known == last));
                    for block in again..end {
                        assert!(
                            source.block(block) == blocks[block as usize - 1],
                            "{block} of {last}"
                        );
                    }
                    source.read_on(end, 3.min(last + 1 - end) as u32);
                }
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_was_read_on_outlasts_the_file() {
        let dir = TempDir::new();
        let (path, content) = (dir.path().join("file"), pattern(50_000));
        std::fs::write(&path, &content).unwrap();
        let mut source = Source::file(File::open(&path).unwrap(), 50_000, Mode::Octet, 1000);
        source.ready(1, 1, 1).await.unwrap();
        source.read_on(2, 1);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(20_000)
            .unwrap();
        source.ready(2, 2, 1).await.unwrap();
        assert_eq!(source.block(2), &content[1000..2000]);
        // Over the end: the blocks that are whole are not lost, and the first that is not ends it.
        source.read_on(19, 1);
        source.ready(20, 20, 1).await.unwrap();
        assert_eq!(source.block(20), &content[19_000..20_000]);
        assert!(source.ready(21, 21, 1).await.is_err());
    }

    #[tokio::test]
    async fn a_file_that_shrinks_ends_the_transfer() {
        let dir = TempDir::new();
        let path = dir.path().join("file");
        std::fs::write(&path, pattern(10)).unwrap();
        let mut source = Source::file(File::open(&path).unwrap(), 2000, Mode::Octet, 512);
        assert!(source.ready(1, 1, 4).await.is_err());
    }
}
