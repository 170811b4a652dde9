//! Figures with a minus, as in `--timeout -3s`.
//!
//! clap takes such a word for an option and advises to write `-- -3s`, which is of no use. Behind an option that wants a
//! value it is the value, and what is wrong with it is said by whoever reads the value. So the command line is settled
//! before clap sees it, as for [outputs](super::outputs): `--timeout -3s` becomes `--timeout=-3s`. To let every option
//! take words with a hyphen would be simpler, but then one without its value takes the next option for it.

use std::ffi::{OsStr, OsString};
use std::mem;

use clap::{Arg, Command};

/// The words of the command line, with each figure that has a minus joined to the option before it.
pub(super) fn settle(cli: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let Some(command) = words.get(1).and_then(|name| cli.find_subcommand(name)) else { return words };
    let mut settled: Vec<OsString> = Vec::new();
    let mut is_over = false;
    for word in words {
        is_over |= word == "--";
        match settled.last_mut().filter(|last| !is_over && is_negative(&word) && wants_value(command, last)) {
            Some(option) => {
                let name = mem::take(option);
                *option = [name.as_os_str(), OsStr::new("="), &word].into_iter().collect();
            }
            None => settled.push(word),
        }
    }
    settled
}

/// A minus and a digit; no option is called like that.
fn is_negative(word: &OsStr) -> bool {
    matches!(word.as_encoded_bytes(), [b'-', b'0'..=b'9' | b'.', ..])
}

/// Whether a word is an option that cannot be without a value, and has none yet.
fn wants_value(command: &Command, word: &OsStr) -> bool {
    let is_called = |arg: &Arg, word: &str| match word.strip_prefix("--") {
        Some(long) => arg.get_long_and_visible_aliases().is_some_and(|names| names.contains(&long)),
        None => arg.get_short().is_some_and(|short| word == format!("-{short}")),
    };
    let has_value = |arg: &Arg| arg.get_num_args().is_some_and(|values| values.min_values() == 1);
    let mut arguments = command.get_arguments().filter(|arg| has_value(arg));
    word.to_str().is_some_and(|word| arguments.any(|arg| is_called(arg, word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_figure_with_a_minus_belongs_to_the_option_before_it() {
        for (line, settled) in [
            ("ping -c -1 udp://:7", "ping -c=-1 udp://:7"),
            ("ping --timeout -3s", "ping --timeout=-3s"),
            ("compare --threshold -5% tcp", "compare --threshold=-5% tcp"),
            ("connect -m -.5 --tcp", "connect -m=-.5 --tcp"),
            ("compare --timeout --udp", "compare --timeout --udp"),
            ("compare --quick -5", "compare --quick -5"),
            ("compare --tcp -5", "compare --tcp -5"),
            ("ping -- --timeout -5", "ping -- --timeout -5"),
            ("dance --timeout -5", "dance --timeout -5"),
        ] {
            let words = format!("sockkit {line}").split(' ').map(OsString::from).collect();
            let found = settle(&Cli::whole(), words).join(OsStr::new(" "));
            assert_eq!(found, *format!("sockkit {settled}"));
        }
    }
}
