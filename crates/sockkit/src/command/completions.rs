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

/// What the examples begin with in a help text.
const EXAMPLES: &str = "Examples:\n";

/// The completion script of a shell.
pub(crate) fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::whole(), "sockkit", &mut script);
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
    // As in the help text: clap_mangen would list every option there.
    let usage = command.render_usage().to_string();
    let name = command.get_display_name().unwrap_or("sockkit").to_owned();
    command = command.override_usage(usage.trim_start_matches("Usage: ").to_owned());
    let mut page = Vec::new();
    Man::new(command)
        // A blank: an empty date would be no argument at all, and the others would move up.
        .date(" ")
        .source(concat!("sockkit ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands")
        .render(&mut page)?;
    let notes = notes.unwrap_or_default().replace(exit::TABLE, "");
    let (examples, notes): (Vec<_>, Vec<_>) =
        notes.trim().split("\n\n").partition(|paragraph| paragraph.starts_with(EXAMPLES));
    let examples: Vec<_> = examples.iter().filter_map(|text| text.strip_prefix(EXAMPLES)).collect();
    let mut end = section("NOTES", &notes);
    end.extend([exit_status(), section("EXAMPLES", &examples), see_also(&name)]);
    end.to_writer(&mut page)?;
    Ok(page)
}

/// Paragraphs of what stands below the options in the long help. One with an indented line is a table or an example and
/// keeps its lines; the others are filled.
fn section(title: &str, paragraphs: &[&str]) -> Roff {
    let mut roff = Roff::new();
    if paragraphs.iter().all(|paragraph| paragraph.trim().is_empty()) {
        return roff;
    }
    roff.control("SH", [title]);
    for paragraph in paragraphs {
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

/// The other pages, and those of the system that say what ours leave out.
fn see_also(name: &str) -> Roff {
    let cli = Cli::command();
    let ours = cli.get_subcommands().map(|command| format!("sockkit-{}", command.get_name()));
    let mut pages: Vec<_> = std::iter::once("sockkit".to_owned())
        .chain(ours)
        .filter(|page| page != name)
        .map(|page| format!("{page}(1)"))
        .collect();
    pages.extend(["socket(7)", "ip(7)", "unix(7)", "services(5)"].map(str::to_owned));
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]).text([roman(pages.join(", "))]);
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
        let notes = section("NOTES", &["Table:\n  one  1\n  two  2", "Words that\nflow."]).to_roff();
        let body = notes.split_once(".SH NOTES\n").map(|(_, body)| body);
        assert_eq!(body, Some(".PP\n.nf\nTable:\n  one  1\n  two  2\n.fi\n.PP\nWords that\nflow.\n"));
        assert_eq!(section("NOTES", &[""]).to_roff(), Roff::new().to_roff());
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
            let (_, synopsis) = page.split_once(".SH SYNOPSIS\n").unwrap();
            assert!(synopsis.lines().next().unwrap().len() < 80, "{page}");
            let (_, others) = page.split_once(".SH \"SEE ALSO\"\n").unwrap();
            assert!(!others.contains(&format!("sockkit\\-{}(1)", command.get_name())), "{page}");
        }
        assert!(page(Some("dance")).is_err());
    }
}
