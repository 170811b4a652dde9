//! Documents that are kept beside the code and must say the same: help texts, manual pages, completion scripts and the
//! schema of results, under `docs/`, and the tables of README.md.
//!
//! The interface cannot drift unseen: a change of a flag changes a file, and the file is in the commit. After a change
//! that is meant, run `scripts/update-snapshots`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use sockkit_engine::FaultCount;
use sockkit_engine::faults::Fault;

use crate::cli::Cli;
use crate::command::completions;
use crate::exit;
use crate::render::csv::csv;
use crate::render::json::json;
use crate::render::markdown::markdown;
use crate::render::text::{Screen, text};
use crate::render::view::samples;

const UPDATE: &str = "UPDATE_SNAPSHOTS";

const SCHEMA: &str = "docs/sockkit.result-1.schema.json";

#[test]
fn help_is_as_documented() {
    let mut cli = Cli::command().term_width(100);
    cli.build();
    let mut files = BTreeMap::from([("sockkit.txt".to_owned(), help(&mut cli.clone()))]);
    for command in cli.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        files.insert(format!("sockkit-{}.txt", command.get_name()), help(command));
    }
    compare("docs/cli", &files);
}

#[test]
fn manual_pages_are_as_documented() {
    let mut files = BTreeMap::from([("sockkit.1".to_owned(), completions::page(None).unwrap())]);
    for command in Cli::command().get_subcommands() {
        let page = completions::page(Some(command.get_name())).unwrap();
        files.insert(format!("sockkit-{}.1", command.get_name()), page);
    }
    compare("docs/man", &files);
}

#[test]
fn completions_are_as_documented() {
    let file = |name: &str, shell| (name.to_owned(), completions::script(shell));
    let files =
        [file("sockkit.bash", Shell::Bash), file("_sockkit", Shell::Zsh), file("sockkit.fish", Shell::Fish)];
    compare("docs/completions", &BTreeMap::from(files));
}

/// The schema is published: who reads results with it must not find that it has changed under them.
#[test]
fn the_schema_of_results_is_as_documented() {
    let mut schema = serde_json::to_string_pretty(&sockkit_stats::result::json_schema()).unwrap();
    schema.push('\n');
    let path = root().join(SCHEMA);
    if std::env::var_os(UPDATE).is_some() {
        return fs::write(path, schema).unwrap();
    }
    assert!(
        fs::read_to_string(path).is_ok_and(|documented| documented == schema),
        "{SCHEMA} no longer describes what sockkit writes; if that is meant, run scripts/update-snapshots"
    );
}

#[test]
fn the_readme_has_the_table_of_exit_codes() {
    let readme = readme();
    let rows: Vec<_> = exit::rows().iter().map(|(code, meaning)| format!("| {code} | {meaning} |")).collect();
    assert_eq!(rows.len(), 7);
    assert!(
        readme.contains(&rows.join("\n")),
        "README.md lacks the table of exit codes:\n{}",
        rows.join("\n")
    );
}

/// A limit that is not in the README's table is one that nobody sets; a default that differs from it misleads.
#[test]
fn the_readme_has_every_limit_with_its_default() {
    let readme = readme();
    let mut cli = Cli::command();
    cli.build();
    let serve = cli.find_subcommand("serve").unwrap();
    let limits =
        serve.get_arguments().filter(|arg| matches!(arg.get_help_heading(), Some("Limits" | "Datagrams")));
    for limit in limits {
        let start = format!("| `--{}` | ", limit.get_long().unwrap());
        let row = readme.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("README.md has no line that begins with {start:?}"));
        for default in limit.get_default_values().iter().filter(|_| limit.get_action().takes_values()) {
            let default = default.to_string_lossy();
            assert!(
                row[start.len()..].starts_with(&*default),
                "the default is {default}, but README.md has {row}"
            );
        }
    }
}

/// What people see of results, at the widths of terminals. The files are the place to look at a change of it.
#[test]
fn renderings_are_as_documented() {
    let screen = |width| Screen { width, colour: false, unicode: true };
    let mut files = BTreeMap::new();
    for (name, document) in [
        ("comparison", samples::comparison()),
        ("sweep", samples::sweep()),
        ("open-loop", samples::open_loop()),
        ("ping", samples::ping()),
        ("all-null", samples::all_null()),
    ] {
        for width in [60, 80, 120] {
            files.insert(format!("{name}-{width}.txt"), text(&document, &screen(width)).into_bytes());
        }
        files.insert(format!("{name}.md"), markdown(&document).into_bytes());
        files.insert(format!("{name}.csv"), csv(&document).into_bytes());
        files.insert(format!("{name}.json"), json(&document).into_bytes());
    }
    let ascii = Screen { width: 80, colour: true, unicode: false };
    files.insert("comparison-ascii-colour.txt".into(), text(&samples::comparison(), &ascii).into_bytes());
    compare("tests/renderings", &files);
}

#[test]
fn the_readme_has_every_fault_and_how_it_is_counted() {
    let readme = readme();
    for fault in Fault::ALL {
        let start = format!("| `{}=", fault.name());
        assert!(readme.lines().any(|line| line.starts_with(&start)), "README.md has no row {start}");
    }
    for count in FaultCount::ALL.map(FaultCount::name) {
        let is_told =
            |line: &str| line.split(" | ").nth(3).is_some_and(|cell| cell.starts_with(&format!("`{count}`")));
        assert!(readme.lines().any(is_told), "README.md does not say what counts as {count}");
    }
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What `--help` prints at a width of 100 columns, less the blanks at line ends that clap leaves.
fn help(command: &mut Command) -> Vec<u8> {
    let text = command.render_long_help().to_string();
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    (lines.join("\n") + "\n").into_bytes()
}

/// The folder holds exactly these files with exactly this in them; with `UPDATE_SNAPSHOTS` set it is made so.
fn compare(folder: &str, files: &BTreeMap<String, Vec<u8>>) {
    let path = root().join(folder);
    if std::env::var_os(UPDATE).is_some() {
        fs::remove_dir_all(&path).or_else(|error| if path.exists() { Err(error) } else { Ok(()) }).unwrap();
        fs::create_dir_all(&path).unwrap();
        for (name, content) in files {
            fs::write(path.join(name), content).unwrap();
        }
        return;
    }
    let mut differ: Vec<_> = files
        .iter()
        .filter(|(name, content)| fs::read(path.join(name)).ok().as_ref() != Some(content))
        .map(|(name, _)| name.clone())
        .collect();
    let entries = fs::read_dir(&path).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    differ.extend(names.filter(|name| !files.contains_key(name)));
    assert!(
        differ.is_empty(),
        "{folder} no longer says what sockkit says: {}; if that is meant, run scripts/update-snapshots",
        differ.join(", ")
    );
}
