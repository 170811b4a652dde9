//! What a command prints at once.

use std::io::{self, Write};

use anyhow::{Context, Result};

/// Writes it all and flushes. A closed stdout is an error here, which [`crate::exit::code`] takes for a quiet end.
pub(super) fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).context("cannot write to stdout")
}
