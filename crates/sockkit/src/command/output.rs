//! What a command prints at once.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use sockkit_core::{Error, ErrorKind};
use tempfile::NamedTempFile;

use crate::render::lines::Lines;

/// Writes it all and flushes. A closed stdout is an error here, which [`crate::exit::code`] takes for a quiet end.
pub(super) fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).context("cannot write to stdout")
}

/// Whether that is where a document goes that is not put into a file.
pub(super) fn is_stdout(path: impl AsRef<Path>) -> bool {
    path.as_ref() == Path::new("-")
}

/// Writes a document to a file, whole or not at all, or to stdout.
pub(super) fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    if is_stdout(path) {
        return print(bytes);
    }
    let fail = |error: &io::Error| Error::io("write", path.display(), error).with_kind(ErrorKind::Local);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(|error| fail(&error))?;
    file.write_all(bytes).map_err(|error| fail(&error))?;
    file.persist(path).map_err(|error| fail(&error.error))?;
    Ok(())
}

/// Whether all lines could be written so far. A closed stdout is an error here too.
pub(super) fn all_written(lines: &Lines) -> Result<()> {
    match lines.failure() {
        Some(error) => Err(io::Error::new(error.kind(), error.to_string())).context("cannot write to stdout"),
        None => Ok(()),
    }
}
