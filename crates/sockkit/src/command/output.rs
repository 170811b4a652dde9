//! What a command prints at once.

use std::io::{self, Write};

use anyhow::{Context, Result};

use crate::render::lines::Lines;

/// Writes it all and flushes. A closed stdout is an error here, which [`crate::exit::code`] takes for a quiet end.
pub(super) fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).context("cannot write to stdout")
}

/// Whether all lines could be written so far. A closed stdout is an error here too.
pub(super) fn all_written(lines: &Lines) -> Result<()> {
    match lines.failure() {
        Some(error) => Err(io::Error::new(error.kind(), error.to_string())).context("cannot write to stdout"),
        None => Ok(()),
    }
}
