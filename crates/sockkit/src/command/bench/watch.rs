//! What is done while a run lasts: signals are looked for, intervals told, the line on the terminal redrawn.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Error, Result};
use sockkit_load::{Interval, Observer};
use sockkit_stats::Histogram;

use super::lines::{self, Manner, Place};
use super::progress::{self, Progress};
use crate::command::signals::Signals;
use crate::exit::Interrupted;

/// Watches one run after the other.
#[derive(Debug)]
pub(super) struct Watch {
    signals: Signals,
    progress: Option<Progress>,
    /// Intervals that are told, and how.
    told: Option<(Duration, Manner)>,
    place: Option<Place>,
    /// What has happened since the last interval was told.
    gathered: Option<Interval>,
    /// Seconds that were told.
    told_s: f64,
    /// Why all is to end.
    end: RefCell<Option<Error>>,
}

impl Watch {
    pub(super) fn new(signals: Signals, told: Option<(Duration, Manner)>) -> Self {
        let progress = Progress::on_terminal();
        Self { signals, progress, told, place: None, gathered: None, told_s: 0.0, end: RefCell::new(None) }
    }

    /// A run begins. Without a place its intervals are not told.
    pub(super) fn run(&mut self, label: &str, place: Option<Place>, left: Option<Duration>) {
        (self.place, self.gathered, self.told_s) = (place, None, 0.0);
        if let Some(progress) = &mut self.progress {
            progress.run(label, left);
        }
    }

    /// The run is over: the rest of an interval is told too.
    pub(super) fn over(&mut self) {
        self.tell();
        self.place = None;
    }

    /// For a terminal only.
    pub(super) fn say(&self, line: &str) {
        if let Some(progress) = &self.progress {
            progress.say(line);
        }
    }

    /// Whether all is to end: a signal has come, or nobody reads what we write.
    pub(super) fn is_ended(&self) -> bool {
        if self.end.borrow().is_none()
            && let Err(interrupted) = self.signals.check()
        {
            *self.end.borrow_mut() = Some(interrupted.into());
        }
        self.end.borrow().is_some()
    }

    /// The signal that has come, if one has.
    pub(super) fn interrupted(&self) -> Option<Interrupted> {
        self.end.borrow().as_ref().and_then(|error| error.downcast_ref().copied())
    }

    /// Gives signals their course again, and says why all had to end, if it had.
    pub(super) fn finish(self) -> Result<()> {
        self.end.into_inner().map_or(Ok(()), Err)
    }

    fn tell(&mut self) {
        let (Some((_, manner)), Some(place), Some(gathered)) = (self.told, &self.place, self.gathered.take())
        else {
            return;
        };
        let from = self.told_s;
        self.told_s += gathered.length.as_secs_f64();
        let print = || lines::print(manner, place, from, &gathered);
        let printed = match &self.progress {
            Some(progress) => progress.aside(print),
            None => print(),
        };
        if let Err(error) = printed {
            self.end.borrow_mut().get_or_insert(error);
        }
    }
}

impl Observer for Watch {
    fn every(&self) -> Option<Duration> {
        match (&self.progress, self.told) {
            // Intervals that are told are made of whole ones that are drawn.
            (Some(_), Some((told, _))) => Some(told / parts(told)),
            (Some(_), None) => Some(progress::EVERY),
            (None, told) => told.map(|(told, _)| told),
        }
    }

    fn interval(&mut self, interval: &Interval) {
        if interval.length.is_zero() {
            return;
        }
        if let Some(progress) = &mut self.progress {
            progress.tick(interval);
        }
        let Some((told, _)) = self.told else { return };
        gather(&mut self.gathered, interval);
        // A clock that is looked at between two waits is never exact.
        let nearly = told - told / parts(told) / 2;
        if self.gathered.as_ref().is_some_and(|gathered| gathered.length >= nearly) {
            self.tell();
        }
    }

    fn is_cancelled(&self) -> bool {
        self.is_ended()
    }
}

/// Into how many parts an interval is divided so that the line on the terminal is redrawn often enough.
fn parts(told: Duration) -> u32 {
    let parts = told.as_nanos().div_ceil(progress::EVERY.as_nanos());
    u32::try_from(parts).unwrap_or(u32::MAX).max(1)
}

fn gather(gathered: &mut Option<Interval>, interval: &Interval) {
    let empty = || Interval {
        at: interval.at,
        length: Duration::ZERO,
        messages: 0,
        bytes: 0,
        lost: 0,
        response: Histogram::new(),
    };
    let gathered = gathered.get_or_insert_with(empty);
    gathered.length += interval.length;
    gathered.messages += interval.messages;
    gathered.bytes += interval.bytes;
    gathered.lost += interval.lost;
    gathered.response.merge(&interval.response);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_gathered() {
        let mut response = Histogram::new();
        response.record(5);
        let one = Interval {
            at: Duration::ZERO,
            length: Duration::from_millis(250),
            messages: 10,
            bytes: 640,
            lost: 1,
            response,
        };
        let mut gathered = None;
        gather(&mut gathered, &one);
        gather(&mut gathered, &one);
        let gathered = gathered.unwrap();
        assert_eq!((gathered.messages, gathered.bytes, gathered.lost), (20, 1280, 2));
        assert_eq!((gathered.length, gathered.response.count()), (Duration::from_millis(500), 2));
    }

    #[test]
    fn what_is_told_is_made_of_what_is_drawn() {
        let cases = [(10, 1), (250, 1), (251, 2), (1000, 4), (60_000, 240)];
        for (told, expected) in cases {
            assert_eq!(parts(Duration::from_millis(told)), expected);
        }
    }
}
