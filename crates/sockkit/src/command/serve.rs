//! `sockkit serve`.

use anyhow::Result;

use crate::cli::ServeArgs;
use crate::exit::Outcome;

pub(crate) fn run(args: ServeArgs) -> Result<Outcome> {
    drop(args);
    Ok(Outcome::Success)
}
