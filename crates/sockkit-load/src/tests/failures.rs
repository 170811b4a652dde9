//! Peers that are not there, go away or say nothing.

use sockkit_core::{ErrorKind, Target};

use super::*;
use crate::Mode;

fn failure(target: &Target, workload: &Workload) -> (ErrorKind, String) {
    let error = run(target, workload, &mut Nobody).expect_err("the run should have failed");
    (error.kind(), error.to_string())
}

#[test]
fn a_peer_that_is_not_there_is_named() {
    let closed = sockkit_tests::Nobody::new("tcp");
    let target = closed.url().parse().unwrap();
    for mode in [Mode::Echo, Mode::Connect, Mode::Send] {
        let (kind, text) = failure(&target, &Workload { mode, ..workload() });
        assert_eq!(kind, ErrorKind::Unreachable);
        assert!(text.contains(&target.to_string()) && text.contains("refused"), "{text}");
    }
    let closed = sockkit_tests::Nobody::new("udp");
    let target = closed.url().parse().unwrap();
    for connections in [1, 3] {
        let (kind, text) = failure(&target, &Workload { connections, ..workload() });
        assert_eq!(kind, ErrorKind::Unreachable);
        assert!(text.contains(&target.to_string()) && text.contains("refused"), "{text}");
    }
}

#[test]
pub(super) fn a_peer_that_closes_breaks_the_run() {
    for scheme in ["tcp", "unix", "unix-seqpacket"] {
        for (connections, depth, spin) in [(1, 1, false), (1, 1, true), (1, 16, false), (4, 2, false)] {
            // More than can be outstanding, so that some have been answered by then.
            let mut left = 40;
            let server = Server::new(by_name(scheme), move |message: &[u8]| {
                left -= 1;
                (left > 0).then(|| vec![message.to_vec()])
            });
            let duration = Duration::from_secs(30);
            let workload = Workload { connections, depth, spin, duration, ..workload() };
            let before = Instant::now();
            let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
            let error = outcome.failure.as_ref().expect("the run should have been broken off");
            assert_eq!(error.kind(), ErrorKind::Broken, "{error}");
            assert!(error.to_string().contains(&server.target().to_string()), "{error}");
            assert!(before.elapsed() < Duration::from_secs(20) && outcome.elapsed < Duration::from_secs(20));
            // What was measured until then is there, and what was outstanding does not count.
            assert!(outcome.messages > 0 && outcome.response.count() == outcome.messages, "{outcome:?}");
            assert_clean(&outcome);
        }
    }
}

#[test]
fn a_peer_that_closes_breaks_a_run_that_goes_one_way() {
    let duration = Duration::from_secs(30);
    for scheme in ["tcp", "unix", "unix-seqpacket"] {
        for connections in [1, 3] {
            let mut left = 100_000_usize;
            let reader = Server::new(by_name(scheme), move |message: &[u8]| {
                left = left.saturating_sub(message.len());
                (left > 0).then(Vec::new)
            });
            let talker = Server::talking(by_name(scheme), vec![b'x'; 1000], 100);
            for (mode, server) in [(Mode::Send, &reader), (Mode::Receive, &talker)] {
                let workload = Workload { mode, size: 1000, connections, duration, ..workload() };
                let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
                let error = outcome.failure.as_ref().expect("the run should have been broken off");
                assert_eq!(error.kind(), ErrorKind::Broken, "{scheme} {mode:?}: {error}");
                assert!(error.to_string().contains(&server.target().to_string()), "{error}");
                assert!(outcome.elapsed < Duration::from_secs(20) && outcome.messages >= 100, "{outcome:?}");
                assert_eq!(outcome.bytes / 1000, outcome.messages);
                // Of what was sent, nobody knows how much has arrived.
                let Counters { sent, received, .. } = outcome.counters;
                assert_eq!(received, (mode == Mode::Receive).then_some(sent), "{scheme} {mode:?}");
                assert!(sent >= outcome.messages);
            }
        }
    }
}

#[test]
fn what_is_broken_off_before_anything_was_measured_is_an_error() {
    let server = Server::new(by_name("tcp"), |_: &[u8]| None);
    for connections in [1, 3] {
        let (kind, text) = failure(server.target(), &Workload { connections, ..workload() });
        assert_eq!(kind, ErrorKind::Broken, "{text}");
    }
    let server = Server::talking(by_name("tcp"), vec![], 0);
    let (kind, text) = failure(server.target(), &Workload { mode: Mode::Receive, ..workload() });
    assert_eq!(kind, ErrorKind::Broken, "{text}");
}

/// A schedule ends where the run does, and no message is missed of which it can be said that it was due.
#[test]
fn a_schedule_is_broken_off_with_the_run() {
    let mut left = 20;
    let server = Server::new(by_name("tcp"), move |message: &[u8]| {
        left -= 1;
        (left > 0).then(|| vec![message.to_vec()])
    });
    let duration = Duration::from_secs(30);
    let workload = Workload { pacing: open(100.0), depth: 8, duration, ..workload() };
    let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
    assert_eq!(outcome.failure.as_ref().map(|error| error.kind()), Some(ErrorKind::Broken));
    // As many as were due until then, and not those of all 30 s.
    let due = (outcome.elapsed.as_secs_f64() * 100.0) as u64 + 2;
    let Outcome { messages, scheduled, .. } = outcome;
    assert!(messages > 0 && scheduled <= due && scheduled < 3000, "{messages} of {scheduled} of {due}");
}

#[test]
fn the_end_is_not_taken_for_an_empty_message() {
    for depth in [1, 4] {
        let mut left = 5;
        let server = Server::new(by_name("unix-seqpacket"), move |message: &[u8]| {
            left -= 1;
            (left > 0).then(|| vec![message.to_vec()])
        });
        let workload = Workload { size: 0, depth, duration: Duration::from_secs(30), ..workload() };
        let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
        assert_eq!(outcome.failure.map(|error| error.kind()), Some(ErrorKind::Broken));
    }
}

#[test]
pub(super) fn a_stream_that_falls_silent_times_out() {
    for scheme in ["tcp", "unix"] {
        for (connections, depth, spin) in [(1, 1, false), (1, 1, true), (1, 4, false), (3, 2, false)] {
            let mut left = 5;
            let server = Server::new(by_name(scheme), move |message: &[u8]| {
                left -= 1;
                Some(if left > 0 { vec![message.to_vec()] } else { vec![] })
            });
            // Longer than a busy machine takes for an answer.
            let (duration, timeout) = (Duration::from_secs(30), Duration::from_secs(1));
            let workload = Workload { connections, depth, spin, duration, timeout, ..workload() };
            let before = Instant::now();
            let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
            let error = outcome.failure.expect("the run should have been broken off");
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            assert!(outcome.messages > 0);
            assert!(before.elapsed() >= timeout && before.elapsed() < Duration::from_secs(20));
        }
    }
}

#[test]
fn messages_to_a_silent_peer_are_lost_and_the_run_ends() {
    for scheme in ["udp", "unix-dgram", "unix-seqpacket"] {
        for (connections, depth) in [(1, 1), (1, 4), (3, 1)] {
            let server = Server::new(by_name(scheme), |_: &[u8]| Some(vec![]));
            let timeout = Duration::from_millis(50);
            let workload = Workload { connections, depth, timeout, ..workload() };
            let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
            let counters = outcome.counters;
            assert_eq!((counters.received, counters.lost, outcome.messages), (Some(0), counters.sent, 0));
            assert!(counters.sent > 0);
        }
    }
}

#[test]
fn an_answer_after_its_time_is_late_and_not_lost() {
    for (connections, depth) in [(1, 1), (1, 2)] {
        let mut messages = 0;
        let server = Server::new(by_name("udp"), move |message: &[u8]| {
            messages += 1;
            if messages == 3 {
                std::thread::sleep(Duration::from_millis(400));
            }
            echo(message)
        });
        let (timeout, duration) = (Duration::from_millis(150), Duration::from_millis(1500));
        let pacing = if depth == 1 { Pacing::Closed } else { open(100.0) };
        let workload = Workload { connections, depth, timeout, duration, pacing, ..workload() };
        let counters = run(server.target(), &workload, &mut Nobody).unwrap().counters;
        assert!(counters.late > 0, "{counters:?}");
        assert_eq!(counters.received.unwrap() + counters.lost, counters.sent, "{counters:?}");
    }
}

#[test]
fn a_processor_that_is_not_there_is_refused() {
    let server = Server::new(by_name("udp"), echo);
    let workload = Workload { cpus: Some(vec![1000]), ..workload() };
    let (kind, text) = failure(server.target(), &workload);
    assert_eq!(kind, ErrorKind::Usage);
    assert!(text.starts_with("cannot run on processor 1000"), "{text}");
}
