//! The command line as a user meets it: what is refused, what is said, and with which code it ends.

mod bench;
mod compare;
mod connect;
mod engine;
mod ping;
mod report;
mod scripts;
mod serve;
mod usage;

use std::process::Output;

use sockkit_tests::Sockkit;

const SOCKKIT: Sockkit = Sockkit(env!("CARGO_BIN_EXE_sockkit"));

/// Exit code, stdout and stderr of a command that has ended.
fn parts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}
