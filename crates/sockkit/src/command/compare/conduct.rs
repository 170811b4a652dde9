//! The course of a comparison: block after block, until every interval is narrow or the budget is spent.

use std::time::{Duration, Instant};

use anyhow::Result;
use sockkit_stats::{Conclusion, Rules, result};

use super::order::Order;
use super::pace::Pace;
use super::plan::Plan;
use super::progress::Progress;
use super::taking::Taker;
use super::tally::{Measured, Taken, Tally};
use super::timing::{Budget, Lengths, OVERHEAD_GUESS, Wanted};
use crate::cli::WorkloadArgs;
use crate::command::measure::Setup;
use crate::command::signals::Signals;
use crate::exit::Interrupted;

/// What is to be done, how, and for how long.
#[derive(Debug)]
pub(super) struct Course<'a> {
    pub(super) plan: &'a Plan,
    pub(super) workload: &'a WorkloadArgs,
    pub(super) wanted: Wanted,
    pub(super) budget: Budget,
    /// Blocks for which the budget is shared out.
    pub(super) blocks_aim: usize,
    /// Blocks with which it ends at the latest.
    pub(super) blocks_max: u64,
    pub(super) rules: Rules,
    pub(super) seed: u64,
    /// When it began.
    pub(super) start: Instant,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    Precision,
    Blocks,
    Budget,
    Interrupted(Interrupted),
}

impl Stopped {
    /// Its name in the result.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Precision => "precision",
            Self::Blocks => "blocks",
            Self::Budget => "budget",
            Self::Interrupted(_) => "interrupted",
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) measured: Measured,
    pub(super) conclusion: Conclusion,
    pub(super) stopped: Stopped,
    /// Blocks without which no verdict is possible.
    pub(super) blocks_needed: usize,
    /// How long a block took in the end.
    pub(super) block: Duration,
    /// Whether disturbed runs were kept because a third of the budget had gone into repeats.
    pub(super) gave_up_repeating: bool,
}

impl Course<'_> {
    /// Measures.
    pub(super) fn run(&self, signals: &Signals, progress: &Progress) -> Result<Findings> {
        let mut taker = Taker::new(&self.plan.arms, signals, self.start, self.budget);
        let mut order = Order::new(self.plan.arms.len(), &self.plan.cells, self.seed);
        let needed = self.plan.blocks_needed(&self.rules);
        let overhead = self.warm(&taker, progress)?;
        let (runs, blocks) = (order.len(), self.blocks_aim);
        let mut pace = Pace::new(self.budget, self.wanted, runs, blocks, taker.elapsed(), overhead);
        let Lengths { warmup, duration } = pace.lengths();
        let setup = Setup::new(self.workload, self.seed, warmup, duration)?;

        let mut tally = Tally::new(&self.plan.arms, &setup);
        let mut conclusion = Conclusion::default();
        let stopped = loop {
            let missing = (needed as u64).saturating_sub(tally.blocks());
            pace.fit(taker.elapsed(), missing as usize);
            if let Some(stopped) = self.stopped(&taker, &tally, pace.block(), missing == 0, &conclusion) {
                break stopped;
            }
            progress.block(tally.blocks(), self.expected(&taker, &tally, pace.block()));
            let Lengths { warmup, duration } = pace.lengths();
            let setup = setup.lasting(warmup, duration);
            match self.block(&mut taker, &mut order, &setup, &mut tally, progress)? {
                Some(taken) => tally.add(taken),
                None => break taker.interrupted().map_or(Stopped::Budget, Stopped::Interrupted),
            }
            pace.note(taker.spent());
            if tally.blocks() >= self.rules.blocks_min as u64 {
                conclusion = self.conclude(&tally);
                progress.concluded(&conclusion);
            }
        };
        Ok(Findings {
            conclusion: self.conclude(&tally),
            measured: tally.finish(),
            stopped,
            blocks_needed: needed,
            block: pace.block(),
            gave_up_repeating: taker.has_given_up_repeating(),
        })
    }

    fn conclude(&self, tally: &Tally) -> Conclusion {
        tally.conclude(&self.plan.cells, &self.rules, self.plan.saved_arms())
    }

    /// Why no other block is begun, if none is.
    fn stopped(
        &self,
        taker: &Taker<'_>,
        tally: &Tally,
        block: Duration,
        enough: bool,
        conclusion: &Conclusion,
    ) -> Option<Stopped> {
        if let Some(interrupted) = taker.interrupted() {
            return Some(Stopped::Interrupted(interrupted));
        }
        if enough && conclusion.narrow {
            return Some(Stopped::Precision);
        }
        if tally.blocks() >= self.blocks_max {
            return Some(Stopped::Blocks);
        }
        (!self.budget.has_room(taker.elapsed(), block, enough)).then_some(Stopped::Budget)
    }

    /// Runs every arm once without recording it, if there is time for that. Answers what a run takes beside what is
    /// measured.
    fn warm(&self, taker: &Taker<'_>, progress: &Progress) -> Result<Duration> {
        let Lengths { warmup, duration } = Lengths::UNRECORDED;
        if !self.budget.has_room_for_warming(self.plan.arms.len()) {
            return Ok(OVERHEAD_GUESS);
        }
        let setup = Setup::new(self.workload, self.seed, warmup, duration)?;
        let begun = taker.elapsed();
        let mut warmed = 0;
        for (index, arm) in self.plan.arms.iter().enumerate() {
            progress.warming(&arm.subject.typed, taker.elapsed());
            if taker.warm(index, &setup, self.seed)?.is_none() {
                break;
            }
            warmed += 1;
        }
        let each = (taker.elapsed() - begun) / u32::max(warmed, 1);
        Ok(each.saturating_sub(Lengths::UNRECORDED.total()))
    }

    /// One block. `None` if it is to end now; half a block is nothing.
    fn block(
        &self,
        taker: &mut Taker<'_>,
        order: &mut Order,
        setup: &Setup,
        tally: &mut Tally,
        progress: &Progress,
    ) -> Result<Option<Vec<Taken>>> {
        let (runs, seed) = order.next_block();
        let mut taken = Vec::with_capacity(runs.len());
        for run in runs {
            progress.run(&self.plan.arms[run.arm].subject.typed, taker.elapsed());
            match taker.take(run, setup, seed, tally)? {
                Some(one) => taken.push(one),
                None => return Ok(None),
            }
        }
        Ok(Some(taken))
    }

    /// How many blocks it will be in the end.
    fn expected(&self, taker: &Taker<'_>, tally: &Tally, block: Duration) -> u64 {
        let left = self.budget.0.saturating_sub(taker.elapsed());
        let more = (left.as_secs_f64() / block.as_secs_f64().max(1e-3)) as u64;
        (tally.blocks() + more).min(self.blocks_max)
    }
}

impl Findings {
    /// How it went, for the result.
    pub(super) fn experiment(&self, course: &Course<'_>) -> result::Experiment {
        result::Experiment {
            blocks: self.measured.blocks,
            run_seconds: self.measured.run_seconds(),
            stopped: self.stopped.name().to_owned(),
            precision: course.rules.precision,
            threshold: course.rules.threshold,
            budget_seconds: course.budget.0.as_secs_f64(),
            elapsed_seconds: course.start.elapsed().as_secs_f64(),
            repeated: self.measured.repeated.clone(),
            kept_disturbed: self.measured.kept_disturbed,
            against: course.plan.saved.as_ref().map(|saved| saved.path.display().to_string()),
        }
    }
}
