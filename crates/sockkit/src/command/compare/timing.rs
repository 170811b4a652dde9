//! How long a run is, so that enough of them fit into the budget.
//!
//! Many short runs tell more than a few long ones: what differs from run to run is the noise that matters, and only
//! runs tell of it. A run must be long enough, though, for a percentile and for the processor clocks. So about a dozen
//! blocks are aimed at, and the runs are as long as that leaves room for, within bounds.

use std::time::Duration;

/// A run is measured for no less than this, unless another length is asked for,
pub(super) const RUN_MIN: Duration = Duration::from_millis(50);

/// and for no more.
const RUN_MAX: Duration = Duration::from_secs(1);

/// The load is on for no less than this before anything is measured: connections grow their windows, caches fill.
const WARMUP_MIN: Duration = Duration::from_millis(20);

/// The part of a run that the warm-up is.
const WARMUP_PART: u32 = 10;

/// What starting and ending a run takes, until it is known.
pub(super) const OVERHEAD_GUESS: Duration = Duration::from_millis(20);

/// The part of the budget that is not planned for, but is there for repeats. On a machine that is quiet it makes more
/// blocks.
const RESERVE: f64 = 0.25;

/// How much more than the budget may be used to come to the fewest blocks that give verdicts.
const OVERDRAFT: f64 = 1.25;

/// The lengths of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lengths {
    /// How long the load is on before anything is measured.
    pub(super) warmup: Duration,
    /// How long is measured.
    pub(super) duration: Duration,
}

impl Lengths {
    /// Of a run that nobody records: enough to have loaded every page of the programs, and to see what a run takes
    /// beside what is measured.
    pub(super) const UNRECORDED: Self =
        Self { warmup: Duration::from_millis(5), duration: Duration::from_millis(25) };

    /// Both together.
    pub(super) fn total(self) -> Duration {
        self.warmup + self.duration
    }

    /// The length of runs that take `slot` each with all that belongs to them, `overhead` of it being neither measured
    /// nor warm-up. What the user wants is taken as it is.
    pub(super) fn of_slot(slot: Duration, overhead: Duration, wanted: Wanted) -> Self {
        let loaded = slot.saturating_sub(overhead);
        let duration = wanted.duration.unwrap_or_else(|| {
            let room = match wanted.warmup {
                Some(warmup) => loaded.saturating_sub(warmup),
                None => (loaded * WARMUP_PART / (WARMUP_PART + 1)).min(loaded.saturating_sub(WARMUP_MIN)),
            };
            room.clamp(RUN_MIN, RUN_MAX)
        });
        Self::with_warmup(duration, wanted)
    }

    /// The shortest that are allowed.
    pub(super) fn shortest(wanted: Wanted) -> Self {
        Self::with_warmup(wanted.duration.unwrap_or(RUN_MIN), wanted)
    }

    fn with_warmup(duration: Duration, wanted: Wanted) -> Self {
        let warmup = wanted.warmup.unwrap_or_else(|| (duration / WARMUP_PART).max(WARMUP_MIN));
        Self { warmup, duration }
    }
}

/// Lengths that were typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) duration: Option<Duration>,
    pub(super) warmup: Option<Duration>,
}

/// The time of the whole comparison, in which everything is given as time since its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget(pub(super) Duration);

impl Budget {
    /// How long a run with all that belongs to it may take, if so many runs are to fit into what is left.
    pub(super) fn slot(self, elapsed: Duration, runs: usize) -> Duration {
        let left = self.0.saturating_sub(elapsed).mul_f64(1.0 - RESERVE);
        left / u32::try_from(runs.max(1)).unwrap_or(u32::MAX)
    }

    /// Whether another block is begun: one that will be over within the budget; or within a quarter more, as long as
    /// there are not enough blocks for a verdict.
    pub(super) fn has_room(self, elapsed: Duration, block: Duration, enough: bool) -> bool {
        elapsed + block <= if enough { self.0 } else { self.limit() }
    }

    /// When the last run has to be over.
    pub(super) fn limit(self) -> Duration {
        self.0.mul_f64(OVERDRAFT)
    }

    /// Whether there is time for runs that nobody records.
    pub(super) fn has_room_for_warming(self, arms: usize) -> bool {
        let one = Lengths::UNRECORDED.total() + OVERHEAD_GUESS;
        one * u32::try_from(arms).unwrap_or(u32::MAX) <= self.0 / 8
    }

    /// Whether so much time for repeats is still within the third that they may take.
    pub(super) fn has_room_for_repeats(self, spent: Duration) -> bool {
        spent <= self.0 / 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    const NONE: Wanted = Wanted { duration: None, warmup: None };

    #[test]
    fn a_run_fills_its_slot_within_bounds() {
        for (slot, duration, warmup) in [
            (ms(20), ms(50), ms(20)),
            (ms(130), ms(100), ms(20)),
            (ms(560), ms(500), ms(50)),
            (ms(5000), ms(1000), ms(100)),
        ] {
            assert_eq!(Lengths::of_slot(slot, ms(10), NONE), Lengths { warmup, duration }, "{slot:?}");
        }
    }

    #[test]
    fn what_is_typed_is_taken() {
        let typed = Wanted { duration: Some(ms(7)), warmup: Some(ms(0)) };
        assert_eq!(Lengths::of_slot(ms(500), ms(10), typed), Lengths { warmup: ms(0), duration: ms(7) });
        let warm = Wanted { warmup: Some(ms(100)), duration: None };
        let lengths = Lengths::of_slot(ms(310), ms(10), warm);
        assert_eq!(lengths, Lengths { warmup: ms(100), duration: ms(200) });
        let long = Wanted { duration: Some(ms(3000)), warmup: None };
        assert_eq!(Lengths::shortest(long), Lengths { warmup: ms(300), duration: ms(3000) });
    }

    /// Six transports, `--quick`: seven runs a block, eight blocks.
    #[test]
    fn a_quick_comparison_of_all_transports_has_room() {
        let budget = Budget(ms(10_000));
        assert!(budget.has_room_for_warming(6));
        let slot = budget.slot(ms(400), 7 * 8);
        let lengths = Lengths::of_slot(slot, ms(15), NONE);
        assert!(lengths.duration > ms(80) && lengths.total() + ms(15) <= slot, "{lengths:?}");
        assert!(budget.limit() < ms(15_000));
    }

    #[test]
    fn a_block_is_begun_if_it_ends_in_time() {
        let budget = Budget(ms(10_000));
        assert!(budget.has_room(ms(9_000), ms(1_000), true));
        assert!(!budget.has_room(ms(9_001), ms(1_000), true));
        assert!(budget.has_room(ms(11_500), ms(1_000), false));
        assert!(!budget.has_room(ms(11_501), ms(1_000), false));
        assert!(budget.has_room_for_repeats(ms(3_333)) && !budget.has_room_for_repeats(ms(3_334)));
    }
}
