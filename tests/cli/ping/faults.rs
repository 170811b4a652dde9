//! What our server does wrong on purpose is what ping then reports, by the server's own count.

use sockkit_core::{Framing, TRANSPORTS};
use sockkit_stats::result::Counters;
use sockkit_tests::{Summary, or_skip};

use super::{counters, measured};
use crate::SOCKKIT;

/// Pings a server with a fault, over each transport that has messages, and answers both books.
fn with_fault(fault: &str, check: impl Fn(Counters, u64, Option<i32>, &str)) {
    for transport in TRANSPORTS.iter().filter(|transport| transport.traits().framing == Framing::Message) {
        let flags = ["--workers", "1", "--fault", fault, "--fault-seed", "7"];
        let server = or_skip!(SOCKKIT.serve_on(transport.scheme(), "echo", &flags));
        let (code, document, stderr) = measured(server.url(), &["-c", "300", "-i", "1ms", "-W", "20s"]);
        let found = counters(&document);
        let summary: Summary = server.summary();
        let injected = summary.sum(&["faults"]);
        assert!((1..300).contains(&injected), "{}", summary.0);
        // A server that does not run for a while lets a short queue fill up.
        assert_eq!(found.sent + found.refused, 300, "{found:?} {stderr}");
        check(found, injected, code, transport.scheme());
    }
}

/// What the kernel took and did not, and nothing else.
fn taken(found: Counters) -> Counters {
    Counters { sent: found.sent, refused: found.refused, ..Counters::default() }
}

#[test]
fn drops_are_losses() {
    with_fault("drop=20%", |found, injected, code, scheme| {
        let expected = Counters { received: Some(found.sent - injected), lost: injected, ..taken(found) };
        assert_eq!((found, code), (expected, Some(0)), "{scheme}");
    });
}

/// The last answer ends the run: a second one to the last message may come too late to be seen.
#[test]
fn duplicates_are_counted_one_for_one() {
    with_fault("duplicate=10%", |found, injected, code, scheme| {
        let expected = Counters { received: Some(found.sent), duplicated: found.duplicated, ..taken(found) };
        assert_eq!((found, code), (expected, Some(0)), "{scheme}");
        assert!((injected - 1..=injected).contains(&found.duplicated), "{scheme}: {found:?} {injected}");
    });
}

#[test]
fn wrong_bytes_and_short_answers_are_corrupted() {
    for fault in ["corrupt=10%", "truncate=10%"] {
        with_fault(fault, |found, injected, code, scheme| {
            let expected =
                Counters { received: Some(found.sent - injected), corrupted: injected, ..taken(found) };
            assert_eq!((found, code), (expected, Some(1)), "{scheme}");
        });
    }
}

/// How many of those that are held back are overtaken depends on when the next message comes.
#[test]
fn what_is_held_back_is_reordered() {
    with_fault("reorder=10%", |found, injected, code, scheme| {
        assert_eq!((found.received, code), (Some(found.sent), Some(0)), "{scheme}");
        assert!((1..=injected).contains(&found.reordered), "{scheme}: {found:?} {injected}");
    });
}

/// A delay is recovered over every transport, and never seems shorter than it is.
#[test]
fn a_delay_of_the_server_is_recovered() {
    for transport in TRANSPORTS {
        let server = or_skip!(SOCKKIT.serve_on(transport.scheme(), "echo", &["--fault", "delay=15ms"]));
        let (code, document, stderr) = measured(server.url(), &["-c", "20", "-i", "5ms"]);
        assert_eq!(code, Some(0), "{} {stderr}", server.url());
        let arm = &document.arms[0];
        let (min_ns, p50_ns) = (arm.spread.and_then(|spread| spread.min_ns), arm.rtt_ns.p50);
        assert!(min_ns.is_some_and(|ns| ns >= 15e6), "{} {min_ns:?}", server.url());
        assert!(p50_ns.is_some_and(|p50| p50.estimate < 200e6), "{} {p50_ns:?}", server.url());
    }
}

/// A server that breaks off, as a stream does.
#[test]
fn a_server_that_breaks_off_is_5() {
    for transport in ["tcp", "unix", "unix-seqpacket"] {
        for fault in ["reset-after=640", "close-after=640"] {
            let server = or_skip!(SOCKKIT.serve_on(transport, "echo", &["--fault", fault]));
            let (code, document, stderr) = measured(server.url(), &["-c", "50", "-i", "2ms"]);
            assert_eq!(code, Some(5), "{} {fault} {stderr}", server.url());
            assert!(counters(&document).received <= Some(10), "{:?}", counters(&document));
        }
    }
}
