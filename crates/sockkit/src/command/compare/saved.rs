//! A saved result as the baseline: what was measured then is measured again, and the two are compared.
//!
//! Nothing is paired any more: if the machine has become slower since, so has every arm. So whatever differs between
//! then and now, beside the thing that was changed on purpose, is named.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use sockkit_core::{Deadline, Error, ErrorKind, Role};
use sockkit_stats::Rules;
use sockkit_stats::result::{self, Document, Environment, Metric, Mode};

use super::fairness;
use crate::cli::{Cli, Command, ModeName, Subject, Typed, WorkloadArgs};
use crate::command::document;
use crate::command::measure::Arm;
use crate::command::report::environment_differences;
use crate::render::figures;

/// Arms that an error names; who asks for more sees them in the report.
const LISTED_MAX: usize = 4;

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
        let measurable = self.document.arms.iter().find_map(|arm| mode_name(arm.mode));
        if !typed.mode {
            workload.mode =
                measurable.ok_or_else(|| self.usage("it has no arm that compare could measure"))?;
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
            chosen.first().ok_or_else(|| self.usage("it has no arm of the mode and load that were typed"))?;
        if !typed.rate {
            (workload.rate, workload.poisson) = schedule(&first.pacing);
        }
        chosen
            .iter()
            .map(|arm| again(arm))
            .collect::<Result<_, _>>()
            .map_err(|cause| self.usage(&cause).into())
    }

    /// Looks for the arms of now among those of then: by what was typed, else by the address behind it. What is found by
    /// its address only is there under the name of now too from here on. Answers one sentence for each that is not there.
    ///
    /// # Errors
    /// If none of them is there, or a name cannot be looked up.
    pub(super) fn recognise(&mut self, arms: &[Arm], workload: &WorkloadArgs) -> Result<Vec<String>, Error> {
        let mut missing = Vec::new();
        for arm in arms {
            let alike = || self.document.arms.iter().filter(|saved| is_alike(saved, arm, workload.mode));
            if alike().any(|saved| saved.target == arm.subject.typed) {
                continue;
            }
            let addresses = match alike().next() {
                Some(_) => addresses(&arm.subject, workload.connect_timeout)?,
                None => Vec::new(),
            };
            let is_there = |saved: &&result::Arm| {
                !saved.embedded && saved.address.as_ref().is_some_and(|address| addresses.contains(address))
            };
            match alike().find(is_there) {
                Some(saved) => {
                    let again = result::Arm { target: arm.subject.typed.clone(), ..saved.clone() };
                    self.document.arms.push(again);
                }
                None => missing.push(load_of_now(arm, workload.mode)),
            }
        }
        if missing.len() == arms.len() {
            let there: Vec<_> = self.document.arms.iter().map(load_of_then).collect();
            let cause = format!("it has no {}; it has {}", listed(&missing), listed(&there));
            return Err(self.usage(&cause));
        }
        let path = self.path.display();
        Ok(missing.iter().map(|missing| format!("{path} has no {missing}")).collect())
    }

    /// Why there were too few rounds then for a verdict by this metric on one of these arms, if there were.
    pub(super) fn lack(
        &self,
        arms: &[Arm],
        mode: ModeName,
        metric: Metric,
        rounds_min: usize,
    ) -> Option<String> {
        arms.iter().find_map(|arm| {
            let is_same =
                |saved: &&result::Arm| saved.target == arm.subject.typed && is_alike(saved, arm, mode);
            let saved = self.document.arms.iter().find(is_same)?;
            let rounds = saved.samples.iter().filter(|sample| metric.of(sample).is_some()).count();
            (rounds < rounds_min).then(|| {
                let (path, typed, metric) = (self.path.display(), &arm.subject.typed, metric.name());
                format!(
                    "{path} has {rounds} rounds of {typed} with {metric}, and a verdict takes {rounds_min}"
                )
            })
        })
    }

    fn usage(&self, cause: &str) -> Error {
        Error::new(ErrorKind::Usage, "compare against", self.path.display(), cause)
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

/// Whether an arm of then was put under the load of one of now.
fn is_alike(saved: &result::Arm, now: &Arm, mode: ModeName) -> bool {
    mode_name(saved.mode) == Some(mode)
        && [saved.size, saved.connections, saved.depth]
            == [now.size, now.connections, now.depth].map(|number| number as u64)
}

/// The addresses for which a subject stands, as results have them; none of a server that is yet to be started.
fn addresses(subject: &Subject, patience: Duration) -> Result<Vec<String>, Error> {
    let Some(target) = &subject.target else { return Ok(Vec::new()) };
    let (scheme, separator) = (target.transport().scheme(), target.transport().traits().form.separator());
    let addresses = target.resolve(Role::Client, Deadline::after(patience))?;
    Ok(addresses.iter().map(|address| format!("{scheme}{separator}{address}")).collect())
}

fn load_of_then(arm: &result::Arm) -> String {
    load(&arm.target, arm.mode, [arm.size, arm.connections, arm.depth])
}

fn load_of_now(arm: &Arm, mode: ModeName) -> String {
    let numbers = [arm.size, arm.connections, arm.depth].map(|number| number as u64);
    load(&arm.subject.typed, mode.into(), numbers)
}

/// `tcp (echo, 64 B, 1 connection, depth 1)`.
fn load(target: &str, mode: Mode, [size, connections, depth]: [u64; 3]) -> String {
    let (mode, size, connections) =
        (mode.name(), figures::size(size), figures::several(connections, "connection"));
    format!("{target} ({mode}, {size}, {connections}, depth {depth})")
}

/// The first few of a list.
fn listed(names: &[String]) -> String {
    let first = names[..names.len().min(LISTED_MAX)].join(", ");
    match names.len().saturating_sub(LISTED_MAX) {
        0 if names.is_empty() => "nothing".to_owned(),
        0 => first,
        more => format!("{first} and {more} more"),
    }
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
