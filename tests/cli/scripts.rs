//! The comparisons that users script, each run as it stands in `scripts/`, as briefly as it can be.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sockkit_stats::result::Document;
use sockkit_tests::{need_tool, run_to_end};

use crate::{SOCKKIT, parts};

/// A script with this binary and with this directory for what it writes.
fn script(name: &str, directory: &Path) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let mut command = Command::new(scripts.join(name));
    command.env("SOCKKIT", SOCKKIT.path()).current_dir(directory);
    command
}

/// Runs it with short rounds. Its code, the result that it prints, and what it says.
#[track_caller]
fn result(mut command: Command) -> (Option<i32>, Vec<Document>, String) {
    command.args(["--blocks=6", "--duration=20ms", "--warmup=5ms", "--json"]);
    let output: Output = run_to_end(command, b"");
    let (code, stdout, stderr) = parts(&output);
    let documents = serde_json::Deserializer::from_str(&stdout).into_iter().collect::<Result<_, _>>();
    match documents {
        Ok(documents) => (code, documents, stderr),
        Err(error) => panic!("{code:?}, {error}: {stdout}{stderr}"),
    }
}

#[test]
fn transports_over_sizes_writes_a_page() {
    need_tool!("bash");
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = script("transports-over-sizes", directory.path());
    command.env("SIZES", "64,1KiB").env("BUDGET", "20s").args(["tcp", "unix"]);
    let (code, documents, stderr) = result(command);
    assert_eq!((code, &*stderr), (Some(0), ""));
    let arms: Vec<_> = documents[0].arms.iter().map(|arm| (&*arm.target, arm.size)).collect();
    assert_eq!(arms, [("tcp", 64), ("unix", 64), ("tcp", 1024), ("unix", 1024)]);
    let page = fs::read_to_string(directory.path().join("transports-over-sizes.html")).expect("a page");
    assert!(page.contains("<html") || page.contains("<!DOCTYPE html>"), "{page}");
}

#[test]
fn local_against_remote_has_our_own_server_first() {
    need_tool!("bash");
    let directory = tempfile::tempdir().expect("a directory");
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0"]);
    let mut command = script("local-against-remote", directory.path());
    command.args([server.url("tcp"), "--budget=20s"]);
    let (code, documents, stderr) = result(command);
    assert_eq!((code, &*stderr), (Some(0), ""));
    let arms: Vec<_> = documents[0].arms.iter().map(|arm| (&*arm.target, arm.embedded)).collect();
    assert_eq!(arms, [("tcp", true), (server.url("tcp"), false)]);
    let (code, _, usage) = parts(&run_to_end(script("local-against-remote", directory.path()), b""));
    assert!(code == Some(2) && usage.starts_with("usage: local-against-remote "), "{usage}");
}

/// The same server before and after, and one that takes its time.
#[test]
fn before_and_after_fails_when_the_server_got_slower() {
    need_tool!("bash");
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("s");
    let address = format!("unix:{}", socket.display());
    let server = format!("{} serve {address}", SOCKKIT.path().display());
    let slower = format!("{server} --fault delay=5ms");
    for (after, expected) in [(&server, 0), (&slower, 1)] {
        let mut command = script("before-and-after", directory.path());
        command.args([&address, &server, after]).args(["--budget=20s", "--threshold=100%"]);
        let (code, documents, stderr) = result(command);
        assert_eq!(code, Some(expected), "{stderr}");
        assert_eq!(documents.len(), 2);
        assert!(documents[1].verdicts.iter().all(|verdict| verdict.against_index.is_none()));
        assert_eq!(stderr.contains("is slower than it was in rate_per_s"), expected == 1, "{stderr}");
        assert!(!socket.exists(), "the server was ended in good order");
        assert!(directory.path().join("before.json").exists());
    }
}
