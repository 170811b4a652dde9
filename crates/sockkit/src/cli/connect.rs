//! The arguments of `sockkit connect`.

use clap::{Args, ValueEnum};

use super::OneTarget;

/// Talk to a server: stdin goes to it, what it says to stdout
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) target: OneTarget,
}

/// How messages are cut out of stdin, and joined on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framing {
    /// One line a message
    Line,
}
