//! What disturbs a run, by rules that are fixed before the first one.
//!
//! A run during which something else was going on tells of that and not of its arm. Which runs those are is decided by
//! these rules alone, and never by the figures of the run: to throw away what looks odd is to find what one looks for.
//!
//! - **steal**: the hypervisor gave more than 2 % of the processors' time to others (and more than 2 ticks of
//!   `/proc/stat`, which can be wrong by one at either end).
//! - **foreign cpu**: processes that are neither ours nor our server's used more than 5 % of it. That is the larger one
//!   of two figures. The first adds up the clocks of all processes that can be seen: exact, but who has ended takes
//!   his time along. The second is what `/proc/stat` has beyond our own two clocks, less what it may be wrong by: the
//!   kernel looks who is running at each tick, so a figure of *n* ticks has a standard error of up to half the root of
//!   *n*, and three of these are forgiven. Softirqs that run in a kernel thread of their own are mostly our own
//!   packets, and do not count. Where the server is on this machine and not ours, nobody knows which part of that time
//!   is its own: the rule does not apply.
//! - **late generator**: in an open loop, the load generator did not keep its own schedule.
//! - **clock**: the machine was suspended in between, or its clock ran at a pace that no ordinary correction explains.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

use crate::command::measure::{Round, Ticks};

/// The share of the processors' time that the hypervisor may give to others.
const STEAL_MAX: f64 = 0.02;

/// The share of it that other processes may use.
const FOREIGN_MAX: f64 = 0.05;

/// What `/proc/stat` may be wrong by, in ticks.
const TICKS_SLACK: u64 = 2;

/// Processes whose clocks are read. Where there are more, the others are left to the second figure.
const PROCESSES_MAX: usize = 4096;

/// By how much clocks may differ that ought to go alike: an ordinary correction is at most 500 parts in a million.
const CLOCK_PART: f64 = 0.001;

/// And this much more, for the time between two readings.
const CLOCK_SLACK: Duration = Duration::from_millis(1);

/// What disturbed a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Disturbance {
    Clock,
    Steal,
    ForeignCpu,
    LateGenerator,
}

impl Disturbance {
    /// Its name in the result.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Steal => "steal",
            Self::ForeignCpu => "foreign cpu",
            Self::LateGenerator => "late generator",
        }
    }
}

/// The meters of the machine. They are read at both ends of the measured time.
#[derive(Debug)]
pub(super) struct Meters {
    /// Kernel threads that run softirqs.
    softirqs: BTreeSet<i32>,
    processors: u32,
}

/// One reading.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    at: Instant,
    /// `CLOCK_MONOTONIC_RAW`, which nobody corrects, and `CLOCK_BOOTTIME`, which counts sleep.
    raw: Duration,
    boot: Duration,
    ticks: Option<Ticks>,
    own: Duration,
    /// The processor clocks of all others.
    others: BTreeMap<i32, Duration>,
}

/// What lies between two readings.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    elapsed: Duration,
    /// The most by which another clock differs from `elapsed`.
    deviation: Duration,
    ticks: Option<Ticks>,
    own: Duration,
    others: Duration,
}

impl Meters {
    /// Finds out what does not change.
    pub(super) fn new() -> Self {
        let is_softirq = |pid: &i32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.starts_with("ksoftirqd/")
        };
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let processors = stat.lines().filter(|line| line.starts_with("cpu")).count().saturating_sub(1);
        Self {
            softirqs: processes().into_iter().filter(is_softirq).collect(),
            processors: u32::try_from(processors).unwrap_or(1).max(1),
        }
    }

    /// Reads them all.
    pub(super) fn read(&self) -> Reading {
        let ours = std::process::id().cast_signed();
        let others = processes().into_iter().filter(|pid| *pid != ours && !self.softirqs.contains(pid));
        Reading {
            at: Instant::now(),
            raw: time(ClockId::CLOCK_MONOTONIC_RAW),
            boot: time(ClockId::CLOCK_BOOTTIME),
            ticks: Ticks::now(),
            own: time(ClockId::CLOCK_PROCESS_CPUTIME_ID),
            others: others.filter_map(|pid| Some((pid, cpu_time(pid)?))).collect(),
        }
    }

    /// What disturbed the run between two readings, if anything did.
    pub(super) fn disturbance(
        &self,
        readings: (&Reading, &Reading),
        round: &Round,
        server: Whose,
    ) -> Option<Disturbance> {
        let span = Span::between(readings);
        let late = round.saturation.map(|_| Disturbance::LateGenerator);
        let used = Duration::from_nanos(round.server.map_or(0, |server| server.cpu_ns));
        self.judge(&span, used, server).or(late)
    }

    fn judge(&self, span: &Span, server: Duration, whose: Whose) -> Option<Disturbance> {
        let whole = span.elapsed * self.processors;
        if span.deviation > span.elapsed.mul_f64(CLOCK_PART) + CLOCK_SLACK {
            return Some(Disturbance::Clock);
        }
        let steal = span.ticks.map_or(0, |ticks| ticks.steal);
        if steal > TICKS_SLACK && Ticks::duration(steal) > whole.mul_f64(STEAL_MAX) {
            return Some(Disturbance::Steal);
        }
        let foreign = span.foreign(server);
        let bound = whole.mul_f64(FOREIGN_MAX);
        (whose != Whose::SomebodysHere && foreign > bound).then_some(Disturbance::ForeignCpu)
    }
}

/// Whose the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Ours, so that we know its clock.
    Ours,
    /// Somebody else's, on another machine.
    Elsewhere,
    /// Somebody else's, on this machine.
    SomebodysHere,
}

impl Span {
    fn between((begin, end): (&Reading, &Reading)) -> Self {
        let elapsed = end.at.duration_since(begin.at);
        let deviation = |begin: Duration, end: Duration| end.saturating_sub(begin).abs_diff(elapsed);
        // Who was not there at the beginning has used all of his time since.
        let used = |(pid, end): (&i32, &Duration)| {
            end.saturating_sub(begin.others.get(pid).copied().unwrap_or_default())
        };
        Self {
            elapsed,
            deviation: deviation(begin.raw, end.raw).max(deviation(begin.boot, end.boot)),
            ticks: begin.ticks.zip(end.ticks).map(|(begin, end)| end.since(begin)),
            own: end.own.saturating_sub(begin.own),
            others: end.others.iter().map(used).sum(),
        }
    }

    /// Processor time of processes that are neither ours nor our server, of which `server` is the time.
    fn foreign(&self, server: Duration) -> Duration {
        let by_clocks = self.others.saturating_sub(server);
        let by_ticks = self.ticks.map_or(Duration::ZERO, |ticks| {
            let error = 1.5 * (ticks.total as f64).sqrt();
            let beyond = ticks.busy.saturating_sub(TICKS_SLACK.max(error.ceil() as u64));
            Ticks::duration(beyond).saturating_sub(self.own + server)
        });
        by_clocks.max(by_ticks)
    }
}

fn processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).take(PROCESSES_MAX).collect()
}

/// Anybody may read anybody's clock.
fn cpu_time(pid: i32) -> Option<Duration> {
    Some(clock_getcpuclockid(Pid::from_raw(pid)).ok()?.now().ok()?.into())
}

fn time(clock: ClockId) -> Duration {
    clock.now().map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Half a second on two processors: 100 ticks, of which the run may lose 2 to steal and 5 to others.
    fn span() -> Span {
        Span {
            elapsed: Duration::from_millis(500),
            deviation: Duration::ZERO,
            ticks: Some(Ticks { busy: 50, steal: 0, total: 100 }),
            own: Duration::from_millis(250),
            others: Duration::from_millis(250),
        }
    }

    fn judge(span: Span, server_ms: u64, whose: Whose) -> Option<Disturbance> {
        let meters = Meters { softirqs: BTreeSet::new(), processors: 2 };
        meters.judge(&span, Duration::from_millis(server_ms), whose)
    }

    #[test]
    fn a_quiet_run_is_not_disturbed() {
        assert_eq!(judge(span(), 250, Whose::Ours), None);
        let unknown = Span { ticks: None, ..span() };
        assert_eq!(judge(unknown, 250, Whose::Ours), None);
    }

    #[test]
    fn steal_counts_from_two_percent_and_three_ticks() {
        let stolen = |steal, total| Span { ticks: Some(Ticks { busy: 50, steal, total }), ..span() };
        assert_eq!(judge(stolen(2, 100), 250, Whose::Ours), None);
        assert_eq!(judge(stolen(3, 100), 250, Whose::Ours), Some(Disturbance::Steal));
        let short = Span { elapsed: Duration::from_millis(50), ..stolen(2, 10) };
        assert_eq!(judge(short, 250, Whose::Ours), None, "two ticks are within the error of the counter");
    }

    #[test]
    fn other_processes_count_from_five_percent() {
        let others = |ms| Span { others: Duration::from_millis(ms), ..span() };
        assert_eq!(judge(others(300), 250, Whose::Ours), None);
        assert_eq!(judge(others(301), 250, Whose::Ours), Some(Disturbance::ForeignCpu));
        assert_eq!(judge(others(51), 0, Whose::Elsewhere), Some(Disturbance::ForeignCpu));
        assert_eq!(judge(others(300), 0, Whose::SomebodysHere), None);
    }

    /// Processes that came and went are in the ticks only, which must exceed their own error.
    #[test]
    fn ticks_count_beyond_their_error() {
        let busy = |busy| Span { ticks: Some(Ticks { busy, steal: 0, total: 100 }), ..span() };
        assert_eq!(judge(busy(70), 250, Whose::Ours), None);
        assert_eq!(judge(busy(71), 250, Whose::Ours), Some(Disturbance::ForeignCpu));
    }

    #[test]
    fn clocks_that_disagree_are_a_disturbance() {
        let apart = |us| Span { deviation: Duration::from_micros(us), ..span() };
        assert_eq!(judge(apart(1500), 250, Whose::Ours), None);
        assert_eq!(judge(apart(1501), 250, Whose::Ours), Some(Disturbance::Clock));
    }

    /// The real meters, with a process that does nothing but use its processor.
    #[test]
    fn a_busy_process_is_seen() {
        let mut busy = Command::new("sh");
        let mut busy = busy.args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
        let meters = Meters::new();
        let begin = meters.read();
        // Not for something to happen: for time in which it can use its processor.
        let pid = busy.id().cast_signed();
        let used = |reading: &Reading| reading.others.get(&pid).copied().unwrap_or_default();
        let limit = Instant::now() + Duration::from_secs(30);
        let end = loop {
            let reading = meters.read();
            if used(&reading).saturating_sub(used(&begin)) > Duration::from_millis(100)
                || Instant::now() > limit
            {
                break reading;
            }
            std::thread::yield_now();
        };
        busy.kill().unwrap();
        busy.wait().unwrap();
        let span = Span::between((&begin, &end));
        assert!(span.others >= Duration::from_millis(100), "{span:?}");
        assert!(span.foreign(Duration::ZERO) >= Duration::from_millis(100), "{span:?}");
        assert!(!end.others.contains_key(&std::process::id().cast_signed()));
    }
}
