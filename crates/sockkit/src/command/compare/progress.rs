//! How far it is, on a terminal; nothing where stderr goes elsewhere.
//!
//! It is drawn between runs only: what draws while something is measured is part of what is measured.

use std::cell::Cell;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sockkit_stats::{Conclusion, Estimate};

use crate::render::figures;

/// The bar.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    budget: Duration,
    widest: Cell<Option<f64>>,
}

impl Progress {
    pub(super) fn new(budget: Duration) -> Self {
        let bar = ProgressBar::new(millis(budget));
        // The template is a constant that is right, and a bar in another style would do.
        if let Ok(style) = ProgressStyle::with_template("{prefix}  {wide_bar}  {msg}") {
            bar.set_style(style);
        }
        Self { bar, budget, widest: Cell::new(None) }
    }

    /// An unrecorded run of a target begins.
    pub(super) fn warming(&self, target: &str, elapsed: Duration) {
        self.bar.set_prefix("warming up");
        self.draw(target, elapsed);
    }

    /// A block begins, of about so many.
    pub(super) fn block(&self, block: u64, about: u64) {
        self.bar.set_prefix(format!("block {} of about {}", block + 1, about.max(block + 1)));
    }

    /// A run of a target begins.
    pub(super) fn run(&self, target: &str, elapsed: Duration) {
        self.draw(target, elapsed);
    }

    /// What follows so far.
    pub(super) fn concluded(&self, conclusion: &Conclusion) {
        self.widest.set(widest(conclusion));
    }

    /// Takes it away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn draw(&self, target: &str, elapsed: Duration) {
        let left = self.budget.saturating_sub(elapsed).as_secs();
        let widest =
            self.widest.get().map(|widest| format!(", widest interval ±{}", figures::percent(widest)));
        self.bar.set_position(millis(elapsed));
        self.bar.set_message(format!("{target}, {left} s left{}", widest.unwrap_or_default()));
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Half the width of the widest interval, as a factor: 0.03 is 3 %.
fn widest(conclusion: &Conclusion) -> Option<f64> {
    let ratios = conclusion.verdicts.iter().map(|verdict| verdict.ratio);
    let noise = conclusion.noise_floor.iter().map(|noise| noise.ratio);
    let half_width = |ratio: Estimate| Some((ratio.high? / ratio.low?).sqrt() - 1.0);
    ratios.chain(noise).flatten().filter_map(half_width).reduce(f64::max)
}
