//! A figure against what was varied: sizes, connections or depths.

use maud::{Markup, html};
use sockkit_stats::Estimate;
use sockkit_stats::result::{Arm, Metric};

use super::plot::{Axis, Plot};
use super::scale::{Gaps, Scale};
use super::{Series, legend, short};
use crate::render::figures;
use crate::render::html::results::{bytes_per_s, rate_per_s};
use crate::render::html::roster::{Dimension, Roster, Style, distinct, round_trips};

const ACROSS: Gaps = Gaps { wide: 0.12, narrow: 0.2 };
const DOWN: Gaps = Gaps { wide: 0.14, narrow: 0.14 };

/// Pixels of a chart.
const HEIGHT: f64 = 200.0;

/// What is drawn against the size.
struct Figure {
    name: &'static str,
    of: fn(&Arm) -> Option<Estimate>,
    format: fn(f64) -> String,
}

/// The arms of a target that differ in one dimension only.
struct Line<'a> {
    name: String,
    style: Style,
    arms: Vec<&'a Arm>,
}

/// One chart for each figure. None if no target was measured more than once.
pub(in crate::render::html) fn sweep(roster: &Roster<'_>) -> Option<Markup> {
    let dimension = *roster.varying.first()?;
    let lines = lines(roster, dimension);
    if lines.iter().all(|line| line.arms.len() < 2) {
        return None;
    }
    let charts: Vec<Markup> =
        figures(roster, dimension).iter().filter_map(|figure| chart(&lines, dimension, figure)).collect();
    let series: Vec<Series<'_>> = lines
        .iter()
        .map(|line| Series { name: &line.name, style: line.style, colour: line.style.colour() })
        .collect();
    (!charts.is_empty()).then(|| {
        html! {
            figure {
                (legend(&series))
                div.charts.many { @for chart in &charts { (chart) } }
                figcaption {
                    "The same figures against " (dimension.name()) ", all axes logarithmic, with 95 % intervals where "
                    "the sample carries them."
                }
            }
        }
    })
}

fn figures(roster: &Roster<'_>, dimension: Dimension) -> Vec<Figure> {
    let mut figures = vec![
        Figure { name: "p50", of: |arm| round_trips(arm).p50, format: figures::duration },
        Figure { name: "p99", of: |arm| round_trips(arm).p99, format: figures::duration },
        Figure { name: roster.metric(Metric::Rate), of: rate_per_s, format: figures::rate },
    ];
    // Where all messages have one size, bytes say nothing that messages do not.
    if dimension == Dimension::Size {
        figures.push(Figure { name: "bytes/s", of: bytes_per_s, format: figures::throughput });
    }
    figures
}

fn lines<'a>(roster: &Roster<'a>, dimension: Dimension) -> Vec<Line<'a>> {
    let others: Vec<Dimension> = roster.varying.iter().copied().filter(|other| *other != dimension).collect();
    let key = |index: usize| {
        let values: Vec<u64> = others.iter().map(|other| other.of(roster.arm(index))).collect();
        (roster.target(index), values)
    };
    let keys = distinct((0..roster.len()).map(key));
    let line = |(number, wanted): (usize, (&str, Vec<u64>))| {
        let phrases = others.iter().zip(&wanted.1).map(|(other, value)| other.phrase(*value));
        let name = [wanted.0.to_owned()].into_iter().chain(phrases).collect::<Vec<_>>().join(", ");
        let members = (0..roster.len()).filter(|index| key(*index) == wanted);
        let mut members: Vec<&Arm> = members.map(|index| roster.arm(index)).collect();
        members.sort_by_key(|arm| dimension.of(arm));
        Line { name, style: Style(number), arms: members }
    };
    keys.into_iter().enumerate().map(line).collect()
}

fn chart(lines: &[Line<'_>], dimension: Dimension, figure: &Figure) -> Option<Markup> {
    let place = |arm: &Arm| dimension.of(arm) as f64;
    let points = |line: &Line<'_>| -> Vec<(f64, Estimate)> {
        let point = |arm: &&Arm| (figure.of)(arm).map(|estimate| (place(arm), estimate));
        line.arms.iter().filter_map(point).filter(|(x, y)| *x > 0.0 && y.estimate > 0.0).collect()
    };
    let all: Vec<(f64, Estimate)> = lines.iter().flat_map(points).collect();
    let across = Scale::log(all.iter().map(|(x, _)| *x))?;
    let down = Scale::log(all.iter().flat_map(|(_, y)| [Some(y.estimate), y.low, y.high]).flatten())?;
    let mut measured = distinct(all.iter().map(|(x, _)| *x as u64));
    measured.sort_unstable();
    let ticks = across.thin(&ends_first(&measured), ACROSS);
    let plot = Plot {
        label: format!("{} against {}", figure.name, dimension.name()),
        x: Axis::new(dimension.name(), across, ticks, |value| dimension.figure(value as u64)),
        y: Axis::new("", down, down.ticks(DOWN), |value| short((figure.format)(value))),
        height: HEIGHT,
    };
    let marks = html! { @for line in lines {
        @let points = points(line);
        @let path: Vec<(f64, f64)> = points.iter().map(|(x, y)| (*x, y.estimate)).collect();
        g.series.(line.style.colour()) {
            (plot.line(&path, line.style))
            @for (x, y) in &points {
                @if let (Some(low), Some(high)) = (y.low, y.high) { (plot.whisker(*x, (low, high))) }
                @let value = figures::with_interval(y, figure.format);
                @let tip = format!("{}, {}\n{}: {value}", line.name, dimension.phrase(*x as u64), figure.name);
                (plot.mark((*x, y.estimate), line.style, &tip))
            }
        }
    } };
    Some(html! { div.chart { h3 { (figure.name) } (plot.draw(&marks)) } })
}

/// The ends of the axis have a label before all else.
fn ends_first(values: &[u64]) -> Vec<f64> {
    let ends = [values.first(), values.last()].into_iter().flatten();
    ends.chain(values).map(|value| *value as f64).collect()
}
