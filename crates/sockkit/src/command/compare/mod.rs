//! `sockkit compare`: several arms, in blocks, until it is known by how much they differ.
//!
//! `plan` says what is measured, `saved` reads what was measured before; `order`, `timing` and `pace` say when and how long;
//! these decide and touch no socket. `conduct` runs the blocks, `taking` one run with its repeats, by the rules of
//! `disturbance`; `tally` keeps what complete blocks have found. What follows from it is said by `sockkit_stats`;
//! `warnings` and `fairness` say what to bear in mind, `failing` makes an exit code of it.

mod conduct;
mod disturbance;
mod failing;
mod fairness;
mod order;
mod pace;
mod plan;
mod preview;
mod progress;
mod saved;
mod taking;
mod tally;
mod timing;
mod warnings;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use sockkit_core::{Error, ErrorKind};
use sockkit_stats::Rules;
use sockkit_stats::result::{Arm, Document, Mode, SCHEMA, Verdict};

use self::conduct::{Course, Findings, Stopped};
use self::failing::Gate;
use self::order::Order;
use self::plan::Plan;
use self::progress::Progress;
use self::timing::{Budget, Lengths, Wanted};
use crate::cli::{CompareArgs, Placement};
use crate::command::document::too_large;
use crate::command::measure::{self, Survey};
use crate::command::outputs::Outputs;
use crate::command::signals::Signals;
use crate::command::{file, output};
use crate::exit::Mismatch;
use crate::render::figures;
use crate::render::json::json;
use crate::render::warn;

/// The budget of `--quick`.
const QUICK: Duration = Duration::from_secs(10);

/// Blocks for which the budget is shared out, and for which that of `--quick` is.
const BLOCKS_AIM: usize = 12;
const BLOCKS_AIM_QUICK: usize = 8;

pub(crate) fn run(mut args: CompareArgs) -> Result<()> {
    let start = Instant::now();
    // Whether two ends that the kernel places meet on one processor is luck, and ten times the round trip.
    if args.workload.placement.is_none() && measure::has_two_processors()? {
        args.workload.placement = Some(Placement::CrossCore);
    }
    let plan = Plan::new(&mut args)?;
    let course = course(&args, &plan, start)?;
    let gate = Gate::new(&args.saved);
    gate.as_ref().map(|gate| gate.foresee(&course)).transpose()?;
    if args.effort.plan {
        return output::print(preview::text(&course).as_bytes());
    }
    let outputs = Outputs::new(&args.outputs)?;
    args.saved.save.as_deref().map(file::check).transpose()?;
    let signals = Signals::take()?;
    let (engine, remark) = measure::engine(&args.workload, plan.arms.iter().map(|arm| &arm.subject))?;
    remark.iter().for_each(|remark| warn(remark));
    let survey = Survey::begin(args.workload.placement(), engine);
    let progress = Progress::new(course.budget.0);
    let findings = course.run(&signals, &progress);
    progress.finish();
    let findings = findings?;
    // Every server has been taken down; from here on a signal may end it all.
    drop(signals);
    if findings.measured.blocks == 0 {
        return Err(nothing(&findings, &course));
    }
    let document = document(&args, &course, &survey, &findings);
    let saved = args.saved.save.as_deref().map(|path| save(path, &document));
    // Whatever cannot be written, the rest is.
    outputs.deliver(&document)?;
    saved.transpose()?;
    end(gate.as_ref(), &document, &course, &findings)
}

/// Writes the result for a later `--against`, which reads it only up to a bound.
fn save(path: &Path, document: &Document) -> Result<(), Error> {
    let json = json(document);
    if let Some(why) = too_large(document, json.as_bytes()) {
        warn(&format!("{} is too large to be read again: {why}", path.display()));
    }
    file::write(path, json.as_bytes())
}

/// Everything that is decided before the first run.
fn course<'a>(args: &'a CompareArgs, plan: &'a Plan, start: Instant) -> Result<Course<'a>> {
    let effort = &args.effort;
    let rules = Rules { threshold: effort.threshold, precision: effort.precision, ..Rules::default() };
    let blocks = if effort.quick { BLOCKS_AIM_QUICK } else { BLOCKS_AIM };
    let course = Course {
        plan,
        workload: &args.workload,
        wanted: Wanted { duration: effort.duration, warmup: effort.warmup },
        budget: Budget(if effort.quick { QUICK } else { effort.budget }),
        blocks_aim: effort.blocks.map_or_else(|| blocks.max(plan.blocks_needed(&rules)), usize::from),
        blocks_max: effort.blocks.map_or(u64::MAX, u64::from),
        rules,
        seed: measure::seed(args.workload.seed),
        start,
    };
    let runs = Order::new(plan.arms.len(), &plan.cells, 0).len();
    let block = Lengths::shortest(course.wanted).total() * u32::try_from(runs).unwrap_or(u32::MAX);
    if block > course.budget.limit() {
        let (arms, budget) = (plan.arms.len(), course.budget.0);
        let cause = format!("one run of each takes {block:.1?} at least, and the budget is {budget:.1?}");
        return Err(Error::new(ErrorKind::Usage, "compare", format!("{arms} arms"), cause).into());
    }
    Ok(course)
}

/// The error of a comparison that has not come to the end of its first block.
fn nothing(findings: &Findings, course: &Course<'_>) -> anyhow::Error {
    match findings.stopped {
        Stopped::Interrupted(interrupted) => {
            warn("interrupted before one run of each was complete: there is nothing to tell");
            interrupted.into()
        }
        Stopped::Precision | Stopped::Blocks | Stopped::Budget => {
            let budget = format!("within the budget of {:.1?}", course.budget.0);
            let cause = "not one run of each was complete by then: try a longer --budget";
            Error::new(ErrorKind::TimedOut, "compare anything", budget, cause).into()
        }
    }
}

fn document(args: &CompareArgs, course: &Course<'_>, survey: &Survey, findings: &Findings) -> Document {
    let has = |verdict: &Verdict| {
        let arm = &findings.measured.arms[verdict.arm_index as usize];
        verdict.ratio.is_some() || arm.samples.iter().any(|sample| verdict.metric.of(sample).is_some())
    };
    let mut document = Document {
        schema: SCHEMA.to_owned(),
        command: measure::command(course.seed, args.workload.seed),
        seed: course.seed,
        environment: survey.so_far(),
        arms: findings.measured.arms.clone(),
        // What neither end of a pair has is no question.
        verdicts: findings.conclusion.verdicts.iter().filter(|verdict| has(verdict)).cloned().collect(),
        noise_floor: findings
            .conclusion
            .noise_floor
            .iter()
            .filter(|noise| noise.ratio.is_some())
            .cloned()
            .collect(),
        experiment: Some(findings.experiment(course)),
        warnings: course.plan.warnings.clone(),
    };
    document.warnings.extend(warnings::of(&document, course, findings));
    if let Some(saved) = &course.plan.saved {
        document.warnings.extend(saved.differences(&document, &args.workload, &course.rules));
    }
    document
}

/// What is left to be said when everything has been delivered: why the exit code is not 0.
fn end(gate: Option<&Gate>, document: &Document, course: &Course<'_>, findings: &Findings) -> Result<()> {
    if let Stopped::Interrupted(interrupted) = findings.stopped {
        return Err(interrupted.into());
    }
    if let Some(corruption) = &findings.measured.first_corruption {
        return Err(Mismatch(format!("an answer was wrong: {corruption}")).into());
    }
    if let Some(silent) = document.arms.iter().find(|arm| is_silent(arm)) {
        let cause = format!("none of {} messages was answered", figures::count(silent.counters.sent));
        return Err(Error::new(ErrorKind::TimedOut, "measure", &silent.target, cause).into());
    }
    if let Some(gate) = gate {
        gate.check(document, course)?;
    }
    Ok(())
}

/// Whether a peer that ought to answer never did.
fn is_silent(arm: &Arm) -> bool {
    matches!(arm.mode, Mode::Echo | Mode::Connect)
        && arm.counters.sent > 0
        && arm.counters.received == Some(0)
}
