//! The instrument proves itself: it is given a peer of which the truth is known, and has to tell it.

mod delay;
mod faults;
mod saturation;
mod stall;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sockkit_stats::Histogram;
use sockkit_stats::result::{Arm, Document};
use sockkit_tests::{PATIENCE, Sockkit, wait_for_exit};

const SOCKKIT: Sockkit = Sockkit(env!("CARGO_BIN_EXE_sockkit"));

/// Tests that count run beside each other, and none of them beside one that takes times: that would time the others.
static TURNS: RwLock<()> = RwLock::new(());

/// Whoever holds it may load the machine.
fn counting() -> RwLockReadGuard<'static, ()> {
    TURNS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever holds it has the machine for itself, as far as this process is concerned.
fn timing() -> RwLockWriteGuard<'static, ()> {
    TURNS.write().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `sockkit bench` to its end; the only arm of its result, and what it warned of.
#[track_caller]
fn bench(args: &[&str]) -> (Arm, Vec<String>) {
    // A server that has no processor for a second is not silent for that.
    let patient: &[&str] = if args.contains(&"--timeout") { &[] } else { &["--timeout", "10s"] };
    let output = SOCKKIT.bench(&[&["--json"], patient, args].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || output.status.code() == Some(1), "{args:?}: {stderr}");
    only_arm(&String::from_utf8_lossy(&output.stdout))
}

#[track_caller]
fn only_arm(json: &str) -> (Arm, Vec<String>) {
    let mut document: Document = serde_json::from_str(json).expect("a document");
    assert_eq!(document.arms.len(), 1);
    (document.arms.remove(0), document.warnings)
}

/// A `sockkit bench` whose measured time has begun.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    #[track_caller]
    fn start(args: &[&str]) -> Self {
        let mut command = SOCKKIT.command(&["bench", "--json-lines", "--interval", "100ms"]);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start a bench");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        assert!(line.contains("\"interval\""), "{line}");
        Self { child, stdout }
    }

    #[track_caller]
    fn finish(mut self) -> (Arm, Vec<String>) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("text");
        let status = wait_for_exit(&mut self.child, PATIENCE).expect("it ends");
        assert!(status.success(), "{status}: {rest}");
        only_arm(rest.lines().last().expect("a line"))
    }
}

/// A histogram of the result.
#[track_caller]
fn histogram(base64: Option<&String>) -> Histogram {
    Histogram::from_base64(base64.expect("a histogram")).expect("HdrHistogram V2")
}

/// The figure that was told.
#[track_caller]
fn told(estimate: Option<sockkit_stats::Estimate>) -> f64 {
    estimate.expect("the sample carries it").estimate
}
