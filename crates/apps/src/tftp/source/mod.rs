//! A file that is read, as the datagrams that it is sent in.

mod input;
mod shelf;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::mem;
use std::sync::Arc;

use self::input::{Input, Piece};
pub(super) use self::shelf::{Book, Shelf};
use super::netascii::Encoder;
use super::packet::{self, HEADER, Mode};

/// How much is copied at once from the page cache, when a transfer is under way. Little, since hundreds of transfers may
/// hold as much each.
const CHUNK: usize = 16 * 1024;

/// The most blocks that are read at once, and that may be asked for.
const MOST: u64 = 64;

/// A file as datagrams. What the page cache has is read at once; for the rest a thread of the blocking pool waits, and the
/// kernel is told what comes next (read-ahead).
///
/// ```text
///   octets  header│block first│header│block first + 1│ … │header│block first + count - 1│ room
///                                                                                       end
/// ```
#[derive(Debug)]
#[repr(C)] // what each block needs first
pub(super) struct Source {
    octets: Octets,
    /// The blocks that are ready.
    first: u64,
    count: u64,
    /// Where the last one of them ends.
    end: usize,
    blksize: usize,
    /// The last block, once it is known: of netascii not before it is read.
    last: Option<u64>,
    /// What is shared with other transfers of the file.
    book: Option<Arc<Book>>,
    input: Input,
    form: Form,
}

/// Datagrams, one after the other.
#[derive(Debug)]
enum Octets {
    /// A header is written when it is sent.
    Own(Vec<u8>),
    /// With their headers.
    Shared(Arc<Vec<u8>>),
}

#[derive(Debug)]
enum Form {
    /// Blocks are pieces of the file.
    Octet,
    /// Where a block begins is only known when the one before is encoded.
    Netascii {
        /// Where blocks begin, from the oldest that may be needed again.
        marks: VecDeque<Mark>,
        oldest: u64,
    },
}

/// Where a block begins: the next octet of the file, and what is left of the one before.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: u64,
    encoder: Encoder,
}

/// Blocks that are to be read, from which octets.
#[derive(Clone, Copy, Debug)]
struct Plan {
    first: u64,
    count: u64,
    piece: Piece,
}
impl Plan {
    /// The octets of the datagrams. The last one of a file may be a header alone.
    fn octets(&self) -> usize {
        self.piece.wanted + self.count as usize * self.piece.head
    }
}

impl Source {
    /// The first `size` octets of a file, in blocks of `blksize`.
    pub(super) fn file(file: File, size: u64, mode: Mode, blksize: u16) -> Source {
        Source::new(Input::file(file, size), mode, blksize)
    }
    /// Octets in memory.
    pub(super) fn memory(octets: Vec<u8>, mode: Mode, blksize: u16) -> Source {
        Source::new(Input::memory(octets), mode, blksize)
    }
    fn new(input: Input, mode: Mode, blksize: u16) -> Source {
        let beginning = Mark {
            at: 0,
            encoder: Encoder::default(),
        };
        let form = match mode {
            Mode::Octet => Form::Octet,
            Mode::Netascii => Form::Netascii {
                marks: VecDeque::from([beginning]),
                oldest: 1,
            },
        };
        let mut source = Source {
            octets: Octets::Own(Vec::new()),
            first: 1,
            count: 0,
            end: 0,
            blksize: 0,
            last: None,
            book: None,
            input,
            form,
        };
        source.set_blksize(blksize);
        source
    }
    /// Another block size, before the first block is asked for.
    pub(super) fn set_blksize(&mut self, blksize: u16) {
        self.blksize = blksize.into();
        if let Form::Octet = self.form {
            self.last = Some(self.input.size / u64::from(blksize) + 1);
        }
    }
    /// Shares what is read with all who have the same book: files read in blocks of this size, in octet mode.
    pub(super) fn share(&mut self, book: Option<Arc<Book>>) {
        self.book = book;
    }
    /// Waiting for a disk is no matter: from now on it is read here, and not by another thread.
    pub(super) fn set_patient(&mut self) {
        self.input.set_patient();
        // It is ahead of the others, or soon will be.
        self.book = None;
    }
    /// A word of each line of memory that the next block needs.
    #[cfg(target_os = "linux")]
    pub(super) fn look_over(&self) -> u64 {
        let ready = match &self.octets {
            Octets::Own(octets) => octets.len(),
            Octets::Shared(octets) => octets.len(),
        };
        self.first ^ self.last.unwrap_or(0) ^ ready as u64
    }
    /// The last block, once it is known: of netascii not before it is read.
    pub(super) fn last(&self) -> Option<u64> {
        self.last
    }
    /// The length of a datagram, but of the last one of the file.
    pub(super) fn length(&self) -> usize {
        HEADER + self.blksize
    }

    /// Makes the blocks `first .. first + count` ready, at most 64; fewer, if the file ends before. Blocks before `base` are
    /// not needed any more.
    ///
    /// # Errors
    /// Those of the file; `UnexpectedEof` if it has become shorter.
    pub(super) async fn ready(&mut self, base: u64, first: u64, count: u32) -> io::Result<()> {
        if self.is_ready(base, first, count) {
            return Ok(());
        }
        self.wait_for(first, count).await
    }
    /// As [`Source::ready`], for blocks that [`Source::is_ready`] has just not found.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn wait_for(&mut self, first: u64, count: u32) -> io::Result<()> {
        if let Some(plan) = self.plan(first, count, first > 1) {
            let mut buf = self.room(&plan);
            let got = self.input.read(&mut buf, plan.piece).await?;
            self.accept(&plan, buf, got);
        }
        match self.has(first, count) {
            true => Ok(()),
            // It was longer when the transfer began.
            false => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter",
            )),
        }
    }
    /// As [`Source::ready`], but without waiting: whether they are ready. An error comes again when it is waited for.
    pub(super) fn is_ready(&mut self, base: u64, first: u64, count: u32) -> bool {
        self.forget(base);
        self.has(first, count) || self.read_now(first, count, first > 1)
    }
    /// Reads the blocks `first .. first + count` if that needs no waiting, so that they are ready when they are asked for. What
    /// fails is tried again then. Earlier blocks may have to be read once more.
    pub(super) fn read_on(&mut self, first: u64, count: u32) {
        if count > 0 && !self.has(first, count) {
            self.read_now(first, count, true);
        }
    }
    /// Reads some blocks, or has them from another transfer; whether they are ready now.
    fn read_now(&mut self, first: u64, count: u32, under_way: bool) -> bool {
        if under_way && count == 1 && self.share_now(first) {
            return true;
        }
        let Some(plan) = self.plan(first, count, under_way) else {
            return false;
        };
        let mut buf = self.room(&plan);
        let got = self.input.read_now(&mut buf, plan.piece).unwrap_or(0);
        self.accept(&plan, buf, got);
        self.has(first, count)
    }
    /// Takes the piece that a block is in from the book, or puts it there; whether it did.
    fn share_now(&mut self, block: u64) -> bool {
        let Some(book) = &self.book else {
            return false;
        };
        let each = (CHUNK / self.blksize).clamp(1, MOST as usize) as u64;
        let number = (block - 1) / each;
        let Some(plan) = self.plan(number * each + 1, each as u32, true) else {
            return false;
        };
        let piece = match book.get(number) {
            Some(piece) => piece,
            None => {
                let mut octets = vec![0; plan.octets()];
                let got = self.input.read_now(&mut octets, plan.piece).unwrap_or(0);
                if got < plan.piece.wanted {
                    return false;
                }
                let datagrams = octets.chunks_mut(HEADER + self.blksize);
                for (block, datagram) in (plan.first..).zip(datagrams) {
                    datagram[..HEADER].copy_from_slice(&packet::data_header(book.wire(block)));
                }
                let piece = Arc::new(octets);
                book.put(number, &piece);
                self.input.read_ahead(plan.piece.at + got as u64);
                piece
            }
        };
        (self.first, self.count, self.end) = (plan.first, plan.count, piece.len());
        self.octets = Octets::Shared(piece);
        true
    }
    /// The datagrams with the blocks `first .. first + count`, which are ready, or as many of them as there are; `wire` tells
    /// their numbers.
    pub(super) fn datagrams(&mut self, first: u64, count: u32, wire: impl Fn(u64) -> u16) -> &[u8] {
        let length = self.length();
        let Some(skipped) = first.checked_sub(self.first) else {
            return &[];
        };
        let place = |blocks: u64| (blocks as usize).saturating_mul(length).min(self.end);
        let (from, to) = (place(skipped), place(skipped + u64::from(count)));
        match &mut self.octets {
            Octets::Own(octets) => {
                let datagrams = &mut octets[from..to];
                for (block, datagram) in (first..).zip(datagrams.chunks_mut(length)) {
                    if let Some(header) = datagram.first_chunk_mut() {
                        *header = packet::data_header(wire(block));
                    }
                }
                datagrams
            }
            Octets::Shared(octets) => &octets[from..to],
        }
    }

    /// Whether blocks are ready, as far as the file has them.
    fn has(&self, first: u64, count: u32) -> bool {
        let end = first + u64::from(count);
        let end = self.last.map_or(end, |last| end.min(last + 1));
        first >= self.first && end <= self.first + self.count
    }
    /// Blocks before `base` will not be asked for.
    fn forget(&mut self, base: u64) {
        if let Form::Netascii { marks, oldest, .. } = &mut self.form {
            while *oldest < base && marks.len() > 1 {
                marks.pop_front();
                *oldest += 1;
            }
        }
    }
    /// What is to be read for some blocks: more, if the transfer is under way. Nothing if nobody knows where they begin.
    fn plan(&self, first: u64, count: u32, under_way: bool) -> Option<Plan> {
        let mark = match &self.form {
            Form::Octet => (first - 1) * self.blksize as u64,
            Form::Netascii { marks, oldest, .. } => {
                marks.get(usize::try_from(first.checked_sub(*oldest)?).ok()?)?.at
            }
        };
        let left = self.input.size.checked_sub(mark)?;
        let octets = |blocks: u64| left.min(blocks * self.blksize as u64) as usize;
        let least = u64::from(count).clamp(1, MOST);
        let times = match under_way {
            true => (CHUNK / (least as usize * self.blksize)).clamp(1, (MOST / least) as usize),
            false => 1,
        };
        let most = least * times as u64;
        let (head, body) = match self.form {
            Form::Octet => (HEADER, self.blksize),
            Form::Netascii { .. } => (0, octets(most).max(1)),
        };
        Some(Plan {
            first,
            count: self
                .last
                .map_or(most, |last| most.min((last + 1).saturating_sub(first))),
            piece: Piece {
                at: mark,
                wanted: octets(most),
                head,
                body,
            },
        })
    }
    /// Room to read to. No block is ready any more.
    fn room(&mut self, plan: &Plan) -> Vec<u8> {
        self.count = 0;
        let octets = mem::replace(&mut self.octets, Octets::Own(Vec::new()));
        let (mut buf, room) = match (&self.form, octets) {
            (Form::Octet, Octets::Own(octets)) => (octets, plan.octets()),
            // The text is not the datagrams.
            (Form::Netascii { .. }, Octets::Own(octets)) => {
                self.octets = Octets::Own(octets);
                (Vec::new(), plan.octets())
            }
            (_, Octets::Shared(_)) => (Vec::new(), plan.octets()),
        };
        if buf.len() < room {
            buf.reserve_exact(room - buf.len());
            buf.resize(room, 0);
        }
        buf
    }
    /// Takes what was read: `got` octets.
    fn accept(&mut self, plan: &Plan, buf: Vec<u8>, got: usize) {
        if plan.first > 1 {
            self.input.read_ahead(plan.piece.at + got as u64);
        }
        self.first = plan.first;
        match self.form {
            Form::Octet => {
                self.octets = Octets::Own(buf);
                let whole = (got / self.blksize) as u64;
                (self.count, self.end) = match got == plan.piece.wanted {
                    true => (plan.count, got + plan.count as usize * HEADER),
                    false => (whole, whole as usize * self.length()),
                };
            }
            Form::Netascii { .. } => self.encode(plan, &buf[..got]),
        }
    }
    /// Makes blocks of text.
    fn encode(&mut self, plan: &Plan, mut text: &[u8]) {
        let (Form::Netascii { marks, oldest }, Octets::Own(octets)) = (&mut self.form, &mut self.octets)
        else {
            return;
        };
        octets.clear();
        while self.count < plan.count && self.last.is_none_or(|last| plan.first + self.count <= last) {
            let place = (plan.first + self.count - *oldest) as usize;
            let Some(&(mut mark)) = marks.get(place) else {
                break;
            };
            let begin = octets.len();
            octets.extend_from_slice(&[0; HEADER]);
            let full = begin + HEADER + self.blksize;
            let used = mark.encoder.encode(text, octets, full);
            mark.at += used as u64;
            text = &text[used..];
            if octets.len() < full {
                if mark.at < self.input.size {
                    octets.truncate(begin); // the rest of the text is still to be read
                    break;
                }
                self.last = Some(plan.first + self.count);
            } else if place + 1 == marks.len() {
                marks.push_back(mark);
            }
            self.count += 1;
        }
        self.end = octets.len();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TempDir, pattern};
    use super::super::transfer::Rollover;
    use super::*;

    /// A block that is ready.
    fn block_of(source: &mut Source, number: u64) -> &[u8] {
        let datagram = source.datagrams(number, 1, |block| block as u16);
        assert_eq!(datagram[..HEADER], packet::data_header(number as u16));
        &datagram[HEADER..]
    }

    async fn all(mut source: Source, window: u32) -> Vec<u8> {
        let (mut octets, mut first) = (Vec::new(), 1);
        loop {
            source.ready(first, first, window).await.unwrap();
            let last = source.last();
            let end = last.map_or(first + u64::from(window), |l| {
                (l + 1).min(first + u64::from(window))
            });
            for block in first..end {
                octets.extend_from_slice(block_of(&mut source, block));
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

    #[tokio::test]
    async fn a_window_is_one_run_of_datagrams() {
        let (mut source, content) = (Source::memory(pattern(250), Mode::Octet, 100), pattern(250));
        source.ready(1, 1, 64).await.unwrap();
        let wire = |block| (block + 0xfffe) as u16;
        let expected = [
            &[0, 3, 0xff, 0xff],
            &content[..100],
            &[0, 3, 0, 0],
            &content[100..200],
            &[0, 3, 0, 1],
            &content[200..],
        ]
        .concat();
        assert_eq!(source.datagrams(1, 64, wire), expected);
        assert_eq!(source.datagrams(2, 1, wire), &expected[104..208]);
        assert_eq!(source.datagrams(2, 2, wire), &expected[104..]);
        // What is not ready is not sent.
        let mut source = Source::memory(content, Mode::Octet, 100);
        source.ready(1, 1, 1).await.unwrap();
        source.read_on(2, 1);
        assert!(source.datagrams(1, 1, wire).is_empty());
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
                    source.ready(first, again, 3).await.unwrap();
                    assert!(source.last().is_none_or(|known| known == last));
                    for block in again..end {
                        assert!(
                            block_of(&mut source, block) == blocks[block as usize - 1],
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
        assert_eq!(block_of(&mut source, 2), &content[1000..2000]);
        // Over the end: the blocks that are whole are not lost, and the first that is not ends it.
        source.read_on(19, 1);
        source.ready(20, 20, 1).await.unwrap();
        assert_eq!(block_of(&mut source, 20), &content[19_000..20_000]);
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

    /// Two transfers of a file, one a little ahead of the other.
    #[tokio::test]
    async fn what_one_has_read_serves_the_other() {
        let dir = TempDir::new();
        let (path, content) = (dir.path().join("file"), pattern(100_000));
        std::fs::write(&path, &content).unwrap();
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
        let shelf = Shelf::default();
        let open = |numbers| {
            let file = File::open(&path).unwrap();
            let book = shelf.book_at(&file, 512, numbers, later);
            assert!(book.is_some());
            let mut source = Source::file(file, 100_000, Mode::Octet, 512);
            source.share(book);
            source
        };
        let (mut ahead, mut behind) = (open(Rollover::ToZero), open(Rollover::ToZero));
        let mut other = open(Rollover::ToOne);
        let held = |source: &Source| match &source.octets {
            Octets::Shared(octets) => Some(Arc::as_ptr(octets)),
            Octets::Own(_) => None,
        };
        let mut together = 0;
        for block in 1..=196u64 {
            let expected = &content[(block as usize - 1) * 512..(block as usize * 512).min(100_000)];
            for source in [&mut ahead, &mut behind, &mut other] {
                source.ready(block, block, 1).await.unwrap();
                assert_eq!(block_of(source, block), expected);
                source.read_on(block + 1, 1);
            }
            if block > 1 && block < 196 {
                assert!(held(&behind).is_some());
                together += u32::from(held(&ahead) == held(&behind));
                assert_ne!(held(&ahead), held(&other));
            }
        }
        assert!(together > 180, "{together}");
        // A block that is asked for again, from the piece before.
        behind.ready(20, 20, 1).await.unwrap();
        assert_eq!(block_of(&mut behind, 20), &content[19 * 512..20 * 512]);
    }
}
