//! From what was typed to what is measured: arms, and which of them are compared with each other.

use anyhow::Result;
use sockkit_core::{Error, ErrorKind, TRANSPORTS};
use sockkit_stats::judge::blocks_needed;
use sockkit_stats::{Cell, Rules, result};

use super::saved::Saved;
use crate::cli::{CompareArgs, Subject};
use crate::command::info::{self, Availability, Sysctls};
use crate::command::measure::{Arm, arms};
use crate::render::figures;

/// The transport with which the others are compared when no target is typed: the one that everybody knows.
const FIRST: &str = "tcp";

/// Arms that can be judged at once by six runs against six that were saved: all six on one side are a chance of 2 in 924,
/// and Holm gives each arm its part of 5 %.
const UNPAIRED_ARMS: usize = 23;

/// What is measured.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) arms: Vec<Arm>,
    /// Arms that are compared with each other.
    pub(super) cells: Vec<Cell>,
    /// The saved result that is the baseline of all.
    pub(super) saved: Option<Saved>,
    /// What could not be planned as it was asked for.
    pub(super) warnings: Vec<String>,
    /// What was asked for by name and will have no verdict.
    pub(super) unjudged: Vec<String>,
}

impl Plan {
    /// Makes arms of what was typed, and of what the saved result has where nothing was; then the arguments say so.
    pub(super) fn new(args: &mut CompareArgs) -> Result<Self> {
        let mut saved = args.saved.against.as_deref().map(Saved::load).transpose()?;
        let mut warnings = Vec::new();
        let asked = match (&saved, args.targets.0.is_empty()) {
            (Some(saved), true) => saved.arms(args.typed, &mut args.workload)?,
            (None, true) => arms(&all_transports(), &args.workload, args.workload.rate.is_some()),
            (_, false) => arms(&args.targets.0, &args.workload, args.workload.rate.is_some()),
        };
        let arms = without_what_is_missing(asked, &mut warnings);
        if arms.is_empty() {
            return Err(nothing(&warnings.join("; ")).into());
        }
        // Nobody has asked for each of the transports that sockkit knows.
        let is_named = saved.is_some() || !args.targets.0.is_empty();
        let mut unjudged = if is_named { warnings.clone() } else { Vec::new() };
        if let Some(saved) = &mut saved {
            unjudged.extend(saved.recognise(&arms, &args.workload)?);
        }
        let cells = cells(&arms);
        Ok(Self { arms, cells, saved, warnings, unjudged })
    }

    /// The places of the arms that get verdicts.
    pub(super) fn judged(&self) -> Vec<usize> {
        match &self.saved {
            Some(_) => (0..self.arms.len()).collect(),
            None => self.cells.iter().flat_map(|cell| cell.others.clone()).collect(),
        }
    }

    /// Blocks without which no verdict is possible in the cell with the most arms.
    pub(super) fn blocks_needed(&self, rules: &Rules) -> usize {
        let others = self.cells.iter().map(|cell| cell.others.len()).max().unwrap_or(1);
        match &self.saved {
            // Without pairs, six against six say more than six pairs.
            Some(_) if others < UNPAIRED_ARMS => rules.blocks_min,
            _ => blocks_needed(others, rules),
        }
    }

    /// The arms of the saved result, if there is one.
    pub(super) fn saved_arms(&self) -> Option<&[result::Arm]> {
        self.saved.as_ref().map(|saved| &*saved.document.arms)
    }
}

fn nothing(why: &str) -> Error {
    Error::new(ErrorKind::Usage, "compare", "anything", why)
}

/// All that sockkit knows. Those that this machine lacks are left out later, with the reason.
fn all_transports() -> Vec<Subject> {
    let mut subjects: Vec<_> = TRANSPORTS.iter().map(|&transport| Subject::embedded(transport)).collect();
    subjects.sort_by_key(|subject| subject.typed != FIRST);
    subjects
}

/// The arms that can be measured here; a warning for each thing that cannot.
fn without_what_is_missing(mut arms: Vec<Arm>, warnings: &mut Vec<String>) -> Vec<Arm> {
    for transport in info::transports(&Sysctls::of_this_machine()) {
        let (scheme, Availability { why_not: Some(why), .. }) = (transport.scheme, transport.availability)
        else {
            continue;
        };
        let before = arms.len();
        arms.retain(|arm| arm.subject.transport.scheme() != scheme);
        if arms.len() < before {
            warnings.push(format!("{scheme} is left out, because this machine lacks it: {why}"));
        }
    }
    for &transport in TRANSPORTS {
        let Some(most) = transport.traits().message_max else { continue };
        let is_too_large =
            |arm: &Arm| arm.subject.transport.scheme() == transport.scheme() && arm.size > most;
        if let Some(arm) = arms.iter().find(|arm| is_too_large(arm)) {
            let size = figures::size(arm.size as u64);
            let scheme = transport.scheme();
            warnings.push(format!("{scheme} is left out from {size} on: a message has at most {most} bytes"));
        }
        arms.retain(|arm| !is_too_large(arm));
    }
    arms
}

/// Arms with the same size, connections and depth are compared with the first of them. Where no two are alike in that
/// (one target under several loads), all are compared with the very first.
fn cells(arms: &[Arm]) -> Vec<Cell> {
    let load = |arm: &Arm| (arm.size, arm.connections, arm.depth);
    let mut cells: Vec<Cell> = Vec::new();
    for (index, arm) in arms.iter().enumerate() {
        match cells.iter_mut().find(|cell| load(&arms[cell.baseline]) == load(arm)) {
            Some(cell) => cell.others.push(index),
            None => cells.push(Cell { baseline: index, others: Vec::new() }),
        }
    }
    if cells.iter().all(|cell| cell.others.is_empty()) {
        return vec![Cell { baseline: 0, others: (1..arms.len()).collect() }];
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(target: &str, size: usize) -> Arm {
        Arm { subject: Subject::parse(target).unwrap(), size, connections: 1, depth: 1 }
    }

    #[test]
    fn arms_under_the_same_load_are_compared_with_the_first() {
        let arms = [arm("tcp", 64), arm("udp", 64), arm("tcp", 1024), arm("udp", 1024), arm("unix", 1024)];
        let expected =
            [Cell { baseline: 0, others: vec![1] }, Cell { baseline: 2, others: vec![3, 4] }].to_vec();
        assert_eq!(cells(&arms), expected);
    }

    #[test]
    fn one_target_is_compared_with_itself_under_other_loads() {
        let arms = [arm("tcp", 64), arm("tcp", 128), arm("tcp", 256)];
        assert_eq!(cells(&arms), [Cell { baseline: 0, others: vec![1, 2] }]);
        assert_eq!(cells(&arms[..1]), [Cell { baseline: 0, others: vec![] }]);
    }

    #[test]
    fn the_first_transport_is_the_one_that_everybody_knows() {
        let subjects = all_transports();
        assert_eq!((&*subjects[0].typed, subjects.len()), ("tcp", TRANSPORTS.len()));
    }

    #[test]
    fn a_message_that_a_transport_cannot_carry_is_no_arm() {
        let mut warnings = Vec::new();
        let asked = vec![arm("tcp", 65_536), arm("udp", 65_536), arm("udp", 64)];
        let left = without_what_is_missing(asked, &mut warnings);
        let names: Vec<_> = left.iter().map(|arm| (&*arm.subject.typed, arm.size)).collect();
        assert_eq!(names, [("tcp", 65_536), ("udp", 64)]);
        assert_eq!(warnings, ["udp is left out from 64 KiB on: a message has at most 65507 bytes"]);
    }
}
