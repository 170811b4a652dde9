//! The search for the highest rate that keeps a promise. It only decides which rate is tried next: no clock, no socket.
//!
//! From a first guess the rate is doubled as long as the promise is kept, or quartered until it is; then the gap between
//! the highest rate that kept it and the lowest that did not is halved on a logarithmic scale until it is narrow enough.
//! A rate that breaks the promise is tried once more, so that one disturbance does not end the search far too low.

/// How close the two ends have to come.
const PRECISION: f64 = 1.05;

const STEP_UP: f64 = 2.0;
const STEP_DOWN: f64 = 4.0;

/// How often the first guess is quartered before it is clear that the rate is not what breaks the promise.
const STEPS_DOWN: i32 = 6;

/// The rates that make sense: below one a second there is no load, above the other no machine sends.
const RATE_MIN: f64 = 1.0;
const RATE_MAX: f64 = 1e8;

/// Tries at the most. Ends that are apart by a factor of two need five, and each may be tried twice.
pub(super) const TRIES_MAX: u32 = 60;

/// A search that goes on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Search {
    first: f64,
    /// The highest rate that kept the promise.
    kept: Option<f64>,
    /// The lowest rate that did not, and why.
    broken: Option<(f64, Limit)>,
    /// The rate that did not keep it and is tried again.
    suspect: Option<f64>,
    tries: u32,
}

/// What is the matter with a rate.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Limit {
    /// The peer did not keep the promise.
    Peer(String),
    /// The generator did not reach the rate.
    Generator(String),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// The highest rate that kept the promise, and the next one with what was the matter.
    Rate { rate: f64, above: Option<(f64, Limit)> },
    /// No rate did.
    None { lowest: f64, why: Limit },
    /// No rate could be tried.
    Nothing,
}

/// What is next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Next {
    /// Try this rate.
    Try(f64),
    /// Nothing.
    End(Found),
}

impl Search {
    /// Starts around a rate.
    pub(super) fn from(first: f64) -> Self {
        Self { first: first.clamp(RATE_MIN, RATE_MAX), kept: None, broken: None, suspect: None, tries: 0 }
    }

    /// Which rate is to be tried now. Rates have three digits: more would only look exact.
    pub(super) fn next(&self) -> Next {
        if self.tries >= TRIES_MAX {
            return Next::End(self.so_far());
        }
        if let Some(rate) = self.suspect {
            return Next::Try(rate);
        }
        match (self.kept, &self.broken) {
            (None, None) => Next::Try(round(self.first)),
            (Some(kept), None) if kept >= RATE_MAX => Next::End(self.so_far()),
            (Some(kept), None) => Next::Try(round(kept * STEP_UP).min(RATE_MAX)),
            (None, Some((broken, _))) if *broken <= self.lowest() => Next::End(self.so_far()),
            (None, Some((broken, _))) => Next::Try(round(broken / STEP_DOWN).max(RATE_MIN)),
            (Some(kept), Some((broken, _))) if broken / kept <= PRECISION => Next::End(self.so_far()),
            (Some(kept), Some((broken, _))) => Next::Try(round((kept * broken).sqrt())),
        }
    }

    /// The promise was kept at this rate.
    pub(super) fn kept(&mut self, rate: f64) {
        self.tries += 1;
        self.suspect = None;
        self.kept = Some(rate);
    }

    /// It was not; if that is not `plain`, the rate is tried once more.
    pub(super) fn broken(&mut self, rate: f64, why: Limit, plain: bool) {
        self.tries += 1;
        if plain || self.suspect == Some(rate) {
            self.suspect = None;
            self.broken = Some((rate, why));
        } else {
            self.suspect = Some(rate);
        }
    }

    /// Where there is no sense in going on downwards.
    fn lowest(&self) -> f64 {
        (self.first / STEP_DOWN.powi(STEPS_DOWN)).max(RATE_MIN)
    }

    /// What is known by now.
    pub(super) fn so_far(&self) -> Found {
        match (self.kept, self.broken.clone()) {
            (Some(rate), above) => Found::Rate { rate, above },
            (None, Some((lowest, why))) => Found::None { lowest, why },
            (None, None) => Found::Nothing,
        }
    }
}

/// To three significant digits.
pub(super) fn round(rate: f64) -> f64 {
    format!("{rate:.2e}").parse().unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer() -> Limit {
        Limit::Peer("too slow".to_owned())
    }

    /// Searches until the end; `keeps` is the machine.
    fn search(first: f64, mut keeps: impl FnMut(f64) -> bool) -> (Found, u32) {
        let mut search = Search::from(first);
        loop {
            match search.next() {
                Next::End(found) => return (found, search.tries),
                Next::Try(rate) if keeps(rate) => search.kept(rate),
                Next::Try(rate) => search.broken(rate, peer(), false),
            }
            assert!(search.tries <= TRIES_MAX);
        }
    }

    proptest! {
        #[test]
        fn the_highest_rate_is_found_from_anywhere(first in 1.0..1e7f64, highest in 1.0..1e7f64) {
            prop_assume!(highest > first / 4096.0 * 1.1);
            let (found, tries) = search(first, |rate| rate <= highest);
            let Found::Rate { rate, above: Some((above, _)) } = found else { panic!("{found:?}") };
            prop_assert!(rate <= highest && highest < above && above / rate <= PRECISION);
            prop_assert!(tries < TRIES_MAX, "{tries}");
        }

        /// Some tries fail for no reason: the answer is never above what holds, and the search ends.
        #[test]
        fn disturbances_do_not_keep_it_from_ending(seed in any::<u64>()) {
            let mut random = fastrand::Rng::with_seed(seed);
            let (found, _) = search(1000.0, |rate| rate <= 20_000.0 && random.f64() > 0.3);
            if let Found::Rate { rate, .. } = found {
                prop_assert!(rate <= 20_000.0);
            }
        }
    }

    #[test]
    fn one_disturbance_is_forgiven() {
        let mut tries = 0;
        let (found, _) = search(1000.0, |rate| {
            tries += 1;
            rate <= 20_000.0 && tries != 3
        });
        assert!(matches!(found, Found::Rate { rate, .. } if rate > 19_000.0), "{found:?}");
    }

    #[test]
    fn what_no_rate_keeps_is_told_after_a_few_tries() {
        let (found, tries) = search(50_000.0, |_| false);
        assert!(matches!(found, Found::None { lowest, .. } if (12.0..13.0).contains(&lowest)), "{found:?}");
        assert!(tries <= 14, "{tries}");
        assert!(matches!(search(1.0, |_| false).0, Found::None { lowest: 1.0, .. }));
    }

    #[test]
    fn what_every_rate_keeps_ends_at_the_top() {
        assert_eq!(search(1000.0, |_| true).0, Found::Rate { rate: RATE_MAX, above: None });
    }

    #[test]
    fn the_generator_is_told_from_the_peer() {
        let mut search = Search::from(1000.0);
        search.kept(1000.0);
        search.broken(2000.0, Limit::Generator("late".to_owned()), true);
        search.kept(1950.0);
        let Next::End(Found::Rate { rate: 1950.0, above: Some((2000.0, Limit::Generator(_))) }) =
            search.next()
        else {
            panic!("{search:?}")
        };
    }
}
