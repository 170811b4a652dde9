//! The tables of figures: what was found for each arm, and round trips in full.

use maud::{Markup, html};
use sockkit_stats::Estimate;
use sockkit_stats::result::{Arm, Latency, Metric, Mode, Word};

use super::blank::Blank;
use super::roster::{Dimension, Roster, round_trips};
use crate::render::figures;

/// A figure that every arm has, or should have.
struct Column {
    name: &'static str,
    /// For which the table has verdicts.
    metric: Option<Metric>,
    figure: fn(&Arm) -> Option<Estimate>,
    format: fn(f64) -> String,
    blank: fn(&Arm) -> Blank,
    /// Whether it stands there even if no arm has it.
    always: bool,
}

/// The main table: an arm a row, with what may be concluded beside each figure.
pub(super) fn table(roster: &Roster<'_>) -> Markup {
    let document = roster.document;
    let columns: Vec<Column> = columns(roster)
        .into_iter()
        .filter(|column| column.always || document.arms.iter().any(|arm| (column.figure)(arm).is_some()))
        .filter(|column| column.name != "bytes/s" || bytes_matter(roster))
        .collect();
    html! {
        (scroll("What was found", &html! {
            table.results {
                thead { tr {
                    th scope="col" { "arm" }
                    @for dimension in &roster.varying { th.number scope="col" { (dimension.name()) } }
                    @for column in &columns { th.number scope="col" { (column.name) } }
                } }
                tbody { @for index in 0..roster.len() {
                    @let arm = roster.arm(index);
                    tr {
                        (arm_head(roster, index))
                        (dimensions(roster, arm))
                        @for column in &columns { td.number data-name=(column.name) {
                            (figure(column, arm))
                            @if let Some(metric) = column.metric { (conclusion(roster, index, metric)) }
                        } }
                    }
                } }
            }
        }))
        p.note { (notes(roster)) }
    }
}

/// Round trips of every arm in full, and the parts of an open loop one below the other.
pub(super) fn latencies(roster: &Roster<'_>) -> Markup {
    let spread = roster.document.arms.iter().any(|arm| arm.spread.is_some());
    let rows = (0..roster.len()).flat_map(|index| {
        let arm = roster.arm(index);
        let parts = match (&arm.service_ns, &arm.lateness_ns) {
            (None, None) => vec![("", Some(round_trips(arm)))],
            (service, lateness) => {
                let service = service.map(|service| if arm.saturated { Latency::default() } else { service });
                vec![("response", Some(round_trips(arm))), ("service", service), ("lateness", *lateness)]
            }
        };
        parts.into_iter().filter_map(move |(part, latency)| latency.map(|latency| (index, part, latency)))
    });
    let rows: Vec<(usize, &str, Latency)> = rows.collect();
    let parts = rows.iter().any(|(_, part, _)| !part.is_empty());
    scroll(
        "Round trips in full",
        &html! {
            table {
                thead { tr {
                    th scope="col" { "arm" }
                    @for dimension in &roster.varying { th.number scope="col" { (dimension.name()) } }
                    @if parts { th scope="col" { "time" } }
                    @for (name, _) in points(&Latency::default()) { th.number scope="col" { (name) } }
                    @if spread {
                        @for name in ["min", "std. dev.", "jitter"] { th.number scope="col" { (name) } }
                    }
                } }
                tbody { @for (index, part, latency) in &rows {
                    @let arm = roster.arm(*index);
                    tr {
                        (arm_head(roster, *index))
                        (dimensions(roster, arm))
                        @if parts { td { (part) } }
                        @for (_, point) in points(latency) { td.number {
                            @match point {
                                Some(point) => (with_interval(&point, figures::duration)),
                                None => (Blank::percentile(arm).show()),
                            }
                        } }
                        @if spread { (spread_cells(arm)) }
                    }
                } }
            }
        },
    )
}

/// Something wide that scrolls by itself, so that the page never does; with the keyboard, too.
pub(super) fn scroll(label: &str, table: &Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(label) tabindex="0" { (table) } }
}

/// The first cell of a row: mark, name and what is remarkable about the arm.
pub(super) fn arm_head(roster: &Roster<'_>, index: usize) -> Markup {
    let arm = roster.arm(index);
    // What has a column of its own is not said again.
    let name = roster.target(index);
    html! {
        th.arm scope="row" {
            (glyph(roster, index)) bdi { (name) }
            @if arm.saturated { " " strong.saturated { "SATURATED" } }
        }
    }
}

/// The mark of an arm, to stand beside its name.
pub(super) fn glyph(roster: &Roster<'_>, index: usize) -> Markup {
    let style = roster.style(index);
    html! {
        svg.glyph.(style.colour()) width="16" height="12" aria-hidden="true" {
            use href=(style.shape()) x="6" y="6" {}
        }
    }
}

/// The cells of what the arms differ in.
pub(super) fn dimensions(roster: &Roster<'_>, arm: &Arm) -> Markup {
    let cell = |dimension: &Dimension| dimension.figure(dimension.of(arm));
    html! { @for dimension in &roster.varying { td.number data-name=(dimension.name()) { (cell(dimension)) } } }
}

/// A figure over its interval.
pub(super) fn with_interval(estimate: &Estimate, format: fn(f64) -> String) -> Markup {
    let text = figures::with_interval(estimate, format);
    let (figure, interval) = text.split_once(" [").unwrap_or((&text, ""));
    html! {
        span.figure { (figure) }
        @if !interval.is_empty() { span.interval { "[" (interval) } }
    }
}

/// A verdict in a word, with a sign, so that its colour says nothing that is not said otherwise.
pub(super) fn word(word: Word) -> Markup {
    let (class, sign) = match word {
        Word::Faster => ("faster", "▲"),
        Word::Slower => ("slower", "▼"),
        Word::NoDifferenceShown => ("neither", "○"),
    };
    html! { span.word.(class) { span aria-hidden="true" { (sign) " " } (spoken(word)) } }
}

/// A verdict as the document has it.
pub(super) fn spoken(word: Word) -> &'static str {
    match word {
        Word::Faster => "faster",
        Word::Slower => "slower",
        Word::NoDifferenceShown => "no difference shown",
    }
}

fn columns(roster: &Roster<'_>) -> Vec<Column> {
    let latency = |metric, figure| Column {
        name: roster.metric(metric),
        metric: Some(metric),
        figure,
        format: figures::duration,
        blank: Blank::percentile,
        always: true,
    };
    let other = |name, figure, format| Column {
        name,
        metric: None,
        figure,
        format,
        blank: Blank::other,
        always: false,
    };
    vec![
        latency(Metric::P50, |arm| round_trips(arm).p50),
        latency(Metric::P99, |arm| round_trips(arm).p99),
        Column {
            metric: Some(Metric::Rate),
            always: true,
            ..other(
                roster.metric(Metric::Rate),
                |arm| plain(arm, "rate_per_s", arm.rate_per_s),
                figures::rate,
            )
        },
        other("bytes/s", bytes_per_s, figures::throughput),
        Column {
            metric: Some(Metric::Cpu),
            ..other(
                roster.metric(Metric::Cpu),
                |arm| plain(arm, "cpu_ns_per_message", arm.cost.cpu_ns),
                figures::duration,
            )
        },
        other("client CPU", |arm| plain(arm, "client_cpu_ns", arm.cost.client_cpu_ns), figures::duration),
        Column {
            blank: Blank::server,
            ..other(
                "server CPU",
                |arm| plain(arm, "server_cpu_ns", arm.cost.server_cpu_ns),
                figures::duration,
            )
        },
    ]
}

/// A plain figure with the interval that the document has for it.
fn plain(arm: &Arm, name: &str, figure: Option<f64>) -> Option<Estimate> {
    arm.intervals.get(name).copied().or_else(|| figure.map(Estimate::bare))
}

/// Bytes a second. Messages have one size, so the interval of the rate is theirs, too.
pub(super) fn bytes_per_s(arm: &Arm) -> Option<Estimate> {
    if let Some(estimate) = arm.intervals.get("bytes_per_s") {
        return Some(*estimate);
    }
    let bytes = arm.bytes_per_s?;
    let scaled = arm.intervals.get("rate_per_s").filter(|rate| rate.estimate > 0.0).map(|rate| {
        let end = |end: Option<f64>| end.map(|end| end * bytes / rate.estimate);
        Estimate { estimate: bytes, low: end(rate.low), high: end(rate.high) }
    });
    Some(scaled.unwrap_or(Estimate::bare(bytes)))
}

/// Messages a second, with its interval.
pub(super) fn rate_per_s(arm: &Arm) -> Option<Estimate> {
    plain(arm, "rate_per_s", arm.rate_per_s)
}

/// Bytes say nothing that messages do not where all have one size and came back.
fn bytes_matter(roster: &Roster<'_>) -> bool {
    let one_way = |arm: &Arm| matches!(arm.mode, Mode::Send | Mode::Receive);
    roster.varying.contains(&Dimension::Size) || roster.document.arms.iter().any(one_way)
}

fn points(latency: &Latency) -> [(&'static str, Option<Estimate>); 6] {
    [
        ("p50", latency.p50),
        ("p90", latency.p90),
        ("p99", latency.p99),
        ("p99.9", latency.p999),
        ("max", latency.max),
        ("mean", latency.mean),
    ]
}

fn spread_cells(arm: &Arm) -> Markup {
    let spread = arm.spread.unwrap_or_default();
    html! { @for figure in [spread.min_ns, spread.stddev_ns, spread.jitter_ns] { td.number {
        @match figure {
            Some(figure) => (figures::duration(figure)),
            None => (Blank::percentile(arm).show()),
        }
    } } }
}

fn figure(column: &Column, arm: &Arm) -> Markup {
    match (column.figure)(arm) {
        Some(estimate) => with_interval(&estimate, column.format),
        None => (column.blank)(arm).show(),
    }
}

/// What may be said about one figure of an arm: of the baseline, how much it differs from itself.
fn conclusion(roster: &Roster<'_>, index: usize, metric: Metric) -> Markup {
    if let Some(noise) = roster.noise_of(index as u64, metric) {
        return html! {
            span.ratio { "baseline" }
            span.detail { "A/A " (figures::optional(noise.half_width, |share| format!("±{}", figures::percent(share)))) }
        };
    }
    let Some(verdict) = roster.verdict_on(index as u64, metric) else { return html! {} };
    html! {
        span.ratio { @match &verdict.ratio {
            Some(ratio) => (figures::ratio(ratio)),
            None => (Blank::RATIO.show()),
        } }
        (word(verdict.verdict))
        @let detectable = figures::detectable(verdict.detectable);
        @if detectable != figures::WITHHELD {
            span.detail { "would show " (detectable) }
        }
    }
}

fn notes(roster: &Roster<'_>) -> Markup {
    let document = roster.document;
    let common = roster.common();
    let intervals = document.arms.iter().any(|arm| arm.rtt_ns.p50.is_some_and(|p50| p50.low.is_some()));
    html! {
        @if !common.is_empty() { @if roster.len() > 1 { "All arms: " } (common) ". " }
        @if intervals { "In brackets: 95 % intervals. " }
        @if !document.verdicts.is_empty() {
            "Ratios are arm to baseline, from pairs of runs, with the interval by which they were judged: all of them \
             together hold in 95 % of all cases. “Faster” always means better for the user, and stands only where the \
             whole interval is beyond the threshold. “Would show” is the smallest difference that this run \
             would have shown in four of five cases. "
        }
        @if !document.noise_floor.is_empty() {
            "A/A is what two runs of the same differ by: the noise floor of this machine. "
        }
    }
}
