//! What may be claimed of an arm beside its baseline.
//!
//! The material is one figure a run (a median round trip, a rate, a cost). In every block each arm runs once and the
//! baseline twice. The two runs of the baseline differ by nothing but noise; the interval of *their* ratio is the noise
//! floor. An arm is compared with both runs of the baseline, which together are less noisy than one. A difference is
//! claimed only if the whole interval of an arm's ratio lies beyond the threshold, on one side.
//!
//! **The threshold** is what the user says matters, or else the farther end of the noise's interval from 1. The farther
//! end and not half its width: if the two runs of the same seem to differ by 2 % give or take 1 %, then something here
//! makes 3 % out of nothing, and an arm must show more than that. A pair that is itself off must not lower the bar.
//!
//! **Several arms** against one baseline are several chances to be wrong. Holm (1979) keeps the chance of any wrong claim
//! within 5 %: of m arms the clearest is judged at 1 - 0.05/m, and if it passes, the next at 1 - 0.05/(m-1), until one
//! fails; that one and those behind it are judged at the level where it failed. The interval given for an arm is the one
//! at the level at which it was judged, so that who looks at the interval comes to the same verdict. The price: few
//! blocks cannot carry many arms ([`blocks_needed`]).
//!
//! **Symmetry**: a threshold of 3 % means above 1.03 or below 1/1.03, so that two arms that change places get the same
//! verdict the other way round.

use crate::Estimate;
use crate::contrast::Contrast;
use crate::interval::{CONFIDENCE, Threshold, detectable, half_width};
use crate::null::ROUNDING;
use crate::result::Word;

/// What a verdict takes. Fixed before the first run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// How sure all verdicts of one cell and metric together have to be: 0.95 for one wrong claim in twenty at most.
    pub confidence: f64,
    /// The difference that matters, 0.01 for 1 %; `None` for the noise floor.
    pub threshold: Option<f64>,
    /// Fewer blocks than this give no verdict.
    pub blocks_min: usize,
    /// The half-width at which an interval is narrow enough, 0.03 for 3 %.
    pub precision: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { confidence: CONFIDENCE, threshold: None, blocks_min: 6, precision: 0.03 }
    }
}

/// One metric of one cell. Value *i* of each is that of block *i*, `None` where it was not measured or withheld. A
/// block counts for an arm if the arm and both runs of the baseline have a figure above 0 in it; without any control
/// (an empty slice) the baseline's one run has to do.
#[derive(Clone, Copy, Debug)]
pub struct Observations<'a> {
    /// The first run of the baseline.
    pub baseline: &'a [Option<f64>],
    /// The second one.
    pub control: &'a [Option<f64>],
    /// The other arms.
    pub arms: &'a [Vec<Option<f64>>],
}

/// What [`judge`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// Second run of the baseline by the first, with its interval at the confidence of the rules.
    pub noise: Option<Estimate>,
    /// How far the noise's interval reaches from 1: 0.02 if it goes up to 1.02 or down to 1/1.02.
    pub half_width: Option<f64>,
    /// What the intervals had to clear. `None` if none was given and the noise is not known: nothing is claimed then.
    pub threshold: Option<f64>,
    /// One for each arm.
    pub arms: Vec<Finding>,
    /// Whether the intervals of the noise and of all arms (each on its own, at the confidence of the rules) are within
    /// the precision that was asked for, and there are blocks enough that each arm can get a verdict
    /// ([`blocks_needed`]). What has no value at all does not count: it never will have.
    pub narrow: bool,
}

/// What was found of one arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// The arm's figure by the baseline's, with the interval by which it was judged.
    pub ratio: Option<Estimate>,
    /// The confidence of that interval.
    pub confidence: f64,
    /// What follows.
    pub word: Word,
    /// The smallest difference that would have been shown in four of five cases, if one could have been.
    pub detectable: Option<f64>,
    /// Pairs behind it.
    pub blocks: usize,
}

/// Two samples that were not taken in pairs: figures of runs before and now.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// The runs of a saved result.
    pub saved: &'a [Option<f64>],
    /// Those of this one.
    pub now: &'a [Option<f64>],
}

/// Judges the arms of one cell by one metric.
pub fn judge(observations: &Observations<'_>, more_is_better: bool, rules: &Rules) -> Findings {
    let noise_logs = noise_of(observations);
    let noise_contrast = Contrast::paired(&noise_logs);
    let noise = noise_contrast.estimate(rules.confidence);
    let half_width = noise.as_ref().and_then(farther_end).filter(|_| noise_logs.len() >= rules.blocks_min);
    let threshold = rules.threshold.map(Threshold::Given).or(half_width.map(Threshold::Measured));
    let candidates: Vec<_> = observations
        .arms
        .iter()
        .map(|arm| {
            let (to_first, to_second): (Vec<_>, Vec<_>) = ratios_of(observations, arm).into_iter().unzip();
            let contrast = if observations.control.is_empty() {
                Contrast::paired(&to_first)
            } else {
                Contrast::paired_with_two(&to_first, &to_second)
            };
            Candidate { contrast, blocks: to_first.len() }
        })
        .collect();
    let narrow = is_narrow(&noise_contrast, rules) && are_narrow(&candidates, rules);
    let arms = holm(&candidates, threshold, more_is_better, rules);
    Findings { noise, half_width, threshold: threshold.map(Threshold::value), arms, narrow }
}

/// Judges arms against what they were in a saved result, all of one cell and metric together. `threshold` is what
/// intervals have to clear; without one nothing is claimed. The second value is whether all intervals are narrow enough.
///
/// Nothing cancels here: if the machine as a whole has become slower since, then so has every arm. The noise floor of
/// either session does not know about that.
pub fn judge_against(
    arms: &[Before<'_>],
    threshold: Option<Threshold>,
    more_is_better: bool,
    rules: &Rules,
) -> (Vec<Finding>, bool) {
    let candidates: Vec<_> = arms
        .iter()
        .map(|arm| {
            let logs =
                |values: &[Option<f64>]| values.iter().filter_map(|value| log(*value)).collect::<Vec<_>>();
            let (saved, now) = (logs(arm.saved), logs(arm.now));
            Candidate { contrast: Contrast::unpaired(&saved, &now), blocks: saved.len().min(now.len()) }
        })
        .collect();
    let narrow = are_narrow(&candidates, rules);
    (holm(&candidates, threshold, more_is_better, rules), narrow)
}

/// The fewest blocks with which the first of so many arms can get a verdict: 6 for one arm at 95 %, 8 for five. With
/// fewer, no interval at the level that Holm asks for exists.
pub fn blocks_needed(arms: usize, rules: &Rules) -> usize {
    let level = (1.0 - rules.confidence) / arms.max(1) as f64;
    // The most that n pairs can show is that all differ the same way: that happens by chance in 2 of 2^n cases.
    let pairs = (2.0 / level).log2() - ROUNDING;
    rules.blocks_min.max(pairs.ceil() as usize)
}

/// One arm that waits for its verdict.
struct Candidate {
    contrast: Contrast,
    blocks: usize,
}

/// Holm's procedure, as the head of this file has it.
fn holm(
    candidates: &[Candidate],
    threshold: Option<Threshold>,
    more_is_better: bool,
    rules: &Rules,
) -> Vec<Finding> {
    let significance = |candidate: &Candidate| match threshold {
        Some(threshold) if candidate.blocks >= rules.blocks_min => {
            candidate.contrast.significance(1.0 + threshold.value())
        }
        _ => 1.0,
    };
    let mut order: Vec<_> = (0..candidates.len())
        .filter(|&index| candidates[index].blocks > 0)
        .map(|index| (significance(&candidates[index]), index))
        .collect();
    order.sort_by(|left, right| left.0.total_cmp(&right.0));
    let mut findings = vec![NOTHING; candidates.len()];
    let mut waiting = order.len();
    for (significance, index) in order {
        let level = (1.0 - rules.confidence) / waiting as f64;
        let passes = significance <= level + ROUNDING;
        // Once one has failed, all behind it are judged at its level; they are less clear, so they fail too.
        waiting -= usize::from(passes);
        findings[index] = finding(&candidates[index], level, threshold, passes, more_is_better, rules);
    }
    findings
}

/// What is said of an arm that shares no block with its baseline.
const NOTHING: Finding = Finding {
    ratio: None,
    confidence: CONFIDENCE,
    word: Word::NoDifferenceShown,
    detectable: None,
    blocks: 0,
};

fn finding(
    candidate: &Candidate,
    level: f64,
    threshold: Option<Threshold>,
    passes: bool,
    more_is_better: bool,
    rules: &Rules,
) -> Finding {
    let confidence = 1.0 - level;
    let ratio = candidate.contrast.estimate(confidence);
    let word = match &ratio {
        Some(ratio) if passes && (ratio.estimate > 1.0) == more_is_better => Word::Faster,
        Some(_) if passes => Word::Slower,
        _ => Word::NoDifferenceShown,
    };
    let detectable = ratio
        .as_ref()
        .zip(threshold)
        .filter(|_| candidate.blocks >= rules.blocks_min)
        .and_then(|(ratio, threshold)| detectable(threshold, ratio, confidence));
    Finding { ratio, confidence, word, detectable, blocks: candidate.blocks }
}

/// Whether more blocks are not needed: all intervals are within the precision, and long enough samples for a verdict.
/// Five arms may be narrow at 95 % after six blocks, but none of them could be called different before the eighth.
fn are_narrow(candidates: &[Candidate], rules: &Rules) -> bool {
    let arms = candidates.iter().filter(|candidate| candidate.blocks > 0).count();
    let strictest = 1.0 - (1.0 - rules.confidence) / arms.max(1) as f64;
    candidates.iter().filter(|candidate| candidate.blocks > 0).all(|candidate| {
        let can_be_judged = candidate.blocks >= rules.blocks_min
            && candidate.contrast.estimate(strictest).is_some_and(|ratio| ratio.low.is_some());
        can_be_judged && is_narrow(&candidate.contrast, rules)
    })
}

fn is_narrow(contrast: &Contrast, rules: &Rules) -> bool {
    contrast
        .estimate(rules.confidence)
        .is_none_or(|ratio| half_width(&ratio).is_some_and(|half_width| half_width <= rules.precision))
}

/// How far an interval reaches from 1, to the side on which it reaches farther.
fn farther_end(ratio: &Estimate) -> Option<f64> {
    Some(ratio.high?.max(1.0 / ratio.low?) - 1.0)
}

/// The second run of the baseline by the first, block by block.
fn noise_of(observations: &Observations<'_>) -> Vec<f64> {
    let pairs = observations.baseline.iter().zip(observations.control);
    pairs.filter_map(|(baseline, control)| Some(log(*control)? - log(*baseline)?)).collect()
}

/// An arm by the first run of its baseline and by the second one, block by block.
fn ratios_of(observations: &Observations<'_>, arm: &[Option<f64>]) -> Vec<(f64, f64)> {
    let ratios = |(block, value): (usize, &Option<f64>)| {
        let (value, first) = (log(*value)?, log(*observations.baseline.get(block)?)?);
        let second =
            if observations.control.is_empty() { first } else { log(*observations.control.get(block)?)? };
        Some((value - first, value - second))
    };
    arm.iter().enumerate().filter_map(ratios).collect()
}

fn log(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite() && *value > 0.0).map(f64::ln)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE: [f64; 8] = [0.004, -0.006, 0.002, -0.003, 0.005, -0.001, 0.003, -0.005];

    /// A run whose true figure is `figure`, with its own noise.
    fn runs(figure: f64, turn: usize, blocks: usize) -> Vec<Option<f64>> {
        (0..blocks).map(|block| Some(figure * (1.0 + NOISE[(block * 3 + turn) % NOISE.len()]))).collect()
    }

    fn findings(arms: &[Vec<Option<f64>>], blocks: usize, rules: &Rules) -> Findings {
        let (baseline, control) = (runs(100.0, 0, blocks), runs(100.0, 1, blocks));
        judge(&Observations { baseline: &baseline, control: &control, arms }, false, rules)
    }

    #[test]
    fn a_clear_difference_is_found_in_its_direction() {
        let found = findings(&[runs(150.0, 2, 8), runs(50.0, 4, 8), runs(100.0, 5, 8)], 8, &Rules::default());
        let words: Vec<_> = found.arms.iter().map(|finding| finding.word).collect();
        assert_eq!(words, [Word::Slower, Word::Faster, Word::NoDifferenceShown]);
        assert!(found.threshold.unwrap() < 0.02 && found.threshold == found.half_width, "{found:?}");
        let more = judge(
            &Observations { baseline: &runs(100.0, 0, 8), control: &[], arms: &[runs(150.0, 2, 8)] },
            true,
            &Rules { threshold: Some(0.01), ..Rules::default() },
        );
        assert_eq!(more.arms[0].word, Word::Faster, "more is better for a rate");
        assert_eq!((more.noise, more.half_width), (None, None));
    }

    #[test]
    fn fewer_than_six_blocks_claim_nothing() {
        let rules = Rules { threshold: Some(0.0), confidence: 0.5, ..Rules::default() };
        let found = findings(&[runs(900.0, 2, 5)], 5, &rules);
        assert_eq!(
            (found.arms[0].word, found.arms[0].detectable),
            (Word::NoDifferenceShown, None),
            "{found:?}"
        );
        assert!(found.arms[0].ratio.is_some(), "the figure is given all the same");
        assert_eq!(findings(&[runs(900.0, 2, 6)], 6, &rules).arms[0].word, Word::Slower);
    }

    #[test]
    fn without_a_noise_floor_or_a_threshold_nothing_is_claimed() {
        let baseline = runs(100.0, 0, 8);
        let observations = Observations { baseline: &baseline, control: &[], arms: &[runs(300.0, 1, 8)] };
        let found = judge(&observations, false, &Rules::default());
        assert_eq!((found.threshold, found.arms[0].word), (None, Word::NoDifferenceShown));
    }

    /// A difference that the interval shows, but which does not clear what two runs of the same differ by.
    #[test]
    fn a_noise_pair_that_is_off_raises_the_bar() {
        let (baseline, arm) = (runs(100.0, 0, 8), runs(102.0, 2, 8));
        let judged = |control: &[Option<f64>]| {
            let observations =
                Observations { baseline: &baseline, control, arms: std::slice::from_ref(&arm) };
            judge(&observations, false, &Rules::default())
        };
        assert_eq!(judged(&runs(100.0, 1, 8)).arms[0].word, Word::Slower);
        let off = judged(&runs(97.0, 1, 8));
        assert_eq!(off.arms[0].word, Word::NoDifferenceShown, "{off:?}");
        assert!(
            off.arms[0].ratio.unwrap().low.unwrap() > 1.02,
            "the interval alone would have shown it: {off:?}"
        );
        assert!(off.half_width.unwrap() > 0.03);
    }

    #[test]
    fn holm_judges_the_clearest_most_strictly_and_shows_the_interval_it_used() {
        let rules = Rules { threshold: Some(0.0), ..Rules::default() };
        let arms =
            [runs(150.0, 2, 8), runs(140.0, 3, 8), runs(100.0, 4, 8), runs(100.1, 5, 8), runs(99.9, 6, 8)];
        let found = findings(&arms, 8, &rules);
        let mut levels: Vec<_> = found.arms.iter().map(|finding| 0.05 / (1.0 - finding.confidence)).collect();
        levels.sort_by(f64::total_cmp);
        for (level, expected) in levels.iter().zip([3.0, 3.0, 3.0, 4.0, 5.0]) {
            assert!((level - expected).abs() < 1e-6, "{levels:?}");
        }
        for finding in &found.arms {
            let ratio = finding.ratio.unwrap();
            let clears = ratio.low.unwrap() > 1.0 || ratio.high.unwrap() < 1.0;
            assert_eq!(clears, finding.word != Word::NoDifferenceShown, "{finding:?}");
        }
    }

    #[test]
    fn many_arms_need_more_blocks() {
        let rules = Rules { threshold: Some(0.0), ..Rules::default() };
        let needed = |arms| blocks_needed(arms, &rules);
        assert_eq!(
            [needed(0), needed(1), needed(2), needed(3), needed(5), needed(6), needed(7)],
            [6, 6, 7, 7, 8, 8, 9]
        );
        for blocks in [7, 8] {
            let arms: Vec<_> = (0..5).map(|turn| runs(200.0, turn + 2, blocks)).collect();
            let found = findings(&arms, blocks, &rules);
            let shown = found.arms.iter().all(|finding| finding.word == Word::Slower);
            assert_eq!(shown, blocks >= needed(5), "{found:?}");
        }
    }

    #[test]
    fn a_block_without_a_figure_does_not_count() {
        let mut arm = runs(150.0, 2, 8);
        (arm[1], arm[4]) = (None, Some(0.0));
        let found = findings(&[arm, vec![None; 8]], 8, &Rules::default());
        assert_eq!((found.arms[0].blocks, found.arms[0].word), (6, Word::Slower));
        assert_eq!(found.arms[1], NOTHING);
    }

    #[test]
    fn narrow_is_when_all_are_narrow() {
        let rules = |precision| Rules { precision, ..Rules::default() };
        let arms = [runs(150.0, 2, 8), vec![None; 8]];
        assert!(findings(&arms, 8, &rules(0.03)).narrow);
        assert!(!findings(&arms, 8, &rules(0.0003)).narrow);
        assert!(!findings(&arms, 5, &rules(0.5)).narrow, "five blocks have no interval");
        let five: Vec<_> = (0..5).map(|turn| runs(100.0, turn + 2, 7)).collect();
        assert!(findings(&five[..2], 7, &rules(0.5)).narrow);
        assert!(!findings(&five, 7, &rules(0.5)).narrow, "seven blocks cannot carry five arms");
    }

    #[test]
    fn a_saved_result_is_judged_without_pairs() {
        let (saved, now, same) = (runs(100.0, 0, 8), runs(120.0, 3, 7), runs(100.0, 2, 8));
        let arms = [Before { saved: &saved, now: &now }, Before { saved: &saved, now: &same }];
        let (found, narrow) = judge_against(&arms, Some(Threshold::Given(0.01)), true, &Rules::default());
        assert_eq!((found[0].word, found[0].blocks), (Word::Faster, 7));
        assert_eq!(found[1].word, Word::NoDifferenceShown);
        assert!(narrow);
        let (silent, _) = judge_against(&arms, None, true, &Rules::default());
        assert_eq!(silent[0].word, Word::NoDifferenceShown, "no threshold, no claim");
    }
}
