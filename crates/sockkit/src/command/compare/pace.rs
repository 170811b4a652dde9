//! How long the runs of the next block are, from what those before it took.
//!
//! Runs are planned before anything is known but a few short ones. On a machine that has other things to do they may
//! take much longer than they should, and then there would be too few blocks for a verdict when the budget is spent. So
//! the runs of the blocks that follow are made shorter, as far as is allowed. Within a block all runs have one length.

use std::time::Duration;

use super::timing::{Budget, Lengths, Wanted};

/// The part of the overdraft that is left for the end.
const RESERVE: f64 = 0.02;

/// The pace of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    budget: Budget,
    wanted: Wanted,
    /// Runs of a block, without repeats.
    runs: usize,
    lengths: Lengths,
    /// What a run takes beside its lengths.
    overhead: Duration,
    /// All runs so far with their repeats, and how many there would have been without.
    spent: Spent,
    planned: usize,
    /// The lengths of all runs so far.
    loaded: Duration,
}

/// Runs, repeated ones too, and the time that they took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spent {
    pub(super) runs: usize,
    pub(super) time: Duration,
}

impl Pace {
    /// So many runs a block, so many blocks, in what is left of the budget.
    pub(super) fn new(
        budget: Budget,
        wanted: Wanted,
        runs: usize,
        blocks: usize,
        elapsed: Duration,
        overhead: Duration,
    ) -> Self {
        let lengths = Lengths::of_slot(budget.slot(elapsed, runs * blocks), overhead, wanted);
        let (spent, loaded) = (Spent::default(), Duration::ZERO);
        Self { budget, wanted, runs, lengths, overhead, spent, planned: 0, loaded }
    }

    /// The lengths of each run of the next block.
    pub(super) fn lengths(&self) -> Lengths {
        self.lengths
    }

    /// How long the next block will take.
    pub(super) fn block(&self) -> Duration {
        (self.lengths.total() + self.overhead).mul_f64(self.runs as f64 * self.repeating())
    }

    /// A block is over; `spent` is what all runs have taken so far.
    pub(super) fn note(&mut self, spent: Spent) {
        let runs = spent.runs - self.spent.runs;
        self.loaded += self.lengths.total() * u32::try_from(runs).unwrap_or(u32::MAX);
        self.spent = spent;
        self.planned += self.runs;
        self.overhead =
            spent.time.saturating_sub(self.loaded) / u32::try_from(spent.runs.max(1)).unwrap_or(u32::MAX);
    }

    /// Makes the runs shorter if so many blocks would not fit any more. What was typed stays as it is.
    pub(super) fn fit(&mut self, elapsed: Duration, missing: usize) {
        let left = self.budget.limit().mul_f64(1.0 - RESERVE).saturating_sub(elapsed);
        if missing > 0 && self.block().mul_f64(missing as f64) > left {
            let slot = left.div_f64(missing as f64 * self.runs as f64 * self.repeating());
            let shorter = Lengths::of_slot(slot, self.overhead, self.wanted);
            if shorter.duration < self.lengths.duration {
                self.lengths = shorter;
            }
        }
    }

    /// How many runs it took to have one that counts.
    fn repeating(&self) -> f64 {
        self.spent.runs.max(1) as f64 / self.planned.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Seven runs a block, eight blocks, ten seconds.
    fn pace(wanted: Wanted) -> Pace {
        Pace::new(Budget(ms(10_000)), wanted, 7, 8, ms(400), ms(10))
    }

    #[test]
    fn what_goes_as_planned_stays_as_it_is() {
        let mut pace = pace(Wanted::default());
        let planned = pace.lengths();
        assert!((ms(800)..ms(1000)).contains(&pace.block()), "{pace:?}");
        pace.note(Spent { runs: 7, time: (planned.total() + ms(10)) * 7 });
        pace.fit(ms(1400), 7);
        assert_eq!((pace.lengths(), pace.overhead), (planned, ms(10)));
    }

    #[test]
    fn what_takes_longer_is_made_to_fit() {
        let mut pace = pace(Wanted::default());
        let planned = pace.lengths();
        pace.note(Spent { runs: 14, time: (planned.total() + ms(50)) * 14 });
        assert_eq!(pace.overhead, ms(50));
        pace.fit(ms(2500), 7);
        assert!(pace.lengths().duration < planned.duration, "{pace:?}");
        // It never gets longer again, nor shorter than is allowed.
        let shorter = pace.lengths();
        pace.fit(ms(2500), 1);
        assert_eq!(pace.lengths(), shorter);
        pace.fit(ms(12_000), 7);
        assert_eq!(pace.lengths().duration, super::super::timing::RUN_MIN);
    }

    #[test]
    fn what_was_typed_stays_as_it_is() {
        let typed = Wanted { duration: Some(ms(500)), warmup: None };
        let mut pace = pace(typed);
        pace.note(Spent { runs: 21, time: ms(20_000) });
        pace.fit(ms(9_000), 7);
        assert_eq!(pace.lengths().duration, ms(500));
    }
}
