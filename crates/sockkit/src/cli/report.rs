//! The arguments of `sockkit report`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::OutputArgs;
use crate::exit;

const EXAMPLES: &str = "\
Examples:
  sockkit report before.json                       the table again
  sockkit report before.json --html before.html    a page for a browser
  sockkit compare --json | sockkit report - --markdown
                                                   from stdin
  sockkit report a.json b.json --json both.json    what two hosts measured at the same time

Several results are merged. That is for hosts that loaded the same thing at the same time: histograms, counters \
and rates of arms that are the same are added, exactly, and percentiles read from the sum; they are never \
averaged. Verdicts are not merged, and what differs between the hosts is told in warnings, and so is it if they did \
not measure at the same time. For before and after there is compare --against; one result twice is refused.

A word behind --json, --csv, --markdown or --html is its FILE, unless no RESULT would be left: report --csv a.json \
prints a.json as CSV. No RESULT is ever written over.";

/// Show saved results again, in any form
///
/// RESULT is what --json and --save have written (sockkit.result/1); - is stdin.
#[derive(Debug, Args)]
#[command(
    override_usage = "sockkit report [OPTIONS] RESULT...",
    after_long_help = format!("{EXAMPLES}\n\n{}", exit::TABLE),
    after_help = "--help shows examples and what the options mean in full"
)]
pub(crate) struct ReportArgs {
    /// Saved results; - is stdin
    #[arg(value_name = "RESULT", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) results: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) outputs: OutputArgs,
}
