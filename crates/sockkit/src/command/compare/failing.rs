//! `--fail-if`: a verdict as an exit code.

use sockkit_stats::result::{Document, Metric, Verdict, Word};

use super::fairness;
use crate::cli::FailIf;
use crate::exit::Mismatch;
use crate::render::figures;

/// The error with which the command ends if there are such verdicts about these metrics, about all if none is named.
pub(super) fn check(document: &Document, fail_if: FailIf, metrics: &[Metric]) -> Result<(), Mismatch> {
    let is_bad = |verdict: &&Verdict| {
        let wanted = metrics.is_empty() || metrics.contains(&verdict.metric);
        let bad = match fail_if {
            FailIf::Slower => verdict.verdict == Word::Slower,
            FailIf::Different => verdict.verdict != Word::NoDifferenceShown,
        };
        wanted && bad
    };
    let bad: Vec<_> =
        document.verdicts.iter().filter(is_bad).map(|verdict| sentence(verdict, document)).collect();
    if bad.is_empty() { Ok(()) } else { Err(Mismatch(bad.join("; "))) }
}

/// `unix is slower than tcp in rtt_ns.p50: 1.21 (1.15 to 1.27)`.
fn sentence(verdict: &Verdict, document: &Document) -> String {
    let index = usize::try_from(verdict.arm_index).unwrap_or(usize::MAX);
    let arm = document.arms.get(index).map_or(verdict.arm.clone(), |arm| fairness::name(arm, document));
    let word = if verdict.verdict == Word::Slower { "slower" } else { "faster" };
    let against = match verdict.against_index {
        Some(_) => format!("than {}", verdict.against),
        None => "than it was".to_owned(),
    };
    let ratio = verdict.ratio.as_ref().map(figures::ratio).unwrap_or_default();
    format!("{arm} is {word} {against} in {}: {ratio}", verdict.metric.name())
}
