//! AF_UNIX: names, and the files that stand for them.
//!
//! On the operating system a name without `@` is a file that outlives its socket. One that nobody listens at any more
//! is replaced, one that somebody listens at is in use, and a file that is no socket is never touched. It is removed
//! with the listener, if it is still the one that was made.

use std::fmt;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sockeye_net::{Net, UnixListener, UnixStream};

use super::Stream;

/// A name of AF_UNIX as people write it: a path, or `@` and a name that is in no file system (abstract, Linux).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalName {
    /// As the sockets take it: an abstract one begins with NUL.
    path: PathBuf,
    is_abstract: bool,
}

impl FromStr for LocalName {
    type Err = &'static str;
    /// # Errors
    /// For a name that is empty, has a NUL or is longer than a socket address holds (107 octets).
    fn from_str(text: &str) -> Result<LocalName, &'static str> {
        let (name, is_abstract) = match text.strip_prefix('@') {
            Some(name) => (name, true),
            None => (text, false),
        };
        if name.is_empty() {
            return Err("a path is needed, or @ and a name that is in no file system");
        }
        if name.contains('\0') {
            return Err("a name has no NUL in it");
        }
        if name.len() > 107 {
            return Err("a name of a socket has 107 octets at most: choose a shorter one");
        }
        let path = match is_abstract {
            true => format!("\0{name}").into(),
            false => name.into(),
        };
        Ok(LocalName { path, is_abstract })
    }
}

impl fmt::Display for LocalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.to_string_lossy();
        match path.strip_prefix('\0') {
            Some(name) => write!(f, "@{name}"),
            None => f.write_str(&path),
        }
    }
}

/// Connects to one who listens at a name of AF_UNIX.
///
/// # Errors
/// `NotFound` if there is no such path, `ConnectionRefused` if nobody listens there, `WouldBlock` if too many wait,
/// `PermissionDenied`.
pub async fn connect_local(net: &Net, name: &LocalName) -> io::Result<Stream> {
    UnixStream::connect(net, &name.path).await.map(Stream::Local)
}

/// A listener, and the file that goes with it.
#[derive(Debug)]
pub(super) struct LocalListener {
    listener: UnixListener,
    file: Option<File>,
}

impl LocalListener {
    pub(super) async fn bind(net: &Net, name: &LocalName) -> io::Result<LocalListener> {
        if name.is_abstract || net.host().is_some() {
            let listener = UnixListener::bind(net, &name.path)?;
            return Ok(LocalListener { listener, file: None });
        }
        let _alone = lock_directory(&name.path);
        let listener = match UnixListener::bind(net, &name.path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_dead(net, &name.path).await?;
                UnixListener::bind(net, &name.path)?
            }
            result => result?,
        };
        let file = File::of(&name.path)?;
        Ok(LocalListener {
            listener,
            file: Some(file),
        })
    }
    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            file.remove();
        }
    }
}

/// Two who find the same dead socket do not replace each other's: from the look to the name being ours, one has the
/// directory. Where it cannot be locked, the look is as good as it can be.
fn lock_directory(path: &Path) -> Option<std::fs::File> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = std::fs::File::open(parent.unwrap_or(Path::new("."))).ok()?;
    directory.lock().ok()?;
    Some(directory)
}

/// Removes the file of a socket that nobody listens at.
async fn remove_dead(net: &Net, path: &Path) -> io::Result<()> {
    let file_type = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file_type.is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is no socket",
        ));
    }
    match UnixStream::connect(net, path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        // Somebody listens, or it cannot be known.
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// The file of a socket, told apart from others that may stand at its path later.
#[derive(Debug)]
struct File {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl File {
    fn of(path: &Path) -> io::Result<File> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(File {
            path: std::path::absolute(path)?,
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
    fn remove(&self) {
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if is_ours {
            let _ = std::fs::remove_file(&self.path); // it stays: the next one finds it dead
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let path: LocalName = "/tmp/x.sock".parse().unwrap();
        assert_eq!(
            (path.to_string().as_str(), path.is_abstract),
            ("/tmp/x.sock", false)
        );
        let hidden: LocalName = "@talk".parse().unwrap();
        assert_eq!((hidden.to_string().as_str(), hidden.is_abstract), ("@talk", true));
        assert_eq!(hidden.path, Path::new("\0talk"));
        for wrong in ["", "@", "a\0b", &"x".repeat(108)] {
            assert!(wrong.parse::<LocalName>().is_err(), "{wrong}");
        }
    }
}
