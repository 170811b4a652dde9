//! Whether a rate that a search has found holds: short probes find it, whole runs confirm it.
//!
//! Four of five runs have to keep the promise. If they do not, a rate a little lower is tried in the same way.

use super::search::round;

/// How much lower the next rate is.
const STEP_DOWN: f64 = 0.95;

/// How many rates are tried.
const RATES_MAX: u32 = 8;

/// Runs at one rate after the other, until one is confirmed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Confirmation {
    rate: f64,
    runs: u64,
    kept: u64,
    broken: u64,
    rates: u32,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// Run at this rate.
    Run(f64),
    /// The runs at the rate before have failed it: start anew at this one.
    Lower(f64),
    /// Confirmed.
    Confirmed { rate: f64, kept: u64, runs: u64 },
    /// Given up.
    Failed { rate: f64, kept: u64, runs: u64 },
}

impl Confirmation {
    /// With so many runs, at least one.
    pub(super) fn of(rate: f64, runs: u64) -> Self {
        Self { rate, runs: runs.max(1), kept: 0, broken: 0, rates: 1 }
    }

    /// Tells the last run, and asks what is next.
    pub(super) fn tell(&mut self, kept: bool) -> Step {
        *(if kept { &mut self.kept } else { &mut self.broken }) += 1;
        let (rate, done) = (self.rate, self.kept + self.broken);
        if self.broken > self.runs - self.wanted() {
            if self.rates >= RATES_MAX {
                return Step::Failed { rate, kept: self.kept, runs: done };
            }
            *self =
                Self { rate: round(rate * STEP_DOWN), kept: 0, broken: 0, rates: self.rates + 1, ..*self };
            return Step::Lower(self.rate);
        }
        match done == self.runs {
            true => Step::Confirmed { rate, kept: self.kept, runs: done },
            false => Step::Run(rate),
        }
    }

    /// The rate that is run at.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Runs that are still to come, unless this rate fails.
    pub(super) fn left(&self) -> u64 {
        self.runs - self.kept - self.broken
    }

    /// The most runs that there may be.
    pub(super) fn runs_max(&self) -> u64 {
        self.runs * u64::from(RATES_MAX)
    }

    /// Four of five.
    fn wanted(&self) -> u64 {
        (self.runs * 4).div_ceil(5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_five_may_break_it() {
        let mut confirmation = Confirmation::of(1000.0, 5);
        for kept in [true, false, true, true] {
            assert_eq!(confirmation.tell(kept), Step::Run(1000.0));
        }
        assert_eq!(confirmation.tell(true), Step::Confirmed { rate: 1000.0, kept: 4, runs: 5 });
        assert_eq!(Confirmation::of(7.0, 1).tell(true), Step::Confirmed { rate: 7.0, kept: 1, runs: 1 });
    }

    #[test]
    fn two_of_five_do_and_that_has_an_end() {
        let mut confirmation = Confirmation::of(1000.0, 5);
        assert_eq!(confirmation.tell(false), Step::Run(1000.0));
        assert_eq!(confirmation.tell(false), Step::Lower(950.0));
        let mut runs = 2;
        let failed = loop {
            runs += 1;
            match confirmation.tell(false) {
                Step::Run(_) | Step::Lower(_) => {}
                end => break end,
            }
        };
        assert!(matches!(failed, Step::Failed { kept: 0, runs: 2, rate } if rate > 600.0), "{failed:?}");
        assert!(runs <= confirmation.runs_max(), "{runs}");
    }
}
