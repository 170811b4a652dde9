//! `sockkit info`.

use anyhow::Result;

use crate::cli::InfoArgs;
use crate::exit::Outcome;

pub(crate) fn run(_: &InfoArgs) -> Result<Outcome> {
    Ok(Outcome::Success)
}
