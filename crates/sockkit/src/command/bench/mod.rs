//! `sockkit bench`: what one target can do, or several, one after the other.
//!
//! `runner` measures an arm round by round, `hunt` searches the highest rate that keeps a promise (`search` and
//! `confirm` decide what is tried next, `judge` whether it was kept). `watch` is what happens meanwhile: signals,
//! `lines` for each interval, the `progress` on a terminal. `notes` is what a reader should know.

mod confirm;
mod hunt;
mod judge;
mod lines;
mod notes;
mod progress;
mod runner;
mod search;
mod watch;

use std::time::Duration;

use anyhow::{Error, Result};
use nix::unistd::Pid;
use sockkit_core::ErrorKind;
use sockkit_load::Arrivals;
use sockkit_stats::result::{Document, SCHEMA};

use self::hunt::Hunt;
use self::lines::Manner;
use self::runner::{Measured, Numbered, Runner};
use self::watch::Watch;
use super::measure::{self, Arm, Setup, Survey};
use super::outputs::Outputs;
use super::signals::Signals;
use crate::cli::BenchArgs;
use crate::render::{figures, warn};

/// How often intervals are told if it is not said.
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let outputs = Outputs::new(&args.outputs)?;
    let told = told(args, &outputs);
    let outputs = if args.json_lines { outputs.with_line()? } else { outputs };
    let seed = measure::seed(args.workload.seed);
    let setup = Setup::new(&args.workload, seed, args.warmup, args.duration)?.metering(server(args)?);
    let is_open = args.workload.rate.is_some() || args.max_rate_under.is_some();
    let arms = numbered(measure::arms(&args.subjects.0, &args.workload, is_open));
    let watch = Watch::new(Signals::take()?, told);
    let mut runner = Runner { setup, watch, seeds: fastrand::Rng::with_seed(seed) };

    let (engine, remark) = measure::engine(&args.workload, args.subjects.0.iter())?;
    remark.iter().for_each(|remark| warn(remark));
    let survey = Survey::begin(args.workload.placement(), engine);
    let Findings { arms, mut warnings, mut failure } = measure_all(args, &mut runner, &arms);
    let interrupted = runner.watch.interrupted();
    // From here on a signal ends it all.
    let ended = runner.watch.finish();
    if arms.is_empty() {
        if interrupted.is_some() {
            warn("interrupted before anything was measured to its end: there is nothing to tell");
        }
        return ended.and(failure.map_or(Ok(()), Err));
    }
    warnings.extend(interrupted.map(|by| format!("{by}: what was measured until then")));
    let document = Document {
        schema: SCHEMA.to_owned(),
        command: measure::command(seed, args.workload.seed),
        seed,
        environment: survey.so_far(),
        arms,
        verdicts: Vec::new(),
        noise_floor: Vec::new(),
        experiment: None,
        warnings,
    };
    let delivered = outputs.deliver(&document);
    // How the measurement went matters more than that its result cannot be written.
    let failed = failure.take().map_or(Ok(()), Err);
    ended.and(failed).and(delivered)
}

/// What all arms came to.
#[derive(Debug, Default)]
struct Findings {
    arms: Vec<sockkit_stats::result::Arm>,
    warnings: Vec<String>,
    /// The first reason why something is not what was asked for.
    failure: Option<Error>,
}

fn measure_all(args: &BenchArgs, runner: &mut Runner, arms: &[Numbered]) -> Findings {
    let mut findings = Findings::default();
    for (done, arm) in arms.iter().enumerate() {
        if runner.watch.is_ended() {
            break;
        }
        let numbered = Numbered { index: findings.arms.len(), ..arm.clone() };
        let Measured { arm, notes, failure } = match &args.max_rate_under {
            Some(promise) => Hunt {
                promise,
                arrivals: if args.workload.poisson { Arrivals::Poisson } else { Arrivals::Constant },
                duration: args.duration,
                warmup: args.warmup,
                rounds: args.rounds,
                budget: args.budget,
                numbered: &numbered,
                runner,
            }
            .run(),
            None => {
                let rounds = args.rounds.unwrap_or(1);
                let behind = u32::try_from((arms.len() - done - 1) as u64 * rounds).unwrap_or(u32::MAX);
                let left = runner.setup.takes().saturating_mul(behind);
                runner.arm(&numbered, rounds, left)
            }
        };
        let label = &numbered.label;
        findings.warnings.extend(notes.into_iter().map(|note| format!("{label}: {note}")));
        findings.warnings.extend(failure.iter().map(|error| format!("{label}: {error:#}")));
        let too_lossy = arm.as_ref().zip(args.max_loss).and_then(|(arm, max)| notes::too_lossy(arm, max));
        // The address of a server of our own is none that the user knows.
        let is_plain = arms.len() == 1 && numbered.arm.subject.target.is_some();
        let failure = failure.or(too_lossy).map(|error| match is_plain {
            true => error,
            false => error.context(label.clone()),
        });
        findings.failure = findings.failure.or(failure);
        findings.arms.extend(arm);
    }
    findings
}

/// Which intervals are told, and how.
fn told(args: &BenchArgs, outputs: &Outputs) -> Option<(Duration, Manner)> {
    let manner = match (args.json_lines, outputs.take_stdout()) {
        (true, _) => Manner::Json,
        (false, true) => Manner::Aside,
        (false, false) => Manner::Words,
    };
    let interval = args.interval.or(args.json_lines.then_some(INTERVAL));
    interval.map(|interval| (interval, manner))
}

/// The process whose cost is wanted, which has to be there, and to be the server of all that is measured.
fn server(args: &BenchArgs) -> Result<Option<Pid>> {
    let Some(process) = args.server_pid else { return Ok(None) };
    if args.subjects.0.iter().any(|subject| subject.target.is_none()) {
        return Err(usage("--server-pid", "it is for a server that sockkit has not started"));
    }
    let process = Pid::from_raw(process);
    measure::usage(process)?;
    Ok(Some(process))
}

fn usage(option: &'static str, why: &str) -> Error {
    sockkit_core::Error::new(ErrorKind::Usage, "take", option, why).into()
}

/// The arms with their places and labels: the target, and what distinguishes it from others of the same.
fn numbered(arms: Vec<Arm>) -> Vec<Numbered> {
    let differs = |of: fn(&Arm) -> usize| arms.iter().any(|arm| of(arm) != of(&arms[0]));
    let (sizes, connections, depths) =
        (differs(|arm| arm.size), differs(|arm| arm.connections), differs(|arm| arm.depth));
    let label = |arm: &Arm| {
        let mut label = arm.subject.typed.clone();
        for (differs, text) in [
            (sizes, figures::size(arm.size as u64)),
            (connections, figures::several(arm.connections as u64, "connection")),
            (depths, format!("depth {}", arm.depth)),
        ] {
            if differs {
                label = format!("{label} {text}");
            }
        }
        label
    };
    let labels: Vec<_> = arms.iter().map(label).collect();
    let all = arms.into_iter().zip(labels).enumerate();
    all.map(|(index, (arm, label))| Numbered { index, arm, label }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Subject;

    #[test]
    fn a_label_says_what_distinguishes_an_arm() {
        let arm = |target: &str, size, depth| Arm {
            subject: Subject::parse(target).unwrap(),
            size,
            connections: 1,
            depth,
        };
        let labels =
            |arms: Vec<Arm>| -> Vec<String> { numbered(arms).into_iter().map(|arm| arm.label).collect() };
        assert_eq!(labels(vec![arm("tcp", 64, 1)]), ["tcp"]);
        assert_eq!(labels(vec![arm("tcp", 64, 1), arm("udp", 64, 1)]), ["tcp", "udp"]);
        assert_eq!(
            labels(vec![arm("tcp", 64, 1), arm("tcp", 1024, 2)]),
            ["tcp 64 B depth 1", "tcp 1 KiB depth 2"]
        );
    }
}
