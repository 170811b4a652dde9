//! What was typed. Reading it touches nothing; `command` decides what it means.

mod connect;
mod serve;
mod targets;

use clap::{Args, Parser, Subcommand};

pub(crate) use connect::{ConnectArgs, Expectation, Framing};
pub(crate) use serve::{ServeArgs, ServiceName};
pub(crate) use targets::{OneTarget, ServiceTargets};

use crate::exit;

/// Serve and connect over TCP, UDP and Unix sockets: one tool, the same verbs for every transport.
#[derive(Debug, Parser)]
#[command(name = "sockkit", version, max_term_width = 100, after_help = exit::TABLE)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Echo, greet or answer on any mix of transports at once
    Serve(Box<ServeArgs>),
    /// Talk to a server: stdin goes to it, what it says to stdout
    Connect(Box<ConnectArgs>),
    /// Tell what this machine has: transports, limits, io_uring
    Info(InfoArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// Print the manual page, as troff
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
