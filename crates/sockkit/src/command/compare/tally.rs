//! What has been measured so far: complete blocks only, so that every arm has as many rounds as any other.

use std::collections::BTreeMap;

use sockkit_stats::{Cell, Conclusion, Rules, conclude, conclude_against, result, summarise};

use super::disturbance::Disturbance;
use super::order::Run;
use crate::command::measure::{Arm, Recorder, Round, Setup};

/// One run that counts, and how it went.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) run: Run,
    pub(super) round: Round,
    /// How often it had been repeated before.
    pub(super) repeats: u64,
    /// Whether it is kept although something disturbed it.
    pub(super) is_disturbed: bool,
}

/// The rounds of all arms.
#[derive(Debug)]
pub(super) struct Tally {
    recorders: Vec<Recorder>,
    /// The same arms with the samples alone, from which conclusions are drawn on the way: histograms are large.
    light: Vec<result::Arm>,
    blocks: u64,
    repeated: BTreeMap<String, u64>,
    kept_disturbed: u64,
    first_corruption: Option<String>,
}

impl Tally {
    /// Nothing yet.
    pub(super) fn new(arms: &[Arm], setup: &Setup) -> Self {
        Self {
            recorders: arms.iter().map(|arm| Recorder::new(arm, setup)).collect(),
            light: arms.iter().map(|arm| Recorder::new(arm, setup).finish()).collect(),
            blocks: 0,
            repeated: BTreeMap::new(),
            kept_disturbed: 0,
            first_corruption: None,
        }
    }

    /// Adds a block of which every run was taken.
    pub(super) fn add(&mut self, block: Vec<Taken>) {
        for Taken { run, round, repeats, is_disturbed } in block {
            let recorder = &mut self.recorders[run.arm];
            let sample = match run.is_control {
                true => recorder.add_control(&round),
                false => recorder.add(&round),
            };
            (sample.block, sample.repeats, sample.disturbed) = (self.blocks, repeats, is_disturbed);
            let light = &mut self.light[run.arm];
            if run.is_control { &mut light.control } else { &mut light.samples }.push(*sample);
            self.kept_disturbed += u64::from(is_disturbed);
            if let (None, Some(corruption)) = (&self.first_corruption, round.outcome.first_corruption) {
                self.first_corruption = Some(format!("{}: {corruption}", light.target));
            }
        }
        self.blocks += 1;
    }

    /// Counts a run that is repeated.
    pub(super) fn count_repeat(&mut self, reason: Disturbance) {
        *self.repeated.entry(reason.name().to_owned()).or_default() += 1;
    }

    /// Complete blocks.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// What follows so far.
    pub(super) fn conclude(
        &self,
        cells: &[Cell],
        rules: &Rules,
        saved: Option<&[result::Arm]>,
    ) -> Conclusion {
        match saved {
            Some(saved) => conclude_against(saved, &self.light, cells, rules),
            None => conclude(&self.light, cells, rules),
        }
    }

    /// The arms with all figures, and how it went.
    pub(super) fn finish(self) -> Measured {
        let finish = |recorder: Recorder| {
            let mut arm = recorder.finish();
            summarise(&mut arm);
            arm
        };
        Measured {
            arms: self.recorders.into_iter().map(finish).collect(),
            blocks: self.blocks,
            repeated: self.repeated,
            kept_disturbed: self.kept_disturbed,
            first_corruption: self.first_corruption,
        }
    }
}

/// The end of a [`Tally`].
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) arms: Vec<result::Arm>,
    pub(super) blocks: u64,
    pub(super) repeated: BTreeMap<String, u64>,
    pub(super) kept_disturbed: u64,
    pub(super) first_corruption: Option<String>,
}

impl Measured {
    /// How long a run was measured, on average.
    pub(super) fn run_seconds(&self) -> f64 {
        let seconds: f64 = self.arms.iter().map(|arm| arm.seconds).sum();
        let rounds: u64 = self.arms.iter().map(|arm| arm.rounds).sum();
        seconds / rounds.max(1) as f64
    }
}
