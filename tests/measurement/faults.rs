//! What a server does to messages on purpose is counted one for one.

use sockkit_stats::result::Counters;
use sockkit_tests::{Place, Summary};

use super::{SOCKKIT, bench, counting};

/// Longer than any answer takes on any machine: nothing is given up that comes later.
const NEVER: &str = "10s";

/// Loads a server that has a fault, over one socket; what was counted at both ends.
#[track_caller]
fn counted(scheme: &str, fault: &str, depth: u64, timeout: &str) -> (Counters, Summary) {
    let place = Place::new(scheme);
    let server = SOCKKIT.serve(&[&place.url, "--workers", "1", "--fault", fault, "--fault-seed", "7"]);
    let depth = depth.to_string();
    let time = ["--timeout", timeout, "--duration", "500ms", "--warmup", "0"];
    let args = [&[server.url(scheme), "--depth", &depth], &time[..]].concat();
    let (arm, _) = bench(&args);
    (arm.counters, server.summary())
}

/// Runs a fault on each transport that it strikes, one message at a time and many.
#[track_caller]
fn each(fault: &str, timeout: &str, check: impl Fn(Counters, &Summary)) {
    for scheme in ["udp", "unix-dgram"] {
        for depth in [1, 16] {
            let (counters, summary) = counted(scheme, fault, depth, timeout);
            eprintln!("{scheme}, {fault}, depth {depth}: {counters:?}");
            check(counters, &summary);
        }
    }
}

fn injected(summary: &Summary, name: &str) -> u64 {
    summary.get(&["faults", name])
}

#[test]
fn drops_are_lost() {
    let _turn = counting();
    // Short, because at a depth of 1 each one that is given up takes so long; what comes later all the same is received.
    each("drop=2%", "200ms", |counters, summary| {
        assert!(counters.lost > 0);
        assert_eq!(counters.lost, injected(summary, "dropped"));
        assert_eq!(counters.received, Some(counters.sent - counters.lost));
        assert_eq!((counters.duplicated, counters.corrupted), (0, 0));
    });
}

#[test]
fn duplicates_are_told_from_answers() {
    let _turn = counting();
    each("duplicate=5%", NEVER, |counters, summary| {
        assert!(counters.duplicated > 0);
        // The copy of the very last answer may come when nobody reads any more.
        let missed = injected(summary, "duplicated") - counters.duplicated;
        assert!(missed <= 1, "{missed}");
        assert_eq!((counters.received, counters.lost), (Some(counters.sent), 0));
        assert_eq!((counters.reordered, counters.corrupted), (0, 0));
    });
}

#[test]
fn reordered_answers_are_received_all_the_same() {
    let _turn = counting();
    each("reorder=5%", NEVER, |counters, summary| {
        assert_eq!(counters.reordered, injected(summary, "reordered"));
        assert_eq!((counters.received, counters.lost), (Some(counters.sent), 0));
        assert_eq!((counters.duplicated, counters.corrupted), (0, 0));
    });
    // Where one message at a time is outstanding there is none to overtake it; where there are many, there are some.
    assert_eq!(counted("udp", "reorder=5%", 1, NEVER).0.reordered, 0);
    assert!(counted("udp", "reorder=5%", 16, NEVER).0.reordered > 0);
}

#[test]
fn corrupted_answers_are_none() {
    let _turn = counting();
    each("corrupt=2%", "1s", |counters, summary| {
        assert!(counters.corrupted > 0);
        assert_eq!(counters.corrupted, injected(summary, "corrupted"));
        let received = counters.received.expect("counted");
        // A wrong byte may make it unknown which message it was, which is lost then.
        assert!(received + counters.corrupted >= counters.sent, "{counters:?}");
        assert!(
            received + counters.lost <= counters.sent && counters.lost <= counters.corrupted,
            "{counters:?}"
        );
    });
}
