//! Bars for a terminal: one an arm, all from 0 on one scale, with the interval as a lighter end.
//!
//! A bar that does not begin at 0 makes a small difference look like a large one, so none does. An interval that is
//! narrower than a character has no end of its own: the bar then ends at the estimate, to an eighth of a character.

use std::fmt::Write;

use sockkit_stats::Estimate;
use unicode_width::UnicodeWidthStr;

use super::figures;
use super::grid::cut;
use super::text::{Screen, Tone};

/// Columns for the bars themselves. With less, and with nothing left out, there is no chart.
const NARROWEST: usize = 10;

/// Longer ones say nothing more.
const WIDEST: usize = 60;

/// More bars than this are no picture any more, but a table, and there is one.
const BARS_MAX: usize = 64;

/// Bars of what is the same figure of several arms.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) groups: Vec<Group>,
    /// How a figure is written: one of [`figures`].
    pub(crate) format: fn(f64) -> String,
}

/// Bars that are held against each other, on one scale.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// What they have in common; may be empty.
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) estimate: Option<Estimate>,
}

impl Chart {
    /// Whether there is anything to compare by looking: at least two bars, and not too many.
    pub(crate) fn is_worth_drawing(&self) -> bool {
        let drawn = self.bars().filter(|bar| bar.estimate.is_some()).count();
        (2..=BARS_MAX).contains(&drawn) && self.groups.iter().any(|group| group.scale() > 0.0)
    }

    fn bars(&self) -> impl Iterator<Item = &Bar> {
        self.groups.iter().flat_map(|group| &group.bars)
    }
}

impl Group {
    /// What a bar of full length stands for.
    fn scale(&self) -> f64 {
        let ends = self.bars.iter().filter_map(|bar| bar.estimate).map(|estimate| end(&estimate));
        ends.filter(|end| end.is_finite()).fold(0.0, f64::max)
    }
}

/// Draws it, or nothing if there is no room.
pub(crate) fn write(out: &mut String, chart: &Chart, screen: &Screen) {
    let label = |bar: &Bar| cut(&screen.plain(&bar.label), screen.width / 3, screen);
    let value = |bar: &Bar, full| screen.plain(&value(bar, chart.format, full));
    let label_width = chart.bars().map(|bar| label(bar).width()).max().unwrap_or(0);
    // The intervals go before the bars do.
    let found = [true, false].into_iter().find_map(|full| {
        let value_width = chart.bars().map(|bar| value(bar, full).width()).max().unwrap_or(0);
        let room = screen.width.checked_sub(label_width + value_width + 4)?;
        (room >= NARROWEST).then_some((full, room.min(WIDEST)))
    });
    let Some((full, room)) = found else { return };
    let mut lines = String::new();
    for group in &chart.groups {
        if !group.title.is_empty() {
            screen.line(&mut lines, &group.title, Tone::Dim);
        }
        let scale = group.scale();
        for it in &group.bars {
            let (label, value) = (label(it), value(it, full));
            let bar = it.estimate.map(|estimate| draw(&estimate, scale, room, screen)).unwrap_or_default();
            let (after_label, after_bar) = (label_width - label.width(), room - bar.width());
            let _ = writeln!(lines, "{label}{:after_label$}  {bar}{:after_bar$}  {value}", "", "");
        }
    }
    let shade = shade(screen);
    let has_intervals = lines.contains(shade);
    screen.paragraph(out, &chart.title, "", Tone::Strong);
    out.push_str(&lines);
    if has_intervals {
        screen.line(out, &format!("{shade}{shade} is the 95 % interval"), Tone::Dim);
    }
}

/// What stands behind a bar.
fn value(bar: &Bar, format: fn(f64) -> String, full: bool) -> String {
    figures::optional(bar.estimate, |estimate| match full {
        true => figures::with_interval(&estimate, format),
        false => format(estimate.estimate),
    })
}

/// As far as a bar reaches.
fn end(estimate: &Estimate) -> f64 {
    estimate.high.unwrap_or(estimate.estimate).max(estimate.estimate)
}

fn shade(screen: &Screen) -> char {
    if screen.unicode { '▒' } else { ':' }
}

/// One bar of at most `room` characters.
fn draw(estimate: &Estimate, scale: f64, room: usize, screen: &Screen) -> String {
    // In characters. What a stranger's document says may be anything, so it is held within the bounds.
    let at = |value: f64| {
        let place = value / scale * room as f64;
        if place.is_finite() { place.clamp(0.0, room as f64) } else { 0.0 }
    };
    let solid = if screen.unicode { "█" } else { "#" };
    if let (Some(low), Some(high)) = (estimate.low, estimate.high) {
        let (low, high) = (at(low), at(high));
        if high >= low + 1.0 {
            let (from, to) = (low.round() as usize, high.round() as usize);
            return solid.repeat(from) + &shade(screen).to_string().repeat(to - from);
        }
    }
    let length = at(estimate.estimate);
    if !screen.unicode {
        let whole = (length.round() as usize).max(usize::from(length > 0.0));
        return solid.repeat(whole);
    }
    let eighths = ((length * 8.0).round() as usize).max(usize::from(length > 0.0));
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    solid.repeat(eighths / 8) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let bar = |label: &str, estimate, low, high| Bar {
            label: label.into(),
            estimate: Some(Estimate { estimate, low: Some(low), high: Some(high) }),
        };
        Chart {
            title: "p50, less is better".into(),
            groups: vec![Group {
                title: String::new(),
                bars: vec![
                    bar("tcp", 10_000.0, 9_000.0, 11_000.0),
                    bar("unix", 6_050.0, 6_000.0, 6_100.0),
                    Bar { label: "udp".into(), estimate: None },
                ],
            }],
            format: figures::duration,
        }
    }

    fn drawn(width: usize, unicode: bool) -> String {
        let mut out = String::new();
        write(&mut out, &chart(), &Screen { width, colour: false, unicode });
        out
    }

    #[test]
    fn bars_begin_at_nothing_and_end_with_their_interval() {
        assert_eq!(
            drawn(60, true),
            "\
p50, less is better
tcp   ██████████████████████████▒▒▒▒▒▒  10.0 µs [9.00, 11.0]
unix  █████████████████▋                6.05 µs [6.00, 6.10]
udp                                     -
▒▒ is the 95 % interval
"
        );
        assert_eq!(
            drawn(44, false),
            "\
p50, less is better
tcp   #############:::  10.0 us [9.00, 11.0]
unix  #########         6.05 us [6.00, 6.10]
udp                     -
:: is the 95 % interval
"
        );
    }

    #[test]
    fn there_is_no_chart_without_room() {
        assert_eq!(drawn(20, true), "");
        assert!(chart().is_worth_drawing());
        let mut alone = chart();
        alone.groups[0].bars.remove(0);
        assert!(!alone.is_worth_drawing());
    }

    #[test]
    fn nothing_in_a_document_makes_a_bar_too_long() {
        let screen = Screen { width: 80, colour: false, unicode: true };
        for value in [f64::MAX, f64::MIN, -1.0, 0.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE] {
            for high in [value, 1.0, f64::MAX] {
                let estimate = Estimate { estimate: value, low: Some(value), high: Some(high) };
                for scale in [1.0, f64::MIN_POSITIVE, f64::MAX] {
                    assert!(draw(&estimate, scale, 20, &screen).width() <= 20);
                }
            }
        }
    }
}
