//! Figures of several runs, with intervals that hold whatever the noise looks like.
//!
//! The unit is a whole run. A run of a second has a hundred thousand round trips, but they come one after the other
//! under the same conditions, and an interval computed from them would say how well *this* run is known and nothing of
//! the next one. So a run gives one number, and intervals are made of several runs.

use crate::Estimate;
use crate::contrast::{Contrast, median_of_sorted};
use crate::null::{Binomial, normal_quantile};

/// The confidence of all intervals that are not asked for with another one.
pub const CONFIDENCE: f64 = 0.95;

/// The share of cases in which a difference that is called detectable is found.
pub const POWER: f64 = 0.8;

/// The median of runs with a 95 % interval; no ends below six values, `None` of none at all. Values that are no numbers
/// do not count.
///
/// The median lies between the *d*-th value from below and the *d*-th from above in a share of all cases that follows
/// from the binomial distribution alone. That share is above 95 % for one *d* and below it for the next, and the ends
/// are put between the two (Hettmansperger and Sheather 1986; that it works for skewed noise too, Nyblom 1992).
pub fn median(values: &[f64]) -> Option<Estimate> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let estimate = median_of_sorted(&sorted)?;
    let count = sorted.len();
    let binomial = Binomial::new(count as u64, 0.5);
    let confidence = |depth: usize| 1.0 - 2.0 * binomial.at_most(depth as u64 - 1);
    let depth = (1..=count / 2).take_while(|&depth| confidence(depth) >= CONFIDENCE).count();
    if depth == 0 {
        return Some(Estimate::bare(estimate));
    }
    let (outer, inner) = (confidence(depth), confidence(depth + 1));
    let excess = (outer - CONFIDENCE) / (outer - inner);
    let (depth_f, count_f) = (depth as f64, count as f64);
    let inwards = (count_f - depth_f) * excess / (depth_f + (count_f - 2.0 * depth_f) * excess);
    let between = |outer: f64, inner: f64| outer + inwards * (inner - outer);
    Some(Estimate {
        estimate,
        low: Some(between(sorted[depth - 1], sorted[depth])),
        high: Some(between(sorted[count - depth], sorted[count - depth - 1])),
    })
}

/// The ratio of two arms from pairs of runs, each given as the logarithm of its ratio: Hodges and Lehmann's estimate with
/// the interval of Wilcoxon's signed ranks, exact for up to 200 pairs (of more, neighbours are averaged first). No ends
/// where so few pairs cannot attain the confidence: 95 % takes 6, 99 % takes 8. `None` of no pairs.
pub fn paired(log_ratios: &[f64], confidence: f64) -> Option<Estimate> {
    Contrast::paired(log_ratios).estimate(confidence)
}

/// The ratio of `now` to `saved`, both given as figures above 0 of runs that were not made in pairs: Hodges and Lehmann's
/// shift with the interval of Mann and Whitney, exact. Else as [`paired`].
pub fn shifted(saved: &[f64], now: &[f64], confidence: f64) -> Option<Estimate> {
    let logs = |values: &[f64]| -> Vec<f64> {
        values.iter().filter(|value| value.is_finite() && **value > 0.0).map(|value| value.ln()).collect()
    };
    Contrast::unpaired(&logs(saved), &logs(now)).estimate(confidence)
}

/// How wide an interval of a ratio is to either side, as a share of the ratio: 0.03 for 0.97 to 1.03, and for 9.7 to 10.3
/// too. `None` without ends.
pub fn half_width(ratio: &Estimate) -> Option<f64> {
    log_half_width(ratio).map(f64::exp_m1)
}

/// What an interval has to clear: 0.03 for 3 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// What was given.
    Given(f64),
    /// What was measured along with the rest: the noise floor.
    Measured(f64),
}

impl Threshold {
    /// As a number.
    pub fn value(self) -> f64 {
        match self {
            Self::Given(value) | Self::Measured(value) => value,
        }
    }

    /// How much the distance from this threshold to the end of an interval varies from one such comparison to the next:
    /// its variance, in squares of the ratio's standard error.
    ///
    /// The ratio adds 1, and the width of its interval about 1 at six or eight blocks and 0.2 at twelve. A threshold that
    /// is measured is another one each time. The ratio of the noise has 4/3 of the variance, being of one run by one run
    /// and not by two; its distance from 1, of which the sign does not matter, has 1 - 2/π of that, which is 0.5; and the
    /// width of its interval adds about 1 again.
    fn variance(self) -> f64 {
        match self {
            Self::Given(_) => 1.5,
            Self::Measured(_) => 3.5,
        }
    }
}

/// The smallest true difference that is found in four of five such comparisons, if it has to clear the threshold with an
/// interval as wide as that of `ratio`. 0.03: a ratio of 1.03, or of 1/1.03.
///
/// With a true difference D, a standard error s and an interval of z·s to either side (z = 1.96 at 95 %), the lower end
/// is D - z·s on average. It has to be above the threshold T in four of five cases. If nothing but the ratio varied, that
/// would take D - z·s - T = 0.84·s, so D = T + (1 + 0.84/z) half-widths: 1.43 of them at 95 %, 1.33 at 99 %. But the
/// width varies too, and so does a threshold that is measured; with a variance of v·s² of all that together it is 0.84·√v.
/// That makes 1.53 half-widths with a threshold that is given and 1.80 with one that is measured, at 99 % 1.40 and 1.61.
/// All in logarithms; held against simulations in `tests/statistics`.
pub fn detectable(threshold: Threshold, ratio: &Estimate, confidence: f64) -> Option<f64> {
    let reserve = normal_quantile(POWER) * threshold.variance().sqrt();
    let half_widths = 1.0 + reserve / normal_quantile(f64::midpoint(1.0, confidence));
    Some((threshold.value().ln_1p() + half_widths * log_half_width(ratio)?).exp_m1())
}

fn log_half_width(ratio: &Estimate) -> Option<f64> {
    Some((ratio.high? / ratio.low?).ln() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_than_six_runs_have_a_median_without_an_interval() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[f64::NAN]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(Estimate::bare(2.0)));
        assert_eq!(median(&[5.0, 3.0, 1.0, 2.0]), Some(Estimate::bare(2.5)));
        let six = median(&[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]).unwrap();
        assert!(six.low.is_some() && six.high.is_some());
    }

    /// Worked by hand: ten values, d = 2, the shares are 97.85 % and 89.06 %.
    #[test]
    fn the_ends_lie_between_two_values_as_the_paper_has_it() {
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        let estimate = median(&ten).unwrap();
        let excess = (0.978_515_625 - 0.95) / (0.978_515_625 - 0.890_625);
        let inwards = 8.0 * excess / (2.0 + 6.0 * excess);
        assert!((estimate.low.unwrap() - (2.0 + inwards)).abs() < 1e-9, "{estimate:?}");
        assert!((estimate.high.unwrap() - (9.0 - inwards)).abs() < 1e-9, "{estimate:?}");
        assert!((estimate.estimate - 5.5).abs() < 1e-12);
    }

    #[test]
    fn a_ratio_is_found_again() {
        let noise = [0.01, -0.02, 0.015, -0.005, 0.0, 0.02, -0.01, 0.005];
        let logs: Vec<f64> = noise.iter().map(|noise| 1.1_f64.ln() + noise).collect();
        let pairs = paired(&logs, 0.95).unwrap();
        assert!(pairs.low.unwrap() < 1.1 && pairs.high.unwrap() > 1.1 && (pairs.estimate - 1.1).abs() < 0.01);
        let saved: Vec<f64> = noise.iter().map(|noise| 50.0 * (1.0 + noise)).collect();
        let now: Vec<f64> = noise.iter().map(|noise| 100.0 * (1.0 - noise)).collect();
        let shift = shifted(&saved, &now, 0.95).unwrap();
        assert!(shift.low.unwrap() < 2.0 && shift.high.unwrap() > 2.0 && (shift.estimate - 2.0).abs() < 0.05);
        assert_eq!(shifted(&[0.0, -1.0], &now, 0.95), None, "what is not above 0 has no logarithm");
    }

    #[test]
    fn the_factor_of_the_detectable_difference_is_the_one_in_its_documentation() {
        let ratio = Estimate { estimate: 1.0, low: Some(1.0 / 1.01), high: Some(1.01) };
        assert!((half_width(&ratio).unwrap() - 0.01).abs() < 1e-12);
        let half_widths = |threshold, confidence| {
            detectable(threshold, &ratio, confidence).unwrap().ln_1p() / 1.01_f64.ln()
        };
        for (threshold, confidence, expected) in [
            (Threshold::Given(0.0), 0.95, 1.53),
            (Threshold::Given(0.0), 0.99, 1.40),
            (Threshold::Measured(0.0), 0.95, 1.80),
            (Threshold::Measured(0.0), 0.99, 1.61),
        ] {
            let found = half_widths(threshold, confidence);
            assert!((found - expected).abs() < 0.006, "{threshold:?} {confidence}: {found}");
        }
        assert!(detectable(Threshold::Given(0.02), &ratio, 0.95).unwrap() > 0.034);
        assert_eq!(detectable(Threshold::Given(0.02), &Estimate::bare(1.0), 0.95), None);
    }
}
