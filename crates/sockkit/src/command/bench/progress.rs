//! One line on a terminal that says how it goes. It is drawn by the thread that waits for the run, never by one that
//! measures, and a few times a second: seldom enough to cost nothing that could be seen in a result.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sockkit_load::Interval;

use super::lines;
use crate::command::screen;
use crate::render::text::Screen;

/// How often it is drawn.
pub(super) const EVERY: Duration = Duration::from_millis(250);

/// How many intervals the sparkline shows.
const SPARKS: usize = 16;

/// Heights of the sparkline, and those for a terminal that shows nothing but ASCII.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const HEIGHTS_ASCII: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// The line. Dropping it wipes it off.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    screen: Screen,
    label: String,
    rates: VecDeque<f64>,
    /// Messages lost in this run.
    lost: u64,
    /// When all is over, as far as it can be foreseen.
    end: Option<Instant>,
}

impl Progress {
    /// One on stderr, if that is a terminal.
    pub(super) fn on_terminal() -> Option<Self> {
        io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // It fails only for a template that makes no sense.
            if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                bar.set_style(style);
            }
            let (screen, rates) = (screen::of(io::stderr()), VecDeque::with_capacity(SPARKS));
            Self { bar, screen, label: String::new(), rates, lost: 0, end: None }
        })
    }

    /// A run begins; `left` is what it and all that follow take, where that is known.
    pub(super) fn run(&mut self, label: &str, left: Option<Duration>) {
        label.clone_into(&mut self.label);
        self.rates.clear();
        self.lost = 0;
        self.end = left.and_then(|left| Instant::now().checked_add(left));
        self.show(&format!("{label}  starting{}", self.left()));
    }

    /// An interval of it is over.
    pub(super) fn tick(&mut self, interval: &Interval) {
        if self.rates.len() == SPARKS {
            self.rates.pop_front();
        }
        self.rates.push_back(interval.messages as f64 / interval.length.as_secs_f64());
        self.lost += interval.lost;
        let heights = if self.screen.unicode { HEIGHTS } else { HEIGHTS_ASCII };
        let (sparks, state) = (sparks(&self.rates, heights), lines::state(interval, self.lost));
        self.show(&format!("{}  {sparks}  {state}{}", self.label, self.left()));
    }

    /// Something that is to stay, above the line.
    pub(super) fn say(&self, line: &str) {
        self.bar.println(self.screen.plain(line));
    }

    /// Lets something be printed that would run into the line.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    fn show(&self, line: &str) {
        self.bar.set_message(self.screen.plain(line));
    }

    fn left(&self) -> String {
        let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
        left.map_or_else(String::new, |left| format!("  {} left", in_seconds(left)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// `45 s`, `2m5s`: seconds that have begun.
pub(super) fn in_seconds(duration: Duration) -> String {
    match duration.as_millis().div_ceil(1000) {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds => format!("{}m{}s", seconds / 60, seconds % 60),
    }
}

/// Rates as heights, the highest of them as a full block.
fn sparks(rates: &VecDeque<f64>, heights: [char; 8]) -> String {
    let highest = rates.iter().copied().fold(0.0, f64::max);
    let height = |rate: &f64| match highest > 0.0 {
        true => heights[((rate / highest * heights.len() as f64) as usize).min(heights.len() - 1)],
        false => heights[0],
    };
    rates.iter().map(height).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparks_are_relative_to_the_highest() {
        let rates = VecDeque::from([0.0, 50.0, 99.0, 100.0, 25.0]);
        assert_eq!(
            (sparks(&rates, HEIGHTS), sparks(&rates, HEIGHTS_ASCII)),
            ("▁▅██▃".into(), "_=##:".into())
        );
        assert_eq!(sparks(&VecDeque::from([0.0, 0.0]), HEIGHTS), "▁▁");
        assert_eq!(sparks(&VecDeque::new(), HEIGHTS), "");
    }

    #[test]
    fn time_is_told_in_seconds() {
        let texts = [0, 1, 4200, 99_001, 125_000].map(|ms| in_seconds(Duration::from_millis(ms)));
        assert_eq!(texts, ["0 s", "1 s", "5 s", "1m40s", "2m5s"]);
    }
}
