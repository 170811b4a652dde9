//! Whether it is the machine that is to blame.
//!
//! Times are only as good as the machine's readiness to run us, and a test may share it with anybody. So somebody else
//! looks on: a thread that sleeps for a millisecond again and again, and sees by how much it oversleeps; and the kernel,
//! which counts the time in which somebody waited for a disk, from which the pages of programs come. What was wrong while
//! there was such a wait says nothing of the instrument.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long it sleeps at a time.
const NAP: Duration = Duration::from_millis(1);

/// Attempts, if the machine lets none of them be.
const ATTEMPTS: usize = 5;

/// Attempts that may go wrong though the witness saw nothing: it sleeps most of the time.
const WRONG_MAX: usize = 1;

/// Tries something until it is as it has to be.
///
/// # Errors
/// If nobody knows, because the machine let the witness down by more than `patience` each time: the reason for a skip.
///
/// # Panics
/// If it went wrong twice though the machine was ready.
#[track_caller]
pub fn try_in_quiet(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<(), String>,
) -> Result<(), String> {
    let (mut wrong, mut disturbed) = (Vec::new(), Vec::new());
    for _ in 0..ATTEMPTS {
        let witness = Witness::start();
        let result = attempt();
        let stall = witness.finish();
        match result {
            Ok(()) => return Ok(()),
            Err(why) if stall > patience => disturbed.push(format!("{why} (it stood still for {stall:?})")),
            Err(why) => wrong.push(why),
        }
        assert!(wrong.len() <= WRONG_MAX, "{wrong:#?}");
    }
    Err(format!("this machine has no time for it: {}", disturbed.join("; ")))
}

struct Witness {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
    waited: Duration,
}

impl Witness {
    fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let told = is_over.clone();
        let thread = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !told.load(Ordering::Relaxed) {
                let start = Instant::now();
                thread::sleep(NAP);
                longest = longest.max(start.elapsed().saturating_sub(NAP));
            }
            longest
        });
        Self { is_over, thread, waited: waited_for_disks() }
    }

    /// The longest that it overslept, or the time in which somebody waited for a disk.
    fn finish(self) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        let overslept = self.thread.join().expect("it only sleeps");
        overslept.max(waited_for_disks().saturating_sub(self.waited))
    }
}

/// In how much time since the start somebody waited for a disk: nothing where the kernel does not count it (PSI).
fn waited_for_disks() -> Duration {
    let text = fs::read_to_string("/proc/pressure/io").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("some ")?.split_once("total="));
    Duration::from_micros(total.and_then(|(_, microseconds)| microseconds.parse().ok()).unwrap_or_default())
}
