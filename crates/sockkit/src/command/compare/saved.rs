//! A saved result as the baseline: what was measured then is measured again, and the two are compared.
//!
//! Nothing is paired any more: if the machine has become slower since, so has every arm. So whatever differs between
//! then and now, beside the thing that was changed on purpose, is named.

use std::path::{Path, PathBuf};

use anyhow::Result;
use sockkit_core::{Error, ErrorKind};
use sockkit_stats::Rules;
use sockkit_stats::result::{self, Document, Environment, Mode};

use super::fairness;
use crate::cli::{Cli, Command, ModeName, Subject, Typed, WorkloadArgs};
use crate::command::document;
use crate::command::measure::Arm;
use crate::command::report::environment_differences;

/// What was measured before.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) path: PathBuf,
    pub(super) document: Document,
}

impl Saved {
    /// Reads what `--save` or `--json` has written.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let document = document::read(path)?;
        Ok(Self { path: path.to_owned(), document })
    }

    /// The arms of then. What was typed chooses among them; where mode and schedule were not typed, they become those
    /// of then.
    pub(super) fn arms(&self, typed: Typed, workload: &mut WorkloadArgs) -> Result<Vec<Arm>> {
        let usage = |cause: &str| {
            Error::new(ErrorKind::Usage, "compare against", self.path.display().to_string(), cause)
        };
        let measurable = self.document.arms.iter().find_map(|arm| mode_name(arm.mode));
        if !typed.mode {
            workload.mode = measurable.ok_or_else(|| usage("it has no arm that compare could measure"))?;
        }
        let is_chosen = |typed: bool, list: &[usize], value: u64| {
            !typed || list.iter().any(|&wanted| wanted as u64 == value)
        };
        let chosen = self.document.arms.iter().filter(|arm| {
            mode_name(arm.mode) == Some(workload.mode)
                && is_chosen(typed.size, &workload.size.0, arm.size)
                && is_chosen(typed.connections, &workload.connections.0, arm.connections)
                && workload.depth.as_ref().is_none_or(|depths| is_chosen(true, &depths.0, arm.depth))
        });
        let chosen: Vec<&result::Arm> = chosen.collect();
        let first =
            chosen.first().ok_or_else(|| usage("it has no arm of the mode and load that were typed"))?;
        if !typed.rate {
            (workload.rate, workload.poisson) = schedule(&first.pacing);
        }
        chosen.iter().map(|arm| again(arm)).collect::<Result<_, _>>().map_err(|cause| usage(&cause).into())
    }

    /// What differs between then and now, beside what was to be compared: one sentence each.
    pub(super) fn differences(&self, now: &Document, workload: &WorkloadArgs, rules: &Rules) -> Vec<String> {
        let mut differences: Vec<_> = of_environments(&self.document.environment, &now.environment).collect();
        differences.extend(self.flags(workload));
        for arm in &now.arms {
            match self.document.arms.iter().find(|saved| saved.identity() == arm.identity()) {
                None => differences.push(format!("{} was not measured then", fairness::name(arm, now))),
                Some(saved) if saved.samples.len() < rules.blocks_min => {
                    let (name, rounds) = (fairness::name(arm, now), saved.samples.len());
                    let needed = rules.blocks_min;
                    differences
                        .push(format!("{name} had {rounds} rounds then, and a verdict takes {needed}"));
                }
                Some(saved) => differences.extend(of_arms(saved, arm, now)),
            }
        }
        let path = self.path.display();
        differences.into_iter().map(|difference| format!("beside {path}: {difference}")).collect()
    }

    /// Flags with which the load was another one. The document has the command line for those that leave no other trace.
    fn flags(&self, now: &WorkloadArgs) -> Option<String> {
        let words = shlex::split(&self.document.command)?;
        let Command::Compare(args) = Cli::reread(words)?.command else { return None };
        let then = &args.workload;
        let traceless = |args: &WorkloadArgs| {
            format!("threads {}, spin {}, verify {:?}", args.threads, args.spin, args.verify)
        };
        let (then, now) = (traceless(then), traceless(now));
        (then != now).then(|| format!("the load was made with {then} then, and with {now} now"))
    }
}

fn again(arm: &result::Arm) -> Result<Arm, String> {
    let number = |value: u64| usize::try_from(value).map_err(|_| format!("{value} is too large"));
    Ok(Arm {
        subject: Subject::parse(&arm.target)?,
        size: number(arm.size)?,
        connections: number(arm.connections)?.max(1),
        depth: number(arm.depth)?.max(1),
    })
}

fn mode_name(mode: Mode) -> Option<ModeName> {
    match mode {
        Mode::Echo => Some(ModeName::Echo),
        Mode::Send => Some(ModeName::Send),
        Mode::Receive => Some(ModeName::Receive),
        Mode::Connect => Some(ModeName::Connect),
        Mode::Ping => None,
    }
}

/// The rate of an open loop, and whether arrivals were at random, from the words of the result.
fn schedule(pacing: &str) -> (Option<f64>, bool) {
    let rate = pacing.strip_prefix("open loop, ").and_then(|rest| rest.split("/s").next()?.parse().ok());
    (rate, rate.is_some() && pacing.ends_with("Poisson"))
}

fn of_environments(then: &Environment, now: &Environment) -> impl Iterator<Item = String> {
    let differences = environment_differences(then, now).into_iter();
    differences.map(|(name, then, now)| format!("{name} was {then} then, and is {now} now"))
}

/// The schedule and the socket options of one arm.
fn of_arms(then: &result::Arm, now: &result::Arm, document: &Document) -> Vec<String> {
    let name = fairness::name(now, document);
    let mut differences = Vec::new();
    if then.pacing != now.pacing {
        differences.push(format!("{name}: {} then, and {} now", then.pacing, now.pacing));
    }
    for (option, then, now) in fairness::pairs(&then.options, &now.options) {
        if then != now {
            differences.push(format!("{name}: {option} was {then} then, and is {now} now"));
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_from_its_words() {
        assert_eq!(schedule("open loop, 2500/s, constant"), (Some(2500.0), false));
        assert_eq!(schedule("open loop, 0.5/s, Poisson"), (Some(0.5), true));
        assert_eq!(schedule("closed loop (coordinated)"), (None, false));
        assert_eq!(schedule("paced"), (None, false));
    }
}
