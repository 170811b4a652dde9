//! A ping, the way ping(8) sums up.

use sockkit_stats::result::{Arm, Document};

use super::names::Names;
use super::{Part, Statement};
use crate::render::figures::{self, duration};
use crate::render::text::Tone;

pub(super) fn parts(document: &Document, names: &Names) -> Vec<Part> {
    let arms = document.arms.iter().enumerate();
    arms.map(|(index, arm)| Part::Statements(summary(arm, names.label(index)))).collect()
}

fn summary(arm: &Arm, label: &str) -> Vec<Statement> {
    let size = figures::size(arm.size);
    let mut statements =
        vec![Statement::new(format!("{label}: ping with {size}, {}", arm.pacing), Tone::Strong)];
    let spread = arm.spread.unwrap_or_default();
    let rtt = &arm.rtt_ns;
    let figures = [
        ("min", spread.min_ns),
        ("mean", rtt.mean.map(|it| it.estimate)),
        ("p50", rtt.p50.map(|it| it.estimate)),
        ("p90", rtt.p90.map(|it| it.estimate)),
        ("p99", rtt.p99.map(|it| it.estimate)),
        ("max", rtt.max.map(|it| it.estimate)),
        ("stddev", spread.stddev_ns),
        ("jitter", spread.jitter_ns),
    ];
    let text = match figures.iter().all(|(_, figure)| figure.is_none()) {
        true => "no round trip was measured".to_owned(),
        false => {
            let parts =
                figures.map(|(name, figure)| format!("{name} {}", figures::optional(figure, duration)));
            format!("rtt {}", parts.join(", "))
        }
    };
    statements.push(Statement::plain(text));
    for (name, latency) in [("from the send", arm.service_ns), ("lateness of the sends", arm.lateness_ns)] {
        let Some(latency) = latency else { continue };
        let percentiles = [("p50", latency.p50), ("p99", latency.p99), ("max", latency.max)];
        let parts = percentiles
            .map(|(name, it)| format!("{name} {}", figures::optional(it, |it| duration(it.estimate))));
        statements.push(Statement::plain(format!("{name}: {}", parts.join(", "))));
    }
    statements
}
