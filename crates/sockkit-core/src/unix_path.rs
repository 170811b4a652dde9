//! Paths of Unix sockets: taken over when stale, refused when live, never touched when they are something else.
//!
//! Everything between the look at the path and the bind happens under flock(2) on the parent directory, so that of
//! two servers that start for one path exactly one wins, and no lock file stays behind. Whether a socket file is live
//! is asked with a datagram socket: the kernel answers a connect(2) to a socket of another type with `EPROTOTYPE`
//! and to a file without a socket with `ECONNREFUSED`, and neither leaves a connection in anybody's queue.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::geteuid;
use sockkit_sys::{SockAddr, UnixName};

use crate::deadline::Deadline;

/// How long to wait for another process that is taking a path in the same directory.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// A path that this process has bound. Dropping it removes the path, unless somebody has replaced it since.
#[derive(Debug)]
pub(crate) struct UnixPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Why a path was not bound: the cause, and what to do about it.
pub(crate) struct Refusal {
    pub(crate) error: io::Error,
    pub(crate) advice: Option<&'static str>,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { error, advice: None }
    }
}

/// Binds `socket` to `path` and gives the path the permissions `mode`: at no moment can anybody connect whom the mode
/// keeps out. `listen` runs while the path is still locked, so that it never looks stale to another starter.
pub(crate) fn bind(
    socket: BorrowedFd<'_>,
    path: &Path,
    mode: u32,
    listen: impl FnOnce() -> io::Result<()>,
) -> Result<UnixPath, Refusal> {
    let address = SockAddr::from_unix(&UnixName::Path(path.to_owned()))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let _lock = lock(parent)?;
    match fs::symlink_metadata(path) {
        Ok(found) => remove_if_stale(path, &address, &found)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    // The file's mode is that of the socket's inode less the umask, so no moment exists at which it is wider.
    fchmod(socket, Mode::from_bits_truncate(mode)).map_err(io::Error::from)?;
    sockkit_sys::bind(socket, &address)?;
    let made = fs::symlink_metadata(path)?;
    let bound = UnixPath { path: std::path::absolute(path)?, device: made.dev(), inode: made.ino() };
    if made.mode() & 0o777 != mode & 0o777 {
        // The umask took more than was asked for.
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o777))?;
    }
    listen()?;
    Ok(bound)
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        // The socket is still open here, so no other sockkit takes the path between the look and the removal.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| self.is(&found)) {
            // There is nobody to tell; what stays behind is a stale socket, which the next start recovers.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl UnixPath {
    fn is(&self, found: &Metadata) -> bool {
        (found.dev(), found.ino()) == (self.device, self.inode)
    }
}

/// Locks the directory, for as long as what is answered lives.
fn lock(directory: &Path) -> Result<File, Refusal> {
    let file = File::open(directory)?;
    let about = file.metadata()?;
    if about.mode() & 0o1002 == 0o002 {
        return Err(Refusal {
            error: io::Error::other(
                "its directory is writable by all and not sticky, so anybody could replace it",
            ),
            advice: Some("choose another directory, or chmod +t it"),
        });
    }
    let deadline = Deadline::after(LOCK_PATIENCE);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(error.into());
            }
            Err(_) if deadline.has_passed() => {
                return Err(Refusal {
                    error: io::Error::other("its directory stays locked by another process"),
                    advice: Some("see which with: lslocks"),
                });
            }
            // flock(2) knows no time limit of its own; the holder keeps it for well under a millisecond.
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn remove_if_stale(path: &Path, address: &SockAddr, found: &Metadata) -> Result<(), Refusal> {
    let refuse =
        |why: &str, advice| Err(Refusal { error: io::Error::other(why.to_owned()), advice: Some(advice) });
    if !found.file_type().is_socket() {
        return refuse("the path exists and is not a socket", "it is left as it is; choose another path");
    }
    if found.uid() != geteuid().as_raw() {
        return refuse(
            "the socket there belongs to another user",
            "it is left as it is; choose another path",
        );
    }
    let probe = sockkit_sys::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
    match sockkit_sys::connect(probe.as_fd(), address) {
        Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => Ok(fs::remove_file(path)?),
        Err(error) if error.raw_os_error() != Some(libc::EPROTOTYPE) => Err(error.into()),
        _ => Err(Refusal {
            error: Errno::EADDRINUSE.into(),
            advice: Some("another process is serving on this path, or it is given twice"),
        }),
    }
}
