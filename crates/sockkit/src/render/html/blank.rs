//! What stands where a document has null, and why: nothing is ever shown as 0 in place of not known.

use maud::{Markup, html};
use sockkit_stats::result::{Arm, Mode};

/// A place without a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blank {
    word: &'static str,
    reason: &'static str,
}

impl Blank {
    const SATURATED: Self = Self {
        word: "withheld",
        reason: "The load generator could not keep its schedule, so this would be a figure of the generator and not of the server.",
    };

    /// Where a percentile is missing.
    pub(super) fn percentile(arm: &Arm) -> Self {
        match (arm.mode, arm.counters.received) {
            _ if arm.saturated => Self::SATURATED,
            (Mode::Send | Mode::Receive, _) => {
                Self { word: "–", reason: "Messages went one way, so there were no round trips." }
            }
            (_, Some(0)) => Self { word: "–", reason: "Nothing came back." },
            _ => Self { word: "withheld", reason: "The sample is too small to carry this figure." },
        }
    }

    /// Where a figure of the cost of the server is missing.
    pub(super) fn server(arm: &Arm) -> Self {
        match arm.embedded {
            true => Self { word: "–", reason: "It was not measured." },
            false => {
                Self { word: "–", reason: "Not known: the server was not started by sockkit for this run." }
            }
        }
    }

    /// Where any other figure is missing.
    pub(super) fn other(_: &Arm) -> Self {
        Self { word: "–", reason: "It was not measured." }
    }

    /// Where a ratio is missing.
    pub(super) const RATIO: Self =
        Self { word: "no ratio", reason: "There is no pair of runs that both have this figure." };

    /// Where something does not apply.
    pub(super) const OPTION: Self = Self { word: "–", reason: "It does not apply to this kind of socket." };

    /// The word, with the reason as its tip.
    pub(super) fn show(self) -> Markup {
        html! { span.blank data-tip=(self.reason) { (self.word) } }
    }
}
