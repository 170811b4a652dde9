//! What the exit code is to say.

use anyhow::Result;
use humantime::format_duration;
use nix::sys::signal::Signal;
use sockkit_core::{Error, ErrorKind};
use sockkit_load::Pinged;

use super::watch::End;
use crate::cli::PingArgs;
use crate::exit::{Interrupted, Mismatch};
use crate::render::figures::percent;

/// How it went, the worst first: the peer broke off, said something wrong, or nothing; then a signal that is to take its
/// course; then too many losses.
pub(super) fn verdict(url: &str, args: &PingArgs, pinged: Pinged, end: End) -> Result<()> {
    let Pinged { books, failure, elapsed, out_of_step, .. } = pinged;
    if out_of_step {
        let what = books.first_wrong().map_or_else(|| "more came than was sent".to_owned(), str::to_owned);
        let why = "this is no echo server, or one that has lost its place";
        return Err(Mismatch(format!("wrong answer from {url}: {what} ({why})")).into());
    }
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    if let Some(wrong) = books.first_wrong() {
        return Err(Mismatch(format!("wrong answer from {url}: {wrong}")).into());
    }
    if let Some(signal) = end.signal.filter(|signal| *signal != Signal::SIGINT) {
        return Err(Interrupted(signal).into());
    }
    let counters = books.counters();
    if !books.any_reply() {
        return Err(match end.unreachable {
            Some(error) => error,
            None => {
                let waited = args.timeout.min(elapsed);
                // To the millisecond: the rest is how long it takes to wake up.
                let waited = std::time::Duration::from_millis(waited.as_millis() as u64);
                let why = match counters.sent {
                    0 if counters.refused > 0 => "nothing could be sent, the queue was full".to_owned(),
                    _ => format!("no reply within {}", format_duration(waited)),
                };
                Error::new(ErrorKind::TimedOut, "ping", url, why)
            }
        }
        .into());
    }
    let share = counters.lost as f64 / counters.sent.max(1) as f64;
    match args.max_loss.map(|percent| percent / 100.0) {
        Some(most) if share > most => {
            let (lost, most) = (percent(share), percent(most));
            Err(Mismatch(format!("{lost} of the messages to {url} were lost, more than {most}")).into())
        }
        _ => Ok(()),
    }
}
