//! What the tests of the sockkit binary share: a server in a process of its own, peers that are plain sockets and know
//! nothing of sockkit's client, and the means to look at a process from outside and to put faults in its way.
//!
//! Every wait here is for a condition and has a deadline, [`PATIENCE`]. It is generous because the machine may be busy:
//! a test that passes never waits for it. Helpers panic when something that a test relies on does not happen, with
//! what the server said on stderr.

mod fixture;
mod netns;
mod peer;
mod pinger;
mod process;
mod server;
mod slow;
mod tools;
mod witness;

use std::thread;
use std::time::{Duration, Instant};

pub use fixture::{Fixture, Place};
pub use netns::{Spoofer, in_netns, udp_datagrams_received};
pub use peer::{Peer, PeerOptions, transport_of};
pub use pinger::Pinger;
pub use process::{load_for, numbered, open_files, open_sockets, raise_file_limit, rss_bytes, wait_for_exit};
pub use server::{Finished, NotReady, Server, Sockkit, Summary, forced_engine, run_to_end};
pub use slow::slow_server;
pub use tools::{Nobody, copy_for_others, directory_for_others, find_tool, strace_works, unused_port};
pub use witness::try_in_quiet;

/// How long anything may take that is sure to happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(3);

/// Looks at `condition` until it holds.
///
/// # Panics
/// If it does not within [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(PATIENCE, condition), "waited {PATIENCE:?} in vain until {what}");
}

/// Whether `condition` comes to hold before the time is over.
pub fn holds_within(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// Lets time pass for a measurement over a span, such as of processor time: never to wait for something.
pub fn observe_for(span: Duration) {
    thread::sleep(span);
}

/// Bytes that look random and are the same every time.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut generator = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    generator.fill(&mut bytes);
    bytes
}

/// Ends the test, or the closure, in which it stands, and says why on stderr, past the capture of the test runner.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "skipped: {}: {}",
            std::thread::current().name().unwrap_or("a test"), format_args!($($reason)*));
        return;
    }};
}

/// The value of a `Result`, or a skip with the reason in it.
#[macro_export]
macro_rules! or_skip {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(reason) => $crate::skip!("{reason}"),
        }
    };
}

/// Skips when a program is not installed; otherwise gives its path.
#[macro_export]
macro_rules! need_tool {
    ($name:expr) => {
        match $crate::find_tool($name) {
            Some(path) => path,
            None => $crate::skip!("{} is not installed", $name),
        }
    };
}
