//! `sockkit completions` and `sockkit man`: what the command line says about itself, in the forms of shells and of
//! man(1).

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::command::output;
use crate::exit::{self};

pub(crate) fn shell(args: &CompletionsArgs) -> Result<()> {
    output::print(&script(args.shell))?;
    Ok(())
}

pub(crate) fn man(args: &ManArgs) -> Result<()> {
    output::print(&page(args.command.as_deref())?)?;
    Ok(())
}

/// The completion script of a shell.
pub(crate) fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sockkit", &mut script);
    script
}

/// The manual page of sockkit, or of one of its commands, as troff. One page a command, the way git does it: `man
/// sockkit-serve` finds what `sockkit serve --help` says.
pub(crate) fn page(command: Option<&str>) -> Result<Vec<u8>> {
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    let mut command = match command {
        None => cli,
        Some(name) => {
            cli.find_subcommand(name).with_context(|| format!("no command is called {name:?}"))?.clone()
        }
    };
    let notes = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    // They follow below, laid out: clap_mangen would run their lines together.
    command = command.after_help(None::<&str>).after_long_help(None::<&str>);
    let mut page = Vec::new();
    Man::new(command)
        // A blank: an empty date would be no argument at all, and the others would move up.
        .date(" ")
        .source(concat!("sockkit ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands")
        .render(&mut page)?;
    let mut end = notes_section(&notes.unwrap_or_default().replace(exit::TABLE, ""));
    end.extend([exit_status()]);
    end.to_writer(&mut page)?;
    Ok(page)
}

/// What stands below the options in the long help. A paragraph with an indented line is a table or an example and keeps
/// its lines; the others are filled.
fn notes_section(notes: &str) -> Roff {
    let mut roff = Roff::new();
    if notes.trim().is_empty() {
        return roff;
    }
    roff.control("SH", ["NOTES"]);
    for paragraph in notes.trim().split("\n\n") {
        roff.control("PP", []);
        let keeps_lines = paragraph.lines().any(|line| line.starts_with(' '));
        if keeps_lines {
            roff.control("nf", []);
        }
        for line in paragraph.lines() {
            roff.text([roman(line)]);
        }
        if keeps_lines {
            roff.control("fi", []);
        }
    }
    roff
}

fn exit_status() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in exit::rows() {
        roff.control("TP", []).text([roman(code)]).text([roman(meaning)]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn notes_keep_their_lines_where_they_are_laid_out() {
        let notes = notes_section("Examples:\n  one  1\n  two  2\n\nWords that\nflow.\n\n").to_roff();
        let body = notes.split_once(".SH NOTES\n").map(|(_, body)| body);
        assert_eq!(body, Some(".PP\n.nf\nExamples:\n  one  1\n  two  2\n.fi\n.PP\nWords that\nflow.\n"));
        assert_eq!(notes_section("\n\n").to_roff(), Roff::new().to_roff());
    }

    #[test]
    fn every_shell_has_a_script_that_knows_every_command() {
        for &shell in Shell::value_variants() {
            let script = String::from_utf8(script(shell)).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }

    #[test]
    fn every_command_has_a_page_and_nothing_else_has() {
        for command in Cli::command().get_subcommands() {
            let page = String::from_utf8(page(Some(command.get_name())).unwrap()).unwrap();
            assert!(page.contains(&format!("sockkit\\-{} ", command.get_name())), "{page}");
            assert!(page.contains("EXIT STATUS"), "{page}");
        }
        assert!(page(Some("dance")).is_err());
    }
}
