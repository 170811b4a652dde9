//! One arm after the other, one round after the other.

use std::time::Duration;

use anyhow::{Error, Result};
use sockkit_stats::result;

use super::lines::Place;
use super::notes;
use super::watch::Watch;
use crate::command::measure::{self, Arm, Recorder, Round, Setup};

/// What is needed to run a round, whoever wants one.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) setup: Setup,
    pub(super) watch: Watch,
    /// Each round has a seed of its own, drawn from the one of the measurement.
    pub(super) seeds: fastrand::Rng,
}

/// An arm, and its place among all.
#[derive(Clone, Debug)]
pub(super) struct Numbered {
    /// The arm's place in the result.
    pub(super) index: usize,
    pub(super) arm: Arm,
    /// What it is called where there are others.
    pub(super) label: String,
}

/// What came of an arm.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Nothing, if not even one round was finished.
    pub(super) arm: Option<result::Arm>,
    /// What a reader should know.
    pub(super) notes: Vec<String>,
    /// Why it is not what was asked for.
    pub(super) failure: Option<Error>,
}

impl Runner {
    /// Runs a round. Its intervals are told if it has a number.
    pub(super) fn round(
        &mut self,
        numbered: &Numbered,
        setup: &Setup,
        label: &str,
        number: Option<u64>,
        left: Option<Duration>,
    ) -> Result<Round> {
        let Numbered { index, arm, label: of_arm } = numbered;
        let place =
            number.map(|round| Place { index: *index, arm: arm.clone(), round, label: of_arm.clone() });
        self.watch.run(label, place, left);
        let round = measure::round(arm, setup, self.seeds.u64(..), &mut self.watch);
        self.watch.over();
        round
    }

    /// Measures an arm in so many rounds; `left` is what all that follows takes.
    pub(super) fn arm(&mut self, numbered: &Numbered, rounds: u64, left: Duration) -> Measured {
        let setup = self.setup.clone();
        let mut gathered = Gathered::new(&numbered.arm, &setup);
        for round in 0..rounds {
            if self.watch.is_ended() {
                break;
            }
            let label = match rounds {
                1 => numbered.label.clone(),
                _ => format!("{}  round {} of {rounds}", numbered.label, round + 1),
            };
            let rest = u32::try_from(rounds - round).unwrap_or(u32::MAX);
            let left = setup.takes().saturating_mul(rest).saturating_add(left);
            match self.round(numbered, &setup, &label, Some(round), Some(left)) {
                Ok(mut round) => {
                    // A run that was told to end may not know how to put it.
                    if self.watch.is_ended() {
                        round.outcome.failure = None;
                    }
                    if !gathered.add(&round) {
                        break;
                    }
                }
                Err(_) if self.watch.is_ended() => break,
                Err(error) => {
                    gathered.measured.failure = Some(error);
                    break;
                }
            }
        }
        gathered.finish()
    }
}

/// The rounds of an arm so far.
#[derive(Debug)]
pub(super) struct Gathered {
    recorder: Recorder,
    setup: Setup,
    answers: u64,
    pub(super) measured: Measured,
}

impl Gathered {
    pub(super) fn new(arm: &Arm, setup: &Setup) -> Self {
        let recorder = Recorder::new(arm, setup);
        Self { recorder, setup: setup.clone(), answers: 0, measured: Measured::default() }
    }

    /// Adds a round; whether another one makes sense.
    pub(super) fn add(&mut self, round: &Round) -> bool {
        let (outcome, workload) = (&round.outcome, self.setup.workload());
        // It was ended before anything was measured.
        if outcome.elapsed.is_zero() {
            return false;
        }
        self.recorder.add(round);
        self.answers += outcome.response.count();
        if self.measured.notes.is_empty() {
            self.measured.notes.extend(notes::of_round(round, workload.pacing));
        }
        self.measured.notes.extend(notes::broken_off(outcome, workload.duration));
        self.measured.failure = notes::failure(outcome, workload.mode);
        self.measured.failure.is_none()
    }

    pub(super) fn finish(self) -> Measured {
        let Self { recorder, answers, mut measured, .. } = self;
        if !recorder.samples().is_empty() {
            let arm = recorder.finish();
            measured.notes.extend(notes::of_arm(&arm, answers));
            measured.arm = Some(arm);
        }
        measured
    }
}
