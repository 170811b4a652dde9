//! Taking one run: as often as it needs to be undisturbed, within bounds, and only as long as nobody wants the end.

use std::cell::Cell;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Result;
use sockkit_core::transport::Form;
use sockkit_load::Observer;

use super::disturbance::{Meters, Reading, Whose};
use super::order::Run;
use super::pace::Spent;
use super::tally::{Taken, Tally};
use super::timing::Budget;
use crate::command::measure::{Arm, Round, Setup, round};
use crate::command::signals::Signals;
use crate::exit::Interrupted;
use crate::render::figures;

/// How often a disturbed run is repeated before it is kept as it is.
const REPEATS_MAX: u64 = 2;

/// A run with the readings at both ends of its measured time, if it came that far.
type Metered = (Round, Option<(Reading, Reading)>);

/// Takes runs.
#[derive(Debug)]
pub(super) struct Taker<'a> {
    arms: &'a [Arm],
    signals: &'a Signals,
    meters: Meters,
    start: Instant,
    budget: Budget,
    /// All runs that were to count, with their repeats.
    spent: Spent,
    /// Time that went into runs that were repeated.
    repeat_time: Duration,
    interrupted: Cell<Option<Interrupted>>,
}

impl<'a> Taker<'a> {
    pub(super) fn new(arms: &'a [Arm], signals: &'a Signals, start: Instant, budget: Budget) -> Self {
        let (meters, interrupted) = (Meters::new(), Cell::new(None));
        let (spent, repeat_time) = (Spent::default(), Duration::ZERO);
        Self { arms, signals, meters, start, budget, spent, repeat_time, interrupted }
    }

    /// Time since the beginning of the comparison.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The signal that ended it, if one has.
    pub(super) fn interrupted(&self) -> Option<Interrupted> {
        if self.interrupted.get().is_none() {
            self.interrupted.set(self.signals.check().err());
        }
        self.interrupted.get()
    }

    /// All runs that were to count so far, with their repeats.
    pub(super) fn spent(&self) -> Spent {
        self.spent
    }

    /// Whether disturbed runs were kept because a third of the budget had gone into repeats.
    pub(super) fn has_given_up_repeating(&self) -> bool {
        !self.budget.has_room_for_repeats(self.repeat_time)
    }

    /// Takes a run that nobody records. `None` if it is to end now.
    pub(super) fn warm(&self, arm: usize, setup: &Setup, seed: u64) -> Result<Option<()>> {
        Ok(self.once(arm, setup, seed)?.map(drop))
    }

    /// Takes a run that counts. `None` if it is to end now.
    pub(super) fn take(
        &mut self,
        run: Run,
        setup: &Setup,
        seed: u64,
        tally: &mut Tally,
    ) -> Result<Option<Taken>> {
        let mut repeats = 0;
        loop {
            let begun = Instant::now();
            let Some((round, readings)) = self.once(run.arm, setup, seed)? else { return Ok(None) };
            let whose = whose(&self.arms[run.arm], &round.outcome.address);
            let disturbance =
                readings.and_then(|(begin, end)| self.meters.disturbance((&begin, &end), &round, whose));
            let took = begun.elapsed();
            self.spent = Spent { runs: self.spent.runs + 1, time: self.spent.time + took };
            match disturbance {
                Some(disturbance) if repeats < REPEATS_MAX && !self.has_given_up_repeating() => {
                    tally.count_repeat(disturbance);
                    self.repeat_time += took;
                    repeats += 1;
                }
                _ => {
                    return Ok(Some(Taken { run, round, repeats, is_disturbed: disturbance.is_some() }));
                }
            }
        }
    }

    /// One run, with the meters at both ends. `None` if it is to end now: what was measured by then is half a run.
    fn once(&self, arm: usize, setup: &Setup, seed: u64) -> Result<Option<Metered>> {
        let arm = &self.arms[arm];
        let mut watch = Watch { taker: self, begin: None, end: None };
        let result = round(arm, setup, seed, &mut watch).and_then(Round::whole);
        let readings = watch.begin.zip(watch.end);
        // Whoever interrupts us may have interrupted the server too, and then the run fails because of that.
        if self.is_to_end() {
            return Ok(None);
        }
        Ok(Some((result.map_err(|error| of_arm(error, arm))?, readings)))
    }

    fn is_to_end(&self) -> bool {
        self.interrupted().is_some() || self.elapsed() > self.budget.limit()
    }
}

/// The error of a run with the arm's load, and with its target unless the error has named it.
fn of_arm(error: anyhow::Error, Arm { subject, size, connections, depth }: &Arm) -> anyhow::Error {
    let [size, connections] =
        [figures::size(*size as u64), figures::several(*connections as u64, "connection")];
    let target = match format!("{error:#}").contains(&subject.typed) {
        true => String::new(),
        false => format!("{}, ", subject.typed),
    };
    error.context(format!("{target}{size}, {connections}, depth {depth}"))
}

/// Reads the meters at both ends of the measured time.
struct Watch<'a> {
    taker: &'a Taker<'a>,
    begin: Option<Reading>,
    end: Option<Reading>,
}

impl Observer for Watch<'_> {
    fn begin(&mut self) {
        self.begin = Some(self.taker.meters.read());
    }

    fn end(&mut self) {
        self.end = Some(self.taker.meters.read());
    }

    fn is_cancelled(&self) -> bool {
        self.taker.is_to_end()
    }
}

/// Whose the server of an arm is, which was reached at `address`.
fn whose(arm: &Arm, address: &str) -> Whose {
    match (&arm.subject.target, arm.subject.transport.traits().form) {
        (None, _) => Whose::Ours,
        (Some(_), Form::Path) => Whose::SomebodysHere,
        (Some(_), Form::HostPort) if is_here(address) => Whose::SomebodysHere,
        (Some(_), Form::HostPort) => Whose::Elsewhere,
    }
}

/// Whether the host of a URL is this machine: only its own addresses can be bound.
fn is_here(url: &str) -> bool {
    let host = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once(':')).map(|(host, _)| host);
    let address =
        host.and_then(|host| host.trim_matches(['[', ']']).split('%').next()?.parse::<IpAddr>().ok());
    address.is_some_and(|address| UdpSocket::bind((address, 0)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_told_from_others() {
        assert!(is_here("tcp://127.0.0.1:7") && is_here("udp://127.1.2.3:7"));
        // TEST-NET-1 and the documentation prefix, which nobody has.
        assert!(!is_here("tcp://192.0.2.1:7") && !is_here("udp://[2001:db8::1]:7"));
        assert!(!is_here("unix:/tmp/s") && !is_here(""));
    }
}
