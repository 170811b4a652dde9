//! What a reader should know before believing the figures.
//!
//! A warning is a value, made of what was found, and knows what to do about it.

use std::fmt;
use std::time::Duration;

use sockkit_stats::Estimate;
use sockkit_stats::result::{Arm, Document, Metric};

use super::conduct::{Course, Findings, Stopped};
use super::fairness;
use crate::cli::Placement;
use crate::command::measure::{self, NOBODY_TELLS};
use crate::render::figures;

/// Samples without which a round has no p99 with an interval.
const P99_SAMPLES: u64 = 368;

/// One of them.
#[derive(Clone, Debug, PartialEq)]
enum Warning {
    /// Nothing can be shown by so few blocks.
    TooFewBlocks { blocks: u64, needed: u64, stopped: Stopped, budget: Duration },
    /// There is nothing to compare with.
    SingleArm,
    /// Two runs of the same differ.
    BaselineDiffersFromItself { target: String, metric: Metric, ratio: Estimate },
    /// Runs were kept although something disturbed them.
    KeptDisturbed { kept: u64, runs: u64, gave_up: bool },
    /// Messages did not come back, or not as they were sent.
    Trouble { arm: String, what: Vec<String> },
    /// The generator did not keep its schedule.
    Saturated { arm: String },
    /// What was sent may not have arrived.
    NobodyTells { arm: String },
    /// A percentile is missing because rounds are short.
    NoP99 { arms: Vec<String>, rounds: f64 },
    /// The server's cost is not known.
    NoServerCpu { arms: Vec<String> },
    /// Client and server take turns on a processor.
    OneProcessor,
    /// Options differ that were not the question.
    Unfair(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewBlocks { blocks, needed, stopped: Stopped::Interrupted(_), .. } => {
                write!(f, "interrupted after {blocks} of the {needed} blocks that a verdict takes")
            }
            Self::TooFewBlocks { blocks, needed, stopped: Stopped::Blocks, .. } => {
                write!(f, "a verdict takes {needed} blocks with so many arms, and {blocks} were asked for")
            }
            Self::TooFewBlocks { blocks, needed, budget, .. } => write!(
                f,
                "only {blocks} blocks fitted into the budget, and a verdict takes {needed} with so many arms: \
                 try --budget {}s",
                budget.as_secs()
            ),
            Self::SingleArm => write!(
                f,
                "one arm alone has nothing to be compared with: what is told is by how much two runs of it differ"
            ),
            Self::BaselineDiffersFromItself { target, metric, ratio } => write!(
                f,
                "two runs of the same ({target}) differ in {}: {}; the order is random, so something here changes \
                 from run to run, and small differences between arms mean nothing",
                metric.name(),
                figures::ratio(ratio)
            ),
            Self::KeptDisturbed { kept, runs, gave_up } => {
                write!(f, "{kept} of {runs} runs were disturbed and kept")?;
                match gave_up {
                    true => write!(
                        f,
                        ": a third of the budget had gone into repeats, so that the others were not repeated any \
                         more; a quieter machine gives narrower intervals"
                    ),
                    false => write!(f, ", because two repeats were disturbed as well"),
                }
            }
            Self::Trouble { arm, what } => write!(f, "{arm}: {}", what.join(", ")),
            Self::Saturated { arm } => write!(
                f,
                "{arm}: SATURATED: the load generator could not keep its schedule, so that percentiles are withheld; \
                 try a lower --rate, more --connections or --threads"
            ),
            Self::NobodyTells { arm } => write!(f, "{arm}: {NOBODY_TELLS}"),
            Self::NoP99 { arms, rounds } => write!(
                f,
                "p99 is withheld for {}: a round of {} has fewer than {P99_SAMPLES} samples; try a longer --duration, \
                 with a --budget to match",
                arms.join(" and "),
                figures::duration(rounds * 1e9)
            ),
            Self::NoServerCpu { arms } => write!(
                f,
                "the processor time of the server of {} is not known, so {} is not compared there",
                arms.join(" and "),
                Metric::Cpu.name()
            ),
            Self::OneProcessor => {
                write!(f, "client and server share one processor, so that each waits for the other")
            }
            Self::Unfair(sentence) => f.write_str(sentence),
        }
    }
}

/// All that apply.
pub(super) fn of(document: &Document, course: &Course<'_>, findings: &Findings) -> Vec<String> {
    let mut warnings = of_course(document, course, findings);
    warnings.extend(of_noise(document, course.rules.precision));
    warnings.extend(document.arms.iter().flat_map(|arm| of_arm(arm, &fairness::name(arm, document))));
    warnings.extend(of_missing(document, findings.measured.run_seconds()));
    let shares = document.environment.cores == 1 || course.workload.placement() == Placement::SameCore;
    if shares && document.arms.iter().any(|arm| arm.embedded) {
        warnings.push(Warning::OneProcessor);
    }
    if course.plan.saved.is_none() {
        warnings.extend(fairness::differences(&document.arms).into_iter().map(Warning::Unfair));
    }
    warnings.iter().map(Warning::to_string).collect()
}

fn of_course(document: &Document, course: &Course<'_>, findings: &Findings) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let (blocks, needed) = (findings.measured.blocks, findings.blocks_needed as u64);
    if blocks < needed {
        let stopped = findings.stopped;
        // A little more than is needed, in whole seconds.
        let budget = findings.block.mul_f64(1.3 * needed as f64) + Duration::from_secs(1);
        warnings.push(Warning::TooFewBlocks { blocks, needed, stopped, budget });
    }
    if document.arms.len() == 1 && course.plan.saved.is_none() {
        warnings.push(Warning::SingleArm);
    }
    let kept = findings.measured.kept_disturbed;
    if kept > 0 {
        let runs =
            document.arms.iter().map(|arm| arm.samples.len() + arm.control.len()).sum::<usize>() as u64;
        warnings.push(Warning::KeptDisturbed { kept, runs, gave_up: findings.gave_up_repeating });
    }
    warnings
}

/// Two runs of the same seem to differ in one of twenty metrics by chance alone. So it is told only where they do by more
/// than what is precise enough.
fn of_noise(document: &Document, precision: f64) -> impl Iterator<Item = Warning> {
    document.noise_floor.iter().filter_map(move |noise| {
        let ratio = noise.ratio?;
        let differs = ratio.low? > 1.0 + precision || ratio.high? < 1.0 / (1.0 + precision);
        let (target, metric) = (noise.arm.clone(), noise.metric);
        differs.then_some(Warning::BaselineDiffersFromItself { target, metric, ratio })
    })
}

fn of_arm(arm: &Arm, name: &str) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if arm.saturated {
        warnings.push(Warning::Saturated { arm: name.to_owned() });
    }
    if measure::nobody_tells(arm) {
        warnings.push(Warning::NobodyTells { arm: name.to_owned() });
    }
    let counters = &arm.counters;
    let counted = [
        (counters.lost, "lost"),
        (counters.corrupted, "CORRUPTED"),
        (counters.duplicated, "answered twice"),
        (counters.reordered, "out of order"),
        (counters.late, "too late"),
    ];
    let what: Vec<_> = counted
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| {
            format!("{} of {} messages {what}", figures::count(count), figures::count(counters.sent))
        })
        .collect();
    if !what.is_empty() {
        warnings.push(Warning::Trouble { arm: name.to_owned(), what });
    }
    warnings
}

/// What has no figure, and why.
fn of_missing(document: &Document, run_seconds: f64) -> Vec<Warning> {
    let names = |is: fn(&Arm) -> bool| -> Vec<String> {
        document.arms.iter().filter(|arm| is(arm)).map(|arm| fairness::name(arm, document)).collect()
    };
    let mut warnings = Vec::new();
    let short = names(|arm| {
        let no_p99 = arm.rtt_ns.p50.is_some() && arm.rtt_ns.p99.is_none_or(|p99| p99.low.is_none());
        !arm.saturated && no_p99 && arm.samples.iter().all(|sample| sample.p99.is_none())
    });
    if !short.is_empty() {
        warnings.push(Warning::NoP99 { arms: short, rounds: run_seconds });
    }
    let blind = names(|arm| !arm.samples.is_empty() && arm.cost.cpu_ns.is_none());
    if !blind.is_empty() {
        warnings.push(Warning::NoServerCpu { arms: blind });
    }
    warnings
}
