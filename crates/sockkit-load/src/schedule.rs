//! When the messages of one connection are due.
//!
//! Each connection has a schedule of its own, so a backlog takes no memory: what is due next is one number, and it waits
//! in the past for as long as the peer keeps the connection full. Connections with a constant rate are offset against
//! each other so that all together are even; independent Poisson processes add up to one.

use fastrand::Rng;

use crate::message::mix;
use crate::workload::{Arrivals, Pacing, Workload};

/// The messages of one connection, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    kind: Kind,
    due_ns: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Always due: the answers set the pace.
    Closed,
    /// Message `index` of this connection is due so long after the start: multiplied out each time, so that no error
    /// adds up.
    Constant { start_ns: u64, offset_ns: f64, interval_ns: f64, index: u64 },
    /// Intervals are drawn from the exponential distribution.
    Poisson { start_ns: u64, elapsed_ns: f64, interval_ns: f64, random: Rng },
}

impl Schedule {
    /// The schedule of a connection, counted from a start that [`Schedule::start`] sets.
    pub(crate) fn new(workload: &Workload, connection: u64) -> Self {
        let Pacing::Open { rate_per_s, arrivals } = workload.pacing else {
            return Self { kind: Kind::Closed, due_ns: 0 };
        };
        let connections = workload.connections.max(1) as f64;
        let interval_ns = connections * 1e9 / rate_per_s;
        match arrivals {
            Arrivals::Constant => {
                let offset_ns = connection as f64 * 1e9 / rate_per_s;
                let kind = Kind::Constant { start_ns: 0, offset_ns, interval_ns, index: 0 };
                Self { kind, due_ns: offset_ns as u64 }
            }
            Arrivals::Poisson => {
                let random = Rng::with_seed(mix(workload.seed ^ mix(!connection)));
                let kind = Kind::Poisson { start_ns: 0, elapsed_ns: 0.0, interval_ns, random };
                let mut this = Self { kind, due_ns: 0 };
                this.advance();
                this
            }
        }
    }

    /// The load starts at this moment.
    pub(crate) fn start(&mut self, moment_ns: u64) {
        match &mut self.kind {
            Kind::Closed => return,
            Kind::Constant { start_ns, .. } | Kind::Poisson { start_ns, .. } => *start_ns = moment_ns,
        }
        self.due_ns = self.due_ns.saturating_add(moment_ns);
    }

    /// When the next message is due; 0 if it always is.
    pub(crate) fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// The next message has been taken.
    pub(crate) fn advance(&mut self) {
        match &mut self.kind {
            Kind::Closed => {}
            Kind::Constant { start_ns, offset_ns, interval_ns, index } => {
                *index += 1;
                let elapsed_ns = *offset_ns + *index as f64 * *interval_ns;
                self.due_ns = start_ns.saturating_add(elapsed_ns as u64);
            }
            Kind::Poisson { start_ns, elapsed_ns, interval_ns, random } => {
                // 1 - f64() is never 0, of which there is no logarithm.
                *elapsed_ns -= (1.0 - random.f64()).ln() * *interval_ns;
                self.due_ns = start_ns.saturating_add(*elapsed_ns as u64);
            }
        }
    }

    /// How many of those that have not been taken are due from one moment until before another. Not counted one by one: there
    /// may be billions. Of a Poisson process it is the expected number.
    pub(crate) fn due_between(&self, from_ns: u64, to_ns: u64) -> u64 {
        let before =
            |moment_ns: u64, interval_ns: f64| moment_ns.saturating_sub(self.due_ns) as f64 / interval_ns;
        let count = match &self.kind {
            Kind::Closed => 0.0,
            Kind::Constant { interval_ns, .. } => {
                before(to_ns, *interval_ns).ceil() - before(from_ns, *interval_ns).ceil()
            }
            Kind::Poisson { interval_ns, .. } => {
                (before(to_ns, *interval_ns) - before(from_ns, *interval_ns)).round()
            }
        };
        count.max(0.0) as u64
    }

    /// Whether messages are due at times of their own.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.kind, Kind::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::workload;

    fn dues(workload: &Workload, start_ns: u64, until_ns: u64) -> Vec<u64> {
        let mut all = Vec::new();
        for connection in 0..workload.connections as u64 {
            let mut schedule = Schedule::new(workload, connection);
            schedule.start(start_ns);
            while schedule.due_ns() < until_ns {
                all.push(schedule.due_ns());
                schedule.advance();
            }
        }
        all.sort_unstable();
        all
    }

    fn open(rate_per_s: f64, arrivals: Arrivals, connections: usize) -> Workload {
        Workload { pacing: Pacing::Open { rate_per_s, arrivals }, connections, ..workload() }
    }

    #[test]
    fn what_is_left_is_counted_without_going_through_it() {
        let load = open(1_000.0, Arrivals::Constant, 3);
        for (taken, from_ns, to_ns) in
            [(0, 0, 50_000_000), (3, 4_000_000, 9_500_000), (9, 20_000_000, 5_000_000)]
        {
            let mut schedule = Schedule::new(&load, 1);
            (0..taken).for_each(|_| schedule.advance());
            let counted = schedule.due_between(from_ns, to_ns);
            let mut one_by_one = 0;
            while schedule.due_ns() < to_ns {
                one_by_one += u64::from(schedule.due_ns() >= from_ns);
                schedule.advance();
            }
            assert_eq!(counted, one_by_one, "{taken} {from_ns} {to_ns}");
        }
        let endless = Schedule::new(&open(1e9, Arrivals::Poisson, 1), 0);
        assert!(endless.due_between(0, 60_000_000_000).abs_diff(60_000_000_000) < 100);
    }

    #[test]
    fn connections_share_a_constant_rate_evenly() {
        let all = dues(&open(1000.0, Arrivals::Constant, 7), 5_000, 10_000_000_000);
        assert_eq!(all.len(), 10_000);
        for (index, due_ns) in all.iter().enumerate() {
            assert!(due_ns.abs_diff(5_000 + index as u64 * 1_000_000) <= 1, "{index}: {due_ns}");
        }
        // A rate whose interval is no whole number: nothing adds up.
        let all = dues(&open(3.0, Arrivals::Constant, 1), 0, 1_000_000_000_000);
        assert_eq!((all.len(), all[2_997]), (3_000, 999_000_000_000));
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread() {
        let all = dues(&open(10_000.0, Arrivals::Poisson, 16), 0, 10_000_000_000);
        // 100,000 are expected; the standard deviation is 316.
        assert!(all.len().abs_diff(100_000) < 2_000, "{}", all.len());
        let intervals: Vec<f64> = all.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = intervals.iter().sum::<f64>() / intervals.len() as f64;
        let variance = intervals.iter().map(|i| (i - mean).powi(2)).sum::<f64>() / intervals.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "an exponential's deviation is its mean");
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals_and_another_one_others() {
        let one = open(100.0, Arrivals::Poisson, 3);
        let other = Workload { seed: one.seed + 1, ..one.clone() };
        assert_eq!(dues(&one, 0, 1 << 30), dues(&one, 0, 1 << 30));
        assert_ne!(dues(&one, 0, 1 << 30), dues(&other, 0, 1 << 30));
    }

    #[test]
    fn a_closed_loop_is_always_due() {
        let mut schedule = Schedule::new(&workload(), 0);
        schedule.start(77);
        schedule.advance();
        assert_eq!((schedule.due_ns(), schedule.is_open()), (0, false));
    }
}
