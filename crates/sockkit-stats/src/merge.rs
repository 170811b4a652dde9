//! Results of several hosts that loaded the same thing side by side, as one.
//!
//! Percentiles cannot be averaged: the mean of two p99s is the p99 of nothing. Their histograms can be added, exactly, and
//! then the percentiles be read from the sum. What is assumed, and cannot be seen from the documents, is that the hosts
//! measured at the same time; then their rates add up, and each of them lasted about as long as the whole. The same is
//! not a way to pool runs that were made one after the other: for that, run more rounds.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;

use crate::Histogram;
use crate::result::{Arm, Cost, Counters, Latency, Spread};

/// Several results as one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// Each arm once, in the order in which they first occur.
    pub arms: Vec<Arm>,
    /// What a reader should know, each one sentence.
    pub warnings: Vec<String>,
}

/// A result that cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeError {
    target: String,
    cause: String,
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the histogram of arm {}: {}", self.target, self.cause)
    }
}

impl Error for MergeError {}

/// Merges the arms of several results: those with the same target, size, connections, depth and mode become one. Where a
/// result has the same arm several times, the first is merged with the first of the others, and so on.
///
/// An arm of which there is only one stays as it is. Of the others, histograms, counters and rates are added, and
/// percentiles read from the histograms, without intervals. Costs are averaged by messages. `connections` stays what it
/// was on each host, `seconds` is the longest of them, `rounds` the sum. What was of one host only is dropped: `samples`,
/// `control` and `intervals`. A figure that one of them lacks is null.
///
/// # Errors
/// If a histogram cannot be read.
pub fn merge(results: &[&[Arm]]) -> Result<Merged, MergeError> {
    let mut merged = Merged::default();
    for group in groups(results) {
        if group.len() < results.len() {
            let (target, count) = (&group[0].target, group.len());
            merged.warnings.push(format!("{target} is in {count} of {} results only", results.len()));
        }
        let arm = if group.len() == 1 { group[0].clone() } else { one_of(&group, &mut merged.warnings)? };
        merged.arms.push(arm);
    }
    Ok(merged)
}

/// Arms of the same thing, one of each result, in the order in which they first occur.
fn groups<'a>(results: &[&'a [Arm]]) -> Vec<Vec<&'a Arm>> {
    let mut groups: Vec<Vec<&Arm>> = Vec::new();
    let mut places = HashMap::new();
    for result in results {
        // Which of the arms of a result that are the same it is.
        let mut times: HashMap<_, usize> = HashMap::new();
        for arm in *result {
            let time = times.entry(arm.identity()).or_default();
            let place = *places.entry((arm.identity(), *time)).or_insert(groups.len());
            *time += 1;
            match groups.get_mut(place) {
                Some(group) => group.push(arm),
                None => groups.push(vec![arm]),
            }
        }
    }
    groups
}

/// One arm of several, two at least.
fn one_of(group: &[&Arm], warnings: &mut Vec<String>) -> Result<Arm, MergeError> {
    let first = group[0];
    let mut warn = |what: &str| warnings.push(format!("{}: {what}", first.target));
    if group.iter().any(|arm| arm.options != first.options) {
        warn("the socket options differ between the results; those of the first are shown");
    }
    if group.iter().any(|arm| arm.pacing != first.pacing) {
        warn("the pacing differs between the results; that of the first is shown");
    }
    let response = added(group, |arm| arm.histogram.as_ref())?;
    if response.is_none() {
        warn("a result has no histogram of its round trips, so there are no percentiles of all");
    }
    let service = added(group, |arm| arm.service_histogram.as_ref())?;
    let lateness = added(group, |arm| arm.lateness_histogram.as_ref())?;
    let saturated = group.iter().any(|arm| arm.saturated);
    let read = |histogram: &Option<Histogram>| histogram.as_ref().map(Histogram::latency_of_one_run);
    let text = |histogram: &Option<Histogram>| histogram.as_ref().map(Histogram::to_base64);
    Ok(Arm {
        rounds: sum(group, |arm| arm.rounds),
        seconds: group.iter().map(|arm| arm.seconds).fold(0.0, f64::max),
        // What holds for all is the least of them, and nothing where one does not say.
        verify: group.iter().map(|arm| arm.verify).min().flatten(),
        saturated,
        saturation: group.iter().find_map(|arm| arm.saturation.clone()),
        rtt_ns: if saturated { Latency::default() } else { read(&response).unwrap_or_default() },
        service_ns: read(&service).filter(|_| !saturated),
        lateness_ns: read(&lateness),
        spread: spread(group, response.as_ref()),
        rate_per_s: group.iter().map(|arm| arm.rate_per_s).sum(),
        bytes_per_s: group.iter().map(|arm| arm.bytes_per_s).sum(),
        cost: cost(group),
        intervals: Default::default(),
        counters: counters(group),
        histogram: text(&response),
        service_histogram: text(&service),
        lateness_histogram: text(&lateness),
        samples: Vec::new(),
        control: Vec::new(),
        ..first.clone()
    })
}

/// All histograms of a kind added up, `None` if one is missing.
fn added(group: &[&Arm], of: impl Fn(&Arm) -> Option<&String>) -> Result<Option<Histogram>, MergeError> {
    let mut sum = Histogram::new();
    for arm in group {
        let Some(text) = of(arm) else { return Ok(None) };
        let histogram =
            Histogram::from_base64(text).map_err(|cause| MergeError { target: arm.target.clone(), cause })?;
        sum.merge(&histogram);
    }
    Ok(Some(sum))
}

/// Jitter is of successive round trips, and those of one host do not succeed those of another: averaged by messages.
fn spread(group: &[&Arm], all: Option<&Histogram>) -> Option<Spread> {
    group.iter().all(|arm| arm.spread.is_some()).then(|| Spread {
        min_ns: all.and_then(Histogram::min_ns).map(|min| min as f64),
        stddev_ns: all.and_then(Histogram::stddev_ns),
        jitter_ns: by_messages(group, |arm| arm.spread?.jitter_ns),
        // Of these there is no histogram from which that of all could be made.
        response_ns: None,
    })
}

fn cost(group: &[&Arm]) -> Cost {
    Cost {
        client_cpu_ns: by_messages(group, |arm| arm.cost.client_cpu_ns),
        server_cpu_ns: by_messages(group, |arm| arm.cost.server_cpu_ns),
        cpu_ns: by_messages(group, |arm| arm.cost.cpu_ns),
        context_switches: by_messages(group, |arm| arm.cost.context_switches),
        client_syscalls: by_messages(group, |arm| arm.cost.client_syscalls),
        server_syscalls: by_messages(group, |arm| arm.cost.server_syscalls),
    }
}

/// The mean of a figure that is per message, `None` if one does not have it or no message was sent.
fn by_messages(group: &[&Arm], of: impl Fn(&Arm) -> Option<f64>) -> Option<f64> {
    let messages = sum(group, |arm| arm.counters.sent);
    let total: f64 =
        group.iter().map(|arm| Some(of(arm)? * arm.counters.sent as f64)).sum::<Option<f64>>()?;
    (messages > 0).then(|| total / messages as f64)
}

fn counters(group: &[&Arm]) -> Counters {
    let mut all = Counters::NONE;
    group.iter().for_each(|arm| all += arm.counters);
    all
}

/// A result from elsewhere may have any number in it, so the sum stops where numbers do.
fn sum(group: &[&Arm], of: fn(&Arm) -> u64) -> u64 {
    group.iter().map(|arm| of(arm)).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Options;
    use crate::result::example;

    fn arm(target: &str, latencies: &[u64], sent: u64, rate: f64) -> Arm {
        let mut histogram = Histogram::new();
        latencies.iter().for_each(|&latency| histogram.record(latency));
        Arm {
            histogram: Some(histogram.to_base64()),
            counters: Counters { sent, received: Some(sent), ..Counters::default() },
            cost: Cost { client_cpu_ns: Some(rate), ..Cost::default() },
            rate_per_s: Some(rate),
            ..example::arm(target)
        }
    }

    /// One host is fast and the other slow: the mean of their medians, 1500, is nobody's median.
    #[test]
    fn percentiles_come_from_the_sum_of_the_histograms() {
        let fast = arm("udp", &[1000; 900], 900, 90.0);
        let slow = arm("udp", &[2000; 100], 100, 10.0);
        let merged = merge(&[&[fast], &[slow]]).unwrap();
        assert_eq!((merged.arms.len(), merged.warnings.len()), (1, 0));
        let all = &merged.arms[0];
        assert_eq!(all.rtt_ns.p50, Some(crate::Estimate::bare(1000.0)));
        assert_eq!(all.rtt_ns.p99, Some(crate::Estimate::bare(2000.0)));
        assert_eq!(all.rtt_ns.p999, None, "a thousand do not carry it");
        assert_eq!(
            (all.rate_per_s, all.counters.sent, all.counters.received),
            (Some(100.0), 1000, Some(1000))
        );
        assert_eq!(all.cost.client_cpu_ns, Some(82.0), "900 messages at 90 and 100 at 10");
        assert_eq!(all.cost.cpu_ns, None, "not known of either");
        let sum = Histogram::from_base64(all.histogram.as_ref().unwrap()).unwrap();
        assert_eq!(sum.count(), 1000);
    }

    #[test]
    fn what_is_in_one_result_only_stays_and_is_told() {
        let merged = merge(&[&[arm("tcp", &[5; 10], 10, 1.0)], &[arm("udp", &[5; 10], 10, 1.0)]]).unwrap();
        let targets: Vec<_> = merged.arms.iter().map(|arm| &*arm.target).collect();
        assert_eq!(targets, ["tcp", "udp"]);
        assert_eq!(merged.warnings, ["tcp is in 1 of 2 results only", "udp is in 1 of 2 results only"]);
        assert_eq!(merged.arms[0], arm("tcp", &[5; 10], 10, 1.0));
    }

    #[test]
    fn the_same_arm_twice_in_a_result_is_two_arms() {
        let twice = [arm("tcp", &[5; 10], 1, 1.0), arm("tcp", &[50; 10], 2, 1.0)];
        let merged = merge(&[&twice, &twice, &twice]).unwrap();
        let sent: Vec<_> = merged.arms.iter().map(|arm| arm.counters.sent).collect();
        assert_eq!((sent, merged.warnings.len()), (vec![3, 6], 0));
    }

    #[test]
    fn what_one_lacks_is_null_and_what_differs_is_told() {
        let mut other = arm("tcp", &[5; 10], 10, 1.0);
        (other.histogram, other.rate_per_s) = (None, None);
        other.options = Options { nodelay: Some(true), ..Options::default() };
        other.pacing = "open loop, 10/s, constant".to_owned();
        let merged = merge(&[&[arm("tcp", &[5; 10], 10, 1.0)], &[other]]).unwrap();
        let all = &merged.arms[0];
        assert_eq!((all.rate_per_s, all.histogram.as_ref(), all.rtt_ns), (None, None, Latency::default()));
        assert_eq!(merged.warnings.len(), 3, "{:?}", merged.warnings);
    }

    #[test]
    fn a_generator_that_fell_behind_anywhere_withholds_percentiles_of_all() {
        let behind = Arm { saturated: true, ..arm("tcp", &[5; 1000], 10, 1.0) };
        let merged = merge(&[&[arm("tcp", &[5; 1000], 10, 1.0)], &[behind]]).unwrap();
        assert!(merged.arms[0].saturated);
        assert_eq!(merged.arms[0].rtt_ns, Latency::default());
    }

    #[test]
    fn a_histogram_that_is_none_is_an_error() {
        let broken = Arm { histogram: Some("?".to_owned()), ..example::arm("tcp") };
        let broken = [broken];
        let error = merge(&[&broken, &broken]).unwrap_err();
        assert!(error.to_string().starts_with("the histogram of arm tcp: not base64"), "{error}");
    }
}
