//! Where a result goes: the options that `bench`, `compare` and `report` share.
//!
//! Each of them takes an optional FILE, and stands among targets that are words too: in `compare --json tcp udp` the
//! word behind `--json` is a target, in `compare --json r.json` it is a file. clap cannot be told that, so the command
//! line is settled before clap sees it: [`settle`] turns `--json r.json` into `--json=r.json`, and `--json tcp` into
//! `--json=- tcp`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Command, ValueHint};
use sockkit_core::TRANSPORTS;

/// The names of the options below.
const NAMES: [&str; 4] = ["json", "csv", "markdown", "html"];

/// Others that say where a result goes: one with a FILE, and one without.
const SAVE: &str = "--save";
const LINES: &str = "--json-lines";

/// What stands for stdout in place of a file.
const STDOUT: &str = "-";

/// The forms in which a result may be wanted. Without any of them a table goes to stdout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Write the result as JSON (sockkit.result/1); without FILE, or with -, to stdout in place of the table
    ///
    /// The word behind it is FILE unless it reads as a target: --json tcp is one, --json=tcp a file. Files are written
    /// whole or not at all. Only one of --json, --csv, --markdown and --html can go to stdout. The table is as wide as the
    /// terminal; in a pipe as COLUMNS in the environment says, else 80 columns.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STDOUT,
          value_parser = place(), value_hint = ValueHint::FilePath)]
    pub(crate) json: Option<Place>,

    /// The same as CSV: a line for each arm, figures in ns and per second, empty where nothing is known
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STDOUT,
          value_parser = place(), value_hint = ValueHint::FilePath)]
    pub(crate) csv: Option<Place>,

    /// The same as Markdown: the tables of the terminal for GitHub, with the environment
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STDOUT,
          value_parser = place(), value_hint = ValueHint::FilePath)]
    pub(crate) markdown: Option<Place>,

    /// The same as a page for a browser, self-contained: percentile curves, sweeps, tables
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STDOUT,
          value_parser = place(), value_hint = ValueHint::FilePath)]
    pub(crate) html: Option<Place>,
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Stdout,
    File(PathBuf),
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Self {
        match path.to_str() {
            // A file of that name would be opened anew, and not be the stdout that others write to.
            Some(STDOUT | "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => Self::Stdout,
            _ => Self::File(path),
        }
    }
}

/// Reads a FILE, or `-`.
pub(super) fn place() -> impl TypedValueParser<Value = Place> {
    PathBufValueParser::new().map(Place::from)
}

/// The words of the command line, with those that are the FILE of an output behind a `=`, so that nobody takes them, or
/// what follows an output without one, for anything else.
///
/// A word behind an output is its FILE unless it is an option, reads as a target, or is the last word that could be one
/// of the RESULTs which `report` cannot do without.
pub(crate) fn settle(cli: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let command = words.get(1).and_then(|name| cli.find_subcommand(name));
    let Some(command) = command.filter(|command| NAMES.iter().any(|name| takes_file(command, name))) else {
        return words;
    };
    let wants_targets = command.get_arguments().any(|arg| arg.get_long() == Some(TRANSPORTS[0].scheme()));
    let mut settled: Vec<OsString> = Vec::new();
    // Where in `settled` a file was taken, and how many words are neither options nor taken.
    let (mut last_taken, mut others) = (None, 0);
    let mut rest = words.into_iter();
    settled.extend(rest.by_ref().take(2));
    let mut rest = rest.peekable();
    while let Some(word) = rest.next() {
        if word == "--" {
            others += rest.len();
            settled.push(word);
            settled.extend(rest.by_ref());
            break;
        }
        if !is_output(command, &word) {
            others += usize::from(!is_option(&word));
            settled.push(word);
            continue;
        }
        let is_other = |next: &OsString| is_option(next) || (wants_targets && reads_as_target(next));
        let file = rest.next_if(|next| !is_other(next));
        if let Some(file) = &file {
            last_taken = Some((settled.len(), word.clone(), file.clone()));
        }
        settled.push(joined(&word, file.as_deref().unwrap_or(OsStr::new(STDOUT))));
    }
    match last_taken {
        // Nothing is left to report on, so that word was meant.
        Some((place, option, result)) if !wants_targets && others == 0 => {
            settled[place] = joined(&option, OsStr::new(STDOUT));
            settled.push(OsString::from("--"));
            settled.push(result);
        }
        _ => {}
    }
    settled
}

/// The words without all that says where the result goes.
pub(super) fn left_out(cli: &Command, words: Vec<OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut rest = settle(cli, words).into_iter();
    while let Some(word) = rest.next() {
        let name = word.to_str().map_or("", |word| word.split_once('=').map_or(word, |(name, _)| name));
        match name {
            "--" => {
                kept.push(word);
                kept.extend(rest.by_ref());
            }
            SAVE if word == SAVE => drop(rest.next()),
            SAVE | LINES => {}
            _ if name.strip_prefix("--").is_some_and(|name| NAMES.contains(&name)) => {}
            _ => kept.push(word),
        }
    }
    kept
}

/// Whether a command has this output, and not a mere switch of the same name.
fn takes_file(command: &Command, name: &str) -> bool {
    command.get_arguments().any(|arg| {
        let values = arg.get_num_args();
        arg.get_long() == Some(name) && values.is_some_and(|it| it.min_values() == 0 && it.max_values() == 1)
    })
}

fn is_output(command: &Command, word: &OsStr) -> bool {
    let name = word.to_str().and_then(|word| word.strip_prefix("--"));
    name.is_some_and(|name| NAMES.contains(&name) && takes_file(command, name))
}

/// `-` alone is stdin or stdout.
fn is_option(word: &OsStr) -> bool {
    word != STDOUT && word.as_encoded_bytes().starts_with(b"-")
}

/// A scheme alone, something with a known one, or a URL whose scheme is a slip.
fn reads_as_target(word: &OsStr) -> bool {
    let Some(word) = word.to_str() else { return false };
    let scheme = word.split_once(':').map_or(word, |(scheme, _)| scheme);
    word.contains("://") || TRANSPORTS.iter().any(|transport| transport.scheme().eq_ignore_ascii_case(scheme))
}

fn joined(option: &OsStr, file: &OsStr) -> OsString {
    let mut word = option.to_owned();
    word.push("=");
    word.push(file);
    word
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "sockkit")]
    enum Sample {
        Compare {
            targets: Vec<String>,
            #[arg(long, num_args = 0..=1, default_missing_value = "")]
            tcp: Option<String>,
            #[arg(long)]
            save: Option<PathBuf>,
            #[command(flatten)]
            outputs: OutputArgs,
        },
        Report {
            #[arg(required = true)]
            results: Vec<PathBuf>,
            #[command(flatten)]
            outputs: OutputArgs,
        },
        Info {
            #[arg(long)]
            json: bool,
            word: Option<String>,
        },
    }

    fn parse(line: &str) -> Result<Sample, clap::Error> {
        let cli = <Sample as clap::CommandFactory>::command();
        let words = line.split(' ').map(OsString::from).collect();
        Sample::try_parse_from(settle(&cli, words))
    }

    /// The targets or results, and where JSON and CSV go.
    fn meaning(line: &str) -> (Vec<String>, Option<String>, Option<String>) {
        let shown = |place: Option<Place>| {
            place.map(|place| match place {
                Place::Stdout => STDOUT.to_owned(),
                Place::File(path) => path.display().to_string(),
            })
        };
        match parse(line).unwrap() {
            Sample::Compare { targets, outputs, .. } => (targets, shown(outputs.json), shown(outputs.csv)),
            Sample::Report { results, outputs } => {
                let results = results.iter().map(|path| path.display().to_string()).collect();
                (results, shown(outputs.json), shown(outputs.csv))
            }
            Sample::Info { .. } => panic!("{line}"),
        }
    }

    #[test]
    fn a_word_behind_an_output_is_what_its_author_means() {
        for (line, others, json, csv) in [
            ("compare --json r.json", "", "r.json", ""),
            ("compare tcp udp --json", "tcp udp", "-", ""),
            ("compare --json tcp", "tcp", "-", ""),
            ("compare --json tcp udp", "tcp udp", "-", ""),
            ("compare --json TCP", "TCP", "-", ""),
            ("compare --json unix-dgram:@name tcp", "unix-dgram:@name tcp", "-", ""),
            ("compare --json unix:/tmp/s", "unix:/tmp/s", "-", ""),
            ("compare --json tpc://host:7", "tpc://host:7", "-", ""),
            ("compare --json=tcp udp", "udp", "tcp", ""),
            ("compare --json ./tcp udp", "udp", "./tcp", ""),
            ("compare --json /tmp/r tcp", "tcp", "/tmp/r", ""),
            ("compare --json r.json tcp --csv", "tcp", "r.json", "-"),
            ("compare --json --csv r.csv tcp", "tcp", "-", "r.csv"),
            ("compare --json - tcp", "tcp", "-", ""),
            ("compare --json -- tcp", "tcp", "-", ""),
            ("compare --json --tcp", "", "-", ""),
            ("compare --json /dev/stdout", "", "-", ""),
            ("compare --save s.json --json", "", "-", ""),
            ("compare -- --json", "--json", "", ""),
            ("report a.json --json", "a.json", "-", ""),
            ("report a.json b.json --json c.json", "a.json b.json", "c.json", ""),
            ("report --json c.json a.json b.json", "a.json b.json", "c.json", ""),
            ("report --csv a.json", "a.json", "", "-"),
            ("report --json out.json --csv a.json", "a.json", "out.json", "-"),
            ("report --json tcp a.json", "a.json", "tcp", ""),
            ("report --csv -", "-", "", "-"),
            ("report --csv -- a.json", "a.json", "", "-"),
        ] {
            let (found, to_json, to_csv) = meaning(&format!("sockkit {line}"));
            assert_eq!(found.join(" "), others, "{line}");
            assert_eq!(to_json.unwrap_or_default(), json, "{line}");
            assert_eq!(to_csv.unwrap_or_default(), csv, "{line}");
        }
    }

    #[test]
    fn what_is_left_without_outputs_measures_the_same() {
        for (line, left) in [
            ("compare --json r.json --csv=r.csv tcp --save s.json udp", "compare tcp udp"),
            ("compare --save=s.json --json tcp --html", "compare tcp"),
            ("compare tcp --json-lines --json -- --save x", "compare tcp -- --save x"),
            ("compare --tcp --markdown", "compare --tcp"),
            ("info --json word", "info word"),
        ] {
            let cli = <Sample as clap::CommandFactory>::command();
            let words = format!("sockkit {line}").split(' ').map(OsString::from).collect();
            assert_eq!(left_out(&cli, words).join(OsStr::new(" ")), *format!("sockkit {left}"), "{line}");
        }
    }

    #[test]
    fn switches_and_other_commands_are_left_alone() {
        let Sample::Info { json, word } = parse("sockkit info --json file").unwrap() else { panic!() };
        assert_eq!((json, word.as_deref()), (true, Some("file")));
        for line in ["sockkit", "sockkit --help", "sockkit dance --json x"] {
            let cli = <Sample as clap::CommandFactory>::command();
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            assert_eq!(settle(&cli, words.clone()), words);
        }
        assert!(parse("sockkit compare --json= tcp").is_err());
        assert!(parse("sockkit compare --json a --json b").is_err());
        assert!(parse("sockkit report").is_err());
    }

    #[test]
    fn a_switch_is_told_from_an_output() {
        let command = |arg: Arg| Command::new("x").arg(arg);
        assert!(!takes_file(
            &command(Arg::new("json").long("json").action(clap::ArgAction::SetTrue)),
            "json"
        ));
        assert!(!takes_file(&command(Arg::new("json").long("json").num_args(1)), "json"));
        assert!(takes_file(&command(Arg::new("json").long("json").num_args(0..=1)), "json"));
    }
}
