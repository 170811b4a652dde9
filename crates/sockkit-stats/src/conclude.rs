//! From measured arms to verdicts.

use std::collections::{BTreeMap, BTreeSet};

use crate::interval::Threshold;
use crate::judge::{Before, Finding, Findings, Observations, Rules, judge, judge_against};
use crate::result::{Arm, Metric, Noise, Sample, Verdict};

/// Arms that are compared with each other: those that differ in the target and in nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The baseline's place among the arms.
    pub baseline: usize,
    /// The others'.
    pub others: Vec<usize>,
}

/// What follows from the samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conclusion {
    /// One for each cell, metric and arm, in this order.
    pub verdicts: Vec<Verdict>,
    /// One for each cell and metric.
    pub noise_floor: Vec<Noise>,
    /// Whether every interval is as narrow as asked for. A metric that no arm has does not count; none at all is not
    /// narrow.
    pub narrow: bool,
}

/// Judges each arm by its cell's baseline, from rounds of the same block.
///
/// # Panics
/// If a cell names an arm that is not there.
pub fn conclude(arms: &[Arm], cells: &[Cell], rules: &Rules) -> Conclusion {
    let mut conclusion = Conclusion { narrow: true, ..Conclusion::default() };
    let mut measured = false;
    for cell in cells {
        let baseline = &arms[cell.baseline];
        for metric in Metric::ALL {
            let findings = judge_cell(arms, cell, metric, rules);
            measured |= findings.arms.iter().any(|finding| finding.blocks > 0);
            conclusion.narrow &= findings.narrow;
            conclusion.noise_floor.push(noise(cell.baseline, baseline, metric, &findings));
            for (&index, finding) in cell.others.iter().zip(&findings.arms) {
                let against = (&*baseline.target, Some(cell.baseline as u64));
                let verdict = verdict(index, &arms[index], against, metric, findings.threshold, finding);
                conclusion.verdicts.push(verdict);
            }
        }
    }
    conclusion.narrow &= measured;
    conclusion
}

/// Judges each arm by what the same arm was in a saved result: same target, size, connections, depth and mode. Arms that
/// were not there then have no verdict. The noise floor is this session's; the threshold, unless one is given, the
/// larger one of both sessions, as far as they know one.
///
/// # Panics
/// If a cell names an arm that is not there.
pub fn conclude_against(saved: &[Arm], now: &[Arm], cells: &[Cell], rules: &Rules) -> Conclusion {
    let mut conclusion = Conclusion { narrow: true, ..Conclusion::default() };
    let mut measured = false;
    for cell in cells {
        let members = std::iter::once(cell.baseline).chain(cell.others.iter().copied());
        let pairs: Vec<(usize, &Arm)> = members
            .filter_map(|index| {
                Some((index, saved.iter().find(|arm| arm.identity() == now[index].identity())?))
            })
            .collect();
        for metric in Metric::ALL {
            let floor = judge_cell(now, &Cell { baseline: cell.baseline, others: Vec::new() }, metric, rules);
            let before = noise_before(saved, &now[cell.baseline], metric, rules);
            let measured_floor = larger(floor.half_width, before);
            let threshold = rules.threshold.map(Threshold::Given).or(measured_floor.map(Threshold::Measured));
            let runs: Vec<_> = pairs
                .iter()
                .map(|&(index, saved)| (runs(saved, metric), runs(&now[index], metric)))
                .collect();
            let arms: Vec<_> = runs.iter().map(|(saved, now)| Before { saved, now }).collect();
            let (findings, narrow) = judge_against(&arms, threshold, metric.more_is_better(), rules);
            measured |= findings.iter().any(|finding| finding.blocks > 0);
            conclusion.narrow &= narrow && floor.narrow;
            conclusion.noise_floor.push(noise(cell.baseline, &now[cell.baseline], metric, &floor));
            for (&(index, saved), finding) in pairs.iter().zip(&findings) {
                let against = (&*saved.target, None);
                let verdict =
                    verdict(index, &now[index], against, metric, threshold.map(Threshold::value), finding);
                conclusion.verdicts.push(verdict);
            }
        }
    }
    conclusion.narrow &= measured;
    conclusion
}

fn judge_cell(arms: &[Arm], cell: &Cell, metric: Metric, rules: &Rules) -> Findings {
    let first = &arms[cell.baseline];
    let blocks: BTreeSet<u64> = first.samples.iter().map(|sample| sample.block).collect();
    let row = |arm: &Arm, samples: &[Sample]| -> Vec<Option<f64>> {
        let values: BTreeMap<u64, f64> =
            samples.iter().filter_map(|sample| Some((sample.block, value(arm, sample, metric)?))).collect();
        blocks.iter().map(|block| values.get(block).copied()).collect()
    };
    let baseline = row(first, &first.samples);
    // An arm that never had a control is compared with its one run; one that lacks it in some blocks loses these.
    let control = if first.control.is_empty() { Vec::new() } else { row(first, &first.control) };
    let others: Vec<_> = cell.others.iter().map(|&index| row(&arms[index], &arms[index].samples)).collect();
    let observations = Observations { baseline: &baseline, control: &control, arms: &others };
    judge(&observations, metric.more_is_better(), rules)
}

/// The noise floor of a saved session, from any arm there that was a baseline under the same conditions.
fn noise_before(saved: &[Arm], now: &Arm, metric: Metric, rules: &Rules) -> Option<f64> {
    let baselines = (0..saved.len()).filter(|&index| saved[index].load() == now.load());
    let floors = baselines
        .map(|baseline| judge_cell(saved, &Cell { baseline, others: Vec::new() }, metric, rules).half_width);
    floors.fold(None, larger)
}

/// The larger of two figures of which either may be unknown.
fn larger(left: Option<f64>, right: Option<f64>) -> Option<f64> {
    left.into_iter().chain(right).reduce(f64::max)
}

fn runs(arm: &Arm, metric: Metric) -> Vec<Option<f64>> {
    arm.samples.iter().map(|sample| value(arm, sample, metric)).collect()
}

/// The figure of a round. A generator that fell behind its schedule has none to tell of round trips.
fn value(arm: &Arm, sample: &Sample, metric: Metric) -> Option<f64> {
    metric.of(sample).filter(|_| !arm.saturated || !matches!(metric, Metric::P50 | Metric::P99))
}

fn noise(index: usize, arm: &Arm, metric: Metric, findings: &Findings) -> Noise {
    Noise {
        arm: arm.target.clone(),
        arm_index: index as u64,
        metric,
        ratio: findings.noise,
        half_width: findings.half_width,
    }
}

fn verdict(
    index: usize,
    arm: &Arm,
    (against, against_index): (&str, Option<u64>),
    metric: Metric,
    threshold: Option<f64>,
    finding: &Finding,
) -> Verdict {
    Verdict {
        arm: arm.target.clone(),
        against: against.to_owned(),
        arm_index: index as u64,
        against_index,
        metric,
        ratio: finding.ratio,
        verdict: finding.word,
        detectable: finding.detectable,
        threshold,
        blocks: finding.blocks as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Word;
    use crate::result::example::{arm, samples};

    fn arms(figures: &[(&str, f64)]) -> Vec<Arm> {
        let arms = figures.iter().zip(1..);
        let mut arms: Vec<_> = arms
            .map(|(&(target, p50_ns), turn)| Arm { samples: samples(p50_ns, turn, 8), ..arm(target) })
            .collect();
        arms[0].control = samples(figures[0].1, 7, 8);
        arms
    }

    fn word(conclusion: &Conclusion, arm: usize, metric: Metric) -> Word {
        let mut of = conclusion.verdicts.iter();
        of.find(|verdict| verdict.arm_index == arm as u64 && verdict.metric == metric).unwrap().verdict
    }

    #[test]
    fn arms_are_judged_by_every_metric_they_have() {
        let arms = arms(&[("tcp", 20e3), ("unix", 15e3), ("udp", 30e3), ("tcp", 20e3)]);
        let cells = [Cell { baseline: 0, others: vec![1, 2, 3] }];
        let found = conclude(&arms, &cells, &Rules::default());
        assert_eq!((found.verdicts.len(), found.noise_floor.len()), (12, 4));
        for metric in [Metric::P50, Metric::Rate, Metric::Cpu] {
            let words = [1, 2, 3].map(|arm| word(&found, arm, metric));
            assert_eq!(words, [Word::Faster, Word::Slower, Word::NoDifferenceShown], "{metric:?}");
        }
        let p99 = found.verdicts.iter().find(|verdict| verdict.metric == Metric::P99).unwrap();
        assert_eq!((p99.ratio, p99.verdict, p99.blocks), (None, Word::NoDifferenceShown, 0));
        let p50 = &found.verdicts[0];
        assert_eq!((&*p50.arm, &*p50.against, p50.arm_index, p50.against_index), ("unix", "tcp", 1, Some(0)));
        assert_eq!((p50.blocks, p50.threshold), (8, found.noise_floor[0].half_width));
        assert!(found.narrow, "a metric that nobody has does not count");
    }

    #[test]
    fn rounds_are_paired_by_their_block_and_not_by_their_place() {
        let mut arms = arms(&[("tcp", 20e3), ("unix", 15e3)]);
        arms[1].samples.remove(2);
        arms[1].samples.reverse();
        let cells = [Cell { baseline: 0, others: vec![1] }];
        let found = conclude(&arms, &cells, &Rules::default());
        assert_eq!(found.verdicts[0].blocks, 7);
        let narrow = crate::interval::half_width(&found.verdicts[0].ratio.unwrap()).unwrap();
        assert!(narrow < 0.01, "{narrow}");
        arms[1].samples.iter_mut().for_each(|sample| sample.block += 100);
        assert_eq!(conclude(&arms, &cells, &Rules::default()).verdicts[0].ratio, None, "no block in common");
    }

    #[test]
    fn round_trips_of_a_saturated_generator_are_not_judged() {
        let mut arms = arms(&[("tcp", 20e3), ("unix", 15e3)]);
        arms[1].saturated = true;
        let found = conclude(&arms, &[Cell { baseline: 0, others: vec![1] }], &Rules::default());
        assert_eq!(found.verdicts[0].ratio, None);
        assert_eq!(word(&found, 1, Metric::Rate), Word::Faster);
    }

    #[test]
    fn nothing_measured_is_not_narrow() {
        let arms = [arm("tcp"), arm("udp")];
        let cells = [Cell { baseline: 0, others: vec![1] }];
        assert!(!conclude(&arms, &cells, &Rules::default()).narrow);
        assert!(!conclude(&arms, &[], &Rules::default()).narrow);
    }

    #[test]
    fn a_saved_result_is_matched_by_what_was_measured() {
        let saved = arms(&[("udp", 30e3), ("tcp", 20e3)]);
        let now = arms(&[("tcp", 25e3), ("udp", 30e3), ("unix", 10e3)]);
        let cells = [Cell { baseline: 0, others: vec![1, 2] }];
        let found = conclude_against(&saved, &now, &cells, &Rules::default());
        assert_eq!(found.verdicts.len(), 8, "unix was not there then");
        assert_eq!(word(&found, 0, Metric::P50), Word::Slower);
        assert_eq!(word(&found, 1, Metric::P50), Word::NoDifferenceShown);
        let first = &found.verdicts[0];
        assert_eq!((&*first.arm, &*first.against, first.against_index), ("tcp", "tcp", None));
        assert!(first.threshold >= found.noise_floor[0].half_width && first.threshold.is_some());

        let mut other_size = saved.clone();
        other_size.iter_mut().for_each(|arm| arm.size = 1);
        let found = conclude_against(&other_size, &now, &cells, &Rules::default());
        assert_eq!((found.verdicts.len(), found.narrow), (0, false));
    }
}
