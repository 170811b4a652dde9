//! `--max-rate-under`: the search for a rate, and the runs that confirm it.

use std::time::Duration;

use anyhow::{Error, Result};
use sockkit_core::{Deadline, ErrorKind};
use sockkit_load::{Arrivals, Outcome};

use super::confirm::{Confirmation, Step};
use super::judge::{self, Ruling, judge};
use super::notes;
use super::progress::in_seconds;
use super::runner::{Gathered, Measured, Numbered, Runner};
use super::search::{Found, Limit, Next, Search, TRIES_MAX};
use crate::cli::Promise;
use crate::command::measure::{Arm, Round};
use crate::exit::Mismatch;
use crate::render::figures;

/// The run in a closed loop from which the first guess comes.
const GUESS: Duration = Duration::from_millis(500);

/// A probe, unless the percentile takes more messages.
const PROBE: Duration = Duration::from_secs(1);

/// How long the load is on before a guess or a probe is measured.
const PROBE_WARMUP: Duration = Duration::from_millis(250);

/// Runs that confirm a rate, unless it is said how many.
const RUNS: u64 = 5;

/// Probes that a search takes as a rule.
const PROBES: u32 = 12;

/// How many times as long as a rule a search may take, unless it is said how long.
const LENIENCE: u32 = 5;

/// A search that has no sense to go on with.
enum Stop {
    /// All is to end.
    Ended,
    /// For this reason.
    Failed(Error),
}

/// A search for one arm.
pub(super) struct Hunt<'a> {
    pub(super) runner: &'a mut Runner,
    pub(super) numbered: &'a Numbered,
    pub(super) promise: &'a Promise,
    pub(super) arrivals: Arrivals,
    /// How long a rate is measured that is to be confirmed.
    pub(super) duration: Duration,
    pub(super) warmup: Duration,
    /// Runs that confirm it.
    pub(super) rounds: Option<u64>,
    /// How long runs are begun.
    pub(super) budget: Option<Duration>,
}

impl Hunt<'_> {
    pub(super) fn run(mut self) -> Measured {
        let end = Deadline::after(self.budget());
        self.say(&format!(
            "{}: the highest rate that keeps {}; this takes about {}, at the most {}",
            self.numbered.label,
            self.promise,
            in_seconds(self.time(PROBES, self.runs())),
            in_seconds(self.time_max()),
        ));
        let found = self.guess().and_then(|first| self.search(first, end));
        let failed = |failure| Measured { failure, ..Measured::default() };
        match found {
            Ok(Found::Rate { rate, above }) => self.confirm(rate, above.as_ref(), end),
            Ok(Found::None { lowest, why }) => {
                let (lowest, why) = (figures::rate(lowest), reason(&why));
                failed(Some(
                    Mismatch(format!("no rate was found that keeps {}: at {lowest} {why}", self.promise))
                        .into(),
                ))
            }
            Ok(Found::Nothing) | Err(Stop::Ended) => failed(None),
            Err(Stop::Failed(error)) => failed(Some(error)),
        }
    }

    /// Half of what one message at a time on each connection makes: a rate at which nothing should queue.
    fn guess(&mut self) -> Result<f64, Stop> {
        let setup = self.runner.setup.lasting(PROBE_WARMUP, GUESS);
        let numbered =
            Numbered { arm: Arm { depth: 1, ..self.numbered.arm.clone() }, ..self.numbered.clone() };
        let label = format!("{}  a first guess", self.numbered.label);
        let round = self.runner.round(&numbered, &setup, &label, None, None).and_then(Round::whole);
        if self.runner.watch.is_ended() {
            return Err(Stop::Ended);
        }
        let outcome = round.map_err(Stop::Failed)?.outcome;
        check(&outcome, setup.workload().mode)?;
        Ok(outcome.messages as f64 / outcome.elapsed.as_secs_f64() / 2.0)
    }

    fn search(&mut self, first: f64, end: Deadline) -> Result<Found, Stop> {
        let mut search = Search::from(first);
        loop {
            let rate = match search.next() {
                Next::Try(rate) => rate,
                Next::End(found) => return Ok(found),
            };
            if end.has_passed() {
                return Err(Stop::Failed(self.out_of_time(&searched(&search.so_far()))));
            }
            match self.probe(rate)? {
                Ruling::Kept => search.kept(rate),
                Ruling::Broken { why, plain } => search.broken(rate, Limit::Peer(why), plain),
                Ruling::Generator(why) => search.broken(rate, Limit::Generator(why), false),
                Ruling::TooFew(why) => {
                    let (rate, duration) = (figures::rate(rate), self.duration);
                    return match search.so_far() {
                        Found::Nothing => {
                            let why =
                                format!("at {rate} for {duration:?} {why}; a longer --duration is needed");
                            Err(Stop::Failed(Mismatch(why).into()))
                        }
                        found => Ok(found),
                    };
                }
            }
        }
    }

    /// A short run at a rate.
    fn probe(&mut self, rate: f64) -> Result<Ruling, Stop> {
        let duration = self.probe_time(rate);
        let setup = self.runner.setup.at_rate(rate, self.arrivals).lasting(PROBE_WARMUP, duration);
        let label = format!("{}  search: {}", self.numbered.label, figures::rate(rate));
        let round = self.runner.round(self.numbered, &setup, &label, None, None).and_then(Round::whole);
        if self.runner.watch.is_ended() {
            return Err(Stop::Ended);
        }
        let ruling = match round {
            Ok(round) => {
                check(&round.outcome, setup.workload().mode)?;
                let ruling = judge(&round, self.promise);
                self.say(&format!("  {}", account(rate, &round.outcome, &ruling)));
                ruling
            }
            // A peer that is loaded until it says nothing more has not kept anything.
            Err(error) if is_silence(&error) => Ruling::Broken { why: format!("{error:#}"), plain: true },
            Err(error) => return Err(Stop::Failed(error)),
        };
        Ok(ruling)
    }

    /// Whole runs at the rate that was found, or a little below.
    fn confirm(&mut self, found: f64, above: Option<&(f64, Limit)>, end: Deadline) -> Measured {
        let setup_at = |hunt: &Self, rate| {
            hunt.runner.setup.at_rate(rate, hunt.arrivals).lasting(hunt.warmup, hunt.duration)
        };
        let mut confirmation = Confirmation::of(found, self.runs());
        let mut setup = setup_at(self, found);
        let mut gathered = Gathered::new(&self.numbered.arm, &setup);
        let mut last_break = String::new();
        for number in 0..confirmation.runs_max() {
            if end.has_passed() {
                let so_far = half_confirmed(found, confirmation.rate(), &last_break);
                gathered.measured.failure = Some(self.out_of_time(&so_far));
                return gathered.finish();
            }
            let label = format!("{}  confirm: {}", self.numbered.label, figures::rate(confirmation.rate()));
            let left = self.time(0, confirmation.left());
            let round = self.runner.round(self.numbered, &setup, &label, Some(number), Some(left));
            let round = round.and_then(Round::whole);
            if self.runner.watch.is_ended() {
                return gathered.finish();
            }
            let kept = match round {
                Ok(round) => {
                    let ruling = judge(&round, self.promise);
                    self.say(&format!("  {}", account(confirmation.rate(), &round.outcome, &ruling)));
                    if !gathered.add(&round) {
                        return gathered.finish();
                    }
                    if let Some(why) = fault(&ruling) {
                        why.clone_into(&mut last_break);
                    }
                    ruling == Ruling::Kept
                }
                Err(error) if is_silence(&error) => {
                    last_break = format!("{error:#}");
                    false
                }
                Err(error) => {
                    gathered.measured.failure = Some(error);
                    return gathered.finish();
                }
            };
            match confirmation.tell(kept) {
                Step::Run(_) => {}
                Step::Lower(rate) => {
                    setup = setup_at(self, rate);
                    gathered = Gathered::new(&self.numbered.arm, &setup);
                }
                Step::Confirmed { rate, kept, runs } => {
                    let mut measured = gathered.finish();
                    measured.notes.insert(0, self.verdict(rate, kept, runs, above));
                    return measured;
                }
                Step::Failed { rate, kept, runs } => {
                    let mut measured = gathered.finish();
                    let why = format!(
                        "no rate was confirmed to keep {}: {} was found, but at {} only {kept} of {runs} runs kept it \
                         ({last_break})",
                        self.promise,
                        figures::rate(found),
                        figures::rate(rate),
                    );
                    measured.failure = Some(Mismatch(why).into());
                    return measured;
                }
            }
        }
        gathered.finish()
    }

    /// Why there is no result, with what there was when the time was over.
    fn out_of_time(&self, so_far: &str) -> Error {
        let (promise, budget) = (self.promise, in_seconds(self.budget()));
        let why = format!(
            "the search for a rate that keeps {promise} was given up after {budget} (--budget): {so_far}"
        );
        Mismatch(why).into()
    }

    /// What was found, in words.
    fn verdict(&self, rate: f64, kept: u64, runs: u64, above: Option<&(f64, Limit)>) -> String {
        let promise = self.promise;
        let found = format!("{} keeps {promise} in {kept} of {runs} runs", figures::rate(rate));
        match above {
            Some((above, Limit::Peer(why))) => {
                format!(
                    "{found}, and is the highest rate that was found to do so: at {} {why}",
                    figures::rate(*above)
                )
            }
            Some((above, Limit::Generator(why))) => format!(
                "{found}; the generator, not the peer, is the limit, so more may be possible: at {} {why}",
                figures::rate(*above)
            ),
            None => format!("{found}; more was not tried"),
        }
    }

    /// Long enough for the percentiles of the promise, if the duration allows it.
    fn probe_time(&self, rate: f64) -> Duration {
        // A tenth more, for what is answered too late or lost.
        let needed = 1.1 * judge::needed(self.promise.quantile_max()) as f64 / rate;
        let needed = Duration::try_from_secs_f64(needed).unwrap_or(Duration::MAX);
        needed.min(self.duration).max(PROBE.min(self.duration))
    }

    fn runs(&self) -> u64 {
        self.rounds.unwrap_or(RUNS)
    }

    /// How long runs are begun.
    fn budget(&self) -> Duration {
        self.budget.unwrap_or_else(|| self.time(PROBES, self.runs()).saturating_mul(LENIENCE))
    }

    /// What so many probes and runs take.
    fn time(&self, probes: u32, runs: u64) -> Duration {
        let runs = u32::try_from(runs).unwrap_or(u32::MAX);
        let probe = PROBE_WARMUP + PROBE.min(self.duration);
        let run = self.warmup.saturating_add(self.duration);
        probe.saturating_mul(probes).saturating_add(run.saturating_mul(runs))
    }

    /// The longest that it can take, if all goes as badly as it can. A run that has begun in time is finished.
    fn time_max(&self) -> Duration {
        // After each run, answers may be waited for.
        let wait = self.runner.setup.workload().timeout;
        let each = |warmup: Duration| warmup.saturating_add(self.duration).saturating_add(wait);
        let runs = u32::try_from(Confirmation::of(0.0, self.runs()).runs_max()).unwrap_or(u32::MAX);
        let all = each(PROBE_WARMUP)
            .saturating_mul(TRIES_MAX)
            .saturating_add(each(self.warmup).saturating_mul(runs));
        all.min(self.budget().saturating_add(each(self.warmup.max(PROBE_WARMUP))))
    }

    fn say(&self, line: &str) {
        self.runner.watch.say(line);
    }
}

/// Wrong bytes, or no answer at all, end a search.
fn check(outcome: &Outcome, mode: sockkit_load::Mode) -> Result<(), Stop> {
    notes::failure(outcome, mode).map_or(Ok(()), |error| Err(Stop::Failed(error)))
}

fn is_silence(error: &Error) -> bool {
    let kind = error.downcast_ref::<sockkit_core::Error>().map(sockkit_core::Error::kind);
    kind == Some(ErrorKind::TimedOut)
}

/// `52300 /s: kept; p50 18.2 µs, p99 30.1 µs`
fn account(rate: f64, outcome: &Outcome, ruling: &Ruling) -> String {
    let at = |quantile| {
        let estimate = outcome.response.estimate(quantile);
        figures::optional(estimate, |estimate| figures::duration(estimate.estimate))
    };
    let ruled = fault(ruling).unwrap_or("kept");
    format!("{}: {ruled}; p50 {}, p99 {}", figures::rate(rate), at(0.5), at(0.99))
}

/// What speaks against a rate.
fn fault(ruling: &Ruling) -> Option<&str> {
    match ruling {
        Ruling::Kept => None,
        Ruling::Broken { why, .. } | Ruling::Generator(why) | Ruling::TooFew(why) => Some(why),
    }
}

/// What a search has found by now.
fn searched(found: &Found) -> String {
    match found {
        Found::Rate { rate, .. } => format!("{} kept it, but was not confirmed", figures::rate(*rate)),
        Found::None { lowest, .. } => format!("not even {} kept it", figures::rate(*lowest)),
        Found::Nothing => "no rate was tried".to_owned(),
    }
}

/// How far it is with confirming what was found, or a rate below it; and what last spoke against one, if something has.
fn half_confirmed(found: f64, rate: f64, last_break: &str) -> String {
    let (found, rate) = (figures::rate(found), figures::rate(rate));
    let so_far = format!("{found} kept it in the search; {rate} was being confirmed");
    if last_break.is_empty() { so_far } else { format!("{so_far} ({last_break})") }
}

fn reason(limit: &Limit) -> String {
    match limit {
        Limit::Peer(why) => why.clone(),
        Limit::Generator(why) => format!("the generator, not the peer, is the limit: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_was_never_tried_is_not_said_to_keep_anything() {
        assert_eq!(
            half_confirmed(52_300.0, 52_300.0, ""),
            "52.3 k/s kept it in the search; 52.3 k/s was being confirmed"
        );
        assert_eq!(
            half_confirmed(52_300.0, 49_700.0, "p99 was 3 ms"),
            "52.3 k/s kept it in the search; 49.7 k/s was being confirmed (p99 was 3 ms)"
        );
    }
}
