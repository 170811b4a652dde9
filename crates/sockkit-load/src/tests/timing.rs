//! Schedules are kept, and what is slow is seen.

use super::*;

#[test]
fn a_schedule_is_counted_exactly() {
    let server = Server::new(by_name("tcp"), echo);
    for (connections, threads, depth) in [(1, 1, 1000), (4, 2, 1000)] {
        let warmup = Duration::from_millis(100);
        let pacing = open(2000.0);
        let workload = Workload { connections, threads, depth, warmup, pacing, ..workload() };
        let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
        assert_clean(&outcome);
        // Messages were due from the beginning of the warm-up on, one each half millisecond.
        assert!(outcome.scheduled.abs_diff(400) <= 1 && outcome.counters.sent.abs_diff(600) <= 1);
        assert_eq!(outcome.lateness.unwrap().count(), outcome.scheduled);
    }
}

/// One stall of `stall`, after `before` messages, for all peers together.
fn stalling(before: u64, stall: Duration) -> impl FnMut(&[u8]) -> Option<Vec<Vec<u8>>> + Send + Clone {
    let mut messages = 0;
    move |bytes: &[u8]| {
        let was = messages;
        messages += (bytes.len() / 64) as u64;
        if was < before && messages >= before {
            std::thread::sleep(stall);
        }
        echo(bytes)
    }
}

#[test]
fn a_stall_is_seen_by_all_that_were_due_in_it() {
    for scheme in ["tcp", "udp", "unix"] {
        let stall = Duration::from_millis(400);
        let server = Server::new(by_name(scheme), stalling(300, stall));
        let duration = Duration::from_secs(1);
        // Of a thousand messages, the four hundred that are due in the stall wait for the rest of it.
        let workload = Workload { pacing: open(1000.0), depth: 100_000, duration, ..workload() };
        let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
        assert_clean(&outcome);
        let quantile_ms = |quantile| outcome.response.quantile_ns(quantile) as f64 / 1e6;
        // 20 % waited for at least 200 ms, 1 % for at least 390 ms; other threads may have made it worse.
        assert!(quantile_ms(0.8) >= 190.0, "{scheme}: p80 is {} ms", quantile_ms(0.8));
        assert!(quantile_ms(0.99) >= 380.0, "{scheme}: p99 is {} ms", quantile_ms(0.99));
        assert!(quantile_ms(1.0) >= 399.0, "{scheme}");
    }
}

#[test]
fn a_stall_at_a_full_window_is_the_peers_and_not_the_generators() {
    for scheme in ["tcp", "udp"] {
        let stall = Duration::from_millis(300);
        let server = Server::new(by_name(scheme), stalling(100, stall));
        let duration = Duration::from_millis(600);
        let workload = Workload { pacing: open(500.0), depth: 1, duration, ..workload() };
        let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
        assert_clean(&outcome);
        // All 300 messages were sent in the end, each timed from when it was due.
        assert!(outcome.scheduled.abs_diff(300) <= 1, "{scheme}");
        let (response, service) = (&outcome.response, outcome.service.unwrap());
        assert!(response.quantile_ns(0.9) >= 100_000_000, "{scheme}: {}", response.quantile_ns(0.9));
        // One message was with the server meanwhile; the others were not yet sent.
        assert!(service.quantile_ns(1.0) >= 290_000_000, "{scheme}");
        assert!(service.quantile_ns(0.5) < response.quantile_ns(0.9), "{scheme}");
        // About 150 were held up by the server, and the generator was not late with these.
        let measured = outcome.lateness.unwrap().count();
        assert!(measured <= outcome.scheduled - 100, "{scheme}: {measured} of {}", outcome.scheduled);
    }
}

#[test]
fn a_stall_at_the_end_counts_in_full() {
    for scheme in ["tcp", "udp"] {
        let stall = Duration::from_millis(600);
        let server = Server::new(by_name(scheme), stalling(150, stall));
        let workload = Workload { pacing: open(1000.0), depth: 1000, ..workload() };
        let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
        assert_clean(&outcome);
        assert!(outcome.response.quantile_ns(1.0) >= 550_000_000, "{scheme}");
        // Fifty or so were answered after the end: they were slow, and are not counted as done in time.
        assert!(outcome.messages < outcome.scheduled, "{scheme}");
    }
}

#[test]
pub(super) fn a_known_delay_is_recovered() {
    let delay = Duration::from_millis(20);
    for scheme in ["tcp", "udp", "unix-seqpacket"] {
        let server = Server::new(by_name(scheme), move |message: &[u8]| {
            std::thread::sleep(delay);
            echo(message)
        });
        for connections in [1, 2] {
            let duration = Duration::from_millis(400);
            let workload = Workload { connections, duration, ..workload() };
            let outcome = run(server.target(), &workload, &mut Nobody).unwrap();
            assert_clean(&outcome);
            if outcome.messages == 0 {
                eprintln!("skipped {scheme}: this machine was too busy for one answer");
                continue;
            }
            let least_ns = outcome.response.quantile_ns(0.0);
            assert!(least_ns >= 19_990_000, "{scheme}: {least_ns}");
            assert!(outcome.response.quantile_ns(0.5) < 200_000_000, "{scheme}");
        }
    }
}
