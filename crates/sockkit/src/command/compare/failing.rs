//! `--fail-if`: verdicts as an exit code.
//!
//! A machine that goes by it takes a 0 for "this was judged, and it is well". So an arm that was to be judged and was not
//! is a failure as well: told before anything is measured where it can be foreseen, and by the exit code where it cannot.

use sockkit_core::{Error, ErrorKind};
use sockkit_stats::result::{Document, Metric, Verdict, Word};

use super::conduct::Course;
use super::fairness;
use super::order::Order;
use super::timing::Lengths;
use crate::cli::{FailIf, ModeName, SavedArgs};
use crate::exit::Mismatch;
use crate::render::figures;

/// What has to hold, and about what.
#[derive(Debug)]
pub(super) struct Gate {
    fail_if: FailIf,
    /// The metrics that were named; none for all.
    metrics: Vec<Metric>,
}

impl Gate {
    /// The one that was asked for, if one was.
    pub(super) fn new(args: &SavedArgs) -> Option<Self> {
        let metrics = args.fail_on.iter().map(|&name| name.into()).collect();
        args.fail_if.map(|fail_if| Self { fail_if, metrics })
    }

    /// Looks whether every arm can get a verdict, as far as that can be known before anything is measured.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Usage`] if not.
    pub(super) fn foresee(&self, course: &Course<'_>) -> Result<(), Error> {
        let obstacle = self.obstacle_in_plan(course).or_else(|| obstacle_in_blocks(course));
        obstacle.map_or(Ok(()), |cause| Err(Error::new(ErrorKind::Usage, "decide", "--fail-if", cause)))
    }

    /// Holds the result against it.
    ///
    /// # Errors
    /// With all verdicts that speak against it, and all arms that have none.
    pub(super) fn check(&self, document: &Document, course: &Course<'_>) -> Result<(), Mismatch> {
        let is_asked = |metric| self.metrics.is_empty() || self.metrics.contains(&metric);
        let is_bad = |verdict: &&Verdict| match self.fail_if {
            FailIf::Slower => verdict.verdict == Word::Slower,
            FailIf::Different => verdict.verdict != Word::NoDifferenceShown,
        };
        let bad = document.verdicts.iter().filter(|verdict| is_asked(verdict.metric)).filter(is_bad);
        let mut said: Vec<_> = bad.map(|verdict| sentence(verdict, document)).collect();
        said.extend(self.not_judged(document, course));
        if said.is_empty() { Ok(()) } else { Err(Mismatch(said.join("; "))) }
    }

    /// The metrics without which an arm counts as not judged. Of those that nobody has named it is the one that is looked
    /// at first: not every server has a cost that is known, nor every run a p99.
    fn required(&self, mode: ModeName) -> Vec<Metric> {
        match (self.metrics.as_slice(), mode) {
            ([], ModeName::Echo | ModeName::Connect) => vec![Metric::P50],
            ([], ModeName::Send | ModeName::Receive) => vec![Metric::Rate],
            (named, _) => named.to_vec(),
        }
    }

    fn obstacle_in_plan(&self, course: &Course<'_>) -> Option<String> {
        let (plan, mode) = (course.plan, course.workload.mode);
        if !plan.unjudged.is_empty() {
            return Some(plan.unjudged.join("; "));
        }
        if plan.judged().is_empty() {
            return Some(
                "one arm alone has nothing to be compared with: add a target, or --against FILE".into(),
            );
        }
        let required = self.required(mode);
        let is_one_way = matches!(mode, ModeName::Send | ModeName::Receive);
        if let Some(metric) = required.iter().find(|it| is_one_way && matches!(it, Metric::P50 | Metric::P99))
        {
            return Some(format!("there is no {} where messages go one way", metric.name()));
        }
        let foreign = plan.arms.iter().find(|arm| arm.subject.target.is_some());
        if let Some(arm) = foreign.filter(|_| required.contains(&Metric::Cpu)) {
            let (typed, cpu) = (&arm.subject.typed, Metric::Cpu.name());
            return Some(format!("{cpu} takes a server that sockkit starts, and {typed} is none"));
        }
        let saved = plan.saved.as_ref()?;
        required.iter().find_map(|&metric| saved.lack(&plan.arms, mode, metric, course.rules.blocks_min))
    }

    /// A sentence for each arm and metric without a verdict.
    fn not_judged(&self, document: &Document, course: &Course<'_>) -> Vec<String> {
        let needed = course.plan.blocks_needed(&course.rules) as u64;
        let mut sentences = Vec::new();
        for (index, metric) in course.plan.judged().into_iter().flat_map(|index| {
            self.required(course.workload.mode).into_iter().map(move |metric| (index, metric))
        }) {
            let mut verdicts = document.verdicts.iter();
            let verdict = verdicts.find(|it| it.arm_index == index as u64 && it.metric == metric);
            if verdict.is_some_and(|it| it.blocks >= needed && it.threshold.is_some()) {
                continue;
            }
            let (name, rounds) =
                (fairness::name(&document.arms[index], document), verdict.map_or(0, |it| it.blocks));
            sentences.push(format!(
                "{name} could not be judged by {}: {} that count{}, and a verdict takes {needed}",
                metric.name(),
                figures::several(rounds, "round"),
                if rounds == 1 { "s" } else { "" },
            ));
        }
        sentences
    }
}

/// Why there cannot be blocks enough.
fn obstacle_in_blocks(course: &Course<'_>) -> Option<String> {
    let needed = course.plan.blocks_needed(&course.rules);
    if course.blocks_max < needed as u64 {
        let blocks = course.blocks_max;
        return Some(format!("a verdict takes {needed} blocks with so many arms, and --blocks is {blocks}"));
    }
    let runs = needed * Order::new(course.plan.arms.len(), &course.plan.cells, 0).len();
    let shortest = Lengths::shortest(course.wanted).total() * u32::try_from(runs).unwrap_or(u32::MAX);
    (shortest > course.budget.limit()).then(|| {
        let budget = course.budget.0;
        format!(
            "the {needed} blocks of a verdict take {shortest:.1?} at least, and the budget is {budget:.1?}"
        )
    })
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Instant;

    use clap::Parser;
    use sockkit_stats::result::{Arm, Sample};

    use super::super::plan::Plan;
    use super::*;
    use crate::cli::{Cli, Command, CompareArgs};
    use crate::render::json::json;
    use crate::render::view::samples;

    fn args(line: &str) -> CompareArgs {
        match Cli::parse_from(format!("sockkit compare --fail-if slower {line}").split_whitespace()).command {
            Command::Compare(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    /// What is said before anything is measured.
    fn foreseen(line: &str) -> Result<(), Error> {
        let mut args = args(line);
        let plan = Plan::new(&mut args).map_err(|error| error.downcast::<Error>().unwrap())?;
        let course = super::super::course(&args, &plan, Instant::now()).unwrap();
        Gate::new(&args.saved).unwrap().foresee(&course)
    }

    #[track_caller]
    fn assert_refused(line: &str, why: &str) {
        let error = foreseen(line).expect_err(line);
        assert_eq!(error.kind(), ErrorKind::Usage, "{line}");
        assert!(error.to_string().contains(why), "{line}: {error}");
    }

    /// `samples::comparison()` with arms changed, where `--against` finds it.
    fn saved(directory: &Path, change: impl Fn(&mut Arm)) -> String {
        let mut document = samples::comparison();
        let samples = (0..6).map(|block| Sample { block, p50: Some(1e4), ..Sample::default() });
        document.arms.iter_mut().for_each(|arm| arm.samples = samples.clone().collect());
        document.arms.iter_mut().for_each(change);
        let path = directory.join("r.json");
        fs::write(&path, json(&document)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn what_cannot_be_judged_is_refused_before_it_is_measured() {
        for line in ["tcp unix", "", "tcp unix --blocks 6", "tcp --size 64,128", "tcp unix --mode send"] {
            foreseen(line).expect(line);
        }
        assert_refused("tcp", "cannot decide --fail-if: one arm alone has nothing to be compared with");
        assert_refused(
            "tcp unix --blocks 2",
            "a verdict takes 6 blocks with so many arms, and --blocks is 2",
        );
        assert_refused(
            "tcp unix --duration 300ms --budget 4s",
            "the 6 blocks of a verdict take 5.9s at least",
        );
        assert_refused("tcp udp unix --size 64..128KiB", "udp is left out from 64 KiB on");
        assert_refused(
            "tcp unix --mode send --fail-on p50",
            "there is no rtt_ns.p50 where messages go one way",
        );
        assert_refused("tcp tcp://127.0.0.1:7 --fail-on rate,cpu", "and tcp://127.0.0.1:7 is none");
    }

    #[test]
    fn what_the_saved_result_lacks_is_refused_before_it_is_measured() {
        let directory = tempfile::tempdir().unwrap();
        let path = saved(directory.path(), |_| ());
        foreseen(&format!("tcp udp --against {path}")).unwrap();
        let none = "it has no mptcp (echo, 64 B, 1 connection, depth 1); it has tcp (echo, 64 B, ";
        assert_refused(&format!("mptcp --against {path}"), none);
        assert_refused(&format!("tcp --size 1KiB --against {path}"), "it has no tcp (echo, 1 KiB, ");
        let one = format!("{path} has no unix-dgram (echo, 64 B, 1 connection, depth 1)");
        assert_refused(&format!("tcp unix-dgram --against {path}"), &one);
        saved(directory.path(), |arm| arm.samples.truncate(3));
        let few = format!("{path} has 3 rounds of tcp with rtt_ns.p50, and a verdict takes 6");
        assert_refused(&format!("tcp --against {path}"), &few);
    }

    /// Two spellings of one address are one arm.
    #[test]
    fn a_saved_arm_is_found_by_its_address() {
        let directory = tempfile::tempdir().unwrap();
        let path = saved(directory.path(), |arm| {
            (arm.target, arm.address) = (format!("{}://:7", arm.target), Some("udp://127.0.0.1:7".into()));
            arm.embedded = false;
        });
        foreseen(&format!("udp://127.1:7 --against {path}")).unwrap();
        foreseen(&format!("UDP://:7 udp://2130706433:7 --against {path}")).unwrap();
        assert_refused(&format!("tcp://127.0.0.1:7 --against {path}"), "it has no tcp://127.0.0.1:7 (");
        // A server of ours had a port of its own that another has by now.
        let path = saved(directory.path(), |arm| arm.address = Some("udp://127.0.0.1:7".into()));
        assert_refused(&format!("udp://127.0.0.1:7 --against {path}"), "it has no udp://127.0.0.1:7 (");
    }

    /// What is said of a result of `tcp unix udp`.
    fn said(line: &str, change: impl Fn(&mut Verdict)) -> String {
        let mut args = args(&format!("tcp unix udp {line}"));
        let plan = Plan::new(&mut args).unwrap();
        let course = super::super::course(&args, &plan, Instant::now()).unwrap();
        let mut document = samples::comparison();
        document.verdicts.iter_mut().for_each(change);
        let answer = Gate::new(&args.saved).unwrap().check(&document, &course);
        answer.map_or_else(|no| no.0, |()| String::new())
    }

    #[test]
    fn an_arm_without_a_verdict_does_not_pass() {
        let of = |metric, arm| move |it: &Verdict| it.metric == metric && it.arm == arm;
        let cheap = |it: &mut Verdict| it.verdict = Word::NoDifferenceShown;
        assert_eq!(said("", cheap), "");
        assert_eq!(said("--fail-on rate", cheap), "");
        assert!(said("", |_| ()).starts_with("udp is slower than tcp in cpu_ns_per_message: "));
        let few = |it: &mut Verdict| {
            cheap(it);
            it.blocks = if of(Metric::P50, "unix")(it) { 1 } else { it.blocks };
        };
        let told = "unix could not be judged by rtt_ns.p50: 1 round that counts, and a verdict takes 7";
        assert_eq!(said("", few), told);
        assert_eq!(said("--fail-on cpu", few), "", "what is not asked about need not be there");
    }
}
