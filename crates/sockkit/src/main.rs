//! The sockkit binary: reads what was typed, runs it, and turns the outcome into an exit code.

mod cli;
mod command;
#[cfg(test)]
mod documents;
mod exit;
mod render;
mod units;

use std::process::ExitCode;

fn main() -> ExitCode {
    exit::code(cli::Cli::read().map_err(Into::into).and_then(command::run))
}
