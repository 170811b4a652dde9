//! What a server does to messages on purpose is counted one for one.

use sockkit_stats::result::Counters;
use sockkit_tests::{Place, Summary};

use super::{SOCKKIT, bench};

/// Loads a server that has a fault, over one socket; what was counted at both ends.
#[track_caller]
fn counted(scheme: &str, fault: &str, depth: u64) -> (Counters, Summary) {
    let place = Place::new(scheme);
    let server = SOCKKIT.serve(&[&place.url, "--workers", "1", "--fault", fault, "--fault-seed", "7"]);
    let depth = depth.to_string();
    // Long beside any answer, so that what is given up was never sent; short, because at a depth of 1 each one that is
    // given up takes so long.
    let args =
        [server.url(scheme), "--depth", &depth, "--timeout", "200ms", "--duration", "1s", "--warmup", "0"];
    let (arm, _) = bench(&args);
    (arm.counters, server.summary())
}

/// Runs a fault on each transport that it strikes, one message at a time and many.
#[track_caller]
fn each(fault: &str, check: impl Fn(Counters, &Summary)) {
    for scheme in ["udp", "unix-dgram"] {
        for depth in [1, 16] {
            let (counters, summary) = counted(scheme, fault, depth);
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
    each("drop=2%", |counters, summary| {
        assert!(counters.lost > 0);
        assert_eq!(counters.lost, injected(summary, "dropped"));
        assert_eq!(counters.received, Some(counters.sent - counters.lost));
        assert_eq!((counters.duplicated, counters.reordered, counters.corrupted), (0, 0, 0));
    });
}

#[test]
fn duplicates_are_told_from_answers() {
    each("duplicate=5%", |counters, summary| {
        assert!(counters.duplicated > 0);
        assert_eq!(counters.duplicated, injected(summary, "duplicated"));
        assert_eq!((counters.received, counters.lost), (Some(counters.sent), 0));
        assert_eq!((counters.reordered, counters.corrupted), (0, 0));
    });
}

#[test]
fn reordered_answers_are_received_all_the_same() {
    each("reorder=5%", |counters, summary| {
        assert_eq!(counters.reordered, injected(summary, "reordered"));
        assert_eq!((counters.received, counters.lost), (Some(counters.sent), 0));
        assert_eq!((counters.duplicated, counters.corrupted), (0, 0));
    });
    // Where one message at a time is outstanding there is none to overtake it; where there are many, there are some.
    assert_eq!(counted("udp", "reorder=5%", 1).0.reordered, 0);
    assert!(counted("udp", "reorder=5%", 16).0.reordered > 0);
}

#[test]
fn corrupted_answers_are_none() {
    each("corrupt=2%", |counters, summary| {
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
