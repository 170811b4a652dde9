//! When the load begins, and which part of it is measured: the same moments for all threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::clock::nanos;
use crate::workload::Workload;

/// Longer than this nobody sleeps, so that the end of a run is noticed.
pub(crate) const DOZE_NS: u64 = 20_000_000;

/// How long outstanding answers are waited for after a run was cut short.
pub(crate) const HURRY_NS: u64 = 20_000_000;

/// The moments of a run, on [`crate::clock`]. They are fixed before the first message; only the end may come earlier.
#[derive(Debug, Default)]
pub(crate) struct Window {
    start: AtomicU64,
    begin: AtomicU64,
    end: AtomicU64,
    cut_short: AtomicBool,
}

/// How the measured time stands to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// From when on it counts.
    pub(crate) begin_ns: u64,
    /// Until when.
    pub(crate) end_ns: u64,
}

impl Window {
    /// Fixes the moments, before any thread reads them.
    pub(crate) fn open(&self, start_ns: u64, workload: &Workload) {
        let begin_ns = start_ns.saturating_add(nanos(workload.warmup));
        self.start.store(start_ns, Relaxed);
        self.begin.store(begin_ns, Relaxed);
        self.end.store(begin_ns.saturating_add(nanos(workload.duration)), Relaxed);
    }

    /// When the first message is due.
    pub(crate) fn start_ns(&self) -> u64 {
        self.start.load(Relaxed)
    }

    /// The measured time.
    pub(crate) fn span(&self) -> Span {
        Span { begin_ns: self.begin.load(Relaxed), end_ns: self.end_ns() }
    }

    /// The end of the measured time, which may have become earlier since it was last asked for.
    pub(crate) fn end_ns(&self) -> u64 {
        self.end.load(Relaxed)
    }

    /// Ends the run now: nothing is sent any more, and what is outstanding is hardly waited for.
    pub(crate) fn cut_short(&self, now_ns: u64) {
        self.end.fetch_min(now_ns, Relaxed);
        self.cut_short.store(true, Relaxed);
    }

    /// Whether it was ended before its time, or while it waited for the last answers.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.cut_short.load(Relaxed)
    }
}

impl Span {
    /// Whether a moment is in it.
    pub(crate) fn contains(self, moment_ns: u64) -> bool {
        self.begin_ns <= moment_ns && moment_ns < self.end_ns
    }
}
