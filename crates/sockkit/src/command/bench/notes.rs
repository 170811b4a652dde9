//! What a reader should know of an arm before believing its figures, and which findings are failures.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Error;
use sockkit_core::transport::Form;
use sockkit_core::{ErrorKind, Session, Target};
use sockkit_load::{Outcome, Pacing};
use sockkit_stats::result::{self, Counters, Mode};

use super::judge;
use crate::command::info::Sysctls;
use crate::command::measure::{self, NOBODY_TELLS, Round};
use crate::exit::Mismatch;
use crate::render::figures;

/// The percentiles of a result, by name.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

/// How many datagrams wait for a Unix socket at most, unix(7).
const QUEUE_SETTING: &str = "net.unix.max_dgram_qlen";

/// From this share on a loss is worth a word.
const NOTABLE_LOSS: f64 = 0.01;

/// Who was too slow in a round, if anybody was.
pub(super) fn of_round(round: &Round, pacing: Pacing) -> Option<String> {
    let Pacing::Open { rate_per_s, .. } = pacing else { return None };
    if round.saturation.is_some() {
        // How, is in the arm.
        return Some("SATURATED: response and service times are withheld".to_owned());
    }
    let (why, _) = judge::overload(&round.outcome)?;
    let rate = figures::rate(rate_per_s);
    Some(format!(
        "the peer did not keep up with {rate}: {why}; response times grow with the length of the run"
    ))
}

/// What all rounds of an arm have in common. `answers` are those whose time was taken.
pub(super) fn of_arm(arm: &result::Arm, answers: u64) -> Vec<String> {
    let unknown = measure::nobody_tells(arm).then(|| NOBODY_TELLS.to_owned());
    let mut notes = Vec::from_iter(losses(arm).into_iter().chain(unknown).chain(short_queue(arm)));
    let withheld: Vec<_> = withheld(arm)
        .map(|(name, quantile)| format!("{name} (it takes {})", judge::needed(quantile)))
        .collect();
    if !withheld.is_empty() {
        let each = figures::count(answers / arm.rounds.max(1));
        notes.push(format!("{each} answers a round are too few for {}", withheld.join(" and ")));
    }
    notes
}

/// A queue of a Unix datagram socket that does not hold what is to be outstanding: the depth is never reached then.
fn short_queue(arm: &result::Arm) -> Option<String> {
    let is_unix_datagram = Target::from_str(arm.address.as_deref()?).is_ok_and(|target| {
        let traits = target.transport().traits();
        traits.form == Form::Path && traits.session == Session::Connectionless
    });
    let most = Sysctls::of_this_machine().number(QUEUE_SETTING).filter(|_| is_unix_datagram)?;
    let outstanding = arm.depth.saturating_mul(arm.connections);
    (outstanding > most).then(|| {
        format!(
            "the server's queue holds as many datagrams as {QUEUE_SETTING} ({most}) says and one more, fewer than \
             the {} that may be outstanding: the others wait to be sent",
            figures::count(outstanding)
        )
    })
}

/// Losses that make the round trips those of the survivors, or one way the rate that of what was only sent.
fn losses(arm: &result::Arm) -> Option<String> {
    let Counters { sent, lost, .. } = arm.counters;
    let share = lost as f64 / sent.max(1) as f64;
    (share >= NOTABLE_LOSS).then(|| {
        let (lost, sent) = (figures::count(lost), figures::count(sent));
        let what = match arm.mode {
            Mode::Send => "the rate is that of all that was sent",
            _ => "the round trips are those of the others",
        };
        format!("{lost} of {sent} messages were lost: {what}")
    })
}

/// How much there is of a round that was broken off.
pub(super) fn broken_off(outcome: &Outcome, duration: Duration) -> Option<String> {
    outcome.failure.as_ref()?;
    let [after, of] = [outcome.elapsed, duration].map(|time| figures::duration(time.as_nanos() as f64));
    Some(format!("broken off after {after} of {of}: what was measured until then"))
}

/// Why a round is a failure, if it is one: it was broken off, or had wrong bytes, or no answer at all.
pub(super) fn failure(outcome: &Outcome, mode: Mode) -> Option<Error> {
    if let Some(error) = &outcome.failure {
        return Some(error.clone().into());
    }
    let Counters { sent, received, corrupted, .. } = outcome.counters;
    if corrupted > 0 || outcome.first_corruption.is_some() {
        let what = outcome.first_corruption.as_deref().unwrap_or("an answer has wrong bytes");
        return Some(Mismatch(format!("wrong answer from {}: {what}", outcome.address)).into());
    }
    let is_asked = matches!(mode, Mode::Echo | Mode::Connect) && sent > 0;
    let is_silent = is_asked && (received == Some(0) || outcome.messages == 0);
    is_silent.then(|| {
        let why = match received {
            Some(0) => format!("none of {} messages was answered", figures::count(sent)),
            _ => "no answer came in the measured time".to_owned(),
        };
        sockkit_core::Error::new(ErrorKind::TimedOut, "measure", &outcome.address, why).into()
    })
}

/// Whether an arm has lost more than was allowed, in percent.
pub(super) fn too_lossy(arm: &result::Arm, max: f64) -> Option<Error> {
    let Counters { sent, lost, .. } = arm.counters;
    let percent = 100.0 * lost as f64 / sent.max(1) as f64;
    let (lost, sent) = (figures::count(lost), figures::count(sent));
    (percent > max)
        .then(|| Mismatch(format!("{lost} of {sent} messages were lost, which is more than {max} %")).into())
}

/// Percentiles that so few messages cannot carry.
fn withheld(arm: &result::Arm) -> impl Iterator<Item = (&'static str, f64)> {
    let latency = arm.rtt_ns;
    let told = [latency.p50, latency.p90, latency.p99, latency.p999].map(|told| told.is_some());
    let expected = !arm.saturated && !matches!(arm.mode, Mode::Send | Mode::Receive);
    let all = QUANTILES.into_iter().zip(told);
    all.filter(move |(_, told)| expected && !told).map(|(quantile, _)| quantile)
}
