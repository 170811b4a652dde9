//! How the measurement went, and where: what decides whether its figures are worth anything.

use std::collections::BTreeMap;

use sockkit_stats::result::{Arm, Document, Metric, Mode, Noise};

use super::Statement;
use super::names::{Names, place};
use crate::render::figures;
use crate::render::text::Tone;

/// Lines of a kind; how many more there are is told.
const LINES_MAX: usize = 20;

/// Baselines whose noise is told one by one.
const BASELINES_MAX: usize = 3;

/// What is the same for all, the noise floor, and why it ended when it did.
pub(super) fn of_experiment(document: &Document, names: &Names) -> Vec<Statement> {
    let mut statements = Vec::new();
    if !names.common().is_empty() {
        statements.push(Statement::plain(format!("measured: {}", names.common())));
    }
    statements.extend(noise(document, names));
    let Some(experiment) = &document.experiment else { return statements };
    let seconds = |seconds: f64| figures::duration(seconds * 1e9);
    let blocks = figures::several(experiment.blocks, "block");
    let precision = figures::percent(experiment.precision);
    let after = format!("after {blocks} in {}", seconds(experiment.elapsed_seconds));
    let ended = match experiment.stopped.as_str() {
        "precision" => format!("stopped {after}: every interval is within ±{precision}"),
        "budget" => format!(
            "stopped {after}: the budget of {} is spent, and not every interval is within ±{precision}",
            seconds(experiment.budget_seconds)
        ),
        "interrupted" => format!("interrupted {after}"),
        other => format!("stopped {after}: {other}"),
    };
    statements.push(Statement::plain(format!(
        "{ended}; rounds of {}, seed {}",
        seconds(experiment.run_seconds),
        document.seed
    )));
    let repeated: u64 = experiment.repeated.values().fold(0, |sum, &number| u64::saturating_add(sum, number));
    if repeated > 0 || experiment.kept_disturbed > 0 {
        let reasons = experiment.repeated.iter().filter(|(_, number)| **number > 0);
        let reasons: Vec<_> =
            reasons.map(|(reason, number)| format!("{reason} {}", figures::count(*number))).collect();
        let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
        statements.push(Statement::plain(format!(
            "repeated because something disturbed them: {}{why}; kept although disturbed: {}",
            figures::several(repeated, "round"),
            figures::count(experiment.kept_disturbed)
        )));
    }
    if let Some(file) = &experiment.against {
        statements.push(Statement::plain(format!("the baseline is saved in {file}")));
    }
    statements
}

/// What the baseline differs by from itself.
fn noise(document: &Document, names: &Names) -> Vec<Statement> {
    let mut baselines: BTreeMap<u64, Vec<&Noise>> = BTreeMap::new();
    for noise in &document.noise_floor {
        baselines.entry(noise.arm_index).or_default().push(noise);
    }
    if baselines.len() > BASELINES_MAX {
        let widest = Metric::ALL.into_iter().filter_map(|metric| {
            let widths = document.noise_floor.iter().filter(|noise| noise.metric == metric);
            let widest = widths.filter_map(|noise| noise.half_width).max_by(f64::total_cmp)?;
            Some(format!("{} ±{}", names.metric(metric), figures::percent(widest)))
        });
        let text = format!(
            "noise floor (the widest of {} baselines, each against itself): {}",
            baselines.len(),
            widest.collect::<Vec<_>>().join(", ")
        );
        return vec![Statement::plain(text)];
    }
    let each = baselines.iter().map(|(&index, noises)| {
        let arm = match place(index) < document.arms.len() {
            true => names.label(place(index)),
            false => noises.first().map_or("?", |noise| &noise.arm),
        };
        let widths = noises.iter().map(|noise| {
            let width = noise.half_width.map(|width| format!("±{}", figures::percent(width)));
            format!(
                "{} {}",
                names.metric(noise.metric),
                width.unwrap_or_else(|| "unknown (too few blocks)".to_owned())
            )
        });
        let widths: Vec<_> = widths.take(Metric::ALL.len()).collect();
        Statement::plain(format!("noise floor ({arm} against itself): {}", widths.join(", ")))
    });
    each.collect()
}

/// What became of the messages: one line if all is well, else one an arm.
pub(super) fn counters(document: &Document, names: &Names) -> Vec<Statement> {
    let unclean: Vec<_> = document.arms.iter().enumerate().filter(|(_, arm)| !is_clean(arm)).collect();
    let mut statements: Vec<_> = unclean
        .iter()
        .take(LINES_MAX)
        .map(|(index, arm)| {
            let text = format!("counters of {}: {}", names.label(*index), account(arm, names));
            Statement::new(text, if arm.counters.corrupted > 0 { Tone::Loud } else { Tone::Warning })
        })
        .collect();
    if unclean.len() > LINES_MAX {
        let more = figures::several((unclean.len() - LINES_MAX) as u64, "more arm");
        statements.push(Statement::new(format!("counters of {more} are not clean either"), Tone::Warning));
    }
    let is_anything = document.arms.iter().any(|arm| arm.counters.sent > 0);
    if unclean.is_empty() && is_anything {
        let sum = |of: fn(&Arm) -> u64| document.arms.iter().map(of).fold(0, u64::saturating_add);
        let sent = figures::several(sum(|arm| arm.counters.sent), names.unit());
        // One way, nobody tells what has arrived.
        let text = match document.arms.iter().all(|arm| arm.counters.received.is_some()) {
            true => format!("counters: {sent} sent, all came back once and as they were sent"),
            false => format!("counters: {sent} sent, none lost or refused as far as can be told"),
        };
        statements.push(Statement::plain(text));
    }
    statements
}

/// `990 of 1,000 messages received, 10 lost (1.0 %)`, with what is not 0 only.
pub(super) fn account(arm: &Arm, names: &Names) -> String {
    let counters = &arm.counters;
    let sent = figures::several(counters.sent, names.unit());
    let mut parts = vec![match counters.received {
        Some(received) => format!("{sent} sent, {} received", figures::count(received)),
        None => format!("{sent} sent"),
    }];
    let share = match counters.sent {
        0 => String::new(),
        sent => format!(" ({})", figures::percent(counters.lost as f64 / sent as f64)),
    };
    let refused = if arm.mode == Mode::Connect { "refused" } else { "refused by a full queue" };
    for (name, number, aside) in [
        ("lost", counters.lost, share.as_str()),
        ("duplicated", counters.duplicated, ""),
        ("reordered", counters.reordered, ""),
        ("late", counters.late, ""),
        ("corrupted", counters.corrupted, ""),
        (refused, counters.refused, ""),
    ] {
        if number > 0 {
            parts.push(format!("{} {name}{aside}", figures::count(number)));
        }
    }
    parts.join(", ")
}

fn is_clean(arm: &Arm) -> bool {
    let it = &arm.counters;
    let is_complete = it.received.is_none_or(|received| received == it.sent);
    is_complete && [it.lost, it.duplicated, it.reordered, it.late, it.corrupted, it.refused] == [0; 6]
}

/// What a reader should know first.
pub(super) fn warnings(document: &Document) -> Vec<Statement> {
    let warnings = document.warnings.iter().map(|text| format!("warning: {text}"));
    let mut statements: Vec<_> =
        warnings.take(LINES_MAX).map(|text| Statement::new(text, Tone::Warning)).collect();
    if document.warnings.len() > LINES_MAX {
        let more = figures::several((document.warnings.len() - LINES_MAX) as u64, "more warning");
        statements.push(Statement::new(format!("{more} in the document"), Tone::Warning));
    }
    statements
}

/// The machine, in two lines.
pub(super) fn environment(document: &Document) -> Vec<Statement> {
    let it = &document.environment;
    let mut machine = vec![it.host.clone(), it.kernel.clone(), String::new()];
    if it.cores > 0 {
        machine[2] = figures::several(u64::from(it.cores), "processor");
    }
    machine.extend(it.cpu.clone());
    machine.extend(it.virtualization.as_ref().map(|kind| format!("virtual ({kind})")));
    machine.extend(it.governor.as_ref().map(|governor| format!("governor {governor}")));
    let mut state: Vec<_> = it.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    for (name, value) in [("engine", &it.engine), ("placement", &it.placement)] {
        if !value.is_empty() {
            state.push(format!("{name} {value}"));
        }
    }
    state.extend(it.load.map(|[one, ..]| format!("load before {}", format_args!("{one:.2}"))));
    state.extend(it.steal_percent.map(|percent| format!("steal {}", figures::percent(percent / 100.0))));
    state.push(it.started.clone());
    let lines = [machine, state].map(|parts| {
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Statement::new(parts.join(", "), Tone::Dim)
    });
    lines.into_iter().filter(|line| !line.text.is_empty()).collect()
}

/// What else is known of the machine.
pub(super) fn details(document: &Document) -> Vec<(String, String)> {
    let it = &document.environment;
    let mitigations = it.mitigations.iter().map(|(name, value)| (format!("mitigation {name}"), value));
    let sysctls = it.sysctls.iter().map(|(name, value)| (name.clone(), value));
    sysctls.chain(mitigations).map(|(name, value)| (name, value.clone())).collect()
}
