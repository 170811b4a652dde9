//! Every arm beside its baseline: a dot for the ratio, a line for its interval, and behind them what is no difference.

use maud::{Markup, html};
use sockkit_stats::Estimate;
use sockkit_stats::result::{Document, Metric, Noise, Verdict};

use super::plot::{mark, percent, px};
use super::scale::{Gaps, Scale};
use crate::render::figures;
use crate::render::html::results::{glyph, spoken, word};
use crate::render::html::roster::{Roster, Style};
use crate::render::letters;

const GAPS: Gaps = Gaps { wide: 0.09, narrow: 0.22 };

/// Pixels of a row.
const ROW: f64 = 30.0;

/// The chart, which is a table with a drawing in each row. None if there is no ratio.
pub(in crate::render::html) fn forest(roster: &Roster<'_>) -> Option<Markup> {
    let document = roster.document;
    let metrics: Vec<(Metric, Scale)> =
        Metric::ALL.into_iter().filter_map(|metric| Some((metric, scale(document, metric)?))).collect();
    if metrics.is_empty() {
        return None;
    }
    Some(html! {
        figure {
            table.forest data-marks="" {
                thead { tr {
                    th scope="col" { "arm" }
                    th.strip { span.visually-hidden { "drawing" } }
                    th.number scope="col" { "ratio" }
                    th scope="col" { "verdict" }
                    th.number scope="col" { "would show" }
                } }
                @for (metric, scale) in &metrics { tbody {
                    tr.metric { th colspan="5" scope="colgroup" {
                        (roster.metric(*metric))
                        span.detail { @if metric.more_is_better() { "more is better" } @else { "less is better" } }
                    } }
                    @for (_, row) in rows(roster, scale, *metric) { (row) }
                    tr aria-hidden="true" { td {} td.strip { (axis(scale)) } td {} td {} td {} }
                } }
            }
            figcaption {
                "Ratio to the baseline with the interval by which it was judged, on a logarithmic scale for each figure. A "
                "difference is claimed only where the whole interval is outside the " span.key.zone { "threshold" } "; the "
                span.key.noise { "A/A interval" } " is what two runs of the baseline itself differ by."
            }
        }
    })
}

/// The rows of a metric in the order of the arms, so that a baseline comes before those that are compared with it.
fn rows(roster: &Roster<'_>, scale: &Scale, metric: Metric) -> Vec<(u64, Markup)> {
    let Document { noise_floor, verdicts, .. } = roster.document;
    let noise = noise_floor.iter().filter(|noise| noise.metric == metric);
    let verdicts = verdicts.iter().filter(|verdict| verdict.metric == metric);
    let mut rows: Vec<(u64, Markup)> = noise
        .map(|noise| (noise.arm_index, noise_row(roster, scale, noise)))
        .chain(verdicts.map(|verdict| (verdict.arm_index, verdict_row(roster, scale, verdict))))
        .collect();
    rows.sort_by_key(|(index, _)| *index);
    rows
}

/// Each metric has one of its own: the tail of a busy machine would leave no room for the rest.
fn scale(document: &Document, metric: Metric) -> Option<Scale> {
    let of_metric = || document.verdicts.iter().filter(|verdict| verdict.metric == metric);
    let verdicts = of_metric().filter_map(|verdict| verdict.ratio);
    let noise = document.noise_floor.iter().filter(|noise| noise.metric == metric);
    let noise = noise.filter_map(|noise| noise.ratio);
    let ends = |ratio: Estimate| [Some(ratio.estimate), ratio.low, ratio.high];
    let mut values: Vec<f64> = verdicts.chain(noise).flat_map(ends).flatten().collect();
    // The baseline is on the scale even if all arms are far from it.
    if !values.is_empty() {
        let thresholds = of_metric().filter_map(|verdict| verdict.threshold);
        values.extend([1.0].into_iter().chain(thresholds.flat_map(zone)));
    }
    Scale::log(values)
}

/// What is no difference.
fn zone(threshold: f64) -> [f64; 2] {
    [1.0 / (1.0 + threshold), 1.0 + threshold]
}

fn noise_row(roster: &Roster<'_>, scale: &Scale, noise: &Noise) -> Markup {
    let name = name(roster, noise.arm_index, &noise.arm);
    let ratio = figures::optional(noise.ratio.as_ref(), figures::ratio);
    let reach = figures::optional(noise.half_width, |share| format!("±{}", figures::percent(share)));
    let tip = format!(
        "{name} against itself (A/A)\n{}: {ratio}\nnoise floor: {reach}",
        roster.metric(noise.metric)
    );
    let row = Row { style: Style(0), ratio: noise.ratio, threshold: None, noise: Some(noise), tip: &tip };
    html! { tr.noise {
        th.arm scope="row" { span.glyph {} bdi { (name) } " again" }
        td.strip { (row.draw(scale)) }
        td.number { (ratio) }
        td { span.detail { "A/A noise floor " (reach) } }
        td {}
    } }
}

fn verdict_row(roster: &Roster<'_>, scale: &Scale, verdict: &Verdict) -> Markup {
    let name = name(roster, verdict.arm_index, &verdict.arm);
    let index = usize::try_from(verdict.arm_index).ok().filter(|index| *index < roster.len());
    let style = index.map_or(Style(0), |index| roster.style(index));
    let noise = verdict.against_index.and_then(|index| roster.noise_of(index, verdict.metric));
    let ratio = figures::optional(verdict.ratio.as_ref(), figures::ratio);
    let detectable = figures::detectable(verdict.detectable);
    let tip = format!(
        "{name} against {}\n{}: {ratio}\n{}\nthreshold: ±{}\nwould show: {detectable}\npairs of runs: {}",
        letters::name(&verdict.against),
        roster.metric(verdict.metric),
        spoken(verdict.verdict),
        figures::optional(verdict.threshold, figures::percent),
        verdict.blocks,
    );
    let row = Row { style, ratio: verdict.ratio, threshold: verdict.threshold, noise, tip: &tip };
    html! { tr {
        th.arm scope="row" {
            @if let Some(index) = index { (glyph(roster, index)) }
            bdi { (name) }
        }
        td.strip { (row.draw(scale)) }
        td.number { (ratio) }
        td { (word(verdict.verdict)) }
        td.number { (detectable) }
    } }
}

fn name(roster: &Roster<'_>, index: u64, target: &str) -> String {
    match usize::try_from(index) {
        Ok(index) if index < roster.len() => roster.name(index).to_owned(),
        _ => letters::name(target),
    }
}

/// The drawing in one row.
struct Row<'a> {
    style: Style,
    ratio: Option<Estimate>,
    threshold: Option<f64>,
    noise: Option<&'a Noise>,
    tip: &'a str,
}

impl Row<'_> {
    fn draw(&self, scale: &Scale) -> Markup {
        let at = |value: f64| percent(scale.at(value));
        let noise =
            self.noise.and_then(|noise| noise.ratio).and_then(|ratio| Some([ratio.low?, ratio.high?]));
        html! {
            svg.row.(self.style.colour()) height=(px(ROW)) {
                @if let Some(threshold) = self.threshold { (band("zone", scale, zone(threshold))) }
                @if let Some(ends) = noise { (band("noise", scale, ends)) }
                line.one x1=(at(1.0)) x2=(at(1.0)) y1="0" y2=(px(ROW)) {}
                @if let Some(ratio) = self.ratio {
                    @if let (Some(low), Some(high)) = (ratio.low, ratio.high) { (interval(scale, low, high)) }
                    (mark(&at(ratio.estimate), ROW / 2.0, self.style, self.tip))
                }
            }
        }
    }
}

fn interval(scale: &Scale, low: f64, high: f64) -> Markup {
    let middle = px(ROW / 2.0);
    let ends = [low, high].map(|end| percent(scale.at(end)));
    html! {
        g.whisker {
            line x1=(ends[0]) x2=(ends[1]) y1=(middle) y2=(middle) {}
            @for end in &ends { line x1=(end) x2=(end) y1=(px(ROW / 2.0 - 4.0)) y2=(px(ROW / 2.0 + 4.0)) {} }
        }
    }
}

fn band(class: &str, scale: &Scale, [low, high]: [f64; 2]) -> Markup {
    let (left, right) = (scale.at(low), scale.at(high));
    html! { rect class=(class) x=(percent(left)) width=(percent((right - left).max(0.0))) y="0" height=(px(ROW)) {} }
}

fn axis(scale: &Scale) -> Markup {
    html! {
        svg.row height="26" {
            g.grid {
                line x1="0" x2="100%" y1="0.5" y2="0.5" {}
                @for tick in scale.ticks(GAPS) {
                    @let x = percent(scale.at(tick.value));
                    line x1=(x) x2=(x) y1="0" y2="5" {}
                    text.weak[!tick.strong] x=(x) y="18" text-anchor="middle" { (times(tick.value)) }
                }
            }
        }
    }
}

/// A ratio as a label: no more digits than it has.
fn times(value: f64) -> String {
    format!("{}x", px((value * 1e3).round() / 1e3))
}
