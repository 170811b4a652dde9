//! How the measurement went, and where: what decides whether its figures are worth anything.

use std::collections::BTreeMap;

use sockkit_stats::result::{Document, Metric, Noise};

use super::Statement;
use super::names::{Names, place};
use crate::render::figures;
use crate::render::text::Tone;

/// Lines of a kind; how many more there are is told.
pub(super) const LINES_MAX: usize = 20;

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
