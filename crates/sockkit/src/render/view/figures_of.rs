//! The tables and charts of figures.

use std::collections::BTreeSet;

use sockkit_stats::Estimate;
use sockkit_stats::result::{Arm, Cost, Document, Latency, Metric, Verdict, Word};

use super::names::{Names, figure, format_of};
use crate::render::chart::{Bar, Chart, Group};
use crate::render::figures::{self, WITHHELD};
use crate::render::finding::against;
use crate::render::grid::{ALWAYS, Align, Cell, Column, Grid};
use crate::render::text::Tone;

/// The figures of each arm of a comparison, with their intervals.
pub(super) fn arms(document: &Document, names: &Names) -> Grid {
    let arms = &document.arms;
    let has_round_trips = arms.iter().any(|arm| arm.rtt_ns.p50.is_some());
    let labels = (0..arms.len()).map(|index| Cell::plain(names.label(index))).collect();
    let mut columns = vec![Column::new("arm", Align::Left, ALWAYS, labels)];
    for (metric, importance) in [(Metric::P50, ALWAYS), (Metric::P99, 13), (Metric::Rate, 14)] {
        let figures: Vec<_> = arms.iter().map(|arm| figure(arm, metric)).collect();
        let importance = if metric == Metric::Rate && !has_round_trips { ALWAYS } else { importance };
        columns.push(estimates(names.metric(metric), importance, &figures, format_of(metric)));
    }
    let bytes: Vec<_> = arms.iter().map(|arm| arm.bytes_per_s.map(Estimate::bare)).collect();
    columns.push(estimates("bytes/s".into(), 11, &bytes, figures::throughput));
    columns.push(cost(arms, names));
    columns.retain(has_anything);
    Grid { title: None, columns }
}

/// The figures of each arm of a bench: percentiles beside the rate, and for an open loop from where they are counted.
pub(super) fn bench(document: &Document, names: &Names) -> Grid {
    let rows = rows(&document.arms);
    let has_schedule = rows.iter().any(|row| row.kind != Kind::Response);
    let labels = rows
        .iter()
        .map(|row| Cell { repeats: row.kind != Kind::Response, ..Cell::plain(names.label(row.index)) });
    let mut columns = vec![Column::new("arm", Align::Left, ALWAYS, labels.collect())];
    if has_schedule {
        let kinds = rows.iter().map(|row| Cell::plain(row.kind.name()));
        columns.push(Column::new("time", Align::Left, ALWAYS, kinds.collect()));
    }
    let of_arm = |of: fn(&Arm) -> Option<Estimate>| -> Vec<_> {
        rows.iter().map(|row| of(row.arm).filter(|_| row.kind == Kind::Response)).collect()
    };
    let rates = of_arm(|arm| figure(arm, Metric::Rate));
    columns.push(blank(estimates(names.metric(Metric::Rate), 18, &rates, figures::rate), &rows));
    let bytes = of_arm(|arm| arm.bytes_per_s.map(Estimate::bare));
    columns.push(blank(estimates("bytes/s".into(), 16, &bytes, figures::throughput), &rows));
    /// One of the figures of a latency.
    type Figure = fn(&Latency) -> Option<Estimate>;
    let percentiles: [(&str, u8, Figure); 6] = [
        ("p50", ALWAYS, |it| it.p50),
        ("p90", 13, |it| it.p90),
        ("p99", 17, |it| it.p99),
        ("p99.9", 15, |it| it.p999),
        ("max", 14, |it| it.max),
        ("mean", 11, |it| it.mean),
    ];
    for (name, importance, of) in percentiles {
        let figures: Vec<_> = rows.iter().map(|row| of(&row.latency)).collect();
        let mut column = estimates(name.to_owned(), importance, &figures, figures::duration);
        for (index, row) in rows.iter().enumerate() {
            // Lateness is what shows why, and is not withheld.
            if row.arm.saturated && row.kind != Kind::Lateness {
                column.forms.iter_mut().for_each(|form| form[index] = Cell::toned("withheld", Tone::Loud));
            }
        }
        columns.push(column);
    }
    let mut cost = cost(&document.arms, names);
    for form in &mut cost.forms {
        let spread = |row: &Row<'_>| form.get(row.index).cloned().unwrap_or_default();
        *form = rows.iter().map(spread).collect();
    }
    columns.push(blank(cost, &rows));
    columns.retain(has_anything);
    Grid { title: None, columns }
}

/// What may be concluded, one row a metric.
pub(super) fn verdicts(document: &Document, names: &Names) -> Option<Grid> {
    let mut verdicts: Vec<_> = document.verdicts.iter().collect();
    // What is said of one arm stands together; the metrics stay in their order.
    verdicts.sort_by_key(|verdict| (verdict.arm_index, verdict.against_index));
    let baselines: BTreeSet<_> = verdicts.iter().map(|verdict| against(verdict)).collect();
    // One baseline is named once.
    let (heading, is_one) = match (baselines.len(), baselines.first()) {
        (1, Some(baseline)) => (format!("arm / {baseline}"), true),
        _ => ("arm / baseline".to_owned(), false),
    };
    let mut previous: Option<(u64, Option<u64>)> = None;
    let labels = verdicts.iter().map(|verdict| {
        let pair = (verdict.arm_index, verdict.against_index);
        let repeats = previous.replace(pair) == Some(pair);
        let arm = names.arm(verdict);
        let text = if is_one { arm.to_owned() } else { format!("{arm} / {}", against(verdict)) };
        Cell { repeats, ..Cell::plain(text) }
    });
    let labels = labels.collect();
    let cells =
        |of: &dyn Fn(&Verdict) -> Cell| verdicts.iter().map(|verdict| of(verdict)).collect::<Vec<_>>();
    let ratios = |write: fn(&Estimate) -> String| {
        cells(&|it| Cell::plain(figures::optional(it.ratio.as_ref(), write)))
    };
    let columns = vec![
        Column::new(heading, Align::Left, ALWAYS, labels),
        Column::new("metric", Align::Left, ALWAYS, cells(&|it| Cell::plain(names.metric(it.metric)))),
        Column {
            headings: vec!["ratio".into()],
            align: Align::Left,
            importance: ALWAYS,
            forms: vec![ratios(figures::ratio), ratios(figures::ratio), ratios(figures::bare_ratio)],
        },
        Column {
            headings: vec!["verdict".into()],
            align: Align::Left,
            importance: ALWAYS,
            forms: vec![cells(&|it| word(it, "no difference shown")), cells(&|it| word(it, "none shown"))],
        },
        Column::new(
            "detectable",
            Align::Right,
            3,
            cells(&|it| Cell::plain(figures::detectable(it.detectable))),
        ),
        Column::new("threshold", Align::Right, 2, cells(&|it| Cell::plain(percentage(it.threshold)))),
        Column::new("blocks", Align::Right, 1, cells(&|it| Cell::plain(figures::count(it.blocks)))),
    ];
    (!verdicts.is_empty()).then_some(Grid { title: None, columns })
}

/// The median and the rate, as bars.
pub(super) fn charts<'a>(document: &'a Document, names: &'a Names) -> impl Iterator<Item = Chart> + 'a {
    let charts = [(Metric::P50, "less is better"), (Metric::Rate, "more is better")];
    let charts = charts.into_iter().map(|(metric, meaning)| {
        let bar = |label: &str, index: usize| Bar {
            label: label.to_owned(),
            estimate: drawable(&document.arms[index], metric),
        };
        // Targets are held against each other where all else is the same. One target alone is held against itself.
        let mut groups: Vec<Group> = Vec::new();
        for (setting, arms) in names.by_setting(&document.arms) {
            let bars = arms.into_iter().map(|index| bar(names.target(index), index)).collect();
            groups.push(Group { title: setting, bars });
        }
        if groups.iter().all(|group| group.bars.len() == 1) {
            let bars = (0..document.arms.len()).map(|index| bar(names.label(index), index)).collect();
            groups = vec![Group { title: String::new(), bars }];
        }
        let scales = if groups.len() > 1 { ", each group on a scale of its own" } else { "" };
        Chart {
            title: format!("{}, {meaning}{scales}", names.metric(metric)),
            groups,
            format: format_of(metric),
        }
    });
    charts.filter(Chart::is_worth_drawing)
}

/// A percentile of a generator that did not keep up is withheld here too.
fn drawable(arm: &Arm, metric: Metric) -> Option<Estimate> {
    figure(arm, metric).filter(|_| !arm.saturated || metric == Metric::Rate)
}

/// A column of figures: with the ends of their intervals, with half their widths.
fn estimates(
    heading: String,
    importance: u8,
    figures: &[Option<Estimate>],
    format: fn(f64) -> String,
) -> Column {
    let form = |write: &dyn Fn(&Estimate) -> String| {
        figures.iter().map(|it| Cell::plain(figures::optional(it.as_ref(), write))).collect::<Vec<_>>()
    };
    let forms = vec![form(&|it| figures::with_interval(it, format)), form(&|it| with_half_width(it, format))];
    Column { headings: vec![heading], align: Align::Right, importance, forms }
}

fn with_half_width(estimate: &Estimate, format: fn(f64) -> String) -> String {
    let figure = format(estimate.estimate);
    match figures::half_width(estimate) {
        Some(half_width) => format!("{figure} {half_width}"),
        None => figure,
    }
}

/// Processor time for a message: of both ends, and of each.
fn cost(arms: &[Arm], names: &Names) -> Column {
    let cell = |arm: &Arm, level: usize| {
        let total = figure(arm, Metric::Cpu);
        let total = total.map(|it| match level {
            0 => figures::with_interval(&it, figures::duration),
            _ => with_half_width(&it, figures::duration),
        });
        Cell::plain(match (total, shares(&arm.cost)) {
            (Some(total), Some(shares)) if level < 2 => format!("{total} ({shares})"),
            (Some(total), _) => total,
            (None, Some(shares)) => shares,
            (None, None) => WITHHELD.to_owned(),
        })
    };
    let forms = (0..3).map(|level| arms.iter().map(|arm| cell(arm, level)).collect()).collect();
    let short = names.metric(Metric::Cpu);
    let full = format!("{short} (client + server)");
    Column { headings: vec![full.clone(), full, short], align: Align::Right, importance: 12, forms }
}

/// `4.90 µs + 4.80 µs`, or of whichever is known.
fn shares(cost: &Cost) -> Option<String> {
    match (cost.client_cpu_ns.map(figures::duration), cost.server_cpu_ns.map(figures::duration)) {
        (Some(client), Some(server)) => Some(format!("{client} + {server}")),
        (Some(client), None) => Some(format!("{client} + ?")),
        (None, Some(server)) => Some(format!("? + {server}")),
        (None, None) => None,
    }
}

fn word(verdict: &Verdict, no_difference: &str) -> Cell {
    match verdict.verdict {
        _ if verdict.ratio.is_none() => Cell::plain(WITHHELD),
        Word::Faster => Cell::toned("faster", Tone::Better),
        Word::Slower => Cell::toned("slower", Tone::Worse),
        Word::NoDifferenceShown => Cell::plain(no_difference),
    }
}

fn percentage(share: Option<f64>) -> String {
    figures::optional(share, figures::difference)
}

/// Whether a column says anything. The first one, and one that is never left out, are there all the same.
fn has_anything(column: &Column) -> bool {
    let is_figure = |cell: &Cell| !cell.text.is_empty() && cell.text != WITHHELD;
    column.importance == ALWAYS || column.forms.first().is_some_and(|form| form.iter().any(is_figure))
}

/// One row of a bench's table.
struct Row<'a> {
    index: usize,
    arm: &'a Arm,
    kind: Kind,
    latency: Latency,
}

/// From where a latency is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Response,
    Service,
    Lateness,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Service => "service",
            Self::Lateness => "lateness",
        }
    }
}

fn rows(arms: &[Arm]) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for (index, arm) in arms.iter().enumerate() {
        rows.push(Row { index, arm, kind: Kind::Response, latency: arm.rtt_ns });
        for (kind, latency) in [(Kind::Service, arm.service_ns), (Kind::Lateness, arm.lateness_ns)] {
            rows.extend(latency.map(|latency| Row { index, arm, kind, latency }));
        }
    }
    rows
}

/// What belongs to an arm stands in its first row only.
fn blank(mut column: Column, rows: &[Row<'_>]) -> Column {
    for form in &mut column.forms {
        for (cell, row) in form.iter_mut().zip(rows) {
            if row.kind != Kind::Response {
                *cell = Cell::default();
            }
        }
    }
    column
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    /// Every chart's bars by name.
    fn labels(document: &Document) -> Vec<Vec<String>> {
        let names = Names::new(&document.arms);
        let groups = charts(document, &names).flat_map(|chart| chart.groups);
        groups.map(|group| group.bars.into_iter().map(|bar| bar.label).collect()).collect()
    }

    #[test]
    fn bars_are_called_as_the_arms_in_the_table() {
        let mut document = samples::comparison();
        document.arms[2].target = "tcp".into();
        assert_eq!(labels(&document), [["tcp", "udp", "tcp #2"], ["tcp", "udp", "tcp #2"]]);
        let mut document = samples::sweep();
        document.arms.iter_mut().for_each(|arm| arm.target = "tcp".into());
        assert!(labels(&document).iter().all(|group| group == &["tcp", "tcp #2"]));
    }
}
