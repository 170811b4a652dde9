//! Whether it was the load generator that did not keep its schedule.
//!
//! In an open loop, response time counts from the scheduled send, so what the generator itself is late by is inside
//! every response. A tenth of the response at the same percentile is the error that is let pass: p50 is held against
//! p50 and p99 against p99, because a generator that is late now and then spoils the tail and not the median, and one
//! that is late by a microsecond each time spoils a median of five microseconds and no tail of a millisecond.
//!
//! A message that is due while the connection is full waits for the peer, and is no lateness of the generator. That is
//! how a peer that does not keep up makes responses grow, and they are there to show it. But a schedule that no
//! generator could have kept is none: if fewer than 99 % of what was due came to an end, and the generator would have
//! needed more processor time for all of it than there was, then the limit that was found is its own as well.

use std::fmt;
use std::time::Duration;

use sockkit_load::{Outcome, Workload};
use sockkit_stats::Histogram;

use crate::render::figures;

/// The part of the messages that were due that has to come to an end.
const COMPLETED_MIN: f64 = 0.99;

/// The part of a response that may be the generator's own lateness.
const LATENESS_MAX: f64 = 0.1;

/// How the generator failed its schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Saturation {
    /// It could not have come to all messages, at so much processor time for each.
    Capacity { completed: u64, scheduled: u64, each_ns: f64 },
    /// It came too late, at this quantile.
    Lateness { quantile: f64, lateness_ns: u64, response_ns: u64 },
}

impl Saturation {
    /// What happened, in words.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Capacity { completed, scheduled, each_ns } => format!(
                "{} of {} messages that were due came to an end, and at {} of processor time each the load generator \
                 could not have sent them all",
                figures::count(completed),
                figures::count(scheduled),
                figures::duration(each_ns),
            ),
            Self::Lateness { quantile, lateness_ns, response_ns } => format!(
                "the load generator itself was {} late at p{}, where the response time was {}",
                figures::duration(lateness_ns as f64),
                quantile * 100.0,
                figures::duration(response_ns as f64),
            ),
        }
    }
}

impl fmt::Display for Saturation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SATURATED: {}", self.reason())
    }
}

/// Whether the generator failed, and how; `None` too where there was no schedule.
pub(crate) fn saturation(outcome: &Outcome, workload: &Workload) -> Option<Saturation> {
    let lateness = outcome.lateness.as_ref()?;
    let at_quantile = [0.5, 0.99].into_iter().find_map(|quantile| {
        let at = |histogram: &Histogram| histogram.quantile_ns(quantile);
        let (lateness_ns, response_ns) = (at(lateness), at(&outcome.response));
        let too_late = outcome.response.count() > 0 && lateness_ns as f64 > response_ns as f64 * LATENESS_MAX;
        too_late.then_some(Saturation::Lateness { quantile, lateness_ns, response_ns })
    });
    beyond_capacity(outcome, workload).or(at_quantile)
}

fn beyond_capacity(outcome: &Outcome, workload: &Workload) -> Option<Saturation> {
    let completed = outcome.messages + outcome.counters.lost;
    let scheduled = outcome.scheduled;
    // Who spins uses all the time that there is, whatever there is to do.
    if completed as f64 >= scheduled as f64 * COMPLETED_MIN || completed == 0 || workload.spin {
        return None;
    }
    let each_ns = outcome.usage.cpu_ns as f64 / completed as f64;
    // A thread without a connection is not there.
    let threads = workload.threads.min(workload.connections.max(1));
    let there_was = outcome.elapsed.saturating_mul(u32::try_from(threads).unwrap_or(u32::MAX));
    let needed = Duration::try_from_secs_f64(each_ns * 1e-9 * scheduled as f64).unwrap_or(Duration::MAX);
    (needed > there_was).then_some(Saturation::Capacity { completed, scheduled, each_ns })
}

#[cfg(test)]
mod tests {
    use sockkit_load::{Arrivals, Pacing, Usage};
    use sockkit_stats::result::{Counters, Options};

    use super::super::Setup;
    use super::*;

    fn workload() -> Workload {
        Setup::for_tests(Pacing::Open { rate_per_s: 1000.0, arrivals: Arrivals::Constant }).workload().clone()
    }

    /// A second, 1000 messages due, each answered after 100 µs, each costs `each_ns`.
    fn outcome(completed: u64, lateness: &[(u64, u64)], each_ns: u64) -> Outcome {
        let (mut response, mut late) = (Histogram::new(), Histogram::new());
        response.record_n(100_000, completed);
        for &(lateness_ns, count) in lateness {
            late.record_n(lateness_ns, count);
        }
        Outcome {
            address: "tcp://127.0.0.1:7".to_owned(),
            elapsed: Duration::from_secs(1),
            messages: completed,
            bytes: 0,
            counters: Counters::default(),
            response: response.clone(),
            service: Some(response),
            lateness: Some(late),
            scheduled: 1000,
            usage: Usage { cpu_ns: completed * each_ns, ..Usage::default() },
            options: Options::default(),
            first_corruption: None,
            failure: None,
        }
    }

    #[test]
    fn a_tenth_of_the_response_is_let_pass_at_each_percentile() {
        let late = |lateness: &[(u64, u64)]| saturation(&outcome(1000, lateness, 1000), &workload());
        assert_eq!(late(&[(9_900, 1000)]), None);
        assert!(matches!(late(&[(10_200, 1000)]), Some(Saturation::Lateness { quantile: 0.5, .. })));
        assert!(matches!(
            late(&[(1_000, 980), (20_000, 20)]),
            Some(Saturation::Lateness { quantile: 0.99, .. })
        ));
        assert_eq!(late(&[(1_000, 995), (1_000_000, 5)]), None, "now and then is no matter");
    }

    #[test]
    fn a_peer_that_falls_behind_is_no_fault_of_the_generator() {
        assert_eq!(saturation(&outcome(500, &[(1000, 500)], 1_000), &workload()), None);
        // At 1.5 ms a message it could not have sent a thousand in a second.
        let beyond = outcome(500, &[(1000, 500)], 1_500_000);
        assert!(matches!(saturation(&beyond, &workload()), Some(Saturation::Capacity { .. })));
        let two = Workload { threads: 2, connections: 2, ..workload() };
        assert_eq!(saturation(&beyond, &two), None);
        let idle = Workload { connections: 1, ..two };
        assert!(saturation(&beyond, &idle).is_some(), "a thread without a connection does nothing");
        assert_eq!(saturation(&beyond, &Workload { spin: true, ..workload() }), None);
    }

    #[test]
    fn without_a_schedule_nobody_is_late() {
        let mut closed = outcome(10, &[], 1_000_000_000);
        closed.lateness = None;
        assert_eq!(saturation(&closed, &workload()), None);
    }
}
