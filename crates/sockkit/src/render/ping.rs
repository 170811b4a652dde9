//! What `ping` prints for people, in the way of ping(8).

use std::time::Duration;

use sockkit_load::{Books, Reply, RoundTrips, Verdict};
use sockkit_stats::Histogram;

use super::figures;

/// The percentiles that are shown.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// Lateness that is shorter is nobody's business, however short the round trips are.
const LATENESS_NOTABLE_NS: f64 = 1e6;

/// The first line.
pub(crate) fn opening(url: &str, size: usize) -> String {
    format!("PING {url} {} of data", figures::bytes(size as u64))
}

/// A line for an answer.
pub(crate) fn reply(url: &str, reply: &Reply) -> String {
    let number = reply.number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let time = reply.rtt_ns.map_or_else(String::new, |ns| format!(" time={} ms", millis(ns as f64)));
    let mut line = format!("{} from {url}: seq={number}{time}", figures::bytes(reply.bytes as u64));
    match &reply.verdict {
        Verdict::Intact { late, reordered } => {
            for (is_so, word) in [(late, " (late)"), (reordered, " (reordered)")] {
                line.push_str(if *is_so { word } else { "" });
            }
        }
        Verdict::Duplicate => line.push_str(" (duplicate)"),
        Verdict::Corrupted(what) => line.push_str(&format!(" (corrupted: {what})")),
    }
    line
}

/// A line for a message that the network says did not arrive.
pub(crate) fn unreachable(url: &str, number: Option<u64>, why: &str) -> String {
    match number {
        Some(number) => format!("from {url}: {why} (seq={number})"),
        None => format!("from {url}: {why}"),
    }
}

/// The figures at the end, in several lines.
pub(crate) fn summary(url: &str, books: &Books, elapsed: Duration, skipped: u64) -> String {
    let mut lines = vec![format!("\n--- {url} ping statistics ---"), counters(books, elapsed)];
    let round_trips = books.round_trips();
    if round_trips.min_ns().is_some() {
        lines.push(format!("rtt {}{}", spread(round_trips), needs(round_trips)));
    }
    if let Some(jitter_ns) = books.jitter_ns() {
        lines.push(format!("jitter = {} ms", millis(jitter_ns)));
    }
    if is_late(books)
        && let (Some(response), Some(lateness)) = (books.response(), books.lateness())
    {
        let [mean, most] = [lateness.mean_ns(), lateness.max_ns()].map(|ns| figures::optional(ns, millis));
        lines.push(format!(
            "sent late by {mean} ms on average, {most} at most; counted from when each should have been sent:"
        ));
        lines.push(format!("rtt {}", spread(response)));
    }
    if skipped > 0 {
        lines.push(format!("{skipped} more were due while sockkit was stopped, and were not sent"));
    }
    lines.join("\n")
}

/// The figures so far, in one line.
pub(crate) fn interim(books: &Books) -> String {
    let counters = books.counters();
    let received = counters.received.unwrap_or(0);
    let [min, p50, max] = [
        books.round_trips().min_ns(),
        books.round_trips().histogram().estimate(0.5).map(|p50| p50.estimate),
        books.round_trips().max_ns(),
    ]
    .map(|figure| figures::optional(figure, millis));
    format!("{received} of {} received, rtt min/p50/max = {min}/{p50}/{max} ms", counters.sent)
}

/// Whether our own lateness matters, so that it has to be told which send is counted from.
pub(crate) fn is_late(books: &Books) -> bool {
    let times = books.round_trips();
    let p50 = times.histogram().estimate(0.5).map(|p50| p50.estimate);
    let late = books.lateness().and_then(RoundTrips::mean_ns).zip(p50.or(times.mean_ns()));
    late.is_some_and(|(mean_ns, rtt_ns)| lateness_matters(mean_ns, rtt_ns))
}

/// The rule: on average more than a millisecond and more than a tenth of the typical round trip. At a slow pace any
/// machine wakes up some tenths of a millisecond late, which nobody who pings has asked about.
pub(crate) fn lateness_matters(mean_ns: f64, rtt_ns: f64) -> bool {
    mean_ns > LATENESS_NOTABLE_NS && mean_ns > rtt_ns / 10.0
}

fn counters(books: &Books, elapsed: Duration) -> String {
    let counters = books.counters();
    let lost = match counters.sent {
        0 => "0 lost".to_owned(),
        sent => format!("{} lost ({})", counters.lost, figures::percent(counters.lost as f64 / sent as f64)),
    };
    format!(
        "{} sent, {} received, {lost}, {} duplicated, {} reordered, {} late, {} corrupted, \
         {} refused by a full queue, in {}",
        counters.sent,
        counters.received.unwrap_or(0),
        counters.duplicated,
        counters.reordered,
        counters.late,
        counters.corrupted,
        counters.refused,
        figures::duration(elapsed.as_nanos() as f64),
    )
}

/// `min/mean/p50/p90/p99/max/stddev = 0.050/0.061/0.060/-/-/0.093/0.010 ms`.
fn spread(times: &RoundTrips) -> String {
    let quantile = |quantile| times.histogram().estimate(quantile).map(|estimate| estimate.estimate);
    let [p50, p90, p99] = QUANTILES.map(|(_, share)| quantile(share));
    let figures = [times.min_ns(), times.mean_ns(), p50, p90, p99, times.max_ns(), times.stddev_ns()]
        .map(|figure| figures::optional(figure, millis));
    format!("min/mean/p50/p90/p99/max/stddev = {} ms", figures.join("/"))
}

/// How many answers the percentiles need that so few cannot carry.
fn needs(times: &RoundTrips) -> String {
    let withheld = QUANTILES.iter().filter(|(_, share)| times.histogram().estimate(*share).is_none());
    let needs: Vec<_> =
        withheld.map(|(name, share)| format!("{name} needs {}", Histogram::needed(*share))).collect();
    match needs.is_empty() {
        true => String::new(),
        false => format!(" ({} replies)", needs.join(", ")),
    }
}

/// Milliseconds as ping(8) has them, to the microsecond; below ten of them, as only a machine with itself has them, to
/// a tenth.
fn millis(ns: f64) -> String {
    let decimals = if ns < 9_950.0 && ns > 0.0 { 4 } else { 3 };
    format!("{:.decimals$}", ns / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "udp://127.0.0.1:7";

    #[test]
    fn a_reply_reads_as_that_of_ping() {
        let line = |rtt_ns, verdict| {
            reply(URL, &Reply { number: Some(3), bytes: 64, rtt_ns: Some(rtt_ns), verdict })
        };
        let intact = |late, reordered| Verdict::Intact { late, reordered };
        let start = "64 bytes from udp://127.0.0.1:7: seq=3 time=";
        assert_eq!(line(1_093_400, intact(false, false)), format!("{start}1.093 ms"));
        assert_eq!(line(2_000_000_000, intact(true, true)), format!("{start}2000.000 ms (late) (reordered)"));
        assert_eq!(line(93_412, Verdict::Duplicate), format!("{start}0.093 ms (duplicate)"));
        let corrupted = Reply {
            number: None,
            bytes: 1,
            rtt_ns: None,
            verdict: Verdict::Corrupted("1 bytes came back of 64".into()),
        };
        assert_eq!(
            reply(URL, &corrupted),
            "1 byte from udp://127.0.0.1:7: seq=? (corrupted: 1 bytes came back of 64)"
        );
    }

    #[test]
    fn lateness_matters_that_is_long_and_beside_the_round_trip_too() {
        let matters = [(0.9e6, 0.1e6), (1.1e6, 0.1e6), (1.1e6, 10.9e6), (1.1e6, 11.1e6)];
        assert_eq!(matters.map(|(mean, rtt)| lateness_matters(mean, rtt)), [false, true, true, false]);
    }

    #[test]
    fn short_times_keep_two_digits() {
        let shown = [0.0, 5_123.0, 9_949.0, 9_951.0, 51_234.0, 123_456_789.0].map(millis);
        assert_eq!(shown, ["0.000", "0.0051", "0.0099", "0.010", "0.051", "123.457"]);
    }
}
