//! Whether it was the load generator that did not keep its schedule.
//!
//! In an open loop, response time counts from the scheduled send, so what the generator itself is late by is inside
//! every response. A tenth of the response at the same percentile is the error that is let pass: p50 is held against
//! p50 and p99 against p99, because a generator that is late now and then spoils the tail and not the median, and one
//! that is late by a microsecond each time spoils a median of five microseconds and no tail of a millisecond. A
//! generator that did not come to send at all has measured another load than the one that was asked for.
//!
//! A peer that does not keep up is another matter: it makes responses grow, and that is what they are there to show.

use std::fmt;
use std::time::Duration;

use sockkit_load::Outcome;
use sockkit_stats::Histogram;

/// The part of the scheduled messages to which the generator has to come in time.
const ATTEMPTED_MIN: f64 = 0.99;

/// The part of a response that may be the generator's own lateness.
const LATENESS_MAX: f64 = 0.1;

/// How the generator failed its schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Saturation {
    /// It came to too few messages.
    Attempts { attempted: u64, scheduled: u64 },
    /// It came too late, at this quantile.
    Lateness { quantile: f64, lateness_ns: u64, response_ns: u64 },
}

impl fmt::Display for Saturation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Attempts { attempted, scheduled } => {
                let percent = 100.0 * attempted as f64 / scheduled as f64;
                write!(
                    f,
                    "SATURATED: the load generator came to only {attempted} of the {scheduled} messages that were \
                     due ({percent:.1} %)"
                )
            }
            Self::Lateness { quantile, lateness_ns, response_ns } => {
                let percent = 100.0 * lateness_ns as f64 / response_ns.max(1) as f64;
                write!(
                    f,
                    "SATURATED: the load generator was itself {:?} late at p{}, which is {percent:.0} % of the \
                     response there ({:?})",
                    Duration::from_nanos(lateness_ns),
                    quantile * 100.0,
                    Duration::from_nanos(response_ns),
                )
            }
        }
    }
}

/// Whether the generator failed, and how; `None` too where there was no schedule.
pub(crate) fn saturation(outcome: &Outcome) -> Option<Saturation> {
    let lateness = outcome.lateness.as_ref()?;
    let (attempted, scheduled) = (lateness.count(), outcome.scheduled);
    if (attempted as f64) < scheduled as f64 * ATTEMPTED_MIN {
        return Some(Saturation::Attempts { attempted, scheduled });
    }
    [0.5, 0.99].into_iter().find_map(|quantile| {
        let at = |histogram: &Histogram| histogram.quantile_ns(quantile);
        let (lateness_ns, response_ns) = (at(lateness), at(&outcome.response));
        let too_late = outcome.response.count() > 0 && lateness_ns as f64 > response_ns as f64 * LATENESS_MAX;
        too_late.then_some(Saturation::Lateness { quantile, lateness_ns, response_ns })
    })
}
