//! The charts. Each takes what the document has and gives nothing if that is not enough for a chart of its kind.

mod curve;
mod forest;
mod plot;
mod rounds;
mod scale;
mod sweep;

use maud::{Markup, html};

pub(super) use curve::{open_loop, percentiles};
pub(super) use forest::forest;
pub(super) use rounds::rounds;
pub(super) use sweep::sweep;

use super::roster::{Roster, SHAPES, Style};

/// The outlines of the marks, around the origin. Each is told from the others by its form alone.
const OUTLINES: [&str; SHAPES] = [
    "M-4.5 0A4.5 4.5 0 1 1 4.5 0A4.5 4.5 0 1 1 -4.5 0Z",
    "M-4 -4H4V4H-4Z",
    "M0 -5.5L5 3.5H-5Z",
    "M0 -6L6 0L0 6L-6 0Z",
    "M0 5.5L5 -3.5H-5Z",
    "M-1.7 -5.2H1.7V-1.7H5.2V1.7H1.7V5.2H-1.7V1.7H-5.2V-1.7H-1.7Z",
    "M0 -2.4L3.2 -5.6L5.6 -3.2L2.4 0L5.6 3.2L3.2 5.6L0 2.4L-3.2 5.6L-5.6 3.2L-2.4 0L-5.6 -3.2L-3.2 -5.6Z",
];

/// The marks, for all charts of the page to refer to. Around each is a little that can be hit, too.
pub(super) fn shapes() -> Markup {
    html! {
        svg.shapes width="0" height="0" aria-hidden="true" {
            defs { @for (index, outline) in OUTLINES.iter().enumerate() {
                g id=(format!("m{index}")) {
                    circle r="10" fill="transparent" stroke="none" {}
                    path d=(outline) {}
                }
            } }
        }
    }
}

/// What is drawn as one line.
struct Series<'a> {
    name: &'a str,
    style: Style,
    colour: String,
}

impl<'a> Series<'a> {
    fn of_arm(roster: &'a Roster<'_>, index: usize) -> Self {
        let style = roster.style(index);
        Self { name: roster.short(index), style, colour: style.colour() }
    }
}

/// Which line is whose.
fn legend<'a, 'b: 'a>(series: impl IntoIterator<Item = &'a Series<'b>>) -> Markup {
    html! { ul.legend { @for one in series { li {
        svg.glyph.(one.colour) width="34" height="12" aria-hidden="true" {
            path.line.(one.style.dash()) d="M0 6H34" {}
            use href=(one.style.shape()) x="17" y="6" {}
        }
        bdi { (one.name) }
    } } } }
}

/// A figure as the label of an axis, without the digits that are 0: `50 µs` for `50.0 µs`.
fn short(figure: String) -> String {
    match figure.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => figure,
    }
}
