//! A ping, the way ping(8) sums up.

use sockkit_stats::result::{Arm, Document, Latency};

use super::names::Names;
use super::{Part, Statement};
use crate::render::figures::{self, duration};
use crate::render::ping::lateness_matters;
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
    let mean = |latency: Latency| latency.mean.map(|mean| mean.estimate);
    let late = arm.lateness_ns.and_then(mean).zip(rtt.p50.or(rtt.mean));
    if late.is_some_and(|(mean_ns, rtt)| lateness_matters(mean_ns, rtt.estimate)) {
        for (name, latency) in [
            ("sent late by", arm.lateness_ns),
            ("rtt counted from when each should have been sent", spread.response_ns),
        ] {
            let Some(it) = latency else { continue };
            let parts = [("mean", it.mean), ("p50", it.p50), ("p99", it.p99), ("max", it.max)]
                .map(|(name, it)| format!("{name} {}", figures::optional(it, |it| duration(it.estimate))));
            statements.push(Statement::plain(format!("{name}: {}", parts.join(", "))));
        }
    }
    statements
}

#[cfg(test)]
mod tests {
    use sockkit_stats::Estimate;

    use super::super::samples;
    use super::*;

    #[test]
    fn lateness_is_shown_where_it_matters() {
        let late = |lateness_ns: f64| {
            let mut arm = samples::ping().arms.remove(0);
            let latency = |mean| Latency { mean: Some(Estimate::bare(mean)), ..Latency::default() };
            arm.lateness_ns = Some(latency(lateness_ns));
            arm.spread.as_mut().unwrap().response_ns = Some(latency(lateness_ns + 45_600.0));
            summary(&arm, "udp").split_off(2).into_iter().map(|it| it.text).collect::<Vec<_>>()
        };
        assert_eq!(late(900_000.0), [""; 0]);
        let from_schedule =
            "rtt counted from when each should have been sent: mean 2.05 ms, p50 -, p99 -, max -";
        assert_eq!(late(2e6), ["sent late by: mean 2.00 ms, p50 -, p99 -, max -", from_schedule]);
    }
}
