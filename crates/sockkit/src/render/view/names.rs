//! How arms and figures are called.

use std::collections::HashMap;

use sockkit_stats::Estimate;
use sockkit_stats::result::{Arm, Metric, Mode, Verdict};

use crate::render::{figures, letters};

/// The names of the arms of a document: the target, and beside it only what is not the same for all.
#[derive(Clone, Debug)]
pub(super) struct Names {
    labels: Vec<String>,
    targets: Vec<String>,
    varies: Varies,
    /// What is the same for all, in words.
    common: String,
    /// What is counted: messages or connections.
    unit: &'static str,
}

impl Names {
    pub(super) fn new(arms: &[Arm]) -> Self {
        let varies = Varies::of(arms);
        let mut seen: HashMap<String, usize> = HashMap::new();
        let (mut labels, mut targets) = (Vec::new(), Vec::new());
        for arm in arms {
            let (target, setting) = (letters::name(&arm.target), varies.setting(arm));
            let times = seen.entry(format!("{target} {setting}")).or_default();
            *times += 1;
            // The same target twice is no mistake: that is how one looks at the noise.
            let target = if *times == 1 { target } else { format!("{target} #{times}") };
            labels.push(if setting.is_empty() { target.clone() } else { format!("{target} {setting}") });
            targets.push(target);
        }
        let is_connect = !arms.is_empty() && arms.iter().all(|arm| arm.mode == Mode::Connect);
        let unit = if is_connect { "connection" } else { "message" };
        let common = arms.first().map(|arm| varies.common(arm)).unwrap_or_default();
        Self { labels, targets, varies, common, unit }
    }

    /// The arm at a place, which need not exist.
    pub(super) fn label(&self, index: usize) -> &str {
        self.labels.get(index).map_or("?", String::as_str)
    }

    /// The same where what varies has been said.
    pub(super) fn target(&self, index: usize) -> &str {
        self.targets.get(index).map_or("?", String::as_str)
    }

    /// What is the same for all arms.
    pub(super) fn common(&self) -> &str {
        &self.common
    }

    /// The places of the arms by what varies beside the target, in the order of the document.
    pub(super) fn by_setting(&self, arms: &[Arm]) -> Vec<(String, Vec<usize>)> {
        let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (index, arm) in arms.iter().enumerate() {
            let setting = self.varies.setting(arm);
            let place = *places.entry(setting.clone()).or_insert(groups.len());
            match groups.get_mut(place) {
                Some((_, arms)) => arms.push(index),
                None => groups.push((setting, vec![index])),
            }
        }
        groups
    }

    /// What is counted, one of it: `message` or `connection`.
    pub(super) fn unit(&self) -> &'static str {
        self.unit
    }

    /// The same for headings.
    pub(super) fn short_unit(&self) -> &'static str {
        if self.unit == "message" { "msg" } else { "conn" }
    }

    /// The arm of which a verdict speaks.
    pub(super) fn arm<'a>(&'a self, verdict: &'a Verdict) -> &'a str {
        self.labels.get(place(verdict.arm_index)).unwrap_or(&verdict.arm)
    }

    /// A metric in a few letters.
    pub(super) fn metric(&self, metric: Metric) -> String {
        match metric {
            Metric::P50 => "p50".to_owned(),
            Metric::P99 => "p99".to_owned(),
            Metric::Rate => format!("{}s/s", self.short_unit()),
            Metric::Cpu => format!("CPU/{}", self.short_unit()),
        }
    }
}

/// A place in `arms` as the document has it; one that no machine could have is none that exists.
pub(super) fn place(index: u64) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The figure of an arm that a metric compares.
pub(super) fn figure(arm: &Arm, metric: Metric) -> Option<Estimate> {
    let with_interval = |bare: Option<f64>| {
        // The interval is kept beside a figure that is a plain number, and may be missing.
        arm.intervals.get(metric.name()).copied().or(bare.map(Estimate::bare))
    };
    match metric {
        Metric::P50 => arm.rtt_ns.p50,
        Metric::P99 => arm.rtt_ns.p99,
        Metric::Rate => with_interval(arm.rate_per_s),
        Metric::Cpu => with_interval(arm.cost.cpu_ns),
    }
}

/// How a metric's figures are written.
pub(super) fn format_of(metric: Metric) -> fn(f64) -> String {
    match metric {
        Metric::P50 | Metric::P99 | Metric::Cpu => figures::duration,
        Metric::Rate => figures::rate,
    }
}

/// In what arms differ, other than their targets.
#[derive(Clone, Copy, Debug, Default)]
struct Varies {
    mode: bool,
    size: bool,
    connections: bool,
    depth: bool,
    pacing: bool,
}

impl Varies {
    fn of(arms: &[Arm]) -> Self {
        let Some(first) = arms.first() else { return Self::default() };
        Self {
            mode: arms.iter().any(|arm| arm.mode != first.mode),
            size: arms.iter().any(|arm| arm.size != first.size),
            connections: arms.iter().any(|arm| arm.connections != first.connections),
            depth: arms.iter().any(|arm| arm.depth != first.depth),
            pacing: arms.iter().any(|arm| arm.pacing != first.pacing),
        }
    }

    fn setting(self, arm: &Arm) -> String {
        self.parts(arm, true).join(", ")
    }

    fn common(self, arm: &Arm) -> String {
        self.parts(arm, false).join(", ")
    }

    /// What varies, or what does not.
    fn parts(self, arm: &Arm, varying: bool) -> Vec<String> {
        let parts = [
            (self.mode, arm.mode.name().to_owned()),
            (self.size, figures::size(arm.size)),
            (self.connections, figures::several(arm.connections, "connection")),
            (self.depth, format!("depth {}", figures::count(arm.depth))),
            (self.pacing, arm.pacing.clone()),
        ];
        parts
            .into_iter()
            .filter(|(varies, text)| *varies == varying && !text.is_empty())
            .map(|(_, text)| text)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_name_has_what_varies_and_nothing_else() {
        let sweep = samples::sweep();
        let names = Names::new(&sweep.arms);
        assert_eq!(names.label(0), "tcp 64 B");
        assert_eq!(names.common(), "echo, 1 connection, depth 1, closed loop (coordinated)");
        let mut arms = samples::comparison().arms;
        arms[1].target = "tcp".into();
        let names = Names::new(&arms);
        assert_eq!([names.label(0), names.label(1), names.label(9)], ["tcp", "tcp #2", "?"]);
        assert_eq!(names.common(), "echo, 64 B, 1 connection, depth 1, closed loop (coordinated)");
        arms[2].size = 128;
        arms.push(arms[1].clone());
        let names = Names::new(&arms);
        assert_eq!([names.label(1), names.label(3)], ["tcp #2 64 B", "tcp #3 64 B"]);
        assert_eq!([names.target(1), names.target(2), names.target(3)], ["tcp #2", "unix", "tcp #3"]);
    }

    #[test]
    fn connections_are_counted_where_they_are_what_is_measured() {
        let mut arms = samples::comparison().arms;
        arms.iter_mut().for_each(|arm| arm.mode = Mode::Connect);
        let names = Names::new(&arms);
        assert_eq!(Metric::ALL.map(|metric| names.metric(metric)), ["p50", "p99", "conns/s", "CPU/conn"]);
    }
}
