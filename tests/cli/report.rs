//! `sockkit report`: saved results again, in every form and to every place. The results are those in tests/renderings,
//! which has what every form has to look like too.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use sockkit_tests::{need_tool, run_to_end};
use tempfile::TempDir;

use crate::{SOCKKIT, parts};

/// A file in tests/renderings.
fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/renderings").join(name)
}

fn expected(name: &str) -> String {
    fs::read_to_string(sample(name)).expect("a rendering")
}

/// `sockkit report` where letters may be more than ASCII.
fn report(args: &[&str]) -> Command {
    let mut command = SOCKKIT.command(&["report"]);
    command.args(args).env("LC_ALL", "C.UTF-8").env_remove("COLUMNS");
    command
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    parts(&run_to_end(report(args), b""))
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Without an output it is the table, as wide as a pipe is thought to be.
#[test]
fn every_result_has_a_table() {
    for name in ["comparison", "sweep", "open-loop", "ping", "all-null"] {
        let (code, stdout, stderr) = run(&[utf8(&sample(&format!("{name}.json")))]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{name}");
        assert_eq!(stdout, expected(&format!("{name}-80.txt")), "{name}");
    }
}

/// Whoever pipes it may say how wide it is to be.
#[test]
fn a_pipe_is_as_wide_as_it_is_told() {
    for (columns, name) in [("120", "sweep-120.txt"), ("0", "sweep-80.txt"), ("x", "sweep-80.txt")] {
        let mut command = report(&[utf8(&sample("sweep.json"))]);
        command.env("COLUMNS", columns);
        let (code, stdout, _) = parts(&run_to_end(command, b""));
        assert_eq!((code, stdout), (Some(0), expected(name)), "{columns}");
    }
}

/// One document on stdout, and nothing else there.
#[test]
fn a_form_may_go_to_stdout() {
    let result = sample("comparison.json");
    let result = utf8(&result);
    for (option, name) in [("--json", "json"), ("--csv", "csv"), ("--markdown", "md")] {
        let wanted = (Some(0), expected(&format!("comparison.{name}")), String::new());
        let equals = format!("{option}=-");
        for args in [[result, option], [option, result], [&equals, result]] {
            assert_eq!(run(&args), wanted, "{args:?}");
        }
    }
    let (code, stdout, _) = run(&[result, "--html"]);
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("<!DOCTYPE html>") && stdout.trim_end().ends_with("</html>"), "{stdout:.200}");
}

/// Several files at once, and the table beside them.
#[test]
fn files_are_written_beside_the_table() {
    let directory = directory();
    let result = sample("comparison.json");
    let path = |name: &str| directory.path().join(name);
    // There already, behind a link, and longer than what comes: nothing of it stays, and the link does.
    fs::write(path("old"), "x".repeat(1 << 20)).expect("write");
    symlink("old", path("r.csv")).expect("link");
    let (json, csv, html) = (path("r.json"), path("r.csv"), path("r.html"));
    let args = [utf8(&result), "--json", utf8(&json), "--csv", utf8(&csv), "--html", utf8(&html)];
    assert_eq!(run(&args), (Some(0), expected("comparison-80.txt"), String::new()));
    let read = |name: &str| fs::read_to_string(path(name)).expect("a file");
    assert_eq!((read("r.json"), read("old")), (expected("comparison.json"), expected("comparison.csv")));
    assert!(read("r.html").starts_with("<!DOCTYPE html>"));
    assert!(fs::symlink_metadata(path("r.csv")).expect("a link").is_symlink());
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .expect("read")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["old", "r.csv", "r.html", "r.json"]);
}

#[test]
fn a_result_may_come_from_stdin() {
    let input = fs::read(sample("ping.json")).expect("a result");
    for (args, name) in [
        (&["-"][..], "ping-80.txt"),
        (&["-", "--json", "/dev/stdout"], "ping.json"),
        (&["--markdown", "-"], "ping.md"),
    ] {
        let (code, stdout, stderr) = parts(&run_to_end(report(args), &input));
        assert_eq!((code, stdout, stderr.as_str()), (Some(0), expected(name), ""), "{args:?}");
    }
}

/// What cannot be read says which file, and where in it.
#[test]
fn what_is_no_result_is_refused() {
    let directory = directory();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("write");
        utf8(&path).to_owned()
    };
    let whole = expected("ping.json");
    let cases = [
        (file("empty", ""), 2, "it is empty"),
        (file("text", "{\n  \"schema\":\n}"), 2, "it is no JSON: expected value at line 3 column 1"),
        (file("cut", &whole[..whole.len() / 2]), 2, "at line "),
        (
            file("other", "{\"schema\": \"sockkit.result/2\"}"),
            2,
            "its schema is \"sockkit.result/2\", and wanted is",
        ),
        (file("list", "[1, 2]"), 2, "it is no sockkit.result/1"),
        (
            file("part", "{\"schema\": \"sockkit.result/1\"}"),
            2,
            "missing field `command` at line 1 column 30",
        ),
        (
            file("negative", &whole.replace("\"sent\": 10", "\"sent\": -10")),
            2,
            "invalid value: integer `-10`",
        ),
        (file("huge", &whole.replace("\"sent\": 10", "\"sent\": 1e999")), 2, "number out of range at line"),
        (format!("{}/missing", utf8(directory.path())), 6, "no such file or directory"),
        (utf8(directory.path()).to_owned(), 6, "is a directory"),
    ];
    for (path, expected, cause) in cases {
        let (code, stdout, stderr) = run(&[&path, "--json"]);
        assert_eq!((code, stdout.as_str()), (Some(expected), ""), "{path}: {stderr}");
        assert!(stderr.starts_with(&format!("sockkit: cannot read {path}: ")), "{stderr}");
        assert!(stderr.contains(cause) && stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn two_outputs_do_not_share_a_place() {
    let result = sample("ping.json");
    let result = utf8(&result);
    for args in [&[result, "--json", "--csv"][..], &[result, "--json", "-", "--html", "/dev/stdout"]] {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(stderr.contains("only one of them can go to stdout"), "{stderr}");
    }
    assert_eq!(run(&[]).0, Some(2));
    assert_eq!(run(&["-", "-"]).0, Some(2));
}

/// A result is not lost to a slip, nor to a file that cannot be written.
#[test]
fn what_was_there_stays_when_something_is_wrong() {
    let directory = directory();
    let own = directory.path().join("own.json");
    fs::copy(sample("ping.json"), &own).expect("copy");
    let same = format!("{}/./own.json", utf8(directory.path()));
    let (code, stdout, stderr) = run(&[utf8(&own), "--csv", &same]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("it is one of the results that are read"), "{stderr}");
    assert_eq!(fs::read(&own).expect("read"), fs::read(sample("ping.json")).expect("read"));

    let nowhere = directory.path().join("no/r.json");
    let (code, stdout, stderr) = run(&[utf8(&own), "--json", utf8(&nowhere)]);
    let told = format!("sockkit: cannot write {}: no such file or directory\n", nowhere.display());
    assert_eq!((code, stdout.as_str(), stderr), (Some(6), "", told));

    let (code, stdout, stderr) = run(&[utf8(&own), "--json", "/dev/full"]);
    assert_eq!(
        (code, stderr.as_str()),
        (Some(6), "sockkit: cannot write /dev/full: no space left on device\n")
    );
    assert_eq!(stdout, expected("ping-80.txt"), "the table is not lost with the file");
}

/// Whoever reads no more has had enough; a disk that is full is another matter.
#[test]
fn a_closed_stdout_is_quiet() {
    let result = sample("sweep.json");
    let with_stdout = |stdout: Stdio| -> Output {
        let mut child =
            report(&[utf8(&result)]).stdout(stdout).stderr(Stdio::piped()).spawn().expect("start");
        let status = sockkit_tests::wait_for_exit(&mut child, sockkit_tests::PATIENCE);
        assert!(status.is_some(), "it does not end");
        child.wait_with_output().expect("its end")
    };
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(parts(&with_stdout(writer.into())), (Some(0), String::new(), String::new()));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("open");
    let (code, _, stderr) = parts(&with_stdout(full.into()));
    assert_eq!(code, Some(6));
    assert!(stderr.starts_with("sockkit: cannot write to stdout: "), "{stderr}");
}

#[test]
fn several_results_become_one() {
    let directory = directory();
    let other = directory.path().join("other.json");
    let mut document: Value = serde_json::from_str(&expected("comparison.json")).expect("JSON");
    document["environment"]["kernel"] = "Linux 6.1.0 aarch64".into();
    document["environment"]["host"] = "other".into();
    fs::write(&other, document.to_string()).expect("write");
    let first = sample("comparison.json");
    let (code, stdout, stderr) = run(&[utf8(&first), utf8(&other), "--json"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let merged: Value = serde_json::from_str(&stdout).expect("JSON");
    let (one, both) = (&document["arms"][0], &merged["arms"][0]);
    let twice = |pointer: &str| {
        let [one, both] =
            [one, both].map(|arm| arm.pointer(pointer).and_then(Value::as_f64).expect("a number"));
        assert_eq!(both, 2.0 * one, "{pointer}");
    };
    for pointer in ["/counters/sent", "/counters/received", "/rate_per_s", "/rounds"] {
        twice(pointer);
    }
    let [one, both] = [one, both].map(|arm| arm["rtt_ns"]["p50"]["estimate"].as_f64().expect("a median"));
    assert!((both / one - 1.0).abs() < 0.001, "{one} {both}");
    let warnings = merged["warnings"].to_string();
    assert!(warnings.contains("kernel is Linux 6.18.44 x86_64 in"), "{warnings}");
    assert_eq!(merged["verdicts"], Value::Array(Vec::new()));
    // What was merged is a result like any other.
    let (code, table, _) = parts(&run_to_end(report(&["-"]), stdout.as_bytes()));
    assert_eq!(code, Some(0));
    assert!(table.contains("warning: merged from 2 results"), "{table}");
}

/// What one host measured before and after, or once, is nothing that adds up.
#[test]
fn what_was_not_measured_at_once_is_not_silently_added() {
    let first = sample("comparison.json");
    let (code, stdout, stderr) = run(&[utf8(&first), utf8(&first)]);
    assert_eq!((code, &*stdout), (Some(2), ""));
    assert!(stderr.contains(" are one measurement (host ") && stderr.lines().count() == 1, "{stderr}");

    let directory = directory();
    let after = directory.path().join("after.json");
    let mut document: Value = serde_json::from_str(&expected("comparison.json")).expect("JSON");
    document["environment"]["started"] = "2026-01-03T00:00:00Z".into();
    fs::write(&after, document.to_string()).expect("write");
    let (code, table, stderr) = run(&[utf8(&first), utf8(&after)]);
    assert_eq!((code, &*stderr), (Some(0), ""));
    let warning = table.find("warning: ").expect("a warning");
    let told = format!("warning: {} began when", after.display());
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&table[warning..]).starts_with(&words(&told)), "{table}");
    assert!(words(&table).contains("counters and rates are sums over them"), "{table}");
}

#[test]
fn letters_and_colours_are_those_that_the_terminal_has() {
    let result = sample("comparison.json");
    let mut ascii = report(&[utf8(&result)]);
    ascii.env("LC_ALL", "C");
    let (code, stdout, _) = parts(&run_to_end(ascii, b""));
    assert!(code == Some(0) && stdout.is_ascii() && stdout.contains("12.3 us +-1.2 %"), "{stdout}");

    let script = need_tool!("script");
    let on_a_terminal = |variables: &[(&str, &str)]| {
        let line =
            format!("stty cols 60 rows 24; '{}' report '{}'", SOCKKIT.path().display(), result.display());
        let mut command = Command::new(&script);
        command.args(["-qec", &line, "/dev/null"]).env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
        command.env_remove("NO_COLOR").envs(variables.iter().copied());
        let (code, stdout, stderr) = parts(&run_to_end(command, b""));
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        stdout.replace("\r\n", "\n")
    };
    let coloured = on_a_terminal(&[]);
    assert!(coloured.contains("\u{1b}[32munix is faster than tcp"), "{coloured}");
    for variables in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        assert_eq!(on_a_terminal(&variables), expected("comparison-60.txt"), "{variables:?}");
    }
}
