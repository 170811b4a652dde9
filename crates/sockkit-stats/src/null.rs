//! The distributions that ranks have when there is nothing to be found: exact, by counting.
//!
//! None of them asks how the values are distributed, only how they are ordered. That is why they serve here: latencies
//! are skewed, have heavy tails and more than one hump, and a rule that takes them for normal is wrong where it matters.

/// The probability left out at each end of a 95 % interval.
pub(crate) const TAIL: f64 = 0.025;

/// The same in standard deviations of a normal distribution.
const TAIL_DEVIATIONS: f64 = 1.959_964;

/// Up to so many trials the binomial distribution is added up, above it is taken as normal: a rank is then off by less
/// than one part in ten thousand of the interval's width.
const TRIALS_EXACT: u64 = 10_000_000;

/// Rounding of a sum of probabilities. Levels are compared with this much tolerance, or 1/64 + 1/64 might exceed 1/32.
pub(crate) const ROUNDING: f64 = 1e-12;

/// The ranks (from 1) of the two values between which the quantile lies in at least 95 % of all samples of `count`,
/// missed on either side in at most 2.5 %. `None` if even the largest or the smallest is not far enough out.
pub(crate) fn quantile_ranks(count: u64, quantile: f64) -> Option<(u64, u64)> {
    if count < needed(quantile) {
        return None;
    }
    let mean = count as f64 * quantile;
    if count > TRIALS_EXACT {
        let reach = TAIL_DEVIATIONS * (mean * (1.0 - quantile)).sqrt();
        return Some(((mean - reach).floor() as u64, (mean + reach).ceil() as u64 + 1));
    }
    let binomial = Binomial::new(count, quantile);
    // How many values are at or below the quantile is binomial. Too low are all ranks that it falls short of in more
    // than 2.5 %; the upper one is the first that it reaches in no more than that.
    let low = binomial.first_above(TAIL);
    let high = count - binomial.mirrored().first_above(TAIL) + 1;
    (low >= 1 && high <= count).then_some((low, high))
}

/// The smallest sample in which the quantile has a two-sided 95 % interval between two of its values.
pub(crate) fn needed(quantile: f64) -> u64 {
    let rarer = quantile.max(1.0 - quantile);
    if rarer.is_nan() || rarer >= 1.0 {
        return u64::MAX;
    }
    let mut count = (TAIL.ln() / rarer.ln()).floor().max(1.0) as u64;
    while rarer.powf(count as f64) > TAIL {
        count += 1;
    }
    count
}

/// A binomial distribution, as the probabilities around its mode: what is left out weighs nothing in a double.
pub(crate) struct Binomial {
    /// The number of successes of the first weight.
    first: u64,
    count: u64,
    weights: Vec<f64>,
}

impl Binomial {
    pub(crate) fn new(count: u64, probability: f64) -> Self {
        let mode = ((count + 1) as f64 * probability).floor().min(count as f64) as u64;
        let odds = probability / (1.0 - probability);
        let negligible = |weight: f64| weight < 1e-18;
        let mut below = Vec::new();
        let mut weight = 1.0;
        for successes in (0..mode).rev() {
            weight *= (successes + 1) as f64 / ((count - successes) as f64 * odds);
            if negligible(weight) {
                break;
            }
            below.push(weight);
        }
        let first = mode - below.len() as u64;
        let mut weights: Vec<f64> = below.into_iter().rev().collect();
        weights.push(1.0);
        weight = 1.0;
        for successes in mode..count {
            weight *= (count - successes) as f64 * odds / (successes + 1) as f64;
            if negligible(weight) {
                break;
            }
            weights.push(weight);
        }
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        Self { first, count, weights }
    }

    /// The probability of at most so many successes.
    pub(crate) fn at_most(&self, successes: u64) -> f64 {
        let entries = (successes + 1).saturating_sub(self.first) as usize;
        self.weights.iter().take(entries).sum()
    }

    /// The same seen from the other end: failures in place of successes.
    fn mirrored(&self) -> Self {
        let last = self.first + self.weights.len() as u64 - 1;
        Self {
            first: self.count - last,
            count: self.count,
            weights: self.weights.iter().rev().copied().collect(),
        }
    }

    /// The smallest number of successes that is not exceeded with a probability above `level`.
    fn first_above(&self, level: f64) -> u64 {
        let mut sum = 0.0;
        let below = self.weights.iter().take_while(|&&weight| {
            sum += weight;
            sum <= level + ROUNDING
        });
        self.first + below.count() as u64
    }
}

/// The sum of the positive ranks of `pairs` differences that are as often above 0 as below (Wilcoxon): entry *t* is the
/// probability that it is at most *t*. Goes up to the middle.
pub(crate) fn signed_rank(pairs: usize) -> Vec<f64> {
    let half = pairs * (pairs + 1) / 4;
    let mut probability = vec![0.0; half + 1];
    probability[0] = 1.0;
    for rank in 1..=pairs {
        for sum in (0..=half).rev() {
            let with = if sum >= rank { probability[sum - rank] } else { 0.0 };
            probability[sum] = f64::midpoint(probability[sum], with);
        }
    }
    cumulated(probability)
}

/// In how many of the pairs of one value from each of two samples the first is the larger, both samples being from one
/// population (Mann and Whitney): entry *u* is the probability that it is at most *u*. Goes up to the middle.
pub(crate) fn mann_whitney(first: usize, second: usize) -> Vec<f64> {
    let half = first * second / 2;
    // `row[j]` is the distribution for i values of the first sample and j of the second. The largest of all i + j is
    // one of the first in i / (i + j), and is then larger than all j of the second.
    let mut row: Vec<Vec<f64>> = vec![vec![1.0]; second + 1];
    for i in 1..=first {
        row[0] = vec![1.0];
        for j in 1..=second {
            let share = i as f64 / (i + j) as f64;
            let mut next = vec![0.0; (i * j).min(half) + 1];
            next.iter_mut().zip(&row[j - 1]).for_each(|(next, entry)| *next = (1.0 - share) * entry);
            next.iter_mut().skip(j).zip(&row[j]).for_each(|(next, entry)| *next += share * entry);
            row[j] = next;
        }
    }
    let mut probability = row.swap_remove(second);
    probability.truncate(half + 1);
    cumulated(probability)
}

fn cumulated(mut probability: Vec<f64>) -> Vec<f64> {
    let mut sum = 0.0;
    for entry in &mut probability {
        sum += *entry;
        *entry = sum;
    }
    probability
}

/// The value below which a standard normal one is with this probability, from a half on; good to 0.0005 (Abramowitz and
/// Stegun 26.2.23), which is plenty for a power.
pub(crate) fn normal_quantile(probability: f64) -> f64 {
    let t = (-2.0 * (1.0 - probability).ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn what_a_quantile_needs_follows_from_its_interval() {
        assert_eq!([0.5, 0.9, 0.99, 0.999].map(needed), [6, 36, 368, 3688]);
        assert_eq!(needed(0.1), 36, "the lower end needs as many");
        assert_eq!([needed(1.0), needed(0.0), needed(f64::NAN)], [u64::MAX; 3]);
        for quantile in [0.5, 0.9, 0.99, 0.999] {
            assert_eq!(quantile_ranks(needed(quantile) - 1, quantile), None);
            let (_, high) = quantile_ranks(needed(quantile), quantile).unwrap();
            assert_eq!(high, needed(quantile), "the largest is the upper end of the smallest sample");
        }
    }

    /// From the tables of any textbook: 95 % intervals of a median.
    #[test]
    fn ranks_of_a_median_are_those_of_the_tables() {
        for (count, ranks) in [(6, (1, 6)), (10, (2, 9)), (20, (6, 15)), (30, (10, 21)), (100, (40, 61))] {
            assert_eq!(quantile_ranks(count, 0.5), Some(ranks), "{count}");
        }
    }

    #[test]
    fn large_samples_pass_into_the_normal_approximation_smoothly() {
        for quantile in [0.5, 0.99, 0.999] {
            let (low, high) = quantile_ranks(TRIALS_EXACT, quantile).unwrap();
            let (low_next, high_next) = quantile_ranks(TRIALS_EXACT + 1, quantile).unwrap();
            assert!(low.abs_diff(low_next) <= 3 && high.abs_diff(high_next) <= 3, "{quantile}");
        }
    }

    /// All sign patterns of six pairs, counted.
    #[test]
    fn signed_ranks_are_those_that_can_be_counted() {
        let sum = |signs: u32| -> usize { (0..6).filter(|rank| signs >> rank & 1 == 1).map(|r| r + 1).sum() };
        for (t, probability) in signed_rank(6).into_iter().enumerate() {
            let counted = (0..64).filter(|&signs| sum(signs) <= t).count();
            assert!(close(probability, counted as f64 / 64.0), "{t}");
        }
        // From the tables: n = 20, P(T <= 52) is the last below 0.025.
        let twenty = signed_rank(20);
        assert!(twenty[52] <= TAIL && twenty[53] > TAIL);
    }

    /// All ways of picking four places of nine.
    #[test]
    fn mann_whitney_counts_are_those_that_can_be_counted() {
        let larger = |picked: u32| -> usize {
            (0..9)
                .filter(|place| picked >> place & 1 == 1)
                .map(|place| (0..place).filter(|below| picked >> below & 1 == 0).count())
                .sum()
        };
        let ways: Vec<_> = (0..512_u32).filter(|picked| picked.count_ones() == 4).map(larger).collect();
        for (u, probability) in mann_whitney(4, 5).into_iter().enumerate() {
            let counted = ways.iter().filter(|&&way| way <= u).count();
            assert!(close(probability, counted as f64 / ways.len() as f64), "{u}");
        }
        let (more, fewer) = (mann_whitney(7, 3), mann_whitney(3, 7));
        assert!(more.iter().zip(&fewer).all(|(left, right)| close(*left, *right)));
    }

    #[test]
    fn normal_quantiles_are_known() {
        for (probability, quantile) in [(0.5, 0.0), (0.8, 0.841_62), (0.975, 1.959_96), (0.995, 2.575_83)] {
            assert!((normal_quantile(probability) - quantile).abs() < 6e-4, "{probability}");
        }
    }
}
