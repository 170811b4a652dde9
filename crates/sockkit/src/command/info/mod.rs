//! `sockkit info`: what this machine has. Gathered first (`probe`), as a plain value (`report`), then shown.

mod probe;
mod report;
mod sysctl;
mod text;

use std::io::{self, Write};

use anyhow::Result;

use crate::cli::InfoArgs;
use crate::exit::Outcome;

pub(crate) fn run(args: &InfoArgs) -> Result<Outcome> {
    let report = probe::report();
    let mut shown = match args.json {
        true => serde_json::to_string(&report)?,
        false => text::render(&report),
    };
    if args.json {
        shown.push('\n');
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(shown.as_bytes())?;
    stdout.flush()?;
    Ok(Outcome::Success)
}
