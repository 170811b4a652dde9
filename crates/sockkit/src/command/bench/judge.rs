//! Whether one run kept a promise, and if not, why.
//!
//! Response times have the generator's own lateness in them. So a promise that was kept although the generator was late
//! was kept, and by more than it looks; one that was broken then says nothing of the peer.

use sockkit_load::Outcome;
use sockkit_stats::Histogram;

use crate::cli::{Figure, Promise, Term};
use crate::command::measure::Round;
use crate::render::figures;

/// The part of what was due that a peer has to answer in the time, less what was lost: what it does not, piles up.
const KEPT_UP: f64 = 0.99;

/// The part of what was due below which it is plain that the peer is overloaded, and nobody needs to look twice.
const PLAINLY_OVERLOADED: f64 = 0.9;

/// What a run says about a promise.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ruling {
    /// It was kept.
    Kept,
    /// It was not, and why. If it is `plain`, a second look would see the same.
    Broken { why: String, plain: bool },
    /// It was not, and it cannot be told by whom, because the generator did not keep its schedule.
    Generator(String),
    /// Nothing, because there were too few messages to tell.
    TooFew(String),
}

/// Looks at a run.
pub(super) fn judge(round: &Round, promise: &Promise) -> Ruling {
    let outcome = &round.outcome;
    let behind = overload(outcome).map(|(why, share)| {
        let plain = share < PLAINLY_OVERLOADED;
        Ruling::Broken { why, plain }
    });
    let rulings = promise.terms().iter().map(|&term| look(outcome, term));
    let ruling = behind.into_iter().chain(rulings).find(|ruling| *ruling != Ruling::Kept);
    match (ruling, round.saturation) {
        (Some(Ruling::Broken { .. }), Some(saturation)) => Ruling::Generator(saturation.to_string()),
        (ruling, _) => ruling.unwrap_or(Ruling::Kept),
    }
}

/// Whether the peer answered so much less than was due that it cannot have kept up; with the share that it answered.
pub(super) fn overload(outcome: &Outcome) -> Option<(String, f64)> {
    let due = outcome.scheduled as f64 * (1.0 - lost_share(outcome));
    let share = outcome.messages as f64 / due.max(1.0);
    // In a handful of messages the last one, which is answered a moment too late, is more than one in a hundred.
    let is_behind = share < KEPT_UP && outcome.messages as f64 + 2.0 < due;
    is_behind.then(|| {
        let (answered, scheduled) = (figures::count(outcome.messages), figures::count(outcome.scheduled));
        (format!("{answered} of {scheduled} messages that were due were answered in the time"), share)
    })
}

/// Messages that never came back, or could not even be sent, as a share of all.
pub(super) fn lost_share(outcome: &Outcome) -> f64 {
    let counters = &outcome.counters;
    let without_answer = counters.lost + counters.refused;
    without_answer as f64 / (counters.sent + counters.refused).max(1) as f64
}

fn look(outcome: &Outcome, term: Term) -> Ruling {
    let name = term.figure.name();
    let lost = lost_share(outcome);
    let count = outcome.response.count();
    let figure = match term.figure {
        Figure::Loss => 100.0 * lost,
        // What never came back is longer than any limit: of a promise for all, it breaks it.
        Figure::Max | Figure::Mean if lost > 0.0 => f64::INFINITY,
        Figure::Max => outcome.response.quantile_ns(1.0) as f64,
        Figure::Mean => outcome.response.mean_ns(),
        // And a promise for most is broken if it is more than those that it is not for.
        Figure::Quantile(quantile) if quantile >= 1.0 - lost => f64::INFINITY,
        Figure::Quantile(quantile) if count < needed(quantile) => {
            return Ruling::TooFew(format!("{count} messages cannot carry {name}"));
        }
        Figure::Quantile(quantile) => outcome.response.quantile_ns(quantile / (1.0 - lost)) as f64,
    };
    if count == 0 && term.figure != Figure::Loss {
        return Ruling::TooFew("no message was answered".to_owned());
    }
    if term.is_kept_by(figure) {
        return Ruling::Kept;
    }
    let why = match term.figure {
        Figure::Loss => format!("{} of the messages were lost", figures::percent(lost)),
        _ if figure.is_infinite() => format!("{} of the messages were lost", figures::percent(lost)),
        _ => format!("{name} was {}", figures::duration(figure)),
    };
    Ruling::Broken { why, plain: false }
}

/// How many messages it takes to tell a quantile.
pub(super) fn needed(quantile: f64) -> u64 {
    Histogram::needed(quantile)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sockkit_load::Usage;
    use sockkit_stats::result::{Counters, Options};

    use super::*;
    use crate::command::measure::Saturation;

    /// A second at 1000/s, all answered within `response_ns`.
    fn outcome(response_ns: u64, lost: u64) -> Outcome {
        let (mut response, mut lateness) = (Histogram::new(), Histogram::new());
        response.record_n(response_ns, 1000 - lost);
        lateness.record_n(1000, 1000);
        Outcome {
            address: "udp://127.0.0.1:7".to_owned(),
            elapsed: Duration::from_secs(1),
            messages: 1000 - lost,
            bytes: 0,
            counters: Counters { sent: 1000, received: Some(1000 - lost), lost, ..Counters::default() },
            response: response.clone(),
            service: Some(response),
            lateness: Some(lateness),
            scheduled: 1000,
            usage: Usage::default(),
            options: Options::default(),
            first_corruption: None,
            failure: None,
        }
    }

    fn ruling(outcome: &Outcome, promise: &str) -> Ruling {
        let round = Round { outcome: outcome.clone(), server: None, summary: None, saturation: None };
        judge(&round, &Promise::parse(promise).unwrap())
    }

    fn broken(why: &str) -> Ruling {
        Ruling::Broken { why: why.to_owned(), plain: false }
    }

    #[test]
    fn a_promise_is_kept_below_its_limit() {
        let millisecond = outcome(1_000_000, 0);
        assert_eq!(ruling(&millisecond, "p99<2ms,loss<=0%,mean<2ms,max<2ms"), Ruling::Kept);
        assert_eq!(ruling(&millisecond, "p50<2ms,p99<900us"), broken("p99 was 1.00 ms"));
    }

    #[test]
    fn what_was_lost_was_not_answered_in_time() {
        let lossy = outcome(1_000_000, 15);
        assert_eq!(ruling(&lossy, "p90<2ms"), Ruling::Kept);
        assert_eq!(ruling(&lossy, "p99<2ms"), broken("1.5 % of the messages were lost"));
        assert_eq!(ruling(&lossy, "max<2ms"), broken("1.5 % of the messages were lost"));
        assert_eq!(ruling(&lossy, "loss<1%"), broken("1.5 % of the messages were lost"));
        assert_eq!(ruling(&lossy, "loss<2%"), Ruling::Kept);
    }

    #[test]
    fn a_peer_that_falls_behind_has_broken_it_and_a_late_generator_has_not() {
        let mut behind = outcome(1_000_000, 0);
        behind.messages = 950;
        let why = "950 of 1,000 messages that were due were answered in the time";
        assert_eq!(ruling(&behind, "p99<2ms"), broken(why));
        behind.messages = 500;
        assert!(matches!(ruling(&behind, "p99<2ms"), Ruling::Broken { plain: true, .. }));
        let saturation = Saturation::Lateness { quantile: 0.5, lateness_ns: 1, response_ns: 2 };
        let late = Round { outcome: behind, server: None, summary: None, saturation: Some(saturation) };
        assert!(matches!(judge(&late, &Promise::parse("p99<2ms").unwrap()), Ruling::Generator(_)));
        let late = Round { outcome: outcome(1_000_000, 0), ..late };
        assert_eq!(judge(&late, &Promise::parse("p99<2ms").unwrap()), Ruling::Kept, "though it was late");
    }

    #[test]
    fn too_few_messages_are_no_answer() {
        assert_eq!(
            ruling(&outcome(1_000_000, 0), "p999<2ms"),
            Ruling::TooFew("1000 messages cannot carry p999".into())
        );
    }
}
