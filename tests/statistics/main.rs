//! The numbers, put to the test on machines whose truth is known: simulated ones.
//!
//! Every test draws from a fixed seed, so it finds the same every time, and prints what it found (`cargo test -p
//! sockkit-tests --test statistics -- --nocapture`). A share that was counted in N trials is itself uncertain; the number
//! of trials is such that three standard errors of it are within what is allowed.

mod coverage;
mod machine;
mod merging;
mod nothing;
mod power;
mod stopping;

/// A share of trials.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    hits: u32,
    trials: u32,
}

impl Share {
    fn count(&mut self, hit: bool) {
        self.hits += u32::from(hit);
        self.trials += 1;
    }

    fn percent(self) -> f64 {
        100.0 * f64::from(self.hits) / f64::from(self.trials)
    }
}

/// Whether an interval holds the truth. One without ends says nothing and is not asked.
fn holds(interval: &sockkit_stats::Estimate, truth: f64) -> bool {
    let (Some(low), Some(high)) = (interval.low, interval.high) else {
        panic!("{interval:?} has no ends");
    };
    low <= truth && truth <= high
}
