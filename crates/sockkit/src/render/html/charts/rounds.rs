//! Every run of every arm in the order of the blocks, so that drift, jumps and disturbed runs can be seen.

use maud::{Markup, html};
use sockkit_stats::result::{Metric, Sample};

use super::plot::{mark, path, percent, px};
use super::scale::Scale;
use crate::render::figures;
use crate::render::html::results::{glyph, scroll};
use crate::render::html::roster::{Roster, Style};

/// Pixels of a strip, and of the margin within it.
const HEIGHT: f64 = 56.0;
const MARGIN: f64 = 7.0;

/// A strip for each arm and metric. All strips of a metric have one scale, so the restless arm is seen at once. None if
/// every arm ran once only.
pub(in crate::render::html) fn rounds(roster: &Roster<'_>) -> Option<Markup> {
    let arms = &roster.document.arms;
    if arms.iter().all(|arm| arm.samples.len() < 2) {
        return None;
    }
    let has = |metric: &Metric| arms.iter().any(|arm| arm.samples.iter().any(|s| metric.of(s).is_some()));
    let columns: Vec<(Metric, f64)> =
        Metric::ALL.into_iter().filter(has).map(|metric| (metric, reach(roster, metric))).collect();
    let last = arms.iter().flat_map(|arm| arm.samples.iter().chain(&arm.control)).map(|s| s.block).max()?;
    Some(html! {
        figure {
            (scroll("Run by run", &html! { table.rounds data-marks="" {
                thead { tr {
                    th scope="col" { "arm" }
                    @for (metric, reach) in &columns {
                        th scope="col" { (roster.metric(*metric)) span.detail { "±" (figures::percent(*reach)) } }
                    }
                } }
                tbody { @for index in 0..roster.len() { tr {
                    th.arm scope="row" { (glyph(roster, index)) bdi { (roster.name(index)) } }
                    @for (metric, reach) in &columns { td {
                        (Strip::new(roster, index, *metric, *reach, last).draw())
                    } }
                } } }
            } }))
            figcaption {
                "Each run beside the median of its arm (the line in the middle), block after block from left to right. A "
                "slope is drift. Outlined marks are the second run of the baseline (A/A); a cross below marks "
                "a run that was disturbed and is counted all the same."
            }
        }
    })
}

/// How far from the median of its arm any run is: the height of all strips of a metric.
fn reach(roster: &Roster<'_>, metric: Metric) -> f64 {
    let furthest = roster.document.arms.iter().flat_map(|arm| {
        let values: Vec<f64> = arm.samples.iter().chain(&arm.control).filter_map(|s| metric.of(s)).collect();
        let middle = median(values.clone());
        values.into_iter().filter_map(move |value| Some((value / middle?).ln().abs()))
    });
    let furthest = furthest.filter(|reach| reach.is_finite()).fold(0.0, f64::max);
    furthest.exp_m1().max(0.01)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| value.is_finite() && *value > 0.0);
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The runs of one arm by one metric.
struct Strip<'a> {
    name: &'a str,
    style: Style,
    metric: Metric,
    metric_name: &'static str,
    median: Option<f64>,
    samples: &'a [Sample],
    control: &'a [Sample],
    across: Scale,
    down: Scale,
}

impl<'a> Strip<'a> {
    fn new(roster: &'a Roster<'a>, index: usize, metric: Metric, reach: f64, last: u64) -> Self {
        let arm = roster.arm(index);
        Self {
            name: roster.name(index),
            style: roster.style(index),
            metric,
            metric_name: roster.metric(metric),
            median: median(arm.samples.iter().filter_map(|sample| metric.of(sample)).collect()),
            samples: &arm.samples,
            control: &arm.control,
            across: Scale::linear(-0.5, last as f64 + 0.5),
            down: Scale::linear(-(1.0 + reach).ln(), (1.0 + reach).ln()),
        }
    }

    fn draw(&self) -> Markup {
        let points: Vec<(f64, f64)> = self.samples.iter().filter_map(|sample| self.place(sample)).collect();
        let middle = px(HEIGHT / 2.0);
        html! {
            svg.strip.(self.style.colour()) height=(px(HEIGHT)) {
                line.one x1="0" x2="100%" y1=(middle) y2=(middle) {}
                (path(&points, Style(0), HEIGHT))
                @for sample in self.control { g.control { (self.mark(sample, "second run (A/A)")) } }
                @for sample in self.samples { (self.mark(sample, "")) }
            }
        }
    }

    /// Where a run is, as a fraction across and in pixels down.
    fn place(&self, sample: &Sample) -> Option<(f64, f64)> {
        let ratio = self.metric.of(sample)? / self.median?;
        let down = self.down.at(ratio.ln());
        let inside = HEIGHT - 2.0 * MARGIN;
        Some((self.across.at(sample.block as f64), MARGIN + inside * (1.0 - down)))
    }

    fn mark(&self, sample: &Sample, which: &str) -> Markup {
        let Some((x, y)) = self.place(sample) else { return html! {} };
        let value = self.metric.of(sample).unwrap_or(f64::NAN);
        let format = if self.metric == Metric::Rate { figures::rate } else { figures::duration };
        let change = self.median.map_or(f64::NAN, |median| value / median - 1.0);
        let mut tip = format!("{}, block {}", self.name, sample.block);
        if !which.is_empty() {
            tip.push_str(&format!(", {which}"));
        }
        tip.push_str(&format!("\n{}: {}", self.metric_name, format(value)));
        tip.push_str(&format!("\nbeside the median: {}", signed(change)));
        match sample.repeats {
            0 => {}
            1 => tip.push_str("\nrepeated once"),
            many => tip.push_str(&format!("\nrepeated {many} times")),
        }
        if sample.disturbed {
            tip.push_str("\ndisturbed");
        }
        html! {
            (mark(&percent(x), y, self.style, &tip))
            @if sample.disturbed {
                svg.open x=(percent(x)) y=(px(HEIGHT)) { path.cross d="M-2.5 -2.5L2.5 2.5M-2.5 2.5L2.5 -2.5" {} }
            }
        }
    }
}

fn signed(share: f64) -> String {
    let text = figures::percent(share);
    if share > 0.0 { format!("+{text}") } else { text }
}
