//! From measured arms to verdicts.

use std::collections::{BTreeMap, BTreeSet};

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
            .filter_map(|index| Some((index, saved.iter().find(|arm| same(arm, &now[index]))?)))
            .collect();
        for metric in Metric::ALL {
            let floor = judge_cell(now, &Cell { baseline: cell.baseline, others: Vec::new() }, metric, rules);
            let before = noise_before(saved, &now[cell.baseline], metric, rules);
            let threshold = rules.threshold.or(larger(floor.half_width, before));
            let runs: Vec<_> = pairs
                .iter()
                .map(|&(index, saved)| (runs(&saved.samples, metric), runs(&now[index].samples, metric)))
                .collect();
            let arms: Vec<_> = runs.iter().map(|(saved, now)| Before { saved, now }).collect();
            let (findings, narrow) = judge_against(&arms, threshold, metric.more_is_better(), rules);
            measured |= findings.iter().any(|finding| finding.blocks > 0);
            conclusion.narrow &= narrow && floor.narrow;
            conclusion.noise_floor.push(noise(cell.baseline, &now[cell.baseline], metric, &floor));
            for (&(index, saved), finding) in pairs.iter().zip(&findings) {
                let against = (&*saved.target, None);
                let verdict = verdict(index, &now[index], against, metric, threshold, finding);
                conclusion.verdicts.push(verdict);
            }
        }
    }
    conclusion.narrow &= measured;
    conclusion
}

/// Whether two arms are of the same thing.
pub(crate) fn same(left: &Arm, right: &Arm) -> bool {
    left.target == right.target && alike(left, right)
}

/// Whether two arms differ in their target only.
fn alike(left: &Arm, right: &Arm) -> bool {
    (left.size, left.connections, left.depth, left.mode)
        == (right.size, right.connections, right.depth, right.mode)
}

fn judge_cell(arms: &[Arm], cell: &Cell, metric: Metric, rules: &Rules) -> Findings {
    let first = &arms[cell.baseline];
    let blocks: BTreeSet<u64> = first.samples.iter().map(|sample| sample.block).collect();
    let row = |samples: &[Sample]| -> Vec<Option<f64>> {
        let values: BTreeMap<u64, Option<f64>> =
            samples.iter().map(|sample| (sample.block, metric.of(sample))).collect();
        blocks.iter().map(|block| values.get(block).copied().flatten()).collect()
    };
    let baseline = row(&first.samples);
    // An arm that never had a control is compared with its one run; one that lacks it in some blocks loses these.
    let control = if first.control.is_empty() { Vec::new() } else { row(&first.control) };
    let others: Vec<_> = cell.others.iter().map(|&index| row(&arms[index].samples)).collect();
    let observations = Observations { baseline: &baseline, control: &control, arms: &others };
    judge(&observations, metric.more_is_better(), rules)
}

/// The noise floor of a saved session, from any arm there that was a baseline under the same conditions.
fn noise_before(saved: &[Arm], now: &Arm, metric: Metric, rules: &Rules) -> Option<f64> {
    let baselines = (0..saved.len()).filter(|&index| alike(&saved[index], now));
    let floors = baselines
        .map(|baseline| judge_cell(saved, &Cell { baseline, others: Vec::new() }, metric, rules).half_width);
    floors.fold(None, larger)
}

/// The larger of two figures of which either may be unknown.
fn larger(left: Option<f64>, right: Option<f64>) -> Option<f64> {
    left.into_iter().chain(right).reduce(f64::max)
}

fn runs(samples: &[Sample], metric: Metric) -> Vec<Option<f64>> {
    samples.iter().map(|sample| metric.of(sample)).collect()
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
