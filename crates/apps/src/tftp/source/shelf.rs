//! What of a file is read for one client serves the others too.
//!
//! A room full of machines that boot asks for the same file at the same time, and each is about as far as the others. A piece of
//! it is read once, as the datagrams that it is sent in, and dropped when the last transfer that holds it goes on: there are never
//! more pieces than transfers.

use std::collections::HashMap;
use std::fs::File;
use std::hash::Hash;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use super::super::transfer::Rollover;

/// A file that was changed less than this long ago may change again without a new time: file systems have clocks that
/// stand still for some milliseconds, and some of two seconds.
const SETTLED: Duration = Duration::from_secs(3);

/// The fewest entries that are looked through for those that nobody holds any more.
const FEW: usize = 16;

/// A file as it is since its last change, in blocks of one size with numbers of one kind: its datagrams are the same for all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Edition {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    blksize: u16,
    numbers: Rollover,
}

/// The editions that are being read.
#[derive(Debug, Default)]
pub(in super::super) struct Shelf(Mutex<Held<Edition, Book>>);

/// The pieces of one edition.
#[derive(Debug)]
pub(in super::super) struct Book {
    numbers: Rollover,
    pieces: Mutex<Held<u64, Vec<u8>>>,
}

/// What somebody holds, by a name.
#[derive(Debug)]
struct Held<K, V> {
    /// Only looked up.
    entries: HashMap<K, Weak<V>>,
    /// When there are so many, those that nobody holds any more go.
    full: usize,
}
impl<K, V> Default for Held<K, V> {
    fn default() -> Held<K, V> {
        Held {
            entries: HashMap::new(),
            full: FEW,
        }
    }
}
impl<K: Eq + Hash, V> Held<K, V> {
    fn get(&self, key: &K) -> Option<Arc<V>> {
        self.entries.get(key).and_then(Weak::upgrade)
    }
    fn keep(&mut self, key: K, value: &Arc<V>) {
        if self.entries.len() >= self.full {
            self.entries.retain(|_, value| value.strong_count() > 0);
            self.full = FEW.max(self.entries.len() * 2);
        }
        self.entries.insert(key, Arc::downgrade(value));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one call: a panic leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    /// What is shared of a file; nothing, if it was changed just now.
    pub(in super::super) fn book(&self, file: &File, blksize: u16, numbers: Rollover) -> Option<Arc<Book>> {
        self.book_at(file, blksize, numbers, SystemTime::now())
    }
    /// The same, at some time.
    pub(super) fn book_at(
        &self,
        file: &File,
        blksize: u16,
        numbers: Rollover,
        now: SystemTime,
    ) -> Option<Arc<Book>> {
        let edition = Edition::of(file, blksize, numbers, now)?;
        let mut books = lock(&self.0);
        let book = books.get(&edition).unwrap_or_else(|| {
            let book = Arc::new(Book {
                numbers,
                pieces: Mutex::default(),
            });
            books.keep(edition, &book);
            book
        });
        Some(book)
    }
}
impl Edition {
    fn of(file: &File, blksize: u16, numbers: Rollover, now: SystemTime) -> Option<Edition> {
        let about = file.metadata().ok()?;
        let edition = Edition {
            device: about.dev(),
            inode: about.ino(),
            size: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
            blksize,
            numbers,
        };
        let newest = edition.modified.0.max(edition.changed.0);
        let settled = SystemTime::UNIX_EPOCH + Duration::from_secs(newest.try_into().ok()?) + SETTLED;
        (settled <= now).then_some(edition)
    }
}
impl Book {
    /// The number of a block on the wire.
    pub(super) fn wire(&self, block: u64) -> u16 {
        self.numbers.wire(block)
    }
    /// A piece that somebody holds.
    pub(super) fn get(&self, number: u64) -> Option<Arc<Vec<u8>>> {
        lock(&self.pieces).get(&number)
    }
    /// Offers a piece to the others.
    pub(super) fn put(&self, number: u64, piece: &Arc<Vec<u8>>) {
        lock(&self.pieces).keep(number, piece);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::TempDir;
    use super::*;

    #[test]
    fn a_file_that_was_changed_is_another_one() {
        let dir = TempDir::new();
        let path = dir.path().join("file");
        std::fs::write(&path, "octets").unwrap();
        let shelf = Shelf::default();
        let at = |now| {
            let file = File::open(&path).unwrap();
            shelf.book_at(&file, 512, Rollover::ToZero, now)
        };
        let now = SystemTime::now();
        assert!(at(now).is_none(), "it may change again");
        let later = now + SETTLED * 2;
        let (one, two) = (at(later).unwrap(), at(later).unwrap());
        assert!(Arc::ptr_eq(&one, &two));
        let file = File::open(&path).unwrap();
        let large = shelf.book_at(&file, 1428, Rollover::ToZero, later).unwrap();
        assert!(!Arc::ptr_eq(&one, &large));
        // Of the same length, and with the time of before.
        let time = file.metadata().unwrap().modified().unwrap();
        std::fs::write(&path, "octet.").unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(time)
            .unwrap();
        let three = at(later).unwrap();
        assert!(!Arc::ptr_eq(&one, &three));
    }

    #[test]
    fn what_nobody_holds_goes() {
        let book = Book {
            numbers: Rollover::ToZero,
            pieces: Mutex::default(),
        };
        let kept = Arc::new(vec![1]);
        book.put(0, &kept);
        for number in 1..1000 {
            book.put(number, &Arc::new(vec![0]));
        }
        assert!(book.get(5).is_none());
        assert_eq!(book.get(0), Some(kept));
        assert!(lock(&book.pieces).entries.len() <= FEW);
    }
}
