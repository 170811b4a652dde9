//! Files that are written whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use sockkit_core::{Error, ErrorKind};

/// What a new file may be, less what umask(2) takes away.
const MODE: u32 = 0o666;

/// Writes a file, so that whoever opens it finds the old one or the new one, and never a part: the bytes go into a file
/// beside it, to the disk, and then take the name. A file that is there keeps its permissions, and a link to one stays a
/// link. A pipe or a terminal is written as it is.
///
/// # Errors
/// Of kind [`ErrorKind::Local`], with the file and the cause; then nothing has changed.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    match Kind::of(path) {
        Ok(Kind::Direct) => write_directly(path, bytes),
        Ok(Kind::New) => replace(path, None, bytes),
        Ok(Kind::Regular(permissions)) => {
            fs::canonicalize(path).and_then(|path| replace(&path, Some(permissions), bytes))
        }
        Err(error) => Err(error),
    }
    .map_err(|error| complain(path, &error))
}

/// Looks whether [`write()`] is likely to work, so that an hour of measuring is not lost to a slip. Changes nothing.
///
/// # Errors
/// As [`write()`].
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    let checked = match Kind::of(path) {
        Ok(Kind::Direct) => access(path, AccessFlags::W_OK).map_err(io::Error::from),
        Ok(Kind::New) => writable_directory(path),
        Ok(Kind::Regular(_)) => fs::canonicalize(path).and_then(|path| writable_directory(&path)),
        Err(error) => Err(error),
    };
    checked.map_err(|error| complain(path, &error))
}

/// What is at a path.
enum Kind {
    /// Nothing.
    New,
    /// A file, which is replaced.
    Regular(Permissions),
    /// Something that stays what it is.
    Direct,
}

impl Kind {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::New),
            other => other?,
        };
        let kind = metadata.file_type();
        if path.starts_with("/dev") || path.starts_with("/proc") || kind.is_fifo() || kind.is_char_device() {
            // Names there stand for descriptors that somebody holds: a new file of the name would reach nobody.
            return if kind.is_dir() { Err(is_directory()) } else { Ok(Self::Direct) };
        }
        match kind.is_file() {
            true => Ok(Self::Regular(metadata.permissions())),
            false if kind.is_dir() => Err(is_directory()),
            false => Err(io::Error::other("it is neither a file nor a pipe")),
        }
    }
}

fn is_directory() -> io::Error {
    io::Error::from(Errno::EISDIR)
}

fn write_directly(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(bytes)
}

fn replace(path: &Path, permissions: Option<Permissions>, bytes: &[u8]) -> io::Result<()> {
    let directory = directory(path);
    // The crate's own way to open it would tell of the temporary file, which nobody has typed.
    let create = |path: &Path| OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
    let file = tempfile::Builder::new().prefix(".sockkit-").make_in(&directory, create)?;
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.as_file().write_all(bytes)?;
    file.as_file().sync_all()?;
    // On any error up to here the temporary file is removed as it is dropped.
    file.persist(path).map_err(|error| error.error)?;
    // The name is on the disk once the directory is; some file systems cannot, and then nobody can.
    let _ = File::open(&directory).and_then(|directory| directory.sync_all());
    Ok(())
}

fn writable_directory(path: &Path) -> io::Result<()> {
    let directory = directory(path);
    if !fs::metadata(&directory)?.is_dir() {
        return Err(io::Error::from(Errno::ENOTDIR));
    }
    access(&directory, AccessFlags::W_OK | AccessFlags::X_OK).map_err(io::Error::from)
}

fn directory(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Always local trouble: a path that is not there is no peer that cannot be reached.
fn complain(path: &Path, error: &io::Error) -> Error {
    Error::io("write", path.display(), error).with_kind(ErrorKind::Local)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::thread;

    use nix::sys::stat::Mode;
    use nix::unistd::{Uid, mkfifo};

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_keeps_its_permissions() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("r"), directory.path().join("link"));
        write(&path, b"one").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_ne!(mode(&path), 0o600, "a new file is as umask has it");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        symlink("r", &link).unwrap();
        check(&link).unwrap();
        write(&link, b"two").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o640));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(names(directory.path()), ["link", "r"]);
    }

    #[test]
    fn what_cannot_be_written_is_told_and_the_old_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("no/r");
        for (path, cause) in
            [(missing.as_path(), "no such file or directory"), (directory.path(), "is a directory")]
        {
            for error in [check(path).unwrap_err(), write(path, b"x").unwrap_err()] {
                let text = error.to_string();
                assert!(text.starts_with(&format!("cannot write {}: ", path.display())), "{text}");
                assert!(text.ends_with(cause), "{text}");
                assert_eq!(error.kind(), ErrorKind::Local);
            }
        }
        let locked = directory.path().join("locked");
        fs::create_dir(&locked).unwrap();
        let old = locked.join("r");
        fs::write(&old, "old").unwrap();
        fs::set_permissions(&locked, Permissions::from_mode(0o500)).unwrap();
        if Uid::effective().is_root() {
            sockkit_tests::skip!("root writes into any directory");
        }
        assert!(check(&old).is_err());
        let error = write(&old, b"new").unwrap_err().to_string();
        assert_eq!(error, format!("cannot write {}: permission denied", old.display()));
        assert_eq!(fs::read(&old).unwrap(), b"old");
        fs::set_permissions(&locked, Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn a_pipe_is_written_and_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
        let reader = thread::spawn({
            let path = path.clone();
            move || fs::read(path).unwrap()
        });
        check(&path).unwrap();
        write(&path, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        write(Path::new("/dev/null"), b"away").unwrap();
        assert!(!write(Path::new("/dev/full"), b"full").unwrap_err().to_string().contains("Broken"));
    }
}
