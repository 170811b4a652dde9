//! How far it is, on a terminal; nothing where stderr goes elsewhere.
//!
//! It is drawn between runs only: what draws while something is measured is part of what is measured.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sockkit_stats::{Conclusion, Estimate};

use crate::render::figures;

/// The bar.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    budget: Duration,
}

impl Progress {
    pub(super) fn new(budget: Duration) -> Self {
        let bar = ProgressBar::new(budget.as_millis().try_into().unwrap_or(u64::MAX));
        // Both are constants that are right, and a bar without them would do.
        if let Ok(style) = ProgressStyle::with_template("{prefix}  {wide_bar}  {msg}") {
            bar.set_style(style);
        }
        Self { bar, budget }
    }

    /// An unrecorded run of a target begins.
    pub(super) fn warming(&self, target: &str) {
        self.bar.set_prefix("warming up");
        self.bar.set_message(target.to_owned());
        self.bar.tick();
    }

    /// A block begins, and so many more will fit behind it.
    pub(super) fn block(&self, block: u64, more: u64) {
        self.bar.set_prefix(format!("block {} of about {}", block + 1, block + more.max(1)));
    }

    /// A run of a target begins.
    pub(super) fn run(&self, target: &str, elapsed: Duration) {
        self.bar.set_position(elapsed.as_millis().try_into().unwrap_or(u64::MAX));
        let left = self.budget.saturating_sub(elapsed);
        let widest = self.bar.message();
        let widest = widest.split_once(WIDEST).map(|(_, widest)| format!("{WIDEST}{widest}"));
        self.bar.set_message(format!("{target}, {} s left{}", left.as_secs(), widest.unwrap_or_default()));
        self.bar.tick();
    }

    /// What follows so far.
    pub(super) fn concluded(&self, conclusion: &Conclusion) {
        if let Some(widest) = widest(conclusion) {
            self.bar.set_message(format!("{WIDEST}{}", figures::percent(widest)));
        }
    }

    /// Takes it away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

const WIDEST: &str = ", widest interval ±";

/// Half the width of the widest interval, as a factor: 0.03 is 3 %.
fn widest(conclusion: &Conclusion) -> Option<f64> {
    let ratios = conclusion.verdicts.iter().map(|verdict| verdict.ratio);
    let noise = conclusion.noise_floor.iter().map(|noise| noise.ratio);
    let half_width = |ratio: Estimate| Some((ratio.high? / ratio.low?).sqrt() - 1.0);
    ratios.chain(noise).flatten().filter_map(half_width).reduce(f64::max)
}
