//! Latency against quantile, as far as the sample carries: what half of the messages saw, and what one in a thousand.

use maud::{Markup, html};
use sockkit_stats::Histogram;
use sockkit_stats::result::Arm;

use super::plot::{Axis, Plot};
use super::scale::{Gaps, Scale};
use super::{Series, legend, short};
use crate::render::figures;
use crate::render::html::roster::{Roster, Style};

const ACROSS: Gaps = Gaps { wide: 0.08, narrow: 0.16 };
const DOWN: Gaps = Gaps { wide: 0.09, narrow: 0.09 };

/// Pixels of a chart that has the page for itself, and of one among others.
const TALL: f64 = 300.0;
const LOW: f64 = 200.0;

/// Where a curve has marks, as far as it goes; and at its end.
const MARKED: [f64; 7] = [0.5, 0.9, 0.99, 0.999, 0.999_9, 0.999_99, 0.999_999];

/// A curve, and whose it is. Points are a quantile and nanoseconds.
struct Curve<'a> {
    series: Series<'a>,
    points: Vec<(f64, f64)>,
    marked: Vec<(f64, f64)>,
}

impl<'a> Curve<'a> {
    /// As far as the sample carries. None if there is no histogram, or too little in it.
    fn read(series: Series<'a>, base64: Option<&str>) -> Option<Self> {
        let histogram = Histogram::from_base64(base64?).ok()?;
        let point = |quantile: f64, ns: u64| (ns > 0).then_some((quantile, ns as f64));
        let points = histogram.curve().into_iter().filter_map(|at| point(at.quantile, at.latency_ns));
        let points: Vec<(f64, f64)> = points.collect();
        let last = *points.last()?;
        let within = MARKED.into_iter().filter(|quantile| *quantile < last.0);
        let marked = within.filter_map(|quantile| point(quantile, histogram.quantile_ns(quantile)));
        Some(Self { series, marked: marked.chain([last]).collect(), points })
    }
}

/// One chart for each group of arms, a line an arm. None if no arm has a histogram.
pub(in crate::render::html) fn percentiles(roster: &Roster<'_>) -> Option<Markup> {
    let charts: Vec<(String, Vec<Curve<'_>>)> = roster
        .groups
        .iter()
        .map(|group| {
            let curves = group.iter().filter_map(|&index| {
                let arm = roster.arm(index);
                // Of a generator that was late, the curve would be its own.
                let histogram = arm.histogram.as_deref().filter(|_| !arm.saturated);
                Curve::read(Series::of_arm(roster, index), histogram)
            });
            (roster.title(group), curves.collect())
        })
        .filter(|(_, curves): &(_, Vec<_>)| !curves.is_empty())
        .collect();
    let left_out = roster.document.arms.iter().any(|arm| arm.saturated);
    let height = if charts.len() > 1 { LOW } else { TALL };
    let (across, down) = frame(charts.iter().flat_map(|(_, curves)| curves))?;
    Some(html! {
        figure {
            div.charts.many[charts.len() > 1] { @for (title, curves) in &charts {
                div.chart {
                    @if !title.is_empty() { h3 { (title) } }
                    (legend_of(curves))
                    (draw(curves, across, down, height, &format!("Round trips by percentile {title}")))
                }
            } }
            figcaption {
                "Round trips by percentile, both axes logarithmic: each further 9 takes as much room as the one before. "
                "A line ends where the sample carries no more."
                @if left_out { " Arms that are SATURATED have no line." }
            }
        }
    })
}

/// For each arm with a schedule: the response, which counts from the scheduled send, the service, which counts from the
/// actual one, and how late the generator was. None if there was no schedule.
pub(in crate::render::html) fn open_loop(roster: &Roster<'_>) -> Option<Markup> {
    let charts: Vec<(usize, Vec<Curve<'_>>)> = (0..roster.len())
        .map(|index| (index, parts(roster.arm(index))))
        .filter(|(index, curves)| {
            let scheduled = roster.arm(*index).lateness_histogram.is_some() || roster.arm(*index).saturated;
            scheduled && (!curves.is_empty() || roster.arm(*index).saturated)
        })
        .collect();
    if charts.is_empty() {
        return None;
    }
    let frame = frame(charts.iter().flat_map(|(_, curves)| curves));
    Some(html! {
        figure {
            div.charts.many[charts.len() > 1] { @for (index, curves) in &charts {
                @let arm = roster.arm(*index);
                div.chart {
                    h3 { bdi { (roster.name(*index)) } ", " bdi { (arm.pacing) } }
                    @if arm.saturated {
                        p.saturated.banner role="note" {
                            strong { "SATURATED." }
                            @match &arm.saturation {
                                Some(reason) => { " " bdi { (reason) } "." }
                                None => { " The generator could not keep its schedule." }
                            }
                            " Response and service times are withheld; what is left is how late it was."
                        }
                    }
                    @if let (Some((across, down)), false) = (frame, curves.is_empty()) {
                        (legend_of(curves))
                        (draw(curves, across, down, LOW, &format!("Times of {} by percentile", roster.name(*index))))
                    }
                }
            } }
            figcaption {
                "Response counts from the moment at which a message should have been sent, so it holds what users would "
                "have waited; service counts from the moment at which it was. Lateness is that of the generator itself: "
                "where it comes near the response, the figures are the generator’s."
            }
        }
    })
}

fn parts(arm: &Arm) -> Vec<Curve<'_>> {
    let of_server =
        |histogram: &'_ Option<String>| histogram.as_deref().filter(|_| !arm.saturated).map(str::to_owned);
    let all = [
        ("response", of_server(&arm.histogram)),
        ("service", of_server(&arm.service_histogram)),
        ("lateness", arm.lateness_histogram.clone()),
    ];
    let read = |(number, (name, histogram)): (usize, (&'static str, Option<String>))| {
        Curve::read(Series { name, style: Style(number), colour: format!("k{number}") }, histogram.as_deref())
    };
    all.into_iter().enumerate().filter_map(read).collect()
}

/// The axes that hold all curves, so that charts beside each other can be compared.
fn frame<'a>(curves: impl Iterator<Item = &'a Curve<'a>>) -> Option<(Scale, Scale)> {
    let points: Vec<(f64, f64)> = curves.flat_map(|curve| curve.points.iter().copied()).collect();
    let down = Scale::log(points.iter().map(|(_, ns)| *ns))?;
    let highest = points.iter().map(|(quantile, _)| *quantile).fold(0.0, f64::max);
    Some((Scale::quantile(highest), down))
}

fn draw(curves: &[Curve<'_>], across: Scale, down: Scale, height: f64, label: &str) -> Markup {
    let plot = Plot {
        label: label.to_owned(),
        x: Axis::new("percentile", across, across.ticks(ACROSS), quantile),
        y: Axis::new("time", down, down.ticks(DOWN), |ns| short(figures::duration(ns))),
        height,
    };
    plot.draw(&html! { @for Curve { series, points, marked } in curves {
        g.series.(series.colour) {
            (plot.line(points, series.style))
            @for point in marked { (plot.mark(*point, series.style, &tip(series.name, *point))) }
        }
    } })
}

fn tip(name: &str, (quantile_at, ns): (f64, f64)) -> String {
    format!("{name}\n{} of all: {} or less", quantile(quantile_at), figures::duration(ns))
}

fn legend_of(curves: &[Curve<'_>]) -> Markup {
    legend(curves.iter().map(|curve| &curve.series))
}

/// `99.9 %`: one digit more than it has nines, unless that is 0.
fn quantile(quantile: f64) -> String {
    let nines = -(1.0 - quantile).log10();
    let decimals = if nines.is_finite() { (nines.ceil() - 1.0).clamp(0.0, 9.0) as usize } else { 0 };
    let percent = format!("{:.decimals$}", quantile * 100.0);
    let percent = if decimals > 0 { percent.trim_end_matches('0').trim_end_matches('.') } else { &percent };
    format!("{percent} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_has_all_its_nines() {
        let texts = [0.0, 0.5, 0.9, 0.999, 0.99999, 0.999_974_3].map(quantile);
        assert_eq!(texts, ["0 %", "50 %", "90 %", "99.9 %", "99.999 %", "99.9974 %"]);
    }

    #[test]
    fn a_curve_ends_where_the_sample_does() {
        let series = || Series { name: "", style: Style(0), colour: String::new() };
        let mut histogram = Histogram::new();
        for value in 1..=1000 {
            histogram.record(value * 1000);
        }
        let curve = Curve::read(series(), Some(&histogram.to_base64())).unwrap();
        assert!(curve.points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        let marked: Vec<f64> = curve.marked.iter().map(|(quantile, _)| *quantile).collect();
        assert_eq!(marked[..3], [0.5, 0.9, 0.99]);
        assert!(marked.len() == 4 && marked[3] < 0.999, "{marked:?}");
        for nothing in [None, Some("not base64"), Some(Histogram::new().to_base64().as_str())] {
            assert!(Curve::read(series(), nothing).is_none());
        }
    }
}
