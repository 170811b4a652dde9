//! What of a document is shown, and in which order, for every output that is read by people as text.
//!
//! A document becomes a list of parts; the terminal's text and Markdown write the same parts, each in its own way, so
//! that none of them says what the other does not. A document may have been written by a stranger: places in `arms` may
//! not exist, and any number may be any number.

mod conduct;
mod counters;
mod fairness;
mod figures_of;
mod headline;
mod names;
mod ping;
#[cfg(test)]
pub(crate) mod samples;

use sockkit_stats::result::{Document, Mode};

use super::chart::Chart;
use super::grid::Grid;
use super::text::Tone;
use names::Names;

/// One part of what is shown.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Sentences, each with a line of its own.
    Statements(Vec<Statement>),
    /// A table.
    Grid(Grid),
    /// Bars; what they show is in a table too.
    Chart(Chart),
    /// The command that repeats the measurement.
    Command(String),
    /// Names and values that would fill a terminal.
    Details(Vec<(String, String)>),
}

/// A sentence, without its full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl Statement {
    fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    fn plain(text: impl Into<String>) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// What kind of measurement it was, which the document does not say in so many words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ping,
    Bench,
    Comparison,
}

impl Kind {
    fn of(document: &Document) -> Self {
        let is_comparison = document.experiment.is_some() || !document.verdicts.is_empty();
        match document.arms.iter().all(|arm| arm.mode == Mode::Ping) && !document.arms.is_empty() {
            _ if is_comparison => Self::Comparison,
            true => Self::Ping,
            false => Self::Bench,
        }
    }
}

/// All of it.
pub(crate) fn parts(document: &Document) -> Vec<Part> {
    let names = Names::new(&document.arms);
    let mut parts = Vec::new();
    match Kind::of(document) {
        Kind::Ping => parts.extend(ping::parts(document, &names)),
        Kind::Bench => {
            parts.push(Part::Statements(headline::of_bench(document, &names)));
            parts.push(Part::Grid(figures_of::bench(document, &names)));
            parts.extend(figures_of::charts(document, &names).map(Part::Chart));
        }
        Kind::Comparison => {
            parts.push(Part::Statements(headline::of_comparison(document, &names)));
            parts.push(Part::Grid(figures_of::arms(document, &names)));
            parts.extend(figures_of::verdicts(document, &names).map(Part::Grid));
            parts.extend(figures_of::charts(document, &names).map(Part::Chart));
            parts.push(Part::Statements(conduct::of_experiment(document, &names)));
        }
    }
    parts.extend(fairness::parts(document, &names));
    parts.push(Part::Statements(counters::statements(document, &names)));
    parts.push(Part::Statements(conduct::warnings(document)));
    parts.push(Part::Statements(conduct::environment(document)));
    parts.push(Part::Command(document.command.clone()));
    parts.push(Part::Details(conduct::details(document)));
    parts.retain(|part| match part {
        Part::Statements(statements) => !statements.is_empty(),
        Part::Details(details) => !details.is_empty(),
        Part::Grid(grid) => grid.rows() > 0,
        Part::Command(command) => !command.is_empty(),
        _ => true,
    });
    parts
}
