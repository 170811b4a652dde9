//! The comparisons that users script, each run as it stands in `scripts/`, as briefly as it can be.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sockkit_stats::result::Document;
use sockkit_tests::{need_tool, run_to_end, skip};

use crate::{SOCKKIT, parts};

/// Held by a test that loads the machine or measures on it, so that these come one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static MEASURING: Mutex<()> = Mutex::new(());
    MEASURING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A script with this binary and with this directory for what it writes.
fn script(name: &str, directory: &Path) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let mut command = Command::new(scripts.join(name));
    command.env("SOCKKIT", SOCKKIT.path()).current_dir(directory);
    command
}

/// Runs it with rounds of some milliseconds. Its code, the result that it prints, and what it says.
#[track_caller]
fn result(mut command: Command, ms: u64) -> (Option<i32>, Vec<Document>, String) {
    command.args(["--blocks=6", "--warmup=5ms", "--timeout=10s", "--json"]).arg(format!("--duration={ms}ms"));
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
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = script("transports-over-sizes", directory.path());
    command.env("SIZES", "64,1KiB").env("BUDGET", "20s").args(["tcp", "unix"]);
    let (code, documents, stderr) = result(command, 20);
    assert_eq!((code, &*stderr), (Some(0), ""));
    let arms: Vec<_> = documents[0].arms.iter().map(|arm| (&*arm.target, arm.size)).collect();
    assert_eq!(arms, [("tcp", 64), ("unix", 64), ("tcp", 1024), ("unix", 1024)]);
    let page = fs::read_to_string(directory.path().join("transports-over-sizes.html")).expect("a page");
    assert!(page.contains("<html") || page.contains("<!DOCTYPE html>"), "{page}");
}

#[test]
fn local_against_remote_has_our_own_server_first() {
    need_tool!("bash");
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let server = SOCKKIT.serve(&["--tcp", "127.0.0.1:0"]);
    let mut command = script("local-against-remote", directory.path());
    command.args([server.url("tcp"), "--budget=20s"]);
    let (code, documents, stderr) = result(command, 20);
    assert_eq!((code, &*stderr), (Some(0), ""));
    let arms: Vec<_> = documents[0].arms.iter().map(|arm| (&*arm.target, arm.embedded)).collect();
    assert_eq!(arms, [("tcp", true), (server.url("tcp"), false)]);
    let (code, _, usage) = parts(&run_to_end(script("local-against-remote", directory.path()), b""));
    assert!(code == Some(2) && usage.starts_with("usage: local-against-remote "), "{usage}");
}

/// The same server before and after, and a slower one. All of them take their time, so that what a busy machine adds to it
/// makes no difference.
#[test]
fn before_and_after_fails_when_the_server_got_slower() {
    need_tool!("bash");
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("s");
    let address = format!("unix:{}", socket.display());
    let server = format!("{} serve {address} --fault delay=10ms", SOCKKIT.path().display());
    let slower = format!("{} serve {address} --fault delay=100ms", SOCKKIT.path().display());
    for (after, expected) in [(&server, 0), (&slower, 1)] {
        let mut command = script("before-and-after", directory.path());
        command.args([&address, &server, after]);
        // Twice that is less than any command may take.
        command.args(["--connections=16", "--budget=10s", "--threshold=100%"]);
        let (code, documents, stderr) = result(command, 250);
        if stderr.contains(", and a verdict takes 6") {
            assert_ne!(code, Some(0), "what was not judged does not pass: {stderr}");
            skip!("the machine was too busy for the six blocks that a verdict takes");
        }
        assert_eq!(code, Some(expected), "{stderr}");
        assert_eq!(documents.len(), 2);
        assert!(documents[1].verdicts.iter().all(|verdict| verdict.against_index.is_none()));
        assert_eq!(stderr.contains("is slower than it was in rate_per_s"), expected == 1, "{stderr}");
        assert!(!socket.exists(), "the server was ended in good order");
        assert!(directory.path().join("before.json").exists());
    }
}

/// As briefly as it can be: what programs are missing here is told, and everything else has its row.
#[test]
fn head_to_head_has_a_row_for_everything_or_a_reason() {
    need_tool!("python3");
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = script("head-to-head", directory.path());
    command.args(["--rounds=1", "--seconds=0.1", "--file-mib=1"]);
    // Longer than other commands may take; each of its waits has a deadline of its own.
    let (code, page, stderr) = parts(&command.output().expect("run it"));
    assert_eq!(code, Some(0), "{stderr}");

    // Every table has as many cells in each row, and every ratio is one or was not to be had.
    let rows: Vec<Vec<&str>> =
        page.lines().filter(|line| line.starts_with("| ")).map(|line| line.split(" | ").collect()).collect();
    for table in rows.chunk_by(|_, row| !row.last().is_some_and(|cell| cell.contains("by"))) {
        assert!(table.iter().all(|row| row.len() == table[0].len()), "{table:?}");
    }
    for work in ["tcp 1 x 1", "tcp 64 x 1", "tcp 64 x 16", "unix 64 x 16", "udp 1 x 1", "udp 1 x 256"] {
        let ours = rows.iter().any(|row| row[0] == format!("| {work}") && row[1] == "sockkit");
        assert!(ours || stderr.contains(work), "nothing of {work}: {page}{stderr}");
    }
    for client in ["sockkit connect", "sockkit connect -m hi", "sockkit bench", "sockkit ping"] {
        assert!(rows.iter().any(|row| row[1] == client), "no row of {client}: {page}{stderr}");
    }
    for (program, word) in
        [("socat", "socat"), ("ncat", "ncat"), ("nc.openbsd", "nc.openbsd"), ("iperf3", "iperf3")]
    {
        let told = rows.iter().any(|row| row[1].starts_with(word)) || stderr.contains(word);
        assert!(told, "nothing of {program}: {page}{stderr}");
    }
    for heading in ["## sockkit ", "### Where sockkit loses", "<details><summary>The commands"] {
        assert!(page.contains(heading), "no {heading}: {page}");
    }
}

/// The counts themselves are compared by `scripts/cost-per-message --check`.
#[test]
fn what_a_message_costs_is_recorded_for_every_service_and_transport() {
    let recorded =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cost-per-message.txt"))
            .expect("tests/cost-per-message.txt");
    let rows: Vec<Vec<&str>> = recorded
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect())
        .collect();
    for service in ["echo", "discard", "chargen"] {
        for transport in ["tcp", "udp", "unix", "unix-dgram", "unix-seqpacket"] {
            let row = rows.iter().find(|row| row[..3] == ["epoll", service, transport]);
            assert!(row.is_some_and(|row| row.len() == 5), "no row of {service} {transport}: {recorded}");
        }
    }
}
