//! A line for each interval of a run, in words or as JSON.

use std::io::{self, Write};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sockkit_load::Interval;
use sockkit_stats::Histogram;

use crate::command::measure::Arm;
use crate::command::{output, screen};
use crate::render::figures;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// For people, on stdout.
    Words,
    /// For people, on stderr: stdout is for a document.
    Aside,
    /// One object a line, on stdout.
    Json,
}

/// Which run it is about.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The arm's place in the result.
    pub(super) index: usize,
    pub(super) arm: Arm,
    pub(super) round: u64,
    /// What an arm is called where there are others.
    pub(super) label: String,
}

/// Prints one. `from` is in seconds since the measured time began.
pub(super) fn print(manner: Manner, place: &Place, from: f64, interval: &Interval) -> Result<()> {
    match manner {
        Manner::Words => {
            let line = screen::of_stdout().plain(&words(place, from, interval));
            output::print(format!("{line}\n").as_bytes())
        }
        Manner::Aside => {
            let line = screen::of(io::stderr()).plain(&words(place, from, interval));
            writeln!(io::stderr(), "{line}").context("cannot write to stderr")
        }
        Manner::Json => output::print(format!("{}\n", json(place, from, interval)).as_bytes()),
    }
}

/// `tcp  0.0-1.0 s  52.3 k/s  p50 18.2 µs  p99 30.1 µs  lost 0`
pub(super) fn words(place: &Place, from: f64, interval: &Interval) -> String {
    let to = from + interval.length.as_secs_f64();
    format!("{}  {from:.1}-{to:.1} s  {}", place.label, state(interval, interval.lost))
}

/// How it goes, in a few words.
pub(super) fn state(interval: &Interval, lost: u64) -> String {
    let rate = interval.messages as f64 / interval.length.as_secs_f64();
    let quantile = |quantile| figures::optional(carried(&interval.response, quantile), figures::duration);
    format!(
        "{}  p50 {}  p99 {}  lost {}",
        figures::rate(rate),
        quantile(0.5),
        quantile(0.99),
        figures::count(lost)
    )
}

fn json(place: &Place, from: f64, interval: &Interval) -> Value {
    let seconds = interval.length.as_secs_f64();
    let response = &interval.response;
    json!({
        "event": "interval",
        "arm": place.index,
        "target": place.arm.subject.typed,
        "size": place.arm.size,
        "connections": place.arm.connections,
        "depth": place.arm.depth,
        "round": place.round,
        "from_s": from,
        "to_s": from + seconds,
        "messages": interval.messages,
        "bytes": interval.bytes,
        "lost": interval.lost,
        "rate_per_s": interval.messages as f64 / seconds,
        "bytes_per_s": interval.bytes as f64 / seconds,
        "p50_ns": carried(response, 0.5),
        "p99_ns": carried(response, 0.99),
        "max_ns": response.max_ns(),
    })
}

/// A quantile in ns, if so many can carry it.
fn carried(response: &Histogram, quantile: f64) -> Option<f64> {
    response.estimate(quantile).map(|estimate| estimate.estimate)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::Subject;

    fn place() -> Place {
        let arm = Arm { subject: Subject::parse("udp").unwrap(), size: 64, connections: 2, depth: 1 };
        Place { index: 1, arm, round: 3, label: "udp 64 B".to_owned() }
    }

    fn interval(messages: u64) -> Interval {
        let mut response = Histogram::new();
        response.record_n(1000, messages);
        let length = Duration::from_millis(500);
        Interval { at: Duration::ZERO, length, messages, bytes: messages * 64, lost: 2, response }
    }

    #[test]
    fn a_line_says_when_and_how_it_went() {
        assert_eq!(
            words(&place(), 1.5, &interval(1000)),
            "udp 64 B  1.5-2.0 s  2.00 k/s  p50 1.00 µs  p99 1.00 µs  lost 2"
        );
    }

    #[test]
    fn what_so_few_cannot_carry_is_null() {
        let line = json(&place(), 0.0, &interval(100));
        assert_eq!(
            (&line["event"], &line["arm"], &line["round"]),
            (&json!("interval"), &json!(1), &json!(3))
        );
        assert_eq!((&line["p99_ns"], &line["rate_per_s"]), (&Value::Null, &json!(200.0)));
        assert!(line["p50_ns"].is_f64());
    }
}
