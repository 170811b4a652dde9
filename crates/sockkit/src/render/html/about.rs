//! What a reader has to know to believe the figures, and to repeat them.

use std::collections::BTreeMap;

use maud::{Markup, html};
use sockkit_stats::result::{Document, Environment, Experiment};

use crate::render::figures;

/// A name and what belongs to it.
type Row = (&'static str, Markup);

/// Warnings, above the figures that they are about.
pub(super) fn warnings(document: &Document) -> Markup {
    html! { @if !document.warnings.is_empty() {
        aside.warnings aria-labelledby="warnings" {
            h2 #warnings { @match document.warnings.len() {
                1 => "Before you believe the figures",
                many => { "Before you believe the figures: " (many) " warnings" }
            } }
            ul { @for warning in &document.warnings { li { bdi { (warning) } } } }
        }
    } }
}

/// How to measure the same again.
pub(super) fn repeat(document: &Document) -> Markup {
    html! {
        @if !document.command.is_empty() { pre { code { bdi { (document.command) } } } }
        (list(vec![("seed", html! { (document.seed) })]))
    }
}

/// How the comparison went.
pub(super) fn experiment(experiment: &Experiment) -> Markup {
    let seconds = |seconds: f64| html! { (figures::duration(seconds * 1e9)) };
    let repeated = experiment.repeated.values().fold(0, |sum: u64, count| sum.saturating_add(*count));
    let mut rows: Vec<Row> = vec![
        ("blocks", html! { (figures::count(experiment.blocks)) }),
        ("a run", seconds(experiment.run_seconds)),
        ("ended by", html! { bdi { (experiment.stopped) } }),
        ("precision asked for", html! { "±" (figures::percent(experiment.precision)) }),
        (
            "threshold",
            html! { @match experiment.threshold {
                Some(threshold) => (figures::percent(threshold)),
                None => "the A/A noise floor",
            } },
        ),
        ("time allowed", seconds(experiment.budget_seconds)),
        ("time taken", seconds(experiment.elapsed_seconds)),
        (
            "runs repeated",
            html! {
                (figures::count(repeated))
                @for (reason, count) in &experiment.repeated { ", " bdi { (reason) } " " (figures::count(*count)) }
            },
        ),
        ("disturbed runs kept", html! { (figures::count(experiment.kept_disturbed)) }),
    ];
    if let Some(against) = &experiment.against {
        rows.push(("compared with", html! { bdi { (against) } }));
    }
    list(rows)
}

/// The machine.
pub(super) fn environment(environment: &Environment) -> Markup {
    let text = |text: &str| html! { @if text.is_empty() { "not known" } @else { bdi { (text) } } };
    let optional = |value: &Option<String>, none: &str| text(value.as_deref().unwrap_or(none));
    let load = environment.load.map(|load| load.map(|load| format!("{load:.2}")).join(", "));
    let steal = environment.steal_percent.map(|percent| figures::percent(percent / 100.0));
    let main = vec![
        ("started", text(&environment.started)),
        ("host", text(&environment.host)),
        ("kernel", text(&environment.kernel)),
        ("processor", optional(&environment.cpu, "not known")),
        ("cores", html! { (environment.cores) }),
        ("placement", text(&environment.placement)),
        ("governor", optional(&environment.governor, "none")),
        ("virtualization", optional(&environment.virtualization, "none known")),
        ("load before", optional(&load, "not known")),
        ("steal", optional(&steal, "not known")),
        ("engine", text(&environment.engine)),
    ];
    html! {
        (list(main))
        (named("Versions", &environment.versions))
        (named("Kernel settings", &environment.sysctls))
        (named("Mitigations", &environment.mitigations))
    }
}

fn named(title: &str, values: &BTreeMap<String, String>) -> Markup {
    html! { @if !values.is_empty() {
        h3 { (title) }
        dl { @for (name, value) in values { div { dt { bdi { (name) } } dd { bdi { (value) } } } } }
    } }
}

fn list(rows: Vec<Row>) -> Markup {
    html! { dl { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } } }
}
