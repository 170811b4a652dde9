//! What a command prints at once.

use std::io::{self, Write};

use anyhow::Result;

use crate::exit;
use crate::render::lines::Lines;

/// Writes it all and flushes. A closed stdout is an error here, which [`crate::exit::code`] takes for a quiet end.
pub(super) fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| exit::not_written(&error))
}

/// Whether all lines could be written so far. A closed stdout is an error here too.
pub(super) fn all_written(lines: &Lines) -> Result<()> {
    lines.failure().map_or(Ok(()), |error| Err(exit::not_written(error)))
}
