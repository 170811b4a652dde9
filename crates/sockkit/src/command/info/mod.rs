//! `sockkit info`: what this machine has. Gathered first (`probe`), as a plain value (`report`), then shown.

mod probe;
mod report;
mod sysctl;
mod text;

use anyhow::Result;

pub(super) use self::probe::{host, kernel, transports, why_no_ring};
pub(super) use self::report::Availability;
pub(super) use self::sysctl::{SHOWN, Sysctls};
use crate::cli::InfoArgs;
use crate::command::output;

pub(crate) fn run(args: &InfoArgs) -> Result<()> {
    let report = probe::report();
    let shown = match args.json {
        true => serde_json::to_string(&report)? + "\n",
        false => text::render(&report),
    };
    output::print(shown.as_bytes())?;
    Ok(())
}
