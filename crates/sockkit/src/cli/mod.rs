//! What was typed. Reading it touches nothing; `command` decides what it means.

mod bench;
mod compare;
mod connect;
mod fault;
mod minus;
mod outputs;
mod ping;
mod promise;
mod report;
mod serve;
mod targets;
mod workload;

use std::ffi::OsString;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use bench::BenchArgs;
pub(crate) use compare::{CompareArgs, FailIf, SavedArgs, Typed};
#[cfg(test)]
pub(crate) use connect::regex;
pub(crate) use connect::{ConnectArgs, Expectation, Framing};
pub(crate) use fault::{Amount, FaultSpec};
pub(crate) use outputs::{OutputArgs, Place};
pub(crate) use ping::PingArgs;
pub(crate) use promise::{Figure, Promise, Term};
pub(crate) use report::ReportArgs;
pub(crate) use serve::{EngineName, ServeArgs, ServiceName};
pub(crate) use targets::{BenchSubjects, OneTarget, PingTarget, ServiceTargets, Subject, Subjects};
pub(crate) use workload::{ModeName, Placement, SocketArgs, VerifyName, WorkloadArgs};

use crate::exit;

/// Serve and connect over TCP, UDP and Unix sockets: one tool, the same verbs for every transport.
#[derive(Debug, Parser)]
#[command(name = "sockkit", version, max_term_width = 100, after_help = exit::TABLE)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// What the process was called with.
    ///
    /// # Errors
    /// What is wrong with it, or the help that it asks for.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        Self::understand(std::env::args_os().collect())
    }

    /// What a command line meant that was written down, if it still means anything.
    pub(crate) fn reread(words: Vec<String>) -> Option<Self> {
        Self::understand(words.into_iter().map(Into::into).collect()).ok()
    }

    /// The command line with what each command does, and its options: [`CommandFactory::command`] has names only.
    pub(crate) fn whole() -> clap::Command {
        let mut cli = Self::command();
        cli.get_subcommands_mut().for_each(clap::Command::build);
        cli
    }

    /// The words of a command line that measures, without those that say where the result goes: who repeats it is to write
    /// over nothing.
    pub(crate) fn without_outputs(words: Vec<OsString>) -> Vec<OsString> {
        outputs::left_out(&Self::for_command_of(&words), words)
    }

    /// As [`Cli::whole`], if need be with the options of the command alone that is named.
    fn for_command_of(words: &[OsString]) -> clap::Command {
        let mut cli = Self::command();
        // To list the options of the others would take longer than a greeting. Whoever names none may want help, which
        // tells of all.
        match words.get(1).and_then(|name| cli.find_subcommand_mut(name)) {
            Some(named) => named.build(),
            None => cli = Self::whole(),
        }
        cli
    }

    fn understand(words: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut cli = Self::for_command_of(&words);
        let words = outputs::settle(&cli, minus::settle(&cli, words));
        let mut matches = cli.try_get_matches_from_mut(words)?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut cli))
    }
}

/// Each is described where its arguments are; a word here would hide that.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    Serve(Box<ServeArgs>),
    Connect(Box<ConnectArgs>),
    Ping(Box<PingArgs>),
    Bench(Box<BenchArgs>),
    Compare(Box<CompareArgs>),
    Report(Box<ReportArgs>),
    Info(InfoArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Tell what this machine has: transports, limits, io_uring
///
/// Everything is asked by trying it; what is missing comes with its likely cause, and a setting that cannot be read
/// is unknown with the reason.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Print one JSON object on one line
    ///
    /// Its members: `version`; `host`; `kernel` {`name`, `release`, `machine`}; `transports`, a list of {`scheme`,
    /// `available`, `why_not`}; `io_uring` {`available`, `why_not`}; `descriptors` {`soft`, `hard`}, where null is
    /// unlimited; `sysctls`, each a number, a list of numbers or null; `unknown`, which says for each name that is
    /// missing above why it is.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print the completion script of a shell
///
/// bash: `sockkit completions bash > ~/.local/share/bash-completion/completions/sockkit`; zsh: into a file called
/// `_sockkit` in a directory of `$fpath`; fish: `~/.config/fish/completions/sockkit.fish`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    pub(crate) shell: clap_complete::Shell,
}

/// Print a manual page, as troff
///
/// Without a command it is sockkit(1), with one that command's own page, such as sockkit-serve(1). Read one with
/// `sockkit man serve | man -l -`; install one with `sockkit man serve > /usr/local/share/man/man1/sockkit-serve.1`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Whose page; without it the page of sockkit itself
    #[arg(value_parser = PAGES)]
    pub(crate) command: Option<String>,
}

/// The commands that have a page: all of them.
const PAGES: [&str; 9] =
    ["serve", "connect", "ping", "bench", "compare", "report", "info", "completions", "man"];

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_page() {
        let cli = super::Cli::command();
        assert!(cli.get_subcommands().map(clap::Command::get_name).eq(super::PAGES));
    }
}
