//! Whether it is the machine that is to blame.
//!
//! Times are only as good as the machine's readiness to run us, and a test may share it with anybody. So somebody else
//! looks on: a thread that sleeps for a millisecond again and again, and sees by how much it oversleeps. What was
//! wrong while it was let down as well says nothing of the instrument.

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
pub(crate) fn try_in_quiet(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<(), String>,
) -> Result<(), String> {
    let (mut wrong, mut disturbed) = (Vec::new(), Vec::new());
    for _ in 0..ATTEMPTS {
        let witness = Witness::start();
        let result = attempt();
        let overslept = witness.finish();
        match result {
            Ok(()) => return Ok(()),
            Err(why) if overslept > patience => disturbed.push(format!("{why} (overslept by {overslept:?})")),
            Err(why) => wrong.push(why),
        }
        assert!(wrong.len() <= WRONG_MAX, "{wrong:#?}");
    }
    Err(format!("this machine has no time for it: {}", disturbed.join("; ")))
}

struct Witness {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
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
        Self { is_over, thread }
    }

    /// The longest that it overslept.
    fn finish(self) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only sleeps")
    }
}
