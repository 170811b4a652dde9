//! A chart's frame: axes, grid, and the means to put marks on it.
//!
//! Across, everything is in percent of the width; down, in pixels. So a chart fits any page without a script, and
//! neither letters nor marks are ever stretched. SVG has percentages for all but paths: those stand in an inner `svg`
//! whose own units are stretched while the line keeps its width (`non-scaling-stroke`).

use maud::{Markup, html};

use super::scale::{Scale, Tick};
use crate::render::html::roster::Style;

/// Pixels above the plot, for half a letter of the uppermost label.
const TOP: f64 = 10.0;

/// Pixels below it, for labels and the name of the axis.
const BOTTOM: f64 = 42.0;

/// The units across of the inner `svg` of a path.
const ACROSS: f64 = 1000.0;

/// One axis.
#[derive(Debug)]
pub(super) struct Axis {
    pub(super) name: &'static str,
    pub(super) scale: Scale,
    /// Figures and their labels.
    pub(super) ticks: Vec<(Tick, String)>,
}

impl Axis {
    /// With labels at `ticks`.
    pub(super) fn new(
        name: &'static str,
        scale: Scale,
        ticks: Vec<Tick>,
        label: impl Fn(f64) -> String,
    ) -> Self {
        Self { name, scale, ticks: ticks.into_iter().map(|tick| (tick, label(tick.value))).collect() }
    }
}

/// A frame with two axes.
#[derive(Debug)]
pub(super) struct Plot {
    /// What it shows, for those who do not see it.
    pub(super) label: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Pixels between the two ends of the vertical axis.
    pub(super) height: f64,
}

impl Plot {
    /// The frame with the marks on it.
    pub(super) fn draw(&self, marks: &Markup) -> Markup {
        let bottom = TOP + self.height;
        html! {
            svg.plot role="group" aria-label=(self.label) height=(px(bottom + BOTTOM)) {
                g.grid aria-hidden="true" {
                    @for (tick, label) in &self.y.ticks {
                        @let y = px(self.down(tick.value));
                        line x1="0" x2="100%" y1=(y) y2=(y) {}
                        text x="-8" y=(y) dy="0.35em" text-anchor="end" { (label) }
                    }
                    @for (tick, label) in &self.x.ticks {
                        @let x = percent(self.x.scale.at(tick.value));
                        line x1=(x) x2=(x) y1=(px(TOP)) y2=(px(bottom)) {}
                        text.weak[!tick.strong] x=(x) y=(px(bottom + 18.0)) text-anchor="middle" { (label) }
                    }
                    text.name x="100%" y=(px(bottom + 37.0)) text-anchor="end" { (self.x.name) }
                }
                (marks)
            }
        }
    }

    /// Where a figure is across.
    pub(super) fn across(&self, value: f64) -> String {
        percent(self.x.scale.at(value))
    }

    /// Where a figure is down, in pixels.
    pub(super) fn down(&self, value: f64) -> f64 {
        TOP + self.height * (1.0 - self.y.scale.at(value))
    }

    /// A line through points.
    pub(super) fn line(&self, points: &[(f64, f64)], style: Style) -> Markup {
        let places: Vec<(f64, f64)> =
            points.iter().map(|(x, y)| (self.x.scale.at(*x), self.down(*y))).collect();
        path(&places, style, TOP + self.height)
    }

    /// A mark at a point, with what it says.
    pub(super) fn mark(&self, (x, y): (f64, f64), style: Style, tip: &str) -> Markup {
        mark(&self.across(x), self.down(y), style, tip)
    }

    /// A vertical line from one figure to another, with caps: an interval.
    pub(super) fn whisker(&self, x: f64, (low, high): (f64, f64)) -> Markup {
        let (low, high) = (px(self.down(low)), px(self.down(high)));
        let x = self.across(x);
        html! {
            g.whisker {
                line x1=(x) x2=(x) y1=(low) y2=(high) {}
                @for end in [&low, &high] {
                    svg.open x=(x) y=(end) { line x1="-4" x2="4" y1="0" y2="0" {} }
                }
            }
        }
    }
}

/// A line through places that are given as a fraction across and pixels down, in something that is `height` high.
pub(super) fn path(places: &[(f64, f64)], style: Style, height: f64) -> Markup {
    let mut drawn = String::new();
    for (index, (x, y)) in places.iter().enumerate() {
        drawn.push_str(if index == 0 { "M" } else { "L" });
        drawn.push_str(&format!("{} {}", px(x * ACROSS), px(*y)));
    }
    html! {
        svg.open width="100%" height=(px(height)) viewBox=(format!("0 0 {ACROSS} {}", px(height)))
            preserveAspectRatio="none" {
            path.line.(style.dash()) d=(drawn) vector-effect="non-scaling-stroke" {}
        }
    }
}

/// A mark, at a place across in percent and down in pixels.
pub(super) fn mark(x: &str, y: f64, style: Style, tip: &str) -> Markup {
    html! { use.mark href=(style.shape()) x=(x) y=(px(y)) role="img" data-tip=(tip) {} }
}

/// A fraction as a percentage for an attribute.
pub(super) fn percent(fraction: f64) -> String {
    format!("{}%", px(fraction * 100.0))
}

/// A length for an attribute: two decimals, and none that are 0.
pub(super) fn px(length: f64) -> String {
    let text = format!("{length:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short() {
        assert_eq!([0.0, -0.001, 12.0, 12.5, 33.333].map(px), ["0", "0", "12", "12.5", "33.33"]);
        assert_eq!(percent(0.25), "25%");
    }
}
