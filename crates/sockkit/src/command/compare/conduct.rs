//! The course of a comparison: block after block, until every interval is narrow or the budget is spent.

use std::time::{Duration, Instant};

use anyhow::Result;
use sockkit_stats::{Conclusion, Rules, result};

use super::order::Order;
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
    pub(super) run: Duration,
    /// Blocks without which no verdict is possible.
    pub(super) blocks_needed: usize,
    /// How long a block took, on average.
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
        let runs = order.len() * self.blocks_aim;
        let slot = self.budget.slot(taker.elapsed(), runs);
        let lengths = Lengths::of_slot(slot, overhead, self.wanted);
        let setup = Setup::new(self.workload, self.seed, lengths.warmup, lengths.duration)?;
        let guess = (lengths.total() + overhead) * u32::try_from(order.len()).unwrap_or(u32::MAX);

        let mut tally = Tally::new(&self.plan.arms, &setup);
        let mut conclusion = Conclusion::default();
        let mut block = guess;
        let begun = taker.elapsed();
        let stopped = loop {
            let enough = tally.blocks() >= needed as u64;
            if let Some(interrupted) = taker.interrupted() {
                break Stopped::Interrupted(interrupted);
            }
            if enough && conclusion.narrow {
                break Stopped::Precision;
            }
            if tally.blocks() >= self.blocks_max {
                break Stopped::Blocks;
            }
            // The first block was planned for, so it has room unless something took much longer than it should.
            if !self.budget.has_room(taker.elapsed(), block, enough) {
                break Stopped::Budget;
            }
            progress
                .block(tally.blocks(), (tally.blocks() + self.expected(&taker, block)).min(self.blocks_max));
            match self.block(&mut taker, &mut order, &setup, &mut tally, progress)? {
                Some(taken) => tally.add(taken),
                None => break taker.interrupted().map_or(Stopped::Budget, Stopped::Interrupted),
            }
            block = (taker.elapsed() - begun) / u32::try_from(tally.blocks()).unwrap_or(u32::MAX);
            if tally.blocks() >= self.rules.blocks_min as u64 {
                conclusion = tally.conclude(&self.plan.cells, &self.rules, self.plan.saved_arms());
                progress.concluded(&conclusion);
            }
        };
        let conclusion = tally.conclude(&self.plan.cells, &self.rules, self.plan.saved_arms());
        let gave_up_repeating = taker.has_given_up_repeating();
        let measured = tally.finish();
        let run = lengths.duration;
        Ok(Findings { measured, conclusion, stopped, run, blocks_needed: needed, block, gave_up_repeating })
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

    /// Blocks that will still fit.
    fn expected(&self, taker: &Taker<'_>, block: Duration) -> u64 {
        let left = self.budget.0.saturating_sub(taker.elapsed());
        (left.as_secs_f64() / block.as_secs_f64().max(1e-3)) as u64
    }
}

impl Findings {
    /// How it went, for the result.
    pub(super) fn experiment(&self, course: &Course<'_>) -> result::Experiment {
        result::Experiment {
            blocks: self.measured.blocks,
            run_seconds: self.run.as_secs_f64(),
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
