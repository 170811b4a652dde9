//! `sockkit connect`.

use anyhow::Result;

use crate::cli::ConnectArgs;
use crate::exit::Outcome;

pub(crate) fn run(args: ConnectArgs) -> Result<Outcome> {
    drop(args);
    Ok(Outcome::Success)
}
