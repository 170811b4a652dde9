//! What the commands do.

mod bench;
mod compare;
pub(crate) mod completions;
mod connect;
mod document;
mod engine;
mod file;
mod info;
mod measure;
mod open;
mod output;
mod outputs;
mod ping;
mod report;
mod screen;
mod serve;
mod signals;

use anyhow::Result;

use crate::cli::{Cli, Command};

pub(crate) fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Connect(args) => connect::run(*args),
        Command::Bench(args) => bench::run(&args),
        Command::Compare(args) => compare::run(*args),
        Command::Report(args) => report::run(&args),
        Command::Ping(args) => ping::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Completions(args) => completions::shell(&args),
        Command::Man(args) => completions::man(&args),
    }
}
