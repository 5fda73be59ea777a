//! The directory that is served, which no name leads out of.
//!
//! On Linux 5.6 and later the kernel resolves names with `openat2(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)`: a symlink
//! may point to another place inside, and neither it nor a race can lead outside. Elsewhere each component is opened by
//! itself without following symlinks, so symlinks are refused. `..` is refused in either case; a leading `/` means the root.
//! Only regular files are opened: no directories, devices, FIFOs or sockets.

use std::ffi::OsStr;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::packet::ErrorCode;

/// What uploads may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Uploads {
    /// Nothing: every WRQ is refused.
    #[default]
    Off,
    /// New files only.
    Create,
    /// New files, and others in the place of existing ones.
    Overwrite,
}

/// Why a name was refused.
#[derive(Debug)]
pub enum Refused {
    /// There is no such file.
    NotFound,
    /// It leads outside, is no regular file, or permissions forbid it.
    Access(&'static str),
    /// It exists already.
    Exists,
    /// No room.
    DiskFull,
    /// Anything else.
    Io(io::Error),
}
impl Refused {
    /// What the peer is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Refused::NotFound => ErrorCode::NOT_FOUND,
            Refused::Access(_) => ErrorCode::ACCESS,
            Refused::Exists => ErrorCode::EXISTS,
            Refused::DiskFull => ErrorCode::DISK_FULL,
            Refused::Io(_) => ErrorCode::UNDEFINED,
        }
    }
}
impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::NotFound => f.write_str("file not found"),
            Refused::Access(why) => f.write_str(why),
            Refused::Exists => f.write_str("file already exists"),
            Refused::DiskFull => f.write_str("disk full"),
            Refused::Io(error) => write!(f, "input/output error: {error}"),
        }
    }
}
impl From<Errno> for Refused {
    fn from(errno: Errno) -> Refused {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Refused::NotFound,
            Errno::XDEV | Errno::LOOP => Refused::Access("name leads outside"),
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Refused::Access("permission denied"),
            Errno::ISDIR => Refused::Access("not a regular file"),
            Errno::EXIST => Refused::Exists,
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Refused::DiskFull,
            other => Refused::Io(other.into()),
        }
    }
}

/// The directory.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    path: PathBuf,
    /// Whether the kernel has openat2. Found out when the root is opened.
    beneath: bool,
}

/// The components of a name, none of them `.` or `..`; at least one.
fn components(name: &[u8]) -> Result<Vec<&OsStr>, Refused> {
    let parts = name.split(|&b| b == b'/').filter(|p| !matches!(*p, b"" | b"."));
    let parts: Vec<&OsStr> = parts.map(OsStr::from_bytes).collect();
    if parts.iter().any(|p| *p == "..") {
        return Err(Refused::Access("name leads outside"));
    }
    if parts.is_empty() {
        return Err(Refused::Access("not a regular file"));
    }
    Ok(parts)
}

impl Root {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// It does not exist, is no directory, or may not be searched.
    pub fn open(path: &Path) -> io::Result<Root> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())?;
        let mut root = Root {
            dir,
            path: path.into(),
            beneath: cfg!(target_os = "linux"),
        };
        root.beneath = root.beneath && root.resolve(OsStr::new("."), flags).is_ok();
        Ok(root)
    }
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a name without leaving the root.
    #[cfg(target_os = "linux")]
    fn resolve(&self, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        use rustix::fs::ResolveFlags;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(&self.dir, name, flags | OFlags::CLOEXEC, Mode::empty(), how) {
                // A rename elsewhere while the kernel walked: it asks for another try.
                Err(Errno::AGAIN) if tries < 32 => tries += 1,
                result => return result,
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    fn resolve(&self, _: &OsStr, _: OFlags) -> Result<OwnedFd, Errno> {
        Err(Errno::NOSYS)
    }
    fn open_beneath(&self, parts: &[&OsStr], flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.beneath {
            return self.resolve(&parts.join(OsStr::new("/")), flags);
        }
        let Some((last, parents)) = parts.split_last() else {
            return rustix::io::fcntl_dupfd_cloexec(&self.dir, 0);
        };
        let mut dir = None::<OwnedFd>;
        for part in parents {
            let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let next = rustix::fs::openat(dir.as_ref().unwrap_or(&self.dir), *part, step, Mode::empty())?;
            dir = Some(next);
        }
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(dir.as_ref().unwrap_or(&self.dir), *last, flags, Mode::empty())
    }

    /// Opens a regular file for reading; returns it and its size.
    ///
    /// # Errors
    /// Why not.
    pub fn read(&self, name: &[u8]) -> Result<(File, u64), Refused> {
        let parts = components(name)?;
        let regular = |fd: &OwnedFd| -> Result<u64, Refused> {
            let stat = rustix::fs::fstat(fd)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Ok(stat.st_size as u64),
                _ => Err(Refused::Access("not a regular file")),
            }
        };
        // First without opening it for use: to open a device or FIFO may already do something.
        regular(&self.open_beneath(&parts, OFlags::PATH)?)?;
        let fd = self.open_beneath(&parts, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let size = regular(&fd)?;
        Ok((File::from(fd), size))
    }

    /// Begins a file beside its place.
    ///
    /// # Errors
    /// Why not.
    pub fn create(&self, name: &[u8], uploads: Uploads) -> Result<Upload, Refused> {
        let parts = components(name)?;
        let (&target, parents) = parts.split_last().ok_or(Refused::NotFound)?;
        let dir = if parents.is_empty() {
            rustix::io::fcntl_dupfd_cloexec(&self.dir, 0)?
        } else {
            self.open_beneath(parents, OFlags::PATH | OFlags::DIRECTORY)?
        };
        Upload::begin(dir, target, uploads)
    }
}

/// A file that is being written without a name, in the directory where it will have one: whatever ends the program before
/// [`Upload::commit`], nothing is left. Where the file system has no nameless files (Linux: O_TMPFILE), it has another name,
/// which is removed when it is dropped.
#[derive(Debug)]
pub struct Upload {
    dir: OwnedFd,
    target: Box<OsStr>,
    /// Its other name, if it has one.
    temporary: Option<String>,
    file: Arc<File>,
    replace: bool,
    committed: bool,
}

impl Upload {
    /// Begins the file `target` in `dir`.
    fn begin(dir: OwnedFd, target: &OsStr, uploads: Uploads) -> Result<Upload, Refused> {
        let replace = match uploads {
            Uploads::Off => return Err(Refused::Access("uploads are not allowed")),
            Uploads::Create => false,
            Uploads::Overwrite => true,
        };
        match rustix::fs::statat(&dir, target, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
            Ok(_) if !replace => return Err(Refused::Exists),
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                // A symlink is replaced, not followed.
                FileType::RegularFile | FileType::Symlink => {}
                _ => return Err(Refused::Access("not a regular file")),
            },
        }
        let begun = |dir, fd, temporary| Upload {
            dir,
            target: target.into(),
            temporary,
            file: Arc::new(File::from(fd)),
            replace,
            committed: false,
        };
        if let Some(fd) = nameless(&dir) {
            return Ok(begun(dir, fd, None));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let temporary = other_name(target);
            match rustix::fs::openat(&dir, &*temporary, flags, WHAT_THE_UMASK_LEAVES) {
                Ok(fd) => return Ok(begun(dir, fd, Some(temporary))),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    /// Begins a file at `path`, for clients: any directory will do, and an existing file is replaced.
    ///
    /// # Errors
    /// Why not.
    pub fn at(path: &Path) -> Result<Upload, Refused> {
        let target = path.file_name().ok_or(Refused::Access("not a file name"))?;
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(parent, flags, Mode::empty())?;
        Upload::begin(dir, target, Uploads::Overwrite)
    }
    /// The file to write to.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }
    /// Gives it its name. It appears there whole.
    ///
    /// # Errors
    /// [`Refused::Exists`] if the name was taken meanwhile and must not be replaced.
    pub fn commit(mut self) -> Result<(), Refused> {
        if self.temporary.is_none() {
            if !self.replace {
                return match self.give_name(&self.target) {
                    Err(Errno::EXIST) => Err(Refused::Exists),
                    result => Ok(result?),
                };
            }
            // Only a rename replaces what is there.
            let temporary = other_name(&self.target);
            self.give_name(OsStr::new(&temporary))?;
            self.temporary = Some(temporary);
        }
        let temporary = self.temporary.as_deref().unwrap_or_default();
        if self.replace {
            rustix::fs::renameat(&self.dir, temporary, &self.dir, &*self.target)?;
        } else {
            // A link fails if the name is taken, on every file system that has links.
            match rustix::fs::linkat(&self.dir, temporary, &self.dir, &*self.target, AtFlags::empty()) {
                Ok(()) => return Ok(()), // the drop removes the other name
                Err(Errno::EXIST) => return Err(Refused::Exists),
                Err(_) => self.rename_if_free(temporary)?,
            }
        }
        self.committed = true;
        Ok(())
    }
    /// Gives a nameless file its first name.
    fn give_name(&self, name: &OsStr) -> Result<(), Errno> {
        let path = descriptor_path(&*self.file);
        rustix::fs::linkat(rustix::fs::CWD, path, &self.dir, name, AtFlags::SYMLINK_FOLLOW)
    }
    /// For file systems without links.
    fn rename_if_free(&self, temporary: &str) -> Result<(), Refused> {
        #[cfg(target_os = "linux")]
        {
            let how = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(&self.dir, temporary, &self.dir, &*self.target, how) {
                Err(Errno::INVAL | Errno::NOSYS) => {}
                result => return Ok(result?),
            }
        }
        match rustix::fs::statat(&self.dir, &*self.target, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Refused::Exists),
            Err(_) => Ok(rustix::fs::renameat(
                &self.dir,
                temporary,
                &self.dir,
                &*self.target,
            )?),
        }
    }
}
impl Drop for Upload {
    fn drop(&mut self) {
        if let (false, Some(temporary)) = (self.committed, &self.temporary) {
            // Nothing more can be done if it cannot be removed.
            let _ = rustix::fs::unlinkat(&self.dir, temporary, AtFlags::empty());
        }
    }
}

/// The mode of new files.
const WHAT_THE_UMASK_LEAVES: Mode = Mode::from_raw_mode(0o666);

/// A name that nobody else uses, beside this one.
fn other_name(target: &OsStr) -> String {
    format!(".sockeye-{:016x}.part", RandomState::new().hash_one(target))
}

/// Opens a file without a name in this directory, if it can be given one later.
#[cfg(target_os = "linux")]
fn nameless(dir: &OwnedFd) -> Option<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, ".", flags, WHAT_THE_UMASK_LEAVES).ok()?;
    // Without /proc it could not.
    rustix::fs::stat(descriptor_path(&fd)).is_ok().then_some(fd)
}
#[cfg(not(target_os = "linux"))]
fn nameless(_: &OwnedFd) -> Option<OwnedFd> {
    None
}
/// Where an open file is found without its name.
fn descriptor_path(file: &impl std::os::fd::AsRawFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::super::testing::TempDir;
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    /// Both ways to resolve names, over the same tree:
    /// outside.txt, root/{file.txt, sub/inner.txt, in -> sub/inner.txt, out -> ../outside.txt, abs -> /.../outside.txt, updir -> .., fifo}
    fn roots() -> (TempDir, [Root; 2]) {
        let dir = TempDir::new();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(dir.path().join("outside.txt"), "secret").unwrap();
        fs::write(root.join("file.txt"), "content").unwrap();
        fs::write(root.join("sub/inner.txt"), "inner").unwrap();
        symlink("sub/inner.txt", root.join("in")).unwrap();
        symlink("../outside.txt", root.join("out")).unwrap();
        symlink(dir.path().join("outside.txt"), root.join("abs")).unwrap();
        symlink("..", root.join("updir")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("fifo"),
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let kernel = Root::open(&root).unwrap();
        let mut by_hand = Root::open(&root).unwrap();
        by_hand.beneath = false;
        (dir, [kernel, by_hand])
    }
    fn code(result: Result<(File, u64), Refused>) -> Option<ErrorCode> {
        result.err().map(|e| e.code())
    }

    #[test]
    fn names_stay_inside() {
        let (_dir, roots) = roots();
        for root in &roots {
            for name in [
                "file.txt",
                "/file.txt",
                "//file.txt",
                "./sub/inner.txt",
                "/sub//inner.txt",
            ] {
                assert!(root.read(name.as_bytes()).is_ok(), "{name}");
            }
            // W-55 of the inventory: a name with .. is an access violation.
            let access = [
                "../outside.txt",
                "/../outside.txt",
                "sub/../../outside.txt",
                "sub/../file.txt",
                "..",
                "out",
                "abs",
                "updir/outside.txt",
                "updir/root/file.txt",
                "sub",
                "/",
                ".",
                "fifo",
            ];
            for name in access {
                let got = code(root.read(name.as_bytes()));
                // By hand a symlink on the way looks like a directory that is not there.
                let hidden = !root.beneath && name.starts_with("updir") && got == Some(ErrorCode::NOT_FOUND);
                assert!(got == Some(ErrorCode::ACCESS) || hidden, "{name}: {got:?}");
            }
            for name in ["nothing", "nothing/file.txt", "file.txt/below"] {
                assert_eq!(
                    code(root.read(name.as_bytes())),
                    Some(ErrorCode::NOT_FOUND),
                    "{name}"
                );
            }
            assert_eq!(
                code(root.read(&[b'x'; 4000])),
                Some(ErrorCode::NOT_FOUND),
                "a name that no file system has"
            );
        }
        if roots[0].beneath {
            assert!(
                roots[0].read(b"in").is_ok(),
                "a symlink may point to another place inside"
            );
        }
        assert_eq!(code(roots[1].read(b"in")), Some(ErrorCode::ACCESS));
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn uploads_appear_whole_or_not_at_all() {
        let (dir, roots) = roots();
        for root in &roots {
            let sub = dir.path().join("root/sub");
            let upload = root.create(b"sub/new", Uploads::Create).unwrap();
            upload.file().as_ref().write_all(b"whole").unwrap();
            assert!(!sub.join("new").exists());
            upload.commit().unwrap();
            assert_eq!(fs::read(sub.join("new")).unwrap(), b"whole");
            assert_eq!(names(&sub), ["inner.txt", "new"]);
            let mut upload = root.create(b"sub/aborted", Uploads::Create).unwrap();
            if cfg!(target_os = "linux") && upload.temporary.is_none() {
                // Nothing to see, and so nothing to leave.
                assert_eq!(names(&sub), ["inner.txt", "new"]);
            }
            // As where there are no nameless files.
            let other = other_name(OsStr::new("aborted"));
            upload.give_name(OsStr::new(&other)).unwrap();
            upload.temporary = Some(other);
            assert_eq!(names(&sub).len(), 3);
            drop(upload);
            assert_eq!(names(&sub), ["inner.txt", "new"]);

            let exists = root.create(b"sub/new", Uploads::Create).unwrap_err();
            assert_eq!(exists.code(), ErrorCode::EXISTS);
            let off = root.create(b"sub/other", Uploads::Off).unwrap_err();
            assert_eq!(off.code(), ErrorCode::ACCESS);
            // Taken while it was written.
            let upload = root.create(b"sub/race", Uploads::Create).unwrap();
            fs::write(sub.join("race"), "first").unwrap();
            assert_eq!(upload.commit().unwrap_err().code(), ErrorCode::EXISTS);
            assert_eq!(fs::read(sub.join("race")).unwrap(), b"first");
            root.create(b"sub/new", Uploads::Overwrite)
                .unwrap()
                .commit()
                .unwrap();
            assert_eq!(fs::read(sub.join("new")).unwrap(), b"");
            fs::remove_file(sub.join("new")).unwrap();
            fs::remove_file(sub.join("race")).unwrap();
        }
    }

    #[test]
    fn uploads_stay_inside() {
        let (dir, roots) = roots();
        for root in &roots {
            for name in ["../new", "updir/new", "/../new", "sub", "fifo"] {
                assert!(
                    root.create(name.as_bytes(), Uploads::Overwrite).is_err(),
                    "{name}"
                );
            }
            // A symlink to a file outside is replaced, and the file stays as it was.
            root.create(b"out", Uploads::Overwrite).unwrap().commit().unwrap();
            assert_eq!(fs::read(dir.path().join("outside.txt")).unwrap(), b"secret");
            assert!(!dir.path().join("new").exists());
        }
    }
}
