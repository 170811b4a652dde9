//! How the arms are called and drawn, the same in every table and chart of a page.

use std::collections::{BTreeMap, BTreeSet};

use sockkit_stats::result::{Arm, Document, Latency, Metric, Mode, Noise, Verdict};

use crate::render::{figures, letters};

/// How many colours, shapes and dashes there are (style.css and `charts::shapes` have them). They have no common
/// divisor where it matters: forty-two arms differ in colour or shape, and colour alone never tells them apart.
const COLOURS: usize = 6;
pub(super) const SHAPES: usize = 7;
const DASHES: usize = 5;

/// The looks of one arm or target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style(pub(super) usize);

impl Style {
    /// The class of its colour.
    pub(super) fn colour(self) -> String {
        format!("c{}", self.0 % COLOURS)
    }

    /// The class of its line.
    pub(super) fn dash(self) -> String {
        format!("d{}", self.0 % DASHES)
    }

    /// The reference to its shape.
    pub(super) fn shape(self) -> String {
        format!("#m{}", self.0 % SHAPES)
    }
}

/// What arms may differ in, beside their target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    Size,
    Connections,
    Depth,
}

impl Dimension {
    pub(super) const ALL: [Self; 3] = [Self::Size, Self::Connections, Self::Depth];

    pub(super) fn of(self, arm: &Arm) -> u64 {
        match self {
            Self::Size => arm.size,
            Self::Connections => arm.connections,
            Self::Depth => arm.depth,
        }
    }

    /// As the head of a column.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Connections => "connections",
            Self::Depth => "depth",
        }
    }

    /// Its figure where the head of a column says what it is.
    pub(super) fn figure(self, value: u64) -> String {
        match self {
            Self::Size => figures::size(value),
            Self::Connections | Self::Depth => figures::count(value),
        }
    }

    /// Its figure in a sentence.
    pub(super) fn phrase(self, value: u64) -> String {
        match self {
            Self::Size => figures::size(value),
            Self::Connections => figures::several(value, "connection"),
            Self::Depth => format!("depth {}", figures::count(value)),
        }
    }
}

/// The arms of a document with their names and looks.
#[derive(Debug)]
pub(super) struct Roster<'a> {
    pub(super) document: &'a Document,
    /// What the arms differ in.
    pub(super) varying: Vec<Dimension>,
    /// Arms that may share a chart: they differ in their target only, or there is one target for all.
    pub(super) groups: Vec<Vec<usize>>,
    names: Vec<String>,
    targets: Vec<String>,
    styles: Vec<Style>,
    verdicts: BTreeMap<(u64, Metric), &'a Verdict>,
    noise: BTreeMap<(u64, Metric), &'a Noise>,
}

impl<'a> Roster<'a> {
    pub(super) fn new(document: &'a Document) -> Self {
        let arms = &document.arms;
        let varying: Vec<Dimension> = Dimension::ALL
            .into_iter()
            .filter(|dimension| distinct(arms.iter().map(|arm| dimension.of(arm))).len() > 1)
            .collect();
        let targets = targets(arms, &varying);
        let different = distinct(targets.iter().map(String::as_str));
        let (groups, styles) = match different.len() {
            1 => (vec![(0..arms.len()).collect()], (0..arms.len()).map(Style).collect()),
            _ => {
                let places: BTreeMap<&str, usize> = different.into_iter().zip(0..).collect();
                let styles = targets.iter().map(|target| Style(places[target.as_str()]));
                (groups(arms, &varying), styles.collect())
            }
        };
        let verdicts = document.verdicts.iter().rev().map(|one| ((one.arm_index, one.metric), one));
        let noise = document.noise_floor.iter().rev().map(|one| ((one.arm_index, one.metric), one));
        Self {
            document,
            names: names(arms, &targets, &varying),
            targets,
            varying,
            groups,
            styles,
            verdicts: verdicts.collect(),
            noise: noise.collect(),
        }
    }

    /// The verdict on the arm at a place, if there is one.
    pub(super) fn verdict_on(&self, index: u64, metric: Metric) -> Option<&'a Verdict> {
        self.verdicts.get(&(index, metric)).copied()
    }

    /// The noise floor of the arm at a place, if it is a baseline.
    pub(super) fn noise_of(&self, index: u64, metric: Metric) -> Option<&'a Noise> {
        self.noise.get(&(index, metric)).copied()
    }

    pub(super) fn arm(&self, index: usize) -> &'a Arm {
        &self.document.arms[index]
    }

    /// The target, and whatever else tells the arm from the others.
    pub(super) fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    pub(super) fn style(&self, index: usize) -> Style {
        self.styles[index]
    }

    /// The name of a metric for people.
    pub(super) fn metric(&self, metric: Metric) -> &'static str {
        match (metric, self.connects()) {
            (Metric::P50, _) => "p50",
            (Metric::P99, _) => "p99",
            (Metric::Rate, false) => "messages/s",
            (Metric::Rate, true) => "connections/s",
            (Metric::Cpu, false) => "CPU/message",
            (Metric::Cpu, true) => "CPU/connection",
        }
    }

    /// Whether it is connections that were counted.
    pub(super) fn connects(&self) -> bool {
        self.document.arms.iter().all(|arm| arm.mode == Mode::Connect)
    }

    pub(super) fn len(&self) -> usize {
        self.document.arms.len()
    }

    /// What the arms of a group have in common and others have not: the title of its chart. Empty if there is one group.
    pub(super) fn title(&self, group: &[usize]) -> String {
        match (self.groups.len(), group.first()) {
            (2.., Some(&first)) => {
                let values = beside_target(self.arm(first), &self.varying);
                let phrases =
                    self.varying.iter().zip(values).map(|(dimension, value)| dimension.phrase(value));
                phrases.collect::<Vec<_>>().join(", ")
            }
            _ => String::new(),
        }
    }

    /// The name within a group: the target, where a title says the rest.
    pub(super) fn short(&self, index: usize) -> &str {
        match self.groups.len() {
            2.. => self.target(index),
            _ => self.name(index),
        }
    }

    /// The target, with a number where the same is measured several times.
    pub(super) fn target(&self, index: usize) -> &str {
        &self.targets[index]
    }

    /// What all arms have in common, in words: `64 B, 1 connection, depth 1`.
    pub(super) fn common(&self) -> String {
        let Some(first) = self.document.arms.first() else { return String::new() };
        let phrases = Dimension::ALL.into_iter().filter(|dimension| !self.varying.contains(dimension));
        phrases.map(|dimension| dimension.phrase(dimension.of(first))).collect::<Vec<_>>().join(", ")
    }
}

/// Arms that are the same in all but their target.
fn groups(arms: &[Arm], varying: &[Dimension]) -> Vec<Vec<usize>> {
    let mut places = BTreeMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, arm) in arms.iter().enumerate() {
        let place = *places.entry(beside_target(arm, varying)).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(index);
    }
    groups
}

fn beside_target(arm: &Arm, varying: &[Dimension]) -> Vec<u64> {
    varying.iter().map(|dimension| dimension.of(arm)).collect()
}

/// Round trips, but of an arm whose generator was late: they would be those of the generator.
pub(super) fn round_trips(arm: &Arm) -> Latency {
    if arm.saturated { Latency::default() } else { arm.rtt_ns }
}

/// The different ones, in the order in which they come first.
pub(super) fn distinct<T: Ord + Clone>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    all.filter(|one| seen.insert(one.clone())).collect()
}

fn names(arms: &[Arm], targets: &[String], varying: &[Dimension]) -> Vec<String> {
    let name = |(arm, target): (&Arm, &String)| {
        let details = varying.iter().map(|dimension| dimension.phrase(dimension.of(arm)));
        [target.clone()].into_iter().chain(details).collect::<Vec<_>>().join(", ")
    };
    arms.iter().zip(targets).map(name).collect()
}

fn targets<'a>(arms: &'a [Arm], varying: &[Dimension]) -> Vec<String> {
    let mut seen: BTreeMap<(&str, Vec<u64>), u64> = BTreeMap::new();
    let target = |arm: &'a Arm| {
        // Two arms may be the same in all that is known of them: that is how one looks at the noise.
        let times = seen.entry((&arm.target, beside_target(arm, varying))).or_default();
        *times += 1;
        let target = letters::name(&arm.target);
        if *times == 1 { target } else { format!("{target} #{times}") }
    };
    arms.iter().map(target).collect()
}
