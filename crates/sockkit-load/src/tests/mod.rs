//! Whole runs against servers that are known.

mod counts;
mod failures;
mod oneway;
mod ring;
mod timing;

use std::time::{Duration, Instant};

use sockkit_core::{Framing, TRANSPORTS, Target, Transport, transport};
use sockkit_stats::result::Counters;
use sockkit_sys::Features;
use sockkit_tests::{or_skip, try_in_quiet};

use crate::testing::{Server, echo, workload};
use crate::{Arrivals, Interval, Observer, Outcome, Pacing, Tuning, Verify, Workload, run};

/// An observer that wants to know nothing.
struct Nobody;

impl Observer for Nobody {}

/// The transports that this machine has.
fn transports() -> impl Iterator<Item = &'static dyn Transport> {
    TRANSPORTS.iter().copied().filter(|transport| match transport::probe(*transport) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("skipped {}: {error}", transport.scheme());
            false
        }
    })
}

fn by_name(scheme: &str) -> &'static dyn Transport {
    TRANSPORTS.iter().copied().find(|transport| transport.scheme() == scheme).unwrap()
}

fn is_stream(transport: &dyn Transport) -> bool {
    transport.traits().framing == Framing::Stream
}

fn open(rate_per_s: f64) -> Pacing {
    Pacing::Open { rate_per_s, arrivals: Arrivals::Constant }
}

/// Nothing was wrong, and the books balance.
#[track_caller]
fn assert_clean(outcome: &Outcome) {
    assert_eq!(outcome.first_corruption, None);
    let counters = outcome.counters;
    let expected = Counters {
        sent: counters.sent,
        received: Some(counters.sent),
        refused: counters.refused,
        ..Counters::default()
    };
    assert_eq!(counters, expected);
    assert!(outcome.messages <= counters.sent);
    match &outcome.service {
        None => assert_eq!(outcome.response.count(), outcome.messages),
        // Of messages that were due in the measured time; what was done in it is counted apart.
        Some(service) => {
            assert_eq!(outcome.response.count(), outcome.scheduled);
            assert_eq!(service.count(), outcome.scheduled);
        }
    }
}

#[test]
fn a_correct_echo_is_found_correct_on_every_transport() {
    for transport in transports() {
        let server = Server::new(transport, echo);
        let mut messages = 0;
        for size in [0, 1, 7, 64, 60_000] {
            for (connections, depth) in [(1, 1), (1, 16), (3, 4)] {
                // A queue that is too small for it loses what is sent, and a stream has no empty messages.
                let too_much = !transport.traits().lossless && size * connections * depth > 100_000;
                if too_much || is_stream(transport) && size == 0 {
                    continue;
                }
                let duration = Duration::from_millis(30);
                let workload = Workload { size, connections, depth, duration, ..workload() };
                let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
                eprintln!("{} {size} {connections} x {depth}: {:?}", transport.scheme(), outcome.counters);
                assert_clean(&outcome);
                assert_eq!(outcome.bytes, outcome.messages * size as u64);
                messages += outcome.messages;
            }
        }
        // Not of each run: on a busy machine one can be over before anything happens.
        assert!(messages > 0, "{}", transport.scheme());
    }
}

#[test]
fn several_datagrams_leave_as_one_to_a_peer_that_knows_nothing_of_it() {
    let udp = transports().find(|transport| transport.traits().segments).unwrap();
    let server = Server::new(udp, echo);
    for (size, connections, depth, segments) in [(64, 1, 128, 64), (1, 3, 2, 64), (1400, 1, 50, 46)] {
        for verify in [Verify::Full, Verify::Sample] {
            let duration = Duration::from_millis(50);
            let workload = Workload { gso: true, size, connections, depth, verify, duration, ..workload() };
            let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
            eprintln!("{size} {connections} x {depth}: {:?}", outcome.counters);
            assert_clean(&outcome);
            assert_eq!(outcome.options.gso, Some(segments));
        }
    }
    let open = Workload { gso: true, pacing: open(2000.0), depth: 100, ..workload() };
    assert_clean(&run(server.target(), &open, &mut Nobody).unwrap());
    let without = Features { mmsg: false, gro: false, gso: false, ..Features::default() };
    let outcome =
        run(server.target(), &Workload { gso: true, depth: 8, features: without, ..workload() }, &mut Nobody);
    let outcome = outcome.unwrap();
    assert_clean(&outcome);
    assert_eq!(outcome.options.gso, Some(1), "and says so where they do not");
}

#[test]
fn every_way_of_waiting_and_looking_finds_it_correct_too() {
    let ways = [
        Workload { spin: true, ..workload() },
        Workload { spin: true, connections: 2, ..workload() },
        Workload { verify: Verify::Sample, depth: 8, ..workload() },
        Workload { verify: Verify::Off, connections: 5, depth: 2, threads: 2, ..workload() },
        Workload { pacing: open(2000.0), depth: 100, connections: 3, ..workload() },
        Workload { pacing: open(500.0), depth: 1, connections: 2, threads: 2, spin: true, ..workload() },
        Workload { warmup: Duration::from_millis(50), connections: 2, depth: 1, ..workload() },
    ];
    for transport in transports() {
        let server = Server::new(transport, echo);
        for workload in &ways {
            let workload = Workload { duration: Duration::from_millis(50), ..workload.clone() };
            let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
            eprintln!("{} {workload:?}: {:?}", transport.scheme(), outcome.counters);
            assert_clean(&outcome);
        }
    }
}

#[test]
fn a_message_that_is_longer_than_all_buffers_goes_round() {
    for scheme in ["tcp", "unix"] {
        let server = Server::new(by_name(scheme), echo);
        for (connections, depth) in [(1, 1), (1, 2), (2, 1)] {
            let workload = Workload { size: 20 << 20, connections, depth, ..workload() };
            assert_clean(&run_until_answered(server.target(), &workload));
        }
    }
}

#[test]
fn many_connections_are_opened_and_used() {
    for scheme in ["tcp", "udp"] {
        let server = Server::new(by_name(scheme), echo);
        let workload = Workload { connections: 200, threads: 3, ..workload() };
        assert_clean(&run(server.target(), &workload, &mut Nobody).unwrap());
    }
}

/// Notes what it is told.
#[derive(Default)]
struct Diary {
    begun: Option<Instant>,
    ended: Option<Instant>,
    every: Option<Duration>,
    intervals: Vec<Interval>,
    cancel_after: Option<Duration>,
    /// Whether it waits for an answer before that.
    cancel_answered: bool,
}

impl Diary {
    /// One that cancels the run after some time, or later: with the first answer.
    fn cancelling(after: Duration, answered: bool) -> Self {
        let every = answered.then_some(Duration::from_millis(40));
        Self { cancel_after: Some(after), cancel_answered: answered, every, ..Self::default() }
    }
}

/// A run that goes on beyond its time until something was answered, on a machine that has other things to do.
fn run_until_answered(target: &Target, workload: &Workload) -> Outcome {
    let mut diary = Diary::cancelling(workload.duration, true);
    let workload = Workload { duration: Duration::from_secs(30), ..workload.clone() };
    let outcome = run(target, &workload, &mut diary).unwrap();
    assert!(outcome.messages > 0, "{outcome:?}");
    outcome
}

impl Observer for Diary {
    fn begin(&mut self) {
        assert!(self.begun.replace(Instant::now()).is_none() && self.ended.is_none());
    }

    fn end(&mut self) {
        assert!(self.begun.is_some() && self.ended.replace(Instant::now()).is_none());
    }

    fn every(&self) -> Option<Duration> {
        self.every
    }

    fn interval(&mut self, interval: &Interval) {
        self.intervals.push(interval.clone());
    }

    fn is_cancelled(&self) -> bool {
        let since = self.begun.map(|begun| begun.elapsed());
        self.cancel_after.is_some_and(|after| since.is_some_and(|since| since >= after))
            && (!self.cancel_answered || self.intervals.iter().any(|interval| interval.messages > 0))
    }
}

#[test]
fn intervals_add_up_to_the_whole() {
    for (scheme, connections, pacing) in
        [("tcp", 1, Pacing::Closed), ("udp", 3, Pacing::Closed), ("unix", 2, open(3000.0))]
    {
        // Where the machine stands still for an interval, two are told as one, and the beginning is told late.
        let patience = Duration::from_millis(10);
        or_skip!(try_in_quiet(patience, || intervals_add_up(scheme, connections, pacing)));
    }
}

fn intervals_add_up(scheme: &str, connections: usize, pacing: Pacing) -> Result<(), String> {
    let server = Server::new(by_name(scheme), echo);
    let mut diary = Diary { every: Some(Duration::from_millis(40)), ..Diary::default() };
    let warmup = Duration::from_millis(30);
    let workload = Workload { connections, pacing, warmup, depth: connections, threads: 2, ..workload() };
    let outcome = run(server.target(), &workload, &mut diary).unwrap();
    assert_clean(&outcome);
    let intervals = &diary.intervals;
    assert_eq!(intervals.iter().map(|interval| interval.messages).sum::<u64>(), outcome.messages);
    assert_eq!(intervals.iter().map(|interval| interval.bytes).sum::<u64>(), outcome.bytes);
    let round_trips = intervals.iter().map(|interval| interval.response.count()).sum::<u64>();
    assert_eq!(round_trips, outcome.response.count());
    assert_eq!(intervals.iter().map(|interval| interval.length).sum::<Duration>(), workload.duration);
    assert_eq!(intervals.last().unwrap().at, workload.duration);
    let (told, measured) = (intervals.len(), diary.ended.unwrap() - diary.begun.unwrap());
    // Begin and end are told when they happen.
    let is_in_time = (2..=5).contains(&told) && measured >= workload.duration / 2;
    if is_in_time { Ok(()) } else { Err(format!("{told} intervals in {measured:?}")) }
}

#[test]
fn a_cancelled_run_is_a_shorter_one() {
    for scheme in ["tcp", "udp", "unix-seqpacket"] {
        // One server answers, one does not; a connection is to be ended in both cases.
        for answers in [true, false] {
            let server =
                Server::new(by_name(scheme), move |m: &[u8]| if answers { echo(m) } else { Some(vec![]) });
            for connections in [1, 2] {
                let mut diary = Diary::cancelling(Duration::from_millis(80), answers);
                let duration = Duration::from_secs(60);
                let timeout = Duration::from_secs(60);
                let workload = Workload { duration, timeout, connections, ..workload() };
                let before = Instant::now();
                let outcome = run(server.target(), &workload, &mut diary).unwrap();
                assert!(before.elapsed() < Duration::from_secs(20), "{:?}", before.elapsed());
                assert!(outcome.elapsed < Duration::from_secs(20) && outcome.elapsed > Duration::ZERO);
                assert!(diary.ended.is_some());
                assert_clean(&outcome);
                assert_eq!(outcome.messages > 0, answers);
            }
        }
    }
}

#[test]
fn options_are_set_and_read_back() {
    let tuning = Tuning { quickack: true, tos: Some(0x10), ttl: Some(7), ..Tuning::default() };
    let mut options = sockkit_core::Options::default();
    (options.nodelay, options.send_buffer, options.receive_buffer) = (false, Some(50_000), Some(60_000));
    let workload = Workload { tuning, options, ..workload() };
    let server = Server::new(by_name("tcp"), echo);
    let found = run(server.target(), &workload, &mut Nobody).unwrap().options;
    assert_eq!((found.nodelay, found.quickack), (Some(false), Some(true)));
    assert_eq!((found.send_buffer, found.receive_buffer), (Some(100_000), Some(120_000)));
    assert_eq!((found.tos, found.ttl, found.connected), (Some(0x10), Some(7), true));
    assert!(found.mss.is_some_and(|mss| mss > 500) && found.congestion.is_some_and(|name| !name.is_empty()));

    let tuning = Tuning { quickack: false, ..workload.tuning.clone() };
    let server = Server::new(by_name("udp"), echo);
    let found = run(server.target(), &Workload { tuning, ..workload.clone() }, &mut Nobody).unwrap().options;
    assert_eq!((found.nodelay, found.mss, found.congestion), (None, None, None));
    assert_eq!((found.tos, found.ttl, found.send_buffer), (Some(0x10), Some(7), Some(100_000)));

    let server = Server::new(by_name("unix-dgram"), echo);
    let workload = Workload { tuning: Tuning::default(), ..workload };
    let found = run(server.target(), &workload, &mut Nobody).unwrap().options;
    assert_eq!((found.tos, found.ttl, found.busy_poll_us, found.connected), (None, None, None, true));
    assert_eq!(found.receive_buffer, Some(120_000));
}

#[test]
fn what_the_threads_used_is_told() {
    let server = Server::new(by_name("tcp"), echo);
    for workload in [workload(), Workload { connections: 4, threads: 2, ..workload() }] {
        let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
        let usage = outcome.usage;
        assert!(usage.cpu_ns > 0 && usage.cpu_ns < 2 * 200_000_000 + 50_000_000, "{usage:?}");
        assert!(usage.system_calls >= 2 * outcome.messages.saturating_sub(8), "{usage:?}");
        assert!(usage.context_switches > 0, "{usage:?}");
    }
}
