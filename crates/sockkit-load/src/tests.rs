//! Whole runs against servers that are known.

use std::time::Duration;

use sockkit_core::{Framing, TRANSPORTS, Transport, transport};
use sockkit_stats::result::Counters;

use crate::testing::{Server, echo, workload};
use crate::{Observer, Outcome, Workload, run};

/// An observer that only counts how often it was called.
#[derive(Default)]
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

fn is_stream(transport: &dyn Transport) -> bool {
    transport.traits().framing == Framing::Stream
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
    assert_eq!(outcome.response.count(), outcome.messages);
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
                let workload =
                    Workload { size, connections, depth, duration: Duration::from_millis(30), ..workload() };
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
